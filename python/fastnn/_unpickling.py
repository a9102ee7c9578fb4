"""Readers of the pickle streams in .pt files: one that runs nothing of the file, and one for files that are trusted.

Invariant: SafeReader knows the opcodes it needs and no others, calls only the functions of its table and only with
arguments of the kinds PyTorch writes, and fills only containers and instances of types the user allowed. So no bytes
can make it import, execute or write anything, and what it builds is at most some hundred times as large as the pickle.
Does not: touch files; a storage comes from the caller by its number. Read next: serialization.py.
"""

from __future__ import annotations

import _codecs
import importlib
import pickle
import reprlib
import types
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import fastnn

from ._pickling import KINDS

# The Python class behind pickle.Unpickler: only its dispatch table can be changed.
_PyUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]

# What protocols 2 to 5 write for data. Not among them: INST, OBJ, EXT (other ways to a global), PERSID, DUP, POP, text.
_OPCODES = (
    "PROTO STOP FRAME MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 SHORT_BINSTRING BINSTRING SHORT_BINBYTES BINBYTES BINBYTES8 EMPTY_TUPLE TUPLE "
    "TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST EMPTY_DICT EMPTY_SET FROZENSET BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE "
    "GLOBAL STACK_GLOBAL BINPERSID"
)

KEY_PARTS = 10_000  # of a dict key or set element, nested ones included: hashing a shared tuple 2**60 times never ends
_MAX_INT = 2**63 - 1


def _whole(values: Any, what: str) -> tuple[int, ...]:
    """A sequence of sizes, strides or offsets; refuses what is no count."""
    numbers = tuple(values) if isinstance(values, list | tuple) else (None,)
    if not all(isinstance(n, int) and 0 <= n <= _MAX_INT for n in numbers):
        raise RuntimeError(f"{what} of a tensor must be whole numbers, found {reprlib.repr(values)}")
    return numbers  # type: ignore[return-value]


def rebuild_tensor(
    base: Any, offset: int, size: Any, stride: Any, requires_grad: bool = False, hooks: Any = None, metadata: Any = None
) -> Any:
    """A tensor over a loaded storage (`base` is the 1-D tensor of all of it)."""
    if not isinstance(base, fastnn.Tensor):
        raise RuntimeError(f"a tensor needs a storage, found {type(base).__name__}")
    size, stride = _whole(size, "size"), _whole(stride, "stride")
    (offset,) = _whole((offset,), "storage offset")
    if len(size) != len(stride):
        raise RuntimeError(f"tensor of size {size} has {len(stride)} strides")
    reach = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else offset - 1
    if reach >= base.numel():
        raise RuntimeError(
            f"tensor of size {size}, stride {stride}, offset {offset} exceeds its storage of {base.numel()} elements"
        )
    return base.as_strided(size, stride, offset).data.requires_grad_(bool(requires_grad))


def rebuild_parameter(data: Any, requires_grad: bool, hooks: Any = None, state: Any = None) -> Any:
    """A Parameter over a loaded tensor, with the attributes it had."""
    from fastnn.nn.parameter import Parameter

    if not isinstance(data, fastnn.Tensor):
        raise RuntimeError(f"a Parameter needs a tensor, found {type(data).__name__}")
    return _with_state(Parameter(data, bool(requires_grad)), state)


def rebuild_from_type(function: Any, kind: Any, args: Any, state: Any) -> Any:
    """A tensor of a subclass, or one with attributes."""
    if not any(function is known for known in _REBUILD.values()):
        raise RuntimeError(f"{reprlib.repr(function)} does not rebuild tensors")
    if not isinstance(kind, type) or not issubclass(kind, fastnn.Tensor):
        raise RuntimeError(f"{reprlib.repr(kind)} is not a tensor class")
    t = function(*args)
    if type(t) is not kind:
        t = t.as_subclass(kind)
    return _with_state(t, state)


def _with_state(t: Any, state: Any) -> Any:
    """`t` with the attributes of `state`. They go to its __dict__, past any property of the same name."""
    parts = state if isinstance(state, tuple) else (state,)  # (__dict__, slots)
    for part in parts:
        if part is not None and not isinstance(part, dict) or not all(isinstance(key, str) for key in part or ()):
            raise RuntimeError(f"the attributes of a tensor must be a dict, found {type(part).__name__}")
        for key, value in (part or {}).items():
            if isinstance(getattr(type(t), key, None), types.MemberDescriptorType):
                setattr(t, key, value)
            else:
                t.__dict__[key] = value
    return t


_REBUILD: dict[str, Any] = {
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_parameter": rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": rebuild_parameter,
    "torch._tensor._rebuild_from_type_v2": rebuild_from_type,
}


def _check_keys(keys: Iterable[Any]) -> None:
    """Refuses keys that would take for ever to hash: tuples that hold a tuple twice, sixty levels deep."""
    for key in keys:
        parts, left = [key] if isinstance(key, tuple | frozenset) else [], KEY_PARTS
        while parts:
            part = parts.pop()
            left -= len(part)
            if left < 0:
                raise pickle.UnpicklingError(f"a dict key or set element has more than {KEY_PARTS} parts")
            parts += [inner for inner in part if isinstance(inner, tuple | frozenset)]


def _keyed(kind: Callable[..., Any]) -> Callable[..., Any]:
    def make(*args: Any) -> Any:
        """Of nothing, of a list of elements or of pairs, or of a dict."""
        if len(args) > 1 or args and not isinstance(args[0], dict | list | tuple | set | frozenset):
            raise TypeError(f"{kind.__name__} of such arguments is nothing PyTorch writes")
        for content in args:
            _check_keys(content)
            _check_keys(pair[0] for pair in content if isinstance(pair, list | tuple) and pair)
        return kind(*args)

    return make


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes. Other encodings would be imported by name, and some take quadratic time."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TypeError("only text in latin1 stands for bytes")
    return text.encode("latin1")


