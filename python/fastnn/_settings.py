"""Switches of torch's that change nothing here, because there is one precision, one device and one order of sums.

Invariant: what was set is what is read back; an unknown value raises.  Read next: __init__.py, which loads this.
"""

from __future__ import annotations

from typing import Any

from ._device import device

_PRECISIONS = ("highest", "high", "medium")
_state: dict[str, Any] = {"precision": "highest", "deterministic": False, "warn_only": False}


def set_float32_matmul_precision(precision: str) -> None:
    """Remembered; products of float32 are always in full float32."""
    if not isinstance(precision, str) or precision not in _PRECISIONS:
        raise RuntimeError(f"set_float32_matmul_precision: found {precision!r}, wanted one of {', '.join(_PRECISIONS)}")
    _state["precision"] = precision


def get_float32_matmul_precision() -> str:
    """What was set, at first 'highest'."""
    return _state["precision"]


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Remembered; every algorithm here is deterministic."""
    if not isinstance(mode, bool):
        raise TypeError(f"use_deterministic_algorithms(): argument 'mode' must be bool, not {type(mode).__name__}")
    _state["deterministic"], _state["warn_only"] = bool(mode), bool(warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """What was set, at first False."""
    return _state["deterministic"]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """What was set, at first False."""
    return _state["warn_only"]


def set_default_device(name: Any) -> None:
    """Only None and the CPU can be set."""
    if name is not None:
        device(name)  # raises for what is no device's name
        if device(name).type != "cpu":
            raise RuntimeError(
                f"set_default_device: expected 'cpu', found {str(name)!r}: fastnn computes on the CPU only"
            )


def get_default_device() -> device:
    """The CPU."""
    return device("cpu")


def get_num_interop_threads() -> int:
    """One: operations run one after the other."""
    return 1


def set_num_interop_threads(threads: int) -> None:
    """Accepted; operations run one after the other."""
    if threads < 1:
        raise RuntimeError(f"set_num_interop_threads: expected a positive number of threads, found {threads}")


def typename(obj: Any) -> str:
    """The full name of an object's type; of a tensor, the name its dtype has."""
    if hasattr(obj, "type") and hasattr(obj, "dtype"):
        return obj.type()
    kind = type(obj)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
