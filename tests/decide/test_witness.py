"""Witnesses of a broken symmetry: the value against the definition, the contraction against full tensors.

The definition G(u, v) = E[h(z) sigma'(u + v . z_{S-perp}) z_S] is integrated in an orthonormal frame whose first axis is
v: composite Gauss-Legendre along it, split where sigma has a corner, Gauss-Hermite across.
"""

import copy
import itertools
import math
import pickle
from fractions import Fraction

import decide_routes as routes
import numpy as np
import pytest
import sympy as sp

from meanfield_sgd import Activation, Polynomial
from meanfield_sgd.decide import is_reflective


def by_definition(h, rows, sigma, u, v, *, reach=12.0):
    """G(u, v); ``reach``: how far from 0 the integrand matters."""
    p, v, u = h.p, np.array(v, dtype=float), float(u)
    length = np.linalg.norm(v)
    frame = np.linalg.qr(np.column_stack([v if length else np.eye(p)[0], np.eye(p)]))[0].T
    if length and frame[0] @ v < 0:
        frame[0] *= -1
    corners = [(b - u) / length for b in sigma.breakpoints] if length else []
    edges = sorted({*np.linspace(-reach, reach, 8 * int(reach) + 1), *(c for c in corners if abs(c) < reach)})
    along, weights = routes.gauss_panels(edges, 24)
    weights = weights * np.exp(-(along**2) / 2) / math.sqrt(2 * math.pi)
    across, factors = routes.tensor_grid(p - 1, 12)  # the integrand is a polynomial there
    points = np.repeat(along[:, None], len(across), axis=1)[..., None] * frame[0] + across @ frame[1:]
    on_S = np.zeros((p, p))
    if len(rows):
        _, sizes, q = np.linalg.svd(np.array(rows, dtype=float), full_matrices=False)
        q = q[sizes > 1e-9 * sizes[0]]
        on_S = q.T @ q
    assert np.linalg.norm(on_S @ v) < 1e-12 * max(1, length)  # v is in the complement of S
    weighted = h(points) * weights[:, None] * factors * sigma.derivative(u + points @ v)
    return np.einsum("ij,ijk->k", weighted, points @ on_S)


TARGETS = [
    ("z1 + z1*z2", [[0, 1]]),
    ("z1 + z1*z2", [[1, 2]]),
    ("z1 + He2(z1)*z2", [[0, 1]]),
    ("z1 - 3*z2 + z1**3*z2/2", [[2, -1]]),
    ("z1 + z1*z2*z3 + z2*z3", [[0, 1, 0]]),
    ("z1 + z1*z2*z3", [[0, 1, 0], [1, 0, 1]]),
    ("z1 + z1*z2 + He3(z2)*z3", [[0, 0, 1]]),
    ("sqrt(2)*z1 + sqrt(3)*z1*z2", [[0, 1]]),
    ("z1*z2", [[1, 0]]),
    ("z1 + He2(z2)", [[1, 0], [0, 1]]),  # S is everything: v = 0
]
ACTIVATIONS = (
    "tanh",
    "tanh(y + 1/2)",
    "softplus",
    "sin",
    "cos",
    "relu",
    "relu(y - 1/3) + tanh(y)",
    "abs",
    "elu",
    "leaky_relu(y, 1/10)",
    "gelu",
    "silu",
    "erf",
    "gaussian",
    "exp(y/2)",
    "y + y**2/2 + y**3/6 + y**4/24",
    "y*tanh(2*y)",
)


