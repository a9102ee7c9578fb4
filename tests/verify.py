"""`fastnn verify`: the machine it runs on proves itself, without PyTorch, in under a minute on two cores.

Every op of the op table: gradients beside central differences, values beside their formula in float64 NumPy, all instruction sets of the
processor beside the scalar code and 1, 2, 3, 7 threads beside each other bit for bit; and random draws beside written-down numbers.
Invariant: what a proof decides stands in proofs.py and random_vectors.py, which pytest runs too; here they are run, counted and reported.
Does not: compare with PyTorch (pytest does). Read next: proofs.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from op_table import ROWS
from proofs import Results, close_to_oracle, equal_bits, equal_with_threads, gradient_by_differences, oracle_of
from random_vectors import VECTORS, A, B, check_further, check_vector

import fastnn

Checks = Mapping[str, Callable[[], int]]  # what is checked: the check, which returns how many numbers it compared


def tally(what: str, checks: Checks) -> list[str]:
    """Runs the checks, prints their line of the table and returns the failures, each named."""
    start, numbers, failures = time.perf_counter(), 0, []
    for name, check in checks.items():
        try:
            numbers += check()
        except Exception as error:  # noqa: BLE001  (whatever goes wrong is one failure of that name)
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            failures.append(f"{what}: {name}: {kind}{error}")
    print(f"{what:58} {len(checks):6} {numbers:12,} {len(failures):7} {time.perf_counter() - start:8.1f}", flush=True)
    return failures


class Worker:
    """A process that computes the whole op table on one instruction set (it is chosen at import)."""

    def __init__(self, isa: str, folder: str) -> None:
        self.path = Path(folder) / f"{isa}.npz"
        package = Path(fastnn.__file__).parents[1]
        paths = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
        # Products of OpenBLAS are promised per machine, not per instruction set.
        env = {**os.environ, "PYTHONPATH": paths, "FASTNN_ISA": isa, "FASTNN_BLAS": "none", "FASTNN_NUM_THREADS": "1"}
        command = [sys.executable, str(Path(__file__).with_name("isa_worker.py")), str(self.path)]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.results: Results = {}

    def load(self) -> int:
        _, said = self.process.communicate()
        assert self.process.returncode == 0, f"exit status {self.process.returncode} {said.strip()[-2000:]}"
        with np.load(self.path) as data:
            self.results = dict(data)
        return sum(a.size for a in self.results.values())


def beside_scalar(workers: dict[str, Worker]) -> list[str]:
    """All instruction sets bit-equal, and one of them (so all) right."""
    failures = tally("every op computed, by " + ", ".join(workers), {isa: w.load for isa, w in workers.items()})
    done = {isa: w.results for isa, w in workers.items() if w.results}
    for isa, found in done.items():
        if isa != "scalar" and "scalar" in done:
            checks = {n: partial(equal_bits, row, found, done["scalar"]) for n, row in ROWS.items()}
            failures += tally(f"bits of {isa} beside scalar", checks)
    if done:
        found = list(done.values())[-1]
        judged = {f"{n} {d}": partial(close_to_oracle, row, d, found) for n, row in ROWS.items() if oracle_of(row) for d in row.dtypes if d.startswith("float")}
        failures += tally("values beside their formula in float64", judged)
    return failures


def main() -> int:
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    build = fastnn._C._build_info()
    print(f"fastnn {fastnn.__version__}, {build['isa']} of {', '.join(build['isas'])}, {fastnn.get_num_threads()} threads\n")
    print(f"{'what':58} {'checks':>6} {'numbers':>12} {'failed':>7} {'seconds':>8}")
    with tempfile.TemporaryDirectory() as folder:
        workers = {isa: Worker(isa, folder) for isa in reversed(build["isas"])}
        failures = tally("random numbers beside written-down ones", {f"{n} seed {seed}": partial(check_vector, fastnn, n, seed) for n in VECTORS for seed in (A, B)} | {"further": partial(check_further, fastnn)})
        differentiable = {n: row for n, row in ROWS.items() if row.grad and row.numeric}
        failures += tally("gradients beside central differences in float64", {n: partial(gradient_by_differences, fastnn, row) for n, row in differentiable.items()})
        floats = {f"{n} {d}": partial(equal_with_threads, fastnn, row, d) for n, row in ROWS.items() for d in row.dtypes if d.startswith("float")}
        failures += tally("bits with 2, 3 and 7 threads beside 1", floats)
        failures += beside_scalar(workers)
    print()
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"{len(failures)} failed" if failures else "all right", f"in {time.perf_counter() - start:.0f} s")
    return 1 if failures else 0
