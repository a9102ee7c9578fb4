"""A short, seeded run of the fuzzer: each reader a few thousand inputs, and the fuzzer's own ability to fail.

Does not: run long; `python tests/fuzz/run.py` does. Read next: run.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import run_python

RUN = str(Path(__file__).parent / "run.py")
INPUTS = {"pt": 2000, "legacy": 2000, "rebuild": 5000, "checkpoint": 1000, "names": 2000, "state": 1500, "generator": 5000, "memory": 5000}


@pytest.mark.parametrize("reader", INPUTS)
def test_reader(reader: str) -> None:
    done = run_python(args=[RUN, reader, "--inputs", str(INPUTS[reader]), "--jobs", "1"], timeout=600)
    assert done.stdout.endswith("0 defects\n"), done.stdout
    ends = dict((name, int(n.replace(",", ""))) for n, name in re.findall(r"([\d,]+) (\w+)(?:,|$)", done.stdout.split("\n")[0].split("more: ")[1]))
    assert sum(ends.values()) == INPUTS[reader], done.stdout
    assert ends["value"] > INPUTS[reader] // 200, "hardly any input passes: the damage is too coarse to reach the code behind the checks"


BROKEN = """
import sys; sys.path.insert(0, {folder!r})
import os, signal, readers, run
reader = readers.READERS["generator"]
def read(data):
    {what}
reader.read = lambda data: read(data) if run._watched else None  # not yet while it warms up
print(len(run.run("generator", 3, 0, 1)))
"""


@pytest.mark.parametrize(
    ("what", "report"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("bytearray(3 << 30)", "MemoryError"),
        ("eval('1')", "Forbidden"),
        ("open('/tmp/fastnn-never', 'w')", "Forbidden"),
        ("os.system('true')", "Forbidden"),
        ("raise KeyError(1)", "KeyError"),
        ("while True: pass", "hung for 1 s"),
    ],
)
def test_the_fuzzer_notices(what: str, report: str) -> None:
    code = BROKEN.format(folder=str(Path(__file__).parent), what=what).replace("import os,", "import run; run.LIMIT_S = 1\nimport os,", 1)
    done = run_python(code)
    assert done.stdout.count(report) >= 3, done.stdout + done.stderr


# Inputs that runs of a million each once reported: (reader, seed, input).
FOUND = [("memory", 0, 107556), ("memory", 0, 523976), ("memory", 0, 683146)]


def test_what_long_runs_found() -> None:
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import readers, run
for name, seed, k in {FOUND!r}:
    reader = readers.READERS[name]
    print(run.read_one(reader, run.damaged(reader, reader.samples(), seed, k)))
"""
    ends = run_python(code).stdout.splitlines()
    assert len(ends) == len(FOUND)
    assert not [end for end in ends if end.startswith("!")], ends
