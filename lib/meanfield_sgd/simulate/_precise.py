r"""The flow (4.1) to many digits: Taylor steps in multiple precision for activations made of polynomials, sin, cos, exp.

For :math:`\sigma=q+\sum_ac_af_a(\alpha_ay+\beta_a)` with f = sin, cos, exp the averaged derivatives are closed,

.. math::
   \lambda_k=\sum_iq^{(k+2i)}(0)\frac{\rho^i}{i!}+\sum_ac_a\alpha_a^kf_a^{(k)}(\beta_a)\,e^{\pm\alpha_a^2\rho},
   \qquad\rho=|W|^2/2,

so that W, rho and the exponentials are power series that determine each other order by order, at any starting point.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from mpmath import MPContext

from .. import _line as line
from ..activation import Activation
from ..errors import DivergenceError, InputError
from ..polynomial import Polynomial

__all__ = ["PreciseCurve", "can_be_precise", "context", "gauss_legendre", "monomials", "number", "public"]

_ATOMS = {"sin": -1, "cos": -1, "exp": 1}  # the sign of the exponent of E f(alpha r g)
_LARGEST = 10**6  # a weight vector longer than this has run away
_MOST = 600  # expansions on one side of 0: near a singularity they shrink geometrically


def context(digits: int) -> MPContext:
    """A context of one's own, so that nobody else's precision is touched."""
    ctx = MPContext()
    ctx.dps = digits
    return ctx


def number(ctx: MPContext, x: Any) -> Any:
    """An exact number (Fraction, whole number, Surd, sympy number) in a context."""
    if isinstance(x, (int, np.integer)):
        return ctx.mpf(int(x))
    if isinstance(x, float):
        return ctx.mpf(x)
    if hasattr(x, "numerator") and hasattr(x, "denominator"):
        return ctx.mpf(int(x.numerator)) / int(x.denominator)
    value = line.expression(x) if not isinstance(x, sp.Basic) else x
    return ctx.make_mpf(sp.N(value, ctx.dps + 5)._mpf_)


def public(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Numbers of a private context as ``mpmath.mpf``, digit for digit."""
    return [[mpmath.mp.make_mpf(x._mpf_) for x in row] for row in rows]


def can_be_precise(activation: Activation) -> bool:
    """Whether the averaged derivatives have the closed form of this module."""
    return activation.arithmetic == "exact" and all(
        kind == "one" or (kind in _ATOMS and len(p) == 1) for (kind, _, _), p in activation._form.terms.items()
    )


def gauss_legendre(ctx: MPContext, n: int) -> tuple[list[Any], list[Any]]:
    """Nodes and weights on [-1, 1], weights summing to 2, to the digits of the context."""
    nodes, weights = _gauss_legendre(ctx.dps, n)
    return [ctx.make_mpf(x) for x in nodes], [ctx.make_mpf(x) for x in weights]


