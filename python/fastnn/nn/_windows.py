"""Convolution, padding and unfold/fold of torch.nn.functional.

A convolution is one matrix product: the input's windows, gathered as slices (one for each kernel position), against
the flattened weight.  Shapes: x (N,C,*space), weight (O,C/groups,*kernel).  Nothing here is a kernel of its own.
Read next: _pooling.py (it uses the same windows), _resample.py.
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


def _columns(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], sizes: Sequence[int]
) -> Tensor:
    """x (N,C,*space) as (N, C * prod(kernel), prod(sizes))."""
    views = [x[place] for place in window_places(kernel, stride, dilation, sizes)]
    columns = views[0].unsqueeze(2) if len(views) == 1 else _C.stack(views, 2)
    return columns.reshape(x.size(0), x.size(1) * len(views), -1)


def _same_padding(kernel: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """The pairs for pad() that keep the size at stride 1; the odd one goes behind."""
    pairs: list[int] = []
    for k, d in zip(reversed(kernel), reversed(dilation), strict=False):
        total = d * (k - 1)
        pairs += [total // 2, total - total // 2]
    return pairs


def _conv(
    name: str, n: int, x: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    if x.dim() not in (n + 1, n + 2) or weight.dim() != n + 2:
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of size: "
            f"{list(x.shape)} "
            f"and weight of size {list(weight.shape)}"
        )
    if x.dim() == n + 1:
        return _conv(name, n, x.unsqueeze(0), weight, bias, stride, padding, dilation, groups).squeeze(0)
    stride, dilation = per_dim(stride, n, "stride"), per_dim(dilation, n, "dilation")
    if min(stride) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(dilation) <= 0:
        raise RuntimeError("dilation should be greater than zero")
    kernel = tuple(weight.shape[2:])
    if x.size(1) != weight.size(1) * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(weight.shape)}, expected input{list(x.shape)} to have "
            f"{weight.size(1) * groups} channels, but got {x.size(1)} channels instead"
        )
    if weight.size(0) % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got "
            "weight of size "
            f"{list(weight.shape)} instead"
        )
    if bias is not None and (bias.dim() != 1 or bias.size(0) != weight.size(0)):
        raise RuntimeError(
            f"Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with "
            f"{weight.size(0)} elements, "
            f"but got bias of size {list(bias.shape)} instead"
        )
    if padding == "same":
        if any(s != 1 for s in stride):
            raise RuntimeError("padding='same' is not supported for strided convolutions")
        x = constant_pad(x, _same_padding(kernel, dilation))
    elif padding == "valid":
        pass
    elif isinstance(padding, str):
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    else:
        x = constant_pad(x, [p for p in reversed(per_dim(padding, n, "padding")) for _ in (0, 1)])
    sizes = [output_size(*args) for args in zip(x.shape[2:], kernel, stride, dilation, strict=False)]
    if min(sizes) <= 0:
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, x.shape[2:]))}). Kernel size: "
            f"({' x '.join(map(str, kernel))}). Kernel size can't be greater than actual input size"
        )
    columns = _columns(x, kernel, stride, dilation, sizes)
    batch, out = x.size(0), weight.size(0)
    if groups == 1:
        result = weight.reshape(out, -1) @ columns
    else:
        each = out // groups
        result = weight.reshape(groups, each, -1) @ columns.reshape(batch, groups, columns.size(1) // groups, -1)
    result = result.reshape([batch, out, *sizes])
    return result if bias is None else result + bias.reshape([-1] + [1] * n)


@checked
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """(N,C,L) against (O,C/groups,K)."""
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@checked
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """(N,C,H,W) against (O,C/groups,KH,KW)."""
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@checked
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """(N,C,D,H,W) against (O,C/groups,KD,KH,KW)."""
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def _spread(x: Tensor, stride: Sequence[int]) -> Tensor:
    """Put stride-1 zeros between neighbours along each spatial dimension."""
    for k, s in enumerate(stride):
        if s > 1:
            dim = 2 + k
            zeros = _C.zeros([*x.shape[: dim + 1], s - 1, *x.shape[dim + 1 :]], dtype=x.dtype)
            spread = _C.cat([x.unsqueeze(dim + 1), zeros], dim + 1).flatten(dim, dim + 1)
            x = spread.narrow(dim, 0, spread.size(dim) - (s - 1))
    return x


def _conv_transpose(
    name: str,
    n: int,
    x: Tensor,
    weight: Tensor,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    """A convolution's gradient with respect to its input: a convolution of the spread input, weight turned round."""
    if x.dim() not in (n + 1, n + 2) or weight.dim() != n + 2:
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of size: "
            f"{list(x.shape)}"
        )
    if x.dim() == n + 1:
        args = (weight, bias, stride, padding, output_padding, groups, dilation)
        return _conv_transpose(name, n, x.unsqueeze(0), *args).squeeze(0)
    stride, dilation = per_dim(stride, n, "stride"), per_dim(dilation, n, "dilation")
    padding, extra = per_dim(padding, n, "padding"), per_dim(output_padding, n, "output_padding")
    if x.size(1) != weight.size(0):
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(weight.shape)}, expected input{list(x.shape)} to have "
            f"{weight.size(0)} channels, but got {x.size(1)} channels instead"
        )
    if any(e >= s and e >= d for e, s, d in zip(extra, stride, dilation, strict=False)):
        raise RuntimeError("output padding must be smaller than either stride or dilation")
    kernel = tuple(weight.shape[2:])
    turned = weight.flip(list(range(2, n + 2)))
    channels, each = weight.size(0) // groups, weight.size(1)
    turned = (
        turned.reshape([groups, channels, each, *kernel]).transpose(1, 2).reshape([groups * each, channels, *kernel])
    )
    pairs = []
    for k, d, p, e in reversed(list(zip(kernel, dilation, padding, extra, strict=False))):
        pairs += [d * (k - 1) - p, d * (k - 1) - p + e]
    return _conv(name, n, constant_pad(_spread(x, stride), pairs), turned, bias, 1, 0, dilation, groups)


@checked
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """(N,C,L) against (C,O/groups,K)."""
    return _conv_transpose(
        "conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@checked
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """(N,C,H,W) against (C,O/groups,KH,KW)."""
    return _conv_transpose(
        "conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@checked
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """(N,C,D,H,W) against (C,O/groups,KD,KH,KW)."""
    return _conv_transpose(
        "conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


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
    return _columns(x, kernel, stride, dilation, sizes)


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
