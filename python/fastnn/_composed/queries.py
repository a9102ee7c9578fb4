"""Questions about tensors and dtypes, and small functions that are another one with some arguments fixed.

Invariant: nothing here computes elements by itself.  Read next: pointwise.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _C

from ._registry import composed, function_only, in_place, method_only
from .shape import sizes_of

if TYPE_CHECKING:
    from fastnn import Tensor, dtype

# ---- questions ----


@function_only
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a float."""
    return input.is_floating_point()


@function_only
def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex; no tensor here is."""
    return input.is_complex()


@function_only
def is_inference(input: Tensor) -> bool:
    """Whether the tensor was made in inference mode."""
    return input.is_inference()


@function_only
def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


@composed
def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return input.dtype.is_signed


@composed
def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero."""
    if input.numel() != 1:
        raise RuntimeError(
            f"is_nonzero: Boolean value of Tensor with {input.numel()} elements is ambiguous, expected one"
        )
    return bool(input)


@composed
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both shapes are equal."""
    return input.shape == other.shape


@composed
def get_device(input: Tensor) -> int:
    """The index of the accelerator; -1 for the CPU."""
    return -1


@method_only
def is_pinned(self: Tensor) -> bool:
    """Whether the memory is pinned for an accelerator."""
    return False


@method_only
def is_shared(self: Tensor) -> bool:
    """Whether other processes see the memory."""
    return False


# ---- dtypes ----


@function_only
def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype that holds both."""
    wider: Any = _C.result_type(_C.empty(0, dtype=type1), _C.empty(0, dtype=type2))
    return wider


@function_only
def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether a result of the first dtype may be stored in the second: floats only in floats, only bools in bools."""
    if from_.is_floating_point and not to.is_floating_point:
        return False
    return to is not _C.bool or from_ is _C.bool


# ---- another function with some arguments fixed ----


@function_only
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; other tensors of fewer dimensions as they are."""
    return input.t()


@function_only
def detach(input: Tensor) -> Tensor:
    """The same values outside the graph."""
    return input.detach()


@composed
def positive(input: Tensor) -> Tensor:
    """The tensor itself."""
    if input.dtype is _C.bool:
        raise RuntimeError("positive: The `+` operator, on a bool tensor is not supported.")
    return input


@in_place
@composed
def clamp_min(input: Tensor, min: Tensor | float) -> Tensor:
    """No element below min."""
    return _C.clamp(input, min=min)


@in_place
@composed
def clamp_max(input: Tensor, max: Tensor | float) -> Tensor:
    """No element above max."""
    return _C.clamp(input, max=max)


@composed
def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger element; a number beats NaN."""
    return _C.where(_C.isnan(input), other, _C.where(_C.isnan(other), input, _C.maximum(input, other)))


@composed
def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller element; a number beats NaN."""
    return _C.where(_C.isnan(input), other, _C.where(_C.isnan(other), input, _C.minimum(input, other)))


@method_only
def half(self: Tensor) -> Tensor:
    """As float16, which fails: fastnn has no tensors of it."""
    return self.to(_C.float16)


@method_only
def bfloat16(self: Tensor) -> Tensor:
    """As bfloat16, which fails: fastnn has no tensors of it."""
    return self.to(_C.bfloat16)


@method_only
def __reversed__(self: Tensor) -> Tensor:
    """The rows from the last to the first; a 0-d tensor as it is."""
    return self.flip(0) if self.dim() else self


@method_only
def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """Summed over the dimensions that broadcasting from `size` would add."""
    if not size:
        raise TypeError("sum_to_size() missing 1 required positional argument: 'size'")
    shape = sizes_of("sum_to_size", size)
    extra = self.dim() - len(shape)
    dims = [d for d in range(self.dim()) if d < extra or (shape[d - extra] == 1 and self.shape[d] != 1)]
    if extra < 0 or any(d not in dims and self.shape[d] != shape[d - extra] for d in range(max(extra, 0), self.dim())):
        raise RuntimeError(f"sum_to_size: size {tuple(shape)} is not expandable to size {tuple(self.shape)}")
    result = self.sum(dims, keepdim=True) if dims else self
    return result.reshape(shape)


@method_only
def fill_diagonal_(self: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """The main diagonal set to a value, in place; wrap starts it again below in tall matrices."""
    if self.dim() < 2:
        raise RuntimeError("fill_diagonal_: dimensions must larger than 1")
    if self.dim() > 2 and len(set(self.shape)) > 1:
        raise RuntimeError("fill_diagonal_: all dimensions of input must be of equal length")
    starts = range(0, self.size(0), self.size(1) + 1) if wrap and self.dim() == 2 else [0]
    for start in starts:
        part = self[start:]
        part.as_strided((min(part.shape),), (sum(part.stride()),)).fill_(fill_value)
    return self
