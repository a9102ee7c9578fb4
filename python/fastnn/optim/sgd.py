"""Stochastic gradient descent with momentum.

Invariant: one C call updates a whole group in place, outside the tape, in the order of PyTorch's per-tensor loop (same
bits).
Does not: build lists for parameters without gradient. Read next: adam.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastnn
from fastnn import _C

from .optimizer import Optimizer, ParamsT, check, check_fused, check_lr, check_supported, evaluate, number, with_grad


class SGD(Optimizer):
    """Stochastic gradient descent.

    Per parameter p with gradient g (after `maximize` flips it and `weight_decay` adds weight_decay * p):
        b = momentum * b + (1 - dampening) * g      (first step: b = g)
        d = g + momentum * b if nesterov else b     (momentum 0: d = g)
        p = p - lr * d
    State: "momentum_buffer". `foreach` and `fused` are accepted and change nothing.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html; Nesterov momentum: Sutskever et al.
    2013.

    The C call, one a group, is
        _C._sgd_step(params, grads, buffers, first, lr, momentum, dampening, weight_decay, nesterov, maximize)
    params, grads: lists of tensors of equal shapes and dtypes. buffers: list of tensors, or None if momentum is 0.
    first: list of bools, True where the buffer is uninitialised and takes a copy of the (decayed) gradient; None when
    no entry is True. In tensor operations:
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
        loss = evaluate(closure)
        for group in self.param_groups:
            check_supported(group["differentiable"])
            params, grads = with_grad(group)
            if not params:
                continue
            momentum = number(group["momentum"])
            buffers, first = self._buffers(params) if momentum != 0 else (None, None)
            _C._sgd_step(
                params,
                grads,
                buffers,
                first,
                number(group["lr"]),
                momentum,
                number(group["dampening"]),
                number(group["weight_decay"]),
                group["nesterov"],
                group["maximize"],
            )
        return loss

    def _buffers(self, params: list[Any]) -> tuple[list[Any], list[bool] | None]:
        """Momentum buffers, made where missing; which of them are new (None if none is)."""
        states = [self.state[p] for p in params]
        buffers = [s.get("momentum_buffer") for s in states]
        first = [b is None for b in buffers]
        if True not in first:
            return buffers, None
        for i, p in enumerate(params):
            if first[i]:
                buffers[i] = states[i]["momentum_buffer"] = fastnn.empty_like(p, requires_grad=False)
        return buffers, first
