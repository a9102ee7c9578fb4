"""Parameters as one vector and back.

Read next: clip_grad.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _C

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastnn import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, flattened, one after the other."""
    return _C.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters the slices of a vector as their data."""
    if not isinstance(vec, _C.Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for p in parameters:
        count = p.numel()
        p.data = vec[start : start + count].view_as(p).data
        start += count
