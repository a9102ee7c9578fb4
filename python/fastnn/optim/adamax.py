"""Adamax: Adam with the infinity norm in place of the second moment.

Invariant: PyTorch's order of operations. Does not: run as one C call. Read next: _composed.py.
"""

from __future__ import annotations

from typing import Any

import fastnn

from ._composed import ComposedOptimizer, zeros
from .optimizer import ParamsT, check, check_lr


class Adamax(ComposedOptimizer):
    """m = beta1 * m + (1 - beta1) * g; u = max(beta2 * u, |g| + eps); p = p - lr / (1 - beta1^t) * m / u.

    State: "step", "exp_avg", "exp_inf". Source: Kingma and Ba 2015, section 7; docs.pytorch.org, torch.optim.Adamax.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | fastnn.Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr, foreach, capturable)
        check(eps >= 0.0, "epsilon value", eps)
        check(0.0 <= betas[0] < 1.0, "beta parameter at index 0", betas[0])
        check(0.0 <= betas[1] < 1.0, "beta parameter at index 1", betas[1])
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _start(self, p: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        own["exp_avg"] = zeros(p)
        own["exp_inf"] = zeros(p)

    def _update(self, p: Any, grad: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        m, u = own["exp_avg"], own["exp_inf"]
        m.lerp_(grad, 1 - beta1)
        u.copy_(fastnn.maximum(u.mul_(beta2), grad.abs().add_(group["eps"])))
        rate = float(group["lr"]) / (1 - beta1 ** own["step"].item())
        p.addcdiv_(m, u, value=-rate)
