r"""The kernel matrix of the second stage, and its spectrum to as many digits as it takes.

In the orthonormal Hermite basis :math:`p_\alpha=He_\alpha/\sqrt{\alpha!}` of the polynomials of degree at most n on V,
the second activation :math:`\hat\sigma(y)=(1+y)^n` with features u has the coefficients

.. math::
   \varphi_\alpha(u)=E_z[p_\alpha(z)(1+u\cdot z)^n]=\frac{u^\alpha}{\sqrt{\alpha!}}\,\frac{n!}{(n-k)!}
   \sum_i\binom{n-k}{2i}(2i-1)!!\,|u|^{2i},\qquad k=|\alpha|,

and training the output weights moves the residual's coefficients by :math:`\dot r=-\xi_aKr` with
:math:`K_{\alpha\beta}=E_u[\varphi_\alpha\varphi_\beta]`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import comb, factorial, prod
from typing import Any

import mpmath
import numpy as np

from ..errors import InputError
from ..polynomial import Polynomial
from ._common import read_count, read_target
from ._precise import context, monomials, shorter
from .features import FeatureLaw

__all__ = ["KernelMatrix", "kernel_matrix"]

_MOST = 126  # monomials: a symmetric eigenproblem of that size takes about half a minute in multiple precision
_CLOUD = 3000  # points beyond which the moments of a cloud are summed in float64


def second_coefficient(n: int, k: int, i: int) -> int:
    """n!/(n-k)! binom(n-k, 2i) (2i-1)!!, the coefficient of u^alpha |u|^(2i) (times sqrt(alpha!))."""
    return factorial(n) // factorial(n - k) * comb(n - k, 2 * i) * prod(range(1, 2 * i, 2))


def feature_polynomials(p: int, n: int) -> list[tuple[tuple[int, ...], dict[tuple[int, ...], int]]]:
    """[(alpha, {beta: c})]: sqrt(alpha!) phi_alpha(u) = sum c u^beta, whole numbers."""
    found = []
    for alpha in monomials(p, n):
        k = sum(alpha)
        terms: dict[tuple[int, ...], int] = {}
        for i in range((n - k) // 2 + 1):
            for beta in monomials(p, i):
                if sum(beta) == i:  # |u|^(2i) = sum i!/beta! u^(2 beta)
                    key = tuple(a + 2 * b for a, b in zip(alpha, beta))
                    many = factorial(i) // prod(map(factorial, beta))
                    terms[key] = terms.get(key, 0) + second_coefficient(n, k, i) * many
        found.append((alpha, terms))
    return found


def feature_map(u: np.ndarray, n: int) -> np.ndarray:
    """phi (N, m) at u (N, p), float64."""
    squares = np.sum(u * u, axis=1)
    columns = []
    for alpha in monomials(u.shape[1], n):
        k = sum(alpha)
        radial = sum(second_coefficient(n, k, i) * squares**i for i in range((n - k) // 2 + 1))
        columns.append(np.prod(u ** np.array(alpha), axis=1) * radial / np.sqrt(float(prod(map(factorial, alpha)))))
    return np.stack(columns, axis=1)


@dataclass(repr=False, eq=False)
class KernelMatrix:
    """K of :func:`kernel_matrix` with its spectrum.

    Attributes
    ----------
    matrix : (m, m) float64. exponents : the alpha of its rows.
    degree : n. copies : of the law. digits : the arithmetic's.
    eigenvalues : (m,) float64, ascending (each correct to float64 where it is resolved).
    lambda_min : the least eigenvalue, ``mpmath.mpf``.
    error : estimated relative error of ``lambda_min``.
    resolved : how many eigenvalues stand above what rounding and the features' own digits leave undetermined.
    """

    matrix: np.ndarray
    exponents: list[tuple[int, ...]]
    degree: int
    copies: int
    digits: int
    eigenvalues: np.ndarray
    lambda_min: Any
    error: float
    resolved: int
    law: FeatureLaw = field(repr=False)
    _ctx: Any = field(repr=False, default=None)
    _values: Any = field(repr=False, default=None)  # eigenvalues and eigenvectors in the context
    _vectors: Any = field(repr=False, default=None)
    _level: int = field(repr=False, default=0)  # of the law's nodes

    @property
    def size(self) -> int:
        """m = binom(n + p, p)."""
        return len(self.exponents)

    @property
    def condition_number(self) -> Any:
        """lambda_max / lambda_min, ``mpmath.mpf`` (infinite where ``lambda_min`` is not resolved)."""
        if not self.nondegenerate:
            return mpmath.inf
        return mpmath.mp.make_mpf((self._values[-1] / self._values[0])._mpf_)

    @property
    def nondegenerate(self) -> bool:
        """Whether all eigenvalues are positive as far as the arithmetic can tell."""
        return self.resolved == self.size

    def __repr__(self) -> str:
        least = f"lambda_min = {mpmath.nstr(self.lambda_min, 5)}"
        if not self.nondegenerate:
            floor = mpmath.nstr(mpmath.mp.make_mpf(self.floor._mpf_), 2)
            least = f"degenerate: {self.size - self.resolved} eigenvalue(s) below {floor}"
        return f"<KernelMatrix n={self.degree}, m={self.size}, {self.copies} cop{'y' if self.copies == 1 else 'ies'}: {least}>"

    @property
    def floor(self) -> Any:
        """What an eigenvalue must exceed to count as positive, ``mpmath.mpf``."""
        return mpmath.mp.make_mpf(_floor(self._ctx, self._values[-1], self.law)._mpf_)

    def coefficients(self, target: Polynomial | str) -> list[Any]:
        """The target in the orthonormal basis, sqrt(alpha!) d_alpha, for |alpha| <= n, in the kernel's arithmetic."""
        from ._precise import number

        target = read_target(target)
        if target.p != self.law.p:
            raise InputError(f"the target has {target.p} variables, the features of this kernel {self.law.p}")
        d = target.hermite_coefficients
        zero = self._ctx.zero
        return [
            number(self._ctx, d[a]) * self._ctx.sqrt(prod(map(factorial, a))) if a in d else zero
            for a in self.exponents
        ]

    def components(self, vector: list[Any]) -> list[Any]:
        """Components of a coefficient vector (m,) along the eigenvectors, ascending eigenvalues."""
        rows = range(self.size)
        return [self._ctx.fdot([(self._vectors[i, j], vector[i]) for i in rows]) for j in rows]

    def feature_map(self, u: Any) -> np.ndarray:
        r"""phi(u), (N, m) float64, at features u (N, p): the coefficients of (1 + u.z)^n in the orthonormal basis."""
        u = np.atleast_2d(np.asarray(u, dtype=np.float64))
        if u.ndim != 2 or u.shape[1] != self.law.p or not np.all(np.isfinite(u)):
            raise InputError(f"features must be finite, of shape (N, {self.law.p}), got shape {u.shape}")
        return feature_map(u, self.degree)

    def leverage(self, u: Any) -> np.ndarray:
        r""":math:`\varphi(u)^TK^{-1}\varphi(u)`, (N,), at features u (N, p); its mean over the law is m.

        Its supremum over the law says how many neurons it takes for the kernel matrix of a finite network to be at least
        half of K (matrix Chernoff bound), whatever lambda_min is. Infinite where K is degenerate.
        """
        phi = self.feature_map(u)
        if not self.nondegenerate:
            return np.full(len(phi), np.inf)
        ctx, m = self._ctx, self.size
        columns = [[self._vectors[i, j] / ctx.sqrt(self._values[j]) for i in range(m)] for j in range(m)]
        exact = float(self.eigenvalues[0]) < 1e-24 * float(self.eigenvalues[-1])  # where float64 would cancel
        if not exact:
            return np.sum((phi @ np.array([[float(x) for x in c] for c in columns]).T) ** 2, axis=1)
        rows = self._precise_features(u)
        return np.array([float(sum((ctx.fdot(row, c) ** 2 for c in columns), ctx.zero)) for row in rows])

    def _precise_features(self, u: Any) -> list[list[Any]]:
        """phi at the float64 numbers u, in the kernel's arithmetic."""
        ctx, table, found = self._ctx, feature_polynomials(self.law.p, self.degree), []
        for point in np.atleast_2d(np.asarray(u, dtype=np.float64)).tolist():
            powers: dict[tuple[int, ...], Any] = {}
            for alpha in monomials(self.law.p, self.degree):
                if any(alpha):
                    less, i = shorter(alpha)
                    powers[alpha] = powers[less] * ctx.mpf(point[i])
                else:
                    powers[alpha] = ctx.one
            found.append(
                [
                    sum((c * powers[b] for b, c in terms.items()), ctx.zero) / ctx.sqrt(prod(map(factorial, alpha)))
                    for alpha, terms in table
                ]
            )
        return found

    def null_polynomials(self) -> list[dict[tuple[int, ...], float]]:
        """Polynomials q of degree <= n, ``{beta: coefficient}``, with E q(u)^2 = the unresolved eigenvalues: q vanishes
        on the features. Largest coefficient 1; coefficients below 1e-9 are left out."""
        table = feature_polynomials(self.law.p, self.degree)
        found = []
        for j in range(self.size - self.resolved):
            q: dict[tuple[int, ...], Any] = {}
            for i, (alpha, terms) in enumerate(table):
                scale = self._vectors[i, j] / self._ctx.sqrt(prod(map(factorial, alpha)))
                for beta, c in terms.items():
                    q[beta] = q.get(beta, 0) + scale * c
            top = max(q.values(), key=abs)
            found.append({b: float(c / top) for b, c in q.items() if abs(c / top) > 1e-9})
        return found


