"""Sparse polynomials as dictionaries ``{monomial: coefficient}``; the arithmetic under :class:`Polynomial`.

A monomial z_1^e_1 ... z_p^e_p is one integer, its exponents as little-endian bytes (e_1 + 256 e_2 + ...): multiplying
monomials is adding integers, and appending a variable changes nothing. That is safe because no exponent exceeds
``MAX_DEGREE`` < 256, which is checked before every product. Coefficients are those of :mod:`meanfield_sgd._exact`,
never zero. Rational products run on integers over a common denominator.

``Work`` bounds the effort: each operation announces its cost, about one unit a microsecond, before it starts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from sympy import QQ

from ._exact import MAX_BITS, Refusal, Surd, bits, checked, is_rational

__all__ = [
    "MAX_DEGREE",
    "MAX_TERMS",
    "MAX_VARIABLES",
    "Terms",
    "Work",
    "add",
    "bounded",
    "check_degree",
    "compose_linear",
    "degree",
    "derivative",
    "directional",
    "exponents",
    "hermite",
    "monomial",
    "multiply",
    "power",
    "scale",
    "smooth",
    "substitute",
]

MAX_DEGREE = 60
MAX_TERMS = 50_000
MAX_VARIABLES = 128

Terms = dict[int, Any]


class Work:
    """A purse of operations. ``spend`` raises :class:`Refusal` when it is empty."""

    def __init__(self, units: float = 1e7):
        self.total = self.left = units

    def spend(self, units: float) -> None:
        self.left -= units
        if self.left < 0:
            raise Refusal(
                f"multiplying this out takes more than {self.total:.0e} operations".replace("e+0", "e"),
                "write a smaller polynomial",
            )


def monomial(exps: Sequence[int]) -> int:
    return int.from_bytes(bytes(exps), "little")


def exponents(key: int, p: int) -> tuple[int, ...]:
    return tuple(key.to_bytes(p, "little"))


def _total(key: int) -> int:
    return sum(key.to_bytes((key.bit_length() + 7) // 8, "little"))


def degree(a: Terms) -> int:
    """Total degree; 0 for constants and for the zero polynomial."""
    return max(map(_total, a), default=0)


def _weight(a: Terms) -> float:
    """Relative cost of one operation on these coefficients: long numbers and sums of roots are dearer."""
    size = max(map(bits, a.values()), default=1)
    roots = max((4 * len(c.parts) for c in a.values() if isinstance(c, Surd)), default=1)
    return roots * (1 + size / 400) ** 2


def bounded(a: Terms) -> Terms:
    """``a`` itself, if it is within the limits on terms and on the size of coefficients."""
    if len(a) > MAX_TERMS:
        raise Refusal(f"more than {MAX_TERMS} terms", "write a smaller polynomial")
    for c in a.values():
        checked(c)
    return a


def check_degree(n: int) -> None:
    if n > MAX_DEGREE:
        shown = n if n < 10**9 else f"about 1e{len(str(n)) - 1}" if n.bit_length() < 4000 else "beyond count"
        raise Refusal(f"degree {shown}", f"the degree may be at most {MAX_DEGREE}")


def add(a: Terms, b: Terms, work: Work, sign: int = 1) -> Terms:
    """a + sign b."""
    work.spend(3 * (len(a) + len(b)) * max(_weight(a), _weight(b)))
    total = dict(a)
    for key, c in b.items():
        value = total[key] + sign * c if key in total else sign * c
        if value:
            total[key] = value
        else:
            del total[key]
    return bounded(total)


def scale(a: Terms, c: Any) -> Terms:
    return bounded({key: value * c for key, value in a.items()}) if c else {}


def _integers(a: Terms) -> tuple[dict[int, int], int] | None:
    """(integer polynomial, denominator), unless coefficients are irrational or the denominator is unwieldy."""
    if not all(map(is_rational, a.values())):
        return None
    common = 1
    for c in a.values():
        common = math.lcm(common, int(c.denominator))
        if common.bit_length() > MAX_BITS:
            return None
    return {key: int(c.numerator) * (common // int(c.denominator)) for key, c in a.items()}, common


def _product(a: dict[int, Any], b: dict[int, Any]) -> dict[int, Any]:
    total: dict[int, Any] = {}
    get = total.get
    items = list(b.items())
    for key, c in a.items():
        for other, d in items:
            both = key + other
            total[both] = get(both, 0) + c * d
        if len(total) > MAX_TERMS:
            raise Refusal(f"more than {MAX_TERMS} terms", "write a smaller polynomial")
    return {key: c for key, c in total.items() if c}


def multiply(a: Terms, b: Terms, work: Work) -> Terms:
    """a b, with degree, number of terms, effort and size of coefficients bounded beforehand."""
    if not a or not b:
        return {}
    check_degree(degree(a) + degree(b))
    work.spend(6 + (3 + len(a)) * (3 + len(b)) * _weight(a) * _weight(b))
    if len(a) * len(b) > 32 and (left := _integers(a)) and (right := _integers(b)):
        below = left[1] * right[1]
        return bounded({key: QQ(c, below) for key, c in _product(left[0], right[0]).items()})
    return bounded(_product(a, b))


def power(a: Terms, n: int, work: Work) -> Terms:
    """a^n for n >= 0 (a^0 = 1); constants are the caller's business."""
    check_degree(degree(a) * n)
    result: Terms = {0: QQ.one}
    while n:
        if n & 1:
            result = multiply(result, a, work)
        n >>= 1
        if n:
            a = multiply(a, a, work)
    return result


