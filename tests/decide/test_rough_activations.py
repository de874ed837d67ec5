"""The chapter Rough activations: its formulas by exact algebra, and by routes that do not use them.

Gaussian integrals over half lines are done by repeated parts on polynomials, with phi(c) and Phi(-c) as symbols, or by
sympy; fields are rebuilt from averages of sigma', not from the chapter's profiles.
"""

import itertools
import math
import random
from fractions import Fraction

import pytest
import sympy as sp

from meanfield_sgd import Activation, Polynomial, decide

PHI0 = 1 / sp.sqrt(2 * sp.pi)
HARD = "relu(y+1) - relu(y-1) - 1"
X, C, R = sp.symbols("x c r", positive=True)


def hermite(k, y):
    previous, current = sp.Integer(0), sp.Integer(1)
    for j in range(k):
        previous, current = current, sp.expand(y * current - j * previous)
    return current


def density(y):
    return sp.exp(-(y**2) / 2) * PHI0


def tail_moment(j, c):
    """int_c^inf y^j phi = A phi(c) + B Phi(-c): the pair (A, B), by parts."""
    if j == 0:
        return sp.Integer(0), sp.Integer(1)
    if j == 1:
        return sp.Integer(1), sp.Integer(0)
    a, b = tail_moment(j - 2, c)
    return sp.expand(c ** (j - 1) + (j - 1) * a), (j - 1) * b


def tail(polynomial, y, c):
    """int_c^inf polynomial(y) phi(y) dy as (A, B)."""
    total = [sp.Integer(0), sp.Integer(0)]
    for (j,), factor in sp.Poly(polynomial, y).terms():
        for i, part in enumerate(tail_moment(j, c)):
            total[i] += factor * part
    return tuple(map(sp.expand, total))


# ---- profiles of lines and steps -------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(2, 9))
def test_profiles_of_a_kink_and_of_a_step(k):
    y, kink = sp.symbols("y kink")  # the kink in units of r
    a, b = tail(hermite(k, y) * (y - kink), y, kink)  # E[(g - kink)_+ He_k(g)] = r^(k-1) lambda_k
    assert b == 0 and sp.expand(a - hermite(k - 2, kink)) == 0
    a, b = tail(hermite(k, y), y, kink)  # a step
    assert b == 0 and sp.expand(a - hermite(k - 1, kink)) == 0


def test_relu_by_direct_integration():
    y = sp.symbols("y", real=True)
    for k in range(7):
        value = sp.integrate(y * hermite(k, y) * density(y), (y, 0, sp.oo))
        expected = {0: PHI0, 1: sp.Rational(1, 2)}.get(k, hermite(k - 2, sp.Integer(0)) * PHI0 if k > 1 else None)
        assert sp.simplify(value - expected) == 0
        assert (value != 0) == (k == 0 or k in Activation("relu").K_sigma(7))


@pytest.mark.parametrize(
    ("text", "kinks", "slope"),
    [
        ("relu", {0: 1}, 0),
        ("abs", {0: 2}, -1),
        ("leaky_relu(y,1/10)", {0: Fraction(9, 10)}, Fraction(1, 10)),
        ("leaky_relu(y,-1)", {0: 2}, -1),
        ("leaky_relu(y,1)", {}, 1),
        (HARD, {-1: 1, 1: -1}, 0),
        ("relu(y+1/2)", {Fraction(-1, 2): 1}, 0),
        ("relu(y-2) + relu(-y-2)", {2: 1, -2: 1}, -1),
    ],
)
def test_orders_that_are_seen(text, kinks, slope):
    """lambda_k is a combination of independent functions phi(beta/r) He(.): zero exactly where K_sigma says so."""
    seen = set()
    for k in range(2, 8):
        parts = {}
        for y, jump in kinks.items():
            rational = sp.Rational(jump) * hermite(k - 2, sp.Rational(y) / R)
            parts[abs(y)] = sp.expand(parts.get(abs(y), 0) + rational)
        if any(part != 0 for part in parts.values()):
            seen.add(k)
    # lambda_1 is slope + half of all jumps at r = infinity, and constant if all kinks are at 0
    if slope + sum(map(Fraction, kinks.values())) / 2 != 0 or (set(kinks) - {0} and text != "relu(y-2) + relu(-y-2)"):
        seen.add(1)
    assert Activation(text).K_sigma(7) == seen


# ---- the exact test without a derivative -------------------------------------------------------------------------


