"""fastnn.amp: mixed precision, accepted and not done.

Invariant: computation stays in the tensors' own dtype. autocast("cuda") warns and is off, as in PyTorch without a GPU;
autocast("cpu", bfloat16) is accepted silently and computes in float32, which is more accurate and, here, faster.
Does not: change a dtype. Read next: grad_scaler.py.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "is_autocast_available"]


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast can be asked for: on "cpu"."""
    return device_type == "cpu"


class autocast:
    """Context manager and decorator without effect; see the module's text.

    Errors: RuntimeError for an unknown device type.
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if device_type not in ("cpu", "cuda", "mps", "xpu"):
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        self.device = device_type
        self.fast_dtype = dtype
        if device_type == "cuda" and enabled:
            warnings.warn("User provided device_type of 'cuda', but CUDA is not available. Disabling", stacklevel=2)
            enabled = False
        self._enabled = enabled

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *exc: Any) -> None:
        return None

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return func(*args, **kwargs)

        return wrapped
