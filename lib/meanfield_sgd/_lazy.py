"""Packages whose public names are loaded on first use, so that importing them stays light."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["LazyPackage", "make_lazy"]


class LazyPackage(ModuleType):
    """A package with ``_HOME``: public name -> submodule that defines it.

    A function that has the name of its submodule stays the function: importing the submodule would put the module in
    its place.
    """

    _HOME: Mapping[str, str]

    def __getattr__(self, name: str) -> Any:
        home = self.__dict__.get("_HOME", {})
        if name not in home:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{self.__name__}.{home[name]}"), name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self._HOME})

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name == self.__dict__.get("_HOME", {}).get(name):
            value = getattr(value, name)
        super().__setattr__(name, value)


def make_lazy(name: str, kind: type[LazyPackage] = LazyPackage) -> None:
    """Turn the package being imported into a lazy one; it has defined ``_HOME``."""
    sys.modules[name].__class__ = kind
