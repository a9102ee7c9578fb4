"""The op table: one row per op, from which the generic proofs are made (test_ops.py, test_proofs.py, test_isa.py, test_threads.py ...).

A row says how the op is called (through either library), on which inputs, to which tolerance, and which wrong calls it must refuse.
Invariant: every name in csrc/ops/ops.def has a complete row in one of the op_rows_*.py (test_proofs.py says what complete is); sample
inputs are NumPy arrays, the same on each run, and nobody writes into them.
Does not: run anything. Read next: op_rows_math.py, test_ops.py, reference.py (the oracles), routes.py (the compositions).
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FLOATS = ("float32", "float64")
NUMBERS = (*FLOATS, "int64", "int32")
INTS = ("int64", "int32", "uint8")
NO_BOOL = (*FLOATS, *INTS)
ALL = (*NUMBERS, "uint8", "bool")
MOVES, DRAWS = "only moves data", "draws numbers: test_random.py"


@dataclass(frozen=True)
class Sample:
    """One call: float arrays are cast to the dtype under test and become differentiable tensors; integer and bool arrays keep theirs."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    grad: bool = True  # False: values only (kinks, special values)
    numeric: bool = True  # False: the gradient is not the slope of the value (the row at padding_idx gets none)
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
    grad_steps: float = 8  # the same for gradients, always at the largest value
    aliases: tuple[str, ...] = ()  # further names in ops.def that this row covers
    layout: str = "all"  # inputs for which the result has torch's strides (they decide the order of random fills): all, contiguous, none
    inplace: bool = False  # the op writes its first argument (the tests then give it a clone)
    errors: tuple[str, ...] = ()  # wrong calls, as expressions over the names of wrong_call_inputs
    oracle: str = ""  # MOVES or DRAWS: none in reference.py, and why
    route_steps: float = 16  # what the composition of simple ops in routes.py may differ by, at the largest value, at least 1
    lacks: Mapping[str, str] = field(default_factory=dict)  # parts a complete row has and this one cannot have, with the reason

    def cases(self) -> list[Sample]:
        return _cases(self)

    def run(self, lib: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.inplace:
            args = (args[0].clone(), *args[1:])
        return self.call(lib, *args, **kwargs)


ROWS: dict[str, Row] = {}
_CASES: dict[str, list[Sample]] = {}


def _cases(row: Row) -> list[Sample]:
    if row.name not in _CASES:
        _CASES[row.name] = list(row.samples(Gen(row.name)))
    return _CASES[row.name]


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


def seeded(call: Any) -> Any:
    """The op after manual_seed(5), so that both libraries draw the same numbers."""

    def run(lib: Any, *args: Any, **kwargs: Any) -> Any:
        lib.manual_seed(5)
        return call(lib, *args, **kwargs)

    return run


_AXES = ("torch.{0}(x, dim=2)", "torch.{0}(x, dim=-3)", "torch.{0}(x, dim='a')")
BAD_DIM = {n: tuple(a.format(n) for a in _AXES) for n in ("sum", "mean", "prod", "max", "min", "amax", "amin", "argmax", "argmin", "all", "any", "var", "std", "logsumexp", "cumsum", "softmax", "log_softmax", "sort", "argsort")}

for _file in ("math", "shape", "index", "layers", "rest"):
    importlib.import_module(f"op_rows_{_file}")  # registers its rows
