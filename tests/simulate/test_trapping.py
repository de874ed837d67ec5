"""The trapping bound: its norms, its constants, its growth in time, each by another route; and that it holds."""

from __future__ import annotations

from itertools import product
from math import exp, factorial, inf, log, pi, prod, sqrt

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import erf

from meanfield_sgd import decide
from meanfield_sgd.activation import Activation
from meanfield_sgd.errors import InputError
from meanfield_sgd.polynomial import Polynomial
from meanfield_sgd.simulate import (
    Trajectory,
    activation_norms,
    biased,
    ensemble,
    hidden_correlation,
    meanfield,
    population,
    sgd,
    trapping_bound,
)
from meanfield_sgd.simulate._limit_field import TargetForms
from meanfield_sgd.simulate._rotated import rotated_hermite

SHIFTED = "tanh(y+1/2)"
TANH = (1.0, 1.0, 4 / (3 * sqrt(3)))
ROTATED = [[1, -1]]
# target, activation, S: hidden for every activation, or (the second and third) without a bias only
TRAPS = [
    ("z1 + z1*z2*z3", SHIFTED, ["z2", "z3"]),
    ("z1 + z1*z2", "tanh", ["z2"]),
    ("z1 + He2(z1)*z2", "gelu", ["z2"]),
    ("z1 + z2 + z1*z2", "sin(y+1)", ROTATED),
    ("z1 + z2 + z1*z2", "softplus", ROTATED),
]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def grid(p, n=40):
    x, weight = np.polynomial.hermite_e.hermegauss(n)
    return np.array(list(product(x, repeat=p))), np.prod(list(product(weight / sqrt(2 * pi), repeat=p)), axis=1)


def hermite(alpha, z):
    """He_alpha(z) by numpy's recurrence."""
    return prod(np.polynomial.hermite_e.hermeval(z[:, i], [0] * k + [1]) for i, k in enumerate(alpha))


def particles(p, n=12, seed=0, rho=1.0):
    rng = np.random.default_rng(seed)
    return {"a": rng.uniform(-1, 1, n), "w": 0.2 * rng.standard_normal((n, p)), "rho": np.full(n, rho)}


# ---- norms ----


@pytest.mark.parametrize(
    ("activation", "norms"),
    [
        ("tanh", TANH),
        (SHIFTED, TANH),
        ("tanh(3*y)", (1, 3, 9 * TANH[2])),
        ("sin", (1, 1, 1)),
        ("3/5*sin(y) + 4/5*cos(y)", (1, 1, 1)),
        ("logistic", (1, 1 / 4, 1 / (6 * sqrt(3)))),
        ("erf", (1, sqrt(2 / pi), sqrt(2 / pi) * exp(-0.5))),
        ("softplus", (inf, 1, 1 / 4)),
        ("gelu", (inf, 0.5 * (1 + erf(1)) + sqrt(2) * exp(-1) / sqrt(2 * pi), 2 / sqrt(2 * pi))),
        ("elu", (inf, 1, 1)),
        ("elu(y - 1)", (inf, 1, 1)),
        ("relu", (inf, 1, inf)),
        ("y**2", (inf, inf, inf)),
        ("exp", (inf, inf, inf)),
        ("y", (inf, 1, 0)),
    ],
)
def test_norms_against_closed_forms(activation, norms):
    if activation in ("erf",):  # the library's erf is erf(y/sqrt 2)
        assert float(Activation("erf").derivative(0.0)) == pytest.approx(norms[1])
    assert activation_norms(activation) == pytest.approx(norms, rel=1e-8, abs=1e-9)


def test_norms_of_an_undeclared_function_are_refused():
    own = Activation.custom(torch.tanh, lambda y: 1 - torch.tanh(y) ** 2, name="own", breakpoints=())
    with pytest.raises(InputError, match="declare growth and smoothness"):
        activation_norms(own)


# ---- rotated coordinates ----


