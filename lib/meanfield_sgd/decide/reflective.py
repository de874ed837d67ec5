"""The exact test: which directions the dynamics can reach, and which it can never see.

With H(y) = E[h(z + y)] = sum_k C_k[y^k]/k! the operations C_1, C_2[.], C_3[., .], ... on vectors are the Taylor
coefficients of grad H. A subspace U is *closed* when grad H maps U into U, where only the Hermite orders that count are
kept in H; S is reflective exactly when its complement is closed. So no tensor is ever formed.

Which orders count: all of them for an activation that is no polynomial, those up to m for a polynomial of degree m
(reflective property, u free), and K_sigma = {k : sigma^(k) is not odd} for a network without bias.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import factorial, lcm, prod
from typing import Any

from sympy import QQ

from .. import _sparse
from .._exact import inverse, is_rational
from .._polynomial_linear import orthogonal
from ..activation import Activation
from ..errors import InputError
from ._linear import ExactSpan, NumericSpan, dot, null_space, number, primitive, real
from ._target import FLOAT_TOLERANCE, Target, as_activation, read_rows, read_target, substitute
from .subspace import Contraction, ReachedSubspace, Subspace, shown, shown_rows

__all__ = [
    "expressivity_floor",
    "largest_invariant_subspace",
    "largest_reflective_subspace",
    "loss_floor",
    "reached_subspace",
]


def reached_subspace(
    h: Any,
    activation: Any = None,
    *,
    bias: bool = True,
    basis: Any = None,
    tolerance: float = FLOAT_TOLERANCE,
) -> ReachedSubspace:
    r"""U_*, the smallest subspace U with :math:`C_1 \in U` and :math:`C_{k+1}[U, \dots, U] \subset U`.

    It is found by U_0 = {0}, U_{j+1} = U_j + span of all contractions of vectors of U_j, which stops after at most p
    steps. Every direction comes with the contraction that produced it, and the end is proved by one identity of
    polynomials: :meth:`ReachedSubspace.verify` checks both.

    Args:
        h: a Polynomial, a text, or ``{exponents: coefficient}``; floats among the coefficients make the answer numeric.
        activation: an Activation or a text. A polynomial of degree m keeps the orders k + 1 <= m only; None, like every
            activation that is no polynomial, keeps all.
        bias: True for the reflective property, in which u is free. False: only the orders in K_sigma count, those that
            a network without bias can use.
        basis: rows b_1, ..., b_p, one a variable: the target is h(b_1 . x, ..., b_p . x), and the answer is in the
            coordinates of x. Exact numbers keep it exact; floats make it numeric.
        tolerance: for numeric answers, the size relative to the standard deviation of h below which a vector is zero.

    Raises:
        InputError: unreadable or constant targets, unreadable activations, properties that a custom activation does
            not declare.

    Source: this book, The reflective property. Checked against quadrature over random (u, v) and against tensor
    contractions on random targets with p = 2..4 and degree up to 5.
    """
    target = read_target(h, basis=basis, tolerance=tolerance)
    return reach(target, counting_orders(target, activation, bias=bias))


def counting_orders(target: Target, activation: Any, *, bias: bool) -> tuple[int, ...]:
    """The Hermite orders 1 <= k <= n that count."""
    n = target.degree
    if activation is None:
        if not bias:
            raise InputError("without a bias the answer depends on the activation: give one")
        return tuple(range(1, n + 1))
    sigma = as_activation(activation)
    if not bias:
        return tuple(sorted(sigma.K_sigma(n)))
    m = sigma.polynomial_degree
    return tuple(range(1, (n if m is None else min(m, n)) + 1))


def reach(target: Target, orders: Iterable[int], say: Callable[[str], None] | None = None) -> ReachedSubspace:
    """:func:`reached_subspace` where the target is read and the orders that count are known."""
    orders = tuple(orders)
    parts, unit = [target.by_order.get(k, {}) for k in orders], 1
    if target.exact and all(is_rational(c) for part in parts for c in part.values()):
        parts, unit = _whole(parts)
    gradients = [target.gradient(part) for part in parts]
    span, steps, level = target.span(), [], 0
    most = target.support.dimension  # a span that is the support is closed
    while span.dimension < most:
        if say is not None:
            say(f"gradient on U_{level}, of dimension {span.dimension}")
        known = [step.direction for step in steps]
        level += 1
        for gamma, vector in _contractions(gradients, known, target.p):
            new = span.add(vector, target.scale)
            if new is not None:
                steps.append(_step(gamma, vector, new, level, unit, target))
                if span.dimension == most:
                    break
        if not steps or steps[-1].level < level:
            break
    chain = tuple(sum(s.level <= j for s in steps) for j in range(1, max((s.level for s in steps), default=0) + 1))
    finished = tuple(
        replace(s, value=shown_rows([s.value])[0], direction=shown_rows([s.direction])[0], number=j)
        for j, s in enumerate(steps, 1)
    )
    return ReachedSubspace._of(span, target, chain=chain, steps=finished, orders=orders, _target=target)


def _whole(parts: list[dict[int, Any]]) -> tuple[list[dict[int, int]], int]:
    """Whole-number multiples by one common factor: Python's integers are several times faster than fractions."""
    unit = lcm(*(int(c.denominator) for part in parts for c in part.values()))
    return [{k: int(c.numerator) * (unit // int(c.denominator)) for k, c in part.items()} for part in parts], unit


def _contractions(
    gradients: list[list[dict[int, Any]]], known: list[Any], p: int
) -> Iterator[tuple[tuple[int, ...], list[Any]]]:
    """(gamma, C_{|gamma|+1}[u^gamma]/gamma!) by degree: the coefficients of grad H(sum t_i u_i) in t, as needed."""
    columns = [[u[i] for u in known] for i in range(p)]
    for parts in gradients:
        vectors: dict[int, list[Any]] = {}
        for i, part in enumerate(parts):
            for key, c in substitute(part, columns).items():
                if c:
                    vectors.setdefault(key, [0] * p)[i] = c
        named = [(_sparse.exponents(key, len(known)), vector) for key, vector in vectors.items()]
        yield from sorted(named, key=lambda item: [-e for e in item[0]])


def _step(gamma: Any, vector: Any, new: Any, level: int, unit: int, target: Target) -> Contraction:
    arguments = tuple(i + 1 for i, e in enumerate(gamma) for _ in range(e))
    weight = prod(map(factorial, gamma))
    if target.exact:
        value = [x * QQ(weight, unit) if isinstance(x, int) else x * weight for x in vector]
        direction = primitive(value)
        if all(is_rational(x) for x in direction):
            direction = [int(x) for x in direction]
    else:
        value, direction = [x * weight for x in vector], new
    return Contraction(sum(gamma) + 1, arguments, value, direction, level, target.variables)


def complement(target: Target, span: ExactSpan | NumericSpan) -> Subspace:
    """The orthogonal complement inside the support V."""
    whole = target.span(null_space(target.support))
    for row in span.rows:
        whole.add(row)
    rows = null_space(whole)
    if isinstance(whole, ExactSpan):
        return Subspace._of(ExactSpan(target.p, rows), target)
    made = NumericSpan(target.p, (), target.tolerance)
    made._rows = rows
    return Subspace._of(made, target)


def largest_reflective_subspace(
    h: Any, activation: Any = None, *, basis: Any = None, tolerance: float = FLOAT_TOLERANCE
) -> Subspace:
    r"""The largest S inside the support V with respect to which h is reflective: the complement of U_* in V.

    Sums of reflective subspaces are reflective, so there is a largest one; a subspace of it need not be reflective.
    It does not depend on the activation, unless that is a polynomial. Arguments and errors: :func:`reached_subspace`.
    """
    reached = reached_subspace(h, activation, basis=basis, tolerance=tolerance)
    return complement(reached._target, reached._span)


def largest_invariant_subspace(
    h: Any, activation: Any, *, basis: Any = None, tolerance: float = FLOAT_TOLERANCE
) -> Subspace:
    r"""The largest S inside the support such that {w_S = 0} is invariant for a network without bias.

    Only operations C_k with k in K_sigma, that is with sigma^(k) not an odd function, can move a neuron; S is the
    complement of the smallest subspace closed under these. It contains the largest reflective subspace. For
    activations without derivatives (ReLU) w = 0 itself is left out. That nothing larger is invariant needs at least one
    input dimension outside V. Source: this book, The reflective property. Arguments and errors: :func:`reached_subspace`.
    """
    reached = reached_subspace(h, activation, bias=False, basis=basis, tolerance=tolerance)
    return complement(reached._target, reached._span)


def loss_floor(h: Any, S: Any, *, basis: Any = None, tolerance: float = FLOAT_TOLERANCE) -> Any:
    r""":math:`\frac12 \mathbb{E}\,\mathrm{Var}(h \mid z_{S^\perp})`: no network that ignores S has a smaller loss.

    Args:
        S: a Subspace, or rows (exact numbers, linear forms as texts such as "z2 - z3"; floats make it numeric).

    Returns:
        Fraction, or a sympy number where square roots remain; a float where anything given is a float.

    It is computed as half of Var h minus the variance of E[h | z_U], U the complement of S. Errors:
    :func:`reached_subspace`, and InputError where S does not fit the variables.
    """
    target = read_target(h, basis=basis, tolerance=tolerance)
    rows, exact_rows = read_rows(S, target.variables, "S")
    if target.exact and not exact_rows:
        target = target.as_numeric(tolerance)
    if not target.exact:
        rows = [[number(x) for x in row] for row in rows]
    return shown(half(unexplained(target, null_space(target.span(rows)))))


def unexplained(target: Target, rows: list[list[Any]]) -> Any:
    """E Var(h | z_U), U spanned by the rows.

    With orthogonal u_i spanning U and H(sum t_i u_i) = sum e_gamma t^gamma, Var E[h | z_U] is the sum over
    gamma != 0 of gamma! e_gamma^2 / prod |u_i|^(2 gamma_i).
    """
    total = sum(target.powers.values())
    if not rows:
        return total
    frame = orthogonal(rows) if target.exact else rows
    frame = [primitive(u) for u in frame] if target.exact else frame
    squares = [dot(u, u) for u in frame]
    columns = [[u[i] for u in frame] for i in range(target.p)]
    explained: Any = 0
    for key, c in substitute(target.smoothed, columns).items():
        if key and c:
            gamma = _sparse.exponents(key, len(frame))
            length: Any = 1
            for e, square in zip(gamma, squares):
                for _ in range(e):
                    length = length * square
            explained = explained + c * c * prod(map(factorial, gamma)) * inverse_of(length)
    return total - explained


def half(x: Any) -> Any:
    return x * QQ(1, 2) if not isinstance(x, real.mpf) else x / 2


def inverse_of(x: Any) -> Any:
    return 1 / x if isinstance(x, real.mpf) else inverse(x)


def expressivity_floor(h: Any, activation: Any, *, basis: Any = None, tolerance: float = FLOAT_TOLERANCE) -> Any:
    r""":math:`\frac12 \sum_{j \ge 1,\, j \notin K_\sigma} |C_j|^2 / j!`, below which no network without bias can get.

    Whatever its width, weights and training, the Hermite tensors of its output of order j are
    :math:`\int a\,\lambda_j(|w|)\,w^{\otimes j} d\rho`, and :math:`\lambda_j` vanishes where sigma^(j) is odd. Returns
    and errors: :func:`loss_floor`, :func:`reached_subspace`.
    """
    target = read_target(h, basis=basis, tolerance=tolerance)
    return shown(half(beyond(target, as_activation(activation))))


def beyond(target: Target, sigma: Activation) -> Any:
    seen = sigma.K_sigma(target.degree)
    total = sum((value for k, value in target.powers.items() if k not in seen), 0)
    return total if target.exact else real.mpf(0) + number(total)
