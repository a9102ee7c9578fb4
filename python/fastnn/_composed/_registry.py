"""The two tables of composed operations and the decorators that fill them.

Invariant: a method's first argument is the tensor, so one Python function serves both.  Read next: __init__.py.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from fastnn import _C

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTIONS: dict[str, Any] = {}
METHODS: dict[str, Any] = {}


def composed(function: Any) -> Any:
    """Offer a function as fastnn.<name> and as Tensor.<name>."""
    FUNCTIONS[function.__name__] = METHODS[function.__name__] = function
    return function


def function_only(function: Any) -> Any:
    """Offer as fastnn.<name>."""
    FUNCTIONS[function.__name__] = function
    return function


def method_only(function: Any) -> Any:
    """Offer as Tensor.<name>."""
    METHODS[function.__name__] = function
    return function


def also(*names: str) -> Callable[[Any], Any]:
    """Offer under further names, wherever the function is offered already."""

    def add(function: Any) -> Any:
        for table in (FUNCTIONS, METHODS):
            if table.get(function.__name__) is function:
                for name in names:
                    table[name] = function
        return function

    return add


def recorded_as(name: str) -> Callable[[Any], Any]:
    """What grad_fn shows for the result: torch has one function where several operations stand here."""

    def wrap(function: Any) -> Any:
        @functools.wraps(function)
        def named(*args: Any, **kwargs: Any) -> Any:
            return _C._name_grad_fn(function(*args, **kwargs), name)

        return named

    return wrap


def in_place(function: Any) -> Any:
    """Offer Tensor.<name>_ as well: the result copied over the tensor."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        # From a copy: values saved for the gradient must not be the ones overwritten.
        return self.copy_(function(self.clone(), *args, **kwargs))

    method.__wrapped__ = function  # type: ignore[attr-defined]  # whose annotations are checked
    method.__name__ = function.__name__ + "_"
    method.__doc__ = f"{function.__name__}, in place."
    METHODS[method.__name__] = method
    return function
