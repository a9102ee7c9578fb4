"""fastnn.profiler: marks are accepted, profiles are not made.

Invariant: record_function costs nothing and changes nothing; profile raises. Does not: measure (`fastnn bench` does).
Read next: ../cli.py.
"""

from __future__ import annotations

import contextlib
from typing import Any, NoReturn


class record_function(contextlib.ContextDecorator):
    """A named block for a profiler; without effect."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name

    def __enter__(self) -> record_function:
        return self

    def __exit__(self, *exc: Any) -> None:
        return None


def profile(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises: fastnn has no profiler of PyTorch's kind."""
    raise NotImplementedError(
        "torch.profiler.profile: fastnn has no operator profiler; use a system profiler such as perf"
    )
