"""InstanceNorm1d/2d/3d.

Invariant: no running statistics unless asked for; in evaluation they are used where they are tracked.
Read next: batchnorm.py, ../_norms.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._norms import instance_norm
from .batchnorm import _NormBase

if TYPE_CHECKING:
    from fastnn import Tensor


class _InstanceNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        unbatched = input.dim() == self._dims[0]
        x = input.unsqueeze(0) if unbatched else input
        momentum = 0.0 if self.momentum is None else self.momentum
        y = instance_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            momentum,
            self.eps,
        )
        return y.squeeze(0) if unbatched else y


class InstanceNorm1d(_InstanceNorm):
    """Normalises each channel of each sample of (N,C,L) or (C,L)."""

    _dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Normalises each channel of each sample of (N,C,H,W) or (C,H,W)."""

    _dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Normalises each channel of each sample of (N,C,D,H,W) or (C,D,H,W)."""

    _dims = (4, 5)
