"""The runs of ``one_step``: drawn seed by seed, computed in groups that fit into memory."""

from __future__ import annotations

import json
import math
import os
from typing import Any

import numpy as np
import torch

from ..errors import DivergenceError, InputError
from ..simulate._common import digest, short
from ..simulate._running import CheckpointFile, Progress, StopRequest, threads_for
from ..simulate.result import Interrupted
from ._averages import blocks
from ._labels import read_task
from ._moments import Moments, Population
from ._step import equivalent, gradient, ridge_readout
from .hermite_model import hermite_model
from .mixture import GaussianMixture, SpikedMixture
from .one_step import WORK, OneStep, memory_needed

__all__ = ["Runs"]

_GROUP = 1 << 28  # bytes that a group of runs may take on a CPU: beyond, batching gains nothing
_CUDA_FROM = 1 << 24


class Runs:
    """The arguments of :func:`one_step`, and how the runs are made."""

    def __init__(
        self, activation, mixture, *, neurons, samples, rate, ridge, labels, degrees, seeds, test, test_samples, predictions,
        distances, device,
    ):  # fmt: skip
        self.activation, self.mixture, self.seeds, self.distances = activation, mixture, seeds, distances
        self.neurons, self.samples, self.rate, self.ridge, self.degrees = neurons, samples, rate, ridge, degrees
        self.task = read_task(*labels, mixture)
        exact = self._exact()
        if test == "population" and not exact:
            raise InputError(
                "test='population' needs a Gaussian mixture: centred for labels in one direction, isotropic for a polynomial; "
                "take test='sampled'"
            )
        self.test = test or ("population" if exact else "sampled")
        if test_samples is not None and self.test == "population":
            raise InputError("test_samples goes with test='sampled': the population's error needs no samples")
        self.test_samples = test_samples or 5 * samples
        self.predictions = self._read_predictions(predictions, exact)
        if distances and not (exact and degrees):
            raise InputError(
                "distances compare exact moments of the network with those of Hermite models: give degrees=..."
            )
        size = mixture.dimension * samples * neurons
        cuda = torch.cuda.is_available()
        if device == "cuda" and not cuda:
            raise InputError("device='cuda' was asked for, but torch finds no CUDA device; use device='auto'")
        self.device = "cuda" if device == "cuda" or (device == "auto" and cuda and size >= _CUDA_FROM) else "cpu"
        self.memory = memory_needed(
            mixture.dimension, samples, neurons, test=self.test, predictions=self.predictions > 0, distances=distances
        )
        free = _free_memory(self.device)
        if self.memory > free:
            raise InputError(
                f"one run takes {self.memory / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free: take fewer neurons or samples"
                + (", or predictions=0 and test='sampled'" if exact else "")
            )

    def _exact(self) -> bool:
        """Whether the labels' moments are known: decided on the law of the mixture, before anything is drawn."""
        if isinstance(self.mixture, SpikedMixture):
            return self.task.kind != "polynomial"
        if not isinstance(self.mixture, GaussianMixture):
            return False
        like = torch.zeros((), dtype=torch.float64)
        return Population([self.mixture], self.task, None, like).known

    def _read_predictions(self, value: Any, exact: bool) -> int:
        if isinstance(value, np.bool_):
            value = bool(value)
        if value is None or value is True:
            return len(self.seeds) if exact else self._refuse(value)
        if value is False:
            return 0
        if not isinstance(value, (int, np.integer)) or value < 0:
            raise InputError(f"predictions must be True, False or a number of runs, got {short(value)}")
        return min(int(value), len(self.seeds)) if exact or not value else self._refuse(value)

    @staticmethod
    def _refuse(value: Any) -> int:
        if value is not None:
            raise InputError(
                "predictions need exact moments: a Gaussian mixture, centred unless the labels are its classes"
            )
        return 0

    def settings(self) -> dict[str, Any]:
        return {
            "activation": str(self.activation),
            "mixture": repr(self.mixture),
            "dimension": self.mixture.dimension,
            "neurons": self.neurons,
            "samples": self.samples,
            "rate": self.rate,
            "ridge": self.ridge,
            "labels": str(self.task.target) if self.task.target is not None else self.task.kind,
            "link": None if self.task.link is None else str(self.task.link),
            "noise": self.task.noise,
            "degrees": self.degrees,
            "test": self.test,
            "test_samples": self.test_samples if self.test == "sampled" else None,
            "predictions": self.predictions,
            "distances": self.distances,
        }

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree in; a given mixture by a digest of its numbers."""
        given = self.mixture
        functions = [f for f in (self.activation, self.task.link) if f is not None]
        grid = np.linspace(-5.0, 5.0, 101)
        # A custom function is known by its values: its name says nothing.
        own = [digest(np.asarray(f(grid))) for f in functions if f.singularity_distance is None]
        if isinstance(given, GaussianMixture):
            marks = [digest(given.weights, given.means, *given.directions, *given.sizes), given.bulk]
        else:
            marks = [given.fingerprint] if hasattr(given, "fingerprint") else []
        return {
            "method": "one_step",
            **self.settings(),
            "seeds": self.seeds,
            "marks": json.loads(json.dumps(marks + own)),
        }

    # ---- running ----

    def run(self, file: CheckpointFile, progress: bool | None) -> OneStep:
        columns: dict[str, list[float]] = {}
        done = 0
        stored = file.load()
        if stored is not None:
            arrays, record = stored
            done, columns = record["done"], {name: list(array) for name, array in arrays.items()}
        size = self._group()
        info = {"settings": self.settings(), "device": self.device, "rate": self.rate, "memory": self.memory}

        def result(finished: int) -> OneStep:
            arrays = {name: np.array(values[:finished]) for name, values in columns.items() if name != "cut"}
            cut = max(columns.get("cut", [0.0]), default=0.0)
            return OneStep(arrays, self.seeds[:finished], {**info, "cut": cut})

        def save() -> None:
            file.save({name: np.array(values) for name, values in columns.items()}, {"done": done})

        work = self.neurons * self.samples * min(size, len(self.seeds))
        with (
            Progress(progress, len(self.seeds), "one step", "run ", "test error") as bar,
            StopRequest() as stop,
            threads_for(work),
        ):
            while done < len(self.seeds):
                group = self.seeds[done : done + size]
                try:
                    computed = self._compute(group, done)
                except torch.linalg.LinAlgError as problem:
                    raise DivergenceError(f"a matrix of this run cannot be factorised: {problem}", 0.0) from None
                for name, values in computed.items():
                    columns.setdefault(name, []).extend(float(value) for value in values)
                done += len(group)
                bar.show(done, columns["network.test"][-1])
                if file.due:
                    save()
                if stop.requested and done < len(self.seeds):
                    save()
                    where = "" if file.path is None else f"; call again with checkpoint={str(file.path)!r} to resume"
                    path = None if file.path is None else str(file.path)
                    raise Interrupted(f"interrupted after {done} of {len(self.seeds)} runs{where}", result(done), path)
        save()
        return result(done)

    def _group(self) -> int:
        room = _free_memory("cuda") // 2 if self.device == "cuda" else _GROUP
        return max(1, min(len(self.seeds), int(room // max(1, self.memory - WORK))))

    def _compute(self, seeds: list[int], before: int) -> dict[str, Any]:
        # One stream a purpose, so that what one call asks for does not change what another one draws.
        streams = [np.random.Generator(np.random.PCG64(seed)).spawn(6) for seed in seeds]
        structure, weights, steps, readouts, noises, tests = zip(*streams)
        mixtures = [self.mixture.draw(rng) for rng in structure]
        if self.degrees and len({mixture.bulk for mixture in mixtures}) > 1:
            # Each run has Hermite models of its own: one run after the other.
            merged: dict[str, list[float]] = {}
            for i, seed in enumerate(seeds):
                for name, values in self._compute([seed], before + i).items():
                    merged.setdefault(name, []).extend(values)
            return merged
        xi = [self.task.direction(m, rng) for m, rng in zip(mixtures, structure)]
        xi = None if xi[0] is None else self._put(np.stack(xi))
        n, k = self.mixture.dimension, self.neurons
        spread = np.array([1 / math.sqrt(m.trace) for m in mixtures])
        first = self._put(_stack([_scaled(rng, (k, n), s) for rng, s in zip(weights, spread)]))
        readout = self._put(np.stack([rng.standard_normal(k) for rng in weights])) / math.sqrt(k)
        if self.rate:
            x, y = self._batch(mixtures, steps, "step", self.samples, xi)
            first += gradient(self.activation, first, readout, x, y).mul_(self.rate)
            del x, y
        # Squares of the weights must be finite, too: they are the variances of the pre-activations.
        self._finite((first * first).sum(), "the step left the finite numbers: take a smaller rate")
        x, y = self._batch(mixtures, readouts, "readout", self.samples, xi)
        inner = x @ first.transpose(-1, -2)
        del x
        models = {
            "": self.activation,
            **{str(d): hermite_model(self.activation, d, mixtures[0].bulk) for d in self.degrees},
        }
        drawn = [rng.spawn(2 * (max(self.degrees, default=0) + 1)) for rng in noises]
        fits = {}
        columns: dict[str, Any] = {}
        for name, model in models.items():
            label = f"hermite{name}" if name else "network"
            features = self._features(model, inner, name and [rngs[2 * int(name)] for rngs in drawn])
            self._finite(features, "the features left the finite numbers: take a smaller rate")
            fits[name], train = ridge_readout(features, y, self.ridge)
            columns[f"{label}.train"] = train
            del features
        del inner, y
        if self.test == "sampled":
            self._sampled(columns, models, fits, first, mixtures, tests, xi, drawn)
        self._population(columns, models, fits, first, mixtures, xi, before)
        norms = [m.operator_norm for m in mixtures] if xi is not None else [1.0] * len(seeds)
        columns["scale"] = norms
        for name, values in columns.items():
            if torch.is_tensor(values):
                self._finite(values, f"{name} is not finite")
                columns[name] = values.cpu().numpy()
        return columns

    def _population(self, columns, models, fits, first, mixtures, xi, before: int) -> None:
        """Exact errors, predictions and distances: all that needs the moments, one model after the other."""
        ahead = max(0, min(self.predictions - before, len(mixtures)))  # runs of this group to predict
        if not (self.test == "population" or ahead or self.distances):
            return
        population = Population(mixtures, self.task, xi, first)
        network = None
        for name, model in models.items():
            moments = population.moments(model, first)
            columns["cut"] = np.maximum(columns.get("cut", 0.0), np.full(len(mixtures), moments.cut))
            if self.test == "population":
                columns[f"hermite{name}.test" if name else "network.test"] = moments.error(fits[name])
            if ahead:
                test, train, _ = equivalent(
                    moments.second[:ahead], moments.cross[:ahead], moments.power[:ahead], self.samples, self.ridge
                )
                columns[f"predicted{name}.test"], columns[f"predicted{name}.train"] = test, train
            if self.distances and name:
                columns[f"distance{name}"] = _distance(network, moments, self.ridge)
            elif self.distances:
                network = moments
            del moments

    def _sampled(self, columns, models, fits, first, mixtures, tests, xi, drawn) -> None:
        """Test errors on new samples, in blocks as large as a batch."""
        totals = dict.fromkeys(models, 0.0)
        counts = mixtures[0].counts(self.test_samples)
        for start in range(0, self.test_samples, self.samples):
            size = min(self.samples, self.test_samples - start)
            x, y = self._batch(mixtures, tests, "test", size, xi, _share(counts, start, size))
            inner = x @ first.transpose(-1, -2)
            for name, model in models.items():
                features = self._features(model, inner, name and [rngs[2 * int(name) + 1] for rngs in drawn])
                left = y - (features @ fits[name][..., None])[..., 0]
                totals[name] = totals[name] + (left**2).sum(-1)
        for name, total in totals.items():
            columns[f"hermite{name}.test" if name else "network.test"] = 0.5 * total / self.test_samples

    # ---- pieces ----

    def _put(self, array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(array, dtype=torch.float64, device=self.device)

    def _batch(self, mixtures, rngs, part: str, samples: int, xi, counts=None):
        drawn = [
            mixture.sample(samples, rng, part) if counts is None else mixture.sample(samples, rng, part, counts)
            for mixture, rng in zip(mixtures, rngs)
        ]
        x = self._put(_stack([x for x, _ in drawn]))
        return x, self.task.values(x, np.stack([c for _, c in drawn]), xi, rngs)

    def _features(self, model, inner, rngs):
        """sigma(F x)/sqrt k (R, m, k), with the fresh noise of a Hermite model."""
        features = torch.empty_like(inner)
        for rows in blocks(inner.shape[1], len(inner) * self.neurons):
            features[:, rows] = model(inner[:, rows])
            if rngs and model.noise:
                for run, rng in enumerate(rngs):
                    fresh = rng.standard_normal((features[run, rows].shape[0], self.neurons))
                    features[run, rows] += model.noise * self._put(fresh)
        return features.div_(math.sqrt(self.neurons))

    @staticmethod
    def _finite(values: torch.Tensor, problem: str) -> None:
        if not bool(torch.isfinite(values).all()):
            raise DivergenceError(problem, 0.0)


def _stack(arrays: list[np.ndarray]) -> np.ndarray:
    """np.stack, which copies even where there is nothing to stack."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def _scaled(rng: np.random.Generator, shape: tuple[int, int], size: float) -> np.ndarray:
    drawn = rng.standard_normal(shape)
    drawn *= size
    return drawn


