"""The dynamics of a two-layer network at three distances from the limit, in one vocabulary.

``sgd`` (N neurons in R^d, fresh samples), ``population`` (N neurons in R^d, exact expectation) and ``meanfield``
(N and d infinite) are functions; all return a :class:`Trajectory`. Torch is loaded by the first call of ``sgd`` or
``population``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_HOME = {
    "InitialLaw": "_nodes",
    "Interrupted": "result",
    "Trajectory": "result",
    "arccosine_kernel": "hermite",
    "arcsine_kernel": "hermite",
    "gauss_hermite": "hermite",
    "hermite_profile": "hermite",
    "meanfield": "meanfield",
    "pair_kernel": "hermite",
    "pair_kernel_quadrature": "hermite",
    "population": "population",
    "sgd": "sgd",
}

__all__ = sorted(_HOME)


class _Package(ModuleType):
    """Keeps ``simulate.sgd`` the function: importing the submodule of that name would put the module in its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == _HOME.get(name) and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'meanfield_sgd.simulate' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


sys.modules[__name__].__class__ = _Package
