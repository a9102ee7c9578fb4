"""The op table: one row per op, from which the generic proofs of test_ops.py, test_isa.py and test_threads.py are made.

A row says how the op is called (through either library), on which inputs, to which tolerance, and which wrong calls it must refuse.
Invariant: every name in csrc/ops/ops.def has a row here or in op_rows_more.py; sample inputs are NumPy arrays, the same on each run.
Does not: run anything. Read next: op_rows_more.py (indexing, products, layers, random), test_ops.py, reference.py (the oracles).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FLOATS = ("float32", "float64")
NUMBERS = (*FLOATS, "int64", "int32")
ALL = (*NUMBERS, "uint8", "bool")


@dataclass(frozen=True)
class Sample:
    """One call: float arrays are cast to the dtype under test and become differentiable tensors; integer and bool arrays keep theirs."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    grad: bool = True  # False: values only (kinks, special values)
    large: bool = False  # True: big enough to be split among threads; left out of finite differences


class Gen:
    """Reproducible inputs of one row."""

    def __init__(self, name: str) -> None:
        self.rs = np.random.RandomState(zlib.crc32(name.encode()))

    def f(self, *shape: int, lo: float = -2.0, hi: float = 2.0) -> np.ndarray:
        return np.asarray(self.rs.uniform(lo, hi, shape))

    def i(self, *shape: int, hi: int, lo: int = 0) -> np.ndarray:
        return np.asarray(self.rs.randint(lo, hi, shape), dtype=np.int64)

    def b(self, *shape: int) -> np.ndarray:
        return np.asarray(self.rs.uniform(size=shape) < 0.5)

    def distinct(self, *shape: int) -> np.ndarray:
        """Values without ties, at least 0.01 apart, so that max and sort have one answer and one gradient."""
        n = int(np.prod(shape))
        return (self.rs.permutation(n) * 0.01 - 0.005 * n + 0.003).reshape(shape)


Samples = Callable[[Gen], Iterator[Sample]]


@dataclass(frozen=True)
class Row:
    """See the module's docstring; tolerances are in rounding steps of the dtype, see support.close."""

    name: str
    call: Callable[..., Any]
    samples: Samples
    dtypes: tuple[str, ...] = FLOATS
    steps: float = 0  # allowed difference from torch; 0 is bit equality
    whole: bool = False  # steps are taken at the largest value of the result
    grad: bool = True  # the op is differentiable
    floor: float = 0  # the magnitude steps are taken at, at least: what cancels or saturates is as accurate as its terms are
    numeric: bool = True  # finite differences in float64 make sense
    grad_steps: float = 16  # the same for gradients, always at the largest value
    aliases: tuple[str, ...] = ()  # further names in ops.def that this row covers
    layout: bool = True  # the result is contiguous where torch's is (it decides the order of random fills)
    inplace: bool = False  # the op writes its first argument (the tests then give it a clone)
    errors: tuple[str, ...] = ()  # wrong calls, as expressions over the names of wrong_call_inputs
    oracle: str | None = ""  # name in reference.py, "" for the row's own, None for ops that only move data

    def cases(self) -> list[Sample]:
        return list(self.samples(Gen(self.name)))

    def run(self, lib: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.inplace:
            args = (args[0].clone(), *args[1:])
        return self.call(lib, *args, **kwargs)


ROWS: dict[str, Row] = {}


def row(name: str, call: Callable[..., Any], samples: Samples, **options: Any) -> None:
    assert name not in ROWS, name
    ROWS[name] = Row(name, call, samples, **options)


def function(name: str) -> Callable[..., Any]:
    """lib.name, else lib.nn.functional.name."""

    def call(lib: Any, *args: Any, **kwargs: Any) -> Any:
        home = lib if hasattr(lib, name) and name not in FUNCTIONAL else lib.nn.functional
        return getattr(home, name)(*args, **kwargs)

    return call


def method(name: str) -> Callable[..., Any]:
    return lambda lib, x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


FUNCTIONAL = {"logsigmoid", "gelu", "silu", "softplus", "leaky_relu", "elu", "embedding", "layer_norm", "rms_norm", "cross_entropy", "nll_loss", "dropout", "relu"}
SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (7,), (3, 5), (0, 3), (2, 3, 4), (1, 33))
LARGE = (67, 1031)
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 1e-30, 88.8, -104.0, 1e4, -1e4, 1e30, -1e30, 3.4e38, 0.5, -0.5, 1.0, -1.0])


