"""Times the cases in this process: one side of run.py, and `fastnn bench`.

As a program, `measure.py fastnn|torch|compiled THREADS [MAKEMORE]` reads one JSON request a line and answers each with
one line: {"answer": ...}, or {"failed": text} if the row raised. The parent asks its sides in turn, so that a slow
minute of the machine hits all. MAKEMORE is the folder of makemore.py, whose rows are left out without it.
Invariant: `import torch` means the asked-for library from the first case on ("compiled": PyTorch with torch.compile
around the forward); forward times are under no_grad, forward + backward times include dropping the old gradients.
Whatever is compiled is compiled before the first sample.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import sys
import time
import traceback
import types
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_NS = 4e6  # one sample: as many calls as fill this time, at least one
COPY_BYTES = [4**k for k in range(7, 14)]  # 16 KB to 64 MB: what the bandwidth of a row is compared with


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
    """The cases of one library, each built when first asked for and kept until the next one is."""

    def __init__(self, side: str, threads: int | None, makemore: str | None = None) -> None:
        models = choose(side)
        import torch
        from cases import CASES
        from cases_numpy import NUMPY_CASES
        from cases_rest import CASES_REST
        from steps import step_cases

        cases = [*CASES, *CASES_REST, *NUMPY_CASES, *step_cases(models)]
        if makemore:
            from makemore_rows import makemore_cases

            cases += makemore_cases(Path(makemore))
        self.torch, self.compiles = torch, side == "compiled"
        if threads:
            torch.set_num_threads(threads)
        self.cases = {c.name: c for c in cases}
        self.built: tuple[str, bool] | None = None
        self.run: Any = None
        self.calls = 0

    def rows(self, texts: list[str], goals: bool = False) -> list[tuple[str, bool]]:
        """(case, with backward) for each row whose name contains one of the texts (no texts: all)."""
        chosen = [
            c
            for c in self.cases.values()
            if any(text in c.name for text in texts or [""]) and (c.has_goal or not goals)
        ]
        return [(c.name, back) for c in chosen for back in ((False, True) if c.backward else (False,))]

    def facts(self, texts: list[str], goals: bool) -> list[dict[str, Any]]:
        """What run.py wants to know of each row."""
        return [self.cases[name].row(backward) for name, backward in self.rows(texts, goals)]

    def runner(self, name: str, backward: bool, dtype: Any = None) -> tuple[Any, list[Any]]:
        """A call that does the row's work once and returns the output, and the tensors that get gradients."""
        from case import Inputs

        inputs = Inputs(dtype or self.torch.float32)
        if self.compiles:
            self.torch._dynamo.reset()  # what other rows have seen makes no shape dynamic
            inputs.compiled = lambda call: self.torch.compile(call, dynamic=False)
        forward = self.cases[name].build(inputs)
        if self.compiles and self.cases[name].backward:
            forward = inputs.compiled(forward)
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
        with self.torch.set_grad_enabled(backward or self.cases[name].graph):
            if self.built != (name, backward):
                self.built = self.run = None  # the last row's memory goes first
                run, _ = self.runner(name, backward)
                for _ in range(3):
                    run()
                self.calls = max(1, int(SAMPLE_NS / min(timed(run, 1) for _ in range(5))))
                self.built, self.run = (name, backward), run
            taken, end = [], time.perf_counter() + seconds
            while not taken or time.perf_counter() < end:
                taken.append(timed(self.run, self.calls))
            return taken

    def results(self, name: str, backward: bool, dtype: str, path: str) -> None:
        """Writes output and gradients of one run to an .npz file."""
        with self.torch.set_grad_enabled(backward):
            run, leaves = self.runner(name, backward, getattr(self.torch, dtype))
            y = run()
        arrays = [y, *(leaf.grad for leaf in leaves if leaf.grad is not None)]
        np.savez(path, *(np.asarray(a.detach(), dtype=np.float64) for a in arrays))

    def peaks(self) -> dict[str, Any]:
        """GFLOP/s of float32 fma in registers; (bytes, GB/s read and written) of copies of several sizes."""
        from fastnn import _C

        return {
            "flops": best_rate(_C._peak_fma, 500_000),
            "copy": [(n, best_rate(_C._peak_copy, n, max(10, 2**24 // n))) for n in COPY_BYTES],
        }


def best_rate(work: Any, *args: int) -> float:
    """Work done per nanosecond."""

    def rate() -> float:
        start = time.perf_counter_ns()
        done: int = work(*args)
        return done / (time.perf_counter_ns() - start)

    return max(rate() for _ in range(20))


def share(row: dict[str, Any], ns: float, peaks: dict[str, Any]) -> tuple[float, str, float]:
    """The row's rate, its unit, and what part that is of the machine's; (0, "", 0) where nothing is counted."""
    if row["flops"]:
        return row["flops"] / ns, "GFLOP/s", row["flops"] / ns / peaks["flops"]
    if row["moved"]:
        # Compared with a copy of the same size, for caches have several speeds.
        _, most = min(peaks["copy"], key=lambda size: abs(np.log(2 * size[0] / row["moved"])))
        return row["moved"] / ns, "GB/s", row["moved"] / ns / most
    return 0.0, "", 0.0


def timed(run: Any, calls: int) -> float:
    """Nanoseconds a call."""
    loop = range(calls)
    start = time.perf_counter_ns()
    for _ in loop:
        run()
    return (time.perf_counter_ns() - start) / calls


def bench(texts: list[str], threads: int | None) -> int:
    """Prints fastnn's own times: `fastnn bench`."""
    side = Side("fastnn", threads)
    rows = side.facts(texts, False)
    if not rows:
        print(f"no case has {' or '.join(map(repr, texts))} in its name", file=sys.stderr)
        return 2
    peaks = side.peaks()
    print(f"{side.torch.get_num_threads()} threads; peak {peaks['flops']:.0f} GFLOP/s")
    print(f"{'':44} {'best us':>11} {'median us':>11} {'rate':>15} {'of peak':>8}")
    failed = 0
    for row in rows:
        label = row["case"] + (" fwd+bwd" if row["backward"] else "")
        try:
            taken = side.samples(row["case"], row["backward"], 0.3)
        except Exception as error:  # noqa: BLE001  (the other rows still count)
            failed += 1
            print(f"{label:44} failed: {type(error).__name__}: {error}")
            continue
        rate, unit, part = share(row, min(taken), peaks)
        text = f"{rate:7.1f} {unit:7} {100 * part:7.0f}%" if unit else ""
        print(f"{label:44} {min(taken) / 1e3:11.2f} {statistics.median(taken) / 1e3:11.2f} {text}", flush=True)
    return 1 if failed else 0


def serve(side: Side) -> None:
    """Answers requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    known = {"facts": side.facts, "samples": side.samples, "results": side.results, "peaks": side.peaks}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"answer": known[request.pop("what")](**request)}
        except Exception as error:  # noqa: BLE001  (one row's failure is that row's result)
            traceback.print_exc()
            reply = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    serve(Side(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
