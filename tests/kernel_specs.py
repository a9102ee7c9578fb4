"""What each kernel of kernels.def is given for `rows` rows of n numbers, and what it must give: its formula in float64 NumPy.

Invariant: every kernel has a spec (test_guards.py fails otherwise), written from the contract in csrc/kernels/kernels.def; a spec never
sees an instruction set, a stride or a guard. Elementwise loops have their formulas in reference.py or LOOPS.
Does not: call anything. Read next: kernel_guards.py.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from kernel_guards import Out, RowOf, Scratch, Task
from reference import ORACLES

Array = np.ndarray[Any, Any]
sigmoid, gelu = ORACLES["sigmoid"], ORACLES["gelu"]


@dataclass
class Draw:
    """Numbers that the dtype holds exactly, as float64."""

    rs: np.random.RandomState
    dtype: str
    panel: int = 1  # columns of B that gemm_pack puts together, in words: the one thing that differs between instruction sets

    def __call__(self, *shape: int, lo: float = -2.0, hi: float = 2.0) -> Array:
        return self.round(self.rs.uniform(lo, hi, shape))

    def round(self, x: Any) -> Array:
        return np.asarray(np.asarray(x).astype(self.dtype).astype(np.float64))

    def below(self, n: int, *shape: int) -> Array:
        return np.asarray(self.rs.randint(0, max(n, 1), shape), np.int64)


@dataclass(frozen=True)
class Spec:
    op: str  # whose proof it counts as
    make: Callable[..., dict[str, Any]]  # (draw, rows, n, bare) -> operands by the names in the contract; bare: without those that may be NULL
    steps: float  # of the largest value, at least 1
    least: int  # the smallest n it is defined for
    rows: tuple[int, ...]


SPECS: dict[str, Spec] = {}


def spec(*names: str, op: str, steps: float = 8, least: int = 0, rows: tuple[int, ...] = (0, 1, 3)) -> Any:
    def register(f: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        for name in names:
            SPECS[name] = Spec(op, lambda d, r, n, bare, name=name: f(d, r, n, bare, name), steps, least, rows)
        return f

    return register


# --- reductions --------------------------------------------------------------------------------------------------------------------------

BY_ROW: dict[str, Callable[[Array], Array]] = {
    "sum_rows": lambda x: x.sum(1), "sumsq_rows": lambda x: (x * x).sum(1), "prod_rows": lambda x: x.prod(1), "cumsum_rows": lambda x: x.cumsum(1),
    "logsumexp_rows": lambda x: np.log(np.exp(x).sum(1)),
}  # fmt: skip


@spec("sum_rows", "sumsq_rows", "cumsum_rows", "logsumexp_rows", op="sum", steps=32)
@spec("prod_rows", op="prod", steps=32)
def by_row(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    x = d(rows, n, lo=0.5, hi=1.5) if name == "prod_rows" else d(rows, n)
    with np.errstate(divide="ignore"):
        return {"y": Out(BY_ROW[name](x)), "x": x, "rows": rows, "n": n}


@spec("sum_cols", "merge_cols", op="sum", steps=32, rows=(0, 1, 3, 21))
def by_col(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    x = d(rows, n)
    return {"y": Out(x.sum(0)), "x": x, "n": rows, "cols": n}


@spec("max_rows", op="max", steps=0, least=1)
@spec("min_rows", op="min", steps=0, least=1)
def extreme(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    x = np.round(d(rows, n) * 4)  # with ties
    best, where = (x.max(1), x.argmax(1)) if name == "max_rows" else (x.min(1), x.argmin(1))
    return {"y": Out(best), "index": None if bare else Out(where, dtype="int64"), "x": x, "rows": rows, "n": n}


@spec("moments_rows", op="var", steps=16, least=1)
def moments(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    x = d(rows, n, lo=9, hi=11)
    return {"mean": None if bare else Out(x.mean(1)), "m2": Out(x.var(1) * n), "x": x, "rows": rows, "n": n}


# --- norms, softmax, losses --------------------------------------------------------------------------------------------------------------


@spec("layer_norm_forward", op="layer_norm", steps=32, least=1)
@spec("rms_norm_forward", op="rms_norm", steps=32, least=1)
def norm(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    x, w, b, eps = d(rows, n), d(n), d(n), 0.25
    mean = x.mean(1) if name[0] == "l" else np.zeros(rows)
    rstd = 1 / np.sqrt(((x - mean[:, None]) ** 2).mean(1) + eps)
    y = (x - mean[:, None]) * rstd[:, None]
    given = {"x": x, "w": None if bare else w, "rows": rows, "n": n, "eps": eps, "rstd": None if bare else Out(rstd)}
    if name[0] == "r":
        return {**given, "y": Out(y if bare else y * w)}
    return {**given, "y": Out(y if bare else y * w + b), "b": None if bare else b, "mean": None if bare else Out(mean)}


@spec("layer_norm_backward", op="layer_norm", steps=64, least=1, rows=(1, 3, 9))
@spec("rms_norm_backward", op="rms_norm", steps=64, least=1, rows=(1, 3, 9))
def norm_back(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    x, w, dy, rstd = d(rows, n), d(n), d(rows, n), d(rows, 1, lo=0.5)
    mean = d(rows, 1) * (name[0] == "l")
    seen, g = (x - mean) * rstd, dy if bare else dy * w
    dx = rstd * (g - (g.mean(1, keepdims=True) if name[0] == "l" else 0) - seen * (g * seen).mean(1, keepdims=True))
    given = {"dx": Out(dx), "dw": None if bare else Out((dy * seen).sum(0)), "dy": dy, "x": x, "rstd": rstd, "w": None if bare else w, "rows": rows, "n": n}
    return given if name[0] == "r" else {**given, "mean": mean, "db": None if bare else Out(dy.sum(0))}


@spec("softmax_forward", op="softmax", least=1)
@spec("log_softmax_forward", op="log_softmax", least=1)
def softmax(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    x = d(rows, n, lo=-9, hi=9)
    y = x - np.log(np.exp(x).sum(1, keepdims=True))
    return {"y": Out(np.exp(y) if name == "softmax_forward" else y), "x": x, "rows": rows, "n": n}


@spec("softmax_backward", op="softmax", steps=32)
@spec("log_softmax_backward", op="log_softmax", steps=32)
def softmax_back(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    dy, y = d(rows, n), d(rows, n, lo=0 if name == "softmax_backward" else -2, hi=1)
    dx = y * (dy - (dy * y).sum(1, keepdims=True)) if name == "softmax_backward" else dy - np.exp(y) * dy.sum(1, keepdims=True)
    return {"dx": Out(dx), "dy": dy, "y": y, "rows": rows, "n": n}


def targets(d: Draw, rows: int, n: int) -> Array:
    """Class numbers, of which the second is the one to be ignored."""
    t = d.below(n, rows)
    t[1:2] = -7
    return t


@spec("cross_entropy_forward", op="cross_entropy", steps=16, least=1)
def cross_entropy(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    x, w, t, a = d(rows, n), d(n, lo=0.5), targets(d, rows, n), 0.25
    top = x.max(1, initial=-np.inf)
    rest = np.log(np.exp(x - top[:, None]).sum(1))
    gap = (top + rest)[:, None] - x
    weights = np.ones(n) if bare else w
    loss = (1 - a) * weights[t % n] * gap[np.arange(rows), t % n] + a / n * (gap * weights).sum(1)
    parts = None if bare else Out(np.stack([top, rest], 1))
    return {"loss": Out(np.where(t < 0, 0, loss)), "parts": parts, "x": x, "target": t, "w": None if bare else w, "rows": rows, "n": n, "ignore_index": -7, "smoothing": a}


@spec("cross_entropy_backward", op="cross_entropy", steps=16, least=1)
def cross_entropy_back(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    x, w, t, a, scale = d(rows, n), d(n, lo=0.5), targets(d, rows, n), 0.25, d(1 if bare else rows)
    top = x.max(1, initial=-np.inf)
    parts = d.round(np.stack([top, np.log(np.exp(x - top[:, None]).sum(1))], 1))
    p = np.exp(x - parts.sum(1, keepdims=True))
    weights, hit = np.ones(n) if bare else w, np.arange(n) == (t % n)[:, None]
    slope = (1 - a) * weights[t % n][:, None] * (p - hit) + a / n * (p * weights.sum() - weights)
    dx = np.where(t[:, None] < 0, 0, slope * scale[:, None])
    return {"dx": Out(dx), "scale": scale, "x": x, "parts": parts, "target": t, "w": None if bare else w, "rows": rows, "n": n, "scale_stride": 0 if bare else 1, "ignore_index": -7, "smoothing": a}


# --- rows by index, dropout, optimizers --------------------------------------------------------------------------------------------------


@spec("embedding_forward", op="embedding", steps=0)
def embedding(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    w, index = d(5, n), d.below(5, rows)
    return {"y": Out(w[index]), "w": w, "index": index, "rows": rows, "n": n}


@spec("embedding_backward", op="embedding", steps=8, rows=(0, 1, 3, 9))
def embedding_back(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    dy, index, start = d(rows, n), d.below(5, rows), d(5, n)
    dw = start.copy()
    np.add.at(dw, index[index != 2], dy[index != 2])
    return {"dw": Out(dw, start=start), "dy": dy, "index": index, "rows": rows, "n": n, "padding_index": 2}


@spec("dropout_apply", op="dropout", steps=1, rows=(1,))
def dropout(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    x, mask = d(n), (d(n) < 0).astype(np.uint8)
    return {"y": Out(x * mask * 1.25), "x": x, "mask": mask, "n": n, "scale": 1.25}


class AdamNumbers(ctypes.Structure):
    _fields_ = [(f, ctypes.c_double) for f in ("lr", "beta1", "beta2", "eps", "weight_decay", "step_size", "bias_correction2_sqrt")] + [(f, ctypes.c_bool) for f in ("decoupled", "maximize")]


class SgdNumbers(ctypes.Structure):
    _fields_ = [(f, ctypes.c_double) for f in ("lr", "momentum", "dampening", "weight_decay")] + [(f, ctypes.c_bool) for f in ("nesterov", "maximize", "first")]


@spec("adam_step", op="adam_step", steps=16, rows=(1,))
def adam(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    p, m, g, v, top = d(n), d(n), d(n), d(n, lo=0.1), d(n, lo=0.1)
    a = AdamNumbers(0.1, 0.9, 0.99, 1e-3, 0.25, 0.2, 0.5, bare, not bare)
    h = g if bare else -g
    q, h = (p * (1 - a.lr * a.weight_decay), h) if bare else (p, h + a.weight_decay * p)
    m1, v1 = m * a.beta1 + h * (1 - a.beta1), v * a.beta2 + h * h * (1 - a.beta2)
    most = v1 if bare else np.maximum(top, v1)
    q = q - a.step_size * m1 / (np.sqrt(most) / a.bias_correction2_sqrt + a.eps)
    return {"p": Out(q, start=p), "m": Out(m1, start=m), "v": Out(v1, start=v), "vmax": None if bare else Out(most, start=top), "g": g, "n": n, "a": a}


@spec("sgd_step", op="sgd_step", steps=8, rows=(1,))
def sgd(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    p, buf, g = d(n), d(n), d(n)
    a = SgdNumbers(0.1, 0.75, 0.5, 0.25, True, bare, False)
    h = (-g if bare else g) + a.weight_decay * p
    moved = buf * a.momentum + h * (1 - a.dampening)
    return {"p": Out(p - a.lr * (h if bare else h + a.momentum * moved), start=p), "buf": None if bare else Out(moved, start=buf), "g": g, "n": n, "a": a}


# --- products: rows = M (row_product: K), n = N (dot: K) ---------------------------------------------------------------------------------


@spec("dot", op="dot", steps=32, rows=(1,))
def dot(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    a, b = d(n, 1), d(n, 1)
    return {"result": Out((a * b).sum()), "a": a, "b": b, "K": n}


@spec("row_product", op="mv", steps=32, rows=(0, 1, 3, 17))
def row_product(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    a, b, add = d(rows), d(rows, n), d(n)
    return {"c": Out(a @ b + (0 if bare else add)), "a": a, "b": b, "add": None if bare else add, "N": n, "K": rows, "b_col": 1}


@spec("gemm_merge", op="matmul", steps=8)
def gemm_merge(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    parts, add = d(4, rows, n), d(rows, n)
    given = {"parts": parts, "split_stride": rows * n, "splits": 4, "M": rows, "N": n, "add": None if bare else add}
    return {**given, "c": Out(parts.sum(0) + (0 if bare else add)), **({"add_row": 0} if bare else {})}


def packed(d: Draw, b: Array) -> Array:
    """Panels of so many words' columns (the last one of as many whole words as are left), each row of a panel contiguous."""
    word, (k, n) = 16 if d.dtype == "float32" else 8, b.shape
    wide, width = np.zeros((k, -(-n // word) * word)), d.panel * word
    wide[:, :n] = b
    return np.concatenate([wide[:, at : at + width].reshape(-1) for at in range(0, wide.shape[1], width)] or [np.zeros(0)])


@spec("gemm_pack", op="matmul", steps=0, rows=(0, 1, 3, 17))
def gemm_pack(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    b = d(rows, n)
    return {"packed": Out(packed(d, b)), "b": b, "N": n, "K": rows, "b_col": 1}


class GemmTask(ctypes.Structure):
    _fields_ = [
        *((f, ctypes.c_int64) for f in ("M", "N", "K")), ("a", ctypes.c_void_p), ("a_row", ctypes.c_int64), ("a_col", ctypes.c_int64), ("b", ctypes.c_void_p), ("b_form", ctypes.c_int),
        ("b_row", ctypes.c_int64), ("b_col", ctypes.c_int64), ("b_columns", ctypes.c_int64), ("c", ctypes.c_void_p), ("c_row", ctypes.c_int64), ("add", ctypes.c_void_p), ("add_row", ctypes.c_int64),
    ]  # fmt: skip


def product(d: Draw, m: int, n: int, k: int, form: int, bare: bool) -> dict[str, Any]:
    """form 0: B in place; 1: packed; 2: copied by the kernel."""
    a, b, add = d(m, k), d(k, n), d(m, n)
    given = {"M": m, "N": n, "K": k, "a": a, "a_row": RowOf("a"), "a_col": 1, "b": packed(d, b) if form == 1 else b, "b_form": form, "b_row": 0 if form == 1 else RowOf("b"), "b_col": 1}
    where = {"c": Out(a @ b + (0 if bare else add)), "c_row": RowOf("c"), "add": None if bare else add, "add_row": 0 if bare else RowOf("add")}
    return {"task": Task(GemmTask, {**given, **where})}


@spec("gemm_block", op="matmul", steps=32)
def gemm_block(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    """Ragged in M, N or K by turns, up to the lengths of the others."""
    other = int(d.below(50))
    m, k = ((rows, other), (other, rows), (other, int(d.below(50))))[n % 3]
    return product(d, m, n, k, int(d.below(3)), bare)


# --- attention: rows = T, n = S ------------------------------------------------------------------------------------------------------------


class AttentionTask(ctypes.Structure):
    _fields_ = [
        *((f, ctypes.c_int64) for f in ("T", "S", "D", "E")), ("scale", ctypes.c_double), ("causal", ctypes.c_int), *((f, ctypes.c_void_p) for f in ("q", "k", "v")),
        *((f, ctypes.c_int64) for f in ("q_t", "k_t", "v_t")), ("o", ctypes.c_void_p), ("o_t", ctypes.c_int64), ("mask", ctypes.c_void_p), ("allowed", ctypes.c_void_p), ("mask_t", ctypes.c_int64),
        ("mask_s", ctypes.c_int64), ("keep", ctypes.c_void_p), ("keep_t", ctypes.c_int64), ("keep_s", ctypes.c_int64), ("keep_scale", ctypes.c_double), ("p", ctypes.c_void_p), ("p_row", ctypes.c_int64),
        ("lse", ctypes.c_void_p), ("scratch", ctypes.c_void_p), ("d_o", ctypes.c_void_p), ("d_o_t", ctypes.c_int64), *((f, ctypes.c_void_p) for f in ("dq", "dk", "dv")),
        *((f, ctypes.c_int64) for f in ("dq_t", "dk_t", "dv_t")), ("add", ctypes.c_int), ("part", ctypes.c_int64), ("parts", ctypes.c_int64), ("dmask", ctypes.c_void_p),
    ]  # fmt: skip


@spec("attention_forward", "attention_backward", op="scaled_dot_product_attention", steps=32, least=1, rows=(1, 3, 16, 37))
def attention(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    """By turns causal, with a mask that is added, one of what is allowed, none; odd lengths drop out and keep no probabilities."""
    size, values, word = 1 + int(d.below(20)), 1 + int(d.below(20)), 16 if d.dtype == "float32" else 8
    q, k, v, d_o = (d(*shape, lo=-0.75, hi=0.75) for shape in ((rows, size), (n, size), (n, values), (rows, values)))
    kind = (n + rows) % 4
    mask, allowed, keep = d(rows, n), d(rows, n) < 1, d(rows, n) < 1
    unseen = {0: np.arange(n) > np.arange(rows)[:, None], 2: ~allowed}.get(kind, np.zeros((rows, n), bool))
    s = np.where(unseen, -np.inf, 0.5 * (q @ k.T) + (mask if kind == 1 else 0))
    e, kept = np.exp(s), keep * 1.25 if bare else np.ones((rows, n))
    total = e.sum(1, keepdims=True)
    with np.errstate(divide="ignore"):
        lse = np.where(total > 0, np.log(total), np.inf)[:, 0]
    p = e / np.where(total > 0, total, 1)
    p_row, short = -(-rows // 16) * 16, rows <= word and n <= word
    given = {
        "T": rows, "S": n, "D": size, "E": values, "scale": 0.5, "causal": int(kind == 0), "q": q, "q_t": RowOf("q"), "k": k, "k_t": RowOf("k"), "v": v, "v_t": RowOf("v"), "mask": mask if kind == 1 else None,
        "allowed": allowed.astype(np.uint8) if kind == 2 else None, "mask_t": n, "mask_s": 1, "keep": keep.astype(np.uint8) if bare else None, "keep_t": n, "keep_s": 1, "keep_scale": 1.25, "p_row": p_row,
        "scratch": Scratch(2 * max(n, 16) * 4 * word), "parts": 1,
    }  # fmt: skip
    if name == "attention_forward":
        where = {"o": Out((p * kept) @ v), "o_t": RowOf("o"), "p": None if bare else Scratch(n * p_row), "lse": Out(lse)}
        return {"task": Task(AttentionTask, given | where), "first": list(range(0, rows, 4 * word))}
    wide = np.full((n, p_row), 0.5)  # queries that do not exist
    wide[:, :rows] = p.T
    again = bare and not short  # probabilities from lse
    p, lse = (np.exp(s - d.round(lse)[:, None]), d.round(lse)) if again else (d.round(p), lse)
    dp = (d_o @ v.T) * kept
    ds = p * (dp - (dp * p).sum(1, keepdims=True))
    where = {"d_o": d_o, "d_o_t": RowOf("d_o"), "p": None if again else d.round(wide), "lse": lse if again else None, "dq": Out(0.5 * ds @ k), "dq_t": RowOf("dq"), "dk": Out(0.5 * ds.T @ q), "dk_t": RowOf("dk")}
    where |= {"dv": Out((p * kept).T @ d_o), "dv_t": RowOf("dv"), "dmask": Out(ds) if kind == 1 else None}
    return {"task": Task(AttentionTask, given | where)}


# --- integers ----------------------------------------------------------------------------------------------------------------------------


@spec("i64_cumsum_rows", op="cumsum", steps=0)
@spec("i64_prod_rows", op="prod", steps=0)
def whole_by_row(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    x = d.below(1 << 40, rows, n) - (1 << 39)
    return {"y": Out({"i64_cumsum_rows": x.cumsum(1), "i64_prod_rows": x.prod(1)}[name]), "x": x, "rows": rows, "n": n}


@spec("i64_max_rows", op="max", steps=0, least=1)
@spec("i64_min_rows", op="min", steps=0, least=1)
def whole_extreme(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    x = d.below(9, rows, n) - 4
    best, where = (x.max(1), x.argmax(1)) if "max" in name else (x.min(1), x.argmin(1))
    return {"y": Out(best), "index": None if bare else Out(where), "x": x, "rows": rows, "n": n}


@spec("i64_count_outside", op="index", steps=0, rows=(1,))
def outside(d: Draw, rows: int, n: int, bare: bool, name: str) -> dict[str, Any]:
    x = d.below(9, n) - 4
    return {"count": Out(((x < -2) | (x >= 3)).sum()), "x": x, "n": n, "low": -2, "size": 5}


# --- elementwise loops: those that reference.py has not ------------------------------------------------------------------------------------


def trigamma(x: Any) -> Any:
    z = x + 20
    return sum(1 / (x + k) ** 2 for k in range(20)) + 1 / z + 1 / (2 * z**2) + 1 / (6 * z**3) - 1 / (30 * z**5) + 1 / (42 * z**7) - 1 / (30 * z**9)


def gelu_tanh_slope(x: Any) -> Any:
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    return (1 + t + x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)) / 2


LOOPS: dict[str, Callable[..., Any]] = {
    "cube": lambda x: x * x * x, "reciprocal_square": lambda x: 1 / (x * x), "gelu_erf": gelu, "gelu_tanh": lambda x: gelu(x, "tanh"), "bitwise_not": np.invert,
    "tanh_backward": lambda a, b: a * (1 - b * b), "sigmoid_backward": lambda a, b: a * (1 - b) * b, "relu_backward": lambda a, b: a * (b > 0), "gelu_erf_backward": lambda a, b: a * ((1 + ORACLES["erf"](b / np.sqrt(2))) / 2 + b * np.exp(-b * b / 2) / np.sqrt(2 * np.pi)),
    "gelu_tanh_backward": lambda a, b: a * gelu_tanh_slope(b), "silu_backward": lambda a, b: a * sigmoid(b) * (1 + b * (1 - sigmoid(b))), "softplus_backward": lambda a, b: a * sigmoid(b),
    "logsigmoid_backward": lambda a, b: a * sigmoid(-b), "digamma_backward": lambda a, b: a * trigamma(b), "trunc_divide": lambda a, b: np.trunc(a / b).astype(a.dtype), "lshift": np.left_shift, "rshift": np.right_shift,
    "axpy": lambda a, b, c: a + c * b, "square_backward": lambda a, b, c: a * b * c, "cube_backward": lambda a, b, c: a * b * b * c, "clamp": lambda a, b, c: np.minimum(np.maximum(a, b), c),
    "addcmul": lambda a, b, c, d: a + d * b * c, "addcdiv": lambda a, b, c, d: a + d * b / c, "where": lambda a, b, c: np.where(a, b, c), "leaky_relu": lambda a, b: np.where(a > 0, a, a * b),
    "elu": lambda a, b: np.where(a > 0, a, b * np.expm1(a)),
}  # fmt: skip
LOOP_OPS = {"cube": "pow", "reciprocal_square": "pow", "gelu_erf": "gelu", "gelu_tanh": "gelu", "cube_backward": "pow", "square_backward": "square", "axpy": "add", "trunc_divide": "div", "gelu_erf_backward": "gelu", "gelu_tanh_backward": "gelu", "cast": "to", "copy_2d": "clone"}
