"""The reader from text to a syntax tree: precedences, exact numbers, limits, one-line errors."""

import os
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meanfield_sgd import _expression as ex
from meanfield_sgd.errors import InputError, ParseError


def value(text, **names):
    """Independent meaning of a tree: Fractions for everything."""

    def visit(node, parts):
        match node:
            case ex.Number(value=v):
                return v
            case ex.Name(id=name):
                return names[name]
            case ex.Unary():
                return -parts[0]
            case ex.Call(name="pair"):
                return parts[0] * 100 + parts[1]
            case ex.Binary(op="+"):
                return parts[0] + parts[1]
            case ex.Binary(op="-"):
                return parts[0] - parts[1]
            case ex.Binary(op="*"):
                return parts[0] * parts[1]
            case ex.Binary(op="/"):
                return parts[0] / parts[1]
            case ex.Binary(op="**"):
                return parts[0] ** int(parts[1])
        raise AssertionError(node)

    return ex.fold(ex.parse(text), visit)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 - 2 - 3", -4),
        ("1 - 2 + 3 - 4 + 5 - 6 - 7 + 8", -2),
        ("2 - 3*4 - 5", -15),
        ("100/5/2/5", 2),
        ("3/4*2/5*10", 3),
        ("2/3/4*6*7/7", 1),
        ("-2**2", -4),
        ("(-2)**2", 4),
        ("2**3**2", 512),
        ("2**-1", Fraction(1, 2)),
        ("2*-3", -6),
        ("--2", 2),
        ("+-+2", -2),
        ("-(1 - 2)*3", 3),
        (" 1\t+\n2 ", 3),
        ("pair(1 + 1, 3*2)", 206),
        ("a*b - a", 6),
        ("(((7)))", 7),
    ],
)
def test_values_follow_the_usual_precedences(text, expected):
    assert value(text, a=Fraction(3), b=Fraction(3)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1", Fraction(1, 10)),
        ("1e-3", Fraction(1, 1000)),
        ("2.50E+2", Fraction(250)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("1e300", Fraction(10) ** 300),
        ("0.000", Fraction(0)),
        ("007", Fraction(7)),
        ("1" * 1000, Fraction(int("1" * 1000))),
    ],
)
def test_literals_are_exact(text, expected):
    assert ex.parse(text) == ex.Number(0, expected)


numbers = st.integers(0, 20).map(str)
expressions = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", " + ", " - "]), inner).map("".join),
        inner.map(lambda s: f"({s})"),
        inner.map(lambda s: f"-{s}"),
        inner.map(lambda s: f"({s})**2"),
        inner.map(lambda s: f"({s})/7"),
    ),
    max_leaves=25,
)


class _Exact:
    """Python's own reading of the same text, with Fractions for its integers."""

    def __init__(self, text):
        import ast

        self.tree = ast.parse(text, mode="eval").body

    def value(self, node=None):
        import ast
        import operator

        node = self.tree if node is None else node
        if isinstance(node, ast.Constant):
            return Fraction(node.value)
        if isinstance(node, ast.UnaryOp):
            return -self.value(node.operand)
        left, right = self.value(node.left), self.value(node.right)
        table = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
        return left ** int(right) if isinstance(node.op, ast.Pow) else table[type(node.op)](left, right)


@settings(max_examples=150, deadline=None)
@given(expressions)
def test_agrees_with_pythons_grammar(text):
    assert value(text) == _Exact(text).value()


def test_positions_are_columns_of_the_text():
    node = ex.parse("  foo(bar, 2)**3")
    assert isinstance(node, ex.Binary) and node.pos == 13
    assert (node.l.pos, node.l.name) == (2, "foo")
    assert [arg.pos for arg in node.l.args] == [6, 11]
    assert ex.parse("f()").args == ()


