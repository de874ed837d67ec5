"""The chapter Is averaging needed?: its exact claims, by routes that share no code with the library or the page.

Curves from raw moments, orders by row reduction over Q in all the variables tau_1, ..., tau_c; the true first stage from raw
moments of the residual, its orders as invariant factors over Q[[t]] by pivots of least valuation.
"""

import itertools
import math
import random
from fractions import Fraction

import decide_routes as routes
import pytest

from meanfield_sgd import Activation, InputError, Polynomial
from meanfield_sgd.decide import averaging_exponents, copy_orders, reached_subspace, stage_one

F = Fraction
A, S, STAIRS = "z1 + z1*z2", "z1 + z1*z2 + z2*z3", "z1 + z1*z2 + z1*z2*z3"
CHAIN = "z1 + z1*z2 + He2(z1)*z3"
P = "z1 + z1*z2 - 2/3*He3(z1) - 1/2*z1*He2(z2)"
R = "10/3*z1 - 5/2*z1*z2 + 5*z1*He2(z2) + 5/3*He3(z1) + 5/4*He3(z1)*z2 + 5/4*z1*He3(z2)"
C = "z1 + z1*z2 + 2*z2*z3 - 2/3*He3(z1) - 4/3*z1*He2(z2) + 1/4*He2(z1)*z3 - 1/2*z1*He2(z3)"
JETS = {
    "wave": lambda k: [F(4, 5), F(3, 5), F(-4, 5), F(-3, 5)][k % 4],
    "cubic": lambda k: F(int(1 <= k <= 3)),
    "quadratic": lambda k: F(int(1 <= k <= 2)),
}
SIGMA = {"wave": "4/5*cos(y) + 3/5*sin(y)", "cubic": "y + y**2/2 + y**3/6", "quadratic": "y + y**2/2"}


def exponents(p, n):
    return sorted((b for b in itertools.product(range(n + 1), repeat=p) if sum(b) <= n), key=sum)


def curve(text, name, order):
    h = Polynomial(text)
    return routes.raw_moment_flow(dict(h.terms), h.p, [JETS[name](k) for k in range(order + 2)], order)


# ---- the flow (4.1) ----


def test_exact_curves():
    parabola, cubic, hyperbola = curve(P, "cubic", 12), curve(C, "cubic", 10), curve(A, "quadratic", 12)
    assert parabola[:2] == [(1, 0), (0, F(1, 2))] and not any(any(c) for c in parabola[2:])
    assert cubic[:3] == [(1, 0, 0), (0, F(1, 2), 0), (0, 0, F(5, 12))] and not any(any(c) for c in cubic[3:])
    for j, c in enumerate(hyperbola, 1):
        assert c == ((F(1, math.factorial(j)), 0) if j % 2 else (0, F(1, math.factorial(j))))
    W = [[F(0), *(c[i] for c in curve(R, "wave", 12))] for i in range(2)]
    for m in range(13):
        assert sum(w[j] * w[m - j] for w in W for j in range(m + 1)) == 2 * W[1][m]  # the circle


def orders(flow, p, n, copies, order):
    """Row reduction of all u^alpha as power series in tau_1, ..., tau_c, columns by total degree."""
    u = []
    for i in range(p):
        terms = {}
        for k in range(copies):
            for j, c in enumerate(flow[:order], 1):
                if c[i]:
                    terms[tuple(j * (k == q) for q in range(copies))] = F(c[i])
        u.append(terms)
    rows = {(0,) * p: {(0,) * copies: F(1)}}
    for b in exponents(p, n)[1:]:
        i = max(i for i in range(p) if b[i])
        less = rows[tuple(x - (q == i) for q, x in enumerate(b))]
        rows[b] = {e: x for e, x in routes.times(less, u[i]).items() if sum(e) <= order}
    columns = sorted({e for row in rows.values() for e in row}, key=lambda e: (sum(e), e))
    echelon = routes.row_echelon([[row.get(e, 0) for e in columns] for row in rows.values()])
    return [sum(columns[next(j for j, x in enumerate(row) if x)]) for row in echelon]


