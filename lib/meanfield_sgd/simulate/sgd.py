r"""Stochastic gradient descent as people run it: N neurons in R^d, a fresh minibatch at every step.

One step of size :math:`\eta` with batch x_1, ..., x_b ~ N(0, I_d):

.. math::
   a_i\leftarrow a_i-\eta\,\xi_a\frac1b\sum_\beta(f-f^*)(x_\beta)\,\sigma(w_i^Tx_\beta),\qquad
   w_i\leftarrow w_i-\eta\,\xi_w\frac{a_i}b\sum_\beta(f-f^*)(x_\beta)\,\sigma'(w_i^Tx_\beta)\,x_\beta .
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError
from . import _common as common
from ._initial import INITS, Initial, draw, read_state, refuse_kink_at_zero
from ._running import CheckpointFile, threads_for
from .result import Trajectory

if TYPE_CHECKING:
    from ..activation import Activation
    from ..polynomial import Polynomial

__all__ = ["sgd"]


def sgd(
    target: Polynomial | str,
    activation: Activation | str,
    time: float = 20.0,
    *,
    neurons: int = 1024,
    dimension: int = 32,
    batch: int = 256,
    step: float = 0.05,
    init: str = "zero",
    train: str = "both",
    schedule_a: Any = 1.0,
    schedule_w: Any = 1.0,
    subspace: Any = None,
    times: Any = None,
    seed: int | np.random.Generator = 0,
    loss: str = "sampled",
    test_points: int = 512,
    device: str = "auto",
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
    initial_state: Any = None,
) -> Trajectory:
    r"""Train a two-layer network of N neurons in R^d by stochastic gradient descent on fresh samples.

    .. math::
       a_i\leftarrow a_i-\eta\,\xi_a(t)\,\hat E[(f-f^*)\,\sigma(w_i^Tx)],\qquad
       w_i\leftarrow w_i-\eta\,\xi_w(t)\,a_i\hat E[(f-f^*)\,\sigma'(w_i^Tx)\,x],\qquad
       f=\frac1N\sum_ia_i\sigma(w_i^Tx),

    with :math:`\hat E` the mean over a fresh batch of x ~ N(0, I_d) and f*(x) = h*(x_1, ..., x_p). Each neuron carries
    weight 1/N and each step advances gradient-flow time by ``step`` (the gradients are those of N times the loss), so
    that as step -> 0 the run tends to :func:`population` with the same initial network.

    Parameters
    ----------
    target : h*, a Polynomial or its text, in p variables.
    activation : sigma, an Activation or its text, as ``"tanh(y+1/2)"``.
    time : the final gradient-flow time, > 0; the run takes the fewest whole steps that reach it.
    neurons, dimension, batch : N, d >= p and b.
    step : the step :math:`\eta`, in units of gradient-flow time.
    init : ``"zero"``: a ~ U[-1, 1], w = 0; ``"gaussian"``: w ~ N(0, I/d); ``"blind"``: the same with w_S = 0, S the
        ``subspace``.
    train : ``"both"``, ``"a"`` or ``"w"``: which layer moves.
    schedule_a, schedule_w : the rates xi_a, xi_w >= 0: numbers, or functions of time (taken at the start of a step).
    subspace : S in V for the overlaps: names (``"z2"``, ``["z2", "z3"]``) or spanning rows (k, p).
    times : when to record, increasing in [0, time]; by default 101 equally spaced times. Each is moved to the nearest
        step; ``Trajectory.times`` has the times after that.
    seed : a whole number (PCG64) or a numpy Generator (which the run advances). Samples are drawn on the CPU in float64
        and then moved, so that runs on a CPU and a GPU see the same ones.
    loss : how the population loss is found at the recorded times. ``"sampled"``: the Hermite coefficients of f of low
        degree in V, and all those of degree one, exactly, and only the rest of f on ``test_points`` fixed points:
        unbiased, with a standard error 10 to 1000 times below that of the plain average, for the price of one pass over
        the points. ``"exact"``: through the pair kernel to 1e-8, for about 1e-7 N^2 seconds a record.
    test_points : how many test points for ``loss="sampled"``; they do not change the training.
    device : ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA where there is one and batch * neurons >= 2**20 (below that the
        launches and the host's draws take longer than the arithmetic). Float64 throughout.
    progress : True, False, or None: a bar on a terminal if the run takes more than two seconds.
    checkpoint : a file to keep the run in (once a minute, on Ctrl-C and at the end). If it exists the run resumes from
        it, to the bit; its arguments must be the same.
    initial_state : a dict with "a" (N,) and "w" (N, m), m <= d, in place of ``init``; a ``final_state`` continues a run
        (columns that are missing are 0).

    Returns
    -------
    Trajectory
        Its losses are those of this network, not of a limit: ``error`` is 3 times their largest standard error (with
        ``loss="exact"``, the Hermite remainder). The Euler bias against the flow is about 0.08 times the step for
        z1 + z1 z2 + z1 z2 z3 and tanh(y+1/2). ``info``: ``standard_error`` (T,), ``steps``, ``samples``, ``device``.

    Raises
    ------
    InputError for an argument that does not fit, or ReLU (any kink at 0) with a neuron at w = 0.
    DivergenceError when a loss is not finite or above 1e6 times (1 + the initial loss).
    Interrupted on Ctrl-C, with the part that was finished.

    Source: the setting is that of Chen and Ge, arXiv 2402.08948; the estimate of the loss is this book's. Checked
    against torch.autograd to rounding, and against :func:`population` at small steps.
    """
    given = dict(locals())
    del given["progress"], given["checkpoint"]
    job = prepare(**given)

    from ._descent import Descent  # torch is loaded here, not when the package is imported

    with threads_for(job.settings["batch"] * len(job.state.a)):
        descent = Descent(*job[:-1])
        return descent.run(CheckpointFile(checkpoint, job.identity), progress)


class Job(NamedTuple):
    """A run whose arguments are read: what :class:`Descent` takes, and the identity of its checkpoint."""

    target: Polynomial
    activation: Activation
    state: Initial
    rates: tuple[common.Schedule, common.Schedule]
    rows: np.ndarray | None
    times: np.ndarray
    rng: np.random.Generator
    device: str
    settings: dict[str, Any]
    identity: dict[str, Any]


def prepare(
    target, activation, time, *, neurons, dimension, batch, step, init, train, schedule_a, schedule_w, subspace, times,
    seed, loss, test_points, device, initial_state,
) -> Job:  # fmt: skip
    """The arguments of :func:`sgd`, read and refused."""
    target, activation = common.read_target(target), common.read_activation(activation, jumps=True)
    time = common.read_positive(time, "time")
    neurons = common.read_count(neurons, "neurons") if initial_state is None else None
    dimension, batch = common.read_count(dimension, "dimension"), common.read_count(batch, "batch")
    step = common.read_positive(step, "step")
    if dimension < target.p:
        raise InputError(f"dimension={dimension} is too small: the target has p = {target.p} variables")
    if step > time:
        raise InputError(f"step={step:g} is longer than the whole run, time={time:g}: take a smaller step")
    init = common.read_choice(init, "init", INITS)
    rates = common.read_schedules(train, schedule_a, schedule_w)
    rows = common.read_subspace(subspace, target)
    times = common.read_times(times, time)
    loss = common.read_choice(loss, "loss", ("sampled", "exact"))
    test_points = common.read_count(test_points, "test_points", 2)
    device = common.read_choice(device, "device", ("auto", "cpu", "cuda"))
    rng = common.read_generator(seed)
    settings = {
        "target": str(target),
        "variables": list(target.variables),
        "activation": str(activation),
        "time": time,
        "neurons": neurons,
        "dimension": dimension,
        "batch": batch,
        "step": step,
        "init": init if initial_state is None else "initial_state",
        "train": train,
        "schedule_a": rates[0].describe(),
        "schedule_w": rates[1].describe(),
        "subspace": None if rows is None else rows.tolist(),
        "seed": int(seed) if not isinstance(seed, np.random.Generator) else "Generator",
        "loss": loss,
        "test_points": test_points,
    }
    identity = {
        "method": "sgd",
        "times": times.tolist(),
        "rates": [rate.fingerprint(time) for rate in rates],
        **settings,
        "generator": common.generator_state(rng),
    }
    if initial_state is None:
        state = draw(init, neurons, dimension, target.p, rng, reduced=False, blind=rows)
    else:
        given = read_state(initial_state, target.p, None, dimension)
        identity["initial_state"] = common.digest(given.a, given.w)
        settings["neurons"] = identity["neurons"] = len(given.a)
        missing = np.zeros((len(given.a), dimension - given.w.shape[1]))
        state = Initial(given.a, np.hstack([given.w, missing]), "R^d")
    refuse_kink_at_zero(activation, state.w, initial_state is not None)
    return Job(target, activation, state, rates, rows, times, rng, device, settings, identity)
