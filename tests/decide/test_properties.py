"""What must not depend on coordinates, units and names, on targets drawn by hypothesis."""

from fractions import Fraction

import decide_routes as routes
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from meanfield_sgd import Polynomial
from meanfield_sgd.decide import (
    averaging_exponents,
    decide,
    information_exponent,
    is_reflective,
    isotropic_leap_at_most_one,
    loss_floor,
    reached_subspace,
    stage_one,
    taylor_flow,
)

ACTIVATIONS = ("tanh", "tanh(y + 1/2)", "softplus", "3/5*sin(y) + 4/5*cos(y)", "y + y**2/2", "cos", "relu")
randoms = st.integers(0, 2**32).map(routes.generator)
quick = settings(max_examples=40, deadline=None)


def draw_target(rng, degree=4):
    p = rng.choice([2, 2, 3])
    return routes.random_terms(rng, p, degree if p == 2 else 3), p


def polynomial(terms, p):
    return Polynomial.from_terms(terms, [f"z{i + 1}" for i in range(p)])


def invariants(verdict, scale=1):
    """All that is no basis."""
    t = verdict.taylor
    return (
        verdict.verdict,
        verdict.degree,
        verdict.arithmetic,
        verdict.support.dimension,
        verdict.reached.chain,
        verdict.usable.chain,
        verdict.reflective_floor / scale,
        verdict.invariant_floor / scale,
        verdict.expressivity_floor / scale,
        verdict.isotropic_leap_at_most_one,
        None if t is None else (t.dimension, t.order, t.searched, t.bound, t.proof, t.grows),
    )


def spaces(verdict):
    found = {name: getattr(verdict, name).basis for name in ("support", "reached", "reflective", "usable", "invariant")}
    if verdict.taylor is not None and is_rational(verdict.taylor.basis):
        found["taylor"] = verdict.taylor.basis
    return found


def is_rational(basis):
    """False where coefficients in numbers such as tanh(1/2) are the basis of what was found: not in echelon form."""
    return all(isinstance(x, (int, Fraction)) for row in basis for x in row)


def transpose(Q):
    return [list(row) for row in zip(*Q)]


@quick
@given(randoms, st.sampled_from(ACTIVATIONS))
def test_rotations(rng, activation):
    """h(Q z): numbers stay, and every subspace U becomes Q^T U."""
    terms, p = draw_target(rng)
    h, Q = polynomial(terms, p), routes.cayley(rng, p)
    before, after = decide(h, activation, order=6), decide(h.rotate(Q), activation, order=6)
    assert invariants(before) == invariants(after)
    turned = spaces(after)
    for name, basis in spaces(before).items():
        # rows u of U, written u^T; Q^T u has the row u^T Q
        assert turned[name] == routes.row_echelon(routes.product([list(row) for row in basis], Q) if basis else [])
    assert before.reached.verify() and after.reached.verify() and after.usable.verify()


@quick
@given(randoms)
def test_rotated_coefficients(rng):
    """c_j of h(Q z) is Q^T c_j; G vanishes for S and h exactly when it does for Q^T S and h(Q z)."""
    terms, p = draw_target(rng)
    h, Q = polynomial(terms, p), routes.cayley(rng, p)
    jet = [Fraction(rng.randint(-3, 3), rng.randint(1, 3)) for _ in range(5)]
    before, after = taylor_flow(h, jet=jet, order=5), taylor_flow(h.rotate(Q), jet=jet, order=5)
    for c, d in zip(before.coefficients, after.coefficients):
        assert tuple(routes.product([list(c)], Q)[0]) == d
    u = [Fraction(rng.randint(-2, 2)) for _ in range(p)]
    if any(u):
        assert information_exponent(h, u) == information_exponent(h.rotate(Q), routes.product([u], Q)[0])


@settings(max_examples=40, deadline=None)
@given(randoms)
def test_rotated_subspaces(rng):
    terms, p = draw_target(rng, 3)
    h, Q = polynomial(terms, p), routes.cayley(rng, p)
    with pytest.MonkeyPatch.context() as patch:  # the witness is slow, and has tests of its own
        patch.setattr("meanfield_sgd.decide.witness._witness", lambda *arguments: None)
        for rows in ([[int(i == p - 1) for i in range(p)]], [[Fraction(rng.randint(-2, 2)) for _ in range(p)]]):
            turned = routes.product(rows, Q)
            assert bool(is_reflective(h, rows)) == bool(is_reflective(h.rotate(Q), turned))
            assert loss_floor(h, rows) == loss_floor(h.rotate(Q), turned) == routes.loss_floor(terms, rows, p)


@quick
@given(randoms, st.sampled_from(ACTIVATIONS))
def test_any_change_of_variables(rng, activation):
    """decide(h, basis=A) is decide(h(A x)), multiplied out independently; its support is A^T times the support of h."""
    terms, p = draw_target(rng, 3)
    width = rng.choice([p, p, p + 1])
    A = [[Fraction(rng.randint(-2, 2), rng.choice([1, 1, 2])) for _ in range(width)] for _ in range(p)]
    A = A if len(routes.row_echelon(A)) == p else [[Fraction(int(i == j)) for j in range(width)] for i in range(p)]
    composed = routes.compose(terms, A)
    h = polynomial(terms, p)
    found, expected = decide(h, activation, basis=A, order=6), decide(polynomial(composed, width), activation, order=6)
    assert invariants(found) == invariants(expected) and spaces(found) == spaces(expected)
    rows = [list(row) for row in decide(h, activation, order=1).support.basis]
    assert found.support.basis == routes.row_echelon(routes.product(rows, A)) == routes.support_of(composed, width)
    assert isotropic_leap_at_most_one(polynomial(composed, width)) == found.isotropic_leap_at_most_one


