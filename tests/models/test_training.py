"""Whole trainings beside PyTorch's: after 50 steps every loss, parameter, buffer, gradient and optimizer state.

float64 agrees to 1e-12 of a tensor's largest value; float32 stays as near to the float64 training as PyTorch's own does. Within fastnn the
float32 bits are equal for any number of threads and in two runs.
Invariant: both start from the same bits, checked. Read next: training.py, zoo.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support import same
from training import OPTIMIZERS, Numbers, Training, zoo

import fastnn

MODELS = list(zoo(fastnn))
# A key's bias adds the same to all scores of a row, which softmax takes out again: its gradient is rounding noise, and Adam,
# RMSprop and Adagrad divide noise by noise.
NOISE = ("qkv.bias", "in_proj_bias")


@pytest.fixture(autouse=True)
def _one_thread_for_torch() -> None:
    """PyTorch's threads bring nothing to models this small and disturb each other on a busy machine."""
    torch.set_num_threads(1)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, as a share of b's largest value."""
    assert a.shape == b.shape
    top = float(np.abs(b).max(initial=0.0))
    off = float(np.abs(a.astype(np.float64) - b).max(initial=0.0))
    return off / top if top else off


def numbers(lib: Any, model: str, optimizer: str, dtype: str) -> Numbers:
    return Training(lib, model, optimizer, dtype).run().numbers()


@pytest.mark.parametrize("model", MODELS)
def test_both_start_from_the_same_bits(model: str) -> None:
    want, got = (Training(lib, model, "SGD").numbers() for lib in (torch, fastnn))
    assert list(got) == list(want)
    for name in want:
        same(got[name], want[name], f"{model}: {name}")


@pytest.mark.parametrize("model", MODELS)
def test_float64_agrees(model: str) -> None:
    for optimizer in OPTIMIZERS:
        want, got = (numbers(lib, model, optimizer, "float64") for lib in (torch, fastnn))
        assert list(got) == list(want)
        assert want["losses"][-4:].mean() < want["losses"][:4].mean(), f"{model} under {optimizer} does not learn"
        for name in want:
            off, allowed = distance(got[name], want[name]), 1e-7 if name.endswith(NOISE) else 1e-12
            assert off <= allowed, f"{model} under {optimizer}: {name} is {off:.1e} of its largest value off, allowed {allowed:.0e}"


def drift(got: Numbers, want: Numbers) -> float:
    """How far all parameters and losses together are from `want`, root mean square, as a share of its size."""
    names = [n for n in want if n.startswith(("parameter", "losses")) and not n.endswith(NOISE)]
    off = sum(float(((got[n].astype(np.float64) - want[n]) ** 2).sum()) for n in names)
    return (off / sum(float((want[n] ** 2).sum()) for n in names)) ** 0.5


@pytest.mark.parametrize("model", MODELS)
def test_float32_drifts_no_more_than_torch(model: str) -> None:
    """Rounding errors of 50 steps: within 1.5 times PyTorch's (seen: 0.66 to 1.03 of it)."""
    for optimizer in ("SGD", "AdamW"):
        truth = numbers(torch, model, optimizer, "float64")
        theirs, ours = (drift(numbers(lib, model, optimizer, "float32"), truth) for lib in (torch, fastnn))
        assert ours <= 1.5 * theirs, f"{model} under {optimizer}: {ours:.2g} off, PyTorch {theirs:.2g}"


@pytest.mark.parametrize("model", MODELS)
def test_threads_and_runs_give_the_same_bits(model: str) -> None:
    results = []
    for threads in (1, 2, 3, 2):
        fastnn.set_num_threads(threads)
        results.append(numbers(fastnn, model, "AdamW", "float32"))
    for other in results[1:]:
        for name in results[0]:
            same(other[name], results[0][name], f"{model}: {name}")
