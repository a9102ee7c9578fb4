"""A walk over public modules: each function and class is called with what does not belong there.

A new public name is walked without being mentioned here, and fails if it takes everything: then a table of wrong calls
(hostile/, test_errors.py) has to show what it refuses. A refusal has a message and leaves the tensors given as they were.
Does not: compare classes of exceptions with torch's, the tables do; walk fastnn, Tensor, nn and nn.functional. Read next: test_hostile_tables.py.
"""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import test_errors
from support import arr, outcome
from test_hostile_tables import TABLES

import fastnn

MODULES = (
    "nn.init", "nn.utils", "nn.utils.rnn", "optim", "optim.lr_scheduler", "optim.swa_utils", "utils.data", "utils.checkpoint", "linalg", "distributions",
    "autograd", "amp", "serialization",
)  # fmt: skip
# They change the process (threads, streams, modules) or write files.
LEFT_OUT = {"install_as_torch", "set_num_threads", "set_num_interop_threads", "set_default_device", "set_flush_denormal", "set_printoptions", "save", "seed"}
TABLE = "\n".join([test_errors.CALLS, *(line for lines in TABLES.values() for line in lines)])


class Raises:
    """Every question about it fails."""

    def fails(self, *args: Any, **kwargs: Any) -> Any:
        raise LookupError("a hostile object was asked")

    __index__ = __float__ = __len__ = __array__ = __iter__ = __getitem__ = __bool__ = fails


def wrong_arguments() -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """What is given to every function."""
    x = fastnn.arange(12, dtype=fastnn.float32).reshape(3, 4) / 7 - 0.5
    yield "no arguments", (), {}
    yield "a strange object", (object(),), {}
    yield "None", (None,), {}
    yield "text", ("a",), {}
    yield "an array", (np.ones((2, 2), np.float32),), {}
    yield "an object that raises", (Raises(),), {}
    yield "x and a strange object", (x, object()), {}
    yield "x and text", (x, "a"), {}
    yield "x and an object that raises", (x, Raises()), {}
    yield "x and 2**70", (x, 2**70), {}
    yield "an unknown keyword", (x,), {"no_such_argument": 1}
    yield "a list with None", ([x, None],), {}


def public_names(module: str) -> list[str]:
    home = importlib.import_module("fastnn." + module)

    def ours(thing: Any) -> bool:
        return callable(thing) and not inspect.ismodule(thing) and str(getattr(thing, "__module__", "")).startswith("fastnn")

    return [n for n in dir(home) if not n.startswith("_") and n not in LEFT_OUT and ours(getattr(home, n))]


def walk(path: str, called: Any) -> tuple[int, list[str]]:
    """How many calls were refused, and what was wrong about that."""
    refused, faults = 0, []
    for label, args, kwargs in wrong_arguments():
        before = [arr(a).tobytes() for a in args if isinstance(a, fastnn.Tensor)]
        _, error = outcome(lambda: called(*args, **kwargs))  # noqa: B023  (called here)
        if error is None:
            continue
        refused += 1
        if not str(error).strip():
            faults.append(f"{path}, {label}: {type(error).__name__} without a message")
        if before != [arr(a).tobytes() for a in args if isinstance(a, fastnn.Tensor)]:
            faults.append(f"{path}, {label}: refused, but an argument was written")
    return refused, faults


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_refuses_something(module: str) -> None:
    faults: list[str] = []
    home, names = importlib.import_module("fastnn." + module), public_names(module)
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            refused, found = walk(f"{module}.{name}", getattr(home, name))
        faults += found
        if not refused and not re.search(rf"\b{name}\b", TABLE):
            faults.append(f"{module}.{name}: takes everything; no table of wrong calls shows what it refuses")
        fastnn.set_grad_enabled(True)
        fastnn.set_default_dtype(fastnn.float32)
    assert names
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults)
