"""Runs the C core as an aarch64 machine would: `python tests/qemu.py`, beside this machine's instruction sets.

Compiles csrc without csrc/python and tests/c/op_hashes.c for aarch64 with clang, runs them under qemu's user mode with NEON and scalar kernels and
compares every printed hash with the scalar one of this machine. Needed (Debian's names): clang, gcc-aarch64-linux-gnu, libc6-dev-arm64-cross,
qemu-user. Exit status 1 if a line differs that is not in OTHER_LIBM, and if train_mlp.c does not print the same losses.
Invariant: one source, one set of flags for both machines. Does not: build the Python module. Read next: tests/c/op_hashes.c, test_c_program.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPY = ROOT / "build" / "qemu"
FLAGS = "-std=c11 -D_GNU_SOURCE -pthread -Wall -Wextra -fno-math-errno -fno-trapping-math -O1 -ffp-contract=off".split()
CROSS = ["--target=aarch64-linux-gnu", "-isystem", "/usr/aarch64-linux-gnu/include"]
NEEDED = ("clang", "aarch64-linux-gnu-gcc", "qemu-aarch64")
PROGRAMS = ("op_hashes", "train_mlp")
# Double functions that go to libm lane by lane (simd/vec_special.h): the two machines' glibc differ in the last place.
OTHER_LIBM = {"erf float64", "erfc float64", "erfinv float64", "lgamma float32", "lgamma float64", "gelu float64"}


def missing() -> list[str]:
    """What this machine lacks to run an aarch64 program."""
    return [tool for tool in NEEDED if shutil.which(tool) is None]


def build(machine: str, compiler: list[str], linker: list[str]) -> dict[str, Path]:
    """The programs for one machine; what is newer than its source and all headers is kept."""
    folder = COPY / machine
    folder.mkdir(parents=True, exist_ok=True)
    headers = max(p.stat().st_mtime for p in (ROOT / "csrc").rglob("*") if p.suffix in (".h", ".inc", ".def"))

    def one(source: Path) -> Path:
        obj = folder / f"{source.parent.name}-{source.stem}.o"
        if not obj.exists() or obj.stat().st_mtime < max(headers, source.stat().st_mtime):
            part = obj.with_suffix(".part")
            subprocess.run([*compiler, *FLAGS, "-I", str(ROOT / "csrc"), "-c", str(source), "-o", str(part)], check=True)
            part.rename(obj)
        return obj

    sources = [p for p in (ROOT / "csrc").rglob("*.c") if p.parent.name != "python"]
    sources.sort(key=lambda p: p.parent.name != "isa")  # the long ones first
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        objects = list(pool.map(one, sources))
    programs = {name: folder / name for name in PROGRAMS}
    for name, program in programs.items():
        main = one(ROOT / "tests" / "c" / f"{name}.c")
        subprocess.run([*linker, "-o", str(program), str(main), *map(str, objects), "-lm", "-ldl", "-pthread"], check=True)
    return programs


def lines(command: list[str], isa: str) -> list[str]:
    """What a program prints with one instruction set."""
    env = {**os.environ, "FASTNN_ISA": isa, "FASTNN_BLAS": "none"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=1800).stdout.splitlines()


def differing(got: list[str], want: list[str]) -> list[str]:
    """Names (op, shapes, dtype) of the lines that are not equal; the first line names the instruction set."""
    assert len(got) == len(want), f"{len(got)} lines, {len(want)} on this machine"
    return [" ".join(w.split()[:-2]) for g, w in zip(got[1:], want[1:], strict=True) if g != w]


def main() -> int:
    if missing():
        print(f"missing: {', '.join(missing())}", file=sys.stderr)
        return 2
    here = build("here", ["clang"], ["clang"])
    arm = build("aarch64", ["clang", *CROSS], ["aarch64-linux-gnu-gcc", "-static"])
    want, losses = lines([str(here["op_hashes"])], "scalar"), lines([str(here["train_mlp"])], "scalar")
    failed = 0
    for isa in ("neon", "scalar"):
        names = differing(lines(["qemu-aarch64", str(arm["op_hashes"])], isa), want)
        ours = [n for n in names if f"{n.split()[0]} {n.split()[-1]}" not in OTHER_LIBM]
        same = lines(["qemu-aarch64", str(arm["train_mlp"])], isa) == losses
        print(f"aarch64 {isa:6}  {len(want) - 1} results: {len(want) - 1 - len(names)} equal, {len(names) - len(ours)} by another libm, {len(ours)} differ; training {'equal' if same else 'DIFFERS'}")
        print(*[f"    {n}" for n in ours], sep="\n" if ours else "", end="\n" if ours else "")
        failed += len(ours) + (not same)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
