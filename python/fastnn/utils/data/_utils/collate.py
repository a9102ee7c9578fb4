"""Turning a list of items into a batch.

Invariant: structure is kept (dict, named tuple, sequence; a tuple becomes a list), leaves become tensors with a new
first dimension.
Does not: move data anywhere. Read next: fetch.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

import fastnn

default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def default_convert(data: Any) -> Any:
    """NumPy arrays and numbers become tensors, containers are walked, everything else stays."""
    if isinstance(data, fastnn.Tensor):
        return data
    if isinstance(data, np.ndarray | np.bool_ | np.number):
        return data if isinstance(data, np.ndarray) and data.dtype.kind in "SUOaV" else fastnn.as_tensor(data)
    if isinstance(data, Mapping):
        return _rebuilt(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(item) for item in data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _rebuilt(data, [default_convert(item) for item in data])
    return data


def _rebuilt(old: Any, new: Any) -> Any:
    """`new` in the container type of `old`; a type that cannot be made from its content gives the plain container."""
    kind = type(old)
    if kind is type(new):
        return new
    try:
        if isinstance(old, MutableMapping):
            made = copy.copy(old)
            made.update(new)
            return made
        if isinstance(old, MutableSequence):
            filled = copy.copy(old)
            for i, item in enumerate(new):
                filled[i] = item
            return filled
        return kind(new)
    except (TypeError, NotImplementedError, AttributeError):
        return new


def collate_tensor_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    """Stack tensors of one shape."""
    return fastnn.stack(list(batch), 0)


def collate_numpy_array_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    """Stack arrays of one shape."""
    if batch[0].dtype.kind in "SUOaV":
        raise TypeError(default_collate_err_msg_format.format(batch[0].dtype))
    return fastnn.stack([fastnn.as_tensor(b) for b in batch], 0)


def collate_numpy_scalar_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    """NumPy numbers become one tensor of their dtype."""
    return fastnn.as_tensor(np.asarray(batch))


def collate_float_fn(batch: Sequence[float], *, collate_fn_map: Any = None) -> Any:
    """Python floats become float64."""
    return fastnn.tensor(batch, dtype=fastnn.float64)


def collate_int_fn(batch: Sequence[int], *, collate_fn_map: Any = None) -> Any:
    """Python ints become int64, bools become bool."""
    return fastnn.tensor(batch)


def collate_str_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    """Strings stay a list."""
    return batch


# Looked up by exact type, then by isinstance in this order: np.float64 must be found before float, its base class.
default_collate_fn_map: dict[Any, Callable[..., Any]] = {
    fastnn.Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def collate(batch: Any, *, collate_fn_map: dict[Any, Callable[..., Any]] | None = None) -> Any:
    """default_collate with a table {type or tuple of types: function(batch, collate_fn_map=...)} of leaf types."""
    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        if kind in collate_fn_map:
            return collate_fn_map[kind](batch, collate_fn_map=collate_fn_map)
        for types, function in collate_fn_map.items():
            if isinstance(first, types):
                return function(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        columns = {key: collate([item[key] for item in batch], collate_fn_map=collate_fn_map) for key in first}
        return _rebuilt(first, columns)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*(collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        size = len(first)
        if set(map(len, batch)) != {size}:
            raise RuntimeError("each element in list of batch should be of equal size")
        made = [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=True)]
        return made if isinstance(first, tuple) else _rebuilt(first, made)
    raise TypeError(default_collate_err_msg_format.format(kind))


def default_collate(batch: Any) -> Any:
    """A batch from a list of items: tensors and arrays are stacked, floats become float64, ints int64, strings a list,
    containers are kept.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.default_collate
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
