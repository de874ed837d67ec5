"""Exact numbers: the rationals, and sums of square roots of rationals.

A coefficient is either an element of sympy's ``QQ`` or a :class:`Surd`, a finite sum of ``c * sqrt(m)`` with ``c`` in
``QQ`` and ``m`` a squarefree integer. Square roots of distinct squarefree integers are linearly independent over QQ, so
the dictionary ``{m: c}`` is a normal form: equality, zero tests and hashes are exact, and numbers with different roots
mix freely. (``QQ.algebraic_field`` would fix the field beforehand, and needs 6 s to enter one with four square roots.)
:func:`public` turns a coefficient into what users see: a ``fractions.Fraction``, or a sympy number.

Whatever could grow without bound is refused by a :class:`Refusal` before or as it grows: numerators and denominators
of more than ``MAX_BITS`` bits (about 990 decimal digits, so that every coefficient can be written and read back), more
than ``MAX_ROOTS`` square roots in one number, radicands above ``MAX_RADICAND``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy
from sympy import QQ

from .errors import InputError

__all__ = [
    "MAX_BITS",
    "MAX_RADICAND",
    "MAX_ROOTS",
    "Refusal",
    "Surd",
    "bits",
    "checked",
    "inverse",
    "is_rational",
    "power",
    "public",
    "roots_in",
    "square_root",
    "to_float",
]

MAX_BITS = 3300
MAX_ROOTS = 16
MAX_RADICAND = 10**15  # trial division up to 10**5 proves a number below 10**15 squarefree, and no further
_TRIAL = 10**5


class Refusal(InputError):
    """A limit or a rule was met: ``problem`` says which, ``mend`` what to do (the parser adds the column)."""

    def __init__(self, problem: str, mend: str = ""):
        super().__init__(f"{problem}; {mend}" if mend else problem)
        self.problem = problem
        self.mend = mend

    def __reduce__(self):
        return type(self), (self.problem, self.mend)


class Surd:
    """An irrational number sum_m parts[m] sqrt(m), m squarefree; results that are rational come back as ``QQ``."""

    __slots__ = ("parts",)

    def __init__(self, parts: dict[int, Any]):
        self.parts = parts

    @staticmethod
    def of(parts: dict[int, Any]) -> Any:
        parts = {m: c for m, c in parts.items() if c}
        if not parts:
            return QQ.zero
        if len(parts) == 1 and 1 in parts:
            return parts[1]
        if len(parts) - (1 in parts) > MAX_ROOTS:
            raise Refusal(f"a number with more than {MAX_ROOTS} different square roots", "use fewer square roots")
        return Surd(parts)

    def __add__(self, other: Any) -> Any:
        theirs = _parts(other)
        if theirs is None:
            return NotImplemented
        total = dict(self.parts)
        for m, c in theirs.items():
            total[m] = total[m] + c if m in total else c
        return Surd.of(total)

    __radd__ = __add__

    def __neg__(self) -> Surd:
        return Surd({m: -c for m, c in self.parts.items()})

    def __sub__(self, other: Any) -> Any:
        return NotImplemented if _parts(other) is None else self + (-other)

    def __rsub__(self, other: Any) -> Any:
        return NotImplemented if _parts(other) is None else (-self) + other

    def __mul__(self, other: Any) -> Any:
        theirs = _parts(other)
        if theirs is None:
            return NotImplemented
        total: dict[int, Any] = {}
        for m, c in self.parts.items():
            for n, d in theirs.items():
                g = math.gcd(m, n)
                key = (m // g) * (n // g)
                if key > MAX_RADICAND:
                    raise _radicand_refusal()
                value = c * d * g
                total[key] = total[key] + value if key in total else value
        return Surd.of(total)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return NotImplemented if _parts(other) is None else self * inverse(other)

    def __rtruediv__(self, other: Any) -> Any:
        return NotImplemented if _parts(other) is None else inverse(self) * other

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Surd) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(frozenset(self.parts.items()))

    def __bool__(self) -> bool:
        return True  # zero is rational

    def __repr__(self) -> str:
        return f"Surd({public(self)})"


def is_rational(number: Any) -> bool:
    return not isinstance(number, Surd)


def _parts(number: Any) -> dict[int, Any] | None:
    if isinstance(number, Surd):
        return number.parts
    if isinstance(number, int):
        number = QQ(number)
    if QQ.of_type(number):
        return {1: number} if number else {}
    return None


def _radicand_refusal() -> Refusal:
    return Refusal(
        f"a square root whose squarefree part exceeds {MAX_RADICAND:.0e}".replace("e+", "e"), "use smaller square roots"
    )


def bits(number: Any) -> int:
    """Bits of the largest numerator or denominator in a coefficient."""
    if isinstance(number, Surd):
        return max(bits(c) for c in number.parts.values())
    return max(int(number.numerator).bit_length(), int(number.denominator).bit_length())


def roots_in(coefficients: Iterable[Any]) -> set[int]:
    """The squarefree radicands m > 1 that occur."""
    return {m for c in coefficients if isinstance(c, Surd) for m in c.parts if m > 1}


def checked(number: Any) -> Any:
    """``number`` itself, if it is within ``MAX_BITS``."""
    if bits(number) > MAX_BITS:
        digits = int(bits(number) * math.log10(2))
        raise Refusal(f"a number of about {digits} digits", f"at most {int(MAX_BITS * math.log10(2))} are allowed")
    return number


def inverse(number: Any) -> Any:
    """1 / number, by multiplying with conjugates; ZeroDivisionError at 0."""
    if not isinstance(number, Surd):
        return QQ.one / QQ.convert(number)
    if len(number.parts) == 1:
        ((m, c),) = number.parts.items()
        return Surd({m: 1 / (c * m)})
    base: list[int] = []  # pairwise coprime, every radicand a product of some: their roots' signs flip independently
    for m in number.parts:
        refined = []
        for b in base:
            g = math.gcd(m, b)
            refined += [x for x in (g, b // g) if x > 1]
            m //= g
        base = refined + ([m] if m > 1 else [])
    if len(base) > 5:
        raise Refusal("a division by a sum of too many square roots", "divide by something simpler")
    result: Any = QQ.one
    for b in base:
        if isinstance(number, Surd):
            conjugate = Surd({m: (-c if m % b == 0 else c) for m, c in number.parts.items()})
            result, number = checked(result * conjugate), checked(number * conjugate)
    return result / number


def power(number: Any, exponent: int) -> Any:
    """number ** exponent; 0 ** 0 is 1. Sizes are checked at every squaring, so huge exponents are refused at once."""
    if exponent < 0:
        number, exponent = inverse(number), -exponent
    if number in (QQ.zero, QQ.one, -QQ.one):
        return number ** (min(exponent, 2) if not number else exponent % 2)
    result = QQ.one
    while exponent:
        if exponent & 1:
            result = checked(result * number)
        exponent >>= 1
        if exponent:
            number = checked(number * number)
    return result


@lru_cache(maxsize=1)
def _primes() -> tuple[int, ...]:
    sieve = bytearray([1]) * _TRIAL
    sieve[:2] = b"\0\0"
    for i in range(2, math.isqrt(_TRIAL) + 1):
        if sieve[i]:
            sieve[i * i :: i] = bytes(len(range(i * i, _TRIAL, i)))
    return tuple(i for i, flag in enumerate(sieve) if flag)


@lru_cache(maxsize=4096)
def _square_part(n: int) -> tuple[int, int]:
    """n = outer**2 * inner with inner squarefree, n >= 1."""
    root = math.isqrt(n)
    if root * root == n:
        return root, 1
    outer = inner = 1
    for prime in _primes():
        if prime * prime > n:
            break
        while n % prime == 0:
            n //= prime
            if n % prime == 0:
                n //= prime
                outer *= prime
            else:
                inner *= prime
    root = math.isqrt(n)
    if root * root == n:
        outer *= root
    else:
        inner *= n
        if n > MAX_RADICAND:
            raise _radicand_refusal()
    if inner > MAX_RADICAND:
        raise _radicand_refusal()
    return outer, inner


def square_root(number: Any) -> Any:
    """The nonnegative square root: of a rational, or of a + b sqrt(m) where that is again a sum of square roots."""
    if sign(number) < 0:
        raise Refusal("the square root of a negative number", "coefficients are real")
    if not number:
        return QQ.zero
    if isinstance(number, Surd):
        a = number.parts.get(1, QQ.zero)
        rest = [(m, b) for m, b in number.parts.items() if m > 1]
        if len(rest) == 1:
            ((m, b),) = rest
            norm = a * a - b * b * m
            root = square_root(norm) if norm >= 0 else None
            if root is not None and is_rational(root):
                first, second = square_root((a + root) / 2), square_root((a - root) / 2)
                return first + second if b > 0 else first - second
        raise Refusal("the square root of this irrational number", "square roots of rational numbers are available")
    over, under = _square_part(int(number.numerator)), _square_part(int(number.denominator))
    radicand = over[1] * under[1]
    if radicand > MAX_RADICAND:
        raise _radicand_refusal()
    return Surd.of({radicand: QQ(over[0], under[0] * under[1])})


def _scaled(number: Surd) -> tuple[int, int]:
    """(T, N) with number = T / 2**N (1 + e), |e| < 2**-58. Doubles N until cancellation no longer matters."""
    places = 64
    while True:
        total = 0
        for m, c in number.parts.items():
            over, under = int(c.numerator), int(c.denominator)
            size = math.isqrt((over * over * m << 2 * places) // (under * under))
            total += size if over > 0 else -size
        if abs(total) > len(number.parts) << 58:
            return total, places
        places *= 2


def sign(number: Any) -> int:
    value = _scaled(number)[0] if isinstance(number, Surd) else number
    return (value > 0) - (value < 0)


def to_float(number: Any) -> float:
    """The nearest double, or within one unit in the last place of it (irrational numbers).

    Raises:
        InputError: it exceeds the range of double precision.
    """
    try:
        if isinstance(number, Surd):
            total, places = _scaled(number)
            return total / (1 << places)
        return int(number.numerator) / int(number.denominator)
    except OverflowError:
        raise InputError(
            "a coefficient exceeds the range of double precision (about 1.8e308); rescale the polynomial"
        ) from None


def public(number: Any) -> Any:
    """A ``Fraction``, or for an irrational number a sympy expression such as ``1/2 + sqrt(2)/3``."""
    if isinstance(number, Surd):
        parts = sorted(number.parts.items())
        return sympy.Add(*(sympy.Rational(int(c.numerator), int(c.denominator)) * sympy.sqrt(m) for m, c in parts))
    return Fraction(int(number.numerator), int(number.denominator))
