"""The law of the features: its moments by brute force, by sampling, and against the flows and series that make it."""

from __future__ import annotations

from itertools import product
from math import comb, prod

import mpmath
import numpy as np
import pytest
import torch

from meanfield_sgd import decide
from meanfield_sgd.errors import DivergenceError, InputError
from meanfield_sgd.simulate import FeatureLaw, InitialLaw, features, meanfield, taylor_curve

SHIFTED = "tanh(y+1/2)"
SIN = "3/5*sin(y) + 4/5*cos(y)"
CUBIC = "y + y**2/2 + y**3/6"


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def cloud(p, n=4, seed=0, copies=1):
    rng = np.random.default_rng(seed)
    return FeatureLaw(rng.standard_normal((n, p)), rng.uniform(0.5, 2, n), outputs=rng.uniform(-1, 1, n), copies=copies)


def exponents(p, degree):
    return [alpha for alpha in product(range(degree + 1), repeat=p) if sum(alpha) <= degree]


def brute_force(law, copies):
    """(u, a, mass) of every combination of the nodes."""
    a, u, mass = (np.array(x, dtype=float) for x in law.rule(0))
    picks = np.array(list(product(range(len(mass)), repeat=copies)))
    return u[picks].mean(1), a[picks].mean(1), mass[picks].prod(1)


# ---- moments of averages ----


@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_moments_are_sums_over_all_combinations(p, copies):
    law = cloud(p, copies=copies)
    u, a, mass = brute_force(law, copies)
    assert mass.sum() == pytest.approx(1)
    plain, weighted = law.moments(5), law.moments(5, weighted=True)
    assert sorted(plain) == sorted(weighted) == sorted(exponents(p, 5))
    for alpha in exponents(p, 5):
        power = np.prod(u ** np.array(alpha), axis=1)
        assert plain[alpha] == pytest.approx(mass @ power, abs=1e-13)
        assert weighted[alpha] == pytest.approx(mass @ (a * power), abs=1e-13)


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_points_are_the_law(copies):
    law = cloud(2, copies=copies)
    points, masses = law.points()
    u, _, mass = brute_force(law, copies)
    assert points.shape == u.shape
    order, other = np.lexsort(points.T), np.lexsort(u.T)
    assert np.allclose(points[order], u[other])
    assert np.allclose(masses[order], mass[other])


def test_moments_in_multiple_precision():
    ctx = mpmath.MPContext()
    ctx.dps = 50
    law = cloud(2, copies=2)
    fine, coarse = law.moments(6, ctx), law.moments(6)
    for alpha in coarse:
        assert float(fine[alpha]) == pytest.approx(coarse[alpha], rel=1e-13, abs=1e-14)
    third = FeatureLaw([[1.0], [2.0], [4.0]], copies=2).moments(3, ctx)
    # E(u+v)^3/8 with u, v in {1, 2, 4}: 2 E u^3 + 6 E u E u^2, over 8
    want = (2 * ctx.mpf(73) / 3 + 6 * ctx.mpf(7) / 3 * 7) / 8
    assert abs(third[(3,)] - want) < 1e-14  # masses 1/3 are floats


def test_moments_by_sampling_the_curve():
    law = features("z1 + z1*z2", SIN, 1.5, copies=2)
    rng = np.random.default_rng(5)
    a = rng.uniform(-1, 1, (40_000, 2))
    grid = np.linspace(-1.5, 1.5, 201)
    curve = taylor_curve("z1 + z1*z2", SIN, grid)
    u = np.stack([np.interp(1.5 * a, grid, curve[:, i]) for i in range(2)], axis=-1).mean(1)
    plain, weighted = law.moments(3), law.moments(3, weighted=True)
    for alpha in exponents(2, 3):
        for values, want in (
            (np.prod(u ** np.array(alpha), axis=1), plain[alpha]),
            (a.mean(1) * np.prod(u ** np.array(alpha), axis=1), weighted[alpha]),
        ):
            assert abs(values.mean() - want) <= 4.5 * values.std() / 200 + 3e-4


def test_moments_of_the_parabola():
    # W = (tau, tau^2/2, 0), a ~ U[-1, 1]: E u^alpha over binomial sums of 1/(k+1)
    g1 = "z1 + z1*z2 - 2/3*He3(z1) - 1/2*z1*He2(z2) + z3*(z2 - 1/2*He2(z1))"
    T = 0.5
    one = lambda i, j: T ** (i + 2 * j) / 2**j / (i + 2 * j + 1) * (i % 2 == 0)  # noqa: E731
    moments = features(g1, CUBIC, T, copies=2).moments(6)
    for alpha in exponents(3, 6):
        i, j, k = alpha
        want = 0.0
        if k == 0:
            want = sum(
                comb(i, b) * comb(j, c) * one(b, c) * one(i - b, j - c) for b in range(i + 1) for c in range(j + 1)
            ) / 2 ** (i + j)
        assert moments[alpha] == pytest.approx(want, abs=1e-15)


