r"""The first stage by stochastic gradient descent, exact in law, at a cost that does not grow with d.

Of a fresh sample x ~ N(0, I_d) a step needs its part in V, its part in the span of the weights, and the Gram matrix of
what is left. The first two are standard normal coordinates; the last is a Wishart matrix of d - p - r degrees of freedom,
whose Cholesky factor is drawn directly (Bartlett's decomposition: normals below the diagonal, chi variables on it).
"""

from __future__ import annotations

import json
from math import ceil
from typing import Any

import numpy as np

from ..activation import Activation
from ..errors import DivergenceError
from ..polynomial import Polynomial
from ._common import generator_state
from ._running import CheckpointFile, Progress, StopRequest
from .result import Interrupted

__all__ = ["descend"]


class Copy:
    """One network: a (N,), the weights in V (N, p), and outside in an orthonormal frame of their own (N, r)."""

    def __init__(self, a: np.ndarray, p: int, outside: int):
        self.a, self.inside, self.rest = a, np.zeros((len(a), p)), np.zeros((len(a), 0))
        self.outside = outside

    def step(self, target: Any, sigma: Activation, rng: np.random.Generator, batch: int, rate: float, feedback: bool):
        n, r = self.rest.shape
        z, along = rng.standard_normal((batch, self.inside.shape[1])), rng.standard_normal((batch, r))
        new = fresh_coordinates(rng, batch, self.outside - r)
        inputs = z @ self.inside.T + along @ self.rest.T
        residual = -target(z)
        if feedback:
            residual = residual + sigma(inputs) @ self.a / n
        change = (-rate / batch) * residual[:, None] * sigma.derivative(inputs) * self.a
        self.inside += change.T @ z
        self.rest = np.hstack([self.rest + change.T @ along, change.T @ new])
        if self.rest.shape[1] > 2 * n:  # more columns than neurons say nothing more than their Gram matrix
            self.rest = np.linalg.qr(self.rest.T, mode="r").T


def descend(
    target: Polynomial, activation: Activation, time: float, *, neurons: int, dimension: int, copies: int, batch: int,
    step: float, feedback: bool, rng: np.random.Generator, law: Any, progress: bool | None, file: CheckpointFile,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """(a (N, copies), w (N, copies, m)) of ``copies`` independent networks of N neurons after the first stage.

    The m columns are V and then common coordinates outside, in which the copies are independent as in R^d.
    """
    steps = max(1, ceil(time / step - 1e-9))
    # All output weights first: runs in other dimensions, and the population flow, then start from the same ones.
    drawn = [law(rng, neurons) for _ in range(copies)]
    outputs, weights = [], []
    done, network = 0, None
    saved = file.load()
    if saved is not None:
        arrays, record = saved
        outputs, weights = list(arrays["outputs"]), [arrays[f"weights{i}"] for i in range(len(arrays["outputs"]))]
        done = record["done"]
        rng.bit_generator.state = json.loads(record["rng"])
        if "a" in arrays:
            network = Copy(arrays["a"], target.p, dimension - target.p)
            network.inside, network.rest = arrays["inside"].copy(), arrays["rest"].copy()

    def save() -> None:
        arrays = {"outputs": np.array(outputs).reshape(-1, neurons)}
        arrays |= {f"weights{i}": w for i, w in enumerate(weights)}
        if network is not None:
            arrays |= {"a": network.a, "inside": network.inside, "rest": network.rest}
        file.save(arrays, {"done": done, "rng": generator_state(rng)})

    with StopRequest() as stop, Progress(progress, copies * time, "stage one") as bar:
        while len(outputs) < copies:
            if network is None:
                network = Copy(drawn[len(outputs)], target.p, dimension - target.p)
            while done < steps:
                if stop.requested:
                    save()
                    name = "" if file.path is None else f'; call again with checkpoint="{file.path}" to resume'
                    raise Interrupted(
                        f"interrupted in copy {len(outputs) + 1}{name}", None, file.path and str(file.path)
                    )
                rate = min(step, time - done * step)
                network.step(target, activation, rng, batch, rate, feedback)
                done += 1
                size = float(np.abs(network.inside).max())
                if not size < 1e6:
                    raise DivergenceError(
                        f"the first stage diverges at time {done * step:.4g} (step {done}): take a smaller step, e.g. "
                        f"step={step / 4:g}, or a bounded activation",
                        done * step,
                    )
                bar.show(len(outputs) * time + done * step, float("nan"))
                if file.due:
                    save()
            outputs.append(network.a)
            weights.append(np.hstack([network.inside, network.rest]))
            network, done = None, 0
            save()
    return np.array(outputs).T, _together(weights, target.p, dimension, rng)


def _together(weights: list[np.ndarray], p: int, dimension: int, rng: np.random.Generator) -> np.ndarray:
    """Copies in common coordinates: each one's frame outside V is uniformly distributed and independent of the others."""
    outside = dimension - p
    frames: list[np.ndarray] = []
    known = 0
    for w in weights:
        r = w.shape[1] - p
        if not known:
            frames.append(np.eye(r))
        else:  # r random directions: normal coordinates along what is known, a Bartlett factor for the rest
            rows = np.hstack([rng.standard_normal((r, known)), fresh_coordinates(rng, r, outside - known)])
            q, triangle = np.linalg.qr(rows.T)
            frames.append((q * np.where(np.diag(triangle) < 0, -1.0, 1.0)).T)  # with this sign q is uniform
        known = max(known, frames[-1].shape[1])
    parts = [np.hstack([w[:, :p], _widened(w[:, p:] @ frame, known)]) for w, frame in zip(weights, frames)]
    return np.stack(parts, axis=1)


def _widened(rest: np.ndarray, width: int) -> np.ndarray:
    return np.hstack([rest, np.zeros((len(rest), width - rest.shape[1]))])


def fresh_coordinates(rng: np.random.Generator, count: int, free: int) -> np.ndarray:
    """``count`` standard normal vectors of R^free in the basis that Gram-Schmidt makes of them, (count, min(count, free))."""
    if free < count:
        return rng.standard_normal((count, free))
    new = np.tril(rng.standard_normal((count, count)), -1)
    new[np.diag_indices(count)] = np.sqrt(rng.chisquare(free - np.arange(count)))
    return new
