"""fastnn.kernels beside torch's autograd: values, gradients, strides, dtypes, ownership, errors.

Every case calls a forward and backward pair on arrays of one kind (plain, strided, reversed, read-only, transposed) and the same function
in torch. Invariant: whatever the kind, the result is the bits that contiguous arrays give. Does not: time anything.
Read next: python/fastnn/kernels.py.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as TF

import fastnn
import fastnn.kernels as k

R = np.random.RandomState


def floats(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return R(seed).standard_normal(shape)


def torch_gru(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, before: bool = False) -> Any:
    """The formulas of gru_forward's docstring."""
    states = []
    for t in range(x.shape[1]):
        if before:
            (wr, wz, wn), (br, bz, bn) = w_ih.chunk(3, 0), b_ih.chunk(3, 0)
            xh = torch.cat([x[:, t], h], 1)
            r, z = torch.sigmoid(TF.linear(xh, wr, br)), torch.sigmoid(TF.linear(xh, wz, bz))
            n = torch.tanh(TF.linear(torch.cat([x[:, t], r * h], 1), wn, bn))
            h = (1 - z) * h + z * n
        else:
            (ir, iz, i_n), (hr, hz, hn) = TF.linear(x[:, t], w_ih, b_ih).chunk(3, 1), TF.linear(h, w_hh, b_hh).chunk(3, 1)
            r, z = torch.sigmoid(ir + hr), torch.sigmoid(iz + hz)
            n = torch.tanh(i_n + r * hn)
            h = (1 - z) * n + z * h
        states.append(h)
    return torch.stack(states, 1)