BAD = {
    "": "is empty",
    " \n ": "is empty",
    "2z": "for a product write 2*z",
    "z y": "for a product write z*y",
    "2(z)": "for a product write 2*(...)",
    "(z)(y)": "for a product write (...)*(...)",
    "1 2": "two numbers in a row",
    "z^2": "for a power write **",
    "z²": "for a power write **",
    "z.real": "attributes do not exist here",
    "__import__('os').system('true')": "quoted text",
    "z[0]": "round parentheses",
    "y = z": "equals sign",
    "z ∙ y": "allowed are",
    "z − y": "hyphen",
    "(z": "never closed",
    "z)": "nothing opened",
    "z +": "the text ends",
    "* z": 'found "*"',
    "z // y": 'found "/"',
    "1,5": "decimals with a point",
    "(1,5)": "decimals with a point",
    "f(1,)": 'found ")"',
    "1e301": "out of range",
    "1e-301": "out of range",
    "1e" + "9" * 5000: "out of range",
    "1" * 1001: "1001 digits",
    "0." + "1" * 1000: "1001 digits",
    "(" * 101 + "z" + ")" * 101: "100 deep",
    "(" * 5000: "100 deep",
    "f(" * 3000: "100 deep",
    "-" * 101 + "z": "100 deep",
    "2**" * 101 + "2": "100 deep",
    "z + " * 2501: "characters; at most 10000",
    "z" * 10**7: "characters; at most 10000",
    "lambda: 0": 'unexpected ":"',
    "z\x00": "\\x00",
    "z\n\r\x1b[31m\ud800": "\\x1b",
    "1_000": "operator is missing",
    "@" * 9000: "unexpected",
}


@pytest.mark.parametrize("text", BAD, ids=[t[:20].encode("ascii", "backslashreplace").decode() for t in BAD])
def test_bad_text_gets_one_short_line(text):
    with pytest.raises(ParseError) as caught:
        ex.parse(text)
    message = str(caught.value)
    assert BAD[text] in message
    assert message.isprintable() and len(message) < 300
    message.encode("utf-8")


@pytest.mark.parametrize("given_", [None, 3, b"z", ["z"], 1.5])
def test_what_is_not_a_text_is_an_input_error(given_):
    with pytest.raises(InputError, match="expected a text"):
        ex.parse(given_)


def test_errors_name_the_kind_and_the_column():
    with pytest.raises(ParseError, match=r'^activation "tanh\(y \+ 2y\)", column 11: '):
        ex.parse("tanh(y + 2y)", what="activation")


def test_at_the_limits():
    assert value("(" * 100 + "1" + ")" * 100) == 1
    assert value("-" * 100 + "1") == 1
    assert value("1**" * 100 + "1") == 1
    assert value("1+" * 4999 + "1 ") == 5000
    assert value("1*" * 4999 + "2 ") == 2
    assert ex.parse("z" * 20_000, max_characters=20_000).id == "z" * 20_000


def test_long_chains_make_shallow_trees():
    def depth(node, parts):
        return 1 + max(parts, default=0)

    assert ex.fold(ex.parse("1+" * 4999 + "1"), depth) <= 15
    assert ex.fold(ex.parse("1*" * 4999 + "1"), depth) <= 15


def test_fold_needs_no_recursion():
    node = ex.Number(0, Fraction(1))
    for _ in range(20_000):
        node = ex.Unary(0, "-", node)
    assert ex.fold(node, lambda _, parts: 1 + sum(parts)) == 20_001


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=80) | st.text(alphabet="z1+-*/(). ,eE^'_HesqrtT\n", max_size=60))
def test_any_text_gives_a_tree_or_a_parse_error(text):
    try:
        node = ex.parse(text)
    except ParseError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 300
    else:
        assert isinstance(node, ex.Node)


def test_nothing_is_executed(tmp_path):
    mark = tmp_path / "mark"
    for text in [f"__import__('os').system('touch {mark}')", f"open('{mark}','w')", "exec(z)", "().__class__"]:
        try:
            ex.parse(text)
        except ParseError:
            continue
        assert isinstance(ex.parse(text), ex.Call)
    assert not os.path.exists(mark)


def test_names_may_be_greek():
    assert ex.parse("α").id == "α"
    assert ex.is_name("α") and not ex.is_name("2a") and not ex.is_name("a b") and not ex.is_name(3)


def test_quote_is_short_and_printable():
    assert ex.quote("abc") == '"abc"'
    long = ex.quote("x" * 1000, around=500)
    assert len(long) <= 62 and long.startswith('"...') and long.endswith('..."')
    assert ex.quote("\n\t\ud800") == '"\\n\\t\\ud800"'
