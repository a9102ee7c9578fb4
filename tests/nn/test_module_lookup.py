"""How Module finds attributes, is called and is walked, beside torch's: what C does in its place (csrc/python/nn_module.c) cannot be told from Python.

Each body runs twice, with fastnn and with torch, and what it returns must be equal.  Read next: test_module_class.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nn_support import attempt

import fastnn
import fastnn.nn


def lookup_order(t: Any) -> Any:
    """The class before the instance, the instance before its tables; a property that fails says what it missed."""

    class Shadowed(t.nn.Module):
        layer = None

        def __init__(self) -> None:
            super().__init__()
            self.layer = t.nn.Linear(2, 2)
            self.inner = t.nn.Linear(2, 2)
            self.register_buffer("state", t.ones(2))

        @property
        def broken(self) -> Any:
            return self.missing

    m, bare = Shadowed(), Shadowed.__new__(Shadowed)
    del m._modules["inner"]
    errors = [attempt(lambda n=n: getattr(m, n)) for n in ("inner", "broken", "nothing")]
    return m.layer, "layer" in m._modules, m.state, errors, hasattr(m, "x"), attempt(lambda: bare.layer2)


def lookup_overridden(t: Any) -> Any:
    """Classes with their own lookup: through super(), before the ordinary one, and given after the class was made."""

    class Wrapper(t.nn.Module):
        def __init__(self, module: Any) -> None:
            super().__init__()
            self.module = module

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.module, name)

    class First(t.nn.Module):
        def __getattribute__(self, name: str) -> Any:
            return 7 if name == "magic" else super().__getattribute__(name)

    class Later(t.nn.Linear):
        pass

    wrapper, first, later = Wrapper(t.nn.Linear(2, 3)), First(), Later(1, 1)
    first.child = t.nn.Linear(1, 2)
    before = later.weight.shape
    Later.__getattr__ = lambda self, name: "late " + name
    during = later.weight, later.other
    del Later.__getattr__
    shapes = wrapper.weight.shape, first.child.weight.shape, before, later.bias.shape
    return shapes, wrapper.out_features, first.magic, during


def calls(t: Any) -> Any:
    """forward of the class, of the instance, a patched __call__, keywords, hooks that come and go."""

    class Twice(t.nn.Module):
        def forward(self, x: Any, scale: int = 2) -> Any:
            return x * scale

    class Child(Twice, dict):
        pass

    m, x = Twice(), t.ones(1)
    out = [m(x), m(x, 3), m(x, scale=4), Twice.__call__(m, x), Child()(x)]
    m.forward = lambda *a: "own"
    out.append(m(x))
    del m.forward
    Twice.__call__ = lambda self, *a: "patched"
    out += [m(x), Child()(x)]
    del Twice.__call__
    handle = m.register_forward_hook(lambda module, args, result: "hooked")
    out.append(m(x))
    handle.remove()
    return out, m(x), attempt(lambda: t.nn.Module()(x)), attempt(lambda: m())[0]


def own_walks(t: Any) -> Any:
    """parameters() follows a class's own named_parameters, and a child's own named_modules."""

    class Only(t.nn.Linear):
        def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
            yield "weight", self.weight

    class Closed(t.nn.Linear):
        def named_modules(self, *args: Any, **kwargs: Any) -> Any:
            return iter(())

    both_ways = t.nn.Sequential(t.nn.Linear(1, 2), Closed(2, 3))
    shared = t.nn.Sequential(t.nn.Linear(2, 2), t.nn.BatchNorm1d(2))
    shared.append(shared[0])
    walks = Only(2, 2).parameters(), both_ways.parameters(), shared.parameters(), shared.parameters(recurse=False)
    return [[tuple(p.shape) for p in w] for w in walks], [tuple(b.shape) for b in shared.buffers()]


@pytest.mark.parametrize("body", [lookup_order, lookup_overridden, calls, own_walks])
def test_same_as_torch(body: Any) -> None:
    mine, theirs = repr(body(fastnn)), repr(body(torch))
    assert mine.replace("fastnn.", "torch.") == theirs
