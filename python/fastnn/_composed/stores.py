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


def _store(self: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """self[..., index, ...] = value along dim; a 0-d tensor counts as one of one element."""
    target = self if self.dim() else self.unsqueeze(0)
    target[(slice(None),) * dim + (index.reshape(-1),)] = value
    return self


@method_only
def index_fill_(self: Tensor, dim: int, index: Tensor, value: Tensor | float) -> Tensor:
    """One value into the slices that index names, in place."""
    if isinstance(value, _C.Tensor):
        if value.dim():
            raise RuntimeError(f"index_fill_: value has shape {tuple(value.shape)}, expected a 0-dimensional tensor")
        value = value.clone()  # it may lie in self
    if index.dtype != _C.int64:
        raise IndexError(f"index_fill_(): Expected dtype int64 for index, found {index.dtype}")
    dim = wrap(dim, self.dim())
    if index.dim() > 1:
        raise RuntimeError(f"index_fill_(): Index has to be a vector/scalar, found shape {tuple(index.shape)}")
    return _store(self, dim, index, value)


@composed
def index_fill(input: Tensor, dim: int, index: Tensor, value: Tensor | float) -> Tensor:
    """A copy with one value in the slices that index names."""
    return input.clone().index_fill_(dim, index, value)


@method_only
def index_copy_(self: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """The slices of source into those that index names, in place."""
    dim = wrap(dim, self.dim())
    if index.dim() > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {index.dim()})")
    if not source.dim() and index.numel() != 1:
        raise IndexError(f"index_copy_(): When source is scalar, index should have one element (got {index.numel()})")
    if source.dim() and self.dim() and source.dim() != self.dim():
        raise IndexError(
            "index_copy_(): When source and destination are not scalars, their dimensionality must match: "
            f"source {tuple(source.shape)}, destination {tuple(self.shape)}"
        )
    if index.dtype != _C.int64:
        raise IndexError(f"index_copy_(): Expected a long tensor for index, but got {index.dtype}")
    if self.numel() and any(n > 1 and not s for n, s in zip(self.shape, self.stride(), strict=True)):
        raise RuntimeError(
            "index_copy_: unsupported operation: more than one element of the written-to tensor refers to a single "
            "memory location. Please clone() the tensor before performing the operation."
        )
    if source.dtype != self.dtype:
        raise RuntimeError(f"index_copy_: source has dtype {source.dtype}, expected {self.dtype}, the dtype of self")
    slices = [[s for d, s in enumerate(t.shape) if d != dim] for t in (self, source)]
    if slices[0] != slices[1]:
        raise RuntimeError(
            "index_copy_(): Source/destination tensor must have same slice shapes. "
            f"Destination slice shape: {slices[0]} at dimension {dim} and source slice shape: {slices[1]}"
        )
    if source.dim() and source.size(dim) != index.numel():
        raise IndexError(
            f"index_copy_: source has {source.size(dim)} slices along dim {dim}, index {index.numel()} elements"
        )
    return _store(self, dim, index, source)


@composed
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy with the slices of source where index says."""
    return input.clone().index_copy_(dim, index, source)
