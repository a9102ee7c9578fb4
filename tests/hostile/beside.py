"""Modules of fastnn walked beside torch's, in a process of its own: every public name called with what does not belong there.

    PYTHONPATH=python:tests python -m hostile.beside nn nn.functional     prints per module a JSON object: names, calls, refused, faults, differ

Invariant: a fault is a class of exception that torch does not raise, a call that one library takes and the other refuses, a refusal that
has no words, names nothing or has written to an argument, a call that takes seconds of computing, asks for gigabytes or ends the process.
What differs on purpose stands in EXCEPTIONS with its reason, and must differ.
Does not: choose good arguments, the tables beside this file do. Read next: ../test_hostile_walk.py, which runs it.
"""

from __future__ import annotations

import json
import re
import resource
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support import SANITIZED, arr

import fastnn

# They change the process (threads, streams, modules), write files or start a compiler.
LEFT_OUT = {
    "Any", "compile", "install_as_torch", "save", "seed", "set_num_threads", "set_num_interop_threads", "set_default_device", "set_flush_denormal", "set_printoptions",
}  # fmt: skip
# `name | argument` as regular expressions, and why the two libraries differ there. The first that matches counts.
EXCEPTIONS = {
    r".* \| .*an object that raises": "torch lets the object's own exception through, or meets another mistake first; here it is no number and no tensor",
    r".*\.(logit_?|nan_to_num_?|pdist) \| x and 2\*\*70": "torch makes a float of it; a whole number of a tensor call has 64 bits here",
    r".*\.(nan)?quantile \| x and 2\*\*70": "torch makes a float of it and then refuses its range",
    r".*\.(hardtanh_|rrelu_?|soft_margin_loss|unfold|arange|dropout|to|pin_memory|is_pinned) \| x and 2\*\*70": "two mistakes at once; the other one is named",
    r"nn\.functional\.(instance_norm|local_response_norm) \| .*": "torch looks at the shape before the type",
    r".*\.(FloatTensor|DoubleTensor|Tensor|new_tensor) \| (a list with None|.*text)": "torch looks for dimensions in it",
    r"fastnn\.einsum \| .*": "torch has one text for every mistake, and its own class for it",
    r"fastnn\.broadcast_shapes \| (None|text)": "torch takes None for the shape of nothing and compares text",
    r"fastnn\.no_grad \| None": "the decorator without brackets is given nothing",
    r"fastnn\.set_float32_matmul_precision \| text": "torch warns and goes on",
    r"Tensor\.backward \| a list with None": "torch looks at the graph before the argument",
    r"Tensor\.(bernoulli|median|nanmedian|prod|squeeze_?) \| None": "None is the argument left out",
    r"Tensor\.repeat_interleave \| (None|no arguments)": "as the function of one argument, which both have",
    r"Tensor\.(half|bfloat16) \| no arguments": "there are no tensors of 16 bits",
    r"Tensor\.(pin_memory|is_pinned) \| .*": "no other device is there: nothing is pinned, and nothing has to be",
    r"Tensor\.unique_consecutive \| an array": "torch asks for its truth, which an array has not",
    r"nn\.\w+Pad\dd \| (None|a strange object)": "refused when the module is made; in torch when it is called",
}
SECONDS, BYTES = 20, 2 << 30  # what one call may cost; far more than any needs, on a slow build too


class Raises:
    """Every question about it fails."""

    def fails(self, *args: Any, **kwargs: Any) -> Any:
        raise LookupError("a hostile object was asked")

    __index__ = __float__ = __len__ = __array__ = __iter__ = __getitem__ = __bool__ = fails


class TooLong(BaseException):
    pass


def wrong_arguments(lib: Any) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """What is given to every function."""
    x = lib.arange(12, dtype=lib.float32).reshape(3, 4) / 7 - 0.5
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


def too_long(*_: Any) -> None:
    raise TooLong


