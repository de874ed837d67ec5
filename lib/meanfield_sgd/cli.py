"""The command ``meanfield-sgd``: what the library does, for those who do not want to open Python."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import __version__, _cli_decide, _cli_one_step, _cli_strategy
from .errors import MeanFieldError

__all__ = ["main"]

_DESCRIPTION = """\
Which polynomials of a Gaussian input a two-layer network can learn by SGD (decide), and what its training looks like at
three distances from the theory: real SGD, the population flow of finitely many neurons, the mean-field limit (simulate).
"""

_EPILOG = """\
TARGETS
  A polynomial in z1, z2, ...: + - * **, parentheses, exact numbers (3, 1/2, 0.25, sqrt(2)) and Hermite polynomials
  He0 ... such as He3(z1). Write 2*z1, not 2z1.

ACTIVATIONS
  An expression in y: tanh, erf, logistic, softplus, gelu, silu, elu, sin, cos, exp, gaussian, abs, relu,
  leaky_relu(y, 1/10), polynomials, shifts, scalings and sums: "tanh(y+1/2)", "3/5*sin(y) + 4/5*cos(y)", "y + y**2/2".
  A bare name means name(y); erf means erf(y/sqrt 2); gelu is the exact one.

EXIT STATUS
  0  done
  1  it could not be finished (a simulation diverged or missed its tolerance, a full disk); one line says why
  2  bad input; one line says what was expected (in a file of targets: the JSON of its line does)
  130  interrupted; what was finished until then is printed

EXAMPLES
  meanfield-sgd decide "z1 + z1*z2*z3" --activation tanh
  meanfield-sgd decide "z1 + z1*z2*z3" --subspace "z2 - z3" --certificate --json
  meanfield-sgd decide --file targets.txt --activation gelu > verdicts.jsonl
  meanfield-sgd simulate "z1 + z1*z2" --activation "tanh(y+1/2)"
  meanfield-sgd simulate "z1 + z1*z2" --activation tanh --subspace z2 --time 20
  meanfield-sgd one-step relu --dimension 400 --alpha 0.5 --beta 0.74 --degrees 1,3
  meanfield-sgd simulate "z1 + z1*z2" --method sgd --neurons 4096 --dimension 256 --json > run.json
"""

_SIMULATE = """\
Train a two-layer network f(x) = (1/N) sum_i a_i sigma(w_i . x) on the target f*(x) = h*(x_1 ... x_p), x ~ N(0, I_d), and
print the loss 1/2 E|f - f*|^2 against gradient-flow time (learning rates one unless scheduled: N neurons carry weight 1/N,
so that time means the same for every method).

METHODS
  meanfield   N = d = infinity: the mean-field PDE, with a reported error (--tolerance). The default.
  population  N neurons in R^d, exact expectation over x: no sampling noise.
  sgd         N neurons in R^d, a fresh minibatch every step: what people run.
"""


class _Parser(argparse.ArgumentParser):
    """argparse, but bad input gets one line and exit status 2."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")


def _build_parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="meanfield-sgd", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"meanfield-sgd {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    _cli_decide.add_parser(commands, _EPILOG)
    run = commands.add_parser(
        "simulate",
        help="train a network on a target and print its loss curve",
        description=_SIMULATE,
        formatter_class=raw,
        epilog=_EPILOG,
    )
    run.add_argument("target", metavar="TARGET", help='the polynomial h*, for instance "z1 + z1*z2"')
    run.add_argument(
        "--activation", default="tanh(y+1/2)", metavar="SIGMA", help="an expression in y (default: %(default)s)"
    )
    run.add_argument(
        "--method", default="meanfield", choices=("meanfield", "population", "sgd"), help="default: %(default)s"
    )
    run.add_argument(
        "--time", type=float, default=20.0, metavar="T", help="final gradient-flow time (default: %(default)s)"
    )
    run.add_argument(
        "--points", type=int, default=101, metavar="M", help="equally spaced times to report (default: %(default)s)"
    )
    run.add_argument(
        "--train", default="both", choices=("both", "w", "a"), help="which layer moves (default: %(default)s)"
    )
    run.add_argument(
        "--init",
        default="zero",
        choices=("zero", "gaussian"),
        help="a ~ U[-1,1] and w = 0, or w ~ N(0, I/d) (default: %(default)s)",
    )
    run.add_argument(
        "--subspace", metavar="NAMES", help="also report the overlap with these directions, for instance z2,z3"
    )
    finite = run.add_argument_group("finite networks (population, sgd)")
    finite.add_argument("--neurons", type=int, metavar="N", help="hidden neurons (default: 1024)")
    finite.add_argument("--dimension", type=int, metavar="D", help="input dimension d (default: 32)")
    finite.add_argument("--seed", type=int, metavar="S", help="seed of all randomness (default: 0)")
    finite.add_argument("--device", metavar="NAME", help="auto, cpu or cuda (default: auto)")
    finite.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="save the state here (.npz) now and then; an existing file is resumed",
    )
    only_sgd = run.add_argument_group("sgd")
    only_sgd.add_argument("--batch", type=int, metavar="B", help="samples a step (default: 256)")
    only_sgd.add_argument("--step", type=float, metavar="DT", help="gradient-flow time a step (default: 0.05)")
    exact = run.add_argument_group("accuracy (meanfield, population)")
    exact.add_argument(
        "--tolerance", type=float, metavar="TOL", help="error allowed in the loss (default: 1e-4; population 1e-6)"
    )
    output = run.add_argument_group("output")
    output.add_argument(
        "--json", action="store_true", help="print one JSON object with times, loss, overlap, error, settings"
    )
    output.add_argument("--plot", metavar="FILE", help="draw the loss curve (.png, .pdf, .svg)")
    output.add_argument("--quiet", action="store_true", help="no progress bar")
    run.set_defaults(run=_simulate)
    _cli_strategy.add_parser(commands, _EPILOG)
    _cli_one_step.add_parser(commands, _EPILOG)
    return parser