def test_pull_of_a_step():
    """d/dw_2 of E[h 1{u + w.z > 0}] at w = (r, 0) by exact differentiation under the integral, against the formula."""
    u, w2, y = sp.symbols("u w2 y", real=True)
    for text, b in (("z1 + z1*z2", {1: 1}), ("z1 + He2(z1)*z2 - 3*z1*z2", {1: -3, 2: 2})):
        h = Polynomial(text)
        # E[h | z.e = s] along e = w/|w| is sum_k C_k[e^k]/k! He_k(s); a step at -u/|w| gives He_{k-1} phi there
        length = sp.sqrt(R**2 + w2**2)
        at, total = -u / length, 0
        for alpha, d in h.hermite_coefficients.items():
            k = sum(alpha)
            shape = sp.Rational(d) * (R / length) ** alpha[0] * (w2 / length) ** alpha[1]
            total += shape * hermite(k - 1, at) * density(at)
        direct = sp.diff(total, w2).subs(w2, 0)
        formula = sum(
            sp.Rational(bk) / sp.factorial(k) * R**k * hermite(k, -u / R) * density(u / R) / R ** (k + 1)
            for k, bk in b.items()
        )
        assert sp.simplify(direct - formula) == 0


def test_all_rough_activations_reflect_alike():
    targets = ["z1 + z1*z2", "z1 + z1*z2*z3", "z1 + He2(z2)", "z1 + z2 + z1*z2", "z1 + z1*z2 + z1*z2*z3", "z1*z2"]
    for h in targets:
        spaces = {
            str(decide.largest_reflective_subspace(h, act))
            for act in ("tanh", "relu", "leaky_relu(y,1/10)", "abs", HARD, "softplus(20*y)/20", "tanh(20*y)")
        }
        assert len(spaces) == 1


# ---- from zero ---------------------------------------------------------------------------------------------------


def on_circle(h, kink):
    """psi(alpha) of leaky ReLU kink: sigma = s*y + kink*|y|/2, from the Hermite coefficients."""
    slope, alpha = sp.Rational(kink[0]), sp.symbols("alpha", real=True)
    total = 0
    for (i, j), d in Polynomial(h).hermite_coefficients.items():
        k = i + j
        weight = slope if k == 1 else (sp.Rational(kink[1]) * hermite(k - 2, sp.Integer(0)) * PHI0 if k >= 2 else 0)
        total += sp.Rational(d) * weight * sp.cos(alpha) ** i * sp.sin(alpha) ** j
    return alpha, total


def test_the_three_rays():
    alpha, psi = on_circle("z1 + He2(z2)", (Fraction(1, 2), 1))
    assert sp.simplify(psi - sp.cos(alpha) / 2 - PHI0 * sp.sin(alpha) ** 2) == 0
    slope = sp.diff(psi, alpha)
    assert slope.subs(alpha, 0) == 0
    assert sp.simplify(slope.subs(alpha, sp.acos(1 / (4 * PHI0)))) == 0
    exponent = sp.diff(psi, alpha, 2).subs(alpha, 0) / psi.subs(alpha, 0)
    assert sp.simplify(exponent - (4 * PHI0 - 1)) == 0 and exponent > 0  # a minimum, at a positive level
    assert sp.diff(psi, alpha, 2).subs(alpha, sp.acos(1 / (4 * PHI0))).evalf() < 0
    assert psi.subs(alpha, sp.pi).evalf() < 0  # the remaining critical point: nothing leaves there
    assert decide.is_reflective("z1 + He2(z2)", ["z2"], "relu")


def test_rays_of_the_product_and_of_the_companion():
    alpha, psi = on_circle("z1*z2", (Fraction(1, 2), 1))
    assert sp.simplify(psi - PHI0 * sp.sin(2 * alpha) / 2) == 0
    alpha, psi = on_circle("z1 + z1*z2", (Fraction(1, 2), 1))
    slope = sp.diff(psi, alpha)
    s = sp.symbols("s")
    roots = sp.solve(2 * PHI0 * s**2 + s / 2 - PHI0, s)
    inside = [root for root in roots if abs(root.evalf()) < 1]
    assert len(inside) == 1
    found = sp.asin(inside[0])
    assert abs(slope.subs(alpha, found).evalf(30)) < 1e-25
    assert abs(math.degrees(found.evalf()) - 27.39) < 0.01 and abs(psi.subs(alpha, found).evalf() - 0.6069) < 1e-4


