"""The verdict in words: the printed summary, and the tables for notebooks."""

from __future__ import annotations

import html
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ..activation import Activation
from .subspace import ReachedSubspace, Subspace, entry_text

if TYPE_CHECKING:
    from .verdict import Verdict

__all__ = ["as_html", "markdown", "orders_text", "rows", "text"]


def rows(v: Verdict) -> list[tuple[str, str]]:
    """(what, answer) line by line: shared by the summary and the tables."""
    found = [
        ("target", f"{_short(v.target)}, of degree {v.degree}"),
        ("activation", f"{v.activation}: {v._orders}"),
        ("verdict", f"{v.verdict.upper()}: {_reason(v)}"),
        ("support V", f"dimension {v.support.dimension}: {v.support}"),
        ("reached U*", f"dimension {v.reached.dimension}: {v.reached}{_chain(v.reached)}"),
        ("reflective S", _trap(v.reflective, v.reflective_floor, "none: u free, nothing is hidden")),
        ("invariant S, no bias", _trap(v.invariant, v.invariant_floor, "none")),
        ("Taylor flow (4.1)", _taylor(v)),
        ("expressivity floor", f"{entry_text(v.expressivity_floor)} for networks without bias"),
        ("isotropic leap", "at most 1" if v.isotropic_leap_at_most_one else "above 1"),
        ("arithmetic", _arithmetic(v)),
    ]
    if v.note:
        found.append(("note", v.note))
    return found


def _short(target: str, most: int = 240) -> str:
    """A long target by its beginning, cut between terms."""
    if len(target) <= most:
        return target
    cut = max(target.rfind(" + ", 0, most), target.rfind(" - ", 0, most))
    count = target.count(" + ") + target.count(" - ") + 1
    return f"{target[: cut if cut > 0 else most]} + ... (about {count} terms)"


def _reason(v: Verdict) -> str:
    if v.verdict == "trapped" and v.reflective.dimension:
        floor = entry_text(v.reflective_floor)
        text = f"training from w_S = 0 never sees S = {v.reflective}; the loss stays at or above {floor}"
        if v.invariant.dimension > v.reflective.dimension:
            text += f"; without a bias it never sees {v.invariant}, at or above {entry_text(v.invariant_floor)}"
        return text
    if v.verdict == "trapped":
        floor = entry_text(v.invariant_floor)
        return f"nothing is reflective, but without a bias {v.invariant} stays unseen; loss at or above {floor}"
    if v.verdict == "learnable":
        text = (
            f"the Taylor coefficients span V at order {v.taylor.order}, so Chen and Ge's two-stage strategy learns it"
        )
        if entry_text(v.expressivity_floor) not in ("0", "-0"):
            floor = entry_text(v.expressivity_floor)
            text += f"; with this activation in both stages, and no bias, the loss stays at or above {floor}"
        return text
    if v.verdict == "gap" and not v.taylor.dimension:
        return "nothing is trapped by symmetry, yet w = 0 is stationary: the activation has slope 0 there"
    if v.verdict == "gap":
        known = "" if v.taylor.proof else f" (to order {v.taylor.looked}, numerically)"
        return f"nothing is trapped by symmetry, yet the Taylor coefficients do not span V{known}"
    if v.taylor is not None:
        return f"nothing is trapped by symmetry; the Taylor coefficients up to order {v.taylor.looked} settle no more"
    return "nothing is trapped by symmetry; the Taylor condition does not apply"


def _taylor(v: Verdict) -> str:
    t = v.taylor
    if t is None:
        return "none: see the note"
    if not t.dimension:
        return "w = 0 stays: all coefficients vanish"
    text = f"span{{c_1, c_2, ...}} has dimension {t.dimension}, reached at order {t.order}"
    if t.dimension == v.support.dimension:
        return text + ": all of V"
    text += "; "
    if t.proof == "bound":
        proved = "proved at all orders" if v.margin is None else "the same at all orders"
        return text + f"{proved} (no activation with these orders reaches more)"
    if t.proof == "invariant set":
        stays = "the Taylor series stays (the activation has a corner, so that the flow itself may leave)"
        stays = stays if t.formal else "the curve stays"
        return text + f"proved at all orders: {stays} in {' = '.join([*t.equations, '0'])}"
    return text + f"known up to order {t.looked} only"


def _arithmetic(v: Verdict) -> str:
    if v.margin is None:
        return v.arithmetic
    low, high = v.margin
    return f"{v.arithmetic}: zero below {v.tolerance:.0e}; counted >= {low:.1e}, dropped <= {high:.1e}"


def text(v: Verdict, width: int) -> str:
    """Two columns; under "reached" the contractions that reached each direction."""
    table = rows(v)
    left = max(len(name) for name, _ in table) + 2
    lines = []
    for name, answer in table:
        for k, part in enumerate(wrap(answer, max(20, width - left), break_long_words=False, break_on_hyphens=False)):
            lines.append(f"{'' if k else name:<{left}}{part}")
        if name.startswith("reached"):
            for step in map(str, v.reached.steps):
                parts = wrap(step, max(20, width - left - 2), subsequent_indent="    ")
                lines += [f"{'':<{left}}  {part}" for part in parts]
    return "\n".join(lines)


def markdown(v: Verdict) -> str:
    """A table; stars and bars of formulas are escaped."""
    body = [
        f"| {name} | {answer.replace('|', chr(92) + '|').replace('*', chr(92) + '*')} |" for name, answer in rows(v)
    ]
    return "\n".join(["| question | answer |", "| --- | --- |", *body])


def as_html(v: Verdict) -> str:
    """A table, everything escaped."""
    body = "".join(
        f"<tr><th scope='row' style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(answer)}</td></tr>"
        for name, answer in rows(v)
    )
    return f"<table class='dataframe'><tbody>{body}</tbody></table>"


def _chain(reached: ReachedSubspace) -> str:
    return f", chain 0 -> {' -> '.join(map(str, reached.chain))}" if reached.chain else ""


def _trap(space: Subspace, floor: Any, none: str) -> str:
    if not space.dimension:
        return none
    return f"dimension {space.dimension}: {space}, loss floor {entry_text(floor)}"


def orders_text(sigma: Activation, n: int) -> str:
    degree, seen = sigma.polynomial_degree, sorted(sigma.K_sigma(max(n, 4)))
    kind = "no polynomial" if degree is None else f"a polynomial of degree {degree}"
    if not seen:
        return f"{kind}; without a bias it uses no Hermite order"
    used = ", ".join(map(str, seen)) + (", ..." if degree is None else "")
    return f"{kind}; without a bias it uses Hermite order{'s' if used != str(seen[0]) else ''} {used}"
