r"""The exact population field of N neurons, in torch: two forms of the same truncated Hermite series.

With r_i = |w_i|, u_i = w_i/r_i and c_ij = u_i . u_j, and all averages over x ~ N(0, I):

* **pair form**: E[f sigma(w_i.x)] = (1/N) sum_j a_j sum_k B_k(r_i) B_k(r_j) c_ij^k. Its gradient in w_i is (Stein)
  u_i sum_k sqrt(k+1) D_{k+1}(r_i) S_k(i) + (1/N) sum_j a_j w_j sum_k D_k(r_i) D_k(r_j) c_ij^k, with
  S_k(i) = (1/N) sum_j a_j B_k(r_j) c_ij^k: the matrix in the second sum is symmetric, so half the blocks are formed.
  Cost about N^2 (K + m).
* **Hermite form**: f has the Hermite coefficients F_alpha = (1/N) sum_i a_i phi_alpha(w_i), with
  phi_alpha(w) = B_|alpha|(r) sqrt(|alpha|!/alpha!) u^alpha, and the loss is 1/2 sum (F_alpha - h_alpha)^2.
  Cost about N C(K-1+m, m): the better one in few dimensions m.

Both keep the orders k < K, exactly: each is the gradient of the loss so truncated. Neither depends on p.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb, lgamma
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from ..errors import InputError
from ..polynomial import Polynomial
from ._limit_field import TargetForms
from ._profiles import Profiles

__all__ = ["Field", "HermiteForm", "PairForm", "choose_form", "predicted_cost"]


class Field(NamedTuple):
    """What one evaluation gives: the residual's correlations and the loss of the truncated series."""

    a: torch.Tensor  # (N,)  E[(f - f*) sigma(w_i.x)]
    w: torch.Tensor  # (N, m)  a_i E[(f - f*) sigma'(w_i.x) x]
    loss: float
    spectrum: np.ndarray  # (K,)  |F_k|^2, the squared norm of the order-k part of f


