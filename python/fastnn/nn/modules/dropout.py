"""Dropout layers: they act in training mode only.

Read next: ../_activations.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _C

from .. import _activations as A
from .module import Module

if TYPE_CHECKING:
    from fastnn import Tensor

_dropout = _C.dropout


class _DropoutNd(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """Zeroes elements with probability p and scales the others by 1/(1-p)."""

    def forward(self, input: Tensor) -> Tensor:
        if self.inplace:
            return A.dropout(input, self.p, self.training, True)
        if not self.training:
            return input
        return _dropout(input, self.p, True)


def _layer(name: str, function: Any, doc: str) -> Any:
    def forward(self: Any, input: Any) -> Any:
        return function(input, self.p, self.training, self.inplace)

    return type(name, (_DropoutNd,), {"__doc__": doc, "__module__": __name__, "forward": forward})


Dropout1d = _layer("Dropout1d", A.dropout1d, "Zeroes whole channels of (N,C,L) or (C,L).")
Dropout2d = _layer("Dropout2d", A.dropout2d, "Zeroes whole channels of (N,C,H,W).")
Dropout3d = _layer("Dropout3d", A.dropout3d, "Zeroes whole channels of (N,C,D,H,W).")
AlphaDropout = _layer("AlphaDropout", A.alpha_dropout, "Dropout that keeps mean and variance of SELU activations.")
FeatureAlphaDropout = _layer("FeatureAlphaDropout", A.feature_alpha_dropout, "AlphaDropout of whole channels.")
