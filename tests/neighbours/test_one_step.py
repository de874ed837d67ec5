"""The step, the readout, the prediction: against autograd, normal equations, sampling, and a table made independently."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from meanfield_sgd import Activation, DivergenceError, InputError, ToleranceError, neighbours, simulate
from meanfield_sgd.neighbours import GaussianMixture, SpikedMixture, one_step, ridge_equivalent
from meanfield_sgd.neighbours import _runs as runs_module
from meanfield_sgd.neighbours._step import equivalent, gradient, ridge_readout


def put(rng, *shape):
    return torch.as_tensor(rng.standard_normal(shape))


@pytest.mark.parametrize("name", ["relu", "tanh(y+1/2)", "logistic"])
def test_gradient_against_autograd(name):
    rng, sigma = np.random.default_rng(0), Activation(name)
    f, w, x, y = put(rng, 3, 5, 8), put(rng, 3, 5), put(rng, 3, 11, 8), put(rng, 3, 11)
    found = gradient(sigma, f, w, x, y)
    f.requires_grad_()
    output = torch.einsum("rk,rmk->rm", w, sigma(torch.einsum("rmn,rkn->rmk", x, f))) / math.sqrt(5)
    loss = 0.5 * ((y - output) ** 2).mean(-1).sum()
    (wanted,) = torch.autograd.grad(loss, f)
    assert torch.allclose(found, -wanted, atol=1e-12)


@pytest.mark.parametrize(("m", "k"), [(30, 12), (12, 30), (20, 20)])
def test_ridge_readout_is_the_minimiser(m, k):
    rng, ridge = np.random.default_rng(1), 0.03
    features, y = put(rng, 2, m, k), put(rng, 2, m)
    w, train = ridge_readout(features, y, ridge)
    for run in range(2):
        a, b = features[run].numpy(), y[run].numpy()
        wanted = np.linalg.solve(a.T @ a + ridge * m * np.eye(k), a.T @ b)
        assert w[run].numpy() == pytest.approx(wanted, abs=1e-10)
        value = ((b - a @ wanted) ** 2).sum() / (2 * m) + ridge / 2 * (wanted**2).sum()
        assert float(train[run]) == pytest.approx(value, rel=1e-10)


def eigen_formula(s, q, power, m, ridge):
    """The same equivalent, from the eigenvectors, with a root found by bisection."""
    from scipy.optimize import brentq

    e, u = np.linalg.eigh(s)
    theta = (u.T @ q) / e
    tau = power - (e * theta**2).sum()
    kappa = brentq(lambda t: t * (1 - (e / (e + t)).sum() / m) - ridge, 1e-14, ridge + e.sum() / m + 1, xtol=1e-16)
    bias = ((kappa**2 * e * theta**2) / (e + kappa) ** 2).sum() + tau
    test = 0.5 * bias / (1 - (e**2 / (e + kappa) ** 2).sum() / m)
    return test, ridge / (2 * kappa) * (tau + kappa * (e * theta**2 / (e + kappa)).sum()), kappa


@pytest.mark.parametrize(("m", "k", "ridge"), [(40, 20, 1e-3), (20, 40, 1e-3), (30, 30, 1e-5), (10, 30, 2.0)])
def test_equivalent_against_the_formula_in_eigenvectors(m, k, ridge):
    rng = np.random.default_rng(2)
    a = rng.standard_normal((k, k)) * np.geomspace(1, 1e-2, k)
    s = a @ a.T / k
    q = s @ rng.standard_normal(k)
    power = float(q @ np.linalg.solve(s, q)) + 0.3
    found = ridge_equivalent(s, q, power, m, ridge)
    assert tuple(found) == pytest.approx(eigen_formula(s, q, power, m, ridge), rel=1e-8)


def test_equivalent_against_ridge_regression_on_gaussian_features():
    rng, m, k, ridge = np.random.default_rng(3), 300, 200, 1e-2
    scale = np.geomspace(1, 0.05, k)
    theta = rng.standard_normal(k) / math.sqrt(k)
    s, q = np.diag(scale**2), scale**2 * theta
    power = float(theta @ q) + 0.25
    tests, trains = [], []
    for _ in range(40):
        x = rng.standard_normal((m, k)) * scale
        y = x @ theta + 0.5 * rng.standard_normal(m)
        w, train = ridge_readout(torch.as_tensor(x)[None], torch.as_tensor(y)[None], ridge)
        w = w[0].numpy()
        tests.append(0.5 * (power - 2 * w @ q + w @ s @ w))
        trains.append(float(train[0]))
    found = ridge_equivalent(s, q, power, m, ridge)
    for values, predicted in ((tests, found.test), (trains, found.train)):
        assert np.mean(values) == pytest.approx(predicted, abs=4 * np.std(values) / math.sqrt(40) + 0.005 * predicted)


def test_equivalent_with_useless_features_is_worse_than_none():
    found = ridge_equivalent(np.eye(50), np.zeros(50), 1.0, 60, 1e-3)
    assert found.test > 0.5 > found.train
    assert found.kappa > 1e-3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"second": np.ones((2, 3))}, "shapes"),
        ({"second": np.array([[1.0, 2.0], [0.0, 1.0]])}, "symmetric"),
        ({"cross": np.ones(3)}, "shapes"),
        ({"power": [1.0, 2.0]}, "shapes"),
        ({"samples": 0}, "samples"),
        ({"ridge": 0.0}, "ridge"),
        ({"second": "x"}, "numbers"),
    ],
)
def test_equivalent_refuses(change, says):
    arguments = {"second": np.eye(2), "cross": np.ones(2), "power": 3.0, "samples": 5, "ridge": 0.1}
    with pytest.raises(InputError, match=says):
        ridge_equivalent(**{**arguments, **change})


# ---- whole runs ------------------------------------------------------------------------------------------------------

LAW = SpikedMixture(60, 0.5, 0.74)
SMALL = {"neurons": 50, "samples": 70, "ridge": 2e-3}


def same(a, b, **tolerance):
    tolerance = tolerance or {"rtol": 1e-9, "atol": 1e-12}
    for x, y in ((a.network, b.network), *((a.hermite[d], b.hermite[d]) for d in a.hermite)):
        np.testing.assert_allclose(x.test, y.test, **tolerance)
        np.testing.assert_allclose(x.train, y.train, **tolerance)


def test_runs_do_not_depend_on_their_group(monkeypatch):
    whole = one_step("tanh", LAW, degrees=(1, 3), seeds=5, **SMALL)
    monkeypatch.setattr(runs_module, "_GROUP", 1)
    same(one_step("tanh", LAW, degrees=(1, 3), seeds=5, **SMALL), whole)
    single = one_step("tanh", LAW, degrees=(1, 3), seeds=[3], **SMALL)
    np.testing.assert_allclose(single.network.test, whole.network.test[3:4], rtol=1e-9)
    np.testing.assert_allclose(single.hermite[3].test, whole.hermite[3].test[3:4], rtol=1e-9)


def test_degrees_do_not_change_what_is_drawn():
    one = one_step("tanh", LAW, degrees=3, seeds=4, **SMALL)
    more = one_step("tanh", LAW, degrees=(1, 2, 3, 4), seeds=4, **SMALL)
    np.testing.assert_allclose(one.network.test, more.network.test, rtol=1e-12)
    np.testing.assert_allclose(one.hermite[3].train, more.hermite[3].train, rtol=1e-12)


@pytest.mark.parametrize("labels", ["random", "aligned", "classes"])
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_exact_test_errors_against_sampled_ones(name, labels):
    options = {**SMALL, "labels": labels, "degrees": 3, "seeds": 3}
    exact = one_step(name, LAW, **options)
    sampled = one_step(name, LAW, test="sampled", test_samples=100_000, predictions=0, **options)
    np.testing.assert_allclose(exact.network.train, sampled.network.train, rtol=1e-9)
    for model in (exact.network, exact.hermite[3]):
        other = sampled.network if model is exact.network else sampled.hermite[3]
        np.testing.assert_allclose(model.test, other.test, rtol=0.03)


def test_exact_test_errors_of_a_polynomial_and_of_noisy_labels():
    mix = GaussianMixture.isotropic(40, rate=3.0)
    for options in ({"labels": "z1 + z1*z2"}, {"labels": "random", "noise": 0.5}):
        exact = one_step("tanh(y+1/2)", mix, seeds=3, degrees=2, **options, **SMALL)
        sampled = one_step(
            "tanh(y+1/2)",
            mix,
            seeds=3,
            degrees=2,
            test="sampled",
            test_samples=200_000,
            predictions=0,
            **options,
            **SMALL,
        )
        np.testing.assert_allclose(exact.network.test, sampled.network.test, rtol=0.02)
        np.testing.assert_allclose(exact.hermite[2].test, sampled.hermite[2].test, rtol=0.02)


# Errors times the label scale at beta = .74, alpha = 1/2, ridge 1e-4, averaged over 60 to 150 data sets, with their standard
# errors in per cent; computed by other code (theory of this book's chapter).
INDEPENDENT = [
    ("relu", 200, 0.3, 0.2098, 0.8, 0.1075),
    ("relu", 200, 1.0, 0.2509, 0.9, 0.0303),
    ("relu", 200, 2.0, 0.1677, 0.9, 0.0161),
    ("tanh", 250, 1.0, 0.3481, 1.1, 0.0577),
    ("logistic", 250, 0.5, 0.1560, 1.0, 0.0940),
]


@pytest.mark.parametrize(("name", "n", "ratio", "error", "spread", "train"), INDEPENDENT)
def test_network_hermite_model_and_prediction_agree(name, n, ratio, error, spread, train):
    found = one_step(name, SpikedMixture(n, 0.5, 0.74), neurons=round(ratio * n), samples=n, degrees=3, seeds=40)
    value, own = found.mean(normalised=True)
    assert value == pytest.approx(error, abs=4 * math.hypot(own, error * spread / 100))
    assert found.mean(what="train", normalised=True)[0] == pytest.approx(train, rel=0.04)
    gap, _ = found.gap()
    assert abs(gap) < 0.025
    predicted = found.mean("predicted", normalised=True)[0]
    assert abs(predicted / value - 1) < 0.02 + 2 * own / value
    assert found.predicted_hermite[3].test.mean() == pytest.approx(found.hermite[3].test.mean(), rel=0.03)
    assert found.predicted.train.mean() == pytest.approx(found.network.train.mean(), rel=0.04)


def test_the_linear_model_fails_where_the_rule_says():
    """Aligned labels, alpha = 0: degree 1 misses by over 100 % at beta = .7, degree 2 does not."""
    found = one_step(
        "relu",
        SpikedMixture(400, 0.0, 0.7),
        neurons=500,
        samples=500,
        labels="aligned",
        degrees=(1, 2),
        seeds=3,
        predictions=0,
    )
    assert found.gap(1)[0] > 1.0
    assert abs(found.gap(2)[0]) < 0.15


def test_distances_shrink_where_the_degree_suffices_and_not_where_it_does_not():
    sizes, kept = (125, 500), {}
    for alpha, beta in ((1.0, 0.6), (0.0, 0.65)):
        for n in sizes:
            law = SpikedMixture(n, alpha, beta)
            found = one_step(
                "tanh(y+3/5)",
                law,
                neurons=n,
                samples=n,
                ridge=0.1 / n,
                labels="aligned",
                degrees=1,
                seeds=2,
                distances=True,
            )
            kept[alpha, n] = found.distances[1].mean()
    assert kept[1.0, 500] < 0.7 * kept[1.0, 125] < 0.1
    assert kept[0.0, 500] > 0.3


def test_label_scale():
    law = SpikedMixture(80, 0.5, 0.9, alignment=0.5)
    found = one_step("relu", law, seeds=3, **SMALL)
    assert found.scale == pytest.approx(1 + law.theta * 0.75)
    assert one_step("relu", law, seeds=2, labels="classes", **SMALL).scale == pytest.approx(1.0)


def test_without_a_step_the_rate_is_zero():
    still = one_step("tanh", LAW, rate=0, seeds=2, **SMALL)
    moved = one_step("tanh", LAW, seeds=2, **SMALL)
    assert still.info["rate"] == 0 and moved.info["rate"] == pytest.approx(LAW.rate)
    assert not np.allclose(still.network.test, moved.network.test, rtol=1e-3)


# ---- interruption ----------------------------------------------------------------------------------------------------


def test_interrupted_runs_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(runs_module, "_GROUP", 1)
    file = tmp_path / "step.npz"
    options = {**SMALL, "degrees": 3, "seeds": 4}
    whole = one_step("tanh", LAW, **options)
    compute, made = runs_module.Runs._compute, []

    def stop_after_two(self, seeds, before):
        made.append(seeds)
        if len(made) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return compute(self, seeds, before)

    monkeypatch.setattr(runs_module.Runs, "_compute", stop_after_two)
    with pytest.raises(simulate.Interrupted, match="2 of 4 runs") as stopped:
        one_step("tanh", LAW, checkpoint=file, **options)
    assert len(stopped.value.trajectory) == 2
    np.testing.assert_allclose(stopped.value.trajectory.network.test, whole.network.test[:2], rtol=1e-9)
    resumed = one_step("tanh", LAW, checkpoint=file, **options)
    assert made == [[0], [1], [2], [3]]
    same(resumed, whole)
    with pytest.raises(InputError, match="belongs to another run"):
        one_step("relu", LAW, checkpoint=file, **options)


def test_a_checkpoint_knows_its_mixture(tmp_path):
    file = tmp_path / "step.npz"
    first, second = (LAW.draw(np.random.default_rng(seed)) for seed in (1, 2))
    one_step("tanh", first, seeds=2, checkpoint=file, **SMALL)
    with pytest.raises(InputError, match="marks"):
        one_step("tanh", second, seeds=2, checkpoint=file, **SMALL)


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mixture": 5}, "mixture must be"),
        ({"neurons": 0}, "neurons"),
        ({"samples": 1.5}, "samples"),
        ({"ridge": 0}, "ridge"),
        ({"rate": -1}, "rate"),
        ({"labels": "wrong"}, "labels must be"),
        ({"labels": "z1 +"}, "z1"),
        ({"mixture": GaussianMixture.isotropic(2), "labels": "z1*z2*z3"}, "too small"),
        ({"mixture": GaussianMixture.isotropic(20), "labels": "aligned"}, "need a spike"),
        ({"link": 3}, "activation"),
        ({"noise": -1}, "noise"),
        ({"degrees": -1}, "degree"),
        ({"degrees": object()}, "degrees"),
        ({"seeds": 0}, "seeds"),
        ({"test": "other"}, "test"),
        ({"test_samples": 10}, "test_samples"),
        ({"labels": "z1", "test": "population"}, "population"),
        ({"labels": "z1", "predictions": 3}, "exact moments"),
        ({"predictions": -1}, "predictions"),
        ({"distances": True}, "degrees"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_bad_arguments_are_refused(change, says):
    arguments = {"mixture": LAW, "seeds": 1, **SMALL, **change}
    with pytest.raises(InputError, match=says):
        one_step("tanh", arguments.pop("mixture"), **arguments)


def test_jumps_are_refused_in_the_activation_and_allowed_in_the_link():
    step = Activation.custom(
        lambda y: (y > 0) * 1.0, lambda y: 0 * y, name="step", breakpoints=[0.0], smoothness=-1, growth="bounded"
    )
    with pytest.raises(InputError, match="jumps"):
        one_step(step, LAW, seeds=1, **SMALL)
    assert np.isfinite(one_step("tanh", LAW, link=step, seeds=1, **SMALL).network.test).all()


def test_too_large_a_rate_and_too_small_a_ridge_are_told():
    with pytest.raises(DivergenceError, match="rate"):
        one_step("y + y**3", LAW, rate=1e300, seeds=1, **SMALL)
    with pytest.raises(ToleranceError, match="ridge"):
        one_step("y", LAW, neurons=200, samples=200, ridge=1e-30, seeds=1)


def test_what_does_not_fit_into_memory_is_refused_before_it_is_drawn():
    with pytest.raises(InputError, match="GB"):
        one_step("relu", SpikedMixture(2_000_000), neurons=2_000_000, samples=2_000_000, seeds=1, device="cpu")
    assert neighbours.memory_needed(2000, 2000, 2000) < 0.4e9
    assert neighbours.memory_needed(20_000, 20_000, 20_000) < 20e9


PEAK = """
import re, sys
from meanfield_sgd import neighbours
def peak():  # not ru_maxrss: that starts from the parent's
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
def run(n, m, k):
    neighbours.one_step("relu", neighbours.SpikedMixture(n), neurons=k, samples=m, degrees=3, seeds=1)
