"""Padding layers: pad() with a fixed mode.

Read next: ../_windows.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .._windows import pad
from .module import Module

if TYPE_CHECKING:
    from fastnn import Tensor


class _Pad(Module):
    _n = 0
    _mode = "constant"

    def __init__(self, padding: Any) -> None:
        super().__init__()
        if not isinstance(padding, (int, Iterable)):
            raise TypeError(f"{type(self).__name__}: padding is {padding!r}, expected an int or a tuple of ints")
        self.padding = (padding,) * (2 * self._n) if isinstance(padding, int) else tuple(padding)

    def forward(self, input: Tensor) -> Tensor:
        return pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


def _family(base: Any, prefix: str, mode: str, doc: str) -> dict[str, Any]:
    """The 1d, 2d and 3d layers of one kind."""
    return {
        f"{prefix}{n}d": type(
            f"{prefix}{n}d",
            (base,),
            {"_n": n, "_mode": mode, "__doc__": f"{doc} ({n} dimensions).", "__module__": __name__},
        )
        for n in (1, 2, 3)
    }


globals().update(_family(_ConstantPad, "ConstantPad", "constant", "Pads with a value"))
globals().update(_family(_ZeroPad, "ZeroPad", "constant", "Pads with zeros"))
globals().update(_family(_Pad, "ReflectionPad", "reflect", "Pads with the mirror image"))
globals().update(_family(_Pad, "ReplicationPad", "replicate", "Pads with the border"))
globals().update(_family(_Pad, "CircularPad", "circular", "Pads with the other end"))
