r"""The trapping theorem with its constants: how long, and how well, a network is held away from a subspace.

Let S be hidden from sigma (h* reflective with respect to S, or w_S = 0 invariant without a bias), g the part of h* that
is hidden behind it, :math:`g=h^*-E[h^*\mid z_{S^\perp}]`, and :math:`m(t)^2=\int|w_S|^2d\rho_t`. Then, with
:math:`M_j=\|\sigma^{(j)}\|_\infty`, :math:`|a|\le A` at time 0 and :math:`E_0` the initial loss,

.. math::
   m(t)\le m(0)\exp\int_0^t\xi_w\bigl(\sqrt3M_2\sqrt{2E_0}\,K_a+M_1^2Q\bigr)ds,\qquad
   E(\rho_t)\ge\tfrac12Eg^2-\tfrac{\sqrt3}2M_2\|g\|\int|a||w_S|^2d\rho_t,

where K_a(t) bounds \|a\| and Q(t) bounds int a^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import factorial, inf, prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from ..activation import Activation
from ..errors import InputError
from ..polynomial import Polynomial
from ._common import Schedule, _read_schedule, crossing, read_activation, short
from .result import Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TrappingBound", "activation_norms", "hidden_correlation", "trapping_bound"]


def activation_norms(activation: Activation | str) -> tuple[float, float, float]:
    r""":math:`(\|\sigma\|_\infty,\|\sigma'\|_\infty,\|\sigma''\|_\infty)`, with ``inf`` where there is no bound.

    The suprema are searched on a grid of step 0.002 over [-40, 40] and at +-1e3, and refined to rounding. The second
    derivative is the slope of sigma' by differences of the fourth order (error below 1e-9), one-sided ones where sigma''
    jumps. A corner of sigma makes the last one infinite.

    Raises InputError for an activation of undeclared smoothness (a custom one).

    Source: this book, The trapping theorem. Checked against closed forms: tanh 4/(3 sqrt 3), sin 1, logistic 1/4.
    """
    sigma = read_activation(activation)
    if sigma.smoothness is None or sigma.growth is None:
        raise InputError(f"{sigma}: declare growth and smoothness, so that its norms can be found")
    if sigma.growth == "exponential":
        return inf, inf, inf
    step = 1e-3

    def second(y: np.ndarray) -> np.ndarray:
        one = sigma.derivative(y + step) - sigma.derivative(y - step)
        two = sigma.derivative(y + 2 * step) - sigma.derivative(y - 2 * step)
        slope = (8 * one - two) / (12 * step)
        for b in sigma.breakpoints:  # the jump itself is seen from its two sides, below
            slope[np.abs(y - b) < 2.1 * step] = 0.0
        return slope

    def one_sided(b: float, h: float) -> float:
        y = sigma.derivative(b + h * (1e-6 + np.arange(3.0)))
        return abs(float(4 * y[1] - 3 * y[0] - y[2]) / (2 * h))

    jumps = [one_sided(b, h) for b in sigma.breakpoints for h in (1e-5, -1e-5)]
    first = _supremum(sigma.derivative)
    return (
        _supremum(sigma) if sigma.growth == "bounded" else inf,
        first,
        inf if sigma.smoothness == 0 or first == inf else max([_supremum(second), *jumps]),
    )


def _supremum(function: Callable[[np.ndarray], np.ndarray]) -> float:
    from scipy.optimize import minimize_scalar

    grid = np.concatenate([[-1e3, -500.0], np.linspace(-40, 40, 40_001), [500.0, 1e3]])
    sizes = np.abs(function(grid))
    ends = max(sizes[0], sizes[-1])
    if not np.all(np.isfinite(sizes)) or (ends > 1.001 * max(sizes[1], sizes[-2]) and ends >= sizes.max()):
        return inf  # still growing at the ends
    i = int(np.clip(np.argmax(sizes), 1, len(grid) - 2))
    peak = minimize_scalar(
        lambda y: -float(np.abs(function(np.array([y])))[0]), bounds=(grid[i - 1], grid[i + 1]), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    return float(max(sizes.max(), -peak.fun))


@dataclass(frozen=True)
class TrappingBound:
    r"""What the trapping theorem says about one run, from the run's own constants (:func:`trapping_bound`).

    Attributes
    ----------
    subspace : orthonormal rows (s, p) of S.
    floor : the exact loss floor :math:`\frac12Eg^2` of ``decide.loss_floor``.
    constants : the numbers that enter: "norms" (M_0, M_1, M_2), "A", "mean_square_a", "E_0", "target_norm", "hidden_norm"
        (the norm of g), "m_0".
    times : (T,).
    output_bound : (T,), K_a(t), a bound of \|a\|.
    mass_bound : (T,), the bound of m(t)^2; for SGD, of its expectation.
    mass : (T,), m(t)^2 as it was in the run.
    deficit_bound : (T,), the bound of the deficit from the constants alone, :math:`\frac{\sqrt3}2M_2\|g\|K_a` times
        ``mass_bound``.
    deficit : (T,), the deficit that the run's own weights allow,
        :math:`\frac{\sqrt3}2M_2\|g\|\int|a||w_S|^2d\rho_t`; it holds for any network, however it was trained.
    margin : (T,), loss minus (floor minus ``deficit``): the theorem says that it is not negative.
    """

    subspace: np.ndarray
    floor: Any
    constants: dict[str, Any]
    times: np.ndarray
    output_bound: np.ndarray
    mass_bound: np.ndarray
    mass: np.ndarray
    deficit_bound: np.ndarray
    deficit: np.ndarray
    margin: np.ndarray

    def __repr__(self) -> str:
        text = "holds" if self.holds() else "DOES NOT HOLD"
        return (
            f"<TrappingBound dim S={len(self.subspace)}, floor {self.floor}: {text} on t={self.times[0]:g}.."
            f"{self.times[-1]:g}, least margin {self.margin.min():.2g}>"
        )

    def holds(self, error: float = 0.0) -> bool:
        """Whether mass and loss obey the bounds at every recorded time; ``error``: of the losses, to be forgiven."""
        enough = 1e-12 + error
        return bool(np.all(self.mass <= self.mass_bound * (1 + 1e-9) + 1e-24) and np.all(self.margin >= -enough))

    def escape_time(self, level: float = 0.25) -> float:
        """Where the bound of m reaches ``level``, which m cannot do before; infinity if not by the last time.

        Between recorded times the logarithm of the bound is interpolated, exactly for constant rates and a frozen output
        layer, and on the safe side where it is convex (both layers at constant rates); where it starts at 0, the time
        before is given. Record densely otherwise.
        """
        first = int(np.argmax(self.mass_bound >= level * level))
        if first and self.mass_bound[first - 1] <= 0:
            return float(self.times[first - 1])
        return crossing(self.times, self.mass_bound, level * level)


def _schedule(run: Trajectory, name: str, given: Any) -> Schedule:
    value = run.settings[name] if given is None else given
    if isinstance(value, str):
        raise InputError(f"{name} of this run was a function ({value}): give it again, {name}=...")
    return _read_schedule(value, name)


def _floor(h: Polynomial, sigma: Activation, rows: np.ndarray) -> Any:
    """The exact floor of S where S is hidden from sigma; InputError otherwise."""
    from .. import decide

    for found in (decide.largest_invariant_subspace(h, sigma), decide.largest_reflective_subspace(h, sigma)):
        if found.dimension == len(rows):
            basis = np.array([[float(x) for x in row] for row in found.basis])
            if np.linalg.matrix_rank(np.vstack([basis, rows]), tol=1e-9) == len(rows):
                return decide.loss_floor(h, found)
    plain = [[Fraction(round(x)) if abs(x - round(x)) < 1e-14 else float(x) for x in row] for row in rows]
    if decide.is_reflective(h, plain, sigma):
        return decide.loss_floor(h, plain)
    raise InputError(
        f"the subspace {short(rows.tolist())} is not hidden from {sigma}: nothing holds a network away from it "
        "(decide.largest_invariant_subspace gives the largest one that is)"
    )


def _hidden_part(h: Polynomial, rows: np.ndarray) -> tuple[float, dict[tuple[int, ...], float], np.ndarray]:
    """(norm of g, its Hermite coefficients d_alpha in rotated coordinates, the rotation), S the first coordinates."""
    from .._exact import to_float
    from ._rotated import rotated_hermite

    frame = np.linalg.svd(rows, full_matrices=True)[2]
    frame = np.vstack([rows, frame[len(rows) :]])
    coefficients = rotated_hermite({k: to_float(v) for k, v in h.hermite_coefficients.items()}, frame)
    hidden = {alpha: d for alpha, d in coefficients.items() if sum(alpha[: len(rows)])}
    return sqrt(sum(d * d * prod(map(factorial, alpha)) for alpha, d in hidden.items())), hidden, frame


def hidden_correlation(run: Trajectory) -> float:
    r""":math:`E[g f]` at the end of a run: what the network has found of the part of the target hidden behind S.

    With g = h* - E[h* | z_{S^perp}] any network obeys :math:`E\ge\frac12Eg^2-E[gf]`, so that this is the deficit itself,
    without a constant; the trapping theorem bounds it by ``TrappingBound.deficit``. Computed exactly through Hermite
    profiles from ``run.final_state``; S is the ``subspace`` of the run.

    Raises InputError where the run recorded no subspace.

    Source: this book, The trapping theorem. Checked against quadrature and against Monte Carlo averages.
    """
    rows, h, sigma = _of_run(run)
    from ._limit_field import TargetForms
    from .hermite import hermite_profile

    _, hidden, frame = _hidden_part(h, rows)
    if not hidden:
        return 0.0
    state = run.final_state
    w = state["w"]
    r = np.sqrt(np.sum(w * w, axis=1) + np.asarray(state.get("rho", 0.0)) ** 2)
    u = (w[:, : h.p] @ frame.T) / np.maximum(r, 1e-300)[:, None]
    values, _ = TargetForms.of_coefficients(hidden, h.p)(u)
    profiles = hermite_profile(sigma, r, values.shape[1])
    return float((state["mass"] * state["a"]) @ np.sum(profiles * values, axis=1))


def _of_run(run: Trajectory) -> tuple[np.ndarray, Polynomial, Activation]:
    if not isinstance(run, Trajectory):
        raise InputError(f"a Trajectory is needed, got {short(run)}")
    if run.settings.get("subspace") is None or run.overlaps is None:
        raise InputError("the run recorded no subspace: run with subspace=..., for instance subspace=['z2', 'z3']")
    if "b" in run.final_state or "bias" in run.settings:
        raise InputError(
            "this run has biases: the theorem here is about networks without (a hidden S may be found by them)"
        )
    if run.problem is not None:
        h, sigma = run.problem
    else:
        h = Polynomial(run.settings["target"], run.settings.get("variables"))
        sigma = read_activation(run.settings["activation"])
    return np.atleast_2d(np.array(run.settings["subspace"], dtype=np.float64)), h, sigma


def trapping_bound(run: Trajectory, *, schedule_a: Any = None, schedule_w: Any = None) -> TrappingBound:
    r"""The trapping theorem applied to a run: how far it can have come towards its ``subspace`` S, and its loss.

    The constants are the run's own: A = sup \|a\| and int a^2 at time 0, the initial loss E_0, the schedules, m(0). Let X_a
    be the integral of xi_a. If sigma is bounded, :math:`K_a=A+M_0\sqrt{2E_0}X_a`; if not, K_a comes, along with a bound of
    \|w\|, from :math:`|\dot a|\le\xi_a\sqrt{2E_0}(|\sigma(0)|+M_1|w|)` and :math:`|\dot w|\le\xi_wM_1\sqrt{2E_0}|a|`. Always
    :math:`Q=\min(K_a^2,\int a_0^2d\rho_0+\frac12\|f^*\|^2X_a)`.

    For bounded sigma the exponent is O(t) if xi_a is integrable and O(t + t^2) if not: from w ~ N(0, I/d), where m(0)^2 is
    about dim S / d, S cannot be found before a multiple of log d, or of its square root. For unbounded sigma and a trained
    output layer K_a grows exponentially, and the bound on the escape time like log log d only.

    For SGD with a frozen output layer and constant step eta and batch b (Proposition *Noise* of the chapter), with
    :math:`\bar\rho=\|f^*\|+M_0\int|a|` in place of :math:`\sqrt{2E_0}` and c the exponent's rate,
    :math:`E\,m(t)^2\le e^{2ct}\bigl(m(0)^2+\tfrac{\eta t}bQM_1^2G^2\bigr)`,
    :math:`G=(E|f^*|^2|x_S|^2)^{1/2}+M_0\int|a|\,\sqrt{\dim S}`.

    Parameters
    ----------
    run : a run of ``meanfield``, ``population`` or ``sgd`` with ``subspace`` given, recorded from time 0.
    schedule_a, schedule_w : the schedules again, where they were functions.

    Raises
    ------
    InputError where S is not hidden from sigma, sigma' or sigma'' is unbounded (ReLU, polynomials, exp), the record does
    not start at 0, or an SGD run trained its output layer (its a is random, and unbounded).

    Source: this book, The trapping theorem, with proof.
    """
    rows, h, sigma = _of_run(run)
    floor = _floor(h, sigma, rows)
    norms = activation_norms(sigma)
    if norms[2] == inf or norms[1] == inf:
        what = "first" if norms[1] == inf else "second"
        raise InputError(f"the {what} derivative of {sigma} is not bounded: the theorem does not apply")
    if not len(run.times) or run.times[0] != 0:
        raise InputError("the bound starts from the initial network: record time 0 (times=[0, ...])")
    rates = _schedule(run, "schedule_a", schedule_a), _schedule(run, "schedule_w", schedule_w)
    sizes = run.info["initial"]
    norm = sqrt(float(h.inner(h)))
    hidden_norm = _hidden_part(h, rows)[0]
    excess = sqrt(max(0.0, 2 * float(run.losses[0])))
    noise = 0.0
    if run.method == "sgd":
        excess, noise = _sgd_constants(run, h, rows, norms, rates, sizes, norm)
    output, exponent = _exponents(run.times, sigma, norms, rates, sizes, norm, excess)
    mass_0 = float(run.overlaps[0] ** 2)
    mass_bound = np.exp(np.minimum(2 * exponent, 700.0)) * (mass_0 + noise * run.times)
    factor = 0.5 * sqrt(3.0) * norms[2] * hidden_norm
    deficit = factor * run.weighted_masses
    return TrappingBound(
        subspace=rows,
        floor=floor,
        constants={
            "norms": norms,
            "A": sizes["largest_a"],
            "mean_square_a": sizes["mean_square_a"],
            "E_0": float(run.losses[0]),
            "target_norm": norm,
            "hidden_norm": hidden_norm,
            "m_0": float(run.overlaps[0]),
        },
        times=run.times,
        output_bound=output,
        mass_bound=mass_bound,
        mass=run.masses,
        deficit_bound=factor * output * mass_bound,
        deficit=deficit,
        margin=run.losses - float(floor) + deficit,
    )


def _exponents(times, sigma, norms, rates, sizes, norm, excess) -> tuple[np.ndarray, np.ndarray]:
    """(K_a, the exponent) at the times, by integration of their differential equations."""
    from scipy.integrate import solve_ivp

    zero = abs(float(sigma(0.0)))

    def rate(t: float, y: np.ndarray) -> list[float]:
        xi_a, xi_w = rates[0](t), rates[1](t)
        x, k, r, _ = y
        growth = norms[0] if norms[0] < inf else zero + norms[1] * r
        square = min(k * k, sizes["mean_square_a"] + 0.5 * norm * norm * x)
        force = sqrt(3.0) * norms[2] * excess * k + norms[1] ** 2 * square
        return [xi_a, xi_a * excess * growth, xi_w * norms[1] * excess * k, xi_w * force]

    start = [0.0, sizes["largest_a"], sizes["largest_w"], 0.0]
    if len(times) == 1:
        return np.array([start[1]]), np.zeros(1)
    with np.errstate(over="ignore"):
        found = solve_ivp(rate, (0.0, times[-1]), start, t_eval=times, rtol=1e-10, atol=1e-12, max_step=times[-1] / 20)
    return found.y[1], found.y[3]


def _sgd_constants(run, h, rows, norms, rates, sizes, norm) -> tuple[float, float]:
    """(a bound of the norm of f - f*, the growth of the noise's share of m^2 a unit of time)."""
    if norms[0] == inf or not (rates[0].constant and rates[0].value == 0.0 and rates[1].constant):
        raise InputError(
            'for SGD the bound is proved for a frozen output layer and a constant rate: train="w", with a bounded '
            "activation"
        )
    output = norms[0] * sizes["mean_a"]
    g = sqrt(sum(_mean_square_product(h, row) for row in rows)) + output * sqrt(len(rows))
    noise = run.settings["step"] / run.settings["batch"] * rates[1].value ** 2
    return norm + output, noise * sizes["mean_square_a"] * norms[1] ** 2 * g * g


def _mean_square_product(h: Polynomial, b: np.ndarray) -> float:
    """E (h* (b.z))^2, through Hermite coefficients: z_i He_k = He_{k+1} + k He_{k-1}."""
    from .._exact import to_float

    product: dict[tuple[int, ...], float] = {}
    for alpha, d in h.hermite_coefficients.items():
        for i, c in enumerate(b.tolist()):
            up = alpha[:i] + (alpha[i] + 1,) + alpha[i + 1 :]
            product[up] = product.get(up, 0.0) + c * to_float(d)
            if alpha[i]:
                down = alpha[:i] + (alpha[i] - 1,) + alpha[i + 1 :]
                product[down] = product.get(down, 0.0) + c * to_float(d) * alpha[i]
    return sum(d * d * prod(map(factorial, alpha)) for alpha, d in product.items())
