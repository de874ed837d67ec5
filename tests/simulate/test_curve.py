"""The curve of the flow (4.1): against quadrature in the full space, exact series, exact curves, and itself at more digits."""

from __future__ import annotations

from itertools import product
from math import erf, pi, sqrt

import mpmath
import numpy as np
import pytest
import sympy as sp
from scipy.integrate import solve_ivp
from scipy.special import ndtr

from meanfield_sgd import decide
from meanfield_sgd.errors import DivergenceError, InputError
from meanfield_sgd.polynomial import Polynomial
from meanfield_sgd.simulate import taylor_curve

SHIFTED = "tanh(y+1/2)"
SIN = "3/5*sin(y) + 4/5*cos(y)"
CUBIC = "y + y**2/2 + y**3/6"
CHAIN = "z1 + z1*z2 + z1*z2*z3"
ROTATED = "(3*z1+4*z2)/5 + (3*z1+4*z2)*(-4*z1+3*z2)/25"  # y1 + y1 y2
G1 = "z1 + z1*z2 - 2/3*He3(z1) - 1/2*z1*He2(z2) + z3*(z2 - 1/2*He2(z1))"
G2 = (
    "10/3*z1 - 5/2*z1*z2 + 5*z1*He2(z2) + 5/3*He3(z1) + 5/4*He3(z1)*z2 + 5/4*z1*He3(z2)"
    " + 5/2*z2*z3 - 5/3*He2(z1)*z3 - 5/3*He2(z2)*z3"
)
SLOPES = {
    SHIFTED: lambda y: 1 / np.cosh(y + 0.5) ** 2,
    "softplus": lambda y: 1 / (1 + np.exp(-y)),
    "erf": lambda y: sqrt(2 / pi) * np.exp(-(y**2) / 2),  # the library's erf is erf(y/sqrt 2)
    SIN: lambda y: 0.6 * np.cos(y) - 0.8 * np.sin(y),
    CUBIC: lambda y: 1 + y + y**2 / 2,
    "silu": lambda y: (1 + np.exp(-y) * (1 + y)) / (1 + np.exp(-y)) ** 2,
}


def grid(p, n):
    x, weight = np.polynomial.hermite_e.hermegauss(n)
    return np.array(list(product(x, repeat=p))), np.prod(list(product(weight / sqrt(2 * pi), repeat=p)), axis=1)


def by_quadrature(target, activation, times, n=70):
    """W at times of one sign, by a tensor Gauss-Hermite rule and an integrator of its own."""
    h, slope = Polynomial(target), SLOPES[activation]
    z, weight = grid(h.p, n if h.p < 3 else 24)
    moving = (weight * h(z))[:, None] * z
    found = solve_ivp(
        lambda _, w: slope(z @ w) @ moving, (0, times[-1]), np.zeros(h.p), t_eval=times, rtol=1e-11, atol=1e-13
    )
    return found.y.T


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("target", "activation", "end", "tolerance"),
    [
        ("z1 + z1*z2", SHIFTED, 1.5, 1e-9),
        ("z1 + z1*z2", "softplus", 1.5, 1e-9),
        ("z1 + He2(z1)*z2", "erf", 1.5, 1e-9),
        (ROTATED, SIN, 2.5, 1e-9),
        ("z1 + z1*z2", CUBIC, 0.5, 1e-9),
        ("z1**3 - z2 + z1*z2**2", "silu", 0.5, 1e-9),
        (CHAIN, SIN, 1.0, 1e-9),
    ],
)
def test_against_tensor_quadrature(target, activation, end, tolerance, sign):
    times = sign * end * np.array([0.2, 0.55, 1.0])
    assert np.allclose(
        taylor_curve(target, activation, times), by_quadrature(target, activation, times), atol=tolerance
    )


