"""What the algorithms work on: the smoothed target H(y) = E[h(z + y)] by Hermite orders, exact or numeric."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sympy

from .. import _sparse
from .._exact import Surd
from .._exact_input import exact
from .._expression import quote
from .._polynomial_linear import directions
from .._polynomial_parse import default_variables
from .._sparse import Terms
from ..activation import Activation
from ..errors import InputError
from ..polynomial import Polynomial
from ._linear import ExactSpan, NumericSpan, number, real

__all__ = ["FLOAT_TOLERANCE", "Target", "as_activation", "is_numeric", "read_rows", "read_target", "substitute"]

FLOAT_TOLERANCE = 1e-9  # relative; floats carry about 1e-16, and a fitted coefficient rarely more than that


def substitute(terms: Terms, rows: Sequence[Sequence[Any]]) -> Terms:
    """terms with z_{i+1} replaced by sum_j rows[i][j] t_{j+1}; any coefficients, no bounds on the effort."""
    return _sparse.substitute(terms, rows)


@dataclass(frozen=True)
class Target:
    """A target in p coordinates. ``smoothed`` holds the Hermite coefficients d_alpha, with d_0 = E h."""

    smoothed: Terms
    variables: tuple[str, ...]
    exact: bool = True
    tolerance: float = 0.0
    polynomial: Polynomial | None = field(default=None, compare=False)
    given_text: str = field(default="", compare=False)  # where there is no polynomial

    @property
    def p(self) -> int:
        return len(self.variables)

    @cached_property
    def text(self) -> str:
        return self.given_text or str(self.polynomial)

    @cached_property
    def degree(self) -> int:
        return _sparse.degree(self.smoothed)

    @cached_property
    def by_order(self) -> dict[int, Terms]:
        """{k: the homogeneous part H_k(y) = C_k[y^k]/k!}."""
        parts: dict[int, Terms] = {}
        for key, c in self.smoothed.items():
            parts.setdefault(sum(_sparse.exponents(key, self.p)), {})[key] = c
        return parts

    def restricted(self, orders: Iterable[int]) -> Terms:
        """H with the given orders only."""
        return {key: c for k in orders for key, c in self.by_order.get(k, {}).items()}

    def factorials(self, key: int) -> int:
        """alpha! of a monomial."""
        return math.prod(map(math.factorial, _sparse.exponents(key, self.p)))

    @cached_property
    def powers(self) -> dict[int, Any]:
        """{k: |C_k|^2/k! = sum over |alpha| = k of alpha! d_alpha^2}, k >= 1, zeros left out."""
        found = {
            k: sum((c * c * self.factorials(key) for key, c in part.items()), 0)
            for k, part in self.by_order.items()
            if k
        }
        return {k: value for k, value in sorted(found.items()) if value}

    @cached_property
    def scale(self) -> Any:
        """The standard deviation of h, the scale of numeric comparisons; None where everything is exact."""
        return None if self.exact else real.sqrt(sum(self.powers.values()))

    def span(self, vectors: Iterable[Sequence[Any]] = ()) -> ExactSpan | NumericSpan:
        return ExactSpan(self.p, vectors) if self.exact else NumericSpan(self.p, vectors, self.tolerance)

    def gradient(self, terms: Terms) -> list[Terms]:
        return [derivative(terms, i) for i in range(self.p)]

    @cached_property
    def support(self) -> ExactSpan | NumericSpan:
        """V, the span of all coefficient vectors of grad H."""
        span, rows = self.span(), {}
        for i, part in enumerate(self.gradient(self.smoothed)):
            for key, c in part.items():
                rows.setdefault(key, [0] * self.p)[i] = c
        for row in rows.values():
            span.add(row, self.scale)
            if span.dimension == self.p:
                break
        return span

    def as_numeric(self, tolerance: float) -> Target:
        """The same target with multiple-precision coefficients."""
        smoothed = {key: number(c) for key, c in self.smoothed.items()}
        return Target(smoothed, self.variables, False, tolerance, self.polynomial, self.given_text)


def derivative(terms: Terms, i: int) -> Terms:
    """d/dz_{i+1}, for coefficients of any kind."""
    shift = 8 * i
    return {key - (1 << shift): c * ((key >> shift) & 255) for key, c in terms.items() if (key >> shift) & 255}


def as_activation(activation: Any) -> Activation:
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, (str, numbers.Number, Polynomial)):
        return Activation(activation)
    raise InputError(
        f'the activation must be an Activation or a text such as "tanh(y + 1/2)", got {type(activation).__name__}; '
        "for a function of your own see Activation.custom"
    )


def is_numeric(value: Any) -> bool:
    """A float, also of numpy and torch."""
    return isinstance(value, numbers.Real) and not isinstance(value, (numbers.Rational, Surd, bool))


def _listed(rows: Any) -> list[Any]:
    """Nested lists from lists, tuples, arrays, tensors and sympy matrices."""
    if isinstance(rows, str):
        return [rows]
    if hasattr(rows, "basis") and hasattr(rows, "dimension"):  # a Subspace, a Support
        rows = rows.basis
    if hasattr(rows, "tolist"):
        rows = rows.tolist()
    try:
        rows = [row.tolist() if hasattr(row, "tolist") else row for row in rows]
        flat = rows and all(isinstance(x, (numbers.Number, sympy.Expr)) for x in rows)
        return [rows] if flat else rows
    except TypeError:
        raise InputError(f"expected rows of numbers, or linear forms as texts; got {type(rows).__name__}") from None


def read_rows(rows: Any, variables: Sequence[str], what: str) -> tuple[list[list[Any]], bool]:
    """(vectors, exact): exact numbers and texts stay exact; one float makes all of them numeric.

    Raises:
        InputError: another length, NaN or infinity, or what is no number.
    """
    listed = _listed(rows)
    if not any(not isinstance(row, str) and _has_floats(row) for row in listed):
        return directions(listed, variables, what), True
    found = []
    for row in listed:
        if isinstance(row, str):
            found.append([number(x) for x in directions([row], variables, what)[0]])
            continue
        if len(row) != len(variables):
            raise InputError(f"{what}: a vector with {len(row)} entries where {len(variables)} are expected")
        found.append([_float(x, what) for x in row])
    return found, False


def _has_floats(row: Any) -> bool:
    try:
        return any(is_numeric(x) for x in row)
    except TypeError:
        return False


def _float(x: Any, what: str) -> Any:
    if not is_numeric(x):
        return number(exact(x, what))
    if not math.isfinite(x):
        raise InputError(f"{what}: {float(x)} is not a finite number")
    return real.mpf(float(x))


def read_target(h: Any, *, basis: Any = None, tolerance: float = FLOAT_TOLERANCE) -> Target:
    """A target from a Polynomial, a text, or ``{exponents: coefficient}`` with floats; see :func:`decide`.

    Raises:
        InputError: it cannot be read, or is constant.
    """
    if isinstance(h, Target):
        return h
    if not (is_numeric(tolerance) or isinstance(tolerance, numbers.Rational)) or not 0 < tolerance < 0.1:
        raise InputError(f"tolerance must lie between 0 and 0.1, got {tolerance!r:.40}")
    if isinstance(h, Mapping) and any(map(is_numeric, h.values())):
        terms, variables, polynomial, is_exact = *_float_terms(h), None, False
    else:
        polynomial = h if isinstance(h, Polynomial) else Polynomial(h) if not isinstance(h, Mapping) else None
        polynomial = Polynomial.from_terms(h) if polynomial is None else polynomial
        terms, variables, is_exact = polynomial._terms, polynomial.variables, True
    text = "" if polynomial is not None else _numeric_text(terms, variables)
    if basis is not None:
        rows, exact_rows = read_rows(basis, _width(basis, variables), "basis")
        if len(rows) != len(variables):
            raise InputError(f"basis: {len(rows)} rows where {len(variables)} are expected, one a variable")
        names = variables if len(rows[0]) == len(variables) else default_variables(len(rows[0]))
        if is_exact and exact_rows:
            polynomial = Polynomial._of(_sparse.bounded(substitute(terms, rows)), names)
            terms = polynomial._terms
        else:
            text = f"{text or polynomial} in a basis of floats"
            is_exact, polynomial = False, None
            terms = substitute({k: number(c) for k, c in terms.items()}, [[number(x) for x in row] for row in rows])
        variables = names
    smoothed = polynomial._smoothed if polynomial is not None else _smooth(terms, len(variables))
    target = Target(smoothed, tuple(variables), is_exact, 0.0 if is_exact else float(tolerance), polynomial, text)
    if not target.powers or (not is_exact and _size(terms) == 0):
        raise InputError(f"the target {quote(target.text)} is constant: there is nothing to learn")
    return target


def _size(terms: Terms) -> Any:
    return sum(abs(c) for key, c in terms.items() if key)


def _width(basis: Any, variables: Sequence[str]) -> Sequence[str]:
    """Names for the columns of a basis: as many as its first row has entries."""
    listed = _listed(basis)
    if not listed or isinstance(listed[0], str):
        return variables
    try:
        return variables if len(listed[0]) == len(variables) else default_variables(len(listed[0]))
    except TypeError:
        raise InputError("basis: expected rows of numbers, one row a variable of the target") from None


def _float_terms(h: Mapping) -> tuple[Terms, tuple[str, ...]]:
    found: Terms = {}
    names: tuple[str, ...] = ()
    for alpha, value in h.items():
        shape = Polynomial.from_terms({alpha: 1})  # checks the exponents
        if names and len(names) != shape.p:
            raise InputError(f"the exponents {alpha} have {shape.p} entries where {len(names)} were expected")
        names = shape.variables
        ((key, _),) = shape._terms.items()
        c = _float(value, f"the coefficient of {alpha}")
        if c:
            found[key] = found.get(key, real.zero) + c
    return found, names


def _smooth(terms: Terms, p: int) -> Terms:
    """exp(Laplacian/2) for coefficients of any kind: y^e -> sum_m e!/(2^m m! (e - 2m)!) y^(e - 2m), variable by variable."""
    for i in range(p):
        shift, result = 8 * i, {}
        for key, c in terms.items():
            e = (key >> shift) & 255
            for m in range(e // 2 + 1):
                factor = math.factorial(e) // (2**m * math.factorial(m) * math.factorial(e - 2 * m))
                to = key - (2 * m << shift)
                result[to] = result.get(to, 0) + c * factor
        terms = {key: c for key, c in result.items() if c}
    return terms


def _numeric_text(terms: Terms, variables: Sequence[str]) -> str:
    pieces = []
    for key, c in sorted(terms.items()):
        powers = [f"{v}**{e}" if e > 1 else v for v, e in zip(variables, _sparse.exponents(key, len(variables))) if e]
        pieces.append("*".join([real.nstr(c, 6), *powers]))
    return (" + ".join(pieces[:12]) or "0").replace("+ -", "- ") + (" + ..." if len(pieces) > 12 else "")
