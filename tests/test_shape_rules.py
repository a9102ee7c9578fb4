"""Every small shape, dimension and size, right or wrong, given to the functions that take them, beside PyTorch.

Invariant: the same results, or an exception of the same class; CALLS give the functions, the grids below what they get.
Does not: know the rules, nor look at gradients (test_state_machine.py does). Read next: csrc/ops/gather.c, csrc/python/shape.c.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from support import arr, leaves, outcome

import fastnn

SHAPES = ((), (0,), (3,), (2, 3), (0, 3), (2, 1, 3))
DIMS = range(-3, 4)


def full(lib: Any, shape: tuple[int, ...], value: int = 1, dtype: str = "float32") -> Any:
    return lib.full(shape, value, dtype=getattr(lib, dtype))


def counted(lib: Any, shape: tuple[int, ...]) -> Any:
    return lib.arange(full(lib, shape).numel(), dtype=lib.float32).reshape(shape)


def seen(call: Callable[[], Any]) -> Any:
    """What a call gave, as something that compares equal: shapes and values, or the class of the exception."""
    result, error = outcome(call)
    return type(error) if error else [(tuple(t.shape), arr(t).tobytes()) for t in leaves(result)]


# name: (what it is called with beside x and dim, call)
SIZES: dict[str, tuple[list[Any], Callable[..., Any]]] = {
    "narrow": (list(product(range(-4, 5), range(-1, 4))), lambda lib, x, d, v: x.narrow(d, *v)),
    "select": (list(range(-4, 5)), lambda lib, x, d, v: x.select(d, v)),
    "unbind": ([None], lambda lib, x, d, v: x.unbind(d)),
    "chunk": (list(range(-1, 5)), lambda lib, x, d, v: x.chunk(v, d)),
    "tensor_split": (list(range(-1, 5)), lambda lib, x, d, v: x.tensor_split(v, d)),
    "split": ([-1, 0, 1, 2, 4, [], [0], [1, 2], [1, 1], [0, 3], [-1, 4], [3, 0, 0]], lambda lib, x, d, v: x.split(v, d)),
    "unfold": (list(product(range(-1, 5), range(-1, 3))), lambda lib, x, d, v: x.unfold(d, *v)),
    "roll": ([0, 1, -2, (1, 2), ()], lambda lib, x, d, v: x.roll(v, d)),
    "transpose": (list(DIMS), lambda lib, x, d, v: x.transpose(d, v)),
    "flatten": (list(DIMS), lambda lib, x, d, v: x.flatten(d, v)),
    "movedim": (list(DIMS), lambda lib, x, d, v: x.movedim(d, v)),
    "diagonal": (list(DIMS), lambda lib, x, d, v: x.diagonal(0, d, v)),
    "reductions": (
        ["sum", "prod", "amax", "argmin", "cumsum", "all", "max", "sort", "flip", "squeeze", "unsqueeze", "median", "cummax", "cummin"],
        lambda lib, x, d, v: getattr(x, v)(d),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name: str) -> None:
    values, call = SIZES[name]
    wrong = []
    for shape, d, v in product(SHAPES, DIMS, values):
        got, want = (seen(lambda lib=lib: call(lib, counted(lib, shape), d, v)) for lib in (fastnn, torch))  # type: ignore[misc]
        if got != want:
            wrong.append(f"{shape}.{name}({d}, {v}): {got}, torch {want}")
    assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong[:20])


INDEXED: dict[str, Callable[..., Any]] = {
    "gather": lambda lib, x, d, i: x.gather(d, i),
    "index_select": lambda lib, x, d, i: x.index_select(d, i),
    "index_fill": lambda lib, x, d, i: x.index_fill(d, i, 3),
    "scatter": lambda lib, x, d, i: x.scatter(d, i, 3.0),
}
SOURCED: dict[str, Callable[..., Any]] = {
    "scatter": lambda lib, x, d, i, s: x.scatter(d, i, s),
    "scatter_add": lambda lib, x, d, i, s: x.scatter_add(d, i, s),
    "index_add": lambda lib, x, d, i, s: x.index_add(d, i, s),
    "index_copy": lambda lib, x, d, i, s: x.index_copy(d, i, s),
}


def nowhere(shape: tuple[int, ...], dim: int, index: tuple[int, ...]) -> bool:
    """Something to write or read, and an empty place for it: torch accepts it or picks another class; fastnn raises as for any index."""
    return 0 in shape and 0 not in index and -len(shape) <= dim < len(shape)


@pytest.mark.parametrize("name", INDEXED)
def test_index(name: str) -> None:
    wrong = []
    for shape, d, index, (dtype, value) in product(SHAPES, DIMS, SHAPES, [("int64", 0), ("int64", 1), ("int64", 7), ("int64", -1), ("int32", 0), ("float32", 0), ("bool", 0)]):
        if nowhere(shape, d, index):
            continue
        got, want = (seen(lambda lib=lib: INDEXED[name](lib, counted(lib, shape), d, full(lib, index, value, dtype))) for lib in (fastnn, torch))  # type: ignore[misc]
        if got != want:
            wrong.append(f"{shape}.{name}({d}, {index} of {value} {dtype}): {got}, torch {want}")
    assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong[:20])


@pytest.mark.parametrize("name", SOURCED)
def test_index_and_source(name: str) -> None:
    wrong = []
    for shape, d, index, source, dtype in product(SHAPES, range(-2, 3), SHAPES, SHAPES, ("float32", "int64")):
        if nowhere(shape, d, index):
            continue
        got, want = (
            seen(lambda lib=lib: SOURCED[name](lib, counted(lib, shape), d, full(lib, index, 0, "int64"), full(lib, source, 2, dtype)))  # type: ignore[misc]
            for lib in (fastnn, torch)
        )
        if got != want:
            wrong.append(f"{shape}.{name}({d}, {index}, {source} {dtype}): {got}, torch {want}")
    assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong[:20])


def test_small_things() -> None:
    """0-d transposes, the sign of a zero through relu."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for lib in (torch, fastnn):
            x = lib.tensor(3.0)
            assert x.mT is x
            assert x.mH is x
            for dtype in (lib.float32, lib.float64):
                zeros = lib.tensor([-0.0, 0.0, -1.0, float("nan")] * 19, dtype=dtype)
                assert lib.signbit(lib.relu(zeros)).tolist()[:3] == [True, False, False]
                assert int(lib.signbit(zeros.relu_()).sum()) == int(lib.signbit(zeros).sum())
