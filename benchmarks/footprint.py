"""Start-up time, memory after import and size of the wheel: what using fastnn costs before it does anything.

    python benchmarks/footprint.py [--runs 20] [--no-wheel] [--torch]

Times are medians over fresh processes, NumPy's and fastnn's in turn; memory is the resident set after the import.
The wheel is built from the checkout this file is in.
"""

from __future__ import annotations

import argparse
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
    args = parser.parse_args()
    modules = ["numpy", "fastnn", *(["torch"] if args.torch else [])]
    turns = [{module: probe(module) for module in modules} for _ in range(args.runs + 1)][1:]  # the first fills caches
    numpy_ms = statistics.median(turn["numpy"][0] for turn in turns)
    for module in modules:
        ms, megabytes = (statistics.median(turn[module][i] for turn in turns) for i in (0, 1))
        print(f"import {module:8} {ms:8.1f} ms, {ms - numpy_ms:+8.1f} over numpy; {megabytes:6.1f} MB resident")
    if not args.no_wheel:
        print(f"wheel           {wheel_size():8.2f} MB")


if __name__ == "__main__":
    main()
