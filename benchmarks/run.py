"""Times fastnn beside PyTorch: every case of cases.py and steps.py, both sides in turn, at equal numbers of threads.

    python benchmarks/run.py [--filter TEXT] [--threads 1,2] [--rounds N] [--json FILE]
    python benchmarks/run.py --compare OLD.json NEW.json

A row gives each side's best and median time, the ratio fastnn / torch of the best times, fastnn's share of the peak,
and the largest error of output and gradients against torch in float64, relative to the largest value, on the same line,
so that no speed stands without its error. Peak: for products the best rate any product of this run reached on either
side; for rows that only move memory that of the better side's copy in the same run.
Each side is a process of its own (measure.py); while one is timed the other waits on its pipe.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SIDES = ("fastnn", "torch")
SECONDS = 0.1  # per side and round
PEAK_ROWS = ("matmul 1024x1024 @ 1024x1024", "matmul 512x512 @ 512x512", "matmul batched 32x256x256", "copy 4096x64")


class Worker:
    def __init__(self, side: str, threads: int) -> None:
        program = [sys.executable, str(Path(__file__).with_name("measure.py")), side, str(threads)]
        pipe = subprocess.PIPE
        self.side, self.process = side, subprocess.Popen(program, stdin=pipe, stdout=pipe, text=True)

    def ask(self, what: str, **request: Any) -> Any:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"what": what, **request}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the {self.side} worker ended at {what} {request} (its traceback is above)")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def error(worker: Worker, name: str, backward: bool, reference: list[np.ndarray], folder: str) -> float:
    """The largest difference from the reference, relative to each array's largest value."""
    path = os.path.join(folder, f"{worker.side}.npz")
    worker.ask("results", name=name, backward=backward, dtype="float32", path=path)
    worst = 0.0
    for ours, right in zip(arrays(path), reference, strict=True):
        scale = np.abs(right).max() or 1.0
        worst = max(worst, float(np.abs(ours - right).max() / scale))
    return worst


def arrays(path: str) -> list[np.ndarray]:
    with np.load(path) as file:
        return [file[key] for key in file.files]


def measure_row(workers: dict[str, Worker], row: list[Any], rounds: int, folder: str) -> dict[str, Any]:
    name, backward, flops, moved, check = row
    taken: dict[str, list[float]] = {side: [] for side in SIDES}
    for turn in range(rounds):
        for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
            taken[side] += workers[side].ask("samples", name=name, backward=backward, seconds=SECONDS)
    flops *= 3 if backward else 1
    result: dict[str, Any] = {"case": name, "backward": backward, "flops": flops, "moved": moved}
    for side in SIDES:
        result[side] = {"best_us": min(taken[side]) / 1e3, "median_us": statistics.median(taken[side]) / 1e3}
    result["ratio"] = result["fastnn"]["best_us"] / result["torch"]["best_us"]
    result["ratio_median"] = result["fastnn"]["median_us"] / result["torch"]["median_us"]
    if check:
        path = os.path.join(folder, "reference.npz")
        workers["torch"].ask("results", name=name, backward=backward, dtype="float64", path=path)
        reference = arrays(path)
        for side in SIDES:
            result[side]["error"] = error(workers[side], name, backward, reference, folder)
    return result


def run(threads: int, text: str, rounds: int) -> list[dict[str, Any]]:
    """All rows at one number of threads, printed as they come."""
    workers = {side: Worker(side, threads) for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        every = workers["fastnn"].ask("rows", text="")
        peaks = peak_rates(workers, [r for r in every if r[0] in PEAK_ROWS and not r[1]], rounds, folder)
        print(f"\n{threads} thread(s)", end="; ")
        print(f"peak {peaks['flops']:.0f} GFLOP/s (best product), {peaks['moved']:.0f} GB/s (copy of 1 MB)")
        print(f"{'':44} {'fastnn us':>19} {'torch us':>19}{'':27} {'error':>8} {'error':>8}")
        print(f"{'':44} {'best':>9} {'median':>9} {'best':>9} {'median':>9}", end=" ")
        print(f"{'ratio':>6} {'rate':>12} {'peak':>5}  {'fastnn':>8} {'torch':>8}")
        results = []
        for row in every:
            if text in row[0]:
                result = measure_row(workers, row, rounds, folder)
                results.append({"threads": threads, **result})
                print(line(result, peaks), flush=True)
    for worker in workers.values():
        worker.close()
    return results


def peak_rates(workers: dict[str, Worker], rows: list[Any], rounds: int, folder: str) -> dict[str, float]:
    peaks = {"flops": 0.0, "moved": 0.0}
    for row in rows:
        result = measure_row(workers, [*row[:4], False], rounds, folder)
        best_ns = min(result[side]["best_us"] for side in SIDES) * 1e3
        for what in peaks:
            peaks[what] = max(peaks[what], result[what] / best_ns)
    return peaks


def line(result: dict[str, Any], peaks: dict[str, float]) -> str:
    label = result["case"] + (" fwd+bwd" if result["backward"] else "")
    times = " ".join(f"{result[s][k]:9.2f}" for s in SIDES for k in ("best_us", "median_us"))
    ns = result["fastnn"]["best_us"] * 1e3
    what = "flops" if result["flops"] else "moved"
    unit = "GFLOP/s" if what == "flops" else "GB/s"
    rate = f"{result[what] / ns:6.1f} {unit:7}"[:12] if result[what] else ""
    share = f"{100 * result[what] / ns / peaks[what]:4.0f}%" if result[what] and peaks[what] else ""
    errors = " ".join(f"{result[s]['error']:8.1e}" if "error" in result[s] else " " * 8 for s in SIDES)
    return f"{label:44.44} {times} {result['ratio']:6.2f} {rate:>12} {share:>5} {errors}"


def compare(old_path: str, new_path: str) -> None:
    """Two --json files: fastnn's best times and ratios beside each other, the largest changes of the ratio first."""

    def load(path: str) -> dict[Any, Any]:
        rows = json.loads(Path(path).read_text())["rows"]
        return {(r["threads"], r["case"], r["backward"]): r for r in rows}

    old, new = load(old_path), load(new_path)
    shared = sorted(old.keys() & new.keys(), key=lambda k: new[k]["ratio"] / old[k]["ratio"], reverse=True)
    print(f"{'':47} {'old us':>9} {'new us':>9} {'new/old':>8} {'old ratio':>9} {'new ratio':>9}")
    for key in shared:
        a, b = old[key], new[key]
        label = f"{key[0]}T {key[1]}" + (" fwd+bwd" if key[2] else "")
        times = a["fastnn"]["best_us"], b["fastnn"]["best_us"]
        change = times[1] / times[0]
        print(f"{label:47.47} {times[0]:9.2f} {times[1]:9.2f} {change:8.2f} {a['ratio']:9.2f} {b['ratio']:9.2f}")
    for title, missing in (("only in old", old.keys() - new.keys()), ("only in new", new.keys() - old.keys())):
        for key in sorted(missing):
            print(f"{title}: {key}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Times fastnn beside PyTorch.")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only cases whose name contains TEXT")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, comma separated (default: 1,2)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side (default: 5)")
    parser.add_argument("--json", metavar="FILE", help="write the rows to FILE")
    parser.add_argument("--compare", nargs=2, metavar=("OLD", "NEW"), help="compare two --json files and stop")
    args = parser.parse_args()
    if args.compare:
        compare(*args.compare)
        return
    rows = [row for threads in args.threads.split(",") for row in run(int(threads), args.filter, args.rounds)]
    if args.json:
        about = {"machine": platform.machine(), "python": platform.python_version()}
        Path(args.json).write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
