"""The training loop behind `fastnn train`.

Invariant: a run that is stopped (Ctrl-C, a kill, --steps reached) and resumed ends with the same bits as one that ran
through. So everything the next step depends on is in the checkpoint: weights, AdamW's averages, the generator of the
batches and the default one (dropout); evaluation draws nothing, and samples come from a generator of their own.
Read next: checkpoint.py for how saving survives a kill.
"""

from __future__ import annotations

import csv
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from tqdm import tqdm

import fastnn
from fastnn import Tensor
from fastnn.train import checkpoint, models, names, plot
from fastnn.train.checkpoint import Checkpoint
from fastnn.train.config import CHANGEABLE, TrainConfig, UserError
from fastnn.train.sample import generate, restore_model

LOG = "log.csv"
LOG_COLUMNS = ("step", "loss", "train", "test")
# A test set has at most 1,000 names; as many training names give a loss as steady.
EVAL_NAMES, EVAL_BATCH = 1000, 250
LINES_WITHOUT_TTY = 100  # steps between progress lines when stderr is a file or a pipe


def main(options: dict[str, Any]) -> int:
    """`fastnn train` with the options that were given. Returns the exit status."""
    resume, overwrite = options.pop("resume", False), options.pop("overwrite", False)
    folder, wants_plot = Path(options.pop("out", "out")), options.pop("plot", False)
    if wants_plot:
        plot.require()
    if "input" in options:
        options["input"] = str(Path(options["input"]).resolve())  # a run may be resumed from another folder
    saved = checkpoint.load(folder) if resume else None
    config = _resumed_config(saved.config, options) if saved else TrainConfig(**options)
    config.check()
    corpus = names.load_corpus(Path(config.input or names.BUNDLED), config.block_size)
    if saved and saved.names_crc != corpus.crc:
        raise UserError(f"{config.input or 'the bundled list'} is not what the run in {folder} was started with")
    if not saved and not overwrite and checkpoint.exists(folder):
        raise UserError(f"{folder} holds a run already: give --resume, --overwrite or another --out")
    _make_writable(folder)
    try:
        trainer = Trainer(config, corpus, folder, saved)
    except (MemoryError, RuntimeError) as error:
        raise UserError(f"cannot build a model of these sizes: {error}") from None
    status = trainer.run()
    if wants_plot:
        plot.draw(folder / LOG, folder / "loss.png")
        print(f"loss curve in {folder / 'loss.png'}")
    return status


def _resumed_config(old: TrainConfig, options: dict[str, Any]) -> TrainConfig:
    for name, value in options.items():
        if name not in CHANGEABLE and value != getattr(old, name):
            flag = "--" + name.replace("_", "-")
            raise UserError(f"{flag} {value} cannot be resumed: the run was started with {getattr(old, name)}")
    return replace(old, **options)


def _make_writable(folder: Path) -> None:
    """Fails before the training, not at its first save."""
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"cannot write to --out {folder}: {error.strerror}") from None


@contextmanager
def _sigint_sets_flag() -> Iterator[Callable[[], bool]]:
    """Within it, the first Ctrl-C is answered at the next step's end; a second one interrupts at once."""
    seen: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)


