"""Running the same thing under fastnn and torch and comparing values, gradients and error classes.

Invariant: both sides get equal bits in; tensors cross only as NumPy arrays.  Read next: test_modules.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import fastnn


def to_fastnn(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """A torch value (tensors in tuples, lists, dicts) as fastnn's; one tensor that occurs twice stays one."""
    memo = {} if memo is None else memo
    if isinstance(value, torch.Tensor):
        if id(value) not in memo:
            out = fastnn.from_numpy(value.detach().numpy().copy())
            memo[id(value)] = out.requires_grad_() if value.requires_grad else out
        return memo[id(value)]
    if isinstance(value, (tuple, list)):
        return type(value)(to_fastnn(v, memo) for v in value)
    if isinstance(value, dict):
        return {k: to_fastnn(v, memo) for k, v in value.items()}
    if isinstance(value, torch.dtype):
        return getattr(fastnn, str(value).rpartition(".")[2])
    return value


def leaves(value: Any) -> list[Any]:
    """The tensors in a value, in order."""
    if isinstance(value, (torch.Tensor, fastnn.Tensor)):
        return [value]
    if isinstance(value, (tuple, list)):
        return [t for v in value for t in leaves(v)]
    if isinstance(value, dict):
        return [t for v in value.values() for t in leaves(v)]
    return []


def assert_close(mine: Any, theirs: Any, tol: float = 2e-5) -> None:
    """Equal structure, shapes, dtypes; values within a relative and absolute tolerance."""
    if isinstance(theirs, (torch.Tensor, fastnn.Tensor)):
        assert tuple(mine.shape) == tuple(theirs.shape), (mine.shape, theirs.shape)
        assert str(mine.dtype).rpartition(".")[2] == str(theirs.dtype).rpartition(".")[2], (mine.dtype, theirs.dtype)
        np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=tol, atol=tol, equal_nan=True)
    elif isinstance(theirs, (tuple, list)):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=False):
            assert_close(a, b, tol)
    elif isinstance(theirs, float):
        np.testing.assert_allclose(mine, theirs, rtol=tol, atol=tol)
    else:
        assert mine == theirs


def compare(
    mine: Any, theirs: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None, tol: float = 2e-5
) -> None:
    """Call both on equal inputs; compare results and the gradients of all inputs that want one."""
    kwargs = kwargs or {}
    my_args, my_kwargs = to_fastnn((args, kwargs))
    for leaf in leaves([args, kwargs]):
        leaf.grad = None
    torch.manual_seed(7)
    expected = theirs(*args, **kwargs)
    fastnn.manual_seed(7)
    found = mine(*my_args, **my_kwargs)
    assert_close(found, expected, tol)
    outs = [(a, b) for a, b in zip(leaves(found), leaves(expected), strict=False) if b.requires_grad]
    if not outs:
        return
    generator = torch.Generator().manual_seed(11)
    weights = [torch.randn(b.shape, generator=generator, dtype=b.dtype) for _, b in outs]
    sum((b * w).sum() for (_, b), w in zip(outs, weights, strict=False)).backward()
    sum((a * to_fastnn(w)).sum() for (a, _), w in zip(outs, weights, strict=False)).backward()
    for mine_in, their_in in zip(leaves([my_args, my_kwargs]), leaves([args, kwargs]), strict=False):
        if their_in.grad is not None:
            assert mine_in.grad is not None
            assert_close(mine_in.grad, their_in.grad, tol)


def randn(*shape: int, grad: bool = True, seed: int = 0, dtype: Any = torch.float32) -> torch.Tensor:
    """A torch leaf with normal values."""
    generator = torch.Generator().manual_seed(seed + sum(shape) * 31 + len(shape))
    return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_(grad)


def ids(*shape: int, high: int, seed: int = 0) -> torch.Tensor:
    """Integers below a bound."""
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))


def attempt(call: Any) -> Any:
    """The class and text of the error a call raises."""
    try:
        call()
    except Exception as error:
        return type(error).__name__, str(error)
    return "no error"
