r"""How singular the features of one copy are, and what averaging p copies buys: exact exponents of lambda_min.

The second stage of Chen and Ge's strategy is linear, with a kernel matrix equivalent to the second moments of the
monomials u^alpha, |alpha| <= n, of the features u. For one copy u = W(a T) runs along a curve; as T -> 0

.. math::

    \lambda_{\min} \asymp T^{2 v_{\max}} \ \text{(one copy)}, \qquad
    \lambda_{\min} \asymp T^{2 n\,o_p} \ \text{(average of p copies)},

with v_max the largest valuation in an echelon form of the power series W^alpha(tau), and o_p the largest valuation of
a linear form of W.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb
from typing import Any

from sympy import QQ

from .._exact import is_rational
from ..errors import InputError
from ._invariant import polynomial_field, stays_in
from ._jets import jet_of
from ._linear import ExactSpan
from ._search import Search
from ._series import Monomials
from ._target import as_activation, read_target
from .reflective import counting_orders, reach
from .taylor import whole_order

__all__ = ["AveragingExponents", "averaging_exponents"]


@dataclass(frozen=True)
class AveragingExponents:
    """Exact exponents of lambda_min as the training time T of the first stage tends to 0.

    Attributes:
        monomials: m = C(n + p, p), the number of monomials of degree at most n in p coordinates.
        valuations: of an echelon form of {W^alpha}, up to order ``searched``; one copy is nondegenerate exactly when
            there are m of them.
        one_copy: 2 v_max, or None where fewer than m valuations were found.
        singular: True where one copy is proved to be degenerate for every T (the curve lies on a hypersurface of degree
            at most n), False where it is not degenerate, None where the search ended without a proof.
        hypersurfaces: how many independent polynomials of degree at most n vanish on the curve to the order searched,
            where ``singular``.
        adapted: o_1 < ... < o_p, the valuations of linear forms; fewer than p where the Taylor condition fails.
        copies: 2 n o_p, for the average of p copies; None where the linear forms have fewer than p valuations.
        searched: the last order of the series.
    """

    monomials: int
    valuations: tuple[int, ...]
    one_copy: int | None
    singular: bool | None
    hypersurfaces: int
    adapted: tuple[int, ...]
    copies: int | None
    searched: int

    def __str__(self) -> str:
        one = f"T^{self.one_copy}" if self.one_copy is not None else "singular" if self.singular else "not found"
        many = f"T^{self.copies}" if self.copies is not None else "singular" if self.singular else "not found"
        return f"lambda_min: one copy {one}, averaged copies {many} (valuations {list(self.valuations)})"


def averaging_exponents(
    h: Any, activation: Any, *, degree: int | None = None, order: int | None = None
) -> AveragingExponents:
    """Exact exponents of lambda_min for one copy and for p averaged copies.

    Args:
        h: a Polynomial or a text, exact, that depends on all of its variables.
        activation: one whose jet at 0 is made of rationals and square roots, up to a common factor (tanh, sin, exp,
            polynomials, 3/5*sin(y) + 4/5*cos(y), ...).
        degree: n, the power of the second activation (1 + y)^n; default the degree of h.
        order: how far to expand; default until all m valuations are found, at most max(40, 3 m).

    Raises:
        InputError: another jet, float targets, variables that do not occur.

    Source: this book, The sufficiency theorem. Checked against measured slopes at high precision.
    """
    target = read_target(h)
    if not target.exact or len(target.support.rows) < target.p:
        raise InputError(
            "averaging_exponents needs an exact target that depends on all of its variables: see minimal()"
        )
    sigma = as_activation(activation)
    n = target.degree if degree is None else degree
    if isinstance(n, bool) or not hasattr(n, "__index__") or not 1 <= n <= 20:
        raise InputError(f"degree must be a whole number from 1 to 20, got {n!r:.40}")
    m = comb(n + target.p, target.p)
    most = max(40, 3 * m) if order is None else whole_order(order)
    jet, why = jet_of(sigma, most)
    if jet.generators or jet.arithmetic == "60 digits":
        raise InputError(f"averaging_exponents needs a jet of rationals and square roots; here: {jet.field_name}")
    if why and jet.order < most:
        most = jet.order
    return _exponents(target, sigma, jet, n, m, most)


def _exponents(target: Any, sigma: Any, jet: Any, n: int, m: int, most: int) -> AveragingExponents:
    search = Search(target, jet)
    keys = _sparse_keys(target.p, n)
    forms = [1 << 8 * i for i in range(target.p)]
    valuations: tuple[int, ...] = ()
    reached = 0
    block = max(8, min(m, most))
    while True:
        for _ in range(min(block, most - reached)):
            search.step()
            reached += 1
        rows = _series_rows(search.curve.W, target.p, keys, reached)
        span = ExactSpan(reached + 1, rows.values())
        valuations = tuple(span.pivots)
        if len(valuations) == m or reached >= most:
            break
        block = max(4, reached // 3)
    linear = tuple(ExactSpan(reached + 1, (rows[key] for key in forms)).pivots)
    complete = len(valuations) == m
    singular, count = (False, 0) if complete else _degenerate(target, sigma, keys, rows, reached, search)
    return AveragingExponents(
        m,
        valuations,
        2 * valuations[-1] if complete else None,
        singular,
        count,
        linear,
        2 * n * linear[-1] if len(linear) == target.p else None,
        reached,
    )


def _sparse_keys(p: int, n: int) -> list[int]:
    places = (c for k in range(n + 1) for c in combinations_with_replacement(range(p), k))
    return [sum(1 << 8 * i for i in c) for c in places]


def _series_rows(W: list[list[Any]], p: int, keys: list[int], reached: int) -> dict[int, list[Any]]:
    monomials = Monomials(p, set(keys))
    for j in range(reached + 1):
        monomials.extend(W, j)
    return {key: [QQ(x) if isinstance(x, int) else x for x in monomials.series[key]] for key in keys}


def _degenerate(
    target: Any, sigma: Any, keys: list[int], rows: dict[int, list[Any]], reached: int, search: Search
) -> tuple[bool | None, int]:
    """Polynomials that vanish on the curve to the order reached, and whether that is proved at all orders.

    The unit of the target and of the jet only changes the speed along the curve, not the curve as a set.
    """
    kernel = _relations(keys, rows, reached)
    if not kernel:
        return None, 0
    if reach(target, counting_orders(target, sigma, bias=False)).dimension < target.p:
        return True, len(kernel)  # the curve stays in a hyperplane
    field = polynomial_field(target, sigma)
    if field is None or not all(is_rational(c) for q in kernel for c in q.values()):
        return None, len(kernel)
    if _shrinks(target, sigma, keys, reached, len(kernel), search):
        return None, len(kernel)
    equations = stays_in(kernel, field)
    return (True if equations else None), len(kernel)


def _shrinks(target: Any, sigma: Any, keys: list[int], reached: int, count: int, search: Search) -> bool:
    """Whether half as many orders more leave fewer relations: then a proof that all of them hold need not be tried.

    Cheap, while the proof of something false can run through huge ideals.
    """
    further = reached + max(8, reached // 2)
    longer, _ = jet_of(sigma, further)
    if not search.extend(longer):
        search = Search(target, longer)
    while search.curve.order < min(further, longer.order):
        search.step()
    rows = _series_rows(search.curve.W, target.p, keys, search.curve.order)
    return len(keys) - ExactSpan(search.curve.order + 1, rows.values()).dimension < count


def _relations(keys: list[int], rows: dict[int, list[Any]], reached: int) -> list[dict[int, Any]]:
    """Linear relations among the rows, as polynomials ``{monomial: coefficient}``."""
    width = reached + 1
    augmented = [[*rows[key], *(QQ.one if i == j else QQ.zero for j in range(len(keys)))] for i, key in enumerate(keys)]
    span = ExactSpan(width + len(keys), augmented)
    found = []
    for pivot, row in zip(span.pivots, span.rows):
        if pivot >= width:
            found.append({key: c for key, c in zip(keys, row[width:]) if c})
    return found
