r"""Gaussian averages of many neurons at once: :math:`C_l=E[\sigma(\mu+sg)\,he_l(g)]` and :math:`E\,\sigma(\mu+sg)^2`, in torch.

The trapezoidal rule converges like exp(-2 pi d / (s h)) for an activation that is analytic in a strip of half-width d, so one
grid of step h serves all neurons. Where the activation has a corner the line is cut there, and Gauss-Legendre panels take the
place of the trapezoids. How fine a grid must be is found out by doubling it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import roots_legendre

from ..errors import ToleranceError

if TYPE_CHECKING:
    import torch

    from ..activation import Activation

__all__ = ["Averages", "averages", "blocks", "homogeneous", "pair_products"]

# he_l(g) exp(-g^2/4) is bounded, so that beyond 13 every integrand of polynomial growth is below exp(-42).
_REACH = 13.0
_LEGENDRE = 16  # nodes a panel
_PANELS = 6  # panels a segment at the coarsest: integrands oscillate like he_48
_POINTS = 256  # trapezoids at the coarsest
_LEVELS = 9  # each doubles the nodes
_BLOCK = 1 << 20  # numbers in a work array
_SETTLED = 1e-10  # change under doubling, relative to 1 + the size of the averages
_USELESS = 1e-3  # the same, where even the finest grid is refused


class Averages(NamedTuple):
    r"""C: (..., L) with :math:`C_l=E[\sigma(\mu+sg)he_l(g)]`, l < L; second: (...) with :math:`E\,\sigma(\mu+sg)^2`; error."""

    coefficients: torch.Tensor
    second: torch.Tensor
    error: float = 0.0  # about what the quadrature is off by, at most

    @property
    def tail(self) -> torch.Tensor:
        r""":math:`\sum_{l\ge L}C_l^2`, from Parseval, (...)."""
        return (self.second - (self.coefficients**2).sum(-1)).clamp(min=0.0)


def averages(activation: Activation, mean: torch.Tensor | None, scale: torch.Tensor, orders: int) -> Averages:
    """:class:`Averages` of neurons with pre-activations N(mean, scale^2); ``mean`` None means 0. Shapes (...).

    The grid is refined until nothing moves for the neurons that need it most: the widest, the narrowest, the farthest from 0.
    ToleranceError where it does not settle, or overflows.
    """
    import torch

    shape, scale = scale.shape, scale.reshape(-1)
    mean = None if mean is None else mean.expand(shape).reshape(-1)
    corners = [float(y) for y in activation.breakpoints]
    reach = _REACH + (3.0 * float(scale.max()) if activation.growth in ("exponential", None) else 0.0)
    moving = bool(corners) and (mean is not None or any(corners))

    def rule(level: int, mean: torch.Tensor | None, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if moving:
            return _cut_grid(corners, mean, scale, reach, level)
        line = _half_lines(reach, level) if corners else _trapezoids(reach, level)
        return tuple(torch.as_tensor(part, dtype=scale.dtype, device=scale.device) for part in line)

    hardest = {int(scale.argmax()), int(scale.argmin())} | (set() if mean is None else {int(mean.abs().argmax())})
    probe = sorted(hardest)
    few = None if mean is None else mean[probe], scale[probe]
    now = _weigh(activation, *few, *rule(0, *few), orders)
    for level in range(_LEVELS):
        last, now = now, _weigh(activation, *few, *rule(level + 1, *few), orders)
        size = 1.0 + max(float(now[0].abs().max()), float(now[1].abs().max()))
        error = max(float((now[0] - last[0]).abs().max()), float((now[1] - last[1]).abs().max())) / size
        if not error > _SETTLED:
            break
    if not error <= _USELESS:
        raise ToleranceError(
            f"the Gaussian averages of {activation} do not settle at pre-activations of size {float(scale.max()):.3g}"
        )
    nodes = rule(level, *few)[0].shape[-1]
    parts = [
        _weigh(activation, own, scale[rows], *rule(level, own, scale[rows]), orders)
        for rows in blocks(len(scale), nodes * (4 if moving else 1))
        for own in [None if mean is None else mean[rows]]
    ]
    coefficients, second = (torch.cat(column) for column in zip(*parts))
    return Averages(coefficients.reshape(*shape, orders), second.reshape(shape), error * size)


def _weigh(activation, mean, scale, g, weight, orders: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The averages of some neurons (I,) by one rule: nodes (Q,) for all of them, or (I, Q)."""
    import torch

    y = scale[:, None] * g
    if mean is not None:
        y = y + mean[:, None]
    values = activation(y)
    if not bool(torch.isfinite(values).all()):
        largest = float(scale.max())
        raise ToleranceError(f"the Gaussian averages of {activation} overflow at pre-activations of size {largest:.3g}")
    second = (values**2 * weight).sum(-1)
    rows = []
    before, now = torch.zeros_like(g), torch.ones_like(g)
    shared = g.ndim == 1  # then one matrix product serves all neurons
    values = values if shared else values * weight
    for order in range(orders):
        rows.append(now * weight if shared else (values * now).sum(-1))
        before, now = now, (g * now - math.sqrt(order) * before) / math.sqrt(order + 1)
    return (values @ torch.stack(rows, -1) if shared else torch.stack(rows, -1)), second


