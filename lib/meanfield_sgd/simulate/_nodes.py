"""Adaptive composite Gauss panels in the initial second-layer weight: the nodes that replace random neurons.

The flow map a_0 -> (a, w)(t) is smooth, but the saddle at (a, w) = (0, 0) draws a layer about 0.02 wide into it whose
place depends on the target, so the panels are bisected where the Legendre coefficients of the computed map are large.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.special import roots_legendre

from ..errors import InputError

__all__ = ["InitialLaw", "Panels"]


@dataclass(frozen=True)
class InitialLaw:
    """The law of the initial second-layer weight a.

    Build it with :meth:`uniform` (the default, on [-1, 1]), :meth:`gaussian`, :meth:`density` or :meth:`points`.
    """

    kind: str
    low: float = -1.0
    high: float = 1.0
    pdf: Callable[[np.ndarray], np.ndarray] | None = None
    values: tuple[float, ...] = ()
    masses: tuple[float, ...] = ()
    description: str = field(default="", compare=False)

    @classmethod
    def uniform(cls, low: float = -1.0, high: float = 1.0) -> InitialLaw:
        """a ~ U[low, high]."""
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise InputError(f"a uniform law needs finite ends with low < high, got [{low}, {high}]")
        return cls("density", float(low), float(high), None, description=f"a ~ U[{low:g}, {high:g}]")

    @classmethod
    def gaussian(cls, scale: float = 1.0) -> InitialLaw:
        """a ~ N(0, scale^2), cut at 9 standard deviations (mass 2e-19)."""
        if not (np.isfinite(scale) and scale > 0):
            raise InputError(f"a Gaussian law needs a positive scale, got {scale}")
        return cls(
            "density",
            -9.0 * scale,
            9.0 * scale,
            lambda a: np.exp(-0.5 * (a / scale) ** 2),
            description=f"a ~ N(0, {scale:g}^2)",
        )

    @classmethod
    def density(cls, pdf: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> InitialLaw:
        """a with a density proportional to ``pdf`` (vectorised, smooth) on [low, high]."""
        cls.uniform(low, high)
        return cls("density", float(low), float(high), pdf, description=f"a with a density on [{low:g}, {high:g}]")

    @classmethod
    def points(cls, values, masses=None) -> InitialLaw:
        """Finitely many values of a with the given masses (equal by default): exact, no quadrature error."""
        values = np.atleast_1d(np.asarray(values, dtype=float))
        masses = np.full(len(values), 1.0) if masses is None else np.atleast_1d(np.asarray(masses, dtype=float))
        ok = values.ndim == 1 and len(values) and masses.shape == values.shape and np.all(np.isfinite(values))
        if not ok or not np.all(np.isfinite(masses)) or np.any(masses <= 0):
            raise InputError("points needs a list of finite values and, if given, as many positive masses")
        masses = masses / masses.sum()
        return cls("points", values=tuple(values), masses=tuple(masses), description=f"a in {len(values)} point(s)")

    def __str__(self) -> str:
        return self.description

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """``count`` independent draws of a, (count,)."""
        if self.kind == "points":
            return rng.choice(np.array(self.values), size=count, p=np.array(self.masses))
        if self.pdf is None:
            return rng.uniform(self.low, self.high, count)
        grid = np.linspace(self.low, self.high, 20_001)
        density = self.pdf(grid)
        total = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
        return np.interp(rng.uniform(0, total[-1], count), total, grid)

    def fingerprint(self) -> list[float]:
        """Numbers that tell laws apart: their names do not say everything, nor can two densities be compared."""
        values = [self.low, self.high, *self.values, *self.masses]
        if self.pdf is not None:
            values += np.asarray(self.pdf(np.linspace(self.low, self.high, 17))).tolist()
        return [float(x) for x in values]


class Panels:
    """A composite Gauss-Legendre rule on the support of an initial law: ``edges`` (P + 1,) and ``order`` nodes a panel."""

    def __init__(self, law: InitialLaw, edges: np.ndarray | None = None, order: int = 6):
        self.law, self.order = law, order
        if edges is None:
            pieces = 2 if law.pdf is None else 8
            edges = np.linspace(law.low, law.high, pieces + 1)
        self.edges = np.asarray(edges, dtype=float)

    def __len__(self) -> int:
        return 1 if self.law.kind == "points" else len(self.edges) - 1

    @property
    def nodes(self) -> int:
        """How many nodes the rule has."""
        return len(self.law.values) if self.law.kind == "points" else len(self) * self.order

    def rule(self) -> tuple[np.ndarray, np.ndarray]:
        """Initial values a_0 and masses, both (N,), masses summing to one."""
        if self.law.kind == "points":
            return np.array(self.law.values), np.array(self.law.masses)
        x, weight = roots_legendre(self.order)
        half = np.diff(self.edges)[:, None] / 2
        a = (self.edges[:-1, None] + half * (1 + x)).ravel()
        mass = (half * weight).ravel()
        if self.law.pdf is not None:
            mass = mass * self.law.pdf(a)
        return a, mass / mass.sum()

    def with_order(self, order: int) -> Panels:
        """The same panels with another number of nodes each."""
        return Panels(self.law, self.edges, order)

    def defects(self, functions: np.ndarray) -> np.ndarray:
        r"""Estimated quadrature error of each panel, for functions sampled at the nodes: (F, N) -> (P,).

        With Legendre coefficients :math:`c_1\dots c_{q-1}` on the panel, c the larger of the last two and C the largest:
        the mass of the panel times :math:`c^2/C`, over all functions. Where the coefficients fall geometrically that is
        the size of :math:`c_{2q}`, which is what a Gauss rule of q nodes leaves out; where they do not fall (a layer
        inside the panel) it is C times the mass: the panel may be all wrong.
        """
        if self.law.kind == "points":
            return np.zeros(1)
        q = self.order
        x, weight = roots_legendre(q)
        # Discrete Legendre transform, exact for polynomials of degree < q at Gauss nodes.
        transform = np.polynomial.legendre.legvander(x, q - 1).T * weight * (np.arange(q)[:, None] + 0.5)
        sizes = np.abs(np.matmul(functions.reshape(-1, q), transform[1:].T)).reshape(len(functions), len(self), q - 1)
        last, lead = sizes[:, :, -2:].max(axis=2), sizes.max(axis=2)
        _, mass = self.rule()
        error = np.divide(last * last, lead, out=np.zeros_like(lead), where=lead > 0).max(axis=0)
        return error * mass.reshape(len(self), q).sum(axis=1)

    def bisect(self, chosen: np.ndarray) -> Panels:
        """Cut the chosen panels (boolean, (P,)) in half; points stay what they are."""
        if self.law.kind == "points":
            return self
        middle = (self.edges[:-1] + self.edges[1:])[chosen] / 2
        return Panels(self.law, np.sort(np.concatenate([self.edges, middle])), self.order)
