"""Polynomials in one variable y with exact coefficients, as tuples (c_0, c_1, ..., c_m): no trailing zero, () is 0.

Coefficients are the numbers of :mod:`meanfield_sgd._exact`, rationals and sums of square roots.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sympy import QQ

from ._exact import Surd, checked, public

__all__ = [
    "ONE",
    "ZERO",
    "Exact",
    "Line",
    "Y",
    "add",
    "compose",
    "constant",
    "derivative",
    "expression",
    "linear",
    "multiply",
    "product_text",
    "scale",
    "signed",
    "text",
    "trim",
]

Exact = Any  # an element of QQ, or a Surd
Line = tuple[Exact, ...]

ZERO: Exact = QQ.zero
ONE: Exact = QQ.one
Y: Line = (ZERO, ONE)


def trim(coefficients: Iterable[Exact]) -> Line:
    kept = list(coefficients)
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)


def constant(value: Exact) -> Line:
    return trim([value])


def linear(alpha: Exact, beta: Exact) -> Line:
    """alpha*y + beta."""
    return trim([beta, alpha])


def add(p: Line, q: Line) -> Line:
    if len(p) < len(q):
        p, q = q, p
    return trim([a + b for a, b in zip(p, q)] + list(p[len(q) :]))


def scale(p: Line, factor: Exact | int) -> Line:
    return trim([checked(c * factor) for c in p])


def multiply(p: Line, q: Line) -> Line:
    """p*q. Refusal when a number becomes too long."""
    if not p or not q:
        return ()
    product = [ZERO] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        if a:
            for j, b in enumerate(q):
                if b:
                    product[i + j] = product[i + j] + a * b
    return trim([checked(c) for c in product])


def compose(p: Line, alpha: Exact, beta: Exact) -> Line:
    """p(alpha*y + beta)."""
    inner, result = linear(alpha, beta), ()
    for c in reversed(p):
        result = add(multiply(result, inner), constant(c))
    return result


def derivative(p: Line) -> Line:
    return trim([c * k for k, c in enumerate(p)][1:])


def expression(c: Exact) -> Any:
    """The number as a sympy expression."""
    from sympy import Rational

    value = public(c)
    return value if isinstance(c, Surd) else Rational(value.numerator, value.denominator)


def text(p: Line, variable: str = "y") -> str:
    """``1 - y/2 + 3/4*y**2``, lowest degree first; a coefficient with several parts stands in parentheses."""
    out = ""
    for k, c in enumerate(p):
        if c:
            negative, positive = signed(c)
            part = product_text(positive, "" if k == 0 else variable if k == 1 else f"{variable}**{k}")
            out += ((" - " if negative else " + ") if out else ("-" if negative else "")) + part
    return out or "0"


def signed(c: Exact) -> tuple[bool, Exact]:
    """(whether a minus sign is printed first, what follows it). A sum of roots keeps its signs inside parentheses."""
    parts = _parts(c)
    negative = len(parts) == 1 and parts[0][1] < 0
    return negative, (-c if negative else c)


def product_text(c: Exact, factor: str) -> str:
    """``c*factor`` for a coefficient that ``signed`` gave; an empty factor stands for 1."""
    parts = _parts(c)
    number = " ".join(_part_text(m, q, first=k == 0) for k, (m, q) in enumerate(parts))
    number = f"({number})" if len(parts) > 1 else number
    if not factor:
        return number
    if c == ONE:
        return factor
    if len(parts) == 1 and parts[0][0] == 1 and parts[0][1].numerator == 1:
        return f"{factor}/{parts[0][1].denominator}"
    return f"{number}*{factor}"


def _parts(c: Exact) -> list[tuple[int, Any]]:
    return sorted(c.parts.items()) if isinstance(c, Surd) else [(1, c)]


def _part_text(m: int, q: Any, first: bool) -> str:
    over, root = abs(q.numerator), f"sqrt({m})"
    top = str(over) if m == 1 else root if over == 1 else f"{over}*{root}"
    sign = ("-" if q < 0 else "") if first else ("- " if q < 0 else "+ ")
    return sign + (top if q.denominator == 1 else f"{top}/{q.denominator}")