@pytest.mark.parametrize("target", ["z1 + z2 + z1*z2", "z1**3*z2 - z1*z2**2 + 2", "z1*z2*z3 - z3**2"])
def test_rotated_coefficients_are_projections(target):
    h = Polynomial(target)
    frame = np.linalg.qr(np.random.default_rng(1).standard_normal((h.p, h.p)))[0]
    found = rotated_hermite({k: float(v) for k, v in h.hermite_coefficients.items()}, frame)
    z, weight = grid(h.p, 8)
    values = h(z @ frame)  # z' on the grid, z = frame^T z'
    for alpha in product(range(5), repeat=h.p):
        want = float(weight @ (values * hermite(alpha, z))) / prod(map(factorial, alpha))
        assert found.get(alpha, 0.0) == pytest.approx(want, abs=1e-10)
    same = rotated_hermite({k: float(v) for k, v in h.hermite_coefficients.items()}, np.eye(h.p))
    assert same == pytest.approx({k: float(v) for k, v in h.hermite_coefficients.items()})


def test_forms_of_coefficients_are_those_of_the_polynomial():
    h = Polynomial("z1 + z1*z2**2 - z2/3 + 2")
    u = np.random.default_rng(0).standard_normal((5, 2))
    mine = TargetForms.of_coefficients({k: float(v) for k, v in h.hermite_coefficients.items()}, 2)
    for one, other in zip(mine(u), TargetForms(h)(u)):
        assert np.array_equal(one, other)
    assert mine.half_square == pytest.approx(0.5 * float(h.inner(h)))
    value, slope = TargetForms.of_coefficients({}, 2)(u)
    assert not np.any(value)
    assert not np.any(slope)


# ---- the growth of the bound ----


def constants(run):
    a, mass = run.final_state["a"], run.final_state["mass"]
    return float(mass @ a**2), sqrt(2 * run.losses[0])


def test_a_frozen_output_layer_gives_a_linear_exponent():
    start = particles(2)
    run = meanfield("z1 + z1*z2", "tanh", 4.0, init=start, train="w", subspace="z2", tolerance=1e-3)
    bound = trapping_bound(run)
    a2, excess = constants(run)
    top = float(np.abs(start["a"]).max())
    rate = sqrt(3) * TANH[2] * excess * top + a2
    assert np.allclose(bound.output_bound, top, rtol=1e-12)
    mass = np.mean(start["w"][:, 1] ** 2)
    assert run.masses[0] == pytest.approx(mass)
    assert np.allclose(bound.mass_bound, mass * np.exp(2 * rate * run.times), rtol=1e-6)
    assert bound.constants["A"] == pytest.approx(top)
    assert bound.constants["mean_square_a"] == pytest.approx(a2)
    assert bound.constants["target_norm"] == pytest.approx(sqrt(2))
    assert bound.constants["hidden_norm"] == pytest.approx(1)
    assert bound.constants["m_0"] == pytest.approx(sqrt(mass))
    assert bound.floor == decide.loss_floor("z1 + z1*z2", [[0, 1]]) == pytest.approx(0.5)
    assert np.allclose(bound.deficit, sqrt(3) / 2 * TANH[2] * run.weighted_masses)
    assert np.allclose(bound.deficit_bound, sqrt(3) / 2 * TANH[2] * bound.output_bound * bound.mass_bound)
    assert np.allclose(bound.margin, run.losses - 0.5 + bound.deficit)


@pytest.mark.parametrize(("xi_a", "xi_w"), [(1.0, 1.0), (0.5, 2.0)])
def test_both_layers_give_the_closed_polynomials(xi_a, xi_w):
    start = particles(2, seed=3)
    run = meanfield(
        "z1 + z1*z2", "tanh", 3.0, init=start, schedule_a=xi_a, schedule_w=xi_w, subspace="z2", tolerance=1e-3
    )
    bound = trapping_bound(run)
    a2, top, excess = float(np.mean(start["a"] ** 2)), float(np.abs(start["a"]).max()), sqrt(2 * run.losses[0])

    def output(t):
        return top + excess * xi_a * t

    def rate(t):
        q = min(output(t) ** 2, a2 + 0.5 * 2 * xi_a * t)  # |f*|^2 = 2
        return xi_w * (sqrt(3) * TANH[2] * excess * output(t) + q)

    assert np.allclose(bound.output_bound, output(run.times), rtol=1e-8)
    for i in (10, 50, 100):
        want = run.masses[0] * exp(2 * quad(rate, 0, run.times[i], limit=200)[0])
        assert bound.mass_bound[i] == pytest.approx(want, rel=1e-6)


def decaying(t):
    return exp(-t)


def slowing(t):
    return 1 / (1 + t)


