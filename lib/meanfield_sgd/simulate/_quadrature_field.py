"""The same field as :mod:`._limit_field`, by tensor Gauss-Hermite quadrature over z in R^p: the independent check (p <= 3).

It knows nothing of Hermite profiles, truncation orders or Stein's lemma: it evaluates sigma and sigma' at every node of
the grid. Exponential in p and slower, hence only a check and a competitor in ``benchmarks/``.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from ..errors import InputError
from ..polynomial import Polynomial
from .hermite import ProfileTable, gauss_hermite

__all__ = ["QuadratureField"]


class QuadratureField:
    """Field and energy on nodes with w in V (rho = 0); ``evaluate`` as :class:`LimitField` has it.

    ``points`` Gauss-Hermite nodes in each of the p <= 3 directions (``largest_p`` allows more, at a price).
    """

    table = ProfileTable  # only its largest_radius is read by the integrator

    def __init__(self, target: Polynomial, activation, points: int = 40, largest_p: int = 3):
        if target.p > largest_p:
            raise InputError(f"tensor quadrature is offered for p <= {largest_p}, the target has p = {target.p}")
        nodes, weights = gauss_hermite(points)
        self.z = np.array(list(product(nodes, repeat=target.p)))
        self.weights = np.array([np.prod(w) for w in product(weights, repeat=target.p)])
        self.values = target(self.z)
        self.activation = activation

    def evaluate(self, a: np.ndarray, w: np.ndarray, rho: np.ndarray, mass: np.ndarray):
        """(a_dot, w_dot, rho_dot, loss) at unit learning rates."""
        if np.any(rho > 0):
            raise InputError("tensor quadrature is for weights inside V (rho = 0)")
        y = w @ self.z.T  # (N, Q)
        s = self.activation(y)
        residual = (mass * a) @ s - self.values
        weighted = self.weights * residual
        slope = self.activation.derivative(y)
        return (
            -s @ weighted,
            -a[:, None] * ((slope * weighted) @ self.z),
            np.zeros_like(a),
            0.5 * float(weighted @ residual),
        )