def kernel_matrix(law: FeatureLaw, degree: int, *, digits: int | None = None) -> KernelMatrix:
    r"""The matrix :math:`K_{\alpha\beta}=E_u[\varphi_\alpha(u)\varphi_\beta(u)]`, \|alpha\|, \|beta\| <= n, and its spectrum.

    Parameters
    ----------
    law : a :class:`FeatureLaw`, from :func:`features` or made of points. Where its digits do not tell lambda_min from zero
        and the law can be had with more, it is.
    degree : n >= 1, the power of :math:`\hat\sigma(y)=(1+y)^n`; m = binom(n + p, p) at most 126.
    digits : of the arithmetic; default twice those of the features and 20 more, so that a lambda_min as small as
        :math:`10^{-2\,\mathrm{digits}}` of the features is still seen (its square root is what they determine).

    Returns
    -------
    KernelMatrix. The nodes in a are doubled until lambda_min moves by less than 1e-7 of itself, from 24 to at most 768;
    ``error`` is the last move, plus the effect of the features' own digits.

    Raises
    ------
    InputError for arguments and for m > 126.

    Source: Chen and Ge's second stage; the closed form of K is this book's, chapter *The sufficiency theorem*. Checked
    against Gauss-Hermite quadrature of its definition, and against 60-digit reference values down to 1e-23.
    """
    if not isinstance(law, FeatureLaw):
        raise InputError("law must be a FeatureLaw: features(...), or FeatureLaw(points)")
    n = read_count(degree, "degree")
    m = comb(n + law.p, law.p)
    if m > _MOST:
        raise InputError(f"degree {n} in {law.p} variables gives m = {m} monomials; at most {_MOST} are treated")
    given = digits
    digits = 2 * law.digits + 20 if digits is None else read_count(digits, "digits", 16)
    ctx = context(digits)
    # Fewer points than monomials are degenerate whatever the law is.
    level = next((k for k in range(law.levels) if len(law.rule(k).mass) ** law.copies >= 2 * m), law.levels)
    first, least = level, None
    while True:
        matrix = _matrix(law, n, ctx, level)
        values = ctx.eigsy(ctx.matrix(matrix), eigvals_only=True)
        found = values[0]
        floor = _floor(ctx, values[m - 1], law)
        change = ctx.inf if least is None else abs(found - least)
        least = found
        if level >= law.levels or (level > first and change <= 1e-7 * max(abs(found), floor)):
            break
        level += 1
    if found <= floor and law.sharper is not None and given is None:
        return kernel_matrix(law.sharper(), n)
    values, vectors = ctx.eigsy(ctx.matrix(matrix))
    values = [values[i] for i in range(m)]
    resolved = sum(1 for x in values if x > floor)
    if not law.levels:
        change = ctx.zero
    unseen = ctx.sqrt(floor / max(abs(found), floor)) * 1e-2
    return KernelMatrix(
        np.array([[float(x) for x in row] for row in matrix]),
        monomials(law.p, n), n, law.copies, digits,
        np.array([float(x) for x in values]),
        mpmath.mp.make_mpf(found._mpf_),
        float(min(ctx.one, change / max(abs(found), floor) + unseen)),
        resolved, law, ctx, values, vectors, level,
    )  # fmt: skip


