"""Rows of the op table: layers, losses, attention, recurrent nets.

Invariant and limits: as in op_table.py, which registers these rows at its end. Read next: op_rows_rest.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from op_table import ALL, BAD_DIM, DRAWS, LARGE, MOVES, Gen, Sample, Samples, function, row, seeded

# --- layers ------------------------------------------------------------------------------------------------------------------------------


def _embedding(g: Gen) -> Iterator[Sample]:
    for shape in ((3,), (2, 5), (0,), (), (2, 2, 2)):
        yield Sample((g.i(*shape, hi=7), g.f(7, 4)))
    yield Sample((g.i(1, hi=1), g.f(1, 1)))
    yield Sample((g.i(5, hi=7).astype(np.int32), g.f(7, 3)))
    yield Sample((g.i(9, hi=7), g.f(7, 4)), {"padding_idx": 2}, numeric=False)
    yield Sample((g.i(256, 16, hi=27), g.f(27, 33)), large=True)


row("embedding", lambda lib, *a, **k: lib.nn.functional.embedding(*a, **k), _embedding, dtypes=ALL, grad_steps=4, oracle=MOVES, errors=("F.embedding(idx + 100, x)", "F.embedding(idx - 9, x)", "F.embedding(x, x)", "F.embedding(idx, y5)"))


def _layer_norm(g: Gen) -> Iterator[Sample]:
    yield Sample((g.f(3, 8), (8,), g.f(8), g.f(8)))
    yield Sample((g.f(3, 8), (8,)))
    yield Sample((g.f(2, 3, 5), (5,), g.f(5), None))
    yield Sample((g.f(2, 3, 5), (3, 5), g.f(3, 5), g.f(3, 5), 1e-3))
    yield Sample((g.f(0, 4), (4,), g.f(4), g.f(4)))
    yield Sample((g.f(1, 1), (1,), g.f(1), g.f(1)))
    yield Sample((g.f(4, 67) * 3 + 100, (67,), g.f(67), g.f(67)), grad=False)
    yield Sample((g.f(130, 257), (257,), g.f(257), g.f(257)), large=True)


row("layer_norm", lambda lib, *a: lib.nn.functional.layer_norm(*a), _layer_norm, steps=24, whole=True, floor=1, grad_steps=16, aliases=("native_layer_norm",), errors=("F.layer_norm(x, (3,))", "F.layer_norm(x, (4,), y5)", "F.layer_norm(x, ())", "F.layer_norm(x, (4,), None, y5)", "F.layer_norm(idx2, (4,))", "F.layer_norm(x, 4.0)"))
row("rms_norm", lambda lib, *a: lib.nn.functional.rms_norm(*a), lambda g: iter([Sample((g.f(3, 8), (8,), g.f(8))), Sample((g.f(2, 3, 5), (5,))), Sample((g.f(3, 8), (8,), g.f(8), 1e-3)), Sample((g.f(0, 4), (4,), g.f(4))), Sample((g.f(1, 1), (1,), g.f(1))), Sample((g.f(130, 257), (257,), g.f(257)), large=True)]), steps=6, whole=True, floor=1, grad_steps=8, errors=("F.rms_norm(x, (3,))", "F.rms_norm(x, (4,), y5)"))
for _name in ("softmax", "log_softmax"):
    row(_name, function(_name), lambda g: (Sample((g.f(*s, lo=-9, hi=9),), {"dim": d}, large=s == LARGE) for s in ((3, 5), (1, 1), (2, 3, 27), (0, 4), (4, 130), LARGE) for d in (-1, 0)), steps=8, whole=True, grad_steps=32, errors=(*BAD_DIM[_name], f"torch.{_name}(idx, 0)"))


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
    yield Sample((g.f(0, 5), g.i(0, hi=5)), {"reduction": "sum"})
    yield Sample((g.f(0, 5), g.i(0, hi=5)), {"reduction": "none"})
    yield Sample((g.f(1, 1), g.i(1, hi=1)))
    yield Sample((x, np.abs(g.f(6, 5))))
    yield Sample((g.f(4096, 27, lo=-4, hi=4), g.i(4096, hi=27)), large=True)


row("cross_entropy", lambda lib, *a, **k: lib.nn.functional.cross_entropy(*a, **k), _cross_entropy, steps=6, whole=True, grad_steps=8, errors=("F.cross_entropy(x, idx + 100)", "F.cross_entropy(x, idx2)", "F.cross_entropy(x, torch.zeros(2, dtype=torch.int64))", "F.cross_entropy(idx2, idx)", "F.cross_entropy(x, idx, reduction='avg')", "F.cross_entropy(x, idx, weight=y5)", "F.cross_entropy(x, idx - 50)", "F.cross_entropy(x, 1)", "F.cross_entropy(x, idx, label_smoothing=2.0)"))


def _nll(g: Gen) -> Iterator[Sample]:
    for o in ({}, {"reduction": "sum"}, {"reduction": "none"}, {"ignore_index": 1}):
        yield Sample((g.f(6, 5, lo=-4, hi=0), g.i(6, hi=5)), o)
    yield Sample((g.f(6, 5, lo=-4, hi=0), g.i(6, hi=5)), {"weight": g.f(5, lo=0.5, hi=1.5)})
    yield Sample((g.f(0, 5), g.i(0, hi=5)), {"reduction": "sum"})
    yield Sample((g.f(1, 1), g.i(1, hi=1)))
    yield Sample((g.f(4096, 27, lo=-4, hi=0), g.i(4096, hi=27)), large=True)


row("nll_loss", lambda lib, *a, **k: lib.nn.functional.nll_loss(*a, **k), _nll, steps=4, whole=True, errors=("F.nll_loss(x, idx + 100)", "F.nll_loss(x, x)", "F.nll_loss(x, idx, reduction='avg')"))


row("dropout", seeded(lambda lib, *a: lib.nn.functional.dropout(*a)), lambda g: iter([Sample((g.f(3, 5), 0.3, True)), Sample((g.f(40), 0.5, True)), Sample((g.f(3, 5), 0.0, True)), Sample((g.f(3, 5), 1.0, True)), Sample((g.f(3, 5), 0.5, False)), Sample((g.f(0), 0.5, True)), Sample((g.f(1), 0.5, True)), Sample((g.f(*LARGE), 0.2, True), large=True)]), oracle=DRAWS, grad_steps=1, lacks={"dtypes": "integers pass only where nothing is dropped"}, aliases=("native_dropout",), errors=("F.dropout(x, 1.5)", "F.dropout(x, -0.1)", "F.dropout(x, 'a')"))


def _attention(g: Gen) -> Iterator[Sample]:
    for b, h, t, d in ((2, 3, 5, 4), (1, 1, 1, 1), (1, 2, 17, 8), (2, 1, 8, 8), (1, 2, 16, 37), (2, 4, 16, 16)):
        q, k, v = (g.f(b, h, t, d) for _ in range(3))
        yield Sample((q, k, v), {"is_causal": True})
        yield Sample((q, k, v))
    yield Sample((q, k, v), {"scale": 0.3, "is_causal": True})
    yield Sample((g.f(2, 3, 4), g.f(2, 5, 4), g.f(2, 5, 6)))
    yield Sample((g.f(0, 3, 4), g.f(0, 5, 4), g.f(0, 5, 6)))
    yield Sample((g.f(2, 9, 32), g.f(2, 16, 32), g.f(2, 16, 16)), {"is_causal": True})
    yield Sample((g.f(2, 6, 5, 8), g.f(2, 3, 7, 8), g.f(2, 3, 7, 4)), {"enable_gqa": True})
    yield Sample((g.f(4, 20, 8), g.f(2, 20, 8), g.f(2, 20, 8)), {"enable_gqa": True, "is_causal": True})
    yield Sample((g.f(2, 3, 4), g.f(2, 5, 4), g.f(2, 5, 4)), {"attn_mask": np.tril(np.ones((3, 5), dtype=bool))})
    yield Sample((g.f(2, 3, 4), g.f(2, 5, 4), g.f(2, 5, 4), g.f(3, 5)))
    yield Sample((g.f(1, 4, 150, 8), g.f(1, 2, 150, 8), g.f(1, 2, 150, 8)), {"enable_gqa": True, "is_causal": True}, large=True)
    yield Sample((g.f(2, 3, 5, 4), g.f(2, 1, 5, 4), g.f(2, 1, 5, 4)))
    yield Sample((g.f(4, 4, 65, 16), g.f(4, 4, 65, 16), g.f(4, 4, 65, 16)), {"is_causal": True}, large=True)
    yield Sample((g.f(1, 2, 300, 33), g.f(1, 2, 300, 33), g.f(1, 2, 300, 33)), {"is_causal": True}, large=True)


row("scaled_dot_product_attention", lambda lib, *a, **k: lib.nn.functional.scaled_dot_product_attention(*a, **k), _attention, layout="none", steps=16, whole=True, grad_steps=24, errors=("F.scaled_dot_product_attention(x, x, x.t())", "F.scaled_dot_product_attention(x[None], x[None], y5)", "F.scaled_dot_product_attention(x, x.double(), x)", "F.scaled_dot_product_attention(x[None], x[None], x[None], mask, is_causal=True)"))

# --- recurrent nets ----------------------------------------------------------------------------------------------------------------------
WHOLE = {"dtypes": "PyTorch's composition multiplies integers before it refuses them or not; fastnn refuses them"}
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
    for b, i, n in ((3, 5, 4), (1, 1, 1), (0, 5, 4), (33, 17, 24)):
        yield Sample((g.f(b, i), g.f(b, n), g.f(3 * n, i), g.f(3 * n, n), g.f(3 * n), g.f(3 * n)), large=b == 33)


row("gru_cell", lambda lib, x, h, *w: lib._VF.gru_cell(x, h, *w) if hasattr(lib, "_VF") else lib._C.gru_cell(x, h, *w), _gru_cell, layout="contiguous", steps=8, whole=True, grad_steps=24, errors=("torch.nn.GRUCell(4, 3)(y5[None])", "torch.nn.GRUCell(4, 3)(x, torch.zeros(1, 9))"), lacks=WHOLE)


def _gru(lib: Any, x: Any, h: Any, *w: Any) -> Any:
    rnn = lib.gru if hasattr(lib, "gru") else lib._C.gru
    return rnn(x, h, list(w), True, 1, 0.0, True, False, False)


def _gru_samples(g: Gen) -> Iterator[Sample]:
    for t, b, i, n in ((4, 3, 5, 2), (1, 1, 1, 1), (5, 3, 7, 3), (3, 0, 5, 2), (16, 33, 24, 20)):
        weights = (g.f(3 * n, i), g.f(3 * n, n), g.f(3 * n), g.f(3 * n))
        yield Sample((g.f(t, b, i), g.f(1, b, n), *((0.2 if t == 16 else 1) * w for w in weights)), large=t == 16)  # (small: see _rnn_samples)


row("gru", _gru, _gru_samples, route_steps=256, steps=24, whole=True, floor=1, grad_steps=64, errors=("torch.nn.GRU(4, 3)(y5)", "torch.nn.GRU(4, 3)(torch.zeros(2, 2, 5))", "torch.nn.GRU(4, 3)(torch.zeros(2, 2, 4), torch.zeros(2, 2, 3))"), lacks=WHOLE)


def _recurrent(gates: int, states: int, *, cell: bool = False, kwargs: tuple[dict[str, Any], ...] = ({},)) -> Samples:
    """x, h (and c), w_ih, w_hh, b_ih, b_hh: tiny, smallest, and large enough for chunks that form their share of the weight gradients."""

    def samples(g: Gen) -> Iterator[Sample]:
        for t, b, i, n in ((4, 3, 5, 2), (1, 1, 1, 1), (5, 3, 7, 3), (3, 0, 5, 2), (16, 33, 24, 20)):
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


row("rnn", _rnn, _rnn_samples, steps=16, whole=True, grad_steps=24, errors=("torch.nn.RNN(4, 3)(y5)", "torch.nn.RNN(4, 3)(torch.zeros(2, 2, 5))", "torch.nn.RNN(4, 3)(torch.zeros(2, 2, 4), torch.zeros(2, 2, 3))"), lacks=WHOLE)
row("rnn_cell", lambda lib, *a, relu=False: (lib.rnn_relu_cell if relu else lib.rnn_tanh_cell)(*a), lambda g: _rnn_samples(g, cell=True), layout="contiguous", steps=8, whole=True, grad_steps=64, errors=("torch.nn.RNNCell(4, 3)(y5[None])", "torch.nn.RNNCell(4, 3)(x, torch.zeros(1, 9))"), lacks=WHOLE)
row("lstm", lambda lib, x, h, c, *w: lib.lstm(x, (h, c), list(w), *_HOW), _recurrent(4, 2), steps=32, whole=True, grad_steps=48, errors=("torch.nn.LSTM(4, 3)(y5)", "torch.nn.LSTM(4, 3)(torch.zeros(2, 2, 5))", "torch.nn.LSTM(4, 3)(torch.zeros(2, 2, 4), (torch.zeros(1, 2, 3), torch.zeros(2, 2, 3)))"), lacks=WHOLE)
row("lstm_cell", lambda lib, x, h, c, *w: lib.lstm_cell(x, (h, c), *w), _recurrent(4, 2, cell=True), layout="contiguous", steps=32, whole=True, grad_steps=64, errors=("torch.nn.LSTMCell(4, 3)(y5[None])", "torch.nn.LSTMCell(4, 3)(x, (torch.zeros(1, 3), torch.zeros(1, 9)))"), lacks=WHOLE)
