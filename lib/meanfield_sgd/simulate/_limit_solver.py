"""One solve of the mean-field flow on given nodes: explicit Runge-Kutta with dense output, the loss carried along.

The loss is one more component of the system, dE/dt = -sum_j m_j (xi_a |da_j|^2 + xi_w |dw_j|^2) (exact for the discretised
flow, which is itself a gradient flow), so that its dense output costs nothing; the loss computed directly from the
states at the end is the check that this identity holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import DOP853, RK23

from ..errors import DivergenceError, ToleranceError
from ._limit_field import LimitField

# Far beyond what a target with coefficients of order one needs (about 200 on [0, 20]).
MAX_EVALUATIONS = 10_000
MAX_WORK = 2e10  # evaluations times N^2 K: by estimate about a minute

__all__ = ["DOP853", "RK23", "Flow", "Solution", "solve"]


@dataclass(frozen=True)
class Flow:
    """What moves and how fast: learning-rate schedules of time (None: frozen)."""

    rate_a: Callable[[float], float] | None
    rate_w: Callable[[float], float] | None


@dataclass
class Solution:
    """A solve: losses (T,) and states a (T, N), w (T, N, p), rho (T, N) at ``times``; ``defect`` of the energy identity."""

    times: np.ndarray
    losses: np.ndarray
    a: np.ndarray
    w: np.ndarray
    rho: np.ndarray
    mass: np.ndarray
    initial_a: np.ndarray
    defect: float
    evaluations: int


def solve(
    field: LimitField,
    flow: Flow,
    initial: tuple[np.ndarray, np.ndarray, np.ndarray],
    mass: np.ndarray,
    times: np.ndarray,
    rtol: float,
    method: type = DOP853,
    on_time: Callable[[float], None] | None = None,
) -> Solution:
    """Solve on [times[0], times[-1]] and report at ``times`` (ascending), with an integrator of scipy's.

    On smooth flows on [0, 20], :class:`RK23` needs half the evaluations of :class:`DOP853` for an error near 1e-3 (its
    dense output is free) and more below 1e-4.

    DivergenceError when a state leaves the finite numbers (or the radii the profiles are tabulated for).
    """
    a0, w0, rho0 = initial
    n, p = w0.shape
    has_rho = bool(np.any(rho0 > 0))
    size = n * (p + 1 + has_rho)
    loss0 = field.evaluate(a0, w0, rho0, mass)[3]
    trouble: list[str] = []

    def unpack(y):
        a = y[..., :n]
        w = y[..., n : n * (p + 1)].reshape(*y.shape[:-1], n, p)
        rho = y[..., n * (p + 1) : size] if has_rho else np.zeros_like(a)
        return a, w, rho

    def rhs(t, y):
        a, w, rho = unpack(y)
        out = np.empty_like(y)
        # A trial stage may overshoot: NaN makes the integrator retry with a shorter step.
        if not np.all(np.isfinite(y)) or np.abs(w).max() > field.table.largest_radius / 2:
            out[:] = np.nan
            return out
        try:
            a_dot, w_dot, rho_dot, _ = field.evaluate(a, w, np.abs(rho), mass)
        except ToleranceError as error:
            trouble.append(str(error))
            out[:] = np.nan
            return out
        xi_a = flow.rate_a(t) if flow.rate_a is not None else 0.0
        xi_w = flow.rate_w(t) if flow.rate_w is not None else 0.0
        out[:n] = xi_a * a_dot
        out[n : n * (p + 1)] = xi_w * w_dot.ravel()
        dissipated = xi_a * (a_dot * a_dot) + xi_w * np.einsum("ij,ij->i", w_dot, w_dot)
        if has_rho:
            out[n * (p + 1) : size] = xi_w * rho_dot
            dissipated = dissipated + xi_w * rho_dot * rho_dot
        out[-1] = -mass @ dissipated
        return out

    y0 = np.concatenate([a0, w0.ravel(), rho0 if has_rho else [], [loss0]])
    states = np.empty((len(times), len(y0)))
    states[0] = y0
    done = 1
    solver = None
    if len(times) > 1:
        with np.errstate(invalid="ignore", over="ignore"):
            solver = method(rhs, times[0], y0, times[-1], rtol=rtol, atol=0.1 * rtol)
            while solver.status == "running":
                message = solver.step()
                if solver.status == "failed" or not np.all(np.isfinite(solver.y)):
                    why = (
                        trouble[-1] if trouble else (message or "the weights stopped being finite").rstrip(".").lower()
                    )
                    raise DivergenceError(
                        f"the mean-field flow runs away at time {solver.t:.4g} ({why}); stop before that time, or take an "
                        "activation of slower growth",
                        solver.t,
                    )
                if solver.nfev > MAX_EVALUATIONS or solver.nfev * n * n * getattr(field, "orders", 1) > MAX_WORK:
                    raise ToleranceError(
                        f"the flow needs very short steps: {solver.nfev} evaluations reached only time {solver.t:.3g} of "
                        f"{times[-1]:.3g}; stop earlier, or scale the target down (its loss starts at {loss0:.3g})"
                    )
                upto = np.searchsorted(times, solver.t, side="right") if solver.t < times[-1] else len(times)
                if upto > done:
                    states[done:upto] = solver.dense_output()(times[done:upto]).T
                    done = upto
                if on_time is not None:
                    on_time(solver.t)
    a, w, rho = unpack(states)
    rho = np.abs(rho)
    check = field.evaluate(a[-1], w[-1], rho[-1], mass)[3]
    return Solution(
        times=times,
        losses=states[:, -1].copy(),
        a=a,
        w=w,
        rho=rho,
        mass=mass,
        initial_a=a0,
        defect=abs(check - states[-1, -1]),
        evaluations=solver.nfev if solver is not None else 1,
    )
