r"""The population loss of a finite network, on fixed test points, with almost all of the variance removed.

The part of f in low Hermite degrees is known exactly: F_alpha = (1/N) sum_i a_i phi_alpha(w_i) for the he_alpha(x_V) up
to some degree in V, and (1/N) sum_i a_i D_0(r_i) w_i for the linear functions of the coordinates outside V. With f_low
that part and f_rest = f - f_low, which is orthogonal to f_low and to f*,

    1/2 E|f - f*|^2 = 1/2 sum_alpha |F_alpha - h_alpha|^2 + 1/2 |F_linear|^2 + 1/2 E f_rest^2,

and only the last term, usually small, is an average over test points. Nothing is fitted, so the estimate is unbiased.
"""

from __future__ import annotations

from math import comb, sqrt

import numpy as np
import torch

from ..activation import Activation
from ..polynomial import Polynomial
from ._kernels import HermiteForm
from ._profiles import Profiles, RunAway
from .hermite import hermite_functions

__all__ = ["SampledLoss"]

_DEGREES_ABOVE = 12  # of f_low over the degree of f*; beyond that nothing more is gained
_FEATURES = 1024  # f_low is kept below the degree at which it would have more coefficients


class SampledLoss:
    """``SampledLoss(...)(a, w)`` is (loss, its standard error) for the network (a, w), w (N, d)."""

    block_elements = 1 << 22  # of the hidden layer on a block of test points: 32 MiB

    def __init__(self, target: Polynomial, activation: Activation, points: np.ndarray, device: str):
        p, self.device = target.p, device
        orders = target.degree + 1
        while orders < target.degree + 1 + _DEGREES_ABOVE and comb(orders + p, p) <= _FEATURES:
            orders += 1
        orders = max(orders, 2)
        self.p, self.activation, self.profiles = p, activation, Profiles(activation, device)
        self.low = HermiteForm(target, self.profiles, orders, p)
        self.points = torch.from_numpy(points).to(device)
        one = np.moveaxis(hermite_functions(orders, points[:, :p]), 0, 2)  # (M, p, orders)
        columns = [np.prod([one[:, i, k] for i, k in enumerate(alpha)], axis=0) for alpha in self.low.exponents()]
        self.values = target(self.points[:, :p])
        self.features = torch.from_numpy(np.stack(columns, axis=1)).to(device)

    def __call__(self, a: torch.Tensor, w: torch.Tensor) -> tuple[float, float]:
        p, n = self.p, len(a)
        r = torch.linalg.vector_norm(w, dim=1)
        try:
            b, d = self.profiles(r, self.low.orders)
        except RunAway:  # beyond the range of the profiles the plain average is all there is
            squares = 0.5 * (self._output(a, w) - self.values) ** 2
            return float(squares.mean()), float(squares.std()) / sqrt(len(squares))
        u = w[:, :p] / torch.where(r > 0, r, 1.0)[:, None]
        coefficients, _ = self.low.coefficients(a, u, b)
        known, _, _ = self.low.loss_of(coefficients)
        linear = (a * d[:, 0]) @ w[:, p:] / n
        known += 0.5 * float(linear @ linear)
        rest = self.features @ torch.cat(coefficients) + self.points[:, p:] @ linear
        rest = self._output(a, w) - rest
        squares = 0.5 * rest * rest
        return known + float(squares.mean()), float(squares.std()) / sqrt(len(squares))

    def _output(self, a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """f at the test points, in blocks of them."""
        size = max(1, self.block_elements // len(a))
        return torch.cat([self.activation(x @ w.T) @ a for x in self.points.split(size)]) / len(a)