def test_schedules_that_are_functions_must_be_given_again():
    start = particles(2, seed=4)
    run = meanfield(
        "z1 + z1*z2", "tanh", 3.0, init=start, schedule_a=decaying, schedule_w=slowing, subspace="z2", tolerance=1e-3
    )
    for given in ({}, {"schedule_a": decaying}, {"schedule_w": slowing}):
        with pytest.raises(InputError, match=r"was a function .*give it again"):
            trapping_bound(run, **given)
    bound = trapping_bound(run, schedule_a=decaying, schedule_w=slowing)
    a2, top, excess = float(np.mean(start["a"] ** 2)), float(np.abs(start["a"]).max()), sqrt(2 * run.losses[0])

    def rate(t):
        k = top + excess * (1 - exp(-t))
        return (sqrt(3) * TANH[2] * excess * k + min(k * k, a2 + 1 - exp(-t))) / (1 + t)

    assert np.allclose(bound.output_bound, top + excess * (1 - np.exp(-run.times)), rtol=1e-8)
    want = run.masses[0] * exp(2 * quad(rate, 0, 3)[0])
    assert bound.mass_bound[-1] == pytest.approx(want, rel=1e-6)
    assert bound.holds(run.error)


@pytest.mark.parametrize(
    ("target", "activation", "subspace", "zero", "m1", "m2"),
    [
        ("z1 + z2 + z1*z2", "softplus", ROTATED, log(2), 1.0, 0.25),
        ("z1 + He2(z1)*z2", "gelu", "z2", 0.0, 0.5 * (1 + erf(1)) + sqrt(2) * exp(-1) / sqrt(2 * pi), 2 / sqrt(2 * pi)),
    ],
)
def test_lipschitz_activations_give_hyperbolic_functions(target, activation, subspace, zero, m1, m2):
    start = particles(2, seed=5, rho=0.5)
    run = meanfield(target, activation, 1.0, init=start, subspace=subspace, tolerance=1e-3)
    bound = trapping_bound(run)
    top, longest = float(np.abs(start["a"]).max()), float(np.sqrt(np.sum(start["w"] ** 2, 1) + 0.25).max())
    a2, excess = float(np.mean(start["a"] ** 2)), sqrt(2 * run.losses[0])
    square = float(Polynomial(target).inner(Polynomial(target)))

    def output(t):
        e = excess * m1
        return top * np.cosh(e * t) + (zero + m1 * longest) / m1 * np.sinh(e * t)

    def rate(t):
        return sqrt(3) * m2 * excess * output(t) + m1 * m1 * min(output(t) ** 2, a2 + 0.5 * square * t)

    assert np.allclose(bound.output_bound, output(run.times), rtol=1e-6)
    want = run.masses[0] * exp(2 * quad(rate, 0, 1, limit=200)[0])
    assert bound.mass_bound[-1] == pytest.approx(want, rel=1e-5)


def test_the_escape_time_of_a_bound():
    run = meanfield("z1 + z1*z2", "tanh", 4.0, init=particles(2), train="w", subspace="z2", tolerance=1e-3)
    bound = trapping_bound(run)
    rate = log(bound.mass_bound[-1] / bound.mass_bound[0]) / 4  # the bound is an exponential: interpolation is exact
    level = sqrt(bound.mass_bound[0]) * 3
    assert bound.escape_time(level) == pytest.approx(2 * log(3) / rate)
    assert bound.escape_time(0.5 * sqrt(bound.mass_bound[0])) == 0.0
    assert bound.escape_time(1e9) == inf
    assert "holds" in repr(bound)


def test_the_escape_time_of_a_bound_that_starts_at_zero():
    run = sgd("z1 + z1*z2", "tanh", 2.0, init="blind", subspace="z2", train="w", neurons=10, dimension=3, batch=2)
    found = trapping_bound(run).escape_time(0.01)
    assert 0 <= found <= 2


# ---- the theorem holds ----


