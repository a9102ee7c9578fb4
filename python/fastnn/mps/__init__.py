"""fastnn.mps: what scripts ask before they decide for the CPU.

Invariant: no device is ever there, and seeding one does nothing. Does not: run on devices. Read next:
../cuda/__init__.py.
"""

from __future__ import annotations


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Nothing: there is no device generator."""


def empty_cache() -> None:
    """Nothing: there is no device memory."""
