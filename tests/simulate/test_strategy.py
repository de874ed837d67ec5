"""The training strategy: its closed form against simulations, its first stage by SGD against SGD in R^d."""

from __future__ import annotations

import os
import signal
from itertools import product
from math import exp, factorial, inf, log, pi, prod, sqrt

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from meanfield_sgd import decide
from meanfield_sgd.activation import Activation
from meanfield_sgd.errors import DivergenceError, InputError, MeanFieldError
from meanfield_sgd.polynomial import Polynomial
from meanfield_sgd.simulate import FeatureLaw, InitialLaw, Interrupted, population, strategy, taylor_curve
from meanfield_sgd.simulate._common import Schedule
from meanfield_sgd.simulate._running import CheckpointFile
from meanfield_sgd.simulate._stage_one_sgd import Copy, descend
from meanfield_sgd.simulate.readout import Readout, network_readout

SHIFTED = "tanh(y+1/2)"
SIN = "3/5*sin(y) + 4/5*cos(y)"
STAIRS = "z1 + z1*z2"
CHAIN = "z1 + z1*z2 + z1*z2*z3"
ROTATED = "(3*z1+4*z2)/5 + (3*z1+4*z2)*(-4*z1+3*z2)/25"
QUARTIC = "z1 + z1*z2 + z1*z2*z3 + 1/2*He2(z1)*z2*z3"
SGD = {"neurons": 12, "dimension": 20, "method": "sgd", "batch": 8, "step": 0.1}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def grid(p, n):
    x, weight = np.polynomial.hermite_e.hermegauss(n)
    return np.array(list(product(x, repeat=p))), np.prod(list(product(weight / sqrt(2 * pi), repeat=p)), axis=1)


class ByHand:
    """The linear flow of the second stage in the limit, from points, by quadrature and singular values."""

    def __init__(self, target, points, masses, outputs=None, degree=None):
        h = Polynomial(target)
        n = degree or h.degree
        z, weight = grid(h.p, max(n, h.degree) + 2)
        alphas = [e for e in product(range(n + 1), repeat=h.p) if sum(e) <= n]
        he = lambda k, x: np.polynomial.hermite_e.hermeval(x, [0] * k + [1]) / sqrt(factorial(k))  # noqa: E731
        basis = np.array([prod(he(k, z[:, i]) for i, k in enumerate(e)) for e in alphas])
        phi = (1 + points @ z.T) ** n @ (weight * basis).T
        start = basis @ (weight * h(z))
        self.above = 0.5 * (weight @ h(z) ** 2 - start @ start)
        if outputs is not None:
            start = start - (masses * outputs) @ phi
        _, singular, vectors = np.linalg.svd(np.sqrt(masses)[:, None] * phi, full_matrices=False)
        self.rates, self.energies = singular**2, (vectors @ start) ** 2

    def loss(self, t):
        return self.above + 0.5 * np.exp(-2 * np.multiply.outer(t, self.rates)) @ self.energies


# ---- the limit ----


@pytest.mark.parametrize(
    ("target", "activation", "options"),
    [
        (STAIRS, SHIFTED, {"feedback": True, "copies": 1}),
        ("z1 + He2(z1)/2", "softplus", {"copies": 2}),
        (STAIRS, SIN, {"degree": 1}),
        (STAIRS, SIN, {"schedule_a": lambda t: 1 / (1 + t), "copies": 1}),
        (STAIRS, "erf(y+1/3)", {"law": InitialLaw.points([-1, 0.5, 1], [1, 2, 1])}),
    ],
)
def test_the_limit_against_meanfield(target, activation, options):
    made = strategy(target, activation, 1.5, **options)
    run = made.train(4.0, method="meanfield", tolerance=1e-7, times=[0.0, 0.5, 1.0, 2.0, 4.0])
    assert run.losses[-1] < 0.95 * run.losses[0]
    assert np.allclose(made.loss(run.times), run.losses, atol=2e-6)


@pytest.mark.parametrize(
    ("target", "law", "initial_a"),
    [(STAIRS, None, "zero"), (STAIRS, InitialLaw.uniform(0, 1), "average"), ("z1 - He2(z1)", None, "average")],
)
def test_the_limit_by_hand(target, law, initial_a):
    time, copies = 1.5, 2
    made = strategy(target, SIN, time, copies=copies, law=law, initial_a=initial_a)
    x, weight = np.polynomial.legendre.leggauss(48)
    a = x if law is None else (1 + x) / 2
    w = taylor_curve(target, SIN, a * time)
    points = ((w[:, None] + w) / 2).reshape(-1, w.shape[1])
    outputs = ((a[:, None] + a) / 2).ravel()
    masses = np.outer(weight, weight).ravel() / 4
    want = ByHand(target, points, masses, outputs if initial_a == "average" else None)
    times = np.array([0.0, 0.1, 1.0, 30.0, 1e4])
    assert np.allclose(made.loss(times), want.loss(times), rtol=1e-7, atol=1e-12)
    if initial_a == "average":
        assert abs(made.loss(0.0) - strategy(target, SIN, time, copies=copies, law=law).loss(0.0)) > 1e-4


