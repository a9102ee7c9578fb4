"""In-place ops and overlapping memory: the result is that of operands that share nothing, or the call is refused as PyTorch refuses it.

Invariant: after each call all of the memory that the tensors share is compared with PyTorch's result for a cloned operand: where PyTorch
neither refuses nor looks closely (broadcast operands that overlap) its own result depends on the order in which it writes.
Does not: follow gradients through in-place writes (test_autograd.py). Read next: csrc/ops/run.c.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from counts import proved
from op_table import ROWS
from support import arr, close, outcome, same

import fastnn

UNARY = [n for n, r in ROWS.items() if hasattr(torch.Tensor, f"{n}_") and len(r.cases()[0].args) == 1 and not r.inplace and not r.cases()[0].kwargs]
BINARY = [n for n, r in ROWS.items() if hasattr(torch.Tensor, f"{n}_") and len(r.cases()[0].args) == 2 and all(isinstance(a, np.ndarray) for a in r.cases()[0].args)]
SHARED = {
    "itself": lambda x: (x, x),
    "its transpose": lambda x: (x, x.t()),
    "one row on": lambda x: (x[1:], x[:-1]),
    "one row back": lambda x: (x[:-1], x[1:]),
    "one place on": lambda x: (x.view(-1)[1:], x.view(-1)[:-1]),
    "one place back": lambda x: (x.view(-1)[:-1], x.view(-1)[1:]),
    "every second": lambda x: (x.view(-1)[::2], x.view(-1)[1::2]),
    "its first row": lambda x: (x, x[0]),
    "its first column": lambda x: (x, x[:, :1]),
    "one of its elements": lambda x: (x, x[2, 3]),
    "an expanded target": lambda x: (x[:1].expand(6, 6), x),
    "an expanded copy of a row": lambda x: (x, x[1].expand(6, 6)),
}  # fmt: skip


def beside(name: str, steps: float, call: Any, kind: str, dtype: str = "float32") -> None:
    """Runs call(lib, base, clone): the memory of base is that of PyTorch's with clone, or both refuse the call without."""
    found = []
    for lib, clone in ((torch, True), (torch, False), (fastnn, False)):
        values = np.random.RandomState(5).uniform(0.2, 0.9, (6, 6))
        base = lib.from_numpy((values if dtype.startswith("float") else values * 9 + 1).astype(dtype))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.append((outcome(lambda lib=lib, base=base, clone=clone: call(lib, base, lambda t: t.clone() if clone else t))[1], arr(base)))
    (_, want), (refused, _), (error, got) = found
    if error is None:
        close(got, want, steps, f"{name}, {kind}", whole=True)
    else:
        assert type(error) is type(refused), f"{name}, {kind}: {error!r}, torch: {refused!r}"
        assert np.array_equal(got, np.random.RandomState(5).uniform(0.2, 0.9, (6, 6)).astype(dtype)) or not dtype.startswith("float"), f"{name}, {kind} wrote before it refused"
    proved(name, "overlap")


@pytest.mark.parametrize("kind", list(SHARED))
@pytest.mark.parametrize("name", [*BINARY, "copy"])
def test_two_operands_that_share_memory(name: str, kind: str) -> None:
    row = ROWS.get(name, ROWS["copy_"])

    def call(lib: Any, base: Any, clone: Any) -> None:
        target, source = SHARED[kind](base)
        getattr(target, f"{name}_")(clone(source))

    for dtype in ("float32", "int64"):
        if dtype in row.dtypes:
            beside(row.name, row.steps or 0, call, kind, dtype)


@pytest.mark.parametrize("kind", ["itself", "every second", "one row on", "its transpose", "an expanded target"])
@pytest.mark.parametrize("name", UNARY)
def test_one_operand_in_place(name: str, kind: str) -> None:
    beside(name, ROWS[name].steps, lambda lib, base, clone: getattr(SHARED[kind](base)[kind == "its transpose"], f"{name}_")(), kind)


