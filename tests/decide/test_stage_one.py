"""The true stage one: series derived by hand, the mean-field solver, particles, and the flow (4.1) as its top degree in a."""

from fractions import Fraction

import decide_routes as routes
import numpy as np
import pytest
import sympy as sp
from scipy.integrate import solve_ivp

from meanfield_sgd import Activation, InputError, Polynomial
from meanfield_sgd.decide import stage_one, taylor_flow
from meanfield_sgd.simulate import InitialLaw, meanfield

a = sp.Symbol("a")
R = sp.Rational
HALF = {1: "1/2", -1: "1/2"}
G1 = "z1 + z1*z2 - 2/3*He3(z1) - 1/2*z1*He2(z2) + z3*(z2 - 1/2*He2(z1))"
CUBIC = "y + y**2/2 + y**3/6"
G2 = "-20/3*z1 - 10*z1*z2 + 5*z1*z2**2 + 5/3*z1**3 + 5/4*(z1**3*z2 + z1*z2**3) + 5/2*z2*z3 + 10/3*z3 - 5/3*(z1**2 + z2**2)*z3"
WAVE = "3/5*sin(y) + 4/5*cos(y)"
TRAP_E = "-4*z1 - 8*z1*z2 + z1**3 + 3*z1*z2**2 + z1**3*z2 + z1*z2**3 + 2*z3 - (z1**2 + z2**2)*z3 + 2*z2*z3"


def same(x, y):
    return sp.expand(sp.sympify(x) - y) == 0


def test_listed_series():
    """z1 + z1 z2 with s_j = 1, a ~ U[-1, 1]."""
    flow = stage_one("z1 + z1*z2", "exp(y) - 1", 4)
    first = [a, -a / 6, a / 54 + 2 * a**3 / 3, -97 * a / 1620 - 19 * a**3 / 72]
    second = [0, a**2 / 2, -(a**2) / 18, a**2 / 216 + 5 * a**4 / 12]
    for j in range(1, 5):
        assert same(flow[j][0], first[j - 1]) and same(flow[j][1], second[j - 1])
    assert flow.output == () and flow.order == 4 and flow.variables == ("z1", "z2")
    assert flow.along([0, 1]) == (2, a**2 / 2)


@pytest.mark.parametrize(
    "text, activation, fourth, fifth",
    [
        (G1, CUBIC, a**3 / 36, -a / 900 - a**3 / 180),
        (G2, WAVE, -R(2, 25) * a**3, 18 * a / 15625 + 18 * a**3 / 3125),
    ],
)
def test_gap_families_leave_the_plane(text, activation, fourth, fifth):
    flow = stage_one(text, activation, 5)
    assert [q[2] for q in flow.coefficients[:3]] == [0, 0, 0]
    assert same(flow[4][2], fourth) and same(flow[5][2], fifth)
    order, leading = flow.along([0, 0, 1])
    assert order == 4 and same(leading, fourth)


@pytest.mark.parametrize("train_a", [False, True])
def test_one_atom_can_be_trapped(train_a):
    flow = stage_one(TRAP_E, "sin(y) + cos(y)", 6, law={1: 1}, train_a=train_a)
    assert [sp.sympify(q[2]).subs(a, 1) for q in flow.coefficients] == [0] * 6
    assert any(sp.sympify(q[1]).subs(a, 1) != 0 for q in flow.coefficients)
    assert len(flow.output) == (6 if train_a else 0)


def test_two_atoms_escape():
    flow = stage_one(TRAP_E, "sin(y) + cos(y)", 5, law=HALF)
    assert same(flow[4][2], -R(2, 3) * a**3) and same(flow[5][2], R(2, 5) * a**3 + R(2, 15) * a)


@pytest.mark.parametrize("train_a", [False, True])
@pytest.mark.parametrize("law", ["uniform", HALF, {"1/3": "1/4", 2: "3/4"}])
@pytest.mark.parametrize(
    "text, activation", [("z1 + z1*z2", "exp(y) - 1"), ("z1 + z1*z2 + z1*z2*z3", WAVE + " - 4/5"), (G1, CUBIC)]
)
def test_top_degree_is_the_flow_without_feedback(text, activation, law, train_a):
    """The a^j coefficient of Q_j is c_j, as long as sigma(0) E a = 0; deg Q_j <= j."""
    flow, expected = stage_one(text, activation, 5, law=law, train_a=train_a), taylor_flow(text, activation, 5)
    for j in range(1, 6):
        for q, c in zip(flow[j], expected[j], strict=True):
            poly = sp.Poly(q, a)
            assert poly.degree() <= j and same(poly.coeff_monomial(a**j), sp.sympify(c))


