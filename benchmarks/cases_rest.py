"""The rest of the table in cases.py: a line for each op whose time no model hangs on, so that a slow one is still seen.

Each works on one (4096, 64) matrix x, most with a second one y. What it does not do: shapes of its own; an op that
deserves one belongs into cases.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from cases import Case, Inputs, Run

ROWS, COLUMNS = 4096, 64
MATRIX_BYTES = 4.0 * ROWS * COLUMNS

# name: (the call on x and y, matrices read and written)
FLOAT: dict[str, tuple[Callable[[Any, Any], Any], int]] = {
    "add": (lambda x, y: x + y, 3),
    "sub": (lambda x, y: x - y, 3),
    "mul": (lambda x, y: x * y, 3),
    "div": (lambda x, y: x / y, 3),
    "maximum": (torch.maximum, 3),
    "neg": (lambda x, y: -x, 2),
    "abs": (lambda x, y: x.abs(), 2),
    "square": (lambda x, y: x.square(), 2),
    "sqrt": (lambda x, y: (x * x + 1.0).sqrt(), 2),
    "rsqrt": (lambda x, y: (x * x + 1.0).rsqrt(), 2),
    "log": (lambda x, y: (x * x + 1.0).log(), 2),
    "pow": (lambda x, y: x**3, 2),
    "sin": (lambda x, y: x.sin(), 2),
    "cos": (lambda x, y: x.cos(), 2),
    "erf": (lambda x, y: x.erf(), 2),
    "silu": (lambda x, y: F.silu(x), 2),
    "softplus": (lambda x, y: F.softplus(x), 2),
    "leaky_relu": (lambda x, y: F.leaky_relu(x), 2),
    "clamp": (lambda x, y: x.clamp(-1.0, 1.0), 2),
    "where": (lambda x, y: torch.where(x > 0, x, y), 3),
    "masked_fill": (lambda x, y: x.masked_fill(y > 0, 0.0), 3),
    "lerp": (lambda x, y: torch.lerp(x, y, 0.3), 3),
    "mean": (lambda x, y: x.mean(1), 1),
    "var": (lambda x, y: x.var(1), 1),
    "std": (lambda x, y: x.std(1), 1),
    "max": (lambda x, y: x.max(1)[0], 1),
    "amax": (lambda x, y: x.amax(1), 1),
    "logsumexp": (lambda x, y: x.logsumexp(1), 1),
    "norm": (lambda x, y: x.norm(), 1),
    "cumsum": (lambda x, y: x.cumsum(1), 2),
    "cat": (lambda x, y: torch.cat((x, y), 1), 4),
    "stack": (lambda x, y: torch.stack((x, y)), 4),
    "roll": (lambda x, y: x.roll(1, 0), 2),
    "flip": (lambda x, y: x.flip(1), 2),
    "tril": (lambda x, y: x.tril(), 2),
    "transpose, contiguous": (lambda x, y: x.t().contiguous(), 2),
    "topk": (lambda x, y: x.topk(5, 1)[0], 1),
    "sort": (lambda x, y: x.sort(1)[0], 2),
}

# The same over x and a column index for each element of a (4096, 64) matrix; no gradient where the call has none.
INDEXED: dict[str, Callable[[Any, Any], Any]] = {
    "gather": lambda x, i: x.gather(1, i),
    "scatter_add": lambda x, i: torch.zeros_like(x).scatter_add(1, i, x),
    "index_select": lambda x, i: x.index_select(0, i[:, 0]),
    "index x[i, j]": lambda x, i: x[i[:, 0], i[:, 1]],
    "one_hot": lambda x, i: F.one_hot(i[:, 0], COLUMNS),
    "argmax": lambda x, i: x.argmax(1),
    "multinomial": lambda x, i: torch.multinomial(x.abs(), 1),
    "dropout": lambda x, i: F.dropout(x, 0.1),
    "rand": lambda x, i: torch.rand(ROWS, COLUMNS),
    "randn": lambda x, i: torch.randn(ROWS, COLUMNS),
    "randint": lambda x, i: torch.randint(0, 27, (ROWS, COLUMNS)),
    "randperm": lambda x, i: torch.randperm(ROWS),
}
DIFFERENTIABLE = {"gather", "scatter_add", "index_select", "index x[i, j]"}


def float_case(name: str, call: Callable[[Any, Any], Any], matrices: int) -> Case:
    def build(i: Inputs) -> Run:
        x, y = i.normal(ROWS, COLUMNS), i.normal(ROWS, COLUMNS)
        return lambda: call(x, y)

    return Case(f"op {name}", build, (name.split(",")[0],), moved=matrices * MATRIX_BYTES)


def indexed_case(name: str, call: Callable[[Any, Any], Any]) -> Case:
    def build(i: Inputs) -> Run:
        x, index = i.normal(ROWS, COLUMNS), i.ints(COLUMNS, ROWS, COLUMNS)
        return lambda: call(x, index)

    known = name in DIFFERENTIABLE
    return Case(f"op {name}", build, (name.split(" ")[0],), backward=known, check=known)


CASES_REST = [
    *(float_case(name, *what) for name, what in FLOAT.items()),
    *(indexed_case(name, call) for name, call in INDEXED.items()),
]
