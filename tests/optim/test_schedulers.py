"""Learning-rate schedulers beside torch's: equal rates (and momenta) to the last bit over many epochs, equal state
dicts, resuming.

Invariant: the rates are plain floats, so == is the measure. Does not: look at parameters. Read next:
test_optimizers.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

import fastnn

SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda e: 0.95**e),
    "lambda2": lambda s, o: s.LambdaLR(o, [lambda e: e // 3 + 1, lambda e: 0.9**e]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda e: 0.97),
    "step": lambda s, o: s.StepLR(o, 3, 0.3),
    "multistep": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 9], 0.3),
    "constant": lambda s, o: s.ConstantLR(o, 0.25, 4),
    "linear": lambda s, o: s.LinearLR(o, 0.1, 0.7, 7),
    "linear0": lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=20),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.9),
    "polynomial": lambda s, o: s.PolynomialLR(o, 9, 1.7),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 5, 1e-4),
    "cosine_long": lambda s, o: s.CosineAnnealingLR(o, 100),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, 1e-4),
    "restarts1": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4),
    "onecycle": lambda s, o: s.OneCycleLR(o, 0.5, total_steps=30),
    "onecycle3": lambda s, o: s.OneCycleLR(
        o, [0.5, 0.2], epochs=3, steps_per_epoch=10, three_phase=True, anneal_strategy="linear"
    ),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, 3),
    "cyclic2": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, mode="triangular2"),
    "cyclic3": lambda s, o: s.CyclicLR(o, [0.01, 0.02], [0.1, 0.3], 4, mode="exp_range", gamma=0.9),
    "cyclic4": lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, 4, scale_fn=lambda x: 0.5**x, scale_mode="iterations", cycle_momentum=False
    ),
    "sequential": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, 1.0, 5), s.CosineAnnealingLR(o, 10), s.ExponentialLR(o, 0.9)], [5, 15]
    ),
    "chained": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 4), s.ExponentialLR(o, 0.9)]),
}


def optimizer(lib: Any, kind: str) -> Any:
    params = [lib.ones(2, requires_grad=True), lib.ones(3, requires_grad=True)]
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.03}]
    if kind == "sgd":
        return lib.optim.SGD(groups, lr=0.1, momentum=0.9)
    return lib.optim.Adam(groups, lr=0.1)


def look(opt: Any) -> list[Any]:
    return [(g["lr"], g.get("momentum"), g.get("betas"), g.get("initial_lr")) for g in opt.param_groups]


@pytest.mark.parametrize("kind", ["sgd", "adam"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_same_rates(name: str, kind: str) -> None:
    made = SCHEDULES[name]
    t_opt, f_opt = optimizer(torch, kind), optimizer(fastnn, kind)
    t_sch, f_sch = made(torch.optim.lr_scheduler, t_opt), made(fastnn.optim.lr_scheduler, f_opt)
    assert look(f_opt) == look(t_opt)
    for epoch in range(30):
        t_opt.step()
        f_opt.step()
        t_sch.step()
        f_sch.step()
        assert look(f_opt) == look(t_opt), f"{name} epoch {epoch}"
        assert f_sch.get_last_lr() == t_sch.get_last_lr()
        assert f_sch.last_epoch == t_sch.last_epoch if name != "chained" else True


@pytest.mark.parametrize("name", SCHEDULES)
def test_state_dict_resumes(name: str) -> None:
    """Seven epochs, then the state goes to a new optimizer and scheduler that continue alike."""
    made = SCHEDULES[name]
    first = optimizer(fastnn, "adam")
    sched = made(fastnn.optim.lr_scheduler, first)
    for _ in range(7):
        first.step()
        sched.step()
    second = optimizer(fastnn, "adam")
    resumed = made(fastnn.optim.lr_scheduler, second)
    resumed.load_state_dict(sched.state_dict())
    second.load_state_dict(first.state_dict())
    for _ in range(10):
        for opt, s in ((first, sched), (second, resumed)):
            opt.step()
            s.step()
        assert look(first) == look(second)


RESUMED: dict[str, Callable[[Any, Any], Any]] = {
    "step": lambda s, o: s.StepLR(o, 3, 0.3, last_epoch=4),
    "multistep": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 9], 0.3, last_epoch=4),
    "linear": lambda s, o: s.LinearLR(o, 0.1, 0.7, 7, last_epoch=4),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.9, last_epoch=4),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 5, 1e-4, last_epoch=4),
    "polynomial": lambda s, o: s.PolynomialLR(o, 9, 1.7, last_epoch=4),
    "lambda": lambda s, o: s.LambdaLR(o, lambda e: 0.95**e, last_epoch=4),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda e: 0.9, last_epoch=4),
    "constant": lambda s, o: s.ConstantLR(o, 0.25, 4, last_epoch=4),
}


@pytest.mark.parametrize("name", RESUMED)
def test_last_epoch_resumes(name: str) -> None:
    """Constructed with last_epoch=k over groups that carry initial_lr."""
    found = []
    for lib in (torch, fastnn):
        opt = optimizer(lib, "sgd")
        for g in opt.param_groups:
            g["initial_lr"] = g["lr"]
            g["lr"] = g["lr"] * 0.5
        s = lib.optim.lr_scheduler
        sched = RESUMED[name](s, opt)
        rates = [look(opt)]
        for _ in range(8):
            opt.step()
            sched.step()
            rates.append(look(opt))
        found.append(rates)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "name", ["step", "multistep", "constant", "linear", "exponential", "polynomial", "cosine", "restarts", "lambda"]
)
def test_step_to_epoch(name: str) -> None:
    found = []
    for lib in (torch, fastnn):
        opt = optimizer(lib, "sgd")
        sched = SCHEDULES[name](lib.optim.lr_scheduler, opt)
        rates = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for epoch in (1, 4, 9, 2):
                opt.step()
                sched.step(epoch)
                rates.append(look(opt))
        found.append(rates)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "max", "patience": 1, "cooldown": 2},
        {"threshold_mode": "abs", "threshold": 0.1, "patience": 2, "factor": 0.5, "min_lr": [0.02, 0.01]},
        {"mode": "max", "threshold_mode": "abs", "patience": 0, "min_lr": 1e-3},
    ],
)
def test_plateau(options: dict[str, Any]) -> None:
    metrics = [
        1.0,
        0.9,
        0.95,
        0.97,
        0.91,
        0.9,
        0.8999,
        0.95,
        0.9,
        0.85,
        1.2,
        1.3,
        1.1,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
    ]
    found = []
    for lib in (torch, fastnn):
        opt = optimizer(lib, "sgd")
        sched = lib.optim.lr_scheduler.ReduceLROnPlateau(opt, **options)
        rates = []
        for m in metrics:
            sched.step(lib.tensor(m))
            rates.append((look(opt), sched.num_bad_epochs, sched.get_last_lr()))
        found.append(rates)
    assert found[0] == found[1]


def test_order_warning(lib: Any) -> None:
    opt = optimizer(lib, "sgd")
    sched = lib.optim.lr_scheduler.StepLR(opt, 1)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        sched.step()


def test_errors(lib: Any) -> None:
    s, opt = lib.optim.lr_scheduler, optimizer(lib, "sgd")
    for bad in (
        lambda: s.LinearLR(opt, start_factor=0.0),
        lambda: s.ConstantLR(opt, factor=2.0),
        lambda: s.LambdaLR(opt, [lambda e: 1.0]),
        lambda: s.OneCycleLR(opt, 0.1),
        lambda: s.CosineAnnealingWarmRestarts(opt, 0),
        lambda: s.ReduceLROnPlateau(opt, factor=1.0),
        lambda: s.SequentialLR(opt, [s.ExponentialLR(opt, 0.9)], [3]),
        lambda: s.ChainedScheduler([]),
    ):
        with pytest.raises(ValueError):
            bad()
    with pytest.raises(TypeError):
        s.StepLR("optimizer", 3)
    with pytest.raises(KeyError):
        s.StepLR(optimizer(lib, "sgd"), 3, last_epoch=2)


def test_averages() -> None:
    """AveragedModel: running mean and EMA of a linear layer's weights, as torch's."""
    for make in (lambda lib: {}, lambda lib: {"multi_avg_fn": lib.optim.swa_utils.get_ema_multi_avg_fn(0.9)}):
        found = []
        for lib in (torch, fastnn):
            lib.manual_seed(0)
            model = lib.nn.Linear(3, 2)
            averaged = lib.optim.swa_utils.AveragedModel(model, **make(lib))
            for _ in range(4):
                with lib.no_grad():
                    for p in model.parameters():
                        p.mul_(1.25)
                averaged.update_parameters(model)
            found.append([p.tolist() for p in averaged.parameters()])
        assert found[0] == found[1]


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("count", [0, 1])
def test_an_average_is_updated_whole_or_not_at_all(count: int, use_buffers: bool) -> None:
    """The last layer cannot be taken, or a function of the caller's raises midway: parameters, buffers and count stay as they were."""

    def make(last: int) -> Any:
        return fastnn.nn.Sequential(fastnn.nn.Linear(3, 2), fastnn.nn.BatchNorm1d(2), fastnn.nn.Linear(2, last))

    def raises_for_a_wide_one(mean: Any, value: Any, n: Any) -> Any:
        assert 4 not in value.shape
        return (mean + value) / 2

    def raises_after_a_write(means: list[Any], values: list[Any], n: Any) -> None:
        means[0].fill_(7)
        assert all(m.shape == v.shape for m, v in zip(means, values, strict=True))

    for kwargs in ({}, {"avg_fn": raises_for_a_wide_one}, {"multi_avg_fn": raises_after_a_write}):
        averaged = fastnn.optim.swa_utils.AveragedModel(make(1), use_buffers=use_buffers, **kwargs)
        for _ in range(count):
            averaged.update_parameters(make(1))
        before = {k: v.tolist() for k, v in averaged.state_dict().items()}
        with pytest.raises((RuntimeError, AssertionError)):
            averaged.update_parameters(make(4))
        assert {k: v.tolist() for k, v in averaged.state_dict().items()} == before, kwargs
        averaged.update_parameters(make(1))
        assert averaged.n_averaged == count + 1


def test_swalr() -> None:
    found = []
    for lib in (torch, fastnn):
        opt = optimizer(lib, "sgd")
        sched = lib.optim.swa_utils.SWALR(opt, swa_lr=0.05, anneal_epochs=5)
        rates = []
        for _ in range(8):
            opt.step()
            sched.step()
            rates.append(look(opt))
        found.append(rates)
    assert found[0] == found[1]
