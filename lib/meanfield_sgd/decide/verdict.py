"""All of it in one answer: what a network with a given activation can reach of a target, and where it is trapped."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sympy import QQ

from .. import _line as line
from .._exact import Refusal
from .._expression import quote
from ..activation import Activation
from ..errors import InputError
from . import _summary
from ._linear import DIGITS, null_space
from ._target import FLOAT_TOLERANCE, Target, as_activation, read_target
from .reflective import beyond, complement, counting_orders, half, reach, unexplained
from .subspace import ReachedSubspace, Subspace, entry_text, shown
from .taylor import TaylorSpan, _Stopped, default_order, searched_order, span_of

__all__ = ["Interrupted", "Verdict", "decide"]

#: Beyond these sizes :func:`decide` says on stderr what it is doing.
LARGE = {"variables": 8, "degree": 6, "terms": 200}


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during :func:`decide`. ``verdict`` holds what was found until then."""

    def __init__(self, message: str, verdict: Verdict):
        super().__init__(message)
        self.verdict = verdict


@dataclass(frozen=True, repr=False)
class Verdict:
    """The answer of :func:`decide`. Prints as a summary, shows as a table in a notebook, and becomes a dict.

    Attributes:
        target, variables, degree, activation: what was asked.
        arithmetic: "exact"; "declared", where a custom activation's author vouches for its jet; "60 digits", where the
            jet of the activation holds numbers between which no relation is known; "numeric", where floats were given.
        support: V, the directions that the target depends on.
        reached: U_*, with its certificate. reflective: its complement in V, and ``reflective_floor``, below which the
            loss of a network that ignores it does not get.
        usable: as ``reached`` for the orders that a network without bias can use. invariant, ``invariant_floor``: as
            ``reflective``, for ``usable``.
        taylor: the span of the Taylor coefficients of the flow (4.1), None where there are none.
        expressivity_floor: no network without bias gets below, however it is trained.
        isotropic_leap_at_most_one: whether nothing is reflective for activations that are no polynomials.
        verdict: "trapped" where ``reflective`` or ``invariant`` is not {0}; else "learnable" where the Taylor span is V,
            "gap" where it is proved that it is not (numerically: where it is not, up to the order searched), "undecided"
            where there are no coefficients, or too few were known or searched.
        note: why ``taylor`` is None or short, or "".
        margin: (smallest relative size that counted as not zero, largest that counted as zero); None where exact.
        tolerance: between the two; None where exact.
    """

    target: str
    variables: tuple[str, ...]
    degree: int
    activation: str
    arithmetic: str
    support: Subspace
    reached: ReachedSubspace
    reflective: Subspace
    reflective_floor: Any
    usable: ReachedSubspace
    invariant: Subspace
    invariant_floor: Any
    taylor: TaylorSpan | None
    expressivity_floor: Any
    isotropic_leap_at_most_one: bool
    verdict: str
    note: str = ""
    margin: tuple[float, float] | None = None
    tolerance: float | None = None
    _orders: str = field(default="", repr=False, compare=False)

    # ---- as data ----

    def to_dict(self, *, certificate: bool = False) -> dict[str, Any]:
        """The JSON of the command line: rationals as texts, subspaces as lists of row vectors.

        ``certificate=True`` adds the contractions that reached each direction and how the Taylor span is proved.
        """
        found: dict[str, Any] = {
            "target": self.target,
            "variables": list(self.variables),
            "degree": self.degree,
            "activation": self.activation,
            "arithmetic": self.arithmetic,
            "support": _space(self.support),
            "reached": {**_space(self.reached), "chain": list(self.reached.chain)},
            "reflective": {**_space(self.reflective), "loss_floor": _entry(self.reflective_floor)},
            "invariant": {**_space(self.invariant), "loss_floor": _entry(self.invariant_floor)},
            "taylor": None,
            "expressivity_floor": _entry(self.expressivity_floor),
            "isotropic_leap_at_most_one": self.isotropic_leap_at_most_one,
            "verdict": self.verdict,
        }
        if self.taylor is not None:
            t = self.taylor
            found["taylor"] = {"dimension": t.dimension, "order": t.order, "searched": t.searched}
        if self.note:
            found["note"] = self.note
        if self.margin is not None:
            found["tolerance"] = self.tolerance
            found["margin"] = {"smallest_counted": _finite(self.margin[0]), "largest_dropped": _finite(self.margin[1])}
        if certificate:
            found["certificate"] = {
                "reached": [_step(s) for s in self.reached.steps],
                "usable": [_step(s) for s in self.usable.steps],
                "taylor": None
                if self.taylor is None
                else {"proof": self.taylor.proof, "equations": list(self.taylor.equations)},
            }
        return found

    def to_json(self, *, indent: int | None = None, certificate: bool = False) -> str:
        """:meth:`to_dict` as a text."""
        return json.dumps(self.to_dict(certificate=certificate), indent=indent)

    # ---- for people ----

    def summary(self, width: int = 100) -> str:
        """The printed summary, wrapped to a number of columns."""
        return _summary.text(self, width)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return f"<Verdict {self.verdict}: {self.target}, {self.activation}>"

    def _repr_markdown_(self) -> str:
        return _summary.markdown(self)

    def _repr_html_(self) -> str:
        return _summary.as_html(self)


