"""Functions about order and counts: quantiles, unique, histograms, searching.

Indices come from sorts or from NumPy; values are gathered by them, so gradients follow.  Read next: products.py.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _C

from ._registry import composed, function_only
from .shape import wrap

if TYPE_CHECKING:
    from fastnn import Tensor

_Tensor = _C.Tensor
_named: dict[str, Any] = {}


def named(name: str, fields: str = "values indices") -> Any:
    """The named tuple that torch calls torch.return_types.<name>."""
    if name not in _named:
        _named[name] = namedtuple(name, fields.split())  # type: ignore[misc]
    return _named[name]


@composed
def msort(input: Tensor) -> Tensor:
    """Sorted along the first dimension."""
    return input.sort(0)[0]


@composed
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th smallest element along dim (k from 1) and where it stands."""
    size = input.size(dim) if input.dim() else 1
    if not 1 <= k <= size:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}: k is {k}, size {size}")
    if input.dim() == 0:
        return named("kthvalue")(input.clone(), _C.zeros((), dtype=_C.int64))
    indices = input.detach().sort(dim)[1].narrow(dim, k - 1, 1).contiguous()
    values = input.gather(dim, indices)
    if keepdim:
        return named("kthvalue")(values, indices)
    return named("kthvalue")(values.squeeze(dim), indices.squeeze(dim))


