"""The ``device`` type.

fastnn computes on the CPU. Other devices can be named, so that ``torch.device('cuda' if ... else 'cpu')`` works and
comparisons give an answer; using one for a tensor raises (csrc/python/args.c, fnn_as_device).
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

_TYPES = (
    "cpu cuda ipu xpu mkldnn opengl opencl ideep hip ve fpga maia xla lazy vulkan mps meta hpu mtia privateuseone"
).split()


def _split(text: str) -> tuple[str, int | None]:
    """``"cuda:1"`` as ``("cuda", 1)``."""
    if not text:
        raise RuntimeError("Device string must not be empty")
    name, colon, number = text.partition(":")
    if name not in _TYPES:
        raise RuntimeError(f"Expected one of {', '.join(_TYPES)} device type at start of device string: {name or text}")
    if not colon:
        return name, None
    if not number.isdecimal() or (len(number) > 1 and number[0] == "0"):
        raise RuntimeError(f"Invalid device string: '{text}'")
    return name, int(number)


class device:  # noqa: N801  (the name scripts use)
    """``device('cpu')``, ``device('cpu', 0)``, ``device('cuda:1')``; as a context manager it has no effect on the CPU.

    Attributes:
        type: the kind of device, ``'cpu'``.
        index: its number, or None.

    Raises:
        RuntimeError: the string names no device, or ``with device('cuda')`` asks for one that is not there.
    """

    __slots__ = ("type", "index")
    type: str
    index: int | None

    def __init__(self, type: str | int | device, index: int | None = None) -> None:  # noqa: A002
        if isinstance(type, device):
            kind, number = type.type, type.index
        elif isinstance(type, str):
            kind, number = _split(type)
        elif isinstance(type, int) and not isinstance(type, bool):
            raise RuntimeError(f"device({type}): Cannot access accelerator device when none is available.")
        else:
            raise TypeError(f"device(): argument 'type' must be str, not {type.__class__.__name__}")
        if index is not None:
            if number is not None:
                raise RuntimeError(
                    f"type (string) must not include an index because index was passed explicitly: {type}"
                )
            if index < 0:
                raise RuntimeError(f"Device index must not be negative, found {index}")
            number = int(index)
        object.__setattr__(self, "type", kind)
        object.__setattr__(self, "index", number)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"attribute '{name}' of 'torch.device' objects is not writable")

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, device):
            return NotImplemented
        return self.type == other.type and self.index == other.index

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        return (device, (self.type,) if self.index is None else (self.type, self.index))

    def __enter__(self) -> device:
        if self.type not in ("cpu", "meta"):
            raise RuntimeError(f"found device '{self}', wanted 'cpu': fastnn computes on the CPU only")
        if self.type == "meta":
            raise NotImplementedError("device('meta'): fastnn has no tensors without data")
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        return None
