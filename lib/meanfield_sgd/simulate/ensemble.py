"""Many seeds of one simulation, run together along a leading axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ._common import read_choice, read_count, short
from ._running import CheckpointFile, threads_for
from .result import Interrupted, Trajectory

__all__ = ["Ensemble", "ensemble"]


class Ensemble(Sequence):
    """The runs of :func:`ensemble`, one a seed: a sequence of :class:`Trajectory`, and their columns as arrays.

    Attributes
    ----------
    runs : list of Trajectory.
    seeds : list of whole numbers, one a run.
    times : (T,), common to all.
    """

    def __init__(self, runs: list[Trajectory], seeds: list[int]):
        self.runs, self.seeds, self.times = runs, seeds, runs[0].times

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index: Any) -> Any:
        return self.runs[index]

    def __repr__(self) -> str:
        return f"<Ensemble of {len(self)}: {self.runs[0]!r}, ...>"

    @property
    def losses(self) -> np.ndarray:
        """(R, T)."""
        return np.array([run.losses for run in self.runs])

    @property
    def masses(self) -> np.ndarray:
        """m_S(t)^2, (R, T); InputError where no subspace was recorded."""
        self._subspace()
        return np.array([run.masses for run in self.runs])

    def escape_times(self, level: float = 0.25) -> np.ndarray:
        """:meth:`Trajectory.escape_time` of each run, (R,)."""
        return np.array([run.escape_time(level) for run in self.runs])

    def mean_mass(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean over runs of m_S(t)^2 and its standard error, each (T,) (NaN for a single run)."""
        masses = self.masses
        if len(self) == 1:
            return masses[0], np.full(len(self.times), np.nan)
        return masses.mean(0), masses.std(0, ddof=1) / np.sqrt(len(self))

    def _subspace(self) -> None:
        if self.runs[0].overlaps is None:
            raise InputError("no overlap was recorded: run with subspace=..., for instance subspace=['z2', 'z3']")

    @property
    def info(self) -> dict[str, Any]:
        """``info`` of the first run (what is shared is the same in all)."""
        return self.runs[0].info


def ensemble(
    method: str,
    target: Any,
    activation: Any,
    time: float = 20.0,
    *,
    seeds: int | Iterable[int] = 8,
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
    **options: Any,
) -> Ensemble:
    """Run :func:`sgd` or :func:`population` from many seeds at once, batched along a leading axis.

    Run r starts from the network, and sees the samples, that the single run with ``seed=seeds[r]`` would: the results
    agree with those to rounding (SGD) or within the tolerance (population, whose steps in time are common to all runs).
    Batching saves the overhead of small operations on a CPU, and fills a GPU.

    Parameters
    ----------
    method : ``"sgd"`` or ``"population"``. Where the Hermite form of ``population`` is the cheaper one (weights that stay
        in few dimensions) its runs are made one after the other.
    target, activation, time : as there.
    seeds : how many (0, 1, ...), or the seeds themselves, whole numbers.
    progress, checkpoint : one bar and one file for all runs; Ctrl-C raises Interrupted whose ``.trajectory`` is the
        Ensemble of what was finished.
    options : every other argument of the method but ``seed`` (and ``initial_state``).

    Returns
    -------
    Ensemble

    Raises
    ------
    InputError, DivergenceError, ToleranceError, Interrupted : as the method does.

    Source: this book. Checked against single runs, seed by seed.
    """
    method = read_choice(method, "method", ("sgd", "population"))
    for name in ("seed", "initial_state"):
        if name in options:
            raise InputError(f"an ensemble takes seeds=..., not {name}")
    seeds = _read_seeds(seeds)
    from . import _defaults

    given = _defaults.complete(method, options)
    prepare = _defaults.preparer(method)
    jobs = [prepare(target, activation, time, **given, seed=seed, initial_state=None) for seed in seeds]
    identity = {**jobs[0].identity, "seeds": seeds, "ensemble": True}
    file = CheckpointFile(checkpoint, identity)
    neurons = len(jobs[0].state.a)
    if method == "sgd":
        from ._descent import Descent
        from ._stacked import StackedDescent

        with threads_for(jobs[0].settings["batch"] * neurons * len(jobs)):
            return StackedDescent([Descent(*job[:-1]) for job in jobs], seeds).run(file, progress)
    from ._kernels import predicted_cost
    from ._stacked import StackedFlow

    pair, hermite = predicted_cost(neurons, jobs[0].state.w.shape[1], max(24, jobs[0].target.degree + 2))
    if jobs[0].form == "hermite" or (jobs[0].form == "auto" and hermite < pair):
        from .population import population

        if checkpoint is not None:
            raise InputError("these runs are made one after the other: give each its own checkpoint, or form='pair'")
        finished: list[Trajectory] = []
        for seed in seeds:
            try:
                finished.append(population(target, activation, time, **given, seed=seed, progress=progress))
            except Interrupted as stop:
                done = finished or [stop.trajectory]
                raise Interrupted(str(stop), Ensemble(done, seeds[: len(done)])) from None
        return Ensemble(finished, seeds)
    with threads_for(len(jobs) * neurons * neurons):
        return StackedFlow(jobs, seeds).run(file, progress)


def _read_seeds(seeds: Any) -> list[int]:
    if isinstance(seeds, (int, float, np.integer)) and not isinstance(seeds, bool):
        return list(range(read_count(seeds, "seeds")))
    try:
        seeds = list(seeds)
        found = [int(seed) for seed in seeds]
        if any(isinstance(seed, bool) or seed < 0 or seed != int(seed) for seed in seeds) or not found:
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(f"seeds must be a number of seeds or whole numbers >= 0, got {short(seeds)}") from None
    if len(set(found)) < len(found):
        raise InputError("seeds must differ: equal seeds give equal runs")
    return found
