"""Initialisers: they fill a tensor in place, outside autograd, and return it.

Invariant: bounds are computed in Python doubles in a fixed order of operations, so the draws have torch's bits.
Sources: https://docs.pytorch.org/docs/stable/nn.init.html and the papers named at each function.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import fastnn
from fastnn import _C

if TYPE_CHECKING:
    from fastnn import Generator, Tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw from U(a, b)."""
    with fastnn.no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw from N(mean, std^2)."""
    with fastnn.no_grad():
        return tensor.normal_(mean, std, generator=generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with a value."""
    with fastnn.no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    with fastnn.no_grad():
        return tensor.zero_()


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    with fastnn.no_grad():
        return tensor.copy_(_C.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution weight that passes its input channels on."""
    ndim = tensor.dim()
    if ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    out, channels = tensor.size(0), tensor.size(1)
    if out % groups:
        raise ValueError("dim 0 must be divisible by groups")
    each = out // groups
    centre = tuple(size // 2 for size in tensor.shape[2:])
    with fastnn.no_grad():
        tensor.zero_()
        for group in range(groups):
            for d in range(min(each, channels)):
                place = (group * each + d, d, *centre)
                tensor[place] = 1
    return tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The gain torch recommends for a nonlinearity."""
    if nonlinearity in (
        "linear",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "sigmoid",
    ):
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if param is None:
            slope = 0.01
        elif isinstance(param, (int, float)) and not isinstance(param, bool):
            slope = param
        else:
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    if tensor.dim() < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = 1
    for size in tensor.shape[2:]:
        field *= size
    return tensor.size(1) * field, tensor.size(0) * field


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return fan_in if mode == "fan_in" else fan_out


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)).  Source: Glorot and Bengio, 2010."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    std = gain * math.sqrt(2.0 / float(fan_in + fan_out))
    a = math.sqrt(3.0) * std
    return uniform_(tensor, -a, a, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, std^2), std = gain sqrt(2 / (fan_in + fan_out)).  Source: Glorot and Bengio, 2010."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / float(fan_in + fan_out)), generator)


def _no_elements(tensor: Tensor) -> bool:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """U(-bound, bound), bound = gain sqrt(3 / fan).  Source: https://arxiv.org/abs/1502.01852"""
    if _no_elements(tensor):
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    std = calculate_gain(nonlinearity, a) / math.sqrt(fan)
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, std^2), std = gain / sqrt(fan).  Source: https://arxiv.org/abs/1502.01852"""
    if _no_elements(tensor):
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    return normal_(tensor, 0, calculate_gain(nonlinearity, a) / math.sqrt(fan), generator)


def _normal_cdf(x: float) -> float:
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """N(mean, std^2) restricted to [a, b], by rejection.

    Each round draws the whole tensor anew and fills only what was rejected before.  Where the interval holds little of
    the distribution, the proposal is uniform on [a, b] instead.
    """
    if std < 0 or a > b:
        raise ValueError(f"trunc_normal_: std is {std} and [a, b] is [{a}, {b}], expected std >= 0 and a <= b")
    if (mean < a - 2 * std) or (mean > b + 2 * std):
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    with fastnn.no_grad():
        low, high = _C.tensor([a, b], dtype=tensor.dtype).tolist()  # the bounds as the tensor can hold them
        if std > 0 and _normal_cdf((b - mean) / std) - _normal_cdf((a - mean) / std) <= 0.3:
            return _truncated_by_uniform(tensor, mean, std, a, b, generator)
        tensor.normal_(mean, std, generator=generator)
        while True:
            bad = (tensor < low) | (tensor > high)
            if not bool(bad.any()):
                return tensor
            fresh = _C.empty_like(tensor).normal_(mean, std, generator=generator)
            tensor.copy_(_C.where(bad, fresh, tensor))


def _truncated_by_uniform(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any) -> Tensor:
    mode = min(max(mean, a), b)
    peak = -0.5 * ((mode - mean) / std) ** 2
    open_ = _C.ones(tensor.shape, dtype=_C.bool)
    while bool(open_.any()):
        x = _C.empty_like(tensor).uniform_(a, b, generator=generator)
        t = _C.empty_like(tensor).uniform_(generator=generator).log_()
        take = open_ & (t <= ((x - mean) / std) ** 2 * -0.5 - peak)
        tensor.copy_(_C.where(take, x, tensor))
        open_ = open_ & ~take
    return tensor


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A (semi-)orthogonal matrix of (rows, everything else).  Source: https://arxiv.org/abs/1312.6120"""
    if tensor.dim() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.size(0)
    cols = tensor.numel() // rows
    with fastnn.no_grad():
        flat = _C.empty([rows, cols], dtype=tensor.dtype).normal_(0, 1, generator=generator)
        if rows < cols:
            flat = flat.t()
        from fastnn.linalg import qr

        q, r = qr(flat.contiguous())
        q = q * r.diagonal().sign()
        if rows < cols:
            q = q.t()
        return tensor.copy_(q.reshape(tensor.shape) * gain)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """N(0, std^2) with a share of zeros in every column."""
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, cols = tensor.shape
    zeros = min(math.ceil(sparsity * rows), rows)
    with fastnn.no_grad():
        tensor.normal_(0, std, generator=generator)
        for column in range(cols):
            tensor[_C.randperm(rows)[:zeros], column] = 0
    return tensor


def _deprecated(name: str, new: Any) -> Any:
    def old(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`.", FutureWarning, stacklevel=2)
        return new(*args, **kwargs)

    old.__name__ = name
    old.__doc__ = f"The old name of {name}_."
    return old


uniform = _deprecated("uniform", uniform_)
normal = _deprecated("normal", normal_)
constant = _deprecated("constant", constant_)
eye = _deprecated("eye", eye_)
xavier_uniform = _deprecated("xavier_uniform", xavier_uniform_)
xavier_normal = _deprecated("xavier_normal", xavier_normal_)
kaiming_uniform = _deprecated("kaiming_uniform", kaiming_uniform_)
kaiming_normal = _deprecated("kaiming_normal", kaiming_normal_)
orthogonal = _deprecated("orthogonal", orthogonal_)
sparse = _deprecated("sparse", sparse_)
