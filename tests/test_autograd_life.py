"""How long graphs live: deep ones end without recursion, dead ones at once, cycles when they are collected.

Does not: count what stays behind (test_leaks.py does). Read next: csrc/graph/node.c.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

from support import run_python

import fastnn

DEEP = """
import sys, gc
import fastnn as t
sys.setrecursionlimit(200)
x = t.ones(2, requires_grad=True)
y = x
for _ in range(100_000):
    y = y * 1.0
y.sum().backward()
assert x.grad.tolist() == [1, 1]
y = x
for _ in range(100_000):
    y = y + x
del y                      # a graph nobody walked is freed without recursion
z = t.zeros(2)
for _ in range(20_000):
    z += x                 # a chain of in-place nodes
z.sum().backward()
del z
keep = [x * 2]
for _ in range(100_000):
    keep[0] = t.cat([keep[0][:1], keep[0][1:]])
gc.collect()
print("done")
"""


def test_deep_graphs_are_walked_and_freed_without_recursion() -> None:
    assert run_python(DEEP).stdout.strip().endswith("done")


def test_graph_is_freed_when_its_output_dies(lib: Any) -> None:
    w = lib.ones(3, requires_grad=True)
    mid = w * 2
    out = (mid.exp() * mid).sum()
    r = weakref.ref(mid)
    mid_owner = [mid]
    del mid
    mid_owner.clear()
    out.backward()
    del out
    gc.collect()
    assert r() is None


def test_cycles_through_hooks_and_contexts_are_collected() -> None:
    """A hook or a Function's ctx may refer to the tensor that it hangs on (PyTorch finds some of these)."""

    class Keeping(fastnn.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            ctx.y = a * 2
            return ctx.y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    def cycles() -> list[Any]:
        leaf = fastnn.ones(3, requires_grad=True)
        leaf.register_hook(lambda g: leaf)
        kept = Keeping.apply(leaf)
        kept.sum().backward()
        hooked = leaf * 2
        hooked.register_hook(lambda g: hooked)
        hooked.sum().backward()
        return [weakref.ref(leaf), weakref.ref(kept), weakref.ref(hooked)]

    refs = cycles()
    gc.collect()
    assert [r() for r in refs] == [None] * len(refs)
