"""Figures and tables: what stands on the axes is what was given."""

import numpy as np
import pytest
from meanfield_sgd import figures


def test_points_stand_on_their_curve_and_a_wrong_one_is_seen_to_miss():
    x = np.array([0.0, 1.0, 2.0])
    right, wrong = (x, x**2, np.full(3, 0.1)), (x, x + np.array([0, 0, 0.7]), np.full(3, 0.1))
    theory = {"square": np.square, "line": lambda x: x}
    figure = figures.against_samples(theory, {"square": right, "line": wrong}, xlabel="$x$", ylabel="$y$")
    upper, lower = figure.axes
    np.testing.assert_allclose(upper.lines[0].get_ydata(), upper.lines[0].get_xdata() ** 2)
    misses = [line.get_ydata() for line in lower.lines]
    np.testing.assert_allclose(misses, [[0, 0, 0], [0, 0, 7]], atol=1e-12)
    assert lower.get_ylim()[1] > 7 and lower.get_xlabel() == "$x$" and upper.get_ylabel() == "$y$"
    bar = upper.collections[0].get_segments()[0]
    np.testing.assert_allclose(bar[:, 1], [-0.3, 0.3])


def test_samples_without_spread_miss_by_nothing_when_they_are_right_up_to_rounding():
    x = np.array([0.0, 1.0])
    figure = figures.against_samples({"one": np.ones_like}, {"one": (x, 1 + 1e-16 * x, 0 * x)}, xlabel="x", ylabel="y")
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), 0, atol=0.1)


def test_table_is_markdown_and_aligned_text():
    shown = figures.table(["k", "value"], [(0, 1.5), (10, "a|b")])
    assert shown._repr_markdown_() == "| k | value |\n| --- | --- |\n| 0 | 1.5 |\n| 10 | a\\|b |"
    assert repr(shown) == "k   value\n0   1.5\n10  a|b"
    with pytest.raises(ValueError, match="2 entries"):
        figures.table(["k", "value"], [(0,)])
