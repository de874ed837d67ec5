"""The verdict as users get it: JSON, labels, interruption, printing, imports."""

import copy
import json
import math
import pickle
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

import meanfield_sgd as mf
from meanfield_sgd import Activation, InputError, Polynomial
from meanfield_sgd._exact import Refusal, Surd
from meanfield_sgd.decide import Interrupted, decide
from meanfield_sgd.decide._linear import ExactSpan
from meanfield_sgd.decide._search import Search

G1 = "z1 + z1*z2 - 2/3*He3(z1) - 1/2*z1*He2(z2) + z3*(z2 - 1/2*He2(z1))"
CUBIC = "y + y**2/2 + y**3/6"
G2 = "-20/3*z1 - 10*z1*z2 + 5*z1*z2**2 + 5/3*z1**3 + 5/4*(z1**3*z2 + z1*z2**3) + 5/2*z2*z3 + 10/3*z3 - 5/3*(z1**2 + z2**2)*z3"
WAVE = "3/5*sin(y) + 4/5*cos(y)"
TRAP_E = "-4*z1 - 8*z1*z2 + z1**3 + 3*z1*z2**2 + z1**3*z2 + z1*z2**3 + 2*z3 - (z1**2 + z2**2)*z3 + 2*z2*z3"

EXAMPLE = {
    "target": "z1 + z1*z2*z3",
    "variables": ["z1", "z2", "z3"],
    "degree": 3,
    "activation": "tanh",
    "arithmetic": "exact",
    "support": {"dimension": 3, "basis": [["1", "0", "0"], ["0", "1", "0"], ["0", "0", "1"]]},
    "reached": {"dimension": 1, "basis": [["1", "0", "0"]], "chain": [1]},
    "reflective": {"dimension": 2, "basis": [["0", "1", "0"], ["0", "0", "1"]], "loss_floor": "1/2"},
    "invariant": {"dimension": 2, "basis": [["0", "1", "0"], ["0", "0", "1"]], "loss_floor": "1/2"},
    "taylor": {"dimension": 1, "order": 1, "searched": 13},
    "expressivity_floor": "0",
    "isotropic_leap_at_most_one": False,
    "verdict": "trapped",
}


def test_json():
    verdict = decide("z1 + z1*z2*z3", "tanh")
    assert verdict.to_dict() == EXAMPLE and list(verdict.to_dict()) == list(EXAMPLE)
    assert json.loads(verdict.to_json()) == EXAMPLE and "\n" in verdict.to_json(indent=2)
    full = verdict.to_dict(certificate=True)
    step = {"order": 1, "arguments": [], "value": ["1", "0", "0"], "direction": ["1", "0", "0"], "level": 1}
    assert full.pop("certificate") == {
        "reached": [step],
        "usable": [step],
        "taylor": {"proof": "bound", "equations": []},
    }
    assert full == EXAMPLE
    assert mf.decide("z1 + z1*z2*z3", "tanh").to_dict() == EXAMPLE  # the module may be called
    assert decide(Polynomial("z1 + z1*z2*z3"), Activation("tanh")).to_dict() == EXAMPLE
    assert decide({(1, 0, 0): 1, (1, 1, 1): Fraction(1)}, "tanh").to_dict() == EXAMPLE
    assert decide("z1").activation == "tanh(y + 1/2)"  # the default, as on the command line


