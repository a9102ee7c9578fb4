"""Calls single kernels of the library through ctypes, each operand between guards, and looks at every byte afterwards.

An operand lies in an arena of its own: at an odd place, rows apart where the kernel takes a stride, everything around it a NaN (integers:
an odd pattern) that is not the one outputs are filled with.
Invariant: after a call all inputs, all guards and all gaps hold the bytes they held before; so what a kernel wrote beyond its output is
an error here, and what it read beyond its input shows as a NaN in the result.
Does not: know any kernel. Read next: kernel_specs.py (what each one is given and must give), c/kernel_table.c (where they come from).
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from support import ROOT

DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")
GUARDS = {"in": {4: 0xFFC0AAAA, 8: 0xFFF8AAAAAAAAAAAA, 1: 0xA5}, "out": {4: 0x7FE12345, 8: 0x7FFC123456789ABC, 1: 0x5A}}
AROUND = 24  # elements of guard behind an operand


class CEntry(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in ("kind", "name", "arguments", "gives")] + [("dtype", ctypes.c_int), ("to", ctypes.c_int), ("function", ctypes.c_void_p)]


@dataclass(frozen=True)
class Kernel:
    """One entry of an instruction set's table."""

    kind: str
    name: str
    gives: str
    parameters: tuple[tuple[str, str], ...]  # (type, name), as kernels.def has them
    dtype: str
    to: str
    address: int

    @property
    def key(self) -> str:
        return f"{self.kind} {self.name} {self.dtype} {self.to}"


def kernels_of(library: ctypes.CDLL, isa: str) -> dict[str, Kernel]:
    """The whole table of an instruction set, by key."""
    entries = (CEntry * 2000)()
    n = library.kernels_of(isa.encode(), entries, len(entries))
    assert 300 < n < len(entries), f"{isa}: {n} kernels"
    found = {}
    for e in entries[:n]:
        parameters = tuple((t.replace("const ", ""), name) for t, name in re.findall(r"((?:const )?\w+ \*?)(\w+)", e.arguments.decode()))
        k = Kernel(e.kind.decode(), e.name.decode(), e.gives.decode(), parameters, DTYPES[e.dtype], DTYPES[e.to], e.function)
        found[k.key] = k
    return found


def contracts(field: str) -> dict[str, list[str]]:
    """A field of each kernel's contract in kernels.def ("May alias"), as the words behind it."""
    text = (ROOT / "csrc" / "kernels" / "kernels.def").read_text()
    found: dict[str, list[str]] = {}
    for comment, names in re.findall(r"/\*((?:[^*]|\*(?!/))*)\*/\s*((?:FNN_KERNEL\(.*\n(?:[ \t]+.*\n)*)+)", text):
        said = re.search(rf"^ \* {field} +(.*?)(?=^ \* \w|\Z)", comment, flags=re.MULTILINE | re.DOTALL)
        for name in re.findall(r"FNN_KERNEL\(\w+, (\w+),", names):
            found[name] = re.findall(r"\w+", said[1]) if said else []
    return found


@dataclass
class Out:
    """An output: what the float64 formula wants there, and what it holds before (guards if None)."""

    want: Any
    start: Any = None
    dtype: str | None = None  # the kernel's own if None


@dataclass(frozen=True)
class Scratch:
    """So many elements, 64-byte aligned, that may hold anything afterwards: nothing beyond them may change."""

    elements: int


@dataclass(frozen=True)
class RowOf:
    """The distance between the rows of an operand, in elements."""

    operand: str


@dataclass
class Task:
    """A kernel's task struct: its type and its fields, given as a kernel's operands are."""

    type: type[ctypes.Structure]
    fields: dict[str, Any]


