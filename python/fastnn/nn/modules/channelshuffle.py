"""ChannelShuffle.

Read next: ../_resample.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._resample import channel_shuffle
from .module import Module

if TYPE_CHECKING:
    from fastnn import Tensor


class ChannelShuffle(Module):
    """Mixes the channels of groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
