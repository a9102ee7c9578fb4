"""``finfo`` and ``iinfo``: the limits of a dtype."""

from __future__ import annotations

from typing import Any

from . import _C

# bits, eps, largest, smallest normal, decimal digits that survive
_FLOATS = {
    "float16": (16, 2.0**-10, 65504.0, 2.0**-14, 1e-3),
    "bfloat16": (16, 2.0**-7, (2 - 2.0**-7) * 2.0**127, 2.0**-126, 1e-2),
    "float32": (32, 2.0**-23, (2 - 2.0**-23) * 2.0**127, 2.0**-126, 1e-6),
    "float64": (64, 2.0**-52, (2 - 2.0**-52) * 2.0**1023, 2.0**-1022, 1e-15),
}
_INTEGERS = ("uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64")


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _one_dtype(type: Any) -> Any:  # noqa: A002
    return type


class finfo:  # noqa: N801  (the name scripts use)
    """Limits of a floating-point dtype: ``bits eps max min tiny smallest_normal resolution dtype``.

    Raises:
        TypeError: the dtype is not a floating-point one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.dtype = _name(_one_dtype(*args, **kwargs) if args or kwargs else _C.get_default_dtype())
        if self.dtype not in _FLOATS:
            raise TypeError(f"torch.finfo() requires a floating point input type, found {self.dtype}. Use torch.iinfo.")
        self.bits, self.eps, self.max, self.tiny, self.resolution = _FLOATS[self.dtype]
        self.min = -self.max
        self.smallest_normal = self.tiny

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(("finfo", self.dtype))


class iinfo:  # noqa: N801  (the name scripts use)
    """Limits of an integer dtype: ``bits max min dtype``.

    Raises:
        TypeError: the dtype is not an integer one.
    """

    def __init__(self, type: Any) -> None:  # noqa: A002
        self.dtype = _name(type)
        if self.dtype not in _INTEGERS:
            raise TypeError(f"torch.iinfo() requires an integer input type, found {self.dtype}. Use torch.finfo.")
        self.bits = 8 * type.itemsize
        signed = not self.dtype.startswith("u")
        self.max = 2 ** (self.bits - signed) - 1
        self.min = -self.max - 1 if signed else 0

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(("iinfo", self.dtype))
