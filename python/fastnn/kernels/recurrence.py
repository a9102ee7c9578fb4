"""gru and gru_cell: recurrent networks over whole sequences.

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


_OPERANDS = "x h0 w_ih w_hh b_ih b_hh"
_gru = pair("gru", "gru", _OPERANDS, GruSaved, "before:b batch_first:b reverse:b")
_gru_cell = pair("gru_cell", "gru_cell", _OPERANDS.replace("h0", "h"), GruCellSaved, "before:b")
Outs = tuple[Array | None, ...]


def _before(op: str, variant: str) -> bool:
    if variant not in ("before", "after"):
        raise ValueError(f"{op}: variant is {variant!r}, expected 'before' or 'after'")
    return variant == "before"


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
