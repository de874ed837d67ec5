"""The race of the exact decisions: `python benchmarks/decide.py` (one minute, one thread).

1. The whole verdict, `decide`, against what one would do without the library: every coefficient E[h He_alpha(z)] with
   |alpha| <= n by `sympy.integrate` of a polynomial times the Gaussian density, variable by variable and term by term
   (the integral of the expanded sum at once is ten times slower still), then the closure of subspaces under these
   tensors with sympy matrices. The subspaces must be equal. The second column knows that E z^k is needed only once for
   each k, and integrates that alone.
2. The closure alone, `reached_subspace`, against full tensors of Fractions contracted with all tuples of basis vectors
   (each once, not in every order: the tensors are symmetric). Both start from the same Hermite coefficients; filling
   the tensors counts. The targets have a chain of several steps, and are rotated, so that every tensor is dense; in
   half of them directions are hidden. The second column keeps what tuples that begin alike share.
3. Seconds for one verdict: a dense target with p = 4, degree 5, and a sparse one with p = 8, 20 terms, degree 4.

CPU seconds of one process, medians; what counts is the ratio. The table goes to standard output and, with --save, to
benchmarks/decide.md. Exit status 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import sympy

import meanfield_sgd as mf

SIGMA = "tanh(y+1/2)"
LIMIT = 60.0  # CPU seconds that the tensors get


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    answer = function()
    return time.process_time() - start, answer


def clock(function: Callable[[], Any], repetitions: int) -> float:
    return statistics.median(timed(function)[0] for _ in range(repetitions))


def verdict_seconds(target: mf.Polynomial, repetitions: int) -> tuple[float, mf.decide.Verdict]:
    """Of the whole way from the text: a polynomial that was asked before remembers its Hermite coefficients."""
    text, names = str(target), target.variables

    def ask() -> mf.decide.Verdict:
        return mf.decide(mf.Polynomial(text, names), SIGMA, progress=False)

    return clock(ask, repetitions), ask()


# ---- targets ----


def random_target(p: int, n: int, terms: int | None, rng: random.Random) -> mf.Polynomial:
    """Coefficients a/b with a, b in 1..9; all monomials, or as many as asked for, with z1 and one of degree n.

    Every variable occurs in one of them.
    """
    exponents = [e for e in itertools.product(range(n + 1), repeat=p) if 1 <= sum(e) <= n]
    chosen = exponents
    if terms is not None:
        linear = tuple(int(i == 0) for i in range(p))
        chosen = []
        while not all(any(e[i] for e in chosen) for i in range(p)):
            top = rng.choice([e for e in exponents if sum(e) == n])
            chosen = [linear, top, *rng.sample([e for e in exponents if e not in (linear, top)], terms - 2)]
    return mf.Polynomial.from_terms(
        {e: Fraction(rng.choice((-1, 1)) * rng.randint(1, 9), rng.randint(1, 9)) for e in chosen}
    )


def rotation(p: int, rng: random.Random) -> list[list[Fraction]]:
    """A product of two reflections at whole-number vectors: rational, orthogonal and without zeros."""
    rows: list[list[Fraction]] = [[]]
    while not all(all(row) for row in rows) or not rows[0]:
        rows = _two_reflections(p, rng)
    return rows


def _two_reflections(p: int, rng: random.Random) -> list[list[Fraction]]:
    rows = [[Fraction(i == j) for j in range(p)] for i in range(p)]
    for _ in range(2):
        v = [rng.choice((-2, -1, 1, 2)) for _ in range(p)]
        square = sum(x * x for x in v)
        rows = [[x - 2 * sum(map(lambda a, b: a * b, row, v)) * y / square for x, y in zip(row, v)] for row in rows]
    return rows


def chained(p: int, n: int, hidden: int, rng: random.Random) -> mf.Polynomial:
    """Rotated: a chain z1 -> z2 -> ... of p - hidden steps, all powers of each; the hidden ones occur squared."""
    seen = p - hidden
    pieces = ["z1"]
    for i in range(1, seen):
        pieces += [f"{rng.randint(1, 9)}/{rng.randint(1, 9)}*He{j}(z{i})*z{i + 1}" for j in range(1, n)]
    pieces += [f"{rng.randint(1, 9)}*He{n}(z{i})" for i in range(1, seen + 1)]
    pieces += [f"{rng.randint(1, 9)}*He2(z{i})*He{n - 2}(z{rng.randint(1, seen)})" for i in range(seen + 1, p + 1)]
    return mf.Polynomial(" + ".join(pieces), [f"z{i + 1}" for i in range(p)]).rotate(rotation(p, rng))


# ---- what one would do without the library ----


def hermite(n: int, x: sympy.Symbol) -> sympy.Expr:
    return sympy.expand(2 ** sympy.Rational(-n, 2) * sympy.hermite(n, x / sympy.sqrt(2)))


def gaussian_integral(k: int, x: sympy.Symbol) -> sympy.Expr:
    density = sympy.exp(-(x**2) / 2) / sympy.sqrt(2 * sympy.pi)
    return sympy.integrate(x**k * density, (x, -sympy.oo, sympy.oo))


def coefficients_by_integration(h: sympy.Expr, z: list[sympy.Symbol], n: int, remember: bool) -> dict:
    """{alpha: E[h He_alpha(z)]} for |alpha| <= n."""
    known: dict[int, sympy.Expr] = {}

    def moment(k: int, x: sympy.Symbol) -> sympy.Expr:
        if not remember:
            return gaussian_integral(k, x)
        if k not in known:
            known[k] = gaussian_integral(k, x)
        return known[k]

    found = {}
    for alpha in itertools.product(range(n + 1), repeat=len(z)):
        if 1 <= sum(alpha) <= n:
            value = sympy.expand(h * sympy.prod(hermite(a, x) for a, x in zip(alpha, z)))
            for x in z:
                value = sympy.expand(sum(c * moment(k, x) for (k,), c in sympy.Poly(value, x).terms()))
            found[alpha] = value
    return found


def contraction_sympy(tensor: dict, k: int, vectors: tuple, p: int) -> list[sympy.Expr]:
    """C_k[v_1, ..., v_{k-1}], where tensor holds C_k(e^alpha)."""
    result = []
    for j in range(p):
        total = sympy.Integer(0)
        for index in itertools.product(range(p), repeat=k - 1):
            full = (*index, j)
            value = tensor[tuple(full.count(i) for i in range(p))]
            if value:
                total += value * sympy.prod(v[i] for v, i in zip(vectors, index))
        result.append(total)
    return result


def by_integration(target: mf.Polynomial, remember: bool) -> sympy.Matrix:
    """The reduced basis of U_*, with sympy only."""
    z = list(sympy.symbols(f"z1:{target.p + 1}", real=True))
    h = sum(
        sympy.Rational(c.numerator, c.denominator) * sympy.prod(x**e for x, e in zip(z, alpha))
        for alpha, c in target.terms.items()
    )
    n = target.degree
    tensor = coefficients_by_integration(h, z, n, remember)
    basis = sympy.zeros(0, target.p)
    while basis.rows < target.p:
        vectors = [tuple(basis.row(i)) for i in range(basis.rows)]
        rows = [list(v) for v in vectors]
        for k in range(1, n + 1):
            for chosen in itertools.combinations_with_replacement(vectors, k - 1):
                rows.append(contraction_sympy(tensor, k, chosen, target.p))
        reduced, pivots = sympy.Matrix(rows).rref()
        if len(pivots) == basis.rows:
            break
        basis = reduced[: len(pivots), :]
    return basis


def race_integration(rng: random.Random) -> tuple[list[str], float]:
    """Table rows, and the median ratio."""
    sizes = [(2, 2), (2, 3), (3, 2), (2, 4), (3, 3), (3, 3), (2, 4), (3, 4), (2, 3), (3, 4)]
    mf.decide("z1 + z1*z2", SIGMA)  # loads everything
    by_integration(mf.Polynomial("z1 + z1*z2"), False)
    rows, ratios = [], []
    for p, n in sizes:
        target = random_target(p, n, rng.choice((3, 4, 5)), rng)
        ours, verdict = verdict_seconds(target, 5)
        theirs, basis = timed(lambda t=target: by_integration(t, False))
        clever, same = timed(lambda t=target: by_integration(t, True))
        expected = [[sympy.Rational(x.numerator, x.denominator) for x in row] for row in verdict.reached.basis]
        if not basis.tolist() == same.tolist() == expected:
            raise SystemExit(f"{target}: integration gives {basis}, decide {verdict.reached}")
        ratios.append(theirs / ours)
        rows.append(
            f"| `{target}` | {verdict.reached.dimension} of {verdict.support.dimension} | {theirs:.2f} | {clever:.2f} | "
            f"{ours * 1000:.1f} | {ratios[-1]:.0f} | {clever / ours:.0f} |"
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return rows, statistics.median(ratios)


# ---- full tensors of Fractions ----


class OutOfTime(Exception):
    pass


def full_tensors(target: mf.Polynomial) -> dict[int, list[Fraction]]:
    """{k: C_k with all p^k entries, row by row}."""
    p, n = target.p, target.degree
    tensors = {k: [Fraction(0)] * p**k for k in range(1, n + 1)}
    values = {
        alpha: d * math.prod(map(math.factorial, alpha))
        for alpha, d in target.hermite_coefficients.items()
        if any(alpha)
    }
    for k, tensor in tensors.items():
        for at, index in enumerate(itertools.product(range(p), repeat=k)):
            tensor[at] = values.get(tuple(index.count(i) for i in range(p)), Fraction(0))
    return tensors


def contracted(tensor: list[Fraction], v: list[Fraction]) -> list[Fraction]:
    """The tensor applied to v in its first argument."""
    size = len(tensor) // len(v)
    return [sum((x * tensor[i * size + at] for i, x in enumerate(v) if x), Fraction(0)) for at in range(size)]


def independent(rows: list[list[Fraction]], v: list[Fraction]) -> bool:
    """Adds v to the reduced rows if it is new."""
    left = list(v)
    for row in rows:
        pivot = next(i for i, x in enumerate(row) if x)
        if left[pivot]:
            factor = left[pivot]
            left = [x - factor * y for x, y in zip(left, row)]
    pivot = next((i for i, x in enumerate(left) if x), None)
    if pivot is None:
        return False
    left = [x / left[pivot] for x in left]
    rows[:] = [[x - row[pivot] * y for x, y in zip(row, left)] for row in rows] + [left]
    return True


def by_tensors(target: mf.Polynomial, limit: float, reuse: bool = False) -> list[list[Fraction]]:
    """The reduced basis of U_*. ``reuse`` keeps C_k[u_i, ...] for the tuples that begin alike."""
    end = time.process_time() + limit
    p, tensors = target.p, full_tensors(target)
    rows: list[list[Fraction]] = []
    vectors: list[list[Fraction]] = []
    kept: dict[tuple, list[Fraction]] = {}

    def apply(k: int, chosen: tuple[int, ...]) -> list[Fraction]:
        if time.process_time() > end:
            raise OutOfTime
        if reuse:
            if (k, chosen) not in kept:
                kept[k, chosen] = contracted(apply(k, chosen[:-1]), vectors[chosen[-1]]) if chosen else tensors[k]
            return kept[k, chosen]
        value = tensors[k]
        for i in chosen:
            value = contracted(value, vectors[i])
        return value

    while len(rows) < p:
        fresh = []
        for k in tensors:
            for chosen in itertools.combinations_with_replacement(range(len(vectors)), k - 1):
                value = apply(k, chosen)
                if independent(rows, value):
                    fresh.append(value)
                if len(rows) == p:
                    break
            if len(rows) == p:
                break
        if not fresh:
            break
        vectors += fresh
    return sorted(rows, reverse=True)


def race_closure(p: int, n: int, count: int, limit: float, rng: random.Random) -> tuple[list[str], float]:
    rows, ratios = [], []
    for i in range(count):
        hidden = p // 2 if i % 2 else 0
        target = chained(p, n, hidden, rng)
        reached = mf.decide.reached_subspace(target)  # it also computes the Hermite coefficients that both start from
        ours = clock(lambda t=target: mf.decide.reached_subspace(t), 5)
        cells = []
        for reuse in (False, True):
            try:
                seconds, basis = timed(lambda t=target, r=reuse: by_tensors(t, limit, r))
                if seconds < 0.2:
                    seconds = clock(lambda t=target, r=reuse: by_tensors(t, limit, r), 5)
                if basis != [list(row) for row in reached.basis]:
                    raise SystemExit(f"{target}: tensors give {basis}, reached_subspace {reached}")
                cells.append((seconds, ""))
            except OutOfTime:
                cells.append((limit, "more than "))
        ratios.append(cells[0][0] / ours)
        direct, kept = (f"{mark}{seconds:.3f}" for seconds, mark in cells)
        rows.append(
            f"| {p} | {n} | {len(target.terms)} | {' -> '.join(map(str, (0, *reached.chain)))} | {direct} | {kept} | "
            f"{ours * 1000:.1f} | {cells[0][1]}{ratios[-1]:.1f} | {cells[1][1]}{cells[1][0] / ours:.1f} |"
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return rows, statistics.median(ratios)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="write benchmarks/decide.md")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random targets")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)

    integration, against_integration = race_integration(rng)
    four, against_four = race_closure(4, 5, 6, LIMIT, rng)
    six, against_six = race_closure(6, 6, 4, LIMIT, rng)
    absolute = {
        "dense, p = 4, degree 5": [verdict_seconds(random_target(4, 5, None, rng), 3)[0] for _ in range(5)],
        "20 terms, p = 8, degree 4": [verdict_seconds(random_target(8, 4, 20, rng), 3)[0] for _ in range(5)],
    }

    machine = f"{platform.machine()}, one thread, Python {platform.python_version()}, sympy {sympy.__version__}"
    head = (
        "| p | n | terms | chain | tensors, s | and keeping, s | `reached_subspace`, ms | ratio | ratio to the second |"
    )
    lines = [
        f"# Exact decisions ({machine})",
        "",
        "CPU seconds; ratios are to the method of the library in the same row.",
        "",
        f"## The whole verdict against sympy.integrate: {against_integration:.0f} times faster on the median target",
        "",
        "First every coefficient E[h He_alpha(z)] by integrating each term over each variable, then, knowing that each",
        "E z^k is needed only once. Both then close the subspace with sympy matrices, and find the same one as `decide`,",
        "which also gives all the rest of the verdict.",
        "",
        "| target | reached | integrated, s | each z^k once, s | `decide`, ms | ratio | ratio to the second |",
        "|---|---|---|---|---|---|---|",
        *integration,
        "",
        "## The closure against full tensors: "
        f"{against_four:.1f} times faster at p = 4, {against_six:.0f} at p = 6 (medians)",
        "",
        "Rotated targets, every tensor dense. The second tensor method keeps what tuples that begin alike share. One that",
        f"needs more than {LIMIT:.0f} s is stopped; its ratio is then a lower bound.",
        "",
        head,
        "|---|---|---|---|---|---|---|---|---|",
        *four,
        *six,
        "",
        f"## One verdict from its text, activation {SIGMA}",
        "",
        "| target | median of 5, s | slowest, s |",
        "|---|---|---|",
        *(f"| {name} | {statistics.median(t):.3f} | {max(t):.3f} |" for name, t in absolute.items()),
    ]
    print("\n".join(lines))
    if arguments.save:
        with open(os.path.join(os.path.dirname(__file__), "decide.md"), "w") as file:
            file.write("\n".join(lines) + "\n")
    failed = []
    for name, found, goal in (
        ("the verdict against integration", against_integration, 100),
        ("the closure at p = 4", against_four, 5),
        ("the closure at p = 6", against_six, 35),
    ):
        if found < goal:
            failed.append(f"{name}: {found:.1f} times faster, the goal is {goal}")
    for (name, seconds), goal in zip(absolute.items(), (1.0, 10.0)):
        if max(seconds) >= goal:
            failed.append(f"{name}: {max(seconds):.2f} s, the goal is under {goal:g}")
    for line in failed:
        print(f"MISSED: {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
