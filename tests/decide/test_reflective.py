"""The reflective property: the reference table, certificates true and forged, and random targets against two routes.

The routes are the definition itself, G(u, v) by tensor Gauss-Hermite quadrature, and the closure of C_1 under full
symmetric tensors in Fractions; see routes.py.
"""

import dataclasses
import math
from fractions import Fraction

import decide_routes as routes
import numpy as np
import pytest
import sympy as sp

from meanfield_sgd import Activation, InputError, Polynomial
from meanfield_sgd.decide import (
    decide,
    expressivity_floor,
    is_reflective,
    largest_invariant_subspace,
    largest_reflective_subspace,
    loss_floor,
    reached_subspace,
)

# target: dim U_* for all orders; polynomial activations of degree 1, 2, 3, 4; tanh; cos; softplus (no bias)
TABLE = [
    ("z1 + z1*z2", 2, (1, 2, 2, 2), 1, 0, 2),
    ("z1 + z1*z2*z3", 1, (1, 1, 1, 1), 1, 0, 1),
    ("z1 + z1*z2 + z1*z2*z3", 3, (1, 2, 3, 3), 1, 0, 2),
    ("z1 + z1*z2 + z2*z3", 3, (1, 3, 3, 3), 1, 0, 3),
    ("z1 + z2 + z1*z2", 1, (1, 1, 1, 1), 1, 0, 1),
    ("z1 + z2 + z1**2", 2, (1, 2, 2, 2), 1, 0, 2),
    ("z1 + z2 + z1**2 - z2**2", 2, (1, 2, 2, 2), 1, 0, 2),
    ("z1 + He2(z1)*z2", 2, (1, 1, 2, 2), 2, 0, 1),
    ("z1 + z1**2*z2", 2, (1, 1, 2, 2), 2, 0, 1),
    ("z1 + z1*z2**2", 1, (1, 1, 1, 1), 1, 0, 1),
    ("z1*z2", 0, (0, 0, 0, 0), 0, 0, 0),
    ("He3(z1)", 0, (0, 0, 0, 0), 0, 0, 0),
    ("z1**2 + z2**2", 0, (0, 0, 0, 0), 0, 0, 0),
    ("z1**3", 1, (1, 1, 1, 1), 1, 0, 1),
    ("(z1 + z2)**3", 1, (1, 1, 1, 1), 1, 0, 1),
    ("z1 + He2(z2)", 1, (1, 1, 1, 1), 1, 0, 1),
]
POLYNOMIALS = ("y", "y + y**2/2", "y + y**2/2 + y**3/6", "y + y**2/2 + y**3/6 + y**4/24")


@pytest.mark.parametrize("text, every, degrees, odd, even, mixed", TABLE)
def test_table(text, every, degrees, odd, even, mixed):
    assert reached_subspace(text).dimension == every
    for activation in ("tanh", "tanh(y + 1/2)", "softplus", "relu", "cos", "exp"):  # parity plays no part: u is free
        assert reached_subspace(text, activation).dimension == every
    for activation, expected in zip(POLYNOMIALS, degrees):
        assert reached_subspace(text, activation).dimension == expected
    for names, expected in (
        (("tanh", "erf", "logistic", "sin"), odd),
        (("cos", "gaussian"), even),
        (("softplus", "gelu", "silu", "relu"), mixed),
        (("tanh(y + 1/2)", "exp", "elu"), every),
    ):
        for activation in names:
            reached = reached_subspace(text, activation, bias=False)
            assert reached.dimension == expected, activation
            assert reached.verify()


@pytest.mark.parametrize(
    "text, chain",
    [
        ("z1 + z1*z2 + z1*z2*z3", (1, 2, 3)),
        ("z1 + z1*z2 + z2*z3", (1, 2, 3)),
        ("z1 + z1*z2", (1, 2)),
        ("z1 + z2 + z1**2", (1, 2)),
        ("z1 + He2(z1)*z2 + He2(z1)*z3", (1, 2)),
        ("z1 + z1*z2 + He2(z1)*z3", (1, 3)),
        ("z1 + He2(z1)*z2 + He2(z2)*z3", (1, 2, 3)),
        ("z1*z2", ()),
    ],
)
def test_chains(text, chain):
    reached = reached_subspace(text)
    assert reached.chain == chain
    assert [U.dimension for U in reached.subspaces()] == [0, *chain]
    assert reached.verify()