@pytest.mark.parametrize(("target", "activation", "subspace"), TRAPS)
@pytest.mark.parametrize("train", ["both", "w"])
def test_runs_obey_the_theorem(target, activation, subspace, train):
    h = Polynomial(target)
    options = {"subspace": subspace, "train": train, "times": np.linspace(0, 3, 13)}
    runs = [
        meanfield(target, activation, 3.0, init=particles(h.p, seed=6, rho=0.7), tolerance=1e-3, **options),
        population(target, activation, 3.0, neurons=16, dimension=12, init="gaussian", tolerance=1e-5, **options),
        population(target, activation, 3.0, neurons=16, dimension=12, init="blind", tolerance=1e-5, **options),
    ]
    bounds = [trapping_bound(run) for run in runs]
    if train == "w" and activation not in ("gelu", "softplus"):
        run = sgd(
            target, activation, 3.0, neurons=16, dimension=12, init="gaussian", batch=256, loss="exact", **options
        )
        bounds.append(trapping_bound(run))
        runs.append(run)
    for run, bound in zip(runs, bounds):
        assert np.all(run.masses <= bound.mass_bound * (1 + 1e-9) + 1e-24)
        assert np.all(bound.margin >= -run.error - 1e-12)
        assert bound.holds(run.error)
        assert float(bound.floor) == pytest.approx(0.5 * bound.constants["hidden_norm"] ** 2)
        assert np.all(np.abs(run.final_state["a"]) <= bound.output_bound[-1])
        assert hidden_correlation(run) <= bound.deficit[-1] + 1e-12
        assert run.losses[-1] >= float(bound.floor) - hidden_correlation(run) - run.error - 1e-12
    blind = runs[2]
    assert blind.settings["init"] == "blind"
    assert blind.overlaps.max() < 1e-9  # exactly on the trap, it stays there
    assert hidden_correlation(blind) == pytest.approx(0, abs=1e-12)


def test_blind_weights_are_gaussian_ones_projected():
    options = {"neurons": 8, "dimension": 4, "seed": 3, "subspace": ROTATED}
    for method in (sgd, population):
        blind, plain = (
            method("z1 + z2 + z1*z2", "tanh", 0.05, init=init, train="a", **options).final_state["w"]
            for init in ("blind", "gaussian")
        )
        s = np.array([1, -1, 0, 0]) / sqrt(2)
        assert np.allclose(blind, plain - np.outer(plain @ s, s), atol=1e-15)
        with pytest.raises(InputError, match='init="blind" needs subspace'):
            method("z1", "tanh", 1.0, init="blind", neurons=8, dimension=4)


# ---- what the network has found of the hidden part ----


def by_quadrature(run, rows, n=40):
    """E[g f] on a tensor grid, g = h - E[h | z outside S] by averaging the grid over S."""
    h, sigma = Polynomial(run.settings["target"]), Activation(run.settings["activation"])
    rows = np.atleast_2d(np.array(rows, dtype=float))
    frame = np.linalg.qr(np.vstack([rows, np.eye(h.p)]).T)[0].T[: h.p]
    z, weight = grid(h.p, n)
    values = h(z @ frame).reshape((n,) * h.p)
    k = len(rows)
    one = np.polynomial.hermite_e.hermegauss(n)[1] / sqrt(2 * pi)
    mean = values
    for _ in range(k):
        mean = np.tensordot(one, mean, axes=(0, 0))
    g = (values - mean).ravel()
    state = run.final_state
    x, wx = grid(1, 50)
    rho = np.sqrt(np.asarray(state.get("rho", np.zeros(len(state["a"])))) ** 2 + np.sum(state["w"][:, h.p :] ** 2, 1))
    total = 0.0
    for a, w, r, m in zip(state["a"], state["w"][:, : h.p] @ frame.T, rho, state["mass"]):
        inner = sigma((z @ w)[:, None] + r * x[:, 0]) @ wx
        total += m * a * float(weight @ (g * inner))
    return total, 0.5 * float(weight @ g**2)


@pytest.mark.parametrize(
    ("target", "activation", "subspace", "rows"),
    [
        ("z1 + z1*z2", "tanh", "z2", [0, 1]),
        ("z1 + z2 + z1*z2", "sin(y+1)", ROTATED, [1, -1]),
        ("z1 + z1*z2**2 - z2", SHIFTED, "z2", [0, 1]),  # not hidden: E[g f] is defined all the same
        ("z1 + z1*z2 - z2**3/5 + z1*z2**2", SHIFTED, [[1, 2]], [1, 2]),
        ("z1 + z1*z2*z3", SHIFTED, ["z2", "z3"], [[0, 1, 0], [0, 0, 1]]),
    ],
)
def test_the_hidden_correlation_is_the_quadrature(target, activation, subspace, rows):
    p = Polynomial(target).p
    run = meanfield(target, activation, 0.5, init=particles(p, n=6, seed=7), subspace=subspace, tolerance=1e-3)
    n = 50 if p == 2 else 24
    want, floor = by_quadrature(run, rows, n)
    found = hidden_correlation(run)
    assert found == pytest.approx(want, abs=1e-8)
    assert run.losses[-1] >= floor - found - run.error
    state = {"a": [1.0, -2.0, 0.5], "w": 0.4 * np.random.default_rng(8).standard_normal((3, p + 1))}
    run = population(target, activation, 0.1, initial_state=state, dimension=p + 1, subspace=subspace)
    assert hidden_correlation(run) == pytest.approx(by_quadrature(run, rows, n)[0], abs=1e-8)


