r"""The jet s_1, s_2, ... of an activation in a form in which equality with zero can be decided.

The Taylor coefficients c_j of the flow are homogeneous in the jet: every term of c_j is a product of j derivatives
s_{k_1} ... s_{k_j} with k_1 + ... + k_j = 2j - 1 (a rooted tree with j vertices has j - 1 edges, and a vertex with q
children carries s_{q+1}). So s_k -> alpha beta^k s_k multiplies c_j by alpha^j beta^(2j-1), and ranks do not notice. With
that freedom the jet is brought into a ring of polynomials over square roots of rationals:

1. one transcendental factor common to all derivatives is left out (erf, gaussian, exp, at any shift), 1/sqrt(pi) too;
2. exp(b_i), tanh(b_i), sin(b_i), cos(b_i) at algebraic b_i are rational functions of exp(g_1), ..., exp(g_m) and
   tan(g_1'/2), ..., where the g span the b over Q: algebraically independent numbers by Lindemann and Weierstrass;
3. a single transcendental number, 1/sqrt(pi) or log 2, is a generator of its own;
4. about everything else (erf(sqrt(2)/4) beside exp(-1/8)/sqrt(pi), say) no theorem is used: 60 digits, and it is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm
from typing import Any

import sympy as sp
from sympy import QQ

from .. import _line as line
from .._activation_jet import total
from .._exact import Surd, is_rational
from .._exact_input import exact
from ..activation import Activation
from ..errors import InputError
from ._linear import DIGITS, ExactSpan, real
from ._ring import Element, generator

__all__ = ["Jet", "formal_jet", "jet_of", "symbolic_jet"]


@dataclass
class Jet:
    """``values[k]`` = alpha beta^k s_k, in a ring where zero is zero.

    ``arithmetic``: "exact", "declared" or "60 digits"; ``generators``: the sympy numbers (or symbols) that the generators
    of the ring stand for; ``alpha``, ``beta``: sympy numbers; ``field_name``: for people.
    """

    values: list[Any]
    arithmetic: str = "exact"
    generators: tuple[Any, ...] = ()
    alpha: Any = sp.S.One
    beta: Any = sp.S.One
    field_name: str = "rational numbers"

    @property
    def order(self) -> int:
        return len(self.values) - 1

    def shown(self, value: Any, j: int) -> Any:
        """A ring element that is alpha^j beta^(2j-1) times a coefficient of order j, as the coefficient itself."""
        if isinstance(value, real.mpf):
            return sp.Float(str(real.nstr(value, DIGITS)), DIGITS)
        whole = expression(value, self.generators)
        factor = self.alpha**j * self.beta ** (2 * j - 1)
        if factor == 1:
            return whole
        return sp.expand(sp.cancel(sp.together(whole / factor)) if self.beta != 1 else whole / factor)


def expression(value: Any, generators: Sequence[Any]) -> Any:
    """A ring element as a sympy expression in the generators."""
    if isinstance(value, Element):
        parts = []
        for key, c in value.terms.items():
            factors = [_sympy(c)]
            for g in generators:
                e, key = key & 0xFFFF, key >> 16
                if e:
                    factors.append(g**e)
            parts.append(sp.Mul(*factors))
        return sp.expand(sp.Add(*parts))
    return _sympy(value)


def _sympy(c: Any) -> Any:
    return sp.Integer(c) if isinstance(c, int) else line.expression(c)


def symbolic_jet(order: int) -> Jet:
    """s_1, s_2, ... as independent symbols."""
    symbols = tuple(sp.Symbol(f"s_{k}") for k in range(1, order + 1))
    values = [0, *(generator(k) for k in range(order))]
    return Jet(values, generators=symbols, field_name="polynomials in s_1, s_2, ...")


def available(sigma: Activation, order: int) -> tuple[list[dict[Any, Any]], str]:
    """(jet by atoms up to ``order`` or as far as it is known, why not further).

    Raises:
        InputError: not even s_1 exists, or is declared.
    """
    try:
        return sigma._jet_values(order), ""
    except InputError as error:
        low, high, why = 1, order, str(error)
        sigma._jet_values(1)  # raises where nothing is known
        while high - low > 1:
            middle = (low + high) // 2
            try:
                sigma._jet_values(middle)
                low = middle
            except InputError:
                high = middle
        return sigma._jet_values(low), why


def jet_of(sigma: Activation, order: int) -> tuple[Jet, str]:
    """(the jet up to ``order`` or as far as it is declared, why not further)."""
    values, why = available(sigma, order)
    values = [{}, *({a: c for a, c in value.items() if c} for value in values[1:])]  # sigma(0) is not in the flow (4.1)
    label = sigma.arithmetic
    values, root = _without_root_pi(values)
    made = _common_factor(values) or _lindemann(values) or _single(values) or _digits(values)
    if root:
        made.alpha = made.alpha * sp.sqrt(sp.pi)
        made.field_name += ", times 1/sqrt(pi)"
    if made.arithmetic == "exact":
        made.arithmetic = label
    return made, why


def _without_root_pi(values: list[dict[Any, Any]]) -> tuple[list[dict[Any, Any]], bool]:
    """The jet times sqrt(pi), if every derivative carries the factor 1/sqrt(pi) and something else as well."""
    atoms = {atom for value in values for atom in value}
    if len(atoms) < 2 or any((atom * sp.sqrt(sp.pi)).has(sp.pi) for atom in atoms):
        return values, False
    return [{atom * sp.sqrt(sp.pi): c for atom, c in value.items()} for value in values], True


def _common_factor(values: list[dict[Any, Any]]) -> Jet | None:
    """Rational or surd multiples of one number."""
    atoms = {atom for value in values for atom in value}
    if len(atoms) > 1:
        return None
    atom = atoms.pop() if atoms else sp.Integer(1)
    numbers = [value.get(atom, 0) for value in values]
    name = "rational numbers" if all(map(is_rational, numbers)) else "sums of square roots"
    if atom != 1:
        name += f" times {atom}"
    if name.startswith("rational"):
        common = lcm(*(int(QQ.convert(x).denominator) for x in numbers)) if any(numbers) else 1
        whole = [int(QQ.convert(x) * common) for x in numbers]
        return Jet(whole, alpha=sp.Integer(common) / atom, field_name=name)
    return Jet(numbers, alpha=1 / atom, field_name=name)


_HYPERBOLIC, _CIRCULAR = (sp.exp, sp.tanh), (sp.sin, sp.cos)


def _base(atom: Any) -> tuple[Any, int]:
    """(function value, power) of an atom such as tanh(1/2)**3; 1 has the power 0."""
    if atom == 1:
        return atom, 0
    return (atom.base, int(atom.exp)) if isinstance(atom, sp.Pow) and atom.exp.is_Integer else (atom, 1)


def _lindemann(values: list[dict[Any, Any]]) -> Jet | None:
    """exp, tanh, sin and cos of algebraic numbers."""
    atoms = {atom for value in values for atom in value}
    bases = {_base(atom)[0] for atom in atoms} - {sp.Integer(1)}
    if not all(isinstance(b, (*_HYPERBOLIC, *_CIRCULAR)) or b is sp.E for b in bases):
        return None
    real_part = [b for b in bases if not isinstance(b, _CIRCULAR)]
    angles = [b for b in bases if isinstance(b, _CIRCULAR)]
    if not angles and _independent([_argument(b) for b in real_part]):  # the usual case: the values are generators
        generators = sorted(bases, key=sp.default_sort_key)
        return _polynomials(values, generators)
    try:
        return _parametrised(values, real_part, angles)
    except InputError:
        return None


def _argument(b: Any) -> Any:
    return sp.Integer(1) if b is sp.E else b.args[0]


def _independent(numbers: Sequence[Any]) -> bool:
    """Over Q; numbers algebraic, as sympy expressions."""
    return _basis(numbers)[0] == len(numbers)


def _basis(numbers: Sequence[Any]) -> tuple[int, list[list[int]], list[Any]]:
    """(rank, whole-number coordinates of each number, basis elements as sympy numbers)."""
    vectors = [x.parts if isinstance(x, Surd) else {1: x} for x in map(exact, numbers)]
    roots = sorted({m for v in vectors for m in v})
    rows = [[QQ.convert(v.get(m, 0)) for m in roots] for v in vectors]
    span = ExactSpan(len(roots), rows)
    coordinates = [[row[pivot] for pivot in span.pivots] for row in rows]
    common = lcm(*(int(c.denominator) for row in coordinates for c in row), 1)
    basis = [sp.Add(*(_sympy(c) * sp.sqrt(m) for c, m in zip(row, roots) if c)) / common for row in span.rows]
    return span.dimension, [[int(c * common) for c in row] for row in coordinates], basis


def _polynomials(values: list[dict[Any, Any]], generators: list[Any]) -> Jet:
    place = {g: i for i, g in enumerate(generators)}
    found = []
    for value in values:
        element: Any = 0
        for atom, c in value.items():
            base, power = _base(atom)
            element = element + (generator(place[base], power) * c if power else c)
        found.append(element)
    names = ", ".join(map(str, generators))
    return Jet(found, generators=tuple(generators), field_name=f"polynomials in {names}")


def _parametrised(values: list[dict[Any, Any]], hyperbolic: list[Any], circular: list[Any]) -> Jet:
    """By x = exp(g) for real exponents g, t = tan(g/2) for angles; denominators are cleared through alpha and beta."""
    angles = sorted({b.args[0] for b in circular}, key=sp.default_sort_key)
    _, real_at, real_basis = _basis([_argument(b) for b in hyperbolic])
    _, angle_at, angle_basis = _basis(angles)
    xs = [sp.Symbol(f"x_{i}") for i in range(len(real_basis))]
    ts = [sp.Symbol(f"t_{i}", real=True) for i in range(len(angle_basis))]
    formula: dict[Any, Any] = {sp.Integer(1): sp.Integer(1)}
    for b, at in zip(hyperbolic, real_at):
        x = sp.Mul(*(g**n for g, n in zip(xs, at)))
        formula[b] = sp.cancel(x) if not isinstance(b, sp.tanh) else sp.cancel((x**2 - 1) / (x**2 + 1))
    for b in circular:
        cosine, sine, below = _turn(ts, angle_at[angles.index(b.args[0])])
        formula[b] = sp.cancel((cosine if isinstance(b, sp.cos) else sine) / below)
    bottom = sp.Integer(1)
    for value in formula.values():
        bottom = sp.lcm(bottom, sp.denom(value))
    symbols = (*xs, *ts)
    below = _Powers(_element(sp.expand(bottom), symbols))
    above = {b: _Powers(_element(sp.cancel(value * bottom), symbols)) for b, value in formula.items()}
    highest = max(_base(atom)[1] for value in values for atom in value)
    excess = max(_base(atom)[1] - k for k, value in enumerate(values) for atom in value)
    rate = 0 if highest <= 1 else 1  # beta = bottom^rate
    start = highest if not rate else max(excess, 0)
    found = []
    for k, value in enumerate(values):
        whole: Any = 0
        for atom, c in value.items():
            base, power = _base(atom)
            whole = whole + above[base][power] * below[start + rate * k - power] * c
        found.append(whole)
    alpha, beta = bottom**start, bottom**rate
    numbers = (*(sp.exp(g) for g in real_basis), *(sp.tan(g / 2) for g in angle_basis))
    stand = dict(zip(symbols, numbers))
    name = "rational functions of " + ", ".join(map(str, numbers))
    return Jet(found, generators=numbers, alpha=alpha.subs(stand), beta=beta.subs(stand), field_name=name)


def _turn(ts: Sequence[Any], times: Sequence[int]) -> tuple[Any, Any, Any]:
    """(a, b, c), polynomials: exp(i sum_j n_j g_j) = (a + i b)/c, where exp(i g) = (1 + i t)^2/(1 + t^2)."""
    a, b, c = sp.Integer(1), sp.Integer(0), sp.Integer(1)
    for t, n in zip(ts, times):
        real_part, imaginary = 1 - t**2, (2 * t if n > 0 else -2 * t)
        for _ in range(abs(n)):
            a, b = sp.expand(a * real_part - b * imaginary), sp.expand(a * imaginary + b * real_part)
            c = sp.expand(c * (1 + t**2))
    return a, b, c


class _Powers:
    """x, x^2, x^3, ... as they are asked for."""

    def __init__(self, x: Any):
        self._known = [1, x]

    def __getitem__(self, n: int) -> Any:
        while len(self._known) <= n:
            self._known.append(self._known[-1] * self._known[1])
        return self._known[n]


def _element(polynomial: Any, symbols: Sequence[Any]) -> Any:
    if not polynomial.free_symbols:
        return exact(polynomial)
    poly = sp.Poly(polynomial, *symbols)
    return Element({sum(e << (16 * i) for i, e in enumerate(exps)): exact(c) for exps, c in poly.terms()})


def _single(values: list[dict[Any, Any]]) -> Jet | None:
    """Powers of one number known to be transcendental: 1/sqrt(pi), log 2."""
    atoms = {atom for value in values for atom in value} - {sp.Integer(1)}
    if atoms == {1 / sp.sqrt(sp.pi)} or atoms == {sp.log(2)}:
        return _polynomials(values, sorted(atoms, key=sp.default_sort_key))
    return None


def _digits(values: list[dict[Any, Any]]) -> Jet:
    found = []
    for value in values:
        x = sp.N(total(value), DIGITS + 15)
        found.append(real.mpf(str(x)))
    atoms = sorted({_base(atom)[0] for value in values for atom in value} - {sp.Integer(1)}, key=sp.default_sort_key)
    names = ", ".join(map(str, atoms))
    return Jet(found, "60 digits", field_name=f"{DIGITS} digits: no theorem says which relations {names} have")


def formal_jet(sigma: Activation, order: int) -> Jet:
    """s_0, s_1, ... as polynomials in their transcendental numbers, each a symbol: for formulas, not for zero tests."""
    values, why = available(sigma, order)
    if len(values) <= order:
        raise InputError(why)
    return _polynomials(
        values, sorted({_base(a)[0] for v in values for a in v} - {sp.Integer(1)}, key=sp.default_sort_key)
    )
