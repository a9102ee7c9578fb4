"""matmul, matmul_fused and linear: the products.

Conventions and errors: see the package's docstring. Read next: activations.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ._pair import Array, Need, pair


class MatmulSaved(NamedTuple):
    """What matmul_backward reads."""

    a: Array
    b: Array
    call: Any


class LinearSaved(NamedTuple):
    """What linear_backward reads."""

    x: Array
    w: Array
    call: Any


class MatmulFusedSaved(NamedTuple):
    """What matmul_fused_backward reads. z: a b + bias, where the activation's slope cannot be had from y, else None."""

    a: Array
    b: Array
    y: Array
    z: Array | None
    call: Any


_matmul = pair("matmul", "matmul", "a b", MatmulSaved)
_matmul_fused = pair(
    "matmul_fused",
    "matmul_fused",
    "a b bias residual",
    MatmulFusedSaved,
    "transpose_a:b transpose_b:b activation:i",
)
_ACTIVATIONS = {"none": 0, "relu": 1, "tanh": 2, "gelu": 3, "gelu_tanh": 4}
_linear = pair("linear", "linear", "x w b", LinearSaved)
Outs = tuple[Array | None, ...]


def matmul_forward(a: Array, b: Array, *, out: Array | None = None) -> tuple[Array, MatmulSaved]:
    """y = a b, with the rules of `numpy.matmul`: (..., M, K) (..., K, N) -> (..., M, N), leading dimensions broadcast.

    Transposes, bias, an activation: `matmul_fused_forward`.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.matmul.html
    """
    return _matmul.forward(a, b, out)


def matmul_backward(
    dy: Array, saved: MatmulSaved, *, need: Need | None = None, out: Outs | None = None
) -> tuple[Array, Array]:
    """(da, db): da = dy b^T, db = a^T dy, summed over the dimensions that were broadcast."""
    return _matmul.backward(dy, saved, need, out)


def matmul_fused_forward(
    a: Array,
    b: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    activation: str = "none",
    out: Array | None = None,
) -> tuple[Array, MatmulFusedSaved]:
    """y = activation(a b + bias) + residual in one pass over y, with the bits of the separate steps.

    a (..., M, K), or (..., K, M) with transpose_a; b (..., K, N), or (..., N, K) with transpose_b: nothing is moved to
    transpose it. At least two dimensions; leading ones broadcast. bias (N,) or None, residual of y's shape (..., M, N)
    or None. activation: "none", "relu", "tanh", "gelu" (by erf) or "gelu_tanh"; anything else raises ValueError.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.matmul.html
    """
    if activation not in _ACTIVATIONS:
        raise ValueError(f"matmul_fused: activation is {activation!r}, expected one of {', '.join(_ACTIVATIONS)}")
    return _matmul_fused.forward(a, b, bias, residual, transpose_a, transpose_b, _ACTIVATIONS[activation], out)


def matmul_fused_backward(
    dy: Array, saved: MatmulFusedSaved, *, need: Need | None = None, out: Outs | None = None
) -> tuple[Array, Array, Array | None, Array | None]:
    """(da, db, dbias, dresidual): with dz = dy activation'(a b + bias), da = dz b^T and db = a^T dz (transposed where a
    or b was, summed over the dimensions that were broadcast), dbias = the sum of dz over all rows, dresidual = dy."""
    return _matmul_fused.backward(dy, saved, need, out)


def linear_forward(
    x: Array, w: Array, b: Array | None = None, *, out: Array | None = None
) -> tuple[Array, LinearSaved]:
    """y = x w^T + b: x (..., K), w (N, K), b (N,) or None -> y (..., N).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear.html
    """
    return _linear.forward(x, w, b, out)


def linear_backward(
    dy: Array, saved: LinearSaved, *, need: Need | None = None, out: Outs | None = None
) -> tuple[Array, Array, Array | None]:
    """(dx, dw, db): dx = dy w, dw = dy^T x and db = the sum of dy, both over all leading dimensions."""
    return _linear.backward(dy, saved, need, out)
