r"""The true first stage, with the network's own output: how the hidden weights leave w = 0.

In the flow (4.1) the residual is replaced by the target. Here it is kept: with the residual's Hermite coefficients

.. math::

    r_\alpha(t) = d_\alpha - \frac{1}{\alpha!} \int a\,\lambda_{|\alpha|}(|w|)\,w^\alpha\, d\rho_t

a neuron moves by

.. math::

    \dot w = a \sum_k \lambda_k\,\bigl(\nabla R_k(w) + w\,R_{k-2}(w)\bigr), \qquad
    \dot a = \xi_a \sum_k \lambda_k\,R_k(w), \qquad R_k(w) = \sum_{|\alpha| = k} r_\alpha w^\alpha ,

and w(a, t) = sum_j Q_j(a) t^j with polynomials Q_j of degree at most j, whose a^j coefficient is the c_j of the flow
(4.1) for the target h - sigma(0) E a: that of h itself where sigma(0) E a = 0, as for the uniform law.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import factorial
from typing import Any

import sympy as sp
from sympy import QQ

from .. import _sparse
from .._exact import sign
from .._exact_input import exact
from .._polynomial_linear import directions
from ..errors import InputError
from ._coefficients import Coefficients
from ._jets import expression, formal_jet
from ._ring import Element, exponent, generator
from ._series import convolve
from ._target import Target, as_activation, read_target

__all__ = ["MAX_ORDER", "StageOne", "stage_one"]

MAX_ORDER = 24  # orders; the number of monomials and the length of the numbers grow fast


@dataclass(frozen=True)
class StageOne(Coefficients):
    """w(a, t) = sum_j Q_j(a) t^j of the true stage one from w = 0.

    Attributes:
        coefficients: Q_1, ..., Q_order, each a tuple of p sympy polynomials in the symbol ``a``.
        output: the same for a(t) - a where the output weights are trained, else ().
        variables: names of the coordinates.
    """

    coefficients: tuple[tuple[Any, ...], ...]
    output: tuple[Any, ...]
    variables: tuple[str, ...]
    law: str

    _letter = "Q"

    def along(self, direction: Sequence[Any] | str) -> tuple[int, Any] | None:
        """(j, polynomial in a): the leading term of direction . w in t; None where it vanishes up to ``order``.

        ``direction`` is a vector of exact numbers, or a linear form as text ("z1 - z2").
        """
        (row,) = directions([direction], self.variables, "along")
        for j, q in enumerate(self.coefficients, 1):
            value = sp.expand(sum(expression(x, ()) * y for x, y in zip(row, q)))
            if value != 0:
                return j, value
        return None

    def __str__(self) -> str:
        rows = []
        for i, name in enumerate(self.variables):
            parts = [f"t^{j} ({q[i]})" for j, q in enumerate(self.coefficients, 1) if q[i] != 0]
            rows.append(f"w_{name} = {' + '.join(parts) or '0'} + O(t^{self.order + 1})")
        return "\n".join(rows)


def stage_one(
    h: Any,
    activation: Any,
    order: int = 5,
    *,
    law: str | Mapping[Any, Any] = "uniform",
    train_a: bool = False,
) -> StageOne:
    r"""The first coefficients of the true stage-one flow, f_NN included, as polynomials in a and t.

    Args:
        h: a Polynomial or a text, exact.
        activation: an Activation or a text with derivatives at 0.
        order: the last power of t; at most 24.
        law: of the initial output weights: "uniform" on [-1, 1], or exact atoms ``{value: probability}``.
        train_a: whether the output weights move too (xi_a = 1; else xi_a = 0). xi_w = 1.

    Raises:
        InputError: unreadable arguments, float targets, activations without derivatives at 0.

    Source: this book. Checked against the mean-field solver and against series derived by hand.
    """
    target = read_target(h)
    if not target.exact:
        raise InputError("stage_one needs a target with exact coefficients")
    if isinstance(order, bool) or not hasattr(order, "__index__") or not 1 <= order <= MAX_ORDER:
        raise InputError(f"order must be a whole number from 1 to {MAX_ORDER}, got {order!r:.40}")
    moments, name = _moments(law, 4 * order + 4)
    jet = formal_jet(as_activation(activation), order + 2)
    shift = [_shifted(x) for x in jet.values]  # generator 0 is a
    flow = _Flow(target, shift, moments, train_a, order)
    for _ in range(order):
        flow.step()
    symbols = (sp.Symbol("a"), *jet.generators)
    show = lambda x, j: expression(x * QQ(1, factorial(j)) if x else 0, symbols)  # noqa: E731
    found = tuple(tuple(show(w[j], j) for w in flow.W) for j in range(1, order + 1))
    output = tuple(show(flow.A[j], j) for j in range(1, order + 1)) if train_a else ()
    return StageOne(found, output, target.variables, name)


def _shifted(x: Any) -> Any:
    return Element({key << 16: c for key, c in x.terms.items()}) if isinstance(x, Element) else x


def _moments(law: Any, count: int) -> tuple[list[Any], str]:
    if law == "uniform":
        return [QQ(1, k + 1) if k % 2 == 0 else 0 for k in range(count)], "uniform on [-1, 1]"
    if not isinstance(law, Mapping) or not law:
        raise InputError('law is "uniform" or a dict {value: probability} of exact numbers')
    atoms = [(exact(value, "law"), exact(weight, "law")) for value, weight in law.items()]
    if sum((weight for _, weight in atoms), 0) != 1 or any(sign(weight) < 0 for _, weight in atoms):
        raise InputError("law: the probabilities must be >= 0 and add up to 1")
    found, powers = [], [weight for _, weight in atoms]
    for _ in range(count):
        found.append(sum(powers, 0))
        powers = [p * value for p, (value, _) in zip(powers, atoms)]
    return found, ", ".join(f"a = {value} with probability {weight}" for value, weight in law.items())


class _Flow:
    """Exponential generating series in t with coefficients in R[a]; see meanfield_sgd.decide._series."""

    def __init__(self, target: Target, jet: list[Any], moments: list[Any], train_a: bool, order: int):
        self.target, self.jet, self.moments, self.train_a = target, jet, moments, train_a
        p, self.p = target.p, target.p
        self.W: list[list[Any]] = [[0] for _ in range(p)]
        self.A: list[Any] = [generator(0)]
        # Residual coefficients of order k start with the target's or at t^k; a neuron sees them times w^(k-1).
        keys = {key for key in target.smoothed if key}
        for k in range(order // 2 + 2):
            for places in combinations_with_replacement(range(p), k):
                keys.add(sum(1 << 8 * i for i in places))
        keys.add(0)
        self.residual: dict[int, list[Any]] = {key: [] for key in keys}
        shorter = {key - (1 << 8 * i) for key in keys for i, e in enumerate(_sparse.exponents(key, p)) if e}
        self.power: dict[int, list[Any]] = {}
        for key in sorted(keys | shorter, key=lambda k: sum(_sparse.exponents(k, p))):
            self._insert(key)
        self.slope: list[Any] = []
        self.average = {k: [s] for k, s in enumerate(jet)}
        self.force: list[list[Any]] = [[] for _ in range(p)]

    def _insert(self, key: int) -> None:
        if key not in self.power:
            if key:
                i = next(i for i, e in enumerate(_sparse.exponents(key, self.p)) if e)
                self._insert(key - (1 << 8 * i))
            self.power[key] = []

    def step(self) -> None:
        """One order more of w and, if it is trained, of a."""
        m = len(self.A) - 1
        for key, series in self.power.items():
            if not key:
                series.append(1 if m == 0 else 0)
                continue
            i = next(i for i, e in enumerate(_sparse.exponents(key, self.p)) if e)
            series.append(convolve(self.power[key - (1 << 8 * i)], self.W[i], m))
        if m:
            self.slope.append(sum((convolve(w, w[1:], m - 1) for w in self.W), 0))
        for k in range(len(self.jet) - 1, -1, -1):
            series = self.average[k]
            while len(series) <= min(m, len(self.jet) - 1 - k):
                above = self.average.get(k + 2, [])
                series.append(convolve(above, self.slope, len(series) - 1))
        for key, series in self.residual.items():
            series.append((self.target.smoothed.get(key, 0) if m == 0 else 0) - self._seen(key, m))
        force, output = self._forces(m)
        for w, pushes, x in zip(self.W, self.force, force):
            pushes.append(x)
            w.append(convolve(self.A, pushes, m))
        self.A.append(output)

    def _forces(self, m: int) -> tuple[list[Any], Any]:
        """Coefficient m of dw/dt per unit of a, and of da/dt."""
        force: list[Any] = [0] * self.p
        output: Any = 0
        for key, series in self.residual.items():
            if not any(series):
                continue
            exps = _sparse.exponents(key, self.p)
            k = sum(exps)
            if self.train_a:
                output = output + self._triple(series, k, self.power[key], m)
            for i, e in enumerate(exps):
                if e:
                    force[i] = force[i] + self._triple(series, k, self.power[key - (1 << 8 * i)], m) * e
                longer = [convolve(self.power[key], self.W[i], j) for j in range(m + 1)]
                force[i] = force[i] + self._triple(series, k + 2, longer, m)
        return force, output

    def _seen(self, key: int, m: int) -> Any:
        """Coefficient m of (1/alpha!) int a lambda_k w^alpha, k = |alpha|."""
        k = sum(_sparse.exponents(key, self.p))
        if k > m:
            return 0
        product = [convolve(self.average[k], self.power[key], j) for j in range(m + 1)]
        return self._mean(convolve(self.A, product, m)) * QQ(1, self.target.factorials(key))

    def _mean(self, x: Any) -> Any:
        if not isinstance(x, Element):
            return x * self.moments[0]
        total: Any = 0
        for key, c in x.terms.items():
            moment = self.moments[exponent(key, 0)]
            if moment:
                rest = key >> 16 << 16
                total = total + (Element({rest: c * moment}) if rest else c * moment)
        return total

    def _triple(self, residual: list[Any], k: int, power: list[Any], m: int) -> Any:
        """Coefficient m of r lambda_k w^beta."""
        if k >= len(self.jet) or not any(power):
            return 0
        product = [convolve(self.average[k], power, j) for j in range(m + 1)]
        return convolve(residual, product, m)
