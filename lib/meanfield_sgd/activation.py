"""Activations sigma of a two-layer network: evaluated on arrays, and known exactly.

What an activation can do for a network is decided by three exact facts, which this module answers without numerics:
its jet (sigma(0), sigma'(0), ...), whether it is a polynomial and of which degree, and which of its derivatives are
odd functions. They are read from a normal form in which different entries are linearly independent (statement and
proof: :mod:`meanfield_sgd._activation_form`), so they hold for every sum: ``softplus(y) - y/2`` is found to be even,
``relu(y) - relu(-y)`` to be the polynomial y, ``tanh(y+1/2) + tanh(y-1/2)`` to be odd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from numbers import Integral
from typing import Any

from . import _activation_terms as terms_of
from . import _line as line
from ._activation_catalogue import ALIASES, CATALOGUE
from ._activation_custom import GROWTHS, UNKNOWN, Custom, combined
from ._activation_form import NormalForm, Part
from ._activation_jet import jet as exact_jet
from ._activation_parser import parse_activation
from ._activation_terms import POLYNOMIAL, Terms
from ._arrays import numeric
from ._expression import quote
from ._surd import Surd
from .errors import InputError, ParseError

__all__ = ["Activation", "NumericParity"]

MAX_ORDER = 500


@dataclass(frozen=True)
class NumericParity:
    """What sampling suggests about a parity; never a proof. ``even``, ``odd``: sizes of the two parts, relative."""

    parity: str  # "even", "odd", "zero" or "neither"
    even: float
    odd: float
    tolerance: float
    label: str = "numeric"


class Activation:
    """An activation sigma(y): a sum of named functions of alpha*y + beta, times numbers or polynomials, plus a polynomial.

    Args:
        source: a text, an expression in y such as ``"tanh"``, ``"tanh(y+1/2)"``, ``"3/5*sin(y) + 4/5*cos(y)"``,
            ``"y + y**2/2"``, ``"leaky_relu(y, 1/10)"``, ``"y*tanh(2*y)"``; or another Activation, an exact number, or a
            Polynomial in at most one variable.

    Names: tanh, erf (= erf(y/sqrt 2)), logistic (= sigmoid), softplus, gelu (exact), silu (= swish), elu, sin, cos,
    exp, gaussian (= exp(-y^2/2)), relu, leaky_relu, abs, and the Hermite polynomials He0, He1, ...; a bare name means
    name(y). ``elu(y, a)`` = a (exp(y) - 1) for y <= 0, a = 1 if not given; ``leaky_relu(y, a)`` = a*y for y <= 0,
    a = 1/100 if not given. Numbers are exact: rationals, decimals (0.1 is 1/10) and ``sqrt`` of rationals. The argument
    of a named function is a*y + b with a != 0. A polynomial, even a constant, is an activation; ``tanh(y**2)``,
    ``tanh(y)*sin(y)``, ``tanh(1/2)`` and ``1/y`` are not.

    Two activations are equal when they are the same function: ``Activation("relu(y) - relu(-y)") == Activation("y")``.
    ``a + b``, ``a - b``, ``c*a``, ``a/c``, products with a polynomial, ``a.shift(b)`` and ``a.scale(c)`` are exact.

    Raises:
        ParseError: the text is not an activation (one line; names the column and, for a misspelt name, the nearest one).
        InputError: any other unusable source, floats included (0.6 is not 3/5: write "0.6").
    """

    def __init__(self, source: Any):
        if isinstance(source, Activation):
            terms = source._terms
        elif isinstance(source, str):
            try:
                self._setup(parse_activation(source))
            except ParseError:
                raise
            except InputError as error:  # a number beyond double precision
                raise ParseError(f"activation {quote(source)}: {error}") from None
            return
        elif hasattr(source, "terms") and hasattr(source, "variables"):
            terms = _from_polynomial(source)
        else:
            terms = terms_of.collect([(POLYNOMIAL, line.constant(Surd.of(source, "an activation")))])
        self._setup(terms)

    @classmethod
    def _of(cls, terms: Terms) -> Activation:
        self = cls.__new__(cls)
        self._setup(terms)
        return self

    def _setup(self, terms: Terms) -> None:
        self._form: NormalForm = terms_of.normal_form(terms)
        self._customs: Terms = {key: p for key, p in terms.items() if isinstance(key[0], Custom)}
        if self._form.degree is not None:  # relu(y) - relu(-y) is evaluated as y
            polynomial = terms_of.collect((POLYNOMIAL, p) for p in self._form.terms.values())
            terms = {**polynomial, **self._customs}
        self._terms = terms
        self._value, self._slope = terms_of.compile_terms(terms)
        self._breakpoints = self._find_breakpoints()

    def __reduce__(self) -> tuple[Any, ...]:
        return Activation._of, (self._terms,)

    @classmethod
    def custom(
        cls,
        function: Callable[[Any], Any],
        derivative: Callable[[Any], Any] | None = None,
        *,
        name: str,
        jet: Sequence[Any] | Callable[[int], Any] | None = None,
        polynomial_degree: int | str | None = UNKNOWN,
        even_part: Part | None = None,
        odd_part: Part | None = None,
        breakpoints: Iterable[float] = (),
        growth: str | None = None,
        smoothness: str | int | None = None,
    ) -> Activation:
        """A user's own activation; what is not declared is unknown, and asking for it raises InputError.

        Args:
            function: elementwise, on torch tensors (for the torch simulations) and, if it can, on NumPy arrays; one
                that takes tensors only is given NumPy arrays as tensors.
            derivative: the same for sigma'; if not given, torch differentiates ``function``.
            name: one word, for printing.
            jet: exact sigma(0), sigma'(0), ... (integers, fractions, texts, sympy numbers), or a function of the order.
            polynomial_degree: the degree, or None to declare that sigma is no polynomial.
            even_part, odd_part: of sigma: "zero", ("polynomial", degree) or "non-polynomial".
            breakpoints: where sigma is not smooth.
            growth: "bounded", "polynomial" or "exponential" (an upper bound).
            smoothness: "analytic", or the number of continuous derivatives.

        Raises:
            InputError: declarations that contradict one another, or cannot be read.
        """
        base = Custom(
            function, derivative, name, jet, polynomial_degree, even_part, odd_part, breakpoints, growth, smoothness
        )
        return cls._of({(base, line.ONE, line.ZERO, ()): line.constant(1)})

    @staticmethod
    def catalogue() -> dict[str, str]:
        """{name: what it is}, in the order of the documentation; aliases are left out (see ``Activation.aliases``)."""
        return {name: base.about for name, base in CATALOGUE.items()}

    @staticmethod
    def aliases() -> dict[str, str]:
        """{other name: name in the catalogue}."""
        return dict(ALIASES)

    # ---- as text ----

    @cached_property
    def text(self) -> str:
        """An expression in y; ``Activation(a.text) == a`` unless a contains a custom function."""
        return terms_of.text(self._terms)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f'Activation("{self.text}")'

    def to_sympy(self, symbol: Any = None) -> Any:
        """The same function as a sympy expression in ``symbol`` (default: the real symbol y)."""
        import sympy as sp

        y = sp.Symbol("y", real=True) if symbol is None else symbol
        total = sp.Integer(0)
        for key, p in self._terms.items():
            factor = sp.Add(*(c.to_sympy() * y**k for k, c in enumerate(p)))
            if isinstance(key[0], Custom):
                factor *= sp.Function(key[0].name)(key[1].to_sympy() * y + key[2].to_sympy())
            elif key != POLYNOMIAL:
                t = key[1].to_sympy() * y + key[2].to_sympy()
                factor *= CATALOGUE[key[0]].sympy(sp, t, *(c.to_sympy() for c in key[3]))
            total += factor
        return total

    def _repr_latex_(self) -> str:
        import sympy as sp

        return f"$\\sigma(y) = {sp.latex(self.to_sympy())}$"

    # ---- as a vector ----

    __array_ufunc__ = None  # NumPy scalars leave c*a to us

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Activation):
            return NotImplemented
        return self._form == other._form and self._customs == other._customs

    def __hash__(self) -> int:
        return hash((self._form, frozenset(self._customs.items())))

    def __add__(self, other: Any) -> Activation:
        other = _operand(other)
        return NotImplemented if other is None else Activation._of(_sum(self._terms, other._terms))

    def __neg__(self) -> Activation:
        return Activation._of(_scaled(self._terms, Surd.of(-1)))

    def __sub__(self, other: Any) -> Activation:
        other = _operand(other)
        return NotImplemented if other is None else self + -other

    def __rsub__(self, other: Any) -> Activation:
        other = _operand(other)
        return NotImplemented if other is None else other + -self

    def __mul__(self, other: Any) -> Activation:
        other = _operand(other)
        if other is None:
            return NotImplemented
        for a, b in ((self, other), (other, self)):
            if not a._customs and a._form.degree is not None and (a._form.degree == 0 or not b._customs):
                p = a._terms.get(POLYNOMIAL, ())
                return Activation._of(terms_of.collect((key, line.multiply(p, q)) for key, q in b._terms.items()))
        raise InputError(f"the product of {self.text:.40} and {other.text:.40} is not a sum of named functions")

    __radd__ = __add__
    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Activation:
        return Activation._of(_scaled(self._terms, Surd.of(other, "the divisor").inverse()))

    def shift(self, b: Any) -> Activation:
        """y -> sigma(y + b), b an exact number (2, Fraction(1, 2), "1/2", "sqrt(2)")."""
        return Activation._of(terms_of.compose(self._terms, line.ONE, Surd.of(b, "the shift")))

    def scale(self, c: Any) -> Activation:
        """y -> sigma(c*y), c an exact number other than 0."""
        factor = Surd.of(c, "the scale")
        if not factor:
            raise InputError("an activation cannot be scaled by 0: sigma(0*y) is a constant")
        return Activation._of(terms_of.compose(self._terms, factor, line.ZERO))

    # ---- on arrays ----

    def __call__(self, y: Any) -> Any:
        """sigma(y), elementwise: NumPy arrays, torch tensors (any device, with autograd), numbers, nested lists.

        Floating-point dtypes and devices are kept; integers become float64 (tensors: torch's default dtype). In float64
        each named function is accurate to a few units in the last place of its argument or of its value.

        Raises:
            InputError: ``y`` is not made of real numbers.
        """
        return self._evaluated(self._value, y)

    def derivative(self, y: Any) -> Any:
        """sigma'(y), like ``__call__``. At a corner: the slope of the side where the argument is <= 0; for abs, 0."""
        return self._evaluated(self._slope, y)

    @staticmethod
    def _evaluated(function: Callable[[Any], Any], y: Any) -> Any:
        array, plain = numeric(y)
        out = function(array)
        return float(out) if plain else out

    # ---- exactly ----

    @property
    def arithmetic(self) -> str:
        """Either "exact", or "declared" where a custom function's author vouches for the answers below."""
        return "declared" if self._customs else "exact"

    def jet(self, order: int) -> list[Any]:
        """[sigma(0), sigma'(0), ..., sigma^(order)(0)] as exact sympy numbers, fully expanded.

        tanh gives 0, 1, 0, -2, 0, 16; tanh(y+1/2) polynomials in ``tanh(1/2)``; erf and gelu multiples of
        ``1/sqrt(pi)``; softplus starts with ``log(2)``.

        Raises:
            InputError: a derivative asked for does not exist (relu from order 1; relu(y+1/2) has all), or is not
                declared (custom functions).
        """
        order = _order(order, "order", MAX_ORDER)
        exists = self._form.jumps.get(line.ZERO)
        if exists is not None and order >= exists:
            raise InputError(
                f"{self.text:.60} has no derivative of order {exists} at 0, order {order} was asked for; "
                "shift it, as in relu(y + 1/2), or take a smooth activation"
            )
        values = exact_jet(self._form, order)
        for (base, alpha, beta, _), p in self._customs.items():
            if beta:
                raise InputError(f"the jet of {base.name} at {beta} is not known, only at 0; define the shifted function")
            for k, value in enumerate(base.jet(order)):
                values[k] += (p[0] * alpha**k).to_sympy() * value
        return values

    @property
    def polynomial_degree(self) -> int | None:
        """The degree if sigma is a polynomial (0 for every constant, 0 included), else None.

        Raises:
            InputError: not settled by what was declared about a custom function.
        """
        if not self._customs:
            return self._form.degree
        degrees = [UNKNOWN if base.degree == UNKNOWN else _part_of(base.degree) for base, *_ in self._customs]
        whole = None if UNKNOWN in degrees else combined([_part_of(self._form.degree), *degrees])
        if whole is not None:
            return None if whole == "non-polynomial" else 0 if whole == "zero" else whole[1]
        parts = [self._part("even"), self._part("odd")]
        if "non-polynomial" in parts:
            return None
        if None in parts:
            raise self._unknown("whether it is a polynomial", "polynomial_degree=None (or its degree)")
        return max([part[1] for part in parts if part != "zero"], default=0)

    @property
    def even_part(self) -> Part:
        """(sigma(y) + sigma(-y))/2: "zero", ("polynomial", degree) or "non-polynomial". InputError if not declared."""
        part = self._part("even")
        if part is None:
            raise self._unknown("its even part", 'even_part="zero", ("polynomial", m) or "non-polynomial"')
        return part

    @property
    def odd_part(self) -> Part:
        """(sigma(y) - sigma(-y))/2: "zero", ("polynomial", degree) or "non-polynomial". InputError if not declared."""
        part = self._part("odd")
        if part is None:
            raise self._unknown("its odd part", 'odd_part="zero", ("polynomial", m) or "non-polynomial"')
        return part

    def _part(self, which: str) -> Part | None:
        # A shift mixes the parts of a custom function, so only unshifted ones keep what was declared.
        declared = [None if key[2] else getattr(key[0], f"{which}_part") for key in self._customs]
        return combined([getattr(self._form, f"{which}_part"), *declared])

    def _unknown(self, what: str, mend: str) -> InputError:
        return InputError(
            f"{self.text:.60} contains a custom function and {what} is not settled by what was declared; "
            f"declare {mend} in Activation.custom for the whole function (numeric_parity() gives a numerical hint)"
        )

    def derivative_is_odd(self, k: int) -> bool:
        """Whether sigma^(k) is an odd function (as a distribution where sigma is not smooth), decided exactly.

        sigma^(k) is odd exactly when the part of sigma with the parity of k is a polynomial of degree below k.
        """
        k = _order(k, "k")
        part = self.even_part if k % 2 == 0 else self.odd_part
        return part == "zero" or (part != "non-polynomial" and part[1] < k)

    def K_sigma(self, up_to: int) -> set[int]:
        """{1 <= k <= up_to: sigma^(k) is not odd}: the orders that a bias-free network started at w = 0 can use.

        tanh, erf, logistic, sin: odd k; cos: even k; softplus, gelu, silu, relu: 1 and even k; exp, elu,
        tanh(y + 1/2): all; y + y**2/2: {1, 2}. Source: this book's refinement of Chen and Ge's necessary condition.
        """
        return {k for k in range(1, _order(up_to, "up_to") + 1) if not self.derivative_is_odd(k)}

    def numeric_parity(
        self, order: int = 0, *, radius: float = 6.0, points: int = 257, tolerance: float = 1e-9
    ) -> NumericParity:
        """A numerical hint at the parity of sigma (order 0) or sigma' (order 1) from samples on [-radius, radius].

        Labelled "numeric": it proves nothing (a function may differ beyond ``radius`` or below ``tolerance``), and
        nothing else in this package relies on it.
        """
        import numpy as np

        if order not in (0, 1):
            raise InputError(f"numeric_parity looks at sigma (order 0) or sigma' (order 1), not at order {order}")
        y = np.linspace(radius / points, radius, points)  # not 0, where sigma' may jump
        function = self.derivative if order else self
        right, left = function(y), function(-y)
        scale = max(float(np.max(np.abs([right, left]))), np.finfo(float).tiny)
        even, odd = (float(np.max(np.abs(right + s * left))) / (2 * scale) for s in (1, -1))
        small = (even <= tolerance, odd <= tolerance)
        parity = {(True, True): "zero", (True, False): "odd", (False, True): "even"}.get(small, "neither")
        return NumericParity(parity, even, odd, tolerance)

    # ---- for the simulations ----

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """Where sigma is not smooth, ascending; () for a smooth activation. Quadrature must split there."""
        return self._breakpoints

    def _find_breakpoints(self) -> tuple[float, ...]:
        found = set()
        try:
            found.update(float(b) for b in self._form.jumps)
            for base, alpha, beta, _ in self._customs:
                found.update((b - float(beta)) / float(alpha) for b in base.breakpoints)
        except OverflowError:
            raise InputError("it has a corner beyond the reach of double precision") from None
        return tuple(sorted(found))

    @property
    def smoothness(self) -> str | int | None:
        """Either "analytic" on the real line, or the number of continuous derivatives (relu 0, elu 1); None: not declared."""
        levels = [order - 1 for order in self._form.jumps.values()]
        for base, *_ in self._customs:
            if base.smoothness is None:
                return None
            levels += [] if base.smoothness == "analytic" else [base.smoothness]
        return min(levels, default="analytic")

    @property
    def growth(self) -> str | None:
        """Either "bounded", "polynomial" or "exponential" at infinity; an upper bound, or None, with custom functions."""
        growths = [self._form.growth, *(base.growth for base, *_ in self._customs)]
        return None if None in growths else max(growths, key=GROWTHS.index)

    @property
    def singularity_distance(self) -> float | None:
        """Distance of the nearest complex singularity from the real line: tanh pi/2, logistic pi, erf inf, relu 0.

        It sets how fast Hermite profiles decay. None with custom functions.
        """
        return None if self._customs else self._form.singularity_distance


def _sum(p: Terms, q: Terms) -> Terms:
    return terms_of.collect([*p.items(), *q.items()])


def _scaled(terms: Terms, factor: Surd) -> Terms:
    return terms_of.collect((key, line.scale(p, factor)) for key, p in terms.items())


def _operand(value: Any) -> Activation | None:
    if isinstance(value, Activation):
        return value
    if getattr(value, "shape", ()) != ():
        return None  # an array is not an exact number, and no array of activations is made either
    return Activation(value)


def _part_of(degree: int | None) -> Part:
    return "non-polynomial" if degree is None else ("polynomial", degree) if degree else "zero"


def _order(value: Any, name: str, most: int = 10**6) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or not 0 <= value <= most:
        raise InputError(f"{name} must be a whole number from 0 to {most}; got {value!r:.40}")
    return int(value)


def _from_polynomial(polynomial: Any) -> Terms:
    """From a Polynomial in at most one variable, whatever its name."""
    if len(polynomial.variables) > 1:
        names = ", ".join(map(str, polynomial.variables))
        raise InputError(f"an activation is a function of one variable; this polynomial has {names:.60}")
    total = [line.ZERO] * (polynomial.degree + 1)
    for exponents, coefficient in polynomial.terms.items():
        total[sum(exponents)] = Surd.of(coefficient if not isinstance(coefficient, int) else Fraction(coefficient))
    return terms_of.collect([(POLYNOMIAL, line.trim(total))])
