"""Builds fastnn with the compiler's address and undefined-behaviour checks and runs tests on it: `python tests/sanitize.py [arguments of pytest]`.

Invariant: green means no report. Every process of the run, children included, writes its reports to build/sanitize/reports, and one file there turns
the run red, whatever the tests said. Before the tests, deliberate accidents must each be reported: a checker that sees nothing proves nothing.
In this build each block of the pool is one of malloc's (csrc/core/pool.c), so that bounds, use after free and lost blocks are seen in Python too.
With no arguments it runs the whole suite without LEFT_OUT.
Does not: instrument NumPy, PyTorch or Python. Needs gcc and pytest-xdist. Read next: csrc/core/pool_debug.h.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build" / "sanitize"
REPORTS = PLACE / "reports"
COMPILER = shlex.split(os.environ.get("CC", "cc"))
# Not run here, and why.
LEFT_OUT = {
    "tests/test_kernels_readme.py::test_the_example_prints_what_the_readme_says": "2000 steps, minutes, of pairs that other tests cover",
    "tests/fuzz/test_fuzz_short.py::test_the_fuzzer_notices[os.kill(os.getpid(), signal.SIGSEGV)": "ends itself by SIGSEGV, which is reported as it should be",
    "tests/test_process_exit.py::test_little_address_space": "the sanitizer's own tables need the address space that the test takes away",
    "tests/test_leaks.py": "counts the bytes of the process, which the sanitizer's quarantine holds back; lost_by_bytes here counts what is allocated",
}

# What no test can see the library do, done from outside; the pool, the storage and the collector must each have told the sanitizer enough.
ACCIDENTS = {
    "write behind a tensor": "ctypes.memset(x.data_ptr() + 12, 0, 1)",
    "read in front of a tensor": "ctypes.string_at(x.data_ptr() - 8, 8)",
    "read of a freed tensor": "p = x.data_ptr(); del x; y = [fastnn.ones(3) for _ in range(9)]; ctypes.string_at(p, 8)",
    "read of a large freed tensor": "p = z.data_ptr(); del z; y = fastnn.ones(1 << 20); ctypes.string_at(p + 1000, 8)",
}
START = "import ctypes, fastnn; x = fastnn.arange(3.0) + 1; z = fastnn.ones(1 << 20) + 1; "

# Two leak checks. LeakSanitizer compares two processes: what is lost STEPS times more where STEPS more steps were made is a leak; what is lost once,
# such as the tables that a module keeps to the end of the process, is none. And in one process the allocated bytes are counted after every STEPS
# steps, which needs no right to stop a process and look into it (LeakSanitizer does): only what leaks never stops growing, and no block is smaller than 16 bytes.
STEPS = 20
LAPS = """
import ctypes, gc
allocated = ctypes.CDLL(None).__sanitizer_get_current_allocated_bytes
allocated.restype = ctypes.c_size_t
def lap():
    for _ in range({steps}):
        step()
    gc.collect()
    return allocated()
print(*(lap() for _ in range(6)))
"""
# Tensors nothing points to (the collector would), each lost.
LOSING = START + """
def step():
    lost = ctypes.py_object(fastnn.zeros(3))
    ctypes.pythonapi.PyObject_GC_UnTrack(lost)
    ctypes.pythonapi.Py_IncRef(lost)
"""
# Training steps of everything that has a tape, an optimizer and recurrent state, and calls that are refused.
TRAINING = """
import fastnn
from fastnn import nn
F = nn.functional
model = nn.Sequential(nn.Embedding(9, 8), nn.GRU(8, 8, batch_first=True))
block, head = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 9)
params = [*model.parameters(), *block.parameters(), *head.parameters()]
opt = fastnn.optim.AdamW(params)
def step():
    x = fastnn.randint(0, 9, (4, 7))
    loss = F.cross_entropy(head(block(model(x)[0])).view(-1, 9), x.view(-1))
    opt.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(params, 1.0)
    opt.step()
    for wrong in (lambda: x @ head.weight, lambda: F.cross_entropy(head.weight, x), lambda: fastnn.cat([x, loss]), lambda: x.view(5)):
        try:
            wrong()
        except (RuntimeError, IndexError, TypeError, ValueError):
            pass
"""


def runtime(name: str) -> str:
    """Full path of a runtime library of the compiler; Python itself is not built with the checks, so they are loaded before it."""
    path = subprocess.run([*COMPILER, f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isabs(path):
        sys.exit(f"{shlex.join(COMPILER)} has no {name}: tests/sanitize.py needs gcc and its sanitizer libraries")
    return path


def build() -> None:
    """The package with an instrumented library, in its own folder; object files are kept and made anew where sources changed."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", str(PLACE / "lib"), str(ROOT)]
    subprocess.run(command, check=True, env={**os.environ, "FASTNN_SANITIZE": "1"})


