"""The flow (4.1): the listed coefficients, raw moments, an ODE solver; least orders; gaps and what proves them."""

import itertools
from fractions import Fraction

import decide_routes as routes
import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from scipy.integrate import solve_ivp

from meanfield_sgd import Activation, InputError, Polynomial
from meanfield_sgd.decide import decide, reached_subspace, taylor_flow, taylor_span
from meanfield_sgd.decide._jets import jet_of
from meanfield_sgd.decide._ring import generator
from meanfield_sgd.decide._search import Growth, Search
from meanfield_sgd.decide.taylor import default_order

F = Fraction
s1, s2, s3, s4 = sp.symbols("s_1:5")
TURN = [["3/5", "4/5"], ["-4/5", "3/5"]]

# the gap families
G1 = "7/2*z1 + z1*z2 - 2/3*z1**3 - 1/2*z1*z2**2 + z2*z3 + 1/2*z3 - 1/2*z1**2*z3"
G1_IN_HERMITE = "z1 + z1*z2 - 2/3*He3(z1) - 1/2*z1*He2(z2) + z3*(z2 - 1/2*He2(z1))"
CUBIC = "y + y**2/2 + y**3/6"
G2 = "-20/3*z1 - 10*z1*z2 + 5*z1*z2**2 + 5/3*z1**3 + 5/4*(z1**3*z2 + z1*z2**3) + 5/2*z2*z3 + 10/3*z3 - 5/3*(z1**2 + z2**2)*z3"
WAVE = "3/5*sin(y) + 4/5*cos(y)"
TRAP_E = "-4*z1 - 8*z1*z2 + z1**3 + 3*z1*z2**2 + z1**3*z2 + z1*z2**3 + 2*z3 - (z1**2 + z2**2)*z3 + 2*z2*z3"


# ---- the listed coefficients ----

X = s1 * (3 * s1**2 * s4 + 6 * s1 * s2 * s3 + s2**3)
THIRD = s1 * (3 * s1 * s3 + s2**2) / 6
SYMBOLIC = [
    ("z1 + z1*z2", None, [(s1, 0), (0, s1 * s2 / 2), (THIRD, 0), (0, X / 24)]),
    ("z1 + z1*z2*z3", None, [(s1, 0, 0), (0, 0, 0), (s1**2 * s3 / 2, 0, 0), (0, 0, 0)]),
    (
        "z1 + z1*z2 + z1*z2*z3",
        None,
        [(s1, 0, 0), (0, s1 * s2 / 2, 0), (THIRD, 0, 0), (0, X / 24, s1**2 * s2 * s3 / 8)],
    ),
    (
        "z1 + z1*z2",
        TURN,
        [
            (3 * s1 / 5, 4 * s1 / 5),
            (-2 * s1 * s2 / 5, 3 * s1 * s2 / 10),
            (3 * THIRD / 5, 4 * THIRD / 5),
            (-X / 30, X / 40),
        ],
    ),
]


@pytest.mark.parametrize("text, basis, expected", SYMBOLIC)
def test_symbolic_coefficients(text, basis, expected):
    flow = taylor_flow(text, "symbolic", 4, basis=basis)
    for found, wanted in zip(flow.coefficients, expected, strict=True):
        assert [sp.expand(a - b) for a, b in zip(found, wanted, strict=True)] == [0] * len(wanted)
    assert flow.arithmetic == "exact"


def fractions(text):
    return [F(x) for x in text.split()]


ONES = [
    ("z1 + z1*z2", None, {0: "1 0 2/3 0 47/60 0 1399/1260 0", 1: "0 1/2 0 5/12 0 197/360 0 3277/4032"}),
    ("z1 + z1*z2*z3", None, {0: "1 0 1/2 0 17/40 0 731/1680 0", 1: "0 0 0 0 0 0 0 0", 2: "0 0 0 0 0 0 0 0"}),
    (
        "z1 + z1*z2 + z1*z2*z3",
        None,
        {
            0: "1 0 2/3 0 47/60 0 101/90 0",
            1: "0 1/2 0 5/12 0 409/720 0 989/1152",
            2: "0 0 0 1/8 0 3/16 0 37/120",
        },
    ),
    (
        "z1 + z1*z2",
        TURN,
        {
            0: "3/5 -2/5 2/5 -1/3 47/100 -197/450 1399/2100 -3277/5040",
            1: "4/5 3/10 8/15 1/4 47/75 197/600 1399/1575 3277/6720",
        },
    ),
]


