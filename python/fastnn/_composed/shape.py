"""Functions that move, repeat, join or cut, made of views, cat and index_select.

Read next: order.py.
"""

from __future__ import annotations

import operator
from itertools import combinations as _combinations
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING, Any

from fastnn import _C

from ._registry import also, composed, function_only, method_only, recorded_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn import Tensor

_Tensor = _C.Tensor


def wrap(dim: int, ndim: int) -> int:
    """A dimension as a number from 0."""
    bound = max(ndim, 1)
    if not -bound <= dim < bound:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})")
    return dim % bound


def sizes_of(sizes: tuple[Any, ...]) -> list[int]:
    """f(2, 3) and f((2, 3)) alike."""
    if len(sizes) == 1 and not isinstance(sizes[0], int) and hasattr(sizes[0], "__iter__"):
        sizes = tuple(sizes[0])
    return [operator.index(s) for s in sizes]


def _tensors(args: tuple[Any, ...]) -> list[Any]:
    return list(args[0]) if len(args) == 1 and isinstance(args[0], (list, tuple)) else list(args)


@composed
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """The slice [start, start + length) of one dimension."""
    dim = wrap(dim, input.dim())
    start = int(start)
    size = input.size(dim)
    if start < 0:
        start += size
    if length < 0 or start < 0 or start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return input[(slice(None),) * dim + (slice(start, start + length),)]


@composed
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Move dimensions to other places; the rest keep their order."""
    n = input.dim()
    source = [source] if isinstance(source, int) else list(source)
    destination = [destination] if isinstance(destination, int) else list(destination)
    if len(source) != len(destination):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({source} dims) should contain the same number of "
            f"dims as destination ({destination} dims)"
        )
    source, destination = [wrap(d, n) for d in source], [wrap(d, n) for d in destination]
    if len(set(source)) < len(source) or len(set(destination)) < len(destination):
        raise RuntimeError(f"movedim: repeated dim in source {source} or destination {destination}")
    order = [d for d in range(n) if d not in source]
    for to, frm in sorted(zip(destination, source, strict=False)):
        order.insert(to, frm)
    return input.permute(order)


also("moveaxis")(movedim)


@composed
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """transpose under NumPy's name."""
    return input.transpose(axis0, axis1)


also("swapdims")(swapaxes)


@composed
def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions exchanged."""
    return input.transpose(-2, -1)


@composed
def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension."""
    return input.reshape(-1)


@method_only
@recorded_as("RepeatBackward0")
def repeat(self: Tensor, *repeats: Any) -> Tensor:
    """Copies side by side, so many along each dimension."""
    times = sizes_of(repeats)
    if len(times) < self.dim():
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if min(times, default=1) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(times)}: {times}")
    sizes = [1] * (len(times) - self.dim()) + list(self.shape)
    spread = [v for size in sizes for v in (1, size)]
    wanted = [v for size, t in zip(sizes, times, strict=False) for v in (t, size)]
    result = self.reshape(spread).expand(wanted).reshape([t * size for t, size in zip(times, sizes, strict=False)])
    return result.clone() if result.data_ptr() == self.data_ptr() and self.numel() else result


@composed
def tile(input: Tensor, *dims: Any) -> Tensor:
    """repeat with missing leading factors taken as 1."""
    times = sizes_of(dims)
    return repeat(input, [1] * (input.dim() - len(times)) + times)


@composed
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element repeated in place, so many times (one number, or one an element)."""
    if repeats is None:
        input, repeats, dim = _C.arange(input.numel()), input, 0
    if dim is None:
        input, dim = input.reshape(-1), 0
    size = input.size(dim)
    if isinstance(repeats, _Tensor):
        if repeats.dtype not in (_C.int64, _C.int32):
            raise RuntimeError(f"repeats has to be Long or Int tensor, found {repeats.dtype}")
        counts = repeats.reshape(-1).tolist()
    else:
        counts = [repeats]
    if len(counts) == 1:
        counts = counts * size
    if len(counts) != size:
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = {len(counts)} and "
            f"input.size({dim}) = {size}"
        )
    if min(counts, default=0) < 0:
        raise RuntimeError("repeats can not be negative")
    index = [i for i, n in enumerate(counts) for _ in range(n)]
    return input.index_select(dim, _C.tensor(index, dtype=_C.int64))


@composed
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """expand under NumPy's name."""
    return input.expand(size)


@function_only
def broadcast_shapes(*shapes: Any) -> Any:
    """The common shape of shapes that broadcast."""
    shapes = tuple((s,) if isinstance(s, int) else tuple(s) for s in shapes)
    result = [1] * max((len(s) for s in shapes), default=0)
    for shape in shapes:
        for k in range(1, len(shape) + 1):
            if shape[-k] != 1 and result[-k] not in (1, shape[-k]):
                raise RuntimeError(
                    f"Shape mismatch: objects cannot be broadcast to a single shape: {shapes}, dimension -{k} has "
                    f"sizes {result[-k]} and {shape[-k]}"
                )
            if shape[-k] != 1:
                result[-k] = shape[-k]
    return _C.Size(result)


