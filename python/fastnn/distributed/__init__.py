"""fastnn.distributed: importable, and not available.

Invariant: scripts that import its functions and run in one process work; asking for a process group raises. Does not:
communicate.
Read next: ../nn/parallel/__init__.py.
"""

from __future__ import annotations

from typing import Any, NoReturn


def is_available() -> bool:
    """False."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def is_torchelastic_launched() -> bool:
    """False."""
    return False


def init_process_group(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises: fastnn trains in one process."""
    raise RuntimeError(
        "torch.distributed.init_process_group: fastnn has no distributed training; run the script in one process"
    )


def _no_group(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises: there is no process group."""
    raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")


destroy_process_group = get_rank = get_world_size = barrier = all_reduce = broadcast = all_gather = reduce = _no_group