@pytest.mark.parametrize("text, basis, expected", ONES)
def test_numbers_for_exp(text, basis, expected):
    columns = [fractions(expected[i]) for i in sorted(expected)]
    for flow in (
        taylor_flow(text, "exp", 8, basis=basis),
        taylor_flow(text, jet=[1] * 8, basis=basis),
        taylor_flow(text, "exp(y) - 7", basis=basis),
    ):
        assert flow.order == 8 and flow.arithmetic == "exact"
        assert flow.coefficients == tuple(zip(*columns))
        assert all(isinstance(x, Fraction) for c in flow.coefficients for x in c)


def test_listed_coefficients_of_the_gap_families():
    flow = taylor_flow(G1, CUBIC, 12)
    assert flow.coefficients == ((1, 0, 0), (0, F(1, 2), 0), *[(0, 0, 0)] * 10)
    assert Polynomial(G1) == Polynomial(G1_IN_HERMITE)
    flow = taylor_flow(G2, WAVE, 12)
    listed = "2 2 -20/3 -34/3 544/15 3244/45 -14456/63 -155074/315"
    for j, value in enumerate(fractions(listed), 1):
        assert flow[j] == ((value, 0, 0) if j % 2 else (0, value, 0))
    assert all(c[2] == 0 for c in flow.coefficients)
    # the circle W1^2 + W2^2 = 2 W2, order by order
    W1, W2 = ([F(0), *(c[i] for c in flow.coefficients)] for i in (0, 1))
    for m in range(13):
        assert sum(W1[i] * W1[m - i] + W2[i] * W2[m - i] for i in range(m + 1)) == 2 * W2[m]


# ---- independent routes ----


@pytest.mark.parametrize("seed", range(3))
def test_raw_moments_on_random_targets(seed):
    rng = routes.generator(70 + seed)
    for _ in range(10):
        p = rng.choice([1, 2, 2, 3])
        terms, order = routes.random_terms(rng, p, 4), 6 if p < 3 else 5
        if rng.random() < 0.3:
            terms[(0,) * p] = F(rng.randint(-3, 3))  # E h matters: raw moments contain it
        jet = [F(0), *(F(rng.randint(-4, 4), rng.randint(1, 3)) for _ in range(order))]
        expected = routes.raw_moment_flow(terms, p, jet, order)
        flow = taylor_flow(Polynomial.from_terms(terms, [f"z{i + 1}" for i in range(p)]), jet=jet[1:], order=order)
        assert list(flow.coefficients) == expected


def test_square_roots_in_jet_and_target():
    """(sqrt 2 s_k) multiplies c_j by sqrt(2)^j; a target times sqrt 3 likewise; mixed roots against the symbolic formula."""
    flow = taylor_flow("z1 + z1*z2", jet=["sqrt(2)"] * 6, order=6)
    for j, (found, plain) in enumerate(zip(flow.coefficients, taylor_flow("z1 + z1*z2", "exp", 6).coefficients), 1):
        assert [sp.expand(x - sp.sqrt(2) ** j * y) for x, y in zip(found, plain)] == [0, 0]
    assert flow.arithmetic == "exact"
    flow = taylor_flow("sqrt(3)*z1 + sqrt(3)*z1*z2", "exp", 6)
    for j, (found, plain) in enumerate(zip(flow.coefficients, taylor_flow("z1 + z1*z2", "exp", 6).coefficients), 1):
        assert [sp.expand(x - sp.sqrt(3) ** j * y) for x, y in zip(found, plain)] == [0, 0]
    jet = dict(zip((s1, s2, s3, s4), (sp.sqrt(2), sp.sqrt(3), 1 + sp.sqrt(2), sp.sqrt(6))))
    flow = taylor_flow("z1 + z1*z2", jet=list(jet.values()), order=4)
    assert sp.expand(flow[3][0] - THIRD.subs(jet)) == 0 and sp.expand(flow[4][1] - (X / 24).subs(jet)) == 0
    assert taylor_flow("z1", "sin(sqrt(2)*y)", 3)[3][0] == sp.Rational(-1, 2) * sp.sqrt(2) ** 5  # (1/2) s1^2 s3


