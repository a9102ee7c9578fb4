"""fastnn.kernels: need= (some gradients only) and out= (results into given arrays), over all cases of kernel_cases.py.

Invariant: both give the bits of the plain call; an `out` that does not fit is refused and nothing is written anywhere.
Read next: test_kernels_steps.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kernel_cases import CASES, LSTM, Case, floats, gradients_like, many

import fastnn
import fastnn.kernels as k

Array = np.ndarray[Any, Any]
# Names of the arguments whose gradients backward gives, by pair.
NAMES = {
    "matmul": "a b", "linear": "x w b", "embedding": "w", "layer_norm": "x w b", "rms_norm": "x w", "attention": "q k v",
    "gru": "x h0 w_ih w_hh b_ih b_hh", "gru_cell": "x h w_ih w_hh b_ih b_hh", "matmul_fused": "a b bias residual",
    "rnn": "x h0 w_ih w_hh b_ih b_hh", "rnn_cell": "x h w_ih w_hh b_ih b_hh",
    "lstm": "x h0 w_ih w_hh b_ih b_hh c0", "lstm_cell": "x h w_ih w_hh b_ih b_hh c",
}  # fmt: skip


def names_of(case: Case) -> list[str]:
    return NAMES.get(case.op, "x").split()


def forward(case: Case, **options: Any) -> tuple[Any, Any]:
    fastnn.manual_seed(3)
    return getattr(k, f"{case.op}_forward")(*case.cast("float32"), **case.options, **options)


def backward(case: Case, saved: Any, y: Any, **options: Any) -> tuple[Any, ...]:
    return many(getattr(k, f"{case.op}_backward")(gradients_like(y), saved, **options))


def plain(a: Array) -> Array:
    return np.full(a.shape, np.nan, a.dtype)


def spread(a: Array) -> Array:
    """Every second element of a larger array."""
    return np.full(tuple(2 * n + 1 for n in a.shape), np.nan, a.dtype)[(*(slice(1, None, 2) for _ in a.shape), ...)]


def backwards(a: Array) -> Array:
    b = plain(a)
    return b[(*(slice(None, None, -1) for _ in a.shape), ...)]


def transposed(a: Array) -> Array:
    return np.full(a.shape[::-1], np.nan, a.dtype).T


def foreign(a: Array) -> Array:
    return np.full(a.shape, np.nan, a.dtype.newbyteorder(">"))


def odd(a: Array) -> Array:
    return np.ndarray(a.shape, a.dtype, np.zeros(a.nbytes + 1, np.uint8)[1:].data)


KINDS = [plain, spread, backwards, transposed, foreign, odd]


@pytest.mark.parametrize("kind", KINDS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", list(CASES))
def test_out_gives_the_same_bits(name: str, kind: Callable[[Array], Array]) -> None:
    case = CASES[name]
    y, saved = forward(case)
    gradients = backward(case, saved, y)
    to = tuple(kind(np.asarray(a)) for a in many(y))
    ys2, saved2 = forward(case, out=to if isinstance(y, tuple) else to[0])
    for a, a2, o in zip(many(y), many(ys2), to, strict=True):
        assert a2 is o
        np.testing.assert_array_equal(a2, a)
    if "y" in saved2._fields:
        assert saved2.y is to[0]
    out = tuple(None if g is None else kind(g) for g in gradients)
    gradients2 = backward(case, saved2, y, out=out if len(out) > 1 else out[0])
    for g, g2, o in zip(gradients, gradients2, out, strict=True):
        assert g2 is o
        if g is not None:
            np.testing.assert_array_equal(g2, g)


@pytest.mark.parametrize("name", list(CASES))
def test_need_computes_some_gradients_only(name: str) -> None:
    case = CASES[name]
    y, saved = forward(case)
    gradients, names = backward(case, saved, y), names_of(case)
    assert len(gradients) == len(names)
    for wanted in [(), *((n,) for n in names), tuple(names), tuple(names[::2])]:
        found = backward(case, saved, y, need=wanted)
        for n, g, g2 in zip(names, gradients, found, strict=True):
            assert (g2 is None) == (n not in wanted or g is None)
            if g2 is not None:
                np.testing.assert_array_equal(g2, g)


def test_need_saves_the_work() -> None:
    """What is not needed is not allocated either."""
    x, w = floats(256, 512).astype(np.float32), floats(512, 512).astype(np.float32)
    y, saved = k.linear_forward(x, w)
    k.linear_backward(y, saved)
    before = fastnn._C._pool_stats()["requests"]
    k.linear_backward(y, saved, need=())
    none = fastnn._C._pool_stats()["requests"] - before
    k.linear_backward(y, saved)
    assert none == 0 < fastnn._C._pool_stats()["requests"] - before


def test_some_fresh_some_given() -> None:
    x, w, b = floats(3, 5).astype(np.float32), floats(4, 5).astype(np.float32), np.zeros(4, np.float32)
    y, saved = k.linear_forward(x, w, b)
    dw = np.empty_like(w)
    found = k.linear_backward(y, saved, need=("w", "b"), out=(None, dw, None))
    assert found[0] is None and found[1] is dw and found[2] is not None


def test_columns_of_one_array_lie_apart() -> None:
    """Outputs interleaved in memory share no element: three parts of one gradient."""
    x = floats(3, 4, 15).astype(np.float32)
    q, key, v = (x[..., 5 * i : 5 * i + 5] for i in range(3))
    y, saved = k.attention_forward(q, key, v)
    dx = np.empty_like(x)
    parts = tuple(dx[..., 5 * i : 5 * i + 5] for i in range(3))
    for got, want in zip(k.attention_backward(y, saved, out=parts), k.attention_backward(y, saved), strict=True):
        np.testing.assert_array_equal(got, want)


X = floats(4, 6).astype(np.float32)
W = floats(5, 6, seed=1).astype(np.float32)
LSTM32 = [a.astype(np.float32) for a in LSTM]


def same_place(shape: tuple[int, ...]) -> Array:
    return np.lib.stride_tricks.as_strided(np.zeros(8, np.float32), shape, (0, 4))


def locked() -> Array:
    a = np.zeros((4, 6), np.float32)
    a.flags.writeable = False
    return a


def _tanh(**options: Any) -> Any:
    return k.tanh_backward(X, k.tanh_forward(X)[1], **options)


def _linear(**options: Any) -> Any:
    y, saved = k.linear_forward(X, W)
    return k.linear_backward(y, saved, **options)


def _over_saved() -> Any:
    y, saved = k.tanh_forward(X)
    return k.tanh_backward(X, saved, out=y)


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "list": (lambda: k.tanh_forward(X, out=[1.0]), TypeError, r"tanh\(\): argument 'out' must be a NumPy array, not list"),  # type: ignore[arg-type]
    "shape": (lambda: k.tanh_forward(X, out=np.zeros((4, 5), np.float32)), RuntimeError, r"tanh: out has shape \(4, 5\), expected \(4, 6\)"),
    "dtype": (lambda: k.tanh_forward(X, out=np.zeros((4, 6))), RuntimeError, r"tanh: out has dtype float64, expected float32"),
    "integers": (lambda: k.tanh_forward(X, out=np.zeros((4, 6), int)), RuntimeError, r"tanh: out has dtype int64, expected float32"),
    "read-only": (lambda: k.tanh_forward(X, out=locked()), RuntimeError, r"tanh: out is read-only"),
    "itself": (lambda: k.tanh_forward(X, out=X), RuntimeError, r"tanh: out shares memory with x"),
    "its rows": (lambda: k.tanh_forward(X[:3], out=X[1:]), RuntimeError, r"tanh: out shares memory with x"),
    "reversed": (lambda: k.tanh_forward(X, out=X[::-1]), RuntimeError, r"tanh: out shares memory with x"),
    "weights": (lambda: k.linear_forward(X, W[:, :6], out=W[:4, :5]), RuntimeError, r"linear: out shares memory with w"),
    "one place": (lambda: k.tanh_forward(X[:, :2], out=same_place((4, 2))), RuntimeError, r"tanh: out has several elements in one place"),
    "gradient shape": (lambda: _tanh(out=np.zeros((6, 4), np.float32)), RuntimeError, r"tanh_backward: out has shape \(6, 4\), expected \(4, 6\)"),
    "gradient read-only": (lambda: _tanh(out=locked()), RuntimeError, r"tanh_backward: out is read-only"),
    "gradient over dy": (lambda: _tanh(out=X), RuntimeError, r"tanh_backward: out shares memory with dy"),
    "gradient over saved": (_over_saved, RuntimeError, r"tanh_backward: out shares memory with saved.y"),
    "no tuple": (lambda: _linear(out=np.empty_like(X)), TypeError, r"linear_backward\(\): argument 'out' must be a tuple of arrays, not numpy.ndarray"),
    "too few": (lambda: _linear(out=(np.empty_like(X), None)), ValueError, r"linear_backward: out has 2 entries, expected 3"),
    "second": (lambda: _linear(out=(None, np.empty_like(X), None)), RuntimeError, r"linear_backward: out\[1\] has shape \(4, 6\), expected \(5, 6\)"),
    "absent": (lambda: _linear(out=(None, None, np.empty(5, np.float32))), ValueError, r"linear_backward: out\[2\] is given for b, which gets no gradient"),
    "not needed": (lambda: _linear(need=("w",), out=(np.empty_like(X), None, None)), ValueError, r"linear_backward: out\[0\] is given for x"),
    "each other": (lambda: k.matmul_backward(X @ X.T, k.matmul_forward(X, X.T.copy())[1], out=((z := np.empty_like(X)), z.T)), RuntimeError, r"matmul_backward: out\[1\] shares memory with another entry of out"),
    "lstm: no tuple": (lambda: k.lstm_forward(*LSTM32, out=np.zeros((3, 4, 6), np.float32)), TypeError, r"lstm\(\): argument 'out' must be a tuple of arrays"),
    "lstm: dy": (lambda: k.lstm_backward(np.zeros((3, 4, 6), np.float32), k.lstm_forward(*LSTM32)[1]), TypeError, r"lstm_backward: dy must be a tuple of 3 arrays or None"),  # type: ignore[arg-type]
    "lstm: dy shape": (lambda: k.lstm_backward((None, None, X), k.lstm_forward(*LSTM32)[1]), RuntimeError, r"lstm_backward: dy has shape \(4, 6\)"),
    "need: name": (lambda: _linear(need=("weight",)), ValueError, r"linear_backward: need names 'weight', expected some of: x, w, b"),
    "need: list": (lambda: _linear(need=["w"]), TypeError, r"linear_backward\(\): argument 'need' must be a tuple of argument names, not list"),
    "need: text": (lambda: _linear(need="w"), TypeError, r"need' must be a tuple of argument names, not str"),
    "need: numbers": (lambda: _linear(need=(True, False, False)), ValueError, r"linear_backward: need names True, expected some of: x, w, b"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BAD))
def test_unfit_arguments_are_refused_before_anything_is_written(name: str) -> None:
    call, error, pattern = BAD[name]
    x, w = X.copy(), W.copy()
    with pytest.raises(error, match=pattern):
        call()
    np.testing.assert_array_equal(X, x)
    np.testing.assert_array_equal(W, w)


def test_a_late_error_leaves_out_alone() -> None:
    """An id out of range is found before the first row is written."""
    out = np.full((3, 6), 7, np.float32)
    with pytest.raises(IndexError):
        k.embedding_forward(np.array([0, 1, 9]), W, out=out)
    assert (out == 7).all()


def test_a_loop_over_given_arrays_allocates_nothing() -> None:
    x = floats(300, 400).astype(np.float32)
    y, dx = np.empty_like(x), np.empty_like(x)

    def once() -> None:
        _, saved = k.gelu_forward(x, out=y)
        k.gelu_backward(y, saved, out=dx)

    once()
    before = fastnn._C._pool_stats()
    for _ in range(5):
        once()
    after = fastnn._C._pool_stats()
    assert after["system_allocs"] == before["system_allocs"] and after["bytes_in_use"] == before["bytes_in_use"]
