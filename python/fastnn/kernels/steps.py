"""adamw, adam, sgd and clip_by_norm: what changes parameters and gradients in place.

Each takes one array or a list of arrays (of float32 or float64, any strides) and gives the bits of `fastnn.optim` and
`fastnn.nn.utils.clip_grad_norm_`. State is the caller's: arrays like the parameters, zeros before the first step.
Invariant: all arrays are checked before one is written. Those that are written must be writable and share no memory
with another array of the call; an array that does not fit raises RuntimeError, a number out of its range ValueError.
Does not: keep anything between calls. Read next: csrc/python/kernels_step.c.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import _C
from ..nn.utils.clip_grad import get_total_norm
from ._pair import Array

Arrays = Array | Sequence[Array]


def _at_least_0(op: str, **numbers: float) -> None:
    for name, value in numbers.items():
        if not isinstance(value, (int, float, np.number)):
            raise TypeError(f"{op}(): argument '{name}' must be a number, not {type(value).__name__}")
        if not value >= 0:
            raise ValueError(f"{op}: {name} is {value}, expected at least 0")


def _check_adam(op: str, step: int, lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
    _at_least_0(op, lr=lr, eps=eps, weight_decay=weight_decay)
    if not step >= 1:
        raise ValueError(f"{op}: step is {step}, expected 1 for the first step, then 2, ...")
    if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1):
        raise ValueError(f"{op}: betas is {betas}, expected two numbers in [0, 1)")


def _shareable(a: Array) -> bool:
    """A tensor can be laid over it."""
    return a.flags.aligned and a.dtype.isnative and min(a.strides, default=0) >= 0


def adamw(
    params: Arrays,
    grads: Arrays,
    exp_avgs: Arrays,
    exp_avg_sqs: Arrays,
    step: int,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    maximize: bool = False,
) -> None:
    """One step of AdamW on p = params, with g = grads, m = exp_avgs, v = exp_avg_sqs; p, m and v change in place.

        p = p (1 - lr weight_decay)
        m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
        p = p - lr / (1 - beta1^step) m / (sqrt(v) / sqrt(1 - beta2^step) + eps)

    All four are arrays of one shape and dtype, or lists of such in one order; m and v are zeros at first. step: 1 for
    the first step, then 2, ... maximize: goes up instead of down, g = -g.
    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, arXiv:1711.05101;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html
    """
    _check_adam("adamw", step, lr, betas, eps, weight_decay)
    _C._kernel_adam("adamw", params, grads, exp_avgs, exp_avg_sqs, step, lr, *betas, eps, weight_decay, True, maximize)


def adam(
    params: Arrays,
    grads: Arrays,
    exp_avgs: Arrays,
    exp_avg_sqs: Arrays,
    step: int,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> None:
    """One step of Adam: as `adamw`, but weight_decay joins the gradient, g = g + weight_decay p.

    Source: Kingma and Ba, Adam, arXiv:1412.6980; https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
    """
    _check_adam("adam", step, lr, betas, eps, weight_decay)
    _C._kernel_adam("adam", params, grads, exp_avgs, exp_avg_sqs, step, lr, *betas, eps, weight_decay, False, maximize)


def sgd(
    params: Arrays,
    grads: Arrays,
    buffers: Arrays | None = None,
    *,
    lr: float = 1e-3,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> None:
    """One step of stochastic gradient descent on p = params, with g = grads, b = buffers; p and b change in place.

        g = g + weight_decay p                     (maximize: g = -g before that)
        b = momentum b + g
        p = p - lr (g + momentum b if nesterov else b)

    All are arrays of one shape and dtype, or lists of such in one order; b is zeros at first, and not needed for
    momentum 0. nesterov without momentum and momentum without buffers raise ValueError.
    Source: Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """
    _at_least_0("sgd", lr=lr, momentum=momentum, weight_decay=weight_decay)
    if nesterov and not momentum:
        raise ValueError("sgd: nesterov is True and momentum 0, expected a momentum")
    if momentum and buffers is None:
        raise ValueError(f"sgd: momentum is {momentum} and buffers None, expected arrays like params")
    _C._kernel_sgd("sgd", params, grads, buffers if momentum else None, lr, momentum, weight_decay, nesterov, maximize)


def clip_by_norm(grads: Arrays, max_norm: float) -> float:
    """Scales grads in place by min(1, max_norm / (norm + 1e-6)), norm that of all of them as one vector; gives norm.

    grads: one array or a list of arrays of any shapes, float32 or float64. norm is the 2-norm of the arrays' 2-norms.
    Source: Pascanu et al., On the difficulty of training recurrent neural networks, arXiv:1211.5063;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html
    """
    _at_least_0("clip_by_norm", max_norm=max_norm)
    _C._kernel_check("clip_by_norm", "grads", grads)
    arrays: Sequence[Array] = [grads] if isinstance(grads, np.ndarray) else grads
    plain = [a if _shareable(a) else a.astype(a.dtype.newbyteorder("=")) for a in arrays]
    tensors = [_C.from_numpy(a) for a in plain]
    norm = get_total_norm(tensors)
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for a, p, t in zip(arrays, plain, tensors, strict=True):
        t.mul_(factor)
        if p is not a:
            a[...] = p
    return float(norm)
