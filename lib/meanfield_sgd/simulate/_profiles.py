"""Hermite profiles on a device: the tabulated cubics of :class:`ProfileTable`, read in torch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from ..activation import Activation
from ..errors import InputError, ToleranceError
from .hermite import ProfileTable

__all__ = ["ORDERS", "Profiles", "RunAway", "pick_device"]

ORDERS = (16, 32, 48, 64, 96, 128, 192, 256)  # of the tables: few sizes, so that tables are shared
_REACH = (3.0, 6.0, 12.0, 24.0, 48.0)


class RunAway(ToleranceError):
    """A weight vector left the range of the profiles."""


@lru_cache(maxsize=16)
def _table(activation: Activation, orders: int) -> ProfileTable:
    return ProfileTable(activation, orders, _REACH[0])


class Profiles:
    """B_k and D_k of one activation on a device: a copy of the tabulated cubics of :class:`ProfileTable`.

    Tables are extended only to the radii in a fixed list, so that what is read does not depend on what ran before.
    """

    def __init__(self, activation: Activation, device: str = "cpu"):
        self.activation, self.device = activation, device
        self._copies: dict[int, torch.Tensor] = {}

    def _coefficients(self, orders: int, reach: float) -> torch.Tensor:
        copy = self._copies.get(orders)
        if copy is None or (len(copy) - 1) * ProfileTable.step <= reach:
            if not reach < _REACH[-1]:  # NaN included
                raise RunAway(f"a weight vector has norm {reach:.3g}, the profiles end at {_REACH[-1]:g}")
            table = _table(self.activation, orders)
            try:
                with np.errstate(over="ignore", invalid="ignore"):  # it raises where an average overflows
                    for r in _REACH:
                        if (len(table.coefficients) - 1) * table.step <= reach:
                            table.extend(r)
            except ToleranceError as problem:  # exp at a large radius, say
                raise RunAway(f"a weight vector has norm {reach:.3g}, and {problem}") from None
            copy = self._copies[orders] = torch.from_numpy(np.ascontiguousarray(table.coefficients)).to(self.device)
        return copy

    def __call__(self, r: torch.Tensor, orders: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, D) at radii r (N,): B_0..B_{orders-1}, shape (N, orders), and D_0..D_orders, shape (N, orders + 1)."""
        size = next(size for size in ORDERS if size >= orders)
        coefficients = self._coefficients(size, float(r.max()))
        position = r / ProfileTable.step
        index = position.to(torch.int64)
        s = (position - index)[:, None]
        c = coefficients[:, :, : orders + 2].index_select(0, index) if orders + 2 < size else coefficients[index]
        c = c[:, :, : orders + 2]
        values = torch.addcmul(c[:, 2], c[:, 3], s)
        values = torch.addcmul(c[:, 1], values, s)
        values = torch.addcmul(c[:, 0], values, s)
        b0, d = values[:, :1], values[:, 1:]
        roots = torch.arange(1, orders, dtype=r.dtype, device=r.device).sqrt()
        return torch.cat([b0, r[:, None] * d[:, : orders - 1] / roots], dim=1), d


def pick_device(device: str, large: bool) -> str:
    """Either "cpu" or "cuda"; "auto" is CUDA where there is one and the work is ``large`` enough to fill it."""
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError('device="cuda": torch finds no CUDA device here; use device="auto" or device="cpu"')
    if device == "auto":
        return "cuda" if large and torch.cuda.is_available() else "cpu"
    return device