run(50, 50, 50)
before = peak()
run(*map(int, sys.argv[1:]))
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize("shape", [(300, 2500, 2000), (2500, 300, 2500)])
def test_the_memory_stated_is_the_memory_taken(shape):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, shape)], env=environment, capture_output=True, text=True
    )
    taken = 1024 * int(run.stdout)
    assert taken < neighbours.memory_needed(*shape) < 4 * taken


def test_models_that_are_not_there_are_named():
    found = one_step("tanh", LAW, seeds=1, predictions=False, **SMALL)
    with pytest.raises(InputError, match="'network'"):
        found.mean("predicted")
    with pytest.raises(InputError, match="model must be"):
        found.gap()


# ---- the spike of the gradient ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_spike_of_the_gradient(name):
    found = [neighbours.gradient_spike(name, SpikedMixture(n, 1.0, 0.74), neurons=n, samples=n) for n in (150, 600)]
    assert found[1].residual.mean() < 0.7 * found[0].residual.mean()
    assert found[1].norm.mean() == pytest.approx(found[1].predicted_norm.mean(), rel=0.06)
    assert found[1].alignment.mean() == pytest.approx(found[1].predicted_alignment.mean(), abs=0.03)


def test_spike_of_spread_data_has_finite_rank():
    found = neighbours.gradient_spike("relu", SpikedMixture(500, 0.0, 0.74), neurons=500, samples=500, labels="aligned")
    assert found.residual.mean() > 0.25 > 0.12 > found.off_span.mean()
    assert found.alignment.mean() == pytest.approx(found.predicted_alignment.mean(), abs=0.03)


