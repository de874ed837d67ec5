"""The book's figures: one style, one function a figure, each returning the matplotlib Figure and showing nothing itself.

The palette is Okabe and Ito's (colour-blind safe), and every curve also differs by line style or marker. Figures have an
opaque light ground, so that they read the same on a dark page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from ._figure_chain import subspace_chain
from ._figure_style import DASHES, MARKERS, PALETTE, in_style, panels, space, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .simulate import Trajectory

__all__ = [
    "DASHES",
    "MARKERS",
    "PALETTE",
    "against_limit",
    "against_samples",
    "flow_map",
    "loss_curves",
    "panels",
    "power_law",
    "scaling",
    "space",
    "spread",
    "subspace_chain",
    "table",
]


@in_style
def loss_curves(
    runs: Mapping[str, Trajectory], *, floor: float | None = None, band: bool = True, axes: Axes | None = None
) -> Figure:
    r"""Loss :math:`\frac12E|f-f^*|^2` against gradient-flow time, one curve a run, on common axes.

    Parameters
    ----------
    runs : label -> Trajectory.
    floor : a horizontal line that no run should cross.
    band : shade the reported error of runs that report one.
    axes : draw here instead of on a new figure.
    """
    figure = None
    if axes is None:
        figure, (axes,) = panels()
    for (label, run), colour, dash in zip(runs.items(), cycle(PALETTE), cycle(DASHES)):
        axes.plot(run.times, run.losses, color=colour, linestyle=dash, label=label)
        if band and run.error is not None:
            axes.fill_between(run.times, run.losses - run.error, run.losses + run.error, color=colour, alpha=0.15, lw=0)
    if floor is not None:
        axes.axhline(floor, color="#555555", linewidth=1, linestyle=(0, (2, 2)), label="floor")
    axes.set_xlabel("gradient-flow time $t$")
    axes.set_ylabel(r"loss $\frac{1}{2}E|f-f^*|^2$")
    axes.legend()
    return axes.figure


def against_samples(
    theory: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    samples: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    errors: float = 3.0,
) -> Figure:
    """Curves of a theory with Monte Carlo points on the same axes; below, by how many standard errors each point misses.

    Parameters
    ----------
    theory : label -> function of an array x (n,) with values (n,), drawn as a line over the range of all samples.
    samples : label -> (x, mean, standard error), arrays (m,); a label that is in ``theory`` shares its colour and its
        difference from that curve is drawn in the lower panel.
    errors : half-length of the error bars, and half-width of the lower panel's band, in standard errors.
    """
    import matplotlib.pyplot as plt

    grid = np.concatenate([np.asarray(x, dtype=float) for x, _, _ in samples.values()])
    grid = np.linspace(grid.min(), grid.max(), 181)
    with style():
        figure, axes = plt.subplots(2, 1, sharex=True, figsize=(7.0, 5.0), gridspec_kw={"height_ratios": (3, 1)})
        plt.close(figure)
        upper, lower = axes
        worst = errors
        lower.axhspan(-errors, errors, color="#dddddd", linewidth=0)
        for (label, curve), colour, dash, marker in zip(theory.items(), cycle(PALETTE), cycle(DASHES), cycle(MARKERS)):
            upper.plot(grid, curve(grid), color=colour, linestyle=dash, label=label)
            if label not in samples:
                continue
            x, mean, error = (np.asarray(column, dtype=float) for column in samples[label])
            bars = {"yerr": errors * error, "capsize": 2, "elinewidth": 1}
            upper.errorbar(x, mean, color=colour, marker=marker, linestyle="none", **bars)
            expected = curve(x)
            # Samples without spread (a neuron with w = 0) are still rounded: no error is taken to be smaller than that.
            misses = (mean - expected) / np.maximum(error, 1e-14 * (1 + np.abs(expected)))
            lower.plot(x, misses, color=colour, marker=marker, linestyle="none")
            worst = max(worst, float(np.max(np.abs(misses))))
        lower.set_ylim(-1.3 * worst, 1.3 * worst)
        lower.set_xlabel(xlabel)
        lower.set_ylabel("miss\n(std. errors)")
        upper.set_ylabel(ylabel)
        upper.legend(ncols=2 if len(theory) > 3 else 1)
    return figure


class Table:
    """Rows under a header: a Markdown table in a notebook and on the page, aligned columns in a terminal."""

    def __init__(self, header: Sequence[str], rows: Iterable[Sequence[object]]):
        self.header = tuple(map(str, header))
        self.rows = [tuple(map(str, row)) for row in rows]
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError(f"every row needs {len(self.header)} entries, one a column")

    def __repr__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def _repr_markdown_(self) -> str:
        lines = [self.header, ("---",) * len(self.header), *self.rows]
        return "\n".join("| " + " | ".join(entry.replace("|", r"\|") for entry in line) + " |" for line in lines)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table to end a cell with: ``table(["k", "value"], [(0, 1.5), (1, 2)])``. Entries are shown with ``str``."""
    return Table(header, rows)


