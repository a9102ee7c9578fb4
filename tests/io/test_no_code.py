"""Loading never runs code of a file: every way a pickle has to reach a function, tried with functions that would show.

Invariant: each attack works on Python's own unpickler (tests that it is one), and leaves no canary through fastnn.load,
in both file formats. Does not: cover weights_only=False, which says in its name that it trusts the file.
Read next: ../fuzz/readers.py.
"""

from __future__ import annotations

import contextlib
import copyreg
import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_save_load import archive

import fastnn
from fastnn import serialization


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def glob(name: str) -> bytes:
    return b"c" + name.replace(":", "\n").encode() + b"\n"


TOUCH = "open({!r}, 'w').close()"

# Each makes Python's unpickler run `code`, or a shell command that does the same.
ATTACKS: dict[str, Callable[[str], bytes]] = {
    "REDUCE": lambda code: b"\x80\x02" + glob("builtins:exec") + text(code) + b"\x85R.",
    "REDUCE of a Python 2 name": lambda code: b"\x80\x02" + glob("__builtin__:eval") + text(code) + b"\x85R.",
    "STACK_GLOBAL": lambda code: b"\x80\x04" + short("builtins") + short("exec") + b"\x93" + text(code) + b"\x85R.",
    "STACK_GLOBAL of a dotted name": lambda code: b"\x80\x04" + short("os") + short("path.os.system") + b"\x93" + text(shell(code)) + b"\x85R.",
    "INST": lambda code: b"(" + text(code) + b"ibuiltins\nexec\n.",
    "OBJ": lambda code: b"(" + glob("builtins:exec") + text(code) + b"o.",
    "REDUCE of a class": lambda code: b"\x80\x02" + glob("subprocess:Popen") + b"](" + text("/bin/sh") + text("-c") + text(shell(code)) + b"e\x85R.",
    "os.system": lambda code: b"\x80\x02" + glob("os:system") + text(shell(code)) + b"\x85R.",
    "posix.system": lambda code: b"\x80\x02" + glob("posix:system") + text(shell(code)) + b"\x85R.",
    "BUILD with a __setstate__ from the file": lambda code: b"\x80\x02" + glob("types:SimpleNamespace") + b")R}" + text("__setstate__") + glob("builtins:exec")
    + b"sb" + text(code) + b"b.",
    "EXT1": lambda code: b"\x80\x02\x82\xf1" + text(code) + b"\x85R.",
    "EXT2": lambda code: b"\x80\x02\x83\xf1\x00" + text(code) + b"\x85R.",
    "EXT4": lambda code: b"\x80\x02\x84\xf1\x00\x00\x00" + text(code) + b"\x85R.",
    "getattr along modules": lambda code: b"\x80\x02" + glob("builtins:getattr") + glob("builtins:getattr") + glob("os:path") + text("os") + b"\x86R"
    + text("system") + b"\x86R" + text(shell(code)) + b"\x85R.",
    "a pickle inside a pickle": lambda code: b"\x80\x02" + glob("pickle:loads") + b"B" + struct.pack("<I", len(inner(code))) + inner(code) + b"\x85R.",
    "as a dict value, far inside": lambda code: b"\x80\x02}" + text("a") + b"]" + b"]" + glob("builtins:exec") + text(code) + b"\x85Raas.",
    "as an argument of an allowed function": lambda code: b"\x80\x02" + glob("collections:OrderedDict") + b"]" + glob("builtins:exec") + text(code)
    + b"\x85R" + b"0\x85R.",
    "map, whose call comes while a set is made": lambda code: b"\x80\x02" + glob("builtins:set") + glob("builtins:map") + glob("builtins:exec") + b"]" + text(code)
    + b"a\x86R\x85R.",
    "as the state of an OrderedDict": lambda code: b"\x80\x02" + glob("collections:OrderedDict") + b")R" + glob("builtins:exec") + text(code) + b"\x85Rb.",
    "in a persistent id": lambda code: b"\x80\x02" + text("storage") + glob("builtins:exec") + text(code) + b"\x85R\x86Q.",
}


def inner(code: str) -> bytes:
    return b"\x80\x02" + glob("builtins:exec") + text(code) + b"\x85R."


def shell(code: str) -> str:
    """The shell command for the same canary."""
    return "echo > " + code.split("'")[1]


def legacy(data: bytes, where: int) -> io.BytesIO:
    """The file format from before PyTorch 1.6 with `data` as its `where`-th pickle."""
    parts = [pickle.dumps(p, 2) for p in (serialization.LEGACY_MAGIC, 1001, {"little_endian": True}, 1, [])]
    parts[where] = data
    return io.BytesIO(b"".join(parts))