@pytest.mark.parametrize("text, rows", TARGETS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_value_is_the_definition(text, rows, activation):
    h, sigma = Polynomial(text), Activation(activation)
    answer = is_reflective(h, rows, sigma)
    assert not answer and not answer.reflective
    witness = answer.witness
    reach = 12 + (3 if activation.startswith("exp") else 0)
    expected = by_definition(h, rows, sigma, witness.u, list(map(float, witness.v)), reach=reach)
    np.testing.assert_allclose(witness.value, expected, rtol=1e-8, atol=1e-9)
    assert max(map(abs, witness.value)) > 1e-6
    assert isinstance(witness.u, Fraction) and all(not isinstance(x, float) for x in witness.v)
    assert str(witness) in str(answer) and "G(u, v)" in str(witness)


@pytest.mark.parametrize("seed", range(3))
def test_random_rational_subspaces(seed):
    rng = routes.generator(50 + seed)
    broken = 0
    while broken < 12:
        p = rng.choice([2, 3])
        terms = routes.random_terms(rng, p, 4)
        if rng.random() < 0.5:
            terms = routes.compose(terms, routes.cayley(rng, p))
        rows = routes.row_echelon([[rng.randint(-2, 2) for _ in range(p)] for _ in range(rng.randint(1, p - 1))])
        sigma = Activation(rng.choice(["tanh(y + 1/2)", "softplus", "relu", "y + y**2/2"]))
        h = Polynomial.from_terms(terms)
        answer = is_reflective(h, [list(row) for row in rows], sigma)
        if answer:
            continue
        broken += 1
        witness, size = answer.witness, math.sqrt(h.variance())
        expected = by_definition(h, rows, sigma, witness.u, list(map(float, witness.v)))
        np.testing.assert_allclose(witness.value, expected, rtol=1e-8, atol=1e-9 * size)
        check_contraction(terms, rows, p, witness)


def check_contraction(terms, rows, p, witness):
    """The stated C_k of rows of the frame, projected on S, by full tensors: equal and not zero."""
    tensor = routes.tensors(terms, p, routes.degree_of(terms))[witness.contraction.order]
    frame = [list(map(Fraction, row)) for row in witness.frame]
    assert routes.row_echelon(frame) == routes.complement(rows, p)
    assert all(not sum(x * y for x, y in zip(a, b)) for a, b in itertools.combinations(frame, 2))
    assert len(witness.contraction.arguments) == witness.contraction.order - 1
    for i in witness.contraction.arguments:
        tensor = routes.contract(tensor, frame[i - 1])
    vector = [[tensor.get((i,), Fraction(0))] for i in range(p)]
    projected = tuple(x for (x,) in routes.product(routes.projector(rows, p), vector))
    assert witness.contraction.value == projected and any(projected)


def test_contraction_by_hand():
    witness = is_reflective("z1 + 5*He2(z1)*z2", ["z2"]).witness
    assert str(witness.contraction) == "C_3[u1, u1] = 10*z2" and witness.frame == ((1, 0),)
    assert is_reflective("z1 + z1*z2", []).witness is None


def test_square_roots_stay_exact():
    answer = is_reflective("z1 + z1*z2", [[sp.sqrt(2), 1]], "tanh")
    v = answer.witness.v
    assert answer.arithmetic == "exact" and sp.simplify(sp.sqrt(2) * v[0] + v[1]) == 0
    expected = by_definition(
        Polynomial("z1 + z1*z2"), [[math.sqrt(2), 1]], Activation("tanh"), answer.witness.u, list(map(float, v))
    )
    np.testing.assert_allclose(answer.witness.value, expected, rtol=1e-8, atol=1e-9)
    # in this basis of square roots e2 is hidden
    r = sp.sqrt(2) / 2
    basis = [[r, r, 0], [-r, r, 0], [0, 0, 1]]
    assert is_reflective("z1 + z1*z2*z3", [[-1, 1, 0], [0, 0, 1]], basis=basis)
    assert not is_reflective("z1 + z1*z2*z3", [[-1, 2, 0], [0, 0, 1]], basis=basis)


@pytest.mark.parametrize("activation", ["tanh", "softplus", "relu"])
def test_floats_are_numeric(activation):
    rows = [[math.cos(0.3), math.sin(0.3)]]
    answer = is_reflective("z1 + z1*z2", rows, activation)
    assert not answer and answer.arithmetic == "numeric"
    sigma = Activation(activation)
    expected = by_definition(Polynomial("z1 + z1*z2"), rows, sigma, answer.witness.u, answer.witness.v)
    np.testing.assert_allclose(answer.witness.value, expected, rtol=1e-8, atol=1e-9)
    assert all(isinstance(x, float) for x in answer.witness.v)
    turned = [[math.cos(0.3), -math.sin(0.3), 0], [math.sin(0.3), math.cos(0.3), 0], [0, 0, 1.0]]
    hidden = is_reflective("z1 + z1*z2*z3", [turned[1], turned[2]], activation, basis=turned)
    assert hidden and hidden.arithmetic == "numeric" and hidden.witness is None
    assert is_reflective("z1 + z1*z2*z3", np.eye(3)[1:], activation)


def test_custom_activation():
    cubic = Activation.custom(lambda y: y + y**3, lambda y: 1 + 3 * y**2, name="cubic", polynomial_degree=3)
    answer = is_reflective("z1 + He2(z1)*z2", ["z2"], cubic)
    assert not answer
    expected = by_definition(
        Polynomial("z1 + He2(z1)*z2"), [[0, 1]], cubic, answer.witness.u, list(map(float, answer.witness.v))
    )
    np.testing.assert_allclose(answer.witness.value, expected, rtol=1e-8)
    line = Activation.custom(lambda y: 2 * y, lambda y: 2 + 0 * y, name="line", polynomial_degree=1)
    assert is_reflective("z1 + He2(z1)*z2", ["z2"], line)


def test_pickle_and_copy():
    answer = is_reflective("z1 + z1*z2", ["z2"])
    assert pickle.loads(pickle.dumps(answer)) == answer == copy.deepcopy(answer)


# ---- places far out, or where sigma is flat ----


@pytest.mark.parametrize(
    "activation, rows",
    [
        ("sin", [[101, 99]]),
        ("exp", [[20, 21]]),
        ("exp", [[7, 9]]),
        ("tanh", [[101, 99]]),
        ("relu", [[1001, -999]]),
    ],
)
def test_long_vectors(activation, rows):
    """Whole-number vectors of the complement are long; the average over r g must still be right.

    For S spanned by b, G = b (b . C_1 E[sigma'] + b . C_2[v] E[sigma'']) has a closed form.
    """
    answer = is_reflective("z1 + z1*z2", rows, activation)
    assert not answer
    v, u = list(map(float, answer.witness.v)), float(answer.witness.u)
    r2 = sum(x * x for x in v)
    b = np.array(rows[0], dtype=float) / np.linalg.norm(rows[0])
    first = b[0]  # b . C_1
    second = b[0] * v[1] + b[1] * v[0]  # b . C_2[v]
    if activation == "sin":
        average = math.cos(u) * math.exp(-r2 / 2), -math.sin(u) * math.exp(-r2 / 2)
    elif activation == "exp":
        average = (math.exp(u + r2 / 2),) * 2
    elif activation == "relu":  # P(u + r g > 0) and the density of u + r g at 0
        r = math.sqrt(r2)
        average = 0.5 * math.erfc(-u / r / math.sqrt(2)), math.exp(-((u / r) ** 2) / 2) / math.sqrt(2 * math.pi) / r
    else:  # integrate over y = u + r g, where tanh' has width 1
        y, w = routes.gauss_panels(np.linspace(-40, 40, 161), 30)
        r = math.sqrt(r2)
        density = np.exp(-(((y - u) / r) ** 2) / 2) / math.sqrt(2 * math.pi) / r
        slope = 1 / np.cosh(y) ** 2
        average = w @ (slope * density), w @ (slope * density * (y - u) / r2)
    expected = b * (first * average[0] + second * average[1])
    np.testing.assert_allclose(answer.witness.value, expected, rtol=1e-8)
    assert any(answer.witness.value)


@pytest.mark.parametrize(
    "text, activation",
    [
        ("z1 + z1*z2", "tanh(y + 30)"),
        ("z1 + z1*z2/10**30", "tanh"),
        ("z1*z2/10**300", "exp"),
        ("10**300*z1*z2", "tanh"),
    ],
)
def test_a_small_witness_is_not_zero(text, activation):
    answer = is_reflective(text, ["z2"], activation)
    assert not answer and any(answer.witness.value) and all(map(math.isfinite, answer.witness.value))


def test_a_witness_stays_off_the_corner():
    answer = is_reflective("z1 + He2(z2)", ["z1", "z2"], "abs")
    assert answer.witness.v == (0, 0) and answer.witness.u != 0


def test_the_witness_of_a_step_knows_what_its_jump_does():
    """Its derivative is 0 wherever it exists; the pull on z2 at (u, v) is B_1[v] E[1{u + r g > 0} He_2(g)] / r^2."""
    from scipy.stats import norm

    step = Activation.custom(
        lambda y: 1.0 * (y > 0), lambda y: 0.0 * y, name="step", polynomial_degree=None, even_part=("polynomial", 0),
        odd_part="non-polynomial", breakpoints=[0], growth="bounded", smoothness=-1,
    )  # fmt: skip
    witness = is_reflective("z1 + z1*z2", ["z2"], step).witness
    u, v = float(witness.u), float(witness.v[0])
    assert witness.value[0] == 0 and witness.value[1] == pytest.approx(v * -u * norm.pdf(u / v) / abs(v) ** 3, rel=1e-9)
    assert is_reflective("z1 + z1*z2*z3", ["z2", "z3"], step)
