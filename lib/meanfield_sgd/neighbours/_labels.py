"""What the network is to learn: a function of one direction, the component of the mixture, or a polynomial."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..polynomial import Polynomial
from ..simulate._common import read_activation, read_target, short

if TYPE_CHECKING:
    import torch

    from ..activation import Activation
    from .mixture import GaussianMixture

__all__ = ["Task", "read_task"]

KINDS = ("random", "aligned", "classes")


class Task(NamedTuple):
    """A law of labels: ``kind`` is one of KINDS or "polynomial"."""

    kind: str
    link: Activation | None
    target: Polynomial | None
    noise: float

    def direction(self, mixture: GaussianMixture, rng: np.random.Generator) -> np.ndarray | None:
        r"""xi in R^n with :math:`|\xi|^2=1/\|\Sigma\|_{op}`; random, or along the sum of the first spikes. None for classes."""
        if self.kind == "random":
            xi = rng.standard_normal(mixture.dimension)
        elif self.kind == "aligned":
            if any(not len(size) for size in mixture.sizes):
                raise InputError('labels="aligned" need a spike in each component; labels="random" do not')
            xi = np.sum([rows[0] for rows in mixture.directions], axis=0)
        else:
            return None
        length = np.linalg.norm(xi)
        if length < 1e-9:
            raise InputError('labels="aligned" need a direction: the first spikes of the components cancel each other')
        return xi / (length * math.sqrt(mixture.operator_norm))

    def values(self, x: torch.Tensor, c: np.ndarray, xi: torch.Tensor | None, rngs: list) -> torch.Tensor:
        """y (R, m) of samples x (R, m, n)."""
        import torch

        if self.kind == "classes":
            y = torch.as_tensor(np.where(c == 0, -1.0, 1.0), dtype=x.dtype, device=x.device)
        elif self.kind == "polynomial":
            y = _evaluate(self.target, x[..., : self.target.p])
        else:
            y = self.link(torch.einsum("rmn,rn->rm", x, xi))
        if self.noise:
            drawn = np.stack([rng.standard_normal(y.shape[1]) for rng in rngs])
            y = y + self.noise * torch.as_tensor(drawn, dtype=x.dtype, device=x.device)
        return y


def read_task(labels: Any, link: Any, noise: Any, mixture: Any) -> Task:
    """The labels of :func:`one_step`, read and refused."""
    try:
        noise = math.nan if isinstance(noise, bool) else float(noise)
    except (TypeError, ValueError):
        noise = math.nan
    if not 0 <= noise < math.inf:
        raise InputError("noise must be a finite number >= 0, the standard deviation of the labels' noise")
    if isinstance(labels, str) and labels in KINDS:
        link = read_activation(link, jumps=True)
        if getattr(mixture, "only_classes", False) and labels != "classes":
            raise InputError('images come with labels="classes": they have no spikes, and no direction to be random in')
        if labels == "classes" and getattr(mixture, "components", 2) < 2:
            raise InputError('labels="classes" need two components, this mixture has one')
        return Task(labels, None if labels == "classes" else link, None, noise)
    if isinstance(labels, str) and labels.isalpha():
        raise InputError(f"labels must be one of {', '.join(map(repr, KINDS))} or a polynomial, got {short(labels)}")
    if getattr(mixture, "only_classes", False):
        raise InputError('images come with labels="classes", not with a polynomial')
    target = read_target(labels)
    if target.p > mixture.dimension:
        raise InputError(f"dimension={mixture.dimension} is too small: the target has p = {target.p} variables")
    return Task("polynomial", None, target, noise)


def _evaluate(target: Polynomial, z: torch.Tensor) -> torch.Tensor:
    """h*(z) for z (..., p), from its monomials."""
    import torch

    total = torch.zeros_like(z[..., 0])
    for exponents, coefficient in target.terms.items():
        term = torch.full_like(total, float(coefficient))
        for place, power in enumerate(exponents):
            if power:
                term = term * z[..., place] ** power
        total = total + term
    return total
