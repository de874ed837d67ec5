r"""Leaving a trap, to leading order: the linear dynamics of w_S beside the trapped mean-field flow.

On the trapped flow (w_S = 0) a small part w_S of one neuron obeys, with :math:`w=w_{S^\perp}` and
:math:`\bar f^*=E[f^*\mid z_{S^\perp}]`,

.. math::
   \dot w_S=\xi_wa\,A\,w_S,\qquad A(a_0,t)=E[(\bar f^*-f)\sigma''(w\cdot x)]\,1_S+H,\quad
   H(a_0,t)=E[\nabla_S^2h^*\,\sigma''(w\cdot x)].

The other neurons do not enter: their parts in S start independent and centred, and cancel. From w ~ N(0, I/d) therefore
:math:`d\,m_S(t)^2\to\int|P|_F^2d\rho_a` with :math:`\dot P=\xi_waAP`, :math:`P(0)=1_S`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import InputError
from ._common import crossing, read_activation, read_schedules, read_subspace, read_target
from .result import Trajectory

__all__ = ["TrapResponse", "trap_response"]


@dataclass(frozen=True)
class TrapResponse:
    r"""The limits d -> infinity (N = infinity) at a fixed time of what starts at w ~ N(0, I/d) (:func:`trap_response`).

    Attributes
    ----------
    times : (T,).
    mass : (T,), :math:`\lim d\,m_S(t)^2`.
    correlation : (T,), :math:`\lim d\,E[gf]`, the limit of d times the deficit.
    trapped : the mean-field run with w_S = 0 that it was computed along.
    """

    times: np.ndarray
    mass: np.ndarray
    correlation: np.ndarray
    trapped: Trajectory

    def escape_time(self, dimension: float, level: float = 0.25) -> float:
        """When m_S reaches ``level`` in d dimensions, by this linear theory; infinity if not by the last time."""
        return crossing(self.times, self.mass, dimension * level * level)


def trap_response(
    target: Any,
    activation: Any,
    time: float = 20.0,
    *,
    subspace: Any,
    train: str = "both",
    schedule_a: Any = 1.0,
    schedule_w: Any = 1.0,
    times: Any = None,
    tolerance: float = 1e-3,
) -> TrapResponse:
    r"""How a network that starts from w ~ N(0, I/d) drifts out of a trap, in the limit of many dimensions.

    Solves the trapped mean-field flow (a ~ U[-1, 1], nothing in V, norm one outside), then the linear equation of the
    module's head along it, by the classical Runge-Kutta method on a grid of 401 times.

    Parameters
    ----------
    target, activation, time, train, schedule_a, schedule_w, times, tolerance : as in :func:`meanfield`.
    subspace : S, hidden from sigma: names or rows.

    Raises
    ------
    InputError where the flow from w_S = 0 does not stay there (S is not hidden), and as :func:`meanfield`.

    Source: this book, The trapping theorem, Proposition *The way out*. Checked against ``population`` at d = 10^4 and
    against finite differences of the field.
    """
    from scipy.interpolate import CubicSpline

    from ._limit_adaptive import refine
    from ._limit_field import LimitField, TargetForms
    from ._limit_solver import Flow
    from ._nodes import InitialLaw
    from .meanfield import _rate, meanfield
    from .trapping import _hidden_part

    h, sigma = read_target(target), read_activation(activation)
    rows = read_subspace(subspace, h)
    if rows is None:
        raise InputError("subspace must be given: the directions S that are hidden")
    options = {"train": train, "schedule_a": schedule_a, "schedule_w": schedule_w}
    asked = meanfield(h, sigma, time, init="gaussian", subspace=rows, times=times, tolerance=tolerance, **options)
    if np.max(asked.overlaps) > 1e-9:
        reached = np.max(asked.overlaps)
        raise InputError(f"S is not hidden from {sigma}: from w_S = 0 the flow reaches overlap {reached:.2g}")
    rates = read_schedules(train, schedule_a, schedule_w)
    grid = np.linspace(0.0, time, 401)
    found = refine(
        h, sigma, Flow(_rate(rates[0]), _rate(rates[1])), InitialLaw.uniform(),
        lambda a: (np.zeros((len(a), h.p)), np.ones(len(a))), grid, tolerance,
    )  # fmt: skip
    s = found.solution
    index = np.minimum(np.searchsorted(s.times, grid), len(s.times) - 1)
    a, w, rho, mass = s.a[index], s.w[index], s.rho[index], s.mass
    _, hidden, frame = _hidden_part(h, rows)
    field = LimitField(h, sigma, found.orders)
    k = len(rows)
    second = _second_derivatives(hidden, k)
    forms = {pair: TargetForms.of_coefficients(terms, h.p) for pair, terms in second.items()}
    matrix = np.zeros((len(grid), len(mass), k, k))  # H
    radial = np.zeros((len(grid), len(mass)))
    for j in range(len(grid)):
        r, u, b, d = field.profiles(w[j], rho[j])
        radial[j] = _radial(field, a[j], u, b, d, mass) / r
        v = u @ frame.T
        for (x, y), form in forms.items():
            value, _ = form(v)
            orders = np.arange(value.shape[1])
            slope = d[:, orders + 1] * np.sqrt(orders + 1.0) / r[:, None]  # E[sigma''(r g) he_k(g)]
            matrix[j, :, x, y] = matrix[j, :, y, x] = np.sum(slope * value, axis=1)
    pull = matrix + radial[:, :, None, None] * np.eye(k)
    xi = np.array([rates[1](t) for t in grid])
    spline = CubicSpline(grid, pull * (xi[:, None] * a)[:, :, None, None])
    p = np.tile(np.eye(k), (len(mass), 1, 1))
    track = [p]
    for t, end in pairwise(grid):
        step = end - t
        left, middle, right = spline(t), spline(t + step / 2), spline(end)
        one = left @ p
        two = middle @ (p + step / 2 * one)
        three = middle @ (p + step / 2 * two)
        p = p + step / 6 * (one + 2 * two + 2 * three + right @ (p + step * three))
        track.append(p)
    path = np.array(track)
    squares = np.sum(path**2, axis=(2, 3)) @ mass
    bend = np.einsum("tnxy,tnxz,tnzy->tn", path, matrix, path)
    found_correlation = 0.5 * (bend * a) @ mass
    return TrapResponse(
        times=asked.times,
        mass=np.exp(CubicSpline(grid, np.log(squares))(asked.times)),
        correlation=CubicSpline(grid, found_correlation)(asked.times),
        trapped=asked,
    )


def _radial(field: Any, a: np.ndarray, u: np.ndarray, b: np.ndarray, d: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """sum_k sqrt(k+1) D_{k+1} (order-k part of f* - f), at the nodes: r E[(f* - f) sigma''(w.x)] where u_S = 0."""
    orders = field.orders
    powers = (u @ u.T)[None] ** np.arange(orders)[:, None, None]
    rest = -np.einsum("kij,kj->ik", powers, b.T * (mass * a))
    value, _ = field.forms(u)
    rest[:, : value.shape[1]] += value
    return (rest * d[:, 1 : orders + 1]) @ np.sqrt(np.arange(orders) + 1.0)


def _second_derivatives(hidden: dict[tuple[int, ...], float], k: int) -> dict[tuple[int, int], dict]:
    """Hermite coefficients of the second derivatives in the first k coordinates: d_alpha He_alpha -> alpha_i He_(alpha-e_i)."""
    out: dict[tuple[int, int], dict] = {}
    for x in range(k):
        for y in range(x, k):
            terms: dict[tuple[int, ...], float] = {}
            for alpha, c in hidden.items():
                factor = alpha[x] * (alpha[x] - 1) if x == y else alpha[x] * alpha[y]
                if factor:
                    beta = list(alpha)
                    beta[x] -= 1
                    beta[y] -= 1
                    terms[tuple(beta)] = terms.get(tuple(beta), 0.0) + factor * c
            if terms:
                out[(x, y)] = terms
    return out
