"""Draws names from a trained model: `fastnn sample DIR`.

Invariant: the same checkpoint, options and seed print the same names, one per line, and nothing else on stdout.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import fastnn
from fastnn import Tensor
from fastnn.nn import functional as F
from fastnn.train import checkpoint, models, names
from fastnn.train.checkpoint import Checkpoint
from fastnn.train.config import UserError

# How many draws --novel makes for each name asked for before it gives up.
PATIENCE = 50


@fastnn.inference_mode()
def generate(
    model: models.LanguageModel,
    num: int,
    length: int,
    generator: fastnn.Generator,
    start: list[int] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> list[list[int]]:
    """`num` token lists of at most `length` tokens without the end mark, each beginning with `start`."""
    idx = fastnn.tensor([[0, *(start or [])]] * num, dtype=fastnn.int64)
    was_training = model.training
    model.eval()
    while idx.size(1) <= length:
        step = _draw(model(idx)[:, -1, :], generator, temperature, top_k)
        idx = fastnn.cat((idx, step), 1)
        if idx.size(1) > 2 and bool((idx[:, 1:] == 0).any(1).all()):
            break
    model.train(was_training)
    rows: list[list[int]] = idx[:, 1:].tolist()
    return [row[: row.index(0)] if 0 in row else row for row in rows]


def _draw(logits: Tensor, generator: fastnn.Generator, temperature: float, top_k: int | None) -> Tensor:
    """The next token of each row: (num, V) -> (num, 1)."""
    if temperature == 0.0:
        return logits.argmax(1, keepdim=True)
    logits = logits / temperature
    if top_k is not None and top_k < logits.size(1):
        floor = fastnn.topk(logits, top_k)[0][:, -1:]
        logits = fastnn.where(logits < floor, float("-inf"), logits)
    return fastnn.multinomial(F.softmax(logits, -1), 1, generator=generator)


def restore_model(saved: Checkpoint) -> models.LanguageModel:
    """The model of a checkpoint with its weights. UserError if the tensors do not fit the options."""
    c = asdict(saved.config)
    shape = {k: c[k] for k in ("type", "n_layer", "n_head", "n_embd", "n_embd2", "dropout")}
    config = models.ModelConfig(**shape, vocab_size=len(saved.chars) + 1, block_size=saved.block_size)
    prefix = "model."
    found = sum(v.size for k, v in saved.tensors.items() if k.startswith(prefix))
    if config.parameters() != found:  # before anything of that size is built
        wanted = f"{config.parameters():,} numbers, found {found:,}"
        raise UserError(f"the checkpoint's tensors do not fit its options: expected {wanted}")
    model = models.build(config)
    state = {k[len(prefix) :]: fastnn.from_numpy(v.copy()) for k, v in saved.tensors.items() if k.startswith(prefix)}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the checkpoint's tensors do not fit its options: {reason[:200]}") from None
    return model


def main(dir: str, num: int, temperature: float, top_k: int | None, seed: int, starts_with: str, novel: bool) -> int:
    saved = checkpoint.load(Path(dir))
    alphabet = names.Corpus([], saved.chars, saved.block_size, 0)
    missing = sorted(set(starts_with) - set(saved.chars))
    if missing:
        raise UserError(f"--starts-with {starts_with!r}: the model knows no {', '.join(map(repr, missing))}")
    if len(starts_with) >= saved.block_size:
        longest = saved.block_size - 1
        raise UserError(f"--starts-with {starts_with!r}: names of this model end after {longest} characters")
    known = set(names.read_names(Path(saved.config.input or names.BUNDLED))) if novel else set()
    model = restore_model(saved)
    generator = fastnn.Generator()
    generator.manual_seed(seed)

    def drawn() -> Iterator[str]:
        for _ in range(PATIENCE if novel else 1):
            rows = generate(
                model, num, saved.block_size - 1, generator, alphabet.encode(starts_with), temperature, top_k
            )
            yield from map(alphabet.decode, rows)

    left = num
    for name in drawn():
        if name in known:
            continue
        if novel:
            known.add(name)
        print(name)
        left -= 1
        if not left:
            return 0
    print(f"fastnn sample: only {num - left} of {num} names are new after {PATIENCE * num} draws", file=sys.stderr)
    return 1