@pytest.mark.parametrize(
    "text, activation, verdict, reflective, invariant, taylor",
    [
        ("z1 + z1*z2*z3", "tanh", "trapped", 2, 2, 1),
        ("z1 + z1*z2*z3", "tanh(y + 1/2)", "trapped", 2, 2, 1),
        (G1, CUBIC, "gap", 0, 0, 2),
        (G2, WAVE, "gap", 0, 0, 2),
        (TRAP_E, "sin(y) + cos(y)", "gap", 0, 0, 2),
        (G1, WAVE, "learnable", 0, 0, 3),
        *[("z1 + z1*z2", a, "trapped", 0, 1, 1) for a in ("tanh", "logistic", "erf", "sin")],
        *[("z1 + He2(z1)*z2", a, "trapped", 0, 1, 1) for a in ("softplus", "gelu", "silu")],
        ("z1 + He2(z1)*z2", "relu", "trapped", 0, 1, None),
        *[("z1 + z1*z2", a, "learnable", 0, 0, 2) for a in ("softplus", "gelu", "silu", "tanh(y + 1/2)", "exp", WAVE)],
        *[("z1 + He2(z1)*z2", a, "learnable", 0, 0, 2) for a in ("tanh", "logistic", "erf", "tanh(y + 1/2)")],
        ("z1 + z1*z2", "relu", "undecided", 0, 0, None),
        ("z1 + z1*z2", "elu", "undecided", 0, 0, None),
        ("z1 + z1*z2", "cos", "trapped", 0, 2, 0),
        ("z1 + z1*z2", "y", "trapped", 1, 1, 1),
        ("z1 + z1*z2", "y**2", "trapped", 0, 2, 0),
        ("z1 + z1*z2", "3", "trapped", 2, 2, 0),
        ("z1 + z1*z2", "y + y**2", "learnable", 0, 0, 2),
        ("z1", "y", "learnable", 0, 0, 1),
        ("z1**5", "tanh", "learnable", 0, 0, 1),
        ("He3(z1)", "tanh", "trapped", 1, 1, 0),
        ("z1 + z2 + z1*z2", "tanh(y + 1/2)", "trapped", 1, 1, 1),
        ("z1 + z1*z2", "abs", "trapped", 0, 2, None),
        ("z1 + z1*z2", "cos + tanh", "learnable", 0, 0, 2),
        ("(z1 + z2)**3 + 0*z3", "tanh", "learnable", 0, 0, 1),
    ],
)
def test_verdicts(text, activation, verdict, reflective, invariant, taylor):
    found = decide(text, activation)
    assert found.verdict == verdict
    assert (found.reflective.dimension, found.invariant.dimension) == (reflective, invariant)
    assert (found.taylor.dimension if found.taylor is not None else None) == taylor
    assert found.arithmetic == "exact" and found.margin is None and found.tolerance is None
    assert bool(found.note) == (taylor is None)
    assert found.to_dict()["verdict"] == verdict and json.loads(found.to_json())


def test_gaps_are_proved():
    for text, activation in ((G1, CUBIC), (G2, WAVE), (TRAP_E, "sin(y) + cos(y)")):
        found = decide(text, activation)
        assert found.taylor.proof == "invariant set"
        assert found.to_dict(certificate=True)["certificate"]["taylor"]["equations"] == list(found.taylor.equations)
        assert "proved at all orders" in unwrapped(found) and "GAP" in str(found)


@pytest.mark.parametrize(
    "text, activation, options, order",
    [
        ("z1 + z1*z2", "tanh(y + 1/2)", {"order": 1}, 2),
        ("z1 + He2(z1)*z2 + He2(z2)*z3", WAVE, {"order": 6}, 7),  # its note says that a coefficient leaves the span
        ("z1 + He25(z1)*z2", "tanh(y + 1/2)", {}, 26),  # p = 2: no gaps at all
        ("z1 + He25(z1)*z2", "gelu(y + 1/2)", {}, 26),
        ("z1 + He3(z1)*z2 + He3(z2)*z3 + He3(z3)*z4", "tanh(y + 1/2)", {}, 40),
        ("z1 + " + " + ".join(f"z{i}*z{i + 1}" for i in range(1, 30)), "tanh(y + 1/2)", {}, 30),
    ],
)
def test_a_search_that_ended_early_is_no_gap(text, activation, options, order):
    """With all s_j != 0 the Taylor coefficients of a chain reach everything, at order 1 + (n - 1) + ... ."""
    assert decide(text, WAVE, order=order).verdict == "learnable"
    found = decide(text, activation, progress=False, **options)
    assert found.verdict == ("undecided" if options else "learnable")
    assert found.taylor.order == order if not options else "order" in found.note


