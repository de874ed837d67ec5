"""The named activations: what each one is numerically, and what it is exactly (its normal form).

Numerically a base is two formulas, its value and its slope, written once for NumPy and torch over a small namespace
``xp`` (see :mod:`meanfield_sgd._arrays`). They are chosen so that no intermediate result overflows, and nothing cancels
except where the function itself passes through 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import _line as line
from ._activation_form import Key, primitive
from ._exact import sign
from ._line import Exact, Line

__all__ = ["ALIASES", "CATALOGUE", "Base"]

Terms = list[tuple[Key, Line]]

_HALF = line.ONE / 2
_SQRT_HALF = math.sqrt(0.5)
_GAUSS = 1 / math.sqrt(2 * math.pi)  # density of N(0, 1) at 0


@dataclass(frozen=True)
class Base:
    """One named function of t = alpha*y + beta, with parameters (the slope of leaky_relu) after t.

    ``value(xp, t, *parameters)``, ``slope(xp, t, *parameters)``: numerically; ``expand(alpha, beta, *parameters)``:
    its normal form; ``symmetry``: "odd", "even" or None, in t; ``sympy(sp, t, *parameters)``: as an expression.
    """

    name: str
    about: str
    value: Callable[..., Any]
    slope: Callable[..., Any]
    expand: Callable[..., Terms]
    sympy: Callable[..., Any]
    symmetry: str | None = None
    parameters: tuple[tuple[str, Exact], ...] = field(default=())


# ---- numerically. A corner takes the slope of its t <= 0 side, |t| the slope 0: as torch's autograd does. ----


def _exp(xp: Any, t: Any) -> Any:
    return xp.exp(t)


def _sin(xp: Any, t: Any) -> Any:
    return xp.sin(t)


def _cos(xp: Any, t: Any) -> Any:
    return xp.cos(t)


def _tanh_slope(xp: Any, t: Any) -> Any:
    decay = xp.exp(-2.0 * xp.abs(t))  # 1 - tanh^2 would cancel
    return 4.0 * decay / (1.0 + decay) ** 2


def _erf(xp: Any, t: Any) -> Any:
    return xp.erf(t * _SQRT_HALF)


def _erf_slope(xp: Any, t: Any) -> Any:
    return (2.0 * _GAUSS) * xp.exp(-0.5 * t * t)


def _logistic_slope(xp: Any, t: Any) -> Any:
    decay = xp.exp(-xp.abs(t))
    return decay / (1.0 + decay) ** 2


def _gelu(xp: Any, t: Any) -> Any:
    return 0.5 * t * xp.erfc(-t * _SQRT_HALF)  # 1 + erf would cancel for t < 0


def _gelu_slope(xp: Any, t: Any) -> Any:
    return 0.5 * xp.erfc(-t * _SQRT_HALF) + t * (_GAUSS * xp.exp(-0.5 * t * t))


def _silu_slope(xp: Any, t: Any) -> Any:
    return xp.logistic(t) * (1.0 + t * xp.logistic(-t))


def _elu(xp: Any, t: Any, a: float) -> Any:
    return xp.where(t > 0, t, a * xp.expm1(xp.at_most_0(t)))


def _elu_slope(xp: Any, t: Any, a: float) -> Any:
    return xp.where(t > 0, xp.ones_like(t), a * xp.exp(xp.at_most_0(t)))


def _leaky_relu(xp: Any, t: Any, slope: float) -> Any:
    return xp.where(t > 0, t, slope * t)


def _leaky_relu_slope(xp: Any, t: Any, slope: float) -> Any:
    return xp.where(t > 0, xp.ones_like(t), slope * xp.ones_like(t))


# ---- exactly ----


def _one(p: Line) -> tuple[Key, Line]:
    return primitive("one", line.ZERO, line.ZERO, p)


def _kind(kind: str) -> Callable[[Exact, Exact], Terms]:
    return lambda alpha, beta: [primitive(kind, alpha, beta, line.constant(line.ONE))]


def _step(alpha: Exact, beta: Exact, p: Line, rate: Exact = line.ZERO) -> tuple[Key, Line]:
    """p(y) exp(rate*(y - b)) sgn(alpha*y + beta), b = -beta/alpha."""
    return ("step", rate, -(beta / alpha)), line.scale(p, sign(alpha))


def _logistic_terms(alpha: Exact, beta: Exact) -> Terms:
    return [_one(line.constant(_HALF)), primitive("tanh", alpha * _HALF, beta * _HALF, line.constant(_HALF))]


def _softplus_terms(alpha: Exact, beta: Exact) -> Terms:
    alpha, beta = alpha * _HALF, beta * _HALF
    return [_one(line.linear(alpha, beta)), primitive("lncosh", alpha, beta, line.constant(line.ONE))]


def _gelu_terms(alpha: Exact, beta: Exact) -> Terms:
    half = line.linear(alpha * _HALF, beta * _HALF)
    return [_one(half), primitive("erf", alpha, beta, half)]


def _silu_terms(alpha: Exact, beta: Exact) -> Terms:
    half = line.linear(alpha * _HALF, beta * _HALF)
    return [_one(half), primitive("tanh", alpha * _HALF, beta * _HALF, half)]


def _leaky_relu_terms(alpha: Exact, beta: Exact, slope: Exact) -> Terms:
    t = line.linear(alpha, beta)
    return [_one(line.scale(t, (slope + 1) * _HALF)), _step(alpha, beta, line.scale(t, (-slope + 1) * _HALF))]


def _elu_terms(alpha: Exact, beta: Exact, a: Exact) -> Terms:
    # t where t > 0, a (e^t - 1) where t <= 0: half the sum, plus half the difference times sgn t.
    t, half_a = line.linear(alpha, beta), line.constant(a * _HALF)
    half_t, minus = line.scale(t, _HALF), line.scale(half_a, -1)
    return [
        _one(line.add(half_t, minus)),
        primitive("exp", alpha, beta, half_a),
        _step(alpha, beta, line.add(half_t, half_a)),
        _step(alpha, beta, minus, rate=alpha),
    ]


def _sympy_erf(sp: Any, t: Any) -> Any:
    return sp.erf(t / sp.sqrt(2))


CATALOGUE: dict[str, Base] = {
    base.name: base
    for base in [
        Base(
            "tanh",
            "hyperbolic tangent",
            lambda xp, t: xp.tanh(t),
            _tanh_slope,
            _kind("tanh"),
            lambda sp, t: sp.tanh(t),
            "odd",
        ),
        Base(
            "erf",
            "erf(y/sqrt 2), between -1 and 1",
            _erf,
            _erf_slope,
            _kind("erf"),
            _sympy_erf,
            "odd",
        ),
        Base(
            "logistic",
            "1/(1 + exp(-y))",
            lambda xp, t: xp.logistic(t),
            _logistic_slope,
            _logistic_terms,
            lambda sp, t: 1 / (1 + sp.exp(-t)),
        ),
        Base(
            "softplus",
            "log(1 + exp(y))",
            lambda xp, t: xp.softplus(t),
            lambda xp, t: xp.logistic(t),
            _softplus_terms,
            lambda sp, t: sp.log(1 + sp.exp(t)),
        ),
        Base(
            "gelu",
            "y (1 + erf(y/sqrt 2))/2, exact",
            _gelu,
            _gelu_slope,
            _gelu_terms,
            lambda sp, t: t * (1 + sp.erf(t / sp.sqrt(2))) / 2,
        ),
        Base(
            "silu",
            "y logistic(y)",
            lambda xp, t: t * xp.logistic(t),
            _silu_slope,
            _silu_terms,
            lambda sp, t: t / (1 + sp.exp(-t)),
        ),
        Base(
            "elu",
            "y for y > 0, a (exp(y) - 1) for y <= 0",
            _elu,
            _elu_slope,
            _elu_terms,
            lambda sp, t, a: sp.Piecewise((t, t > 0), (a * (sp.exp(t) - 1), True)),
            parameters=(("a", line.ONE),),
        ),
        Base(
            "sin",
            "sine",
            lambda xp, t: xp.sin(t),
            lambda xp, t: xp.cos(t),
            _kind("sin"),
            lambda sp, t: sp.sin(t),
            "odd",
        ),
        Base(
            "cos",
            "cosine",
            lambda xp, t: xp.cos(t),
            lambda xp, t: -xp.sin(t),
            _kind("cos"),
            lambda sp, t: sp.cos(t),
            "even",
        ),
        Base(
            "exp",
            "exponential",
            lambda xp, t: xp.exp(t),
            lambda xp, t: xp.exp(t),
            _kind("exp"),
            lambda sp, t: sp.exp(t),
        ),
        Base(
            "gaussian",
            "exp(-y^2/2)",
            lambda xp, t: xp.exp(-0.5 * t * t),
            lambda xp, t: -t * xp.exp(-0.5 * t * t),
            _kind("gauss"),
            lambda sp, t: sp.exp(-(t**2) / 2),
            "even",
        ),
        Base(
            "relu",
            "max(y, 0)",
            lambda xp, t: xp.relu(t),
            lambda xp, t: xp.positive(t),
            lambda alpha, beta: _leaky_relu_terms(alpha, beta, line.ZERO),
            lambda sp, t: sp.Max(t, 0),
        ),
        Base(
            "leaky_relu",
            "y for y > 0, a y for y <= 0",
            _leaky_relu,
            _leaky_relu_slope,
            _leaky_relu_terms,
            lambda sp, t, a: sp.Piecewise((t, t > 0), (a * t, True)),
            parameters=(("a", line.ONE / 100),),
        ),
        Base(
            "abs",
            "|y|",
            lambda xp, t: xp.abs(t),
            lambda xp, t: xp.sign(t),
            lambda alpha, beta: [_step(alpha, beta, line.linear(alpha, beta))],
            lambda sp, t: sp.Abs(t),
            "even",
        ),
    ]
}

ALIASES = {"sigmoid": "logistic", "swish": "silu"}