def _bytearray(*args: Any) -> bytearray:
    """Of bytes or latin1 text; bytearray(10**18) would ask for that much memory."""
    if len(args) == 2:
        return bytearray(_encode(*args))
    if len(args) > 1 or args and not isinstance(args[0], bytes | bytearray):
        raise TypeError("a bytearray is made of bytes")
    return bytearray(*args)


def _plain(function: Callable[..., Any], *kinds: type) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        if not all(isinstance(arg, kinds) for arg in args):
            raise TypeError(f"{function.__name__} of such arguments is nothing PyTorch writes")
        return function(*args)

    return call


def _size(dims: Any) -> Any:
    return fastnn.Size(_whole(dims, "size"))


# How each function of the table is called; what is missing here may be named but not called.
_CALLS: dict[Any, Callable[..., Any]] = {
    OrderedDict: _keyed(OrderedDict),
    Counter: _keyed(Counter),
    set: _keyed(set),
    frozenset: _keyed(frozenset),
    complex: _plain(complex, float, int),
    bytearray: _bytearray,
    _codecs.encode: _encode,
    fastnn.Size: _size,
    fastnn.device: _plain(fastnn.device, str, int),
    **{function: function for function in _REBUILD.values()},
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
        **{f"torch.{name}": kind for name, kind in KINDS.items()},
    }
    for builtin in (set, bytearray, complex, frozenset):
        table[f"builtins.{builtin.__name__}"] = table[f"__builtin__.{builtin.__name__}"] = builtin
    for name in ("float32", "float64", "int64", "int32", "uint8", "bool"):
        table[f"torch.{name}"] = getattr(fastnn, name)
    return table


class SafeReader(_PyUnpickler):
    """Unpickler for weights_only=True.

    Errors: UnpicklingError for any other name and for state on an object of another type; on damaged input anything
    a broken pickle can lead to.
    """

    dispatch = {getattr(pickle, name)[0]: _PyUnpickler.dispatch[getattr(pickle, name)[0]] for name in _OPCODES.split()}

    def __init__(self, file: Any, storage: Callable[[Any], Any], extra: dict[str, Any], **options: Any) -> None:
        super().__init__(file, **options)
        self.persistent_load = storage
        self.extra = list(extra.values())
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

    def _users(self, what: Any) -> bool:
        """Whether the user allowed this class or function."""
        return any(what is known for known in self.extra)

    def load_reduce(self) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        call = function if self._users(function) else _CALLS.get(function)
        if call is None or type(args) is not tuple:
            raise pickle.UnpicklingError(f"Trying to call reduce for unrecognized function {reprlib.repr(function)}")
        self.append(call(*args))

    def load_newobj(self) -> None:
        args, kind = self.stack.pop(), self.stack.pop()
        self._new(kind, args, {})

    def load_newobj_ex(self) -> None:
        kwargs, args, kind = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self._new(kind, args, kwargs)

    def _new(self, kind: Any, args: Any, kwargs: Any) -> None:
        if not self._users(kind):
            raise pickle.UnpicklingError(f"Can only create new object of allowed classes but got {reprlib.repr(kind)}")
        self.append(kind.__new__(kind, *args, **kwargs))

    def load_build(self) -> None:
        """Attributes for an object: only OrderedDict's kind, and types the user allowed."""
        kind = type(self.stack[-2])
        if self._users(kind):
            super().load_build()
        elif kind in (OrderedDict, Counter):
            state = self.stack.pop()
            self.stack[-1].__dict__.update(state)
        else:
            raise pickle.UnpicklingError(f"Can only build OrderedDict and allowed types, but got {kind}")

    def _container(self, *kinds: type) -> Any:
        """The object on top of the stack, to be filled."""
        target = self.stack[-1]
        if type(target) not in kinds and not self._users(type(target)):
            raise pickle.UnpicklingError(f"Can only add to {kinds[0].__name__}s, but got {type(target)}")
        return target

    def load_append(self) -> None:
        item = self.stack.pop()
        self._container(list).append(item)

    def load_appends(self) -> None:
        items = self.pop_mark()
        self._container(list).extend(items)

    def load_additems(self) -> None:
        items = self.pop_mark()
        _check_keys(items)
        self._container(set).update(items)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _check_keys([key])
        self._container(dict, OrderedDict, Counter)[key] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        _check_keys(items[::2])
        target = self._container(dict, OrderedDict, Counter)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key] = value

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        _check_keys(items)
        self.append(frozenset(items))

    def load_bytearray8(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(size)))  # reads what is there; the base class first asks for `size` bytes

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.APPEND[0]] = load_append
    dispatch[pickle.APPENDS[0]] = load_appends
    dispatch[pickle.ADDITEMS[0]] = load_additems
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.FROZENSET[0]] = load_frozenset
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


class FreeReader(pickle.Unpickler):
    """Unpickler for weights_only=False: any importable name; torch's resolve to fastnn's of the same path."""

    def __init__(self, file: Any, storage: Callable[[Any], Any], **options: Any) -> None:
        super().__init__(file, **options)
        self.storage = storage

    def persistent_load(self, pid: Any) -> Any:
        return self.storage(pid)

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" or module.startswith("torch."):
            known = _REBUILD.get(f"{module}.{name}") or (KINDS.get(name) if module == "torch" else None)
            if known:
                return known
            found: Any = importlib.import_module("fastnn" + module[len("torch") :])
            for part in name.split("."):
                found = getattr(found, part)
            return found
        return super().find_class(module, name)
