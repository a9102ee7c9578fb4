"""Whole training steps, the loader and generation: further rows of the table in cases.py.

The models are fastnn's own (python/fastnn/train/models.py), at the sizes of makemore's defaults; measure.py loads that
file on both sides. What it does not do: makemore.py itself, which makemore_compare.py runs unmodified.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from case import C, Case, H, Inputs, Run, T, V
from torch.utils.data import DataLoader, Dataset, RandomSampler

BATCH = 32
UNCOMPILED: dict[str, Any] = {"backward": False, "check": False, "compiled": False}


def step_case(models: Any, kind: str) -> Case:
    def build(i: Inputs) -> Run:
        torch.manual_seed(0)
        model = new_model(models, kind)
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, betas=(0.9, 0.99), weight_decay=0.01)
        x, y = i.ints(V, BATCH, T), i.ints(V, BATCH, T)
        loss_of = i.compiled(model.loss)

        def step() -> Any:
            loss = loss_of(x, y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return loss

        return step

    return Case(f"training step, {kind}, batch 32", build, (), backward=False, graph=True, check=False)


def new_model(models: Any, kind: str) -> Any:
    shape = dict(n_layer=4, n_head=H, n_embd=C, n_embd2=C, dropout=0.0)
    return models.build(models.ModelConfig(type=kind, vocab_size=V, block_size=T, **shape))


def generate_case(models: Any, kind: str) -> Case:
    def build(i: Inputs) -> Run:
        torch.manual_seed(0)
        model = new_model(models, kind)

        def generate() -> Any:
            idx = torch.zeros(10, 1, dtype=torch.int64)
            for _ in range(15):
                probabilities = F.softmax(model(idx)[:, -1, :], -1)
                idx = torch.cat((idx, torch.multinomial(probabilities, 1)), 1)
            return idx

        return generate

    return Case(f"generate 10 names of 15, {kind}", build, ("multinomial",), **UNCOMPILED)


class Names(Dataset):  # type: ignore[misc,type-arg]
    """Rows made one by one from text, as scripts do it."""

    def __init__(self) -> None:
        self.names = [("abcdefghijklmnopqrstuvwxyz" * 2)[i % 26 : i % 26 + 3 + i % 11] for i in range(5000)]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        tokens = torch.tensor([ord(c) - 96 for c in self.names[i]])
        x, y = torch.zeros(T, dtype=torch.int64), torch.full((T,), -1)
        x[1 : 1 + len(tokens)] = tokens
        y[: len(tokens)] = tokens
        y[len(tokens)] = 0
        return x, y


def loader(i: Inputs) -> Run:
    names = Names()
    sampler = RandomSampler(names, replacement=True, num_samples=10**9)
    batches = iter(DataLoader(names, sampler=sampler, batch_size=BATCH))
    return lambda: next(batches)


def lecture_mlp(i: Inputs) -> Run:
    """A batch of 32 through an embedding table, one hidden layer and plain gradient descent, op by op."""
    table, w1, b1 = i.normal(V, 10), i.normal(30, 200, scale=0.2), i.normal(200, scale=0.01)
    w2, b2 = i.normal(200, V, scale=0.01), i.normal(V, scale=0.0)
    parameters = [table, w1, b1, w2, b2]
    x, y = i.ints(V, BATCH, 3), i.ints(V, BATCH)

    def step() -> Any:
        h = torch.tanh(table[x].view(-1, 30) @ w1 + b1)
        loss = F.cross_entropy(h @ w2 + b2, y)
        for p in parameters:
            p.grad = None
        loss.backward()
        for p in parameters:
            p.data += -0.001 * p.grad
        return loss

    return step


def step_cases(models: Any) -> list[Case]:
    """The rows, over the models module of this side."""
    return [
        *(step_case(models, kind) for kind in models.MODELS),
        Case("training step, lecture MLP", lecture_mlp, (), graph=True, goal=(0.2,), goal_us=25, **UNCOMPILED),
        Case("one batch of 32 from the DataLoader", loader, (), goal=(0.3,), **UNCOMPILED),
        *(generate_case(models, kind) for kind in models.MODELS),
    ]
