r"""What the first gradient is made of: a spike of rank one, a few further directions, and a bulk.

.. math::
   G=uv^T+\Delta,\qquad u=c_1w,\quad c_1=E\,\sigma'(bg),\qquad v=\frac{\tilde X^T\tilde y}{m\sqrt k} .
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..simulate import _common as common
from ..simulate.ensemble import _read_seeds
from .mixture import GaussianMixture, SpikedMixture

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["GradientSpike", "gradient_spike"]


class GradientSpike:
    r"""The first gradients of several runs, measured and predicted; every attribute is an array (R,).

    Attributes
    ----------
    norm : :math:`\|G\|_{op}`.
    predicted_norm : |c_1| |w| |v|, where |w|^2 tends to 1 and k |v|^2 to |E yx|^2 + (E y^2|x|^2 - |E yx|^2)/m.
    residual : :math:`\|G-uv^T\|_{op}/\|G\|_{op}`, what the spike of rank one leaves.
    off_span : :math:`\|G(I-P)\|_{op}/\|G\|_{op}`, P the projection on v and all spikes of the data.
    alignment : the cosine of the angle between v and :math:`E[yx]`.
    predicted_alignment : :math:`|E[yx]|/(\sqrt k|v|)` with the predicted :math:`|v|`.
    """

    def __init__(self, columns: dict[str, list[float]]):
        for name, values in columns.items():
            setattr(self, name, np.array(values))

    def __repr__(self) -> str:
        return (
            f"<GradientSpike of {len(self.norm)} runs: residual {self.residual.mean():.3f}, "
            f"alignment {self.alignment.mean():.3f} (predicted {self.predicted_alignment.mean():.3f})>"
        )


def gradient_spike(
    activation: Activation | str,
    mixture: Any,
    *,
    neurons: int,
    samples: int,
    labels: Any = "random",
    link: Activation | str = "relu",
    noise: float = 0.0,
    seeds: int | Iterable[int] = 5,
) -> GradientSpike:
    r"""Compute the first gradient G of :func:`one_step` and take it apart.

    .. math::
       G=-\nabla_F\frac1{2m}\sum_\mu(y_\mu-\tfrac1{\sqrt k}w^T\sigma(Fx_\mu))^2\approx uv^T,\qquad u=c_1w,\quad
       v=\frac{X^Ty}{m\sqrt k},\quad c_1=E\,\sigma'(bg) .

    For labels y = f(xi . x) on centred components, Stein's lemma gives

    .. math::
       E[yx]=\sum_c\rho_c\,E[f'(s_cg)]\,\Sigma_c\xi,\qquad s_c^2=\xi^T\Sigma_c\xi,

    and :math:`E[y^2|x|^2]` splits into the part along :math:`\Sigma_c\xi` and the rest, which is independent of y.

    Parameters
    ----------
    activation, mixture, neurons, samples, labels, link, noise, seeds : as in :func:`one_step`; the data are the same as there
        for the same seed. Mixtures must be Gaussian and centred, labels ``"random"`` or ``"aligned"``.

    Returns
    -------
    GradientSpike

    Raises
    ------
    InputError for arguments that do not fit.

    Source: that the gradient is a spike and a bulk is known for isotropic data (Ba et al., arXiv 2205.01445) and used by
    Demir and Dogan, arXiv 2503.00856; the formulas for norm and alignment and the finite-rank correction are this book's.
    """
    import torch

    from ._averages import averages
    from ._labels import read_task
    from ._step import gradient

    activation = common.read_activation(activation)
    if not isinstance(mixture, (GaussianMixture, SpikedMixture)):
        raise InputError(f"mixture must be a GaussianMixture or a SpikedMixture, got {common.short(mixture)}")
    k, m = common.read_count(neurons, "neurons"), common.read_count(samples, "samples")
    task = read_task(labels, link, noise, mixture)
    if task.link is None or (isinstance(mixture, GaussianMixture) and not mixture.centred):
        raise InputError('the spike is predicted for labels "random" or "aligned" on centred components')
    columns: dict[str, list[float]] = {}
    for seed in _read_seeds(seeds):
        structure, weights, steps, *_ = np.random.Generator(np.random.PCG64(seed)).spawn(6)
        mix = mixture.draw(structure)
        xi = task.direction(mix, structure)
        first = torch.as_tensor(weights.standard_normal((k, mix.dimension)) / math.sqrt(mix.trace))
        readout = torch.as_tensor(weights.standard_normal(k)) / math.sqrt(k)
        x, c = mix.sample(m, steps, "step")
        x = torch.as_tensor(x)
        y = task.values(x[None], c[None], torch.as_tensor(xi)[None], [steps])
        found = gradient(activation, first[None], readout[None], x[None], y)[0]
        slope = _mean_slope(activation, mix.bulk)
        v = (x.T @ y[0]) / (m * math.sqrt(k))
        direction, spread = _signal(mix, task, xi, averages, torch)
        square = (direction @ direction) + (spread - direction @ direction) / m  # k |v|^2
        norm = _norm(found)
        if not (norm > 0 and np.linalg.norm(direction) > 0 and bool(v.norm() > 0)):
            raise InputError(f"the gradient of seed {seed} is zero: sigma has no slope there, or all labels are 0")
        span = torch.linalg.qr(torch.stack([v, *map(torch.as_tensor, np.concatenate(mix.directions))], -1)).Q
        row = {
            "norm": norm,
            "predicted_norm": abs(slope) * math.sqrt(square / k),
            "residual": _norm(found - slope * torch.outer(readout, v)) / norm,
            "off_span": _norm(found - (found @ span) @ span.T) / norm,
            "alignment": float(v @ torch.as_tensor(direction)) / (float(v.norm()) * np.linalg.norm(direction)),
            "predicted_alignment": float(np.linalg.norm(direction)) / math.sqrt(square),
        }
        for name, value in row.items():
            columns.setdefault(name, []).append(float(value))
    return GradientSpike(columns)


def _norm(matrix) -> float:
    """The largest singular value, from the smaller Gram matrix."""
    import torch

    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return math.sqrt(max(0.0, float(torch.linalg.eigvalsh(gram)[-1])))


def _mean_slope(activation: Activation, scale: float) -> float:
    """c_1 = E sigma'(b g) = E[sigma(b g) g]/b, which needs no derivative."""
    from ..simulate.hermite import hermite_profile

    return float(hermite_profile(activation, np.array([scale]), 2)[0, 1]) / scale


def _signal(mixture, task, xi, averages, torch) -> tuple[np.ndarray, float]:
    r"""E[yx] (n,) and E[y^2|x|^2]: given the component, x = Sigma xi (xi.x)/s^2 + an independent rest."""
    direction, spread = np.zeros(mixture.dimension), 0.0
    for c, weight in enumerate(mixture.weights):
        along = mixture.apply(c, xi)
        variance = float(xi @ along)
        s = math.sqrt(variance)
        found = averages(task.link, None, torch.tensor([s], dtype=torch.float64), 2)
        slope = float(found.coefficients[0, 1]) / s  # E f'(s g)
        square = float(found.second) + task.noise**2
        fourth = _weighted(task.link, s) + task.noise**2  # E[f(s g)^2 g^2]
        trace = mixture.dimension + float(mixture.sizes[c].sum())
        share = float(along @ along) / variance  # the variance of x along Sigma xi that goes with g
        direction += weight * slope * along
        spread += weight * (square * (trace - share) + fourth * share)
    return direction, spread


def _weighted(link: Activation, s: float) -> float:
    """E[f(s g)^2 g^2], by quadrature on both half-lines."""
    from scipy.integrate import quad

    cuts = sorted({-12.0, 12.0, *(min(12.0, max(-12.0, y / s)) for y in link.breakpoints)})
    density = 1 / math.sqrt(2 * math.pi)
    return sum(
        quad(lambda g: float(link(s * g)) ** 2 * g * g * math.exp(-g * g / 2) * density, a, b, limit=200)[0]
        for a, b in pairwise(cuts)
    )
