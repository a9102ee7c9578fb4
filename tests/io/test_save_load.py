"""save and load beside torch's, in all four directions: equal values, shared storages, views, the same refusals.

Invariant: weights_only=True must never run code of a file. Does not: test safetensors (tests of the train command do).
Read next: ../support.py.
"""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import same

import fastnn

LIBS = {"torch": torch, "fastnn": fastnn}
WAYS = [("torch", "torch"), ("torch", "fastnn"), ("fastnn", "torch"), ("fastnn", "fastnn")]


def across(writer: str, reader: str, obj: Any, **options: Any) -> Any:
    """`obj` saved by one library and loaded by the other."""
    buffer = io.BytesIO()
    LIBS[writer].save(obj, buffer)
    buffer.seek(0)
    return LIBS[reader].load(buffer, **options)


def examples(lib: Any) -> dict[str, Any]:
    base = lib.arange(24, dtype=lib.float32).view(2, 3, 4)
    return {
        "float": lib.linspace(0, 1, 7),
        "double": lib.linspace(0, 1, 7, dtype=lib.float64),
        "long": lib.arange(5),
        "int": lib.arange(5, dtype=lib.int32),
        "byte": lib.arange(5, dtype=lib.uint8),
        "bool": lib.tensor([True, False]),
        "scalar": lib.tensor(3.5),
        "empty": lib.zeros(0, 3),
        "transposed": base.transpose(0, 2),
        "sliced": base[:, 1:, ::2],
        "expanded": lib.ones(1, 4).expand(3, 4),
        "grad": lib.ones(2, requires_grad=True),
    }


@pytest.mark.parametrize(("writer", "reader"), WAYS)
def test_tensors(writer: str, reader: str) -> None:
    want = examples(LIBS[writer])
    got = across(writer, reader, want)
    assert list(got) == list(want)
    for name, t in want.items():
        assert isinstance(got[name], LIBS[reader].Tensor)
        same(got[name], t, name)
        assert tuple(got[name].stride()) == tuple(t.stride()), name
        assert got[name].requires_grad == t.requires_grad


@pytest.mark.parametrize(("writer", "reader"), WAYS)
def test_containers(writer: str, reader: str) -> None:
    lib = LIBS[writer]
    obj = {
        "list": [1, 2.5, None, True, "text", b"bytes", 10**30],
        "tuple": (1, (2,)),
        "set": {1, 2},
        "ordered": collections.OrderedDict(b=1, a=2),
        "size": lib.Size([2, 3]),
        "device": lib.device("cpu"),
        "dtype": lib.float32,
        "complex": 1 + 2j,
        3: "int key",
    }
    got = across(writer, reader, obj)
    for key, value in obj.items():
        if key not in ("dtype", "device", "size"):
            assert got[key] == value
            assert type(got[key]) is type(value)
    other = LIBS[reader]
    assert got["size"] == other.Size([2, 3])
    assert got["dtype"] is other.float32
    assert got["device"] == other.device("cpu")


@pytest.mark.parametrize(("writer", "reader"), WAYS)
def test_shared_storage(writer: str, reader: str) -> None:
    """A view and its base, one tensor twice, and tied parameters stay one."""
    lib = LIBS[writer]
    base = lib.arange(10, dtype=lib.float32)
    weight = lib.nn.Parameter(lib.ones(2))
    got = across(writer, reader, {"base": base, "view": base[2:5], "again": base, "w": weight, "tied": weight})
    assert got["again"] is got["base"]
    assert got["tied"] is got["w"]
    assert type(got["w"]) is LIBS[reader].nn.Parameter
    got["base"][3] = 77
    assert got["view"].tolist() == [2.0, 77.0, 4.0]


