"""Functions that join tensors, cut them into several, or combine their elements.

Read next: shape.py, which they are made of.
"""

from __future__ import annotations

import operator
from itertools import combinations as _combinations
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _C

from .._arguments import tensors_of
from ._registry import also, composed, function_only
from .shape import atleast_1d, atleast_2d, atleast_3d, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn import Tensor

_Tensor = _C.Tensor


@function_only
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the second dimension (the first for vectors)."""
    parts = atleast_1d(*tensors) if len(tensors) > 1 else [atleast_1d(tensors[0])]
    return _C.cat(list(parts), 0 if parts[0].dim() == 1 else 1)


@function_only
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the first dimension, vectors as rows."""
    return _C.cat([atleast_2d(t) for t in tensors], 0)


also("row_stack")(vstack)


@function_only
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the third dimension."""
    return _C.cat([atleast_3d(t) for t in tensors], 2)


@function_only
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the second dimension, vectors as columns."""
    return _C.cat([t.reshape(-1, 1) if t.dim() < 2 else t for t in tensors], 1)


@function_only
def concat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """cat under NumPy's name."""
    return _C.cat(tensors, dim)


also("concatenate")(concat)


@composed
def tensor_split(input: Tensor, indices_or_sections: int | Sequence[int] | Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut at indices, or into so many nearly equal parts."""
    if not input.dim():
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = wrap(dim, input.dim())
    size = input.size(dim)
    given: Any = indices_or_sections.tolist() if isinstance(indices_or_sections, _Tensor) else indices_or_sections
    if isinstance(given, (list, tuple)):
        cuts = [0, *(min(max(i + size if i < 0 else i, 0), size) for i in map(operator.index, given)), size]
    else:
        n = operator.index(given)
        if n <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {n}")
        each, extra = divmod(size, n)
        sizes = np.repeat([each + 1, each], [extra, n - extra])  # more than memory holds is a MemoryError, at once
        cuts = [0, *np.cumsum(sizes).tolist()]
    return tuple(input.narrow(dim, a, max(b - a, 0)) for a, b in zip(cuts, cuts[1:], strict=False))


def _even_split(name: str, input: Tensor, indices_or_sections: Any, least: int, dim: int) -> tuple[Tensor, ...]:
    """tensor_split, but a number of sections must divide the dimension."""
    if input.dim() < least:
        raise RuntimeError(
            f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor with "
            f"{input.dim()} dimensions!"
        )
    n, size = indices_or_sections, input.size(dim)
    n = n if isinstance(n, (list, tuple)) else operator.index(n)
    if isinstance(n, int) and (n == 0 or size % n):
        raise RuntimeError(
            f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension {size} is not "
            f"divisible by the split_size {n}!"
        )
    return tensor_split(input, n, dim)


@composed
def hsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Cut along the second dimension (the first of a vector), at indices or into so many equal parts."""
    return _even_split("hsplit", input, indices_or_sections, 1, 0 if input.dim() == 1 else 1)


@composed
def vsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Cut along the first dimension, at indices or into so many equal parts."""
    return _even_split("vsplit", input, indices_or_sections, 2, 0)


@composed
def dsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Cut along the third dimension, at indices or into so many equal parts."""
    return _even_split("dsplit", input, indices_or_sections, 3, 2)


@function_only
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Coordinate grids of vectors; indexing is "ij" (default) or "xy"."""
    parts = tensors_of("meshgrid", tensors)
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    if not parts:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for t in parts:
        if t.dim() > 1:
            raise RuntimeError(f"meshgrid: expected 0D or 1D tensors in the tensor list but got {t.dim()}D")
        if t.dtype != parts[0].dtype:
            raise RuntimeError(f"meshgrid: expected tensors of one dtype, found {parts[0].dtype} and {t.dtype}")
    swap = indexing == "xy" and len(parts) >= 2
    if swap:
        parts[0], parts[1] = parts[1], parts[0]
    shape = [t.numel() for t in parts]
    grids = [t.reshape([-1 if k == i else 1 for k in range(len(parts))]).expand(shape) for i, t in enumerate(parts)]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


@function_only
def cartesian_prod(*tensors: Any) -> Tensor:
    """All combinations of the vectors' elements, as rows."""
    for t in tensors_of("cartesian_prod", (tensors,)):
        if t.dim() != 1:
            raise RuntimeError(f"cartesian_prod: expected vectors, found a tensor of {t.dim()} dimensions")
    if len(tensors) == 1:
        return tensors[0]
    return _C.stack([g.reshape(-1) for g in meshgrid(*tensors)], 1)


@composed
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of r elements of a vector, as rows."""
    choose = combinations_with_replacement if with_replacement else _combinations
    rows = list(choose(range(input.numel()), r))
    if r == 0 or not rows:
        return _C.empty([0] if r == 0 else [0, r], dtype=input.dtype)
    return input[_C.tensor(rows, dtype=_C.int64)]


@function_only
def block_diag(*tensors: Any) -> Tensor:
    """Matrices along the diagonal of a zero matrix."""
    parts = [atleast_2d(t) for t in tensors_of("block_diag", (tensors,))] or [_C.zeros((1, 0))]
    for t in parts:
        if t.dim() > 2:
            raise RuntimeError(f"block_diag: expected tensors of at most 2 dimensions, found {t.dim()}")
    width = sum(t.size(1) for t in parts)
    rows, at = [], 0
    for t in parts:
        left, right = at, width - at - t.size(1)
        pieces = [_C.zeros((t.size(0), left), dtype=t.dtype), t, _C.zeros((t.size(0), right), dtype=t.dtype)]
        rows.append(_C.cat([p for p in pieces if p.size(1)] or [t], 1))
        at += t.size(1)
    return _C.cat(rows, 0)