def test_tanh_one_half():
    """Coefficients against sympy's derivatives of tanh at 1/2, as functions of T = tanh(1/2)."""
    y, T = sp.symbols("y T")
    derivatives = [sp.expand(sp.diff(sp.tanh(y), y, k).subs(sp.tanh(y), T)) for k in range(5)]
    jet = dict(zip((s1, s2, s3, s4), derivatives[1:]))
    flow = taylor_flow("z1 + z1*z2", "tanh(y + 1/2)", 4)
    assert flow.arithmetic == "exact" and "tanh(1/2)" in flow.field
    for found, wanted in zip(flow.coefficients, SYMBOLIC[0][2]):
        for a, b in zip(found, wanted):
            assert sp.expand(sp.sympify(a).subs(sp.tanh(sp.Rational(1, 2)), T) - sp.sympify(b).subs(jet)) == 0
            assert T not in sp.sympify(a).free_symbols


JETS = [
    "tanh(y + 1/2)",
    "tanh(y - 1/3) + 2*tanh(y + 1)",
    "sin(y + 1) + cos(2*y)",
    "sin(y + 1/2) + tanh(y - 1)",
    "exp(y/2) + tanh(y + 1/2)",
    "exp(y + 1) + exp(sqrt(2)*y - 1)",
    "softplus",
    "logistic(y + 1/3)",
    "silu(y + 1/2)",
    "gelu",
    "gelu(y + 1/2)",
    "erf(y + 1/2)",
    "gaussian(y - 1)",
    "erf + tanh",
    "sin(y + 1) + sin(3*y + 3)",
    "sin(y + 1) + cos(2*y + 1/2)",
    "sin(y + 1/3) + cos(y/2 - 1/7) + exp(y)",
    "erf(y + 1/2) + erf(y + 1)",
    "elu(y + 1)",
]


@pytest.mark.parametrize("activation", JETS)
def test_jets_by_mpmath(activation):
    """c_1, ..., c_6 of two targets from numerical derivatives of sigma and the raw-moment recursion, 25 digits."""
    function = sp.lambdify(sp.Symbol("y", real=True), Activation(activation).to_sympy(), "mpmath")
    mp.mp.dps = 60
    try:
        jet = [mp.diff(function, 0, k) for k in range(7)]
        for text in ("z1 + z1*z2", "z1 + z1*z2 - He3(z2)/2"):
            h = Polynomial(text)
            expected = routes.raw_moment_flow(dict(h.terms), h.p, jet, 6)
            flow = taylor_flow(h, activation, 6)
            for found, wanted in zip(flow.coefficients, expected):
                for a, b in zip(found, wanted):
                    value = mp.mpf(str(sp.N(sp.sympify(a), 45)))
                    assert abs(value - mp.mpf(b)) <= mp.mpf(10) ** -25 * (1 + abs(mp.mpf(b))), (activation, text)
    finally:
        mp.mp.dps = 15


@pytest.mark.parametrize("activation", [*JETS, "tanh", "erf", "y + sqrt(2)*y**3", "exp(2*y + 1) + cos(y - 1/3)"])
def test_rings_stand_for_the_right_numbers(activation):
    """The jets in which ranks are decided, evaluated at the numbers that their generators stand for, up to alpha beta^k."""
    function = sp.lambdify(sp.Symbol("y", real=True), Activation(activation).to_sympy(), "mpmath")
    found, _ = jet_of(Activation(activation), 9)
    mp.mp.dps = 60
    try:
        expected = [mp.diff(function, 0, k) for k in range(1, 10)]
        values = [mp.mpf(str(x)) for x in Search.numbers(found)[1:]]
        assert len(values) == 9
        for x, y in zip(values, expected):
            assert abs(x - y) <= mp.mpf(10) ** -25 * (1 + abs(y))
    finally:
        mp.mp.dps = 15


