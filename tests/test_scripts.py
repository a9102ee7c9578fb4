"""Whole scripts, run with PyTorch and with fastnn: what they print must be equal, line by line.

The scripts import torch and know nothing of fastnn. Invariant: both runs are fresh processes with the same arguments; nothing is masked
but lines that start with "time", and a rounding tie on which PyTorch disagrees with itself. Does not: measure speed. Read next: scripts/charmodels.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, SANITIZED, TESTS, data_dir, run_python

SCRIPTS = TESTS / "scripts"
RUNS: dict[str, list[str]] = {
    **{f"charmodels {kind}": ["charmodels.py", "DATA", kind] for kind in ("transformer", "bow", "rnn", "gru", "mlp", "bigram")},
    "charmodels workers": ["charmodels.py", "DATA", "bigram", "2"],
    "lecture 1": ["lecture1_bigram.py", "DATA"],
    "lecture 2": ["lecture2_mlp.py", "DATA"],
    "lecture 3": ["lecture3_batchnorm.py", "DATA"],
    "lecture 4": ["lecture4_backprop.py", "DATA"],
    "lecture 5": ["lecture5_wavenet.py", "DATA"],
    "gpt": ["gpt.py", "DATA"],
    "loaders": ["loaders.py"],
    "recurrent": ["recurrent.py", "DATA"],
    "small graphs": ["small_graphs.py"],
}


# PyTorch on other instruction sets and threads: where these disagree among themselves, a printed digit is a rounding tie.
OTHER_TORCHES: list[dict[str, str]] = [
    {"ATEN_CPU_CAPABILITY": "default"},
    {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"},
    {"ATEN_CPU_CAPABILITY": "avx2"},
    {"OMP_NUM_THREADS": "1"},
]


def printed(runner: list[str], script: list[str], data: Path, env: dict[str, str] | None = None) -> list[str]:
    args = [str(SCRIPTS / script[0]), *(str(data) if a == "DATA" else a for a in script[1:])]
    done = subprocess.run([sys.executable, *runner, *args], capture_output=True, text=True, cwd=ROOT, timeout=900 if SANITIZED else 180, env={**os.environ, "OMP_NUM_THREADS": "2", **(env or {})})
    assert done.returncode == 0, f"{' '.join(runner)} {script}: exit status {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    return [line for line in done.stdout.splitlines() if not line.startswith("time")]


@pytest.mark.parametrize("name", list(RUNS))
def test_prints_the_same(name: str) -> None:
    """Line by line; at most one line of a script may be a tie, and then some PyTorch must print what fastnn prints."""
    script = RUNS[name]
    data = data_dir()
    if "DATA" in script and not (data / "names.txt").exists():
        pytest.skip(f"{data} has no names.txt: set FASTNN_DATA")
    want = printed([], script, data)
    got = printed(["-m", "fastnn", "run"], script, data)
    assert len(got) == len(want)
    ties = [i for i, (w, g) in enumerate(zip(want, got, strict=True)) if w != g]
    assert len(ties) <= 1, f"{len(ties)} of {len(want)} lines differ\n" + "\n".join(f"torch  {want[i]}\nfastnn {got[i]}" for i in ties[:6])
    for i in ties:
        others = (printed([], script, data, env)[i] for env in OTHER_TORCHES)
        assert got[i] in others, f"line {i + 1}:\n  torch, on any instruction set {want[i]}\n  fastnn {got[i]}"


@pytest.mark.parametrize("kind", ["mlp", "gru"])
def test_numpy_training_with_kernels(kind: str) -> None:
    """The NumPy pairs, the tensor API and PyTorch train to the same losses, to 1e-5, over 100 steps."""
    script = str(SCRIPTS / "kernels_numpy.py")
    by_kernels, by_tensors, by_torch = (json.loads(run_python(args=[script, kind, *how]).stdout) for how in ([], ["fastnn"], ["torch"]))
    assert by_torch[-1] < 0.6 * by_torch[0], "the model does not learn"
    for step, (a, b, c) in enumerate(zip(by_kernels, by_tensors, by_torch, strict=True)):
        assert abs(a - c) <= 1e-5, f"step {step}: kernels {a}, torch {c}"
        assert abs(b - c) <= 1e-5, f"step {step}: tensors {b}, torch {c}"


def test_gradients_by_hand_are_autograds_bit_for_bit() -> None:
    lines = printed(["-m", "fastnn", "run"], ["lecture4_backprop.py", "DATA", "exact"], data_dir())
    exact = [line for line in lines if line.startswith("exact ")]
    assert len(exact) == 26
    assert all(line.endswith("True") for line in exact), exact
