"""Activations: values against mpmath, jets against closed forms and high-precision Taylor series, parity against
Gaussian averages (an independent route to which orders count), text against itself, and what bad input gets."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
import warnings
from fractions import Fraction
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import roots_legendre

from meanfield_sgd.activation import Activation
from meanfield_sgd.errors import InputError, ParseError

ODD, EVEN, ALL = {1, 3, 5, 7}, {2, 4, 6}, {1, 2, 3, 4, 5, 6, 7}

# {k <= 7: sigma^(k) is not odd}
ROWS = [
    ("tanh", ODD),
    ("erf", ODD),
    ("logistic", ODD),
    ("sin", ODD),
    ("cos", EVEN),
    ("gaussian", EVEN),
    ("abs", EVEN),
    ("exp", ALL),
    ("elu", ALL),
    ("elu(y, 2)", ALL),
    ("tanh(y + 1/2)", ALL),
    ("tanh(y - 3)", ALL),
    ("erf(2*y + 1/2)", ALL),
    ("3/5*sin(y) + 4/5*cos(y)", ALL),
    ("softplus", {1} | EVEN),
    ("gelu", {1} | EVEN),
    ("silu", {1} | EVEN),
    ("relu", {1} | EVEN),
    ("leaky_relu", {1} | EVEN),
    ("leaky_relu(y, 1/10)", {1} | EVEN),
    ("leaky_relu(y, -1)", EVEN),
    ("leaky_relu(y, 1)", {1}),
    ("y**2", {2}),
    ("y + y**2/2", {1, 2}),
    ("y + y**2/2 + y**3/6", {1, 2, 3}),
    ("y + y**3", {1, 3}),
    ("3", set()),
    ("0", set()),
    # sums whose parity is not that of their terms
    ("softplus(y) - y/2", EVEN),
    ("gelu(y) - gelu(-y)", {1}),
    ("silu(y) + silu(-y)", EVEN),
    ("logistic(y) - 1/2", ODD),
    ("tanh(y + 1/2) + tanh(y - 1/2)", ODD),
    ("tanh(y + 1/2) - tanh(y - 1/2)", EVEN),
    ("relu(y) + relu(-y)", EVEN),
    ("relu(y) - relu(-y)", {1}),
    ("relu(y + 1) - relu(-y - 1)", {1}),
    ("exp(y) + exp(-y)", EVEN),
    ("exp(y + 1) - exp(1 - y)", ODD),
    ("elu(y) - elu(-y)", ODD),
    ("y*tanh(y)", EVEN),
    ("y*cos(y) + y**4", ODD | {2, 4}),
    ("y**2*softplus(y)", {1, 3} | EVEN),
    ("sin(y + 1) + sin(y - 1)", ODD),
    ("tanh + relu", ODD | EVEN),
    ("tanh(sqrt(2)*y) - 2*y**2", ODD | {2}),
]

NAMED = {
    "tanh": mp.tanh,
    "erf": lambda y: mp.erf(y / mp.sqrt(2)),
    "logistic": lambda y: 1 / (1 + mp.exp(-y)),
    "softplus": lambda y: mp.log1p(mp.exp(y)),
    "gelu": lambda y: y * mp.erfc(-y / mp.sqrt(2)) / 2,
    "silu": lambda y: y / (1 + mp.exp(-y)),
    "elu": lambda y: y if y > 0 else mp.expm1(y),
    "elu(y, 3/2)": lambda y: y if y > 0 else 1.5 * mp.expm1(y),
    "sin": mp.sin,
    "cos": mp.cos,
    "exp": mp.exp,
    "gaussian": lambda y: mp.exp(-y * y / 2),
    "relu": lambda y: max(y, mp.mpf(0)),
    "leaky_relu": lambda y: y if y > 0 else y / 100,
    "leaky_relu(y, 1/4)": lambda y: y if y > 0 else y / 4,
    "abs": abs,
    "3 - y + y**3/3": lambda y: 3 - y + y**3 / 3,
}
SLOPES = {
    "tanh": lambda y: mp.sech(y) ** 2,
    "erf": lambda y: mp.sqrt(2 / mp.pi) * mp.exp(-y * y / 2),
    "logistic": lambda y: mp.sech(y / 2) ** 2 / 4,
    "softplus": NAMED["logistic"],
    "gelu": lambda y: mp.erfc(-y / mp.sqrt(2)) / 2 + y * mp.exp(-y * y / 2) / mp.sqrt(2 * mp.pi),
    "silu": lambda y: NAMED["logistic"](y) * (1 + y * NAMED["logistic"](-y)),
    "elu": lambda y: mp.mpf(1) if y > 0 else mp.exp(y),
    "elu(y, 3/2)": lambda y: mp.mpf(1) if y > 0 else 1.5 * mp.exp(y),
    "sin": mp.cos,
    "cos": lambda y: -mp.sin(y),
    "exp": mp.exp,
    "gaussian": lambda y: -y * mp.exp(-y * y / 2),
    "relu": lambda y: mp.mpf(y > 0),
    "leaky_relu": lambda y: mp.mpf(1) if y > 0 else mp.mpf(1) / 100,
    "leaky_relu(y, 1/4)": lambda y: mp.mpf(1) if y > 0 else mp.mpf(1) / 4,
    "abs": mp.sign,
    "3 - y + y**3/3": lambda y: y * y - 1,
}
GRID = np.concatenate([-np.geomspace(1e-6, 1e3, 61)[::-1], [0.0], np.geomspace(1e-6, 1e3, 61), np.linspace(-8, 8, 65)])


# ---- parity ----


@pytest.mark.parametrize(("text", "orders"), ROWS)
def test_orders_that_count(text, orders):
    sigma = Activation(text)
    assert sigma.K_sigma(7) == orders
    assert [sigma.derivative_is_odd(k) for k in range(1, 8)] == [k not in orders for k in range(1, 8)]


@pytest.mark.parametrize(("text", "orders"), ROWS)
def test_orders_that_count_are_those_with_a_gaussian_average(text, orders):
    """k counts exactly when E[sigma(r g) He_k(g)] = r^k E[sigma^(k)(r g)] is not 0 for all r > 0; by quadrature."""
    sigma = Activation(text)
    cuts = sorted({-14.0, 14.0, *(b / r for b in sigma.breakpoints for r in (0.7, 1.3, 2.0))})
    nodes, weights = roots_legendre(60)
    g = np.concatenate([(b - a) / 2 * nodes + (a + b) / 2 for a, b in pairwise(cuts)])
    m = np.concatenate([(b - a) / 2 * weights for a, b in pairwise(cuts)]) * np.exp(-g * g / 2) / math.sqrt(2 * math.pi)
    for k in range(1, 8):
        he = np.polynomial.hermite_e.HermiteE.basis(k)(g) / math.sqrt(math.factorial(k))
        averages = [abs(float(np.sum(m * he * sigma(r * g)))) for r in (0.7, 1.3, 2.0)]
        assert (max(averages) > 1e-6) == (k in orders), (k, averages)


@pytest.mark.parametrize(
    ("text", "even", "odd", "degree"),
    [
        ("tanh", "zero", "non-polynomial", None),
        ("logistic", ("polynomial", 0), "non-polynomial", None),
        ("softplus", "non-polynomial", ("polynomial", 1), None),
        ("cos", "non-polynomial", "zero", None),
        ("tanh(y) - tanh(y) + y**2", ("polynomial", 2), "zero", 2),
        ("relu(y) - relu(-y)", "zero", ("polynomial", 1), 1),
        ("relu(2*y + 1) - relu(-2*y - 1)", ("polynomial", 0), ("polynomial", 1), 1),
        ("gelu(1 - y) - gelu(y - 1)", ("polynomial", 0), ("polynomial", 1), 1),
        ("y**3 - 2", ("polynomial", 0), ("polynomial", 3), 3),
        ("0*tanh", "zero", "zero", 0),
        ("7", ("polynomial", 0), "zero", 0),
    ],
)
def test_parts_and_degree(text, even, odd, degree):
    sigma = Activation(text)
    assert (sigma.even_part, sigma.odd_part, sigma.polynomial_degree) == (even, odd, degree)
    assert sigma.derivative_is_odd(0) == (even == "zero")
    assert sigma.arithmetic == "exact"


EQUAL = [
    ("tanh(y + 1/2) - tanh(-y - 1/2)", "2*tanh(y + 1/2)"),
    ("logistic(2*y)", "1/2 + tanh(y)/2"),
    ("sigmoid(y)", "logistic"),
    ("swish", "y*logistic(y)"),
    ("gelu", "y/2*(1 + erf(y))"),
    ("softplus(y) - softplus(-y)", "y"),
    ("leaky_relu(y, 1/10)", "11/20*y + 9/20*abs(y)"),
    ("leaky_relu(y, 0)", "relu"),
    ("elu(y, 0)", "relu"),
    ("relu(3*y)", "3*relu(y)"),
    ("relu(sqrt(2)*y - sqrt(2))", "sqrt(2)*relu(y - 1)"),
    ("cos(-y - 1)", "cos(y + 1)"),
    ("sin(1 - y)", "-sin(y - 1)"),
    ("tanh(y/(1 + sqrt(2)))", "tanh((sqrt(2) - 1)*y)"),
    ("0.1*y", "y/10"),
    ("He3", "y**3 - 3*y"),
    ("He2(y + 1)", "y**2 + 2*y"),
    ("relu + 0", "relu"),
]
DIFFERENT = [
    ("tanh(y)", "tanh(2*y)"),
    ("tanh(y + 1)", "tanh(y - 1)"),
    ("exp(y + 1)", "exp(y)"),
    ("sin(y + 1)", "sin(y)"),
    ("erf", "tanh"),
    ("elu", "relu"),
    ("relu(y - 1)", "relu(y) - 1"),
    ("gaussian(y)", "gaussian(2*y)"),
    ("gelu", "silu"),
]


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_equal_functions_are_equal(left, right):
    assert Activation(left) == Activation(right)
    assert hash(Activation(left)) == hash(Activation(right))
    np.testing.assert_allclose(
        Activation(left)(GRID[GRID < 30]), Activation(right)(GRID[GRID < 30]), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_different_functions_differ(left, right):
    assert Activation(left) != Activation(right)


# ---- jets ----

JET_TABLE = [
    ("tanh", [0, 1, 0, -2, 0, 16, 0, -272]),
    ("logistic", ["1/2", "1/4", 0, "-1/8", 0, "1/4"]),
    ("sin", [0, 1, 0, -1, 0, 1]),
    ("exp", [1] * 6),
    ("3/5*sin(y) + 4/5*cos(y)", ["4/5", "3/5", "-4/5", "-3/5", "4/5"]),
    ("silu", [0, "1/2", "1/2", 0, "-1/2", 0]),
    ("gaussian", [1, 0, -1, 0, 3, 0, -15]),
    ("y + y**2/2 + y**3/6", [0, 1, 1, 1, 0, 0]),
    ("leaky_relu(y - 1, 1/10)", ["-1/10", "1/10", 0, 0]),
    ("relu(2*y + 1)", [1, 2, 0, 0]),
    ("tanh(2*y)", [0, 2, 0, -16]),
    ("sqrt(2)*y**2", [0, 0, 2 * sp.sqrt(2)]),
]


@pytest.mark.parametrize(("text", "values"), JET_TABLE)
def test_jet_table(text, values):
    assert Activation(text).jet(len(values) - 1) == [sp.Rational(v) if isinstance(v, str) else v for v in values]


def test_jet_of_shifts_is_left_in_closed_form():
    t = sp.tanh(sp.Rational(1, 2))
    assert Activation("tanh(y + 1/2)").jet(3) == [t, 1 - t**2, 2 * t**3 - 2 * t, sp.expand((1 - t**2) * (6 * t**2 - 2))]
    assert Activation("erf(y - 1)").jet(1) == [-sp.erf(sp.sqrt(2) / 2), sp.sqrt(2 / sp.pi) * sp.exp(-sp.Rational(1, 2))]
    assert Activation("softplus").jet(2) == [sp.log(2), sp.Rational(1, 2), sp.Rational(1, 4)]
    assert Activation("sin(y + 1/3)").jet(2)[1] == sp.cos(sp.Rational(1, 3))


def test_jet_of_tanh_to_order_40_by_bernoulli_numbers():
    """tanh^(n)(0) = 2^(n+1) (2^(n+1) - 1) B_{n+1}/(n+1) for odd n."""
    expected = [2 ** (n + 1) * (2 ** (n + 1) - 1) * sp.bernoulli(n + 1) / (n + 1) if n % 2 else 0 for n in range(41)]
    assert Activation("tanh").jet(40) == expected
    assert Activation("logistic").jet(40)[1:] == [s / sp.Integer(2) ** (n + 2) for n, s in enumerate(expected[1:])]
    assert Activation("softplus").jet(41)[2:] == Activation("logistic").jet(40)[1:]


def test_jet_of_erf_and_gelu_to_order_40_by_double_factorials():
    """erf^(2k+1)(0) = +-(2k-1)!! sqrt(2/pi), and y (1 + erf)/2 differentiated by Leibniz."""
    erf = [sp.sqrt(2 / sp.pi) * (-1) ** (n // 2) * sp.factorial2(n - 2) if n % 2 else sp.S(0) for n in range(41)]
    assert Activation("erf").jet(40) == erf
    gelu = Activation("gelu").jet(40)
    assert gelu[:2] == [0, sp.Rational(1, 2)]
    assert gelu[2:] == [n * erf[n - 1] / 2 for n in range(2, 41)]


@pytest.mark.parametrize(
    "text", ["tanh", "erf", "logistic", "softplus", "gelu", "silu", "sin", "cos", "exp", "gaussian"]
)
@pytest.mark.parametrize(("alpha", "beta"), [("1", "0"), ("1", "1/2"), ("-2/3", "3/7"), ("sqrt(2)/2", "-sqrt(3)")])
def test_jet_against_high_precision_taylor_series(text, alpha, beta):
    sigma = Activation(text).shift(beta).scale(alpha)
    with mp.workdps(60):
        a, b = (mp.mpf(sp.N(sp.sympify(c), 60)) for c in (alpha, beta))
        taylor = mp.taylor(lambda y: NAMED[text](a * y + b), 0, 14)
        for k, (s, c) in enumerate(zip(sigma.jet(14), taylor)):
            exact = mp.mpf(sp.N(s, 50))
            assert abs(exact - c * mp.factorial(k)) <= mp.mpf(10) ** -30 * (1 + abs(exact)), k


@pytest.mark.parametrize(
    "text", ["y*tanh(y + 1/2) - 2*y**2*cos(2*y)", "elu(y - 1) + y", "elu(y + 1)", "(1 - y)*relu(y + 2)"]
)
def test_jet_with_polynomial_factors(text):
    sigma = Activation(text)
    y = sp.Symbol("y", real=True)
    expression = sigma.to_sympy(y)
    for k, s in enumerate(sigma.jet(6)):
        assert sp.N(sp.diff(expression, y, k).subs(y, 0), 30) == pytest.approx(sp.N(s, 30), rel=1e-25, abs=1e-25)


def test_jet_numbers_are_exact():
    for text in ("tanh(y + 1/2)", "gelu(y/3 + 1)", "3/5*sin(y) + 0.8*cos(y)", "softplus(sqrt(2)*y)"):
        for s in Activation(text).jet(8):
            assert isinstance(s, sp.Expr)
            assert not s.has(sp.Float)


@pytest.mark.parametrize(
    ("text", "exists"),
    [
        ("relu", 0),
        ("leaky_relu", 0),
        ("abs", 0),
        ("elu", 1),
        ("elu(y, 2)", 0),
        ("y*relu(y)", 1),
        ("y**2*elu", 3),
        ("2*relu(y)+tanh", 0),
    ],
)
def test_jet_stops_at_a_corner(text, exists):
    sigma = Activation(text)
    assert sigma.smoothness == exists
    assert len(sigma.jet(exists)) == exists + 1
    with pytest.raises(InputError, match=f"no derivative of order {exists + 1} at 0"):
        sigma.jet(exists + 1)
    assert len(sigma.shift("1/2").jet(exists + 1)) == exists + 2


def test_jet_order_is_checked():
    for order in (-1, 1.0, True, "3", 10**9):
        with pytest.raises(InputError, match="order must be a whole number"):
            Activation("tanh").jet(order)


# ---- values ----


@pytest.mark.parametrize("text", NAMED)
@pytest.mark.parametrize("library", ["numpy", "torch", "float"])
def test_values_and_derivatives_against_mpmath(text, library):
    """To 8 units in the last place of the value, or of the argument (exp(y) at y = 700 cannot do better)."""
    sigma = Activation(text)
    grid = GRID[GRID < 700] if text == "exp" else GRID
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if library == "numpy":
            values, slopes = sigma(grid), sigma.derivative(grid)
        elif library == "torch":
            values, slopes = (f(torch.from_numpy(grid)).numpy() for f in (sigma, sigma.derivative))
        else:
            values, slopes = ([f(float(y)) for y in grid] for f in (sigma, sigma.derivative))
    eps = 8 * np.finfo(float).eps
    with mp.workdps(40):
        for y, value, slope in zip(grid, values, slopes):
            y = mp.mpf(float(y))
            exact, exact_slope = NAMED[text](y), SLOPES[text](y)
            bend = mp.diff(SLOPES[text], y) if y else mp.mpf(0)
            tiny = mp.mpf(10) ** -300
            assert abs(mp.mpf(float(value)) - exact) <= eps * (abs(exact) + abs(y * exact_slope)) + tiny, y
            assert abs(mp.mpf(float(slope)) - exact_slope) <= eps * (abs(exact_slope) + abs(y * bend)) + tiny, y


@pytest.mark.parametrize("text", ["tanh", "logistic", "softplus", "silu", "elu", "sin", "cos", "relu", "leaky_relu"])
def test_relative_accuracy_near_one_unit_in_the_last_place(text):
    y = np.linspace(-30, 30, 301)[1::2] * 0.97
    with mp.workdps(40):
        exact = np.array([float(NAMED[text](mp.mpf(float(v)))) for v in y])
    np.testing.assert_allclose(Activation(text)(y), exact, rtol=1e-15, atol=0)


@pytest.mark.parametrize("text", [*NAMED, "tanh(y + 1/2) - 2*y*cos(3*y)", "(1 + y)*softplus(-2*y + 1)", "y", "5", "0"])
def test_torch_and_numpy_agree_and_autograd_gives_the_derivative(text):
    sigma = Activation(text)
    y = torch.tensor(np.linspace(-9.01, 9.03, 200).reshape(4, 50), requires_grad=True)
    value = sigma(y)
    assert value.shape == y.shape
    assert value.dtype == torch.float64
    np.testing.assert_allclose(value.detach().numpy(), sigma(y.detach().numpy()), rtol=3e-15, atol=1e-14)
    if value.requires_grad:
        (slope,) = torch.autograd.grad(value.sum(), y, create_graph=True)
        torch.testing.assert_close(slope, sigma.derivative(y), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(slope.detach().numpy(), sigma.derivative(y.detach().numpy()), rtol=1e-12, atol=1e-13)
    else:
        assert not sigma.derivative(y).any()


@pytest.mark.parametrize(
    "text", ["tanh", "erf", "logistic", "softplus", "gelu", "silu", "sin", "gaussian", "tanh(2*y + 1/2)"]
)
def test_autograd_of_the_derivative(text):
    sigma = Activation(text)
    y = torch.tensor([-1000.0, -20.0, -0.7, 0.0, 0.3, 20.0, 1000.0], dtype=torch.float64, requires_grad=True)
    (bend,) = torch.autograd.grad(sigma.derivative(y).sum(), y)
    assert torch.isfinite(bend).all()
    assert torch.autograd.gradcheck(sigma, (y[2:5].detach().requires_grad_(),))
    second = Activation(text).jet(2)[2]
    assert bend[3].item() == pytest.approx(float(second), abs=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_and_shapes_follow_the_input(dtype):
    for text in [*NAMED, "0", "2 + y", "sqrt(2)*gelu(y/3 - 1)"]:
        sigma = Activation(text)
        for f in (sigma, sigma.derivative):
            y = np.linspace(-2, 2, 6, dtype=dtype).reshape(2, 3)
            assert f(y).dtype == dtype and f(y).shape == (2, 3)
            t = torch.from_numpy(y)
            assert f(t).dtype == t.dtype and f(t).shape == (2, 3)
            assert f(y[:0]).shape == (0, 3)
            assert isinstance(f(1), float) and isinstance(f(Fraction(1, 2)), float)
            assert f([1, 2]).dtype == np.float64
            assert f(np.arange(3)).dtype == np.float64
            assert f(torch.arange(3)).dtype == torch.get_default_dtype()
            assert np.shape(f(dtype(0.5))) == ()
            assert f(torch.tensor(0.5)).shape == ()


def test_results_do_not_share_memory_with_the_input():
    for text in ("y", "relu", "abs", "leaky_relu(y, 1)"):
        y = np.ones(3)
        Activation(text)(y)[:] = 7
        assert y.tolist() == [1, 1, 1]


def test_corners_take_the_slope_of_their_left_branch():
    assert Activation("relu").derivative(0.0) == 0
    assert Activation("leaky_relu(y, 1/4)").derivative(0.0) == 0.25
    assert Activation("elu").derivative(0.0) == 1
    assert Activation("relu(1 - y)").derivative(1.0) == 0
    assert Activation("abs").derivative(0.0) == 0


def test_values_that_are_no_numbers_are_refused():
    for bad in ("1", None, 1j, np.array([1j]), ["a"], object(), [[1], [1, 2]], torch.tensor([1j])):
        with pytest.raises(InputError, match="expected real numbers"):
            Activation("tanh")(bad)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda():
    y = torch.linspace(-5, 5, 100, dtype=torch.float64, device="cuda")
    for text in NAMED:
        sigma = Activation(text)
        for f in (sigma, sigma.derivative):
            assert f(y).device == y.device
            torch.testing.assert_close(f(y).cpu(), f(y.cpu()), rtol=1e-14, atol=1e-14)


# ---- simulation facts ----


@pytest.mark.parametrize(
    ("text", "breakpoints", "smoothness", "growth", "distance"),
    [
        ("tanh", (), "analytic", "bounded", math.pi / 2),
        ("logistic", (), "analytic", "bounded", math.pi),
        ("softplus(2*y)", (), "analytic", "polynomial", math.pi / 2),
        ("tanh(y) + tanh(3*y + 1)", (), "analytic", "bounded", math.pi / 6),
        ("erf", (), "analytic", "bounded", math.inf),
        ("gelu", (), "analytic", "polynomial", math.inf),
        ("gelu(y) - gelu(y - 1)", (), "analytic", "bounded", math.inf),
        ("y*gaussian(y)", (), "analytic", "bounded", math.inf),
        ("y*sin(y)", (), "analytic", "polynomial", math.inf),
        ("exp", (), "analytic", "exponential", math.inf),
        ("exp(y) - exp(y)", (), "analytic", "bounded", math.inf),
        ("exp(-y)", (), "analytic", "exponential", math.inf),
        ("y - y", (), "analytic", "bounded", math.inf),
        ("y**2", (), "analytic", "polynomial", math.inf),
        ("relu", (0.0,), 0, "polynomial", 0),
        ("relu(2*y - 1)", (0.5,), 0, "polynomial", 0),
        ("relu(y) - relu(y - 1)", (0.0, 1.0), 0, "bounded", 0),
        ("relu(y + 1) + tanh - relu(y + 1)", (), "analytic", "bounded", math.pi / 2),
        ("elu", (0.0,), 1, "polynomial", 0),
        ("elu(y) - y", (0.0,), 1, "polynomial", 0),
        ("elu(y) - relu(y)", (0.0,), 0, "bounded", 0),
        ("elu(y) - elu(-y) - y", (0.0,), 1, "bounded", 0),
        ("elu(y) + elu(-y)", (0.0,), 2, "polynomial", 0),
        ("elu(y) + exp(-y)", (0.0,), 1, "exponential", 0),
        ("relu(sqrt(2)*y + 1)", (-math.sqrt(0.5),), 0, "polynomial", 0),
    ],
)
def test_smoothness_and_growth(text, breakpoints, smoothness, growth, distance):
    sigma = Activation(text)
    assert sigma.breakpoints == pytest.approx(breakpoints, rel=1e-15)
    assert (sigma.smoothness, sigma.growth) == (smoothness, growth)
    assert sigma.singularity_distance == pytest.approx(distance)


# ---- text, algebra ----

numbers = st.fractions(min_value=-3, max_value=3, max_denominator=6)
affine = st.tuples(numbers.filter(bool), numbers)
named = st.sampled_from([*(name for name in Activation.catalogue()), "leaky_relu(y, -2/3)", "elu(y, 5/2)"])


@st.composite
def activations(draw):
    """Random sums c*(polynomial)*base(alpha*y + beta) + polynomial, built by the methods rather than from text."""
    total = Activation(draw(numbers)) + draw(numbers) * Activation("y**2") + draw(numbers) * Activation("y")
    for _ in range(draw(st.integers(0, 3))):
        alpha, beta = draw(affine)
        factor = draw(st.sampled_from(["1", "1", "1", "y", "sqrt(2)", "1 - y**2"]))
        total = total + draw(numbers) * Activation(factor) * Activation(draw(named)).shift(beta).scale(alpha)
    return total


@given(activations())
@settings(max_examples=60, deadline=None)
def test_text_reads_back_as_the_same_activation(sigma):
    again = Activation(sigma.text)
    assert again == sigma
    assert again.text == sigma.text
    assert Activation(str(sigma)) == Activation(sigma)
    assert pickle.loads(pickle.dumps(sigma)) == sigma == copy.deepcopy(sigma)
    y = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(again(y), sigma(y), rtol=1e-12, atol=1e-12)


@given(activations())
@settings(max_examples=60, deadline=None)
def test_mirror_images_have_the_right_parity(sigma):
    mirrored = sigma.scale(-1)
    assert (sigma + mirrored).odd_part == "zero"
    assert (sigma - mirrored).even_part == "zero"
    assert (sigma + mirrored).even_part == sigma.even_part
    assert (sigma - mirrored).odd_part == sigma.odd_part
    assert sigma - sigma == Activation(0)
    # and the exact answer agrees with samples
    hint = sigma.numeric_parity(radius=3.0)
    assert hint.label == "numeric"
    assert (sigma.odd_part == "zero") == (hint.parity in ("even", "zero"))
    assert (sigma.even_part == "zero") == (hint.parity in ("odd", "zero"))


@given(activations(), affine)
@settings(max_examples=60, deadline=None)
def test_shift_and_scale(sigma, inner):
    c, b = inner
    y = np.linspace(-1.5, 1.5, 31)
    scale = 1 + np.max(np.abs(sigma(np.linspace(-8, 8, 99))))
    np.testing.assert_allclose(sigma.shift(b).scale(c)(y), sigma(float(c) * y + float(b)), rtol=0, atol=1e-12 * scale)
    assert sigma.shift(b).shift(-b) == sigma
    assert sigma.scale(c).scale(1 / c) == sigma
    assert sigma.shift(b).smoothness == sigma.smoothness
    assert sigma.scale(c).K_sigma(6) == sigma.K_sigma(6)
    assert sigma.shift(b).polynomial_degree == sigma.polynomial_degree


def test_printing():
    for text in (
        "tanh",
        "tanh(y + 1/2)",
        "3/5*sin(y) + 4/5*cos(y)",
        "y + y**2/2",
        "relu",
        "leaky_relu(y, 1/10)",
        "-relu(y)",
    ):
        assert Activation(text).text == text
    assert repr(Activation("tanh")) == 'Activation("tanh")'
    assert str(Activation("tanh + relu")) == "tanh(y) + relu(y)"
    assert str(Activation("1 - y*tanh(y/2) + (sqrt(2)-1)*sin")) == "1 - y*tanh(y/2) + (-1 + sqrt(2))*sin(y)"
    assert Activation("tanh(y + 1/2)")._repr_latex_() == r"$\sigma(y) = \tanh{\left(y + \frac{1}{2} \right)}$"


def test_algebra():
    tanh, relu = Activation("tanh"), Activation("relu")
    assert 2 * tanh - tanh == tanh == tanh / 1 == tanh * 3 - 2 * tanh
    assert Fraction(1, 2) * tanh + "0.5*tanh" == tanh
    assert 1 - tanh == Activation("1 - tanh")
    assert np.int64(2) * tanh == tanh + tanh
    assert Activation("y") * relu == Activation("y*relu(y)")
    assert relu.shift("sqrt(2)") == Activation("relu(y + sqrt(2))")
    assert sp.sqrt(2) * tanh == Activation("sqrt(2)*tanh")
    assert tanh != "tanh"
    with pytest.raises(InputError, match="not a sum of named functions"):
        tanh * relu
    with pytest.raises(InputError, match="scaled by 0"):
        tanh.scale(0)
    with pytest.raises(InputError, match="divided by 0"):
        tanh / 0
    for operation in (
        lambda: 0.6 * tanh,
        lambda: tanh.shift(0.5),
        lambda: np.float64(0.5) * tanh,
        lambda: Activation(0.5),
    ):
        with pytest.raises(InputError, match="exact"):
            operation()
    with pytest.raises(TypeError):
        np.ones(3) * tanh


def test_from_a_polynomial():
    polynomial = pytest.importorskip("meanfield_sgd.polynomial").Polynomial
    assert Activation(polynomial("z1 + z1**2/2")) == Activation("y + y**2/2")
    assert Activation(polynomial("sqrt(2)*t**3", variables=["t"])) == Activation("sqrt(2)*y**3")
    with pytest.raises(InputError, match="one variable"):
        Activation(polynomial("z1*z2"))


# ---- bad input ----

BAD = [
    ("", "empty"),
    ("   ", "empty"),
    ("tahn", "did you mean tanh"),
    ("Tanh(y)", "did you mean tanh"),
    ("leakyrelu(y, 1/10)", "did you mean leaky_relu"),
    ("foo(y)", "known are y, abs, cos, elu, erf, exp, gaussian"),
    ("x + 1", "the variable is called y"),
    ("z1", "the variable is called y"),
    ("pi*y", "rational approximation"),
    ("tanh(y**2)", "not of the form a\\*y \\+ b"),
    ("tanh(tanh)", "not of the form"),
    ("tanh(1/2)", "is a constant"),
    ("tanh(0*y + 1)", "is a constant"),
    ("tanh(y)*sin(y)", "column 9: a product of two functions"),
    ("tanh**2", "power of a function"),
    ("1/y", "divide by numbers only"),
    ("y/0", "division by zero"),
    ("y**-1", "negative power"),
    ("y**0.5", "whole number"),
    ("y**y", "whole number"),
    ("y**(10**9)", "degree above 100"),
    ("(((y + 1)**50)**50)**50", "degree above 100"),
    ("He101", "degree above 100"),
    ("tanh(y)*y**60*y**60", "degree 120"),
    ("9**9**9*y", "digits"),
    ("10**400*y", "double precision"),
    ("relu(10**-300*y + 10**300)", "double precision"),
    ("(" * 200 + "y" + ")" * 200, "nested"),
    ("y" + " + y" * 4000, "characters"),
    ("*".join(["(sqrt(2) + sqrt(3) + sqrt(5) + sqrt(7) + y)**20"] * 5), "too much to expand"),
    ("relu(y, 1)", "takes one argument"),
    ("tanh()", "takes one argument"),
    ("leaky_relu(y, y)", "must be a number"),
    ("leaky_relu(y, 1, 2)", "one to 2 arguments"),
    ("sqrt(-1)*y", "negative"),
    ("sqrt(y)", "sqrt takes a number"),
    ("nan", "finite"),
    ("inf*y", "finite"),
    ("1e999*y", "out of range"),
    ("tanh^2", "\\*\\*"),
    ("2y", "2\\*y"),
    ("tanh(y", "never closed"),
    ("__import__('os').system('true')", "quoted text"),
    ("y.__class__", "attributes"),
    ("tanh(y) = 3", "equals"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_text_gets_one_line(text, message):
    with pytest.raises(ParseError, match=message) as caught:
        Activation(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 330


def test_bad_sources():
    for source in (None, object(), b"tanh", [1, 2], float("nan"), True + 0.5):
        with pytest.raises(InputError) as caught:
            Activation(source)
        assert "\n" not in str(caught.value)
    for up_to in (-1, 2.0, "3"):
        with pytest.raises(InputError, match="up_to must be a whole number"):
            Activation("tanh").K_sigma(up_to)


# ---- a user's own ----


def _bump(y):
    return torch.exp(-(y**2)) if isinstance(y, torch.Tensor) else np.exp(-(y**2))


def test_custom_declares_nothing_by_itself():
    sigma = Activation.custom(_bump, name="bump")
    assert (sigma.text, sigma.arithmetic, sigma.breakpoints) == ("bump", "declared", ())
    assert (sigma.growth, sigma.smoothness, sigma.singularity_distance) == (None, None, None)
    for ask in (
        lambda: sigma.jet(0),
        lambda: sigma.even_part,
        lambda: sigma.odd_part,
        lambda: sigma.polynomial_degree,
        lambda: sigma.K_sigma(3),
        lambda: (sigma + Activation("tanh")).odd_part,
    ):
        with pytest.raises(InputError, match=r"Activation\.custom"):
            ask()
    assert sigma.numeric_parity() == sigma.numeric_parity()
    assert (sigma.numeric_parity().parity, sigma.numeric_parity().label) == ("even", "numeric")
    assert sigma.numeric_parity(order=1).parity == "odd"


def test_custom_evaluation_and_autograd():
    sigma = 2 * Activation.custom(_bump, name="bump").scale(3).shift("1/2") + Activation("y**2")
    assert sigma.text == "2*bump(3*y + 3/2) + y**2"
    y = np.linspace(-1, 1, 7)
    t = 3 * (y + 0.5)
    np.testing.assert_allclose(sigma(y), 2 * np.exp(-(t**2)) + y**2, rtol=1e-14)
    np.testing.assert_allclose(sigma.derivative(y), -12 * t * np.exp(-(t**2)) + 2 * y, rtol=1e-13)
    tensor = torch.tensor(y, requires_grad=True)
    (slope,) = torch.autograd.grad(sigma(tensor).sum(), tensor)
    torch.testing.assert_close(slope, sigma.derivative(tensor.detach()))
    assert torch.autograd.gradcheck(sigma.derivative, (tensor,))
    with torch.no_grad():
        torch.testing.assert_close(sigma.derivative(tensor), slope)
    assert sigma(0.25) == pytest.approx(float(sigma(np.array(0.25))))


def test_custom_in_one_library_only():
    only_torch = Activation.custom(torch.tanh, name="th")
    y = np.linspace(-2, 2, 5)
    np.testing.assert_allclose(only_torch(y), np.tanh(y), rtol=1e-15)
    np.testing.assert_allclose(only_torch.derivative(y), 1 - np.tanh(y) ** 2, rtol=1e-12)
    given = Activation.custom(np.sinh, np.cosh, name="sh")
    np.testing.assert_allclose(given.derivative(y), np.cosh(y))
    not_elementwise = Activation.custom(lambda y: y.sum(), name="total")
    with pytest.raises(InputError, match="must act elementwise"):
        not_elementwise(y)
    constant = Activation.custom(lambda y: y.detach() * 0, name="flat")
    with pytest.raises(InputError, match="derivative="):
        constant.derivative(torch.ones(3))


def test_custom_declarations_are_used():
    even = Activation.custom(
        _bump, name="bump", even_part="non-polynomial", odd_part="zero", jet=[1, 0, -2], growth="bounded"
    )
    assert even.K_sigma(6) == {2, 4, 6}
    assert even.polynomial_degree is None
    assert even.scale(-2) == even.scale(2)
    assert even.scale(2).jet(2) == [1, 0, -8]
    assert (even + Activation("tanh")).K_sigma(4) == {1, 2, 3, 4}
    assert (even + Activation("tanh")).jet(2) == [1, 1, -2]
    assert (even + Activation("y")).growth == "polynomial"
    with pytest.raises(InputError, match="even part"):
        (even + Activation("cos")).K_sigma(2)  # they might cancel
    with pytest.raises(InputError, match="odd part"):
        even.shift(1).K_sigma(2)
    with pytest.raises(InputError, match="to order 2"):
        even.jet(3)
    with pytest.raises(InputError, match="only at 0"):
        even.shift(1).jet(1)
    by_order = Activation.custom(_bump, name="bump", jet=lambda k: sp.hermite(k, 0))
    assert by_order.jet(4) == [1, 0, -2, 0, 12]
    cubic = Activation.custom(lambda y: y**3, name="cube", even_part="zero", odd_part=("polynomial", 3))
    assert (cubic.polynomial_degree, cubic.K_sigma(5)) == (3, {1, 3})
    assert (cubic + Activation("y**5")).polynomial_degree == 5
    clipped = Activation.custom(lambda y: y.clip(-1, 1), name="clip", breakpoints=[1, -1], smoothness=0)
    assert (2 * clipped.scale(2)).breakpoints == (-0.5, 0.5)
    assert (clipped.shift(1) + Activation("relu")).breakpoints == (-2.0, 0.0)
    assert clipped.smoothness == 0
    assert pickle.loads(pickle.dumps(Activation.custom(_bump, name="bump") + Activation("y"))).text == "bump(y) + y"


@pytest.mark.parametrize(
    "arguments",
    [
        {"even_part": "none"},
        {"even_part": ("polynomial", 3)},
        {"odd_part": ("polynomial", 2)},
        {"growth": "fast"},
        {"smoothness": -2},
        {"breakpoints": [math.inf]},
        {"breakpoints": [0.5, "a"]},
        {"breakpoints": 0.5},
        {"smoothness": "analytic", "breakpoints": [0.5]},
        {"smoothness": -1},
        {"polynomial_degree": -1},
        {"polynomial_degree": 2, "even_part": "non-polynomial"},
        {"polynomial_degree": None, "even_part": "zero", "odd_part": ("polynomial", 1)},
        {"jet": [0.5]},
        {"name": "two words"},
    ],
)
def test_custom_refuses_unreadable_or_contradictory_declarations(arguments):
    with pytest.raises(InputError) as caught:
        Activation.custom(_bump, **{"name": "bump", **arguments})
    assert "\n" not in str(caught.value)


# ---- what is loaded ----


def test_exact_work_loads_neither_numpy_nor_torch():
    code = (
        "import sys; from meanfield_sgd.activation import Activation as A; a = A('gelu(y + 1/2) - 2*relu(y - 1)'); "
        "a.jet(5); a.K_sigma(5); a.breakpoints; a.growth; a.smoothness; A(str(a)) == a; "
        "A.custom(abs, name='own', jet=[0]).jet(0); "
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'numpy', 'scipy', 'torch'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_numpy_work_does_not_load_torch():
    code = (
        "import sys; from meanfield_sgd.activation import Activation as A; import numpy as np; "
        "[f(np.ones(3)) for n in A.catalogue() for f in (A(n), A(n).derivative)]; A('tanh')(0.5); "
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"


def test_a_custom_function_keeps_the_dtype_of_its_argument():
    import torch

    for function in (lambda y: y > 0, lambda y: 1.0 * (y > 0)):
        step = Activation.custom(function, lambda y: 0 * y, name="step", breakpoints=[0], smoothness=-1)
        y = torch.tensor([-1.0, 2.0], dtype=torch.float64)
        assert step(y).dtype == torch.float64 and step(y).tolist() == [0.0, 1.0]
        assert step(y.numpy()).dtype == np.float64 and step(2) == 1.0
