"""Pickle streams of .pt files: a writer that names everything as PyTorch does, and two readers.

Invariant: a file holds torch's names only, never fastnn's, so PyTorch reads what fastnn writes and the other way round.
The restricted reader calls nothing but the functions of its table and sets attributes only on instances of types that
the table or the user allows.
Does not: touch files; storages are numbered here, their bytes belong to serialization.py. Read next: serialization.py.
"""

from __future__ import annotations

import _codecs
import importlib
import io
import pickle
import types
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import fastnn
from fastnn import _C

# The Python classes behind pickle.Pickler and Unpickler: only their dispatch tables can be changed.
_PyPickler: Any = pickle._Pickler  # type: ignore[attr-defined]
_PyUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]

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
_KINDS = {name: Global("torch", name) for name in STORAGES}


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
            stored = StoredAs(_KINDS[_STORAGE_OF[dtype_name(t.dtype)]], str(len(self.arrays)), array.size)
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


def rebuild_tensor(
    base: Any, offset: int, size: Any, stride: Any, requires_grad: bool = False, hooks: Any = None, metadata: Any = None
) -> Any:
    """A tensor over a loaded storage (`base` is the 1-D tensor of all of it)."""
    size, stride = tuple(size), tuple(stride)
    reach = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else offset - 1
    if min((offset, *size, *stride)) < 0 or reach >= base.numel():
        raise RuntimeError(
            f"load: tensor of size {size}, stride {stride}, offset {offset} exceeds its storage of {base.numel()} "
            "elements"
        )
    return base.as_strided(size, stride, offset).data.requires_grad_(requires_grad)


def rebuild_parameter(data: Any, requires_grad: bool, hooks: Any = None, state: Any = None) -> Any:
    """A Parameter over a loaded tensor, with the attributes it had."""
    from fastnn.nn.parameter import Parameter

    p = Parameter(data, requires_grad)
    return _with_state(p, state)


def rebuild_from_type(function: Callable[..., Any], kind: type, args: tuple[Any, ...], state: Any) -> Any:
    """A tensor of a subclass, or one with attributes."""
    t = function(*args)
    if type(t) is not kind:
        t = t.as_subclass(kind)
    return _with_state(t, state)


def _with_state(t: Any, state: Any) -> Any:
    if isinstance(state, tuple):  # (__dict__, slots)
        state = {**(state[0] or {}), **(state[1] or {})}
    for key, value in (state or {}).items():
        setattr(t, key, value)
    return t


_REBUILD: dict[str, Any] = {
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_parameter": rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": rebuild_parameter,
    "torch._tensor._rebuild_from_type_v2": rebuild_from_type,
    **{f"torch.{name}": kind for name, kind in _KINDS.items()},
}


def _allowed() -> dict[str, Any]:
    """What a file may name with weights_only=True, besides what the user added."""
    from fastnn.nn.parameter import Parameter

    table = {
        "collections.OrderedDict": OrderedDict,
        "collections.Counter": Counter,
        "_codecs.encode": _codecs.encode,
        "torch.Size": fastnn.Size,
        "torch.device": fastnn.device,
        "torch.Tensor": fastnn.Tensor,
        "torch.nn.parameter.Parameter": Parameter,
        **_REBUILD,
    }
    for builtin in (set, bytearray, complex, frozenset):
        table[f"builtins.{builtin.__name__}"] = table[f"__builtin__.{builtin.__name__}"] = builtin
    for name in STORAGES.values():
        if hasattr(fastnn, name):
            table[f"torch.{name}"] = getattr(fastnn, name)
    return table


class SafeReader(_PyUnpickler):
    """Unpickler for weights_only=True.

    Errors: UnpicklingError for any other name and for state on an object of another type.
    """

    dispatch = _PyUnpickler.dispatch.copy()

    def __init__(self, file: Any, storage: Callable[[Any], Any], extra: dict[str, Any], **options: Any) -> None:
        super().__init__(file, **options)
        self.persistent_load = storage
        self.extra = extra
        self.table = {**_allowed(), **extra}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in self.table:
            raise pickle.UnpicklingError(
                f"Unsupported global: GLOBAL {full} was not an allowed global by default. Please use "
                f"`torch.serialization.add_safe_globals([{full}])` or the `torch.serialization.safe_globals([{full}])` "
                "context manager to allowlist this global if you trust this class/function."
            )
        return self.table[full]

    def load_build(self) -> None:
        """Attributes for an object: only OrderedDict's kind, and types the user allowed."""
        kind = type(self.stack[-2])
        if kind not in (OrderedDict, Counter) and kind not in self.extra.values():
            raise pickle.UnpicklingError(f"Can only build OrderedDict and allowed types, but got {kind}")
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build


class FreeReader(pickle.Unpickler):
    """Unpickler for weights_only=False: any importable name; torch's resolve to fastnn's of the same path."""

    def __init__(self, file: Any, storage: Callable[[Any], Any], **options: Any) -> None:
        super().__init__(file, **options)
        self.storage = storage

    def persistent_load(self, pid: Any) -> Any:
        return self.storage(pid)

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" or module.startswith("torch."):
            if f"{module}.{name}" in _REBUILD:
                return _REBUILD[f"{module}.{name}"]
            found: Any = importlib.import_module("fastnn" + module[len("torch") :])
            for part in name.split("."):
                found = getattr(found, part)
            return found
        return super().find_class(module, name)
