"""How the pairs of this package are declared; the work is C's (csrc/python/kernels.c).

Invariant: what is said here of an op is checked against its C descriptor at import. Read next: activations.py, the
simplest pairs.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import _C

Array = NDArray[Any]
# Which gradients are wanted. (A gradient that is not is None; results are typed for the plain call, without `need`.)
Need = tuple[str, ...]

# The dtypes an input may have, as bits in the order of csrc/core/dtype.h; 0: C says which.
_ACCEPTS = {"": 0b11, "mask": 0b100011, "any": 0}


def pair(op: str, name: str, inputs: str, saved: type, values: str = "", *, outputs: int = 1, wanted: str = "") -> Any:
    """An object with `forward(*inputs, *values, out)` and `backward(dy, saved, need, out)`.

    op: its name in the library. name: the pair's. inputs: arguments of the op in its order, "x ids:any mask:mask"; what
    has no word is float32 or float64. saved: the named tuple of saved inputs, outputs and extras, in this order, and
    `call`. values: the op's attributes, "eps:f dim:i"; i integer, f float, b flag, l list of integers, upper case where
    None is allowed. outputs: how many of the op's outputs are the pair's. wanted: inputs whose gradients backward
    gives; all floating ones if left out.
    """
    names, words = zip(*(i.partition(":")[::2] for i in inputs.split()), strict=True)
    values_named = [v.partition(":")[::2] for v in values.split()]
    wanted_names = wanted.split() or [n for n, word in zip(names, words, strict=True) if not word]
    return _C._kernel_pair(
        op,
        (name, f"{name}_backward"),
        names,
        tuple(_ACCEPTS[w] for w in words),
        tuple(n for n, _ in values_named),
        "".join(kind for _, kind in values_named),
        tuple(f"saved.{f}" for f in saved._fields[:-1]),  # type: ignore[attr-defined]
        saved,
        sum(1 << i for i, n in enumerate(names) if n in wanted_names),
        outputs,
    )
