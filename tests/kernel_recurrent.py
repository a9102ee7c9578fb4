"""What the recurrent kernels are given and must give: the formulas of csrc/kernels/recurrent_task.h in float64, differentiated by PyTorch.

Invariant: registers its specs with kernel_specs.py, whose rules it follows. Read next: kernel_specs.py.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import torch
from kernel_guards import Out, RowOf, Scratch, Task
from kernel_specs import Draw, packed, spec


class RecurrentTask(ctypes.Structure):
    _fields_ = [
        *((f, ctypes.c_int64) for f in ("B", "T", "I", "H")), ("kind", ctypes.c_int), *((f, ctypes.c_int64) for f in ("row", "rows", "hoist")), ("x", ctypes.c_void_p), ("x_b", ctypes.c_int64), ("x_t", ctypes.c_int64),
        ("h0", ctypes.c_void_p), ("c0", ctypes.c_void_p), ("h0_b", ctypes.c_int64), ("c0_b", ctypes.c_int64), *((f, ctypes.c_void_p) for f in ("px", "ph", "pn", "bx", "bh", "y")), ("y_b", ctypes.c_int64),
        ("y_t", ctypes.c_int64), *((f, ctypes.c_void_p) for f in ("cn", "saved", "scratch", "dy")), ("dy_b", ctypes.c_int64), ("dy_t", ctypes.c_int64), *((f, ctypes.c_void_p) for f in ("dhn", "dcn", "wx", "wh")),
        ("wx_row", ctypes.c_int64), ("wh_row", ctypes.c_int64), ("dgates", ctypes.c_void_p), ("d_row", ctypes.c_int64), *((f, ctypes.c_void_p) for f in ("dh0", "dc0", "dx")), ("dx_b", ctypes.c_int64),
        ("dx_t", ctypes.c_int64), *((f, ctypes.c_void_p) for f in ("db", "dwx", "dwh")),
    ]  # fmt: skip


RNN_TANH, RNN_RELU, LSTM, GRU_AFTER, GRU_BEFORE = range(5)
GATES, GRADS = (1, 1, 4, 3, 3), (1, 1, 4, 4, 4)


def step(kind: int, a: Any, h: Any, c: Any, wh: Any, bh: Any) -> tuple[Any, Any, list[Any]]:
    """h', c' and what is saved, from a = Wx x + bx."""
    n = h.shape[1]
    if kind in (RNN_TANH, RNN_RELU):
        new = torch.tanh(a + h @ wh.T) if kind == RNN_TANH else torch.relu(a + h @ wh.T)
        return new, c, [new, h]
    if kind == LSTM:
        i, f, g, o = (a + h @ wh.T).chunk(4, 1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        new_c = f * c + i * g
        return o * new_c.tanh(), new_c, [i, f, g, o, c, new_c.tanh(), h]
    p = h @ wh.T + bh
    r, z = (a + p)[:, :n].sigmoid(), (a + p)[:, n : 2 * n].sigmoid()
    u = p[:, 2 * n :] if kind == GRU_AFTER else r * h
    g = torch.tanh(a[:, 2 * n :] + (r * u if kind == GRU_AFTER else u @ wh[2 * n :].T))
    return (g + z * (h - g) if kind == GRU_AFTER else h + z * (g - h)), c, [r, z, g, u, h]


@spec("recurrent_forward", "recurrent_backward", op="gru", steps=64, least=1, rows=(1, 2, 3, 4, 5))
def recurrent(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    """Three steps of each kind in turn; odd lengths start from zeros, have no biases and want no more than the first states' gradients."""
    kind, steps, size = (n + rows) % 5, 3, 1 + int(d.below(9))
    width, small = GATES[kind] * n, 1 / np.sqrt(n + size)
    shapes = {"x": (rows, steps, size), "h0": (rows, n), "c0": (rows, n), "wx": (width, size), "wh": (width, n), "bx": (width,), "bh": (width,)}
    v = {key: d(*shape, lo=-2 * small, hi=2 * small) if key[0] == "w" else d(*shape) for key, shape in shapes.items()}
    for key in ("h0", "c0", "bx", "bh") if bare else ():
        v[key] = np.zeros_like(v[key])
    v["bh"] *= kind == GRU_AFTER
    t = {key: torch.tensor(a, dtype=torch.float64, requires_grad=True) for key, a in v.items()}
    h, c, states, kept = t["h0"], t["c0"], [], []
    for s in range(steps):
        h, c, some = step(kind, t["x"][:, s] @ t["wx"].T + t["bx"], h, c, t["wh"], t["bh"])
        states.append(h)
        kept.append(torch.cat(some, 1))
    y, saved = torch.stack(states, 1), torch.stack(kept, 1).detach().numpy()
    given: dict[str, Any] = {
        "B": rows, "T": steps, "I": size, "H": n, "kind": kind, "rows": rows, "hoist": 2, "x": v["x"], "x_b": steps * size, "x_t": size, "h0": None if bare else v["h0"], "h0_b": 0 if bare else RowOf("h0"),
        "c0": None if bare or kind != LSTM else v["c0"], "c0_b": n,
    }  # fmt: skip
    if name == "recurrent_forward":
        seen = 2 * n if kind == GRU_BEFORE else width  # rows of wh that see h, not r h
        where = {"px": packed(d, v["wx"].T), "ph": packed(d, v["wh"][:seen].T), "pn": packed(d, v["wh"][seen:].T) if kind == GRU_BEFORE else None, "bx": None if bare else v["bx"]}
        where |= {"bh": None if bare or kind != GRU_AFTER else v["bh"], "y": Out(y.detach().numpy()), "y_b": steps * n, "y_t": n, "cn": Out(c.detach().numpy()) if kind == LSTM else None}
        where |= {"saved": None if bare else Out(saved), "scratch": Scratch((3 * GATES[kind] + 2) * rows * n)}
        return {"task": Task(RecurrentTask, given | where)}
    dy, dhn, dcn = d(rows, steps, n) * (not bare), d(rows, n), d(rows, n)
    ((y * torch.tensor(dy)).sum() + (h * torch.tensor(dhn)).sum() + (c * torch.tensor(dcn) * (kind == LSTM)).sum()).backward()
    grad = {key: np.zeros(shapes[key]) if a.grad is None else a.grad.numpy() for key, a in t.items()}
    gates = grad["bx"] if kind < GRU_AFTER else np.concatenate([np.roll(grad["bx"], n), grad["bh"][2 * n :] * (kind == GRU_AFTER)])
    where = {"saved": d.round(saved), "scratch": Scratch((rows + GRADS[kind]) * n), "dy": None if bare else dy, "dy_b": steps * n, "dy_t": n, "dhn": dhn, "dcn": dcn if kind == LSTM else None}
    where |= {"wx": v["wx"], "wx_row": RowOf("wx"), "wh": v["wh"], "wh_row": RowOf("wh"), "d_row": GRADS[kind] * n + 3, "dgates": Scratch(rows * steps * (GRADS[kind] * n + 3)), "dh0": Out(grad["h0"])}
    where |= {"dc0": Out(grad["c0"]) if kind == LSTM else None, "dx": None if bare else Out(grad["x"]), "dx_b": steps * size, "dx_t": size, "db": Out(gates)}
    where |= {"dwx": None if bare else Out(grad["wx"]), "dwh": None if bare else Out(grad["wh"])}
    return {"task": Task(RecurrentTask, given | where)}
