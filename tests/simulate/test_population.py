"""The population flow: its field against quadrature, its integration against itself made finer, its stops."""

from __future__ import annotations

import os
import signal
from math import comb

import numpy as np
import pytest
import torch

from meanfield_sgd.activation import Activation
from meanfield_sgd.errors import DivergenceError, InputError, ParseError, ToleranceError
from meanfield_sgd.polynomial import Polynomial
from meanfield_sgd.simulate import Interrupted, meanfield, population, sgd, taylor_curve
from meanfield_sgd.simulate import _initial as initial
from meanfield_sgd.simulate._kernels import HermiteForm, PairForm
from meanfield_sgd.simulate._profiles import Profiles
from meanfield_sgd.simulate._truncation import Truncation
from meanfield_sgd.simulate.hermite import arcsine_kernel, gauss_hermite

SHIFTED = "tanh(y+1/2)"
SMALL = {"neurons": 24, "dimension": 5, "time": 3.0, "times": np.linspace(0, 3, 13)}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network(n, m, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.uniform(-1, 1, n)), torch.from_numpy(scale * rng.standard_normal((n, m)))


def both_forms(target, activation, orders, m):
    target, profiles = Polynomial(target), Profiles(Activation(activation))
    return PairForm(target, profiles, orders), HermiteForm(target, profiles, orders, m)


def by_quadrature(target, activation, a, w, nodes):
    """Loss and field on the tensor Gauss-Hermite grid in R^m: the definition, independent of any Hermite profile."""
    target, activation = Polynomial(target), Activation(activation)
    a, w = a.numpy(), w.numpy()
    x, weight = gauss_hermite(nodes)
    grid = np.stack(np.meshgrid(*[x] * w.shape[1], indexing="ij"), -1).reshape(-1, w.shape[1])
    mass = np.prod(np.stack(np.meshgrid(*[weight] * w.shape[1], indexing="ij"), -1).reshape(-1, w.shape[1]), axis=1)
    hidden = activation(grid @ w.T)
    residual = mass * (hidden @ a / len(a) - target(grid[:, : target.p]))
    loss = 0.5 * np.sum(residual**2 / mass)
    slope = activation.derivative(grid @ w.T) * residual[:, None] * a
    return loss, residual @ hidden, slope.T @ grid


# ---- the field ----


@pytest.mark.parametrize(
    ("target", "activation", "m", "nodes"),
    [
        ("z1 + z1*z2", "3/5*sin(y) + 4/5*cos(y)", 2, 40),
        ("z1 + z1*z2 + z1*z2*z3 - 1/2", "erf", 3, 40),
        ("z1**3 - 2*z2", "softplus", 3, 40),
        ("z1", SHIFTED, 1, 200),
        ("2", "y + y**3/5", 2, 20),
    ],
)
def test_both_forms_agree_with_tensor_quadrature(target, activation, m, nodes):
    a, w = network(6, m, scale=0.4)
    w[0] = 0.0  # |w| = 0 is where B_k/r would be 0/0
    loss, field_a, field_w = by_quadrature(target, activation, a, w, nodes)
    for form in both_forms(target, activation, 48, m):
        field = form.field(a, w)
        assert field.loss == pytest.approx(loss, abs=1e-10)
        assert np.max(np.abs(field.a.numpy() - field_a)) < 1e-10
        assert np.max(np.abs(field.w.numpy() - field_w)) < 1e-10


@pytest.mark.parametrize("m", [2, 3, 5])
@pytest.mark.parametrize("activation", [SHIFTED, "tanh", "gelu", "relu"])
def test_the_two_forms_sum_the_same_series(m, activation):
    # The same orders k < 12, to rounding: also where the series itself is far from its limit (relu, |w| about 2).
    a, w = network(40, m, seed=m)
    pair, hermite = (form.field(a, w) for form in both_forms("z1 + z1*z2**2 - z2/3", activation, 12, m))
    scale = float(pair.w.abs().max())
    assert float((pair.a - hermite.a).abs().max()) < 1e-13 * (1 + scale)
    assert float((pair.w - hermite.w).abs().max()) < 1e-13 * (1 + scale)
    assert pair.loss == pytest.approx(hermite.loss, abs=1e-13)
    assert np.allclose(pair.spectrum, hermite.spectrum, atol=1e-14)


