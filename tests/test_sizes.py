"""Sizes that no address can count are refused by every way to make a tensor, with torch's class and before any memory.

Invariant: a wrapped-around product of sizes or reach of strides would be memory out of bounds. Read next: test_errors.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import fastnn

BIG, HUGE = 2**40, 2**62
CALLS: dict[str, Callable[[Any], Any]] = {
    "as_strided": lambda lib: lib.ones(4).as_strided((BIG, BIG), (0, 0)),
    "as_strided, the reach": lambda lib: lib.ones(4).as_strided((HUGE,), (HUGE,)),
    "as_strided, the sum of reaches": lambda lib: lib.ones(4).as_strided((2, 2), (HUGE, HUGE)),
    "as_strided, the offset": lambda lib: lib.ones(4).as_strided((2,), (1,), 2**63 - 1),
    "expand": lambda lib: lib.ones(1, 1).expand(HUGE, 8),
    "expand, empty": lambda lib: lib.empty(0).expand(BIG, BIG, 0),
    "broadcast_to": lambda lib: lib.broadcast_to(lib.ones(1), (BIG, BIG)),
    "empty": lambda lib: lib.empty(BIG, BIG),
    "empty, empty": lambda lib: lib.empty(BIG, BIG, 0),
    "repeat": lambda lib: lib.ones(1).expand(HUGE)[None].repeat(4, 1),
    "add": lambda lib: lib.ones(1).expand(HUGE) + lib.ones(4, 1),
    "unfold": lambda lib: lib.ones(1).expand(HUGE).unfold(0, 8, 1),
    "matmul": lambda lib: lib.ones(1, 1).expand(BIG, 1) @ lib.ones(1, 1).expand(1, BIG),
    "attention": lambda lib: lib.nn.functional.scaled_dot_product_attention(*[lib.ones(1, 1, 1, 1).expand(*n, 1, 1) for n in ((BIG, 1), (1, BIG), (1, BIG))]),
    "stack": lambda lib: lib.stack([lib.ones(1).expand(HUGE)] * 4),
}


@pytest.mark.parametrize("name", CALLS)
def test_beyond_counting(name: str, lib: Any) -> None:
    with pytest.raises(RuntimeError, match="count|overflow|storage|memory"):
        CALLS[name](lib)


def test_cat_beyond_counting() -> None:
    """torch's count wraps around to an empty result here."""
    with pytest.raises(RuntimeError, match="cat: .* cannot be counted"):
        fastnn.cat([fastnn.ones(1).expand(HUGE)] * 4)


def test_an_embedding_adds_a_dimension() -> None:
    with pytest.raises(RuntimeError, match="embedding: found 8 dimensions of indices, wanted at most 7"):
        fastnn.nn.functional.embedding(fastnn.zeros([1] * 8, dtype=fastnn.int64), fastnn.ones(2, 3))


def test_attention_beyond_counting() -> None:
    """Its result is empty; what backward keeps is not."""
    q, v = fastnn.ones(1, 1, 1).expand(2**58, 8, 1), fastnn.empty(1, 8, 0).expand(2**58, 8, 0)
    with pytest.raises(RuntimeError, match="scaled_dot_product_attention: .* cannot be counted"):
        fastnn.nn.functional.scaled_dot_product_attention(q, q, v)


@pytest.mark.parametrize("eight", ["key", "mask"])
def test_grouped_heads_take_a_dimension_of_their_own(eight: str) -> None:
    leads = {name: [1] * (5 if name == eight else 0) for name in ("key", "mask")}
    q, k = fastnn.ones(4, 5, 3), fastnn.ones(*leads["key"], 2, 6, 3)
    mask = fastnn.ones(*leads["mask"], 4, 5, 6) if eight == "mask" else None
    with pytest.raises(RuntimeError, match="enable_gqa: found shape .*, wanted at most 7 dimensions"):
        fastnn.nn.functional.scaled_dot_product_attention(q, k, k, attn_mask=mask, enable_gqa=True)


def test_the_largest_views_stand(lib: Any) -> None:
    assert lib.ones(1).expand(2**62).numel() == 2**62
    assert lib.ones(1).expand(2**62).unfold(0, 2, 1).shape == (2**62 - 1, 2)
    assert lib.empty(0).expand(2**20, 0).numel() == 0


@pytest.mark.parametrize(
    "args",
    [
        (fastnn.Tensor, fastnn.float32, [BIG, BIG], [BIG, 1], b"", False),
        (fastnn.Tensor, fastnn.float32, [2**32], [1], b"1234", False),
        (fastnn.Tensor, fastnn.float32, [-1], [1], b"1234", False),
        (fastnn.Tensor, fastnn.float32, [1], [-1], b"1234", False),
        (fastnn.Tensor, fastnn.float32, [1], [1], b"12345", False),
        (fastnn.Tensor, fastnn.float32, [2], [HUGE], b"12345678", False),
    ],
)
def test_pickled_tensors_are_as_large_as_their_bytes(args: Any) -> None:
    with pytest.raises(ValueError, match="_rebuild_tensor: the .* (match|gaps)"):
        fastnn._C._rebuild_tensor(*args)
