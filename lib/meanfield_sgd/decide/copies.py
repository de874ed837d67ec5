r"""Exact exponents of all eigenvalues of the kernel matrix, for any number of averaged copies, with or without feedback.

The features of c copies are :math:`u = \frac1c \sum_i w(a_i, T)`, power series in T whose coefficients are polynomials in
a_1, ..., a_c. Row operations over the ring of power series bring the monomials u^alpha, |alpha| <= n, to the form
T^{e_i} g_i with g_i linearly independent at T = 0; then the eigenvalues of the kernel matrix are of the orders T^{2 e_i}.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb, factorial
from typing import Any

import sympy as sp
from sympy import QQ

from .._exact import inverse, is_rational
from .._exact_input import exact
from ..errors import InputError
from ._jets import jet_of
from ._search import Search
from ._target import Target, as_activation, read_target
from .stage_one import MAX_ORDER, stage_one
from .taylor import whole_order

__all__ = ["CopyOrders", "copy_orders"]

Series = dict[tuple[int, ...], Any]  # {(power of T, powers of a_1, ..., a_c): coefficient}

_FIRST, _LAST, _STEP = 8, 24, 4  # of a search without a given order


@dataclass(frozen=True)
class CopyOrders:
    """Orders e_1 <= e_2 <= ... of c copies: the eigenvalues of the kernel matrix are of the order T^(2 e_i), T -> 0.

    Attributes:
        copies: c.
        monomials: m = C(n + p, p).
        orders: those up to ``searched``; c copies are nondegenerate for small T if there are m of them.
        exponent: 2 e_m, that of the least eigenvalue; None where fewer than m orders were found.
        searched: the last power of T that was looked at.
        feedback: whether the network's own output was kept.
    """

    copies: int
    monomials: int
    orders: tuple[int, ...]
    exponent: int | None
    searched: int
    feedback: bool

    def __str__(self) -> str:
        what = f"{self.copies} {'copy' if self.copies == 1 else 'copies'}, {'true first stage' if self.feedback else '(4.1)'}"
        if self.exponent is not None:
            return f"{what}: lambda_min ~ T^{self.exponent}, orders {list(self.orders)}"
        return f"{what}: {len(self.orders)} of {self.monomials} orders up to {self.searched}: {list(self.orders)}"


def copy_orders(
    h: Any,
    activation: Any,
    copies: int = 1,
    *,
    degree: int | None = None,
    order: int | None = None,
    feedback: bool = False,
) -> CopyOrders:
    r"""The orders of c averaged copies, exactly: :math:`\lambda_i \asymp T^{2 e_i}` as T -> 0.

    Args:
        h: a Polynomial or a text, exact, that depends on all of its variables.
        activation: one with derivatives at 0 that are rational (for ``feedback=False`` also sums of square roots, and all
            of them times one other number).
        copies: c, from 1 to 12. For c >= p and flow (4.1) the orders are the sums of at most n adapted orders.
        degree: n, the power of the second activation (1 + y)^n, from 1 to 20; default the degree of h.
        order: how far to expand; default until all m orders are found, at most 24.
        feedback: False: the flow (4.1). True: the true first stage with a uniform on [-1, 1] at rest.

    Raises:
        InputError: another activation, float targets, variables that do not occur, numbers out of range (``order`` at most
            24 with feedback), with feedback also targets that are not rational.

    The laws of a: compact and infinite support for (4.1), the uniform law with feedback. Orders that are found are exact;
    where some are missing, lambda_min = O(T^(2 (searched + 1))), and nothing more is proved.

    Source: this book, Is averaging needed?. Checked against row reduction in all the variables, against invariant factors
    from raw moments of the residual, and against measured slopes in multiple precision.
    """
    target = read_target(h)
    if not target.exact or target.support.dimension < target.p:
        raise InputError("copy_orders needs an exact target that depends on all of its variables: see minimal()")
    sigma = as_activation(activation)
    n = target.degree if degree is None else degree
    for name, value, most in (("copies", copies, 12), ("degree", n, 20)):
        if isinstance(value, bool) or not hasattr(value, "__index__") or not 1 <= value <= most:
            raise InputError(f"copy_orders: {name} must be a whole number from 1 to {most}, got {value!r:.40}")
    if not isinstance(feedback, bool):
        raise InputError(f"copy_orders: feedback must be True or False, got {feedback!r:.40}")
    last = _LAST if order is None else whole_order(order)
    if feedback and last > MAX_ORDER:
        raise InputError(f"copy_orders: with feedback the order is at most {MAX_ORDER}, got {last}")
    m = comb(n + target.p, target.p)
    upto = last if order is not None else min(_FIRST, last)
    while True:
        weights = _true(target, sigma, upto) if feedback else _curve(target, sigma, upto)
        found = _orders(_monomials(weights, copies, n, upto), upto)
        if len(found) == m or upto >= last:
            break
        upto = min(last, upto + _STEP)
    exponent = 2 * found[-1] if len(found) == m else None
    return CopyOrders(copies, m, tuple(found), exponent, upto, bool(feedback))


def _curve(target: Target, sigma: Any, order: int) -> list[dict[tuple[int, int], Any]]:
    """{(power of T, power of a): coefficient} of each component, up to scales that leave the orders alone.

    :class:`Search` gives j! c_j times alpha^j beta^(2j-1): tau and W are scaled, and with them nothing else.
    """
    jet, why = jet_of(sigma, order)
    if jet.generators or jet.arithmetic == "60 digits":
        raise InputError(f"copy_orders needs a jet of rationals and square roots; here: {jet.field_name}")
    if jet.order < order:
        raise InputError(why)
    search = Search(target, jet)
    found: list[dict[tuple[int, int], Any]] = [{} for _ in range(target.p)]
    for j in range(1, order + 1):
        for part, x in zip(found, search.step()):
            if x:
                part[j, j] = _number(x) * QQ(1, factorial(j))
    return found


def _true(target: Target, sigma: Any, order: int) -> list[dict[tuple[int, int], Any]]:
    a = sp.Symbol("a")
    found: list[dict[tuple[int, int], Any]] = [{} for _ in range(target.p)]
    for j, row in enumerate(stage_one(target.polynomial, sigma, order).coefficients, 1):
        for part, q in zip(found, row):
            for (e,), c in sp.Poly(q, a).terms():
                if not c.is_Rational:
                    raise InputError(
                        "copy_orders with feedback needs a target and derivatives at 0 that are rational, got "
                        f"{target.text:.60} and {sigma.text:.60}"
                    )
                if c:
                    part[j, e] = QQ(int(c.p), int(c.q))
    return found


def _number(x: Any) -> Any:
    return QQ.convert(x) if is_rational(x) else exact(x)


def _monomials(weights: list[dict[tuple[int, int], Any]], copies: int, n: int, order: int) -> list[Series]:
    """All u^alpha, |alpha| <= n, up to T^order. They are symmetric in the copies, so sorted powers say everything."""
    u: list[Series] = []
    for part in weights:
        terms: Series = {}
        for (j, e), c in part.items():
            for k in range(copies):
                key = (j, *(e if i == k else 0 for i in range(copies)))
                terms[key] = terms.get(key, 0) + c
        u.append(terms)
    one: Series = {(0,) * (copies + 1): QQ.one}
    known: dict[tuple[int, ...], Series] = {(): one}
    for k in range(1, n + 1):
        for places in combinations_with_replacement(range(len(u)), k):
            known[places] = _times(known[places[:-1]], u[places[-1]], order)
    return [{k: c for k, c in f.items() if list(k[1:]) == sorted(k[1:])} for f in known.values()]


def _times(f: Series, g: Series, order: int) -> Series:
    total: Series = {}
    for k, x in f.items():
        for l, y in g.items():
            if k[0] + l[0] <= order:
                key = tuple(map(sum, zip(k, l)))
                total[key] = total.get(key, 0) + x * y
    return {k: c for k, c in total.items() if c}


def _orders(rows: list[Series], order: int) -> list[int]:
    """Invariant factors over the power series in T: what cannot be cleared at T = 0 is found, the rest divided by T."""
    found: list[tuple[tuple[int, ...], Series]] = []
    result: list[int] = []
    for level in range(order + 1):
        rest = []
        for row in rows:
            for pivot, f in found:
                x = row.get(pivot)
                if x:
                    row = dict(row)
                    for k, y in f.items():
                        left = row.get(k, 0) - x * y
                        if left:
                            row[k] = left
                        else:
                            row.pop(k, None)
            row = {k: c for k, c in row.items() if k[0] <= order - level}  # beyond, it is not known
            head = next((k for k in row if not k[0]), None)
            if head is None:
                rest.append({(k[0] - 1, *k[1:]): c for k, c in row.items()})
            else:
                factor = inverse(row[head])
                found.append((head, {k: c * factor for k, c in row.items()}))
                result.append(level)
        rows = rest
    return result
