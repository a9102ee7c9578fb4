"""How exact every function is: the largest error in units of the last place over the full range, beside PyTorch's own.

    python tests/accuracy.py [NAME...]         prints the table (PyTorch's column only where it is installed)

Exit status 1 if a bound is broken (marked by !). FASTNN_ISA=avx2 ATEN_CPU_CAPABILITY=avx2 holds the two against each other there.

Functions of one number are asked at every exponent and sign (bit patterns spread evenly over all floats), densely where the
values of networks lie, and at the special values; the truth is the next wider format (float64 for float32; x87 extended, or
mpmath where NumPy has no such function, for float64). Sums of many terms (products, norms, attention, recurrent nets) are
judged by the largest error over the largest value, of the output and of every gradient, the truth being PyTorch in float64.
Invariant: a bound stands beside its function in FUNCTIONS or LAYERS, once. Does not: gradients of functions (test_ops.py).
Read next: test_accuracy.py.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
WIDER = {np.float32: np.float64, np.float64: np.longdouble}
BITS = {np.float32: np.uint32, np.float64: np.uint64}


# ---- functions of one number ----


def _each(f: Callable[[float], float]) -> Callable[[Array], Array]:
    return lambda x: np.array([f(float(v)) for v in x], dtype=np.float64)


def _precise(name: str, near: Callable[[float], float]) -> Callable[[Array], Array]:
    """The function in the wider format of x: by `near` (a float64 function) for float64, by mpmath for longdouble."""

    def call(x: Array) -> Array:
        if x.dtype == np.float64:
            return _each(near)(x)
        import mpmath

        with mpmath.workdps(40):
            f = {"erf": mpmath.erf, "phi": mpmath.ncdf}[name]
            exact = [f(mpmath.mpf(float(v))) for v in x]
            high = np.array([float(e) for e in exact], dtype=np.longdouble)
            low = np.array([float(e - float(e)) if mpmath.isfinite(e) else 0.0 for e in exact], dtype=np.longdouble)
        return high + low

    return call


def _phi(v: float) -> float:
    return 0.5 * math.erfc(-v / math.sqrt(2.0))


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _gelu_tanh(x: Array) -> Array:
    one = x.dtype.type
    inner = np.sqrt(2 / one(math.pi)) * (x + one("0.044715") * x * x * x) if one is np.longdouble else math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
    return x * _sigmoid(2 * inner)


def _gelu(x: Array) -> Array:
    return np.where(np.isneginf(x), -0.0, x * _precise("phi", _phi)(x))


@dataclass(frozen=True)
class Function:
    """One function of one number. A bound is in units of the last place, or absolute where `absolute` is set."""

    call: Callable[[Any, Any], Any]  # (library, tensor) -> tensor
    truth: Callable[[Array], Array]
    bounds: tuple[float, float]  # float32, float64
    low: float = -math.inf
    high: float = math.inf
    absolute: bool = False


def _named(name: str, bounds: tuple[float, float], truth: Any = None, **facts: Any) -> Function:
    return Function(lambda lib, x: getattr(lib, name)(x), truth or getattr(np, name), bounds, **facts)


FUNCTIONS: dict[str, Function] = {
    "exp": _named("exp", (2, 4)),
    "exp2": _named("exp2", (2, 4)),
    "expm1": _named("expm1", (3, 4)),
    "log": _named("log", (2, 4), low=0.0),
    "log2": _named("log2", (2, 4), low=0.0),
    "log10": _named("log10", (2, 4), low=0.0),
    "log1p": _named("log1p", (3, 4), low=-1.0),
    "tanh": _named("tanh", (3, 4)),
    "sigmoid": _named("sigmoid", (3, 4), _sigmoid),
    "erf": Function(lambda lib, x: lib.erf(x), _precise("erf", math.erf), (5e-7, 5e-16), absolute=True),
    "gelu, erf": Function(lambda lib, x: lib.nn.functional.gelu(x), _gelu, (5e-7, 5e-15), absolute=True, low=-1e3, high=8.0),
    "gelu, tanh": Function(
        lambda lib, x: lib.nn.functional.gelu(x, approximate="tanh"), _gelu_tanh, (5e-7, 5e-15), absolute=True, low=-1e3, high=8.0
    ),
    "silu": Function(lambda lib, x: lib.nn.functional.silu(x), lambda x: x * _sigmoid(x), (4, 5), low=-80.0),
    "softplus": Function(lambda lib, x: lib.nn.functional.softplus(x), _softplus, (4, 5), low=-80.0, high=20.0),
    "rsqrt": _named("rsqrt", (1.5, 1.5), lambda x: 1 / np.sqrt(x), low=0.0),
    "sqrt": _named("sqrt", (0.5, 0.5), low=0.0),
    "reciprocal": _named("reciprocal", (0.5, 0.5), lambda x: 1 / x),
    "sin": _named("sin", (2, 4)),
    "cos": _named("cos", (2, 4)),
    "tan": _named("tan", (4, 5)),
    "asin": _named("asin", (4, 4), np.arcsin, low=-1.0, high=1.0),
    "acos": _named("acos", (4, 4), np.arccos, low=-1.0, high=1.0),
    "atan": _named("atan", (4, 4), np.arctan),
    "sinh": _named("sinh", (4, 4)),
    "cosh": _named("cosh", (4, 4)),
}


def points(dtype: Any, low: float, high: float, count: int) -> Array:
    """Floats of every exponent and both signs, as many again between -20 and 20, and the special ones, all in [low, high]."""
    rng = np.random.default_rng(7)
    bits = BITS[dtype]
    step = (int(np.iinfo(bits).max) + 1) // count
    patterns = np.arange(count, dtype=bits) * bits(step) + rng.integers(0, step, count, dtype=bits)
    info = np.finfo(dtype)
    special = [0.0, -0.0, 1.0, -1.0, info.tiny, -info.tiny, info.smallest_subnormal, info.max, -info.max, np.inf, -np.inf, np.nan]
    near = np.array([math.log(info.max), math.log(info.tiny), math.pi, math.pi / 2, 0.5, 2.0], dtype=dtype)
    beside = np.concatenate([near, np.nextafter(near, dtype(0)), np.nextafter(near, dtype(np.inf)), -near])
    x = np.concatenate([patterns.view(dtype), rng.uniform(-20, 20, count).astype(dtype), beside, np.array(special, dtype=dtype)])
    return x[np.isnan(x) | ((x >= low) & (x <= high))]


def error(got: Array, truth: Array, absolute: bool) -> Array:
    """The error of each element; infinite where a special value, an overflow or a sign of an infinity is wrong."""
    dtype = got.dtype.type
    with np.errstate(all="ignore"):
        rounded = truth.astype(dtype)
        off = np.abs(got.astype(truth.dtype) - truth)
        last = np.spacing(np.abs(np.where(np.isfinite(rounded), rounded, dtype(1))))
        units = off if absolute else off / last.astype(truth.dtype)
    special = ~np.isfinite(truth) | np.isnan(got)
    right = (got == rounded) | (np.isnan(got) & np.isnan(truth))
    edge = np.isinf(rounded) & ~special  # finite, but past the largest number: either neighbour of the edge is a rounding
    units = np.where(edge & ((got == rounded) | (np.abs(got) == np.finfo(dtype).max)), 0, units)
    return np.asarray(np.where(special, np.where(right, 0, np.inf), units), dtype=np.float64)


def worst(lib: Any, name: str, dtype: Any, count: int) -> tuple[float, float]:
    """(largest error, where) of the function of the library."""
    f = FUNCTIONS[name]
    x = points(dtype, f.low, f.high, count)
    with np.errstate(all="ignore"):
        truth = f.truth(x.astype(WIDER[dtype]))
    got = np.asarray(f.call(lib, lib.from_numpy(x.copy())).numpy())
    off = error(got, truth, f.absolute)
    at = int(off.argmax())
    return float(off[at]), float(x[at])


# ---- sums of many terms ----


def _attention(lib: Any, q: Any, k: Any, v: Any) -> Any:
    return lib.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def _recurrent(name: str) -> Callable[..., Any]:
    def run(lib: Any, x: Any, *weights: Any) -> Any:
        h = lib.zeros(1, x.shape[0], weights[1].shape[-1], dtype=x.dtype)
        call = getattr(lib if hasattr(lib, name) else lib._C, name)
        how = (True, 1, 0.0, False, False, True)  # biases, layers, dropout, training, both directions, batch first
        return call(x, (h, h) if name == "lstm" else h, list(weights), *how)[0]

    return run


def _recurrent_shapes(gates: int) -> list[tuple[int, ...]]:
    return [(32, 24, 48), (gates * 64, 48), (gates * 64, 64), (gates * 64,), (gates * 64,)]


@dataclass(frozen=True)
class Layer:
    """One op whose result sums many terms, on normal random input of these shapes."""

    call: Callable[..., Any]  # (library, *tensors) -> tensor
    shapes: list[tuple[int, ...]]
    scale: float = 1.0  # of the inputs after the first


def _functional(name: str, *args: Any) -> Callable[..., Any]:
    return lambda lib, *tensors: getattr(lib.nn.functional, name)(tensors[0], *args, *tensors[1:])


LAYERS: dict[str, Layer] = {
    "softmax": Layer(_functional("softmax", -1), [(512, 65)], 1.0),
    "log_softmax": Layer(_functional("log_softmax", -1), [(512, 65)], 1.0),
    "layer_norm": Layer(_functional("layer_norm", (96,)), [(512, 96), (96,), (96,)]),
    "layer_norm, wide": Layer(_functional("layer_norm", (3072,)), [(64, 3072), (3072,), (3072,)]),
    "rms_norm": Layer(_functional("rms_norm", (96,)), [(512, 96), (96,)]),
    "linear": Layer(_functional("linear"), [(500, 70), (130, 70), (130,)], 0.2),
    "product 96x512x96": Layer(lambda lib, a, b: a @ b, [(96, 512), (512, 96)]),
    "product 600x700x800": Layer(lambda lib, a, b: a @ b, [(600, 700), (700, 800)]),
    "product 8x4096x8": Layer(lambda lib, a, b: a @ b, [(8, 4096), (4096, 8)]),
    "attention 16x16": Layer(_attention, [(8, 4, 16, 16)] * 3),
    "attention 200x64": Layer(_attention, [(2, 4, 200, 64)] * 3),
    "GRU": Layer(_recurrent("gru"), _recurrent_shapes(3), 0.12),
    "LSTM": Layer(_recurrent("lstm"), _recurrent_shapes(4), 0.12),
    "RNN": Layer(_recurrent("rnn_tanh"), _recurrent_shapes(1), 0.12),
    "sum": Layer(lambda lib, x: x.sum(-1), [(16, 30000)]),
    "variance": Layer(lambda lib, x: x.var(-1), [(64, 3000)]),
    "logsumexp": Layer(lambda lib, x: x.logsumexp(-1), [(256, 300)]),
}


def layer_inputs(layer: Layer) -> list[Array]:
    rng = np.random.default_rng(11)
    return [(rng.standard_normal(s) * (layer.scale if i else 1.0)).astype(np.float32) for i, s in enumerate(layer.shapes)]


def layer_results(lib: Any, name: str, dtype: Any) -> list[Array]:
    """Output and gradients in float64, computed in the dtype."""
    layer = LAYERS[name]
    inputs = [lib.from_numpy(a.astype(dtype)).requires_grad_() for a in layer_inputs(layer)]
    got = layer.call(lib, *inputs)
    weights = np.random.default_rng(12).standard_normal(tuple(got.shape)).astype(np.float32).astype(dtype)
    (got * lib.from_numpy(weights)).sum().backward()
    return [np.asarray(t.numpy(), dtype=np.float64) for t in (got.detach(), *(x.grad for x in inputs))]


def layer_error(lib: Any, name: str, truth: list[Array]) -> tuple[float, float]:
    """The largest errors in float32 of the output and of the gradients, each relative to its largest value."""
    off = [float(np.abs(g - t).max() / np.abs(t).max()) for g, t in zip(layer_results(lib, name, np.float32), truth, strict=True)]
    return off[0], max(off[1:])


def print_functions(libs: list[Any], chosen: list[str]) -> int:
    """The functions' part of the table; gives how many bounds are broken."""
    broken = 0
    print(f"{'function':18} {'dtype':8} {'bound':>8} " + " ".join(f"{lib.__name__:>9}" for lib in libs) + "  at")
    for name, f in FUNCTIONS.items():
        for dtype, bound, count in ((np.float32, f.bounds[0], 1 << 18), (np.float64, f.bounds[1], 1 << 13)):
            if chosen and name not in chosen:
                continue
            found = [worst(lib, name, dtype, count) for lib in libs]
            bad = found[0][0] > bound
            broken += bad
            print(f"{name:18} {dtype.__name__:8} {bound:8.3g} " + " ".join(f"{e:9.3g}" for e, _ in found) + f" {'!' if bad else ' '} {found[0][1]!r}", flush=True)
    return broken


def print_layers(libs: list[Any], chosen: list[str]) -> int:
    """The layers' part: errors over the largest value, beside PyTorch's; gives how many are above twice PyTorch's."""
    broken = 0
    print(f"{'layer':21} {'':9} {'bound':>8} " + " ".join(f"{lib.__name__:>9}" for lib in libs))
    for name in LAYERS:
        if chosen and name not in chosen:
            continue
        truth = layer_results(libs[-1], name, np.float64)
        found = [layer_error(lib, name, truth) for lib in libs]
        for k, what in enumerate(("output", "gradients")):
            bad = found[0][k] > 2 * found[-1][k]
            broken += bad
            print(f"{name:21} {what:9} {'2 torch':>8} " + " ".join(f"{e[k]:9.2g}" for e in found) + f" {'!' if bad else ' '}", flush=True)
    return broken


def main(chosen: list[str]) -> int:
    import fastnn

    libs: list[Any] = [fastnn]
    try:
        import torch

        libs.append(torch)
    except ImportError:
        pass
    broken = print_functions(libs, chosen) + print_layers(libs, chosen)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