@pytest.mark.parametrize(("writer", "reader"), WAYS)
def test_checkpoint(writer: str, reader: str, tmp_path: Path) -> None:
    """nanoGPT's kind: model and optimizer state dicts, arguments, a step count, through a file."""
    lib = LIBS[writer]
    model = lib.nn.Linear(3, 2)
    opt = lib.optim.AdamW(model.parameters(), lr=0.1)
    model(lib.ones(4, 3)).sum().backward()
    opt.step()
    path = tmp_path / "ckpt.pt"
    lib.save({"model": model.state_dict(), "optimizer": opt.state_dict(), "iter": 7, "args": {"bias": True}}, path)
    other = LIBS[reader]
    got = other.load(str(path), map_location="cpu")
    assert (got["iter"], got["args"]) == (7, {"bias": True})
    fresh = other.nn.Linear(3, 2)
    fresh.load_state_dict(got["model"])
    for (n, a), (m, b) in zip(model.named_parameters(), fresh.named_parameters(), strict=True):
        assert n == m
        same(b, a, n)
    again = other.optim.AdamW(fresh.parameters())
    again.load_state_dict(got["optimizer"])
    assert again.param_groups[0]["lr"] == 0.1
    for a, b in zip(opt.state.values(), again.state.values(), strict=True):
        for key in a:
            same(b[key], a[key], key)


@pytest.mark.parametrize(("writer", "reader"), WAYS)
def test_whole_module(writer: str, reader: str) -> None:
    lib = LIBS[writer]
    model = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.Tanh(), lib.nn.Linear(4, 2))
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        across(writer, reader, model)
    got = across(writer, reader, model, weights_only=False)
    assert isinstance(got, LIBS[reader].nn.Sequential)
    for a, b in zip(model.parameters(), got.parameters(), strict=True):
        same(b, a)


@pytest.mark.parametrize(("writer", "reader"), WAYS)
def test_parameter_with_attributes(writer: str, reader: str) -> None:
    p = LIBS[writer].nn.Parameter(LIBS[writer].ones(2))
    p.note = "kept"
    got = across(writer, reader, p)
    assert got.note == "kept"
    assert got.requires_grad


def test_numpy_needs_trust() -> None:
    for lib in LIBS.values():
        buffer = io.BytesIO()
        lib.save({"a": np.arange(3)}, buffer)
        for other in LIBS.values():
            buffer.seek(0)
            with pytest.raises(pickle.UnpicklingError, match="Unsupported global: GLOBAL numpy"):
                other.load(buffer)
            buffer.seek(0)
            assert other.load(buffer, weights_only=False)["a"].tolist() == [0, 1, 2]


class Trap:
    """Runs code when it is unpickled."""

    ran = False

    def __reduce__(self) -> Any:
        return _spring, ()


def _spring() -> None:
    Trap.ran = True


def archive(data: bytes) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        z.writestr("x/data.pkl", data)
        z.writestr("x/version", "3\n")
    buffer.seek(0)
    return buffer


def test_no_code_runs() -> None:
    with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
        fastnn.load(archive(pickle.dumps(Trap(), 2)))
    assert not Trap.ran
    for protocol in (2, 3, 4, 5):
        for evil in (eval, print, io.open, getattr, pickle.loads, fastnn.load):
            with pytest.raises(pickle.UnpicklingError):
                fastnn.load(archive(pickle.dumps(evil, protocol)))
    # setting attributes on an allowed class or function is refused too
    for name in (b"torch.nn.parameter\nParameter", b"torch._utils\n_rebuild_tensor_v2", b"torch\nTensor"):
        with pytest.raises(pickle.UnpicklingError):
            fastnn.load(archive(b"\x80\x02c" + name + b"\n}X\x01\x00\x00\x00aK\x01sb."))


class Plain:
    def __init__(self, x: Any) -> None:
        self.x = x


def test_safe_globals() -> None:
    buffer = io.BytesIO()
    fastnn.save(Plain(fastnn.ones(2)), buffer)
    buffer.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="add_safe_globals"):
        fastnn.load(buffer)
    with fastnn.serialization.safe_globals([Plain]):
        buffer.seek(0)
        assert fastnn.load(buffer).x.tolist() == [1.0, 1.0]
    assert fastnn.serialization.get_safe_globals() == []


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols(protocol: int) -> None:
    buffer = io.BytesIO()
    fastnn.save({"t": fastnn.arange(4)}, buffer, pickle_protocol=protocol)
    for lib in LIBS.values():
        if protocol > 2 and lib is torch:
            continue  # torch's weights_only reader warns about, or refuses, later protocols
        buffer.seek(0)
        assert lib.load(buffer)["t"].tolist() == [0, 1, 2, 3]


