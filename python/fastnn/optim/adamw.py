"""AdamW: Adam whose weight decay acts on the weights and not on the gradient.

Invariant: the update is adam.py's with decoupled_weight_decay on. Does not: hold an update of its own. Read next:
lr_scheduler.py.
"""

from __future__ import annotations

from typing import Any

import fastnn

from .adam import Adam
from .optimizer import ParamsT


class AdamW(Adam):
    """Adam with decoupled weight decay, p = p * (1 - lr * weight_decay) before each update; see Adam for the rest.

    Source: Loshchilov and Hutter 2019; https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | fastnn.Tensor = 1e-3,
        betas: tuple[float | fastnn.Tensor, float | fastnn.Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # a state saved by plain Adam must not switch the decay's kind
            group["decoupled_weight_decay"] = True
