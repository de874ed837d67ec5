r"""One gradient step on the first layer, then ridge regression: the experiment of Demir and Dogan, many runs at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..simulate import _common as common
from ..simulate._running import CheckpointFile
from ..simulate.ensemble import _read_seeds
from .mixture import GaussianMixture, SpikedMixture, read_rate

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["Errors", "OneStep", "memory_needed", "one_step"]

_TESTS = ("population", "sampled")
WORK = 200_000_000  # bytes of the blocks that large arrays are worked through in


class Errors:
    """Generalisation and training error of one model in every run.

    Attributes
    ----------
    test : (R,), 1/2 E(y - w . phi)^2 on new data.
    train : (R,), the minimum of the ridge problem, penalty included.
    """

    def __init__(self, test: np.ndarray, train: np.ndarray):
        self.test, self.train = test, train

    def __repr__(self) -> str:
        return f"<Errors of {len(self.test)} runs: test {np.mean(self.test):.4g}, train {np.mean(self.train):.4g}>"


class OneStep:
    r"""The runs of :func:`one_step`.

    Attributes
    ----------
    network : Errors of the network.
    hermite : {degree: Errors} of the Hermite models, fitted on the same neurons and the same data.
    predicted : Errors that the ridge equivalent predicts for the network, in the first ``predictions`` runs; None without.
    predicted_hermite : {degree: Errors}, the same for the Hermite models.
    scale : (R,), the label scale: :math:`\|\Sigma\|_{op}=1/|\xi|^2` for labels in one direction, else 1.
    distances : {degree: (R,)}, :math:`\|W(K-K_l)W\|_{op}` with :math:`W=(K+\lambda)^{-1/2}`, where K and K_l are the covariance
        matrices of the features of the network and of the Hermite model of degree l; empty unless asked for.
    seeds : the seeds, one a run.
    info : "settings", "device", "rate", "memory" (bytes of one run), "cut" (the largest remainder of a series of moments).
    """

    network: Errors
    hermite: dict[int, Errors]
    predicted: Errors | None
    predicted_hermite: dict[int, Errors]

    def __init__(self, columns: dict[str, np.ndarray], seeds: list[int], info: dict[str, Any]):
        def errors(name: str) -> Errors | None:
            return Errors(columns[f"{name}.test"], columns[f"{name}.train"]) if f"{name}.test" in columns else None

        degrees = info["settings"]["degrees"]
        self.network, self.predicted, self.scale = errors("network"), errors("predicted"), columns["scale"]
        self.hermite = {degree: errors(f"hermite{degree}") for degree in degrees}
        predicted = {degree: errors(f"predicted{degree}") for degree in degrees}
        self.predicted_hermite = {degree: found for degree, found in predicted.items() if found}
        self.distances = {d: columns[f"distance{d}"] for d in degrees if f"distance{d}" in columns}
        self.seeds, self.info = seeds, info

    def __len__(self) -> int:
        return len(self.seeds)

    def __repr__(self) -> str:
        s = self.info["settings"]
        return (
            f"<OneStep of {s['activation']}: {len(self)} runs, k={s['neurons']}, m={s['samples']}, n={s['dimension']}, "
            f"test error {self.network.test.mean():.4g}>"
        )

    def mean(self, model: Any = "network", *, what: str = "test", normalised: bool = False) -> tuple[float, float]:
        """Mean over the runs and its standard error (NaN for one run), of one model's error.

        ``model``: ``"network"``, ``"predicted"`` or the degree of a Hermite model; ``what``: ``"test"`` or ``"train"``;
        ``normalised``: each error times ``scale``, so that labels have the same size in all settings.
        """
        values = getattr(self._errors(model), common.read_choice(what, "what", ("test", "train")))
        if normalised:
            values = values * self.scale[: len(values)]
        return _mean(values)

    def gap(self, degree: int | None = None, *, what: str = "test") -> tuple[float, float]:
        """Mean of (Hermite model / network - 1) over the runs, paired run by run, and its standard error.

        ``degree`` None: the only, or the largest, degree.
        """
        degree = max(self.hermite, default=None) if degree is None else degree
        what = common.read_choice(what, "what", ("test", "train"))
        return _mean(getattr(self._errors(degree), what) / getattr(self.network, what) - 1.0)

    def _errors(self, model: Any) -> Errors:
        known = {"network": self.network, "predicted": self.predicted, **self.hermite}
        found = known.get(model) if isinstance(model, (str, int, np.integer)) else None
        if found is None:
            have = (
                ["'network'"]
                + ["'predicted'"] * (self.predicted is not None)
                + [str(degree) for degree in self.hermite]
            )
            raise InputError(f"model must be one of {', '.join(have)} in this run, got {common.short(model)}")
        return found


def _mean(values: np.ndarray) -> tuple[float, float]:
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(values.mean()), float(error)


def memory_needed(
    dimension: int,
    samples: int,
    neurons: int,
    *,
    test: str = "population",
    predictions: bool = True,
    distances: bool = False,
) -> int:
    r"""Bytes that one run of :func:`one_step` holds at once, about and rather too many than too few; float64.

    The largest of three: the step, F, G and a batch with what it is drawn from, 2kn + 3mn numbers; the readout, F, the
    pre-activations, the features and the normal equations twice, kn + 3mk + 2 min(k, m)^2; exact moments, kn and 2k^2, with the
    prediction 4k^2, with ``distances`` 2k^2 more. Beside that 0.2 GB for blocks of work. At n = m = k = 2000 that is 0.4 GB, at
    20,000 it is 19 GB.
    """
    n, m, k = (
        common.read_count(v, name) for v, name in ((dimension, "dimension"), (samples, "samples"), (neurons, "neurons"))
    )
    step = 2 * k * n + 3 * m * n
    fit = k * n + max(2 * m * n + m * k, 3 * m * k + 2 * min(k, m) ** 2)
    moments = k * n + (2 + 2 * bool(predictions) + 2 * bool(distances)) * k * k
    exact = predictions or distances or test == "population"
    return 8 * max(step, fit, moments if exact else 0) + WORK


def one_step(
    activation: Activation | str,
    mixture: Any,
    *,
    neurons: int,
    samples: int,
    rate: float | None = None,
    ridge: float = 1e-4,
    labels: Any = "random",
    link: Activation | str = "relu",
    noise: float = 0.0,
    degrees: int | Iterable[int] = (),
    seeds: int | Iterable[int] = 20,
    test: str | None = None,
    test_samples: int | None = None,
    predictions: int | bool | None = None,
    distances: bool = False,
    device: str = "auto",
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
) -> OneStep:
    r"""Take one full-batch gradient step on the first layer, fit the second by ridge regression, and measure the errors.

    .. math::
       \hat y(x)=\frac1{\sqrt k}w^T\sigma(Fx),\quad F_{ij}\sim N(0,1/\mathrm{tr}),\ w_i\sim N(0,1/k),\qquad
       \hat F=F-\eta\,\nabla_F\frac1{2m}\sum_\mu(\tilde y_\mu-\hat y(\tilde x_\mu))^2 ,

    .. math::
       \hat w=\arg\min_w\frac1{2m}|y-\Phi^Tw|^2+\frac\lambda2|w|^2,\qquad\Phi=\sigma(\hat FX^T)/\sqrt k,

    on a second batch (X, y), independent of the first. The Hermite models replace sigma by
    :func:`hermite_model` (b is the mixture's ``bulk``) in the second formula only: they share the neurons :math:`\hat F`, and the
    data, with the network; their noise is fresh for every neuron and sample.

    Parameters
    ----------
    activation : sigma, without jumps.
    mixture : the data: a GaussianMixture (one for all runs), a SpikedMixture (drawn anew for each run) or an ImageMixture.
    neurons, samples : k and m (of each batch).
    rate : the step eta >= 0; None: the ``rate`` of the mixture.
    ridge : lambda > 0. The ridge that features of size 1 feel is lambda k: to compare different sizes keep that product.
    labels : ``"random"``: y = link(xi . x), xi a random direction; ``"aligned"``: xi along the sum of the components' first
        spikes; in both :math:`|\xi|^2=1/\|\Sigma\|_{op}`; ``"classes"``: y = -1 on component 0, +1 on the others; or a
        Polynomial h* (or its text): y = h*(x_1, ..., x_p).
    link : the function of xi . x, an Activation (jumps allowed), for labels in one direction.
    noise : standard deviation of Gaussian noise on all labels (on the labels of the test, too).
    degrees : degrees of the Hermite models.
    seeds : how many runs (seeds 0, 1, ...), or the seeds; the run of a seed does not depend on the others, nor on activation
        and degrees: different calls see the same data.
    test : ``"population"``: the generalisation error of the fitted readout, exactly, from Gaussian moments; ``"sampled"``: on
        ``test_samples`` (by default 5 m) new samples. By default exact where possible: Gaussian mixtures, with labels in one
        direction if it is centred, and polynomials if it is isotropic.
    predictions : in how many of the runs to compute the ridge equivalent (:func:`ridge_equivalent`), True for all; by default
        all where moments are exact.
    distances : also compute ``OneStep.distances``.
    device : ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA where there is one and n m k >= 2**24. Float64 throughout; everything is
        drawn on the CPU, so that a CPU and a GPU see the same data.
    progress : True, False, or None: a bar over the runs on a terminal if they take more than two seconds.
    checkpoint : a file for the finished runs (written once a minute, on Ctrl-C and at the end); a call with the same
        arguments, seeds included, goes on from it.

    Returns
    -------
    OneStep

    Raises
    ------
    InputError for arguments that do not fit, or if one run (:func:`memory_needed`) does not fit into the memory that is free.
    DivergenceError where a step or an error is not finite; ToleranceError where the ridge is too small for float64.
    Interrupted on Ctrl-C between two groups of runs, with the OneStep of those that were finished as ``.trajectory``.

    Source: Demir and Dogan, arXiv 2503.00856, and their published code; the exact errors and the prediction are this book's.
    Checked against autograd, against sampled tests and against curves digitised from their figures.
    """
    from ._runs import Runs

    activation = common.read_activation(activation)
    if not isinstance(mixture, (GaussianMixture, SpikedMixture)) and not hasattr(mixture, "draw"):
        raise InputError(
            f"mixture must be a GaussianMixture, SpikedMixture or ImageMixture, got {common.short(mixture)}"
        )
    runs = Runs(
        activation,
        mixture,
        neurons=common.read_count(neurons, "neurons"),
        samples=common.read_count(samples, "samples"),
        rate=read_rate(mixture.rate if rate is None else rate),
        ridge=common.read_positive(ridge, "ridge"),
        labels=(labels, link, noise),
        degrees=_read_degrees(degrees),
        seeds=_read_seeds(seeds),
        test=test if test is None else common.read_choice(test, "test", _TESTS),
        test_samples=None if test_samples is None else common.read_count(test_samples, "test_samples"),
        predictions=predictions,
        distances=common.read_bool(distances, "distances"),
        device=common.read_choice(device, "device", ("auto", "cpu", "cuda")),
    )
    return runs.run(CheckpointFile(checkpoint, runs.identity()), progress)


def _read_degrees(degrees: Any) -> list[int]:
    try:
        values = [degrees] if isinstance(degrees, (int, float, np.integer)) else list(degrees)
    except TypeError:
        raise InputError(f"degrees must be whole numbers >= 0, got {common.short(degrees)}") from None
    found = sorted({common.read_count(degree, "a degree", 0) for degree in values})
    if found and found[-1] > 30:
        raise InputError(f"a degree must be at most 30, got {found[-1]}")
    return found
