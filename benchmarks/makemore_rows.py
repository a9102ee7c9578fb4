"""Rows of makemore.py itself, as fetched: its training step at its defaults, its DataLoader batch, its `generate`; and
microGPT, which trains on the same names.

Invariant: not a line of the script is changed or copied; its classes and functions are imported from the given folder
(its program part stands behind __name__) over whichever library `torch` means. What it does not do: compare losses,
which makemore_compare.py does. Read next: steps.py, measure.py.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from case import C, Case, H, Inputs, Run, T, V
from steps import BATCH, UNCOMPILED

STEP_GOALS = {"bigram": 0.2, "mlp": 0.35, "rnn": 0.33, "gru": 0.4, "bow": 0.3, "transformer": 0.33}
BATCH_US = 133  # 0.3 of 445, PyTorch's time for a batch without workers


def load(folder: Path) -> Any:
    """The script as a module."""
    if importlib.util.find_spec("tensorboard") is None and not hasattr(torch.utils, "tensorboard"):
        import tensorboardX  # of the same interface; PyTorch's writer needs a package that need not be there

        sys.modules["torch.utils.tensorboard"] = tensorboardX
    file = importlib.util.spec_from_file_location("bench_makemore", folder / "makemore.py")
    assert file is not None and file.loader is not None
    makemore = importlib.util.module_from_spec(file)
    sys.modules["bench_makemore"] = makemore
    file.loader.exec_module(makemore)
    return makemore


def new_model(makemore: Any, kind: str) -> Any:
    config = makemore.ModelConfig(vocab_size=V, block_size=T, n_layer=4, n_head=H, n_embd=C, n_embd2=C)
    if kind in ("rnn", "gru"):
        return makemore.RNN(config, cell_type=kind)
    return {"transformer": makemore.Transformer, "bigram": makemore.Bigram, "mlp": makemore.MLP, "bow": makemore.BoW}[
        kind
    ](config)


def step_case(makemore: Any, kind: str) -> Case:
    def build(i: Inputs) -> Run:
        torch.manual_seed(3407)
        model = new_model(makemore, kind)
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.01, betas=(0.9, 0.99), eps=1e-8)
        x, y = i.ints(V, BATCH, T), i.ints(V, BATCH, T)
        call = i.compiled(model)

        def step() -> Any:
            _, loss = call(x, y)
            model.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return loss

        return step

    goal = (STEP_GOALS[kind],)
    return Case(f"makemore step, {kind}", build, (), backward=False, graph=True, check=False, goal=goal)


def generate_case(makemore: Any, kind: str) -> Case:
    def build(i: Inputs) -> Run:
        torch.manual_seed(3407)
        model = new_model(makemore, kind)
        start = torch.zeros(10, 1, dtype=torch.long)
        return lambda: makemore.generate(model, start, T - 1, top_k=None, do_sample=True)

    return Case(f"makemore generate 10 names, {kind}", build, (), goal=(0.3,), **UNCOMPILED)


def batch_case(makemore: Any, folder: Path, workers: int, goal: tuple[float, ...]) -> Case:
    def build(i: Inputs) -> Run:
        torch.manual_seed(3407)
        words = (folder / "names.txt").read_text().split()
        chars, longest = sorted(set("".join(words))), max(map(len, words))
        data = makemore.CharDataset(words, chars, longest)
        return makemore.InfiniteDataLoader(data, batch_size=BATCH, pin_memory=True, num_workers=workers).next

    return Case(f"makemore batch of 32, {workers} workers", build, (), goal=goal, goal_us=BATCH_US, **UNCOMPILED)


def microgpt_case(folder: Path) -> Case:
    def build(i: Inputs) -> Run:
        import microgpt

        os.environ.setdefault("FASTNN_DATA", str(folder))
        microgpt.torch, microgpt.F = torch, F  # type: ignore[attr-defined]  # as its own main() does
        run = microgpt.Run()
        return lambda: torch.tensor(run.train()[0])

    return Case("microGPT, 1,000 steps", build, (), graph=True, goal_us=25_000, **UNCOMPILED)


def makemore_cases(folder: Path) -> list[Case]:
    """The rows of the script in that folder, which also holds its names.txt."""
    makemore = load(folder)
    return [
        *(step_case(makemore, kind) for kind in STEP_GOALS),
        batch_case(makemore, folder, 0, (0.3,)),
        # PyTorch's workers are processes beside the timed one: what they cost is not in its time, so no ratio is asked.
        batch_case(makemore, folder, 4, ()),
        *(generate_case(makemore, kind) for kind in STEP_GOALS),
        microgpt_case(folder),
    ]
