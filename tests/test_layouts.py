"""Layouts decide no bit: attention over views of one projection, its gradients without copies, and permuted copies.

Invariant: every result is compared with the same call on contiguous tensors, bit for bit. Does not: time anything.
Read next: csrc/ops/permuted.h, csrc/ops/attention.c.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support import arr, same

import fastnn

F = fastnn.nn.functional


def by_hand(q: Any, k: Any, v: Any) -> Any:
    scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(q.size(-1)))
    mask = fastnn.tril(fastnn.ones(q.size(-2), k.size(-2))) == 0
    return F.softmax(scores.masked_fill(mask, float("-inf")), dim=-1) @ v


def fused(q: Any, k: Any, v: Any) -> Any:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.size(1) != k.size(1))


def gradient(attend: Any, data: np.ndarray, heads: tuple[int, int], size: int, copied: bool) -> list[np.ndarray]:
    """Output and gradient of attention over x = (q k v) side by side; `copied`: over contiguous copies of them."""
    x = fastnn.from_numpy(data).requires_grad_()
    many, few = heads
    parts = x.split([many * size, few * size, few * size], dim=2)
    views = [t.view(*t.shape[:2], -1, size).transpose(1, 2) for t in parts]
    if copied:
        views = [t.contiguous() for t in views]
    y = attend(*views)
    y = y.transpose(1, 2).reshape(*data.shape[:2], -1)
    (y * y).sum().backward()
    return [arr(y), arr(x.grad)]


@pytest.mark.parametrize("attend", [by_hand, fused])
@pytest.mark.parametrize("shape", [(3, 16, 4, 16), (2, 5, 2, 3), (2, 1, 2, 4), (1, 150, 2, 8)])
def test_attention_over_views_of_one_projection(attend: Any, shape: tuple[int, ...]) -> None:
    b, t, h, d = shape
    data = np.random.RandomState(0).standard_normal((b, t, 3 * h * d)).astype(np.float32)
    for found, want in zip(
        gradient(attend, data, (h, h), d, False), gradient(attend, data, (h, h), d, True), strict=True
    ):
        same(found, want, str(shape))


@pytest.mark.parametrize("t", [7, 16, 130])
def test_grouped_heads_over_views_of_one_projection(t: int) -> None:
    data = np.random.RandomState(1).standard_normal((2, t, 8 * 16)).astype(np.float32)
    for found, want in zip(
        gradient(fused, data, (4, 2), 16, False), gradient(fused, data, (4, 2), 16, True), strict=True
    ):
        same(found, want, str(t))


def test_a_hook_sees_a_gradient_of_its_own() -> None:
    """The pieces' gradients share memory with the whole; writing into one of them must not be needed, keeping it must be safe."""
    x = fastnn.from_numpy(np.random.RandomState(2).standard_normal((2, 4, 24)).astype(np.float32)).requires_grad_()
    q, k, v = (t.view(2, 4, 2, 4).transpose(1, 2) for t in x.split(8, dim=2))
    q.retain_grad()
    fused(q, k, v).sum().backward()
    kept = arr(q.grad).copy()
    same(arr(x.grad)[:, :, :8].reshape(2, 4, 2, 4).transpose(0, 2, 1, 3), kept, "gradient of q")
    x.grad.zero_()
    same(arr(q.grad), kept, "gradient of q after zero_grad")


SHAPES = [((5, 6, 7, 8), (0, 2, 1, 3)), ((5, 6, 7, 8), (3, 2, 1, 0)), ((33, 65), (1, 0)), ((4, 300, 17), (0, 2, 1)),
          ((7, 9, 11, 3, 5), (4, 2, 0, 3, 1)), ((64, 4, 16, 16), (0, 2, 1, 3)), ((3, 5000, 40), (1, 0, 2))]  # fmt: skip


@pytest.mark.parametrize(("shape", "order"), SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "bool"])
def test_permuted_copies(shape: tuple[int, ...], order: tuple[int, ...], dtype: str) -> None:
    data = np.random.RandomState(3).randint(0, 100, shape).astype(dtype)
    want = data.transpose(order)
    found = fastnn.from_numpy(data).permute(*order)
    assert (arr(found.contiguous()) == want).all()
    # Into a window of something larger: what lies around it stays.
    around = np.ones([n + 2 for n in want.shape], dtype)
    around[tuple(slice(1, -1) for _ in order)] = want
    target = fastnn.from_numpy(np.ones_like(around))
    target[tuple(slice(1, -1) for _ in order)] = found
    assert (arr(target) == around).all()
