"""Parameter and Buffer: tensors that a Module registers when they are assigned to it.

Invariant: a Parameter is a Tensor in every respect but its type; results of operations on it are plain Tensors.
Read next: modules/module.py.
"""

from __future__ import annotations

from typing import Any

from fastnn import _C

_Tensor: Any = _C.Tensor


class _ParameterMeta(type(_Tensor)):  # type: ignore[misc]
    """Lets a custom tensor that was marked by `_is_param` count as a Parameter."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        return cls is Parameter and isinstance(instance, _Tensor) and getattr(instance, "_is_param", False)


class Parameter(_Tensor, metaclass=_ParameterMeta):
    """A tensor that is a module's own: `parameters()` finds it and optimizers change it.

    data: the tensor to take the memory of (an empty one if None); requires_grad: whether autograd follows it.
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        if data is None:
            data = _C.empty(0)
        elif not isinstance(data, _Tensor):
            raise TypeError(f"Parameter: data is {type(data).__name__}, expected a Tensor")
        return _Tensor._make_subclass(cls, data, requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        known = memo.get(id(self))
        if known is not None:
            return known
        result = type(self)(self.data.clone(), self.requires_grad)
        memo[id(self)] = result
        return result

    def __repr__(self) -> str:
        return "Parameter containing:\n" + repr(self.data.requires_grad_(self.requires_grad))

    def __reduce_ex__(self, proto: Any) -> Any:
        state = self.__dict__ or None
        return _rebuild_parameter, (self.data, self.requires_grad, None) if state is None else (
            self.data,
            self.requires_grad,
            dict(state),
        )


_C._set_parameter_type(Parameter)


def _rebuild_parameter(data: Any, requires_grad: bool, state: dict[str, Any] | None = None) -> Parameter:
    """Make a Parameter again from what a pickle holds (backward hooks are not kept)."""
    param = Parameter(data, requires_grad)
    if state:
        param.__dict__.update(state)
    return param


class _BufferMeta(type(_Tensor)):  # type: ignore[misc]
    def __instancecheck__(cls, instance: Any) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        return cls is Buffer and isinstance(instance, _Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(_Tensor, metaclass=_BufferMeta):
    """A tensor that a Module registers as a buffer when it is assigned; persistent=False keeps it out of state_dict."""

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = _C.empty(0)
        buffer = data.detach().requires_grad_(data.requires_grad)
        buffer.persistent = persistent
        buffer._is_buffer = True
        return buffer


class UninitializedTensorMixin:
    """Marks tensors without a shape yet.  Lazy modules are not offered, so nothing is an instance of it."""


def is_lazy(param: Any) -> bool:
    """Whether the parameter still waits for its shape."""
    return isinstance(param, UninitializedTensorMixin)
