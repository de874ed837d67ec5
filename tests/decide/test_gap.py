"""Families of gap targets: G1, G2 and the trap of Theorem E belong to them; all members stay on their curve; none is left out."""

import dataclasses
import itertools
import random
from fractions import Fraction

import pytest
import sympy as sp
from sympy import QQ

from meanfield_sgd import InputError, Polynomial
from meanfield_sgd.decide import decide, gap_family, reached_subspace, taylor_flow
from meanfield_sgd.decide._lattice import kernel_lattice

F = Fraction
CUBIC = "y + y**2/2 + y**3/6"
WAVE = "4/5*cos(y) + 3/5*sin(y)"
TURN = "sin(y) + cos(y)"
PARABOLA, CIRCLE = "z1**2 - 2*z2", "z1**2 + z2**2 - 2*z2"
G1 = ("z1 + z1*z2 - 2/3*He3(z1) - 1/2*z1*He2(z2)", "z2 - 1/2*He2(z1)")
G2 = (
    "10/3*z1 - 5/2*z1*z2 + 5*z1*He2(z2) + 5/3*He3(z1) + 5/4*He3(z1)*z2 + 5/4*z1*He3(z2)",
    "5/2*z2 - 5/3*He2(z1) - 5/3*He2(z2)",
)
E = ("2*z1 - 2*z1*z2 + He3(z1) + 3*z1*He2(z2) + He3(z1)*z2 + z1*He3(z2)", "2*z2 - He2(z1) - He2(z2)")

z1, z2 = sp.symbols("z1 z2")


def hermite_vector(p, indices):
    table = p.hermite_coefficients
    place = [("z1", "z2").index(name) for name in p.variables]
    moved = {}
    for alpha, c in table.items():
        key = [0, 0]
        for i, e in zip(place, alpha):
            key[i] = e
        moved[tuple(key)] = c
    assert set(moved) <= set(indices)
    return [sp.Rational(moved.get(a, 0)) for a in indices]


def in_span(p, basis, degree):
    indices = [a for a in itertools.product(range(degree + 1), repeat=2) if sum(a) <= degree]
    rows = sp.Matrix([hermite_vector(b, indices) for b in basis])
    return sp.Matrix.vstack(rows, sp.Matrix([hermite_vector(p, indices)])).rank() == rows.rank() == len(basis)


@pytest.mark.parametrize(
    "curve, act, n, known", [(PARABOLA, CUBIC, 3, G1), (CIRCLE, WAVE, 4, G2), (CIRCLE, TURN, 4, E)]
)
def test_the_known_gap_targets_are_members(curve, act, n, known):
    family = gap_family(curve, act, n)
    assert in_span(Polynomial(known[0]), family.planar, n)
    assert in_span(Polynomial(known[1]), family.hidden, n)


CASES = [
    (PARABOLA, CUBIC, 3),
    (CIRCLE, WAVE, 4),
    ("z1**2 - z2**2 - 2*z2", CUBIC, 3),
    ("2*z1**2 + z2**2 - 2*z2", WAVE, 3),
    ("z1*z2 - z1 - z2", "exp(y)", 3),
    ("z1**3 - z2", "y + y**2/2 + y**3/6 + y**4/24", 4),
    ("z2**2 - z1**3 - z1**2", CUBIC, 4),
]


@pytest.mark.parametrize("curve, act, n", CASES)
def test_every_member_stays_on_its_curve_to_order_twelve(curve, act, n):
    family = gap_family(curve, act, n)
    x = [F(2 * i - 3, i + 1) for i in range(len(family.planar))]
    y = [F(i + 2, 2 * i + 1) for i in range(len(family.hidden))]
    h = family.target(x, y)
    if family.hidden:  # what may be added
        h = h + Polynomial("z1*z2*He2(z3) - 2*He3(z3) + He2(z3)")
    cs = taylor_flow(h, act, 12).coefficients
    tau = sp.Symbol("tau")
    at = {name: i for i, name in enumerate(h.variables)}
    W = [sum(sp.sympify(c[at[v]]) * tau**j for j, c in enumerate(cs, 1)) if v in at else 0 for v in ("z1", "z2", "z3")]
    q = sp.sympify(str(family.curve))
    series = sp.Poly(sp.expand(q.subs({z1: W[0], z2: W[1]}, simultaneous=True)), tau)
    assert all(series.coeff_monomial(tau**j) == 0 for j in range(13))
    assert W[2] == 0


