"""Whole-number solutions of linear equations: a lattice, by a basis of short vectors."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm
from typing import Any

from sympy import QQ

__all__ = ["kernel_lattice", "reduced"]


def kernel_lattice(rules: Sequence[dict[tuple[int, ...], Any]]) -> list[list[int]]:
    """A short basis of all whole-number vectors x with sum_i x_i rules[i] = 0.

    Whole-number row operations, each with a whole-number inverse, bring (rules | 1) to echelon form; what stands on the
    right of the zero rows is then a basis of the lattice, with nothing left out.
    """
    columns = sorted({m for rule in rules for m in rule})
    common = lcm(*(int(c.denominator) for rule in rules for c in rule.values()), 1)
    size = len(rules)
    rows = [
        [int(rule.get(m, QQ.zero) * common) for m in columns] + [int(i == j) for j in range(size)]
        for i, rule in enumerate(rules)
    ]
    done = 0
    for at in range(len(columns)):
        while True:
            nonzero = [i for i in range(done, size) if rows[i][at]]
            if not nonzero:
                break
            least = min(nonzero, key=lambda i: abs(rows[i][at]))
            rows[done], rows[least] = rows[least], rows[done]
            for i in range(done + 1, size):
                factor = rows[i][at] // rows[done][at]
                if factor:
                    rows[i] = [x - factor * y for x, y in zip(rows[i], rows[done])]
            if not any(rows[i][at] for i in range(done + 1, size)):
                done += 1
                break
    return reduced([row[len(columns) :] for row in rows[done:]])


def reduced(basis: list[list[int]]) -> list[list[int]]:
    """The same lattice by shorter vectors: the algorithm of Lenstra, Lenstra and Lovasz, in rational numbers.

    (sympy's stops with an AssertionError on some of these lattices.)
    """

    size = len(basis)
    mu = [[QQ.zero] * size for _ in range(size)]
    lengths = [QQ.zero] * size  # |b*_i|^2 of the orthogonalised vectors
    stars: list[list[Any]] = []
    for i, b in enumerate(basis):
        star = [QQ(x) for x in b]
        for j, other in enumerate(stars):
            mu[i][j] = sum((QQ(x) * y for x, y in zip(b, other)), QQ.zero) / lengths[j]
            star = [x - mu[i][j] * y for x, y in zip(star, other)]
        stars.append(star)
        lengths[i] = sum((x * x for x in star), QQ.zero)
    k = 1
    while k < size:
        for j in range(k - 1, -1, -1):
            factor = round(Fraction(int(mu[k][j].numerator), int(mu[k][j].denominator)))
            if factor:
                basis[k] = [x - factor * y for x, y in zip(basis[k], basis[j])]
                for i in range(j):
                    mu[k][i] -= factor * mu[j][i]
                mu[k][j] -= factor
        slope = mu[k][k - 1]
        if lengths[k] >= (QQ(3, 4) - slope**2) * lengths[k - 1]:
            k += 1
            continue
        basis[k - 1], basis[k] = basis[k], basis[k - 1]
        longer = lengths[k] + slope**2 * lengths[k - 1]
        mu[k][k - 1] = slope * lengths[k - 1] / longer
        lengths[k] = lengths[k] * lengths[k - 1] / longer
        lengths[k - 1] = longer
        for j in range(k - 1):
            mu[k - 1][j], mu[k][j] = mu[k][j], mu[k - 1][j]
        for i in range(k + 1, size):
            above = mu[i][k]
            mu[i][k] = mu[i][k - 1] - slope * above
            mu[i][k - 1] = above + mu[k][k - 1] * mu[i][k]
        k = max(k - 1, 1)
    return basis
