"""compile: accepted, and the identity.

Invariant: results are those of the uncompiled model, state dicts carry no prefix. Does not: generate code. Read next:
compiler/__init__.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def compile(  # noqa: A001  (torch's name)
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = None,
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """`model` itself (without one: a decorator).

    fastnn's kernels are compiled already; all options are accepted and change nothing.
    """
    if model is not None and not callable(model):
        raise AssertionError(f"compile: a callable function is expected, found {type(model).__name__}")
    return (lambda f: f) if model is None else model
