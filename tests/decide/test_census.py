"""The census of sparse targets: what it draws, what it counts, by routes of its own."""

import sys
from fractions import Fraction as F

import decide_routes as routes
import pytest

from meanfield_sgd import InputError
from meanfield_sgd.decide import census, chain_order, reached_subspace, taylor_span

WAVE = "4/5*cos(y) + 3/5*sin(y)"


def test_generic_jets_leave_no_gap_in_two_thousand_targets():
    found = census(2000, seed=1)
    assert len(found) == 2000 and found.exceptions == ()
    assert {(r.p, r.degree) for r in found.records} == {(p, n) for p in (2, 3, 4) for n in (2, 3, 4)}
    for p, n, targets, reached, full, order, bound in found.rows():
        assert targets == full == sum(reached) and bound == sum((n - 1) ** i for i in range(p))
        assert order <= bound and reached[0] == 0  # z1 is always there


@pytest.mark.parametrize("act", [WAVE, "y + y**2/2 + y**3/6", "tanh(y)"])
def test_a_named_activation_agrees_with_the_single_decisions(act):
    found = census(60, seed=3, activation=act)
    for record in found.records:
        assert record.reached == reached_subspace(record.target, act).dimension
        assert record.closed == reached_subspace(record.target, act, bias=False).dimension
        span = taylor_span(record.target, act)
        assert (record.span, record.order) == (span.dimension, span.order)
        assert record.target.degree == record.degree and len(record.target.variables) == record.p
    if act == "tanh(y)":
        assert found.exceptions and all(r.span == r.closed < r.reached for r in found.exceptions)


def test_against_raw_moments():
    jet = [0, 3, -2, 5, 7, -4, 1, 9, 2]
    for record in census(12, p=(2, 3), degree=3, seed=5).records:
        terms = {alpha: F(c) for alpha, c in record.target.terms.items()}
        cs = routes.raw_moment_flow(terms, record.p, jet, 8)
        assert len(routes.row_echelon(cs)) == record.span == record.reached


def test_the_same_seed_draws_the_same_targets_whatever_the_activation():
    a, b = census(30, seed=7), census(30, seed=7, activation=WAVE)
    assert [r.target for r in a.records] == [r.target for r in b.records]
    assert [r.target for r in census(30, seed=8).records] != [r.target for r in a.records]
    assert a == census(30, seed=7)


@pytest.mark.parametrize("p, n", [(2, 3), (3, 3), (3, 4), (4, 3)])
def test_chains_attain_the_order(p, n):
    chain = "z1" + "".join(f" + He{n - 1}(z{i})*z{i + 1}" for i in range(1, p))
    assert taylor_span(chain, WAVE).order == chain_order(p, n)


def test_draws_that_nearly_never_fit_end(monkeypatch):
    monkeypatch.setattr(sys.modules["meanfield_sgd.decide.census"], "_PATIENCE", 20)
    with pytest.raises(InputError, match="hardly any draw"):
        census(50, p=6, degree=2, terms=(3, 3))


def test_one_variable_of_degree_one_is_fine():
    assert all(r.reached == 1 and r.order == 1 for r in census(5, p=1, degree=1).records)


def test_text_and_progress():
    said = []
    found = census(200, p=2, degree=2, seed=0, progress=said.append)
    assert said == ["target 100 of 200", "target 200 of 200"]
    assert repr(found) == "<Census of 200 targets, a random jet each: span is U_* in 200>"


@pytest.mark.parametrize(
    "options, words",
    [
        ({"count": 0}, "count"),
        ({"count": 2.0}, "count"),
        ({"p": 7}, "p must be"),
        ({"p": ()}, "p must be"),
        ({"degree": (2, 9)}, "degree must be"),
        ({"terms": (3, 2)}, "least, largest"),
        ({"terms": (0, 2)}, "terms"),
        ({"size": True}, "size"),
        ({"degree": 1}, "depend on one direction only"),
        ({"degree": (1, 3), "p": 2}, "depend on one direction only"),
        ({"p": 6, "degree": 2, "terms": (1, 2)}, "with 2 terms are too small"),
        ({"terms": 3}, "least, largest"),
        ({"seed": "a"}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"progress": 3}, "progress"),
        ({"activation": "relu", "count": 3}, "derivative"),
    ],
)
def test_bad_input(options, words):
    with pytest.raises(InputError, match=words):
        census(**options)
