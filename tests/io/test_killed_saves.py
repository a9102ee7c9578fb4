"""Saves of `fastnn train` that are killed, or fail, at each system call that changes a file.

Invariant: after SIGKILL at any of them the folder holds a whole checkpoint, the one before or the new one; after ENOSPC or
EIO also nothing that was not there before. The calls are counted under Python (../c/faults.c), so none is forgotten.
Does not: cover power loss (that the calls are fsync'ed in the right order is read off their list). Read next: test_cli_train.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import TESTS, run_python

WORKER = """
import ctypes, errno, os, shutil, sys
from pathlib import Path
import numpy as np
from fastnn.train import checkpoint
from fastnn.train.checkpoint import Checkpoint
from fastnn.train.config import TrainConfig

faults = ctypes.CDLL(None)
folder, clean = Path(sys.argv[1]) / "run", Path(sys.argv[1]) / "clean"
folder.mkdir()

def state(step):
    return Checkpoint(TrainConfig(type="bigram"), "abc", 4, 7, step, {"train": 1.0, "test": None}, {"w": np.full((300, 4), step, np.float32)})

checkpoint.save(folder, state(1))
shutil.copytree(folder, clean)

def child(n, error):
    shutil.rmtree(folder)
    shutil.copytree(clean, folder)
    pid = os.fork()
    if not pid:
        faults.faults_arm(os.fsencode(folder), ctypes.c_long(n), error)
        status = 0
        try:
            checkpoint.save(folder, state(2))
        except OSError as problem:
            status = 3 if problem.errno == error else 4
        faults.faults_arm(b"", ctypes.c_long(-1), 0)
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

faults.faults_arm(os.fsencode(folder), ctypes.c_long(-1), 0)
checkpoint.save(folder, state(2))
calls = faults.faults_seen()
faults.faults_arm(b"", ctypes.c_long(-1), 0)
steps = []
for n in range(calls):
    status = child(n, 0)
    loaded = checkpoint.load(folder)
    assert status == -9, (n, status)
    assert (loaded.tensors["w"] == loaded.step).all()
    steps.append(loaded.step)
    checkpoint.save(folder, state(3))  # and what was left behind is cleared away by the next save
    assert len(list(folder.iterdir())) == 2, list(folder.iterdir())
print("killed", *steps)
for error in (errno.ENOSPC, errno.EIO):
    steps = []
    for n in range(calls):
        status = child(n, error)
        loaded = checkpoint.load(folder)
        assert (loaded.tensors["w"] == loaded.step).all()
        left = sorted(p.name for p in folder.iterdir())
        assert status == 3, (n, status)
        new = loaded.step == 2
        assert new or left == sorted(p.name for p in clean.iterdir()), (n, left)
        assert not any(name.endswith(".new") for name in left), (n, left)
        steps.append(loaded.step)
    print(errno.errorcode[error], *steps)
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not sys.platform.startswith("linux"):
        pytest.skip("LD_PRELOAD and /proc need Linux")
    out = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(out), str(TESTS / "c" / "faults.c"), "-ldl"], check=True)
    return out


def test_every_call_of_a_save(shim: Path, tmp_path: Path) -> None:
    done = run_python(args=["-c", WORKER, str(tmp_path)], env={"LD_PRELOAD": f"{os.environ.get('LD_PRELOAD', '')} {shim}".strip()}, timeout=600)
    killed, *failed = [line.split() for line in done.stdout.splitlines()]
    steps = [int(s) for s in killed[1:]]
    assert len(steps) >= 9, killed  # two files: open, write, fsync, rename, fsync of the folder; an unlink
    assert steps == sorted(steps) and set(steps) == {1, 2}, killed  # the old one until the second rename, the new one after
    for line in failed:
        assert len(line) == len(killed) and set(line[1:]) <= {"1", "2"}, line
    assert [line[0] for line in failed] == ["ENOSPC", "EIO"]
