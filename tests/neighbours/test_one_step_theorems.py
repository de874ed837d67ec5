"""The exact statements of the chapter "One gradient step", first half, each by a route of its own: numpy, quadrature, sampling."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from meanfield_sgd.neighbours import (
    GaussianMixture,
    SpikedMixture,
    degree_rule,
    gradient_spike,
    hermite_model,
    one_step,
    ridge_equivalent,
)

ACTIVATIONS = {  # sigma, sigma', M_1, M_2 (0 where sigma'' is no function)
    "relu": (lambda a: np.maximum(a, 0), lambda a: (a > 0) * 1.0, 1.0, None),
    "tanh": (np.tanh, lambda a: 1 / np.cosh(a) ** 2, 1.0, 4 / (3 * math.sqrt(3))),
    "softplus": (lambda a: np.logaddexp(0, a + 0.5), lambda a: 1 / (1 + np.exp(-a - 0.5)), 1.0, 0.25),
}


def grid(points=120):
    """Nodes and weights of E f(g)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    return nodes, weights / weights.sum()


# ---- an experiment of one's own: the step and the readout, in numpy ----


def experiment(name, x1, y1, x2, y2, x3, y3, f, w, eta, ridge, own=True):
    """(test, train) of one step and one readout; ``own``: the network's own output is in the gradient."""
    sigma, slope, *_ = ACTIVATIONS[name]
    (k, m), root = (len(f), len(x1)), math.sqrt(len(f))
    left = y1 - own * sigma(x1 @ f.T) @ w / root
    moved = f + eta * (w[:, None] * ((slope(x1 @ f.T) * left[:, None]).T @ x1)) / (m * root)
    phi, new = sigma(x2 @ moved.T) / root, sigma(x3 @ moved.T) / root
    hat = np.linalg.solve(phi.T @ phi + ridge * m * np.eye(k), phi.T @ y2)
    train = ((y2 - phi @ hat) ** 2).sum() / (2 * m) + ridge / 2 * hat @ hat
    return np.array([((y3 - new @ hat) ** 2).mean() / 2, train])


@pytest.fixture(scope="module")
def data():
    rng, n, m, k = np.random.default_rng(0), 40, 50, 45
    mix = SpikedMixture(n, 0.3, 0.8).draw(rng)
    xs = [mix.sample(size, rng)[0] for size in (m, m, 200)]
    xi = rng.standard_normal(n)
    xi /= np.linalg.norm(xi) * math.sqrt(mix.operator_norm)
    f, w = rng.standard_normal((k, n)) / math.sqrt(mix.trace), rng.standard_normal(k) / math.sqrt(k)
    return mix, xs, xi, f, w


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("c", [0.3, 3.7])
def test_scaling_of_the_labels(data, name, c):
    _, (x1, x2, x3), xi, f, w = data
    y1, y2, y3 = (np.maximum(x @ xi, 0) for x in (x1, x2, x3))
    eta, ridge = 20.0, 3e-3

    def errors(c, c_w, eta, own=True):
        return experiment(name, x1, c * y1, x2, c * y2, x3, c * y3, f, c_w * w, eta, ridge, own)

    plain = errors(1, 1, eta)
    assert errors(c, c, eta / c**2) == pytest.approx(c**2 * plain, rel=1e-9)
    assert errors(c, 1, eta / c, own=False) == pytest.approx(c**2 * errors(1, 1, eta, own=False), rel=1e-9)
    # With the network's own output kept, scaling the labels alone is not exact.
    assert np.abs(errors(c, 1, eta / c) / (c**2 * plain) - 1).max() > 1e-6


