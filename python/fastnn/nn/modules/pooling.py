"""Pooling layers.

Read next: ../_pooling.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _pooling as P
from .module import Module

if TYPE_CHECKING:
    from fastnn import Tensor


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        function = getattr(P, "max_pool" + type(self)._suffix)  # type: ignore[attr-defined]
        return function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window of (N,C,L)."""

    _suffix = "1d"


class MaxPool2d(_MaxPool):
    """The largest element of each window of (N,C,H,W)."""

    _suffix = "2d"


class MaxPool3d(_MaxPool):
    """The largest element of each window of (N,C,D,H,W)."""

    _suffix = "3d"


class AvgPool1d(Module):
    """The mean of each window of (N,C,L)."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        one = [
            v if isinstance(v, tuple) else (v,)
            for v in (kernel_size, kernel_size if stride is None else stride, padding)
        ]
        self.kernel_size, self.stride, self.padding = one
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return P.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        function = getattr(P, "avg_pool" + type(self)._suffix)  # type: ignore[attr-defined]
        return function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """The mean of each window of (N,C,H,W)."""

    _suffix = "2d"


class AvgPool3d(_AvgPool):
    """The mean of each window of (N,C,D,H,W)."""

    _suffix = "3d"


class _AdaptiveAvgPool(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return getattr(P, "adaptive_avg_pool" + type(self)._suffix)(input, self.output_size)  # type: ignore[attr-defined]

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means over equal bins of (N,C,L)."""

    _suffix = "1d"


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means over equal bins of (N,C,H,W)."""

    _suffix = "2d"


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means over equal bins of (N,C,D,H,W)."""

    _suffix = "3d"


class _AdaptiveMaxPool(Module):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        function = getattr(P, "adaptive_max_pool" + type(self)._suffix)  # type: ignore[attr-defined]
        return function(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima over equal bins of (N,C,L)."""

    _suffix = "1d"


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima over equal bins of (N,C,H,W)."""

    _suffix = "2d"


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima over equal bins of (N,C,D,H,W)."""

    _suffix = "3d"


class _LPPool(Module):
    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        function = getattr(P, "lp_pool" + type(self)._suffix)  # type: ignore[attr-defined]
        return function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """The p-norm of each window of (N,C,L)."""

    _suffix = "1d"


class LPPool2d(_LPPool):
    """The p-norm of each window of (N,C,H,W)."""

    _suffix = "2d"
