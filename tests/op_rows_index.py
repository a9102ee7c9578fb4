"""Rows of the op table: indexing, sorting, matrix products.

Invariant and limits: as in op_table.py, which registers these rows at its end. Read next: op_rows_layers.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from op_table import ALL, BAD_DIM, LARGE, MOVES, NO_BOOL, SHAPES, Gen, Sample, function, method, row

# --- indexing ----------------------------------------------------------------------------------------------------------------------------


def _index(g: Gen) -> Iterator[Sample]:
    s = slice
    x = g.f(5, 6, 4)
    for key in (
        2, -1, (1, 2), (s(None), -1), (..., 0), (s(None), s(None), -1), (None, 1), (s(None), None), s(1, 4), (s(None), s(0, 6, 2)), (s(None), [-1]), (s(None), [-1], s(None)),
        ([0, 2], [1, 1]), (range(3), [0, 1, 5]), ([[0, 1], [2, 3]],), ([1], s(None), [2]), (1, [0, 1, 2], s(None)), (s(None), [0, 1], [2, 3]), (..., [0, 0]), (0, 0, 0), (),
    ):  # fmt: skip
        yield Sample((x, key))
    yield Sample((x, g.i(7, hi=5)))
    yield Sample((x, g.i(3, 2, hi=5)))
    yield Sample((x, (g.i(3, 1, hi=5), g.i(1, 2, hi=6))))
    yield Sample((x, g.b(5)))
    yield Sample((x, (slice(None), g.b(6))))
    yield Sample((x, g.b(5, 6)))
    yield Sample((x, g.i(0, hi=5)))
    yield Sample((g.f(1), g.i(1, hi=1)))
    yield Sample((x, g.i(7, hi=5).astype(np.int32)))
    yield Sample((g.f(97, 33), g.i(64, 32, hi=97)), large=True)


def _getitem(lib: Any, x: Any, key: Any) -> Any:
    return x[key]


_BAD_INDEX = ("x[3]", "x[0, 4]", "x[0, 0, 0]", "x[[3]]", "x[idx + 100]", "x[y5 > 0]", "x[1.5]", "x['a']", "x[x]", "x[[0, 1], [0, 1, 2]]", "x[-4]", "x[torch.tensor([-5])]", "x[torch.tensor([0.5])]", "x[None, 0, 0, 0]")
row("index", _getitem, _index, dtypes=ALL, oracle=MOVES, layout="contiguous", errors=_BAD_INDEX, aliases=("getitem", "index_mask"))


def _setitem(lib: Any, x: Any, key: Any, value: Any) -> Any:
    x[key] = value
    return x


def _index_put(g: Gen) -> Iterator[Sample]:
    s = slice
    for key, value in (
        (2, g.f(6)), ((0, 1), 3.0), ((s(None), 0), 2.0), (s(1, 3), g.f(2, 6)), (s(0, 0), g.f(0, 6)), ((s(None), s(0, 6, 2)), 0.0), ([0, 2], g.f(2, 6)), ((range(3), [1, 2, 0]), g.f(3)),
        (..., g.f(6)), ((s(None), None), 1.0), (g.i(4, hi=5), 1.5), (g.b(5), 0.0), (g.b(5, 6), -1.0), ((s(None), g.b(6)), 4.0), (s(None), g.f(1, 6)),
    ):  # fmt: skip
        yield Sample((g.f(5, 6), key, value))
    yield Sample((g.f(1), 0, g.f()))
    yield Sample((g.f(*LARGE), s(1, 60), g.f(59, LARGE[1])), large=True)
    yield Sample((g.f(*LARGE), g.rs.permutation(67)[:50], g.f(50, LARGE[1])), large=True)


_BAD_STORE = ("x[3] = 1.0", "x[0] = y5", "x[idx + 100] = 0.0", "x[:, 5] = 1.0", "x[0] = 'a'", "x[mask] = torch.ones(99)", "x[y5 > 0] = 1.0", "x[[0, 1]] = torch.ones(3, 4)", "x[0.5] = 1.0")
row("index_put", _setitem, _index_put, dtypes=ALL, inplace=True, oracle=MOVES, errors=_BAD_STORE, aliases=("setitem", "index_put_", "masked_fill_mask"))


def _gather(g: Gen) -> Iterator[Sample]:
    yield Sample((g.f(3, 5), 1, g.i(3, 2, hi=5)))
    yield Sample((g.f(3, 5), 0, g.i(2, 5, hi=3)))
    yield Sample((g.f(2, 3, 4), -1, g.i(2, 3, 7, hi=4)))
    yield Sample((g.f(4), 0, g.i(0, hi=4)))
    yield Sample((g.f(1), 0, g.i(1, hi=1)))
    yield Sample((g.f(*LARGE), 1, g.i(67, 900, hi=LARGE[1])), large=True)


def _scatter(value: bool) -> Any:
    def samples(g: Gen) -> Iterator[Sample]:
        cols = np.stack([g.rs.permutation(5)[:3] for _ in range(3)]).astype(np.int64)
        yield Sample((g.f(3, 5), 1, cols, g.f(3, 3)))
        yield Sample((g.f(3, 5), -1, cols, g.f(3, 4)), grad=False)  # a source larger than the index
        yield Sample((g.f(3, 5), 0, g.i(0, 5, hi=3), g.f(0, 5)))
        yield Sample((g.f(1), 0, g.i(1, hi=1), g.f(1)))
        yield Sample((g.f(*LARGE), 1, np.stack([g.rs.permutation(LARGE[1])[:900] for _ in range(67)]), g.f(67, 900)), large=True)
        if value:
            yield Sample((g.f(3, 5), 1, cols, 1.5))
        else:
            yield Sample((g.f(3, 5), 1, np.zeros((3, 4), np.int64), g.f(3, 4)))

    return samples


row("gather", method("gather"), _gather, dtypes=ALL, oracle=MOVES, errors=("x.gather(1, idx + 100)", "x.gather(2, idx2)", "x.gather(0, idx)", "x.gather(1, x)", "x.gather(1, torch.zeros(9, 1, dtype=torch.int64))"))
row("scatter", method("scatter"), _scatter(True), dtypes=ALL, oracle=MOVES, aliases=("scatter_",), errors=("x.scatter(1, idx2 + 100, x)", "x.scatter(2, idx2, x)", "x.scatter(1, x, x)", "x.scatter(1, idx2, x.double())"))
row("scatter_add", method("scatter_add"), _scatter(False), dtypes=ALL, steps=1, whole=True, oracle=MOVES, aliases=("scatter_add_",), errors=("x.scatter_add(1, idx2 + 100, x)", "x.scatter_add(1, idx2, x.double())"))
row("index_select", method("index_select"), lambda g: iter([Sample((g.f(5, 4), 0, g.i(7, hi=5))), Sample((g.f(5, 4), 1, g.i(2, hi=4))), Sample((g.f(5, 4), -1, g.i(0, hi=4))), Sample((g.f(1), 0, g.i(1, hi=1))), Sample((g.f(7, 3), 0, g.i(5, hi=7).astype(np.int32))), Sample((g.f(*LARGE), 0, g.i(101, hi=67)), large=True)]), dtypes=ALL, oracle=MOVES, errors=("x.index_select(0, idx + 100)", "x.index_select(0, idx2)", "x.index_select(0, x)", "x.index_select(5, idx)"))
row("index_add", method("index_add"), lambda g: iter([Sample((g.f(5, 4), 0, g.i(7, hi=5), g.f(7, 4))), Sample((g.f(5, 4), 1, g.i(2, hi=4), g.f(5, 2))), Sample((g.f(5, 4), 1, g.i(2, hi=4), g.f(5, 2)), {"alpha": 3}), Sample((g.f(5, 3), 0, g.i(0, hi=5), g.f(0, 3))), Sample((g.f(1), 0, g.i(1, hi=1), g.f(1))), Sample((g.f(*LARGE), 0, g.i(101, hi=67), g.f(101, LARGE[1])), large=True)]), dtypes=ALL, steps=4, whole=True, oracle=MOVES, aliases=("index_add_",), errors=("x.index_add(0, idx + 100, x)", "x.index_add(0, idx, y5)"))
row("masked_select", method("masked_select"), lambda g: iter([Sample((g.f(3, 5), g.b(3, 5))), Sample((g.f(3, 5), g.b(5))), Sample((g.f(0, 3), g.b(3))), Sample((g.f(1), np.array([True]))), Sample((g.f(*LARGE), g.b(*LARGE)), large=True)]), dtypes=ALL, oracle=MOVES, errors=("x.masked_select(idx)", "x.masked_select(y5 > 0)"))
row("masked_scatter", method("masked_scatter"), lambda g: iter([Sample((g.f(3, 5), g.b(3, 5), g.f(15))), Sample((g.f(3, 5), g.b(5), g.f(4, 5))), Sample((g.f(5), g.b(3, 5), g.f(17))), Sample((g.f(2, 1, 3), g.b(4, 1), g.f(24))), Sample((g.f(0, 3), g.b(3), g.f(2))), Sample((g.f(1), np.array([True]), g.f(1))), Sample((g.f(), np.array(True), g.f(2))), Sample((g.f(3), np.zeros(3, bool), g.f(0))), Sample((g.f(*LARGE), g.b(*LARGE), g.f(*LARGE)), large=True)]), dtypes=ALL, oracle=MOVES, aliases=("masked_scatter_",), errors=("x.masked_scatter(idx, x)", "x.masked_scatter(y5 > 0, x)", "x.masked_scatter(x == x, x[0])", "x.masked_scatter(mask, x.double())", "x.masked_scatter(mask, 2.0)", "x[0].masked_scatter_(x == x, x)"))
row("nonzero", method("nonzero"), lambda g: (Sample((np.where(g.b(*s), g.f(*s), 0.0),), large=s == LARGE) for s in (*SHAPES, LARGE)), dtypes=ALL, grad=False, oracle=MOVES, errors=("torch.nonzero(3)",))
row("topk", method("topk"), lambda g: iter([Sample((g.distinct(7), 3)), Sample((g.distinct(3, 9), 4)), Sample((g.distinct(9, 3), 2, 0)), Sample((g.distinct(3, 9), 9, -1, False)), Sample((g.distinct(3, 4), 0)), Sample((g.distinct(1), 1)), Sample((g.distinct(0, 3), 2)), Sample((g.distinct(67, 301), 10), large=True)]), dtypes=NO_BOOL, oracle=MOVES, grad_steps=0, errors=("mask.topk(1)", "x.topk(5)", "x.topk(-1)", "x.topk(1, 2)", "x.topk('a')"))
row("sort", function("sort"), lambda g: (Sample((g.distinct(*s),), {"dim": d, "descending": r, "stable": True}, large=s == LARGE) for s in ((9, 5), (1, 1), (0, 3), LARGE) for d in (0, -1) for r in (False, True)), dtypes=ALL, oracle=MOVES, grad_steps=0, errors=BAD_DIM["sort"])
row("argsort", function("argsort"), lambda g: (Sample((g.distinct(*s),), {"dim": d, "descending": r, "stable": True}, large=s == LARGE) for s in ((9, 5), (1, 1), (0, 3), LARGE) for d in (0, -1) for r in (False, True)), dtypes=ALL, grad=False, oracle=MOVES, errors=BAD_DIM["argsort"])
row("one_hot", lambda lib, i, *n: lib.nn.functional.one_hot(i, *n), lambda g: iter([Sample((g.i(5, hi=4),)), Sample((g.i(2, 3, hi=4), 7)), Sample((g.i(0, hi=4), 4)), Sample((g.i(hi=4), 4)), Sample((g.i(301, hi=7),), large=True)]), dtypes=("float32",), lacks={"dtypes": "integers only: the samples' own"}, grad=False, oracle=MOVES, errors=("F.one_hot(idx, 1)", "F.one_hot(x)", "F.one_hot(idx - 9)"))
row("bincount", function("bincount"), lambda g: iter([Sample((g.i(9, hi=5),)), Sample((g.i(9, hi=5),), {"minlength": 8}), Sample((g.i(0, hi=5),)), Sample((g.i(1, hi=5),)), Sample((g.i(70001, hi=5),), large=True)]), dtypes=("float32",), lacks={"dtypes": "integers only: the samples' own"}, grad=False, oracle=MOVES, errors=("torch.bincount(x)", "torch.bincount(idx - 9)"))

# --- products ----------------------------------------------------------------------------------------------------------------------------

MATMUL = (
    ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((3, 4), (4, 5)), ((1, 1), (1, 1)), ((0, 4), (4, 5)), ((3, 0), (0, 5)), ((3, 4), (4, 0)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (3, 4, 2)), ((2, 3, 4), (4,)), ((3,), (2, 3, 4)), ((17, 33), (33, 9)), ((0,), (0,)), ((31, 7), (7, 17)),
)  # fmt: skip


def _products(*shapes: tuple[tuple[int, ...], tuple[int, ...]], large: tuple[tuple[int, ...], tuple[int, ...]] | None = None, lo: float = -2) -> Any:
    def samples(g: Gen) -> Iterator[Sample]:
        for a, b in shapes:
            yield Sample((g.f(*a), g.f(*b)))
        if large:
            yield Sample((g.f(*large[0], lo=lo), g.f(*large[1], lo=lo)), large=True)

    return samples


def _matmul(g: Gen) -> Iterator[Sample]:
    yield from _products(*MATMUL, large=((301, 65), (65, 127)))(g)
    yield Sample((g.f(4, 3, 50, 24), g.f(4, 3, 24, 50)), large=True)
    yield Sample((g.f(5, 40, 130), g.f(130, 70)), large=True)
    yield Sample((g.f(300, 310), g.f(310, 290)), large=True)


_BAD_PRODUCT = ("x @ x", "x @ y5", "x @ 2", "x @ idx2", "torch.matmul(x, torch.tensor(1.0))", "x @ x.double().t()", "torch.matmul(x)")
row("matmul", function("matmul"), _matmul, dtypes=NO_BOOL, steps=12, whole=True, grad_steps=16, errors=_BAD_PRODUCT)
row("mm", function("mm"), _products(((3, 4), (4, 5)), ((0, 4), (4, 5)), ((1, 1), (1, 1)), large=((129, 67), (67, 33))), dtypes=NO_BOOL, steps=8, whole=True, errors=("torch.mm(x, x)", "torch.mm(x, x[0])", "torch.mm(x, x.double().t())"))
row("bmm", function("bmm"), _products(((2, 3, 4), (2, 4, 5)), ((0, 3, 4), (0, 4, 5)), ((1, 1, 1), (1, 1, 1)), ((3, 5, 7), (3, 7, 5)), large=((8, 65, 33), (8, 33, 40))), dtypes=NO_BOOL, steps=8, whole=True, errors=("torch.bmm(x, x)", "torch.bmm(x[None], x[None])"))
row("mv", function("mv"), _products(((3, 4), (4,)), ((3, 0), (0,)), ((1, 1), (1,)), ((5, 7), (7,)), large=((500, 300), (300,))), dtypes=NO_BOOL, steps=12, whole=True, errors=("torch.mv(x, x[:, 0])", "torch.mv(x, x)"))
row("dot", function("dot"), _products(((4,), (4,)), ((0,), (0,)), ((1,), (1,)), ((33,), (33,)), large=((70001,), (70001,)), lo=0.5), dtypes=NO_BOOL, steps=6, whole=True, errors=("torch.dot(x, x)", "torch.dot(y5, x[0])"))
row("outer", function("outer"), _products(((4,), (3,)), ((1,), (7,)), ((0,), (3,)), large=((257,), (263,))), dtypes=ALL, errors=("torch.outer(x, x)",))


def _added(g: Gen) -> Iterator[Sample]:
    """c, a, b of addmm: c as it is, a row, a number; beta, alpha."""
    for c, m, k, n in (((3, 5), 3, 4, 5), ((5,), 3, 4, 5), ((), 3, 4, 5), ((1, 1), 1, 1, 1), ((0, 5), 0, 4, 5), ((3, 5), 3, 0, 5), ((65, 129), 65, 77, 129)):
        for o in ({}, {"beta": 3, "alpha": 2}, {"beta": 0.5, "alpha": 2.0}) if k else ({},):
            yield Sample((g.f(*c), g.f(m, k), g.f(k, n)), o, large=m == 65)


def _baddbmm(g: Gen) -> Iterator[Sample]:
    for c, n, m, k, p in (((2, 3, 5), 2, 3, 4, 5), ((5,), 2, 3, 4, 5), ((1, 1, 1), 1, 1, 1, 1), ((0, 3, 5), 0, 3, 4, 5), ((8, 65, 33), 8, 65, 40, 33)):
        for o in ({}, {"beta": 0.5, "alpha": 2.0}):
            yield Sample((g.f(*c), g.f(n, m, k), g.f(n, k, p)), o, large=n == 8)


row("addmm", function("addmm"), _added, dtypes=NO_BOOL, steps=8, whole=True, errors=("torch.addmm(y5, x, x)", "torch.addmm(torch.ones(7), x, x.t())"))
row("baddbmm", function("baddbmm"), _baddbmm, dtypes=NO_BOOL, steps=8, whole=True, errors=("torch.baddbmm(x[None], x[None], x[None])", "torch.baddbmm(y5, x[None], x[None])"))


def _linear(g: Gen) -> Iterator[Sample]:
    yield Sample((g.f(1, 1), g.f(1, 1), g.f(1)))
    for lead in ((), (3,), (2, 3), (0,), (1, 1)):
        yield Sample((g.f(*lead, 4), g.f(5, 4), g.f(5)))
        yield Sample((g.f(*lead, 4), g.f(5, 4)))
    yield Sample((g.f(7, 37, 65), g.f(129, 65), g.f(129)), large=True)


row("linear", lambda lib, *a: lib.nn.functional.linear(*a), _linear, dtypes=NO_BOOL, steps=8, whole=True, grad_steps=8, errors=("F.linear(x, x.t())", "F.linear(x, x, y5)", "F.linear(idx2, x)", "F.linear(mask, mask)", "F.linear(x, x.double())", "F.linear(x, 3)"))


def _matmul_fused(lib: Any, a: Any, b: Any, bias: Any = None, residual: Any = None, **options: Any) -> Any:
    """The op of fastnn; the ops it stands for in PyTorch."""
    if hasattr(lib, "_C") and hasattr(lib._C, "_matmul_fused"):
        return lib._C._matmul_fused(a, b, bias, residual, **options)
    z = (a.mT if options.get("transpose_a") else a) @ (b.mT if options.get("transpose_b") else b)
    z = z if bias is None else z + bias
    f = lib.nn.functional
    y = {"none": lambda z: z, "relu": f.relu, "tanh": lib.tanh, "gelu": f.gelu, "gelu_tanh": lambda z: f.gelu(z, approximate="tanh")}[options.get("activation", "none")](z)
    return y if residual is None else y + residual


def _matmul_fused_samples(g: Gen) -> Iterator[Sample]:
    for activation in ("none", "relu", "tanh", "gelu", "gelu_tanh"):
        yield Sample((g.f(3, 4), g.f(4, 5), g.f(5)), {"activation": activation})
        yield Sample((g.f(2, 3, 4), g.f(5, 4), None, g.f(2, 3, 5)), {"transpose_b": True, "activation": activation})
        yield Sample((g.f(2, 4, 3), g.f(2, 4, 5), g.f(5), g.f(2, 3, 5)), {"transpose_a": True, "activation": activation})
        yield Sample((g.f(2, 37, 150), g.f(129, 37), g.f(129), g.f(2, 150, 129)), {"transpose_a": True, "transpose_b": True, "activation": activation}, large=True)
    yield Sample((g.f(2, 1, 4, 3), g.f(3, 5, 4), g.f(5)), {"transpose_a": True, "transpose_b": True, "activation": "tanh"})
    yield Sample((g.f(3, 0), g.f(0, 5), g.f(5)), {"activation": "relu"})
    yield Sample((g.f(0, 3), g.f(3, 5), g.f(5)), {"activation": "gelu"})
    yield Sample((g.f(1, 7), g.f(7, 1), g.f(1), g.f(1, 1)), {"activation": "relu"})
    yield Sample((g.f(9, 1100), g.f(1100, 70), g.f(70), g.f(9, 70)), {"activation": "relu"}, large=True)


OURS = {"errors": "no face in PyTorch; test_kernels_hostile.py has its wrong calls", "dtypes": "no face in PyTorch: floats"}
row("matmul_fused", _matmul_fused, _matmul_fused_samples, steps=24, whole=True, grad_steps=48, lacks=OURS)
