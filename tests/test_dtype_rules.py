"""Which dtypes and numbers an op takes, refuses and gives back, beside torch: outcomes, dtypes and values.

Invariant: torch decides; a call both refuse must raise the same class. Does not: cover wrong shapes and arguments (test_errors.py).
Read next: test_ops.py (wrong_call_inputs).
"""

from __future__ import annotations

import warnings

import pytest
import torch
from support import arr, leaves, outcome, same
from test_ops import wrong_call_inputs

import fastnn

CALLS = """
torch.floor(mask)
torch.ceil(mask)
torch.round(mask)
torch.trunc(mask)
F.leaky_relu(idx)
F.elu(idx)
F.softplus(idx)
mask.argmax()
mask.argmin(1)
mask.clone().geometric_(0.5)
torch.bitwise_not(x)
torch.square(mask)
torch.addcmul(idx, idx, idx, value=2)
F.linear(idx2, idx2)
torch.logsumexp(idx2, 1)
F.embedding(idx, idx2)
idx.masked_fill(idx > 0, 0.5)
torch.addmm(idx2[:, :3], idx2[:, :3], idx2[:, :3], beta=2, alpha=3)
torch.zeros(0, 3).chunk(2)
torch.tensor([1, -1]).sum(dtype=torch.bool)
torch.tensor([1.5, -1.5]).sum(dtype=torch.int64)
torch.tensor([0.5, 3.0]).prod(dtype=torch.int64)
torch.tensor([1, 2]).mean(dtype=torch.float64)
torch.tensor([300, -1]).cumsum(0, dtype=torch.uint8)
mask[0].clone().index_add_(0, idx, mask[0][:3], alpha=1)
torch.zeros(3, dtype=torch.uint8).fill_(300)
torch.zeros(3, dtype=torch.uint8).fill_(-1.0)
torch.zeros(3, dtype=torch.uint8).fill_(255)
torch.lerp(idx, idx, 0.5)
F.relu(mask)
F.cross_entropy(x, x[:, 0])
F.cross_entropy(idx2, idx)
"""


@pytest.mark.parametrize("code", CALLS.split("\n")[1:-1])
def test_as_in_torch(code: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = [wrong_call_inputs(lib) for lib in (torch, fastnn)]
        (want, refused), (got, error) = (outcome(lambda n=n: eval(code, n)) for n in names)
    assert type(error) is type(refused), f"{code}: {error!r}, torch: {refused!r}"
    for g, w in zip(leaves(got), leaves(want), strict=True):
        assert str(g.dtype).rpartition(".")[2] == str(w.dtype).rpartition(".")[2], code
        same(arr(g), arr(w), code)