def test_output_at_zero_shifts_the_target():
    """sigma(0) E a = 1/2: the top degree is that of h - 1/2 (a ~ Beta-like moments by one atom at 1/2)."""
    flow = stage_one("z1 + z1*z2", "exp", 3, law={"1/2": 1})
    shifted = taylor_flow("z1 + z1*z2 - 1/2", "exp", 3)
    for j in (1, 2, 3):
        for q, c in zip(flow[j], shifted[j]):
            assert same(sp.Poly(q, a).coeff_monomial(a**j), sp.sympify(c))
    assert shifted[2] == (-Fraction(1, 4), Fraction(1, 2)) and shifted[3] == (Fraction(17, 24), -Fraction(1, 6))


# ---- particles: the flow for finitely many a, by quadrature on the definition ----


def particles(h, sigma, values, masses, time, train_a):
    """a and w at ``time`` of the flow with E over x by tensor quadrature and the residual f - f* kept."""
    points, weights = routes.tensor_grid(h.p, 22)
    target, n = h(points), len(values)

    def right(t, state):
        out, w = state[:n], state[n:].reshape(n, h.p)
        y = points @ w.T
        residual = weights * (sigma(y) @ (masses * out) - target)
        w_dot = -out[:, None] * (np.einsum("x,xi,xj->ij", residual, sigma.derivative(y), points))
        a_dot = -(residual @ sigma(y)) if train_a else np.zeros(n)
        return np.concatenate([a_dot, w_dot.ravel()])

    start = np.concatenate([values, np.zeros(n * h.p)])
    end = solve_ivp(right, (0, time), start, method="DOP853", rtol=1e-13, atol=1e-15).y[:, -1]
    return end[:n], end[n:].reshape(n, h.p)


def partial_sums(flow, values, time):
    w = np.zeros((len(values), len(flow.variables)))
    for j, q in enumerate(flow.coefficients, 1):
        for i, poly in enumerate(q):
            w[:, i] += time**j * np.array([float(sp.sympify(poly).subs(a, x)) for x in values])
    out = np.array(values, dtype=float)
    for j, poly in enumerate(flow.output, 1):
        out += time**j * np.array([float(sp.sympify(poly).subs(a, x)) for x in values])
    return out, w


@pytest.mark.parametrize("train_a", [False, True])
@pytest.mark.parametrize(
    "text, activation",
    [
        ("1/2 + z1 + z1*z2", "exp(y/2)"),
        ("z1 + z1*z2 + He3(z1)/3", "tanh(y + 1/2)"),
        ("sqrt(2)*z1 + z1*z2 - He2(z2)*z1", "sin(y + 1)"),
        ("z1 + z1*z2 + z1*z2*z3", "softplus"),
        ("z1 + z1*z2", "gelu(y + 1/2)"),
    ],
)
def test_against_particles(text, activation, train_a):
    """Three atoms of unequal mass: |series - flow| shrinks like t^(J+1), to about 1e-10."""
    values, masses = [Fraction(1), Fraction(-1, 2), Fraction(1, 3)], [Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)]
    order = 5
    flow = stage_one(text, activation, order, law=dict(zip(values, masses)), train_a=train_a)
    errors = []
    for time in (0.12, 0.06):
        out, w = partial_sums(flow, values, time)
        exact = particles(
            Polynomial(text),
            Activation(activation),
            np.array(values, dtype=float),
            np.array(masses, dtype=float),
            time,
            train_a,
        )
        errors.append(max(np.abs(exact[0] - out).max(), np.abs(exact[1] - w).max()))
        assert errors[-1] < 4 * time ** (order + 1)
    assert errors[0] / errors[1] > 2**5.3 or errors[0] < 1e-12


