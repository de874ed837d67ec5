"""The statements of the chapter The gap, in exact arithmetic and by routes that do not use the library's own."""

import math
from fractions import Fraction

import decide_routes as routes
import numpy as np
import pytest
import sympy as sp
from scipy.integrate import solve_ivp

from meanfield_sgd import Activation, Polynomial, decide
from meanfield_sgd.simulate import InitialLaw, meanfield, taylor_curve

F = Fraction
CUBIC, WAVE, TRIG = "y + y**2/2 + y**3/6", "4/5*cos(y) + 3/5*sin(y)", "sin(y) + cos(y)"
G1 = "z1 + z1*z2 - 2/3*He3(z1) - 1/2*z1*He2(z2) + z3*(z2 - 1/2*He2(z1))"
G2 = (
    "10/3*z1 - 5/2*z1*z2 + 5*z1*He2(z2) + 5/3*He3(z1) + 5/4*(He3(z1)*z2 + z1*He3(z2))"
    " + 5/2*z2*z3 - 5/3*(He2(z1) + He2(z2))*z3"
)
G3 = "2*z1 - 4*z1*z2 + 2*He3(z1) + z1*He2(z2) + z3*(2*z2 - 2*He2(z1) - He2(z2))"
CIRCLE_TRAP = "2*z1 - 2*z1*z2 + He3(z1) + 3*z1*He2(z2) + He3(z1)*z2 + z1*He3(z2) - (He2(z1) + He2(z2))*z3 + 2*z2*z3"
JETS = {CUBIC: [1, 1, 1] + [0] * 30, WAVE: [F(3, 5), F(-4, 5), F(-3, 5), F(4, 5)] * 8, TRIG: [1, -1, -1, 1] * 8}
a = sp.Symbol("a")
w1, w2, w3 = W = sp.symbols("w1:4")
ROUND, OVAL = w1**2 + w2**2 - 2 * w2, 2 * w1**2 + w2**2 - 2 * w2


def monomials(text, p=3):
    """{exponents: Fraction} in z1, ..., zp."""
    h = Polynomial(text)
    place = [int(name[1:]) - 1 for name in h.variables]
    found = {}
    for exponents, c in h.terms.items():
        key = [0] * p
        for i, e in zip(place, exponents):
            key[i] = e
        found[tuple(key)] = F(str(c))
    return found


def curve(text, jet, order, p=3):
    """c_1, ..., c_order by raw moments; jet = s_1, s_2, ..."""
    return routes.raw_moment_flow(monomials(text, p), p, [0, *map(F, jet)], order)


def on_curve(q, cs):
    """Taylor coefficients of q(W), up to the order of the cs."""
    tau = sp.Symbol("tau")
    series = [sum(sp.Rational(str(c[i])) * tau**j for j, c in enumerate(cs, 1)) for i in range(3)]
    return sp.Poly(sp.expand(q.subs(dict(zip(W, series)), simultaneous=True)), tau)


def vanishes(q, cs):
    poly = on_curve(q, cs)
    return all(poly.coeff_monomial(sp.Symbol("tau") ** j) == 0 for j in range(len(cs) + 1))


def from_potential(p, jet):
    """The target with sum_k s_k H_k = p, as Hermite coefficients d_alpha = p_alpha / s_|alpha|."""
    terms = sp.Poly(sp.expand(p), *W).terms()
    return routes.from_hermite({alpha: F(str(c)) / F(jet[sum(alpha) - 1]) for alpha, c in terms})


# ---- no gap: two dimensions, degree two ----