class Trainer:
    def __init__(self, config: TrainConfig, corpus: names.Corpus, folder: Path, saved: Checkpoint | None) -> None:
        self.config, self.corpus, self.folder = config, corpus, folder
        train_names, test_names = names.split(corpus, config.seed)
        self.train, self.test = names.Examples(corpus, train_names), names.Examples(corpus, test_names)
        self.batches = fastnn.Generator()  # draws the rows of each batch
        self.batches.manual_seed(config.seed)
        fastnn.manual_seed(config.seed)  # the default generator: initial weights, then dropout
        self.model = restore_model(saved) if saved else self._new_model()
        self.optimizer = fastnn.optim.AdamW(
            self.model.parameters(),
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
        )
        self.step = 0
        self.rows: list[tuple[Any, ...]] = []  # of the log, not yet written
        self.losses: dict[str, float | None] = {"train": None, "test": None}
        if saved:
            self._restore(saved)

    def _new_model(self) -> models.LanguageModel:
        c = asdict(self.config)
        shape = {k: c[k] for k in ("type", "n_layer", "n_head", "n_embd", "n_embd2", "dropout")}
        return models.build(
            models.ModelConfig(**shape, vocab_size=self.corpus.vocab_size, block_size=self.corpus.block_size)
        )

    def run(self) -> int:
        """Trains until config.steps. Returns 0, or 130 after Ctrl-C."""
        count = sum(p.numel() for p in self.model.parameters())
        print(f"{len(self.train)} names to train on, {len(self.test)} to test, {self.corpus.vocab_size - 1} characters")
        print(f"{self.config.type}: {count:,} parameters, {fastnn.get_num_threads()} threads", flush=True)
        if self.step >= self.config.steps:
            print(f"{self.folder} is at step {self.step} already: give a larger --steps to go on")
            return 0
        self._start_log()
        bar = tqdm(
            total=self.config.steps, initial=self.step, unit="step", disable=not sys.stderr.isatty(), dynamic_ncols=True
        )
        with _sigint_sets_flag() as interrupted, bar:
            self._loop(bar, interrupted)
            stopped = self.step < self.config.steps
        if stopped:
            print(f"interrupted: saved step {self.step} in {self.folder}; --resume goes on from there")
            return 130
        print(f"model in {self.folder}; draw more names with: fastnn sample {self.folder}")
        return 0

    def _loop(self, bar: tqdm[Any], interrupted: Callable[[], bool]) -> None:
        started, first = time.perf_counter(), self.step
        tokens_a_step = self.config.batch_size * self.train.tokens
        while self.step < self.config.steps:
            loss = self._train_step()
            if not math.isfinite(loss):
                raise UserError(f"the loss is {loss} after step {self.step}: try a smaller --lr (this was not saved)")
            rate = (self.step - first) * tokens_a_step / (time.perf_counter() - started)
            bar.update()
            bar.set_postfix_str(f"loss {loss:.4f}, {rate:,.0f} tokens/s", refresh=False)
            if bar.disable and self.step % LINES_WITHOUT_TTY == 0:
                left = (self.config.steps - self.step) * tokens_a_step / rate
                print(f"step {self.step} loss {loss:.4f} {rate:,.0f} tokens/s {left:.0f} s left", flush=True)
            stop = interrupted()
            if stop or self.step % self.config.eval_every == 0 or self.step == self.config.steps:
                self._report(loss, bar)
                self._save()
                if stop:
                    return
            else:
                self.rows.append((self.step, loss, "", ""))

    def _train_step(self) -> float:
        x, y = self.train.batch(self.config.batch_size, self.batches)
        loss = self.model.loss(x, y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        return float(loss.item())

    def _report(self, loss: float, bar: tqdm[Any]) -> None:
        train, test = self._evaluate(self.train), self._evaluate(self.test)
        self.losses = {"train": train, "test": test}
        self.rows.append((self.step, loss, train, test))
        generator = fastnn.Generator()
        generator.manual_seed(self.config.seed + self.step)
        drawn = generate(self.model, 10, self.corpus.block_size - 1, generator)
        text = " ".join(self.corpus.decode(tokens) for tokens in drawn)
        bar.clear()
        print(f"step {self.step}: train loss {train:.4f}, test loss {test:.4f}\n  {text}", flush=True)

    @fastnn.inference_mode()
    def _evaluate(self, examples: names.Examples) -> float:
        """The mean loss a token over the first EVAL_NAMES names."""
        self.model.eval()
        total, tokens = 0.0, 0
        for start in range(0, min(len(examples), EVAL_NAMES), EVAL_BATCH):
            x, y = examples.x[start : start + EVAL_BATCH], examples.y[start : start + EVAL_BATCH]
            n = int((y != names.IGNORE).sum().item())
            total += float(self.model.loss(x, y).item()) * n
            tokens += n
        self.model.train()
        return total / tokens

    def _save(self) -> None:
        c = self.corpus
        state = Checkpoint(self.config, c.chars, c.block_size, c.crc, self.step, self.losses, self._tensors())
        try:
            with open(self.folder / LOG, "a", newline="") as file:
                csv.writer(file).writerows(self.rows)
            checkpoint.save(self.folder, state)
        except OSError as error:
            reason = f"cannot save step {self.step} in {self.folder}: {error.strerror}"
            raise UserError(f"{reason}; an older checkpoint there is still whole") from None
        self.rows.clear()

    def _start_log(self) -> None:
        """Keeps the rows up to the step that is resumed: a killed run may have logged more than it saved."""
        path = self.folder / LOG
        kept: list[list[str]] = []
        if self.step and path.exists():
            with open(path, newline="") as file:
                kept = [row for row in csv.reader(file) if row and row[0].isdigit() and int(row[0]) <= self.step]
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows([LOG_COLUMNS, *kept])

    def _tensors(self) -> dict[str, np.ndarray]:
        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"adamw.{key}.{name}"] = value
        tensors["generator.batches"] = self.batches.get_state()
        tensors["generator.default"] = fastnn.get_rng_state()
        return {name: np.ascontiguousarray(t.detach().numpy()) for name, t in tensors.items()}

    def _restore(self, saved: Checkpoint) -> None:
        """The state beside the weights, which restore_model has set."""

        def tensor(name: str, like: Tensor) -> Tensor:
            if name not in saved.tensors:
                raise UserError(f"the checkpoint in {self.folder} lacks {name}")
            t = fastnn.from_numpy(saved.tensors[name].copy())
            if t.numel() == like.numel() == 1:  # NumPy's contiguous arrays have at least one dimension
                t = t.view(like.shape)
            if t.shape != like.shape or t.dtype != like.dtype:
                found, wanted = f"{t.dtype} {tuple(t.shape)}", f"{like.dtype} {tuple(like.shape)}"
                raise UserError(f"the checkpoint in {self.folder} is damaged: {name} is {found}, expected {wanted}")
            return t

        for name, parameter in self.model.named_parameters():
            likes: dict[str, Tensor] = {"step": fastnn.tensor(0.0), "exp_avg": parameter, "exp_avg_sq": parameter}
            self.optimizer.state[parameter] = {key: tensor(f"adamw.{key}.{name}", like) for key, like in likes.items()}
        state = fastnn.get_rng_state()
        try:
            self.batches.set_state(tensor("generator.batches", state))
            fastnn.set_rng_state(tensor("generator.default", state))
        except RuntimeError as error:
            raise UserError(f"the checkpoint in {self.folder} is damaged: {error}") from None
        self.step, self.losses = saved.step, dict(saved.losses)