def test_sampling_draws_averages():
    law = cloud(2, copies=2)
    u, a = law.sample(20_000, seed=3)
    points, masses = law.points()
    near = np.abs(u[:, None] - points).sum(-1).min(1)
    assert near.max() < 1e-12
    moments = law.moments(2, weighted=True)
    for alpha in exponents(2, 2):
        values = a * np.prod(u ** np.array(alpha), axis=1)
        assert abs(values.mean() - moments[alpha]) < 4.5 * values.std() / np.sqrt(20_000)
    assert np.array_equal(law.sample(5, seed=3)[0], law.sample(5, seed=3)[0])
    with pytest.raises(InputError, match="draws from points"):
        features("z1 + z1*z2", SIN).sample(5)


def test_averaging_another_number_of_copies():
    law = features("z1 + z1*z2", SIN, 1.0, copies=1)
    two = law.averaged(2)
    direct = features("z1 + z1*z2", SIN, 1.0, copies=2)
    assert (law.copies, two.copies) == (1, 2)
    for alpha, value in direct.moments(4).items():
        assert two.moments(4)[alpha] == pytest.approx(value, rel=1e-14, abs=1e-300)
    with pytest.raises(InputError, match="copies"):
        law.averaged(0)
    with pytest.raises(InputError, match="with fewer copies"):
        law.averaged(5).points()


# ---- where the features come from ----


@pytest.mark.parametrize(
    "law",
    [
        None,
        InitialLaw.uniform(0, 1),
        InitialLaw.uniform(-0.5, 2),
        InitialLaw.points([-1, 0.25, 1], [1, 2, 1]),
        InitialLaw.gaussian(0.4),
        InitialLaw.density(lambda a: 1 + a, -1, 1),
    ],
)
@pytest.mark.parametrize("activation", [SIN, SHIFTED])
def test_one_copy_stands_on_the_curve(law, activation):
    time = 0.8
    found = features("z1 + z1*z2", activation, time, copies=1, law=law)
    law = law or InitialLaw.uniform()
    # the law of a by a fine rule of its own
    if law.kind == "points":
        a, mass = np.array(law.values), np.array(law.masses)
    else:
        x, weight = np.polynomial.legendre.leggauss(300)
        a = (law.low + law.high) / 2 + (law.high - law.low) / 2 * x
        mass = weight * (1 if law.pdf is None else law.pdf(a))
        mass = mass / mass.sum()
    grid = np.linspace(a.min() * time, a.max() * time, 33)
    fit = np.polynomial.chebyshev.Chebyshev.fit
    curve = taylor_curve("z1 + z1*z2", activation, grid)
    if law.kind == "points":
        u = taylor_curve("z1 + z1*z2", activation, a * time)
    else:
        span = np.max(np.abs(grid))
        nodes = span * np.cos((np.arange(120) + 0.5) * np.pi / 120)
        values = taylor_curve("z1 + z1*z2", activation, nodes)
        u = np.stack([fit(nodes, values[:, i], 110, domain=[-span, span])(a * time) for i in range(2)], axis=1)
    assert np.abs(curve).max() > 0.3
    moments, weighted = found.moments(4), found.moments(4, weighted=True)
    for alpha in exponents(2, 4):
        power = np.prod(u ** np.array(alpha), axis=1)
        assert moments[alpha] == pytest.approx(mass @ power, abs=1e-10)
        assert weighted[alpha] == pytest.approx(mass @ (a * power), abs=1e-10)


def test_more_nodes_change_nothing():
    for activation, feedback in ((SIN, False), (SHIFTED, False), (SHIFTED, True)):
        law = features("z1 + z1*z2", activation, 1.0, copies=2, feedback=feedback)
        coarse, fine = law.moments(6), law.moments(6, level=1)
        assert len(law.rule(1).mass) == 2 * len(law.rule(0).mass)
        for alpha in coarse:
            assert coarse[alpha] == pytest.approx(fine[alpha], abs=1e-11)


@pytest.mark.parametrize(
    ("target", "activation"),
    [("z1 + z1*z2", SHIFTED), ("z1 + z1*z2", CUBIC), ("z1 + z1*z2 + z2*z3", "softplus"), ("z1 + He2(z1)*z2", "erf")],
)
def test_feedback_is_the_first_stage_of_meanfield(target, activation):
    law = features(target, activation, 0.8, copies=1, feedback=True)
    a, u, mass = law.rule(0)
    p = u.shape[1]
    start = {"a": a, "w": np.zeros((len(a), p)), "mass": mass}
    run = meanfield(target, activation, 0.8, init=start, train="w", times=[0, 0.8], tolerance=1e-10)
    assert np.allclose(run.final_state["w"], u, atol=2e-9)
    without = features(target, activation, 0.8, copies=1).moments(2)
    assert max(abs(law.moments(2)[alpha] - x) for alpha, x in without.items()) > 1e-4


