"""Random walks over tensors, taken by fastnn and by torch: views, writes, operators, indexing, autograd, hooks, no_grad.

Invariant: after each step all live tensors agree in values, shape, dtype, strides, storage offset, which of them share
memory, writes counted, requires_grad, is_leaf, grad, calls of hooks; a call that fails fails in both, with the same class.
The suite takes the same walks every time; `python tests/fuzz/machine.py` takes others, as many as asked.
Does not: check numerics (test_ops.py does): values are small whole numbers. Read next: machine_rules.py, test_numpy_machine.py.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from machine_rules import MOST, ONE_FOR_ALL, OPS, OUTS, SHAPES_CHANGED, VIEWS, WRITES, dtypes, shapes
from support import arr, dtype_name, leaves, outcome

import fastnn

KEEP = 7  # tensors alive at a time
LARGEST = 2**12  # values beyond are not kept: sums of them could round

COUNT = {"walks": 0, "steps": 0, "refused by both": 0}
LOG: list[str] = []  # of the walk under way: what was done to which tensors, and what came of it

# Calls that torch says it will refuse one day, and .grad of what is no leaf.
warnings.filterwarnings("ignore", message=".*non-writable|.*__array_wrap__|.*leaf Tensor is being accessed|.*deprecated")


class Pair:
    """The same tensor in both libraries; `hooks` counts the calls of a hook in each."""

    def __init__(self, name: str, f: Any, t: Any) -> None:
        self.name, self.f, self.t = name, f, t
        self.versions = f._version, t._version  # what the making of a tensor counted is no promise
        self.reshaped = False  # in place: on the tape it goes on as a view of what it was
        self.hooks: dict[str, list[Any]] = {"f": [], "t": []}

    def __repr__(self) -> str:
        return f"{self.name}:{dtype_name(self.t)}{list(self.t.shape)}{'*' if self.t.requires_grad else ''}"


def seen(look: Callable[[], Any]) -> Any:
    """A value, or the class of the exception: of a view that the tape lost even is_leaf cannot be told."""
    value, error = outcome(look)
    return type(error) if error else value


def geometry(x: Any) -> dict[str, Any]:
    """All that can be seen of a tensor but its values."""
    full = x.numel() > 0
    return {
        "shape": tuple(x.shape),
        "dtype": dtype_name(x),
        "stride": tuple(s for s, n in zip(x.stride(), x.shape, strict=True) if n > 1) if full else None,
        "offset": x.storage_offset() if full else None,
        "contiguous": x.is_contiguous(),
        "requires_grad": x.requires_grad,
        "leaf": seen(lambda: x.is_leaf),
        "grad_fn": seen(lambda: x.grad_fn is not None),
        "grad": seen(lambda: x.grad is not None if x.is_leaf or x.retains_grad else None),
    }


def shares(a: Any, b: Any) -> bool:
    return bool(a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr())


def same_view(a: Any, b: Any) -> bool:
    return bool(a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride())


def repeats(t: torch.Tensor) -> bool:
    """The same memory stands for several elements."""
    return t.numel() > 0 and any(not s and n > 1 for s, n in zip(t.stride(), t.shape, strict=True))


def twins(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Copies that share memory among themselves as these do, off the tape."""
    copies = {s.data_ptr(): s.clone() for s in (t.untyped_storage() for t in tensors)}
    return [
        torch.empty(0, dtype=t.dtype).set_(copies[t.untyped_storage().data_ptr()], t.storage_offset(), t.shape, t.stride())  # type: ignore[call-overload]
        for t in tensors
    ]


def equal(f: Any, t: Any, what: str) -> None:
    a, b = arr(f), arr(t)
    assert a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), f"{what}:\n{a!r}\nexpected\n{b!r}"


