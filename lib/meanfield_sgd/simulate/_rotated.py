"""Hermite coefficients in rotated coordinates, in floating point."""

from __future__ import annotations

import numpy as np

__all__ = ["rotated_hermite"]


def rotated_hermite(coefficients: dict[tuple[int, ...], float], frame: np.ndarray) -> dict[tuple[int, ...], float]:
    """d_alpha of the same polynomial in the coordinates z' = frame z, the rows of ``frame`` orthonormal.

    H(y) = E[h(z + y)] = sum d_alpha y^alpha, and it turns with the coordinates: substitute y = frame^T y'.
    """
    p = frame.shape[0]
    total: dict[tuple[int, ...], float] = {}
    for alpha, d in coefficients.items():
        terms = {(0,) * p: d}
        for i, power in enumerate(alpha):
            for _ in range(power):
                grown: dict[tuple[int, ...], float] = {}
                for beta, c in terms.items():
                    for j in range(p):
                        if frame[j, i]:
                            up = beta[:j] + (beta[j] + 1,) + beta[j + 1 :]
                            grown[up] = grown.get(up, 0.0) + c * frame[j, i]
                terms = grown
        for beta, c in terms.items():
            total[beta] = total.get(beta, 0.0) + c
    scale = max(map(abs, total.values()), default=0.0)
    return {beta: c for beta, c in total.items() if abs(c) > 1e-15 * scale}
