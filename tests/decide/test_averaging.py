"""Exponents of lambda_min: the table, echelon forms of independently computed series, measured slopes, bad input."""

import itertools
import math
from fractions import Fraction

import decide_routes as routes
import mpmath as mp
import pytest

from meanfield_sgd import InputError, Polynomial
from meanfield_sgd.decide import averaging_exponents

CUBIC, QUADRATIC = "y + y**2/2 + y**3/6", "y + y**2/2"
WAVE = "3/5*sin(y) + 4/5*cos(y)"
P = "z1 + z1*z2 - 2/3*He3(z1) - 1/2*z1*He2(z2)"
R = "-20/3*z1 - 10*z1*z2 + 5*z1*z2**2 + 5/3*z1**3 + 5/4*(z1**3*z2 + z1*z2**3)"
STAIRS = "z1 + z1*z2 + z1*z2*z3"

TABLE = [  # target, activation, degree, m, valuations, one copy, p copies, independent hypersurfaces
    ("z1 + z1*z2", WAVE, None, 6, (0, 1, 2, 3, 4, 6), 12, 8, 0),
    ("z1 + z1*z2", "exp", None, 6, (0, 1, 2, 3, 4, 6), 12, 8, 0),
    ("z1 + z1*z2 + He3(z2)/6", WAVE, None, 10, tuple(range(10)), 18, 12, 0),
    (P, CUBIC, None, 10, tuple(range(7)), None, 12, 3),
    (P, WAVE, None, 10, (*range(9), 10), 20, 12, 0),
    (R, WAVE, None, 15, tuple(range(9)), None, 16, 6),
    (R, "exp", None, 15, (*range(13), 14, 16), 32, 16, 0),
    ("z1 + z1*z2", QUADRATIC, None, 6, tuple(range(5)), None, 8, 1),
    ("z1 + z1*z2", WAVE, 3, 10, (*range(9), 10), 20, 12, 0),
    (STAIRS, WAVE, 2, 10, (*range(7), 8, 10, 12), 24, 16, 0),
    (STAIRS, WAVE, None, 20, (*range(15), 16, 18, 20, 22, 24), 48, 24, 0),
]


@pytest.mark.parametrize("text, activation, degree, m, valuations, one, many, corank", TABLE)
def test_table(text, activation, degree, m, valuations, one, many, corank):
    found = averaging_exponents(text, activation, degree=degree)
    assert found.monomials == m and found.valuations == valuations
    assert (found.one_copy, found.copies) == (one, many)
    assert found.singular is bool(corank) and found.hypersurfaces == corank
    assert len(found.adapted) == Polynomial(text).p
    assert many == 2 * (degree or Polynomial(text).degree) * found.adapted[-1]
    assert ("singular" in str(found)) == bool(corank) and f"averaged copies T^{many}" in str(found)


def jet_of(activation, order):
    if activation == "exp":
        return [Fraction(1)] * (order + 1)
    if activation == WAVE:
        return [[Fraction(4, 5), Fraction(3, 5), Fraction(-4, 5), Fraction(-3, 5)][k % 4] for k in range(order + 1)]
    return [Fraction(int(0 < k <= (3 if activation == CUBIC else 2))) for k in range(order + 1)]


@pytest.mark.parametrize("case", [0, 1, 2, 3, 4, 7, 8, 9])
def test_valuations_from_raw_moments(case):
    """Row reduction in Fractions of W^alpha from the raw-moment recursion, as far as the last valuation and a little more."""
    text, activation, degree, _, valuations, one, many, _ = TABLE[case]
    h = Polynomial(text)
    order = valuations[-1] + 1
    flow = routes.raw_moment_flow(dict(h.terms), h.p, jet_of(activation, order), order)
    W = [[Fraction(0), *(c[i] for c in flow)] for i in range(h.p)]
    rows = {}
    for k in range((degree or h.degree) + 1):
        for places in itertools.combinations_with_replacement(range(h.p), k):
            series = [Fraction(1)] + [Fraction(0)] * order
            for i in places:
                series = [sum(series[a] * W[i][b - a] for a in range(b + 1)) for b in range(order + 1)]
            rows[places] = series
    pivots = [next(j for j, x in enumerate(row) if x) for row in routes.row_echelon(list(rows.values()))]
    assert tuple(pivots) == valuations
    linear = routes.row_echelon([rows[(i,)] for i in range(h.p)])
    adapted = tuple(next(j for j, x in enumerate(row) if x) for row in linear)
    assert averaging_exponents(text, activation, degree=degree).adapted == adapted
    assert many == 2 * (degree or h.degree) * adapted[-1]


