"""An activation as it is evaluated and printed: {(base, alpha, beta, parameters): polynomial factor}.

The sum  sum p(y) * base(alpha*y + beta, parameters)  keeps the bases that the user wrote, because their formulas are
accurate everywhere (softplus does not become y/2 + log 2cosh(y/2), which cancels for y << 0); what is *decided* about
the sum comes from its normal form. The polynomial part has the key :data:`POLYNOMIAL`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from . import _line as line
from ._activation_catalogue import CATALOGUE
from ._activation_form import ONE_KEY, Key, NormalForm
from ._arrays import namespace
from ._exact import Surd, sign, to_float
from ._line import Exact, Line
from .errors import InputError

__all__ = ["POLYNOMIAL", "TermKey", "Terms", "base_of", "collect", "compile_terms", "compose", "normal_form", "text"]

TermKey = tuple[Any, Exact, Exact, tuple[Exact, ...]]  # base: a catalogue name, or an object with the same members
Terms = dict[TermKey, Line]

POLYNOMIAL: TermKey = ("", line.ZERO, line.ZERO, ())


def base_of(key: TermKey) -> Any:
    return CATALOGUE[key[0]] if isinstance(key[0], str) else key[0]


def collect(items: Iterable[tuple[TermKey, Line]]) -> Terms:
    """The sum; odd and even bases are brought to alpha > 0 first, so that tanh(-y) merges with tanh(y)."""
    sums: Terms = {}
    for key, p in items:
        if key != POLYNOMIAL:
            name, alpha, beta, parameters = key
            symmetry = base_of(key).symmetry
            if symmetry and sign(alpha) < 0:
                key, p = (name, -alpha, -beta, parameters), (line.scale(p, -1) if symmetry == "odd" else p)
        sums[key] = line.add(sums.get(key, ()), p)
    return {key: p for key, p in sums.items() if p}


def compose(terms: Terms, alpha: Exact, beta: Exact) -> Terms:
    """y -> sum(alpha*y + beta), alpha != 0."""
    return collect(
        (
            key if key == POLYNOMIAL else (key[0], key[1] * alpha, key[1] * beta + key[2], key[3]),
            line.compose(p, alpha, beta),
        )
        for key, p in terms.items()
    )


def normal_form(terms: Terms) -> NormalForm:
    """Of the catalogue's part of the sum (a user's own functions have none and are left out)."""
    parts: list[tuple[Key, Line]] = []
    for key, p in terms.items():
        if key == POLYNOMIAL:
            parts.append((ONE_KEY, p))
        elif isinstance(key[0], str):
            parts.extend((k, line.multiply(p, q)) for k, q in CATALOGUE[key[0]].expand(key[1], key[2], *key[3]))
    return NormalForm(parts)


def text(terms: Terms) -> str:
    """Read back by the parser as the same sum; one base alone is printed by its name alone."""
    out = ""
    for key, p in terms.items():
        if key == POLYNOMIAL:
            part = line.text(p)
            negative = part.startswith("-")
            part = part[1:] if negative else part
        else:
            negative, part = _term_text(key, p, alone=len(terms) == 1)
        out += ((" - " if negative else " + ") if out else ("-" if negative else "")) + part
    return out or "0"


def _term_text(key: TermKey, p: Line, alone: bool) -> tuple[bool, str]:
    base, (_, alpha, beta, parameters) = base_of(key), key
    defaults = tuple(value for _, value in base.parameters)
    extra = "" if parameters == defaults else "".join(f", {line.text((value,))}" for value in parameters)
    argument = line.text(line.linear(alpha, beta))
    if beta and not isinstance(alpha, Surd) and alpha > 0:  # y + 1/2 rather than 1/2 + y
        shift = line.text((beta,))
        argument = line.text((line.ZERO, alpha)) + (f" - {shift[1:]}" if shift.startswith("-") else f" + {shift}")
    called = f"{base.name}({argument}{extra})"
    nonzero = [(k, c) for k, c in enumerate(p) if c]
    if len(nonzero) > 1:
        return False, f"({line.text(p)})*{called}"
    ((k, c),) = nonzero
    negative, positive = line.signed(c)
    if alone and k == 0 and c == line.ONE and argument == "y" and not extra:
        called = base.name
    power = "" if k == 0 else "y*" if k == 1 else f"y**{k}*"
    return negative, line.product_text(positive, power + called)


def compile_terms(terms: Terms) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """(value, derivative): functions of one floating-point array or tensor.

    Raises:
        InputError: a constant too large for double precision.
    """
    rows = []
    for key, p in terms.items():
        base = None if key == POLYNOMIAL else base_of(key)
        alpha, beta, *parameters = (_double(c) for c in (key[1], key[2], *key[3]))
        slope = line.derivative(p)
        chained = line.scale(p, key[1])
        rows.append((base, alpha, beta, parameters, _doubles(p), _doubles(slope), _doubles(chained)))

    def value(y: Any) -> Any:
        xp, total = namespace(y), None
        with xp.quiet():
            for base, alpha, beta, parameters, p, _, _ in rows:
                f = None if base is None else base.value(xp, _inner(y, alpha, beta), *parameters)
                total = _plus(total, _times(xp, y, p, f))
        return xp.zeros_like(y) if total is None else total

    def derivative(y: Any) -> Any:
        xp, total = namespace(y), None
        with xp.quiet():
            for base, alpha, beta, parameters, _, slope, chained in rows:
                if base is None:
                    if slope:
                        total = _plus(total, _times(xp, y, slope, None))
                    continue
                t = _inner(y, alpha, beta)
                total = _plus(total, _times(xp, y, chained, base.slope(xp, t, *parameters)))
                if slope:
                    total = _plus(total, _times(xp, y, slope, base.value(xp, t, *parameters)))
        return xp.zeros_like(y) if total is None else total

    return value, derivative


def _double(constant: Exact) -> float:
    try:
        return to_float(constant)
    except InputError:
        raise InputError("it has a constant too large for double precision (about 1.8e308)") from None


def _doubles(p: Line) -> list[float]:
    return [_double(c) for c in p]


def _inner(y: Any, alpha: float, beta: float) -> Any:
    t = y if alpha == 1.0 else alpha * y
    return t if beta == 0.0 else t + beta


def _plus(total: Any, term: Any) -> Any:
    return term if total is None else total + term


def _times(xp: Any, y: Any, p: list[float], f: Any) -> Any:
    """p(y)*f, by Horner; f = None stands for 1. The result is never y itself, which a caller might overwrite."""
    if len(p) == 1:
        return xp.zeros_like(y) + p[0] if f is None else f if p[0] == 1.0 else p[0] * f
    total = p[-1] * y
    for k in range(len(p) - 2, -1, -1):
        total = total + p[k] if p[k] else total
        total = total * y if k else total
    return total if f is None else total * f