def power_law(x: Sequence[float], values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    r"""The exponent q of values proportional to x^q with half the width of its 95 % confidence interval: ``(q, half)``.

    Weighted least squares of log(values) on log(x), the standard error of a logarithm being errors / values; if the
    points scatter about the line more than that, the interval is widened by the ratio (as chi^2 per degree of freedom
    demands), never narrowed.

    Parameters
    ----------
    x, values, errors : (n,), n >= 3, positive; errors are standard errors of the values.
    """
    x, y = np.log(np.asarray(x, dtype=float)), np.log(np.asarray(values, dtype=float))
    weight = (np.asarray(values, dtype=float) / np.asarray(errors, dtype=float)) ** 2
    if len(x) < 3 or not np.all(np.isfinite(np.concatenate([x, y, weight]))):
        raise ValueError("a power law needs at least three points, and positive finite x, values and errors")
    dx = x - np.average(x, weights=weight)
    slope = np.sum(weight * dx * y) / np.sum(weight * dx * dx)
    rest = y - np.average(y, weights=weight) - slope * dx
    chi2 = np.sum(weight * rest * rest) / (len(x) - 2)
    return float(slope), float(1.96 * np.sqrt(max(1.0, chi2) / np.sum(weight * dx * dx)))


@in_style
def against_limit(limit: Trajectory, runs: Mapping[str, Trajectory], *, label: str = "mean-field limit") -> Figure:
    """Loss curves of finite networks as markers on the line of the limit; below, their distances from it.

    Parameters
    ----------
    limit : the run to compare with; its ``times`` should be dense.
    runs : label -> Trajectory, each compared at its own times.
    """
    import matplotlib.pyplot as plt
    from scipy.interpolate import PchipInterpolator

    with style():
        options = {"height_ratios": (2, 1)}
        figure, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(7.0, 5.2), gridspec_kw=options)
        plt.close(figure)
    upper.plot(limit.times, limit.losses, color="#000000", linewidth=1.5, label=label)
    curve = PchipInterpolator(limit.times, limit.losses)
    looks = zip(cycle(PALETTE), cycle(MARKERS), cycle(DASHES))
    for i, ((name, run), (colour, marker, dash)) in enumerate(zip(runs.items(), looks)):
        every = max(1, len(run.times) // 24)
        upper.plot(
            run.times, run.losses, marker, color=colour, markerfacecolor="none", linestyle="none", label=name,
            markevery=(i * every // max(1, len(runs)), every),
        )  # fmt: skip
        gap = np.abs(run.losses - curve(run.times))
        shown = gap > 0  # at time 0 two runs may agree exactly, which a logarithm cannot show
        lower.plot(run.times[shown], gap[shown], color=colour, linestyle=dash)
    lower.set_yscale("log")
    lower.set_xlabel("gradient-flow time $t$")
    lower.set_ylabel("distance\nfrom the limit")
    upper.set_ylabel(r"loss $\frac{1}{2}E|f-f^*|^2$")
    upper.legend()
    return figure


@in_style
def flow_map(
    snapshots: Mapping[float, tuple[np.ndarray, np.ndarray]],
    particles: Mapping[float, tuple[np.ndarray, np.ndarray]] | None = None,
) -> Figure:
    """The curve on which the mean-field measure lives: a, w_1, ..., w_p at several times against the initial a_0.

    Parameters
    ----------
    snapshots : time -> (a_0 (N,), state (N, 1 + p)) at the nodes of the limit, state columns a, w_1, ..., w_p: lines.
    particles : the same for the neurons of a finite network: dots of the same colour.
    """
    import matplotlib.pyplot as plt

    _, state = next(iter(snapshots.values()))
    names = ["a", *[f"w_{i}" for i in range(1, state.shape[1])]]
    figure, rows = plt.subplots(len(names), 1, sharex=True, figsize=(7.0, 0.6 + 2.2 * len(names)))
    plt.close(figure)
    for (time, (start, state)), colour, dash, marker in zip(
        snapshots.items(), cycle(PALETTE), cycle(DASHES), cycle(MARKERS)
    ):
        order = np.argsort(start)
        for i, axes in enumerate(rows):
            axes.plot(start[order], state[order, i], color=colour, linestyle=dash, linewidth=1.4, label=f"$t={time:g}$")
            if particles is not None and time in particles:
                first, neurons = particles[time]
                axes.plot(first, neurons[:, i], marker, color=colour, markersize=4, linestyle="none", alpha=0.8)
    for axes, name in zip(rows, names):
        axes.set_ylabel(f"${name}(a_0, t)$")
    rows[-1].set_xlabel("initial output weight $a_0$")
    rows[0].legend(ncols=2)
    return figure


@in_style
def spread(
    limit: Trajectory, runs: Sequence[Trajectory], *, label: str, shown: int = 3, axes: Axes | None = None
) -> Figure:
    """Loss minus its limit for many runs that differ in their seed: the band from lowest to highest, and a few of them.

    Parameters
    ----------
    limit, runs : on the same times.
    label : what the runs are.
    shown : how many of them to draw as lines.
    """
    if axes is None:
        _, (axes,) = panels()
    gaps = np.array([run.losses for run in runs]) - limit.losses
    axes.fill_between(limit.times, gaps.min(0), gaps.max(0), color=PALETTE[4], alpha=0.35, linewidth=0, label=label)
    for row, dash in zip(gaps[:shown], cycle(DASHES[1:])):
        axes.plot(limit.times, row, color=PALETTE[0], linestyle=dash, linewidth=1.2)
    axes.axhline(0.0, color="#000000", linewidth=1.5, label="mean-field limit")
    axes.set_xlabel("gradient-flow time $t$")
    axes.set_ylabel("loss minus its limit")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.25 * (high - low))  # room for the legend
    axes.legend()
    return axes.figure


@in_style
def scaling(
    axes: Axes,
    x: Sequence[float],
    values: Sequence[float],
    errors: Sequence[float],
    *,
    predicted: float,
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Measured values on log-log axes with the line of the predicted slope and the slope that :func:`power_law` fits.

    Parameters
    ----------
    axes : where to draw.
    x, values, errors : (n,), positive; errors are standard errors, the bars are 95 % intervals.
    predicted : the exponent of theory; its line goes through the weighted mean of the points.
    """
    from matplotlib.ticker import NullLocator

    x, values, errors = (np.asarray(column, dtype=float) for column in (x, values, errors))
    slope, half = power_law(x, values, errors)
    weight = (values / errors) ** 2
    centre = np.exp(np.average(np.log(x), weights=weight)), np.exp(np.average(np.log(values), weights=weight))
    line = centre[1] * (x / centre[0]) ** predicted
    axes.plot(x, line, "--", color=PALETTE[1], label=f"predicted slope {predicted:g}")
    bars = {"color": PALETTE[0], "marker": MARKERS[0], "linestyle": "none", "capsize": 3}
    axes.errorbar(x, values, yerr=1.96 * errors, label=f"measured, slope {slope:.2f} ± {half:.2f}", **bars)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(x, [f"{value:g}" for value in x])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend()
    return axes.figure
