"""Trains a model of the zoo under either library and reports every number of it.

Invariant: knows a library only through `lib`; data come from NumPy, all other random numbers from the library's stream.
Does not: compare. Read next: test_training.py.
"""

from __future__ import annotations

import builtins
import functools
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
STEPS, BATCH = 50, 8
Numbers = dict[str, np.ndarray]

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}),
    "Adam": ("Adam", {"lr": 3e-3, "betas": (0.9, 0.99)}),
    "AdamW": ("AdamW", {"lr": 3e-3, "betas": (0.9, 0.95), "weight_decay": 0.1}),
    "RMSprop": ("RMSprop", {"lr": 1e-3, "momentum": 0.5}),
    "Adagrad": ("Adagrad", {"lr": 0.02}),
}


@functools.cache
def load(lib: Any, path: Path) -> dict[str, Any]:
    """The names of a PyTorch script in which `torch` is `lib`."""

    def importer(name: str, *rest: Any) -> Any:
        top, dot, tail = name.partition(".")
        return builtins.__import__(lib.__name__ + dot + tail if top == "torch" else name, *rest)

    space: dict[str, Any] = {"__name__": f"{path.stem} under {lib.__name__}", "__builtins__": {**vars(builtins), "__import__": importer}}
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), space)
    return space


def zoo(lib: Any) -> dict[str, Any]:
    """Name to constructor; the character models are built for the zoo's vocabulary."""
    own, chars = load(lib, HERE / "zoo.py"), load(lib, HERE.parent / "scripts" / "charmodels.py")
    chars["print"] = lambda *args: None  # (the transformer prints its size)
    config = chars["Config"](block=own["BLOCK"], vocab=own["VOCAB"], layers=2, heads=2, width=16, hidden=12)
    return {**{f"charmodels {name}": lambda make=make: make(config) for name, make in chars["MODELS"].items()}, **own["MODELS"]}


class Training:
    """A model, its optimizer in two groups (with and without decay), a cosine schedule, clipping; `step` is one update."""

    def __init__(self, lib: Any, model: str, optimizer: str, dtype: str = "float32") -> None:
        lib.manual_seed(1234)
        lib.set_default_dtype(lib.float32)
        self.lib, self.dtype = lib, getattr(lib, dtype)
        self.model = zoo(lib)[model]().to(self.dtype)  # (drawn in float32 for either dtype)
        kind, options = OPTIMIZERS[optimizer]
        decay = [p for p in self.model.parameters() if p.dim() >= 2]
        plain = [p for p in self.model.parameters() if p.dim() < 2]
        groups = [{"params": decay}, {"params": plain, "weight_decay": 0.0}] if plain else decay
        self.optimizer = getattr(lib.optim, kind)(groups, **options)
        self.schedule = lib.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=2 * STEPS)
        self.done, self.losses, self.grads = 0, list[float](), dict[str, np.ndarray]()
        self.vocab, self.block = (load(lib, HERE / "zoo.py")[k] for k in ("VOCAB", "BLOCK"))

    def batch(self) -> tuple[Any, Any]:
        rs = np.random.RandomState(self.done % 4)  # (few enough to be learnt by heart)
        x = rs.randint(0, self.vocab, (BATCH, self.block))
        return self.lib.from_numpy(x), self.lib.from_numpy((3 * x + np.roll(x, 1, 1)) % self.vocab)

    def step(self) -> None:
        self.lib.set_default_dtype(self.dtype)
        loss = self.model(*self.batch())[1]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.lib.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.losses.append(loss.item())
        self.done += 1

    def run(self, steps: int = STEPS) -> Training:
        for _ in range(steps):
            self.step()
        return self

    def numbers(self) -> Numbers:
        """Losses, parameters, buffers, gradients and optimizer states, each by its name."""
        found: Numbers = {"losses": np.array(self.losses)}
        owner = {}
        for name, p in self.model.named_parameters():
            found[f"parameter {name}"], owner[id(p)] = p.detach().numpy().copy(), name
            if p.grad is not None:
                found[f"gradient {name}"] = p.grad.numpy().copy()
        for name, b in self.model.named_buffers():
            found[f"buffer {name}"] = b.numpy().copy()
        for p, state in self.optimizer.state.items():
            for key, value in state.items():
                if value is not None:
                    found[f"state {key} {owner[id(p)]}"] = np.array(value.detach().numpy() if hasattr(value, "detach") else value)
        return found
