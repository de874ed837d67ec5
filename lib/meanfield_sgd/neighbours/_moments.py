r"""Exact Gaussian moments of the features of given neurons: all that a readout's error depends on.

.. math::
   S=\frac1kE[\sigma(Fx)\sigma(Fx)^T],\qquad q=\frac1{\sqrt k}E[\sigma(Fx)\,y],\qquad Y=E\,y^2,\qquad
   \tfrac12E(y-w^T\tfrac{\sigma(Fx)}{\sqrt k})^2=\tfrac12(Y-2w^Tq+w^TSw).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ._averages import Averages, absolute_product, averages, blocks, homogeneous, pair_products

if TYPE_CHECKING:
    import torch

    from ..activation import Activation
    from ._labels import Task
    from .hermite_model import HermiteModel
    from .mixture import GaussianMixture

__all__ = ["Moments", "Population"]

_MOST = 49  # Hermite orders
_TOLERANCE = 1e-7  # of a single entry, relative to the largest diagonal entry


class Moments(NamedTuple):
    """S (R, k, k), q (R, k), Y (R,), the mean feature (R, k) over sqrt k; ``cut``: the largest remainder of a series."""

    second: torch.Tensor
    cross: torch.Tensor
    power: torch.Tensor
    mean: torch.Tensor
    cut: float

    def error(self, readout: torch.Tensor) -> torch.Tensor:
        """1/2 E(y - w . phi)^2, (R,), of readouts (R, k)."""
        quadratic = (readout * (self.second @ readout[..., None])[..., 0]).sum(-1)
        return 0.5 * (self.power - 2 * (readout * self.cross).sum(-1) + quadratic)


class Population:
    """The mixtures and labels of R runs, as tensors, and the moments of any features on them."""

    def __init__(
        self, mixtures: list[GaussianMixture], task: Task, directions: torch.Tensor | None, like: torch.Tensor
    ):
        import torch

        def put(array):
            return torch.as_tensor(np.asarray(array), dtype=like.dtype, device=like.device)

        shared = all(mixture is mixtures[0] for mixture in mixtures)
        kept = mixtures[:1] if shared else mixtures  # one copy serves all runs where they share the mixture
        first = mixtures[0]
        self.runs, self.task, self.directions, self.centred = len(mixtures), task, directions, first.centred
        self.weights = first.weights
        self.rows = [put(np.stack([m.directions[c] for m in kept])) for c in range(first.components)]
        self.sizes = [put(np.stack([m.sizes[c] for m in kept])) for c in range(first.components)]
        self.means = put(np.stack([m.means for m in kept]))
        self.isotropic = first.components == 1 and first.centred and not len(first.sizes[0])

    @property
    def known(self) -> bool:
        """Whether the labels' moments are known exactly here."""
        return {"classes": True, "polynomial": self.isotropic}.get(self.task.kind, self.centred)

    def moments(self, sigma: Activation | HermiteModel, neurons: torch.Tensor) -> Moments:
        """Of the features sigma(F x)/sqrt k of neurons F (R, k, n); noise of a Hermite model included."""
        import torch

        k = neurons.shape[-2]
        second = torch.zeros(*neurons.shape[:-1], k, dtype=neurons.dtype, device=neurons.device)
        cross, mean, cut = torch.zeros_like(neurons[..., 0]), torch.zeros_like(neurons[..., 0]), 0.0
        power = torch.zeros(self.runs, dtype=neurons.dtype, device=neurons.device)
        lengths = torch.linalg.vector_norm(neurons, dim=-1) ** 2
        for c, weight in enumerate(self.weights):
            along = neurons @ self.rows[c].transpose(-1, -2)
            stretched = along * self.sizes[c][:, None, :]
            scale = (lengths + (stretched * along).sum(-1)).clamp(min=0.0).sqrt()
            centre = None if self.centred else (neurons @ self.means[:, c, :, None])[..., 0].expand_as(scale)
            pairs = _Pairs(sigma, centre, scale)
            for rows in blocks(k, self.runs * k):
                covariance = neurons[:, rows] @ neurons.transpose(-1, -2)
                if along.shape[-1]:
                    covariance.add_(stretched[:, rows] @ along.transpose(-1, -2))
                product, rest = pairs.products(covariance, rows)
                second[:, rows].add_(product, alpha=float(weight) / k)
                cut = max(cut, rest)
            now = pairs.averages(1).coefficients[..., 0]
            mean.add_(now, alpha=float(weight))
            moment, square, more = self._labels(sigma, c, neurons, along, scale, now)
            cross.add_(moment, alpha=float(weight))
            power += float(weight) * square
            cut = max(cut, more)
        noise = getattr(sigma, "noise", 0.0)
        if noise:
            second.diagonal(dim1=-2, dim2=-1).add_(noise**2 / k)
        return Moments(second, cross / math.sqrt(k), power + self.task.noise**2, mean / math.sqrt(k), cut)

    def _labels(self, sigma, c: int, neurons, along, scale, mean):
        """E[sigma(a_i) y | c] (R, k), E[y^2 | c] (R,) without noise, and the remainder."""
        import torch

        one = torch.ones(self.runs, dtype=scale.dtype, device=scale.device)
        if self.task.kind == "classes":
            return (mean if c else -mean), one, 0.0
        if self.task.kind == "polynomial":
            return (*_polynomial(sigma, self.task.target, neurons, scale), 0.0)
        xi = self.directions
        spikes = torch.einsum("rdn,rn->rd", self.rows[c].expand(self.runs, -1, -1), xi)
        variance = (xi * xi).sum(-1) + (self.sizes[c] * spikes**2).sum(-1)
        length = variance.sqrt()
        covariance = torch.einsum("rkn,rn->rk", neurons, xi) + torch.einsum(
            "rkd,rd->rk", along * self.sizes[c][:, None, :], spikes
        )
        link = self.task.link
        square = averages(link, None, length, 1).second
        closed, other = homogeneous(sigma), homogeneous(link)
        correlation = covariance / (scale * length[:, None]).clamp(min=1e-300)
        if closed and other:
            product = _closed(closed, other, scale, length[:, None], covariance, correlation)
            return product, square, 0.0

        def parts(orders: int):
            return averages(sigma, None, scale, orders), averages(link, None, length[:, None], orders)

        product, cut = pair_products(
            parts, correlation[..., None].clamp(-1, 1), _TOLERANCE * float(scale.max() * length.max()), _MOST
        )
        return product[..., 0], square, cut


