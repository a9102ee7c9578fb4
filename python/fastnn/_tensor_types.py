"""``FloatTensor``, ``LongTensor`` and their kind: constructors of one dtype that ``isinstance`` understands.

They make plain tensors: ``LongTensor([1, 2])`` is ``tensor([1, 2])``, and ``isinstance(t, LongTensor)`` asks for the
dtype. Sizes as separate numbers give undefined values: ``FloatTensor(2, 3)``.
"""

from __future__ import annotations

from typing import Any

from . import _C


class _TensorType(type):
    """The class of these classes: calling one makes a tensor, not an instance."""

    dtype: Any

    def __call__(cls, *args: Any, device: Any = None) -> Any:
        tensor = _C._legacy_tensor(cls.dtype, *args)
        return tensor if device is None else tensor.to(device)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _C.Tensor) and instance.dtype is cls.dtype

    def __repr__(cls) -> str:
        return f"<class 'torch.{cls.__name__}'>"


class FloatTensor(metaclass=_TensorType):
    """Tensors of float32."""

    dtype = _C.float32


class DoubleTensor(metaclass=_TensorType):
    """Tensors of float64."""

    dtype = _C.float64


class LongTensor(metaclass=_TensorType):
    """Tensors of int64."""

    dtype = _C.int64


class IntTensor(metaclass=_TensorType):
    """Tensors of int32."""

    dtype = _C.int32


class ByteTensor(metaclass=_TensorType):
    """Tensors of uint8."""

    dtype = _C.uint8


class BoolTensor(metaclass=_TensorType):
    """Tensors of bool."""

    dtype = _C.bool
