"""Every kernel of every instruction set between guards: all lengths around the vector widths, odd places, NaN all around.

Each result is compared with its formula in float64, and bit by bit with the scalar kernel's. Lengths go from 0 to three vectors and one.
Invariant: generic over the library's own table of kernels; a kernel without a spec (kernel_specs.py) or a formula fails here.
Does not: cover peak_fma, whose result is nobody's. Read next: kernel_guards.py.
"""

from __future__ import annotations

import ctypes
import functools
import subprocess
from collections.abc import Iterator
from typing import Any

import kernel_recurrent  # noqa: F401  (registers its specs)
import numpy as np
import pytest
from counts import proved
from kernel_guards import DTYPES, GUARDS, Kernel, Out, call, contracts, kernels_of
from kernel_specs import LOOP_OPS, LOOPS, SPECS, Draw
from op_table import ROWS
from reference import ORACLES
from support import ROOT, c_environment, close, isas, same
from test_c_program import CHECKS, COMPILER, FLAGS, built_objects, compile_units

NOT_HERE = ("peak_fma",)
ALIASES = contracts("May alias")
Tables = dict[str, dict[str, Kernel]]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The kernels of each instruction set, scalar first."""
    folder = tmp_path_factory.mktemp("kernels")
    objects = [str(o) for o in built_objects() or compile_units(folder)]
    source, library = ROOT / "tests" / "c" / "kernel_table.c", folder / "kernels.so"
    command = [*COMPILER, *FLAGS, *CHECKS, "-fPIC", "-shared", "-I", str(ROOT / "csrc"), str(source), *objects, "-o", str(library), "-lm", "-ldl", "-pthread"]
    subprocess.run(command, check=True, env=c_environment())
    loaded = ctypes.CDLL(str(library))
    return {isa: kernels_of(loaded, isa) for isa in isas()}


def lengths(dtype: str) -> range:
    """0 to three vectors and one."""
    return range(3 * 64 // np.dtype(dtype).itemsize + 2)


def test_every_kernel_has_a_spec(tables: Tables) -> None:
    kernels = tables["scalar"].values()
    missing = {k.name for k in kernels if k.kind in ("real", "int") and k.name not in SPECS and k.name not in NOT_HERE}
    missing |= {k.name for k in kernels if k.kind in ("unary", "binary", "ternary") and k.name not in LOOPS and k.name not in ORACLES}
    assert not missing, f"kernels without a spec in kernel_specs.py: {sorted(missing)}"
    assert all(set(t) == set(tables["scalar"]) for t in tables.values())


def check(found: dict[str, np.ndarray], given: dict[str, Any], steps: float, what: str) -> None:
    """The outputs beside the formula."""
    for name, got in found.items():
        want = np.asarray(given[name].want)
        if got.dtype.kind == "f" and steps:
            close(got, want, steps * (4 if got.dtype == np.float64 else 1), f"{what} {name}", whole=True, floor=1)
        else:
            assert np.array_equal(got, want.astype(got.dtype)), f"{what} {name}: {got} expected {want}"


def alias_of(name: str, given: dict[str, Any], n: int) -> tuple[str, str] | None:
    """(output, input) that are one memory, where the contract allows it: at every third length."""
    pair = [w for w in map(str.lower, ALIASES.get(name, [])) if given.get(w) is not None]
    if n % 3 or len(pair) != 2 or np.shape(pair_values(given, pair[0])) != np.shape(pair_values(given, pair[1])):
        return None
    return (pair[0], pair[1]) if isinstance(given[pair[0]], Out) else (pair[1], pair[0])


def pair_values(given: dict[str, Any], name: str) -> Any:
    return given[name].want if isinstance(given[name], Out) else given[name]


@functools.lru_cache(maxsize=4)
def operands_of_rows(name: str, dtype: str, panel: int, rows: int, n: int) -> dict[str, Any]:
    """Odd lengths go without what may be NULL."""
    return SPECS[name].make(Draw(np.random.RandomState(n * 31 + rows), dtype, panel), rows, n, n % 2 == 1)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("name", list(SPECS))
def test_kernels_of_rows(name: str, dtype: str, tables: Tables) -> None:
    spec = SPECS[name]
    key = next((k.key for k in tables["scalar"].values() if k.name == name and k.dtype == dtype and k.kind in ("real", "int")), None)
    for n in lengths(dtype)[spec.least :] if key else ():
        for rows in spec.rows:
            scalar: dict[str, np.ndarray] = {}
            for isa, table in tables.items():
                operands = operands_of_rows(name, dtype, 4 if isa == "avx512" else 1, rows, n)
                given = {**operands, **(operands["task"].fields if "task" in operands else {})}
                alias = alias_of(name, given, n)
                what = f"{name} {dtype} {isa} rows {rows} n {n} {' is '.join(alias or ())}"
                found = call(table[key], operands, n + rows, alias, what)
                check(found, given, spec.steps, what)
                scalar = scalar or found
                for output in found if name != "gemm_pack" else ():
                    same(found[output], scalar[output], f"{what} {output} beside scalar")
                proved(spec.op, "guards", len(found))


# --- elementwise loops -------------------------------------------------------------------------------------------------------------------

POSITIVE = {"log", "log2", "log10", "sqrt", "rsqrt", "lgamma", "digamma", "reciprocal", "reciprocal_square", "pow"}
WITHIN_ONE = {"asin", "acos", "erfinv", "log1p"}
TO_BOOL = {"logical_not", "isnan", "isinf", "isfinite", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor"}
SECOND_POSITIVE = {"fmod", "remainder", "floor_divide", "div", "trunc_divide", "digamma_backward", "lshift", "rshift", "addcdiv"}


def operands_of(k: Kernel, n: int) -> list[np.ndarray]:
    """Inputs in the kernel's dtype, n each, where its function is defined."""
    count = {"unary": 1, "binary": 2, "ternary": 3}[k.kind] + (k.name in ("addcmul", "addcdiv"))
    rs, found = np.random.RandomState(n), []
    for i in range(count):
        positive = (k.name in POSITIVE and i == 0) or (k.name in SECOND_POSITIVE and i >= 1)
        if k.dtype.startswith("float"):
            found.append(rs.uniform(0.2 if positive else -0.95 if k.name in WITHIN_ONE else -3, 0.95 if k.name in WITHIN_ONE else 3, n).astype(k.dtype))
        elif k.dtype == "bool":
            found.append(rs.randint(0, 2, n).astype(np.uint8))
        else:
            found.append(rs.randint(1 if positive else 0 if k.dtype == "uint8" or (k.name == "pow" and i) else -9, 7, n).astype(k.dtype))
    if k.name == "where":
        found[0] = rs.randint(0, 2, n).astype(np.uint8)
    return found