@pytest.mark.parametrize(
    ("target", "activation", "time"),
    [(STAIRS, SIN, 2.0), (ROTATED, SIN, 1.0), (CHAIN, SIN, 2.0), (QUARTIC, SIN, 2.0)],
)
def test_the_loss_falls_below_any_level(target, activation, time):
    made = strategy(target, activation, time)
    end = made.time_to(1e-10)
    assert 0 < end < inf
    assert made.floor == 0
    assert made.loss(end) == pytest.approx(1e-10, rel=1e-6, abs=0)
    assert made.loss(0.9 * end) > 1e-10 > made.loss(1.1 * end)
    # and by singular values of all combinations of nodes, in double precision
    x, weight = np.polynomial.legendre.leggauss(24 if Polynomial(target).p < 3 else 16)
    w, mass = taylor_curve(target, activation, x * time), weight / 2
    points, masses = w, mass
    for _ in range(Polynomial(target).p - 1):
        points = (points[:, None] + w).reshape(-1, w.shape[1])
        masses = np.outer(masses, mass).ravel()
    want = ByHand(target, points / made.copies, masses)
    assert want.loss(end) == pytest.approx(1e-10, rel=0.05, abs=0)
    assert made.rate == pytest.approx(2 * want.rates[-1], rel=1e-2, abs=0)


def test_a_reflective_target_is_never_learned():
    for options in ({}, {"feedback": True, "copies": 1}):
        made = strategy("z1 + z1*z2*z3", SIN, 0.5, **options)
        assert made.floor == pytest.approx(0.5, abs=1e-9)
        assert made.time_to(1e-10) == inf
        assert made.time_to(0.4) == inf
        assert made.rate == 0
        assert made.loss(1e15) == pytest.approx(0.5, abs=1e-6)
        assert 0 < made.time_to(0.75) < inf


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_the_degree_of_the_second_activation(degree):
    made = strategy("z1 + z1*z2 + 2/3*He3(z2)", SIN, 1.5, degree=degree)
    floors = {1: 0.5 * (1 + 6 * 4 / 9), 2: 0.5 * 6 * 4 / 9, 3: 0.0, 4: 0.0}  # z1 z2 has energy 1, He3 has 3! times 4/9
    assert made.floor == pytest.approx(floors[degree], abs=1e-12)
    assert made.loss(0.0) == pytest.approx(0.5 * (2 + 6 * 4 / 9))
    y = np.linspace(-1, 1, 5)
    assert np.allclose(made.second(y), (1 + y) ** degree)


def test_constants_are_learned():
    made = strategy("z1 + 3", SHIFTED, 1.0)
    assert made.loss(0.0) == pytest.approx(5)
    assert made.floor == 0
    assert strategy("3", SHIFTED, 1.0).loss([0.0, 1e3]) == pytest.approx([4.5, 0], abs=1e-9)


# ---- rates ----


def test_the_rate_at_last_is_seen_in_a_simulation():
    made = strategy("z1 + He2(z1)/2", SIN, 2.0, copies=1)
    lam = np.sort(np.linalg.eigvalsh(made.kernel.matrix))
    assert made.rate == pytest.approx(2 * lam[0], rel=1e-6)
    end = 4 / lam[0]
    late = np.array([0.7 * end, end])
    run = made.train(end, method="meanfield", tolerance=1e-6, times=late)
    slope = -np.diff(np.log(run.losses)) / np.diff(late)
    assert slope[0] == pytest.approx(made.rate, rel=0.02)
    assert made.readout.decay_rate(late)[-1] == pytest.approx(made.rate, rel=0.02)


def test_decay_rates_are_logarithmic_derivatives():
    made = strategy(STAIRS, SIN, 2.0, schedule_a=3.0, law=InitialLaw.uniform(0, 1))
    times = np.array([0.2, 3.0, 1e3])
    h = 1e-5 * times
    numeric = -(np.log(made.loss(times + h)) - np.log(made.loss(times - h))) / (6 * h)
    assert np.allclose(made.readout.decay_rate(times), numeric, rtol=1e-4)
    rates = made.readout.decay_rate(np.geomspace(1e-2, 1e9, 40))
    assert np.all(np.diff(rates) <= 1e-12)
    assert rates[-1] == pytest.approx(made.rate, rel=1e-9, abs=0)
    assert np.all(np.isfinite(made.readout.decay_rate([1e12, 1e15])))