def test_times_may_come_in_any_order_and_sign():
    times = np.array([0.7, -0.3, 0.0, 0.2, -1.1, 0.7])
    found = taylor_curve("z1 + z1*z2", SHIFTED, times)
    for t, w in zip(times, found):
        assert np.allclose(w, taylor_curve("z1 + z1*z2", SHIFTED, t)[0], atol=1e-13)
    assert not np.any(found[2])
    precise = taylor_curve("z1 + z1*z2", SIN, times, digits=20)
    again = [taylor_curve("z1 + z1*z2", SIN, t, digits=20)[0] for t in times]
    for one, other in zip(precise, again):
        assert all(abs(x - y) < 1e-20 for x, y in zip(one, other))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("target", "activation"),
    [("z1 + z1*z2", "exp"), ("z1 + z1*z2", SIN), (CHAIN, SIN), (ROTATED, SIN), (CHAIN, "y + 2*y**2 + sin(2*y+1)")],
)
def test_against_the_exact_series(target, activation, sign):
    tau, order = sign * 2.0**-12, 12  # what is left out is about 2^(-12 * 13) = 1e-47 times the size of c_13
    with mpmath.workdps(60):
        series = decide.taylor_flow(target, activation, order)
        want = [
            mpmath.fsum(
                mpmath.mpmathify(sp.sympify(c[i]).evalf(60)) * mpmath.mpf(tau) ** j for j, c in enumerate(series, 1)
            )
            for i in range(Polynomial(target).p)
        ]
        (found,) = taylor_curve(target, activation, tau, digits=40)
        assert all(abs(x - y) < mpmath.mpf(10) ** -40 for x, y in zip(found, want))


@pytest.mark.parametrize(
    ("target", "activation", "times"),
    [
        ("z1 + z1*z2", SIN, [1.5, -0.5]),
        ("z1 + z1*z2", "exp", [0.5, -0.5]),
        (G2, SIN, [0.1, -0.1]),
        ("z1**2 + z1", "sin(2*y) + y/2 + exp(-y/2)", [0.3]),
        ("z1 + 1/7*z1**3", "sin(sqrt(2)*y + 1)", [1.0, -1.0]),
    ],
)
def test_digits_agree_with_more_digits_and_with_double(target, activation, times):
    with mpmath.workdps(70):
        forty = taylor_curve(target, activation, times, digits=40)
        sixty = taylor_curve(target, activation, times, digits=60)
        for one, other in zip(forty, sixty):
            assert all(abs(x - y) < mpmath.mpf(10) ** -39 * (1 + abs(y)) for x, y in zip(one, other))
    want = np.array(sixty, dtype=float)
    assert np.abs(taylor_curve(target, activation, times) - want).max() < 1e-13 * max(1, np.abs(want).max())


def test_the_precision_of_others_is_left_alone():
    before = mpmath.mp.dps
    taylor_curve("z1 + z1*z2", SIN, 0.5, digits=60)
    assert mpmath.mp.dps == before


def test_double_precision_up_to_four_units():
    # the docstring's claim: about 1e-13 up to |W| = 4
    times = np.linspace(-1.0, 1.2, 9)
    want = np.array(taylor_curve("z1 + 2*z1*z2", CUBIC, times * 0.55, digits=40), dtype=float)
    assert np.linalg.norm(want, axis=1).max() > 1
    assert np.abs(taylor_curve("z1 + 2*z1*z2", CUBIC, times * 0.55) - want).max() < 1e-13


# ---- exact curves ----


def test_g1_is_a_parabola():
    times = [2.0, -1.0, 0.25]
    for w, t in zip(taylor_curve(G1, CUBIC, times, digits=40), times):
        assert w[0] == t
        assert abs(w[1] - t * t / 2) < mpmath.mpf(10) ** -40
        assert w[2] == 0
    found = taylor_curve(G1, CUBIC, times)
    assert np.allclose(found, [[t, t * t / 2, 0] for t in times], atol=1e-13)


def test_g2_is_a_circle():
    times = np.linspace(-1.5, 1.5, 7)
    found = taylor_curve(G2, SIN, times)
    assert np.abs(found[:, 0] ** 2 + found[:, 1] ** 2 - 2 * found[:, 1]).max() < 1e-13
    assert np.abs(found[:, 2]).max() < 1e-13
    assert np.abs(found).max() > 0.5
    with mpmath.workdps(50):
        for x, y, z in taylor_curve(G2, SIN, [-0.2, 0.2], digits=30):
            assert abs(x * x + y * y - 2 * y) < mpmath.mpf(10) ** -29
            assert abs(z) < mpmath.mpf(10) ** -30