def test_any_network_obeys_the_inequality_and_the_best_ones_reach_it():
    rng = np.random.default_rng(9)
    least = inf
    for _ in range(12):
        n = 6
        w = rng.standard_normal((n, 2)) * rng.choice([0.1, 0.5, 1.0], (n, 1))
        state = {"a": 4 * rng.standard_normal(n), "w": w}
        run = population("z1 + z1*z2", SHIFTED, 1e-6, initial_state=state, dimension=2, subspace="z2", tolerance=1e-5)
        least = min(least, run.losses[-1] - 0.5 + hidden_correlation(run))
        assert least >= -1e-6
    # f = h* - g exactly (sigma = y): equality
    state = {"a": [1.0], "w": [[1.0, 0.0]]}
    run = population("z1 + z1*z2", "y", 1e-6, initial_state=state, dimension=2, subspace="z2", tolerance=1e-8)
    assert run.losses[-1] == pytest.approx(0.5 - hidden_correlation(run), abs=1e-9)


def test_nothing_hidden_gives_zero():
    run = population("z1", SHIFTED, 0.1, neurons=4, dimension=2, init="gaussian", subspace="z1", seed=1)
    assert hidden_correlation(run) != 0
    constant = meanfield(Polynomial("z1 + 0*z2", ["z1", "z2"]), "tanh", 0.1, init=particles(2), subspace="z2")
    assert hidden_correlation(constant) == 0.0


def test_the_target_keeps_its_variables():
    # The text of this target alone, "z1 + z1*z2", would put z1 first.
    run = meanfield(
        Polynomial("z1 + z1*z2", ["z2", "z1"]), "tanh", 0.2, init=particles(2), subspace="z2", tolerance=1e-2
    )
    swapped = particles(2)
    swapped["w"] = swapped["w"][:, ::-1].copy()
    plain = meanfield("z1 + z1*z2", "tanh", 0.2, init=swapped, subspace="z2", tolerance=1e-2)
    assert hidden_correlation(run) == pytest.approx(hidden_correlation(plain))
    assert np.allclose(trapping_bound(run).mass_bound, trapping_bound(plain).mass_bound)


def test_a_custom_activation_is_not_read_from_its_name():
    own = Activation.custom(
        lambda y: torch.tanh(y + 0.5), lambda y: 1 - torch.tanh(y + 0.5) ** 2, name="own", breakpoints=(),
        growth="bounded", smoothness="analytic",
    )  # fmt: skip
    run = short_run(activation=own)
    assert hidden_correlation(run) == pytest.approx(hidden_correlation(short_run(activation=SHIFTED)), abs=1e-8)


# ---- SGD ----


@pytest.mark.parametrize(
    ("target", "activation", "subspace", "rows", "norms"),
    [
        ("z1 + z1*z2*z3", SHIFTED, ["z2", "z3"], [[0, 1, 0], [0, 0, 1]], TANH),
        ("z1 + z2 + z1*z2", "sin(y+1)", ROTATED, [[sqrt(0.5), -sqrt(0.5)]], (1, 1, 1)),
    ],
)
def test_the_constant_of_the_noise_by_monte_carlo(target, activation, subspace, rows, norms):
    h, rows = Polynomial(target), np.array(rows)
    run = sgd(target, activation, 0.5, neurons=12, dimension=4, batch=8, step=0.1, init="blind", train="w", schedule_w=0.5,
              subspace=subspace, times=[0, 0.5])  # fmt: skip
    bound = trapping_bound(run)
    a = np.abs(run.final_state["a"])
    a1, a2, top = a.mean(), np.mean(a**2), a.max()
    norm = sqrt(float(h.inner(h)))
    rate = 0.5 * (sqrt(3) * norms[2] * (norm + norms[0] * a1) * top + norms[1] ** 2 * a2)
    growth = bound.mass_bound[-1] / exp(2 * rate * 0.5) / 0.5  # of m^2 a unit of time
    g = sqrt(growth * 8 / (0.1 * 0.5**2 * a2 * norms[1] ** 2)) - norms[0] * a1 * sqrt(len(rows))
    z = np.random.default_rng(0).standard_normal((1_000_000, h.p))
    sample = h(z) ** 2 * np.sum((z @ rows.T) ** 2, axis=1)
    assert abs(g * g - sample.mean()) < 5 * sample.std() / 1e3
    if h.p == 3:
        assert g * g == pytest.approx(8)  # E z1^2 (1 + z2 z3)^2 (z2^2 + z3^2) = 2 + 6


