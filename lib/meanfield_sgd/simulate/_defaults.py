"""The arguments of one method, completed by the defaults of its signature."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from ..errors import InputError

__all__ = ["complete", "preparer"]

_LEFT = {"target", "activation", "time", "progress", "checkpoint", "seed", "initial_state"}


def _module(method: str) -> Any:
    return importlib.import_module(f".{method}", __package__)


def preparer(method: str) -> Callable[..., Any]:
    """The function that reads the arguments of ``method``."""
    return _module(method).prepare


def complete(method: str, options: dict[str, Any]) -> dict[str, Any]:
    """``options`` with the defaults of ``method`` for what is missing; InputError for what it does not take."""
    parameters = inspect.signature(getattr(_module(method), method)).parameters
    known = {name: value.default for name, value in parameters.items() if name not in _LEFT}
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"{method} has no argument {name!r:.40}{hint}")
    return known | options
