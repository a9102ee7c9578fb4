"""The generic proofs over the op table against PyTorch: values and gradients, finite differences, wrong calls and dtypes.

Invariant: a proof written here holds for every row, also for rows still to come.
Does not: compare fastnn with itself (test_proofs.py), check instruction sets and threads (test_isa.py, test_threads.py) or the faces of
ops in Python (test_tensor_api.py). Read next: op_table.py, test_proofs.py.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from counts import proved
from op_table import ALL, FLOATS, ROWS, Row, Sample
from proofs import gradient_by_differences
from support import arr, close, leaves, outcome, same
from table_calls import LAYOUTS, forward_backward, prepare

import fastnn

IDS = [(name, dtype) for name in ROWS for dtype in ALL]
GRADIENTS = [(name, dtype) for name, r in ROWS.items() if r.grad for dtype in r.dtypes if dtype.startswith("float")]


def layouts_of(sample: Sample, dtype: str) -> tuple[str, ...]:
    """All layouts in float; whole numbers and large samples show that they are taken, and that strides are followed."""
    return ("contiguous",) if sample.large else ("contiguous", *LAYOUTS) if dtype.startswith("float") else ("contiguous",)


def samples_in(row: Row, dtype: str) -> list[tuple[int, Sample]]:
    """All of them in float; whole numbers in the small ones; three are enough to see a dtype refused."""
    every = list(enumerate(row.cases()))
    if dtype in row.dtypes and (dtype.startswith("float") or row.dtypes[0] not in FLOATS):
        return every
    return [(n, s) for n, s in every if not s.large][: None if dtype in row.dtypes else 3]


def strides(t: Any) -> list[int]:
    """Those that decide where an element lies."""
    return [s for s, n in zip(t.stride(), t.shape, strict=True) if n > 1]


def compare(got: list[Any], want: list[Any], row: Row, layout: str, what: str) -> None:
    assert len(got) == len(want), what
    for g, w in zip(got, want, strict=True):
        assert str(getattr(g, "dtype", type(g))).rpartition(".")[2] == str(getattr(w, "dtype", type(w))).rpartition(".")[2], what
        if row.steps:
            close(g, w, row.steps, what, row.whole, floor=row.floor)
        else:
            same(g, w, what)
        if row.layout in ("all", layout) and hasattr(w, "stride") and w.numel() > 1:
            assert strides(g) == strides(w), f"{what}: strides {tuple(g.stride())}, torch has {tuple(w.stride())}"


@pytest.mark.parametrize(("name", "dtype"), IDS)
def test_values_beside_torch(name: str, dtype: str) -> None:
    """What torch takes is taken, with its dtype, layout and values; what it refuses is refused with the same class."""
    row = ROWS[name]
    if dtype not in row.dtypes and "dtypes" in row.lacks:
        return
    taken = 0
    for n, sample in samples_in(row, dtype):
        for layout in layouts_of(sample, dtype):
            results, errors = [], []
            for lib in (torch, fastnn):
                args, kwargs, _ = prepare(lib, sample, dtype, layout)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    result, error = outcome(lambda lib=lib, args=args, kwargs=kwargs: leaves(row.run(lib, args, kwargs)))
                results.append(result)
                errors.append(error)
            what = f"{name} {dtype} sample {n} {layout} {sample.kwargs}"
            if dtype not in row.dtypes and any(hasattr(t, "numel") and t.numel() == 0 for t in leaves([args, result])):
                continue  # torch refuses a dtype when it comes to computing
            if errors[0] is not None:
                assert type(errors[1]) is type(errors[0]), f"{what}: {errors[1]!r}, torch raises {errors[0]!r}"
                proved(name, "refused")
            else:
                assert errors[1] is None, f"{what}: {errors[1]!r}, torch takes it"
                compare(results[1], results[0], row, layout, what)
                proved(name, "values", len(results[0]))
                taken += 1
    assert (taken > 0) == (dtype in row.dtypes), f"{name} takes {dtype}: {taken > 0}; its row says otherwise"


@pytest.mark.parametrize(("name", "dtype"), GRADIENTS)
def test_gradients_beside_torch(name: str, dtype: str) -> None:
    row = ROWS[name]
    for n, sample in enumerate(row.cases()):
        if not sample.grad:
            continue
        for layout in ("contiguous", *(() if sample.large else LAYOUTS)):
            if layout == "expanded" and name == "std" and sample.args[0].ndim == 1:
                continue  # equal elements, whose std is not smooth; torch's own is a rounding error, with a gradient
            _, want = forward_backward(torch, row, sample, dtype, layout)
            _, got = forward_backward(fastnn, row, sample, dtype, layout)
            for i, (g, w) in enumerate(zip(got, want, strict=True)):
                what = f"{name} sample {n} {layout} gradient {i} {sample.kwargs}"
                assert (g is None) == (w is None), what
                if w is not None and row.grad_steps:
                    close(g, w, row.grad_steps, what, whole=True, floor=row.floor)
                elif w is not None:
                    same(g, w, what)
                proved(name, "grads")


@pytest.mark.parametrize("name", [n for n, r in ROWS.items() if r.grad and r.numeric])
def test_gradient_by_finite_differences(name: str) -> None:
    proved(name, "slopes", gradient_by_differences(fastnn, ROWS[name]))


def wrong_call_inputs(lib: Any) -> dict[str, Any]:
    """The names wrong calls are written in (op_table.py and test_errors.py)."""
    return {
        "torch": lib, "F": lib.nn.functional, "nn": lib.nn, "np": np,
        "x": lib.arange(12, dtype=lib.float32).reshape(3, 4) / 7 - 0.5, "y5": lib.arange(5, dtype=lib.float32), "idx": lib.tensor([2, 0, 1]),
        "idx2": lib.tensor([[0, 1, 2, 0], [2, 1, 0, 1], [1, 1, 1, 1]]), "mask": lib.tensor([[True, False, True, False]] * 3),
    }  # fmt: skip


TENSORS = ("x", "y5", "idx", "idx2", "mask")


def check_wrong_call(code: str, said: str | None = None) -> None:
    """torch refuses the call; fastnn must raise the same class, say something that names the op, and leave all inputs as they were."""
    errors: list[BaseException] = []
    for lib in (torch, fastnn):
        names = wrong_call_inputs(lib)
        before = {k: arr(names[k]).tobytes() for k in TENSORS}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, error = outcome(lambda names=names: exec(compile(code, "wrong call", "exec"), names))
        assert error is not None, f"{lib.__name__} accepts {code}"
        if lib is fastnn:
            assert {k: arr(names[k]).tobytes() for k in TENSORS} == before, f"{code} changed its inputs"
        errors.append(error)
    want, got = errors
    assert type(got) is type(want), f"{code}: {type(got).__name__}({got}), torch raises {type(want).__name__}({str(want)[:200]})"
    assert str(got).strip(), f"{code}: empty message"
    if said:
        assert re.search(said, str(got), re.IGNORECASE), f"{code}: the message does not say {said!r}: {got}"


@pytest.mark.parametrize(("name", "code"), [(n, c) for n, r in ROWS.items() for c in r.errors])
def test_wrong_calls_of_the_table(name: str, code: str) -> None:
    check_wrong_call(code)
    proved(name, "refused")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 49, 63, 65])
def test_in_place_writes_stay_inside(n: int, dtype: str) -> None:
    """Ops that write into a misaligned slice leave its neighbours alone, for all lengths around the vector widths."""
    for code in ("add_(1)", "mul_(x)", "exp_()", "tanh_()", "copy_(x)", "fill_(3)", "zero_()", "clamp_(0, 1)", "uniform_()", "normal_()", "lerp_(x, 0.5)", "addcmul_(x, x)", "masked_fill_(x > 0, 2.0)", "div_(x)", "sqrt_()"):
        for start in (1, 3, 16):
            flat = np.full(n + 64, -7.25, dtype)
            inside = fastnn.from_numpy(flat)[start : start + n]
            inside.fill_(0.5)
            eval(f"inside.{code}", {"inside": inside, "x": fastnn.ones(n, dtype=getattr(fastnn, dtype))})
            assert (flat[:start] == -7.25).all(), (code, start)
            assert (flat[start + n :] == -7.25).all(), (code, start)


def test_gelu_never_has_the_wrong_sign() -> None:
    x = fastnn.linspace(-30, 30, 60001)
    for approximate in ("none", "tanh"):
        y = arr(fastnn.nn.functional.gelu(x, approximate=approximate))
        assert ((y <= 0) | (arr(x) > 0)).all()
        assert ((y >= 0) | (arr(x) < 0)).all()


@pytest.mark.parametrize("to", ["bool", "uint8", "int32", "int64", "float64"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32"])
@pytest.mark.parametrize("name", ["sum", "prod", "mean", "cumsum", "cumprod"])
def test_a_dtype_asked_for_is_that_of_the_elements(name: str, dtype: str, to: str) -> None:
    """Cast first, then reduced: the sum of 1 and -1 as truth values is true."""
    values = (np.arange(60).reshape(5, 12) % 7 - (3 if dtype[0] in "if" else 0)).astype(dtype)
    values[2] = np.tile([1, -1], 6).astype(np.int64).astype(dtype)
    for dim in ((0,), (1,)) if name.startswith("cum") else ((), (0,), (1,)):
        (want, refused), (got, error) = (outcome(lambda lib=lib, dim=dim: getattr(lib.tensor(values), name)(*dim, dtype=getattr(lib, to))) for lib in (torch, fastnn))
        assert type(error) is type(refused), f"{error!r}, torch: {refused!r}"
        if refused is None:
            same(got, want, f"dim {dim}")
        proved(name, "values")


MIXED = {
    "add": lambda lib, a, b, c: a + b, "eq": lambda lib, a, b, c: a == b, "pow": lambda lib, a, b, c: a**b, "where": lambda lib, a, b, c: lib.where(a > 3, b, c), "addcmul": lambda lib, a, b, c: lib.addcmul(a, b, c),
    "lerp": lambda lib, a, b, c: lib.lerp(a, b, c), "clamp": lambda lib, a, b, c: lib.clamp(a, b, c), "masked_fill": lambda lib, a, b, c: a.masked_fill(b > 3, 1.0), "exp": lambda lib, a, b, c: a[..., ::2].exp(),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MIXED))
def test_layout_of_results_of_mixed_operands(name: str) -> None:
    """Operands whose dimensions lie in memory in different orders, broadcast: the strides of the result are torch's."""
    rs = np.random.RandomState(4)
    for _ in range(60):
        full = rs.randint(2, 5, rs.randint(1, 5))
        shapes = [tuple(np.where(rs.uniform(size=n) < 0.75, full[-n:], 1)) for n in rs.randint(max(1, len(full) - 1), len(full) + 1, 3)]
        orders = [rs.permutation(len(s)) for s in shapes]
        found = []
        for lib in (torch, fastnn):
            made = [lib.from_numpy(np.arange(np.prod(s), dtype=np.float32).reshape([s[d] for d in order])).permute(*np.argsort(order).tolist()) for s, order in zip(shapes, orders, strict=True)]
            result, error = outcome(lambda lib=lib, made=made: MIXED[name](lib, *made))
            found.append((type(error), None if error else strides(result)))
        assert found[1] == found[0], f"{name} {shapes} {orders}"
        proved(name, "layouts")