# --- unary -------------------------------------------------------------------------------------------------------------------------------


def unary(name: str, lo: float = -3.0, hi: float = 3.0, special: bool = True, extra: tuple[Sample, ...] = (), **options: Any) -> None:
    def samples(g: Gen) -> Iterator[Sample]:
        for shape in SHAPES:
            yield Sample((g.f(*shape, lo=lo, hi=hi),))
        if special:
            yield Sample((SPECIAL,), grad=False)
        yield from extra
        yield Sample((g.f(*LARGE, lo=lo, hi=hi),), large=True)

    row(name, function(name), samples, **options)


unary("neg", dtypes=NUMBERS, errors=("torch.neg(mask)", "-mask"))
unary("abs", dtypes=NUMBERS, errors=("torch.abs(mask)", "torch.abs(3.0)"))
unary("sign", dtypes=NUMBERS)
unary("square", dtypes=NUMBERS)
unary("exp", steps=4, lo=-20, hi=20, errors=("torch.exp()", "torch.exp('a')", "torch.exp(1.0)"))
unary("exp2", steps=4)
unary("expm1", steps=6)
unary("log", steps=4, lo=0.01, hi=30, errors=("torch.log([1.0])",))
unary("log2", steps=4, lo=0.01, hi=30)
unary("log10", steps=4, lo=0.01, hi=30)
unary("log1p", steps=5, lo=-0.9, hi=9)
unary("sqrt", steps=1, lo=0.01, hi=9, errors=("torch.sqrt(None)",))
unary("rsqrt", steps=2, lo=0.01, hi=9)
unary("reciprocal", steps=1, lo=0.2, hi=4)
unary("sin", steps=4, lo=-12, hi=12, special=False)
unary("cos", steps=4, lo=-12, hi=12, special=False)
unary("tan", steps=8, lo=-1.4, hi=1.4, special=False)
unary("asin", steps=6, lo=-0.95, hi=0.95)
unary("acos", steps=6, lo=-0.95, hi=0.95)
unary("atan", steps=6)
unary("sinh", steps=8, special=False)
unary("cosh", steps=8, special=False)
unary("tanh", floor=1, steps=6, lo=-6, hi=6, errors=("torch.tanh(None)", "torch.tanh(x, 1, 2)"))
unary("sigmoid", floor=1, steps=6, lo=-9, hi=9)
unary("erf", floor=1, steps=6, lo=-4, hi=4)
unary("erfc", steps=16, lo=-3, hi=4)
unary("lgamma", whole=True, floor=1, steps=24, lo=0.2, hi=9, special=False)
unary("digamma", whole=True, floor=1, steps=24, grad_steps=3e6, lo=0.2, hi=12, special=False)  # torch's trigamma is right to 5e-10 only: finite differences prove ours
unary("logsigmoid", layout=False, steps=8, lo=-9, hi=9)
unary("erfinv", steps=24, lo=-0.95, hi=0.95, special=False)
unary("floor", dtypes=NUMBERS)
unary("ceil", dtypes=NUMBERS)
unary("round", dtypes=NUMBERS, extra=(Sample((np.array([0.5, 1.5, 2.5, -0.5, -1.5]),), grad=False),))
unary("trunc", dtypes=NUMBERS)
unary("relu", steps=1, dtypes=NUMBERS, errors=("F.relu(3)", "torch.relu(None)"))
unary("isnan", dtypes=NUMBERS, grad=False)
unary("isinf", dtypes=NUMBERS, grad=False)
unary("isfinite", dtypes=NUMBERS, grad=False)
unary("silu", steps=8, special=False, lo=-8, hi=8)
unary("logical_not", dtypes=ALL, grad=False)


def _gelu(g: Gen) -> Iterator[Sample]:
    for approximate in ("none", "tanh"):
        for shape in ((), (0,), (7,), (3, 5)):
            yield Sample((g.f(*shape, lo=-4, hi=4),), {"approximate": approximate})
        yield Sample((g.f(*LARGE, lo=-6, hi=6),), {"approximate": approximate}, large=True)