@pytest.mark.parametrize("init", ["blind", "gaussian"])
def test_the_mean_over_seeds_obeys_the_noisy_bound(init):
    runs = ensemble("sgd", "z1 + z1*z2*z3", SHIFTED, 1.0, seeds=24, neurons=12, dimension=8, batch=8, step=0.05, init=init,
                    train="w", subspace=["z2", "z3"], times=np.linspace(0, 1, 6), test_points=2)  # fmt: skip
    bound = np.mean([trapping_bound(run).mass_bound for run in runs], axis=0)
    mean, error = runs.mean_mass()
    assert np.all(mean - 3 * error <= bound + 1e-20)
    assert init == "gaussian" or mean[1] > bound[1] / 50  # the bound is of the right kind


def test_one_step_of_noise_has_the_variance_of_the_proof():
    run = ensemble("sgd", "z1 + z1*z2", "tanh", 0.1, seeds=200, neurons=10, dimension=2, batch=4, step=0.1, init="blind",
                   train="w", subspace="z2", times=[0, 0.1], test_points=2)  # fmt: skip
    mean, error = run.mean_mass()
    total = 0.0
    z = np.random.default_rng(0).standard_normal((20_000, 2))
    for one in run[:20]:  # eta^2/b int a^2 E sigma'^2 (f - f*)^2 x_S^2, where w_S = 0 the mean step vanishes
        rng = np.random.Generator(np.random.PCG64(one.settings["seed"]))
        a, w = rng.uniform(-1, 1, 10), rng.standard_normal((10, 2)) / sqrt(2)
        w[:, 1] = 0
        s = np.tanh(z @ w.T)
        residual = s @ a / 10 - z[:, 0] * (1 + z[:, 1])
        total += 0.01 / 4 * np.mean(a**2 * (1 - s**2) ** 2 * (residual * z[:, 1])[:, None] ** 2)
    assert abs(mean[1] - total / 20) < 5 * error[1] + 0.1 * total / 20
    assert mean[1] <= trapping_bound(run[0]).mass_bound[1]


# ---- refusals ----


def short_run(target="z1 + z1*z2", activation="tanh", subspace="z2", **more):
    return meanfield(target, activation, 0.2, init=particles(2), subspace=subspace, tolerance=1e-2, **more)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: short_run(subspace="z1"), "not hidden from tanh"),
        (lambda: short_run(activation=SHIFTED), "not hidden"),
        (lambda: short_run(subspace=[[1, 1]]), "not hidden"),
        (lambda: short_run("z1 + z2 + z1*z2", "relu", ROTATED), "second derivative of relu.* not bounded"),
        (lambda: short_run("z1 + z2 + z1*z2", "y + y**2", ROTATED), "first derivative .* not bounded"),
        (lambda: short_run(subspace=None), "recorded no subspace"),
        (lambda: short_run(times=[0.1, 0.2]), "record time 0"),
        (lambda: "run", "a Trajectory is needed"),
        (
            lambda: sgd("z1 + z1*z2", "tanh", 0.1, neurons=4, dimension=2, batch=2, subspace="z2"),
            "frozen output layer and a constant rate",
        ),
        (
            lambda: sgd("z1 + z1*z2", "tanh", 0.1, neurons=4, dimension=2, batch=2, train="a", subspace="z2"),
            "frozen output layer",
        ),
    ],
)
def test_the_theorem_is_refused_where_it_does_not_apply(make, message):
    with pytest.raises(InputError, match=message):
        trapping_bound(make())


