"""The small packages scripts probe, and distributions: beside torch where torch's CPU build answers.

Invariant: an answer equal to torch's, or an error that names what is missing. Does not: test the alias. Read next:
test_alias.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import close, same

import fastnn


def test_cuda_answers(lib: Any) -> None:
    c = lib.cuda
    assert (c.is_available(), c.device_count(), c.is_initialized()) == (False, 0, False)
    assert c.manual_seed(1) is None
    assert c.manual_seed_all(1) is None
    assert c.empty_cache() is None
    assert (c.memory_allocated(), c.max_memory_allocated()) == (0, 0)
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        c.synchronize()
    assert lib.accelerator.is_available() is False
    assert lib.accelerator.current_accelerator() is None
    assert lib.backends.mps.is_available() is False
    assert lib.backends.cudnn.is_available() is False
    assert lib.xpu.is_available() is False


def test_flags_can_be_set() -> None:
    b = fastnn.backends
    b.cuda.matmul.allow_tf32 = True
    b.cudnn.allow_tf32 = True
    b.cudnn.benchmark = True
    b.cudnn.deterministic = True
    assert b.cuda.matmul.allow_tf32 is True
    assert b.cpu.get_cpu_capability() in ("AVX512", "AVX2", "DEFAULT")


def test_distributed_is_absent() -> None:
    from fastnn.nn.parallel import DistributedDataParallel

    assert fastnn.distributed.is_available() is False
    with pytest.raises(RuntimeError, match="no distributed training"):
        fastnn.distributed.init_process_group(backend="gloo")
    with pytest.raises(RuntimeError, match="no distributed training"):
        DistributedDataParallel(fastnn.nn.Linear(1, 1))
    with pytest.raises(NotImplementedError, match="profiler"):
        fastnn.profiler.profile()


def test_nanogpt_amp() -> None:
    """nanoGPT's use of autocast and GradScaler."""
    model = fastnn.nn.Linear(2, 1)
    opt = fastnn.optim.SGD(model.parameters(), lr=0.5)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        scaler = fastnn.cuda.amp.GradScaler(enabled=True)
    assert "Disabling" in str(seen[0].message)
    with fastnn.amp.autocast(device_type="cpu", dtype=fastnn.float32):
        loss = model(fastnn.ones(1, 2)).sum()
    scaler.scale(loss).backward()
    scaler.unscale_(opt)
    scaler.step(opt)
    scaler.update()
    assert scaler.get_scale() == 1.0
    assert model.bias.grad.tolist() == [1.0]

    @fastnn.amp.autocast("cpu", enabled=False)
    def f(x: int) -> int:
        return x + 1

    assert f(1) == 2


def test_random_state(lib: Any) -> None:
    lib.manual_seed(5)
    state = lib.random.get_rng_state()
    a = lib.rand(3).tolist()
    with lib.random.fork_rng():
        lib.manual_seed(9)
    lib.random.set_rng_state(state)
    assert lib.rand(3).tolist() == a
    assert lib.random.initial_seed() == 5


def test_checkpoint() -> None:
    from fastnn.utils.checkpoint import checkpoint

    x = fastnn.ones(3, requires_grad=True)
    checkpoint(lambda t: (t * t).sum(), x, use_reentrant=False).backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_summary_writer(tmp_path: Path) -> None:
    from fastnn.utils.tensorboard import SummaryWriter

    with SummaryWriter(log_dir=str(tmp_path)) as writer:
        writer.add_scalar("loss", fastnn.tensor(1.5), 1)
        writer.add_scalar("loss", 2.5, global_step=2)
        writer.add_histogram("w", fastnn.ones(3), 1)
        writer.flush()
    files = list(tmp_path.iterdir())
    assert files
    assert files[0].stat().st_size > 100
    with pytest.raises(NotImplementedError, match="add_graph"):
        SummaryWriter(log_dir=str(tmp_path)).add_graph(None)


PROBS = np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]], np.float32)
DISTRIBUTIONS: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "normal": (lambda lib: lib.distributions.Normal(lib.tensor([0.5, -1.0]), 2.0), [0.3, -0.7]),
    "normal0": (lambda lib: lib.distributions.Normal(0.0, 1.0), 0.3),
    "uniform": (lambda lib: lib.distributions.Uniform(lib.tensor([0.0, -1.0]), lib.tensor([1.0, 3.0])), [0.5, 2.0]),
    "bernoulli": (lambda lib: lib.distributions.Bernoulli(lib.tensor([0.3, 0.9])), [1.0, 0.0]),
    "bernoulli_logits": (lambda lib: lib.distributions.Bernoulli(logits=lib.tensor([0.3, -2.0])), [1.0, 0.0]),
    "categorical": (lambda lib: lib.distributions.Categorical(lib.from_numpy(PROBS)), [2, 0]),
    "categorical_logits": (lambda lib: lib.distributions.Categorical(logits=lib.from_numpy(PROBS)), [2, 0]),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions(name: str) -> None:
    make, value = DISTRIBUTIONS[name]
    t, f = make(torch), make(fastnn)
    for shape in ((), (5,), (4, 3)):
        for draw in ["sample"] + ["rsample"] * t.has_rsample:
            fastnn.manual_seed(3)
            got = getattr(f, draw)(shape)
            torch.manual_seed(3)
            same(got, getattr(t, draw)(shape), f"{name} {draw} {shape}")
    close(f.log_prob(fastnn.tensor(value)), t.log_prob(torch.tensor(value)), 8, name, whole=True)
    close(f.entropy(), t.entropy(), 8, name, whole=True)
    if not name.startswith("categorical"):
        close(f.mean, t.mean, 4, name)
        close(f.variance, t.variance, 4, name)
    close(fastnn.distributions.kl_divergence(f, f), torch.distributions.kl_divergence(t, t), 8, name)
    assert repr(f) == repr(t)


@pytest.mark.parametrize(
    "make",
    [
        lambda d, lib: d.Normal(0.0, -1.0),
        lambda d, lib: d.Uniform(1.0, 0.0),
        lambda d, lib: d.Bernoulli(lib.tensor([1.5])),
        lambda d, lib: d.Bernoulli(),
        lambda d, lib: d.Categorical(lib.tensor([-1.0, 2.0])),
        lambda d, lib: d.Categorical(lib.tensor([0.5, 0.5])).log_prob(lib.tensor(2)),
        lambda d, lib: d.Bernoulli(0.5).log_prob(lib.tensor(0.5)),
    ],
)
def test_distribution_errors(lib: Any, make: Any) -> None:
    with pytest.raises(ValueError):
        make(lib.distributions, lib)
