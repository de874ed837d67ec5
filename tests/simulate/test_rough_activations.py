"""The chapter Rough activations: what is simulated, against closed forms."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.special import exp1, ndtr

from meanfield_sgd import decide, simulate

PHI0 = 1 / math.sqrt(2 * math.pi)
HARD = "relu(y+1) - relu(y-1) - 1"


def phi(y):
    return PHI0 * np.exp(-(np.asarray(y) ** 2) / 2)


@pytest.mark.parametrize("b", [0.25, 0.5, 1.0])
def test_flat_start_of_a_shifted_relu(b):
    tau = b * np.array([0.17, 0.2, 0.25])
    W = simulate.taylor_curve("z1 + z1*z2", f"relu(y+{b})", tau)
    assert np.allclose(W[:, 1], tau * phi(b / tau) - b * ndtr(-b / tau), rtol=1e-3)
    W = simulate.taylor_curve("z1 + z2*(z1 + He3(z1))", f"relu(y+{b})", tau)
    assert np.allclose(W[:, 1], b * ndtr(-b / tau), rtol=1e-2)


def test_flat_start_of_hard_tanh():
    tau = np.array([0.16, 0.18, 0.22])
    W = simulate.taylor_curve("z1 + He2(z1)*z2", HARD, tau)
    assert np.allclose(W[:, 1], -PHI0 * exp1(1 / (2 * tau**2)), rtol=1e-3)
    assert not simulate.taylor_curve("z1 + z1*z2", HARD, tau)[:, 1].any()


def test_neurons_near_zero_follow_the_rays():
    degrees = np.array([0, 40, -40, 100, -100])
    alpha = np.radians(degrees)
    start = {"a": np.full(5, 5e-3), "w": 1e-3 * np.stack([np.cos(alpha), np.sin(alpha)], 1)}
    run = simulate.population(
        "z1 + He2(z2)", "relu", 1000, dimension=2, train="w", initial_state=start, times=[0, 1000], tolerance=1e-6
    )
    w = run.final_state["w"]
    top = math.acos(1 / (4 * PHI0))
    height = math.cos(top) / 2 + PHI0 * math.sin(top) ** 2
    assert abs(w[0, 1]) < 1e-9 and abs(w[0, 0] / 5 - 0.5) < 1e-2
    assert np.allclose(np.abs(np.arctan2(w[1:, 1], w[1:, 0])), top, rtol=1e-2)
    assert np.allclose(np.hypot(*w[1:].T) / 5, height, rtol=1e-2)


def test_smooth_approximations_scale_and_select():
    sine = (math.sqrt(0.25 + 8 * PHI0**2) - 0.5) / (4 * PHI0)
    cosine = math.sqrt(1 - sine**2)
    ray = cosine * (0.5 + PHI0 * sine) * np.array([cosine, sine])
    once = simulate.taylor_curve("z1 + z1*z2", "softplus", [4.0, 16.0, 64.0])
    for k, W in zip((4, 16, 64), once, strict=True):
        scaled = simulate.taylor_curve("z1 + z1*z2", f"softplus({k}*y)/{k}", [1.0])[0]
        assert np.allclose(scaled, W / k, atol=1e-8)
        assert np.linalg.norm(scaled - ray) < 0.4 / k
    for act in ("tanh", "erf"):  # M = pi^2/12, and 2 int y erfc(y/sqrt 2) = 1
        M = {"tanh": math.pi**2 / 12, "erf": 1.0}[act]
        W = simulate.taylor_curve("z1 + z1*z2", f"{act}(64*y)", [1.0])[0]
        assert W[1] == 0 and abs(8 * W[0] / (8 * PHI0 * M) ** 0.25 - 1) < 0.01


@pytest.mark.parametrize("b", ["0", "1/4", "1"])
def test_first_motion_from_gaussian_weights(b):
    t = np.array([0, 0.1, 0.15])
    run = simulate.meanfield(
        "z1 + He2(z1)*z2", f"relu(y+{b})", 0.15, init="gaussian", subspace="z2", times=t, tolerance=1e-4
    )
    b = float(Fraction(b))
    expected = b * phi(b) * ndtr(b) ** 2 / 3 / math.sqrt(7) * t**3
    assert np.allclose(run.overlaps, expected, rtol=0.05, atol=1e-14)


@pytest.mark.parametrize("act", ["relu", "leaky_relu(y,-1/2)", "abs", HARD, "gelu(y+1/2)", "tanh(20*y)", "y + y**2/2"])
@pytest.mark.parametrize("h", ["z1 + z1*z2", "z1 + He2(z1)*z2", "z1 + z1*z2*z3", "z1*z2"])
def test_verdict_against_limit(h, act):
    S = decide.largest_invariant_subspace(h, act)
    floor = max(decide.loss_floor(h, S), decide.expressivity_floor(h, act))
    run = simulate.meanfield(h, act, 5, init="gaussian", tolerance=1e-2, times=[0, 2, 5])
    end = run.final_state
    size = np.linalg.svd(end["w"] * np.sqrt(end["mass"])[:, None], compute_uv=False)
    assert (size > 1e-6).sum() == decide(h, act).usable.dimension
    assert run.losses.min() >= float(floor) - run.error - 1e-9
