r"""Proof, at all orders, that the curve of the flow (4.1) stays in an algebraic set.

Where the field is a polynomial vector field X times a function without zeros, a polynomial f vanishes along the orbit
of X through 0 exactly when f, Xf, X(Xf), ... all vanish at 0 (X f := X . grad f). The ideals (f), (f, Xf), ... grow and
must stop; once one contains the next derivative it contains all later ones, so finitely many values at 0 are a proof. It
applies to polynomial activations, where X = F, and to activations with s_{k+2} = kappa s_k for all k (sin(b y + c), sums of
exp(b y) and exp(-b y)), where :math:`\lambda_k = s_k e^{\kappa\rho}` and so X = F exp(-kappa rho).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial, gcd
from typing import Any

from sympy import QQ
from sympy import sqrt as sympy_sqrt
from sympy.polys.groebnertools import groebner
from sympy.polys.orderings import grevlex
from sympy.polys.rings import PolyElement, PolyRing

from .. import _line as line
from .. import _sparse
from .._activation_form import ONE_KEY, NormalForm, primitive
from .._exact import is_rational, public, roots_in, sign
from ..activation import Activation
from ..errors import InputError
from ._jets import jet_of
from ._target import Target, derivative

__all__ = ["polynomial_field", "stays_in"]

# Sizes of a basis and of a polynomial that is added to it; beyond, the proof is given up, and the answer says: up to the
# order searched. Known gaps need a handful of polynomials of degree below ten.
_MOST, _TERMS, _DEGREE = 30, 300, 16


def polynomial_field(target: Target, sigma: Activation) -> list[PolyElement] | None:
    """X in p variables over QQ or QQ(square roots), or None where the field is not of that kind."""
    if not target.exact:
        return None
    top = target.degree + 2
    germ = _germ(sigma)
    degree = _declared_degree(sigma) if germ is None else germ.degree
    if degree is None and (germ is None or not _geometric(germ)):
        return None
    jet, why = jet_of(sigma, max(top, degree or 0))
    if why or jet.generators or jet.arithmetic == "60 digits":
        return None
    domain = _domain([*target.smoothed.values(), *jet.values])
    if domain is None:
        return None
    ring = PolyRing([f"w{i + 1}" for i in range(target.p)], domain, grevlex)
    w = ring.gens
    s = [_convert(x, domain) for x in jet.values]
    half = sum((x * x for x in w), ring.zero) * _convert(QQ(1, 2), domain)

    def average(k: int) -> PolyElement:
        """lambda_k, or s_k where the exponential is left out."""
        if degree is None:
            return ring.ground_new(s[k])
        most = [i for i in range((degree - k) // 2 + 1) if k + 2 * i < len(s)]
        terms = (half**i * (s[k + 2 * i] * _convert(QQ(1, factorial(i)), domain)) for i in most)
        return sum(terms, ring.zero)

    field = [ring.zero] * target.p
    for k in range(1, top + 1):
        factor = average(k)
        below = _element(target.by_order.get(k - 2, {}), ring) if k >= 2 else ring.zero
        if factor:
            for i in range(target.p):
                slope = _element(derivative(target.by_order.get(k, {}), i), ring)
                field[i] += factor * (slope + w[i] * below)
    return field


def _germ(sigma: Activation) -> NormalForm | None:
    """sigma near 0, where each step has one sign: relu(y + 1/2) is y + 1/2 there. That is all that its jet knows."""
    if sigma._customs:
        return None
    parts = []
    for (kind, alpha, beta), p in sigma._form.terms.items():
        if kind != "step":
            parts.append(((kind, alpha, beta), p))
        elif not beta:
            return None
        else:  # exp(alpha (y - beta)) sgn(y - beta)
            p = line.scale(p, -sign(beta))
            parts.append(primitive("exp", alpha, -(alpha * beta), p) if alpha else (ONE_KEY, p))
    return NormalForm(parts)


def _declared_degree(sigma: Activation) -> int | None:
    """Of a custom activation that is declared to be a polynomial."""
    try:
        return sigma.polynomial_degree
    except InputError:
        return None


def _domain(numbers: Sequence[Any]) -> Any:
    """QQ, or QQ with the square roots that occur; None where they are many."""
    generators: list[int] = []
    reached = {1}
    for m in sorted(roots_in(numbers)):
        if m not in reached:
            generators.append(m)
            reached |= {m * g // gcd(m, g) ** 2 for g in reached}
    if len(generators) > 2:
        return None
    return QQ.algebraic_field(*map(sympy_sqrt, generators)) if generators else QQ


def _convert(x: Any, domain: Any) -> Any:
    x = QQ.convert(x) if is_rational(x) else x
    return domain.convert(x, QQ) if is_rational(x) else domain.from_sympy(public(x))


def _geometric(germ: NormalForm) -> bool:
    """Whether s_{k+2} = kappa s_k for all k >= 1, with one kappa, from the normal form."""
    rates = set()
    for (kind, alpha, _), p in germ.terms.items():
        if kind == "one" and len(p) <= 1:
            continue
        if kind not in ("sin", "cos", "exp") or len(p) != 1:
            return False
        rates.add(alpha * alpha if kind == "exp" else -(alpha * alpha))
    return len(rates) == 1


def _element(terms: dict[int, Any], ring: PolyRing) -> PolyElement:
    return ring.from_dict({_sparse.exponents(key, ring.ngens): _convert(c, ring.domain) for key, c in terms.items()})


def stays_in(forms: Sequence[dict[int, Any]], field: Sequence[PolyElement]) -> tuple[str, ...] | None:
    """Equations of an invariant set that holds the orbit through 0 and on which the given polynomials vanish.

    Args:
        forms: polynomials ``{monomial: rational}``. field: from :func:`polynomial_field`.

    Returns:
        a basis of the ideal, as texts; () where some derivative does not vanish at 0, so that a polynomial does not
        vanish along the orbit; None where the basis grew too large.
    """
    ring = field[0].ring
    zero = (0,) * ring.ngens
    new = [_element(f, ring) for f in forms]
    basis: list[PolyElement] = []
    while new:
        if any(zero in f for f in new):
            return ()
        if any(len(f) > _TERMS or max(map(sum, f.monoms())) > _DEGREE for f in new) or len(basis) > _MOST:
            return None
        basis = groebner([*basis, *new], ring)
        found = []
        for f in basis:
            slope = sum((x * f.diff(v) for x, v in zip(field, ring.gens) if x), ring.zero)
            left = slope.rem(basis)
            if left:
                found.append(left)
        new = found
    return tuple(str(f.as_expr()) for f in basis)
