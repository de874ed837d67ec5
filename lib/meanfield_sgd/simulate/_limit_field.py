r"""The right-hand side of the mean-field flow on a finite set of nodes, through the pair kernel in D-form.

A node is (a, w, rho) with mass m: a second-layer weight, the part w = w_V in R^p of its weight vector inside V, and the
norm rho of the part outside V. In the limit d = infinity two different nodes have orthogonal outside parts, so only w
enters dot products and rho enters the radius :math:`r^2=|w|^2+\rho^2` alone. With u = w/r (its norm is below 1 when rho > 0),

.. math::
   \Psi(w)=E[h^*\sigma]=\sum_kB_k(r)\,T_k[u^k],\quad T_k=C_k/\sqrt{k!},\qquad
   E[f\sigma]=\sum_kB_k(r)\sum_jm_ja_jB_k(r_j)(u\cdot u_j)^k,

and the gradient in w of :math:`B_k(r)Q[u^k]` is
:math:`\sqrt{k+1}D_{k+1}(r)Q[u^k]\,u+\sqrt kD_{k-1}(r)\,Q[u^{k-1},\cdot]`: no division by r, no derivative of sigma'.
"""

from __future__ import annotations

from math import factorial

import numpy as np

from ..polynomial import Polynomial
from .hermite import shared_table

__all__ = ["LimitField", "TargetForms"]


