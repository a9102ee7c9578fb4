"""fastnn.kernels: adamw, adam, sgd and clip_by_norm on arrays, beside torch.optim and fastnn.optim.

Invariant: the steps give the bits of fastnn.optim (which are those of torch's per-tensor loop, but for torch's square
root), clip_by_norm those of fastnn.nn.utils. Read next:
test_kernels_readme.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import fastnn
import fastnn.kernels as k

Array = np.ndarray[Any, Any]
SHAPES = [(3, 5), (1000, 33), (7,), (), (0, 4), (2, 3, 2)]
OPTIONS = {
    "adamw": ("adamw", "AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    "adamw defaults": ("adamw", "AdamW", {}),
    "adamw up": ("adamw", "AdamW", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6, "maximize": True}),
    "adam": ("adam", "Adam", {"lr": 0.01}),
    "adam decay": ("adam", "Adam", {"lr": 0.01, "weight_decay": 0.3, "maximize": True}),
    "sgd": ("sgd", "SGD", {"lr": 0.1}),
    "sgd decay": ("sgd", "SGD", {"lr": 0.1, "weight_decay": 0.2, "maximize": True}),
    "sgd momentum": ("sgd", "SGD", {"lr": 0.1, "momentum": 0.9}),
    "sgd nesterov": ("sgd", "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.2}),
}


def plain(a: Array) -> Array:
    return a.copy()


def strided(a: Array) -> Array:
    b = np.full(tuple(2 * n for n in a.shape), -1, a.dtype)[(*(slice(None, None, 2) for _ in a.shape), ...)]
    b[...] = a
    return b


def reversed_(a: Array) -> Array:
    return a[(*(slice(None, None, -1) for _ in a.shape), ...)].copy()[(*(slice(None, None, -1) for _ in a.shape), ...)]


def foreign(a: Array) -> Array:
    return a.astype(a.dtype.newbyteorder(">"))


def step(name: str, params: Any, grads: Any, first: Any, second: Any, t: int, options: dict[str, Any]) -> None:
    if name == "sgd":
        k.sgd(params, grads, first if options.get("momentum") else None, **options)
    else:
        getattr(k, name)(params, grads, first, second, t, **options)


@pytest.mark.parametrize("kind", [plain, strided, reversed_, foreign], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("row", list(OPTIONS))
def test_steps_are_the_optimizers(row: str, dtype: str, kind: Callable[[Array], Array]) -> None:
    name, cls, options = OPTIONS[row]
    rs = np.random.RandomState(0)
    exact = 0 if name == "sgd" else 2 * float(np.finfo(dtype).eps)  # torch's own square root is a rounding step off here and there
    start = [rs.standard_normal(s).astype(dtype) for s in SHAPES]
    params = [kind(np.asarray(a)) for a in start]
    first, second = ([kind(np.zeros(s, dtype)) for s in SHAPES] for _ in range(2))
    models = [(lib, [lib.nn.Parameter(lib.from_numpy(np.array(a))) for a in start]) for lib in (fastnn, torch)]
    optimizers = [getattr(lib.optim, cls)(tensors, **{"lr": 1e-3, "foreach": False, **options}) for lib, tensors in models]
    for t in range(1, 5):
        grads = [np.asarray(rs.standard_normal(s)).astype(dtype) for s in SHAPES]
        for (lib, tensors), optimizer in zip(models, optimizers, strict=True):
            for p, g in zip(tensors, grads, strict=True):
                p.grad = lib.from_numpy(g.copy())
            optimizer.step()
        given = [kind(g) for g in grads]
        for g in given:
            g.flags.writeable = False
        step(name, params, given, first, second, t, options)
        for p, ours, torchs in zip(params, models[0][1], models[1][1], strict=True):
            np.testing.assert_array_equal(p, ours.detach().numpy())
            np.testing.assert_allclose(p, torchs.detach().numpy(), rtol=exact, atol=exact)


def test_a_single_array_and_a_list_of_one() -> None:
    a, b, g = np.ones(5, np.float32), np.ones(5, np.float32), np.arange(5, dtype=np.float32)
    state = [np.zeros(5, np.float32) for _ in range(4)]
    k.adamw(a, g, state[0], state[1], 1)
    k.adamw([b], (g,), [state[2]], [state[3]], 1)
    np.testing.assert_array_equal(a, b)
    assert a[0] != 1 and (state[0] == state[2]).all() and state[0].any()
    k.sgd([], [])


@pytest.mark.parametrize("kind", [plain, strided, reversed_, foreign], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("max_norm", [0.0, 1.0, 1e4])
def test_clip_by_norm_is_clip_grad_norm_(max_norm: float, dtype: str, kind: Callable[[Array], Array]) -> None:
    rs = np.random.RandomState(1)
    start = [np.asarray(rs.standard_normal(s)).astype(dtype) for s in SHAPES]
    grads, ours, torchs = [kind(a) for a in start], [], []
    for a in start:
        ours.append(fastnn.nn.Parameter(fastnn.zeros(a.shape, dtype=getattr(fastnn, dtype))))
        ours[-1].grad = fastnn.from_numpy(np.array(a))
        torchs.append(torch.nn.Parameter(torch.zeros(a.shape, dtype=getattr(torch, dtype))))
        torchs[-1].grad = torch.from_numpy(np.array(a))
    norm = k.clip_by_norm(grads, max_norm)
    assert type(norm) is float and norm == fastnn.nn.utils.clip_grad_norm_(ours, max_norm).item()
    assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(torchs, max_norm).item(), rel=1e-6)
    for g, p, t in zip(grads, ours, torchs, strict=True):
        np.testing.assert_array_equal(g, p.grad.numpy())
        np.testing.assert_allclose(g, t.grad.numpy(), rtol=1e-6)


def test_clip_by_norm_of_one_and_of_none() -> None:
    g = np.array([3.0, 4.0])
    assert k.clip_by_norm(g, 1) == 5
    np.testing.assert_allclose(g, [0.6, 0.8], rtol=1e-6)
    assert k.clip_by_norm([], 1) == 0


P = np.ones((2, 3), np.float32)


def z(*shape: int, dtype: str = "float32") -> Array:
    return np.zeros(shape or (2, 3), dtype)


def locked() -> Array:
    a = z()
    a.flags.writeable = False
    return a


def same_place() -> Array:
    return np.lib.stride_tricks.as_strided(np.zeros(8, np.float32), (2, 3), (0, 4))


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "number": (lambda: k.sgd(1.0, P), TypeError, r"sgd\(\): argument 'params' must be a NumPy array or a list of them, not float"),  # type: ignore[arg-type]
    "tensor": (lambda: k.sgd([fastnn.zeros(2)], [P]), TypeError, r"sgd\(\): argument 'params\[0\]' must be a NumPy array, not fastnn.Tensor"),  # type: ignore[list-item]
    "integers": (lambda: k.sgd(z(dtype="int64"), P), RuntimeError, r"sgd: params has dtype int64, expected float32 or float64"),
    "half": (lambda: k.sgd(P, z(dtype="float16")), RuntimeError, r"sgd: grads has dtype float16"),
    "length": (lambda: k.adam([P], [], [z()], [z()], 1), ValueError, r"adam: grads has 0 arrays, expected 1 as params"),
    "shape": (lambda: k.adam([P], [z(3, 2)], [z()], [z()], 1), RuntimeError, r"adam: grads\[0\] has shape \(3, 2\), expected \(2, 3\) as in params"),
    "dtype": (lambda: k.adam(P, P * 1, z(dtype="float64"), z(), 1), RuntimeError, r"adam: exp_avgs has dtype float64, expected float32 as in params"),
    "read-only": (lambda: k.adamw(locked(), P, z(), z(), 1), RuntimeError, r"adamw: params is read-only"),
    "one place": (lambda: k.sgd(same_place(), P), RuntimeError, r"sgd: params has several elements in one place"),
    "itself": (lambda: k.sgd(P, P), RuntimeError, r"sgd: params shares memory with grads"),
    "twice": (lambda: k.sgd([P, P], [z(), z()]), RuntimeError, r"sgd: params\[0\] shares memory with params\[1\]"),
    "state": (lambda: k.adam(P, z(), (s := z()), s, 1), RuntimeError, r"adam: exp_avgs shares memory with exp_avg_sqs"),
    "part": (lambda: k.sgd([P, P[1:]], [z(), z(1, 3)]), RuntimeError, r"sgd: params\[0\] shares memory with params\[1\]"),
    "reversed": (lambda: k.sgd([P, P[::-1]], [z(), z()]), RuntimeError, r"sgd: params\[\d\] shares memory with params\[\d\]"),
    "lr": (lambda: k.sgd(P, z(), lr=-1), ValueError, r"sgd: lr is -1, expected at least 0"),
    "nan": (lambda: k.sgd(P, z(), weight_decay=float("nan")), ValueError, r"sgd: weight_decay is nan"),
    "lr text": (lambda: k.sgd(P, z(), lr="x"), TypeError, r"sgd\(\): argument 'lr' must be a number, not str"),  # type: ignore[arg-type]
    "betas": (lambda: k.adam(P, z(), z(), z(), 1, betas=(0.9, 1.0)), ValueError, r"adam: betas is \(0.9, 1.0\)"),
    "step": (lambda: k.adamw(P, z(), z(), z(), 0), ValueError, r"adamw: step is 0, expected 1 for the first step"),
    "buffers": (lambda: k.sgd(P, z(), momentum=0.9), ValueError, r"sgd: momentum is 0.9 and buffers None"),
    "nesterov": (lambda: k.sgd(P, z(), nesterov=True), ValueError, r"sgd: nesterov is True and momentum 0"),
    "clip: number": (lambda: k.clip_by_norm(3.0, 1), TypeError, r"clip_by_norm\(\): argument 'grads'"),  # type: ignore[arg-type]
    "clip: integers": (lambda: k.clip_by_norm([np.arange(3)], 1), RuntimeError, r"clip_by_norm: grads\[0\] has dtype int64"),
    "clip: read-only": (lambda: k.clip_by_norm(locked(), 1), RuntimeError, r"clip_by_norm: grads is read-only"),
    "clip: norm": (lambda: k.clip_by_norm(P, -1), ValueError, r"clip_by_norm: max_norm is -1"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BAD))
def test_unfit_arguments_are_refused_before_anything_is_written(name: str) -> None:
    call, error, pattern = BAD[name]
    before = P.copy()
    with pytest.raises(error, match=pattern):
        call()
    np.testing.assert_array_equal(P, before)


def test_columns_of_one_array_lie_apart() -> None:
    whole, g = np.ones((4, 6), np.float32), np.ones((4, 3), np.float32)
    k.sgd([whole[:, :3], whole[:, 3:]], [g, g], lr=0.5)
    np.testing.assert_array_equal(whole, 0.5)


def test_steps_allocate_nothing_in_the_long_run() -> None:
    p, g, m, v = (np.ones((64, 65), np.float32) for _ in range(4))
    k.adamw([p], [g], [m], [v], 1)
    before = fastnn._C._pool_stats()
    for t in range(2, 10):
        k.adamw([p], [g], [m], [v], t)
        k.sgd([p], [g])
        k.clip_by_norm([g], 1.0)
    after = fastnn._C._pool_stats()
    assert after["bytes_in_use"] == before["bytes_in_use"] and after["system_allocs"] == before["system_allocs"]
