"""Does the suite notice? Deliberate defects, one at a time: each must turn a test red.

    python tests/mutants.py [NAME...]      a NAME is part of a mutant's name; a C compiler and the test dependencies are needed

Each mutant changes a copy of the sources in build/mutants, compiles what the change touches and runs the tests beside it up to the first that
fails. Printed: killed (and by which test) or survived. Exit status 1 if any survived.
Invariant: a mutant's old text stands exactly once in its file (test_mutants.py says so at once when sources move); the test that fails passes
on the unchanged copy; the copy is compiled with -O1, a third of the time and the same bits.
Does not: touch this checkout. Read next: mutant_table.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mutant_table import MUTANTS, Mutant
from support import ROOT, isas

COPY = ROOT / "build" / "mutants"
KEPT = ROOT / "build" / "mutants-kept"  # objects and library of the unchanged copy
PARTS = ("csrc", "python", "tests", "benchmarks", "setup.py", "pyproject.toml", "README.md", "LICENSE")
BUILT = (".so", ".pyc")
MINUTES = 10  # a test run that takes longer hangs


def files_of(base: Path) -> Iterator[Path]:
    for part in PARTS:
        for path in [base / part] if (base / part).is_file() else (base / part).rglob("*"):
            if path.is_file() and path.suffix not in BUILT:
                yield path.relative_to(base)


def text_of(name: str, content: bytes) -> bytes:
    """A file as the copy has it."""
    if name != "setup.py":
        return content
    assert content.count(b'"-O3"') == 1, "setup.py no longer says -O3 once"
    return content.replace(b'"-O3"', b'"-O1"')


def bring_up_to_date() -> None:
    """The copy holds this checkout's files; what did not change keeps its time, so that it is not compiled again."""
    wanted = {f: text_of(str(f), (ROOT / f).read_bytes()) for f in files_of(ROOT)}
    COPY.mkdir(parents=True, exist_ok=True)
    for f in list(files_of(COPY)):
        if f not in wanted:
            (COPY / f).unlink()
    for f, content in wanted.items():
        target = COPY / f
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def build() -> None:
    done = subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=COPY, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the copy does not compile:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")


def products() -> list[Path]:
    """What a build writes, relative to the copy."""
    return [p.relative_to(COPY) for p in [*(COPY / "build").rglob("obj-*/*"), *(COPY / "python").rglob("*.so")] if p.is_file()]


def keep_products() -> None:
    shutil.rmtree(KEPT, ignore_errors=True)
    for p in products():
        (KEPT / p).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(COPY / p, KEPT / p)


def restore_products() -> None:
    for p in products():
        if (COPY / p).stat().st_mtime_ns != (KEPT / p).stat().st_mtime_ns:
            part = (COPY / p).with_suffix(".part")
            shutil.copy2(KEPT / p, part)
            os.replace(part, COPY / p)


def run_tests(arguments: list[str]) -> tuple[int, str]:
    """(exit status, the first failed test or what else ended the run)."""
    env = {**os.environ, "PYTHONPATH": str(COPY / "python"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-v", "-p", "no:cacheprovider", "--tb=no", *arguments]
    try:
        done = subprocess.run(command, cwd=COPY, env=env, capture_output=True, text=True, timeout=60 * MINUTES)
    except subprocess.TimeoutExpired:
        return -1, f"no end after {MINUTES} minutes"
    if done.returncode < 0:
        return done.returncode, f"ended by signal {-done.returncode}"
    failed = re.search(r"^(tests/.+?) (?:FAILED|ERROR) +\[", done.stdout, flags=re.MULTILINE)
    return done.returncode, failed[1] if failed else (done.stdout + done.stderr).strip()[-300:]


def replaced(m: Mutant, text: str) -> str:
    for old, new in m.edits:
        if text.count(old) != 1:
            raise SystemExit(f"{m.name}: its text stands {text.count(old)} times in {m.file}, expected once:\n{old}")
        text = text.replace(old, new)
    return text


def try_one(m: Mutant) -> bool:
    """Whether the defect is noticed."""
    path, start = COPY / m.file, time.perf_counter()
    before, times = path.read_text(), path.stat()
    path.write_text(replaced(m, before))
    status, said, arguments = 0, "", [""]
    try:
        if path.suffix != ".py":
            build()
        for file, names in m.tests:
            arguments = [file, *(["-k", names] if names else [])]
            status, said = run_tests(arguments)
            if status:
                break
    finally:
        path.write_text(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        restore_products()
    by_test = said.startswith("tests/")
    if status > 0 and not by_test:
        raise SystemExit(f"{m.name}: pytest could not run: {said}")
    if status and run_tests([said] if by_test else arguments)[0]:
        raise SystemExit(f"{m.name}: {said}, and so it does on the unchanged copy")
    print(f"{'killed' if status else 'SURVIVED':9} {m.name:60} {time.perf_counter() - start:4.0f} s  {said if status else ''}", flush=True)
    return status != 0


def main(names: list[str]) -> int:
    chosen = [m for m in MUTANTS if not names or any(n in m.name for n in names)]
    if not chosen:
        raise SystemExit(f"no mutant is called {' or '.join(names)}")
    absent = [m for m in chosen if m.needs and m.needs not in isas()]
    for m in absent:
        print(f"left out  {m.name:60}  this machine has no {m.needs}")
    chosen = [m for m in chosen if m not in absent]
    bring_up_to_date()
    build()
    keep_products()
    survived = [m.name for m in chosen if not try_one(m)]
    print(f"{len(chosen) - len(survived)} of {len(chosen)} killed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