def test_relu_says_why_there_is_no_taylor_flow():
    found = decide("z1 + z1*z2", "relu")
    assert found.taylor is None and "not smooth" in found.note and found.to_dict()["taylor"] is None
    assert found.to_dict()["note"] == found.note and found.note in unwrapped(found)
    # its corner moved off 0: a line near 0, so that all coefficients after the first vanish
    moved = decide("z1 + z1*z2", "relu(y + 1/2)")
    assert moved.verdict == "gap" and moved.taylor.proof == "invariant set" and not moved.note


@pytest.mark.parametrize("activation", ["relu(y + 1/2)", "abs(y + 1)", "elu(y + 1)"])
def test_what_is_linear_near_zero_has_a_proved_gap(activation):
    """The jet at 0 sees a line; what the flow does later is beyond all orders."""
    found = decide("z1 + z1*z2", activation)
    assert found.verdict == "gap" and found.taylor.equations == ("w2",) and found.arithmetic == "exact"


def test_slope_zero_at_zero_is_stationary():
    found = decide("z1 + z1*z2", "exp(y) - y")
    assert found.verdict == "gap" and found.taylor.dimension == 0 and found.taylor.proof == "invariant set"
    assert "w = 0 is stationary" in unwrapped(found) and found.to_dict()["taylor"]["order"] is None


def test_both_traps_are_told():
    text = unwrapped(decide("z1 + z1*z2 + z1*z3*z4", "tanh"))
    assert "S = span{z3, z4}; the loss stays at or above 1/2" in text
    assert "without a bias it never sees span{z2, z3, z4}, at or above 1" in text


def test_a_gap_that_is_not_proved_is_undecided(monkeypatch):
    """Without a proof, and exact, the verdict is open; the note says how far it was looked."""
    monkeypatch.setattr("meanfield_sgd.decide.taylor.polynomial_field", lambda *arguments: None)
    found = decide(G1, CUBIC)
    assert found.verdict == "undecided" and found.taylor.proof == "" and "known up to order 39" in unwrapped(found)
    assert "no proof" in found.note and found.to_dict()["note"] == found.note
    floats = decide({k: float(c) for k, c in Polynomial(G1).terms.items()}, CUBIC)
    assert floats.verdict == "gap" and floats.arithmetic == "numeric" and "numerically" in unwrapped(floats)


@pytest.mark.parametrize("turned", [False, True])
def test_gaps_are_proved_with_square_roots_and_for_custom_polynomials(turned):
    r = "sqrt(2)/2"
    h = Polynomial(G1).rotate([[r, r, 0], [r, "-sqrt(2)/2", 0], [0, 0, 1]]) if turned else Polynomial(G1)
    parts = {"even_part": ("polynomial", 2), "odd_part": ("polynomial", 3), "polynomial_degree": 3}
    cubic = Activation.custom(lambda y: y + y**2 / 2 + y**3 / 6, name="f", jet=[0, 1, 1, 1, *[0] * 40], **parts)
    for activation in (CUBIC, cubic):
        found = decide(h, activation)
        assert found.verdict == "gap" and found.taylor.proof == "invariant set" and not found.taylor.formal


def test_a_span_that_fills_late_is_found_at_a_point_of_the_ring():
    """Order 121, far beyond what the polynomials in tanh(1/2) are followed to; full at a point is full."""
    chain = "z1 + He3(z1)*z2 + He3(z2)*z3 + He3(z3)*z4 + He3(z4)*z5"
    assert decide(chain, "exp", progress=False).taylor.order == 121
    found = decide(chain, "tanh(y + 1/2)", progress=False)
    assert found.verdict == "learnable" and found.taylor.order == 121 and "upper bound" in found.note


