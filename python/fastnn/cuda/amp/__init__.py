"""fastnn.cuda.amp: the older names of fastnn.amp's classes.

Invariant: same behaviour as ../../amp. Does not: scale. Read next: ../../amp/__init__.py.
"""

from __future__ import annotations

from typing import Any

from fastnn.amp import GradScaler as _GradScaler
from fastnn.amp import autocast as _autocast


class autocast(_autocast):
    """autocast("cuda", ...): does nothing on a CPU."""

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(_GradScaler):
    """GradScaler("cuda", ...): passes everything through on a CPU."""

    def __init__(
        self,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