class Tensors(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[Pair] = []
        self.log = LOG
        LOG.clear()
        self.drawn: list[Any] = []  # values of the action under way
        self.crashing: set[int] = set()  # storages of tensors that changed their shape while they retained a gradient: torch crashes on a recorded write
        self.made = 0
        COUNT["walks"] += 1

    # ---- the machinery ----

    def pick(self, data: Any, grad: bool | None = None) -> Pair:
        found = [p for p in self.pairs if grad is None or p.t.requires_grad == grad] or self.pairs
        return data.draw(st.sampled_from(found), label="tensor")  # type: ignore[no-any-return]

    def keep(self, f: Any, t: Any) -> None:
        found, wanted = leaves(f), leaves(t)
        assert len(found) == len(wanted), f"{len(found)} results, expected {len(wanted)}"
        for a, b in list(zip(found, wanted, strict=True))[:3]:
            if not hasattr(b, "detach"):
                assert a == b
                continue
            if any(p.t is b for p in self.pairs):
                continue  # the tensor itself, as x.add_() gives it
            equal(a, b, "result")
            if a.is_contiguous() != b.is_contiguous() and not any(shares(p.t, b) for p in self.pairs):
                continue  # operands that lie differently in memory: how a fresh result lies is only promised where test_layouts.py looks
            if b.numel() <= MOST and b.dim() <= 4 and (not b.numel() or float(b.detach().double().abs().max()) <= LARGEST):
                self.made += 1
                self.pairs.append(Pair(f"x{self.made}", a, b))
                self.log[-1] = f"{self.pairs[-1]!r} = {self.log[-1]}"
        while len(self.pairs) > KEEP:
            del self.pairs[0]

    def act(self, what: str, call: Any, *pairs: Pair, no_grad: bool = False, torchs: Any = None) -> None:
        """The call in both libraries; `torchs` stands for it in torch."""
        self.log.append(f"{what}{self.drawn or ''} {pairs}{' no_grad' if no_grad else ''}")
        self.drawn = []
        with fastnn.no_grad() if no_grad else contextlib.nullcontext():
            got, error = outcome(lambda: call(fastnn, *(p.f for p in pairs)))
        with torch.no_grad() if no_grad else contextlib.nullcontext():
            want, expected = outcome(lambda: (torchs or call)(torch, *(p.t for p in pairs)))
        kinds = [type(e).__name__ if e else "no error" for e in (error, expected)]
        COUNT["steps"] += 1
        COUNT["refused by both"] += bool(error and expected)
        wrong_twice = error and "created in" in str(expected)  # a view that the tape lost, and something else: torch looks for one of them first
        assert kinds[0] == kinds[1] or wrong_twice, f"{what} {pairs}: {kinds[0]} ({error}), expected {kinds[1]} ({expected})"
        if not error:
            self.keep(got, want)

    def draw(self, data: Any, table: Any, t: Any) -> tuple[str, Any]:
        name = data.draw(st.sampled_from(sorted(table)), label="action")
        self.drawn = []

        def draw(strategy: Any) -> Any:
            self.drawn.append(data.draw(strategy))
            return self.drawn[-1]

        return name, table[name](draw, t)

    # ---- the steps ----

    @initialize(data=st.data())
    def begin(self, data: Any) -> None:
        self.new(data, [2, 3], "float32", True)
        self.new(data, [3], "float32", False)

    @rule(data=st.data(), shape=shapes, dtype=dtypes, grad=st.booleans())
    def new_tensor(self, data: Any, shape: list[int], dtype: str, grad: bool) -> None:
        self.new(data, shape, dtype, grad)

    def new(self, data: Any, shape: list[int], dtype: str, grad: bool) -> None:
        start = data.draw(st.integers(-2, 2))
        values = ((np.arange(int(np.prod(shape))) + start) % 4 - (dtype not in ("uint8", "bool"))).reshape(shape).astype(dtype)
        self.drawn = []
        self.act(
            f"tensor({shape}, {dtype})",
            lambda lib: lib.tensor(values).requires_grad_(grad and dtype.startswith("float")),
        )

    @rule(data=st.data(), no_grad=st.sampled_from((False, False, False, True)))
    def view(self, data: Any, no_grad: bool) -> None:
        p = self.pick(data)
        self.act(*self.draw(data, VIEWS, p.t), p, no_grad=no_grad)

    @rule(data=st.data(), no_grad=st.sampled_from((False, True)))
    def write(self, data: Any, no_grad: bool) -> None:
        p, other = self.pick(data), self.pick(data)
        name, call = self.draw(data, WRITES, p.t)
        if name in ONE_FOR_ALL and repeats(p.t):
            no_grad = True  # torch lets the write pass on the tape, too, and fails in backward; fastnn refuses it
        if name == "setitem tensor" and repeats(p.t):
            return  # several values for one place: the order of writing decides
        if name in SHAPES_CHANGED:
            p.reshaped = True
            if p.t.retains_grad:
                self.crashing.add(p.t.untyped_storage().data_ptr())
        elif p.t.requires_grad and not no_grad and p.t.untyped_storage().data_ptr() in self.crashing:
            return
        if name in SHAPES_CHANGED and p.t.requires_grad:
            no_grad = False  # a leaf that changes its shape behind the tape's back has gradients of the wrong shape in torch
        self.act_on_shared(name, call, p, other, no_grad=no_grad)

    def act_on_shared(self, what: str, call: Any, *pairs: Pair, no_grad: bool = False) -> None:
        """A write into the first of the pairs. Where others lie over it and torch does not refuse, its result may depend on the order
        of its writing: what counts is that of copies of the others."""
        over = any(shares(pairs[0].t, p.t) and ("out=" in what or not same_view(pairs[0].t, p.t)) for p in pairs[1:])

        def of_copies(lib: Any, x: Any, *ys: Any) -> Any:
            return call(lib, x, *(y.clone() for y in ys))

        if not pairs[0].t.numel():  # of what has no elements torch refuses some
            self.act(f"{what} (copied)", of_copies, *pairs, no_grad=no_grad)
        elif over and not outcome(lambda: call(torch, *twins([p.t for p in pairs])))[1]:
            self.act(f"{what} (over itself)", call, *pairs, no_grad=no_grad, torchs=of_copies)
        else:
            self.act(what, call, *pairs, no_grad=no_grad)

    @rule(data=st.data())
    def out(self, data: Any) -> None:
        """out= of a tensor with the shape of the result."""
        p, other = self.pick(data), self.pick(data)
        name, call = self.draw(data, OUTS, p.t)
        result, _ = outcome(lambda: call(torch, torch.empty(0, dtype=p.t.dtype), p.t.detach(), other.t.detach()))
        fitting = [q for q in self.pairs if result is not None and q.t.shape == result.shape and q.t.numel()]
        if name == "eq":
            fitting = [q for q in fitting if not q.t.requires_grad]  # torch writes into what wants a gradient then
        if name == "tril":
            fitting = [q for q in fitting if not repeats(q.t)]  # torch writes one after the other
        if name not in ("add", "mul number", "sum", "cumsum"):
            fitting = [q for q in fitting if q.t.dtype == result.dtype]  # torch casts for some and refuses to for others
        if fitting:
            self.act_on_shared(f"{name} out=", call, data.draw(st.sampled_from(fitting), label="out"), p, other)

    @rule(data=st.data(), no_grad=st.sampled_from((False, False, False, True)))
    def operator(self, data: Any, no_grad: bool) -> None:
        p = self.pick(data)
        self.act(*self.draw(data, OPS, p.t), p, self.pick(data), self.pick(data), no_grad=no_grad)

    @precondition(lambda self: any(p.t.requires_grad for p in self.pairs))
    @rule(data=st.data(), retain=st.booleans())
    def backward(self, data: Any, retain: bool) -> None:
        p = self.pick(data, grad=True)
        self.act("backward", lambda lib, x: x.backward(lib.ones_like(x), retain_graph=retain), p)

    @precondition(lambda self: any(p.t.requires_grad for p in self.pairs))
    @rule(data=st.data())
    def backward_of_sum(self, data: Any) -> None:
        self.act("sum().backward", lambda lib, x: x.sum().backward(), self.pick(data, grad=True))

    @precondition(lambda self: any(p.t.requires_grad for p in self.pairs))
    @rule(data=st.data())
    def autograd_grad(self, data: Any) -> None:
        a, b = self.pick(data, grad=True), self.pick(data, grad=True)
        # Clones: how a gradient was accumulated (its version, its strides) is no promise.
        self.act("grad", lambda lib, x, y: [g if g is None else g.clone() for g in lib.autograd.grad(x.sum(), y, allow_unused=True, retain_graph=True)], a, b)

    @rule(data=st.data())
    def retain_grad(self, data: Any) -> None:
        self.act("retain_grad", lambda lib, x: x.retain_grad(), self.pick(data))

    @rule(data=st.data())
    def drop_grad(self, data: Any) -> None:
        p = self.pick(data)
        if seen(lambda: p.t.is_leaf) is True:
            self.act("grad = None", lambda lib, x: setattr(x, "grad", None), p)

    @rule(data=st.data(), factor=st.sampled_from((None, 2, -1)))
    def hook(self, data: Any, factor: int | None) -> None:
        p = self.pick(data)

        def register(lib: Any, x: Any) -> None:
            calls = p.hooks["f" if lib is fastnn else "t"]

            def called(g: Any) -> Any:
                if g is None:  # torch calls the hooks of outputs that no gradient reached too
                    return None
                calls.append(g.tolist())
                return None if factor is None else g * factor

            x.register_hook(called)

        if not p.t._is_view() and not p.reshaped:  # torch drops the hooks of a view when its base is written, and crashes on new ones
            self.act("register_hook", register, p)

    @rule(data=st.data())
    def forget(self, data: Any) -> None:
        if len(self.pairs) > 2:
            self.pairs.remove(self.pick(data))

    # ---- what must agree ----

    @invariant()
    def everything_agrees(self) -> None:
        for p in self.pairs:
            got, want = geometry(p.f), geometry(p.t)
            assert got == want, {k: (got[k], want[k]) for k in got if got[k] != want[k]}
            equal(p.f, p.t, "value")
            assert p.f._version - p.versions[0] == p.t._version - p.versions[1], f"{p}: versions {p.f._version}, {p.t._version}"
            if want["grad"] is True:
                equal(p.f.grad, p.t.grad, "grad")
            assert p.hooks["f"] == p.hooks["t"], f"{p}: hooks called with {p.hooks['f']}, expected {p.hooks['t']}"
        assert sharing([fastnn._C._storage_key(p.f) for p in self.pairs if p.t.numel()]) == sharing(
            [p.t.untyped_storage().data_ptr() for p in self.pairs if p.t.numel()]
        )


def sharing(keys: list[int]) -> list[int]:
    """For each tensor the first that lies in the same storage."""
    return [keys.index(key) for key in keys]


TestTensors = Tensors.TestCase
TestTensors.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
