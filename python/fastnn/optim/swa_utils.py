"""Averages of a model's weights over training: running mean (SWA) and exponential moving average (EMA).

Invariant: an AveragedModel holds a deep copy whose parameters are the averages; `n_averaged` counts the updates.
Does not: average over several processes. Read next: lr_scheduler.py.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any, Literal

import fastnn
from fastnn.nn.modules.module import Module

from ._lr_base import EPOCH_DEPRECATION_WARNING, LRScheduler, per_group
from ._undo import Undo
from .optimizer import Optimizer

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def get_ema_avg_fn(decay: float = 0.999) -> Callable[..., Any]:
    """Function (average, value, count) -> decay * average + (1 - decay) * value."""
    _check_decay(decay)

    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[..., None]:
    """As get_ema_avg_fn, over lists and in place."""
    _check_decay(decay)

    def ema_update(ema_param_list: list[Any], current_param_list: list[Any], num_averaged: Any) -> None:
        with fastnn.no_grad():
            for mean, value in zip(ema_param_list, current_param_list, strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value.to(mean.dtype), 1 - decay)
                else:
                    mean.copy_(mean * decay + value * (1 - decay))

    return ema_update


def get_swa_avg_fn() -> Callable[..., Any]:
    """Function (average, value, count) -> average + (value - average) / (count + 1)."""

    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_swa_multi_avg_fn() -> Callable[..., None]:
    """As get_swa_avg_fn, over lists and in place."""

    def swa_update(averaged_param_list: list[Any], current_param_list: list[Any], num_averaged: Any) -> None:
        with fastnn.no_grad():
            weight = 1 / (float(num_averaged) + 1)
            for mean, value in zip(averaged_param_list, current_param_list, strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value.to(mean.dtype), weight)
                else:
                    mean.copy_(mean + (value - mean) * weight)

    return swa_update


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


class AveragedModel(Module):
    """A copy of `model` whose parameters (with use_buffers: buffers too) are averages of the model's over
    `update_parameters` calls.

    Give at most one of avg_fn (one tensor at a time) and multi_avg_fn (lists, in place); without either the plain mean
    is kept.
    Source: Izmailov et al. 2018; docs.pytorch.org, torch.optim.swa_utils.AveragedModel.
    """

    n_averaged: Any

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[..., Any] | None = None,
        multi_avg_fn: Callable[..., None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", fastnn.tensor(0, dtype=fastnn.long))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's output."""
        return self.module(*args, **kwargs)

    def _tensors(self, model: Module) -> Iterable[Any]:
        return itertools.chain(model.parameters(), model.buffers()) if self.use_buffers else model.parameters()

    def update_parameters(self, model: Module) -> None:
        """Take the model's present parameters into the average: all of them, or none if one cannot be taken."""
        means = [t.detach() for t in self._tensors(self.module)]
        values = [t.detach().to(m.device) for t, m in zip(self._tensors(model), means, strict=True)]
        own = [] if self.use_buffers else [b.detach() for b in self.module.buffers()]
        others = [] if self.use_buffers else [b.detach() for b in model.buffers()]
        with Undo() as undo:
            undo.keep([*means, *own, self.n_averaged])
            if self.n_averaged == 0:
                for mean, value in zip(means, values, strict=True):
                    mean.copy_(value)
            elif self.avg_fn is not None:
                for mean, value in zip(means, values, strict=True):
                    mean.copy_(self.avg_fn(mean, value, self.n_averaged))
            else:
                (self.multi_avg_fn or get_swa_multi_avg_fn())(means, values, self.n_averaged)
            for buffer, other in zip(own, others, strict=True):
                buffer.copy_(other)
            self.n_averaged += 1


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Recompute the running statistics of all BatchNorm layers with one pass over `loader` (a batch may be a list whose
    first entry is the input).
    """
    norms = {m: m.momentum for m in model.modules() if hasattr(m, "reset_running_stats") and hasattr(m, "momentum")}
    if not norms:
        return
    was_training = model.training
    model.train()
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
    with fastnn.no_grad():
        for batch in loader:
            x = batch[0] if isinstance(batch, list | tuple) else batch
            model(x if device is None else x.to(device))
    for m, momentum in norms.items():
        m.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Anneals each group's rate to `swa_lr` within `anneal_epochs`, then keeps it.

    Source: docs.pytorch.org, torch.optim.swa_utils.SWALR.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float,
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must by one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        for group, lr in zip(optimizer.param_groups, per_group(optimizer, swa_lr, "swa_lr"), strict=True):
            group["swa_lr"] = lr
        super().__init__(optimizer, last_epoch)

    def _part(self, t: float) -> float:
        t = max(0.0, min(1.0, t))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list[Any]:
        epoch = self._step_count - 1
        span = max(1, self.anneal_epochs)
        before, now = self._part((epoch - 1) / span), self._part(epoch / span)
        rates = []
        for group in self.optimizer.param_groups:
            # The rate before annealing is recovered from the present one, so that another scheduler may have moved it.
            target, lr = group["swa_lr"], group["lr"]
            start = target if before == 1 else (lr - before * target) / (1 - before)
            rates.append(target * now + start * (1 - now))
        return rates

    def step(self, epoch: int | None = None) -> None:
        """Advance by one epoch."""
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        super().step()
