"""Builds tests/c/test_core.c with csrc/core and runs it: plainly, in a debug build, and under the sanitizers (address: lost blocks, too).

Invariant: the program's exit status is the verdict. Does not: import fastnn. Read next: tests/c/test_core.c.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from support import ROOT, c_environment

UNITS = [ROOT / "csrc/core" / f"{name}.c" for name in ("status", "pool", "threads")]  # (the program includes two more)
FLAGS = "-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fno-math-errno -ffp-contract=off".split()
FLAGS += ["-I", str(ROOT / "csrc")]
BUILDS = {
    "plain": ["-O2"],
    "debug": ["-O1", "-DFNN_DEBUG=1"],
    "address": ["-O1", "-g", "-DFNN_DEBUG=1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-O1", "-g", "-fsanitize=thread", "-DNO_FORK"],
}


@pytest.mark.parametrize("build", BUILDS)
def test_core_without_python(build: str, tmp_path: Path) -> None:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    assert shutil.which(compiler[0]), "a C compiler builds fastnn, so there is one"
    program = tmp_path / "test_core"
    sources = [str(p) for p in (ROOT / "tests/c/test_core.c", *UNITS)]
    command = [*compiler, *FLAGS, *BUILDS[build], *sources, "-o", str(program), "-lm", "-pthread", "-Wl,--wrap=mmap,--wrap=calloc,--wrap=pthread_create"]
    subprocess.run(command, check=True, env=c_environment())
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=120, env=c_environment())
    assert done.returncode == 0, done.stderr
