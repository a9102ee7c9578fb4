"""torch.nn.functional's functions, collected from the files beside this one.

Nothing is computed here.  Convolution, pooling, padding and attention are loaded on first use: they are large and
most scripts never touch them.  Read next: _activations.py, _losses.py, _norms.py, _convolution.py, _attention.py.
"""

# ruff: noqa: F401
from __future__ import annotations

from typing import Any

from fastnn import _C

from ._activations import (
    alpha_dropout,
    celu,
    celu_,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    elu,
    elu_,
    feature_alpha_dropout,
    gelu,
    glu,
    gumbel_softmax,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    relu_,
    rrelu,
    rrelu_,
    selu,
    selu_,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
    threshold_,
)
from ._losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    poisson_nll_loss,
    smooth_l1_loss,
)
from ._margin_losses import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from ._norms import (
    batch_norm,
    bilinear,
    cosine_similarity,
    embedding,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    normalize,
    one_hot,
    pairwise_distance,
    pdist,
    rms_norm,
)

linear = _C.linear
scaled_dot_product_attention = _C.scaled_dot_product_attention

_LATE = {
    "_convolution": "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d",
    "_windows": "pad unfold fold",
    "_resample": "interpolate pixel_shuffle pixel_unshuffle channel_shuffle",
    "_pooling": (
        "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
        "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d lp_pool1d lp_pool2d"
    ),
    "_attention": "multi_head_attention_forward",
}
_LATE_NAMES = {name: module for module, names in _LATE.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    module = _LATE_NAMES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module("." + module, __package__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE_NAMES})


__all__ = [name for name in globals() if name[0] != "_" and name not in ("annotations", "Any")]
