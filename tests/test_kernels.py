"""fastnn.kernels beside torch's autograd: values, gradients, strides, dtypes, ownership, errors.

Every case of kernel_cases.py calls a forward and backward pair on arrays of one kind (plain, strided, reversed, read-only, transposed) and the same function
in torch. Invariant: whatever the kind, the result is the bits that contiguous arrays give. Does not: time anything.
Read next: test_kernels_out.py (need, out), test_kernels_steps.py (optimizers), python/fastnn/kernels/__init__.py.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from kernel_cases import CASES, GRU, IDS, LSTM, TARGETS, floats, gradients_like, many, run

import fastnn
import fastnn.kernels as k


def test_every_pair_has_a_case() -> None:
    pairs = {n.removesuffix("_forward") for n in k.__all__ if n.endswith("_forward")}
    assert pairs == {c.op for c in CASES.values()} == {n.removesuffix("_backward") for n in k.__all__ if n.endswith("_backward")}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(CASES))
def test_beside_torch(name: str, dtype: str) -> None:
    case = CASES[name]
    arrays = case.cast(dtype)
    ys, dys, gradients = run(case, arrays)
    tensors = [None if a is None else torch.from_numpy(a.astype(np.int64) if a.dtype.kind == "i" else a.copy()) for a in arrays]
    for i in case.wanted:
        tensors[i].requires_grad_(True)
    want = case.reference(*tensors, **case.options)
    torch.autograd.backward(many(want), [torch.from_numpy(np.asarray(dy)) for dy in dys])
    tolerance = {"float32": 2e-5, "float64": 1e-12}[dtype] * (20 if "far" in name else 1)
    for y, t in zip(ys, many(want), strict=True):
        assert y.dtype == dtype
        np.testing.assert_allclose(y, t.detach().numpy(), rtol=tolerance, atol=tolerance)
    assert len(gradients) == len(case.wanted)
    for i, g in zip(case.wanted, gradients, strict=True):
        assert g.dtype == dtype and g.shape == arrays[i].shape
        np.testing.assert_allclose(g, tensors[i].grad.numpy(), rtol=tolerance, atol=tolerance * max(1, np.abs(g).max(initial=0)))


def strided(a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same values, every second element of a larger array."""
    b = np.full(tuple(2 * n for n in a.shape), -1, a.dtype)
    view = b[(*(slice(None, None, 2) for _ in a.shape), ...)]
    view[...] = a
    return view