@pytest.mark.parametrize("seed", range(12))
def test_degree_two_spans_like_the_powers_of_C2(seed):
    rng = routes.generator(seed)
    p = rng.choice([3, 4])
    A = [[F(rng.randint(-2, 2)) for _ in range(p)] for _ in range(p)]
    C2 = [[A[i][j] + A[j][i] for j in range(p)] for i in range(p)]
    C1 = [F(rng.choice([-2, -1, 0, 1])) for _ in range(p)]
    C1[0] = F(1)
    unit = [tuple(int(i == j) for j in range(p)) for i in range(p)]
    terms = {(0,) * p: F(rng.randint(-2, 2))}  # a constant, which must not matter for the spans
    for i in range(p):
        terms[unit[i]] = C1[i]
        for j in range(p):
            key = tuple(x + y for x, y in zip(unit[i], unit[j]))
            terms[key] = terms.get(key, 0) + C2[i][j] / 2
    jet = [F(rng.choice([-3, -2, -1, 1, 2, 3])) for _ in range(p + 2)]
    cs = routes.raw_moment_flow(terms, p, [F(0), *jet], p + 1)
    power, krylov = C1, []
    for j in range(1, p + 2):
        lead = [jet[0] * jet[1] ** (j - 1) / math.factorial(j) * x for x in power]
        rest = [x - y for x, y in zip(cs[j - 1], lead)]
        assert len(routes.row_echelon([*krylov, rest])) == len(routes.row_echelon(krylov))
        krylov.append(power)
        assert routes.row_echelon(krylov) == routes.row_echelon(cs[:j])
        power = [sum(C2[i][k] * power[k] for k in range(p)) for i in range(p)]
    assert routes.row_echelon(cs) == routes.closure(terms, p, 2, (1, 2))[0]


@pytest.mark.parametrize("seed", range(20))
def test_no_gap_in_the_plane(seed):
    rng = routes.generator(100 + seed)
    terms = routes.random_terms(rng, 2, 4)
    n = routes.degree_of(terms)
    jet = [F(rng.choice([-3, -2, -1, 1, 2, 3])) for _ in range(n)]
    cs = routes.raw_moment_flow(terms, 2, [F(0), *jet], n)
    assert routes.row_echelon(cs) == routes.closure(terms, 2, n, range(1, n + 1))[0]


# ---- the families in the gap ----


@pytest.mark.parametrize(
    "text, act, q, degree", [(G1, CUBIC, w1**2 - 2 * w2, 3), (G2, WAVE, ROUND, 4), (G3, TRIG, OVAL, 3)]
)
def test_explicit_gaps_to_order_14_and_at_all_orders(text, act, q, degree):
    cs = curve(text, JETS[act], 14)
    assert all(c[2] == 0 for c in cs) and vanishes(q, cs)
    assert len(routes.row_echelon(cs)) == 2
    assert len(routes.closure(monomials(text), 3, degree, range(1, degree + 1))[0]) == 3
    verdict = decide(text, act)
    assert verdict.verdict == "gap" and verdict.taylor.proof == "invariant set"
    equations = [sp.sympify(e) for e in verdict.taylor.equations]
    assert sp.rem(q, equations[0], w1) == 0 and equations[1] == w3


def test_the_listed_coefficients_of_G2():
    known = ["2", "2", "-20/3", "-34/3", "544/15", "3244/45", "-14456/63", "-155074/315"]
    for j, (c, value) in enumerate(zip(curve(G2, JETS[WAVE], 8), known)):
        assert c == tuple(F(value) if i == j % 2 else 0 for i in range(3))


@pytest.mark.parametrize("seed", range(15))
def test_every_cubic_has_its_parabolas(seed):
    rng = routes.generator(seed)
    s1, s2, s3, b, c = (F(rng.choice([-5, -3, -2, -1, 1, 2, 3, 4]), rng.randint(1, 3)) for _ in range(5))
    gamma = s2 * c / (2 * s1)
    d = {
        (1, 0, 0): F(1),
        (1, 1, 0): c,
        (1, 2, 0): F(-1, 2),
        (3, 0, 0): -(3 + s2**2 * c**2 / (s1 * s3)) / 6,
        (0, 1, 1): b,
        (2, 0, 1): -b * s2 * gamma / s3,
    }
    terms, jet = routes.from_hermite(d), [F(0), s1, s2, s3] + [F(0)] * 9
    cs = routes.raw_moment_flow(terms, 3, jet, 9)
    assert cs[0] == (s1, 0, 0) and cs[1] == (0, s1 * s2 * c / 2, 0)
    assert not any(map(any, cs[2:]))
    assert len(routes.closure(terms, 3, 3, (1, 2, 3))[0]) == 3
    # the field itself, from raw moments: F_i = sum_beta s_(|beta|+1) / beta! E[h z^beta z_i] W^beta
    field = []
    for i in range(3):
        total = sp.Integer(0)
        for beta in ((x, y, z) for x in range(3) for y in range(3) for z in range(3) if x + y + z <= 2):
            up = tuple(e + (k == i) for k, e in enumerate(beta))
            moment = routes.mean({tuple(x + y for x, y in zip(m, up)): v for m, v in terms.items()})
            number = jet[sum(beta) + 1] * moment / math.prod(map(math.factorial, beta))
            total += sp.Rational(str(number)) * sp.prod([v**e for v, e in zip(W, beta)])
        field.append(total.subs(w3, 0))
    r = {k: sp.Rational(str(v)) for k, v in (("s1", s1), ("s2", s2), ("b", b), ("c", c), ("g", gamma))}
    q = w2 - r["g"] * w1**2
    assert sp.expand(field[0] - r["s1"] - r["s2"] * r["c"] * q) == 0
    assert sp.expand(field[1] - r["s2"] * r["c"] * w1) == 0
    assert sp.expand(field[2] - r["b"] * r["s2"] * q) == 0
    slope = field[0] * sp.diff(q, w1) + field[1] * sp.diff(q, w2)
    assert sp.expand(slope + (r["s2"] * r["c"]) ** 2 / r["s1"] * w1 * q) == 0


