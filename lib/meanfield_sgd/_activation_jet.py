"""Derivatives at 0 of the primitives of :mod:`meanfield_sgd._activation_form`, exact, by polynomial recurrences.

A value is a dictionary {atom: coefficient}: a real algebraic combination of *atoms*, the few transcendental numbers
that one primitive brings in (powers of tanh(beta), or exp(-beta^2/2)/sqrt(pi), or sin(beta) and cos(beta), ...).
Nothing is ever differentiated symbolically, so order 40 costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import comb, factorial
from typing import Any

from . import _line as line
from ._activation_form import Key, NormalForm
from ._exact import Surd, sign
from ._line import Exact, expression

__all__ = ["Value", "jet_values", "total"]

Value = dict[Any, Exact]


def jet_values(form: NormalForm, order: int) -> list[Value]:
    """[sigma(0), sigma'(0), ..., sigma^(order)(0)] by atoms. The caller has excluded a corner at 0."""
    import sympy as sp

    totals: list[Value] = [{} for _ in range(order + 1)]
    for key, p in form.terms.items():
        values = _derivatives(sp, key, order)
        for k, sums in enumerate(totals):
            for j, c in enumerate(p[: k + 1]):  # Leibniz: (p f)^(k)(0) = sum_j binom(k, j) j! p_j f^(k-j)(0)
                if c:
                    for atom, value in values[k - j].items():
                        sums[atom] = sums.get(atom, line.ZERO) + c * value * (comb(k, j) * factorial(j))
    return totals


def total(value: Value) -> Any:
    """The sum as a sympy number, fully expanded."""
    import sympy as sp

    return sp.Add(*(sp.expand(expression(c) * atom, deep=False) for atom, c in value.items()))


def _derivatives(sp: Any, key: Key, order: int) -> list[Value]:
    kind, alpha, beta = key
    if kind == "one":
        return [{sp.Integer(1): line.ONE}] + [{}] * order
    if kind == "step":
        if not beta:  # a corner at 0 that is C^order: E sgn and its derivatives up to there vanish at 0
            return [{}] * (order + 1)
        local = [{sp.exp(expression(-(alpha * beta))): -sign(beta) * line.ONE}] * (order + 1)
    else:
        local = _AT_BETA[kind](sp, beta, order)
    power, out = line.ONE, []
    for value in local:
        out.append({atom: c * power for atom, c in value.items() if c * power})
        power = power * alpha
    return out


def _absolute(beta: Exact) -> Exact:
    return -beta if sign(beta) < 0 else beta


def _tanh(sp: Any, beta: Exact, order: int) -> list[Value]:
    # tanh^(k) = P_k(tanh); the atom is tanh|beta| so that mirror images share it.
    negative, t = sign(beta) < 0, sp.tanh(expression(_absolute(beta)))
    out = []
    for k in range(order + 1):
        powers = enumerate(_tanh_polynomial(k))
        out.append({t**j: (-c if negative and j % 2 else c) * line.ONE for j, c in powers if c and (j == 0 or beta)})
    return out


@cache
def _tanh_polynomial(k: int) -> tuple[int, ...]:
    """Coefficients of P_k with tanh^(k) = P_k(tanh): P_0 = T, P_{k+1} = P_k' (1 - T^2)."""
    if k == 0:
        return (0, 1)
    before = _tanh_polynomial(k - 1)
    slope = [j * c for j, c in enumerate(before)][1:]
    out = slope + [0, 0]
    for j, c in enumerate(slope):
        out[j + 2] -= c
    return tuple(out)


def _lncosh(sp: Any, beta: Exact, order: int) -> list[Value]:
    first = {sp.log(2 * sp.cosh(expression(_absolute(beta)))): line.ONE}
    return [first, *(_tanh(sp, beta, order - 1) if order else [])]


def _gauss(sp: Any, beta: Exact, order: int) -> list[Value]:
    # (d/dt)^k exp(-t^2/2) = (-1)^k He_k(t) exp(-t^2/2)
    atom = sp.exp(expression(-(beta * beta) / 2))
    return [{atom: he if k % 2 == 0 else -he} for k, he in enumerate(_hermite(beta, order))]


def _erf(sp: Any, beta: Exact, order: int) -> list[Value]:
    # d/dt erf(t/sqrt 2) = sqrt(2/pi) exp(-t^2/2)
    atom = sp.exp(expression(-(beta * beta) / 2)) / sp.sqrt(sp.pi)
    root = Surd({2: line.ONE})
    value = sp.erf(expression(_absolute(beta)) / sp.sqrt(2)) if beta else None
    out: list[Value] = [{} if value is None else {value: sign(beta) * line.ONE}]
    for k, he in enumerate(_hermite(beta, order - 1) if order else []):
        out.append({atom: root * he if k % 2 == 0 else -(root * he)})
    return out


def _hermite(at: Exact, order: int) -> list[Exact]:
    """He_0(at), ..., He_order(at): He_{k+1} = t He_k - k He_{k-1}."""
    values = [line.ONE, at]
    for k in range(1, order):
        values.append(at * values[k] - values[k - 1] * k)
    return values[: order + 1]


def _sin_cos(first: int) -> Callable[[Any, Exact, int], list[Value]]:
    def values(sp: Any, beta: Exact, order: int) -> list[Value]:
        x = expression(_absolute(beta))
        sine: Value = {sp.sin(x): sign(beta) * line.ONE} if beta else {}
        cosine: Value = {sp.cos(x): line.ONE}
        cycle = [sine, cosine, {a: -c for a, c in sine.items()}, {a: -c for a, c in cosine.items()}]
        return [cycle[(first + k) % 4] for k in range(order + 1)]

    return values


_AT_BETA: dict[str, Callable[[Any, Exact, int], list[Value]]] = {
    "tanh": _tanh,
    "lncosh": _lncosh,
    "gauss": _gauss,
    "erf": _erf,
    "sin": _sin_cos(0),
    "cos": _sin_cos(1),
    "exp": lambda sp, beta, order: [{sp.exp(expression(beta)): line.ONE}] * (order + 1),
}
