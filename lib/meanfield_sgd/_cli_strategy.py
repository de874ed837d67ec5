"""The command ``meanfield-sgd strategy``: the two-stage training strategy in the limit, with its rate and what may be wrong."""

from __future__ import annotations

import argparse
import json
from math import isfinite
from typing import Any

from .errors import DivergenceError, InputError

__all__ = ["add_parser", "run"]

_STRATEGY = """\
Run the training strategy of Chen and Ge in the limit of infinitely many neurons: train w with SIGMA for a time T from
w = 0, average independent copies, then train a with (1+y)^n. Prints the least eigenvalue of the kernel matrix of the
second stage, the rate of the loss, the times at which it reaches some levels, and what is wrong, if anything is.
"""


def add_parser(commands: Any, epilog: str) -> None:
    """Add ``strategy`` to the subparsers of the command line."""
    parser = commands.add_parser(
        "strategy",
        help="the two-stage training strategy: its rate, and what is wrong",
        description=_STRATEGY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=epilog,
    )
    parser.add_argument("target", metavar="TARGET", help='the polynomial h*, for instance "z1 + z1*z2"')
    parser.add_argument(
        "--activation", default="tanh(y+1/2)", metavar="SIGMA", help="an expression in y (default: %(default)s)"
    )
    parser.add_argument(
        "--time", type=float, default=1.0, metavar="T", help="length of the first stage (default: %(default)s)"
    )
    parser.add_argument("--copies", type=int, metavar="C", help="copies averaged (default: the number of variables)")
    parser.add_argument("--degree", type=int, metavar="N", help="n in (1+y)^n (default: the degree of the target)")
    parser.add_argument("--feedback", action="store_true", help="the true first stage, with the network's own output")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer; returns the exit status. Bad input raises InputError."""
    from . import simulate

    options = {name: getattr(arguments, name) for name in ("copies", "degree")}
    options = {name: value for name, value in options.items() if value is not None}
    options["feedback"] = arguments.feedback
    try:
        made = simulate.strategy(arguments.target, arguments.activation, arguments.time, **options)
        diagnosis = made.diagnose()
    except (DivergenceError, InputError):
        # Where the strategy cannot even be run the diagnosis may still say why; unreadable input it refuses as well.
        made = None
        diagnosis = simulate.diagnose(arguments.target, arguments.activation, arguments.time, **options)
    signs = [{"name": s.name, "says": s.says, "mend": s.mend} for s in diagnosis.signatures]
    levels = {f"{level:g}": made.time_to(level) for level in (1e-2, 1e-4, 1e-6, 1e-10)} if made else {}
    if arguments.json:
        record: dict[str, Any] = {"target": arguments.target, "activation": arguments.activation, "signatures": signs}
        if made is not None:
            record |= {
                "settings": made.settings,
                "lambda_min": str(made.kernel.lambda_min) if made.kernel.nondegenerate else "0",
                "guaranteed_rate": made.rate,
                "rate": made.readout.rate if isfinite(made.readout.rate) else None,
                "floor": made.floor,
                "time_to": {level: t if isfinite(t) else None for level, t in levels.items()},
            }
        print(json.dumps(record, indent=2))
        return 0
    if made is not None:
        print(f"{made.target}, {made.activation}: T = {arguments.time:g}, {made.copies} copies, (1+y)^{made.degree}")
        print(f"kernel matrix   {made.kernel!r}")
        print(f"rate            {made.rate:.4g} guaranteed (2 lambda_min), {made.readout.rate:.4g} for this target")
        print(f"floor           {made.floor:.4g}")
        for level, t in levels.items():
            print(f"loss {level:<10} " + (f"at time {t:.4g}" if isfinite(t) else "never"))
    for sign in diagnosis.signatures:
        print(f"{sign.name}: {sign.says}\n    -> {sign.mend}")
    if not diagnosis:
        print("nothing wrong")
    return 0