@lru_cache(maxsize=64)
def _gauss_legendre(digits: int, n: int) -> tuple[list[Any], list[Any]]:
    """The raw numbers, by Newton's method from float64; each step doubles the digits."""
    ctx = context(digits)
    start, _ = np.polynomial.legendre.leggauss(n)
    nodes, weights = [], []
    for x0 in start[n // 2 :]:
        x = ctx.mpf(float(x0))
        for _ in range(ceil(np.log2(ctx.dps / 12)) + 1):
            value, slope = _legendre(ctx, n, x)
            x -= value / slope
        _, slope = _legendre(ctx, n, x)
        nodes.append(x)
        weights.append(2 / ((1 - x * x) * slope * slope))
    if n % 2:
        nodes[0] = ctx.zero
    mirrored = [-x for x in nodes[::-1]], weights[::-1]
    if n % 2:
        mirrored = mirrored[0][:-1], mirrored[1][:-1]
    return [x._mpf_ for x in mirrored[0] + nodes], [x._mpf_ for x in mirrored[1] + weights]


def _legendre(ctx: MPContext, n: int, x: Any) -> tuple[Any, Any]:
    before, now = ctx.one, x
    for k in range(1, n):
        before, now = now, ((2 * k + 1) * x * now - k * before) / (k + 1)
    return now, n * (x * now - before) / (x * x - 1)


def monomials(p: int, degree: int) -> list[tuple[int, ...]]:
    """All exponents alpha in N^p with |alpha| <= degree, by degree, then lexicographically from the first variable."""

    def of_degree(k: int, p: int):
        if p == 1:
            yield (k,)
            return
        for first in range(k, -1, -1):
            for rest in of_degree(k - first, p - 1):
                yield (first, *rest)

    return [alpha for k in range(degree + 1) for alpha in of_degree(k, p)]


def shorter(alpha: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """(alpha - e_i, i) for the first i that occurs: how a monomial is made from a shorter one."""
    i = next(i for i, e in enumerate(alpha) if e)
    return alpha[:i] + (alpha[i] - 1,) + alpha[i + 1 :], i


class PreciseCurve:
    """W(tau) to ``digits`` digits; calling it on numbers of its context ``ctx`` gives lists of p such numbers."""

    def __init__(self, target: Polynomial, activation: Activation, digits: int):
        if not can_be_precise(activation):
            raise InputError(
                f"{activation!s:.60}: more digits than float64 has are computed for sums of polynomials, sin, cos and "
                "exp (of linear arguments, with constant factors) only; leave digits out"
            )
        self.ctx = ctx = context(digits + 12)
        self.p, self.name = target.p, str(activation)
        self.order = max(24, ceil(1.1 * digits))
        self.tolerance = ctx.mpf(10) ** (-digits - 4)
        d = {tuple(alpha): number(ctx, c) for alpha, c in target.hermite_coefficients.items()}
        self.degree = max(map(sum, d), default=0)
        self._value = self._by_order(d)
        self._slope = [self._by_order(self._derivative(d, i)) for i in range(self.p)]
        needed = {alpha for part in (d, *(self._derivative(d, i) for i in range(self.p))) for alpha in part}
        todo = list(needed)
        while todo:  # every monomial is a shorter one times a coordinate
            alpha = todo.pop()
            if sum(alpha) > 1 and (less := shorter(alpha)[0]) not in needed:
                needed.add(less)
                todo.append(less)
        self._needed = sorted((a for a in needed if any(a)), key=sum)
        self._pieces: dict[int, list] = {1: [], -1: []}
        self._read(activation)

    @staticmethod
    def _derivative(d: dict, i: int) -> dict:
        return {a[:i] + (a[i] - 1,) + a[i + 1 :]: c * a[i] for a, c in d.items() if a[i]}

    @staticmethod
    def _by_order(d: dict) -> dict[int, list]:
        parts: dict[int, list] = {}
        for alpha, c in d.items():
            parts.setdefault(sum(alpha), []).append((alpha, c))
        return parts

    def _read(self, activation: Activation) -> None:
        ctx, top = self.ctx, self.degree + 2
        self._polynomial = [ctx.zero] * (top + 1)
        self._atoms = []  # (exponent c of e^(c rho), [factor of order k for k = 0 ... top])
        for (kind, alpha, beta), factor in activation._form.terms.items():
            coefficients = [number(ctx, c) for c in factor]
            if kind == "one":
                self._polynomial = [c * ctx.factorial(k) for k, c in enumerate(coefficients)]
                continue
            a, b = number(ctx, alpha), number(ctx, beta)
            cycle = {
                "exp": [ctx.exp(b)],
                "sin": [ctx.sin(b), ctx.cos(b), -ctx.sin(b), -ctx.cos(b)],
                "cos": [ctx.cos(b), -ctx.sin(b), -ctx.cos(b), ctx.sin(b)],
            }[kind]
            factors = [coefficients[0] * a**k * cycle[k % len(cycle)] for k in range(top + 1)]
            self._atoms.append((_ATOMS[kind] * a * a, factors))

    def series(self, start: Sequence[Any]) -> list[list[Any]]:
        """Power series of W_1, ..., W_p about a point with W = ``start``, to order ``self.order``."""
        ctx, p, top = self.ctx, self.p, self.degree + 2
        dot = ctx.fdot
        W = [[x] for x in start]
        table = {(0,) * p: [ctx.one]}
        for alpha in self._needed:
            table[alpha] = []
        rho: list[Any] = []
        exponentials: list[list[Any]] = [[] for _ in self._atoms]
        powers: list[list[Any]] = [[] for _ in range(max(1, (len(self._polynomial) + 1) // 2))]  # rho^i / i!
        lambdas: list[list[Any]] = [[] for _ in range(top + 1)]
        values: dict[int, list[Any]] = {k: [] for k in self._value}
        fields = [[[] for _ in range(p)] for _ in range(top + 1)]

        def product(x: list[Any], y: list[Any], m: int) -> Any:
            return dot(x[: m + 1], y[m::-1])

        for m in range(self.order):
            for alpha in self._needed:
                less, i = shorter(alpha)
                table[alpha].append(W[i][m] if not any(less) else product(table[less], W[i], m))
            rho.append(sum((product(w, w, m) for w in W), ctx.zero) / 2)
            for (c, _), e in zip(self._atoms, exponentials):
                if m == 0:
                    e.append(ctx.exp(c * rho[0]))
                else:
                    e.append(c / m * dot([j * rho[j] for j in range(1, m + 1)], e[m - 1 :: -1]))
            for i, power in enumerate(powers):
                if i == 0:
                    power.append(ctx.one if m == 0 else ctx.zero)
                else:
                    power.append(product(powers[i - 1], rho, m) / i)
            for k in range(1, top + 1):
                total = ctx.zero
                for (_, factors), e in zip(self._atoms, exponentials):
                    total += factors[k] * e[m]
                for i, power in enumerate(powers):
                    if k + 2 * i < len(self._polynomial):
                        total += self._polynomial[k + 2 * i] * power[m]
                lambdas[k].append(total)
            zero = (0,) * p
            for k, part in self._value.items():
                values[k].append(
                    sum((c * (table[a][m] if a != zero else (ctx.one if m == 0 else 0)) for a, c in part), ctx.zero)
                )
            new = [ctx.zero] * p
            for k in range(1, top + 1):
                for i in range(p):
                    x = ctx.zero
                    for a, c in self._slope[i].get(k - 1, ()):  # order k of H gives a slope of degree k - 1
                        x += c * (table[a][m] if any(a) else (ctx.one if m == 0 else ctx.zero))
                    if k - 2 in values:
                        x += product(W[i], values[k - 2], m)
                    fields[k][i].append(x)
                    new[i] += product(lambdas[k], fields[k][i], m)
            for w, x in zip(W, new):
                w.append(x / (m + 1))
        return W

    def __call__(self, taus: Sequence[Any]) -> list[list[Any]]:
        found: list[Any] = [[self.ctx.zero] * self.p for _ in taus]
        for sign in (1, -1):
            side = sorted((i for i, t in enumerate(taus) if sign * t > 0), key=lambda i: abs(taus[i]))
            pieces, k = self._pieces[sign], 0
            for i in side:
                size = abs(taus[i])
                while k == len(pieces) or pieces[k][1] < size:
                    if k == len(pieces):
                        pieces.append(self._next_piece(sign, pieces))
                    if pieces[k][1] < size:
                        k += 1
                start, _, series = pieces[k]
                found[i] = [self.ctx.polyval(w, sign * (size - start)) for w in series]
        return found

    def _next_piece(self, sign: int, pieces: list) -> tuple[Any, Any, list]:
        """(start, end, series by descending powers) of one more expansion; kept, so that other nodes cost nothing."""
        ctx = self.ctx
        at, state = ctx.zero, [ctx.zero] * self.p
        if pieces:
            start, at, series = pieces[-1]
            state = [ctx.polyval(w, sign * (at - start)) for w in series]
        shrunk = len(pieces) > 40 and pieces[-1][1] - pieces[-1][0] < at * ctx.mpf(10) ** -5
        if max(abs(x) for x in state) > _LARGEST or shrunk or len(pieces) > _MOST:
            raise DivergenceError(
                f"the flow (4.1) of {self.name} runs away near tau = {float(sign * at):.4g}: stop earlier, or take a bounded "
                "activation",
                float(at),
            )
        series = self.series(state)
        # The root test over half of the coefficients: by symmetry most of the last ones may vanish.
        steps = [
            (1 / size) ** (ctx.one / m)
            for m in range(self.order // 2, self.order + 1)
            if (size := max(abs(w[m]) for w in series))
        ]
        step = min(steps, default=ctx.mpf(10) ** 9) * self.tolerance ** (ctx.one / self.order) * 9 / 10
        return at, at + step, [w[::-1] for w in series]
