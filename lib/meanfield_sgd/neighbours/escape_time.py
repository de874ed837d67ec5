r"""How long the search takes: exact times for one index vector, bounds for several in any position; and how many neurons it takes.

.. math::
   I_p(m_0,m_1)=\frac1p\int_{m_0}^{m_1}\frac{du}{u^{p-1}(1-u^2)},\qquad
   \frac{I_p(r_0,\delta)}{\max Q}\le T(r_0\to\delta)\le\frac{I_p(r_0,\delta)}{Q(\hat y_0)} .
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import InputError
from ..simulate._common import read_count, short
from .landscape import average_point, specialised_minimum
from .multi_index import read_gram

__all__ = ["EscapeBound", "escape_bound", "escape_time", "recovery_probability", "search_time"]


def search_time(p: int, start: Any, end: Any) -> Any:
    r"""The exact time that one neuron and one index vector take from overlap m_0 to m_1 > m_0 > 0, for g(u) = u^p, elementwise.

    .. math::
       I_p(m_0,m_1)=\frac1p\int_{m_0}^{m_1}\frac{du}{u^{p-1}(1-u^2)}
       =\frac1p\Big[\sum_{0<i\le p-2,\ i\equiv p\,(2)}\frac{-u^{-i}}i+\tau(u)\Big]_{m_0}^{m_1},

    with :math:`\tau=\operatorname{artanh}u` for odd p and :math:`\ln(u/\sqrt{1-u^2})` for even p. For small m_0 it is about
    m_0^(2-p)/(p(p-2)).

    Parameters
    ----------
    p : the order, >= 1.
    start, end : m_0 and m_1 in (0, 1), numbers or arrays.

    Source: this book; the order of magnitude is that of Simsek, Bendjeddou and Hsu, arXiv 2411.08798.
    """
    p = read_count(p, "p")
    start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    if not (np.all((start > 0) & (start < 1)) and np.all((end > 0) & (end < 1))):
        raise InputError("overlaps must lie in (0, 1)")
    if np.any(end < start):
        raise InputError("the end must not lie below the start: overlaps grow")

    def primitive(u: np.ndarray) -> np.ndarray:
        # 1/(u^(p-1)(1-u^2)) = u^-(p-1) + u^-(p-3) + ... + 1/(u(1-u^2)) or 1/(1-u^2)
        total = np.arctanh(u) if p % 2 else np.log(u) - 0.5 * np.log1p(-u * u)
        for i in range(p - 2, 0, -2):
            total = total - u ** float(-i) / i
        return total

    value = (primitive(end) - primitive(start)) / p
    return float(value) if value.ndim == 0 else value


@dataclass(frozen=True, eq=False)
class EscapeBound:
    """``lower`` and ``upper``, (neurons,), enclose the time from the start until the part of w in the span has length delta."""

    lower: np.ndarray
    upper: np.ndarray


def escape_bound(p: int, gram: Any, start: Any, delta: float = 0.5) -> EscapeBound:
    r"""Two-sided bound of the time at which :math:`r=|P_Vw|` reaches delta, for g(u) = u^p and index vectors in any position.

    With :math:`Q(\hat y)=\sum_j(v_j\cdot\hat y)^p` on the unit sphere of the span, :math:`\dot r=pQ(\hat y)r^{p-1}(1-r^2)`
    and Q does not decrease along the flow, so

    .. math::
       \frac{I_p(r_0,\delta)}{\max Q}\le T\le\frac{I_p(r_0,\delta)}{Q(\hat y_0)}\quad\text{if }Q(\hat y_0)>0.

    Parameters
    ----------
    p : the order, >= 2.
    gram : the Gram matrix (k, k), or k.
    start : overlaps (neurons, k).
    delta : in (0, 1), above all r_0.

    Returns
    -------
    EscapeBound
        ``upper`` is infinity where Q(y_0) <= 0. The maximum of Q is exact for equiangular vectors with beta >= 0 and p >= 3 (it
        is attained at the average or at the specialised minimum); otherwise it is bounded by the largest eigenvalue of G, so that
        the lower bound is a bound in any case.

    Source: Simsek, Bendjeddou and Hsu, arXiv 2411.08798, for the order of magnitude; the bound is this book's.
    """
    p, gram = read_count(p, "p", 2), read_gram(gram)
    m = np.atleast_2d(np.asarray(start, dtype=float))
    if m.shape[1] != len(gram):
        raise InputError(f"start must have k = {len(gram)} overlaps a neuron, got shape {m.shape}")
    r = np.sqrt(np.einsum("nk,kl,nl->n", m, np.linalg.inv(gram), m))
    if not 0 < delta < 1 or not np.all((r > 0) & (r < delta)):
        raise InputError(f"delta must lie between the starts, r_0 up to {r.max():.4g}, and 1; got {short(delta)}")
    q = ((m / r[:, None]) ** p).sum(1)
    base = search_time(p, r, np.full(len(r), float(delta)))
    with np.errstate(divide="ignore"):
        upper = np.where(q > 0, base / np.where(q > 0, q, 1.0), np.inf)
    return EscapeBound(base / largest_correlation(p, gram), upper)


def largest_correlation(p: int, gram: np.ndarray) -> float:
    """max of sum_j (v_j . y)^p over unit y, or an upper bound of it."""
    k = len(gram)
    off = gram[~np.eye(k, dtype=bool)] if k > 1 else np.zeros(1)
    if k == 1:
        return 1.0
    if np.ptp(off) < 1e-12 and off[0] >= -1e-12 and p >= 3:
        beta = max(0.0, float(off[0]))
        special = specialised_minimum(p, k, beta)
        return max(-average_point(p, k, beta).loss, -special.loss if special else -math.inf)
    # sum |m_j|^p <= sum m_j^2 max|m_j|^(p-2) <= |m|^2 <= the largest eigenvalue of G
    return float(np.linalg.eigvalsh(gram)[-1])


def escape_time(
    p: int, k: int, d: int, *, beta: float = 0.0, neurons: int = 400, level: float = 0.5, seed: Any = 0
) -> EscapeTimes:
    r"""Times at which random neurons find an index vector in R^d, (neurons,), with what theory says of each.

    Follows :func:`overlap_flow` from uniform starts until an overlap, and until |P_V w|, reaches ``level``, for g(u) = u^p and k
    index vectors with common overlap beta.

    Returns
    -------
    EscapeTimes
        ``times``; ``formula``: 1/(p(p-2) max_j m_j(0)^(p-2)) (|m_j| for even p; infinity where no overlap is positive), which
        the times approach as d grows, for beta = 0 (for p = 2 the exact time of one index vector); ``lengths``, with ``lower`` and
        ``upper`` of :func:`escape_bound`, for |P_V w|.
        A time is infinity where the level is never reached: for odd orders by neurons that lose all overlap, for p = 2 and
        several index vectors by those whose largest overlap tends to less.

    Source: the orders of magnitude d^(p/2-1) are those of Simsek, Bendjeddou and Hsu, arXiv 2411.08798; the constant is this
    book's.
    """
    from .multi_index import equiangular, overlap_flow, random_overlaps

    p = read_count(p, "p", 2)
    gram = equiangular(k, beta)
    start = random_overlaps(gram, d, neurons, seed)
    flow = overlap_flow(p, gram, start, level=level, until="escape")
    length = overlap_flow(p, gram, start, level=level, until="escape", measure="length")
    best = np.abs(start).max(1) if p % 2 == 0 else start.max(1)
    if p == 2:
        formula = search_time(2, best, np.full(len(best), level))
    else:
        with np.errstate(divide="ignore"):
            formula = np.where(best > 0, 1 / (p * (p - 2) * np.where(best > 0, best, 1.0) ** (p - 2)), np.inf)
    bound = escape_bound(p, gram, start, level)
    return EscapeTimes(flow.escape, formula, length.escape, bound.lower, bound.upper)


@dataclass(frozen=True, eq=False)
class EscapeTimes:
    """What :func:`escape_time` returns; every array is (neurons,).

    Attributes
    ----------
    times, formula : until an overlap reaches the level, measured and predicted.
    lengths, lower, upper : until |P_V w| reaches it, measured, and its bounds.
    """

    times: np.ndarray
    formula: np.ndarray
    lengths: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def recovery_probability(k: int, neurons: int, *, dead: Any = 0) -> Fraction:
    r"""The probability that n neurons find all k index vectors, if each finds a uniformly random one, exactly.

    .. math::
       P=\sum_{j=0}^k(-1)^j\binom kj\Big(1-(1-\delta)\frac jk\Big)^n,

    with delta = ``dead`` the probability that a neuron finds none: for odd orders 2^-k.

    Parameters
    ----------
    k, neurons : numbers of index vectors and of neurons.
    dead : an exact number (0, Fraction(1, 32), "1/32") in [0, 1].

    Source: the coupon collector's inclusion and exclusion; that n of order k log k are needed: Simsek, Bendjeddou and Hsu.
    """
    k, neurons = read_count(k, "k"), read_count(neurons, "neurons", 0)
    try:
        dead = Fraction(dead)
    except (TypeError, ValueError):
        raise InputError(f"dead must be an exact number in [0, 1], got {short(dead)}") from None
    if not 0 <= dead <= 1:
        raise InputError(f"dead must lie in [0, 1], got {dead}")
    return sum(
        ((-1) ** j * math.comb(k, j) * (1 - (1 - dead) * Fraction(j, k)) ** neurons for j in range(k + 1)), Fraction(0)
    )
