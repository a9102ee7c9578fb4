"""Padding, windows and unfold/fold of torch.nn.functional.

Windows of x (N,C,*space) are gathered as slices, one for each kernel position.  Nothing here is a kernel of its own.
Read next: _convolution.py, _pooling.py, _resample.py.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from fastnn import _C
from fastnn._arguments import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn import Tensor


def per_dim(value: Any, n: int, what: str) -> tuple[int, ...]:
    """An int, or a sequence of n ints, as n ints."""
    if isinstance(value, int):
        return (value,) * n
    value = tuple(value)
    if len(value) == 1:
        return value * n
    if len(value) != n:
        raise RuntimeError(
            f"expected {what} to be a single integer value or a list of {n} values, but got {what}={list(value)}"
        )
    return value


def constant_pad(x: Tensor, pad: Sequence[int], value: float = 0.0) -> Tensor:
    """Pad with a value; pad lists (before, after) from the last dimension on, negative numbers crop."""
    if not any(pad):
        return x
    for k in range(len(pad) // 2):
        dim = x.dim() - 1 - k
        before, after = pad[2 * k], pad[2 * k + 1]
        size = x.size(dim)
        if size + before + after < 0:
            raise RuntimeError(f"pad: dimension {dim} of size {size} becomes negative with padding ({before}, {after})")
        low, high = max(0, -before), size - max(0, -after)
        if low or high < size:
            x = x.narrow(dim, low, high - low)
        parts = [x]
        if before > 0:
            parts.insert(0, _C.full([*x.shape[:dim], before, *x.shape[dim + 1 :]], value, dtype=x.dtype))
        if after > 0:
            parts.append(_C.full([*x.shape[:dim], after, *x.shape[dim + 1 :]], value, dtype=x.dtype))
        if len(parts) > 1:
            x = _C.cat(parts, dim)
    return x


def _border_index(mode: str, size: int, before: int, after: int) -> list[int]:
    """Where each element of the padded dimension comes from."""
    positions = range(-before, size + after)
    if mode == "replicate":
        return [min(max(i, 0), size - 1) for i in positions]
    if mode == "circular":
        if before > size or after > size:
            raise RuntimeError("Padding value causes wrapping around more than once.")
        return [i % size for i in positions]
    if before >= size or after >= size:
        raise RuntimeError(
            f"Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
            f"({before}, {after}) at a dimension of size {size}"
        )
    return [-i if i < 0 else (2 * (size - 1) - i if i >= size else i) for i in positions]


@checked
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Pad the last len(pad)/2 dimensions; mode is constant, reflect, replicate or circular."""
    pad = [int(p) for p in pad]
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) // 2 > input.dim():
        raise RuntimeError(
            f"Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {input.dim()}"
        )
    if mode == "constant":
        result = constant_pad(input, pad, 0.0 if value is None else value)
        return result if result is not input else input.clone()
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if len(pad) // 2 not in (input.dim() - 1, input.dim() - 2):
        raise NotImplementedError("Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now")
    for k in range(len(pad) // 2):
        before, after = pad[2 * k], pad[2 * k + 1]
        if before or after:
            dim = input.dim() - 1 - k
            low, high = max(0, -before), input.size(dim) - max(0, -after)
            index = _border_index(mode, high - low, max(0, before), max(0, after))
            input = input.index_select(dim, _C.tensor([low + i for i in index], dtype=_C.int64))
    return input


def positive(function: str, **values: Sequence[int]) -> None:
    """Refuses windows without extent and steps that go nowhere."""
    for name, numbers in values.items():
        if min(numbers) <= 0:
            raise RuntimeError(f"{function}: {name} should be greater than zero, but got {list(numbers)}")


def output_size(size: int, kernel: int, stride: int, dilation: int) -> int:
    """The number of window positions along one (padded) dimension."""
    return (size - dilation * (kernel - 1) - 1) // stride + 1


def window_places(
    kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], sizes: Sequence[int]
) -> list[tuple[slice, ...]]:
    """For each kernel position the index of the elements of (N,C,*space) that it meets."""
    return [
        (
            slice(None),
            slice(None),
            *(
                slice(o * d, o * d + (n - 1) * s + 1, s)
                for o, d, n, s in zip(offset, dilation, sizes, stride, strict=False)
            ),
        )
        for offset in product(*(range(k) for k in kernel))
    ]


def as_columns(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], sizes: Sequence[int]
) -> Tensor:
    """x (N,C,*space) as (N, C * prod(kernel), prod(sizes))."""
    views = [x[place] for place in window_places(kernel, stride, dilation, sizes)]
    columns = views[0].unsqueeze(2) if len(views) == 1 else _C.stack(views, 2)
    return columns.reshape(x.size(0), x.size(1) * len(views), -1)


@checked
def unfold(
    input: Tensor,
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Tensor:
    """The windows of (N,C,H,W) as columns: (N, C*KH*KW, positions)."""
    if input.dim() == 3:
        return unfold(input.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)
    if input.dim() != 4:
        raise RuntimeError(
            f"Expected 3D or 4D (batch mode) tensor for input with possibly 0 batch size, but got: {list(input.shape)}"
        )
    kernel, stride = per_dim(kernel_size, 2, "kernel_size"), per_dim(stride, 2, "stride")
    dilation, padding = per_dim(dilation, 2, "dilation"), per_dim(padding, 2, "padding")
    positive("unfold", kernel_size=kernel, stride=stride, dilation=dilation)
    x = constant_pad(input, [padding[1], padding[1], padding[0], padding[0]])
    sizes = [output_size(*args) for args in zip(x.shape[2:], kernel, stride, dilation, strict=False)]
    if min(sizes) <= 0:
        raise RuntimeError(f"unfold: windows of {kernel} do not fit into the padded input {list(x.shape[2:])}")
    return as_columns(x, kernel, stride, dilation, sizes)


@checked
def fold(
    input: Tensor,
    output_size: int | Sequence[int],
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Tensor:
    """Add columns (N, C*KH*KW, positions) up where unfold would have read them: (N,C,H,W)."""
    if input.dim() not in (2, 3):
        raise RuntimeError(f"fold: Expected 2D or 3D (batch mode) tensor for input, but got: {list(input.shape)}")
    if input.dim() == 2:
        return fold(input.unsqueeze(0), output_size, kernel_size, dilation, padding, stride).squeeze(0)
    space, kernel = per_dim(output_size, 2, "output_size"), per_dim(kernel_size, 2, "kernel_size")
    stride, dilation = per_dim(stride, 2, "stride"), per_dim(dilation, 2, "dilation")
    padding = per_dim(padding, 2, "padding")
    positive("fold", kernel_size=kernel, stride=stride, dilation=dilation)
    padded = [n + 2 * p for n, p in zip(space, padding, strict=False)]
    sizes = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(padded, kernel, stride, dilation, strict=False)]
    area = kernel[0] * kernel[1]
    if input.size(1) % area or input.size(2) != sizes[0] * sizes[1]:
        raise RuntimeError(
            f"fold: input has shape {list(input.shape)}, expected (N, C*{area}, {sizes[0] * sizes[1]}) for "
            f"output_size {space}"
        )
    channels = input.size(1) // area
    columns = input.reshape([input.size(0), channels, area, *sizes])
    out = _C.zeros([input.size(0), channels, *padded], dtype=input.dtype)
    for k, place in enumerate(window_places(kernel, stride, dilation, sizes)):
        out[place] += columns[:, :, k]
    return out[:, :, padding[0] : padding[0] + space[0], padding[1] : padding[1] + space[1]]