def test_field_of_relu_is_homogeneous_of_degree_zero():
    """F from grad of |W| psi against averages of 1{theta.z > 0}: E[h 1{..} z] in the frame of theta, exactly."""
    y, a = sp.symbols("y a", real=True)
    h = {(1, 0): 1, (1, 1): 1}  # z1 + z1 z2, in raw monomials
    c, s = sp.Rational(3, 5), sp.Rational(4, 5)  # theta
    for theta in ((c, s), (s, -c)):
        frame = (theta, (-theta[1], theta[0]))  # z = y theta + a theta_perp, y > 0
        z = [y * frame[0][i] + a * frame[1][i] for i in range(2)]
        target = sum(d * z[0] ** i * z[1] ** j for (i, j), d in h.items())
        force = []
        for i in range(2):
            across = sp.Poly(sp.expand(target * z[i]), a)
            averaged = sum(f * (sp.factorial2(j - 1) if j else 1) for (j,), f in across.terms() if j % 2 == 0)
            A, B = tail(averaged, y, sp.Integer(0))
            force.append(A * PHI0 + B / 2)
        w = sp.symbols("w1 w2", real=True)
        potential = w[0] / 2 + PHI0 * w[0] * w[1] / sp.sqrt(w[0] ** 2 + w[1] ** 2)
        for scale in (1, 7):
            point = dict(zip(w, (scale * theta[0], scale * theta[1]), strict=True))
            for i in range(2):
                assert sp.simplify(sp.diff(potential, w[i]).subs(point) - force[i]) == 0


# ---- smooth approximations ---------------------------------------------------------------------------------------


def test_bounds_of_the_companion_theorem():
    bound = (1 + X**2) * density(X)
    assert sp.solve(sp.diff(bound, X), X) == [1]  # its only maximum on x > 0
    assert 2 * density(1) < sp.Rational(1, 2) and sp.Rational(1, 2) > PHI0
    assert sp.sqrt(2) * (sp.Rational(1, 2) - sp.sqrt(2) * density(1)) / 2 > sp.Rational(1, 10)


def test_polar_field_of_the_companion():
    r, alpha = sp.symbols("r alpha", positive=True)
    m = sp.Function("m")
    potential = r * sp.cos(alpha) * (sp.Rational(1, 2) + m(r) * sp.sin(alpha))
    radial = sp.cos(alpha) * (sp.Rational(1, 2) + (m(r) + r * m(r).diff(r)) * sp.sin(alpha))
    angular = -sp.sin(alpha) / 2 + m(r) * sp.cos(2 * alpha)
    assert sp.simplify(potential.diff(r) - radial) == 0
    assert sp.simplify(potential.diff(alpha) / r - angular) == 0


def test_constant_of_the_quarter_law():
    y, n = sp.symbols("y n", positive=True)
    # int_0^inf y/(e^{2y}+1) dy = sum_n (-1)^(n-1) int y e^{-2ny} dy = sum (-1)^(n-1)/(4 n^2)
    term = sp.integrate(y * sp.exp(-2 * n * y), (y, 0, sp.oo))
    assert sp.simplify(term - 1 / (4 * n**2)) == 0
    total = sp.summation((-1) ** (n - 1) / (4 * n**2), (n, 1, sp.oo))
    assert abs((total - sp.pi**2 / 48).evalf(20)) < 1e-15
    M = 4 * sp.pi**2 / 48
    assert sp.simplify(8 * PHI0 * M - 2 * sp.pi**2 / 3 * PHI0) == 0


@pytest.mark.parametrize("k", [1, 3, 20])
def test_scaling_of_taylor_coefficients(k):
    h = "z1 + z1*z2 + He2(z2)"
    one = decide.taylor_flow(h, "softplus", 5).coefficients
    scaled = decide.taylor_flow(h, f"softplus({k}*y)/{k}", 5).coefficients
    for j, (c, d) in enumerate(zip(one, scaled, strict=True), 1):
        assert all(sp.simplify(sp.sympify(y) - k ** (j - 1) * sp.sympify(x)) == 0 for x, y in zip(c, d, strict=True))
    assert Activation(f"softplus({k}*y)/{k}").K_sigma(9) == Activation("softplus").K_sigma(9)


# ---- flat, but not zero --------------------------------------------------------------------------------------------


def across(b, kinks):
    """{beta: T_beta(c)} of the force across the line, as polynomials in c = beta/x."""
    parts = {}
    for y, jump in kinks.items():
        sign = 1 if y > 0 else -1
        shape = sum(sp.Rational(bk) / sp.factorial(k) * hermite(k - 1, sign * C) for k, bk in b.items())
        parts[abs(y)] = sp.expand(parts.get(abs(y), 0) + sp.Rational(jump) * shape)
    return parts


