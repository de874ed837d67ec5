"""The Taylor search of one target and one jet: scales taken out beforehand, ranks decided in the ring of the jet."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import factorial, lcm
from typing import Any

import sympy as sp
from sympy import QQ

from .._exact import is_rational
from ._jets import Jet
from ._linear import DIGITS, ExactSpan, NumericSpan, number, real
from ._ring import Element, determinant, evaluate
from ._series import Curve
from ._target import Target

__all__ = ["Growth", "Search"]


class Search:
    """The curve of one target and one jet, with the scales taken out that make everything whole numbers."""

    def __init__(self, target: Target, jet: Jet):
        self.target, self.jet = target, jet
        self.numeric = not target.exact or isinstance(next((x for x in jet.values if x), 0), real.mpf)
        self.unit: Any = 1
        parts, values = target.by_order, jet.values
        if self.numeric:
            parts = {k: {key: number(c) for key, c in part.items()} for k, part in parts.items()}
            values = self.numbers(jet)
        elif all(is_rational(c) for c in target.smoothed.values()):
            self.unit = lcm(*(int(c.denominator) for c in target.smoothed.values()))
            parts = {
                k: {key: int(c.numerator) * (self.unit // int(c.denominator)) for key, c in part.items()}
                for k, part in parts.items()
            }
        self.curve = Curve(parts, target.p, values)
        self.majorant = None
        if self.numeric:
            sizes = {k: {key: abs(c) for key, c in part.items()} for k, part in parts.items()}
            self.majorant = Curve(sizes, target.p, [abs(x) for x in values])
        self.scale: Any = None

    @staticmethod
    def numbers(jet: Jet) -> list[Any]:
        """The jet in multiple precision, without alpha and beta."""
        found = [real.zero]
        for k, x in enumerate(jet.values[1:], 1):
            if isinstance(x, real.mpf):
                found.append(x)
            else:
                at = [real.mpf(str(sp.N(g, DIGITS + 15))) for g in jet.generators]
                value = number(x) if not isinstance(x, Element) else evaluate(_numbers_inside(x), at)
                alpha, beta = (real.mpf(str(sp.N(g, DIGITS + 15))) for g in (jet.alpha, jet.beta))
                found.append(value / alpha / beta**k)
        return found

    def extend(self, longer: Jet) -> bool:
        """Go on with a longer jet of the same activation; False where its scales differ, so that nothing fits."""
        known = len(self.jet.values)
        if self.numeric or longer.values[:known] != self.jet.values or longer.alpha != self.jet.alpha:
            return False
        self.jet = longer
        self.curve.jet = longer.values
        return True

    def step(self) -> list[Any]:
        """The next j! c_j, times unit^j alpha^j beta^(2j-1)."""
        if self.majorant is not None:
            size = self.majorant.step()
            self.scale = real.sqrt(sum(x * x for x in size))
        return self.curve.step()

    def shown(self, x: Any, j: int) -> Any:
        if self.numeric:
            value = x / factorial(j) if isinstance(x, real.mpf) else real.mpf(x)
            return float(value) if not self.target.exact else sp.Float(real.nstr(value, DIGITS), DIGITS)
        below = QQ(1, factorial(j) * self.unit**j)
        value = self.jet.shown(x * below, j)
        return Fraction(int(value.p), int(value.q)) if value.is_Rational else value

    @property
    def growth(self) -> Growth | ExactSpan | NumericSpan:
        if self.numeric:
            tolerance = self.target.tolerance or real.mpf(10) ** (20 - DIGITS)
            return NumericSpan(self.target.p, (), tolerance)
        return Growth(self.target.p, len(self.jet.generators)) if self.jet.generators else ExactSpan(self.target.p)


def _numbers_inside(x: Element) -> Element:
    return Element({key: number(c) for key, c in x.terms.items()})


class Growth:
    """The span of vectors of ring elements over the field of fractions.

    Independence is shown at one point, where generators are whole numbers; dependence by the minors that border a
    minor known not to vanish: all zero exactly when the rank does not grow.
    """

    def __init__(self, p: int, generators: int):
        self.p = self.width = p
        self._at = [10**9 + 7 + 10**5 * i for i in range(generators)]
        self.vectors: list[list[Any]] = []
        self._span = ExactSpan(p)

    @property
    def dimension(self) -> int:
        return len(self.vectors)

    def add(self, vector: Sequence[Any], scale: Any = None) -> list[Any] | None:
        if not any(vector):
            return None
        for _ in range(20):
            if self._span.add([evaluate(x, self._at) for x in vector]) is not None:
                self.vectors.append(list(vector))
                return list(vector)
            if self._depends(vector):
                return None
            self._at = [x * 3 + 10**6 + 3 for x in self._at]  # an unlucky point: take another
            self._span = ExactSpan(self.p, ([evaluate(x, self._at) for x in v] for v in self.vectors))
        raise AssertionError("twenty points in a row were unlucky")

    def _depends(self, vector: Sequence[Any]) -> bool:
        pivots = self._span.pivots
        for j in range(self.p):
            if j not in pivots:
                columns = [*pivots, j]
                if determinant([[v[i] for i in columns] for v in (*self.vectors, vector)]):
                    return False
        return True