def partitions(k, c):
    """pi_c(k), by listing."""
    return sum(
        1 for e in itertools.product(range(k + 1), repeat=c) if sum(e) <= k and list(e) == sorted(e, reverse=True)
    )


ORDERS = [  # target, activation, n, copies, order of the expansion, least exponent of T or None, how many orders
    (A, "wave", 2, 1, 8, 12, 6),
    (A, "wave", 2, 2, 6, 8, 6),
    (A, "wave", 2, 3, 5, 8, 6),
    (P, "cubic", 3, 1, 9, None, 7),
    (P, "cubic", 3, 2, 6, 12, 10),
    (P, "cubic", 3, 3, 6, 12, 10),
    (S, "wave", 2, 1, 12, 20, 10),
    (S, "wave", 2, 2, 7, 12, 10),
    (S, "wave", 2, 3, 6, 12, 10),
    (STAIRS, "wave", 2, 1, 13, 24, 10),
    (STAIRS, "wave", 2, 2, 9, 16, 10),
    (STAIRS, "wave", 2, 3, 8, 16, 10),
    (CHAIN, "wave", 3, 2, 9, 18, 20),
    (C, "cubic", 3, 1, 9, None, 10),
    (C, "cubic", 3, 2, 9, None, 19),
    (C, "cubic", 3, 3, 9, 18, 20),
]
KEYS = [f"{i}-{case[3]}" for i, case in enumerate(ORDERS)]


@pytest.mark.parametrize("text, name, n, copies, order, last, count", ORDERS, ids=KEYS)
def test_orders_of_every_number_of_copies(text, name, n, copies, order, last, count):
    p = Polynomial(text).p
    found = orders(curve(text, name, order), p, n, copies, order)
    assert len(found) == count and (last is None) == (count < math.comb(n + p, p))
    assert last is None or 2 * found[-1] == last
    library = copy_orders(text, SIGMA[name], copies, degree=n, order=order)
    assert list(library.orders) == found and library.exponent == last and library.monomials == math.comb(n + p, p)
    for k in range(found[-1] + 1):  # at most pi_c(k) orders up to k
        assert sum(v <= k for v in found) <= partitions(k, copies)


def test_more_copies_have_smaller_orders():
    for text, n, order in ((STAIRS, 2, 12), (S, 2, 10), (CHAIN, 2, 10)):
        flow = curve(text, "wave", order)
        lists = [orders(flow, 3, n, c, order if c < 3 else 8) for c in (1, 2, 3)]
        assert all(len(v) == 10 for v in lists)
        for more, fewer in itertools.pairwise(lists):
            assert all(x >= y for x, y in zip(more, fewer))
        adapted = [next(j for j, x in enumerate(row) if x) for row in routes.row_echelon(list(zip(*flow)))]
        weights = sorted(sum((o + 1) * e for o, e in zip(adapted, b)) for b in exponents(3, n))
        assert lists[2] == weights  # p copies: the numbers o . beta