def test_old_format() -> None:
    want = examples(torch)
    buffer = io.BytesIO()
    torch.save({"a": want, "n": 3}, buffer, _use_new_zipfile_serialization=False)
    for weights_only in (True, False):
        buffer.seek(0)
        got = fastnn.load(buffer, weights_only=weights_only)
        assert got["n"] == 3
        for name, t in want.items():
            same(got["a"][name], t, name)


@pytest.mark.parametrize("zipped", [True, False])
def test_half_precision_widens(zipped: bool) -> None:
    t = {"half": torch.linspace(-3, 3, 9).half(), "brain": torch.linspace(-3, 3, 9).bfloat16()[2:]}
    buffer = io.BytesIO()
    torch.save(t, buffer, _use_new_zipfile_serialization=zipped)
    buffer.seek(0)
    with pytest.warns(UserWarning, match="become float32"):
        got = fastnn.load(buffer)
    for name in t:
        same(got[name], t[name].float(), name)


def test_alignment_and_names(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    fastnn.save({"a": fastnn.ones(3), "b": fastnn.ones(5)}, path)
    with zipfile.ZipFile(path) as z:
        assert z.namelist() == ["model/data.pkl", "model/byteorder", "model/data/0", "model/data/1", "model/version"]
        raw = path.read_bytes()
        for info in z.infolist():
            content = z.read(info)
            at = raw.index(content, info.header_offset + 30 + len(info.filename))
            assert info.compress_type == zipfile.ZIP_STORED
            if "data/" in info.filename:
                assert at % 64 == 0
        assert b"fastnn" not in z.read("model/data.pkl")
    before = path.read_bytes()
    fastnn.save({"a": fastnn.ones(3), "b": fastnn.ones(5)}, path)
    assert path.read_bytes() == before


def test_torch_maps_our_files(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    fastnn.save({"a": fastnn.arange(1000)}, path)
    same(torch.load(path, mmap=True)["a"], torch.arange(1000))
    assert fastnn.load(str(path), mmap=True)["a"].tolist() == list(range(1000))


def test_map_location() -> None:
    buffer = io.BytesIO()
    fastnn.save(fastnn.ones(2), buffer)
    for where in (None, "cpu", fastnn.device("cpu"), {"cuda:0": "cpu"}, lambda storage, place: storage):
        buffer.seek(0)
        assert fastnn.load(buffer, map_location=where).tolist() == [1.0, 1.0]
    buffer.seek(0)
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
        fastnn.load(buffer, map_location="cuda")


def test_errors(lib: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lib.load(tmp_path / "none.pt")
    with pytest.raises(RuntimeError, match="Parent directory .* does not exist"):
        lib.save({}, tmp_path / "no" / "x.pt")
    with pytest.raises(EOFError):
        lib.load(io.BytesIO(b""))
    with pytest.raises(pickle.UnpicklingError):
        lib.load(io.BytesIO(b"garbage that is no pickle"))
    with pytest.raises(AttributeError):
        lib.save({}, 3)
    with pytest.raises(AttributeError):
        lib.load(3)
    buffer = io.BytesIO()
    lib.save({"a": lib.ones(100)}, buffer)
    with pytest.raises(RuntimeError):
        lib.load(io.BytesIO(buffer.getvalue()[:-200]))


@pytest.mark.parametrize(
    ("offset", "size", "stride"), [(1, (4,), (1,)), (0, (2, 2), (3, 1)), (-1, (2,), (1,)), (0, (2,), (-1,))]
)
def test_views_stay_inside_their_storage(offset: int, size: Any, stride: Any) -> None:
    """A file with a tensor that reaches beyond its storage is refused, not read out of bounds."""
    from fastnn import _unpickling

    with pytest.raises(RuntimeError):
        _unpickling.rebuild_tensor(fastnn.ones(4), offset, size, stride)
