"""The generic proofs over the op table: values and gradients beside torch, finite differences, layouts, subsets, no writes, errors.

Invariant: a proof written here holds for every row, also for rows still to come.
Does not: check instruction sets and threads (test_isa.py, test_threads.py) or the faces of ops in Python (test_tensor_api.py).
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from counts import proved
from op_table import ROWS
from proofs import gradient_by_differences
from support import ROOT, arr, close, leaves, outcome, same
from table_calls import LAYOUTS, forward_backward, prepare

import fastnn

IDS = [(name, dtype) for name, r in ROWS.items() for dtype in r.dtypes]
GRADIENTS = [(name, dtype) for name, r in ROWS.items() if r.grad for dtype in r.dtypes if dtype.startswith("float")]


@pytest.mark.parametrize(("name", "dtype"), IDS)
def test_values_beside_torch(name: str, dtype: str) -> None:
    row = ROWS[name]
    for n, sample in enumerate(row.cases()):
        for layout in ("contiguous", *(() if sample.large else LAYOUTS)):
            results = []
            for lib in (torch, fastnn):
                args, kwargs, _ = prepare(lib, sample, dtype, layout)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    results.append(leaves(row.run(lib, args, kwargs)))
            want, got = results
            what = f"{name} sample {n} {layout} {sample.kwargs}"
            assert len(got) == len(want), what
            proved(name, "values", len(want))
            for g, w in zip(got, want, strict=True):
                assert str(getattr(g, "dtype", type(g))).rpartition(".")[2] == str(getattr(w, "dtype", type(w))).rpartition(".")[2], what
                if row.steps:
                    close(g, w, row.steps, what, row.whole, floor=row.floor)
                else:
                    same(g, w, what)
                if row.layout and hasattr(w, "stride") and w.numel() > 1:
                    assert g.is_contiguous() == w.is_contiguous(), f"{what}: layout {tuple(g.stride())}, torch has {tuple(w.stride())}"


@pytest.mark.parametrize(("name", "dtype"), GRADIENTS)
def test_gradients_beside_torch(name: str, dtype: str) -> None:
    row = ROWS[name]
    for n, sample in enumerate(row.cases()):
        if not sample.grad:
            continue
        for layout in ("contiguous", *(() if sample.large else LAYOUTS)):
            if layout == "expanded" and (row.inplace or name == "std"):  # equal elements: std has no gradient there
                continue
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


@pytest.mark.parametrize(("name", "dtype"), IDS)
def test_results_do_not_depend_on_layout(name: str, dtype: str) -> None:
    """Transposed, sliced and misaligned inputs give the bits of contiguous ones, in values and in gradients."""
    row = ROWS[name]
    for n, sample in enumerate(row.cases()):
        if row.inplace and name.endswith("_") and not sample.grad:
            continue  # random fills visit memory order: test_random.py
        differentiate = row.grad and sample.grad and dtype.startswith("float")
        wanted = None if differentiate else []
        want_out, want_grad = forward_backward(fastnn, row, sample, dtype, wanted=wanted)
        for layout in ("transposed", "sliced", "offset"):
            if name == "dropout" and layout == "transposed":
                continue  # the mask is drawn in memory order, as in torch
            out, grad = forward_backward(fastnn, row, sample, dtype, layout, wanted)
            for kind, got, want in (("output", out, want_out), ("gradient", grad, want_grad)):
                for i, (g, w) in enumerate(zip(got, want, strict=True)):
                    assert (g is None) == (w is None)
                    if w is not None:
                        same(g, w, f"{name} sample {n} {layout} {kind} {i} {sample.kwargs}")
                        proved(name, "layouts")


@pytest.mark.parametrize("name", [n for n, r in ROWS.items() if r.grad])
def test_gradients_of_subsets(name: str) -> None:
    """A gradient has the same bits whichever other inputs want one; an input that wants none gets none."""
    row = ROWS[name]
    for sample in row.cases()[:4]:
        if not sample.grad:
            continue
        _, full = forward_backward(fastnn, row, sample, "float32")
        for i in range(len(full)):
            _, alone = forward_backward(fastnn, row, sample, "float32", wanted=[i])
            _, others = forward_backward(fastnn, row, sample, "float32", wanted=[k for k in range(len(full)) if k != i])
            for got, want in zip(alone + others, [full[i]] + full[:i] + full[i + 1 :], strict=True):
                if want is not None:
                    same(got, want, f"{name}, input {i} alone or left out")
                    proved(name, "subsets")


@pytest.mark.parametrize(("name", "dtype"), IDS)
def test_inputs_are_not_written(name: str, dtype: str) -> None:
    row = ROWS[name]
    for sample in row.cases():
        args, kwargs, made = prepare(fastnn, sample, dtype, "offset")
        everything = leaves([*args, *kwargs.values()])
        before = [arr(t).tobytes() for t in everything]
        if row.grad and sample.grad and dtype.startswith("float"):
            for t in made:
                t.requires_grad_(True)
        outputs = leaves(row.run(fastnn, args, kwargs))
        for o in outputs:
            if hasattr(o, "requires_grad") and o.requires_grad:
                o.sum().backward(retain_graph=True)
        assert [arr(t).tobytes() for t in everything] == before, name
        proved(name, "inputs", len(everything))


@pytest.mark.parametrize("name", [n for n, r in ROWS.items() if r.grad])
def test_two_runs_are_equal(name: str) -> None:
    row = ROWS[name]
    for sample in row.cases():
        wanted = None if sample.grad else []
        first, second = (forward_backward(fastnn, row, sample, "float32", wanted=wanted) for _ in range(2))
        for a, b in zip(leaves(list(first)), leaves(list(second)), strict=True):
            same(a, b, name)
            proved(name, "repeats")


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


def op_names() -> list[str]:
    """Names in ops.def."""
    for path in (ROOT / "csrc" / "ops" / "ops.def", ROOT / "csrc" / "ops.def"):
        if path.exists():
            text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)
            return [n.lower() for n in re.findall(r"^\s*\w+\(\s*(\w+)", text, flags=re.MULTILINE)]
    raise AssertionError("csrc/ops/ops.def is missing")


def test_every_op_has_a_row() -> None:
    covered = set(ROWS) | {a for r in ROWS.values() for a in r.aliases}
    missing = [n for n in op_names() if n not in covered]
    assert not missing, f"ops without a row in tests/op_table.py: {missing}"


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


@pytest.mark.parametrize("to", ["bool", "uint8", "int32", "int64"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32"])
def test_products_in_an_integer_dtype_asked_for(dtype: str, to: str) -> None:
    values = (np.arange(60).reshape(5, 12) % 7 + 1).astype(dtype)
    for dim in ((), (0,), (1,)):
        want, got = (lib.tensor(values).prod(*dim, dtype=getattr(lib, to)) for lib in (torch, fastnn))
        same(got, want, f"dim {dim}")