def test_the_spike_uses_the_data_of_the_run():
    """Rebuilt by hand: the gradient of seed 7 in one_step and in gradient_spike is the same."""
    law = SpikedMixture(30, 0.5, 0.5)
    found = neighbours.gradient_spike("tanh", law, neurons=20, samples=40, seeds=[7])
    run = runs_module.Runs(
        Activation("tanh"), law, neurons=20, samples=40, rate=1.0, ridge=1.0, labels=("random", "relu", 0.0), degrees=[],
        seeds=[7], test=None, test_samples=None, predictions=0, distances=False, device="cpu",
    )  # fmt: skip
    seen = {}
    original = runs_module.gradient

    def spy(*arguments):
        seen["g"] = original(*arguments)
        return seen["g"]

    runs_module.gradient = spy
    try:
        run._compute([7], 0)
    finally:
        runs_module.gradient = original
    assert float(torch.linalg.matrix_norm(seen["g"][0], 2)) == pytest.approx(found.norm[0], rel=1e-9)


@pytest.mark.parametrize("labels", ["classes", "z1"])
def test_spike_needs_labels_in_one_direction(labels):
    with pytest.raises(InputError, match="random"):
        neighbours.gradient_spike("tanh", LAW, neurons=5, samples=5, labels=labels)


# ---- GPU -------------------------------------------------------------------------------------------------------------


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_and_cpu_agree():
    options = {**SMALL, "degrees": 3, "seeds": 3, "distances": True}
    same(
        one_step("tanh", LAW, device="cuda", **options),
        one_step("tanh", LAW, device="cpu", **options),
        rtol=1e-7,
        atol=1e-10,
    )


