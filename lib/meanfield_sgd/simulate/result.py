"""What every simulation returns, and how a long one is kept on disk.

:class:`Trajectory` is the one result type of :mod:`meanfield_sgd.simulate`: plain numpy arrays and plain Python values,
no torch. :class:`Interrupted` carries the part of a run that was finished when the user pressed Ctrl-C. Checkpoints are
``.npz`` files without pickled objects (loading one never runs code), written atomically.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

__all__ = ["Interrupted", "Trajectory", "load_checkpoint", "save_checkpoint"]

FORMAT = 1  # of the JSON text and of the checkpoint; raised when either changes its meaning


@dataclass(repr=False, eq=False)
class Trajectory:
    """One simulated training run: the loss curve, and the state at its end.

    Attributes
    ----------
    method : ``"sgd"``, ``"population"``, ``"meanfield"`` or ``"strategy"``.
    times : (T,) float64, increasing, gradient-flow time.
    losses : (T,) float64, the loss 1/2 E|f - f*|^2 at those times.
    overlaps : (T,) float64 or None. With a subspace S of V: (int |w_S|^2 d rho)^(1/2), the root mean square length of
        the part of the weights in S.
    weighted_masses : (T,) float64 or None. With a subspace S: int |a| |w_S|^2 d rho, which bounds what the network can
        have learned of the part of the target that is hidden behind S (:class:`TrappingBound`).
    problem : (Polynomial, Activation) or None, the target and the activation themselves; not kept in JSON.
    final_state : dict of numpy arrays, the state at ``times[-1]``: ``"a"`` (N,), ``"w"`` (N, m) whose first p columns
        are the coordinates in V, ``"mass"`` (N,) summing to 1 (and ``"rho"`` (N,), the length of the part of w outside
        V, where the method carries only that).
    error : float or None, the estimated sup-norm error of ``losses`` as the method defines it (see its docstring).
    settings : dict, the arguments that define the run, as plain values.
    info : dict, what the run did and found (steps, orders, checks), as plain values or arrays.
    """

    method: str
    times: np.ndarray
    losses: np.ndarray
    overlaps: np.ndarray | None = None
    final_state: dict[str, np.ndarray] = field(default_factory=dict)
    error: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    weighted_masses: np.ndarray | None = None
    problem: tuple[Any, Any] | None = None

    def __post_init__(self) -> None:
        self.times = np.asarray(self.times, dtype=np.float64)
        self.losses = np.asarray(self.losses, dtype=np.float64)
        if self.overlaps is not None:
            self.overlaps = np.asarray(self.overlaps, dtype=np.float64)
        if self.weighted_masses is not None:
            self.weighted_masses = np.asarray(self.weighted_masses, dtype=np.float64)
        columns = {"losses": self.losses, "overlaps": self.overlaps, "weighted_masses": self.weighted_masses}
        for name, column in columns.items():
            if column is not None and column.shape != self.times.shape:
                raise InputError(f"{name} has shape {column.shape}, times has {self.times.shape}: they must agree")

    def __repr__(self) -> str:
        what = ", ".join(str(self.settings[name]) for name in ("target", "activation") if name in self.settings)
        what = what if len(what) <= 60 else what[:57] + "..."
        size = "".join(
            f", {letter}={self.settings[name]}"
            for letter, name in (("N", "neurons"), ("d", "dimension"))
            if self.settings.get(name) is not None
        )
        if len(self.times):
            span = f"t={self.times[0]:g}..{self.times[-1]:g}, loss {self.losses[0]:.4g} -> {self.losses[-1]:.4g}"
        else:
            span = "empty"
        error = "" if self.error is None else f", error {self.error:.1e}"
        return f"<Trajectory {self.method}: {what}{size}; {span}{error}>"

    def __len__(self) -> int:
        return len(self.times)

    def to_dict(self) -> dict[str, np.ndarray]:
        """The columns of a table with one row a time: ``pandas.DataFrame(trajectory.to_dict())`` works.

        Keys: ``"times"``, ``"loss"``, and where a subspace was given ``"overlap"`` and ``"weighted_mass"``; values (T,)
        float64 (copies).
        """
        columns = {"times": self.times.copy(), "loss": self.losses.copy()}
        if self.overlaps is not None:
            columns["overlap"] = self.overlaps.copy()
        if self.weighted_masses is not None:
            columns["weighted_mass"] = self.weighted_masses.copy()
        return columns

    def to_json(self, *, state: bool = False, indent: int | None = None) -> str:
        """Everything as JSON text, floats to the last bit; the final state only with ``state=True`` (it can be large).

        The columns of :meth:`to_dict` are at the top level, so that other programs can plot ``times`` against ``loss``.
        Numbers that JSON does not have (NaN, infinities) become ``null``.
        """
        record: dict[str, Any] = {"format": FORMAT, "method": self.method}
        record |= {name: column.tolist() for name, column in self.to_dict().items()}
        record |= {"error": self.error, "settings": self.settings, "info": self.info}
        if state:
            record["final_state"] = self.final_state
        return json.dumps(_plain(record), indent=indent, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Trajectory:
        """The inverse of :meth:`to_json` (lists inside ``info`` stay lists; null in a column comes back as NaN).

        Raises :class:`~meanfield_sgd.InputError` when the text is not such a record.
        """
        try:
            record = json.loads(text)
            if record["format"] != FORMAT:
                raise InputError(f"this trajectory has format {record['format']!r}, this version reads format {FORMAT}")
            names = ("times", "loss", "overlap", "weighted_mass")
            column = {n: None if record.get(n) is None else _floats(record[n]) for n in names}
            return cls(
                method=record["method"],
                times=column["times"],
                losses=column["loss"],
                overlaps=column["overlap"],
                weighted_masses=column["weighted_mass"],
                final_state={name: _floats(value) for name, value in record.get("final_state", {}).items()},
                error=record["error"],
                settings=record["settings"],
                info=record["info"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            if isinstance(problem, InputError):
                raise
            raise InputError(f"this text is not what Trajectory.to_json writes: {problem!s:.80}") from None

    def distance(self, other: Trajectory) -> float:
        """The sup-norm distance of two loss curves, max_t |E_self(t) - E_other(t)|, on the time interval they share.

        Compared at every time of either run inside that interval; a run that lacks a time is interpolated by a
        shape-preserving cubic (PCHIP), so give both runs the same ``times`` where the digits matter. Symmetric.
        """
        if not isinstance(other, Trajectory):
            raise InputError(f"distance needs another Trajectory, not {type(other).__name__}")
        start, end = max(self.times[0], other.times[0]), min(self.times[-1], other.times[-1])
        if start > end:
            raise InputError(
                f"the two runs share no time: one covers [{self.times[0]:g}, {self.times[-1]:g}], "
                f"the other [{other.times[0]:g}, {other.times[-1]:g}]"
            )
        times = np.union1d(self.times, other.times)
        times = times[(times >= start) & (times <= end)]
        return float(np.max(np.abs(self._loss_at(times) - other._loss_at(times))))

    @property
    def masses(self) -> np.ndarray | None:
        """m_S(t)^2 = int |w_S|^2 d rho_t, the square of ``overlaps``, (T,); None without a subspace."""
        return None if self.overlaps is None else self.overlaps**2

    def escape_time(self, level: float = 0.25) -> float:
        """The first time at which the overlap m_S reaches ``level``; infinity if it does not.

        Between two recorded times log m_S is interpolated linearly (a trap is left exponentially). Raises
        :class:`~meanfield_sgd.InputError` where no subspace was recorded or ``level`` is not positive.
        """
        if self.overlaps is None:
            raise InputError("no overlap was recorded: run with subspace=..., for instance subspace=['z2', 'z3']")
        if not (isinstance(level, (int, float)) and level > 0):
            raise InputError(f"level must be a positive number, got {level!r:.40}")
        from ._common import crossing

        return crossing(self.times, self.overlaps, level)

    def _loss_at(self, times: np.ndarray) -> np.ndarray:
        from scipy.interpolate import PchipInterpolator

        if len(self.times) == 1:
            return np.full(len(times), self.losses[0])
        losses = PchipInterpolator(self.times, self.losses)(times)
        place = np.searchsorted(self.times, times)  # at its own times a run is compared without interpolation error
        own = self.times[np.minimum(place, len(self.times) - 1)] == times
        losses[own] = self.losses[place[own]]
        return losses


class Interrupted(KeyboardInterrupt):
    """A run was stopped by the user: ``.trajectory`` holds what was finished, ``.checkpoint`` the file to resume from.

    A subclass of KeyboardInterrupt, so that loops over many runs stop as they would without it.
    """

    def __init__(self, message: str, trajectory: Trajectory, checkpoint: str | None = None):
        super().__init__(message)
        self.trajectory = trajectory
        self.checkpoint = checkpoint


def save_checkpoint(path: str | os.PathLike, arrays: dict[str, np.ndarray], record: dict[str, Any]) -> None:
    """Write arrays and a JSON-able record to ``path`` (.npz, nothing pickled), atomically.

    The file is written beside ``path`` under another name, flushed to disk and renamed: whoever reads ``path``, also
    after a crash or a power cut, finds either the old checkpoint or the new one, whole.
    """
    path = Path(path)
    text = np.frombuffer(json.dumps(_plain(record)).encode(), dtype=np.uint8)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as problem:
        raise InputError(f"cannot write the checkpoint {str(path)!r}: {problem.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, record=text, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as problem:
        _remove(name)
        raise InputError(f"cannot write the checkpoint {str(path)!r}: {problem.strerror}") from None
    except BaseException:
        _remove(name)
        raise


def load_checkpoint(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what :func:`save_checkpoint` wrote: (arrays, record). Raises InputError if it is anything else."""
    try:
        with np.load(Path(path), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        record = json.loads(arrays.pop("record").tobytes())
    except FileNotFoundError:
        raise InputError(f"there is no checkpoint {str(path)!r}") from None
    except Exception:  # a broken zip, a pickle, a text: numpy and zipfile raise a dozen types
        raise InputError(f"{str(path)!r} is not a checkpoint of a simulation; name another file") from None
    return arrays, record


def _remove(name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name)


def _floats(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def _plain(value: Any) -> Any:
    """The value in JSON's types: arrays and tuples as lists, numpy numbers as Python's, NaN and infinities as None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