def test_the_rate_is_that_of_the_loss():
    # h* = z1 (1 + z2) and a ~ U[-1, 1]: under z1 -> -z1 the kernel splits, and the slowest mode (even) has no energy
    made = strategy(STAIRS, SIN, 2.0)
    late = np.array([2000.0, 2200.0])
    slope = -np.diff(np.log(made.loss(late)))[0] / 200
    assert made.readout.decay_rate(late)[-1] == pytest.approx(slope, rel=1e-3)
    assert made.readout.rate == pytest.approx(slope, rel=0.02)
    assert made.rate == pytest.approx(2 * float(made.kernel.lambda_min))  # the theorem's bound, met by no part of h*
    assert made.rate < slope / 10


def test_the_copies_average_out():
    one, two = (strategy(STAIRS, SIN, 0.5, copies=c) for c in (1, 2))
    assert two.rate > 1000 * one.rate > 0


# ---- schedules and times ----


@pytest.mark.parametrize(
    ("rate", "clock"),
    [
        (2.5, lambda t: 2.5 * t),
        (lambda t: 1 / (1 + t), np.log1p),
        (lambda t: 1 / (1 + t) ** 2, lambda t: t / (1 + t)),
        (lambda t: exp(-t), lambda t: -np.expm1(-t)),
        (lambda t: float(t <= 5), lambda t: np.minimum(t, 5)),
        (lambda t: t, lambda t: t * t / 2),
        (0.0, lambda t: 0 * t),
    ],
)
def test_the_clock(rate, clock):
    eigenvalues, energies = np.array([0.01, 1.0]), np.array([2.0, 1.0])
    readout = Readout(eigenvalues, energies, 0.1, Schedule(rate, "schedule_a"))
    times = np.array([3.0, 0.0, 1e4, 0.5, 77.0])
    assert np.allclose(readout.clock(times), clock(times), rtol=1e-6, atol=1e-9)
    want = 0.1 + 0.5 * sum(c * np.exp(-2 * x * clock(times)) for x, c in zip(eigenvalues, energies))
    assert np.allclose(readout.loss(times), want, rtol=1e-5, atol=1e-12)
    assert readout.loss(times.reshape(1, 5)).shape == (1, 5)
    assert readout.loss(3.0).shape == ()


def test_a_schedule_is_a_change_of_time():
    rate = lambda t: 1 / (1 + t)  # noqa: E731
    times = np.array([0.0, 1.0, 50.0])
    made = strategy(STAIRS, SIN, 0.5, schedule_a=rate)
    assert np.allclose(made.loss(times), strategy(STAIRS, SIN, 0.5).loss(np.log1p(times)), rtol=1e-9)


def test_an_oscillating_clock():
    readout = Readout(np.array([1.0]), np.array([1.0]), 0.0, Schedule(lambda t: 1 + np.cos(10 * t), "schedule_a"))
    assert readout.clock(1000.0) == pytest.approx(1000 + np.sin(1e4) / 10, rel=1e-6)


def test_a_late_burst_of_the_clock():
    readout = Readout(np.array([1.0]), np.array([1.0]), 0.0, Schedule(lambda t: float(40 <= t <= 41), "schedule_a"))
    assert readout.clock(100.0) == pytest.approx(1, rel=1e-3)


def test_times_to_a_level():
    readout = Readout(np.array([0.5, 2.0]), np.array([1.0, 3.0]), 0.1, Schedule(1.0, "schedule_a"))
    assert readout.loss(0.0) == pytest.approx(2.1)
    for level in (2.0, 1.0, 0.2, 0.1001):
        t = readout.time_to(level)
        assert readout.loss(t) == pytest.approx(level, rel=1e-9)
        assert readout.loss(t) <= level
        assert 0.1 + 0.5 * (exp(-t) + 3 * exp(-4 * t)) == pytest.approx(level, rel=1e-9)
    assert readout.time_to(3.0) == 0
    assert readout.time_to(0.1) == inf
    assert readout.time_to(0.05) == inf
    slow = Readout(np.array([0.5]), np.array([1.0]), 0.0, Schedule(lambda t: 1 / (1 + t), "schedule_a"))
    assert slow.time_to(0.005) == pytest.approx(99, rel=1e-5)  # 1/2 e^(-log(1+t))
    stopping = Readout(np.array([0.5]), np.array([1.0]), 0.0, Schedule(lambda t: exp(-t), "schedule_a"))
    assert stopping.time_to(0.1) == inf
    assert Readout(np.array([0.5]), np.array([1.0]), 0.0, Schedule(0.0, "schedule_a")).time_to(0.1) == inf