# PyTorch computes gelu's tail as a difference of near-equal numbers (2e-9 off at -3.6, ours 1e-10): bounded at the largest value, at least 1,
# and by the sign test of test_ops.py
row("gelu", function("gelu"), _gelu, steps=8, whole=True, floor=1, errors=("F.gelu(x, approximate='x')", "F.gelu(idx)", "F.gelu(2.0)"))


def with_options(*options: dict[str, Any], lo: float = -3, hi: float = 3) -> Samples:
    def samples(g: Gen) -> Iterator[Sample]:
        for o in options:
            for shape in ((), (0,), (7,), (3, 5)):
                yield Sample((g.f(*shape, lo=lo, hi=hi),), o)
            yield Sample((g.f(*LARGE, lo=lo, hi=hi),), o, large=True)

    return samples


row("softplus", function("softplus"), with_options({}, {"beta": 2.0}, {"threshold": 1.0}), steps=12)
row("leaky_relu", function("leaky_relu"), with_options({}, {"negative_slope": 0.2}), steps=1)
row("elu", function("elu"), with_options({}, {"alpha": 0.5}), steps=6)
row("clamp", function("clamp"), with_options({"min": -1.0}, {"max": 0.7}, {"min": -0.5, "max": 1.5}), errors=("torch.clamp(x)", "torch.clamp(x, 'a')", "x.clamp()"))


# --- binary ------------------------------------------------------------------------------------------------------------------------------

BROADCAST: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((), ()), ((3,), ()), ((0,), (0,)), ((1,), (1,)), ((7,), (7,)), ((3, 5), (5,)), ((3, 1), (1, 5)), ((2, 3, 4), (3, 1)), ((0, 3), (3,)), ((4,), (2, 1, 4)),
)  # fmt: skip


def binary(
    name: str,
    scalars: tuple[Any, ...] = (2, 0.5),
    options: tuple[dict[str, Any], ...] = ({},),
    left: tuple[float, float] = (-3, 3),
    right: tuple[float, float] = (-3, 3),
    **row_options: Any,
) -> None:
    def samples(g: Gen) -> Iterator[Sample]:
        for o in options:
            for a, b in BROADCAST:
                yield Sample((g.f(*a, lo=left[0], hi=left[1]), g.f(*b, lo=right[0], hi=right[1])), o)
            for s in scalars:
                yield Sample((g.f(3, 5, lo=left[0], hi=left[1]), s), o)
            yield Sample((g.f(*LARGE, lo=left[0], hi=left[1]), g.f(*LARGE, lo=right[0], hi=right[1])), o, large=True)
            yield Sample((g.f(*LARGE, lo=left[0], hi=left[1]), g.f(LARGE[1], lo=right[0], hi=right[1])), o, large=True)

    row(name, function(name), samples, **row_options)


_SHAPES = "torch.{0}(x, y5)"
binary("add", options=({}, {"alpha": 2}), dtypes=NUMBERS, steps=1, whole=True, errors=("torch.add(x, y5)", "x + y5", "torch.add(x)", "x + 'a'", "x + None", "x.add_(y5)", "idx.add_(0.5)", "torch.add(idx, idx, alpha=0.5)"))
binary("sub", options=({}, {"alpha": 3}), dtypes=NUMBERS, steps=1, whole=True, errors=("x - y5", "mask - mask", "x - [1]"))
binary("mul", dtypes=NUMBERS, errors=("x * y5", "x * 'a'", "x.mul_(torch.ones(2, 3, 4))"))
binary("div", options=({}, {"rounding_mode": "trunc"}, {"rounding_mode": "floor"}), right=(0.7, 3), steps=0, grad_steps=16, errors=("x / y5", "idx.div_(2)", "torch.div(x, x, rounding_mode='up')"))
binary("floor_divide", right=(1.1, 3), dtypes=NUMBERS, grad=False, errors=("x // y5", "idx // 0"))
binary("remainder", right=(1.1, 3), dtypes=NUMBERS, steps=2, whole=True, errors=("x % y5", "idx % 0"))
binary("fmod", right=(1.1, 3), dtypes=NUMBERS, steps=2, whole=True, errors=("torch.fmod(x, y5)", "torch.fmod(idx, 0)"))
binary("atan2", scalars=(), steps=8, errors=("torch.atan2(x, y5)",))
binary("maximum", scalars=(), dtypes=NUMBERS, errors=("torch.maximum(x, y5)", "torch.maximum(x, 2.0)"))
binary("minimum", scalars=(), dtypes=NUMBERS, errors=("torch.minimum(x, y5)", "torch.minimum(x, 2.0)"))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    binary(_name, dtypes=ALL, grad=False, errors=(f"torch.{_name}(x, y5)", f"torch.{_name}(x)"))
for _name in ("logical_and", "logical_or", "logical_xor"):
    binary(_name, scalars=(), dtypes=ALL, grad=False, errors=(f"torch.{_name}(x, y5)",))


