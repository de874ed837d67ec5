r"""The phase diagram of equiangular index vectors: where the average is a minimum, where a single index vector is.

With common overlap beta of k index vectors, the average :math:`\bar w=\sum v_j/|\sum v_j|` has overlaps
:math:`\bar m^2=(1+(k-1)\beta)/k`, and the loss :math:`-F` has there the eigenvalues

.. math::
   k\bar mg'(\bar m)-(1-\beta)g''(\bar m)\ (\times k-1),\qquad k\bar mg'(\bar m)\ (\times d-k).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from ..errors import InputError
from ..simulate._common import read_count
from .correlation import CorrelationProfile, read_profile
from .fixed_points import FixedPoint, describe
from .multi_index import equiangular

__all__ = [
    "average_point",
    "average_threshold",
    "equal_loss",
    "fold",
    "minima",
    "specialised_minimum",
]

_GRID = 4001


def average_point(g: CorrelationProfile | int | dict, k: int, beta: float) -> FixedPoint:
    """The average of k index vectors with common overlap beta, a fixed point for every g, and its spectrum."""
    g, k = read_profile(g), read_count(k, "k", 2)
    gram = equiangular(k, beta)
    return describe(g, gram, np.full(k, math.sqrt((1 + (k - 1) * float(gram[0, 1])) / k)))


def average_threshold(g: CorrelationProfile | int | dict, k: int) -> list[Any]:
    r"""All thresholds beta_c in (0, 1) at which the average turns from a saddle into a minimum, or back, ascending.

    They are the roots of :math:`k\bar mg'(\bar m)=(1-\beta)g''(\bar m)`, :math:`\bar m^2=(1+(k-1)\beta)/k`, at which the sign
    changes. For one Hermite order p there is one, :math:`\beta_c=\frac{p-2}{k+p-2}`, given as a Fraction. Otherwise the
    equation reads :math:`\beta_c=\frac c{c+k}` with :math:`c=\bar mg''(\bar m)/g'(\bar m)-1`; it may have several roots, and
    then the average is a minimum between the first and the second, and so on.

    Parameters
    ----------
    g : a CorrelationProfile, an order or coefficients.
    k : the number of index vectors, >= 2.

    Returns
    -------
    list
        A Fraction for one order; floats otherwise, accurate to about 1e-12. Roots closer together than 1e-4 of the range may be
        missed for profiles that are not polynomials.

    Source: the threshold for one order is that of Simsek, Bendjeddou and Hsu, arXiv 2411.08798; the implicit equation and several
    roots are this book's.
    """
    g, k = read_profile(g), read_count(k, "k", 2)
    if g.order is not None:
        p = g.order
        return [Fraction(p - 2, k + p - 2)] if p > 2 and g.coefficients[p] > 0 else []

    def transverse(u):  # in the overlap of the average, u = m-bar
        inside = np.minimum(u, 1 - 1e-15)  # a curvature may be infinite at 1
        return u * np.asarray(g.slope(u)) - (1 - u * u) / (k - 1) * np.asarray(g.curvature(inside))

    low = 1 / math.sqrt(k)
    if not g.closed and max(g.coefficients) <= 60:
        size = max(g.coefficients)
        slope, curvature = np.zeros(size), np.zeros(size)
        for order, value in g.coefficients.items():
            slope[order - 1] = order * float(value)
            if order > 1:
                curvature[order - 2] = order * (order - 1) * float(value)
        x = np.polynomial.Polynomial
        polynomial = x([0, 1]) * x(slope) - x([1, 0, -1]) * x(curvature) / (k - 1)
        # Every sign change lies between two neighbouring stationary points: none is lost, however close together.
        still = [r.real for r in polynomial.deriv().roots() if abs(r.imag) < 1e-9 and low < r.real < 1]
        cuts = np.unique(np.concatenate([[low, 1.0], still]))
    else:
        cuts = np.linspace(low, 1.0, _GRID)
    roots = _sign_changes(transverse, cuts)
    # With g' < 0 the average has lambda < 0: no change of one eigenvalue makes it a minimum.
    return [(k * u * u - 1) / (k - 1) for u in roots if low < u < 1 and float(g.slope(u)) > 0]


def _sign_changes(function: Callable[[Any], Any], cuts: np.ndarray) -> list[float]:
    values = function(cuts)
    found = []
    for a, b, fa, fb in zip(cuts, cuts[1:], values, values[1:]):
        if fa == 0.0:
            continue
        if fa * fb < 0:
            found.append(float(brentq(lambda u: float(function(u)), a, b, xtol=1e-15, rtol=1e-14)))
    return found


def _circle(k: int, beta: float) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Overlaps (m_1, m_rest) of the unit vectors in the plane of v_1 and the average, by the angle from the average."""
    mean = math.sqrt((1 + (k - 1) * beta) / k)
    # v_1 has the component sqrt(1 - mean^2) along e_2; the components of all v_j along e_2 add up to zero.
    side = math.sqrt(1 - mean * mean)

    def overlaps(angle):
        c, s = np.cos(angle), np.sin(angle)
        return mean * c + side * s, mean * c - side * s / (k - 1)

    return overlaps