@pytest.fixture
def extension() -> Any:
    """copyreg's table is how a program lets pickles call a function by a number; the file must not reach it."""
    copyreg.add_extension("builtins", "exec", 0xF1)
    yield
    copyreg.remove_extension("builtins", "exec", 0xF1)


class Persistent(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> None:
        return None


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str, tmp_path: Path, extension: Any) -> None:
    canary = tmp_path / "canary"
    data = ATTACKS[name](TOUCH.format(str(canary)))
    files = [archive(data), *(legacy(data, i) for i in range(5))]
    for file in files:
        with pytest.raises(pickle.UnpicklingError):
            fastnn.load(file)
    assert not canary.exists()
    with contextlib.suppress(Exception):  # the attack itself works
        result = Persistent(io.BytesIO(data)).load()
        if hasattr(result, "wait"):
            result.wait()
    assert canary.exists(), "this attack does nothing on Python's own unpickler: it tests nothing"


@pytest.mark.parametrize(
    "name",
    ["numpy.core.multiarray:_reconstruct", "numpy:ndarray", "numpy:dtype", "numpy.core.multiarray:scalar", "numpy:load", "torch:load", "torch.nn:Module",
     "torch.serialization:load", "torch.utils.data:DataLoader", "functools:partial", "operator:attrgetter", "builtins:open", "builtins:__import__",
     "builtins:type", "builtins:object", "builtins:property", "copyreg:_reconstructor", "importlib:import_module", "types:CodeType", "types:FunctionType",
     "fastnn:load", "fastnn._C:_rebuild_tensor", "torch._C:_rebuild_tensor", "torch:ones", "torch._utils:__builtins__", "torch:__builtins__"],
)  # fmt: skip
def test_names_that_are_not_for_files(name: str) -> None:
    with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
        fastnn.load(archive(b"\x80\x02" + glob(name) + b"."))


@pytest.mark.parametrize(
    "data",
    [
        glob("torch:Tensor") + b"J\0\0\0\x40\x85R",  # 4 GB of whatever was in memory before
        glob("torch:Tensor") + b"]" + text("x") + b"a\x85\x81",
        glob("torch.nn.parameter:Parameter") + b")R",
        glob("builtins:bytearray") + b"J\0\0\0\x40\x85R",
        glob("_codecs:encode") + text("x") + text("rot13") + b"\x86R",  # would import an encoding by name
        glob("torch._tensor:_rebuild_from_type_v2") + glob("_codecs:encode") + glob("torch:Tensor") + b")N(" + b"tR",
        b"]" + text("append") + glob("builtins:set") + b"sb",  # state for a list
        glob("collections:OrderedDict") + b"}" + text("__call__") + b"K\1sb",  # attributes for a class
        glob("torch._utils:_rebuild_tensor_v2") + b"}" + text("__code__") + b"K\1sb",
        glob("torch:float32") + b"}" + text("x") + b"K\1sb",
        glob("torch:Size") + b")K\1s",  # items for something that is no dict
    ],
)
def test_allowed_names_in_wrong_places(data: bytes) -> None:
    with pytest.raises((pickle.UnpicklingError, RuntimeError)):
        fastnn.load(archive(b"\x80\x02" + data + b"."))


def test_state_of_a_tensor_stays_data() -> None:
    """Attributes from a file land in the instance's dict: they neither set properties nor replace the class."""
    p = fastnn.nn.Parameter(fastnn.ones(2))
    p.__dict__.update({"__class__": 1, "data": 2, "grad": 3, "requires_grad": 4, "note": 5})
    file = io.BytesIO()
    fastnn.save(p, file)
    file.seek(0)
    got = fastnn.load(file)
    assert type(got) is fastnn.nn.Parameter
    assert got.note == 5 and got.grad is None and got.requires_grad is True
    assert got.data.tolist() == [1.0, 1.0]


def test_a_key_that_takes_for_ever_to_hash() -> None:
    """t = (t, t) sixty times is sixty objects and 2**60 steps to hash."""
    tower = b")" + b"q\0h\0\x86" * 60
    for use in (b"}" + tower + b"K\1s", b"\x8f(" + tower + b"\x90", b"(" + tower + b"\x91", glob("builtins:set") + b"]" + tower + b"a\x85R"):
        with pytest.raises(pickle.UnpicklingError, match="more than 10000 parts"):
            fastnn.load(archive(b"\x80\x04" + use + b"."))
    assert fastnn.load(archive(b"\x80\x02" + tower + b"."))  # as a value it is harmless


def test_arrays_of_objects_are_no_tensors() -> None:
    for lib_value in (np.array([print], dtype=object), [print]):
        with pytest.raises((TypeError, RuntimeError)):
            fastnn.tensor(lib_value)
