"""Rows of the op table: copies, reductions, views.

Invariant and limits: as in op_table.py, which registers these rows at its end. Read next: op_rows_index.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from op_table import ALL, BAD_DIM, LARGE, MOVES, NO_BOOL, SHAPES, Gen, Sample, function, method, row

# --- moving data -------------------------------------------------------------------------------------------------------------------------

row("clone", method("clone"), lambda g: (Sample((g.f(*s),), large=s == LARGE) for s in (*SHAPES, LARGE)), dtypes=ALL, oracle=MOVES, errors=("x.clone(1)", "torch.clone(3.0)"))
row("contiguous", method("contiguous"), lambda g: (Sample((g.f(*s),), large=s == LARGE) for s in (*SHAPES, LARGE)), dtypes=ALL, oracle=MOVES, errors=("x.contiguous(memory_format=3)",))
row("to", lambda lib, x, d: x.to(getattr(lib, d)), lambda g: (Sample((g.f(*s, lo=0, hi=9), d), grad=d.startswith("float"), large=s == LARGE) for s in ((3, 5), (0, 3), (1,), LARGE) for d in ALL), dtypes=ALL, oracle=MOVES, aliases=("_to_copy", "cast"), numeric=False, errors=("x.to('nodtype')", "x.float(1, 2, 3)"))
row("copy_", method("copy_"), lambda g: iter([Sample((g.f(3, 5), g.f(3, 5))), Sample((g.f(3, 5), g.f(5))), Sample((g.f(0), g.f(0))), Sample((g.f(1), g.f())), Sample((g.f(*LARGE), g.f(*LARGE)), large=True)]), dtypes=ALL, inplace=True, oracle=MOVES, errors=("x.copy_(y5)", "x.copy_('a')", "y5.copy_(x)"))
row("fill_", method("fill_"), lambda g: iter([Sample((g.f(3, 5), 2)), Sample((g.f(0), 1.5)), Sample((g.f(), 0)), Sample((g.f(*LARGE), 2.5), large=True)]), dtypes=ALL, inplace=True, oracle=MOVES, aliases=("zero_",), errors=("x.fill_('a')", "x.fill_(y5)"))

# --- reductions --------------------------------------------------------------------------------------------------------------------------

REDUCE: tuple[dict[str, Any], ...] = ({}, {"dim": 0}, {"dim": -1, "keepdim": True}, {"dim": 1})
MANY: tuple[dict[str, Any], ...] = (*REDUCE, {"dim": (0, 1)}, {"dim": (0, 2), "keepdim": True}, {"dim": (-1,)})


def reduction(name: str, options: tuple[dict[str, Any], ...] = MANY, empty: bool = True, lo: float = -1, hi: float = 3, distinct: bool = False, **row_options: Any) -> None:
    def samples(g: Gen) -> Iterator[Sample]:
        make = (lambda *s: g.distinct(*s)) if distinct else (lambda *s: g.f(*s, lo=lo, hi=hi))
        for o in options:
            yield Sample((make(3, 5, 4),), o)
            yield Sample((make(1, 1, 1),), o)
            if empty:
                yield Sample((make(0, 3, 2),), o)
            elif "dim" in o and o["dim"] == 0:  # nothing is reduced: torch refuses what has no neutral element
                yield Sample((make(3, 0, 2),), o)
        yield Sample((make(7),))
        yield Sample((make(),))
        for o in REDUCE:
            yield Sample((make(*LARGE),), o, large=True)

    row(name, function(name), samples, **row_options)


reduction("sum", dtypes=ALL, steps=6, whole=True, errors=(*BAD_DIM["sum"], "x.sum((0, 0))", "torch.sum('a')"))
reduction("mean", steps=6, whole=True, errors=(*BAD_DIM["mean"], "idx.mean()", "mask.mean()"))
reduction("prod", REDUCE, dtypes=ALL, lo=0.985, hi=1.015, steps=64, whole=True, grad_steps=512, errors=BAD_DIM["prod"])
reduction("var", (*MANY, {"dim": 0, "unbiased": False}, {"dim": 1, "correction": 2}), empty=False, floor=1, steps=64, whole=True, grad_steps=8, errors=(*BAD_DIM["var"], "idx.var()"))
reduction("std", (*MANY, {"dim": 0, "unbiased": False}), empty=False, floor=1, steps=64, whole=True, grad_steps=8, errors=(*BAD_DIM["std"], "idx.std()"))
row("logsumexp", function("logsumexp"), lambda g: (Sample((g.f(*s),), {"dim": d, "keepdim": k}, large=s == LARGE) for s in ((3, 5), (1, 4), (1, 1), (3, 0), LARGE) for d, k in ((0, False), (1, True), ((0, 1), False)) if 0 not in s or d == 0), dtypes=ALL, steps=6, whole=True, errors=BAD_DIM["logsumexp"])
for _name in ("amax", "amin"):
    reduction(_name, empty=False, distinct=True, dtypes=ALL, errors=(*BAD_DIM[_name], f"torch.{_name}(torch.zeros(0))"))
for _name in ("max", "min"):
    reduction(_name, REDUCE, empty=False, distinct=True, dtypes=ALL, aliases=(f"{_name}_dim",), errors=(*BAD_DIM[_name], f"torch.{_name}(torch.zeros(0))", f"torch.{_name}(x, y5)"))
for _name in ("argmax", "argmin"):
    reduction(_name, REDUCE, empty=False, distinct=True, dtypes=NO_BOOL, grad=False, errors=(*BAD_DIM[_name], f"torch.{_name}(torch.zeros(0))"))
for _name in ("all", "any"):
    row(_name, function(_name), lambda g: (Sample((np.where(g.b(*s), g.f(*s), 0.0),), o, large=s == LARGE) for s in ((3, 5, 4), (1, 1, 1), (0, 3, 2), (7, 3), LARGE) for o in REDUCE), dtypes=ALL, grad=False, errors=BAD_DIM[_name])
row("cumsum", function("cumsum"), lambda g: (Sample((g.f(*s, lo=-1, hi=3),), {"dim": d}, large=s == LARGE) for s in ((3, 5), (1, 1), (0, 4), LARGE) for d in (0, 1, -1)), dtypes=ALL, steps=2, whole=True, grad_steps=8, errors=(*BAD_DIM["cumsum"], "torch.cumsum(x)"))
row("cumprod", function("cumprod"), lambda g: iter([*(Sample((g.f(*s, lo=0.6, hi=1.4),), {"dim": d}, large=s == LARGE) for s in ((3, 5), (1, 1), (0, 4), LARGE) for d in (0, 1, -1)), Sample((np.array([[1.5, 0.0, 2.0, 3.0], [0.0, 2.0, 0.0, 1.0]]), 1)), Sample((g.f(),), {"dim": 0})]), dtypes=ALL, steps=8, whole=True, grad_steps=32, errors=("torch.cumprod(x, 2)", "torch.cumprod(x)"))


def _norm(g: Gen) -> Iterator[Sample]:
    for o in ({}, {"p": 2, "dim": 1}, {"p": 1}, {"p": 3.0, "dim": 0, "keepdim": True}, {"p": float("inf")}, {"p": "fro"}):
        yield Sample((g.distinct(5, 7),), o)
    yield Sample((g.f(0, 3),), grad=False)
    yield Sample((g.f(0, 3),), {"dim": 0}, grad=False)
    yield Sample((g.f(1),))
    yield Sample((g.f(*LARGE),), large=True)


row("norm", function("norm"), _norm, steps=8, whole=True, aliases=("linalg_vector_norm", "vector_norm"), errors=("torch.norm(idx)", "torch.norm(x, dim=4)", "x.norm('a')"))

# --- views -------------------------------------------------------------------------------------------------------------------------------


def view(name: str, *calls: tuple[tuple[int, ...], tuple[Any, ...]], errors: tuple[str, ...] = (), **row_options: Any) -> None:
    row(name, method(name), lambda g: (Sample((g.f(*shape), *args)) for shape, args in calls), dtypes=ALL, errors=errors, oracle=MOVES, grad_steps=0, lacks=VIEW, **row_options)


VIEW = {"large": "a view: no element is touched"}


view("reshape", ((3, 5), (5, 3)), ((2, 6), (3, 4)), ((2, 6), (-1,)), ((0, 3), (3, 0)), ((), (1, 1)), ((2, 3, 4), ((6, -1),)), errors=("x.reshape(5, 5)", "x.reshape(-1, -1)", "x.reshape(-1, 5)", "x.reshape('a')", "torch.reshape(x, 12)"))
view("transpose", ((3, 0), (0, 1)), ((1, 1), (0, 1)), ((3, 5), (0, -1)), ((2, 3), (0, 1)), ((2, 3, 4), (-1, -2)), ((2, 3, 4), (0, 2)), errors=("x.transpose(0, 2)", "x.transpose(0)", "x.transpose(-3, 0)"))
view("permute", ((0, 3), (1, 0)), ((3, 5), (1, 0)), ((2, 3, 4), (2, 0, 1)), ((2, 3, 4), ((0, -1, 1),)), ((), ((),)), errors=("x.permute(0, 0)", "x.permute(0)", "x.permute(0, 2)"))
view("squeeze", ((0, 1), ()), ((1,), ()), ((1, 3, 1), ()), ((1, 3, 1), (0,)), ((1, 3, 1), (1,)), ((1, 3, 1), (-1,)), ((1, 3, 1), ((0, 2),)), errors=("x.squeeze(2)", "x.squeeze(-3)"))
view("unsqueeze", ((0,), (0,)), ((3, 5), (1,)), ((3, 4), (0,)), ((3, 4), (-1,)), ((), (0,)), errors=("x.unsqueeze(3)", "x.unsqueeze(-4)", "x.unsqueeze()"))
view("select", ((2, 0), (0, 1)), ((1,), (0, 0)), ((3, 5), (1, 4)), ((3, 4), (0, 1)), ((3, 4), (1, -1)), ((2, 3, 4), (-1, 2)), errors=("x.select(0, 3)", "x.select(2, 0)", "x.select(0, -4)"))
view("narrow", ((3, 5), (1, 0, 5)), ((1,), (0, 0, 1)), ((3, 8), (1, 2, 5)), ((3, 8), (0, 1, 0)), errors=("x.narrow(0, 2, 2)", "x.narrow(0, 0, -1)"))
view("split", ((0, 3), (2, 1)), ((1,), (1,)), ((3, 8), (3, 1)), ((3, 8), ((1, 2, 5), 1)), ((7,), (7,)), errors=("x.split(0)", "x.split((1, 1))", "x.split(-1)", "x.split(1, 2)"))
view("chunk", ((0, 3), (2,)), ((1,), (1,)), ((3, 8), (3, 1)), ((7,), (4,)), ((2, 2), (5, 0)), errors=("x.chunk(0)", "x.chunk(2, 2)"))
view("unbind", ((2, 0), ()), ((1,), ()), ((3, 5), (0,)), ((3, 4), ()), ((3, 4), (1,)), errors=("x.unbind(2)", "torch.tensor(1.0).unbind()"))
view("flatten", ((3, 5), ()), ((2, 3, 4), ()), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 1)), ((), ()), ((0, 3), ()), errors=("x.flatten(2)", "x.flatten(1, 0)"))
view("unflatten", ((0, 4), (1, (2, 2))), ((1,), (0, (1, 1))), ((15,), (0, (3, 5))), ((6, 4), (0, (2, 3))), ((6, 4), (1, (2, -1))), errors=("x.unflatten(0, (2, 2))", "x.unflatten(2, (1, 1))"))
view("diagonal", ((0, 3), ()), ((1, 1), ()), ((3, 5), (-1,)), ((4, 5), ()), ((4, 5), (1,)), ((2, 4, 5), (-1, 1, 2)), errors=("y5.diagonal()", "x.diagonal(0, 1, 1)"))
view("movedim", ((0, 3), (0, 1)), ((1,), (0, 0)), ((3, 5), (0, 1)), ((2, 3, 4), (0, 2)), ((2, 3, 4), ((0, 1), (1, 0))), errors=("x.movedim(0, 2)",))
row("unfold", method("unfold"), lambda g: iter([Sample((g.f(8), 0, 3, 2)), Sample((g.f(3, 6), 1, 2, 1)), Sample((g.f(0, 6), 1, 2, 1)), Sample((g.f(1), 0, 1, 1)), Sample((g.f(7), 0, 3, 1))]), dtypes=ALL, lacks=VIEW, oracle=MOVES, errors=("x.unfold(0, 9, 1)", "x.unfold(0, 1, 0)"))
row("alias", method("detach"), lambda g: (Sample((g.f(*s),)) for s in SHAPES), dtypes=ALL, grad=False, oracle=MOVES, lacks=VIEW, aliases=("view_as", "detach"), errors=("x.detach(1)", "x.view_as(3)", "x.view_as(y5)"))
view("t", ((0, 3), ()), ((1,), ()), ((2, 3), ()), ((3,), ()), errors=("torch.zeros(2, 2, 2).t()",))
row("expand", method("expand"), lambda g: iter([Sample((g.f(3, 1), 3, 4)), Sample((g.f(1, 4), (2, 3, 4))), Sample((g.f(3, 1), -1, 2)), Sample((g.f(), 2, 2)), Sample((g.f(1), 0)), Sample((g.f(5), 3, 5))]), dtypes=ALL, lacks=VIEW, oracle=MOVES, errors=("x.expand(4, 4)", "x.expand(2)", "x.expand(-1, 2, 3, 4)", "x.expand(-2, 4)"))
row("view", lambda lib, x, *shape: x.contiguous().view(*shape), lambda g: iter([Sample((g.f(2, 6), 3, 4)), Sample((g.f(2, 6), -1)), Sample((g.f(4, 3), (2, 2, 3))), Sample((g.f(0, 3), 3, 0)), Sample((g.f(), 1)), Sample((g.f(3, 5), 5, 3))]), dtypes=ALL, lacks=VIEW, oracle=MOVES, grad_steps=0, errors=("x.t().view(12)", "x.view(5)", "x.view(-1, -1)", "x.view(-1, 5)", "torch.zeros(0).view(-1, 0)", "x.view()", "x[:, 1:].view(-1)"))
row("slice", lambda lib, x, d, s: x[(slice(None),) * d + (slice(*s),)], lambda g: (Sample((g.f(*shape), d, s)) for shape in ((5, 7), (1, 1), (0, 3)) for d in (0, 1) for s in ((1, 3, 1), (0, 99, 2), (-3, -1, 1), (4, 2, 1), (None, None, 3))), dtypes=ALL, lacks=VIEW, oracle=MOVES, grad_steps=0, errors=("x[::-1]", "x[::0]", "x['a':]", "x[0.5:]"))
row("as_strided", lambda lib, x, *a: x.clone().as_strided(*a), lambda g: iter([Sample((g.f(12), (3, 4), (4, 1))), Sample((g.f(12), (3, 2), (1, 5), 1)), Sample((g.f(12), (5, 4), (2, 1))), Sample((g.f(7), (0,), (1,))), Sample((g.f(1), (1,), (1,)))]), dtypes=ALL, lacks=VIEW, oracle=MOVES, errors=("x.as_strided((3, 4), (9, 9))", "x.as_strided((2,), (1, 1))", "x.as_strided((2,), (-1,))"))
row("flip", method("flip"), lambda g: iter([Sample((g.f(3, 4), 0)), Sample((g.f(3, 4), (0, 1))), Sample((g.f(0, 4), 1)), Sample((g.f(2, 3, 4), -1)), Sample((g.f(1), 0)), Sample((g.f(7), 0)), Sample((g.f(*LARGE), (0, 1)), large=True)]), dtypes=ALL, oracle=MOVES, grad_steps=0, errors=("x.flip(2)", "x.flip((0, 0))", "x.flip('a')"))
row("roll", function("roll"), lambda g: iter([Sample((g.f(3, 4), 1, 1)), Sample((g.f(3, 4), -5)), Sample((g.f(3, 4), (1, 2), (0, 1))), Sample((g.f(0, 4), 1, 0)), Sample((g.f(1), 3)), Sample((g.f(7), 3, 0)), Sample((g.f(*LARGE), 1, 1), large=True)]), dtypes=ALL, oracle=MOVES, grad_steps=0, errors=("torch.roll(x, 1, 2)", "torch.roll(x, (1, 2), 0)", "torch.roll(x)"))
for _name in ("tril", "triu"):
    row(_name, function(_name), lambda g: (Sample((g.f(*s),), {"diagonal": d}, large=s == LARGE) for s in ((4, 4), (3, 5), (2, 5, 3), (0, 3), (1, 1), LARGE) for d in (0, 1, -2)), dtypes=ALL, oracle=MOVES, grad_steps=0, errors=(f"torch.{_name}(y5)", f"torch.{_name}(x, 'a')"))
row("cat", function("cat"), lambda g: iter([Sample(([g.f(3, 4), g.f(2, 4)],)), Sample(([g.f(3, 4), g.f(3, 1), g.f(3, 0)], 1)), Sample(([g.f(3, 4)], -1)), Sample(([g.f(2, 3, 4), g.f(2, 5, 4)],), {"dim": 1}), Sample(([g.f(0), g.f(3, 4)],)), Sample(([g.f(1), g.f(7)],)), Sample(([g.f(*LARGE), g.f(*LARGE)], 1), large=True)]), dtypes=ALL, oracle=MOVES, grad_steps=0, errors=("torch.cat([x, y5])", "torch.cat([])", "torch.cat([x, x], 2)", "torch.cat(x)", "torch.cat([x, 1])", "torch.cat([x, torch.ones(3, 3)], 0)"))
row("stack", function("stack"), lambda g: iter([Sample(([g.f(3, 4), g.f(3, 4)],)), Sample(([g.f(3, 4)] * 3, 1)), Sample(([g.f(), g.f()],)), Sample(([g.f(2, 3), g.f(2, 3)], -1)), Sample(([g.f(0), g.f(0)],)), Sample(([g.f(7), g.f(7), g.f(7)], 1)), Sample(([g.f(*LARGE), g.f(*LARGE)], 1), large=True)]), dtypes=ALL, oracle=MOVES, grad_steps=16, errors=("torch.stack([x, y5])", "torch.stack([])", "torch.stack([x, x], 3)", "torch.stack([1, 2])"))
row("repeat", method("repeat"), lambda g: iter([Sample((g.f(3), 2)), Sample((g.f(3, 1), 2, 3)), Sample((g.f(2), (2, 2, 1))), Sample((g.f(2, 2), 0, 1)), Sample((g.f(1), 1)), Sample((g.f(*LARGE), 2, 1), large=True)]), dtypes=ALL, oracle=MOVES, errors=("x.repeat(2)", "x.repeat(-1, 1)"))
