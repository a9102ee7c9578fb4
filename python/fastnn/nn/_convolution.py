"""Convolution and transposed convolution of torch.nn.functional.

A convolution is one matrix product: the input's windows (_windows.py) against the flattened weight.
Shapes: x (N,C,*space), weight (O,C/groups,*kernel).  Nothing here is a kernel of its own.
Read next: _windows.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _C
from fastnn._arguments import checked

from ._windows import as_columns, constant_pad, output_size, per_dim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn import Tensor


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
    columns = as_columns(x, kernel, stride, dilation, sizes)
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
