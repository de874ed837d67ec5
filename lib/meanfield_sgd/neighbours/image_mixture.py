r"""Two classes of real images as the two components of a mixture: image plus Gaussian noise.

.. math::
   x=\sqrt{\theta/\mathrm{tr}\,S}\;(\text{image}-\text{mean})+N(0,I_n),\qquad\theta=n^{\beta(1-\alpha)} ,

with the second class scaled so that both covariances of images have the trace tr S of the first.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from ..errors import InputError
from ..simulate._common import digest, read_bool, read_choice
from .images import ImageSet
from .mixture import GaussianMixture, _read_share

__all__ = ["ImageMixture"]

_CENTRES = ("class", "common")
_TEST_SHARE = 0.25


class ImageMixture:
    r"""The mixture of two classes of images, for :func:`one_step` with ``labels="classes"``.

    Every run keeps a random quarter of the images of each class for its test. The batches of the step and of the readout are
    drawn with replacement from the other three quarters, each time with fresh N(0, I) noise; with ``disjoint=True`` these are
    cut into one half for the step and one for the readout, and no image is used twice.

    Parameters
    ----------
    images : an ImageSet.
    first, second : the labels of the two classes (components 0 and 1).
    alpha, beta : the size of the images is theta = n^(beta (1 - alpha)), the rate n^(beta alpha).
    centre : ``"class"``: the mean of each class is removed (of all its images); ``"common"``: only half of the sum of both
        means, and the second class is scaled together with its mean.
    disjoint : see above.

    Attributes
    ----------
    first, second : the processed images, (n_1, n) and (n_2, n), without noise.
    traces : the traces of the two classes' covariances before scaling.
    distance : half the distance of the two class means, before scaling.
    dimension, trace, rate, bulk : n, n + theta, n^(beta alpha), and 1: images spread over many directions, so that they belong
        to the bulk of a pre-activation.

    Raises
    ------
    InputError for a class that is absent or has fewer than 8 images, or arguments that do not fit.

    Source: the pre-processing is that of the published code of Demir and Dogan, arXiv 2503.00856, who take their images from a
    generative network; here they are real ones.
    """

    components = 2
    only_classes = True  # what one_step may ask of it
    weights = np.array([0.5, 0.5])

    def __init__(
        self,
        images: ImageSet,
        first: int,
        second: int,
        *,
        alpha: float = 0.0,
        beta: float = 1.0,
        centre: str = "class",
        disjoint: bool = False,
    ):
        if not isinstance(images, ImageSet):
            raise InputError("images must be an ImageSet: neighbours.fashion_mnist() or neighbours.real_images()")
        alpha, beta = _read_share(alpha, "alpha", 0.0), _read_share(beta, "beta", 0.0)
        self.centre = read_choice(centre, "centre", _CENTRES)
        self.disjoint = read_bool(disjoint, "disjoint")
        if first == second:
            raise InputError(f"two different classes are needed, got {first} twice")
        classes = [images.of(first), images.of(second)]
        if min(map(len, classes)) < 8:
            raise InputError(f"at least 8 images of each class are needed, got {len(classes[0])} and {len(classes[1])}")
        self.labels, self.names, self.source = (first, second), images.names, images.source
        means = [pixels.mean(0) for pixels in classes]
        self.distance = float(np.linalg.norm(means[0] - means[1])) / 2
        self.traces = tuple(float(pixels.var(0).sum()) for pixels in classes)
        if min(self.traces) < 1e-12:
            raise InputError("the images of a class are all equal: there is nothing to scale")
        middle = sum(means) / 2
        centred = [pixels - (mean if centre == "class" else middle) for pixels, mean in zip(classes, means)]
        self.dimension = centred[0].shape[1]
        self.theta = self.dimension ** (beta * (1 - alpha))
        self.rate = self.dimension ** (beta * alpha)
        self.trace, self.bulk = self.dimension + self.theta, 1.0
        size = math.sqrt(self.theta / self.traces[0])
        self.first, self.second = size * centred[0], size * math.sqrt(self.traces[0] / self.traces[1]) * centred[1]

    def __repr__(self) -> str:
        kind = ", disjoint batches" if self.disjoint else ""
        return (
            f"<ImageMixture of {self.source}, classes {self.labels[0]} and {self.labels[1]}: {len(self.first)} and "
            f"{len(self.second)} images, theta={self.theta:.4g}, {self.centre} mean removed{kind}>"
        )

    @property
    def fingerprint(self) -> str:
        """A digest of the processed images, for checkpoints."""
        return digest(self.first, self.second)

    @property
    def used(self) -> int:
        """How many images of both classes together."""
        return len(self.first) + len(self.second)

    @cached_property
    def operator_norm(self) -> float:
        """The largest variance in any direction, noise included."""
        pooled = np.concatenate(
            [self.first / math.sqrt(2 * len(self.first)), self.second / math.sqrt(2 * len(self.second))]
        )
        return 1.0 + float(np.linalg.eigvalsh(pooled @ pooled.T)[-1])

    def surrogate(self) -> GaussianMixture:
        """The Gaussian mixture with the means and covariances of these images plus noise: what Gaussian equivalence sees."""
        rows, sizes, means = [], [], []
        for pixels in (self.first, self.second):
            mean = pixels.mean(0) if self.centre == "common" else np.zeros(self.dimension)
            _, singular, right = np.linalg.svd((pixels - mean) / math.sqrt(len(pixels)), full_matrices=False)
            keep = singular**2 > 1e-12 * singular[0] ** 2
            rows.append(right[keep])
            sizes.append(singular[keep] ** 2)
            means.append(mean)
        shift = np.array(means) if self.centre == "common" else None
        return GaussianMixture(self.weights, rows, sizes, shift, rate=self.rate, bulk=self.bulk)

    def draw(self, rng: np.random.Generator) -> _Split:
        """The images with the split of one run."""
        return _Split(self, rng)


class _Split:
    """The images of one run: which are for the step, for the readout and for the test."""

    def __init__(self, whole: ImageMixture, rng: np.random.Generator):
        self.trace, self.bulk, self.operator_norm = whole.trace, whole.bulk, whole.operator_norm
        self._disjoint = whole.disjoint
        self._pools = []
        for pixels in (whole.first, whole.second):
            order = rng.permutation(len(pixels))
            held = math.ceil(_TEST_SHARE * len(pixels))
            test, train = order[:held], order[held:]
            half = len(train) // 2
            step, readout = (train[:half], train[half:]) if whole.disjoint else (train, train)
            self._pools.append({"step": pixels[step], "readout": pixels[readout], "test": pixels[test]})

    def counts(self, samples: int) -> np.ndarray:
        """Half of the samples of each class."""
        return np.array([samples // 2, samples - samples // 2])

    def sample(
        self, samples: int, rng: np.random.Generator, part: str = "step", counts: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """m images with fresh noise (m, n) and their classes (m,), first those of class 0."""
        rows = []
        for pool, count in zip(self._pools, self.counts(samples) if counts is None else counts):
            images = pool[part]
            if self._disjoint and part != "test":
                if count > len(images):
                    raise InputError(
                        f"disjoint batches have at most {2 * min(len(p[part]) for p in self._pools)} images here, "
                        f"got samples={samples}"
                    )
                rows.append(images[rng.permutation(len(images))[:count]])
            else:
                rows.append(images[rng.integers(len(images), size=count)])
        x = np.concatenate(rows)
        return x + rng.standard_normal(x.shape), np.repeat([0, 1], [len(own) for own in rows])
