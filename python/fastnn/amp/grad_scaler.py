"""GradScaler: the loss is scaled up before backward, gradients down after; a step with an infinite one is left out.

Invariant: on "cpu" every number (scale, gradients, steps taken) is PyTorch's; "cuda" warns and is off, as in PyTorch
without a GPU, and then everything passes through. The scale is kept rounded to float32.
Does not: scale several devices. Read next: ../cuda/amp/__init__.py.
Source: docs.pytorch.org, torch.amp.GradScaler.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

import fastnn

__all__ = ["GradScaler"]


class _Turn:
    """How far one optimizer is since the last update()."""

    def __init__(self) -> None:
        self.stage = "ready"  # then "unscaled", then "stepped"
        self.checked = False  # whether there was a gradient to look at
        self.infinite = False  # whether one was infinite or NaN


def _rounded(value: Any) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(value))


class GradScaler:
    """scale(loss).backward(); step(optimizer); update(). The scale falls by backoff_factor after a step with an
    infinite gradient and rises by growth_factor after growth_interval steps without one.

    Errors: RuntimeError for a call out of turn, AssertionError where scale() was not called before.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and device == "cuda":
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2)
        self._enabled = bool(enabled) and device != "cuda"
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError(f"GradScaler: growth_factor is {growth_factor}, expected more than 1")
        if backoff_factor >= 1.0:
            raise AssertionError(f"GradScaler: backoff_factor is {backoff_factor}, expected less than 1")
        self._scale: Any = init_scale
        self._started = False  # by the first scale(), which rounds what was given
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0  # steps since the scale moved
        self._turns: dict[int, _Turn] = {}  # by id(optimizer)

    def scale(self, outputs: Any) -> Any:
        """A tensor, or each of an iterable of tensors, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, fastnn.Tensor):
            if not self._started:
                self._scale, self._started = _rounded(self._scale), True
            return outputs * self._scale
        if not isinstance(outputs, Iterable):
            raise ValueError(f"GradScaler.scale: outputs must be a Tensor or an iterable of Tensors, found {outputs!r}")
        scaled = map(self.scale, outputs)
        return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled  # type: ignore[call-arg]

    def _turn(self, name: str, optimizer: Any) -> _Turn:
        if not self._started:
            raise AssertionError(f"GradScaler.{name}: scale() was not called before, so there is no scale")
        return self._turns.setdefault(id(optimizer), _Turn())

    def unscale_(self, optimizer: Any) -> None:
        """Divide the optimizer's gradients by the scale; once between two updates, before step()."""
        if not self._enabled:
            return
        turn = self._turn("unscale_", optimizer)
        if turn.stage == "unscaled":
            raise RuntimeError(
                "GradScaler.unscale_() has already been called on this optimizer since the last update()"
            )
        if turn.stage == "stepped":
            raise RuntimeError("GradScaler.unscale_() is being called after step()")
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        inverse = _rounded(1 / self._scale) if self._scale else float("inf")
        with fastnn.no_grad():
            turn.infinite = any(not g.isfinite().all() for g in grads)
            for g in grads:
                g.mul_(inverse)
        turn.checked, turn.stage = bool(grads), "unscaled"

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(*args, **kwargs) on unscaled gradients, unless one of them is infinite or NaN."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("GradScaler.step: a closure is not supported while the scaler is enabled")
        turn = self._turn("step", optimizer)
        if turn.stage == "stepped":
            raise RuntimeError("GradScaler.step() has already been called since the last update()")
        if turn.stage == "ready":
            self.unscale_(optimizer)
        if not turn.checked:
            raise AssertionError("GradScaler.step: no parameter of this optimizer has a gradient")
        result = None if turn.infinite else optimizer.step(*args, **kwargs)
        turn.stage = "stepped"
        return result

    def update(self, new_scale: Any = None) -> None:
        """Move the scale after the steps of this iteration, or set it."""
        if not self._enabled:
            return
        if not self._started:
            raise AssertionError("GradScaler.update: scale() was not called before, so there is no scale")
        if new_scale is not None:
            self._scale = self._given(new_scale)
        else:
            self._move()
        self._turns = {}

    @staticmethod
    def _given(new_scale: Any) -> float:
        if isinstance(new_scale, float):
            return _rounded(new_scale)
        if not isinstance(new_scale, fastnn.Tensor):
            raise AttributeError(f"GradScaler.update: new_scale is {new_scale!r}, expected a float or a Tensor")
        if new_scale.numel() != 1 or new_scale.requires_grad:
            raise AssertionError(
                "GradScaler.update: new_scale must be a float or a tensor of one element that requires no gradient, "
                f"found one of {new_scale.numel()}, requires_grad={new_scale.requires_grad}"
            )
        return _rounded(new_scale.item())

    def _move(self) -> None:
        turns = [turn for turn in self._turns.values() if turn.checked]
        if not turns:
            raise AssertionError("GradScaler.update: no step() and no unscale_() since the last update()")
        if any(turn.infinite for turn in turns):
            self._scale, self._growth_tracker = _rounded(self._scale * self._backoff_factor), 0
            return
        self._growth_tracker += 1
        if self._growth_tracker == self._growth_interval:
            grown = _rounded(self._scale * self._growth_factor)
            self._scale = grown if np.isfinite(grown) else self._scale
            self._growth_tracker = 0

    def get_scale(self) -> float:
        """The present scale; 1.0 where the scaler is off."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by when it rises."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Another factor to rise by."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by when it falls."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Another factor to fall by."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many good steps the scale rises."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Another number of good steps."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether anything is scaled."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors, interval and count; {} where the scaler is off."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What state_dict() gave, taken whole or not at all."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("GradScaler.load_state_dict: the state is empty, as that of a scaler that was off")
        names = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")
        scale, *others = (state_dict[name] for name in names)
        self._scale = _rounded(scale) if self._started else scale
        self._growth_factor, self._backoff_factor, self._growth_interval, self._growth_tracker = others

    def __getstate__(self) -> dict[str, Any]:
        if self._enabled and self._turns:
            raise AssertionError("GradScaler: pickled between a step and update(); do it after update()")
        return self.__dict__
