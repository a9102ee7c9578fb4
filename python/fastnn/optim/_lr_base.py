"""Base of learning-rate schedulers: epoch counting, initial rates, state dicts.

Invariant: a scheduler writes group["lr"] only in `step()`, from `get_lr()`, and remembers what it wrote in `_last_lr`.
Does not: know a schedule. Read next: lr_scheduler.py.
"""

from __future__ import annotations

import types
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import fastnn

from .optimizer import Optimizer

EPOCH_DEPRECATION_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. Please use "
    "`scheduler.step()` to step the scheduler. During the deprecation, if epoch is different from None, the closed "
    "form is "
    "used instead of the new chainable form, where available. Please open an issue if you are unable to replicate "
    "your use "
    "case: https://github.com/pytorch/pytorch/issues/new/choose."
)


def keep(value: Any) -> Any:
    """A rate as stored: tensors are copied, so that writing the group's rate in place does not move it."""
    return value.clone() if isinstance(value, fastnn.Tensor) else value


def set_lr(group: dict[str, Any], lr: Any, key: str = "lr") -> None:
    """Write an option of a group; a tensor option is filled in place, as code that holds the tensor expects."""
    if isinstance(group[key], fastnn.Tensor):
        group[key].fill_(float(lr))
    else:
        group[key] = lr


def per_group(optimizer: Optimizer, value: Any, name: str) -> list[Any]:
    """`value` once a group, or the list itself if it has one entry a group."""
    groups = len(optimizer.param_groups)
    if isinstance(value, list | tuple):
        if len(value) != groups:
            raise ValueError(
                f"{name} must have the same length as optimizer.param_groups. Expected {groups}, got {len(value)}"
            )
        return list(value)
    return [value] * groups


def _count_steps(optimizer: Optimizer) -> None:
    """Make optimizer.step() leave a mark that it ran, for the warning about calls in the wrong order."""
    step = optimizer.step
    if hasattr(step, "_counted"):
        return
    function, owner = step.__func__, weakref.ref(optimizer)  # type: ignore[attr-defined]

    def counted(*args: Any, **kwargs: Any) -> Any:
        opt = owner()
        opt._opt_called = True  # type: ignore[union-attr]
        return function(opt, *args, **kwargs)

    counted._counted = True  # type: ignore[attr-defined]
    counted.__doc__ = function.__doc__
    counted.__wrapped__ = step  # type: ignore[attr-defined]
    optimizer.step = counted  # type: ignore[method-assign]


class LRScheduler:
    """Sets each group's learning rate from the number of `step()` calls (`last_epoch`).

    last_epoch: -1 starts anew and stores each group's rate as "initial_lr"; any other value resumes and needs that
    entry.
    Source: https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        if last_epoch == -1:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", keep(group["lr"]))
        else:
            for i, group in enumerate(optimizer.param_groups):
                if "initial_lr" not in group:
                    raise KeyError(
                        f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with "
                        "last_epoch >= 0."
                    )
        self.base_lrs: list[Any] = [keep(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        _count_steps(optimizer)
        self._is_initial = False
        self._initial_step()

    def _initial_step(self) -> None:
        """The step that writes the first rates; it is no call of the user's."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """All attributes except the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key not in ("optimizer", "_is_initial")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The rates this scheduler wrote last, one a group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The rates of the coming epoch, one a group."""
        raise NotImplementedError

    def _rates(self) -> list[Any]:
        return [keep(group["lr"]) for group in self.optimizer.param_groups]

    def step(self, epoch: int | None = None) -> None:
        """Advance by one (or to `epoch`, deprecated) and write the new rates."""
        if self._step_count == 1:
            self._warn_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._update(epoch)

    def _update(self, epoch: int | None = None) -> None:
        if epoch is None:
            self.last_epoch += 1
            values = self.get_lr()
        else:
            self.last_epoch = epoch
            values = self._get_closed_form_lr() if hasattr(self, "_get_closed_form_lr") else self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            set_lr(group, lr)
        self._last_lr = self._rates()

    def _warn_order(self) -> None:
        if not hasattr(self.optimizer.step, "_counted"):
            warnings.warn(
                "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. "
                "Please, make "
                "sure to call `optimizer.step()` before `lr_scheduler.step()`.",
                UserWarning,
                stacklevel=3,
            )
        elif not getattr(self.optimizer, "_opt_called", False):
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and later, you "
                "should call "
                "them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`.  Failure to do this "
                "will result in "
                "PyTorch skipping the first value of the learning rate schedule.",
                UserWarning,
                stacklevel=3,
            )


_LRScheduler = LRScheduler


class LambdaScheduler(LRScheduler):
    """Common part of LambdaLR and MultiplicativeLR: one function a group, of which only objects with state enter the
    state dict.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas: list[Any]
        if isinstance(lr_lambda, list | tuple):
            if len(lr_lambda) != len(optimizer.param_groups):
                raise ValueError(f"Expected {len(optimizer.param_groups)} lr_lambdas, but got {len(lr_lambda)}")
            self.lr_lambdas = list(lr_lambda)
        else:
            self.lr_lambdas = [lr_lambda] * len(optimizer.param_groups)
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer; plain functions are stored as None, callable objects by their __dict__."""
        state = {key: value for key, value in super().state_dict().items() if key != "lr_lambdas"}
        state["lr_lambdas"] = [
            None if isinstance(f, types.FunctionType) else f.__dict__.copy() for f in self.lr_lambdas
        ]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; the functions stay this scheduler's own."""
        lambdas = state_dict["lr_lambdas"]
        self.__dict__.update({key: value for key, value in state_dict.items() if key != "lr_lambdas"})
        for own, saved in zip(self.lr_lambdas, lambdas, strict=False):
            if saved is not None:
                own.__dict__.update(saved)
