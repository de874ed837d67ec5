"""Two neighbouring theories, in this book's vocabulary: one large gradient step, and many index vectors.

``one_step`` takes one gradient step on the first layer of a two-layer network, on a mixture of Gaussians or on real images,
and fits the second layer by ridge regression; beside it stand the equivalent Hermite model and a deterministic prediction
(Demir and Dogan, arXiv 2503.00856).
"""

from __future__ import annotations

from .._lazy import make_lazy

_HOME = {
    "Errors": "one_step",
    "GaussianMixture": "mixture",
    "GradientSpike": "spike",
    "HermiteModel": "hermite_model",
    "ImageMixture": "image_mixture",
    "ImageSet": "images",
    "OneStep": "one_step",
    "Published": "published",
    "RidgeEquivalent": "ridge",
    "SpikedMixture": "mixture",
    "degree_rule": "hermite_model",
    "fashion_mnist": "images",
    "gradient_spike": "spike",
    "hermite_model": "hermite_model",
    "memory_needed": "one_step",
    "one_step": "one_step",
    "published": "published",
    "real_images": "images",
    "ridge_equivalent": "ridge",
}

__all__ = sorted(_HOME)


make_lazy(__name__)