def _space(space: Subspace) -> dict[str, Any]:
    return {"dimension": space.dimension, "basis": [[_entry(x) for x in row] for row in space.basis]}


def _entry(x: Any) -> Any:
    """Exact numbers as texts that can be read back, floats as numbers."""
    return x if isinstance(x, float) else entry_text(x)


def _finite(x: float) -> float | None:
    return x if x < float("inf") else None


def _step(step: Any) -> dict[str, Any]:
    return {
        "order": step.order,
        "arguments": list(step.arguments),
        "value": [_entry(x) for x in step.value],
        "direction": [_entry(x) for x in step.direction],
        "level": step.level,
    }


def decide(
    h: Any,
    activation: Any = "tanh(y+1/2)",
    *,
    order: int | None = None,
    basis: Any = None,
    tolerance: float = FLOAT_TOLERANCE,
    progress: Callable[[str], None] | bool | None = None,
) -> Verdict:
    r"""What a two-layer network can reach of a target, and where it is trapped: exactly, with certificates.

    Args:
        h: a Polynomial, a text such as "z1 + z1*z2*z3", or ``{exponents: coefficient}``. Exact numbers (decimals in
            texts and square roots included) give an exact answer, floats a numeric one with tolerance and margin.
        activation: an Activation, or a text such as "tanh(y + 1/2)".
        order: how far to search the Taylor coefficients; default min(24, 1 + (n-1) + ... + (n-1)^(p-1)) and at least 13;
            further where a later one turns out to leave the span found.
        basis: rows b_1, ..., b_p: the target is h(b_1 . x, ..., b_p . x), and the answer is in coordinates of x. A
            rotation by an angle is a matrix of floats; exact numbers keep the answer exact.
        tolerance: of numeric answers, relative to the standard deviation of h.
        progress: a function that is given a line of text before each stage; True prints the lines on stderr, False
            nothing. Default: prints for targets with more than 8 variables, 200 terms or degree above 6, and for all after
            three seconds.

    Returns:
        a :class:`Verdict`.

    Raises:
        InputError: a constant target, unreadable arguments, a custom activation that does not declare its parity.
        Interrupted: Ctrl-C during the Taylor search; its ``verdict`` holds what was found.

    Source: this book; the notions are Chen and Ge's. Checked on the reference table of the chapter The reflective
    property, and on random targets against quadrature and tensor contractions.
    """
    sigma = as_activation(activation)
    target = read_target(h, basis=basis, tolerance=tolerance)
    say = _speaker(progress, target)
    try:
        return _decide(target, sigma, order, say)
    except Refusal as refusal:  # square roots whose coefficients grew beyond all bounds
        say(f"again at {DIGITS} digits: {refusal.problem}")
        made = _decide(target.as_numeric(1e-40), sigma, order, say)
        return replace(made, arithmetic=f"{DIGITS} digits", note=made.note or f"at {DIGITS} digits: {refusal.problem}")


