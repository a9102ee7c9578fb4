"""Functions of nn.functional that the modules do not reach, and the initialisers' bits.

Read next: test_modules.py.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from nn_support import compare, ids, randn, to_fastnn

import fastnn
import fastnn.nn as nn
import fastnn.nn.functional as F

X = randn(4, 6)

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("one_hot", (ids(3, 2, high=5),), {}),
    ("one_hot", (ids(3, high=5), 9), {}),
    ("normalize", (X,), {}),
    ("normalize", (X, 1.0, 0), {}),
    ("gumbel_softmax", (X,), {"hard": True, "tau": 0.5}),
    ("softmax", (X, 1), {"dtype": torch.float64}),
    ("log_softmax", (X, 0), {}),
    ("cross_entropy", (randn(2, 5, 3), ids(2, 3, high=5)), {}),
    ("cross_entropy", (randn(5), torch.tensor(2)), {"label_smoothing": 0.2}),
    ("cross_entropy", (X, ids(4, high=6)), {"weight": torch.arange(1.0, 7.0), "reduction": "sum"}),
    ("nll_loss", (X, ids(4, high=6)), {"weight": torch.arange(1.0, 7.0)}),
    ("mse_loss", (X, randn(4, 6, seed=1)), {"reduction": "none"}),
    ("huber_loss", (X, randn(4, 6, seed=1)), {"delta": 0.5}),
    ("smooth_l1_loss", (X, randn(4, 6, seed=1)), {"beta": 0.3}),
    ("binary_cross_entropy", (torch.tensor([0.0, 1.0, 0.5]).requires_grad_(), torch.tensor([1.0, 1.0, 0.2])), {}),
    ("binary_cross_entropy_with_logits", (X, X.detach().sigmoid()), {"pos_weight": torch.arange(1.0, 7.0)}),
    ("pad", (X, (1, 2)), {"value": 3.0}),
    ("pad", (randn(2, 3, 4), (2, 1)), {"mode": "reflect"}),
    ("conv1d", (randn(2, 4, 9), randn(6, 4, 3)), {"stride": 2, "dilation": 2}),
    ("conv2d", (randn(3, 6, 6), randn(4, 3, 2, 2)), {}),
    ("interpolate", (randn(2, 3, 5),), {"size": 8, "mode": "linear", "align_corners": True}),
    ("interpolate", (randn(2, 3, 5, 4),), {"size": (2, 3), "mode": "area"}),
    ("interpolate", (randn(2, 3, 5),), {"scale_factor": 1.7}),
    ("max_pool1d", (randn(2, 3, 9), 3), {"dilation": 2}),
    ("scaled_dot_product_attention", (randn(2, 2, 4, 3),) * 3, {"is_causal": True}),
    ("pdist", (X,), {}),
    ("cosine_similarity", (X, randn(6)), {"dim": -1}),
    ("rrelu", (X,), {"training": True}),
    ("dropout", (X, 0.5), {"training": False}),
    ("batch_norm", (X, torch.zeros(6), torch.ones(6)), {}),
    ("instance_norm", (randn(2, 3, 5),), {}),
    ("group_norm", (X, 2), {}),
    ("hardtanh", (torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0], requires_grad=True),), {}),
    ("celu", (X * 1.0,), {"alpha": 2.0}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
def test_function(case: Any) -> None:
    name, args, kwargs = case
    args = tuple(
        a.detach().requires_grad_(a.requires_grad) if isinstance(a, torch.Tensor) and not a.is_leaf else a for a in args
    )
    compare(getattr(F, name), getattr(torch.nn.functional, name), args, kwargs)


ERRORS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("one_hot", (torch.tensor([1, 7]), 5), {}),
    ("one_hot", (torch.tensor([-1, 2]),), {}),
    ("one_hot", (X,), {}),
    ("dropout", (X, 1.5), {}),
    ("dropout1d", (randn(3),), {}),
    ("glu", (randn(4, 5),), {}),
    ("mse_loss", (X, X), {"reduction": "median"}),
    ("binary_cross_entropy", (X, X), {}),
    ("binary_cross_entropy", (X.detach().sigmoid(), randn(6)), {}),
    ("binary_cross_entropy_with_logits", (X, randn(6)), {}),
    ("batch_norm", (randn(1, 6), torch.zeros(6), torch.ones(6)), {"training": True}),
    ("batch_norm", (X, torch.zeros(5), torch.ones(5)), {}),
    ("group_norm", (X, 4), {}),
    ("conv1d", (randn(2, 4, 9), randn(6, 3, 3)), {}),
    ("conv1d", (randn(2, 4, 2), randn(6, 4, 3)), {}),
    ("conv2d", (X, randn(6, 4, 3, 3)), {}),
    ("pad", (X, (1,)), {}),
    ("pad", (randn(2, 3, 4), (4, 0)), {"mode": "reflect"}),
    ("max_pool2d", (randn(1, 1, 2, 2), 5), {}),
    ("pixel_shuffle", (randn(1, 3, 2, 2), 2), {}),
    ("triplet_margin_loss", (X, X, X), {"margin": -1}),
    ("softshrink", (X, -1.0), {}),
    ("cosine_embedding_loss", (X, X, X), {}),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda c: c[0])
def test_errors_have_torchs_class(case: Any) -> None:
    name, args, kwargs = case
    with pytest.raises(Exception) as theirs:
        getattr(torch.nn.functional, name)(*args, **kwargs)
    with pytest.raises(type(theirs.value)):
        getattr(F, name)(*to_fastnn(args), **to_fastnn(kwargs))


INITS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("uniform_", (5, 7), {"a": -0.3, "b": 0.7}),
    ("normal_", (5, 7), {"mean": 1.0, "std": 0.02}),
    ("normal_", (3, 2), {}),
    ("constant_", (3, 2), {"val": 0.3}),
    ("ones_", (3,), {}),
    ("zeros_", (3,), {}),
    ("eye_", (3, 4), {}),
    ("dirac_", (4, 3, 3), {}),
    ("dirac_", (4, 2, 3, 3), {"groups": 2}),
    ("xavier_uniform_", (5, 7), {"gain": 2.0}),
    ("xavier_normal_", (5, 7, 3), {}),
    ("kaiming_uniform_", (5, 7), {"a": 5**0.5}),
    ("kaiming_uniform_", (5, 7), {"nonlinearity": "tanh", "mode": "fan_out"}),
    ("kaiming_normal_", (5, 7, 2), {"nonlinearity": "relu"}),
    ("trunc_normal_", (20, 5), {}),
    ("trunc_normal_", (20, 5), {"mean": 0.5, "std": 0.7, "a": -1.0, "b": 1.0}),
    ("trunc_normal_", (20, 5), {"std": 0.02}),
    ("trunc_normal_", (20, 5), {"std": 3.0, "a": 0.0, "b": 1.0}),
    ("trunc_normal_", (20, 5), {"mean": 0.0, "a": 2.0, "b": 3.0}),
    ("sparse_", (6, 4), {"sparsity": 0.3}),
]


@pytest.mark.parametrize("case", INITS, ids=lambda c: f"{c[0]}{c[2]}")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_initialisers_give_the_same_bits(case: Any, dtype: str) -> None:
    name, shape, kwargs = case
    torch.manual_seed(4)
    want = getattr(torch.nn.init, name)(torch.empty(shape, dtype=getattr(torch, dtype)), **kwargs)
    fastnn.manual_seed(4)
    got = getattr(nn.init, name)(fastnn.empty(shape, dtype=getattr(fastnn, dtype)), **kwargs)
    assert got.numpy().tobytes() == want.numpy().tobytes()
    assert fastnn.rand(3).tolist() == torch.rand(3, generator=None).tolist() or fastnn.rand is torch.rand


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (6, 2, 2)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    torch.manual_seed(4)
    want = torch.nn.init.orthogonal_(torch.empty(shape), gain=2.0)
    fastnn.manual_seed(4)
    got = nn.init.orthogonal_(fastnn.empty(shape), gain=2.0)
    assert torch.allclose(torch.from_numpy(got.numpy()), want, atol=1e-5)


def test_gains() -> None:
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    with pytest.raises(ValueError, match="Unsupported nonlinearity"):
        nn.init.calculate_gain("step")


def test_signatures_can_be_read() -> None:
    for name in dir(F):
        value = getattr(F, name)
        if name[0] == "_" or not callable(value) or not hasattr(torch.nn.functional, name):
            continue
        mine = list(inspect.signature(value).parameters)
        try:
            theirs = list(inspect.signature(getattr(torch.nn.functional, name)).parameters)
        except ValueError:
            continue
        if theirs != ["args", "kwargs"]:
            assert mine == theirs, name


def test_names_resolve() -> None:
    import fastnn.nn.modules.activation
    import fastnn.nn.modules.rnn
    import fastnn.nn.utils.rnn

    assert fastnn.nn.modules.activation.MultiheadAttention is nn.MultiheadAttention
    assert nn.modules.rnn.GRU is nn.GRU and nn.utils.rnn.pad_sequence
    assert not hasattr(nn, "NoSuchLayer") and not hasattr(F, "no_such_function")
    for name in nn.__all__:
        assert getattr(nn, name) is not None
