"""Runs makemore.py, as fetched and unmodified, under PyTorch and under `fastnn run`, and compares what they print.

    python benchmarks/makemore_compare.py FOLDER [--types gru,mlp] [--variants 'train|resume'] [--steps 1001]

FOLDER holds makemore.py and names.txt. Each variant of each model type runs on both sides, one after the other, each
in a work folder of its own, with its default of one thread a core (OMP_NUM_THREADS sets both). Compared line by line:
step losses to the four printed decimals, train and test losses to 1e-5, every other line, sampled names included,
exactly; times are left out of that and summed up beside it.
Exit status 1 if anything differs beyond one lone step loss per run by one in its last digit, which is rounding.
What it does not do: fetch makemore.py, or count memory and start-up time (footprint.py does).
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

TYPES = ("transformer", "bow", "rnn", "gru", "mlp", "bigram")
# In this order: the later ones need the model that `train` saves.
VARIANTS = {
    "train": [],  # with the script's default of 4 loader workers
    "resume": ["--resume", "--max-steps", "201"],
    "top-k 5": ["--resume", "--max-steps", "201", "--top-k", "5"],
    "sample-only": ["--sample-only"],
    "sample-only, top-k 5": ["--sample-only", "--top-k", "5"],
    "no workers": ["--num-workers", "0", "--max-steps", "201"],
}
# PyTorch's SummaryWriter wants the tensorboard package; the script only needs a writer of the same interface.
TORCH_LAUNCHER = """
import runpy, sys, tensorboardX
sys.modules["torch.utils.tensorboard"] = tensorboardX
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
STEP = re.compile(r"step (\d+) \| loss (\S+) \| step time (\S+)ms")
EVALUATION = "test loss"  # in every line with full-precision losses
DECIMAL = re.compile(r"\d+\.\d+(?:e-?\d+)?")


@dataclass
class Comparison:
    """What a pair of outputs agrees in."""

    step_losses: int = 0
    last_digit: int = 0  # step losses that differ by one in the last printed digit
    eval_losses: int = 0
    worst_eval: float = 0.0
    other_lines: int = 0
    problems: list[str] = field(default_factory=list)
    step_ms: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))

    @property
    def ok(self) -> bool:
        return not self.problems and self.last_digit <= 1


def compare(torch_text: str, fastnn_text: str) -> Comparison:
    """Compares two outputs of makemore.py line by line."""
    result = Comparison()
    theirs, ours = torch_text.splitlines(), fastnn_text.splitlines()
    if len(theirs) != len(ours):
        result.problems.append(f"{len(theirs)} lines under torch, {len(ours)} under fastnn")
    for number, (a, b) in enumerate(zip(theirs, ours), 1):  # noqa: B905  (unequal lengths are reported above)
        if not compare_line(a, b, result):
            result.problems.append(f"line {number}: {a!r} under torch, {b!r} under fastnn")
    return result


def compare_line(a: str, b: str, result: Comparison) -> bool:
    if (step := STEP.fullmatch(a)) and (ours := STEP.fullmatch(b)):
        for times, match in zip(result.step_ms, (step, ours), strict=True):
            times.append(float(match[3]))
        result.step_losses += 1
        if step[2] == ours[2]:
            return step[1] == ours[1]
        rounding = abs(float(step[2]) - float(ours[2])) < 1.5e-4  # NaN is none
        result.last_digit += rounding
        return step[1] == ours[1] and rounding
    if EVALUATION in a and EVALUATION in b and DECIMAL.sub("", a) == DECIMAL.sub("", b):
        pairs = zip(DECIMAL.findall(a), DECIMAL.findall(b), strict=True)
        apart = max(abs(float(x) - float(y)) for x, y in pairs)
        result.eval_losses += 1
        result.worst_eval = max(result.worst_eval, apart)
        return apart <= 1e-5
    result.other_lines += 1
    return a == b


def run(side: str, folder: Path, options: list[str], work: Path) -> tuple[str, float]:
    """One run in the work folder: what it printed, and the seconds it took."""
    start = ["-m", "fastnn", "run"] if side == "fastnn" else ["-c", TORCH_LAUNCHER]
    command = [sys.executable, *start, str(folder / "makemore.py"), "-i", str(folder / "names.txt"), *options]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{side} {' '.join(options)} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout, time.perf_counter() - began


def row(label: str, result: Comparison, seconds: tuple[float, float]) -> str:
    exact = result.step_losses - result.last_digit
    times = f"{'-':>8} {'-':>8} {'-':>6} {'-':>6}"
    if result.step_ms[0]:
        # The first step carries the start of threads and loader workers.
        theirs, ours = (sorted(ms[1:] or ms) for ms in result.step_ms)
        best, middle = ours[0] / theirs[0], statistics.median(ours) / statistics.median(theirs)
        times = f"{statistics.median(theirs):8.2f} {statistics.median(ours):8.2f} {best:6.2f} {middle:6.2f}"
    losses = f"{exact}/{result.step_losses}"
    evals = f"{result.worst_eval:.0e}" if result.eval_losses else "-"
    verdict = "equal" if result.ok and not result.last_digit else "rounding" if result.ok else "DIFFERS"
    return (
        f"{label:34} {losses:>9} {evals:>9} {result.other_lines:>6} {times} "
        f"{seconds[0]:7.1f} {seconds[1]:7.1f}  {verdict}"
    )


HEAD = (
    f"{'':34} {'losses':>9} {'eval':>9} {'other':>6} {'step ms':>17} {'ratio':>13} {'whole run, s':>15}\n"
    f"{'type, variant':34} {'equal':>9} {'apart':>9} {'lines':>6} {'torch':>8} {'fastnn':>8} {'best':>6} {'median':>6} "
    f"{'torch':>7} {'fastnn':>7}"
)


def main() -> int:
    parser = argparse.ArgumentParser(description="makemore.py under PyTorch and under fastnn, line by line.")
    parser.add_argument("folder", type=Path, help="holds makemore.py and names.txt")
    parser.add_argument("--types", default=",".join(TYPES), help="comma separated (default: all six)")
    every = "|".join(VARIANTS)
    parser.add_argument("--variants", default=every, help=f"separated by | (default: {every})")
    parser.add_argument("--steps", type=int, default=1001, help="steps of the variant `train` (default: 1001)")
    args = parser.parse_args()
    folder = args.folder.resolve()
    print(HEAD)
    failed = []
    for kind in args.types.split(","):
        with tempfile.TemporaryDirectory() as top:
            works = {side: Path(top) / side for side in ("torch", "fastnn")}
            for work in works.values():
                work.mkdir()
            for variant in args.variants.split("|"):
                options = ["--type", kind, *(VARIANTS[variant] or ["--max-steps", str(args.steps)])]
                texts = {side: run(side, folder, options, work) for side, work in works.items()}
                result = compare(texts["torch"][0], texts["fastnn"][0])
                print(row(f"{kind}, {variant}", result, (texts["torch"][1], texts["fastnn"][1])), flush=True)
                for problem in result.problems[:5]:
                    print(f"    {problem}")
                if not result.ok:
                    failed.append(f"{kind}, {variant}")
    if failed:
        print(f"{len(failed)} differ: {'; '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
