"""The algebra of polynomials with exact coefficients: construction, equality, text, arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from numbers import Real
from typing import Any, Self

import sympy
from sympy import QQ

from . import _exact, _sparse
from ._exact import public
from ._exact_input import exact
from ._expression import quote
from ._polynomial_parse import (
    check_variables,
    default_variables,
    parse_polynomial,
    polynomial_latex,
    polynomial_text,
    sorted_keys,
)
from ._sparse import Terms, Work
from .errors import InputError

__all__ = ["PolynomialAlgebra"]


class PolynomialAlgebra:
    """What :class:`~meanfield_sgd.Polynomial` is without the Gaussian: see there for arguments, limits and errors."""

    __array_ufunc__ = None  # numpy leaves  array * polynomial  to this class, which refuses it in words

    def __init__(self, source: str | PolynomialAlgebra | Any, variables: Iterable[str] | None = None):
        names = None if variables is None else check_variables(variables)
        if isinstance(source, PolynomialAlgebra):
            names = source._variables if names is None else names
            self._variables, self._terms = names, _renamed(source, names)
        elif isinstance(source, str):
            self._variables, self._terms = parse_polynomial(source, names)
        else:
            number = exact(source, "polynomial")
            self._variables, self._terms = names or (), {0: number} if number else {}

    @classmethod
    def _of(cls, terms: Terms, variables: tuple[str, ...]) -> Self:
        made = cls.__new__(cls)
        made._terms, made._variables = terms, variables
        return made

    @classmethod
    def from_terms(cls, terms: Mapping[Sequence[int], Any], variables: Iterable[str] | None = None) -> Self:
        """sum of c z^alpha from ``{alpha: c}``: exponent tuples of one length; exact numbers, or texts such as "2/3".

        Raises:
            InputError: exponents that are not whole numbers >= 0 or of different lengths, coefficients that are not
                exact or not finite, or a limit of the class.
        """
        if not isinstance(terms, Mapping):
            raise InputError(f"expected a dict {{exponents: coefficient}}, got {type(terms).__name__}")
        names = None if variables is None else check_variables(variables)
        width = None if names is None else len(names)
        found: Terms = {}
        for alpha, value in terms.items():
            exps = _exponents(alpha, width)
            width = len(exps)
            number = exact(value, f"the coefficient of {exps}")
            if number:
                key = _sparse.monomial(exps)
                found[key] = found[key] + number if key in found else number
        names = default_variables(width or 0) if names is None else names
        return cls._of(_sparse.bounded({k: c for k, c in found.items() if c}), check_variables(names))

    def _like(self, terms: Terms) -> Self:
        return type(self)._of(terms, self._variables)

    # What it is

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the coordinates of V."""
        return self._variables

    @property
    def p(self) -> int:
        """Number of coordinates."""
        return len(self._variables)

    @cached_property
    def degree(self) -> int:
        """Total degree; 0 for constants, the zero polynomial included."""
        return _sparse.degree(self._terms)

    @property
    def terms(self) -> dict[tuple[int, ...], Any]:
        """``{exponents: coefficient}`` by degree; coefficients Fraction, or sympy numbers where irrational."""
        return self._shown(self._terms)

    def _shown(self, terms: Terms) -> dict[tuple[int, ...], Any]:
        return {_sparse.exponents(key, self.p): public(terms[key]) for key in sorted_keys(terms, self.p)}

    @property
    def domain(self) -> sympy.polys.domains.domain.Domain:
        """A sympy field with the coefficients: ``QQ`` or ``QQ.algebraic_field(sqrt(2), ...)``, independent roots."""
        generators: list[int] = []
        reached = {1}
        for m in sorted(_exact.roots_in(self._terms.values())):
            if m not in reached:
                generators.append(m)
                reached |= {m * g // math.gcd(m, g) ** 2 for g in reached}
        if len(generators) > 4:  # sympy then needs minutes
            raise InputError(f"a field with {len(generators)} independent square roots is beyond sympy; at most 4")
        return QQ.algebraic_field(*map(sympy.sqrt, generators)) if generators else QQ

    def to_sympy(self) -> sympy.Expr:
        """The sympy expression in symbols named like the variables."""
        symbols = sympy.symbols(self._variables)
        return sympy.Add(*(sympy.Mul(c, *(s**e for s, e in zip(symbols, exps))) for exps, c in self.terms.items()))

    def __str__(self) -> str:
        return polynomial_text(self._terms, self._variables)

    def __repr__(self) -> str:
        text = str(self)
        used = [i for i in range(self.p) if any((key >> 8 * i) & 255 for key in self._terms)]
        plain = self._variables == default_variables(max(used, default=-1) + 1)
        return f'Polynomial("{text}")' if plain else f'Polynomial("{text}", variables={list(self._variables)})'

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {polynomial_latex(self._terms, self._variables)}$"

    def __bool__(self) -> bool:
        return bool(self._terms)

    @cached_property
    def _named(self) -> frozenset:
        """Independent of the order of the variables and of those that do not occur."""
        named = []
        for key, c in self._terms.items():
            exps = _sparse.exponents(key, self.p)
            named.append((frozenset((name, e) for name, e in zip(self._variables, exps) if e), c))
        return frozenset(named)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PolynomialAlgebra):
            if isinstance(other, (Real, Decimal, sympy.Expr)) and not isinstance(other, bool):
                try:
                    return self._named == type(self)(other)._named
                except InputError:
                    return False
            return NotImplemented
        if self._variables == other._variables:
            return self._terms == other._terms
        return self._named == other._named

    def __hash__(self) -> int:
        if not self._terms or set(self._terms) == {0}:  # equal to a number: hash like it
            return hash(public(self._terms.get(0, QQ.zero)))
        return hash(self._named)

    # Algebra

    def _pair(self, other: Any) -> tuple[Self, Self] | None:
        """Both in common variables; None if ``other`` is nothing that a polynomial can be combined with."""
        if not isinstance(other, PolynomialAlgebra):
            if not isinstance(other, (Real, Decimal, sympy.Expr)):
                return None
            other = type(self)(other)
        if self._variables == other._variables:
            return self, other
        names = _joined(self._variables, other._variables)
        return type(self)(self, names), type(self)(other, names)

    def __add__(self, other: Any) -> Self:
        pair = self._pair(other)
        if pair is None:
            return NotImplemented
        return pair[0]._like(_sparse.add(pair[0]._terms, pair[1]._terms, Work()))

    __radd__ = __add__

    def __neg__(self) -> Self:
        return self._like({key: -c for key, c in self._terms.items()})

    def __pos__(self) -> Self:
        return self

    def __sub__(self, other: Any) -> Self:
        pair = self._pair(other)
        if pair is None:
            return NotImplemented
        return pair[0]._like(_sparse.add(pair[0]._terms, pair[1]._terms, Work(), -1))

    def __rsub__(self, other: Any) -> Self:
        return NotImplemented if self._pair(other) is None else -self + other

    def __mul__(self, other: Any) -> Self:
        pair = self._pair(other)
        if pair is None:
            return NotImplemented
        return pair[0]._like(_sparse.multiply(pair[0]._terms, pair[1]._terms, Work()))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Self:
        pair = self._pair(other)
        if pair is None:
            return NotImplemented
        first, second = pair
        if any(second._terms):
            raise InputError(f"division by {quote(str(second))} does not give a polynomial; divide by numbers only")
        if not second._terms:
            raise ZeroDivisionError("division of a polynomial by zero")
        return first._like(_sparse.scale(first._terms, _exact.inverse(second._terms[0])))

    def __rtruediv__(self, other: Any) -> Self:
        return NotImplemented if self._pair(other) is None else type(self)(other) / self

    def __pow__(self, n: int) -> Self:
        if isinstance(n, bool) or not hasattr(n, "__index__") or n < 0:
            raise InputError(f"the exponent {n!r} does not give a polynomial; use a whole number >= 0")
        n = n.__index__()
        if not any(self._terms):
            number = _exact.power(self._terms.get(0, QQ.zero), n)
            return self._like({0: number} if number else {})
        return self._like(_sparse.power(self._terms, n, Work()))


