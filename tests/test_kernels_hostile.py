"""fastnn.kernels under hostile input: every argument of every pair replaced by what does not belong there.

Invariant: a call gives a result or raises an exception of the classes the package's docstring names, with a message; it
never crashes, and leaves its arguments and `out` as they were. Read next: kernel_cases.py for the calls that are broken here.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from kernel_cases import CASES, gradients_like, many

import fastnn
import fastnn.kernels as k

ALLOWED = (TypeError, RuntimeError, ValueError, IndexError, AssertionError, NotImplementedError)
R = np.random.RandomState(0)


class Subclass(np.ndarray[Any, Any]):
    """An array that is one only by inheritance."""


HOSTILE: dict[str, Any] = {
    "None": None,
    "number": 3.0,
    "text": "?",
    "list": [[1.0, 2.0]],
    "tensor": fastnn.zeros(3, 4),
    "0-d": np.array(1.0, np.float32),
    "empty": np.zeros(0, np.float32),
    "empty rows": np.zeros((3, 0), np.float32),
    "one number": np.ones((1, 1), np.float32),
    "vector": np.ones(5, np.float32),
    "many dimensions": np.ones((1,) * 8, np.float32),
    "too many dimensions": np.ones((1,) * 9, np.float32),
    "other shape": np.ones((13, 17), np.float32),
    "float64": np.ones((3, 4, 5)),
    "float16": np.ones((5, 7), np.float16),
    "complex": np.ones((5, 7), np.complex64),
    "bool": np.ones((5, 7), bool),
    "uint8": np.ones((5, 7), np.uint8),
    "int32": np.full((5, 7), 2**31 - 1, np.int32),
    "negative": np.full((3, 5), -1),
    "int64": np.full((3, 5), 2**62),
    "objects": np.array([[None, {}]], object),
    "texts": np.array(["a", "b"]),
    "times": np.zeros((5, 7), "M8[s]"),
    "record": np.zeros(5, [("a", "f4"), ("b", "i4")]),
    "field": np.ones((5, 7), [("a", "f4"), ("b", "i2")])["a"],
    "nan": np.full((5, 7), np.nan, np.float32),
    "infinite": np.full((5, 7), np.inf, np.float32),
    "stride 0": np.broadcast_to(np.float32(1), (5, 7)),
    "overlapping": np.lib.stride_tricks.as_strided(np.ones(20, np.float32), (5, 7), (4, 4)),
    "subclass": np.ones((5, 7), np.float32).view(Subclass),
    "masked": np.ma.masked_array(np.ones((5, 7), np.float32), True),
}


def survives(call: Any) -> None:
    try:
        call()
    except ALLOWED as error:
        assert str(error), repr(error)


@pytest.mark.parametrize("name", list(CASES))
def test_arguments_of_forward(name: str) -> None:
    case = CASES[name]
    good = case.cast("float32")
    forward = getattr(k, f"{case.op}_forward")
    out = tuple(np.full_like(y, 7) for y in many(forward(*good, **case.options)[0]))
    before = [None if a is None else a.copy() for a in good]
    for i in range(len(good)):
        for bad in HOSTILE.values():
            survives(lambda bad=bad, i=i: forward(*good[:i], bad, *good[i + 1 :], **case.options))
    for bad in HOSTILE.values():
        fits = isinstance(bad, np.ndarray) and bad.shape == out[-1].shape and bad.dtype == np.float32
        if bad is None or fits:
            continue
        with pytest.raises(ALLOWED, match="out"):
            forward(*good, **case.options, out=(*out[:-1], bad) if len(out) > 1 else bad)
    assert all((o == 7).all() for o in out)
    for a, b in zip(good, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", list(CASES))
def test_arguments_of_backward(name: str) -> None:
    case = CASES[name]
    good = case.cast("float32")
    y, saved = getattr(k, f"{case.op}_forward")(*good, **case.options)
    backward, dy = getattr(k, f"{case.op}_backward"), gradients_like(y)
    gradients = many(backward(dy, saved))
    before = [a.copy() if isinstance(a, np.ndarray) else None for a in saved]
    for bad in HOSTILE.values():
        survives(lambda bad=bad: backward(bad, saved))
        for field in saved._fields:
            survives(lambda bad=bad, field=field: backward(dy, saved._replace(**{field: bad})))
        if bad is not None:
            with pytest.raises(ALLOWED):
                backward(dy, bad)
            with pytest.raises(ALLOWED, match="need"):
                backward(dy, saved, need=bad)
            with pytest.raises(ALLOWED, match="need"):
                backward(dy, saved, need=(bad,))
            if len(gradients) == 1 and isinstance(bad, np.ndarray) and bad.shape == gradients[0].shape and bad.dtype == np.float32:
                continue
            with pytest.raises(ALLOWED, match="out"):
                backward(dy, saved, out=bad)
    for a, b in zip(saved, before, strict=True):
        if b is not None:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", list(CASES))
def test_saved_of_another_call(name: str) -> None:
    """Arrays and records of calls with other shapes, mixed: refused, or the record's shapes and the arrays' agree."""
    case = CASES[name]
    y, saved = getattr(k, f"{case.op}_forward")(*case.cast("float32"), **case.options)
    _, wide = getattr(k, f"{case.op}_forward")(*case.cast("float64"), **case.options)
    backward, dy = getattr(k, f"{case.op}_backward"), gradients_like(y)
    if any(a is not None and a.dtype.kind == "f" for a in saved[:-1]):
        with pytest.raises(RuntimeError, match="as in forward"):
            backward(dy, saved._replace(call=wide.call))
    for other in CASES.values():
        if other.op == case.op and other.options == case.options:
            _, foreign = getattr(k, f"{other.op}_forward")(*other.cast("float32"), **other.options)
            survives(lambda foreign=foreign: backward(dy, saved._replace(call=foreign.call)))


def test_pickles_of_records() -> None:
    _, saved = k.linear_forward(np.ones((3, 5), np.float32), np.ones((4, 5), np.float32))
    make, (op, data) = saved.call.__reduce__()
    assert pickle.dumps(make(op, data)) == pickle.dumps(saved.call)
    for bad in (b"", data[:-1], data + b"x", b"\xff" * len(data), data[:-72] + b"\x7f" * 72):
        with pytest.raises(ValueError, match="linear: not the record of a call"):
            make(op, bad)
    with pytest.raises(ValueError, match="no op of this name"):
        make("nothing", data)
    with pytest.raises(ValueError, match="not the record"):
        make("tanh", data)
    with pytest.raises(TypeError):
        type(saved.call)()


@pytest.mark.parametrize("value", [None, "x", [], np.ones(3), 2**70, float("nan")], ids=str)
def test_attributes(value: Any) -> None:
    x = np.ones((3, 5), np.float32)
    for call in (
        lambda: k.softmax_forward(x, value),
        lambda: k.layer_norm_forward(x, eps=value),
        lambda: k.layer_norm_forward(x, normalized_shape=value),
        lambda: k.dropout_forward(x, value),
        lambda: k.embedding_forward(np.array([0]), x, value),
        lambda: k.cross_entropy_forward(x, np.array([0, 1, 2]), ignore_index=value),
        lambda: k.cross_entropy_forward(x, np.array([0, 1, 2]), label_smoothing=value),
        lambda: k.attention_forward(x, x, x, scale=value),
        lambda: k.sgd(x, x * 1, lr=value),
        lambda: k.adamw(x, x * 1, x * 1, x * 1, value),
        lambda: k.clip_by_norm(x, value),
    ):
        try:
            call()
        except (*ALLOWED, OverflowError) as error:
            assert str(error)
    for call in (lambda: k.gelu_forward(x, value), lambda: k.gru_forward(x, x, x, variant=value), lambda: k.rnn_forward(x, x, x, x, nonlinearity=value), lambda: k.matmul_fused_forward(x, x, activation=value)):
        with pytest.raises((TypeError, ValueError, RuntimeError)):
            call()
