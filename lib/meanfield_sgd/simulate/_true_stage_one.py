"""The true first stage in the limit, good to rounding: a at rest, w from 0, the network's own output in the residual."""

from __future__ import annotations

import numpy as np
from scipy.integrate import DOP853

from ..activation import Activation
from ..errors import DivergenceError
from ..polynomial import Polynomial
from ._limit_field import LimitField
from .hermite import direct_averages

__all__ = ["true_stage_one"]


class DirectField(LimitField):
    """A field whose profiles come from quadrature at every call instead of a table: slower, and good to rounding."""

    def profiles(self, w: np.ndarray, rho: np.ndarray):
        r = np.sqrt(np.sum(w * w, axis=1) + rho * rho)
        u = w / np.maximum(r, 1e-300)[:, None]
        d = direct_averages(self.table.activation, r, self.orders + 1)
        b = np.empty((len(r), self.orders))
        b[:, 0] = self.table(r, 1)[0]
        b[:, 1:] = d[:, : self.orders - 1] * self._root_inverse[1:] * r[:, None]
        return r, u, b, d


def true_stage_one(
    target: Polynomial, activation: Activation, time: float, a: np.ndarray, mass: np.ndarray
) -> np.ndarray:
    """w(a, T) of the true first stage (a fixed, the network's own output in the residual) at nodes a (M,): (M, p).

    DOP853 at a relative tolerance of 1e-12; the Hermite orders are doubled until the last ones carry less than 1e-24 of
    the network's energy.
    """
    orders, rho = max(24, target.degree + 4), np.zeros(len(a))
    while True:
        # With a kink the averages of a table are as good as any, and much faster.
        field = (LimitField if activation.breakpoints else DirectField)(target, activation, orders)

        def rate(_: float, y: np.ndarray, field: LimitField = field) -> np.ndarray:
            return field.evaluate(a, y.reshape(len(a), -1), rho, mass)[1].ravel()

        solver = DOP853(rate, 0.0, np.zeros(len(a) * target.p), time, rtol=1e-12, atol=1e-14)
        while solver.status == "running":
            with np.errstate(over="ignore", invalid="ignore"):
                solver.step()
            size = float(np.abs(solver.y).max())
            if solver.status == "failed" or not size < 60 or solver.nfev > 20_000:
                raise DivergenceError(
                    f"the first stage of {activation} runs away near time {solver.t:.4g} (|w| = {size:.3g}): stop "
                    "earlier, or take a bounded activation",
                    float(solver.t),
                )
        w = solver.y.reshape(len(a), -1)
        spectrum = field.spectrum(a, w, rho, mass)
        if orders >= 96 or spectrum[-4:].max() <= 1e-24 * max(spectrum.sum(), 1e-30):
            return w
        orders *= 2
