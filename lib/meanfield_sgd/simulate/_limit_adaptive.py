"""Blind accuracy for the limit engine: refine until two solves, refined in every respect, agree.

Three things are approximated: the law of the initial second-layer weight (panels), the kernel (its first K orders) and
time. A *level* fixes all three. Pilots find the panels; a level is then compared with a finer one (panels bisected wherever
that could matter, more nodes on every panel, half as many orders again, a smaller time tolerance). The difference of the
two loss curves estimates the error of the coarser one; twice that is what is reported for the finer one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as dataclass_field

import numpy as np

from ..errors import ToleranceError
from ..polynomial import Polynomial
from ._limit_field import LimitField
from ._limit_solver import DOP853, RK23, Flow, Solution, solve
from ._nodes import InitialLaw, Panels

__all__ = ["Refinement", "refine"]

_PILOT_ORDER = 6
_FINAL_ORDER = 8
_SNAPSHOTS = 24
_SAFETY = 2.0  # on 100 random targets at 1e-2, 1e-3, 1e-4 the true error was at most 0.5 of the report


@dataclass
class Refinement:
    """The accepted solve, its reported error and how it was reached (one dict a solve in ``history``)."""

    solution: Solution
    error: float
    orders: int
    panels: Panels
    history: list[dict] = dataclass_field(default_factory=list)


def _orders_needed(spectrum: np.ndarray, goal: float) -> float:
    """How many orders leave out less than ``goal`` of the energy of f, by geometric extrapolation of its spectrum.

    The last two quarters of the spectrum give the ratio. At most len(spectrum): the truncation is good enough.
    """
    quarter = max(2, len(spectrum) // 4)
    last, before = float(spectrum[-quarter:].sum()), float(spectrum[-2 * quarter : -quarter].sum())
    if last == 0.0 or before == 0.0:
        return 0.0 if last <= goal else math.inf
    ratio = min(last / before, 0.99)
    rest = last * ratio / (1 - ratio)
    return len(spectrum) + (0.0 if rest <= goal else quarter * math.log(goal / rest) / math.log(ratio))


def _largest_radius(s: Solution) -> float:
    return float(np.sqrt(np.max(np.sum(s.w**2, axis=2) + s.rho**2)))


def refine(
    target: Polynomial,
    activation,
    flow: Flow,
    law: InitialLaw,
    start: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    times: np.ndarray,
    tolerance: float,
    *,
    max_nodes: int = 400,
    max_orders: int = 200,
    on_time: Callable[[float], None] | None = None,
    on_level: Callable[[Refinement], None] | None = None,
) -> Refinement:
    """Solve to ``tolerance`` in sup norm of the loss over [0, times[-1]]; ``start`` maps a_0 (N,) to (w (N, p), rho (N,)).

    ToleranceError when ``max_nodes`` or ``max_orders`` do not suffice; it says what was reached.
    """
    # The loss is compared on this grid as well as at the user's times: the report is about the whole curve.
    grid = np.union1d(times, np.linspace(times[0], times[-1], 257)) if len(times) > 1 else times
    snapshots = (
        np.unique(np.searchsorted(grid, np.linspace(grid[0], grid[-1], _SNAPSHOTS + 1)[1:])) if len(times) > 1 else []
    )
    history: list[dict] = []

    def run(panels: Panels, orders: int, rtol: float, method: type = DOP853) -> Solution:
        a, mass = panels.rule()
        w, rho = start(a)
        field = LimitField(target, activation, orders)
        solution = solve(field, flow, (a, w, rho), mass, grid, rtol, method, on_time)
        history.append({"nodes": len(a), "orders": field.orders, "rtol": rtol, "evaluations": solution.evaluations})
        return solution

    def panel_defects(panels: Panels, s: Solution) -> np.ndarray:
        if law.kind == "points" or len(snapshots) == 0:
            return np.zeros(len(panels))
        a, w = s.a[snapshots], s.w[snapshots]
        functions = np.concatenate([a, np.moveaxis(w, 2, 1).reshape(-1, a.shape[1])])
        products = np.moveaxis(a[:, :, None] * w, 2, 1).reshape(-1, a.shape[1])
        return panels.defects(np.concatenate([functions, products]))

    def orders_needed(s: Solution, orders: int) -> float:
        field = LimitField(target, activation, orders)
        picks = snapshots[:: max(1, len(snapshots) // 6)] if len(snapshots) else []
        spectra = (field.spectrum(s.a[i], s.w[i], s.rho[i], s.mass) for i in [*picks, -1])
        return max(_orders_needed(spectrum, order_goal) for spectrum in spectra)

    panels = Panels(law, order=_PILOT_ORDER)
    orders = max(12, target.degree + 6)
    node_goal = 3.0 * tolerance
    order_goal = 0.5 * tolerance
    rtol = min(1e-3, max(0.15 * tolerance, 1e-11))
    best: Refinement | None = None
    while True:
        # Pilots: bisect where the computed map is not resolved, and take more orders where the kernel is cut too early.
        while True:
            pilot_orders = orders
            pilot = run(panels, orders, rtol, RK23 if rtol > 5e-5 else DOP853)
            defects = panel_defects(panels, pilot)
            bad = defects > node_goal
            needed = orders_needed(pilot, orders)
            cut = needed > orders
            if needed > 1.5 * max_orders and orders >= min(48, max_orders):
                raise ToleranceError(
                    f"the Hermite series of {activation} falls off too slowly at the norms that the weights reach "
                    f"({_largest_radius(pilot):.3g}): about {needed:.2g} orders are needed, {max_orders} allowed; raise the "
                    "tolerance, stop earlier, or scale the target down"
                )
            grown = min(max_orders, math.ceil(1.5 * orders)) if cut else orders
            cut = cut and grown == orders
            orders = grown
            if bad.any() and panels.nodes + _PILOT_ORDER * bad.sum() <= max_nodes:
                panels = panels.bisect(bad)
            elif orders == pilot_orders:
                break
        finer = panels.bisect(defects > 0.03 * node_goal).with_order(_FINAL_ORDER)
        fine = run(finer, min(max_orders, math.ceil(1.5 * orders)), 0.5 * rtol)
        error = _SAFETY * float(np.max(np.abs(fine.losses - pilot.losses))) + fine.defect
        history[-1]["error"] = error
        if best is None or error < best.error:
            best = Refinement(fine, error, min(max_orders, math.ceil(1.5 * orders)), finer, history)
            if on_level is not None:
                on_level(best)
        # With the orders at their limit the two solves share their truncation, and their difference cannot see it.
        if error <= tolerance and not cut:
            break
        if panels.nodes + 2 * _PILOT_ORDER > max_nodes or orders >= max_orders or rtol < 1e-12:
            raise ToleranceError(
                f"the loss curve is known to {best.error:.1e}, not to the tolerance {tolerance:.1e} asked for, with "
                f"{panels.nodes} nodes and {orders} Hermite orders{', which cut the kernel too early' if cut else ''}; raise "
                "the tolerance, stop earlier, or allow more with max_nodes and max_orders"
            )
        factor = min(0.5, max(0.125, 0.3 * tolerance / error))
        node_goal, order_goal, rtol = factor * node_goal, factor * order_goal, factor * rtol
    return best
