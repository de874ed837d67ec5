"""Spans that grow vector by vector: exactly over rationals and square roots, or numerically with a margin.

Both kinds answer the same questions, so that the algorithms above them are written once. A numeric span keeps
orthonormal rows of multiple-precision numbers and counts a vector as new when what is left of it, relative to a scale
that the caller knows, exceeds the tolerance; it remembers how close the calls were.
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterable, Sequence
from math import gcd, lcm
from typing import Any

from mpmath import MPContext
from sympy import QQ

from .._exact import inverse, is_rational
from .._polynomial_linear import row_reduce

__all__ = ["DIGITS", "ExactSpan", "NumericSpan", "dot", "null_space", "number", "primitive", "real"]

#: Digits of the multiple-precision answers; they are computed with fifteen more.
DIGITS = 60

real = MPContext()  # our own: nobody else's precision is touched
real.dps = DIGITS + 15


def _restored(parts: tuple[Any, ...]) -> Any:
    return real.make_mpf(parts)


copyreg.pickle(real.mpf, lambda x: (_restored, (x._mpf_,)))  # the class of a private context has no importable name

Vector = Sequence[Any]


def number(x: Any) -> Any:
    """An exact number as one of multiple precision."""
    if isinstance(x, real.mpf):
        return x
    if is_rational(x):
        x = QQ.convert(x)
        return real.mpf(int(x.numerator)) / int(x.denominator)
    return real.fsum(number(c) * real.sqrt(m) for m, c in x.parts.items())


def dot(u: Vector, v: Vector) -> Any:
    return sum((x * y for x, y in zip(u, v) if x and y), 0)


def primitive(v: Vector) -> list[Any]:
    """A rational vector scaled to coprime whole numbers, its sense kept; any other vector as it is."""
    if not all(isinstance(x, int) or (not isinstance(x, real.mpf) and is_rational(x)) for x in v):
        return list(v)
    entries = [QQ.convert(x) for x in v]
    common = lcm(*(int(x.denominator) for x in entries))
    whole = [int(x.numerator) * (common // int(x.denominator)) for x in entries]
    divisor = gcd(*whole) or 1
    return [QQ(x // divisor) for x in whole]


class _Span:
    """What both kinds of spans share."""

    width: int
    _rows: Any

    @property
    def dimension(self) -> int:
        return len(self._rows)


class ExactSpan(_Span):
    """The span of exact vectors, kept as reduced echelon rows."""

    exact = True

    def __init__(self, width: int, vectors: Iterable[Vector] = ()):
        self.width = width
        self._rows: dict[int, list[Any]] = {}  # by pivot
        for v in vectors:
            self.add(v)

    @property
    def rows(self) -> list[list[Any]]:
        return [self._rows[pivot] for pivot in sorted(self._rows)]

    @property
    def pivots(self) -> list[int]:
        return sorted(self._rows)

    def residual(self, v: Vector) -> list[Any]:
        """What is left of v when the pivots are cleared: zero exactly if v is in the span."""
        left = list(v)
        for pivot, row in self._rows.items():
            factor = left[pivot]
            if factor:
                left = [x - factor * y if y else x for x, y in zip(left, row)]
        return left

    def contains(self, v: Vector) -> bool:
        return not any(self.residual(v))

    def add(self, v: Vector, scale: Any = None) -> list[Any] | None:
        """Enlarge the span by v. Returns v if it was new, as the vector to go on with, else None."""
        left = self.residual(v)
        pivot = next((i for i, x in enumerate(left) if x), None)
        if pivot is None:
            return None
        factor = inverse(left[pivot])
        left = [x * factor if x else QQ.zero for x in left]
        for at, row in self._rows.items():
            if row[pivot]:
                factor = row[pivot]
                self._rows[at] = [x - factor * y if y else x for x, y in zip(row, left)]
        self._rows[pivot] = left
        return list(v)


class NumericSpan(_Span):
    """The span of vectors of multiple-precision numbers, kept as orthonormal rows.

    ``accepted`` is the smallest relative residual that counted as new, ``rejected`` the largest that counted as zero.
    """

    exact = False

    def __init__(self, width: int, vectors: Iterable[Vector] = (), tolerance: Any = 1e-9):
        self.width, self.tolerance = width, real.mpf(tolerance)
        self._rows: list[list[Any]] = []
        self.accepted, self.rejected = real.inf, real.zero
        for v in vectors:
            self.add(v)

    @property
    def rows(self) -> list[list[Any]]:
        return [list(row) for row in self._rows]

    def residual(self, v: Vector) -> list[Any]:
        left = list(v)
        for _ in range(2):  # twice is enough
            for row in self._rows:
                factor = dot(left, row)
                if factor:
                    left = [x - factor * y for x, y in zip(left, row)]
        return left

    def _relative(self, left: Vector, v: Vector, scale: Any) -> Any:
        scale = real.sqrt(dot(v, v)) if scale is None else scale
        return real.sqrt(dot(left, left)) / scale if scale else real.zero

    def contains(self, v: Vector, scale: Any = None) -> bool:
        size = self._relative(self.residual(v), v, scale)
        inside = size <= self.tolerance
        self._note(size, inside)
        return inside

    def _note(self, size: Any, inside: bool) -> None:
        if inside:
            self.rejected = max(self.rejected, size)
        else:
            self.accepted = min(self.accepted, size)

    def add(self, v: Vector, scale: Any = None) -> list[Any] | None:
        """Enlarge the span by v. Returns the new orthonormal direction, or None where nothing was new."""
        left = self.residual(v)
        size = self._relative(left, v, scale)
        self._note(size, size <= self.tolerance)
        if size <= self.tolerance:
            return None
        length = real.sqrt(dot(left, left))
        row = [x / length for x in left]
        self._rows.append(row)
        return list(row)


def null_space(span: ExactSpan | NumericSpan) -> list[list[Any]]:
    """Rows that span the orthogonal complement: echelon rows where exact, orthonormal ones where numeric."""
    if isinstance(span, ExactSpan):
        vectors = []
        for free in (i for i in range(span.width) if i not in span.pivots):
            v = [0] * span.width
            v[free] = QQ.one
            for pivot, row in zip(span.pivots, span.rows):
                v[pivot] = -row[free]
            vectors.append(v)
        return row_reduce(vectors)
    grown = NumericSpan(span.width, (), span.tolerance)
    grown._rows = span.rows
    units = [[real.one if i == j else real.zero for j in range(span.width)] for i in range(span.width)]
    while grown.dimension < span.width:  # the unit vector that sticks out most: well conditioned
        left = max((grown.residual(e) for e in units), key=lambda v: dot(v, v))
        length = real.sqrt(dot(left, left))
        grown._rows.append([x / length for x in left])
    return grown._rows[span.dimension :]
