"""The way out of a trap: the linear response against flows that start near the trap, and against the field itself."""

from __future__ import annotations

from math import inf, log

import numpy as np
import pytest
import torch

from meanfield_sgd.activation import Activation
from meanfield_sgd.errors import InputError
from meanfield_sgd.polynomial import Polynomial
from meanfield_sgd.simulate import TrapResponse, ensemble, hidden_correlation, meanfield, trap_response
from meanfield_sgd.simulate._limit_field import LimitField

SHIFTED = "tanh(y+1/2)"
ROTATED = [[1, -1]]
EPSILON = 1e-3
CASES = [
    ("z1 + z1*z2*z3", SHIFTED, ["z2", "z3"], [[0, 1, 0], [0, 0, 1]], {}),
    ("z1 + z1*z2", "tanh", "z2", [[0, 1]], {}),
    ("z1 + He2(z2)*z1 - z2**2/2", SHIFTED, "z2", [[0, 1]], {"train": "w"}),
    ("z1 + z2 + z1*z2", "softplus", ROTATED, [[0.5**0.5, -(0.5**0.5)]], {}),
    ("z1 + z1*z2*z3 + z2**2 - z3**2/2", "sin(y+1)", ["z2", "z3"], [[0, 1, 0], [0, 0, 1]], {"schedule_w": 0.5}),
]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def near_the_trap(rows, nodes=16):
    """Particles in the limit of many dimensions: every a with w_S = +-epsilon sqrt(k) in each direction of S."""
    rows = np.array(rows, dtype=float)
    a, mass = np.polynomial.legendre.leggauss(nodes)
    directions = np.sqrt(len(rows)) * EPSILON * np.vstack([rows, -rows])
    count = len(directions)
    return {
        "a": np.repeat(a, count),
        "w": np.tile(directions, (nodes, 1)),
        "rho": np.ones(nodes * count),
        "mass": np.repeat(mass / 2 / count, count),
    }


@pytest.mark.parametrize(("target", "activation", "subspace", "rows", "options"), CASES)
def test_the_response_is_that_of_particles_beside_the_trap(target, activation, subspace, rows, options):
    times = np.array([0.0, 1.0, 2.0, 3.0])
    response = trap_response(target, activation, 3.0, subspace=subspace, times=times, tolerance=1e-4, **options)
    k = len(rows)
    assert response.mass[0] == pytest.approx(k)
    assert np.array_equal(response.times, times)
    run = meanfield(target, activation, 3.0, init=near_the_trap(rows), subspace=subspace, times=times, tolerance=1e-6,
                    **options)  # fmt: skip
    # each particle has |w_S|^2 = k epsilon^2, which is dim S/d at d = 1/epsilon^2
    assert np.allclose(run.masses / EPSILON**2, response.mass, rtol=2e-3)
    assert hidden_correlation(run) / EPSILON**2 == pytest.approx(response.correlation[-1], rel=5e-3, abs=1e-3)
    assert response.trapped.overlaps.max() < 1e-9


def test_the_response_is_the_mean_over_gaussian_networks():
    # d = 10^4; the networks' own scatter (chi-square in w_S, uniform in a) is in the standard error.
    d, times = 10_000, np.array([0.0, 2.0, 4.0])
    response = trap_response("z1 + z1*z2*z3", SHIFTED, 4.0, subspace=["z2", "z3"], times=times)
    runs = ensemble("population", "z1 + z1*z2*z3", SHIFTED, 4.0, seeds=10, neurons=96, dimension=d, init="gaussian",
                    subspace=["z2", "z3"], times=times, tolerance=1e-5)  # fmt: skip
    mean, error = runs.mean_mass()
    assert np.all(np.abs(d * mean - response.mass) < 4 * d * error + 0.05 * response.mass)
    assert np.all(d * error < 0.1 * response.mass)
    found = d * np.array([hidden_correlation(run) for run in runs])
    scatter = found.std(ddof=1) / np.sqrt(len(runs))
    assert abs(found.mean() - response.correlation[-1]) < 4 * scatter + 0.1 * abs(response.correlation[-1])


@pytest.mark.parametrize(("target", "activation"), [("z1 + z1*z2", "tanh"), ("z1 + z1*z2**2 - z2**2/2", SHIFTED)])
def test_the_rate_is_the_slope_of_the_field(target, activation):
    # log P = int a A dt for dim S = 1; A by finite differences of the field at a massless particle beside the trap.
    end = 2.0
    x, weight = np.polynomial.legendre.leggauss(6)
    a, mass = np.polynomial.legendre.leggauss(16)
    start = {"a": a, "w": np.zeros((16, 2)), "rho": np.ones(16), "mass": mass / 2}
    field = LimitField(Polynomial(target), Activation(activation), 40)
    growth, step = np.zeros(16), 1e-4
    for t, share in zip(end / 2 * (1 + x), end / 2 * weight):
        s = meanfield(target, activation, t, init=start, tolerance=1e-6, times=[0, t]).final_state
        beside = s["w"].copy()
        beside[:, 1] = step
        doubled = [
            np.concatenate([s[name], other]) for name, other in (("a", s["a"]), ("w", beside), ("rho", s["rho"]))
        ]
        _, w_dot, _, _ = field.evaluate(*doubled, np.concatenate([s["mass"], np.zeros(16)]))
        assert np.max(np.abs(w_dot[:16, 1])) < 1e-12
        growth += share * w_dot[16:, 1] / step
    response = trap_response(target, activation, end, subspace="z2", times=[0, end], tolerance=1e-5)
    assert response.mass[-1] == pytest.approx(float(mass / 2 @ np.exp(2 * growth)), rel=1e-3)


def test_escape_times():
    times = np.linspace(0, 6, 7)
    response = TrapResponse(times, 2 * np.exp(times), times, None)
    assert response.escape_time(1, 0.25) == 0.0
    assert response.escape_time(1e30) == inf
    assert response.escape_time(10_000, 0.1) == pytest.approx(log(50))  # d level^2 = 2 e^t: an exponential exactly


def test_a_frozen_first_layer_does_not_move():
    response = trap_response("z1 + z1*z2", "tanh", 2.0, subspace="z2", train="a", times=[0, 1, 2])
    assert np.allclose(response.mass, 1.0, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subspace": None}, "subspace must be given"),
        ({"subspace": "z1"}, "S is not hidden from tanh"),
        ({"activation": SHIFTED}, "S is not hidden"),
        ({"subspace": "z7"}, "subspace names 'z7'"),
        ({"time": -1}, "time must be a positive"),
        ({"train": "none"}, "train must be one of"),
        ({"tolerance": 0}, "tolerance must be a positive"),
    ],
)
def test_bad_arguments_get_one_line(changes, message):
    arguments = {"target": "z1 + z1*z2", "activation": "tanh", "time": 2.0, "subspace": "z2"} | changes
    with pytest.raises(InputError, match=message):
        trap_response(**arguments)
