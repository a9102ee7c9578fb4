"""Nothing stays behind: training steps, errors in the middle of backward, copies, damaged files, and every wrong call of the tables, repeated.

A short run of `python tests/leak_loops.py`, and deliberate leaks that it must see. Read next: leak_loops.py, test_memory.py.
"""

from __future__ import annotations

import pytest
from support import SANITIZED, TESTS, run_python

LEAST = {"steps": 21, "works": 40, "errors": 1100, "kernels": 150, "files": 8}  # loops of each part


@pytest.mark.parametrize("part", list(LEAST))
def test_nothing_stays_behind(part: str) -> None:
    done = run_python(args=[str(TESTS / "leak_loops.py"), "--short", part], timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[1]) >= LEAST[part], done.stdout


DELIBERATE = """
import ctypes
import fastnn
from leak_loops import Scale
from leak_works import Loop
from memory_walk import load_allocator

drop, times = ctypes.pythonapi.Py_IncRef, [0]
drop.argtypes = [ctypes.py_object]
malloc = ctypes.CDLL(None).malloc
malloc.argtypes, malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
held, table, x = [], {}, fastnn.ones(3)

def every(n, lose):
    def once():
        times[0] += 1
        if times[0] % n == 0:
            lose()
    return once

def soon():
    if len(table) < 150:
        table[len(table)] = [str(len(table))]

LOOPS = {
    "an object": every(1, lambda: drop([])),
    "an object in 25 times": every(25, lambda: drop([])),
    "a tensor": lambda: drop(fastnn.zeros(100)),
    "a reference": lambda: drop(x),
    "a reference to a dtype": lambda: drop(fastnn.float32),
    "memory of C": lambda: ctypes.memset(malloc(5000), 1, 5000),
    "a graph": lambda: held.append((fastnn.ones(2, requires_grad=True) * 2).sum()),
    "nothing": lambda: fastnn.zeros(3),
    "a table that fills": soon,
}
scale = Scale(200, load_allocator().live)
for name, once in LOOPS.items():
    print(name, "|", scale.leak(Loop(name, once, (x, fastnn.float32))))
"""
SEEN = {
    "an object": "Python blocks", "an object in 25 times": "Python blocks", "a tensor": "bytes of the pool", "a reference": "references to argument 0",
    "a reference to a dtype": "references to argument 1", "memory of C": "bytes of the process", "a graph": "bytes of the pool", "nothing": "", "a table that fills": "",
}  # fmt: skip


def test_deliberate_leaks_are_seen() -> None:
    found = dict(line.split(" | ") if line[-1] != "|" else (line[:-2], "") for line in map(str.strip, run_python(DELIBERATE).stdout.splitlines()))
    assert set(found) == set(SEEN)
    for name, what in SEEN.items():
        if SANITIZED and name == "memory of C":
            continue  # not counted there
        assert what in found[name], f"{name}: {found[name]}"
        assert bool(what) == bool(found[name]), f"{name}: {found[name]}"