def _share(counts: np.ndarray, start: int, size: int) -> np.ndarray:
    """How many samples of each component fall into the rows start ... start + size of a stratified set."""
    ends = np.concatenate([[0], np.cumsum(counts)])
    inside = np.clip(ends, start, start + size)
    return np.diff(inside)


def _distance(network: Moments, other: Moments, ridge: float) -> torch.Tensor:
    """The largest eigenvalue, in size, of the difference of two covariances of features, whitened by the first; (R,)."""
    covariance, difference = (part.second - part.mean[:, :, None] * part.mean[:, None, :] for part in (network, other))
    difference = covariance - difference
    covariance.diagonal(dim1=-2, dim2=-1).add_(ridge)
    # L^-1 D L^-T has the eigenvalues of W D W with W the inverse root, for any factor L L^T of the covariance.
    factor = torch.linalg.cholesky(covariance)
    difference = torch.linalg.solve_triangular(factor, difference, upper=False)
    difference = torch.linalg.solve_triangular(factor, difference.transpose(-1, -2), upper=False)
    return torch.linalg.eigvalsh((difference + difference.transpose(-1, -2)) / 2).abs().amax(-1)


def _free_memory(device: str) -> float:
    """Bytes that can be had; infinity where the system does not tell."""
    if device == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    try:
        with open("/proc/meminfo") as file:  # Linux counts what its file cache would give back
            return 1024.0 * next(float(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return math.inf
