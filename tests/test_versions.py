"""Every write in place counts up the version that saved tensors are checked by, beside torch; reads and failed writes do not.

Invariant: one line, one kind of write. Does not: run backward (test_autograd.py does). Read next: csrc/graph/apply.c.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import outcome

import fastnn

WRITES = """
x.add_(1); x.mul_(x); x.exp_(); x.tanh_(); x.relu_(); x.clamp_(0, 1); x.zero_(); x.fill_(3); x.copy_(y); x.lerp_(y, 0.5); x.addcmul_(y, y); x.masked_fill_(y > 0, 0); x.neg_(); x.sqrt_()
x.uniform_(); x.normal_(); x.bernoulli_(0.5); x.bernoulli_(y.sigmoid()); x.exponential_(); x.random_(9); x.log_normal_(); x.cauchy_(); x.geometric_(0.5)
x[0] = 1; x[:, 1:] = 2; x[y > 0] = 0; x[[0, 1]] = 5; x.scatter_(0, i, y); x.scatter_add_(0, i, y); x.index_add_(0, i[0, :2], y[:2]); x.t_(); x.squeeze_(); x.unsqueeze_(0); x.view(-1).add_(1); x.detach().mul_(2); x[0].zero_(); x.t().fill_(1)
torch.nn.init.ones_(x); torch.nn.init.normal_(x); torch.nn.init.xavier_uniform_(x); torch.add(y, y, out=x); x += 1; x /= 2; x.data.add_(1)
x + 1; x.t(); x.clone(); x.sum(); x.contiguous(); x.add_(torch.ones(7)); x.bernoulli_(2.0); x.uniform_(2, 1)
""".replace("\n", ";").split(";")  # fmt: skip


@pytest.mark.parametrize("code", [c.strip() for c in WRITES if c.strip()])
def test_version_after(code: str) -> None:
    counts = []
    for lib in (torch, fastnn):
        space: dict[str, Any] = {"torch": lib, "x": lib.ones(3, 4), "y": lib.arange(12.0).view(3, 4) - 5, "i": lib.tensor([[0, 1, 2, 0]] * 3)}
        x = space["x"]
        before = x._version
        outcome(lambda space=space: exec(code, space))
        counts.append(x._version - before)
    assert counts[1] == counts[0], f"{code}: the version went up by {counts[1]}, torch's by {counts[0]}"
