"""What few inputs reach, beside PyTorch: rare dtypes, long rows, inputs that make a partition degenerate, the library for very large products.

Invariant: each case is there because tests/c_coverage.py showed that nothing else ran its lines. Does not: repeat what the op table proves of every op.
Read next: c_coverage.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support import arr, close, leaves, outcome, same

import fastnn

RS = np.random.RandomState(7)
WHOLE = ("int64", "int32", "uint8")


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Each test draws the same numbers, whichever ran before it in its process."""
    RS.seed(7)


GAS = 1 << 40  # a value still to be chosen, above all that are


def both(run: Callable[..., Any], *arrays: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(torch's, fastnn's) results of run(lib, *tensors)."""
    want, got = ([arr(t) for t in leaves(run(lib, *(lib.tensor(a) for a in arrays)))] for lib in (torch, fastnn))
    return list(zip(want, got, strict=True))


def equal(run: Callable[..., Any], *arrays: np.ndarray) -> None:
    for want, got in both(run, *arrays):
        same(got, want)


def near(run: Callable[..., Any], *arrays: np.ndarray, steps: float = 4, floor: float = 0) -> None:
    for want, got in both(run, *arrays):
        close(got, want, steps, whole=True, floor=floor)


def degenerate(n: int, nth: int) -> np.ndarray:
    """Values on which a selection by medians of three takes the longest way: each is chosen only when it is compared, so that the pivot is small."""
    value, solid, candidate = [GAS] * n, 0, 0

    def before(x: int, y: int) -> bool:
        nonlocal solid, candidate
        if value[x] == GAS and value[y] == GAS:
            value[x if x == candidate else y] = solid
            solid += 1
        candidate = x if value[x] == GAS else y if value[y] == GAS else candidate
        return value[x] < value[y]

    a, first, end = list(range(n)), 0, n
    while end - first > 3:
        p, q, r = first + 1, (first + end) // 2, end - 1
        if before(a[p], a[q]):
            m = q if before(a[q], a[r]) else r if before(a[p], a[r]) else p
        else:
            m = p if before(a[p], a[r]) else r if before(a[q], a[r]) else q
        a[first], a[m] = a[m], a[first]
        left, right = first + 1, end
        while True:
            while before(a[left], a[first]):
                left += 1
            right -= 1
            while before(a[first], a[right]):
                right -= 1
            if left >= right:
                break
            a[left], a[right] = a[right], a[left]
            left += 1
        first, end = (left, end) if left <= nth else (first, left)
    return np.array(value)


@pytest.mark.parametrize("dtype", WHOLE)
@pytest.mark.parametrize("n", [40, 3000])
def test_sorting_whole_numbers(dtype: str, n: int) -> None:
    x = RS.randint(0, 200, (3, n)).astype(dtype)
    for descending in (False, True):
        equal(lambda lib, t, d=descending: lib.sort(t, dim=1, descending=d, stable=True), x)
        equal(lambda lib, t, d=descending: lib.topk(t, 7, 1, d), x)
        equal(lambda lib, t, d=descending: lib.topk(t, n // 3, 1, d, False).values.sort(1).values, x)


@pytest.mark.parametrize("largest", [False, True])
def test_selection_of_degenerate_rows(largest: bool) -> None:
    """The depth is bounded: beyond it a heap takes over, with PyTorch's order of equal values."""
    for n, k in ((500, 250), (3000, 1500), (3000, 3000)):
        x = degenerate(n, k - 1).astype(np.float32)
        equal(lambda lib, t, k=k: lib.topk(t, k, 0, largest), -x if largest else x)
        equal(lambda lib, t, k=k: lib.topk(t, k, 0, largest), np.repeat(-x if largest else x, 2))
    x = RS.permutation(5000).astype(np.float32)
    equal(lambda lib, t: lib.topk(t, 60, 0, largest), x)
    equal(lambda lib, t: lib.topk(t, 61, 0, largest), np.floor(x / 100))


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
def test_reductions_of_whole_numbers(dtype: str) -> None:
    x = (RS.randint(0, 2, (70, 300)) if dtype == "bool" else RS.randint(0, 9, (70, 300))).astype(dtype)
    for dim in (0, 1):
        for op in ("sum", "any", "all"):
            equal(lambda lib, t, o=op, d=dim: getattr(lib, o)(t, d), x)
        if dtype != "bool":
            equal(lambda lib, t, d=dim: [*lib.max(t, d), *lib.min(t, d), lib.argmax(t, d), lib.amin(t, d)], np.argsort(x, 1).astype(dtype))
            equal(lambda lib, t, d=dim: lib.prod(t[:9, :9], d, dtype=lib.int32), x)
    equal(lambda lib, t: [lib.sum(t), lib.any(t), lib.all(t), lib.all(t[0] >= 0), lib.any(t < 0)], x)


def test_long_rows_and_columns() -> None:
    x = RS.standard_normal((5, 9000)).astype(np.float32)
    near(lambda lib, t: [t.norm(dim=1), t.t().contiguous().sum(0), t.sum(1), (t * t).sum(1)], x)
    near(lambda lib, t: [t[0, ::2] @ t[1, ::2], t[0, ::2].dot(t[1, 1::2]), t[:, ::3] @ t[2, ::3]], x, steps=16, floor=4500**0.5)
    x[2, 100], x[4, 8999] = np.nan, np.nan
    equal(lambda lib, t: [*lib.max(t, 1), *lib.min(t, 1), lib.amax(t, 1), lib.argmin(t, 1)], x)


@pytest.mark.parametrize("dtype", WHOLE)
def test_arithmetic_of_whole_numbers(dtype: str) -> None:
    a, b = (RS.randint(0 if dtype == "uint8" else -9, 9, 200).astype(dtype) for _ in range(2))
    b[b == 0] = 3
    equal(lambda lib, x, y: [lib.div(x, y, rounding_mode=m) for m in ("trunc", "floor")], a, b)
    if dtype != "uint8":
        least = np.full(3, np.iinfo(dtype).min, dtype)
        for m in ("trunc", "floor"):  # (PyTorch's own answer is the processor's fault)
            same(fastnn.div(fastnn.tensor(least), fastnn.tensor(np.full(3, -1, dtype)), rounding_mode=m), least)
        base, power = np.array([1, -1, -1, 2, 5, -3], dtype), np.array([-2, -2, -3, -1, 3, 3], dtype)
        equal(lambda lib, x, y: x**y, base, power)
    equal(lambda lib, x, y: [lib.minimum(x > 0, y > 0), lib.maximum(x > 0, y > 0)], a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_far_out(dtype: str) -> None:
    x = np.concatenate([RS.uniform(-40, 40, 200), 10.0 ** RS.uniform(2, 30, 200), [-(2.0**27), 2.0**28 + 1, 1e20, -1e30, np.inf, np.nan]]).astype(dtype)
    near(lambda lib, t: [t.sin(), t.cos(), t.tan() / (1 + t.tan().abs())], x)
    close(fastnn.digamma(fastnn.tensor(np.linspace(-9.7, 9.7, 301, dtype=dtype))), torch.digamma(torch.tensor(np.linspace(-9.7, 9.7, 301, dtype=dtype))), 64, whole=True)
    u = np.concatenate([RS.uniform(-1, 1, 300), 1 - 10.0 ** RS.uniform(-15, -2, 50), 10.0 ** RS.uniform(-15, -2, 50) - 1, [1, -1, 0, 2, np.nan]]).astype(dtype)
    close(fastnn.erfinv(fastnn.tensor(u)), torch.erfinv(torch.tensor(u)), 4)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_draws_of_every_dtype(dtype: str) -> None:
    def drawn(lib: Any) -> list[Any]:
        lib.manual_seed(3)
        x = lib.empty(5000, dtype=getattr(lib, dtype))
        found = [x.clone().random_(), x.clone().bernoulli_(0.4), x.clone()[::3].random_(0, 2)]
        found.append(lib.randint(0, 2, (4001,), dtype=x.dtype))
        if dtype != "bool":
            found.append(x.clone().geometric_(0.3))
        if dtype.startswith("float"):
            found.append(lib.nn.functional.dropout(lib.ones(3000, dtype=x.dtype)[::2], 0.3))
            found += [x.clone().exponential_(2.0), x.clone().cauchy_(), lib.nn.functional.dropout(lib.ones(50, 100, dtype=x.dtype), 0.3)]
        return found

    for want, got in zip(drawn(torch), drawn(fastnn), strict=True):
        (close if dtype.startswith("float") else same)(got, want, *([2] if dtype.startswith("float") else []))


def test_a_number_kept_for_the_next_draw_stays_in_the_state() -> None:
    """PyTorch on other machines may leave a single-precision normal number in its state: it comes out as it went in."""
    state = fastnn.Generator().manual_seed(4).get_state()
    state[-8:] = fastnn.tensor([0, 0, 128, 63, 1, 0, 0, 0], dtype=fastnn.uint8)
    g = fastnn.Generator()
    g.set_state(state)
    same(g.get_state(), state)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("T", [5, 70, 300])
@pytest.mark.parametrize("p", [0.25, 1.0])
def test_attention_that_drops_weights(dtype: str, T: int, p: float) -> None:
    """With v the identity the result is what the values are weighed with; the gradients are those of the composition with the same mask."""
    q, k = (fastnn.tensor(RS.standard_normal((2, 3, T, 16)).astype(dtype), requires_grad=True) for _ in range(2))
    v = fastnn.eye(T, dtype=getattr(fastnn, dtype)).expand(2, 3, T, T).clone().requires_grad_()
    weights = fastnn.nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
    up = fastnn.tensor(RS.standard_normal(weights.shape).astype(dtype))
    got = fastnn.autograd.grad(weights, [q, k, v], up)
    scores = (q @ k.transpose(-2, -1) / 4).masked_fill(fastnn.ones(T, T).tril() == 0, -math.inf)
    plain, kept = scores.softmax(-1), (weights != 0).to(v.dtype)
    mine = plain * kept * (0 if p == 1 else 1 / (1 - p))
    close(weights, mine, 16, whole=True)
    share = float(kept.sum()) / (2 * 3 * T * (T + 1) / 2)
    assert abs(share - (1 - p)) <= 4 * math.sqrt(0.25 / (3 * T * (T + 1)))
    for g, w in zip(got, fastnn.autograd.grad(mine @ v, [q, k, v], up), strict=True):
        close(g, w, 64, whole=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_long_sums_onto_what_is_there(dtype: str) -> None:
    """More products per element than a block of them holds, added to what the result held; squares of long rows."""
    a, b, c = (RS.standard_normal(shape).astype(dtype) for shape in ((40, 900), (900, 70), (40, 70)))
    near(lambda lib, x, y, z: [z.addmm_(x, y), lib.nn.functional.rms_norm(x, (900,)), lib.nn.functional.rms_norm(x.view(10, 3600), (3600,))], a, b, c, steps=32)

    def gru(lib: Any, x: Any) -> list[Any]:
        lib.manual_seed(5)
        layer, x = lib.nn.GRU(8, 300, dtype=x.dtype), x.requires_grad_()
        out, last = layer(x)
        return [out, *lib.autograd.grad((out * out).sum() + last.sum(), [x, *layer.parameters()])]

    near(gru, RS.standard_normal((4, 33, 8)).astype(dtype), steps=256)


@pytest.mark.parametrize("way", ["plain", "bias", "activation"])
def test_products_of_the_largest_sizes(way: str) -> None:
    """From 2048 in every dimension (float64) OpenBLAS multiplies, with A and B in rows or copied into them. Whole numbers: any order of adding is exact."""
    a, b = (fastnn.tensor(RS.randint(-9, 9, (2048, 2050)).astype(np.float64)) for _ in range(2))
    row, want = fastnn.arange(2050.0, dtype=fastnn.float64), arr(a).T @ arr(b)
    if way == "plain":
        same(a.t() @ b, want)
    elif way == "bias":
        same(fastnn.nn.functional.linear(a.t(), b.t(), row), want + arr(row))
    else:
        same(fastnn._C._matmul_fused(a.t(), b, row, activation="relu"), np.maximum(want + arr(row), 0))


def test_a_recurrence_without_steps() -> None:
    """The last states are the first, or zero, and their gradients those of the first."""
    x, w = np.zeros((2, 0, 3), np.float32), [RS.standard_normal(s).astype(np.float32) for s in ((16, 3), (16, 4), (16,), (16,))]
    h, c = (RS.standard_normal((2, 4)).astype(np.float32) for _ in range(2))
    (y, *last), saved = fastnn.kernels.lstm_forward(x, h, *w, c)
    assert y.shape == (2, 0, 4)
    same(last[0], h)
    same(last[1], c)
    dh, dc = np.full((2, 4), 2, np.float32), np.full((2, 4), 3, np.float32)
    dx, dh0, *dw, dc0 = fastnn.kernels.lstm_backward((y, dh, dc), saved)
    assert dx.shape == x.shape and not any(d.any() for d in dw)
    same(dh0, dh)
    same(dc0, dc)
    (_, *last), _ = fastnn.kernels.lstm_forward(x, None, *w)
    assert not last[0].any() and not last[1].any()


def test_gradients_of_rare_operands() -> None:
    def run(lib: Any, x: Any, low: Any, mask: Any) -> list[Any]:
        x, low, value = x.requires_grad_(), low.requires_grad_(), lib.tensor(0.5, dtype=x.dtype, requires_grad=True)
        y = lib.clamp(x, low, low + 1) * x.masked_fill(mask > 0, value)
        z, one = x * 1, lib.tensor([[[7.0, 8, 9, 10, 11, 12, 13]]], dtype=x.dtype, requires_grad=True)
        z[1:3] = one
        w, rows = x * 1, lib.tensor([0, 2])
        w[rows] = one
        high = lib.clamp(x, max=low)
        loss = (y.sum() + (z * z).sum() + (w * x).sum() + high.sum()) * 2
        return [y, z, *lib.autograd.grad(loss, [x, low, value, one])]

    near(run, RS.standard_normal((4, 7)), RS.standard_normal((4, 7)), RS.randint(0, 2, (4, 7)))


def test_views_of_one_element_and_strided_triangles() -> None:
    equal(lambda lib, x: [x[:1, :1] + x[1:2, 1:2], x[0, 0] * x[1, 1], x.t().tril(), x[:, ::2].triu(), x.clone().t().tril_(-1)], RS.standard_normal((6, 6)))
    equal(lambda lib, x, y: [x @ y, y.transpose(1, 2) @ x.transpose(2, 3)], RS.randint(0, 9, (2, 1, 3, 4)).astype(np.float64), RS.randint(0, 9, (5, 4, 6)).astype(np.float64))


def test_attention_over_many_leading_dimensions() -> None:
    """Four of them, of which operands and mask lack some: those before the last two are a loop."""
    q, k, v = RS.standard_normal((2, 3, 2, 2, 4, 5)), RS.standard_normal((3, 1, 2, 6, 5)), RS.standard_normal((2, 1, 1, 2, 6, 3))
    mask, up = RS.standard_normal((2, 1, 2, 1, 1, 6)), RS.standard_normal((2, 3, 2, 2, 4, 3))

    def run(lib: Any, *tensors: Any) -> Any:
        *operands, weight = tensors
        for t in operands:
            t.requires_grad_()
        y = lib.nn.functional.scaled_dot_product_attention(*operands[:3], attn_mask=operands[3])
        return [y.detach(), *lib.autograd.grad(y, operands, weight)]

    near(run, q, k, v, mask, up, steps=16, floor=1e-15)


def test_truth_values_are_multiplied_where_they_are_scattered() -> None:
    a, b, at = RS.rand(4, 6) > 0.4, RS.rand(4, 5) > 0.4, np.stack([RS.permutation(6)[:5] for _ in range(4)])
    equal(lambda lib, x, y, i: x.clone().scatter_(1, i, y, reduce="multiply"), a, b, at)


def stale_view(lib: Any) -> Any:
    """A function of a view that was made without the tape, after its base was written with it."""

    class Twice(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    base = lib.ones(4, requires_grad=True) * 1
    with lib.no_grad():
        view = base[:2]
    base.mul_(2)
    return Twice.apply(view)


def untaped_view(lib: Any) -> Any:
    x = lib.ones(1, requires_grad=True)
    with lib.no_grad():
        view = x.view(1)
    return view.backward()


def wanting_inference(lib: Any) -> Any:
    with lib.inference_mode():
        x = lib.ones(2)
    return x.requires_grad_()


REFUSED: dict[str, Callable[[Any], Any]] = {
    "alpha of whole numbers": lambda lib: lib.add(lib.ones(3, dtype=lib.int64), lib.ones(3, dtype=lib.int64), alpha=0.5),
    "pow, negative": lambda lib: lib.arange(3) ** -1,
    "gather, size": lambda lib: lib.zeros(2, 3).gather(1, lib.zeros(3, 1, dtype=lib.int64)),
    "scatter, dims of the index": lambda lib: lib.zeros(2, 3).scatter(0, lib.zeros(2, dtype=lib.int64), 1.0),
    "scatter, dims of the source": lambda lib: lib.zeros(2, 3).scatter(0, lib.zeros(2, 1, dtype=lib.int64), lib.zeros(2)),
    "scatter, index too large": lambda lib: lib.zeros(2, 3).scatter(0, lib.zeros(2, 9, dtype=lib.int64), 1.0),
    "scatter, source too small": lambda lib: lib.zeros(2, 3).scatter(0, lib.zeros(2, 3, dtype=lib.int64), lib.zeros(1, 1)),
    "scatter, dtype": lambda lib: lib.zeros(2, 3).scatter(0, lib.zeros(2, 3, dtype=lib.int64), lib.zeros(2, 3, dtype=lib.float64)),
    "index_select of a number": lambda lib: lib.tensor(1.0).index_select(0, lib.zeros(2, dtype=lib.int64)),
    "index_add, dtype": lambda lib: lib.zeros(3).index_add(0, lib.tensor([0]), lib.zeros(1, dtype=lib.float64)),
    "index_add, numbers": lambda lib: lib.zeros(3, 2).index_add(0, lib.tensor([0]), lib.zeros(2, 2)),
    "index_add, shape": lambda lib: lib.zeros(3, 2).index_add(0, lib.tensor([0]), lib.zeros(1, 5)),
    "index, float": lambda lib: lib.zeros(3)[lib.zeros(2)],
    "index_put, dtype": lambda lib: lib.zeros(3).index_put((lib.tensor([0]),), lib.zeros(1, dtype=lib.float64)),
    "masked_select, mask": lambda lib: lib.masked_select(lib.zeros(3), lib.zeros(3)),
    "masked_fill, value": lambda lib: lib.zeros(3).masked_fill(lib.zeros(3) == 0, lib.zeros(2)),
    "product, batches": lambda lib: lib.zeros(2, 3, 4) @ lib.zeros(3, 4, 5),
    "attention, batches": lambda lib: lib.nn.functional.scaled_dot_product_attention(lib.zeros(2, 3, 4), lib.zeros(3, 3, 4), lib.zeros(3, 3, 4)),
    "attention, heads": lambda lib: lib.nn.functional.scaled_dot_product_attention(lib.zeros(1, 4, 3, 4), lib.zeros(1, 3, 3, 4), lib.zeros(1, 3, 3, 4), enable_gqa=True),
    "attention, mask": lambda lib: lib.nn.functional.scaled_dot_product_attention(lib.zeros(2, 3, 4), lib.zeros(2, 3, 4), lib.zeros(2, 3, 4), lib.zeros(5, 7)),
    "view, negative": lambda lib: lib.zeros(6).view(-2, 3),
    "view, ambiguous": lambda lib: lib.zeros(0, 3).view(0, -1),
    "as_strided": lambda lib: lib.zeros(6).as_strided((2, 3), (1,)),
    "unfold": lambda lib: lib.zeros(2, 3).unfold(1, 4, 1),
    "in place, broadcast": lambda lib: lib.zeros(3).add_(lib.zeros(2, 3)),
    "in place, dtype": lambda lib: lib.zeros(3, dtype=lib.int64).mul_(0.5),
    "in place, truth values": lambda lib: (lib.zeros(3) > 0).add_(2),
    "loss, sizes": lambda lib: lib.nn.functional.cross_entropy(lib.zeros(2, 3, 4), lib.zeros(2, 5, dtype=lib.int64)),
    "embedding": lambda lib: lib.nn.functional.embedding(lib.zeros(2), lib.zeros(5, 3)),
    "a function of a stale view": stale_view,
    "backward from a view without the tape": untaped_view,
    "a gradient for an inference tensor": wanting_inference,
    "state of a generator": lambda lib: lib.Generator().set_state(lib.full((5056,), 255, dtype=lib.uint8)),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_refused_as_by_torch(name: str) -> None:
    (_, want), (_, got) = (outcome(lambda lib=lib: REFUSED[name](lib)) for lib in (torch, fastnn))
    assert want is not None, "PyTorch takes it"
    assert type(got) is type(want), f"{got!r}, where PyTorch raises {want!r}"
    assert str(got)