def hermite(n: int, a: Terms, work: Work) -> Terms:
    """He_n(a), probabilists': He_{k+1} = a He_k - k He_{k-1}."""
    check_degree(n * max(1, degree(a)))
    below, here = {}, {0: QQ.one}
    for k in range(n):
        below, here = here, add(multiply(a, here, work), scale(below, QQ(k)), work, -1)
    return here


def derivative(a: Terms, i: int) -> Terms:
    """d a / d z_{i+1}."""
    shift, result = 8 * i, {}
    for key, c in a.items():
        e = (key >> shift) & 255
        if e:
            result[key - (1 << shift)] = c * e
    return bounded(result)


def directional(a: Terms, v: Sequence[Any], work: Work) -> Terms:
    """v . grad a."""
    total: Terms = {}
    for i, x in enumerate(v):
        if x:
            total = add(total, scale(derivative(a, i), x), work)
    return total


def smooth(a: Terms, p: int, work: Work, sign: int = 1) -> Terms:
    """exp(sign Laplacian / 2) a: for sign = 1, E[a(z + y)] with z ~ N(0, I_p), in powers of y; for -1 the inverse.

    In one variable y^n -> sum_m sign^m n! / (2^m m! (n - 2m)!) y^(n - 2m), so the coefficients of the result (sign = 1)
    are those of a in the Hermite basis.
    """
    for i in range(p):
        shift, result = 8 * i, {}
        work.spend(sum(1 + ((key >> shift) & 255) for key in a) * _weight(a))
        for key, c in a.items():
            e = (key >> shift) & 255
            for m in range(e // 2 + 1):
                factor = sign**m * math.factorial(e) // (2**m * math.factorial(m) * math.factorial(e - 2 * m))
                to = key - (2 * m << shift)
                result[to] = result[to] + c * factor if to in result else c * factor
        a = bounded({key: c for key, c in result.items() if c})
    return a


def compose_linear(a: Terms, rows: Sequence[Sequence[Any]], work: Work) -> Terms:
    """a with z_{i+1} replaced by sum_j rows[i][j] y_{j+1}, by Horner's rule in one variable after the other."""
    width, top = len(rows[0]) if rows else 0, degree(a)
    whole, matrix = _integers(a), _integers(dict(enumerate(chain.from_iterable(rows))))
    if whole is None or matrix is None:
        return bounded(_horner(a, _linear_forms(rows), 0, work, _weight))
    # On integers: with rows = M / D, a(M y / D) = D^-n sum_alpha c_alpha D^(n - |alpha|) (M y)^alpha, n the degree.
    common = matrix[1]
    checked(QQ(common**top))
    lines = _linear_forms([[matrix[0][i * width + j] for j in range(width)] for i in range(len(rows))])
    powers = [common**k for k in range(top + 1)]
    raised = {key: c * powers[top - _total(key)] for key, c in whole[0].items()}
    below = whole[1] * powers[top]
    return bounded({key: QQ(c, below) for key, c in _horner(raised, lines, 0, work, lambda _: 0.3).items()})


def substitute(a: Terms, rows: Sequence[Sequence[Any]]) -> Terms:
    """As :func:`compose_linear`, for coefficients of any kind and without bounds: the caller limits the effort."""
    return _horner(a, _linear_forms(rows), 0, Work(math.inf), lambda _: 0.0)


def _linear_forms(rows: Sequence[Sequence[Any]]) -> list[dict[int, Any]]:
    return [{1 << 8 * j: x for j, x in enumerate(row) if x} for row in rows]


def _horner(a: dict[int, Any], lines: list[dict[int, Any]], i: int, work: Work, weight: Callable[[Any], float]) -> Any:
    if not a or set(a) == {0}:
        return a
    while all(not key & 255 for key in a):  # variables that do not occur here
        a, i = {key >> 8: c for key, c in a.items()}, i + 1
    groups: dict[int, dict[int, Any]] = {}
    for key, c in a.items():
        groups.setdefault(key & 255, {})[key >> 8] = c
    line, total = lines[i], {}
    for e in range(max(groups), -1, -1):
        if total:
            work.spend(len(total) * len(line) * weight(total))
            total = _product(total, line)
        for key, c in (_horner(groups[e], lines, i + 1, work, weight) if e in groups else {}).items():
            value = total[key] + c if key in total else c
            if value:
                total[key] = value
            else:
                del total[key]
    return total
