"""matmul and linear: the products.

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


_matmul = pair("matmul", "matmul", "a b", MatmulSaved)
_linear = pair("linear", "linear", "x w b", LinearSaved)
Outs = tuple[Array | None, ...]


def matmul_forward(a: Array, b: Array, *, out: Array | None = None) -> tuple[Array, MatmulSaved]:
    """y = a b, with the rules of `numpy.matmul`: (..., M, K) (..., K, N) -> (..., M, N), leading dimensions broadcast.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.matmul.html
    """
    return _matmul.forward(a, b, out)


def matmul_backward(
    dy: Array, saved: MatmulSaved, *, need: Need | None = None, out: Outs | None = None
) -> tuple[Array, Array]:
    """(da, db): da = dy b^T, db = a^T dy, summed over the dimensions that were broadcast."""
    return _matmul.backward(dy, saved, need, out)


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
