"""One layer and one direction of RNN, LSTM and GRU, over sequences of one length and packed ones.

Invariant: a layer is one op (csrc/ops/recurrent.c) over all steps with the same batch; only LSTM with a projection
walks the steps here.  Read next: modules/rnn.py.

Shapes: x (T,B,I), h and c (B,H), w_ih (G*H,I), w_hh (G*H,H); gates in torch's order (GRU r z n, LSTM i f g o).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _C

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn import Tensor

_OPS: dict[str, tuple[Any, dict[str, Any]]] = {
    "RNN_TANH": (_C._rnn, {}),
    "RNN_RELU": (_C._rnn, {"nonlinearity": "relu"}),
    "GRU": (_C._gru, {}),
}


def _projected_lstm(
    x: Tensor, state: tuple[Tensor, ...], weights: dict[str, Any], reverse: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """LSTM with h' = W_hr (o tanh(c')); the product with the input is taken once for all steps."""
    h, c = state
    inputs = _C.linear(x, weights["w_ih"], weights.get("b_ih")).unbind(0)
    outputs: list[Any] = [None] * len(inputs)
    for t in reversed(range(len(inputs))) if reverse else range(len(inputs)):
        i, f, g, o = (inputs[t] + _C.linear(h, weights["w_hh"], weights.get("b_hh"))).chunk(4, -1)
        c = _C.sigmoid(f) * c + _C.sigmoid(i) * _C.tanh(g)
        outputs[t] = h = _C.linear(_C.sigmoid(o) * _C.tanh(c), weights["w_hr"])
    return _C.stack(outputs, 0), (h, c)


def run_layer(
    mode: str, x: Tensor, state: tuple[Tensor, ...], weights: dict[str, Any], reverse: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(T,B,I) and the first state to (T,B,H) and the last state."""
    if "w_hr" in weights:
        return _projected_lstm(x, state, weights, reverse)
    operands = (weights["w_ih"], weights["w_hh"], weights.get("b_ih"), weights.get("b_hh"))
    if mode == "LSTM":
        y, h, c = _C._lstm(x, state[0], *operands, state[1], reverse=reverse)
        return y, (h, c)
    op, options = _OPS[mode]
    y, h = op(x, state[0], *operands, reverse=reverse, **options)
    return y, (h,)


def _runs(sizes: list[int]) -> list[tuple[int, int]]:
    """Steps with the same batch: (batch, how many steps)."""
    runs: list[tuple[int, int]] = []
    for size in sizes:
        runs.append((size, runs.pop()[1] + 1) if runs and runs[-1][0] == size else (size, 1))
    return runs


