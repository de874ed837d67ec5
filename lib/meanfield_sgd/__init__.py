"""Which polynomials of a Gaussian input a two-layer network can learn: decided exactly, and simulated.

Import it as ``import meanfield_sgd as mf``. Torch and numpy are loaded only when a simulation asks for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Where each public name lives; loaded on first use so that ``import meanfield_sgd`` stays light.
_HOME = {
    "Activation": "activation",
    "DivergenceError": "errors",
    "InputError": "errors",
    "MeanFieldError": "errors",
    "ParseError": "errors",
    "Polynomial": "polynomial",
    "ToleranceError": "errors",
    "decide": None,
    "figures": None,
    "neighbours": None,
    "simulate": None,
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'meanfield_sgd' has no attribute {name!r}")
    home = _HOME[name]
    value = import_module(f"{__name__}.{name}") if home is None else getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
