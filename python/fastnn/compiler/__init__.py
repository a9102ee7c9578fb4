"""fastnn.compiler: marks for a compiler that fastnn does not have or need.

Invariant: every decorator gives its function back. Does not: compile. Read next: ../_compile.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def disable(fn: Callable[..., Any] | None = None, recursive: bool = True, **options: Any) -> Any:
    """`fn` itself, or the decorator that gives it back."""
    return (lambda f: f) if fn is None else fn


def is_compiling() -> bool:
    """False."""
    return False


def is_dynamo_compiling() -> bool:
    """False."""
    return False


def reset() -> None:
    """Nothing: there are no compiled programs."""
