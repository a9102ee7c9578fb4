"""The time loops of RNN, LSTM and GRU over one layer and one direction.

Invariant: the product with the input is taken once for the whole sequence; the loop holds only what depends on h.
A layer of GRU is one op (csrc/ops/gru.c); its packed sequences still take the loop.  Read next: modules/rnn.py.

Shapes: x (T,B,I), h (B,H), w_ih (G*H,I), w_hh (G*H,H); gates in torch's order (GRU r z n, LSTM i f g o).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _C

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn import Tensor

_linear, _sigmoid, _tanh, _relu = _C.linear, _C.sigmoid, _C.tanh, _C.relu


def rnn_step(gi: Tensor, h: Tensor, w_hh: Tensor, b_hh: Tensor | None, act: Any) -> Tensor:
    """h' = act(W_ih x + b_ih + W_hh h + b_hh); gi is the input's part."""
    return act(gi + _linear(h, w_hh, b_hh))


def gru_step(gi: Tensor, h: Tensor, w_hh: Tensor, b_hh: Tensor | None) -> Tensor:
    """r, z = sigmoid(...); n = tanh(gi_n + r (W_hn h + b_hn)); h' = (1 - z) n + z h."""
    gates = _linear(h, w_hh, b_hh)
    ir, iz, inn = gi.chunk(3, -1)
    hr, hz, hn = gates.chunk(3, -1)
    r = _sigmoid(ir + hr)
    z = _sigmoid(iz + hz)
    n = _tanh(inn + r * hn)
    return n + z * (h - n)


def lstm_step(
    gi: Tensor, h: Tensor, c: Tensor, w_hh: Tensor, b_hh: Tensor | None, w_hr: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """c' = f c + i g; h' = o tanh(c'), projected by w_hr if there is one."""
    i, f, g, o = (gi + _linear(h, w_hh, b_hh)).chunk(4, -1)
    c = _sigmoid(f) * c + _sigmoid(i) * _tanh(g)
    h = _sigmoid(o) * _tanh(c)
    return (h if w_hr is None else _linear(h, w_hr)), c


def _step(mode: str, gi: Tensor, state: tuple[Tensor, ...], weights: dict[str, Any]) -> tuple[Tensor, ...]:
    w_hh, b_hh = weights["w_hh"], weights.get("b_hh")
    if mode == "LSTM":
        return lstm_step(gi, state[0], state[1], w_hh, b_hh, weights.get("w_hr"))
    if mode == "GRU":
        return (gru_step(gi, state[0], w_hh, b_hh),)
    return (rnn_step(gi, state[0], w_hh, b_hh, _tanh if mode == "RNN_TANH" else _relu),)


def run_layer(
    mode: str, x: Tensor, state: tuple[Tensor, ...], weights: dict[str, Any], reverse: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One direction of one layer: (T,B,I) and the first state to (T,B,H) and the last state."""
    if mode == "GRU":
        y, last = _C._gru(
            x, state[0], weights["w_ih"], weights["w_hh"], weights.get("b_ih"), weights.get("b_hh"), reverse=reverse
        )
        return y, (last,)
    gi = _linear(x, weights["w_ih"], weights.get("b_ih")).unbind(0)
    outputs: list[Any] = [None] * len(gi)
    for t in reversed(range(len(gi))) if reverse else range(len(gi)):
        state = _step(mode, gi[t], state, weights)
        outputs[t] = state[0]
    return _C.stack(outputs, 0), state


def run_packed_layer(
    mode: str, data: Tensor, sizes: list[int], state: tuple[Tensor, ...], weights: dict[str, Any], reverse: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """run_layer over a packed sequence: data (sum of sizes, I), sizes the number of rows at each time, falling."""
    steps = _linear(data, weights["w_ih"], weights.get("b_ih")).split(sizes, 0)
    outputs: list[Any] = [None] * len(sizes)
    full = state
    if reverse:
        # Rows join as time runs back: each starts from its own first state at its own last step.
        current = tuple(s[: sizes[-1]] for s in full)
        for t in reversed(range(len(sizes))):
            have = current[0].size(0)
            if have < sizes[t]:
                current = tuple(_C.cat([c, s[have : sizes[t]]], 0) for c, s in zip(current, full, strict=False))
            current = _step(mode, steps[t], current, weights)
            outputs[t] = current[0]
        return _C.cat(outputs, 0), current
    # Rows leave as time runs on: what they had when they left is their last state.
    current = tuple(s[: sizes[0]] for s in full)
    finished: list[tuple[Tensor, ...]] = []
    for t, size in enumerate(sizes):
        if current[0].size(0) > size:
            finished.append(tuple(c[size:] for c in current))
            current = tuple(c[:size] for c in current)
        current = _step(mode, steps[t], current, weights)
        outputs[t] = current[0]
    finished.append(current)
    last = tuple(_C.cat(list(parts), 0) for parts in zip(*reversed(finished), strict=False))
    return _C.cat(outputs, 0), last


def gru(
    input: Tensor,
    hx: Tensor,
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor]:
    """torch.gru, the function under nn.GRU: params are the layers' weights in nn.GRU's order.

    input (T,B,I), or (B,T,I) with batch_first; hx (num_layers * directions, B, H). Gives output and the last states.
    """
    directions = 2 if bidirectional else 1
    names = ("w_ih", "w_hh", "b_ih", "b_hh") if has_biases else ("w_ih", "w_hh")
    if len(params) != len(names) * num_layers * directions:
        raise RuntimeError(f"gru: found {len(params)} weights, expected {len(names) * num_layers * directions}")
    x = input.transpose(0, 1) if batch_first else input
    lasts: list[Tensor] = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            k = layer * directions + direction
            weights = dict(zip(names, params[k * len(names) : (k + 1) * len(names)], strict=True))
            y, last = run_layer("GRU", x, (hx[k],), weights, direction == 1)
            outputs.append(y)
            lasts.append(last[0])
        x = outputs[0] if len(outputs) == 1 else _C.cat(outputs, -1)
        if dropout > 0 and train and layer < num_layers - 1:
            x = _C.dropout(x, dropout, True)
    return (x.transpose(0, 1) if batch_first else x), _C.stack(lasts, 0)