def test_bases():
    assert reached_subspace("z1 + z2 + z1*z2").basis == ((1, 1),)
    assert largest_reflective_subspace("z1 + z2 + z1*z2").basis == ((1, -1),)
    assert largest_reflective_subspace("z1 + z1*z2*z3").basis == ((0, 1, 0), (0, 0, 1))
    assert largest_reflective_subspace("(z1 + z2)**3").basis == ()  # the complement is taken inside the support
    assert largest_reflective_subspace("z1 + 0*z2 + z1*z3*z4").basis == ((0, 0, 1, 0), (0, 0, 0, 1))
    assert largest_invariant_subspace("z1 + z1*z2", "tanh").basis == ((0, 1),)
    assert largest_invariant_subspace("z1 + z1*z2", "cos").basis == ((1, 0), (0, 1))
    rotated = reached_subspace("z1 + z1*z2*z3", basis=[["3/5", "4/5", 0], ["-4/5", "3/5", 0], [0, 0, 1]])
    assert rotated.basis == ((1, Fraction(4, 3), 0),)
    half = sp.sqrt(2) / 2
    turned = reached_subspace("z1 + z1*z2", "y", basis=[[half, half], [-half, half]])
    assert turned.basis == ((1, 1),) and turned.arithmetic == "exact" and turned.verify()


def test_not_downward_closed():
    h = "z1 + z1*z2*z3"
    assert is_reflective(h, ["z2", "z3"]) and not is_reflective(h, ["z2"]) and not is_reflective(h, ["z3"])


def test_trivial_and_unused_directions():
    assert is_reflective("z1 + z1*z2", [])
    assert is_reflective("z1 + 0*z3", [[0, 0, 1]])
    assert is_reflective("z1 + z1*z3", ["z2"])
    assert not is_reflective("z1 + z1*z3", ["z2 + z3"])
    assert not is_reflective("z1 + 0*z2", ["z1 + z2"])
    assert is_reflective("z1*z2", ["z1", "z2"]) and not is_reflective("z1 + z2*z3", ["z1", "z2", "z3"])
    assert is_reflective("z1 + z1*z2", ["z2"], "y") and not is_reflective("z1 + z1*z2", ["z2"], "y + y**2")
    assert is_reflective("z1 + He2(z1)*z2", ["z2"], "y + y**2") and not is_reflective("z1 + He2(z1)*z2", ["z2"], "y**3")


# ---- certificates ----


def with_step(reached, i, **changes):
    steps = list(reached.steps)
    steps[i] = dataclasses.replace(steps[i], **changes)
    return dataclasses.replace(reached, steps=tuple(steps))


def test_forged_certificates_do_not_verify():
    reached = reached_subspace("z1 + 2*z1*z2 + z1*z2*z3")
    assert reached.verify() and [s.order for s in reached.steps] == [1, 2, 3]
    assert str(reached.steps[1]) == "u2 = z2, from C_2[u1] = 2*z2"
    # the value of a contraction is not what is written
    assert not with_step(reached, 1, value=(Fraction(0), Fraction(3), Fraction(0))).verify()
    assert not with_step(reached, 0, value=(Fraction(0), Fraction(1), Fraction(0))).verify()
    # the direction is not that of the value
    assert not with_step(reached, 1, direction=(Fraction(0), Fraction(1), Fraction(1))).verify()
    # other arguments, a later argument, another order
    assert not with_step(reached, 2, arguments=(1, 1)).verify()
    assert not with_step(reached, 2, arguments=(1, 3)).verify()
    assert not with_step(reached, 1, order=3).verify()
    # a direction is missing: below it is honest, but the span is not closed
    short = dataclasses.replace(reached, steps=reached.steps[:2], basis=reached.basis[:2], chain=(1, 2))
    assert not short.verify()
    # a direction too many: not reached by a contraction, or reached twice
    more = (*reached.basis[:2], (Fraction(0), Fraction(0), Fraction(1)))
    lonely = reached_subspace("z1 + z1*z2 + He2(z3)")
    assert lonely.dimension == 2 and lonely.verify()
    assert not dataclasses.replace(lonely, basis=more).verify()
    assert not dataclasses.replace(lonely, steps=(*lonely.steps, lonely.steps[0])).verify()
    # another basis than the one that was reached
    assert not dataclasses.replace(lonely, basis=((1, 0, 0), (0, 0, 1))).verify()
    # orders that do not count
    assert not dataclasses.replace(reached, orders=(1, 2)).verify()
    # the chain and the levels
    assert not dataclasses.replace(reached, chain=(3,)).verify()
    assert not with_step(reached, 2, level=2).verify()
    # a contraction that vanishes gives no direction
    trap, axes = reached_subspace("z1 + z1*z2*z3"), tuple(tuple(Fraction(i == j) for j in range(3)) for i in range(3))
    first = trap.steps[0]
    second = dataclasses.replace(first, order=2, arguments=(1,), value=(Fraction(0),) * 3, direction=axes[1], level=2)
    third = dataclasses.replace(first, order=3, arguments=(1, 2), value=axes[2], direction=axes[2], level=3)
    forged = dataclasses.replace(trap, steps=(first, second, third), basis=axes, chain=(1, 2, 3))
    assert trap.verify() and not forged.verify()
    quadratic = reached_subspace("z1 + z1*z2 + z1*z2*z3", "y + y**2")
    assert quadratic.dimension == 2 and quadratic.verify()
    assert not dataclasses.replace(quadratic, orders=(1, 2, 3)).verify()


