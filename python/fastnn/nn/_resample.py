"""Resizing and regrouping of torch.nn.functional: interpolate, pixel and channel shuffles.

Each is a gather by index_select or a reshape; linear interpolation mixes two gathers.  Shapes: (N,C,*space).
Read next: _windows.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _C
from fastnn._arguments import checked

from ._windows import per_dim

if TYPE_CHECKING:
    from fastnn import Tensor


@checked
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C*r*r, H, W) to (..., C, H*r, W*r)."""
    r = upscale_factor
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, channels, height, width = input.shape
    if channels % (r * r):
        raise RuntimeError(
            f"pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={channels} is not divisible by {r * r}"
        )
    x = input.reshape([-1, channels // (r * r), r, r, height, width]).permute(0, 1, 4, 2, 5, 3)
    return x.reshape([*lead, channels // (r * r), height * r, width * r])


@checked
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H*r, W*r) to (..., C*r*r, H, W)."""
    r = downscale_factor
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, channels, height, width = input.shape
    if height % r or width % r:
        raise RuntimeError(
            f"pixel_unshuffle expects height and width to be divisible by downscale_factor, but got {height} "
            f"x {width} and {r}"
        )
    x = input.reshape([-1, channels, height // r, r, width // r, r]).permute(0, 1, 3, 5, 2, 4)
    return x.reshape([*lead, channels * r * r, height // r, width // r])


@checked
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channel (g, c) becomes channel (c, g)."""
    if groups <= 0:
        raise RuntimeError(f"channel_shuffle: Number of groups must be positive, but got {groups}")
    n, channels = input.shape[:2]
    if channels % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {channels} channels and {groups} groups."
        )
    return input.reshape([n, groups, channels // groups, *input.shape[2:]]).transpose(1, 2).reshape(input.shape)


def _resample_linear(x: Tensor, dim: int, size: int, align_corners: bool, factor: float | None) -> Tensor:
    """Linear interpolation along one dimension."""
    old = x.size(dim)
    if align_corners:
        scale = (old - 1) / (size - 1) if size > 1 else 0.0
        places = [i * scale for i in range(size)]
    else:
        scale = 1.0 / factor if factor else old / size
        places = [max(0.0, (i + 0.5) * scale - 0.5) for i in range(size)]
    low = [min(int(p), old - 1) for p in places]
    high = [min(i + 1, old - 1) for i in low]
    shape = [1] * x.dim()
    shape[dim] = size
    share = _C.tensor([p - i for p, i in zip(places, low, strict=False)], dtype=x.dtype).reshape(shape)
    a = x.index_select(dim, _C.tensor(low, dtype=_C.int64))
    b = x.index_select(dim, _C.tensor(high, dtype=_C.int64))
    return a * (1 - share) + b * share


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize the spatial dimensions of (N,C,*space): nearest, nearest-exact, linear, bilinear, trilinear, area."""
    n = input.dim() - 2
    linear = {"linear": 1, "bilinear": 2, "trilinear": 3}
    for name, given in (("size", size), ("scale_factor", scale_factor)):
        if isinstance(given, (list, tuple)) and len(given) != n:
            raise ValueError(f"interpolate: input has {n} spatial dimensions, but {name}={given} has {len(given)}")
    if (size is None) == (scale_factor is None):
        raise ValueError(
            "only one of size or scale_factor should be defined"
            if size is not None
            else "either size or scale_factor should be defined"
        )
    if n not in (1, 2, 3):
        raise NotImplementedError(f"interpolate: only 3D, 4D and 5D input Tensors supported (got {input.dim()}D)")
    if antialias or mode not in ("nearest", "nearest-exact", "area", *linear) or linear.get(mode, n) != n:
        raise NotImplementedError(
            f"interpolate: mode {mode!r} (antialias={antialias}) of {input.dim()}D input is not offered"
        )
    if align_corners is not None and mode not in linear:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    factors: list[float | None] = [None] * n
    if size is None:
        factors = [scale_factor] * n if isinstance(scale_factor, (int, float)) else list(scale_factor)
        sizes = [int(old * f) for old, f in zip(input.shape[2:], factors, strict=False)]  # type: ignore[operator]
        if recompute_scale_factor:
            factors = [None] * n
    else:
        sizes = list(per_dim(size, n, "size"))
    if min(*sizes, *input.shape[2:]) <= 0:
        raise RuntimeError(
            f"interpolate: Input and output sizes should be greater than 0, but got {list(input.shape[2:])} and {sizes}"
        )
    if mode == "area":
        from . import _pooling

        return _pooling.adaptive_avg_pool(n, input, sizes)
    for k, (new, factor) in enumerate(zip(sizes, factors, strict=False)):
        dim, old = k + 2, input.size(k + 2)
        if mode in linear:
            input = _resample_linear(input, dim, new, bool(align_corners), factor)
        else:
            scale = 1.0 / factor if factor else old / new
            shift = 0.5 if mode == "nearest-exact" else 0.0
            index = [min(int((i + shift) * scale), old - 1) for i in range(new)]
            input = input.index_select(dim, _C.tensor(index, dtype=_C.int64))
    return input
