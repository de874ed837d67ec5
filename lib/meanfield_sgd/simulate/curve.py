r"""The curve W of the flow (4.1) of Chen and Ge as numbers: to rounding in double precision, or to many digits.

.. math::
   \frac{dW}{d\tau}=F(W)=E[h^*(z)\,\sigma'(W\cdot z)\,z]=\sum_k\lambda_k(|W|)\bigl(\nabla H_k(W)+W\,H_{k-2}(W)\bigr),
   \qquad W(0)=0,

with :math:`H_k(y)=C_k[y^k]/k!` and :math:`\lambda_k(r)=E[\sigma^{(k)}(rg)]`. A neuron with output weight a that trains for
time T without feedback from the network stands at W(aT). The exact Taylor coefficients of W are
``decide.taylor_flow``; here the whole curve is followed, also where its series at 0 does not converge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.integrate import DOP853

from ..activation import Activation
from ..errors import DivergenceError, InputError, ToleranceError
from ..polynomial import Polynomial
from ._common import read_activation, read_count, read_target, short
from ._initial import refuse_kink_at_zero
from ._limit_field import TargetForms
from .hermite import direct_averages

__all__ = ["target_drift", "taylor_curve"]

_LARGEST = 250.0  # up to here the Gaussian averages are trusted
_MOST = 20_000  # evaluations of F on each side of 0


def taylor_curve(
    target: Polynomial | str, activation: Activation | str, tau: Any, *, digits: int | None = None
) -> np.ndarray | list[list[Any]]:
    r"""W(tau) of the flow (4.1): :math:`W'=E[h^*(z)\sigma'(W\cdot z)z]`, W(0) = 0.

    Parameters
    ----------
    target, activation : h* in p variables and sigma.
    tau : times (T,), of either sign: tau = a t for output weight a and training time t.
    digits : None for float64; or 17 ... 400 correct digits, for activations that are sums of polynomials and of
        sin, cos, exp (of linear arguments, with constant factors): their averaged derivatives have closed forms.

    Returns
    -------
    array (T, p); with ``digits`` a list of T lists of p ``mpmath.mpf``.

    Raises
    ------
    InputError for a kink at 0, and for ``digits`` with another activation; DivergenceError where W runs away before tau
    (superlinear activations: ``exp``, polynomials).

    Source: the flow is Chen and Ge's, the closed form of F this book's, chapter *The Taylor flow*. In double precision the
    absolute error is about 1e-13 up to |W| = 4 for smooth activations, checked against 40 digits.
    """
    target, activation = read_target(target), read_activation(activation)
    try:
        times = np.atleast_1d(np.asarray(tau, dtype=np.float64))
    except (TypeError, ValueError):
        raise InputError(f"tau must be numbers, got {short(tau)}") from None
    if times.ndim != 1 or not np.all(np.isfinite(times)):
        raise InputError(f"tau must be a list of finite numbers, got {short(tau)}")
    refuse_kink_at_zero(activation, np.zeros((1, target.p)), False)
    if digits is not None:
        from ._precise import PreciseCurve, public  # mpmath is loaded on demand

        digits = read_count(digits, "digits", 17)
        if digits > 400:
            raise InputError(f"digits must be at most 400, got {digits}")
        curve = PreciseCurve(target, activation, digits)
        return public(curve([curve.ctx.mpf(float(t)) for t in times]))
    return many_on_curve(target, activation, times)


def many_on_curve(target: Polynomial, activation: Activation, times: np.ndarray) -> np.ndarray:
    """W at ``times`` (T,), float64 (T, p): where they are many, by Chebyshev interpolation that is refined to 1e-13."""
    from numpy.polynomial import chebyshev

    from ._precise import PreciseCurve, can_be_precise

    if can_be_precise(activation):
        precise = PreciseCurve(target, activation, 17)

        def curve(times: np.ndarray) -> np.ndarray:
            return np.array([[float(x) for x in row] for row in precise([precise.ctx.mpf(float(t)) for t in times])])
    else:

        def curve(times: np.ndarray) -> np.ndarray:
            return double_curve(target, activation, times)

    if not len(times):
        return np.zeros((0, target.p))
    low, high = min(0.0, float(times.min())), max(0.0, float(times.max()))
    degree, middle, half = 48, (low + high) / 2, max((high - low) / 2, 1e-300)
    while degree <= 200 and len(times) > 1.5 * degree:
        nodes = chebyshev.chebpts1(degree + 1)
        fit = chebyshev.chebfit(nodes, curve(middle + half * nodes), degree)
        if np.abs(fit[-6:]).max() <= 1e-13 * np.abs(fit).max():
            return chebyshev.chebval((times - middle) / half, fit).T
        degree *= 2
    return curve(times)


def double_curve(target: Polynomial, activation: Activation, times: np.ndarray) -> np.ndarray:
    """W at ``times`` (T,) of either sign, (T, p), by DOP853 at a relative tolerance of 1e-13."""
    found = np.zeros((len(times), target.p))
    drift = target_drift(target, activation)
    for sign in (1.0, -1.0):
        side = np.flatnonzero(sign * times > 0)
        if len(side):
            order = side[np.argsort(sign * times[side])]
            found[order] = _one_side(drift, activation, sign, sign * times[order], target.p)
    return found


def _one_side(drift: Any, activation: Activation, sign: float, ends: np.ndarray, p: int) -> np.ndarray:
    out = np.empty((len(ends), p))

    def rate(_: float, w: np.ndarray) -> np.ndarray:
        return sign * drift(w[None])[0]

    solver = DOP853(rate, 0.0, np.zeros(p), ends[-1], rtol=1e-13, atol=1e-15)
    done = 0
    while done < len(ends):
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                solver.step()
        except ToleranceError:  # the averages of exp at a large radius
            solver.status = "failed"
        size = float(np.linalg.norm(solver.y))
        tiny = solver.nfev > 500 and solver.h_abs < 1e-7 * solver.t  # steps shrink towards a finite time
        if solver.status == "failed" or not size < _LARGEST or solver.nfev > _MOST or tiny:
            raise DivergenceError(
                f"the flow (4.1) of {activation} runs away near tau = {sign * solver.t:.4g} (|W| = {size:.3g}; followed up "
                f"to {_LARGEST:g}): stop earlier, or take a bounded activation",
                float(solver.t),
            )
        # DOP853's dense output is of order 7 only: to reach rounding, ask for steps that end where we look.
        while done < len(ends) and ends[done] <= solver.t * (1 + 1e-15):
            if ends[done] < solver.t * (1 - 1e-15):
                out[done] = _between(rate, solver, ends[done])
            else:
                out[done] = solver.y
            done += 1
    return out


def _between(rate: Any, solver: DOP853, end: float) -> np.ndarray:
    """The state at a time inside the last step, by a step of the method itself from the beginning of that step."""
    start = solver.t_old
    inner = DOP853(rate, start, solver.dense_output()(start), end, rtol=1e-13, atol=1e-15, first_step=end - start)
    while inner.status == "running":
        inner.step()
    return inner.y


def target_drift(target: Polynomial, activation: Activation):
    """F as a function of weights (N, p), by Gauss panels in one dimension: (N, p), to rounding for smooth sigma."""
    forms = TargetForms(target)
    n = forms.degree
    k = np.arange(n + 1)

    def drift(w: np.ndarray) -> np.ndarray:
        r = np.linalg.norm(w, axis=1)
        u = w / np.maximum(r, 1e-300)[:, None]
        d = direct_averages(activation, r, n + 2)
        value, slope = forms(u)
        radial = (value * d[:, 1 : n + 2]) @ np.sqrt(k + 1.0)
        if not n:
            return u * radial[:, None]
        tangent = np.sum((d[:, :n] * np.sqrt(k[1:]))[:, :, None] * slope[:, 1:], axis=1)
        return u * radial[:, None] + tangent

    return drift
