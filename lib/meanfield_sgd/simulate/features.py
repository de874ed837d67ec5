r"""Where the first stage of the training strategy leaves the weights: the law of the features u.

From w = 0 and a ~ U[-1, 1] a neuron with output weight a trains for time T, a fixed. Without feedback (f_NN left out of
the residual: the flow (4.1) of Chen and Ge) it ends at W(aT), one curve for all a; with feedback, at the end w(a, T) of
the true first stage. The strategy repeats this with p independent a's and averages,

.. math:: u=\frac1c\sum_{i=1}^cw(a_i,T),\qquad a_1,\dots,a_c\ \text{independent}.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import comb, prod
from typing import Any, NamedTuple

import numpy as np
from scipy.special import roots_legendre

from ..activation import Activation
from ..errors import InputError
from ..polynomial import Polynomial
from ._common import read_activation, read_bool, read_count, read_positive, read_target, short
from ._initial import refuse_kink_at_zero
from ._nodes import InitialLaw
from ._precise import PreciseCurve, can_be_precise, gauss_legendre, monomials, shorter
from ._true_stage_one import true_stage_one
from .curve import double_curve

__all__ = ["FeatureLaw", "features"]

DIGITS = (20, 40)  # of the features where their closed forms allow it: at first, and where a kernel matrix needs more


class Rule(NamedTuple):
    """One copy as a quadrature rule: output weights a (M,), features (M, p), masses (M,) summing to 1."""

    a: Any
    u: Any
    mass: Any


class FeatureLaw:
    """The law of the features u in V = R^p: the average of ``copies`` independent draws from points with masses.

    Parameters
    ----------
    values : features of one copy, (M, p).
    masses : (M,), positive; equal by default.
    outputs : the output weights a that go with them, (M,); 0 by default.
    copies : how many independent draws are averaged.

    Attributes
    ----------
    p : dimension. copies : as given. digits : to how many the features are known (15 for floats).
    """

    def __init__(self, values: Any, masses: Any = None, *, outputs: Any = None, copies: int = 1):
        try:
            u = np.array(values, dtype=np.float64)
            mass = np.full(len(u), 1.0) if masses is None else np.array(masses, dtype=np.float64)
            a = np.zeros(len(u)) if outputs is None else np.array(outputs, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"features must be numbers of shape (M, p), got {short(values)}") from None
        ok = u.ndim == 2 and u.size and mass.shape == a.shape == (len(u),)
        if not ok or not all(np.all(np.isfinite(x)) for x in (u, mass, a)) or np.any(mass <= 0):
            raise InputError(
                f"features need finite values (M, p), masses > 0 (M,) and outputs (M,); got shapes {u.shape}, "
                f"{mass.shape}, {a.shape}"
            )
        rule = Rule(a, u, mass / mass.sum())
        self._setup(lambda level: rule, u.shape[1], copies, 15, 0)

    def _setup(
        self, make: Callable[[int], Rule], p: int, copies: int, digits: int, levels: int, ctx: Any = None
    ) -> None:
        self._make, self.p, self.copies, self.digits = make, p, read_count(copies, "copies"), digits
        self.levels, self.ctx = levels, ctx
        self.sharper: Callable[[], FeatureLaw] | None = None  # the same law with more digits, where there are more
        self._rules: dict[int, Rule] = {}

    @classmethod
    def _of(cls, *arguments: Any) -> FeatureLaw:
        self = cls.__new__(cls)
        self._setup(*arguments)
        return self

    def __repr__(self) -> str:
        many = "one copy" if self.copies == 1 else f"average of {self.copies} copies"
        return f"<FeatureLaw in R^{self.p}: {many}, {self.digits} digits>"

    def rule(self, level: int = 0) -> Rule:
        """One copy as a quadrature rule; each ``level`` up to ``levels`` doubles the nodes."""
        level = min(level, self.levels)
        if level not in self._rules:
            self._rules[level] = self._make(level)
        return self._rules[level]

    def averaged(self, copies: int) -> FeatureLaw:
        """The same single copy, averaged over another number of copies."""
        new = FeatureLaw._of(self._make, self.p, copies, self.digits, self.levels, self.ctx)
        new._rules = self._rules
        if self.sharper is not None:
            more = self.sharper
            new.sharper = lambda: more().averaged(copies)
        return new

    def points(self, most: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
        """The law as points (K, p) with masses (K,), float64: all combinations of the nodes of the copies (24 for a curve,
        96 for a law with a density of its own).

        InputError where that is more than ``most`` points.
        """
        _, u, mass = self.rule(0)
        u, mass = np.array(u, dtype=np.float64), np.array(mass, dtype=np.float64)
        if len(u) ** self.copies > most:
            raise InputError(
                f"{len(u)}^{self.copies} points are more than {most}: take averaged(copies) with fewer copies"
            )
        points, masses = u, mass
        for _ in range(self.copies - 1):
            points = (points[:, None, :] + u).reshape(-1, self.p)
            masses = (masses[:, None] * mass).ravel()
        return points / self.copies, masses

    def moments(self, degree: int, ctx: Any = None, *, level: int = 0, weighted: bool = False) -> dict:
        r"""``{alpha: E u^alpha}`` for \|alpha\| <= degree, or with ``weighted`` E[a u^alpha], a the average output weight.

        The moments of one copy are sums over its nodes; those of a sum of independent copies follow by

        .. math:: E(u+v)^\gamma=\sum_{\delta\le\gamma}\binom\gamma\delta Eu^\delta\,Ev^{\gamma-\delta},

        so that the cost does not grow with the number of combinations. In multiple precision if ``ctx`` is an mpmath
        context.
        """
        a, u, mass = self.rule(level)
        number = float if ctx is None else lambda x: ctx.mpf(x) if isinstance(x, float) else ctx.make_mpf(x._mpf_)
        columns = [[number(x) for x in column] for column in zip(*(map(_plain, row) for row in u))]
        mass, a = [number(_plain(x)) for x in mass], [number(_plain(x)) for x in a]
        if ctx is None:
            columns, mass, a = [np.array(c) for c in columns], np.array(mass), np.array(a)
        dot = np.dot if ctx is None else ctx.fdot
        powers: dict[tuple[int, ...], Any] = {}
        one: dict[tuple[int, ...], Any] = {}
        first: dict[tuple[int, ...], Any] = {}
        for alpha in monomials(self.p, degree):
            if not any(alpha):
                powers[alpha] = mass
            else:
                less, i = shorter(alpha)
                if ctx is None:
                    powers[alpha] = powers[less] * columns[i]
                else:
                    powers[alpha] = [x * y for x, y in zip(powers[less], columns[i])]
            one[alpha] = sum(powers[alpha], 0 * mass[0])
            if weighted:
                first[alpha] = dot(powers[alpha], a)
        total = first if weighted else one
        for _ in range(self.copies - 1):
            total = _of_a_sum(total, one)
        return {alpha: value / self.copies ** sum(alpha) for alpha, value in total.items()}

    def sample(self, neurons: int, seed: int | np.random.Generator = 0) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, p) and average output weights (N,) of N neurons drawn from a law that has finitely many points."""
        from ._common import read_generator

        rng = read_generator(seed)
        if self.levels:
            raise InputError("sample draws from points; for a curve use strategy(..., neurons=...)")
        a, u, mass = self.rule(0)
        picks = rng.choice(len(mass), size=(read_count(neurons, "neurons"), self.copies), p=mass)
        return u[picks].mean(axis=1), a[picks].mean(axis=1)


