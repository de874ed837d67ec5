"""Draw the pictures that are not made by a chapter: ``python tools/make_pictures.py`` (stored in book/_static).

first-look.png      the README's and the cover's: one target, two activations, one of them blind to half of it
map.svg             the map of the theorems
component-map.svg   the five components of the training strategy, with the library's names (chapter *The Taylor flow*)
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
    ("taylor", 290, 120, 230, ("The Taylor flow", "one curve in V"), True),
    ("trap", 20, 220, 230, ("The trapping theorem", "what is never learned"), True),
    ("enough", 290, 220, 230, ("The sufficiency theorem", "what is learned, at what rate"), True),
    ("gap", 20, 320, 230, ("The gap", "between the two"), True),
    ("copies", 290, 320, 230, ("Is averaging needed?", "one copy or several"), True),
    ("rough", 560, 320, 230, ("Rough activations", "ReLU, steps, limits"), True),
    ("step", 560, 120, 230, ("One gradient step", "on Gaussian mixtures"), True),
    ("index", 560, 220, 230, ("Many directions", "multi-index models"), True),
]
ARROWS = [
    ("hermite", "pde"), ("hermite", "reflective"), ("pde", "taylor"), ("reflective", "trap"), ("taylor", "enough"),
    ("trap", "gap"), ("enough", "gap"), ("enough", "copies"), ("enough", "rough"), ("pde", "step"), ("pde", "index"),
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


# (x, y, width, lines, taught in the chapter The Taylor flow); the first line is the component, the others the library's names
COMPONENTS = [
    (20, 20, 770, ("Training strategy controller", "strategy"), False),
    (20, 150, 170, ("Initialisation", "InitialLaw", "init=&quot;zero&quot;"), True),
    (280, 150, 260, ("Mean-field dynamics solver", "taylor_curve, features", "meanfield"), True),
    (630, 150, 160, ("Kernel matrix", "constructor", "kernel_matrix"), False),
    (280, 290, 510, ("Loss evaluator", "Trajectory.losses"), True),
]
# (x0, y0, x1, y1, dashed, label, label's x, label's y)
FLOWS = [
    (105, 80, 105, 150, True, "law of a", 115, 120),
    (410, 80, 410, 150, True, "stage 1: train w", 420, 120),
    (710, 80, 710, 150, True, "stage 2: train a", 602, 120),
    (190, 190, 280, 190, False, "a, w = 0", 204, 180),
    (540, 190, 630, 190, True, "features", 554, 180),
    (410, 230, 410, 290, False, "law of (a, w)", 420, 265),
    (710, 230, 710, 290, True, "spectrum", 644, 265),
]


def component_map() -> None:
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 810 400" font-family="Helvetica, Arial, sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>',
        '<rect width="810" height="400" rx="8" fill="#fdfdfb"/>',
    ]
    for x0, y0, x1, y1, dashed, label, x, y in FLOWS:
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        parts.append(
            f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="#555" stroke-width="1.4" marker-end="url(#tip)"{dash}/>'
        )
        parts.append(f'<text x="{x}" y="{y}" font-size="13" fill="#333">{label}</text>')
    for x, y, width, lines, here in COMPONENTS:
        height = 80 if len(lines) == 3 else 60
        dash = "" if here else ' stroke-dasharray="6 4"'
        fill = "#d9ecf7" if here else "#f4f4ef"
        parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="#0072B2"{dash}/>'
        )
        for i, text in enumerate(lines):
            heading = i == 0 or text == "constructor"
            look = (
                'font-size="15" font-weight="600" fill="#111"'
                if heading
                else ('font-size="13" font-family="Menlo, Consolas, monospace" fill="#333"')
            )
            parts.append(f'<text x="{x + width / 2}" y="{y + 26 + 20 * i}" {look} text-anchor="middle">{text}</text>')
    for x, text in ((20, "solid: this chapter"), (160, "dashed: the next one")):
        parts.append(f'<text x="{x}" y="380" font-size="13" fill="#333">{text}</text>')
    (STATIC / "component-map.svg").write_text("\n".join([*parts, "</svg>"]) + "\n")


if __name__ == "__main__":
    first_look()
    theorem_map()
    component_map()
