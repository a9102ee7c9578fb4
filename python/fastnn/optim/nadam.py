"""NAdam: Adam with Nesterov momentum.

Invariant: PyTorch's order of operations. Does not: run as one C call. Read next: _composed.py.
"""

from __future__ import annotations

from typing import Any

import fastnn

from ._composed import ComposedOptimizer, zeros
from .optimizer import ParamsT, check, check_lr


class NAdam(ComposedOptimizer):
    """Adam whose first moment looks one step ahead, with mu_t = beta1 * (1 - 0.96^(t * momentum_decay) / 2).

    State: "step", "mu_product" (0-d float32), "exp_avg", "exp_avg_sq". Source: Dozat 2016; docs.pytorch.org,
    torch.optim.NAdam.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | fastnn.Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
        check(momentum_decay >= 0.0, "momentum_decay value", momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _start(self, p: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        own["mu_product"] = fastnn.tensor(1.0, dtype=fastnn.float32)
        own["exp_avg"] = zeros(p)
        own["exp_avg_sq"] = zeros(p)

    def _update(self, p: Any, grad: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        lr, decay, t = float(group["lr"]), group["momentum_decay"], own["step"].item()
        m, v, product = own["exp_avg"], own["exp_avg_sq"], own["mu_product"]
        mu = beta1 * (1.0 - 0.5 * (0.96 ** (t * decay)))
        mu_next = beta1 * (1.0 - 0.5 * (0.96 ** ((t + 1) * decay)))
        product *= mu
        m.lerp_(grad, 1 - beta1)
        v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        root = v.div(1 - beta2**t).sqrt().add_(group["eps"])
        ahead = product.item() * mu_next
        p.addcdiv_(grad, root, value=(-lr * (1.0 - mu) / (1.0 - product.item())))
        p.addcdiv_(m, root, value=(-lr * mu_next) / (1.0 - ahead))