def expected(k: Kernel, inputs: list[np.ndarray]) -> np.ndarray:
    wide = [a.astype(np.float64) if a.dtype.kind == "f" else a.astype(bool) if k.dtype == "bool" or (k.name == "where" and i == 0) else a for i, a in enumerate(inputs)]
    with np.errstate(all="ignore"):
        return np.asarray((LOOPS.get(k.name) or ORACLES[k.name])(*wide))


class Line:
    """Elements of one operand, `step` apart (0: one element for all), between guards."""

    def __init__(self, dtype: Any, role: str, longest: int, step: int, shift: int) -> None:
        self.dtype, self.step, self.shift = np.dtype(dtype), step, shift
        word = np.dtype(f"u{self.dtype.itemsize}")
        self.words = np.empty(shift + max(step, 1) * longest + 24, word)
        self.guard = word.type(GUARDS[role][word.itemsize])
        self.address, self.stride = self.words.ctypes.data + shift * word.itemsize, step * word.itemsize

    def put(self, values: np.ndarray) -> None:
        self.words[:] = self.guard
        n = len(values) if self.step else min(len(values), 1)
        self.words[self.shift : self.shift + n * (self.step or 1) : self.step or 1] = values[:n].view(self.words.dtype)

    def holds(self, values: np.ndarray) -> bool:
        """Whether it holds these values and nothing else was written."""
        want = np.full_like(self.words, self.guard)
        want[self.shift : self.shift + len(values) * self.step : self.step] = values.view(self.words.dtype)
        return np.array_equal(self.words, want)


def variants(count: int) -> Iterator[tuple[int, ...]]:
    """Steps of the output and the inputs: contiguous, strided, each input in turn one number."""
    yield (1,) * (count + 1)
    yield (2, *(3, 1, 2, 3)[:count])
    for one in range(count if count > 1 else 0):
        yield (1, *(int(i != one) for i in range(count)))


