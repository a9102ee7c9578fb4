"""gru, rnn and lstm over whole sequences, and their cells: one step.

Conventions and errors: see the package's docstring. Read next: steps.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ._pair import Array, Need, pair


class GruSaved(NamedTuple):
    """What gru_backward reads. gates: see gru_forward."""

    x: Array
    w_ih: Array
    w_hh: Array | None
    gates: Array
    call: Any


class GruCellSaved(NamedTuple):
    """What gru_cell_backward reads. gates: see gru_forward, with one step."""

    x: Array
    w_ih: Array
    w_hh: Array | None
    gates: Array
    call: Any


class RnnSaved(NamedTuple):
    """What rnn_backward reads. gates: see rnn_forward."""

    x: Array
    w_ih: Array
    w_hh: Array
    gates: Array
    call: Any


class RnnCellSaved(NamedTuple):
    """What rnn_cell_backward reads. gates: see rnn_forward, with one step."""

    x: Array
    w_ih: Array
    w_hh: Array
    gates: Array
    call: Any


class LstmSaved(NamedTuple):
    """What lstm_backward reads. gates: see lstm_forward."""

    x: Array
    w_ih: Array
    w_hh: Array
    gates: Array
    call: Any


class LstmCellSaved(NamedTuple):
    """What lstm_cell_backward reads. gates: see lstm_forward, with one step."""

    x: Array
    w_ih: Array
    w_hh: Array
    gates: Array
    call: Any


_OPERANDS = "x h0 w_ih w_hh b_ih b_hh"
_CELL = _OPERANDS.replace("h0", "h")
_gru = pair("gru", "gru", _OPERANDS, GruSaved, "before:b batch_first:b reverse:b")
_gru_cell = pair("gru_cell", "gru_cell", _CELL, GruCellSaved, "before:b")
_rnn = pair("rnn", "rnn", _OPERANDS, RnnSaved, "relu:b batch_first:b reverse:b")
_rnn_cell = pair("rnn_cell", "rnn_cell", _CELL, RnnCellSaved, "relu:b")
_lstm = pair("lstm", "lstm", f"{_OPERANDS} c0", LstmSaved, "batch_first:b reverse:b", outputs=3)
_lstm_cell = pair("lstm_cell", "lstm_cell", f"{_CELL} c", LstmCellSaved, outputs=2)
Outs = tuple[Array | None, ...]


def _before(op: str, variant: str) -> bool:
    if variant not in ("before", "after"):
        raise ValueError(f"{op}: variant is {variant!r}, expected 'before' or 'after'")
    return variant == "before"


def _relu(op: str, nonlinearity: str) -> bool:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"{op}: nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'")
    return nonlinearity == "relu"


def gru_forward(
    x: Array,
    h0: Array | None,
    w_ih: Array,
    w_hh: Array | None = None,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    variant: str = "after",
    out: Array | None = None,
) -> tuple[Array, GruSaved]:
    """A gated recurrent unit over sequences: x (B, T, I), h0 (B, H) or None (zeros) -> y (B, T, H), h after each step.

    variant "after" resets after the product, as torch.nn.GRU does; w_ih (3H, I), w_hh (3H, H), b_ih and b_hh (3H,) or
    None, their thirds in the order r, z, n:

        r = sigmoid(x w_ir^T + b_ir + h w_hr^T + b_hr)
        z = sigmoid(x w_iz^T + b_iz + h w_hz^T + b_hz)
        n = tanh(x w_in^T + b_in + r (h w_hn^T + b_hn))
        h' = (1 - z) n + z h

    variant "before" resets before it, as the paper does: one w_ih (3H, I + H) over [x, h], in n over [x, r h], one
    b_ih (3H,), no w_hh, no b_hh. z then means the opposite: h' = (1 - z) h + z n.
    saved.gates: (B, T, 5H): r, z, n, u and the h before the step, u = r h (before) or h w_hn^T + b_hn (after).
    Source: Cho et al., arXiv:1406.1078; https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html
    """
    return _gru.forward(x, h0, w_ih, w_hh, b_ih, b_hh, _before("gru", variant), True, False, out)


def gru_backward(
    dy: Array, saved: GruSaved, *, need: Need | None = None, out: Outs | None = None
) -> tuple[Array | None, ...]:
    """(dx, dh0, dw_ih, dw_hh, db_ih, db_hh), back through all steps; None for what was absent in forward."""
    return _gru.backward(dy, saved, need, out)


def gru_cell_forward(
    x: Array,
    h: Array | None,
    w_ih: Array,
    w_hh: Array | None = None,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    variant: str = "after",
    out: Array | None = None,
) -> tuple[Array, GruCellSaved]:
    """One step of `gru_forward`: x (B, I), h (B, H) or None -> h' (B, H); or x (I,), h (H,) -> h' (H,)."""
    return _gru_cell.forward(x, h, w_ih, w_hh, b_ih, b_hh, _before("gru_cell", variant), out)


def gru_cell_backward(
    dy: Array, saved: GruCellSaved, *, need: Need | None = None, out: Outs | None = None
) -> tuple[Array | None, ...]:
    """(dx, dh, dw_ih, dw_hh, db_ih, db_hh) of one step, dy the gradient of h'; None for what was absent in forward."""
    return _gru_cell.backward(dy, saved, need, out)


