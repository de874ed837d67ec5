r"""Mixtures of Gaussians with a few long directions, and the labels that live on them.

.. math::
   x\mid c\sim N(\mu_c,\Sigma_c),\qquad \Sigma_c=I_n+\sum_{i\le d_c}\theta_{c,i}\,\gamma_{c,i}\gamma_{c,i}^T,
   \qquad P(c)=\rho_c .
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import InputError
from ..simulate._common import read_choice, read_count, read_generator, read_positive, short

__all__ = ["GaussianMixture", "SpikedMixture"]

_SIZES = ("equal", "uniform")


class GaussianMixture:
    r"""A mixture of Gaussians in R^n, each with covariance :math:`I_n+\sum_i\theta_i\gamma_i\gamma_i^T`.

    Parameters
    ----------
    weights : rho_c > 0, (C,), with sum 1.
    directions : one array (d_c, n) a component, orthonormal rows :math:`\gamma_{c,i}`; d_c may be 0 and may be n.
    sizes : one array (d_c,) a component, the :math:`\theta_{c,i}>-1`.
    means : (C, n), or None for centred components.
    rate : the learning rate that goes with the data in :func:`one_step` when none is given there.
    bulk : b, the standard deviation of a pre-activation :math:`F_ix` without the spikes, where
        :math:`F_{ij}\sim N(0,1/\mathrm{tr})`; by default :math:`\sqrt{n/\mathrm{tr}}`, right for finitely many spikes.

    Attributes
    ----------
    weights, directions, sizes, means (zeros if not given), rate, bulk : as above.
    dimension : n.
    trace : tr = sum_c rho_c tr Sigma_c.

    Raises
    ------
    InputError for weights, directions or sizes that do not make a mixture.

    Source: the setting of Demir and Dogan, arXiv 2503.00856; the means are needed for their figure 8.
    """

    def __init__(
        self,
        weights: Sequence[float],
        directions: Sequence[Any],
        sizes: Sequence[Any],
        means: Any = None,
        *,
        rate: float = 1.0,
        bulk: float | None = None,
    ):
        try:
            self.weights = np.asarray(weights, dtype=float)
            self.directions = [np.atleast_2d(np.asarray(rows, dtype=float)) for rows in directions]
            self.sizes = [np.asarray(size, dtype=float).reshape(-1) for size in sizes]
            given = None if means is None else np.asarray(means, dtype=float)
        except (TypeError, ValueError):
            raise InputError("weights, directions, sizes and means must be arrays of numbers") from None
        _check_weights(self.weights)
        if not len(self.weights) == len(self.directions) == len(self.sizes):
            raise InputError(
                f"{len(self.weights)} weights need as many arrays of directions and of sizes, "
                f"got {len(self.directions)} and {len(self.sizes)}"
            )
        arrays = [*self.directions, *self.sizes, *([] if given is None else [given])]
        if not all(np.all(np.isfinite(array)) for array in arrays):
            raise InputError("directions, sizes and means must be finite")
        self.dimension = self.directions[0].shape[1]
        for rows, size in zip(self.directions, self.sizes):
            if rows.shape != (len(size), self.dimension):
                raise InputError(
                    f"directions must have one row of length {self.dimension} a size, got shape {rows.shape} for {len(size)} sizes"
                )
            if not np.all(size > -1):
                raise InputError("every size theta must be above -1: 1 + theta is a variance")
            if len(size) and not np.allclose(rows @ rows.T, np.eye(len(size)), atol=1e-8):
                raise InputError("the directions of a component must be orthonormal: orthonormalise the rows first")
        self.means = np.zeros((len(self.weights), self.dimension)) if given is None else given
        if self.means.shape != (len(self.weights), self.dimension):
            raise InputError(f"means must have shape {(len(self.weights), self.dimension)}, got {self.means.shape}")
        self.rate = read_rate(rate)
        traces = np.array([self.dimension + size.sum() for size in self.sizes])
        self.trace = float(self.weights @ traces)
        self.bulk = math.sqrt(self.dimension / self.trace) if bulk is None else read_positive(bulk, "bulk")

    @classmethod
    def isotropic(cls, dimension: int, *, rate: float = 1.0) -> GaussianMixture:
        """One component, x ~ N(0, I_n): the input of Chen and Ge."""
        n = read_count(dimension, "dimension")
        return cls([1.0], [np.zeros((0, n))], [[]], rate=rate)

    def __repr__(self) -> str:
        ranks = ", ".join(str(len(size)) for size in self.sizes)
        return f"<GaussianMixture in R^{self.dimension}: weights {np.round(self.weights, 4).tolist()}, spikes {ranks}>"

    @property
    def components(self) -> int:
        """C, the number of components."""
        return len(self.weights)

    @property
    def centred(self) -> bool:
        """Whether all means are 0."""
        return not self.means.any()

    def draw(self, rng: np.random.Generator) -> GaussianMixture:
        """The mixture itself: it does not change from run to run (a :class:`SpikedMixture` does)."""
        return self

    def covariance(self, component: int) -> np.ndarray:
        """Sigma_c, (n, n)."""
        rows, size = self.directions[component], self.sizes[component]
        return np.eye(self.dimension) + (rows.T * size) @ rows

    def apply(self, component: int, vectors: np.ndarray) -> np.ndarray:
        """Sigma_c v for every row v of ``vectors`` (..., n), without forming Sigma_c."""
        rows, size = self.directions[component], self.sizes[component]
        return vectors + ((vectors @ rows.T) * size) @ rows

    @cached_property
    def operator_norm(self) -> float:
        r""":math:`\|\sum_c\rho_c\Sigma_c\|_{op}`, from the small matrix on the span of the spikes."""
        stacked = np.concatenate(self.directions)
        if not len(stacked):
            return 1.0
        scale = np.concatenate([weight * size for weight, size in zip(self.weights, self.sizes)])
        q, r = np.linalg.qr(stacked.T)
        small = np.linalg.eigvalsh((r * scale) @ r.T)
        rest = 0.0 if q.shape[1] < self.dimension else small[0]  # outside the span Sigma is the identity
        return float(1.0 + max(small[-1], rest))

    def counts(self, samples: int) -> np.ndarray:
        """How many of m samples each component gets, (C,): the whole part of rho_c m, and the rest to the last one."""
        counts = np.floor(self.weights * samples + 1e-9).astype(int)
        counts[-1] = samples - counts[:-1].sum()
        return counts

    def sample(
        self, samples: int, rng: np.random.Generator, part: str = "step", counts: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""m samples x (m, n) and their components c (m,), stratified: the first :math:`\lfloor\rho_1m\rfloor` rows have c = 0.

        ``counts`` gives the number of each component instead. ``part`` ("step", "readout", "test") matters for mixtures of
        finitely many images only, which keep their test images apart.
        """
        samples = read_count(samples, "samples", 0)
        counts = self.counts(samples) if counts is None else counts
        x = rng.standard_normal((samples, self.dimension))
        ends = np.cumsum(counts)
        for component, (rows, size) in enumerate(zip(self.directions, self.sizes)):
            own = x[ends[component] - counts[component] : ends[component]]
            if len(size):
                own += ((own @ rows.T) * (np.sqrt(1.0 + size) - 1.0)) @ rows
            own += self.means[component]
        return x, np.repeat(np.arange(self.components), counts)


