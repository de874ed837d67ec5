"""Gaussian averages and exact moments of features, each against another route."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from meanfield_sgd import Activation, neighbours, simulate
from meanfield_sgd.neighbours._averages import averages, homogeneous
from meanfield_sgd.neighbours._labels import read_task
from meanfield_sgd.neighbours._moments import Population


def put(values):
    return torch.as_tensor(np.asarray(values, dtype=float))


@pytest.mark.parametrize("name", ["tanh", "logistic", "relu", "elu", "relu(y-1/2)", "sin(3*y)", "exp(y/2)", "y + y**2"])
@pytest.mark.parametrize("mean", [None, 0.0, -0.7, 1.3])
def test_averages_against_adaptive_quadrature(name, mean):
    sigma, scales = Activation(name), [0.3, 1.0, 2.5]
    centre = None if mean is None else put([mean] * 3)
    found = averages(sigma, centre, put(scales), 7)
    for row, s in enumerate(scales):
        for order in (0, 1, 3, 6):
            he = np.polynomial.hermite_e.HermiteE.basis(order)
            wanted = average(lambda y, g, he=he: sigma(y) * he(g), mean or 0.0, s, sigma) / math.sqrt(
                math.factorial(order)
            )
            assert float(found.coefficients[row, order]) == pytest.approx(wanted, abs=2e-9)
        wanted = average(lambda y, g: sigma(y) ** 2, mean or 0.0, s, sigma)
        assert float(found.second[row]) == pytest.approx(wanted, rel=1e-9)


def average(function, mean, s, sigma):
    """E f(mean + s g, g), adaptively, cut at the corners of sigma."""
    cuts = sorted({-12.0, 0.0, 12.0, *(min(12.0, max(-12.0, (y - mean) / s)) for y in sigma.breakpoints)})
    density = lambda g: function(mean + s * g, g) * math.exp(-g * g / 2) / math.sqrt(2 * math.pi)  # noqa: E731
    return sum(quad(density, a, b, limit=400, epsabs=1e-11, epsrel=1e-11)[0] for a, b in pairwise(cuts))


def test_large_scales_are_resolved():
    found = averages(Activation("tanh"), None, put([30.0]), 4)
    exact = simulate.hermite_profile("tanh", np.array([30.0]), 4)[0]
    assert np.abs(found.coefficients[0].numpy() - exact).max() < 1e-8


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", (0.5, 0.5, 0.0)),
        ("abs", (0.0, 1.0, 0.0)),
        ("leaky_relu(y, 1/10)", (0.55, 0.45, 0.0)),
        ("2*relu(y) - 1/4", (1.0, 1.0, -0.25)),
        ("relu(y) + y**2", None),
        ("elu", None),
        ("relu(y-1)", None),
        ("tanh", None),
    ],
)
def test_piecewise_linear_activations_are_recognised(name, expected):
    found = homogeneous(Activation(name))
    assert found == (None if expected is None else pytest.approx(expected))


def mixture(n=12, seed=1):
    return neighbours.SpikedMixture(n, 0.3, 0.9, weight=0.4).draw(np.random.default_rng(seed))


def setting(mix, labels="random", link="relu", k=7, seed=2):
    rng = np.random.default_rng(seed)
    task = read_task(labels, link, 0.0, mix)
    xi = task.direction(mix, rng)
    neurons = put(rng.standard_normal((1, k, mix.dimension)) / math.sqrt(mix.trace))
    return task, None if xi is None else put(xi)[None], neurons


MODELS = ["relu", "tanh", "leaky_relu(y, 1/10) + 1/5", "relu(y-1/4)", 3]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("labels", "link"), [("random", "relu"), ("aligned", "tanh(y+1/2)"), ("classes", "relu")])
def test_moments_against_monte_carlo(model, labels, link):
    mix = mixture()
    task, xi, neurons = setting(mix, labels, link)
    sigma = neighbours.hermite_model("tanh(y+1/2)", model, 0.8) if isinstance(model, int) else Activation(model)
    found = Population([mix], task, xi, neurons).moments(sigma, neurons)
    rng = np.random.default_rng(3)
    products, k = [], neurons.shape[1]
    for _ in range(40):
        x, c = mix.sample(10_000, rng)
        y = task.values(put(x)[None], c[None], xi, [rng])[0].numpy()
        features = sigma(put(x) @ neurons[0].T).numpy() / math.sqrt(k)
        whole = np.column_stack([features, y])
        products.append(np.concatenate([(whole.T @ whole / len(x)).ravel(), features.mean(0)]))
    mean, error = np.mean(products, 0), np.std(products, 0, ddof=1) / math.sqrt(40)
    second = found.second[0].clone()
    if isinstance(model, int):
        second.diagonal().sub_(sigma.noise**2 / k)
    exact = np.block(
        [[second.numpy(), found.cross[0].numpy()[:, None]], [found.cross[0].numpy(), float(found.power[0])]]
    )
    exact = np.concatenate([exact.ravel(), found.mean[0].numpy()])
    assert np.all(np.abs(mean - exact) < 5 * error + 1e-12)


def test_series_agree_with_the_arc_cosine_kernel():
    """A custom ReLU is not recognised as piecewise linear and goes through the Hermite series."""
    plain = Activation.custom(
        torch.relu, lambda y: (y > 0).to(y.dtype), name="plain", breakpoints=[0.0], growth="polynomial"
    )
    mix = mixture(40)
    task, xi, neurons = setting(mix, k=15)
    population = Population([mix], task, xi, neurons)
    closed, series = (population.moments(sigma, neurons) for sigma in (Activation("relu"), plain))
    assert torch.allclose(closed.second, series.second, atol=max(1e-12, series.cut))
    assert torch.allclose(closed.cross, series.cross, atol=max(1e-12, series.cut))
    assert closed.cut == 0.0 < series.cut < 1e-3


def test_the_reported_cut_is_a_bound():
    """Neurons that are nearly parallel: the series converges slowly, and says so."""
    direction = np.zeros(10)
    direction[0] = 1.0
    mix = neighbours.GaussianMixture([1.0], [direction[None]], [[500.0]])
    task, xi, _ = setting(mix)
    neurons = put(np.random.default_rng(0).standard_normal((1, 6, 10)))
    plain = Activation.custom(torch.relu, name="plain", breakpoints=[0.0], growth="polynomial")
    population = Population([mix], task, xi, neurons)
    closed, series = (population.moments(sigma, neurons) for sigma in (Activation("relu"), plain))
    k, off = 6, ~np.eye(6, dtype=bool)
    gap = (closed.second - series.second).abs()[0].numpy()[off].max() * k
    assert 1e-9 < gap <= series.cut


@pytest.mark.parametrize("target", ["z1 + z1*z2", "He3(z1) - 2*z2 + 1/2", "z1*z2*z3"])
def test_polynomial_labels_against_monte_carlo(target):
    mix = neighbours.GaussianMixture.isotropic(6)
    task, xi, neurons = setting(mix, target)
    found = Population([mix], task, xi, neurons).moments(Activation("tanh(y+1/2)"), neurons)
    rng, crosses, powers = np.random.default_rng(4), [], []
    for _ in range(40):
        x, c = mix.sample(20_000, rng)
        y = task.values(put(x)[None], c[None], xi, [rng])[0].numpy()
        crosses.append(Activation("tanh(y+1/2)")(x @ neurons[0].numpy().T).T @ y / len(x) / math.sqrt(7))
        powers.append((y * y).mean())
    for samples, exact in ((crosses, found.cross[0].numpy()), (powers, float(found.power[0]))):
        assert np.all(np.abs(np.mean(samples, 0) - exact) < 5 * np.std(samples, 0, ddof=1) / math.sqrt(40))


def test_means_of_classes_enter():
    rng = np.random.default_rng(5)
    means = rng.standard_normal((2, 8))
    mix = neighbours.GaussianMixture([0.5, 0.5], [np.eye(8)[:2], np.eye(8)[2:4]], [[1.0, 2.0], [3.0, 0.5]], means)
    task, xi, neurons = setting(mix, "classes", k=5)
    for name in ("tanh", "relu"):
        sigma = Activation(name)
        found = Population([mix], task, None, neurons).moments(sigma, neurons)
        x, c = mix.sample(400_000, rng)
        features = sigma(x @ neurons[0].numpy().T) / math.sqrt(5)
        y = np.where(c == 0, -1.0, 1.0)
        assert np.allclose(features.T @ y / len(x), found.cross[0].numpy(), atol=0.008)
        assert np.allclose(features.T @ features / len(x), found.second[0].numpy(), atol=0.01)
        assert np.allclose(found.mean[0].numpy(), features.mean(0), atol=0.008)


def test_error_of_a_readout_is_the_quadratic_form():
    mix = mixture()
    task, xi, neurons = setting(mix)
    found = Population([mix], task, xi, neurons).moments(Activation("relu"), neurons)
    w = torch.linalg.solve(found.second[0], found.cross[0])
    assert float(found.error(0 * w[None])[0]) == pytest.approx(float(found.power[0]) / 2)
    best = float(found.error(w[None])[0])
    assert 0 < best < float(found.error(w[None] + 0.1)[0])
    assert best == pytest.approx(0.5 * float(found.power[0] - found.cross[0] @ w))
