"""Initial networks: the two default laws, a state handed over, and few coordinates for many dimensions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..activation import Activation
from ..errors import InputError
from ._common import short

__all__ = ["INITS", "Initial", "draw", "read_state", "reduce", "refuse_kink_at_zero"]


INITS = ("zero", "gaussian", "blind")


class Initial(NamedTuple):
    """Output weights a (N,), weights w (N, m), and in words what the m coordinates are."""

    a: np.ndarray
    w: np.ndarray
    coordinates: str


def read_state(state: Any, p: int, neurons: int | None = None, dimension: int | None = None) -> Initial:
    """A network given as a dict with "a" (N,) and "w" (N, m), m >= p, first p columns in V; a final_state is one."""
    how = '{"a": shape (N,), "w": shape (N, m)} of finite numbers'
    try:
        a = np.array(state["a"], dtype=np.float64)
        w = np.array(state["w"], dtype=np.float64)
    except (TypeError, ValueError, KeyError, IndexError):
        raise InputError(f"initial_state must be a dict {how}, got {short(state)}") from None
    if a.ndim != 1 or w.ndim != 2 or len(a) != len(w) or not len(a) or not np.all(np.isfinite(a)):
        raise InputError(f"initial_state must be {how}, got shapes {a.shape} and {w.shape}")
    if not np.all(np.isfinite(w)):
        raise InputError(f"initial_state must be {how}; w holds a NaN or an infinity")
    mass = state.get("mass") if hasattr(state, "get") else None
    if mass is not None and not np.allclose(mass, 1 / len(a), rtol=1e-9, atol=0):
        raise InputError("initial_state must have equal masses 1/N: nodes of the limit engine are not neurons")
    if mass is not None and np.any(state.get("rho", 0.0) != np.zeros(1)):
        raise InputError("initial_state must give whole weights: a state with rho has lost the directions outside V")
    if w.shape[1] < p:
        raise InputError(f"initial_state has w of {w.shape[1]} columns, the target alone needs p = {p}")
    if neurons is not None and len(a) != neurons:
        raise InputError(f"initial_state has {len(a)} neurons, neurons={neurons} was asked for")
    if dimension is not None and w.shape[1] > dimension:
        raise InputError(f"initial_state has w of {w.shape[1]} columns, more than dimension={dimension}")
    return Initial(a, w, "as given in initial_state")


def draw(
    init: str,
    neurons: int,
    dimension: int,
    p: int,
    rng: np.random.Generator,
    *,
    reduced: bool,
    blind: np.ndarray | None = None,
) -> Initial:
    """a ~ U[-1, 1], then w = 0 ("zero") or w ~ N(0, I/d) ("gaussian"), in that order from ``rng``.

    "blind": as "gaussian", but the part of w in S, the orthonormal rows ``blind`` (k, p), is then set to zero.

    ``reduced``: only the coordinates that a flow in the population can reach. Zero weights never leave V (p columns).
    Gaussian weights stay in the span of V and of themselves; for d - p > N their part outside V, in the basis that
    Gram-Schmidt makes of the neurons in turn, is lower triangular with independent entries: N(0, 1)/sqrt d below the
    diagonal and chi(d - p - i)/sqrt d on it, i = 0, 1, ... (Bartlett's decomposition): the same law, drawn directly.
    """
    if init == "blind":
        if blind is None:
            raise InputError('init="blind" needs subspace=..., the directions in which the weights start at zero')
        a, w, words = draw("gaussian", neurons, dimension, p, rng, reduced=reduced)
        w[:, :p] -= w[:, :p] @ blind.T @ blind
        return Initial(a, w, words)
    a = rng.uniform(-1.0, 1.0, neurons)
    if init == "zero":
        if reduced:
            return Initial(a, np.zeros((neurons, p)), "V: weights that start at 0 never leave it")
        return Initial(a, np.zeros((neurons, dimension)), "R^d")
    outside = dimension - p
    if not reduced or outside <= neurons:
        return Initial(a, rng.standard_normal((neurons, dimension)) / np.sqrt(dimension), "R^d")
    inside = rng.standard_normal((neurons, p))
    lower = np.tril(rng.standard_normal((neurons, neurons)), -1)
    lower[np.diag_indices(neurons)] = np.sqrt(rng.chisquare(outside - np.arange(neurons)))
    words = "V, then the Gram-Schmidt basis of the initial weights outside V (drawn directly: Bartlett, exact in law)"
    return Initial(a, np.hstack([inside, lower]) / np.sqrt(dimension), words)


def reduce(state: Initial, p: int) -> Initial:
    """The same network in the coordinates its population flow can reach: V and the span of the weights outside it."""
    outside = state.w[:, p:]
    if not np.any(outside):
        return Initial(state.a, state.w[:, :p], "V: weights that start in V never leave it")
    if outside.shape[1] <= len(outside):
        return state
    lower = np.linalg.qr(outside.T, mode="r").T  # outside = lower Q with orthonormal rows in Q
    words = "V, then an orthonormal basis of the span of the initial weights outside V"
    return Initial(state.a, np.hstack([state.w[:, :p], lower]), words)


def refuse_kink_at_zero(activation: Activation, w: np.ndarray, given: bool) -> None:
    """ReLU at w = 0 has no gradient; any subgradient chosen there would be an invention."""
    kink = activation.smoothness == 0 and any(float(point) == 0 for point in activation.breakpoints)
    if kink and not np.all(np.any(w != 0, axis=1)):
        text = str(activation)
        name = {"relu(y)": "ReLU", "relu": "ReLU"}.get(text, text if len(text) <= 40 else text[:37] + "...")
        where = "move the neurons of initial_state that are at w = 0" if given else 'start from init="gaussian"'
        shift = "e.g. relu(y + 1/2)" if name == "ReLU" else "with y + 1/2 in place of y"
        raise InputError(f"{name} has no derivative at 0: {where} or shift it, {shift}")
