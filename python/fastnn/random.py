"""The default random generator and its seed.

Invariant: all functions act on `default_generator`, the one random ops use without generator=. Does not: touch Python's
or NumPy's streams.
Read next: utils/data/_utils/worker.py, which swaps its state for virtual workers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from fastnn._C import Generator, default_generator

__all__ = ["default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]


def manual_seed(seed: int) -> Generator:
    """Seed the default generator (any integer in [-2**63, 2**64)) and return it."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Seed the default generator from the operating system; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed last given to the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    """The default generator's state: uint8 tensor of 5056 elements, PyTorch's layout."""
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Put back what get_rng_state gave, here or in PyTorch."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(
    devices: Any = None,
    enabled: bool = True,
    _caller: str = "fork_rng",
    _devices_kw: str = "devices",
    device_type: Any = None,
) -> Iterator[None]:
    """A block whose random draws leave the default generator as it was; `devices` is accepted and means nothing on a
    CPU.
    """
    if not enabled:
        yield
        return
    state = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(state)
