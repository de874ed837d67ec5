r"""How many Hermite orders a population field keeps, and what the orders left out are worth.

The truncated flow is the exact gradient flow of the loss without the orders k >= K of f, so what it misses is of the
size of the energy in them, T_K = 1/2 sum_{k>=K} |F_k|^2. T_K is estimated from |F_k|^2 at the last orders kept and from
the profile bound |F_k| <= A_k = mean_i |a_i B_k(r_i)|, which is cheap at every order: F_k^2/A_k^2 is an average of k-th
powers of cosines with the signs of a, which falls with k but for small swings, so the largest of the last ratios kept,
times the sum of A_k^2 over the orders left out (twice what the ratio says), is an upper estimate. Checked in the tests
against longer series.
"""

from __future__ import annotations

import numpy as np
import torch

from ..errors import ToleranceError
from ..polynomial import Polynomial
from ._kernels import Field, choose_form
from ._profiles import ORDERS, Profiles

__all__ = ["ORDER_LIMIT", "Truncation"]

ORDER_LIMIT = 192  # the most orders a run keeps; the estimate looks at up to 256
_WINDOW = 6  # how many of the last orders kept give the ratio (two would see only one parity)


class Truncation:
    """A field with as many orders as a bound on T_K asks for: call :meth:`field`, and :meth:`settle` now and then."""

    def __init__(
        self, target: Polynomial, profiles: Profiles, neurons: int, dimension: int, bound: float, form: str = "auto"
    ):
        self.target, self.profiles, self.bound, self._form = target, profiles, bound, form
        self.neurons, self.dimension = neurons, dimension
        self.mend = "use an activation without a kink"
        self.set_orders(max(12, target.degree + 2))

    def set_orders(self, orders: int) -> None:
        self.orders = orders
        self.form = choose_form(self.target, self.profiles, orders, self.neurons, self.dimension, self._form)

    def field(self, a: torch.Tensor, w: torch.Tensor) -> Field:
        return self.form.field(a, w)

    def remainder(self, a: torch.Tensor, w: torch.Tensor, spectrum: np.ndarray) -> np.ndarray:
        """Estimates of T_K for K = orders, orders + 1, ...: the first entry belongs to the orders now in use."""
        r = torch.linalg.vector_norm(w, dim=1)
        looked_at = next((size for size in ORDERS if size >= 1.5 * self.orders), ORDERS[-1])
        while True:
            b, _ = self.profiles(r, looked_at)
            bound = torch.mean((a[:, None] * b).abs(), dim=0).cpu().numpy() ** 2  # A_k^2
            beyond, kept = bound[self.orders :], slice(self.orders - _WINDOW, self.orders)
            with np.errstate(invalid="ignore", divide="ignore"):
                ratios = np.where(bound[kept] > 0, spectrum[kept] / bound[kept], 0.0)
            ratio = min(0.5, float(np.max(ratios, initial=0.0)))
            if not np.any(ratios):  # nothing to learn from at this state (all w = 0, say): the plain bound
                ratio = 0.5
            last, before = float(beyond[-8:].sum()), float(beyond[-16:-8].sum())
            fall = min(last / before, 0.99) if before > 0 else 0.0
            rest = 2 * last * fall / (1 - fall)  # the orders not looked at, as a geometric series in groups of eight
            tails = ratio * (np.cumsum(beyond[::-1])[::-1] + rest)
            if looked_at == ORDERS[-1] or ratio * rest < 0.01 * self.bound:
                return tails
            looked_at = next(size for size in ORDERS if size > looked_at)

    def settle(self, a: torch.Tensor, w: torch.Tensor, time: float) -> float:
        """Raise the orders until T_K at the network (a, w) is below the bound; the estimate then.

        ToleranceError where :data:`ORDER_LIMIT` orders do not suffice.
        """
        return self.settled_loss(a, w, f"at time {time:.4g} ")[1]

    def settled_loss(self, a: torch.Tensor, w: torch.Tensor, when: str = "") -> tuple[float, float]:
        """(loss, estimate of T_K) with as many orders as the bound asks for."""
        while True:
            loss, spectrum = self.form.loss(a, w)
            tails = self.remainder(a, w, spectrum)
            if tails[0] <= self.bound:
                return loss, float(tails[0])
            if self.orders >= ORDER_LIMIT:
                raise ToleranceError(
                    f"{when}the Hermite series of {self.profiles.activation} still misses about {tails[0]:.1e} of the "
                    f"loss with {self.orders} orders (allowed: {self.bound:.1e}): {self.mend}"
                )
            enough = np.flatnonzero(tails <= 0.2 * self.bound)  # with room, so that this happens rarely
            wanted = self.orders + int(enough[0]) if len(enough) else ORDER_LIMIT
            self.set_orders(min(max(wanted, self.orders + 4), ORDER_LIMIT))
