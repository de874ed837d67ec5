r"""The correlation profile of a student and a teacher activation: all that gradient flow on a correlation loss sees of them.

.. math::
   g(u)=E[\sigma(w\cdot x)\,\sigma^*(v\cdot x)]=\sum_pc_pu^p,\qquad c_p=a_pb_p,\quad u=w\cdot v,\ |w|=|v|=1,

with the coefficients :math:`a_p=E[\sigma(g)he_p(g)]`, :math:`b_p` of both in orthonormal Hermite polynomials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from numbers import Rational, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..simulate._common import read_activation, read_count, short

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["CorrelationProfile", "correlation_profile"]

_ORDERS = 400  # Hermite orders of an activation without a closed form
_NEGLIGIBLE = 1e-17  # of the largest coefficient


class CorrelationProfile:
    r"""A profile :math:`g(u)=\sum_pc_pu^p` on [-1, 1], with its two derivatives. Calling it gives g(u), elementwise.

    Parameters
    ----------
    coefficients : {order p: c_p}, orders >= 1, not all zero; a list or tuple means c_0, c_1, ...

    Attributes
    ----------
    coefficients : {p: c_p}, ascending, zeros left out; Fractions where they are known exactly, floats otherwise. With a closed
        form (``closed``) they are the leading ones.
    exact : whether all coefficients are Fractions.
    closed : the name of the closed form that is used for values and derivatives, or None: then the sum is.
    """

    def __init__(self, coefficients: Any):
        source = coefficients if isinstance(coefficients, CorrelationProfile) else None
        if source is not None:
            coefficients = source.coefficients
        if not isinstance(coefficients, Mapping):
            try:
                coefficients = dict(enumerate(coefficients))
            except TypeError:
                raise InputError(f"coefficients must be {{order: c_p}}, got {short(coefficients)}") from None
        found: dict[int, Any] = {}
        for order, value in sorted(coefficients.items(), key=lambda item: int(item[0])):
            order = read_count(order, "an order", 0)
            number = _number(value)
            if order and number:
                found[order] = number
        if not found:
            raise InputError("a correlation profile needs a coefficient c_p that is not 0, p >= 1")
        self.coefficients = found
        self.exact = all(isinstance(value, Fraction) for value in found.values())
        self.closed: str | None = None
        dense = np.zeros(max(found) + 1)
        for order, value in found.items():
            dense[order] = float(value)
        self._derivatives = [dense]
        for _ in range(2):
            self._derivatives.append(np.polynomial.polynomial.polyder(self._derivatives[-1]))
        self._functions: list[Any] | None = None
        if source is not None:
            self.closed, self._functions = source.closed, source._functions

    def __repr__(self) -> str:
        if self.closed:
            return f"<CorrelationProfile of {self.closed}, c_p from p = {self.information_exponent}>"
        shown = [f"{_text(value)} u^{order}" for order, value in list(self.coefficients.items())[:4]]
        more = " + ..." if len(self.coefficients) > 4 else ""
        return f"<CorrelationProfile {' + '.join(shown)}{more}>"

    def __call__(self, u: Any) -> Any:
        return self._value(0, u)

    def slope(self, u: Any) -> Any:
        """g'(u), elementwise."""
        return self._value(1, u)

    def curvature(self, u: Any) -> Any:
        """g''(u), elementwise."""
        return self._value(2, u)

    def _value(self, derivative: int, u: Any) -> Any:
        u = np.asarray(u, dtype=float)
        if self._functions is not None:
            values = self._functions[derivative](np.clip(u, -1.0, 1.0))
        elif len(self.coefficients) == 1 and not derivative > self.information_exponent:
            order, c = self.information_exponent, float(next(iter(self.coefficients.values())))
            values = c * math.perm(order, derivative) * u ** (order - derivative)
        else:
            values = np.polynomial.polynomial.polyval(u, self._derivatives[derivative])
        return float(values) if np.ndim(values) == 0 else values

    @property
    def information_exponent(self) -> int:
        """p*, the lowest order p >= 1 with c_p != 0."""
        return min(self.coefficients)

    @property
    def order(self) -> int | None:
        """The order p if g(u) = c_p u^p, else None."""
        return self.information_exponent if len(self.coefficients) == 1 and not self.closed else None

    @property
    def parity(self) -> str | None:
        """``"even"`` or ``"odd"`` if all orders are, else None."""
        kinds = {order % 2 for order in self.coefficients}
        return None if len(kinds) > 1 else ("odd" if kinds == {1} else "even")


