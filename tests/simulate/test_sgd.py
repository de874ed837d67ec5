"""Stochastic gradient descent: its gradients against autograd, its limit, its loss estimate, its stops."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch

from meanfield_sgd.activation import Activation
from meanfield_sgd.errors import DivergenceError, InputError
from meanfield_sgd.polynomial import Polynomial
from meanfield_sgd.simulate import Interrupted, population, sgd
from meanfield_sgd.simulate._common import read_target
from meanfield_sgd.simulate._descent import gradients, sgd_step
from meanfield_sgd.simulate._kernels import PairForm
from meanfield_sgd.simulate._profiles import Profiles
from meanfield_sgd.simulate._sampled_loss import SampledLoss

SHIFTED = "tanh(y+1/2)"
SMALL = {"neurons": 20, "dimension": 4, "batch": 16, "time": 2.0, "times": np.linspace(0, 2, 9)}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.uniform(-1, 1, n)), torch.from_numpy(rng.standard_normal((n, d)))


# ---- the step ----


@pytest.mark.parametrize("activation", [SHIFTED, "tanh", "relu", "gelu", "y + y**2/2", "y", "1", "leaky_relu(y, 1/10)"])
def test_gradients_against_autograd(activation):
    sigma, target = Activation(activation), Polynomial("z1 + z1*z2")
    a, w = network(7, 3)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((11, 3)))
    y = target(x[:, :2])
    grad_a, grad_w = gradients(sigma, a, w, x, y)
    a.requires_grad_(), w.requires_grad_()
    loss = 0.5 * torch.mean((sigma(x @ w.T) @ a / 7 - y) ** 2)
    loss.backward()
    exact_w = torch.zeros_like(w) if w.grad is None else w.grad
    assert torch.allclose(grad_a, 7 * a.grad, rtol=1e-12, atol=1e-14)
    assert torch.allclose(grad_w, 7 * exact_w, rtol=1e-12, atol=1e-14)


def test_the_slope_that_a_user_declares_is_used():
    own = Activation.custom(torch.tanh, lambda y: 3 * torch.ones_like(y), name="odd", breakpoints=())
    a, w = network(7, 3)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((11, 3)))
    _, grad_w = gradients(own, a, w, x, x[:, 0])
    residual = (torch.tanh(x @ w.T) @ a / 7 - x[:, 0]) / 11
    assert torch.allclose(grad_w, 3 * torch.outer(a, residual @ x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rates", [(0.1, 0.2), (0.1, 0.0), (0.0, 0.2)])
def test_a_step_moves_both_layers_from_the_same_network(rates):
    sigma = Activation(SHIFTED)
    a, w = network(7, 3)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((11, 3)))
    y = x[:, 0] ** 2
    grad_a, grad_w = gradients(sigma, a, w, x, y)
    new_a, new_w = a.clone(), w.clone()
    loss = sgd_step(sigma, new_a, new_w, x, y, rates)
    assert torch.allclose(new_a, a - rates[0] * grad_a, rtol=0, atol=1e-15)
    assert torch.allclose(new_w, w - rates[1] * grad_w, rtol=0, atol=1e-15)
    assert float(loss) == pytest.approx(0.5 * float(torch.mean((sigma(x @ w.T) @ a / 7 - y) ** 2)), rel=1e-13)


# ---- the loss ----


@pytest.mark.parametrize(("target", "scale"), [("z1 + z1*z2", 0.3), ("z1 + z1*z2 + z1*z2*z3", 0.6), ("1/2", 0.3)])
def test_the_sampled_loss_is_unbiased_and_far_sharper_than_the_plain_one(target, scale):
    sigma, target, d = Activation(SHIFTED), read_target(target), 12
    a, w = network(40, d)
    w *= scale
    w[0] = 0.0
    exact = PairForm(target, Profiles(sigma), 128).loss(a, w)[0]
    rng = np.random.default_rng(3)
    estimates, errors, plain = [], [], []
    for _ in range(40):
        points = rng.standard_normal((64, d))
        estimate, error = SampledLoss(target, sigma, points, "cpu")(a, w)
        estimates.append(estimate)
        errors.append(error)
        x = torch.from_numpy(points)
        plain.append(float(torch.mean(0.5 * (sigma(x @ w.T) @ a / 40 - target(x[:, : target.p])) ** 2)))
    error = np.std(estimates) / np.sqrt(40)
    assert abs(np.mean(estimates) - exact) < 4 * error
    assert 0.5 < np.mean(errors) / np.std(estimates) < 2  # the standard error it reports is the one it has
    if target.degree:
        assert np.std(estimates) < np.std(plain) / 20


def test_sampled_and_exact_losses_of_one_run_agree():
    sampled, exact = (sgd("z1 + z1*z2", SHIFTED, loss=loss, **SMALL) for loss in ("sampled", "exact"))
    assert np.array_equal(sampled.final_state["w"], exact.final_state["w"])  # how it is measured changes no run
    assert np.max(np.abs(sampled.losses - exact.losses)) <= 5 * np.max(sampled.info["standard_error"])
    assert exact.error <= 1e-8
    few = sgd("z1 + z1*z2", SHIFTED, test_points=10, **SMALL)
    assert np.array_equal(few.final_state["w"], exact.final_state["w"])
    assert exact.losses[0] > 0.9  # 1/2 E h*^2 = 1, but for the constant that tanh(1/2) mean(a) adds


def test_weights_beyond_the_profiles_get_the_plain_average():
    target, sigma = Polynomial("z1"), Activation(SHIFTED)
    a, w = network(5, 3)
    w[0] *= 1000
    points = np.random.default_rng(0).standard_normal((200, 3))
    loss, error = SampledLoss(target, sigma, points, "cpu")(a, w)
    x = torch.from_numpy(points)
    assert loss == pytest.approx(float(torch.mean(0.5 * (sigma(x @ w.T) @ a / 5 - x[:, 0]) ** 2)), rel=1e-12)
    assert 0 < error < 0.2


# ---- the run ----


def test_small_steps_tend_to_the_population_flow():
    # The mean over batches is exact to b -> infinity; the distance must fall with step and with 1/sqrt(b).
    keywords = {"time": 2.0, "neurons": 30, "dimension": 3, "times": np.linspace(0, 2, 5), "seed": 2}
    keywords["init"] = "gaussian"
    flow = population("z1 + z1*z2", SHIFTED, **keywords)
    distances = [
        sgd("z1 + z1*z2", SHIFTED, batch=batch, step=step, loss="exact", **keywords).distance(flow)
        for batch, step in ((100, 0.25), (1600, 0.0625), (6400, 0.015625))
    ]
    # Noise of the curve about sqrt(step/b) times order one, Euler bias about 0.1 step.
    assert distances[0] < 0.2
    assert distances[1] < 0.03
    assert distances[2] < 0.005


def test_euler_steps_without_noise_have_first_order_bias():
    # One step from the same network, the batch replaced by its expectation: the field of `population`.
    state = population("z1 + z1*z2", SHIFTED, 0.5, neurons=20, dimension=2).final_state
    a, w = (torch.from_numpy(state[name]) for name in ("a", "w"))
    field = PairForm(Polynomial("z1 + z1*z2"), Profiles(Activation(SHIFTED)), 60).field(a, w)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((200_000, 2)))
    grad_a, grad_w = gradients(Activation(SHIFTED), a, w, x, Polynomial("z1 + z1*z2")(x))
    assert float((grad_a - field.a).abs().max()) < 5 * 2.5 / np.sqrt(200_000)  # |(f - f*) sigma| has sd below 2.5
    assert float((grad_w - field.w).abs().max()) < 5 * 4.0 / np.sqrt(200_000)


def test_sgd_and_population_start_from_the_same_network():
    one = sgd("z1 + z1*z2", SHIFTED, init="gaussian", loss="exact", **SMALL)
    keywords = {name: SMALL[name] for name in ("neurons", "dimension", "time", "times")}
    other = population("z1 + z1*z2", SHIFTED, init="gaussian", **keywords)
    assert one.losses[0] == pytest.approx(other.losses[0], abs=1e-7)


def test_time_and_steps():
    run = sgd("z1", SHIFTED, 1.0, neurons=4, dimension=2, batch=2, step=0.3, times=[0, 0.1, 0.5, 1.0])
    assert run.info["steps"] == 4  # the fewest that reach time 1
    assert run.info["samples"] == 8
    assert run.times == pytest.approx([0, 0.6, 0.9])  # 0.1 -> 0, 0.5 -> 0.6, 1.0 -> 0.9, the nearest steps
    even = sgd("z1", SHIFTED, 1.0, neurons=4, dimension=2, batch=2, step=0.05)
    assert even.info["steps"] == 20
    assert np.array_equal(even.times, np.linspace(0, 1, 101)[::5])


def test_overlaps_and_training_of_one_layer():
    run = sgd("z1 + z1*z2", SHIFTED, subspace=["z1", "z2"], train="a", init="gaussian", **SMALL)
    assert np.ptp(run.overlaps) == 0.0
    assert run.overlaps[0] == pytest.approx(np.sqrt(np.mean(np.sum(run.final_state["w"][:, :2] ** 2, 1))))
    moved = sgd("z1 + z1*z2", SHIFTED, subspace="z1", train="w", **SMALL)
    assert moved.overlaps[0] == 0.0
    assert moved.overlaps[-1] > 0.0
    a = np.random.Generator(np.random.PCG64(0)).uniform(-1, 1, 20)
    assert np.array_equal(moved.final_state["a"], a)


def test_schedules_are_taken_at_the_start_of_a_step():
    stopped = sgd("z1 + z1*z2", SHIFTED, schedule_a=lambda t: float(t < 1), schedule_w=lambda t: float(t < 1), **SMALL)
    short = sgd("z1 + z1*z2", SHIFTED, **SMALL | {"time": 1.0, "times": [0.0, 1.0]})
    assert np.array_equal(stopped.final_state["w"], short.final_state["w"])
    assert np.ptp(stopped.losses[4:]) == 0.0
    assert np.ptp(stopped.losses[:5]) > 0.0


# ---- reproducible, resumable, interruptible ----


def test_the_seed_decides_everything():
    one, same, other = (sgd("z1 + z1*z2", SHIFTED, seed=s, **SMALL) for s in (4, 4, 5))
    assert np.array_equal(one.losses, same.losses)
    assert np.array_equal(one.final_state["w"], same.final_state["w"])
    assert not np.array_equal(one.losses, other.losses)
    generator = np.random.Generator(np.random.PCG64(4))
    assert np.array_equal(sgd("z1 + z1*z2", SHIFTED, seed=generator, **SMALL).losses, one.losses)
    assert not np.array_equal(sgd("z1 + z1*z2", SHIFTED, seed=generator, **SMALL).losses, one.losses)  # it moved on


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937])
def test_an_interrupted_run_resumes_to_the_bit(tmp_path, bits):
    path, calls = tmp_path / "run.npz", 0

    def rate(t):
        nonlocal calls
        calls += 1
        if stop_at is not None and t >= stop_at and calls > 18:  # the first 18 calls check and describe the schedule
            os.kill(os.getpid(), signal.SIGINT)
        return 1.0

    def run(**more):
        nonlocal calls
        calls, generator = 0, np.random.Generator(bits(7))
        out = sgd("z1 + z1*z2", SHIFTED, schedule_w=rate, subspace="z2", seed=generator, **SMALL, **more)
        return out, generator.standard_normal()

    stop_at = None
    whole, next_draw = run()
    for stop_at in (0.5, 1.2):
        with pytest.raises(Interrupted, match="call again with checkpoint=") as caught:
            run(checkpoint=path)
        part = caught.value.trajectory
        assert 0 < len(part) < len(whole)
        assert part.info["reached"] == pytest.approx(stop_at + 0.05)
        assert np.array_equal(part.losses, whole.losses[: len(part)])
    stop_at = None
    resumed, resumed_draw = run(checkpoint=path)
    for name in ("times", "losses", "overlaps"):
        assert np.array_equal(getattr(resumed, name), getattr(whole, name))
    for name in ("a", "w"):
        assert np.array_equal(resumed.final_state[name], whole.final_state[name])
    assert resumed.error == whole.error
    assert resumed_draw == next_draw  # the caller's generator is where it would be
    with pytest.raises(InputError, match=r"belongs to another run: its step is 0\.05, now 0\.1"):
        run(checkpoint=path, step=0.1)


def test_an_interrupt_without_checkpoint_hands_back_the_run():
    calls = 0

    def rate(t):
        nonlocal calls
        calls += 1
        if t > 1 and calls > 18:
            raise KeyboardInterrupt  # as from a notebook's stop button inside the user's own function
        return 1.0

    with pytest.raises(Interrupted, match="holds what was finished") as caught:
        sgd("z1 + z1*z2", SHIFTED, schedule_a=rate, **SMALL | {"time": 2.0})
    assert caught.value.checkpoint is None
    assert caught.value.trajectory.times[-1] == pytest.approx(1.0)


def test_a_foreign_checkpoint_is_not_overwritten(tmp_path):
    path = tmp_path / "thesis.npz"
    path.write_text("precious")
    with pytest.raises(InputError, match="not a checkpoint"):
        sgd("z1", SHIFTED, checkpoint=path, **SMALL)
    assert path.read_text() == "precious"


def test_progress_is_silent_unless_asked(capsys):
    sgd("z1", SHIFTED, **SMALL)
    assert capsys.readouterr().err == ""
    sgd("z1", SHIFTED, progress=True, **SMALL)
    shown = capsys.readouterr().err
    assert "sgd: t=" in shown
    assert "loss" in shown


def test_a_final_state_continues_the_run():
    first = sgd("z1 + z1*z2", SHIFTED, **SMALL)
    second = sgd("z1 + z1*z2", SHIFTED, 1.0, dimension=4, batch=16, initial_state=first.final_state, loss="exact")
    exact = sgd("z1 + z1*z2", SHIFTED, loss="exact", **SMALL)
    assert second.losses[0] == pytest.approx(exact.losses[-1], abs=1e-8)
    wide = sgd("z1 + z1*z2", SHIFTED, 1.0, dimension=6, batch=16, initial_state=first.final_state, loss="exact")
    assert wide.losses[0] == pytest.approx(exact.losses[-1], abs=1e-8)
    assert wide.final_state["w"].shape == (20, 6)


# ---- refusals ----


@pytest.mark.parametrize("activation", ["y**3", "exp"])
def test_divergence_says_when_and_what_to_do(activation):
    with pytest.raises(DivergenceError, match=r"smaller step, e\.g\. step=0\.125") as caught:
        sgd("5*z1**3", activation, 40.0, neurons=20, dimension=4, batch=4, step=0.5, init="gaussian")
    assert 0 < caught.value.time < 40
    assert f"{caught.value.time:.4g}" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 0}, "batch must be a whole number, at least 1"),
        ({"batch": True}, "batch must be a whole number"),
        ({"step": 0.0}, "step must be a positive"),
        ({"step": 3.0}, "step=3 is longer than the whole run, time=2"),
        ({"step": "small"}, "step must be a positive, finite number, got 'small'"),
        ({"dimension": 1}, "the target has p = 2 variables"),
        ({"loss": "mse"}, "loss must be one of 'sampled', 'exact'"),
        ({"test_points": 1}, "test_points must be a whole number, at least 2"),
        ({"seed": "lucky"}, "seed must be a whole number"),
        ({"init": 0}, "init must be one of"),
        ({"activation": "relu"}, "ReLU has no derivative at 0"),
        ({"activation": abs}, "Activation.custom"),
        ({"schedule_a": float("inf")}, "schedule_a must be a number >= 0"),
        ({"initial_state": 3}, "initial_state must be a dict"),
        ({"initial_state": {"a": [1.0], "w": [[0.0, 0.0]], "rho": [1.0], "mass": [1.0]}}, "state with rho"),
    ],
)
def test_bad_arguments_get_one_line(changes, message):
    arguments = {"target": "z1 + z1*z2", "activation": SHIFTED} | SMALL | changes
    with pytest.raises(InputError, match=message) as caught:
        sgd(**arguments)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("loss", ["sampled", "exact"])
def test_cuda_sees_the_same_samples(loss):
    cpu, cuda = (sgd("z1 + z1*z2", SHIFTED, loss=loss, device=device, **SMALL) for device in ("cpu", "cuda"))
    assert cuda.info["device"] == "cuda"
    assert cpu.distance(cuda) < 1e-9