def test_a_slow_schedule_arrives_in_the_end():
    # E = 1/2 (1+t)^(-1/10): 1/40 at t = 20^10 - 1 = 1e13, late, but not never
    slow = Readout(np.array([0.05]), np.array([1.0]), 0.0, Schedule(lambda t: 1 / (1 + t), "schedule_a"))
    assert slow.time_to(0.025) == pytest.approx(20.0**10, rel=1e-3)


@pytest.mark.parametrize("level", [0, -1, "small", None, float("nan")])
def test_refused_levels(level):
    with pytest.raises(InputError, match="loss must be a positive, finite number"):
        strategy(STAIRS, SIN).time_to(level)


@pytest.mark.parametrize("times", [-1.0, [0.0, float("nan")]])
def test_refused_times(times):
    with pytest.raises(InputError, match="times must be numbers from 0"):
        strategy(STAIRS, SIN).loss(times)


def test_the_trajectory():
    made = strategy(STAIRS, SIN, 2.0)
    run = made.trajectory(8.0)
    assert np.array_equal(run.losses, made.loss(run.times))
    assert run.error == 0.0
    assert run.times[-1] == 8
    assert np.array_equal(made.trajectory(8.0, times=[1, 2]).times, [1, 2])


# ---- finite networks ----


@pytest.mark.parametrize(
    ("target", "options"),
    [
        (STAIRS, {"neurons": 30}),
        (STAIRS, {"neurons": 30, "feedback": True}),
        (STAIRS, {"neurons": 30, "initial_a": "average"}),
        (STAIRS, {"neurons": 4, "degree": 3}),
        (CHAIN, {"neurons": 25, "copies": 2, "schedule_a": 0.5}),
        ("z1 - He2(z1)", {"neurons": 1}),
        (STAIRS, SGD),
        (STAIRS, SGD | {"initial_a": "average", "feedback": True}),
        (CHAIN, SGD | {"copies": 2, "degree": 2}),
        (STAIRS, SGD | {"dimension": 2}),
        (STAIRS, SGD | {"dimension": 3}),
    ],
)
def test_finite_networks_against_the_population_flow(target, options):
    made = strategy(target, SHIFTED, 1.5, seed=4, **options)
    run = made.train(5.0, tolerance=1e-8, times=np.array([0, 0.3, 1, 2, 5.0]))
    assert run.losses[-1] < 0.9999 * run.losses[0]
    assert np.allclose(made.loss(run.times), run.losses, rtol=1e-6, atol=1e-7)
    assert (made.kernel is None) == (made.weights.shape[1] > Polynomial(target).p)
    if made.kernel is None:
        assert np.isnan(made.rate)


def test_networks_outside_v_by_quadrature():
    # two neurons with one coordinate outside V = R: everything on a grid in R^2
    w, a = np.array([[0.4, 0.3], [-0.2, 0.5]]), np.array([0.7, -0.3])
    z, weight = grid(2, 12)
    h = Polynomial("z1 + He2(z1)")
    f = (1 + z @ w.T) ** 2
    value = h(z[:, :1])
    Q, b = f.T @ (weight[:, None] * f), f.T @ (weight * value)
    readout = network_readout(h, w, a, 2, Schedule(1.0, "schedule_a"))
    rest = a - 2 * np.linalg.solve(Q, b)
    for t in (0.0, 0.5, 3.0, 100.0):
        now = 2 * np.linalg.solve(Q, b) + expm(-Q * t / 2) @ rest
        want = 0.5 * weight @ (value - f @ now / 2) ** 2
        assert readout.loss(t) == pytest.approx(want, rel=1e-9)


def test_weights_in_v_by_either_closed_form():
    made = strategy(STAIRS, SHIFTED, 2.0, neurons=40, seed=2, initial_a="average")
    other = network_readout(Polynomial(STAIRS), made.weights, made.outputs, 2, Schedule(1.0, "schedule_a"))
    times = np.array([0.0, 1.0, 10.0, 1e3])
    assert np.allclose(made.loss(times), other.loss(times), rtol=1e-7, atol=1e-12)


def test_the_limit_is_the_limit():
    limit = strategy(STAIRS, SIN, 2.0)
    times = np.array([0.0, 1.0, 10.0])
    values = np.array([strategy(STAIRS, SIN, 2.0, neurons=400, seed=s).loss(times) for s in range(5)])
    error = values.std(0, ddof=1) / sqrt(5)
    assert np.all(np.abs(values.mean(0) - limit.loss(times)) < 6 * error + 5e-3)


