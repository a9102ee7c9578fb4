"""Pickle streams of .pt files: the writer, which names everything as PyTorch does.

Invariant: a file holds torch's names only, never fastnn's, so PyTorch reads what fastnn writes and the other way round.
Does not: touch files; storages are numbered here, their bytes belong to serialization.py. Read next: _unpickling.py.
"""

from __future__ import annotations

import io
import pickle
import types
from collections import OrderedDict
from typing import Any

import fastnn
from fastnn import _C

# The Python class behind pickle.Pickler: only its dispatch table can be changed.
_PyPickler: Any = pickle._Pickler  # type: ignore[attr-defined]

STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
}
_STORAGE_OF = {dtype: name for name, dtype in STORAGES.items()}


class Global:
    """A name in a pickle that stands for something not importable under it here."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __call__(self, *args: Any) -> Any:
        raise TypeError(f"{self.module}.{self.name} only names a PyTorch function in a file")


class StoredAs:
    """A storage in a pickle: its type's name, its number in the file, its elements."""

    def __init__(self, kind: Global, key: str, numel: int) -> None:
        self.kind = kind
        self.key = key
        self.numel = numel


_TENSOR = Global("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = Global("torch._utils", "_rebuild_parameter")
_PARAMETER_WITH_STATE = Global("torch._utils", "_rebuild_parameter_with_state")
_FROM_TYPE = Global("torch._tensor", "_rebuild_from_type_v2")
KINDS = {name: Global("torch", name) for name in STORAGES}


def dtype_name(dtype: Any) -> str:
    """ "float32" of fastnn.float32."""
    return str(dtype).rpartition(".")[2]


class Writer(_PyPickler):
    """Pickler whose globals carry torch's names; `arrays` collects the storages met, in order.

    The Python pickler and not the C one: only it lets a global be written without importing it.
    """

    dispatch = _PyPickler.dispatch.copy()

    def __init__(self, file: Any, protocol: int) -> None:
        super().__init__(file, protocol)
        self.arrays: list[Any] = []
        self._keys: dict[int, StoredAs] = {}

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, StoredAs):
            return ("storage", obj.kind, obj.key, "cpu", obj.numel)
        return None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, fastnn.Tensor):
            return self._tensor(obj)
        if isinstance(obj, fastnn.Size):
            return fastnn.Size, (tuple(obj),)
        if isinstance(obj, fastnn.device):
            return fastnn.device, ((obj.type,) if obj.index is None else (obj.type, obj.index))
        if isinstance(obj, fastnn.dtype):
            return dtype_name(obj)
        return NotImplemented

    def _tensor(self, t: Any) -> Any:
        from fastnn.nn.parameter import Parameter

        state = dict(t.__dict__) if getattr(t, "__dict__", None) else None
        if isinstance(t, Parameter):
            data = t.detach()
            if state:
                return _PARAMETER_WITH_STATE, (data, t.requires_grad, OrderedDict(), state)
            return _PARAMETER, (data, t.requires_grad, OrderedDict())
        args: tuple[Any, ...] = (
            self._storage(t),
            t.storage_offset(),
            tuple(t.size()),
            tuple(t.stride()),
            t.requires_grad,
            OrderedDict(),
        )
        if type(t) is fastnn.Tensor and not state:
            return _TENSOR, args
        return _FROM_TYPE, (_TENSOR, type(t), args, state)

    def _storage(self, t: Any) -> StoredAs:
        key = _C._storage_key(t)
        stored = self._keys.get(key)
        if stored is None:
            array = _C._storage_numpy(t)  # zero-copy; the list keeps it, and so the key, alive
            stored = StoredAs(KINDS[_STORAGE_OF[dtype_name(t.dtype)]], str(len(self.arrays)), array.size)
            self.arrays.append(array)
            self._keys[key] = stored
        return stored

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """A class or function by name: fastnn's modules are written as torch's of the same path."""
        if isinstance(obj, Global):
            module, name = obj.module, obj.name
        elif isinstance(obj, fastnn.dtype):
            module = "torch"
        elif obj is fastnn.Size or obj is fastnn.device or obj is fastnn.Tensor:
            module, name = "torch", obj.__name__
        else:
            module = getattr(obj, "__module__", None) or ""
            if module != "fastnn" and not module.startswith("fastnn."):
                super().save_global(obj, name)
                return
            module, name = "torch" + module[len("fastnn") :], name or obj.__qualname__
        self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        self.memoize(obj)

    def save_type(self, obj: Any) -> None:
        """Classes; None's, NotImplemented's and Ellipsis's types have a way of their own."""
        if obj in (type(None), type(NotImplemented), type(...)):
            super().save_type(obj)
        else:
            self.save_global(obj)

    dispatch[Global] = save_global
    dispatch[types.FunctionType] = save_global
    dispatch[type] = save_type


def dumps(obj: Any, protocol: int) -> tuple[bytes, list[Any]]:
    """The pickle of `obj` and the arrays of its storages."""
    out = io.BytesIO()
    writer = Writer(out, protocol)
    writer.dump(obj)
    return out.getvalue(), writer.arrays