def test_cuda_is_asked_for_and_absent():
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(InputError, match="no CUDA device"):
        one_step("tanh", LAW, device="cuda", seeds=1, **SMALL)


def test_equivalent_is_batched():
    rng = np.random.default_rng(6)
    a = rng.standard_normal((3, 10, 10))
    s = torch.as_tensor(a @ a.transpose(0, 2, 1) / 10)
    q, power = torch.as_tensor(rng.standard_normal((3, 10)) * 0.1), torch.ones(3, dtype=torch.float64) * 5
    whole = equivalent(s, q, power, 12, 0.01)
    for run in range(3):
        single = ridge_equivalent(s[run].numpy(), q[run].numpy(), 5.0, 12, 0.01)
        assert [float(part[run]) for part in whole] == pytest.approx(list(single), rel=1e-10)


# ---- found by a reader who tried to break it -------------------------------------------------------------------------


def test_each_run_has_the_hermite_model_of_its_own_mixture():
    """With spikes of random size the traces, and with them b, differ from run to run."""
    law = SpikedMixture(40, 0.0, 0.9, rank=6, sizes="uniform")
    whole = one_step("relu", law, degrees=3, seeds=4, predictions=2, **SMALL)
    for place, seed in enumerate(whole.seeds):
        single = one_step("relu", law, degrees=3, seeds=[seed], **SMALL)
        np.testing.assert_allclose(single.hermite[3].test, whole.hermite[3].test[place], rtol=1e-9)
    assert whole.predicted.test.shape == whole.predicted_hermite[3].test.shape == (2,)


