"""The second route of each fused op: the same function composed of simple ops, differentiated by the tape.

Invariant: a composition uses none of the op's own kernels; it gets the row's arguments as they are, `lib` being fastnn. What it may
differ by from the fused op stands in the row (route_steps).
Does not: compare (test_proofs.py). Read next: op_rows_layers.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

ROUTES: dict[str, Callable[..., Any]] = {}


def route(f: Callable[..., Any]) -> Callable[..., Any]:
    ROUTES[f.__name__] = f
    return f


# --- elementwise -------------------------------------------------------------------------------------------------------------------------

ROUTES |= {
    "square": lambda lib, x: x * x,
    "rsqrt": lambda lib, x: 1 / x.sqrt(),
    "reciprocal": lambda lib, x: 1 / x,
    "relu": lambda lib, x: lib.where(x > 0, x, x * 0),
    "silu": lambda lib, x: x / (1 + (-x).exp()),
    "sigmoid": lambda lib, x: 1 / (1 + (-x).exp()),
    "leaky_relu": lambda lib, x, negative_slope=0.01: lib.where(x > 0, x, x * negative_slope),
    "elu": lambda lib, x, alpha=1.0: lib.where(x > 0, x, alpha * (lib.minimum(x, x * 0).exp() - 1)),
    "clamp": lambda lib, x, min=-math.inf, max=math.inf: lib.where(x < min, lib.full_like(x, min), lib.where(x > max, lib.full_like(x, max), x)),
    "lerp": lambda lib, a, b, w: a + w * (b - a),
    "addcmul": lambda lib, a, b, c, value=1: a + value * (b * c),
    "addcdiv": lambda lib, a, b, c, value=1: a + value * (b / c),
    "masked_fill": lambda lib, x, mask, value: lib.where(mask, value, x),
}


@route
def logsigmoid(lib: Any, x: Any) -> Any:
    return lib.minimum(x, x * 0) - (1 + (-x.abs()).exp()).log()


@route
def softplus(lib: Any, x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    z = x * beta
    return lib.where(z > threshold, x, (1 + lib.minimum(z, z * 0 + threshold).exp()).log() / beta)


@route
def gelu(lib: Any, x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)).tanh())
    return 0.5 * x * (1 + (x * math.sqrt(0.5)).erf())


# --- reductions --------------------------------------------------------------------------------------------------------------------------


def _count(x: Any, dim: Any) -> int:
    dims = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    return math.prod(x.shape[d] for d in dims)


def _sum(x: Any, dim: Any, keepdim: bool = False) -> Any:
    return x.sum() if dim is None else x.sum(dim, keepdim=keepdim)


@route
def mean(lib: Any, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    n = _count(x, dim)
    return _sum(x, dim, keepdim) / n if n else _sum(x, dim, keepdim) * math.nan


@route
def var(lib: Any, x: Any, dim: Any = None, keepdim: bool = False, unbiased: bool = True, correction: int | None = None) -> Any:
    n, less = _count(x, dim), int(unbiased) if correction is None else correction
    every = tuple(range(x.ndim)) if dim is None else dim
    d = x - (x.sum(every, keepdim=True) / n if x.ndim else x)
    total = _sum(d * d, dim, keepdim)
    return total / (n - less) if n >= less else total / (n - less) + math.nan


@route
def logsumexp(lib: Any, x: Any, dim: Any, keepdim: bool = False) -> Any:
    return x.exp().sum(dim, keepdim=keepdim).log()


@route
def norm(lib: Any, x: Any, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    p = 2 if p == "fro" else p
    if p == math.inf:
        return x.abs().max() if dim is None else x.abs().amax(dim, keepdim=keepdim)
    return _sum(x.abs() ** p, dim, keepdim) ** (1 / p)


@route
def cumsum(lib: Any, x: Any, dim: int) -> Any:
    n = x.shape[dim]
    ones = lib.tril(lib.ones(n, n, dtype=x.dtype))
    return (ones @ x.transpose(dim, -2)).transpose(dim, -2) if dim % x.ndim != x.ndim - 1 else x @ ones.t()


# --- products ----------------------------------------------------------------------------------------------------------------------------


@route
def matmul(lib: Any, a: Any, b: Any) -> Any:
    """Sums of products, one row of b at a time where all of them at once would be large."""
    x, y = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    if x.shape[-2] * x.shape[-1] * y.shape[-1] > 10**6:
        columns = [(x * y[..., None, :, j]).sum(-1) for j in range(y.shape[-1])]
        z = lib.stack(columns, -1)
    else:
        z = (x[..., :, :, None] * y[..., None, :, :]).sum(-2)
    z = z.squeeze(-2) if a.ndim == 1 else z
    return z.squeeze(-1) if b.ndim == 1 else z


for _name in ("mm", "bmm", "mv", "dot"):
    ROUTES[_name] = matmul


@route
def linear(lib: Any, x: Any, w: Any, b: Any = None) -> Any:
    y = matmul(lib, x, w.transpose(0, 1))
    return y if b is None else y + b


@route
def addmm(lib: Any, c: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1) -> Any:
    return c * beta + matmul(lib, a, b) * alpha


ROUTES["baddbmm"] = addmm
ROUTES["outer"] = lambda lib, a, b: a[:, None] * b[None]


@route
def matmul_fused(lib: Any, a: Any, b: Any, bias: Any = None, residual: Any = None, transpose_a: bool = False, transpose_b: bool = False, activation: str = "none") -> Any:
    z = (a.mT if transpose_a else a) @ (b.mT if transpose_b else b)  # (matmul has its own composition)
    z = z if bias is None else z + bias
    y = {"none": lambda z: z, "relu": lambda z: ROUTES["relu"](lib, z), "tanh": lib.tanh, "gelu": lambda z: gelu(lib, z), "gelu_tanh": lambda z: gelu(lib, z, "tanh")}[activation](z)
    return y if residual is None else y + residual


# --- rows by index -----------------------------------------------------------------------------------------------------------------------


def _one_hot(lib: Any, index: Any, n: int, dtype: Any) -> Any:
    return (index[..., None] == lib.arange(n)).to(dtype)


@route
def embedding(lib: Any, index: Any, w: Any, padding_idx: int | None = None) -> Any:
    if padding_idx is not None:  # that row is read and gets no gradient
        w = lib.cat([w[:padding_idx], w[padding_idx : padding_idx + 1].detach(), w[padding_idx + 1 :]])
    return _one_hot(lib, index, w.shape[0], w.dtype) @ w


@route
def gather(lib: Any, x: Any, dim: int, index: Any) -> Any:
    hot = _one_hot(lib, index.transpose(dim, -1), x.shape[dim], x.dtype)
    rows = x.transpose(dim, -1)[tuple(slice(0, n) for n in index.transpose(dim, -1).shape[:-1])]
    return (hot * rows[..., None, :]).sum(-1).transpose(dim, -1)


@route
def index_select(lib: Any, x: Any, dim: int, index: Any) -> Any:
    return (_one_hot(lib, index, x.shape[dim], x.dtype) @ x.transpose(0, dim).flatten(1)).unflatten(1, x.transpose(0, dim).shape[1:]).transpose(0, dim) if x.ndim > 1 else _one_hot(lib, index, x.shape[0], x.dtype) @ x


# --- norms, softmax, losses --------------------------------------------------------------------------------------------------------------


@route
def layer_norm(lib: Any, x: Any, shape: tuple[int, ...], w: Any = None, b: Any = None, eps: float = 1e-5) -> Any:
    dims = tuple(range(-len(shape), 0))
    d = x - x.mean(dims, keepdim=True)
    y = d / ((d * d).mean(dims, keepdim=True) + eps).sqrt()
    y = y if w is None else y * w
    return y if b is None else y + b


@route
def rms_norm(lib: Any, x: Any, shape: tuple[int, ...], w: Any = None, eps: float | None = None) -> Any:
    y = x / ((x * x).mean(-1, keepdim=True) + (lib.finfo(x.dtype).eps if eps is None else eps)).sqrt()
    return y if w is None else y * w


@route
def softmax(lib: Any, x: Any, dim: int) -> Any:
    e = (x - x.detach().amax(dim, keepdim=True)).exp() if x.numel() else x.exp()
    return e / e.sum(dim, keepdim=True)


@route
def log_softmax(lib: Any, x: Any, dim: int) -> Any:
    z = x - x.detach().amax(dim, keepdim=True) if x.numel() else x * 1
    return z - z.exp().sum(dim, keepdim=True).log()


@route
def nll_loss(lib: Any, logp: Any, t: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    w = lib.ones(logp.shape[-1], dtype=logp.dtype) if weight is None else weight
    hot = _one_hot(lib, t, logp.shape[-1], logp.dtype) * (t != ignore_index)[..., None].to(logp.dtype) * w
    loss = -(logp * hot).sum(-1)
    return {"none": lambda: loss, "sum": loss.sum, "mean": lambda: loss.sum() / hot.sum()}[reduction]()


@route
def cross_entropy(lib: Any, x: Any, t: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0) -> Any:
    x = x.movedim(1, -1) if x.ndim > 1 else x
    logp, n = log_softmax(lib, x, -1), x.shape[-1]
    if t.is_floating_point():
        return -(logp * t).sum(-1).mean()
    w = lib.ones(n, dtype=x.dtype) if weight is None else weight
    kept = (t != ignore_index).to(x.dtype)[..., None]
    hot = _one_hot(lib, t, n, x.dtype) * kept
    loss = -(logp * w * ((1 - label_smoothing) * hot + label_smoothing / n * kept)).sum(-1)
    return {"none": lambda: loss, "sum": loss.sum, "mean": lambda: loss.sum() / (hot * w).sum()}[reduction]()


@route
def scaled_dot_product_attention(lib: Any, q: Any, k: Any, v: Any, mask: Any = None, attn_mask: Any = None, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False) -> Any:
    if enable_gqa:
        k, v = (x.repeat_interleave(q.shape[-3] // x.shape[-3], -3) for x in (k, v))
    s = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    mask = mask if attn_mask is None else attn_mask
    if is_causal:
        mask = lib.ones(s.shape[-2:], dtype=lib.bool).tril()
    if mask is not None:
        s = lib.where(mask, s, -math.inf) if mask.dtype == lib.bool else s + mask
    return softmax(lib, s, -1) @ v


# --- recurrent nets ----------------------------------------------------------------------------------------------------------------------


@route
def gru_cell(lib: Any, x: Any, h: Any, w: Any, u: Any, b: Any, c: Any) -> Any:
    """nn.GRUCell: the reset gate multiplies the finished recurrent product."""
    n = h.shape[-1]
    gx, gh = x @ w.t() + b, h @ u.t() + c
    r = (gx[..., :n] + gh[..., :n]).sigmoid()
    z = (gx[..., n : 2 * n] + gh[..., n : 2 * n]).sigmoid()
    m = (gx[..., 2 * n :] + r * gh[..., 2 * n :]).tanh()
    return (1 - z) * m + z * h


@route
def rnn_cell(lib: Any, x: Any, h: Any, w: Any, u: Any, b: Any, c: Any, relu: bool = False) -> Any:
    a = x @ w.t() + b + h @ u.t() + c
    return a.relu() if relu else a.tanh()


@route
def lstm_cell(lib: Any, x: Any, h: Any, state: Any, w: Any, u: Any, b: Any, c: Any) -> Any:
    i, f, g, o = (x @ w.t() + b + h @ u.t() + c).chunk(4, -1)
    state = f.sigmoid() * state + i.sigmoid() * g.tanh()
    return o.sigmoid() * state.tanh(), state


@route
def gru(lib: Any, x: Any, h: Any, *weights: Any) -> Any:
    states, h = [], h[0]
    for xt in x.unbind(0):
        h = gru_cell(lib, xt, h, *weights)
        states.append(h)
    return lib.stack(states), h[None]


@route
def rnn(lib: Any, x: Any, h: Any, *weights: Any, relu: bool = False) -> Any:
    states, h = [], h[0]
    for xt in x.unbind(0):
        h = rnn_cell(lib, xt, h, *weights, relu=relu)
        states.append(h)
    return lib.stack(states), h[None]


@route
def lstm(lib: Any, x: Any, h: Any, state: Any, *weights: Any) -> Any:
    outputs, h, state = [], h[0], state[0]
    for xt in x.unbind(0):
        h, state = lstm_cell(lib, xt, h, state, *weights)
        outputs.append(h)
    return lib.stack(outputs), h[None], state[None]
