"""A list of coefficients that is counted from 1, as c_1, c_2, ... are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import InputError

__all__ = ["Coefficients"]


class Coefficients:
    """For dataclasses with ``coefficients``; ``_letter`` is what one of them is called."""

    coefficients: tuple[tuple[Any, ...], ...]
    _letter = "c"

    @property
    def order(self) -> int:
        """The number of coefficients."""
        return len(self.coefficients)

    def __len__(self) -> int:
        return self.order

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.coefficients)

    def __getitem__(self, j: int) -> tuple[Any, ...]:
        """The coefficient of order j, counted from 1."""
        if not 1 <= j <= self.order:
            x = self._letter
            raise InputError(f"{x}_{j} was not computed; known are {x}_1, ..., {x}_{self.order}")
        return self.coefficients[j - 1]
