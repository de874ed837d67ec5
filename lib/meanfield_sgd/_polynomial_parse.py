"""Polynomials as text: reading them (never evaluating code), and writing them so that they can be read back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from sympy import QQ

from . import _exact, _sparse
from ._exact import Refusal, Surd
from ._expression import Binary, Call, Name, Node, Number, Unary, error_at, fold, is_name, parse, quote
from ._sparse import MAX_VARIABLES, Terms, Work
from .errors import InputError, ParseError

__all__ = [
    "MAX_CHARACTERS",
    "check_variables",
    "default_variables",
    "number_latex",
    "number_text",
    "parse_constant",
    "parse_polynomial",
    "polynomial_latex",
    "polynomial_text",
    "sorted_keys",
]

MAX_CHARACTERS = 30_000
_WORK = 4e5  # operations: a text is refused within about a second

_DEFAULT = re.compile(r"z([1-9][0-9]{0,2})\Z")
_HERMITE = re.compile(r"He([0-9]+)\Z")
_NOT_FINITE = {"nan", "inf", "infinity", "oo", "Infinity", "NaN"}
_NO_CALL = "only sqrt(number) and He2(...), He3(...), ... (Hermite polynomials) can be called"


def default_variables(p: int) -> tuple[str, ...]:
    return tuple(f"z{i + 1}" for i in range(p))


def check_variables(names: Iterable[str]) -> tuple[str, ...]:
    """The names as a tuple.

    Raises:
        InputError: not a sequence of distinct identifiers, more than ``MAX_VARIABLES``, or a name with a meaning.
    """
    if isinstance(names, str):
        raise InputError(f'variables: expected a list of names, got the text {quote(names)}; write ["{names[:20]}"]')
    try:
        found = tuple(names)
    except TypeError:
        raise InputError(f"variables: expected a list of names, got {type(names).__name__}") from None
    if len(found) > MAX_VARIABLES:
        raise InputError(f"variables: {len(found)} names; at most {MAX_VARIABLES} are possible")
    for name in found:
        if not isinstance(name, str) or not is_name(name) or len(name) > 40:
            raise InputError(f'variables: {quote(str(name))} is not a name; use letters, digits, "_", a letter first')
        if name == "sqrt" or name in _NOT_FINITE or _HERMITE.match(name):
            raise InputError(f"variables: {name} has a meaning of its own in a polynomial; choose another name")
    if len(set(found)) < len(found):
        twice = next(name for i, name in enumerate(found) if name in found[:i])
        raise InputError(f"variables: {twice} appears twice; give distinct names")
    return found


def parse_polynomial(text: str, variables: Sequence[str] | None) -> tuple[tuple[str, ...], Terms]:
    """(variables, terms) of a text.

    Without ``variables`` the names are z1, z2, ... and the largest index used says how many there are.

    Raises:
        ParseError: the text is not a polynomial, or a limit is exceeded.
    """
    node = parse(text, what="polynomial", max_characters=MAX_CHARACTERS)
    names = default_variables(_largest_index(node, text)) if variables is None else tuple(variables)
    return names, _Evaluator(text, "polynomial", names, variables is not None).terms(node)


def parse_constant(text: str, what: str = "number") -> Any:
    """The exact number that a text such as ``3/5`` or ``sqrt(2)/2`` stands for (a coefficient)."""
    return _Evaluator(text, what, (), False).terms(parse(text, what=what)).get(0, QQ.zero)


def _largest_index(node: Node, text: str) -> int:
    largest = 0

    def visit(node: Node, _: Sequence[None]) -> None:
        nonlocal largest
        if isinstance(node, Name) and (match := _DEFAULT.match(node.id)):
            index = int(match[1])
            if index > MAX_VARIABLES:
                raise error_at(text, node.pos, f"the variable {node.id}", f"indices go up to {MAX_VARIABLES}")
            largest = max(largest, index)

    fold(node, visit)
    return largest


class _Evaluator:
    """Turns syntax trees into terms; every refusal of the arithmetic gets the column where it arose."""

    def __init__(self, text: str, what: str, variables: Sequence[str], chosen: bool):
        self.text = text
        self.what = what
        self.index = {name: i for i, name in enumerate(variables)}
        self.chosen = chosen  # whether the caller gave the variables
        self.work = Work(_WORK)

    def terms(self, node: Node) -> Terms:
        return fold(node, self._visit)

    def _error(self, node: Node, problem: str, mend: str = "") -> ParseError:
        return error_at(self.text, node.pos, problem, mend, what=self.what)

    def _visit(self, node: Node, parts: Sequence[Terms]) -> Terms:
        try:
            result = self._value(node, parts)
            if len(_exact.roots_in(result.values())) > _exact.MAX_ROOTS:
                raise Refusal(f"more than {_exact.MAX_ROOTS} different square roots", "use fewer square roots")
            return result
        except Refusal as refusal:
            raise self._error(node, refusal.problem, refusal.mend) from None

    def _value(self, node: Node, parts: Sequence[Terms]) -> Terms:
        match node:
            case Number(value=value):
                return _constant(_exact.checked(QQ(value.numerator, value.denominator)))
            case Name(id=name):
                return {1 << 8 * self._variable(node, name): QQ.one}
            case Unary():
                return {key: -c for key, c in parts[0].items()}
            case Binary(op="+" | "-" as op):
                return _sparse.add(parts[0], parts[1], self.work, 1 if op == "+" else -1)
            case Binary(op="*"):
                return _sparse.multiply(parts[0], parts[1], self.work)
            case Binary(op="/"):
                return self._quotient(node, *parts)
            case Binary(op="**"):
                return self._power(node, *parts)
            case Call(name=name):
                return self._call(node, name, parts)
        raise AssertionError(node)

    def _variable(self, node: Node, name: str) -> int:
        if name in self.index:
            return self.index[name]
        if name in _NOT_FINITE:
            raise self._error(node, f"{name} is not a finite number", "coefficients are finite and exact")
        if name == "sqrt" or _HERMITE.match(name):
            raise self._error(node, f"{name} needs an argument", "write sqrt(2) or He3(z1)")
        if self.what != "polynomial":
            raise self._error(node, f"unknown name {quote(name)}", "a number is made of digits, + - * / ** and sqrt")
        if self.chosen:
            names = list(self.index)
            shown = ", ".join(names[:9]) + (", ..." if len(names) > 9 else "") if names else "none"
            raise self._error(node, f"unknown name {quote(name)}", f"the variables are {shown[:150]}")
        raise self._error(
            node, f"unknown name {quote(name)}", "variables are z1, z2, ...; for other names give variables=[...]"
        )

    def _quotient(self, node: Node, above: Terms, below: Terms) -> Terms:
        if not below:
            raise self._error(node, "a division by zero", "divide by another number")
        if set(below) != {0}:
            raise self._error(node, "a division by a variable: not a polynomial", "divide by numbers only")
        self.work.spend(200)
        return _sparse.multiply(above, _constant(_exact.checked(_exact.inverse(below[0]))), self.work)

    def _power(self, node: Node, base: Terms, raised: Terms) -> Terms:
        exponent = raised.get(0, QQ.zero)
        if any(raised) or not _exact.is_rational(exponent):
            raise self._error(node, "an exponent that is not a number", "exponents are whole numbers")
        if exponent.denominator != 1:
            mend = "exponents are whole numbers >= 0" if any(base) else "for a square root of a number write sqrt(2)"
            raise self._error(node, "a fractional exponent: not a polynomial", mend)
        n = int(exponent)
        if any(base):
            if n < 0:
                raise self._error(node, "a negative exponent: not a polynomial", "exponents of variables are >= 0")
            return _sparse.power(base, n, self.work)
        self.work.spend(500)
        number = base.get(0, QQ.zero)
        if not number and n < 0:
            raise self._error(node, "a division by zero", "use an exponent >= 0")
        return _constant(_exact.power(number, n))

    def _call(self, node: Call, name: str, parts: Sequence[Terms]) -> Terms:
        if name in self.index:
            raise self._error(node, f"{name} is a variable, not a function", f"for a product write {name}*(...)")
        hermite = _HERMITE.match(name)
        if name != "sqrt" and not hermite:
            raise self._error(node, f"{quote(name)} cannot be called: not a polynomial", _NO_CALL)
        if len(parts) != 1:
            raise self._error(node, f"{name} takes one argument, got {len(parts)}", "write sqrt(2) or He3(z1)")
        if hermite:
            if len(hermite[1]) > 4:
                raise self._error(node, "a Hermite polynomial of huge degree", f"at most {_sparse.MAX_DEGREE}")
            return _sparse.hermite(int(hermite[1]), parts[0], self.work)
        if any(parts[0]):
            raise self._error(node, "the square root of a variable: not a polynomial", "sqrt takes numbers, as sqrt(2)")
        number = parts[0].get(0, QQ.zero)
        self.work.spend(50 if _exact.bits(number) < 24 else 20 * _exact.bits(number))
        return _constant(_exact.square_root(number))


def _constant(number: Any) -> Terms:
    return {0: number} if number else {}


# Writing


def sorted_keys(terms: Terms, p: int) -> list[int]:
    """Monomials by degree, then z1 before z2: z1, z2, z1**2, z1*z2, z2**2."""

    def order(key: int) -> tuple[int, tuple[int, ...]]:
        exps = _sparse.exponents(key, p)
        return sum(exps), tuple(-e for e in exps)

    return sorted(terms, key=order)


def number_text(number: Any) -> tuple[bool, str]:
    """(negative, text of the absolute value); a sum comes in parentheses, with a positive first term."""
    return _number(number, _fraction_text, lambda m: f"sqrt({m})", "*", "(%s)")


def number_latex(number: Any) -> tuple[bool, str]:
    """The same in LaTeX."""
    return _number(number, _fraction_latex, lambda m: rf"\sqrt{{{m}}}", " ", r"\left(%s\right)")


def _fraction_text(above: int, below: int) -> str:
    return str(above) if below == 1 else f"{above}/{below}"


def _fraction_latex(above: int, below: int) -> str:
    return str(above) if below == 1 else rf"\frac{{{above}}}{{{below}}}"


def _number(number: Any, fraction: Any, root: Any, times: str, group: str) -> tuple[bool, str]:
    parts = number.parts if isinstance(number, Surd) else {1: number}
    pieces = []
    for m, c in sorted(parts.items()):
        above, below = abs(int(c.numerator)), int(c.denominator)
        if m == 1:
            piece = fraction(above, below)
        else:
            piece = root(m) if above == below == 1 else f"{fraction(above, below)}{times}{root(m)}"
        pieces.append((c < 0, piece))
    if len(pieces) == 1:
        return pieces[0]
    negative = pieces[0][0]
    return negative, group % _signed_sum([(minus != negative, piece) for minus, piece in pieces])


def _signed_sum(pieces: Sequence[tuple[bool, str]]) -> str:
    """ "a - b + c" from [(False, "a"), (True, "b"), (False, "c")]."""
    text = "".join((" - " if negative else " + ") + piece for negative, piece in pieces)
    return ("-" if pieces[0][0] else "") + text[3:] if pieces else "0"


def _terms_in_writing(terms: Terms, variables: Sequence[str], number: Any, factor: Any, times: str) -> list:
    pieces = []
    for key in sorted_keys(terms, len(variables)):
        factors = [factor(name, e) for name, e in zip(variables, _sparse.exponents(key, len(variables))) if e]
        negative, size = number(terms[key])
        if size != "1" or not factors:
            factors.insert(0, size)
        pieces.append((negative, times.join(factors)))
    return pieces


def polynomial_text(terms: Terms, variables: Sequence[str]) -> str:
    """The text that :func:`parse_polynomial` reads back."""

    def factor(name: str, e: int) -> str:
        return name if e == 1 else f"{name}**{e}"

    return _signed_sum(_terms_in_writing(terms, variables, number_text, factor, "*"))


_GREEK = set(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi chi psi omega".split()  # noqa: SIM905
)


def polynomial_latex(terms: Terms, variables: Sequence[str], most: int = 60) -> str:
    """LaTeX of the first ``most`` terms."""

    def factor(name: str, e: int) -> str:
        letters, index = re.fullmatch(r"(.*?)_?([0-9]*)", name, re.DOTALL).groups()
        letters = rf"\{letters}" if letters in _GREEK else letters
        if len(letters) > 1 and letters[0] != "\\":
            letters = rf"\mathrm{{{letters}}}".replace("_", r"\_")
        base = f"{letters}_{{{index}}}" if index else letters
        return base if e == 1 else f"{base}^{{{e}}}"

    pieces = _terms_in_writing(terms, variables, number_latex, factor, " ")
    return _signed_sum(pieces[:most]) + (r" + \cdots" if len(pieces) > most else "")