@pytest.mark.parametrize("form", [0, 1])
def test_the_field_is_the_gradient_of_the_truncated_loss(form):
    form = both_forms("z1 + z1*z2", SHIFTED, 7, 3)[form]  # few orders: their gradient must be exact all the same
    a, w = network(5, 3)
    field = form.field(a, w)
    along_a, along_w = network(5, 3, seed=1)
    step = 1e-4
    ahead, behind = (form.loss(a + s * step * along_a, w + s * step * along_w)[0] for s in (1, -1))
    slope = float(torch.sum(field.a * along_a) + torch.sum(field.w * along_w)) / len(a)
    assert (ahead - behind) / (2 * step) == pytest.approx(slope, rel=1e-6)
    assert form.loss(a, w)[0] == pytest.approx(field.loss, abs=1e-15)


def test_blocks_of_neurons_change_nothing(monkeypatch):
    a, w = network(100, 3)
    whole = [form.field(a, w) for form in both_forms("z1 + z1*z2", SHIFTED, 10, 3)]
    monkeypatch.setattr(PairForm, "block_elements", {"cpu": 32 * 32})
    monkeypatch.setattr(HermiteForm, "block_elements", 7 * comb(12, 3))
    for one, other in zip(whole, [form.field(a, w) for form in both_forms("z1 + z1*z2", SHIFTED, 10, 3)]):
        assert float((one.a - other.a).abs().max()) < 1e-14
        assert float((one.w - other.w).abs().max()) < 1e-14
        assert one.loss == pytest.approx(other.loss, abs=1e-14)


def test_the_loss_of_erf_networks_against_the_arcsine_kernel():
    a, w = network(30, 4, scale=0.5)
    kernel = arcsine_kernel(w.numpy(), w.numpy())
    form = PairForm(Polynomial("0"), Profiles(Activation("erf")), 90)
    assert form.loss(a, w)[0] == pytest.approx(0.5 * float(a.numpy() @ kernel @ a.numpy()) / 30**2, abs=1e-12)


@pytest.mark.parametrize(("activation", "m", "scale"), [(SHIFTED, 2, 1.5), ("softplus", 8, 1.0), ("tanh", 3, 1.3)])
def test_the_energy_left_out_is_estimated_from_above(activation, m, scale):
    a, w = network(60, m, scale=scale)
    profiles = Profiles(Activation(activation))
    energy = 0.5 * PairForm(Polynomial("z1"), profiles, 140).loss(a, w)[1]
    truncation = Truncation(Polynomial("z1"), profiles, 60, m, 1e-9, "pair")
    for orders in (12, 20, 30, 50):
        truncation.set_orders(orders)
        estimates = truncation.remainder(a, w, truncation.field(a, w).spectrum)
        for ahead in (0, 5):
            left_out = energy[orders + ahead :].sum()
            assert left_out <= estimates[ahead] + 1e-15
        assert estimates[0] <= 1e3 * energy[orders:].sum() + 1e-13  # and it is of use


# ---- the flow ----


@pytest.mark.parametrize(
    ("target", "activation", "init", "dimension", "time"),
    [
        ("z1 + z1*z2", SHIFTED, "zero", 8, 20.0),
        ("z1 + z1*z2 + 1/2", "softplus", "gaussian", 6, 8.0),
        ("z1 + z1*z2", "3/5*sin(y) + 4/5*cos(y)", "zero", 8, 20.0),
        ("z1*z2", "y + y**2/2", "gaussian", 6, 6.0),  # starts at a saddle
        ("z1 + z1**2*z2", "erf", "gaussian", 1000, 10.0),  # Bartlett's coordinates
    ],
)
def test_the_reported_error_is_above_the_true_one(target, activation, init, dimension, time):
    keywords = {"neurons": 16, "dimension": dimension, "init": init, "seed": 3}
    reference = population(target, activation, time, tolerance=1e-8, **keywords)
    for tolerance in (1e-3, 1e-5):
        run = population(target, activation, time, tolerance=tolerance, **keywords)
        true = run.distance(reference)
        assert true <= run.error + reference.error
        assert true <= tolerance
        assert run.info["energy_defect"] <= tolerance


