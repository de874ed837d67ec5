"""Figures and tables: what stands on the axes is what was given."""

import numpy as np
import pytest

from meanfield_sgd import InputError, decide, figures
from meanfield_sgd.simulate import Trajectory


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


# ---- convergence and limits ------------------------------------------------------------------------------------------


def run(times, losses, error=None):
    return Trajectory(method="test", times=np.asarray(times), losses=np.asarray(losses), error=error)


def test_power_law_finds_an_exact_exponent_and_an_interval_that_covers():
    x = np.array([1.0, 2, 4, 8])
    slope, half = figures.power_law(x, 3 * x**-0.5, 0.1 * x**-0.5)
    # All relative errors are 1/30: the standard error of the slope is that over the spread of log x.
    assert slope == pytest.approx(-0.5, abs=1e-12)
    assert half == pytest.approx(1.96 / 30 / np.sqrt(np.sum((np.log(x) - np.log(x).mean()) ** 2)), rel=1e-12)
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        slope, half = figures.power_law(x, x * np.exp(0.05 * rng.standard_normal(4)), 0.05 * x)
        hits += abs(slope - 1) < half
    assert hits > 360  # 95 % of 400 are 380, with a standard deviation of 4.4; widening makes it more


def test_power_law_widens_the_interval_of_points_off_the_line_and_weighs_points():
    x = np.array([1.0, 2, 4, 8])
    values = x * np.array([1, 1.5, 1, 1.5])
    _, half = figures.power_law(x, values, 0.01 * values)
    assert half > 5 * 1.96 * 0.01 / np.sqrt(4 * np.var(np.log(x)))  # what errors of 1 % alone would give
    loose = figures.power_law(x, x * np.array([1, 1, 1, 5]), x * np.array([0.01, 0.01, 0.01, 100]))[0]
    assert loose == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "bad", [([1, 2], [1, 2], [1, 1]), ([1, 2, 3], [1, 0, 1], [1, 1, 1]), ([1, 2, 3], [1, 2, 3], [1, 0, 1])]
)
def test_power_law_refuses_what_has_no_logarithm(bad):
    with pytest.raises(ValueError, match="three points"), np.errstate(divide="ignore"):
        figures.power_law(*bad)


def test_distances_from_the_limit_are_drawn_below_it():
    times = np.linspace(0, 2, 41)
    limit, shifted = run(times, np.exp(-times)), run(times[::4], np.exp(-times[::4]) + 0.01 * times[::4])
    upper, lower = figures.against_limit(limit, {"shifted": shifted}).axes
    np.testing.assert_allclose(upper.lines[0].get_ydata(), np.exp(-times))
    np.testing.assert_allclose(lower.lines[0].get_xdata(), times[4::4])  # without time 0, where the two agree
    np.testing.assert_allclose(lower.lines[0].get_ydata(), 0.01 * times[4::4], rtol=1e-9)
    assert lower.get_yscale() == "log"


def test_flow_map_sorts_the_nodes_and_has_one_panel_a_coordinate():
    start, state = np.array([1.0, -1.0, 0.0]), np.array([[1.0, 2.0], [-1.0, 5.0], [0.0, 3.0]])
    figure = figures.flow_map({1.0: (start, state)}, {1.0: (start[:1], state[:1])})
    assert [axes.get_ylabel() for axes in figure.axes] == ["$a(a_0, t)$", "$w_1(a_0, t)$"]
    line, dots = figure.axes[1].lines
    np.testing.assert_array_equal(line.get_ydata(), [5, 3, 2])
    np.testing.assert_array_equal(dots.get_xydata(), [[1, 2]])


def test_spread_reaches_from_the_lowest_to_the_highest():
    times = [0.0, 1.0]
    figure = figures.spread(run(times, [1, 0.5]), [run(times, [1, 0.4]), run(times, [0.9, 0.7])], label="two")
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    expected = [(0.0, -0.1), (0.0, 0.0), (1.0, -0.1), (1.0, 0.2)]
    assert all(np.abs(corners - corner).sum(axis=1).min() < 1e-12 for corner in expected)
    assert len(figure.axes[0].lines) == 3


def test_scaling_draws_the_predicted_slope_through_the_points():
    x = np.array([1.0, 2.0, 4.0])
    figure, (axes,) = figures.panels()
    figures.scaling(axes, x, 5 / x, 0.1 / x, predicted=-1, xlabel="$N$", ylabel="error")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), 5 / x)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["predicted slope -1", "measured, slope -1.00 ± 0.04"]  # 1.96 * 0.02 / (sqrt(2) log 2)
    assert axes.get_xscale() == axes.get_yscale() == "log"
    figure, (axes,) = figures.panels()
    figures.scaling(axes, x, 5 / x, 0.1 / x, predicted=-2, xlabel="$N$", ylabel="error")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), 10 / x**2)  # through the mean, (2, 5/2)


# ---- the chain -------------------------------------------------------------------------------------------------------


def drawn(axes):
    """Labels of directions, and the number of surfaces, in a panel of a chain."""
    texts = [text.get_text() for text in axes.texts]
    return texts, len(axes.collections)


def test_chain_has_one_panel_a_level_and_labels_what_is_new():
    reached = decide.reached_subspace("z1 + z1*z2 + z1*z2*z3")
    panels = figures.subspace_chain(reached).axes
    assert [axes.get_title() for axes in panels] == [f"$U_{k}$, dimension {k}" for k in range(4)]
    labels = [[], ["$u_{1}: C_1$"], ["$u_{2}: C_2[u_1]$"], ["$u_{3}: C_3[u_1, u_2]$"]]
    assert [drawn(axes)[0] for axes in panels] == labels
    assert [drawn(axes)[1] for axes in panels] == [0, 0, 1, 1]  # a plane, then a ball
    points = [np.ravel(line.get_data_3d()) for line in panels[3].lines if len(line.get_data_3d()[0]) == 1]
    np.testing.assert_allclose(sorted(map(tuple, points)), [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])


def test_chain_in_the_plane_draws_unit_vectors_of_the_directions():
    reached = decide.reached_subspace("z1 + z2 + z1*z2")
    panels = figures.subspace_chain(reached).axes
    assert len(panels) == 2 and panels[1].get_xlabel() == "$z_{1}$"
    tips = [line.get_xydata()[0] for line in panels[1].lines if len(line.get_xdata()) == 1]
    assert any(np.allclose(tip, [0.5**0.5, 0.5**0.5]) for tip in tips)


def test_chain_refuses_what_cannot_be_drawn():
    with pytest.raises(ValueError, match="two or three"):
        figures.subspace_chain(decide.reached_subspace("z1 + z1*z4"))


def test_space_gives_axes_of_three_dimensions():
    figure, axes = figures.space(2)
    assert len(axes) == 2 and all(one.name == "3d" for one in axes) and figure.axes == axes
    for bad in (0, -1, 1.5, "a", None):
        with pytest.raises(InputError, match="columns"):
            figures.space(bad)
