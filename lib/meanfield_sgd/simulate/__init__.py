"""The dynamics of a two-layer network at three distances from the limit, in one vocabulary.

``sgd`` (N neurons in R^d, fresh samples), ``population`` (N neurons in R^d, exact expectation) and ``meanfield``
(N and d infinite) are functions; all return a :class:`Trajectory`. Torch is loaded by the first call of ``sgd`` or
``population``.
"""

from __future__ import annotations

from .._lazy import make_lazy

_HOME = {
    "Diagnosis": "diagnosis",
    "Ensemble": "ensemble",
    "FeatureLaw": "features",
    "InitialLaw": "_nodes",
    "Interrupted": "result",
    "KernelMatrix": "kernel",
    "Readout": "readout",
    "Signature": "diagnosis",
    "Strategy": "strategy",
    "Trajectory": "result",
    "TrapResponse": "escape",
    "TrappingBound": "trapping",
    "activation_norms": "trapping",
    "arccosine_kernel": "hermite",
    "arcsine_kernel": "hermite",
    "biased": "biased",
    "diagnose": "diagnosis",
    "ensemble": "ensemble",
    "features": "features",
    "gauss_hermite": "hermite",
    "hermite_profile": "hermite",
    "hidden_correlation": "trapping",
    "kernel_matrix": "kernel",
    "meanfield": "meanfield",
    "pair_kernel": "hermite",
    "pair_kernel_quadrature": "hermite",
    "population": "population",
    "sgd": "sgd",
    "strategy": "strategy",
    "taylor_curve": "curve",
    "trap_response": "escape",
    "trapping_bound": "trapping",
}

__all__ = sorted(_HOME)


make_lazy(__name__)
