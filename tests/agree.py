"""One expression, both libraries: evaluate it in each and compare everything that can be seen of the results.

Invariant: `agree` compares dtype, shape, strides, requires_grad, bits (or the stated number of rounding steps), Python types and values, or
the class of the exception. Does not: know what the answer should be; PyTorch does. Read next: test_tensor_api.py.
"""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from typing import Any

import numpy as np
import torch
from support import close, dtype_name, outcome, same

import fastnn


def names(lib: Any) -> dict[str, Any]:
    """What expressions may use: i.. integers, f.. floats, d.. doubles, b.. bools, s.. strided, e empty, w.. wanting a gradient."""
    rs = np.random.RandomState(5)

    def f(*shape: int, dtype: str = "float32") -> Any:
        return lib.from_numpy(rs.uniform(-2, 2, shape).astype(dtype))

    return {
        "torch": lib, "F": lib.nn.functional, "nn": lib.nn, "np": np, "math": math, "copy": copy, "pickle": pickle, "inf": math.inf, "nan": math.nan,
        "f0": f(), "f1": f(4), "f2": f(3, 4), "f3": f(2, 3, 4), "d1": f(4, dtype="float64"), "d2": f(3, 4, dtype="float64"),
        "i0": lib.tensor(3), "i1": lib.tensor([3, 1, 2, 0]), "i2": lib.tensor([[5, -2, 7, 1], [0, 3, -4, 9], [2, 2, 8, -1]]), "j1": lib.tensor([1, 2, 3, 4], dtype=lib.int32), "u1": lib.tensor([0, 7, 200, 255], dtype=lib.uint8),
        "b0": lib.tensor(True), "b1": lib.tensor([True, False, True, True]), "b2": lib.tensor([[True, False, True, False], [False] * 4, [True] * 4]),
        "s2": f(4, 3).t(), "s3": f(4, 6, 3).permute(2, 0, 1)[:, :, ::2], "e": lib.zeros(0, 4), "w0": f().requires_grad_(True), "w1": f(4).requires_grad_(True), "w2": f(3, 4).requires_grad_(True),
    }  # fmt: skip


def run(lib: Any, code: str) -> tuple[Any, BaseException | None]:
    """The value of the last line (lines are separated by ';' or newlines)."""
    space = names(lib)
    *before, last = [c for c in code.replace("; ", "\n").split("\n") if c.strip()]

    def call() -> Any:
        for line in before:
            exec(line, space)
        return eval(last, space)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return outcome(call)


def compare(got: Any, want: Any, steps: float, what: str, strides: bool = True) -> None:
    if isinstance(want, torch.Tensor):
        assert isinstance(got, fastnn.Tensor), f"{what}: {type(got)}, torch gives a tensor"
        assert dtype_name(got) == dtype_name(want), f"{what}: {got.dtype}, torch has {want.dtype}"
        assert tuple(got.shape) == tuple(want.shape), f"{what}: {tuple(got.shape)}, torch has {tuple(want.shape)}"
        if (strides or want._is_view()) and want.numel() > 1:
            assert tuple(got.stride()) == tuple(want.stride()), f"{what}: strides {tuple(got.stride())}, torch has {tuple(want.stride())}"
        assert got.requires_grad == want.requires_grad, f"{what}: requires_grad {got.requires_grad}"
        if steps:
            close(got, want, steps, what, whole=True)
        else:
            same(got, want, what)
    elif isinstance(want, torch.dtype | torch.device | torch.layout | torch.memory_format):
        assert str(got) == str(want), f"{what}: {got}, torch has {want}"
    elif isinstance(want, np.ndarray | np.generic):
        assert type(got).__name__ == type(want).__name__, f"{what}: {type(got)}"
        same(got, want, what)
    elif isinstance(want, tuple | list):
        assert type(got).__name__ == type(want).__name__, f"{what}: {type(got)}, torch has {type(want)}"
        assert len(got) == len(want), what
        for k, (g, w) in enumerate(zip(got, want, strict=True)):
            compare(g, w, steps, f"{what} [{k}]", strides)
    elif isinstance(want, float) and steps:
        assert type(got) is float
        close(np.float64(got), np.float64(want), steps, what, dtype="float32")
    elif isinstance(want, float) and math.isnan(want):
        assert isinstance(got, float) and math.isnan(got), f"{what}: {got!r}, torch has nan"
    elif isinstance(want, type | np.dtype) or want is None or isinstance(want, bool | int | float | str | bytes | dict | set):
        assert got == want, f"{what}: {got!r}, torch has {want!r}"
        assert type(got) is type(want), f"{what}: {type(got)}, torch has {type(want)}"
    else:
        assert type(got).__name__ == type(want).__name__, f"{what}: {type(got)}, torch has {type(want)}"


def agree(code: str, steps: float = 0, strides: bool = True) -> None:
    want, want_error = run(torch, code)
    got, got_error = run(fastnn, code)
    if want_error is not None:
        assert got_error is not None, f"{code}: gives {got!r}, torch raises {type(want_error).__name__}: {str(want_error)[:150]}"
        assert type(got_error) is type(want_error), f"{code}: {type(got_error).__name__}({got_error}), torch raises {type(want_error).__name__}({str(want_error)[:150]})"
        assert str(got_error).strip(), f"{code}: empty message"
        return
    if got_error is not None:
        raise AssertionError(f"{code}: {type(got_error).__name__}: {got_error}") from got_error
    compare(got, want, steps, code, strides)