def _ints(g: Gen) -> Iterator[Sample]:
    for a, b in BROADCAST:
        yield Sample((g.i(*a, hi=200), g.i(*b, hi=200)))
        yield Sample((g.b(*a), g.b(*b)))
    yield Sample((g.i(3, 5, hi=99), 6))


for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    row(_name, function(_name), _ints, dtypes=("float32",), grad=False, errors=(f"torch.{_name}(x, x)", f"torch.{_name}(idx, y5 > 0)"))
for _name, _shift in (("lshift", "__lshift__"), ("rshift", "__rshift__")):
    row(_name, method(_shift), lambda g: iter([Sample((g.i(3, 5, hi=50), g.i(5, hi=7))), Sample((g.i(7, lo=-50, hi=50), 2))]), dtypes=("float32",), grad=False, oracle=None, errors=("x << mask",) if _name == "lshift" else ("x >> mask",))
row("bitwise_not", function("bitwise_not"), lambda g: iter([Sample((g.i(3, 5, hi=99),)), Sample((g.b(7),))]), dtypes=("float32",), grad=False, errors=("~x",))


def _pow(g: Gen) -> Iterator[Sample]:
    for a, b in BROADCAST:
        yield Sample((g.f(*a, lo=0.3, hi=3), g.f(*b, lo=-2, hi=2)))
    for s in (0, 1, 2, 3, -1, 0.5, -0.5, 2.5, 3.0, -2):
        yield Sample((g.f(3, 5, lo=0.3, hi=3), s))
    yield Sample((2.0, g.f(3, 5)))
    yield Sample((10, g.f(4)))
    yield Sample((g.f(*LARGE, lo=0.3, hi=3), 3.0), large=True)
    yield Sample((g.f(*LARGE, lo=0.3, hi=3), g.f(LARGE[1])), large=True)


row("pow", function("pow"), _pow, layout=False, steps=8, errors=("x ** y5", "x ** 'a'", "idx ** -1", "torch.pow(2, 3)"))

# --- three operands ----------------------------------------------------------------------------------------------------------------------


def _where(g: Gen) -> Iterator[Sample]:
    yield Sample((g.b(3, 5), g.f(3, 5), g.f(3, 5)))
    yield Sample((g.b(3, 1), g.f(5), g.f(2, 3, 1)))
    yield Sample((g.b(0, 3), g.f(3), g.f(0, 3)))
    yield Sample((g.b(4), g.f(4), 0.0))
    yield Sample((g.b(4), 1.5, g.f(4)))
    yield Sample((g.b(*LARGE), g.f(*LARGE), g.f(*LARGE)), large=True)


row("where", function("where"), _where, layout=False, errors=("torch.where(mask, x, y5)", "torch.where(x, x, x)", "torch.where(idx, x, x)", "torch.where(mask, x)"))
row("masked_fill", method("masked_fill"), lambda g: iter([Sample((g.f(3, 5), g.b(3, 5), -np.inf), grad=False), Sample((g.f(2, 3, 5), g.b(3, 5), 2)), Sample((g.f(3, 5), g.b(3, 1), 0.5)), Sample((g.f(0, 3), g.b(3), 1.0)), Sample((g.f(*LARGE), g.b(*LARGE), 0.0), large=True)]), dtypes=NUMBERS[:1] + ("float64",), aliases=("masked_fill_",), errors=("x.masked_fill(idx, 0.0)", "x.masked_fill(y5 > 0, 0.0)", "x.masked_fill(mask, torch.ones(2))", "x.masked_fill_(x, 1.0)"))
row("lerp", function("lerp"), lambda g: iter([Sample((g.f(3, 5), g.f(3, 5), 0.3)), Sample((g.f(3, 5), g.f(5), 0.8)), Sample((g.f(3, 5), g.f(3, 5), g.f(3, 5, lo=0, hi=1))), Sample((g.f(*LARGE), g.f(*LARGE), 0.9), large=True)]), steps=4, whole=True, errors=("torch.lerp(x, y5, 0.5)", "torch.lerp(x, x.double(), 0.5)"))
for _name in ("addcmul", "addcdiv"):
    row(_name, function(_name), lambda g: iter([Sample((g.f(3, 5), g.f(3, 5), g.f(3, 5, lo=1, hi=2))), Sample((g.f(3, 5), g.f(5), g.f(3, 1, lo=1, hi=2)), {"value": 0.3}), Sample((g.f(*LARGE), g.f(*LARGE), g.f(*LARGE, lo=1, hi=2)), {"value": -2.0}, large=True)]), steps=4, whole=True, errors=(f"torch.{_name}(x, x, y5)",))