def test_normalised_error_is_that_of_labels_of_size_one(data):
    mix, (x1, x2, x3), xi, f, w = data
    root = math.sqrt(mix.operator_norm)
    found = [
        experiment(
            "relu", *(part for x in (x1, x2, x3) for part in (x, np.maximum(x @ d, 0))), f, w, eta, 3e-3, own=False
        )
        for d, eta in ((xi, 20.0), (xi * root, 20.0 / root))
    ]
    assert np.linalg.norm(xi * root) == pytest.approx(1)
    assert mix.operator_norm * found[0] == pytest.approx(found[1], rel=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_effective_ridge_is_lambda_k(data, name):
    _, (_, x, new), xi, f, _ = data
    sigma, (m, k), ridge = ACTIVATIONS[name][0], (len(x), len(f)), 2e-3
    y, a, b = np.maximum(x @ xi, 0), sigma(x @ f.T), sigma(new @ f.T)
    phi = a / math.sqrt(k)
    w = np.linalg.solve(phi.T @ phi + ridge * m * np.eye(k), phi.T @ y)
    v = np.linalg.solve(a.T @ a + ridge * k * m * np.eye(k), a.T @ y)
    assert b @ v == pytest.approx(b @ w / math.sqrt(k), rel=1e-8)
    first = ((y - phi @ w) ** 2).sum() / (2 * m) + ridge / 2 * w @ w
    assert first == pytest.approx(((y - a @ v) ** 2).sum() / (2 * m) + ridge * k / 2 * v @ v, rel=1e-10)


def test_lambda_k_is_what_the_library_feels():
    """At k = m = n normalised errors with lambda k = .1 agree over n; at fixed lambda they do not."""
    kept, fixed = (
        [
            one_step(
                "relu",
                SpikedMixture(n),
                neurons=n,
                samples=n,
                ridge=0.1 / n if scaled else 1e-4,
                seeds=16,
                predictions=0,
            ).mean(normalised=True)[0]
            for n in (80, 240)
        ]
        for scaled in (True, False)
    )
    assert abs(kept[0] / kept[1] - 1) < 0.08
    assert fixed[0] / fixed[1] > 1.25


# ---- the spike, given the batch ----


def batch(seed=1, n=12, m=8):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((m, n)) * np.linspace(2.5, 0.7, n)
    return x, np.maximum(x @ rng.standard_normal(n) / 3, 0) + 0.2, n + 3.0


def exact(name, x, y, trace, k):
    """v tilde and the matrix K, by quadrature (arcsin for ReLU)."""
    slope, m = ACTIVATIONS[name][1], len(x)
    lengths = np.linalg.norm(x, axis=1) / math.sqrt(trace)
    r = np.clip(x @ x.T / np.outer(*[np.linalg.norm(x, axis=1)] * 2), -1, 1)
    if name == "relu":
        c, cov = np.full(m, 0.5), np.arcsin(r) / (2 * math.pi)
    else:
        g, p = grid()
        c = slope(lengths[:, None] * g) @ p
        cov = np.empty((m, m))
        for i, j in product(range(m), repeat=2):
            second = r[i, j] * g[:, None] + math.sqrt(1 - r[i, j] ** 2) * g
            cov[i, j] = p @ (slope(lengths[i] * g)[:, None] * slope(lengths[j] * second)) @ p - c[i] * c[j]
    return (c * y) @ x / (m * math.sqrt(k)), c, cov


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_mean_and_energy_of_the_gradient_given_the_batch(name):
    """E[G | w] = w v^T and E|Delta|_F^2, by sampling rows: given w, the rows of G / w are independent with one law."""
    k, slope = 5, ACTIVATIONS[name][1]
    x, y, trace = batch()
    m, n = x.shape
    v, _, cov = exact(name, x, y, trace, k)
    energy = np.einsum("i,j,ij,ij", y, y, cov, x @ x.T) / (m**2 * k)
    rng = np.random.default_rng(2)
    f, w = rng.standard_normal((40_000, k, n)) / math.sqrt(trace), rng.standard_normal((40_000, k)) / math.sqrt(k)
    inner = (slope(f @ x.T) * y) @ x / (m * math.sqrt(k))
    rows = inner.reshape(-1, n)
    error = rows.std(0) / math.sqrt(len(rows))
    assert np.all(np.abs(rows.mean(0) - v) < 5 * error)
    found = (w[:, :, None] ** 2 * (inner - v) ** 2).sum((1, 2))
    assert abs(found.mean() - energy) < 5 * found.std() / math.sqrt(len(found))
    p = np.ones(n) / math.sqrt(n)
    along = ((w[:, :, None] * (inner - v)) @ p) ** 2
    assert along.sum(1).mean() <= gamma(name, x, y, trace, k) ** 2


def gamma(name, x, y, trace, k):
    m, norm, top = len(x), np.linalg.norm(x, 2), np.abs(y).max()
    if name == "relu":
        r = x @ x.T / np.outer(*[np.linalg.norm(x, axis=1)] * 2)
        return top * norm * math.sqrt(np.linalg.norm(r, 2)) / (2 * m * math.sqrt(k))
    return ACTIVATIONS[name][3] * top * norm**2 / (m * math.sqrt(k * trace))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bounds_of_the_theorem(name, seed):
    k = 7
    x, y, trace = batch(seed)
    (m, n), (sigma, slope, m1, m2) = x.shape, ACTIVATIONS[name]
    v, c, cov = exact(name, x, y, trace, k)
    norm = np.linalg.norm(x, 2)
    if name == "relu":
        r = np.clip(x @ x.T / np.outer(*[np.linalg.norm(x, axis=1)] * 2), -1, 1)
        assert np.linalg.norm(cov, 2) <= np.linalg.norm(r, 2) / 4 + 1e-12
    else:
        assert np.linalg.norm(cov, 2) <= m2**2 * norm**2 / trace
    spread = x.T @ (cov * np.outer(y, y)) @ x / (m**2 * k)
    assert np.linalg.norm(spread, 2) <= gamma(name, x, y, trace, k) ** 2
    rng = np.random.default_rng(seed)
    f, w = rng.standard_normal((2000, k, n)) / math.sqrt(trace), rng.standard_normal((2000, k)) / math.sqrt(k)
    inner = f @ x.T
    delta = w[:, :, None] * ((slope(inner) * y) @ x / (m * math.sqrt(k)) - v)
    constant = 4 + 8 * math.ceil(math.log(n))
    third = gamma(name, x, y, trace, k) + 2 * m1 * norm * np.linalg.norm(y) / (m * k) * math.sqrt(
        constant * (4 * math.log(k) + 2)
    )
    assert math.sqrt((np.linalg.norm(delta, 2, axis=(1, 2)) ** 2).mean()) <= third
    output = np.einsum("rk,rkm->rm", w, sigma(inner)) / math.sqrt(k)
    own = w[:, :, None] * ((slope(inner) * output[:, None]) @ x) / (m * math.sqrt(k))
    g, p = grid()
    lengths = np.linalg.norm(x, axis=1) / math.sqrt(trace)
    fourth = m1**2 * norm**2 * (k + 2) / (m**2 * k**3) * (sigma(lengths[:, None] * g) ** 2 @ p).sum()
    assert (own**2).sum((1, 2)).mean() <= fourth
    if m2 is not None:
        b = math.sqrt(n / trace)
        plain = (slope(b * g) @ p) * (y @ x) / (m * math.sqrt(k))
        fifth = m2 * norm / (m * math.sqrt(k)) * math.sqrt((y**2 * (lengths - b) ** 2).sum())
        assert np.linalg.norm(v - plain) <= fifth


def test_steps_of_the_proof_of_the_bound():
    """The inequalities that part 3 and part 4 are made of, where they are nearly tight."""
    rng = np.random.default_rng(12)
    for k in (1, 5, 40, 300):
        w = rng.standard_normal((20_000, k))
        largest = (w**2).max(1)
        assert (
            largest.mean()
            <= 4 * math.log(math.sqrt(2) * k) + 3 * largest.std() / math.sqrt(20_000)
            <= 4 * math.log(k) + 2.5
        )
        s = rng.standard_normal(k)
        product = (w**2).sum(1) * (w @ s) ** 2 / k**2
        exactly = (k + 2) / k**2 * (s @ s)
        assert abs(product.mean() - exactly) < 6 * product.std() / math.sqrt(20_000)
    n, k = 6, 8  # the inequality for sums of independent positive matrices
    vectors = rng.standard_normal((4000, k, n)) * np.geomspace(1, 0.2, n)
    total = np.einsum("rki,rkj->rij", vectors, vectors)
    left = math.sqrt(np.linalg.norm(total, 2, axis=(1, 2)).mean())
    constant = 4 * (1 + 2 * math.ceil(math.log(n)))
    right = math.sqrt(np.linalg.norm(total.mean(0), 2)) + math.sqrt(constant * (vectors**2).sum(2).max(1).mean())
    assert math.sqrt(np.linalg.norm(total.mean(0), 2)) < left <= right


# ---- length and direction of the spike, and the mean over the data ----


def test_length_and_direction_of_the_spike():
    rng = np.random.default_rng(3)
    mix = SpikedMixture(15, 0.2, 0.8, weight=0.3).draw(rng)
    xi = rng.standard_normal(15)
    xi /= np.linalg.norm(xi) * math.sqrt(mix.operator_norm)
    mean, square = np.zeros(15), 0.0
    for c, weight in enumerate(mix.weights):
        covariance = mix.covariance(c)
        mean += weight / 2 * covariance @ xi
        square += weight / 2 * ((xi @ covariance @ xi) * mix.trace + 2 * ((covariance @ xi) ** 2).sum())
    x, _ = mix.sample(1_000_000, rng)
    y = np.maximum(x @ xi, 0)
    samples = y[:, None] * x
    assert np.all(np.abs(samples.mean(0) - mean) < 5 * samples.std(0) / 1000)
    powers = y**2 * (x**2).sum(1)
    assert abs(powers.mean() - square) < 5 * powers.std() / 1000
    m = 40
    shuffled = samples[np.random.default_rng(4).permutation(len(samples))]  # sample() sorts them by component
    batches = shuffled.reshape(-1, m, 15).mean(1)  # sqrt(k) v
    wanted = mean @ mean + (square - mean @ mean) / m
    lengths = (batches**2).sum(1)
    assert abs(lengths.mean() - wanted) < 5 * lengths.std() / math.sqrt(len(lengths))


def test_gradient_spike_evaluates_these_formulas():
    mix = SpikedMixture(15, 0.2, 0.8, weight=0.3).draw(np.random.default_rng(3))
    found = gradient_spike("relu", mix, neurons=9, samples=40, seeds=[3])
    structure = np.random.Generator(np.random.PCG64(3)).spawn(6)[0]
    xi = structure.standard_normal(15)
    xi /= np.linalg.norm(xi) * math.sqrt(mix.operator_norm)
    mean, square = np.zeros(15), 0.0
    for c, weight in enumerate(mix.weights):
        covariance = mix.covariance(c)
        mean += weight / 2 * covariance @ xi
        square += weight / 2 * ((xi @ covariance @ xi) * mix.trace + 2 * ((covariance @ xi) ** 2).sum())
    length = mean @ mean + (square - mean @ mean) / 40
    assert found.predicted_alignment[0] == pytest.approx(np.linalg.norm(mean) / math.sqrt(length), rel=1e-6)
    assert found.predicted_norm[0] == pytest.approx(0.5 * math.sqrt(length / 9), rel=1e-6)


@pytest.mark.parametrize("ratio", [0.5, 2, 6])
def test_angle_on_isotropic_data_is_one_over_one_plus_two_n_over_m(ratio):
    n = 150
    found = gradient_spike("relu", GaussianMixture.isotropic(n), neurons=5, samples=round(ratio * n), seeds=40)
    assert found.predicted_alignment**2 == pytest.approx(1 / (1 + 2 / ratio), rel=0.02)
    assert (found.alignment**2).mean() == pytest.approx(1 / (1 + 2 / ratio), abs=0.02)


def test_mean_of_the_gradient_over_the_data():
    """tanh network, labels tanh(xi.x + 1/2): A and B by quadrature, the mean by sampling."""
    rng, n, k = np.random.default_rng(5), 8, 4
    mix = SpikedMixture(n, 0.2, 0.9, weight=0.4).draw(rng)
    xi = rng.standard_normal(n) / math.sqrt(n)
    f, w = rng.standard_normal((k, n)) / math.sqrt(n), rng.standard_normal(k)
    slope = ACTIVATIONS["tanh"][1]
    g, p = grid(60)
    wanted = np.zeros((k, n))
    for c, weight in enumerate(mix.weights):
        sigma_c = mix.covariance(c)
        s = math.sqrt(xi @ sigma_c @ xi)
        for i in range(k):
            r = math.sqrt(f[i] @ sigma_c @ f[i])
            cosine = f[i] @ sigma_c @ xi / (r * s)
            label = s * g[:, None] + 0.5
            inner = r * (cosine * g[:, None] + math.sqrt(1 - cosine**2) * g)
            a = p @ (slope(label) * slope(inner)) @ p
            b = p @ (np.tanh(label) * -2 * np.tanh(inner) * slope(inner)) @ p
            wanted[i] += weight * w[i] * (a * sigma_c @ xi + b * sigma_c @ f[i])
    x, c = mix.sample(600_000, rng)
    y = np.tanh(x @ xi + 0.5)
    rows = [w[i] * (y * slope(x @ f[i]))[:, None] * x for i in range(k)]
    error = np.array([row.std(0) for row in rows]) / math.sqrt(len(x))
    assert np.all(np.abs(np.array([row.mean(0) for row in rows]) - wanted) < 5 * error)
    fsigma = f + sum(  # F Sigma = F + sum theta (F gamma) gamma^T
        size * np.outer(f @ row, row) for row, size in zip(mix.directions[0], mix.sizes[0])
    )
    assert f @ mix.covariance(0) == pytest.approx(fsigma)


# ---- the prediction ----


@pytest.mark.parametrize(("m", "k", "ridge"), [(30, 20, 1e-3), (20, 40, 1e-4), (25, 25, 0.3), (5, 60, 1e-2)])
def test_kappa_is_unique_and_bounded(m, k, ridge):
    rng = np.random.default_rng(m)
    a = rng.standard_normal((k, k)) * np.geomspace(1, 1e-3, k)
    s = a @ a.T / k
    q = s @ rng.standard_normal(k)
    power = float(q @ np.linalg.solve(s, q)) + 0.2
    found = ridge_equivalent(s, q, power, m, ridge)
    e, kappa = np.linalg.eigvalsh(s), found.kappa

    def f(t):
        return t * (1 - (e / (e + t)).sum() / m)

    assert f(kappa) == pytest.approx(ridge, rel=1e-9)
    assert ridge < kappa < ridge + e.sum() / m
    values = np.array([f(t) for t in np.geomspace(1e-8, 1e3, 4000)])
    assert np.count_nonzero(np.diff(np.sign(values - ridge))) == 1
    denominator = 1 - (e**2 / (e + kappa) ** 2).sum() / m
    assert ridge / kappa < denominator < 1
    assert found.test >= (power - q @ np.linalg.solve(s, q)) / 2
    more = ridge_equivalent(s, q, power, m, 1.1 * ridge)
    assert more.kappa > kappa
    # Train and test errors belong together: the misfit is E_train - lambda dE_train/dlambda, and (lambda/kappa)^2 E_gen.
    step = 1e-4 * ridge
    up, down = (ridge_equivalent(s, q, power, m, ridge + sign * step).train for sign in (1, -1))
    misfit = found.train - ridge * (up - down) / (2 * step)
    assert misfit == pytest.approx((ridge / kappa) ** 2 * found.test, rel=1e-4)


def test_error_of_a_given_readout():
    """1/2 (Y - 2 w.q + w^T S w) of a Hermite model: its noise is on the diagonal of S."""
    model, rng, k = hermite_model("tanh(y+1/2)", 2), np.random.default_rng(6), 3
    f = rng.standard_normal((k, 5)) / math.sqrt(5)
    w, xi = rng.standard_normal(k), rng.standard_normal(5)
    x = rng.standard_normal((400_000, 5))
    y, clean = np.maximum(x @ xi, 0), model(x @ f.T) / math.sqrt(k)
    noisy = clean + model.noise / math.sqrt(k) * rng.standard_normal(clean.shape)
    s = clean.T @ clean / len(x) + model.noise**2 / k * np.eye(k)
    moments = (np.mean(y**2) - 2 * w @ (clean.T @ y) / len(x) + w @ s @ w) / 2
    direct = (y - noisy @ w) ** 2 / 2
    assert abs(direct.mean() - moments) < 5 * direct.std() / math.sqrt(len(x))


@pytest.mark.parametrize("shift", [0.0, 0.6])
@pytest.mark.parametrize("r", [-0.8, 0.3, 0.9])
def test_tail_of_the_series_of_moments(shift, r):
    g, p = grid()
    scales, orders = (0.8, 1.4), range(9)
    values = [np.tanh(s * g + shift) for s in scales]
    he = [np.polynomial.hermite_e.HermiteE.basis(j)(g) / math.sqrt(math.factorial(j)) for j in orders]
    c = np.array([[p @ (v * h) for h in he] for v in values])
    second = r * g[:, None] + math.sqrt(1 - r * r) * g
    whole = p @ (values[0][:, None] * np.tanh(scales[1] * second + shift)) @ p
    for last in (2, 5, 8):
        left = abs(whole - sum(c[0, j] * c[1, j] * r**j for j in range(last + 1)))
        rest = [p @ v**2 - (row[: last + 1] ** 2).sum() for v, row in zip(values, c)]
        assert left <= abs(r) ** (last + 1) * math.sqrt(rest[0] * rest[1]) + 1e-8


# ---- sizes of labels, and the degree ----


def test_range_of_the_label_scale():
    """E |Sigma| relative to beta = 0, on the same data: flat at alpha = 1/2, rising for tanh at alpha = 0, falling at 1."""

    def normalised(name, alpha, beta):
        law = SpikedMixture(160, alpha, beta)
        found = one_step(name, law, neurons=160, samples=160, ridge=0.1 / 160, seeds=6, predictions=0)
        return found.mean(normalised=True)[0]

    for name in ("relu", "tanh"):
        first = normalised(name, 0.5, 0.0)
        assert normalised(name, 0.0, 0.0) == pytest.approx(first, rel=1e-12)  # theta = eta = 1 in any case
        for alpha, beta, low, high in (
            (0.5, 0.5, 0.98, 1.03),
            (0.5, 1.0, 0.98, 1.08),
            (0.0, 0.5, 0.98, 1.06),
            (1.0, 1.0, 0.75, 0.97),
            (0.0, 1.0, 1.02 if name == "relu" else 1.2, 2.5),
        ):
            assert low < normalised(name, alpha, beta) / first < high


def test_many_spikes_make_larger_labels():
    """E y^2 = xi^T Sigma xi / 2, tr / (2 n |Sigma|) in the mean over xi."""
    rng = np.random.default_rng(7)
    law = SpikedMixture(60, 0.3, 0.9, rank=5, sizes="uniform")
    values, wanted = [], []
    for _ in range(300):
        mix = law.draw(rng)
        total = sum(weight * mix.covariance(c) for c, weight in enumerate(mix.weights))
        xi = rng.standard_normal(60)
        xi /= np.linalg.norm(xi) * math.sqrt(np.linalg.norm(total, 2))
        values.append(xi @ total @ xi / 2 * mix.operator_norm)
        wanted.append(mix.trace / 120)
    assert np.mean(values) == pytest.approx(np.mean(wanted), abs=5 * np.std(values) / math.sqrt(300))


def test_degree_rule_is_the_count_of_the_spikes():
    """l = max(1, floor(1 / (2 min(gamma_1, gamma_2)))) off the edges."""
    rng = np.random.default_rng(8)
    for alpha, beta in rng.random((400, 2)):
        first = (1 - beta * (1 - alpha)) / 2
        for labels, second in (
            ("aligned", 1 - beta),
            ("random", min(1 - beta * (3 * alpha - 1) / 2, 1.5 - beta)),
        ):
            wanted = max(1, math.floor(1 / (2 * min(first, second))))
            assert degree_rule(alpha, beta, labels) == wanted
        assert degree_rule(alpha, beta, "aligned") <= degree_rule(alpha, beta)
    assert all(degree_rule(0, b, "aligned") == degree_rule(0, b) for b in (0.2, 0.4, 0.55, 0.7, 0.9))


def test_degree_rule_at_its_edges():
    """At an edge the inequality is strict: one degree more."""
    for degree in range(1, 6):
        edge = Fraction(degree, degree + 1)
        assert [degree_rule(0, float(edge) + d) for d in (-1e-9, 0, 1e-9)] == [degree, degree + 1, degree + 1]
        edge = Fraction(2 * degree + 1, 2 * degree + 2)
        found = [degree_rule(1, float(edge) + d, "aligned") for d in (-1e-9, 0, 1e-9)]
        assert (
            found
            == [degree, degree + 1, degree + 1]
            == [degree_rule(1, float(edge) + d, "random") for d in (-1e-9, 0, 1e-9)]
        )
