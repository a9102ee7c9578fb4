"""relu, tanh, sigmoid, silu, gelu and dropout: element by element, any shape, float32 or float64.

y and dx have x's shape, dtype and order in memory. Invariant, conventions, errors: see the package's docstring. Read
next: rows.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ._pair import Array, Need, pair


class ReluSaved(NamedTuple):
    """What relu_backward reads."""

    y: Array
    call: Any


class TanhSaved(NamedTuple):
    """What tanh_backward reads."""

    y: Array
    call: Any


class SigmoidSaved(NamedTuple):
    """What sigmoid_backward reads."""

    y: Array
    call: Any


class SiluSaved(NamedTuple):
    """What silu_backward reads."""

    x: Array
    call: Any


class GeluSaved(NamedTuple):
    """What gelu_backward reads."""

    x: Array
    call: Any


class DropoutSaved(NamedTuple):
    """What dropout_backward reads."""

    mask: Array | None
    call: Any


_relu = pair("relu", "relu", "x", ReluSaved)
_tanh = pair("tanh", "tanh", "x", TanhSaved)
_sigmoid = pair("sigmoid", "sigmoid", "x", SigmoidSaved)
_silu = pair("silu", "silu", "x", SiluSaved)
_gelu = pair("gelu", "gelu", "x", GeluSaved, "approximate:i")
_dropout = pair("dropout", "dropout", "x", DropoutSaved, "p:f training:b")
_APPROXIMATE = {"none": 0, "tanh": 1}


def relu_forward(x: Array, *, out: Array | None = None) -> tuple[Array, ReluSaved]:
    """y = max(x, 0), NaN stays NaN. Any shape, float32 or float64.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.relu.html
    """
    return _relu.forward(x, out)


def relu_backward(dy: Array, saved: ReluSaved, *, need: Need | None = None, out: Array | None = None) -> Array:
    """dx = dy where y > 0, else 0 (so 0 at x = 0, as PyTorch defines it)."""
    return _relu.backward(dy, saved, need, out)


def tanh_forward(x: Array, *, out: Array | None = None) -> tuple[Array, TanhSaved]:
    """y = tanh(x). Any shape, float32 or float64.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tanh.html
    """
    return _tanh.forward(x, out)


def tanh_backward(dy: Array, saved: TanhSaved, *, need: Need | None = None, out: Array | None = None) -> Array:
    """dx = dy (1 - y^2), from the saved output y alone."""
    return _tanh.backward(dy, saved, need, out)


def sigmoid_forward(x: Array, *, out: Array | None = None) -> tuple[Array, SigmoidSaved]:
    """y = 1 / (1 + exp(-x)). Any shape, float32 or float64.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sigmoid.html
    """
    return _sigmoid.forward(x, out)


def sigmoid_backward(dy: Array, saved: SigmoidSaved, *, need: Need | None = None, out: Array | None = None) -> Array:
    """dx = dy y (1 - y), from the saved output y alone."""
    return _sigmoid.backward(dy, saved, need, out)


def silu_forward(x: Array, *, out: Array | None = None) -> tuple[Array, SiluSaved]:
    """y = x sigmoid(x), also called swish. Any shape, float32 or float64.

    Source: Elfwing, Uchibe, Doya, Sigmoid-Weighted Linear Units, arXiv:1702.03118.
    """
    return _silu.forward(x, out)


def silu_backward(dy: Array, saved: SiluSaved, *, need: Need | None = None, out: Array | None = None) -> Array:
    """dx = dy s (1 + x (1 - s)) with s = sigmoid(x)."""
    return _silu.backward(dy, saved, need, out)


def gelu_forward(x: Array, approximate: str = "none", *, out: Array | None = None) -> tuple[Array, GeluSaved]:
    """y = x Phi(x), Phi the standard normal distribution function. Any shape, float32 or float64.

    approximate: "none" takes Phi from erf; "tanh" takes 0.5 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); anything else
    raises RuntimeError. Source: Hendrycks and Gimpel, Gaussian Error Linear Units, arXiv:1606.08415.
    """
    if approximate not in _APPROXIMATE:
        raise RuntimeError(f"gelu: approximate is {approximate!r}, expected 'none' or 'tanh'")
    return _gelu.forward(x, _APPROXIMATE[approximate], out)


def gelu_backward(dy: Array, saved: GeluSaved, *, need: Need | None = None, out: Array | None = None) -> Array:
    """dx = dy (Phi(x) + x Phi'(x)), of the same approximation as in forward."""
    return _gelu.backward(dy, saved, need, out)


def dropout_forward(
    x: Array, p: float = 0.5, training: bool = True, *, out: Array | None = None
) -> tuple[Array, DropoutSaved]:
    """y = x mask / (1 - p): every element becomes 0 with probability p. Any shape, float32 or float64.

    The mask is drawn from fastnn's default generator (`fastnn.manual_seed`), in the order of x's memory, and equals the
    one PyTorch draws from the same seed. Outside training and for p = 0 nothing is drawn and y is a copy of x. p
    outside [0, 1] raises RuntimeError. saved.mask: what was kept, as bool; None where nothing was drawn.
    Source: Srivastava et al., Dropout, JMLR 15 (2014) 1929.
    """
    return _dropout.forward(x, p, training, out)


def dropout_backward(dy: Array, saved: DropoutSaved, *, need: Need | None = None, out: Array | None = None) -> Array:
    """dx = dy mask / (1 - p), with the mask of forward."""
    return _dropout.backward(dy, saved, need, out)