# --- moving data -------------------------------------------------------------------------------------------------------------------------

row("clone", method("clone"), lambda g: (Sample((g.f(*s),)) for s in (*SHAPES, LARGE)), dtypes=ALL, oracle=None)
row("contiguous", method("contiguous"), lambda g: (Sample((g.f(*s),)) for s in SHAPES), dtypes=ALL, oracle=None)
row("to", lambda lib, x, d: x.to(getattr(lib, d)), lambda g: (Sample((g.f(3, 5, lo=0, hi=9), d), grad=d.startswith("float")) for d in ALL), dtypes=ALL, oracle=None, aliases=("_to_copy", "cast"), numeric=False, errors=("x.to('nodtype')", "x.float(1, 2, 3)"))
row("copy_", method("copy_"), lambda g: iter([Sample((g.f(3, 5), g.f(3, 5))), Sample((g.f(3, 5), g.f(5))), Sample((g.f(0), g.f(0))), Sample((g.f(*LARGE), g.f(*LARGE)), large=True)]), dtypes=ALL, inplace=True, oracle=None, errors=("x.copy_(y5)", "x.copy_('a')", "y5.copy_(x)"))
row("fill_", method("fill_"), lambda g: iter([Sample((g.f(3, 5), 2)), Sample((g.f(0), 1.5)), Sample((g.f(), 0))]), dtypes=ALL, inplace=True, oracle=None, aliases=("zero_",), errors=("x.fill_('a')", "x.fill_(y5)"))

# --- reductions --------------------------------------------------------------------------------------------------------------------------

REDUCE: tuple[dict[str, Any], ...] = ({}, {"dim": 0}, {"dim": -1, "keepdim": True}, {"dim": 1})
MANY: tuple[dict[str, Any], ...] = (*REDUCE, {"dim": (0, 1)}, {"dim": (0, 2), "keepdim": True}, {"dim": (-1,)})


def reduction(name: str, options: tuple[dict[str, Any], ...] = MANY, empty: bool = True, lo: float = -1, hi: float = 3, distinct: bool = False, **row_options: Any) -> None:
    def samples(g: Gen) -> Iterator[Sample]:
        make = (lambda *s: g.distinct(*s)) if distinct else (lambda *s: g.f(*s, lo=lo, hi=hi))
        for o in options:
            yield Sample((make(3, 5, 4),), o)
            yield Sample((make(1, 1, 1),), o)
            if empty:
                yield Sample((make(0, 3, 2),), o)
        yield Sample((make(7),))
        yield Sample((make(),))
        for o in REDUCE:
            yield Sample((make(*LARGE),), o, large=True)

    row(name, function(name), samples, **row_options)


