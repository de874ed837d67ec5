"""Many networks at once: seeds along a leading axis, one matrix product for all of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from ._common import generator_state, initial_sizes, overlap, overlap_columns
from ._descent import CHECK_EVERY, Descent, _pull_back
from ._flow import Flow
from ._initial import Initial
from ._kernels import PairForm
from ._running import CheckpointFile, Progress, StopRequest
from ._truncation import Truncation
from .ensemble import Ensemble
from .result import Trajectory

__all__ = ["StackedDescent", "StackedFlow"]


class StackedDescent:
    """R runs of :class:`Descent` in step: their weights are views of a (R, N) and w (R, N, d)."""

    def __init__(self, runs: list[Descent], seeds: list[int]):
        self.runs, self.seeds, self.done = runs, seeds, 0
        self.a = torch.stack([run.a for run in runs])
        self.w = torch.stack([run.w for run in runs])
        self._share()

    def _share(self) -> None:
        for r, run in enumerate(self.runs):
            run.a, run.w, run.done = self.a[r], self.w[r], self.done

    def _advance(self) -> None:
        first = self.runs[0]
        t = self.done * first.step
        rates = first.step * first.rates[0](t), first.step * first.rates[1](t)
        draws = np.stack([run.rng.standard_normal((run.batch, run.d)) for run in self.runs])
        x = torch.from_numpy(draws).to(first.device)
        y = first.target(x[..., : first.target.p].reshape(-1, first.target.p)).view(x.shape[:2])
        inputs = torch.bmm(x, self.w.transpose(1, 2)).requires_grad_()
        with torch.enable_grad():
            recorded = first.activation(inputs)
        hidden = recorded.detach()
        residual = torch.bmm(hidden, self.a[:, :, None])[:, :, 0] / first.n - y
        scaled = residual / first.batch
        if rates[1]:
            outer = scaled[:, :, None] * self.a[:, None, :]
            pull = _pull_back(first.activation, inputs, recorded, outer)
            self.w.baddbmm_(pull.transpose(1, 2), x, alpha=-rates[1])
        if rates[0]:
            self.a.sub_(torch.bmm(hidden.transpose(1, 2), scaled[:, :, None])[:, :, 0], alpha=rates[0])
        if self.done % CHECK_EVERY[first.device] == 0:
            losses = 0.5 * (residual * scaled).sum(1)
            for run, loss in zip(self.runs, losses.tolist()):
                run._check(loss)
        self.done += 1
        for run in self.runs:
            run.done = self.done

    def run(self, file: CheckpointFile, show: bool | None) -> Ensemble:
        """Descend to the end (from the checkpoint, where there is one)."""
        saved = file.load()
        if saved is not None:
            self._restore(*saved)
        first = self.runs[0]
        with StopRequest() as stop, Progress(show, first.total * first.step, "sgd") as bar:
            try:
                while True:
                    recorded = len(first.losses)
                    if recorded < len(first.index) and first.index[recorded] == self.done:
                        for run in self.runs:
                            run._record()
                    if self.done == first.total:
                        break
                    if stop.requested:
                        raise KeyboardInterrupt
                    self._advance()
                    latest = [run.losses[-1] for run in self.runs if run.losses]
                    bar.show(self.done * first.step, float(np.mean(latest)) if latest else float("nan"))
                    if file.due:
                        file.save(*self._checkpoint())
            except KeyboardInterrupt:
                file.save(*self._checkpoint())
                raise file.interrupted(self.ensemble()) from None
        file.save(*self._checkpoint())
        return self.ensemble()

    def ensemble(self) -> Ensemble:
        return Ensemble([run.trajectory() for run in self.runs], self.seeds)

    def _checkpoint(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays = {"a": self.a.cpu().numpy(), "w": self.w.cpu().numpy()}
        for name in ("losses", "errors", "overlaps"):
            arrays[name] = np.array([getattr(run, name) for run in self.runs])
        return arrays, {"done": self.done, "rng": [generator_state(run.rng) for run in self.runs]}

    def _restore(self, arrays: dict[str, np.ndarray], record: dict[str, Any]) -> None:
        device = self.runs[0].device
        self.a = torch.from_numpy(arrays["a"]).to(device)
        self.w = torch.from_numpy(arrays["w"]).to(device)
        self.done = record["done"]
        for r, run in enumerate(self.runs):
            run.losses, run.errors, run.overlaps = (arrays[x][r].tolist() for x in ("losses", "errors", "overlaps"))
            run.rng.bit_generator.state = json.loads(record["rng"][r])
        self._share()


class _StackedPairForm(PairForm):
    """The pair form of R networks of N neurons, stacked as R N neurons that see their own network only."""

    runs = 1

    def _pair_sums(self, a, u, b, d, aw):
        runs, orders = self.runs, self.orders
        n = len(a) // runs
        u, weighted = u.view(runs, n, -1), (a[:, None] * b / n).view(runs, n, -1)
        slopes = d[:, :orders].reshape(runs, n, -1)
        live_b = [bool(x) for x in (b.abs().amax(0) > 0).tolist()]
        live_d = [bool(x) for x in (d[:, :orders].abs().amax(0) > 0).tolist()]
        live_d[orders - 1] = False  # as in PairForm
        last = max([k for k in range(orders) if live_b[k] or (aw is not None and live_d[k])], default=0)
        s = torch.zeros(orders, runs, n, dtype=u.dtype, device=u.device)
        pull = None if aw is None else torch.zeros_like(u)
        together = max(1, self.block_elements[u.device.type] // (n * n))
        for first in range(0, runs, together):
            part = slice(first, min(first + together, runs))
            c = u[part] @ u[part].transpose(1, 2)
            power = torch.ones_like(c)
            h = None if aw is None else torch.zeros_like(c)
            for k in range(last + 1):
                if k:
                    power.mul_(c)
                if live_b[k]:
                    s[k, part] = torch.bmm(power, weighted[part, :, k, None])[:, :, 0]
                if aw is not None and live_d[k]:
                    h.addcmul_(power * slopes[part, None, :, k], slopes[part, :, k, None])
            if aw is not None:
                pull[part] = h @ (runs * aw).view(runs, n, -1)[part]
        return s.reshape(orders, -1).T, None if pull is None else pull.reshape(len(a), -1)

    def losses(self, a: torch.Tensor, w: torch.Tensor) -> np.ndarray:
        """The loss of each network, (R,)."""
        r, u = self._polar(w)
        b, d = self.profiles(r, self.orders)
        s, _ = self._pair_sums(a, u, b, d, None)
        psi, _ = self._target(u, b, d)
        share = (a * (0.5 * (b * s).sum(1) - psi)).view(self.runs, -1).mean(1)
        return self.forms.half_square + share.cpu().numpy()


class _StackedTruncation(Truncation):
    def __init__(self, runs: int, *arguments: Any):
        self.runs = runs
        super().__init__(*arguments)

    def set_orders(self, orders: int) -> None:
        self.orders = orders
        self.form = _StackedPairForm(self.target, self.profiles, orders)
        self.form.runs = self.runs


class StackedFlow(Flow):
    """R population flows integrated as one, with common steps."""

    def __init__(self, jobs: list[Any], seeds: list[int]):
        one, runs = jobs[0], len(jobs)
        together = Initial(
            np.concatenate([job.state.a for job in jobs]), np.concatenate([job.state.w for job in jobs]),
            one.state.coordinates,
        )  # fmt: skip
        # The control of steps and orders sees means over runs: each run alone is to be within the tolerance.
        tolerance = one.tolerance / runs**0.5
        super().__init__(
            one.target, one.activation, together, one.rates, one.rows, one.times, tolerance, one.device, "pair",
            dict(one.settings),
        )  # fmt: skip
        truncation = _StackedTruncation(
            runs, one.target, self.truncation.profiles, self.n, self.m, max(tolerance, 1e-10) / 16
        )
        truncation.mend, self.truncation = self.truncation.mend, truncation
        self.jobs, self.seeds, self.runs = jobs, seeds, runs

    def _record(self, loss: float, y: np.ndarray) -> None:
        a, w = self._tensors(y)
        self.losses.append(self.truncation.form.losses(a, w).tolist())
        if self.rows is not None:
            pairs = zip(np.split(y[: self.n], self.runs), np.split(y[self.n : -1].reshape(self.n, self.m), self.runs))
            self.overlaps.append([overlap(a, w, self.rows) for a, w in pairs])

    def trajectory(self) -> Ensemble:
        """What is finished: one Trajectory a run; the error of each is at most R times that of the mean."""
        together = _shared_info(self)
        done, n = len(self.losses), self.n // self.runs
        losses = np.array(self.losses).reshape(done, self.runs)
        pairs = np.array(self.overlaps).reshape(done, self.runs, 2) if self.rows is not None else None
        a, w = self.y[: self.n].reshape(self.runs, n), self.y[self.n : -1].reshape(self.runs, n, self.m)
        runs = [
            Trajectory(
                method="population",
                times=self.times[:done],
                losses=losses[:, r],
                **overlap_columns(None if pairs is None else pairs[:, r], self.rows),
                final_state={"a": a[r].copy(), "w": w[r].copy(), "mass": np.full(n, 1 / n)},
                error=self.runs * self.error(),
                settings=dict(job.settings),
                problem=self.problem,
                info={**together, "initial": initial_sizes(job.state.a, job.state.w)},
            )
            for r, job in enumerate(self.jobs)
        ]
        return Ensemble(runs, self.seeds)


def _shared_info(flow: StackedFlow) -> dict[str, Any]:
    """What all runs of a stack share."""
    return {
        "reached": flow.t,
        "energy_defect": flow.worst_defect,
        "truncation": flow.worst_tail,
        "interpolation": flow.worst_gap,
        "orders": flow.truncation.orders,
        "form": "pair",
        "evaluations": flow.evaluations,
        "steps": flow.steps,
        "effective_dimension": flow.m,
        "coordinates": flow.coordinates,
        "device": flow.device,
    }
