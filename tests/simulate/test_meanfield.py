"""The limit engine against independent routes: tensor quadrature, hand integrals, series, itself refined."""

import itertools
import math

import numpy as np
import pytest

import meanfield_sgd as mf
from meanfield_sgd import Activation, DivergenceError, InputError, Polynomial, ToleranceError
from meanfield_sgd.simulate import InitialLaw, hermite_profile, meanfield
from meanfield_sgd.simulate._limit_field import LimitField, TargetForms
from meanfield_sgd.simulate._limit_solver import Flow, solve
from meanfield_sgd.simulate._nodes import Panels
from meanfield_sgd.simulate._quadrature_field import QuadratureField

TARGETS = [
    "z1 + z1*z2",
    "1/2 + z1 + z1*z2 + z1*z2*z3",
    "z1 - 1/3*He3(z1)",
    "z1 + He2(z1)*z2 - z2**2*z1/4",
    "3/5*z1 + 4/5*z2",
]


def one(t):
    return 1.0


def random_state(rng, n, p, rho=False):
    a, w = rng.uniform(-1, 1, n), rng.normal(size=(n, p)) * 0.6
    w[0] = 0.0
    mass = rng.uniform(0.5, 1.5, n)
    return a, w, rng.uniform(0.3, 1.2, n) if rho else np.zeros(n), mass / mass.sum()


@pytest.mark.parametrize("text", TARGETS)
@pytest.mark.parametrize("activation", ["tanh(y+1/2)", "softplus", "3/5*sin(y) + 4/5*cos(y)"])
def test_field_and_loss_against_tensor_quadrature(text, activation):
    target, activation = Polynomial(text), Activation(activation)
    a, w, rho, mass = random_state(np.random.default_rng(5), 7, target.p)
    w *= 0.7
    found = LimitField(target, activation, 60).evaluate(a, w, rho, mass)
    check = QuadratureField(target, activation, 60).evaluate(a, w, rho, mass)
    for ours, theirs in zip(found, check):
        np.testing.assert_allclose(ours, theirs, atol=2e-8)


def test_field_is_minus_the_gradient_of_the_loss_also_outside_v():
    """Finite differences of the loss in every coordinate, rho included: a field that is not a gradient is wrong."""
    target = Polynomial("1/4 + z1 + z1*z2")
    field = LimitField(target, Activation("tanh(y+1/2)"), 40)
    a, w, rho, mass = random_state(np.random.default_rng(6), 4, 2, rho=True)
    a_dot, w_dot, rho_dot, _ = field.evaluate(a, w, rho, mass)
    state = np.concatenate([a, w.ravel(), rho])
    flow = np.concatenate([mass * a_dot, (mass[:, None] * w_dot).ravel(), mass * rho_dot])

    def loss(s):
        return field.evaluate(s[:4], s[4:12].reshape(4, 2), s[12:], mass)[3]

    step = 1e-5
    for i in range(len(state)):
        e = np.zeros(len(state))
        e[i] = step
        assert -(loss(state + e) - loss(state - e)) / (2 * step) == pytest.approx(flow[i], abs=2e-9)


def test_outside_part_against_quadrature_in_one_more_dimension():
    """Two nodes with rho > 0 are neurons of R^(1+2): w = (w_V, rho, 0) and (w_V', 0, rho'), as orthogonal as the limit says."""
    target, activation = Polynomial("z1 + z1**2/2"), Activation("tanh(y+1/2)")
    a, w, rho, mass = np.array([0.7, -0.4]), np.array([[0.5], [-0.8]]), np.array([0.9, 0.6]), np.array([0.5, 0.5])
    found = LimitField(target, activation, 60).evaluate(a, w, rho, mass)
    lifted = Polynomial("z1 + z1**2/2 + 0*z3", variables=["z1", "z2", "z3"])
    full = np.array([[0.5, 0.9, 0.0], [-0.8, 0.0, 0.6]])
    check = QuadratureField(lifted, activation, 60).evaluate(a, full, np.zeros(2), mass)
    # E[f sigma(w.x)] in the limit leaves out what a neuron does to itself through its own outside part (weight 1/N -> 0
    # per neuron): here the two nodes stand for many neurons each, so their own pair carries only the part in V.
    own = []
    for i in range(2):
        c = (w[i, 0] ** 2) / (w[i, 0] ** 2 + rho[i] ** 2)
        b = hermite_profile(activation, float(np.hypot(w[i, 0], rho[i])), 200)
        k = np.arange(200)
        own.append(mass[i] * a[i] * (np.sum(b**2) - np.sum(b**2 * c**k)))
    np.testing.assert_allclose(found[0], check[0] + np.array(own), atol=1e-8)