def test_force_across_is_the_average_of_the_slope():
    """E[P(g) sigma'(xg)], P = sum b_k He_k/k!, by tails, for a kink at -1/2 with jump 1: sigma' = 1{xg > -1/2}."""
    y = sp.symbols("y")
    for b in ({1: 1}, {2: 2}, {1: 1, 3: 6}, {1: -2, 2: 5, 4: 7}):
        P = sum(sp.Rational(bk) / sp.factorial(k) * hermite(k, y) for k, bk in b.items())
        A, B = tail(P, y, -C)  # times phi(c), c = b/x
        assert B == 0 and sp.expand(A - across(b, {Fraction(-1, 2): 1})[Fraction(1, 2)]) == 0


def test_leaves_the_line_exactly_where_it_is_not_closed():
    rng, seen = random.Random(5), set()
    shapes = [{-1: 1}, {-1: 1, 1: -1}, {-1: 1, 1: 1}, {1: 1, 2: 3}, {-1: 2, 1: 2, Fraction(1, 2): 1}, {-2: 1, 2: -1}]
    for kinks, _ in itertools.product(shapes, range(12)):
        b = {k: rng.choice([0, 0, 1, -2]) for k in (1, 2, 3)}
        h = Polynomial(
            "z1 + z1**2" + "".join(f" + ({Fraction(v, math.factorial(k))})*He{k}(z1)*z2" for k, v in b.items())
        )
        text = "5*y" + "".join(  # the form that is linear near 0, with slope 5
            f" + ({j})*relu(y-{y})" if y > 0 else f" + ({j})*relu(-y-{-y})" for y, j in kinks.items()
        )
        act = Activation(text)
        leaves = any(part != 0 for part in across(b, kinks).values())
        if not any(b.values()):
            continue  # z2 does not occur
        reached = decide.reached_subspace(h, act, bias=False).dimension
        assert (reached == 2) == leaves
        flow = decide.taylor_flow(h, act, 4).coefficients
        assert flow[0] == (5, 0) and not any(map(any, flow[1:]))  # the series has one term
        seen.add((leaves, len(kinks)))
    assert len(seen) >= 4


def test_integrals_of_the_flat_start():
    b, t = sp.symbols("b t", positive=True)
    cdf = sp.erfc(b / t / sp.sqrt(2)) / 2  # Phi(-b/t)
    assert sp.simplify(sp.diff(t * density(b / t) - b * cdf, t) - density(b / t)) == 0
    assert sp.simplify(sp.diff(b * cdf, t) - (b / t) ** 2 * density(b / t)) == 0
    assert sp.simplify(sp.diff(PHI0 * sp.expint(1, 1 / (2 * t**2)), t) - 2 / t * density(1 / t)) == 0
    K = sp.symbols("K", positive=True)
    lead = t ** (4 - K) * b ** (K - 3) * density(b / t)
    ratio = sp.diff(lead, t) / ((b / t) ** (K - 1) * density(b / t))
    assert sp.simplify(ratio - 1 - (4 - K) * t**2 / b**2) == 0


@pytest.mark.parametrize(("h", "act"), [("z1 + z1*z2", "relu(y+1/2)"), ("z1 + He2(z1)*z2", HARD)])
def test_taylor_says_one_direction_and_formal(h, act):
    span = decide.taylor_span(h, act)
    assert span.dimension == 1 and span.formal
    assert decide.reached_subspace(h, act, bias=False).dimension == 2


# ---- Gaussian weights ------------------------------------------------------------------------------------------------


def gaussian_series(h, lam, order):
    """Taylor coefficients of W in tau from (0, rho=1) by Picard iteration; lam(k, i): d^i/dq^i of lambda_k, q = R^2/2."""
    tau, w1, w2, q = sp.symbols("tau w1 w2 q")
    coefficients = Polynomial(h).hermite_coefficients

    def power(k, excess):  # lambda_k as a series in q - 1/2
        return sum(lam(k, i) * excess**i / sp.factorial(i) for i in range(order + 1))

    H = {}
    for (i, j), d in coefficients.items():
        H[i + j] = H.get(i + j, 0) + sp.Rational(d) * w1**i * w2**j
    state = [sp.Integer(0), sp.Integer(0), sp.Rational(1, 2)]  # W_1, W_2 and q
    for _ in range(order):
        excess = q - sp.Rational(1, 2)
        push = sum(power(k + 2, excess) * Hk for k, Hk in H.items())
        field = [sum(power(k, excess) * sp.diff(Hk, w) for k, Hk in H.items()) + w * push for w in (w1, w2)]
        radial = w1 * field[0] + w2 * field[1] + (2 * q - w1**2 - w2**2) * push  # W.W' + rho rho'
        new = []
        for start, f in zip((0, 0, sp.Rational(1, 2)), (*field, radial), strict=True):
            inserted = sp.expand(f.subs({w1: state[0], w2: state[1], q: state[2]}, simultaneous=True))
            cut = sum(inserted.coeff(tau, i) * tau**i for i in range(order))
            new.append(start + sp.integrate(cut, tau))
        state = [sp.expand(x) for x in new]
    return [[sp.expand(x).coeff(tau, j) for x in state[:2]] for j in range(1, order + 1)]


