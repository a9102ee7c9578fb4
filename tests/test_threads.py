"""1, 2, 3 and 7 threads give the same bits, for every op of the table and for a whole training step.

Invariant: large samples are compared in one process by changing the thread count. Does not: time anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from counts import proved
from op_table import ROWS
from proofs import THREADS, equal_with_threads
from support import arr, same

import fastnn


@pytest.fixture
def split_all() -> Iterator[None]:
    """Every region is split among the threads, whatever its estimated work."""
    fastnn._C._set_parallel_threshold(0.0, 0.0)
    yield
    fastnn._C._set_parallel_threshold(-1.0, -1.0)


@pytest.mark.parametrize("name", list(ROWS))
def test_thread_count_changes_no_bit(name: str, split_all: None) -> None:
    row = ROWS[name]
    for dtype in row.dtypes:
        equal_with_threads(fastnn, row, dtype)
        proved(name, "threads", (len(THREADS) - 1) * (sum(s.large for s in row.cases()) or len(row.cases()[:2])))


def transformer_step(threads: int) -> list[np.ndarray]:
    """Loss, gradients and parameters of one block after two AdamW steps."""
    nn, F = fastnn.nn, fastnn.nn.functional
    fastnn.set_num_threads(threads)
    fastnn.manual_seed(3)
    emb, ln, qkv, head = nn.Embedding(27, 64), nn.LayerNorm(64), nn.Linear(64, 192), nn.Linear(64, 27)
    params = [p for m in (emb, ln, qkv, head) for p in m.parameters()]
    opt = fastnn.optim.AdamW(params, lr=1e-2)
    x, y = fastnn.randint(0, 27, (32, 16)), fastnn.randint(0, 27, (32, 16))
    found: list[Any] = []
    for _ in range(2):
        q, k, v = (t.view(32, 16, 4, 16).transpose(1, 2) for t in qkv(ln(emb(x))).split(64, dim=2))
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(32, 16, 64)
        loss = F.cross_entropy(head(F.gelu(h)).view(-1, 27), y.view(-1))
        opt.zero_grad()
        loss.backward()
        opt.step()
        found += [arr(loss), *[arr(p.grad) for p in params], *[arr(p) for p in params]]
    return found


def test_training_step_is_bit_equal_for_all_thread_counts() -> None:
    want = transformer_step(1)
    for threads in (2, 3, 7, 2):
        for a, b in zip(want, transformer_step(threads), strict=True):
            same(b, a, f"{threads} threads")


def test_python_threads_may_call_ops_at_once() -> None:
    """Four Python threads run products and reductions together; each gets what it gets alone."""
    xs = [fastnn.from_numpy(np.random.RandomState(i).standard_normal((120, 90)).astype(np.float32)) for i in range(4)]
    want = [arr(x @ x.t() + x.sum()) for x in xs]
    failures: list[BaseException] = []

    def work(i: int) -> None:
        try:
            for _ in range(50):
                same(xs[i] @ xs[i].t() + xs[i].sum(), want[i], f"thread {i}")
                p = xs[i].clone().requires_grad_(True)
                (p * p).sum().backward()
                same(p.grad, xs[i] * 2, f"gradient in thread {i}")
        except BaseException as error:  # noqa: BLE001  (reported by the test's own thread)
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[0]


def test_another_thread_may_replace_what_an_op_reads() -> None:
    """x.data = ... during a long op: it goes on over the memory it began with, which nobody is given meanwhile."""
    fastnn.set_num_threads(1)
    n = 1_000_000
    for _ in range(6):
        x = fastnn.full((n,), 2.5)
        started, kept = threading.Event(), []

        def replace(x: Any = x, started: threading.Event = started, kept: list[Any] = kept) -> None:
            started.wait()
            time.sleep(0.004)
            x.data = fastnn.zeros(n)
            kept.append(fastnn.full((n,), 7.5))  # where x was, if that was let go

        other = threading.Thread(target=replace)
        other.start()
        started.set()
        y = arr(x.lgamma())  # 20 ms or more
        other.join()
        assert (y == y[0]).all(), f"{np.unique(y)} in one result"


def test_grad_mode_belongs_to_the_thread() -> None:
    seen: list[bool] = []
    with fastnn.no_grad():
        t = threading.Thread(target=lambda: seen.append(fastnn.is_grad_enabled()))
        t.start()
        t.join()
        assert not fastnn.is_grad_enabled()
    assert seen == [True]


def test_wrong_thread_counts_are_refused() -> None:
    for n in (0, -1):
        with pytest.raises(RuntimeError):
            fastnn.set_num_threads(n)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_long_columns_are_cut_without_changing_a_bit(dtype: str) -> None:
    """Up to 64 columns the rows are shared out among threads; a wider matrix has columns enough, and the same sums."""
    for rows in (1024, 1025, 1537, 5003):
        x = fastnn.tensor(np.random.default_rng(rows).standard_normal((rows, 128)).astype(dtype))
        same(x[:, :64].sum(0), x.sum(0)[:64], f"{rows} rows")
