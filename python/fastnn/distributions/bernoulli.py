"""Bernoulli distribution.

Invariant: the parameter given (probs or logits) is kept as it is, the other is computed when asked for. Does not:
rsample.
Read next: categorical.py.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import fastnn
from fastnn.nn import functional as F

from .distribution import Distribution, broadcast_all, clamp_probs, one_of


class Bernoulli(Distribution):
    """1 with probability `probs` = sigmoid(`logits`), else 0."""

    _names = ("probs", "logits")

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        one_of(probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__((self.probs if probs is not None else self.logits).size(), validate_args=validate_args)
        if probs is not None:
            self._check("probs", (self.probs >= 0) & (self.probs <= 1), "Interval(lower_bound=0.0, upper_bound=1.0)")
        else:
            self._check("logits", self.logits == self.logits, "Real()")

    @cached_property
    def logits(self) -> Any:
        """log(p / (1 - p))."""
        p = clamp_probs(self.probs)
        return fastnn.log(p) - fastnn.log1p(-p)

    @cached_property
    def probs(self) -> Any:
        """Probability of a 1."""
        return fastnn.sigmoid(self.logits)

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        with fastnn.no_grad():
            return fastnn.bernoulli(self.probs.expand(self._shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        self._check_value((value == 0) | (value == 1), value, "Boolean()")
        logits, value = broadcast_all(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Any:
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
