"""``layout`` and ``memory_format``: names of how a tensor lies in memory.

Tensors here are strided; other layouts can be named, so that scripts can compare with them, and are refused where a
tensor is made (csrc/python/args.c). Of the memory formats, ``contiguous_format`` and ``preserve_format`` count.
"""

from __future__ import annotations

from typing import Any


class _Named:
    """An object that is only a name; there is one of each, and pickling finds it again."""

    __slots__ = ("_name",)

    _name: str

    def __new__(cls, *args: object) -> _Named:
        raise TypeError(f"cannot create 'torch.{cls.__name__}' instances")

    def __repr__(self) -> str:
        return f"torch.{self._name}"

    def __reduce__(self) -> str:
        return self._name


class layout(_Named):  # noqa: N801  (the name scripts use)
    """``torch.strided`` and the layouts that do not exist here."""

    __slots__ = ()


class memory_format(_Named):  # noqa: N801
    """``torch.contiguous_format``, ``torch.preserve_format``, ``torch.channels_last``."""

    __slots__ = ()


layout.__module__ = memory_format.__module__ = "fastnn"


def _named(kind: type, name: str) -> Any:
    only: Any = object.__new__(kind)
    only._name = name
    return only


strided = _named(layout, "strided")
sparse_coo = _named(layout, "sparse_coo")
sparse_csr = _named(layout, "sparse_csr")
contiguous_format = _named(memory_format, "contiguous_format")
preserve_format = _named(memory_format, "preserve_format")
channels_last = _named(memory_format, "channels_last")
channels_last_3d = _named(memory_format, "channels_last_3d")
