"""Does the same again and again and looks whether anything stays behind: `python tests/leak_loops.py [--short] [PART...]`.

PART: steps (10,000 of each model with each optimizer), works, errors (every wrong call of the tables), kernels, files; all by default.
Counted over a window of repetitions: blocks of Python's allocators (exactly, by c/failing_allocator.c), objects the collector knows, bytes of
the pool, memory of the process, references to a call's arguments, to dtypes, None and True. Free lists and tables fill for a while, so a
leak is what grows in each of WINDOWS windows; the first in which nothing does ends a loop.
Invariant: prints a line for each leak and then the number of loops and repetitions; the exit status is 1 if there was a leak. Does not: say
whether the calls do what they should. Read next: leak_works.py (what is repeated), test_leaks.py (which tries it on deliberate leaks).
"""

from __future__ import annotations

import gc
import os
import sys
import time
import warnings
from array import array
from collections.abc import Callable

from leak_works import PARTS, Loop
from memory_walk import load_allocator
from support import SANITIZED

import fastnn

WINDOWS = 4
# Repetitions in a window: as many as the part needs for a leak in one of fifty to be more than what is allowed.
FULL = {"steps": 10_000, "works": 1000, "errors": 200, "kernels": 20, "files": 20}
SHORT = {"steps": 60, "works": 10, "errors": 6, "kernels": 1, "files": 10}


WHAT = ("Python blocks", "objects", "bytes of the pool", "bytes of the process")  # and then references to each argument


def resident() -> int:
    """Bytes of memory this process has. Under a sanitizer, which keeps what was freed for a while, they say nothing."""
    if SANITIZED:
        return 0
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Scale:
    """What is there now; between two looks lie `repetitions` of a loop. Looking leaves no object behind: the numbers lie in arrays."""

    def __init__(self, repetitions: int, live: Callable[[], int]) -> None:
        self.repetitions, self.live = repetitions, live
        self.before, self.after = (array("q", bytes(8 * 200)) for _ in range(2))

    def weigh(self, loop: Loop, into: array[int]) -> None:
        gc.collect()
        sys._clear_type_cache()
        into[0] = self.live()
        into[1] = len(gc.get_objects())
        into[2] = fastnn._C._pool_stats()["bytes_in_use"]
        into[3] = resident()
        for i, o in enumerate(loop.counted):
            into[len(WHAT) + i] = sys.getrefcount(o)

    def grown(self, loop: Loop) -> dict[str, int]:
        """What one window adds, beyond what is allowed: one in a hundred repetitions and two for good measure."""
        self.weigh(loop, self.before)
        for _ in range(self.repetitions):
            loop.once()
        self.weigh(loop, self.after)
        few = 2 + self.repetitions // 100
        allowed = (few, few, 0, 200_000 + 16 * self.repetitions)
        names = (*WHAT, *(f"references to argument {i}" for i in range(len(loop.counted))))
        growth = {name: self.after[i] - self.before[i] for i, name in enumerate(names)}
        return {name: growth[name] for i, name in enumerate(names) if growth[name] > (allowed[i] if i < len(WHAT) else few)}

    def leak(self, loop: Loop) -> str:
        """What grows in each window; "" after a window in which nothing did that grew in those before."""
        loop.once()
        growing = self.grown(loop)
        for _ in range(WINDOWS - 1):
            if not growing:
                return ""
            growing = {what: growth for what, growth in self.grown(loop).items() if what in growing}
        return ", ".join(f"{growth} {what}" for what, growth in growing.items())


def main(arguments: list[str]) -> int:
    short = "--short" in arguments
    live = load_allocator().live
    warnings.simplefilter("ignore")
    leaks = 0
    for part in [a for a in arguments if a != "--short"] or list(PARTS):
        repetitions, count, start = (SHORT if short else FULL)[part], 0, time.monotonic()
        scale = Scale(repetitions, live)
        for loop in PARTS[part]():
            count += 1
            gc.freeze()  # what is there by now need not be looked at each time
            if said := scale.leak(loop):
                leaks += 1
                print(f"leak in {part}, {loop.name}: {said}, in each {repetitions} repetitions")
        print(f"{part}: {count} loops of at least {repetitions} repetitions, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{leaks} leaks")
    return min(leaks, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
