"""Forward and backward by hand: NumPy arrays in, NumPy arrays out.

Each pair is `X_forward(...) -> (y, saved)` and `X_backward(dy, saved) -> gradients`: the very functions that the tape
calls for a Tensor, so the numbers are those of `fastnn.nn.functional`, bit for bit.

Conventions, for all pairs:

- Arrays are float32 or float64, all of one call alike; ids and targets are int64 or int32. Any strides, read-only ones
  too; memory is shared, not copied (only negative strides, foreign byte order and odd addresses cost a copy).
- `saved` is a named tuple of arrays that the caller owns: inputs, outputs and by-products (`mean rstd lse gates`) that
  backward reads, and `call`, opaque bytes with the shapes and options of the forward call. Nothing else remembers the
  call; arrays in it must keep their values until backward has run. It can be pickled.
- Gradients have the shape and dtype of their input and memory of their own. One differentiable input: its gradient
  alone. Several: a tuple in the order of the arguments, None for an optional one that was absent.
- `dy` has the shape and dtype of the output; a Python number stands for a 0-d one.
- Something that is no array raises TypeError, a wrong dtype or shape RuntimeError, an id or target out of range
  IndexError, as PyTorch does. The message names the op, the argument (as PyTorch calls it), what was found and wanted.

Letters: B batch, T time, C channels, H hidden units, V vocabulary. Read next: csrc/python/kernels.c.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _C

__all__ = []  # filled below: all pairs

Array = np.ndarray[Any, Any]
_FLOATS = (np.float32, np.float64)


def _check(op: str, name: str, value: Any, types: Sequence[type]) -> None:
    """`value` is an array of one of `types`; no types given: C looks at it."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{op}(): argument '{name}' must be a NumPy array, not {type(value).__name__}")
    if types and value.dtype.type not in types:
        expected = " or ".join(np.dtype(t).name for t in types)
        raise RuntimeError(f"{op}: {name} has dtype {value.dtype.name}, expected {expected}")


class _Pair:
    """One op of the library as two functions on arrays; what is saved comes from the op's descriptor."""

    def __init__(
        self,
        op: str,
        name: str,
        inputs: str,
        outputs: str = "y",
        extras: str = "",
        *,
        types: dict[str, Sequence[type]] | None = None,
        wanted: str = "",
    ) -> None:
        saved_in, saved_out, n_extra, differentiable = _C._kernel_spec(op)
        self.op, self.name, self.inputs, self.outputs = op, name, inputs.split(), outputs.split()
        self.types = [(types or {}).get(n, _FLOATS) for n in self.inputs]
        fields = [n for i, n in enumerate(self.inputs) if saved_in >> i & 1]
        fields += [n for i, n in enumerate(self.outputs) if saved_out >> i & 1] + extras.split()
        assert len(extras.split()) == n_extra, f"{op} saves {n_extra} by-products"
        make: Any = namedtuple
        self.Saved = make(f"{name}_saved", [*fields, "call"], module=__name__)
        self.Saved.__doc__ = f"What {name}_backward reads."
        globals()[f"{name}_saved"] = self.Saved  # where pickle looks for it
        self.names = tuple(f"saved.{n}" for n in fields)
        self.wanted = [
            i for i, n in enumerate(self.inputs) if (n in wanted.split() if wanted else differentiable >> i & 1)
        ]
        self.wanted_bits = sum(1 << i for i in self.wanted)

    def forward(
        self,
        arrays: tuple[Array | None, ...],
        values: tuple[int | float | None, ...] = (),
        lists: tuple[Sequence[int] | None, ...] = (),
    ) -> tuple[Any, Any]:
        """Runs the op; None stands for an absent optional array."""
        for n, a, types in zip(self.inputs, arrays, self.types, strict=True):
            if a is not None:
                _check(self.name, n, a, types)
        outputs, saved, call = _C._kernel_forward(self.op, arrays, values, lists)
        return outputs[0] if len(outputs) == 1 else outputs, self.Saved(*saved, call)

    def backward(self, dy: Any, saved: Any) -> Any:
        """The gradients of the wanted inputs."""
        if type(saved) is not self.Saved:
            found = type(saved).__name__
            raise TypeError(f"{self.name}_backward(): argument 'saved' must come from {self.name}_forward, not {found}")
        dys = dy if isinstance(dy, tuple) else (dy,)
        if not all(isinstance(d, np.ndarray) or d is None for d in dys):
            dys = tuple(self._number(d, saved) for d in dys)
        gradients = _C._kernel_backward(self.op, dys, saved[:-1], self.names, saved.call, self.wanted_bits)
        if len(self.wanted) == 1:
            return gradients[self.wanted[0]]
        return gradients if len(self.wanted) == len(gradients) else tuple(gradients[i] for i in self.wanted)

    def _number(self, dy: Any, saved: Any) -> Any:
        """A number as a 0-d gradient: Python's in the dtype of the call, NumPy's in its own."""
        if isinstance(dy, np.generic):
            return np.asarray(dy)
        if isinstance(dy, (int, float)):
            like = [a.dtype for a in saved if isinstance(a, np.ndarray) and a.dtype.type in _FLOATS]
            return np.asarray(dy, like[0] if like else np.float32)
        if dy is not None:
            _check(f"{self.name}_backward", "dy", dy, ())
        return dy