def _median(input: Tensor, dim: Any, keepdim: bool, skip_nan: bool, name: str) -> Any:
    flat = dim is None
    x = input.reshape(-1) if flat else input
    d = 0 if flat else wrap(dim, x.dim())
    if flat and x.numel() == 0:
        return _C.full([], float("nan"), dtype=input.dtype)
    if x.dim() and not x.size(d):
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")
    if input.dtype == _C.bool:
        raise NotImplementedError(f"{name}: not implemented for input of dtype bool")
    if x.dim() == 0:
        return named(name)(x.clone(), _C.zeros((), dtype=_C.int64))
    order = x.detach().sort(d)[1]
    size = x.size(d)
    middle = _C.full_like(order.narrow(d, 0, 1), (size - 1) // 2)
    if x.is_floating_point():
        nans = _C.isnan(x.detach())
        count = nans.to(_C.int64).sum(d, keepdim=True)  # NaN sort to the end
        if skip_nan:
            middle = _C.div((size - count - 1).clamp(min=0), 2, rounding_mode="floor")
        else:
            middle = _C.where(count > 0, size - count, middle)  # the first NaN
    indices = order.gather(d, middle)
    values = x.gather(d, indices)
    if flat:
        return values.reshape([])
    if not keepdim:
        values, indices = values.squeeze(d), indices.squeeze(d)
    return named(name)(values, indices)


@composed
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of all elements, or along dim with its place."""
    return _median(input, dim, keepdim, False, "median")


@composed
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median of what is not NaN."""
    return _median(input, dim, keepdim, True, "nanmedian")


@composed
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along dim (the smallest of equals) and the last place where it stands."""
    dim = wrap(dim, input.dim())
    if input.dim() == 0:
        return named("mode")(input.clone(), _C.zeros((), dtype=_C.int64))
    if not input.size(dim):
        raise IndexError(f"mode(): Expected reduction dim {dim} to have non-zero size.")
    rows = np.moveaxis(input.detach().numpy(), dim, -1)
    flat = rows.reshape(-1, rows.shape[-1])
    places = np.zeros(len(flat), dtype=np.int64)
    for i, row in enumerate(flat):
        found, counts = np.unique(row, return_counts=True)
        places[i] = np.flatnonzero(row == found[counts.argmax()])[-1]
    indices = _C.from_numpy(places.reshape(rows.shape[:-1])).unsqueeze(dim)
    values = input.gather(dim, indices)
    if not keepdim:
        values, indices = values.squeeze(dim), indices.squeeze(dim)
    return named("mode")(values, indices)


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(
    name: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip_nan: bool
) -> Tensor:
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    if not input.is_floating_point():
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if input.numel() == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    many = isinstance(q, _Tensor) and q.dim() > 0
    shares = q.reshape(-1).tolist() if isinstance(q, _Tensor) else [float(q)]
    if any(not 0 <= s <= 1 for s in shares):
        raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
    x = input.reshape(-1) if dim is None else input.movedim(dim, -1)
    ordered = x.sort(-1)[0]
    nans = _C.isnan(ordered.detach())
    count = (~nans).to(_C.int64).sum(-1, keepdim=True)
    results = []
    for share in shares:
        rank = (count - 1).clamp(min=0).to(x.dtype) * share
        low, high = rank.floor(), rank.ceil()
        if interpolation == "nearest":
            low = high = rank.round()
        elif interpolation in ("lower", "higher"):
            low = high = low if interpolation == "lower" else high
        a, b = ordered.gather(-1, low.to(_C.int64)), ordered.gather(-1, high.to(_C.int64))
        weight = 0.5 if interpolation == "midpoint" else rank - low
        value = _C.lerp(a, b, weight) if interpolation in ("linear", "midpoint") else a
        if not skip_nan:
            value = value.masked_fill(nans.any(-1, keepdim=True), float("nan"))
        if dim is None:
            value = value.reshape([1] * input.dim() if keepdim else [])
        else:
            value = value.movedim(-1, dim) if keepdim else value.squeeze(-1)
        results.append(value)
    return _C.stack(results, 0) if many else results[0]


@composed
def quantile(
    input: Tensor, q: float | Tensor, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The q-th quantiles (0..1) along dim, or of all elements."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@composed
def nanquantile(
    input: Tensor, q: float | Tensor, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """quantile of what is not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


def _results(parts: list[Any], flags: list[bool]) -> Any:
    wanted = [p for p, f in zip(parts, [True, *flags], strict=False) if f]
    return wanted[0] if len(wanted) == 1 else tuple(wanted)


@composed
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in rising order (or slices along dim), with inverse and counts on request."""
    dim = None if dim is None else wrap(dim, input.dim())
    x = input.detach().numpy()
    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True, axis=dim)
    inverse = inverse.reshape(x.shape if dim is None else -1)
    parts = [_C.from_numpy(np.ascontiguousarray(v)) for v in (values, inverse, counts)]
    return _results(parts, [return_inverse, return_counts])


@composed
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Runs of equal elements (or slices along dim) reduced to one."""
    dim = None if dim is None else wrap(dim, input.dim())
    x = input.detach().numpy()
    rows = x.reshape(-1) if dim is None else np.moveaxis(x, dim, 0)
    n = rows.shape[0]
    first = np.ones(n, dtype=bool)
    if n > 1:
        first[1:] = (rows[1:] != rows[:-1]).reshape(n - 1, -1).any(1)
    values = rows[first] if dim is None else np.moveaxis(rows[first], 0, dim)
    inverse = np.cumsum(first) - 1
    if dim is None:
        inverse = inverse.reshape(x.shape)
    starts = np.flatnonzero(first)
    counts = np.diff(np.append(starts, n))
    parts = [
        _C.from_numpy(np.ascontiguousarray(v)) for v in (values, inverse.astype(np.int64), counts.astype(np.int64))
    ]
    return _results(parts, [return_inverse, return_counts])


@composed
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, ... occurs, or the sum of its weights."""
    if input.is_floating_point() or input.dtype == _C.bool:
        raise NotImplementedError(f"bincount: input has dtype {input.dtype}, expected integers")
    if input.dim() != 1 or (input.numel() and int(input.min()) < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if minlength < 0:
        raise RuntimeError(f"minlength should be >= 0, got {minlength}")
    if weights is not None and weights.shape != input.shape:
        raise RuntimeError(
            f"bincount: weights has shape {tuple(weights.shape)}, expected {tuple(input.shape)}, the shape of input"
        )
    w = None if weights is None else weights.detach().numpy()
    result = np.bincount(input.numpy(), w, minlength)
    if w is None:
        return _C.from_numpy(result.astype(np.int64))
    return _C.from_numpy(result.astype(w.dtype if w.dtype == np.float32 else np.float64))


def _limits(name: str, x: Any, low: float, high: float) -> tuple[float, float]:
    if low == high:
        low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 1.0)
        if low == high:
            low, high = low - 1, high + 1
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"{name}: range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"{name}: max must be larger than min, found [{low}, {high}]")
    return low, high


@composed
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Counts in `bins` equal bins of [min, max] (the data's range if both are equal)."""
    if bins <= 0:
        raise RuntimeError("bins must be > 0")
    if not input.is_floating_point():
        raise RuntimeError(f"histc: input is {input.dtype}, expected a floating-point tensor")
    x = input.detach().numpy().reshape(-1)
    low, high = _limits("histc", x, float(min), float(max))
    x = x[(x >= low) & (x <= high)]
    place = np.minimum(((x - x.dtype.type(low)) / x.dtype.type(high - low) * bins).astype(np.int64), bins - 1)
    return _C.from_numpy(np.bincount(place, minlength=bins).astype(x.dtype))


@composed
def histogram(
    input: Tensor, bins: int | Tensor = 100, *, range: Any = None, weight: Tensor | None = None, density: bool = False
) -> Any:
    """Counts (or sums of weights) in bins, and the bins' edges; density makes the integral one."""
    x = input.detach().numpy().reshape(-1)
    w = None if weight is None else weight.detach().numpy().reshape(-1)
    if isinstance(bins, _Tensor):
        edges = bins.detach().numpy()
    else:
        low, high = _limits("torch.histogram", x, *([0.0, 0.0] if range is None else map(float, range)))
        edges = _C.linspace(low, high, int(bins) + 1, dtype=input.dtype).numpy()
    count = len(edges) - 1
    inside = (x >= edges[0]) & (x <= edges[-1])
    if isinstance(bins, _Tensor):
        place = np.searchsorted(edges, x[inside], side="right") - 1
    else:
        place = ((x[inside] - edges[0]) * (count / (edges[-1] - edges[0]))).astype(np.int64)
        place = np.minimum(place, count - 1)
        # The product may round over an edge: the edges decide.
        place -= (x[inside] < edges[place]).astype(np.int64)
        place += (x[inside] >= edges[place + 1]).astype(np.int64)
    place = np.minimum(place, count - 1)
    hist = np.bincount(place, None if w is None else w[inside], minlength=count).astype(x.dtype)
    if density:
        hist = hist / (hist.sum() * np.diff(edges))
    edges_out = bins if isinstance(bins, _Tensor) else _C.from_numpy(edges)
    return named("histogram", "hist bin_edges")(_C.from_numpy(hist.astype(x.dtype)), edges_out)


def _search(name: str, edges: Any, values: Any, right: bool, out_int32: bool, side: str | None) -> Tensor:
    if side is not None:
        if side not in ("left", "right") or (right and side == "left"):
            raise RuntimeError(
                f"{name}: side is {side!r} and right is {right}, expected 'left' or 'right' in agreement"
            )
        right = side == "right"
    scalar = not isinstance(values, _Tensor)
    v = np.asarray(values) if scalar else values.detach().numpy()
    e = edges.detach().numpy()
    which: Any = "right" if right else "left"
    if e.ndim == 1:
        found = np.searchsorted(e, v, side=which)
    else:
        if e.shape[:-1] != v.shape[:-1]:
            raise RuntimeError(
                f"{name}(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
                "tensor and "
                f"input value tensor must match, but we got boundaries tensor {list(e.shape)} and input value "
                f"tensor {list(v.shape)}"
            )
        rows = zip(e.reshape(-1, e.shape[-1]), v.reshape(-1, v.shape[-1]), strict=False)
        found = np.stack([np.searchsorted(a, b, side=which) for a, b in rows]).reshape(v.shape)
    return _C.from_numpy(np.asarray(found, dtype=np.int32 if out_int32 else np.int64))


@function_only
def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | float,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each value would go into the sorted last dimension."""
    if sorter is not None:
        sorted_sequence = sorted_sequence.gather(-1, sorter)
    return _search("searchsorted", sorted_sequence, input, right, out_int32, side)


@function_only
def bucketize(input: Tensor | float, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The bucket of each value between sorted boundaries."""
    if boundaries.dim() != 1:
        raise RuntimeError(f"bucketize: boundaries has {boundaries.dim()} dimensions, expected 1")
    return _search("bucketize", boundaries, input, right, out_int32, None)


@composed
def argwhere(input: Tensor) -> Tensor:
    """The indices of the elements that are not zero, as rows."""
    return input.nonzero()


@composed
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Which elements occur among the others."""
    for name, value in (("elements", elements), ("test_elements", test_elements)):
        if not isinstance(value, (_Tensor, int, float)):
            raise TypeError(f"isin(): argument {name!r} must be Tensor or Number, not {type(value).__name__}")
        if isinstance(value, int) and value.bit_length() > 63:
            raise OverflowError(f"isin(): argument {name!r} is {value}, expected at most 64 bits")
    a = elements.detach().numpy() if isinstance(elements, _Tensor) else np.asarray(elements)
    b = test_elements.detach().numpy() if isinstance(test_elements, _Tensor) else np.asarray(test_elements)
    return _C.from_numpy(np.asarray(np.isin(a, b, invert=invert)))
