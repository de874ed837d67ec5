"""A user's own activation: a function, and what its author declares about it. Nothing undeclared is ever assumed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any

from ._activation_form import Part
from ._arrays import is_torch
from ._exact_input import exact
from ._line import expression
from .errors import InputError

__all__ = ["GROWTHS", "UNKNOWN", "Custom", "combined"]

UNKNOWN = "unknown"
GROWTHS = ("bounded", "polynomial", "exponential")


def combined(parts: Iterable[Part | None]) -> Part | None:
    """The kind of a sum of functions of these kinds; None where they do not settle it (equal kinds may cancel)."""
    total: Part | None = "zero"
    for part in parts:
        if part is None or total is None:
            return None
        if part == "zero":
            continue
        if total == "zero":
            total = part
        elif "non-polynomial" in (part, total):
            total = None if part == total else "non-polynomial"
        else:
            total = None if part == total else ("polynomial", max(part[1], total[1]))
    return total


class Custom:
    """The base behind ``Activation.custom``; has the members of a catalogue base. Compared by identity."""

    parameters: tuple[()] = ()

    def __init__(
        self,
        function: Callable[[Any], Any],
        derivative: Callable[[Any], Any] | None,
        name: str,
        jet: Sequence[Any] | Callable[[int], Any] | None,
        polynomial_degree: int | str | None,
        even_part: Part | None,
        odd_part: Part | None,
        breakpoints: Iterable[float],
        growth: str | None,
        smoothness: str | int | None,
    ):
        if not callable(function) or not (derivative is None or callable(derivative)):
            raise InputError("Activation.custom takes a function of an array and, if given, its derivative as another")
        if not isinstance(name, str) or not name.isidentifier():
            raise InputError(f'the name of a custom activation is one word, such as "bump"; got {name!r:.60}')
        self.function, self.given_derivative, self.name = function, derivative, name
        self.given_jet = jet if jet is None or callable(jet) else [_exact(s, name) for s in jet]
        self.even_part, self.odd_part = _checked(even_part, "even", 0), _checked(odd_part, "odd", 1)
        self.degree = self._degree(polynomial_degree)
        try:
            self.breakpoints = tuple(sorted(float(b) for b in breakpoints))
        except (TypeError, ValueError):
            raise InputError(f"the breakpoints of {name} must be a list of numbers, got {breakpoints!r:.60}") from None
        if not all(math.isfinite(b) for b in self.breakpoints):
            raise InputError(f"the breakpoints of {name} must be finite numbers")
        if growth not in (None, *GROWTHS):
            raise InputError(f"growth is one of {', '.join(GROWTHS)}; got {growth!r:.40}")
        if smoothness not in (None, "analytic") and not (isinstance(smoothness, int) and smoothness >= -1):
            raise InputError(
                f'smoothness is "analytic" or a number of continuous derivatives, -1 where it jumps; got {smoothness!r:.40}'
            )
        if (smoothness == "analytic" and self.breakpoints) or (smoothness == -1 and not self.breakpoints):
            raise InputError(
                f"{name}: smoothness={smoothness!r} contradicts breakpoints={list(self.breakpoints)!r:.60}"
            )
        self.growth, self.smoothness = growth, smoothness
        self.symmetry = "odd" if self.even_part == "zero" else "even" if self.odd_part == "zero" else None

    def _degree(self, declared: int | str | None) -> int | str | None:
        if declared not in (None, UNKNOWN) and not (isinstance(declared, Integral) and declared >= 0):
            raise InputError(f"polynomial_degree is a whole number, or None for no polynomial; got {declared!r:.40}")
        parts = (self.even_part, self.odd_part)
        implied: int | str | None = UNKNOWN
        if "non-polynomial" in parts:
            implied = None
        elif None not in parts:
            implied = max([part[1] for part in parts if part != "zero"], default=0)
        if UNKNOWN not in (declared, implied) and declared != implied:
            raise InputError(f"{self.name}: polynomial_degree={declared} contradicts the declared even and odd parts")
        return implied if declared == UNKNOWN else declared

    def jet(self, order: int) -> list[Any]:
        if self.given_jet is None:
            raise InputError(
                f"the jet of {self.name} at 0 is not known; give it as Activation.custom(..., jet=[0, 1, 0, -2]) "
                "(exact numbers sigma(0), sigma'(0), ...) or as a function of the order"
            )
        if callable(self.given_jet):
            return [_exact(self.given_jet(k), self.name) for k in range(order + 1)]
        if order >= len(self.given_jet):
            raise InputError(
                f"the jet of {self.name} was given to order {len(self.given_jet) - 1}; order {order} was asked for"
            )
        return self.given_jet[: order + 1]

    def value(self, xp: Any, t: Any) -> Any:
        return self._called(self.function, t)

    def slope(self, xp: Any, t: Any) -> Any:
        if self.given_derivative is not None:
            return self._called(self.given_derivative, t)
        import torch

        if not is_torch(t):
            import numpy as np

            return self.slope(xp, torch.from_numpy(np.array(t))).numpy()
        with torch.enable_grad():
            inner = t if t.requires_grad else t.detach().requires_grad_(True)
            try:
                out = self.function(inner)
                (slope,) = torch.autograd.grad(out.sum(), inner, create_graph=t.requires_grad)
            except (AttributeError, RuntimeError, TypeError) as error:
                raise InputError(
                    f"torch cannot differentiate {self.name} ({_first_line(error)}); "
                    "write it with torch functions, or give derivative=..."
                ) from None
        return slope

    def _called(self, function: Callable[[Any], Any], t: Any) -> Any:
        """function(t); one written for torch only also serves NumPy arrays, through a tensor that shares no memory."""
        try:
            out = function(t)
        except (TypeError, AttributeError) as error:
            if is_torch(t):
                raise InputError(
                    f"{self.name} failed on a torch tensor ({_first_line(error)}); write it with torch functions"
                ) from None
            import numpy as np
            import torch

            try:
                out = function(torch.from_numpy(np.array(t))).detach().numpy()
            except (TypeError, AttributeError, RuntimeError):
                raise InputError(f"{self.name} failed on a NumPy array ({_first_line(error)})") from None
        if is_torch(out) != is_torch(t) or tuple(getattr(out, "shape", ())) != tuple(t.shape):
            raise InputError(
                f"{self.name} must act elementwise: an array of shape {tuple(t.shape)} "
                f"gave {type(out).__name__} of shape {tuple(getattr(out, 'shape', ()))}"
            )
        if out.dtype != t.dtype:  # 1.0*(y > 0) is float32 in torch, (y > 0) a mask: the values are meant
            out = out.to(t.dtype) if is_torch(out) else out.astype(t.dtype)
        return out


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:80]


def _checked(part: Any, which: str, parity: int) -> Part | None:
    if part is None or part in ("zero", "non-polynomial"):
        return part
    if isinstance(part, (tuple, list)) and len(part) == 2 and part[0] == "polynomial" and isinstance(part[1], Integral):
        if part[1] < 0 or part[1] % 2 != parity:
            raise InputError(f"the degree of the {which} part of a function is {which}; got {part[1]}")
        return ("polynomial", int(part[1]))
    raise InputError(f'{which}_part is "zero", ("polynomial", degree) or "non-polynomial"; got {part!r:.60}')


def _exact(value: Any, name: str) -> Any:
    """A sympy number; texts, integers, fractions and sympy expressions without floats are accepted."""
    import sympy as sp

    if isinstance(value, sp.Expr) and value.is_number and not value.has(sp.Float):
        return value
    return expression(exact(value, f"the jet of {name}"))
