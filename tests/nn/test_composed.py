"""The composed tensor functions beside torch's: values and gradients.

Read next: nn_support.py.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from nn_support import compare, ids, randn, to_fastnn

import fastnn
import fastnn.linalg
from fastnn import _composed

A, B, V = randn(3, 4), randn(4, 5), randn(4)
S = randn(3, 3, dtype=torch.float64)
SPD = (S.detach() @ S.detach().t() + torch.eye(3, dtype=torch.float64)).requires_grad_()
BATCH = randn(2, 3, 4)
POS = (torch.rand(3, 4, generator=torch.Generator().manual_seed(2)) + 0.1).requires_grad_()
UNIT = (torch.rand(3, 4, generator=torch.Generator().manual_seed(2)) * 0.9 + 0.05).requires_grad_()
NAN = torch.tensor([[1.0, math.nan, 3.0, 2.0], [math.inf, 4.0, -math.inf, 0.0], [1.0, 2.0, 2.0, 1.0]])
INTS = ids(3, 4, high=5)
VEC = ids(9, high=6)

# name, positional arguments, keyword arguments
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("logaddexp", (A, randn(3, 4, seed=1)), {}),
    ("logaddexp2", (A, randn(3, 4, seed=1)), {}),
    ("hypot", (A, randn(4, seed=1)), {}),
    ("deg2rad", (A,), {}),
    ("rad2deg", (INTS,), {}),
    ("nan_to_num", (NAN,), {}),
    ("nan_to_num", (NAN, 1.0, 2.0, 3.0), {}),
    ("sinc", (A,), {}),
    ("xlogy", (A, POS), {}),
    ("frac", (A,), {}),
    ("logit", (UNIT,), {}),
    ("logit", (UNIT, 0.2), {}),
    ("erfc", (A,), {}),
    ("asinh", (A,), {}),
    ("acosh", ((POS + 1).detach().requires_grad_(),), {}),
    ("atanh", (UNIT,), {}),
    ("atan2", (A, randn(3, 4, seed=1)), {}),
    ("atan2", (torch.tensor([0.0, 1.0, -1.0, 0.0, 1.0]), torch.tensor([-1.0, 0.0, 0.0, 1.0, -1.0])), {}),
    ("copysign", (A, randn(3, 4, seed=1, grad=False)), {}),
    ("heaviside", (torch.tensor([-1.0, 0.0, 2.0]), torch.tensor(0.5)), {}),
    ("signbit", (torch.tensor([-1.0, 0.0, -0.0, 2.0]),), {}),
    ("float_power", (POS, 2), {}),
    ("isposinf", (NAN,), {}),
    ("isneginf", (NAN,), {}),
    ("isclose", (NAN, NAN), {"equal_nan": True}),
    ("isclose", (torch.tensor([1.0, 2.0, math.inf]), torch.tensor([1.0, 2.1, math.inf])), {"rtol": 0.01}),
    ("allclose", (A, A), {}),
    ("allclose", (A, B.t()[:3]), {}),
    ("equal", (A, A), {}),
    ("equal", (A, B), {}),
    ("rsub", (A, 2.0), {"alpha": 3}),
    ("logspace", (0, 2, 5), {}),
    ("norm", (A,), {}),
    ("norm", (BATCH, 2, (0, 2), True), {}),
    *(("norm", (A, p, 1), {}) for p in (0, 1, 3, 2.5, math.inf, -math.inf)),
    ("norm", (torch.zeros(3, requires_grad=True),), {}),
    ("dist", (A, randn(3, 4, seed=1), 3), {}),
    ("var_mean", (A,), {}),
    ("var_mean", (BATCH, (0, 2)), {"unbiased": False, "keepdim": True}),
    ("std_mean", (A, 1), {"correction": 2}),
    ("nansum", (NAN, 1), {}),
    ("nanmean", (NAN,), {}),
    ("nanmean", (NAN, 0, True), {}),
    ("count_nonzero", (INTS,), {}),
    ("count_nonzero", (INTS, 1), {}),
    ("aminmax", (A,), {"dim": 1}),
    ("logcumsumexp", (A, 1), {}),
    ("logcumsumexp", ((A.detach() * 100).requires_grad_(), 1), {}),
    ("cummax", (A, 1), {}),
    ("cummin", (INTS, 0), {}),
    ("diff", (A,), {"n": 2}),
    ("diff", (A,), {"dim": 0, "prepend": randn(1, 4)}),
    ("trapezoid", (A,), {"dx": 0.5}),
    ("trapezoid", (A, torch.tensor([0.0, 1.0, 3.0, 4.0])), {}),
    ("cumulative_trapezoid", (A,), {}),
    ("cov", (A,), {}),
    ("cov", (V,), {"correction": 0}),
    ("cov", (A,), {"fweights": torch.tensor([1, 2, 1, 3]), "aweights": torch.tensor([0.5, 1.0, 2.0, 1.0])}),
    ("corrcoef", (A,), {}),
    ("renorm", (A, 2, 0, 1.0), {}),
    ("narrow", (A, 1, 1, 2), {}),
    ("movedim", (BATCH, (0, 1), (2, 0)), {}),
    ("movedim", (BATCH, 0, -1), {}),
    ("swapaxes", (A, 0, 1), {}),
    ("ravel", (A,), {}),
    ("tile", (A, (2,)), {}),
    ("repeat_interleave", (A, 2), {}),
    ("repeat_interleave", (A, torch.tensor([1, 0, 3]), 0), {}),
    ("repeat_interleave", (torch.tensor([1, 0, 3]),), {}),
    ("broadcast_to", (V, (3, 4)), {}),
    ("broadcast_tensors", (A, V), {}),
    ("atleast_2d", (V,), {}),
    ("atleast_3d", (A, V), {}),
    ("hstack", ([A, A],), {}),
    ("vstack", ([V, A],), {}),
    ("dstack", ([A, A],), {}),
    ("column_stack", ([V, V],), {}),
    ("tensor_split", (A, 3, 1), {}),
    ("tensor_split", (A, [1, 3], 1), {}),
    ("hsplit", (A, 2), {}),
    ("meshgrid", (V, randn(3)), {"indexing": "xy"}),
    ("meshgrid", (V, randn(3), randn(2)), {"indexing": "ij"}),
    ("cartesian_prod", (V, randn(3)), {}),
    ("combinations", (V, 2), {}),
    ("combinations", (V, 2, True), {}),
    ("block_diag", (A, V, B), {}),
    *(("diag_embed", (A, offset), {}) for offset in (0, 1, -2)),
    ("diag_embed", (A, 0, 0, 2), {}),
    ("diag", (V, 1), {}),
    ("diag", (A, -1), {}),
    ("diagflat", (A,), {}),
    ("trace", (A,), {}),
    ("tril_indices", (3, 4, 1), {}),
    ("triu_indices", (3, 4, -1), {}),
    ("take", (A, torch.tensor([[0, 5], [11, 2]])), {}),
    ("take_along_dim", (A, torch.tensor([[0, 3]]), 1), {}),
    ("select_scatter", (A, V, 0, 1), {}),
    ("slice_scatter", (A, randn(3, 2), 1, 0, 4, 2), {}),
    *(("rot90", (A, k), {}) for k in range(-1, 4)),
    ("fliplr", (A,), {}),
    ("flipud", (A,), {}),
    ("msort", (A,), {}),
    ("kthvalue", (A, 2), {}),
    ("kthvalue", (A, 3, 0, True), {}),
    ("median", (A,), {}),
    ("median", (A, 1), {}),
    ("median", (NAN, 0, True), {}),
    ("nanmedian", (NAN, 1), {}),
    ("mode", (INTS, 1), {}),
    ("quantile", (A, 0.3), {}),
    ("quantile", (A, torch.tensor([0.1, 0.5, 1.0]), 1, True), {}),
    ("quantile", (A, 0.4, 0), {"interpolation": "midpoint"}),
    ("nanquantile", (NAN[2:], 0.4, 1), {"interpolation": "nearest"}),
    ("unique", (INTS,), {"return_inverse": True, "return_counts": True}),
    ("unique", (INTS,), {"dim": 0}),
    ("unique_consecutive", (torch.tensor([1, 1, 2, 3, 3, 1]),), {"return_inverse": True, "return_counts": True}),
    ("bincount", (VEC,), {"minlength": 8}),
    ("bincount", (VEC, torch.arange(9.0)), {}),
    ("histc", (A.detach(), 7, -1, 1), {}),
    ("histc", (A.detach(), 5), {}),
    ("histogram", (A.detach(), 5), {}),
    ("histogram", (A.detach(), 6), {"range": (-1.0, 1.0), "density": True}),
    ("histogram", (A.detach(), torch.tensor([-1.0, 0.0, 0.5, 2.0])), {"weight": POS.detach()}),
    ("searchsorted", (torch.tensor([1.0, 2.0, 2.0, 4.0]), torch.tensor([2.0, 0.0, 5.0])), {"right": True}),
    ("searchsorted", (torch.tensor([[1, 3], [2, 4]]), torch.tensor([[2], [4]])), {}),
    ("bucketize", (A.detach(), torch.tensor([-1.0, 0.0, 1.0])), {"out_int32": True}),
    ("argwhere", (INTS,), {}),
    ("isin", (INTS, torch.tensor([1, 3])), {"invert": True}),
    ("mm", (A, B), {}),
    ("bmm", (BATCH, randn(2, 4, 2)), {}),
    ("mv", (A, V), {}),
    ("dot", (V, randn(4, seed=1)), {}),
    ("inner", (A, randn(2, 4)), {}),
    ("outer", (V, randn(3)), {}),
    ("addmm", (randn(5), A, B), {"beta": 2, "alpha": 3}),
    ("addmv", (randn(3), A, V), {}),
    ("addr", (A, randn(3), V), {"beta": 2}),
    ("addbmm", (randn(3, 2), BATCH, randn(2, 4, 2)), {}),
    ("baddbmm", (randn(2, 3, 2), BATCH, randn(2, 4, 2)), {"alpha": 0.5}),
    ("chain_matmul", (A, B, randn(5, 2)), {}),
    ("kron", (A, randn(2, 2)), {}),
    ("matrix_power", (S, 3), {}),
    ("matrix_power", (S, -2), {}),
    ("matrix_power", (S.detach(), 0), {}),
    ("tensordot", (BATCH, randn(4, 3, 5), ([2, 1], [0, 1])), {}),
    ("tensordot", (BATCH, randn(4, 5), 1), {}),
    ("cross", (randn(2, 3), randn(2, 3, seed=1)), {"dim": 1}),
    ("cdist", (A, randn(5, 4)), {}),
    ("cdist", (A, randn(5, 4), 1.0), {}),
    ("einsum", ("ij,jk->ik", A, B), {}),
    ("einsum", ("ij,jk", A, B), {}),
    ("einsum", ("bij,bjk->bik", BATCH, randn(2, 4, 2)), {}),
    ("einsum", ("...ij,...jk->...ik", BATCH, randn(2, 4, 2)), {}),
    ("einsum", ("ii->i", S), {}),
    ("einsum", ("ii", S), {}),
    ("einsum", ("ij->ji", A), {}),
    ("einsum", ("ij,j->i", A, V), {}),
    ("einsum", ("i,j->ij", V, randn(3)), {}),
    ("einsum", ("bhid,bhjd->bhij", randn(2, 2, 3, 4), randn(2, 2, 5, 4)), {}),
    ("einsum", ("ij,jk,kl->il", A, B, randn(5, 2)), {}),
    ("einsum", ("ij,ij->", A, A), {}),
    ("einsum", ("b...,b...->...", BATCH, BATCH), {}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
def test_function(case: Any) -> None:
    name, args, kwargs = case
    compare(_composed.FUNCTIONS[name], getattr(torch, name), args, kwargs, 5e-5)


METHODS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("repeat", (A, 2, 1, 3), {}),
    ("repeat", (A, (2, 2)), {}),
    ("unfold", (A, 1, 2, 1), {}),
    ("view_as", (A, B.detach()[:, :3]), {}),
    ("expand_as", (V, A.detach()), {}),
]


@pytest.mark.parametrize("case", METHODS, ids=lambda c: c[0])
def test_method(case: Any) -> None:
    name, args, kwargs = case
    compare(_composed.METHODS[name], getattr(torch.Tensor, name), args, kwargs)


@pytest.mark.parametrize("name", ["hypot_", "addmm_", "frac_", "nan_to_num_"])
def test_in_place(name: str) -> None:
    args = {"hypot_": (POS,), "addmm_": (randn(3, 2), randn(2, 4))}.get(name, ())
    x = A * 1.0
    y = to_fastnn(A) * 1.0
    want = getattr(x, name)(*args)
    got = _composed.METHODS[name](y, *to_fastnn(args))
    assert got is y
    assert torch.allclose(torch.from_numpy(got.detach().numpy()), want.detach(), atol=1e-5)


LINALG: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("inv", (S,), {}),
    ("solve", (S, randn(3, 2, dtype=torch.float64)), {}),
    ("solve", (S, randn(3, dtype=torch.float64)), {}),
    ("solve", (S, randn(2, 3, dtype=torch.float64)), {"left": False}),
    ("det", (S,), {}),
    ("slogdet", (S,), {}),
    ("cholesky", (SPD,), {}),
    ("qr", (randn(4, 3, dtype=torch.float64),), {}),
    ("eigvalsh", (SPD,), {}),
    ("svdvals", (randn(4, 3, dtype=torch.float64),), {}),
    ("svdvals", (randn(3, 4, dtype=torch.float64),), {}),
    ("pinv", (randn(4, 3, dtype=torch.float64),), {}),
    ("matrix_rank", (S.detach(),), {}),
    ("vector_norm", (A, 3), {}),
    ("matrix_norm", (BATCH,), {}),
    *(("matrix_norm", (randn(3, 4, dtype=torch.float64), o), {}) for o in ("nuc", 2, -2, 1, -1, math.inf, -math.inf)),
    ("norm", (A,), {"dim": 1}),
    ("norm", (A, 1), {}),
    ("cond", (S,), {}),
    ("multi_dot", ([A, B],), {}),
    ("vecdot", (A, A), {}),
]


@pytest.mark.parametrize("case", LINALG, ids=lambda c: c[0])
def test_linalg(case: Any) -> None:
    name, args, kwargs = case
    compare(getattr(fastnn.linalg, name), getattr(torch.linalg, name), args, kwargs, 5e-5)


def test_decompositions_multiply_back() -> None:
    a = to_fastnn(randn(4, 3, dtype=torch.float64))
    u, s, vh = fastnn.linalg.svd(a, full_matrices=False)
    assert float(((u * s) @ vh - a).abs().max()) < 1e-12
    ((u * s) @ vh * a.detach()).sum().backward()  # the gradient of sum(a * const) is const
    assert float((a.grad - a.detach()).abs().max()) < 1e-9
    b = to_fastnn(SPD)
    w, v = fastnn.linalg.eigh(b)
    assert float(((v * w) @ v.transpose(-2, -1) - b).abs().max()) < 1e-12


ERRORS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("mm", (A, A), {}),
    ("mv", (A, A), {}),
    ("bmm", (A, A), {}),
    ("dot", (A, V), {}),
    ("outer", (A, V), {}),
    ("tensordot", (A, A, 1), {}),
    ("einsum", ("ij,jk", A), {}),
    ("einsum", ("ij,jk->iz", A, B), {}),
    ("einsum", ("ijk->i", A), {}),
    ("narrow", (A, 1, 3, 2), {}),
    ("movedim", (A, (0, 0), (0, 1)), {}),
    ("repeat_interleave", (A, torch.tensor([1, 2]), 0), {}),
    ("bincount", (INTS,), {}),
    ("kthvalue", (A, 9), {}),
    ("quantile", (A, 2.0), {}),
    ("quantile", (INTS, 0.5), {}),
    ("trace", (V,), {}),
    ("diag", (BATCH,), {}),
    ("cov", (BATCH,), {}),
    ("meshgrid", (V, V), {"indexing": "no"}),
    ("isclose", (A, INTS), {}),
    ("matrix_power", (A, 2), {}),
    ("cdist", (A, B), {}),
    ("norm", (INTS,), {}),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda c: c[0])
def test_errors_have_torchs_class(case: Any) -> None:
    name, args, kwargs = case
    with pytest.raises(Exception) as theirs:
        getattr(torch, name)(*args, **kwargs)
    with pytest.raises(type(theirs.value)):
        _composed.FUNCTIONS[name](*to_fastnn(args), **to_fastnn(kwargs))


def test_install_keeps_what_is_there() -> None:
    class Type:
        cov = "mine"

    space = {"einsum": "mine"}
    _composed.install(space, Type)
    assert space["einsum"] == "mine" and Type.cov == "mine"
    assert space["kron"] is _composed.FUNCTIONS["kron"] and Type.kron is _composed.METHODS["kron"]  # type: ignore[attr-defined]