@pytest.mark.parametrize(("target", "activation"), [("z1 + z1*z2", "exp"), ("z1 + z1*z2", "y + y**2/2 + y**3/6")])
def test_feedback_against_the_exact_series(target, activation):
    time, order = 0.02, 6
    a, u, _ = features(target, activation, time, copies=1, feedback=True).rule(0)
    series = decide.stage_one(target, activation, order)
    want = np.zeros_like(u)
    for j, coefficients in enumerate(series, 1):
        for i, q in enumerate(coefficients):
            want[:, i] += [float(q.subs("a", float(x))) * time**j for x in a]
    assert np.abs(want[:, 1]).max() > 1e-5
    assert np.abs(u - want).max() < 1e-10  # 0.02^7 = 1.3e-12, times c_7
    # the part that feedback adds is resolved: -t^2 a/6 s_0 ... is about 1e-4 here
    plain = taylor_curve(target, activation, a * time)
    assert np.abs(u - plain).max() > 1e-5


def test_feedback_escapes_the_plane_of_g1():
    # Theorem 5.3: w_3 = a^3 t^4/36 + t^5 (-a/900 - a^3/180), and none without feedback
    g1 = "z1 + z1*z2 - 2/3*He3(z1) - 1/2*z1*He2(z2) + z3*(z2 - 1/2*He2(z1))"
    t = 0.05
    a, u, _ = features(g1, CUBIC, t, copies=1, feedback=True).rule(0)
    want = a**3 * t**4 / 36 + t**5 * (-a / 900 - a**3 / 180)
    assert np.abs(u[:, 2] - want).max() < 0.01 * np.abs(want).max()
    _, u, _ = features(g1, CUBIC, t, copies=1).rule(0)
    assert max(abs(row[2]) for row in u) < mpmath.mpf(10) ** -40


def test_digits_where_the_closed_form_allows():
    assert features("z1", SIN).digits == 20
    assert features("z1", SIN, digits=25).digits == 25
    assert features("z1", SHIFTED).digits == 15
    assert features("z1", SIN, feedback=True).digits == 15
    assert features("z1", SIN, law=InitialLaw.gaussian()).digits == 15
    assert "average of 2 copies, 20 digits" in repr(features("z1 + z1*z2", SIN))
    assert "one copy, 15 digits" in repr(cloud(2))


def test_the_default_averages_as_many_copies_as_directions():
    assert features("z1 + z1*z2 + z1*z2*z3", SIN).copies == 3


# ---- refusals ----


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("z1", "relu"), {}, "no derivative at 0"),
        (("z1", SIN, 0.0), {}, "time must be a positive"),
        (("z1", SIN, "long"), {}, "time must be a positive"),
        (("z1", SIN), {"copies": 0}, "copies must be a whole number"),
        (("z1", SIN), {"copies": 1.5}, "copies must be a whole number"),
        (("z1", SIN), {"feedback": "yes"}, "feedback must be True or False"),
        (("z1", SIN), {"law": "uniform"}, "law must be an InitialLaw"),
        (("z1", SIN), {"digits": 10}, "at least 17"),
        (("z1", SHIFTED), {"digits": 30}, "leave digits out"),
        (("z1", SIN), {"digits": 30, "feedback": True}, "digits"),
        (("z1", SIN), {"digits": 30, "law": InitialLaw.gaussian()}, "digits"),
    ],
)
def test_refusals(arguments, options, message):
    with pytest.raises(InputError, match=message):
        features(*arguments, **options).rule(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("points",), "features must be numbers"),
        (([1.0, 2.0],), "features need finite values"),
        (([[1.0, np.nan]],), "features need finite values"),
        (([[1.0], [2.0]], [1.0, -1.0]), "features need finite values"),
        (([[1.0], [2.0]], [1.0]), "features need finite values"),
        (([],), "features need finite values"),
    ],
)
def test_refused_points(arguments, message):
    with pytest.raises(InputError, match=message):
        FeatureLaw(*arguments)


def test_runaway():
    with pytest.raises(DivergenceError, match="runs away"):
        features("4*z1 + 4*z1*z2", "exp", 4.0).rule(0)


def test_levels_of_points_stop():
    law = features("z1 + z1*z2", SIN, law=InitialLaw.points([-1, 1]))
    assert law.levels == 0
    assert len(law.rule(3).mass) == 2
    assert prod(law.points()[0].shape) == 8
