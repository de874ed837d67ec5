r"""The second stage of a finite network over long times, by an implicit method that needs no eigenvectors."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.integrate import Radau
from scipy.linalg.lapack import dpstrf

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
    schedule, start = made.readout.schedule, np.array(made.outputs)
    # Q has the rank of the polynomials that the network can be: Q = B B^T by pivoted Cholesky, and a = a(0) + B c.
    B = _factor(Q)
    force = b - Q @ start / count
    beta, *_ = np.linalg.lstsq(B, force, rcond=None)
    matrix = B.T @ B / count
    rtol = 0.01 * tolerance
    solver = Radau(
        lambda t, c: schedule(t) * (beta - matrix @ c), 0.0, np.zeros(len(beta)), time, rtol=rtol,
        atol=rtol * 1e-3 * float(np.abs(beta).max(initial=1e-300)), jac=lambda t, c: -schedule(t) * matrix,
    )  # fmt: skip

    def loss(c: np.ndarray) -> float:
        # From the values of the residual, not from E h^2 - 2 a b + a Q a, which cancels.
        return 0.5 * float(density @ (hidden @ (start + B @ c) / count - values) ** 2)

    losses = [loss(np.zeros(len(beta)))] if times[0] == 0 else []
    while len(losses) < len(times):
        solver.step()
        if solver.status == "failed":
            raise InputError("the implicit method cannot go on: the schedule is too rough")
        inside = solver.dense_output()
        while len(losses) < len(times) and times[len(losses)] <= solver.t:
            losses.append(loss(inside(times[len(losses)])))
    if times[-1] == 0:
        inside = lambda t: np.zeros(len(beta))  # noqa: E731
    settings = {**made.settings, "activation": str(sigma), "dimension": p, "time": time, "tolerance": tolerance}
    info = {"steps": solver.nfev, "form": "implicit"}
    final = {"a": start + B @ inside(times[-1]), "w": w.copy(), "mass": np.full(count, 1 / count)}
    return Trajectory("population", times, np.array(losses), final_state=final, settings=settings, info=info)


def _factor(Q: np.ndarray) -> np.ndarray:
    """B (N, r) with Q = B B^T to rounding, r the numerical rank."""
    lower, order, rank, _ = dpstrf(Q, lower=1)
    B = np.zeros((len(Q), rank))
    B[order - 1] = np.tril(lower)[:, :rank]
    return B
