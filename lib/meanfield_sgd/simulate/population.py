r"""Gradient flow of N neurons in R^d in the population loss: no samples, no noise.

The flow is :math:`\dot a_i=-\xi_aE[(f-f^*)\sigma(w_i^Tx)]`,
:math:`\dot w_i=-\xi_wa_iE[(f-f^*)\sigma'(w_i^Tx)x]` with :math:`f=\frac1N\sum_ia_i\sigma(w_i^Tx)`; the averages are
taken exactly, order by order in Hermite polynomials, and the flow is integrated by the explicit Runge-Kutta method
DOP853 of scipy with error control.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError
from . import _common as common
from ._initial import INITS, Initial, draw, read_state, reduce, refuse_kink_at_zero
from ._running import CheckpointFile, threads_for
from .result import Trajectory

if TYPE_CHECKING:
    from ..activation import Activation
    from ..polynomial import Polynomial

__all__ = ["population"]


def population(
    target: Polynomial | str,
    activation: Activation | str,
    time: float = 20.0,
    *,
    neurons: int = 1024,
    dimension: int = 32,
    init: str = "zero",
    train: str = "both",
    schedule_a: Any = 1.0,
    schedule_w: Any = 1.0,
    subspace: Any = None,
    times: Any = None,
    seed: int | np.random.Generator = 0,
    tolerance: float = 1e-6,
    device: str = "auto",
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
    initial_state: Any = None,
    form: str = "auto",
) -> Trajectory:
    r"""Train a two-layer network of N neurons in R^d by gradient flow in the exact population loss.

    .. math::
       \dot a_i=-\xi_a(t)\,E[(f-f^*)\,\sigma(w_i^Tx)],\qquad
       \dot w_i=-\xi_w(t)\,a_iE[(f-f^*)\,\sigma'(w_i^Tx)\,x],\qquad f=\frac1N\sum_ia_i\sigma(w_i^Tx),

    x ~ N(0, I_d), f*(x) = h*(x_1, ..., x_p). Each neuron carries weight 1/N, so that time is the time of the mean-field
    limit whatever N. The cost does not depend on p through any grid, and on d only through the m dimensions that the
    weights can reach: m = p if they start in V, else m = min(d, N + p).

    Parameters
    ----------
    target : h*, a Polynomial or its text, in p variables.
    activation : sigma, an Activation or its text, as ``"tanh(y+1/2)"``.
    time : the final gradient-flow time, > 0.
    neurons, dimension : N and d >= p.
    init : ``"zero"``: a ~ U[-1, 1], w = 0; ``"gaussian"``: w ~ N(0, I/d); ``"blind"``: the same with w_S = 0, S the
        ``subspace``. With the same ``seed``, N and d <= N + p the network is the one that :func:`sgd` starts from.
    train : ``"both"``, ``"a"`` or ``"w"``: which layer moves.
    schedule_a, schedule_w : the rates xi_a, xi_w >= 0: numbers, or functions of time. At a jump of a schedule the error
        control shortens its steps.
    subspace : S in V for the overlaps: names (``"z2"``, ``["z2", "z3"]``) or spanning rows (k, p).
    times : when to record, increasing in [0, time]; by default 101 equally spaced times.
    seed : a whole number (PCG64) or a numpy Generator, for the initial network.
    tolerance : the sup-norm accuracy asked of the loss curve, 1e-10 ... 1e-2; it sets the error control in time and the
        number of Hermite orders, which grows by itself when the weights do, up to 192.
    device : ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA where there is one and N >= 2048 in the pair form (below that a
        block of pairs does not fill a GPU, and in the Hermite form one evaluation is a few milliseconds of many small
        products). The integrator itself works on the CPU. Float64 throughout.
    progress : True, False, or None: a bar on a terminal if the run takes more than two seconds.
    checkpoint : a file to keep the run in (once a minute, on Ctrl-C and at the end). If it exists the run resumes from
        it, to the bit; its arguments must be the same.
    initial_state : a dict with "a" (N,) and "w" (N, m), m <= d, in place of ``init``; a ``final_state`` continues a
        run.
    form : ``"pair"``, ``"hermite"`` or ``"auto"``, the cheaper: two ways to sum the same series.

    Returns
    -------
    Trajectory
        ``error`` is 4 times the sum of three things found on the way: the energy defect of the steps, carried forward
        as a shift in time; the energy in the Hermite orders left out; the error of the interpolation between steps. It
        is an estimate, not a bound; it was 2 to 20 times the true error for eight pairs of target and activation at
        tolerances 1e-2 to 1e-6 (some of them are in ``tests/simulate/test_population.py``).
        ``info``: ``energy_defect`` (sup over t of |E(t) - E(0) + int (xi_a |dE/da|^2 + xi_w |dE/dw|^2)|, which is 0 for
        the exact flow), ``truncation`` (the largest estimate of the energy left out), ``interpolation`` (the largest
        error found in the middle of a step), ``orders``, ``form``, ``evaluations``, ``steps``,
        ``effective_dimension`` m, ``coordinates`` (what the m columns of
        ``final_state["w"]`` are; the first p are V), ``device``.

    Raises
    ------
    InputError for an argument that does not fit, or ReLU (any kink at 0) with a neuron at w = 0.
    ToleranceError where 192 Hermite orders do not reach ``tolerance`` (activations with a kink); the message says what
    was reached. DivergenceError if the weights run away. Interrupted on Ctrl-C, with the part that was finished.

    Source: the flow is the gradient flow of Chen and Ge, arXiv 2402.08948, with N neurons in place of a measure; the
    method is this book's. The field is checked against tensor quadrature in up to three dimensions, to 1e-10.
    """
    given = dict(locals())
    del given["progress"], given["checkpoint"]
    job = prepare(**given)

    from ._flow import Flow  # torch is loaded here, not when the package is imported

    # Few coordinates mean the Hermite form, whose work is linear in N.
    with threads_for(len(job.state.a) * (len(job.state.a) if job.state.w.shape[1] > 2 else 64)):
        flow = Flow(*job[:-1])
        return flow.run(CheckpointFile(checkpoint, job.identity), progress)


class Job(NamedTuple):
    """A run whose arguments are read: what :class:`Flow` takes, and the identity of its checkpoint."""

    target: Polynomial
    activation: Activation
    state: Initial
    rates: tuple[common.Schedule, common.Schedule]
    rows: np.ndarray | None
    times: np.ndarray
    tolerance: float
    device: str
    form: str
    settings: dict[str, Any]
    identity: dict[str, Any]


def prepare(
    target, activation, time, *, neurons, dimension, init, train, schedule_a, schedule_w, subspace, times, seed,
    tolerance, device, initial_state, form,
) -> Job:  # fmt: skip
    """The arguments of :func:`population`, read and refused."""
    target, activation = common.read_target(target), common.read_activation(activation)
    time = common.read_positive(time, "time")
    neurons = common.read_count(neurons, "neurons") if initial_state is None else None
    dimension = common.read_count(dimension, "dimension")
    if dimension < target.p:
        raise InputError(f"dimension={dimension} is too small: the target has p = {target.p} variables")
    init = common.read_choice(init, "init", INITS)
    rates = common.read_schedules(train, schedule_a, schedule_w)
    rows = common.read_subspace(subspace, target)
    times = common.read_times(times, time)
    tolerance = common.read_positive(tolerance, "tolerance")
    if not 1e-10 <= tolerance <= 1e-2:
        raise InputError(f"tolerance must lie in 1e-10 ... 1e-2, got {tolerance:g}")
    form = common.read_choice(form, "form", ("auto", "pair", "hermite"))
    device = common.read_choice(device, "device", ("auto", "cpu", "cuda"))
    rng = common.read_generator(seed)
    settings = {
        "target": str(target),
        "variables": list(target.variables),
        "activation": str(activation),
        "time": time,
        "neurons": neurons,
        "dimension": dimension,
        "init": init if initial_state is None else "initial_state",
        "train": train,
        "schedule_a": rates[0].describe(),
        "schedule_w": rates[1].describe(),
        "subspace": None if rows is None else rows.tolist(),
        "seed": int(seed) if not isinstance(seed, np.random.Generator) else "Generator",
        "tolerance": tolerance,
    }
    identity = {
        "method": "population",
        "form": form,
        "times": times.tolist(),
        "rates": [rate.fingerprint(time) for rate in rates],
        **settings,
        "generator": common.generator_state(rng),
    }
    if initial_state is None:
        state = draw(init, neurons, dimension, target.p, rng, reduced=True, blind=rows)
    else:
        given = read_state(initial_state, target.p, None, dimension)
        identity["initial_state"] = common.digest(given.a, given.w)
        state = reduce(given, target.p)
        settings["neurons"] = identity["neurons"] = len(state.a)
    refuse_kink_at_zero(activation, state.w, initial_state is not None)
    return Job(target, activation, state, rates, rows, times, tolerance, device, form, settings, identity)
