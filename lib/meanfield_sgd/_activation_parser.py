"""From the text of an activation, an expression in y, to its terms. No code is ever evaluated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from . import _line as line
from ._activation_catalogue import ALIASES, CATALOGUE, Base
from ._activation_terms import POLYNOMIAL, Terms, collect
from ._exact import Refusal, Surd, bits, inverse, is_rational, power, square_root
from ._exact_input import exact
from ._expression import Binary, Call, Name, Node, Number, Unary, error_at, fold, parse, quote
from ._line import Exact, Line
from .errors import ParseError

__all__ = ["MAX_DEGREE", "parse_activation"]

MAX_DEGREE = 100
_MAX_WORK = 50_000  # products of rational numbers (long ones count more) that one text may cost: well under a second
_HERMITE = re.compile(r"He([0-9]{1,4})\Z")
_NOT_HERE = {
    "pi": "constants are rational numbers and their square roots; write a rational approximation",
    "e": "constants are rational numbers and their square roots; exp(y + 1) is e*exp(y)",
    "inf": "constants are finite",
    "nan": "constants are finite numbers",
    "x": "the variable is called y",
    "z": "the variable is called y",
    "z1": "the variable is called y",
    "log": "the logarithm is not defined on the whole line",
    "sinh": "write (exp(y) - exp(-y))/2",
    "cosh": "write (exp(y) + exp(-y))/2",
    "sign": "a jump has no derivative to train with",
}


def parse_activation(text: str) -> Terms:
    """The terms of ``text``. Raises ParseError, one line with the column, for everything that is not an activation."""
    return fold(parse(text, what="activation"), _Reader(text).visit)


def _polynomial(terms: Terms) -> Line | None:
    """The polynomial that the terms are, or None."""
    if not terms:
        return ()
    return terms.get(POLYNOMIAL) if len(terms) == 1 else None


def _constant(terms: Terms) -> Exact | None:
    p = _polynomial(terms)
    return None if p is None or len(p) > 1 else p[0] if p else line.ZERO


class _Reader:
    def __init__(self, text: str):
        self.text = text
        self.work = 0

    def _error(self, node: Node, problem: str, mend: str = "") -> ParseError:
        return error_at(self.text, node.pos, problem, mend, what="activation")

    def visit(self, node: Node, values: Sequence[Terms]) -> Terms:
        try:
            return self._value(node, values)
        except Refusal as refusal:  # from the arithmetic of constants: say where
            raise self._error(node, refusal.problem, refusal.mend) from None

    def _value(self, node: Node, values: Sequence[Terms]) -> Terms:
        match node:
            case Number(value=number):
                return collect([(POLYNOMIAL, line.constant(exact(number)))])
            case Name(id=name):
                return {POLYNOMIAL: line.Y} if name == "y" else self._apply(node, name, [{POLYNOMIAL: line.Y}])
            case Call(name=name):
                return self._apply(node, name, values)
            case Unary():
                return {key: line.scale(p, -1) for key, p in values[0].items()}
            case Binary(op="+"):
                return collect([*values[0].items(), *values[1].items()])
            case Binary(op="-"):
                return collect([*values[0].items(), *((key, line.scale(p, -1)) for key, p in values[1].items())])
            case Binary(op="*"):
                return self._product(node, *values)
            case Binary(op="/"):
                return self._quotient(node, *values)
            case Binary(op="**"):
                return self._power(node, *values)
        raise self._error(node, "not understood")  # pragma: no cover - the reader makes no other node

    def _multiply(self, node: Node, p: Line, q: Line) -> Line:
        """p*q, unless its degree or its cost is out of bounds."""
        if p and q and len(p) + len(q) - 2 > MAX_DEGREE:
            raise self._error(node, f"a polynomial of degree {len(p) + len(q) - 2}", f"at most {MAX_DEGREE} is read")
        self.work += _size(p) * _size(q)
        if self.work > _MAX_WORK:
            raise self._error(node, "too much to expand", "multiply out or shorten it")
        return line.multiply(p, q)

    def _product(self, node: Node, left: Terms, right: Terms) -> Terms:
        p, others = _polynomial(left), right
        if p is None:
            p, others = _polynomial(right), left
        if p is None:
            raise self._error(
                node,
                "a product of two functions that are not polynomials",
                "an activation is a sum of named functions, each times a number or a polynomial in y",
            )
        return collect((key, self._multiply(node, p, q)) for key, q in others.items())

    def _quotient(self, node: Node, left: Terms, right: Terms) -> Terms:
        divisor = _constant(right)
        if divisor is None:
            raise self._error(node, "division by something that is not a number", "divide by numbers only")
        if not divisor:
            raise self._error(node, "division by zero")
        return self._product(node, left, {POLYNOMIAL: (inverse(divisor),)})

    def _power(self, node: Node, left: Terms, right: Terms) -> Terms:
        base, exponent = _polynomial(left), _constant(right)
        if base is None:
            raise self._error(node, "a power of a function that is not a polynomial", "an activation is a sum of them")
        if exponent is None or not is_rational(exponent) or exponent.denominator != 1:
            raise self._error(node, "the exponent must be a whole number", "for a square root write sqrt(2)")
        n = int(exponent)
        if len(base) <= 1 and base:
            return collect([(POLYNOMIAL, line.constant(power(base[0], n)))])
        if n < 0:
            raise self._error(node, "a negative power of y" if base else "division by zero", "divide by numbers only")
        if base and (len(base) - 1) * n > MAX_DEGREE:
            raise self._error(node, f"a degree above {MAX_DEGREE}", "write a smaller power")
        result = line.constant(line.ONE)
        for bit in bin(n)[2:] if base else bin(min(n, 1))[2:]:
            result = self._multiply(node, result, result)
            if bit == "1":
                result = self._multiply(node, result, base)
        return collect([(POLYNOMIAL, result)])

    def _apply(self, node: Node, name: str, values: Sequence[Terms]) -> Terms:
        if name == "sqrt":
            return self._sqrt(node, values)
        if found := _HERMITE.match(name):
            return self._hermite(node, int(found[1]), values)
        name = ALIASES.get(name, name)
        if name not in CATALOGUE:
            raise self._unknown(node, name, called=isinstance(node, Call))
        base = CATALOGUE[name]
        self._count(node, name, values, 1 + len(base.parameters))
        argument = _polynomial(values[0])
        if argument is None or len(argument) != 2:
            constant = argument is not None and len(argument) < 2
            raise self._error(
                node,
                f"the argument of {name} is {'a constant' if constant else 'not of the form a*y + b'}",
                "give it y with exact numbers, as in tanh(2*y + 1/2)",
            )
        key = (name, argument[1], argument[0], self._parameters(node, base, values[1:]))
        return collect([(key, line.constant(line.ONE))])

    def _parameters(self, node: Node, base: Base, values: Sequence[Terms]) -> tuple[Exact, ...]:
        given = [_constant(value) for value in values]
        for (name, _), value in zip(base.parameters, given):
            if value is None:
                raise self._error(node, f"the parameter {name} of {base.name} must be a number")
        return tuple(given[k] if k < len(given) else value for k, (_, value) in enumerate(base.parameters))

    def _sqrt(self, node: Node, values: Sequence[Terms]) -> Terms:
        self._count(node, "sqrt", values, 1)
        value = _constant(values[0])
        if value is None:
            raise self._error(node, "sqrt takes a number", "write for instance sqrt(2) or sqrt(3/5)")
        return collect([(POLYNOMIAL, line.constant(square_root(value)))])

    def _hermite(self, node: Node, k: int, values: Sequence[Terms]) -> Terms:
        self._count(node, f"He{k}", values, 1)
        argument = _polynomial(values[0])
        if argument is None:
            raise self._error(node, f"the argument of He{k} is not a polynomial", "write for instance He3(y)")
        if k * max(len(argument) - 1, 1) > MAX_DEGREE:
            raise self._error(node, f"a polynomial of degree above {MAX_DEGREE}", "take a smaller one")
        before, he = (), line.constant(line.ONE)  # He_{j+1} = t He_j - j He_{j-1}
        for j in range(k):
            before, he = he, line.add(self._multiply(node, argument, he), line.scale(before, -j))
        return collect([(POLYNOMIAL, he)])

    def _count(self, node: Node, name: str, values: Sequence[Terms], most: int) -> None:
        if not 1 <= len(values) <= most:
            takes = "one argument" if most == 1 else f"one to {most} arguments"
            raise self._error(node, f"{name} takes {takes}, not {len(values)}", f"write for instance {name}(y)")

    def _unknown(self, node: Node, name: str, called: bool) -> ParseError:
        known = ["y", *sorted(CATALOGUE)]
        mend = _NOT_HERE.get(name, "")
        near = get_close_matches(name.lower()[:40], [*known[called:], *ALIASES, "sqrt"], n=1, cutoff=0.6)
        if not mend and near:
            mend = f"did you mean {near[0]}?"
        known_names = f"known are {', '.join(known)}, sqrt and He0, He1, ..."
        kind = "function" if called else "name"
        return self._error(node, f"unknown {kind} {quote(name)}", f"{mend} ({known_names})" if mend else known_names)


def _size(p: Line) -> int:
    """A measure of what multiplying by p costs: its rational numbers, long ones counted more."""
    return sum((len(c.parts) if isinstance(c, Surd) else 1) * (1 + bits(c) // 500) for c in p if c)
