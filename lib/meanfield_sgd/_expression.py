"""From text to a small syntax tree, without ever evaluating code.

Polynomials (:mod:`meanfield_sgd.polynomial`) and activations (:mod:`meanfield_sgd.activation`) are read by the same
reader: numbers, names, ``+ - * / **``, parentheses and calls ``name(argument, ...)``, nothing else. What a name or a
call means is decided by the caller, from its own list; nothing is looked up in Python.

Grammar, with Python's precedences (``**`` binds to the right and tighter than a sign)::

    sum     := product (("+" | "-") product)*
    product := factor (("*" | "/") factor)*
    factor  := ("+" | "-")* atom ["**" factor]
    atom    := number | name | name "(" [sum ("," sum)*] ")" | "(" sum ")"

Every limit below is checked before the work that it bounds. Chains such as ``a + b + ... + z`` become balanced trees
(addition and multiplication are exact here, so grouping does not matter); a chain of factors becomes one division,
``a/b*c/d`` = ``(a*c)/(b*d)``. Walk a tree with :func:`fold`, which does not recurse.
"""

from __future__ import annotations

import re
from fractions import Fraction

from ._expression_tree import Binary, Call, Name, Node, Number, Unary, error_at, fold, is_name, quote
from .errors import InputError, ParseError

__all__ = [
    "MAX_CHARACTERS",
    "MAX_DEPTH",
    "MAX_DIGITS",
    "MAX_EXPONENT",
    "Binary",
    "Call",
    "Name",
    "Node",
    "Number",
    "Unary",
    "error_at",
    "fold",
    "is_name",
    "parse",
    "quote",
]

MAX_CHARACTERS = 10_000
MAX_DEPTH = 100
MAX_DIGITS = 1000
MAX_EXPONENT = 300  # of ten, in literals such as 1e-3: what double precision can hold


def parse(text: str, *, what: str = "polynomial", max_characters: int = MAX_CHARACTERS) -> Node:
    """The syntax tree of ``text``.

    Args:
        text: the expression.
        what: how error messages call it ("polynomial", "activation").
        max_characters: longer texts are refused before they are read.

    Raises:
        InputError: ``text`` is not a string.
        ParseError: it is not an expression of the grammar above, or exceeds a limit: ``max_characters``, nesting of
            parentheses, signs and powers :data:`MAX_DEPTH`, digits of a literal :data:`MAX_DIGITS`, decimal exponent
            of a literal :data:`MAX_EXPONENT`. The message is one line and repeats at most about 60 characters.
    """
    if not isinstance(text, str):
        raise InputError(f"{what}: expected a text, got {type(text).__name__}; write it in quotes")
    if len(text) > max_characters:
        raise ParseError(
            f"{what} {quote(text)} has {len(text)} characters; at most {max_characters} are read; shorten or split it"
        )
    if not text.strip():
        raise ParseError(f"the {what} is empty; write for instance {_EXAMPLE.get(what, '1')}")
    return _Reader(text, what).read()


_EXAMPLE = {"polynomial": '"z1 + z1*z2"', "activation": '"tanh(y + 1/2)"'}
_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_OPERATOR = re.compile(r"\*\*|[-+*/(),]")
_HINTS = {
    "^": "for a power write **, as in z**2",
    ".": "a point stands only inside a number, and attributes do not exist here",
    "'": "quoted text has no meaning here",
    '"': "quoted text has no meaning here",
    "[": "use round parentheses",
    "]": "use round parentheses",
    "{": "use round parentheses",
    "}": "use round parentheses",
    "=": "give the expression alone, without an equals sign",
    "\N{MINUS SIGN}": "write an ordinary hyphen for minus",
    "\N{EN DASH}": "write an ordinary hyphen for minus",
    "\N{MULTIPLICATION SIGN}": "write * for a product",
    "\N{MIDDLE DOT}": "write * for a product",
    "\N{DOT OPERATOR}": "write * for a product",
    "\N{SUPERSCRIPT TWO}": "for a power write **, as in z**2",
    "\N{SUPERSCRIPT THREE}": "for a power write **, as in z**3",
    "\N{SQUARE ROOT}": "write sqrt(2)",
}
_ALLOWED = "allowed are numbers, names, + - * / **, parentheses and commas"


