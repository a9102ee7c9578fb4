"""What each generic proof of an op decides, once: pytest (test_ops.py, test_isa.py, test_threads.py) and `fastnn verify` both call these.

Invariant: a proof takes a row of the op table, raises AssertionError at the first wrong number and returns how many numbers it compared.
Imports no torch. Does not: choose rows or count failures. Read next: op_table.py (the rows), verify.py (the command).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from op_table import Row
from reference import ORACLES
from support import arr, close, leaves, outcome, same
from table_calls import accepted, cast, forward_backward, prepare, wants, weights_for

THREADS = (1, 2, 3, 7)
Results = dict[str, np.ndarray]


def gradient_by_differences(lib: Any, row: Row) -> int:
    """Central differences in float64 at up to 12 entries of each input."""
    rs = np.random.RandomState(3)
    compared = 0
    for n, sample in enumerate(row.cases()):
        if not sample.grad or not sample.numeric or sample.large:
            continue
        _, gradients = forward_backward(lib, row, sample, "float64")
        args, kwargs, made = prepare(lib, sample, "float64")

        def loss(args: Any = args, kwargs: Any = kwargs) -> float:
            outputs = [o for o in leaves(row.run(lib, args, kwargs)) if arr(o).dtype.kind == "f"]
            return sum(float((arr(o) * arr(w)).sum()) for o, w in zip(outputs, weights_for(lib, outputs), strict=True))

        with lib.no_grad():
            for i, (x, grad) in enumerate(zip(made, gradients, strict=True)):
                if x.numel() == 0 or grad is None:
                    continue
                flat, g = x.view(-1), arr(grad).reshape(-1)
                for k in rs.permutation(x.numel())[:12]:
                    at, h = flat[int(k)].item(), 1e-5
                    flat[int(k)] = at + h
                    up = loss()
                    flat[int(k)] = at - h
                    down = loss()
                    flat[int(k)] = at
                    slope = (up - down) / (2 * h)
                    if np.isnan(slope):  # the value itself is NaN there
                        continue
                    compared += 1
                    assert abs(slope - g[k]) <= 2e-6 * max(1.0, abs(slope), abs(up)), f"{row.name} sample {n} input {i} entry {k}: gradient {g[k]}, finite difference {slope}"
    return compared


def results(lib: Any, row: Row) -> Results:
    """Every output and gradient of the row, by name: what two processes are compared by."""
    found: Results = {}
    for dtype in row.dtypes:
        for n, sample in accepted(lib, row, dtype):
            outputs, gradients = forward_backward(lib, row, sample, dtype, wanted=wants(row, sample, dtype))
            for kind, values in (("out", outputs), ("grad", gradients)):
                for i, v in enumerate(leaves(values)):
                    found[f"{row.name}/{dtype}/{n}/{kind}{i}"] = arr(v)
    return found


def equal_bits(row: Row, got: Results, want: Results) -> int:
    """The row's results of two instruction sets; NaN equals NaN."""
    keys = [k for k in want if k.startswith(row.name + "/")]
    assert keys == [k for k in got if k.startswith(row.name + "/")], f"{row.name}: results of different samples"
    for k in keys:
        same(got[k], want[k], k)
    return sum(want[k].size for k in keys)


def equal_with_threads(lib: Any, row: Row, dtype: str) -> int:
    """The bits of one thread, with 2, 3 and 7; on the row's large samples, or its first two if it has none."""
    compared = 0
    for sample in [s for s in row.cases() if s.large] or row.cases()[:2]:
        if not dtype.startswith("float") and outcome(lambda s=sample: row.run(lib, *prepare(lib, s, dtype)[:2]))[1]:
            continue  # refused, as test_ops.py proves
        wanted = wants(row, sample, dtype)
        found = []
        for threads in THREADS:
            lib.set_num_threads(threads)
            assert lib.get_num_threads() == threads
            found.append(leaves(list(forward_backward(lib, row, sample, dtype, wanted=wanted))))
        for other, threads in zip(found[1:], THREADS[1:], strict=True):
            for a, b in zip(found[0], other, strict=True):
                same(b, a, f"{row.name} with {threads} threads")
                compared += arr(a).size
    return compared


def to_oracle(value: Any, dtype: str) -> Any:
    """An argument as the oracle gets it: exactly the values the op gets, in float64."""
    if isinstance(value, np.ndarray):
        a = cast(value, dtype)
        return a.astype(np.float64) if a.dtype.kind == "f" else a
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [to_oracle(v, dtype) for v in value]
    return value


def oracle_of(row: Row) -> Any:
    return ORACLES.get(row.name)


def close_to_oracle(row: Row, dtype: str, got: Results) -> int:
    """The row's outputs beside its formula in float64 NumPy (reference.py)."""
    oracle, compared = oracle_of(row), 0
    for n, sample in enumerate(row.cases()):
        args = tuple(to_oracle(a, dtype) for a in sample.args)
        kwargs = {k: to_oracle(v, dtype) for k, v in sample.kwargs.items()}
        if row.name == "rms_norm":
            kwargs["found_eps"] = float(np.finfo(dtype).eps)
        with np.errstate(all="ignore"):
            want = oracle(*args, **kwargs)
        for i, w in enumerate(want if isinstance(want, list) else [want]):
            found = got[f"{row.name}/{dtype}/{n}/out{i}"]
            compared += found.size
            if found.dtype.kind != "f":
                assert np.array_equal(found, w), f"{row.name} sample {n}"
                continue
            with np.errstate(all="ignore"):
                rounded = np.asarray(w, np.float64).astype(found.dtype).astype(np.float64)
            steps = (row.steps or 1) * (8 if dtype == "float64" else 1)  # in float64 the oracle itself rounds
            close(found, rounded if dtype == "float32" else np.asarray(w), steps, f"{row.name} {dtype} sample {n} {sample.kwargs}", row.whole, floor=row.floor)
    return compared
