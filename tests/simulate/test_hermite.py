"""Quadrature, Hermite profiles and the pair kernel, each against an independent route."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import eval_hermitenorm

from meanfield_sgd import Activation, InputError, ToleranceError
from meanfield_sgd.simulate.hermite import (
    ProfileTable,
    arccosine_kernel,
    arcsine_kernel,
    gauss_hermite,
    hermite_functions,
    hermite_profile,
    pair_kernel,
    pair_kernel_quadrature,
)

SMOOTH = [
    "tanh",
    "tanh(y+1/2)",
    "erf",
    "logistic",
    "softplus",
    "gelu",
    "silu",
    "3/5*sin(y) + 4/5*cos(y)",
    "exp",
    "y + y**2/2",
]
KINKED = ["relu", "leaky_relu(y, 1/10)", "elu", "relu(y+1/2)", "relu(y-1) + tanh"]


def test_gauss_hermite_integrates_moments():
    for n in (1, 2, 7, 40, 400, 1000):
        x, w = gauss_hermite(n)
        assert np.all(np.isfinite(x)) and np.all(np.isfinite(w)) and w.sum() == pytest.approx(1, abs=1e-14)
        for k in range(0, min(2 * n, 20), 2):
            assert w @ x**k == pytest.approx(math.prod(range(1, k, 2)), rel=1e-11)
    for n in (0, 1001):
        with pytest.raises(InputError):
            gauss_hermite(n)


def test_hermite_functions_are_the_normalised_polynomials_and_orthonormal():
    g = np.linspace(-4, 4, 9)
    he = hermite_functions(12, g)
    for k in range(12):
        np.testing.assert_allclose(he[k], eval_hermitenorm(k, g) / math.sqrt(math.factorial(k)), rtol=1e-12, atol=1e-12)
    x, w = gauss_hermite(60)
    basis = hermite_functions(40, x)
    np.testing.assert_allclose((basis * w) @ basis.T, np.eye(40), atol=1e-11)


@pytest.mark.parametrize("text", SMOOTH + KINKED)
@pytest.mark.parametrize("r", [0.0, 0.3, 1.0, 2.5])
def test_profiles_against_adaptive_quadrature(text, r):
    activation = Activation(text)
    profile = hermite_profile(activation, r, 7)
    slopes = hermite_profile(activation, r, 7, derivative=True) if r > 0 or not activation.breakpoints else None
    points = sorted({float(b) / r for b in activation.breakpoints} if r > 0 else set())
    points = [p for p in points if abs(p) < 30]
    for k in range(7):
        for values, function in ((profile, activation), (slopes, activation.derivative)):
            if values is None:
                continue

            def integrand(g, function=function, k=k):
                density = math.exp(-g * g / 2) / math.sqrt(2 * math.pi)
                return (
                    float(function(np.float64(r * g))) * eval_hermitenorm(k, g) / math.sqrt(math.factorial(k)) * density
                )

            exact = quad(integrand, -30, 30, points=points or None, epsabs=1e-13, epsrel=1e-13, limit=400)[0]
            assert values[k] == pytest.approx(exact, abs=3e-12 * (1 + abs(exact)))


@pytest.mark.parametrize("text", SMOOTH + KINKED)
def test_stein_relations_between_b_and_d(text):
    """B_k = r D_(k-1)/sqrt k, which the engines rely on and the quadrature above does not."""
    r = np.array([0.2, 1.0, 3.0])
    b, d = hermite_profile(text, r, 30), hermite_profile(text, r, 30, derivative=True)
    k = np.arange(1, 30)
    np.testing.assert_allclose(
        b[:, 1:], r[:, None] * d[:, :-1] / np.sqrt(k), rtol=1e-11, atol=1e-11 * (1 + np.abs(b).max())
    )


def test_profiles_in_closed_form():
    r = np.linspace(0, 4, 9)
    # relu: B_0 = r/sqrt(2 pi), B_1 = r/2, B_2 = r/(2 sqrt(pi)), odd orders >= 3 vanish
    profile = hermite_profile("relu", r, 8)
    np.testing.assert_allclose(profile[:, 0], r / math.sqrt(2 * math.pi), atol=1e-13)
    np.testing.assert_allclose(profile[:, 1], r / 2, atol=1e-13)
    np.testing.assert_allclose(profile[:, 2], r / (2 * math.sqrt(math.pi)), atol=1e-13)
    assert np.all(profile[:, 3::2] == 0.0)
    # exp: B_k = exp(r^2/2) r^k/sqrt(k!)
    profile = hermite_profile("exp", r[:6], 8)
    exact = np.exp(r[:6, None] ** 2 / 2) * r[:6, None] ** np.arange(8) / np.sqrt([math.factorial(k) for k in range(8)])
    np.testing.assert_allclose(profile, exact, rtol=1e-11, atol=1e-12)
    # sin: B_k = +-exp(-r^2/2) r^k/sqrt(k!) for odd k
    profile = hermite_profile("sin", r, 6)
    np.testing.assert_allclose(profile[:, 3], -np.exp(-(r**2) / 2) * r**3 / math.sqrt(6), atol=1e-13)


def test_odd_polynomials_at_large_radii():
    assert np.all(hermite_profile("y**3", np.array([24.0, 40.0]), 1) == 0.0)
    np.testing.assert_allclose(
        hermite_profile("y**3 + y**2", 24.0, 4), [576, 3 * 24**3, 576 * math.sqrt(2), 24**3 * math.sqrt(6)], rtol=1e-12
    )


def test_orders_that_vanish_by_parity_are_exactly_zero():
    for text, zero in (
        ("tanh", slice(0, None, 2)),
        ("erf", slice(2, None, 2)),
        ("cos", slice(1, None, 2)),
        ("gelu", slice(3, None, 2)),
    ):
        assert np.all(hermite_profile(text, np.array([0.4, 1.7]), 14)[:, zero] == 0.0)


@pytest.mark.parametrize(
    "text", ["tanh(y+1/2)", "gelu", "softplus", "3/5*sin(y) + 4/5*cos(y)", "erf", "relu", "elu", "relu(y+1/2)"]
)
def test_table_interpolates(text):
    table = ProfileTable(text, 40, r_max=1.0)
    r = np.random.default_rng(1).uniform(0.0, 6.0, 200)  # beyond r_max: it grows
    r[:5] = 1e-5, 1e-4, 1e-3, 2e-3, 3e-3  # in the first interval, where the slope at 0 matters
    b0, d = table(r)
    assert d.shape == (200, 41)
    np.testing.assert_allclose(b0, hermite_profile(text, r, 1)[:, 0], atol=1e-9)
    accuracy = 1e-6 if any(Activation(text).breakpoints) else 1e-9  # a kink off 0: features of width 1/k at small radii
    np.testing.assert_allclose(d, hermite_profile(text, r, 41, derivative=True), atol=accuracy)


def weights(rng, n, d, scale=1.0):
    w = rng.normal(size=(n, d)) * scale / math.sqrt(d)
    w[0] = 0.0
    return w


@pytest.mark.parametrize("text", SMOOTH)
def test_pair_kernel_against_quadrature(text):
    rng = np.random.default_rng(2)
    w, v = weights(rng, 4, 3), weights(rng, 3, 3, 1.5)
    v[1] = 1.3 * w[2]  # parallel
    v[2] = -0.7 * w[3]  # antiparallel
    series = pair_kernel(text, w, v)
    np.testing.assert_allclose(series, pair_kernel_quadrature(text, w, v), atol=1e-10 * (1 + np.abs(series).max()))


def test_pair_kernel_against_the_closed_forms():
    rng = np.random.default_rng(3)
    w, v = weights(rng, 30, 5), weights(rng, 20, 5, 2.0)
    np.testing.assert_allclose(pair_kernel("erf", w, v), arcsine_kernel(w, v), atol=1e-10)
    np.testing.assert_allclose(pair_kernel("exp", w, v), np.exp(np.sum((w[:, None] + v) ** 2, -1) / 2), rtol=1e-10)
    plus, minus = np.sum((w[:, None] + v) ** 2, -1), np.sum((w[:, None] - v) ** 2, -1)
    np.testing.assert_allclose(pair_kernel("sin", w, v), (np.exp(-minus / 2) - np.exp(-plus / 2)) / 2, atol=1e-10)
    np.testing.assert_allclose(pair_kernel("y", w, v), w @ v.T, atol=1e-10)
    # relu away from parallel: the series reaches 1e-10 when the cosine is below about 0.9
    w, v = np.eye(4)[:3] * 1.7, np.array([[0.3, -0.4, 0.2, 0.9], [0.5, 0.5, -0.5, 0.2]])
    np.testing.assert_allclose(pair_kernel("relu", w, v), arccosine_kernel(w, v), atol=1e-10)


def test_quadrature_handles_kinks_to_1e_10():
    rng = np.random.default_rng(4)
    w, v = weights(rng, 4, 3), weights(rng, 3, 3)
    v[1] = 1.3 * w[2]
    v[2] = w[3] + 1e-4 * rng.normal(size=3)
    np.testing.assert_allclose(pair_kernel_quadrature("relu", w, v), arccosine_kernel(w, v), atol=1e-10)
    np.testing.assert_allclose(pair_kernel_quadrature("erf", w, v), arcsine_kernel(w, v), atol=1e-10)


@pytest.mark.parametrize("angle", [0.3, 0.1, 0.03, 0.01, 0.003, 1e-4, 1e-7])
def test_quadrature_of_kinks_at_small_angles(angle):
    w, v = [[1.0, 0.0]], [[1.3 * math.cos(angle), 1.3 * math.sin(angle)]]
    np.testing.assert_allclose(pair_kernel_quadrature("relu", w, v), arccosine_kernel(w, v), atol=1e-12)
    np.testing.assert_allclose(pair_kernel_quadrature("abs", w, np.negative(v)), arccosine_abs(w, v), atol=1e-12)


def arccosine_abs(w, v):
    """E|w.x||v.x| = |w||v| 2/pi (sin t + (pi/2 - t) cos t), t the angle in [0, pi/2]."""
    norm = np.linalg.norm(w) * np.linalg.norm(v)
    c = abs(float(np.dot(w[0], v[0]))) / norm
    t = math.atan2(math.sqrt(max(0.0, 1 - c * c)), c)
    return np.array([[norm * 2 / math.pi * (math.sin(t) + (math.pi / 2 - t) * c)]])


def test_overflow_is_refused_without_warnings(recwarn):
    with pytest.raises(ToleranceError, match="overflow"):
        hermite_profile("exp", 60.0, 3)
    assert not recwarn.list


def test_refusals():
    with pytest.raises(ToleranceError, match="arccosine_kernel"):
        pair_kernel("relu", [[1.0, 0.0]], [[1.0, 1e-3]])
    with pytest.raises(InputError, match="different spaces"):
        pair_kernel("tanh", np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(InputError, match="radii"):
        hermite_profile("tanh", -1.0)
    with pytest.raises(InputError, match="orders"):
        hermite_profile("tanh", 1.0, 0)
    with pytest.raises(InputError, match="finite"):
        pair_kernel("tanh", [np.nan], [1.0])
    with pytest.raises(ToleranceError, match="norm"):
        ProfileTable("tanh", 8)(np.array([1e3]))