def test_losses_between_steps_are_those_of_the_states_there():
    run = population("z1 + z1*z2", SHIFTED, init="gaussian", tolerance=1e-7, **SMALL)
    for t, loss in zip(run.times[[5, 9]], run.losses[[5, 9]]):
        keywords = SMALL | {"time": float(t), "times": [float(t)]}
        to_there = population("z1 + z1*z2", SHIFTED, init="gaussian", tolerance=1e-7, **keywords)
        state = to_there.final_state
        form = PairForm(Polynomial("z1 + z1*z2"), Profiles(Activation(SHIFTED)), 80)
        exact = form.loss(torch.from_numpy(state["a"]), torch.from_numpy(state["w"]))[0]
        assert loss == pytest.approx(exact, abs=1e-7)
    assert np.all(np.diff(run.losses) < 0)
    assert run.times.tolist() == SMALL["times"].tolist()


def test_the_forms_integrate_to_the_same_curve():
    keywords = SMALL | {"dimension": 3, "subspace": "z2"}
    pair, hermite = (population("z1 + z1*z2", SHIFTED, form=form, **keywords) for form in ("pair", "hermite"))
    assert (pair.info["form"], hermite.info["form"]) == ("pair", "hermite")
    assert pair.distance(hermite) < 1e-12
    assert np.max(np.abs(pair.overlaps - hermite.overlaps)) < 1e-11


def test_an_odd_activation_never_finds_z2():
    run = population("z1 + z1*z2", "tanh", 20.0, neurons=64, dimension=10, subspace="z2", tolerance=1e-4)
    assert np.max(run.overlaps) < 1e-12
    assert np.min(run.losses) >= 0.5 - run.error
    assert run.losses[-1] < 0.55  # z1 itself is learnt
    escape = population("z1 + z1*z2", SHIFTED, 20.0, neurons=64, dimension=10, subspace="z2", tolerance=1e-4)
    assert escape.overlaps[-1] > 0.3
    assert escape.losses[-1] < 0.4


def test_weights_that_start_at_zero_do_not_see_the_dimension():
    low, high = (population("z1 + z1*z2", SHIFTED, **SMALL | {"dimension": d}) for d in (2, 10**6))
    assert np.array_equal(low.losses, high.losses)
    assert high.final_state["w"].shape == (24, 2)
    assert high.info["effective_dimension"] == 2


def test_only_the_trained_layer_moves():
    start = population("z1 + z1*z2", SHIFTED, init="gaussian", **SMALL | {"train": "a"})
    both = population("z1 + z1*z2", SHIFTED, init="gaussian", **SMALL)
    first = population("z1 + z1*z2", SHIFTED, init="gaussian", **SMALL | {"train": "w"})
    law = initial.draw("gaussian", 24, 5, 2, np.random.Generator(np.random.PCG64(0)), reduced=True)
    assert np.array_equal(start.final_state["w"], law.w)
    assert not np.array_equal(start.final_state["a"], law.a)
    assert np.array_equal(first.final_state["a"], law.a)
    assert not np.array_equal(first.final_state["w"], law.w)
    assert both.losses[-1] < min(start.losses[-1], first.losses[-1])


def test_schedules_rescale_time():
    # With both rates multiplied by c(t), the curve is that of constant rates at the time int c.
    plain = population("z1 + z1*z2", SHIFTED, **SMALL)
    times = np.sqrt(2 * SMALL["times"])  # int_0^t s ds = t^2/2
    keywords = SMALL | {"time": float(times[-1]), "times": times, "schedule_a": lambda t: t, "schedule_w": lambda t: t}
    scheduled = population("z1 + z1*z2", SHIFTED, **keywords)
    assert np.max(np.abs(scheduled.losses - plain.losses)) < 2e-6
    still = population("z1 + z1*z2", SHIFTED, **SMALL | {"schedule_a": 0.0, "schedule_w": 0.0})
    assert np.ptp(still.losses) == 0.0