@function_only
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape."""
    parts = _tensors(tensors)
    shape = broadcast_shapes(*(t.shape for t in parts))
    return tuple(t.expand(shape) for t in parts)


@composed
def atleast_1d(*tensors: Any) -> Any:
    """0-d tensors as 1-d ones."""
    return _atleast(tensors, lambda t: t.reshape(1) if t.dim() == 0 else t)


@composed
def atleast_2d(*tensors: Any) -> Any:
    """At least 2 dimensions, new ones in front."""
    return _atleast(tensors, lambda t: t.reshape(1, -1) if t.dim() < 2 else t)


@composed
def atleast_3d(*tensors: Any) -> Any:
    """At least 3 dimensions, placed as NumPy does."""
    return _atleast(tensors, lambda t: t.reshape(1, -1, 1) if t.dim() < 2 else (t.unsqueeze(-1) if t.dim() == 2 else t))


def _atleast(tensors: tuple[Any, ...], change: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], _Tensor):
        return change(tensors[0])
    return tuple(change(t) for t in _tensors(tensors))


@function_only
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the second dimension (the first for vectors)."""
    parts = atleast_1d(*tensors) if len(tensors) > 1 else [atleast_1d(tensors[0])]
    return _C.cat(list(parts), 0 if parts[0].dim() == 1 else 1)


@function_only
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the first dimension, vectors as rows."""
    return _C.cat([atleast_2d(t) for t in tensors], 0)


also("row_stack")(vstack)


@function_only
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the third dimension."""
    return _C.cat([atleast_3d(t) for t in tensors], 2)


@function_only
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the second dimension, vectors as columns."""
    return _C.cat([t.reshape(-1, 1) if t.dim() < 2 else t for t in tensors], 1)


@function_only
def concat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """cat under NumPy's name."""
    return _C.cat(tensors, dim)


also("concatenate")(concat)


@composed
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut at indices, or into so many nearly equal parts."""
    dim = wrap(dim, input.dim())
    size = input.size(dim)
    if isinstance(indices_or_sections, _Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        n = indices_or_sections
        if n <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {n}")
        each, extra = divmod(size, n)
        cuts = [0]
        for i in range(n):
            cuts.append(cuts[-1] + each + (i < extra))
    else:
        cuts = [0, *(min(max(i + size if i < 0 else i, 0), size) for i in indices_or_sections), size]
    return tuple(narrow(input, dim, a, max(b - a, 0)) for a, b in zip(cuts, cuts[1:], strict=False))


@composed
def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """tensor_split along the second dimension (the first of a vector)."""
    return tensor_split(input, indices_or_sections, 0 if input.dim() == 1 else 1)


@composed
def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """tensor_split along the first dimension."""
    return tensor_split(input, indices_or_sections, 0)


@composed
def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """tensor_split along the third dimension."""
    return tensor_split(input, indices_or_sections, 2)


@function_only
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Coordinate grids of vectors; indexing is "ij" (default) or "xy"."""
    parts = _tensors(tensors)
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swap = indexing == "xy" and len(parts) >= 2
    if swap:
        parts[0], parts[1] = parts[1], parts[0]
    shape = [t.numel() for t in parts]
    grids = [t.reshape([-1 if k == i else 1 for k in range(len(parts))]).expand(shape) for i, t in enumerate(parts)]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


@function_only
def cartesian_prod(*tensors: Any) -> Tensor:
    """All combinations of the vectors' elements, as rows."""
    if len(tensors) == 1:
        return tensors[0]
    return _C.stack([g.reshape(-1) for g in meshgrid(*tensors)], 1)


@composed
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of r elements of a vector, as rows."""
    choose = combinations_with_replacement if with_replacement else _combinations
    rows = list(choose(range(input.numel()), r))
    if r == 0 or not rows:
        return _C.empty([0] if r == 0 else [0, r], dtype=input.dtype)
    return input[_C.tensor(rows, dtype=_C.int64)]


@function_only
def block_diag(*tensors: Any) -> Tensor:
    """Matrices along the diagonal of a zero matrix."""
    parts = [atleast_2d(t) for t in tensors]
    width = sum(t.size(1) for t in parts)
    rows, at = [], 0
    for t in parts:
        left, right = at, width - at - t.size(1)
        pieces = [_C.zeros((t.size(0), left), dtype=t.dtype), t, _C.zeros((t.size(0), right), dtype=t.dtype)]
        rows.append(_C.cat([p for p in pieces if p.size(1)] or [t], 1))
        at += t.size(1)
    return _C.cat(rows, 0)


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
    dim = wrap(dim, input.dim())
    if indices.dim() != input.dim():
        raise RuntimeError(
            f"torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input.dim()} dimensions for input, and {indices.dim()} dimensions for indices"
        )
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


@composed
@recorded_as("Rot90Backward0")
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by k right angles in the plane of two dimensions."""
    a, b = dims
    k %= 4
    if k == 0:
        return input.clone()
    if k == 2:
        return input.flip([a, b])
    return input.flip([b]).transpose(a, b) if k == 1 else input.flip([a]).transpose(a, b)


@composed
def fliplr(input: Tensor) -> Tensor:
    """Columns in reverse."""
    return input.flip([1])


@composed
def flipud(input: Tensor) -> Tensor:
    """Rows in reverse."""
    return input.flip([0])


@method_only
def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of `size` every `step` along a dimension, as a view with a new last dimension."""
    dim = wrap(dimension, self.dim())
    length = self.size(dim) if self.dim() else 1
    if size > length:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {length} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    shape, stride = list(self.shape), list(self.stride())
    at = stride[dim]
    shape[dim] = (length - size) // step + 1
    stride[dim] = at * step
    return self.as_strided([*shape, size], [*stride, at])


@method_only
def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """Expanded to another tensor's shape."""
    return self.expand(other.shape)


@method_only
def view_as(self: Tensor, other: Tensor) -> Tensor:
    """Viewed in another tensor's shape."""
    return self.view(other.shape)


@method_only
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """Reshaped to another tensor's shape."""
    return self.reshape(other.shape)