class Arena:
    """Memory around one operand."""

    def __init__(self, values: np.ndarray | None, shape: tuple[int, ...], dtype: str, role: str, gap: int, shift: int) -> None:
        word = np.dtype(f"u{np.dtype(dtype).itemsize}")
        rows, n = (1, int(np.prod(shape))) if len(shape) < 2 or not gap else (int(np.prod(shape[:-1])), shape[-1])
        self.row = n + gap if gap else (shape[-1] if shape else 1)
        size = shift + rows * (n + gap) + AROUND
        raw = np.empty(size * word.itemsize + 64, np.uint8)
        at = -raw.ctypes.data % 64
        self.words = raw[at : at + size * word.itemsize].view(word)
        self.words[:] = GUARDS[role][word.itemsize]
        self.places = (shift + np.arange(rows)[:, None] * (n + gap) + np.arange(n)).reshape(-1)
        self.shape, self.role, self.address = shape, role, self.words.ctypes.data + shift * word.itemsize
        self.dtype = np.dtype(dtype)
        if values is not None:
            self.words[self.places] = np.ascontiguousarray(values, self.dtype).reshape(-1).view(word)
        self.before = self.words.copy()

    def values(self) -> np.ndarray:
        return self.words[self.places].view(self.dtype).reshape(self.shape)

    def check(self, what: str) -> None:
        if self.role == "out":
            self.before[self.places] = self.words[self.places]
        if not np.array_equal(self.words, self.before):
            wrong = np.flatnonzero(self.words != self.before) - self.places[0] if self.places.size else np.flatnonzero(self.words != self.before)
            raise AssertionError(f"{what}: {'wrote beyond its output' if self.role == 'out' else 'wrote into an input'}, at elements {wrong[:9]} of {self.places.size}")


def lay(operands: Mapping[str, Any], k: Kernel, strided: set[str], seed: int) -> dict[str, Arena]:
    """An arena for each array and output."""
    found = {}
    for i, (name, v) in enumerate(operands.items()):
        shift, gap = 1 + (5 * seed + 3 * i) % 17, 1 + (seed + i) % 5 if name in strided else 0
        if isinstance(v, Out):
            want = np.asarray(v.want)
            found[name] = Arena(v.start, want.shape, v.dtype or k.dtype, "out", gap, shift)
        elif isinstance(v, Scratch):
            found[name] = Arena(None, (v.elements,), k.dtype, "out", 0, 64)
        elif isinstance(v, np.ndarray):
            found[name] = Arena(v, v.shape, k.dtype if v.dtype.kind == "f" else str(v.dtype), "in", gap, shift)
    return found


def scalar(kind: str, value: Any, dtype: str) -> Any:
    real = ctypes.c_float if dtype == "float32" else ctypes.c_double
    return {"int64_t": ctypes.c_int64, "real": real, "double": ctypes.c_double}[kind.strip()](value)


def call(k: Kernel, operands: dict[str, Any], seed: int, alias: tuple[str, str] | None, what: str) -> dict[str, np.ndarray]:
    """Calls the kernel on operands by name and returns its outputs; with alias (y, x) the output y is the input x."""
    task = next((v for v in operands.values() if isinstance(v, Task)), None)
    flat = {**operands, **(task.fields if task else {})}
    rows = {v.operand for v in flat.values() if isinstance(v, RowOf)}
    strided = rows | {re.sub("_(stride|row)$", "", p) for _, p in k.parameters if re.search("_(stride|row)$", p) and p not in operands}
    if alias:
        y, x = alias
        flat[y] = Out(flat[y].want, start=flat[x])
        flat[x] = None
    arenas = lay(flat, k, strided, seed)
    if alias:
        arenas[alias[1]] = arenas[alias[0]]

    def value(kind: str, name: str) -> Any:
        if name in arenas:
            return ctypes.c_void_p(arenas[name].address)
        if name not in flat:  # a stride
            return ctypes.c_int64(arenas[re.sub("_(stride|row)$", "", name)].row)
        v = flat[name]
        if isinstance(v, Task):
            fields = {f: arenas[f].address if f in arenas else arenas[w.operand].row if isinstance(w, RowOf) else w for f, w in v.fields.items()}
            return ctypes.byref(v.type(**fields))
        if isinstance(v, ctypes.Structure):
            return ctypes.byref(v)
        return ctypes.c_void_p(None) if v is None else scalar(kind, v, k.dtype)

    real = ctypes.c_float if k.dtype == "float32" else ctypes.c_double
    times = next((v for v in flat.values() if isinstance(v, list)), [None])  # several values of one argument are several calls
    for turn in times:
        flat |= {name: turn for name, v in operands.items() if isinstance(v, list)}
        arguments = [value(kind, name) for kind, name in k.parameters]
        result = ctypes.CFUNCTYPE(real if k.gives == "real" else None, *map(type_of, arguments))(k.address)(*arguments)
    for name, arena in arenas.items():
        if not alias or name != alias[1]:
            arena.check(f"{what}: {name}")
    outputs = {name: arenas[name].values() for name, v in flat.items() if isinstance(v, Out)}
    return outputs | ({"result": np.asarray(result, k.dtype)} if k.gives == "real" else {})


def type_of(argument: Any) -> Any:
    return type(argument) if isinstance(argument, ctypes._SimpleCData) else ctypes.c_void_p
