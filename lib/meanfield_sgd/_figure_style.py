"""The look of the book's figures: palette, line styles, and matplotlib settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DASHES", "MARKERS", "PALETTE", "in_style", "panels", "space", "style"]

#: Okabe and Ito's colours, in the order in which the figures use them.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
#: Line styles that go with them.
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
#: Markers that go with them.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@contextmanager
def style():
    """The book's rcParams, for a ``with`` block of your own plots."""
    import matplotlib as mpl

    with mpl.rc_context(
        {
            "figure.figsize": (7.0, 3.8),
            "figure.dpi": 110,
            "figure.facecolor": "#fdfdfb",
            "axes.facecolor": "#fdfdfb",
            "savefig.facecolor": "#fdfdfb",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#dddddd",
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "font.size": 10.5,
            "legend.frameon": False,
            "legend.fontsize": 9.5,
            "lines.linewidth": 1.8,
            "lines.markersize": 5,
            "figure.constrained_layout.use": True,
            "mathtext.fontset": "cm",
        }
    ):
        yield


def in_style(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw within :func:`style`: legends and markers take their look when they are made."""

    @wraps(draw)
    def styled(*arguments, **options):
        with style():
            return draw(*arguments, **options)

    return styled


def panels(columns: int = 1, **options) -> tuple[Figure, list[Axes]]:
    """A new figure in the book's style with ``columns`` axes side by side: ``(figure, [axes, ...])``.

    ``options`` go to ``matplotlib.pyplot.subplots``. The figure is closed for pyplot, so a notebook shows it once: as the
    value of the cell.
    """
    import matplotlib.pyplot as plt

    with style():
        options.setdefault("figsize", (min(3.4 + 3.6 * columns, 9.6), 3.8) if columns > 1 else (7.0, 3.8))
        figure, axes = plt.subplots(1, columns, squeeze=False, **options)
        plt.close(figure)
    return figure, list(axes[0])


def space(columns: int = 1, **options) -> tuple[Figure, list[Axes]]:
    """Like :func:`panels`, with three-dimensional axes: ``(figure, [axes, ...])``.

    ``options`` but ``subplot_kw`` go to ``matplotlib.pyplot.subplots``; ``axes.view_init(elevation, azimuth)`` turns the
    view. InputError where ``columns`` is not 1, 2 or 3.
    """
    import matplotlib.pyplot as plt

    if isinstance(columns, bool) or columns not in (1, 2, 3) or "subplot_kw" in options:
        raise InputError(
            f"space: columns must be 1, 2 or 3, and subplot_kw is taken; got {columns!r:.40}, {list(options)}"
        )

    with style():
        options.setdefault("figsize", (9.6, 4.4) if columns > 1 else (6.4, 4.2))
        figure, axes = plt.subplots(1, columns, squeeze=False, subplot_kw={"projection": "3d"}, **options)
        plt.close(figure)
        for one in axes[0]:
            for axis in (one.xaxis, one.yaxis, one.zaxis):
                axis.set_pane_color((0.99, 0.99, 0.98, 1.0))
            one.locator_params(nbins=4)
            for axis in (one.xaxis, one.yaxis, one.zaxis):
                axis.label.set_size(13)
            one.set_box_aspect(None, zoom=1.05)  # as large as leaves the labels inside
    return figure, list(axes[0])
