r"""Exponential generating series that grow one order at a time, and the flow (4.1) in them.

With W = sum_m w_m tau^m/m! products are (a b)_m = sum_i binom(m, i) a_i b_{m-i} and W' = F(W) is w_{m+1} = F(W)_m: no
division anywhere, so whole-number targets and jets stay whole numbers, and any ring will do. The field is written with
the averaged derivatives :math:`\lambda_k` as functions of :math:`\rho = |W|^2/2`,

.. math::

    F(W) = \sum_k \lambda_k \bigl(\nabla H_k(W) + W\,H_{k-2}(W)\bigr), \qquad \lambda_k' = \lambda_{k+2}\,\rho',
    \qquad \lambda_k(0) = s_k .
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Any

from .. import _sparse
from ._target import derivative

__all__ = ["Curve", "Monomials", "convolve"]


def convolve(a: Sequence[Any], b: Sequence[Any], m: int, most: int | None = None) -> Any:
    """Coefficient m of a b, where a matters to order ``most`` only; what is not there yet counts as zero."""
    last = min(m, len(a) - 1) if most is None else min(m, len(a) - 1, most)
    total: Any = 0
    for i in range(max(0, m - len(b) + 1), last + 1):
        x = a[i]
        if x:
            y = b[m - i]
            if y:
                total = total + x * y * comb(m, i)
    return total


class Monomials:
    """W^alpha for the needed alpha, as series: each a shorter one times one coordinate."""

    def __init__(self, p: int, needed: set[int]):
        self.series: dict[int, list[Any]] = {}
        self._factors: dict[int, tuple[int, int]] = {}
        for key in sorted(needed, key=lambda k: sum(_sparse.exponents(k, p))):
            self._insert(key, p, needed)

    def _insert(self, key: int, p: int, needed: set[int]) -> None:
        if key in self.series:
            return
        if key:
            exps = _sparse.exponents(key, p)
            parts = [(key - (1 << 8 * i), i) for i, e in enumerate(exps) if e]
            shorter, i = next((part for part in parts if part[0] in self.series), parts[0])
            self._insert(shorter, p, needed)
            self._factors[key] = (shorter, i)
        self.series[key] = []

    def extend(self, W: Sequence[Sequence[Any]], m: int) -> None:
        """Coefficient m of all, from those of W up to m."""
        for key, series in self.series.items():
            if not key:
                series.append(1 if m == 0 else 0)
            else:
                shorter, i = self._factors[key]
                series.append(W[i][m] if not shorter else convolve(self.series[shorter], W[i], m))


class Curve:
    """The curve W' = F(W), W(0) = 0, of a target and a jet: ``derivatives[j]`` is j! c_j, j = 0, 1, ...

    ``parts`` are the homogeneous H_k, k = 0, ..., n, with coefficients in the ring; ``jet`` holds s_0, s_1, ....
    """

    def __init__(self, parts: dict[int, dict[int, Any]], p: int, jet: Sequence[Any]):
        self.p, self.jet = p, jet
        self.parts = parts
        self.top = max(parts, default=0) + 2
        self._gradients = {k: [derivative(part, i) for i in range(p)] for k, part in parts.items() if k}
        needed = {key for part in parts.values() for key in part}
        needed |= {key for parts_of in self._gradients.values() for part in parts_of for key in part}
        self.monomials = Monomials(p, needed)
        self.W: list[list[Any]] = [[0] for _ in range(p)]
        self._rho_slope: list[Any] = []  # of rho'
        self._lambda: dict[int, list[Any]] = {}
        self._values: dict[int, list[Any]] = {k: [] for k in parts}  # H_k(W)
        self._fields: dict[int, list[list[Any]]] = {k: [[] for _ in range(p)] for k in range(1, self.top + 1)}

    @property
    def order(self) -> int:
        return len(self.W[0]) - 1

    @property
    def derivatives(self) -> list[list[Any]]:
        return [[w[m] for w in self.W] for m in range(self.order + 1)]

    def step(self) -> list[Any]:
        """One order more; returns j! c_j of the new order j."""
        m = self.order
        if m + 1 >= len(self.jet):
            raise IndexError(f"order {m + 1} needs s_{m + 1}")
        self.monomials.extend(self.W, m)
        if m:  # rho' = W . W', coefficient m - 1
            slopes = [w[1:] for w in self.W]
            self._rho_slope.append(_sum(convolve(w, dw, m - 1) for w, dw in zip(self.W, slopes)))
        self._extend_lambdas(m)
        monomials = self.monomials.series
        for k, part in self.parts.items():
            self._values[k].append(_sum(monomials[key][m] * c for key, c in part.items()) if part else 0)
        new: list[Any] = [0] * self.p
        for k, field in self._fields.items():
            for i in range(self.p):
                value: Any = 0
                if k in self._gradients:
                    value = _sum(monomials[key][m] * c for key, c in self._gradients[k][i].items())
                if k - 2 in self.parts:
                    value = value + convolve(self.W[i], self._values[k - 2], m)
                field[i].append(value)
            if k - 1 <= m:
                factor = self._lambda[k]
                for i in range(self.p):
                    new[i] = new[i] + convolve(factor, field[i], m, m - k + 1)
        for w, x in zip(self.W, new):
            w.append(x)
        return new

    def _extend_lambdas(self, m: int) -> None:
        """All lambda_k, each as far as order m + 1 of W needs it: to order m + 1 - k."""
        for k in range(m + 1, 0, -1):
            series = self._lambda.setdefault(k, [self.jet[k]])
            while len(series) <= m + 1 - k:
                at = len(series)  # lambda_k' = lambda_{k+2} rho'; rho' has no constant term
                above = self._lambda.get(k + 2, [])
                series.append(convolve(above, self._rho_slope, at - 1, at - 2))


def _sum(values: Any) -> Any:
    total: Any = 0
    for x in values:
        if x:
            total = total + x
    return total
