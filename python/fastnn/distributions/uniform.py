"""Uniform distribution.

Invariant: the support is [low, high). Does not: integers. Read next: distribution.py.
"""

from __future__ import annotations

from typing import Any

import fastnn

from .distribution import Distribution, broadcast_all


class Uniform(Distribution):
    """Density 1 / (high - low) on [low, high)."""

    has_rsample = True
    _names = ("low", "high")

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.size(), validate_args=validate_args)
        if self._validate_args and not bool((self.low < self.high).all()):
            raise ValueError("Uniform is not defined when low>= high")

    @property
    def mean(self) -> Any:
        return (self.high + self.low) / 2

    @property
    def variance(self) -> Any:
        return (self.high - self.low).pow(2) / 12

    def rsample(self, sample_shape: Any = ()) -> Any:
        part = fastnn.rand(self._shape(sample_shape), dtype=self.low.dtype)
        return self.low + part * (self.high - self.low)

    def log_prob(self, value: Any) -> Any:
        self._check_value((value >= self.low) & (value <= self.high), value, "Interval")
        inside = self.low.le(value).type_as(self.low) * self.high.gt(value).type_as(self.low)
        return fastnn.log(inside) - fastnn.log(self.high - self.low)

    def cdf(self, value: Any) -> Any:
        """Probability of a draw at most `value`."""
        return ((value - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value: Any) -> Any:
        """The value whose cdf is `value`."""
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Any:
        return fastnn.log(self.high - self.low)
