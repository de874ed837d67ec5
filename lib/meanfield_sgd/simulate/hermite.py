r"""Gaussian averages of an activation: quadrature, Hermite profiles, the pair kernel and its closed forms.

With :math:`g\sim N(0,1)` and the orthonormal Hermite polynomials :math:`he_k=He_k/\sqrt{k!}`,

.. math::
   B_k(r)=E[\sigma(rg)\,he_k(g)],\qquad D_k(r)=E[\sigma'(rg)\,he_k(g)],\qquad
   E[\sigma(w^Tx)\sigma(w'^Tx)]=\sum_k B_k(|w|)B_k(|w'|)\cos^k\angle(w,w') .

Everything that the simulations need follows from the :math:`D_k`: :math:`B_k=rD_{k-1}/\sqrt k`,
:math:`B_k'=\sqrt{k+1}D_{k+1}+\sqrt kD_{k-1}` and :math:`D_k'=(kD_k+\sqrt{(k+1)(k+2)}D_{k+2})/r` (Stein's lemma), so no
second derivative of the activation is ever taken and nothing is singular at :math:`r=0`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import roots_hermitenorm, roots_legendre

from ..activation import Activation
from ..errors import InputError, ToleranceError

__all__ = [
    "ProfileTable",
    "arccosine_kernel",
    "arcsine_kernel",
    "direct_averages",
    "gauss_hermite",
    "hermite_functions",
    "hermite_profile",
    "pair_kernel",
    "pair_kernel_quadrature",
]

# Beyond |g| = 13 every integrand he_k(g) exp(-g^2/2) sigma(rg) of at most polynomial growth is below 1e-17.
_REACH = 13.0
_POINTS = 16
_MAX_PANELS = 2048
_MAX_ORDERS = 512


def gauss_hermite(n: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Nodes and weights, shape (n,), with :math:`\sum_i w_i q(x_i)=E\,q(g)`, :math:`g\sim N(0,1)`, for deg q < 2n.

    The weights sum to one. Needs 1 <= n <= 1000 (:class:`InputError` otherwise), the range in which scipy's rule is
    known to stay finite and accurate.
    """
    if not 1 <= n <= 1000:
        raise InputError(f"gauss_hermite needs 1 <= n <= 1000 nodes, got {n}")
    nodes, weights = roots_hermitenorm(int(n))
    return nodes, weights / weights.sum()


def hermite_functions(orders: int, g: np.ndarray) -> np.ndarray:
    r"""The orthonormal Hermite polynomials :math:`he_0(g),\dots,he_{\text{orders}-1}(g)`, shape (orders, \*g.shape).

    Three-term recurrence :math:`\sqrt{k+1}\,he_{k+1}=g\,he_k-\sqrt k\,he_{k-1}`, stable for every real g.
    """
    g = np.asarray(g, dtype=float)
    out = np.empty((orders, *g.shape))
    out[0] = 1.0
    if orders > 1:
        out[1] = g
    for k in range(1, orders - 1):
        out[k + 1] = (g * out[k] - np.sqrt(k) * out[k - 1]) / np.sqrt(k + 1)
    return out


def _panel_rule(radii: np.ndarray, breakpoints: tuple[float, ...], panels: int, reach: float):
    """Composite Gauss-Legendre nodes and Gaussian weights, (R, Q) (or (1, Q) if the kinks do not move with the radius).

    A kink of sigma at y sits at g = y/r: the segments end there, so that every piece is smooth.
    """
    moving = any(b != 0 for b in breakpoints)
    rows = radii if moving else radii[:1]
    cuts = [np.full(rows.shape, -reach), np.full(rows.shape, reach)]
    for b in breakpoints:
        with np.errstate(divide="ignore"):
            cuts.append(
                np.clip(np.where(rows > 0, b / np.where(rows > 0, rows, 1.0), np.sign(b) * reach), -reach, reach)
            )
    edges = np.sort(np.stack(cuts, axis=1), axis=1)  # (R, segments + 1)
    x, w = roots_legendre(_POINTS)
    left = (np.arange(panels)[:, None] + (x + 1) / 2).ravel() / panels  # nodes of the unit segment
    width = np.tile(w / 2, panels) / panels
    length = np.diff(edges, axis=1)[:, :, None]
    g = (edges[:, :-1, None] + length * left).reshape(len(rows), -1)
    weight = (length * width).reshape(len(rows), -1) * np.exp(-g * g / 2) / np.sqrt(2 * np.pi)
    return g, weight


