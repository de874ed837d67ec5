"""Curves of Demir and Dogan, read off the plots in their public repository: facts to hold one's own numbers against.

Read off with an error of about half a percent of the axis' range; where markers cover one another, of two percent.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..simulate._common import short

__all__ = ["Published", "published"]


class Published(NamedTuple):
    """``x``: (T,) values on the axis named ``axis``; ``curves``: activation -> (T,) errors (NaN where none was read)."""

    figure: str
    axis: str
    x: np.ndarray
    curves: MappingProxyType[str, np.ndarray]
    setting: str


_RATIOS = (0.1, 0.3, 0.4, 0.5, 0.7, 0.9, 1, 1.1, 1.5, 2, 3, 4, 5)
_IMAGES = (0.01, 0.1, 0.3, 0.4, 0.5, 0.7, 0.9, 1, 1.1, 1.5, 2, 3, 4, 5)
_MEANS = (0.7, 0.9, 1, 1.1, 1.5, 2, 3, 4, 5)
_TENTHS = tuple(np.linspace(0, 1, 10))
_COMMON = "n = m = 1000, ridge 1e-4"

_FIGURES: dict[str, tuple[str, tuple[float, ...], str, dict[str, tuple[float, ...]]]] = {
    "1a": (
        "k/m",
        _RATIOS,
        f"{_COMMON}, beta = .74, alpha = 1/2, generalisation error",
        {"relu": (0.0233, 0.0241, 0.0241, 0.0238, 0.0229, 0.0214, 0.0211, 0.0205, 0.0190, 0.0175, 0.0160, 0.0156, 0.0152)},
    ),
    "1b": (
        "alpha",
        tuple(np.arange(8, 20) / 19),
        f"{_COMMON}, k = m, beta = .74, generalisation error",
        {
            "relu": (0.0167, 0.0213, 0.0265, 0.0318, 0.0384, 0.0477, 0.0544, 0.0659, 0.0756, 0.0834, 0.0880, 0.0938),
            "tanh": (0.0235, *[np.nan] * 3, 0.0605, *[np.nan] * 2, 0.1026, *[np.nan] * 3, 0.1563),
            "logistic": (0.0126, *[np.nan] * 3, 0.0317, *[np.nan] * 2, 0.0554, *[np.nan] * 3, 0.0836),
        },
    ),
    "1c": (
        "beta",
        _TENTHS,
        f"{_COMMON}, k = m, alpha = 1/2, generalisation error",
        {
            "relu": (0.1072, 0.0931, 0.0819, 0.0633, 0.0504, 0.0384, 0.0284, 0.0205, 0.0155, 0.010),
            "tanh": (0.1695, 0.1464, 0.1282, 0.1012, 0.0794, 0.0600, 0.0426, 0.0303, 0.0215, 0.0167),
            "logistic": (0.0922, 0.0784, 0.0671, 0.0542, 0.0424, 0.0317, 0.0233, 0.0163, 0.0116, 0.0087),
        },
    ),
    "2a": (
        "rho_1",
        _TENTHS,
        f"{_COMMON}, k = m, beta = .74, alpha = 1/2, labels are the classes, generalisation error",
        {
            "relu": (0.0, 0.295, 0.500, 0.645, 0.705, 0.711, 0.639, 0.515, 0.293, 0.0),
            "logistic": (0.0, 0.217, 0.373, 0.484, 0.534, 0.537, 0.481, 0.380, 0.218, 0.0),
        },
    ),
    "2b": (
        "alignment",
        (-1.0, 0.0, 1.0),
        f"{_COMMON}, k = m, beta = .74, alpha = 1/2, generalisation error",
        {"relu": (0.0120, 0.0217, 0.0122), "tanh": (0.0189, 0.0344, 0.0191), "logistic": (0.0101, 0.0182, 0.0102)},
    ),
    "3a": (
        "k/m",
        _IMAGES,
        "generated Fashion-MNIST images, classes 0 and 1, m = 500, beta = 1, alpha = 0, ridge 1e-4, generalisation error",
        {
            "relu": (0.458, 0.419, 0.458, 0.470, 0.480, 0.475, 0.430, 0.425, 0.400, 0.355, 0.310, 0.272, 0.252, 0.243),
            "logistic": (0.507, 0.535, 0.555, 0.561, 0.558, 0.556, 0.552, 0.551, 0.550, 0.547, 0.541, 0.538, 0.538, 0.538),
            "tanh": (0.50, 0.55, 0.65, 0.71, 0.75, 0.78, 0.79, 0.78, 0.77, 0.735, 0.71, 0.68, 0.665, 0.66),
        },
    ),
    "3b": (
        "k/m",
        _IMAGES,
        "generated Fashion-MNIST images, classes 5 and 9, m = 500, beta = 1, alpha = 0, ridge 1e-4, generalisation error",
        {
            "relu": (0.465, 0.467, 0.531, 0.54, 0.54, 0.53, 0.500, 0.493, 0.464, 0.417, 0.362, 0.313, 0.297, 0.284),
            "tanh": (0.50, 0.56, 0.66, 0.716, 0.756, 0.79, 0.80, 0.80, 0.795, 0.76, 0.73, 0.707, 0.70, 0.685),
        },
    ),
    "5c": (
        "beta",
        _TENTHS,
        f"{_COMMON}, k = m, alpha = 1, one data set for all beta, generalisation error",
        {
            "relu": (0.110, 0.111, 0.110, 0.110, 0.111, 0.109, 0.103, 0.095, 0.091, 0.090),
            "tanh": (0.178, 0.180, 0.180, 0.179, 0.179, 0.178, 0.170, 0.165, 0.162, 0.161),
            "logistic": (0.096, 0.096, 0.096, 0.096, 0.096, 0.096, 0.095, 0.0912, 0.0829, 0.0766),
        },
    ),
    "6": (
        "k/m",
        _RATIOS,
        f"{_COMMON}, beta = .74, alpha = 1/2, training error with penalty",
        {
            "relu": (0.017, 0.0128, 0.0114, 0.0101, 0.0085, 0.0074, 0.0071, 0.0068, 0.0061, 0.0056, 0.0051, 0.0049, 0.0048),
            "tanh": (0.0249, 0.0190, 0.0172, 0.0154, 0.0130, 0.0120, 0.0113, 0.0110, 0.0100, 0.0095, 0.0089, 0.0086, 0.0084),
            "logistic": (
                0.0172, 0.0150, 0.0147, 0.0143, 0.0138, 0.0136, 0.0135, 0.0134, 0.0132, 0.0130, 0.0129, 0.0128, 0.0127,
            ),
        },
    ),
    "7b": (
        "log eta / log n",
        _TENTHS,
        "generated Fashion-MNIST images, classes 0 and 1, k = m = 500, theta = n, ridge 1e-4, generalisation error",
        {
            "relu": (0.419, 0.406, 0.370, 0.315, 0.259, 0.214, 0.171, 0.143, 0.138, 0.153),
            "tanh": (0.80, 0.80, 0.797, 0.787, 0.761, 0.702, 0.621, 0.554, 0.50, 0.493),
            "logistic": (0.559, 0.559, 0.559, 0.559, 0.559, 0.556, 0.551, 0.529, 0.493, 0.459),
        },
    ),
    "8a": (
        "k/m",
        _MEANS,
        "generated Fashion-MNIST images, classes 0 and 1 with their means, m = 500, ridge 1e-5, generalisation error",
        {
            "relu": (0.114, 0.134, 0.133, 0.121, 0.083, 0.06, 0.048, 0.044, 0.040),
            "logistic": (0.077, 0.074, 0.073, 0.071, 0.067, 0.063, 0.060, 0.059, 0.057),
            "tanh": (0.097, 0.117, 0.118, 0.113, 0.094, 0.080, 0.068, 0.062, 0.060),
        },
    ),
    "8b": (
        "k/m",
        _MEANS,
        "generated Fashion-MNIST images, classes 5 and 9 with their means, m = 500, ridge 1e-5, generalisation error",
        {
            "relu": (0.206, 0.254, 0.249, 0.235, 0.166, 0.125, 0.10, 0.088, 0.083),
            "tanh": (0.160, 0.192, 0.191, 0.189, 0.148, 0.13, 0.11, 0.10, 0.098),
        },
    ),
}  # fmt: skip


def published(figure: str) -> Published:
    """The curves of one figure of Demir and Dogan, read off their plots.

    Parameters
    ----------
    figure : "1a", "1b", "1c", "2a", "2b", "3a", "3b", "5c", "6", "7b", "8a" or "8b", in the paper's numbering.

    Returns
    -------
    Published

    Raises
    ------
    InputError for another figure.

    Source: the plots in the repository KU-MLIP/2-Layer-NNs-with-Gaussian-Mixtures-Data, which accompany arXiv 2503.00856.
    """
    if not isinstance(figure, str) or figure not in _FIGURES:
        raise InputError(f"figure must be one of {', '.join(map(repr, _FIGURES))}, got {short(figure)}")
    axis, x, setting, curves = _FIGURES[figure]
    values: dict[str, Any] = {name: np.array(curve, dtype=float) for name, curve in curves.items()}
    return Published(figure, axis, np.array(x, dtype=float), MappingProxyType(values), setting)
