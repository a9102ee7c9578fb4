"""CosineSimilarity and PairwiseDistance.

Read next: ../_norms.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._norms import cosine_similarity, pairwise_distance
from .module import Module

if TYPE_CHECKING:
    from fastnn import Tensor


class PairwiseDistance(Module):
    """|x1 - x2 + eps|_p along the last dimension."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """The cosine of the angle between x1 and x2 along dim."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return cosine_similarity(x1, x2, self.dim, self.eps)