class TargetForms:
    r"""Fast evaluation of :math:`T_k[u^k]` and :math:`T_k[u^{k-1},\cdot]`, k = 0 ... n, at many u (N, p).

    In multi-index form :math:`T_k[u^k]=\sum_{|\alpha|=k}\sqrt{k!}\,d_\alpha u^\alpha` with the Hermite coefficients
    :math:`d_\alpha` of the target (:math:`C_k(e^\alpha)=\alpha!\,d_\alpha`), and
    :math:`T_k[u^{k-1},\cdot]` is its gradient divided by k.
    """

    def __init__(self, target: Polynomial):
        self._setup({tuple(alpha): float(d) for alpha, d in target.hermite_coefficients.items()}, target.p)

    @classmethod
    def of_coefficients(cls, coefficients: dict[tuple[int, ...], float], p: int) -> TargetForms:
        """The same for a polynomial given by its Hermite coefficients d_alpha, floats."""
        self = cls.__new__(cls)
        self._setup(coefficients, p)
        return self

    def _setup(self, coefficients: dict[tuple[int, ...], float], p: int) -> None:
        self.p, self.degree = p, max(map(sum, coefficients), default=0)
        self.half_square = 0.5 * sum(
            d * d * np.prod([float(factorial(i)) for i in alpha]) for alpha, d in coefficients.items()
        )
        rows: dict[tuple[int, ...], int] = {}
        entries = []  # (monomial row, output column, coefficient)
        for alpha, d in coefficients.items():
            k = sum(alpha)
            scale = np.sqrt(float(factorial(k))) * d
            entries.append((rows.setdefault(alpha, len(rows)), k * (p + 1), scale))
            for i in range(p):
                if alpha[i]:
                    lower = alpha[:i] + (alpha[i] - 1,) + alpha[i + 1 :]
                    entries.append((rows.setdefault(lower, len(rows)), k * (p + 1) + 1 + i, scale * alpha[i] / k))
        self.exponents = np.array(list(rows), dtype=np.intp).reshape(len(rows), p)
        self._rows = self.exponents * p + np.arange(p)  # rows of the flattened table of powers, (U, p)
        self.matrix = np.zeros((len(rows), (self.degree + 1) * (p + 1)))
        for row, column, value in entries:
            self.matrix[row, column] += value

    def __call__(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T_k[u^k], T_k[u^(k-1), .]) with shapes (N, n+1) and (N, n+1, p)."""
        n = len(u)
        if not len(self.exponents):
            return np.zeros((n, 1)), np.zeros((n, 1, self.p))
        powers = np.empty((self.degree + 1, self.p, n))
        powers[0] = 1.0
        for k in range(1, self.degree + 1):
            np.multiply(powers[k - 1], u.T, out=powers[k])
        factors = powers.reshape(-1, n).take(self._rows, axis=0)  # (U, p, N)
        out = (np.multiply.reduce(factors, axis=1).T @ self.matrix).reshape(n, self.degree + 1, self.p + 1)
        return out[:, :, 0], out[:, :, 1:]


class LimitField:
    """Field and energy of the mean-field flow for one target, one activation and one truncation K of the kernel.

    ``evaluate(a, w, rho, mass)`` gives ``(a_dot, w_dot, rho_dot, loss)`` at unit learning rates, shapes (N,), (N, p),
    (N,), scalar. Cost about 2 N^2 K (p + 2) multiplications.
    """

    def __init__(self, target: Polynomial, activation, orders: int):
        self.forms = TargetForms(target)
        # The kernel must at least carry every order of the target.
        self.orders = max(orders, self.forms.degree + 2)
        table_orders = 64
        while table_orders < self.orders:
            table_orders *= 2
        self.table = shared_table(activation, table_orders)
        k = np.arange(self.orders)
        self._root = np.sqrt(np.maximum(k, 1.0))
        self._root_inverse = 1.0 / self._root
        self._root_up = np.sqrt(k + 1.0)
        self._work: np.ndarray | None = None
        self._right: np.ndarray | None = None

    def profiles(self, w: np.ndarray, rho: np.ndarray):
        """(r, u, B, D) at the nodes: (N,), (N, p), (N, K), (N, K+1)."""
        r = np.sqrt(np.add.reduce(w * w, axis=1) + rho * rho)
        u = w / np.maximum(r, 1e-300)[:, None]
        b0, d = self.table(r, self.orders)
        b = np.empty((len(r), self.orders))
        b[:, 0] = b0
        np.multiply(d[:, : self.orders - 1], self._root_inverse[1:], out=b[:, 1:])
        b[:, 1:] *= r[:, None]
        return r, u, b, d

    def _powers(self, u: np.ndarray) -> np.ndarray:
        """All powers of the matrix of cosines u_i . u_j, shape (K, N, N), in a work array that is kept."""
        n = len(u)
        if self._work is None or self._work.shape[1] != n:
            self._work = np.empty((self.orders, n, n))
            self._work[0] = 1.0
        work = self._work
        np.matmul(u, u.T, out=work[1])
        known = 1  # powers 1 ... known are done; doubling takes a few large products instead of K small ones
        while known < self.orders - 1:
            step = min(known, self.orders - 1 - known)
            np.multiply(work[1 : step + 1], work[known], out=work[known + 1 : known + step + 1])
            known += step
        return work

    def evaluate(self, a: np.ndarray, w: np.ndarray, rho: np.ndarray, mass: np.ndarray):
        """The field and the loss; see the class."""
        n, p = w.shape
        orders, degree = self.orders, self.forms.degree
        r, u, b, d = self.profiles(w, rho)
        powers = self._powers(u)
        weight = b.T * (mass * a)  # (K, N): m_j a_j B_k(r_j)
        if self._right is None or self._right.shape[1:] != (n, p + 1):
            self._right = np.zeros((orders, n, p + 1))
        right = self._right
        right[:, :, 0] = weight
        np.multiply(weight[1:, :, None], u, out=right[:-1, :, 1:])
        sums = np.matmul(powers, right)  # (K, N, p+1)
        scalar = sums[:, :, 0].T  # (N, K): sum_j m_j a_j B_jk c_ij^k
        vector = sums[:-1, :, 1:]  # (K-1, N, p): order k = 1 ... K-1 with c^(k-1) u_j
        value, slope = self.forms(u)
        network = np.add.reduce(b * scalar, axis=1)
        psi = np.add.reduce(b[:, : degree + 1] * value, axis=1)
        loss = self.forms.half_square - mass @ (a * (psi - 0.5 * network))
        rest = -scalar
        rest[:, : degree + 1] += value
        radial = (rest * d[:, 1 : orders + 1]) @ self._root_up
        lead = d[:, : orders - 1] * self._root[1:]  # sqrt(k) D_(k-1), k = 1 ... K-1
        tangent = np.add.reduce(lead[:, :degree, None] * slope[:, 1:], axis=1)
        tangent -= np.add.reduce(lead.T[:, :, None] * vector, axis=0)
        w_dot = a[:, None] * (u * radial[:, None] + tangent)
        rho_dot = a * (rho / np.maximum(r, 1e-300)) * radial
        return psi - network, w_dot, rho_dot, loss

    def spectrum(self, a: np.ndarray, w: np.ndarray, rho: np.ndarray, mass: np.ndarray) -> np.ndarray:
        r"""The energy of f in each Hermite order, :math:`|F_k|^2=\sum_{ij}m_ia_iB_{ik}c_{ij}^kB_{jk}a_jm_j`, shape (K,)."""
        _, u, b, _ = self.profiles(w, rho)
        weight = ((mass * a)[:, None] * b).T
        return np.maximum(np.einsum("ki,kij,kj->k", weight, self._powers(u), weight), 0.0)
