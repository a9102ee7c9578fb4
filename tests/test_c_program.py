"""Builds tests/c/train_mlp.c against the library without its Python folder and runs it.

Invariant: the program includes fastnn.h only; its exit status is the verdict. The library's objects are those of the last build where there
are some, so that the test links in a second; otherwise they are compiled here. Read next: tests/c/train_mlp.c.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import ROOT

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


@pytest.mark.parametrize("isa", ["", "scalar"])
def test_training_from_c(isa: str, tmp_path: Path) -> None:
    objects = built_objects() or compile_units(tmp_path)
    program = tmp_path / "train_mlp"
    subprocess.run([*COMPILER, *FLAGS, "-O1", "-I", str(ROOT / "csrc"), str(PROGRAM), *map(str, objects), "-o", str(program), "-lm", "-ldl", "-pthread"], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=120, env={**os.environ, **({"FASTNN_ISA": isa} if isa else {})})
    assert done.returncode == 0, done.stderr
    losses = [float(v) for v in re.findall(r"loss (\d\.\d+)", done.stdout)]
    assert len(losses) == 7
    assert losses == sorted(losses, reverse=True)