class _Reader:
    """Tokens first, then precedence climbing with two Python frames per level of nesting."""

    def __init__(self, text: str, what: str):
        self.text = text
        self.what = what
        self.tokens = self._tokens()
        self.at = 0

    def _error(self, pos: int, problem: str, mend: str = "") -> ParseError:
        return error_at(self.text, pos, problem, mend, what=self.what)

    def _tokens(self) -> list[tuple[str, str, int]]:
        text, pos, found = self.text, 0, []
        while pos < len(text):
            if text[pos].isspace():
                pos += 1
                continue
            if match := _OPERATOR.match(text, pos):
                kind, end = "operator", match.end()
            elif match := _NUMBER.match(text, pos):
                kind, end = "number", match.end()
            elif text[pos].isidentifier():
                kind, end = "name", pos + 1
                while end < len(text) and ("a" + text[end]).isidentifier():
                    end += 1
            else:
                raise self._error(pos, f"unexpected {quote(text[pos])}", _HINTS.get(text[pos], _ALLOWED))
            found.append((kind, text[pos:end], pos))
            pos = end
        found.append(("end", "", len(text)))
        return found

    def _take(self, *operators: str) -> tuple[str, int] | None:
        """The next token, if it is one of these operators."""
        kind, value, pos = self.tokens[self.at]
        if kind == "operator" and value in operators:
            self.at += 1
            return value, pos
        return None

    def read(self) -> Node:
        node = self._sum(0)
        kind, value, pos = self.tokens[self.at]
        if kind == "end":
            return node
        if value == ")":
            raise self._error(pos, 'a ")" that nothing opened', "remove it, or open it")
        if value == ",":
            raise self._error(pos, "a comma outside a call", "write decimals with a point")
        raise self._missing_operator(value, pos)

    def _missing_operator(self, value: str, pos: int) -> ParseError:
        kind, before, _ = self.tokens[self.at - 1]
        if kind == "number" == self.tokens[self.at][0]:
            return self._error(pos, "two numbers in a row", "write an operator between them, or one number")
        left = "(...)" if before == ")" else before
        right = "(...)" if value == "(" else value
        pair = f"{left}*{right}" if len(left) + len(right) <= 24 else "a*b"
        return self._error(pos, f"an operator is missing before {quote(value)}", f"for a product write {pair}")

    def _sum(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._deep(self.tokens[self.at][2])
        terms: list[tuple[str, int, Node]] = []
        operator, where = "+", -1
        while True:
            above: list[Node] = [self._factor(depth)]
            below: list[Node] = []
            over = where
            while taken := self._take("*", "/"):
                if taken[0] == "/":
                    over = taken[1] if not below else over
                    below.append(self._factor(depth))
                else:
                    above.append(self._factor(depth))
            product = _balanced_product(above)
            if below:
                product = Binary(over, "/", product, _balanced_product(below))
            terms.append((operator, where, product))
            taken = self._take("+", "-")
            if taken is None:
                return _balanced_sum(terms)
            operator, where = taken

    def _factor(self, depth: int) -> Node:
        sign_at, minus, signs = self.tokens[self.at][2], False, 0
        while taken := self._take("+", "-"):
            minus ^= taken[0] == "-"
            signs += 1
        if depth + signs > MAX_DEPTH:
            raise self._deep(sign_at)
        node = self._atom(depth)
        if taken := self._take("**"):
            if depth >= MAX_DEPTH:
                raise self._deep(taken[1])
            node = Binary(taken[1], "**", node, self._factor(depth + 1))
        return Unary(sign_at, "-", node) if minus else node

    def _atom(self, depth: int) -> Node:
        kind, value, pos = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return Number(pos, self._number(value, pos))
        if kind == "name":
            if not self._take("("):
                return Name(pos, value)
            if self._take(")"):
                return Call(pos, value, ())
            args = [self._sum(depth + 1)]
            while self._take(","):
                args.append(self._sum(depth + 1))
            self._close(pos + len(value))
            return Call(pos, value, tuple(args))
        if value == "(":
            node = self._sum(depth + 1)
            self._close(pos)
            return node
        wanted = 'expected a number, a name or "("'
        if kind == "end":
            raise self._error(pos, f"{wanted}, but the text ends", "complete it")
        raise self._error(pos, f"{wanted}, found {quote(value)}", "complete or remove what stands before it")

    def _close(self, opened: int) -> None:
        if self._take(")"):
            return
        kind, value, pos = self.tokens[self.at]
        if kind == "end":
            raise self._error(opened, 'a "(" that is never closed', 'add the ")"')
        if value == ",":
            raise self._error(pos, "a comma outside a call", "write decimals with a point")
        raise self._missing_operator(value, pos)

    def _number(self, value: str, pos: int) -> Fraction:
        mantissa, _, exponent = value.lower().partition("e")
        whole, _, decimals = mantissa.partition(".")
        digits = whole + decimals
        if len(digits) > MAX_DIGITS:
            raise self._error(pos, f"a number of {len(digits)} digits", f"at most {MAX_DIGITS} digits are read")
        power = exponent.lstrip("+-").lstrip("0")
        if len(power) > 4 or int(power or 0) > MAX_EXPONENT:
            raise self._error(
                pos,
                f"the number {quote(value)} is out of range",
                f"exponents of ten go from -{MAX_EXPONENT} to {MAX_EXPONENT}",
            )
        scale = (-1 if exponent.startswith("-") else 1) * int(power or 0) - len(decimals)
        return Fraction(int(digits)) * Fraction(10) ** scale

    def _deep(self, pos: int) -> ParseError:
        return self._error(
            pos, f"nested more than {MAX_DEPTH} deep (parentheses, signs and powers count)", "expand or simplify it"
        )


def _balanced_product(factors: list[Node]) -> Node:
    if len(factors) == 1:
        return factors[0]
    middle = (len(factors) + 1) // 2
    return Binary(factors[middle].pos, "*", _balanced_product(factors[:middle]), _balanced_product(factors[middle:]))


def _balanced_sum(terms: list[tuple[str, int, Node]]) -> Node:
    """The signed terms as one tree; the sign of the first one is "+" (its own sign is a :class:`Unary`)."""
    if len(terms) == 1:
        return terms[0][2]
    middle = (len(terms) + 1) // 2
    left, right = terms[:middle], terms[middle:]
    operator, where, _ = right[0]
    if operator == "-":  # a - b + c = a - (b - c)
        right = [("-" if op == "+" else "+", pos, node) for op, pos, node in right]
    return Binary(where, operator, _balanced_sum(left), _balanced_sum(right))
