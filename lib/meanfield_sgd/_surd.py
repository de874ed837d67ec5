"""Exact real numbers q_1 sqrt(d_1) + ... + q_m sqrt(d_m): rational q_i, distinct squarefree integers d_i >= 1.

These are the constants an activation may contain: ``3/5``, ``sqrt(2)/2``, ``1/(1 + sqrt(3))``. They form a field, and
square roots of distinct squarefree integers are linearly independent over the rationals (Besicovitch 1940), so two
numbers are equal exactly when their (d_i, q_i) are: no symbolic simplification is ever asked for, and equality and
hashing are dictionary work.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import gcd, isqrt
from numbers import Integral, Rational, Real
from typing import Any

from .errors import InputError

__all__ = ["MAX_BITS", "MAX_PARTS", "MAX_RADICAND", "Surd"]

MAX_BITS = 10_000  # of a numerator or denominator
MAX_PARTS = 16  # different square roots in one number
MAX_RADICAND = 10**20  # numerator times denominator under a root: what is factored at once


class Surd:
    """One such number. Immutable and hashable; ``+ - * /`` and ``**`` with an integer; ``float``; ``sign``."""

    __slots__ = ("parts",)

    parts: tuple[tuple[int, Fraction], ...]

    def __init__(self, parts: Mapping[int, Fraction]):
        """From {squarefree integer d: rational q}; zero coefficients are dropped.

        Raises:
            InputError: more than MAX_PARTS roots, or a coefficient of more than MAX_BITS bits.
        """
        kept = tuple(sorted((d, q) for d, q in parts.items() if q))
        if len(kept) > MAX_PARTS:
            raise InputError(f"a constant with more than {MAX_PARTS} different square roots is not supported")
        for d, q in kept:
            if max(d.bit_length(), q.numerator.bit_length(), q.denominator.bit_length()) > MAX_BITS:
                raise InputError(f"a constant with more than {MAX_BITS * 3 // 10} digits is not supported")
        object.__setattr__(self, "parts", kept)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("Surd is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return Surd, (dict(self.parts),)

    @classmethod
    def of(cls, value: Any, what: str = "the constant") -> Surd:
        """The exact number that ``value`` stands for: an integer, a fraction, a sympy number built from rationals and
        square roots, or a text such as ``"3/5"``, ``"0.6"``, ``"sqrt(2)/2"``.

        Raises:
            InputError: a float (a float is not the number that was meant: 0.6 is not 3/5), or anything else.
        """
        if isinstance(value, Surd):
            return value
        if isinstance(value, bool):
            raise InputError(f"{what}: expected a number, got {value}")
        if isinstance(value, Integral):
            return cls({1: Fraction(int(value))})
        if isinstance(value, Rational):
            return cls({1: Fraction(int(value.numerator), int(value.denominator))})
        if isinstance(value, str):
            from ._activation_parser import parse_constant

            return parse_constant(value)
        if isinstance(value, Real) or getattr(value, "is_Float", False):
            raise InputError(f'{what}: {value} is a float, which is not exact; write it as a text, "3/5" or "0.6"')
        if hasattr(value, "as_numer_denom") and hasattr(value, "is_Rational"):
            return _from_sympy(value, what)
        raise InputError(f'{what}: expected an exact number (2, Fraction(3, 5), "3/5", "sqrt(2)/2"), got {value!r:.60}')

    @classmethod
    def sqrt(cls, radicand: Fraction) -> Surd:
        """The square root of a rational number >= 0.

        Raises:
            InputError: negative, or too large to be factored at once.
        """
        if radicand < 0:
            raise InputError("the square root of a negative number is not real")
        # sqrt(n/m) = sqrt(n m)/m, and n m = (outside)^2 * (squarefree inside).
        product = radicand.numerator * radicand.denominator
        root = isqrt(product)
        if root * root == product:
            return cls({1: Fraction(root, radicand.denominator)})
        if product > MAX_RADICAND:
            raise InputError(f"under a square root, numerator times denominator must be at most {MAX_RADICAND:.0e}")
        from sympy import factorint

        outside = inside = 1
        for prime, power in factorint(product).items():
            outside *= prime ** (power // 2)
            inside *= prime ** (power % 2)
        return cls({int(inside): Fraction(int(outside), radicand.denominator)})

    def __add__(self, other: Surd | int | Fraction) -> Surd:
        sums = dict(self.parts)
        for d, q in _surd(other).parts:
            sums[d] = sums.get(d, Fraction(0)) + q
        return Surd(sums)

    def __neg__(self) -> Surd:
        return Surd({d: -q for d, q in self.parts})

    def __sub__(self, other: Surd | int | Fraction) -> Surd:
        return self + -_surd(other)

    def __mul__(self, other: Surd | int | Fraction) -> Surd:
        products: dict[int, Fraction] = {}
        for d, q in self.parts:
            for e, r in _surd(other).parts:
                common = gcd(d, e)  # sqrt(d) sqrt(e) = common sqrt((d/common)(e/common)), again squarefree
                key = (d // common) * (e // common)
                products[key] = products.get(key, Fraction(0)) + q * r * common
        return Surd(products)

    __radd__ = __add__
    __rmul__ = __mul__

    def inverse(self) -> Surd:
        """1/self. Raises InputError for zero."""
        if not self.parts:
            raise InputError("division by zero")
        if self.is_rational:
            return Surd({1: 1 / self.parts[0][1]})
        # 1/x = conj(x)/(x conj(x)), where conj changes the sign of sqrt(prime); the product no longer contains it.
        prime = _prime_factor(self.parts[-1][0])
        conjugate = Surd({d: -q if d % prime == 0 else q for d, q in self.parts})
        return conjugate * (self * conjugate).inverse()

    def __truediv__(self, other: Surd | int | Fraction) -> Surd:
        return self * _surd(other).inverse()

    def __pow__(self, exponent: int) -> Surd:
        base, result = (self if exponent >= 0 else self.inverse()), Surd({1: Fraction(1)})
        for bit in bin(abs(exponent))[2:]:
            result = result * result
            if bit == "1":
                result = result * base
        return result

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Surd):
            return self.parts == other.parts
        if isinstance(other, (int, Fraction)):
            return self.is_rational and self.rational == other
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.rational) if self.is_rational else hash(self.parts)

    @property
    def is_rational(self) -> bool:
        return not self.parts or (len(self.parts) == 1 and self.parts[0][0] == 1)

    @property
    def rational(self) -> Fraction:
        """The value, when ``is_rational``."""
        return self.parts[0][1] if self.parts else Fraction(0)

    def _enclosed(self, bits: int) -> tuple[Fraction, Fraction]:
        """(approximation, bound of its error); the bound is below 2**-bits times the approximation unless that is 0."""
        if self.is_rational:
            return self.rational, Fraction(0)
        precision = bits
        while True:
            value = sum((q * Fraction(isqrt(d << (2 * precision)), 1 << precision) for d, q in self.parts), Fraction(0))
            error = sum((abs(q) for _, q in self.parts), Fraction(0)) / (1 << precision)
            # A nonzero number leaves its error behind after finitely many doublings.
            if abs(value) > error * (1 << bits):
                return value, error
            precision *= 2

    @property
    def sign(self) -> int:
        """-1, 0 or 1, exact."""
        value, _ = self._enclosed(1)
        return (value > 0) - (value < 0)

    def __abs__(self) -> Surd:
        return -self if self.sign < 0 else self

    def __float__(self) -> float:
        """The double nearest to the number (for irrational ones: to an approximation 2**-80 off). May overflow."""
        return float(self._enclosed(80)[0])

    def to_sympy(self) -> Any:
        """The same number as a sympy expression."""
        from sympy import Add, Integer, Rational, sqrt

        return Add(*(Rational(q.numerator, q.denominator) * sqrt(Integer(d)) for d, q in self.parts))

    def __str__(self) -> str:
        """``0``, ``-3/5``, ``sqrt(2)/2``, ``1 + 2*sqrt(3)``: read back by the parser as the same number."""
        if not self.parts:
            return "0"
        text = ""
        for d, q in self.parts:
            over, root = abs(q.numerator), f"sqrt({d})"
            top = str(over) if d == 1 else root if over == 1 else f"{over}*{root}"
            part = top if q.denominator == 1 else f"{top}/{q.denominator}"
            text += (("-" if q < 0 else "") if not text else (" - " if q < 0 else " + ")) + part
        return text

    def __repr__(self) -> str:
        return f"Surd({self})"


def _surd(value: Surd | int | Fraction) -> Surd:
    return value if isinstance(value, Surd) else Surd({1: Fraction(value)})


def _prime_factor(number: int) -> int:
    from sympy import primefactors

    return int(primefactors(number)[-1])


def _from_sympy(value: Any, what: str) -> Surd:
    """Sums, products and powers of rationals and their square roots; InputError for anything else."""
    if value.is_Rational:
        return Surd({1: Fraction(int(value.p), int(value.q))})
    if value.is_Add:
        return sum((_from_sympy(term, what) for term in value.args), Surd({}))
    if value.is_Mul:
        product = Surd({1: Fraction(1)})
        for factor in value.args:
            product = product * _from_sympy(factor, what)
        return product
    if value.is_Pow and value.exp.is_Rational:
        base = _from_sympy(value.base, what)
        if value.exp.is_Integer and abs(int(value.exp)) <= MAX_BITS:
            return base ** int(value.exp)
        if value.exp.q == 2 and base.is_rational and abs(int(value.exp.p)) <= MAX_BITS:
            return Surd.sqrt(base.rational) ** int(value.exp.p)
    raise InputError(f"{what}: {str(value)[:60]} is not built from rational numbers and their square roots")