@pytest.mark.parametrize("kappa", [1, -1])
def test_circle_and_ellipse_for_all_activations_of_their_kind(kappa):
    rng = routes.generator(kappa)
    c = sp.Symbol("c")
    shapes = [(ROUND, 2 * w1 - w1 * (1 + kappa * w2) * ROUND + c * w3 * ROUND, 4)]
    if kappa == -1:
        shapes.append((OVAL, 2 * w1 * (1 + w2) - w1 * OVAL + c * w3 * OVAL, 3))
    for q, p, degree in shapes:
        X = [sp.expand(sp.diff(p, v) + kappa * p * v).subs(w3, 0) for v in W]
        slope = sp.expand(X[0] * sp.diff(q, w1) + X[1] * sp.diff(q, w2))
        assert sp.rem(slope, q, w1) == 0 and sp.expand(X[2] - c * q) == 0
        for _ in range(3):
            s1, s2 = (F(rng.choice([-3, -2, -1, 1, 2, 3]), rng.randint(1, 3)) for _ in range(2))
            jet = [(s1, s2)[k % 2] * kappa ** (k // 2) for k in range(14)]
            terms = from_potential(p.subs(c, rng.choice([-2, -1, 1, 3])), jet)
            cs = routes.raw_moment_flow(terms, 3, [F(0), *jet], 9)
            assert all(x[2] == 0 for x in cs) and vanishes(q, cs)
            assert len(routes.closure(terms, 3, degree, range(1, degree + 1))[0]) == 3


def test_further_terms_in_z3_and_further_variables_change_nothing():
    decorated = G1 + " + 3*He2(z3)*z1 - z2*He3(z3)"
    assert curve(decorated, JETS[CUBIC], 8) == curve(G1, JETS[CUBIC], 8)
    longer = G1 + " + z3*z4 + z4*z5"
    assert decide(longer, CUBIC).verdict == "gap" and decide(longer, CUBIC).reached.dimension == 5
    assert all(c[2:] == (0, 0) for c in curve(G3 + " + z3*z4", JETS[TRIG], 8, 4))


# ---- how the true flow leaves the plane ----


def leading(text, act, law, train_a=False):
    return decide.stage_one(text, act, 4, law=law, train_a=train_a).coefficients[3][2]


def moments(law):
    return [sum((F(m) * F(b) ** k for b, m in law.items()), F(0)) for k in range(4)]


SHAPE = {G1: (CUBIC, F(-1, 24)), G2: (WAVE, F(3, 25)), G3: (TRIG, F(2, 3)), CIRCLE_TRAP: (TRIG, F(1, 3))}
CENTRED = [{1: "1/2", -1: "1/2"}, {1: "2/3", -2: "1/3"}, {3: "1/6", 0: "1/3", -1: "1/2"}]


@pytest.mark.parametrize("train_a", [False, True])
@pytest.mark.parametrize("text", SHAPE)
def test_leading_term_for_laws_of_mean_zero(text, train_a):
    act, factor = SHAPE[text]
    for law in CENTRED + ([{1: 1}, {1: "1/2", 2: "1/2"}] if act == CUBIC else []):  # sigma(0) = 0 for the cubic
        _, _, m2, m3 = moments(law)
        wanted = sp.Rational(str(factor)) * a**2 * (sp.Rational(str(m3)) - 2 * sp.Rational(str(m2)) * a)
        assert sp.expand(leading(text, act, law, train_a) - wanted) == 0


def test_leading_terms_for_the_uniform_law():
    for text, factor in ((G1, "1/36"), (G2, "-2/25"), (G3, "-4/9")):
        stage = decide.stage_one(text, SHAPE[text][0], 5)
        assert stage.along("z3") == (4, sp.Rational(factor) * a**3)
    fifth = [decide.stage_one(text, act, 5).coefficients[4][2] for text, act in ((G1, CUBIC), (G2, WAVE))]
    assert sp.expand(fifth[0] + a / 900 + a**3 / 180) == 0
    assert sp.expand(fifth[1] - 18 * a / 15625 - 18 * a**3 / 3125) == 0


@pytest.mark.parametrize("text, value", [(G1, 1 / 36), (G2, -2 / 25), (G3, -4 / 9)])
def test_leading_terms_in_simulation(text, value):
    ratios = []
    for t in (0.04, 0.02, 0.01):
        end = meanfield(text, SHAPE[text][0], t, train="w", times=[0, t], tolerance=1e-7).final_state
        i = end["a"].argmax()
        ratios.append(end["w"][i, 2] / (end["a"][i] ** 3 * t**4))
    assert abs((8 * ratios[2] - 6 * ratios[1] + ratios[0]) / 3 / value - 1) < 2e-3


def test_G2_escapes_slowly():
    for rate, known in ((0, {1: 0.0037, 3: 0.0096, 10: 0.0117}), (1, {1: 0.0083, 3: 0.049})):
        for t, value in known.items():
            end = meanfield(G2, WAVE, t, schedule_a=rate, times=[0, t]).final_state
            assert abs(np.abs(end["w"][:, 2]).max() / value - 1) < 0.02
    run = meanfield(G2, WAVE, 10, train="w", times=[0, 10])
    assert abs(run.losses[1] - 59.55) < 0.01


# ---- generic activations: the steering lemma ----


def bracket(X, Y, gens):
    return [sum((x * y.diff(g) - y2 * x2.diff(g)) for x, y2, g in zip(X, Y, gens)) for x2, y in zip(X, Y)]


def control_fields(homogeneous, dim, n):
    """f, V_k and theta_k of the chapter, over a polynomial ring in W and u."""
    N = n + 2
    ring, *gens = sp.ring([f"x{i}" for i in range(dim)] + [f"u{k}" for k in range(1, N + 1)], sp.QQ)
    x, u = gens[:dim], gens[dim:]
    H = {k: poly(x) * ring.one for k, poly in homogeneous.items()}
    zero = ring.zero
    V = [[H.get(k, zero).diff(x[i]) + x[i] * H.get(k - 2, zero) for i in range(dim)] for k in range(1, N + 1)]
    thetas = [sum((xi * vi for xi, vi in zip(x, v)), zero) for v in V]
    theta = sum((uk * t for uk, t in zip(u, thetas)), zero)
    f = [sum((uk * v[i] for uk, v in zip(u, V)), zero) for i in range(dim)]
    f += [theta * u[k + 2] for k in range(N - 2)] + [zero, zero]
    return ring, gens, V, thetas, theta, f


EXAMPLES = {
    "z1 + z1*z2": (2, 2, {1: lambda x: x[0], 2: lambda x: x[0] * x[1]}),
    "G1": (
        3,
        3,
        {
            1: lambda x: x[0],
            2: lambda x: x[0] * x[1] + x[1] * x[2],
            3: lambda x: -sp.QQ(2, 3) * x[0] ** 3 - sp.QQ(1, 2) * x[0] * x[1] ** 2 - sp.QQ(1, 2) * x[0] ** 2 * x[2],
        },
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_brackets_of_the_steering_lemma(name):
    dim, n, parts = EXAMPLES[name]
    ring, gens, V, thetas, theta, f = control_fields(parts, dim, n)
    N, zero = n + 2, ring.zero

    def unit(k):
        return [ring.one if i == dim + k - 1 else zero for i in range(dim + N)]

    X = {k: bracket(unit(k), f, gens) for k in range(1, N + 1)}
    for k in range(1, N + 1):  # X_k as stated
        wanted = V[k - 1] + [thetas[k - 1] * gens[dim + j + 1] for j in range(1, N - 1)] + [zero, zero]
        if k >= 3:
            wanted[dim + k - 3] += theta
        assert X[k] == wanted
    m, l = n, n + 2
    twice = bracket(unit(l), X[l], gens)
    assert twice == [2 * thetas[l - 1] * y for y in unit(m)]
    for i in range(1, m):
        found = bracket(unit(l), X[i + 2], gens)
        assert found == [thetas[l - 1] * x + thetas[i + 1] * y for x, y in zip(unit(i), unit(m))]
    # the Lie algebra of f and the two controls has full rank at a random point
    fields = [f, unit(N - 1), unit(N), X[N], X[N - 1], twice]
    fields += [bracket(unit(l), bracket(twice, f, gens), gens), bracket(unit(l), X[N - 1], gens)]
    rng = routes.generator(3)
    point = [sp.QQ(rng.choice([-3, -2, 2, 3]), rng.choice([1, 5])) for _ in gens]

    def rank(rows):
        values = [
            [F(int(y.numerator), int(y.denominator)) for y in (z.evaluate(list(zip(gens, point))) for z in r)]
            for r in rows
        ]
        return len(routes.row_echelon(values))

    seen, level = list(fields), list(fields)
    for _ in range(3):
        if rank(seen) == dim + N:
            break
        level = [bracket(g, x, gens) for g in fields[1:5] for x in level]
        level += [bracket(fields[0], x, gens) for x in fields[3:8]]
        level = [x for x in level if any(x)]
        seen += level
    assert rank(seen) == dim + N


@pytest.mark.parametrize("text, act, kept", [(G1, CUBIC, (3, 5, 7)), (G2, WAVE, (2, 4, 6)), (G3, TRIG, (2, 3, 4))])
def test_frozen_jets_escape_with_the_next_derivatives(text, act, kept):
    rng = routes.generator(8)
    for k in kept:
        jet = [*JETS[act][:k], *(rng.choice([-5, -3, -2, 2, 4, 7]) for _ in range(4))]
        cs = curve(text, jet, k + 3)
        assert len(routes.row_echelon(cs)) == 3


# ---- the trap of one output weight ----


def test_pair_kernel_of_sin_plus_cos():
    points, weights = routes.tensor_grid(2, 40)
    rng = np.random.default_rng(0)
    for _ in range(5):
        u, v = rng.normal(size=(2, 2)) * 0.8
        x, y = points @ u, points @ v
        mean = weights @ ((np.sin(x) + np.cos(x)) * (np.sin(y) + np.cos(y)))
        assert abs(mean - np.exp(-((u - v) @ (u - v)) / 2)) < 1e-10


@pytest.mark.parametrize("text", [G3, CIRCLE_TRAP])
@pytest.mark.parametrize("train_a", [False, True])
def test_one_output_weight_is_trapped(text, train_a):
    stage = decide.stage_one(text, TRIG, 6, law={1: 1}, train_a=train_a)
    for Q, c in zip(stage.coefficients, curve(text, JETS[TRIG], 6)):
        at_one = [sp.sympify(x).subs(a, 1) for x in Q]
        assert at_one[2] == 0
        assert train_a or at_one == [sp.Rational(str(x)) for x in c]
    run = meanfield(text, TRIG, 4, law=InitialLaw.points([1.0]), schedule_a=int(train_a), times=[0, 4], tolerance=1e-6)
    assert np.abs(run.final_state["w"][:, 2]).max() < 1e-7
    assert run.losses[1] > float(decide.loss_floor(text, ["z3"]))


@pytest.mark.parametrize("text, factor", [(G3, F(2, 3)), (CIRCLE_TRAP, F(1, 3))])
def test_all_other_laws_escape_at_order_four(text, factor):
    for law in [*CENTRED, {1: "1/2", 2: "1/2"}, {"1/2": "1/5", -1: "2/5", 2: "2/5"}, {1: "1/3", 0: "2/3"}, {2: 1}]:
        _, m1, m2, m3 = (sp.Rational(str(m)) for m in moments(law))
        wanted = sp.Rational(str(factor)) * a**2 * (m1 * a**2 - 2 * m2 * a + m3)
        found = leading(text, TRIG, law)
        assert sp.expand(found - wanted) == 0
        nonzero = [sp.Rational(b) for b in law if sp.Rational(b)]
        escapes = any(sp.sympify(found).subs(a, b) != 0 for b in nonzero)
        assert escapes == (len(nonzero) > 1)


def test_two_atoms_of_the_circle():
    stage = decide.stage_one(CIRCLE_TRAP, TRIG, 5, law={1: "1/2", -1: "1/2"})
    assert sp.expand(stage.coefficients[3][2] + 2 * a**3 / 3) == 0
    assert sp.expand(stage.coefficients[4][2] - (2 * a**3 / 5 + 2 * a / 15)) == 0


def test_pair_equation_against_the_mean_field_solver():
    """dw_a/dt = a F(w_a) - a E_b[b (w_b - w_a) exp(-|w_b - w_a|^2 / 2)], F = exp(-|w|^2 / 2) (grad p - p w)."""
    p = sp.expand(2 * w1 * (1 + w2) - w1 * OVAL + w3 * OVAL)
    X = sp.lambdify(W, [sp.diff(p, v) - p * v for v in W])
    atoms, mass = np.array([-1.0, 0.5, 2.0]), np.array([0.3, 0.5, 0.2])

    def slope(_, y):
        w = y.reshape(3, 3)
        pull = np.array([np.exp(-(v @ v) / 2) * np.array(X(*v)) for v in w])
        chord = w[None] - w[:, None]
        near = np.exp(-(chord**2).sum(2) / 2)
        return (atoms[:, None] * (pull - np.einsum("b,ab,abi->ai", mass * atoms, near, chord))).ravel()

    mine = solve_ivp(slope, (0, 1.5), np.zeros(9), rtol=1e-10, atol=1e-12).y[:, -1].reshape(3, 3)
    law = InitialLaw.points(atoms, mass)
    end = meanfield(G3, TRIG, 1.5, train="w", times=[0, 1.5], law=law, tolerance=1e-7).final_state
    order = np.argsort(end["a"])
    assert np.abs(end["w"][order] - mine).max() < 1e-5
    assert np.abs(mine[:, 2]).max() > 1e-3


def test_where_curves_end():
    end = taylor_curve(G3, TRIG, [30.0])[0]
    assert np.allclose(end, [math.sqrt(2 * math.sqrt(3) - 3), math.sqrt(3) - 1, 0], atol=1e-6)
    X = [sp.diff(2 * w1 * (1 + w2) - w1 * OVAL, v) - v * (2 * w1 * (1 + w2) - w1 * OVAL) for v in (w1, w2)]
    at = {w1: sp.sqrt(2 * sp.sqrt(3) - 3), w2: sp.sqrt(3) - 1}
    assert [sp.simplify(x.subs(at)) for x in X] == [0, 0]


# ---- in three variables the output is not tangent ----


def test_the_first_output_is_tangent_to_straight_lines_only():
    """order m - 1 of nu . F^{f_1} on (x, gamma x^m): -kappa s_1 m gamma."""
    x, gamma, kappa, c, s1, s2, s3 = sp.symbols("x gamma kappa c s1 s2 s3")
    for m in (2, 3, 5):
        psi = gamma * x**m
        across = kappa * s3 * x * psi + c * s2 * psi
        along = sp.diff(psi, x) * (kappa * s1 + kappa * s3 * x**2 + c * s2 * x)
        low = sp.Poly(sp.expand(across - along), x)
        assert all(low.coeff_monomial(x**j) == 0 for j in range(m - 1))
        assert sp.expand(low.coeff_monomial(x ** (m - 1)) + kappa * s1 * m * gamma) == 0


@pytest.mark.parametrize("train_a", [False, True])
def test_degrees_of_the_true_flow(train_a):
    """deg Q_j <= j with the coefficient c_j, deg R_j <= j - 1."""
    cs = curve(G1, JETS[CUBIC], 5)
    stage = decide.stage_one(G1, CUBIC, 5, train_a=train_a)
    for j, (Q, c) in enumerate(zip(stage.coefficients, cs), 1):
        for q, x in zip(Q, c):
            poly = sp.Poly(q, a)
            assert poly.degree() <= j and poly.coeff_monomial(a**j) == sp.Rational(str(x))
    for j, R in enumerate(stage.output, 1):
        assert sp.Poly(R, a).degree() <= j - 1


# ---- least orders ----


@pytest.mark.parametrize("p, n", [(2, 3), (2, 4), (3, 3), (4, 3), (3, 4)])
def test_chains(p, n):
    orders = [1]
    for _ in range(p - 1):
        orders.append((n - 1) * orders[-1] + 1)
    assert orders[-1] == sum((n - 1) ** i for i in range(p)) == decide.chain_order(p, n)
    chain = "z1" + "".join(f" + He{n - 1}(z{i})*z{i + 1}" for i in range(1, p))
    rng = routes.generator(p + n)
    sparse = [rng.choice([-2, 1, 3]) if k in (1, n) else 0 for k in range(1, orders[-1] + 1)]
    full = [rng.choice([-2, 1, 3]) for _ in range(orders[-1])]
    for jet in (sparse, full):
        cs = decide.taylor_flow(chain, jet=jet, order=orders[-1]).coefficients
        assert [next(j for j, c in enumerate(cs, 1) if c[i]) for i in range(p)] == orders


def test_a_cancellation_for_all_activations():
    text = "z1 + z1*z2 + z2*z3 + z4*(3*z1*z3 - 2*He2(z2))"
    s1, s2, s3, s4 = sp.symbols("s_1:5")
    cs = decide.taylor_flow(text, "symbolic", 7).coefficients
    assert all(sp.expand(c[3]) == 0 for c in cs[:6])
    assert sp.expand(cs[6][3] + s1**2 * s2 * s3 * (3 * s1**2 * s4 + 4 * s2**3) / 840) == 0
    rng = routes.generator(4)
    jet = [F(rng.choice([-3, -1, 2, 5])) for _ in range(7)]
    numbers = curve(text, jet, 7, 4)
    assert [bool(c[3]) for c in numbers] == [False] * 6 + [3 * jet[0] ** 2 * jet[3] + 4 * jet[1] ** 3 != 0]


def test_census_of_generic_jets_and_of_tanh():
    found = decide.census(2000, seed=11)
    assert not found.exceptions
    assert all(greatest <= chain for *_, greatest, chain in found.rows())
    odd = decide.census(300, activation="tanh", seed=11)
    assert odd.exceptions and all(r.span == r.closed < r.reached for r in odd.exceptions)


# ---- the search ----

SMALL = "z1 + 2*z1*z2 + z1*He2(z2) + z3*(z2 - He2(z1) + He2(z2))"


def test_small_gap_targets():
    cs = curve(SMALL, JETS[CUBIC], 10)
    assert all(c[2] == 0 for c in cs) and vanishes(w2**2 - w1**2 + w2, cs)
    assert len(routes.closure(monomials(SMALL), 3, 3, (1, 2, 3))[0]) == 3
    assert sum(abs(c) for c in Polynomial(SMALL).hermite_coefficients.values()) == 7
    assert sum(abs(c) for c in Polynomial(G3).hermite_coefficients.values()) == 14


def test_an_elliptic_curve_carries_a_gap():
    act = "y + y**2/2 + y**3/6 + y**4/24"
    h = decide.gap_family("(z2 - 1)**2 - z1**3 + z1 - 1", act, 4).smallest(1, bound=1)[0]
    cs = curve(str(h), [1, 1, 1, 1] + [0] * 12, 9)
    assert all(c[2] == 0 for c in cs) and vanishes((w2 - 1) ** 2 - w1**3 + w1 - 1, cs)
    x = sp.Symbol("x")
    assert sp.discriminant(x**3 - x + 1, x) != 0  # a smooth cubic: no rational parametrisation
    assert len(routes.closure(monomials(str(h)), 3, 4, (1, 2, 3, 4))[0]) == 3


# ---- what finitely many output weights do ----


@pytest.mark.parametrize("law", [{1: 1}, {-3: 1}, {1: "1/2", -2: "1/2"}, "uniform"])
@pytest.mark.parametrize("train_a", [False, True])
def test_degree_two_spans_with_every_law(law, train_a):
    """Part 2 of prop-gap-quadratic: one neuron is enough, whatever the output does."""
    h = "z1 + z1*z2 + z2*z3 + z3*z4 - He2(z2) + 2*He2(z4) + 5"
    assert decide.reached_subspace(h).dimension == 4
    value = 1 if law == "uniform" else next(iter(law))
    for act in ("exp(y)", "y + y**2/2", "sin(y) + 2*cos(y)"):
        rows = decide.stage_one(h, act, 4, law=law, train_a=train_a).coefficients
        assert sp.Matrix([[sp.sympify(x).subs(a, value) for x in Q] for Q in rows]).rank() == 4


HELD = "z1 + z1*z2 - z1*He2(z2) - He3(z1) + 13/2*He2(z1) + 25/2*He2(z2) + 5/3*He3(z2) + z3*(He2(z1) + He2(z2) - 2*z2)"


def test_the_output_holds_neurons_that_the_taylor_flow_lets_go():
    """prop-gap-output: the flow (4.1) spans R^3 at order 4, the true flow with a = 1 stays on a circle."""
    span = decide.taylor_span(HELD, CUBIC)
    assert (span.dimension, span.order, span.proof) == (3, 4, "bound")
    w = decide.stage_one(HELD, CUBIC, 12, law={1: 1}).coefficients
    x, y, z = ([0, *(sp.sympify(Q[i]).subs(a, 1) for Q in w)] for i in range(3))
    assert not any(z) and x[1] == 1
    for j in range(13):
        assert sum(u[i] * u[j - i] for u in (x, y) for i in range(j + 1)) == 2 * y[j]
    other = decide.stage_one(HELD, CUBIC, 4, law={2: 1}).along("z3")
    assert other is not None and other[0] == 4 and other[1].subs(a, 2) != 0
    # by hand, with sympy's own expectation: F and the pull on the circle
    w1, w2, g1, g2 = sp.symbols("w1 w2 g1 g2")

    def mean(f):
        poly = sp.Poly(sp.expand(f), g1, g2)
        odd = lambda k: 0 if k % 2 else sp.factorial2(k - 1) if k else 1  # noqa: E731
        return sum(c * odd(i) * odd(j) for (i, j), c in poly.terms())

    s = w1 * g1 + w2 * g2
    flat = g1 + g1 * g2 - g1 * (g2**2 - 1) - (g1**3 - 3 * g1) + sp.Rational(13, 2) * (g1**2 - 1)
    flat += sp.Rational(25, 2) * (g2**2 - 1) + sp.Rational(5, 3) * (g2**3 - 3 * g2)
    sigma, slope = s + s**2 / 2 + s**3 / 6, 1 + s + s**2 / 2
    push = [mean((flat - sigma) * slope * g) for g in (g1, g2)]
    q = w1**2 + w2**2 - 2 * w2
    assert sp.rem(sp.expand(sum(f * sp.diff(q, v) for f, v in zip(push, (w1, w2)))), q, w1) == 0
    across = mean((g1**2 - 1 + g2**2 - 1 - 2 * g2) * slope)
    assert sp.expand(across - q) == 0


def test_algebraically_independent_derivatives_have_no_gap():
    """cor-gap-formula on the known gap targets, their dressings, and random targets."""
    jet = lambda k: sp.exp(sp.sqrt(sp.prime(k))) if k else sp.Integer(0)  # noqa: E731
    free = Activation.custom(
        math.exp, name="free", jet=jet, even_part="non-polynomial", odd_part="non-polynomial"
    )  # only its derivatives are used
    targets = [
        HELD,
        decide.gap_family("z1**2 - 2*z2", CUBIC, 3).smallest(1)[0],
        *(r.target for r in decide.census(40, seed=2).records),
    ]
    for h in targets:
        span = decide.taylor_span(h, free)
        assert span.dimension == decide.reached_subspace(h).dimension and span.arithmetic == "exact"