def _floor(ctx: Any, largest: Any, law: FeatureLaw) -> Any:
    """Eigenvalues below this are not told from zero: rounding, and features uncertain by 10^-digits of themselves."""
    digits = 8 if law.copies > 1 and _is_cloud(law, 0) else law.digits  # moments in float64: K itself is rounded
    return largest * max(ctx.mpf(10) ** (6 - ctx.dps), ctx.mpf(10) ** (3 - 2 * digits))


def _is_cloud(law: FeatureLaw, level: int) -> bool:
    return len(law.rule(level).mass) > _CLOUD


def _cloud_matrix(law: FeatureLaw, n: int, ctx: Any) -> list[list[Any]]:
    """K of many points through the triangular factor of their features: its square root is what float64 rounds."""
    _, u, mass = law.rule(0)
    R = np.linalg.qr(np.sqrt(mass)[:, None] * feature_map(np.asarray(u), n), mode="r")
    rows = [[ctx.mpf(float(x)) for x in row] for row in R.T]
    return [[ctx.fdot(x, y) for y in rows] for x in rows]


def _matrix(law: FeatureLaw, n: int, ctx: Any, level: int) -> list[list[Any]]:
    cloud = _is_cloud(law, level)
    if cloud and law.copies == 1:
        return _cloud_matrix(law, n, ctx)
    moments = law.moments(2 * n, None if cloud else ctx, level=level)
    if cloud:
        moments = {alpha: ctx.mpf(float(x)) for alpha, x in moments.items()}
    table = feature_polynomials(law.p, n)
    roots = [ctx.sqrt(prod(map(factorial, alpha))) for alpha, _ in table]
    # First sum over one factor's monomials: rows[i][gamma] = E[sqrt(alpha!) phi_alpha u^gamma], |gamma| <= n.
    low = monomials(law.p, n)
    rows = [{g: sum((c * moments[_plus(b, g)] for b, c in terms.items()), ctx.zero) for g in low} for _, terms in table]
    matrix = [[ctx.zero] * len(table) for _ in table]
    for i, row in enumerate(rows):
        for j in range(i + 1):
            value = sum((c * row[b] for b, c in table[j][1].items()), ctx.zero) / (roots[i] * roots[j])
            matrix[i][j] = matrix[j][i] = value
    return matrix


def _plus(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(x + y for x, y in zip(a, b))
