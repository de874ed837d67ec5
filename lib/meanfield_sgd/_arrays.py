"""One set of function names for NumPy arrays and torch tensors; neither library is imported before it is needed.

A torch tensor can only arrive once torch is loaded, so ``sys.modules`` decides which library an argument belongs to.
"""

from __future__ import annotations

import sys
from functools import cache
from numbers import Real
from types import SimpleNamespace
from typing import Any

from .errors import InputError

__all__ = ["is_torch", "namespace", "numeric"]


def is_torch(y: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(y, torch.Tensor)


def numeric(y: Any) -> tuple[Any, bool]:
    """(y as a floating-point tensor or array, whether y was a plain Python number).

    Integers become float64 (torch: the default dtype); floating-point dtypes stay.

    Raises:
        InputError: complex numbers, text, or anything else that is not an array of real numbers.
    """
    if is_torch(y):
        if y.is_complex():
            raise InputError(f"expected real numbers, got a tensor of {y.dtype}")
        return (y if y.is_floating_point() else y.to(sys.modules["torch"].get_default_dtype())), False
    import numpy as np

    plain = isinstance(y, Real) and not isinstance(y, np.generic)
    try:
        array = np.asarray(y)
    except (TypeError, ValueError):
        raise InputError(f"expected real numbers in an array, got a ragged {type(y).__name__}") from None
    if array.dtype.kind == "O" and all(isinstance(value, Real) for value in array.flat):
        array = array.astype(np.float64)
    if array.dtype.kind not in "fiub":
        raise InputError(f"expected real numbers, got an array of {array.dtype}")
    return (array if array.dtype.kind == "f" else array.astype(np.float64)), plain


def namespace(y: Any) -> SimpleNamespace:
    """The functions that the catalogue is written with, for the library that ``y`` belongs to."""
    return _torch() if is_torch(y) else _numpy()


@cache
def _numpy() -> SimpleNamespace:
    import numpy as np
    from scipy import special

    return SimpleNamespace(
        abs=np.abs,
        at_most_0=lambda t: np.minimum(t, 0),
        cos=np.cos,
        erf=special.erf,
        erfc=special.erfc,
        exp=np.exp,
        expm1=np.expm1,
        logistic=special.expit,
        ones_like=np.ones_like,
        positive=lambda t: (t > 0).astype(t.dtype),
        relu=lambda t: np.maximum(t, 0),
        sign=np.sign,
        sin=np.sin,
        softplus=lambda t: np.logaddexp(t, np.zeros_like(t)),
        tanh=np.tanh,
        where=np.where,
        zeros_like=np.zeros_like,
        # An exponential that overflows is inf, one that underflows is 0: both are the right answer.
        quiet=lambda: np.errstate(over="ignore", under="ignore"),
    )


@cache
def _torch() -> SimpleNamespace:
    from contextlib import nullcontext

    import torch

    return SimpleNamespace(
        abs=torch.abs,
        at_most_0=lambda t: torch.clamp(t, max=0),
        cos=torch.cos,
        erf=torch.special.erf,
        erfc=torch.special.erfc,
        exp=torch.exp,
        expm1=torch.expm1,
        logistic=torch.sigmoid,
        ones_like=torch.ones_like,
        positive=lambda t: (t > 0).to(t.dtype),
        relu=torch.relu,
        sign=torch.sign,
        sin=torch.sin,
        # torch.nn.functional.softplus is linear beyond 20 (2e-9 off) and a maximum plus log1p has a wrong slope at 0.
        softplus=lambda t: torch.logaddexp(t, torch.zeros((), dtype=t.dtype, device=t.device)),
        tanh=torch.tanh,
        where=torch.where,
        zeros_like=torch.zeros_like,
        quiet=nullcontext,
    )
