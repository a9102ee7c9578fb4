"""Rows of the op table: elementwise ops of one, two and three operands.

Invariant and limits: as in op_table.py, which registers these rows at its end. Read next: op_rows_shape.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from op_table import (
    ALL,
    FLOATS,
    FUNCTIONAL,
    INTS,
    LARGE,
    NO_BOOL,
    SHAPES,
    SPECIAL,
    Gen,
    Sample,
    Samples,
    function,
    method,
    row,
)

# --- unary -------------------------------------------------------------------------------------------------------------------------------


def unary(name: str, lo: float = -3.0, hi: float = 3.0, special: bool = True, extra: tuple[Sample, ...] = (), **options: Any) -> None:
    def samples(g: Gen) -> Iterator[Sample]:
        for shape in SHAPES:
            yield Sample((g.f(*shape, lo=lo, hi=hi),))
        if special:
            yield Sample((SPECIAL,), grad=False)
        yield from extra
        yield Sample((g.f(*LARGE, lo=lo, hi=hi),), large=True)

    home = "F" if name in FUNCTIONAL else "torch"
    errors = (*options.pop("errors", ()), f"{home}.{name}('a')", f"{home}.{name}()", f"{home}.{name}(x, x, x, x)")
    row(name, function(name), samples, errors=errors, **{"dtypes": ALL, **options})


unary("neg", dtypes=NO_BOOL, errors=("torch.neg(mask)", "-mask"))
unary("abs", dtypes=NO_BOOL, errors=("torch.abs(mask)", "torch.abs(3.0)"))
unary("sign")
unary("square")
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
unary("tan", steps=4, lo=-1.4, hi=1.4, special=False)
unary("asin", steps=6, lo=-0.95, hi=0.95)
unary("acos", steps=6, lo=-0.95, hi=0.95)
unary("atan", steps=4)
unary("sinh", steps=4, special=False)
unary("cosh", steps=4, special=False)
unary("tanh", floor=1, steps=6, lo=-6, hi=6, errors=("torch.tanh(None)", "torch.tanh(x, 1, 2)"))
unary("sigmoid", floor=1, steps=6, lo=-9, hi=9)
unary("erf", floor=1, steps=6, lo=-4, hi=4)
unary("erfc", steps=16, lo=-3, hi=4)
unary("lgamma", whole=True, floor=1, steps=6, lo=0.2, hi=9, special=False)
unary("digamma", whole=True, floor=1, steps=8, grad_steps=3e6, lo=0.2, hi=12, special=False)  # torch's trigamma is right to 5e-10 only: finite differences prove ours
unary("logsigmoid", dtypes=FLOATS, steps=8, lo=-9, hi=9)
unary("erfinv", steps=4, lo=-0.95, hi=0.95, special=False)
unary("floor", dtypes=NO_BOOL)
unary("ceil", dtypes=NO_BOOL)
unary("round", dtypes=NO_BOOL, extra=(Sample((np.array([0.5, 1.5, 2.5, -0.5, -1.5]),), grad=False),))
unary("trunc", dtypes=NO_BOOL)
unary("relu", steps=1, dtypes=NO_BOOL, errors=("F.relu(3)", "torch.relu(None)"))
unary("isnan", grad=False)
unary("isinf", grad=False)
unary("isfinite", grad=False)
unary("silu", dtypes=FLOATS, steps=8, special=False, lo=-8, hi=8)
unary("logical_not", grad=False)


def _gelu(g: Gen) -> Iterator[Sample]:
    for approximate in ("none", "tanh"):
        for shape in ((), (0,), (1,), (7,), (3, 5)):
            yield Sample((g.f(*shape, lo=-4, hi=4),), {"approximate": approximate})
        yield Sample((g.f(*LARGE, lo=-6, hi=6),), {"approximate": approximate}, large=True)


# PyTorch computes gelu's tail as a difference of near-equal numbers (2e-9 off at -3.6, ours 1e-10): bounded at the largest value, at least 1,
# and by the sign test of test_ops.py
row("gelu", function("gelu"), _gelu, steps=8, whole=True, floor=1, route_steps=32, errors=("F.gelu(x, approximate='x')", "F.gelu(idx)", "F.gelu(2.0)"))


def with_options(*options: dict[str, Any], lo: float = -3, hi: float = 3) -> Samples:
    def samples(g: Gen) -> Iterator[Sample]:
        for o in options:
            for shape in ((), (0,), (1,), (7,), (3, 5)):
                yield Sample((g.f(*shape, lo=lo, hi=hi),), o)
            yield Sample((g.f(*LARGE, lo=lo, hi=hi),), o, large=True)

    return samples


row("softplus", function("softplus"), with_options({}, {"beta": 2.0}, {"threshold": 1.0}), steps=6, errors=("F.softplus('a')", "F.softplus(x, 'a')", "F.softplus(idx)"))
row("leaky_relu", function("leaky_relu"), with_options({}, {"negative_slope": 0.2}), errors=("F.leaky_relu('a')", "F.leaky_relu(x, 'a')", "F.leaky_relu(idx)"))
row("elu", function("elu"), with_options({}, {"alpha": 0.5}), steps=4, errors=("F.elu('a')", "F.elu(x, 'a')", "F.elu(idx)"))
row("clamp", function("clamp"), with_options({"min": -1.0}, {"max": 0.7}, {"min": -0.5, "max": 1.5}), dtypes=ALL, errors=("torch.clamp(x)", "torch.clamp(x, 'a')", "x.clamp()"))


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


binary("add", options=({}, {"alpha": 2}), dtypes=ALL, steps=1, whole=True, errors=("torch.add(x, y5)", "x + y5", "torch.add(x)", "x + 'a'", "x + None", "x.add_(y5)", "idx.add_(0.5)", "torch.add(idx, idx, alpha=0.5)"))
binary("sub", options=({}, {"alpha": 3}), dtypes=NO_BOOL, steps=1, whole=True, errors=("x - y5", "mask - mask", "x - [1]"))
binary("mul", dtypes=ALL, errors=("x * y5", "x * 'a'", "x.mul_(torch.ones(2, 3, 4))"))
binary("div", dtypes=ALL, options=({}, {"rounding_mode": "trunc"}, {"rounding_mode": "floor"}), right=(0.7, 3), steps=0, grad_steps=16, errors=("x / y5", "idx.div_(2)", "torch.div(x, x, rounding_mode='up')"))
binary("floor_divide", right=(1.1, 3), dtypes=ALL, grad=False, errors=("x // y5", "idx // 0"))
binary("remainder", right=(1.1, 3), dtypes=ALL, steps=2, whole=True, errors=("x % y5", "idx % 0"))
binary("fmod", right=(1.1, 3), dtypes=ALL, steps=2, whole=True, errors=("torch.fmod(x, y5)", "torch.fmod(idx, 0)"))
binary("atan2", scalars=(), dtypes=ALL, steps=4, errors=("torch.atan2(x, y5)",))
binary("maximum", scalars=(), dtypes=ALL, errors=("torch.maximum(x, y5)", "torch.maximum(x, 2.0)"))
binary("minimum", scalars=(), dtypes=ALL, errors=("torch.minimum(x, y5)", "torch.minimum(x, 2.0)"))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    binary(_name, dtypes=ALL, grad=False, errors=(f"torch.{_name}(x, y5)", f"torch.{_name}(x)"))
for _name in ("logical_and", "logical_or", "logical_xor"):
    binary(_name, scalars=(), dtypes=ALL, grad=False, errors=(f"torch.{_name}(x, y5)",))


def _whole(scalars: tuple[int, ...], lo: float, hi: float) -> Samples:
    """Operands that are cast to integers and bool."""

    def samples(g: Gen) -> Iterator[Sample]:
        for a, b in (*BROADCAST, (LARGE, LARGE)):
            yield Sample((g.f(*a, lo=-30, hi=30), g.f(*b, lo=lo, hi=hi)), large=a == LARGE)
        for n in scalars:
            yield Sample((g.f(3, 5, lo=-30, hi=30), n))

    return samples


for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    row(_name, function(_name), _whole((6,), -30, 30), dtypes=(*INTS, "bool"), grad=False, errors=(f"torch.{_name}(x, x)", f"torch.{_name}(idx, y5 > 0)"))
for _name, _shift in (("lshift", "__lshift__"), ("rshift", "__rshift__")):
    row(_name, method(_shift), _whole((2, 0), 0, 2.4), dtypes=(*INTS, "bool"), grad=False, errors=("x << mask", "idx << 'a'") if _name == "lshift" else ("x >> mask", "idx >> 'a'"))
row("bitwise_not", function("bitwise_not"), lambda g: (Sample((g.f(*s, lo=-30, hi=30),), large=s == LARGE) for s in (*SHAPES, LARGE)), dtypes=(*INTS, "bool"), grad=False, errors=("~x",))


def _pow(g: Gen) -> Iterator[Sample]:
    for a, b in BROADCAST:
        yield Sample((g.f(*a, lo=0.3, hi=3), g.f(*b, lo=-2, hi=2)))
    for s in (0, 1, 2, 3, -1, 0.5, -0.5, 2.5, 3.0, -2):
        yield Sample((g.f(3, 5, lo=0.3, hi=3), s))
    yield Sample((2.0, g.f(3, 5)))
    yield Sample((10, g.f(4)))
    yield Sample((g.f(*LARGE, lo=0.3, hi=3), 3.0), large=True)
    yield Sample((g.f(*LARGE, lo=0.3, hi=3), g.f(LARGE[1])), large=True)


row("pow", function("pow"), _pow, dtypes=ALL, steps=4, errors=("x ** y5", "x ** 'a'", "idx ** -1", "torch.pow(2, 3)"))

# --- three operands ----------------------------------------------------------------------------------------------------------------------


def _where(g: Gen) -> Iterator[Sample]:
    yield Sample((g.b(3, 5), g.f(3, 5), g.f(3, 5)))
    yield Sample((g.b(3, 1), g.f(5), g.f(2, 3, 1)))
    yield Sample((g.b(0, 3), g.f(3), g.f(0, 3)))
    yield Sample((g.b(4), g.f(4), 0.0))
    yield Sample((g.b(4), 1.5, g.f(4)))
    yield Sample((g.b(1), g.f(1), g.f(1)))
    yield Sample((g.b(*LARGE), g.f(*LARGE), g.f(*LARGE)), large=True)


row("where", function("where"), _where, dtypes=ALL, errors=("torch.where(mask, x, y5)", "torch.where(x, x, x)", "torch.where(idx, x, x)", "torch.where(mask, x)"))


def _masked_fill(g: Gen) -> Iterator[Sample]:
    yield Sample((g.f(3, 5), g.b(3, 5), -np.inf), grad=False)
    yield Sample((g.f(2, 3, 5), g.b(3, 5), 2))
    for x, mask, value in (((3, 5), (3, 1), 0.5), ((0, 3), (3,), 1.0), ((1,), (1,), 3.0), (LARGE, LARGE, 0.0)):
        yield Sample((g.f(*x), g.b(*mask), value), large=x == LARGE)
    yield Sample((g.f(3, 5), g.b(3, 5), g.f()))


def _weighted(g: Gen, value: bool) -> Iterator[Sample]:
    """Three operands of addcmul, addcdiv (with a factor) and lerp."""
    for a, b, c in (((3, 5), (3, 5), (3, 5)), ((3, 5), (5,), (3, 1)), ((0, 3), (3,), (0, 1)), ((1,), (1,), (1,)), ((), (), ()), ((7,), (7,), (7,)), (LARGE, LARGE, LARGE)):
        for o in ({}, {"value": 2}, {"value": 0.3}) if value else ({},):
            yield Sample((g.f(*a), g.f(*b), g.f(*c, lo=1, hi=2) if value else g.f(*c, lo=0, hi=1)), o, large=a == LARGE)
        if not value:
            yield Sample((g.f(*a), g.f(*b), 0.3), large=a == LARGE)


row("masked_fill", method("masked_fill"), _masked_fill, dtypes=ALL, aliases=("masked_fill_",), errors=("x.masked_fill(idx, 0.0)", "x.masked_fill(y5 > 0, 0.0)", "x.masked_fill(mask, torch.ones(2))", "x.masked_fill_(x, 1.0)", "idx2.masked_fill(mask, float('inf'))"))
row("lerp", function("lerp"), lambda g: _weighted(g, False), steps=1, whole=True, errors=("torch.lerp(x, y5, 0.5)", "torch.lerp(x, x.double(), 0.5)", "torch.lerp(idx, idx, 0.5)"))
row("addcmul", function("addcmul"), lambda g: _weighted(g, True), dtypes=NO_BOOL, steps=1, whole=True, errors=("torch.addcmul(x, x, y5)", "torch.addcmul(mask, mask, mask)"))
row("addcdiv", function("addcdiv"), lambda g: _weighted(g, True), steps=1, whole=True, errors=("torch.addcdiv(x, x, y5)", "torch.addcdiv(idx, idx, idx)"))