class _Form:
    """What the two forms share: the target's part, and the split of a weight into length and direction."""

    def __init__(self, target: Polynomial, profiles: Profiles, orders: int):
        self.profiles, self.orders = profiles, orders
        self.forms = TargetForms(target)
        self.p = target.p
        device = profiles.device
        self._exponents = torch.as_tensor(np.asarray(self.forms.exponents), dtype=torch.int64, device=device)
        self._matrix = torch.as_tensor(self.forms.matrix, dtype=torch.float64, device=device)
        k = torch.arange(orders, dtype=torch.float64, device=device)
        self._up, self._down = (k + 1).sqrt(), k.sqrt()

    def _polar(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        r = torch.linalg.vector_norm(w, dim=1)
        return r, w / torch.where(r > 0, r, 1.0)[:, None]  # any direction serves at r = 0

    def _target(self, u: torch.Tensor, b: torch.Tensor, d: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Psi_i = E[f* sigma(w_i.x)] (N,) and its gradient in w_i (N, m)."""
        degree, p = self.forms.degree, self.p
        gradient = torch.zeros_like(u)
        if not len(self._exponents):
            return torch.zeros_like(b[:, 0]), gradient
        powers = u[:, None, :p] ** torch.arange(degree + 1, dtype=u.dtype, device=u.device)[None, :, None]
        monomials = torch.ones(len(u), len(self._exponents), dtype=u.dtype, device=u.device)
        for i in range(p):
            monomials *= powers[:, :, i].index_select(1, self._exponents[:, i])
        values = (monomials @ self._matrix).view(len(u), degree + 1, p + 1)
        psi = (b[:, : degree + 1] * values[:, :, 0]).sum(1)
        gradient = ((self._up[: degree + 1] * d[:, 1 : degree + 2] * values[:, :, 0]).sum(1))[:, None] * u
        if degree:
            lower = self._down[1 : degree + 1] * d[:, :degree]
            gradient[:, :p] += torch.einsum("nk,nki->ni", lower, values[:, 1:, 1:])
        return psi, gradient


class PairForm(_Form):
    """The field through the pair kernel, blocked over pairs of neurons (module docstring)."""

    # Elements of a block: four arrays of it stay in the cache; on a GPU launches must be few.
    block_elements: ClassVar = {"cpu": 1 << 17, "cuda": 1 << 22}

    def _pair_sums(self, a, u, b, d, aw):
        """S (N, K) and, unless ``aw`` = a w/N is None, sum_j aw_j sum_k D_k(r_i) D_k(r_j) c_ij^k, (N, m)."""
        gradient = aw is not None
        n, orders = len(a), self.orders
        rows = min(n, max(32, int(self.block_elements[u.device.type] ** 0.5)))
        weighted = a[:, None] * b / n  # (N, K)
        live_b = [bool(x) for x in (b.abs().amax(0) > 0).tolist()]
        live_d = [bool(x) for x in (d[:, :orders].abs().amax(0) > 0).tolist()]
        # H of the truncated loss: orders k of the loss pair with D_{k-1}, so H ends at order K - 2.
        live_d[orders - 1] = False
        columns_w, columns_d = weighted.T.contiguous(), d.T.contiguous()  # a column of these is one stretch of memory
        s = torch.zeros(orders, n, dtype=u.dtype, device=u.device)
        pull = torch.zeros_like(u) if gradient else None
        last = max([k for k in range(orders) if live_b[k] or (gradient and live_d[k])], default=0)
        starts = range(0, n, rows)
        for first in starts:
            i = slice(first, min(first + rows, n))
            for second in range(first, n, rows):
                j = slice(second, min(second + rows, n))
                c = u[i] @ u[j].T
                power = torch.ones_like(c)
                h = torch.zeros_like(c) if gradient else None
                work = torch.empty_like(c)
                for k in range(last + 1):
                    if k:
                        power.mul_(c)
                    if live_b[k]:
                        s[k, i].addmv_(power, columns_w[k, j])
                        if second > first:
                            s[k, j].addmv_(power.T, columns_w[k, i])
                    if gradient and live_d[k]:
                        torch.mul(power, columns_d[k, j], out=work)
                        h.addcmul_(work, columns_d[k, i, None])
                if gradient:
                    pull[i].addmm_(h, aw[j])
                    if second > first:
                        pull[j].addmm_(h.T, aw[i])
        return s.T, pull

    def field(self, a: torch.Tensor, w: torch.Tensor) -> Field:
        r, u = self._polar(w)
        b, d = self.profiles(r, self.orders)
        s, pull = self._pair_sums(a, u, b, d, a[:, None] * w / len(a))
        psi, psi_gradient = self._target(u, b, d)
        output = (b * s).sum(1)  # E[f sigma(w_i.x)]
        radial = (self._up * d[:, 1:] * s).sum(1)
        gradient = radial[:, None] * u + pull - psi_gradient
        loss = self.forms.half_square + float(torch.mean(a * (0.5 * output - psi)))
        return Field(output - psi, a[:, None] * gradient, loss, self._spectrum(a, b, s))

    def loss(self, a: torch.Tensor, w: torch.Tensor) -> tuple[float, np.ndarray]:
        """The loss and the spectrum alone, at about half the cost."""
        r, u = self._polar(w)
        b, d = self.profiles(r, self.orders)
        s, _ = self._pair_sums(a, u, b, d, None)
        psi, _ = self._target(u, b, d)
        loss = self.forms.half_square + float(torch.mean(a * (0.5 * (b * s).sum(1) - psi)))
        return loss, self._spectrum(a, b, s)

    @staticmethod
    def _spectrum(a, b, s) -> np.ndarray:
        return torch.clamp((a[:, None] * b * s).mean(0), min=0.0).cpu().numpy()


class HermiteForm(_Form):
    """The field through the Hermite coefficients of f in m variables (module docstring)."""

    block_elements = 1 << 22  # of the monomials of a block of neurons: 32 MiB

    def __init__(self, target: Polynomial, profiles: Profiles, orders: int, dimension: int):
        super().__init__(target, profiles, orders)
        self.dimension = dimension
        index = _graded_index(dimension, orders)
        device = profiles.device
        self._scale = [torch.as_tensor(x, device=device) for x in index.scale]
        self._place = [torch.as_tensor(x, device=device) for x in index.place]
        self._factor = [torch.as_tensor(x, device=device) for x in index.factor]
        self._target_coefficients = [torch.zeros_like(x) for x in self._scale]
        for alpha, value in target.hermite_coefficients.items():
            alpha = tuple(alpha) + (0,) * (dimension - len(alpha))
            norm = np.exp(0.5 * sum(lgamma(x + 1) for x in alpha))  # h = sum d He = sum d sqrt(alpha!) he
            self._target_coefficients[sum(alpha)][index.position[alpha]] = float(value) * norm

    def _monomials(self, u: torch.Tensor) -> list[torch.Tensor]:
        """u^alpha, one tensor (N, n_k) a degree k, graded lexicographic: each degree is made from the one before."""
        blocks = [torch.ones(len(u), 1, dtype=u.dtype, device=u.device)]
        m = self.dimension
        for k in range(1, self.orders):
            parts = []
            for i in range(m):
                tail = comb(k - 1 + m - 1 - i, m - 1 - i)  # monomials of degree k-1 in the variables i, i+1, ...
                parts.append(u[:, i : i + 1] * blocks[-1][:, blocks[-1].shape[1] - tail :])
            blocks.append(torch.cat(parts, dim=1))
        return blocks

    def _neuron_blocks(self, n: int) -> list[slice]:
        size = max(1, self.block_elements // sum(len(x) for x in self._scale))
        return [slice(first, min(first + size, n)) for first in range(0, n, size)]

    def exponents(self) -> list[tuple[int, ...]]:
        """The multi-indices alpha in the order of the coefficients."""
        return list(_graded_index(self.dimension, self.orders).position)

    def coefficients(self, a, u, b) -> tuple[list[torch.Tensor], list[torch.Tensor] | None]:
        """(F_alpha, one tensor a degree; the monomials if they were made in one block, else None)."""
        blocks = self._neuron_blocks(len(a))
        totals = [torch.zeros_like(x) for x in self._scale]
        monomials = None
        for i in blocks:
            monomials = self._monomials(u[i])
            weights = (a[i, None] * b[i]).T.contiguous()
            for total, block, weight in zip(totals, monomials, weights):
                total.addmv_(block.T, weight)
        kept = monomials if len(blocks) == 1 else None  # one block: the second pass reuses them
        return [scale * total / len(a) for scale, total in zip(self._scale, totals)], kept

    def loss_of(self, coefficients) -> tuple[float, list[torch.Tensor], np.ndarray]:
        residual = [f - h for f, h in zip(coefficients, self._target_coefficients)]
        loss = 0.5 * float(sum(torch.sum(x * x) for x in residual))
        return loss, residual, torch.stack([torch.sum(x * x) for x in coefficients]).cpu().numpy()

    def field(self, a: torch.Tensor, w: torch.Tensor) -> Field:
        r, u = self._polar(w)
        b, d = self.profiles(r, self.orders)
        coefficients, kept = self.coefficients(a, u, b)
        loss, residual, spectrum = self.loss_of(coefficients)
        slopes = [  # of P_k(u) = sum_alpha residual_alpha sqrt(k!/alpha!) u^alpha, as coefficients of degree k-1
            factor * (scale * part)[place]
            for factor, scale, part, place in zip(self._factor, self._scale[1:], residual[1:], self._place)
        ]
        value = b[:, 0] * residual[0][0]
        radial = d[:, 1] * residual[0][0]
        gradient = torch.zeros_like(u)
        k = torch.arange(1, self.orders, dtype=u.dtype, device=u.device)
        for i in self._neuron_blocks(len(a)):
            monomials = kept if kept is not None else self._monomials(u[i])
            slope = torch.empty(self.orders - 1, *u[i].shape, dtype=u.dtype, device=u.device)
            for block, coefficient, out in zip(monomials, slopes, slope):
                torch.mm(block, coefficient, out=out)  # (N, m), the gradient of P_k
            form = torch.einsum("kni,ni->nk", slope, u[i]) / k  # Euler: P_k itself
            value[i] += (form * b[i, 1:]).sum(1)
            radial[i] += (form * d[i, 2:] * (k + 1).sqrt()).sum(1)
            gradient[i] = torch.einsum("kni,nk->ni", slope, d[i, : self.orders - 1] / k.sqrt())
        gradient += radial[:, None] * u
        return Field(value, a[:, None] * gradient, loss, spectrum)

    def loss(self, a: torch.Tensor, w: torch.Tensor) -> tuple[float, np.ndarray]:
        r, u = self._polar(w)
        b, _ = self.profiles(r, self.orders)
        loss, _, spectrum = self.loss_of(self.coefficients(a, u, b)[0])
        return loss, spectrum


class _GradedIndex(NamedTuple):
    position: dict[tuple[int, ...], int]  # of alpha within its degree
    scale: list[np.ndarray]  # sqrt(k!/alpha!)
    place: list[np.ndarray]  # (n_{k-1}, m): where beta + e_l is in degree k
    factor: list[np.ndarray]  # (n_{k-1}, m): beta_l + 1


@lru_cache(maxsize=8)
def _graded_index(m: int, orders: int) -> _GradedIndex:
    degree: list[tuple[int, ...]] = [(0,) * m]
    degrees = [degree]
    for k in range(1, orders):
        parts = []
        for i in range(m):
            tail = comb(k - 1 + m - 1 - i, m - 1 - i)
            parts += [x[:i] + (x[i] + 1,) + x[i + 1 :] for x in degree[len(degree) - tail :]]
        degree = parts
        degrees.append(degree)
    position: dict[tuple[int, ...], int] = {}
    scale, place, factor = [], [], []
    for k, block in enumerate(degrees):
        position |= {alpha: i for i, alpha in enumerate(block)}
        array = np.array(block, dtype=np.int64).reshape(len(block), m)
        logs = np.array([lgamma(x + 1) for x in range(k + 1)])
        scale.append(np.exp(0.5 * (lgamma(k + 1) - logs[array].sum(1))))
    for block in degrees[:-1]:
        place.append(np.array([[position[x[:i] + (x[i] + 1,) + x[i + 1 :]] for i in range(m)] for x in block]))
        factor.append(np.array(block, dtype=np.float64).reshape(len(block), m) + 1.0)
    return _GradedIndex(position, scale, place, factor)


def predicted_cost(neurons: int, dimension: int, orders: int) -> tuple[float, float]:
    """Predicted seconds a field on one CPU thread, (pair form, Hermite form); only their ratio is used."""
    pair = neurons**2 * (0.7e-9 * orders + 0.9e-10 * dimension) + 3e-5 * orders
    features = comb(orders - 1 + dimension, dimension) if dimension < 12 else float("inf")
    return pair, neurons * (features * (2.0e-9 + 0.4e-9 * dimension) + 3e-8 * orders) + 5e-5 * orders


def choose_form(target: Polynomial, profiles: Profiles, orders: int, neurons: int, dimension: int, form: str = "auto"):
    """The cheaper of the two forms by :func:`predicted_cost`, or the one named."""
    pair, hermite = predicted_cost(neurons, dimension, orders)
    if form == "hermite" and comb(orders - 1 + dimension, dimension) > 100_000:
        raise InputError(
            f'form="hermite" would need {comb(orders - 1 + dimension, dimension):.1e} Hermite coefficients in '
            f'{dimension} dimensions: use form="pair" or "auto"'
        )
    if form == "hermite" or (form == "auto" and hermite <= pair):
        return HermiteForm(target, profiles, orders, dimension)
    return PairForm(target, profiles, orders)
