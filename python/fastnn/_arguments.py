"""Checks the arguments of a Python function against its annotations, as PyTorch's parser does for its C++ functions.

Invariant: a wrong argument is a TypeError that names function, argument, position, what was wanted and what was found,
raised before the function runs. `Any` and annotations not in _EXACT are the function's own business. Does not: convert.
Read next: _composed/__init__.py, which wraps every composed function in this.
"""

from __future__ import annotations

import functools
import operator
from inspect import signature
from typing import Any, TypeVar

from . import _C

F = TypeVar("F", bound=Any)

_Tensor = _C.Tensor
# The types that fit at first sight; subclasses and foreign scalars are looked at more closely in _fits.
_EXACT: dict[str, frozenset[type]] = {
    "Tensor": frozenset({_Tensor}),
    "int": frozenset({int}),
    "float": frozenset({float, int}),
    "bool": frozenset({bool}),
    "str": frozenset({str}),
    "dtype": frozenset({_C.dtype}),
    "None": frozenset({type(None)}),
    "Sequence[Tensor]": frozenset(),
    "Sequence[int]": frozenset(),
}
# Read by `if` in PyTorch's own Python, so anything goes.
_FREE = {"inplace", "training", "size_average", "reduce"}
_WANTED = {"Sequence[Tensor]": "tuple of Tensors", "Sequence[int]": "tuple of ints", "float": "Number"}
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


def _exact(word: str) -> frozenset[type] | None:
    """The types that an annotation names, or None if it names something that is not in _EXACT."""
    parts = [_EXACT.get(part) for part in word.split(" | ")]
    return None if None in parts else frozenset().union(*parts)  # type: ignore[arg-type]


def _from_numpy(value: Any) -> bool:
    return type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0


def _is_int(value: Any) -> bool:
    if isinstance(value, _Tensor):
        return value.numel() == 1 and not value.is_floating_point() and value.dtype is not _C.bool
    try:
        return not isinstance(value, bool) and operator.index(value) is not None
    except Exception:  # noqa: BLE001  (whatever its __index__ raises: it is no integer)
        return False


def _fits(word: str, value: Any) -> bool:
    return any(_fits_one(part, value) for part in word.split(" | "))


def _fits_one(word: str, value: Any) -> bool:
    if type(value) in _EXACT[word]:
        return True
    if word == "Tensor":
        return isinstance(value, _Tensor)
    if word == "int":
        return _is_int(value)
    if word == "float":
        return (
            isinstance(value, (int, float)) or _from_numpy(value) or (isinstance(value, _Tensor) and value.numel() == 1)
        )
    if word == "bool":
        return _from_numpy(value) and value.dtype.kind == "b"
    if word == "str":
        return isinstance(value, str)
    if word == "Sequence[Tensor]":
        return isinstance(value, (list, tuple)) and all(isinstance(v, _Tensor) for v in value)
    if word == "Sequence[int]":
        return isinstance(value, (list, tuple)) and all(_is_int(v) for v in value)
    return False


def _too_big(function: str, argument: str, word: str) -> Exception:
    """torch's classes: a size or a dimension is a ValueError, a number that stands for a tensor an OverflowError."""
    kind = OverflowError if "float" in word else ValueError
    return kind(f"{function}(): argument {argument!r}: Overflow when unpacking long long, found more than 64 bits")


def _refuse(function: str, argument: str, position: int | None, word: str, value: Any) -> TypeError:
    word = word.removesuffix(" | None")
    if word == "Sequence[Tensor]" and isinstance(value, (list, tuple)):
        at = next(i for i, v in enumerate(value) if not isinstance(v, _Tensor))
        return TypeError(
            f"{function}(): expected Tensor as element {at} of {argument!r}, but got {type(value[at]).__name__}"
        )
    place = "" if position is None else f" (position {position + 1})"
    wanted = word if word == "float" else " or ".join(_WANTED.get(part, part) for part in word.split(" | "))
    return TypeError(f"{function}(): argument {argument!r}{place} must be {wanted}, not {type(value).__name__}")


def tensors_of(function: str, args: tuple[Any, ...]) -> list[Any]:
    """f(a, b) and f([a, b]) alike, each item a tensor."""
    found = list(args[0]) if len(args) == 1 and isinstance(args[0], (list, tuple)) else list(args)
    if not _fits("Sequence[Tensor]", found):
        raise _refuse(function, "tensors", None, "Sequence[Tensor]", found)
    return found


def ints_of(function: str, values: Any) -> list[int]:
    """A list or tuple of ints as Python's own."""
    for i, value in enumerate(values):
        if not _is_int(value):
            raise TypeError(f"{function}(): expected a tuple of ints, found {type(value).__name__} at place {i + 1}")
        if not _LOWEST <= operator.index(value) <= _HIGHEST:
            raise TypeError(f"{function}(): failed to unpack the object at pos {i + 1}: more than 64 bits")
    return [operator.index(value) for value in values]


def checked(function: F) -> F:
    """`function` behind a check of the arguments whose annotation says what they must be."""
    inner = function
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    notes, code, shown = inner.__annotations__, inner.__code__, function.__name__
    names = code.co_varnames[: code.co_argcount]
    by_name = {
        n: "Any" if n in _FREE else notes.get(n, "Any")
        for n in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    }
    exact_by_name = {n: _exact(w) for n, w in by_name.items()}
    exact = [exact_by_name[n] for n in names]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for types, value in zip(exact, args):  # noqa: B905  (a surplus argument is the function's own TypeError)
            if types is not None:
                found = type(value)
                if found not in types or (found is int and not _LOWEST <= value <= _HIGHEST):
                    _look_closely(args, kwargs)
                    break
        for name, value in kwargs.items():
            types = exact_by_name.get(name)
            if types is not None and (type(value) not in types or type(value) is int):
                _look_closely(args, kwargs)
                break
        return function(*args, **kwargs)

    def _look_closely(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Types first, of all arguments, then sizes, as torch does."""
        given = [(n, i, v) for i, (n, v) in enumerate(zip(names, args))]  # noqa: B905
        known = [g for g in [*given, *((n, None, v) for n, v in kwargs.items())] if exact_by_name.get(g[0]) is not None]
        for name, position, value in known:
            if not _fits(by_name[name], value):
                raise _refuse(shown, name, position, by_name[name], value)
        for name, _, value in known:
            word = by_name[name]
            counts = "Tensor" in word or "float" not in word  # a float of its own is as large as it likes
            if type(value) is int and counts and not _LOWEST <= value <= _HIGHEST:
                signature(inner).bind(*args, **kwargs)  # one that is missing comes first
                raise _too_big(shown, name, word)

    return call  # type: ignore[return-value]