def test_sgd_needs_a_bounded_activation_and_a_constant_rate():
    options = {"neurons": 4, "dimension": 2, "batch": 2, "train": "w"}
    run = sgd("z1 + z2 + z1*z2", "softplus", 0.1, subspace=ROTATED, **options)
    with pytest.raises(InputError, match="bounded"):
        trapping_bound(run)
    run = sgd("z1 + z1*z2", "tanh", 0.1, subspace="z2", schedule_w=slowing, **options)
    with pytest.raises(InputError, match="constant rate"):
        trapping_bound(run, schedule_w=slowing)


def test_hidden_correlation_needs_a_subspace():
    with pytest.raises(InputError, match="recorded no subspace"):
        hidden_correlation(short_run(subspace=None))
    with pytest.raises(InputError, match="a Trajectory is needed"):
        hidden_correlation(3)


@pytest.mark.parametrize("function", [trapping_bound, hidden_correlation])
def test_a_network_with_biases_is_refused(function):
    # Its f has other neurons, sigma(w.x + b), and tanh is no longer odd: neither result would be true of it.
    run = biased("z1 + z1*z2", "tanh", 0.2, bias=0.5, subspace="z2", points=10)
    with pytest.raises(InputError, match="bias"):
        function(run)


# ---- what a trajectory says of its overlap ----


def test_masses_and_escape_times_of_a_trajectory():
    times = np.linspace(0, 4, 9)
    run = Trajectory("x", times, times, overlaps=0.01 * np.exp(times), weighted_masses=times)
    assert np.array_equal(run.masses, run.overlaps**2)
    assert run.escape_time(0.1) == pytest.approx(log(10))  # an exponential is interpolated exactly
    assert run.escape_time(0.01) == 0.0
    assert run.escape_time(0.001) == 0.0
    assert run.escape_time(1.0) == inf
    stuck = Trajectory("x", times, times, overlaps=np.where(times < 2, 0.0, 1.0))
    assert stuck.escape_time() == 2.0
    again = Trajectory.from_json(run.to_json())
    assert np.array_equal(again.weighted_masses, run.weighted_masses)
    assert "weighted_mass" in run.to_dict()
    for bad in (0, -1, "x", None):
        with pytest.raises(InputError, match="level must be a positive number"):
            run.escape_time(bad)
    plain = Trajectory("x", times, times)
    assert plain.masses is None
    with pytest.raises(InputError, match="no overlap was recorded"):
        plain.escape_time()
    with pytest.raises(InputError, match="weighted_masses has shape"):
        Trajectory("x", times, times, weighted_masses=[1.0])


def test_weighted_masses_are_those_of_the_final_network():
    run = short_run()
    s = run.final_state
    assert run.weighted_masses[-1] == pytest.approx(float(s["mass"] @ (np.abs(s["a"]) * s["w"][:, 1] ** 2)))
    assert run.masses[-1] == pytest.approx(float(s["mass"] @ s["w"][:, 1] ** 2))


# ---- the verdict and the flow, cell by cell ----

TARGETS = [
    "z1 + z1*z2",
    "z1 + z1*z2*z3",
    "z1 + z1*z2 + z1*z2*z3",
    "z1 + z1*z2 + z2*z3",
    "z1 + z2 + z1*z2",
    "z1 + z2 + z1**2",
    "z1 + He2(z1)*z2",
    "z1 + z1**2*z2",
    "z1 + z1*z2**2",
    "z1*z2",
    "z1**3",
    "z1 + He2(z2)",
]
ACTIVATIONS = ["tanh", "logistic", SHIFTED, "sin(y+1)", "softplus", "gelu", "silu", "cos"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_flow_uses_the_dimensions_that_the_verdict_says(target, activation):
    h = Polynomial(target)
    verdict, hidden = decide(h, activation), decide.largest_invariant_subspace(h, activation)
    rows = [[float(x) for x in row] for row in hidden.basis] if hidden.dimension else None
    run = meanfield(h, activation, 10.0, subspace=rows, tolerance=1e-2, times=np.linspace(0, 10, 11))
    w, mass = run.final_state["w"], run.final_state["mass"]
    sizes = np.sqrt(np.maximum(np.linalg.eigvalsh((w.T * mass) @ w), 0))
    assert int(np.sum(sizes > 1e-6)) == verdict.usable.dimension
    if rows is not None:
        assert run.overlaps.max() < 1e-9
        assert run.losses.min() >= float(decide.loss_floor(h, hidden)) - run.error
