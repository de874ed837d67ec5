"""Target polynomials h on V = R^p, z ~ N(0, I_p): exact Hermite tensors, rotation, conditional expectation.

Everything here is exact (rational numbers and square roots of rationals); numbers become floats only when a polynomial
is called on an array. With He_alpha the probabilists' Hermite polynomials, not normalised, and d_alpha their
coefficients in h,

    h = sum_alpha d_alpha He_alpha,   C_k = E[grad^k h] = E[h He_k(z)],   C_k(e^alpha) = alpha! d_alpha  (|alpha| = k),

the generating function H(y) = E[h(z + y)] = sum_alpha d_alpha y^alpha = sum_k C_k[y^k] / k! carries all tensors at
once: rotations, projections and contractions are done on H.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

from sympy import QQ

from . import _exact, _sparse
from ._exact import public
from ._polynomial_algebra import PolynomialAlgebra
from ._polynomial_linear import Support, directions, orthonormal_basis, projector, square_matrix, support_of
from ._polynomial_numeric import EmbeddedPolynomial, as_float_array, evaluate, horner_plan
from ._polynomial_parse import sorted_keys
from ._sparse import Terms, Work
from .errors import InputError

__all__ = ["EmbeddedPolynomial", "Polynomial", "Support"]


class Polynomial(PolynomialAlgebra):
    r"""A polynomial h(z_1, ..., z_p) with exact coefficients; immutable.

    >>> h = Polynomial("z1 + z1*z2 + sqrt(2)*He3(z1)")
    >>> h.degree, h.variance()
    (3, Fraction(14, 1))

    Args:
        source: a text with ``+ - * / **``, parentheses, whole numbers, decimals (``0.1`` is 1/10), fractions, square
            roots of numbers (``sqrt(2)``) and Hermite polynomials (``He3(z1)``, ``He2((z1 + z2)/sqrt(2))``); a
            Polynomial (given again, or in more variables); or an exact number. Texts are read, never evaluated.
        variables: names of the coordinates, in order. Default: z1, ..., zp, with p the largest index that appears
            (``z1 + z3`` has p = 3 and does not depend on z2, which :meth:`support` reports; a number has p = 0).

    Two polynomials are equal when they are the same polynomial in the named variables; variables that do not occur do
    not count. Arithmetic joins the variables of both sides.

    Limits: degree at most 60, at most 50 000 terms, 128 variables, coefficients with numerators and denominators of at
    most 993 digits, 16 different square roots in a number, texts of at most 30 000 characters, and texts that need
    more than about a second to multiply out are refused.

    Raises:
        ParseError: the text is not a polynomial or exceeds a limit; one line with the column and the mend.
        InputError: ``source`` or ``variables`` is something else, or not exact (floats, NaN, infinities).
    """

    @classmethod
    def from_hermite(cls, coefficients: Mapping[Sequence[int], Any], variables: Iterable[str] | None = None) -> Self:
        """sum of d He_alpha(z) from ``{alpha: d}``, the inverse of :attr:`hermite_coefficients`. Errors: from_terms."""
        smoothed = cls.from_terms(coefficients, variables)
        return smoothed._like(_sparse.smooth(smoothed._terms, smoothed.p, Work(), -1))

    # Values

    def __call__(self, z: Any) -> Any:
        """h(z) for z of shape (..., p), a numpy array, torch tensor or nested list; shape (...).

        Floating dtype and device are those of ``z`` (whole numbers and lists are taken as float64); torch's autograd
        works through it. For an exact value at an exact point use :meth:`at`.

        Raises:
            InputError: another shape, entries that are not numbers, a coefficient beyond double precision.
        """
        return evaluate(self._plan, as_float_array(z, self.p, ", ".join(self._variables[:9]) or "no variables"))

    @cached_property
    def _plan(self) -> Any:
        keys = sorted_keys(self._terms, self.p)
        terms = [(_sparse.exponents(key, self.p), _exact.to_float(self._terms[key])) for key in keys]
        return horner_plan(terms or [((0,) * self.p, 0.0)])

    def at(self, point: Sequence[Any]) -> Any:
        """The exact value h(point) at p exact numbers."""
        (row,) = directions([point], self._variables, "at")
        value = _sparse.compose_linear(self._terms, [[x] for x in row], Work())
        return public(_exact.checked(sum(value.values(), QQ.zero)))

    def gradient(self) -> tuple[Polynomial, ...]:
        """(dh/dz_1, ..., dh/dz_p)."""
        return tuple(self._like(_sparse.derivative(self._terms, i)) for i in range(self.p))

    # Under the Gaussian

    @property
    def hermite_coefficients(self) -> dict[tuple[int, ...], Any]:
        """``{alpha: d_alpha}`` with h = sum d_alpha He_alpha, nonzero ones only."""
        return self._shown(self._smoothed)

    @cached_property
    def _smoothed(self) -> Terms:
        return _sparse.smooth(self._terms, self.p, Work())

    def expectation(self) -> Any:
        """E[h(z)], exact."""
        return public(self._smoothed.get(0, QQ.zero))

    def variance(self) -> Any:
        """Var h(z) = sum over alpha != 0 of alpha! d_alpha^2, exact."""
        smoothed = {key: c for key, c in self._smoothed.items() if key}
        return public(_hermite_product(smoothed, smoothed, self.p))

    def inner(self, other: Polynomial | Any) -> Any:
        """E[h(z) g(z)], exact; g in the same or in other variables (those are then independent)."""
        pair = self._pair(other)
        if pair is None:
            raise InputError(f"inner: expected a Polynomial or a number, got {type(other).__name__}")
        return public(_hermite_product(pair[0]._smoothed, pair[1]._smoothed, pair[0].p))

    def smoothed(self) -> Polynomial:
        """H(y) = E[h(z + y)] = sum d_alpha y^alpha, in the same variables."""
        return self._like(dict(self._smoothed))

    def hermite_tensor(self, k: int) -> dict[tuple[int, ...], Any]:
        """The symmetric tensor C_k = E[grad^k h]: ``{(i_1 <= ... <= i_k): value}``, 0-based, zeros left out."""
        k = _order(k)
        return self._tensor({key: c for key, c in self._smoothed.items() if sum(_sparse.exponents(key, self.p)) == k})

    def hermite_contraction(self, k: int, *vectors: Sequence[Any] | str) -> Any:
        """C_k[v_1, ..., v_m, ...] for m <= k exact vectors of V (sequences of p numbers, or linear forms as texts).

        Returns:
            an exact number if m = k, a list of p numbers if m = k - 1, otherwise the symmetric tensor of order k - m as
            in :meth:`hermite_tensor`.
        """
        k = _order(k)
        if len(vectors) > k:
            raise InputError(f"hermite_contraction: C_{k} takes at most {k} vectors, got {len(vectors)}")
        work = Work()
        part = {key: c for key, c in self._smoothed.items() if sum(_sparse.exponents(key, self.p)) == k}
        for v in directions(vectors, self._variables, "hermite_contraction"):
            part = _sparse.directional(part, v, work)
        if len(vectors) == k:
            return public(part.get(0, QQ.zero))
        if len(vectors) == k - 1:
            return [public(part.get(1 << 8 * i, QQ.zero)) for i in range(self.p)]
        return self._tensor(part)

    def _tensor(self, part: Terms) -> dict[tuple[int, ...], Any]:
        tensor = {}
        for key in sorted_keys(part, self.p):
            exps = _sparse.exponents(key, self.p)
            index = tuple(i for i, e in enumerate(exps) for _ in range(e))
            tensor[index] = public(part[key] * math.prod(map(math.factorial, exps)))
        return tensor

    # Subspaces

    def support(self) -> Support:
        """The smallest V such that h depends on the projection of z on V only: the span of all its gradients."""
        return support_of(self._terms, self._variables)

    def minimal(self) -> tuple[Polynomial, tuple[tuple[Any, ...], ...]]:
        """(h_min, basis): h(z) = h_min(basis z), basis an exact orthonormal basis of the support, as rows.

        If the support is spanned by coordinates, these are the basis and keep their names; otherwise h_min is in
        y1, ..., yk.

        Raises:
            InputError: no such basis was found with square roots of rationals only.
        """
        support = support_of(self._terms, self._variables)
        basis, kept = orthonormal_basis(support)
        names = tuple(self._variables[i] for i in kept) if kept is not None else None
        if names == self._variables:
            return self, _shown_rows(basis)
        columns = [[row[i] for row in basis] for i in range(self.p)]
        names = names if names is not None else tuple(f"y{i + 1}" for i in range(len(basis)))
        terms = _sparse.compose_linear(self._terms, columns, Work())
        return Polynomial._of(terms, names), _shown_rows(basis)

    def rotate(self, Q: Sequence[Sequence[Any]]) -> Polynomial:
        """h(Q z), for Q exact and orthogonal, p rows of p numbers (``[["3/5", "4/5"], ["-4/5", "3/5"]]``).

        Raises:
            InputError: another shape, floats, or Q Q^T is not exactly the identity.
        """
        matrix = square_matrix(Q, self._variables)
        return self._like(_sparse.compose_linear(self._terms, matrix, Work()))

    def conditional_expectation(self, basis: Sequence[Sequence[Any] | str] | str) -> Polynomial:
        """E[h | z_U] with U spanned by the given rows (p exact numbers each, or linear forms as texts: ``"z1 + z2"``).

        It is exp(1/2 sum_ij (I - P)_ij d_i d_j) h at P z, with P the projector on U: the polynomial whose generating
        function is H(P y), which is how it is computed. No rows: U = {0}, the expectation.
        """
        rows = directions([basis] if isinstance(basis, str) else basis, self._variables, "conditional_expectation")
        work = Work()
        projected = _sparse.compose_linear(self._smoothed, projector(rows, self.p), work)
        return self._like(_sparse.smooth(projected, self.p, work, -1))

    def embed(self, d: int, frame: Any = None) -> EmbeddedPolynomial:
        """f*(x) = h(frame x) on R^d; ``frame`` has p orthonormal rows (numpy, torch or lists; default: x_1, ..., x_p).

        Raises:
            InputError: d < p, or a frame of another shape or not orthonormal within 1e-8.
        """
        return EmbeddedPolynomial(self, d, frame)


def _shown_rows(rows: Sequence[Sequence[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(map(public, row)) for row in rows)


def _order(k: int) -> int:
    if isinstance(k, bool) or not hasattr(k, "__index__") or k < 0:
        raise InputError(f"the order of a Hermite tensor is a whole number >= 0, got {k!r}")
    return k.__index__()


def _hermite_product(a: Terms, b: Terms, p: int) -> Any:
    """sum_alpha alpha! a_alpha b_alpha."""
    total: Any = QQ.zero
    for key, c in a.items():
        if key in b:
            total = total + c * b[key] * math.prod(map(math.factorial, _sparse.exponents(key, p)))
    return _exact.checked(total)
