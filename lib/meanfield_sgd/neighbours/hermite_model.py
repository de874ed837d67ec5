r"""The Hermite model that stands in for an activation, and the degree that it needs.

.. math::
   \hat\sigma_l(a)=\sum_{i=0}^lh_i\,He_i(a/b)+h_l^*\,\varepsilon,\qquad h_i=\frac1{i!}E[\sigma(bg)He_i(g)],\qquad
   (h_l^*)^2=E\,\sigma(bg)^2-\sum_{i\le l}i!\,h_i^2 ,

with :math:`\varepsilon\sim N(0,1)` fresh for every neuron and every sample.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..simulate._common import read_activation, read_count, read_positive
from .mixture import _read_share

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["HermiteModel", "degree_rule", "hermite_model"]

_LABELS = ("random", "aligned")


class HermiteModel:
    r"""A polynomial of degree l and independent noise in place of an activation; calling it gives the polynomial part.

    Attributes
    ----------
    activation : the Activation sigma that it stands for.
    degree : l.
    scale : b, the standard deviation of the pre-activations for which the coefficients are computed.
    coefficients : h_0, ..., h_l, (l+1,), of He_i(a/b).
    noise : h_l^*, the standard deviation of what the polynomial leaves out.
    """

    # What a quadrature rule asks of an activation.
    breakpoints: tuple[float, ...] = ()
    growth = "polynomial"
    smoothness = "analytic"
    singularity_distance = math.inf

    def __init__(self, activation: Activation, degree: int, scale: float, coefficients: np.ndarray, noise: float):
        self.activation, self.degree, self.scale = activation, degree, scale
        self.coefficients, self.noise = coefficients, noise
        # In powers of a/b: Horner's rule takes half the passes over an array that the recurrence takes.
        self._powers = np.polynomial.hermite_e.herme2poly(coefficients)

    def __repr__(self) -> str:
        terms = ", ".join(f"{h:.4g}" for h in self.coefficients)
        return f"<HermiteModel of {self.activation}: h = {terms}; noise {self.noise:.4g}>"

    def __call__(self, y: Any) -> Any:
        """The polynomial part, elementwise, of arrays, torch tensors or numbers."""
        z = y / self.scale
        total = 0.0 * z
        for power in reversed(self._powers):
            total *= z
            total += float(power)
        return total


def hermite_model(activation: Activation | str, degree: int, scale: float = 1.0) -> HermiteModel:
    r"""The Hermite model of degree l of an activation, for pre-activations of standard deviation b.

    .. math::
       h_i=\frac1{i!}E[\sigma(bg)He_i(g)],\qquad (h_l^*)^2=E\,\sigma(bg)^2-\sum_{i\le l}i!\,h_i^2 .

    Parameters
    ----------
    activation : an Activation or its text.
    degree : 0 <= l <= 30; far beyond, He_l(a/b) of the few a that are large swamps everything else.
    scale : b > 0.

    Returns
    -------
    HermiteModel

    Raises
    ------
    InputError for arguments that do not fit, ToleranceError where an average overflows.

    Source: Demir and Dogan, arXiv 2503.00856, and their published code. Checked against closed forms for ReLU and against a
    table computed independently for ReLU, tanh and the logistic function, to 1e-6.
    """
    from ..simulate.hermite import hermite_profile

    activation = read_activation(activation, jumps=True)
    degree, scale = read_count(degree, "degree", 0), read_positive(scale, "scale")
    if degree > 30:
        raise InputError(f"degree must be at most 30, got {degree}")
    profile = hermite_profile(activation, np.array([scale]), degree + 1)[0]
    factorials = np.array([math.factorial(i) for i in range(degree + 1)], dtype=float)
    left = max(0.0, _second_moment(activation, scale) - float((profile**2).sum()))
    return HermiteModel(activation, degree, scale, profile / np.sqrt(factorials), math.sqrt(left))


def _second_moment(activation: Activation, scale: float) -> float:
    import torch

    from ._averages import averages

    return float(averages(activation, None, torch.tensor([scale], dtype=torch.float64), 1).second)


def degree_rule(alpha: float, beta: float, labels: str | None = None) -> int | None:
    r"""The smallest degree l of a Hermite model that is equivalent to the network; None where no finite one is promised.

    The paper's rule, ``labels=None``, is the smallest l >= 1 with :math:`\beta<\frac l{l+1}`; it does not look at alpha. (Its
    code computes the ceiling of beta/(1-beta), which at :math:`\beta=\frac l{l+1}` is l and misses its own strict inequality.)
    This book's refinement counts the two spikes apart, that of the data and that of the gradient: the smallest l >= 1 with

    .. math::
       \beta(1-\alpha)<\frac l{l+1}\quad\text{and}\quad s<\frac{2l+1}{2l+2},\qquad
       s=\begin{cases}\beta&\text{labels aligned with the spikes,}\\
       \beta(3\alpha-1)/2&\text{labels in a random direction.}\end{cases}

    Parameters
    ----------
    alpha, beta : in [0, 1], as in :class:`SpikedMixture`.
    labels : None, ``"aligned"`` or ``"random"``.

    Source: the paper's rule is Demir and Dogan's, arXiv 2503.00856; the refinement is this book's. It is a count of orders of
    magnitude and no theorem: that the degree suffices was confirmed for aligned labels up to n = 2000, that a smaller one does
    not was confirmed only in part (see the chapter).
    """
    alpha, beta = _read_share(alpha, "alpha", 0.0), _read_share(beta, "beta", 0.0)
    if labels is None:
        spread, step = beta, 0.0
    elif isinstance(labels, str) and labels in _LABELS:
        spread = beta * (1.0 - alpha)
        step = beta if labels == "aligned" else beta * (3.0 * alpha - 1.0) / 2.0
    else:
        raise InputError(f"labels must be None, 'aligned' or 'random', got {labels!r:.40}")
    tiny = 1e-12  # 3/4 < 3/4 must not hold by rounding of beta (1 - alpha)
    for degree in range(1, 1000):
        if spread < degree / (degree + 1) - tiny and step < (2 * degree + 1) / (2 * degree + 2) - tiny:
            return degree
    return None
