r"""Gradient flow of the overlaps of neurons with several index vectors, on the correlation loss.

A neuron w on the unit sphere of R^d climbs :math:`F(w)=\sum_jg(v_j\cdot w)`. With the overlaps :math:`m_j=v_j\cdot w` and the Gram
matrix :math:`G_{ij}=v_i\cdot v_j`

.. math::
   \dot m=G\,g'(m)-\lambda m,\qquad\lambda=\sum_jm_jg'(m_j),

exactly, in any dimension: neurons do not see each other, and what is outside of the span of the v_j only decays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError, ToleranceError
from ..simulate._common import read_choice, read_count, read_generator, read_positive, short
from .correlation import CorrelationProfile, read_profile

__all__ = ["OverlapFlow", "equiangular", "overlap_flow", "random_overlaps", "read_gram"]

# Dormand and Prince's fifth-order pair.
_A = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_MOST_STEPS = 20_000


def equiangular(k: int, beta: float) -> np.ndarray:
    """The Gram matrix of k unit vectors with common overlap beta, (k, k); -1/(k-1) < beta < 1."""
    k = read_count(k, "k")
    try:
        beta = float(beta)
    except (TypeError, ValueError):
        raise InputError(f"beta must be a number, got {short(beta)}") from None
    least = -1 / (k - 1) if k > 1 else -1.0
    if not least < beta < 1:
        raise InputError(f"beta must lie in ({least:.4g}, 1) for k = {k} independent vectors, got {beta:g}")
    return (1 - beta) * np.eye(k) + beta


def read_gram(gram: Any) -> np.ndarray:
    """A Gram matrix of independent unit vectors, or a number of orthonormal ones."""
    if isinstance(gram, (int, np.integer)) and not isinstance(gram, bool):
        return np.eye(read_count(gram, "k"))
    try:
        matrix = np.asarray(gram, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"gram must be a (k, k) matrix or k, got {short(gram)}") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.allclose(matrix, matrix.T):
        raise InputError(f"gram must be a symmetric (k, k) matrix of the products v_i . v_j, got shape {matrix.shape}")
    if not np.allclose(np.diag(matrix), 1.0):
        raise InputError("the index vectors must have length one: the diagonal of gram is not 1")
    if np.linalg.eigvalsh(matrix)[0] < 1e-12:
        raise InputError("the index vectors must be linearly independent: gram is singular")
    return matrix


def random_overlaps(gram: Any, dimension: int, neurons: int, seed: int | np.random.Generator = 0) -> np.ndarray:
    r"""Overlaps of neurons that start uniformly on the sphere of R^d with the index vectors, (neurons, k), in law exactly.

    :math:`m=G^{1/2}y`, y the first k coordinates of a uniform unit vector; nothing of size d is drawn.

    Parameters
    ----------
    gram : the Gram matrix (k, k), or k for orthonormal index vectors.
    dimension : d > k.
    neurons : how many.
    seed : a whole number or a numpy Generator.
    """
    gram = read_gram(gram)
    k = len(gram)
    dimension, neurons = read_count(dimension, "dimension", k + 1), read_count(neurons, "neurons")
    rng = read_generator(seed)
    z = rng.standard_normal((neurons, k))
    rest = rng.chisquare(dimension - k, size=(neurons, 1))
    return (z / np.sqrt((z * z).sum(1, keepdims=True) + rest)) @ np.linalg.cholesky(gram).T


@dataclass(frozen=True, eq=False)
class OverlapFlow:
    """What became of the neurons of :func:`overlap_flow`; the arrays have one row or entry a neuron.

    Attributes
    ----------
    start, end : overlaps with the index vectors, (neurons, k).
    escape : the time at which the largest overlap, in size, or the length of the part of w in the span of the index vectors
        reached ``level``, (neurons,); infinity if it did not.
    time : the time at which the neuron had settled, or at which it was given up.
    steps : how many steps it took.
    kind : ``"index"`` (one overlap stands out), ``"average"`` (all are equal, within 1e-3), ``"equator"`` (it lost all
        overlap), ``"other"``, ``"unfinished"``; an array of texts.
    winner : which index vector stands out, -1 where none does.
    times, paths : of the recorded neurons, a list of arrays (T,), and of arrays (T, k).
    """

    start: np.ndarray
    end: np.ndarray
    escape: np.ndarray
    time: np.ndarray
    steps: np.ndarray
    kind: np.ndarray
    winner: np.ndarray
    times: list[np.ndarray]
    paths: list[np.ndarray]

    def fraction(self, kind: str) -> tuple[float, float, float]:
        """The share of neurons of one kind, with the ends of its 95 % confidence interval (Wilson's)."""
        n = len(self.kind)
        share = float(np.mean(self.kind == kind))
        z = 1.959964
        centre = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return share, max(0.0, centre - half), min(1.0, centre + half)


def overlap_flow(
    g: CorrelationProfile | int | dict,
    gram: Any,
    start: Any,
    *,
    level: float = 0.5,
    measure: str = "overlap",
    until: str = "settled",
    time: float = math.inf,
    tolerance: float = 1e-8,
    record: int = 0,
) -> OverlapFlow:
    r"""Follow neurons by the exact flow of their overlaps, to where they settle.

    .. math::
       \dot m=G\,g'(m)-\lambda m,\qquad\lambda=\sum_jm_jg'(m_j).

    Each neuron has steps of its own, whose lengths follow :math:`|m|/|\dot m|`: the search phase of length d^(p/2-1) takes as
    many steps as there are e-folds in it, so that the cost does not grow with d.

    Parameters
    ----------
    g : a CorrelationProfile, an order p (g = u^p) or coefficients {p: c_p}.
    gram : the Gram matrix of the index vectors (k, k), or k for orthonormal ones.
    start : overlaps at time 0, (neurons, k) or (k,), with m^T G^-1 m <= 1.
    level : what counts as having escaped, in (0, 1).
    measure : of what: ``"overlap"``, the largest :math:`|m_j|`; or ``"length"``, of the part of w in the span of the index
        vectors, :math:`|P_Vw|^2=m^TG^{-1}m`.
    until : ``"settled"`` or ``"escape"``: stop a neuron when it has settled, or as soon as it has escaped.
    time : stop at this time at the latest; the default stops a neuron that loses its overlaps when they are 1000 times smaller
        than at the start.
    tolerance : local error of a step relative to the size of m.
    record : for how many of the neurons (the first ones) to keep the path.

    Returns
    -------
    OverlapFlow

    Raises
    ------
    InputError for arguments that do not fit; ToleranceError if a neuron takes over 20,000 steps.

    Source: Simsek, Bendjeddou and Hsu, arXiv 2411.08798, for the setting; the reduction to overlaps for any Gram matrix is exact
    (this book's derivation), and was checked against the flow in R^d and against exact escape times.
    """
    g, gram = read_profile(g), read_gram(gram)
    k = len(gram)
    try:
        m = np.atleast_2d(np.asarray(start, dtype=float)).copy()
    except (TypeError, ValueError):
        raise InputError(f"start must be overlaps (neurons, k), got {short(start)}") from None
    if m.ndim != 2 or m.shape[1] != k:
        raise InputError(f"start must have k = {k} overlaps a neuron, got shape {m.shape}")
    inverse = np.linalg.inv(gram)
    if not np.all(np.isfinite(m)) or np.max(np.einsum("nk,kl,nl->n", m, inverse, m)) > 1 + 1e-9:
        raise InputError("start must have m^T G^-1 m <= 1: these are no overlaps of a unit vector")
    level, tolerance = read_positive(level, "level"), read_positive(tolerance, "tolerance")
    if level >= 1:
        raise InputError(f"level must be below 1, the overlap of a neuron that has arrived; got {level:g}")
    if tolerance > 1e-2:
        raise InputError(f"tolerance must be at most 0.01, got {tolerance:g}")
    until = read_choice(until, "until", ("settled", "escape"))
    measure = read_choice(measure, "measure", ("overlap", "length"))
    horizon = math.inf if time is None or time == math.inf else read_positive(time, "time")
    record = min(read_count(record, "record", 0), len(m))
    lengths = inverse if measure == "length" else None
    return _integrate(g, gram, m, level, lengths, until == "escape", horizon, tolerance, record)


def _field(g: CorrelationProfile, gram: np.ndarray, m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    slope = np.asarray(g.slope(m))
    rate = (m * slope).sum(1)
    return slope @ gram - rate[:, None] * m, rate


def _size(m: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    return np.abs(m).max(1) if lengths is None else np.sqrt(np.einsum("nk,kl,nl->n", m, lengths, m))


def _integrate(g, gram, m, level, lengths, stop_at_escape, horizon, tolerance, record) -> OverlapFlow:
    count = len(m)
    start = m.copy()
    t, steps, rejected = np.zeros(count), np.zeros(count, dtype=int), np.zeros(count, dtype=int)
    escape = np.where(_size(m, lengths) >= level, 0.0, np.inf)
    done = np.isfinite(escape) if stop_at_escape else np.zeros(count, dtype=bool)
    lost = np.zeros(count, dtype=bool)
    settled = np.zeros(count, dtype=bool)
    size0 = np.abs(m).max(1)
    times, paths = [[0.0] for _ in range(record)], [[row.copy()] for row in m[:record]]
    field, rate = _field(g, gram, m)
    # Where the field is tiny, near a fixed point, |m|/|m'| is long: the rate of the flow limits the first step, too.
    slopes = np.abs(np.asarray(g.slope(m))).sum(1)
    step = 0.05 * np.minimum(
        np.abs(m).max(1) / np.maximum(np.abs(field).max(1), 1e-300), 1 / np.maximum(slopes, 1e-300)
    )
    at_rest = np.abs(field).max(1) <= 1e-300
    settled |= at_rest
    done |= at_rest
    while not done.all():
        live = np.flatnonzero(~done)
        y, k1, h = m[live], field[live], np.minimum(step[live], horizon - t[live])
        stages = [k1]
        with np.errstate(over="ignore", invalid="ignore"):  # such a step is rejected
            for row in _A:
                z = y + h[:, None] * sum(a * k for a, k in zip(row, stages) if a)
                stages.append(_field(g, gram, z)[0])
            error = np.abs(h[:, None] * sum(e * k for e, k in zip(_ERROR, stages) if e)).max(1)
        scale = tolerance * np.abs(y).max(1)
        ratio = np.nan_to_num(error / np.maximum(scale, 1e-300), nan=np.inf)
        good = ratio <= 1.0
        factor = np.clip(0.9 * np.maximum(ratio, 1e-10) ** -0.2, 0.2, 5.0)
        step[live] = h * factor
        accepted = live[good]
        if len(accepted):
            before, slope = m[accepted].copy(), field[accepted].copy()
            m[accepted] = z[good]
            new, rate = _field(g, gram, m[accepted])
            field[accepted] = new
            used = h[good]
            crossed = (_size(m[accepted], lengths) >= level) & np.isinf(escape[accepted])
            for row in np.flatnonzero(crossed):
                i = accepted[row]
                ends = _ends(before[row], m[i], slope[row], new[row], lengths)
                escape[i] = t[i] + used[row] * _crossing(*ends, used[row], level)
            t[accepted] += used
            steps[accepted] += 1
            speed, size = np.abs(new).max(1), np.abs(m[accepted]).max(1)
            # At the edge of stability the speed hovers at the size of the local error: nothing below that can be asked for.
            arrived = (speed <= 10 * tolerance * np.maximum(np.abs(rate), 1e-300) * size) & (size > 1e-3)
            gone = (size < 1e-3 * size0[accepted]) & np.isinf(horizon)
            settled[accepted] |= arrived
            lost[accepted] |= gone
            over = t[accepted] >= horizon * (1 - 1e-14)
            if stop_at_escape:
                over |= np.isfinite(escape[accepted])
            done[accepted] |= arrived | gone | over
            for i in accepted[accepted < record]:
                times[i].append(float(t[i]))
                paths[i].append(m[i].copy())
        rejected[live[~good]] += 1
        if max(steps.max(), rejected.max()) > _MOST_STEPS:
            raise ToleranceError(f"a neuron took over {_MOST_STEPS} steps: take a larger tolerance, or a final time")
    kind, winner = _classify(g, m, settled, lost)
    return OverlapFlow(
        start, m, escape, t, steps, kind, winner, [np.array(row) for row in times], [np.array(rows) for rows in paths]
    )


def _ends(before, after, slope0, slope1, lengths) -> tuple[float, float, float, float]:
    """Size at both ends of a step, and how fast it changes there."""
    if lengths is None:
        j = int(np.argmax(np.abs(after)))
        sign = 1.0 if after[j] > 0 else -1.0
        return sign * before[j], sign * after[j], sign * slope0[j], sign * slope1[j]
    r0, r1 = (math.sqrt(m @ lengths @ m) for m in (before, after))
    return r0, r1, float(before @ lengths @ slope0) / r0, float(after @ lengths @ slope1) / r1


def _crossing(y0: float, y1: float, d0: float, d1: float, h: float, level: float) -> float:
    """Where the cubic through values and slopes at both ends of [0, h] crosses the level, as a share of h."""
    from scipy.optimize import brentq

    def cubic(s: float) -> float:
        r = 1 - s
        return (1 + 2 * s) * r * r * y0 + s * r * r * h * d0 + s * s * (3 - 2 * s) * y1 - s * s * r * h * d1 - level

    return float(brentq(cubic, 0.0, 1.0)) if cubic(0.0) < 0 < cubic(1.0) else 1.0


def _classify(g, m, settled, lost) -> tuple[np.ndarray, np.ndarray]:
    """Names for the ends: one overlap stands out, all are equal, none is left."""
    kind = np.where(lost, "equator", np.where(settled, "other", "unfinished")).astype(object)
    winner = np.full(len(m), -1)
    k = m.shape[1]
    for i in np.flatnonzero(settled):
        sizes = np.abs(m[i])
        if sizes.max() < 1e-9:  # it started there
            kind[i] = "equator"
            continue
        j = int(np.argmax(sizes))
        others = np.delete(m[i], j)
        attracts = float(m[i] @ np.asarray(g.slope(m[i]))) > 0  # lambda: else what is outside of the span grows
        if k > 1 and np.ptp(m[i]) < 1e-3:
            kind[i] = "average"
        elif attracts and (k == 1 or (np.ptp(others) < 1e-3 and sizes[j] - np.abs(others).max() > 1e-3)):
            kind[i], winner[i] = "index", j
    return kind.astype(str), winner
