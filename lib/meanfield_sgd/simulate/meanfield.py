r"""The limit N = infinity, d = infinity: the mean-field PDE on its low-dimensional support, with a reported error.

From :math:`\rho_0=\mathrm{Law}(a)\otimes\mathrm{Law}(w)` with w = 0 or w ~ N(0, I/d), every particle's weight vector is,
in the limit, a function of its initial second-layer weight a_0 alone: its part in V is w(a_0, t) in R^p and the norm of
its part outside V is rho(a_0, t). The PDE becomes a system of ordinary differential equations along one curve,

.. math::
   \partial_ta=-\xi_a(\Phi_f-\Psi)(w),\qquad \partial_tw=-\xi_wa\nabla(\Phi_f-\Psi)(w),\qquad
   \Psi(w)=E[f^*\sigma(w^Tx)],\quad \Phi_f(w)=E[f\sigma(w^Tx)],

whose integrals over a_0 are done by adaptive Gauss panels and whose expectations over x by the pair kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InputError, ToleranceError
from ._common import (
    Schedule,
    initial_sizes,
    overlap,
    overlap_columns,
    read_activation,
    read_choice,
    read_count,
    read_positive,
    read_schedules,
    read_subspace,
    read_target,
    read_times,
    short,
)
from ._initial import refuse_kink_at_zero
from ._limit_adaptive import Refinement, refine
from ._limit_solver import Flow
from ._nodes import InitialLaw
from ._running import Progress
from .result import Interrupted, Trajectory

__all__ = ["meanfield"]


def meanfield(
    target,
    activation,
    time: float = 20.0,
    *,
    tolerance: float = 1e-4,
    init: str | Mapping[str, Any] = "zero",
    law: InitialLaw | None = None,
    train: str = "both",
    schedule_a=1.0,
    schedule_w=1.0,
    subspace=None,
    times=None,
    max_nodes: int = 400,
    max_orders: int = 200,
    progress: bool | None = None,
) -> Trajectory:
    r"""Solve the mean-field flow (N = d = infinity) with an error that it estimates and reports.

    Computes, for a ~ ``law`` and w as ``init`` says, the flow :math:`\dot a=-\xi_aE[(f-f^*)\sigma(w^Tx)]`,
    :math:`\dot w=-\xi_waE[(f-f^*)\sigma'(w^Tx)x]` with :math:`f(x)=\int a\,\sigma(w^Tx)\,d\rho_t`, and the loss
    :math:`E(\rho_t)=\frac12E|f-f^*|^2` (equation (2.4) of Chen and Ge, arXiv 2402.08948, in this book's notation).

    Parameters
    ----------
    target : Polynomial or text, the target h*(z), z ~ N(0, I_p).
    activation : Activation or text. One with a kink (ReLU) needs ``init="gaussian"`` or a shift that moves the kink off 0.
    time : final gradient-flow time.
    tolerance : bound on the sup-norm error of the loss curve over [0, time], absolute; the default 1e-4 takes a fraction
        of a second for the book's targets, 1e-6 some seconds, 1e-7 about a minute.
    init : ``"zero"`` (w = 0), ``"gaussian"`` (the limit of w ~ N(0, I/d): nothing in V, norm one outside), or a mapping
        with arrays ``"a"`` (N,), ``"w"`` (N, p) and optionally ``"rho"`` (N,) and ``"mass"`` (N,): exactly these
        particles, for instance the ``final_state`` of another run, which is so continued.
    law : law of the initial a, an :class:`InitialLaw` (default a ~ U[-1, 1]); not with a mapping as ``init``.
    train : ``"both"`` layers, ``"a"`` alone or ``"w"`` alone.
    schedule_a, schedule_w : learning rates, numbers or functions of time.
    subspace : a subspace S of V, by names (``"z2"``, ``["z2", "z3"]``) or rows (k, p): its overlap is recorded.
    times : where to report (default 101 equally spaced times).
    max_nodes, max_orders : the most nodes and Hermite orders to use.
    progress : True shows a bar, False none; by default on a terminal when it takes more than two seconds.

    Returns
    -------
    Trajectory; ``error`` is twice the difference between this solve and a coarser one (fewer and wider panels, two thirds
    of the Hermite orders, a larger time tolerance), so an estimate of the *coarser* one's error: the true error is
    usually several times smaller, and was never above it on the random targets of ``benchmarks/``. ``info`` lists every
    solve made. In ``final_state``, ``"w"`` is the part in V and ``"rho"`` the norm of the part outside.

    Raises
    ------
    InputError for arguments; DivergenceError (with ``.time``) when a state leaves the finite numbers;
    ToleranceError when ``max_nodes`` or ``max_orders`` do not reach the tolerance; Interrupted
    (a KeyboardInterrupt) with the best solve so far, once there is one.

    Source: the reduction to one curve for (4.1) is Chen and Ge's; the engine is this book's, chapter *The mean-field PDE*.
    Its report was checked on random targets with p <= 3, degree <= 4, time 20, and four smooth activations.
    """
    target, activation = read_target(target), read_activation(activation)
    time, tolerance = read_positive(time, "time"), read_positive(tolerance, "tolerance")
    if tolerance < 1e-11:
        raise InputError(f"tolerance must be at least 1e-11 (double precision), got {tolerance:g}")
    times = read_times(times, time)
    rates = read_schedules(train, schedule_a, schedule_w)
    rows = read_subspace(subspace, target)
    max_nodes, max_orders = read_count(max_nodes, "max_nodes", 12), read_count(max_orders, "max_orders", 8)
    law, start, described = _initial(init, law, target.p)
    a0 = np.array(law.values) if law.kind == "points" else np.array([0.0])
    w0, rho0 = start(a0)
    if not np.all(np.einsum("ij,ij->i", w0, w0) + rho0**2 > 0) and rates[1].value != 0.0:
        refuse_kink_at_zero(activation, np.column_stack([w0, rho0]), isinstance(init, Mapping))
    # Everything moves at rates of the order of |h*|: this many time units of its own no explicit method gets through.
    size = float(target.inner(target)) ** 0.5
    if size * time > 1e4:
        raise ToleranceError(
            f"the target has root mean square {size:.3g}, far too large for time {time:g} (their product may be 1e4 at most): "
            "scale the target down, or stop earlier"
        )
    settings = {
        "target": str(target),
        "variables": list(target.variables),
        "activation": str(activation),
        "time": time,
        "tolerance": tolerance,
        "init": described,
        "law": str(law),
        "train": train,
        "schedule_a": rates[0].describe(),
        "schedule_w": rates[1].describe(),
        "subspace": None if rows is None else rows.tolist(),
    }
    grid = np.union1d(np.union1d([0.0], times), [time])
    latest: list[Refinement] = []
    with Progress(progress, time, "meanfield") as bar:
        try:
            found = refine(
                target,
                activation,
                Flow(_rate(rates[0]), _rate(rates[1])),
                law,
                start,
                grid,
                tolerance,
                max_nodes=max_nodes,
                max_orders=max_orders,
                on_time=lambda t: bar.show(t, np.nan),
                on_level=latest.append,
            )
        except KeyboardInterrupt:
            if not latest:
                raise
            partial = _trajectory(latest[-1], times, rows, settings, (target, activation))
            raise Interrupted(f"interrupted; the last full solve has error {partial.error:.1e}", partial) from None
    return _trajectory(found, times, rows, settings, (target, activation))


def _rate(schedule: Schedule):
    return None if schedule.constant and schedule.value == 0.0 else schedule


def _initial(init, law: InitialLaw | None, p: int):
    """(law, start, description): ``start`` maps the initial a (N,) to (w (N, p), rho (N,))."""
    if law is not None and not isinstance(law, InitialLaw):
        raise InputError(f"law must be an InitialLaw, for instance InitialLaw.uniform(-1, 1), got {short(law)}")
    if isinstance(init, Mapping):
        if law is not None:
            raise InputError("law has no meaning beside a mapping of particles: give one or the other")
        try:
            a = np.atleast_1d(np.asarray(init["a"], dtype=float))
            w = np.asarray(init["w"], dtype=float).reshape(len(a), -1)
            rho = np.asarray(init.get("rho", np.zeros(len(a))), dtype=float)
            mass = np.asarray(init.get("mass", np.full(len(a), 1 / len(a))), dtype=float)
        except (KeyError, TypeError, ValueError):
            raise InputError(
                'init as a mapping needs arrays "a" (N,) and "w" (N, p), optionally "rho" and "mass"'
            ) from None
        ok = a.ndim == 1 and w.shape == (len(a), p) and rho.shape == mass.shape == a.shape
        if not ok or not all(np.all(np.isfinite(x)) for x in (a, w, rho, mass)) or np.any(rho < 0) or np.any(mass <= 0):
            raise InputError(
                f"the particles of init need finite a (N,), w (N, {p}), rho >= 0 (N,) and mass > 0 (N,); got shapes "
                f"{a.shape}, {w.shape}, {rho.shape}, {mass.shape}"
            )
        return InitialLaw.points(a, mass), lambda _: (w.copy(), rho.copy()), f"{len(a)} particles"
    read_choice(init, "init", ("zero", "gaussian"))
    outside = 1.0 if init == "gaussian" else 0.0
    return law or InitialLaw.uniform(), lambda a: (np.zeros((len(a), p)), np.full(len(a), outside)), init


def _trajectory(
    found: Refinement, times: np.ndarray, rows: np.ndarray | None, settings: dict, problem: tuple
) -> Trajectory:
    s = found.solution
    at = np.searchsorted(s.times, times)
    at = np.minimum(at, len(s.times) - 1)
    return Trajectory(
        method="meanfield",
        times=times,
        losses=s.losses[at],
        **overlap_columns([overlap(s.a[i], s.w[i], rows, s.mass) for i in at], rows),
        final_state={"a": s.a[-1], "w": s.w[-1], "rho": s.rho[-1], "mass": s.mass, "initial_a": s.initial_a},
        error=found.error,
        settings=settings,
        problem=problem,
        info={
            "nodes": len(s.mass),
            "orders": found.orders,
            "panel_edges": None if found.panels.law.kind == "points" else found.panels.edges,
            "energy_defect": s.defect,
            "initial": initial_sizes(s.initial_a, np.column_stack([s.w[0], s.rho[0]]), s.mass),
            "solves": found.history,
        },
    )
