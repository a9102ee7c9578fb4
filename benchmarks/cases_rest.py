"""The rest of the table in cases.py: a line for each op whose time no model hangs on, so that a slow one is still seen.

Each works on (4096, 64) matrices: x and y normal, u uniform between 0.05 and 0.95. What it does not do: shapes of its
own; an op that deserves one belongs into cases.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from case import Case, Inputs, Run

ROWS, COLUMNS = 4096, 64
MATRIX_BYTES = 4.0 * ROWS * COLUMNS

Call = Callable[[Any, Any, Any], Any]

# name: (the call on x, y and u, matrices read and written)
FLOAT: dict[str, tuple[Call, int]] = {
    "add": (lambda x, y, u: x + y, 3),
    "sub": (lambda x, y, u: x - y, 3),
    "mul": (lambda x, y, u: x * y, 3),
    "div": (lambda x, y, u: x / u, 3),
    "pow": (lambda x, y, u: x**3, 2),
    "atan2": (lambda x, y, u: torch.atan2(x, u), 3),
    "maximum": (lambda x, y, u: torch.maximum(x, y), 3),
    "minimum": (lambda x, y, u: torch.minimum(x, y), 3),
    "silu": (lambda x, y, u: F.silu(x), 2),
    "softplus": (lambda x, y, u: F.softplus(x), 2),
    "logsigmoid": (lambda x, y, u: F.logsigmoid(x), 2),
    "leaky_relu": (lambda x, y, u: F.leaky_relu(x), 2),
    "elu": (lambda x, y, u: F.elu(x), 2),
    "clamp": (lambda x, y, u: x.clamp(-1.0, 1.0), 2),
    "where": (lambda x, y, u: torch.where(x > 0, x, y), 3),
    "masked_fill": (lambda x, y, u: x.masked_fill(y > 0, 0.0), 3),
    "lerp": (lambda x, y, u: torch.lerp(x, y, 0.3), 3),
    "addcmul": (lambda x, y, u: torch.addcmul(x, y, u), 4),
    "addcdiv": (lambda x, y, u: torch.addcdiv(x, y, u), 4),
    "sum": (lambda x, y, u: x.sum(1), 1),
    "prod": (lambda x, y, u: u.prod(1), 1),
    "mean": (lambda x, y, u: x.mean(1), 1),
    "var": (lambda x, y, u: x.var(1), 1),
    "std": (lambda x, y, u: x.std(1), 1),
    "max": (lambda x, y, u: x.max(), 1),
    "min": (lambda x, y, u: x.min(), 1),
    "max_dim": (lambda x, y, u: x.max(1)[0], 1),
    "min_dim": (lambda x, y, u: x.min(1)[0], 1),
    "bmm": (lambda x, y, u: torch.bmm(x.view(64, 64, 64), y.view(64, 64, 64)), 3),
    "amax": (lambda x, y, u: x.amax(1), 1),
    "amin": (lambda x, y, u: x.amin(1), 1),
    "logsumexp": (lambda x, y, u: x.logsumexp(1), 1),
    "norm": (lambda x, y, u: x.norm(), 1),
    "cumsum": (lambda x, y, u: x.cumsum(1), 2),
    "cumprod": (lambda x, y, u: u.cumprod(1), 2),
    "clone": (lambda x, y, u: x.clone(), 2),
    "cat": (lambda x, y, u: torch.cat((x, y), 1), 4),
    "stack": (lambda x, y, u: torch.stack((x, y)), 4),
    "roll": (lambda x, y, u: x.roll(1, 0), 2),
    "flip": (lambda x, y, u: x.flip(1), 2),
    "tril": (lambda x, y, u: x.tril(), 2),
    "triu": (lambda x, y, u: x.triu(), 2),
    "transpose, contiguous": (lambda x, y, u: x.t().contiguous(), 2),
    "topk": (lambda x, y, u: x.topk(5, 1)[0], 1),
    "sort": (lambda x, y, u: x.sort(1)[0], 2),
}
# Functions of u alone, which is where all of them are defined, by their name in torch.
UNARY = """neg abs square exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal sin cos tan asin acos atan sinh cosh
tanh sigmoid relu erf erfc erfinv lgamma
digamma""".split()

# The same over x and an index for each element of a (4096, 64) matrix.
INDEXED: dict[str, Callable[[Any, Any], Any]] = {
    "gather": lambda x, i: x.gather(1, i),
    "scatter_add": lambda x, i: torch.zeros_like(x).scatter_add(1, i, x),
    "scatter": lambda x, i: x.scatter(1, i[:, :1], 1.5),
    "index_select": lambda x, i: x.index_select(0, i[:, 0]),
    "index x[i, j]": lambda x, i: x[i[:, 0], i[:, 1]],
    "index_add": lambda x, i: x.index_add(0, i[:, 0], x),
    "masked_select": lambda x, i: x.masked_select(i > 32),
    "masked_scatter": lambda x, i: x.masked_scatter(i > 32, x),
    "index x[mask]": lambda x, i: x[i > 32],
    "nll_loss": lambda x, i: F.nll_loss(x, i[:, 0]),
}
# Calls without a gradient.
PLAIN: dict[str, Callable[[Any, Any], Any]] = {
    "floor_divide": lambda x, i: i // 3,
    "remainder": lambda x, i: x % 3.0,
    "fmod": lambda x, i: torch.fmod(x, 3.0),
    "sign": lambda x, i: x.sign(),
    "floor": lambda x, i: x.floor(),
    "ceil": lambda x, i: x.ceil(),
    "round": lambda x, i: x.round(),
    "trunc": lambda x, i: x.trunc(),
    "isnan": lambda x, i: x.isnan(),
    "isinf": lambda x, i: x.isinf(),
    "isfinite": lambda x, i: x.isfinite(),
    "eq": lambda x, i: i == 3,
    "ne": lambda x, i: i != 3,
    "lt": lambda x, i: x < 0.5,
    "le": lambda x, i: x <= 0.5,
    "gt": lambda x, i: x > 0.5,
    "ge": lambda x, i: x >= 0.5,
    "logical_and": lambda x, i: torch.logical_and(x, i),
    "logical_or": lambda x, i: torch.logical_or(x, i),
    "logical_xor": lambda x, i: torch.logical_xor(x, i),
    "logical_not": lambda x, i: torch.logical_not(x),
    "bitwise_and": lambda x, i: i & 7,
    "bitwise_or": lambda x, i: i | 7,
    "bitwise_xor": lambda x, i: i ^ 7,
    "bitwise_not": lambda x, i: ~i,
    "lshift": lambda x, i: i << 2,
    "rshift": lambda x, i: i >> 2,
    "to": lambda x, i: i.to(torch.float32),
    "fill_": lambda x, i: i.clone().fill_(1),
    "index_put_": lambda x, i: x.clone().index_put_((i[:, 0], i[:, 1]), x[:, 0]),
    "any": lambda x, i: i.any(1),
    "all": lambda x, i: i.all(1),
    "one_hot": lambda x, i: F.one_hot(i[:, 0], COLUMNS),
    "argmax": lambda x, i: x.argmax(1),
    "argmin": lambda x, i: x.argmin(1),
    "argsort": lambda x, i: x.argsort(1),
    "nonzero": lambda x, i: i.nonzero(),
    "multinomial": lambda x, i: torch.multinomial(x.abs(), 1),
    "dropout": lambda x, i: F.dropout(x, 0.1),
    "rand": lambda x, i: torch.rand(ROWS, COLUMNS),
    "randn": lambda x, i: torch.randn(ROWS, COLUMNS),
    "randint": lambda x, i: torch.randint(0, 27, (ROWS, COLUMNS)),
    "randperm": lambda x, i: torch.randperm(ROWS),
}
# Views: nothing is moved, only the call is timed.
VIEWS: dict[str, Callable[[Any, Any], Any]] = {
    "transpose": lambda x, i: x.transpose(0, 1),
    "t": lambda x, i: x.t(),
    "permute": lambda x, i: x.permute(1, 0),
    "expand": lambda x, i: x[:1].expand(ROWS, COLUMNS),
    "squeeze": lambda x, i: x.squeeze(),
    "unsqueeze": lambda x, i: x.unsqueeze(0),
    "diagonal": lambda x, i: x.diagonal(),
    "unfold": lambda x, i: x.unfold(0, 4, 4),
    "as_strided": lambda x, i: x.as_strided((COLUMNS, COLUMNS), (COLUMNS, 1)),
    "alias": lambda x, i: x.detach(),
    "unbind": lambda x, i: x.unbind(1),
    "split": lambda x, i: x.split(COLUMNS),
}


def float_case(name: str, call: Call, matrices: int) -> Case:
    def build(i: Inputs) -> Run:
        x, y = i.normal(ROWS, COLUMNS), i.normal(ROWS, COLUMNS)
        u = i.uniform(ROWS, COLUMNS)
        return lambda: call(x, y, u)

    return Case(f"op {name}", build, (name.split(",")[0],), moved=matrices * MATRIX_BYTES)


def unary_case(name: str) -> Case:
    def call(x: Any, y: Any, u: Any) -> Any:
        return getattr(torch, name)(u)

    return float_case(name, call, 2)


def indexed_case(name: str, call: Callable[[Any, Any], Any], backward: bool) -> Case:
    def build(i: Inputs) -> Run:
        x, index = i.normal(ROWS, COLUMNS), i.ints(COLUMNS, ROWS, COLUMNS)
        return lambda: call(x, index)

    return Case(f"op {name}", build, (name.split(" ")[0],), backward=backward, check=backward, compiled=backward)


CASES_REST = [
    *(float_case(name, *what) for name, what in FLOAT.items()),
    *(unary_case(name) for name in UNARY),
    *(indexed_case(name, call, True) for name, call in INDEXED.items()),
    *(indexed_case(name, call, False) for name, call in {**PLAIN, **VIEWS}.items()),
]
