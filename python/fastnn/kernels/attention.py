"""attention: softmax(scale q k^T + mask) v.

Conventions and errors: see the package's docstring. Read next: recurrence.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._pair import Array, Need, pair


class AttentionSaved(NamedTuple):
    """What attention_backward reads. p_or_lse: see attention_forward; keep: empty, there is no dropout."""

    q: Array
    k: Array
    v: Array
    mask: Array | None
    p_or_lse: Array
    keep: Array
    call: Any


_attention = pair(
    "scaled_dot_product_attention",
    "attention",
    "q k v mask:mask",
    AttentionSaved,
    "dropout:f causal:b scale:F grouped:b",
)


def _grouped(q: Array, k: Array) -> bool:
    """k has heads of its own number: neither q's nor one for all."""
    both = isinstance(q, np.ndarray) and isinstance(k, np.ndarray) and q.ndim > 2 and k.ndim > 2
    return both and q.shape[-3] != k.shape[-3] != 1


def attention_forward(
    q: Array,
    k: Array,
    v: Array,
    *,
    causal: bool = False,
    mask: Array | None = None,
    scale: float | None = None,
    out: Array | None = None,
) -> tuple[Array, AttentionSaved]:
    """y = softmax(scale q k^T + mask) v, row by row: q (..., H, T, D), k (..., G, S, D), v (..., G, S, E) ->
    y (..., H, T, E).

    Leading dimensions broadcast, those before H as well as H; without any, q is (T, D). Heads may be grouped: where k
    and v have G heads and H is a multiple of G, head h of q reads head h // (H / G) of k and v; otherwise RuntimeError.
    causal: query t sees keys 0..t. mask broadcasts to (..., H, T, S): bool, where False forbids, or floats to add; not
    together with causal. scale: 1/sqrt(D) by default. A query that sees no key gives 0.
    saved.p_or_lse: the probabilities of short sequences, of long ones lse, the logarithm of each row's sum of
    exponentials, from which backward computes the probabilities again. saved.keep is empty: there is no dropout.
    Source: Vaswani et al., Attention Is All You Need, arXiv:1706.03762; Dao et al., FlashAttention, arXiv:2205.14135;
    grouped heads: Ainslie et al., GQA, arXiv:2305.13245.
    """
    return _attention.forward(q, k, v, mask, 0.0, causal, scale, _grouped(q, k), out)


def attention_backward(
    dy: Array, saved: AttentionSaved, *, need: Need | None = None, out: tuple[Array | None, ...] | None = None
) -> tuple[Array, Array, Array]:
    """(dq, dk, dv): with P the probabilities and dS = P (dy v^T - sum(dy y)), dq = scale dS k, dk = scale dS^T q,
    dv = P^T dy; dk and dv summed over the heads of a group. The mask is not differentiated."""
    return _attention.backward(dy, saved, need, out)
