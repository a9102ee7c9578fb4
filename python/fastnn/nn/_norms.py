"""Normalisation, embedding, distances and one_hot of torch.nn.functional.

layer_norm, rms_norm and the embedding lookup are primitives; group and instance norm are layer norms of a reshaped
input, batch norm is composed.  Read next: functional.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fastnn
from fastnn import _C
from fastnn._arguments import checked

if TYPE_CHECKING:
    from fastnn import Tensor


layer_norm = _C.layer_norm  # Source: https://arxiv.org/abs/1607.06450
rms_norm = _C.rms_norm  # Source: https://arxiv.org/abs/1910.07467


def _per_channel(vector: Tensor, ndim: int) -> Tensor:
    """(C,) as a shape that broadcasts along dim 1."""
    return vector if ndim == 2 else vector.reshape([-1] + [1] * (ndim - 2))


def _check_batch(name: str, input: Tensor) -> None:
    if input.numel() == 0 or input.numel() // input.size(1) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")


@checked
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel (dim 1) over batch and space; in training the running statistics move in place.

    Source: https://arxiv.org/abs/1502.03167
    """
    for name, vector in (
        ("running_mean", running_mean),
        ("running_var", running_var),
        ("weight", weight),
        ("bias", bias),
    ):
        if vector is not None and (input.dim() < 2 or vector.numel() != input.size(1)):
            channels = input.size(1) if input.dim() > 1 else 0
            raise RuntimeError(f"batch_norm: {name} should contain {channels} elements not {vector.numel()}")
    if training:
        _check_batch("batch_norm", input)
        dims = [0, *range(2, input.dim())]
        var, mean = fastnn.var_mean(input, dims, unbiased=False, keepdim=True)
        if running_mean is not None or running_var is not None:
            _update_running(running_mean, running_var, mean, var, momentum, input.numel() // input.size(1))
    else:
        if running_mean is None or running_var is None:
            raise ValueError("Expected running_mean and running_var to be defined when training=False")
        mean, var = _per_channel(running_mean, input.dim()), _per_channel(running_var, input.dim())
    scale = (var + eps).rsqrt()
    if weight is not None:
        scale = scale * _per_channel(weight, input.dim())
    output = (input - mean) * scale
    return output if bias is None else output + _per_channel(bias, input.dim())


def _update_running(
    running_mean: Tensor | None, running_var: Tensor | None, mean: Tensor, var: Tensor, momentum: float, count: int
) -> None:
    """running = (1 - momentum) running + momentum batch; the variance is the unbiased one."""
    with fastnn.no_grad():
        for running, batch in ((running_mean, mean.detach()), (running_var, var.detach() * (count / (count - 1)))):
            if running is not None:
                running.mul_(1 - momentum).add_(batch.reshape(running.shape).to(running.dtype), alpha=momentum)


@checked
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalise each group of channels of each sample.  Source: https://arxiv.org/abs/1803.08494"""
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    if num_groups <= 0 or input.size(1) % num_groups:
        raise RuntimeError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(input.shape)} and num_groups={num_groups}"
        )
    rows = input.reshape(input.size(0), num_groups, -1)
    output = _C.layer_norm(rows, (rows.size(2),), None, None, eps).reshape(input.shape)
    if weight is not None:
        output = output * _per_channel(weight, input.dim())
    return output if bias is None else output + _per_channel(bias, input.dim())


@checked
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of each sample.  Source: https://arxiv.org/abs/1607.08022"""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    count = 1
    for size in input.shape[2:]:
        count *= size
    if count == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    if running_mean is not None or running_var is not None:
        dims = list(range(2, input.dim()))
        var, mean = fastnn.var_mean(input.detach(), dims, unbiased=False)
        _update_running(running_mean, running_var, mean.mean(0), var.mean(0), momentum, count)
    return group_norm(input, input.size(1), weight, bias, eps)