def test_square_roots_that_grow_too_long_are_followed_at_60_digits(monkeypatch):
    h = "sqrt(2)*z1 + sqrt(3)*z1*z2 + sqrt(5)*z1*z2*z3"
    exact_answer = decide(h, WAVE)
    assert exact_answer.arithmetic == "exact" and exact_answer.reached.verify()
    original = Search.step

    def step(self):
        if not self.numeric and self.curve.order == 3:
            raise Refusal("a number of about 1000 digits")
        return original(self)

    monkeypatch.setattr(Search, "step", step)
    found = decide(h, WAVE)
    assert found.arithmetic == "60 digits" and found.verdict == "learnable" and found.reached.arithmetic == "exact"
    assert (found.taylor.dimension, found.taylor.order) == (exact_answer.taylor.dimension, exact_answer.taylor.order)


def test_square_roots_beyond_the_closure_too(monkeypatch):
    """Where even the subspaces need numbers that are too long, everything is at 60 digits, and says so."""
    original = ExactSpan.add

    def add(self, *arguments):
        if self.dimension == 2 and any(isinstance(x, Surd) for x in arguments[0]):
            raise Refusal("a number of about 1000 digits")
        return original(self, *arguments)

    h = "sqrt(2)*z1 + sqrt(3)*z1*z2 + sqrt(5)*z1*z2*z3 + z1*z2*z3*z4"
    exact_answer = decide(h, "tanh")
    monkeypatch.setattr(ExactSpan, "add", add)
    found = decide(h, "tanh")
    assert found.arithmetic == "60 digits" and found.margin[1] < 1e-40 and "1000 digits" in found.note
    assert found.reached.chain == exact_answer.reached.chain and found.verdict == exact_answer.verdict
    assert found.invariant_floor == pytest.approx(float(exact_answer.invariant_floor), abs=1e-14)


def test_vectors_and_activations_as_people_write_them():
    assert not mf.decide.is_reflective("z1 + z1*z2*z3", [0, 1, 0]) and mf.decide.is_reflective(
        "z1 + z1*z2*z3", np.array([0, 1, 1])
    )
    with pytest.raises(InputError, match=r"Activation\.custom"):
        decide("z1", np.tanh)


def test_long_targets_are_shortened_in_print():
    h = " + ".join(f"{i}*z{1 + i % 5}*z{1 + (i * i) % 5}**{1 + i % 4}" for i in range(1, 60))
    text = str(decide(h, "tanh", progress=False))
    assert "... (about" in text and max(map(len, text.splitlines())) <= 100


def test_custom_activations():
    parts = {"polynomial_degree": None, "even_part": "non-polynomial", "odd_part": "non-polynomial"}
    found = decide("z1 + z1*z2", Activation.custom(np.tanh, name="f", jet=lambda k: Fraction(1, k + 1), **parts))
    assert found.verdict == "learnable" and found.arithmetic == "declared"
    found = decide("z1 + z1*z2 + z1*z2*z3", Activation.custom(np.tanh, name="f", jet=[0, 1, 1, 1], **parts))
    assert found.verdict == "undecided" and found.note and found.taylor.searched == 3
    found = decide("z1 + z1*z2", Activation.custom(np.tanh, name="f", **parts))
    assert found.taylor is None and found.verdict == "undecided" and found.note
    with pytest.raises(InputError, match="declare"):
        decide("z1 + z1*z2", Activation.custom(np.tanh, name="f"))


@pytest.mark.parametrize("h", ["5", "z1 - z1", "0", 7, {}, {(1,): 0.0}, {(0, 0): 2.5}])
def test_constant_targets(h):
    with pytest.raises(InputError, match="constant"):
        decide(h)


@pytest.mark.parametrize(
    "h, options",
    [
        ({(1,): float("nan")}, {}),
        ({(1,): float("inf")}, {}),
        ({(1, 0): 0.5, (1,): 1.0}, {}),
        ("z1 +", {}),
        ("z1", {"order": 0}),
        ("z1", {"order": 201}),
        ("z1", {"order": 1.5}),
        ("z1", {"basis": [[1.0, float("nan")]]}),
        ("z1 + z2", {"basis": [[1, 0], [0]]}),
        ("z1 + z2", {"basis": [[0, 0], [0, 0]]}),
        ({(1,): 0.5}, {"tolerance": 0.5}),
        ({(1,): 0.5}, {"tolerance": -1.0}),
        ({(1,): 0.5}, {"tolerance": "small"}),
        ({(1,): 0.5}, {"tolerance": float("nan")}),
    ],
)
def test_errors(h, options):
    with pytest.raises(InputError):
        decide(h, **options)


