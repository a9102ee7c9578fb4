"""`fastnn verify`: the whole command where PyTorch cannot be imported, and that what is wrong is counted, named and in the exit status.

Invariant: the whole command is run as a user runs it. Does not: time it. Read next: tests/verify.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import verify
from op_table import ROWS
from proofs import oracle_of
from random_vectors import VECTORS
from support import isas


def lines_of(output: str) -> dict[str, tuple[int, int, int]]:
    """The table: what -> (checks, numbers, failed)."""
    rows = (line.rsplit(maxsplit=4) for line in output.splitlines() if line[:1].isalpha() and line[-2:-1] == ".")
    return {what: (int(checks), int(numbers.replace(",", "")), int(failed)) for what, checks, numbers, failed, _ in rows}


def test_whole_command_without_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": paths}
    assert subprocess.run([sys.executable, "-c", "import torch"], env=env, capture_output=True).returncode == 1
    done = subprocess.run([sys.executable, "-m", "fastnn", "verify"], env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    table, others = lines_of(done.stdout), len(isas()) - 1
    assert len(table) == 5 + others
    assert not any(failed for _, _, failed in table.values())
    assert all(numbers >= checks for checks, numbers, _ in table.values())
    found = {checks for checks, _, _ in table.values()}
    wanted = {
        2 * len(VECTORS) + 1,
        sum(r.grad and r.numeric for r in ROWS.values()),
        sum(d.startswith("float") for r in ROWS.values() for d in r.dtypes),
        sum(d.startswith("float") for r in ROWS.values() if oracle_of(r) for d in r.dtypes),
        len(isas()),
    }
    assert found == wanted | ({len(ROWS)} if others else set())
    assert "all right" in done.stdout


def test_failures_are_counted_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> int:
        raise AssertionError("2 of 9 differ")

    def broken() -> int:
        raise ValueError("no shape")

    failures = verify.tally("sums", {"good": lambda: 7, "bad": wrong, "worse": broken, "fine": lambda: 4})
    assert failures == ["sums: bad: 2 of 9 differ", "sums: worse: ValueError: no shape"]
    assert lines_of(capsys.readouterr().out) == {"sums": (4, 11, 2)}


def test_a_process_that_ends_early_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (failure,) = verify.beside_scalar({"mmx": verify.Worker("mmx", str(tmp_path))})
    assert "mmx: exit status 1" in failure
    assert "FASTNN_ISA" in failure
    assert lines_of(capsys.readouterr().out) == {"every op computed, by mmx": (1, 0, 1)}


def test_a_failure_ends_in_exit_status_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """main() with no rows and no processes, where the comparison of instruction sets finds one failure."""
    monkeypatch.setattr(verify, "ROWS", {})
    monkeypatch.setattr(verify, "Worker", lambda isa, folder: None)
    monkeypatch.setattr(verify, "beside_scalar", lambda workers: ["bits of avx2 beside scalar: tanh: 1 of 9 differ"])
    assert verify.main() == 1
    *_, named, last = capsys.readouterr().out.rstrip().splitlines()
    assert named == "FAILED bits of avx2 beside scalar: tanh: 1 of 9 differ"
    assert last.startswith("1 failed")
