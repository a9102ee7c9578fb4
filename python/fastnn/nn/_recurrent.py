"""The time loops of RNN, LSTM and GRU over one layer and one direction.

Invariant: the product with the input is taken once for the whole sequence; the loop holds only what depends on h.
A fused kernel for a whole layer replaces one function here and nothing else.  Read next: modules/rnn.py.

Shapes: x (T,B,I), h (B,H), w_ih (G*H,I), w_hh (G*H,H); gates in torch's order (GRU r z n, LSTM i f g o).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _C

if TYPE_CHECKING:
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