def rnn_forward(
    x: Array,
    h0: Array | None,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    nonlinearity: str = "tanh",
    out: Array | None = None,
) -> tuple[Array, RnnSaved]:
    """The plain recurrent network: x (B, T, I), h0 (B, H) or None (zeros) -> y (B, T, H), h after each step.

        h' = tanh(x w_ih^T + b_ih + h w_hh^T + b_hh)

    w_ih (H, I), w_hh (H, H), b_ih and b_hh (H,) or None. nonlinearity: "tanh" or "relu"; anything else raises
    ValueError. saved.gates: (B, T, 2H): h after and before the step.
    Source: Elman, Finding Structure in Time, Cognitive Science 14 (1990) 179;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html
    """
    return _rnn.forward(x, h0, w_ih, w_hh, b_ih, b_hh, _relu("rnn", nonlinearity), True, False, out)


def rnn_backward(
    dy: Array, saved: RnnSaved, *, need: Need | None = None, out: Outs | None = None
) -> tuple[Array | None, ...]:
    """(dx, dh0, dw_ih, dw_hh, db_ih, db_hh), back through all steps; None for what was absent in forward."""
    return _rnn.backward(dy, saved, need, out)


def rnn_cell_forward(
    x: Array,
    h: Array | None,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    nonlinearity: str = "tanh",
    out: Array | None = None,
) -> tuple[Array, RnnCellSaved]:
    """One step of `rnn_forward`: x (B, I), h (B, H) or None -> h' (B, H); or x (I,), h (H,) -> h' (H,)."""
    return _rnn_cell.forward(x, h, w_ih, w_hh, b_ih, b_hh, _relu("rnn_cell", nonlinearity), out)


def rnn_cell_backward(
    dy: Array, saved: RnnCellSaved, *, need: Need | None = None, out: Outs | None = None
) -> tuple[Array | None, ...]:
    """(dx, dh, dw_ih, dw_hh, db_ih, db_hh) of one step, dy the gradient of h'; None for what was absent in forward."""
    return _rnn_cell.backward(dy, saved, need, out)


def lstm_forward(
    x: Array,
    h0: Array | None,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    c0: Array | None = None,
    *,
    out: Outs | None = None,
) -> tuple[tuple[Array, Array, Array], LstmSaved]:
    """Long short-term memory: x (B, T, I), h0 and c0 (B, H) or None (zeros) -> (y, h, c): y (B, T, H), h after each
    step, and h and c (B, H) after the last one.

        i, f, o = sigmoid(x w_i^T + b_i + h w_hi^T + b_hi), likewise with f and with o
        g = tanh(x w_g^T + b_g + h w_hg^T + b_hg)
        c' = f c + i g;   h' = o tanh(c')

    w_ih (4H, I), w_hh (4H, H), b_ih and b_hh (4H,) or None, their quarters in the order i, f, g, o.
    saved.gates: (B, T, 7H): what the gates were, c before the step, tanh(c'), h before the step.
    Source: Hochreiter and Schmidhuber, Neural Computation 9 (1997) 1735; Gers et al., the same, 12 (2000) 2451;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html
    """
    return _lstm.forward(x, h0, w_ih, w_hh, b_ih, b_hh, c0, True, False, out)


def lstm_backward(
    dy: Outs, saved: LstmSaved, *, need: Need | None = None, out: Outs | None = None
) -> tuple[Array | None, ...]:
    """(dx, dh0, dw_ih, dw_hh, db_ih, db_hh, dc0), back through all steps; None for what was absent in forward.

    dy: the gradients of (y, h, c), None for zeros: (dy, None, None).
    """
    return _lstm.backward(dy, saved, need, out)


def lstm_cell_forward(
    x: Array,
    h: Array | None,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    c: Array | None = None,
    *,
    out: Outs | None = None,
) -> tuple[tuple[Array, Array], LstmCellSaved]:
    """One step of `lstm_forward`: x (B, I), h and c (B, H) or None -> (h', c') (B, H); or x (I,), h and c (H,)."""
    return _lstm_cell.forward(x, h, w_ih, w_hh, b_ih, b_hh, c, out)


def lstm_cell_backward(
    dy: Outs, saved: LstmCellSaved, *, need: Need | None = None, out: Outs | None = None
) -> tuple[Array | None, ...]:
    """(dx, dh, dw_ih, dw_hh, db_ih, db_hh, dc) of one step, dy the gradients of (h', c'), None for zeros."""
    return _lstm_cell.backward(dy, saved, need, out)