@dataclass(frozen=True)
class SpikedMixture:
    r"""A law of mixtures: two components with spikes in random directions, drawn anew for each run.

    The *strength* n^beta is shared between the data and the step by the weighting alpha:

    .. math::
       \theta=n^{\beta(1-\alpha)},\qquad \eta=n^{\beta\alpha},\qquad \theta\,\eta=n^\beta .

    Parameters
    ----------
    dimension : n.
    alpha, beta : in [0, 1]; alpha = 0 puts all of the strength into the spread of the data, alpha = 1 into the step.
    weight : rho_1 in [0, 1], the share of the first component.
    rank : the number of spikes of each component.
    alignment : a in [-1, 1]: the first spike of component 2 is :math:`a\gamma_{1,1}+\sqrt{1-a^2}\,\gamma'` with an independent
        :math:`\gamma'` orthogonal to :math:`\gamma_{1,1}`; None (default): all spikes of component 2 are drawn
        independently of those of component 1, so that overlaps are of order n^(-1/2).
    sizes : ``"equal"``: every spike is theta; ``"uniform"``: theta times independent U(0, 1), those of component 2 scaled to
        the same sum (both traces are equal).

    Source: Demir and Dogan, arXiv 2503.00856, and their published code for the laws of alignment and sizes.
    """

    dimension: int
    alpha: float = 0.5
    beta: float = 0.74
    weight: float = 0.5
    rank: int = 1
    alignment: float | None = None
    sizes: str = "equal"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimension", read_count(self.dimension, "dimension", 2))
        object.__setattr__(self, "rank", read_count(self.rank, "rank"))
        for name in ("alpha", "beta", "weight"):
            object.__setattr__(self, name, _read_share(getattr(self, name), name, 0.0))
        if self.alignment is not None:
            object.__setattr__(self, "alignment", _read_share(self.alignment, "alignment", -1.0))
        read_choice(self.sizes, "sizes", _SIZES)
        if 2 * self.rank > self.dimension:
            raise InputError(f"rank={self.rank} spikes a component do not fit into dimension={self.dimension}")

    @property
    def theta(self) -> float:
        """The size of a spike, n^(beta (1 - alpha))."""
        return self.dimension ** (self.beta * (1.0 - self.alpha))

    @property
    def rate(self) -> float:
        """The learning rate of the step, n^(beta alpha)."""
        return self.dimension ** (self.beta * self.alpha)

    def draw(self, rng: np.random.Generator) -> GaussianMixture:
        """One mixture of this law."""
        rng = read_generator(rng)
        n, d = self.dimension, self.rank
        first = _orthonormal(rng.standard_normal((d, n)))
        second = rng.standard_normal((d, n))
        if self.alignment is None:
            second = _orthonormal(second)
        else:
            # A coordinate system whose first row is gamma_1, so that the overlap is a exactly and the other rows keep off it.
            fresh = _orthonormal(np.concatenate([first[:1], second]))[1:]
            a = self.alignment
            second = np.concatenate([a * first[:1] + math.sqrt(1.0 - a * a) * fresh[:1], fresh[1:]])
        sizes = [np.full(d, self.theta), np.full(d, self.theta)]
        if self.sizes == "uniform":
            sizes = [self.theta * rng.random(d) for _ in range(2)]
            sizes[1] *= sizes[0].sum() / sizes[1].sum()
        kept = [c for c, share in enumerate((self.weight, 1.0 - self.weight)) if share > 0]
        shares = [(self.weight, 1.0 - self.weight)[c] for c in kept]
        return GaussianMixture(shares, [(first, second)[c] for c in kept], [sizes[c] for c in kept], rate=self.rate)


def _orthonormal(rows: np.ndarray) -> np.ndarray:
    """Gram-Schmidt of the rows, in their order."""
    q, r = np.linalg.qr(rows.T)
    return (q * np.sign(np.diag(r))).T


def _check_weights(weights: np.ndarray) -> None:
    if weights.ndim != 1 or not len(weights) or not np.all(weights > 0) or abs(weights.sum() - 1) > 1e-9:
        raise InputError(f"weights must be positive with sum 1, got {short(weights.tolist())}")


def _read_share(value: Any, name: str, least: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not least <= number <= 1.0:
        raise InputError(f"{name} must be a number in [{least:g}, 1], got {short(value)}")
    return number


def read_rate(rate: Any) -> float:
    """A finite number >= 0."""
    try:
        number = float(rate)
    except (TypeError, ValueError):
        number = -1.0
    if isinstance(rate, bool) or not 0 <= number < math.inf:
        raise InputError(f"rate must be a finite number >= 0, got {short(rate)}")
    return number
