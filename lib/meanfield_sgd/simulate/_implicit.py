r"""The second stage of a finite network over long times, by an implicit method that needs no eigenvectors."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.integrate import Radau

from ..errors import InputError
from ._common import read_positive, read_times
from .hermite import gauss_hermite, pair_kernel
from .result import Trajectory

if TYPE_CHECKING:
    from .strategy import Strategy

__all__ = ["implicit"]

_MOST_NEURONS, _LARGEST_P = 1000, 3


def implicit(made: Strategy, time: float, *, times: Any = None, tolerance: float = 1e-7, **others: Any) -> Trajectory:
    """See :meth:`Strategy.train`."""
    others.pop("schedule_a", None)
    if others:
        raise InputError(f'method="implicit" takes times and tolerance only, not {", ".join(others)}')
    times, tolerance = read_times(times, time), read_positive(tolerance, "tolerance")
    w, target, sigma = made.weights, made.target, made.second
    count, p = len(w), target.p
    if count > _MOST_NEURONS or p > _LARGEST_P or w.shape[1] > p:
        raise InputError(
            f'method="implicit" is for at most {_MOST_NEURONS} neurons with features in V, p <= {_LARGEST_P}; here N = {count}, '
            f"{w.shape[1]} coordinates, p = {p}"
        )
    Q = pair_kernel(sigma, w, w)
    nodes, masses = gauss_hermite(max(12, made.degree + target.degree))
    z = np.array(list(product(nodes, repeat=p)))
    density = np.array([np.prod(m) for m in product(masses, repeat=p)])
    values = target(z)
    hidden = sigma(z @ w.T)  # (points, N)
    b = (density * values) @ hidden
    schedule = made.readout.schedule
    rtol = 0.01 * tolerance
    solver = Radau(
        lambda t, a: schedule(t) * (b - Q @ a / count), 0.0, np.array(made.outputs), max(time, 1e-12), rtol=rtol,
        atol=rtol * 1e-3, jac=lambda t, a: -schedule(t) * Q / count,
    )  # fmt: skip

    def loss(a: np.ndarray) -> float:
        # From the values of the residual, not from E h^2 - 2 a b + a Q a, which cancels.
        return 0.5 * float(density @ (hidden @ a / count - values) ** 2)

    losses = [loss(np.array(made.outputs))] if times[0] == 0 else []
    while len(losses) < len(times):
        solver.step()
        if solver.status == "failed":
            raise InputError("the implicit method cannot go on: the schedule is too rough")
        inside = solver.dense_output()
        while len(losses) < len(times) and times[len(losses)] <= solver.t:
            losses.append(loss(inside(times[len(losses)])))
    settings = {**made.settings, "second_time": time, "tolerance": tolerance}
    info = {"steps": solver.nfev, "form": "implicit"}
    final = {"a": solver.y, "w": w.copy(), "mass": np.full(count, 1 / count)}
    return Trajectory("population", times, np.array(losses), final_state=final, settings=settings, info=info)