def test_finite_weights_stand_on_the_curve():
    made = strategy(STAIRS, SHIFTED, 1.5, neurons=150, copies=1, seed=3, initial_a="average")
    assert np.allclose(made.weights, taylor_curve(STAIRS, SHIFTED, 1.5 * made.outputs), atol=1e-11)
    few = strategy(STAIRS, SHIFTED, 1.5, neurons=7, copies=1, seed=3, initial_a="average")
    assert np.allclose(few.weights, taylor_curve(STAIRS, SHIFTED, 1.5 * few.outputs), atol=1e-12)


def test_a_one_sided_law_needs_one_side_of_the_curve():
    # W' = (1 - W)^2, W = tau/(1 + tau): fine for tau >= 0, infinite at tau = -1
    target, cubic = "z1 - He2(z1) - 1/6*He3(z1)", "y + y**2/2 + y**3/6"
    law = InitialLaw.uniform(0, 1)
    for neurons in (50, 600):
        made = strategy(target, cubic, 2.0, law=law, neurons=neurons, initial_a="average")
        tau = 2 * made.outputs
        assert np.allclose(made.weights[:, 0], tau / (1 + tau), atol=1e-10)
    assert strategy(target, cubic, 2.0, law=law).rate > 0


def test_the_dimension_does_not_enter_the_population_flow():
    for feedback in (False, True):
        runs = [strategy(STAIRS, SHIFTED, 1.0, neurons=9, dimension=d, feedback=feedback, seed=5) for d in (2, 7, 5000)]
        for other in runs[1:]:
            assert np.array_equal(runs[0].weights, other.weights)
            assert np.array_equal(runs[0].loss([0, 1, 50]), other.loss([0, 1, 50]))


def test_feedback_in_a_finite_network():
    made = strategy(STAIRS, SHIFTED, 1.0, neurons=15, copies=1, feedback=True, seed=1, initial_a="average")
    start = {"a": made.outputs, "w": np.zeros((15, 2))}
    run = population(STAIRS, SHIFTED, 1.0, dimension=8, initial_state=start, train="w", times=[0, 1.0], tolerance=1e-8)
    found = run.final_state["w"]
    assert np.allclose(found[:, :2], made.weights, atol=1e-6)
    assert np.abs(taylor_curve(STAIRS, SHIFTED, made.outputs) - made.weights).max() > 1e-3


def test_the_second_stage_by_sgd():
    made = strategy(STAIRS, SHIFTED, 2.0, neurons=40, seed=0)
    times = np.array([0.0, 1.0, 2.0, 4.0])
    runs = np.array([made.train(4.0, method="sgd", step=0.01, batch=256, seed=s, times=times).losses for s in range(4)])
    error = runs.std(0, ddof=1) / 2
    assert np.all(np.abs(runs.mean(0) - made.loss(times)) < 6 * error + 0.02 * made.loss(times))


def test_seeds():
    for options in ({"neurons": 8}, SGD):
        one, same, other = (strategy(STAIRS, SHIFTED, 0.5, seed=s, **options) for s in (1, 1, 2))
        assert np.array_equal(one.weights, same.weights)
        assert not np.array_equal(one.weights, other.weights)
    rng = np.random.default_rng(1)
    first = strategy(STAIRS, SHIFTED, 0.5, neurons=8, seed=rng)
    assert not np.array_equal(first.weights, strategy(STAIRS, SHIFTED, 0.5, neurons=8, seed=rng).weights)


@pytest.mark.parametrize(
    "law",
    [
        InitialLaw.uniform(0, 2),
        InitialLaw.gaussian(0.5),
        InitialLaw.density(lambda a: np.exp(a), -1, 2),
        InitialLaw.points([-1, 2], [3, 1]),
    ],
)
def test_drawn_output_weights_have_the_law(law):
    a = strategy("z1", SIN, 0.1, neurons=3000, copies=1, law=law, seed=2, initial_a="average").outputs
    if law.kind == "points":
        x, mass = np.array(law.values), np.array(law.masses)
    else:
        x = np.linspace(law.low, law.high, 40_001)
        mass = np.ones_like(x) if law.pdf is None else law.pdf(x)
        mass = mass / mass.sum()
    for k in (1, 2, 3):
        assert abs(np.mean(a**k) - mass @ x**k) < 4.5 * np.std(a**k) / sqrt(3000)


# ---- the first stage by SGD ----


