"""Functions that move, repeat, broadcast or turn, made of views and index_select.

Read next: joins.py, places.py.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _C

from .._arguments import ints_of, tensors_of
from ._registry import also, composed, function_only, method_only, recorded_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn import Tensor

_Tensor = _C.Tensor

_MAX_DIMS = 8  # of a tensor: FNN_MAX_DIMS


def wrap(dim: int, ndim: int) -> int:
    """A dimension as a number from 0."""
    bound = max(ndim, 1)
    if not -bound <= dim < bound:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})")
    return dim % bound


def sizes_of(function: str, sizes: tuple[Any, ...]) -> list[int]:
    """f(2, 3) and f((2, 3)) alike."""
    given = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)) else sizes
    return ints_of(function, given)


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
def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Move dimensions to other places; the rest keep their order."""
    n = input.dim()
    source, destination = sizes_of("movedim", (source,)), sizes_of("movedim", (destination,))
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
    if not repeats:
        raise TypeError("repeat(): missing 1 required positional argument: 'repeats'")
    times = sizes_of("repeat", repeats)
    if len(times) < self.dim():
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if min(times, default=1) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(times)}: {times}")
    sizes = [1] * (len(times) - self.dim()) + list(self.shape)
    several = [d for d, t in enumerate(times) if t != 1]
    if len(times) <= _MAX_DIMS < len(times) + len(several):  # the dimensions in between are more than a tensor has
        half = [t if d in several[::2] else 1 for d, t in enumerate(times)]
        return repeat(repeat(self, half), [t if d in several[1::2] else 1 for d, t in enumerate(times)])
    spread = [v for size, t in zip(sizes, times, strict=True) for v in ((1, size) if t != 1 else (size,))]
    wanted = [v for size, t in zip(sizes, times, strict=True) for v in ((t, size) if t != 1 else (size,))]
    result = self.reshape(spread).expand(wanted).reshape([t * size for t, size in zip(times, sizes, strict=True)])
    return result.clone() if result.data_ptr() == self.data_ptr() or not result.numel() else result


@composed
def tile(input: Tensor, *dims: Any) -> Tensor:
    """repeat with missing leading factors taken as 1."""
    if not dims:
        raise TypeError("tile(): missing 1 required positional argument: 'dims'")
    times = sizes_of("tile", dims)
    return repeat(input, [1] * (input.dim() - len(times)) + times)


@composed
def repeat_interleave(
    input: Tensor, repeats: int | Tensor | None = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element repeated in place, so many times (one number, or one an element)."""
    if repeats is None:
        input, repeats, dim = _C.arange(input.numel()), input, 0
    if dim is None:
        input, dim = input.reshape(-1), 0
    size = input.size(dim)
    if isinstance(repeats, _Tensor):
        if repeats.dtype not in (_C.int64, _C.int32):
            raise RuntimeError(f"repeat_interleave: repeats has to be Long or Int tensor, found {repeats.dtype}")
        counts = repeats.reshape(-1).tolist()
    else:
        counts = [operator.index(repeats)]
    if len(counts) == 1:
        counts = counts * size
    if len(counts) != size:
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = {len(counts)} and "
            f"input.size({dim}) = {size}"
        )
    if min(counts, default=0) < 0:
        raise RuntimeError("repeats can not be negative")
    return input.index_select(dim, _C.from_numpy(np.repeat(np.arange(size), counts)))


@composed
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """expand under NumPy's name."""
    return input.expand(size)


@function_only
def broadcast_shapes(*shapes: Any) -> Any:
    """The common shape of shapes that broadcast."""
    if not all(isinstance(s, (int, list, tuple)) for s in shapes):
        raise RuntimeError(f"broadcast_shapes: expected ints and tuples of ints, found {shapes!r:.100}")
    shapes = tuple((s,) if isinstance(s, int) else tuple(ints_of("broadcast_shapes", s)) for s in shapes)
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
    parts = tensors_of("broadcast_tensors", tensors)
    shape = broadcast_shapes(*(t.shape for t in parts))
    return tuple(t.expand(shape) for t in parts)


@composed
def atleast_1d(*tensors: Any) -> Any:
    """0-d tensors as 1-d ones."""
    return _atleast("atleast_1d", tensors, lambda t: t.reshape(1) if t.dim() == 0 else t)


@composed
def atleast_2d(*tensors: Any) -> Any:
    """At least 2 dimensions, new ones in front."""
    return _atleast("atleast_2d", tensors, lambda t: t.reshape(1, -1) if t.dim() < 2 else t)


@composed
def atleast_3d(*tensors: Any) -> Any:
    """At least 3 dimensions, placed as NumPy does."""
    ways = {0: lambda t: t.reshape(1, 1, 1), 1: lambda t: t.reshape(1, -1, 1), 2: lambda t: t.unsqueeze(-1)}
    return _atleast("atleast_3d", tensors, lambda t: ways[t.dim()](t) if t.dim() < 3 else t)


def _atleast(name: str, tensors: tuple[Any, ...], change: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], _Tensor):
        return change(tensors[0])
    return tuple(change(t) for t in tensors_of(name, tensors))


@composed
@recorded_as("Rot90Backward0")
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by k right angles in the plane of two dimensions."""
    if not isinstance(dims, (list, tuple)) or len(dims) != 2:
        raise RuntimeError(f"rot90: expected total rotation dims == 2, but got dims = {dims}")
    if input.dim() < 2:
        raise RuntimeError(f"rot90: expected total dims >= 2, but got total dims = {input.dim()}")
    a, b = (wrap(d, input.dim()) for d in dims)
    if a == b:
        raise RuntimeError(f"rot90: expected rotation dims to be different, but got {dims[0]} and {dims[1]}")
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
