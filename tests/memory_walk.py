"""Takes away memory: every request that a piece of work makes fails once, in the pool or in Python's allocator.

A `Work` makes fresh state, works on it, and tells what it holds. For n = 1, 2, 3, ... the n-th request fails; then
- the work raised MemoryError, or needed that memory for speed only and came to the usual result;
- every value it holds is the one from before or the one from after, those of one group all of one kind;
- the same work done once more succeeds and leaves the bits of a run that never failed;
- no block of the pool and no Python block is lost: a loss shows as a growth with each repetition.
Invariant: imports neither torch nor pytest, and is run in a process of its own: `python memory_walk.py [NAME...]` prints the counts.
Does not: choose the work (memory_works.py does). Read next: memory_works.py, test_memory.py, c/failing_allocator.c.
"""

from __future__ import annotations

import gc
import importlib.util
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastnn

Held = dict[str, Any]  # "group/name" -> bytes, a number, None
TENSORS = 256  # what fastnn's freelist of Tensor objects holds
REPEATS = 12  # of a failing run, until one leaves nothing behind


@dataclass(frozen=True)
class Work:
    make: Callable[[], Any]
    run: Callable[[Any], Any]  # its result is what `result` reads
    held: Callable[[Any], Held]
    result: Callable[[Any], Any] = lambda r: None  # bytes of the result
    sources: tuple[str, ...] = ("pool", "python")


def load_allocator() -> Any:
    """Compiles and installs tests/c/failing_allocator.c; the module."""
    source = Path(__file__).resolve().parent / "c" / "failing_allocator.c"
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/failing_allocator.so"
        include = sysconfig.get_path("include")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-isystem", include, str(source), "-o", library], check=True)
        spec = importlib.util.spec_from_file_location("failing_allocator", library)
        assert spec
        module = importlib.util.module_from_spec(spec)
    module.install()
    return module


class Walk:
    """One work under one source of failures."""

    def __init__(self, work: Work, source: str, hook: Any) -> None:
        self.work, self.hook, self.in_pool = work, hook, source == "pool"
        pool = fastnn._C._pool_fail_after
        self.arm: Callable[[int], Any] = pool if self.in_pool else lambda n: hook.arm(n, source == "extension")
        self.disarm: Callable[[], int] = (lambda: pool(0)) if self.in_pool else hook.disarm
        state = work.make()
        self.before = work.held(state)
        self.result = work.result(work.run(state))
        self.after = work.held(state)
        self.again_result = work.result(work.run(state))
        self.again = work.held(state)

    def live(self) -> tuple[int, int]:
        """Blocks of Python, bytes of the pool. The cache of type attributes keeps names alive: not counted."""
        sys._clear_type_cache()
        return int(self.hook.live()), int(fastnn._C._pool_stats()["bytes_in_use"])

    def attempt(self, n: int) -> tuple[bool, BaseException | None, Any, Any]:
        """Runs with the n-th request failing: whether it was reached, the error, the state, the result."""
        state, error, result, arm, disarm, run = self.work.make(), None, None, self.arm, self.disarm, self.work.run
        gc.collect()  # empties the interpreter's freelists, and the next line fastnn's: what they hold costs no request
        tensors = [fastnn.empty(0) for _ in range(TENSORS)]
        arm(n)
        try:
            result = run(state)
        except BaseException as e:  # noqa: BLE001  (judged below)
            error = e
        reached = disarm() == 0
        del tensors
        if error is not None:
            error.__traceback__ = None
        return reached, error, state, result

    def judge(self, n: int) -> bool:
        """False when the work makes fewer than n requests."""
        reached, error, state, result = self.attempt(n)
        if error is not None and not isinstance(error, MemoryError):
            raise AssertionError(f"request {n}: {type(error).__name__}: {error}") from error
        if error is None:
            assert self.work.result(result) == self.result, f"request {n}: no error, and another result"
        held = self.work.held(state)
        groups: dict[str, set[str]] = {}
        for key in {*held, *self.after, *self.before}:
            value = held.get(key)
            kinds = {kind for kind, want in (("before", self.before), ("after", self.after)) if value == want.get(key)}
            assert kinds, f"request {n}: {key} is neither what it was nor what it becomes"
            group = key.partition("/")[0]
            groups[group] = groups.get(group, {"before", "after"}) & kinds
            assert groups[group], f"request {n}: of {group} some has changed and {key} not, or the other way round"
        done = "before" not in groups.get("state", {"before"})
        assert error is not None or held == self.after, f"request {n}: no error, and other values"
        again = self.work.result(self.work.run(state))
        assert again == (self.again_result if done else self.result), f"request {n}: the next run gives another result"
        assert self.work.held(state) == (self.again if done else self.after), f"request {n}: the next run leaves other values"
        return reached

    def loses(self, n: int) -> str:
        """What the n-th failure leaves behind each time; "" when there was a time without: freelists take a few."""
        growth = (0, 0)
        for _ in range(REPEATS):
            before = self.live()
            self.attempt(n)
            gc.collect()
            growth = tuple(now - then for now, then in zip(self.live(), before, strict=True))
            if max(growth) <= 0:
                return ""
        return f"request {n}: {growth[0]} Python blocks and {growth[1]} bytes of the pool lost, each of {REPEATS} times"

    def all(self) -> int:
        n = 0
        while True:
            n += 1
            if not self.judge(n):
                return n - 1
            # Python code cannot lose a reference, but CPython 3.11 itself does: list(x) and cells of a call, where they find no memory.
            lost = self.loses(n) if self.in_pool or self.hook.failed_by_extension() else ""
            assert not lost, lost


def main(names: list[str]) -> None:
    from memory_works import WORKS

    hook = load_allocator()
    gc.disable()
    gc.freeze()  # what is there by now need not be looked at each time
    for name in names or list(WORKS):
        counts = []
        for source in WORKS[name].sources:
            print(name, source, end=" ", flush=True)
            counts.append(Walk(WORKS[name], source, hook).all())
            print(counts[-1], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