# Which options each method takes; another's option is ignored, and said so, so that one line serves all methods.
_TAKES = {
    "meanfield": {"tolerance"},
    "population": {"neurons", "dimension", "seed", "device", "checkpoint", "tolerance"},
    "sgd": {"neurons", "dimension", "seed", "device", "checkpoint", "batch", "step"},
}


def _simulate(arguments: argparse.Namespace) -> int:
    import numpy as np

    from . import simulate
    from .errors import InputError

    method = arguments.method
    given = {
        name: getattr(arguments, name)
        for name in ("neurons", "dimension", "seed", "device", "checkpoint", "batch", "step", "tolerance")
        if getattr(arguments, name) is not None
    }
    for name in sorted(set(given) - _TAKES[method]):
        owners = " and ".join(m for m in _TAKES if name in _TAKES[m])
        print(f"meanfield-sgd: --{name} is ignored: it belongs to {owners}, not to {method}", file=sys.stderr)
        del given[name]
    if not 2 <= arguments.points <= 100_000:
        raise InputError(f"--points must lie in 2..100000, got {arguments.points}")
    if arguments.plot is not None:
        _check_plot(arguments.plot)
    if not (np.isfinite(arguments.time) and arguments.time > 0):
        raise InputError(f"--time must be a positive number, got {arguments.time:g}")
    subspace = None if arguments.subspace is None else [n.strip() for n in arguments.subspace.split(",") if n.strip()]
    options = dict(
        time=arguments.time,
        times=np.linspace(0.0, arguments.time, arguments.points),
        init=arguments.init,
        train=arguments.train,
        subspace=subspace,
        progress=False if arguments.quiet else None,
        **given,
    )
    status = 0
    try:
        result = getattr(simulate, method)(arguments.target, arguments.activation, **options)
    except simulate.Interrupted as stopped:
        # What was computed is not lost: it is printed like a finished run, and marked as cut short.
        result, status = stopped.trajectory, 130
        result.info["interrupted"] = str(stopped)
        print(f"meanfield-sgd: {stopped}", file=sys.stderr)
    if arguments.json:
        print(result.to_json())
    else:
        print(_summary(result))
    if arguments.plot is not None:
        from . import figures

        figure = figures.loss_curves({method: result})
        try:
            figure.savefig(arguments.plot)
        except OSError as problem:
            raise InputError(f"cannot write {arguments.plot}: {problem.strerror or problem}") from None
        print(f"wrote {arguments.plot}", file=sys.stderr)
    return status


def _check_plot(path: str) -> None:
    """Refuse before the run what would fail after it."""
    from .errors import InputError

    if os.path.splitext(path)[1].lower() not in (".png", ".pdf", ".svg"):
        raise InputError(f"--plot needs a file ending in .png, .pdf or .svg, got {path}")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise InputError(f"--plot cannot write into the folder {folder}")


def _summary(result) -> str:
    """A dozen lines: what was run, and the loss at eleven times."""
    columns = result.to_dict()
    head = f"{result.method}: {result.settings['target']}   activation {result.settings['activation']}"
    pick = sorted({round(i * (len(result.times) - 1) / 10) for i in range(11)})
    names = list(columns)
    rows = ["  ".join(f"{name:>12}" for name in names)]
    rows += ["  ".join(f"{columns[name][i]:>12.6g}" for name in names) for i in pick]
    tail = []
    if result.error is not None:
        tail.append(f"error of the loss, as reported: {result.error:.1e}")
    return "\n".join([head, *rows, *tail])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status (0, 1, 2 or 130). Bad input prints one line on stderr."""
    parser = _build_parser()
    # A value such as -z1 or -1 is no option (all of ours begin with --): with a space in front argparse sees a value.
    given = sys.argv[1:] if argv is None else argv
    given = [
        f" {word}" if word.startswith("-") and not word.startswith("--") and word not in ("-h", "-") else word
        for word in given
    ]
    try:
        arguments = parser.parse_args(given)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    from .errors import DivergenceError, InputError, ToleranceError

    try:
        return arguments.run(arguments)
    except InputError as problem:
        print(f"meanfield-sgd: {problem}", file=sys.stderr)
        return 2
    except (DivergenceError, ToleranceError, MeanFieldError) as problem:
        print(f"meanfield-sgd: {problem}", file=sys.stderr)
        return 1
    except MemoryError as problem:
        print(
            f"meanfield-sgd: not enough memory ({problem}); take fewer neurons, dimensions or samples", file=sys.stderr
        )
        return 1
    except RuntimeError as problem:  # torch's way of saying that memory ran out
        if "memory" not in str(problem) and "alloc" not in str(problem):
            raise
        print("meanfield-sgd: not enough memory; take fewer neurons, dimensions or samples", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("meanfield-sgd: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (head, a closed pager): not an error of ours.
        _drop_output()
        return 0
    except OSError as problem:  # a full disk
        _drop_output()
        print(f"meanfield-sgd: cannot read or write: {problem.strerror or problem}", file=sys.stderr)
        return 1


def _drop_output() -> None:
    """What is left in the buffer cannot be written: keep Python from trying again, and complaining, at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
