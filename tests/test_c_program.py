"""Builds tests/c/train_mlp.c against the library without its Python folder and runs it; the Python API must print the same losses.

Invariant: the program includes fastnn.h only; its exit status and what it prints are the verdict. The library's objects are those of the last build where there
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
from support import ROOT

import fastnn
import fastnn.nn.functional as F

FLAGS = "-std=c11 -D_GNU_SOURCE -pthread -Wall -Wextra -Werror -fno-math-errno -fno-trapping-math -ffp-contract=off".split()
PROGRAM = ROOT / "tests" / "c" / "train_mlp.c"
UNITS = sorted(p for p in (ROOT / "csrc").rglob("*.c") if p.parent.name != "python")
COMPILER = shlex.split(os.environ.get("CC", "cc"))


def built_objects() -> list[Path] | None:
    """Objects of an up-to-date build: one per unit, none older than any source."""
    newest = max(p.stat().st_mtime for p in (ROOT / "csrc").rglob("*") if p.suffix in (".c", ".h", ".inc", ".def"))
    for folder in sorted((ROOT / "build").glob("obj-*"), key=lambda p: -p.stat().st_mtime):
        objects = [folder / f"{str(u.relative_to(ROOT).with_suffix('')).replace(os.sep, '-')}.o" for u in UNITS]
        if all(o.exists() for o in objects) and max(o.stat().st_mtime for o in objects) > newest:
            return objects
    return None


def compile_units(folder: Path) -> list[Path]:
    def one(unit: Path) -> Path:
        obj = folder / f"{unit.parent.name}-{unit.stem}.o"
        subprocess.run([*COMPILER, *FLAGS, "-O1", "-I", str(ROOT / "csrc"), "-c", str(unit), "-o", str(obj)], check=True)
        return obj

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, UNITS))


def test_program_includes_the_public_header_only() -> None:
    assert re.findall(r'#include "([^"]+)"', PROGRAM.read_text()) == ["fastnn.h"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train_mlp")
    objects = [str(o) for o in built_objects() or compile_units(folder)]
    found = folder / "train_mlp"
    libraries = ["-o", str(found), "-lm", "-ldl", "-pthread"]
    subprocess.run([*COMPILER, *FLAGS, "-O1", "-I", str(ROOT / "csrc"), str(PROGRAM), *objects, *libraries], check=True)
    return found


@pytest.mark.parametrize("isa", ["auto", "scalar"])
def test_training_from_c(isa: str, program: Path) -> None:
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=120, env={**os.environ, "FASTNN_ISA": isa})
    assert done.returncode == 0, done.stderr
    losses = re.findall(r"loss (\d\.\d+)", done.stdout)
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
