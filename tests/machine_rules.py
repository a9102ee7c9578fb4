"""What the state machine may do to tensors: views, writes in place, operators, indexing, joins, casts.

Invariant: an action is a function of (library, tensors) and of values drawn beforehand, so both libraries do the same.
Shapes stay below MOST elements and values small whole numbers, where every order of summation gives equal floats.
Does not: know autograd's rules or compare anything (test_state_machine.py). Read next: test_state_machine.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st

Action = Callable[..., Any]
MOST = 64
DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")

dtypes = st.sampled_from(("float32", "float32", "float32", "float64", *DTYPES))
shapes = st.lists(st.sampled_from((2, 3, 1, 4, 0)), min_size=0, max_size=3)
numbers = st.sampled_from((0, 1, 2, -1, -2, 0.5, 3, True))
small = st.integers(-3, 3)


def dims(draw: Any, t: Any) -> int:
    """Mostly a dimension the tensor has, of either sign; now and then one it has not."""
    n = t.dim()
    return int(draw(st.integers(-n, max(n - 1, 0)) if draw(st.integers(0, 15)) else st.integers(-n - 2, n + 2)))


def slices(draw: Any, steps: bool = True) -> slice:
    ends = st.none() | small
    return slice(draw(ends), draw(ends), draw(st.sampled_from((None, 1, 2, 3) if steps else (None, 1))))


# ---- views: (name, values drawn for tensor t, call) ----


def _sizes_of(draw: Any, n: int) -> list[int]:
    """A shape with n elements, or with -1 in it, or a wrong one."""
    if n == 0:
        return list(draw(st.sampled_from(([0], [0, 2], [2, 0, 1], [-1], [0, -1]))))
    found = [[n], [1, n], [n, 1], [-1]] + [[n // k, k] for k in (2, 3, 4) if n % k == 0] + [[2, -1], [3, -1], [n + 1]] + [[2, n // 4, 2]] * (n % 4 == 0)
    return list(draw(st.sampled_from(found)))


def _expanded(draw: Any, t: Any) -> list[int]:
    sizes = [int(draw(st.sampled_from((s, -1, 2 if s == 1 else s)))) for s in t.shape]
    return [*draw(st.sampled_from(([], [1], [2], [1, 2]))), *sizes]


VIEWS: dict[str, Callable[[Any, Any], Action]] = {
    "transpose": lambda draw, t: (lambda a, b: lambda lib, x: x.transpose(a, b))(dims(draw, t), dims(draw, t)),
    "permute": lambda draw, t: (lambda order: lambda lib, x: x.permute(order))(draw(st.permutations(list(range(t.dim()))))),
    "slice": lambda draw, t: (lambda key: lambda lib, x: x[key])(slices(draw)),
    "expand": lambda draw, t: (lambda sizes: lambda lib, x: x.expand(sizes))(_expanded(draw, t)),
    "view": lambda draw, t: (lambda sizes: lambda lib, x: x.view(sizes))(_sizes_of(draw, t.numel())),
    "reshape": lambda draw, t: (lambda sizes: lambda lib, x: x.reshape(sizes))(_sizes_of(draw, t.numel())),
    "unsqueeze": lambda draw, t: (lambda d: lambda lib, x: x.unsqueeze(d))(dims(draw, t)),
    "squeeze": lambda draw, t: (lambda d: lambda lib, x: x.squeeze(d))(dims(draw, t)),
    "squeeze all": lambda draw, t: lambda lib, x: x.squeeze(),
    "diagonal": lambda draw, t: (lambda k, a, b: lambda lib, x: x.diagonal(k, a, b))(draw(small), dims(draw, t), dims(draw, t)),
    "narrow": lambda draw, t: (lambda d, a, n: lambda lib, x: x.narrow(d, a, n))(dims(draw, t), draw(small), draw(st.integers(0, 3))),
    "select": lambda draw, t: (lambda d, i: lambda lib, x: x.select(d, i))(dims(draw, t), draw(small)),
    "unbind": lambda draw, t: (lambda d: lambda lib, x: x.unbind(d))(dims(draw, t)),
    "chunk": lambda draw, t: (lambda n, d: lambda lib, x: x.chunk(n, d))(draw(st.integers(1, 3)), dims(draw, t)),
    "split": lambda draw, t: (lambda n, d: lambda lib, x: x.split(n, d))(draw(st.sampled_from((1, 2, 3, [1, 2], [2, 2]))), dims(draw, t)),
    "flatten": lambda draw, t: (lambda a, b: lambda lib, x: x.flatten(a, b))(dims(draw, t), dims(draw, t)),
    "unfold": lambda draw, t: (lambda d, n, s: lambda lib, x: x.unfold(d, n, s))(dims(draw, t), draw(st.integers(0, 3)), draw(st.integers(1, 2))),
    "T": lambda draw, t: lambda lib, x: x.T if x.dim() == 2 else x.t(),
    "mT": lambda draw, t: lambda lib, x: x.mT,
    "detach": lambda draw, t: lambda lib, x: x.detach(),
    "data": lambda draw, t: lambda lib, x: x.data,
    "view_as": lambda draw, t: lambda lib, x: x.view_as(x),
    "movedim": lambda draw, t: (lambda a, b: lambda lib, x: x.movedim(a, b))(dims(draw, t), dims(draw, t)),
    "contiguous": lambda draw, t: lambda lib, x: x.contiguous(),
}  # fmt: skip


# ---- indices ----


def index_part(draw: Any, size: int) -> Any:
    """A function lib -> one part of an index."""
    kind = draw(st.integers(0, 9))
    if kind < 3:
        value = draw(st.integers(-size, size - 1) if size and draw(st.integers(0, 9)) else small)
        return lambda lib: value
    if kind < 6:
        key = slices(draw)
        return lambda lib: key
    if kind == 6:
        return lambda lib: None
    if kind == 7:
        flags = [draw(st.booleans()) for _ in range(size)]
        return lambda lib: lib.tensor(flags, dtype=lib.bool)
    if kind == 8:
        flag = draw(st.booleans())
        return lambda lib: flag
    shape = draw(st.sampled_from(([2], [3], [1], [2, 1], [1, 2], [0])))
    count = shape[0] * (shape[1] if len(shape) > 1 else 1)
    values = [draw(st.integers(-size, size - 1) if size else st.just(0)) for _ in range(count)]
    as_list = draw(st.booleans()) and len(shape) == 1
    return lambda lib: values if as_list else lib.tensor(values, dtype=lib.int64).view(shape)


def index(draw: Any, t: Any) -> Callable[[Any], Any]:
    """A function lib -> index of tensor t: int, slice, None, Ellipsis, masks, long tensors, lists, and mixtures."""
    if t.dim() and not draw(st.integers(0, 7)):  # a mask of the whole
        flags = [draw(st.booleans()) for _ in range(t.numel())]
        return lambda lib: lib.tensor(flags, dtype=lib.bool).view(tuple(t.shape))
    n = draw(st.integers(0, t.dim()) if draw(st.integers(0, 15)) else st.integers(0, t.dim() + 1))
    parts = [index_part(draw, int(t.shape[i]) if i < t.dim() else 1) for i in range(n)]
    if not draw(st.integers(0, 3)):
        parts.insert(draw(st.integers(0, len(parts))), lambda lib: ...)
    if len(parts) == 1 and draw(st.booleans()):
        return parts[0]
    return lambda lib: tuple(part(lib) for part in parts)


# ---- writes in place: x, and y where a second tensor takes part ----

WRITES: dict[str, Callable[[Any, Any], Action]] = {
    "fill_": lambda draw, t: (lambda v: lambda lib, x, y: x.fill_(v))(draw(numbers)),
    "zero_": lambda draw, t: lambda lib, x, y: x.zero_(),
    "add_": lambda draw, t: (lambda a: lambda lib, x, y: x.add_(y, alpha=a))(draw(st.sampled_from((1, 2, -1)))),
    "add_ number": lambda draw, t: (lambda v: lambda lib, x, y: x.add_(v))(draw(numbers)),
    "sub_": lambda draw, t: lambda lib, x, y: x.sub_(y),
    "mul_": lambda draw, t: lambda lib, x, y: x.mul_(y),
    "+=": lambda draw, t: lambda lib, x, y: x.__iadd__(y),
    "*= number": lambda draw, t: (lambda v: lambda lib, x, y: x.__imul__(v))(draw(numbers)),
    "copy_": lambda draw, t: lambda lib, x, y: x.copy_(y),
    "neg_": lambda draw, t: lambda lib, x, y: x.neg_(),
    "relu_": lambda draw, t: lambda lib, x, y: x.relu_(),
    "clamp_": lambda draw, t: lambda lib, x, y: x.clamp_(-1, 2),
    "masked_fill_": lambda draw, t: (lambda v: lambda lib, x, y: x.masked_fill_(y > 0, v))(draw(numbers)),
    # (no index out of range: torch writes up to there before it refuses)
    "index_put_": lambda draw, t: (lambda i, v, acc: lambda lib, x, y: x.index_put_((lib.tensor([min(k, 0) for k in i]),), lib.tensor(v, dtype=x.dtype), accumulate=acc))(
        [draw(st.integers(-1, 1)) for _ in range(2)], draw(st.integers(0, 2)), draw(st.booleans())),
    "index_fill_": lambda draw, t: (lambda d, v: lambda lib, x, y: x.index_fill_(d, lib.tensor([0] * bool(x.numel()), dtype=lib.int64), v))(
        dims(draw, t), draw(st.integers(0, 2))),
    "setitem number": lambda draw, t: (lambda key, v: lambda lib, x, y: x.__setitem__(key(lib), v))(index(draw, t), draw(numbers)),
    "setitem tensor": lambda draw, t: (lambda key: lambda lib, x, y: x.__setitem__(key(lib), y))(index(draw, t)),
    "setitem part of itself": lambda draw, t: (lambda key: lambda lib, x, y: x.__setitem__(key(lib), x[key(lib)] * 2))(index(draw, t)),
    "scatter_": lambda draw, t: (lambda d: lambda lib, x, y: x.scatter_(d, lib.zeros(x.shape, dtype=lib.int64), y))(dims(draw, t)),
    "scatter_add_": lambda draw, t: (lambda d: lambda lib, x, y: x.scatter_add_(d, lib.zeros(x.shape, dtype=lib.int64), y))(dims(draw, t)),
    "index_add_": lambda draw, t: (lambda d: lambda lib, x, y: x.index_add_(d, lib.zeros(y.shape[d] if y.dim() else 1, dtype=lib.int64), y))(dims(draw, t)),
    # (of itself, or of too few elements, torch has written some when it comes to them)
    "masked_scatter_": lambda draw, t: lambda lib, x, y: x.masked_scatter_(x > 0, (y if y.numel() >= x.numel() else x * 2).clone()),
    "triu_": lambda draw, t: lambda lib, x, y: x.triu_(),
    "t_": lambda draw, t: lambda lib, x, y: x.t_(),
    "unsqueeze_": lambda draw, t: (lambda d: lambda lib, x, y: x.unsqueeze_(d))(dims(draw, t)),
    "transpose_": lambda draw, t: (lambda a, b: lambda lib, x, y: x.transpose_(a, b))(dims(draw, t), dims(draw, t)),
    "detach_": lambda draw, t: lambda lib, x, y: x.detach_(),
    "requires_grad_": lambda draw, t: (lambda v: lambda lib, x, y: x.requires_grad_(v))(draw(st.booleans()) and not t._is_view()),
}  # fmt: skip
SHAPES_CHANGED = {"t_", "unsqueeze_", "transpose_"}
# What may be written where memory stands for several elements: the same goes to each of them.
ONE_FOR_ALL = {"masked_fill_", "index_put_", "index_fill_", "setitem number", "setitem part of itself", "triu_", "copy_"}

# out= of o
OUTS: dict[str, Callable[[Any, Any], Action]] = {
    "add": lambda draw, t: lambda lib, o, x, y: lib.add(x, y, out=o),
    "mul number": lambda draw, t: (lambda v: lambda lib, o, x, y: lib.mul(x, v, out=o))(draw(numbers)),
    "neg": lambda draw, t: lambda lib, o, x, y: lib.neg(x, out=o),
    "maximum": lambda draw, t: lambda lib, o, x, y: lib.maximum(x, y, out=o),
    "where": lambda draw, t: lambda lib, o, x, y: lib.where(y > 0, x, y, out=o),
    "clamp": lambda draw, t: lambda lib, o, x, y: lib.clamp(x, -1, 1, out=o),
    "eq": lambda draw, t: lambda lib, o, x, y: lib.eq(x, y, out=o),
    "cumsum": lambda draw, t: (lambda d: lambda lib, o, x, y: lib.cumsum(x, d, out=o))(dims(draw, t)),
    "sum": lambda draw, t: (lambda d: lambda lib, o, x, y: lib.sum(x, d, out=o))(dims(draw, t)),
    "matmul": lambda draw, t: lambda lib, o, x, y: lib.matmul(x, y, out=o),
    "tril": lambda draw, t: lambda lib, o, x, y: lib.tril(x, out=o),
    "cat": lambda draw, t: (lambda d: lambda lib, o, x, y: lib.cat((x, y), d, out=o))(dims(draw, t)),
    "gather": lambda draw, t: (lambda d: lambda lib, o, x, y: lib.gather(x, d, lib.zeros(x.shape, dtype=lib.int64), out=o))(dims(draw, t)),
    "index_select": lambda draw, t: (lambda d: lambda lib, o, x, y: lib.index_select(x, d, lib.tensor([0, 0]), out=o))(dims(draw, t)),
}  # fmt: skip


# ---- operators and joins of one to three tensors ----

OPS: dict[str, Callable[[Any, Any], Action]] = {
    "+": lambda draw, t: lambda lib, x, y, z: x + y,
    "-": lambda draw, t: lambda lib, x, y, z: x - y,
    "*": lambda draw, t: lambda lib, x, y, z: x * y,
    "+ number": lambda draw, t: (lambda v: lambda lib, x, y, z: x + v)(draw(numbers)),
    "number *": lambda draw, t: (lambda v: lambda lib, x, y, z: v * x)(draw(numbers)),
    "neg": lambda draw, t: lambda lib, x, y, z: -x,
    "relu": lambda draw, t: lambda lib, x, y, z: lib.relu(x),
    "abs": lambda draw, t: lambda lib, x, y, z: x.abs(),
    ">": lambda draw, t: lambda lib, x, y, z: x > y,
    "==": lambda draw, t: lambda lib, x, y, z: x == y,
    "maximum": lambda draw, t: lambda lib, x, y, z: lib.maximum(x, y),
    "sum": lambda draw, t: lambda lib, x, y, z: x.sum(),
    "sum dim": lambda draw, t: (lambda d, k: lambda lib, x, y, z: x.sum(d, keepdim=k))(dims(draw, t), draw(st.booleans())),
    "amax": lambda draw, t: (lambda d: lambda lib, x, y, z: x.amax(d))(dims(draw, t)),
    "cumsum": lambda draw, t: (lambda d: lambda lib, x, y, z: x.cumsum(d))(dims(draw, t)),
    "clone": lambda draw, t: lambda lib, x, y, z: x.clone(),
    "matmul": lambda draw, t: lambda lib, x, y, z: x @ (y if x.numel() and y.numel() else y.type_as(x)),  # torch does not look at the types of empty batches
    "where": lambda draw, t: lambda lib, x, y, z: lib.where(x > 0, y, z),
    "where number": lambda draw, t: (lambda v: lambda lib, x, y, z: lib.where(x > 0, y, v))(draw(numbers)),
    "masked_fill": lambda draw, t: lambda lib, x, y, z: x.masked_fill(y > 0, 2),
    "masked_select": lambda draw, t: lambda lib, x, y, z: (x * 1).masked_select(y > 0),  # torch keeps what it selects from, fastnn the mask alone
    "masked_scatter": lambda draw, t: lambda lib, x, y, z: x.masked_scatter(y > 0, z),
    "cat": lambda draw, t: (lambda d: lambda lib, x, y, z: lib.cat((x, y, z), d))(dims(draw, t)),
    "cat twice itself": lambda draw, t: (lambda d: lambda lib, x, y, z: lib.cat((x, x), d))(dims(draw, t)),
    "stack": lambda draw, t: (lambda d: lambda lib, x, y, z: lib.stack((x, y), d))(dims(draw, t)),
    "stack itself": lambda draw, t: (lambda d: lambda lib, x, y, z: lib.stack((x, x), d))(dims(draw, t)),
    "gather": lambda draw, t: (lambda d: lambda lib, x, y, z: x.gather(d, lib.zeros(x.shape, dtype=lib.int64)))(dims(draw, t)),
    "gather by y": lambda draw, t: (lambda d: lambda lib, x, y, z: x.gather(d, y))(dims(draw, t)),
    "scatter": lambda draw, t: (lambda d: lambda lib, x, y, z: x.scatter(d, lib.zeros(x.shape, dtype=lib.int64), y if x.shape == y.shape else 2))(dims(draw, t)),
    "index_select": lambda draw, t: (lambda d: lambda lib, x, y, z: x.index_select(d, lib.tensor([0, 0])))(dims(draw, t)),
    "getitem": lambda draw, t: (lambda key: lambda lib, x, y, z: x[key(lib)])(index(draw, t)),
    "getitem by y": lambda draw, t: lambda lib, x, y, z: x[y],
    "to": lambda draw, t: (lambda d: lambda lib, x, y, z: x.to(getattr(lib, d)))(draw(dtypes)),
    "type_as": lambda draw, t: lambda lib, x, y, z: x.type_as(y),
    "repeat": lambda draw, t: (lambda n: lambda lib, x, y, z: x.repeat(n, *[1] * max(x.dim() - 1, 0)))(draw(st.integers(0, 2))),
    "flip": lambda draw, t: (lambda d: lambda lib, x, y, z: x.flip(d))(dims(draw, t)),
    "roll": lambda draw, t: (lambda d: lambda lib, x, y, z: x.roll(1, d))(dims(draw, t)),
    "tril": lambda draw, t: lambda lib, x, y, z: x.tril(),
    "addcmul": lambda draw, t: lambda lib, x, y, z: lib.addcmul(x, y, z, value=2),
    "ones_like": lambda draw, t: lambda lib, x, y, z: lib.ones_like(x),
}  # fmt: skip
