"""Random walks over arrays, taken by fastnn and by NumPy: views, writes through them, operators, indexing, gradients of products.

Invariant: after each step all live tensors equal their arrays in values and shape, and share memory where those do; a call that
NumPy refuses is refused. Runs where torch cannot be imported. Actions are functions of (tensor or array, other, key maker).
Does not: compare classes of exceptions, which are torch's (test_state_machine.py does). Read next: machine_rules.py (index).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from machine_rules import MOST, index
from support import arr, outcome

import fastnn

KEEP = 7
LARGEST = 2.0**12  # values beyond are not kept: they are whole numbers, and sums of them stay exact
COUNT = {"walks": 0, "steps": 0, "refused by both": 0}
LOG: list[str] = []  # of the walk under way
NP = fastnn.Tensor.numpy

dims = st.integers(-3, 2)
sizes = st.lists(st.sampled_from((2, 3, 1, 4, 0)), max_size=3)


def refuse() -> None:
    """What NumPy would take and PyTorch does not."""
    raise ValueError


# name: (draw a value, call on a tensor, call on an array)
VIEWS: dict[str, tuple[Any, Callable[..., Any], Callable[..., Any]]] = {
    "transpose": (st.tuples(dims, dims), lambda x, v: x.transpose(*v), lambda x, v: np.swapaxes(x, *v)),
    "movedim": (st.tuples(dims, dims), lambda x, v: x.movedim(*v), lambda x, v: np.moveaxis(x, *v)),
    "T": (st.none(), lambda x, v: x.T if x.dim() == 2 else x.t(), lambda x, v: np.transpose(x) if x.ndim <= 2 else refuse()),
    "expand": (sizes, lambda x, v: x.expand([*v, *x.shape]), lambda x, v: np.broadcast_to(x, [*v, *x.shape])),
    "squeeze": (st.none(), lambda x, v: x.squeeze(), lambda x, v: np.squeeze(x)),
    "unsqueeze": (dims, lambda x, v: x.unsqueeze(v), lambda x, v: np.expand_dims(x, v)),
    "diagonal": (st.integers(-2, 2), lambda x, v: x.diagonal(v), lambda x, v: writable_diagonal(x, v)),
    "slice": (st.tuples(st.none() | dims, st.none() | dims, st.sampled_from((None, 1, 2))), lambda x, v: x[slice(*v)], lambda x, v: x[slice(*v)]),
    "every other": (st.none(), lambda x, v: x[..., ::2], lambda x, v: x[..., ::2]),
}
WRITES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "+=": (lambda x, y: x.add_(y), lambda x, y: np.add(x, y, out=x)),
    "-=": (lambda x, y: x.sub_(y), lambda x, y: np.subtract(x, y, out=x)),
    "*= 2": (lambda x, y: x.mul_(2), lambda x, y: np.multiply(x, 2, out=x)),
    "*=": (lambda x, y: x.mul_(y), lambda x, y: np.multiply(x, y, out=x)),
    "fill": (lambda x, y: x.fill_(3), lambda x, y: x.fill(3)),
    "copy": (lambda x, y: x.copy_(y), lambda x, y: np.copyto(x, y)),
    "clamp": (lambda x, y: x.clamp_(-1, 2), lambda x, y: np.clip(x, -1, 2, out=x)),
    "abs": (lambda x, y: x.abs_(), lambda x, y: np.abs(x, out=x)),
    "neg": (lambda x, y: x.neg_(), lambda x, y: np.negative(x, out=x)),
    "masked_fill": (lambda x, y: x.masked_fill_(y > 0, 1), lambda x, y: np.copyto(x, 1, where=y > 0)),
}
OPS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "+": (lambda x, y, d: x + y, lambda x, y, d: x + y),
    "-": (lambda x, y, d: x - y, lambda x, y, d: x - y),
    "*": (lambda x, y, d: x * y, lambda x, y, d: x * y),
    "maximum": (lambda x, y, d: fastnn.maximum(x, y), lambda x, y, d: np.maximum(x, y)),
    "where": (lambda x, y, d: fastnn.where(x > y, x, y * 2), lambda x, y, d: np.where(x > y, x, y * 2)),
    "matmul": (lambda x, y, d: x @ y, lambda x, y, d: np.matmul(x, y)),
    "sum": (lambda x, y, d: x.sum(), lambda x, y, d: np.sum(x)),
    "sum along": (lambda x, y, d: x.sum(d), lambda x, y, d: np.sum(x, d)),
    "cumsum": (lambda x, y, d: x.cumsum(d), lambda x, y, d: np.cumsum(x, d)),
    "max along": (lambda x, y, d: x.amax(d), lambda x, y, d: np.max(x, d)),
    "argmax": (lambda x, y, d: x.argmax(d).double(), lambda x, y, d: np.argmax(x, d).astype(np.float64)),
    "sort": (lambda x, y, d: x.sort(d)[0], lambda x, y, d: np.sort(x, d)),
    "cat": (lambda x, y, d: fastnn.cat((x, y), d), lambda x, y, d: np.concatenate((x, y), d)),
    "stack": (lambda x, y, d: fastnn.stack((x, x), d), lambda x, y, d: np.stack((x, x), d)),
    "flip": (lambda x, y, d: x.flip(d), lambda x, y, d: np.flip(x, d).copy()),
    "roll": (lambda x, y, d: x.roll(1, d), lambda x, y, d: np.roll(x, 1, d)),
    "tril": (lambda x, y, d: x.tril(d), lambda x, y, d: np.tril(x, d) if x.ndim > 1 else refuse()),
    "reshape": (lambda x, y, d: x.reshape(-1).clone(), lambda x, y, d: x.reshape(-1).copy()),
}
# Where torch, and so fastnn, has rules of its own: 0-d tensors have a dimension 0 and -1, and an empty sum of a reduction stays refused.
LOOSE_AT_0_D = {"sum along", "cumsum", "max along", "argmax", "sort", "flip", "roll", "transpose", "movedim"}


class Arrays(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[fastnn.Tensor, np.ndarray]] = []
        LOG.clear()
        COUNT["walks"] += 1

    def keep(self, t: Any, a: Any) -> None:
        a = np.asarray(a)
        assert tuple(t.shape) == a.shape, (t, a)
        assert np.array_equal(arr(t), a), (t, a)
        if a.size <= MOST and a.ndim <= 4 and (not a.size or abs(a).max() <= LARGEST):
            self.pairs.append((t, a))
        del self.pairs[:-KEEP]

    def act(self, what: str, mine: Callable[[], Any], numpys: Callable[[], Any], keep: bool = True) -> None:
        LOG.append(what)
        want, refused = outcome(numpys)
        got, error = outcome(mine)
        COUNT["steps"] += 1
        COUNT["refused by both"] += bool(refused and error)
        assert bool(error) == bool(refused), f"{what}: {error!r}, NumPy: {refused!r}"
        if keep and not error:
            self.keep(got, want)

    def pick(self, data: Any) -> tuple[fastnn.Tensor, np.ndarray]:
        return self.pairs[data.draw(st.integers(0, len(self.pairs) - 1))]

    @initialize()
    def begin(self) -> None:
        self.new([2, 3], 0)
        self.new([3], 1)

    @rule(shape=sizes, start=st.integers(-2, 2))
    def new(self, shape: list[int], start: int) -> None:
        a = np.array((np.arange(float(np.prod(shape))) + start).reshape(shape) % 5 - 1)
        self.pairs.append((fastnn.tensor(a), a))
        del self.pairs[:-KEEP]

    @rule(data=st.data(), name=st.sampled_from(sorted(VIEWS)))
    def view(self, data: Any, name: str) -> None:
        t, a = self.pick(data)
        drawn, mine, numpys = VIEWS[name]
        value = data.draw(drawn)
        if a.ndim or name not in LOOSE_AT_0_D:
            self.act(f"{name} {value} of {a.shape}", lambda: mine(t, value), lambda: numpys(a, value))

    @rule(data=st.data(), name=st.sampled_from(sorted(WRITES)))
    def write(self, data: Any, name: str) -> None:
        (t, a), (u, b) = self.pick(data), self.pick(data)
        if not writable(a) or (name == "copy" and b.ndim > a.ndim):  # NumPy drops leading sizes of one then
            return
        mine, numpys = WRITES[name]
        other, array = u.clone(), b.copy()  # what lies over the target is test_overlap.py's
        self.act(f"{name} {a.shape} {b.shape}", lambda: mine(t, other), lambda: numpys(a, array), keep=False)

    @rule(data=st.data(), name=st.sampled_from(sorted(OPS)), d=dims)
    def operator(self, data: Any, name: str, d: int) -> None:
        (t, a), (u, b) = self.pick(data), self.pick(data)
        mine, numpys = OPS[name]
        if (a.ndim and b.ndim) or name not in LOOSE_AT_0_D:
            if (0 in a.shape and name in ("max along", "argmax", "roll")) or (0 in (*a.shape, *b.shape) and name == "cat"):
                return  # torch refuses or accepts an empty dimension wherever it stands
            self.act(f"{name} {a.shape} {b.shape} {d}", lambda: mine(t, u, d), lambda: np.array(numpys(a, b, d)))

    @rule(data=st.data())
    def getitem(self, data: Any) -> None:
        t, a = self.pick(data)
        key = index(data.draw, t)(fastnn)
        if looked_at(t, a, key):
            self.act(f"{a.shape}[{key}]", lambda: t[key], lambda: read(a, as_numpy(key)))

    @rule(data=st.data(), whole=st.booleans())
    def setitem(self, data: Any, whole: bool) -> None:
        (t, a), (u, b) = self.pick(data), self.pick(data)
        key = index(data.draw, t)(fastnn)
        value, array = (u.clone(), b.copy()) if whole else (7.0, 7.0)
        picked, refused = outcome(lambda: read(a, as_numpy(key)))
        if not refused and not picked.size:
            return  # NumPy looks at the value's shape for some keys, torch for others
        if writable(a) and looked_at(t, a, key):
            self.act(f"{a.shape}[{key}] = {np.shape(array)}", lambda: t.__setitem__(key, value), lambda: store(a, as_numpy(key), array), keep=False)

    @rule(data=st.data())
    def gradient(self, data: Any) -> None:
        """Of (x[key] * w).sum(): w where the key read, added up where it read twice."""
        t, a = self.pick(data)
        key = index(data.draw, t)(fastnn)
        x = t.clone().requires_grad_(True)
        picked, error = outcome(lambda: x[key])
        if error or not looked_at(t, a, key):
            return
        w = np.arange(float(picked.numel())).reshape(picked.shape) + 1
        (picked * fastnn.tensor(w)).sum().backward()
        want = np.zeros_like(a)
        part, rest = numbers_first(want, as_numpy(key))
        np.add.at(part, rest, w)
        assert np.array_equal(arr(x.grad), want), (a.shape, key, x.grad, want)

    @invariant()
    def everything_agrees(self) -> None:
        for t, a in self.pairs:
            assert tuple(t.shape) == a.shape, (t, a)
            assert np.array_equal(arr(t), a), (t, a)
        for i, (t, a) in enumerate(self.pairs):
            for u, b in self.pairs[:i]:
                if a.size and b.size:
                    assert np.shares_memory(NP(t), NP(u)) == np.shares_memory(a, b), (t, u, a, b)


def writable_diagonal(a: np.ndarray, offset: int) -> np.ndarray:
    part = np.diagonal(a, offset)
    part.flags.writeable = a.flags.writeable
    return part


def numbers_first(a: np.ndarray, key: Any) -> tuple[np.ndarray, Any]:
    """The part of a that numbers, slices and None take, and what is left of the key: where arrays stand beside a number,
    torch takes it first, and NumPy would count it among the arrays. A key without arrays gives a view, of 0-d too."""
    parts = key if isinstance(key, tuple) else (key,)
    first: list[Any] = []
    rest: list[Any] = []
    for k in parts:
        if isinstance(k, (bool, np.ndarray)):
            flags = np.asarray(k)
            first += [slice(None)] * (flags.ndim if flags.dtype == bool else 1)
            rest.append(k)
        else:
            first.append(k)
            rest += [] if type(k) is int else [k if k is Ellipsis else slice(None)]
    part = a[(*first, *([] if any(k is Ellipsis for k in first) else [...]))]
    return part, (tuple(rest) if any(isinstance(k, (bool, np.ndarray)) for k in parts) else ...)


def read(a: np.ndarray, key: Any) -> Any:
    part, rest = numbers_first(a, key)
    return part[rest]


def store(a: np.ndarray, key: Any, value: Any) -> None:
    part, rest = numbers_first(a, key)
    while np.ndim(value) > 1 and len(value) == 1:  # NumPy refuses leading sizes of one for masks alone
        value = value[0]
    part[rest] = value


def looked_at(t: fastnn.Tensor, a: np.ndarray, key: Any) -> bool:
    """Where nothing is read torch, and so fastnn, does not look whether the places exist, and NumPy not at the shape of a mask."""
    (picked, error), (_, refused) = outcome(lambda: t[key]), outcome(lambda: read(a, as_numpy(key)))
    return bool(error) == bool(refused) or not (a.size == 0 or (not error and picked.numel() == 0))


def writable(a: np.ndarray) -> bool:
    """Memory of its own for each element."""
    return a.flags.writeable and all(s or n <= 1 for s, n in zip(a.strides, a.shape, strict=True))


def as_numpy(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(as_numpy(k) for k in key)
    return NP(key) if isinstance(key, fastnn.Tensor) else np.array(key, np.int64) if isinstance(key, list) else key


TestArrays = Arrays.TestCase
TestArrays.settings = settings(
    max_examples=60, stateful_step_count=30, derandomize=True, database=None, deadline=None, report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
)  # fmt: skip