def backwards(a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return a[..., ::-1].copy()[..., ::-1] if a.ndim else a


def transposed(a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return a.copy(order="F")


def read_only(a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    a = a.copy()
    a.flags.writeable = False
    return a


def odd_address(a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    raw = np.zeros(a.nbytes + 1, np.uint8)[1:]
    b = np.ndarray(a.shape, a.dtype, raw.data)
    b[...] = a
    return b


def foreign_bytes(a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return a.astype(a.dtype.newbyteorder(">"))


@pytest.mark.parametrize("kind", [strided, backwards, transposed, read_only, odd_address, foreign_bytes], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith("dropout")])  # which draws in the order of memory
def test_any_array_gives_the_same_bits(name: str, kind: Callable[[Any], Any]) -> None:
    case = CASES[name]
    arrays = case.cast("float32")
    before = [None if a is None else a.copy() for a in arrays]
    ys, _, gradients = run(case, arrays)
    ys2, _, gradients2 = run(case, [None if a is None else kind(a) for a in arrays], kind)
    for a, b in zip([*ys, *gradients], [*ys2, *gradients2], strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(arrays, before, strict=True):
        if a is not None:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", list(CASES))
def test_results_are_the_callers(name: str) -> None:
    """Gradients and outputs have memory of their own, are writable, and no two share it."""
    case = CASES[name]
    arrays = case.cast("float32")
    ys, dys, gradients = run(case, arrays)
    seen = [a for a in [*arrays, *dys] if a is not None]
    for g in [*ys, *gradients]:
        assert g.flags.writeable
        assert not any(np.shares_memory(g, a) for a in seen)
        seen.append(g)


@pytest.mark.parametrize("name", list(CASES))
def test_saved_is_all_that_backward_needs(name: str) -> None:
    case = CASES[name]
    y, saved = getattr(k, f"{case.op}_forward")(*case.cast("float32"), **case.options)
    backward = getattr(k, f"{case.op}_backward")
    assert isinstance(saved, tuple) and saved._fields[-1] == "call"
    assert all(a is None or isinstance(a, np.ndarray) for a in saved[:-1])
    dy = gradients_like(y)
    want = many(backward(dy, saved))
    del y
    for copy in (pickle.loads(pickle.dumps(saved)), saved._replace(**{n: None if a is None else a.copy() for n, a in zip(saved._fields[:-1], saved[:-1], strict=True)})):
        for a, b in zip(want, many(backward(dy, copy)), strict=True):
            np.testing.assert_array_equal(a, b) if a is not None else None


def test_saved_names() -> None:
    _, s = k.layer_norm_forward(floats(3, 5), np.ones(5), np.zeros(5))
    assert s._fields == ("x", "w", "mean", "rstd", "call")
    np.testing.assert_allclose(s.mean.ravel(), floats(3, 5).mean(1))
    np.testing.assert_allclose(s.rstd.ravel(), 1 / np.sqrt(floats(3, 5).var(1) + 1e-5))
    _, s = k.cross_entropy_forward(floats(13, 11), TARGETS)
    np.testing.assert_allclose(s.parts.sum(1), np.log(np.exp(floats(13, 11)).sum(1)))
    assert k.gru_forward(*GRU)[1].gates.shape == (3, 4, 30)
    assert k.lstm_forward(*LSTM)[1].gates.shape == (3, 4, 42)
    assert k.tanh_forward(floats(3))[1]._fields == ("y", "call")


def test_layer_norm_of_large_mean() -> None:
    """Welford's recurrence: a mean far from 0 does not eat the variance."""
    x = (1e4 + floats(2, 20000)).astype(np.float32)
    _, saved = k.layer_norm_forward(x)
    np.testing.assert_allclose(saved.rstd.ravel(), 1 / np.sqrt(x.astype(np.float64).var(1) + 1e-5), rtol=1e-4)


def test_numbers_are_the_tensor_apis() -> None:
    """The same function: bit for bit what the tape gives."""
    x, w, b = (a.astype(np.float32) for a in (floats(8, 33), floats(5, 33, seed=1), floats(5, seed=2)))
    y, saved = k.linear_forward(x, w, b)
    tensors = [fastnn.tensor(a, requires_grad=True) for a in (x, w, b)]
    out = fastnn.nn.functional.linear(*tensors)
    out.sum().backward()
    np.testing.assert_array_equal(y, out.detach().numpy())
    for g, t in zip(k.linear_backward(np.ones_like(y), saved), tensors, strict=True):
        np.testing.assert_array_equal(g, t.grad.numpy())


F32, F64 = floats(3, 5).astype(np.float32), floats(3, 5)
ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "list": (lambda: k.tanh_forward([1.0]), TypeError, r"tanh.*'x'.*list"),  # type: ignore[arg-type]
    "integers": (lambda: k.tanh_forward(np.arange(3)), RuntimeError, r"tanh: x has dtype int64, expected float32 or float64"),
    "half": (lambda: k.relu_forward(F32.astype(np.float16)), RuntimeError, r"relu: x has dtype float16"),
    "mixed": (lambda: k.linear_forward(F32, F64), RuntimeError, r"linear: weight.*float64.*float32"),
    "shape": (lambda: k.linear_forward(F32, F32.T.copy()), RuntimeError, r"linear.*\(3, 5\).*\(5, 3\)"),
    "bias": (lambda: k.linear_forward(F32, F32, np.zeros(4, np.float32)), RuntimeError, r"linear.*bias.*\(4,\).*\(3,\)"),
    "matmul": (lambda: k.matmul_forward(F32, F32), RuntimeError, r"matmul"),
    "no array": (lambda: k.matmul_forward(F32, None), TypeError, r"matmul.*'b'|expected np.ndarray"),  # type: ignore[arg-type]
    "id": (lambda: k.embedding_forward(np.array([5]), F32), IndexError, r"embedding|index out of range"),
    "float ids": (lambda: k.embedding_forward(F32, F32), RuntimeError, r"embedding"),
    "target": (lambda: k.cross_entropy_forward(F32, np.array([0, 1, 5])), IndexError, r"Target 5|cross_entropy"),
    "targets": (lambda: k.cross_entropy_forward(F32, np.array([0, 1])), ValueError, r"cross_entropy|batch"),
    "reduction": (lambda: k.cross_entropy_forward(F32, np.array([0, 1, 2]), reduction="max"), ValueError, r"cross_entropy: reduction.*'max'"),
    "norm": (lambda: k.layer_norm_forward(F32, np.ones(4, np.float32)), RuntimeError, r"layer_norm.*4"),
    "dim": (lambda: k.softmax_forward(F32, 2), IndexError, r"Dimension out of range|softmax"),
    "approximate": (lambda: k.gelu_forward(F32, "erf"), RuntimeError, r"gelu: approximate.*'erf'"),
    "heads": (lambda: k.attention_forward(F32, F32[:, :4].copy(), F32), RuntimeError, r"attention"),
    "both masks": (lambda: k.attention_forward(F32, F32, F32, causal=True, mask=np.ones((3, 3), bool)), RuntimeError, r"is_causal"),
    "variant": (lambda: k.gru_forward(*GRU, variant="later"), ValueError, r"gru: variant is 'later'"),
    "input size": (lambda: k.gru_forward(GRU[0][..., :4].copy(), *GRU[1:]), RuntimeError, r"gru.*input_size.*4.*5"),
    "dy shape": (lambda: k.tanh_backward(F32[:2], k.tanh_forward(F32)[1]), RuntimeError, r"tanh_backward: dy has shape \(2, 5\).*\(3, 5\)"),
    "dy dtype": (lambda: k.tanh_backward(F64, k.tanh_forward(F32)[1]), RuntimeError, r"tanh_backward: dy.*float64.*float32"),
    "other saved": (lambda: k.tanh_backward(F32, k.relu_forward(F32)[1]), TypeError, r"tanh_backward.*saved"),
    "no saved": (lambda: k.tanh_backward(F32, None), TypeError, r"tanh_backward.*NoneType"),
    "saved shape": (lambda: k.tanh_backward(F32, k.tanh_forward(F32)[1]._replace(y=F32[:1])), RuntimeError, r"saved.y has shape \(1, 5\)"),
    "saved call": (lambda: k.tanh_backward(F32, k.tanh_forward(F32)[1]._replace(call=b"x")), TypeError, r"saved does not come from tanh_forward"),
    "nine dims": (lambda: k.tanh_forward(np.zeros((1,) * 9, np.float32)), ValueError, r"9 dimensions.*8"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(ERRORS))
def test_errors(name: str) -> None:
    call, error, pattern = ERRORS[name]
    with pytest.raises(error, match=pattern):
        call()


def test_a_number_stands_for_a_0d_gradient() -> None:
    loss, saved = k.cross_entropy_forward(F32, np.array([0, 1, 2]))
    assert loss.shape == ()
    np.testing.assert_array_equal(k.cross_entropy_backward(1.0, saved), k.cross_entropy_backward(np.float32(1), saved))


def test_no_gradient_gives_zeros() -> None:
    np.testing.assert_array_equal(k.tanh_backward(None, k.tanh_forward(F32)[1]), np.zeros_like(F32))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"embedding_backward: dy has shape \(\)"):
        k.embedding_backward(1.0, k.embedding_forward(IDS, floats(11, 6))[1])  # type: ignore[arg-type]


def test_nothing_leaks() -> None:
    def once() -> None:
        for case in CASES.values():
            run(case, case.cast("float32"))

    once()
    before = fastnn._C._pool_stats()["bytes_in_use"]
    for _ in range(20):
        once()
    assert fastnn._C._pool_stats()["bytes_in_use"] == before


@pytest.mark.parametrize("name", k.__all__)
def test_every_function_is_typed_and_documented(name: str) -> None:
    f = getattr(k, name)
    signature = inspect.signature(f)
    assert signature.return_annotation is not signature.empty
    assert all(p.annotation is not p.empty for p in signature.parameters.values())
    if name.endswith("_backward"):
        assert list(signature.parameters) == ["dy", "saved", "need", "out"]
        assert signature.parameters["saved"].annotation == "".join(w.capitalize() for w in name.split("_")[:-1]) + "Saved"
    elif "One step of" not in f.__doc__:
        assert "Source: " in f.__doc__ or "formula of" in f.__doc__
    assert "out" in signature.parameters or name in ("adam", "adamw", "sgd", "clip_by_norm")


@pytest.mark.parametrize("layout", [lambda a: a.T, lambda a: a[:, ::2], lambda a: a.transpose(1, 0)[::3]])
def test_dropout_draws_in_the_order_of_memory(layout: Callable[[Any], Any]) -> None:
    """As torch does: a transposed array gets the mask of the array it is the transpose of."""
    x = layout(floats(6, 8).astype(np.float32))
    fastnn.manual_seed(5)
    y, saved = k.dropout_forward(x, 0.4)
    torch.manual_seed(5)
    np.testing.assert_array_equal(y, torch.nn.functional.dropout(torch.from_numpy(x), 0.4).numpy())
    np.testing.assert_array_equal(k.dropout_backward(np.ones_like(y), saved) != 0, y != 0)


@pytest.mark.parametrize("name", list(CASES))
def test_bits_do_not_depend_on_threads(name: str) -> None:
    case, before = CASES[name], fastnn.get_num_threads()
    try:
        results = []
        for n in (1, 3):
            fastnn.set_num_threads(n)
            ys, _, gradients = run(case, case.cast("float32"))
            results.append([*ys, *gradients])
        for a, b in zip(*results, strict=True):
            np.testing.assert_array_equal(a, b)
    finally:
        fastnn.set_num_threads(before)


def test_no_object_leaks() -> None:
    """Neither results nor refused calls keep a reference to an argument, or leave one object behind."""
    x, saved = F32.copy(), k.tanh_forward(F32)[1]
    calls: list[Callable[[], Any]] = [call for call, _, _ in ERRORS.values()]
    calls += [
        lambda: k.linear_forward(x, x, out=x),
        lambda: k.tanh_backward(x, saved, need=("y",)),
        lambda: k.tanh_backward(x[:, ::-1], saved, out=x),
        lambda: k.layer_norm_backward(x, k.layer_norm_forward(x, x[0])[1], out=(x, None, None)),
        lambda: k.adam([x, x], [x, x], [x, x], [x, x], 1),
        lambda: pickle.loads(pickle.dumps(k.linear_forward(x, x)[1])),
    ]
    calls += [lambda case=case: run(case, case.cast("float32")) for case in CASES.values()]  # type: ignore[misc]

    def leaks(call: Callable[[], Any]) -> bool:
        """Whether 20 calls leave 20 blocks or more behind, time after time: freelists fill for a while, a leak grows for ever."""
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(60):
            for _ in range(20):
                with contextlib.suppress(Exception):
                    call()
            gc.collect()  # tracebacks and frames are cycles
            after = sys.getallocatedblocks()
            if after - before < 20:
                return False
            before = after
        return True

    references = sys.getrefcount(x)
    assert [i for i, call in enumerate(calls) if leaks(call)] == []
    gc.collect()
    assert sys.getrefcount(x) == references
