r"""Neurons in R^d itself: gradient flow by their weights, on the correlation loss or the squared one, and SGD on fresh samples.

These are the slow routes, on which the flow of the overlaps is checked, and the only ones for the squared loss, under which
neurons see each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, ToleranceError
from ..simulate._common import (
    read_activation,
    read_choice,
    read_count,
    read_generator,
    read_positive,
    read_times,
    short,
)
from .correlation import CorrelationProfile, read_profile

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["NeuronFlow", "correlation_sgd", "index_vectors", "neuron_flow"]


@dataclass(frozen=True, eq=False)
class NeuronFlow:
    """Where the neurons went.

    Attributes
    ----------
    times : (T,).
    overlaps : (T, neurons, k) with the index vectors.
    weights : (neurons, d) at the end.
    losses : (T,), the population loss (correlation: -sum_i sum_j g(w_i . v_j), squared: 1/2 E(f - f*)^2); None for SGD.
    """

    times: np.ndarray
    overlaps: np.ndarray
    weights: np.ndarray
    losses: np.ndarray | None


def index_vectors(gram: Any, dimension: int) -> np.ndarray:
    """k unit vectors in R^d with the given Gram matrix, (k, d), in the first k coordinates; ``gram`` (k, k), or k."""
    from .multi_index import read_gram

    gram = read_gram(gram)
    dimension = read_count(dimension, "dimension", len(gram))
    return np.pad(np.linalg.cholesky(gram), ((0, 0), (0, dimension - len(gram))))


def neuron_flow(
    g: CorrelationProfile | int | dict,
    vectors: Any,
    start: Any,
    *,
    time: float,
    times: Any = None,
    loss: str = "correlation",
    weight: float = 1.0,
    tolerance: float = 1e-8,
) -> NeuronFlow:
    r"""Gradient flow of n neurons on the unit sphere of R^d, by their weights.

    .. math::
       \dot w_i=(I-w_iw_i^T)\Big[\sum_jg'(w_i\cdot v_j)v_j-\chi\sum_{l\ne i}a\,g'(w_i\cdot w_l)w_l\Big],

    with chi = 0 for the correlation loss, where neurons do not see each other, and chi = 1 for the squared loss
    :math:`\frac12E(f-f^*)^2` of :math:`f=a\sum_i\sigma(w_i\cdot x)` with sigma = sigma*, in time divided by a.

    Parameters
    ----------
    g : the profile, as in :func:`overlap_flow`.
    vectors : the index vectors, (k, d), of length one.
    start : weights at time 0, (n, d), of length one.
    time, times : the final time, and when to record (default: 101 times).
    loss : ``"correlation"`` or ``"squared"``.
    weight : a, the output weight of every neuron, for the squared loss; on the correlation loss it would only rescale time, and
        is not used.
    tolerance : relative error of the integrator; absolute 1e-3 of that.

    Returns
    -------
    NeuronFlow

    Source: Simsek, Bendjeddou and Hsu, arXiv 2411.08798; the comparison with the squared loss is this book's.
    """
    from scipy.integrate import solve_ivp

    g = read_profile(g)
    vectors, start = _unit_rows(vectors, "vectors"), _unit_rows(start, "start")
    if vectors.shape[1] != start.shape[1]:
        raise InputError(f"vectors and start must have the same dimension, got {vectors.shape[1]} and {start.shape[1]}")
    time, weight, tolerance = (
        read_positive(time, "time"),
        read_positive(weight, "weight"),
        read_positive(tolerance, "tolerance"),
    )
    times = read_times(times, time)
    squared = read_choice(loss, "loss", ("correlation", "squared")) == "squared"
    if squared and min(g.coefficients.values()) < 0:
        raise InputError(
            "the squared loss is that of sigma = sigma*, for which every c_p is a square: none may be negative"
        )
    # All motion stays in the span of the index vectors and the starts.
    basis = np.linalg.qr(np.concatenate([vectors, start]).T)[0]
    v, w0 = vectors @ basis, start @ basis
    n = len(w0)

    def field(_: float, flat: np.ndarray) -> np.ndarray:
        w = flat.reshape(n, -1)
        pull = np.asarray(g.slope(np.clip(w @ v.T, -1, 1))) @ v
        if squared:
            push = np.asarray(g.slope(np.clip(w @ w.T, -1, 1)))
            np.fill_diagonal(push, 0.0)  # a neuron's pull on itself is radial
            pull = pull - weight * push @ w
        return (pull - (pull * w).sum(1, keepdims=True) * w).ravel()

    run = solve_ivp(
        field, (0.0, time), w0.ravel(), method="DOP853", t_eval=times, rtol=tolerance, atol=1e-3 * tolerance
    )
    if not run.success:
        raise ToleranceError(f"the flow could not be followed to time {time:g}: {run.message}")
    weights = run.y.T.reshape(len(times), n, -1)
    # Between its steps the integrator interpolates, and the interpolant leaves the sphere by more than the tolerance.
    weights /= np.linalg.norm(weights, axis=2, keepdims=True)
    overlaps = weights @ v.T
    losses = -np.asarray(g(np.clip(overlaps, -1, 1))).reshape(len(times), -1).sum(1)
    if squared:
        own = np.asarray(g(np.clip(weights @ weights.transpose(0, 2, 1), -1, 1))).reshape(len(times), -1).sum(1)
        target = float(np.sum(g(np.clip(v @ v.T, -1, 1))))
        losses = 0.5 * (weight**2 * own + 2 * weight * losses + target)
    return NeuronFlow(times, overlaps, weights[-1] @ basis.T, losses)


def correlation_sgd(
    student: Activation | str,
    vectors: Any,
    start: Any,
    *,
    step: float,
    batch: int,
    steps: int,
    teacher: Activation | str | None = None,
    records: int = 101,
    seed: int | np.random.Generator = 0,
) -> NeuronFlow:
    r"""Online SGD on the correlation loss: fresh samples at every step, and every neuron put back on the sphere.

    .. math::
       w\leftarrow\frac{w+\eta\,(I-ww^T)\hat g}{|\cdot|},\qquad
       \hat g=\frac1b\sum_\mu f^*(x_\mu)\,\sigma'(w\cdot x_\mu)\,x_\mu,\qquad f^*=\sum_j\sigma^*(v_j\cdot x).

    Parameters
    ----------
    student, teacher : sigma and sigma*, Activations or texts such as ``"He3(y)"``; teacher None: the same.
    vectors, start : index vectors (k, d) and weights (n, d), of length one.
    step, batch, steps : eta, b, and how many steps.
    records : at how many equally spaced steps to record.
    seed : a whole number or a numpy Generator.

    Returns
    -------
    NeuronFlow
        ``times`` are steps times eta, in which the run tends to the flow as eta -> 0; ``losses`` is None.

    Source: this book, as a check.
    """
    student = read_activation(student)
    teacher = student if teacher is None else read_activation(teacher, jumps=True)
    vectors, w = _unit_rows(vectors, "vectors"), _unit_rows(start, "start").copy()
    if vectors.shape[1] != w.shape[1]:
        raise InputError(f"vectors and start must have the same dimension, got {vectors.shape[1]} and {w.shape[1]}")
    step, batch, steps = read_positive(step, "step"), read_count(batch, "batch"), read_count(steps, "steps")
    marks = np.unique(np.linspace(0, steps, read_count(records, "records", 2)).round().astype(int))
    rng = read_generator(seed)
    seen = [w @ vectors.T]
    for number in range(1, steps + 1):
        x = rng.standard_normal((batch, w.shape[1]))
        y = np.asarray(teacher(x @ vectors.T)).sum(1)
        pull = (np.asarray(student.derivative(x @ w.T)) * y[:, None]).T @ x / batch
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            w = w + step * (pull - (pull * w).sum(1, keepdims=True) * w)
            w /= np.linalg.norm(w, axis=1, keepdims=True)
        if not np.all(np.isfinite(w)):
            raise ToleranceError(f"SGD left the finite numbers at step {number}: take a smaller step than {step:g}")
        if number in marks:
            seen.append(w @ vectors.T)
    return NeuronFlow(marks * step, np.array(seen), w, None)


def _unit_rows(rows: Any, name: str) -> np.ndarray:
    try:
        array = np.atleast_2d(np.asarray(rows, dtype=float))
    except (TypeError, ValueError):
        raise InputError(f"{name} must be an array of unit vectors, got {short(rows)}") from None
    if array.ndim != 2 or not np.allclose(np.linalg.norm(array, axis=1), 1.0, atol=1e-8):
        raise InputError(f"{name} must be rows of length one: divide each by its norm")
    return array
