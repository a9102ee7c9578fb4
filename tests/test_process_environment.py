"""Unfriendly surroundings: closed streams, nonsense in the environment, Python's own checking modes.

Invariant: a process either works with the usual bits or ends with a Python exception; never a crash, never a warning of ours.
Does not: cover limits of memory (test_process_exit.py). Read next: process_work.py.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from process_work import DEADLINE, train
from support import TESTS

PYTHONPATH = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])


def child(*args: str, before: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Python with `args`; `before`: shell text such as `exec <&-`, run before it."""
    command = f'{before}\nexec "$0" "$@"'
    full = {**os.environ, "PYTHONPATH": PYTHONPATH, **env}
    return subprocess.run(["bash", "-c", command, sys.executable, *args], capture_output=True, text=True, timeout=DEADLINE, env=full)


def test_nonsense_thread_counts() -> None:
    """What is no positive number is as if it were not there; what is too large is cut."""
    code = "from process_work import *; print(fastnn.get_num_threads(), train(1))"
    usable, want = len(os.sched_getaffinity(0)), train(1)
    ours = {"": usable, "abc": usable, "-3": usable, "0": usable, "3x": usable, " 3": 3, "9" * 30: 256, "\udcff": usable}
    for variable, counts in (("FASTNN_NUM_THREADS", ours), ("OMP_NUM_THREADS", {"4,2": 4, "1e3": usable, "300": 256})):
        for text, count in counts.items():
            done = child("-c", code, **{"FASTNN_NUM_THREADS": "", "OMP_NUM_THREADS": "", variable: text})
            assert (done.stdout, done.stderr) == (f"{count} {want}\n", ""), f"{variable}={text!r}"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FASTNN_ISA", "avx1024", "ImportError: FASTNN_ISA"),
        ("FASTNN_ISA", "", ""),
        ("FASTNN_BLAS", "/nowhere/lib.so", "UserWarning: FASTNN_BLAS: there is no /nowhere/lib.so"),
        ("FASTNN_BLAS", "/dev/null", ""),
        ("FASTNN_BLAS", "x" * 5000, ""),
        ("FASTNN_BLAS", "none", ""),
    ],
)
def test_other_settings(name: str, value: str, words: str) -> None:
    """A wrong instruction set is refused by name; a library that is not there or cannot be opened leaves the work to our own kernels."""
    done = child("-c", "from process_work import *; print(train(1))", **{name: value})
    refused = "ImportError" in words
    assert (done.returncode, done.stdout) == ((1, "") if refused else (0, train(1) + "\n"))
    assert words in done.stderr
    assert bool(done.stderr) == bool(words)


@pytest.mark.parametrize(
    ("options", "env"),
    [
        (["-X", "dev", "-W", "error"], {"PYTHONHASHSEED": "0"}),
        (["-OO", "-b", "-W", "error::BytesWarning"], {"PYTHONHASHSEED": "1"}),
        (["-X", "tracemalloc=1", "-P", "-s"], {"PYTHONHASHSEED": "4294967295"}),
        (["-X", "faulthandler"], {"PYTHONMALLOC": "debug"}),
        ([], {"PYTHONMALLOC": "malloc_debug"}),
        ([], {"PYTHONMALLOC": "malloc"}),
    ],
)
def test_modes_of_python(options: list[str], env: dict[str, str]) -> None:
    """Its checks of arguments, bytes, warnings and memory find nothing; nothing goes by the order of a set."""
    done = child(*options, "-c", "from process_work import *; print(train(1)); import fastnn.cli, fastnn.kernels, fastnn.train.trainer", **env)
    assert (done.returncode, done.stdout, done.stderr) == (0, train(1) + "\n", "")


@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str, tmp_path) -> None:
    """Files opened later get the numbers 0 to 2: nothing may be written to them by mistake."""
    found = tmp_path / "found"
    code = f"""
from process_work import *
found = train(1)
fastnn.save({{"x": fastnn.ones(3)}}, {str(tmp_path / "x.pt")!r})
import fastnn.cli
try:
    status = fastnn.cli.main(["info"])
except OSError as error:
    status = "OSError"
open({str(found)!r}, "w").write(f"{{found}} {{float(fastnn.load({str(tmp_path / "x.pt")!r})['x'].sum())}}")
"""
    done = child("-c", code, before=f"exec {closed}")
    assert found.read_text() == f"{train(1)} 3.0", done