def test_target_forms_are_the_hermite_tensors():
    target = Polynomial("1/2 + z1 + 2*z1*z2 - z1**2*z3/3 + z2*z3")
    u = np.random.default_rng(7).normal(size=(5, 3))
    value, slope = TargetForms(target)(u)
    for k in range(target.degree + 1):
        tensor = {i: float(v) for i, v in target.hermite_tensor(k).items()}
        full = np.zeros((3,) * k)
        for index in itertools.product(range(3), repeat=k):
            full[index] = tensor.get(tuple(sorted(index)), 0.0)
        for j, v in enumerate(u):
            contracted = full
            for _ in range(max(k - 1, 0)):
                contracted = contracted @ v
            if k:
                np.testing.assert_allclose(slope[j, k], contracted / math.sqrt(math.factorial(k)), atol=1e-12)
                contracted = contracted @ v
            assert value[j, k] == pytest.approx(float(contracted) / math.sqrt(math.factorial(k)), abs=1e-12)


@pytest.mark.parametrize("text", ["z1 + z1*z2", "1/2 + z1 + z1*z2 + z1*z2*z3"])
def test_loss_curve_against_tensor_quadrature_and_many_nodes(text):
    """Nothing shared with the engine but the Runge-Kutta: 160 Gauss nodes in a, 30 to 40 per direction in z."""
    target, activation = Polynomial(text), Activation("tanh(y+1/2)")
    run = meanfield(target, activation, 6.0, tolerance=1e-5, times=np.linspace(0, 6, 25))
    a, mass = Panels(InitialLaw.uniform(), np.array([-1, -0.3, 0, 0.3, 1.0]), 24).rule()
    start = a, np.zeros((len(a), target.p)), np.zeros(len(a))
    field = QuadratureField(target, activation, 40 if target.p == 2 else 20)
    check = solve(field, Flow(one, one), start, mass, run.times, 1e-7)
    assert np.max(np.abs(run.losses - check.losses)) < 2e-5
    assert run.error <= 1e-5


def test_converges_to_1e_6_when_everything_is_doubled():
    """Halved tolerance and doubled nodes change the curve on [0, 20] by less than 1e-6."""
    times = np.linspace(0, 20, 81)
    coarse = meanfield("z1 + z1*z2", "tanh(y+1/2)", 20, tolerance=4e-6, times=times)
    target, activation = Polynomial("z1 + z1*z2"), Activation("tanh(y+1/2)")
    edges = coarse.info["panel_edges"]
    panels = Panels(InitialLaw.uniform(), np.sort(np.concatenate([edges, (edges[1:] + edges[:-1]) / 2])), 9)
    a, mass = panels.rule()
    assert len(a) >= 2 * coarse.info["nodes"]
    field = LimitField(target, activation, coarse.info["orders"] + 16)
    fine = solve(field, Flow(one, one), (a, np.zeros((len(a), 2)), np.zeros(len(a))), mass, times, 1e-9)
    assert np.max(np.abs(fine.losses - coarse.losses)) < 1e-6
    halved = meanfield("z1 + z1*z2", "tanh(y+1/2)", 20, tolerance=2e-6, times=times)
    assert halved.distance(coarse) < 1e-6