def run_packed_layer(
    mode: str, data: Tensor, sizes: list[int], state: tuple[Tensor, ...], weights: dict[str, Any], reverse: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """run_layer over a packed sequence: data (sum of sizes, I), sizes the number of rows at each time, falling."""
    runs = _runs(sizes)
    parts = [
        part.unflatten(0, (steps, batch))
        for part, (batch, steps) in zip(data.split([b * t for b, t in runs], 0), runs, strict=True)
    ]
    outputs: list[Any] = [None] * len(runs)
    current = tuple(s[:0] for s in state)
    finished: list[tuple[Tensor, ...]] = []
    for k in reversed(range(len(runs))) if reverse else range(len(runs)):
        have, rows = current[0].size(0), runs[k][0]
        if have < rows:  # rows join: at the first step, and as time runs back, each at its own last step
            current = tuple(_C.cat([c, s[have:rows]], 0) for c, s in zip(current, state, strict=True))
        elif have > rows:  # rows leave as time runs on: what they had is their last state
            finished.append(tuple(c[rows:] for c in current))
            current = tuple(c[:rows] for c in current)
        y, current = run_layer(mode, parts[k], current, weights, reverse)
        outputs[k] = y.flatten(0, 1)
    finished.append(current)
    last = tuple(_C.cat(list(rows), 0) for rows in zip(*reversed(finished), strict=True))
    return _C.cat(outputs, 0), last


def run_layers(
    mode: str,
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: list[dict[str, Any]],
    directions: int,
    dropout: float,
    sizes: list[int] | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """All layers: x (T,B,I), or (rows,I) with the rows at each time in `sizes`; states (layers * directions, B, H)."""
    lasts: list[tuple[Tensor, ...]] = []
    for first in range(0, len(weights), directions):
        outputs = []
        for k in range(first, first + directions):
            start = tuple(s[k] for s in state)
            if sizes is None:
                y, last = run_layer(mode, x, start, weights[k], k > first)
            else:
                y, last = run_packed_layer(mode, x, sizes, start, weights[k], k > first)
            outputs.append(y)
            lasts.append(last)
        x = outputs[0] if len(outputs) == 1 else _C.cat(outputs, -1)
        if dropout > 0 and first + directions < len(weights):
            x = _C.dropout(x, dropout, True)
    return x, tuple(_C.stack(list(parts), 0) for parts in zip(*lasts, strict=True))


def _function(
    name: str,
    mode: str,
    input: Tensor,
    hx: tuple[Tensor, ...],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, ...]:
    directions = 2 if bidirectional else 1
    names = ("w_ih", "w_hh", "b_ih", "b_hh") if has_biases else ("w_ih", "w_hh")
    if len(params) != len(names) * num_layers * directions:
        raise RuntimeError(f"{name}: found {len(params)} weights, expected {len(names) * num_layers * directions}")
    x = input.transpose(0, 1) if batch_first else input
    weights = [dict(zip(names, params[k : k + len(names)], strict=True)) for k in range(0, len(params), len(names))]
    y, last = run_layers(mode, x, hx, weights, directions, dropout if train else 0.0)
    return (y.transpose(0, 1) if batch_first else y), *last


def rnn_tanh(input: Tensor, hx: Tensor, params: Sequence[Tensor], *how: Any) -> tuple[Tensor, ...]:
    """torch.rnn_tanh, the function under nn.RNN: params are the layers' weights in nn.RNN's order.

    input (T,B,I), or (B,T,I) with batch_first; hx (num_layers * directions, B, H); how: has_biases, num_layers,
    dropout, train, bidirectional, batch_first. Gives output and the last states.
    """
    return _function("rnn_tanh", "RNN_TANH", input, (hx,), params, *how)


def rnn_relu(input: Tensor, hx: Tensor, params: Sequence[Tensor], *how: Any) -> tuple[Tensor, ...]:
    """rnn_tanh with relu in place of tanh."""
    return _function("rnn_relu", "RNN_RELU", input, (hx,), params, *how)


def gru(input: Tensor, hx: Tensor, params: Sequence[Tensor], *how: Any) -> tuple[Tensor, ...]:
    """rnn_tanh's like for nn.GRU."""
    return _function("gru", "GRU", input, (hx,), params, *how)


def lstm(input: Tensor, hx: Sequence[Tensor], params: Sequence[Tensor], *how: Any) -> tuple[Tensor, ...]:
    """rnn_tanh's like for nn.LSTM without projections: hx is (h, c); gives output, the last h, the last c."""
    return _function("lstm", "LSTM", input, tuple(hx), params, *how)


def rnn_tanh_cell(input: Tensor, hx: Tensor, *weights: Any, **named: Any) -> Tensor:
    """One step of RNN: weights are w_ih, w_hh, b_ih, b_hh."""
    return _C._rnn_cell(input, hx, *weights, **named)


def rnn_relu_cell(input: Tensor, hx: Tensor, *weights: Any, **named: Any) -> Tensor:
    """rnn_tanh_cell with relu in place of tanh."""
    return _C._rnn_cell(input, hx, *weights, nonlinearity="relu", **named)


def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One step of LSTM: hx is (h, c), gives the next."""
    h, c = hx
    return _C._lstm_cell(input, h, w_ih, w_hh, b_ih, b_hh, c)
