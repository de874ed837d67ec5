"""The command line: what it prints, what it refuses, and with which exit status."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from meanfield_sgd import decide
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
    (["strategy"], "TARGET"),
    (["strategy", "z1 + ("], "column"),
    (["strategy", "z1 + z1*z3"], "2 of the 3 directions"),
    (["strategy", "z1", "--time", "-1"], "time"),
    (["strategy", "z1", "--copies", "0"], "copies"),
    (["strategy", "z1", "--activation", "tan(y)"], "did you mean tanh"),
    (["one-step"], "SIGMA"),
    (["one-step", "tan(y)"], "did you mean tanh"),
    (["one-step", "relu", "--alpha", "2"], "alpha"),
    (["one-step", "relu", "--labels", "foo"], "labels"),
    (["one-step", "relu", "--labels", "z1 + ("], "column"),
    (["one-step", "relu", "--degrees", "1,x"], "--degrees"),
    (["one-step", "relu", "--neurons", "0"], "neurons"),
    (["one-step", "relu", "--ridge", "-1"], "ridge"),
    (["decide"], "TARGET"),
    (["decide", "z1", "--file", "targets.txt"], "one of the two"),
    (["decide", ""], "empty"),
    (["decide", "7"], "constant"),
    (["decide", "z1.real"], "attributes"),
    (["decide", "1.5.2*z1"], "column"),
    (["decide", "__import__('os').system('true')"], "quoted text"),
    (["decide", "z1**(10**9)"], "degree"),
    (["decide", "z1", "--activation", "tan(y)"], "did you mean tanh"),
    (["decide", "z1", "--activation", ""], "empty"),
    (["decide", "z1", "--order", "0"], "--order"),
    (["decide", "z1", "--order", "201"], "--order"),
    (["decide", "z1", "--order", "high"], "--order"),
    (["decide", "z1", "--subspace", "z2"], "z2"),
    (["decide", "z1", "--subspace", ","], "--subspace"),
    (["decide", "z1", "--subspace", "z1*z1"], "linear"),
    (["decide", "z1", "--start-line", "2"], "--start-line"),
    (["decide", "--file", "targets.txt", "--start-line", "0"], "--start-line"),
    (["decide", "--file", "no/such/file.txt"], "cannot read no/such/file.txt"),
    (["decide", "--file", "null\0byte"], "cannot read"),
    (["decide", "--file", os.curdir], "cannot read"),
    (["decide", "--file", os.devnull, "--activation", "tan(y)"], "did you mean tanh"),
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
    for argv in (["--help"], ["decide", "--help"], ["simulate", "--help"]):
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


# ---- decide ----


def test_strategy_prints_rate_levels_and_what_is_wrong(capsys):
    from meanfield_sgd.simulate import strategy

    made = strategy("z1 + z1*z2", "sin(y+1)", 1)
    assert main(["strategy", "z1 + z1*z2", "--activation", "sin(y+1)"]) == 0
    out = capsys.readouterr().out
    assert f"{made.rate:.4g} guaranteed" in out and f"{made.readout.rate:.4g} for this target" in out
    assert f"at time {made.time_to(1e-6):.4g}" in out and "nothing wrong" in out
    assert main(["strategy", "z1 + z1*z2*z3", "--activation", "sin(y+1)", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [sign["name"] for sign in record["signatures"]] == ["reflective"]
    assert record["lambda_min"] == "0" and record["floor"] >= 0.5 and record["time_to"]["1e-06"] is None


@pytest.mark.parametrize(("activation", "name"), [("relu", "kink"), ("exp(y)", "runaway")])
def test_strategy_says_why_there_is_none(activation, name, capsys):
    assert main(["strategy", "z1 + z1*z2", "--activation", activation, "--time", "2"]) == 0
    assert capsys.readouterr().out.startswith(f"{name}: ")


def test_decide_prints_the_verdict(capsys):
    assert main(["decide", "z1 + z1*z2*z3", "--activation", "tanh"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{decide('z1 + z1*z2*z3', 'tanh')}\n" and err == ""
    assert "TRAPPED" in out and "span{z2, z3}" in out


def test_decide_and_simulate_have_the_same_default_activation(capsys):
    assert main(["decide", "z1 + z1*z2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["activation"] == decide("z1", "tanh(y+1/2)").activation
    assert main(["simulate", "z1", "--time", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["activation"] == decide("z1", "tanh(y+1/2)").activation


@pytest.mark.parametrize("certificate", [False, True])
def test_decide_json_is_the_dict_of_the_verdict(certificate, capsys):
    argv = ["decide", "z1 + sqrt(2)*z1*z2", "--activation", "gelu", "--order", "5", "--json"]
    assert main(argv + ["--certificate"] * certificate) == 0
    out, err = capsys.readouterr()
    assert out == decide("z1 + sqrt(2)*z1*z2", "gelu", order=5).to_json(indent=2, certificate=certificate) + "\n"
    assert err == ""


def test_decide_without_json_has_no_certificate(capsys):
    assert main(["decide", "z1", "--certificate"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{decide('z1', 'tanh(y+1/2)')}\n" and "--certificate is ignored" in err


def test_decide_takes_targets_that_begin_with_a_minus(capsys):
    assert main(["decide", "-z1 + 2*z1*z2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target"] == "-z1 + 2*z1*z2"


def test_decide_answers_for_a_given_subspace(capsys):
    argv = ["decide", "z1 + z1*z2*z3", "--activation", "tanh"]
    assert main([*argv, "--subspace", "z2, z3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["is_reflective"]
    assert found == {"subspace": ["z2", "z3"], "reflective": True, "witness": None}
    assert main([*argv, "--subspace", "z1 - z3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["is_reflective"]
    answer = decide.is_reflective("z1 + z1*z2*z3", ["z1 - z3"], "tanh")
    assert found["reflective"] is False and found["subspace"] == ["z1 - z3"]
    assert found["witness"]["u"] == str(answer.witness.u) and found["witness"]["v"] == list(map(str, answer.witness.v))
    np.testing.assert_allclose(found["witness"]["value"], answer.witness.value, rtol=1e-12, atol=1e-15)
    assert main([*argv, "--subspace", "z2,z3"]) == 0
    assert capsys.readouterr().out.endswith("\nspan{z2, z3} is reflective\n")
    assert main([*argv, "--subspace", "z1"]) == 0
    assert "\nspan{z1} is not reflective: G(u, v) = (" in capsys.readouterr().out


LINES = "z1 + z1*z2\n\n  # a comment\nz1.real\n7\n\t-z1 + z1*z2*z3 \r\nz1*z2"


def test_a_file_gives_one_line_of_json_a_target(tmp_path, capsys):
    path = tmp_path / "targets.txt"
    path.write_bytes(b"\xef\xbb\xbf" + LINES.encode())
    assert main(["decide", "--file", str(path), "--activation", "tanh"]) == 2  # some lines are bad
    out, err = capsys.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert err == "" and [r["line"] for r in records] == [1, 4, 5, 6, 7]
    for at, text in ((0, "z1 + z1*z2"), (3, "-z1 + z1*z2*z3"), (4, "z1*z2")):
        assert next(iter(records[at])) == "line"
        assert records[at] == {"line": records[at]["line"], **decide(text, "tanh").to_dict()}
    assert "attributes" in records[1]["error"] and "constant" in records[2]["error"]
    assert [records[at]["target"] for at in (1, 2)] == ["z1.real", "7"]
    assert all(set(records[at]) == {"line", "target", "error"} for at in (1, 2))
    for start, status in ((5, 2), (6, 0), (8, 0)):
        assert main(["decide", "--file", str(path), "--activation", "tanh", "--start-line", str(start)]) == status
        again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert again == [r for r in records if r["line"] >= start]


def test_a_subspace_that_does_not_fit_a_line_is_the_error_of_that_line(tmp_path, capsys):
    path = tmp_path / "targets.txt"
    path.write_text("z1\nz1 + z1*z2\n")
    assert main(["decide", "--file", str(path), "--subspace", "z2", "--certificate"]) == 2
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert "z2" in first["error"] and second["is_reflective"]["reflective"] is False and "certificate" in second


def test_targets_from_standard_input(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"z1\nz1*z2\n")))
    assert main(["decide", "--file", "-"]) == 0
    assert [json.loads(line)["line"] for line in capsys.readouterr().out.splitlines()] == [1, 2]
    monkeypatch.setattr("sys.stdin", None)
    assert main(["decide", "--file", "-"]) == 2
    assert "standard input" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"z1\n\xff\xfez2\n", "line 2 is not UTF-8"), (b"z1\n" + b"+" * 1_000_001, "line 2 has more than")],
    ids=["latin", "one long line"],
)
def test_files_that_hold_no_targets_are_refused_before_the_work(content, words, tmp_path, capsys):
    path = tmp_path / "targets.txt"
    path.write_bytes(content)
    assert main(["decide", "--file", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and words in err


def test_decide_loads_neither_numpy_nor_torch():
    """Nor does the command line itself, before it knows which command it is to run."""
    code = "import sys, meanfield_sgd.cli as cli; heavy = {'numpy', 'torch', 'sympy'} & set(sys.modules)\n"
    code += "assert not heavy, heavy\n"
    code += "status = cli.main(['decide', 'z1 + z1*z2', '--subspace', 'z2', '--json', '--certificate'])\n"
    code += "heavy = {'numpy', 'torch', 'scipy', 'matplotlib'} & set(sys.modules); assert not heavy, heavy\n"
    done = subprocess.run([sys.executable, "-c", code + "sys.exit(status)"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and json.loads(done.stdout)["verdict"] == "learnable"


# Ten variables in a chain: the search of 200 Taylor coefficients takes minutes, and says what it is doing.
LARGE = "z1 + " + " + ".join(f"He3(z{i})*z{i + 1}" for i in range(1, 10))


def test_ctrl_c_in_a_file_loses_nothing(tmp_path):
    path = tmp_path / "targets.txt"
    path.write_text("z1\nz1 + z1*z2\nz1.real\n" + f"{LARGE}\n" * 20 + "z1*z2\n")
    argv = [sys.executable, "-m", "meanfield_sgd.cli", "decide", "--file", str(path), "--order", "200"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [process.stdout.readline() for _ in range(3)]  # flushed one by one: they come while the fourth is at work
    _wait_for_taylor(process.stderr)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "" and "Traceback" not in err
    assert [json.loads(line)["line"] for line in lines] == [1, 2, 3]
    assert "interrupted in line 4 after 3 targets; go on with --start-line 4" in err
    done = subprocess.run([*argv, "--start-line", "24"], capture_output=True, text=True)
    assert done.returncode == 0 and json.loads(done.stdout)["line"] == 24


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_ctrl_c_prints_the_verdict_so_far(options):
    argv = [sys.executable, "-m", "meanfield_sgd.cli", "decide", LARGE, "--order", "200", *options]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen = _wait_for_taylor(process.stderr, 6)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err
    if options:
        verdict = json.loads(out)
        assert verdict["taylor"]["searched"] >= seen - 1 and verdict["note"] == "interrupted"
    else:
        assert "interrupted" in out and "reached U*" in out


def _wait_for_taylor(stream, order=1):
    """Until the search has reached an order, as its progress (a line a second) says; returns the order."""
    for line in stream:
        found = re.search(r"Taylor coefficient (\d+) ", line)
        if found and int(found[1]) >= order:
            return int(found[1])
    raise AssertionError("the process ended before its search came that far")


def test_quiet_is_quiet_and_large_targets_report(capsys):
    argv = ["decide", LARGE, "--order", "1"]
    assert main(argv) == 0
    assert capsys.readouterr().err.startswith("decide: support of ")
    assert main([*argv, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_gets_one_line_and_status_1():
    for argv in (["z1"], ["--file", "-"]):
        argv = [sys.executable, "-m", "meanfield_sgd.cli", "decide", *argv]
        with open("/dev/full", "w") as full:
            done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, input="z1\n", text=True)
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "cannot read or write" in done.stderr


# ---- one-step --------------------------------------------------------------------------------------------------------


def test_one_step_prints_every_model(capsys):
    assert main(["one-step", "relu", "--dimension", "60", "--degrees", "1,3", "--runs", "3"]) == 0
    out = capsys.readouterr().out
    assert "n = 60, m = 60, k = 60" in out
    for model in ("network", "Hermite model, degree 1", "Hermite model, degree 3", "predicted"):
        assert model in out


def test_one_step_gives_the_numbers_of_the_library(capsys):
    from meanfield_sgd import neighbours

    arguments = ["--isotropic", "--labels", "z1 + z1*z2", "--dimension", "40", "--runs", "2", "--json", "--quiet"]
    assert main(["one-step", "tanh(y+1/2)", *arguments, "--alpha", "1", "--beta", "0.8"]) == 0
    record = json.loads(capsys.readouterr().out)
    mixture = neighbours.GaussianMixture.isotropic(40, rate=40**0.8)
    made = neighbours.one_step(
        "tanh(y+1/2)", mixture, neurons=40, samples=40, ridge=0.1 / 40, labels="z1 + z1*z2", seeds=2
    )
    assert record["network"]["test"] == pytest.approx(made.network.test.tolist())
    assert record["predicted"]["train"] == pytest.approx(made.predicted.train.tolist())
    assert record["seeds"] == [0, 1]
