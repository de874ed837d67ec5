"""The loop of stochastic gradient descent: the step, the records, the stops."""

from __future__ import annotations

import json
from math import ceil
from typing import Any

import numpy as np
import torch

from ..errors import DivergenceError
from ._common import Schedule, generator_state, initial_sizes, overlap, overlap_columns
from ._initial import Initial
from ._profiles import Profiles, RunAway, pick_device
from ._running import CheckpointFile, Progress, StopRequest
from ._sampled_loss import SampledLoss
from ._truncation import Truncation
from .result import Trajectory

__all__ = ["Descent", "gradients", "sgd_step"]

CUDA_FROM = 1 << 20  # batch * neurons
EXACT = 1e-8  # the Hermite energy left out of an exact loss
LIMIT = 1e6  # times (1 + initial loss)
CHECK_EVERY = {"cpu": 1, "cuda": 32}  # steps; reading a number back from a GPU waits for it


def _hidden(activation: Any, w: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(w_i.x_b; sigma of it, recorded for :func:`_pull_back`; the same without the record), each (b, N)."""
    inputs = (x @ w.T).requires_grad_()
    with torch.enable_grad():
        recorded = activation(inputs)
    return inputs, recorded, recorded.detach()


def _pull_back(activation: Any, inputs: torch.Tensor, recorded: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """weights * sigma'(inputs), elementwise.

    The products with matrices are written out below; for the slope torch's recorded formula is faster than evaluating
    sigma' anew, because it reuses sigma (1 - tanh^2). A user's own function may come with a slope of its own.
    """
    if activation.arithmetic != "exact":
        return weights.mul_(activation.derivative(inputs.detach()))
    if not recorded.requires_grad:  # a constant
        return torch.zeros_like(weights)
    (out,) = torch.autograd.grad(recorded, inputs, weights)
    return out


def gradients(activation: Any, a: torch.Tensor, w: torch.Tensor, x: torch.Tensor, y: torch.Tensor):
    """N times the gradients of the batch loss 1/(2b) sum (f - y)^2 in a (N,) and in w (N, d)."""
    inputs, recorded, hidden = _hidden(activation, w, x)
    scaled = (hidden @ a / len(a) - y) / len(y)
    return hidden.T @ scaled, _pull_back(activation, inputs, recorded, torch.outer(scaled, a)).T @ x


def sgd_step(
    activation: Any, a: torch.Tensor, w: torch.Tensor, x: torch.Tensor, y: torch.Tensor, rates
) -> torch.Tensor:
    """One step in place, with ``rates`` = step * (xi_a, xi_w); returns the batch loss before it (a tensor)."""
    inputs, recorded, hidden = _hidden(activation, w, x)
    residual = hidden @ a / len(a) - y
    scaled = residual / len(y)
    if rates[1]:  # before a moves: both layers step from the same network
        w.addmm_(_pull_back(activation, inputs, recorded, torch.outer(scaled, a)).T, x, alpha=-rates[1])
    if rates[0]:
        a.addmv_(hidden.T, scaled, alpha=-rates[0])
    return 0.5 * torch.dot(residual, scaled)


class Descent:
    """State, records and steps of one run."""

    def __init__(
        self,
        target: Any,
        activation: Any,
        initial: Initial,
        rates: tuple[Schedule, Schedule],
        rows: np.ndarray | None,
        times: np.ndarray,
        rng: np.random.Generator,
        device: str,
        settings: dict[str, Any],
    ):
        self.target, self.activation, self.rates, self.rows = target, activation, rates, rows
        self.rng, self.settings = rng, settings
        self.n, self.d = initial.w.shape
        self.initial = initial_sizes(initial.a, initial.w)
        self.step, self.batch = settings["step"], settings["batch"]
        self.total = max(1, ceil(settings["time"] / self.step - 1e-9))
        self.device = pick_device(device, self.batch * self.n >= CUDA_FROM)
        self.a = torch.from_numpy(initial.a.copy()).to(self.device)
        self.w = torch.from_numpy(initial.w.copy()).to(self.device)
        index = np.minimum(np.rint(times / self.step).astype(int), self.total)
        self.index = np.unique(index)
        self.times = self.index * self.step
        meant = np.abs(times - index * self.step) < 1e-9 * self.step  # 0.15, not 3 * 0.05 = 0.15000000000000002
        self.times[np.searchsorted(self.index, index[meant])] = times[meant]
        # One number for the test points, drawn whether they are used or not: they must not change the training.
        test_seed = int(rng.integers(2**63))
        if settings["loss"] == "sampled":
            points = np.random.Generator(np.random.PCG64(test_seed)).standard_normal((settings["test_points"], self.d))
            self._evaluate = SampledLoss(target, activation, points, self.device)
        else:
            truncation = Truncation(target, Profiles(activation, self.device), self.n, self.d, EXACT)
            self._evaluate = _ExactLoss(truncation)
        self.limit = LIMIT * (1.0 + 0.5 * float(target.inner(target)))
        self.done = 0
        self.losses: list[float] = []
        self.errors: list[float] = []
        self.overlaps: list[tuple[float, float]] = []

    def _check(self, loss: float) -> float:
        if not loss <= self.limit:  # NaN included
            calmer = "" if self.activation.growth == "bounded" else ", or a bounded activation"
            raise DivergenceError(
                f"the loss is {loss:.3g} at time {self.done * self.step:.4g} (step {self.done}): the run diverges; "
                f"take a smaller step, e.g. step={self.step / 4:g}{calmer}",
                self.done * self.step,
            )
        return loss

    def _record(self) -> float:
        try:
            loss, error = self._evaluate(self.a, self.w)
        except RunAway:  # only the exact loss needs profiles at any norm
            loss, error = float("nan"), 0.0
        self.losses.append(self._check(loss))
        self.errors.append(error)
        if self.rows is not None:
            self.overlaps.append(overlap(self.a.cpu().numpy(), self.w[:, : self.target.p].cpu().numpy(), self.rows))
        return loss

    def _advance(self) -> None:
        t = self.done * self.step
        rates = (self.step * self.rates[0](t), self.step * self.rates[1](t))
        x = torch.from_numpy(self.rng.standard_normal((self.batch, self.d))).to(self.device)
        loss = sgd_step(self.activation, self.a, self.w, x, self.target(x[:, : self.target.p]), rates)
        if self.done % CHECK_EVERY[self.device] == 0:
            self._check(float(loss))
        self.done += 1

    def run(self, file: CheckpointFile, show: bool | None) -> Trajectory:
        """Descend to the end (from the checkpoint, where there is one)."""
        saved = file.load()
        if saved is not None:
            self._restore(*saved)
        with StopRequest() as stop, Progress(show, self.total * self.step, "sgd") as bar:
            try:
                loss = self.losses[-1] if self.losses else float("nan")
                while True:
                    if len(self.losses) < len(self.index) and self.index[len(self.losses)] == self.done:
                        loss = self._record()
                    if self.done == self.total:
                        break
                    if stop.requested:
                        raise KeyboardInterrupt
                    self._advance()
                    bar.show(self.done * self.step, loss)
                    if file.due:
                        file.save(*self._checkpoint())
            except KeyboardInterrupt:
                file.save(*self._checkpoint())
                raise file.interrupted(self.trajectory()) from None
        file.save(*self._checkpoint())
        return self.trajectory()

    def trajectory(self) -> Trajectory:
        """What is finished, in numpy."""
        count = len(self.losses)
        exact = self.settings["loss"] == "exact"
        errors = np.array(self.errors)
        info = {
            "reached": self.done * self.step,
            "steps": self.done,
            "samples": self.done * self.batch,
            "standard_error": np.zeros(count) if exact else errors,
            "initial": self.initial,
            "device": self.device,
        }
        return Trajectory(
            method="sgd",
            times=self.times[:count],
            losses=np.array(self.losses),
            **overlap_columns(self.overlaps, self.rows),
            final_state={
                "a": self.a.cpu().numpy().copy(),
                "w": self.w.cpu().numpy().copy(),
                "mass": np.full(self.n, 1 / self.n),
            },
            error=float(errors.max() * (1 if exact else 3)) if count else None,
            settings=dict(self.settings),
            info=info,
            problem=(self.target, self.activation),
        )

    def _checkpoint(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays = {
            "a": self.a.cpu().numpy(),
            "w": self.w.cpu().numpy(),
            "losses": np.array(self.losses),
            "errors": np.array(self.errors),
            "overlaps": np.array(self.overlaps),
        }
        return arrays, {"done": self.done, "rng": generator_state(self.rng)}

    def _restore(self, arrays: dict[str, np.ndarray], record: dict[str, Any]) -> None:
        self.a = torch.from_numpy(arrays["a"]).to(self.device)
        self.w = torch.from_numpy(arrays["w"]).to(self.device)
        self.losses, self.errors, self.overlaps = (arrays[x].tolist() for x in ("losses", "errors", "overlaps"))
        self.done = record["done"]
        self.rng.bit_generator.state = json.loads(record["rng"])


class _ExactLoss:
    """(loss, what the Hermite orders left out may be worth), through the pair kernel."""

    def __init__(self, truncation: Truncation):
        self.truncation = truncation

    def __call__(self, a: torch.Tensor, w: torch.Tensor) -> tuple[float, float]:
        return self.truncation.settled_loss(a, w)
