"""Automatic differentiation: backward, grad, Function, and the modes that switch recording.

The tape itself is C (csrc/graph). Read next: grad_mode.py, function.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn import _C

from . import function, grad_mode
from .function import Function
from .grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = [
    "Function",
    "Variable",
    "backward",
    "enable_grad",
    "function",
    "grad",
    "grad_mode",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
]


def _as_tuple(tensors: Any) -> tuple[Any, ...]:
    return (tensors,) if isinstance(tensors, _C.Tensor) else tuple(tensors)


def _no_second_order(what: str, create_graph: bool) -> None:
    if create_graph:
        raise NotImplementedError(f"{what}: create_graph=True (gradients of gradients) is not available")


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradients of the sum of `tensors` to the ``.grad`` of the leaves they came from.

    `grad_tensors`: one gradient per tensor, needed where a tensor has more than one element. `inputs`: only these
    receive gradients. RuntimeError if a tensor has no graph or its graph was freed.
    """
    _no_second_order("backward", create_graph)
    roots = _as_tuple(tensors)
    seeds = None if grad_tensors is None else _as_tuple(grad_tensors)
    wanted = None if inputs is None else _as_tuple(inputs)
    _C._run_backward(roots, seeds, bool(retain_graph), wanted, True, True)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of the sum of `outputs` with respect to `inputs`; ``.grad`` stays as it is.

    RuntimeError for an input that the outputs do not depend on, unless `allow_unused` (its gradient is None) or
    `materialize_grads` (its gradient is zero).
    """
    _no_second_order("grad", create_graph)
    if is_grads_batched:
        raise NotImplementedError("grad: is_grads_batched=True is not available")
    wanted = _as_tuple(inputs)
    seeds: Sequence[Any] | None = None if grad_outputs is None else _as_tuple(grad_outputs)
    unused = bool(allow_unused) or materialize_grads
    found = _C._run_backward(_as_tuple(outputs), seeds, bool(retain_graph), wanted, False, unused)
    if not materialize_grads:
        return tuple(found)
    return tuple(_C.zeros_like(x) if g is None else g for g, x in zip(found, wanted, strict=True))


def Variable(data: Any, requires_grad: bool = False, volatile: bool | None = None) -> Any:  # noqa: N802  (torch's name)
    """`data` itself as a tensor to differentiate: kept for scripts that predate tensors with ``requires_grad``."""
    made = data.detach()
    if requires_grad:
        made.requires_grad_()
    return made
