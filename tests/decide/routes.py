"""Independent routes to the answers of meanfield_sgd.decide, written from the definitions.

Nothing here calls the package: polynomials are dictionaries ``{exponents: Fraction}``, activations are functions on
arrays, linear algebra is done on Fractions.
"""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction
from functools import cache

import numpy as np

# ---- polynomials {exponents: coefficient} ----


def double_factorial_moment(k):
    """E[g^k], g ~ N(0, 1)."""
    return 0 if k % 2 else math.prod(range(1, k, 2))


def mean(terms):
    """E[h(z)]."""
    return sum((c * math.prod(map(double_factorial_moment, a)) for a, c in terms.items()), Fraction(0))


def times(f, g):
    found = {}
    for a, c in f.items():
        for b, d in g.items():
            key = tuple(x + y for x, y in zip(a, b))
            found[key] = found.get(key, 0) + c * d
    return found


def derivative(terms, i):
    return {(*a[:i], a[i] - 1, *a[i + 1 :]): c * a[i] for a, c in terms.items() if a[i]}


def hermite(n):
    """{power: coefficient} of He_n, by the Rodrigues recursion He_{n+1} = y He_n - He_n'."""
    row = {0: 1}
    for _ in range(n):
        new = {k + 1: c for k, c in row.items()}
        for k, c in row.items():
            if k:
                new[k - 1] = new.get(k - 1, 0) - k * c
        row = new
    return row


def from_hermite(coefficients):
    """{alpha: d_alpha} -> monomials of sum d_alpha He_alpha."""
    found = {}
    for alpha, d in coefficients.items():
        part = {(): d}
        for e in alpha:
            part = {(*key, k): c * x for key, c in part.items() for k, x in hermite(e).items()}
        for key, c in part.items():
            found[key] = found.get(key, 0) + c
    return {key: c for key, c in found.items() if c}


def compose(terms, Q):
    """h(Q z)."""
    p = len(Q[0])
    rows = [
        {tuple(int(i == j) for i in range(p)): Fraction(Q[k][j]) for j in range(p) if Q[k][j]} for k in range(len(Q))
    ]
    found = {}
    for a, c in terms.items():
        part = {(0,) * p: c}
        for row, e in zip(rows, a):
            for _ in range(e):
                part = times(part, row)
        for key, x in part.items():
            found[key] = found.get(key, 0) + x
    return {key: c for key, c in found.items() if c}


# ---- linear algebra over Q ----


