"""Activations sigma of a two-layer network: evaluated on arrays, and known exactly.

What an activation can do for a network is decided by three exact facts, which this module answers without numerics:
its jet (sigma(0), sigma'(0), ...), whether it is a polynomial and of which degree, and which of its derivatives are
odd functions. They are read from a normal form in which different entries are linearly independent (statement and
proof: ``_activation_form.py``), so they hold for every sum: ``softplus(y) - y/2`` is found to be even,
``relu(y) - relu(-y)`` to be the polynomial y, ``tanh(y+1/2) + tanh(y-1/2)`` to be odd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

from . import _activation_terms as terms_of
from . import _line as line
from ._activation_catalogue import ALIASES, CATALOGUE
from ._activation_custom import GROWTHS, UNKNOWN, Custom
from ._activation_facts import ExactFacts, NumericParity
from ._activation_form import NormalForm, Part
from ._activation_parser import parse_activation
from ._activation_terms import POLYNOMIAL, Terms
from ._arrays import numeric
from ._exact import inverse, to_float
from ._exact_input import exact
from ._expression import quote
from ._line import Exact
from .errors import InputError, ParseError

__all__ = ["Activation", "NumericParity"]


class Activation(ExactFacts):
    """An activation sigma(y): a sum of p(y)*f(a*y + b) over named functions f, with exact numbers and polynomials p.

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
        ParseError: the text is not an activation (one line, with the column and, for a misspelt name, the nearest).
        InputError: any other unusable source, floats included (0.6 is not 3/5: write "0.6").
    """

    def __init__(self, source: Any):
        try:
            self._setup(_terms_from(source))
        except ParseError:
            raise
        except InputError as error:  # a number beyond double precision
            if isinstance(source, str):
                raise ParseError(f"activation {quote(source)}: {error}") from None
            raise

    @classmethod
    def _of(cls, terms: Terms) -> Activation:
        self = cls.__new__(cls)
        self._setup(terms)
        return self

    def _setup(self, terms: Terms) -> None:
        self._form: NormalForm = terms_of.normal_form(terms)
        self._customs: Terms = {key: p for key, p in terms.items() if isinstance(key[0], Custom)}
        named = any(isinstance(key[0], str) and key != POLYNOMIAL for key in terms)
        if named and self._form.degree is not None:  # relu(y) - relu(-y) is evaluated as y
            polynomial = terms_of.collect((POLYNOMIAL, p) for p in self._form.terms.values())
            terms = {**polynomial, **self._customs}
        self._terms = terms
        self._value, self._slope = terms_of.compile_terms(terms)
        self._breakpoints = self._find_breakpoints()

    def __reduce__(self) -> tuple[Any, ...]:
        return (Activation._of, (self._terms,)) if self._customs else (Activation, (self.text,))

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
            smoothness: "analytic", or the number of continuous derivatives; -1 for a function that jumps, such as a step.

        Raises:
            InputError: declarations that contradict one another, or cannot be read.
        """
        base = Custom(
            function, derivative, name, jet, polynomial_degree, even_part, odd_part, breakpoints, growth, smoothness
        )
        return cls._of({(base, line.ONE, line.ZERO, ()): line.constant(line.ONE)})

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
            factor = sp.Add(*(line.expression(c) * y**k for k, c in enumerate(p)))
            if isinstance(key[0], Custom):
                factor *= sp.Function(key[0].name)(line.expression(key[1]) * y + line.expression(key[2]))
            elif key != POLYNOMIAL:
                t = line.expression(key[1]) * y + line.expression(key[2])
                factor *= CATALOGUE[key[0]].sympy(sp, t, *(line.expression(c) for c in key[3]))
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
        return Activation._of(_scaled(self._terms, -line.ONE))

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
        divisor = exact(other, "the divisor")
        if not divisor:
            raise InputError("an activation cannot be divided by 0")
        return Activation._of(_scaled(self._terms, inverse(divisor)))

    def shift(self, b: Any) -> Activation:
        """y -> sigma(y + b), b an exact number (2, Fraction(1, 2), "1/2", "sqrt(2)")."""
        return Activation._of(terms_of.compose(self._terms, line.ONE, exact(b, "the shift")))

    def scale(self, c: Any) -> Activation:
        """y -> sigma(c*y), c an exact number other than 0."""
        factor = exact(c, "the scale")
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

    # ---- for the simulations ----

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """Where sigma is not smooth, ascending; () for a smooth activation. Quadrature must split there."""
        return self._breakpoints

    def _find_breakpoints(self) -> tuple[float, ...]:
        found = set()
        try:
            found.update(to_float(b) for b in self._form.jumps)
            for base, alpha, beta, _ in self._customs:
                found.update((b - to_float(beta)) / to_float(alpha) for b in base.breakpoints)
        except InputError:
            raise InputError("it has a corner beyond the reach of double precision") from None
        return tuple(sorted(found))

    @property
    def smoothness(self) -> str | int | None:
        """Either "analytic", or the number of continuous derivatives (a step -1, relu 0, elu 1); None: not declared."""
        levels = [order - 1 for order in self._form.jumps.values()]
        for base, *_ in self._customs:
            if base.smoothness is None:
                return None
            levels += [] if base.smoothness == "analytic" else [base.smoothness]
        return min(levels, default="analytic")

    @property
    def growth(self) -> str | None:
        """Either "bounded", "polynomial" or "exponential"; with custom functions an upper bound, None if undeclared."""
        growths = [self._form.growth, *(base.growth for base, *_ in self._customs)]
        return None if None in growths else max(growths, key=GROWTHS.index)

    @property
    def singularity_distance(self) -> float | None:
        """Distance of the nearest complex singularity from the real line: tanh pi/2, logistic pi, erf inf, relu 0.

        It sets how fast Hermite profiles decay. None with custom functions.
        """
        return None if self._customs else self._form.singularity_distance


def _terms_from(source: Any) -> Terms:
    if isinstance(source, Activation):
        return source._terms
    if isinstance(source, str):
        return parse_activation(source)
    if hasattr(source, "terms") and hasattr(source, "variables"):
        return _from_polynomial(source)
    return terms_of.collect([(POLYNOMIAL, line.constant(exact(source, "an activation")))])


def _sum(p: Terms, q: Terms) -> Terms:
    return terms_of.collect([*p.items(), *q.items()])


def _scaled(terms: Terms, factor: Exact) -> Terms:
    return terms_of.collect((key, line.scale(p, factor)) for key, p in terms.items())


def _operand(value: Any) -> Activation | None:
    if isinstance(value, Activation):
        return value
    if getattr(value, "shape", ()) != ():
        return None  # an array is not an exact number, and no array of activations is made either
    return Activation(value)


def _from_polynomial(polynomial: Any) -> Terms:
    """From a Polynomial in at most one variable, whatever its name."""
    if len(polynomial.variables) > 1:
        names = ", ".join(map(str, polynomial.variables))
        raise InputError(f"an activation is a function of one variable; this polynomial has {names:.60}")
    total = [line.ZERO] * (polynomial.degree + 1)
    for exponents, coefficient in polynomial.terms.items():
        total[sum(exponents)] = exact(coefficient)
    return terms_of.collect([(POLYNOMIAL, line.trim(total))])
