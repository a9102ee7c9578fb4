"""Reductions and running reductions made of other ones.

`dim` is an int, a sequence of ints, or None for all.  Read next: order.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _C

from .._arguments import ints_of
from ._registry import also, composed, function_only, recorded_as
from .pointwise import float_like
from .shape import wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn import Tensor

_Tensor = _C.Tensor


def dims_of(x: Tensor, dim: Any) -> list[int]:
    """dim as a list of non-negative dimensions."""
    if dim is None or dim == () or dim == []:
        return list(range(x.dim()))
    dims = ints_of("dim", dim if isinstance(dim, (list, tuple)) else [dim])
    bound = max(x.dim(), 1)
    for d in dims:
        if not -bound <= d < bound:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {d})"
            )
    return [d % bound for d in dims]


@composed
@recorded_as("LinalgVectorNormBackward0")
def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: Any = None,
    keepdim: bool = False,
    out: Any = None,
    dtype: Any = None,
) -> Tensor:
    """(sum |x|^p)^(1/p) over dims; p may be inf, -inf, 0, "fro" (2)."""
    if out is not None:
        return _C.mul(norm(input, p, dim, keepdim, None, dtype), 1, out=out)
    x = input if dtype is None else input.to(dtype)
    if p is None or p == "fro":
        p = 2.0
    if isinstance(p, str):
        raise RuntimeError(f"norm: p is {p!r}, expected a number, 'fro' or inf")
    if not x.is_floating_point():
        raise RuntimeError(f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {x.dtype}")
    dims = dims_of(x, dim)
    if p == 2:
        return _norm2(x, dims, keepdim)
    a = x.abs()
    if not dims:
        return a if p != 0 else _nonzero(x)
    if p == math.inf:
        return a.amax(dims, keepdim)
    if p == -math.inf:
        return a.amin(dims, keepdim)
    if p == 0:
        return _nonzero(x).sum(dims, keepdim)
    if p == 1:
        return a.sum(dims, keepdim)
    return (a**p).sum(dims, keepdim) ** (1.0 / p)


def _nonzero(x: Tensor) -> Tensor:
    """1 where x is not 0, with a gradient that is 0 everywhere."""
    return x.masked_fill(x != 0, 1.0).masked_fill(x == 0, 0.0)


def _norm2(x: Tensor, dims: list[int], keepdim: bool) -> Tensor:
    """The Euclidean norm; its gradient is 0, not NaN, where the norm is 0."""
    if not dims:
        return x.abs()
    total = (x * x).sum(dims, keepdim)
    zero = total == 0
    return _C.sqrt(total.masked_fill(zero, 1.0)).masked_fill(zero, 0.0) if total.requires_grad else _C.sqrt(total)


@composed
@recorded_as("DistBackward0")
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference."""
    return (input - other).norm(p)


def _correction(unbiased: Any, correction: Any) -> float:
    if correction is not None:
        return correction
    return 1 if unbiased is None or unbiased else 0


def _split_flag(dim: Any, unbiased: Any) -> tuple[Any, Any]:
    """The form f(x, unbiased) has its flag where dim stands."""
    return (None, dim) if isinstance(dim, bool) else (dim, unbiased)


@function_only
def var_mean(
    input: Tensor,
    dim: bool | int | Sequence[int] | None = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Tensor, Tensor]:
    """Variance and mean over dims."""
    dim, unbiased = _split_flag(dim, unbiased)
    dims = dims_of(input, dim)
    c = _correction(unbiased, correction)
    return input.var(dims, correction=c, keepdim=keepdim), input.mean(dims, keepdim)