@pytest.mark.parametrize(
    "text, activation",
    [("z1 + z1*z2", "tanh(y + 1/2)"), ("z1 + z1*z2 + He2(z2)*z1/3", WAVE), ("5*z1 + 5*z1*z2 + 5*z1*z2*z3", "softplus")],
)
def test_series_against_an_ode_solver(text, activation):
    """W' = E[h sigma'(W . z) z] by quadrature and DOP853: the error of the series is of the next order, from both."""
    h, sigma = Polynomial(text), Activation(activation)
    points, weights = routes.tensor_grid(h.p, 24)
    weighted = (weights * h(points))[:, None] * points
    right = lambda t, W: sigma.derivative(points @ W) @ weighted  # noqa: E731
    order = 7
    flow = taylor_flow(h, sigma, order)
    series = [[float(x) for x in c] for c in flow.coefficients]
    errors = []
    for tau in (0.16, 0.08):
        found = solve_ivp(right, (0, tau), np.zeros(h.p), method="DOP853", rtol=1e-13, atol=1e-15).y[:, -1]
        partial = sum(np.array(c) * tau**j for j, c in enumerate(series, 1))
        errors.append(np.linalg.norm(found - partial))
    following = np.linalg.norm([float(x) for x in taylor_flow(h, sigma, order + 2)[order + 1]])
    beyond = np.linalg.norm([float(x) for x in taylor_flow(h, sigma, order + 2)[order + 2]])
    assert following + beyond > 1e-3
    for tau, error in zip((0.16, 0.08), errors):
        predicted = following * tau ** (order + 1) + beyond * tau ** (order + 2)
        assert error < 2 * predicted + 1e-13
    assert errors[0] / errors[1] > 2**7 or errors[1] < 1e-13


def test_float_targets():
    exact = taylor_flow("z1/4 + z1*z2/3", "tanh(y + 1/2)", 6)
    rough = taylor_flow({(1, 0): 0.25, (1, 1): 1 / 3}, "tanh(y + 1/2)", 6)
    assert rough.arithmetic == "numeric"
    for a, b in zip(exact.coefficients, rough.coefficients):
        assert all(isinstance(x, float) for x in b)
        np.testing.assert_allclose(b, [float(x) for x in a], rtol=1e-13, atol=1e-17)


# ---- least orders ----

LEAST = [  # with sin(y + phi), all s_j != 0
    ("z1 + z1*z2", 2, 2),
    ("z1 + z1*z2*z3", 1, 1),
    ("z1 + z1*z2 + z1*z2*z3", 3, 4),
    ("z1 + z1*z2 + z2*z3", 3, 3),
    ("z1 + z2 + z1*z2", 1, 1),
    ("z1 + z2 + z1**2", 2, 2),
    ("z1 + z2 + z1**2 - z2**2", 2, 2),
    ("z1 + He2(z1)*z2", 2, 3),
    ("z1 + z1**2*z2", 2, 3),
    ("z1 + z1*z2**2", 1, 1),
    ("z1*z2", 0, None),
    ("He3(z1)", 0, None),
    ("z1**2 + z2**2", 0, None),
    ("z1**3", 1, 1),
    ("(z1 + z2)**3", 1, 1),
    ("z1 + He2(z2)", 1, 1),
    # chains: 1 + (n - 1) + ... + (n - 1)^(p - 1)
    ("z1 + He2(z1)*z2 + He2(z2)*z3", 3, 7),
    ("z1 + He3(z1)*z2 + He3(z2)*z3", 3, 13),
    ("z1 + He2(z1)*z2", 2, 3),
    ("z1 + He3(z1)*z2", 2, 4),
    ("z1 + He4(z1)*z2", 2, 5),
    ("z1 + He2(z1)*z2 + He2(z2)*z3 + He2(z3)*z4", 4, 15),
    ("z1 + z1*z2 + z2*z3 + z4*(3*z1*z3 - 2*He2(z2))", 4, 7),  # 7, not 5: a cancellation for every jet
]


