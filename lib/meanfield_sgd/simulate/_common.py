"""Arguments shared by the simulations: read once, checked once, refused in one line that says how to mend them."""

from __future__ import annotations

import hashlib
import json
import numbers
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..activation import Activation
from ..errors import InputError
from ..polynomial import Polynomial

__all__ = [
    "Schedule",
    "crossing",
    "digest",
    "generator_state",
    "initial_sizes",
    "overlap",
    "overlap_columns",
    "read_activation",
    "read_bool",
    "read_choice",
    "read_count",
    "read_generator",
    "read_positive",
    "read_schedules",
    "read_subspace",
    "read_target",
    "read_times",
    "short",
]


def short(value: Any, limit: int = 60) -> str:
    """repr on one line, cut: error messages never echo a whole array or a whole book back."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def read_target(target: Any) -> Polynomial:
    """A Polynomial from text, a number or a Polynomial, in at least one variable (else ParseError or InputError)."""
    if isinstance(target, (str, numbers.Real)) and not isinstance(target, bool):
        target = Polynomial(target)
    if isinstance(target, Polynomial):
        return target if target.p else Polynomial(target, ["z1"])  # a constant gets a coordinate to live on
    raise InputError(f'target must be a Polynomial or a text like "z1 + z1*z2", got {short(target)}')


def read_activation(activation: Any, *, jumps: bool = False) -> Activation:
    """An Activation from text or an Activation (ParseError or InputError otherwise).

    One that jumps is refused unless ``jumps``: the derivative between the jumps misses what the jumps do on average.
    """
    if isinstance(activation, Activation):
        if activation.smoothness == -1 and not jumps:
            raise InputError(
                f"{short(activation)} jumps, and its derivative misses the jumps: no exact gradient can be computed from it; "
                "take a steep smooth activation, such as tanh(20*y)"
            )
        return activation
    if isinstance(activation, str):
        return Activation(activation)
    if callable(activation):
        raise InputError(
            'activation must be a text like "tanh(y+1/2)" or an Activation; '
            "wrap a function of your own with Activation.custom(function, derivative, name=...)"
        )
    raise InputError(f'activation must be a text like "tanh(y+1/2)" or an Activation, got {short(activation)}')


def read_bool(value: Any, name: str) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise InputError(f"{name} must be True or False, got {short(value)}")


def read_count(value: Any, name: str, minimum: int = 1) -> int:
    """A whole number >= minimum (1e3 and 1000.0 count as whole: they are what people type)."""
    whole = isinstance(value, numbers.Real) and not isinstance(value, bool) and float(value).is_integer()
    if whole and value >= minimum:
        return int(value)
    raise InputError(f"{name} must be a whole number, at least {minimum}, got {short(value)}")


def read_positive(value: Any, name: str) -> float:
    """A finite number > 0."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and np.isfinite(float(value)) and value > 0:
        return float(value)
    raise InputError(f"{name} must be a positive, finite number, got {short(value)}")