def _averages(function, radii: np.ndarray, orders: int, breakpoints, reach: float, panels: int) -> np.ndarray:
    """E[function(r g) he_k(g)] for k < orders, shape (R, orders), by one composite rule."""
    out = np.empty((len(radii), orders))
    # Blocks of radii keep the work arrays in the cache.
    block = max(1, int(4e6 // (_POINTS * panels * (len(breakpoints) + 1) * (orders if any(breakpoints) else 1))))
    fixed = None
    for start in range(0, len(radii), block):
        r = radii[start : start + block]
        if fixed is None or any(breakpoints):
            g, weight = _panel_rule(r, breakpoints, panels, reach)
            basis = hermite_functions(orders, g) * weight
            fixed = (g, basis)
        g, basis = fixed
        with np.errstate(over="ignore", invalid="ignore"):  # checked by the caller
            values = function(r[:, None] * g)
        if basis.shape[1] == 1:
            with np.errstate(over="ignore", invalid="ignore"):
                out[start : start + block] = values @ basis[:, 0, :].T
        else:
            out[start : start + block] = np.einsum("rq,krq->rk", values, basis)
    return out


def _converged_averages(function, activation: Activation, radii: np.ndarray, orders: int, what: str) -> np.ndarray:
    """Double the panels until nothing moves by more than 2e-12 of the scale."""
    reach = _REACH + (
        0.0 if activation.growth in ("bounded", "polynomial") else 3.0 * float(np.max(radii, initial=0.0))
    )
    breakpoints = tuple(float(b) for b in activation.breakpoints)
    panels = 16
    last = _averages(function, radii, orders, breakpoints, reach, panels)
    # Averages that cancel (odd orders of an odd function) are known to rounding of E|function|, not of themselves.
    size = np.abs(_averages(lambda y: np.abs(function(y)), radii, 1, breakpoints, reach, panels))
    while panels < _MAX_PANELS:
        panels *= 2
        new = _averages(function, radii, orders, breakpoints, reach, panels)
        scale = 1.0 + size + np.max(np.abs(new), axis=1, keepdims=True, initial=0.0)
        if not np.all(np.isfinite(new)):
            raise ToleranceError(f"the Gaussian averages of {what} overflow at radius {float(np.max(radii)):.3g}")
        # A refined rule is far better than the difference says; 2e-12 here leaves the result at rounding level.
        if np.all(np.abs(new - last) <= 2e-12 * scale):
            return new
        last = new
    raise ToleranceError(f"the Gaussian averages of {what} did not settle with {_MAX_PANELS} panels; is it smooth?")


def _zero_odd_orders(activation: Activation, values: np.ndarray, shift: int) -> np.ndarray:
    """Set the columns that vanish by parity to exactly 0: order k does not count when sigma^(k) is odd."""
    for k in range(values.shape[1]):
        try:
            odd = activation.derivative_is_odd(k + shift)
        except InputError:  # a user's own activation that does not say: then its averages come out as they are
            return values
        if odd:
            values[:, k] = 0.0
    return values


def _radii(r) -> np.ndarray:
    radii = np.atleast_1d(np.asarray(r, dtype=float))
    if radii.ndim != 1 or not np.all(np.isfinite(radii)) or np.any(radii < 0):
        raise InputError("radii must be finite, non-negative numbers (a number or a one-dimensional array)")
    return radii


def hermite_profile(activation, r, orders: int = 24, *, derivative: bool = False) -> np.ndarray:
    r"""Hermite profiles :math:`B_k(r)=E[\sigma(rg)\,he_k(g)]`, k = 0 ... orders-1.

    Parameters
    ----------
    activation : Activation or str
    r : radius (number) or radii (R,), non-negative; the radius is the norm of a weight vector
    orders : how many Hermite orders
    derivative : True gives :math:`D_k(r)=E[\sigma'(rg)\,he_k(g)]` instead

    Returns
    -------
    array (orders,) for a number, (R, orders) for an array; float64, checked to 3e-12 of the value
    (composite Gauss-Legendre, cut at the kinks of the activation, doubled until it settles).

    Raises
    ------
    InputError for a negative radius; ToleranceError if the averages do not settle.
    """
    activation = Activation(activation) if not isinstance(activation, Activation) else activation
    if not 1 <= orders <= _MAX_ORDERS:
        raise InputError(f"orders must lie in 1..{_MAX_ORDERS}, got {orders}")
    radii = _radii(r)
    function = activation.derivative if derivative else activation
    values = _converged_averages(function, activation, radii, orders, str(activation))
    values = _zero_odd_orders(activation, values, 1 if derivative else 0)
    return values[0] if np.ndim(r) == 0 else values


class ProfileTable:
    r"""The :math:`D_k(r)` and :math:`B_0(r)` of one activation, tabulated once and read by cubic Hermite interpolation.

    ``table(r)`` gives ``(B0, D)`` with shapes (N,) and (N, orders + 1): columns :math:`D_0\dots D_{\text{orders}}`, which
    is what :math:`B_0\dots B_{\text{orders}-1}` and their gradients need. The grid has ``step`` 1/256; the interpolation
    error is below 1e-9 (checked in the tests up to r = 6 and 40 orders), and below 1e-6 where a kink away from 0 meets a
    small radius (``relu(y+1/2)`` near r = 0.1, in the highest orders). A radius beyond the grid extends it.

    Attributes for those who interpolate elsewhere (on a GPU): ``step``, ``coefficients`` of shape
    (intervals, 4, orders + 2), where on interval i with s = (r - i step)/step the columns are
    ``c[i,0] + s c[i,1] + s^2 c[i,2] + s^3 c[i,3]``; column 0 is B_0, column 1 + k is D_k.
    """

    step = 1.0 / 256
    largest_radius = 200.0

    def __init__(self, activation, orders: int = 64, r_max: float = 3.0):
        self.activation = Activation(activation) if not isinstance(activation, Activation) else activation
        if not 2 <= orders <= _MAX_ORDERS:
            raise InputError(f"orders must lie in 2..{_MAX_ORDERS}, got {orders}")
        self.orders = orders
        self.coefficients = np.empty((0, 4, orders + 2))
        self.extend(r_max)

    @property
    def r_max(self) -> float:
        """The largest radius tabulated so far."""
        return len(self.coefficients) * self.step

    def extend(self, r_max: float) -> None:
        """Tabulate up to ``r_max`` (ToleranceError beyond radius 200: the flow has run away)."""
        if r_max > self.largest_radius:
            raise ToleranceError(
                f"a weight vector reached norm {r_max:.3g}; profiles are tabulated to {self.largest_radius:g}"
            )
        first = len(self.coefficients)
        last = int(np.ceil(r_max / self.step)) + 1
        if last <= first:
            return
        grid = np.arange(first, last + 1) * self.step
        # With a kink of sigma at 0 (relu), D_k jumps at r = 0; the table holds its limit from the right.
        right = np.maximum(grid, 1e-12) if self.activation.smoothness == 0 else grid
        d = hermite_profile(self.activation, right, self.orders + 3, derivative=True)
        b0 = hermite_profile(self.activation, grid, 1)
        k = np.arange(self.orders + 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = (k * d[:, :-2] + np.sqrt((k + 1) * (k + 2)) * d[:, 2:]) / grid[:, None]
        if first == 0:
            # At r = 0 only D_1 has a slope where sigma'' is continuous there; a corner of sigma' at 0 (elu) gives all of
            # them one. Second-order differences over a small radius find it without sigma''.
            small = 2.0**-14
            near = hermite_profile(self.activation, right[0] + small * np.arange(3), self.orders + 1, derivative=True)
            rise = (4 * near[1] - near[2] - 3 * near[0]) / (2 * small)
            corner = any(float(b) == 0.0 for b in self.activation.breakpoints)
            slope[0] = rise if corner else 0.0
            slope[0, 1] = rise[1]
        values = np.concatenate([b0, d[:, :-2]], axis=1)
        slopes = np.concatenate([d[:, 1:2], slope], axis=1) * self.step
        v0, v1, s0, s1 = values[:-1], values[1:], slopes[:-1], slopes[1:]
        new = np.stack([v0, s0, 3 * (v1 - v0) - 2 * s0 - s1, 2 * (v0 - v1) + s0 + s1], axis=1)
        self.coefficients = np.concatenate([self.coefficients, new])

    def __call__(self, r: np.ndarray, orders: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(B0, D) at radii r (N,), the first ``orders + 1`` columns of D."""
        width = (self.orders if orders is None else orders) + 2
        position = r * (1.0 / self.step)
        index = position.astype(np.intp)
        if len(index) and index.max() >= len(self.coefficients):
            self.extend(1.5 * float(r.max()))
        s = np.empty((len(r), 1, 4))
        s[:, 0, 0] = 1.0
        s[:, 0, 1] = position - index
        np.multiply(s[:, 0, 1], s[:, 0, 1], out=s[:, 0, 2])
        np.multiply(s[:, 0, 2], s[:, 0, 1], out=s[:, 0, 3])
        values = np.matmul(s, self.coefficients[index, :, :width])[:, 0]
        return values[:, 0], values[:, 1:]


@lru_cache(maxsize=32)
def shared_table(activation: Activation, orders: int) -> ProfileTable:
    """One table per activation and number of orders in a process; tables only ever grow."""
    return ProfileTable(activation, orders)


def _check_weights(w, name: str) -> np.ndarray:
    w = np.atleast_2d(np.asarray(w, dtype=float))
    if w.ndim != 2 or not np.all(np.isfinite(w)):
        raise InputError(f"{name} must be finite, of shape (d,) or (N, d)")
    return w


def _squared_mean(activation: Activation, radii: np.ndarray) -> np.ndarray:
    """E sigma(r g)^2, shape (R,)."""
    return _converged_averages(lambda y: activation(y) ** 2, activation, radii, 1, f"{activation} squared")[:, 0]


def pair_kernel(activation, w, v, *, tolerance: float = 1e-11) -> np.ndarray:
    r"""The pair kernel :math:`E_x[\sigma(w^Tx)\sigma(v^Tx)]`, x ~ N(0, I_d), as its Hermite series.

    Parameters
    ----------
    w, v : weights (N, d) and (M, d) (or (d,))
    tolerance : absolute; the remainder after K orders is at most
        :math:`|c|^K\sqrt{R_K(|w|)R_K(|v|)}`, :math:`R_K(r)=E\sigma(rg)^2-\sum_{k<K}B_k(r)^2` (Cauchy-Schwarz), and K grows
        until that bound is below ``tolerance``.

    Returns
    -------
    array (N, M), float64.

    Raises
    ------
    ToleranceError where 512 orders do not suffice, with the bound that was reached: an activation with a kink and
    nearly parallel weights. For ReLU there is :func:`arccosine_kernel`, for anything :func:`pair_kernel_quadrature`.
    """
    activation = Activation(activation) if not isinstance(activation, Activation) else activation
    w, v = _check_weights(w, "w"), _check_weights(v, "v")
    if w.shape[1] != v.shape[1]:
        raise InputError(f"w and v live in different spaces: shapes {w.shape} and {v.shape}")
    rw, rv = np.linalg.norm(w, axis=1), np.linalg.norm(v, axis=1)
    norm = np.outer(rw, rv)
    c = np.clip(np.divide(w @ v.T, norm, out=np.zeros_like(norm), where=norm > 0), -1.0, 1.0)
    orders = 32
    while True:
        bw, bv = hermite_profile(activation, rw, orders), hermite_profile(activation, rv, orders)
        total = np.zeros_like(c)
        for k in range(orders - 1, -1, -1):  # Horner in the cosine
            total = total * c + np.outer(bw[:, k], bv[:, k])
        tail_w = np.maximum(_squared_mean(activation, rw) - np.sum(bw**2, axis=1), 0.0)
        tail_v = np.maximum(_squared_mean(activation, rv) - np.sum(bv**2, axis=1), 0.0)
        bound = float(np.max(np.abs(c) ** orders * np.sqrt(np.outer(tail_w, tail_v)), initial=0.0))
        # The differences above cancel to about 1e-15 of E sigma^2: nothing smaller can be certified.
        floor = 4e-15 * float(np.max(_squared_mean(activation, np.concatenate([rw, rv])), initial=0.0))
        if bound <= max(tolerance, floor):
            return total
        if orders >= _MAX_ORDERS:
            closed = ", or the closed form arccosine_kernel" if activation == Activation("relu") else ""
            raise ToleranceError(
                f"the pair kernel of {activation} has a remainder of up to {bound:.1e} after {orders} orders, above the "
                f"tolerance {tolerance:.1e}; use pair_kernel_quadrature{closed}"
            )
        orders = min(2 * orders, _MAX_ORDERS)


def pair_kernel_quadrature(activation, w, v, *, panels: int = 24) -> np.ndarray:
    r"""The pair kernel by tensor quadrature in the plane of w and v: slow, and independent of :func:`pair_kernel`.

    Writes :math:`w^Tx=|w|g`, :math:`v^Tx=|v|(cg+\sqrt{1-c^2}g')` and applies a composite Gauss-Legendre rule with
    ``panels`` panels of 16 points on each piece between the kinks, in g and, for every g, in g'. Shapes as in
    :func:`pair_kernel`. Checked to 1e-10 for smooth activations, and to 1e-12 for relu and abs down to angles of 1e-7.
    """
    activation = Activation(activation) if not isinstance(activation, Activation) else activation
    w, v = _check_weights(w, "w"), _check_weights(v, "v")
    breakpoints = tuple(float(b) for b in activation.breakpoints)
    out = np.empty((len(w), len(v)))
    x, weight = roots_legendre(_POINTS)
    unit = (np.arange(panels)[:, None] + (x + 1) / 2).ravel() / panels
    unit_weight = np.tile(weight / 2, panels) / panels

    def nodes(cuts):  # cuts (..., S+1) sorted -> nodes and Gaussian weights (..., Q)
        length = np.diff(cuts, axis=-1)[..., None]
        g = cuts[..., :-1, None] + length * unit
        gauss = length * unit_weight * np.exp(-g * g / 2) / np.sqrt(2 * np.pi)
        return g.reshape(*cuts.shape[:-1], -1), gauss.reshape(*cuts.shape[:-1], -1)

    for i, a in enumerate(w):
        for j, b in enumerate(v):
            ra, rb = float(np.linalg.norm(a)), float(np.linalg.norm(b))
            c = float(np.clip(a @ b / (ra * rb), -1, 1)) if ra > 0 and rb > 0 else 0.0
            s = np.sqrt(max(0.0, 1 - c * c))
            reach = _REACH + (0.0 if activation.growth in ("bounded", "polynomial") else 3.0 * max(ra, rb))
            cuts = [-reach, reach] + [t / ra for t in breakpoints if ra > 0]
            if s == 0.0 and rb > 0:  # parallel weights: the second factor's kinks lie on the same line
                cuts += [t / (rb * c) for t in breakpoints]
            g, gauss = nodes(np.sort(np.clip(np.array(cuts), -reach, reach)))
            if s == 0.0:
                inner = activation(rb * c * g)
            else:
                walls = [np.full_like(g, -reach), np.full_like(g, reach)]
                walls += [(t / rb - c * g) / s for t in breakpoints if rb > 0]
                g2, gauss2 = nodes(np.sort(np.clip(np.stack(walls, axis=-1), -reach, reach), axis=-1))
                inner = np.sum(gauss2 * activation(rb * (c * g[:, None] + s * g2)), axis=-1)
            out[i, j] = float(np.sum(gauss * activation(ra * g) * inner))
    return out


def arcsine_kernel(w, v) -> np.ndarray:
    r"""Closed form for sigma(y) = erf(y/sqrt 2): :math:`\frac2\pi\arcsin\frac{w^Tv}{\sqrt{(1+|w|^2)(1+|v|^2)}}`, shape (N, M).

    Source: Williams (1997).
    """
    w, v = _check_weights(w, "w"), _check_weights(v, "v")
    return 2 / np.pi * np.arcsin(w @ v.T / np.sqrt(np.outer(1 + np.sum(w * w, 1), 1 + np.sum(v * v, 1))))


def arccosine_kernel(w, v) -> np.ndarray:
    r"""Closed form for ReLU: :math:`\frac{|w||v|}{2\pi}\left(\sin\theta+(\pi-\theta)\cos\theta\right)`, shape (N, M).

    :math:`\theta` is the angle between the weights. Source: Cho and Saul (2009).
    """
    w, v = _check_weights(w, "w"), _check_weights(v, "v")
    norm = np.outer(np.linalg.norm(w, axis=1), np.linalg.norm(v, axis=1))
    c = np.clip(np.divide(w @ v.T, norm, out=np.zeros_like(norm), where=norm > 0), -1.0, 1.0)
    theta = np.arccos(c)
    return norm / (2 * np.pi) * (np.sin(theta) + (np.pi - theta) * c)


def direct_averages(activation: Activation, radii: np.ndarray, orders: int) -> np.ndarray:
    r"""D_k(r) = E[sigma'(r g) he_k(g)], (R, orders), by one composite rule without a check: for inner loops.

    64 panels of 16 nodes on [-13, 13] up to radius 4, and proportionally more beyond: the error is rounding for
    activations whose singularities are as far from the real line as those of tanh.
    """
    panels = 64 * 2 ** max(0, int(np.ceil(np.log2(max(float(np.max(radii, initial=0.0)), 1e-300) / 4))))
    reach = _REACH + (0.0 if activation.growth in ("bounded", "polynomial") else 3.0 * float(np.max(radii, initial=0)))
    breakpoints = tuple(float(b) for b in activation.breakpoints)
    found = _averages(activation.derivative, radii, orders, breakpoints, reach, panels)
    if not np.all(np.isfinite(found)):
        raise ToleranceError(f"the Gaussian averages of {activation} overflow at radius {float(np.max(radii)):.3g}")
    return _zero_odd_orders(activation, found, 1)
