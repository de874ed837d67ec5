"""Mixtures: their covariances, samples, norms and refusals; the Hermite model and its degree."""

from __future__ import annotations

import math

import numpy as np
import pytest

from meanfield_sgd import InputError, neighbours
from meanfield_sgd.neighbours import GaussianMixture, SpikedMixture, degree_rule, hermite_model


def test_strength_is_shared_between_data_and_step():
    for alpha in (0.0, 0.3, 1.0):
        law = SpikedMixture(200, alpha, 0.74)
        assert law.theta * law.rate == pytest.approx(200**0.74)
    assert SpikedMixture(1000, 0.5, 0.74).theta == pytest.approx(12.88, abs=0.005)


@pytest.mark.parametrize(
    "options", [{}, {"rank": 4, "sizes": "uniform"}, {"alignment": 0.5}, {"weight": 0.2}, {"weight": 0.0}]
)
def test_samples_have_the_covariance(options):
    mix = SpikedMixture(15, 0.2, 0.8, **options).draw(np.random.default_rng(1))
    x, c = mix.sample(200_000, np.random.default_rng(2))
    for component in range(mix.components):
        own = x[c == component]
        covariance = mix.covariance(component)
        assert np.abs(own.T @ own / len(own) - covariance).max() < 6 * np.diag(covariance).max() * math.sqrt(
            2 / len(own)
        )
        v = np.random.default_rng(3).standard_normal((2, 15))
        assert np.allclose(mix.apply(component, v), v @ covariance)
        assert np.trace(covariance) == pytest.approx(mix.trace)
    total = sum(weight * mix.covariance(i) for i, weight in enumerate(mix.weights))
    assert mix.operator_norm == pytest.approx(np.linalg.eigvalsh(total)[-1])
    assert mix.bulk == pytest.approx(math.sqrt(15 / mix.trace))


def test_stratified_counts():
    mix = SpikedMixture(10, weight=0.3).draw(np.random.default_rng(0))
    assert mix.counts(101).tolist() == [30, 71]
    _, c = mix.sample(101, np.random.default_rng(0))
    assert c.tolist() == [0] * 30 + [1] * 71


@pytest.mark.parametrize("a", [-1.0, -0.4, 0.0, 0.7, 1.0])
def test_alignment_is_exact(a):
    mix = SpikedMixture(20, alignment=a, rank=3).draw(np.random.default_rng(1))
    overlaps = mix.directions[0][:1] @ mix.directions[1].T
    assert overlaps[0] == pytest.approx([a, 0, 0], abs=1e-12)
    theta = mix.sizes[0][0]
    single = SpikedMixture(20, alignment=a).draw(np.random.default_rng(1))
    assert single.operator_norm == pytest.approx(1 + theta * (1 + abs(a)) / 2)


def test_operator_norm_without_spikes_and_below_one():
    assert GaussianMixture.isotropic(5).operator_norm == 1.0
    shrunk = GaussianMixture([1.0], [np.eye(4)[:2]], [[-0.5, -0.2]])
    assert shrunk.operator_norm == pytest.approx(1.0)
    all_shrunk = GaussianMixture([1.0], [np.eye(3)], [[-0.5, -0.2, -0.6]])
    assert all_shrunk.operator_norm == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(dimension=10, alpha=1.2), "alpha"),
        (dict(dimension=10, beta=-0.1), "beta"),
        (dict(dimension=10, beta="x"), "beta"),
        (dict(dimension=10, weight=1.5), "weight"),
        (dict(dimension=10, alignment=2), "alignment"),
        (dict(dimension=10, rank=6), "do not fit"),
        (dict(dimension=10, sizes="other"), "sizes"),
        (dict(dimension=1), "dimension"),
    ],
)
def test_bad_laws_are_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        SpikedMixture(**arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([0.5, 0.6], [np.eye(3)[:1]] * 2, [[1.0]] * 2), "sum 1"),
        (([0.5, 0.5], [np.eye(3)[:1]], [[1.0]]), "as many"),
        (([1.0], [np.ones((1, 3))], [[1.0]]), "orthonormal"),
        (([1.0], [np.eye(3)[:1]], [[-1.0]]), "above -1"),
        (([1.0], [np.eye(3)[:2]], [[1.0]]), "one row"),
        (([1.0], [np.eye(3)[:1]], [[1.0]], np.zeros((2, 3))), "means"),
    ],
)
def test_what_is_no_mixture_is_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        GaussianMixture(*arguments)


