r"""The tensors of one step: gradient, ridge readout and ridge equivalent, with the runs along a leading axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ..errors import ToleranceError
from ._averages import blocks

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["equivalent", "gradient", "ridge_readout"]


def gradient(activation: Activation, neurons, readout, x, y):
    r"""G = -grad_F of half the mean squared error of :math:`w^T\sigma(Fx)/\sqrt k` on m samples: (R, k, n).

    neurons F (R, k, n), readout w (R, k), x (R, m, n), y (R, m).
    """
    k, m = neurons.shape[-2], x.shape[-2]
    total = torch.zeros_like(neurons)
    for rows in blocks(m, len(x) * k):
        inner = x[:, rows] @ neurons.transpose(-1, -2)  # (R, b, k)
        left = y[:, rows] - (activation(inner) @ readout[..., None])[..., 0] / math.sqrt(k)
        slope = activation.derivative(inner).mul_(left[..., None])
        total += slope.transpose(-1, -2) @ x[:, rows]
    return total.mul_(readout[..., None] / (m * math.sqrt(k)))


def ridge_readout(features, y, ridge: float):
    r"""The minimiser w of :math:`\frac1{2m}|y-\Phi^Tw|^2+\frac\lambda2|w|^2` and the minimum, for Phi^T = features (R, m, k).

    The smaller of the two normal equations is factorised: k by k or m by m.
    """
    m, k = features.shape[-2:]
    small = min(m, k)
    gram = features.transpose(-1, -2) @ features if k <= m else features @ features.transpose(-1, -2)
    gram.diagonal(dim1=-2, dim2=-1).add_(ridge * m)
    factor, failed = torch.linalg.cholesky_ex(gram)
    if bool(failed.any()):
        raise ToleranceError(
            f"ridge={ridge:g} is too small for {k} neurons and {m} samples: the normal equations of size {small} are singular"
        )
    del gram
    if k <= m:
        w = torch.cholesky_solve((features.transpose(-1, -2) @ y[..., None]), factor)[..., 0]
        left = y - (features @ w[..., None])[..., 0]
        train = 0.5 * (left**2).sum(-1) / m + 0.5 * ridge * (w**2).sum(-1)
    else:
        dual = torch.cholesky_solve(y[..., None], factor)
        w = (features.transpose(-1, -2) @ dual)[..., 0]
        # The residual is ridge m times the dual vector, so the minimum needs no difference of large numbers.
        train = 0.5 * ridge * (y * dual[..., 0]).sum(-1)
    return w, train


def equivalent(second, cross, power, samples: int, ridge: float):
    """(generalisation error, training error, kappa) of :func:`ridge_equivalent`, each (R,), of moments with leading axis."""
    e = torch.linalg.eigvalsh(second).clamp(min=0.0)
    # lambda = kappa (1 - df/m) is convex in kappa: Newton's method from the right of its root comes down monotonically.
    kappa = ridge + e.sum(-1) / samples
    for _ in range(200):
        share = e / (e + kappa[:, None])
        value = kappa * (1 - share.sum(-1) / samples) - ridge
        change = value / (1 - (share**2).sum(-1) / samples)
        kappa = kappa - change
        if bool((change.abs() <= 1e-14 * kappa).all()):
            break
    share = e / (e + kappa[:, None])
    shifted = second.clone()
    shifted.diagonal(dim1=-2, dim2=-1).add_(kappa[:, None])
    factor, failed = torch.linalg.cholesky_ex(shifted)
    if bool(failed.any()):
        raise ToleranceError(f"ridge={ridge:g} is too small for these second moments: S + kappa is singular")
    v = torch.cholesky_solve(cross[..., None], factor)[..., 0]
    explained = (cross * v).sum(-1)
    bias = power - explained - kappa * (v**2).sum(-1)
    test = 0.5 * bias / (1 - (share**2).sum(-1) / samples)
    train = ridge / (2 * kappa) * (power - explained)
    return test, train, kappa
