"""Optimizers whose update is composed of tensor operations, one parameter at a time.

Invariant: the order of operations is PyTorch's per-tensor loop, so the bits are its; all of it runs with the tape off.
A step that raises has changed nothing.
Does not: serve SGD and Adam, whose whole group is one C call. Read next: rmsprop.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastnn

from ._undo import Undo
from .optimizer import Optimizer, check_supported, evaluate, start_step


class ComposedOptimizer(Optimizer):
    """Loop over parameters that have a gradient: flip it for `maximize`, count the step, decay, call `_update`."""

    _late_options: tuple[tuple[str, Any], ...] = (
        ("foreach", None),
        ("maximize", False),
        ("differentiable", False),
        ("capturable", False),
    )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in self._late_options:
                if key in self.defaults:
                    group.setdefault(key, value)
            for p in group["params"]:
                own = self.state.get(p, {})
                if "step" in own and not isinstance(own["step"], fastnn.Tensor):
                    own["step"] = fastnn.tensor(float(own["step"]), dtype=fastnn.float32)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters that have a gradient; returns the closure's loss."""
        loss = evaluate(closure)
        with fastnn.no_grad(), Undo() as undo:
            for group in self.param_groups:
                check_supported(group["differentiable"])
                for p in group["params"]:
                    if p.grad is not None:
                        own = self._state_of(p, group)
                        undo.keep([p, *own.values()])  # here, where the update finds them in the cache
                        self._one(p, p.grad, own, group)
        return loss

    def _state_of(self, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        own: dict[str, Any] | None = self.state.get(p)
        if not own:
            own = {"step": start_step()}
            self._start(p, own, group)
            self.state[p] = own  # now that all of it is there
        return own

    def _one(self, p: Any, grad: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        if group["maximize"]:
            grad = -grad
        own["step"] += 1
        if group["weight_decay"] != 0:
            if group.get("decoupled_weight_decay"):
                p.mul_(1 - float(group["lr"]) * group["weight_decay"])
            else:
                grad = grad.add(p, alpha=group["weight_decay"])
        self._update(p, grad, own, group)

    def _start(self, p: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        """Fill the state of a new parameter."""
        raise NotImplementedError

    def _update(self, p: Any, grad: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        """Apply the rule to one parameter."""
        raise NotImplementedError


def zeros(p: Any) -> Any:
    """A state tensor of the parameter's shape, dtype and layout."""
    return fastnn.zeros_like(p, requires_grad=False)