class Case:
    """One pair on given arrays; `reference` is the same in torch."""

    def __init__(self, op: str, arrays: list[Any], reference: Callable[..., Any], order: list[int] | None = None, **options: Any) -> None:
        self.op, self.arrays, self.reference, self.options = op, arrays, reference, options
        self.wanted = [i for i, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"] if order is None else order

    def cast(self, dtype: str) -> list[Any]:
        return [a.astype(dtype) if a is not None and a.dtype.kind == "f" else a for a in self.arrays]


W = {"w_ih": floats(18, 5, seed=3) * 0.4, "w_hh": floats(18, 6, seed=4) * 0.4, "b_ih": floats(18, seed=5), "b_hh": floats(18, seed=6)}
GRU = [floats(3, 4, 5), floats(3, 6, seed=1), *W.values()]
GRU_BEFORE = [floats(3, 4, 5), floats(3, 6, seed=1), floats(18, 11, seed=3) * 0.4, None, floats(18, seed=5), None]
Q, K, V = floats(2, 3, 7, 5), floats(2, 3, 9, 5, seed=1), floats(2, 3, 9, 4, seed=2)
ALLOWED = R(3).rand(7, 9) < 0.7
ALLOWED[:, 0] = True
IDS, TARGETS = R(0).randint(0, 11, (3, 5)), R(1).randint(0, 11, 13)
TARGETS[4] = 2

CASES = {
    "matmul": Case("matmul", [floats(5, 7), floats(7, 3, seed=1)], torch.matmul),
    "matmul batch": Case("matmul", [floats(2, 5, 7), floats(7, 3, seed=1)], torch.matmul),
    "matmul vectors": Case("matmul", [floats(7), floats(7, seed=1)], torch.matmul),
    "linear": Case("linear", [floats(4, 6, 7), floats(3, 7, seed=1), floats(3, seed=2)], TF.linear),
    "linear no bias": Case("linear", [floats(5, 7), floats(3, 7, seed=1), None], TF.linear),
    "linear empty": Case("linear", [floats(0, 7), floats(3, 7, seed=1), floats(3, seed=2)], TF.linear),
    "linear one row": Case("linear", [floats(1, 7), floats(3, 7, seed=1), floats(3, seed=2)], TF.linear),
    "embedding": Case("embedding", [IDS, floats(11, 6)], TF.embedding),
    "embedding padding": Case("embedding", [IDS.astype(np.int32), floats(11, 6)], TF.embedding, padding_idx=-3),
    "layer_norm": Case("layer_norm", [floats(3, 4, 17), floats(17, seed=1), floats(17, seed=2)], lambda x, w, b: TF.layer_norm(x, (17,), w, b)),
    "layer_norm plain": Case("layer_norm", [floats(4, 9), None, None], lambda x, w, b, eps: TF.layer_norm(x, (9,), eps=eps), eps=0.1),
    "layer_norm two dims": Case("layer_norm", [floats(4, 3, 5), floats(3, 5, seed=1), None], lambda x, w, b: TF.layer_norm(x, (3, 5), w)),
    "layer_norm far": Case("layer_norm", [floats(3, 9000) + 50, floats(9000, seed=1), floats(9000, seed=2)], lambda x, w, b: TF.layer_norm(x, (9000,), w, b)),
    "rms_norm": Case("rms_norm", [floats(3, 4, 17), floats(17, seed=1)], lambda x, w: TF.rms_norm(x, (17,), w)),
    "rms_norm eps": Case("rms_norm", [floats(4, 9), None], lambda x, w, eps: TF.rms_norm(x, (9,), eps=eps), eps=0.5),
    "softmax": Case("softmax", [floats(4, 9)], lambda x: TF.softmax(x, -1)),
    "softmax dim": Case("softmax", [floats(3, 4, 5)], TF.softmax, dim=1),
    "cross_entropy": Case("cross_entropy", [floats(13, 11), TARGETS, None], lambda x, t, w: TF.cross_entropy(x, t)),
    "cross_entropy options": Case("cross_entropy", [floats(13, 11), TARGETS, R(2).rand(11)], TF.cross_entropy, order=[0], ignore_index=2, label_smoothing=0.1),
    "cross_entropy none": Case("cross_entropy", [floats(13, 11), TARGETS, None], TF.cross_entropy, reduction="none"),
    "cross_entropy sum": Case("cross_entropy", [floats(2, 11, 3), R(1).randint(0, 11, (2, 3)), None], TF.cross_entropy, reduction="sum"),
    "gelu": Case("gelu", [floats(5, 33)], TF.gelu),
    "gelu tanh": Case("gelu", [floats(5, 33)], TF.gelu, approximate="tanh"),
    "relu": Case("relu", [floats(5, 33)], TF.relu),
    "relu empty": Case("relu", [floats(0, 3)], TF.relu),
    "tanh": Case("tanh", [floats(5, 33)], torch.tanh),
    "tanh number": Case("tanh", [np.array(0.3)], torch.tanh),
    "sigmoid": Case("sigmoid", [floats(5, 33)], torch.sigmoid),
    "attention": Case("attention", [Q, K, V], lambda q, k, v: TF.scaled_dot_product_attention(q, k, v)),
    "attention causal": Case("attention", [K, K[..., ::-1].copy(), V], lambda q, k, v, causal, scale: TF.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale), causal=True, scale=0.3),
    "attention long": Case("attention", [floats(1, 2, 300, 8), floats(1, 2, 300, 8, seed=1), floats(1, 2, 300, 8, seed=2)], lambda q, k, v, causal: TF.scaled_dot_product_attention(q, k, v, is_causal=causal), causal=True),
    "attention mask": Case("attention", [Q, K, V], lambda q, k, v, mask: TF.scaled_dot_product_attention(q, k, v, torch.from_numpy(mask)), mask=ALLOWED),
    "gru": Case("gru", GRU, torch_gru),
    "gru no biases": Case("gru", [GRU[0], GRU[1], GRU[2], GRU[3], None, None], torch_gru),
    "gru before": Case("gru", GRU_BEFORE, lambda *a, variant: torch_gru(*a, before=True), variant="before"),
    "gru_cell": Case("gru_cell", [GRU[0][:, 0].copy(), *GRU[1:]], lambda x, *rest: torch_gru(x[:, None], *rest)[:, 0]),
    "gru_cell before": Case("gru_cell", [GRU_BEFORE[0][:, 0].copy(), *GRU_BEFORE[1:]], lambda x, *rest, variant: torch_gru(x[:, None], *rest, before=True)[:, 0], variant="before"),
}  # fmt: skip


