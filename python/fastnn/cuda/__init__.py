"""fastnn.cuda: what scripts ask before they decide for the CPU.

Invariant: no device is ever there; seeding does nothing, anything that needs a device raises what PyTorch's CPU build
raises.
Does not: run on GPUs. Read next: ../amp/__init__.py.
"""

from __future__ import annotations

from typing import Any, NoReturn

from . import amp as amp


def is_available() -> bool:
    """False."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Nothing: there is no GPU generator."""


def manual_seed_all(seed: int) -> None:
    """Nothing: there is no GPU generator."""


def seed() -> None:
    """Nothing: there is no GPU generator."""


def seed_all() -> None:
    """Nothing: there is no GPU generator."""


def empty_cache() -> None:
    """Nothing: there is no GPU memory."""


def memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


def max_memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


def memory_reserved(device: Any = None) -> int:
    """0."""
    return 0


def max_memory_reserved(device: Any = None) -> int:
    """0."""
    return 0


def _no_cuda(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises: fastnn has no CUDA."""
    raise AssertionError("Torch not compiled with CUDA enabled")


init = synchronize = current_device = set_device = get_device_name = get_device_properties = get_device_capability = (
    _no_cuda
)
current_stream = default_stream = get_rng_state = set_rng_state = mem_get_info = _no_cuda
