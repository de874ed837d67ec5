"""Fixed points, spectra, thresholds and times: every table of the theory to its printed digits, and brute force beside it."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from meanfield_sgd import InputError
from meanfield_sgd.neighbours import (
    CorrelationProfile,
    average_point,
    average_threshold,
    correlation_profile,
    equal_loss,
    equiangular,
    escape_bound,
    escape_time,
    fixed_points,
    fold,
    index_vectors,
    minima,
    overlap_flow,
    random_overlaps,
    recovery_probability,
    search_time,
    specialised_minimum,
)


def hessian(g, gram, m, d):
    """Second differences of the loss along great circles in R^d."""
    v = index_vectors(gram, d)
    w = np.linalg.lstsq(v, m, rcond=None)[0]
    w /= np.linalg.norm(w)
    tangent = np.linalg.svd(w[None])[2][1:]
    loss = lambda x: -float(np.sum(g(np.clip(v @ x, -1, 1))))  # noqa: E731
    step, n = 1e-4, d - 1
    move = lambda a: (w + a) / np.linalg.norm(w + a)  # noqa: E731
    found = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            a, b = step * tangent[i], step * tangent[j]
            found[i, j] = (loss(move(a + b)) - loss(move(a - b)) - loss(move(b - a)) + loss(move(-a - b))) / (
                4 * step**2
            )
    return np.linalg.eigvalsh((found + found.T) / 2)


@pytest.mark.parametrize("p", [3, 4, 5])
def test_orthogonal_fixed_points_and_their_spectra(p):
    k, d = 3, 6
    g = CorrelationProfile({p: 1})
    points = fixed_points(p, k)
    count = 0
    for point in points:
        m = point.overlaps
        slope = np.asarray(g.slope(m))
        np.testing.assert_allclose(slope - (m @ slope) * m, 0, atol=1e-12)
        values, numbers = np.unique(np.round(m, 6), return_counts=True)
        count += math.factorial(k) // math.prod(math.factorial(n) for n in numbers)
        wanted = np.sort(np.concatenate([point.eigenvalues, [point.rate] * (d - k)]))
        np.testing.assert_allclose(hessian(g, np.eye(k), m, d), wanted, atol=2e-6)
        r = int((np.abs(m) > 1e-9).sum())
        if m.min() >= 0:
            assert point.loss == pytest.approx(-(r ** (1 - p / 2)))
            assert point.rate == pytest.approx(p * r ** (1 - p / 2))
            assert point.kind == ("minimum" if r == 1 else "saddle") and point.index == r - 1
            np.testing.assert_allclose(point.eigenvalues[: r - 1], -p * (p - 2) * r ** (1 - p / 2))
    assert count == (2 * (2**k - 1) if p % 2 else 3**k - 1)


def test_mixed_parity_has_minima_at_the_negatives():
    g = CorrelationProfile({3: 1, 4: 1})
    assert [len(fixed_points(g, k)) for k in (1, 2, 3)] == [2, 5, 9]
    two = {tuple(np.round(point.overlaps, 5)): point for point in fixed_points(g, 2)}
    assert two[(0.0, -1.0)].kind == "minimum" and two[(0.0, -1.0)].loss == pytest.approx(0)
    assert two[(0.22448, -0.97448)].index == 1
    assert two[(-0.70711, -0.70711)].index is None
    three = fixed_points(g, 3)
    assert any(
        np.allclose(p.overlaps, [-0.0436, -0.7064, -0.7064], atol=5e-5) and abs(p.rate + 0.123) < 5e-4 for p in three
    )

    def copies(m):
        return math.factorial(len(m)) // math.prod(
            math.factorial(n) for n in np.unique(np.round(m, 6), return_counts=True)[1]
        )

    assert sum(copies(p.overlaps) for p in fixed_points(g, 2)) == 8
    assert sum(copies(p.overlaps) for p in three) == 26
    for point in three:
        slope = np.asarray(g.slope(point.overlaps))
        np.testing.assert_allclose(slope - (point.overlaps @ slope) * point.overlaps, 0, atol=1e-10)


def test_mixed_parity_list_is_complete_by_brute_force():
    """Newton's method on g'(m) = lambda m, |m| = 1 from many starts finds nothing else."""
    from scipy.optimize import fsolve

    g, rng = CorrelationProfile({3: 1, 4: 1, 5: "1/2"}), np.random.default_rng(1)
    known = [point.overlaps for point in fixed_points(g, 2)]
    for _ in range(300):
        m = rng.standard_normal(2)
        m /= np.linalg.norm(m)
        x, _, ok, _ = fsolve(
            lambda x: [*(g.slope(x[:2]) - x[2] * x[:2]), x[:2] @ x[:2] - 1], [*m, rng.normal()], full_output=True
        )
        if ok == 1 and abs(x[2]) > 1e-6:
            assert any(np.allclose(np.sort(x[:2])[::-1], other, atol=1e-5) for other in known), x


# ---- thresholds ------------------------------------------------------------------------------------------------------

BETA_C = {3: "1/3 1/4 1/6 1/11 1/21", 4: "1/2 2/5 2/7 1/6 1/11", 5: "3/5 1/2 3/8 3/13 3/23", 6: "2/3 4/7 4/9 2/7 1/6"}


@pytest.mark.parametrize("p", BETA_C)
def test_table_of_thresholds_of_one_order(p):
    for k, value in zip((2, 3, 5, 10, 20), BETA_C[p].split()):
        assert average_threshold(p, k) == [Fraction(value)]
        beta = float(Fraction(value))
        assert average_point(p, k, beta - 1e-6).kind == "saddle" and average_point(p, k, beta - 1e-6).index == k - 1
        assert average_point(p, k, beta + 1e-6).kind == "minimum"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("u3+u4", {2: 0.43346824, 3: 0.33309797, 5: 0.22493999, 10: 0.12116796}),
        ("relu", {2: 0.7092890926, 5: 0.3499841699}),
        ("sin(2*y)", {2: 0.58024262, 3: 0.45047095, 5: 0.28946922, 10: 0.13480281}),
    ],
)
def test_thresholds_of_general_profiles(name, values):
    g = CorrelationProfile({3: 1, 4: 1}) if name == "u3+u4" else correlation_profile(name)
    for k, value in values.items():
        (found,) = average_threshold(g, k)
        assert found == pytest.approx(value, abs=6e-9)
        low = g.information_exponent - 2
        assert found >= low / (k + low)
        assert abs(average_point(g, k, found).eigenvalues[0]) < 1e-9


def test_threshold_of_tanh():
    (found,) = average_threshold(correlation_profile("tanh"), 2)
    assert found == pytest.approx(0.4483825, abs=1e-7)


@pytest.mark.parametrize(
    ("g", "k", "roots"),
    [
        ({3: 1, 20: 50}, 6, (0.179681, 0.210566, 0.746016)),
        ({3: 1, 20: 50}, 10, (0.09115, 0.410834, 0.621244)),
        ({3: 1, 12: 10}, 9, (0.151606, 0.251233, 0.411653)),
        ({3: 1, 20: 3}, 4, (0.237973, 0.367451, 0.789285)),
    ],
)
def test_reentrant_thresholds(g, k, roots):
    found = average_threshold(g, k)
    assert found == pytest.approx(roots, abs=1e-6)
    kinds = [
        average_point(g, k, beta).kind for beta in (roots[0] - 1e-3, roots[0] + 1e-3, roots[1] + 1e-3, roots[2] + 1e-3)
    ]
    assert kinds == ["saddle", "minimum", "saddle", "minimum"]


@pytest.mark.parametrize(
    ("k", "p", "beta", "transverse", "outside", "loss"),
    [
        (5, 3, 0, -1.341641, 1.341641, -0.447214),
        (5, 3, 0.1, -0.634980, 2.222431, -0.740810),
        (5, 3, 1 / 6, 0, 2.886751, -0.962250),
        (5, 3, 0.25, 0.948683, 3.794733, -1.264911),
        (5, 4, 0.1, -1.456, 1.568, -0.392),
        (3, 4, 0.4, 0, 4.32, -1.08),
    ],
)
def test_hessian_values_at_the_average(k, p, beta, transverse, outside, loss):
    point = average_point(p, k, beta)
    assert point.eigenvalues == pytest.approx([transverse] * (k - 1), abs=1e-6)
    assert (point.rate, point.loss) == pytest.approx((outside, loss), abs=1e-6)
    if k == 3 or beta == 0.1:
        d = k + 2
        wanted = np.sort([*point.eigenvalues, *[point.rate] * (d - k)])
        np.testing.assert_allclose(
            hessian(CorrelationProfile({p: 1}), equiangular(k, beta), point.overlaps, d), wanted, atol=5e-6
        )


@pytest.mark.parametrize(
    ("k", "beta", "m", "rest", "loss", "least"),
    [(5, 0.041667, 0.999992, 0.043812, -1.000312, 2.70713), (5, 0.158333, 0.993242, 0.225305, -1.025610, 1.27709)],
)
def test_specialised_minimum_values(k, beta, m, rest, loss, least):
    point = specialised_minimum(3, k, beta)
    assert point.overlaps[:2] == pytest.approx([m, rest], abs=2e-6)
    assert point.loss == pytest.approx(loss, abs=1e-6)
    assert min(point.eigenvalues.min(), point.rate) == pytest.approx(least, abs=2e-4)
    t = point.overlaps[0] / point.overlaps[1]
    assert t**2 + beta * (k - 1) == pytest.approx(t * (beta * t**2 + 1 + beta * (k - 2)), rel=1e-6)


def test_fold_values():
    for k, value in zip((2, 3, 4, 5, 10, 20), (0.5, 0.416030, 0.370378, 0.339957, 0.263973, 0.206901)):
        assert fold(4, k) == pytest.approx(value, abs=1.1e-6)
    assert (fold(5, 4), fold(5, 10)) == pytest.approx((0.471537, 0.359595), abs=1e-6)
    for k in (3, 5, 10, 100):
        assert fold(3, k) == pytest.approx(1 / (1 + 2 * math.sqrt(k - 1)))
        for p in (3, 4):
            edge = fold(p, k)
            assert specialised_minimum(p, k, edge * (1 - 1e-5)) is not None
            assert specialised_minimum(p, k, edge * (1 + 1e-5)) is None


def test_fold_of_a_mixture_is_where_the_minimum_ends():
    edge = fold({3: 1, 4: 1}, 5)
    assert average_threshold({3: 1, 4: 1}, 5)[0] < edge
    assert specialised_minimum({3: 1, 4: 1}, 5, edge - 1e-7) is not None
    assert specialised_minimum({3: 1, 4: 1}, 5, edge + 1e-7) is None


@pytest.mark.parametrize("p", [3, 4, 5, 7])
def test_equal_loss_law(p):
    assert equal_loss(p, 2) == pytest.approx((p - 2) / p)
    for k in (3, 4, 5, 10, 20):
        beta = equal_loss(p, k)
        assert average_threshold(p, k)[0] < beta < fold(p, k)
        special = specialised_minimum(p, k, beta)
        assert special.loss == pytest.approx(average_point(p, k, beta).loss, rel=1e-9)
        assert special.overlaps[0] / special.overlaps[1] == pytest.approx((k - 1) ** (2 / p), rel=1e-6)
    values = {3: (0.259921, 0.195800, 0.135010), 4: tuple(1 / (1 + math.sqrt(k - 1)) for k in (3, 5, 10))}
    if p in values:
        assert [equal_loss(p, k) for k in (3, 5, 10)] == pytest.approx(values[p], abs=1e-6)
    if p == 5:
        wanted = (0.515717, 0.466591, 0.432466, 0.342149, 0.269517)
        assert [equal_loss(5, k) for k in (3, 4, 5, 10, 20)] == pytest.approx(wanted, abs=1e-6)


def test_equal_loss_of_a_mixture():
    g = {3: 1, 4: 1}
    beta = equal_loss(g, 5)
    assert specialised_minimum(g, 5, beta).loss == pytest.approx(average_point(g, 5, beta).loss, rel=1e-8)


@pytest.mark.parametrize(("p", "k"), [(3, 5), (4, 5), (3, 10)])
def test_flows_end_in_the_listed_minima_only(p, k):
    edges = [0.0, average_threshold(p, k)[0], equal_loss(p, k), fold(p, k), 0.6]
    for low, high in pairwise(edges):
        beta = float(low + high) / 2
        gram = equiangular(k, beta)
        run = overlap_flow(p, gram, random_overlaps(gram, k + 1, 200, 3))
        listed = minima(p, k, beta)
        for end, kind in zip(run.end, run.kind):
            if kind in ("equator", "unfinished"):
                assert p % 2 and kind == "equator"
                continue
            m = np.sort(end * (np.sign(end[np.argmax(np.abs(end))]) if p % 2 == 0 else 1))[::-1]
            assert any(np.allclose(m, point.overlaps, atol=1e-3) for point in listed), (beta, m)


def test_phase_diagram_of_order_three():
    expected = {0.1: ["index"], 0.18: ["index", "average"], 0.198: ["average", "index"], 0.3: ["average"]}
    for beta, kinds in expected.items():
        found = ["average" if np.ptp(point.overlaps) < 1e-9 else "index" for point in minima(3, 5, beta)]
        assert found == kinds


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: fixed_points(correlation_profile("relu"), 2), "orders 2 to 40"),
        (lambda: fixed_points({3: 1, 4: 1, 5: 1}, 30, most=10), "patterns"),
        (lambda: average_threshold(3, 1), "k"),
        (lambda: average_point(3, 3, 1.0), "beta"),
        (lambda: minima({3: 1, 4: 1}, 3, 0.1), "one Hermite order"),
        (lambda: minima(3, 3, -0.1), "one Hermite order"),
        (lambda: recovery_probability(3, 5, dead="x"), "dead"),
        (lambda: recovery_probability(3, 5, dead=2), "dead"),
        (lambda: search_time(3, 0.0, 0.5), "overlaps"),
        (lambda: escape_bound(3, 2, [[0.6, 0.1]], 0.5), "delta"),
        (lambda: escape_bound(3, 2, [[0.1, 0.1, 0.1]], 0.5), "k = 2"),
    ],
)
def test_landscape_refuses(call, says):
    with pytest.raises(InputError, match=says):
        call()


# ---- times -----------------------------------------------------------------------------------------------------------

TIMES = {
    2: (0.874127, 1.45204, 2.02791, 2.60358, 3.17922),
    3: (2.81632, 10.0468, 32.8464, 104.925, 332.849),
    4: (12.4371, 125.226, 1250.51, 12500.8, 125001),
    5: (67.8231, 2113.68, 66685.8, 2.10825e6, 6.66669e7),
}


@pytest.mark.parametrize("p", TIMES)
def test_table_of_times(p):
    for d, value in zip((1e2, 1e3, 1e4, 1e5, 1e6), TIMES[p]):
        assert float(f"{search_time(p, d**-0.5, 0.5):.6g}") == value
    exact = quad(lambda u: 1 / (p * u ** (p - 1) * (1 - u * u)), 0.1, 0.5)[0]
    assert search_time(p, 0.1, 0.5) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("p", [3, 4])
@pytest.mark.parametrize("beta", [0.0, 0.2, 0.3])
def test_two_sided_bound(p, beta):
    for k in (4, 5):
        found = escape_time(p, k, 400, beta=beta, neurons=150)
        escaped, bounded = np.isfinite(found.lengths), np.isfinite(found.upper)
        assert np.all(found.lower[escaped] <= found.lengths[escaped] * (1 + 1e-6))
        assert np.all(found.lengths[bounded] <= found.upper[bounded] * (1 + 1e-6))
        assert bounded.sum() > 30 and np.all(found.times >= found.lengths)


def test_two_sided_bound_in_arbitrary_position():
    rng = np.random.default_rng(2)
    v = rng.standard_normal((4, 12))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    gram = v @ v.T
    start = random_overlaps(gram, 2000, 100, 1)
    run = overlap_flow(3, gram, start, until="escape", measure="length")
    bound = escape_bound(3, gram, start)
    escaped = np.isfinite(run.escape)
    assert escaped.sum() > 40 and np.all(bound.lower[escaped] <= run.escape[escaped])
    assert np.all(run.escape <= bound.upper * (1 + 1e-6))


def test_formula_neuron_by_neuron():
    for p, expected in ((3, (0.83, 0.92, 0.96, 0.98)), (4, (0.987, 1.003, 1.003, 1.001))):
        for d, value in zip((100, 400, 1600, 6400), expected):
            found = escape_time(p, 5, d, neurons=400, seed=3)
            alive = np.isfinite(found.times)
            assert np.median(found.times[alive] / found.formula[alive]) == pytest.approx(value, abs=0.03)


@pytest.mark.parametrize(
    ("k", "neurons", "value"),
    [(5, 5, "0.0384"), (10, 10, "3.629e-04"), (20, 20, "2.32e-08"), (5, 9, "0.4271"), (10, 24, "0.3928"), (20, 60, "0.3606"),
     (5, 19, "0.9286"), (10, 44, "0.9055"), (20, 100, "0.8865")],
)  # fmt: skip
def test_table_of_recovery(k, neurons, value):
    found = float(recovery_probability(k, neurons))
    assert found == pytest.approx(
        float(value), abs=0.51 * 10 ** -(len(value.split("e")[0]) - 2) * (float(value) / float(value.split("e")[0]))
    )
    assert recovery_probability(k, k) == Fraction(math.factorial(k), k**k)


def test_recovery_with_dead_neurons():
    assert float(recovery_probability(3, 8, dead=Fraction(1, 8))) == pytest.approx(0.8126, abs=5e-5)
    assert float(recovery_probability(5, 19, dead="1/32")) == pytest.approx(0.9174, abs=5e-5)
    assert recovery_probability(4, 3) == 0 and recovery_probability(4, 10, dead=1) == 0


# ---- found by a reader who tried to break it -------------------------------------------------------------------------


def test_relu_has_specialised_minima_although_its_curvature_is_infinite_at_one():
    g = correlation_profile("relu")
    point = specialised_minimum(g, 5, 0.0)
    assert point.kind == "minimum" and point.overlaps[0] == pytest.approx(1.0)
    assert 0 < equal_loss(g, 5) < fold(g, 5) < 1
    copy = CorrelationProfile(g)
    assert copy.closed == g.closed and copy.slope(1.0) == g.slope(1.0)


def test_saddles_are_not_called_index_vectors():
    assert overlap_flow(4, 2, [[0.1, -0.1]]).kind.tolist() == ["other"]
    assert overlap_flow(2, 3, [[0.1, 0.2, -0.1]]).kind.tolist() == ["other"]
    assert overlap_flow({3: 1, 4: 1}, 3, [[-0.75, 0, 0]]).kind.tolist() == ["other"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: minima({3: -1}, 5, 0.1), "positive"),
        (lambda: fold({3: -1}, 5), "positive"),
        (lambda: equal_loss({3: 1, 4: -1}, 5), "positive"),
        (lambda: overlap_flow(3, 2, [[0.1, 0.2]], level=2), "below 1"),
        (lambda: overlap_flow(3, 2, [[0.1, 0.2]], tolerance=0.1), "at most"),
        (lambda: search_time(3, 0.5, 0.1), "below the start"),
        (lambda: fixed_points(4, 60, most=10), "patterns"),
    ],
)
def test_hostile_landscape_calls_are_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()


def test_negative_orders_have_no_threshold():
    assert average_threshold({3: -1}, 5) == []
    assert average_point(3, 5, "0.1").rate == average_point(3, 5, 0.1).rate