def _plain(x: Any) -> Any:
    return float(x) if isinstance(x, np.floating) else x


def _of_a_sum(one: dict, other: dict) -> dict:
    """Moments of u + v, u and v independent, from those of each."""
    found = {}
    for gamma in one:
        total = 0
        for delta in other:
            if all(j <= i for i, j in zip(gamma, delta)):
                rest = tuple(i - j for i, j in zip(gamma, delta))
                total = total + prod(comb(i, j) for i, j in zip(gamma, delta)) * (one[rest] * other[delta])
        found[gamma] = total
    return found


def features(
    target: Polynomial | str,
    activation: Activation | str,
    time: float = 1.0,
    *,
    copies: int | None = None,
    feedback: bool = False,
    law: InitialLaw | None = None,
    digits: int | None = None,
) -> FeatureLaw:
    r"""The law of the features after the first stage of the training strategy, N = infinity.

    Parameters
    ----------
    target, activation : h* in p variables and sigma.
    time : T, the gradient-flow time of the first stage (the integral of xi_w).
    copies : independent copies that are averaged; default p.
    feedback : False, the flow (4.1), with h* in place of the residual: u = W(aT); True, the true first stage, each copy
        with the output of its own infinitely wide network.
    law : of a, an :class:`InitialLaw`; default a ~ U[-1, 1].
    digits : correct digits of the features, 17 ... 400; default 20 where the closed forms of :func:`taylor_curve` allow
        (uniform law or points, no feedback), and 40 where :func:`kernel_matrix` finds that 20 do not suffice; else float64.

    Raises
    ------
    InputError for arguments; DivergenceError where the first stage runs away before T (superlinear activations).

    Source: the strategy is Chen and Ge's, the treatment this book's, chapter *The sufficiency theorem*. Checked against
    ``meanfield(train="w")``, the exact series ``decide.stage_one`` and finite networks.
    """
    target, activation = read_target(target), read_activation(activation)
    time = read_positive(time, "time")
    copies = target.p if copies is None else read_count(copies, "copies")
    read_bool(feedback, "feedback")
    law = InitialLaw.uniform() if law is None else law
    if not isinstance(law, InitialLaw):
        raise InputError(f"law must be an InitialLaw, for instance InitialLaw.uniform(-1, 1), got {short(law)}")
    refuse_kink_at_zero(activation, np.zeros((1, target.p)), False)
    if digits is not None and (feedback or law.pdf is not None):
        raise InputError("digits: more than float64 is there for the flow (4.1) and uniform laws or points only")
    precise = not feedback and law.pdf is None and (digits is not None or can_be_precise(activation))
    if precise:

        def made(digits: int) -> FeatureLaw:
            curve = PreciseCurve(target, activation, digits)
            rule = partial(_precise_rule, curve, law, time)
            return FeatureLaw._of(rule, target.p, copies, digits, _levels(law), curve.ctx)

        if digits is not None:
            return made(read_count(digits, "digits", 17))
        found = made(DIGITS[0])
        found.sharper = partial(made, DIGITS[1])
        return found

    def rule(level: int) -> Rule:
        a, mass = _nodes(law, level)
        u = (
            true_stage_one(target, activation, time, a, mass)
            if feedback
            else double_curve(target, activation, a * time)
        )
        return Rule(a, u, mass)

    return FeatureLaw._of(rule, target.p, copies, 15, min(_levels(law), 3))