def test_short_time_series():
    """E(t) = 1/2 E h*^2 - t |C_1|^2 s_1^2 E[a^2] ... : dE/dt at 0 and the Taylor data of w of theory, Section 4."""
    run = meanfield("z1 + z1*z2", "exp", 0.05, tolerance=1e-9, train="w", times=[0.0, 0.0125, 0.025, 0.05])
    a = run.final_state["initial_a"]
    t = 0.05
    # true stage-one flow, s_j = 1, a ~ U[-1,1] fixed (theory/chen_ge.md, Section 4)
    w1 = t * a - t**2 * a / 6 + t**3 * (a / 54 + 2 * a**3 / 3)
    w2 = a**2 * t**2 / 2 - a**2 * t**3 / 18
    np.testing.assert_allclose(run.final_state["w"][:, 0], w1, atol=2 * t**4)
    np.testing.assert_allclose(run.final_state["w"][:, 1], w2, atol=2 * t**4)
    assert run.losses[0] == pytest.approx(1.0, abs=1e-12)


def test_only_the_second_layer_is_a_linear_problem():
    """With w frozen the flow of a is linear; its exponential, by scipy, is the independent route."""
    from scipy.linalg import expm
    from scipy.special import roots_hermitenorm

    n, rng = 5, np.random.default_rng(8)
    state = {"a": rng.uniform(-1, 1, n), "w": rng.normal(size=(n, 1))}
    run = meanfield("z1 + z1**2", "tanh(y+1/2)", 3.0, init=state, train="a", tolerance=1e-8, times=[0.0, 1.0, 3.0])
    z, weight = roots_hermitenorm(150)
    weight = weight / weight.sum()
    s = np.tanh(state["w"] * z + 0.5)
    gram, rhs = (s * weight) @ s.T / n, (s * weight) @ (z + z**2)
    fixed = np.linalg.solve(gram, rhs)
    final = fixed + expm(-3.0 * gram) @ (state["a"] - fixed)
    np.testing.assert_allclose(run.final_state["a"], final, atol=1e-6)
    residual = final @ s / n - z - z**2
    assert run.losses[-1] == pytest.approx(0.5 * weight @ residual**2, abs=1e-7)


def test_odd_activation_never_sees_z2():
    run = meanfield("z1 + z1*z2", "tanh", 20, subspace="z2")
    assert np.max(run.overlaps) < 1e-12
    assert np.min(run.losses) >= 0.5 - 1e-12
    free = meanfield("z1 + z1*z2", "tanh(y+1/2)", 20, subspace="z2")
    assert free.overlaps[-1] > 0.5 and free.losses[-1] < 0.4


@pytest.mark.parametrize(("text", "activation", "trapped"), [
    ("z1 + z1*z2", "logistic", True), ("z1 + z1*z2", "gelu", False), ("z1 + He2(z1)*z2", "gelu", True),
    ("z1 + He2(z1)*z2", "softplus", True), ("z1 + He2(z1)*z2", "tanh", False),
])  # fmt: skip
def test_table_of_bias_free_traps(text, activation, trapped):
    """theory/chen_ge.md, Theorem 2.5: max |w_2| at t = 4."""
    run = meanfield(text, activation, 4.0, tolerance=1e-3, subspace="z2")
    largest = np.abs(run.final_state["w"][:, 1]).max()
    assert (largest < 1e-12) if trapped else (largest > 0.05)


def test_reference_value_of_the_true_flow():
    """z1 + He2(z1) z2, tanh: max |w_2| = .60 at t = 4 with both layers, .52 with a frozen (chen_ge_proofs.md, C2)."""
    both = meanfield("z1 + He2(z1)*z2", "tanh", 4.0, tolerance=1e-4).final_state["w"][:, 1]
    frozen = meanfield("z1 + He2(z1)*z2", "tanh", 4.0, tolerance=1e-4, train="w").final_state["w"][:, 1]
    assert np.abs(both).max() == pytest.approx(0.60, abs=0.015)
    assert np.abs(frozen).max() == pytest.approx(0.52, abs=0.015)


