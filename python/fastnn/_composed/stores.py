"""Whole slices replaced at places that an index tensor names.

Invariant: a store is one indexed assignment, which checks the index before it writes and keeps the graph.
Read next: shape.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _C

from ._registry import composed, method_only
from .shape import wrap

if TYPE_CHECKING:
    from fastnn import Tensor


def _places(self: Tensor, dim: int, index: Tensor) -> tuple[Any, ...]:
    return (slice(None),) * wrap(dim, self.dim()) + (index.reshape(-1),)


@method_only
def index_fill_(self: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """One value into the slices that index names, in place."""
    if isinstance(value, _C.Tensor):
        if value.dim():
            raise RuntimeError(f"index_fill_: value has shape {tuple(value.shape)}, expected a 0-dimensional tensor")
        value = value.clone()  # it may lie in self
    self[_places(self, dim, index)] = value
    return self


@composed
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with one value in the slices that index names."""
    return input.clone().index_fill_(dim, index, value)


@method_only
def index_copy_(self: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """The slices of source into those that index names, in place."""
    if source.dtype != self.dtype:
        raise RuntimeError(f"index_copy_: source has dtype {source.dtype}, expected {self.dtype}, the dtype of self")
    slices = source.size(dim) if source.dim() else 1
    if index.dim() > 1 or index.numel() != slices or (source.dim() and self.dim() and source.dim() != self.dim()):
        raise IndexError(
            f"index_copy_: source has shape {tuple(source.shape)}, index {tuple(index.shape)}: expected one slice of"
            f" self {tuple(self.shape)} along dim {dim} per element of a flat index"
        )
    wanted = list(self.shape)
    if wanted:
        wanted[dim] = slices
    if source.dim() and self.dim() and list(source.shape) != wanted:
        raise RuntimeError(f"index_copy_: source has shape {tuple(source.shape)}, expected {tuple(wanted)}")
    self[_places(self, dim, index)] = source
    return self


@composed
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy with the slices of source where index says."""
    return input.clone().index_copy_(dim, index, source)