# ---- initial networks ----


def test_bartlett_coordinates_have_the_law_of_the_gram_matrix():
    # Gram = X X'/d with X (N, n) standard normal: mean (n/d) 1, variance 2n/d^2 on and n/d^2 off the diagonal.
    neurons, dimension, p, draws = 4, 60, 2, 4000
    rng = np.random.Generator(np.random.PCG64(5))
    grams = np.empty((draws, neurons, neurons))
    for k in range(draws):
        state = initial.draw("gaussian", neurons, dimension, p, rng, reduced=True)
        assert state.w.shape == (neurons, p + neurons)
        grams[k] = state.w[:, p:] @ state.w[:, p:].T
    n = dimension - p
    mean, variance = grams.mean(0), grams.var(0)
    one = np.eye(neurons)
    assert np.max(np.abs(mean - one * n / dimension)) < 5 * np.sqrt(2 * n / draws) / dimension
    assert np.max(np.abs(variance / (n / dimension**2 * (1 + one)) - 1)) < 0.15  # 5 standard errors
    eigenvalues = np.linalg.eigvalsh(grams)[:, -1]
    samples = rng.standard_normal((draws, neurons, n)) / np.sqrt(dimension)
    direct = np.linalg.norm(samples, ord=2, axis=(1, 2)) ** 2
    spread = np.std(direct) * np.sqrt(2 / draws)
    assert abs(eigenvalues.mean() - np.mean(direct)) < 5 * spread


def test_fewer_coordinates_give_the_same_flow():
    rng = np.random.default_rng(1)
    state = {"a": rng.uniform(-1, 1, 6), "w": rng.standard_normal((6, 30)) / np.sqrt(30)}
    keywords = {"time": 4.0, "dimension": 30, "subspace": "z2", "tolerance": 1e-7}
    short = population("z1 + z1*z2", SHIFTED, initial_state=state, **keywords)
    assert short.info["effective_dimension"] == 8
    whole = dict(state, a=np.tile(state["a"], 5), w=np.tile(state["w"], (5, 1)))  # 30 neurons: nothing to reduce
    long = population("z1 + z1*z2", SHIFTED, initial_state=whole, **keywords)
    assert long.info["effective_dimension"] == 30
    assert short.distance(long) < 1e-7
    assert np.max(np.abs(short.overlaps - long.overlaps)) < 1e-6


def test_a_final_state_continues_the_run():
    whole = population("z1 + z1*z2", SHIFTED, init="gaussian", **SMALL)
    first = population("z1 + z1*z2", SHIFTED, init="gaussian", **SMALL | {"time": 1.5, "times": [1.5]})
    second = population(
        "z1 + z1*z2", SHIFTED, 1.5, dimension=5, times=SMALL["times"][:7], initial_state=first.final_state
    )
    assert np.max(np.abs(second.losses - whole.losses[6:])) < 2e-6
    assert second.settings["neurons"] == 24


# ---- reproducible, resumable, interruptible ----


def test_the_seed_decides_everything():
    one, same, other = (population("z1 + z1*z2", SHIFTED, init="gaussian", seed=s, **SMALL) for s in (4, 4, 5))
    assert np.array_equal(one.losses, same.losses)
    assert np.array_equal(one.final_state["w"], same.final_state["w"])
    assert not np.array_equal(one.losses, other.losses)
    generator = np.random.Generator(np.random.PCG64(4))
    drawn = population("z1 + z1*z2", SHIFTED, init="gaussian", seed=generator, **SMALL)
    assert np.array_equal(drawn.losses, one.losses)


