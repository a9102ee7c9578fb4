"""Pooling of torch.nn.functional, composed from the window slices of _windows.py.

Invariant: a maximum's gradient goes to the first largest element of its window, as in torch.
Read next: modules/pooling.py.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from fastnn import _C
from fastnn._arguments import checked, ints_of

from ._windows import constant_pad, output_size, per_dim, positive, window_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn import Tensor


class _Plan:
    """The windows of one pooling call."""

    def __init__(
        self, name: str, n: int, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
    ) -> None:
        if x.dim() not in (n + 1, n + 2):
            raise RuntimeError(f"{name}() Expected {n + 1}D or {n + 2}D input tensor, but got {list(x.shape)}")
        self.kernel = per_dim(kernel, n, "kernel_size")
        self.stride = self.kernel if stride is None or stride == [] else per_dim(stride, n, "stride")
        self.padding = per_dim(padding, n, "padding")
        self.dilation = per_dim(dilation, n, "dilation")
        positive(name, kernel_size=self.kernel, stride=self.stride, dilation=self.dilation)
        self.space = tuple(x.shape[-n:])
        if any(p > k // 2 for p, k in zip(self.padding, self.kernel, strict=False)):
            raise RuntimeError(
                f"{name}: pad should be at most half of effective kernel size, but got pad={self.padding}, "
                f"kernel_size={self.kernel}"
            )
        self.sizes: list[int] = []
        self.behind: list[int] = []  # padding needed after the end, more than `padding` under ceil_mode
        for size, k, s, p, d in zip(self.space, self.kernel, self.stride, self.padding, self.dilation, strict=False):
            count = output_size(size + 2 * p, k, s, d)
            if ceil_mode:
                count = -(-(size + 2 * p - d * (k - 1) - 1) // s) + 1
                if (count - 1) * s >= size + p:  # a window must start inside the input or its left padding
                    count -= 1
            if count <= 0:
                raise RuntimeError(
                    f"{name}: Given input size: {self.space}. Calculated output size: {count}. Output size is too small"
                )
            self.sizes.append(count)
            self.behind.append(max(p, (count - 1) * s + d * (k - 1) + 1 - size - p))

    def slices(self, x: Tensor, fill: float) -> list[Tensor]:
        pairs = [v for p, b in reversed(list(zip(self.padding, self.behind, strict=False))) for v in (p, b)]
        padded = constant_pad(x, pairs, fill)
        return [padded[place] for place in window_places(self.kernel, self.stride, self.dilation, self.sizes)]


def _max_pool(
    name: str, n: int, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, indices: bool
) -> Any:
    if x.dim() == n + 1:
        result = _max_pool(name, n, x.unsqueeze(0), kernel, stride, padding, dilation, ceil_mode, indices)
        return tuple(r.squeeze(0) for r in result) if indices else result.squeeze(0)
    plan = _Plan(name, n, x, kernel, stride, padding, dilation, ceil_mode)
    views = plan.slices(x, float("-inf"))
    values, which = _C.stack(views, -1).max(-1)
    return (values, _flat_index(plan, which)) if indices else values


def _flat_index(plan: _Plan, which: Tensor) -> Tensor:
    """The winner's place in the window as its place in the flattened input."""
    n = len(plan.kernel)
    flat: Any = None
    for k in range(n):
        inner = 1
        for size in plan.kernel[k + 1 :]:
            inner *= size
        offset = _C.div(which, inner, rounding_mode="floor") % plan.kernel[k]
        shape = [1] * which.dim()
        shape[2 + k] = plan.sizes[k]
        start = _C.arange(plan.sizes[k]).reshape(shape) * plan.stride[k] - plan.padding[k]
        place = start + offset * plan.dilation[k]
        flat = place if flat is None else flat * plan.space[k] + place
    return flat


@checked
def max_pool1d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of (N,C,L)."""
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@checked
def max_pool2d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of (N,C,H,W)."""
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@checked
def max_pool3d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of (N,C,D,H,W)."""
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _window_counts(plan: _Plan, dtype: Any, include_pad: bool) -> Tensor:
    """How many elements each window's mean divides by: those inside the input, or inside its padding."""
    counts = _C.ones([1], dtype=dtype)
    for k, (size, kernel, stride, pad) in enumerate(
        zip(plan.space, plan.kernel, plan.stride, plan.padding, strict=False)
    ):
        row = []
        for i in range(plan.sizes[k]):
            start = i * stride - pad
            end = min(start + kernel, size + pad)
            row.append(float(end - start if include_pad else min(end, size) - max(start, 0)))
        counts = counts.unsqueeze(-1) * _C.tensor(row, dtype=dtype)
    return counts.squeeze(0)


