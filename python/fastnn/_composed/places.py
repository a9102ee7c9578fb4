"""Functions about elements at certain places: diagonals, triangles, and what take and scatter address.

Read next: order.py.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from fastnn import _C

from ._registry import composed, function_only, recorded_as
from .shape import broadcast_shapes, movedim, wrap

if TYPE_CHECKING:
    from fastnn import Tensor


@composed
@recorded_as("DiagEmbedBackward0")
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last dimension as the diagonal of new matrices."""
    n = input.dim() + 1
    dim1, dim2 = wrap(dim1, n), wrap(dim2, n)
    if dim1 == dim2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    size = input.size(-1) + abs(offset)
    here = _C.eye(size, dtype=_C.bool)
    if offset:
        here = _C.arange(size).unsqueeze(1) + offset == _C.arange(size).unsqueeze(0)
    blank = [*input.shape[:-1], abs(offset)]
    zeros = _C.zeros(blank, dtype=input.dtype)
    # Row i of the matrix holds element i (offset >= 0); below the diagonal, row i holds element i + offset.
    column = _C.cat([input, zeros] if offset >= 0 else [zeros, input], -1) if offset else input
    matrix = (
        column.unsqueeze(-1).masked_fill(~here, 0)
        if input.dtype == _C.bool
        else _C.where(here, column.unsqueeze(-1), _C.zeros([], dtype=input.dtype))
    )
    return movedim(matrix, (-2, -1), (dim1, dim2))


@composed
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as a diagonal matrix, or a matrix's diagonal."""
    if input.dim() == 1:
        return diag_embed(input, diagonal)
    if input.dim() == 2:
        return _C._name_grad_fn(input.diagonal(diagonal).contiguous(), "DiagonalBackward0_copy")
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.dim()}D")


@composed
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """All elements along the diagonal of a matrix."""
    return diag_embed(input.reshape(-1), offset)


@composed
@recorded_as("TraceBackward0")
def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal."""
    if input.dim() != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.dim()}")
    return input.diagonal().sum()


def _triangle(row: int, col: int, keep: Any, dtype: Any) -> Tensor:
    pairs = [(i, j) for i, j in product(range(row), range(col)) if keep(j - i)]
    return _C.tensor([[i for i, _ in pairs], [j for _, j in pairs]], dtype=dtype or _C.int64).reshape(2, -1)


@function_only
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Rows and columns of the lower triangle."""
    return _triangle(row, col, lambda d: d <= offset, dtype)


@function_only
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Rows and columns of the upper triangle."""
    return _triangle(row, col, lambda d: d >= offset, dtype)


@composed
@recorded_as("TakeBackward0")
def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements of the flattened tensor."""
    return input.reshape(-1)[index]


@composed
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """gather with the other dimensions broadcast."""
    if dim is None:
        return input.reshape(-1).gather(0, indices.reshape(-1))
    if indices.dtype != _C.int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype}")
    if indices.dim() != input.dim():
        raise RuntimeError(
            f"torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input.dim()} dimensions for input, and {indices.dim()} dimensions for indices"
        )
    dim = wrap(dim, input.dim())
    common = list(broadcast_shapes(*([s for d, s in enumerate(t.shape) if d != dim] for t in (input, indices))))
    a, b = common.copy(), common.copy()
    a.insert(dim, input.size(dim))
    b.insert(dim, indices.size(dim))
    return input.expand(a).gather(dim, indices.expand(b))


@composed
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy with one slice replaced."""
    result = input.clone()
    result[(slice(None),) * wrap(dim, input.dim()) + (index,)] = src
    return result


@composed
def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """A copy with a range of slices replaced."""
    result = input.clone()
    result[(slice(None),) * wrap(dim, input.dim()) + (slice(start, end, step),)] = src
    return result