_AXES = ("torch.{0}(x, dim=2)", "torch.{0}(x, dim=-3)", "torch.{0}(x, dim='a')")
BAD_DIM = {n: tuple(a.format(n) for a in _AXES) for n in ("sum", "mean", "prod", "max", "min", "amax", "amin", "argmax", "argmin", "all", "any", "var", "std", "logsumexp", "cumsum", "softmax", "log_softmax", "sort", "argsort")}
reduction("sum", steps=16, whole=True, errors=(*BAD_DIM["sum"], "x.sum((0, 0))", "torch.sum('a')"))
reduction("mean", steps=16, whole=True, errors=(*BAD_DIM["mean"], "idx.mean()", "mask.mean()"))
reduction("prod", REDUCE, lo=0.985, hi=1.015, steps=64, whole=True, grad_steps=512, errors=BAD_DIM["prod"])
reduction("var", (*MANY, {"dim": 0, "unbiased": False}, {"dim": 1, "correction": 2}), empty=False, floor=1, steps=64, whole=True, grad_steps=64, errors=(*BAD_DIM["var"], "idx.var()"))
reduction("std", (*MANY, {"dim": 0, "unbiased": False}), empty=False, floor=1, steps=64, whole=True, grad_steps=64, errors=(*BAD_DIM["std"], "idx.std()"))
reduction("logsumexp", ({"dim": 0}, {"dim": -1, "keepdim": True}, {"dim": (0, 1)}), empty=False, steps=16, whole=True, errors=BAD_DIM["logsumexp"])
ROWS["logsumexp"] = Row("logsumexp", function("logsumexp"), lambda g: (Sample((g.f(*s),), {"dim": d, "keepdim": k}, large=s == LARGE) for s in ((3, 5), (1, 4), LARGE) for d, k in ((0, False), (1, True), ((0, 1), False))), steps=16, whole=True, errors=BAD_DIM["logsumexp"])
for _name in ("amax", "amin"):
    reduction(_name, empty=False, distinct=True, dtypes=NUMBERS[:2], errors=(*BAD_DIM[_name], f"torch.{_name}(torch.zeros(0))"))
for _name in ("max", "min"):
    reduction(_name, REDUCE, empty=False, distinct=True, aliases=(f"{_name}_dim",), errors=(*BAD_DIM[_name], f"torch.{_name}(torch.zeros(0))", f"torch.{_name}(x, y5)"))
for _name in ("argmax", "argmin"):
    reduction(_name, REDUCE, empty=False, distinct=True, grad=False, errors=(*BAD_DIM[_name], f"torch.{_name}(torch.zeros(0))"))
for _name in ("all", "any"):
    row(_name, function(_name), lambda g: (Sample((g.f(*s) > -1.9,), o) for s in ((3, 5, 4), (1, 1, 1), (0, 3, 2)) for o in REDUCE), dtypes=("float32",), grad=False, errors=BAD_DIM[_name])
row("cumsum", function("cumsum"), lambda g: (Sample((g.f(*s, lo=-1, hi=3),), {"dim": d}, large=s == LARGE) for s in ((3, 5), (1, 1), (0, 4), LARGE) for d in (0, 1, -1)), dtypes=NUMBERS, steps=32, whole=True, grad_steps=64, errors=(*BAD_DIM["cumsum"], "torch.cumsum(x)"))
row("cumprod", function("cumprod"), lambda g: iter([*(Sample((g.f(*s, lo=0.6, hi=1.4),), {"dim": d}, large=s == LARGE) for s in ((3, 5), (1, 1), (0, 4), LARGE) for d in (0, 1, -1)), Sample((np.array([[1.5, 0.0, 2.0, 3.0], [0.0, 2.0, 0.0, 1.0]]), 1)), Sample((g.f(),), {"dim": 0})]), dtypes=NUMBERS, steps=64, whole=True, grad_steps=256, errors=("torch.cumprod(x, 2)", "torch.cumprod(x)"))


def _norm(g: Gen) -> Iterator[Sample]:
    for o in ({}, {"p": 2, "dim": 1}, {"p": 1}, {"p": 3.0, "dim": 0, "keepdim": True}, {"p": float("inf")}, {"p": "fro"}):
        yield Sample((g.distinct(5, 7),), o)
    yield Sample((g.f(*LARGE),), large=True)


row("norm", function("norm"), _norm, steps=16, whole=True, aliases=("linalg_vector_norm", "vector_norm"), errors=("torch.norm(idx)", "torch.norm(x, dim=4)", "x.norm('a')"))

# --- views -------------------------------------------------------------------------------------------------------------------------------


def view(name: str, *calls: tuple[tuple[int, ...], tuple[Any, ...]], errors: tuple[str, ...] = (), **row_options: Any) -> None:
    row(name, method(name), lambda g: (Sample((g.f(*shape), *args)) for shape, args in calls), dtypes=ALL, errors=errors, oracle=None, grad_steps=0, **row_options)


