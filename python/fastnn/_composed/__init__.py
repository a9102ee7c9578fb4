"""Tensor functions composed in Python from the primitives of fastnn._C, or from NumPy on zero-copy views.

Invariant: each is differentiable where torch's is.  `install` puts them beside the primitives, both as functions and as
methods, and never replaces a primitive of the same name: moving one into C means deleting it here.
Read next: pointwise.py, reduce.py, shape.py, joins.py, places.py, order.py, products.py, queries.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._arguments import checked
from . import joins, order, places, pointwise, products, queries, reduce, shape, stores
from ._registry import FUNCTIONS, METHODS

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = [
    "FUNCTIONS",
    "METHODS",
    "install",
    "joins",
    "order",
    "places",
    "pointwise",
    "products",
    "queries",
    "reduce",
    "shape",
    "stores",
]


# Both tables hold each function behind the check of its arguments, one check for all of its names.
_behind = {function: checked(function) for table in (FUNCTIONS, METHODS) for function in table.values()}
for _table in (FUNCTIONS, METHODS):
    _table.update({name: _behind[function] for name, function in _table.items()})


def install(namespace: MutableMapping[str, Any], tensor_type: type) -> None:
    """Add what is missing to a module's namespace and to the tensor type."""
    for name, function in FUNCTIONS.items():
        namespace.setdefault(name, function)
    for name, function in METHODS.items():
        if not hasattr(tensor_type, name):
            setattr(tensor_type, name, function)
