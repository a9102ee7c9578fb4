"""Saved under one library, loaded under the other, trained on: the same losses as the library that trains on without the exchange.

Invariant: the file is the only thing that passes from one to the other. fastnn to fastnn every bit is kept, the random streams and the
DataLoader's order included; between the libraries the first loss after the exchange is equal to its last printed digit.
Does not: test the file format (../io/test_save_load.py). Read next: training.py.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import same
from training import Training, zoo

import fastnn

LIBS = {"torch": torch, "fastnn": fastnn}
WAYS = [(a, b) for a in LIBS for b in LIBS]
FIRST, REST = 6, 6


@pytest.fixture(autouse=True)
def _one_thread_for_torch() -> None:
    torch.set_num_threads(1)


def checkpoint(t: Training) -> dict[str, Any]:
    return {
        "model": t.model.state_dict(), "optimizer": t.optimizer.state_dict(), "schedule": t.schedule.state_dict(),
        "random": t.lib.get_rng_state(), "step": t.done,
    }  # fmt: skip


def resume(t: Training, saved: dict[str, Any]) -> Training:
    """A new training goes on where the saved one stopped."""
    t.model.load_state_dict(saved["model"])
    t.optimizer.load_state_dict(saved["optimizer"])
    t.schedule.load_state_dict(saved["schedule"])
    t.lib.set_rng_state(saved["random"])
    t.done = saved["step"]
    return t


CASES = [(m, o) for m, o in zip(zoo(fastnn), ["AdamW", "SGD", "RMSprop", "Adagrad", "Adam"] * 3)]  # noqa: B905  (the optimizers in turn)


@pytest.mark.parametrize(("model", "optimizer"), CASES)
def test_training_goes_on_in_the_other_library(model: str, optimizer: str, tmp_path: Path) -> None:
    for writer, reader in WAYS:
        through = Training(LIBS[writer], model, optimizer).run(FIRST)
        path = tmp_path / f"{writer}.pt"
        LIBS[writer].save(checkpoint(through), path)
        through.run(REST)  # before the other, which sets the stream the two share
        resumed = resume(Training(LIBS[reader], model, optimizer), LIBS[reader].load(path)).run(REST)
        if writer == reader:  # uninterrupted
            assert resumed.losses == through.losses[FIRST:], f"{writer} alone: {model} under {optimizer}"
            want = through.numbers()
            for name, value in resumed.numbers().items():
                if name != "losses":
                    same(value, want[name], f"{writer} alone: {model}, {name}")
        else:  # the same digits, dropout's masks included
            printed = ([f"{loss:.4f}" for loss in t] for t in (resumed.losses, through.losses[FIRST:]))
            assert next(printed) == next(printed), f"{writer} to {reader}: {model} under {optimizer}"


def test_data_loaders_order_goes_on() -> None:
    """An epoch's order is drawn from the saved stream: equal in both libraries, before and after the exchange."""
    orders = {}
    for writer, reader in WAYS:
        lib, other = LIBS[writer], LIBS[reader]
        lib.manual_seed(5)
        data = [(i, -i) for i in range(20)]
        first = [b[0].tolist() for b in lib.utils.data.DataLoader(data, batch_size=3, shuffle=True)]
        buffer = io.BytesIO()
        lib.save({"random": lib.get_rng_state()}, buffer)
        buffer.seek(0)
        other.set_rng_state(other.load(buffer)["random"])
        second = [b[0].tolist() for b in other.utils.data.DataLoader(data, batch_size=3, shuffle=True)]
        orders[writer, reader] = first, second, other.randn(5).tolist()
    assert all(o == orders["torch", "torch"] for o in orders.values())


def shelf(lib: Any) -> Any:
    """Everything a checkpoint may hold: views, ties, other dtypes, empty and 0-d tensors, containers in containers."""
    base = lib.arange(24, dtype=lib.float64).reshape(4, 6)
    weight = lib.nn.Parameter(lib.arange(6, dtype=lib.float32).reshape(2, 3))
    return OrderedDict(
        base=base, row=base[1], column=base[:, 2], step=base[::2, ::3], turned=base.t(), wide=base[:1].expand(3, 6),
        weight=weight, tied=weight, frozen=lib.nn.Parameter(lib.ones(2), requires_grad=False),
        number=lib.tensor(2.5), nothing=lib.zeros(0, 3), flag=lib.tensor(True), bytes=lib.arange(250, 256).to(lib.uint8),
        ints=[lib.arange(3), (lib.arange(3, dtype=lib.int32), {"deep": OrderedDict(a=lib.ones(1, 1))})],
        plain={"lr": 0.1, "betas": (0.9, 0.99), "name": "run", "none": None, "yes": True, 7: -3},
    )  # fmt: skip


