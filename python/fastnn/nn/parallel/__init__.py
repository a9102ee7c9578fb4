"""fastnn.nn.parallel: models over several devices.

Invariant: DataParallel without GPUs is the module itself, as in PyTorch; DistributedDataParallel raises. Does not:
communicate.
Read next: ../../distributed/__init__.py.
"""

from __future__ import annotations

from typing import Any

from fastnn.nn.modules.module import Module

__all__ = ["DataParallel", "DistributedDataParallel"]


class DataParallel(Module):
    """Calls `module`: there are no devices to spread a batch over."""

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module = module
        self.device_ids: list[Any] = []
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """module(*inputs, **kwargs)."""
        return self.module(*inputs, **kwargs)


class DistributedDataParallel(Module):
    """Importable for scripts that use it only when launched in several processes.

    Errors: RuntimeError when constructed.
    """

    def __init__(self, module: Module, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("DistributedDataParallel: fastnn has no distributed training; run the script in one process")