def row_echelon(rows):
    """Reduced row echelon form without zero rows, as a tuple of tuples of Fractions."""
    rows = [list(map(Fraction, row)) for row in rows]
    width, done = len(rows[0]) if rows else 0, 0
    for column in range(width):
        pivot = next((i for i in range(done, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[done], rows[pivot] = rows[pivot], rows[done]
        rows[done] = [x / rows[done][column] for x in rows[done]]
        for i in range(len(rows)):
            if i != done and rows[i][column]:
                rows[i] = [x - rows[i][column] * y for x, y in zip(rows[i], rows[done])]
        done += 1
    return tuple(map(tuple, rows[:done]))


def complement(rows, p):
    """The orthogonal complement in Q^p, in reduced row echelon form."""
    echelon = row_echelon(rows)
    pivots = [next(i for i, x in enumerate(row) if x) for row in echelon]
    found = []
    for free in set(range(p)) - set(pivots):
        v = [Fraction(int(i == free)) for i in range(p)]
        for pivot, row in zip(pivots, echelon):
            v[pivot] = -row[free]
        found.append(v)
    return row_echelon(found)


def solve(matrix, right):
    """X with matrix X = right, for invertible square matrices of Fractions."""
    n = len(matrix)
    echelon = row_echelon([[*a, *b] for a, b in zip(matrix, right)])
    return [list(row[n:]) for row in echelon]


def product(A, B):
    return [[sum(x * y for x, y in zip(row, column)) for column in zip(*B)] for row in A]


def projector(rows, p):
    """The orthogonal projector on the span of the rows."""
    rows = row_echelon(rows)
    if not rows:
        return [[Fraction(0)] * p for _ in range(p)]
    columns = [list(c) for c in zip(*rows)]
    return product(columns, solve(product(rows, columns), [list(row) for row in rows]))


def cayley(rng, p):
    """A random rational orthogonal matrix (I - A)(I + A)^-1, A skew-symmetric."""
    A = [[Fraction(0)] * p for _ in range(p)]
    for i in range(p):
        for j in range(i):
            A[i][j] = Fraction(rng.randint(-3, 3), rng.randint(1, 2))
            A[j][i] = -A[i][j]
    unit = [[Fraction(int(i == j)) for j in range(p)] for i in range(p)]
    plus = [[x + y for x, y in zip(a, b)] for a, b in zip(unit, A)]
    minus = [[x - y for x, y in zip(a, b)] for a, b in zip(unit, A)]
    return product(minus, solve(plus, unit))


# ---- (b) closure under full symmetric tensors ----


def tensors(terms, p, degree):
    """{k: {(i_1, ..., i_k): E[d_i1 ... d_ik h]}} with all index tuples, k >= 1, by repeated differentiation."""
    found, sorted_parts = {}, {(): terms}
    for k in range(1, degree + 1):
        new = {}
        for index, part in sorted_parts.items():
            for i in range(index[-1] if index else 0, p):
                slope = derivative(part, i)
                if slope:
                    new[(*index, i)] = slope
        sorted_parts = new
        values = {index: mean(part) for index, part in sorted_parts.items()}
        found[k] = {}
        for index in itertools.product(range(p), repeat=k):
            value = values.get(tuple(sorted(index)), 0)
            if value:
                found[k][index] = value
    return found


def contract(tensor, v):
    """The first slot filled with v."""
    found = {}
    for index, c in tensor.items():
        if v[index[0]]:
            found[index[1:]] = found.get(index[1:], 0) + c * v[index[0]]
    return found


def closure(terms, p, degree, orders):
    """(U_* in reduced row echelon form, (dim U_1, ..., dim U_*)) by contracting all tuples of basis vectors."""
    all_tensors = tensors(terms, p, degree)
    basis, chain = (), []
    while True:
        vectors = [list(row) for row in basis]
        for k in orders:
            stack = [(all_tensors.get(k, {}), 0, 1)]
            while stack:
                tensor, first, used = stack.pop()
                if used == k:
                    vectors.append([tensor.get((i,), Fraction(0)) for i in range(p)])
                else:
                    stack += [(contract(tensor, basis[i]), i, used + 1) for i in range(first, len(basis))]
        larger = row_echelon(vectors)
        if len(larger) == len(basis):
            return basis, tuple(chain)
        basis = larger
        chain.append(len(basis))


# ---- (a) G(u, v) by tensor quadrature on the definition ----


@cache
def gauss_hermite(nodes):
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    return x, w / w.sum()


@cache
def tensor_grid(p, nodes):
    x, w = gauss_hermite(nodes)
    points = np.stack([a.ravel() for a in np.meshgrid(*[x] * p, indexing="ij")], axis=-1)
    weights = np.ones(1)
    for _ in range(p):
        weights = np.multiply.outer(weights, w).ravel()
    return points, weights


def values(terms, points):
    """h on points (n, p)."""
    top = max((max(a) for a in terms), default=0)
    powers = [np.ones_like(points)]
    for _ in range(top):
        powers.append(powers[-1] * points)
    total = np.zeros(len(points))
    for a, c in terms.items():
        term = np.full(len(points), float(c))
        for i, e in enumerate(a):
            if e:
                term = term * powers[e][:, i]
        total += term
    return total


class Definition:
    """G(u, v) = E[h(z) sigma'(u + v . z_{S-perp}) z_S] for one h and one S, by a tensor Gauss-Hermite rule."""

    def __init__(self, terms, rows, p, nodes):
        self.points, self.weights = tensor_grid(p, nodes)
        self.on_S = np.zeros((p, p))
        if len(rows):
            _, sizes, q = np.linalg.svd(np.array(rows, dtype=float), full_matrices=False)
            q = q[sizes > 1e-9 * sizes[0]]
            self.on_S = q.T @ q
        h = values(terms, self.points)
        self.weighted = self.weights[:, None] * (h[:, None] * (self.points @ self.on_S))
        self.across = np.eye(p) - self.on_S
        self.size = math.sqrt(float(self.weights @ h**2))

    def __call__(self, slope, u, v):
        return slope(u + self.points @ (self.across @ np.asarray(v, dtype=float))) @ self.weighted


def gauss_panels(edges, order=40):
    """Composite Gauss-Legendre nodes and weights."""
    x, w = np.polynomial.legendre.leggauss(order)
    nodes, weights = [], []
    for a, b in itertools.pairwise(edges):
        nodes.append((a + b) / 2 + (b - a) / 2 * x)
        weights.append((b - a) / 2 * w)
    return np.concatenate(nodes), np.concatenate(weights)


# ---- (c) the flow (4.1) by raw moments ----


def raw_moment_flow(terms, p, jet, order):
    """[c_1, ..., c_order]: c_j = (1/j)[tau^(j-1)] sum_beta s_(|beta|+1)/beta! E[h z^beta z_i] W^beta. jet[k] = s_k, k >= 1."""
    moments = {}
    for q in range(order):
        for places in itertools.combinations_with_replacement(range(p), q):
            beta = tuple(places.count(i) for i in range(p))
            for i in range(p):
                up = tuple(b + (j == i) for j, b in enumerate(beta))
                moments[beta, i] = mean({tuple(x + y for x, y in zip(a, up)): c for a, c in terms.items()})
    W = [[Fraction(0)] * (order + 1) for _ in range(p)]

    def power(beta, upto):
        series = [Fraction(1)] + [Fraction(0)] * upto
        for i, e in enumerate(beta):
            for _ in range(e):
                series = [sum(series[a] * W[i][m - a] for a in range(m + 1)) for m in range(upto + 1)]
        return series[upto]

    for j in range(1, order + 1):
        new = [Fraction(0)] * p
        for beta in {b for b, _ in moments if sum(b) <= j - 1}:
            scale = power(beta, j - 1)
            if scale:
                factor = jet[sum(beta) + 1] * scale / math.prod(map(math.factorial, beta))
                for i in range(p):
                    new[i] += factor * moments[beta, i]
        for i in range(p):
            W[i][j] = new[i] / j
    return [tuple(W[i][j] for i in range(p)) for j in range(1, order + 1)]


# ---- (d) the loss floor by exact moments of correlated copies ----


def loss_floor(terms, rows, p):
    """(1/2) E Var(h | z_U), U = S-perp: E E[h|z_U]^2 = E h(z) h(z') with Cov(z, z') = P_U; moments by Isserlis' recursion."""
    on_S = projector(rows, p)
    P = [[Fraction(int(i == j)) - on_S[i][j] for j in range(p)] for i in range(p)]
    unit = [[Fraction(int(i == j)) for j in range(p)] for i in range(p)]
    blocks = [[*unit[i], *P[i]] for i in range(p)] + [[*P[i], *unit[i]] for i in range(p)]

    @cache
    def moment(exponents):
        first = next((i for i, e in enumerate(exponents) if e), None)
        if first is None:
            return Fraction(1)
        rest = list(exponents)
        rest[first] -= 1
        total = Fraction(0)
        for j, e in enumerate(rest):
            if e and blocks[first][j]:
                left = list(rest)
                left[j] -= 1
                total += e * blocks[first][j] * moment(tuple(left))
        return total

    explained = sum(c * d * moment((*a, *b)) for a, c in terms.items() for b, d in terms.items())
    return (mean(times(terms, terms)) - explained) / 2


# ---- random targets ----


def random_terms(rng, p, degree, *, hermite_basis=None):
    """A sparse target {exponents: Fraction} that is not constant; with a linear part in most cases."""
    coefficients = {}
    if rng.random() < 0.85:
        i = rng.randrange(p)
        coefficients[tuple(int(i == j) for j in range(p))] = Fraction(
            rng.choice([-2, -1, 1, 1, 2]), rng.choice([1, 1, 2])
        )
    for _ in range(rng.randint(1, 4)):
        left, alpha = rng.randint(1, degree), [0] * p
        for _ in range(left):
            alpha[rng.randrange(p)] += 1
        coefficients[tuple(alpha)] = Fraction(rng.choice([-3, -2, -1, 1, 2, 3]), rng.choice([1, 1, 2, 3]))
    in_hermite = rng.random() < 0.6 if hermite_basis is None else hermite_basis
    terms = from_hermite(coefficients) if in_hermite else coefficients
    return terms if any(any(a) for a in terms) else random_terms(rng, p, degree, hermite_basis=hermite_basis)


def degree_of(terms):
    return max(map(sum, terms))


def support_of(terms, p):
    """Span of all gradients, in reduced row echelon form."""
    rows = {}
    for i in range(p):
        for key, c in derivative(terms, i).items():
            rows.setdefault(key, [Fraction(0)] * p)[i] = c
    return row_echelon(list(rows.values()))


def generator(seed):
    return random.Random(seed)
