"""Formula-level oracles in float64 NumPy: what each op of the table means, written from its definition.

Invariant: at most 15 lines an op, no cleverness, nothing shared with the code under test. An oracle gets the sample's arguments (arrays in
float64, holding exactly the values the op got) and returns the value or a list of values. Ops that only move data have none.
Does not: compute gradients (test_ops.py proves those beside torch and by differences). Read next: test_isa.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def _shape(sizes: tuple[Any, ...]) -> Any:
    return sizes[0] if sizes and isinstance(sizes[0], tuple) else sizes


ORACLES: dict[str, Callable[..., Any]] = {
    "neg": np.negative, "abs": np.abs, "sign": lambda x: np.where(np.isnan(x), 0, np.sign(x)), "square": np.square, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "reciprocal": lambda x: 1 / x, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "floor": np.floor, "ceil": np.ceil, "round": np.rint,
    "trunc": np.trunc, "relu": lambda x: np.where(x > 0, x, np.where(np.isnan(x), x, 0)), "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite, "silu": lambda x: x / (1 + np.exp(-x)),
    "add": lambda a, b, alpha=1: a + alpha * b, "sub": lambda a, b, alpha=1: a - alpha * b, "mul": np.multiply, "atan2": np.arctan2, "maximum": np.maximum, "minimum": np.minimum,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "logical_and": np.logical_and, "logical_or": np.logical_or,
    "logical_xor": np.logical_xor, "logical_not": np.logical_not, "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor, "bitwise_not": np.invert,
    "pow": lambda a, b: np.power(np.asarray(a, np.float64), b), "where": np.where, "masked_fill": lambda x, m, v: np.where(m, v, x), "lerp": lambda a, b, w: a + w * (b - a),
    "addcmul": lambda a, b, c, value=1: a + value * b * c, "addcdiv": lambda a, b, c, value=1: a + value * b / c, "matmul": np.matmul, "mm": np.matmul, "bmm": np.matmul, "mv": np.matmul, "dot": np.dot,
    "outer": np.outer, "addmm": lambda c, a, b, beta=1, alpha=1: beta * c + alpha * (a @ b), "linear": lambda x, w, b=0.0: x @ w.T + b,
    "baddbmm": lambda c, a, b, beta=1, alpha=1: beta * c + alpha * (a @ b), "lshift": np.left_shift, "rshift": np.right_shift, "zeros": lambda *n: np.zeros(_shape(n)), "ones": lambda *n: np.ones(_shape(n)),
    "zeros_like": np.zeros_like, "ones_like": np.ones_like, "full": np.full, "arange": np.arange, "linspace": np.linspace, "eye": np.eye,
}  # fmt: skip


def oracle(f: Callable[..., Any]) -> Callable[..., Any]:
    ORACLES[f.__name__.rstrip("_")] = f
    return f


@oracle
def erf(x: Any) -> Any:
    return np.vectorize(math.erf, otypes=[float])(x)


@oracle
def erfc(x: Any) -> Any:
    return np.vectorize(math.erfc, otypes=[float])(x)


@oracle
def erfinv(y: Any) -> Any:
    """Newton's method on erf(x) = y, from x = y; it converges for |y| < 0.99 as erf is concave beyond 0."""
    x = np.asarray(y, np.float64)
    for _ in range(60):
        x = x - (erf(x) - y) * math.sqrt(math.pi) / 2 * np.exp(x * x)
    return x


@oracle
def lgamma(x: Any) -> Any:
    return np.vectorize(math.lgamma, otypes=[float])(x)


@oracle
def digamma(x: Any) -> Any:
    far = np.asarray(x, np.float64)[..., None] + np.arange(32)  # psi(x) = psi(x + n) - sum 1/(x + i)
    z = far[..., -1] + 1
    return np.log(z) - 1 / (2 * z) - 1 / (12 * z**2) + 1 / (120 * z**4) - 1 / (252 * z**6) - (1 / far).sum(-1)


@oracle
def logsigmoid(x: Any) -> Any:
    return -np.logaddexp(0, -x)


@oracle
def gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * np.vectorize(lambda v: math.erfc(-v / math.sqrt(2)), otypes=[float])(x)


@oracle
def softplus(x: Any, beta: float = 1, threshold: float = 20) -> Any:
    return np.where(x * beta > threshold, x, np.log1p(np.exp(beta * x)) / beta)


@oracle
def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    return np.where(x > 0, x, x * negative_slope)


@oracle
def elu(x: Any, alpha: float = 1) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(x))


@oracle
def clamp(x: Any, min: Any = -np.inf, max: Any = np.inf) -> Any:  # noqa: A002
    return np.minimum(np.maximum(x, min), max)


@oracle
def div(a: Any, b: Any, rounding_mode: str | None = None) -> Any:
    q = a / b
    return {None: q, "trunc": np.trunc(q), "floor": np.floor(q)}[rounding_mode]


@oracle
def floor_divide(a: Any, b: Any) -> Any:
    return np.floor_divide(a, b)


