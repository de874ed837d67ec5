"""Subspaces as answers: exact bases, and for the reached subspace the certificate that it was reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .._exact import public
from .._exact_input import exact
from .._polynomial_parse import number_text, polynomial_latex, polynomial_text
from ..errors import InputError
from ._linear import ExactSpan, NumericSpan, null_space, real
from ._target import Target, derivative, substitute

__all__ = ["Contraction", "ReachedSubspace", "Subspace"]


def shown(x: Any) -> Any:
    """An entry as users see it: a Fraction or a sympy number where exact, a float where numeric."""
    if isinstance(x, real.mpf):
        return float(x) if abs(x) > 1e-14 else 0.0
    return Fraction(x) if isinstance(x, int) else public(x)


def shown_rows(rows: Sequence[Sequence[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(map(shown, row)) for row in rows)


def entry_text(x: Any) -> str:
    """A number as text: exact ones can be read back."""
    if isinstance(x, float):
        return f"{x:.6g}"
    try:
        negative, text = number_text(exact(x))
    except InputError:  # a number of the activation, such as tanh(1/2)
        return str(x)
    return f"-{text}" if negative else text


def _is_plain(row: Sequence[Any]) -> bool:
    """Whether all entries are rationals or sums of square roots."""
    try:
        return all(exact(x) is not None for x in row)
    except InputError:
        return False


def form_text(row: Sequence[Any], variables: Sequence[str]) -> str:
    """A vector as a linear form: "z1 - 2*z2"; one of floats or of other numbers as a row."""
    if not _is_plain(row):
        return "(" + ", ".join(map(entry_text, row)) + ")"
    return polynomial_text({1 << 8 * i: exact(x) for i, x in enumerate(row) if x}, variables)


def form_latex(row: Sequence[Any], variables: Sequence[str]) -> str:
    if not _is_plain(row):
        return "(" + ", ".join(map(entry_text, row)) + ")"
    return polynomial_latex({1 << 8 * i: exact(x) for i, x in enumerate(row) if x}, variables)


@dataclass(frozen=True, repr=False)
class Subspace:
    """A subspace of the space of the target's variables.

    Attributes:
        basis: rows that span it: reduced row echelon form (Fraction, or sympy numbers with square roots) where exact,
            orthonormal floats where numeric.
        variables: names of the coordinates.
        arithmetic: "exact" or "numeric".
    """

    basis: tuple[tuple[Any, ...], ...]
    variables: tuple[str, ...]
    arithmetic: str = "exact"
    _span: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def _of(cls, span: ExactSpan | NumericSpan, target: Target, **more: Any) -> Any:
        label = "exact" if span.exact else "numeric"
        return cls(shown_rows(span.rows), target.variables, label, span, **more)

    @property
    def dimension(self) -> int:
        return len(self.basis)

    @property
    def forms(self) -> tuple[str, ...]:
        """The basis as linear forms: ("z2", "z1 - z3")."""
        return tuple(form_text(row, self.variables) for row in self.basis)

    def __str__(self) -> str:
        return "span{" + ", ".join(self.forms) + "}" if self.basis else "{0}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def _repr_latex_(self) -> str:
        if not self.basis:
            return r"$\{0\}$"
        inner = ",\\ ".join(form_latex(row, self.variables) for row in self.basis)
        return rf"$\mathrm{{span}}\{{{inner}\}}$"


@dataclass(frozen=True)
class Contraction:
    """One step of a certificate: u_j comes from C_k[u_{i_1}, ..., u_{i_{k-1}}].

    Attributes:
        order: k, the order of the Hermite tensor.
        arguments: i_1 <= ... <= i_{k-1}, numbers (from 1) of earlier directions.
        value: C_k[...] itself, as a vector.
        direction: u_j, the vector that later steps use: ``value`` scaled to coprime whole numbers where rational; its
            part orthogonal to the earlier directions, normalised, where numeric.
        level: the U_level in which it appears first.
        number: j; 0 in a witness, which has no u_j.
    """

    order: int
    arguments: tuple[int, ...]
    value: tuple[Any, ...]
    direction: tuple[Any, ...]
    level: int
    variables: tuple[str, ...]
    number: int = 0

    def __str__(self) -> str:
        inside = ", ".join(f"u{i}" for i in self.arguments)
        called = f"C_{self.order}[{inside}]" if inside else f"C_{self.order}"
        equation = f"{called} = {form_text(self.value, self.variables)}"
        if not self.number:
            return equation
        if self.direction == self.value:
            return f"u{self.number} = {equation}"
        return f"u{self.number} = {form_text(self.direction, self.variables)}, from {equation}"


@dataclass(frozen=True, repr=False)
class ReachedSubspace(Subspace):
    """U_*, with the chain that leads to it and a certificate from below and from above.

    Attributes:
        chain: (dim U_1, dim U_2, ..., dim U_*), strictly increasing; () where U_* = {0}.
        steps: for each new direction u_1, u_2, ... the contraction that produced it; U_level is spanned by those
            of at most that level.
        orders: the Hermite orders that counted.
    """

    chain: tuple[int, ...] = ()
    steps: tuple[Contraction, ...] = ()
    orders: tuple[int, ...] = ()
    _target: Any = field(default=None, repr=False, compare=False)

    def subspaces(self) -> tuple[Subspace, ...]:
        """U_0 = {0}, U_1, ..., U_*."""
        found, span = [Subspace._of(self._target.span(), self._target)], self._target.span()
        for level in range(1, len(self.chain) + 1):
            for step in self.steps:
                if step.level == level:
                    span.add([_exact_or_real(x) for x in step.direction])
            found.append(Subspace((*shown_rows(span.rows),), self.variables, self.arithmetic))
        return tuple(found)

    def verify(self) -> bool:
        """Check the certificate from both sides by another route than the one that found it.

        From below: every u_j is the stated contraction, computed one argument after the other, of directions of lower
        level; they are independent, and the chain counts them. From above: grad H maps the span into itself, where H is
        restricted to the orders that count: the part of grad H(sum t_i u_i) orthogonal to the span vanishes as a
        polynomial in t.

        Raises:
            InputError: the answer is numeric; only an exact one can be verified.
        """
        target = self._target
        if not target.exact:
            raise InputError("a numeric answer has a tolerance and a margin, but no certificate")
        known: list[list[Any]] = []
        levels: list[int] = []
        for step in self.steps:
            if step.order not in self.orders or any(not 1 <= i <= len(known) for i in step.arguments):
                return False
            part = target.by_order.get(step.order, {})
            for i in step.arguments:
                part = _directional(part, known[i - 1])
            if len(step.arguments) != step.order - 1:
                return False
            value = [part.get(1 << 8 * i, 0) for i in range(target.p)]
            known.append(_exacts(step.direction))
            levels.append(1 + max((levels[i - 1] for i in step.arguments), default=0))
            # The value is the stated one, not zero, and the direction is along it.
            if shown_rows([value])[0] != step.value or not any(value) or step.level != levels[-1]:
                return False
            if ExactSpan(target.p, [known[-1], value]).dimension != 1 or not any(known[-1]):
                return False
        if self.chain != tuple(sum(x <= k for x in levels) for k in range(1, max(levels, default=0) + 1)):
            return False
        span = ExactSpan(target.p, known)
        if not span.dimension == len(known) == self.dimension or not all(span.contains(_exacts(r)) for r in self.basis):
            return False
        columns = [[row[i] for row in span.rows] for i in range(target.p)]
        images = [substitute(part, columns) for part in target.gradient(target.restricted(self.orders))]
        for normal in null_space(span):
            across: dict[int, Any] = {}
            for c, image in zip(normal, images):
                if c:
                    for key, value in image.items():
                        across[key] = across.get(key, 0) + c * value
            if any(across.values()):
                return False
        return True


def _exacts(row: Sequence[Any]) -> list[Any]:
    return [exact(x) for x in row]


def _exact_or_real(x: Any) -> Any:
    return real.mpf(x) if isinstance(x, float) else exact(x)


def _directional(terms: dict[int, Any], v: Sequence[Any]) -> dict[int, Any]:
    total: dict[int, Any] = {}
    for i, x in enumerate(v):
        if x:
            for key, c in derivative(terms, i).items():
                total[key] = total.get(key, 0) + x * c
    return {key: c for key, c in total.items() if c}