def run_loop(k: Kernel, to: np.dtype, inputs: list[np.ndarray], steps: tuple[int, ...], want: np.ndarray | None, what: str, over: bool = False) -> np.ndarray:
    """The loop at all lengths; each must give the first elements of `want` (of its own longest if None) and write nothing else.
    over: its output is its first input."""
    longest = len(inputs[0])
    lines = [Line(a.dtype, "in", longest, s, 1 + 3 * i) for i, (a, s) in enumerate(zip(inputs, steps[1:], strict=True))]
    out = lines[0] if over else Line(to, "out", longest, steps[0], 5)
    pointers, strides = (ctypes.c_void_p * 5)(out.address, *(li.address for li in lines)), (ctypes.c_int64 * 5)(out.stride, *(li.stride for li in lines))
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(k.address)
    for n in range(longest, -1, -1):
        out.put(np.empty(0, to))
        for line, a in zip(lines, inputs, strict=True):
            line.put(a[:n])
        function(pointers, strides, n)
        if want is None:
            want = out.words[5 : 5 + n * steps[0] : steps[0]].view(to).copy()
        assert out.holds(want[:n]), f"{what}: {n} elements, steps {steps}{', over its input' * over}"
    assert want is not None
    return want


def loop_op(k: Kernel) -> str:
    return LOOP_OPS.get(k.name, k.name.removesuffix("_backward"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["unary", "binary", "ternary"])
def test_elementwise_loops(kind: str, dtype: str, tables: Tables) -> None:
    longest = lengths(dtype)[-1]
    for key, k in tables["scalar"].items():
        if k.kind != kind or k.dtype != dtype:
            continue
        row = ROWS.get(loop_op(k))
        to = np.dtype("uint8" if k.name in TO_BOOL or dtype == "bool" else dtype)
        inputs = operands_of(k, longest)
        for steps in variants(len(inputs)):
            used = [a if s else np.repeat(a[:1], longest) for a, s in zip(inputs, steps[1:], strict=True)]
            scalar = run_loop(k, to, inputs, steps, None, f"{key} scalar")
            want = expected(k, used)
            if to.kind == "f" and row is not None and k.name == loop_op(k):
                close(scalar, want.astype(to), max(row.steps, 2) * (4 if dtype == "float64" else 1), f"{key} {steps}", row.whole, floor=row.floor)
            elif to.kind == "f":  # in float64 the formula itself rounds
                close(scalar, want.astype(to), 8 if dtype == "float32" else 32, f"{key} {steps}", whole=True, floor=1)
            else:
                whole = want != 0 if dtype == "bool" else want.astype(to)
                assert np.array_equal(scalar, whole), f"{key} {steps}: {scalar} expected {whole}"
            for isa, table in tables.items():
                if isa != "scalar":
                    run_loop(table[key], to, inputs, steps, scalar, f"{key} {isa}")
                if inputs[0].dtype == to and steps[0] == steps[1] == 1:
                    run_loop(table[key], to, inputs, steps, scalar, f"{key} {isa}", over=True)
            proved(loop_op(k), "guards", len(tables) * (longest + 1))


@pytest.mark.parametrize("isa", isas())
def test_casts(isa: str, tables: Tables) -> None:
    for key, k in tables[isa].items():
        if k.kind != "cast":
            continue
        source, to = np.dtype(k.dtype.replace("bool", "uint8")), np.dtype(k.to.replace("bool", "uint8"))
        x = (np.random.RandomState(3).uniform(0, 2 if k.dtype == "bool" else 9, lengths(k.dtype)[-1])).astype(source)
        want = (x != 0).astype(to) if k.to == "bool" else x.astype(to)
        for steps in ((1, 1), (2, 3), (1, 0)) if k.dtype == k.to else ((1, 1), (2, 3)):
            run_loop(k, to, [x], steps, np.repeat(want[:1], len(x)) if steps[1] == 0 else want, f"{key} {isa}")
        proved("to", "guards", len(x) + 1)


@pytest.mark.parametrize("isa", isas())
def test_transposing_copies(isa: str, tables: Tables) -> None:
    for key, k in tables[isa].items():
        if k.kind != "copy_2d":
            continue
        word = np.dtype(f"u{1 << DTYPES.index(k.dtype)}")
        function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2, *[ctypes.c_void_p] * 2)(k.address)
        for rows in (0, 1, 3, 17, 40):
            for cols in range(0, 50, 3):
                x = np.random.RandomState(rows).randint(1, 200, (rows, cols)).astype(word)
                out = np.full((rows + 2, cols + 5), 0xEE, word)
                inside = out[1 : rows + 1, 3 : cols + 3]
                source = np.ascontiguousarray(x.T)  # rows and columns change places
                y_stride, x_stride = (ctypes.c_int64 * 2)(cols + 5, 1), (ctypes.c_int64 * 2)(1, rows)
                function(out.ctypes.data + (cols + 8) * word.itemsize, source.ctypes.data, rows, cols, y_stride, x_stride)
                assert np.array_equal(inside, x), f"{key} {isa} {rows} x {cols}"
                inside[:] = 0xEE
                assert (out == 0xEE).all(), f"{key} {isa} {rows} x {cols} wrote beyond its output"
                proved("clone", "guards")