def test_first_coefficients_from_gaussian_weights():
    # d lambda_k / dq = lambda_{k+2}: lambda_k' = r lambda_{k+2} and dq = r dr
    def relu(k, i):
        k += 2 * i
        if k <= 1:
            return (PHI0, sp.Rational(1, 2))[k]
        return hermite(k - 2, sp.Integer(0)) * PHI0

    c = gaussian_series("z1 + z1*z2", relu, 2)
    assert c[0] == [sp.Rational(1, 2), 0] and sp.simplify(c[1][1] - PHI0 / 4) == 0
    trapped = gaussian_series("z1 + He2(z1)*z2", relu, 4)
    assert all(sp.simplify(row[1]) == 0 for row in trapped)

    lambdas = sp.symbols("l0:20")
    generic = gaussian_series("z1 + He2(z1)*z2", lambda k, i: lambdas[k + 2 * i], 3)
    assert generic[0] == [lambdas[1], 0] and generic[1][1] == 0
    assert sp.expand(generic[2][1] - 2 * lambdas[3] * lambdas[1] ** 2 / 6) == 0  # b_2 = 2, (k+1)! = 6
    generic = gaussian_series("3*z1 + He3(z1)*z2", lambda k, i: lambdas[k + 2 * i], 4)
    assert [row[1] for row in generic[:3]] == [0, 0, 0]
    assert sp.expand(generic[3][1] - 6 * lambdas[4] * (3 * lambdas[1]) ** 3 / 24) == 0


def test_missing_order_of_a_shifted_relu():
    y, b = sp.symbols("y b", real=True)
    A, B = tail(hermite(3, y) * (y + b), y, -b)
    assert B == 0 and sp.expand(A + b) == 0  # lambda_3(1) = -b phi(b)
    assert sp.solve(sp.diff(b * density(b), b), b) == [-1, 1]


# ---- regimes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["-2", "-1", "-1/3", "0", "1/7", "1", "3"])
def test_points_where_the_verdict_changes(value):
    order2, order3 = "z1 + z1*z2", "z1 + He2(z1)*z2"

    def trapped(h, act):
        return decide.largest_invariant_subspace(h, act).dimension > 0

    zero = Fraction(value) == 0
    assert trapped(order2, f"leaky_relu(y,{value})") == (abs(Fraction(value)) == 1)
    assert trapped(order3, f"leaky_relu(y,{value})")
    assert not trapped(order2, f"relu(y+({value}))") and trapped(order3, f"relu(y+({value}))") == zero
    assert trapped(order2, f"tanh(5*y+({value}))") == zero and not trapped(order3, f"tanh(5*y+({value}))")
    assert trapped(order2, f"y+({value})*y**2") == zero and trapped(order3, f"y+({value})*y**2")
    assert trapped(order2, f"y+({value})*y**3") and trapped(order3, f"y+({value})*y**3") == zero
    for h in ("z1 + z1*z2*z3", "z1*z2"):
        assert trapped(h, f"relu(y+({value}))") and trapped(h, f"tanh(5*y+({value}))")


def test_floors_of_parity():
    for act in ("relu", "gelu", "silu", "softplus(20*y)/20", "leaky_relu(y,1/10)"):
        assert decide.expressivity_floor("z1 + He2(z1)*z2", act) == 1
        assert decide.expressivity_floor("z1 + z1*z2", act) == 0
        assert decide.expressivity_floor("z1 + He2(z1)*z2", Activation(act).shift("1/3")) == 0


def test_noise_of_a_steep_step():
    t = sp.symbols("t")
    assert sp.integrate(1 - t**2, (t, -1, 1)) == sp.Rational(4, 3)