# ---- floats ----


def assert_numeric(verdict, tolerance=1e-9):
    assert verdict.arithmetic == "numeric" and verdict.tolerance == tolerance
    low, high = verdict.margin
    assert high <= tolerance < low
    for space in (verdict.support, verdict.reached, verdict.reflective, verdict.usable, verdict.invariant):
        assert space.arithmetic == "numeric"
        assert all(isinstance(x, float) for row in space.basis for x in row)
    assert all(
        isinstance(x, float) for x in (verdict.reflective_floor, verdict.invariant_floor, verdict.expressivity_floor)
    )
    found = json.loads(verdict.to_json(certificate=True))
    assert found["arithmetic"] == "numeric" and found["tolerance"] == tolerance
    assert found["margin"]["largest_dropped"] == high
    assert "exact" not in str(verdict) + verdict._repr_html_() + verdict._repr_markdown_()


def test_a_rotation_by_an_angle():
    c, s = math.cos(0.3), math.sin(0.3)
    turn = [[c, s, 0], [-s, c, 0], [0, 0, 1]]
    for basis in (turn, np.array(turn), tuple(map(tuple, turn))):
        found = decide("z1 + z1*z2*z3", "tanh", basis=basis)
        assert_numeric(found)
        assert found.verdict == "trapped" and found.reached.chain == (1,) and found.reflective.dimension == 2
        assert abs(abs(np.dot(found.reached.basis[0], [c, s, 0])) - 1) < 1e-14
        assert np.abs(np.array(found.reflective.basis) @ [c, s, 0]).max() < 1e-14
        assert found.reflective_floor == pytest.approx(0.5, rel=1e-14)
    found = decide("z1 + z1*z2", "tanh(y + 1/2)", basis=[[c, s], [-s, c]])
    assert_numeric(found)
    assert found.verdict == "learnable" and found.taylor.order == 2 and found.taylor.arithmetic == "numeric"


def test_numeric_gap_and_trap():
    """The gap families turned by an angle are still gaps, to the tolerance; and parity traps are traps."""
    c, s = math.cos(1.1), math.sin(1.1)
    basis = [[c, s, 0], [-s, c, 0], [0, 0, 1]]
    for text, activation in ((G1, CUBIC), (G2, WAVE)):
        found = decide(text, activation, basis=basis)
        assert_numeric(found)
        assert found.verdict == "gap" and found.taylor.dimension == 2 and found.taylor.proof == ""
    found = decide("z1 + z1*z2", "tanh", basis=[[c, s], [-s, c]])
    assert_numeric(found)
    assert found.verdict == "trapped" and found.reflective.dimension == 0 and found.invariant.dimension == 1


@pytest.mark.parametrize("activation", ["tanh(y + 1/2)", "tanh(y + 1/2) + sin(y + 1)", "gelu(y + 1/2)", WAVE])
def test_float_coefficients(activation):
    found = decide({(1, 0): 0.5, (1, 1): 0.25}, activation)
    assert_numeric(found)
    assert found.verdict == "learnable" and found.taylor.order == 2


def test_small_coefficients_count_down_to_the_tolerance():
    small = decide({(1, 0): 1.0, (1, 1): 1e-5}, "tanh(y + 1/2)")
    assert_numeric(small)
    assert small.verdict == "learnable" and small.margin[0] < 1e-4
    below = decide({(1, 0): 1.0, (1, 1): 1e-11}, "tanh(y + 1/2)")
    assert_numeric(below)
    assert below.support.dimension == 1 and below.margin[1] == pytest.approx(1e-11, rel=1e-3)
    finer = decide({(1, 0): 1.0, (1, 1): 1e-11}, "tanh(y + 1/2)", tolerance=1e-13)
    assert_numeric(finer, 1e-13)
    assert finer.support.dimension == 2
    for size in (1e-120, 1e120):  # the tolerance is relative
        scaled = decide({(1, 0): size, (1, 1): 1e-5 * size}, "tanh(y + 1/2)")
        assert_numeric(scaled)
        assert scaled.verdict == "learnable" and scaled.reached.chain == (1, 2)


