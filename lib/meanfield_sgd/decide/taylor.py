r"""The flow (4.1) of Chen and Ge in Taylor coefficients: what the first stage of their strategy reaches from w = 0.

.. math::

    \frac{dW}{d\tau} = F(W) = \mathbb{E}[h(z)\,\sigma'(W \cdot z)\,z], \quad W(0) = 0, \qquad W = \sum_j c_j \tau^j,
    \qquad \hat w_V(a, t) = W(a\,t).

Their sufficient condition asks that span{c_1, ..., c_s} be V for some s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._exact import Refusal
from ..errors import InputError
from ._coefficients import Coefficients
from ._invariant import polynomial_field, stays_in
from ._jets import Jet, formal_jet, jet_of, symbolic_jet
from ._linear import DIGITS, ExactSpan, NumericSpan, null_space
from ._ring import evaluate
from ._search import Growth, Search
from ._target import FLOAT_TOLERANCE, Target, as_activation, read_target
from .reflective import counting_orders, reach
from .subspace import Subspace, shown_rows

__all__ = ["MAX_ORDER", "TaylorFlow", "TaylorSpan", "default_order", "taylor_flow", "taylor_span"]

MAX_ORDER = 200


@dataclass(frozen=True)
class TaylorFlow(Coefficients):
    """c_1, c_2, ... of W = sum_j c_j tau^j.

    Attributes:
        coefficients: c_1, ..., c_order, each a tuple of p numbers: Fractions where rational, sympy numbers otherwise
            (polynomials in s_1, s_2, ... for a symbolic jet), floats for numeric targets.
        variables: names of the coordinates.
        arithmetic: "exact", "declared", "60 digits" or "numeric".
        field: the numbers that occur, in words.
    """

    coefficients: tuple[tuple[Any, ...], ...]
    variables: tuple[str, ...]
    arithmetic: str
    field: str

    def __str__(self) -> str:
        return "\n".join(f"c_{j} = ({', '.join(map(str, c))})" for j, c in enumerate(self.coefficients, 1))


@dataclass(frozen=True, repr=False)
class TaylorSpan(Subspace):
    """span{c_1, ..., c_searched}, and what is known beyond.

    Attributes:
        order: the least s with span{c_1, ..., c_s} equal to it; None where it is {0}.
        searched: the last order that counted.
        bound: dimension of the smallest subspace closed under the orders in K_sigma, which contains all c_j.
        proof: "bound" where the span is proved at all orders because it reaches its bound, "invariant set" where
            the curve is proved to stay in it, "" where the statement is about orders up to ``searched`` only.
        equations: of that invariant set.
        grows: True where it is proved that a coefficient beyond ``searched`` leaves the span.
        margin: (smallest relative residual that counted, largest that did not), None where exact.
        note: why less was searched than asked for, or "".
        looked: the last order that was computed, at least ``searched``.
        formal: True where the activation has a corner away from 0: what is proved holds for the Taylor series, while the
            flow itself may leave.
    """

    order: int | None = None
    searched: int = 0
    bound: int = 0
    proof: str = ""
    equations: tuple[str, ...] = ()
    grows: bool = False
    margin: tuple[float, float] | None = None
    note: str = ""
    looked: int = 0
    formal: bool = False


def default_order(p: int, n: int) -> int:
    """How far the Taylor coefficients are searched: min(24, 1 + (n-1) + ... + (n-1)^(p-1)), and at least 13.

    The sum is the least order that chains such as z1 + He_{n-1}(z1) z2 + He_{n-1}(z2) z3 need (p dimensions, degree
    n), and for p <= 3 enough for a generic activation.
    """
    return max(13, min(24, sum((n - 1) ** i for i in range(p))))


def whole_order(order: Any) -> int:
    """``order``, if it is one."""
    if isinstance(order, bool) or not hasattr(order, "__index__") or not 1 <= order <= MAX_ORDER:
        raise InputError(f"order must be a whole number from 1 to {MAX_ORDER}, got {order!r:.40}")
    return order.__index__()


def searched_order(order: int | None, target: Target) -> int:
    return default_order(target.support.dimension, target.degree) if order is None else whole_order(order)


def taylor_flow(
    h: Any,
    activation: Any = None,
    order: int = 8,
    *,
    jet: Sequence[Any] | None = None,
    basis: Any = None,
    tolerance: float = FLOAT_TOLERANCE,
) -> TaylorFlow:
    r"""The coefficients c_1, ..., c_order of the flow (4.1), exactly.

    Args:
        h: a Polynomial, a text, or ``{exponents: coefficient}``.
        activation: an Activation or a text; or "symbolic", for polynomials in s_1, s_2, ...
        order: how many; symbolic ones grow fast.
        jet: instead of an activation, the exact numbers s_1, s_2, ..., s_order.
        basis, tolerance: as in :func:`reached_subspace`.

    Raises:
        InputError: the activation lacks a derivative at 0 (ReLU), or none is given; unreadable targets.

    Source: the flow is Chen and Ge's, the recursion this book's. Checked against an ODE solver, and against an
    independent expansion in raw moments.
    """
    target = read_target(h, basis=basis, tolerance=tolerance)
    order = searched_order(order, target)
    if (activation is None) == (jet is None):
        raise InputError("taylor_flow: give an activation or a jet (s_1, s_2, ...), one of the two")
    if jet is not None:
        known = _given_jet(jet, order)
    elif activation == "symbolic":
        known = symbolic_jet(order)
    else:
        sigma = as_activation(activation)
        known, why = jet_of(sigma, order)
        if known.order < order:
            raise InputError(why)
        if known.generators and known.alpha != 1:  # a formula reads better in the activation's own numbers
            known = formal_jet(sigma, order)
    search = Search(target, known)
    found = []
    for j in range(1, order + 1):
        vector = search.step()
        found.append(tuple(search.shown(x, j) for x in vector))
    label = known.arithmetic if target.exact else "numeric"
    return TaylorFlow(tuple(found), target.variables, label, known.field_name)


def _given_jet(jet: Sequence[Any], order: int) -> Jet:
    from ..activation import Activation

    values = list(jet)
    if len(values) < order:
        raise InputError(f"taylor_flow: order {order} needs s_1, ..., s_{order}; {len(values)} numbers were given")
    made, _ = jet_of(Activation.custom(lambda y: y, name="given", jet=[0, *values[:order]]), order)
    made.arithmetic = "exact" if made.arithmetic == "declared" else made.arithmetic
    return made


def taylor_span(
    h: Any,
    activation: Any,
    *,
    order: int | None = None,
    basis: Any = None,
    tolerance: float = FLOAT_TOLERANCE,
    progress: Callable[[str], None] | None = None,
) -> TaylorSpan:
    r"""span{c_1, ..., c_searched} of the flow (4.1), and the least order s that spans it.

    The span always lies in the smallest subspace that is closed under the orders in K_sigma; where it fills that one, or
    the curve is proved to stay in an invariant algebraic set, the answer holds at all orders.

    Args:
        activation: an Activation or a text with derivatives at 0.
        order: how far to search; default min(24, 1 + (n-1) + ... + (n-1)^(p-1)) and at least 13, with p the dimension of
            the support and n the degree, and further where a later coefficient turns out to be new.
        progress: called with a line of text before each order.

    Raises:
        InputError: the activation has no derivative at 0, or a custom one declares no jet; unreadable targets.

    Source: condition of Chen and Ge; least orders and proofs: this book.
    """
    target = read_target(h, basis=basis, tolerance=tolerance)
    sigma = as_activation(activation)
    wanted = searched_order(order, target)
    closed = reach(target, counting_orders(target, sigma, bias=False))
    return span_of(target, sigma, wanted, closed, progress, look_ahead=order is None)


_UPPER = "the order is an upper bound: there the coefficients span with whole numbers in place of the jet's own, hence with these"


def span_of(
    target: Target, sigma: Any, wanted: int, closed: Any, progress: Any = None, *, look_ahead: bool = False
) -> TaylorSpan:
    """:func:`taylor_span` where the target is read and U for K_sigma known.

    With ``look_ahead`` an open search goes on, three times as far at least where that is cheap; the answer counts those
    orders only if one of them brings a new direction.
    """
    jet, why = jet_of(sigma, wanted)
    try:
        return _searched(target, sigma, jet, why, wanted, closed, progress, look_ahead)
    except Refusal as refusal:  # square roots whose coefficients grew beyond all bounds
        digits = Jet(Search.numbers(jet), f"{DIGITS} digits", field_name=f"{DIGITS} digits: {refusal.problem}")
        return _searched(target, sigma, digits, why, wanted, closed, progress, False)


def _searched(
    target: Target, sigma: Any, jet: Jet, why: str, wanted: int, closed: Any, progress: Any, look_ahead: bool
) -> TaylorSpan:
    searched = min(wanted, jet.order)
    search = Search(target, jet)
    span, fresh = search.growth, []
    least = _run(search, span, closed, fresh, searched, progress)
    settled = span.dimension == closed.dimension or (target.exact and not jet.values[1])
    looked = searched
    if look_ahead and searched == wanted and not settled:
        try:
            looked = _reach_of_look_ahead(target, sigma, span, closed, wanted, progress)
        except _Stopped:  # what was found at a point of the ring is no answer for the ring
            raise _Stopped(_answer(target, search, span, least, searched, closed, fresh, "interrupted")) from None
        if looked > 3 * wanted and isinstance(span, Growth):  # full at a point of the ring, so full; but not soon
            done = _answer(target, search, span, looked, looked, closed, fresh, _UPPER)
            return replace(done, basis=closed.basis, arithmetic="exact", proof="bound", _span=closed._span)
        longer, _ = jet_of(sigma, looked)
        if not search.extend(longer):
            search = Search(target, longer)
            span, fresh, least = search.growth, [], None
        least = _run(search, span, closed, fresh, looked, progress, least)
        if least is not None and least > wanted:
            searched = least
    done = _answer(target, search, span, least, searched, closed, fresh, why if searched < wanted else "")
    done = replace(done, looked=max(looked, searched), formal=bool(sigma._form.jumps))
    if done.proof:
        return done
    try:
        return _proved(done, target, sigma, span)
    except KeyboardInterrupt:
        raise _Stopped(replace(done, note="interrupted")) from None


def _reach_of_look_ahead(target: Target, sigma: Any, span: Any, closed: Any, wanted: int, progress: Any) -> int:
    """How far it is worth to look, and the jet is known: numbers are cheap, a ring is followed as far as a point of it says.

    The rank at a point is at most that of the ring, and nearly always equal to it. Where the point never gets there, the
    ring is not followed any further.
    """
    far = max(3 * wanted, min(MAX_ORDER, sum((target.degree - 1) ** i for i in range(target.support.dimension))))
    longer, _ = jet_of(sigma, far)  # a custom activation may have declared fewer derivatives
    if isinstance(span, ExactSpan):
        return longer.order
    if not isinstance(span, Growth):
        return min(3 * wanted, longer.order)
    point = [3 + 2 * i for i in range(len(longer.generators))]
    probe = Search(target, Jet([evaluate(x, point) for x in longer.values]))
    rank = ExactSpan(target.p)
    _run(probe, rank, closed, [], longer.order, progress)
    return probe.curve.order if rank.dimension == closed.dimension else wanted


def _run(
    search: Search, span: Any, closed: Any, fresh: list[Any], end: int, progress: Any, least: int | None = None
) -> int | None:
    """Enlarge the span by the coefficients up to c_end, until it is full; returns the last order that was new."""
    j = search.curve.order
    try:
        for j in range(search.curve.order + 1, end + 1):
            if span.dimension == closed.dimension:
                break
            if progress is not None:
                progress(f"Taylor coefficient {j} of {end}")
            vector = search.step()
            if any(vector) and span.add(vector, search.scale) is not None:
                least = j
                fresh.append([search.shown(x, j) for x in vector])
    except KeyboardInterrupt:
        raise _Stopped(_answer(search.target, search, span, least, j - 1, closed, fresh, "interrupted")) from None
    return least


class _Stopped(KeyboardInterrupt):
    """Ctrl-C during a search; ``answer`` holds what was found."""

    def __init__(self, answer: TaylorSpan):
        super().__init__("interrupted")
        self.answer = answer


def _answer(
    target: Target, search: Search, span: Any, least: int | None, searched: int, closed: Any, fresh: Any, note: str
) -> TaylorSpan:
    if span.dimension == closed.dimension:
        rows, label = closed.basis, closed.arithmetic
    elif isinstance(span, Growth):
        rows, label = tuple(map(tuple, fresh)), "exact"
    else:
        rows, label = shown_rows(span.rows), "exact" if span.exact else "numeric"
    margin = (float(span.accepted), float(span.rejected)) if isinstance(span, NumericSpan) else None
    if margin is not None and target.exact:
        label = f"{DIGITS} digits"
    proof = "bound" if span.dimension == closed.dimension else ""
    return TaylorSpan(
        rows, target.variables, label, span, least, searched, closed.dimension, proof, (), False, margin, note, searched
    )


def _proved(done: TaylorSpan, target: Target, sigma: Any, span: Any) -> TaylorSpan:
    """An invariant set through 0 inside the span, where there is one to be found."""
    jet, _ = jet_of(sigma, 1)
    if not span.dimension and not jet.values[1] and target.exact:  # F(0) = s_1 C_1 = 0: w = 0 is stationary
        return replace(done, proof="invariant set", equations=tuple(f"w{i + 1}" for i in range(target.p)))
    if not isinstance(span, ExactSpan):
        return done
    vector_field = polynomial_field(target, sigma)
    if vector_field is None:
        return done
    forms = [{1 << 8 * i: c for i, c in enumerate(row) if c} for row in null_space(span)]
    equations = stays_in(forms, vector_field)
    if equations is None:
        return done
    if equations == ():
        return replace(done, grows=True)
    return replace(done, proof="invariant set", equations=equations)
