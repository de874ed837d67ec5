"""Many seeds at once: each run is the single run of its seed; stops, resumes and refusals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from meanfield_sgd.errors import DivergenceError, InputError
from meanfield_sgd.simulate import Interrupted, Trajectory, ensemble, population, sgd

SHIFTED = "tanh(y+1/2)"
SGD = {"neurons": 12, "dimension": 4, "batch": 8, "times": np.linspace(0, 1, 5)}
FLOW = {"neurons": 16, "dimension": 20, "init": "gaussian", "times": np.linspace(0, 2, 9)}
SEEDS = [3, 0, 11]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def same_run(one, other, tolerance):
    assert one.method == other.method
    assert one.settings == other.settings
    for name in ("times", "losses", "overlaps", "weighted_masses"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert (mine is None) == (theirs is None)
        if mine is not None:
            assert np.allclose(mine, theirs, rtol=0, atol=tolerance)
    for name in ("a", "w", "mass"):
        assert one.final_state[name].shape == other.final_state[name].shape
    assert one.info["initial"] == pytest.approx(other.info["initial"], rel=1e-14)


# ---- seed by seed ----


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"init": "gaussian", "subspace": "z2"},
        {"init": "blind", "subspace": "z2", "train": "w", "loss": "exact"},
        {"train": "a", "schedule_a": lambda t: 1 / (1 + t)},
        {"activation": "relu(y+1/4)", "init": "gaussian"},
        {"activation": "y + y**2/5"},
        {"activation": "1"},
    ],
)
def test_descents_are_the_single_ones(changes):
    options = {"activation": SHIFTED, "time": 1.0, **SGD, **changes}
    runs = ensemble("sgd", "z1 + z1*z2", seeds=SEEDS, **options)
    assert runs.seeds == SEEDS
    for seed, run in zip(SEEDS, runs):
        single = sgd("z1 + z1*z2", seed=seed, **options)
        same_run(run, single, 1e-12)
        for name in ("a", "w"):
            assert np.allclose(run.final_state[name], single.final_state[name], rtol=0, atol=1e-12)
        assert run.error == pytest.approx(single.error, rel=1e-9, abs=1e-14)
        assert run.info["steps"] == single.info["steps"]


@pytest.mark.parametrize(
    "changes",
    [
        {"subspace": "z2"},
        {"init": "blind", "subspace": "z2", "train": "w"},
        {"dimension": 1000, "subspace": ["z1", "z2"], "schedule_a": lambda t: 1 / (1 + t)},
        {"dimension": 9, "activation": "softplus", "schedule_w": 0.5},
    ],
)
def test_flows_are_the_single_ones_within_the_tolerance(changes):
    options = {"activation": SHIFTED, "time": 2.0, "tolerance": 1e-6, "form": "pair", **FLOW, **changes}
    runs = ensemble("population", "z1 + z1*z2", seeds=SEEDS, **options)
    for seed, run in zip(SEEDS, runs):
        single = population("z1 + z1*z2", seed=seed, **options)
        same_run(run, single, 2e-6)
        assert np.max(np.abs(run.losses - single.losses)) < run.error + single.error
        assert run.error < 1e-4
        for name in ("a", "w"):
            assert np.allclose(run.final_state[name], single.final_state[name], rtol=0, atol=1e-4)
        assert run.losses[0] == pytest.approx(single.losses[0], abs=1e-6)


def test_few_coordinates_run_one_after_the_other():
    options = {"neurons": 400, "dimension": 8, "times": [0.0, 1.0]}
    runs = ensemble("population", "z1 + z1*z2", SHIFTED, 1.0, seeds=2, **options)
    for seed, run in enumerate(runs):
        single = population("z1 + z1*z2", SHIFTED, 1.0, seed=seed, **options)
        assert np.array_equal(run.losses, single.losses)
        assert run.info["form"] == "hermite"


def test_the_form_that_is_asked_for_is_used(tmp_path):
    # w = 0: two coordinates, where the Hermite form would be cheaper; the message on checkpoints advises form="pair".
    options = {"neurons": 400, "dimension": 8, "times": [0.0, 1.0]}
    with pytest.raises(InputError, match="form='pair'"):
        ensemble("population", "z1 + z1*z2", SHIFTED, 1.0, seeds=2, checkpoint=tmp_path / "a.npz", **options)
    runs = ensemble(
        "population", "z1 + z1*z2", SHIFTED, 1.0, seeds=2, checkpoint=tmp_path / "a.npz", form="pair", **options
    )
    assert runs[0].info["form"] == "pair"


def test_blocks_of_runs_change_nothing(monkeypatch):
    from meanfield_sgd.simulate._kernels import PairForm

    whole = ensemble("population", "z1 + z1*z2", SHIFTED, 2.0, seeds=3, form="pair", **FLOW)
    monkeypatch.setattr(PairForm, "block_elements", {"cpu": 2 * 16 * 16})
    blocks = ensemble("population", "z1 + z1*z2", SHIFTED, 2.0, seeds=3, form="pair", **FLOW)
    assert np.allclose(whole.losses, blocks.losses, rtol=0, atol=1e-13)


# ---- the sequence ----


def test_an_ensemble_is_a_sequence_with_columns():
    runs = ensemble("sgd", "z1 + z1*z2", SHIFTED, 1.0, seeds=4, subspace="z2", init="gaussian", **SGD)
    assert isinstance(runs, Sequence)
    assert len(runs) == 4
    assert runs.seeds == [0, 1, 2, 3]
    assert all(isinstance(run, Trajectory) for run in runs)
    assert runs[1:3] == [runs[1], runs[2]]
    assert runs.losses.shape == runs.masses.shape == (4, 5)
    assert np.array_equal(runs.masses[2], runs[2].masses)
    assert np.array_equal(runs.times, runs[0].times)
    mean, error = runs.mean_mass()
    assert np.allclose(mean, np.mean([run.masses for run in runs], axis=0))
    assert np.allclose(error, np.std([run.masses for run in runs], axis=0, ddof=1) / 2)
    assert np.array_equal(runs.escape_times(0.5), [run.escape_time(0.5) for run in runs])
    assert "Ensemble of 4" in repr(runs)
    assert runs.info is runs[0].info


def test_one_run_has_no_standard_error_and_no_subspace_no_masses():
    run = ensemble("sgd", "z1", SHIFTED, 1.0, seeds=[5], subspace="z1", **SGD)
    assert np.all(np.isnan(run.mean_mass()[1]))
    plain = ensemble("sgd", "z1", SHIFTED, 1.0, seeds=np.array([5, 6]), **SGD)
    for ask in (lambda: plain.masses, plain.mean_mass, plain.escape_times):
        with pytest.raises(InputError, match="no overlap was recorded"):
            ask()


# ---- stops ----


def stopping(after):
    """A schedule that raises KeyboardInterrupt, as a notebook's stop button does, at its call number ``after``."""
    count = 0

    def rate(t):
        nonlocal count
        count += 1
        if count == after:
            raise KeyboardInterrupt
        return 1.0

    return rate


