"""The loss functions of torch.nn.functional.

cross_entropy and nll_loss are primitives; the others are short compositions.  `reduction` is "mean", "sum" or "none".
Read next: functional.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnn import _C
from fastnn._arguments import checked
from fastnn._composed._registry import recorded_as

from ._activations import log_softmax, logsigmoid

if TYPE_CHECKING:
    from fastnn import Tensor

_REDUCTIONS = ("mean", "sum", "none")


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that torch's old pair of flags means."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "mean" if size_average is None or size_average else "sum"


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """Apply a reduction to element losses."""
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise ValueError(f"{reduction} is not a valid value for reduction")


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input)[target]: logits (N,C,...) or (C) against class ids, or against class probabilities."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    if isinstance(target, _C.Tensor) and target.is_floating_point():
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    return _C.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    if input.shape != target.shape:
        raise RuntimeError(
            f"cross_entropy: target has shape {tuple(target.shape)}, expected {tuple(input.shape)}, the shape "
            "of input, "
            "as it holds class probabilities"
        )
    if reduction not in _REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    dim = 0 if input.dim() == 1 else 1
    classes = input.size(dim)
    if label_smoothing > 0.0:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    logp = log_softmax(input, dim)
    if weight is not None:
        shape = [1] * input.dim()
        shape[dim] = classes
        logp = logp * weight.reshape(shape)
    loss = -(logp * target).sum(dim)
    if reduction == "none":
        return loss
    total = loss.sum()
    return total / (input.numel() // classes) if reduction == "mean" else total


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input[target]: log-probabilities (N,C,...) or (C) against class ids."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    return _C.nll_loss(input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


def _difference(name: str, input: Tensor, target: Tensor) -> Tensor:
    if input.shape != target.shape:
        import warnings

        warnings.warn(
            f"{name}: target has size {tuple(target.shape)}, different from input's {tuple(input.shape)}: they are "
            "broadcast, which is seldom meant.",
            stacklevel=3,
        )
    return input - target


def _weighted(loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    if weight is None:
        return reduced(loss, reduction)
    loss = loss * weight
    if reduction == "mean":
        return loss.sum() / weight.expand(loss.shape).sum()
    return reduced(loss, reduction)


@recorded_as("MseLossBackward0")
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)^2."""
    difference = _difference("mse_loss", input, target)
    return _weighted(difference * difference, weight, legacy_reduction(size_average, reduce, reduction))


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|."""
    distance = _difference("l1_loss", input, target).abs()
    return _weighted(distance, weight, legacy_reduction(size_average, reduce, reduction))


@checked
@recorded_as("SmoothL1LossBackward0")
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """0.5 d^2 / beta where |d| < beta, else |d| - beta/2."""
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    reduction = legacy_reduction(size_average, reduce, reduction)
    difference = _difference("smooth_l1_loss", input, target)
    distance = difference.abs()
    if beta == 0:
        return reduced(distance, reduction)
    return reduced(_C.where(distance < beta, difference * difference * (0.5 / beta), distance - 0.5 * beta), reduction)


@checked
@recorded_as("HuberLossBackward0")
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """0.5 d^2 where |d| <= delta, else delta (|d| - delta/2)."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    difference = _difference("huber_loss", input, target)
    distance = difference.abs()
    loss = _C.where(distance <= delta, difference * difference * 0.5, (distance - 0.5 * delta) * delta)
    return _weighted(loss, weight, reduction)


_bce: Any = None


def _bce_function() -> Any:
    """Element losses of binary_cross_entropy; a node of its own because torch limits its gradient at 0 and 1."""
    global _bce
    if _bce is None:
        from fastnn.autograd import Function

        class BinaryCrossEntropy(Function):
            @staticmethod
            def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
                ctx.save_for_backward(input, target)
                return (target - 1) * _C.log1p(-input).clamp(min=-100.0) - target * input.log().clamp(min=-100.0)

            @staticmethod
            def backward(ctx: Any, grad: Tensor) -> Any:
                input, target = ctx.saved_tensors
                dx = grad * (input - target) / ((1 - input) * input).clamp(min=1e-12)
                dt = grad * (_C.log1p(-input) - input.log()) if ctx.needs_input_grad[1] else None
                return dx, dt

        _bce = BinaryCrossEntropy
    return _bce


@checked
@recorded_as("BinaryCrossEntropyBackward0")
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log x + (1-t) log(1-x)) of probabilities x; the logarithms are limited to -100."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if input.shape != target.shape:
        raise ValueError(
            f"binary_cross_entropy: target has shape {tuple(target.shape)}, expected {tuple(input.shape)}, "
            "the shape of input"
        )
    if not bool(((input.detach() >= 0) & (input.detach() <= 1)).all()):
        raise RuntimeError("all elements of input should be between 0 and 1")
    loss = _bce_function().apply(input, target)
    return reduced(loss if weight is None else loss * weight, reduction)


@checked
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy(sigmoid(input), target), without overflow."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if input.shape != target.shape:
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    logp = logsigmoid(input)
    if pos_weight is not None:
        logp = logp * (target * (pos_weight - 1) + 1)
    loss = (1 - target) * input - logp
    return reduced(loss if weight is None else loss * weight, reduction)


def _xlogx(x: Tensor) -> Tensor:
    """x log x with 0 log 0 = 0."""
    return _C.where(x == 0, _C.zeros_like(x), x * x.masked_fill(x == 0, 1.0).log())


@checked
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target * (log target - input) of log-probabilities input; "batchmean" divides the sum by the batch size."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    loss = target.exp() * (target - input) if log_target else _xlogx(target) - target * input
    if reduction == "batchmean":
        total = loss.sum()
        return total / input.size(0) if input.dim() > 0 else total
    return reduced(loss, reduction)


@checked
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(x) - t x, or x - t log(x + eps); full adds Stirling's approximation of log t!."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + (target * (2 * math.pi)).log() * 0.5
        loss = loss + stirling.masked_fill(target <= 1, 0.0)
    return reduced(loss, reduction)


@checked
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """0.5 (log var + (x - t)^2 / var) with var at least eps."""
    if not isinstance(var, _C.Tensor):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = _C.full_like(input, float(var))
    if var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = var.unsqueeze(-1)
        elif not (var.shape[:-1] == input.shape[:-1] and var.size(-1) == 1):
            raise ValueError("var is of incorrect size")
    if reduction not in _REDUCTIONS:
        raise ValueError(reduction + " is not valid")
    if bool((var.detach() < 0).any()):
        raise ValueError("var has negative entry/entries")
    # torch limits the value only: the gradient passes as if there were no limit.
    var = var + (var.detach().clamp(min=eps) - var.detach())
    difference = input - target
    loss = (var.log() + difference * difference / var) * 0.5
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)