OUT = {
    "add": lambda lib, a, out: lib.add(a, 1.5, out=out),
    "mul": lambda lib, a, out: lib.mul(a, a, out=out),
    "exp": lambda lib, a, out: lib.exp(a, out=out),
    "where": lambda lib, a, out: lib.where(a > 0.5, a, a * 2, out=out),
    "clamp": lambda lib, a, out: lib.clamp(a, 0.3, 0.6, out=out),
    "softmax": lambda lib, a, out: lib.softmax(a, -1, out=out),
    "cumsum": lambda lib, a, out: lib.cumsum(a, 0, out=out),
    "norm": lambda lib, a, out: lib.norm(a, out=out.reshape(-1)[0]),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["itself", "its transpose", "one row on", "one row back", "every second"])
@pytest.mark.parametrize("name", list(OUT))
def test_out_that_is_an_operand(name: str, kind: str) -> None:
    def call(lib: Any, base: Any, clone: Any) -> None:
        out, a = SHARED[kind](base)
        OUT[name](lib, clone(a), out)

    beside(name, max(ROWS[name].steps, 1), call, kind)


@pytest.mark.parametrize("kind", ["itself", "its transpose"])
def test_a_product_into_its_own_factor(kind: str) -> None:
    def call(lib: Any, base: Any, clone: Any) -> None:
        out, a = SHARED[kind](base)
        lib.mm(clone(a), clone(a), out=out)

    beside("mm", 8, call, kind)


def last_first(lib: Any, t: Any) -> Any:
    return lib.arange(t.shape[0] - 1, -1, -1)


def last_first_of_all(lib: Any, t: Any) -> Any:
    """The same as scatter's index, which names a row for each element."""
    return last_first(lib, t).reshape(-1, *[1] * (t.ndim - 1)).expand(t.shape)


# Writes at places that an index names: the first operand is written, the second is the source.
STORES: dict[str, tuple[str, Any]] = {
    "an index": ("index_put", lambda lib, t, s: t.__setitem__(last_first(lib, t), s)),
    "an index, added": ("index_put", lambda lib, t, s: t.index_put_((last_first(lib, t),), s, accumulate=True)),
    "a mask": ("index_put", lambda lib, t, s: t.__setitem__(t.clone() > 0.5, s.clone().reshape(-1)[0])),
    "everything": ("copy_", lambda lib, t, s: t.__setitem__(..., s)),
    "a slice": ("copy_", lambda lib, t, s: t.__setitem__(slice(1, 3), s[1:3])),
    "scatter": ("scatter", lambda lib, t, s: t.scatter_(0, last_first_of_all(lib, t), s)),
    "scatter_add": ("scatter_add", lambda lib, t, s: t.scatter_add_(0, last_first_of_all(lib, t), s)),
    "index_add": ("index_add", lambda lib, t, s: t.index_add_(0, last_first(lib, t), s, alpha=2)),
    "index_copy": ("index_put", lambda lib, t, s: t.index_copy_(0, last_first(lib, t), s)),
    "masked_fill": ("masked_fill", lambda lib, t, s: t.masked_fill_(s > 0.5, 2.0)),
    "masked_scatter": ("masked_scatter", lambda lib, t, s: t.masked_scatter_(t > 0.5, s)),
    "addcmul": ("addcmul", lambda lib, t, s: t.addcmul_(s, s)),
    "addcdiv": ("addcdiv", lambda lib, t, s: t.addcdiv_(t.clone(), s)),
    "lerp": ("lerp", lambda lib, t, s: t.lerp_(s, 0.3)),
    "lerp by": ("lerp", lambda lib, t, s: t.lerp_(t.clone(), s)),
    "clamp": ("clamp", lambda lib, t, s: t.clamp_(min=s)),
}  # fmt: skip


@pytest.mark.parametrize("kind", [k for k in SHARED if "its first" not in k and "element" not in k and k != "an expanded target"])
@pytest.mark.parametrize("store", list(STORES))
def test_places_of_one_memory(store: str, kind: str) -> None:
    """PyTorch refuses even the target itself as the source of an indexed write; what it lets pass unseen is right here."""
    name, write = STORES[store]

    def call(lib: Any, base: Any, clone: Any) -> None:
        target, source = SHARED[kind](base)
        write(lib, target, clone(source))

    beside(name, max(ROWS[name].steps, 4), call, kind)


