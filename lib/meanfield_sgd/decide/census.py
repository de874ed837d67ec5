r"""A census of random sparse targets: how far the Taylor coefficients span the subspace that can be reached at all."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ..activation import Activation
from ..errors import InputError
from ..polynomial import Polynomial
from ._jets import Jet
from ._linear import ExactSpan
from ._search import Search
from ._target import Target, as_activation, read_target
from .reflective import counting_orders, reach
from .taylor import span_of

__all__ = ["Census", "CensusRecord", "census", "chain_order"]

_PATIENCE = 10_000  # draws for one target


def chain_order(p: int, n: int) -> int:
    """1 + (n-1) + ... + (n-1)^(p-1): the least order of the chain z1 + He_{n-1}(z1) z2 + ... + He_{n-1}(z_{p-1}) z_p.

    For p <= 3 and a generic activation no target of degree n in p dimensions needs more; for p >= 4 that is open.

    Source: this book, The Taylor flow (proof for p <= 3) and The gap.
    """
    return sum((n - 1) ** i for i in range(p))


@dataclass(frozen=True)
class CensusRecord:
    """One target of a census.

    Attributes:
        target: the polynomial.
        p, degree: dimension of its support, and its degree.
        reached: dim U_*, over all orders that the activation has (u free).
        closed: dimension of the smallest subspace closed under the orders that count without a bias (K_sigma).
        span: dim span{c_1, c_2, ...}.
        order: the least s with span{c_1, ..., c_s} equal to it; 0 where it is {0}.
        proof: "bound" where the span is the closed subspace, "invariant set" where the curve is proved to stay in it,
            "" where it was found up to the order searched only.
    """

    target: Polynomial
    p: int
    degree: int
    reached: int
    closed: int
    span: int
    order: int
    proof: str

    @property
    def full(self) -> bool:
        """Whether the Taylor coefficients span U_*."""
        return self.span == self.reached


@dataclass(frozen=True, repr=False)
class Census:
    """The records of a census.

    Attributes:
        records: one a target, in the order in which they were drawn.
        activation: the activation, or None for a fresh random jet for each target.
        seed: of the draw.
    """

    records: tuple[CensusRecord, ...]
    activation: Activation | None
    seed: int

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        name = "a random jet each" if self.activation is None else self.activation.text
        return f"<Census of {len(self)} targets, {name}: span is U_* in {len(self) - len(self.exceptions)}>"

    @property
    def exceptions(self) -> tuple[CensusRecord, ...]:
        """The targets whose Taylor coefficients do not span U_*."""
        return tuple(record for record in self.records if not record.full)

    def rows(self) -> list[tuple[int, int, int, tuple[int, ...], int, int, int]]:
        """(p, n, targets, (how many with dim U_* = 0, ..., p), how many full, greatest order, :func:`chain_order`)."""
        found = []
        for p, n in sorted({(record.p, record.degree) for record in self.records}):
            here = [record for record in self.records if (record.p, record.degree) == (p, n)]
            reached = tuple(sum(record.reached == k for record in here) for k in range(p + 1))
            full = sum(record.full for record in here)
            found.append((p, n, len(here), reached, full, max(record.order for record in here), chain_order(p, n)))
        return found


def census(
    count: int = 2000,
    *,
    p: int | Sequence[int] = (2, 3, 4),
    degree: int | Sequence[int] = (2, 3, 4),
    terms: tuple[int, int] = (2, 6),
    size: int = 3,
    activation: Any = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Census:
    r"""Draw ``count`` sparse targets and compare :math:`\dim \mathrm{span}\{c_j\}` with :math:`\dim U_*`, exactly.

    A target is z1 plus a random number of Hermite monomials He_alpha, 1 <= \|alpha\| <= degree, with whole-number
    coefficients; targets that do not depend on all p directions, or are of a smaller degree, are drawn again. p and the
    degree are drawn from those given.

    Args:
        count: how many.
        p, degree: a whole number or several; p at most 6, the degree at most 8.
        terms: the least and the largest number of monomials drawn besides z1; one that is drawn twice counts once.
        size: coefficients are from -size to size, without 0.
        activation: None: each target has its own derivatives s_1, s_2, ..., whole numbers from -9 to 9 without 0, as a
            stand-in for a generic activation, and is searched to twice :func:`chain_order`. Or an Activation or a text,
            the same for all, searched as :func:`taylor_span` does.
        seed: the same seed draws the same targets, whatever the activation.
        progress: called with a line of text now and then.

    Raises:
        InputError: numbers out of range; an activation without derivatives at 0.

    Source: this book, The gap. Checked on its targets against the span of the coefficients that an independent expansion
    in raw moments gives.
    """
    dimensions, degrees = _several("p", p, 1, 6), _several("degree", degree, 1, 8)
    if not isinstance(terms, (tuple, list)) or len(terms) != 2:
        raise InputError(f"census: terms are (least, largest), got {terms!r:.40}")
    for name, value in (("count", count), ("size", size), ("terms", terms[0]), ("terms", terms[1])):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"census: {name} must be a whole number from 1 on, got {value!r:.40}")
    if terms[1] < terms[0]:
        raise InputError(f"census: terms are (least, largest), got {terms!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"census: seed must be a whole number from 0 on, got {seed!r:.40}")
    if progress is not None and not callable(progress):
        raise InputError(f"census: progress is a function of a line of text, got {progress!r:.40}")
    for k, n in product(dimensions, degrees):
        if k > 1 and (n == 1 or terms[1] * n < k - 1):
            why = "of degree 1 depend on one direction only" if n == 1 else f"with {terms[1]} terms are too small"
            raise InputError(f"census: targets in {k} variables of degree {n}: those {why}; change p, degree or terms")
    sigma = None if activation is None else as_activation(activation)
    draw, jets = random.Random(seed), random.Random(f"jets {seed}")
    records: list[CensusRecord] = []
    refused = 0
    while len(records) < count:
        target = _drawn(draw, dimensions, degrees, terms, size)
        if target is None:
            refused += 1
            if refused > _PATIENCE * (1 + len(records)):
                raise InputError(
                    "census: hardly any draw depends on all variables and has its degree; allow more terms"
                )
            continue
        records.append(_generic(target, jets) if sigma is None else _named(target, sigma))
        if progress is not None and len(records) % 100 == 0:
            progress(f"target {len(records)} of {count}")
    return Census(tuple(records), sigma, seed)


def _several(name: str, value: Any, low: int, high: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    if not values or any(isinstance(x, bool) or not isinstance(x, int) or not low <= x <= high for x in values):
        raise InputError(f"census: {name} must be whole numbers from {low} to {high}, got {value!r:.60}")
    return values


def _drawn(
    draw: random.Random, dimensions: Sequence[int], degrees: Sequence[int], terms: tuple[int, int], size: int
) -> Target | None:
    """One target, or None where the draw was not of its degree in all its variables."""

    def one(values: Sequence[Any]) -> Any:
        return values[draw.randrange(len(values))]

    p, n = one(dimensions), one(degrees)
    every = [a for a in product(range(n + 1), repeat=p) if 0 < sum(a) <= n]
    coefficients = {(1, *(0,) * (p - 1)): 1}
    for _ in range(draw.randrange(terms[0], terms[1] + 1)):
        coefficients.setdefault(one(every), one([x for x in range(-size, size + 1) if x]))
    if max(map(sum, coefficients)) < n or not all(any(column) for column in zip(*coefficients)):
        return None
    target = read_target(Polynomial.from_hermite(coefficients, [f"z{i + 1}" for i in range(p)]))
    return target if target.support.dimension == p else None


def _generic(target: Target, jets: random.Random) -> CensusRecord:
    n = target.degree
    closed = reach(target, range(1, n + 1))
    end = 2 * chain_order(target.p, n)
    numbers = [x for x in range(-9, 10) if x]
    jet = Jet([0, *(numbers[jets.randrange(len(numbers))] for _ in range(end))])
    search, span, least = Search(target, jet), ExactSpan(target.p), 0
    while span.dimension < closed.dimension and search.curve.order < end:
        vector = search.step()
        if any(vector) and span.add(vector) is not None:
            least = search.curve.order
    proof = "bound" if span.dimension == closed.dimension else ""
    return _record(target, closed.dimension, closed.dimension, span.dimension, least, proof)


def _named(target: Target, sigma: Activation) -> CensusRecord:
    reached = reach(target, counting_orders(target, sigma, bias=True)).dimension
    closed = reach(target, counting_orders(target, sigma, bias=False))
    wanted = max(13, min(24, chain_order(target.p, target.degree)))
    span = span_of(target, sigma, wanted, closed, look_ahead=True)
    return _record(target, reached, closed.dimension, span.dimension, span.order or 0, span.proof)


def _record(target: Target, reached: int, closed: int, span: int, order: int, proof: str) -> CensusRecord:
    polynomial = target.polynomial
    assert polynomial is not None
    return CensusRecord(polynomial, target.p, target.degree, reached, closed, span, order, proof)
