"""RAdam: Adam that trusts its second moment only once enough steps stand behind it.

Invariant: PyTorch's order of operations. Does not: run as one C call. Read next: _composed.py.
"""

from __future__ import annotations

from typing import Any

import fastnn

from ._composed import ComposedOptimizer, zeros
from .optimizer import ParamsT, check, check_lr


class RAdam(ComposedOptimizer):
    """Adam with a variance rectification factor, plain momentum while the approximated length of the average is at most
    5.

    State: "step", "exp_avg", "exp_avg_sq". Source: Liu et al. 2020; docs.pytorch.org, torch.optim.RAdam.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | fastnn.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(eps >= 0.0, "epsilon value", eps)
        check(0.0 <= betas[0] < 1.0, "beta parameter at index 0", betas[0])
        check(0.0 <= betas[1] < 1.0, "beta parameter at index 1", betas[1])
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _start(self, p: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        own["exp_avg"] = zeros(p)
        own["exp_avg_sq"] = zeros(p)

    def _update(self, p: Any, grad: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        lr, t = float(group["lr"]), own["step"].item()
        m, v = own["exp_avg"], own["exp_avg_sq"]
        m.lerp_(grad, 1 - beta1)
        v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        bias1, bias2 = 1 - beta1**t, 1 - beta2**t
        corrected = m / bias1
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * t * (beta2**t) / bias2
        if length > 5.0:
            rectified = ((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)) ** 0.5
            adaptive = (bias2**0.5) / v.sqrt().add_(group["eps"])
            p.add_(corrected * lr * adaptive * rectified, alpha=-1.0)
        else:
            p.add_(corrected * lr, alpha=-1.0)
