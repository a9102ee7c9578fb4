"""embedding and cross_entropy: what reads token ids and targets.

Conventions and errors: see the package's docstring. Read next: attention.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._pair import Array, Need, pair


class EmbeddingSaved(NamedTuple):
    """What embedding_backward reads."""

    ids: Array
    call: Any


class CrossEntropySaved(NamedTuple):
    """What cross_entropy_backward reads. total: the sum of the counted weights; parts (N, 2): of each of
    the N rows the largest x and the log of the sum of e^(x - largest)."""

    x: Array
    targets: Array
    weight: Array | None
    total: Array
    parts: Array
    call: Any


_embedding = pair("embedding", "embedding", "w ids:any", EmbeddingSaved, "padding_idx:i scale_grad_by_freq:i")
_cross_entropy = pair(
    "cross_entropy",
    "cross_entropy",
    "x targets:any weight",
    CrossEntropySaved,
    "ignore_index:i reduction:i label_smoothing:f",
    wanted="x",
)
_REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


def embedding_forward(
    ids: Array, w: Array, padding_idx: int | None = None, *, out: Array | None = None
) -> tuple[Array, EmbeddingSaved]:
    """y[..., :] = w[ids[...], :]: ids of any shape, int64 or int32, w (V, C) -> y (..., C).

    The row padding_idx gets no gradient. An id outside [0, V) raises IndexError.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.embedding.html
    """
    if padding_idx is None:
        padding_idx = -1
    elif isinstance(w, np.ndarray) and w.ndim == 2:
        if not -w.shape[0] <= padding_idx < w.shape[0]:
            raise AssertionError(f"embedding: padding_idx is {padding_idx}, expected within the {w.shape[0]} rows of w")
        padding_idx %= w.shape[0]
    return _embedding.forward(w, ids, padding_idx, 0, out)


def embedding_backward(
    dy: Array, saved: EmbeddingSaved, *, need: Need | None = None, out: Array | None = None
) -> Array:
    """dw (V, C): dw[v] = the sum of dy[r] over the places r with ids[r] = v, added in the order of r."""
    return _embedding.backward(dy, saved, need, out)


def cross_entropy_forward(
    x: Array,
    targets: Array,
    weight: Array | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    out: Array | None = None,
) -> tuple[Array, CrossEntropySaved]:
    """loss[r] = weight[t] (lse(x[r]) - x[r, t]) with t = targets[r], lse(x) = log(sum(exp(x))), in one pass.

    x (N, V), (V,) or (N, V, d1, ...) logits, targets (N,), () or (N, d1, ...) int64, weight (V,) or None. reduction:
    "mean" (over the weights of the targets that count) and "sum" give a 0-d array, "none" one of targets' shape. A
    target equal to ignore_index counts nothing. label_smoothing e in [0, 1] mixes in e / V of every class. A target
    outside [0, V) raises IndexError. saved.lse: per row; saved.total: the sum of the counted weights.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html
    """
    if reduction not in _REDUCTIONS:
        raise ValueError(f"cross_entropy: reduction is {reduction!r}, expected 'none', 'mean' or 'sum'")
    return _cross_entropy.forward(x, targets, weight, ignore_index, _REDUCTIONS[reduction], label_smoothing, out)


def cross_entropy_backward(
    dy: Array | float, saved: CrossEntropySaved, *, need: Need | None = None, out: Array | None = None
) -> Array:
    """dx = scale weight[t] (softmax(x) - onehot(t)), row by row; scale is dy, for the mean dy / total."""
    return _cross_entropy.backward(dy, saved, need, out)
