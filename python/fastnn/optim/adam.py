"""Adam, and the decoupled form that adamw.py names.

Invariant: one C call updates a whole group in place, outside the tape, in the order of PyTorch's per-tensor loop (same
bits).
Does not: branch on an implementation flag: `foreach`, `fused` and `capturable` are accepted and change nothing.
Read next: adamw.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastnn
from fastnn import _C

from .optimizer import (
    Optimizer,
    ParamsT,
    check,
    check_fused,
    check_lr,
    check_supported,
    evaluate,
    start_step,
)


class Adam(Optimizer):
    """Adam.

    Per parameter p with gradient g at step t = 1, 2, ... (after `maximize` flips g):
        decoupled: p = p * (1 - lr * weight_decay);  otherwise g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g;   v = beta2 * v + (1 - beta2) * g^2
        p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
    With amsgrad the running maximum of v stands in v's place.
    State: "step" (0-d float32), "exp_avg" m, "exp_avg_sq" v, "max_exp_avg_sq" with amsgrad.
    Source: Kingma and Ba 2015; Reddi et al. 2018 (amsgrad);
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html

    The C call is _C._adam_groups(groups, state, fresh, fresh_amsgrad): it reads each group's options, and per parameter
    with a gradient the tensors of its state dict; `fresh(p)` makes that dict for a new parameter. "step" is a 0-d
    float32 tensor that the call increases by 1; "max_exp_avg_sq" is read with amsgrad only. Where it raises, no
    parameter of any group has changed. In tensor operations,
    with t the increased step as a double and all scalar arithmetic in double:
        g = -g  if maximize
        p.mul_(1 - lr * weight_decay)  if decoupled, else  g = g.add(p, alpha=weight_decay)   (if weight_decay != 0)
        m.lerp_(g, 1 - beta1);  v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        bias1 = 1 - beta1**t;  bias2 = 1 - beta2**t
        u = maximum(u, v) with amsgrad, else v
        p.addcdiv_(m, (u.sqrt() / sqrt(bias2)).add_(eps), value=-(lr / bias1))
    It never writes to a gradient.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | fastnn.Tensor = 1e-3,
        betas: tuple[float | fastnn.Tensor, float | fastnn.Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_lr(lr, foreach, capturable)
        check(eps >= 0.0, "epsilon value", eps)
        check(0.0 <= betas[0] < 1.0, "beta parameter at index 0", betas[0])
        check(0.0 <= betas[1] < 1.0, "beta parameter at index 1", betas[1])
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        check_fused(fused, foreach, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for key in ("amsgrad", "maximize", "capturable", "differentiable", "decoupled_weight_decay"):
                group.setdefault(key, False)
            group.setdefault("foreach", None)
            group.setdefault("fused", None)
            for p in group["params"]:
                own = self.state.get(p, {})
                if "step" in own and not isinstance(own["step"], fastnn.Tensor):
                    own["step"] = fastnn.tensor(float(own["step"]), dtype=fastnn.float32)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters that have a gradient; returns the closure's loss."""
        loss = None if closure is None else evaluate(closure)
        for group in self.param_groups:
            check_supported(group["differentiable"])
        _C._adam_groups(self.param_groups, self.state, self._fresh, self._fresh_amsgrad)
        return loss

    def _fresh(self, p: Any) -> dict[str, Any]:
        """The state dict of a parameter before its first step."""
        return self._keep(p, "exp_avg", "exp_avg_sq")

    def _fresh_amsgrad(self, p: Any) -> dict[str, Any]:
        return self._keep(p, "exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def _keep(self, p: Any, *names: str) -> dict[str, Any]:
        """Zeros under these names, in the optimizer's state once all are there: no half state where memory runs out."""
        own = {**self.state.get(p, {}), "step": start_step()}
        for name in names:
            own[name] = fastnn.zeros_like(p, requires_grad=False)
        self.state[p] = own
        return own
