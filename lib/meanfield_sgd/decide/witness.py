"""Is h reflective with respect to a given S? And where not: a place (u, v) at which one sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, product
from typing import Any

from sympy import QQ

from .. import _sparse
from .._polynomial_linear import orthogonal
from ._linear import dot, null_space, number, primitive, real
from ._slope import averages
from ._target import FLOAT_TOLERANCE, Target, as_activation, read_rows, read_target, substitute
from .reflective import counting_orders, inverse_of
from .subspace import Contraction, form_text, shown, shown_rows

__all__ = ["Reflectivity", "Witness", "is_reflective"]


_CLEAR = 0.02  # |G| relative to the largest |B_k[v^k]|/k!, beyond which nobody doubts that it is not zero


@dataclass(frozen=True)
class Witness:
    r"""A place where the reflective property fails: :math:`G(u, v) = \mathbb{E}[h\,\sigma'(u + v \cdot z)\,z_S] \ne 0`.

    Attributes:
        u: a Fraction. v: a vector of the complement of S, exact.
        value: G(u, v) as a vector of floats in the coordinates of z, from a quadrature in one dimension.
        contraction: the exact reason: a C_k[y_1, ..., y_{k-1}] with all y in the complement of S and a part in S; its
            ``arguments`` number the rows of ``frame``.
        frame: rows that span the complement of S.
    """

    u: Any
    v: tuple[Any, ...]
    value: tuple[float, ...]
    contraction: Contraction
    frame: tuple[tuple[Any, ...], ...]

    @property
    def reason(self) -> str:
        """The contraction in words: "C_3[z1, z3] has the part z2 in S"."""
        names = self.contraction.variables
        inside = ", ".join(form_text(self.frame[i - 1], names) for i in self.contraction.arguments)
        called = f"C_{self.contraction.order}" + (f"[{inside}]" if inside else "")
        return f"{called} has the part {form_text(self.contraction.value, names)} in S"

    def __str__(self) -> str:
        v = form_text(self.v, self.contraction.variables)
        value = ", ".join(f"{x:.6g}" for x in self.value)
        return f"G(u, v) = ({value}) at u = {self.u}, v = {v}"


@dataclass(frozen=True)
class Reflectivity:
    """The answer of :func:`is_reflective`; true or false in an ``if``."""

    reflective: bool
    witness: Witness | None
    arithmetic: str
    orders: tuple[int, ...]

    def __bool__(self) -> bool:
        return self.reflective

    def __str__(self) -> str:
        return "reflective" if self.reflective else f"not reflective: {self.witness}"


def is_reflective(
    h: Any, S: Any, activation: Any = None, *, basis: Any = None, tolerance: float = FLOAT_TOLERANCE
) -> Reflectivity:
    r"""Whether :math:`G(u, v) = \mathbb{E}[h(z)\,\sigma'(u + v \cdot z_{S^\perp})\,z_S]` vanishes for all u and v.

    Exactly when no Hermite term of h has total degree one in S, in any coordinates adapted to S and its complement;
    for a polynomial sigma of degree m, when no term of order at most m has. Where it fails, a witness says where.

    Args:
        S: rows that span the subspace: exact numbers, linear forms as texts (``["z2", "z1 - z3"]``), a Subspace; floats
            make the answer numeric.
        h, activation, basis, tolerance: as in :func:`reached_subspace`. With activation=None the witness is for tanh.

    Raises:
        InputError: S does not fit the variables, and as :func:`reached_subspace`.

    Source: this book, The reflective property; definition: Chen and Ge. Checked against quadrature in two routes.
    """
    target = read_target(h, basis=basis, tolerance=tolerance)
    sigma = as_activation("tanh" if activation is None else activation)
    orders = counting_orders(target, sigma, bias=True)
    rows, exact_rows = read_rows(S, target.variables, "S")
    if target.exact and not exact_rows:
        target = target.as_numeric(tolerance)
    if not target.exact:
        rows = [[number(x) for x in row] for row in rows]
    inside = target.span(rows)
    frame = null_space(inside)
    frame = [primitive(u) for u in orthogonal(frame)] if target.exact else frame
    columns = [[u[i] for u in frame] for i in range(target.p)]
    images = [substitute(part, columns) for part in target.gradient(target.restricted(orders))]
    across = _projected(images, inside.rows if not target.exact else orthogonal(inside.rows), target)
    label = "exact" if target.exact else "numeric"
    if target.exact:
        broken = {key: vector for key, vector in across.items() if any(vector)}
    else:
        limit = target.tolerance * target.scale
        broken = {key: v for key, v in across.items() if math.sqrt(float(dot(v, v))) > limit}
    if not broken:
        return Reflectivity(True, None, label, orders)
    return Reflectivity(False, _witness(broken, frame, sigma, target), label, orders)


def _projected(images: list[dict[int, Any]], normals: list[list[Any]], target: Target) -> dict[int, list[Any]]:
    """The part in S, as {monomial of t: vector}; normals are orthogonal and span S."""
    found: dict[int, list[Any]] = {}
    for n in normals:
        square = inverse_of(dot(n, n))
        for i, image in enumerate(images):
            if n[i]:
                for key, c in image.items():
                    vector = found.setdefault(key, [0] * target.p)
                    for j, x in enumerate(n):
                        if x:
                            vector[j] = vector[j] + c * (n[i] * x * square)
    return found


def _witness(broken: dict[int, list[Any]], frame: list[list[Any]], sigma: Any, target: Target) -> Witness:
    key = min(broken, key=lambda k: (sum(_sparse.exponents(k, len(frame))), k))
    gamma = _sparse.exponents(key, len(frame))
    weight = math.prod(map(math.factorial, gamma))
    arguments = tuple(i + 1 for i, e in enumerate(gamma) for _ in range(e))
    value = shown_rows([[x * weight for x in broken[key]]])[0]
    reason = Contraction(sum(gamma) + 1, arguments, value, value, 1, target.variables)
    best: tuple[float, Any, Any, Any] = (-1.0, None, None, None)
    for t in islice(_places(broken, len(frame)), 8):
        v = [sum((c * u[i] for c, u in zip(t, frame)), 0) for i in range(target.p)]
        length, tensors = math.sqrt(float(number(dot(v, v)))), _along(broken, t, len(frame), target.p)
        unit = max(1, math.ceil(length))  # |v| <= 1: neither is sigma' lost in its tails, nor is an exponential huge
        scale = max(_length(b) / unit**k for k, b in tensors.items())
        for part in (unit, 2 * unit, 4 * unit):
            for u in (Fraction(0), Fraction(1, 2), Fraction(-1), Fraction(2)):
                if not length and float(u) in sigma.breakpoints:
                    continue  # sigma' has no value there
                mean = averages(sigma, max(tensors) + 1, u, length / part)
                g = [sum(mean[k] / part**k * b[j] for k, b in tensors.items()) for j in range(target.p)]
                size = float(_length(g) / scale)
                if size > best[0]:
                    best = (size, u, [x * QQ(1, part) if target.exact else x / part for x in v], g)
                if size > _CLEAR:
                    break
            if best[0] > _CLEAR:
                break
        if best[0] > _CLEAR / 100:
            break
    _, u, v, g = best
    largest = max(map(abs, g))
    value = tuple(0.0 if abs(x) < 1e-13 * largest else float(x) for x in g)
    return Witness(u, tuple(map(shown, v)), value, reason, shown_rows(frame))


def _places(broken: dict[int, list[Any]], width: int) -> Any:
    """Small whole-number points t at which the broken polynomial does not vanish."""
    if not width:
        yield ()
        return
    for reach in (1, 2, 3):
        for t in product(*[range(-reach, reach + 1)] * width):
            if any(t) and max(map(abs, t)) == reach and any(map(any, _along(broken, t, width, 0).values())):
                yield t
    if any(not any(_sparse.exponents(key, width)) for key in broken):
        yield (0,) * width


def _length(v: Sequence[Any]) -> Any:
    return real.sqrt(sum(x * x for x in v))


def _along(broken: dict[int, list[Any]], t: Sequence[int], width: int, p: int) -> dict[int, list[Any]]:
    """{k: B_k[v^k]/k!} at v = sum t_i u_i; with p = 0 the exact vectors, otherwise numbers of any size."""
    found: dict[int, list[Any]] = {}
    for key, vector in broken.items():
        gamma = _sparse.exponents(key, width)
        factor = math.prod(x**e for x, e in zip(t, gamma))
        if factor:
            sums = found.setdefault(sum(gamma), [0] * len(vector))
            for j, x in enumerate(vector):
                sums[j] = sums[j] + x * factor
    return {k: [number(x) for x in v] for k, v in found.items()} if p else found
