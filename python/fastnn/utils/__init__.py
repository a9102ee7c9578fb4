"""fastnn.utils: data loading, checkpointing, TensorBoard, hook handles.

Invariant: submodules that need another package (tensorboard) are imported only when asked for. Does not: hold code.
Read next: data/__init__.py.
"""

from __future__ import annotations

import importlib
from typing import Any

_SUBMODULES = ("checkpoint", "data", "hooks", "tensorboard")


def __getattr__(name: str) -> Any:
    """Submodules load when first asked for: scripts use torch.utils.data without importing it."""
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