def environment(reports: Path, plain_malloc: bool = False, leaks: bool = False) -> dict[str, str]:
    """Where the checks are on. By LD_PRELOAD the tests know (support.SANITIZED), and leave out what only an uninstrumented process can promise."""
    shared = f"log_path={reports}/report"
    # Requests that no machine can grant, which tests make on purpose, are refused as the system would.
    address = [shared, "allocator_may_return_null=1", "max_allocation_size_mb=8192", "handle_abort=1", "quarantine_size_mb=64", f"detect_leaks={int(leaks)}"]
    more = {
        "LD_PRELOAD": " ".join(runtime(name) for name in ("libasan.so", "libstdc++.so")),
        "PYTHONPATH": str(PLACE / "lib"),
        "ASAN_OPTIONS": ":".join(address),
        "UBSAN_OPTIONS": f"{shared}:print_stacktrace=1",
    }
    if plain_malloc:  # Python's own allocator hides its blocks, and what they point to
        more["PYTHONMALLOC"] = "malloc"
    if leaks:  # Python's frames have no frame pointers to follow
        more["ASAN_OPTIONS"] += ":fast_unwind_on_malloc=0"
        more["LSAN_OPTIONS"] = "print_suppressions=0"
    return {**os.environ, **more}


def reports_of(folder: Path) -> list[str]:
    """The texts of all reports; that malloc refused an absurd size, which tests ask for, is only a warning."""
    texts = (path.read_text(errors="replace") for path in sorted(folder.glob("report*")))
    return [text for text in texts if "ERROR: " in text or "runtime error: " in text]


def run_code(code: str, **how: bool) -> tuple[str, list[str]]:
    """What a process printed, on both streams, and its reports."""
    folder = PLACE / "accidents"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    done = subprocess.run([sys.executable, "-c", code], env=environment(folder, **how), capture_output=True, text=True, timeout=300)
    refusals = (path.read_text(errors="replace") for path in folder.glob("report*"))
    return done.stdout + done.stderr + "".join(text for text in refusals if "LeakSanitizer has encountered" in text), reports_of(folder)


def losses(code: str, steps: int) -> dict[str, int]:
    """How many blocks a process lost, by the chain of lines of csrc/ that asked for them."""
    found: dict[str, int] = {}
    printed, reports = run_code(f"{code}\nfor _ in range({steps}):\n    step()", plain_malloc=True, leaks=True)
    if "LeakSanitizer has encountered" in printed:
        raise PermissionError(printed.strip().splitlines()[-1])
    for report in reports:
        if "LeakSanitizer" not in report:
            sys.exit("during the leak check:\n" + report)
        for loss in re.split(r"\n(?=(?:Direct|Indirect) leak)", report)[1:]:
            lines = "\n".join(re.findall(r"in (\w+ (?:\S*/)?csrc/\S+)", loss))
            found[lines] = found.get(lines, 0) + int(loss.split(" byte(s) in ")[1].split()[0])
    found.pop("", None)  # the interpreter's own
    return found


def lost_by_blocks(code: str) -> list[str]:
    few, many = losses(code, STEPS), losses(code, 2 * STEPS)
    return [f"ERROR: lost {n - few.get(lines, 0)} times in {STEPS} steps:\n{lines}" for lines, n in many.items() if n - few.get(lines, 0) >= 0.75 * STEPS]


def lost_by_bytes(code: str) -> list[str]:
    printed, reports = run_code(code + LAPS.replace("{steps}", str(STEPS)), plain_malloc=True)
    if reports or not re.fullmatch(r"[\d ]+\n", printed):
        sys.exit("during the leak check:\n" + "\n".join([printed, *reports]))
    marks = [int(word) for word in printed.split()]
    least = min(b - a for a, b in zip(marks[1:], marks[2:], strict=False))
    return [f"ERROR: every {STEPS} steps leave at least {least} bytes allocated: {printed}"] if least >= 16 * STEPS else []


def leak_checks() -> list[Callable[[str], list[str]]]:
    """Those that work here, each tried on a process that loses tensors."""
    found: list[Callable[[str], list[str]]] = [lost_by_bytes]
    try:
        if not any(lost_by_blocks(LOSING) for _ in range(3)):  # (a stale copy of a pointer anywhere in memory hides its block from the search)
            sys.exit("LeakSanitizer does not report: tensors never freed")
        found.append(lost_by_blocks)
    except PermissionError as error:
        print(f"sanitizer: LeakSanitizer may not look into processes here, the count of allocated bytes is the only leak check: {error}")
    if not lost_by_bytes(LOSING):
        sys.exit("the allocated bytes do not show: tensors never freed")
    return found


def check_the_checker() -> None:
    for what, code in ACCIDENTS.items():
        if not run_code(START + code)[1]:
            sys.exit(f"the sanitizer does not report: {what}")
    if unfounded := run_code(START + "print(x, z)")[1]:
        sys.exit("the sanitizer reports where nothing is wrong:\n" + unfounded[0])


def main(arguments: list[str]) -> int:
    started = time.monotonic()
    build()
    check_the_checker()
    checks = leak_checks()
    leaks = [leak for check in checks for leak in check(TRAINING)]
    print(f"sanitizer: {len(ACCIDENTS)} deliberate accidents reported, tensors lost on purpose found in {len(checks)} ways; {len(leaks)} leaks in training", flush=True)
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    chosen = arguments or ["tests", *(f"--deselect={test}" for test in LEFT_OUT)]
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider", *chosen]
    status = subprocess.run(command, env=environment(REPORTS), cwd=ROOT).returncode
    reports = reports_of(REPORTS)
    for text in [*leaks, *reports][:10]:
        print(text[:6000])
    for test, why in LEFT_OUT.items() if not arguments else ():
        print(f"sanitizer: left out: {test}: {why}")
    used = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    print(f"sanitizer: {len(leaks)} leaks, {len(reports)} reports, suite's exit status {status}; {time.monotonic() - started:.0f} s, {used:.0f} s of CPU time")
    return status or int(bool(leaks or reports))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
