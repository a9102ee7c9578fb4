"""Checks the arguments of a Python function against its annotations, as PyTorch's parser does for its C++ functions.

Invariant: a wrong argument is a TypeError that names function, argument, position, what was wanted and what was found,
raised before the function runs. `Any` and annotations not in _EXACT are the function's own business. Does not: convert.
Read next: _composed/__init__.py, which wraps every composed function in this.
"""

from __future__ import annotations

import functools
from typing import Any, TypeVar

from . import _C

F = TypeVar("F", bound=Any)

_Tensor = _C.Tensor
_NONE = type(None)
# The types that fit at first sight; subclasses and foreign scalars are looked at more closely in _fits.
_EXACT: dict[str, frozenset[type]] = {
    "Tensor": frozenset({_Tensor}),
    "int": frozenset({int}),
    "float": frozenset({float, int}),
    "bool": frozenset({bool}),
    "str": frozenset({str}),
    "dtype": frozenset({_C.dtype}),
    "Sequence[Tensor]": frozenset(),
    "Sequence[int]": frozenset(),
}
_EXACT.update({f"{word} | None": types | {_NONE} for word, types in list(_EXACT.items())})
# Read by `if` in PyTorch's own Python, so anything goes.
_FREE = {"inplace", "training", "size_average", "reduce"}
_WANTED = {"Sequence[Tensor]": "tuple of Tensors", "Sequence[int]": "tuple of ints"}


def _from_numpy(value: Any) -> bool:
    return type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0


def _is_int(value: Any) -> bool:
    if isinstance(value, _Tensor):
        return value.numel() == 1 and not value.is_floating_point() and value.dtype is not _C.bool
    return hasattr(type(value), "__index__") and not isinstance(value, bool)


def _fits(word: str, value: Any) -> bool:
    word = word.removesuffix(" | None")
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
        return _is_int(value) or (isinstance(value, (list, tuple)) and all(_is_int(v) for v in value))
    return False


def _refuse(function: str, argument: str, position: int | None, word: str, value: Any) -> TypeError:
    word = word.removesuffix(" | None")
    if word == "Sequence[Tensor]" and isinstance(value, (list, tuple)):
        at = next(i for i, v in enumerate(value) if not isinstance(v, _Tensor))
        return TypeError(
            f"{function}(): expected Tensor as element {at} of {argument!r}, but got {type(value[at]).__name__}"
        )
    place = "" if position is None else f" (position {position + 1})"
    return TypeError(
        f"{function}(): argument {argument!r}{place} must be {_WANTED.get(word, word)}, not {type(value).__name__}"
    )


def tensors_of(function: str, args: tuple[Any, ...]) -> list[Any]:
    """f(a, b) and f([a, b]) alike, each item a tensor."""
    found = list(args[0]) if len(args) == 1 and isinstance(args[0], (list, tuple)) else list(args)
    if not _fits("Sequence[Tensor]", found):
        raise _refuse(function, "tensors", None, "Sequence[Tensor]", found)
    return found


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
    words = [by_name[n] for n in names]
    exact = [_EXACT.get(w) for w in words]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for types, value in zip(exact, args):  # noqa: B905  (a surplus argument is the function's own TypeError)
            if types is not None and type(value) not in types:
                _look_closely(args)
                break
        for name, value in kwargs.items():
            types = _EXACT.get(by_name.get(name, "Any"))
            if types is not None and type(value) not in types and not _fits(by_name[name], value):
                raise _refuse(shown, name, None, by_name[name], value)
        return function(*args, **kwargs)

    def _look_closely(args: tuple[Any, ...]) -> None:
        for i, (types, value) in enumerate(zip(exact, args)):  # noqa: B905
            if types is not None and type(value) not in types and not _fits(words[i], value):
                raise _refuse(shown, names[i], i, words[i], value)

    return call  # type: ignore[return-value]
