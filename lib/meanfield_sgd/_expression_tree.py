"""Syntax trees of expressions, how to walk them, and how errors point into a text (see :mod:`._expression`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from .errors import ParseError

__all__ = ["Binary", "Call", "Name", "Node", "Number", "Unary", "error_at", "fold", "is_name", "quote"]

_ECHO = 44  # characters of the input that a message repeats at most, before escapes

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Node:
    """Part of an expression; ``pos`` is the 0-based column where it stands in the text (for errors)."""

    pos: int


@dataclass(frozen=True, slots=True)
class Number(Node):
    """A literal, exact: ``0.1`` is 1/10."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A variable, a constant, or a function named without parentheses."""

    id: str


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """``-x`` (a plus sign leaves no node, and two minus signs cancel)."""

    op: str
    x: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """``l op r`` with ``op`` one of ``+ - * / **``."""

    op: str
    l: Node
    r: Node


@dataclass(frozen=True, slots=True)
class Call(Node):
    """``name(args[0], args[1], ...)``."""

    name: str
    args: tuple[Node, ...]


def quote(text: str, around: int = 0) -> str:
    """At most about 60 characters of ``text`` near column ``around``, quoted, control characters escaped."""
    start = 0 if len(text) <= _ECHO else max(0, min(around - _ECHO // 2, len(text) - _ECHO))
    shown = text[start : start + _ECHO]
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
    if len(safe) > 56:
        safe = safe[:56]
    head = "..." if start > 0 else ""
    tail = "..." if start + _ECHO < len(text) else ""
    return f'"{head}{safe}{tail}"'


def error_at(text: str, pos: int, problem: str, mend: str = "", *, what: str = "polynomial") -> ParseError:
    """The one-line error for column ``pos`` of ``text``: where, what is wrong, how to mend it. The caller raises it."""
    return ParseError(f"{what} {quote(text, pos)}, column {pos + 1}: {problem}" + (f"; {mend}" if mend else ""))


def is_name(text: str) -> bool:
    """Whether ``text`` can be read back as one name (a Python identifier; Greek letters are welcome)."""
    return isinstance(text, str) and text.isidentifier()


def fold(node: Node, visit: Callable[[Node, Sequence[T]], T]) -> T:
    """``visit(node, values of its children)``, from the leaves up, without recursion (a tree may be 1000 deep)."""
    values: list[Any] = []
    todo: list[tuple[Node, int]] = [(node, -1)]
    while todo:
        current, count = todo.pop()
        if count < 0:
            children = _children(current)
            todo.append((current, len(children)))
            todo.extend((child, -1) for child in reversed(children))
        else:
            cut = len(values) - count
            arguments = values[cut:]
            del values[cut:]
            values.append(visit(current, arguments))
    return values[0]


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Unary(x=x):
            return (x,)
        case Binary(l=l, r=r):
            return (l, r)
        case Call(args=args):
            return args
    return ()
