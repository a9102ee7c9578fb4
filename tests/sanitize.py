"""Builds fastnn with the compiler's address and undefined-behaviour checks and runs tests on it: `python tests/sanitize.py [arguments of pytest]`.

Invariant: green means no report. Every process of the run, children included, writes its reports to build/sanitize/reports, and one file there turns
the run red, whatever the tests said. Before the tests, deliberate accidents must each be reported: a checker that sees nothing proves nothing.
In this build each block of the pool is one of malloc's (csrc/core/pool.c), so that bounds, use after free and lost blocks are seen in Python too.
Covers, with no arguments, the files of COVERED without LEFT_OUT; any other is run by naming it, and has not been seen to pass here.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build" / "sanitize"
REPORTS = PLACE / "reports"
COMPILER = shlex.split(os.environ.get("CC", "cc"))
TESTS = ROOT / "tests"
COVERED = [TESTS / "nn", TESTS / "optim", TESTS / "io", TESTS / "test_indexing.py", TESTS / "test_tensor_api.py"]
COVERED += [*sorted(TESTS.glob("test_kernels*.py")), TESTS / "test_autograd.py", TESTS / "test_autograd_modes.py"]
COVERED += [TESTS / "hostile", *(TESTS / f"test_{name}.py" for name in ("ops", "errors", "hostile_tables", "random", "layouts"))]
LEFT_OUT = "tests/test_kernels_readme.py::test_the_example_prints_what_the_readme_says"  # 2000 steps, minutes here, of pairs other tests cover

# What no test can see the library do, done from outside; the pool, the storage and the collector must each have told the sanitizer enough.
ACCIDENTS = {
    "write behind a tensor": "ctypes.memset(x.data_ptr() + 12, 0, 1)",
    "read in front of a tensor": "ctypes.string_at(x.data_ptr() - 8, 8)",
    "read of a freed tensor": "p = x.data_ptr(); del x; y = [fastnn.ones(3) for _ in range(9)]; ctypes.string_at(p, 8)",
    "read of a large freed tensor": "p = z.data_ptr(); del z; y = fastnn.ones(1 << 20); ctypes.string_at(p + 1000, 8)",
}
START = "import ctypes, fastnn; x = fastnn.arange(3.0) + 1; z = fastnn.ones(1 << 20) + 1; "

# The leak check compares two processes: what is lost STEPS times more where STEPS more steps were made is a leak. What is lost once, such as the
# tables that a module keeps to the end of the process, is none.
STEPS = 20
# Tensors nothing points to (the collector would), each lost.
LOSING = START + """
def lose():
    lost = ctypes.py_object(fastnn.zeros(3))
    ctypes.pythonapi.PyObject_GC_UnTrack(lost)
    ctypes.pythonapi.Py_IncRef(lost)
for step in range({steps}):
    lose()
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
for step in range({steps}):
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


def environment(reports: Path, leaks: bool = False) -> dict[str, str]:
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
    if leaks:  # Python's own allocator hides from the leak check what its blocks point to; its frames have no frame pointers to follow
        more["ASAN_OPTIONS"] += ":fast_unwind_on_malloc=0"
        more |= {"PYTHONMALLOC": "malloc", "LSAN_OPTIONS": "print_suppressions=0"}
    return {**os.environ, **more}


def reports_of(folder: Path) -> list[str]:
    """The texts of all reports; that malloc refused an absurd size, which tests ask for, is only a warning."""
    texts = (path.read_text(errors="replace") for path in sorted(folder.glob("report*")))
    return [text for text in texts if "ERROR: " in text or "runtime error: " in text]


def run_code(code: str, leaks: bool = False) -> list[str]:
    folder = PLACE / "accidents"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run([sys.executable, "-c", code], env=environment(folder, leaks), capture_output=True, timeout=300)
    return reports_of(folder)


def losses(code: str) -> dict[str, int]:
    """How many blocks a process lost, by the chain of lines of csrc/ that asked for them."""
    found: dict[str, int] = {}
    for report in run_code(code, leaks=True):
        if "LeakSanitizer" not in report:
            sys.exit("during the leak check:\n" + report)
        for loss in re.split(r"\n(?=(?:Direct|Indirect) leak)", report)[1:]:
            lines = "\n".join(re.findall(r"in (\w+ (?:\S*/)?csrc/\S+)", loss))
            found[lines] = found.get(lines, 0) + int(loss.split(" byte(s) in ")[1].split()[0])
    found.pop("", None)  # the interpreter's own
    return found


def leaks_of(code: str) -> list[str]:
    few, many = (losses(code.replace("{steps}", str(n))) for n in (STEPS, 2 * STEPS))
    return [f"ERROR: lost {n - few.get(lines, 0)} times in {STEPS} steps:\n{lines}" for lines, n in many.items() if n - few.get(lines, 0) >= 0.75 * STEPS]


def check_the_checker() -> None:
    for what, code in ACCIDENTS.items():
        if not run_code(START + code):
            sys.exit(f"the sanitizer does not report: {what}")
    if not any(leaks_of(LOSING) for _ in range(3)):  # (a stale copy of a pointer anywhere in memory hides its block from the search)
        sys.exit("the sanitizer does not report: tensors never freed")
    if unfounded := run_code(START + "print(x, z)"):
        sys.exit("the sanitizer reports where nothing is wrong:\n" + unfounded[0])


def main(arguments: list[str]) -> int:
    started = time.monotonic()
    build()
    check_the_checker()
    leaks = leaks_of(TRAINING)
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    chosen = arguments or [*map(str, COVERED), f"--deselect={LEFT_OUT}"]
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-n", "2", "-p", "no:cacheprovider", *chosen]
    status = subprocess.run(command, env=environment(REPORTS), cwd=ROOT).returncode
    reports = reports_of(REPORTS)
    for text in [*leaks, *reports][:10]:
        print(text[:6000])
    print(f"sanitizer: {len(ACCIDENTS) + 1} deliberate accidents reported, {len(leaks)} leaks, {len(reports)} reports, suite's exit status {status}")
    used = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    print(f"sanitizer: {time.monotonic() - started:.0f} s, {used:.0f} s of CPU time")
    return status or int(bool(leaks or reports))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
