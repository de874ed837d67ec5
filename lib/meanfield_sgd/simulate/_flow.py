"""The integration of a population flow: Runge-Kutta steps, the energy identity beside them, the orders kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.integrate import DOP853

from ..errors import DivergenceError
from ._common import Schedule, initial_sizes, overlap, overlap_columns
from ._initial import Initial
from ._kernels import Field, HermiteForm, predicted_cost
from ._profiles import Profiles, RunAway, pick_device
from ._running import CheckpointFile, Progress, StopRequest
from ._truncation import Truncation
from .result import Trajectory

__all__ = ["Flow"]

SAFETY = 4.0  # of the reported error over the energy defect and the truncation estimate; see tests/simulate
CUDA_FROM = 2048  # neurons in the pair form
_RECORDED = ("t", "h", "defect", "worst_defect", "tail", "worst_tail", "worst_gap", "sources", "evaluations", "steps")


class Flow:
    """State, records and steps of one run. The vector integrated is (a, w, q) with dq/dt = the energy dissipated."""

    def __init__(
        self,
        target: Any,
        activation: Any,
        initial: Initial,
        rates: tuple[Schedule, Schedule],
        rows: np.ndarray | None,
        times: np.ndarray,
        tolerance: float,
        device: str,
        form: str,
        settings: dict[str, Any],
    ):
        self.n, self.m = initial.w.shape
        self.initial = initial_sizes(initial.a, initial.w)
        self.rates, self.rows, self.times, self.settings = rates, rows, times, settings
        self.end = settings["time"]
        self.coordinates, self.problem = initial.coordinates, (target, activation)
        self.device = self._device(device, form, target)
        self.truncation = Truncation(target, Profiles(activation, self.device), self.n, self.m, tolerance / 16, form)
        self.truncation.mend = "ask for a larger tolerance, use sgd, or an activation without a kink"
        # The loss is a mean over neurons: errors are measured in root mean square, so a whole weight vector (m entries)
        # gets the share of one output weight. The constant was set by comparing with runs a thousand times tighter.
        self.rtol = min(0.1 * tolerance, 1e-5)
        self.gap_bound = tolerance / 16
        self.atol = np.concatenate(
            [np.full(self.n, self.rtol), np.full(self.n * self.m, self.rtol / np.sqrt(self.m)), [self.rtol]]
        )
        # A schedule with a short pulse must not fall between two stages.
        self.max_step = self.end / 20 if not all(rate.constant for rate in rates) else np.inf
        self.t, self.y, self.h = 0.0, np.concatenate([initial.a, initial.w.ravel(), [0.0]]), None
        self.losses: list[float] = []
        self.overlaps: list[tuple[float, float]] = []
        self.defect = self.worst_defect = self.tail = self.worst_tail = self.worst_gap = 0.0
        self.sources: list[list[float]] = []  # a row a step: energy defect, change of the truncated energy, dissipation
        self.evaluations = self.steps = 0
        self.stop: StopRequest | None = None

    def _device(self, device: str, form: str, target: Any) -> str:
        pair, hermite = predicted_cost(self.n, self.m, max(24, target.degree + 2))
        large = self.n >= CUDA_FROM and (form == "pair" or (form == "auto" and pair < hermite))
        return pick_device(device, large)

    def _tensors(self, y: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        n, m = self.n, self.m
        a, w = torch.from_numpy(y[:n]), torch.from_numpy(y[n : n + n * m].reshape(n, m))
        return a.to(self.device), w.to(self.device)

    def _right_hand_side(self, t: float, y: np.ndarray) -> np.ndarray:
        if self.stop is not None and self.stop.requested:
            raise KeyboardInterrupt
        xi_a, xi_w = self.rates[0](t), self.rates[1](t)
        field = self.truncation.field(*self._tensors(y))
        self.evaluations += 1
        self.last = field
        rate = np.empty_like(y)
        n = self.n
        rate[:n] = field.a.cpu().numpy()
        rate[n:-1] = field.w.cpu().numpy().ravel()
        rate[-1] = (xi_a * (rate[:n] @ rate[:n]) + xi_w * (rate[n:-1] @ rate[n:-1])) / n
        rate[:n] *= -xi_a
        rate[n:-1] *= -xi_w
        return rate

    def _solver(self) -> DOP853:
        """An integrator that stands at (t, y): the same, to the bit, as one that has just arrived there."""
        first = None if self.h is None else min(self.h, self.end - self.t)
        solver = DOP853(
            self._right_hand_side, self.t, self.y, self.end, rtol=self.rtol, atol=self.atol, first_step=first,
            max_step=self.max_step,
        )  # fmt: skip
        solver.h_abs = solver.h_abs if self.h is None else self.h
        self.loss = self.last.loss if self.h is not None else self._field_at_start(solver)
        return solver

    def _field_at_start(self, solver: DOP853) -> float:
        # Without a first step scipy evaluates the field a second time elsewhere, to choose one.
        return self.truncation.form.loss(*self._tensors(self.y))[0]

    def _record(self, loss: float, y: np.ndarray) -> None:
        self.losses.append(loss)
        if self.rows is not None:
            self.overlaps.append(overlap(y[: self.n], y[self.n : -1].reshape(self.n, self.m), self.rows))

    def _settle(self, t: float, y: np.ndarray) -> float:
        """More orders where the state (t, y) needs them; the energy estimated beyond them."""
        a, w = self._tensors(y)
        return self.truncation.settle(a, w, t)

    def _step(self, solver: DOP853) -> DOP853:
        """One accepted step; the solver to go on with (another one where the orders had to be raised)."""
        message = solver.step()
        if solver.status == "failed":
            raise DivergenceError(
                f"the flow cannot be continued at time {solver.t:.4g} ({message}): the weights run away; use a bounded "
                "activation, or smaller rates",
                solver.t,
            )
        a, w = self._tensors(solver.y)
        field = self.last  # of the new state: the last stage of the step
        tail = float(self.truncation.remainder(a, w, field.spectrum)[0])
        if tail > self.truncation.bound:
            self._settle(solver.t, solver.y)
            return self._solver()  # the same step again, with more orders
        step_defect = field.loss - self.loss + (solver.y[-1] - self.y[-1])
        start, length = self.t, solver.t - self.t
        due = self.times[len(self.losses) :]
        due = due[due <= solver.t]
        h = solver.h_abs
        if len(due) and due[0] < solver.t:
            dense = solver.dense_output()

            def between(t: float) -> tuple[float, np.ndarray]:
                """The loss by the energy identity, tied to the exact losses at both ends; the state."""
                y = dense(t)
                return self.loss - (y[-1] - self.y[-1]) + step_defect * (t - start) / length, y

            # DOP853 interpolates less well than it steps: one exact loss in the middle says how well.
            guess, y = between(start + 0.5 * length)
            gap = abs(guess - self.truncation.form.loss(*self._tensors(y))[0])
            best = length * min(10.0, 0.9 * (self.gap_bound / max(gap, 1e-300)) ** 0.125)
            if gap > self.gap_bound and length > 1e-9 * self.end:
                self.h = max(best, 0.2 * length)
                return self._solver()
            h = min(h, best)
        else:
            gap = 0.0
        for t in due:
            self._record(*(between(t) if t < solver.t else (field.loss, solver.y)))
        self.worst_gap = max(self.worst_gap, float(gap))
        self.defect += step_defect
        self.worst_defect = max(self.worst_defect, float(abs(self.defect)))
        self.sources.append([abs(float(step_defect)), abs(tail - self.tail), self._dissipation(solver.t, field)])
        self.tail = tail
        self.worst_tail = max(self.worst_tail, tail)
        solver.h_abs = h
        self.t, self.y, self.h, self.loss = float(solver.t), solver.y, float(h), field.loss
        self.steps += 1
        return solver

    def run(self, file: CheckpointFile, show: bool | None) -> Trajectory:
        """Integrate to the end (from the checkpoint, where there is one)."""
        saved = file.load()
        if saved is not None:
            self._restore(*saved)
        with StopRequest() as self.stop, Progress(show, self.end, "population") as bar:
            try:
                if self.t == 0.0:
                    self.tail = self.worst_tail = self._settle(self.t, self.y)
                if self.t < self.end:
                    solver = self._solver()
                    if self.t == 0.0 and self.times[0] == 0.0 and not self.losses:
                        self._record(self.loss, self.y)
                while self.t < self.end:
                    solver = self._step(solver)
                    bar.show(self.t, self.loss)
                    if file.due:
                        file.save(*self._checkpoint())
            except KeyboardInterrupt:
                file.save(*self._checkpoint())
                raise file.interrupted(self.trajectory()) from None
            except RunAway as problem:
                raise DivergenceError(
                    f"at time {self.t:.4g} {problem}: the flow runs away; use a bounded activation or smaller rates",
                    self.t,
                ) from None
        file.save(*self._checkpoint())
        return self.trajectory()

    def _dissipation(self, t: float, field: Field) -> float:
        xi_a, xi_w = self.rates[0](t), self.rates[1](t)
        return float(xi_a * torch.sum(field.a**2) + xi_w * torch.sum(field.w**2)) / self.n

    def error(self) -> float:
        """The estimated sup-norm error of the losses.

        A small error e made at time s moves the loss there by <grad E, e>, which the energy defect measures; it also
        shifts the rest of the curve in time, by <grad E, e>/|E'(s)|, and the loss at t > s by that times |E'(t)|: near
        a saddle, where the flow waits, errors grow like the speed at which it leaves. The truncated orders act as a
        force whose work in a step is the change of their energy. Between steps the interpolation adds what was found in
        their middles. Errors across the path are not seen: hence SAFETY.
        """
        if not self.sources:
            return SAFETY * float(self.worst_tail)
        defects, work, speed = np.array(self.sources).T
        shifts = np.cumsum((defects + work) / np.maximum(speed, 1e-300))
        growing = np.maximum(np.cumsum(defects + work), shifts * speed)
        return SAFETY * float(np.max(growing) + self.worst_tail + self.worst_gap)

    def trajectory(self) -> Trajectory:
        """What is finished, in numpy."""
        n, form = self.n, self.truncation.form
        info = {
            "reached": self.t,
            "energy_defect": self.worst_defect,
            "truncation": self.worst_tail,
            "interpolation": self.worst_gap,
            "orders": self.truncation.orders,
            "form": "hermite" if isinstance(form, HermiteForm) else "pair",
            "evaluations": self.evaluations,
            "steps": self.steps,
            "effective_dimension": self.m,
            "coordinates": self.coordinates,
            "initial": self.initial,
            "device": self.device,
        }
        done = len(self.losses)
        return Trajectory(
            method="population",
            times=self.times[:done],
            losses=np.array(self.losses),
            **overlap_columns(self.overlaps, self.rows),
            final_state={
                "a": self.y[:n].copy(),
                "w": self.y[n:-1].reshape(n, self.m).copy(),
                "mass": np.full(n, 1 / n),
            },
            error=self.error(),
            settings=dict(self.settings),
            info=info,
            problem=self.problem,
        )

    def _checkpoint(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays = {"y": self.y, "losses": np.array(self.losses), "overlaps": np.array(self.overlaps)}
        record = {name: getattr(self, name) for name in _RECORDED}
        return arrays, record | {"orders": self.truncation.orders}

    def _restore(self, arrays: dict[str, np.ndarray], record: dict[str, Any]) -> None:
        self.y, self.losses, self.overlaps = arrays["y"], arrays["losses"].tolist(), arrays["overlaps"].tolist()
        self.truncation.set_orders(record.pop("orders"))
        for name, value in record.items():
            if name != "identity":
                setattr(self, name, value)
