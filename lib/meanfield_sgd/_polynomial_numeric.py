"""Polynomials on arrays (numpy, torch, or anything that indexes and multiplies like them), and embedded in R^d.

Neither numpy nor torch is imported here before an array is given: the arrays bring their own operations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    from .polynomial import Polynomial

__all__ = ["EmbeddedPolynomial", "as_float_array", "evaluate", "horner_plan"]

# A plan is a number, or (variable, [(child plan, gap), ...]) in descending powers: after each child is added, the sum
# is multiplied by the variable to the power gap.
Plan = Any


def horner_plan(terms: Sequence[tuple[tuple[int, ...], float]]) -> Plan:
    """Nested Horner scheme for at least one term."""
    used = next((i for i in range(len(terms[0][0])) if any(exps[i] for exps, _ in terms)), None)
    if used is None:
        return math.fsum(c for _, c in terms)
    groups: dict[int, list] = {}
    for exps, c in terms:
        groups.setdefault(exps[used], []).append((exps[:used] + (0,) + exps[used + 1 :], c))
    powers = sorted(groups, reverse=True)
    return used, [(horner_plan(groups[e]), e - low) for e, low in zip(powers, powers[1:] + [0])]


def evaluate(plan: Plan, z: Any) -> Any:
    """The plan at z of shape (..., p); shape (...), dtype and device of z."""
    if not isinstance(plan, tuple):
        return z[..., :0].sum(-1) + plan  # an empty sum: zero of the right shape, dtype and device, known to autograd
    columns: dict[tuple[int, int], Any] = {}

    def column(i: int, e: int) -> Any:
        if (i, e) not in columns:
            columns[i, e] = z[..., i] if e == 1 else column(i, e // 2) * column(i, e - e // 2)
        return columns[i, e]

    def run(plan: Plan) -> Any:
        if not isinstance(plan, tuple):
            return plan
        i, steps = plan
        total = 0.0
        for k, (child, gap) in enumerate(steps):
            total = run(child) if k == 0 else total + run(child)
            if gap:
                power = column(i, gap)
                total = power if isinstance(total, float) and total == 1.0 else total * power
        return total

    return run(plan)


def as_float_array(z: Any, width: int, names: str) -> Any:
    """``z`` as an array of floats whose last axis has ``width`` entries; lists become numpy float64 arrays.

    Raises:
        InputError: another shape, or entries that are not numbers.
    """
    if not hasattr(z, "shape") or not hasattr(z, "dtype"):
        import numpy as np

        try:
            z = np.asarray(z, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"expected an array of numbers of shape (..., {width}), got {type(z).__name__}") from None
    shape = tuple(z.shape)
    if not shape or shape[-1] != width:
        mend = f"the last axis runs over {names}"
        if width == 1:
            mend += "; for a list of points write z[..., None]"
        elif len(shape) >= 2 and shape[-2] == width:
            mend += "; transpose it"
        raise InputError(f"expected an array of shape (..., {width}), got {shape}; {mend}")
    kind = getattr(z.dtype, "kind", None)
    if kind is None:  # torch
        return z if z.is_floating_point() or z.is_complex() else z.double()
    if kind in "iub":
        return z.astype("float64")
    if kind not in "fcV":  # V: the small float types of other libraries
        raise InputError(f"expected an array of floats, got dtype {z.dtype}; convert it with astype(float)")
    return z


class EmbeddedPolynomial:
    """f*(x) = h(frame x) on R^d: a target that looks at p directions of a d-dimensional Gaussian only.

    Made by :meth:`Polynomial.embed`. Calling it on x of shape (..., d), numpy or torch, gives shape (...).

    Attributes:
        polynomial: h, with p variables.
        dimension: d.
        is_coordinate: whether the frame is the first p coordinates (no product is then computed).
    """

    def __init__(self, polynomial: Polynomial, dimension: int, frame: Any = None):
        p = polynomial.p
        if isinstance(dimension, bool) or not hasattr(dimension, "__index__"):
            raise InputError(f"embed: the dimension must be a whole number, got {dimension!r}")
        dimension = dimension.__index__()
        if dimension < max(p, 1):
            raise InputError(f"embed: dimension {dimension} has no room for {p} variables; give at least {max(p, 1)}")
        self.polynomial = polynomial
        self.dimension = dimension
        self.is_coordinate = frame is None
        self._frame = None if frame is None else _orthonormal(frame, p, dimension)
        self._converted: dict[Any, Any] = {}

    @property
    def frame(self) -> Any:
        """Orthonormal rows, numpy float64 of shape (p, d)."""
        if self._frame is not None:
            return self._frame.copy()
        import numpy as np

        return np.eye(self.polynomial.p, self.dimension)

    def project(self, x: Any) -> Any:
        """z = frame x: (..., d) -> (..., p)."""
        x = as_float_array(x, self.dimension, f"the {self.dimension} coordinates of x")
        if self._frame is None:
            return x[..., : self.polynomial.p]
        key = (str(x.dtype), str(getattr(x, "device", "")))
        if key not in self._converted:
            if hasattr(x, "new_tensor"):
                self._converted[key] = x.new_tensor(self._frame.T)
            else:
                self._converted[key] = self._frame.T.astype(x.dtype)
        return x @ self._converted[key]

    def __call__(self, x: Any) -> Any:
        return self.polynomial(self.project(x))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_converted": {}}

    def __repr__(self) -> str:
        where = "" if self.is_coordinate else ", frame=..."
        return f"{self.polynomial!r}.embed({self.dimension}{where})"


def _orthonormal(frame: Any, p: int, dimension: int) -> Any:
    import numpy as np

    if hasattr(frame, "detach"):
        frame = frame.detach().cpu().double().numpy()
    try:
        rows = np.array(frame, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"embed: expected a frame of numbers, shape ({p}, {dimension}), got a {type(frame)}") from None
    if rows.shape != (p, dimension):
        raise InputError(f"embed: expected a frame of shape ({p}, {dimension}), one row a variable, got {rows.shape}")
    off = float(np.abs(rows @ rows.T - np.eye(p)).max(initial=0.0))
    if not off <= 1e-8:  # also catches NaN
        raise InputError(
            f"embed: the rows of the frame are not orthonormal (off by {off:.2g}, at most 1e-8 is allowed); "
            "orthonormalise them, for instance with numpy.linalg.qr(frame.T)[0].T"
        )
    return rows