# ---- products ----

_matmul = _Pair("matmul", "matmul", "a b")
_linear = _Pair("linear", "linear", "x w b")


def matmul_forward(a: Array, b: Array) -> tuple[Array, Any]:
    """y = a b, with the rules of `numpy.matmul`: (..., M, K) (..., K, N) -> (..., M, N), leading dimensions broadcast.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.matmul.html
    """
    return _matmul.forward((a, b))


def matmul_backward(dy: Array, saved: Any) -> tuple[Array, Array]:
    """(da, db): da = dy b^T, db = a^T dy, summed over the dimensions that were broadcast."""
    return _matmul.backward(dy, saved)


def linear_forward(x: Array, w: Array, b: Array | None = None) -> tuple[Array, Any]:
    """y = x w^T + b: x (..., K), w (N, K), b (N,) or None -> y (..., N).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear.html
    """
    return _linear.forward((x, w, b))


def linear_backward(dy: Array, saved: Any) -> tuple[Array, Array, Array | None]:
    """(dx, dw, db): dx = dy w, dw = dy^T x and db = the sum of dy, both over all leading dimensions."""
    return _linear.backward(dy, saved)


# ---- activations: any shape, the gradient has x's ----

_relu = _Pair("relu", "relu", "x")
_tanh = _Pair("tanh", "tanh", "x")
_sigmoid = _Pair("sigmoid", "sigmoid", "x")
_gelu = _Pair("gelu", "gelu", "x")


def relu_forward(x: Array) -> tuple[Array, Any]:
    """y = max(x, 0), NaN stays NaN. Any shape, float32 or float64."""
    return _relu.forward((x,))


def relu_backward(dy: Array, saved: Any) -> Array:
    """dx = dy where y > 0, else 0 (so 0 at x = 0, as PyTorch defines it)."""
    return _relu.backward(dy, saved)


def tanh_forward(x: Array) -> tuple[Array, Any]:
    """y = tanh(x). Any shape, float32 or float64."""
    return _tanh.forward((x,))


def tanh_backward(dy: Array, saved: Any) -> Array:
    """dx = dy (1 - y^2), from the saved output y alone."""
    return _tanh.backward(dy, saved)


def sigmoid_forward(x: Array) -> tuple[Array, Any]:
    """y = 1 / (1 + exp(-x)). Any shape, float32 or float64."""
    return _sigmoid.forward((x,))


def sigmoid_backward(dy: Array, saved: Any) -> Array:
    """dx = dy y (1 - y), from the saved output y alone."""
    return _sigmoid.backward(dy, saved)


