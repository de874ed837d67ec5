"""Why a training strategy does not bring the loss to zero, or not in reasonable time: its failure signatures, recognised.

Each signature is tested where it can be told best: hidden directions, parities and the Taylor condition by exact
arithmetic (``decide``), algebraic dependence by the kernel matrix and, where a proof is to be had, by
``averaging_exponents``, schedules and step sizes by their numbers, a simulated run by its own curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

from ..errors import DivergenceError, InputError
from ._common import read_activation, read_positive, read_target, short
from ._precise import can_be_precise
from .readout import above_degree
from .result import Trajectory
from .strategy import Strategy, strategy

__all__ = ["Diagnosis", "Signature", "diagnose"]

_ILL = 1e-9  # lambda_min / lambda_max: a billion units of the fastest time


@dataclass(frozen=True)
class Signature:
    """One thing that is wrong.

    Attributes
    ----------
    name : ``"kink"``, ``"runaway"``, ``"no drift"``, ``"reflective"``, ``"parity"``, ``"Taylor condition"``,
        ``"algebraic dependence"``, ``"too few neurons"``, ``"degree"``, ``"conditioning"``, ``"noise"``,
        ``"learning rate"``, ``"step size"`` or ``"not the flow"``.
    says : what was found, in a sentence. mend : what to change. evidence : the numbers.
    """

    name: str
    says: str
    mend: str
    evidence: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.name}: {self.says}; {self.mend}"


@dataclass(frozen=True)
class Diagnosis:
    """All signatures found, the most fundamental first; empty if the loss goes to zero at a reasonable rate."""

    signatures: tuple[Signature, ...]
    healthy: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(s.name for s in self.signatures)

    def __bool__(self) -> bool:
        return bool(self.signatures)

    def __str__(self) -> str:
        return "\n".join(map(str, self.signatures)) or self.healthy

    def __repr__(self) -> str:
        return f"<Diagnosis: {', '.join(self.names) or 'nothing wrong'}>"


def diagnose(
    target: Any, activation: Any, time: float = 1.0, *, run: Trajectory | None = None, step: float | None = None,
    **options: Any,
) -> Diagnosis:  # fmt: skip
    """Why :func:`strategy` with these arguments fails, if it does.

    Parameters
    ----------
    target, activation, time, options : as in :func:`strategy`; what it raises becomes a signature, too (a kink at 0, a
        first stage that runs away).
    run : a simulated second stage (:meth:`Strategy.train`, or your own) to be held against the exact solution.
    step : the step with which the second stage is to be run by SGD or Euler's method.

    Returns
    -------
    Diagnosis, with ``.names``, and a sentence with a mend for each signature when printed.

    Raises
    ------
    InputError for arguments that are not readable.

    Source: this book, The sufficiency theorem. Every signature is produced on purpose there and in the tests.
    """
    h, sigma = read_target(target), read_activation(activation)
    _check(run, step)
    found = _exact(h, sigma)
    if "kink" in (s.name for s in found):
        return Diagnosis(tuple(found), "")
    try:
        made = strategy(h, sigma, time, **options)
    except DivergenceError as problem:
        says = f"the first stage runs away near time {problem.time:.3g}, before T = {time:g}"
        mend = "train w for a shorter time, or take a bounded activation"
        return Diagnosis((*found, Signature("runaway", says, mend, {"time": problem.time})), "")
    return _whole(made, found, run, step)


def diagnose_strategy(made: Strategy, run: Trajectory | None, step: float | None) -> Diagnosis:
    """:func:`diagnose` for a strategy that has been run."""
    _check(run, step)
    return _whole(made, _exact(made.target, made.activation), run, step)


def _check(run: Any, step: Any) -> None:
    if run is not None and not isinstance(run, Trajectory):
        raise InputError(f"run must be a Trajectory, as Strategy.train returns it, got {short(run)}")
    if step is not None:
        read_positive(step, "step")


def _whole(made: Strategy, found: list[Signature], run: Trajectory | None, step: float | None) -> Diagnosis:
    # The Taylor condition is about the flow without feedback, and about series: where features are at hand, they decide.
    if made.settings.get("feedback") or (made.kernel is not None and made.kernel.nondegenerate):
        found = [s for s in found if s.name != "Taylor condition"]
    found = [*found, *_features(made, {s.name for s in found}), *_training(made, run, step)]
    if made.target.degree < 1:
        return Diagnosis(tuple(found), "nothing wrong: there is nothing to learn but a constant")
    rate = made.readout.rate
    healthy = (
        f"nothing wrong: the loss falls to {made.floor:.3g}, at last like exp(-{rate:.3g} s), s the integral of xi_a"
    )
    return Diagnosis(tuple(found), healthy)


def _exact(h: Any, sigma: Any) -> list[Signature]:
    """What exact arithmetic says of the target and the activation alone."""
    from ..decide import decide

    if h.degree < 1:
        return []
    minimal, _ = h.minimal()
    try:
        verdict = decide(minimal, sigma, progress=False)
    except InputError:  # a custom activation that does not declare what exact arithmetic needs
        return []
    p = verdict.support.dimension
    if "not smooth at 0" in verdict.note:
        says = f"{sigma} has a kink at 0, where all neurons start"
        return [Signature("kink", says, "shift it, as in relu(y + 1/2)", {"note": verdict.note})]
    if verdict.usable.dimension == 0:
        says = "no neuron moves from w = 0: the target has no linear part, or sigma has no slope at 0 that counts"
        mend = "start from random weights, or take a target with E[h z] != 0 and an activation with slope at 0"
        return [Signature("no drift", says, mend, {"reached": 0})]
    if verdict.reflective.dimension:
        says = (
            f"the target is reflective: of {p} directions only {verdict.reached.dimension} can be reached, and the loss "
            f"stays above {float(verdict.reflective_floor):.4g}"
        )
        mend = "no bias-free choice of sigma helps: the target must change, or the data"
        evidence = {"reached": verdict.reached.dimension, "floor": float(verdict.reflective_floor)}
        return [Signature("reflective", says, mend, evidence)]
    if verdict.invariant.dimension:
        says = (
            f"the parity of sigma hides {verdict.invariant.dimension} direction(s): a network without bias reaches "
            f"{verdict.usable.dimension} of {p}"
        )
        evidence = {"reached": verdict.usable.dimension, "floor": float(verdict.invariant_floor)}
        return [Signature("parity", says, "shift the activation, as in tanh(y + 1/2)", evidence)]
    if verdict.taylor is not None and verdict.taylor.dimension < p:
        proof = verdict.taylor.proof or f"searched to order {verdict.taylor.searched}"
        says = (
            f"the curve of the flow (4.1) spans only {verdict.taylor.dimension} of {p} directions, although nothing is "
            f"reflective ({proof})"
        )
        mend = "another activation, or the true first stage (feedback=True)"
        evidence = {"dimension": verdict.taylor.dimension, "proof": verdict.taylor.proof}
        return [Signature("Taylor condition", says, mend, evidence)]
    return []


def _features(made: Strategy, known: set[str]) -> list[Signature]:
    """What the features that were reached allow."""
    found = []
    lost = above_degree(made.target, made.degree)
    if lost > 0:
        says = f"sigma-hat has degree {made.degree}, the target {made.target.degree}: {lost:.4g} of the loss stays"
        found.append(Signature("degree", says, f"take degree={made.target.degree}", {"floor": lost}))
    if made.weights is not None and made.weights.shape[1] > made.target.p:
        rest = float(np.mean(np.sum(made.weights[:, made.target.p :] ** 2, axis=1)))
        if made.floor - lost > 1e-8 * max(1.0, float(made.target.inner(made.target))):
            says = (
                f"the noise of SGD gave the features a part outside V of mean square {rest:.3g}, which leaves a loss of "
                f"{made.floor - lost:.3g}"
            )
            mend = "more samples in the first stage: a smaller step, or a larger batch"
            found.append(Signature("noise", says, mend, {"mean_square": rest, "floor": made.floor - lost}))
        return found
    kernel = made.kernel
    count = None if made.weights is None else len(made.weights)
    if count is not None and count < kernel.size:
        says = f"{count} neurons cannot represent {kernel.size} monomials"
        mend = f"take at least {kernel.size} neurons"
        found.append(Signature("too few neurons", says, mend, {"neurons": count, "monomials": kernel.size}))
    elif not kernel.nondegenerate:
        if made.target.degree >= 1 and not known & {"no drift", "reflective", "parity", "Taylor condition"}:
            found.append(_dependence(made))
    elif float(kernel.lambda_min) < _ILL * float(kernel.eigenvalues[-1]):
        says = (
            f"lambda_min = {float(kernel.lambda_min):.2g} is positive, but {float(kernel.condition_number):.1g} times "
            f"smaller than the largest eigenvalue: the last part of the loss takes a time of {1 / made.readout.rate:.1g}"
        )
        mend = "train w longer (a larger T)" + ("" if made.copies >= made.target.p else ", or average more copies")
        evidence = {"lambda_min": float(kernel.lambda_min), "condition_number": float(kernel.condition_number)}
        found.append(Signature("conditioning", says, mend, evidence))
    return found


def _dependence(made: Strategy) -> Signature:
    from ..decide import averaging_exponents

    kernel, p = made.kernel, made.target.p
    relations = kernel.null_polynomials()
    # The theorems are about a law of a with a density, and the flow (4.1).
    theorems = not made.settings["feedback"] and (made.weights is not None or made.features.levels > 0)
    proved = True if theorems and made.copies >= p else None
    if theorems and made.copies == 1 and p > 1:
        try:
            singular = averaging_exponents(made.target, made.activation, degree=made.degree).singular
            proved = None if singular is None else not singular
        except InputError:
            proved = None
    count = f"{len(relations)} polynomial(s) of degree at most {made.degree}"
    evidence = {"relations": relations, "proved": None if proved is None else not proved}
    if proved:
        says = f"lambda_min is positive, but lost below {mpmath.nstr(kernel.floor, 2)}: {count} nearly vanish on the features"
        more = ", or ask for more digits" if can_be_precise(made.activation) and made.weights is None else ""
        return Signature("conditioning", says, f"train w longer (a larger T){more}", evidence)
    word = (
        "proved at all orders" if proved is False else f"to the {kernel.law.digits} digits of the features, not proved"
    )
    says = f"the features are linearly, but not algebraically independent: {count} vanish on them ({word})"
    mend = f"average {p} independent copies" if made.copies < p else "a larger T"
    return Signature("algebraic dependence", says, mend, evidence)


def _training(made: Strategy, run: Trajectory | None, step: float | None) -> list[Signature]:
    """What the second stage makes of it."""
    found = []
    readout = made.readout
    if not readout.schedule.constant or readout.schedule.value == 0:
        far = [float(readout.clock(10.0**k)) for k in (4, 6, 8)]
        if far[2] - far[1] <= 0.01 * max(far[1], 1e-300):
            left = float(readout.loss(1e8)) - readout.floor
            if left > 1e-10:
                says = f"the learning rates add up to {far[2]:.4g} only, after which a loss of {left:.3g} is left"
                mend = "use rates whose integral diverges, such as a constant or 1/(1+t)"
                found.append(Signature("learning rate", says, mend, {"integral": far[2], "left": left}))
    if step is None and run is not None and run.method == "sgd":
        step = run.settings.get("step")
    if step is not None and len(readout.eigenvalues):
        peak = max(readout.schedule(t) for t in (0.0, 1.0, 10.0, 100.0))
        product = step * peak * float(readout.eigenvalues[-1])
        if product >= 2:
            says = f"step {step:g} times the largest eigenvalue {readout.eigenvalues[-1]:.3g} is {product:.3g}, not below 2"
            mend = f"take a step below {2 / (peak * readout.eigenvalues[-1]):.2g}; SGD's noise asks for much less"
            found.append(Signature("step size", says, mend, {"product": product}))
    if run is not None:
        found += _compared(made, run)
    return found


def _compared(made: Strategy, run: Trajectory) -> list[Signature]:
    exact = made.loss(run.times)
    error = run.error or 0.0
    if run.method == "sgd":
        error += 0.2 * float(exact[0])  # one run fluctuates; a run that diverges or stalls is off by far more
    off = np.abs(run.losses - exact) - error
    if not np.all(np.isfinite(run.losses)) or off.max() > 0.05 * float(exact[0]):
        worst = int(np.argmax(np.where(np.isfinite(off), off, np.inf)))
        says = (
            f"at time {run.times[worst]:.3g} the run has loss {run.losses[worst]:.3g}, the exact solution "
            f"{exact[worst]:.3g}"
        )
        mend = "a smaller step or a larger batch; check that the run trains a alone, with (1+y)^n"
        return [Signature("not the flow", says, mend, {"time": float(run.times[worst]), "off": float(off[worst])})]
    return []