def correlation_profile(
    student: Activation | str, teacher: Activation | str | None = None, *, first_order: int = 3
) -> CorrelationProfile:
    r"""The profile g of a student and a teacher activation, without their orders below ``first_order``.

    .. math::
       g(u)=\sum_{p\ge p_0}a_pb_pu^p,\qquad a_p=E[\sigma(g)he_p(g)],\quad b_p=E[\sigma^*(g)he_p(g)].

    Exact rationals for polynomials; closed forms for piecewise linear activations with a corner at 0 (ReLU, leaky ReLU, abs: the
    arc-cosine kernel) and for erf with itself (the arcsine kernel); else the series to order 400, whose coefficients come from
    quadrature.

    Parameters
    ----------
    student, teacher : sigma and sigma*, Activations or texts; teacher None: the same as the student.
    first_order : p_0 >= 1. Simsek, Bendjeddou and Hsu assume that the orders 1 and 2 are absent, hence 3.

    Returns
    -------
    CorrelationProfile

    Raises
    ------
    InputError if no order is left.

    Source: Simsek, Bendjeddou and Hsu, arXiv 2411.08798. Checked against two-dimensional quadrature.
    """
    student = read_activation(student, jumps=True)
    teacher = student if teacher is None else read_activation(teacher, jumps=True)
    first_order = read_count(first_order, "first_order")
    polynomial = [_hermite_coefficients(activation) for activation in (student, teacher)]
    if all(coefficients is not None for coefficients in polynomial):
        a, b = polynomial
        found = {p: math.factorial(p) * a[p] * b[p] for p in a if p in b and p >= first_order}
        return CorrelationProfile({p: c for p, c in found.items() if c} or _nothing(student, teacher, first_order))
    from ..simulate.hermite import hermite_profile

    rows = [np.asarray(hermite_profile(activation, np.array([1.0]), _ORDERS))[0] for activation in (student, teacher)]
    product = rows[0] * rows[1]
    product[:first_order] = 0.0
    size = float(np.abs(product).max())
    # What parity forbids comes out of the quadrature as rounding.
    kept = {p: float(c) for p, c in enumerate(product) if abs(c) > max(_NEGLIGIBLE * size, 1e-30)}
    profile = CorrelationProfile(kept or _nothing(student, teacher, first_order))
    closed = _closed_form(student, teacher)
    if closed is not None:
        name, functions = closed
        low = np.zeros(first_order)
        full = rows[0][:first_order] * rows[1][:first_order]
        low[: len(full)] = full
        profile.closed, profile._functions = name, [_without(f, low, i) for i, f in enumerate(functions)]
    return profile


def _nothing(student: Activation, teacher: Activation, first_order: int) -> dict:
    raise InputError(f"{student} and {teacher} have no Hermite order p >= {first_order} in common (up to {_ORDERS})")


def _without(function: Any, low: np.ndarray, derivative: int) -> Any:
    part = low
    for _ in range(derivative):
        part = np.polynomial.polynomial.polyder(part)
    return lambda u: function(u) - np.polynomial.polynomial.polyval(u, part)


def _closed_form(student: Activation, teacher: Activation) -> tuple[str, list[Any]] | None:
    """(name, [E sigma(a) sigma*(b) as a function of the correlation, its derivative, its second derivative])."""
    from ..activation import Activation
    from ._averages import homogeneous

    left, right = homogeneous(student), homogeneous(teacher)
    if left and right:
        (p, q, r), (p2, q2, r2) = left, right
        constant = r * r2 + math.sqrt(2 / math.pi) * (q * r2 + r * q2)
        scale = 2 / math.pi * q * q2

        def second(u: np.ndarray) -> np.ndarray:
            with np.errstate(divide="ignore"):
                return scale / np.sqrt(1 - u * u)

        return "the arc-cosine kernel", [
            lambda u: constant + p * p2 * u + scale * (np.sqrt(1 - u * u) + u * np.arcsin(u)),
            lambda u: p * p2 + scale * np.arcsin(u),
            second,
        ]
    if student == teacher == Activation("erf"):
        return "the arcsine kernel", [
            lambda u: 2 / math.pi * np.arcsin(u / 2),
            lambda u: 1 / (math.pi * np.sqrt(1 - u * u / 4)),
            lambda u: u / (4 * math.pi * (1 - u * u / 4) ** 1.5),
        ]
    return None


def _hermite_coefficients(activation: Activation) -> dict[int, Fraction] | None:
    """{p: coefficient of He_p} of a polynomial activation with rational coefficients; None for any other."""
    if activation.breakpoints or activation.polynomial_degree is None:
        return None
    jet = activation.jet(activation.polynomial_degree)
    if not all(getattr(value, "is_Rational", isinstance(value, (int, Fraction))) for value in jet):
        return None
    powers = [Fraction(int(value.numerator), int(value.denominator)) / math.factorial(i) for i, value in enumerate(jet)]
    found: dict[int, Fraction] = {}
    for i, c in enumerate(powers):  # y^i = sum_j i!/(2^j j! (i-2j)!) He_{i-2j}
        for j in range(i // 2 + 1):
            weight = Fraction(math.factorial(i), 2**j * math.factorial(j) * math.factorial(i - 2 * j))
            found[i - 2 * j] = found.get(i - 2 * j, Fraction(0)) + c * weight
    return {p: c for p, c in found.items() if c}


def _number(value: Any) -> Fraction | float:
    if isinstance(value, Rational) and not isinstance(value, bool):
        return Fraction(value)
    if isinstance(value, str):
        try:
            return Fraction(value)
        except ValueError:
            raise InputError(f"a coefficient must be a number, got {short(value)}") from None
    if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(float(value)):
        return float(value)
    raise InputError(f"a coefficient must be a finite number, got {short(value)}")


def _text(value: Fraction | float) -> str:
    return str(value) if isinstance(value, Fraction) else f"{value:.4g}"


def read_profile(g: Any) -> CorrelationProfile:
    """A CorrelationProfile from itself, from an order p (u^p) or from coefficients."""
    if isinstance(g, CorrelationProfile):
        return g
    if isinstance(g, (int, np.integer)) and not isinstance(g, bool):
        return CorrelationProfile({read_count(g, "the order"): 1})
    return CorrelationProfile(g)
