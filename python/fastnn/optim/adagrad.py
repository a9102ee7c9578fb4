"""Adagrad: gradients divided by the root of their summed squares.

Invariant: PyTorch's order of operations; the sums exist from the constructor on. Does not: sparse gradients. Read next:
_composed.py.
"""

from __future__ import annotations

from typing import Any

import fastnn

from ._composed import ComposedOptimizer
from .optimizer import ParamsT, check, check_fused, check_lr, start_step


class Adagrad(ComposedOptimizer):
    """s = s + g^2; p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps).

    State: "step", "sum". Source: Duchi et al. 2011; docs.pytorch.org, torch.optim.Adagrad.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | fastnn.Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check(lr_decay >= 0.0, "lr_decay value", lr_decay)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        check(initial_accumulator_value >= 0.0, "initial_accumulator_value value", initial_accumulator_value)
        check(eps >= 0.0, "epsilon value", eps)
        check_fused(fused, foreach, differentiable)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["step"] = start_step()
                self._start(p, self.state[p], group)

    def share_memory(self) -> None:
        """Accepted for scripts that share optimizers between processes; memory stays this process's own."""

    def _start(self, p: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        own["sum"] = fastnn.full_like(p, group["initial_accumulator_value"], requires_grad=False)

    def _update(self, p: Any, grad: Any, own: dict[str, Any], group: dict[str, Any]) -> None:
        rate = float(group["lr"]) / (1 + (own["step"].item() - 1) * group["lr_decay"])
        own["sum"].addcmul_(grad, grad, value=1)
        p.addcdiv_(grad, own["sum"].sqrt().add_(group["eps"]), value=-rate)
