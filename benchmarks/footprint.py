"""What using fastnn costs beside time: start-up, memory after import, size of the wheel, and memory of a training run.

    python benchmarks/footprint.py [--runs 20] [--no-wheel] [--torch] [--makemore DIR]

Times are medians over fresh processes, NumPy's and fastnn's in turn; memory is the resident set after the import.
The wheel is built from the checkout this file is in. With --makemore, the folder of makemore.py and names.txt, the
script trains its transformer unmodified, and what counts is the highest resident set of its process (PyTorch's four
loader processes not included), and by what fastnn's memory pool grew between a short and a long run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PROBE = """
import sys, time
start = time.perf_counter()
__import__(sys.argv[1])
seconds = time.perf_counter() - start
try:
    pages = int(open("/proc/self/statm").read().split()[1])
    import resource
    resident = pages * resource.getpagesize()
except OSError:
    import resource
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
print(seconds, resident)
"""


def probe(module: str) -> tuple[float, float]:
    """Milliseconds and megabytes of one import in a fresh process."""
    done = subprocess.run([sys.executable, "-c", PROBE, module], capture_output=True, text=True, check=True)
    seconds, resident = done.stdout.split()
    return 1e3 * float(seconds), float(resident) / 1e6


# Runs the script named in argv[2] and then prints what the process and fastnn's pool have taken.
TRAIN = """
import contextlib, io, json, runpy, sys
side, script = sys.argv[1:3]
if side == "fastnn":
    import fastnn
    fastnn.install_as_torch()
else:
    import tensorboardX
    sys.modules["torch.utils.tensorboard"] = tensorboardX
sys.argv = sys.argv[2:]
with contextlib.redirect_stdout(io.StringIO()):
    runpy.run_path(script, run_name="__main__")
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
pool = fastnn._C._pool_stats() if side == "fastnn" else {}
print(json.dumps({"resident": int(status["VmHWM"].split()[0]) * 1024, **pool}))
"""


def train(side: str, folder: Path, steps: int) -> dict[str, int]:
    """Bytes at the end of a run of makemore.py's transformer: the process's peak, and the pool's counters."""
    with tempfile.TemporaryDirectory() as work:
        script = [str(folder / "makemore.py"), "-i", str(folder / "names.txt"), "-o", work, "--max-steps", str(steps)]
        command = [sys.executable, "-c", TRAIN, side, *script]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    counted: dict[str, int] = json.loads(done.stdout)
    return counted


def training_memory(folder: Path) -> None:
    short, long = 501, 1001  # the first evaluation is at step 500, and samples are drawn before
    ours, theirs, before = train("fastnn", folder, long), train("torch", folder, short), train("fastnn", folder, short)
    grown = {key: ours[key] - before[key] for key in ("bytes_reserved", "system_allocs")}
    share = ours["resident"] / theirs["resident"]
    print(f"makemore.py, transformer: at most {ours['resident'] / 1e6:.1f} MB resident", end="")
    print(f"; torch {theirs['resident'] / 1e6:.1f}", end="")
    print(f" (share {share:.2f}); pool {ours['bytes_reserved'] / 1e6:.1f} MB", end="")
    print(f", steps {short} to {long}: {grown['bytes_reserved']:+d} bytes", end="")
    print(f", {grown['system_allocs']:+d} requests to the system")


def wheel_size() -> float:
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(__file__).resolve().parents[1]
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(checkout)]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.stat().st_size / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="Import time, memory and wheel size.")
    parser.add_argument("--runs", type=int, default=20, help="fresh processes of each kind (default: 20)")
    parser.add_argument("--no-wheel", action="store_true", help="do not build the wheel")
    parser.add_argument("--torch", action="store_true", help="measure PyTorch, too")
    parser.add_argument("--makemore", type=Path, metavar="DIR", help="measure a training run of makemore.py, too")
    args = parser.parse_args()
    modules = ["numpy", "fastnn", *(["torch"] if args.torch else [])]
    turns = [{module: probe(module) for module in modules} for _ in range(args.runs + 1)][1:]  # the first fills caches
    numpy_ms = statistics.median(turn["numpy"][0] for turn in turns)
    for module in modules:
        ms, megabytes = (statistics.median(turn[module][i] for turn in turns) for i in (0, 1))
        print(f"import {module:8} {ms:8.1f} ms, {ms - numpy_ms:+8.1f} over numpy; {megabytes:6.1f} MB resident")
    if not args.no_wheel:
        print(f"wheel           {wheel_size():8.2f} MB")
    if args.makemore:
        training_memory(args.makemore.resolve())


if __name__ == "__main__":
    main()