view("reshape", ((2, 6), (3, 4)), ((2, 6), (-1,)), ((0, 3), (3, 0)), ((), (1, 1)), ((2, 3, 4), ((6, -1),)), errors=("x.reshape(5, 5)", "x.reshape(-1, -1)", "x.reshape(-1, 5)", "x.reshape('a')", "torch.reshape(x, 12)"))
view("transpose", ((2, 3), (0, 1)), ((2, 3, 4), (-1, -2)), ((2, 3, 4), (0, 2)), errors=("x.transpose(0, 2)", "x.transpose(0)", "x.transpose(-3, 0)"))
view("permute", ((2, 3, 4), (2, 0, 1)), ((2, 3, 4), ((0, -1, 1),)), ((), ((),)), errors=("x.permute(0, 0)", "x.permute(0)", "x.permute(0, 2)"))
view("squeeze", ((1, 3, 1), ()), ((1, 3, 1), (0,)), ((1, 3, 1), (1,)), ((1, 3, 1), (-1,)), ((1, 3, 1), ((0, 2),)), errors=("x.squeeze(2)", "x.squeeze(-3)"))
view("unsqueeze", ((3, 4), (0,)), ((3, 4), (-1,)), ((), (0,)), errors=("x.unsqueeze(3)", "x.unsqueeze(-4)", "x.unsqueeze()"))
view("select", ((3, 4), (0, 1)), ((3, 4), (1, -1)), ((2, 3, 4), (-1, 2)), errors=("x.select(0, 3)", "x.select(2, 0)", "x.select(0, -4)"))
view("narrow", ((3, 8), (1, 2, 5)), ((3, 8), (0, 1, 0)), errors=("x.narrow(0, 2, 2)", "x.narrow(0, 0, -1)"))
view("split", ((3, 8), (3, 1)), ((3, 8), ((1, 2, 5), 1)), ((7,), (7,)), errors=("x.split(0)", "x.split((1, 1))", "x.split(-1)", "x.split(1, 2)"))
view("chunk", ((3, 8), (3, 1)), ((7,), (4,)), ((2, 2), (5, 0)), errors=("x.chunk(0)", "x.chunk(2, 2)"))
view("unbind", ((3, 4), ()), ((3, 4), (1,)), errors=("x.unbind(2)", "torch.tensor(1.0).unbind()"))
view("flatten", ((2, 3, 4), ()), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 1)), ((), ()), ((0, 3), ()), errors=("x.flatten(2)", "x.flatten(1, 0)"))
view("unflatten", ((6, 4), (0, (2, 3))), ((6, 4), (1, (2, -1))), errors=("x.unflatten(0, (2, 2))", "x.unflatten(2, (1, 1))"))
view("diagonal", ((4, 5), ()), ((4, 5), (1,)), ((2, 4, 5), (-1, 1, 2)), errors=("y5.diagonal()", "x.diagonal(0, 1, 1)"))
view("movedim", ((2, 3, 4), (0, 2)), ((2, 3, 4), ((0, 1), (1, 0))), errors=("x.movedim(0, 2)",))
row("unfold", method("unfold"), lambda g: iter([Sample((g.f(8), 0, 3, 2)), Sample((g.f(3, 6), 1, 2, 1))]), oracle=None, errors=("x.unfold(0, 9, 1)", "x.unfold(0, 1, 0)"))
row("alias", method("detach"), lambda g: iter([Sample((g.f(3, 4),)), Sample((g.f(0),))]), dtypes=ALL, grad=False, oracle=None, aliases=("view_as", "detach"))
view("t", ((2, 3), ()), ((3,), ()), errors=("torch.zeros(2, 2, 2).t()",))
row("expand", method("expand"), lambda g: iter([Sample((g.f(3, 1), 3, 4)), Sample((g.f(1, 4), (2, 3, 4))), Sample((g.f(3, 1), -1, 2)), Sample((g.f(), 2, 2)), Sample((g.f(1), 0))]), dtypes=ALL, oracle=None, errors=("x.expand(4, 4)", "x.expand(2)", "x.expand(-1, 2, 3, 4)", "x.expand(-2, 4)"))
row("view", lambda lib, x, *shape: x.contiguous().view(*shape), lambda g: iter([Sample((g.f(2, 6), 3, 4)), Sample((g.f(2, 6), -1)), Sample((g.f(4, 3), (2, 2, 3))), Sample((g.f(0, 3), 3, 0)), Sample((g.f(), 1))]), dtypes=ALL, oracle=None, grad_steps=0, errors=("x.t().view(12)", "x.view(5)", "x.view(-1, -1)", "x.view(-1, 5)", "torch.zeros(0).view(-1, 0)", "x.view()", "x[:, 1:].view(-1)"))
row("slice", lambda lib, x, d, s: x[(slice(None),) * d + (slice(*s),)], lambda g: (Sample((g.f(5, 8), d, s)) for d in (0, 1) for s in ((1, 3, 1), (0, 99, 2), (-3, -1, 1), (4, 2, 1), (None, None, 3))), dtypes=ALL, oracle=None, grad_steps=0, errors=("x[::-1]", "x[::0]", "x['a':]", "x[0.5:]"))
row("as_strided", lambda lib, x, *a: x.clone().as_strided(*a), lambda g: iter([Sample((g.f(12), (3, 4), (4, 1))), Sample((g.f(12), (3, 2), (1, 5), 1)), Sample((g.f(12), (5, 4), (2, 1)))]), dtypes=FLOATS, oracle=None, errors=("x.as_strided((3, 4), (9, 9))", "x.as_strided((2,), (1, 1))", "x.as_strided((2,), (-1,))"))
row("flip", method("flip"), lambda g: iter([Sample((g.f(3, 4), 0)), Sample((g.f(3, 4), (0, 1))), Sample((g.f(0, 4), 1)), Sample((g.f(2, 3, 4), -1))]), dtypes=ALL, oracle=None, grad_steps=0, errors=("x.flip(2)", "x.flip((0, 0))", "x.flip('a')"))
row("roll", function("roll"), lambda g: iter([Sample((g.f(3, 4), 1, 1)), Sample((g.f(3, 4), -5)), Sample((g.f(3, 4), (1, 2), (0, 1))), Sample((g.f(0, 4), 1, 0)), Sample((g.f(*LARGE), 1, 1), large=True)]), dtypes=ALL, oracle=None, grad_steps=0, errors=("torch.roll(x, 1, 2)", "torch.roll(x, (1, 2), 0)", "torch.roll(x)"))
for _name in ("tril", "triu"):
    row(_name, function(_name), lambda g: (Sample((g.f(*s),), {"diagonal": d}) for s in ((4, 4), (3, 5), (2, 5, 3), (0, 3)) for d in (0, 1, -2)), dtypes=ALL, oracle=None, grad_steps=0, errors=(f"torch.{_name}(y5)", f"torch.{_name}(x, 'a')"))