def gelu_forward(x: Array, approximate: str = "none") -> tuple[Array, Any]:
    """y = x Phi(x), Phi the standard normal distribution function. Any shape.

    approximate: "none" takes Phi from erf; "tanh" takes 0.5 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); anything else
    raises RuntimeError. Source: Hendrycks and Gimpel, Gaussian Error Linear Units, arXiv:1606.08415.
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate is {approximate!r}, expected 'none' or 'tanh'")
    return _gelu.forward((x,), (int(approximate == "tanh"),))


def gelu_backward(dy: Array, saved: Any) -> Array:
    """dx = dy (Phi(x) + x Phi'(x)), of the same approximation as in forward."""
    return _gelu.backward(dy, saved)


# ---- tables and rows ----

_embedding = _Pair("embedding", "embedding", "w ids", types={"ids": ()})
_layer_norm = _Pair("layer_norm", "layer_norm", "x w b", extras="mean rstd")
_rms_norm = _Pair("rms_norm", "rms_norm", "x w", extras="rstd")
_softmax = _Pair("softmax", "softmax", "x")
_cross_entropy = _Pair("cross_entropy", "cross_entropy", "x targets weight", extras="total lse", types={"targets": ()})
_REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


def embedding_forward(ids: Array, w: Array, padding_idx: int | None = None) -> tuple[Array, Any]:
    """y[..., :] = w[ids[...], :]: ids of any shape, int64 or int32, w (V, C) -> y (..., C).

    The row padding_idx gets no gradient. An id outside [0, V) raises IndexError.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.embedding.html
    """
    if padding_idx is not None and isinstance(w, np.ndarray) and w.ndim == 2:
        if not -w.shape[0] <= padding_idx < w.shape[0]:
            raise AssertionError(f"embedding: padding_idx is {padding_idx}, expected within the {w.shape[0]} rows of w")
        padding_idx %= w.shape[0]
    return _embedding.forward((w, ids), (-1 if padding_idx is None else padding_idx, 0))


def embedding_backward(dy: Array, saved: Any) -> Array:
    """dw (V, C): dw[v] = the sum of dy[r] over the places r with ids[r] = v, added in the order of r."""
    return _embedding.backward(dy, saved)


def _normalized(x: Array, w: Array | None, shape: Sequence[int] | None) -> tuple[int, ...]:
    if shape is not None:
        return tuple(shape)
    return tuple(w.shape if isinstance(w, np.ndarray) else np.shape(x)[-1:])


def layer_norm_forward(
    x: Array,
    w: Array | None = None,
    b: Array | None = None,
    eps: float = 1e-5,
    normalized_shape: Sequence[int] | None = None,
) -> tuple[Array, Any]:
    """y = (x - mean) rstd w + b over the last dimensions, rstd = 1 / sqrt(var + eps), var with divisor n.

    x (..., C), w (C,) or None, b (C,) or None -> y like x. normalized_shape: how many last dimensions count; w's shape
    by default, or the last dimension. Mean and variance of long rows by Welford's recurrence.
    saved.mean, saved.rstd: one number per row. Source: Ba, Kiros, Hinton, Layer Normalization, arXiv:1607.06450;
    Welford, Technometrics 4 (1962) 419.
    """
    return _layer_norm.forward((x, w, b), (float(eps),), (_normalized(x, w, normalized_shape),))


def layer_norm_backward(dy: Array, saved: Any) -> tuple[Array, Array | None, Array | None]:
    """(dx, dw, db): with h = (x - mean) rstd and g = dy w, dx = rstd (g - avg(g) - h avg(g h)), dw = the sum of dy h
    and db = the sum of dy over all rows."""
    return _layer_norm.backward(dy, saved)


def rms_norm_forward(
    x: Array,
    w: Array | None = None,
    eps: float | None = None,
    normalized_shape: Sequence[int] | None = None,
) -> tuple[Array, Any]:
    """y = x rstd w over the last dimensions, rstd = 1 / sqrt(avg(x^2) + eps). x (..., C), w (C,) or None -> y like x.

    eps: the dtype's epsilon by default. saved.rstd: one number per row.
    Source: Zhang and Sennrich, Root Mean Square Layer Normalization, arXiv:1910.07467.
    """
    return _rms_norm.forward((x, w), (math.nan if eps is None else float(eps),), (_normalized(x, w, normalized_shape),))


def rms_norm_backward(dy: Array, saved: Any) -> tuple[Array, Array | None]:
    """(dx, dw): with h = x rstd and g = dy w, dx = rstd (g - h avg(g h)) and dw = the sum of dy h over all rows."""
    return _rms_norm.backward(dy, saved)


def softmax_forward(x: Array, dim: int = -1) -> tuple[Array, Any]:
    """y = exp(x - max) / sum(exp(x - max)) along dim. Any shape; a dim that is not there raises IndexError.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html
    """
    return _softmax.forward((x,), (dim, -1))


def softmax_backward(dy: Array, saved: Any) -> Array:
    """dx = y (dy - sum(dy y)) along the dimension of forward, from the saved output y alone."""
    return _softmax.backward(dy, saved)


def cross_entropy_forward(
    x: Array,
    targets: Array,
    weight: Array | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> tuple[Array, Any]:
    """loss[r] = weight[t] (lse(x[r]) - x[r, t]) with t = targets[r], lse(x) = log(sum(exp(x))), in one pass.

    x (N, V), (V,) or (N, V, d1, ...) logits, targets (N,), () or (N, d1, ...) int64, weight (V,) or None. reduction:
    "mean" (over the weights of the targets that count) and "sum" give a 0-d array, "none" one of targets' shape. A
    target equal to ignore_index counts nothing. label_smoothing e in [0, 1] mixes in e / V of every class. A target
    outside [0, V) raises IndexError. saved.lse: per row; saved.total: the sum of the counted weights.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html
    """
    if reduction not in _REDUCTIONS:
        raise ValueError(f"cross_entropy: reduction is {reduction!r}, expected 'none', 'mean' or 'sum'")
    return _cross_entropy.forward(
        (x, targets, weight), (int(ignore_index), _REDUCTIONS[reduction], float(label_smoothing))
    )


def cross_entropy_backward(dy: Array | float, saved: Any) -> Array:
    """dx = scale weight[t] (softmax(x) - onehot(t)), row by row; scale is dy, for the mean dy / total."""
    return _cross_entropy.backward(dy, saved)


# ---- attention ----

_attention = _Pair(
    "scaled_dot_product_attention",
    "attention",
    "q k v mask",
    "y",
    "p_or_lse keep",
    types={"mask": (np.bool_, *_FLOATS)},
    wanted="q k v",
)


def attention_forward(
    q: Array, k: Array, v: Array, *, causal: bool = False, mask: Array | None = None, scale: float | None = None
) -> tuple[Array, Any]:
    """y = softmax(scale q k^T + mask) v, row by row: q (..., T, D), k (..., S, D), v (..., S, E) -> y (..., T, E).

    Leading dimensions broadcast. causal: query t sees keys 0..t. mask broadcasts to (..., T, S): bool, where False
    forbids, or floats to add; not together with causal. scale: 1/sqrt(D) by default. A query that sees no key gives 0.
    saved.p_or_lse: the probabilities of short sequences, of long ones lse, the logarithm of each row's sum of
    exponentials, from which backward computes the probabilities again. saved.keep is empty: there is no dropout.
    Source: Vaswani et al., Attention Is All You Need, arXiv:1706.03762; Dao et al., FlashAttention, arXiv:2205.14135.
    """
    return _attention.forward((q, k, v, mask), (0.0, int(causal), math.nan if scale is None else float(scale), 0))


def attention_backward(dy: Array, saved: Any) -> tuple[Array, Array, Array]:
    """(dq, dk, dv): with P the probabilities and dS = P (dy v^T - sum(dy y)), dq = scale dS k, dk = scale dS^T q,
    dv = P^T dy. The mask is not differentiated."""
    return _attention.backward(dy, saved)


# ---- recurrence ----

_OPERANDS = "x h0 w_ih w_hh b_ih b_hh"
_gru = _Pair("gru", "gru", _OPERANDS, "y hn", "gates")
_gru_cell = _Pair("gru_cell", "gru_cell", _OPERANDS, "h", "gates")


def _before(op: str, variant: str) -> int:
    if variant not in ("before", "after"):
        raise ValueError(f"{op}: variant is {variant!r}, expected 'before' or 'after'")
    return int(variant == "before")


def gru_forward(
    x: Array,
    h0: Array | None,
    w_ih: Array,
    w_hh: Array | None = None,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    variant: str = "after",
) -> tuple[Array, Any]:
    """A gated recurrent unit over sequences: x (B, T, I), h0 (B, H) or None (zeros) -> y (B, T, H), h after each step.

    variant "after" resets after the product, as torch.nn.GRU does; w_ih (3H, I), w_hh (3H, H), b_ih and b_hh (3H,) or
    None, their thirds in the order r, z, n:

        r = sigmoid(x w_ir^T + b_ir + h w_hr^T + b_hr)
        z = sigmoid(x w_iz^T + b_iz + h w_hz^T + b_hz)
        n = tanh(x w_in^T + b_in + r (h w_hn^T + b_hn))
        h' = (1 - z) n + z h

    variant "before" resets before it, as the paper does: one w_ih (3H, I + H) over [x, h], in n over [x, r h], one
    b_ih (3H,), no w_hh, no b_hh. z then means the opposite: h' = (1 - z) h + z n.
    saved.gates: (B, T, 5H): r, z, n, u and the h before the step, u = r h (before) or h w_hn^T + b_hn (after).
    Source: Cho et al., arXiv:1406.1078; https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html
    """
    outputs, saved = _gru.forward((x, h0, w_ih, w_hh, b_ih, b_hh), (_before("gru", variant), 1, 0))
    return outputs[0], saved


def gru_backward(dy: Array, saved: Any) -> tuple[Array | None, ...]:
    """(dx, dh0, dw_ih, dw_hh, db_ih, db_hh), back through all steps; None for what was absent in forward."""
    return _gru.backward((dy, None), saved)


def gru_cell_forward(
    x: Array,
    h: Array | None,
    w_ih: Array,
    w_hh: Array | None = None,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    variant: str = "after",
) -> tuple[Array, Any]:
    """One step of `gru_forward`: x (B, I), h (B, H) or None -> h' (B, H); or x (I,), h (H,) -> h' (H,)."""
    return _gru_cell.forward((x, h, w_ih, w_hh, b_ih, b_hh), (_before("gru_cell", variant),))


def gru_cell_backward(dh: Array, saved: Any) -> tuple[Array | None, ...]:
    """(dx, dh, dw_ih, dw_hh, db_ih, db_hh) of one step; None for what was absent in forward."""
    return _gru_cell.backward(dh, saved)


__all__ += [name for name in list(globals()) if name.endswith(("_forward", "_backward"))]
