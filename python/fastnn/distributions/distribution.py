"""Base class of distributions.

Invariant: batch_shape is the shape of the parameters, event_shape that of one draw (empty for all here). Does not:
sample.
Read next: normal.py.
"""

from __future__ import annotations

from typing import Any

import fastnn


class Distribution:
    """A batch of independent distributions. Errors: ValueError for parameters or values outside their range, unless
    validate_args=False.

    Source: https://docs.pytorch.org/docs/stable/distributions.html
    """

    has_rsample = False
    _names: tuple[str, ...] = ()

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None) -> None:
        self._batch_shape = fastnn.Size(batch_shape)
        self._event_shape = fastnn.Size(event_shape)
        self._validate_args = validate_args is not False

    @property
    def batch_shape(self) -> Any:
        """Shape of the parameters."""
        return self._batch_shape

    @property
    def event_shape(self) -> Any:
        """Shape of one draw."""
        return self._event_shape

    @property
    def mean(self) -> Any:
        """Expected value."""
        raise NotImplementedError

    @property
    def variance(self) -> Any:
        """Variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Any:
        """Standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Any:
        """Draws of shape sample_shape + batch_shape, without gradient."""
        with fastnn.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Draws through which gradients flow to the parameters."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Any:
        """sample((n,))."""
        return self.sample((n,))

    def log_prob(self, value: Any) -> Any:
        """Logarithm of the density, or of the probability, at `value`."""
        raise NotImplementedError

    def entropy(self) -> Any:
        """Entropy in nats."""
        raise NotImplementedError

    def perplexity(self) -> Any:
        """exp(entropy)."""
        return self.entropy().exp()

    def _shape(self, sample_shape: Any) -> Any:
        return fastnn.Size(tuple(sample_shape) + tuple(self._batch_shape) + tuple(self._event_shape))

    def _check(self, name: str, ok: Any, wanted: str) -> None:
        """Refuse a parameter with entries for which `ok` is False."""
        if self._validate_args and not bool(ok.all()):
            value = getattr(self, name)
            raise ValueError(
                f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                f"{type(self).__name__} to satisfy the constraint {wanted}, but found invalid values:\n{value}"
            )

    def _check_value(self, ok: Any, value: Any, wanted: str) -> None:
        if self._validate_args and not bool(ok.all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the "
                "support "
                f"({wanted}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        shown = []
        for name in self._names:
            if name in self.__dict__:
                value = self.__dict__[name]
                shown.append(f"{name}: {value if value.numel() == 1 else value.size()}")
        return f"{type(self).__name__}({', '.join(shown)})"


def broadcast_all(*values: Any) -> list[Any]:
    """Numbers and tensors as tensors of one shape; numbers take the dtype of the tensors."""
    kind = next((v.dtype for v in values if isinstance(v, fastnn.Tensor)), fastnn.get_default_dtype())
    tensors = [v if isinstance(v, fastnn.Tensor) else fastnn.tensor(v, dtype=kind) for v in values]
    return list(fastnn.broadcast_tensors(*tensors))


def clamp_probs(probs: Any) -> Any:
    """Probabilities kept one rounding step away from 0 and 1, so that their logarithms are finite."""
    eps = fastnn.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def one_of(probs: Any, logits: Any) -> None:
    """Exactly one of the two must be given."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")
