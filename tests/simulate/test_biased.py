"""The flow with biases: without one it is the limit engine's, with a fixed one a shifted activation's, else autograd's."""

from __future__ import annotations

from itertools import product
from math import pi, sqrt

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from meanfield_sgd.activation import Activation
from meanfield_sgd.errors import InputError, ToleranceError
from meanfield_sgd.polynomial import Polynomial
from meanfield_sgd.simulate import biased, meanfield

TIMES = np.linspace(0, 4, 9)


@pytest.mark.parametrize(
    ("target", "activation", "bias", "shifted", "options"),
    [
        ("z1 + z1*z2", "tanh", 0, "tanh", {"subspace": "z2"}),
        ("z1 + z1*z2", "logistic", 0, "logistic", {"train": "w"}),
        ("z1 + z1*z2", "tanh", 0.5, "tanh(y+1/2)", {"subspace": "z2"}),
        ("z1 + z1**2/2", "sin", 1, "sin(y+1)", {"schedule_a": 0.5, "schedule_w": lambda t: 1 / (1 + t)}),
        ("z1 + z2 + z1*z2", "softplus", -0.5, "softplus(y-1/2)", {"subspace": [[1, -1]]}),
    ],
)
def test_an_untrained_bias_is_a_shifted_activation(target, activation, bias, shifted, options):
    run = biased(target, activation, 4.0, bias=bias, train_bias=False, times=TIMES, **options)
    limit = meanfield(target, shifted, 4.0, times=TIMES, tolerance=1e-5, **options)
    assert np.max(np.abs(run.losses - limit.losses)) < run.error + limit.error
    assert np.max(np.abs(run.losses - limit.losses)) < 1e-3
    assert np.all(run.final_state["b"] == bias)
    if "subspace" in options:
        assert np.allclose(run.overlaps, limit.overlaps, atol=2e-3)
        assert np.allclose(run.weighted_masses, limit.weighted_masses, atol=2e-3)
    else:
        assert run.overlaps is None


@pytest.mark.parametrize(("bias", "p_target"), [(0.5, "z1 + z1*z2"), ([-0.5, 0.25, 1.0], "z1 + z1**2/2")])
def test_a_trained_bias_follows_autograd(bias, p_target):
    # The gradient of the loss on a grid, by torch, on midpoints in a: no part of the library's own field.
    h, sigma, n = Polynomial(p_target), Activation("tanh"), 120
    x, weight = np.polynomial.hermite_e.hermegauss(24)
    z = torch.from_numpy(np.array(list(product(x, repeat=h.p))))
    density = torch.from_numpy(np.prod(list(product(weight / sqrt(2 * pi), repeat=h.p)), axis=1))
    values, biases = h(z), np.atleast_1d(bias)
    a0 = np.tile(-1 + (2 * np.arange(n) + 1) / n, len(biases))
    total = len(a0)

    def energy(y):
        a, w, b = y[:total], y[total : total * (1 + h.p)].reshape(total, h.p), y[total * (1 + h.p) :]
        return 0.5 * density @ (sigma(z @ w.T + b) @ a / total - values) ** 2

    def rate(t, y):
        y = torch.from_numpy(y).requires_grad_()
        (slope,) = torch.autograd.grad(energy(y), y)
        return -total * slope.numpy()

    y0 = np.concatenate([a0, np.zeros(total * h.p), np.repeat(biases, n)])
    found = solve_ivp(rate, (0, 4), y0, t_eval=TIMES, rtol=1e-6, atol=1e-8).y
    losses = [float(energy(torch.from_numpy(y.copy()))) for y in found.T]
    run = biased(p_target, "tanh", 4.0, bias=bias, times=TIMES)
    assert np.max(np.abs(run.losses - losses)) < 1e-3
    b, mass = run.final_state["b"], run.final_state["mass"]
    assert mass.sum() == pytest.approx(1)
    mine = found[total * (1 + h.p) :, -1]
    assert float(mass @ b) == pytest.approx(mine.mean(), abs=3e-3)
    assert float(mass @ b**2) == pytest.approx(np.mean(mine**2), abs=3e-3)
    assert np.ptp(b - np.repeat(biases, len(b) // len(biases))) > 0.05  # it moved


def test_a_bias_opens_the_trap_of_an_odd_activation():
    closed = biased("z1 + z1*z2", "tanh", 12.0, bias=0, train_bias=False, subspace="z2", points=16)
    open_ = biased("z1 + z1*z2", "tanh", 12.0, bias=0.5, subspace="z2", points=16)
    assert closed.overlaps.max() < 1e-12
    assert closed.losses[-1] >= 0.5 - closed.error
    assert open_.overlaps[-1] > 0.1
    assert open_.losses[-1] < 0.45


def test_what_is_hidden_behind_the_reflection_stays_hidden_with_a_bias():
    run = biased("z1 + z2 + z1*z2", "tanh", 4.0, bias=[0.3, -0.7], subspace=[[1, -1]], points=16, times=TIMES)
    assert run.overlaps.max() < 1e-9
    assert run.losses.min() >= 0.125 - run.error  # (z1 - z2)^2/4 has variance 1/4


def test_the_loss_falls_and_the_record_is_complete():
    run = biased("z1", "tanh", 2.0, bias=[0.0, 1.0], subspace="z1", points=12)
    assert np.all(np.diff(run.losses) < 1e-9)
    assert run.losses[0] == pytest.approx(0.5)  # a is centred
    assert run.method == "meanfield"
    assert run.settings["bias"] == [0.0, 1.0]
    assert run.settings["train_bias"] is True
    assert {"a", "w", "b", "mass", "initial_a"} <= set(run.final_state)
    assert run.info["initial"]["mean_square_a"] == pytest.approx(1 / 3)
    assert len(biased("z1", "tanh", 1.0, times=[0.0], points=12)) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "z1 + z2 + z3 + z4"}, "at most 3 variables"),
        ({"activation": "relu", "bias": 0}, "no derivative at 0"),
        ({"activation": "relu(y-1/2)", "bias": [1.0, 0.5]}, "no derivative at 0"),
        ({"bias": "x"}, "bias must be a finite number"),
        ({"bias": []}, "bias must be a finite number"),
        ({"bias": [[1.0]]}, "bias must be a finite number"),
        ({"bias": float("nan")}, "bias must be a finite number"),
        ({"train_bias": 1}, "train_bias must be True or False"),
        ({"points": 7}, "points must be a whole number, 8"),
        ({"points": 61}, "points must be a whole number, 8"),
        ({"points": 12.0}, "points must be a whole number, 8"),
        ({"time": 0}, "time must be a positive"),
        ({"subspace": "z5"}, "subspace names"),
        ({"train": "b"}, "train must be one of"),
        ({"times": [3.0]}, "times must lie in"),
    ],
)
def test_bad_arguments_get_one_line(changes, message):
    arguments = {"target": "z1 + z1*z2", "activation": "tanh", "time": 1.0} | changes
    with pytest.raises(InputError, match=message) as caught:
        biased(**arguments)
    assert "\n" not in str(caught.value)


def test_a_kink_beside_the_bias_is_fine():
    run = biased("z1", "relu", 0.5, bias=0.5, times=[0.0, 0.5])
    assert run.losses[-1] < run.losses[0]


def test_corners_that_cost_too_many_steps_are_no_runaway():
    with pytest.raises(ToleranceError, match="evaluations"):
        biased("z1 + He2(z1)*z2", "relu", 20, bias=0.5)
