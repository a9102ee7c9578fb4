"""LBFGS beside torch's: the same path on a curved problem, with and without line search.

Invariant: float64, so that different orders of summation stay far below the tolerance. Does not: time. Read next:
test_optimizers.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import fastnn


@pytest.mark.parametrize("options", [{"lr": 0.1}, {"lr": 0.02, "history_size": 3}, {"line_search_fn": "strong_wolfe"}])
def test_same_path(options: dict[str, Any]) -> None:
    found = []
    for lib in (torch, fastnn):
        p = lib.tensor([-1.2, 1.0], dtype=lib.float64, requires_grad=True)
        q = lib.full((2, 2), 0.5, dtype=lib.float64, requires_grad=True)
        opt = lib.optim.LBFGS([p, q], max_iter=5, **options)
        losses = []

        def closure(opt: Any = opt, p: Any = p, q: Any = q) -> Any:
            opt.zero_grad()
            loss = 10 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2 + (q**4).sum() + (q * q[0, 0]).sum()
            loss.backward()
            return loss

        for _ in range(4):
            losses.append(opt.step(closure).item())
        found.append(
            (losses, p.tolist(), opt.state_dict()["state"][0]["func_evals"], opt.state_dict()["state"][0]["n_iter"])
        )
    assert np.allclose(found[0][0], found[1][0], rtol=1e-9, atol=1e-12)
    assert np.allclose(found[0][1], found[1][1], rtol=1e-7)
    assert found[0][2:] == found[1][2:]


def test_one_group_only(lib: Any) -> None:
    with pytest.raises(ValueError, match="per-parameter options"):
        lib.optim.LBFGS([{"params": [lib.ones(1)]}, {"params": [lib.ones(2)]}])