@pytest.mark.parametrize("text, dimension, order", LEAST)
def test_least_orders(text, dimension, order):
    found = taylor_span(text, WAVE)
    assert (found.dimension, found.order) == (dimension, order)
    assert found.proof == "bound" and found.arithmetic == "exact" and found.margin is None
    if order and order > 1:
        shorter = taylor_span(text, WAVE, order=order - 1)
        assert shorter.dimension < dimension and shorter.searched == order - 1 and shorter.grows
        assert shorter.proof == "" and shorter.bound == dimension
        # the coefficients up to there span that much, by exact row reduction
        flow = taylor_flow(text, WAVE, order)
        assert len(routes.row_echelon(flow.coefficients)) == dimension
        assert len(routes.row_echelon(flow.coefficients[:-1])) == shorter.dimension


@pytest.mark.parametrize("activation", ["tanh(y + 1/2)", "sin(y + 1)", "exp", "softplus(y + 1)", "logistic(y + 1/3)"])
def test_least_orders_do_not_depend_on_a_generic_activation(activation):
    for text, dimension, order in (*LEAST[:4], LEAST[16]):
        found = taylor_span(text, activation)
        assert (found.dimension, found.order, found.proof) == (dimension, order, "bound")


def test_random_targets_span_the_reached_subspace():
    """Generic jets: span{c_j} = U_*; the span is compared with row-reduced raw-moment coefficients."""
    rng = routes.generator(9)
    jet = [F(0), F(1), F(2, 3), F(-1, 2), F(5, 7), F(3, 4), F(-2, 5), F(1, 3), F(7, 6)]
    sigma = Activation.custom(
        np.tanh, name="generic", jet=jet, polynomial_degree=None, even_part="non-polynomial", odd_part="non-polynomial"
    )
    for _ in range(15):
        p = rng.choice([2, 3])
        terms = routes.random_terms(rng, p, 3)
        order = 8 if p == 2 else 5
        found = taylor_span(Polynomial.from_terms(terms), sigma, order=order)
        rows = routes.raw_moment_flow(terms, p, jet, order)
        assert found.basis == routes.row_echelon([row for row in rows if any(row)] or [[0] * p])
        assert found.arithmetic == "exact" and found.bound == reached_subspace(Polynomial.from_terms(terms)).dimension


def test_default_order():
    assert [default_order(p, n) for p, n in [(1, 9), (2, 3), (3, 3), (3, 4), (3, 5), (4, 3), (4, 4)]] == [
        *[13] * 4,
        21,
        15,
        24,
    ]
    assert taylor_span("z1 + z1*z2*z3", "tanh").searched == 13


# ---- gaps, and what proves them ----


@pytest.mark.parametrize("text, activation", [(G1, CUBIC), (G2, WAVE), (TRAP_E, "sin(y) + cos(y)")])
def test_gap_families(text, activation):
    assert reached_subspace(text).chain == (1, 3)
    assert reached_subspace(text, activation).dimension == 3
    found = taylor_span(text, activation)
    assert found.dimension == 2 and found.order == 2 and found.bound == 3
    assert found.basis == ((1, 0, 0), (0, 1, 0))
    assert found.proof == "invariant set" and not found.grows and found.equations
    # the equations vanish along the curve, order by order, and the third coordinate is among their consequences
    flow = taylor_flow(text, activation, 14)
    w = sp.symbols("w1:4")
    series = [[F(0), *(c[i] for c in flow.coefficients)] for i in range(3)]
    for equation in found.equations:
        poly = sp.Poly(sp.sympify(equation), *w)
        total = [F(0)] * 15
        for exponents, c in poly.terms():
            part = [F(1), *[F(0)] * 14]
            for i, e in enumerate(exponents):
                for _ in range(e):
                    part = [sum(part[a] * series[i][m - a] for a in range(m + 1)) for m in range(15)]
            total = [x + F(int(c.p), int(c.q)) * y for x, y in zip(total, part)]
        assert not any(total), equation
    basis = sp.groebner([sp.sympify(e) for e in found.equations], *w, order="grevlex", domain="QQ")
    assert basis.contains(w[2])
    # and the set is invariant: d/dtau of each equation lies in the ideal, with the field written out anew
    force = polynomial_field(Polynomial(text), activation, w)
    for equation in found.equations:
        f = sp.sympify(equation)
        assert basis.contains(sp.expand(sum(f.diff(v) * x for v, x in zip(w, force))))


