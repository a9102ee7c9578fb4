"""Every indexing form scripts use: read, write and gradient beside torch; then random indices drawn by hypothesis.

Invariant: views keep torch's strides (a gathered result is contiguous here, whatever torch makes of it); writes compare the whole tensor; gradients compare to the bit, apart from sums
over repeated indices. Does not: time. Read next: agree.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from agree import agree, compare
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import arr, close, outcome
from test_ops import check_wrong_call

import fastnn

# x is (4, 5, 6); m (4, 5) and n (4,) masks, k (3,) and q (2, 3) integers, z a 0-dim integer
READS = """
x[0]; x[-1]; x[1, 2]; x[1, 2, 3]; x[1, -2, -1]; x[:]; x[:, 1]; x[:, -1, :]; x[..., 0]; x[..., 1:]; x[1:]; x[:2]; x[1:3]; x[::2]; x[1::2]; x[:, ::3]; x[:, 0::2]; x[:, 1:4]; x[:3, :3]; x[:, :, :2]; x[:, :, 2:4]; x[3:1]; x[9:]; x[-2:]; x[:-1]; x[0:0]; x[:, 2:2]
x[None]; x[:, None]; x[..., None]; x[None, ...]; x[:, :, None, :]; x[None, 0]; x[0, None]; x[None, None]; x[..., None, 0]; x[...]; x[..., 2:4]; x[0, ..., 0]; x[()]; x[1, ...]; x[..., 1, :]; x[:, :, :, None]
x[[0]]; x[[0, 2]]; x[:, [-1]]; x[:, [-1], :]; x[[0, 1], [2, 3]]; x[[0, 1], :, [2, 3]]; x[:, [0, 1], [2, 3]]; x[0, [0, 1, 2]]; x[0, [0, 1, 2], 3]; x[0, :, [0, 1]]; x[[[0, 1], [2, 3]]]; x[range(4), range(4)]; x[torch.arange(4), [1, 0, 2, 3]]; x[(0, 1)]; x[[0, 1]]; x[..., [0, 1]]; x[[1, 1, 1]]; x[[]]; x[[], []]
x[k]; x[q]; x[:, k]; x[k, k]; x[k, 0]; x[0, k]; x[k, :, k]; x[..., k]; x[q, q]; x[q, k]; x[k[:, None], k[None]]; x[k, 1:3]; x[1:3, k]; x[None, k]; x[k, None]; x[z]; x[z, 1]; x[:, z]; x[z, k]; x[k.int()]; x[k.to(torch.uint8) > 0] if False else x[k]; x[-k - 1]; x[z, z, z]; x[k, k, k]; x[:, k, k]; x[k, ..., k]; x[k, :, 0]; x[0, :, k]; x[k][q % 3]
x[m]; x[n]; x[:, m[0]]; x[m[:, 0]]; x[m, 0]; x[m, 1:3]; x[x > 0]; x[x > 9]; x[n, 1]; x[n, :, 2]; x[0, m[0]]; x[~m]; x[[True, False, True, False]]; x[True]; x[False]; x[torch.tensor(True)]; x[n, [0]]; x[m].sum(); x[n.tolist()]
x[np.array([0, 1])]; x[np.int64(2)]; x[np.array([True, False, True, True])]; x[np.arange(4), np.arange(4)]; x[:, np.array([[0], [1]])]; x[slice(1, 3)]; x[slice(None), 1]; x[Ellipsis, 1]; x[slice(z, None)]; x[1 : z + 2]; x[:z]; x[:, -z:]; t1[z]; t1[k]; t1[2]; t1[:2]; t1[[0, 0]]; t0[()]; t0[None]; t0[...]; t0[True]; e[:]; e[:, 1]; e[[]]; s[1]; s[:, k]; s[..., 0]; s[::2, 1:]; s[m.t()[:4, :4][:, :4]] if False else s[0]
""".replace("\n", ";").split(";")

WRITES = """
x[0] = 1; x[-1] = 2.5; x[1, 2] = v6; x[:, 0] = 1; x[:, :, 0] = v5; x[1:3] = 0; x[1:3] = v6; x[::2] = -1; x[:, 0::2] = 3; x[..., 0] = 0; x[...] = 5; x[:] = v6; x[3:1] = 7; x[2:2] = v6[None, None][:0]; x[0, 0, 0] = 9; x[0] = x[1]; x[1:] = x[:-1].clone(); x[None] = 3; x[:, None] = 2; x[()] = 1
x[[0, 2]] = 1; x[[0, 1], [2, 3]] = 5; x[range(4), [1, 2, 0, 4]] = v6; x[torch.arange(4), [1, 2, 0, 4], 0] -= 1; x[k] = 0; x[q] = v6; x[k, k] = 4; x[:, k] = v6; x[k, :, 0] = v5; x[0, k] = 2; x[:, [-1]] = 8; x[z] = 0; x[z, 1] += 1; x[k] += 1; x[k] *= 2; x[0] += v6; x[:, 1] -= v6; x[:, 1:3] *= 2; x[0, 0] /= 2; x[k] = torch.arange(3.0)[:, None, None]
x[m] = 0; x[x < 0] = 0; x[m] = v6; x[n] = 1; x[n, 0] = 2; x[:, m[0]] = 3; x[x > 9] = 1; x[m] -= 1; x[~m] = -inf; x[m, 0] = 7; x[n] = v6; x[True] = 4; x[True] = x; x[False] = 4; x[m] = x[m] * 2; x[x > 0] = torch.tensor(1.0); x[m, 1:3] = 0; x[n, :, 2] = v5; x[[True, False, True, False]] = 0; x[m] = x[0, 0, 0]; x[n] = x[0, 0, 0]; x[:, m[0]] = x[1, 2, 3]
x[0] = [1, 2, 3, 4, 5, 6]; x[0, 0] = torch.from_numpy(np.arange(6)); x[0] = float(np.float32(2)); x[0, 0, 0] = True; x[0] = torch.tensor(3); x[0] = torch.arange(6); x[0] = torch.arange(6, dtype=torch.float64); x[np.array([0, 1])] = 5; x[0] = torch.ones(1, 1, 6); x[0] = torch.ones(1, 1, 1, 6); t1[2] = 5; t1[1:3] = t1[0]; t1[k] = 1.5; i1[0] = 7; i1[0] = 2.7; i1[1:] = -1; i1[0] = True; b1[0] = False; b1[1:] = 1; t0[()] = 3; t0[...] = 3; t0.fill_(2); i1[:] = torch.tensor([1.5, 2.5, 3.5, 4.5]); u1[0] = 255; s[0] = 1; s[:, k] = 2; s[1:3] += 1
""".replace("\n", ";").split(";")

WRONG = """
x[4]; x[-5]; x[0, 5]; x[0, 0, 0, 0]; x[0, 0, 0, None, 0]; x[[4]]; x[[0, 1], [0, 1, 2]]; x[k + 9]; x[-k - 9]; x[m, 0, 0, 0]; x[torch.ones(3, dtype=torch.bool)]; x[torch.ones(4, 4, dtype=torch.bool)]; x[1.5]; x['a']; x[{}]; x[x]; x[torch.tensor([0.5])]; x[::-1]; x[::0]; x['a':]; x[0.5:]; x[None, None, 0, 0, 0, 0]; x[[[0, 1], [2]]]; x[[0.5]]; x[1j]; t0[0]; t0[:]; t0[0, 0]; x[..., 6]; x[[None]]; x[object()]; x[[True, False]]
x[4] = 0; x[0] = v5; x[0, 0, 0] = v6; x[[9]] = 0; x[k] = torch.ones(2, 5, 6); x[m] = torch.ones(3); x[0] = 'a'; x[0] = None; x[1.5] = 0; x[torch.ones(3, dtype=torch.bool)] = 0; x[::-1] = 0; x[0] = torch.ones(2, 5, 6); x[0] = [1, 2]; t0[0] = 1; x[0, 0, 0, 0] = 1; w[0] = 1; x[k] = 'a'; x['a'] = 1; b1[0] = 'x'; del x[0]; x[0] = {}; t1[5] = 0; t1[k + 5] = 0
""".replace("\n", ";").split(";")

SETUP = "x = torch.arange(120.0).view(4, 5, 6) - 60; m = (torch.arange(20).view(4, 5) % 3) == 0; n = torch.tensor([True, False, True, True]); k = torch.tensor([2, 0, 1]); q = torch.tensor([[0, 3, 1], [2, 2, 0]]); z = torch.tensor(2); v5 = torch.arange(5.0) - 7.25; v6 = torch.arange(6.0) + 0.5; t1 = torch.arange(4.0); t0 = torch.tensor(1.5); i1 = torch.arange(4); b1 = torch.tensor([True, False, True, True]); u1 = torch.arange(4, dtype=torch.uint8); s = torch.arange(120.0).view(4, 6, 5).transpose(1, 2); e = torch.zeros(0, 3); w = torch.zeros(3, requires_grad=True); "


def codes(table: list[str]) -> list[str]:
    return [c.strip() for c in table if c.strip()]


@pytest.mark.parametrize("code", codes(READS))
def test_read(code: str) -> None:
    agree(SETUP + code, strides=False)


@pytest.mark.parametrize("code", codes(WRITES))
def test_write(code: str) -> None:
    agree(f"{SETUP}{code}; {code.partition('[')[0].partition('.')[0]}")


@pytest.mark.parametrize("code", codes(WRONG))
def test_wrong_index(code: str) -> None:
    agree(f"{SETUP}{code}; 1" if " = " in code or code.startswith("del") else SETUP + code)


def gradients(lib: Any, statement: str) -> list[Any]:
    space: dict[str, Any] = {"torch": lib, "np": np, "inf": float("inf")}
    for line in SETUP.split("; "):
        exec(line.strip(), space)
    x = space["x"].clone().requires_grad_(True)
    v5, v6 = space["v5"].clone().requires_grad_(True), space["v6"].clone().requires_grad_(True)
    space |= {"x": x * 1, "v5": v5, "v6": v6}
    if "=" in statement and "==" not in statement:
        exec(statement, space)
        out = space["x"]
    else:
        out = eval(statement, space)
    if not out.requires_grad:
        return []
    w = lib.from_numpy(np.random.RandomState(1).uniform(0.5, 1.5, tuple(out.shape)).astype(np.float32))
    (out.nan_to_num(neginf=0.0) * w).sum().backward()
    return [x.grad, v5.grad, v6.grad]


ONE_TOO_FAR = (
    "x[torch.tensor([3])]", "x[torch.tensor([-4])]", "x[:, torch.tensor([4])]", "x[torch.tensor([3])] = 0.0", "x.index_select(0, torch.tensor([3]))", "x.index_add(0, torch.tensor([3]), x[:1])",
    "x.gather(0, torch.full((1, 4), 3))", "x.gather(1, torch.full((3, 1), 4))", "x.gather(0, torch.full((1, 4), -1))", "x.scatter(0, torch.full((1, 4), 3), x)", "x.scatter_add(1, torch.full((3, 1), 4), x)",
    "F.embedding(torch.tensor([3]), x)", "F.embedding(torch.tensor([-1]), x)", "F.cross_entropy(x, torch.tensor([0, 4, 1]))", "F.cross_entropy(x, torch.tensor([0, -1, 1]))", "F.nll_loss(x, torch.tensor([0, 4, 1]))",
    "F.one_hot(torch.tensor([3]), 3)", "x.as_strided((2,), (1,), 11)", "x.as_strided((3, 4), (4, 1), 1)", "x.select(0, 3)", "x[3]", "x[-4]", "x.topk(5)", "x.narrow(0, 3, 1)",
)  # fmt: skip


@pytest.mark.parametrize("code", ONE_TOO_FAR)
def test_one_too_far_is_refused(code: str) -> None:
    """The first index that is outside, not only distant ones (x is 3 x 4)."""
    check_wrong_call(code)


@pytest.mark.parametrize("code", [c for c in codes(READS) + codes(WRITES) if c.startswith("x[") and " > " not in c and " < " not in c])
def test_gradient(code: str) -> None:
    want, want_error = outcome(lambda: gradients(torch, code))
    got, error = outcome(lambda: gradients(fastnn, code))
    assert type(error) is type(want_error), f"{code}: {error!r}, torch {want_error!r}"
    if want_error is None:
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            assert (g is None) == (w is None), code
            if w is not None:
                close(g, w, 8, code, whole=True)


def test_gradient_of_repeated_indices_adds_up(lib: Any) -> None:
    x = lib.zeros(4, 2, requires_grad=True)
    x[lib.tensor([[0, 0, 3], [3, 3, 3]])].sum().backward()
    assert x.grad.tolist() == [[2, 2], [0, 0], [0, 0], [4, 4]]


# --- random indices ----------------------------------------------------------------------------------------------------------------------

slices = st.builds(slice, st.none() | st.integers(-7, 7), st.none() | st.integers(-7, 7), st.none() | st.integers(1, 3))


@st.composite
def shape_and_index(draw: Any) -> tuple[tuple[int, ...], list[Any], tuple[int, ...]]:
    """A shape, a permutation of its dims and an index made of ints, slices, None, Ellipsis, integer arrays and masks."""
    shape = tuple(draw(st.lists(st.integers(0, 5), min_size=1, max_size=4)))
    order = tuple(draw(st.permutations(range(len(shape)))))
    index: list[Any] = []
    dim = 0
    dims = [shape[i] for i in order]
    common = draw(st.sampled_from([(3,), (2, 2), (1,), (0,), (2, 1)]))
    while dim < len(dims):
        kind = draw(st.sampled_from(["int", "slice", "none", "ints", "mask", "ellipsis", "stop"]))
        if kind == "stop":
            break
        if kind == "none":
            index.append(None)
            continue
        if kind == "ellipsis":
            if Ellipsis not in [i for i in index if i is Ellipsis]:
                index.append(Ellipsis)
                break
            continue
        n = dims[dim]
        if kind == "int":
            index.append(draw(st.integers(-n - 1, n)))
        elif kind == "slice":
            index.append(draw(slices))
        elif kind == "ints":
            size = draw(st.sampled_from([common, common[-1:], (1,)]))
            index.append(np.array(draw(st.lists(st.integers(-n, max(n - 1, 0)), min_size=int(np.prod(size)), max_size=int(np.prod(size)))), dtype=np.int64).reshape(size))
        else:
            index.append(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool))
        dim += 1
    return shape, index, order


def apply(lib: Any, shape: tuple[int, ...], index: list[Any], order: tuple[int, ...], write: bool) -> Any:
    x = lib.arange(float(np.prod(shape))).view(shape).permute(order)
    key = tuple(lib.from_numpy(i) if isinstance(i, np.ndarray) else i for i in index)
    if write:
        x[key] = -1.5
        return x
    return x[key]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(shape_and_index(), st.booleans())
def test_random_index(case: tuple[tuple[int, ...], list[Any], tuple[int, ...]], write: bool) -> None:
    want, want_error = outcome(lambda: apply(torch, *case, write))
    got, error = outcome(lambda: apply(fastnn, *case, write))
    what = f"{case} write={write}"
    assert type(error) is type(want_error), f"{what}: {error!r}, torch {want_error!r}"
    if want_error is None:
        compare(got, want, 0, what, strides=False)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.data())
def test_random_views(shape: list[int], data: Any) -> None:
    """Chains of views: shape, strides, offset and values as torch's; a write through the last one lands in the first."""
    pair = [lib.arange(float(np.prod(shape))).view(shape) for lib in (torch, fastnn)]
    bases = list(pair)
    for _ in range(data.draw(st.integers(1, 5))):
        n = pair[0].dim()
        kind = data.draw(st.sampled_from(["transpose", "unsqueeze", "select", "narrow", "step", "reshape", "expand", "squeeze", "flatten"]))
        d, e = data.draw(st.integers(-n - 1, n)), data.draw(st.integers(-n, n))
        k = data.draw(st.integers(0, 3))
        calls = {
            "transpose": lambda x: x.transpose(d, e), "unsqueeze": lambda x: x.unsqueeze(d), "select": lambda x: x.select(d, k), "narrow": lambda x: x.narrow(d, k, 1), "step": lambda x: x[k::2],
            "reshape": lambda x: x.view(-1, 2), "expand": lambda x: x.expand(k, *x.shape), "squeeze": lambda x: x.squeeze(), "flatten": lambda x: x.view(-1),
        }  # fmt: skip
        results = [outcome(lambda x=x: calls[kind](x)) for x in pair]
        assert type(results[0][1]) is type(results[1][1]), f"{kind} {d} {e} {k} of {tuple(pair[0].shape)}: {results}"
        if results[0][1] is None:
            pair = [r[0] for r in results]
    want, got = pair
    compare(got, want, 0, str(shape))
    if got.numel():
        assert got.storage_offset() == want.storage_offset()
    for x in pair:
        x.fill_(-7)
    assert np.array_equal(arr(bases[0]), arr(bases[1]))
