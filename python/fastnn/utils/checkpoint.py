"""Activation checkpointing: accepted, and done without.

Invariant: values, gradients and random draws are those of PyTorch's checkpoint, for recomputation repeats the same
numbers. Does not: save memory; the graph keeps the activations. Read next: ../autograd/__init__.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["checkpoint", "checkpoint_sequential"]


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], Any] | None = None,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs)."""
    return function(*args, **kwargs)


def checkpoint_sequential(
    functions: Sequence[Callable[[Any], Any]],
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    **kwargs: Any,
) -> Any:
    """All functions of a Sequential, or of a list, one after the other; `segments` changes nothing."""
    for function in functions:
        input = function(input)
    return input
