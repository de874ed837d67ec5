"""What can be learned, decided exactly: pure Python and sympy, without torch and numpy.

``decide(h, activation)`` gives everything in one :class:`Verdict`; the module itself may be called, too:
``mf.decide("z1 + z1*z2", "tanh")``. The single answers: ``reached_subspace``, ``largest_reflective_subspace``,
``is_reflective``, ``largest_invariant_subspace``, ``loss_floor``, ``expressivity_floor``; ``taylor_flow``,
``taylor_span``, ``stage_one``; ``merged_staircase``, ``coordinate_leap``, ``isotropic_leap_at_most_one``,
``information_exponent``; ``averaging_exponents``, ``copy_orders``; ``gap_family``, ``census``, ``chain_order``.
"""

from __future__ import annotations

from typing import Any

from .._lazy import LazyPackage, make_lazy

_HOME = {
    "AveragingExponents": "averaging",
    "Census": "census",
    "CensusRecord": "census",
    "Contraction": "subspace",
    "CopyOrders": "copies",
    "GapFamily": "gap",
    "Interrupted": "verdict",
    "ReachedSubspace": "subspace",
    "Reflectivity": "witness",
    "StageOne": "stage_one",
    "Staircase": "leap",
    "Subspace": "subspace",
    "TaylorFlow": "taylor",
    "TaylorSpan": "taylor",
    "Verdict": "verdict",
    "Witness": "witness",
    "averaging_exponents": "averaging",
    "census": "census",
    "chain_order": "census",
    "coordinate_leap": "leap",
    "copy_orders": "copies",
    "decide": "verdict",
    "expressivity_floor": "reflective",
    "gap_family": "gap",
    "information_exponent": "leap",
    "is_reflective": "witness",
    "isotropic_leap_at_most_one": "leap",
    "largest_invariant_subspace": "reflective",
    "largest_reflective_subspace": "reflective",
    "loss_floor": "reflective",
    "merged_staircase": "leap",
    "reached_subspace": "reflective",
    "stage_one": "stage_one",
    "taylor_flow": "taylor",
    "taylor_span": "taylor",
}

__all__ = sorted(_HOME)


class _Callable(LazyPackage):
    """``decide(h, activation)`` for ``decide.decide(h, activation)``."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.decide(*arguments, **options)


make_lazy(__name__, _Callable)