def test_an_interrupted_run_resumes_to_the_bit(tmp_path):
    path = tmp_path / "run.npz"
    calls = 0

    def rate(t):
        nonlocal calls
        calls += 1
        if calls == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return 1.0

    keywords = SMALL | {"init": "gaussian", "schedule_a": rate, "tolerance": 1e-8, "subspace": "z1"}
    stop_at = -1
    whole = population("z1 + z1*z2", SHIFTED, **keywords)
    handler = signal.getsignal(signal.SIGINT)
    reached = 0
    for stop_at in (60, 80):  # noqa: B007 (read by rate)
        calls = 0
        with pytest.raises(Interrupted, match="call again with checkpoint=") as caught:
            population("z1 + z1*z2", SHIFTED, checkpoint=path, **keywords)
        part = caught.value.trajectory
        assert reached < len(part) < len(whole)
        assert np.array_equal(part.losses, whole.losses[: len(part)])
        reached = len(part)
    assert signal.getsignal(signal.SIGINT) is handler
    stop_at = -1
    resumed = population("z1 + z1*z2", SHIFTED, checkpoint=path, **keywords)
    for name in ("times", "losses", "overlaps"):
        assert np.array_equal(getattr(resumed, name), getattr(whole, name))
    assert np.array_equal(resumed.final_state["w"], whole.final_state["w"])
    assert resumed.error == whole.error
    again = population("z1 + z1*z2", SHIFTED, checkpoint=path, **keywords)  # a finished run is only read
    assert np.array_equal(again.losses, whole.losses)
    with pytest.raises(InputError, match="belongs to another run: its seed is 0, now 1"):
        population("z1 + z1*z2", SHIFTED, checkpoint=path, **keywords | {"seed": 1})


# ---- refusals ----


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": 3.5j}, "target must be a Polynomial"),
        ({"target": ["z1"]}, "target must be a Polynomial"),
        ({"activation": np.tanh}, "Activation.custom"),
        ({"activation": 7}, "activation must be a text"),
        ({"time": 0}, "time must be a positive"),
        ({"time": float("nan")}, "time must be a positive"),
        ({"neurons": 0}, "neurons must be a whole number, at least 1"),
        ({"neurons": 2.5}, "neurons must be a whole number"),
        ({"dimension": 1}, "the target has p = 2 variables"),
        ({"init": "normal"}, "init must be one of 'zero', 'gaussian', 'blind', got 'normal'"),
        ({"train": "all"}, "train must be one of"),
        ({"schedule_a": -1.0}, "schedule_a must be a number >= 0"),
        ({"schedule_w": lambda t: 1 - t}, r"schedule_w\(.*\) must be finite and not negative"),
        ({"schedule_w": lambda t: "fast"}, r"schedule_w\(0\) must be a number"),
        ({"subspace": "z7"}, "subspace names 'z7', the target's variables are z1, z2"),
        ({"subspace": [[1, 0, 0]]}, "needs p = 2 numbers"),
        ({"subspace": [[0, 0]]}, "not zero"),
        ({"subspace": []}, "subspace must be names"),
        ({"times": [0, 5]}, r"times must lie in \[0, time\]"),
        ({"times": [1, 1]}, "must increase strictly"),
        ({"times": []}, "non-empty"),
        ({"times": "now"}, "times must be numbers"),
        ({"seed": -1}, "seed must be a whole number >= 0"),
        ({"tolerance": 0.5}, "tolerance must lie in"),
        ({"device": "gpu"}, "device must be one of"),
        ({"form": "tensor"}, "form must be one of"),
        ({"progress": "yes"}, "progress must be True or False"),
        ({"checkpoint": "no/such/folder/run.npz"}, "its folder does not exist"),
        ({"checkpoint": 3}, "checkpoint must be the name of a file"),
        ({"initial_state": {"a": [1.0]}}, "initial_state must be a dict"),
        ({"initial_state": {"a": [1.0], "w": [[0.0]]}}, "the target alone needs p = 2"),
        ({"initial_state": {"a": [1.0], "w": [[np.nan, 0.0]]}}, "NaN"),
        ({"initial_state": {"a": [1.0], "w": np.zeros((1, 9))}}, "more than dimension=5"),
        ({"initial_state": {"a": [1, 1], "w": np.zeros((2, 2)), "mass": [0.9, 0.1]}}, "equal masses"),
        ({"activation": "relu"}, 'ReLU has no derivative at 0: start from init="gaussian" or shift it'),
    ],
)
def test_bad_arguments_get_one_line(changes, message):
    arguments = {"target": "z1 + z1*z2", "activation": SHIFTED} | SMALL | changes
    with pytest.raises(InputError, match=message) as caught:
        population(**arguments)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_bad_texts_are_parse_errors():
    with pytest.raises(ParseError):
        population("1/z1", SHIFTED)
    with pytest.raises(ParseError):
        population("z1", "tanh(")


