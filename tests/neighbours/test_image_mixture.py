"""Images as a mixture: what is done to them, who sees which, and what the theory says of them; and the bridge's identities."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from meanfield_sgd import InputError, Polynomial, neighbours
from meanfield_sgd.neighbours import ImageMixture, ImageSet, one_step

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "fashion-mnist"
PIXELS = 25
NAMES = ("dark", "light", "few")


def synthetic(counts=(80, 60), seed=0, shape=(5, 5)) -> ImageSet:
    """Skewed images of two classes with different means and covariances; every image differs from every other."""
    rng = np.random.default_rng(seed)
    rows = []
    for label, count in enumerate(counts):
        mixing = rng.standard_normal((4, PIXELS)) * (1 + label)
        mean = 0.3 + 0.1 * label * np.arange(PIXELS) / PIXELS
        rows.append(mean + 0.1 * (rng.exponential(size=(count, 4)) - 1) @ mixing)
    labels = np.repeat(np.arange(len(counts)), counts)
    return ImageSet(np.concatenate(rows), labels, NAMES, "synthetic", shape)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return synthetic()


@pytest.fixture(scope="module")
def real() -> ImageSet:
    if not REAL.is_dir():
        pytest.skip(f"Fashion-MNIST is not beside the project: no folder {REAL}")
    return neighbours.fashion_mnist("test", folder=REAL).first(4443)


def covariance(rows: np.ndarray) -> np.ndarray:
    return np.cov(rows.T, bias=True)


# ---- the processing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 1.0), (0.5, 0.74), (1.0, 0.9)])
def test_both_classes_are_centred_and_have_the_trace_theta(images, alpha, beta):
    mix = ImageMixture(images, 0, 1, alpha=alpha, beta=beta)
    theta = PIXELS ** (beta * (1 - alpha))
    for rows in (mix.first, mix.second):
        np.testing.assert_allclose(rows.mean(0), 0, atol=1e-13)
        assert np.trace(covariance(rows)) == pytest.approx(theta, rel=1e-12)
    assert mix.rate == pytest.approx(PIXELS ** (beta * alpha)) and mix.trace == pytest.approx(PIXELS + theta)
    assert (mix.dimension, mix.bulk, mix.used, mix.components) == (PIXELS, 1.0, 140, 2)


def test_the_images_are_those_of_the_set_up_to_mean_and_size(images):
    mix = ImageMixture(images, 1, 0)
    for rows, label in ((mix.first, 1), (mix.second, 0)):
        given = images.of(label)
        centred = given - given.mean(0)
        size = math.sqrt(mix.theta / centred.var(0).sum())
        np.testing.assert_allclose(rows, size * centred, atol=1e-12)
    for label, trace in zip((1, 0), mix.traces):
        assert trace == pytest.approx(np.trace(covariance(images.of(label))))


def test_common_centre_scales_the_second_class_with_its_mean(images):
    mix = ImageMixture(images, 0, 1, centre="common")
    means = [images.of(label).mean(0) for label in (0, 1)]
    half = (means[0] - means[1]) / 2
    size = math.sqrt(mix.theta / mix.traces[0])
    np.testing.assert_allclose(mix.first.mean(0), size * half, atol=1e-12)
    np.testing.assert_allclose(mix.second.mean(0), -size * math.sqrt(mix.traces[0] / mix.traces[1]) * half, atol=1e-12)
    assert mix.distance == pytest.approx(np.linalg.norm(half))
    for rows in (mix.first, mix.second):  # the trace is that of the covariance, without the mean
        assert np.trace(covariance(rows)) == pytest.approx(mix.theta)


def test_operator_norm(images):
    mix = ImageMixture(images, 0, 1)
    pooled = (covariance(mix.first) + covariance(mix.second)) / 2
    assert mix.operator_norm == pytest.approx(1 + np.linalg.eigvalsh(pooled)[-1])


def test_fingerprints_tell_sets_apart(images):
    marks = {ImageMixture(images, *pair).fingerprint for pair in ((0, 1), (1, 0))}
    marks |= {ImageMixture(images, 0, 1, **kind).fingerprint for kind in ({"centre": "common"}, {"alpha": 0.5})}
    assert len(marks) == 4
    assert ImageMixture(synthetic(), 0, 1).fingerprint in marks


# ---- the surrogate ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("centre", ["class", "common"])
def test_the_surrogate_has_the_empirical_moments(images, centre):
    mix = ImageMixture(images, 0, 1, centre=centre, beta=0.8)
    other = mix.surrogate()
    for component, rows in enumerate((mix.first, mix.second)):
        np.testing.assert_allclose(other.covariance(component), np.eye(PIXELS) + covariance(rows), atol=1e-10)
        np.testing.assert_allclose(other.means[component], rows.mean(0) if centre == "common" else 0, atol=1e-12)
    assert (other.rate, other.bulk, other.centred) == (mix.rate, mix.bulk, centre == "class")
    np.testing.assert_array_equal(other.weights, [0.5, 0.5])
    assert other.trace == pytest.approx(mix.trace)
    if centre == "class":
        assert other.operator_norm == pytest.approx(mix.operator_norm)


# ---- who sees which image --------------------------------------------------------------------------------------------


def shown(mix: ImageMixture, seed: int, part: str, samples: int, repeat: int = 3) -> list[set[int]]:
    """Which images (of each class) occur in some batches of one run: the noise is taken away by a large scale."""
    split = mix.draw(np.random.default_rng(seed))
    rng = np.random.default_rng(100 + seed)
    found: list[set[int]] = [set(), set()]
    for _ in range(repeat):
        x, c = split.sample(samples, rng, part)
        assert x.shape == (samples, mix.dimension) and np.bincount(c).tolist() == [samples // 2, samples - samples // 2]
        for component, rows in enumerate((mix.first, mix.second)):
            own = x[c == component]
            nearest = ((own[:, None] - rows) ** 2).sum(-1).argmin(1)
            found[component].update(nearest.tolist())
    return found


@pytest.fixture(scope="module")
def loud() -> ImageSet:
    """Images so different from one another that each is recognised through the noise."""
    rng = np.random.default_rng(1)
    count = 40
    rows = 300 * rng.standard_normal((2 * count, PIXELS))
    return ImageSet(rows, np.repeat([0, 1], count), NAMES, "synthetic", (5, 5))


class Loud(ImageMixture):
    """With the images back at their own size, far above the noise."""

    def __init__(self, images: ImageSet, **kinds):
        super().__init__(images, 0, 1, **kinds)
        self.first, self.second = 1e3 * self.first, 1e3 * self.second


@pytest.mark.parametrize("disjoint", [False, True])
def test_no_image_of_the_test_is_trained_on(loud, disjoint):
    mix = Loud(loud, disjoint=disjoint)
    for seed in range(3):
        parts = {part: shown(mix, seed, part, 30, 10) for part in ("step", "readout", "test")}
        for component in (0, 1):
            step, readout, test = (parts[part][component] for part in ("step", "readout", "test"))
            assert not test & (step | readout) and test == set(range(40)) - _train(mix, seed, component)
            assert step | readout == _train(mix, seed, component)
            assert (not step & readout) if disjoint else step == readout
            assert len(test) == 10 and len(step) == (15 if disjoint else 30)


def _train(mix: ImageMixture, seed: int, component: int) -> set[int]:
    split = mix.draw(np.random.default_rng(seed))
    rows = (mix.first, mix.second)[component]
    held = split._pools[component]
    kept = np.concatenate([held["step"], held["readout"]])
    return set(((kept[:, None] - rows) ** 2).sum(-1).argmin(1).tolist())


def test_the_split_is_drawn_anew_for_each_run_and_the_same_for_a_seed(loud):
    mix = Loud(loud)
    tests = [frozenset(shown(mix, seed, "test", 40, 10)[0]) for seed in (0, 0, 1, 2)]
    assert tests[0] == tests[1] and len(set(tests)) == 3


def test_batches_are_drawn_with_replacement_and_with_fresh_noise(loud):
    split = Loud(loud).draw(np.random.default_rng(0))
    x, c = split.sample(400, np.random.default_rng(1), "step")  # 30 images of each class are there
    own = x[c == 0]
    distances = np.sqrt(((own[:, None] - own) ** 2).sum(-1)) + 1e9 * np.eye(len(own))
    twins = distances.min(1)
    assert np.mean(twins < 20) > 0.9 and twins.min() > 1  # again and again the same image, never the same noise


def test_disjoint_batches_use_each_image_once(loud):
    split = Loud(loud, disjoint=True).draw(np.random.default_rng(0))
    x, c = split.sample(30, np.random.default_rng(1), "readout")
    distances = np.sqrt(((x[:, None] - x) ** 2).sum(-1)) + 1e9 * np.eye(len(x))
    assert distances.min() > 100  # the noise has length 5
    with pytest.raises(InputError, match="disjoint batches have at most 30 images here, got samples=32"):
        split.sample(32, np.random.default_rng(1), "step")
    with pytest.raises(InputError, match="disjoint batches have at most 30"):
        one_step("tanh", Loud(loud, disjoint=True), neurons=5, samples=200, labels="classes", seeds=1)


def test_the_noise_is_standard(images):
    mix = ImageMixture(images, 0, 1)
    split = mix.draw(np.random.default_rng(0))
    x, c = split.sample(40_000, np.random.default_rng(1), "test")
    for component in (0, 1):  # the covariance is that of the images of this run's test, and the identity
        wanted = covariance(split._pools[component]["test"]) + np.eye(PIXELS)
        found = covariance(x[c == component])
        assert np.linalg.norm(found - wanted) < 0.05 * np.linalg.norm(wanted)


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 2), {}, "none of these 140 images is of class 2 \\(few\\)"),
        ((0, 7), {}, "label must be a class of synthetic, one of 0 \\(dark\\)"),
        ((1, 1), {}, "two different classes are needed, got 1 twice"),
        ((0, 1), {"centre": "median"}, "centre"),
        ((0, 1), {"alpha": 1.5}, "alpha must be a number in \\[0, 1\\]"),
        ((0, 1), {"beta": True}, "beta must be a number in \\[0, 1\\]"),
        ((0, 1), {"disjoint": "yes"}, "disjoint"),
    ],
)
def test_refusals(images, arguments, options, message):
    with pytest.raises(InputError, match=message):
        ImageMixture(images, *arguments, **options)


def test_refuses_too_few_images_and_other_things():
    with pytest.raises(InputError, match="at least 8 images of each class are needed, got 20 and 7"):
        ImageMixture(synthetic((20, 7)), 0, 1)
    with pytest.raises(InputError, match="images must be an ImageSet"):
        ImageMixture(synthetic().images, 0, 1)
    with pytest.raises(InputError, match="predictions need exact moments"):
        one_step("tanh", ImageMixture(synthetic(), 0, 1), neurons=5, samples=20, labels="classes", predictions=1)


# ---- Fashion-MNIST ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pair", "traces", "distance", "counts"),
    [((0, 1), (42.03, 25.43), 3.21, (452, 429)), ((5, 9), (39.23, 40.47), 3.53, (428, 415))],
)
def test_fashion_mnist_has_the_known_traces(real, pair, traces, distance, counts):
    mix = ImageMixture(real, *pair)
    assert mix.traces == pytest.approx(traces, abs=0.01) and mix.distance == pytest.approx(distance, abs=0.01)
    assert (len(mix.first), len(mix.second)) == counts and mix.theta == 784
    for rows in (mix.first, mix.second):
        assert rows.var(0).sum() == pytest.approx(784)
    assert "fashion-mnist" in repr(mix) and mix.used == sum(counts)


GATES = {"relu": 0.08, "tanh": 0.06, "logistic": 0.015}


@pytest.mark.parametrize("pair", [(0, 1), (5, 9)])
@pytest.mark.parametrize("activation", list(GATES))
def test_hermite_model_on_images_and_on_the_surrogate(real, pair, activation):
    mix = ImageMixture(real, *pair)
    common = {"samples": 500, "labels": "classes", "degrees": 4, "seeds": 5}
    run = one_step(activation, mix, neurons=250, test_samples=600, **common)
    assert abs(run.gap()[0]) <= GATES[activation]
    same = one_step(activation, mix.surrogate(), neurons=150, predictions=2, **common)
    assert abs(same.gap()[0]) <= 0.04
    assert same.predicted.test.mean() == pytest.approx(same.network.test[:2].mean(), rel=0.06)
    if activation != "relu":  # no readout of an odd function does better on centred Gaussian classes
        assert same.network.test.min() > 0.5


def test_means_make_it_easy(real):
    common = {"samples": 500, "labels": "classes", "ridge": 1e-5, "seeds": 2, "test_samples": 500}
    mix = ImageMixture(real, 0, 1, centre="common")
    found = {act: one_step(act, mix, neurons=500, **common).mean()[0] for act in GATES}
    assert max(found.values()) < 0.35 and min(found, key=found.get) == "logistic"


# ---- the bridge to the mean-field flow -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["z1 + z1*z2 + z1*z2*z3", "1/2 + z1 - He3(z2) + z1**2*z3"])
def test_the_mean_gradient_at_any_neuron(text):
    """E[h(x_V) sigma'(f.x) x] = sum_j alpha_j/j! (C_{j+1}[u^j] + j u C_{j-1}[u^{j-1}]), u = f/|f|, by Monte Carlo."""
    target, n, samples = Polynomial(text), 5, 400_000
    f = np.array([0.5, -0.25, 0.375, 0.4, -0.2])
    v = ["1/2", "-1/4", "3/8"]
    r = np.linalg.norm(f)
    t, w = np.polynomial.hermite_e.hermegauss(120)
    slope = w / w.sum() / np.cosh(r * t + 0.3) ** 2
    wanted = np.zeros(n)
    for j in range(target.degree + 2):
        alpha = slope @ np.polynomial.hermite_e.hermeval(t, [0] * j + [1])
        part = np.array(target.hermite_contraction(j + 1, *[v] * j), dtype=float)
        wanted[:3] += alpha / math.factorial(j) / r**j * part
        if j:
            rest = target.expectation() if j == 1 else target.hermite_contraction(j - 1, *[v] * (j - 1))
            wanted += alpha / math.factorial(j - 1) / r**j * float(rest) * f
    x = np.random.default_rng(0).standard_normal((samples, n))
    terms = (target(x[:, :3]) / np.cosh(x @ f + 0.3) ** 2)[:, None] * x
    misses = (terms.mean(0) - wanted) / (terms.std(0) / math.sqrt(samples))
    assert np.abs(misses).max() < 4


def test_only_c1_is_seen_from_a_small_neuron():
    """With f of length 1 and nothing in V, what is left is lambda_1 C_1: the other Hermite orders are invisible."""
    from meanfield_sgd import simulate

    target = Polynomial("2*z1 - z2 + z1*z2 + He3(z2)")
    samples, f = 600_000, np.array([0, 0, 0.6, 0.8])
    x = np.random.default_rng(2).standard_normal((samples, 4))
    terms = (target(x[:, :2]) / np.cosh(x @ f + 0.5) ** 2)[:, None] * x
    lam = simulate.hermite_profile("tanh(y+1/2)", np.array([1.0]), 2)[0, 1]
    error = terms.std(0) / math.sqrt(samples)
    assert np.abs((terms.mean(0) - lam * np.array([2, -1, 0, 0])) / error).max() < 4


def test_a_step_is_an_euler_step_of_the_mean_field_flow():
    """F + eta G with w = a / sqrt k is F + (eta / k) a E[(y - f) sigma' x], f = mean of a sigma."""
    import torch

    from meanfield_sgd import Activation
    from meanfield_sgd.neighbours._step import gradient

    rng, k, n, m = np.random.default_rng(3), 7, 6, 20
    F, a, x, y = (rng.standard_normal(shape) for shape in ((k, n), (k,), (m, n), (m,)))
    inner = x @ F.T
    output = np.tanh(inner) @ a / k
    wanted = a[:, None] / k * (((y - output)[:, None] / np.cosh(inner) ** 2).T @ x) / m
    put = [torch.as_tensor(part)[None] for part in (F, a / math.sqrt(k), x, y)]
    np.testing.assert_allclose(gradient(Activation("tanh"), *put)[0].numpy(), wanted, atol=1e-13)


def test_an_odd_activation_cannot_undercut_the_floor_of_an_even_target():
    run = one_step(
        "tanh", neighbours.GaussianMixture.isotropic(60), neurons=120, samples=960, rate=360.0, ridge=1e-3,
        labels="z1 + z1*z2", seeds=3, predictions=0,
    )  # fmt: skip
    assert run.network.test.min() >= 0.5


@pytest.mark.parametrize("labels", ["random", "aligned", "z1"])
def test_images_have_classes_only(labels):
    rng = np.random.default_rng(0)
    images = neighbours.ImageSet(rng.random((40, 9)), np.arange(40) % 2, ("a", "b"), "digits", (3, 3))
    with pytest.raises(InputError, match="classes"):
        neighbours.one_step("tanh", neighbours.ImageMixture(images, 0, 1), neurons=5, samples=5, seeds=1, labels=labels)


def test_constant_images_are_refused():
    images = neighbours.ImageSet(np.ones((40, 9)), np.arange(40) % 2, ("a", "b"), "digits", (3, 3))
    with pytest.raises(InputError, match="all equal"):
        neighbours.ImageMixture(images, 0, 1)
