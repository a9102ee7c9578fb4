"""GradScaler on the CPU beside torch's: scale, gradients, steps taken or left out, state, calls out of turn.

Read next: fastnn/amp/grad_scaler.py.
"""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import pytest
import torch
from support import arr, outcome

import fastnn


def make(lib: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
    w = lib.nn.Parameter(lib.arange(3, dtype=lib.float32) - 0.7)
    return w, lib.optim.SGD([w], lr=0.1, momentum=0.9), lib.amp.GradScaler("cpu", **kwargs)


def turn(lib: Any, w: Any, opt: Any, scaler: Any, bad: bool) -> list[Any]:
    opt.zero_grad()
    loss = (w * w * (float("inf") if bad else 1.25)).sum()
    scaler.scale(loss).backward()
    scaled = arr(w.grad).tolist()
    scaler.unscale_(opt)
    grads = arr(w.grad).tolist()
    scaler.step(opt)
    scaler.update()
    return [scaled, grads, arr(w).tolist(), scaler.get_scale(), scaler.state_dict()]


@pytest.mark.parametrize("init_scale", [65536.0, 3.3, 2.0**127])
def test_scales_and_steps_as_torch(init_scale: float) -> None:
    """Growth after three good steps, back after an infinite gradient, a scale float32 cannot hold exactly, one that would overflow."""
    found = []
    for lib in (torch, fastnn):
        things = make(lib, init_scale=init_scale, growth_interval=3, growth_factor=2.7, backoff_factor=0.3)
        found.append([repr(turn(lib, *things, bad=i in (2, 7, 8))) for i in range(14)])
    assert found[1] == found[0]


def test_state_comes_back() -> None:
    found = []
    for lib in (torch, fastnn):
        w, opt, scaler = make(lib, growth_interval=2)
        for i in range(3):
            turn(lib, w, opt, scaler, i == 1)
        other = make(lib)[2]
        other.load_state_dict(scaler.state_dict())
        again = pickle.loads(pickle.dumps(scaler))
        pair = [scaler.scale(t).item() for t in (w.sum(), w[0])]
        several = [t.item() for t in other.scale([w.sum(), w[0]])]
        scaler.update(8.1)
        found.append([other.state_dict(), again.state_dict(), pair, several, scaler.get_scale(), scaler.is_enabled()])
        scaler.update(lib.tensor(0.25))
        found[-1].append(scaler.get_scale())
    assert found[1] == found[0]


OUT_OF_TURN = """
s.scale(loss).backward(); s.unscale_(o) | s.unscale_(o)
s.scale(loss).backward(); s.step(o) | s.unscale_(o)
s.scale(loss).backward(); s.step(o) | s.step(o)
s.scale(loss).backward() | s.step(o, closure=lambda: 1)
s.scale(loss).backward(); s.unscale_(o) | __import__('pickle').dumps(s)
s.scale(loss).backward() | s.update()
s.scale(loss) | s.step(o)
s.scale(loss) | s.step(None)
s.scale(loss) | s.update('a')
s.scale(loss) | s.update(lib.ones(2))
pass | s.unscale_(o)
pass | s.step(o)
pass | s.update()
pass | s.update(2.0)
pass | s.scale(3)
pass | s.load_state_dict({})
pass | s.load_state_dict({'scale': 1.0})
""".strip().splitlines()


@pytest.mark.parametrize("line", OUT_OF_TURN)
def test_calls_out_of_turn(line: str) -> None:
    """torch's class; and when fastnn refuses, weights, gradients and state are what they were."""
    errors = []
    before, _, call = line.partition(" | ")
    for lib in (torch, fastnn):
        w, o, s = make(lib)
        names = {"s": s, "o": o, "lib": lib, "loss": (w * w).sum()}
        exec(before, names)
        seen = repr([w, w.grad, s.state_dict()])
        _, error = outcome(lambda names=names: exec(call, names))
        assert error is not None, f"{lib.__name__} accepts {line}"
        assert lib is torch or repr([w, w.grad, s.state_dict()]) == seen
        errors.append(error)
    assert type(errors[1]) is type(errors[0]), errors
    assert "GradScaler" in str(errors[1]) or isinstance(errors[1], KeyError | AttributeError), errors[1]


def test_wrong_constructions() -> None:
    for kwargs in ({"growth_factor": 1.0}, {"backoff_factor": 1.0}, {"growth_factor": "a"}, {"nothing": 1}):
        classes = []
        for lib in (torch, fastnn):
            _, error = outcome(lambda lib=lib, kwargs=kwargs: lib.amp.GradScaler("cpu", **kwargs))
            classes.append(type(error))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert "nothing" in kwargs or not lib.amp.GradScaler("cuda", **kwargs).is_enabled()
        assert classes[0] is classes[1] is not type(None), (kwargs, classes)
