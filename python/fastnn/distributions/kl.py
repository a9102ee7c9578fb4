"""Kullback-Leibler divergence between two distributions of one kind.

Invariant: closed forms only. Does not: pairs of different kinds. Read next: distribution.py.
"""

from __future__ import annotations

import math
from typing import Any

import fastnn

from .bernoulli import Bernoulli
from .categorical import Categorical
from .distribution import Distribution
from .normal import Normal
from .uniform import Uniform


def kl_divergence(p: Distribution, q: Distribution) -> Any:
    """Sum or integral of p log(p / q). Errors: NotImplementedError for a pair without closed form here."""
    if isinstance(p, Normal) and isinstance(q, Normal):
        ratio = (p.scale / q.scale).pow(2)
        distance = ((p.loc - q.loc) / q.scale).pow(2)
        return 0.5 * (ratio + distance - 1 - ratio.log())
    if isinstance(p, Categorical) and isinstance(q, Categorical):
        t = p.probs * (p.logits - q.logits)
        t = fastnn.where(q.probs == 0, math.inf, t)
        return fastnn.where(p.probs == 0, 0.0, t).sum(-1)
    if isinstance(p, Bernoulli) and isinstance(q, Bernoulli):
        ones = fastnn.where(p.probs == 0, 0.0, p.probs * (p.probs / q.probs).log())
        zeros = fastnn.where(p.probs == 1, 0.0, (1 - p.probs) * ((1 - p.probs) / (1 - q.probs)).log())
        return ones + zeros
    if isinstance(p, Uniform) and isinstance(q, Uniform):
        inside = (q.low <= p.low) & (q.high >= p.high)
        return fastnn.where(inside, ((q.high - q.low) / (p.high - p.low)).log(), math.inf)
    raise NotImplementedError(
        f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}"
    )
