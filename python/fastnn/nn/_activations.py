"""Functions of torch.nn.functional that act element by element or along one dimension, and dropout.

Each is one primitive where fastnn._C has it, else a composition whose gradient follows from its parts; at kinks the
parts are chosen so that the gradient is torch's.  In-place forms compute from a copy, so saved values stay valid.
Read next: functional.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnn import _C
from fastnn._arguments import checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastnn import Tensor

tanh = _C.tanh
sigmoid = _C.sigmoid

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def in_place(input: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Overwrite input with function(input), differentiably."""
    return input.copy_(function(input.clone()))


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return input.relu_() if inplace else _C.relu(input)


@checked
def relu_(input: Tensor) -> Tensor:
    """max(x, 0), in place."""
    return input.relu_()


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """x * Phi(x), exactly or with approximate="tanh".  Source: https://arxiv.org/abs/1606.08415"""
    return _C.gelu(input, approximate=approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    return in_place(input, _C.silu) if inplace else _C.silu(input)


@checked
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta*x)) / beta; x itself where beta*x > threshold."""
    if beta == 1.0 and threshold == 20.0 or not input.is_floating_point():  # (integers are refused there)
        return _C._softplus(input)
    scaled = input * beta
    return _C.where(scaled > threshold, input, _C.log1p(_C.exp(_C.clamp(scaled, max=threshold))) / beta)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope * x."""
    if inplace:
        return in_place(input, lambda x: _C.leaky_relu(x, negative_slope))
    return _C.leaky_relu(input, negative_slope)


@checked
def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """leaky_relu, in place."""
    return leaky_relu(input, negative_slope, True)


@checked
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    return in_place(input, lambda x: _C.elu(x, alpha)) if inplace else _C.elu(input, alpha)


@checked
def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """elu, in place."""
    return elu(input, alpha, True)


@checked
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """scale * elu(x, alpha) with the self-normalising constants.  Source: https://arxiv.org/abs/1706.02515"""
    if inplace:
        return in_place(input, selu)
    return _C.elu(input, _SELU_ALPHA) * _SELU_SCALE


@checked
def selu_(input: Tensor) -> Tensor:
    """selu, in place."""
    return selu(input, True)


@checked
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha * (exp(x/alpha) - 1)."""
    if inplace:
        return in_place(input, lambda x: celu(x, alpha))
    positive = input > 0
    below = input.masked_fill(positive, 0.0)  # keeps exp() finite where its result is not used
    return _C.where(positive, input, _C.expm1(below / alpha) * alpha)


@checked
def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """celu, in place."""
    return celu(input, alpha, True)


@checked
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x limited to [min_val, max_val]; the gradient is zero at the limits."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val is {min_val}, expected at most max_val {max_val}")
    if inplace:
        return in_place(input, lambda x: hardtanh(x, min_val, max_val))
    return input.masked_fill(input <= min_val, min_val).masked_fill(input >= max_val, max_val)


@checked
def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """hardtanh, in place."""
    return hardtanh(input, min_val, max_val, True)


@checked
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


@checked
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
    return in_place(input, hardsigmoid) if inplace else hardtanh(input + 3.0, 0.0, 6.0) / 6.0


@checked
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * relu6(x + 3) / 6."""
    return in_place(input, hardswish) if inplace else input * hardtanh(input + 3.0, 0.0, 6.0) / 6.0


@checked
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x))."""
    return in_place(input, mish) if inplace else input * _C.tanh(_C._softplus(input))


@checked
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value."""
    if inplace:
        return in_place(input, lambda x: x.masked_fill(x <= threshold, value))
    return input.masked_fill(input <= threshold, value)


@checked
def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """threshold, in place."""
    return in_place(input, lambda x: x.masked_fill(x <= threshold, value))


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)), without overflow: min(x, 0) - log(1 + exp(-|x|))."""
    return _C._log_sigmoid(input)


@checked
def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (input.abs() + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - _C.tanh(input)


@checked
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards zero by lambd, zero where |x| <= lambd."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    moved = _C.where(input > 0, input - lambd, input + lambd)
    return moved.masked_fill(input.abs() <= lambd, 0.0)


@checked
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else zero."""
    return input.masked_fill(input.abs() <= lambd, 0.0)


