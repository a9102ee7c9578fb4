"""Builds the programs of tests/c against the library without its Python folder and runs them: train_mlp.c must print the losses of the Python API,
op_hashes.c the same bits on every instruction set and for every number of threads (on aarch64 too: qemu.py); wrong_calls.c must be refused what is wrong.

Invariant: train_mlp.c and wrong_calls.c include fastnn.h only; a program's exit status and what it prints are the verdict. The library's objects are those of the last build where there
are some, so that the test links in a second; otherwise they are compiled here. Read next: tests/c/train_mlp.c.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support import ROOT, SANITIZED, c_environment, isas

import fastnn
import fastnn.nn.functional as F

FLAGS = "-std=c11 -D_GNU_SOURCE -pthread -Wall -Wextra -Werror -fno-math-errno -fno-trapping-math -ffp-contract=off".split()
PROGRAM = ROOT / "tests" / "c" / "train_mlp.c"
UNITS = sorted(p for p in (ROOT / "csrc").rglob("*.c") if p.parent.name != "python")
COMPILER = shlex.split(os.environ.get("CC", "cc"))
KIND, CHECKS = "obj", ["-O1"]
if SANITIZED:
    KIND, CHECKS = "sanitized", ["-O0", "-fsanitize=address,undefined"]
elif "FASTNN_COVERAGE" in os.environ:  # (c_coverage.py: the lines these programs run count)
    KIND, CHECKS = "coverage", ["-O1", "--coverage"]


def built_objects() -> list[Path] | None:
    """Objects of an up-to-date build: one per unit, none older than any source."""
    sources = (p for p in (ROOT / "csrc").rglob("*") if p.suffix in (".c", ".h", ".inc", ".def") and p.parent.name != "python")
    newest = max(p.stat().st_mtime for p in sources)
    for folder in sorted((ROOT / "build").glob(f"{KIND}-*"), key=lambda p: -p.stat().st_mtime):
        objects = [folder / f"{str(u.relative_to(ROOT).with_suffix('')).replace(os.sep, '-')}.o" for u in UNITS]
        if all(o.exists() for o in objects) and max(o.stat().st_mtime for o in objects) > newest:
            return objects
    return None


def compile_units(folder: Path) -> list[Path]:
    def one(unit: Path) -> Path:
        obj = folder / f"{unit.parent.name}-{unit.stem}.o"
        command = [*COMPILER, *FLAGS, *CHECKS, "-fPIC", "-I", str(ROOT / "csrc"), "-c", str(unit), "-o", str(obj)]
        subprocess.run(command, check=True, env=c_environment())
        return obj

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, UNITS))


@pytest.mark.parametrize("program", [PROGRAM, PROGRAM.with_name("wrong_calls.c")], ids=lambda p: p.stem)
def test_program_includes_the_public_header_only(program: Path) -> None:
    assert re.findall(r'#include "([^"]+)"', program.read_text()) == ["fastnn.h"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("programs")
    objects = [str(o) for o in built_objects() or compile_units(folder)]
    found = {name: folder / name for name in ("train_mlp", "op_hashes", "wrong_calls")}
    for name, program in found.items():
        source = ROOT / "tests" / "c" / f"{name}.c"
        libraries = ["-o", str(program), "-lm", "-ldl", "-pthread"]
        command = [*COMPILER, *FLAGS, *CHECKS, "-I", str(ROOT / "csrc"), str(source), *objects, *libraries]
        subprocess.run(command, check=True, env=c_environment())
    return found


def test_calls_that_python_cannot_make(programs: dict[str, Path]) -> None:
    assert printed_by(programs["wrong_calls"]) == ""


def printed_by(program: Path, **env: str) -> str:
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=600, env=c_environment(**env))
    assert done.returncode == 0 and done.stderr == "", done.stderr  # (a sanitizer's report is there)
    return done.stdout


def test_bits_do_not_depend_on_instruction_set_and_threads(programs: dict[str, Path]) -> None:
    """Two hundred calls of ops of all families, both dtypes, values and gradients, the streams, an optimizer's steps."""
    name, *want = printed_by(programs["op_hashes"], FASTNN_ISA="scalar", FASTNN_BLAS="none").splitlines()
    assert name == "isa scalar"
    assert len(want) > 390
    for isa in isas():
        for threads in ("1", "3"):
            name, *got = printed_by(programs["op_hashes"], FASTNN_ISA=isa, FASTNN_BLAS="none", FASTNN_NUM_THREADS=threads).splitlines()
            assert name == f"isa {isa}"
            assert got == want


@pytest.mark.parametrize("isa", ["auto", "scalar"])
def test_training_from_c(isa: str, programs: dict[str, Path]) -> None:
    losses = re.findall(r"loss (\d\.\d+)", printed_by(programs["train_mlp"], FASTNN_ISA=isa))
    assert losses == sorted(losses, reverse=True)
    assert losses == python_losses()


def python_losses() -> list[str]:
    """What train_mlp.c prints, from the same training through the Python API."""
    names = re.findall(r'"(\w+)"', re.search(r"names\[\] = \{(.*)\}", PROGRAM.read_text())[1])  # type: ignore[index]
    state = 1

    def uniform() -> np.float32:
        nonlocal state
        state = (state * 1664525 + 1013904223) % 2**32
        return np.float32(state >> 8) / np.float32(8388608) - np.float32(1)

    def parameter(*shape: int, scale: float) -> fastnn.Tensor:
        values = [np.float32(scale) * uniform() for _ in range(math.prod(shape))]
        return fastnn.tensor(np.array(values, np.float32).reshape(shape), requires_grad=True)

    p = [parameter(27, 8, scale=1), parameter(32, 24, scale=0.2), parameter(32, scale=0.1), parameter(27, 32, scale=0.1), parameter(27, scale=0.01)]
    letters = [[0] * 3 + [ord(c) - 96 for c in name] + [0] for name in names]
    x = fastnn.tensor([word[i : i + 3] for word in letters for i in range(len(word) - 3)])
    y = fastnn.tensor([word[i + 3] for word in letters for i in range(len(word) - 3)])
    printed = []
    for step in range(300):
        h = fastnn.tanh(F.linear(F.embedding(x, p[0]).view(-1, 24), p[1], p[2]))
        loss = F.cross_entropy(F.linear(h, p[3], p[4]), y)
        loss.backward()
        if step % 50 == 0 or step == 299:
            printed.append(f"{loss.item():.4f}")
        with fastnn.no_grad():
            for t in p:
                t.add_(t.grad, alpha=-0.5)
                t.grad = None
    return printed
