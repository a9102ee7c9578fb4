"""save and load: PyTorch's .pt files, written and read without PyTorch.

Invariant: a zip archive of stored (uncompressed) entries: <name>/data.pkl, <name>/data/<number> for each storage with
its bytes at a multiple of 64, <name>/version. Each storage is written once, so views and tied weights stay what they
are. Reading runs no code unless weights_only=False asks for it, and believes no size: what is allocated for storages
is never more than the file has bytes (twice that for the half precision types, which become float32).
Does not: write the format from before PyTorch 1.6 (it reads it). Read next: _pickling.py, _unpickling.py.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeAlias

import numpy as np

import fastnn

from . import _pickling, _unpickling

FileLike: TypeAlias = str | os.PathLike[str] | IO[bytes]

DEFAULT_PROTOCOL = 2
ALIGNMENT = 64
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of a file of the old format

_safe_globals: dict[str, Any] = {}


def _named(items: list[Any]) -> dict[str, Any]:
    table = {}
    for item in items:
        obj, name = item if isinstance(item, tuple) else (item, f"{item.__module__}.{item.__qualname__}")
        table[name] = obj
        if name.startswith("fastnn."):
            table["torch" + name[len("fastnn") :]] = obj
    return table


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Allow classes and functions, or (object, "module.name") pairs, in files loaded with weights_only=True."""
    _safe_globals.update(_named(safe_globals))


def get_safe_globals() -> list[Any]:
    """What add_safe_globals allowed."""
    return list(dict.fromkeys(_safe_globals.values()))


def clear_safe_globals() -> None:
    """Forget what add_safe_globals allowed."""
    _safe_globals.clear()


@contextlib.contextmanager
def safe_globals(safe_globals: list[Any]) -> Iterator[None]:
    """add_safe_globals for the length of a `with` block."""
    before = dict(_safe_globals)
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _safe_globals.clear()
        _safe_globals.update(before)