@checked
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight * x; weight holds one value, or one a channel (dim 1)."""
    if weight.numel() != 1:
        channels = input.size(1) if input.dim() > 1 else 1
        if input.dim() == 0 or weight.numel() != channels:
            raise RuntimeError(
                f"prelu: weight has {weight.numel()} elements, expected 1 or {channels}, the channels of input"
            )
        weight = weight.reshape([-1 if d == 1 else 1 for d in range(max(input.dim(), 2))][: input.dim()])
    elif input.dim() == 0:
        weight = weight.reshape([])
    return _C.where(input > 0, input, weight * input)


@checked
def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """leaky_relu whose slope is drawn for each negative element in training, and the middle of the range otherwise."""
    if lower > upper:
        raise RuntimeError(f"rrelu: lower is {lower}, expected at most upper {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    if inplace:
        return in_place(input, lambda x: rrelu(x, lower, upper, True))
    negative = input.detach() <= 0
    slopes = _C.ones_like(input, dtype=input.dtype).detach()
    draws = _C.empty(int(negative.sum().item()), dtype=_C.float64).uniform_(lower, upper)
    slopes[negative] = draws.to(input.dtype)
    return input * slopes


@checked
def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """rrelu, in place."""
    return rrelu(input, lower, upper, training, True)


@checked
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """First half along dim times the sigmoid of the second half."""
    if input.dim() == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    size = input.size(dim)
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim % input.dim()} is size {size}")
    first, second = input.split(size // 2, dim)
    return first * _C.sigmoid(second)


def _implicit_dim(name: str, ndim: int) -> int:
    import warnings

    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=3,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along dim."""
    if dim is None:
        dim = _implicit_dim("softmax", input.dim())
    return _C.softmax(input, dim) if dtype is None else _C.softmax(input.to(dtype), dim)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """softmax(-x)."""
    if dim is None:
        dim = _implicit_dim("softmin", input.dim())
    return softmax(-input, dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along dim."""
    if dim is None:
        dim = _implicit_dim("log_softmax", input.dim())
    return _C.log_softmax(input, dim) if dtype is None else _C.log_softmax(input.to(dtype), dim)


@checked
def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """softmax((logits + Gumbel noise) / tau); hard=True gives one-hot values with the soft gradient."""
    noise = -_C.empty(logits.shape, dtype=logits.dtype).exponential_().log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    return _C.zeros_like(soft).detach().scatter_(dim, index, 1.0) - soft.detach() + soft


def _check_p(p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability p and scale the others by 1/(1-p); identity when not training."""
    if p < 0.0 or p > 1.0:
        _check_p(p)
    if inplace and training and p > 0:
        return in_place(input, lambda x: _C.dropout(x, p, True))
    return _C.dropout(input, p, training)


def _channel_noise(input: Tensor, p: float) -> Tensor:
    """0 or 1/(1-p) for each (sample, channel)."""
    noise = _C.empty(list(input.shape[:2]) + [1] * (input.dim() - 2), dtype=input.dtype)
    return noise.bernoulli_(1 - p).div_(1 - p)


def _channel_dropout(
    name: str, input: Tensor, p: float, training: bool, inplace: bool, unbatched: int | None
) -> Tensor:
    _check_p(p)
    if not training or p == 0 or input.numel() == 0:
        return input
    if input.dim() < 2:
        raise RuntimeError(f"{name}: input has {input.dim()} dimensions, expected at least 2")
    if inplace:
        return in_place(input, lambda x: _channel_dropout(name, x, p, True, False, unbatched))
    if p == 1:
        return input * 0.0
    if input.dim() == unbatched:
        return (input.unsqueeze(0) * _channel_noise(input.unsqueeze(0), p)).squeeze(0)
    return input * _channel_noise(input, p)


@checked
def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of (N,C,L) or (C,L)."""
    if input.dim() not in (2, 3):
        raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input.")
    return _channel_dropout("dropout1d", input, p, training, inplace, 2)


@checked
def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of (N,C,H,W)."""
    return _channel_dropout("dropout2d", input, p, training, inplace, None)


@checked
def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of (N,C,D,H,W) or (C,D,H,W)."""
    return _channel_dropout("dropout3d", input, p, training, inplace, 4)


def _alpha(input: Tensor, keep: Tensor, p: float) -> Tensor:
    alpha = 1.7580993408473766
    a = 1.0 / math.sqrt((alpha * alpha * p + 1) * (1 - p))
    shift = keep.add(-1).mul_(alpha * a).add_(alpha * a * p)
    return input * keep.mul_(a) + shift


@checked
def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean and variance of SELU activations.  Source: https://arxiv.org/abs/1706.02515"""
    _check_p(p)
    if not training or p == 0 or input.numel() == 0:
        return input
    if inplace:
        return in_place(input, lambda x: alpha_dropout(x, p, True))
    if p == 1:
        return input * 0.0
    return _alpha(input, _C.empty_like(input).bernoulli_(1 - p), p)


@checked
def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """alpha_dropout of whole channels."""
    _check_p(p)
    if not training or p == 0 or input.numel() == 0:
        return input
    if input.dim() < 2:
        raise RuntimeError(f"feature_alpha_dropout: input has {input.dim()} dimensions, expected at least 2")
    if inplace:
        return in_place(input, lambda x: feature_alpha_dropout(x, p, True))
    if p == 1:
        return input * 0.0
    keep = _C.empty(list(input.shape[:2]) + [1] * (input.dim() - 2), dtype=input.dtype).bernoulli_(1 - p)
    return _alpha(input, keep, p)
