"""Staircases, leaps, information exponents: by hand, by brute force over orders of climbing, and over many rotations."""

import itertools
import math
from fractions import Fraction

import decide_routes as routes
import numpy as np
import pytest
import sympy as sp

from meanfield_sgd import InputError, Polynomial
from meanfield_sgd.decide import (
    coordinate_leap,
    information_exponent,
    isotropic_leap_at_most_one,
    largest_reflective_subspace,
    merged_staircase,
)

ROWS = [  # target, coordinate leap, merged-staircase property, isotropic leap at most 1
    ("z1 + z1*z2", 1, True, True),
    ("z1 + z1*z2*z3", 2, False, False),
    ("z1 + z1*z2 + z1*z2*z3", 1, True, True),
    ("z1 + z2 + z1*z2", 1, True, False),
    ("z1 + 2*z2 + z1*z2", 1, True, True),
    ("z1*z2", 2, False, False),
    ("z1*z2 + z1*z2*z3", 2, False, False),
    ("He3(z1)", 3, True, False),
    ("z1 + He2(z2)", 2, True, False),
    ("z1 + He2(z1)*z2", 1, True, True),
    ("z1 + z1*He2(z2)", 2, True, False),
    ("He4(z1)*z2", 5, False, False),
    ("z1**3", 1, True, True),
    ("z1 + z2*z3 + z1*z2*z3*z4", 2, False, False),
    ("z1*z2*z3 + z4", 3, False, False),
    ("z1 + 0*z2 + z1*z3", 1, True, True),
]


@pytest.mark.parametrize("text, leap, staircase, isotropic", ROWS)
def test_rows(text, leap, staircase, isotropic):
    found = coordinate_leap(text)
    assert found.leap == leap and bool(found) == (leap == 1)
    assert bool(merged_staircase(text)) == staircase
    assert isotropic_leap_at_most_one(text) == isotropic
    assert isotropic == (largest_reflective_subspace(text).dimension == 0)


def test_steps():
    found = coordinate_leap("z1 + He2(z1)*z2 + z2*z3*z4")
    assert found.leap == 2
    assert found.steps == (("z1", 1, ("z1",)), ("He2(z1)*z2", 1, ("z2",)), ("z2*z3*z4", 2, ("z3", "z4")))
    assert str(found) == "leap 2: z1 (+1) -> He2(z1)*z2 (+1) -> z2*z3*z4 (+2)"
    assert merged_staircase("z1 + He2(z2)").steps[1] == ("He2(z2)", 1, ("z2",))


def brute_force(terms, height):
    """The least over all orders of the Hermite monomials of the highest step."""
    best = math.inf
    for order in itertools.permutations(terms):
        known, highest = set(), 0
        for alpha in order:
            highest = max(highest, height(alpha, known))
            known |= {i for i, e in enumerate(alpha) if e}
        best = min(best, highest)
    return best


def test_greedy_is_the_best_of_all_orders():
    rng, seen = routes.generator(4), set()
    for _ in range(80):
        p, count = rng.choice([2, 3, 4]), rng.randint(1, 5)
        terms = set()
        while len(terms) < count:
            alpha = [0] * p
            for _ in range(rng.randint(1, 4)):
                alpha[rng.randrange(p)] += 1
            terms.add(tuple(alpha))
        h = Polynomial.from_hermite(dict.fromkeys(terms, 1))
        leap = brute_force(terms, lambda a, known: sum(e for i, e in enumerate(a) if i not in known))
        new = brute_force(terms, lambda a, known: sum(1 for i, e in enumerate(a) if e and i not in known))
        assert coordinate_leap(h).leap == leap and merged_staircase(h).leap == new
        seen.add(leap)
    assert {1, 2, 3} <= seen


@pytest.mark.parametrize("text", [row[0] for row in ROWS if "z4" not in row[0]])
def test_isotropic_leap_is_consistent_with_rotations(text):
    """coordinate_leap(h o Q) is a lower bound of the isotropic leap; the basis adapted to U_* attains more than 1."""
    h, bound = Polynomial(text), {row[0]: row[3] for row in ROWS}[text]
    support = h.minimal()[0] if h.support().dimension < h.p else h
    rng, highest = routes.generator(5), coordinate_leap(support).leap
    for _ in range(12):
        highest = max(highest, coordinate_leap(support.rotate(routes.cayley(rng, support.p))).leap)
    if bound:
        assert highest == 1
    # an orthonormal basis that starts with U_*: exactly the hidden directions are climbed with a step of 2 or more
    hidden = largest_reflective_subspace(support)
    rows = [[sp.nsimplify(x) for x in row] for row in hidden.basis]
    rest = sp.Matrix(rows).nullspace() if rows else [sp.eye(support.p)[:, i] for i in range(support.p)]
    frame = sp.GramSchmidt([*(sp.Matrix(list(v)) for v in rest), *(sp.Matrix(row) for row in rows)], True)
    Q = sp.Matrix.hstack(*frame)  # z = Q y
    adapted = support.rotate([[sp.sqrtdenest(x) for x in Q.row(i)] for i in range(support.p)])
    assert (coordinate_leap(adapted).leap > 1) == (not bound)


def test_information_exponents():
    h = "z1 + z1*z2 + He3(z2)"
    assert information_exponent(h, [1, 0]) == 1
    assert information_exponent(h, [0, 1]) == 3
    assert information_exponent(h, ["0", "7"]) == 3
    assert information_exponent(h, "z1 + z2") == 1
    assert information_exponent("z1*z2", [1, 0]) is None
    assert information_exponent("z1*z2", "z1 - z2") == 2
    assert information_exponent("z1 - z2 + z1*z2 + He3(z1)", [1, 1]) == 2
    assert information_exponent("sqrt(2)*z1 - z2 + He4(z2)", [1, sp.sqrt(2)]) == 4
    assert information_exponent("z1 + z1*z2", [math.cos(math.pi / 2), 1.0]) is None  # 6e-17 is not a direction
    assert information_exponent("z1 - 0.5*z2 + z1*z2", [0.3, 0.6]) == 2
    assert information_exponent({(1, 0): 0.5, (1, 1): 1.0}, [1, 0]) == 1
    assert information_exponent("5 + He2(z1)", [1]) == 2  # the constant does not count


def test_information_exponent_by_quadrature():
    """The least k with E[h He_k(u . z)] != 0, |u| = 1, by Gauss-Hermite quadrature."""
    rng = routes.generator(8)
    for _ in range(40):
        p = rng.choice([2, 3])
        terms = routes.random_terms(rng, p, 4)
        u = [Fraction(x) for x in rng.choice([[3, 4], [1, 0], [0, 1], [-4, 3]])] + [Fraction(0)] * (p - 2)
        points, weights = routes.tensor_grid(p, 10)
        h, y = routes.values(terms, points), points @ np.array(u, dtype=float) / math.hypot(*map(float, u))
        means = [weights @ (h * np.polynomial.hermite_e.hermeval(y, [0] * k + [1])) for k in range(1, 6)]
        expected = next((k for k, m in enumerate(means, 1) if abs(m) > 1e-10), None)
        assert information_exponent(Polynomial.from_terms(terms), u) == expected


def test_errors():
    for direction in ([0, 0], [0.0, 0.0], [1], [1, 2, 3], "z9", [float("nan"), 1.0], 3):
        with pytest.raises(InputError):
            information_exponent("z1 + z2", direction)
    for function in (coordinate_leap, merged_staircase):
        with pytest.raises(InputError, match="exact"):
            function({(1,): 0.5})
        with pytest.raises(InputError, match="constant"):
            function("3")
