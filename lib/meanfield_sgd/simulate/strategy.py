r"""The training strategy of the sufficiency theorem, end to end: train w, average copies, train a.

1. a ~ U[-1, 1], w = 0.
2. With a fixed, train w for time T with sigma: by the flow (4.1), or by the true flow with the network's own output.
3. Do this p times independently and average: :math:`u=\frac1p\sum_iw(a_i,T)`.
4. With u fixed and :math:`\hat\sigma(y)=(1+y)^n` in place of sigma, train a.

The second stage is linear and is solved exactly at any time through its kernel matrix; simulations of it check that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import signature
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..activation import Activation
from ..errors import InputError
from ..polynomial import Polynomial
from ._common import (
    _read_schedule,
    generator_state,
    read_activation,
    read_bool,
    read_choice,
    read_count,
    read_generator,
    read_positive,
    read_target,
    read_times,
)
from ._nodes import InitialLaw
from .curve import many_on_curve
from .features import FeatureLaw, features
from .kernel import KernelMatrix, kernel_matrix
from .readout import Readout, limit_readout, network_readout
from .result import Trajectory

if TYPE_CHECKING:
    from .diagnosis import Diagnosis

__all__ = ["Strategy", "strategy"]

_MOST_PARTICLES = 2500  # of the mean-field engine, whose cost grows with their square


@dataclass(repr=False, eq=False)
class Strategy:
    """What :func:`strategy` returns: the state after the first stage, and the second one solved.

    Attributes
    ----------
    target, activation : h*, sigma. second : the second activation, (1+y)^n.
    degree : n. copies : how many were averaged.
    features : the :class:`FeatureLaw` of u in V (of the N neurons, where they are finitely many).
    kernel : its :class:`KernelMatrix`; None for a network with features outside V.
    readout : the second stage in closed form (:class:`Readout`).
    weights : None in the limit, else u of the N neurons (N, m), first p columns in V. outputs : their initial a (N,).
    settings : the arguments, as plain values.
    """

    target: Polynomial
    activation: Activation
    second: Activation
    degree: int
    copies: int
    features: FeatureLaw
    kernel: KernelMatrix | None
    readout: Readout
    weights: np.ndarray | None = None
    outputs: np.ndarray | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        size = "N = infinity" if self.weights is None else f"N = {len(self.weights)}"
        word = "floor" if self.kernel is None or self.kernel.nondegenerate else "floor at most"
        return f"<Strategy {self.target}, {self.activation}, {size}: rate {self.rate:.4g}, {word} {self.floor:.4g}>"

    @property
    def rate(self) -> float:
        r"""2 lambda_min: what the loss is above its part of degree > n falls at least like exp(-rate s), s the integral of xi_a.

        ``readout.rate`` is what this target's loss falls with at last, which a symmetry can make larger. 0 where the
        kernel matrix is degenerate; NaN for features outside V, where ``readout.decay_rate`` tells more.
        """
        if self.kernel is None:
            return float("nan")
        return 2 * float(self.kernel.lambda_min) if self.kernel.nondegenerate else 0.0

    @property
    def floor(self) -> float:
        """The loss that remains however long a is trained (with rates whose integral diverges).

        Where the kernel matrix is not resolved (``kernel.nondegenerate`` is False) this is an upper bound: the modes that
        cannot be told from zero are counted as if they never moved, and so they are in ``loss`` and ``time_to``.
        """
        return self.readout.floor

    def loss(self, times: Any) -> np.ndarray:
        """E(t) of the second stage, exactly, at any times >= 0."""
        return self.readout.loss(times)

    def time_to(self, loss: float) -> float:
        """When the second stage reaches a loss; infinity if never."""
        return self.readout.time_to(loss)

    def trajectory(self, time: float | None = None, *, times: Any = None) -> Trajectory:
        """The second stage in closed form as a Trajectory, ``error`` 0; to ``time``, or to the last of ``times``, or to 20."""
        if time is None:
            time = 20.0 if times is None else max(float(np.max(times)), 1e-12)
        times = read_times(times, read_positive(time, "time"))
        settings = {**self.settings, "second_time": float(time)}
        return Trajectory("strategy", times, self.loss(times), error=0.0, settings=settings)

    def train(self, time: float = 20.0, *, method: str | None = None, **options: Any) -> Trajectory:
        r"""The second stage again, by a general-purpose simulation that knows nothing of kernel matrices: the check.

        Parameters
        ----------
        time : final time of the second stage.
        method : ``"population"`` (the default) or ``"sgd"`` for a finite network, ``"meanfield"`` in the limit (its
            particles are all combinations of the copies' nodes). Their cost grows with time times the largest
            eigenvalue. For long times ``"implicit"``: at most 1000 neurons with features in V, the implicit Runge-Kutta
            method Radau on :math:`\dot a=\xi_a(b-Qa/N)`, with Q from :func:`pair_kernel` and b by Gauss-Hermite
            quadrature in V (p <= 3).
        options : passed on (times, tolerance, step, batch, seed, progress, checkpoint, ...); ``"implicit"`` takes
            ``times`` and ``tolerance``.

        Returns
        -------
        Trajectory of :func:`population`, :func:`sgd` or :func:`meanfield` with ``train="a"`` and the second activation;
        of ``"implicit"`` with method "population".
        """
        choices = ("meanfield",) if self.weights is None else ("population", "sgd", "implicit")
        if self.weights is None and method in ("population", "sgd", "implicit"):
            raise InputError(f'method="{method}" needs a finite network: strategy(..., neurons=1000)')
        method = read_choice(choices[0] if method is None else method, "method", choices)
        if method == "implicit":
            from ._implicit import implicit

            return implicit(self, read_positive(time, "time"), **options)
        options = {"schedule_a": self.readout.schedule.value, **options}
        if self.weights is None:
            from .meanfield import meanfield

            if self.settings["initial_a"] != "zero":
                raise InputError('the limit is simulated from initial_a="zero" only')
            try:
                points, masses = self.features.points(_MOST_PARTICLES)
            except InputError:
                raise InputError(
                    f"the limit of {self.copies} copies has too many particles to be simulated (more than {_MOST_PARTICLES}): "
                    "check a finite network, strategy(..., neurons=1000)"
                ) from None
            start = {"a": np.zeros(len(points)), "w": points, "mass": masses}
            return meanfield(self.target, self.second, time, init=start, train="a", **options)
        from .population import population
        from .sgd import sgd

        run = population if method == "population" else sgd
        own = {"target", "activation", "time", "dimension", "initial_state", "train", "neurons", "init", "schedule_w"}
        unknown = [name for name in options if name in own or name not in signature(run).parameters]
        if unknown:
            raise InputError(f"train: {unknown[0]} is no option of the second stage by {method}")
        # Only the coordinates in which the features live matter: in law the run is the one in R^d.
        start = {"a": self.outputs, "w": self.weights}
        m = self.weights.shape[1]
        return run(self.target, self.second, time, dimension=m, initial_state=start, train="a", **options)

    def diagnose(self, run: Trajectory | None = None, *, step: float | None = None) -> Diagnosis:
        """What stands between this strategy and a loss of zero, if anything (:func:`diagnose`)."""
        from .diagnosis import diagnose_strategy

        return diagnose_strategy(self, run, step)


def strategy(
    target: Polynomial | str,
    activation: Activation | str,
    time: float = 1.0,
    *,
    copies: int | None = None,
    degree: int | None = None,
    feedback: bool = False,
    law: InitialLaw | None = None,
    initial_a: str = "zero",
    schedule_a: Any = 1.0,
    digits: int | None = None,
    neurons: int | None = None,
    dimension: int | None = None,
    method: str | None = None,
    batch: int | None = None,
    step: float | None = None,
    seed: int | np.random.Generator = 0,
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
) -> Strategy:
    r"""Train w for time T with sigma, average independent copies, then train a with :math:`\hat\sigma(y)=(1+y)^n`.

    Parameters
    ----------
    target, activation : h* in p variables and sigma.
    time : T of the first stage, gradient-flow time.
    copies : independent copies averaged; default p.
    degree : n; default the degree of h*.
    feedback : False, the flow (4.1), f_NN left out of the residual; True, the true first stage.
    law : of a, an :class:`InitialLaw`; default a ~ U[-1, 1].
    initial_a : of the second stage: ``"zero"``, or ``"average"``, the average of the copies' a.
    schedule_a : xi_a of the second stage, a number or a function of time.
    digits : of the features in the limit, as in :func:`features`.
    neurons : None, the limit N = infinity (d does not enter it); or N. The arguments that follow are for finite networks.
    dimension : d (default 32).
    method : how the first stage is run: ``"population"`` (the default), exact expectations (d does not enter: from w = 0
        the weights never leave V); or ``"sgd"``, which gives the weights a part outside V of mean square about
        step (d-p)/(b copies) times the integral of E[a^2 h*^2 sigma'^2] (for short T; the chapter has the formula for
        longer ones). SGD is run in the coordinates that matter, exactly in law, at a cost that does not grow with d.
    batch, step : of SGD (256 and 0.01).
    seed, progress, checkpoint : of a finite run; SGD's first stage survives an interrupt with ``checkpoint``.

    Returns
    -------
    Strategy: ``.loss(t)``, ``.rate`` (2 lambda_min), ``.floor``, ``.time_to(level)``, ``.kernel``, ``.features``,
    ``.train(...)`` to simulate the second stage, ``.diagnose()``. After SGD with d > p the features have a part outside V:
    ``.kernel`` is then None and ``.rate`` NaN, and the second stage is solved through the N neurons' own kernel.

    Raises
    ------
    InputError for arguments; DivergenceError where the first stage runs away.

    Source: the strategy is Chen and Ge's (their Algorithm 1 as far as it could be reconstructed); exact solution,
    diagnostics and the law in R^d are this book's, chapter *The sufficiency theorem*.
    """
    h, sigma = read_target(target), read_activation(activation)
    time = read_positive(time, "time")
    support = h.support().dimension
    if h.degree and support < h.p:
        names = ", ".join(h.variables[:9])
        raise InputError(
            f"{h} depends on {support} of the {h.p} directions of {names}: name only those (z1, z2, ...), or take "
            "target.minimal()[0]"
        )
    copies = h.p if copies is None else read_count(copies, "copies")
    n = max(1, h.degree) if degree is None else read_count(degree, "degree")
    read_bool(feedback, "feedback")
    start = read_choice(initial_a, "initial_a", ("zero", "average"))
    rate = _read_schedule(schedule_a, "schedule_a")
    second = Activation(f"(1 + y)**{n}")
    settings = {
        "target": str(h),
        "variables": list(h.variables),
        "activation": str(sigma),
        "time": time,
        "copies": copies,
        "degree": n,
        "feedback": feedback,
        "law": "a ~ U[-1, 1]" if law is None else str(law),
        "initial_a": start,
        "schedule_a": rate.describe(),
    }
    if neurons is None:
        finite = {"dimension": dimension, "method": method, "batch": batch, "step": step, "checkpoint": checkpoint}
        _refuse(finite, "for finite networks only: give neurons as well")
        u = features(h, sigma, time, copies=copies, feedback=feedback, law=law, digits=digits)
        kernel = kernel_matrix(u, n)
        u = kernel.law
        readout = limit_readout(h, kernel, rate, u, start)
        return Strategy(h, sigma, second, n, copies, u, kernel, readout, settings=settings)
    if digits is not None:
        raise InputError("digits has a meaning in the limit only: leave neurons out")
    neurons = read_count(neurons, "neurons")
    dimension = 32 if dimension is None else read_count(dimension, "dimension")
    if dimension < h.p:
        raise InputError(f"dimension={dimension} is too small: the target has p = {h.p} variables")
    method = read_choice("population" if method is None else method, "method", ("population", "sgd"))
    if method == "population":
        _refuse({"batch": batch, "step": step, "checkpoint": checkpoint}, 'for method="sgd" only')
    rng = read_generator(seed)
    law = InitialLaw.uniform() if law is None else law
    if not isinstance(law, InitialLaw):
        raise InputError("law must be an InitialLaw, for instance InitialLaw.uniform(-1, 1)")
    settings |= {"neurons": neurons, "dimension": dimension, "method": method}
    if method == "population":
        a, w = _by_population(h, sigma, time, neurons, dimension, copies, feedback, law, rng, progress)
    else:
        from ._initial import refuse_kink_at_zero
        from ._running import CheckpointFile
        from ._stage_one_sgd import descend

        refuse_kink_at_zero(sigma, np.zeros((1, h.p)), False)
        batch = read_count(256 if batch is None else batch, "batch")
        step = read_positive(0.01 if step is None else step, "step")
        settings |= {"batch": batch, "step": step, "law_values": law.fingerprint()}
        file = CheckpointFile(checkpoint, {"method": "strategy", **settings, "generator": generator_state(rng)})
        a, w = descend(
            h, sigma, time, neurons=neurons, dimension=dimension, copies=copies, batch=batch, step=step,
            feedback=feedback, rng=rng, law=law.sample, progress=progress, file=file,
        )  # fmt: skip
        settings["samples"] = copies * batch * max(1, ceil(time / step - 1e-9))
    weights = w.mean(axis=1)
    outputs = np.zeros(neurons) if start == "zero" else a.mean(axis=1)
    u = FeatureLaw(weights[:, : h.p], outputs=outputs)
    if weights.shape[1] == h.p:
        kernel = kernel_matrix(u, n)
        readout = limit_readout(h, kernel, rate, u, start)
    else:
        kernel, readout = None, network_readout(h, weights, outputs, n, rate)
    return Strategy(h, sigma, second, n, copies, u, kernel, readout, weights, outputs, settings)


def _refuse(arguments: dict[str, Any], meaning: str) -> None:
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise InputError(f"{given[0]} has a meaning {meaning}")


def _by_population(h, sigma, time, neurons, dimension, copies, feedback, law, rng, progress):
    """(a (N, copies), w (N, copies, p)) after the first stage with exact expectations."""
    from ._initial import refuse_kink_at_zero

    refuse_kink_at_zero(sigma, np.zeros((1, h.p)), False)
    a = np.stack([law.sample(rng, neurons) for _ in range(copies)], axis=1)
    if not feedback:
        return a, many_on_curve(h, sigma, (a * time).ravel()).reshape(*a.shape, h.p)
    from .population import population

    w = []
    for i in range(copies):
        start = {"a": a[:, i], "w": np.zeros((neurons, h.p))}
        run = population(
            h, sigma, time, dimension=dimension, initial_state=start, train="w", times=[time], tolerance=1e-9,
            progress=progress,
        )  # fmt: skip
        w.append(run.final_state["w"])
    return a, np.stack(w, axis=1)
