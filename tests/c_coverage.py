"""Which lines and branches of csrc the suite runs: `python tests/c_coverage.py [arguments of pytest]`, ten minutes of processor time.

Builds with FASTNN_COVERAGE=1 (gcc's counters, -O1), runs the tests on it, the programs they compile included, and prints every line that nothing
ran with the reason, then lines and branches of each folder. A kernel is compiled per dtype and instruction set: `lines` and `branches` count it as
run where one of them ran it, `instances` counts the lines of each by itself.
Invariant: exit status 0 means that the tests passed, that JUDGED reach LEAST, and that each entry of c_coverage_reasons.py has its line. With
arguments only the tests are judged. Lines of JUDGED that neither ran nor have a reason are counted at the end: they want a test or an entry.
Does not: run LEFT_OUT; judge csrc/python, which is printed beside; count NEON, which no x86 compiles (tests/qemu.py runs it). Needs gcc and its gcov.
Read next: c_coverage_reasons.py; test_rare_paths.py, which is there for lines that this showed.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from c_coverage_reasons import REASONS, SOMETIMES, Reason, place_of

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build" / "coverage"
JUDGED = ("kernels", "ops", "graph", "core")
LEAST = 95.0
# Why not pytest-xdist: it ends a worker that still writes its counts. A share of the files for each process, two at a time.
SHARES, AT_ONCE = 12, 2
# Takes long and runs no line that the others do not: PyTorch beside it, a second process, many repetitions.
LEFT_OUT = (
    "tests/cli/test_verify.py",
    "tests/fuzz/test_fuzz_short.py",
    "tests/io/test_bad_files.py",
    "tests/io/test_killed_saves.py",
    "tests/io/test_no_code.py",
    "tests/models/test_exchange.py",
    "tests/models/test_training.py",
    "tests/test_accuracy.py",
    "tests/test_kernels.py::test_no_object_leaks",
    "tests/test_kernels_readme.py",
    "tests/test_leaks.py",
    "tests/test_microgpt.py",
    "tests/test_mutants.py",
    "tests/test_numpy_machine.py",
    "tests/test_process_fork.py::test_fork_while_another_thread_is_inside_an_op",
    "tests/test_process_signals.py",
    "tests/test_process_threads.py::test_backward_of_several_threads_onto_shared_leaves",
    "tests/test_process_threads.py::test_eight_threads_train_their_own_models",
    "tests/test_process_threads.py::test_tensors_made_in_one_thread_and_freed_in_another",
    "tests/test_process_threads.py::test_threads_that_change_the_thread_count",
    "tests/test_scripts.py",
    "tests/test_state_machine.py",
    "tests/test_structure.py",
)

Counts = dict[tuple[str, int, str], int]  # file under csrc, line, function: how often it ran


def build() -> None:
    """The package with counters, in its own folder. Counts of an earlier run go; object files that are current stay."""
    for counts in (ROOT / "build").rglob("*.gcda"):
        counts.unlink()
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", str(PLACE / "lib"), str(ROOT)]
    subprocess.run(command, check=True, env={**os.environ, "FASTNN_COVERAGE": "1", "CC": "gcc"})


def run(share: int, arguments: list[str]) -> bool:
    """Whether these tests passed. Programs that tests compile count too: they are built under --basetemp, with counters."""
    start = time.monotonic()
    env = {**os.environ, "FASTNN_COVERAGE": "1", "PYTHONPATH": str(PLACE / "lib"), "CC": "gcc --coverage", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={PLACE / f'tmp{share}'}", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
    last = next((line for line in reversed(done.stdout.splitlines()) if " in " in line), f"exit status {done.returncode}")
    print(f"tests {share + 1}: {last.strip('= ')}, {time.monotonic() - start:.0f} s", flush=True)
    return done.returncode == 0


def run_all(arguments: list[str]) -> bool:
    if arguments:
        return run(0, arguments)
    files = sorted((ROOT / "tests").rglob("test_*.py"), key=lambda file: -file.stat().st_size)
    names = [name for name in (str(file.relative_to(ROOT)) for file in files) if name not in LEFT_OUT]
    left_out = [f"--deselect={name}" for name in LEFT_OUT if "::" in name]
    shares = [[*left_out, *names[i::SHARES]] for i in range(SHARES)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return all(list(pool.map(run, range(SHARES), shares)))


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


def explain(lines: dict[tuple[str, int], int], whole: bool) -> bool:
    """Prints each line that did not run, with its reason; whether, after a whole run, each reason has a line."""
    used: dict[Reason, list[int]] = {reason: [] for reason in REASONS}
    texts: dict[str, list[str]] = {}
    bare = 0
    for (name, at), count in sorted(lines.items()):
        source = texts.setdefault(name, (ROOT / "csrc" / name).read_text().splitlines())
        found = [reason for reason in REASONS if reason.fits(name, place_of(source, at), source[at - 1])]
        for reason in found:
            used[reason].append(count)
        if count == 0:
            why = f"    [{found[0].why}]" if found else ""
            print(f"csrc/{name}:{at}: {source[at - 1].strip()}{why}")
            bare += not found and Path(name).parts[0] in JUDGED
    stale = [reason for reason, counts in used.items() if whole and (not counts or (all(counts) and reason.why not in SOMETIMES))]
    for reason in stale:
        print(f"the reason '{reason.why}' fits no line that did not run: {reason.file}, {reason.place}, '{reason.text}'")
    print(f"lines of {', '.join(JUDGED)} that neither ran nor have a reason: {bare}")
    return not stale


def table(lines: dict[tuple[str, int], int], instances: Counts, ways: dict[tuple[str, int], list[int]]) -> bool:
    """Prints a row for each folder; whether those judged reach LEAST."""
    enough = True
    print(f"{'':16}{'lines':>24}{'branches':>24}{'instances':>24}")
    for folder in sorted({Path(name).parts[0] for name, _ in lines}):
        of_lines, of_instances = ([c for key, c in source.items() if Path(key[0]).parts[0] == folder] for source in (lines, instances))
        of_ways = [c for (name, _), counts in ways.items() if Path(name).parts[0] == folder for c in counts]
        shares = [(sum(c > 0 for c in counts), len(counts)) for counts in (of_lines, of_ways, of_instances)]
        print(f"csrc/{folder:11}" + "".join(f"{f'{ran} of {n} ({100 * ran / max(n, 1):.1f} %)':>24}" for ran, n in shares))
        if folder in JUDGED and shares[0][0] < LEAST / 100 * shares[0][1]:
            print(f"    less than {LEAST} % of its lines")
            enough = False
    return enough


def main(arguments: list[str]) -> int:
    for folder in PLACE.glob("tmp*"):
        shutil.rmtree(folder)
    build()
    good = run_all(arguments)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"processor time: {(used.ru_utime + used.ru_stime) / 60:.1f} minutes")
    instances, ways = read()
    lines: dict[tuple[str, int], int] = defaultdict(int)
    for (name, at, _), count in instances.items():
        lines[name, at] += count
    judgement = [explain(lines, not arguments), table(lines, instances, ways)]
    return 0 if good and (arguments or all(judgement)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
