r"""Gap targets to order: the curve of the flow (4.1) on a chosen algebraic curve, the third coordinate without a force.

The field F of the flow (4.1) is linear in the target. Where it is a polynomial field X times a function without zeros
(polynomial activations, and those with s_{k+2} = kappa s_k), two demands on h = h_0(z1, z2) + z3 g(z1, z2) are linear
equations for its coefficients:

- h_0: X is tangent to the curve {q = 0}, that is, X . grad q is a multiple of q; then W, which starts at 0 where q
  vanishes, stays on the curve;
- g: the force along e3 on the plane w3 = 0, :math:`\mathbb{E}[g(z)\,\sigma'(W\cdot z)]`, is a multiple of q.

So all such h are found by exact linear algebra.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import heapify, heappop, heapreplace
from itertools import product
from typing import Any

from sympy import QQ
from sympy.polys.rings import PolyElement

from .._exact_input import exact
from ..activation import Activation
from ..errors import InputError
from ..polynomial import Polynomial
from ._invariant import polynomial_field
from ._lattice import kernel_lattice
from ._target import Target, as_activation, read_target
from .reflective import reach

__all__ = ["MAX_DEGREE", "GapFamily", "gap_family"]

#: Of the targets; beyond, the linear algebra is still exact, but slow.
MAX_DEGREE = 8
#: Whole-number combinations of one basis that :meth:`GapFamily.smallest` looks at.
MOST_COMBINATIONS = 20_000

Exponents = tuple[int, ...]


@dataclass(frozen=True, repr=False)
class GapFamily:
    """All h_0(z1, z2) + z3 g(z1, z2) whose curve is tied to {q = 0} in the plane z3 = 0.

    Attributes:
        curve: q, a Polynomial in z1 and z2.
        activation: sigma.
        degree: the largest degree of h_0, and one more than that of g.
        planar: a basis of all h_0 for which the field is tangent to {q = 0}.
        hidden: a basis of all g for which z3 g exerts no force along e3 on {q = 0}.

    Both bases are whole-number bases: the targets with whole-number coefficients, in monomials or in Hermite polynomials,
    which is the same, are their whole-number combinations.
    """

    curve: Polynomial
    activation: Activation
    degree: int
    planar: tuple[Polynomial, ...]
    hidden: tuple[Polynomial, ...]
    _orders: tuple[int, ...] = field(default=(), repr=False, compare=False)

    def __repr__(self) -> str:
        return (
            f"<GapFamily on {self.curve} = 0, {self.activation}, degree {self.degree}: "
            f"planar dimension {len(self.planar)}, hidden {len(self.hidden)}>"
        )

    def target(self, planar: Sequence[Any], hidden: Sequence[Any]) -> Polynomial:
        r"""The target :math:`\sum_i x_i h_i + z_3 \sum_j y_j g_j` for exact numbers x (``planar``) and y (``hidden``).

        Terms of Hermite degree 2 and more in z3 may be added at will: they exert no force on the plane z3 = 0.

        Raises:
            InputError: not as many numbers as the basis has elements, or numbers that are not exact.
        """
        parts = []
        for name, numbers, basis in (("planar", planar, self.planar), ("hidden", hidden, self.hidden)):
            numbers = [numbers] if isinstance(numbers, (str, int, Fraction)) else list(numbers)
            if len(numbers) != len(basis):
                raise InputError(f"target: {name} needs {len(basis)} numbers, one a basis element; got {len(numbers)}")
            total: dict[Exponents, Any] = {}
            for x, element in zip(numbers, basis):
                for alpha, c in element.hermite_coefficients.items():
                    total[alpha] = total.get(alpha, 0) + exact(x, name) * exact(c)
            parts.append(total)
        return _assembled(*parts)

    def smallest(self, count: int = 3, *, bound: int = 2, decoration: str | None = None) -> tuple[Polynomial, ...]:
        r"""The gap targets with the smallest whole-number coefficients, smallest first.

        Of the combinations of the two bases with whole numbers from -``bound`` to ``bound``, those that are gaps: the
        smallest subspace closed under the orders that sigma can use without a bias is all of R^3, while W stays in the
        plane z3 = 0. The size is :math:`\sum_\alpha |d_\alpha|` over the Hermite coefficients, the constant included
        (the flow notices it), then the number of terms. Of targets that differ by the sign of h or of z3 only, one is given.

        Args:
            count: how many at most.
            decoration: a polynomial of Hermite degree at least 2 in z3, as a text, that is added to each (and may spoil
                the symmetries by which one of several targets stands for all).

        Raises:
            InputError: a count or bound below 1; more than 20 000 combinations of a basis; a decoration that acts on the
                plane z3 = 0.

        Returns fewer than ``count``, or none, where the range of the numbers holds no more.
        """
        for name, value in (("count", count), ("bound", bound)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"smallest: {name} must be a whole number from 1 on, got {value!r:.40}")
        alive = all(self.activation.jet(self.degree)[1:])
        if self.curve.degree == 1 and alive:
            return ()  # a curve on a line: where no derivative vanishes, the line is closed
        longest = max(len(self.planar), len(self.hidden))
        if (2 * bound + 1) ** longest > MOST_COMBINATIONS:
            raise InputError(
                f"smallest: {2 * bound + 1}^{longest} combinations are more than {MOST_COMBINATIONS}; lower the bound "
                "or the degree"
            )
        extra = _decoration(decoration)
        planar = [h for h in sorted(_combinations(self.planar, bound), key=_size) if any(sum(a) == 1 for a in h)]
        hidden = sorted(_combinations(self.hidden, bound), key=_size)
        hidden = [g for g in hidden if any(sum(a) + 1 in self._orders for a in g)]  # the others no network notices
        bent: dict[int, bool] = {}  # whether the curve of planar[i] leaves its tangent
        found: list[Polynomial] = []
        for i, j in _by_size([_size(h) for h in planar], [_size(g) for g in hidden]):
            if i not in bent:  # a line is closed where no derivative vanishes: no use to look further
                bent[i] = not alive or self._reached(_assembled(planar[i], {})) == 2
            if not bent[i]:
                continue
            h = _assembled(planar[i], hidden[j], extra)
            if self._reached(h) == 3:
                found.append(h)
                if len(found) == count:
                    break
        return tuple(found)

    def _reached(self, h: Polynomial) -> int:
        """Dimension of the smallest subspace closed under the orders that sigma uses without a bias."""
        target = read_target(h)
        return reach(target, tuple(k for k in self._orders if k <= target.degree)).dimension


def gap_family(curve: Any, activation: Any, degree: int = 3) -> GapFamily:
    r"""All targets of degree at most ``degree`` whose curve W lies on {q = 0}, with a third coordinate that feels nothing.

    .. math::

        h^* = h_0(z_1, z_2) + z_3\, g(z_1, z_2), \qquad X_{h_0} \cdot \nabla q \in (q), \qquad
        \mathbb{E}[g(z)\, \sigma'(W \cdot z)] = e^{\kappa |W|^2/2}\, (\text{multiple of } q) .

    Args:
        curve: q, a Polynomial or a text in z1 and z2 with q(0, 0) = 0, such as ``"z1**2 - 2*z2"``.
        activation: a polynomial, or with s_{k+2} = kappa s_k (combinations of sin and cos of one frequency, of exp(b y)
            and exp(-b y)); its derivatives at 0 must be rational up to a common factor, and s_1 not 0.
        degree: largest degree n of the targets, 1 to 8.

    Raises:
        InputError: a curve in other variables, that does not pass through 0 or is constant; an activation that is not of
            that kind; a degree out of range.

    Source: this book, The gap. Checked: members of families on seven curves stay on them to order 12; five families have
    the dimensions that moments of polynomials give; the smallest targets are gaps by ``decide``.
    """
    if isinstance(degree, bool) or not hasattr(degree, "__index__") or not 1 <= degree <= MAX_DEGREE:
        raise InputError(f"gap_family: degree must be a whole number from 1 to {MAX_DEGREE}, got {degree!r:.40}")
    given = as_activation(activation)
    sigma = _normalised(given)
    q = _plane_curve(curve)
    planar_indices = [a for a in product(range(degree + 1), repeat=2) if sum(a) <= degree]
    hidden_indices = [a for a in planar_indices if sum(a) < degree]
    rules_planar, rules_hidden = [], []
    divisor: PolyElement | None = None
    for alpha in planar_indices:
        field2 = _field({alpha: 1}, ("z1", "z2"), sigma)
        if divisor is None:
            divisor = _in_ring(q, field2[0].ring)
        slope = sum((x * divisor.diff(v) for x, v in zip(field2, field2[0].ring.gens)), field2[0].ring.zero)
        rules_planar.append(_remainder(slope, divisor))
    for alpha in hidden_indices:
        force = _field({(*alpha, 1): 1}, ("z1", "z2", "z3"), sigma)[2]
        ring = divisor.ring
        on_plane = ring.from_dict({m[:2]: c for m, c in force.items() if not m[2]})
        rules_hidden.append(_remainder(on_plane, divisor))
    bases = []
    for indices, rules in ((planar_indices, rules_planar), (hidden_indices, rules_hidden)):
        lattice = kernel_lattice(rules)
        bases.append(
            tuple(Polynomial.from_hermite({a: x for a, x in zip(indices, v) if x}, ["z1", "z2"]) for v in lattice)
        )
    return GapFamily(q, given, degree, bases[0], bases[1], tuple(sorted(given.K_sigma(degree))))


def _normalised(sigma: Activation) -> Activation:
    """sigma/s_1: a common factor of the derivatives only changes the speed along the curve.

    A kink is refused: near 0 the flow would be that of a polynomial, further out it is not.
    """
    if sigma.breakpoints:
        raise InputError(
            f"gap_family: {sigma.text:.60} has a corner or a jump; the curve is tied to its Taylor series only"
        )
    slope = sigma.jet(1)[1]
    if not slope:
        raise InputError(f"gap_family: {sigma.text:.60} has slope 0 at 0, so W stays at the origin")
    try:
        return sigma / slope
    except InputError:  # a transcendental slope
        return sigma


def _plane_curve(curve: Any) -> Polynomial:
    q = curve if isinstance(curve, Polynomial) else Polynomial(curve)
    if not set(q.variables) <= {"z1", "z2"}:
        names = ", ".join(q.variables)
        raise InputError(f"gap_family: the curve must be a polynomial in z1 and z2, got one in {names:.60}")
    if q.degree < 1:
        raise InputError(f"gap_family: the curve needs a polynomial that is not constant, got {q}")
    if q.at([0] * len(q.variables)):
        raise InputError(f"gap_family: the curve {q} = 0 does not pass through the origin, where W starts")
    return q


def _field(hermite: dict[Exponents, int], names: tuple[str, ...], sigma: Activation) -> list[PolyElement]:
    """The polynomial field of one Hermite monomial, over QQ."""
    smoothed = {sum(e << 8 * i for i, e in enumerate(alpha)): QQ(c) for alpha, c in hermite.items()}
    found = polynomial_field(Target(smoothed, names), sigma)
    if found is None:
        raise InputError(
            f"gap_family: {sigma.text:.60} is neither a polynomial nor has derivatives with s_(k+2) = kappa s_k and ratios "
            'that are known exactly; try "y + y**2/2 + y**3/6", "4/5*cos(y) + 3/5*sin(y)" or "exp(y)"'
        )
    if found[0].ring.domain != QQ:
        raise InputError(f"gap_family: the derivatives of {sigma.text:.60} at 0 have irrational ratios")
    return found


def _in_ring(q: Polynomial, ring: Any) -> PolyElement:
    """q as an element of QQ[w1, w2]."""
    place = [("z1", "z2").index(name) for name in q.variables]
    terms = {}
    for exponents, c in q.terms.items():
        moved = [0, 0]
        for i, e in zip(place, exponents):
            moved[i] = e
        try:
            terms[tuple(moved)] = QQ.convert(exact(c))
        except Exception:
            raise InputError(f"gap_family: the coefficients of the curve must be rational, got {c}") from None
    return ring.from_dict(terms)


def _remainder(f: PolyElement, divisor: PolyElement) -> dict[Exponents, Any]:
    """The normal form of f modulo one polynomial: linear in f, and 0 exactly for its multiples."""
    return dict(f.rem([divisor]))


def _combinations(basis: Sequence[Polynomial], bound: int) -> Iterator[dict[Exponents, int]]:
    """Whole-number combinations, up to sign, 0 left out; as Hermite coefficients."""
    tables = [{a: int(c) for a, c in element.hermite_coefficients.items()} for element in basis]
    seen = set()
    for numbers in product(range(-bound, bound + 1), repeat=len(tables)):
        first = next((x for x in numbers if x), 0)
        if first <= 0:
            continue
        total: dict[Exponents, int] = {}
        for x, table in zip(numbers, tables):
            if x:
                for a, c in table.items():
                    total[a] = total.get(a, 0) + x * c
        total = {a: c for a, c in total.items() if c}
        key = frozenset(total.items())
        if total and key not in seen:
            seen.add(key)
            yield total


def _size(coefficients: dict[Exponents, int]) -> tuple[int, int]:
    return sum(map(abs, coefficients.values())), len(coefficients)


def _by_size(left: Sequence[tuple[int, int]], right: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The pairs (i, j) by left[i] + right[j]; both are sorted."""
    queue = [(_sum(x, right[0]), i, 0) for i, x in enumerate(left)] if right else []
    heapify(queue)
    while queue:
        _, i, j = queue[0]
        yield i, j
        if j + 1 < len(right):
            heapreplace(queue, (_sum(left[i], right[j + 1]), i, j + 1))
        else:
            heappop(queue)


def _sum(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return a[0] + b[0], a[1] + b[1]


def _assembled(planar: dict[Exponents, Any], hidden: dict[Exponents, Any], extra: Any = None) -> Polynomial:
    """h_0 + z3 g, from Hermite coefficients in two variables."""
    total = {(*a, 0): c for a, c in planar.items()} | {(*a, 1): c for a, c in hidden.items()}
    h = Polynomial.from_hermite({a: c for a, c in total.items() if c}, ["z1", "z2", "z3"])
    return h if extra is None else h + extra


def _decoration(text: str | None) -> Polynomial | None:
    if text is None:
        return None
    extra = Polynomial(text)
    if not set(extra.variables) <= {"z1", "z2", "z3"}:
        raise InputError(f"smallest: the decoration must be a polynomial in z1, z2, z3, got {text!r:.60}")
    at = extra.variables.index("z3") if "z3" in extra.variables else None
    if at is None or any(alpha[at] < 2 for alpha in extra.hermite_coefficients):
        raise InputError(
            f"smallest: every Hermite term of the decoration needs degree 2 or more in z3, got {text!r:.60}"
        )
    return extra