def _decide(target: Target, sigma: Activation, order: int | None, say: Callable[[str], None]) -> Verdict:
    wanted = searched_order(order, target)
    say(f"support of {quote(target.text)}")
    support = Subspace._of(target.support, target)
    everything = tuple(range(1, target.degree + 1))
    say("reached subspace, all orders")
    free = reach(target, everything, say)
    counted = counting_orders(target, sigma, bias=True)
    reached = free if counted == everything else reach(target, counted, say)
    seen = counting_orders(target, sigma, bias=False)
    say(f"reached subspace, orders {', '.join(map(str, seen))}")
    usable = reached if seen == counted else reach(target, seen, say)
    reflective, invariant = complement(target, reached._span), complement(target, usable._span)
    say("loss floors")
    floors = [_floor(target, space) for space in (reflective, invariant)]
    made = Verdict(
        target.text,
        target.variables,
        target.degree,
        sigma.text,
        sigma.arithmetic if target.exact else "numeric",
        support,
        reached,
        reflective,
        floors[0],
        usable,
        invariant,
        floors[1],
        None,
        shown(half(beyond(target, sigma))),
        free.dimension == support.dimension,
        "trapped" if reflective.dimension or invariant.dimension else "undecided",
        _orders=_summary.orders_text(sigma, target.degree),
    )
    made = _with_margin(made, target, [target.support, reached._span, usable._span])
    if line.ZERO in sigma._form.jumps:
        return replace(made, note=f"{sigma.text} is not smooth at 0: there is no Taylor flow from w = 0")
    try:
        taylor = span_of(target, sigma, wanted, usable, say, look_ahead=order is None)
    except _Stopped as stopped:
        partial = _with_taylor(made, stopped.answer, target)
        raise Interrupted("interrupted; .verdict holds what was found", partial) from None
    except InputError as error:
        return replace(made, note=str(error))
    return _with_taylor(made, taylor, target)


def _with_taylor(made: Verdict, taylor: TaylorSpan, target: Target) -> Verdict:
    verdict, note = made.verdict, taylor.note
    usual = default_order(made.support.dimension, made.degree)
    if not note and not taylor.proof:
        if taylor.grows:
            note = (
                f"a Taylor coefficient beyond order {taylor.looked} leaves the span found: search further, with order"
            )
        elif taylor.looked < usual:
            note = f"the Taylor coefficients were searched to order {taylor.looked} only, less than the usual {usual}"
        elif taylor.margin is None:
            note = f"no proof: the Taylor coefficients span no more up to order {taylor.looked}; search further, with order"
    if verdict != "trapped":
        full = taylor.dimension == made.support.dimension
        verdict = "learnable" if full else "undecided" if note else "gap"
    label = made.arithmetic if taylor.arithmetic != "60 digits" else "60 digits"
    made = replace(made, taylor=taylor, verdict=verdict, note=note, arithmetic=label)
    return _with_margin(made, target, [taylor._span])


def _with_margin(made: Verdict, target: Target, spans: list[Any]) -> Verdict:
    known = [made.margin] if made.margin is not None else []
    known += [(float(s.accepted), float(s.rejected)) for s in spans if hasattr(s, "accepted")]
    if not known:
        return made
    margin = (min(low for low, _ in known), max(high for _, high in known))
    return replace(made, margin=margin, tolerance=target.tolerance or 1e-40)


def _floor(target: Target, space: Subspace) -> Any:
    if not space.dimension:
        return shown(QQ.zero) if target.exact else 0.0
    return shown(half(unexplained(target, null_space(space._span))))


def _speaker(progress: Any, target: Target) -> Callable[[str], None]:
    """Says what is being done: from the start for large targets, after three seconds for all; one line a second."""
    if callable(progress):
        return progress
    if progress is False:
        return lambda text: None
    large = target.p > LARGE["variables"] or target.degree > LARGE["degree"] or len(target.smoothed) > LARGE["terms"]
    silent_until = 0.0 if progress is True or large else time.monotonic() + 3

    def say(text: str) -> None:
        nonlocal silent_until
        if time.monotonic() >= silent_until:
            print(f"decide: {text}", file=sys.stderr, flush=True)
            silent_until = 0.0 if progress is True else time.monotonic() + 1

    return say
