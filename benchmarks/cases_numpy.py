"""fastnn.kernels, NumPy in and NumPy out, beside the same work in PyTorch on tensors over the same arrays.

Further rows of the table in cases.py. A row is one forward and backward pair, or a whole training step; on PyTorch's
side the gradients come from autograd and leave as arrays. Read next: measure.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from case import Case, Inputs, Run

NUMPY_CASES: list[Case] = []
OURS = "fastnn" in torch.__version__
FACTS: dict[str, Any] = {"backward": False, "graph": True, "check": False, "compiled": False, "goal": (1.0,)}
B, V, C, H = 64, 27, 10, 200  # the MLP of the README


def _pair(name: str, shapes: list[tuple[int, ...]], ours: Any, theirs: Any, goal_us: float = 0.0) -> None:
    """ours: kernels -> (forward, backward); theirs: the same function of tensors."""

    def build(i: Inputs) -> Run:
        arrays = [i.rng.standard_normal(s).astype(np.float32) for s in shapes]
        if OURS:
            import fastnn.kernels

            forward, backward = ours(fastnn.kernels)
            dy = np.ones_like(forward(*arrays)[0])
            return lambda: backward(dy, forward(*arrays)[1])
        leaves = [torch.from_numpy(a).requires_grad_() for a in arrays]
        dy = torch.ones_like(theirs(*leaves))

        def run() -> Any:
            for leaf in leaves:
                leaf.grad = None
            theirs(*leaves).backward(dy)
            return [leaf.grad.numpy() for leaf in leaves]

        return run

    NUMPY_CASES.append(Case(f"kernels: {name}", build, (), goal_us=goal_us, **FACTS))


_pair("relu 4x4", [(4, 4)], lambda k: (k.relu_forward, k.relu_backward), F.relu, goal_us=1.0)
_pair(
    "layer norm 32x64",
    [(32, 64), (64,), (64,)],
    lambda k: (k.layer_norm_forward, k.layer_norm_backward),
    lambda x, w, b: F.layer_norm(x, (64,), w, b),
)
_pair(
    "linear 4096x64 -> 256",
    [(4096, 64), (256, 64), (256,)],
    lambda k: (k.linear_forward, k.linear_backward),
    F.linear,
)


def _mlp_step(i: Inputs) -> Run:
    shapes = [(V, C), (H, 3 * C), (H,), (V, H), (V,)]
    params = [0.1 * i.rng.standard_normal(s).astype(np.float32) for s in shapes]
    x, y = i.rng.integers(0, V, (B, 3)), i.rng.integers(0, V, B)
    return _kernels_step(params, x, y) if OURS else _torch_step(params, x, y)


def _kernels_step(params: list[Any], x: Any, y: Any) -> Run:
    import fastnn.kernels as k

    emb, w1, b1, w2, b2 = params
    m, v = ([np.zeros_like(p) for p in params] for _ in range(2))

    def step() -> Any:
        e, s_e = k.embedding_forward(x, emb)
        a, s_a = k.linear_forward(e.reshape(B, 3 * C), w1, b1)
        h, s_h = k.tanh_forward(a)
        logits, s_l = k.linear_forward(h, w2, b2)
        loss, s = k.cross_entropy_forward(logits, y)
        dh, dw2, db2 = k.linear_backward(k.cross_entropy_backward(1.0, s), s_l)
        de, dw1, db1 = k.linear_backward(k.tanh_backward(dh, s_h), s_a)
        demb = k.embedding_backward(de.reshape(e.shape), s_e)
        k.adamw(params, [demb, dw1, db1, dw2, db2], m, v, 1)
        return loss

    return step


def _torch_step(params: list[Any], x: Any, y: Any) -> Run:
    tensors = [torch.from_numpy(p).requires_grad_() for p in params]
    emb, w1, b1, w2, b2 = tensors
    optimizer = torch.optim.AdamW(tensors)
    ids, targets = torch.from_numpy(x), torch.from_numpy(y)

    def step() -> Any:
        h = torch.tanh(F.linear(F.embedding(ids, emb).view(B, 3 * C), w1, b1))
        loss = F.cross_entropy(F.linear(h, w2, b2), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach().numpy()

    return step


NUMPY_CASES.append(Case("kernels: MLP training step, batch 64", _mlp_step, (), **FACTS))
