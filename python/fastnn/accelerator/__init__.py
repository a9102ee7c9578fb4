"""fastnn.accelerator: there is none.

Invariant: scripts that ask end up on the CPU. Does not: run on devices. Read next: ../cuda/__init__.py.
"""

from __future__ import annotations


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def current_accelerator(check_available: bool = False) -> None:
    """None."""
    return None


def empty_cache() -> None:
    """Nothing: there is no device memory."""
