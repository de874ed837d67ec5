"""Polynomials in a few generators with exact coefficients: the numbers that a jet brings in, and symbols.

An element is ``{monomial: coefficient}``, the monomial one integer with 16 bits an exponent, the coefficients whole
numbers, rationals or sums of square roots. Only what the Taylor recursion needs: sums, products, zero tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

__all__ = ["Element", "determinant", "evaluate", "exponent", "generator"]

_BITS = 16
_MASK = (1 << _BITS) - 1


class Element:
    """A polynomial in generators; immutable, no zero coefficients, false exactly when zero."""

    __slots__ = ("terms",)

    def __init__(self, terms: dict[int, Any]):
        self.terms = terms

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __eq__(self, other: object) -> bool:
        return self.terms == _terms(other)

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __add__(self, other: Any) -> Element:
        total = dict(self.terms)
        for key, c in _terms(other).items():
            value = total[key] + c if key in total else c
            if value:
                total[key] = value
            else:
                del total[key]
        return Element(total)

    __radd__ = __add__

    def __neg__(self) -> Element:
        return Element({key: -c for key, c in self.terms.items()})

    def __sub__(self, other: Any) -> Element:
        return self + (-other)

    def __rsub__(self, other: Any) -> Element:
        return -self + other

    def __mul__(self, other: Any) -> Element:
        if not isinstance(other, Element):
            return Element({key: c * other for key, c in self.terms.items()}) if other else Element({})
        total: dict[int, Any] = {}
        get = total.get
        items = list(other.terms.items())
        for key, c in self.terms.items():
            for k, d in items:
                at = key + k
                total[at] = get(at, 0) + c * d
        return Element({key: c for key, c in total.items() if c})

    __rmul__ = __mul__


def _terms(value: Any) -> dict[int, Any]:
    if isinstance(value, Element):
        return value.terms
    return {0: value} if value else {}


def generator(i: int, power: int = 1) -> Element:
    return Element({power << (_BITS * i): 1})


def exponent(key: int, i: int) -> int:
    return (key >> (_BITS * i)) & _MASK


def evaluate(value: Any, at: Sequence[Any]) -> Any:
    """The value where generator i is at[i]; numbers are returned as they are."""
    if not isinstance(value, Element):
        return value
    total: Any = 0
    for key, c in value.terms.items():
        for x in at:
            e, key = key & _MASK, key >> _BITS
            if e:
                c = c * x**e
        total = total + c
    return total


def determinant(rows: Sequence[Sequence[Any]]) -> Any:
    """By Laplace, row after row, over subsets of columns: 2^n n products, no division."""
    n = len(rows)
    minors: dict[tuple[int, ...], Any] = {(): 1}
    for k, row in enumerate(rows):
        larger = {}
        for columns in combinations(range(n), k + 1):
            total: Any = 0
            for place, j in enumerate(columns):
                rest = minors.get(columns[:place] + columns[place + 1 :])
                if rest and row[j]:
                    term = row[j] * rest
                    total = total + (term if (k - place) % 2 == 0 else -term)
            if total:
                larger[columns] = total
        minors = larger
    return minors.get(tuple(range(n)), 0)
