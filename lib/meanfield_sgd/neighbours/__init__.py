"""Two neighbouring theories, in this book's vocabulary: one large gradient step, and many index vectors.

``one_step`` takes one gradient step on the first layer of a two-layer network, on a mixture of Gaussians or on real images,
and fits the second layer by ridge regression; beside it stand the equivalent Hermite model and a deterministic prediction
(Demir and Dogan, arXiv 2503.00856). ``overlap_flow`` follows neurons that climb their correlation with a sum of functions of
several index vectors, exactly and for any of them; ``average_threshold``, ``specialised_minimum``, ``fold`` and ``equal_loss`` say
where they can end (Simsek, Bendjeddou and Hsu, arXiv 2411.08798).
"""

from __future__ import annotations

from .._lazy import make_lazy

_HOME = {
    "CorrelationProfile": "correlation",
    "Errors": "one_step",
    "EscapeBound": "escape_time",
    "EscapeTimes": "escape_time",
    "FixedPoint": "fixed_points",
    "GaussianMixture": "mixture",
    "GradientSpike": "spike",
    "HermiteModel": "hermite_model",
    "ImageMixture": "image_mixture",
    "ImageSet": "images",
    "NeuronFlow": "neuron_flow",
    "OneStep": "one_step",
    "OverlapFlow": "multi_index",
    "Published": "published",
    "RidgeEquivalent": "ridge",
    "SpikedMixture": "mixture",
    "average_point": "landscape",
    "average_threshold": "landscape",
    "correlation_profile": "correlation",
    "correlation_sgd": "neuron_flow",
    "degree_rule": "hermite_model",
    "equal_loss": "landscape",
    "equiangular": "multi_index",
    "escape_bound": "escape_time",
    "escape_time": "escape_time",
    "fashion_mnist": "images",
    "fixed_points": "fixed_points",
    "fold": "landscape",
    "gradient_spike": "spike",
    "hermite_model": "hermite_model",
    "index_vectors": "neuron_flow",
    "memory_needed": "one_step",
    "minima": "landscape",
    "neuron_flow": "neuron_flow",
    "one_step": "one_step",
    "overlap_flow": "multi_index",
    "published": "published",
    "random_overlaps": "multi_index",
    "real_images": "images",
    "recovery_probability": "escape_time",
    "ridge_equivalent": "ridge",
    "search_time": "escape_time",
    "specialised_minimum": "landscape",
}

__all__ = sorted(_HOME)


make_lazy(__name__)
