"""What reads bytes from outside: for each reader sample inputs, a way to damage them, the call, and the errors it documents.

Invariant: a reader's call ends in a value or in one of its errors; any other exception, a crash, a hang, a file opened
for writing or code that is run is a defect. Does not: count or survive these. Read next: run.py.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import pickle
import random
import tempfile
import warnings
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutate
import numpy as np

import fastnn
from fastnn import _C
from fastnn.train import checkpoint, names
from fastnn.train.config import TrainConfig, UserError
from fastnn.train.sample import restore_model
from fastnn.train.trainer import Trainer

Damage = Callable[[random.Random, Any], Any]


@dataclass
class Reader:
    samples: Callable[[], list[Any]]
    damage: Damage
    read: Callable[[Any], Any]
    errors: tuple[type[BaseException], ...]


# ---- .pt files ----


def _objects() -> list[Any]:
    base = fastnn.arange(24, dtype=fastnn.float32).view(2, 3, 4)
    weight = fastnn.nn.Parameter(fastnn.ones(2, 3))
    weight.note = "kept"
    model = fastnn.nn.Linear(3, 2)
    optimizer = fastnn.optim.SGD(model.parameters(), lr=0.1)
    return [
        fastnn.ones(3),
        {"a": base, "t": base.transpose(0, 2)[1:], "p": weight, "tied": weight},
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "size": base.shape, "dtype": fastnn.float32},
        [1, 2.5, None, True, "text", b"bytes", 10**30, (1, (2,)), {1, 2}, OrderedDict(b=1), 1 + 2j, bytearray(b"ab"), fastnn.device("cpu")],
    ]


def _saved() -> list[Any]:
    """Files, each with its entries taken out."""
    files = []
    for value in _objects():
        for protocol in (2, 4, 5):
            out = io.BytesIO()
            fastnn.save(value, out, pickle_protocol=protocol)
            with zipfile.ZipFile(out) as archive:
                files.append((out.getvalue(), [(name, archive.read(name)) for name in archive.namelist()]))
    return files


def _legacy() -> list[bytes]:
    """The format from before PyTorch 1.6, which fastnn reads and does not write."""
    from fastnn import _pickling, serialization

    files = []
    for value in _objects():
        data, arrays = _pickling.dumps(value, 2)
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
        keys = [str(i) for i in range(len(arrays))]
        parts = [pickle.dumps(p, 2) for p in (serialization.LEGACY_MAGIC, 1001, system)] + [data, pickle.dumps(keys, 2)]
        parts += [array.size.to_bytes(8, "little") + array.tobytes() for array in arrays]
        files.append(b"".join(parts))
    return files


def _damage_legacy(r: random.Random, data: bytes) -> bytes:
    return mutate.some_pickle(r, data) if r.randrange(2) else mutate.some_bytes(r, data)


def _load(data: bytes) -> Any:
    return use(fastnn.load(io.BytesIO(data)))


def use(value: Any, depth: int = 0) -> None:
    """Touches every element of the tensors in a loaded value: a view beyond its storage would show here."""
    if isinstance(value, fastnn.Tensor) and value.numel() < 10_000:
        value.detach().numpy().sum()
    elif isinstance(value, dict) and depth < 4:
        for part in list(value.values())[:50]:
            use(part, depth + 1)
    elif isinstance(value, list | tuple) and depth < 4:
        for part in value[:50]:
            use(part, depth + 1)


def _rebuilds() -> list[Any]:
    """The arguments in pickles of tensors: of pickle.dumps, and what a .pt file's tensor is made of."""
    t = fastnn.arange(6, dtype=fastnn.float32).view(2, 3)
    return [list(t.__reduce_ex__(4)[1]), ["view", t.view(6), 1, [2, 2], [3, 1], True]]


