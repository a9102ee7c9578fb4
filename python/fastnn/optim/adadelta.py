"""Adadelta: steps sized by the ratio of two running root mean squares.

Invariant: PyTorch's order of operations. Does not: run as one C call. Read next: _composed.py.
"""

from __future__ import annotations

from typing import Any

import fastnn

from ._composed import ComposedOptimizer, zeros
from .optimizer import ParamsT, check, check_lr


class Adadelta(ComposedOptimizer):
    """v = rho * v + (1 - rho) * g^2; d = sqrt(u + eps) / sqrt(v + eps) * g; u = rho * u + (1 - rho) * d^2; p = p - lr *
    d.

    State: "step", "square_avg" v, "acc_delta" u. Source: Zeiler 2012; docs.pytorch.org, torch.optim.Adadelta.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | fastnn.Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(0.0 <= rho <= 1.0, "rho value", rho)
        check(eps >= 0.0, "epsilon value", eps)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _start(self, p: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        own["square_avg"] = zeros(p)
        own["acc_delta"] = zeros(p)

    def _update(self, p: Any, grad: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        rho, eps = group["rho"], group["eps"]
        v, u = own["square_avg"], own["acc_delta"]
        v.mul_(rho).addcmul_(grad, grad, value=1 - rho)
        delta = u.add(eps).sqrt_().div_(v.add(eps).sqrt_()).mul_(grad)
        u.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        p.add_(delta, alpha=-float(group["lr"]))
