"""Work that changes what is there, for memory to be taken away from: writes in place with their record on the tape, steps of the optimizers
over two groups, clipping.

Invariant: a write is judged alone, a step as a whole: everything it may change is from before, or everything from after.
Does not: judge (memory_walk.py does). Read next: memory_works.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from memory_walk import Held, Work

import fastnn
from fastnn import nn


def data(t: Any) -> Any:
    return None if t is None else t.numpy().tobytes()


def tensors(x: Any) -> Iterator[Any]:
    if isinstance(x, fastnn.Tensor):
        yield x.detach()
    elif isinstance(x, np.ndarray):
        yield fastnn.from_numpy(x)
    elif isinstance(x, (list, tuple)):
        for item in x:
            yield from tensors(item)


def bits(x: Any) -> list[bytes]:
    return [data(t) for t in tensors(x)]


# Writes into h of shape (4, 3) from b of shape (3, 1) or (4, 3), with the tape on; `s` has an index i and a mask m of h's shape.
def at_rows(h: Any, s: Any) -> None:
    h[s.i] = s.b[:2]


def at_mask(h: Any, s: Any) -> None:
    h[s.m] = 0.5


def at_slice(h: Any, s: Any) -> None:
    h[1:, ::2] = s.b[1:, :2]


WRITES: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda h, s: h.add_(s.b),
    "mul": lambda h, s: h.mul_(s.b[:, :1]),
    "mul by itself": lambda h, s: h.mul_(h),
    "div": lambda h, s: h.div_(s.b),
    "pow": lambda h, s: h.pow_(3),
    "float64 operand": lambda h, s: h.sub_(s.b.double()),
    "lerp": lambda h, s: h.lerp_(s.b, 0.25),
    "addcmul": lambda h, s: h.addcmul_(s.b, s.b),
    "addmm": lambda h, s: h.addmm_(s.b, s.b[:3]),
    "exp": lambda h, s: h.exp_(),
    "clamp": lambda h, s: h.clamp_(-0.5, 0.5),
    "cumsum": lambda h, s: h.cumsum_(0),
    "tril": lambda h, s: h.tril_(),
    "copy": lambda h, s: h.copy_(s.b[:, :1]),
    "copy of float64": lambda h, s: h.copy_(s.b.double()),
    "fill": lambda h, s: h.fill_(3.0),
    "zero": lambda h, s: h.zero_(),
    "uniform": lambda h, s: h.uniform_(generator=fastnn.Generator().manual_seed(3)),
    "bernoulli": lambda h, s: h.bernoulli_(s.p, generator=fastnn.Generator().manual_seed(3)),
    "rows": at_rows,
    "mask": at_mask,
    "slice": at_slice,
    "index_put": lambda h, s: h.index_put_((s.i,), s.b[:2], accumulate=True),
    "index_add": lambda h, s: h.index_add_(0, s.i, s.b[:2]),
    "index_copy": lambda h, s: h.index_copy_(0, s.i, s.b[:2]),
    "index_fill": lambda h, s: h.index_fill_(1, s.i, 2.0),
    "scatter": lambda h, s: h.scatter_(0, s.i[None], s.b),
    "scatter_add": lambda h, s: h.scatter_add_(0, s.i[None], s.b),
    "masked_fill": lambda h, s: h.masked_fill_(s.m, 0.5),
    "masked_scatter": lambda h, s: h.masked_scatter_(s.m, s.b),
    "transpose": lambda h, s: h.t_(),
}  # fmt: skip


class Targets:
    """For each write a tensor with a history, and what the write takes from it: itself or a view of it."""

    def __init__(self, shape: tuple[int, int], part: Callable[[Any], Any]) -> None:
        self.shape, self.part = shape, part
        self.b = (fastnn.arange(12.0).view(4, 3) / 5 + 0.5).requires_grad_(True)
        self.p, self.i = fastnn.full((4, 3), 0.5), fastnn.tensor([2, 0])
        self.m = fastnn.arange(12).view(4, 3) % 2 == 0
        self.wholes: dict[str, Any] = {name: self.fresh() for name in WRITES}

    def fresh(self) -> Any:
        return fastnn.linspace(-1, 2, self.shape[0] * self.shape[1]).requires_grad_(True).view(self.shape).sin()

    def run(self) -> None:
        for name, write in WRITES.items():
            whole = self.wholes[name] = self.fresh()  # (equal to the one that is there unless that was written)
            write(self.part(whole), self)

    def held(self) -> Held:
        """Value, shape, version and history of each: all from before its write, or all from after."""
        held: Held = {}
        for name, t in self.wholes.items():
            held |= {f"{name}/value": data(t.detach()), f"{name}/shape": tuple(t.shape)}
            held |= {f"{name}/version": t._version, f"{name}/history": t.grad_fn.name()}
        return held


def writes(shape: tuple[int, int], part: Callable[[Any], Any]) -> Work:
    return Work(lambda: Targets(shape, part), Targets.run, Targets.held, sources=("pool", "extension"))


class Steps:
    """Two parameters in two groups, their gradients, an optimizer and what runs; everything is held as one."""

    def __init__(self, optimizer: Callable[[Any], Any] | None, run: Callable[[Any], Any]) -> None:
        self.w = ((fastnn.arange(12.0) / 5 - 1).view(4, 3).t()).requires_grad_(True)
        self.b = (fastnn.arange(4.0, dtype=fastnn.float64) / 3).requires_grad_(True)
        self.w.grad, self.b.grad = (self.w.detach() * 3).clone(), fastnn.arange(-2.0, 2.0, dtype=fastnn.float64)
        self.optimizer = optimizer and optimizer([{"params": [self.w]}, {"params": [self.b], "lr": 0.2}])
        self.run = run

    def held(self) -> Held:
        held: Held = {"modes/grad": fastnn.is_grad_enabled()}
        for name, p in (("w", self.w), ("b", self.b)):
            held |= {f"state/{name}": data(p.detach()), f"state/{name}.grad": data(p.grad)}
            for key, value in (self.optimizer.state.get(p, {}) if self.optimizer else {}).items():
                started = value.any() and (key != "mu_product" or value != 1) if isinstance(value, fastnn.Tensor) else True
                if started:  # else it is as good as none
                    held[f"state/{name} {key}"] = bits(value) if isinstance(value, (list, fastnn.Tensor)) else value
        return held


def steps(optimizer: Callable[[Any], Any]) -> Work:
    return Work(lambda: Steps(optimizer, lambda s: s.optimizer.step()), lambda s: s.run(s), Steps.held)


def search(line_search: str | None) -> Work:
    """A step of a method that evaluates the loss itself, and so makes gradients, which are not held, as often as it likes."""

    def run(s: Steps) -> Any:
        def loss() -> Any:
            s.w.grad = s.b.grad = None
            x = ((s.w - 0.5) ** 2).sum() + ((s.b + s.w) ** 4).mean()
            x.backward()
            return x.detach()

        return s.optimizer.step(loss)

    def optimizer(groups: Any) -> Any:
        params = [p for group in groups for p in group["params"]]
        return fastnn.optim.LBFGS(params, lr=0.5, max_iter=3, history_size=2, line_search_fn=line_search)

    def held(s: Steps) -> Held:
        return {key: value for key, value in s.held().items() if not key.endswith(".grad")}

    return Work(lambda: Steps(optimizer, run), lambda s: s.run(s), held, bits)


def change(run: Callable[[Any], Any], **options: Any) -> Work:
    return Work(lambda: Steps(None, run), lambda s: s.run(s), Steps.held, bits, **options)


CHANGES: dict[str, Work] = {
    "writes": writes((4, 3), lambda whole: whole),
    "writes into a view": writes((5, 4), lambda whole: whole[1:, 1:]),
    "writes into a transposed view": writes((4, 5), lambda whole: whole.t()[1:, 1:]),
    "adamw": steps(lambda p: fastnn.optim.AdamW(p, lr=0.1)),
    "adam amsgrad": steps(lambda p: fastnn.optim.Adam(p, lr=0.1, amsgrad=True)),
    "sgd": steps(lambda p: fastnn.optim.SGD(p, lr=0.1, momentum=0.9)),
    "adagrad": steps(lambda p: fastnn.optim.Adagrad(p, lr=0.1, weight_decay=0.1)),
    "adadelta": steps(lambda p: fastnn.optim.Adadelta(p, lr=0.1, maximize=True)),
    "adamax": steps(lambda p: fastnn.optim.Adamax(p, lr=0.1, weight_decay=0.1)),
    "nadam": steps(lambda p: fastnn.optim.NAdam(p, lr=0.1, weight_decay=0.1, decoupled_weight_decay=True)),
    "radam": steps(lambda p: fastnn.optim.RAdam(p, lr=0.1, betas=(0.5, 0.6))),
    "rmsprop": steps(lambda p: fastnn.optim.RMSprop(p, lr=0.1, centered=True, momentum=0.9)),
    "lbfgs": search(None),
    "lbfgs with line search": search("strong_wolfe"),
    "clip_grad_norm_": change(lambda s: nn.utils.clip_grad_norm_([s.w, s.b], 0.5)),
    "clip_grad_norm_ inf": change(lambda s: nn.utils.clip_grad_norm_([s.w, s.b], 0.5, norm_type=float("inf"))),
    "clip_grad_value_": change(lambda s: nn.utils.clip_grad_value_([s.w, s.b], 0.5), sources=("python",)),  # the pool is not asked
}
