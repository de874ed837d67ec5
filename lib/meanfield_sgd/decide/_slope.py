"""sigma' at multiple precision, and the averages E[sigma^(k+1)(u + r g)] that the witness of a broken symmetry needs.

No numpy: the slope is written out for each primitive of the normal form. A custom function is asked in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from mpmath import MPContext

from ..activation import Activation
from ._linear import number

__all__ = ["averages", "slope"]

_mp = MPContext()
_mp.dps = 20  # more than the double in which the answer is given
_CUT = 12  # |g| beyond which the Gaussian weighs less than 1e-31


def slope(sigma: Activation) -> Callable[[Any], Any]:
    """y -> sigma'(y); at a corner the slope of its left side."""
    rows = []
    for (kind, alpha, beta), p in sigma._form.terms.items():
        line = [_mp.mpf(number(c)) for c in p]
        rows.append((kind, _mp.mpf(number(alpha)), _mp.mpf(number(beta)), line))
    custom = Activation._of(sigma._customs) if sigma._customs else None

    def at(y: Any) -> Any:
        total = _mp.zero if custom is None else _mp.mpf(float(custom.derivative(float(y))))
        for kind, alpha, beta, line in rows:
            value, change = _primitive(kind, alpha, beta, y)
            p = dp = _mp.zero
            for c in reversed(line):
                p, dp = p * y + c, dp * y + p
            total += p * change + dp * value
        return total

    return at


def _primitive(kind: str, alpha: Any, beta: Any, y: Any) -> tuple[Any, Any]:
    """(f, f') of one primitive; see meanfield_sgd._activation_form."""
    t = alpha * y + beta
    if kind == "one":
        return _mp.one, _mp.zero
    if kind == "tanh":
        f = _mp.tanh(t)
        return f, alpha * (1 - f * f)
    if kind == "lncosh":
        size = abs(t)
        return size + _mp.log1p(_mp.exp(-2 * size)), alpha * _mp.tanh(t)
    if kind == "gauss":
        f = _mp.exp(-t * t / 2)
        return f, -alpha * t * f
    if kind == "erf":
        return _mp.erf(t / _mp.sqrt(2)), alpha * _mp.sqrt(2 / _mp.pi) * _mp.exp(-t * t / 2)
    if kind == "sin":
        return _mp.sin(t), alpha * _mp.cos(t)
    if kind == "cos":
        return _mp.cos(t), -alpha * _mp.sin(t)
    if kind == "exp":
        f = _mp.exp(t)
        return f, alpha * f
    f = _mp.exp(alpha * (y - beta)) * (1 if y > beta else -1)  # step: the jump itself is compensated in sigma
    return f, alpha * f


def averages(sigma: Activation, orders: int, u: Fraction, r: float) -> list[float]:
    """[r^-k E[sigma'(u + r g) He_k(g)] for k < orders], which is E[sigma^(k+1)(u + r g)] where that exists.

    Where sigma jumps, r^-(k+1) E[sigma(u + r g) He_{k+1}(g)], which is the same elsewhere.

    For r of order 1: the panels of the quadrature are made for that. At r = 0 only k = 0 is meaningful.
    """
    at, u, r = slope(sigma), _mp.mpf(u.numerator) / u.denominator, _mp.mpf(r)
    if not r:  # v = 0: only k = 0 is meaningful
        return [float(at(u))] + [0.0] * (orders - 1)
    points = {_mp.mpf(x) for x in range(-_CUT, _CUT + 1, 2)}
    points |= {(_mp.mpf(b) - u) / r for b in sigma.breakpoints}
    for (_, alpha, beta), _ in sigma._form.terms.items():  # where a steep function of alpha*y + beta has its step
        if alpha:
            alpha, beta = _mp.mpf(number(alpha)), _mp.mpf(number(beta))
            centre, width = (-beta / alpha - u) / r, 1 / (abs(alpha) * r)
            points |= {centre + k * width for k in (-8, -3, -1, 0, 1, 3, 8)}
    points = sorted(x for x in points if abs(x) <= _CUT)
    cache: dict[Any, Any] = {}

    def weighed(g: Any) -> Any:
        return _mp.mpf(sigma(float(u + r * g))) * _mp.exp(-g * g / 2) / _mp.sqrt(2 * _mp.pi)

    def density(g: Any) -> Any:
        if g not in cache:
            cache[g] = at(u + r * g) * _mp.exp(-g * g / 2) / _mp.sqrt(2 * _mp.pi)
        return cache[g]

    values = []
    if sigma.smoothness == -1:  # the derivative misses the jumps; E[sigma(u + r g) He_{k+1}(g)] / r^(k+1) does not
        for k in range(1, orders + 1):
            values.append(float(_mp.quad(lambda g: weighed(g) * _hermite(k, g), points, maxdegree=5) / r**k))  # noqa: B023
        return values
    for k in range(orders):
        values.append(float(_mp.quad(lambda g: density(g) * _hermite(k, g), points, maxdegree=5) / r**k))  # noqa: B023
    return values


def _hermite(k: int, g: Any) -> Any:
    below, here = _mp.zero, _mp.one
    for j in range(k):
        below, here = here, g * here - j * below
    return here
