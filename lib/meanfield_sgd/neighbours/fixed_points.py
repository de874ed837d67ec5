r"""Fixed points of the overlap flow and the spectrum of the loss there; all of them for orthonormal index vectors."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from ..errors import InputError
from ..simulate._common import read_count
from .correlation import CorrelationProfile, read_profile

__all__ = ["FixedPoint", "describe", "fixed_points"]

_FLAT = 1e-9  # an eigenvalue below this share of the largest counts as zero


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """A fixed point of one neuron's flow.

    Attributes
    ----------
    overlaps : (k,) with the index vectors.
    loss : -sum_j g(m_j).
    rate : lambda = sum_j m_j g'(m_j), also the eigenvalue of the loss' Hessian in the d - k directions outside of the span.
    eigenvalues : (k-1,) of the Riemannian Hessian of the loss within the span, ascending.
    kind : ``"minimum"``, ``"saddle"``, ``"maximum"`` or ``"degenerate"`` (an eigenvalue is zero), of the loss, for d > k.
    index : how many eigenvalues are negative; None if that number grows with d (lambda < 0).
    """

    overlaps: np.ndarray
    loss: float
    rate: float
    eigenvalues: np.ndarray
    kind: str
    index: int | None


def describe(g: CorrelationProfile, gram: np.ndarray, m: np.ndarray) -> FixedPoint:
    r"""The spectrum of :math:`P[\lambda-\sum_jg''(m_j)v_jv_j^T]P` at a fixed point in the span of the index vectors."""
    k = len(m)
    root = np.linalg.cholesky(gram).T  # columns: the index vectors in k coordinates
    w = np.linalg.solve(root.T, m)
    w = w / np.linalg.norm(w)
    rate = float(m @ np.asarray(g.slope(m)))
    # Where w is an index vector, its part along the sphere is 0, however large g'' is there (for ReLU it is infinite).
    inside = np.abs(m) < 1 - 1e-13
    curvature = np.where(inside, np.asarray(g.curvature(np.where(inside, m, 0.0))), 0.0)
    hessian = rate * np.eye(k) - (root * curvature) @ root.T
    tangent = np.linalg.svd(w[None], full_matrices=True)[2][1:]
    eigenvalues = np.linalg.eigvalsh(tangent @ hessian @ tangent.T) if k > 1 else np.zeros(0)
    both = np.append(eigenvalues, rate)
    tiny = _FLAT * np.abs(both).max()
    if np.any(np.abs(both) <= tiny):
        kind = "degenerate"
    elif np.all(both > 0):
        kind = "minimum"
    elif np.all(both < 0):
        kind = "maximum"
    else:
        kind = "saddle"
    index = int((eigenvalues < -tiny).sum()) if rate >= -tiny else None
    return FixedPoint(m, -float(np.sum(g(m))), rate, eigenvalues, kind, index)


def fixed_points(g: CorrelationProfile | int | dict, k: int, *, most: int = 2000) -> list[FixedPoint]:
    r"""All fixed points in the span of k orthonormal index vectors, up to permutations, by increasing loss.

    On :math:`|m|=1` they solve :math:`g'(m_i)=\lambda m_i`. For one Hermite order these are the normalised sums of r index
    vectors (with all signs for even orders, one common sign for odd ones); in general each overlap is 0 or one of the real roots
    u of :math:`g'(u)=\lambda u`, and lambda is found from :math:`\sum m_i^2=1`. Not listed: the equator m = 0 of all w
    orthogonal to the index vectors, and families with lambda = 0 and a part outside of the span.

    Parameters
    ----------
    g : a CorrelationProfile, an order or coefficients, with orders >= 2 and a finite sum (at most degree 40).
    k : the number of index vectors.
    most : refuse (InputError) when more patterns than this would have to be tried.

    Returns
    -------
    list of FixedPoint
        One for each multiset of overlaps, which are sorted downwards; binomial coefficients and signs give
        the number of copies.

    Source: Simsek, Bendjeddou and Hsu, arXiv 2411.08798, for one order; mixed orders and their spectra: this book.
    """
    g, k = read_profile(g), read_count(k, "k")
    if g.closed or max(g.coefficients) > 40 or g.information_exponent < 2:
        raise InputError("fixed_points needs a profile of orders 2 to 40, as CorrelationProfile({3: 1, 4: 1})")
    patterns: list[np.ndarray] = []
    if g.order is not None:
        expected = 2 * k if g.order % 2 else k * (k + 3) // 2
        if expected > most:
            raise InputError(f"{expected} patterns of overlaps would have to be tried: take fewer index vectors")
        signs = (1,) if g.order % 2 else tuple(range(0, k + 1))
        for r in range(1, k + 1):
            if g.order % 2:
                for sign in (1.0, -1.0):
                    patterns.append(np.array([sign] * r + [0.0] * (k - r)) / math.sqrt(r))
            else:
                for negative in signs[: r + 1]:
                    patterns.append(
                        np.array([1.0] * (r - negative) + [0.0] * (k - r) + [-1.0] * negative) / math.sqrt(r)
                    )
    else:
        patterns = _mixed_patterns(g, k, most)
    unique: list[np.ndarray] = []
    for m in patterns:
        m = np.sort(m)[::-1]
        if not any(np.allclose(m, other, atol=1e-8) for other in unique):
            unique.append(m)
    return sorted((describe(g, np.eye(k), m) for m in unique), key=lambda point: point.loss)


def _mixed_patterns(g: CorrelationProfile, k: int, most: int) -> list[np.ndarray]:
    """Solve sum m_i^2 = 1 over lambda for every way to put the roots of g'(u)/u = lambda on the coordinates.

    The roots move along the monotone pieces of psi(u) = g'(u)/u; a piece is followed by u itself, so that no root is lost where
    two of them meet.
    """
    slope = np.zeros(max(g.coefficients))
    for order, value in g.coefficients.items():
        slope[order - 1] = order * float(value)
    psi = np.polynomial.Polynomial(slope[1:])  # g'(u)/u
    turns = [r.real for r in psi.deriv().roots() if abs(r.imag) < 1e-10 and -1 < r.real < 1] if psi.degree() > 0 else []
    if g.parity == "even" or psi.degree() > 0:
        turns.append(0.0)
    edges = np.unique(np.concatenate([[-1.0, 1.0], turns]))
    pieces = [(a, b) for a, b in itertools.pairwise(edges) if b - a > 1e-12]
    shapes = [c for r in range(1, k + 1) for c in itertools.combinations_with_replacement(range(len(pieces)), r)]
    if len(shapes) > most:
        raise InputError(
            f"{len(shapes)} patterns of overlaps would have to be tried: take fewer index vectors or orders"
        )
    found = []
    for shape in shapes:
        counts = [(pieces[i], shape.count(i)) for i in sorted(set(shape))]
        (low, high), _ = counts[0]

        def others(u: float, counts=counts) -> list[float] | None:
            """The roots on the other pieces for the same lambda, None where a piece has none."""
            level, roots = psi(u), [u]
            for (a, b), _ in counts[1:]:
                fa, fb = psi(a) - level, psi(b) - level
                if fa * fb > 0:
                    return None
                roots.append(a if fa == 0 else b if fb == 0 else brentq(lambda x: psi(x) - level, a, b, xtol=1e-15))
            return roots

        def excess(u: float, counts=counts, others=others) -> float:
            roots = others(u)
            return math.nan if roots is None else sum(n * r * r for r, (_, n) in zip(roots, counts)) - 1.0

        grid = np.linspace(low, high, 801)
        values = np.array([excess(u) for u in grid])
        for left, right, a, b in zip(grid, grid[1:], values, values[1:]):
            if np.isfinite(a) and np.isfinite(b) and a * b <= 0 and a != b:
                u = brentq(excess, left, right, xtol=1e-15)
                roots = others(u)
                m = np.concatenate([np.full(n, r) for r, (_, n) in zip(roots, counts)] + [np.zeros(k - len(shape))])
                if all(abs(r) > 1e-9 for r in roots):
                    found.append(m)
    return found