def save(
    obj: object,
    f: FileLike,
    pickle_module: Any = pickle,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write `obj` (tensors, containers, modules, numbers, ...) to a path or a binary file object.

    Errors: RuntimeError if the folder does not exist. Source:
    https://docs.pytorch.org/docs/stable/generated/torch.save.html
    """
    if not _use_new_zipfile_serialization:
        raise NotImplementedError("save: the file format from before PyTorch 1.6 is not written by fastnn")
    data, arrays = _pickling.dumps(obj, pickle_protocol)
    if isinstance(f, str | os.PathLike):
        path = os.fspath(f)
        folder = os.path.dirname(path)
        if folder and not os.path.isdir(folder):
            raise RuntimeError(f"Parent directory {folder} does not exist.")
        with open(path, "wb") as out:
            _write(out, os.path.splitext(os.path.basename(path))[0] or "archive", data, arrays)
    elif hasattr(f, "write"):
        _write(f, "archive", data, arrays)
    else:
        raise AttributeError(
            f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, but got {type(f)}"
        )


def _write(out: IO[bytes], name: str, data: bytes, arrays: list[Any]) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        _entry(archive, out, f"{name}/data.pkl", data)
        _entry(archive, out, f"{name}/byteorder", b"little")
        for i, array in enumerate(arrays):
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            _entry(archive, out, f"{name}/data/{i}", memoryview(little).cast("B") if little.size else b"")
        _entry(archive, out, f"{name}/version", b"3\n")


def _entry(archive: zipfile.ZipFile, out: IO[bytes], name: str, content: Any) -> None:
    """Store an entry whose content starts at a multiple of ALIGNMENT, by a padding field in its local header."""
    info = zipfile.ZipInfo(name)  # fixed date: equal objects give equal files
    start = archive.start_dir + 30 + len(name.encode()) + 4
    pad = -start % ALIGNMENT
    info.extra = b"FB" + pad.to_bytes(2, "little") + b"Z" * pad
    archive.writestr(info, content)


def load(
    f: FileLike,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read what `save`, here or in PyTorch, wrote.

    weights_only (default True) allows tensors, parameters and plain containers and runs no code of the file; False
    unpickles anything, so only for files you trust. Archives that were compressed after PyTorch wrote them are refused.
    float16 and bfloat16 become float32. `mmap` asks for an archive with a name and changes nothing else.
    Errors: pickle.UnpicklingError for what weights_only refuses and for files that are no .pt files; RuntimeError for
    damaged archives; EOFError for an empty file.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.load.html
    """
    if weights_only is None:
        weights_only = pickle_module is None
    elif weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if isinstance(f, str | os.PathLike):
        with open(f, "rb") as file:
            return _load(file, map_location, weights_only, pickle_load_args, mapped=mmap)
    if not hasattr(f, "read") or not hasattr(f, "seek"):
        raise AttributeError(
            f"'{type(f).__name__}' object has no attribute 'seek'. You can only torch.load from a file that is "
            "seekable. Please "
            "pre-load the data into a buffer like io.BytesIO and try to load from it instead."
        )
    if mmap:
        head = f.read(4)
        f.seek(-len(head), os.SEEK_CUR)
        if head == b"PK\x03\x04":
            raise ValueError("load: f must be a file name in order to use the mmap argument")
    return _load(f, map_location, weights_only, pickle_load_args, mapped=mmap)


def _load(
    file: IO[bytes], map_location: Any, weights_only: bool, options: dict[str, Any], mapped: bool | None = None
) -> Any:
    """The object in a file. Errors name the file, where it has a name."""
    name = getattr(file, "name", None)
    where = f"load: {os.fsdecode(name)}: " if isinstance(name, str | bytes) else "load: "
    start = file.tell()
    head = file.read(4)
    size = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    if not head:
        raise EOFError(f"{where}Ran out of input: the file is empty")
    storages = _Storages(map_location, size)
    try:
        if head == b"PK\x03\x04":
            return _load_zip(file, storages, weights_only, options)
        if mapped:
            raise RuntimeError("mmap can only be used with archives, the format of save() and of PyTorch since 1.6")
        return _load_legacy(_Bounded(file, start + size), storages, weights_only, options)
    except (RuntimeError, EOFError) as error:
        if type(error) not in (RuntimeError, NotImplementedError, EOFError):
            raise
        raise type(error)(f"{where}{error}") from error
    except pickle.UnpicklingError as error:
        if not weights_only:
            raise
        raise pickle.UnpicklingError(
            f"{where}Weights only load failed. `load` reads tensors and plain containers only, unless "
            "weights_only=False is given, which can run code from the file: do that only if you trust its source."
            f"\n\tWeightsUnpickler error: {error}"
        ) from None


class _Bounded:
    """A file whose reads ask for no more than is left of it, so that no length in a pickle allocates on its word."""

    def __init__(self, file: IO[bytes], end: int) -> None:
        self.file, self.end = file, end
        self.readline = file.readline

    def read(self, n: int) -> bytes:
        return self.file.read(min(n, self.end - self.file.tell()))

    def exactly(self, n: int) -> bytes:
        data = self.read(n)
        if len(data) != n:
            raise RuntimeError(f"unexpected EOF, expected {n - len(data)} more bytes. The file might be corrupted.")
        return data


def _reader(file: Any, storage: Callable[[Any], Any], weights_only: bool, options: dict[str, Any]) -> Any:
    """The object of one pickle; every way a broken pickle can fail becomes UnpicklingError under weights_only."""
    options = {"encoding": "utf-8", **options}
    if not weights_only:
        return _unpickling.FreeReader(file, storage, **options).load()
    try:
        return _unpickling.SafeReader(file, storage, dict(_safe_globals), **options).load()
    except (pickle.UnpicklingError, RuntimeError, MemoryError):
        raise
    except KeyError as error:
        raise pickle.UnpicklingError(f"Unsupported operand {error}") from error
    except Exception as error:  # noqa: BLE001  (the pickle machine fails in many ways on garbage)
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error


class _Storages:
    """The storages of a file: for each number a 1-D tensor, filled with bytes at once or later."""

    def __init__(self, map_location: Any, size: int) -> None:
        self.map_location = map_location
        self.size = size
        self.left = size  # bytes of the file that storages may still claim
        self.tensors: dict[str, Any] = {}
        self.dtypes: dict[str, str] = {}

    def get(self, pid: Any, content: Callable[[str], bytes] | None = None) -> Any:
        """The tensor for a persistent id ("storage", type, key, location, elements, ...)."""
        kinds = (str, _pickling.Global, str, str, int)
        if (
            type(pid) is not tuple
            or len(pid) not in (5, 6)
            or not all(isinstance(part, kind) for part, kind in zip(pid, kinds, strict=False))
            or pid[0] != "storage"
            or pid[1].name not in _pickling.STORAGES
        ):
            raise pickle.UnpicklingError("a persistent id is not a storage of a dtype fastnn has")
        _, kind, key, location, numel = pid[:5]
        if len(pid) > 5 and pid[5] is not None:
            raise NotImplementedError("views of storages in files from before PyTorch 0.4 are not supported")
        if key not in self.tensors:
            self._place(location)
            self._new(key, _pickling.STORAGES[kind.name], numel)
            if content is not None:
                self.fill(key, content(key))
        return self.tensors[key]

    def _new(self, key: str, dtype: str, numel: int) -> None:
        nbytes = numel * _width(dtype)
        if not 0 <= nbytes <= self.left:
            raise RuntimeError(f"storage {key} of {numel} elements is larger than what the file holds")
        self.left -= nbytes
        self.dtypes[key] = dtype
        self.tensors[key] = fastnn.empty(numel, dtype=getattr(fastnn, dtype if dtype in _KEPT else "float32"))

    def _place(self, location: str) -> None:
        """Refuse a place that is not the CPU."""
        where: Any = self.map_location
        if isinstance(where, dict):
            where = where.get(location, location)
        elif where is None:
            where = location
        elif callable(where):
            return
        where = str(where)
        if where.partition(":")[0] == "cuda":
            raise RuntimeError(
                "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. If you "
                "are running on a "
                "CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map your storages "
                "to the CPU."
            )
        if where.partition(":")[0] != "cpu":
            raise RuntimeError(f"don't know how to restore data of device {where[:80]!r}: fastnn has cpu only")

    def fill(self, key: str, content: bytes) -> None:
        """Put a storage's bytes into its tensor."""
        dtype, target = self.dtypes[key], self.tensors[key].numpy()
        raw = {"bfloat16": "<u2", "float16": "<f2"}.get(dtype, target.dtype.newbyteorder("<"))
        if len(content) != target.size * _width(dtype):
            raise RuntimeError(f"storage {key} has {len(content)} bytes, expected {target.size * _width(dtype)}")
        values: Any = np.frombuffer(content, raw)
        if dtype == "bfloat16":  # the upper half of a float32
            values = (values.astype(np.uint32) << 16).view(np.float32)
        if dtype == "bool":  # a byte of 2 is true, and a bool here is 0 or 1
            values = np.frombuffer(content, np.uint8) != 0
        if dtype not in _KEPT:
            warnings.warn(f"load: {dtype} is not a dtype of fastnn; tensors of it become float32", stacklevel=2)
        target[...] = values


_KEPT = ("float32", "float64", "int64", "int32", "uint8", "bool")


def _width(dtype: str) -> int:
    """Bytes of an element in a file."""
    return 2 if dtype not in _KEPT else np.dtype(dtype).itemsize


@contextlib.contextmanager
def _archive_errors() -> Iterator[None]:
    """What zipfile raises on a damaged archive becomes RuntimeError; errors of the disk stay OSErrors."""
    try:
        yield
    except (zipfile.BadZipFile, ValueError, IndexError, EOFError, OverflowError, NotImplementedError) as error:
        raise RuntimeError(f"failed reading zip archive: {error}") from error
    except struct.error as error:
        raise RuntimeError(f"failed reading zip archive: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a seek to a place before the file
            raise
        raise RuntimeError("failed reading zip archive: an entry lies outside of the file") from error


def _content(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """The bytes of an entry, which are as many in the file of `size` bytes: nothing here inflates."""
    info = archive.NameToInfo.get(name)
    if info is None:
        raise RuntimeError(f"failed finding {name[:200]!r} in the archive")
    if info.compress_type != zipfile.ZIP_STORED:
        raise RuntimeError(f"{name[:200]!r} is compressed, and a .pt file's entries are not (`zip -0` keeps them so)")
    if not info.file_size == info.compress_size <= size:
        raise RuntimeError(f"{name[:200]!r} is larger than the file")
    with _archive_errors():
        return archive.read(info)


def _load_zip(file: IO[bytes], storages: _Storages, weights_only: bool, options: dict[str, Any]) -> Any:
    with _archive_errors():
        archive = zipfile.ZipFile(file)
    with archive:
        names = archive.namelist()
        pickles = [n for n in names if n.endswith("/data.pkl")]
        if not pickles:
            raise RuntimeError(
                "this zip archive is no .pt file: it has no data.pkl (TorchScript archives are not supported)"
            )
        root = pickles[0][: -len("data.pkl")]
        if f"{root}constants.pkl" in names:
            raise NotImplementedError("this is a TorchScript archive; fastnn has no torch.jit")
        if f"{root}byteorder" in names and _content(archive, f"{root}byteorder", storages.size) != b"little":
            raise NotImplementedError("files of big-endian machines are not supported")

        def storage(pid: Any) -> Any:
            return storages.get(pid, lambda key: _content(archive, f"{root}data/{key}", storages.size))

        data = io.BytesIO(_content(archive, pickles[0], storages.size))
        return _reader(data, storage, weights_only, options)


def _load_legacy(file: _Bounded, storages: _Storages, weights_only: bool, options: dict[str, Any]) -> Any:
    """Files from before PyTorch 1.6: magic, version, system, object, storage keys as pickles, then each storage as a
    count and its bytes.
    """

    def part(kind: type) -> Any:
        value = _reader(file, storages.get, weights_only, options)
        if not isinstance(value, kind):
            raise pickle.UnpicklingError("this is no .pt file")
        return value

    if part(int) != LEGACY_MAGIC:
        raise pickle.UnpicklingError("this is no .pt file")
    part(int)
    if not part(dict).get("little_endian", True):
        raise NotImplementedError("files of big-endian machines are not supported")
    result = part(object)
    keys = part(list)
    if len(keys) != len(storages.tensors) or not all(isinstance(key, str) and key in storages.tensors for key in keys):
        raise pickle.UnpicklingError("the storages in the file are not those the object uses")
    for key in keys:
        nbytes = int.from_bytes(file.exactly(8), "little") * _width(storages.dtypes[key])
        expected = storages.tensors[key].numel() * _width(storages.dtypes[key])
        if nbytes != expected:
            raise RuntimeError(f"storage {key} has {nbytes} bytes, expected {expected}")
        storages.fill(key, file.exactly(nbytes))
    return result