def polynomial_field(h, activation, w):
    """F for the cubic, by raw moments; for sin and cos F exp(|W|^2/2) = grad p - p W, p = sum s_k C_k[W^k]/k!."""
    if activation == CUBIC:
        force = []
        for i in range(3):
            total = 0
            for beta in itertools.product(range(3), repeat=3):
                if sum(beta) <= 2:  # s_1 = s_2 = s_3 = 1
                    up = {
                        tuple(e + b + (j == i) for j, (e, b) in enumerate(zip(a, beta))): c for a, c in h.terms.items()
                    }
                    monomial = sp.Mul(*(x**b / sp.factorial(b) for x, b in zip(w, beta)))
                    total += sp.Rational(str(routes.mean(up))) * monomial
            force.append(total)
        return force
    s = {WAVE: [sp.Rational(4, 5), sp.Rational(3, 5)], "sin(y) + cos(y)": [1, 1]}[activation]
    jet = [s[k % 2] * (-1) ** (k // 2) for k in range(6)]
    p = sum(
        jet[sum(a)] * sp.Rational(str(d)) * sp.Mul(*(x**e for x, e in zip(w, a)))
        for a, d in h.hermite_coefficients.items()
    )
    return [sp.diff(p, x) - p * x for x in w]


def test_no_proof_where_the_field_is_not_polynomial():
    """sin(y) + exp(y)/2 has s_{k+2} = kappa s_k for no kappa: a span that is too small is neither proved nor refuted."""
    for activation in ("sin(y) + cos(y) + exp(y)/2", "sin(y) + cos(2*y)", "tanh(y + 1/2)"):
        found = taylor_span("z1 + z1*z2 + z1*z2*z3", activation, order=3)
        assert found.dimension < 3 and found.proof == "" and not found.grows and found.equations == ()


def test_gap_needs_its_own_activation():
    """With another activation the same targets have no gap."""
    assert taylor_span(G1, WAVE).dimension == 3
    assert taylor_span(G2, "exp").dimension == 3
    assert taylor_span(G1, "tanh(y + 1/2)").dimension == 3
    assert taylor_span(TRAP_E, WAVE).dimension == 3


def test_no_jet_beyond_a_line():
    """relu(y + 1/2) is y + 1/2 near 0, so c_1 is all there is: that is a proof."""
    found = taylor_span("z1 + z1*z2", "relu(y + 1/2)")
    assert found.dimension == 1 and found.bound == 2 and found.proof == "invariant set"
    assert found.equations == ("w2",)
    assert taylor_flow("z1 + z1*z2", "relu(y + 1/2)", 5).coefficients == ((1, 0), *[(0, 0)] * 4)


def test_stationary():
    found = taylor_span("z1 + z1*z2", "cos")
    assert found.dimension == 0 and found.order is None and found.proof == "bound" and str(found) == "{0}"
    found = taylor_span("z1 + z1*z2", "y**2 + y**3")  # s_1 = 0 although U for {2, 3} is not {0} ... C_1 cannot act
    assert found.dimension == 0
    flow = taylor_flow("z1 + z1*z2", "y**2 + y**3", 6)
    assert not any(any(c) for c in flow.coefficients)


# ---- labels, limits, errors ----


def test_sixty_digits():
    found = taylor_span("z1 + z1*z2", "gelu(y + 1/2)")
    assert found.arithmetic == "60 digits" and found.dimension == 2 and found.order == 2
    low, high = found.margin
    assert low > 1e-3 and high < 1e-40
    flow = taylor_flow("z1 + z1*z2", "gelu(y + 1/2)", 2)
    assert flow.arithmetic == "60 digits"
    mp.mp.dps = 70
    half = mp.mpf(1) / 2
    density = mp.exp(-half * half / 2) / mp.sqrt(2 * mp.pi)
    first = (1 + mp.erf(half / mp.sqrt(2))) / 2 + half * density  # gelu' = Phi + y phi
    second = 2 * density - half * half * density  # gelu'' = (2 - y^2) phi
    try:
        assert abs(mp.mpf(str(flow[1][0])) - first) < mp.mpf(10) ** -58
        assert abs(mp.mpf(str(flow[2][1])) - first * second / 2) < mp.mpf(10) ** -58
    finally:
        mp.mp.dps = 15


def test_declared_jets():
    parts = {"polynomial_degree": None, "even_part": "non-polynomial", "odd_part": "non-polynomial"}
    short = Activation.custom(np.tanh, name="short", jet=[0, 1, "1/3", 2], **parts)
    found = taylor_span("z1 + z1*z2 + z1*z2*z3", short)
    assert found.dimension == 2 and found.searched == 3 and found.note and found.proof == ""
    assert taylor_flow("z1 + z1*z2", short, 3).arithmetic == "declared"
    with pytest.raises(InputError):
        taylor_flow("z1 + z1*z2", short, 4)
    by_order = Activation.custom(np.tanh, name="long", jet=lambda k: F(1, k + 1), **parts)
    assert taylor_flow("z1 + z1*z2", by_order, 3)[2] == (0, F(1, 2) * F(1, 2) * F(1, 3))
    with pytest.raises(InputError):
        taylor_span("z1", Activation.custom(np.tanh, name="nothing", **parts))


@pytest.mark.parametrize(
    "arguments, options, match",
    [
        (("z1", "relu"), {}, "derivative"),
        (("z1",), {}, "jet"),
        (("z1", "tanh"), {"jet": [1] * 8}, "one of the two"),
        (("z1",), {"jet": [1, 2], "order": 3}, "order 3"),
        (("z1",), {"jet": [0.5] * 8}, "float"),
        (("z1", "tanh", 0), {}, "order"),
        (("z1", "tanh", 201), {}, "order"),
        (("z1", "tanh", 2.5), {}, "order"),
        (("z1", "tanh", True), {}, "order"),
        (("3", "tanh"), {}, "constant"),
        (("z1", "tahn"), {}, "tanh"),
    ],
)
def test_errors(arguments, options, match):
    with pytest.raises(InputError, match=match):
        taylor_flow(*arguments, **options)


def test_indices():
    flow = taylor_flow("z1 + z1*z2", "exp", 3)
    assert flow[1] == (1, 0) and str(flow).splitlines()[1] == "c_2 = (0, 1/2)"
    for j in (0, 4, -1):
        with pytest.raises(InputError):
            flow[j]


def test_progress_and_interrupt():
    lines = []
    taylor_span("z1 + z1*z2 + z1*z2*z3", WAVE, progress=lines.append)
    assert lines and lines[0].startswith("Taylor coefficient 1 of 13") and len(lines) == 4


def test_decide_looks_further_when_a_gap_is_open():
    """Order 7 of a chain whose degree suggests 13 already; with order given, exactly that is searched."""
    text = "z1 + He2(z1)*z2 + He2(z2)*z3"
    assert decide(text, WAVE).taylor.order == 7
    few = decide(text, WAVE, order=6)
    assert few.taylor.searched == 6 and few.taylor.dimension == 2 and few.taylor.grows and few.note
    deep = "z1 + He3(z1)*z2 + He3(z2)*z3 + He3(z3)*z4"  # o_4 = 1 + 3 + 9 + 27 = 40, default order 24
    found = decide(deep, WAVE)
    assert found.verdict == "learnable" and found.taylor.order == found.taylor.searched == 40


# ---- ranks over Q(t) ----


def test_growth_over_a_field_of_functions():
    t, s = generator(0), generator(1)
    grown = Growth(3, 2)
    first, second = [t, t * t, 1], [s, t, s * s]
    assert grown.add(first) is not None and grown.add(second) is not None
    assert grown.add([0, 0, 0]) is None
    dependent = [x * (t + 1) + y * (s * t - 3) for x, y in zip(first, second)]
    assert grown.add(dependent) is None and grown.dimension == 2
    nearly = [*dependent[:2], dependent[2] + 1]
    assert grown.add(nearly) is not None and grown.dimension == 3


def test_growth_survives_an_unlucky_point():
    """A vector independent over Q(t) that is dependent at the very point where independence is tried."""
    grown = Growth(2, 1)
    (point,) = grown._at
    t = generator(0)
    assert grown.add([1, 1]) is not None
    assert grown.add([t - point + 1, 1]) is not None and grown.dimension == 2


def test_proper_subspace_over_transcendental_numbers():
    """tanh(y + 1/2) on a rotated z1 + z1 z2 z3: all c_j are parallel, each a polynomial in tanh(1/2)."""
    found = taylor_span("z1 + z1*z2*z3", "tanh(y + 1/2)", basis=[["3/5", "4/5", 0], ["-4/5", "3/5", 0], [0, 0, 1]])
    assert found.dimension == 1 and found.proof == "bound" and found.basis == ((1, F(4, 3), 0),)
    # with two transcendental numbers that are independent, and minors over Q(tanh(1/2), tan(1/2))
    for basis in (None, [["3/5", "4/5", 0], ["-4/5", "3/5", 0], [0, 0, 1]]):
        found = taylor_span("z1 + z1*z2 + z3**3 - 3*z3", "tanh(y + 1/2) + sin(y + 1)", basis=basis, order=6)
        assert (found.dimension, found.bound, found.proof, found.arithmetic) == (2, 2, "bound", "exact")
    # order 3 of a target that needs 4: what was found is a proper subspace, and its basis are coefficients
    found = taylor_span("z1 + z1*z2 + z1*z2*z3", "tanh(y + 1/2)", order=3)
    flow = taylor_flow("z1 + z1*z2 + z1*z2*z3", "tanh(y + 1/2)", 2)
    assert (found.dimension, found.order, found.bound, found.proof) == (2, 2, 3, "")
    T, half = sp.Symbol("T"), sp.tanh(sp.Rational(1, 2))
    for row, c in zip(found.basis, flow.coefficients, strict=True):
        for x, y in zip(row, c, strict=True):
            assert sp.cancel(sp.sympify(x).subs(half, T) - sp.sympify(y).subs(half, T)) == 0
    # with a factor taken out of the jet: rational functions of exp and tan
    for activation in ("tanh(y + 1/2) + sin(y + 1)", "exp(y/2) + tanh(y + 1/2)"):
        other = taylor_span("z1 + z1*z2 + z1*z2*z3", activation, order=3)
        flow = taylor_flow("z1 + z1*z2 + z1*z2*z3", activation, 2)
        for row, c in zip(other.basis, flow.coefficients, strict=True):
            np.testing.assert_allclose([float(sp.N(x, 30)) for x in row], [float(sp.N(x, 30)) for x in c], rtol=1e-13)
    assert "tanh(1/2)" in str(found) and "tanh" in found._repr_latex_()


def test_all_pairs_of_generators():
    """Jets with two transcendental numbers, dependent or not, give the ranks of their numerical values."""
    for activation in ("tanh(y + 1/2) + sin(y + 1)", "exp(y/2) + tanh(y + 1/2)", "tanh(y + 1) + tanh(y + 2)"):
        for text in ("z1 + z1*z2", "z1 + z1*z2*z3", "z1 + z2 + z1*z2"):
            found = taylor_span(text, activation, order=5)
            flow = taylor_flow(text, activation, 5)
            values = np.array([[float(sp.N(sp.sympify(x), 30)) for x in c] for c in flow.coefficients])
            assert np.linalg.matrix_rank(values, tol=1e-9) == found.dimension
            assert found.arithmetic == "exact"


def test_every_subset_of_orders_bounds_the_span():
    """span{c_j} lies in the closure under K_sigma, for jets with zeros where sigma^(k) is odd."""
    rng = routes.generator(12)
    for _ in range(10):
        terms = routes.random_terms(rng, 3, 4)
        h = Polynomial.from_terms(terms)
        for activation, orders in (("tanh", (1, 3)), ("softplus", (1, 2, 4)), (CUBIC, (1, 2, 3))):
            rows = [[sp.sympify(x) for x in c] for c in taylor_flow(h, activation, 6).coefficients]
            closed, _ = routes.closure(terms, h.p, routes.degree_of(terms), orders)
            for row in rows:
                for normal in routes.complement(closed, h.p):
                    assert sp.expand(sum(x * sp.Rational(n.numerator, n.denominator) for x, n in zip(row, normal))) == 0