def test_exact_numbers_stay_exact():
    found = decide("0.1*z1 + 0.25*z1*z2", "tanh(y + 1/2)")
    assert found.arithmetic == "exact" and found.to_dict()["target"] == "1/10*z1 + 1/4*z1*z2"
    r = sp.sqrt(2) / 2
    found = decide("z1 + z1*z2*z3", "tanh", basis=[[r, r, 0], [-r, r, 0], [0, 0, 1]])
    assert found.arithmetic == "exact" and found.reached.basis == ((1, 1, 0),) and found.reached.verify()
    found = decide("sqrt(2)*z1 + sqrt(3)*z1*z2", "tanh")
    assert found.arithmetic == "exact" and found.invariant_floor == Fraction(3, 2)
    assert found.to_dict()["invariant"]["loss_floor"] == "3/2" and found.verdict == "trapped"
    # z1 + z2 and z1 - z2 differ by 1e-60 only: exact arithmetic sees it, in a text and as a Fraction
    near = decide({(1, 0): 1, (0, 1): 1 + Fraction(1, 10**60), (1, 1): 1}, "tanh(y + 1/2)")
    assert near.arithmetic == "exact" and near.reached.dimension == 2
    assert decide({(1, 0): 1, (0, 1): 1, (1, 1): 1}, "tanh(y + 1/2)").reached.dimension == 1
    huge = decide("10**300*z1 + z1*z2/10**300", "tanh(y + 1/2)")
    assert huge.arithmetic == "exact" and huge.verdict == "learnable"


def test_sixty_digits():
    found = decide("z1 + z1*z2", "gelu(y + 1/2)")
    assert found.arithmetic == "60 digits" and found.verdict == "learnable" and found.reached.arithmetic == "exact"
    assert found.margin[0] > 1e-3 and found.margin[1] < 1e-40 and found.tolerance == 1e-40


# ---- interruption and progress ----


@pytest.mark.parametrize("at", [1, 3])
def test_interrupt(monkeypatch, at):
    original, calls = Search.step, []

    def step(self):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(Search, "step", step)
    with pytest.raises(Interrupted) as caught:
        decide("z1 + z1*z2 + z1*z2*z3", WAVE)
    verdict = caught.value.verdict
    assert isinstance(caught.value, KeyboardInterrupt) and "verdict" in str(caught.value)
    assert verdict.reached.dimension == 3 and verdict.reached.verify() and verdict.reflective.dimension == 0
    assert verdict.taylor.searched == at - 1 and verdict.taylor.dimension == min(at - 1, 2)
    assert verdict.verdict == "undecided" and "interrupted" in verdict.note and verdict.taylor.proof == ""
    assert json.loads(verdict.to_json())["taylor"]["searched"] == at - 1


def test_interrupt_beyond_the_usual_order_keeps_what_was_found(monkeypatch):
    """The chain of degree 4 in four dimensions needs order 40; the usual search ends at 24."""
    original = Search.step

    def step(self):
        if self.curve.order == 29:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(Search, "step", step)
    with pytest.raises(Interrupted) as caught:
        decide("z1 + He3(z1)*z2 + He3(z2)*z3 + He3(z3)*z4", "exp")
    found = caught.value.verdict.taylor
    assert (found.dimension, found.order, found.searched) == (3, 13, 29)


def test_interrupt_at_a_point_of_the_ring_answers_for_the_ring(monkeypatch):
    """While whole numbers stand in for tanh(1/2), to see how far it is: the answer is what was found before."""
    original = Search.step

    def step(self):
        if not self.jet.generators and self.curve.order == 29:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(Search, "step", step)
    with pytest.raises(Interrupted) as caught:
        decide("z1 + He3(z1)*z2 + He3(z2)*z3 + He3(z3)*z4", "tanh(y + 1/2)")
    found = caught.value.verdict
    assert (found.taylor.dimension, found.taylor.order, found.taylor.searched) == (3, 13, 24)
    assert found.verdict == "undecided" and found.note == "interrupted"


