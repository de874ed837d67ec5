"""The race of the population flow in many dimensions: `python benchmarks/population.py` (a minute, one thread).

One field of N = 256 neurons in R^d, d = 100,000, w ~ N(0, I/d), h* = z1 + z1 z2, sigma = tanh(y + 1/2): in the coordinates
that the flow can reach (p + N of them, drawn directly by Bartlett's decomposition) against all d. The first is checked
against the second on one network. Exit status 1 if it is less than 50 times cheaper.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch

import numpy as np
import torch

import meanfield_sgd as mf
from meanfield_sgd.simulate._initial import Initial, draw, reduce
from meanfield_sgd.simulate._kernels import PairForm
from meanfield_sgd.simulate._profiles import Profiles

N, D, ORDERS, GOAL = 256, 100_000, 24, 50


def seconds(form: PairForm, state: Initial, repetitions: int) -> float:
    a, w = torch.from_numpy(state.a), torch.from_numpy(state.w)
    form.field(a, w)
    spent = []
    for _ in range(repetitions):
        start = time.process_time()
        form.field(a, w)
        spent.append(time.process_time() - start)
    return statistics.median(spent)


def main() -> int:
    target = mf.Polynomial("z1 + z1*z2")
    form = PairForm(target, Profiles(mf.Activation("tanh(y+1/2)")), ORDERS)
    full = draw("gaussian", N, D, target.p, np.random.default_rng(0), reduced=False)
    small = reduce(full, target.p)
    losses = [form.loss(torch.from_numpy(s.a), torch.from_numpy(s.w))[0] for s in (full, small)]
    direct = draw("gaussian", N, D, target.p, np.random.default_rng(0), reduced=True)
    ratio = seconds(form, full, 5) / seconds(form, direct, 51)
    print(f"N = {N}, d = {D}: {small.w.shape[1]} coordinates instead of {D}, one field {ratio:.0f} times cheaper")
    print(f"the same network in both: losses differ by {abs(losses[0] - losses[1]):.1e}")
    return 0 if ratio >= GOAL and abs(losses[0] - losses[1]) < 1e-12 else 1


if __name__ == "__main__":
    sys.exit(main())