def test_counting_by_parts():
    assert [partitions(k, 1) for k in range(6)] == [1, 2, 3, 4, 5, 6]
    assert [partitions(k, 2) for k in range(12)] == [(k + 2) ** 2 // 4 for k in range(12)]
    assert all((3 * n + 2) ** 2 // 4 >= math.comb(n + 3, 3) for n in range(1, 9))
    assert all((3 * n + 2) ** 2 // 4 < math.comb(n + 3, 3) for n in range(9, 60))


# ---- the floors ----


def feature(alpha, n, p):
    """E[He_alpha(z) (1 + u.z)^n] as a polynomial in u, from raw moments."""
    terms = {}
    for b in exponents(p, n):
        rest = n - sum(b)
        weight = F(math.factorial(n), math.factorial(rest) * math.prod(map(math.factorial, b)))
        moment = routes.mean(routes.times(routes.from_hermite({alpha: F(1)}), {b: F(1)}))
        if moment:
            terms[b] = weight * moment
    return terms


def floor(text, n, p, surface):
    """Half the square of the part of h along the kernel of K; ``surface`` substitutes u by polynomials."""
    alphas = exponents(p, n)
    rows = []
    for alpha in alphas:
        value = {}
        for b, c in feature(alpha, n, p).items():
            part = {(0,) * len(next(iter(surface[0]))): c}
            for q, e in zip(surface, b):
                for _ in range(e):
                    part = routes.times(part, q)
            for key, x in part.items():
                value[key] = value.get(key, 0) + x
        rows.append(value)
    columns = sorted({key for row in rows for key in row})
    matrix = [[row.get(key, F(0)) for key in columns] for row in rows]
    kernel = routes.complement(list(zip(*matrix)), len(alphas))  # x with sum x_alpha E[He_alpha ...] = 0
    factor = [math.prod(map(math.factorial, alpha)) for alpha in alphas]
    target = Polynomial(text).hermite_coefficients
    right = [sum(F(target.get(a, 0)) * f * x for a, f, x in zip(alphas, factor, row)) for row in kernel]
    gram = [[sum(f * x * y for f, x, y in zip(factor, r, s)) for s in kernel] for r in kernel]
    solution = routes.solve(gram, [[x] for x in right])
    return len(kernel), sum(x * y[0] for x, y in zip(right, solution)) / 2


def test_floor_of_one_copy_of_P():
    for T in (1, F(1, 3), 5):  # tau = a T: the floor does not depend on T
        assert floor(P, 3, 2, [{(1,): F(T)}, {(2,): F(T) ** 2 / 2}]) == (3, F(9, 5))


def test_floors_of_C():
    one = [{(1,): F(1)}, {(2,): F(1, 2)}, {(3,): F(5, 12)}]
    two = [{(k, 0): F(c) / 2, (0, k): F(c) / 2} for k, c in ((1, 1), (2, F(1, 2)), (3, F(5, 12)))]
    assert floor(C, 3, 3, two) == (1, F(722, 879))
    corank, one_floor = floor(C, 3, 3, one)
    assert corank == 10 and abs(float(one_floor) - 5.5982) < 1e-4


def test_floor_of_the_hyperbola_is_zero():
    """On (w2 + 1)^2 - w1^2 = 1, rationally parametrised: x = 2s/(1 - s^2) with a common denominator (1 - s^2)^2 removed."""
    w1, w2, unit = (F(0), F(2)), (F(0), F(0), F(2)), (F(1), F(0), F(-1))
    x, y, d = ({(k,): c for k, c in enumerate(v) if c} for v in (w1, w2, unit))
    rows = []
    for alpha in exponents(2, 2):
        value = {}
        for b, c in feature(alpha, 2, 2).items():
            part = {(0,): c}
            for q in [x] * b[0] + [y] * b[1] + [d] * (2 - sum(b)):
                part = routes.times(part, q)
            for key, z in part.items():
                value[key] = value.get(key, 0) + z
        rows.append(value)
    columns = sorted({key for row in rows for key in row})
    kernel = routes.complement(list(zip(*[[row.get(k, F(0)) for k in columns] for row in rows])), 6)
    assert len(kernel) == 1
    found = dict(zip(exponents(2, 2), kernel[0]))
    assert found[1, 0] == found[1, 1] == 0 and found[2, 0] == -found[0, 2] != 0 == found[0, 0]


# ---- generic activations ----


def test_generic_jets_by_the_library_and_by_raw_moments():
    rng, done = random.Random(11), 0
    while done < 60:
        p = rng.choice((2, 2, 3))
        n = rng.choice((2, 3)) if p == 2 else 2
        choices = [b for b in exponents(p, n) if sum(b)]
        terms = {b: F(rng.randint(-3, 3), rng.randint(1, 2)) for b in rng.sample(choices, p + 1)}
        terms[(1, *(0,) * (p - 1))] = F(1)
        terms = {b: c for b, c in terms.items() if c}
        h = Polynomial.from_hermite(terms, [f"z{i + 1}" for i in range(p)])
        if h.degree < 2 or h.minimal()[0].p < p or reached_subspace(h).dimension < p:
            continue
        jet = [F(0), *(F(rng.choice((-1, 1)) * rng.randint(1, 6), rng.randint(1, 4)) for _ in range(60))]
        sigma = Activation.custom(
            math.tanh, name="random", jet=jet, even_part="non-polynomial", odd_part="non-polynomial"
        )
        m = math.comb(h.degree + p, p)
        found = averaging_exponents(h, sigma)
        assert found.singular is False and len(found.valuations) == m
        if done % 6 == 0 and found.valuations[-1] <= 14:
            order = found.valuations[-1]
            flow = routes.raw_moment_flow(dict(h.terms), p, jet, order)
            assert tuple(orders(flow, p, h.degree, 1, order)) == found.valuations
        done += 1


# ---- the true first stage ----


def true_stage(terms, jet, J):
    """w(a, t) = sum_j Q_j(a) t^j, a ~ U[-1, 1], as [{power of a: Fraction}] for each coordinate, from raw moments.

    dw/dt = a E[(h - f) sigma'(w.z) z] with everything expanded in z: f = sum_gamma s_|gamma|/gamma! E_a[a w^gamma] z^gamma.
    """
    p = len(next(iter(terms)))
    betas = exponents(p, J)
    up = exponents(p, J + 1)
    base = {b: routes.mean(routes.times(terms, {b: F(1)})) for b in up}
    scale = {b: math.prod(map(math.factorial, b)) for b in betas}
    even = routes.double_factorial_moment
    W = [[{}] for _ in range(p)]
    power = {b: [] for b in betas}
    seen = {b: [] for b in betas}
    residual = {b: [] for b in up}
    for m in range(J):
        for b in betas:
            terms_m = {}
            if not sum(b):
                terms_m = {0: F(1)} if m == 0 else {}
            elif sum(b) <= m:
                i = next(i for i in range(p) if b[i])
                less = power[tuple(x - (q == i) for q, x in enumerate(b))]
                for j in range(1, m + 1):
                    for e, x in less[m - j].items():
                        for k, y in W[i][j].items():
                            terms_m[e + k] = terms_m.get(e + k, 0) + x * y
            power[b].append({e: x for e, x in terms_m.items() if x})
            mean = sum((x / (e + 2) for e, x in power[b][m].items() if e % 2), F(0))  # E[a^(e+1)]
            seen[b].append(jet[sum(b)] * mean / scale[b])
        live = [b for b in betas if seen[b][m]]
        for b in up:
            f = sum((seen[g][m] * math.prod(even(x + y) for x, y in zip(b, g)) for g in live), F(0))
            residual[b].append((base[b] if m == 0 else 0) - f)
        for i in range(p):
            push = {}
            for b in betas:
                if sum(b) > m or not jet[sum(b) + 1]:
                    continue
                above = residual[tuple(x + (q == i) for q, x in enumerate(b))]
                for j in range(m + 1):
                    if power[b][j] and above[m - j]:
                        factor = jet[sum(b) + 1] * above[m - j] / scale[b]
                        for e, x in power[b][j].items():
                            push[e + 1] = push.get(e + 1, 0) + factor * x
            W[i].append({e: x / (m + 1) for e, x in push.items() if x})
    return W


def invariant_factors(W, n, J, copies=1):
    """Exponents of the invariant factors of the u^alpha over Q[[t]], by pivots of least valuation; up to t^J."""
    p = len(W)
    at = lambda e, k: tuple(e * (q == k) for q in range(copies))  # noqa: E731
    flat = [{(j, *at(e, k)): x for j, row in enumerate(w) for e, x in row.items() for k in range(copies)} for w in W]
    rows = {(0,) * p: {(0,) * (copies + 1): F(1)}}
    for b in exponents(p, n)[1:]:
        i = next(i for i in range(p) if b[i])
        less = rows[tuple(x - (q == i) for q, x in enumerate(b))]
        rows[b] = {k: x for k, x in routes.times(less, flat[i]).items() if x and k[0] <= J}
    table = []
    for row in rows.values():
        entries = {}
        for (j, *e), x in row.items():
            entries.setdefault(tuple(e), [F(0)] * (J + 1))[j] = x
        table.append(entries)
    valuation = lambda s: next((j for j, x in enumerate(s) if x), J + 1)  # noqa: E731
    found = []
    while table:
        v, r, column = min((valuation(s), r, e) for r, row in enumerate(table) for e, s in row.items())
        if v > J:
            break
        found.append(v)
        pivot = table.pop(r)
        unit = pivot[column][v:]
        for row in table:
            if column not in row or valuation(row[column]) > J:
                continue
            rest, ratio = row[column][v:], []
            for k in range(len(rest)):  # the quotient of two series
                ratio.append((rest[k] - sum(ratio[q] * unit[k - q] for q in range(k))) / unit[0])
            known = [(q, x) for q, x in enumerate(ratio) if x]
            for e, s in pivot.items():
                into = row.setdefault(e, [F(0)] * (J + 1))
                for k, y in enumerate(s):
                    if y:
                        for q, x in known:
                            if q + k <= J:
                                into[q + k] -= x * y
        table = [{e: s for e, s in row.items() if any(s)} for row in table]
        table = [row for row in table if row]
    return found


TRUE = [  # target, activation, n, order, all exponents of t
    (A, "wave", 2, 8, [0, 1, 2, 3, 4, 6]),
    (A, "quadratic", 2, 8, [0, 1, 2, 3, 4, 7]),
    (P, "cubic", 3, 12, [*range(7), 8, 9, 11]),
    (R, "wave", 4, 18, [*range(9), 10, 11, 12, 13, 15, 18]),
    (C, "cubic", 3, 20, [*range(10), *range(11, 21)]),
]


@pytest.mark.parametrize("text, name, n, order, known", TRUE, ids=["A", "H", "P", "R", "C"])
def test_true_first_stage_is_nondegenerate(text, name, n, order, known):
    """One copy with f_NN: P, R, C and the hyperbola, all singular in the flow (4.1), have a complete set of orders."""
    h = Polynomial(text)
    W = true_stage(dict(h.terms), [JETS[name](k) for k in range(order + 3)], order)
    assert len(known) == math.comb(n + h.p, h.p)
    assert invariant_factors(W, n, order) == known
    sigma = SIGMA[name]
    by_library = copy_orders(h, sigma, 1, degree=n, order=order, feedback=True)
    assert list(by_library.orders) == known and by_library.exponent == 2 * known[-1]
    library = stage_one(h, sigma, 6).coefficients
    for j in range(1, 7):
        for i in range(h.p):
            found = {e: F(int(c.p), int(c.q)) for (e,), c in library[j - 1][i].as_poly(library_symbol()).terms() if c}
            assert found == W[i][j]


def test_two_copies_of_C_with_feedback():
    """T^18, as for three copies of the flow (4.1), where two are singular."""
    W = true_stage(dict(Polynomial(C).terms), [JETS["cubic"](k) for k in range(12)], 9)
    found = invariant_factors(W, 3, 9, copies=2)
    assert found == sorted([0, 1, 2, 2, 3, 3, *[4, 5, 6] * 3, 7, 7, 8, 8, 9])
    assert list(copy_orders(C, SIGMA["cubic"], 2, order=9, feedback=True).orders) == found


def library_symbol():
    import sympy

    return sympy.Symbol("a")


def test_the_parabola_is_left_at_order_three():
    W = true_stage(dict(Polynomial(P).terms), [JETS["cubic"](k) for k in range(8)], 3)
    assert W[0][1] == {1: 1} and W[1][2] == {2: F(1, 2)}
    third = routes.times({(1,): W[0][1][1]}, {(e,): c for e, c in W[0][2].items()})
    assert {(e,): c for e, c in W[1][3].items()} == {(2,): F(-1, 18)} and third == {(2,): F(-1, 6)}  # 1/6 - 1/18 = 1/9


# ---- the library's copy_orders ----


def test_orders_found_by_itself():
    """Without an order it goes on until all are found, or ends at 24."""
    found = copy_orders(STAIRS, SIGMA["wave"], 1, degree=3)
    assert found.exponent == 48 and found.searched == 24 and not found.feedback
    assert copy_orders(A, SIGMA["wave"], 2).searched == 8
    none = copy_orders(P, SIGMA["cubic"], 1)
    assert none.exponent is None and none.searched == 24 and len(none.orders) == 7
    assert str(none).startswith("1 copy, (4.1): 7 of 10 orders up to 24")
    assert str(copy_orders(A, SIGMA["wave"], 2, feedback=True)).startswith(
        "2 copies, true first stage: lambda_min ~ T^8"
    )


def test_scales_of_the_activation_leave_the_orders_alone():
    """Square roots and common factors: only tau and W are scaled."""
    plain = copy_orders(A, "sin(y) + cos(y)", 2).orders
    for act in ("sin(y)*sqrt(2) + cos(y)*sqrt(2)", "7*sin(3*y) + 7*cos(3*y)", "sin(sqrt(2)*y) + cos(sqrt(2)*y)"):
        assert copy_orders(A, act, 2).orders == plain
    assert copy_orders("z1 + He2(z1)*z2", "erf(y)", 2).orders == copy_orders("z1 + He2(z1)*z2", "tanh(y)", 2).orders


def test_one_copy_agrees_with_averaging_exponents():
    for text, n in ((A, 2), (A, 3), (STAIRS, 2), (CHAIN, 2)):
        known = averaging_exponents(text, SIGMA["wave"], degree=n)
        assert copy_orders(text, SIGMA["wave"], 1, degree=n).orders == known.valuations
        p = Polynomial(text).p
        assert copy_orders(text, SIGMA["wave"], p, degree=n).exponent == known.copies


@pytest.mark.parametrize(
    "arguments, options, words",
    [
        ((A, SIGMA["wave"], 0), {}, "copies"),
        ((A, SIGMA["wave"], 1.5), {}, "copies"),
        ((A, SIGMA["wave"]), {"degree": 21}, "degree"),
        ((A, SIGMA["wave"]), {"order": 0}, "order"),
        ((A, SIGMA["wave"]), {"order": 30, "feedback": True}, "at most 24"),
        ((A, "tanh(y+1/2)"), {}, "rationals and square roots"),
        ((A, "tanh(y+1/2)"), {"feedback": True, "order": 3}, "derivatives at 0 that are rational"),
        (("sqrt(2)*z1 + z1*z2", "y + y**2/2"), {"feedback": True, "order": 3}, "a target and derivatives"),
        ((A, "relu"), {}, "derivative"),
        ((A, SIGMA["wave"]), {"feedback": "yes"}, "feedback"),
        (("z1 + 0.5*z1*z2", SIGMA["wave"]), {}, None),
        (("z1 + z2", SIGMA["wave"]), {}, "depends on all"),
    ],
)
def test_bad_input(arguments, options, words):
    if words is None:
        assert copy_orders(*arguments, **options).exponent == 12  # a decimal is exact
        return
    with pytest.raises(InputError, match=words):
        copy_orders(*arguments, **options)


@pytest.mark.parametrize(
    "text, n, last", [(CHAIN, 6, 18), (CHAIN, 7, 21), (CHAIN, 8, 25), (CHAIN, 9, 29), (STAIRS, 7, 28), (STAIRS, 9, 36)]
)
def test_how_long_two_copies_are_as_good_as_three(text, n, last):
    """Three copies have 3 n (the chain) and 4 n (the staircase); the chain's two copies fall behind at n = 8."""
    found = copy_orders(text, SIGMA["wave"], 2, degree=n, order=last)
    assert found.exponent == 2 * last and len(found.orders) == math.comb(n + 3, 3)
