"""Polynomials in one variable y with exact coefficients, as tuples (c_0, c_1, ..., c_m): no trailing zero, () is 0."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from ._surd import Surd

__all__ = [
    "ONE",
    "ZERO",
    "Line",
    "Y",
    "add",
    "compose",
    "constant",
    "derivative",
    "linear",
    "multiply",
    "product_text",
    "scale",
    "text",
    "trim",
]

Line = tuple[Surd, ...]

ZERO = Surd({})
ONE = Surd({1: Fraction(1)})
Y: Line = (ZERO, ONE)


def trim(coefficients: Iterable[Surd]) -> Line:
    kept = list(coefficients)
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)


def constant(value: Surd | int | Fraction) -> Line:
    return trim([value if isinstance(value, Surd) else Surd({1: Fraction(value)})])


def linear(alpha: Surd, beta: Surd) -> Line:
    """alpha*y + beta."""
    return trim([beta, alpha])


def add(p: Line, q: Line) -> Line:
    if len(p) < len(q):
        p, q = q, p
    return trim([a + b for a, b in zip(p, q)] + list(p[len(q) :]))


def scale(p: Line, factor: Surd | int | Fraction) -> Line:
    return trim([c * factor for c in p])


def multiply(p: Line, q: Line) -> Line:
    if not p or not q:
        return ()
    product = [ZERO] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        if a:
            for j, b in enumerate(q):
                if b:
                    product[i + j] = product[i + j] + a * b
    return trim(product)


def compose(p: Line, alpha: Surd, beta: Surd) -> Line:
    """p(alpha*y + beta)."""
    inner, result = linear(alpha, beta), ()
    for c in reversed(p):
        result = add(multiply(result, inner), constant(c))
    return result


def derivative(p: Line) -> Line:
    return trim([c * k for k, c in enumerate(p)][1:])


def text(p: Line, variable: str = "y") -> str:
    """``1 - y/2 + 3/4*y**2``, lowest degree first; a coefficient with several parts stands in parentheses."""
    if not p:
        return "0"
    out = ""
    for k, c in enumerate(p):
        if not c:
            continue
        power = "" if k == 0 else variable if k == 1 else f"{variable}**{k}"
        negative = len(c.parts) == 1 and c.parts[0][1] < 0
        out += (" - " if negative else " + ") if out else ("-" if negative else "")
        out += product_text(-c if negative else c, power)
    return out


def product_text(c: Surd, factor: str) -> str:
    """``c*factor`` for a coefficient without a leading minus sign; an empty factor stands for 1."""
    if not factor:
        return str(c) if len(c.parts) == 1 else f"({c})"
    if c == 1:
        return factor
    if len(c.parts) > 1:
        return f"({c})*{factor}"
    if c.is_rational and c.rational.numerator == 1:
        return f"{factor}/{c.rational.denominator}"
    return f"{c}*{factor}"
