"""The kernel matrix of the second stage: its definition by quadrature, reference values, exponents, null polynomials."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import comb, factorial, inf, log2, pi, prod, sqrt

import mpmath
import numpy as np
import pytest
import sympy as sp

from meanfield_sgd.decide import averaging_exponents
from meanfield_sgd.errors import InputError
from meanfield_sgd.polynomial import Polynomial
from meanfield_sgd.simulate import FeatureLaw, features, kernel_matrix, strategy, taylor_curve

SHIFTED = "tanh(y+1/2)"
SIN = "3/5*sin(y) + 4/5*cos(y)"
CUBIC = "y + y**2/2 + y**3/6"
A = "z1 + z1*z2"
D = "z1 + z1*z2 + He3(z2)/6"
P = "z1 + z1*z2 - 2/3*He3(z1) - 1/2*z1*He2(z2)"
R = "10/3*z1 - 5/2*z1*z2 + 5*z1*He2(z2) + 5/3*He3(z1) + 5/4*He3(z1)*z2 + 5/4*z1*He3(z2)"
CHAIN = "z1 + z1*z2 + z1*z2*z3"


@cache
def kernel(target, activation, time, copies, degree=None):
    law = features(target, activation, time, copies=copies)
    return kernel_matrix(law, degree or Polynomial(target).degree)


def grid(p, n):
    x, weight = np.polynomial.hermite_e.hermegauss(n)
    return np.array(list(product(x, repeat=p))), np.prod(list(product(weight / sqrt(2 * pi), repeat=p)), axis=1)


def by_quadrature(u, exponents, n):
    """E_z[p_alpha(z) (1 + u.z)^n], shape (len(u), m), by a Gauss-Hermite rule that is exact here."""
    z, weight = grid(u.shape[1], n + 2)
    basis = np.array(
        [
            prod(np.polynomial.hermite_e.hermeval(z[:, i], [0] * k + [1]) / sqrt(factorial(k)) for i, k in enumerate(e))
            for e in exponents
        ]
    )
    return (1 + u @ z.T) ** n @ (weight * basis).T


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_the_definition_by_quadrature(p, n, copies):
    rng = np.random.default_rng(10 * p + n)
    law = FeatureLaw(rng.standard_normal((5, p)), rng.uniform(1, 2, 5), copies=copies)
    k = kernel_matrix(law, n)
    assert k.size == len(k.exponents) == comb(n + p, p)
    assert len(set(k.exponents)) == k.size
    points, masses = law.points()
    phi = by_quadrature(points, k.exponents, n)
    want = (phi.T * masses) @ phi
    assert np.allclose(k.matrix, want, rtol=1e-11, atol=1e-11 * np.abs(want).max())
    assert np.allclose(k.eigenvalues[-1], np.linalg.eigvalsh(want)[-1], rtol=1e-12)
    assert k.resolved == np.linalg.matrix_rank(phi * np.sqrt(masses)[:, None], tol=1e-10)


def test_one_feature_by_hand():
    # p = 1, u = 1/2, n = 2: phi = E[(1 + z/2)^2 (1, z, (z^2-1)/sqrt 2)] = (5/4, 1, sqrt(2)/4)
    k = kernel_matrix(FeatureLaw([[0.5]]), 2)
    phi = np.array([1.25, 1.0, sqrt(2) / 4])
    assert np.allclose(k.matrix, np.outer(phi, phi), rtol=1e-14)
    assert k.eigenvalues[-1] == pytest.approx(phi @ phi, rel=1e-14)
    assert k.resolved == 1


# ---- reference values ----


@pytest.mark.parametrize(
    ("target", "activation", "time", "one", "two"),
    [
        (A, SIN, 0.5, 2.8742e-12, 5.7768e-8),
        (A, SIN, 0.25, 8.5137e-16, 2.6073e-10),
        (D, SIN, 0.5, 5.9369e-21, 3.3592e-11),
        (A, "exp", 0.25, 5.7084e-14, 6.2458e-9),
        (P, CUBIC, 0.5, 0, 3.7342e-9),
        (R, SIN, 1 / 20, 0, 7.8557e-23),
    ],
)
def test_reference_values(target, activation, time, one, two):
    single, double = (kernel(target, activation, time, copies) for copies in (1, 2))
    if one:
        assert float(single.lambda_min) == pytest.approx(one, rel=2e-5, abs=0)
        assert single.nondegenerate
        assert single.error < 1e-6
    else:
        corank = {P: 3, R: 6}[target]
        assert single.size - single.resolved == corank
        assert not single.nondegenerate
        assert single.condition_number == mpmath.inf
        assert abs(single.lambda_min) < 1e-60
        assert f"degenerate: {corank} eigenvalue" in repr(single)
    assert float(double.lambda_min) == pytest.approx(two, rel=2e-5, abs=0)
    assert double.nondegenerate
    assert double.error < 1e-6
    assert float(double.condition_number) == pytest.approx(double.eigenvalues[-1] / double.eigenvalues[0], rel=1e-12)
    assert double.eigenvalues[0] == float(double.lambda_min)
    assert np.all(np.diff(double.eigenvalues) > 0)


@pytest.mark.parametrize(
    ("target", "activation", "copies", "degree", "time", "slope"),
    [
        (A, SIN, 1, 2, 2.0**-6, 12),
        (A, SIN, 2, 2, 2.0**-6, 8),
        (D, SIN, 1, 3, 2.0**-9, 18),
        (D, SIN, 2, 3, 2.0**-6, 12),
        (P, CUBIC, 2, 3, 2.0**-6, 12),
        (CHAIN, SIN, 1, 2, 2.0**-6, 24),
        (CHAIN, SIN, 3, 2, 2.0**-6, 16),
    ],
)
def test_slopes(target, activation, copies, degree, time, slope):
    values = [kernel(target, activation, t, copies, degree) for t in (time, time / 2)]
    assert all(k.nondegenerate for k in values)
    assert log2(values[0].lambda_min / values[1].lambda_min) == pytest.approx(slope, abs=0.1)
    exact = averaging_exponents(target, activation, degree=degree)
    assert slope == (exact.one_copy if copies == 1 else exact.copies)


# ---- the spectrum ----


@pytest.mark.parametrize(("target", "copies"), [(A, 2), (D, 2), (A, 1), (CHAIN, 3)])
def test_eigenvalues_that_double_precision_sees(target, copies):
    k = kernel(target, SIN, 1.5, copies, 2)
    want = np.linalg.eigvalsh(k.matrix)
    seen = k.eigenvalues > 1e-10 * k.eigenvalues[-1]
    assert seen.sum() > k.size / 2
    assert np.allclose(k.eigenvalues[seen], want[seen], rtol=1e-4)
    assert k.eigenvalues.sum() == pytest.approx(np.trace(k.matrix), rel=1e-13)


@pytest.mark.parametrize(("activation", "feedback"), [(SHIFTED, False), ("softplus", True)])
def test_a_float_law_against_singular_values(activation, feedback):
    law = features(A, activation, 2.0, copies=2, feedback=feedback)
    k = kernel_matrix(law, 2)
    _, u, mass = law.rule(1)  # the nodes with which the kernel converges
    points, masses = ((u[:, None] + u) / 2).reshape(-1, 2), np.outer(mass, mass).ravel()
    singular = np.linalg.svd(np.sqrt(masses)[:, None] * by_quadrature(points, k.exponents, 2), compute_uv=False)
    assert k.nondegenerate
    assert np.allclose(k.eigenvalues[::-1], singular**2, rtol=1e-8)
    assert k.error < 1e-5


def test_rotating_the_target_leaves_the_spectrum():
    rotated = "(3*z1+4*z2)/5 + (3*z1+4*z2)*(-4*z1+3*z2)/25"
    one, other = kernel(A, SIN, 0.5, 2), kernel(rotated, SIN, 0.5, 2)
    assert np.allclose(one.eigenvalues, other.eigenvalues, rtol=1e-13)
    assert abs(one.lambda_min / other.lambda_min - 1) < 1e-14
    assert not np.allclose(one.matrix, other.matrix)


def test_more_copies_interlace_nothing_but_stay_positive():
    law = features(A, SIN, 1.0, copies=1)
    values = [kernel_matrix(law.averaged(c), 2).lambda_min for c in (1, 2, 3)]
    assert values[0] < values[1]
    assert all(v > 0 for v in values)
    assert float(values[1]) == pytest.approx(float(kernel(A, SIN, 1.0, 2).lambda_min), rel=1e-12, abs=0)


# ---- degenerate kernels ----


def divide(q, by):
    z = sp.symbols("z1:4")
    f = sum(sp.nsimplify(c, rational=True) * prod(v**e for v, e in zip(z, b)) for b, c in q.items())
    return sp.Poly(sp.rem(f, by(*z), z[1]), *z[:2])


def test_null_polynomials_of_the_parabola():
    k = kernel(P, CUBIC, 0.5, 1)
    null = k.null_polynomials()
    assert len(null) == 3
    for q in null:
        assert max(abs(c) for c in q.values()) == pytest.approx(1)
        assert all(sum(b) <= 3 for b in q)
        rest = divide(q, lambda x, y, _: y - x**2 / 2)
        assert all(abs(c) < 1e-8 for c in rest.coeffs())
        w = taylor_curve(P, CUBIC, [-0.4, 0.3, 0.9])
        assert np.abs(sum(c * np.prod(w ** np.array(b), axis=1) for b, c in q.items())).max() < 1e-8
    betas = sorted({b for q in null for b in q})
    assert np.linalg.matrix_rank([[q.get(b, 0.0) for b in betas] for q in null], tol=1e-6) == 3
    assert averaging_exponents(P, CUBIC).hypersurfaces == 3


def test_null_polynomials_of_the_circle():
    null = kernel(R, SIN, 1 / 20, 1).null_polynomials()
    assert len(null) == 6
    angle = np.linspace(0, 6, 17)
    w = np.stack([np.sin(angle), 1 - np.cos(angle)], axis=1)
    for q in null:
        assert np.abs(sum(c * np.prod(w ** np.array(b), axis=1) for b, c in q.items())).max() < 1e-7


def test_a_plane_and_points():
    # features in the plane u_3 = 0: q = u_3 and its multiples; of two points: all but two dimensions
    rng = np.random.default_rng(0)
    u = np.hstack([rng.standard_normal((30, 2)), np.zeros((30, 1))])
    k = kernel_matrix(FeatureLaw(u), 2)
    assert k.size - k.resolved == 4
    assert all(b[2] > 0 for q in k.null_polynomials() for b in q)
    assert kernel_matrix(FeatureLaw([[1.0], [2.0]]), 3).resolved == 2
    assert kernel(A, SIN, 0.5, 2).null_polynomials() == []


# ---- what the arithmetic can tell ----


def test_too_few_digits_are_not_passed_off_as_resolved():
    law = features(D, SIN, 0.5, copies=1)
    for digits in (16, 20, 24):
        k = kernel_matrix(law, 3, digits=digits)
        assert k.digits == digits
        if k.nondegenerate:  # it sees lambda_min, then rightly
            assert float(k.lambda_min) == pytest.approx(5.9369e-21, rel=1e-3, abs=0)
        assert np.all(k.eigenvalues[: k.size - k.resolved] <= k.floor)
    assert not kernel_matrix(law, 3, digits=16).nondegenerate
    assert "degenerate" in repr(kernel_matrix(law, 3, digits=16))
    assert kernel_matrix(law, 3, digits=16).condition_number == inf
    assert kernel_matrix(law, 3, digits=40).nondegenerate


def test_features_of_few_digits():
    few = kernel_matrix(features(CHAIN, SIN, 2.0**-6, copies=1, digits=17), 2)  # true lambda_min about 1e-62
    assert not few.nondegenerate
    enough = kernel_matrix(features(CHAIN, SIN, 2.0**-6, copies=1, digits=60), 2)
    assert enough.nondegenerate
    assert float(enough.lambda_min) == pytest.approx(
        float(kernel(CHAIN, SIN, 2.0**-6, 1, 2).lambda_min), rel=1e-4, abs=0
    )


def test_the_error_covers_the_deviation():
    for digits in (20, 25, 30):
        k = kernel_matrix(features(A, SIN, 0.25, copies=1, digits=digits), 2)
        true = kernel(A, SIN, 0.25, 1).lambda_min
        assert abs(k.lambda_min / true - 1) <= max(k.error, 1e-15)


def test_a_float_curve_against_forty_digits():
    # the same curve through double precision: a density keeps the closed form away
    from meanfield_sgd.simulate import InitialLaw

    flat = InitialLaw.density(lambda a: np.ones_like(a), -1, 1)
    for time in (1.0, 0.25):
        k = kernel_matrix(features(A, SIN, time, copies=1, law=flat), 2)
        true = kernel(A, SIN, time, 1).lambda_min
        assert k.digits == 50
        assert k.nondegenerate and abs(k.lambda_min / true - 1) <= 2 * k.error < 1e-6


@pytest.mark.parametrize("seed", [0, 1])
def test_a_large_network_is_not_resolved_by_noise(seed):
    # one copy of D at T = 1/2 has lambda_min = 5.9e-21: 4000 neurons know it no better and no worse than 2900
    found = strategy(D, SIN, 0.5, copies=1, neurons=4000, seed=seed).kernel
    assert found.nondegenerate and float(found.lambda_min) == pytest.approx(5.94e-21, rel=0.3, abs=0)


def test_enough_nodes_for_many_monomials():
    # u = T a uniform on an interval: never degenerate, but 50 monomials need 50 nodes
    law = features("z1", "y", 2.0, digits=60)
    k = kernel_matrix(law, 49)
    assert k.resolved == k.size


def test_targets_in_the_basis():
    k = kernel(A, SIN, 0.5, 2)
    found = dict(zip(k.exponents, k.coefficients("z1 + z1*z2 + 3*He2(z2)")))
    assert float(found[(1, 0)]) == 1
    assert float(found[(1, 1)]) == 1
    assert float(found[(0, 2)]) == pytest.approx(3 * sqrt(2))
    vector = k.coefficients(A)
    parts = k.components(vector)
    assert float(sum(x * x for x in parts)) == pytest.approx(2)
    energy = sum(float(lam) * float(c) ** 2 for lam, c in zip(k.eigenvalues, parts))
    v = np.array([float(x) for x in vector])
    assert energy == pytest.approx(v @ k.matrix @ v)


@pytest.mark.parametrize(
    ("degree", "options", "message"),
    [
        (0, {}, "degree must be a whole number"),
        (1.5, {}, "degree must be a whole number"),
        (2, {"digits": 5}, "digits must be a whole number, at least 16"),
        (15, {}, "m = 136 monomials; at most 126"),
    ],
)
def test_refusals(degree, options, message):
    with pytest.raises(InputError, match=message):
        kernel_matrix(FeatureLaw([[1.0, 2.0]]), degree, **options)


def test_refused_laws():
    with pytest.raises(InputError, match="law must be a FeatureLaw"):
        kernel_matrix([[1.0, 2.0]], 2)
    with pytest.raises(InputError):  # a target in other variables than the kernel's
        kernel(A, SIN, 0.5, 2).coefficients("z1 + z2*z3")
