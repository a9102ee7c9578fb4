"""layer_norm, rms_norm, softmax and log_softmax: each row by itself.

Conventions and errors: see the package's docstring. Read next: tables.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ._pair import Array, Need, pair


class LayerNormSaved(NamedTuple):
    """What layer_norm_backward reads. mean, rstd: one number per row."""

    x: Array
    w: Array | None
    mean: Array
    rstd: Array
    call: Any


class RmsNormSaved(NamedTuple):
    """What rms_norm_backward reads. rstd: one number per row."""

    x: Array
    w: Array | None
    rstd: Array
    call: Any


class SoftmaxSaved(NamedTuple):
    """What softmax_backward reads."""

    y: Array
    call: Any


class LogSoftmaxSaved(NamedTuple):
    """What log_softmax_backward reads."""

    y: Array
    call: Any


_layer_norm = pair("layer_norm", "layer_norm", "x w b", LayerNormSaved, "eps:f normalized_shape:l")
_rms_norm = pair("rms_norm", "rms_norm", "x w", RmsNormSaved, "eps:F normalized_shape:l")
_softmax = pair("softmax", "softmax", "x", SoftmaxSaved, "dim:i dtype:i")
_log_softmax = pair("log_softmax", "log_softmax", "x", LogSoftmaxSaved, "dim:i dtype:i")
Outs = tuple[Array | None, ...]


def layer_norm_forward(
    x: Array,
    w: Array | None = None,
    b: Array | None = None,
    eps: float = 1e-5,
    normalized_shape: Sequence[int] | None = None,
    *,
    out: Array | None = None,
) -> tuple[Array, LayerNormSaved]:
    """y = (x - mean) rstd w + b over the last dimensions, rstd = 1 / sqrt(var + eps), var with divisor n.

    x (..., C), w (C,) or None, b (C,) or None -> y like x. normalized_shape: how many last dimensions count; w's shape
    by default, or the last dimension. Mean and variance of long rows by Welford's recurrence.
    saved.mean, saved.rstd: one number per row. Source: Ba, Kiros, Hinton, Layer Normalization, arXiv:1607.06450;
    Welford, Technometrics 4 (1962) 419.
    """
    if normalized_shape is None:
        normalized_shape = w.shape if isinstance(w, np.ndarray) else np.shape(x)[-1:]
    return _layer_norm.forward(x, w, b, eps, normalized_shape, out)


def layer_norm_backward(
    dy: Array, saved: LayerNormSaved, *, need: Need | None = None, out: Outs | None = None
) -> tuple[Array, Array | None, Array | None]:
    """(dx, dw, db): with h = (x - mean) rstd and g = dy w, dx = rstd (g - avg(g) - h avg(g h)), dw = the sum of dy h
    and db = the sum of dy over all rows."""
    return _layer_norm.backward(dy, saved, need, out)


def rms_norm_forward(
    x: Array,
    w: Array | None = None,
    eps: float | None = None,
    normalized_shape: Sequence[int] | None = None,
    *,
    out: Array | None = None,
) -> tuple[Array, RmsNormSaved]:
    """y = x rstd w over the last dimensions, rstd = 1 / sqrt(avg(x^2) + eps). x (..., C), w (C,) or None -> y like x.

    eps: the dtype's epsilon by default. saved.rstd: one number per row.
    Source: Zhang and Sennrich, Root Mean Square Layer Normalization, arXiv:1910.07467.
    """
    if normalized_shape is None:
        normalized_shape = w.shape if isinstance(w, np.ndarray) else np.shape(x)[-1:]
    return _rms_norm.forward(x, w, eps, normalized_shape, out)


def rms_norm_backward(
    dy: Array, saved: RmsNormSaved, *, need: Need | None = None, out: Outs | None = None
) -> tuple[Array, Array | None]:
    """(dx, dw): with h = x rstd and g = dy w, dx = rstd (g - h avg(g h)) and dw = the sum of dy h over all rows."""
    return _rms_norm.backward(dy, saved, need, out)


def softmax_forward(x: Array, dim: int = -1, *, out: Array | None = None) -> tuple[Array, SoftmaxSaved]:
    """y = exp(x - max) / sum(exp(x - max)) along dim. Any shape; a dim that is not there raises IndexError.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html
    """
    return _softmax.forward(x, dim, -1, out)


def softmax_backward(dy: Array, saved: SoftmaxSaved, *, need: Need | None = None, out: Array | None = None) -> Array:
    """dx = y (dy - sum(dy y)) along the dimension of forward, from the saved output y alone."""
    return _softmax.backward(dy, saved, need, out)


def log_softmax_forward(x: Array, dim: int = -1, *, out: Array | None = None) -> tuple[Array, LogSoftmaxSaved]:
    """y = x - max - log(sum(exp(x - max))) along dim. Any shape; a dim that is not there raises IndexError.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html
    """
    return _log_softmax.forward(x, dim, -1, out)


def log_softmax_backward(
    dy: Array, saved: LogSoftmaxSaved, *, need: Need | None = None, out: Array | None = None
) -> Array:
    """dx = dy - exp(y) sum(dy) along the dimension of forward, from the saved output y alone."""
    return _log_softmax.backward(dy, saved, need, out)