def test_against_the_mean_field_solver():
    """a ~ U[-1, 1] continuous: the error against the adaptive solver is of order t^(J+1)."""
    for text, activation, train_a in (
        ("z1 + z1*z2", "exp(y) - 1", False),
        ("z1 + z1*z2 + He2(z1)*z2/2", "tanh(y + 1/2)", False),
        ("z1 + z1*z2", "tanh(y + 1/2)", True),
    ):
        order, errors = 5, []
        flow = stage_one(text, activation, order, train_a=train_a)
        for time in (0.3, 0.15):
            run = meanfield(
                text, activation, time, tolerance=1e-9, train="both" if train_a else "w", law=InitialLaw.uniform()
            )
            state = run.final_state
            if train_a:  # the nodes have moved: invert a0 -> a(a0, t) by a table
                table = np.linspace(-1.001, 1.001, 4001)
                moved = table + sum(
                    time**j * sp.lambdify(a, q, "numpy")(table) * np.ones_like(table)
                    for j, q in enumerate(flow.output, 1)
                )
                starts = np.interp(state["a"], moved, table)
            else:
                starts = state["a"]
            w = np.zeros_like(state["w"])
            for j, q in enumerate(flow.coefficients, 1):
                for i, poly in enumerate(q):
                    w[:, i] += time**j * sp.lambdify(a, poly, "numpy")(starts) * np.ones_like(starts)
            errors.append(np.abs(w - state["w"]).max())
        assert errors[0] < 4 * 0.3**6 and errors[1] < 4 * 0.15**6 + 1e-6 * train_a
        if not train_a:
            assert errors[0] / errors[1] > 2**5.3


def test_uniform_law_is_the_limit_of_its_moments():
    """Q_1, ..., Q_4 depend on the moments of a up to order 4 only: U[-1, 1] has those of three atoms at Gauss's places."""
    root = sp.sqrt(R(3, 5))
    atoms = {-root: R(5, 18), 0: R(4, 9), root: R(5, 18)}
    exact, other = stage_one("z1 + z1*z2", "exp(y) - 1", 4), stage_one("z1 + z1*z2", "exp(y) - 1", 4, law=atoms)
    for q, r in zip(exact.coefficients, other.coefficients):
        assert all(same(x, sp.sympify(y)) for x, y in zip(q, r))


def test_symmetries():
    """An odd activation and a symmetric law: w_2 of z1 + z1 z2 never moves; sigma' = 0 at 0: nothing moves."""
    flow = stage_one("z1 + z1*z2", "tanh", 6)
    assert all(q[1] == 0 for q in flow.coefficients) and flow.along([0, 1]) is None
    assert all(q == (0, 0) for q in stage_one("z1 + z1*z2", "cos", 4).coefficients)
    flow = stage_one("z1 + z1*z2*z3", "tanh(y + 1/2)", 5)
    assert flow.along(["0", "1", "0"]) is None and flow.along([0, 0, 1]) is None


def test_text():
    flow = stage_one("z1 + z1*z2", "exp(y) - 1", 2)
    assert str(flow).splitlines() == ["w_z1 = t^1 (a) + t^2 (-a/6) + O(t^3)", "w_z2 = t^2 (a**2/2) + O(t^3)"]
    for j in (0, 3):
        with pytest.raises(InputError):
            flow[j]


@pytest.mark.parametrize(
    "arguments, options, match",
    [
        (("z1", "relu"), {}, "derivative"),
        (("z1", "tanh", 0), {}, "order"),
        (("z1", "tanh", 25), {}, "order"),
        (("z1", "tanh", 2.0), {}, "order"),
        (({(1,): 0.5}, "tanh"), {}, "exact"),
        (("z1", "tanh"), {"law": {1: "1/2"}}, "add up"),
        (("z1", "tanh"), {"law": "gaussian"}, "law"),
        (("z1", "tanh"), {"law": {}}, "law"),
        (("z1", "tanh"), {"law": {1: 0.5, -1: 0.5}}, "float"),
        (("2", "tanh"), {}, "constant"),
    ],
)
def test_errors(arguments, options, match):
    with pytest.raises(InputError, match=match):
        stage_one(*arguments, **options)


def test_negative_probabilities():
    with pytest.raises(InputError, match="probabilities"):
        stage_one("z1", "tanh", 2, law={1: 2, -1: -1})


@pytest.mark.parametrize("direction", [[0.1, 1], [1], [1, 0, 0], ["[].append(1)", 1]])
def test_along_reads_exact_vectors_only(direction):
    with pytest.raises(InputError):
        stage_one("z1 + z1*z2", "exp", 2).along(direction)
