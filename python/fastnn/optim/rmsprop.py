"""RMSprop: gradients divided by a running root mean square.

Invariant: PyTorch's order of operations. Does not: run as one C call. Read next: _composed.py.
"""

from __future__ import annotations

from typing import Any

import fastnn

from ._composed import ComposedOptimizer, zeros
from .optimizer import ParamsT, check, check_lr


class RMSprop(ComposedOptimizer):
    """v = alpha * v + (1 - alpha) * g^2; p = p - lr * g / (sqrt(v) + eps), optionally centred (v - mean(g)^2) and with
    momentum.

    State: "step", "square_avg", "momentum_buffer", "grad_avg".
    Source: Hinton's lecture notes, Graves 2013 (centred); docs.pytorch.org, torch.optim.RMSprop.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | fastnn.Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(eps >= 0.0, "epsilon value", eps)
        check(momentum >= 0.0, "momentum value", momentum)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        check(alpha >= 0.0, "alpha value", alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _start(self, p: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        own["square_avg"] = zeros(p)
        if group["momentum"] > 0:
            own["momentum_buffer"] = zeros(p)
        if group["centered"]:
            own["grad_avg"] = zeros(p)

    def _update(self, p: Any, grad: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        alpha, lr = group["alpha"], float(group["lr"])
        v = own["square_avg"]
        v.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        if group["centered"]:
            mean = own["grad_avg"]
            mean.lerp_(grad, 1 - alpha)
            root = v.addcmul(mean, mean, value=-1).sqrt_()
        else:
            root = v.sqrt()
        root = root.add_(group["eps"])
        if group["momentum"] > 0:
            b = own["momentum_buffer"]
            b.mul_(group["momentum"]).addcdiv_(grad, root)
            p.add_(b, alpha=-lr)
        else:
            p.addcdiv_(grad, root, value=-lr)