def naive(target, sigma, a, d, *, batch, step, steps, copies, feedback, runs, rng):
    """The same SGD in R^d, ``runs`` at once: weights (runs, N, copies, d)."""
    h, n = Polynomial(target), len(a)
    w = np.zeros((runs, copies, n, d))
    for _ in range(steps):
        x = rng.standard_normal((runs, copies, batch, d))
        inputs = np.einsum("rcbd,rcnd->rcbn", x, w)
        residual = -h(x[..., : h.p].reshape(-1, h.p)).reshape(runs, copies, batch)
        if feedback:
            residual = residual + sigma(inputs) @ a / n
        w -= step / batch * np.einsum("rcb,rcbn,n,rcbd->rcnd", residual, sigma.derivative(inputs), a, x)
    return w.transpose(0, 2, 1, 3)


def statistics(w, p):
    """Second moments in V, Gram matrices outside it within and between copies, and their squares: (runs, features)."""
    n, copies = w.shape[:2]
    inside, rest = w[..., :p].reshape(n * copies, p), w[..., p:].reshape(n * copies, -1)
    gram = rest @ rest.T
    upper = np.triu_indices(n * copies)
    own = (inside @ inside.T)[upper]
    return np.concatenate([inside.ravel(), own, gram[upper], gram[upper] ** 2, own**2])


@pytest.mark.parametrize(
    ("d", "feedback", "runs"),
    [(3, False, 500), (5, True, 500), (40, True, 500)],
)
def test_sgd_is_that_in_the_full_space(d, feedback, runs):
    # d - p = 1, 3: fewer free directions than samples; 4 steps of 5 samples give 20 > 2N columns: reduced on the way
    target, sigma, a = STAIRS, Activation(SHIFTED), np.array([1.0, -0.6, 0.8])
    batch, steps, step, copies = 5, 4, 0.2, 2
    full = naive(target, sigma, a, d, batch=batch, step=step, steps=steps, copies=copies, feedback=feedback,
                 runs=4000, rng=np.random.default_rng(0))  # fmt: skip
    want = np.array([statistics(w, 2) for w in full])
    rng = np.random.default_rng(1)
    found = []
    for _ in range(runs):
        outputs, w = descend(
            Polynomial(target), sigma, steps * step, neurons=3, dimension=d, copies=copies, batch=batch, step=step,
            feedback=feedback, rng=rng, law=lambda r, k: a.copy(), progress=False, file=CheckpointFile(None, {}),
        )  # fmt: skip
        assert outputs.shape == (3, 2)
        found.append(statistics(w, 2))
    found = np.array(found)
    error = np.sqrt(want.var(0) / len(want) + found.var(0) / runs)
    # about 80 statistics, some heavy-tailed
    assert np.all(np.abs(found.mean(0) - want.mean(0)) < 4.8 * error + 1e-12)
    assert np.mean(np.abs(found.mean(0) - want.mean(0)) < 2.5 * error + 1e-12) > 0.9


def test_the_last_step_of_sgd_is_shortened():
    # with a large batch and d = p there is hardly any noise: Euler steps of .4, .4, .2
    made = strategy("z1", "y", 1.0, neurons=5, copies=1, dimension=1, method="sgd", batch=200_000, step=0.4,
                    initial_a="average")  # fmt: skip
    assert np.allclose(made.weights[:, 0], made.outputs, rtol=0.02)
    assert made.settings["samples"] == 3 * 200_000


def test_the_part_outside_v_has_the_promised_size():
    # step d/b times the integral of E[a^2 h^2 sigma'^2]; sigma = y and h = z: E[a^2] = 1/3
    made = strategy("z1", "y", 1.0, neurons=300, copies=1, dimension=4000, method="sgd", batch=50, step=0.05, seed=1)
    rest = np.mean(np.sum(made.weights[:, 1:] ** 2, axis=1))
    assert rest == pytest.approx(0.05 * 3999 / 50 / 3, rel=0.3)


def test_huge_dimensions_cost_nothing():
    made = strategy(STAIRS, SHIFTED, 0.5, neurons=6, dimension=10**9, method="sgd", batch=10**6 // 5000, step=0.1)
    assert made.weights.shape[1] <= 2 + 2 * 12 + 200
    assert made.kernel is None


def interrupting(monkeypatch, at):
    """Ctrl-C at the given steps of SGD, counted over everything."""
    calls, step = [0], Copy.step

    def counted(self, *arguments):
        calls[0] += 1
        if calls[0] in at:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *arguments)

    monkeypatch.setattr(Copy, "step", counted)


