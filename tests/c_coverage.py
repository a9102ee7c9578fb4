"""Which lines and branches of csrc the suite runs: `python tests/c_coverage.py [arguments of pytest]`, some twenty minutes.

Builds with FASTNN_COVERAGE=1 (gcc's counters, no optimization), runs the tests on it, C programs of the tests included, and prints every line that
nothing ran, then lines and branches of each folder. A kernel is compiled per dtype and instruction set: `lines` and `branches` count it as run where
one of them ran it, `instances` counts the lines of each by itself.
Invariant: exit status 0 means that the tests passed and that JUDGED reach LEAST. What cannot run here is in WHY_NOT, and counts as not run.
Does not: judge csrc/python, which is printed beside; count NEON, which no x86 compiles (tests/qemu.py runs it). Needs gcc and its gcov.
Read next: test_rare_paths.py, which is there for lines that this showed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build" / "coverage"
JUDGED = ("kernels", "ops", "graph", "core")
LEAST = 95.0

FORK = "runs in forked children, which end without writing their counts (test_process_fork.py)"
STOP = "ends the process, which then writes no counts (c/test_core.c)"
HUGE = "takes gigabytes"
OLD = "takes a processor without AVX2"
RACE = "takes a change by another thread within a few instructions"
# Lines that the suite cannot run, by a piece of their text, and why; the others that are printed are yet to be tested.
WHY_NOT: dict[str, dict[str, str]] = {
    "core/blas.c": {"static void fork_": FORK},
    "core/pool.c": {"return; /* no memory for a cache": "takes a malloc that fails in a thread's first call"},
    "core/pool_debug.h": dict.fromkeys(("debug_stop(", "fprintf(stderr", "abort();"), STOP),
    "core/random.c": {
        **dict.fromkeys(("after_fork_in_child", "for (fnn_generator *g = living", "pthread_mutex_init(&list_lock", "}"), FORK),
        **dict.fromkeys(("clock_gettime(", "seed = ((uint64_t)t.tv_sec"), "takes a kernel without getrandom"),
    },
    "core/random_choice.c": dict.fromkeys(("for (int64_t i = 0; i < n; i++)", "fnn_rng_random64(g) %", "out[i] = out[j]", "out[j] = i;", "return;"), HUGE),
    "core/random_loops.c": {"return &plain_table": OLD},
    "core/threads.c": dict.fromkeys(("sysconf(", "return n > 0"), "takes a system without sched_getaffinity"),
    "ops/product_large.c": dict.fromkeys(("sgemm(", "(const float *)a"), "float32 from 4096 in every dimension: seconds; float64 runs the same lines"),
    "ops/run.c": {"another thread gave an input": RACE},
    "ops/recurrent_core.c": {"if (!free)": RACE},
}

Counts = dict[tuple[str, int, str], int]  # file under csrc, line, function: how often it ran


def build() -> None:
    """The package with counters, in its own folder. Counts of an earlier run go; object files that are current stay."""
    for counts in (ROOT / "build").rglob("*.gcda"):
        counts.unlink()
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", str(PLACE / "lib"), str(ROOT)]
    subprocess.run(command, check=True, env={**os.environ, "FASTNN_COVERAGE": "1", "CC": "gcc"})


def run(arguments: list[str]) -> int:
    """The suite's exit status. Programs that tests compile count too: they are built under --basetemp, with counters. One process: a worker of
    pytest-xdist is ended while it still writes its counts.
    """
    env = {**os.environ, "FASTNN_COVERAGE": "1", "PYTHONPATH": str(PLACE / "lib"), "CC": "gcc --coverage"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={PLACE / 'tmp'}", *(arguments or ["tests"])]
    return subprocess.run(command, cwd=ROOT, env=env).returncode


def read() -> tuple[Counts, dict[tuple[str, int], list[int]]]:
    """Counts of every line by the function it was compiled into, and of every way out of a line, both added up over all objects."""
    lines: Counts = defaultdict(int)
    ways: dict[tuple[str, int], list[int]] = {}
    scratch = PLACE / "gcov"
    scratch.mkdir(exist_ok=True)
    for counts in sorted((ROOT / "build").rglob("*.gcda")):
        done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", str(counts)], cwd=scratch, capture_output=True, check=True)
        for document in done.stdout.decode().splitlines():
            for file in json.loads(document)["files"]:
                name = os.path.relpath(ROOT / file["file"], ROOT / "csrc")
                if name.startswith(".."):
                    continue
                for line in file["lines"]:
                    lines[name, line["line_number"], line.get("function_name", "")] += line["count"]
                    taken = [branch["count"] for branch in line["branches"]]
                    have = ways.setdefault((name, line["line_number"]), [])
                    have += [0] * (len(taken) - len(have))
                    for i, n in enumerate(taken):
                        have[i] += n
    return lines, ways


def reason(name: str, text: str) -> str:
    return next((why for piece, why in WHY_NOT.get(name, {}).items() if piece in text), "")


def main(arguments: list[str]) -> int:
    shutil.rmtree(PLACE / "tmp", ignore_errors=True)
    build()
    status = run(arguments)
    instances, ways = read()
    lines: dict[tuple[str, int], int] = defaultdict(int)
    for (name, at, _), count in instances.items():
        lines[name, at] += count
    unread: dict[str, list[str]] = {}
    for (name, at), count in sorted(lines.items()):
        source = unread.setdefault(name, (ROOT / "csrc" / name).read_text().splitlines())
        if count == 0:
            why = reason(name, source[at - 1])
            print(f"csrc/{name}:{at}: {source[at - 1].strip()}" + (f"    [{why}]" if why else ""))
    print(f"{'':16}{'lines':>24}{'branches':>24}{'instances':>24}")
    for folder in sorted({Path(name).parts[0] for name, _ in lines}):
        columns = ([c for key, c in source.items() if Path(key[0]).parts[0] == folder] for source in (lines, instances))
        of_lines, of_instances = columns
        of_ways = [c for (name, _), counts in ways.items() if Path(name).parts[0] == folder for c in counts]
        shares = [(sum(c > 0 for c in counts), len(counts)) for counts in (of_lines, of_ways, of_instances)]
        print(f"csrc/{folder:11}" + "".join(f"{f'{ran} of {n} ({100 * ran / max(n, 1):.1f} %)':>24}" for ran, n in shares))
        if folder in JUDGED and shares[0][0] < LEAST / 100 * shares[0][1]:
            print(f"    less than {LEAST} % of its lines")
            status = status or 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