def test_one_point_law_and_the_trap_with_a_equal_one():
    """Theorem E: sigma = sin + cos, a = 1: w_3 stays 0 although nothing is reflective; with a = +-1 it escapes."""
    target = "-4*z1 - 8*z1*z2 + z1**3 + 3*z1*z2**2 + z1**3*z2 + z1*z2**3 + 2*z3 - (z1**2 + z2**2)*z3 + 2*z2*z3"
    run = meanfield(target, "sin + cos", 5.0, law=InitialLaw.points([1.0]), train="w", subspace="z3", tolerance=1e-6)
    assert run.overlaps.max() < 1e-7  # not a symmetry: the flow's own accuracy decides
    np.testing.assert_allclose(run.final_state["w"][0, :2], [0.786, 0.382], atol=2e-3)
    t = 0.05
    pair = meanfield(target, "sin + cos", t, law=InitialLaw.points([1, -1]), train="w", tolerance=1e-8)
    a = pair.final_state["initial_a"]
    series = -2 / 3 * a**3 * t**4 + (2 * a**3 / 5 + 2 * a / 15) * t**5
    np.testing.assert_allclose(pair.final_state["w"][:, 2], series, atol=30 * t**6)


def test_energy_only_falls_and_the_identity_holds():
    run = meanfield("1/2 + z1 + z1*z2", "gelu", 15, tolerance=1e-5)
    assert np.all(np.diff(run.losses) < 0)
    assert run.info["energy_defect"] < 1e-6


def test_gaussian_start_has_norm_one_outside():
    run = meanfield("z1 + z1*z2", "tanh(y+1/2)", 0.01, init="gaussian", tolerance=1e-6)
    np.testing.assert_allclose(run.final_state["rho"], 1.0, atol=0.02)
    assert run.losses[0] == pytest.approx(1.0, abs=1e-9)
    # sigma(0) E a = 0, so both starts have the same loss at 0 but not the same curve
    assert (
        abs(
            meanfield("z1 + z1*z2", "tanh(y+1/2)", 5).losses[-1]
            - meanfield("z1 + z1*z2", "tanh(y+1/2)", 5, init="gaussian").losses[-1]
        )
        > 1e-3
    )


def test_relu_from_a_gaussian_start():
    run = meanfield("z1 + z1*z2", "relu", 3.0, init="gaussian", tolerance=1e-3)
    assert run.losses[-1] < run.losses[0]
    with pytest.raises(InputError, match="gaussian"):
        meanfield("z1 + z1*z2", "relu", 3.0)


def test_schedules_rescale_time():
    slow = meanfield("z1 + z1*z2", "tanh(y+1/2)", 8, schedule_a=0.5, schedule_w=0.5, tolerance=1e-5)
    plain = meanfield("z1 + z1*z2", "tanh(y+1/2)", 4, tolerance=1e-5)
    assert slow.losses[-1] == pytest.approx(plain.losses[-1], abs=2e-5)
    late = meanfield("z1 + z1*z2", "tanh(y+1/2)", 4, schedule_w=lambda t: t / 4, times=[0, 1.0, 4.0])
    assert plain.losses[-1] < late.losses[2] < late.losses[1]


def test_a_run_continues_from_its_final_state():
    whole = meanfield("z1 + z1*z2", "tanh(y+1/2)", 6, tolerance=1e-6)
    half = meanfield("z1 + z1*z2", "tanh(y+1/2)", 3, tolerance=1e-6)
    rest = meanfield("z1 + z1*z2", "tanh(y+1/2)", 3, tolerance=1e-6, init=half.final_state)
    assert rest.losses[-1] == pytest.approx(whole.losses[-1], abs=3e-6)


def test_reported_error_bounds_the_true_error_on_targets_with_a_constant():
    """A constant moves the layer in a and makes two of it: where a rule tuned on one target failed."""
    for text in ("1/2 + z1 + z1*z2", "-3/4 + z1 - z1*z2/2 + z2**2/5"):
        for tolerance in (1e-2, 1e-3):
            run = meanfield(text, "tanh(y+1/2)", 20, tolerance=tolerance)
            reference = meanfield(text, "tanh(y+1/2)", 20, tolerance=1e-5, max_nodes=1500)
            assert run.distance(reference) <= run.error + reference.error
            assert run.error <= tolerance