@pytest.mark.parametrize("known", [13, 20, 30])
def test_a_search_goes_no_further_than_the_jet_is_declared(known):
    """An undeclared kind of function, so nothing is proved; the usual order is 13, and it would look to 39."""
    parts = {"even_part": "non-polynomial", "odd_part": "non-polynomial"}
    jet = [0, 1, 1, 1, *[0] * (known - 3)]
    found = decide(G1, Activation.custom(np.tanh, name="f", jet=jet, **parts))
    assert found.verdict == "undecided" and found.taylor.looked == known and found.taylor.searched == 13
    assert f"order {known}" in found.note and found.arithmetic == "declared"


def test_interrupt_of_a_trap_is_still_a_trap(monkeypatch):
    def step(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Search, "step", step)
    with pytest.raises(Interrupted) as caught:
        decide("z1 + z1*z2*z3", "tanh")
    assert caught.value.verdict.verdict == "trapped" and caught.value.verdict.reflective_floor == Fraction(1, 2)


def test_progress(capsys):
    lines = []
    decide("z1 + z1*z2", "tanh(y + 1/2)", progress=lines.append)
    assert any("reached" in line for line in lines) and any("Taylor coefficient" in line for line in lines)
    assert capsys.readouterr() == ("", "")
    decide("z1 + z1*z2", "tanh(y + 1/2)")
    assert capsys.readouterr() == ("", "")
    decide("z1 + z1*z2", "tanh(y + 1/2)", progress=True)
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("decide: ") and "Taylor coefficient" in err
    for large in ("+".join(f"z{i}" for i in range(1, 10)), "z1 + He7(z1)*z2", "(1 + z1 + z2 + z3 + z4)**6"):
        decide(large, "tanh")
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("decide: ")
        decide(large, "tanh", progress=False)
        assert capsys.readouterr() == ("", "")


# ---- printing ----


def unwrapped(verdict):
    return " ".join(str(verdict).split())


def test_summary():
    text = unwrapped(decide("z1 + z1*z2*z3", "tanh"))
    for part in (
        "z1 + z1*z2*z3, of degree 3",
        "TRAPPED",
        "dimension 2: span{z2, z3}, loss floor 1/2",
        "dimension 1: span{z1}",
        "u1 = C_1 = z1",
        "above 1",
        "orders 1, 3, ...",
    ):
        assert part in text
    learnable = unwrapped(decide("z1 + z1*z2", "tanh(y + 1/2)"))
    for part in ("LEARNABLE", "order 2", "u2 = C_2[u1] = z2", "chain 0 -> 1 -> 2", "at most 1"):
        assert part in learnable
    parity = unwrapped(decide("z1 + z1*z2", "tanh"))
    assert "nothing is reflective, but without a bias span{z2} stays unseen; loss at or above 1/2" in parity


@pytest.mark.parametrize("text, activation", [("z1 + z1*z2*z3", "tanh"), (G1, CUBIC), ("z1 + z1*z2", "relu")])
def test_tables(text, activation):
    verdict = decide(text, activation)
    page, table = verdict._repr_html_(), verdict._repr_markdown_()
    assert page.startswith("<table") and page.count("<tr>") == page.count("</tr>") == table.count("\n") - 1
    assert verdict.verdict.upper() in page and verdict.verdict.upper() in table
    assert all(line.startswith("| ") and line.endswith(" |") for line in table.splitlines())
    assert "<b" not in page.replace("<tbody", "")


def test_html_is_escaped():
    h = Polynomial.from_terms({(1, 0): 1, (1, 1): 1}, ["z1", "z2"])
    odd = Activation.custom(np.tanh, name="f", polynomial_degree=None, even_part="zero", odd_part="non-polynomial")
    verdict = decide(h, odd)
    assert "&gt;" in verdict._repr_html_() or "->" not in verdict._repr_html_()