@oracle
def remainder(a: Any, b: Any) -> Any:
    return np.mod(a, b)


@oracle
def fmod(a: Any, b: Any) -> Any:
    return np.fmod(a, b)


def _axis(dim: Any) -> Any:
    return tuple(dim) if isinstance(dim, tuple | list) else dim


def _reduce(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, dim=None, keepdim=False: f(x, axis=_axis(dim), keepdims=keepdim)


for _name, _f in {"sum": np.sum, "mean": np.mean, "prod": np.prod, "amax": np.max, "amin": np.min, "argmax": np.argmax, "argmin": np.argmin, "all": np.all, "any": np.any}.items():
    ORACLES[_name] = _reduce(_f)


def _with_indices(value: Any, index: Any) -> Callable[..., Any]:
    def f(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None:
            return value(x)
        return [value(x, axis=dim, keepdims=keepdim), index(x, axis=dim, keepdims=keepdim)]

    return f


ORACLES["max"], ORACLES["min"] = _with_indices(np.max, np.argmax), _with_indices(np.min, np.argmin)


@oracle
def var(x: Any, dim: Any = None, keepdim: bool = False, unbiased: bool = True, correction: int | None = None) -> Any:
    return np.var(x, axis=_axis(dim), keepdims=keepdim, ddof=int(unbiased) if correction is None else correction)


@oracle
def std(x: Any, **kw: Any) -> Any:
    return np.sqrt(var(x, **kw))


@oracle
def logsumexp(x: Any, dim: Any, keepdim: bool = False) -> Any:
    m = x.max(axis=dim, keepdims=True)
    y = m + np.log(np.exp(x - m).sum(axis=dim, keepdims=True))
    return y if keepdim else y.squeeze(dim)


@oracle
def norm(x: Any, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    p = 2 if p == "fro" else p
    a = np.abs(x)
    if p == np.inf:
        return a.max(axis=dim, keepdims=keepdim)
    return (a**p).sum(axis=dim, keepdims=keepdim) ** (1 / p)


@oracle
def cumsum(x: Any, dim: int) -> Any:
    return np.cumsum(x, axis=dim)


@oracle
def cumprod(x: Any, dim: int) -> Any:
    return np.cumprod(x, axis=dim).reshape(x.shape)


@oracle
def softmax(x: Any, dim: int) -> Any:
    e = np.exp(x - x.max(axis=dim, keepdims=True)) if x.size else x
    return e / e.sum(axis=dim, keepdims=True) if x.size else x


@oracle
def log_softmax(x: Any, dim: int) -> Any:
    return x - logsumexp(x, dim, True) if x.size else x


@oracle
def layer_norm(x: Any, shape: tuple[int, ...], w: Any = None, b: Any = None, eps: float = 1e-5) -> Any:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    y = (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + eps)
    return y * (1 if w is None else w) + (0 if b is None else b)


@oracle
def rms_norm(x: Any, shape: tuple[int, ...], w: Any = None, eps: float | None = None, found_eps: float = 0.0) -> Any:
    y = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + (found_eps if eps is None else eps))
    return y if w is None else y * w


@oracle
def cross_entropy(x: Any, t: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0) -> Any:
    x = np.moveaxis(x, 1, -1) if x.ndim > 1 else x
    logp = log_softmax(x, -1)
    if t.dtype.kind == "f":
        return -(logp * t).sum(-1).mean()
    w = np.ones(x.shape[-1]) if weight is None else weight
    kept = t != ignore_index
    k = np.where(kept, t, 0)[..., None]
    wt = np.where(kept, w[k[..., 0]], 0.0)
    hard = -np.take_along_axis(logp, k, -1)[..., 0] * wt
    smooth = -(logp * w).sum(-1) * kept / x.shape[-1]
    loss = (1 - label_smoothing) * hard + label_smoothing * smooth
    return {"none": loss, "sum": loss.sum(), "mean": loss.sum() / wt.sum() if wt.sum() else np.nan}[reduction]


@oracle
def nll_loss(logp: Any, t: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    w = np.ones(logp.shape[-1]) if weight is None else weight
    wt = np.where(t != ignore_index, w[np.where(t == ignore_index, 0, t)], 0.0)
    loss = -logp[np.arange(len(t)), np.where(t == ignore_index, 0, t)] * wt
    return {"none": loss, "sum": loss.sum(), "mean": loss.sum() / wt.sum()}[reduction]


@oracle
def matmul_fused(a: Any, b: Any, bias: Any = None, residual: Any = None, transpose_a: bool = False, transpose_b: bool = False, activation: str = "none") -> Any:
    z = (a.swapaxes(-1, -2) if transpose_a else a) @ (b.swapaxes(-1, -2) if transpose_b else b) + (0 if bias is None else bias)
    f = {"none": lambda z: z, "relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "gelu": gelu, "gelu_tanh": lambda z: gelu(z, "tanh")}[activation]
    return f(z) + (0 if residual is None else residual)


@oracle
def scaled_dot_product_attention(q: Any, k: Any, v: Any, mask: Any = None, attn_mask: Any = None, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False) -> Any:
    if enable_gqa:
        k, v = (np.repeat(x, q.shape[-3] // x.shape[-3], -3) for x in (k, v))
    s = q @ np.swapaxes(k, -1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    mask = mask if attn_mask is None else attn_mask
    if is_causal:
        mask = np.tril(np.ones(s.shape[-2:], dtype=bool))
    if mask is not None:
        s = np.where(mask, s, -np.inf) if mask.dtype == bool else s + mask
    return softmax(s, -1) @ v


@oracle
def gru_cell(x: Any, h: Any, w: Any, u: Any, b: Any, c: Any) -> Any:
    sigmoid = ORACLES["sigmoid"]
    n = h.shape[-1]
    gx, gh = x @ w.T + b, h @ u.T + c
    r, z = sigmoid(gx[..., :n] + gh[..., :n]), sigmoid(gx[..., n : 2 * n] + gh[..., n : 2 * n])
    m = np.tanh(gx[..., 2 * n :] + r * gh[..., 2 * n :])
    return (1 - z) * m + z * h


@oracle
def gru(x: Any, h: Any, *weights: Any) -> Any:
    states, h = [], h[0]
    for xt in x:
        h = gru_cell(xt, h, *weights)
        states.append(h)
    return [np.stack(states), h[None]]


@oracle
def rnn_cell(x: Any, h: Any, w: Any, u: Any, b: Any, c: Any, relu: bool = False) -> Any:
    a = x @ w.T + b + h @ u.T + c
    return np.maximum(a, 0) if relu else np.tanh(a)


@oracle
def rnn(x: Any, h: Any, *weights: Any, relu: bool = False) -> Any:
    states, h = [], h[0]
    for xt in x:
        h = rnn_cell(xt, h, *weights, relu=relu)
        states.append(h)
    return [np.stack(states), h[None]]


@oracle
def lstm_cell(x: Any, h: Any, state: Any, w: Any, u: Any, b: Any, c: Any) -> Any:
    sigmoid = ORACLES["sigmoid"]
    i, f, g, o = np.split(x @ w.T + b + h @ u.T + c, 4, -1)
    state = sigmoid(f) * state + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(state), state]


@oracle
def lstm(x: Any, h: Any, state: Any, *weights: Any) -> Any:
    outputs, h, state = [], h[0], state[0]
    for xt in x:
        h, state = lstm_cell(xt, h, state, *weights)
        outputs.append(h)
    return [np.stack(outputs), h[None], state[None]]


def _steps(update: Callable[..., Any], ps: tuple[Any, ...]) -> list[Any]:
    """Three steps of update(p, gradient, state, number of the step) with the gradients of the table: p * p + step."""
    states: list[dict[str, Any]] = [{} for _ in ps]
    for t in range(3):
        ps = tuple(update(p, p * p + t, state, t + 1) for p, state in zip(ps, states, strict=True))
    return list(ps)


@oracle
def sgd_step(*ps: Any, lr: float, momentum: float = 0, dampening: float = 0, weight_decay: float = 0, nesterov: bool = False, maximize: bool = False) -> Any:
    def update(p: Any, g: Any, state: dict[str, Any], t: int) -> Any:
        g = (-g if maximize else g) + weight_decay * p
        state["b"] = g if t == 1 else momentum * state["b"] + (1 - dampening) * g
        return p - lr * (g + momentum * state["b"] if nesterov else state["b"] if momentum else g)

    return _steps(update, ps)


def _adam(decoupled: bool, default: float) -> Callable[..., Any]:
    def f(*ps: Any, lr: float = 1e-3, betas: Any = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = default, amsgrad: bool = False, maximize: bool = False) -> Any:
        def update(p: Any, g: Any, state: dict[str, Any], t: int) -> Any:
            g = (-g if maximize else g) + (0 if decoupled else weight_decay * p)
            p = p * (1 - lr * weight_decay) if decoupled else p
            state["m"] = betas[0] * state.get("m", 0) + (1 - betas[0]) * g
            state["v"] = betas[1] * state.get("v", 0) + (1 - betas[1]) * g * g
            state["top"] = np.maximum(state.get("top", 0), state["v"]) if amsgrad else state["v"]
            return p - lr * state["m"] / (1 - betas[0] ** t) / (np.sqrt(state["top"] / (1 - betas[1] ** t)) + eps)

        return _steps(update, ps)

    return f


ORACLES["adam_step"], ORACLES["adamw_step"] = _adam(False, 0), _adam(True, 0.01)


@oracle
def clip_grad_norm(*ps: Any, max_norm: float, norm_type: float) -> Any:
    grads = [p * p for p in ps]
    total = norm(np.concatenate([g.reshape(-1) for g in grads]), norm_type)
    return [total, *[g * min(1.0, max_norm / (total + 1e-6)) for g in grads]]