@checked
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha mean of x^2 over `size` neighbouring channels)^beta."""
    if input.dim() < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.dim()} dimensions)")
    square = input * input
    before, channels = size // 2, input.size(1)
    total: Any = None
    for shift in range(-before, size - before):
        low, high = max(0, -shift), min(channels, channels - shift)
        if low >= high:
            continue
        shape = list(input.shape)
        parts = [square[:, low + shift : high + shift]]
        if low:
            parts.insert(0, _C.zeros([shape[0], low, *shape[2:]], dtype=input.dtype))
        if high < channels:
            parts.append(_C.zeros([shape[0], channels - high, *shape[2:]], dtype=input.dtype))
        part = _C.cat(parts, 1) if len(parts) > 1 else parts[0]
        total = part if total is None else total + part
    return input / (total * (alpha / size) + k) ** beta


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """weight[input]: rows of (V,D) by ids; the row padding_idx gets no gradient."""
    if sparse:
        raise NotImplementedError("embedding: sparse=True asks for sparse gradients, which fastnn does not have")
    if padding_idx is None:
        padding_idx = -1
    else:
        rows = weight.size(0)
        if not -rows <= padding_idx < rows:
            raise AssertionError(
                f"Padding_idx must be within num_embeddings: found {padding_idx}, wanted less than {rows}"
            )
        padding_idx %= rows
    if max_norm is not None:
        _renormalize(weight, input, max_norm, norm_type)
    return _C.embedding(weight, input, padding_idx, scale_grad_by_freq)


def _renormalize(weight: Tensor, ids: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are about to be read down to max_norm, in place."""
    with fastnn.no_grad():
        rows = _C.tensor(sorted(set(ids.reshape(-1).tolist())), dtype=_C.int64)
        picked = weight[rows]
        norms = (picked.abs() ** norm_type).sum(1, keepdim=True) ** (1.0 / norm_type)
        weight[rows] = _C.where(norms > max_norm, picked * (max_norm / (norms + 1e-7)), picked)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Ids (...) as int64 rows (..., num_classes) with a single one; num_classes=-1 takes the largest id + 1."""
    return _C.one_hot(tensor, num_classes)


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """x / max(|x|_p, eps) along dim."""
    result = input / input.norm(p, dim, keepdim=True).clamp(min=eps).expand(input.shape)
    return result if out is None else out.copy_(result)


@checked
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along dim."""

    def unit(x: Tensor) -> Tensor:
        norm = x.norm(2, dim, keepdim=True)
        # The limit applies to the value only: torch's gradient takes the norm as it is.
        return x / (norm + (norm.detach().clamp(min=eps) - norm.detach()))

    return (unit(x1) * unit(x2)).sum(dim)


@checked
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """|x1 - x2 + eps|_p along the last dimension."""
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


@checked
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The distances between all pairs of rows i < j of (N,D)."""
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    n = input.size(0)
    first = _C.tensor([i for i in range(n) for _ in range(i + 1, n)], dtype=_C.int64)
    second = _C.tensor([j for i in range(n) for j in range(i + 1, n)], dtype=_C.int64)
    return (input[first] - input[second]).norm(p, -1)


@checked
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[..., o] = x1[..., i] W[o, i, j] x2[..., j] + b[o]."""
    if input1.shape[:-1] != input2.shape[:-1] or weight.dim() != 3:
        raise RuntimeError(
            f"bilinear: input1 {tuple(input1.shape)}, input2 {tuple(input2.shape)}, weight "
            f"{tuple(weight.shape)}: expected "
            "the same leading dimensions and a weight (out, in1, in2)"
        )
    if input1.size(-1) != weight.size(1) or input2.size(-1) != weight.size(2):
        raise RuntimeError(
            f"bilinear: last dimensions {input1.size(-1)} and {input2.size(-1)}, expected {weight.size(1)} "
            f"and {weight.size(2)}"
        )
    out, left, right = weight.shape
    half = input1.reshape(-1, left) @ weight.permute(1, 0, 2).reshape(left, out * right)
    result = (half.reshape(-1, out, right) * input2.reshape(-1, 1, right)).sum(-1)
    if bias is not None:
        result = result + bias
    return result.reshape([*input1.shape[:-1], out])