def test_one_variable_in_closed_form():
    # sigma = exp, h = z: W' = (1 + W^2) e^(W^2/2); sigma = sin, h = z: W' = (1 - W^2) e^(-W^2/2), W -> 1
    w = float(taylor_curve("z1", "exp", 0.5)[0, 0])
    time = mpmath.quad(lambda x: mpmath.exp(-x * x / 2) / (1 + x * x), [0, w])
    assert float(time) == pytest.approx(0.5, abs=1e-12)
    with mpmath.workdps(45):
        ((w,),) = taylor_curve("z1", "sin", 0.75, digits=40)
        time = mpmath.quad(lambda x: mpmath.exp(x * x / 2) / (1 - x * x), [0, w])
        assert abs(time - mpmath.mpf(3) / 4) < mpmath.mpf(10) ** -39
    assert taylor_curve("z1", "sin", 60.0)[0, 0] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("activation", [SHIFTED, SIN, "softplus"])
def test_rotations_carry_the_curve_along(activation):
    Q = np.array([[0.6, -0.8], [0.8, 0.6]])  # columns y1, y2
    times = [-1.0, 0.5, 1.5]
    assert np.allclose(
        taylor_curve(ROTATED, activation, times), taylor_curve("z1 + z1*z2", activation, times) @ Q.T, atol=1e-13
    )


def test_scaling_the_target_scales_time():
    one = taylor_curve("z1 + z1*z2", SHIFTED, 1.2)
    assert np.allclose(taylor_curve("3*z1 + 3*z1*z2", SHIFTED, 0.4), one, atol=1e-13)
    assert np.allclose(taylor_curve("-z1 - z1*z2", SHIFTED, -1.2), one, atol=1e-13)


def test_constants_do_not_move_anything():
    assert not np.any(taylor_curve("1", SHIFTED, [1.0, -1.0]))
    assert not np.any(taylor_curve("z1*z2", "y", [1.0]))
    assert all(x == 0 for row in taylor_curve("z1*z2", SIN, [1.0], digits=20) for x in row)
    # a constant term in h* moves weights that are not zero: E[sigma'(W z) z] = W E sigma''
    assert np.abs(taylor_curve("z1 + 1", SHIFTED, 1.0) - taylor_curve("z1", SHIFTED, 1.0)).max() > 1e-3


def test_shifts_of_erf_are_gaussian_averages():
    # h = z, sigma = Phi(y + b): F(W) = E[sigma'(W z) z^2], here as an integral over a fine trapezoidal grid
    x = np.linspace(-12, 12, 6001)
    density = np.exp(-x * x / 2) / sqrt(2 * pi) * (x[1] - x[0])

    def rate(_, w):
        return [np.sum(density * x * x * sqrt(2 / pi) * np.exp(-((w[0] * x + 1 / 3) ** 2) / 2))]

    want = solve_ivp(rate, (0, 2), [0.0], rtol=1e-12, atol=1e-13).y[0, -1]
    assert taylor_curve("z1", "erf(y + 1/3)", 2.0)[0, 0] == pytest.approx(want, abs=1e-10)
    assert erf(1 / sqrt(2)) == pytest.approx(2 * ndtr(1) - 1)


def test_a_shifted_kink():
    # sigma' = 1 on y > -1/2: with y1 along W, an integral over y1 > -1/(2|W|) that Gauss-Legendre does exactly
    x, gauss = np.polynomial.legendre.leggauss(200)
    z2, weight = np.polynomial.hermite_e.hermegauss(8)
    h = Polynomial("z1 + z1*z2")

    def rate(_, w):
        r = np.hypot(*w)
        u = w / r if r > 0 else np.array([1.0, 0.0])
        low = max(-12.0, -0.5 / r) if r > 0 else -12.0
        y = (low + 12) / 2 + (12 - low) / 2 * x
        mass = gauss * (12 - low) / 2 * np.exp(-y * y / 2) / sqrt(2 * pi)
        points = np.array([u * s + np.array([-u[1], u[0]]) * t for s in y for t in z2])
        masses = np.outer(mass, weight / sqrt(2 * pi)).ravel()
        return (masses * h(points)) @ points

    want = solve_ivp(rate, (0, 1.2), np.zeros(2), rtol=1e-9, atol=1e-11).y[:, -1]
    assert abs(want[1]) > 0.01
    assert np.allclose(taylor_curve("z1 + z1*z2", "relu(y + 1/2)", 1.2)[0], want, atol=1e-8)


# ---- the end of a flow ----