def test_numeric_answers_have_no_certificate():
    with pytest.raises(InputError, match="numeric"):
        reached_subspace({(1,): 0.5}).verify()


# ---- floors ----


@pytest.mark.parametrize(
    "text, S, floor",
    [
        ("z1 + z1*z2*z3", ["z2", "z3"], Fraction(1, 2)),
        ("z1 + z2 + z1*z2", ["z1 - z2"], Fraction(1, 4)),  # (y1^2 - y2^2)/2: the part -He2(y2)/2 has variance 1/2
        ("z1 + z1*z2", ["z2"], Fraction(1, 2)),
        ("z1 + 3*He2(z2)", ["z2"], Fraction(9)),
        ("z1*z2", ["z1", "z2"], Fraction(1, 2)),
        ("z1 + z1*z2", [], Fraction(0)),
        ("sqrt(2)*z1 + sqrt(3)*z1*z2", ["z2"], Fraction(3, 2)),
        ("(1 + sqrt(2))*z1", ["z1"], Fraction(3, 2) + sp.sqrt(2)),
    ],
)
def test_loss_floors_by_hand(text, S, floor):
    assert sp.simplify(sp.sympify(loss_floor(text, S)) - floor) == 0


def test_loss_floors_against_correlated_copies():
    rng = routes.generator(11)
    for _ in range(60):
        p = rng.choice([2, 2, 3])
        terms = routes.random_terms(rng, p, 4)
        rows = [[rng.randint(-2, 2) for _ in range(p)] for _ in range(rng.randint(1, p))]
        rows = [row for row in rows if any(row)] or [[1] * p]
        assert loss_floor(Polynomial.from_terms(terms), rows) == routes.loss_floor(terms, rows, p)


def test_floors_of_the_largest_subspaces_are_those_of_their_rows():
    verdict = decide("z1 + z2 + z1*z2", "tanh")
    assert verdict.reflective_floor == Fraction(1, 4) and verdict.invariant_floor == Fraction(1, 4)
    assert decide("z1 + z1*z2", "tanh").invariant_floor == Fraction(1, 2)


@pytest.mark.parametrize(
    "text, activation, floor",
    [
        ("z1 + z1*z2", "tanh", Fraction(1, 2)),
        ("z1 + He2(z1)*z2", "softplus", Fraction(1)),
        ("z1 + He2(z1)*z2", "relu", Fraction(1)),
        ("z1 + He2(z1)*z2", "tanh", Fraction(0)),
        ("z1 + z1*z2", "cos", Fraction(1, 2)),
        ("z1 + z1*z2", "tanh(y + 1/2)", Fraction(0)),
        ("7 + z1 + z1*z2", "tanh", Fraction(1, 2)),  # the constant does not count
        ("z1 + z1*z2 + 2*He3(z2)", "y + y**2", Fraction(12)),
        ("z1 + He2(z2)", "2", Fraction(3, 2)),
        ("sqrt(3)*z1*z2 + z1", "sin", Fraction(3, 2)),
    ],
)
def test_expressivity_floor(text, activation, floor):
    assert expressivity_floor(text, activation) == floor