@pytest.mark.parametrize(
    ("method", "options", "stops"),
    [
        ("sgd", {**SGD, "subspace": "z2"}, (62, 58)),
        ("population", {**FLOW, "subspace": "z2", "form": "pair"}, (120, 110)),
    ],
)
def test_an_interrupted_ensemble_resumes_to_the_bit(tmp_path, method, options, stops):
    path, reached = tmp_path / "runs.npz", 0.0

    def run(after, **more):  # 18 calls a seed check and describe the schedule
        return ensemble(method, "z1 + z1*z2", SHIFTED, options["times"][-1], seeds=SEEDS, schedule_a=stopping(after),
                        **options, **more)  # fmt: skip

    whole = run(-1)
    for after in stops:
        with pytest.raises(Interrupted, match="call again with checkpoint=") as caught:
            run(after, checkpoint=path)
        part = caught.value.trajectory
        assert len(part) == len(SEEDS)
        assert len(part.times) < len(whole.times)
        assert np.array_equal(part.losses, whole.losses[:, : len(part.times)])
        assert part.info["reached"] > reached
        reached = part.info["reached"]
    for _ in range(2):  # the second time the finished run is only read
        resumed = run(-1, checkpoint=path)
        assert np.array_equal(resumed.losses, whole.losses)
        assert np.array_equal(resumed.masses, whole.masses)
        for one, other in zip(resumed, whole):
            assert one.error == other.error
            assert np.array_equal(one.weighted_masses, other.weighted_masses)
            for name in ("a", "w"):
                assert np.array_equal(one.final_state[name], other.final_state[name])
    with pytest.raises(InputError, match="belongs to another run: its seeds"):
        ensemble(method, "z1 + z1*z2", SHIFTED, options["times"][-1], seeds=[3, 0, 12], schedule_a=stopping(-1),
                 checkpoint=path, **options)  # fmt: skip
    single = sgd if method == "sgd" else population
    with pytest.raises(InputError, match="belongs to another run"):
        single("z1 + z1*z2", SHIFTED, options["times"][-1], seed=3, schedule_a=stopping(-1), checkpoint=path, **options)


