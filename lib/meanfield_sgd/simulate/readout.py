r"""The second stage solved exactly: the loss of a linear flow at any time, from a spectrum.

With fixed features only the output weights move, :math:`f=\int a\,\hat\sigma(u\cdot x)\,d\rho`, and the flow is linear:

.. math::
   E(t)=E_\infty+\frac12\sum_i\epsilon_i\,e^{-2\lambda_is(t)},\qquad s(t)=\int_0^t\xi_a,

with the eigenvalues of the kernel matrix and the energies :math:`\epsilon_i` of the initial residual along its eigenvectors.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import factorial, inf, prod, sqrt
from typing import Any

import numpy as np
from scipy.special import roots_legendre

from ..errors import InputError
from ..polynomial import Polynomial
from ._common import Schedule, read_positive, short
from ._limit_field import TargetForms
from .features import FeatureLaw
from .kernel import KernelMatrix, feature_polynomials, second_coefficient

__all__ = ["Readout", "limit_readout", "network_readout"]

_MOST_NEURONS = 4096


class Clock:
    """s(t), the integral of a schedule from 0 to t, by 10 Gauss nodes on cells of length 1/2 up to t = 1000, then 2 % of t."""

    _most = 1e30

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        self._edges, self._sums = [0.0], [0.0]
        self._x, self._w = roots_legendre(10)

    def _piece(self, a: float, b: float) -> float:
        half = (b - a) / 2
        return half * float(self._w @ [self.schedule(t) for t in a + half * (1 + self._x)])

    def __call__(self, t: float) -> float:
        if self.schedule.constant:
            return self.schedule.value * t
        edges, sums = self._edges, self._sums
        while edges[-1] < t:
            end = edges[-1] + max(0.5, 0.02 * edges[-1]) if edges[-1] >= 1000 else edges[-1] + 0.5
            sums.append(sums[-1] + self._piece(edges[-1], end))
            edges.append(end)
        i = bisect_right(edges, t) - 1
        return sums[i] if edges[i] == t else sums[i] + self._piece(edges[i], t)

    def inverse(self, s: float) -> float:
        """The first t with s(t) = s, infinity if there is none up to 1e30 (or at all, for a constant rate)."""
        if s == 0:
            return 0.0
        if self.schedule.constant:
            return s / self.schedule.value if self.schedule.value else inf
        low, high = 0.0, 1.0
        while self(high) < s:
            low, high = high, 4 * high
            if high > self._most:
                return inf
        for _ in range(120):
            middle = (low + high) / 2
            low, high = (low, middle) if self(middle) >= s else (middle, high)
        return high


@dataclass(eq=False)
class Readout:
    r"""The loss of the second stage at any time, :math:`E_\infty+\frac12\sum_i\epsilon_ie^{-2\lambda_is(t)}`.

    Attributes
    ----------
    eigenvalues : (R,), ascending, the positive ones. energies : (R,), the :math:`\epsilon_i\ge0`.
    floor : :math:`E_\infty`, what training the output weights alone cannot remove.
    schedule : xi_a.
    """

    eigenvalues: np.ndarray
    energies: np.ndarray
    floor: float
    schedule: Schedule

    def __post_init__(self) -> None:
        self._clock = Clock(self.schedule)

    @property
    def rate(self) -> float:
        r"""Twice the least eigenvalue along which the initial residual has energy: how fast this loss falls at last.

        It is at least 2 lambda_min, and more where a symmetry of the features keeps the residual away from the slowest
        eigenvectors: from a symmetric law of a, u has the law of R u with the reflection :math:`RW(\tau)=W(-\tau)` (where
        there is one), K does not mix even and odd polynomials, and a target of one parity stays in it.
        """
        active = self.eigenvalues[self.energies > 0]
        return 2 * float(active[0]) if len(active) else float("inf")

    def clock(self, times: Any) -> np.ndarray:
        """s(t), the integral of xi_a from 0 to t; a schedule may jump, but beyond t = 1000 it must vary slowly."""
        try:
            t = np.asarray(times, dtype=np.float64)
        except (TypeError, ValueError):
            t = np.array(np.nan)
        if not np.all(np.isfinite(t)) or not np.all(t >= 0) or np.any(t > 1e30):
            raise InputError(f"times must be numbers from 0 to 1e30, got {short(times)}")
        if self.schedule.constant:
            return self.schedule.value * t
        return np.array([self._clock(x) for x in t.ravel().tolist()]).reshape(t.shape)

    def loss(self, times: Any) -> np.ndarray:
        """E(t), the shape of ``times``."""
        s = self.clock(times)
        return self.floor + 0.5 * np.exp(-2 * np.multiply.outer(s, self.eigenvalues)) @ self.energies

    def decay_rate(self, times: Any) -> np.ndarray:
        r"""-d log(E - floor)/ds at ``times``, per unit of the clock; it falls to :attr:`rate`."""
        s = self.clock(times)
        if not len(self.eigenvalues):
            return np.full(s.shape, np.nan)
        # The slowest mode with energy is taken out, so that nothing underflows.
        active = self.energies > 0
        if not active.any():
            return np.full(s.shape, np.nan)
        rates, sizes = self.eigenvalues[active], self.energies[active]
        weight = np.exp(-2 * np.multiply.outer(s, rates - rates[0])) * sizes
        return 2 * (weight @ rates) / weight.sum(-1)

    def time_to(self, loss: float) -> float:
        """The first time at which E is at most ``loss``; infinity if never (the floor, or a schedule that stops)."""
        level = read_positive(loss, "loss")

        def at(s: float) -> float:
            return self.floor + 0.5 * float(np.exp(-2 * s * self.eigenvalues) @ self.energies)

        if at(0.0) <= level:
            return 0.0
        if self.floor >= level:
            return inf
        low, high = 0.0, 1.0
        while at(high) > level:
            low, high = high, 4 * high
        for _ in range(200):
            middle = (low * high) ** 0.5 if low > 0 else high / 2
            low, high = (low, middle) if at(middle) <= level else (middle, high)
            if high - low <= 1e-13 * high:
                break
        return self._clock.inverse(high)


def above_degree(target: Polynomial, degree: int) -> float:
    """The energy that no polynomial of that degree has: half the sum of alpha! d_alpha^2 over |alpha| > degree."""
    d = target.hermite_coefficients
    return 0.5 * sum(float(c) ** 2 * prod(map(factorial, a)) for a, c in d.items() if sum(a) > degree)


def limit_readout(target: Polynomial, kernel: KernelMatrix, schedule: Schedule, law: FeatureLaw, start: str) -> Readout:
    """Of infinitely many neurons with the features of a law, from a = 0 ("zero") or a kept ("average")."""
    ctx = kernel._ctx
    residual = kernel.coefficients(target)
    if start == "average":  # f(z) = E[a (1 + u.z)^n]
        moments = law.moments(kernel.degree, ctx, level=kernel._level, weighted=True)
        for i, (alpha, terms) in enumerate(feature_polynomials(law.p, kernel.degree)):
            value = sum((c * moments[b] for b, c in terms.items()), ctx.zero)
            residual[i] -= value / ctx.sqrt(prod(map(factorial, alpha)))
    energies = [c * c for c in kernel.components(residual)]
    # By symmetry the residual often has nothing along an eigenvector (see Readout.rate): rounding is not energy.
    least = sum(energies, ctx.zero) * ctx.mpf(10) ** (4 - 2 * kernel.law.digits)
    energies = [float(c) if c > least else 0.0 for c in energies]
    lost = kernel.size - kernel.resolved
    floor = above_degree(target, kernel.degree) + 0.5 * sum(energies[:lost])
    return Readout(kernel.eigenvalues[lost:], np.array(energies[lost:]), floor, schedule)


def network_readout(target: Polynomial, w: np.ndarray, a: np.ndarray, degree: int, schedule: Schedule) -> Readout:
    r"""Of N neurons with features w (N, m), first p columns in V, from output weights a.

    With :math:`\mu_k(r)=\frac{n!}{(n-k)!}E(1+rg)^{n-k}`, :math:`Q_{ij}=\sum_k\mu_k(r_i)\mu_k(r_j)(w_i\cdot w_j)^k/k!` and
    :math:`b_i=\sum_\alpha d_\alpha w_i^\alpha\mu_{|\alpha|}(r_i)` the flow is :math:`\dot a=\xi_a(b-Qa/N)`.
    """
    count = len(w)
    if count > _MOST_NEURONS:
        raise InputError(f"features outside V are solved exactly for at most {_MOST_NEURONS} neurons, here {count}")
    r2, gram = np.sum(w * w, axis=1), w @ w.T
    Q, b, power = np.zeros((count, count)), np.zeros(count), np.ones((count, count))
    forms = TargetForms(target)
    values, _ = forms(w[:, : target.p])  # sum over |alpha| = k of sqrt(k!) d_alpha w^alpha
    for k in range(degree + 1):
        mu = sum(second_coefficient(degree, k, i) * r2**i for i in range((degree - k) // 2 + 1))
        Q += np.outer(mu, mu) * power / factorial(k)
        if k <= forms.degree:
            b += values[:, k] / sqrt(factorial(k)) * mu
        power = power * gram
    eigenvalues, vectors = np.linalg.eigh(Q / count)
    kept = eigenvalues > 1e-14 * count * eigenvalues[-1]
    eigenvalues, vectors = eigenvalues[kept], vectors[:, kept]
    projected = vectors.T @ b
    miss = projected - eigenvalues * (vectors.T @ a)
    floor = forms.half_square - 0.5 * float(np.sum(projected**2 / eigenvalues)) / count
    return Readout(eigenvalues, miss**2 / eigenvalues / count, max(floor, 0.0), schedule)
