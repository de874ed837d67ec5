"""Exact linear algebra around polynomials: directions, projectors, the support space and its orthonormal basis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sympy import QQ

from . import _exact, _sparse
from ._exact import inverse, is_rational, public
from ._exact_input import exact
from ._polynomial_parse import parse_polynomial, polynomial_text
from ._sparse import Terms
from .errors import InputError

__all__ = ["Support", "directions", "orthonormal_basis", "projector", "square_matrix", "support_of"]


@dataclass(frozen=True)
class Support:
    """The subspace V that a polynomial depends on, and what was dropped.

    Attributes:
        dimension: dim V.
        basis: exact rows spanning V (reduced row echelon form).
        dropped: exact rows spanning the orthogonal complement: moving along them changes nothing.
        variables: names of the coordinates.
    """

    dimension: int
    basis: tuple[tuple[Any, ...], ...]
    dropped: tuple[tuple[Any, ...], ...]
    variables: tuple[str, ...]

    def __str__(self) -> str:
        p = len(self.variables)
        if not self.dimension:
            return f"depends on none of {p} dimensions: a constant" if p else "a constant, no variables"
        text = f"depends on {self.dimension} of {p} dimensions: {self._forms(self.basis)}"
        return f"{text}; dropped: {self._forms(self.dropped)}" if self.dropped else text

    def _forms(self, rows: Sequence[Sequence[Any]]) -> str:
        return ", ".join(
            polynomial_text({1 << 8 * i: c for i, c in enumerate(map(exact, row)) if c}, self.variables) for row in rows
        )


def directions(rows: Iterable[Any], variables: Sequence[str], what: str) -> list[list[Any]]:
    """Exact vectors of R^p: each a sequence of p exact numbers, or a linear form as text (``"z1 - z2"``).

    Raises:
        InputError: another length, floats, or a text that is not a linear form in the variables.
    """
    p, found = len(variables), []
    try:
        rows = list(rows.tolist() if hasattr(rows, "tolist") else rows)  # list(sympy matrix) would be its entries
    except TypeError:
        raise InputError(f"{what}: expected a list of vectors, got {type(rows).__name__}") from None
    for row in rows:
        if isinstance(row, str):
            terms = parse_polynomial(row, variables)[1]
            units = [1 << 8 * i for i in range(p)]
            if set(terms) - set(units):
                raise InputError(f'{what}: a direction as text is a linear form such as "z1 - z2", got "{row[:40]}"')
            found.append([terms.get(unit, QQ.zero) for unit in units])
            continue
        try:
            entries = list(row)
        except TypeError:
            raise InputError(f"{what}: expected a vector of {p} numbers, got {type(row).__name__}") from None
        if len(entries) != p:
            raise InputError(f"{what}: a vector with {len(entries)} entries where {p} are expected, one a variable")
        found.append([exact(x, what) for x in entries])
    return found


def dot(u: Sequence[Any], v: Sequence[Any]) -> Any:
    return _exact.checked(sum((x * y for x, y in zip(u, v) if x and y), QQ.zero))


def square_matrix(rows: Iterable[Any], variables: Sequence[str]) -> list[list[Any]]:
    """Exact orthogonal p x p matrix; InputError if it is not, naming the rows that are not orthonormal."""
    p = len(variables)
    if isinstance(rows, str):
        raise InputError(f"rotate: expected {p} rows of {p} exact numbers, got a text")
    matrix = directions(rows, variables, "rotate")
    if len(matrix) != p:
        raise InputError(f"rotate: expected {p} rows of {p} numbers, got {len(matrix)} rows")
    for i in range(p):
        for j in range(i + 1):
            value = dot(matrix[i], matrix[j])
            if value != (QQ.one if i == j else QQ.zero):
                shown = str(public(value))[:40]
                pair = f"rows {j + 1} and {i + 1} have inner product {shown}"
                fault = f"row {i + 1} has squared length {shown}" if i == j else pair
                raise InputError(f"rotate: the matrix is not orthogonal: {fault}; give exact orthonormal rows")
    return matrix


def row_reduce(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Reduced row echelon form of exact rows, without its zero rows; stops reading when the rank is full."""
    reduced: list[tuple[int, list[Any]]] = []
    for given in rows:
        row = list(given)
        for pivot, other in reduced:
            if row[pivot]:
                factor = row[pivot]
                row = [x - factor * y if y else x for x, y in zip(row, other)]
        pivot = next((i for i, x in enumerate(row) if x), None)
        if pivot is None:
            continue
        scale = inverse(row[pivot])
        row = [x * scale if x else x for x in row]
        for k, (at, other) in enumerate(reduced):
            if other[pivot]:
                factor = other[pivot]
                reduced[k] = (at, [x - factor * y if y else x for x, y in zip(other, row)])
        reduced.append((pivot, row))
        if len(reduced) == len(row):
            break
    return [row for _, row in sorted(reduced, key=lambda item: item[0])]