def _levels(law: InitialLaw) -> int:
    return 0 if law.kind == "points" else 5


def _count(level: int) -> int:
    return 24 * 2**level


def _precise_rule(curve: PreciseCurve, law: InitialLaw, time: float, level: int) -> Rule:
    ctx = curve.ctx
    if law.kind == "points":
        a = [ctx.mpf(x) for x in law.values]
        mass = [ctx.mpf(x) for x in law.masses]
        total = sum(mass)
        mass = [m / total for m in mass]
    else:
        x, weight = gauss_legendre(ctx, _count(level))
        middle, half = (ctx.mpf(law.high) + law.low) / 2, (ctx.mpf(law.high) - law.low) / 2
        a, mass = [middle + half * t for t in x], [w / 2 for w in weight]
    return Rule(a, curve([t * ctx.mpf(time) for t in a]), mass)


def _nodes(law: InitialLaw, level: int) -> tuple[np.ndarray, np.ndarray]:
    if law.kind == "points":
        return np.array(law.values), np.array(law.masses)
    x, weight = roots_legendre(_count(level) * (1 if law.pdf is None else 4))
    a = (law.low + law.high) / 2 + (law.high - law.low) / 2 * x
    if law.pdf is not None:
        weight = weight * law.pdf(a)
    return a, weight / weight.sum()
