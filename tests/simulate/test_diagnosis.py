"""Diagnoses: every signature made on purpose, its numbers by another route; and none where nothing is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meanfield_sgd.errors import InputError
from meanfield_sgd.simulate import Diagnosis, InitialLaw, Signature, diagnose, meanfield, population, strategy

SHIFTED = "tanh(y+1/2)"
SIN = "3/5*sin(y) + 4/5*cos(y)"
CUBIC = "y + y**2/2 + y**3/6"
STAIRS = "z1 + z1*z2"
P = "z1 + z1*z2 - 2/3*He3(z1) - 1/2*z1*He2(z2)"
G1 = P + " + z3*(z2 - 1/2*He2(z1))"
R = "10/3*z1 - 5/2*z1*z2 + 5*z1*He2(z2) + 5/3*He3(z1) + 5/4*He3(z1)*z2 + 5/4*z1*He3(z2)"


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def named(diagnosis, name):
    (found,) = [s for s in diagnosis.signatures if s.name == name]
    assert isinstance(found, Signature)
    assert found.says
    assert found.mend
    assert f"{name}: " in str(diagnosis)
    assert found.mend in str(diagnosis)
    return found


@pytest.mark.parametrize(
    ("target", "activation", "time", "options"),
    [
        (STAIRS, SHIFTED, 2.0, {}),
        (STAIRS, "softplus", 1.5, {"feedback": True}),
        (STAIRS, SIN, 2.0, {}),
        (STAIRS, SIN, 2.0, {"neurons": 50}),
        ("(3*z1+4*z2)/5 + (3*z1+4*z2)*(-4*z1+3*z2)/25", SIN, 2.0, {}),
        ("z1 + z2**2 + z1*z2", "logistic(y+1)", 6.0, {}),
        ("z1 - z1**2", "gelu", 1.0, {}),
        ("z1", "tanh", 1.0, {}),
        ("z1 + 1", "tanh", 1.0, {"schedule_a": lambda t: 1 / (1 + t)}),
        (P, CUBIC, 0.5, {}),
        ("3", SIN, 1.0, {}),
    ],
)
def test_health(target, activation, time, options):
    found = diagnose(target, activation, time, **options)
    assert found.names == ()
    assert not found
    assert "nothing wrong" in str(found)
    assert "nothing wrong" in repr(found)


def test_kink():
    found = diagnose(STAIRS, "relu")
    assert found.names == ("kink",)
    assert "relu(y + 1/2)" in named(found, "kink").mend


def test_runaway():
    found = diagnose(STAIRS, "exp", 10.0)
    assert found.names == ("runaway",)
    assert 0 < named(found, "runaway").evidence["time"] < 10
    assert diagnose(STAIRS, "exp", 0.3).names != ("runaway",)


@pytest.mark.parametrize(("target", "activation"), [("z1*z2", SIN), ("z1**2", SIN), (STAIRS, "cos"), (STAIRS, "y**2")])
def test_no_drift(target, activation):
    found = diagnose(target, activation)
    assert found.names[0] == "no drift"
    made = strategy(target, activation)
    assert made.floor > 0.4
    assert made.rate == 0


@pytest.mark.parametrize(
    ("target", "floor", "reached"), [("z1 + z1*z2*z3", 0.5, 1), ("z1 + z2 + z1*z2", 0.25, 1), ("z1 + He2(z2)", 1.0, 1)]
)
def test_reflective(target, floor, reached):
    found = diagnose(target, SIN, 0.5)
    assert found.names[0] == "reflective"
    evidence = named(found, "reflective").evidence
    assert evidence["reached"] == reached
    # z1 + z2 + z1 z2 = sqrt 2 y1 + (y1^2 - y2^2)/2: He2(y2)/2 is out of reach, of energy 1/2 * 2/4
    assert evidence["floor"] == pytest.approx(floor)
    assert strategy(target, SIN, 0.5).floor == pytest.approx(floor, abs=1e-6)


@pytest.mark.parametrize(
    ("target", "activation"), [(STAIRS, "tanh"), (STAIRS, "logistic"), ("z1 + He2(z1)*z2", "softplus"), (STAIRS, "sin")]
)
def test_parity(target, activation):
    found = diagnose(target, activation, 0.5)
    assert found.names[0] == "parity"
    assert named(found, "parity").evidence["reached"] == 1
    assert "tanh(y + 1/2)" in named(found, "parity").mend
    assert strategy(target, activation, 0.5).rate == 0


def test_taylor_condition():
    found = diagnose(G1, CUBIC, 0.5)
    assert found.names[0] == "Taylor condition"
    signature = named(found, "Taylor condition")
    assert signature.evidence["dimension"] == 2
    assert signature.evidence["proof"]
    assert "feedback=True" in signature.mend
    # z3 (z2 - He2(z1)/2) has energy 1 + 1/2, of which nothing is learned
    assert strategy(G1, CUBIC, 0.5).floor == pytest.approx(0.75, abs=1e-9)
    assert "Taylor condition" not in diagnose(G1, CUBIC, 0.5, feedback=True, copies=1).names
    assert diagnose(G1, SIN, 0.5).names in ((), ("conditioning",))


@pytest.mark.parametrize(("target", "activation", "time", "count"), [(P, CUBIC, 0.5, 3), (R, SIN, 0.05, 6)])
def test_algebraic_dependence(target, activation, time, count):
    found = diagnose(target, activation, time, copies=1)
    assert found.names == ("algebraic dependence",)
    signature = named(found, "algebraic dependence")
    assert len(signature.evidence["relations"]) == count
    if target == P:
        assert signature.evidence["proved"] is True
        assert "proved at all orders" in signature.says
    assert "average 2 independent copies" in signature.mend
    assert "algebraic dependence" not in diagnose(target, activation, time).names


def test_lost_digits_are_no_proof_of_dependence():
    # Theorem C: the true flow of one copy is not degenerate here; 15 digits do not see it, and may not say so
    found = diagnose("z1 - z1**2*z3 + z1*z2*z3", "erf(y+1/3)", 1.0, copies=1, feedback=True)
    for signature in found.signatures:
        assert signature.evidence.get("proved") is not True
        if signature.name == "algebraic dependence":
            assert "not proved" in signature.says


def test_digits_resolve_what_is_not_dependent():
    # 12 / 18: tiny, and to 40 digits plainly positive
    assert diagnose("z1 + z1*z2 + He3(z2)/6", SIN, 0.5, copies=1).names == ("conditioning",)


def test_few_points_in_the_law_of_a():
    found = diagnose(STAIRS, SIN, 2.0, copies=1, law=InitialLaw.points([-1, 1]))
    assert found.names == ("algebraic dependence",)
    assert named(found, "algebraic dependence").evidence["proved"] is not True


def test_too_few_neurons():
    found = diagnose(STAIRS, SIN, 2.0, neurons=5)
    assert found.names == ("too few neurons",)
    assert named(found, "too few neurons").evidence == {"neurons": 5, "monomials": 6}
    assert "too few neurons" not in diagnose(STAIRS, SIN, 2.0, neurons=6).names


def test_degree():
    found = diagnose("z1 + z1*z2 + 2/3*He3(z2)", SIN, 1.5, degree=2)
    assert "degree" in found.names
    assert named(found, "degree").evidence["floor"] == pytest.approx(0.5 * 6 * 4 / 9)
    assert "degree=3" in named(found, "degree").mend


def test_conditioning():
    found = diagnose(STAIRS, SIN, 2.0**-4)
    assert found.names == ("conditioning",)
    evidence = named(found, "conditioning").evidence
    made = strategy(STAIRS, SIN, 2.0**-4)
    assert evidence["condition_number"] == pytest.approx(made.kernel.eigenvalues[-1] / made.kernel.eigenvalues[0])
    assert 2 * evidence["lambda_min"] == pytest.approx(made.rate, abs=0)
    assert "more copies" in named(diagnose(STAIRS, SIN, 0.25, copies=1), "conditioning").mend


def test_noise():
    options = {"neurons": 30, "dimension": 200, "method": "sgd", "batch": 4}
    found = diagnose(STAIRS, SIN, 1.0, step=None, **options)
    assert "noise" in found.names
    evidence = named(found, "noise").evidence
    made = strategy(STAIRS, SIN, 1.0, **options)
    assert evidence["floor"] == pytest.approx(made.floor)
    assert evidence["mean_square"] == pytest.approx(np.mean(np.sum(made.weights[:, 2:] ** 2, axis=1)))
    assert made.loss(1e12) > 0.01


@pytest.mark.parametrize("rate", [lambda t: 1 / (1 + t) ** 2, lambda t: np.exp(-t), 0.0])
def test_learning_rate(rate):
    found = diagnose(STAIRS, SIN, 2.0, schedule_a=rate, neurons=30)
    assert found.names == ("learning rate",)
    evidence = named(found, "learning rate").evidence
    assert evidence["integral"] == pytest.approx(0 if rate == 0.0 else 1, abs=1e-6)
    made = strategy(STAIRS, SIN, 2.0, neurons=30)
    assert evidence["left"] == pytest.approx(made.loss(evidence["integral"]), rel=1e-5)


def test_step_size():
    made = strategy(STAIRS, SIN, 2.0, neurons=50)
    limit = 2 / made.kernel.eigenvalues[-1]
    assert made.diagnose(step=0.99 * limit).names == ()
    found = made.diagnose(step=1.01 * limit)
    assert found.names == ("step size",)
    assert named(found, "step size").evidence["product"] == pytest.approx(2.02)


def test_not_the_flow():
    made = strategy(STAIRS, SIN, 2.0, neurons=30)
    run = made.train(3.0, times=np.linspace(0, 3, 7))
    assert made.diagnose().names == made.diagnose(run).names == ()
    sgd = made.train(3.0, method="sgd", step=0.02, batch=128, times=np.linspace(0, 3, 7))
    assert made.diagnose(sgd).names == ()
    start = {"a": np.zeros(30), "w": made.weights}
    other = population(STAIRS, SIN, 3.0, dimension=2, initial_state=start, train="a", times=np.linspace(0, 3, 7))
    found = made.diagnose(other)
    assert found.names == ("not the flow",)
    evidence = named(found, "not the flow").evidence
    assert np.max(np.abs(other.losses - made.loss(other.times))) == pytest.approx(evidence["off"], abs=1e-3)
    fast = made.train(3.0, schedule_a=4.0, times=np.linspace(0, 3, 7))
    assert made.diagnose(fast).names == ("not the flow",)


def test_the_limit_held_against_its_simulation():
    made = strategy(STAIRS, SIN, 2.0)
    assert made.diagnose(made.train(3.0, method="meanfield")).names == ()
    other = meanfield(STAIRS, SIN, 3.0)
    assert "not the flow" in diagnose(STAIRS, SIN, 2.0, run=other).names


def test_several_at_once():
    found = diagnose("z1 + z1*z2*z3", SIN, 0.5, degree=2, schedule_a=lambda t: np.exp(-t))
    assert found.names == ("reflective", "degree", "learning rate")
    assert len(str(found).splitlines()) == 3
    assert repr(found) == "<Diagnosis: reflective, degree, learning rate>"
    assert isinstance(found, Diagnosis)
    assert found


def test_what_a_smooth_series_does_not_show():
    # relu(y + 1/2) is linear near 0, so that the formal curve stays on a line; the curve itself does not
    target = "2*z2 + 4*z1*z2"
    made = strategy(target, "relu(y+1/2)", 1.0, copies=1)
    assert made.floor == 0
    assert made.kernel.nondegenerate
    found = made.diagnose()
    assert "Taylor condition" not in found.names


def test_zero():
    assert strategy("0*z1", SIN, 1.0).diagnose().names == ()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [((3j, SIN), {}), ((STAIRS, 3), {}), ((STAIRS, SIN, -1.0), {}), ((STAIRS, SIN), {"copies": 0}),
     ((STAIRS, SIN), {"step": "small"}), ((STAIRS, SIN), {"step": -1.0}), ((STAIRS, SIN), {"run": "run"})],
)  # fmt: skip
def test_refusals(arguments, options):
    with pytest.raises(InputError):
        diagnose(*arguments, **options)
