"""fastnn.backends.cudnn: flags only.

Invariant: they can be set and read and change nothing. Does not: exist as a library. Read next: cuda.py.
"""

from __future__ import annotations

enabled: bool = True
benchmark: bool = False
deterministic: bool = False
allow_tf32: bool = True


def is_available() -> bool:
    """False."""
    return False


def version() -> int | None:
    """None: there is no cuDNN."""
    return None