@pytest.mark.parametrize("name", ["relu(y) + sin(20*y)", "relu(y) + tanh(20*y + 10)", "erf(20*y + 3)"])
def test_narrow_features_of_an_activation_are_resolved(name):
    options = {"neurons": 30, "samples": 30, "ridge": 3e-3, "seeds": 2}
    exact = one_step(name, SpikedMixture(30), predictions=0, **options)
    sampled = one_step(name, SpikedMixture(30), predictions=0, test="sampled", test_samples=100_000, **options)
    np.testing.assert_allclose(exact.network.test, sampled.network.test, rtol=0.02)


def test_a_checkpoint_knows_custom_functions_by_their_values(tmp_path):
    def custom(function):
        return Activation.custom(function, name="mine", growth="bounded")

    for place, other in (("activation", {}), ("link", {"link": custom(torch.sin)})):
        file = tmp_path / f"{place}.npz"
        first = custom(torch.tanh)
        if place == "activation":
            one_step(first, LAW, seeds=1, checkpoint=file, **SMALL)
            call = lambda: one_step(custom(torch.sin), LAW, seeds=1, checkpoint=file, **SMALL)  # noqa: B023, E731
        else:
            one_step("tanh", LAW, seeds=1, checkpoint=file, link=first, **SMALL)
            call = lambda: one_step("tanh", LAW, seeds=1, checkpoint=file, **other, **SMALL)  # noqa: B023, E731
        with pytest.raises(InputError, match="marks"):
            call()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: one_step("tanh", LAW, rate=1e200, seeds=1, **SMALL), DivergenceError, "rate"),
        (lambda: one_step("exp", LAW, rate=1e4, seeds=1, **SMALL), DivergenceError, "rate"),
        (lambda: one_step("tanh", GaussianMixture.isotropic(9), labels="classes", seeds=1, **SMALL), InputError, "two"),
        (
            lambda: one_step("tanh", SpikedMixture(9, alignment=-1), labels="aligned", seeds=1, **SMALL),
            InputError,
            "cancel",
        ),
        (lambda: one_step("tanh", LAW, degrees=31, seeds=1, **SMALL), InputError, "30"),
        (lambda: one_step("tanh", LAW, noise=True, seeds=1, **SMALL), InputError, "noise"),
        (lambda: one_step("tanh", LAW, seeds=1, **SMALL).mean([1]), InputError, "model"),
        (lambda: neighbours.gradient_spike("1", LAW, neurons=5, samples=5), InputError, "zero"),
        (lambda: neighbours.hermite_model("tanh", 171), InputError, "30"),
        (lambda: neighbours.published([1]), InputError, "figure"),
        (lambda: ridge_equivalent(-np.eye(2), np.zeros(2), 1.0, 5, 2.0), InputError, "no moments"),
        (lambda: ridge_equivalent(np.eye(2), 9 * np.ones(2), 1.0, 5, 2.0), InputError, "no moments"),
        (lambda: ridge_equivalent(1j * np.eye(2), np.ones(2), 1.0, 5, 2.0), InputError, "real"),
        (lambda: ridge_equivalent(np.diag([1.0, 0.0]), np.zeros(2), 1.0, 5, 1e-300), ToleranceError, "ridge"),
        (lambda: GaussianMixture([1.0], ["a"], [[1.0]]), InputError, "numbers"),
        (lambda: GaussianMixture([1.0], [np.eye(3)[:1]], [[np.inf]]), InputError, "finite"),
        (lambda: GaussianMixture.isotropic(5, rate=-1), InputError, "rate"),
        (lambda: LAW.draw(np.random.default_rng(0)).sample(-3, np.random.default_rng(0)), InputError, "samples"),
    ],
)
def test_hostile_calls_are_refused_in_one_line(call, error, says):
    with pytest.raises(error, match=says) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_constant_labels_are_labels():
    found = one_step("tanh(y+1/2)", GaussianMixture.isotropic(40), labels="3/2", seeds=2, **SMALL)
    assert found.network.test.max() < 0.2 < 9 / 8
