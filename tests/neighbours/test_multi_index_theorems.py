"""The theorems and tables of the chapter "Many directions", every printed digit."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import quad

import meanfield_sgd as mf
from meanfield_sgd import neighbours

DIMS = np.array([1e2, 1e3, 1e4, 1e5, 1e6])


def random_gram(k, d, seed):
    v = np.random.default_rng(seed).standard_normal((k, d))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return v @ v.T


def in_coordinates(gram):
    """Index vectors as rows in R^k."""
    return np.linalg.cholesky(gram)


# --- the profile ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, digits", [("He3(y)", 1e-10), ("He5(y) + He4(y)", 1e-8), ("sin(2*y)", 1e-12), ("tanh", 1e-6)]
)
def test_profile_is_the_expectation(text, digits):
    s = mf.Activation(text)
    g = neighbours.correlation_profile(text, first_order=1)
    x, mass = np.polynomial.hermite_e.hermegauss(80)
    mass = mass / mass.sum()
    for u in (-0.7, 0.2, 0.6):
        both = mass @ (s(x) * (s(u * x[:, None] + math.sqrt(1 - u * u) * x) @ mass))
        assert abs(both - (mass @ s(x)) ** 2 - g(u)) < digits


def test_profile_coefficients_as_printed():
    relu = neighbours.correlation_profile("relu").coefficients
    assert [round(float(relu[p]), 6) for p in (4, 6, 8)] == [0.006631, 0.001989, 0.000888]
    sine = neighbours.correlation_profile("sin(2*y)").coefficients
    assert [round(float(sine[p]), 6) for p in (3, 5, 7)] == [0.195367, 0.156293, 0.05954]
    assert all(abs(c / (4**p * math.exp(-4) / math.factorial(p)) - 1) < 1e-9 for p, c in sine.items() if p < 15)


# --- the clock -----------------------------------------------------------------------------------------------------


REFERENCE = {
    2: ("0.874127", "1.45204", "2.02791", "2.60358", "3.17922"),
    3: ("2.81632", "10.0468", "32.8464", "104.925", "332.849"),
    4: ("12.4371", "125.226", "1250.51", "12500.8", "125001"),
    5: ("67.8231", "2113.68", "66685.8", "2.10825e+06", "6.66669e+07"),
}


def test_reference_table_of_search_times():
    for p, known in REFERENCE.items():
        exact = neighbours.search_time(p, DIMS**-0.5, np.full(5, 0.5))
        assert tuple(f"{x:.6g}" for x in exact) == known
        numeric = quad(
            lambda x, p=p: math.exp(x * (2 - p)) / (p * (1 - math.exp(2 * x))), -math.log(10), math.log(0.5)
        )[0]
        assert abs(numeric / exact[0] - 1) < 1e-9
        slope = math.log10(exact[4] / exact[3])
        assert p == 2 or f"{slope:.4f}" == {3: "0.5014", 4: "1.0000", 5: "1.5000"}[p]
    two = neighbours.search_time(2, DIMS**-0.5, np.full(5, 0.5))
    assert f"{two[4] - two[3]:.4f}" == "0.5756"


def test_formula_neuron_by_neuron():
    for p, medians in ((4, (0.987, 1.003, 1.003, 1.001)), (3, (0.83, 0.92, 0.96, 0.98))):
        for d, known in zip((100, 400, 1600, 6400), medians):
            run = neighbours.escape_time(p, 5, d, neurons=400, seed=d)
            ok = np.isfinite(run.times)
            assert abs(np.median(run.times[ok] / run.formula[ok]) - known) < 0.03


def test_two_sided_bound_and_monotone_q():
    for k, beta, p, d in itertools.product((4, 5), (0.0, 0.2, 0.3), (3, 4), (400, 6400)):
        gram = neighbours.equiangular(k, beta)
        start = neighbours.random_overlaps(gram, d, 40, seed=k)
        flow = neighbours.overlap_flow(p, gram, start, until="escape", measure="length", record=5, tolerance=1e-9)
        bound = neighbours.escape_bound(p, gram, start)
        good = np.isfinite(bound.upper)
        assert np.all(flow.escape >= bound.lower * (1 - 1e-6))
        assert np.all(flow.escape[good] <= bound.upper[good] * (1 + 1e-6))
        for path in flow.paths:
            r = np.sqrt(np.einsum("tk,kl,tl->t", path, np.linalg.inv(gram), path))
            q = ((path / r[:, None]) ** p).sum(1)
            assert np.all(np.diff(q) > -1e-6)


def test_the_end_does_not_depend_on_the_dimension():
    for p, gram in ((3, neighbours.equiangular(20, 0.09)), (4, random_gram(5, 12, 0))):
        ends = [
            neighbours.overlap_flow(p, gram, neighbours.random_overlaps(gram, d, 100, seed=3), tolerance=1e-7)
            for d in (50, 10**4, 10**6)
        ]
        for other in ends[1:]:
            agree = np.abs(other.end - ends[0].end).max(1) < 1e-3
            assert agree.mean() >= 0.99  # a start next to a separatrix may be rounded across it
            assert np.mean(other.kind == ends[0].kind) >= 0.99


def test_flow_in_all_dimensions_is_the_flow_of_overlaps():
    rng = np.random.default_rng(1)
    for p, time in ((3, 30), (4, 200)):
        gram = random_gram(4, 10, p)
        v = neighbours.index_vectors(gram, 150)
        w = rng.standard_normal((5, 150))
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        weights = neighbours.neuron_flow(p, v, w, time=time, tolerance=1e-11)
        flow = neighbours.overlap_flow(p, gram, w @ v.T, time=time, tolerance=1e-10)
        assert np.abs(weights.overlaps[-1] - flow.end).max() < 1e-6
        assert np.all(np.diff(weights.losses) < 1e-5)  # interpolated between steps of the integrator
        path = neighbours.overlap_flow(p, gram, w @ v.T, time=time, tolerance=1e-10, record=5).paths
        assert all(np.all(np.diff((row**p).sum(1)) > -1e-8) for row in path)


# --- orthogonal index vectors --------------------------------------------------------------------------------------


def copies(point):
    return len(set(itertools.permutations(point.overlaps)))


def numerical_spectrum(g, gram, m, extra=3, h=1e-4):
    """Of the loss on the sphere of R^(k+extra) by second differences along great circles."""
    k = len(m)
    v = np.pad(in_coordinates(gram), ((0, 0), (0, extra)))
    w = np.pad(np.linalg.solve(in_coordinates(gram), m), (0, extra))
    w /= np.linalg.norm(w)
    basis = np.linalg.svd(w[None])[2][1:]

    def loss(u):
        u = w * math.cos(np.linalg.norm(u)) + (u * math.sin(np.linalg.norm(u)) / np.linalg.norm(u) if np.any(u) else 0)
        return -float(np.sum(g(v @ u)))

    n = k + extra - 1
    hess = np.zeros((n, n))
    for i, j in itertools.product(range(n), repeat=2):
        a, b = h * basis[i], h * basis[j]
        hess[i, j] = (loss(a + b) - loss(a - b) - loss(b - a) + loss(-a - b)) / (4 * h * h)
    return np.sort(np.linalg.eigvalsh(hess))


def test_fixed_points_and_spectra():
    for p, k in itertools.product((3, 4, 5, 6), (1, 2, 3, 4, 5)):
        points = neighbours.fixed_points(p, k)
        assert sum(map(copies, points)) == (2 * (2**k - 1) if p % 2 else 3**k - 1)
        for q in points:
            r = np.count_nonzero(q.overlaps)
            sign = -1 if p % 2 and q.overlaps.sum() < 0 else 1
            lam = sign * p * r ** (1 - p / 2)
            assert np.allclose(q.eigenvalues, sorted([-(p - 2) * lam] * (r - 1) + [lam] * (k - r)), atol=1e-11)
            assert abs(q.rate - lam) < 1e-12 and (q.kind == "minimum") == (r == 1 and sign == 1)
    for p in (3, 4, 5):
        g = neighbours.CorrelationProfile({p: 1})
        for q in neighbours.fixed_points(p, 4):
            known = np.sort(np.r_[q.eigenvalues, [q.rate] * 3])
            assert np.abs(numerical_spectrum(g, np.eye(4), q.overlaps) - known).max() < 5e-6


def test_mixed_parity_list():
    lists = {k: neighbours.fixed_points({3: 1, 4: 1}, k) for k in (1, 2, 3)}
    assert [sum(map(copies, points)) for points in lists.values()] == [2, 8, 26]

    def find(k, *m):
        (point,) = [q for q in lists[k] if np.allclose(np.sort(q.overlaps), np.sort(m), atol=6e-6)]
        return point

    assert all(find(k, *[0] * (k - 1), -1).kind == "minimum" for k in (1, 2, 3))
    q = find(2, 0, -1)
    assert q.loss == 0 and abs(q.rate - 1) < 1e-12 and np.allclose(q.eigenvalues, 1)
    assert find(2, 0.70711, 0.70711).index == 1 and find(2, 0.22448, -0.97448).index == 1
    assert find(2, -0.70711, -0.70711).rate < 0
    q = find(3, -0.04356, -0.70644, -0.70644)
    assert abs(q.rate + 0.123) < 5e-4
    # the family m_1 = -3/4, |w_perp|^2 = 7/16: at rest, one negative direction of curvature -(9/4)(7/16), the rest flat
    g = neighbours.CorrelationProfile({3: 1, 4: 1})
    assert g.slope(-0.75) == 0 and abs(g.curvature(-0.75) - 9 / 4) < 1e-12
    for a, b in ((1, 1), (2, 1), (1, 2)):
        for u in np.roots([a + b, 1.5 * b, 9 * b / 16 - 1]):
            find(a + b, *[u] * a, *[-0.75 - u] * b)


def test_minus_v_is_a_minimum_by_the_criterion():
    for even in (0.5, 0.7, 0.8, 2):
        (q,) = [q for q in neighbours.fixed_points({3: 1, 4: even}, 1) if q.overlaps[0] < 0]
        assert (q.kind == "minimum") == (4 * even > 3)


def test_nearest_index_vector_and_conserved_ratios():
    for p, k in itertools.product((3, 4, 5, 6), (2, 5)):
        start = neighbours.random_overlaps(k, 400, 200, seed=k)
        flow = neighbours.overlap_flow(p, k, start, tolerance=1e-7)
        dead = (start.max(1) < 0) & (p % 2 == 1)
        assert np.array_equal(flow.kind == "equator", dead)
        nearest = (start if p % 2 else np.abs(start)).argmax(1)
        assert np.array_equal(flow.winner[~dead], nearest[~dead])
    for p, time in ((3, 8.0), (4, 60.0), (5, 900.0)):
        path = neighbours.overlap_flow(
            p, 5, [[0.05, 0.04, 0.03, -0.02, -0.045]], time=time, record=1, tolerance=1e-11
        ).paths[0]
        u = np.sign(path) ** p * np.abs(path) ** (2.0 - p)
        u = u if p % 2 else np.abs(u)
        ratio = (u[:, 0] - u[:, 3]) / (u[:, 1] - u[:, 4])
        assert len(path) > 10 and np.ptp(ratio) < 1e-6 * abs(ratio[0])


def test_dead_neuron_decays_within_its_bounds():
    p, k = 3, 4
    start = np.array([[-0.05, -0.03, -0.02, -0.01]])
    r0 = np.linalg.norm(start)
    end = neighbours.overlap_flow(p, k, start, time=2000.0, tolerance=1e-10).end
    r = np.linalg.norm(end)
    assert 1 / r0 + 3 * 2000 * k**-0.5 * (1 - r0**2) <= 1 / r <= 1 / r0 + 3 * 2000


def test_coupon_table():
    P = neighbours.recovery_probability
    for k, mean, few, log, more in (
        (5, "11.417", 0.0384, (9, ".4271"), (19, ".9286")),
        (10, "29.290", 3.629e-4, (24, ".3928"), (44, ".9055")),
        (20, "71.955", 2.32e-8, (60, ".3606"), (100, ".8865")),
    ):
        assert f"{float(k * sum(Fraction(1, i) for i in range(1, k + 1))):.3f}" == mean
        assert P(k, k) == Fraction(math.factorial(k), k**k) and abs(float(P(k, k)) / few - 1) < 1e-3
        for n, text in (log, more):
            assert n in (math.ceil(k * math.log(k)), math.ceil(k * math.log(k) + 2 * k))
            assert f"{float(P(k, n)):.4f}"[1:] == text
    assert f"{float(P(50, 50)):.4g}" == "3.424e-21"
    assert f"{float(P(3, 8, dead=Fraction(1, 8))):.4f}" == "0.8126" and f"{float(P(3, 8)):.3f}" == "0.883"
    assert f"{float(P(5, 19, dead=Fraction(1, 32))):.4f}" == "0.9174"
    c = 1.0
    assert abs(float(P(400, round(400 * (math.log(400) + c)))) - math.exp(-math.exp(-c))) < 5e-3


# --- equiangular index vectors: the average ------------------------------------------------------------------------


HESSIANS = (
    (5, 3, 0.0, -1.341641, 1.341641, -0.447214),
    (5, 3, 0.1, -0.634980, 2.222431, -0.740810),
    (5, 3, 1 / 6, 0.0, 2.886751, -0.962250),
    (5, 3, 0.25, 0.948683, 3.794733, -1.264911),
    (5, 4, 0.1, -1.456, 1.568, -0.392),
    (3, 4, 0.4, 0.0, 4.32, -1.08),
)


def test_hessian_values_and_threshold_table():
    for k, p, beta, *known in HESSIANS:
        q = neighbours.average_point(p, k, beta)
        assert np.allclose([q.eigenvalues[0], q.rate, q.loss], known, atol=6e-7)
        seen = numerical_spectrum(neighbours.CorrelationProfile({p: 1}), neighbours.equiangular(k, beta), q.overlaps)
        assert np.abs(seen - np.sort(np.r_[q.eigenvalues, [q.rate] * 3])).max() < 5e-6
    table = {
        3: ("1/3", "1/4", "1/6", "1/11", "1/21"),
        4: ("1/2", "2/5", "2/7", "1/6", "1/11"),
        5: ("3/5", "1/2", "3/8", "3/13", "3/23"),
        6: ("2/3", "4/7", "4/9", "2/7", "1/6"),
    }
    for p, row in table.items():
        for k, text in zip((2, 3, 5, 10, 20), row):
            assert neighbours.average_threshold(p, k) == [Fraction(text)] == [Fraction(p - 2, k + p - 2)]
            signs = [neighbours.average_point(p, k, float(Fraction(text)) + s).eigenvalues[0] for s in (-1e-6, 1e-6)]
            assert signs[0] < 0 < signs[1]


def cut(text, order):
    return {p: c for p, c in neighbours.correlation_profile(text).coefficients.items() if p <= order}


THRESHOLDS = (
    ({3: 1, 4: 1}, (0.43346824, 0.33309797, 0.22493999, 0.12116796)),
    ("relu 30", (0.69455951, 0.53112349, 0.34998036, 0.18723810)),
    ("sin", (0.58024262, 0.45047095, 0.28946922, 0.13480281)),
)


def test_thresholds_of_general_activations():
    for g, row in THRESHOLDS:
        g = (
            {"relu 30": cut("relu", 30), "sin": neighbours.correlation_profile("sin(2*y)")}[g]
            if isinstance(g, str)
            else g
        )
        for k, known in zip((2, 3, 5, 10), row):
            (root,) = neighbours.average_threshold(g, k)
            assert abs(root - known) < 6.1e-9
            profile = neighbours.CorrelationProfile(g)
            m = math.sqrt((1 + (k - 1) * root) / k)
            c = m * profile.curvature(m) / profile.slope(m) - 1
            assert abs(root - c / (c + k)) < 1e-9
            assert root >= (profile.information_exponent - 2) / (k + profile.information_exponent - 2)
    relu = neighbours.correlation_profile("relu")
    for k, known in ((2, "0.7092890926"), (5, "0.3499841699")):
        (root,) = neighbours.average_threshold(relu, k)
        assert f"{root:.10f}" == known
    u = np.linspace(-0.95, 0.95, 9)
    assert np.allclose(relu.slope(u), (math.pi - np.arccos(u)) / (2 * math.pi) - 0.25 - u / (2 * math.pi), atol=1e-14)
    assert np.allclose(relu.curvature(u), (1 / np.sqrt(1 - u * u) - 1) / (2 * math.pi), atol=1e-14)
    (root,) = neighbours.average_threshold(cut("tanh", 60), 2)
    assert f"{root:.7f}" == "0.4483825"


def test_reentrant_thresholds():
    for g, k, known in (
        ({3: 1, 20: 50}, 6, (0.179681, 0.210566, 0.746016)),
        ({3: 1, 20: 50}, 10, (0.09115, 0.410834, 0.621244)),
        ({3: 1, 12: 10}, 9, (0.151606, 0.251233, 0.411653)),
        ({3: 1, 20: 3}, 4, (0.237973, 0.367451, 0.789285)),
    ):
        roots = neighbours.average_threshold(g, k)
        assert np.allclose(roots, known, atol=6e-7) and len(roots) == 3 and min(roots) >= 1 / (k + 1)
        kinds = [neighbours.average_point(g, k, b).kind for b in np.r_[roots, 1] - np.diff(np.r_[0, roots, 1]) / 2]
        assert kinds == ["saddle", "minimum", "saddle", "minimum"]


# --- the phase diagram ---------------------------------------------------------------------------------------------


def s(t, p, k):
    return (t ** (p - 1) + k - 1) / sum(t**i for i in range(1, p - 1))


def test_specialised_minimum_values():
    for beta, known in (
        (0.041667, (0.999992, 0.043812, -1.000312, 2.70713)),
        (0.158333, (0.993242, 0.225305, -1.025610, 1.27709)),
    ):
        q = neighbours.specialised_minimum(3, 5, beta)
        assert np.allclose([*q.overlaps[:2], q.loss, min(*q.eigenvalues, q.rate)], known, atol=1e-5)
    for p, k, x in itertools.product((3, 4, 5, 6), (3, 5, 20), (0.3, 0.9)):
        beta = x * neighbours.fold(p, k)
        q = neighbours.specialised_minimum(p, k, beta)
        t = q.overlaps[0] / q.overlaps[1]
        assert t > 1 and abs(s(t, p, k) / (1 / beta - 1) - 1) < 1e-6
        left, right = t ** (p - 1) + beta * (k - 1), t * (beta * t ** (p - 1) + 1 + beta * (k - 2))
        assert abs(left / right - 1) < 1e-6
        assert np.allclose(numerical_spectrum(neighbours.CorrelationProfile({p: 1}), neighbours.equiangular(k, beta), q.overlaps)
                           if k < 6 else 0, np.sort(np.r_[q.eigenvalues, [q.rate] * 3]) if k < 6 else 0, atol=1e-5)  # fmt: skip


def test_folds_and_equal_loss_as_printed():
    for k, known in zip((2, 3, 4, 5, 10, 20), (0.5, 0.416030, 0.370378, 0.339957, 0.263972, 0.206901)):
        assert abs(neighbours.fold(4, k) - known) < 1.1e-6
    assert abs(neighbours.fold(4, 10) - 0.263973) < 6e-7
    assert abs(neighbours.fold(5, 4) - 0.471537) < 6e-7 and abs(neighbours.fold(5, 10) - 0.359595) < 6e-7
    for k in (2, 3, 5, 10, 20):
        assert abs(neighbours.fold(3, k) - 1 / (1 + 2 * math.sqrt(k - 1))) < 1e-14
    assert [f"{neighbours.fold(3, k) * (k + 1):.2f}" for k in (5, 10, 20)] == ["1.20", "1.57", "2.16"]
    assert f"{neighbours.fold(4, 5) * 7 / 2:.3f}" == "1.190" and f"{neighbours.fold(4, 10) * 6:.3f}" == "1.584"
    for k, known in zip((3, 4, 5, 10, 20), (0.515717, 0.466591, 0.432466, 0.342149, 0.269517)):
        assert abs(neighbours.equal_loss(5, k) - known) < 6e-7
        q = (k - 1) ** (1 / 3)
        assert abs(neighbours.equal_loss(3, k) - 1 / (1 + q + q * q)) < 1e-12
        assert abs(neighbours.equal_loss(4, k) - 1 / (1 + math.sqrt(k - 1))) < 1e-12
    for k, row in (
        (3, (0.25, 0.259921, 0.261204)),
        (5, (0.16667, 0.195800, 0.2)),
        (10, (0.090909, 0.135010, 0.142857)),
    ):
        seen = (float(neighbours.average_threshold(3, k)[0]), neighbours.equal_loss(3, k), neighbours.fold(3, k))
        assert np.allclose(seen, row, atol=4e-6)
    for p in range(3, 16):
        assert abs(neighbours.fold(p, 2) - (p - 2) / p) < 1e-9


def test_equal_loss_law():
    for p, k in itertools.product(range(3, 9), (3, 4, 10, 50, 200)):
        even, two, c = neighbours.equal_loss(p, k), neighbours.fold(p, k), (p - 2) / (k + p - 2)
        assert c < even < two
        q = neighbours.specialised_minimum(p, k, even)
        assert abs(q.loss / neighbours.average_point(p, k, even).loss - 1) < 1e-9
        assert abs(q.overlaps[0] / q.overlaps[1] / (k - 1) ** (2 / p) - 1) < 1e-5
        grid = np.linspace(0.02, 0.98, 9) * two
        quotient = [neighbours.specialised_minimum(p, k, b).loss / neighbours.average_point(p, k, b).loss for b in grid]
        assert np.all(np.diff(quotient) < 0) and np.all((np.array(quotient) > 1) == (grid < even))


def test_steps_of_the_proof():
    rng = np.random.default_rng(5)
    for p, k in itertools.product((3, 4, 5, 6, 8), (2, 3, 7)):
        K = k - 1
        edge = neighbours.fold(p, k)
        t = np.geomspace(1e-2, 1e2, 4001)
        turning = np.flatnonzero(np.diff(np.sign(np.diff(s(t, p, k)))))
        assert len(turning) == 1 and (k == 2 or t[turning[0]] > 1)  # one turning point
        assert abs(1 / (1 + s(t, p, k).min()) - edge) < 1e-4
        assert abs(s(1.0, p, k) - k / (p - 2)) < 1e-12
        if p % 2 == 0:  # t < -1: s increases wherever it is positive
            t = -np.geomspace(1.0001, 1e2, 4001)[::-1]
            value = s(t, p, k)
            both = (value[1:] > 0) & (value[:-1] > 0)
            assert np.all(np.diff(value)[both] > 0)
        beta = 0.6 * edge
        c = beta / (1 + K * beta)

        def f(x, p=p, K=K, c=c):
            return (x**p + K) / (x * x + K - c * (x + K) ** 2) ** (p / 2)

        for x in rng.uniform(0.2, 6, 5):  # the derivative along the circle
            h = 1e-5 * x
            q = (x * x + K - c * (x + K) ** 2) / (1 - beta)
            known = p * K * (x ** (p - 1) - x - c * (x + K) * (x ** (p - 1) - 1)) / ((1 - beta) * q * (x**p + K))
            assert abs((math.log(f(x + h)) - math.log(f(x - h))) / (2 * h) - known) < 1e-6 * (1 + abs(known))


def test_hessian_in_terms_of_overlaps():
    for p, k, beta in ((3, 5, 0.12), (4, 6, 0.2), (5, 3, 0.3)):
        gram = neighbours.equiangular(k, beta)
        q = neighbours.specialised_minimum(p, k, beta)
        m, mu, c = q.overlaps, q.rate / p, beta / (1 + (k - 1) * beta)
        total = np.sum(m ** (p - 1))
        assert np.abs((1 - beta) * m ** (p - 1) - mu * m + beta * total).max() < 1e-9
        slope = (1 - beta) * (p - 1) * m ** (p - 2) - mu
        assert slope[0] > 0 > slope[1]
        v = in_coordinates(gram)
        w = np.linalg.solve(v, m)
        for u in np.linalg.svd(w[None])[2][1:]:
            nu = v @ u
            assert abs(nu @ m ** (p - 1)) < 1e-9
            form = -p / (1 - beta) * (np.sum(slope * nu**2) + mu * c * nu.sum() ** 2)
            direct = q.rate * (u @ u) - np.sum(p * (p - 1) * m ** (p - 2) * nu**2)
            assert abs(form - direct) < 1e-8


def test_asymptotics_of_the_fold():
    for p in (3, 4, 5):
        k = 10**9
        law = (p - 2) / (p - 1) * ((p - 2) * k) ** (-1 / (p - 1))
        assert abs(neighbours.fold(p, k) / law - 1) < 0.02


def test_brute_force_finds_no_other_minimum():
    for p, k in itertools.product((3, 4), (5, 10)):
        c, two = (p - 2) / (k + p - 2), neighbours.fold(p, k)
        for beta in (0.3 * c, 0.8 * c, 1.1 * c, (c + two) / 2, 0.97 * two, 1.15 * two):
            gram = neighbours.equiangular(k, beta)
            flow = neighbours.overlap_flow(
                p, gram, neighbours.random_overlaps(gram, k + 2, 300, seed=1), tolerance=1e-6
            )
            known = neighbours.minima(p, k, beta)
            assert len(known) == (beta > c) + (beta < two)
            ends = np.sort(np.sign(flow.end.sum(1))[:, None] * flow.end)[:, ::-1]
            near = np.min([np.abs(ends - q.overlaps).max(1) for q in known], 0)
            lost = flow.kind == "equator"
            assert (p == 3 or not lost.any()) and near[~lost].max() < 1e-3


# --- where neurons go ----------------------------------------------------------------------------------------------


FRACTIONS = {  # (k, p): beta/beta_c -> share at the average
    (5, 3): {0.95: 0.0, 1.05: 0.001, 1.25: 1.0, 1.5: 1.0, 2.0: 1.0},
    (5, 4): {0.95: 0.0, 1.05: 0.0, 1.25: 1.0, 1.5: 1.0, 2.0: 1.0},
    (10, 3): {0.95: 0.0, 1.05: 0.0, 1.25: 0.003, 1.5: 0.187, 2.0: 1.0},
    (10, 4): {0.95: 0.0, 1.05: 0.0, 1.25: 0.0, 1.5: 0.142, 2.0: 1.0},
}


def test_fractions_at_the_average():
    for (k, p), row in FRACTIONS.items():
        for x, known in row.items():
            gram = neighbours.equiangular(k, x * (p - 2) / (k + p - 2))
            start = neighbours.random_overlaps(gram, 400, 500, seed=3)
            flow = neighbours.overlap_flow(p, gram, start, tolerance=1e-5)
            share, low, high = flow.fraction("average")
            assert low - 0.02 <= known <= high + 0.02
            if x * (p - 2) / (k + p - 2) < 0.9 * neighbours.fold(p, k):  # every index is found
                assert set(range(k)) <= set(flow.winner)


def test_half_of_the_neurons():
    for k, x in ((20, 0.95), (50, 0.80), (100, 0.67)):
        gram = neighbours.equiangular(k, x * neighbours.fold(3, k))
        flow = neighbours.overlap_flow(3, gram, neighbours.random_overlaps(gram, 400, 600, seed=3), tolerance=1e-5)
        assert abs(flow.fraction("average")[0] - 0.5) < 0.06
    for k, known in ((20, 0.15), (50, 0.61), (100, 0.93)):
        gram = neighbours.equiangular(k, 0.85 * neighbours.fold(3, k))
        flow = neighbours.overlap_flow(3, gram, neighbours.random_overlaps(gram, 400, 600, seed=3), tolerance=1e-5)
        assert abs(flow.fraction("average")[0] - known) < 0.05


def test_order_of_overlaps_is_kept():
    gram = neighbours.equiangular(6, 0.15)
    for p in (3, 4):
        start = neighbours.random_overlaps(gram, 50, 200, seed=2)
        flow = neighbours.overlap_flow(p, gram, start, time=3.0)
        assert np.array_equal(np.argsort(flow.end, axis=1), np.argsort(start, axis=1))
