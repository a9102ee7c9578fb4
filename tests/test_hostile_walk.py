"""A walk over public modules: each function and class is called with what does not belong there.

A new public name is walked without being mentioned here, and fails if it takes everything: then a table of wrong calls
(hostile/, test_errors.py) has to show what it refuses. A refusal has a message and leaves the tensors given as they were.
The large ones (fastnn, Tensor, nn, nn.functional) are walked beside torch, each in a process of its own: hostile/beside.py, which also
compares the classes of exceptions. Does not: choose good arguments. Read next: test_hostile_tables.py.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import warnings
from typing import Any

import pytest
import test_errors
from hostile.beside import EXCEPTIONS, LEFT_OUT, wrong_arguments
from support import arr, outcome, run_python
from test_hostile_tables import TABLES

import fastnn

MODULES = (
    "nn.init", "nn.utils", "nn.utils.rnn", "optim", "optim.lr_scheduler", "optim.swa_utils", "utils.data", "utils.checkpoint", "linalg", "distributions",
    "autograd", "amp", "serialization",
)  # fmt: skip
TABLE = "\n".join([test_errors.CALLS, *(line for lines in TABLES.values() for line in lines)])


def public_names(module: str) -> list[str]:
    home = importlib.import_module("fastnn." + module)

    def ours(thing: Any) -> bool:
        return callable(thing) and not inspect.ismodule(thing) and str(getattr(thing, "__module__", "")).startswith("fastnn")

    return [n for n in dir(home) if not n.startswith("_") and n not in LEFT_OUT and ours(getattr(home, n))]


def walk(path: str, called: Any) -> tuple[int, list[str]]:
    """How many calls were refused, and what was wrong about that."""
    refused, faults = 0, []
    for label, args, kwargs in wrong_arguments(fastnn):
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


def test_the_large_modules_beside_torch(capsys: pytest.CaptureFixture[str]) -> None:
    """Each call refused with torch's class and in words, or taken as torch takes it; what differs on purpose still does."""
    faults, differ = [], set()
    for modules in (("fastnn", "Tensor"), ("nn", "nn.functional")):
        done = run_python(args=["-m", "hostile.beside", *modules], check=False)
        walked = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or len(walked) < len(modules):
            faults.append(f"{modules}: the process ended with {done.returncode} in or after {done.stderr.strip().splitlines()[-1:]}")
        for found in walked:
            with capsys.disabled():
                print(f"\n{found['module']}: {found['names']} names, {found['calls']} wrong calls, {found['refused']} refused")
            faults += found["faults"]
            differ |= set(found["differ"])
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults)
    assert differ == set(EXCEPTIONS), f"no longer different: {set(EXCEPTIONS) - differ}"
