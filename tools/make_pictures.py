"""Draw the two pictures that are not made by a chapter: ``python tools/make_pictures.py`` (stored in book/_static).

first-look.png   the README's and the cover's: one target, two activations, one of them blind to half of it
map.svg          the map of the theorems
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import meanfield_sgd as mf
from meanfield_sgd import figures

STATIC = Path(__file__).resolve().parent.parent / "book" / "_static"


def first_look() -> None:
    target, times = "z1 + z1*z2", np.linspace(0, 20, 201)
    runs = {
        r"limit, $\tanh(y)$": mf.simulate.meanfield(target, "tanh", 20, times=times),
        r"limit, $\tanh(y+\frac{1}{2})$": mf.simulate.meanfield(target, "tanh(y+1/2)", 20, times=times),
    }
    figure, (axes,) = figures.panels()
    with figures.style():
        figures.loss_curves(runs, floor=0.5, axes=axes)
        for activation, colour, marker in (("tanh", figures.PALETTE[0], "o"), ("tanh(y+1/2)", figures.PALETTE[1], "s")):
            run = mf.simulate.sgd(
                target, activation, 20, neurons=1024, dimension=64, batch=256, times=np.linspace(0, 20, 21)
            )
            label = f"SGD, N = 1024, d = 64, {activation}"
            axes.plot(
                run.times, run.losses, marker, color=colour, markerfacecolor="none", linestyle="none", label=label
            )
        axes.set_ylim(0, 1.05)
        axes.legend(ncols=1, loc="upper right")
        figure.savefig(STATIC / "first-look.png", dpi=130)


# (key, x, y, width, lines, written)
BOXES = [
    ("hermite", 20, 20, 230, ("Networks, Gaussians", "and Hermite"), True),
    ("pde", 290, 20, 230, ("The mean-field PDE", "N, d to infinity"), True),
    ("reflective", 20, 120, 230, ("Reflective property", "decided exactly"), True),
    ("taylor", 290, 120, 230, ("The Taylor flow", "one curve in V"), False),
    ("trap", 20, 220, 230, ("The trapping theorem", "what is never learned"), True),
    ("enough", 290, 220, 230, ("The sufficiency theorem", "what is learned, at what rate"), False),
    ("gap", 155, 320, 230, ("The gap", "averaging, rough activations"), False),
    ("step", 560, 120, 230, ("One gradient step", "on Gaussian mixtures"), False),
    ("index", 560, 220, 230, ("Multi-index models", "under gradient flow"), False),
]
ARROWS = [
    ("hermite", "pde"), ("hermite", "reflective"), ("pde", "taylor"), ("reflective", "trap"), ("taylor", "enough"),
    ("trap", "gap"), ("enough", "gap"), ("pde", "step"), ("pde", "index"),
]  # fmt: skip


def theorem_map() -> None:
    place = {key: (x, y, width) for key, x, y, width, _, _ in BOXES}
    height = 60
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 810 400" font-family="Helvetica, Arial, sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>',
        '<rect width="810" height="400" rx="8" fill="#fdfdfb"/>',
    ]
    for start, end in ARROWS:
        (x0, y0, w0), (x1, y1, w1) = place[start], place[end]
        if y0 == y1:
            line = (x0 + w0, y0 + height / 2, x1, y1 + height / 2)
        elif x1 > x0 + w0:  # to a box on the right and below: enter it from the left
            line = (x0 + w0, y0 + height * 0.7, x1, y1 + height / 2)
        else:
            line = (x0 + w0 / 2, y0 + height, x1 + w1 / 2, y1)
        parts.append(
            '<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="#555" stroke-width="1.4" marker-end="url(#tip)"/>'.format(
                *line
            )
        )
    for _, x, y, width, lines, written in BOXES:
        dash = "" if written else ' stroke-dasharray="6 4"'
        fill = "#d9ecf7" if written else "#f4f4ef"
        parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="#0072B2"{dash}/>'
        )
        for i, text in enumerate(lines):
            size, weight, colour = (15, 600, "#111") if i == 0 else (13, 400, "#333")
            parts.append(
                f'<text x="{x + width / 2}" y="{y + 26 + 20 * i}" font-size="{size}" font-weight="{weight}" fill="{colour}" '
                f'text-anchor="middle">{text}</text>'
            )
    for x, y, text in ((560, 46, "solid: written"), (560, 66, "dashed: planned")):
        parts.append(f'<text x="{x}" y="{y}" font-size="13" fill="#333">{text}</text>')
    (STATIC / "map.svg").write_text("\n".join([*parts, "</svg>"]) + "\n")


if __name__ == "__main__":
    first_look()
    theorem_map()