def test_an_interrupt_of_runs_one_after_the_other_hands_back_an_ensemble():
    options = {"neurons": 400, "dimension": 8, "times": [0.0, 0.5, 1.0]}
    calls = 0

    def rate(t):
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise KeyboardInterrupt
        return 1.0

    stop_at = -1
    population("z1 + z1*z2", SHIFTED, 1.0, schedule_a=rate, **options)
    one, calls = calls, 0
    stop_at = 2 * 18 + one + 30  # within the second run
    with pytest.raises(Interrupted) as caught:
        ensemble("population", "z1 + z1*z2", SHIFTED, 1.0, seeds=2, schedule_a=rate, **options)
    assert not isinstance(caught.value.trajectory, Trajectory)
    assert len(caught.value.trajectory) >= 1


def test_a_diverging_run_stops_all():
    with pytest.raises(DivergenceError, match="smaller step"):
        ensemble("sgd", "5*z1**3", "y**3", 40.0, seeds=2, neurons=20, dimension=4, batch=4, step=0.5, init="gaussian")


def test_progress_is_one_bar(capsys):
    ensemble("sgd", "z1", SHIFTED, 1.0, seeds=2, **SGD)
    assert capsys.readouterr().err == ""
    ensemble("sgd", "z1", SHIFTED, 1.0, seeds=2, progress=True, **SGD)
    assert "sgd: t=" in capsys.readouterr().err


# ---- refusals ----


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "meanfield"}, "method must be one of 'sgd', 'population'"),
        ({"method": sgd}, "method must be one of"),
        ({"neuron": 3}, "sgd has no argument 'neuron'; did you mean neurons"),
        ({"tolerance": 1e-3}, "sgd has no argument 'tolerance'"),
        ({"method": "population", "batch": 3}, "population has no argument 'batch'"),
        ({"seed": 3}, "takes seeds=..., not seed"),
        ({"initial_state": {}}, "not initial_state"),
        ({"seeds": 0}, "seeds must be a whole number, at least 1"),
        ({"seeds": 1.5}, "seeds must be a whole number"),
        ({"seeds": True}, "seeds must be a number of seeds or"),
        ({"seeds": []}, "seeds must be a number of seeds or"),
        ({"seeds": [1, -2]}, "whole numbers >= 0"),
        ({"seeds": [1, 2.5]}, "whole numbers >= 0"),
        ({"seeds": (x for x in (1, 2.5))}, "whole numbers >= 0"),
        ({"seeds": "12"}, "whole numbers >= 0"),
        ({"seeds": [[1], [2]]}, "whole numbers >= 0"),
        ({"seeds": [4, 1, 4]}, "seeds must differ"),
        ({"neurons": 0}, "neurons must be a whole number"),
        ({"init": "blind"}, "needs subspace"),
        ({"time": -1}, "time must be a positive"),
        ({"checkpoint": "/nowhere/at/all.npz"}, "its folder does not exist"),
    ],
)
def test_bad_arguments_get_one_line(changes, message):
    arguments = {"method": "sgd", "target": "z1 + z1*z2", "activation": SHIFTED, "time": 0.1, "seeds": 2} | changes
    with pytest.raises(InputError, match=message) as caught:
        ensemble(**arguments)
    assert "\n" not in str(caught.value)
