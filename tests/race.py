"""Builds fastnn with the compiler's checks for data races and runs the tests of threads on it: `python tests/race.py [arguments of pytest]`.

Invariant: green means no report. Every process of the run writes its reports to build/race/reports, and one file there turns the run red,
whatever the tests said. Before the tests a deliberate race must be reported: a checker that sees nothing proves nothing.
The interpreter and NumPy are not instrumented: what they do to memory is not seen, but their locks are, the GIL among them.
Does not: cover the C core alone, which tests/test_core.py runs under the same checks. Takes a quarter of an hour; needs gcc.
Read next: sanitize.py, csrc/core/threads.h.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from sanitize import ROOT, runtime

PLACE = ROOT / "build" / "race"
REPORTS = PLACE / "reports"
TESTS = ROOT / "tests"
THREADS = TESTS / "test_process_threads.py"
# In these one thread writes the elements that another reads, on purpose: what the elements are then, nobody promises.
WRITERS = ("test_gradients_dropped_and_parameters_replaced_during_backward", "test_geometry_changed_while_an_op_reads")
# The C library lets go of a dead thread's variables with a lock of its own, which the checker does not know.
SUPPRESSIONS = "race:_dl_deallocate_tls\n"

# Two threads add to the same memory, in an op long enough to let the GIL go; from one moment on, and often, so that they meet on a busy machine too.
RACE = """
import threading
import fastnn
x = fastnn.zeros(1 << 16)
start = threading.Barrier(2)
def work():
    start.wait()
    for _ in range(50):
        x.add_(1)
threads = [threading.Thread(target=work) for _ in range(2)]
for t in threads:
    t.start()
for t in threads:
    t.join()
"""
NO_RACE = RACE.replace("x.add_(1)", "x + 1")


def build() -> None:
    """The package with an instrumented library, in its own folder."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", str(PLACE / "lib"), str(ROOT)]
    subprocess.run(command, check=True, env={**os.environ, "FASTNN_SANITIZE": "thread"})


def run(arguments: list[str]) -> tuple[int, list[str]]:
    """Exit status and reports of a Python process and its children. By LD_PRELOAD the tests know that they take longer (support.SANITIZED)."""
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    (PLACE / "suppressions").write_text(SUPPRESSIONS)
    options = f"log_path={REPORTS}/report:suppressions={PLACE}/suppressions:exitcode=0:die_after_fork=0:report_signal_unsafe=0:history_size=5"
    env = {**os.environ, "LD_PRELOAD": runtime("libtsan.so"), "PYTHONPATH": str(PLACE / "lib"), "TSAN_OPTIONS": options}
    status = subprocess.run([sys.executable, *arguments], env=env, cwd=ROOT).returncode
    texts = (path.read_text(errors="replace") for path in sorted(REPORTS.glob("report*")))
    return status, [text for text in texts if "WARNING: " in text]


def main(arguments: list[str]) -> int:
    build()
    if not any("data race" in report for report in run(["-c", RACE])[1]):
        sys.exit("the checker does not report a deliberate race")
    if unfounded := run(["-c", NO_RACE])[1]:
        sys.exit("the checker reports where nothing is wrong:\n" + unfounded[0])
    covered = arguments or [str(THREADS), *(f"--deselect={THREADS.relative_to(ROOT)}::{name}" for name in WRITERS)]
    status, reports = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *covered])
    for report in reports[:10]:
        print(report)
    print(f"race: 1 deliberate race reported, {len(reports)} processes with reports, exit status of the tests {status}")
    return status or int(bool(reports))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
