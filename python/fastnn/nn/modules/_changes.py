"""The half of Module that changes a whole tree at once: apply, train, to, zero_grad and their kin.

Invariant: parameters keep their identity, so optimizers stay valid; children come before their parent.
Read next: module.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fastnn
from fastnn import _C

from ._describe import typename

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..parameter import Parameter


def _parse_to(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """The device and dtype meant by the arguments of to()."""
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    tensor = kwargs.pop("tensor", None)
    for name in ("non_blocking", "copy", "memory_format"):
        kwargs.pop(name, None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    for value in args:
        if isinstance(value, _C.Tensor):
            tensor = value
        elif isinstance(value, fastnn.dtype):
            dtype = value
        elif isinstance(value, bool):
            continue  # non_blocking, copy
        elif isinstance(value, (str, int, fastnn.device)):
            device = value
        elif value is not None:
            raise TypeError(
                f"to() received an invalid argument of type {typename(value)}: expected a device, dtype or Tensor"
            )
    if tensor is not None:
        device, dtype = tensor.device, tensor.dtype
    return device, dtype


class ChangeMixin:
    """What is done to all parameters, buffers or modules below."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Any]
    if TYPE_CHECKING:
        children: Callable[[], Iterator[Any]]
        parameters: Callable[[], Iterator[Parameter]]

    def apply(self, fn: Callable[[Any], Any]) -> Any:
        """Call fn on every module, children first."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Any:
        """Switch this module and all below it to training (or evaluation) mode."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Any:
        """Switch to evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Set requires_grad of every parameter."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop every parameter's gradient, or zero it in place."""
        if set_to_none:
            _C._drop_grads(tuple(self.parameters()))
            return
        for param in self.parameters():
            grad = param.grad
            if grad is not None:
                if grad.grad_fn is not None:
                    grad.detach_()
                else:
                    grad.requires_grad_(False)
                grad.zero_()

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Any:
        """Replace every tensor by fn(tensor); parameters keep their identity, so optimizers stay valid."""
        if recurse:
            for child in self.children():
                child._apply(fn)
        with fastnn.no_grad():
            for param in self._parameters.values():
                if param is not None:
                    param.data = fn(param.data)
                    grad = param.grad
                    if grad is not None:
                        # A gradient has its parameter's dtype: the new one is set only after the data changed.
                        param.grad = None
                        param.grad = fn(grad.data).requires_grad_(grad.requires_grad)
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """to(device), to(dtype), to(device, dtype), to(tensor): only floating-point tensors change their dtype."""
        device, dtype = _parse_to(*args, **kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )

        def convert(tensor: Any) -> Any:
            if device is not None:
                tensor = tensor.to(device)
            return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor

        return self._apply(convert)

    def float(self) -> Any:
        """All floating-point tensors to float32."""
        return self._apply(lambda t: t.float() if t.is_floating_point() else t)

    def double(self) -> Any:
        """All floating-point tensors to float64."""
        return self._apply(lambda t: t.double() if t.is_floating_point() else t)

    def half(self) -> Any:
        """All floating-point tensors to float16."""
        return self._apply(lambda t: t.half() if t.is_floating_point() else t)

    def bfloat16(self) -> Any:
        """All floating-point tensors to bfloat16."""
        return self._apply(lambda t: t.bfloat16() if t.is_floating_point() else t)

    def type(self, dst_type: Any) -> Any:
        """All tensors to a type."""
        return self._apply(lambda t: t.type(dst_type))

    def cpu(self) -> Any:
        """All tensors to the CPU, where they are."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device: Any = None) -> Any:
        """Raises: there is no CUDA here."""
        return self._apply(lambda t: t.cuda(device))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Any:
        """All tensors to fresh ones of the same shape, their values undefined."""
        return self._apply(lambda t: _C.empty_like(t, device=device), recurse=recurse)

    def share_memory(self) -> Any:
        """All tensors to shared memory."""
        return self._apply(lambda t: t.share_memory_())

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Accepted and without effect: calls run as they are."""
