"""The neighbouring notions on the same target: merged staircase, leap in coordinates, isotropic leap, information exponent.

All are read off the Hermite coefficients. The first two depend on the coordinates, the others do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import _sparse
from .._polynomial_parse import polynomial_text
from ..errors import InputError
from ._linear import number
from ._target import Target, read_rows, read_target, substitute
from .reflective import reach

__all__ = ["Staircase", "coordinate_leap", "information_exponent", "isotropic_leap_at_most_one", "merged_staircase"]


@dataclass(frozen=True)
class Staircase:
    """The Hermite monomials of a target in the order in which they are cheapest to climb.

    Attributes:
        leap: the highest step; 1 is a staircase.
        steps: (monomial as text, height of the step, names of the variables that are new), in order. A Hermite monomial
            He_alpha is written with z_i for He_1 and He_k(z_i).
    """

    leap: int
    steps: tuple[tuple[str, int, tuple[str, ...]], ...]

    def __bool__(self) -> bool:
        return self.leap <= 1

    def __str__(self) -> str:
        shown = " -> ".join(f"{text} (+{height})" for text, height, _ in self.steps)
        return f"leap {self.leap}: {shown}"


def merged_staircase(h: Any) -> Staircase:
    """The merged-staircase property in the given coordinates: true or false in an ``if``.

    The sets of variables of the Hermite monomials of h can be ordered so that each set has at most one variable that
    no earlier one has. Source: Abbe, Boix-Adsera and Misiakiewicz (2022), there for functions on the hypercube, whose
    monomials are products of distinct variables; for Hermite monomials only the sets count here, so z1 + He2(z2) has
    the property although its leap is 2.
    """
    target = _exact_target(h)
    return _climb(target, lambda exps, known: sum(1 for i, e in enumerate(exps) if e and i not in known))


def coordinate_leap(h: Any) -> Staircase:
    """The leap in the given coordinates: the highest step when Hermite monomials are climbed in the best order.

    A step is the total degree of a monomial in the variables that no earlier monomial has. Source: Abbe, Boix-Adsera
    and Misiakiewicz (2023). It equals the merged-staircase property's step count where no variable has a power.
    """
    target = _exact_target(h)
    return _climb(target, lambda exps, known: sum(e for i, e in enumerate(exps) if i not in known))


def _exact_target(h: Any) -> Target:
    target = read_target(h)
    if not target.exact:
        raise InputError("a staircase asks which coefficients are zero: give exact numbers, or texts such as 0.25")
    return target


def _climb(target: Target, height: Any) -> Staircase:
    """Greedy is optimal: a larger set of known variables never makes a step higher."""
    left = {_sparse.exponents(key, target.p) for key in target.smoothed if key}
    known: set[int] = set()
    steps, leap = [], 0
    while left:
        best = min(left, key=lambda e: (height(e, known), sum(e), tuple(-x for x in e)))
        step = height(best, known)
        leap = max(leap, step)
        fresh = {i for i, e in enumerate(best) if e} - known
        steps.append((_monomial(best, target.variables), step, tuple(target.variables[i] for i in sorted(fresh))))
        known |= fresh
        left.remove(best)
    return Staircase(leap, tuple(steps))


def _monomial(exps: Sequence[int], variables: Sequence[str]) -> str:
    plain = [polynomial_text({1: 1}, [name]) if e == 1 else f"He{e}({name})" for name, e in zip(variables, exps) if e]
    return "*".join(plain)


def isotropic_leap_at_most_one(h: Any) -> bool:
    """Whether the leap is at most 1 in every orthonormal basis: exactly when no nontrivial subspace is reflective.

    Source: notion, Abbe, Boix-Adsera and Misiakiewicz (2023); equivalence, this book.
    """
    target = read_target(h)
    reached = reach(target, range(1, target.degree + 1))
    return reached.dimension == len(target.support.rows)


def information_exponent(h: Any, direction: Any) -> int | None:
    r"""The least k >= 1 with :math:`\mathbb{E}[h(z)\,\mathrm{He}_k(u \cdot z)] = C_k[u^{\otimes k}] \ne 0`; None if none.

    Args:
        direction: a vector of p exact numbers, or a linear form as text; its length does not matter. Floats make the
            zero test numeric.

    Raises:
        InputError: the zero vector, another length.
    """
    target = read_target(h)
    (row, *more), exact_row = read_rows([direction], target.variables, "direction")
    if more or not any(row):
        raise InputError("direction: expected one vector other than zero")
    if target.exact and not exact_row:
        target = target.as_numeric(1e-9)
    if not target.exact:
        row = [number(x) for x in row]
        length = sum(x * x for x in row) ** 0.5
        row = [x / length for x in row]
    for key, c in sorted(substitute(target.smoothed, [[x] for x in row]).items()):
        if key and (c if target.exact else abs(c) > target.tolerance * target.scale):
            return key
    return None