@quick
@given(randoms, st.sampled_from(ACTIVATIONS))
def test_units_of_the_target(rng, activation):
    """c h + d: everything stays, floors are multiplied by c^2; Taylor orders do not notice c (but E h enters c_j)."""
    terms, p = draw_target(rng)
    c = Fraction(rng.choice([-7, -1, 2, 1000]), rng.choice([1, 3, 10**6]))
    scaled = {a: c * x for a, x in terms.items()}
    before, after = (
        decide(polynomial(terms, p), activation, order=6),
        decide(polynomial(scaled, p), activation, order=6),
    )
    assert invariants(before) == invariants(after, c * c)
    assert spaces(before) == spaces(after)


@quick
@given(randoms, st.sampled_from(ACTIVATIONS))
def test_names_and_order_of_variables(rng, activation):
    """Permuted variables permute the answer; a variable that does not occur is outside of everything."""
    terms, p = draw_target(rng)
    order = rng.sample(range(p), p)
    permuted = {tuple(a[i] for i in order): c for a, c in terms.items()}
    before, after = (
        decide(polynomial(terms, p), activation, order=6),
        decide(polynomial(permuted, p), activation, order=6),
    )
    assert invariants(before) == invariants(after)
    more = {(*a[:1], 0, *a[1:]): c for a, c in terms.items()}
    wider = decide(polynomial(more, p + 1), activation, order=6)
    assert invariants(before) == invariants(wider)
    for name, basis in spaces(before).items():
        assert spaces(after)[name] == routes.row_echelon([[row[i] for i in order] for row in basis])
        assert spaces(wider)[name] == tuple((*row[:1], 0, *row[1:]) for row in basis)
    named = decide(Polynomial.from_terms(terms, ["u", "v", "w"][:p]), activation, order=6)
    assert invariants(named) == invariants(before) and named.variables == ("u", "v", "w")[:p]


@quick
@given(randoms, st.sampled_from(ACTIVATIONS))
def test_closed_and_idempotent(rng, activation):
    """U_* in coordinates of its own reaches everything; the answers nest as the theory says."""
    terms, p = draw_target(rng)
    verdict = decide(polynomial(terms, p), activation, order=6)
    U, S, V = verdict.reached.basis, verdict.reflective.basis, verdict.support.basis
    assert len(U) + len(S) == len(V) and routes.row_echelon([*U, *S]) == V
    assert all(sum(x * y for x, y in zip(u, s)) == 0 for u in U for s in S)
    contained = [(verdict.usable.basis, U), (S, verdict.invariant.basis), (U, V)]
    if verdict.taylor is not None and is_rational(verdict.taylor.basis):
        contained.append((verdict.taylor.basis, verdict.usable.basis))
    for small, large in contained:
        assert len(routes.row_echelon([*small, *large])) == len(large)
    assert bool(S) == (
        not decide(polynomial(terms, p), "exp", order=1).isotropic_leap_at_most_one
    ) or activation.startswith("y")
    if U:  # E[h | z_U] as a target: nothing of it is hidden
        part = polynomial(terms, p).conditional_expectation([list(u) for u in U])
        if activation != "y + y**2/2":
            again = reached_subspace(part, activation)
            assert again.basis == U and not decide(part, activation, order=1).reflective.dimension


@quick
@given(randoms)
def test_speed_of_the_jet(rng):
    """s_k -> alpha beta^k s_k multiplies c_j by alpha^j beta^(2j - 1); that is sigma(beta y) and alpha sigma."""
    terms, p = draw_target(rng)
    jet = [Fraction(rng.randint(-3, 3), rng.randint(1, 3)) for _ in range(6)]
    alpha, beta = (Fraction(rng.choice([-3, 2, 5]), rng.choice([1, 2, 7])) for _ in range(2))
    plain = taylor_flow(polynomial(terms, p), jet=jet, order=6)
    other = [alpha * beta**k * s for k, s in enumerate(jet, 1)]
    scaled = taylor_flow(polynomial(terms, p), jet=other, order=6)
    for j, (c, d) in enumerate(zip(plain.coefficients, scaled.coefficients), 1):
        assert tuple(alpha**j * beta ** (2 * j - 1) * x for x in c) == d


@settings(max_examples=10, deadline=None)
@given(randoms)
def test_stage_one_rotates(rng):
    terms, p = draw_target(rng, 3)
    Q = routes.cayley(rng, p)
    before, after = (stage_one(g, "exp", 4) for g in (polynomial(terms, p), polynomial(terms, p).rotate(Q)))
    for q, r in zip(before.coefficients, after.coefficients):
        turned = [sum(sp.Rational(str(Q[i][j])) * q[i] for i in range(p)) for j in range(p)]
        assert [sp.expand(x - y) for x, y in zip(turned, r)] == [0] * p


@pytest.mark.parametrize("seed", range(4))
def test_averaging_exponents_rotate(seed):
    rng = routes.generator(seed)
    for text in ("z1 + z1*z2", "z1 + z1*z2 + He3(z2)/6", "z1 + He2(z1)*z2"):
        h = Polynomial(text)
        before = averaging_exponents(h, "exp")
        after = averaging_exponents(h.rotate(routes.cayley(rng, 2)), "exp")
        assert before == after
