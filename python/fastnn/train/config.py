"""The options of a training run, as they are saved with it. No tensors here: the CLI reads it at start."""

from __future__ import annotations

from dataclasses import dataclass

MODEL_TYPES = ("transformer", "gru", "rnn", "mlp", "bow", "bigram")


class UserError(Exception):
    """Something the user can put right: shown as one line, exit status 2."""


@dataclass
class TrainConfig:
    """One run. A resumed one may change the fields in CHANGEABLE only: the others shape the weights or data order."""

    type: str = "transformer"
    input: str | None = None  # None: the bundled list
    block_size: int | None = None  # None: the longest name and its end mark
    steps: int = 4000
    seed: int = 1
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 64
    n_embd2: int = 64
    dropout: float = 0.1
    batch_size: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    eval_every: int = 500


CHANGEABLE = frozenset({"steps", "lr", "weight_decay", "beta1", "beta2", "eval_every"})