@pytest.mark.parametrize("store", ["everything", "a slice", "masked_fill", "addcmul", "lerp", "clamp"])
@pytest.mark.parametrize("kind", ["its first row", "its first column"])
def test_a_part_repeated_over_the_whole(store: str, kind: str) -> None:
    if (store, kind) != ("a slice", "its first row"):  # (no row of a row)
        test_places_of_one_memory(store, kind)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("index_put", "x[s > 0.5] = s[0, 0]"), ("index_put", "x[[0, 1, 2]] = s[[2, 1, 0]]"), ("copy_", "x.t()[:] = s"), ("copy_", "x[:, 1:] = s[:, :-1]"), ("copy_", "x[1] = s[2]"), ("copy_", "x[...] = s[0]"),
        ("copy_", "x[...] = s[:, :1]"), ("copy_", "x[None, 1:] = s[None, :-1]"), ("fill_", "x.fill_(s[0, 0])"), ("fill_", "x.index_fill_(0, i, s[3, 3])"), ("fill_", "x.index_fill_(0, i, s[0])"),
        ("masked_fill", "x.masked_fill_(s > 0.5, s[1, 1])"), ("scatter", "x.scatter_(0, i[None].expand(1, 3), s[3:4, :3])"), ("scatter", "i.scatter_(0, i, i.clone())"), ("scatter_add", "i.scatter_add_(0, i, i)"),
        ("index_put", "i[i] = 1"), ("index_put", "i[i] = i.clone()"), ("addmm", "x.addmm_(s, s)"), ("clamp", "x.clamp_(min=s[0])"), ("cumsum", "x.cumsum_(0)"), ("add", "x += s"), ("add", "x[:3] += s[3:]"), ("add", "x[:, 0] += s[:, 1]"),
        ("add", "x[:, 0] += s[0]"), ("fill_", "x[:1].expand(6, 6).zero_()"), ("fill_", "x[:1].expand(6, 6).fill_(1)"), ("index_put", "x[:1].expand(6, 6)[0, 0] = 1"), ("uniform_", "x[:1].expand(6, 6).uniform_()"),
        ("index_add", "x[:1].expand(6, 6).index_add_(0, i, s[:3])"), ("lerp", "x.lerp_(s.t(), 0.5)"), ("index_put", "x.index_copy_(0, i, s[:3, :1])"),
    ],
)  # fmt: skip
def test_writes_into_their_own_source(name: str, code: str) -> None:
    def call(lib: Any, base: Any, clone: Any) -> None:
        exec(code, {"x": base, "s": clone(base), "i": lib.tensor([0, 2, 1]), "lib": lib})

    beside(name, 4, call, code)