def compare(got: Any, want: Any, lib: Any, what: str) -> None:
    if hasattr(want, "detach"):
        assert type(got).__name__ == type(want).__name__ and isinstance(got, lib.Tensor), what
        assert tuple(got.stride()) == tuple(want.stride()) and got.storage_offset() == want.storage_offset(), what
        assert got.requires_grad == want.requires_grad, what
        same(got, want, what)
    elif isinstance(want, dict):
        assert type(got) is type(want) and list(got) == list(want), what
        for k in want:
            compare(got[k], want[k], lib, f"{what}[{k!r}]")
    elif isinstance(want, list | tuple):
        assert type(got) is type(want) and len(got) == len(want), what
        for i, (g, w) in enumerate(zip(got, want, strict=True)):
            compare(g, w, lib, f"{what}[{i}]")
    else:
        assert got == want and type(got) is type(want), what


@pytest.mark.parametrize("options", [{}, {"weights_only": False}, {"mmap": True}, {"map_location": "cpu"}, {"map_location": lambda s, _: s}], ids=["{}", "weights_only", "mmap", "cpu", "function"])
def test_everything_a_checkpoint_may_hold(options: dict[str, Any], tmp_path: Path) -> None:
    for writer, reader in WAYS:
        want = shelf(LIBS[writer])
        path = tmp_path / f"{writer}{reader}.pt"
        LIBS[writer].save(want, path)
        got = LIBS[reader].load(path, **options)
        compare(got, want, LIBS[reader], f"{writer} to {reader}")
        assert got["tied"] is got["weight"]
        got["base"][1, 2] = -1  # one memory: the views see it
        assert got["row"][2] == -1 and got["column"][1] == -1 and got["turned"][2, 1] == -1
        assert want["base"][1, 2] == 8


@pytest.mark.parametrize(("writer", "reader"), WAYS)
def test_safetensors(writer: str, reader: str, tmp_path: Path) -> None:
    """A model's numbers through safetensors' NumPy interface."""
    from safetensors.numpy import load_file, save_file

    source = Training(LIBS[writer], "nn.LSTM", "AdamW").run(2)
    path = tmp_path / "model.safetensors"
    save_file({k: np.ascontiguousarray(v.numpy()) for k, v in source.model.state_dict().items()}, path)
    target = Training(LIBS[reader], "nn.LSTM", "AdamW")
    lib = LIBS[reader]
    target.model.load_state_dict({k: lib.from_numpy(v) for k, v in load_file(path).items()})
    for (k, a), (_, b) in zip(target.model.state_dict().items(), source.model.state_dict().items(), strict=True):
        same(a, b, k)


@pytest.mark.parametrize(("writer", "reader"), WAYS)
def test_tied_weights_stay_tied(writer: str, reader: str, tmp_path: Path) -> None:
    """A GPT's output and embedding are one parameter before and after, in the file too."""
    source = Training(LIBS[writer], "GPT", "AdamW").run(2)
    LIBS[writer].save(source.model.state_dict(), tmp_path / "gpt.pt")
    state = LIBS[reader].load(tmp_path / "gpt.pt")
    assert state["wte.weight"].data_ptr() == state["lm_head.weight"].data_ptr()
    target = Training(LIBS[reader], "GPT", "AdamW")
    target.model.load_state_dict(state)
    target.step()
    assert target.model.wte.weight is target.model.lm_head.weight


def test_a_pickled_module_names_the_file_torch_has_its_class_in() -> None:
    homes = {name: (getattr(fastnn.nn, name), getattr(torch.nn, name, None)) for name in dir(fastnn.nn) if isinstance(getattr(fastnn.nn, name), type)}
    classes = {name: pair for name, pair in homes.items() if issubclass(pair[0], fastnn.nn.Module) and pair[1]}
    assert len(classes) > 100
    wrong = {name: (ours.__module__, theirs.__module__) for name, (ours, theirs) in classes.items() if ours.__module__ != theirs.__module__.replace("torch", "fastnn", 1)}
    assert not wrong
    for name, (ours, _) in classes.items():
        assert pickle.loads(pickle.dumps(ours)) is ours, name