def orthogonal(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Gram-Schmidt without normalising; dependent rows disappear."""
    found: list[tuple[list[Any], Any]] = []
    for row in rows:
        v = list(row)
        for u, scale in found:
            factor = dot(v, u) * scale
            if factor:
                v = [_exact.checked(x - factor * y) for x, y in zip(v, u)]
        if any(v):
            found.append((v, inverse(dot(v, v))))
    return [v for v, _ in found]


def projector(rows: Iterable[Sequence[Any]], p: int) -> list[list[Any]]:
    """The orthogonal projector on the span of the rows, p x p, exact."""
    matrix = [[QQ.zero] * p for _ in range(p)]
    for v in orthogonal(row_reduce(rows)):
        scale = inverse(dot(v, v))
        for i in range(p):
            if v[i]:
                factor = v[i] * scale
                matrix[i] = [x + factor * y if y else x for x, y in zip(matrix[i], v)]
    return matrix


def support_of(terms: Terms, variables: tuple[str, ...]) -> Support:
    """Row space of the matrix whose columns are the coefficients of dh/dz_1, ..., dh/dz_p."""
    p = len(variables)
    rows: dict[int, list[Any]] = {}
    for i in range(p):
        for key, c in _sparse.derivative(terms, i).items():
            rows.setdefault(key, [QQ.zero] * p)[i] = c
    used = [i for i in range(p) if any(row[i] for row in rows.values())]
    # Only the occurring coordinates enter the elimination: it then stops early when they are independent.
    reduced = row_reduce([row[i] for i in used] for row in rows.values())
    basis = []
    for short in reduced:
        row = [QQ.zero] * p
        for i, x in zip(used, short):
            row[i] = x
        basis.append(row)
    return Support(len(basis), _public_rows(basis), _public_rows(_null_space(basis, p)), variables)


def _public_rows(rows: Iterable[Sequence[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(map(public, row)) for row in rows)


def _null_space(reduced: Sequence[Sequence[Any]], p: int) -> list[list[Any]]:
    pivots = [next(i for i, x in enumerate(row) if x) for row in reduced]
    vectors = []
    for free in range(p):
        if free not in pivots:
            v = [QQ.zero] * p
            v[free] = QQ.one
            for pivot, row in zip(pivots, reduced):
                v[pivot] = -row[free]
            first = next(x for x in v if x)
            vectors.append([x * inverse(first) for x in v])
    return vectors


def orthonormal_basis(support: Support) -> tuple[list[list[Any]], list[int] | None]:
    """(exact orthonormal rows spanning V, their coordinates if every row is a coordinate).

    Raises:
        InputError: a length is not the square root of a rational (or of a number of the form a + b sqrt(m) that has
            one), or its squarefree part is too large to find.
    """
    rows = [list(map(exact, row)) for row in support.basis]
    units = [[i for i, x in enumerate(row) if x] for row in rows]
    if all(len(places) == 1 for places in units):
        return rows, [places[0] for places in units]
    basis = []
    try:
        for v in orthogonal(sorted(rows, key=lambda row: sum(map(bool, row)))):
            v = _primitive(v)
            length = inverse(_exact.square_root(dot(v, v)))
            basis.append([_exact.checked(x * length) for x in v])
    except _exact.Refusal as refusal:
        raise InputError(
            f"minimal: the support {support} has no orthonormal basis within reach here ({refusal.problem}); "
            "rotate the polynomial so that its support is spanned by coordinates"
        ) from None
    return basis, None


def _primitive(v: list[Any]) -> list[Any]:
    """A rational vector scaled to coprime integers: its length then has the smallest radicand."""
    if not all(map(is_rational, v)):
        return v
    fractions = [Fraction(public(x)) for x in v]
    common = math.lcm(*(x.denominator for x in fractions))
    whole = [int(x * common) for x in fractions]
    divisor = math.gcd(*whole)
    return [QQ(x // divisor) for x in whole]