# ---- the Hermite model -----------------------------------------------------------------------------------------------

TABLE = {
    "relu": ((0.398942, 0.5, 0.199471, 0, -0.016623), (0.301405, 0.106149, 0.106149, 0.068089)),
    "tanh": ((0, 0.605706, 0, -0.060599, 0), (0.165576, 0.165576, 0.073360, 0.073360)),
    "logistic": ((0.5, 0.206621, 0, -0.010399, 0), (0.026207, 0.026207, 0.006158, 0.006158)),
}


@pytest.mark.parametrize("name", TABLE)
def test_table_of_coefficients(name):
    coefficients, noises = TABLE[name]
    assert hermite_model(name, 4).coefficients == pytest.approx(coefficients, abs=1e-6)
    assert [hermite_model(name, degree).noise for degree in (1, 2, 3, 4)] == pytest.approx(noises, abs=1e-6)


def test_relu_in_closed_form():
    model = hermite_model("relu", 4, 0.7)
    root = 1 / math.sqrt(2 * math.pi)
    assert model.coefficients == pytest.approx(0.7 * np.array([root, 0.5, root / 2, 0, -root / 24]), abs=1e-12)
    assert model.noise**2 == pytest.approx(0.49 * (0.5 - root**2 - 0.25 - root**2 / 2 - root**2 / 24), abs=1e-12)


@pytest.mark.parametrize("degree", [0, 1, 3, 8])
def test_model_is_its_hermite_sum(degree):
    model = hermite_model("tanh(y+1/2)", degree, 1.3)
    a = np.linspace(-4, 4, 9)
    wanted = sum(h * np.polynomial.hermite_e.HermiteE.basis(i)(a / 1.3) for i, h in enumerate(model.coefficients))
    assert model(a) == pytest.approx(wanted, abs=1e-11)


def test_a_polynomial_leaves_no_noise():
    assert hermite_model("y + y**2/3", 2, 0.9).noise == pytest.approx(0, abs=1e-7)
    assert hermite_model("y + y**2/3", 1, 1.0).noise == pytest.approx(math.sqrt(2) / 3)


@pytest.mark.parametrize(
    ("alpha", "beta", "labels", "degree"),
    [
        (0.5, 0.0, None, 1),
        (0.5, 0.49, None, 1),
        (0.5, 0.5, None, 2),
        (0.5, 0.74, None, 3),
        (0.0, 0.75, None, 4),
        (0.0, 1.0, None, None),
        (1.0, 0.6, "aligned", 1),  # the paper asks for 2
        (1.0, 0.75, "aligned", 2),
        (1.0, 0.7, "aligned", 1),
        (1.0, 0.8, "aligned", 2),
        (0.5, 0.6, "aligned", 1),
        (0.5, 0.9, "aligned", 5),
        (0.0, 0.65, "aligned", 2),
        (0.0, 0.65, "random", 2),
        (0.5, 0.9, "random", 1),
        (1.0, 0.9, "random", 5),
        (1.0, 1.0, "random", None),
        (0.5, 1.0, "random", 2),
    ],
)
def test_degree_rules(alpha, beta, labels, degree):
    assert degree_rule(alpha, beta, labels) == degree


def test_degree_rule_refuses():
    with pytest.raises(InputError, match="labels"):
        degree_rule(0.5, 0.5, "classes")
    with pytest.raises(InputError, match="beta"):
        degree_rule(0.5, 1.5)


def test_published_curves_have_their_axes():
    for figure in ("1a", "1b", "1c", "2a", "2b", "3a", "3b", "5c", "6", "7b", "8a", "8b"):
        found = neighbours.published(figure)
        assert (
            found.x.ndim == 1 and found.setting and all(curve.shape == found.x.shape for curve in found.curves.values())
        )
    with pytest.raises(InputError, match="'1a'"):
        neighbours.published("9")