def brute_force(curve, jet, n):
    """Planar and hidden dimensions by moments of polynomials alone: jets of a polynomial sigma, E[h sigma'(W.z) z] expanded."""
    w1, w2 = sp.symbols("w1 w2")
    q = sp.sympify(curve).subs({z1: w1, z2: w2}, simultaneous=True)

    def moment(f):
        poly = sp.Poly(sp.expand(f), z1, z2)

        def m(k):
            return 0 if k % 2 else sp.factorial2(k - 1) if k else 1

        return sum(c * m(i) * m(j) for (i, j), c in poly.terms())

    y = w1 * z1 + w2 * z2
    slope = sum(sp.Rational(s) * y**k / sp.factorial(k) for k, s in enumerate(jet))  # sigma'
    planar, hidden = [], []
    indices = [(i, j) for i in range(n + 1) for j in range(n + 1 - i)]
    for i, j in indices:
        h = z1**i * z2**j
        X = [moment(h * slope * v) for v in (z1, z2)]
        across = X[0] * sp.diff(q, w1) + X[1] * sp.diff(q, w2)
        planar.append(sp.Poly(sp.rem(sp.expand(across), q, w1), w1, w2))
        if i + j < n:
            hidden.append(sp.Poly(sp.rem(sp.expand(moment(h * slope)), q, w1), w1, w2))
    found = []
    for polys in (planar, hidden):
        keys = sorted({m for p in polys for m in p.monoms()})
        rows = sp.Matrix([[p.coeff_monomial(m) for m in keys] for p in polys])
        found.append(len(polys) - rows.rank())
    return found


@pytest.mark.parametrize(
    "curve, act, jet, n",
    [
        (PARABOLA, CUBIC, (1, 1, 1), 3),
        (PARABOLA, CUBIC, (1, 1, 1), 4),
        ("z1**2 - z2**2 - 2*z2", CUBIC, (1, 1, 1), 3),
        ("z1**3 - z2", "y + y**2/2 + y**3/6 + y**4/24", (1, 1, 1, 1), 4),
        ("z1**3 + z1 - z2", "y - y**2 + y**3", (1, -2, 6), 3),
    ],
)
def test_no_member_is_left_out(curve, act, jet, n):
    # q has a constant leading coefficient in w1, so the remainder by division in w1 is a normal form
    family = gap_family(curve, act, n)
    assert [len(family.planar), len(family.hidden)] == brute_force(curve, jet, n)


def test_the_bases_are_whole_and_generate_all_whole_members():
    family = gap_family(PARABOLA, CUBIC, 3)
    indices = [a for a in itertools.product(range(4), repeat=2) if sum(a) <= 3]
    rows = sp.Matrix([hermite_vector(h, indices) for h in family.planar])
    assert all(x.is_integer for x in rows)
    # all whole vectors of the space are whole combinations exactly if the maximal minors have no common divisor
    minors = [rows.extract(range(rows.rows), c).det() for c in itertools.combinations(range(rows.cols), rows.rows)]
    assert sp.gcd_list(minors) == 1


@pytest.mark.parametrize("c", [F(1), F(-2), F(3, 7)])
@pytest.mark.parametrize("s", [(F(1), F(1), F(1)), (F(2), F(-3), F(1, 2)), (F(1, 3), F(5), F(-2))])
def test_every_cubic_has_its_parabola(s, c):
    """M_1 = e1, C_2 = c(e1e2 + e2e1), C_111 = -s2^2 c^2/(s1 s3) - 3, C_122 = -1: the curve is W2 = s2 c/(2 s1) W1^2."""
    s1, s2, s3 = s
    act = f"({s1})*y + ({s2 / 2})*y**2 + ({s3 / 6})*y**3"
    h = Polynomial.from_hermite(
        {(1, 0): 1, (1, 1): c, (3, 0): (-(s2**2) * c**2 / (s1 * s3) - 3) / 6, (1, 2): F(-1, 2)}, ["z1", "z2"]
    )
    family = gap_family(f"({s2 * c / (2 * s1)})*z1**2 - z2", act, 3)
    assert in_span(h, family.planar, 3) and len(family.hidden) == 1
    cs = taylor_flow(h, act, 14).coefficients
    assert cs[0] == (s1, 0) and cs[1] == (0, s1 * s2 * c / 2) and not any(map(any, cs[2:]))


