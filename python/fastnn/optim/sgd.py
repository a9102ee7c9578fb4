"""Stochastic gradient descent with momentum.

Invariant: one C call updates a whole group in place, outside the tape, in the order of PyTorch's per-tensor loop (same
bits).
Does not: touch parameters without gradient. Read next: adam.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastnn
from fastnn import _C

from .optimizer import Optimizer, ParamsT, check, check_fused, check_lr, check_supported, evaluate


class SGD(Optimizer):
    """Stochastic gradient descent.

    Per parameter p with gradient g (after `maximize` flips it and `weight_decay` adds weight_decay * p):
        b = momentum * b + (1 - dampening) * g      (first step: b = g)
        d = g + momentum * b if nesterov else b     (momentum 0: d = g)
        p = p - lr * d
    State: "momentum_buffer". `foreach` and `fused` are accepted and change nothing.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html; Nesterov momentum: Sutskever et al.
    2013.

    The C call is _C._sgd_groups(groups, state, fresh, fresh): it reads each group's options and, if momentum is not 0,
    per parameter with a gradient the buffer in its state dict. `fresh(p)` makes the buffer of a new parameter:
    it is "first", takes a copy of the (decayed) gradient and may hold anything before. In tensor operations:
        g = -g if maximize;  g = g + weight_decay * p (add with alpha) if weight_decay != 0
        b.copy_(g) if first else b.mul_(momentum).add_(g, alpha=1 - dampening)
        g = g.add(b, alpha=momentum) if nesterov else b;  p.add_(g, alpha=-lr)
    It never writes to a gradient.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | fastnn.Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | fastnn.Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check(momentum >= 0.0, "momentum value", momentum)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_fused(fused, foreach, differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in (
                ("nesterov", False),
                ("maximize", False),
                ("foreach", None),
                ("differentiable", False),
                ("fused", None),
            ):
                group.setdefault(key, value)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters that have a gradient; returns the closure's loss."""
        loss = None if closure is None else evaluate(closure)
        for group in self.param_groups:
            check_supported(group["differentiable"])
        _C._sgd_groups(self.param_groups, self.state, self._fresh, self._fresh)
        return loss

    def _fresh(self, p: Any) -> None:
        """A momentum buffer for a parameter that has none; its first step writes it."""
        self.state[p]["momentum_buffer"] = fastnn.empty_like(p, requires_grad=False)