def _trapezoids(reach: float, level: int) -> tuple[np.ndarray, np.ndarray]:
    g = np.linspace(-reach, reach, (_POINTS << level) + 1)
    weight = np.exp(-g * g / 2)
    return g, weight / weight.sum()


def _unit_panels(level: int) -> tuple[np.ndarray, np.ndarray]:
    x, w = roots_legendre(_LEGENDRE)
    panels = _PANELS << level
    left = (np.arange(panels)[:, None] + (x + 1) / 2).ravel() / panels
    return left, np.tile(w / 2, panels) / panels


def _half_lines(reach: float, level: int) -> tuple[np.ndarray, np.ndarray]:
    """For a corner at 0 and centred neurons: the corner sits at g = 0 whatever the scale."""
    left, width = _unit_panels(level)
    g = np.concatenate([-reach * left[::-1], reach * left])
    weight = reach * np.concatenate([width[::-1], width])
    return g, weight * np.exp(-g * g / 2) / math.sqrt(2 * math.pi)


def _cut_grid(corners: Sequence[float], mean, scale, reach: float, level: int):
    """Nodes and weights (I, Q) that move with the corners g = (y - mean) / scale of each neuron."""
    import torch

    centre = torch.zeros_like(scale) if mean is None else mean
    edges = [torch.full_like(scale, -reach), torch.full_like(scale, reach)]
    for corner in corners:
        edges.append(((corner - centre) / scale.clamp(min=1e-300)).clamp(-reach, reach))
    edges = torch.stack(edges, -1).sort(-1).values
    left, width = (torch.as_tensor(part, dtype=scale.dtype, device=scale.device) for part in _unit_panels(level))
    length = edges.diff(dim=-1)[..., None]
    g = (edges[..., :-1, None] + length * left).flatten(-2)
    weight = (length * width).flatten(-2)
    return g, weight * torch.exp(-g * g / 2) / math.sqrt(2 * math.pi)


def blocks(count: int, width: int) -> list[slice]:
    """Slices that cover range(count), so that an array of (slice, width) numbers stays near the cache."""
    size = max(1, _BLOCK // max(1, width))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def homogeneous(activation: Activation) -> tuple[float, float, float] | None:
    """(p, q, r) where sigma(y) = p y + q |y| + r exactly, as for ReLU: its moments have closed forms. None otherwise."""
    from fractions import Fraction

    from ..activation import Activation

    if activation.breakpoints != (0.0,) or activation.smoothness != 0:
        return None
    middle, up, down = (Fraction(activation(y)).limit_denominator(10**6) for y in (0.0, 1.0, -1.0))
    p, q = (up - down) / 2, (up + down) / 2 - middle
    same = Activation(p) * Activation("y") + Activation(q) * Activation("abs") + Activation(middle) == activation
    return (float(p), float(q), float(middle)) if same else None


def absolute_product(correlation: torch.Tensor) -> torch.Tensor:
    r""":math:`E|g||g'|=\frac2\pi(\sqrt{1-R^2}+R\arcsin R)` for standard normals with correlation R."""
    import torch

    r = correlation.clamp(-1.0, 1.0)
    return (2 / math.pi) * ((1 - r * r).clamp(min=0.0).sqrt() + r * torch.asin(r))


def pair_products(
    parts: Callable[[int], tuple[Averages, Averages]], correlation: torch.Tensor, tolerance: float, most: int
) -> tuple[torch.Tensor, float]:
    r""":math:`E[\sigma(a_i)\tau(b_j)]=\sum_lC_{l,i}D_{l,j}R_{ij}^l` (..., I, J), by Horner's rule, and what was cut off at most.

    ``parts(orders)`` gives the averages of both sides. The remainder is at most :math:`(t_iu_j)^{1/2}|R_{ij}|^{L}` with the
    tails t, u of both sides (Cauchy and Schwarz); orders are added until it is below ``tolerance``, or there are ``most``.
    """
    import torch

    size = correlation.abs()
    for orders in (9, 17, 33, most):
        orders = min(orders, most)
        left, right = parts(orders)
        rest = left.tail.sqrt()[..., :, None] * right.tail.sqrt()[..., None, :] * size**orders
        cut = float(rest.max()) if rest.numel() else 0.0
        if cut <= tolerance or orders == most:
            break
    del rest, size
    c, d = left.coefficients, right.coefficients
    total = torch.zeros_like(correlation)
    cut = max(cut, left.error, right.error)
    for order in reversed(range(orders)):
        total.mul_(correlation).add_(c[..., :, None, order] * d[..., None, :, order])
    return total, cut
