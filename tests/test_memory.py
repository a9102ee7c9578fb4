"""Memory that runs out: every request of a piece of work fails once, see memory_walk.py; here the works are run, each in a process of its own.

Invariant: a work passes only if all its requests were tried: the counts it prints are positive for every source.
Read next: memory_walk.py (what is demanded), memory_works.py and memory_writes.py (the works).
"""

from __future__ import annotations

import re

import pytest
from memory_works import WORKS
from support import TESTS, run_python


@pytest.mark.parametrize("name", list(WORKS))
def test_every_request_may_fail(name: str) -> None:
    printed = run_python(args=[str(TESTS / "memory_walk.py"), name]).stdout
    counts = dict(re.findall(r" (\w+) (\d+)$", printed, re.MULTILINE))
    assert set(counts) == set(WORKS[name].sources), printed
    assert all(int(n) > 0 for n in counts.values()), printed
