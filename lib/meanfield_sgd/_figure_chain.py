"""The picture of a chain U_0, U_1, ..., U_*: what the target reaches, level by level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._figure_style import PALETTE, in_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .decide import ReachedSubspace

__all__ = ["subspace_chain"]


@in_style
def subspace_chain(reached: ReachedSubspace, *, names: tuple[str, ...] | None = None) -> Figure:
    """One panel a level: the subspace U_j of a target in two or three variables, and the directions that span it.

    New directions are drawn bold, in the colour of their level, and labelled with the contraction that produced them.

    Parameters
    ----------
    reached : from ``decide.reached_subspace``, with exact or numeric directions.
    names : labels of the axes; default: the variables.

    Raises
    ------
    ValueError where there are fewer than two or more than three variables.
    """
    import matplotlib.pyplot as plt

    p, names = len(reached.variables), names or tuple(f"${v[:1]}_{{{v[1:]}}}$" for v in reached.variables)
    if p not in (2, 3):
        raise ValueError(f"a chain is drawn in two or three variables, not in {p}")
    levels = len(reached.chain) + 1
    kind = {"projection": "3d"} if p == 3 else {}
    columns = levels if levels <= 3 else 2
    lines = -(-levels // columns)
    size = (3.2 * columns, 3.2 * lines)
    figure, cells = plt.subplots(lines, columns, figsize=size, squeeze=False, subplot_kw=kind)
    plt.close(figure)
    for axes in cells.flat[levels:]:
        axes.set_visible(False)
    directions = [np.array([float(x) for x in step.direction]) for step in reached.steps]
    directions = [v / np.linalg.norm(v) for v in directions]
    for level, axes in enumerate(cells.flat[:levels]):
        known = [k for k, step in enumerate(reached.steps) if step.level <= level]
        frame = np.linalg.qr(np.array([directions[k] for k in known]).T)[0].T if known else np.zeros((0, p))
        (_space if p == 3 else _plane)(axes, frame)
        for k in known:
            step = reached.steps[k]
            new = step.level == level
            look = {"color": PALETTE[(step.level - 1) % len(PALETTE)], "linewidth": 3 if new else 1.3}
            axes.plot(*[[0, x] for x in directions[k]], **look)
            axes.plot(*[[x] for x in directions[k]], marker="o", markersize=6 if new else 3, color=look["color"])
            if new:
                inside = ", ".join(f"u_{i}" for i in step.arguments)
                label = f"$u_{{{k + 1}}}: C_{step.order}" + (f"[{inside}]$" if inside else "$")
                box = {"facecolor": "#fdfdfb", "edgecolor": "none", "alpha": 0.8, "pad": 1}
                axes.text(*_beside(directions[k]), label, fontsize=9.5, ha="center", va="center", bbox=box)
        if p == 3:
            axes.set_xlabel(names[0], labelpad=-13)
            axes.set_ylabel(names[1], labelpad=-13)
            axes.set_zlabel(names[2], labelpad=-13)
        else:
            axes.set_xlabel(names[0])
            axes.set_ylabel(names[1], rotation=0)
        axes.set_title(f"$U_{level}$, dimension {len(known)}", fontsize=10.5)
    return figure


def _beside(v: np.ndarray) -> np.ndarray:
    """Where a label stands: along v, off its line."""
    if len(v) == 2:
        return 0.55 * v + 0.38 * np.array([v[1], -v[0]])
    return 1.15 * v if abs(v[2]) > 0.7 else 0.6 * v + np.array([0, 0, 0.4])


def _plane(axes: Axes, frame: np.ndarray) -> None:
    """A point, a line or all of the plane."""
    if len(frame) == 2:
        axes.axhspan(-1.5, 1.5, color=PALETTE[4], alpha=0.2, linewidth=0)
    for v in frame if len(frame) == 1 else ():
        axes.plot(*[[-1.5 * x, 1.5 * x] for x in v], color=PALETTE[4], alpha=0.6, linewidth=6)
    axes.plot([0], [0], "ko", markersize=4)
    axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), xticks=[-1, 0, 1], yticks=[-1, 0, 1], aspect="equal")


def _space(axes: Axes, frame: np.ndarray) -> None:
    """A point, a line, a plane or all of space, as a ball."""
    if len(frame) == 3:
        u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 25), np.linspace(0, np.pi, 13))
        ball = 1.1 * np.stack([np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v)])
        axes.plot_surface(*ball, color=PALETTE[4], alpha=0.12, linewidth=0)
    if len(frame) == 2:
        s = np.linspace(-1.2, 1.2, 2)
        sheet = np.einsum("ia,ijk->ajk", frame, np.array(np.meshgrid(s, s)))
        axes.plot_surface(*sheet, color=PALETTE[4], alpha=0.3, linewidth=0)
    if len(frame) == 1:
        axes.plot(*[[-1.4 * x, 1.4 * x] for x in frame[0]], color=PALETTE[4], alpha=0.6, linewidth=5)
    axes.plot([0], [0], [0], "ko", markersize=4)
    axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), zlim=(-1.2, 1.2), xticks=[], yticks=[], zticks=[])
    axes.set_box_aspect((1, 1, 1), zoom=0.9)
    axes.view_init(elev=22, azim=-55)
