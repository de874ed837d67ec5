"""The normal form of an activation: what its parity, growth, smoothness and jet are read from, exactly.

Every activation of the catalogue is a finite sum  sum_i p_i(y) f_i(y)  with polynomials p_i and *primitives* f_i that
are even or odd in their own argument, identified by a key (kind, alpha, beta):

====== ======================================= ==========================
kind   f(y), t = alpha*y + beta                key of f(-y), and sign
====== ======================================= ==========================
one    1                                       itself, +
tanh   tanh t, alpha > 0                       (alpha, -beta), -
erf    erf(t/sqrt 2), alpha > 0                (alpha, -beta), -
lncosh log(2 cosh t), alpha > 0                (alpha, -beta), +
gauss  exp(-t^2/2), alpha > 0                  (alpha, -beta), +
sin    sin t, alpha > 0                        (alpha, -beta), -
cos    cos t, alpha > 0                        (alpha, -beta), +
exp    exp t, alpha != 0                       (-alpha, beta), +
step   exp(alpha (y - beta)) sgn(y - beta)     (-alpha, -beta), -
====== ======================================= ==========================

(logistic t = 1/2 + tanh(t/2)/2, softplus t = t/2 + log 2cosh(t/2), silu t = t logistic t, gelu t = t (1 + erf)/2,
relu t = (t + |t|)/2 and |t| = t sgn t, ...). All numbers alpha, beta and all coefficients of the p_i are real
algebraic. **Primitives with different keys are linearly independent over polynomials with real algebraic
coefficients**, so a sum is the zero function exactly when every p_i is 0, and the even part of a sum is found by
adding its mirror image key by key. Proof, for a sum that vanishes on the real line:

1. *step.* Away from their jumps all primitives are analytic. Crossing y = b changes only the terms
   E_b(y) sgn(y - b), E_b = sum over alpha of p(y) exp(alpha (y - b)): so E_b vanishes near b from one side, hence
   identically, and then each p by step 4 (one b, distinct alpha).
2. *tanh, lncosh* have poles, respectively logarithms, at (-beta + i pi (k + 1/2))/alpha, all others are entire. Take
   the greatest alpha among them: its singularity with k = 0 has the smallest imaginary part pi/(2 alpha), and for
   that alpha the real part -beta/alpha names beta; so there only p tanh + q lncosh is singular. A pole does not
   cancel a logarithm, and neither p nor q can vanish at that point, which is transcendental. So p = q = 0; go on.
3. *erf, gauss* on the imaginary axis y = is, s to infinity, have the size exp(alpha^2 s^2/2) with phases
   exp(-i alpha beta s), all others at most exp(C s); so keys separate, except that erf and gauss share theirs. There
   p erf + q gauss = (p R(t) + q) gauss, up to a polynomial, with the divergent asymptotic series
   R = -sqrt(2/pi) (1/t - 1/t^3 + 3/t^5 - ...), which is no rational function; so p = q = 0.
4. *exp, sin, cos, one.* Exponentials exp(lambda y) with distinct lambda are independent over polynomials; for one
   lambda and one power of y there remains a relation sum_j c_j exp(beta_j) = 0, or sum_j (a_j - i b_j) exp(i beta_j)
   = 0, with distinct algebraic beta_j and algebraic coefficients: all are 0 by Lindemann and Weierstrass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property, cmp_to_key

from . import _line as line
from ._exact import sign, to_float
from ._line import Exact, Line

__all__ = ["EVEN", "KINDS", "ONE_KEY", "Key", "NormalForm", "Part", "primitive"]

Key = tuple[str, Exact, Exact]
Part = str | tuple[str, int]

ONE_KEY: Key = ("one", line.ZERO, line.ZERO)
ODD = frozenset({"tanh", "erf", "sin"})
EVEN = frozenset({"lncosh", "gauss", "cos"})
KINDS = ODD | EVEN | {"one", "exp", "step"}


def primitive(kind: str, alpha: Exact, beta: Exact, factor: Line) -> tuple[Key, Line]:
    """factor(y) * f(alpha*y + beta) with the key brought to alpha > 0 where f is even or odd."""
    if kind in ODD | EVEN and sign(alpha) < 0:
        return (kind, -alpha, -beta), (line.scale(factor, -1) if kind in ODD else factor)
    return (kind, alpha, beta), factor


class NormalForm:
    """sum of p(y) * primitive, as {key: p}; immutable, hashable, equal exactly when the functions are equal."""

    def __init__(self, terms: Iterable[tuple[Key, Line]]):
        sums: dict[Key, Line] = {}
        for key, p in terms:
            sums[key] = line.add(sums.get(key, ()), p)
        self.terms: Mapping[Key, Line] = {key: p for key, p in sums.items() if p}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NormalForm) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def add(self, other: NormalForm, factor: int = 1) -> NormalForm:
        return NormalForm([*self.terms.items(), *((k, line.scale(p, factor)) for k, p in other.terms.items())])

    @cached_property
    def mirrored(self) -> NormalForm:
        """y -> self(-y)."""
        return NormalForm(_mirror(key, p) for key, p in self.terms.items())

    @property
    def degree(self) -> int | None:
        """Degree if this is a polynomial (0 for the zero polynomial), else None."""
        if set(self.terms) - {ONE_KEY}:
            return None
        return max(len(self.terms.get(ONE_KEY, ())) - 1, 0)

    @cached_property
    def even_part(self) -> Part:
        return _part(self.add(self.mirrored))

    @cached_property
    def odd_part(self) -> Part:
        return _part(self.add(self.mirrored, -1))

    # ---- behaviour at infinity ----

    @cached_property
    def growth(self) -> str:
        """Either "bounded", "polynomial" or "exponential", on the whole real line."""
        ends = [self._growth_at(side) for side in (1, -1)]
        return "exponential" if math.inf in ends else "bounded" if max(ends) <= 0 else "polynomial"

    def _growth_at(self, side: int) -> float:
        """Degree of the growth as y -> side * infinity: -1 or 0 bounded, inf exponential.

        Beyond the last jump each primitive is a polynomial, an oscillation or an exponential, up to terms that decay
        exponentially even after multiplication with p.
        """
        trend: Line = ()
        oscillation = -1
        exponentials: dict[tuple[Exact, Exact], Line] = {}
        for (kind, alpha, beta), p in self.terms.items():
            if kind in ("sin", "cos"):
                oscillation = max(oscillation, len(p) - 1)
            elif kind == "one":
                trend = line.add(trend, p)
            elif kind in ("tanh", "erf"):
                trend = line.add(trend, line.scale(p, side))
            elif kind == "lncosh":
                trend = line.add(trend, line.scale(line.multiply(p, line.linear(alpha, beta)), side))
            elif kind in ("exp", "step"):
                at = (alpha, beta if kind == "exp" else -(alpha * beta))
                exponentials[at] = line.add(exponentials.get(at, ()), p if kind == "exp" else line.scale(p, side))
        trend = line.add(trend, exponentials.pop((line.ZERO, line.ZERO), ()))
        if any(p and sign(alpha) == side for (alpha, _), p in exponentials.items()):
            return math.inf
        return max(len(trend) - 1, oscillation)

    # ---- smoothness ----

    @cached_property
    def jumps(self) -> Mapping[Exact, int]:
        """{b: m}: E_b vanishes to order m at b, so sigma is C^(m-1) but not C^m there; b ascending."""
        at: dict[Exact, dict[Exact, Line]] = {}
        for (kind, alpha, beta), p in self.terms.items():
            if kind == "step":
                at.setdefault(beta, {})[alpha] = p
        return {b: _vanishing_order(at[b], b) for b in sorted(at, key=cmp_to_key(lambda a, b: sign(a - b)))}

    @property
    def singularity_distance(self) -> float:
        """Distance of the nearest complex singularity from the real line (0 with a corner, inf if entire)."""
        if self.jumps:
            return 0.0
        alphas = [to_float(alpha) for (kind, alpha, _) in self.terms if kind in ("tanh", "lncosh")]
        return math.pi / 2 / max(alphas) if alphas else math.inf


def _mirror(key: Key, p: Line) -> tuple[Key, Line]:
    kind, alpha, beta = key
    q = tuple(-c if k % 2 else c for k, c in enumerate(p))
    if kind == "one":
        return key, q
    if kind == "exp":
        return (kind, -alpha, beta), q
    if kind == "step":
        return (kind, -alpha, -beta), line.scale(q, -1)
    return (kind, alpha, -beta), (line.scale(q, -1) if kind in ODD else q)


def _part(form: NormalForm) -> Part:
    if not form.terms:
        return "zero"
    return "non-polynomial" if form.degree is None else ("polynomial", form.degree)


def _vanishing_order(terms: Mapping[Exact, Line], b: Exact) -> int:
    """Order of the zero of E(y) = sum_alpha p_alpha(y) exp(alpha (y - b)) at y = b.

    E solves a linear differential equation of order sum(deg p + 1), so a nonzero E vanishes to less than that order.
    """
    local = {alpha: line.compose(p, line.ONE, b) for alpha, p in terms.items()}
    exponential = dict.fromkeys(terms, line.ONE)  # alpha^k/k!, from k = 0 on
    series = {alpha: [line.ONE] for alpha in terms}
    for order in range(sum(len(p) for p in terms.values())):
        total = line.ZERO
        for alpha, p in local.items():
            if order:
                exponential[alpha] = exponential[alpha] * alpha / order
                series[alpha].append(exponential[alpha])
            for k, c in enumerate(p[: order + 1]):
                total = total + c * series[alpha][order - k]
        if total:
            return order
    raise AssertionError("a nonzero exponential polynomial has a zero of finite order")
