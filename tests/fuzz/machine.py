"""Long random walks of the state machines: python tests/fuzz/machine.py [--examples 1000] [--seed 0] [--steps 40] [--numpy] [--shrink]

Prints what was walked every tenth of the way; the first walk on which the libraries differ is printed step by step, and
ends the run with status 1. Walks of one seed are the same for ever.
Does not: know what is walked. Read next: ../test_state_machine.py, ../test_numpy_machine.py.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--examples", type=int, default=1000, help="walks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=40, help="of a walk, at most")
    parser.add_argument("--numpy", action="store_true", help="NumPy as the model, without torch")
    parser.add_argument("--shrink", action="store_true", help="look for the shortest walk that fails: some minutes")
    args = parser.parse_args()
    home = importlib.import_module("test_numpy_machine" if args.numpy else "test_state_machine")
    machine = home.Arrays if args.numpy else home.Tensors
    started = time.process_time()
    part = max(args.examples // 10, 1)
    for k in range(-(-args.examples // part)):
        how = settings(
            max_examples=part, stateful_step_count=args.steps, database=None, deadline=None, print_blob=False, suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False, phases=[Phase.generate, *[Phase.shrink] * args.shrink],
        )  # fmt: skip
        try:
            run_state_machine_as_test(seed(args.seed * 1000 + k)(machine), settings=how)
        except Exception as fault:
            print("\n".join(home.LOG) + f"\nseed {args.seed}, part {k}: {type(fault).__name__}: {fault}")
            return 1
        print(f"{', '.join(f'{n:,} {name}' for name, n in home.COUNT.items())}, {time.process_time() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