def _avg_pool(
    name: str,
    n: int,
    x: Tensor,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    include_pad: bool,
    divisor: int | None,
) -> Tensor:
    if x.dim() == n + 1:
        args = (kernel, stride, padding, ceil_mode, include_pad, divisor)
        return _avg_pool(name, n, x.unsqueeze(0), *args).squeeze(0)
    plan = _Plan(name, n, x, kernel, stride, padding, 1, ceil_mode)
    views = plan.slices(x, 0.0)
    total = views[0]
    for view in views[1:]:
        total = total + view
    if divisor is not None:
        if divisor == 0:
            raise RuntimeError("divisor must be not zero")
        return total / divisor
    if not any(plan.padding) and not ceil_mode:
        return total / len(views)
    return total / _window_counts(plan, x.dtype, include_pad)


@checked
def avg_pool1d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of (N,C,L)."""
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@checked
def avg_pool2d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of (N,C,H,W)."""
    return _avg_pool(
        "avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@checked
def avg_pool3d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of (N,C,D,H,W)."""
    return _avg_pool(
        "avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _bins(size: int, count: int) -> list[tuple[int, int]]:
    """The window of each of `count` outputs: [floor(i size/count), ceil((i+1) size/count))."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _adaptive_sizes(name: str, n: int, x: Tensor, output: Any) -> list[int]:
    if isinstance(output, int) and output >= 2**63:
        raise ValueError(f"{name}: output_size: Overflow when unpacking long long, found more than 64 bits")
    given = output if isinstance(output, (list, tuple)) else [output] * n
    wanted = iter(ints_of(name, [size for size in given if size is not None]))
    if x.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"{name}(): Expected {n + 1}D or {n + 2}D tensor, but got {list(x.shape)}")
    if len(given) != n:
        raise RuntimeError(f"{name}: output_size has {len(given)} values, expected {n}")
    sizes = [x.size(k - n) if size is None else next(wanted) for k, size in enumerate(given)]
    if min(sizes) < 0:
        raise RuntimeError(f"{name}: output_size is {sizes}, expected no negative size")
    x.new_empty([*x.shape[:-n], *sizes])  # as large as the result: more than memory holds is refused here
    return sizes


def adaptive_avg_pool(n: int, x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Means over bins; one dimension after the other, since the mean of a box is the mean of its means."""
    for k, count in enumerate(sizes):
        dim = x.dim() - n + k
        parts = [x.narrow(dim, a, b - a).mean(dim) for a, b in _bins(x.size(dim), count)]
        x = _C.stack(parts, dim) if parts else x.narrow(dim, 0, 0)
    return x


@checked
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means over equal bins of (N,C,L)."""
    return adaptive_avg_pool(1, input, _adaptive_sizes("adaptive_avg_pool1d", 1, input, output_size))


@checked
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means over equal bins of (N,C,H,W)."""
    return adaptive_avg_pool(2, input, _adaptive_sizes("adaptive_avg_pool2d", 2, input, output_size))


@checked
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Means over equal bins of (N,C,D,H,W)."""
    return adaptive_avg_pool(3, input, _adaptive_sizes("adaptive_avg_pool3d", 3, input, output_size))


def _adaptive_max(name: str, n: int, x: Tensor, output: Any, indices: bool) -> Any:
    sizes = _adaptive_sizes(name, n, x, output)
    space = tuple(x.shape[-n:])
    lead = list(x.shape[:-n])
    if 0 in sizes:
        empty = x.new_empty([*lead, *sizes])
        return (empty, empty.to(_C.int64)) if indices else empty
    values, places = [], []
    for box in product(*(_bins(size, count) for size, count in zip(space, sizes, strict=False))):
        place_of = (..., *(slice(a, b) for a, b in box))
        value, which = x[place_of].reshape([*lead, -1]).max(-1)
        values.append(value)
        place: Any = None
        widths = [b - a for a, b in box]
        for k in range(n):
            inner = 1
            for width in widths[k + 1 :]:
                inner *= width
            at = _C.div(which, inner, rounding_mode="floor") % widths[k] + box[k][0]
            place = at if place is None else place * space[k] + at
        places.append(place)
    result = _C.stack(values, -1).reshape([*lead, *sizes])
    return (result, _C.stack(places, -1).reshape([*lead, *sizes])) if indices else result


@checked
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over equal bins of (N,C,L)."""
    return _adaptive_max("adaptive_max_pool1d", 1, input, output_size, return_indices)


@checked
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over equal bins of (N,C,H,W)."""
    return _adaptive_max("adaptive_max_pool2d", 2, input, output_size, return_indices)


@checked
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over equal bins of (N,C,D,H,W)."""
    return _adaptive_max("adaptive_max_pool3d", 3, input, output_size, return_indices)


def _lp_pool(name: str, n: int, x: Tensor, norm_type: float, kernel: Any, stride: Any, ceil_mode: bool) -> Tensor:
    area = 1
    for k in per_dim(kernel, n, "kernel_size"):
        area *= k
    mean = _avg_pool(name, n, x**norm_type, kernel, stride, 0, ceil_mode, True, None)
    return (mean.sign() * mean.abs().relu() * area) ** (1.0 / norm_type)


@checked
def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(sum of x^p over each window)^(1/p) of (N,C,L)."""
    return _lp_pool("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


@checked
def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(sum of x^p over each window)^(1/p) of (N,C,H,W)."""
    return _lp_pool("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)
