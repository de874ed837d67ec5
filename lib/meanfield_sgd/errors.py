"""The errors this package raises on purpose.

Every message is one line that says what was given, what was expected and how to mend it; the command line prints
exactly that line and exits with status 2.
"""

from __future__ import annotations

__all__ = ["DivergenceError", "InputError", "MeanFieldError", "ParseError", "ToleranceError"]


class MeanFieldError(Exception):
    """Base class: catch this to catch everything the package raises on purpose."""


class InputError(MeanFieldError, ValueError):
    """An argument is not what the function can work with."""


class ParseError(InputError):
    """A text is not a polynomial, or not an activation."""


class ToleranceError(MeanFieldError):
    """The accuracy asked for cannot be reached with the resources allowed; the message says what was reached."""


class DivergenceError(MeanFieldError, ArithmeticError):
    """A simulation left the finite numbers. ``time`` is the gradient-flow time at which it was noticed."""

    def __init__(self, message: str, time: float):
        super().__init__(message)
        self.time = time
