"""fastnn.backends.mkl: not part of fastnn.

Invariant: is_available() is False. Does not: do more. Read next: __init__.py.
"""


def is_available() -> bool:
    """False."""
    return False
