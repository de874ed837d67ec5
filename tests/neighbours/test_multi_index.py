"""Correlation profiles and the flow of overlaps: against quadrature, against the flow in R^d, against exact times."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from meanfield_sgd import Activation, InputError, ToleranceError, neighbours
from meanfield_sgd.neighbours import (
    CorrelationProfile,
    correlation_profile,
    correlation_sgd,
    equiangular,
    index_vectors,
    neuron_flow,
    overlap_flow,
    random_overlaps,
)


def gaussian_average(student, teacher, u):
    """E[sigma(a) sigma*(u a + sqrt(1-u^2) b)] by a grid that is fine enough for corners."""
    g = np.linspace(-9, 9, 1801)
    weight = np.exp(-g * g / 2)
    weight /= weight.sum()
    inner = np.asarray(teacher(u * g[:, None] + math.sqrt(1 - u * u) * g[None, :])) @ weight
    return float((np.asarray(student(g)) * inner) @ weight)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [("He3(y)", None), ("relu", None), ("relu", "abs"), ("leaky_relu(y, 1/10)", "relu"), ("tanh", None), ("tanh", "erf"),
     ("sin(2*y)", None), ("y**4 + y**3", "He3(y)"), ("erf", None), ("relu", "tanh(y+1/2)")],
)  # fmt: skip
def test_profile_against_two_dimensional_quadrature(student, teacher):
    sigma, star = Activation(student), Activation(teacher or student)
    g = correlation_profile(student, teacher)
    h = np.linspace(-9, 9, 1801)
    weight = np.exp(-h * h / 2)
    weight /= weight.sum()
    he = [1.0 + 0 * h, h, (h * h - 1) / math.sqrt(2)]
    low = [float((np.asarray(sigma(h)) * e) @ weight) * float((np.asarray(star(h)) * e) @ weight) for e in he]
    for u in (-0.9, -0.3, 0.2, 0.7, 0.95):
        wanted = gaussian_average(sigma, star, u) - sum(c * u**p for p, c in enumerate(low))
        assert g(u) == pytest.approx(wanted, abs=3e-6)
        step = 1e-5
        assert g.slope(u) == pytest.approx((g(u + step) - g(u - step)) / (2 * step), abs=1e-6)
        assert g.curvature(u) == pytest.approx((g.slope(u + step) - g.slope(u - step)) / (2 * step), abs=1e-5)


def test_profiles_are_exact_where_they_can_be():
    assert correlation_profile("He3(y)").coefficients == {3: Fraction(6)}
    assert correlation_profile("y**3", "He3(y) + He5(y)/2").coefficients == {3: Fraction(6)}
    assert correlation_profile("y**3", first_order=1).coefficients == {1: Fraction(9), 3: Fraction(6)}
    relu = correlation_profile("relu")
    assert relu.closed == "the arc-cosine kernel" and relu.information_exponent == 4
    assert [relu.coefficients[p] for p in (4, 6, 8)] == pytest.approx([0.006631, 0.001989, 0.000888], abs=5e-7)
    sin = correlation_profile("sin(2*y)")
    assert [sin.coefficients[p] for p in (3, 5, 7)] == pytest.approx([0.195367, 0.156293, 0.05954], abs=5e-7)
    assert sin.parity == "odd" and relu.parity == "even" and CorrelationProfile({3: 1, 4: 1}).parity is None


def test_closed_forms_and_series_agree():
    for name in ("relu", "erf", "abs"):
        closed = correlation_profile(name)
        series = CorrelationProfile(closed.coefficients)
        u = np.linspace(-0.6, 0.6, 7)
        for method in ("__call__", "slope", "curvature"):
            np.testing.assert_allclose(getattr(closed, method)(u), getattr(series, method)(u), atol=1e-12)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: CorrelationProfile({}), "not 0"),
        (lambda: CorrelationProfile({0: 3}), "not 0"),
        (lambda: CorrelationProfile({3: "x"}), "number"),
        (lambda: CorrelationProfile({3: math.nan}), "number"),
        (lambda: CorrelationProfile({-1: 1}), "order"),
        (lambda: CorrelationProfile(3.5), "order"),
        (lambda: correlation_profile("y**2"), "no Hermite order"),
        (lambda: correlation_profile("He3(y)", "He4(y)"), "no Hermite order"),
        (lambda: correlation_profile("relu", first_order=0), "first_order"),
        (lambda: correlation_profile(3), "activation"),
    ],
)
def test_profiles_refuse(make, says):
    with pytest.raises(InputError, match=says):
        make()


# ---- starts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [7, 40])
def test_random_overlaps_have_the_law_of_a_uniform_start(d):
    gram = equiangular(3, 0.4)
    drawn = random_overlaps(gram, d, 200_000, 1)
    w = np.random.default_rng(2).standard_normal((200_000, d))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    direct = w @ index_vectors(gram, d).T
    for power in (1, 2, 4):
        a, b = (drawn**power).mean(0), (direct**power).mean(0)
        error = (direct**power).std(0) / math.sqrt(200_000)
        assert np.all(np.abs(a - b) < 6 * error)
    np.testing.assert_allclose(drawn.T @ drawn / len(drawn), gram / d, atol=6 * 1.5 / d / math.sqrt(200_000))


def test_index_vectors_have_their_gram_matrix():
    gram = np.array([[1, 0.3, -0.2], [0.3, 1, 0.5], [-0.2, 0.5, 1]])
    v = index_vectors(gram, 9)
    np.testing.assert_allclose(v @ v.T, gram, atol=1e-14)


@pytest.mark.parametrize(
    ("gram", "says"),
    [
        (np.ones((2, 2)), "independent"),
        (np.array([[1.0, 0.2], [0.3, 1.0]]), "symmetric"),
        (2 * np.eye(2), "length one"),
        (np.ones(3), "symmetric"),
        ("x", "matrix"),
        (0, "k"),
    ],
)
def test_what_is_no_gram_matrix_is_refused(gram, says):
    with pytest.raises(InputError, match=says):
        random_overlaps(gram, 10, 5)


@pytest.mark.parametrize("beta", [1.0, -0.6, "x"])
def test_equiangular_refuses(beta):
    with pytest.raises(InputError, match="beta"):
        equiangular(3, beta)


# ---- the flow --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("g", [3, 4, 5, {3: 1, 4: "1/2"}])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_overlaps_follow_the_flow_in_the_whole_space(g, beta):
    d, k, n = 60, 4, 8
    gram = equiangular(k, beta)
    v, w = index_vectors(gram, d), np.random.default_rng(3).standard_normal((n, d))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    run = neuron_flow(g, v, w, time=15.0, times=[0, 5, 15], tolerance=1e-10)
    for row, t in enumerate((5.0, 15.0), 1):
        small = overlap_flow(g, gram, w @ v.T, time=t, tolerance=1e-11)
        np.testing.assert_allclose(small.end, run.overlaps[row], atol=1e-7)
    assert np.all(np.diff(run.losses) <= 1e-12)
    np.testing.assert_allclose(np.linalg.norm(run.weights, axis=1), 1.0, atol=1e-8)


def test_an_arbitrary_gram_matrix():
    rng = np.random.default_rng(4)
    v = rng.standard_normal((3, 30))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    w = rng.standard_normal((5, 30))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    run = neuron_flow(4, v, w, time=40.0, times=[40.0], tolerance=1e-10)
    small = overlap_flow(4, v @ v.T, w @ v.T, time=40.0, tolerance=1e-11)
    np.testing.assert_allclose(small.end, run.overlaps[-1], atol=1e-6)


@pytest.mark.parametrize("p", [2, 3, 4, 5])
def test_escape_times_are_exact_for_one_index_vector(p):
    for d in (1e2, 1e4, 1e6):
        run = overlap_flow(p, 1, [d**-0.5], until="escape", tolerance=1e-11)
        assert run.escape[0] == pytest.approx(neighbours.search_time(p, d**-0.5, 0.5), rel=1e-7)


def test_the_cost_does_not_grow_with_the_time_scale():
    steps = [overlap_flow(5, 1, [d**-0.5], until="escape").steps[0] for d in (1e3, 1e6, 1e9)]
    times = [overlap_flow(5, 1, [d**-0.5], until="escape").escape[0] for d in (1e3, 1e9)]
    assert times[1] / times[0] > 1e8
    assert steps[2] - steps[1] < 1.2 * (steps[1] - steps[0])  # a constant number of steps for each factor of 1000


def test_even_orders_escape_downwards_too():
    up, down = (overlap_flow(4, 2, [[s * 0.1, 0.02]], until="escape") for s in (1, -1))
    assert np.isfinite(up.escape[0]) and up.escape == pytest.approx(down.escape)
    run = overlap_flow(4, 2, [[-0.1, 0.02]])
    assert run.kind[0] == "index" and run.winner[0] == 0 and run.end[0, 0] == pytest.approx(-1, abs=1e-6)


def test_kinds_of_ends():
    orthogonal = overlap_flow(3, 3, [[0.1, 0.05, 0.01], [-0.1, -0.05, -0.02], [0.1, 0.1, 0.1], [0, 0, 0]])
    assert orthogonal.kind.tolist() == ["index", "equator", "average", "equator"]
    assert orthogonal.winner.tolist() == [0, -1, -1, -1]
    late = overlap_flow(3, 3, [[0.01, 0.005, 0.001]], time=1.0)
    assert late.kind[0] == "unfinished" and late.time[0] == pytest.approx(1.0)
    beyond = overlap_flow(3, equiangular(5, 0.3), random_overlaps(equiangular(5, 0.3), 100, 50, 1))
    assert beyond.fraction("average")[0] == 1.0
    np.testing.assert_allclose(beyond.end, math.sqrt(2.2 / 5), atol=1e-4)


def test_recorded_paths_start_and_end_where_the_neurons_do():
    run = overlap_flow(3, 2, [[0.1, 0.05], [0.2, 0.3]], record=1)
    assert len(run.paths) == len(run.times) == 1
    np.testing.assert_allclose(run.paths[0][0], [0.1, 0.05])
    np.testing.assert_allclose(run.paths[0][-1], run.end[0])
    assert np.all(np.diff(run.times[0]) > 0) and len(run.times[0]) == run.steps[0] + 1


def test_wilson_intervals():
    run = overlap_flow(3, 5, random_overlaps(5, 400, 300, 1))
    share, low, high = run.fraction("equator")
    assert low < 2**-5 < high and low < share < high
    assert run.fraction("no such kind")[0] == 0.0 < run.fraction("no such kind")[2] < 0.02


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"start": [[0.9, 0.9]]}, "unit vector"),
        ({"start": [[0.1, 0.2, 0.3]]}, "k = 2"),
        ({"start": [[math.nan, 0.1]]}, "unit vector"),
        ({"start": "x"}, "start"),
        ({"level": 0}, "level"),
        ({"until": "never"}, "until"),
        ({"measure": "size"}, "measure"),
        ({"time": -1}, "time"),
        ({"tolerance": 0}, "tolerance"),
        ({"record": -1}, "record"),
        ({"g": 0}, "order"),
    ],
)
def test_flow_refuses(change, says):
    arguments = {"g": 3, "gram": 2, "start": [[0.1, 0.2]], **change}
    with pytest.raises(InputError, match=says):
        overlap_flow(arguments.pop("g"), arguments.pop("gram"), arguments.pop("start"), **arguments)


# ---- neurons in R^d --------------------------------------------------------------------------------------------------


def test_squared_loss_is_the_loss_of_the_network():
    """Against Monte Carlo, for He_3; and its flow goes down."""
    rng, d = np.random.default_rng(5), 6
    v, w = index_vectors(equiangular(2, 0.3), d), rng.standard_normal((3, d))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    g = correlation_profile("He3(y)")
    run = neuron_flow(g, v, w, time=1.0, loss="squared", weight=0.7)
    x = rng.standard_normal((2_000_000, d))
    he3 = lambda y: y**3 - 3 * y  # noqa: E731
    for row, weights in ((0, w), (-1, run.weights)):
        error = 0.7 * he3(x @ weights.T).sum(1) - he3(x @ v.T).sum(1)
        spread = (error**2).std() / math.sqrt(len(error)) / 2
        assert run.losses[row] == pytest.approx((error**2).mean() / 2, abs=5 * spread)
    assert np.all(np.diff(run.losses) <= 1e-10)


def test_squared_loss_gradient_by_differences():
    rng, d = np.random.default_rng(6), 5
    v, w = index_vectors(2, d), rng.standard_normal((2, d))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    run = neuron_flow(3, v, w, time=1e-4, times=[0, 1e-4], loss="squared", weight=0.5, tolerance=1e-12)
    speed = (run.weights - w) / 1e-4

    def loss(w):
        total = 0.25 * ((w @ w.T) ** 3).sum() / 2 - 0.5 * ((w @ v.T) ** 3).sum() + 0.5 * ((v @ v.T) ** 3).sum()
        return total / 0.5

    for i in range(2):
        tangent = np.linalg.svd(w[i][None])[2][1:]
        for direction in tangent:
            ahead, back = w.copy(), w.copy()
            ahead[i], back[i] = (
                w[i] * math.cos(1e-5) + direction * math.sin(1e-5),
                w[i] * math.cos(1e-5) - direction * math.sin(1e-5),
            )
            assert speed[i] @ direction == pytest.approx(-(loss(ahead) - loss(back)) / 2e-5, abs=2e-4)


def test_sgd_tends_to_the_flow():
    d, rng = 30, np.random.default_rng(7)
    v = index_vectors(2, d)
    w = rng.standard_normal((10, d)) + 4 * v[0]
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    g = correlation_profile("He3(y)")
    gaps = []
    for step in (4e-4, 1e-4):
        run = correlation_sgd("He3(y)", v, w, step=step, batch=300, steps=round(0.2 / step), seed=1)
        flow = overlap_flow(g, 2, w @ v.T, time=0.2)
        gaps.append(np.abs(run.overlaps[-1] - flow.end).max())
        assert run.times[-1] == pytest.approx(0.2)
    assert gaps[1] < 0.08 and gaps[1] < gaps[0] + 0.02


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda v: neuron_flow(3, 2 * v, v, time=1), "length one"),
        (lambda v: neuron_flow(3, v, v[:, :3], time=1), "length one|dimension"),
        (lambda v: neuron_flow(3, v, v, time=0), "time"),
        (lambda v: neuron_flow(3, v, v, time=1, loss="other"), "loss"),
        (lambda v: correlation_sgd("He3(y)", v, v, step=0, batch=1, steps=1), "step"),
        (lambda v: correlation_sgd("He3(y)", v, v, step=1, batch=0, steps=1), "batch"),
    ],
)
def test_neuron_flow_refuses(call, says):
    with pytest.raises(InputError, match=says):
        call(index_vectors(2, 4))


def test_sgd_that_explodes_says_so():
    v = index_vectors(2, 4)
    with pytest.raises(ToleranceError, match="smaller step"):
        correlation_sgd("He3(y)", v, v[::-1].copy(), step=1e308, batch=2, steps=50)


@pytest.mark.parametrize("p", [3, 4, 5, 6])
@pytest.mark.parametrize("m", [0.9, 0.999, 1 - 1e-9, 1.0])
def test_starts_next_to_a_fixed_point(p, m):
    run = overlap_flow(p, 1, [[m]])
    assert run.kind[0] == "index" and run.end[0, 0] == pytest.approx(1.0, abs=1e-6) and run.steps[0] < 500


def test_losses_go_down_between_the_steps_too():
    rng = np.random.default_rng(8)
    w = rng.standard_normal((4, 40))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    run = neuron_flow(3, index_vectors(3, 40), w, time=60.0, times=np.linspace(0, 60, 400))
    assert np.all(np.diff(run.losses) <= 1e-7)