EXPANDED: dict[str, Any] = {
    "a row": lambda lib: lib.arange(3.0).expand(3, 3),
    "a column": lambda lib: lib.arange(3.0).reshape(3, 1).expand(3, 3),
    "a matrix": lambda lib: lib.arange(9.0).reshape(3, 3).expand(3, 3, 3),
    "a number": lambda lib: lib.tensor(1.0).expand(3, 3),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(EXPANDED))
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("masked_fill", "x.masked_fill_(m, 7.0)"), ("masked_fill", "x.masked_fill_(m[0], s[0, 0])"), ("masked_fill", "x[m.expand(x.shape)] = 7"), ("masked_fill", "x.t()[..., 0:2].masked_fill_(m[:, :2], 7) if x.dim() == 2 else x"),
        ("index_put", "x[i] = 7"), ("index_put", "x[..., i] = 7"), ("index_put", "x[i, 0] = 7"), ("index_put", "x[m] = s[0, 0]"), ("index_put", "x[i, i] = s[0, 0]"), ("index_put", "x[0, i] = s[0, :2]"), ("index_put", "x[..., i] = s[0, :2]"), ("index_put", "x[i] = s[0]"),
        ("index_put", "x.index_put_((i,), s[0, 0], accumulate=True)"), ("index_put", "x.index_put_((i, i), s[0, :2], accumulate=True)"), ("fill_", "x.index_fill_(0, i, 7)"), ("fill_", "x.fill_(7)"), ("fill_", "x.zero_()"), ("fill_", "x.fill_(s[0, 0])"), ("fill_", "x[0] = 7"),
        ("masked_scatter", "x.masked_scatter_(m, s)"), ("tril", "x.tril_()"), ("triu", "x.triu_(1)"), ("copy_", "x.copy_(s)"), ("copy_", "x.copy_(x)"), ("copy_", "x[..., 1:] = 7"), ("add", "x += 1"), ("add", "x += s"), ("relu", "x.relu_()"), ("clamp", "x.clamp_(1, 2)"), ("cumsum", "x.cumsum_(0)"), ("lerp", "x.lerp_(s, 0.5)"),
        ("index_add", "x.index_add_(0, i, x[:2].clone())"), ("index_put", "x.index_copy_(0, i, x[:2].clone())"), ("scatter", "x.scatter_(0, x.long(), 7)"), ("scatter_add", "x.scatter_add_(0, x.long().clamp_(0, 2), x.clone())"), ("addmm", "x.addmm_(s, s)"), ("uniform_", "x.uniform_()"),
    ],
)  # fmt: skip
def test_an_expanded_target(name: str, code: str, kind: str) -> None:
    """PyTorch refuses what reads or orders its writes, and warns or is silent where one value goes to many places."""
    found = []
    for lib in (torch, fastnn):
        x = EXPANDED[kind](lib)
        s, i = lib.arange(9.0).reshape(3, 3) - 2, lib.tensor([0, 2])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            error = outcome(lambda lib=lib, x=x, s=s, i=i: exec(code, {"lib": lib, "x": x, "s": s, "i": i, "m": s > 3}))[1]
        found.append((type(error), arr(x)))
    assert found[1][0] is found[0][0], f"{code} on {kind}: {found}"
    same(found[1][1], found[0][1], f"{code} on {kind}")
    proved(name, "overlap")


@pytest.mark.parametrize("code", ["v[i] = 2.0", "v[:, i] = u", "v.masked_fill_(v > 1, 2.0)", "v.triu_()"])
def test_an_expanded_target_on_the_tape_is_refused_when_it_is_written(code: str) -> None:
    """PyTorch lets the write pass, and no backward can go through it."""
    for lib in (torch, fastnn):
        y = lib.arange(3.0).requires_grad_(True) * 1
        with pytest.raises(RuntimeError, match="single memory location"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(code, {"v": y.expand(3, 3), "i": lib.tensor([0, 1]), "u": lib.ones(2)})
            y.sum().backward()
        assert lib is torch or arr(y).tolist() == [0, 1, 2]


def test_the_gradient_of_a_part_repeated_over_the_whole() -> None:
    found = []
    for lib in (torch, fastnn):
        w = lib.arange(12.0).reshape(3, 4).requires_grad_(True)
        x = w * 2
        x[...] = x[1]
        (x * lib.arange(12.0).reshape(3, 4)).sum().backward()
        found.append(arr(w.grad))
    assert np.array_equal(*found)


@pytest.mark.parametrize("key", [np.s_[::-1], np.s_[:, ::-1], np.s_[::-1, ::-2]])
def test_negative_strides_of_numpy_are_refused_and_flips_are_copies(key: Any) -> None:
    values = np.arange(30, dtype=np.float32).reshape(6, 5)
    for name in ("from_numpy", "as_tensor"):
        want, got = (outcome(lambda lib=lib, name=name: getattr(lib, name)(values[key]))[1] for lib in (torch, fastnn))
        assert type(got) is type(want), f"{name}: {got!r}, torch: {want!r}"
    proved("flip", "refused", 2)
    for dims in ((0,), (1,), (0, 1)):
        flipped = fastnn.from_numpy(values).flip(dims)
        assert np.array_equal(arr(flipped), np.flip(values, dims))
        assert np.array_equal(arr(flipped.exp()), np.flip(arr(fastnn.from_numpy(values).exp()), dims))
    proved("flip", "values", 6)