def _patterns(g: CorrelationProfile, k: int, beta: float) -> list[np.ndarray]:
    """Overlaps of the fixed points (m_1, m, ..., m) with m_1 > m on the half-circle on the side of v_1."""
    overlaps = _circle(k, beta)

    def slope(angle):  # of F along the circle
        m, rest = overlaps(angle)
        dm, drest = overlaps(angle + math.pi / 2)
        return np.asarray(g.slope(m)) * dm + (k - 1) * np.asarray(g.slope(rest)) * drest

    angles = np.linspace(1e-7, math.pi - 1e-7, _GRID)
    values = slope(angles)
    found = []
    for i in np.flatnonzero(values[:-1] * values[1:] < 0):
        angle = brentq(lambda x: float(slope(x)), angles[i], angles[i + 1], xtol=1e-15)
        m, rest = overlaps(angle)
        found.append(np.array([float(m)] + [float(rest)] * (k - 1)))
    return found


def specialised_minimum(g: CorrelationProfile | int | dict, k: int, beta: float) -> FixedPoint | None:
    r"""The minimum at which one neuron stands near one index vector: overlaps (m_1, m, ..., m), m_1 > m; None if there is none.

    For one order p and beta > 0 it has :math:`m\propto(t,1,\dots,1)` with the largest root t > 1 of
    :math:`t^{p-1}+\beta(k-1)=t[\beta t^{p-1}+1+\beta(k-2)]`, and exists for :math:`\beta<` :func:`fold`. Of several such minima
    (possible for mixed orders) the one with the least loss.

    Parameters
    ----------
    g, k : as in :func:`average_threshold`.
    beta : in [0, 1).

    Source: this book. That minima of one order have no other pattern than this and the average is proved in the chapter.
    """
    g, k = read_profile(g), read_count(k, "k", 2)
    gram = equiangular(k, beta)
    points = [describe(g, gram, m) for m in _patterns(g, k, float(beta))]
    points = [point for point in points if point.kind == "minimum"]
    return min(points, key=lambda point: point.loss) if points else None


def fold(g: CorrelationProfile | int | dict, k: int) -> float:
    r"""beta_2, up to which the specialised minimum exists: there it meets a saddle and both vanish.

    For one order p, :math:`\frac1{\beta_2}=1+\min_{t>1}\frac{t^{p-1}+k-1}{t+t^2+\dots+t^{p-2}}`; for p = 3 that is
    :math:`\beta_2=1/(1+2\sqrt{k-1})`. For mixed orders by bisection, to 1e-10, of the largest beta below which it exists.

    Source: this book.
    """
    g, k = _positive(g), read_count(k, "k", 2)
    p = g.order
    if p == 3:
        return 1 / (1 + 2 * math.sqrt(k - 1))
    if p is not None and p > 3:

        def s(x: float) -> float:
            t = math.exp(x)
            return (t ** (p - 1) + k - 1) / sum(t**i for i in range(1, p - 1))

        # The minimum lies where the numerator's first term is of the size of the second; at t = 1 for k = 2.
        best = minimize_scalar(s, bounds=(0.0, math.log(10.0 * k)), method="bounded", options={"xatol": 1e-12})
        return 1 / (1 + min(float(best.fun), s(0.0)))
    grid = np.linspace(0.0, 0.999, 400)
    there = [beta for beta in grid if specialised_minimum(g, k, beta) is not None]
    if not there:
        raise InputError("this profile has no specialised minimum for any beta in [0, 1)")
    low, high = there[-1], min(there[-1] + grid[1], 0.9999)
    while high - low > 1e-10:
        middle = (low + high) / 2
        low, high = (middle, high) if specialised_minimum(g, k, middle) is not None else (low, middle)
    return low


def equal_loss(g: CorrelationProfile | int | dict, k: int) -> float | None:
    r"""beta_eq, at which the average and the specialised minimum have the same loss; None if they never have.

    For one order p, with q = (k-1)^(1/p), :math:`\beta_{eq}=\frac{q^{p-2}-1}{q^p-1}` (for k = 2 the limit (p-2)/p); the specialised
    minimum there is at t = q^2. Otherwise by root finding below the fold.

    Source: this book (proved for every single order).
    """
    g, k = _positive(g), read_count(k, "k", 2)
    p = g.order
    if p is not None:
        if p < 3:
            return None
        return (p - 2) / p if k == 2 else ((k - 1) ** (1 - 2 / p) - 1) / (k - 2)

    def difference(beta: float) -> float:
        point = specialised_minimum(g, k, beta)
        return math.nan if point is None else average_point(g, k, beta).loss - point.loss

    end = fold(g, k)
    grid = np.linspace(0.0, end * (1 - 1e-9), 200)
    values = [difference(beta) for beta in grid]
    for a, b, fa, fb in zip(grid, grid[1:], values, values[1:]):
        if fa * fb < 0:
            return float(brentq(difference, a, b, xtol=1e-12))
    return None


def minima(g: CorrelationProfile | int | dict, k: int, beta: float) -> list[FixedPoint]:
    """All local minima of the loss for one Hermite order p >= 3 and beta >= 0 (d > k), up to permutations and, for even p, signs.

    They are the average, for beta > beta_c, and the specialised minimum, for beta < beta_2: no other pattern is ever one
    (proved in the chapter). Sorted by loss.
    """
    g, k = _positive(g), read_count(k, "k", 2)
    if g.order is None or g.order < 3 or not 0 <= float(equiangular(k, beta)[0, 1]) < 1:
        raise InputError("the list of minima is proved for one Hermite order p >= 3 and 0 <= beta < 1")
    points = [specialised_minimum(g, k, beta), average_point(g, k, beta)]
    return sorted((p for p in points if p is not None and p.kind == "minimum"), key=lambda point: point.loss)


def _positive(g: Any) -> CorrelationProfile:
    """A profile all of whose coefficients are positive."""
    g = read_profile(g)
    if min(g.coefficients.values()) < 0:
        raise InputError("every c_p must be positive here: with a negative one minima and maxima change their roles")
    return g