def run(case: Case, arrays: list[Any], dy: np.ndarray[Any, Any] | None = None) -> tuple[Any, Any, list[Any]]:
    """(y, dy, gradients of case.wanted)"""
    y, saved = getattr(k, f"{case.op}_forward")(*arrays, **case.options)
    if dy is None:
        dy = R(9).standard_normal(y.shape).astype(y.dtype)
    found = getattr(k, f"{case.op}_backward")(dy, saved)
    floats_in = [i for i, a in enumerate(case.arrays) if case.op != "cross_entropy" and (a is None or a.dtype.kind == "f")]
    if not isinstance(found, tuple):
        return y, dy, [found]
    assert [g is None for g in found] == [case.arrays[i] is None for i in floats_in]
    return y, dy, [g for g in found if g is not None]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(CASES))
def test_beside_torch(name: str, dtype: str) -> None:
    case = CASES[name]
    arrays = case.cast(dtype)
    y, dy, gradients = run(case, arrays)
    tensors = [None if a is None else torch.from_numpy(a.astype(np.int64) if a.dtype.kind == "i" else a.copy()) for a in arrays]
    for i in case.wanted:
        tensors[i].requires_grad_(True)
    want = case.reference(*tensors, **case.options)
    want.backward(torch.from_numpy(np.asarray(dy)))
    tolerance = {"float32": 2e-5, "float64": 1e-12}[dtype] * (20 if "far" in name else 1)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, want.detach().numpy(), rtol=tolerance, atol=tolerance)
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
@pytest.mark.parametrize("name", list(CASES))
def test_any_array_gives_the_same_bits(name: str, kind: Callable[[Any], Any]) -> None:
    case = CASES[name]
    arrays = case.cast("float32")
    before = [None if a is None else a.copy() for a in arrays]
    y, dy, gradients = run(case, arrays)
    y2, _, gradients2 = run(case, [None if a is None else kind(a) for a in arrays], kind(np.asarray(dy)))
    np.testing.assert_array_equal(y, y2)
    for a, b in zip(gradients, gradients2, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(arrays, before, strict=True):
        if a is not None:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", list(CASES))
def test_results_are_the_callers(name: str) -> None:
    """Gradients and outputs have memory of their own, are writable, and no two share it."""
    case = CASES[name]
    arrays = case.cast("float32")
    y, dy, gradients = run(case, arrays)
    given = [a for a in [*arrays, dy] if a is not None]
    for i, g in enumerate([y, *gradients]):
        assert g.flags.writeable
        assert not any(np.shares_memory(g, a) for a in [*given, *gradients[:max(0, i - 1)]])


@pytest.mark.parametrize("name", list(CASES))
def test_saved_is_all_that_backward_needs(name: str) -> None:
    case = CASES[name]
    y, saved = getattr(k, f"{case.op}_forward")(*case.cast("float32"), **case.options)
    backward = getattr(k, f"{case.op}_backward")
    assert isinstance(saved, tuple) and saved._fields[-1] == "call" and isinstance(saved.call, bytes)
    assert all(a is None or isinstance(a, np.ndarray) for a in saved[:-1])
    want = backward(np.ones_like(y), saved)
    del y
    for copy in (pickle.loads(pickle.dumps(saved)), saved._replace(**{n: None if a is None else a.copy() for n, a in zip(saved._fields[:-1], saved[:-1], strict=True)})):
        got = backward(np.ones_like(np.empty(np.shape(getattr(k, f"{case.op}_forward")(*case.cast("float32"), **case.options)[0]), np.float32)), copy)
        for a, b in zip(want if isinstance(want, tuple) else (want,), got if isinstance(got, tuple) else (got,), strict=True):
            np.testing.assert_array_equal(a, b) if a is not None else None


def test_saved_names() -> None:
    _, s = k.layer_norm_forward(floats(3, 5), np.ones(5), np.zeros(5))
    assert s._fields == ("x", "w", "mean", "rstd", "call")
    np.testing.assert_allclose(s.mean.ravel(), floats(3, 5).mean(1))
    np.testing.assert_allclose(s.rstd.ravel(), 1 / np.sqrt(floats(3, 5).var(1) + 1e-5))
    _, s = k.cross_entropy_forward(floats(13, 11), TARGETS)
    np.testing.assert_allclose(s.lse, np.log(np.exp(floats(13, 11)).sum(1)))
    assert k.gru_forward(*GRU)[1].gates.shape == (3, 4, 30)
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
    for _ in range(3):
        once()
    assert fastnn._C._pool_stats()["bytes_in_use"] == before