def test_what_runs_away_or_is_too_stiff_ends_with_one_line():
    """A gradient flow of a non-negative loss cannot blow up in finite time, but it can be beyond the engine's means."""
    with pytest.raises(ToleranceError, match="scale the target down"):
        meanfield("1000*z1 + 1000*z1*z2", "tanh(y+1/2)", 20, tolerance=1e-3)
    field = LimitField(Polynomial("z1"), Activation("tanh"), 12)
    start = np.array([1e200, -1.0]), np.zeros((2, 1)), np.zeros(2)
    with pytest.raises(DivergenceError, match="at time") as caught:
        solve(field, Flow(one, one), start, np.full(2, 0.5), np.linspace(0, 1, 3), 1e-3)
    assert 0 <= caught.value.time <= 1


def test_own_activation_without_declared_parity():
    own = Activation.custom(np.tanh, lambda y: 1 - np.tanh(y) ** 2, name="mine")
    ours, named = (meanfield("z1 + He2(z1)*z2", s, 3.0, tolerance=1e-3) for s in (own, "tanh"))
    assert ours.distance(named) < 1e-9


def test_refuses_what_it_cannot_reach():
    with pytest.raises(ToleranceError, match="max_nodes"):
        meanfield("1/2 + z1 + z1*z2", "tanh(y+1/2)", 20, tolerance=1e-9, max_nodes=24)


@pytest.mark.parametrize(("options", "words"), [
    ({"tolerance": 0}, "tolerance"), ({"tolerance": 1e-15}, "tolerance"), ({"time": -1}, "time"),
    ({"init": "random"}, "init"), ({"law": "uniform"}, "InitialLaw"), ({"train": "none"}, "train"),
    ({"init": {"a": [1.0]}}, "mapping"), ({"init": {"a": [1.0], "w": [[1.0, 2.0, 3.0]]}}, "shapes"),
    ({"subspace": "z7"}, "z7"), ({"times": [3, 2]}, "increase"), ({"schedule_a": -1}, "schedule_a"),
])  # fmt: skip
def test_bad_arguments_get_one_line(options, words):
    options = {"time": 2.0} | options
    with pytest.raises(InputError, match=words) as caught:
        meanfield("z1 + z1*z2", "tanh(y+1/2)", **options)
    assert "\n" not in str(caught.value)


def test_initial_laws():
    for law, second in ((InitialLaw.uniform(), 1 / 3), (InitialLaw.gaussian(0.7), 0.49), (InitialLaw.points([1, -2], [2, 1]), 2.0),
                        (InitialLaw.density(lambda a: 1 + a, -1, 1), 1 / 3)):  # fmt: skip
        a, mass = Panels(law).rule()
        assert mass.sum() == pytest.approx(1) and mass @ a**2 == pytest.approx(second, rel=1e-5)
    for bad in (
        lambda: InitialLaw.uniform(1, 0),
        lambda: InitialLaw.gaussian(0),
        lambda: InitialLaw.points([]),
        lambda: InitialLaw.points([1], [-1]),
    ):
        with pytest.raises(InputError):
            bad()


def test_constant_targets():
    """h* = c: only order 0 moves; from w = 0 the loss is c^2/2 exp(-2 s_0^2 t) when w is frozen (f = sigma(0) mean a)."""
    run = meanfield("1/2", "tanh(y+1/2)", 3.0, train="a", tolerance=1e-8)
    rate = np.tanh(0.5) ** 2
    np.testing.assert_allclose(run.losses, np.exp(-2 * rate * run.times) / 8, atol=1e-8)
    assert np.all(meanfield("0*z1", "tanh", 2.0).losses == 0.0)


def test_torch_stays_out():
    import subprocess
    import sys

    code = (
        "import sys, meanfield_sgd as mf; mf.simulate.meanfield('z1', 'tanh', 1.0); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert mf.simulate.meanfield is meanfield