@pytest.mark.parametrize("options", [{}, {"digits": 20}])
def test_runaway_is_noticed_where_it_happens(options):
    limit = float(mpmath.quad(lambda x: mpmath.exp(-x * x / 2) / (1 + x * x), [0, 5, 20]))  # h = z, sigma = exp
    with pytest.raises(DivergenceError, match="runs away near tau") as caught:
        taylor_curve("z1", "exp", 2.0, **options)
    assert caught.value.time == pytest.approx(limit, abs=2e-3)
    with pytest.raises(DivergenceError, match=r"near tau = -0\.8"):
        taylor_curve("z1", "exp", -2.0, **options)


@pytest.mark.parametrize(
    ("target", "activation", "power", "digits"),
    [
        ("z1", "y + y**5/120", 4, 40),  # W' = 1 + (5/8) W^4: only every fourth coefficient is there
        ("z1", "y + y**5/120", 4, 30),
        ("z1 + He4(z1)", "y + y**4/24", 3, 17),  # W' = 1 + 4 W^3
        ("z1 + He4(z1)", "y + y**4/24", 3, 40),
        ("z1", "y + y**3/6", 2, 40),  # W' = 1 + (3/2) W^2
    ],
)
def test_series_with_gaps(target, activation, power, digits):
    factor = {4: mpmath.mpf(5) / 8, 3: mpmath.mpf(4), 2: mpmath.mpf(3) / 2}[power]
    with mpmath.workdps(digits + 5):
        for tau in (0.25, 0.5):
            ((w,),) = taylor_curve(target, activation, tau, digits=digits)
            time = mpmath.quad(lambda x: 1 / (1 + factor * x**power), [0, w])
            assert abs(time - tau) < mpmath.mpf(10) ** (1 - digits)
    end = float(mpmath.quad(lambda x: 1 / (1 + factor * x**power), [0, 1, mpmath.inf]))
    with pytest.raises(DivergenceError) as caught:
        taylor_curve(target, activation, 3.0, digits=digits)
    assert caught.value.time == pytest.approx(end, rel=0.02)


@pytest.mark.parametrize("options", [{}, {"digits": 20}])
def test_large_coefficients_are_only_a_faster_clock(options):
    factor = 2.0**13
    want = np.array(taylor_curve("z1 + z1*z2", SIN, 8.0, digits=20), dtype=float)
    found = taylor_curve("8192*z1 + 8192*z1*z2", SIN, 8.0 / factor, **options)
    assert np.allclose(np.array(found, dtype=float), want, atol=1e-12)


def test_a_flow_that_grows_steadily_has_not_run_away():
    assert taylor_curve("z1", "y", 100.0)[0, 0] == pytest.approx(100, rel=1e-12)


# ---- refusals ----


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("z1", "relu", 1.0), {}, "no derivative at 0"),
        (("z1", "abs", 1.0), {}, "no derivative at 0"),
        (("z1", "relu", 1.0), {"digits": 20}, "no derivative at 0"),
        (("z1", SHIFTED, "soon"), {}, "tau must be numbers"),
        (("z1", SHIFTED, 1j), {}, "tau must be numbers"),
        (("z1", SHIFTED, [0.0, float("nan")]), {}, "finite numbers"),
        (("z1", SHIFTED, float("inf")), {}, "finite numbers"),
        (("z1", SHIFTED, [[0.0, 1.0]]), {}, "list of finite numbers"),
        (("z1", SIN, 1.0), {"digits": 5}, "digits must be a whole number, at least 17"),
        (("z1", SIN, 1.0), {"digits": 401}, "at most 400"),
        (("z1", SIN, 1.0), {"digits": 20.5}, "whole number"),
        (("z1", SIN, 1.0), {"digits": "many"}, "whole number"),
        (("z1", SHIFTED, 1.0), {"digits": 20}, "leave digits out"),
        (("z1", "softplus", 1.0), {"digits": 20}, "leave digits out"),
        (("z1", "y*sin(y)", 1.0), {"digits": 20}, "leave digits out"),
        ((None, SIN, 1.0), {}, "target must be"),
        (("z1", 3, 1.0), {}, "activation must be"),
    ],
)
def test_refusals(arguments, options, message):
    with pytest.raises(InputError, match=message):
        taylor_curve(*arguments, **options)