row("cat", function("cat"), lambda g: iter([Sample(([g.f(3, 4), g.f(2, 4)],)), Sample(([g.f(3, 4), g.f(3, 1), g.f(3, 0)], 1)), Sample(([g.f(3, 4)], -1)), Sample(([g.f(2, 3, 4), g.f(2, 5, 4)],), {"dim": 1}), Sample(([g.f(0), g.f(3, 4)],)), Sample(([g.f(*LARGE), g.f(*LARGE)], 1), large=True)]), dtypes=ALL, oracle=None, grad_steps=0, errors=("torch.cat([x, y5])", "torch.cat([])", "torch.cat([x, x], 2)", "torch.cat(x)", "torch.cat([x, 1])", "torch.cat([x, torch.ones(3, 3)], 0)"))
row("stack", function("stack"), lambda g: iter([Sample(([g.f(3, 4), g.f(3, 4)],)), Sample(([g.f(3, 4)] * 3, 1)), Sample(([g.f(), g.f()],)), Sample(([g.f(2, 3), g.f(2, 3)], -1))]), dtypes=ALL, oracle=None, grad_steps=16, errors=("torch.stack([x, y5])", "torch.stack([])", "torch.stack([x, x], 3)", "torch.stack([1, 2])"))
row("repeat", method("repeat"), lambda g: iter([Sample((g.f(3), 2)), Sample((g.f(3, 1), 2, 3)), Sample((g.f(2), (2, 2, 1))), Sample((g.f(2, 2), 0, 1))]), dtypes=ALL, oracle=None, errors=("x.repeat(2)", "x.repeat(-1, 1)"))

import op_rows_more  # noqa: E402, F401  (registers the remaining rows)