@function_only
def std_mean(
    input: Tensor,
    dim: bool | int | Sequence[int] | None = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean over dims."""
    dim, unbiased = _split_flag(dim, unbiased)
    dims = dims_of(input, dim)
    c = _correction(unbiased, correction)
    return input.std(dims, correction=c, keepdim=keepdim), input.mean(dims, keepdim)


@composed
def nansum(
    input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The sum, NaN counted as 0."""
    x = input if dtype is None else input.to(dtype)
    if x.is_floating_point():
        x = x.masked_fill(_C.isnan(x), 0.0)
    return x.sum() if dim is None and not keepdim else x.sum(dims_of(x, dim), keepdim)


@composed
def nanmean(
    input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The mean of what is not NaN."""
    x = input if dtype is None else input.to(dtype)
    dims = dims_of(x, dim)
    count = (~_C.isnan(x)).to(x.dtype).sum(dims, keepdim)
    return nansum(x, dims, keepdim) / count


@composed
def count_nonzero(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """How many elements are not zero."""
    return (input != 0).to(_C.int64).sum(dims_of(input, dim))


@composed
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """Smallest and largest element."""
    from .order import named

    dims = dims_of(input, dim)
    return named("aminmax", "min max")(input.amin(dims, keepdim), input.amax(dims, keepdim))


@composed
@recorded_as("LogcumsumexpBackward0")
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log of the running sum of exponentials."""
    if input.dim() == 0:
        return input.clone()
    top = input.detach().amax(dim, keepdim=True)
    top = top.masked_fill(~_C.isfinite(top), 0.0)
    # A prefix far below the row's maximum would vanish: such rows go step by step.
    if input.numel() == 0 or float((top - input.detach().amin(dim, keepdim=True)).amax()) < 60.0:
        return _C.log(_C.exp(input - top).cumsum(dim)) + top
    from .pointwise import logaddexp

    parts = list(input.unbind(dim))
    for i in range(1, len(parts)):
        parts[i] = logaddexp(parts[i - 1], parts[i])
    return _C.stack(parts, dim)


def _running(input: Tensor, dim: int, name: str, better: Any) -> Any:
    """Values and places of the running best; the last of equals wins, NaN beats all."""
    from .order import named

    x = input.detach().numpy()
    if not x.size:  # torch does not even look at dim
        return named(name)(input.clone(), _C.zeros(input.shape, dtype=_C.int64))
    dim = wrap(dim, x.ndim)
    if x.ndim == 0:
        return named(name)(input.clone(), _C.zeros((), dtype=_C.int64))
    moved = np.moveaxis(x, dim, -1)
    index = np.zeros(moved.shape, dtype=np.int64)
    best = moved[..., :1].copy()
    where = np.zeros(best.shape, dtype=np.int64)
    for i in range(moved.shape[-1]):
        new = moved[..., i : i + 1]
        take = better(new, best) | (new != new)
        best = np.where(take, new, best)
        where = np.where(take, i, where)
        index[..., i : i + 1] = where
    indices = _C.from_numpy(np.ascontiguousarray(np.moveaxis(index, -1, dim)))
    return named(name)(input.gather(dim, indices), indices)


@composed
def cummax(input: Tensor, dim: int) -> Any:
    """Running maximum along dim and where it stands."""
    return _running(input, dim, "cummax", np.greater_equal)


@composed
def cummin(input: Tensor, dim: int) -> Any:
    """Running minimum along dim and where it stands."""
    return _running(input, dim, "cummin", np.less_equal)


@composed
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """x[i+1] - x[i] along dim, n times."""
    if input.dim() == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"diff: order must be non-negative but got {n}")
    dim = wrap(dim, input.dim())
    parts = [t for t in (prepend, input, append) if t is not None]
    x = _C.cat(parts, dim) if len(parts) > 1 else input
    for _ in range(n):
        size = x.size(dim)
        if size == 0:
            break
        after, before = x.narrow(dim, 1, size - 1), x.narrow(dim, 0, size - 1)
        x = after ^ before if x.dtype == _C.bool else after - before
    return x


def _steps(x: Tensor | None, dx: float, y: Tensor, dim: int) -> Any:
    if x is None:
        return dx
    if x.dim() == 1:
        shape = [1] * y.dim()
        shape[dim] = -1
        return diff(x).reshape(shape)
    return diff(x, dim=dim)


@function_only
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The integral of y along dim by the trapezoidal rule."""
    size = y.size(dim)
    if size == 0:
        return y.sum(dim)
    pairs = y.narrow(dim, 1, size - 1) + y.narrow(dim, 0, size - 1)
    return (pairs * _steps(x, dx, y, dim)).sum(dim) / 2.0


also("trapz")(trapezoid)


@function_only
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The running integral of y along dim."""
    size = y.size(dim)
    pairs = y.narrow(dim, 1, size - 1) + y.narrow(dim, 0, size - 1)
    return (pairs * _steps(x, dx, y, dim)).cumsum(dim) / 2.0


@composed
def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariance matrix of the rows."""
    if input.dim() > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {input.dim()} dimensions"
        )
    x = float_like(input)
    x = x if x.dim() == 2 else x.reshape(1, -1)
    weights = None
    if fweights is not None:
        weights = fweights.to(x.dtype)
    if aweights is not None:
        weights = aweights.to(x.dtype) if weights is None else weights * aweights.to(x.dtype)
    if weights is None:
        centred = x - x.mean(1, keepdim=True)
        factor: Any = max(x.size(1) - correction, 0)
        result = centred @ centred.t() / factor
    else:
        total = weights.sum()
        centred = x - (x * weights).sum(1, keepdim=True) / total
        lost = correction if aweights is None else correction * (weights * aweights.to(x.dtype)).sum() / total
        result = (centred * weights) @ centred.t() / (total - lost)
    return result.squeeze() if input.dim() < 2 else result


@composed
def corrcoef(input: Tensor) -> Tensor:
    """The matrix of correlations of the rows, within [-1, 1]."""
    c = cov(input)
    if c.dim() == 0:
        return c / c
    deviation = _C.sqrt(c.diagonal())
    return (c / deviation.unsqueeze(1) / deviation.unsqueeze(0)).clamp(min=-1, max=1)


@composed
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Every slice along dim scaled down to a p-norm of at most maxnorm."""
    others = [d for d in range(input.dim()) if d != dim % input.dim()]
    size = norm(input, p, others, True)
    return input * _C.where(size > maxnorm, maxnorm / (size + 1e-7), _C.ones_like(size))