def test_expressivity_floor_is_attained_or_not_beaten_by_least_squares():
    """Networks with tanh fitted to z1 + z1 z2 by least squares in the output weights, by quadrature: never below 1/2."""
    points, weights = routes.tensor_grid(2, 40)
    h = points[:, 0] * (1 + points[:, 1])
    features = np.tanh(points @ np.random.default_rng(0).normal(size=(2, 60)))
    root = np.sqrt(weights)[:, None]
    left = np.linalg.lstsq(features * root, h * root[:, 0], rcond=None)[0]
    loss = 0.5 * weights @ (features @ left - h) ** 2
    assert 0.5 - 1e-12 < loss < 0.51
    assert expressivity_floor("z1 + z1*z2", "tanh") == Fraction(1, 2)


# ---- random targets ----

TANH, SIN, SQUARE, SOFTPLUS = (Activation(t) for t in ("tanh(y + 1/2)", "sin", "y + y**2/2", "softplus"))
NODES = {2: 48, 3: 30, 4: 20}
#: sech^2 has its poles at distance pi/2 and a rule of N nodes converges like exp(-sqrt(2N) pi/(2|v|)): below 1e-11 here.
LENGTH = {2: 0.6, 3: 0.45, 4: 0.35}


def random_case(rng, hidden):
    """(terms, p): sparse, half of them rotated, some with a block that is reflective by construction."""
    p = rng.choice([2, 2, 2, 3, 3, 4])
    terms = routes.random_terms(rng, p, 5 if p < 4 else 3)
    if hidden and p > 2:
        i, j = rng.sample(range(1, p), 2)  # z_i z_j meets only as a pair
        alone = {k: c for k, c in terms.items() if not k[i] and not k[j]}
        pair = tuple(int(m in (i, j)) for m in range(p))
        terms = {**alone, pair: Fraction(rng.choice([1, 2, -1]))}
    if rng.random() < 0.5:
        terms = routes.compose(terms, routes.cayley(rng, p))
    return terms, p


def subspaces(rng, terms, p):
    """Coordinate subspaces, the complements of the closures for all orders and for degree 2, and a random one."""
    everything = range(1, routes.degree_of(terms) + 1)
    found = [[[int(i == j) for j in range(p)] for i in rng.sample(range(p), rng.randint(1, p - 1))]]
    for orders in (everything, range(1, 3)):
        closed, _ = routes.closure(terms, p, routes.degree_of(terms), orders)
        rows = routes.complement(closed, p)
        if rows:
            found.append([list(row) for row in rows])
    rows = [[rng.randint(-3, 3) for _ in range(p)] for _ in range(rng.randint(1, p - 1))]
    if any(map(any, rows)):
        found.append([row for row in rows if any(row)])
    return found


def quadrature_says(definition, sigma, rng, p):
    """max |G|/std over four random places, short enough for the rule."""
    size = 0.0
    for _ in range(4):
        v = rng.normal(size=p)
        v *= LENGTH[p] * rng.uniform(0.7, 1) / np.linalg.norm(v)
        size = max(size, np.linalg.norm(definition(sigma.derivative, rng.uniform(-1, 1), v)))
    return size / definition.size


@pytest.mark.parametrize("p", [2, 3, 4])
def test_quadrature_is_accurate_enough_for_the_comparison(p):
    """The rule against twice the nodes in the one coordinate that v has, on the steepest slopes of the comparison."""
    alpha = (5 if p < 4 else 3, *[0] * (p - 1))
    terms = routes.from_hermite({alpha: Fraction(1), (1, 1, *[0] * (p - 2)): Fraction(1)})
    coarse = routes.Definition(terms, [[int(i == 1) for i in range(p)]], p, NODES[p])
    plane = {a[:2]: c for a, c in terms.items()}  # the other coordinates do not occur
    fine = routes.Definition(plane, [[0, 1]], 2, 110)
    for sigma in (TANH, SOFTPLUS, SIN):
        for u in (-1.0, 0.0, 0.7):
            found = coarse(sigma.derivative, u, [LENGTH[p], *[0] * (p - 1)])[:2]
            assert np.max(np.abs(found - fine(sigma.derivative, u, [LENGTH[p], 0]))) / fine.size < 1e-10


