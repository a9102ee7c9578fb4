"""The one table of what is timed: operators with exact shapes and what a call costs. The rest of the operators, pairs
on NumPy arrays and whole training steps are in cases_rest.py, cases_numpy.py and steps.py.

What it does not do: measure. Read next: case.py (what a row is), cases_rest.py, measure.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from case import CASES, B, C, H, Inputs, N, Run, T, V, case
from torch import nn

__all__ = ["CASES"]

# Operators. "4096" stands for the B * T = 256 * 16 rows of a batch.


@case("embedding", "embedding", moved=4 * N * C + 8 * N, goal=(0.8, 0.15))
def embedding(i: Inputs) -> Run:
    weight, idx = i.normal(V, C), i.ints(V, B, T)
    return lambda: F.embedding(idx, weight)


def product(m: int, n: int, k: int, *goal: float, share: float = 0.0) -> None:
    @case(f"matmul {m}x{k} @ {k}x{n}", "matmul", flops=2.0 * m * n * k, goal=goal, goal_share=share)
    def matmul(i: Inputs) -> Run:
        a, b = i.normal(m, k), i.normal(k, n)
        return lambda: a @ b


product(N, 64, 64, 0.85, 0.65, share=0.75)
product(N, 192, 64, share=0.75)
product(N, 256, 64, share=0.75)
product(N, 64, 256, share=0.75)
product(N, 27, 64, share=0.6)
product(32, 200, 30)
product(16, 16, 16)
product(64, 64, 64, 1.0, 1.0, share=0.8)
for _n in (128, 256, 512, 1024):
    product(_n, _n, _n, 1.0, 1.0)


@case("matmul 1x256 @ 256x768, transposed", "matmul", flops=2.0 * 256 * 768, backward=False)
def row_times_matrix(i: Inputs) -> Run:
    """One token in generation: a row times a weight as nn.Linear keeps it."""
    x, w = i.normal(1, 256, grad=False), i.normal(768, 256, grad=False)
    return lambda: x @ w.t()


@case("attention scores 256x4x16x16, permuted", "matmul", flops=2.0 * B * H * T * T * (C // H))
def permuted_products(i: Inputs) -> Run:
    """q k^T of attention written by hand: the heads are views of one (B, T, C) product."""
    q, k = i.normal(B, T, C), i.normal(B, T, C)
    return lambda: q.view(B, T, H, -1).transpose(1, 2) @ k.view(B, T, H, -1).transpose(1, 2).transpose(-2, -1)


@case("matmul batched 32x256x256", "matmul", flops=2.0 * 32 * 256**3, goal=(1.0, 1.0))
def batched_matmul(i: Inputs) -> Run:
    a, b = i.normal(32, 256, 256), i.normal(32, 256, 256)
    return lambda: a @ b


@case("linear 64->256 + bias", "linear", flops=2.0 * N * C * 4 * C, goal=(0.85, 0.6))
def linear(i: Inputs) -> Run:
    x, layer = i.normal(B, T, C), i.module(nn.Linear(C, 4 * C))
    return lambda: layer(x)


@case("linear 64->256 + bias, gelu", "matmul_fused", flops=2.0 * N * C * 4 * C)
def linear_gelu(i: Inputs) -> Run:
    """In one op with fastnn, two ops with PyTorch."""
    x, layer = i.normal(N, C), i.module(nn.Linear(C, 4 * C))
    fused = getattr(torch._C, "_matmul_fused", None)
    if fused:
        return lambda: fused(x, layer.weight, layer.bias, transpose_b=True, activation="gelu")
    return lambda: F.gelu(layer(x))


@case("layer norm 4096x64", "layer_norm", moved=8.0 * N * C, goal=(0.45, 0.25))
def layer_norm(i: Inputs) -> Run:
    x, layer = i.normal(N, C), i.module(nn.LayerNorm(C))
    return lambda: layer(x)


@case("layer norm 4096x768", "layer_norm", moved=8.0 * N * 768, goal=(0.9, 0.6))
def wide_layer_norm(i: Inputs) -> Run:
    x, layer = i.normal(N, 768), i.module(nn.LayerNorm(768))
    return lambda: layer(x)


@case("rms norm 4096x64", "rms_norm", moved=8.0 * N * C)
def rms_norm(i: Inputs) -> Run:
    x, weight = i.normal(N, C), i.normal(C)
    return lambda: F.rms_norm(x, (C,), weight, 1e-5)


@case("softmax 4096x64", "softmax", moved=8.0 * N * C, goal=(0.5, 0.5))
def softmax(i: Inputs) -> Run:
    x = i.normal(N, C)
    return lambda: F.softmax(x, -1)


@case("log softmax 4096x64", "log_softmax", moved=8.0 * N * C)
def log_softmax(i: Inputs) -> Run:
    x = i.normal(N, C)
    return lambda: F.log_softmax(x, -1)


@case("cross entropy 4096x27", "cross_entropy", moved=4.0 * N * V + 8 * N, goal=(0.5, 0.5))
def cross_entropy(i: Inputs) -> Run:
    x, targets = i.normal(N, V), i.ints(V, N)
    return lambda: F.cross_entropy(x, targets)


def pointwise(name: str, f: Callable[[Any], Any], *goal: float, columns: int = 4 * C) -> None:
    @case(f"{name} 4096x{columns}", name.split(",")[0], moved=8.0 * N * columns, goal=goal)
    def apply(i: Inputs) -> Run:
        x = i.normal(N, columns)
        return lambda: f(x)


pointwise("gelu, erf", F.gelu, 1.0, 0.7)
pointwise("gelu, tanh", lambda x: F.gelu(x, approximate="tanh"), 0.3, 0.3)
for _f in (torch.relu, torch.tanh, torch.sigmoid, torch.exp):
    pointwise(_f.__name__, _f, 1.0, 1.0)
    pointwise(_f.__name__, _f, 1.0, 1.0, columns=2560)


@case("add 4096x64 + 64", "add", moved=8.0 * N * C)
def add_row(i: Inputs) -> Run:
    x, b = i.normal(N, C), i.normal(C)
    return lambda: x + b


@case("sum 4096x64 over rows", "sum", moved=4.0 * N * C)
def sum_rows(i: Inputs) -> Run:
    x = i.normal(N, C)
    return lambda: x.sum(0)


@case("copy 4096x64", "copy_", moved=8.0 * N * C, backward=False, compiled=False)
def copy(i: Inputs) -> Run:
    x, y = i.normal(N, C, grad=False), i.normal(N, C, grad=False)
    return lambda: y.copy_(x)


ATTENTION_FLOPS = 2.0 * N * C * 4 * C + 2.0 * 2 * N * T * C


def attention_parts(i: Inputs) -> tuple[Any, Any]:
    """x and its four projections without bias; the results of the first three are split into heads."""
    x = i.normal(B, T, C)
    return x, [i.module(nn.Linear(C, C, bias=False)) for _ in range(4)]


def heads(x: Any) -> Any:
    return x.view(B, T, H, C // H).transpose(1, 2)


@case("attention, additive mask", "matmul", "softmax", "add", flops=ATTENTION_FLOPS, goal=(0.65, 0.65))
def masked_attention(i: Inputs) -> Run:
    x, (wq, wk, wv, wo) = attention_parts(i)
    mask = torch.triu(torch.full((T, T), float("-inf"), dtype=i.dtype), 1)

    def forward() -> Any:
        q, k, v = heads(wq(x)), heads(wk(x)), heads(wv(x))
        weights = F.softmax(q @ k.transpose(-2, -1) * (C // H) ** -0.5 + mask, -1)
        return wo((weights @ v).transpose(1, 2).reshape(B, T, C))

    return forward


@case("attention, sdpa(is_causal)", "scaled_dot_product_attention", flops=ATTENTION_FLOPS, goal=(0.5, 0.5))
def causal_attention(i: Inputs) -> Run:
    x, (wq, wk, wv, wo) = attention_parts(i)

    def forward() -> Any:
        y = F.scaled_dot_product_attention(heads(wq(x)), heads(wk(x)), heads(wv(x)), is_causal=True)
        return wo(y.transpose(1, 2).reshape(B, T, C))

    return forward


LONG_FLOPS = 2.0 * 2 * 8 * 512 * 512 * 64 / 2  # half the square is masked


@case("causal sdpa 8x512x64", "scaled_dot_product_attention", flops=LONG_FLOPS, goal=(0.6, 0.5))
def long_attention(i: Inputs) -> Run:
    q, k, v = i.normal(1, 8, 512, 64), i.normal(1, 8, 512, 64), i.normal(1, 8, 512, 64)
    return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)


def gru_weights(i: Inputs) -> list[Any]:
    return [i.module(nn.Linear(C + C, C)) for _ in range(3)]


def gru_step(x: Any, h: Any, update: Any, reset: Any, new: Any) -> Any:
    """One step of the gated unit that resets the state before the recurrent product (Cho et al. 2014)."""
    both = torch.cat((x, h), 1)
    z, r = torch.sigmoid(update(both)), torch.sigmoid(reset(both))
    n = torch.tanh(new(torch.cat((x, r * h), 1)))
    return (1.0 - z) * h + z * n


@case("GRU cell, reset before, 256x64", "cat", "sigmoid", "tanh", flops=2.0 * B * 6 * C * C, goal=(0.5, 0.45))
def gru_cell(i: Inputs) -> Run:
    x, h, weights = i.normal(B, C), i.normal(B, C), gru_weights(i)
    return lambda: gru_step(x, h, *weights)


@case("makemore GRU 256x16x64", "cat", "sigmoid", "tanh", "stack", flops=2.0 * N * 6 * C * C, goal=(0.55, 0.5))
def gru_loop(i: Inputs) -> Run:
    x, weights = i.normal(B, T, C), gru_weights(i)
    start = i.normal(1, C)

    def forward() -> Any:
        h, states = start.expand(B, -1), []
        for t in range(T):
            h = gru_step(x[:, t, :], h, *weights)
            states.append(h)
        return torch.stack(states, 1)

    return forward


@case("nn.GRUCell 256x64", "gru_cell", flops=2.0 * B * 6 * C * C)
def gru_cell_fused(i: Inputs) -> Run:
    x, h, layer = i.normal(B, C), i.normal(B, C), i.module(nn.GRUCell(C, C))
    return lambda: layer(x, h)


@case("nn.GRU 256x16x64", "gru", flops=2.0 * N * 6 * C * C, goal=(0.42, 0.35))
def gru(i: Inputs) -> Run:
    x, layer = i.normal(B, T, C), i.module(nn.GRU(C, C, batch_first=True))
    return lambda: layer(x)[0]


@case("nn.LSTM 256x16x64", "lstm", flops=2.0 * N * 8 * C * C, goal=(0.7, 0.6))
def lstm(i: Inputs) -> Run:
    x, layer = i.normal(B, T, C), i.module(nn.LSTM(C, C, batch_first=True))
    return lambda: layer(x)[0]


BLOCK_FLOPS = 2.0 * N * C * 12 * C + 2.0 * 2 * N * T * C


@case("transformer block (pre-LN, erf GELU)", "layer_norm", "linear", "gelu", flops=BLOCK_FLOPS, goal=(0.7, 0.65))
def block(i: Inputs) -> Run:
    x, qkv, out = i.normal(B, T, C), i.module(nn.Linear(C, 3 * C)), i.module(nn.Linear(C, C))
    norm1, norm2 = i.module(nn.LayerNorm(C)), i.module(nn.LayerNorm(C))
    up, down = i.module(nn.Linear(C, 4 * C)), i.module(nn.Linear(4 * C, C))

    def forward() -> Any:
        q, k, v = (heads(t) for t in qkv(norm1(x)).split(C, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, C)
        mid = x + out(y)
        return mid + down(F.gelu(up(norm2(mid))))

    return forward


@case("nn.RNN 256x16x64", "rnn", flops=2.0 * N * 2 * C * C, goal=(0.7, 0.6))
def rnn(i: Inputs) -> Run:
    x, layer = i.normal(B, T, C), i.module(nn.RNN(C, C, batch_first=True))
    return lambda: layer(x)[0]


@case("nn.LSTMCell 256x64", "lstm_cell", flops=2.0 * B * 8 * C * C)
def lstm_cell_fused(i: Inputs) -> Run:
    x, h, c, layer = i.normal(B, C), i.normal(B, C), i.normal(B, C), i.module(nn.LSTMCell(C, C))
    return lambda: layer(x, (h, c))[0]


@case("nn.RNNCell 256x64", "rnn_cell", flops=2.0 * B * 2 * C * C)
def rnn_cell_fused(i: Inputs) -> Run:
    x, h, layer = i.normal(B, C), i.normal(B, C), i.module(nn.RNNCell(C, C))
    return lambda: layer(x, h)


# What one call costs when there is nothing to compute.


def overhead(name: str, *ops: str, us: float, graph: bool = False) -> Callable[[Callable[[Inputs], Run]], object]:
    facts: dict[str, Any] = {"backward": False, "check": False, "compiled": False, "goal": (1.0,)}
    return case(f"overhead: {name}", *ops, graph=graph, goal_us=us, **facts)


@overhead("a + b 4x4", "add", us=0.2)
def small_add(i: Inputs) -> Run:
    a, b = i.normal(4, 4, grad=False), i.normal(4, 4, grad=False)
    return lambda: a + b


@overhead("a + b 4x4 with graph", "add", us=0.3, graph=True)
def small_add_graph(i: Inputs) -> Run:
    a, b = i.normal(4, 4), i.normal(4, 4)
    return lambda: a + b


@overhead("a * 2.0 4x4", "mul", us=0.2)
def small_scale(i: Inputs) -> Run:
    a = i.normal(4, 4, grad=False)
    return lambda: a * 2.0


@overhead("a @ b 4x4", "matmul", us=0.3)
def small_matmul(i: Inputs) -> Run:
    a, b = i.normal(4, 4, grad=False), i.normal(4, 4, grad=False)
    return lambda: a @ b


@overhead("view", "view", us=0.12)
def view(i: Inputs) -> Run:
    a = i.normal(4, 4, grad=False)
    return lambda: a.view(2, 8)


@overhead("index a[1]", "select", us=0.15)
def index(i: Inputs) -> Run:
    a = i.normal(4, 4, grad=False)
    return lambda: a[1]


@overhead("slice a[:, 1:3]", "slice", us=0.2)
def slice_(i: Inputs) -> Run:
    a = i.normal(4, 4, grad=False)
    return lambda: a[:, 1:3]


@overhead("nn.Linear(4, 4)", "linear", us=0.8)
def small_linear(i: Inputs) -> Run:
    x, layer = i.normal(4, 4, grad=False), i.module(nn.Linear(4, 4))
    return lambda: layer(x)


@overhead("matmul, tanh, sum, backward", "matmul", "tanh", "sum", us=2.5, graph=True)
def small_chain(i: Inputs) -> Run:
    a, b = i.normal(4, 4), i.normal(4, 4)

    def forward() -> None:
        a.grad = b.grad = None
        (a @ b).tanh().sum().backward()

    return forward


@overhead("AdamW over 52 tensors of 4096", us=100)
def adamw(i: Inputs) -> Run:
    parameters = [nn.Parameter(i.normal(4096, grad=False)) for _ in range(52)]
    for p in parameters:
        p.grad = i.normal(4096, grad=False)
    return torch.optim.AdamW(parameters, lr=1e-3).step
