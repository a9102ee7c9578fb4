"""Times the cases in this process: one side of run.py, and `fastnn bench`.

As a program, `measure.py torch|fastnn THREADS` reads one JSON request a line and answers with one line. The parent asks
both sides in turn, so that a slow minute of the machine hits both.
Invariant: `import torch` means the asked-for library from the first case on; forward times are under no_grad, forward +
backward times include dropping the old gradients.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_NS = 4e6  # one sample: as many calls as fill this time, at least one


def choose(side: str) -> types.ModuleType:
    """Makes `torch` mean that side, and returns the module of our models over it."""
    if side == "fastnn":
        import fastnn

        fastnn.install_as_torch()
        from fastnn.train import models

        return models
    # The other way round for the one file of ours that the torch side needs: its `fastnn` is torch.
    import torch
    import torch.nn.functional

    path = Path(__file__).resolve().parents[1] / "python" / "fastnn" / "train" / "models.py"
    names = {"fastnn": torch, "fastnn.nn": torch.nn, "fastnn.nn.functional": torch.nn.functional}
    sys.modules.update(names)
    file = importlib.util.spec_from_file_location("bench_models", path)
    assert file is not None and file.loader is not None
    models = importlib.util.module_from_spec(file)
    sys.modules["bench_models"] = models
    file.loader.exec_module(models)
    for name in names:
        del sys.modules[name]
    return models


class Side:
    """The cases of one library, built when first asked for."""

    def __init__(self, side: str, threads: int | None) -> None:
        models = choose(side)
        import torch
        from cases import CASES
        from cases_rest import CASES_REST
        from steps import step_cases

        self.torch = torch
        if threads:
            torch.set_num_threads(threads)
        self.cases = {c.name: c for c in [*CASES, *CASES_REST, *step_cases(models)]}
        self.built: dict[tuple[str, bool], tuple[Any, int]] = {}

    def rows(self, text: str) -> list[tuple[str, bool]]:
        """(case, with backward) for each row whose name contains the text."""
        chosen = [c for c in self.cases.values() if text in c.name]
        return [(c.name, back) for c in chosen for back in ((False, True) if c.backward else (False,))]

    def runner(self, name: str, backward: bool, dtype: Any = None) -> tuple[Any, list[Any]]:
        """A call that does the row's work once and returns the output, and the tensors that get gradients."""
        from cases import Inputs

        inputs = Inputs(dtype or self.torch.float32)
        forward = self.cases[name].build(inputs)
        if not backward:
            return forward, []
        shape = forward().shape
        dy = inputs.normal(*shape, grad=False)
        leaves = inputs.leaves

        def both() -> Any:
            for leaf in leaves:
                leaf.grad = None
            y = forward()
            y.backward(dy)
            return y

        return both, leaves

    def samples(self, name: str, backward: bool, seconds: float) -> list[float]:
        """Nanoseconds a call, one number a sample, for about so many seconds."""
        key = (name, backward)
        with self.torch.set_grad_enabled(backward or self.cases[name].graph):
            if key not in self.built:
                run, _ = self.runner(name, backward)
                for _ in range(3):
                    run()
                self.built[key] = (run, max(1, int(SAMPLE_NS / min(timed(run, 1) for _ in range(5)))))
            run, calls = self.built[key]
            taken, end = [], time.perf_counter() + seconds
            while not taken or time.perf_counter() < end:
                taken.append(timed(run, calls))
            return taken

    def results(self, name: str, backward: bool, dtype: str, path: str) -> None:
        """Writes output and gradients of one run to an .npz file."""
        with self.torch.set_grad_enabled(backward):
            run, leaves = self.runner(name, backward, getattr(self.torch, dtype))
            y = run()
        arrays = [y, *(leaf.grad for leaf in leaves if leaf.grad is not None)]
        np.savez(path, *(np.asarray(a.detach(), dtype=np.float64) for a in arrays))


def timed(run: Any, calls: int) -> float:
    """Nanoseconds a call."""
    loop = range(calls)
    start = time.perf_counter_ns()
    for _ in loop:
        run()
    return (time.perf_counter_ns() - start) / calls


def bench(text: str, threads: int | None) -> int:
    """Prints fastnn's own times: `fastnn bench`."""
    side = Side("fastnn", threads)
    rows = side.rows(text)
    if not rows:
        print(f"no case has {text!r} in its name", file=sys.stderr)
        return 2
    print(f"{side.torch.get_num_threads()} threads")
    print(f"{'':44} {'best us':>11} {'median us':>11} {'GFLOP/s':>8} {'GB/s':>7}")
    for name, backward in rows:
        taken = side.samples(name, backward, 0.3)
        best, middle, case = min(taken), statistics.median(taken), side.cases[name]
        rate = f"{case.flops * (3 if backward else 1) / best:8.1f}" if case.flops else " " * 8
        moved = f"{case.moved / best:7.1f}" if case.moved and not backward else " " * 7
        label = name + (" fwd+bwd" if backward else "")
        print(f"{label:44} {best / 1e3:11.2f} {middle / 1e3:11.2f} {rate} {moved}", flush=True)
    return 0


def serve(side: Side) -> None:
    """Answers requests until stdin ends."""
    for line in sys.stdin:
        request = json.loads(line)
        what = request.pop("what")
        answer: Any = {"rows": side.rows, "samples": side.samples, "results": side.results}[what](**request)
        if what == "rows":
            facts = side.cases
            answer = [[n, b, facts[n].flops, 0 if b else facts[n].moved, facts[n].check] for n, b in answer]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(Side(sys.argv[1], int(sys.argv[2])))