SMALL = "z1*z2 + z1*z2**2 - 2*z2*z3 + z1**2*z3 - z2**2*z3"


def test_smallest_is_a_gap_and_the_smallest():
    family = gap_family("z1**2 - z2**2 - 2*z2", CUBIC, 3)
    first, second = family.smallest(2)
    assert first == Polynomial(SMALL)
    verdict = decide(first, CUBIC)
    assert verdict.verdict == "gap" and set(verdict.taylor.equations) == {"w1**2 - w2**2 - 2*w2", "w3"}

    def size(h):
        return sum(map(abs, h.hermite_coefficients.values()))

    assert size(first) == 7 and size(second) >= 7
    # by hand: all combinations in the range, sorted afterwards
    sizes = []
    for x in itertools.product(range(-2, 3), repeat=len(family.planar)):
        for y in itertools.product(range(-2, 3), repeat=len(family.hidden)):
            h = family.target(x, y)
            if len(h.variables) < 3 or not h.hermite_tensor(1) or size(h) >= 12:
                continue
            if reached_subspace(h, CUBIC).dimension == 3 and decide(h, CUBIC).verdict == "gap":
                sizes.append(size(h))
    assert min(sizes) == 7


@pytest.mark.parametrize(
    "curve, act, n", [(CIRCLE, WAVE, 4), ("2*z1**2 + z2**2 - 2*z2", TURN, 3), (PARABOLA, "exp(y)", 4)]
)
def test_smallest_targets_are_gaps_with_all_derivatives_alive(curve, act, n):
    for h in gap_family(curve, act, n).smallest(2, decoration="He2(z3)"):
        verdict = decide(h, act)
        assert verdict.verdict == "gap" and verdict.reached.dimension == 3 and verdict.taylor.dimension == 2
        assert verdict.taylor.proof == "invariant set"


def test_none_where_the_family_holds_no_gap():
    family = gap_family("z1**3 - z2", CUBIC, 4)
    assert len(family.planar) == 8 and len(family.hidden) == 4
    assert family.smallest(1, bound=1) == ()  # all hidden parts have an order that a cubic does not use
    assert gap_family(PARABOLA, CUBIC, 1).smallest() == ()


def test_a_parity_is_no_gap():
    # sin is odd: on even orders nothing happens without a bias, and that is not called a gap
    found = gap_family(CIRCLE, "sin(y)", 4).smallest(2, bound=1)
    assert all(reached_subspace(h, "sin(y)", bias=False).dimension == 3 for h in found)


def test_text_and_numbers():
    family = gap_family(Polynomial(PARABOLA), CUBIC)
    assert repr(family).startswith("<GapFamily on") and "planar dimension 4, hidden 1" in repr(family)
    whole = family.target([1, "1/2", F(-2, 3), 0], [3])
    assert whole.variables == ("z1", "z2", "z3")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("z1**2 - z3", CUBIC), "in z1 and z2"),
        (("z1 - 1", CUBIC), "does not pass through the origin"),
        (("0", CUBIC), "not constant"),
        (("sqrt(2)*z1 - z2", CUBIC), "rational"),
        ((PARABOLA, "tanh(y+1/2)"), "neither a polynomial"),
        ((PARABOLA, "relu"), "corner"),
        ((PARABOLA, "relu(y+1/2)"), "corner"),
        ((PARABOLA, "relu(y+1) - relu(y-1) - 1"), "corner"),
        ((PARABOLA, "y + sqrt(2)*y**2 + y**3"), "irrational ratios"),
        ((PARABOLA, "sin(y + 1/2)"), "neither a polynomial"),
        ((PARABOLA, "y**2"), "slope 0"),
        ((PARABOLA, CUBIC, 9), "degree"),
        ((PARABOLA, CUBIC, 2.5), "degree"),
        ((PARABOLA, CUBIC, True), "degree"),
    ],
)
def test_bad_input(arguments, words):
    with pytest.raises(InputError, match=words):
        gap_family(*arguments)


