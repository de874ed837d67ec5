"""The command ``meanfield-sgd decide``: one target, or a file with one target a line. It loads neither numpy nor torch."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from .errors import InputError, MeanFieldError

__all__ = ["add_parser", "run"]

_DECIDE = """\
Decide exactly what a two-layer network with a given activation can reach of a target polynomial h*, and where it is
trapped: the subspace that the dynamics reach, the one they never see and how small the loss can get without it, what
remains of it without biases, and whether the Taylor coefficients of the flow of Chen and Ge span the support.

FILES
  --file reads one target a line (UTF-8); blank lines and lines that start with # are skipped. Each target gives one line
  of JSON, {"line": N, "target": ..., ...}, printed as soon as it is known. A bad line gives {"line": N, "target": ...,
  "error": ...} in its place, and exit status 2 at the end. After an interrupt go on with --start-line.
"""

_LONGEST = 1_000_000  # bytes in a line: beyond that the file is not one of targets, and is not read into memory


def add_parser(commands: Any, epilog: str) -> None:
    """Add ``decide`` to the subparsers of the command line."""
    parser = commands.add_parser(
        "decide",
        help="decide exactly what of a target can be learned",
        description=_DECIDE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=epilog,
    )
    parser.add_argument("target", metavar="TARGET", nargs="?", help='the polynomial h*, for instance "z1 + z1*z2*z3"')
    parser.add_argument("--file", metavar="FILE", help="instead of TARGET: one target a line; - is standard input")
    parser.add_argument(
        "--start-line", type=int, metavar="N", help="with --file: leave out the lines before this one (default: 1)"
    )
    parser.add_argument(
        "--activation",
        default="tanh(y+1/2)",
        metavar="SIGMA",
        help="an expression in y (default, as for simulate: %(default)s)",
    )
    parser.add_argument(
        "--order", type=int, metavar="S", help="how far to search the Taylor coefficients (default: from 13, by size)"
    )
    parser.add_argument(
        "--subspace",
        metavar="NAMES",
        help='also: is the target reflective for the span of these linear forms, for instance "z2,z3"; a witness if not',
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print one JSON object (with --file always, one a line)")
    output.add_argument(
        "--certificate", action="store_true", help="in the JSON also how each direction was reached, and proofs"
    )
    output.add_argument("--quiet", action="store_true", help="no lines of progress on stderr")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer; returns the exit status. Bad input raises InputError."""
    if arguments.target is not None and arguments.file is not None:
        raise InputError("TARGET and --file were given: give one of the two")
    if arguments.target is None and arguments.file is None:
        raise InputError('nothing to decide: give a TARGET such as "z1 + z1*z2", or --file FILE with one a line')
    if arguments.file is None and arguments.start_line is not None:
        raise InputError("--start-line belongs to --file, which was not given")
    if arguments.start_line is not None and arguments.start_line < 1:
        raise InputError(f"--start-line must be 1 or more, got {arguments.start_line}")
    from .activation import Activation
    from .decide.taylor import MAX_ORDER

    if arguments.order is not None and not 1 <= arguments.order <= MAX_ORDER:
        raise InputError(f"--order must lie in 1..{MAX_ORDER}, got {arguments.order}")
    arguments.activation = Activation(arguments.activation)
    if arguments.subspace is not None:
        arguments.subspace = [name.strip() for name in arguments.subspace.split(",") if name.strip()]
        if not arguments.subspace:
            raise InputError('--subspace is empty: give linear forms such as "z2,z3"')
    return _one(arguments) if arguments.file is None else _many(arguments)


def _one(arguments: argparse.Namespace) -> int:
    from . import decide

    if arguments.certificate and not arguments.json:
        print("meanfield-sgd: --certificate is ignored: it belongs to --json and --file", file=sys.stderr)
    status = 0
    target, reflective = _read(arguments.target, arguments)
    try:
        verdict = _verdict(target, arguments)
    except decide.Interrupted as stopped:
        # What was found is not lost: it is printed like a finished answer, whose note says that it is none.
        verdict, status = stopped.verdict, 130
        print("meanfield-sgd: interrupted; what was found until then is printed", file=sys.stderr)
    if arguments.json:
        print(json.dumps(_record(verdict, reflective, arguments), indent=2))
        return status
    print(verdict)
    if reflective is not None:
        print(f"\nspan{{{', '.join(arguments.subspace)}}} is {reflective}")
    return status


def _many(arguments: argparse.Namespace) -> int:
    """One line of JSON a target, in order, each written before the next target is looked at."""
    bad, answered, at = 0, 0, arguments.start_line or 1
    told = time.monotonic()
    show = not arguments.quiet and sys.stderr.isatty() and not sys.stdout.isatty()
    try:
        if arguments.file != "-" and os.path.isfile(arguments.file):
            for _ in _lines(arguments.file):  # refuse before the work what would fail in the middle of it
                pass
        for number, text in _lines(arguments.file):
            if number < at or not text or text.startswith("#"):
                continue
            at = number
            if show and time.monotonic() > told + 5:
                told = time.monotonic()
                print(f"meanfield-sgd: line {number}", file=sys.stderr, flush=True)
            record: dict[str, Any] = {"line": number}
            try:
                target, reflective = _read(text, arguments)
                record.update(_record(_verdict(target, arguments), reflective, arguments))
            except MeanFieldError as problem:
                record.update(target=text, error=str(problem))
                bad += 1
            sys.stdout.write(json.dumps(record) + "\n")
            at, answered = number + 1, answered + 1
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(
            f"meanfield-sgd: interrupted in line {at} after {answered} targets; go on with --start-line {at}, or with "
            f"--start-line {at + 1} to leave it out",
            file=sys.stderr,
        )
        return 130
    return 2 if bad else 0


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """(number, text without white space around it) of all lines, as they come."""
    name = "standard input" if path == "-" else path
    if path == "-" and sys.stdin is None:
        raise InputError("cannot read standard input: it is closed")
    try:
        with nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST + 1), b""), 1):
                if len(line) > _LONGEST:
                    raise InputError(f"{name}, line {number} has more than {_LONGEST} characters: expected one target")
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError:
        raise InputError(f"{name}, line {number} is not UTF-8 text: save the file as UTF-8") from None
    except (OSError, ValueError) as problem:  # ValueError: a name with a null byte
        if isinstance(problem, InputError):
            raise
        raise InputError(f"cannot read {name}: {getattr(problem, 'strerror', None) or problem}") from None


def _read(text: str, arguments: argparse.Namespace) -> tuple[Any, Any]:
    """The target, and the answer for --subspace: asked first, so that a bad one is refused before the search."""
    from . import decide
    from .polynomial import Polynomial

    target = Polynomial(text)
    if arguments.subspace is None:
        return target, None
    return target, decide.is_reflective(target, arguments.subspace, arguments.activation)


def _verdict(target: Any, arguments: argparse.Namespace) -> Any:
    from .decide import decide

    progress = False if arguments.quiet else None
    return decide(target, arguments.activation, order=arguments.order, progress=progress)


def _record(verdict: Any, reflective: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """The JSON of one target: that of the verdict, and the answer for --subspace where one was asked for."""
    from .decide.subspace import entry_text

    record = verdict.to_dict(certificate=arguments.certificate)
    if reflective is not None:
        seen = reflective.witness
        witness = seen and {"u": entry_text(seen.u), "v": [entry_text(x) for x in seen.v], "value": list(seen.value)}
        record["is_reflective"] = {
            "subspace": arguments.subspace,
            "reflective": reflective.reflective,
            "witness": witness,
        }
    return record
