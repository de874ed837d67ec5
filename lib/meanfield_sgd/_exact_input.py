"""Exact numbers from what users write: Python numbers, texts, sympy numbers; never from floats."""

from __future__ import annotations

import math
import numbers
from decimal import Decimal
from fractions import Fraction
from typing import Any

import sympy
from sympy import QQ

from ._exact import Surd, checked, power, square_root
from .errors import InputError

__all__ = ["exact"]

_EXACT = 'give exact numbers: int, fractions.Fraction, texts such as "3/5", "0.6" or "sqrt(2)/2", sympy numbers'


def exact(value: Any, what: str = "number") -> Any:
    """``value`` as a coefficient, exactly.

    Args:
        value: int, Fraction or another rational, a finite Decimal, a text (read as a constant expression), a sympy
            number made of rationals, square roots, sums, products and integer powers.

    Raises:
        InputError: a float (0.1 is not 1/10), NaN, an infinity, or anything else; the message says how to write it.
    """
    if isinstance(value, Surd) or QQ.of_type(value):
        return value
    if isinstance(value, str):
        from ._polynomial_parse import parse_constant  # here, because the reader needs this module

        return parse_constant(value, what)
    if isinstance(value, sympy.Basic):
        return checked(_from_sympy(value, what, 0))
    if isinstance(value, numbers.Rational):
        return checked(QQ(int(value.numerator), int(value.denominator)))
    if isinstance(value, Decimal):
        if value.is_finite() and abs(value.adjusted()) < 900 and len(value.as_tuple().digits) < 900:
            ratio = Fraction(value)
            return checked(QQ(ratio.numerator, ratio.denominator))
        raise InputError(f"{what}: this Decimal is not finite, or has 900 digits or more; {_EXACT}")
    if isinstance(value, numbers.Real):
        if not math.isfinite(value):
            raise InputError(f"{what}: {value} is not a finite number; {_EXACT}")
        raise InputError(f"{what}: the float {float(value)!r} is not exact; {_EXACT}")
    raise InputError(f"{what}: expected an exact number, got {type(value).__name__}; {_EXACT}")


def _from_sympy(value: Any, what: str, depth: int) -> Any:
    if isinstance(value, sympy.Rational):
        return checked(QQ(int(value.p), int(value.q)))
    if depth < 20 and isinstance(value, (sympy.Add, sympy.Mul)):
        total = _from_sympy(value.args[0], what, depth + 1)
        for arg in value.args[1:]:
            term = _from_sympy(arg, what, depth + 1)
            total = checked(total + term if isinstance(value, sympy.Add) else total * term)
        return total
    if depth < 20 and isinstance(value, sympy.Pow) and isinstance(value.exp, sympy.Rational) and value.exp.q in (1, 2):
        base = _from_sympy(value.base, what, depth + 1)
        if not base and value.exp < 0:
            raise InputError(f"{what}: a division by zero; {_EXACT}")
        root = base if value.exp.q == 1 else square_root(base)
        return power(root, int(value.exp.p))
    shown = type(value).__name__ if isinstance(value, (sympy.Add, sympy.Mul)) else str(value)[:40]
    raise InputError(f"{what}: sympy's {shown} is not a sum of rationals and square roots; {_EXACT}")