def test_bad_numbers():
    family = gap_family(PARABOLA, CUBIC)
    for call, words in [
        (lambda: family.target([1, 2], [3]), "planar needs 4 numbers"),
        (lambda: family.target([1, 2, 3, 0.5], [3]), "exact|rational|float"),
        (lambda: family.smallest(0), "count"),
        (lambda: family.smallest(bound=1.5), "bound"),
        (lambda: family.smallest(bound=40), "combinations"),
        (lambda: family.smallest(decoration="z3*z1"), "degree 2 or more"),
        (lambda: family.smallest(decoration="z4**2"), "decoration"),
    ]:
        with pytest.raises(InputError, match=words):
            call()


def test_a_common_factor_of_the_derivatives_does_not_matter():
    for plain, scaled in (
        ("y + y**2/2", "sqrt(2)*y + sqrt(2)*y**2/2"),
        ("sin(y) + cos(y)", "sqrt(2)*sin(y)+sqrt(2)*cos(y)"),
    ):
        one, two = (gap_family(CIRCLE, act, 4) for act in (plain, scaled))
        assert one.planar == two.planar and one.hidden == two.hidden and str(two.activation) != str(one.activation)


def test_a_line_holds_no_gap_and_is_said_at_once():
    assert gap_family("z2", "exp(y)", 3).smallest(2) == () == gap_family("z2 - z1", CUBIC, 3).smallest(2)


@pytest.mark.parametrize("seed", range(8))
def test_lattices_are_complete_and_reduced(seed):
    """All whole solutions of random equations, by vectors that fulfil the conditions of Lenstra, Lenstra and Lovasz."""
    rng = random.Random(seed)
    size, count = rng.randint(4, 9), rng.randint(1, 3)
    matrix = [[rng.randint(-20, 20) for _ in range(count)] for _ in range(size)]
    rules = [{(k,): QQ(x, rng.choice([1, 2, 3])) for k, x in enumerate(row) if x} for row in matrix]
    basis = kernel_lattice(rules)
    columns = sp.Matrix([[sp.Rational(str(rule.get((k,), 0))) for k in range(count)] for rule in rules])
    rows = sp.Matrix(basis)
    assert rows * columns == sp.zeros(len(basis), count) and len(basis) == size - columns.rank()
    minors = (rows.extract(range(rows.rows), c).det() for c in itertools.combinations(range(size), rows.rows))
    assert sp.gcd_list(list(minors)) == 1
    stars, lengths = [], []
    for i in range(rows.rows):
        b = star = rows.row(i)
        slopes = [b.dot(s) / s.dot(s) for s in stars]
        for m, s in zip(slopes, stars):
            star = star - m * s
        assert all(abs(m) <= sp.Rational(1, 2) for m in slopes)
        if stars:
            assert star.dot(star) >= (sp.Rational(3, 4) - slopes[-1] ** 2) * lengths[-1]
        stars.append(star)
        lengths.append(star.dot(star))


def test_vanishing_derivatives_do_not_hide_gaps():
    """sigma = y + y^4, s_2 = s_3 = 0: the planar part alone reaches a line only, and there is a gap all the same."""
    act, h = "y + y**4", Polynomial("z1 + z3*(2*z1 - He3(z1) + z2)")
    family = gap_family("z2", act, 4)
    assert in_span(Polynomial("z1"), family.planar, 4) and in_span(Polynomial("2*z1 - He3(z1) + z2"), family.hidden, 4)
    assert decide(h, act).verdict == "gap"
    names = ["z1", "z2"]
    planar, hidden = ({(1, 0): 1}, {(1, 0): 2, (3, 0): -1, (0, 1): 1})
    only = dataclasses.replace(
        family, planar=(Polynomial.from_hermite(planar, names),), hidden=(Polynomial.from_hermite(hidden, names),)
    )
    assert only.smallest(1) == (h,)
