"""Multi-head attention over (T,B,E), as torch.nn.functional.multi_head_attention_forward.

Invariant: masks are added to the scores as floats; a bool mask means "not allowed" where it is True.
Without weights to return the product is left to scaled_dot_product_attention.  Read next: modules/multihead.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnn import _C

from ._activations import dropout

if TYPE_CHECKING:
    from fastnn import Tensor


def float_mask(mask: Tensor | None, name: str, dtype: Any) -> Tensor | None:
    """A bool mask as 0 and -inf; a float mask as it is."""
    if mask is None or mask.is_floating_point():
        return mask
    if mask.dtype != _C.bool:
        raise AssertionError(f"only bool and floating types of {name} are supported, found {mask.dtype}")
    return _C.zeros(mask.shape, dtype=dtype).masked_fill(mask, float("-inf"))


def _project(
    query: Tensor, key: Tensor, value: Tensor, weight: Any, bias: Any, separate: tuple[Any, Any, Any] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value through their input projections."""
    size = query.size(-1)
    biases = (None,) * 3 if bias is None else bias.split(bias.size(0) // 3, 0)
    if separate is None:
        if query is key and key is value:
            q, k, v = _C.linear(query, weight, bias).split(size, -1)
            return q, k, v
        separate = weight.split(size, 0)
    return tuple(_C.linear(x, w, b) for x, w, b in zip((query, key, value), separate, biases, strict=False))  # type: ignore[return-value]


def _check(name: str, mask: Tensor, wanted: list[tuple[int, ...]]) -> None:
    if tuple(mask.shape) not in wanted:
        raise RuntimeError(
            f"The shape of {name} is {tuple(mask.shape)}, but should be {' or '.join(map(str, wanted))}."
        )


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention of (T,B,E) queries to (S,B,E) keys; returns the output and, if wanted, the (B,T,S) weights."""
    if static_k is not None or static_v is not None:
        raise NotImplementedError("multi_head_attention_forward: static_k and static_v are not offered")
    batched = query.dim() == 3
    if not batched:
        if query.dim() != 2:
            raise AssertionError(
                f"query should be unbatched 2D or batched 3D tensor but received {query.dim()}-D query tensor"
            )
        same = query is key and key is value
        query = query.unsqueeze(1)
        key, value = (query, query) if same else (key.unsqueeze(1), value.unsqueeze(1))
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    steps, batch, embed = query.shape
    if embed != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {embed}")
    if embed % num_heads:
        raise AssertionError(f"embed_dim {embed} not divisible by num_heads {num_heads}")
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    causal = is_causal and key_padding_mask is None and not need_weights
    q, k, v = _project(query, key, value, in_proj_weight, in_proj_bias, separate)
    key_padding_mask = float_mask(key_padding_mask, "key_padding_mask", q.dtype)
    mask = None if causal else float_mask(attn_mask, "attn_mask", q.dtype)
    if mask is not None:
        source = key.size(0)
        if mask.dim() == 2:
            _check("the 2D attn_mask", mask, [(steps, source)])
            mask = mask.unsqueeze(0)
        else:
            _check("the 3D attn_mask", mask, [(batch * num_heads, steps, source)])
    if bias_k is not None and bias_v is not None:
        k, v = _C.cat([k, bias_k.expand(1, batch, -1)]), _C.cat([v, bias_v.expand(1, batch, -1)])
        mask, key_padding_mask = _one_more(mask), _one_more(key_padding_mask)
    head = embed // num_heads
    q = q.reshape(steps, batch * num_heads, head).transpose(0, 1)
    k = k.reshape(-1, batch * num_heads, head).transpose(0, 1)
    v = v.reshape(-1, batch * num_heads, head).transpose(0, 1)
    if add_zero_attn:
        blank = _C.zeros((batch * num_heads, 1, head), dtype=k.dtype)
        k, v = _C.cat([k, blank], 1), _C.cat([v, blank], 1)
        mask, key_padding_mask = _one_more(mask), _one_more(key_padding_mask)
    source = k.size(1)
    if key_padding_mask is not None:
        _check("key_padding_mask", key_padding_mask, [(batch, source)])
        wide = key_padding_mask.reshape(batch, 1, 1, source).expand(batch, num_heads, 1, source)
        wide = wide.reshape(batch * num_heads, 1, source)
        mask = wide if mask is None else mask + wide
    p = dropout_p if training else 0.0
    weights = None
    if need_weights:
        scores = (q * math.sqrt(1.0 / head)) @ k.transpose(-2, -1)
        weights = _C.softmax(scores if mask is None else scores + mask, -1)
        if p > 0:
            weights = dropout(weights, p)
        out = weights @ v
    else:
        if mask is not None and mask.size(0) != 1:
            mask = mask.reshape(batch, num_heads, -1, source)
        shape = (batch, num_heads, -1, head)
        out = _C.scaled_dot_product_attention(
            q.reshape(shape), k.reshape(shape), v.reshape(shape), mask, p, causal
        ).reshape(batch * num_heads, steps, head)
    out = out.transpose(0, 1).reshape(steps * batch, embed)
    out = _C.linear(out, out_proj_weight, out_proj_bias).reshape(steps, batch, -1)
    if weights is not None:
        weights = weights.reshape(batch, num_heads, steps, source)
        if average_attn_weights:
            weights = weights.mean(1)
    if not batched:
        return out.squeeze(1), (None if weights is None else weights.squeeze(0))
    return out, weights


def _one_more(mask: Tensor | None) -> Tensor | None:
    """A mask with one more key that is always allowed."""
    return None if mask is None else _C.cat([mask, _C.zeros([*mask.shape[:-1], 1], dtype=mask.dtype)], -1)
