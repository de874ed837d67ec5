"""What an activation is known to be, exactly: its jet, its degree, its parities."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

from . import _line as line
from ._activation_custom import UNKNOWN, combined
from ._activation_form import NormalForm, Part
from ._activation_jet import Value, jet_values, total
from ._activation_terms import Terms
from ._exact import power
from ._exact_input import exact
from .errors import InputError

__all__ = ["ExactFacts", "NumericParity"]

MAX_ORDER = 500  # of a jet


@dataclass(frozen=True)
class NumericParity:
    """What sampling suggests about a parity; never a proof. ``even``, ``odd``: sizes of the two parts, relative."""

    parity: str  # "even", "odd", "zero" or "neither"
    even: float
    odd: float
    tolerance: float
    label: str = "numeric"


class ExactFacts:
    """The part of Activation that reads exact answers from its normal form and from a user's declarations."""

    _form: NormalForm  # the catalogue's part of the sum
    _customs: Terms  # the user's own functions in it
    text: str

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
        return [total(value) for value in self._jet_values(order)]

    def _jet_values(self, order: int) -> list[Value]:
        """The jet by atoms: each derivative as {transcendental number, or 1: algebraic factor}; see _activation_jet."""
        order = _order(order, "order", MAX_ORDER)
        exists = self._form.jumps.get(line.ZERO)
        if exists is not None and order >= exists:
            raise InputError(
                f"{self.text:.60} has no derivative of order {exists} at 0, order {order} was asked for; "
                "shift it, as in relu(y + 1/2), or take a smooth activation"
            )
        values = jet_values(self._form, order)
        for (base, alpha, beta, _), p in self._customs.items():
            if beta:
                at = line.text((beta,))
                raise InputError(f"the jet of {base.name} at {at} is not known, only at 0; define the shifted function")
            for k, value in enumerate(base.jet(order)):
                atom, factor = _as_atom(value)
                factor = factor * p[0] * power(alpha, k)
                if factor:
                    values[k][atom] = values[k].get(atom, line.ZERO) + factor
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


def _as_atom(value: Any) -> tuple[Any, Any]:
    """A sympy number as (atom, algebraic factor); the whole number is its own atom where it is not algebraic."""
    import sympy as sp

    try:
        return sp.Integer(1), exact(value)
    except InputError:
        return value, line.ONE


def _part_of(degree: int | None) -> Part:
    return "non-polynomial" if degree is None else ("polynomial", degree) if degree else "zero"


def _order(value: Any, name: str, most: int = 10**6) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or not 0 <= value <= most:
        raise InputError(f"{name} must be a whole number from 0 to {most}; got {value!r:.40}")
    return int(value)