@pytest.mark.parametrize("at", [(1,), (3, 7), (5,), (9,), (10,), (4, 5, 6)])
def test_an_interrupted_first_stage_resumes_to_the_bit(tmp_path, monkeypatch, at):
    # five steps in each of two copies: the fifth is the last one of the first copy
    options = SGD | {"seed": 3, "feedback": True}
    whole = strategy(STAIRS, SHIFTED, 0.5, **options)
    path, handler = tmp_path / "run.npz", signal.getsignal(signal.SIGINT)
    interrupting(monkeypatch, at)
    resumed, stops = None, 0
    while resumed is None:
        try:
            resumed = strategy(STAIRS, SHIFTED, 0.5, checkpoint=path, **options)
        except Interrupted as problem:
            assert "to resume" in str(problem)
            assert problem.checkpoint == str(path)
            stops += 1
    assert stops == len(at) - (10 in at)  # after the last step nothing is left to interrupt
    assert signal.getsignal(signal.SIGINT) is handler
    assert np.array_equal(resumed.weights, whole.weights)
    assert np.array_equal(resumed.loss([0, 1, 10]), whole.loss([0, 1, 10]))
    again = strategy(STAIRS, SHIFTED, 0.5, checkpoint=path, **options)
    assert np.array_equal(again.weights, whole.weights)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 4},
        {"step": 0.05},
        {"batch": 9},
        {"neurons": 13},
        {"dimension": 21},
        {"copies": 3},
        {"feedback": True},
        {"law": InitialLaw.uniform(0, 1)},
        {"law": InitialLaw.points([0.5, 1])},
        {"law": InitialLaw.points([-1, 1], [1, 3])},
    ],
)
def test_the_checkpoint_of_another_run_is_refused(tmp_path, changes):
    options = SGD | {"seed": 3, "checkpoint": tmp_path / "run.npz", "law": InitialLaw.points([-1, 1])}
    strategy(STAIRS, SHIFTED, 0.2, **options)
    with pytest.raises(InputError, match="belongs to another run"):
        strategy(STAIRS, SHIFTED, 0.2, **options | changes)
    with pytest.raises(InputError, match="belongs to another run"):
        strategy(STAIRS, SIN, 0.2, **options)


