"""The second half of the op table: indexing, sorting, products, layers, recurrent nets, random fills, creation, optimizer steps.

Invariant and limits: as in op_table.py, which registers these rows at its end. Read next: test_ops.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from op_table import ALL, BAD_DIM, LARGE, NUMBERS, Gen, Sample, Samples, function, method, row

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
    yield Sample((g.f(97, 33), g.i(64, 32, hi=97)), large=True)


def _getitem(lib: Any, x: Any, key: Any) -> Any:
    return x[key]


_BAD_INDEX = ("x[3]", "x[0, 4]", "x[0, 0, 0]", "x[[3]]", "x[idx + 100]", "x[y5 > 0]", "x[1.5]", "x['a']", "x[x]", "x[[0, 1], [0, 1, 2]]", "x[-4]", "x[torch.tensor([-5])]", "x[torch.tensor([0.5])]", "x[None, 0, 0, 0]")
row("index", _getitem, _index, dtypes=ALL, oracle=None, layout=False, errors=_BAD_INDEX, aliases=("getitem", "index_mask"))


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


_BAD_STORE = ("x[3] = 1.0", "x[0] = y5", "x[idx + 100] = 0.0", "x[:, 5] = 1.0", "x[0] = 'a'", "x[mask] = torch.ones(99)", "x[y5 > 0] = 1.0", "x[[0, 1]] = torch.ones(3, 4)", "x[0.5] = 1.0")
row("index_put", _setitem, _index_put, dtypes=(*NUMBERS, "bool"), inplace=True, oracle=None, errors=_BAD_STORE, aliases=("setitem", "index_put_", "masked_fill_mask"))


def _gather(g: Gen) -> Iterator[Sample]:
    yield Sample((g.f(3, 5), 1, g.i(3, 2, hi=5)))
    yield Sample((g.f(3, 5), 0, g.i(2, 5, hi=3)))
    yield Sample((g.f(2, 3, 4), -1, g.i(2, 3, 7, hi=4)))
    yield Sample((g.f(4), 0, g.i(0, hi=4)))
    yield Sample((g.f(*LARGE), 1, g.i(67, 900, hi=LARGE[1])), large=True)


def _scatter(value: bool) -> Any:
    def samples(g: Gen) -> Iterator[Sample]:
        cols = np.stack([g.rs.permutation(5)[:3] for _ in range(3)]).astype(np.int64)
        yield Sample((g.f(3, 5), 1, cols, g.f(3, 3)))
        yield Sample((g.f(3, 5), -1, cols, g.f(3, 4)), grad=False)  # a source larger than the index
        yield Sample((g.f(3, 5), 0, g.i(0, 5, hi=3), g.f(0, 5)))
        if value:
            yield Sample((g.f(3, 5), 1, cols, 1.5))
        else:
            yield Sample((g.f(3, 5), 1, np.zeros((3, 4), np.int64), g.f(3, 4)))

    return samples


row("gather", method("gather"), _gather, dtypes=ALL, oracle=None, errors=("x.gather(1, idx + 100)", "x.gather(2, idx2)", "x.gather(0, idx)", "x.gather(1, x)", "x.gather(1, torch.zeros(9, 1, dtype=torch.int64))"))
row("scatter", method("scatter"), _scatter(True), dtypes=ALL, oracle=None, aliases=("scatter_",), errors=("x.scatter(1, idx2 + 100, x)", "x.scatter(2, idx2, x)", "x.scatter(1, x, x)", "x.scatter(1, idx2, x.double())"))
row("scatter_add", method("scatter_add"), _scatter(False), dtypes=NUMBERS, steps=4, whole=True, oracle=None, aliases=("scatter_add_",), errors=("x.scatter_add(1, idx2 + 100, x)", "x.scatter_add(1, idx2, x.double())"))
row("index_select", method("index_select"), lambda g: iter([Sample((g.f(5, 4), 0, g.i(7, hi=5))), Sample((g.f(5, 4), 1, g.i(2, hi=4))), Sample((g.f(5, 4), -1, g.i(0, hi=4)))]), dtypes=ALL, oracle=None, errors=("x.index_select(0, idx + 100)", "x.index_select(0, idx2)", "x.index_select(0, x)", "x.index_select(5, idx)"))
row("index_add", method("index_add"), lambda g: iter([Sample((g.f(5, 4), 0, g.i(7, hi=5), g.f(7, 4))), Sample((g.f(5, 4), 1, g.i(2, hi=4), g.f(5, 2)))]), dtypes=NUMBERS, steps=4, whole=True, oracle=None, aliases=("index_add_",), errors=("x.index_add(0, idx + 100, x)", "x.index_add(0, idx, y5)"))
row("masked_select", method("masked_select"), lambda g: iter([Sample((g.f(3, 5), g.b(3, 5))), Sample((g.f(3, 5), g.b(5))), Sample((g.f(0, 3), g.b(3)))]), dtypes=ALL, oracle=None, errors=("x.masked_select(idx)", "x.masked_select(y5 > 0)"))
row("nonzero", method("nonzero"), lambda g: iter([Sample((g.b(4, 5),)), Sample((g.f(3),)), Sample((g.b(0, 3),)), Sample((g.b(),)), Sample((g.b(2, 3, 4),))]), dtypes=("float32",), grad=False, oracle=None, errors=("torch.nonzero(3)",))
row("topk", method("topk"), lambda g: iter([Sample((g.distinct(7), 3)), Sample((g.distinct(3, 9), 4)), Sample((g.distinct(9, 3), 2, 0)), Sample((g.distinct(3, 9), 9, -1, False)), Sample((g.distinct(3, 4), 0)), Sample((g.distinct(67, 301), 10), large=True)]), dtypes=NUMBERS[:2], oracle=None, grad_steps=0, errors=("x.topk(5)", "x.topk(-1)", "x.topk(1, 2)", "x.topk('a')"))
row("sort", function("sort"), lambda g: (Sample((g.distinct(*s),), {"dim": d, "descending": r}) for s in ((9, 5), (1, 1), (0, 3)) for d in (0, -1) for r in (False, True)), dtypes=NUMBERS[:2], oracle=None, grad_steps=0, errors=BAD_DIM["sort"])
row("argsort", function("argsort"), lambda g: (Sample((g.distinct(9, 5),), {"dim": d, "descending": r}) for d in (0, -1) for r in (False, True)), grad=False, oracle=None, errors=BAD_DIM["argsort"])
row("one_hot", lambda lib, i, *n: lib.nn.functional.one_hot(i, *n), lambda g: iter([Sample((g.i(5, hi=4),)), Sample((g.i(2, 3, hi=4), 7)), Sample((g.i(0, hi=4), 4)), Sample((g.i(hi=4), 4))]), dtypes=("float32",), grad=False, oracle=None, errors=("F.one_hot(idx, 1)", "F.one_hot(x)", "F.one_hot(idx - 9)"))
row("bincount", function("bincount"), lambda g: iter([Sample((g.i(9, hi=5),)), Sample((g.i(9, hi=5),), {"minlength": 8}), Sample((g.i(0, hi=5),))]), dtypes=("float32",), grad=False, oracle=None, errors=("torch.bincount(x)", "torch.bincount(idx - 9)"))

# --- products ----------------------------------------------------------------------------------------------------------------------------

MATMUL = (
    ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((3, 4), (4, 5)), ((1, 1), (1, 1)), ((0, 4), (4, 5)), ((3, 0), (0, 5)), ((3, 4), (4, 0)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (3, 4, 2)), ((2, 3, 4), (4,)), ((3,), (2, 3, 4)), ((17, 33), (33, 9)), ((0,), (0,)), ((31, 7), (7, 17)),
)  # fmt: skip


def _products(*shapes: tuple[tuple[int, ...], tuple[int, ...]], large: tuple[tuple[int, ...], tuple[int, ...]] | None = None) -> Any:
    def samples(g: Gen) -> Iterator[Sample]:
        for a, b in shapes:
            yield Sample((g.f(*a), g.f(*b)))
        if large:
            yield Sample((g.f(*large[0]), g.f(*large[1])), large=True)

    return samples


def _matmul(g: Gen) -> Iterator[Sample]:
    yield from _products(*MATMUL, large=((301, 65), (65, 127)))(g)
    yield Sample((g.f(4, 3, 50, 24), g.f(4, 3, 24, 50)), large=True)
    yield Sample((g.f(5, 40, 130), g.f(130, 70)), large=True)
    yield Sample((g.f(300, 310), g.f(310, 290)), large=True)


_BAD_PRODUCT = ("x @ x", "x @ y5", "x @ 2", "x @ idx2", "torch.matmul(x, torch.tensor(1.0))", "x @ x.double().t()", "torch.matmul(x)")
row("matmul", function("matmul"), _matmul, steps=32, whole=True, grad_steps=64, errors=_BAD_PRODUCT)
row("mm", function("mm"), _products(((3, 4), (4, 5)), ((0, 4), (4, 5)), large=((129, 67), (67, 33))), steps=32, whole=True, errors=("torch.mm(x, x)", "torch.mm(x, x[0])", "torch.mm(x, x.double().t())"))
row("bmm", function("bmm"), _products(((2, 3, 4), (2, 4, 5)), ((0, 3, 4), (0, 4, 5)), large=((8, 65, 33), (8, 33, 40))), steps=32, whole=True, errors=("torch.bmm(x, x)", "torch.bmm(x[None], x[None])"))
row("mv", function("mv"), _products(((3, 4), (4,)), large=((500, 300), (300,))), steps=32, whole=True, errors=("torch.mv(x, x[:, 0])", "torch.mv(x, x)"))
row("dot", function("dot"), _products(((4,), (4,)), ((0,), (0,))), steps=32, whole=True, errors=("torch.dot(x, x)", "torch.dot(y5, x[0])"))
row("outer", function("outer"), _products(((4,), (3,)), ((1,), (7,))), errors=("torch.outer(x, x)",))
row("addmm", function("addmm"), lambda g: iter([Sample((g.f(3, 5), g.f(3, 4), g.f(4, 5))), Sample((g.f(5), g.f(3, 4), g.f(4, 5)), {"beta": 0.5, "alpha": 2.0})]), steps=32, whole=True, errors=("torch.addmm(y5, x, x)", "torch.addmm(torch.ones(7), x, x.t())"))


def _linear(g: Gen) -> Iterator[Sample]:
    for lead in ((), (3,), (2, 3), (0,), (1, 1)):
        yield Sample((g.f(*lead, 4), g.f(5, 4), g.f(5)))
        yield Sample((g.f(*lead, 4), g.f(5, 4)))
    yield Sample((g.f(7, 37, 65), g.f(129, 65), g.f(129)), large=True)


row("linear", lambda lib, *a: lib.nn.functional.linear(*a), _linear, steps=32, whole=True, grad_steps=64, errors=("F.linear(x, x.t())", "F.linear(x, x, y5)", "F.linear(idx2, x)", "F.linear(x, x.double())", "F.linear(x, 3)"))


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


row("matmul_fused", _matmul_fused, _matmul_fused_samples, steps=64, whole=True, grad_steps=128)

# --- layers ------------------------------------------------------------------------------------------------------------------------------


def _embedding(g: Gen) -> Iterator[Sample]:
    for shape in ((3,), (2, 5), (0,), (), (2, 2, 2)):
        yield Sample((g.i(*shape, hi=7), g.f(7, 4)))
    yield Sample((g.i(9, hi=7), g.f(7, 4)), {"padding_idx": 2})
    yield Sample((g.i(256, 16, hi=27), g.f(27, 33)), large=True)


row("embedding", lambda lib, *a, **k: lib.nn.functional.embedding(*a, **k), _embedding, grad_steps=32, oracle=None, errors=("F.embedding(idx + 100, x)", "F.embedding(idx - 9, x)", "F.embedding(x, x)", "F.embedding(idx, y5)"))


def _layer_norm(g: Gen) -> Iterator[Sample]:
    yield Sample((g.f(3, 8), (8,), g.f(8), g.f(8)))
    yield Sample((g.f(3, 8), (8,)))
    yield Sample((g.f(2, 3, 5), (5,), g.f(5), None))
    yield Sample((g.f(2, 3, 5), (3, 5), g.f(3, 5), g.f(3, 5), 1e-3))
    yield Sample((g.f(0, 4), (4,), g.f(4), g.f(4)))
    yield Sample((g.f(4, 67) * 3 + 100, (67,), g.f(67), g.f(67)), grad=False)
    yield Sample((g.f(130, 257), (257,), g.f(257), g.f(257)), large=True)


row("layer_norm", lambda lib, *a: lib.nn.functional.layer_norm(*a), _layer_norm, steps=64, whole=True, grad_steps=128, aliases=("native_layer_norm",), errors=("F.layer_norm(x, (3,))", "F.layer_norm(x, (4,), y5)", "F.layer_norm(x, ())", "F.layer_norm(x, (4,), None, y5)", "F.layer_norm(idx2, (4,))", "F.layer_norm(x, 4.0)"))
row("rms_norm", lambda lib, *a: lib.nn.functional.rms_norm(*a), lambda g: iter([Sample((g.f(3, 8), (8,), g.f(8))), Sample((g.f(2, 3, 5), (5,))), Sample((g.f(3, 8), (8,), g.f(8), 1e-3)), Sample((g.f(0, 4), (4,), g.f(4))), Sample((g.f(130, 257), (257,), g.f(257)), large=True)]), steps=16, whole=True, grad_steps=64, errors=("F.rms_norm(x, (3,))", "F.rms_norm(x, (4,), y5)"))
for _name in ("softmax", "log_softmax"):
    row(_name, function(_name), lambda g: (Sample((g.f(*s, lo=-9, hi=9),), {"dim": d}, large=s == LARGE) for s in ((3, 5), (1, 1), (2, 3, 27), (0, 4), (4, 130), LARGE) for d in (-1, 0)), steps=16, whole=True, grad_steps=32, errors=(*BAD_DIM[_name], f"torch.{_name}(idx, 0)"))


def _cross_entropy(g: Gen) -> Iterator[Sample]:
    x = g.f(6, 5, lo=-4, hi=4)
    t = g.i(6, hi=5)
    masked = t.copy()
    masked[::2] = -1
    for o in ({}, {"reduction": "sum"}, {"reduction": "none"}, {"label_smoothing": 0.1}):
        yield Sample((x, t), o)
    for o in ({"ignore_index": -1}, {"ignore_index": -1, "reduction": "none"}, {"ignore_index": -1, "label_smoothing": 0.2}):
        yield Sample((x, masked), o)
    yield Sample((x, t), {"weight": g.f(5, lo=0.5, hi=1.5)})
    yield Sample((x[0], np.asarray(t[0])))
    yield Sample((g.f(2, 5, 3), g.i(2, 3, hi=5)))
    yield Sample((x, np.full(6, -1)), {"ignore_index": -1}, grad=False)
    yield Sample((x, np.abs(g.f(6, 5))))
    yield Sample((g.f(4096, 27, lo=-4, hi=4), g.i(4096, hi=27)), large=True)


row("cross_entropy", lambda lib, *a, **k: lib.nn.functional.cross_entropy(*a, **k), _cross_entropy, steps=16, whole=True, grad_steps=32, errors=("F.cross_entropy(x, idx + 100)", "F.cross_entropy(x, idx2)", "F.cross_entropy(x, torch.zeros(2, dtype=torch.int64))", "F.cross_entropy(idx2, idx)", "F.cross_entropy(x, idx, reduction='avg')", "F.cross_entropy(x, idx, weight=y5)", "F.cross_entropy(x, idx - 50)", "F.cross_entropy(x, 1)", "F.cross_entropy(x, idx, label_smoothing=2.0)"))


def _nll(g: Gen) -> Iterator[Sample]:
    for o in ({}, {"reduction": "sum"}, {"reduction": "none"}, {"ignore_index": 1}):
        yield Sample((g.f(6, 5, lo=-4, hi=0), g.i(6, hi=5)), o)
    yield Sample((g.f(6, 5, lo=-4, hi=0), g.i(6, hi=5)), {"weight": g.f(5, lo=0.5, hi=1.5)})


row("nll_loss", lambda lib, *a, **k: lib.nn.functional.nll_loss(*a, **k), _nll, steps=8, whole=True, errors=("F.nll_loss(x, idx + 100)", "F.nll_loss(x, x)", "F.nll_loss(x, idx, reduction='avg')"))


def _seeded(call: Any) -> Any:
    """The op after manual_seed(5), so that both libraries draw the same numbers."""

    def run(lib: Any, *args: Any, **kwargs: Any) -> Any:
        lib.manual_seed(5)
        return call(lib, *args, **kwargs)

    return run


row("dropout", _seeded(lambda lib, *a: lib.nn.functional.dropout(*a)), lambda g: iter([Sample((g.f(3, 5), 0.3, True)), Sample((g.f(40), 0.5, True)), Sample((g.f(3, 5), 0.0, True)), Sample((g.f(3, 5), 1.0, True)), Sample((g.f(3, 5), 0.5, False)), Sample((g.f(0), 0.5, True)), Sample((g.f(*LARGE), 0.2, True), large=True)]), oracle=None, grad_steps=1, aliases=("native_dropout",), errors=("F.dropout(x, 1.5)", "F.dropout(x, -0.1)", "F.dropout(x, 'a')"))


def _attention(g: Gen) -> Iterator[Sample]:
    for b, h, t, d in ((2, 3, 5, 4), (1, 1, 1, 1), (1, 2, 17, 8), (2, 1, 8, 8), (1, 2, 16, 37), (2, 4, 16, 16)):
        q, k, v = (g.f(b, h, t, d) for _ in range(3))
        yield Sample((q, k, v), {"is_causal": True})
        yield Sample((q, k, v))
    yield Sample((q, k, v), {"scale": 0.3, "is_causal": True})
    yield Sample((g.f(2, 3, 4), g.f(2, 5, 4), g.f(2, 5, 6)))
    yield Sample((g.f(2, 9, 32), g.f(2, 16, 32), g.f(2, 16, 16)), {"is_causal": True})
    yield Sample((g.f(2, 6, 5, 8), g.f(2, 3, 7, 8), g.f(2, 3, 7, 4)), {"enable_gqa": True})
    yield Sample((g.f(4, 20, 8), g.f(2, 20, 8), g.f(2, 20, 8)), {"enable_gqa": True, "is_causal": True})
    yield Sample((g.f(2, 3, 4), g.f(2, 5, 4), g.f(2, 5, 4)), {"attn_mask": np.tril(np.ones((3, 5), dtype=bool))})
    yield Sample((g.f(2, 3, 4), g.f(2, 5, 4), g.f(2, 5, 4), g.f(3, 5)))
    yield Sample((g.f(1, 4, 150, 8), g.f(1, 2, 150, 8), g.f(1, 2, 150, 8)), {"enable_gqa": True, "is_causal": True}, large=True)
    yield Sample((g.f(2, 3, 5, 4), g.f(2, 1, 5, 4), g.f(2, 1, 5, 4)))
    yield Sample((g.f(4, 4, 65, 16), g.f(4, 4, 65, 16), g.f(4, 4, 65, 16)), {"is_causal": True}, large=True)
    yield Sample((g.f(1, 2, 300, 33), g.f(1, 2, 300, 33), g.f(1, 2, 300, 33)), {"is_causal": True}, large=True)


row("scaled_dot_product_attention", lambda lib, *a, **k: lib.nn.functional.scaled_dot_product_attention(*a, **k), _attention, layout=False, steps=32, whole=True, grad_steps=64, errors=("F.scaled_dot_product_attention(x, x, x.t())", "F.scaled_dot_product_attention(x[None], x[None], y5)", "F.scaled_dot_product_attention(x, x.double(), x)", "F.scaled_dot_product_attention(x[None], x[None], x[None], mask, is_causal=True)"))

# --- recurrent nets ----------------------------------------------------------------------------------------------------------------------
# variant "after": nn.GRU's, the reset gate multiplies the finished recurrent product. variant "before": the reset gate multiplies the state.


def _gru_cell_after(lib: Any, x: Any, h: Any, w: Any, u: Any, b: Any, c: Any) -> Any:
    gx, gh = x @ w.transpose(0, 1) + b, h @ u.transpose(0, 1) + c
    n = h.shape[-1]
    r = (gx[..., :n] + gh[..., :n]).sigmoid()
    z = (gx[..., n : 2 * n] + gh[..., n : 2 * n]).sigmoid()
    m = (gx[..., 2 * n :] + r * gh[..., 2 * n :]).tanh()
    return (1 - z) * m + z * h


def _gru_module(lib: Any, x: Any, h: Any, *weights: Any, cell: bool = False) -> Any:
    """nn.GRU (x is (T,B,I)) or nn.GRUCell with the given weights in place of its own."""
    kind = lib.nn.GRUCell if cell else lib.nn.GRU
    module = kind(x.shape[-1], h.shape[-1]).to(x.dtype)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return lib.func.functional_call(module, dict(zip(names if cell else [n + "_l0" for n in names], weights, strict=True)), (x, h))


def _gru_cell(g: Gen) -> Iterator[Sample]:
    for b, i, n in ((3, 5, 4), (1, 1, 1), (33, 17, 24)):
        yield Sample((g.f(b, i), g.f(b, n), g.f(3 * n, i), g.f(3 * n, n), g.f(3 * n), g.f(3 * n)), large=b == 33)


row("gru_cell", lambda lib, x, h, *w: lib._VF.gru_cell(x, h, *w) if hasattr(lib, "_VF") else lib._C.gru_cell(x, h, *w), _gru_cell, layout=False, steps=32, whole=True, grad_steps=64, errors=("torch.nn.GRUCell(4, 3)(y5[None])", "torch.nn.GRUCell(4, 3)(x, torch.zeros(1, 9))"))


def _gru(lib: Any, x: Any, h: Any, *w: Any) -> Any:
    rnn = lib.gru if hasattr(lib, "gru") else lib._C.gru
    return rnn(x, h, list(w), True, 1, 0.0, True, False, False)


row("gru", _gru, lambda g: (Sample((g.f(t, b, i), g.f(1, b, n), g.f(3 * n, i), g.f(3 * n, n), g.f(3 * n), g.f(3 * n)), large=t == 16) for t, b, i, n in ((4, 3, 5, 2), (1, 1, 1, 1), (16, 33, 24, 20))), steps=128, whole=True, grad_steps=256, errors=("torch.nn.GRU(4, 3)(y5)", "torch.nn.GRU(4, 3)(torch.zeros(2, 2, 5))", "torch.nn.GRU(4, 3)(torch.zeros(2, 2, 4), torch.zeros(2, 2, 3))"))


def _recurrent(gates: int, states: int, *, cell: bool = False, kwargs: tuple[dict[str, Any], ...] = ({},)) -> Samples:
    """x, h (and c), w_ih, w_hh, b_ih, b_hh: tiny, smallest, and large enough for chunks that form their share of the weight gradients."""

    def samples(g: Gen) -> Iterator[Sample]:
        for t, b, i, n in ((4, 3, 5, 2), (1, 1, 1, 1), (16, 33, 24, 20)):
            first = [g.f(b, n) if cell else g.f(1, b, n) for _ in range(states)]
            weights = (g.f(gates * n, i), g.f(gates * n, n), g.f(gates * n), g.f(gates * n))
            for k in kwargs:
                yield Sample((g.f(b, i) if cell else g.f(t, b, i), *first, *weights), k, large=t == 16)

    return samples


_HOW = (True, 1, 0.0, True, False, False)


def _rnn(lib: Any, x: Any, h: Any, *w: Any, relu: bool = False) -> Any:
    return (lib.rnn_relu if relu else lib.rnn_tanh)(x, h, list(w), *_HOW)


# Weights small enough that differences do not grow from step to step, as they do in a chaotic net, and tanh does not saturate.
def _rnn_samples(g: Gen, cell: bool = False) -> Iterator[Sample]:
    for s in _recurrent(1, 1, cell=cell, kwargs=({}, {"relu": True}))(g):
        yield Sample((*s.args[:2], *(0.2 * w for w in s.args[2:])), s.kwargs, large=s.large)


row("rnn", _rnn, _rnn_samples, steps=128, whole=True, grad_steps=256, errors=("torch.nn.RNN(4, 3)(y5)", "torch.nn.RNN(4, 3)(torch.zeros(2, 2, 5))", "torch.nn.RNN(4, 3)(torch.zeros(2, 2, 4), torch.zeros(2, 2, 3))"))
row("rnn_cell", lambda lib, *a, relu=False: (lib.rnn_relu_cell if relu else lib.rnn_tanh_cell)(*a), lambda g: _rnn_samples(g, cell=True), layout=False, steps=32, whole=True, grad_steps=64, errors=("torch.nn.RNNCell(4, 3)(y5[None])", "torch.nn.RNNCell(4, 3)(x, torch.zeros(1, 9))"))
row("lstm", lambda lib, x, h, c, *w: lib.lstm(x, (h, c), list(w), *_HOW), _recurrent(4, 2), steps=128, whole=True, grad_steps=256, errors=("torch.nn.LSTM(4, 3)(y5)", "torch.nn.LSTM(4, 3)(torch.zeros(2, 2, 5))", "torch.nn.LSTM(4, 3)(torch.zeros(2, 2, 4), (torch.zeros(1, 2, 3), torch.zeros(2, 2, 3)))"))
row("lstm_cell", lambda lib, x, h, c, *w: lib.lstm_cell(x, (h, c), *w), _recurrent(4, 2, cell=True), layout=False, steps=32, whole=True, grad_steps=64, errors=("torch.nn.LSTMCell(4, 3)(y5[None])", "torch.nn.LSTMCell(4, 3)(x, (torch.zeros(1, 3), torch.zeros(1, 9)))"))

# --- random fills and creation (their streams: test_random.py) ---------------------------------------------------------------------------

FILLS: dict[str, tuple[tuple[Any, ...], ...]] = {
    "uniform_": ((), (-0.5, 2.0)), "normal_": ((), (1.0, 0.5)), "random_": ((0, 100), (7,)), "bernoulli_": ((0.3,),), "exponential_": ((), (2.5,)),
    "log_normal_": ((),), "cauchy_": ((),), "geometric_": ((0.3,),),
}  # fmt: skip
_BAD_FILL = {"uniform_": ("x.uniform_(2, 1)", "idx.uniform_()"), "normal_": ("x.normal_(0, -1)", "idx.normal_()"), "random_": ("x.random_(5, 5)",), "bernoulli_": ("x.bernoulli_(1.5)",), "exponential_": ("x.exponential_(-1)", "idx.exponential_()"), "geometric_": ("x.geometric_(2)",)}
for _name, _args in FILLS.items():
    row(_name, _seeded(method(_name)), lambda g, args=_args: (Sample((g.f(*s), *a), grad=False) for a in args for s in ((3, 5), (20,), (0,), (41,))), inplace=True, grad=False, oracle=None, errors=_BAD_FILL.get(_name, ()))


def _creation(name: str, *calls: tuple[Any, ...], errors: tuple[str, ...] = (), seeded: bool = False) -> None:
    call = function(name)
    row(name, _seeded(call) if seeded else call, lambda g: (Sample(c, grad=False) for c in calls), dtypes=("float32",), grad=False, oracle=None, errors=errors)


_creation("zeros", (3, 4), ((2, 3),), (0,), ((),), errors=("torch.zeros('a')", "torch.zeros(-1)", "torch.zeros(2.5)", "torch.zeros(2, dtype='float32')"))
_creation("ones", (3, 4), ((2, 3),), (0,), errors=("torch.ones(-1, 2)", "torch.ones(None)"))
_creation("full", ((3, 4), 2.5), ((2,), 7), ((2,), True), errors=("torch.full((2,), 'a')", "torch.full(2)"))
_creation("arange", (5,), (2, 9), (0, 1, 0.1), (5, 0, -2), (0.0, 4.0), (3, 3), errors=("torch.arange(0, 5, -1)", "torch.arange(0, 5, 0)", "torch.arange()", "torch.arange('a')"))
_creation("linspace", (0, 1, 7), (-3, 3, 1), (0, 1, 0), (1, 0, 1001), errors=("torch.linspace(0, 1, -1)", "torch.linspace(0)"))
_creation("eye", (3,), (2, 4), (0,), errors=("torch.eye(-1)",))
_creation("rand", (3, 4), (17,), seeded=True, errors=("torch.rand(-1)", "torch.rand('a')", "torch.rand(2, generator=5)"))
_creation("randn", (3, 4), (17,), (5,), seeded=True, errors=("torch.randn(-1)",))
_creation("randint", (0, 10, (5,)), (7, (3, 3)), seeded=True, errors=("torch.randint(5, 5, (2,))", "torch.randint(0, 10)", "torch.randint(0, 10, 3)"))
_creation("randperm", (10,), (0,), seeded=True, errors=("torch.randperm(-1)", "torch.randperm('a')"))
row("multinomial", _seeded(function("multinomial")), lambda g: iter([Sample((g.f(9, lo=0.1, hi=1), 1)), Sample((g.f(9, lo=0.1, hi=1), 5)), Sample((g.f(4, 9, lo=0.1, hi=1), 20, True))]), grad=False, oracle=None, errors=("torch.multinomial(x, 1)", "torch.multinomial(x.abs() + 1, 9)", "torch.multinomial(torch.zeros(3), 1)", "torch.multinomial(idx, 1)", "torch.multinomial(torch.ones(2, 2, 2), 1)", "torch.multinomial(x.abs() + 1, 0)"))
for _name in ("zeros_like", "ones_like"):
    row(_name, function(_name), lambda g: iter([Sample((g.f(3, 4),)), Sample((g.f(0),)), Sample((g.f(),))]), dtypes=ALL, grad=False, oracle=None, errors=(f"torch.{_name}(3)",))

# --- optimizer steps ---------------------------------------------------------------------------------------------------------------------


def _optimizer(name: str) -> Any:
    def run(lib: Any, *arrays: Any, **options: Any) -> Any:
        """Three steps over the given parameters with gradients p*p + step; returns the parameters."""
        params = [lib.nn.Parameter(a.detach().clone()) for a in arrays]
        opt = getattr(lib.optim, name)(params, **options)
        for step in range(3):
            for p in params:
                p.grad = (p * p + step).detach()
            opt.step()
        return [p.detach() for p in params]

    return run


_SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "SGD": ({"lr": 0.1}, {"lr": 0.1, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, {"lr": 0.1, "momentum": 0.5, "dampening": 0.3, "maximize": True}),
    "Adam": ({"lr": 0.1}, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}, {"amsgrad": True}),
    "AdamW": ({"lr": 0.1}, {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.01}, {"amsgrad": True, "maximize": True}),
}
for _name, _op in (("SGD", "sgd_step"), ("Adam", "adam_step"), ("AdamW", "adamw_step")):
    row(_op, _optimizer(_name), lambda g, name=_name: (Sample((g.f(3, 5), g.f(7), g.f(1), g.f(40, 51)), o, grad=False) for o in _SETTINGS[name]), steps=8, whole=True, grad=False, oracle=None, aliases=(f"_{_op}",), errors=(f"torch.optim.{_name}([], lr=0.1)", f"torch.optim.{_name}([torch.nn.Parameter(x)], lr=-1.0)", f"torch.optim.{_name}([1], lr=0.1)"))


def _clip(lib: Any, *arrays: Any, **options: Any) -> Any:
    params = [lib.nn.Parameter(a.detach().clone()) for a in arrays]
    for p in params:
        p.grad = (p * p).detach()
    total = lib.nn.utils.clip_grad_norm_(params, **options)
    return [total, *[p.grad for p in params]]


row("clip_grad_norm", _clip, lambda g: (Sample((g.f(3, 5), g.f(7)), {"max_norm": m, "norm_type": n}, grad=False) for m in (0.1, 100.0) for n in (2.0, 1.0, float("inf"))), steps=16, whole=True, grad=False, oracle=None, aliases=("_clip_grad_norm", "clip_grad_norm_"))
