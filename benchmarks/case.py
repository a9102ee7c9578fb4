"""What a row of the benchmarks is: its inputs, its facts, and the list that @case adds to.

It and the tables say `import torch`: measure.py decides whether that is PyTorch or fastnn, so both sides run the same
lines.
Invariant: inputs come from NumPy with a fixed seed, hence are the same on both sides and in float64 (for the error).
What it does not do: measure. Read next: cases.py, measure.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

B, T, C, V, H = 256, 16, 64, 27, 4
N = B * T
Run = Callable[[], Any]


class Inputs:
    """Makes a case's tensors in the wanted dtype and remembers which ones want a gradient."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.leaves = dtype, []
        # Goes around what torch.compile is to compile, in cases without a backward row.
        self.compiled: Callable[[Any], Any] = lambda call: call
        self.rng = np.random.default_rng(0)

    def normal(self, *shape: int, grad: bool = True, scale: float = 1.0) -> Any:
        return self._tensor(scale * self.rng.standard_normal(shape), grad)

    def uniform(self, *shape: int) -> Any:
        return self._tensor(self.rng.uniform(0.05, 0.95, shape), True)

    def _tensor(self, values: Any, grad: bool) -> Any:
        t = torch.from_numpy(np.asarray(values, dtype=np.float32)).to(self.dtype).requires_grad_(grad)
        if grad:
            self.leaves.append(t)
        return t

    def ints(self, high: int, *shape: int) -> Any:
        return torch.from_numpy(self.rng.integers(0, high, shape))

    def module(self, module: Any) -> Any:
        """The module with its parameters filled from the stream, at the scale of the usual initialisation."""
        module = module.to(self.dtype)
        with torch.no_grad():
            for p in module.parameters():
                scale = p.shape[-1] ** -0.5 if p.dim() > 1 else 0.5
                p.copy_(self.normal(*p.shape, grad=False, scale=scale))
                self.leaves.append(p)
        return module


@dataclass(frozen=True)
class Case:
    name: str
    build: Callable[[Inputs], Run]  # returns the forward: a call that gives a tensor
    ops: tuple[str, ...]  # the ops it stands for
    flops: float = 0.0  # of the forward; forward and backward together count three times as much
    moved: float = 0.0  # bytes read and written by the forward, each tensor once
    backward: bool = True  # time forward + backward, too
    graph: bool = False  # the forward alone runs with gradients on, too
    check: bool = True  # the results are comparable with float64
    compiled: bool = True  # torch.compile is a rival here: around the forward, or where the case says Inputs.compiled
    goal: tuple[float, ...] = ()  # the largest ratio to torch: of the forward, of forward + backward
    goal_us: float = 0.0  # the longest time of the forward alone; 0: none
    goal_share: float = 0.0  # the smallest share of the measured peak on one thread, backward included; 0: none

    @property
    def has_goal(self) -> bool:
        return bool(self.goal or self.goal_us or self.goal_share)

    def row(self, backward: bool) -> dict[str, Any]:
        """The facts of its forward row, or of its forward + backward row."""
        return {
            "case": self.name,
            "backward": backward,
            "flops": self.flops * (3 if backward else 1),
            "moved": 0.0 if backward else self.moved,
            "check": self.check,
            "compilable": self.compiled,
            "goal": self.goal[backward] if backward < len(self.goal) else None,
            "goal_us": None if backward else self.goal_us or None,
            "goal_share": self.goal_share or None,
        }


CASES: list[Case] = []


def case(name: str, *ops: str, **facts: Any) -> Callable[[Callable[[Inputs], Run]], Callable[[Inputs], Run]]:
    def add(build: Callable[[Inputs], Run]) -> Callable[[Inputs], Run]:
        CASES.append(Case(name, build, ops, **facts))
        return build

    return add
