"""Categorical distribution.

Invariant: probs sum to 1 over the last dimension, logits are log-probabilities. Does not: one-hot draws. Read next:
distribution.py.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import fastnn

from .distribution import Distribution, clamp_probs, one_of


class Categorical(Distribution):
    """Index i of the last dimension with probability proportional to probs[..., i], or to exp(logits[..., i])."""

    _names = ("probs", "logits")

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        one_of(probs, logits)
        given = logits if probs is None else probs
        if given.dim() < 1:
            raise ValueError(f"`{'logits' if probs is None else 'probs'}` parameter must be at least one-dimensional.")
        super().__init__(given.size()[:-1], validate_args=validate_args)
        self._num_events = given.size(-1)
        if probs is not None:
            self.probs = probs
            self._check("probs", (probs >= 0).all(-1) & (probs.sum(-1) > 0), "Simplex()")
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = logits
            self._check("logits", logits == logits, "IndependentConstraint(Real(), 1)")
            self.logits = logits - logits.logsumexp(dim=-1, keepdim=True)

    @cached_property
    def logits(self) -> Any:
        """Log-probabilities."""
        return fastnn.log(clamp_probs(self.probs))

    @cached_property
    def probs(self) -> Any:
        """Probabilities."""
        return fastnn.softmax(self.logits, dim=-1)

    @property
    def mode(self) -> Any:
        """The likeliest index."""
        return self.probs.argmax(dim=-1)

    @property
    def mean(self) -> Any:
        """NaN: indices have no mean."""
        return fastnn.full(self._shape(()), math.nan, dtype=self.probs.dtype)

    variance = mean

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = self._shape(sample_shape)
        rows = self.probs.detach().reshape(-1, self._num_events)
        return fastnn.multinomial(rows, math.prod(sample_shape), True).T.reshape(shape)

    def log_prob(self, value: Any) -> Any:
        self._check_value(
            (value >= 0) & (value < self._num_events), value, f"IntegerInterval(0, {self._num_events - 1})"
        )
        index, table = fastnn.broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return table.gather(-1, index[..., :1]).squeeze(-1)

    def entropy(self) -> Any:
        logits = self.logits.clamp(min=fastnn.finfo(self.logits.dtype).min)
        return -(logits * self.probs).sum(-1)
