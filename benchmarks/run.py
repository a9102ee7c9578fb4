"""Times fastnn beside PyTorch: every case of cases.py and steps.py, the sides in turn, at equal numbers of threads.

    python benchmarks/run.py [--filter TEXT ...] [--goals] [--threads 1,2] [--rounds N] [--compile] [--avx2]
                             [--makemore DIR] [--json FILE]
    python benchmarks/run.py --compare OLD.json NEW.json
    python benchmarks/run.py --chart FILE.json CHART.png

A row gives each side's best and median time, the ratio fastnn / torch of the best times (with --compile: the better of
PyTorch as it is and under torch.compile) and the goal beside it, fastnn's share of the machine's peak, and the largest
error of output and gradients against torch in float64, relative to the largest value, so that no speed stands without
its error. Peak: float32 fma in registers for rows that count operations, for the others a plain copy of as many bytes,
both measured in the same run. What misses its goal is marked, and listed at the end.
Each side is a process of its own (measure.py); while one is timed the others wait on their pipes. A row that fails is
reported and the run goes on. Read next: report.py (what is printed), measure.py, cases.py.
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
import report
from measure import share

SECONDS = 0.1  # per side and round
AVX2 = {"FASTNN_ISA": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


class RowFailed(Exception):
    """One side could not do one row."""


class Worker:
    """One side's process, started anew after it died."""

    def __init__(self, side: str, args: argparse.Namespace, threads: int) -> None:
        program = Path(__file__).with_name("measure.py")
        self.side, self.command = side, [sys.executable, str(program), side, str(threads)]
        self.command += [args.makemore] if args.makemore else []
        # torch.compile's own worker processes would run beside what is timed.
        self.environment = {**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": "1", **(AVX2 if args.avx2 else {})}
        self.start()

    def start(self) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, text=True, env=self.environment)

    def ask(self, what: str, **request: Any) -> Any:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"what": what, **request}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            self.start()
            raise RowFailed(f"the {self.side} process ended with status {status}")
        reply = json.loads(line)
        if "failed" in reply:
            raise RowFailed(f"{self.side}: {reply['failed']}")
        return reply["answer"]

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


def measure_row(workers: dict[str, Worker], row: dict[str, Any], rounds: int, folder: str) -> dict[str, Any]:
    """The row with its times, ratio and errors."""
    sides = [side for side in workers if side != "compiled" or row["compilable"]]
    which = {"name": row["case"], "backward": row["backward"]}
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(rounds):
        for side in sides if turn % 2 == 0 else sides[::-1]:
            taken[side] += workers[side].ask("samples", seconds=SECONDS, **which)
    result = dict(row)
    for side in sides:
        result[side] = {"best_us": min(taken[side]) / 1e3, "median_us": statistics.median(taken[side]) / 1e3}
    rivals = [result[side] for side in sides if side != "fastnn"]
    for key, times in (("ratio", "best_us"), ("ratio_median", "median_us")):
        result[key] = result["fastnn"][times] / min(rival[times] for rival in rivals)
    if row["check"]:
        path = os.path.join(folder, "reference.npz")
        workers["torch"].ask("results", dtype="float64", path=path, **which)
        reference = arrays(path)
        for side in ("fastnn", "torch"):
            result[side]["error"] = error(workers[side], **which, reference=reference, folder=folder)
    return result


def run(threads: int, args: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All rows at one number of threads, printed as they come, and the machine's peaks."""
    sides = ["fastnn", "torch", *(["compiled"] if args.compile else [])]
    workers = {side: Worker(side, args, threads) for side in sides}
    results = []
    with tempfile.TemporaryDirectory() as folder:
        # All of them are asked, so that none still imports its library while another is timed.
        facts = {side: worker.ask("facts", texts=args.filter, goals=args.goals) for side, worker in workers.items()}
        rows = facts["fastnn"]
        peaks = workers["fastnn"].ask("peaks")
        print(report.head(threads, peaks, args.compile))
        for row in rows:
            result: dict[str, Any] = {"threads": threads, **row}
            if args.avx2:  # the goals are the whole machine's; here it is to be faster than PyTorch
                result.update(goal=None if row["goal"] is None else 1.0, goal_us=None, goal_share=None)
            try:
                result.update(measure_row(workers, result, args.rounds, folder))
                ns = result["fastnn"]["best_us"] * 1e3
                result["rate"], result["unit"], result["share"] = share(row, ns, peaks)
            except RowFailed as failure:
                result["failed"] = str(failure)
            results.append(result)
            print(report.line(result, args.compile), flush=True)
    for worker in workers.values():
        worker.close()
    return results, peaks


def main() -> int:
    parser = argparse.ArgumentParser(description="Times fastnn beside PyTorch.")
    parser.add_argument("--filter", nargs="+", default=[], metavar="TEXT", help="only cases with a TEXT in their name")
    parser.add_argument("--goals", action="store_true", help="only cases that have a goal")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, comma separated (default: 1,2)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side (default: 5)")
    parser.add_argument("--compile", action="store_true", help="torch.compile is a third side, where it applies")
    parser.add_argument("--avx2", action="store_true", help="every side keeps to AVX2")
    parser.add_argument("--makemore", metavar="DIR", help="holds makemore.py and names.txt: adds its rows")
    parser.add_argument("--json", metavar="FILE", help="write the rows to FILE")
    parser.add_argument("--compare", nargs=2, metavar=("OLD", "NEW"), help="compare two --json files and stop")
    parser.add_argument("--chart", nargs=2, metavar=("FILE", "PNG"), help="draw a --json file's ratios and stop")
    args = parser.parse_args()
    if args.compare:
        report.compare(*args.compare)
        return 0
    if args.chart:
        report.chart(*args.chart)
        return 0
    rows: list[dict[str, Any]] = []
    peaks: dict[str, Any] = {}
    for threads in args.threads.split(","):
        results, peaks[threads] = run(int(threads), args)
        rows += results
    print(report.summary(rows))
    if args.goals and not args.makemore:
        print("left out: the rows of makemore.py (--makemore DIR)")
    if args.json:
        about = {"machine": platform.machine(), "python": platform.python_version(), "avx2": args.avx2, "peaks": peaks}
        Path(args.json).write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    return 1 if any("failed" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
