"""The options of a training run, as they are saved with it. No tensors here: the CLI reads it at start."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

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

    def check(self) -> None:
        """Raises UserError for a value that no option accepts: a checkpoint may come from anywhere."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not _accepts(field.name, field.default, value):
                raise UserError(f"--{field.name.replace('_', '-')} cannot be {str(value)[:80]}")
        if self.type == "transformer" and self.n_embd % self.n_head:
            raise UserError(f"--n-embd {self.n_embd} is not divisible by --n-head {self.n_head}")


LONGEST = 4096  # tokens of a name, its end mark included: more is no name, and tables are as wide as the longest


def _accepts(name: str, default: Any, value: Any) -> bool:
    if name == "type":
        return value in MODEL_TYPES
    if name == "input":
        return value is None or (isinstance(value, str) and "\0" not in value)
    if name == "block_size":
        return value is None or (type(value) is int and 1 <= value <= LONGEST)
    if type(default) is int:
        return type(value) is int and (0 if name == "seed" else 1) <= value < 2**63
    below = 1.0 if name in ("dropout", "beta1", "beta2") else float("inf")
    return type(value) in (int, float) and 0 <= value < below


CHANGEABLE = frozenset({"steps", "lr", "weight_decay", "beta1", "beta2", "eval_every"})