def _odd(r: random.Random) -> Any:
    kind = r.randrange(8)
    if kind < 3:
        return mutate.edge(r) * r.choice((1, 1, -1))
    if kind == 3:
        return [mutate.edge(r) * r.choice((1, 1, 1, -1)) for _ in range(r.choice((0, 1, 2, 3, 8, 9)))]
    if kind == 4:
        return [r.choice((0, 1, 2, 3, 2**32, 2**62)) for _ in range(r.choice((1, 2, 3, 8)))]
    return r.choice([None, True, "x", b"", b"abcd" * 6, 1.5, float("nan"), {}, (), object, fastnn.Tensor, fastnn.int64, fastnn.float32,
                     fastnn.ones(2), np.ones(3), [None], [[1]], dict, int, OrderedDict])


def _damage_list(r: random.Random, values: list[Any]) -> list[Any]:
    values = list(values)
    for _ in range(r.choice((1, 1, 2, 3))):
        at = r.randrange(1, len(values)) if isinstance(values[0], str) else r.randrange(len(values))
        values[at] = _odd(r)
    return values


def _rebuild(args: list[Any]) -> None:
    from fastnn import _unpickling

    use(_unpickling.rebuild_tensor(*args[1:]) if args[0] == "view" else _C._rebuild_tensor(*args))


# ---- state dicts and generator states ----

_ERRORS = (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError)


def _states() -> list[Any]:
    model, optimizer = _net()
    return [{"model": model.state_dict()}, {"optimizer": optimizer.state_dict()}]