def _exponents(alpha: Any, width: int | None) -> tuple[int, ...]:
    try:
        exps = tuple(e.__index__() for e in alpha)
    except (TypeError, AttributeError):
        raise InputError(f"exponents are tuples of whole numbers such as (1, 0, 2), got {str(alpha)[:40]}") from None
    if width is not None and len(exps) != width:
        raise InputError(f"the exponents {str(exps)[:60]} have {len(exps)} entries where {width} were expected")
    if any(e < 0 for e in exps):
        raise InputError(f"the exponents {str(exps)[:60]} are negative somewhere: not a polynomial")
    _sparse.check_degree(sum(exps))
    return exps


def _joined(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """The variables of both: z1, ..., zp stay in their order, otherwise the first's and then the second's new ones."""
    longest = max(first, second, key=len)
    if set(first) <= set(longest) and set(second) <= set(longest):
        return longest
    return check_variables(first + tuple(name for name in second if name not in first))


def _renamed(source: PolynomialAlgebra, names: tuple[str, ...]) -> Terms:
    """The terms of ``source`` by the positions that its variables have in ``names``."""
    if names[: source.p] == source.variables:
        return source._terms
    place = {name: 8 * i for i, name in enumerate(names)}
    result = {}
    for key, c in source._terms.items():
        to = 0
        for name, e in zip(source.variables, _sparse.exponents(key, source.p)):
            if e:
                if name not in place:
                    raise InputError(f"the polynomial depends on {name}; the variables {list(names)[:9]} lack it")
                to += e << place[name]
        result[to] = c
    return result
