r"""The mean-field flow of a network with biases, :math:`f=\int a\,\sigma(w\cdot x+b)\,d\rho(a,w,b)`, by quadrature in V.

A bias is what the reflective property allows for by its free number u; this small engine shows what a bias does to traps
that only the parity of sigma upholds. It starts from w = 0, where everything stays in V.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from scipy.special import roots_legendre

from ..errors import DivergenceError, InputError, ToleranceError
from ._common import (
    initial_sizes,
    overlap,
    overlap_columns,
    read_activation,
    read_bool,
    read_positive,
    read_schedules,
    read_subspace,
    read_target,
    read_times,
    short,
)
from ._initial import refuse_kink_at_zero
from .hermite import gauss_hermite
from .result import Trajectory

__all__ = ["biased"]

_LARGEST_P = 3
_MOST = 3000  # evaluations of the field; the targets of the book need some hundreds


def biased(
    target: Any,
    activation: Any,
    time: float = 20.0,
    *,
    bias: Any = 0.5,
    train_bias: bool = True,
    train: str = "both",
    schedule_a: Any = 1.0,
    schedule_w: Any = 1.0,
    subspace: Any = None,
    times: Any = None,
    points: int = 24,
) -> Trajectory:
    r"""Solve the mean-field flow of a network with biases from a ~ U[-1, 1], w = 0:

    .. math::
       \dot a=-\xi_aE[(f-f^*)\sigma(w\cdot x+b)],\quad\dot w=-\xi_waE[(f-f^*)\sigma'(w\cdot x+b)\,x],\quad
       \dot b=-\xi_waE[(f-f^*)\sigma'(w\cdot x+b)].

    Parameters
    ----------
    target : h* in at most 3 variables.
    activation, time, train, schedule_a, schedule_w, subspace, times : as in :func:`meanfield`.
    bias : the initial biases: a number, the same for every neuron, or a list of numbers with equal masses, independent
        of a. ``bias=0`` with ``train_bias=False`` is the network of :func:`meanfield`.
    train_bias : whether b moves (with the rate of w) or stays.
    points : Gauss-Hermite nodes in each direction; the check is made with 3/4 of them, of the nodes in a, and
        with ten times the tolerance in time.

    Returns
    -------
    Trajectory; ``error`` is twice the difference of the loss curves from that coarser solve. ``final_state`` has "b", too.

    Raises
    ------
    InputError for arguments, more than 3 variables, or a kink at an initial bias; DivergenceError if the flow runs away;
    ToleranceError if it takes too many steps, as with corners such as ReLU's, which pass the nodes of the quadrature.

    Source: this book, The trapping theorem. Checked against :func:`meanfield` at bias 0 and against a shifted activation.
    """
    h, sigma = read_target(target), read_activation(activation)
    if h.p > _LARGEST_P:
        raise InputError(f"biased flows are computed for at most {_LARGEST_P} variables, the target has {h.p}")
    time, times = read_positive(time, "time"), read_times(times, read_positive(time, "time"))
    rates, rows = read_schedules(train, schedule_a, schedule_w), read_subspace(subspace, h)
    read_bool(train_bias, "train_bias")
    try:
        start = np.atleast_1d(np.asarray(bias, dtype=np.float64))
    except (TypeError, ValueError):
        start = np.array([np.nan])
    if start.ndim != 1 or not len(start) or not np.all(np.isfinite(start)):
        raise InputError(f"bias must be a finite number or a list of them, got {short(bias)}")
    if not isinstance(points, int) or not 8 <= points <= 60:
        raise InputError(f"points must be a whole number, 8 ... 60, got {short(points)}")
    for b in start:
        refuse_kink_at_zero(sigma if b == 0 else sigma.shift(str(b)), np.zeros((1, h.p)), False)
    coarse, _ = _solve(h, sigma, time, times, rates, start, train_bias, 3 * points // 4, 6, 1e-4)
    losses, states = _solve(h, sigma, time, times, rates, start, train_bias, points, 8, 1e-5)
    a, w, b, mass = states
    return Trajectory(
        method="meanfield",
        times=times,
        losses=losses,
        **overlap_columns([overlap(x, y, rows, mass) for x, y in zip(a, w)], rows),
        final_state={"a": a[-1], "w": w[-1], "b": b[-1], "mass": mass, "initial_a": a[0]},
        error=2 * float(np.max(np.abs(losses - coarse))),
        settings={
            "target": str(h),
            "variables": list(h.variables),
            "activation": str(sigma),
            "time": time,
            "bias": start.tolist(),
            "train_bias": train_bias,
            "train": train,
            "schedule_a": rates[0].describe(),
            "schedule_w": rates[1].describe(),
            "subspace": None if rows is None else rows.tolist(),
        },
        problem=(h, sigma),
        info={"nodes": len(mass), "points": points, "initial": initial_sizes(a[0], w[0], mass)},
    )


def _solve(h, sigma, time, times, rates, start, train_bias, points, order, rtol):
    from scipy.integrate import solve_ivp

    x, weight = roots_legendre(order)
    edges = np.array([-1, -0.25, -0.05, 0.0, 0.05, 0.25, 1])  # finer at the saddle a = 0
    half = np.diff(edges) / 2
    a0 = (edges[:-1, None] + half[:, None] * (1 + x)).ravel()
    m0 = (half[:, None] * weight).ravel() / 2
    a0, b0 = np.tile(a0, len(start)), np.repeat(start, len(a0))
    mass = np.tile(m0, len(start)) / len(start)
    n, p = len(a0), h.p
    nodes, weights = gauss_hermite(points)
    z = np.array(list(product(nodes, repeat=p)))
    density = np.array([np.prod(c) for c in product(weights, repeat=p)])
    values = h(z)

    def parts(y: np.ndarray):
        return y[:n], y[n : n * (1 + p)].reshape(n, p), y[n * (1 + p) :]

    def loss(y: np.ndarray) -> float:
        a, w, b = parts(y)
        return 0.5 * float(density @ ((mass * a) @ sigma(w @ z.T + b[:, None]) - values) ** 2)

    evaluations = 0

    def rate(t: float, y: np.ndarray) -> np.ndarray:
        nonlocal evaluations
        evaluations += 1
        if not np.max(np.abs(y)) < 1e6:
            raise DivergenceError(
                f"the flow with biases runs away near time {t:.3g}: stop earlier, or take a bounded activation", t
            )
        if evaluations > _MOST:
            raise ToleranceError(
                f"the flow with biases needs more than {_MOST} evaluations, it came to time {t:.3g}: stop earlier, or take "
                "a smooth activation (each time that a corner passes a quadrature node costs small steps)"
            )
        a, w, b = parts(y)
        inputs = w @ z.T + b[:, None]
        hidden = sigma(inputs)
        weighted = density * ((mass * a) @ hidden - values)
        slope = sigma.derivative(inputs) * weighted
        xi_a, xi_w = rates[0](t), rates[1](t)
        return np.concatenate(
            [
                -xi_a * (hidden @ weighted),
                (-xi_w * a[:, None] * (slope @ z)).ravel(),
                -xi_w * train_bias * a * slope.sum(1),
            ]
        )

    y0 = np.concatenate([a0, np.zeros(n * p), b0])
    if times[-1] == 0:
        states = y0[:, None]
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            found = solve_ivp(rate, (0.0, time), y0, t_eval=times, rtol=rtol, atol=1e-3 * rtol)
        if not found.success:
            raise DivergenceError(f"the flow with biases cannot be continued: {found.message}", time)
        states = found.y
    a, w, b = zip(*(parts(y) for y in states.T))
    return np.array([loss(y) for y in states.T]), (np.array(a), np.array(w), np.array(b), mass)
