"""Around a long run: Ctrl-C, the progress bar, and the checkpoint file."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ._common import read_bool, short
from .result import Interrupted, Trajectory, load_checkpoint, save_checkpoint

__all__ = ["CheckpointFile", "Progress", "StopRequest", "threads_for"]


@contextmanager
def threads_for(elements: int, enough: int = 1 << 18) -> Iterator[None]:
    """Torch in one thread while the work arrays are small, ``elements`` < ``enough``; as it was set otherwise.

    Splitting small work gains little on an idle machine, and costs a factor of fifty on a busy one, where each of the
    thousands of short operations waits for a second thread to be scheduled.
    """
    import torch

    before = torch.get_num_threads()
    if elements >= enough or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class StopRequest:
    """Within ``with StopRequest() as stop``: the first Ctrl-C only sets ``stop.requested``, the second interrupts.

    So a step is never cut in half, and a run can hand back a consistent state. Outside the main thread, where Python
    delivers no signals, nothing changes.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: Any = None
        self._installed = False

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):  # not SIG_IGN (a background job), nor a handler that C code set
                self._previous = previous
                signal.signal(signal.SIGINT, self._note)
                self._installed = True
        return self

    def _note(self, number: int, frame: Any) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._previous)
            self._installed = False

    def __exit__(self, *problem: Any) -> None:
        self._restore()


class Progress:
    """A bar over gradient-flow time, or over runs, on stderr. ``show=None``: only on a terminal, and only after two seconds."""

    def __init__(self, show: bool | None, time: float, label: str, unit: str = "t=", value: str = "loss"):
        self._value = value
        if show is not None:
            read_bool(show, "progress")
        self._bar: Any = None
        terminal = hasattr(sys.stderr, "isatty") and sys.stderr.isatty()
        if show or (show is None and terminal and os.environ.get("TERM") != "dumb"):
            from tqdm import tqdm

            self._bar = tqdm(
                total=time,
                desc=label,
                delay=0.0 if show else 2.0,
                bar_format="{desc}: " + unit + "{n:.3g}/{total:.3g} |{bar}| {elapsed}<{remaining}{postfix}",
                leave=bool(show),
                file=sys.stderr,
            )

    def show(self, t: float, loss: float) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(f"{self._value} {loss:.4g}", refresh=False)
            self._bar.update(t - self._bar.n)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *problem: Any) -> None:
        if self._bar is not None:
            self._bar.close()


class CheckpointFile:
    """The checkpoint of one run: its file (or None) and the identity that a file must have to be resumed from."""

    interval = 60.0  # seconds between two saves

    def __init__(self, path: str | os.PathLike | None, identity: dict[str, Any]):
        if path is not None and not isinstance(path, (str, os.PathLike)):
            raise InputError(f"checkpoint must be the name of a file, got {short(path)}")
        self.path = None if path is None else Path(path)
        if self.path is not None and not self.path.absolute().parent.is_dir():
            raise InputError(f"checkpoint {str(path)!r}: its folder does not exist; make it first")
        self.identity = json.loads(json.dumps(identity))
        self._saved = clock.monotonic()

    def load(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """(arrays, record) to resume from, None where there is no file; InputError if it belongs to another run."""
        if self.path is None or not self.path.exists():
            return None
        arrays, record = load_checkpoint(self.path)
        stored = record.get("identity", {})
        other = [name for name in self.identity if stored.get(name) != self.identity[name]]
        if other or set(stored) != set(self.identity):
            name = other[0] if other else "method"
            raise InputError(
                f"checkpoint {str(self.path)!r} belongs to another run: its {name} is {short(stored.get(name), 40)}, "
                f"now {short(self.identity.get(name), 40)}; remove the file, or name another"
            )
        return arrays, record

    @property
    def due(self) -> bool:
        return self.path is not None and clock.monotonic() - self._saved > self.interval

    def save(self, arrays: dict[str, np.ndarray], record: dict[str, Any]) -> None:
        if self.path is not None:
            save_checkpoint(self.path, arrays, {"identity": self.identity, **record})
            self._saved = clock.monotonic()

    def interrupted(self, trajectory: Trajectory) -> Interrupted:
        """The exception for a run that the user stopped."""
        reached = f"interrupted at time {trajectory.info.get('reached', 0.0):.4g}"
        if self.path is None:
            return Interrupted(f"{reached}; .trajectory holds what was finished", trajectory)
        name = str(self.path)
        return Interrupted(f"{reached}; call again with checkpoint={name!r} to resume", trajectory, name)