def test_latex_of_subspaces():
    verdict = decide("z1 + z2 + z1*z2", "tanh")
    assert verdict.reflective._repr_latex_() == r"$\mathrm{span}\{z_{1} - z_{2}\}$"
    assert decide("z1", "tanh").reflective._repr_latex_() == r"$\{0\}$"


# ---- copies, imports, the callable module ----


@pytest.mark.parametrize(
    "arguments",
    [
        ("z1 + z1*z2*z3", "tanh"),
        (G1, CUBIC),
        ("sqrt(2)*z1 + z1*z2", "tanh(y + 1/2)"),
        ({(1, 0): 0.5, (1, 1): 1e-5}, "tanh"),
        ("z1 + z1*z2", "gelu(y + 1/2)"),
    ],
)
def test_pickle(arguments):
    verdict = decide(*arguments)
    other = pickle.loads(pickle.dumps(verdict))
    assert other == verdict and other.to_dict() == verdict.to_dict() and str(other) == str(verdict)
    if verdict.arithmetic == "exact":
        assert other.reached.verify()


@pytest.mark.parametrize("arguments", [(G1, CUBIC), ({(1, 0): 0.5, (1, 1): 1e-5}, "tanh")])
def test_copy(arguments):
    verdict = decide(*arguments)
    for other in (copy.deepcopy(verdict), copy.copy(verdict)):
        assert other == verdict and other.to_dict() == verdict.to_dict() and str(other) == str(verdict)


def fresh(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_light_imports():
    """A fresh process that uses everything in the package loads neither torch nor numpy nor matplotlib."""
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
import meanfield_sgd as mf
d = mf.decide
d("z1 + z1*z2*z3", "tanh").to_json(); str(d("z1 + z1*z2", "gelu(y + 1/2)")); d({{(1,): 0.5}})
d.is_reflective("z1 + z1*z2", ["z2"], "softplus"); d.taylor_span("z1 + z1*z2", "tanh(y + 1/2)")
d.stage_one("z1 + z1*z2", "exp", 3); d.averaging_exponents("z1 + z1*z2", "exp"); d.coordinate_leap("z1 + z1*z2")
d.reached_subspace("z1 + z1*z2").verify(); d.loss_floor("z1*z2", ["z1"]); d.information_exponent("z1*z2", [1.0, 1.0])
d.merged_staircase("z1"); d.isotropic_leap_at_most_one("z1"); d.expressivity_floor("z1", "tanh")
d.largest_invariant_subspace("z1", "tanh"); d.taylor_flow("z1 + z1*z2", "symbolic", 3)
print(sorted({{"torch", "numpy", "matplotlib", "scipy"}} & set(sys.modules)))
"""
    done = fresh(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]" and done.stderr == ""


@pytest.mark.parametrize("name", ["taylor", "stage_one", "leap", "averaging", "witness", "verdict"])
def test_functions_keep_their_names_whatever_is_imported_first(name):
    """decide.stage_one stays the function although a submodule has that name."""
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
import importlib
importlib.import_module("meanfield_sgd.decide.{name}")
import meanfield_sgd as mf
from meanfield_sgd.decide import stage_one, decide, is_reflective
assert callable(mf.decide.stage_one) and callable(stage_one) and callable(mf.decide)
assert mf.decide("z1").verdict == "learnable" and mf.decide.decide("z1").verdict == "learnable"
assert all(callable(getattr(mf.decide, n)) for n in mf.decide.__all__)
import meanfield_sgd.decide.stage_one
assert callable(mf.decide.stage_one) and mf.decide.stage_one("z1", "exp", 1).order == 1
"""
    done = fresh(code)
    assert done.returncode == 0, done.stderr


def test_module():
    assert set(mf.decide.__all__) <= set(dir(mf.decide))
    with pytest.raises(AttributeError, match="nonsense"):
        mf.decide.nonsense  # noqa: B018