def _net() -> tuple[Any, Any]:
    model = fastnn.nn.Sequential(fastnn.nn.Linear(3, 2), fastnn.nn.BatchNorm1d(2))
    optimizer = fastnn.optim.AdamW(model.parameters())
    model(fastnn.ones(4, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def _damage_state(r: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and r.randrange(6):
        key, copy = r.choice(list(value)), dict(value)
        kind = r.randrange(8)
        if kind == 0:
            del copy[key]
        elif kind == 1:
            copy[r.choice(("x", 7, None, "params", "step", ".", "0."))] = copy.pop(key)
        else:
            copy[key] = _damage_state(r, value[key])
        return copy
    if isinstance(value, list) and value and r.randrange(4):
        at = r.randrange(len(value))
        return [*value[:at], _damage_state(r, value[at]), *value[at + 1 :]]
    shape = [r.choice((0, 1, 2, 3)) for _ in range(r.randrange(4))]
    dtype = r.choice((fastnn.float32, fastnn.float64, fastnn.int64, fastnn.bool))
    return r.choice([fastnn.ones(shape).to(dtype), fastnn.ones(1).expand(3, 3), fastnn.ones(2, 3).t(), _odd(r)])


def _load_state(value: Any) -> None:
    """Loads it, then runs a step over whatever was accepted: that, too, must end in a value or an error."""
    fastnn.manual_seed(0)
    model, optimizer = _net()
    if not isinstance(value, dict):
        raise TypeError("not a state")
    if "model" in value:
        model.load_state_dict(value["model"])
    elif "optimizer" in value:
        optimizer.load_state_dict(value["optimizer"])
    model(fastnn.ones(4, 3)).sum().backward()
    optimizer.step()


def _generators() -> list[bytes]:
    g = fastnn.Generator().manual_seed(5)
    first = g.get_state().numpy().tobytes()
    fastnn.rand(7, generator=g)
    fastnn.randn(3, generator=g)
    return [first, g.get_state().numpy().tobytes()]


def _set_state(data: bytes) -> None:
    g = fastnn.Generator()
    g.set_state(fastnn.tensor(list(data[:16]), dtype=fastnn.uint8) if len(data) < 16 else fastnn.frombuffer(bytearray(data), dtype=fastnn.uint8))
    fastnn.rand(3, generator=g), fastnn.randn(20, generator=g), fastnn.randperm(5, generator=g)


# ---- checkpoints and text of `fastnn train` ----

_FOLDER = Path(tempfile.mkdtemp(prefix="fastnn-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
_NAMES = ["anna", "bo", "cleo", "dora"]


def _checkpoints() -> list[Any]:
    out = []
    (_FOLDER / "names.txt").write_text("\n".join(_NAMES))
    corpus = names.load_corpus(_FOLDER / "names.txt", None)
    for kind in ("bigram", "transformer", "gru"):
        config = TrainConfig(type=kind, input=str(_FOLDER / "names.txt"), steps=1, n_layer=1, n_head=1, n_embd=4, n_embd2=4, batch_size=2, eval_every=1)
        trainer = Trainer(config, corpus, _FOLDER, None)
        trainer._train_step()
        (_FOLDER / checkpoint.MANIFEST).unlink(missing_ok=True)
        trainer._save()
        out.append(((_FOLDER / checkpoint.MANIFEST).read_bytes(), next(_FOLDER.glob("tensors-*")).read_bytes()))
    return out


def _damage_checkpoint(r: random.Random, parts: Any) -> Any:
    manifest, tensors = parts
    kind = r.randrange(8)
    if kind < 3:
        return mutate.some_manifest(r, manifest), tensors
    tensors = mutate.some_safetensors(r, tensors)
    if kind < 7:  # with the size and the checksum of the damaged bytes
        value = json.loads(manifest)
        value["tensors"] |= {"bytes": len(tensors), "crc32": zlib.crc32(tensors)}
        if kind == 6:
            value["config"] = mutate.some_json(r, value["config"])
        manifest = json.dumps(value).encode()
    return manifest, tensors


def _load_checkpoint(parts: Any) -> None:
    manifest, tensors = parts
    (_FOLDER / checkpoint.MANIFEST).write_bytes(manifest)
    (_FOLDER / "tensors-00000001.safetensors").write_bytes(tensors)
    saved = checkpoint.load(_FOLDER)
    restore_model(saved)
    corpus = names.load_corpus(_FOLDER / "names.txt", saved.config.block_size)
    Trainer(saved.config, corpus, _FOLDER, saved)


def _texts() -> list[bytes]:
    bundled = names.BUNDLED.read_bytes().split(b"\n")
    return [b"\n".join(bundled[:40]) + b"\n", "zoë\nåsa\r\nжаннa\n李\n".encode() * 3, b"anna\nbo\n"]


def _read_text(data: bytes) -> None:
    path = _FOLDER / "text"
    path.write_bytes(data)
    corpus = names.load_corpus(path, None)
    train, test = names.split(corpus, 1)
    for part in (train, test):
        if part:
            names.Examples(corpus, part).batch(2, fastnn.Generator())
    assert corpus.decode(corpus.encode(corpus.names[0])) == corpus.names[0]


# ---- memory of other libraries ----


class DL(ctypes.Structure):
    """DLManagedTensor of the DLPack ABI."""

    _fields_ = [("data", ctypes.c_void_p), ("device", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.POINTER(ctypes.c_int64)), ("offset", ctypes.c_uint64), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


_MEMORY = np.zeros(64, np.uint8)
_MEMORY_AT = int(_MEMORY.ctypes.data) + -int(_MEMORY.ctypes.data) % 8
_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype, _capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def _imports() -> list[Any]:
    return [["dlpack", 1, 2, 2, 32, 1, [2, 3], [3, 1], 0], ["dlpack", 1, 1, 0, 64, 1, [4], None, 8],
            ["frombuffer", b"12345678", fastnn.float32, -1, 0], ["array", [2, 3], [12, 4], "<f4"], ["object", [[1, 2], [3.5, True]]],
            ["interface", (2,), "<f4", None], ["buffer", "f", (2, 3)]]


def _damage_import(r: random.Random, value: list[Any]) -> list[Any]:
    value = list(value)
    for _ in range(r.choice((1, 1, 2))):
        at = r.randrange(1, len(value))
        old = value[at]
        if isinstance(old, list) and old and r.randrange(2):
            value[at] = [*old[:-1], _odd(r)]
        elif isinstance(old, str):
            value[at] = r.choice(("<f8", ">f4", "<i2", "|b1", "|O", "<U3", "<M8[s]", "V5", "<c8", "<f2", "f", "d", "q", "e", "x", "", "c"))
        else:
            value[at] = _odd(r)
    return value


def _import(value: list[Any]) -> None:
    """Only what a header can say is damaged; nothing can protect from a library that lies about where its memory ends."""
    kind, *args = value
    if kind == "dlpack":
        use(_from_dlpack(*args))
    elif kind == "frombuffer":
        data, dtype, count, offset = args
        use(fastnn.frombuffer(data, dtype=dtype, count=count, offset=offset))
    elif kind == "array":
        shape, strides, dtype = args
        try:
            array = np.ndarray(shape, dtype, bytearray(256), 0, strides)
        except Exception:
            return  # NumPy's own refusal
        for read in (fastnn.from_numpy, fastnn.tensor, fastnn.as_tensor):
            try:
                use(read(array))
            except MemoryError:
                if array.nbytes < 2**30:  # strides of 0 make arrays of any size out of 256 bytes; a copy of those is asked too much
                    raise
    elif kind == "object":
        use(fastnn.tensor(args[0]))
        use(fastnn.asarray(args[0]))
    else:
        use(fastnn.as_tensor(_Posing(kind, *args)))


class _Posing:
    """An object with an odd __array_interface__, or one that is odd in other ways."""

    def __init__(self, kind: str, shape: Any, what: Any, strides: Any = None) -> None:
        if kind == "interface":
            self.__array_interface__ = {"shape": shape, "typestr": what, "strides": strides, "version": 3, "data": bytes(64)}
        else:
            self.shape, self.dtype = shape, what

    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: Any) -> Any:
        if i >= 2:
            raise IndexError
        return self.shape if hasattr(self, "shape") else self.__array_interface__["shape"]


def _from_dlpack(device: Any, ndim: Any, code: Any, bits: Any, lanes: Any, shape: Any, strides: Any, offset: Any) -> Any:
    try:
        sizes = (ctypes.c_int64 * 70)(*shape) if shape is not None else None
        steps = (ctypes.c_int64 * 70)(*strides) if strides is not None else None
        dl = DL(_MEMORY_AT, device, 0, ndim, code, bits, lanes, sizes, steps, offset, None, None)
    except (TypeError, ValueError, IndexError):
        return None  # cannot be said in the structure
    if not 0 <= offset < 8 or not _inside(dl):
        dl.data = None  # a lie about the memory: without memory it can only be refused
    dl.keep = sizes, steps
    _ALIVE.append(dl)
    del _ALIVE[:-50]
    t = fastnn.from_dlpack(_capsule(ctypes.addressof(dl), b"dltensor", None))
    return t


_ALIVE: list[Any] = []


def _inside(dl: Any) -> bool:
    n = min(max(dl.ndim, 0), 70)
    shape = [dl.shape[i] for i in range(n)] if dl.shape else []
    strides = [dl.strides[i] for i in range(n)] if dl.strides else None
    if any(s < 0 for s in shape):
        return True
    if 0 in shape:
        return True
    if strides is None:
        return int(np.prod([float(s) for s in shape])) * dl.bits // 8 <= 48
    return sum((s - 1) * abs(t) for s, t in zip(shape, strides, strict=True)) * dl.bits // 8 <= 40


_LOAD_ERRORS = (RuntimeError, EOFError, pickle.UnpicklingError)
_IMPORT_ERRORS = (*_ERRORS, BufferError, OverflowError, NotImplementedError)

READERS: dict[str, Reader] = {
    "pt": Reader(_saved, mutate.some_archive, _load, _LOAD_ERRORS),
    "legacy": Reader(_legacy, _damage_legacy, _load, _LOAD_ERRORS),
    "rebuild": Reader(_rebuilds, _damage_list, _rebuild, (RuntimeError, TypeError, ValueError, OverflowError)),
    "checkpoint": Reader(_checkpoints, _damage_checkpoint, _load_checkpoint, (UserError,)),
    "names": Reader(_texts, mutate.some_text, _read_text, (UserError,)),
    "state": Reader(_states, _damage_state, _load_state, _ERRORS),
    "generator": Reader(_generators, mutate.some_bytes, _set_state, (RuntimeError, TypeError)),
    "memory": Reader(_imports, _damage_import, _import, _IMPORT_ERRORS),
}

warnings.simplefilter("ignore")
