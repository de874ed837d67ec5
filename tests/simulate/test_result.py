"""Trajectories, their JSON, their distance; checkpoints that are whole or absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from meanfield_sgd.errors import InputError
from meanfield_sgd.simulate import Interrupted, Trajectory
from meanfield_sgd.simulate.result import load_checkpoint, save_checkpoint


def example(times=(0.0, 1.0, 2.0), **more) -> Trajectory:
    times = np.array(times)
    keywords = {
        "method": "population",
        "times": times,
        "losses": np.exp(-times),
        "overlaps": times / 3,
        "final_state": {"a": np.array([0.1, -1 / 3]), "w": np.array([[1.0, 2], [np.pi, 0]]), "mass": np.full(2, 0.5)},
        "error": 1e-7,
        "settings": {"target": "z1 + z1*z2", "activation": "tanh(y+1/2)", "neurons": 2, "dimension": 5},
        "info": {"orders": 24, "spread": np.array([0.5, 0.25]), "defect": np.float64(1e-9)},
    }
    return Trajectory(**(keywords | more))


def test_json_keeps_every_bit():
    run = example(losses=np.array([1 / 3, np.nextafter(0.1, 1), 1e-300]))
    again = Trajectory.from_json(run.to_json(state=True))
    for name in ("times", "losses", "overlaps"):
        assert np.array_equal(getattr(run, name), getattr(again, name))
    assert again.final_state.keys() == run.final_state.keys()
    assert all(np.array_equal(run.final_state[name], again.final_state[name]) for name in run.final_state)
    assert (again.method, again.error, again.settings) == (run.method, run.error, run.settings)
    assert again.info == {"orders": 24, "spread": [0.5, 0.25], "defect": 1e-9}


def test_json_is_plottable_and_strict():
    record = json.loads(example(info={"x": float("nan"), "y": np.inf}, overlaps=None).to_json())
    assert record["times"] == [0.0, 1.0, 2.0]
    assert len(record["loss"]) == 3
    assert "overlap" not in record
    assert "final_state" not in record
    assert record["info"] == {"x": None, "y": None}


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", '{"format": 99}', '{"format": 1, "method": "sgd"}', "null"])
def test_what_is_not_a_trajectory_is_refused(text):
    with pytest.raises(InputError) as caught:
        Trajectory.from_json(text)
    assert "\n" not in str(caught.value)


def test_columns_of_a_table_are_copies():
    run = example()
    columns = run.to_dict()
    assert list(columns) == ["times", "loss", "overlap"]
    columns["loss"][0] = 7.0
    assert run.losses[0] == 1.0


def test_repr_fits_a_line():
    text = repr(example(settings={"target": "z1 + " * 100 + "z1", "activation": "tanh", "neurons": 10, "dimension": 3}))
    assert "\n" not in text
    assert len(text) < 160
    assert "N=10" in text
    assert "error 1.0e-07" in text
    assert "empty" in repr(example(times=(), losses=(), overlaps=None))


def test_columns_of_different_length_are_refused():
    with pytest.raises(InputError, match="losses has shape"):
        example(losses=np.zeros(5))


def test_distance_at_common_times_is_exact():
    one, other = example(), example(losses=np.exp(-np.array([0.0, 1.0, 2.0])) + [0.0, -0.25, 0.125])
    assert one.distance(other) == 0.25
    assert other.distance(one) == 0.25
    assert one.distance(one) == 0.0


def test_distance_interpolates_smooth_curves():
    fine = example(times=np.linspace(0, 2, 201), overlaps=None)
    coarse = example(times=np.linspace(0, 3, 61), overlaps=None)  # its last third is outside the common interval
    assert 0 < fine.distance(coarse) < 1e-4
    assert fine.distance(coarse) == coarse.distance(fine)


def test_distance_of_disjoint_runs_is_refused():
    with pytest.raises(InputError, match="share no time"):
        example(times=(0.0, 0.5, 1.0)).distance(example(times=(1.5, 2.0, 2.5)))
    with pytest.raises(InputError, match="another Trajectory"):
        example().distance(3.0)


def test_interrupted_is_a_keyboard_interrupt_with_the_run_so_far():
    run = example()
    with pytest.raises(KeyboardInterrupt) as caught:
        raise Interrupted("stopped", run, "run.npz")
    assert caught.value.trajectory is run
    assert caught.value.checkpoint == "run.npz"


def test_checkpoint_round_trip(tmp_path):
    path = tmp_path / "run"  # no suffix is added
    arrays = {"y": np.array([1 / 3, -0.0, 5e-324]), "empty": np.array([])}
    record = {"t": 0.1, "state": 2**127 + 1, "none": None, "text": "é"}
    save_checkpoint(path, arrays, record)
    save_checkpoint(path, arrays, record)  # over an old one
    found, text = load_checkpoint(path)
    assert text == record
    assert all(found[name].tobytes() == arrays[name].tobytes() for name in arrays)
    assert os.listdir(tmp_path) == ["run"]


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "run.npz"
    save_checkpoint(path, {"y": np.ones(3)}, {"t": 1.0})

    class Unwritable:
        def __array__(self, *arguments, **keywords):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {"y": Unwritable()}, {"t": 2.0})
    assert load_checkpoint(path)[1] == {"t": 1.0}
    assert os.listdir(tmp_path) == ["run.npz"]


def test_checkpoints_never_run_code(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, record=np.array([{"pickled": print}], dtype=object))
    with pytest.raises(InputError, match="not a checkpoint"):
        load_checkpoint(path)
    path.write_text("hello")
    with pytest.raises(InputError, match="not a checkpoint"):
        load_checkpoint(path)
    with pytest.raises(InputError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "absent.npz")
    with pytest.raises(InputError, match="cannot write"):
        save_checkpoint(tmp_path / "no" / "folder.npz", {}, {})


def test_importing_the_wing_loads_no_torch_and_functions_stay_functions():
    code = (
        "import sys, meanfield_sgd.simulate as s; s.Trajectory; s.sgd; s.population\n"
        "assert 'torch' not in sys.modules\n"
        "import meanfield_sgd.simulate.sgd, meanfield_sgd.simulate.population\n"
        "assert callable(s.sgd) and callable(s.population), 'a submodule took the place of its function'\n"
        "assert 'sgd' in dir(s)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