# ---- refusals ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"copies": 0}, "copies must be a whole number"),
        ({"degree": 0}, "degree must be a whole number"),
        ({"degree": 2.5}, "degree must be a whole number"),
        ({"feedback": 1}, "feedback must be True or False"),
        ({"initial_a": "one"}, "initial_a must be one of"),
        ({"schedule_a": -1.0}, "schedule_a must be a number >= 0"),
        ({"schedule_a": "fast"}, "schedule_a must be a number >= 0"),
        ({"law": 3}, "law must be an InitialLaw"),
        ({"law": 3, "neurons": 5}, "law must be an InitialLaw"),
        ({"dimension": 5}, "give neurons as well"),
        ({"neurons": 0}, "neurons must be a whole number"),
        ({"neurons": 5, "dimension": 1}, "too small"),
        ({"neurons": 5, "method": "adam"}, "method must be one of"),
        ({"neurons": 5, "digits": 20}, "in the limit only"),
        ({"neurons": 5, "seed": -1}, "seed must be"),
        (SGD | {"batch": 0}, "batch must be a whole number"),
        (SGD | {"step": 0.0}, "step must be a positive"),
        (SGD | {"checkpoint": "no/such/folder/run.npz"}, "its folder does not exist"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(InputError, match=message):
        strategy(STAIRS, SIN, 1.0, **options)


@pytest.mark.parametrize("options", [{"method": "adam"}, {"neurons": 5, "checkpoint": "no/such/folder/run.npz"}])
def test_what_has_no_meaning_is_not_swallowed(options):
    with pytest.raises(InputError):
        strategy(STAIRS, SIN, 1.0, **options)


@pytest.mark.parametrize("options", [{}, {"neurons": 5}, SGD])
def test_kinks_are_refused(options):
    with pytest.raises(InputError, match="no derivative at 0"):
        strategy(STAIRS, "relu", 1.0, **options)


def test_more_refusals():
    with pytest.raises(InputError, match=r"take target.minimal\(\)"):
        strategy("(z1 + z2)**2 + z1 + z2", SIN)
    with pytest.raises(InputError, match="time must be a positive"):
        strategy(STAIRS, SIN, -1.0)
    with pytest.raises(InputError, match="needs a finite network"):
        strategy(STAIRS, SIN).train(1.0, method="sgd")
    with pytest.raises(InputError, match="method must be one of"):
        strategy(STAIRS, SIN, neurons=3).train(1.0, method="meanfield")
    with pytest.raises(InputError, match='initial_a="zero" only'):
        strategy(STAIRS, SIN, initial_a="average").train(1.0, method="meanfield")
    with pytest.raises(DivergenceError, match="runs away"):
        strategy(STAIRS, "exp", 5.0)
    with pytest.raises(DivergenceError, match="take a smaller step"):
        strategy("4*z1 + z1**3*z2", "y**3 + y", 5.0, **SGD)
    with pytest.raises(InputError, match="at most 4096 neurons"):
        strategy(STAIRS, SIN, 0.1, **SGD | {"neurons": 4097, "batch": 1})


# ---- random targets ----

ACTIVATIONS = [SHIFTED, "softplus", SIN, "sin(y) + cos(2*y)", "y + y**2/2 + y**3/6", "erf(y+1/3)", "logistic(y+1)",
               "gelu(y+1/2)", "silu(y-1/3)", "tanh"]  # fmt: skip


@pytest.mark.parametrize("seed", range(7))
def test_random_targets(seed):
    rng = np.random.default_rng(seed)
    p = int(rng.integers(1, 4))
    terms = ["z1"]
    for _ in range(int(rng.integers(1, 4))):
        names = [f"z{i + 1}" for i in rng.integers(0, p, rng.integers(1, 4))]
        terms.append(f"{rng.choice(['1', '-1', '1/2', '-2/3'])}*" + "*".join(names))
    h = Polynomial(" + ".join(terms))
    sigma = ACTIVATIONS[seed % len(ACTIVATIONS)]
    if not h.degree:
        return
    h = h.minimal()[0]
    try:
        made = strategy(h, sigma, 0.5)
    except MeanFieldError as problem:
        assert isinstance(problem, DivergenceError)
        assert "y**" in sigma
        return
    verdict = decide(h, sigma, progress=False)
    energy = 0.5 * float(h.inner(h))
    assert made.loss(0.0) == pytest.approx(energy, rel=1e-9)
    assert made.floor >= float(verdict.reflective_floor) - 1e-9 * energy
    if verdict.usable.dimension == 0:  # h* needs its linear part
        assert made.rate == 0
    if verdict.taylor is not None and verdict.taylor.dimension == h.p and made.kernel.nondegenerate:
        assert made.floor == 0
    if made.kernel.nondegenerate:
        assert made.rate > 0
    losses = made.loss([0, 1, 100, 1e6, 1e12])
    assert np.all(np.diff(losses) <= 1e-12 * energy)
    assert losses[-1] >= made.floor - 1e-12


def test_features_of_a_finite_network():
    made = strategy(STAIRS, SHIFTED, 1.0, neurons=10)
    assert isinstance(made.features, FeatureLaw)
    assert np.array_equal(made.features.points()[0], made.weights[:, :2])
    assert "N = 10" in repr(made)
    assert "N = infinity" in repr(strategy(STAIRS, SIN, 1.0))
    assert log(made.loss(0.0)) == pytest.approx(0)


def test_options_that_are_none_of_the_second_stage():
    net = strategy(STAIRS, SIN, 1.0, neurons=20)
    with pytest.raises(InputError, match="times and tolerance only"):  # the schedule is the strategy's own
        net.train(1, method="implicit", schedule_a=2.0)
    for options in ({"dimension": 50}, {"foo": 1}, {"initial_state": None}):
        with pytest.raises(InputError, match="is no option of the second stage"):
            net.train(1, **options)
    with pytest.raises(InputError, match="too many particles"):
        strategy("z1 + z1*z2 + z2*z3", SIN, 1.0).train(1)


def test_what_is_not_resolved_is_called_a_bound():
    # the theorem says that lambda_min > 0; float64 features do not show it
    made = strategy("z1 + z1*z2 + z1*z2*z3", SHIFTED, 1e-3)
    assert not made.kernel.nondegenerate and "floor at most" in repr(made)
    (sign,) = made.diagnose().signatures
    assert sign.name == "conditioning" and "digits" not in sign.mend
    assert "more digits" in strategy(STAIRS, SIN, 1e-14).diagnose().signatures[0].mend


def test_a_trajectory_ends_where_its_times_do():
    made = strategy(STAIRS, SIN, 2.0)
    assert made.trajectory(times=[0, 1, 100]).times[-1] == 100
    run = strategy(STAIRS, SIN, 2.0, neurons=30).train(5, method="implicit")
    assert run.settings["activation"] == "1 + 2*y + y**2" and run.settings["dimension"] == 2


def test_a_kept_start_at_long_first_stages():
    # E[a (1 + u.z)^n] by as many nodes as the kernel has: against a large network that starts from its own averages
    limit = strategy(STAIRS, SIN, 6.0, initial_a="average")
    fine = limit.features.moments(2, limit.kernel._ctx, level=4, weighted=True)
    used = limit.features.moments(2, limit.kernel._ctx, level=limit.kernel._level, weighted=True)
    assert all(abs(fine[alpha] - used[alpha]) < 1e-9 for alpha in fine)
