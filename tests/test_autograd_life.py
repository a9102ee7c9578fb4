"""How long graphs live: deep ones end without recursion, dead ones at once, and thousands of steps leave nothing behind.

Invariant: what is measured is measured in a fresh process. Read next: csrc/graph/node.c.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

from support import run_python

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


LEAK = """
import gc, os, sys
import fastnn as t
F = t.nn.functional

def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

model = t.nn.Sequential(t.nn.Embedding(27, 32), t.nn.Linear(32, 64), t.nn.GELU(), t.nn.LayerNorm(64), t.nn.Linear(64, 27))
opt = t.optim.AdamW(model.parameters(), lr=1e-3)
x, y = t.randint(0, 27, (64,)), t.randint(0, 27, (64,))

class Double(t.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        ctx.extra = [a]
        return a * 2
    @staticmethod
    def backward(ctx, g):
        return g * 2

def step(i):
    h = model(x)
    h.register_hook(lambda g: g * 1.0)
    h = Double.apply(h)
    h[0] = 0.5
    v = h.view(8, 8, 27)
    v.retain_grad()
    v.loop = v                      # a cycle through a tensor's dict
    loss = F.cross_entropy(v.view(-1, 27), y) + (h ** 2).mean() * 1e-3
    opt.zero_grad()
    loss.backward()
    t.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    opt.step()
    for bad in (lambda: h @ h, lambda: h[99], lambda: t.zeros(2).view(3), lambda: F.cross_entropy(h, y + 99), lambda: t.cat([h, y]), lambda: h + t.ones(5)):
        try:
            bad()
        except (RuntimeError, IndexError, TypeError):
            pass
        else:
            raise AssertionError("accepted")
    repr(h[:2, :3]); h.tolist(); h.detach().numpy(); len(h); list(h[:3])

def in_use():
    gc.collect()
    return t._C._pool_stats()["bytes_in_use"]

# Freelists and dictionaries, the interpreter's and ours, fill up for a while; what leaks never stops growing.
for part in range(8):
    held, before, blocks = in_use(), rss(), sys.getallocatedblocks()
    for i in range(600):
        step(i)
        if i % 50 == 0:
            gc.collect()
    kept, grown, more = in_use() - held, rss() - before, sys.getallocatedblocks() - blocks
    if part and kept == 0 and grown < 500_000 and more < 20:
        break
else:
    raise AssertionError(f"after 4800 steps 600 more leave {kept} bytes of tensors, {grown} of memory, {more} Python blocks")
print("flat")
"""


def test_nothing_leaks_over_training_steps_and_errors() -> None:
    assert run_python(LEAK).stdout.strip() == "flat"
