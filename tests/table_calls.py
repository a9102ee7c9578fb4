"""How a row of the op table is called: arrays become tensors of a dtype and a memory layout, results become gradients.

Invariant: knows either library only through the `lib` it is given, and imports neither.
Does not: compare. Read next: test_ops.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from op_table import Row, Sample
from support import arr, leaves, outcome

LAYOUTS = ("transposed", "sliced", "offset", "expanded")


def cast(a: np.ndarray, dtype: str) -> np.ndarray:
    """A float sample in the dtype under test; integers are spread out, bool is the sign."""
    if a.dtype.kind != "f":
        return np.asarray(a)
    if dtype == "bool":
        return np.asarray(a > 0)
    if dtype.startswith("float"):
        return np.asarray(a, dtype)
    with np.errstate(invalid="ignore"):
        whole = np.nan_to_num(np.where(np.abs(a) < 1e6, a, 0)) * 3
    return np.asarray(np.abs(whole) if dtype == "uint8" else whole, dtype)


def is_differentiable(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def guard(dtype: np.dtype) -> np.generic:
    """What surrounds an input in memory: a value that shows in any result it leaks into."""
    return dtype.type(np.nan) if dtype.kind == "f" else dtype.type(True) if dtype.kind == "b" else dtype.type(np.iinfo(dtype).max)


def tensor(lib: Any, a: np.ndarray, layout: str = "contiguous") -> Any:
    """`a` as a tensor whose memory is laid out in the given way; the values are a's (for `expanded`: those of its first entry)."""
    n = a.ndim
    if layout == "transposed" and n >= 2:
        return lib.from_numpy(np.array(a.transpose(), order="C")).permute(*range(n - 1, -1, -1))
    if layout == "sliced" and n >= 1:
        wide = np.full((*a.shape[:-1], 2 * a.shape[-1] + 1), guard(a.dtype))
        wide[..., 1::2] = a
        return lib.from_numpy(wide)[..., 1::2]
    if layout == "offset":
        flat = np.full(a.size + 41, guard(a.dtype))
        flat[1 : a.size + 1] = a.reshape(-1)
        return lib.from_numpy(flat)[1 : a.size + 1].view(a.shape)
    if layout == "expanded" and n >= 1 and a.shape[0] > 1:
        return lib.from_numpy(a[:1].copy()).expand(a.shape)
    return lib.from_numpy(np.array(a, order="C"))


def build(lib: Any, value: Any, dtype: str, layout: str, made: list[Any]) -> Any:
    """Replace arrays in an argument by tensors; the floating ones (differentiable) are also listed in `made`."""
    if isinstance(value, np.ndarray):
        t = tensor(lib, cast(value, dtype), layout)
        if is_differentiable(value):
            made.append(t)
        return t
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [build(lib, v, dtype, layout, made) for v in value]
    if isinstance(value, tuple):
        return tuple(build(lib, v, dtype, layout, made) for v in value)
    return value


def prepare(lib: Any, sample: Sample, dtype: str, layout: str = "contiguous") -> tuple[tuple[Any, ...], dict[str, Any], list[Any]]:
    made: list[Any] = []
    args = tuple(build(lib, a, dtype, layout, made) for a in sample.args)
    kwargs = {k: build(lib, v, dtype, layout, []) for k, v in sample.kwargs.items()}  # (class weights and masks: no gradient)
    return args, kwargs, made


def weights_for(lib: Any, outputs: list[Any]) -> list[Any]:
    """Fixed weights that turn an op's outputs into one number to differentiate."""
    rs = np.random.RandomState(7)
    return [lib.from_numpy(np.asarray(rs.uniform(0.5, 1.5, tuple(o.shape)), str(arr(o).dtype))) for o in outputs]


def forward_backward(lib: Any, row: Row, sample: Sample, dtype: str, layout: str = "contiguous", wanted: list[int] | None = None) -> tuple[list[Any], list[Any]]:
    """Outputs and the gradients of the wanted inputs (all by default)."""
    args, kwargs, made = prepare(lib, sample, dtype, layout)
    chosen = range(len(made)) if wanted is None else wanted
    for i in chosen:
        made[i].requires_grad_(True)
    outputs = leaves(row.run(lib, args, kwargs))
    differentiable = [o for o in outputs if hasattr(o, "requires_grad") and o.requires_grad]
    if differentiable:
        sum(((o * w).sum() for o, w in zip(differentiable, weights_for(lib, differentiable), strict=True)), start=lib.zeros((), dtype=differentiable[0].dtype)).backward()
    return outputs, [made[i].grad for i in chosen]


_ACCEPTED: dict[tuple[str, str], list[tuple[int, Sample]]] = {}


def accepted(lib: Any, row: Row, dtype: str) -> list[tuple[int, Sample]]:
    """The samples, numbered, that the library takes in this dtype: in float all of them, else the small ones that it takes
    (test_ops.py proves that those are the ones PyTorch takes)."""
    key = (row.name, dtype)
    if key not in _ACCEPTED:
        samples = list(enumerate(row.cases()))
        if not dtype.startswith("float"):
            samples = [(n, s) for n, s in samples if not s.large and outcome(lambda s=s: row.run(lib, *prepare(lib, s, dtype)[:2]))[1] is None]
        _ACCEPTED[key] = samples
    return _ACCEPTED[key]


def wants(row: Row, sample: Sample, dtype: str) -> list[int] | None:
    """Which inputs want a gradient where all that can do: None for all, else none."""
    return None if row.grad and sample.grad and dtype.startswith("float") else []