def smallest_eigenvalue(flow, T, n, copies):
    """lambda_min of K = E[phi phi^T] at u = (1/copies) sum W(a_i T), a_i ~ U[-1, 1], with 24 Gauss-Legendre nodes an axis."""
    nodes = [(mp.mpf(x), mp.mpf(w) / 2) for x, w in legendre_nodes(24)]
    curve = []
    for x, w in nodes:
        tau = x * T
        total = [mp.mpf(0), mp.mpf(0)]
        for c in reversed(flow):
            total = [(t + mp.mpf(y.numerator) / y.denominator) * tau for t, y in zip(total, c)]
        curve.append((total, w))
    alphas = [(i, k - i) for k in range(n + 1) for i in range(k + 1)]
    K = mp.zeros(len(alphas))
    for points in itertools.product(curve, repeat=copies):
        weight = mp.mpf(1)
        u = [mp.mpf(0), mp.mpf(0)]
        for at, w in points:
            weight *= w
            u = [x + y / copies for x, y in zip(u, at)]
        square = u[0] ** 2 + u[1] ** 2
        phi = []
        for i, j in alphas:
            k = i + j
            bell = sum(
                math.comb(n - k, 2 * q) * math.prod(range(1, 2 * q, 2)) * square**q for q in range((n - k) // 2 + 1)
            )
            factor = mp.mpf(math.factorial(n)) / math.factorial(n - k) / mp.sqrt(math.factorial(i) * math.factorial(j))
            phi.append(factor * u[0] ** i * u[1] ** j * bell)
        for r in range(len(alphas)):
            for c in range(r + 1):
                K[r, c] += weight * phi[r] * phi[c]
    for r in range(len(alphas)):
        for c in range(r):
            K[c, r] = K[r, c]
    return min(mp.eigsy(K, eigvals_only=True))


def legendre_nodes(n):
    """Roots of P_n by Newton, to the working precision."""
    found = []
    for i in range(n):
        x = mp.cos(mp.pi * (i + mp.mpf(3) / 4) / (n + mp.mpf(1) / 2))
        for _ in range(12):
            before, here = mp.mpf(1), x
            for k in range(2, n + 1):
                before, here = here, ((2 * k - 1) * x * here - (k - 1) * before) / k
            slope = n * (x * here - before) / (x * x - 1)
            x -= here / slope
        found.append((x, 2 / ((1 - x * x) * slope**2)))
    return found


def test_measured_eigenvalues_and_slopes():
    """z1 + z1 z2 with sin(y + phi): listed values at T = 1/4, and slopes between 2^-7 and 2^-8."""
    mp.mp.dps = 60
    try:
        found = averaging_exponents("z1 + z1*z2", WAVE)
        flow = routes.raw_moment_flow({(1, 0): Fraction(1), (1, 1): Fraction(1)}, 2, jet_of(WAVE, 18), 18)
        assert abs(smallest_eigenvalue(flow, mp.mpf(1) / 4, 2, 1) / mp.mpf("8.5137e-16") - 1) < 1e-4
        assert abs(smallest_eigenvalue(flow, mp.mpf(1) / 4, 2, 2) / mp.mpf("2.6073e-10") - 1) < 1e-4
        for copies, predicted in ((1, found.one_copy), (2, found.copies)):
            large, small = (smallest_eigenvalue(flow, mp.mpf(2) ** -k, 2, copies) for k in (7, 8))
            assert abs(mp.log(large / small, 2) - predicted) < 0.01
    finally:
        mp.mp.dps = 15


def test_common_factors_and_square_roots():
    for text, activation in [
        ("sqrt(2)*z1 + z1*z2", WAVE),
        ("z1 + z1*z2", "sin(y) + sqrt(2)*cos(y)"),
        ("z1 + z1*z2", "erf(y + 1/2)"),
        ("7*z1 + 7*z1*z2", "exp(y + 1)"),
    ]:
        found = averaging_exponents(text, activation)
        assert found.valuations == (0, 1, 2, 3, 4, 6) and found.singular is False


def test_proper_subspaces():
    """W stays on a line: averaging does not help."""
    found = averaging_exponents("z1 + z2 + z1*z2", WAVE)
    assert found.copies is None and found.one_copy is None and len(found.adapted) == 1
    assert found.singular is True and "averaged copies singular" in str(found)
    found = averaging_exponents("z1 + z1*z2", "cos")
    assert found.valuations == (0,) and found.adapted == () and found.singular is True and found.copies is None


def test_short_search_claims_nothing_about_one_copy():
    found = averaging_exponents("z1 + z1*z2", WAVE, order=4)
    assert found.valuations == (0, 1, 2, 3, 4) and found.one_copy is None and found.singular is None
    assert found.copies == 8 and found.searched == 4 and "not found" in str(found)


def test_short_search_claims_nothing_about_copies():
    assert "averaged copies singular" not in str(averaging_exponents("z1 + z1*z2", WAVE, order=1))


@pytest.mark.parametrize(
    "arguments, options, match",
    [
        (("z1 + z1*z2", "tanh(y + 1/2)"), {}, "tanh"),
        (("z1 + z1*z2", "gelu(y + 1/2)"), {}, "jet"),
        (("z1 + z1*z2", "relu"), {}, "derivative"),
        (("z1 + z3", WAVE), {}, "variables"),
        (({(1,): 0.5}, WAVE), {}, "exact"),
        (("z1", WAVE), {"degree": 0}, "degree"),
        (("z1", WAVE), {"degree": 21}, "degree"),
        (("z1", WAVE), {"degree": True}, "degree"),
        (("4", WAVE), {}, "constant"),
    ],
)
def test_errors(arguments, options, match):
    with pytest.raises(InputError, match=match):
        averaging_exponents(*arguments, **options)


@pytest.mark.parametrize("order", [0, -3, 2.5, "x", True])
def test_order_is_checked(order):
    with pytest.raises(InputError, match="order"):
        averaging_exponents("z1 + z1*z2", WAVE, order=order)


def test_one_order_too_few_is_said_soon():
    """The relations that are left do not hold; to prove that they do was tried for minutes."""
    found = averaging_exponents("z1 + z1*z2 + z1*z2*z3", "4/5*cos(y) + 3/5*sin(y)", order=23)
    assert found.singular is None and len(found.valuations) == 19 and found.hypersurfaces == 1
