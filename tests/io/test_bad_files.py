"""Files that are truncated, wrong, lying, or cannot be read: an exception of torch's kind that names the file and the reason.

Invariant: load gives a whole object or raises. Does not: look for more such files (../fuzz does). Read next: test_no_code.py.
"""

from __future__ import annotations

import io
import os
import pickle
import resource
import zipfile
from pathlib import Path
from typing import Any

import pytest

import fastnn

KINDS = (RuntimeError, EOFError, pickle.UnpicklingError)


def saved(value: Any = None) -> bytes:
    out = io.BytesIO()
    fastnn.save({"a": fastnn.arange(6.0), "b": fastnn.ones(2, 3)} if value is None else value, out)
    return out.getvalue()


def test_truncated_anywhere(tmp_path: Path) -> None:
    """At each byte: of a small file all of them, so every header, name, pickle, storage and directory is cut once."""
    whole, path = saved(), tmp_path / "cut.pt"
    for end in range(len(whole)):
        with pytest.raises(KINDS):
            fastnn.load(io.BytesIO(whole[:end]))
    for end in (0, 3, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(KINDS, match="cut.pt"):
            fastnn.load(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04" + b"\0" * 50, b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"{}", b"\x80\x02.", b"\0" * 100, b"hello\n" * 9])
def test_wrong_kind_of_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "wrong.pt"
    path.write_bytes(content)
    with pytest.raises(KINDS, match="wrong.pt"):
        fastnn.load(path)


def rewritten(change: Any, how: int = zipfile.ZIP_STORED) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved())) as old, zipfile.ZipFile(out, "w", how) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    out.seek(0)
    return out


def test_compressed_archives_are_refused() -> None:
    """A deflated entry may be a thousand times as large as the file."""
    with pytest.raises(RuntimeError, match="is compressed"):
        fastnn.load(rewritten(lambda name, data: data, zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda name, data: None if name.endswith("data/1") else data, "data/1' in the archive"),
        (lambda name, data: data[:-1] if name.endswith("data/1") else data, "23 bytes, expected 24"),
        (lambda name, data: data + b"\0" if name.endswith("data/1") else data, "25 bytes, expected 24"),
        (lambda name, data: None if name.endswith("data.pkl") else data, "no data.pkl"),
        (lambda name, data: b"big" if name.endswith("byteorder") else data, "big-endian"),
        (lambda name, data: data.replace(b"K\6tq", b"M\xff\xfftq", 1) if name.endswith("pkl") else data, "larger than what the file holds"),
    ],
)
def test_damaged_archives(change: Any, reason: str) -> None:
    with pytest.raises(RuntimeError, match=reason):
        fastnn.load(rewritten(change))


def pickled_tensor(offset: int, size: Any, stride: Any, numel: int = 4) -> io.BytesIO:
    """A file with one storage of 4 floats and a tensor that claims what it likes."""
    from fastnn import _pickling

    out = io.BytesIO()
    writer = _pickling.Writer(out, 2)

    class Claim:
        def __reduce__(self) -> Any:
            stored = _pickling.StoredAs(_pickling.KINDS["FloatStorage"], "0", numel)
            return _pickling._TENSOR, (stored, offset, size, stride, False, {})

    writer.dump(Claim())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x/data.pkl", out.getvalue())
        archive.writestr("x/data/0", bytes(16))
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize(
    ("offset", "size", "stride", "numel"),
    [
        (0, (5,), (1,), 4),
        (1, (4,), (1,), 4),
        (2**62, (1,), (1,), 4),
        (-1, (2,), (1,), 4),
        (0, (2,), (-1,), 4),
        (0, (2, 2), (2**62, 2**62), 4),
        (0, (2**40, 2**40), (0, 0), 4),
        (0, (2**60,), (1,), 2**60),
        (0, (2**70,), (1,), 4),
        (0, (2, 2), (1,), 4),
        (0, ("2",), (1,), 4),
        (0, (2,), (1,), -4),
    ],
)
def test_tensors_that_claim_more_than_there_is(offset: int, size: Any, stride: Any, numel: int) -> None:
    with pytest.raises((RuntimeError, pickle.UnpicklingError)):
        fastnn.load(pickled_tensor(offset, size, stride, numel))


def test_a_tensor_that_claims_what_is_there() -> None:
    assert fastnn.load(pickled_tensor(1, (3, 2), (1, 0))).shape == (3, 2)


# ---- the file system ----


def test_no_such_file_and_a_folder(lib: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing.pt"):
        lib.load(tmp_path / "missing.pt")
    with pytest.raises(IsADirectoryError):
        lib.load(tmp_path)


@pytest.mark.parametrize("name", ["größe.pt", "日本.pt", "a b.pt", "emoji \U0001f600.pt", "x" * 200 + ".pt", "no extension", "-dash.pt"])
def test_any_name(name: str, tmp_path: Path) -> None:
    fastnn.save(fastnn.arange(3), tmp_path / name)
    assert fastnn.load(tmp_path / name).tolist() == [0, 1, 2]
    assert fastnn.load(str(tmp_path / name)).tolist() == [0, 1, 2]


def test_a_pipe_cannot_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    content = saved()
    if not os.fork():
        try:
            path.write_bytes(content)  # until the reader has had enough
        finally:
            os._exit(0)
    with pytest.raises(OSError, match="seek|tell|underlying"):
        fastnn.load(path)
    os.wait()


def test_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        fastnn.save(fastnn.ones(100_000), "/dev/full")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            fastnn.save(fastnn.ones(100_000), tmp_path / "big.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
