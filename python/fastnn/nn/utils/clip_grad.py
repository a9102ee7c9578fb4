"""Limiting gradients by their common norm or by value.

Invariant: gradients change in place, outside autograd; parameters without a gradient are passed over.
Read next: ../../optim.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import fastnn
from fastnn import _C

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastnn import Tensor


def _gradients(parameters: Any) -> list[Any]:
    parameters = [parameters] if isinstance(parameters, _C.Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


def get_total_norm(
    tensors: Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The norm of all tensors taken as one vector: the norm of their norms."""
    tensors = [tensors] if isinstance(tensors, _C.Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return _C.tensor(0.0)
    if norm_type == 2.0 and all(t.is_floating_point() for t in tensors):
        total = _C._total_norm(tensors)
    else:
        total = _general_norm(tensors, norm_type)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


def _general_norm(tensors: list[Tensor], norm_type: float) -> Tensor:
    with fastnn.no_grad():
        norms = _C.stack([t.detach().norm(norm_type) for t in tensors])
        return norms.norm(norm_type)


def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    """Scale gradients by min(1, max_norm / (total_norm + 1e-6))."""
    with fastnn.no_grad():
        factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        if factor.item() == 1.0:
            return
        for grad in _gradients(parameters):
            grad.mul_(factor)


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients so that their common norm is at most max_norm; returns the norm they had."""
    if not isinstance(parameters, _C.Tensor):
        parameters = list(parameters)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(parameters, max_norm, total, foreach)
    return total


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Limit every gradient element to [-clip_value, clip_value]."""
    clip_value = float(clip_value)
    with fastnn.no_grad():
        for grad in _gradients(parameters):
            grad.clamp_(min=-clip_value, max=clip_value)


def clip_grad_norm(parameters: Any, max_norm: float, norm_type: float = 2.0) -> Tensor:
    """The old name of clip_grad_norm_."""
    import warnings

    warnings.warn(
        "torch.nn.utils.clip_grad_norm is now deprecated in favor of torch.nn.utils.clip_grad_norm_.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type)
