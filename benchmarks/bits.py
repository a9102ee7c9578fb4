"""The same bits on every row: output and gradients of every case, at several numbers of threads and instruction sets.

    python benchmarks/bits.py [--filter TEXT ...] [--makemore DIR]

Each row runs with 1, 2, 3 and 7 threads, with every region split however short it is, and then, in a process without
OpenBLAS (whose own kernels differ from machine to machine), on every instruction set; scalar only where it takes no
minutes. Training steps run three times, so that a difference in a gradient shows in the next loss.
Prints the rows that differ and by how much; exit status 1 if there are any. What it does not do: time, or need torch.
Read next: measure.py (how a row is run), tests/test_isa.py and tests/test_threads.py (the same for small samples).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from measure import Side

THREADS = (1, 2, 3, 7)
SLOW_SECONDS = 0.002  # a row that takes longer on vectors is not run on the scalar kernels, 30 to 100 times slower
STEPS = 3


def leaves_of(result: Any) -> Iterator[Any]:
    """The tensors or arrays of a row's result, which is one or a list of such; None where a row has no result."""
    if isinstance(result, list | tuple):
        for part in result:
            yield from leaves_of(part)
    elif result is not None:
        yield result


def outcome(side: Side, name: str, backward: bool) -> list[np.ndarray]:
    """Everything a row computes, from the same inputs and the same random stream each time."""
    case = side.cases[name]
    side.torch.manual_seed(0)
    with side.torch.set_grad_enabled(backward or case.graph):
        run, inputs = side.runner(name, backward)
        times = 1 if case.check or case.backward else STEPS
        found = [np.array(getattr(t, "detach", lambda t=t: t)()) for _ in range(times) for t in leaves_of(run())]
    return found + [np.array(leaf.grad) for leaf in inputs if leaf.grad is not None]


def difference(first: list[np.ndarray], second: list[np.ndarray]) -> str:
    """Empty if all bits are equal."""
    for i, (a, b) in enumerate(zip(first, second, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"array {i}: {a.dtype} {a.shape}, {b.dtype} {b.shape}"
        if a.tobytes() != b.tobytes():
            apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
            return (
                f"array {i} of {len(first)}: {np.count_nonzero(apart)} of {a.size} differ, at most by {apart.max():.1e}"
            )
    return ""


def settings(side: Side, isas: bool) -> list[tuple[str, Callable[[], None]]]:
    """(name, switch) of each way to run a row; the first is what the others are compared with."""
    from fastnn import _C

    if isas:
        names = _C._build_info()["isas"]
        return [(name, lambda name=name: _C._select_isa(name)) for name in names]  # type: ignore[misc]
    _C._set_parallel_threshold(0.0, 0.0)
    return [(f"{n} threads", lambda n=n: side.torch.set_num_threads(n)) for n in THREADS]  # type: ignore[misc]


def check(texts: list[str], makemore: str | None, isas: bool) -> int:
    """Runs every row in every setting; the number of rows that differ."""
    side = Side("fastnn", None, makemore)
    ways = settings(side, isas)
    rows = side.rows(texts)
    different = 0
    for name, backward in rows:
        label = name + (" fwd+bwd" if backward else "")
        found = []
        try:
            ways[0][1]()
            start = time.perf_counter()
            first = outcome(side, name, backward)
            slow = time.perf_counter() - start > SLOW_SECONDS
            for way, switch in ways[1:]:
                if way != "scalar" or not slow:
                    switch()
                    found += [f"{way}: {text}" for text in [difference(first, outcome(side, name, backward))] if text]
        except Exception as error:  # noqa: BLE001  (the other rows still count)
            found.append(f"failed: {type(error).__name__}: {error}")
        different += bool(found)
        if found:
            print(f"{label:44} {'; '.join(found)}", flush=True)
    print(
        f"{', '.join(way for way, _ in ways)}: {len(rows) - different} of {len(rows)} rows have the same bits",
        flush=True,
    )
    return different


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares the bits of every row between threads and instruction sets.")
    parser.add_argument("--filter", nargs="+", default=[], metavar="TEXT", help="only cases with a TEXT in their name")
    parser.add_argument("--makemore", metavar="DIR", help="holds makemore.py and names.txt: adds its rows")
    parser.add_argument("--isas", action="store_true", help="only the comparison of instruction sets")
    args = parser.parse_args()
    if args.isas:
        return 1 if check(args.filter, args.makemore, True) else 0
    different = check(args.filter, args.makemore, False)
    # Which library does the large products is decided once in a process.
    again = [sys.executable, __file__, "--isas", *sys.argv[1:]]
    return 1 if subprocess.run(again, env={**os.environ, "FASTNN_BLAS": "none"}).returncode or different else 0


if __name__ == "__main__":
    sys.exit(main())
