"""The race of the limit engine: `python benchmarks/limit_engine.py` (twenty minutes, one thread; --quick: three).

1. One loss curve on [0, 20] of h* = z1 + z1 z2 + z1 z2 z3, sigma = tanh(y + 1/2), a ~ U[-1, 1], w = 0, both layers, to
   1e-3 in sup norm: `meanfield` with its defaults and nothing tuned by hand, against SGD tuned by hand (the cheapest
   setting on a grid that reaches the error). Then the pair kernel against tensor quadrature, both tuned by hand, at 1e-3
   and 1e-4, and one field at p = 4. All in one process, alternating, medians of CPU seconds; what counts is the ratio.
2. Blind accuracy: 50 random targets, a constant added to every second one; the error that `meanfield` reports against
   the true one (a solve a hundred times tighter).

The table goes to standard output and, with --save, to benchmarks/limit_engine.md. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import platform
import statistics
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: one thread each, so that the race is about the method

import numpy as np

import meanfield_sgd as mf
from meanfield_sgd.simulate import meanfield, sgd
from meanfield_sgd.simulate._limit_field import LimitField
from meanfield_sgd.simulate._limit_solver import Flow, solve
from meanfield_sgd.simulate._quadrature_field import QuadratureField

TARGET, SIGMA, T, GOAL = "z1 + z1*z2 + z1*z2*z3", "tanh(y+1/2)", 20.0, 1e-3
TIMES = np.linspace(0.0, T, 81)


def clock(function, repetitions: int) -> float:
    """Median CPU seconds of this process (one thread): a busy machine distorts them less than the wall clock."""
    spent = []
    for _ in range(repetitions):
        start = time.process_time()
        function()
        spent.append(time.process_time() - start)
    return statistics.median(spent)


def stratified(neurons: int) -> dict:
    """The best initial network for SGD: equally spaced a, which removes the noise of drawing them."""
    return {"a": (np.arange(neurons) + 0.5) * 2 / neurons - 1, "w": np.zeros((neurons, 3))}


def run_sgd(neurons, batch, step, seed, times):
    options = {"dimension": 32, "batch": batch, "step": step, "seed": seed, "times": times, "test_points": 256}
    return sgd(TARGET, SIGMA, T, initial_state=stratified(neurons), device="cpu", progress=False, **options)


def tune_sgd(reference, quick: bool):
    """The cheapest (N, batch, step) whose median error over three seeds is at most GOAL."""
    grid = (
        [(24, 4096, 0.005)]
        if quick
        else list(itertools.product((16, 24, 48), (1024, 2048, 4096, 8192), (0.02, 0.01, 0.005)))
    )
    best, rows = None, []
    for neurons, batch, step in sorted(grid, key=lambda g: g[0] * g[1] / g[2]):
        estimate = neurons * batch / step
        if best is not None and estimate > 1.5 * best[0]:
            continue
        errors = [run_sgd(neurons, batch, step, seed, TIMES).distance(reference) for seed in range(3)]
        rows.append((neurons, batch, step, statistics.median(errors)))
        print(f"    sgd N={neurons} batch={batch} step={step}: error {rows[-1][3]:.1e}", file=sys.stderr, flush=True)
        if rows[-1][3] <= GOAL and (best is None or estimate < best[0]):
            best = (estimate, neurons, batch, step, rows[-1][3])
    if best is None:
        best = (0, *min(rows, key=lambda row: row[3]))
    return best[1:]


def graded_nodes(nodes: int):
    """Nodes and masses graded towards 0, where this target has its layer: a = sinh(4x)/sinh 4, split at 0 (by hand)."""
    x, weight = np.polynomial.legendre.leggauss(nodes // 2)
    x, weight = (x + 1) / 2, weight / 2
    a, mass = np.sinh(4 * x) / np.sinh(4), weight * np.cosh(4 * x)
    mass = np.concatenate([mass[::-1], mass])
    return np.concatenate([-a[::-1], a]), mass / mass.sum()


def run_given(field, nodes: int, rtol: float):
    """One solve with every setting given by hand."""
    a, mass = graded_nodes(nodes)
    flow = Flow(lambda t: 1.0, lambda t: 1.0)
    return solve(field, flow, (a, np.zeros((nodes, 3)), np.zeros(nodes)), mass, TIMES, rtol)


def tune_given(make, sizes, reference, goal: float, cost):
    """The cheapest (nodes, size) for which a solve with the field ``make(size)`` reaches the goal."""
    for nodes, size in sorted(itertools.product((8, 12, 16, 24, 32, 40), sizes), key=cost):
        error = float(np.max(np.abs(run_given(make(size), nodes, 0.1 * goal).losses - reference.losses)))
        if error <= goal:
            return nodes, size, error
    raise SystemExit(f"no setting on the grid reached {goal:g}")


def pair_field(orders: int):
    return LimitField(mf.Polynomial(TARGET), mf.Activation(SIGMA), orders)


def tensor_field(points: int):
    return QuadratureField(mf.Polynomial(TARGET), mf.Activation(SIGMA), points)


def given_race(reference, goal: float, rounds: int):
    """Pair kernel against tensor quadrature with both tuned by hand: two table rows and the ratio."""
    pair = tune_given(pair_field, (8, 12, 16, 20, 24, 32), reference, goal, lambda g: g[0] ** 2 * g[1])
    tensor = tune_given(tensor_field, (8, 10, 12, 14, 16, 20, 24), reference, goal, lambda g: g[0] * g[1] ** 3)
    one, other = pair_field(pair[1]), tensor_field(tensor[1])
    times = [
        (
            clock(lambda: run_given(one, pair[0], 0.1 * goal), 3),
            clock(lambda: run_given(other, tensor[0], 0.1 * goal), 1),
        )
        for _ in range(rounds)
    ]
    mine, theirs = (statistics.median(t[i] for t in times) for i in (0, 1))
    rows = [
        f"| pair kernel, settings given | {pair[0]} nodes, K = {pair[1]} | {pair[2]:.1e} | {mine:.4f} | |",
        f"| tensor quadrature, settings given | {tensor[0]} nodes, {tensor[1]}^3 points | {tensor[2]:.1e} | {theirs:.4f} | |",
    ]
    return rows, mine, theirs / mine


def field_race_p4():
    """One evaluation of the field at p = 4, 32 nodes: K = 24 against 24 points in each of four directions."""
    target = mf.Polynomial("z1 + z1*z2 + z1*z2*z3 + z1*z2*z3*z4")
    rng = np.random.default_rng(0)
    state = rng.uniform(-1, 1, 32), rng.normal(size=(32, 4)) * 0.5, np.zeros(32), np.full(32, 1 / 32)
    pair = LimitField(target, mf.Activation(SIGMA), 24)
    tensor = QuadratureField(target, mf.Activation(SIGMA), 24, largest_p=4)
    pair.evaluate(*state)
    difference = float(np.max(np.abs(pair.evaluate(*state)[1] - tensor.evaluate(*state)[1])))
    return clock(lambda: tensor.evaluate(*state), 3) / clock(
        lambda: [pair.evaluate(*state) for _ in range(100)], 5
    ) * 100, difference


def random_target(rng: np.random.Generator, constant: bool) -> mf.Polynomial:
    """Sparse, p <= 3, degree <= 4, with a linear term (without one nothing starts), coefficients of order one."""
    p, degree = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    exponents = [e for e in itertools.product(range(degree + 1), repeat=p) if 1 <= sum(e) <= degree]
    terms = {(1,) + (0,) * (p - 1): rng.choice([-1, 1]) * rng.uniform(0.5, 1.5)}
    for i in rng.permutation(len(exponents))[: int(rng.integers(1, 6))]:
        scale = math.sqrt(math.prod(math.factorial(j) for j in exponents[i]))
        terms[exponents[i]] = rng.uniform(-1.2, 1.2) / scale
    if constant:
        terms[(0,) * p] = rng.uniform(-1, 1)
    exact = {e: mf.Polynomial(f"{float(c):.3f}").expectation() for e, c in terms.items()}
    return mf.Polynomial.from_hermite(exact, [f"z{i + 1}" for i in range(p)])


def blind(count: int, tolerance: float, seed: int):
    """(reported >= true, refused, worst ratio true/reported, largest reported) over random targets."""
    rng = np.random.default_rng(seed)
    good = refused = 0
    worst = largest = 0.0
    spent = []
    activations = (SIGMA, "3/5*sin(y) + 4/5*cos(y)", "gelu", "tanh")
    for i in range(count):
        target, sigma = random_target(rng, constant=i % 2 == 1), activations[i % len(activations)]
        try:
            start = time.process_time()
            run = meanfield(target, sigma, T, tolerance=tolerance, times=np.linspace(0, T, 201), progress=False)
            spent.append(time.process_time() - start)
        except (mf.ToleranceError, mf.DivergenceError) as problem:
            refused += 1
            print(f"    {i}: refused: {problem}", file=sys.stderr, flush=True)
            continue
        truth = meanfield(
            target, sigma, T, tolerance=tolerance / 100, times=run.times, max_nodes=2000, max_orders=400, progress=False
        )
        error = run.distance(truth) - truth.error
        worst, largest = max(worst, error / run.error), max(largest, run.error)
        good += error <= run.error
        mark = "" if error <= run.error else "   <-- ABOVE WHAT IT REPORTS"
        print(
            f"    {i}: {sigma}, {target}: reported {run.error:.1e}, true {error:.1e}{mark}", file=sys.stderr, flush=True
        )
    return good, refused, worst, largest, statistics.median(spent)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="no search for the best SGD setting, 10 random targets")
    parser.add_argument("--save", action="store_true", help="write benchmarks/limit_engine.md")
    parser.add_argument("--targets", type=int, help="how many random targets (default 50)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random targets")
    arguments = parser.parse_args()

    reference = meanfield(TARGET, SIGMA, T, tolerance=1e-6, times=TIMES, progress=False)

    def ours():
        return meanfield(TARGET, SIGMA, T, tolerance=GOAL, times=TIMES, progress=False)

    our_error = ours().distance(reference)
    sgd_setting = tune_sgd(reference, arguments.quick)
    ends = np.array([0.0, T])  # SGD is timed without recording its loss on the way: training alone
    rounds = 3 if arguments.quick else 7
    seconds = {"meanfield": [], "sgd": []}
    for i in range(rounds):  # alternating, so that a slow moment of the machine hits both
        seconds["meanfield"].append(clock(ours, 3))
        seconds["sgd"].append(clock(lambda seed=i: run_sgd(*sgd_setting[:3], seed, ends), 1))
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    against_sgd = middle["sgd"] / middle["meanfield"]
    given_rows, given_seconds, _ = given_race(reference, GOAL, rounds)
    fine_rows, _, against_tensor = given_race(reference, 0.1 * GOAL, rounds)
    p4, p4_difference = field_race_p4()

    count = arguments.targets or (10 if arguments.quick else 50)
    good, refused, worst, largest, typical = blind(count, GOAL, arguments.seed)

    machine = f"{platform.machine()}, one thread, Python {platform.python_version()}, numpy {np.__version__}"
    lines = [
        f"# Limit engine ({machine})",
        "",
        f"h* = {TARGET}, sigma = {SIGMA}, t in [0, {T:g}], sup-norm error of the loss curve at most {GOAL:g}.",
        "",
        "| method | setting | error | CPU seconds | times meanfield |",
        "|---|---|---|---|---|",
        f"| meanfield | defaults, tolerance={GOAL:g} | {our_error:.1e} | {middle['meanfield']:.3f} | 1 |",
        f"| SGD, d = 32, stratified a | tuned: N={sgd_setting[0]}, batch {sgd_setting[1]}, step {sgd_setting[2]} | "
        f"{sgd_setting[3]:.1e} | {middle['sgd']:.3f} | {against_sgd:.1f} |",
        *given_rows,
        "",
        f"With its settings given by hand the same engine is {middle['sgd'] / given_seconds:.0f} times cheaper than SGD. At "
        f"{0.1 * GOAL:g}, both with settings given, the pair kernel is {against_tensor:.1f} times cheaper than tensor quadrature:",
        "",
        "| method | setting | error | CPU seconds | |",
        "|---|---|---|---|---|",
        *fine_rows,
        "",
        f"One field at p = 4 (32 nodes, K = 24 against 24^4 points; they differ by {p4_difference:.0e}): {p4:.0f} times cheaper.",
        "",
        f"Blind, {count} random targets (every second one with a constant), tolerance {GOAL:g}: true error at most what is "
        f"reported in {good} of {count - refused} (refused: {refused}); largest ratio true/reported {worst:.2f}; largest "
        f"error reported {largest:.1e}; median {typical:.3f} s a target.",
    ]
    print("\n".join(lines))
    if arguments.save:
        with open(os.path.join(os.path.dirname(__file__), "limit_engine.md"), "w") as file:
            file.write("\n".join(lines) + "\n")
    failed = []
    if good != count - refused:
        failed.append("a reported error was below the true one")
    if against_sgd < 30:
        failed.append(f"{against_sgd:.1f} times cheaper than SGD, the goal is 30")
    if against_tensor < 3:
        failed.append(f"{against_tensor:.1f} times cheaper than tensor quadrature at {0.1 * GOAL:g}, the goal is 3")
    if p4 < 1000:
        failed.append(f"{p4:.0f} times cheaper for a field at p = 4, the goal is 1000")
    for line in failed:
        print(f"MISSED: {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