def read_choice(value: Any, name: str, choices: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in choices:
        return value
    raise InputError(f"{name} must be one of {', '.join(repr(c) for c in choices)}, got {short(value)}")


def read_times(times: Any, time: float, points: int = 101) -> np.ndarray:
    """The recording times in [0, time], increasing: ``points`` equally spaced ones by default, both ends included."""
    if times is None:
        return np.linspace(0.0, time, points)
    try:
        array = np.atleast_1d(np.asarray(times, dtype=np.float64))
    except (TypeError, ValueError):
        raise InputError(f"times must be numbers, got {short(times)}") from None
    if array.ndim != 1 or not len(array) or not np.all(np.isfinite(array)):
        raise InputError(f"times must be a non-empty list of finite numbers, got {short(times)}")
    if np.any(np.diff(array) <= 0):
        raise InputError("times must increase strictly: sort them and drop repetitions")
    if array[0] < 0 or array[-1] > time * (1 + 1e-12):
        raise InputError(f"times must lie in [0, time] = [0, {time:g}], got {array[0]:g} to {array[-1]:g}")
    return np.minimum(array, time)


@dataclass(frozen=True)
class Schedule:
    """A learning rate xi(t) >= 0: a number, or a function of gradient-flow time. Calling it checks what comes out."""

    value: float | Callable[[float], float]
    name: str

    @property
    def constant(self) -> bool:
        return not callable(self.value)

    def __call__(self, t: float) -> float:
        if self.constant:
            return self.value
        rate = self.value(t)
        try:
            rate = float(rate)
        except (TypeError, ValueError):
            raise InputError(f"{self.name}({t:g}) must be a number, got {short(rate)}") from None
        if not (np.isfinite(rate) and rate >= 0):
            raise InputError(f"{self.name}({t:g}) must be finite and not negative, got {rate:g}")
        return rate

    def describe(self) -> float | str:
        """A plain value for the record: the number, or the function's name."""
        return self.value if self.constant else getattr(self.value, "__name__", type(self.value).__name__)

    def fingerprint(self, time: float) -> list[float]:
        """Its values at 17 times in [0, time]: two functions cannot be compared, their values can."""
        return [self(t) for t in np.linspace(0.0, time, 1 if self.constant else 17).tolist()]


def _read_schedule(value: Any, name: str) -> Schedule:
    if callable(value):
        schedule = Schedule(value, name)
        schedule(0.0)
        return schedule
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and np.isfinite(float(value)) and value >= 0:
        return Schedule(float(value), name)
    raise InputError(f"{name} must be a number >= 0 or a function of time, got {short(value)}")


def read_schedules(train: Any, schedule_a: Any, schedule_w: Any) -> tuple[Schedule, Schedule]:
    """(xi_a, xi_w); ``train="a"`` or ``"w"`` sets the other layer's rate to 0."""
    train = read_choice(train, "train", ("both", "a", "w"))
    xi_a, xi_w = _read_schedule(schedule_a, "schedule_a"), _read_schedule(schedule_w, "schedule_w")
    return (
        xi_a if train in ("both", "a") else Schedule(0.0, "schedule_a"),
        xi_w if train in ("both", "w") else Schedule(0.0, "schedule_w"),
    )


def read_subspace(subspace: Any, target: Polynomial) -> np.ndarray | None:
    """Orthonormal rows (k, p) of the subspace S of V given by names ("z2", ["z2", "z3"]) or by spanning rows (k, p).

    Rows may hold anything float() takes (exact fractions, sympy numbers); dependent rows are reduced.
    """
    if subspace is None:
        return None
    names = list(target.variables)
    items = [subspace] if isinstance(subspace, str) else subspace
    how = f"names among {', '.join(names[:9])} or rows of {target.p} numbers"
    if not isinstance(items, Iterable) or not len(items := list(items)):
        raise InputError(f"subspace must be {how}, got {short(subspace)}")
    if all(isinstance(item, str) for item in items):
        unknown = [item for item in items if item not in names]
        if unknown:
            raise InputError(f"subspace names {unknown[0]!r:.30}, the target's variables are {', '.join(names[:9])}")
        rows = np.eye(target.p)[sorted({names.index(item) for item in items})]
        return rows
    try:
        if not isinstance(items[0], (Iterable, np.ndarray)):
            items = [items]  # one row without the outer brackets
        rows = np.array([[float(entry) for entry in row] for row in items], dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"subspace must be {how}, got {short(subspace)}") from None
    if rows.ndim != 2 or rows.shape[1] != target.p:
        raise InputError(f"each row of subspace needs p = {target.p} numbers, got shape {rows.shape}")
    if not np.all(np.isfinite(rows)) or not np.all(np.any(rows != 0, axis=1)):
        raise InputError("each row of subspace must be finite and not zero")
    _, size, basis = np.linalg.svd(rows / np.linalg.norm(rows, axis=1, keepdims=True), full_matrices=False)
    return basis[size > 1e-12 * size[0]]


def overlap(
    a: np.ndarray, w: np.ndarray, subspace: np.ndarray | None, mass: np.ndarray | None = None
) -> tuple[float, float] | None:
    """((int |w_S|^2 d rho)^(1/2), int |a| |w_S|^2 d rho) for a (N,), w (N, >= p), S by orthonormal rows (k, p).

    Mass 1/N each by default.
    """
    if subspace is None:
        return None
    squares = np.sum((w[:, : subspace.shape[1]] @ subspace.T) ** 2, axis=1)
    if mass is None:
        mass = np.full(len(squares), 1 / len(squares))
    return float(np.sqrt(mass @ squares)), float(mass @ (np.abs(a) * squares))


def overlap_columns(recorded: list | np.ndarray, rows: np.ndarray | None) -> dict[str, np.ndarray | None]:
    """The columns ``overlaps`` and ``weighted_masses`` of a Trajectory from what :func:`overlap` gave at each time."""
    if rows is None:
        return {"overlaps": None, "weighted_masses": None}
    table = np.asarray(recorded, dtype=np.float64).reshape(-1, 2)
    return {"overlaps": table[:, 0].copy(), "weighted_masses": table[:, 1].copy()}


def crossing(times: np.ndarray, values: np.ndarray, level: float) -> float:
    """The first time at which ``values`` (T,) reach ``level``, infinity if not by the last; log-linear between times.

    Where the value before is 0, the later of the two times.
    """
    above = np.flatnonzero(values >= level)
    if not len(above):
        return float("inf")
    i = int(above[0])
    if i == 0 or values[i - 1] <= 0:
        return float(times[i])
    low, high = np.log(values[i - 1 : i + 1])
    return float(times[i - 1] + (np.log(level) - low) / (high - low) * (times[i] - times[i - 1]))


def initial_sizes(a: np.ndarray, w: np.ndarray, mass: np.ndarray | None = None) -> dict[str, float]:
    """What the trapping theorem needs of the initial network: sup |a|, int |a|, int a^2, sup |w|."""
    mass = np.full(len(a), 1 / len(a)) if mass is None else mass
    return {
        "largest_a": float(np.abs(a).max()),
        "mean_a": float(mass @ np.abs(a)),
        "mean_square_a": float(mass @ a**2),
        "largest_w": float(np.linalg.norm(w, axis=1).max()),
    }


def read_generator(seed: Any) -> np.random.Generator:
    """A numpy Generator: PCG64 seeded by a whole number, or the Generator given (which the run then advances)."""
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, numbers.Integral) and not isinstance(seed, bool) and seed >= 0:
        return np.random.Generator(np.random.PCG64(int(seed)))
    raise InputError(f"seed must be a whole number >= 0 or a numpy.random.Generator, got {short(seed)}")


def generator_state(rng: np.random.Generator) -> str:
    """The state of a generator as JSON text (numpy's states are dicts of whole numbers, some of 128 bits)."""
    state = rng.bit_generator.state
    return json.dumps(state, sort_keys=True, default=lambda value: np.asarray(value).tolist())


def digest(*arrays: np.ndarray) -> str:
    """A fingerprint of arrays, to the bit."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