@pytest.mark.parametrize("seed", range(5))
def test_random_targets_against_the_definition(seed, monkeypatch):
    # Thousands of witnesses would take minutes; they have tests of their own.
    monkeypatch.setattr("meanfield_sgd.decide.witness._witness", lambda *arguments: None)
    rng, places = routes.generator(1000 + seed), np.random.default_rng(seed)
    seen = {True: 0, False: 0}
    for case in range(104):
        terms, p = random_case(rng, hidden=case % 3 == 0)
        h = Polynomial.from_terms(terms)
        for rows in subspaces(rng, terms, p):
            definition = routes.Definition(terms, rows, p, NODES[p])
            for sigma in (TANH, SIN, SQUARE, SOFTPLUS):
                answer = is_reflective(h, rows, sigma)
                size = quadrature_says(definition, sigma, places, p)
                assert bool(answer) == (size < 1e-9), (h, rows, sigma, size)
                assert answer.arithmetic == "exact"
                seen[bool(answer)] += 1
    assert min(seen.values()) > 300


@pytest.mark.parametrize("seed", range(5))
def test_random_targets_against_full_tensors(seed):
    rng = routes.generator(2000 + seed)
    dimensions = set()
    for case in range(110):
        terms, p = random_case(rng, hidden=case % 3 == 0)
        h, n = Polynomial.from_terms(terms), routes.degree_of(terms)
        for activation, bias, orders in (
            (None, True, range(1, n + 1)),
            ("y + y**2/2", True, range(1, 3)),
            ("tanh", False, range(1, n + 1, 2)),
            ("softplus", False, [1, *range(2, n + 1, 2)]),
        ):
            reached = reached_subspace(h, activation, bias=bias)
            basis, chain = routes.closure(terms, p, n, orders)
            assert reached.basis == basis and reached.chain == chain, (h, activation)
            assert reached.verify()
            dimensions.add((p, len(basis)))
        everything = routes.closure(terms, p, n, range(1, n + 1))[0]
        outside = routes.complement(routes.support_of(terms, p), p)
        hidden = routes.complement([*everything, *outside], p)
        assert largest_reflective_subspace(h).basis == hidden
    assert {(2, 1), (2, 2), (3, 1), (3, 2), (3, 3), (4, 2)} <= dimensions


def test_floats_agree_with_exact_answers():
    rng = routes.generator(3)
    for _ in range(60):
        terms, p = random_case(rng, hidden=rng.random() < 0.5)
        exact = reached_subspace(Polynomial.from_terms(terms))
        rough = reached_subspace({a: float(c) for a, c in terms.items()})
        assert rough.arithmetic == "numeric" and rough.chain == exact.chain
        if exact.dimension:
            q = np.array(rough.basis)
            np.testing.assert_allclose(q @ q.T, np.eye(len(q)), atol=1e-13)
            rows = np.array(exact.basis, dtype=float)
            np.testing.assert_allclose(rows @ q.T @ q, rows, rtol=1e-8, atol=1e-8)
        S = largest_reflective_subspace({a: float(c) for a, c in terms.items()})
        assert S.dimension == largest_reflective_subspace(Polynomial.from_terms(terms)).dimension
        floor = loss_floor({a: float(c) for a, c in terms.items()}, S)
        expected = loss_floor(Polynomial.from_terms(terms), largest_reflective_subspace(Polynomial.from_terms(terms)))
        assert isinstance(floor, float) and math.isclose(floor, expected, rel_tol=1e-12, abs_tol=1e-12)


# ---- bad input ----


def test_errors():
    with pytest.raises(InputError, match="constant"):
        reached_subspace("5")
    with pytest.raises(InputError, match="activation"):
        reached_subspace("z1", bias=False)
    with pytest.raises(InputError, match="tolerance"):
        reached_subspace("z1", tolerance=0)
    with pytest.raises(InputError, match="basis"):
        reached_subspace("z1 + z2", basis=[[1, 0]])
    for rows in ([[1, 0, 0]], ["z9"], [[float("nan"), 1.0]], 5, [[0.5]]):
        with pytest.raises(InputError):
            is_reflective("z1 + z2", rows)
    with pytest.raises(InputError, match=r"declare|declared"):
        largest_invariant_subspace("z1 + z1*z2", Activation.custom(np.tanh, name="f", polynomial_degree=None))
    f = Activation.custom(np.tanh, name="f", polynomial_degree=None)
    assert reached_subspace("z1 + z1*z2", f).dimension == 2  # that it is no polynomial is enough here
