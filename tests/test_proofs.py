"""The generic proofs over the op table that need no other library: complete rows, layouts, subsets, untouched inputs, compositions.

Invariant: a proof written here holds for every row, also for rows still to come; an op of ops.def without a complete row fails the suite.
Does not: compare with PyTorch (test_ops.py). Read next: op_table.py, routes.py, reference.py.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from counts import KINDS, proved, table
from op_table import DRAWS, MOVES, ROWS, Row
from reference import ORACLES
from routes import ROUTES
from support import ROOT, arr, close, leaves, same
from table_calls import accepted, forward_backward, prepare, wants

import fastnn

IDS = [(name, dtype) for name, r in ROWS.items() for dtype in r.dtypes]
DIFFERENTIABLE = [n for n, r in ROWS.items() if r.grad]


def op_names() -> list[str]:
    """Names in ops.def."""
    text = (ROOT / "csrc" / "ops" / "ops.def").read_text()
    return [n.lower() for n in re.findall(r"^FNN_OP\((\w+)\)", text, flags=re.MULTILINE)]


def test_every_op_has_a_row() -> None:
    covered = set(ROWS) | {a for r in ROWS.values() for a in r.aliases}
    assert len(op_names()) > 100
    missing = [n for n in op_names() if n not in covered]
    assert not missing, f"ops without a row in the op table: {missing}"


def sizes(value: Any) -> list[int]:
    """How many elements the arrays and tensors in a value have."""
    if isinstance(value, tuple | list):
        return [n for v in value for n in sizes(v)]
    return [value.size] if isinstance(value, np.ndarray) else [value.numel()] if hasattr(value, "numel") else []


def gaps(row: Row) -> set[str]:
    """What the row lacks of a complete one."""
    found = set()
    for sample in row.cases():
        args, kwargs, _ = prepare(fastnn, sample, row.dtypes[0])
        with fastnn.no_grad():
            result = leaves(row.run(fastnn, args, kwargs))
        for n in sizes([*sample.args, *sample.kwargs.values(), result]):
            found.add("empty" if n == 0 else "one" if n == 1 else "odd" if n % 2 else "even")
        if sample.large:
            found.add("large")
        if row.grad and sample.grad and not sample.large:
            found.add("gradient")
    found |= {"errors"} if row.errors else set()
    found |= {"oracle"} if row.oracle in (MOVES, DRAWS) or row.name in ORACLES else set()
    found |= {"gradient"} if not row.grad else set()
    return {"empty", "one", "odd", "large", "gradient", "errors", "oracle"} - found


@pytest.mark.parametrize("name", list(ROWS))
def test_the_row_is_complete(name: str) -> None:
    """Samples of all sizes, a gradient where there is one, an oracle, wrong calls; what cannot be there is named with its reason."""
    row = ROWS[name]
    lacking = gaps(row)
    assert lacking <= set(row.lacks), f"the row of {name} lacks {lacking - set(row.lacks)}"
    assert set(row.lacks) <= lacking | {"dtypes"}, f"the row of {name} has {set(row.lacks) - lacking} and says it has not"
    assert all(row.lacks.values())


@pytest.mark.parametrize("name", [n for n, r in ROWS.items() if not r.grad])
def test_rows_without_gradient_have_none(name: str) -> None:
    row = ROWS[name]
    for sample in row.cases():
        if row.inplace or row.dtypes[0] != "float32":
            continue
        args, kwargs, made = prepare(fastnn, sample, "float32")
        for t in made:
            t.requires_grad_(True)
        assert not any(getattr(o, "requires_grad", False) for o in leaves(row.run(fastnn, args, kwargs))), name


def drawn_in_memory_order(row: Row, layout: str) -> bool:
    """Random fills and masks visit memory order, as in torch: test_random.py."""
    return row.oracle == DRAWS and (row.inplace or layout == "transposed")


@pytest.mark.parametrize(("name", "dtype"), IDS)
def test_results_do_not_depend_on_layout(name: str, dtype: str) -> None:
    """Transposed, sliced and misaligned inputs give the bits of contiguous ones, in values and in gradients."""
    row = ROWS[name]
    for n, sample in accepted(fastnn, row, dtype):
        wanted = wants(row, sample, dtype)
        want_out, want_grad = forward_backward(fastnn, row, sample, dtype, wanted=wanted)
        for layout in ("sliced",) if sample.large else ("transposed", "sliced", "offset"):
            if drawn_in_memory_order(row, layout):
                continue
            out, grad = forward_backward(fastnn, row, sample, dtype, layout, wanted)
            for kind, got, want in (("output", out, want_out), ("gradient", grad, want_grad)):
                for i, (g, w) in enumerate(zip(got, want, strict=True)):
                    assert (g is None) == (w is None)
                    if w is not None:
                        same(g, w, f"{name} sample {n} {layout} {kind} {i} {sample.kwargs}")
                        proved(name, "layouts")


def subsets(n: int) -> list[list[int]]:
    """All of them up to four inputs, beyond that single ones, all but one, and some at random."""
    if n <= 4:
        return [list(c) for k in range(1, n) for c in itertools.combinations(range(n), k)]
    rs = np.random.RandomState(n)
    some = [[i for i in range(n) if rs.uniform() < 0.5] for _ in range(6)]
    return [[i] for i in range(n)] + [[k for k in range(n) if k != i] for i in range(n)] + some


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_of_subsets(name: str) -> None:
    """A gradient has the same bits whichever other inputs want one; an input that wants none gets none."""
    row = ROWS[name]
    for sample in row.cases():
        if not sample.grad or sample.large:
            continue
        want_out, full = forward_backward(fastnn, row, sample, "float32")
        for chosen in subsets(len(full)):
            out, found = forward_backward(fastnn, row, sample, "float32", wanted=chosen)
            for got, want in zip(found, [full[i] for i in chosen], strict=True):
                assert (got is None) == (want is None)
                if want is not None:
                    same(got, want, f"{name}, gradients of inputs {chosen} only")
                    proved(name, "subsets")
            for got, want in zip(out, want_out, strict=True):
                same(got, want, f"{name}, output where inputs {chosen} want gradients")


@pytest.mark.parametrize(("name", "dtype"), IDS)
def test_inputs_are_not_written(name: str, dtype: str) -> None:
    """Neither by the op nor by its backward, which is run twice; and the second run gives the bits of the first."""
    row = ROWS[name]
    for n, sample in accepted(fastnn, row, dtype):
        if sample.large and dtype != row.dtypes[0]:
            continue
        args, kwargs, made = prepare(fastnn, sample, dtype, "offset")
        everything = leaves([*args, *kwargs.values()])
        before = [arr(t).tobytes() for t in everything]
        runs = []
        for _ in range(2):
            for t in made if wants(row, sample, dtype) is None else ():
                t.grad = None
                t.requires_grad_(True)
            outputs = leaves(row.run(fastnn, args, kwargs))
            for o in outputs:
                if getattr(o, "requires_grad", False):
                    o.sum().backward(retain_graph=True)
            runs.append(outputs + [t.grad for t in made if t.grad is not None])
        assert [arr(t).tobytes() for t in everything] == before, f"{name} sample {n} writes into its inputs"
        proved(name, "inputs", len(everything))
        for first, second in zip(*runs, strict=True):
            same(second, first, f"{name} sample {n}, second run")
            proved(name, "repeats")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(ROUTES))
def test_composition_of_simple_ops(name: str, dtype: str) -> None:
    """A fused op and its composition agree, in values and gradients, to the row's route_steps."""
    row = ROWS[name]
    composed = replace(row, call=ROUTES[name], inplace=False)
    for n, sample in enumerate(row.cases()):
        if not sample.grad or (sample.large and dtype == "float64"):
            continue  # infinities and kinks, where only the op itself is defined
        wanted = wants(row, sample, dtype)
        for kind, got, want in zip(("output", "gradient"), forward_backward(fastnn, row, sample, dtype, wanted=wanted), forward_backward(fastnn, composed, sample, dtype, wanted=wanted), strict=True):
            for i, (g, w) in enumerate(zip(got, want, strict=True)):
                what = f"{name} sample {n} {kind} {i} {sample.kwargs}"
                assert (g is None) == (w is None), what
                if w is not None:
                    close(g, w, row.route_steps, what, whole=True, floor=max(row.floor, 1))
                    proved(name, "route")


def test_the_table_of_proofs_adds_up() -> None:
    lines = table([("exp", "values", 2), ("add", "grads", 3), ("exp", "values", 5)])
    assert [line.split()[0] for line in lines] == ["op", "add", "exp", "2"]
    assert lines[0].split() == ["op", *KINDS, "total"]
    assert [line.split()[-1] for line in lines[1:]] == ["3", "7", "10"]
