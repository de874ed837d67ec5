"""The command ``meanfield-sgd one-step``: one gradient step on a mixture, ridge regression, and what theory says of it."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from .errors import InputError

__all__ = ["add_parser", "run"]

_ONE_STEP = """\
Take one gradient step on the first layer of a two-layer network with K neurons, on M samples in R^N, fit its second layer
by ridge regression on M fresh samples, and print training and generalisation error: of the network, of its Hermite models,
and as a deterministic formula predicts them. Data: a mixture of two Gaussians whose spikes have size N^(BETA (1-ALPHA)), and
a step of size N^(BETA ALPHA) (Demir and Dogan); with --isotropic standard Gaussian input.

LABELS
  random     y = LINK(xi . x), xi a random direction (the default)
  aligned    y = LINK(xi . x), xi along the spikes
  classes    y = -1 or +1, the component of the mixture
  otherwise  a polynomial in x1 ... xp, written in z1 ... zp, for instance "z1 + z1*z2" (goes with --isotropic)
"""


def add_parser(commands: Any, epilog: str) -> None:
    """Add ``one-step`` to the subparsers of the command line."""
    parser = commands.add_parser(
        "one-step",
        help="one gradient step on a Gaussian mixture, then ridge regression",
        description=_ONE_STEP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=epilog,
    )
    add = parser.add_argument
    add("activation", metavar="SIGMA", help="an expression in y, for instance relu")
    add("--dimension", type=int, default=200, metavar="N", help="dimension of the input (default: %(default)s)")
    add("--neurons", type=int, metavar="K", help="hidden neurons (default: N)")
    add("--samples", type=int, metavar="M", help="samples of each batch (default: N)")
    add("--alpha", type=float, default=0.5, help="weighting between data and step, in [0, 1] (default: %(default)s)")
    add("--beta", type=float, default=0.74, help="strength, in [0, 1] (default: %(default)s)")
    add("--isotropic", action="store_true", help="x ~ N(0, I); the step has size N^(BETA ALPHA) all the same")
    add("--labels", default="random", metavar="LABELS", help="see above (default: %(default)s)")
    add("--link", default="relu", metavar="LINK", help="for labels in one direction (default: %(default)s)")
    add("--noise", type=float, default=0.0, metavar="S", help="standard deviation of label noise (default: 0)")
    add("--ridge", type=float, metavar="L", help="lambda; features of size one feel L K (default: 0.1/K)")
    add("--degrees", default="", metavar="LIST", help="degrees of Hermite models, for instance 1,3")
    add("--runs", type=int, default=20, metavar="R", help="independent runs (default: %(default)s)")
    add("--device", default="auto", metavar="NAME", help="auto, cpu or cuda (default: auto)")
    add("--checkpoint", metavar="FILE", help="keep finished runs here (.npz); an existing file is gone on with")
    add("--json", action="store_true", help="print one JSON object with every run")
    add("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer; returns the exit status. Bad input raises InputError."""
    from . import neighbours, simulate

    n = arguments.dimension
    law = neighbours.SpikedMixture(n, arguments.alpha, arguments.beta)
    mixture = neighbours.GaussianMixture.isotropic(n, rate=law.rate) if arguments.isotropic else law
    neurons = n if arguments.neurons is None else arguments.neurons
    try:
        degrees = sorted({int(word) for word in arguments.degrees.split(",") if word.strip()})
    except ValueError:
        raise InputError(f"--degrees takes whole numbers with commas between, got {arguments.degrees!r:.40}") from None
    status = 0
    try:
        made = neighbours.one_step(
            arguments.activation,
            mixture,
            neurons=neurons,
            samples=n if arguments.samples is None else arguments.samples,
            ridge=0.1 / max(neurons, 1) if arguments.ridge is None else arguments.ridge,
            labels=arguments.labels,
            link=arguments.link,
            noise=arguments.noise,
            degrees=degrees,
            seeds=arguments.runs,
            device=arguments.device,
            checkpoint=arguments.checkpoint,
            progress=False if arguments.quiet else None,
        )
    except simulate.Interrupted as stopped:
        made, status = stopped.trajectory, 130
        print(f"meanfield-sgd: {stopped}", file=sys.stderr)
        if not made.seeds:
            return status
    models: list[Any] = ["network", *degrees, *(["predicted"] if made.predicted is not None else [])]
    if arguments.json:
        record: dict[str, Any] = {"settings": made.info["settings"], "seeds": made.seeds, "scale": made.scale.tolist()}
        for model in models:
            errors = {"network": made.network, "predicted": made.predicted, **made.hermite}[model]
            name = f"hermite{model}" if isinstance(model, int) else model
            record[name] = {"test": errors.test.tolist(), "train": errors.train.tolist()}
        print(json.dumps(record, indent=2))
        return status
    settings = made.info["settings"]
    print(f"{settings['activation']}, labels {settings['labels']}: n = {n}, m = {settings['samples']}, k = {neurons}")
    print(f"step {made.info['rate']:.4g}, ridge {settings['ridge']:.4g}, {len(made)} runs (mean, standard error)")
    for model in models:
        name = f"Hermite model, degree {model}" if isinstance(model, int) else model
        (test, error), (train, _) = made.mean(model), made.mean(model, what="train")
        gap = f"   {100 * made.gap(model)[0]:+.2f} % above the network's" if isinstance(model, int) else ""
        spread = f" ({error:.1g})" if len(made) > 1 else ""
        print(f"{name:<24} generalisation {test:.5g}{spread}   training {train:.5g}{gap}")
    return status
