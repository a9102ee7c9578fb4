"""Losses of torch.nn.functional that compare with a margin: embeddings, rankings, triplets, hinges.

Short compositions, as the others.  `reduction` is "mean", "sum" or "none".
Read next: _losses.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _C
from fastnn._arguments import checked

from ._activations import logsigmoid
from ._losses import legacy_reduction, reduced

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastnn import Tensor


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos where target is 1, max(0, cos - margin) where it is -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if input1.shape != input2.shape or target.dim() != input1.dim() - 1 or target.dim() not in (0, 1):
        raise RuntimeError(
            f"cosine_embedding_loss: input1 {tuple(input1.shape)}, input2 {tuple(input2.shape)} and target "
            f"{tuple(target.shape)} do not fit: expected (N,D), (N,D), (N) or (D), (D), ()"
        )
    eps = 1e-12
    dot = (input1 * input2).sum(-1)
    cos = dot / (((input1 * input1).sum(-1) + eps) * ((input2 * input2).sum(-1) + eps)).sqrt()
    zeros = _C.zeros_like(cos)
    positive = _C.where(target == 1, 1 - cos, zeros)
    negative = _C.where(target == -1, (cos - margin).clamp(min=0), zeros)
    return reduced(positive + negative, reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """x where target is 1, max(0, margin - x) where it is -1."""
    zeros = _C.zeros_like(input)
    far = _C.where(target != 1, (margin - input).clamp(min=0), zeros)
    near = _C.where(target != -1, input, zeros)
    return reduced(far + near, legacy_reduction(size_average, reduce, reduction))


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target (input1 - input2) + margin)."""
    if not (input1.dim() == input2.dim() == target.dim()):
        raise RuntimeError(
            f"margin_ranking_loss: input1 {tuple(input1.shape)}, input2 {tuple(input2.shape)} and target "
            f"{tuple(target.shape)}: expected the same number of dimensions"
        )
    loss = (-target * (input1 - input2) + margin).clamp(min=0)
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


@checked
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target x))."""
    loss = _C.log1p((-target * input).exp())
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes of -(t log sigmoid(x) + (1-t) log sigmoid(-x))."""
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduced(loss.sum(-1) / input.size(-1), legacy_reduction(size_average, reduce, reduction))


@checked
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """sum over wrong classes j of max(0, margin - x[t] + x[j])^p / C."""
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    reduction = legacy_reduction(size_average, reduce, reduction)
    rows = input if input.dim() == 2 else input.unsqueeze(0)
    index = target.reshape(-1, 1)
    gaps = (margin - rows.gather(1, index) + rows).clamp(min=0)
    if p == 2:
        gaps = gaps * gaps
    if weight is not None:
        gaps = gaps * weight[index]
    right = _C.zeros_like(gaps, dtype=_C.bool).detach().scatter_(1, index, True)
    loss = gaps.masked_fill(right, 0.0).sum(1) / rows.size(1)
    return reduced(loss if input.dim() == 2 else loss.squeeze(0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin)."""
    from ._norms import pairwise_distance

    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin,
        swap=swap,
        reduction=legacy_reduction(size_average, reduce, reduction),
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """triplet_margin_loss with any distance; swap takes the nearer of anchor and positive to the negative."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if distance_function is None:
        from ._norms import pairwise_distance

        distance_function = pairwise_distance
    near = distance_function(anchor, positive)
    far = distance_function(anchor, negative)
    if swap:
        far = _C.minimum(far, distance_function(positive, negative))
    return reduced((near - far + margin).clamp(min=0), reduction)
