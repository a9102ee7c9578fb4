"""Helpers of the tests: conversion between the libraries, comparison, subprocesses.

Invariant: nothing here knows an op. A comparison states its measure: `same` is bit equality (NaN equals NaN), `close` is a number of
rounding steps of the dtype, taken at the magnitude of each element or of the whole result.
Does not: choose tolerances (op_table.py does). Read next: op_table.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
SANITIZED = any(name in os.environ.get("LD_PRELOAD", "") for name in ("libasan", "libtsan"))  # this run is one of sanitize.py or race.py
FLOATS = ("float32", "float64")
DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")


def data_dir() -> Path:
    """Folder of the data files: FASTNN_DATA, else ../shared/data beside the repository (or two levels up, in a work tree)."""
    if "FASTNN_DATA" in os.environ:
        return Path(os.environ["FASTNN_DATA"])
    for base in (ROOT.parent, ROOT.parent.parent):
        if (base / "shared" / "data").is_dir():
            return base / "shared" / "data"
    return ROOT.parent / "shared" / "data"


def arr(x: Any) -> np.ndarray:
    """A copy of a tensor, number or array as a NumPy array."""
    if hasattr(x, "detach"):
        x = x.detach()
        return np.array(x.numpy(), copy=True)
    return np.array(x)


def leaves(x: Any) -> list[Any]:
    """The tensors of an op's result, in order; named tuples, lists and None flatten away."""
    if x is None:
        return []
    if hasattr(x, "detach"):
        return [x]
    if isinstance(x, tuple | list):
        return [t for item in x for t in leaves(item)]
    if isinstance(x, Mapping):
        return [t for item in x.values() for t in leaves(item)]
    return [x]


def dtype_name(t: Any) -> str:
    return str(t.dtype).rpartition(".")[2]


def same(got: Any, want: Any, what: str = "") -> None:
    """Bit equality of shape, dtype and values; NaN equals NaN, -0.0 differs from 0.0."""
    g, w = arr(got), arr(want)
    assert g.shape == w.shape, f"{what}: shape {g.shape}, expected {w.shape}"
    assert g.dtype == w.dtype, f"{what}: dtype {g.dtype}, expected {w.dtype}"
    if g.dtype.kind == "f":
        equal = (g == w) & (np.signbit(g) == np.signbit(w)) | (np.isnan(g) & np.isnan(w))
    else:
        equal = g == w
    if not equal.all():
        i = tuple(int(k) for k in np.argwhere(~equal)[0]) if g.ndim else ()
        raise AssertionError(f"{what}: {int((~equal).sum())} of {g.size} differ; first at {i}: {g[i]!r}, expected {w[i]!r}")


def close(got: Any, want: Any, steps: float, what: str = "", whole: bool = False, dtype: str | None = None, floor: float = 0) -> None:
    """|got - want| <= steps * eps * magnitude, with eps of `dtype` (default: got's).

    The magnitude is each element's own (at least the smallest normal number), or with `whole` the largest absolute value of the
    result (at least `floor`).
    Infinities and NaN must agree exactly. steps == 0 means `same` up to the sign of zero.
    """
    g, w = arr(got), arr(want)
    assert g.shape == w.shape, f"{what}: shape {g.shape}, expected {w.shape}"
    if g.size == 0:
        return
    if g.dtype.kind != "f":
        assert np.array_equal(g, w), f"{what}: {g} expected {w}"
        return
    info = np.finfo(np.dtype(dtype) if dtype else g.dtype)
    g64, w64 = g.astype(np.float64), w.astype(np.float64)
    finite = np.isfinite(w64)
    assert np.array_equal(np.isnan(g64), np.isnan(w64)), f"{what}: NaN at different places\n{g}\nexpected\n{w}"
    infinite = np.isinf(w64) | np.isinf(g64)
    assert np.array_equal(g64[infinite], w64[infinite]), f"{what}: infinities differ\n{g}\nexpected\n{w}"
    if not finite.any():
        return
    size = np.abs(w64[finite])
    scale = np.maximum(max(size.max(), floor) if whole else size, float(info.tiny))
    error = np.abs(g64[finite] - w64[finite]) / (scale * float(info.eps))
    if error.max() > steps:
        i = int(error.argmax())
        raise AssertionError(
            f"{what}: {error.max():.3g} eps off (allowed {steps:g}, {'of the maximum' if whole else 'of the element'}): "
            f"{g64[finite].flat[i]!r}, expected {w64[finite].flat[i]!r}"
        )


def outcome(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """The result of a call or the exception it raised."""
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001  (the class is what the caller compares)
        return None, error


def run_python(
    code: str | None = None,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter with tests/ importable; `code` runs with -c, else `args` is the command line after the interpreter."""
    full = {**os.environ, **(env or {})}
    full["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [full.get("PYTHONPATH", "")])])
    command = [sys.executable, *(("-c", code) if code is not None else ()), *args]
    limit = timeout * (5 if SANITIZED else 1)
    done = subprocess.run(command, env=full, capture_output=True, text=True, timeout=limit, cwd=ROOT)
    if check and done.returncode != 0:
        raise AssertionError(f"exit status {done.returncode} of {command}\n{done.stdout}\n{done.stderr}")
    return done


def c_environment(**more: str) -> dict[str, str]:
    """For compilers and C programs: not under the sanitizer that sanitize.py puts under Python (a program that is built with it brings it)."""
    return {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS")} | more


def isas() -> list[str]:
    """Instruction sets this machine has, by the operating system's own list (not by asking the library under test)."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ["scalar"]
    flags = set(next((line.split(":", 1)[1].split() for line in text.splitlines() if line.startswith("flags")), []))
    found = ["scalar"]
    if {"avx2", "fma"} <= flags:
        found.append("avx2")
    if {"avx512f", "avx512dq", "avx512bw", "avx512vl", "fma"} <= flags:
        found.append("avx512")
    if "asimd" in text:
        found.append("neon")
    return found
