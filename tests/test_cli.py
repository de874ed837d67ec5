"""The command line: what it prints, what it refuses, and with which exit status."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from meanfield_sgd.cli import main
from meanfield_sgd.simulate import meanfield

BAD = [
    (["simulate", "__import__('os').system('true')"], "quoted text"),
    (["simulate", "z1.real"], "attributes"),
    (["simulate", "open(z1)"], "cannot be called"),
    (["simulate", "z1**(10**9)"], "degree"),
    (["simulate", "(" * 5000 + "z1" + ")" * 5000], "nest"),
    (["simulate", "z1+" * 3_000_000 + "z1"], "characters"),
    (["simulate", "1/z1"], "not a polynomial"),
    (["simulate", "sin(z1)"], "not a polynomial"),
    (["simulate", "z1**-1"], "not a polynomial"),
    (["simulate", "z1**0.5"], "not a polynomial"),
    (["simulate", "nan*z1"], "finite"),
    (["simulate", "inf"], "finite"),
    (["simulate", ""], "empty"),
    (["simulate", "z1", "--activation", "tan(y)"], "did you mean tanh"),
    (["simulate", "z1", "--activation", ""], "empty"),
    (["simulate", "z1", "--activation", "__import__('os')"], "quoted text"),
    (["simulate", "z1", "--activation", "relu"], "gaussian"),
    (["simulate", "z1", "--time", "-1"], "--time"),
    (["simulate", "z1", "--time", "soon"], "--time"),
    (["simulate", "z1", "--time", "nan"], "--time"),
    (["simulate", "z1", "--points", "1"], "--points"),
    (["simulate", "z1", "--method", "magic"], "--method"),
    (["simulate", "z1", "--init", "ones"], "--init"),
    (["simulate", "z1", "--subspace", "z2"], "z2"),
    (["simulate", "z1", "--tolerance", "0"], "tolerance"),
    (["simulate", "z1 + z2", "--method", "population", "--dimension", "1"], "dimension"),
    (["simulate", "z1", "--method", "sgd", "--batch", "0"], "batch"),
    (["simulate", "z1", "--method", "sgd", "--neurons", "-5"], "neurons"),
    (["simulate", "z1", "--plot", "curve.gif"], "--plot"),
    (["simulate", "z1", "--plot", "no/such/folder/curve.png"], "--plot"),
    (["simulate"], "TARGET"),
    (["sweep-the-floor"], "simulate"),
    ([], "COMMAND"),
]


@pytest.mark.parametrize(("argv", "words"), BAD, ids=[" ".join(argv)[:40] for argv, _ in BAD])
def test_bad_input_gets_one_line_and_status_2(argv, words, capsys):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and words in err and len(err) < 400
    assert "Traceback" not in err


def test_json_holds_times_and_loss(capsys):
    assert (
        main(["simulate", "z1 + z1*z2", "--activation", "tanh(y+1/2)", "--time", "4", "--points", "9", "--json"]) == 0
    )
    record = json.loads(capsys.readouterr().out)
    run = meanfield("z1 + z1*z2", "tanh(y+1/2)", 4.0, times=np.linspace(0, 4, 9))
    np.testing.assert_allclose(record["times"], run.times)
    np.testing.assert_allclose(record["loss"], run.losses, rtol=1e-12)
    assert record["loss"][0] == pytest.approx(1.0)  # 1/2 E h*^2
    assert record["error"] <= 1e-4


@pytest.mark.parametrize("method", ["population", "sgd"])
def test_finite_networks_from_the_command_line(method, capsys):
    argv = [
        "simulate",
        "z1 + z1*z2",
        "--method",
        method,
        "--neurons",
        "40",
        "--dimension",
        "6",
        "--time",
        "1",
        "--json",
    ]
    argv += ["--subspace", "z1,z2", "--init", "gaussian", "--train", "w", "--seed", "3", "--points", "5"]
    assert main(argv) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == first["loss"]
    assert len(first["overlap"]) == 5 and first["settings"]["neurons"] == 40


def test_summary_and_plot(tmp_path, capsys):
    path = tmp_path / "curve.png"
    assert main(["simulate", "z1", "--activation", "tanh", "--time", "2", "--plot", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "loss" in out and str(path) in err
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000


def test_one_line_serves_all_methods(capsys):
    assert main(["simulate", "z1", "--time", "1", "--neurons", "7", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["method"] == "meanfield" and "--neurons is ignored" in err


def test_what_cannot_be_finished_has_status_1(capsys):
    argv = ["simulate", "1000*z1 + 1000*z1*z2", "--tolerance", "1e-3"]
    assert main(argv) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "scale the target down" in err


def test_targets_may_begin_with_a_minus(capsys):
    assert main(["simulate", "-z1", "--time", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"][0] == pytest.approx(0.5)


def test_too_large_networks_get_one_line(capsys):
    assert main(["simulate", "z1", "--method", "sgd", "--neurons", "1000000000000", "--time", "1"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "memory" in err


def test_help_reads_like_a_manual(capsys):
    for argv in (["--help"], ["simulate", "--help"]):
        assert main(argv) == 0
        text = capsys.readouterr().out
        for word in ("ACTIVATIONS", "TARGETS", "EXIT STATUS", "EXAMPLES"):
            assert word in text
    for option in (
        "--neurons",
        "--dimension",
        "--batch",
        "--seed",
        "--train",
        "--json",
        "--plot",
        "--tolerance",
        "--init",
    ):
        assert option in text


def test_ctrl_c_prints_what_was_computed(tmp_path):
    """A long SGD run, interrupted: the part that was finished comes out as JSON, status 130, and the checkpoint resumes."""
    path = tmp_path / "run.npz"
    argv = [sys.executable, "-m", "meanfield_sgd.cli", "simulate", "z1 + z1*z2", "--method", "sgd", "--time", "2000"]
    argv += [
        "--neurons",
        "32",
        "--dimension",
        "4",
        "--batch",
        "8",
        "--json",
        "--points",
        "20001",
        "--checkpoint",
        str(path),
    ]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    record = json.loads(out)
    assert 1 <= len(record["times"]) < 20001 and path.exists()
    assert "Traceback" not in err


def test_closed_pipe_is_no_error():
    code = "from meanfield_sgd.cli import main; import sys; sys.exit(main(['--help']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert "Traceback" not in done.stderr