def test_kinks_are_refused_only_where_they_matter():
    initial.refuse_kink_at_zero(Activation("relu(y + 1/2)"), np.zeros((3, 2)), False)
    initial.refuse_kink_at_zero(Activation("elu"), np.zeros((3, 2)), False)  # its slope at 0 is 1 from both sides
    with pytest.raises(InputError, match="move the neurons of initial_state"):
        initial.refuse_kink_at_zero(Activation("relu + y"), np.eye(3)[:2, :2] * [[1], [0]], True)
    gaussian = population("z1", "relu", init="gaussian", tolerance=1e-2, **SMALL)
    assert gaussian.losses[-1] < gaussian.losses[0]
    with pytest.raises(ToleranceError, match="ask for a larger tolerance"):
        population("z1", "relu", init="gaussian", tolerance=1e-9, **SMALL)


def test_weights_out_of_reach_are_a_divergence():
    state = {"a": np.ones(2), "w": np.array([[250.0, 0.0], [0.0, 1.0]])}
    with pytest.raises(DivergenceError, match="norm 250") as caught:
        population("z1 + z1*z2", SHIFTED, 1.0, dimension=2, initial_state=state)
    assert caught.value.time == 0.0


def test_a_network_of_ones_own_activation():
    own = Activation.custom(
        lambda y: torch.sin(y) if isinstance(y, torch.Tensor) else np.sin(y),
        lambda y: torch.cos(y) if isinstance(y, torch.Tensor) else np.cos(y),
        name="wave", even_part="zero", odd_part="non-polynomial", growth="bounded", smoothness="analytic",
    )  # fmt: skip
    run, known = (population("z1 + z1**3", s, init="gaussian", **SMALL) for s in (own, "sin"))
    assert run.distance(known) < 1e-9


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("form", ["pair", "hermite"])
def test_cuda_agrees_with_the_cpu(form):
    cpu, cuda = (population("z1 + z1*z2", SHIFTED, form=form, device=device, **SMALL) for device in ("cpu", "cuda"))
    assert cuda.info["device"] == "cuda"
    assert cpu.distance(cuda) < 1e-10


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused():
    with pytest.raises(InputError, match="finds no CUDA device"):
        population("z1", SHIFTED, device="cuda", **SMALL)
    assert population("z1", SHIFTED, device="auto", **SMALL).info["device"] == "cpu"


def test_hermite_form_in_many_dimensions_is_refused():
    with pytest.raises(InputError, match="pair"):
        population("z1 + z1*z2", "tanh(y+1/2)", 1.0, neurons=64, dimension=32, init="gaussian", form="hermite")


def test_an_activation_that_jumps_has_no_exact_gradient():
    step = Activation.custom(
        lambda y: 1.0 * (y > 0), lambda y: 0.0 * y, name="step", breakpoints=[0], growth="bounded", smoothness=-1
    )
    for solver in (population, meanfield):
        with pytest.raises(InputError, match="jumps"):
            solver("z1 + z1*z2", step, 1, init="gaussian")
    with pytest.raises(InputError, match="jumps"):
        taylor_curve("z1 + z1*z2", step, [1.0])
    run = sgd("z1 + z1*z2", step, 0.1, neurons=8, dimension=4, init="gaussian")  # what a machine would do
    assert np.isfinite(run.losses).all()
