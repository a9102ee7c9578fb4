"""Updates that happen whole or not at all: what a block changes is kept first, and put back where the block raises.

Invariant: putting back needs no memory, so it works when memory was what ran out. Does not: guard what nobody kept.
Read next: _composed.py.
"""

from __future__ import annotations

from typing import Any

from fastnn import _C


class Undo:
    """`with Undo() as undo: undo.keep([t]); t.mul_(2); ...`: if the block raises, t has its old values again."""

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._values: list[Any] = []

    def keep(self, tensors: list[Any]) -> None:
        """From here on the block may write these; what is no Tensor is passed over."""
        self._values += _C._clones(tensors)
        self._tensors += tensors

    def __enter__(self) -> Undo:
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is not None:
            _C._restore(self._tensors, self._values)