def attempt(lib: Any, called: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[BaseException | None, bool]:
    """What the call raised, and whether a tensor among its arguments was written."""
    tensors = [a for a in args if isinstance(a, lib.Tensor)]
    before = [arr(t).tobytes() for t in tensors]
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    error: BaseException | None = None
    try:
        called(*args, **kwargs)
    except (Exception, TooLong) as found:  # noqa: BLE001  (the class is what is compared)
        error = found
    signal.setitimer(signal.ITIMER_PROF, 0)
    lib.set_grad_enabled(True)
    lib.set_default_dtype(lib.float32)
    return error, before != [arr(t).tobytes() for t in tensors]


def named(error: BaseException, name: str) -> bool:
    """Whether the message says what was called: the function, or the one it is an alias of, or the argument."""
    words = [re.escape(name.strip("_").removeprefix("arc")), r"\w+\(\)", r"\w+: ", "argument", "expected", "dtype"]
    return bool(re.search("|".join(words), str(error), re.IGNORECASE))


def same_words(mine: BaseException, other: BaseException | None) -> bool:
    """Python's own words or the hostile object's, which torch lets through as well."""
    texts = [re.sub(r"(fastnn|torch)\.", "", str(error))[:25] for error in (mine, other)]
    return isinstance(mine, LookupError) or texts[0] == texts[1]


def walk(path: str) -> dict[str, Any]:
    of_class = path == "Tensor"
    homes = [lib if path == "fastnn" else lib.nn.functional if path == "nn.functional" else getattr(lib, path) for lib in (fastnn, torch)]
    names = [n for n in dir(homes[0]) if not n.startswith("_") and n not in LEFT_OUT and callable(getattr(homes[0], n))]
    result: dict[str, Any] = {"names": len(names), "calls": 0, "refused": 0, "faults": [], "differ": []}
    faults = result["faults"]
    for name in names:
        takes = [True, True]
        for ours, theirs in zip(wrong_arguments(fastnn), wrong_arguments(torch), strict=True):
            label = ours[0]
            errors: list[BaseException | None] = [None, None]
            for k, (lib, home, (_, args, kwargs)) in enumerate(zip((fastnn, torch), homes, (ours, theirs), strict=True)):
                if not hasattr(home, name):
                    continue
                if of_class and not (args and isinstance(args[0], lib.Tensor)):
                    args = (lib.ones(3, 4), *args)
                print(f"{lib.__name__} {path}.{name}, {label}", file=sys.stderr, flush=True)
                errors[k], written = attempt(lib, getattr(home, name), args, kwargs)
                takes[k] = takes[k] and errors[k] is None
                if k == 0 and errors[0] is not None and written:
                    faults.append(f"{path}.{name}, {label}: refused, but an argument was written")
            judge(f"{path}.{name}", label, errors, hasattr(homes[1], name), result)
        if takes[0] and not (takes[1] and hasattr(homes[1], name)):
            faults.append(f"{path}.{name}: takes everything")
    return result


def judge(name: str, label: str, errors: list[BaseException | None], in_torch: bool, result: dict[str, Any]) -> None:
    mine, other = errors
    result["calls"] += 1
    result["refused"] += mine is not None
    faults = result["faults"]
    if isinstance(mine, TooLong | MemoryError):
        faults.append(f"{name}, {label}: {type(mine).__name__}, the call costs more than {SECONDS} s or {BYTES >> 30} GB")
    elif mine is not None and not str(mine).strip():
        faults.append(f"{name}, {label}: {type(mine).__name__} without a message")
    elif mine is not None and not named(mine, name.rpartition(".")[2]) and not same_words(mine, other):
        faults.append(f"{name}, {label}: the message names nothing: {mine!s:.120}")
    if not in_torch or isinstance(other, TooLong):
        return
    differs = (mine is None) != (other is None) or (mine is not None and type(mine) is not type(other))
    # torch's Python functions ask an attribute of what is no tensor; a TypeError with words is the better answer
    if differs and isinstance(mine, TypeError) and isinstance(other, AttributeError):
        return
    reasons = [pattern for pattern in EXCEPTIONS if re.fullmatch(pattern, f"{name} | {label}")]
    result["differ"] += reasons[:1] if differs else []
    if differs and not reasons:
        faults.append(f"{name}, {label}: {mine!r:.150}, torch {other!r:.150}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, too_long)
    torch.set_num_threads(1)
    if not SANITIZED:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + BYTES, size + BYTES))
    for module in sys.argv[1:]:
        print(json.dumps({"module": module, **walk(module)}))