def _closed(left, right, scale, length, covariance, correlation):
    """E[(p a + q |a| + r)(p' b + q' |b| + r')] of centred a, b."""
    (p, q, r), (p2, q2, r2) = left, right
    half = math.sqrt(2 / math.pi)
    total = p * p2 * covariance + r * r2
    if q and q2:
        total = total + q * q2 * scale * length * absolute_product(correlation)
    if (q and r2) or (r and q2):
        total = total + half * (q * r2 * scale + r * q2 * length)
    return total


class _Pairs:
    """E[sigma(a_i) sigma(a_j)] of one component, a block of rows at a time."""

    def __init__(self, sigma, centre, scale: torch.Tensor):
        self.sigma, self.centre, self.scale = sigma, centre, scale
        self.closed = homogeneous(sigma) if centre is None else None
        self.kept: dict[int, Averages] = {}
        if not self.closed:
            self.tolerance = _TOLERANCE * float(self.averages(1).second.max())
            self.most = min(_MOST, getattr(sigma, "degree", _MOST - 1) + 1)

    def averages(self, orders: int) -> Averages:
        if orders not in self.kept:
            self.kept[orders] = averages(self.sigma, self.centre, self.scale, orders)
        return self.kept[orders]

    def products(self, covariance: torch.Tensor, rows: slice) -> tuple[torch.Tensor, float]:
        """(R, b, k) for the rows i of ``rows``, and the remainder; ``covariance`` is used up."""
        pairs = (self.scale[..., rows, None] * self.scale[..., None, :]).clamp_(min=1e-300)
        if self.closed:
            left, right = self.scale[..., rows, None], self.scale[..., None, :]
            return _closed(self.closed, self.closed, left, right, covariance, covariance / pairs), 0.0
        correlation = covariance.div_(pairs).clamp_(-1.0, 1.0)
        del pairs
        own = correlation[..., rows].diagonal(dim1=-2, dim2=-1)  # the pairs i = j
        own.zero_()  # known exactly: the series need not converge there

        def parts(orders: int) -> tuple[Averages, Averages]:
            found = self.averages(orders)
            return Averages(found.coefficients[..., rows, :], found.second[..., rows], found.error), found

        total, cut = pair_products(parts, correlation, self.tolerance, self.most)
        total[..., rows].diagonal(dim1=-2, dim2=-1).copy_(self.averages(1).second[..., rows])
        return total, cut


def _polynomial(sigma, target, neurons, scale):
    """Isotropic x: E[sigma(F_i x) h*(x_V)] = sum_j c_j(s_i) H_j(F_{i,V}/s_i), c_j = E[sigma(s g)He_j(g)], H_j of degree j."""
    import torch

    direction = neurons[..., : target.p] / scale[..., None].clamp(min=1e-300)
    found = averages(sigma, None, scale, target.degree + 1).coefficients
    total, power = torch.zeros_like(scale), 0.0
    for alpha, coefficient in target.hermite_coefficients.items():
        j = sum(alpha)
        term = float(coefficient) * math.sqrt(math.factorial(j)) * found[..., j]
        for place, exponent in enumerate(alpha):
            if exponent:
                term = term * direction[..., place] ** exponent
        total = total + term
        power += float(coefficient) ** 2 * math.prod(map(math.factorial, alpha))
    return total, torch.full((scale.shape[0],), power, dtype=scale.dtype, device=scale.device)
