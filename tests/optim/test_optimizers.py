"""Optimizers beside torch's: the same parameters after the same gradients, bit for bit; state dicts that fit both; the
same errors.

Invariant: both libraries get the same NumPy arrays. Does not: train models (tests/scripts do). Read next:
test_schedulers.py.
"""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from support import same

import fastnn

SHAPES = [(3, 5), (7,), (), (2, 3, 4), (129,)]

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "maximize": True}),
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"lr": 5e-4, "weight_decay": 0.01, "betas": (0.9, 0.99), "eps": 1e-8}),
    ("AdamW", {"amsgrad": True, "weight_decay": 0.0}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.01}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.01, "initial_accumulator_value": 0.5}),
    ("Adadelta", {"weight_decay": 0.01, "maximize": True}),
    ("Adamax", {"weight_decay": 0.01}),
    ("NAdam", {"weight_decay": 0.01}),
    ("NAdam", {"weight_decay": 0.01, "decoupled_weight_decay": True}),
    ("RAdam", {"weight_decay": 0.01}),
]


def make(lib: Any, arrays: list[np.ndarray]) -> list[Any]:
    return [lib.from_numpy(a.copy()).requires_grad_() for a in arrays]


def give_grads(lib: Any, params: list[Any], grads: list[np.ndarray | None]) -> None:
    for p, g in zip(params, grads, strict=True):
        p.grad = None if g is None else lib.from_numpy(g.copy())


@pytest.fixture
def exact_sqrt(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's square root is a rounding step off in 7 of 1000 elements; with an exact one in its place the bits must agree."""

    def sqrt(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.asarray(np.sqrt(x.detach().numpy())))

    monkeypatch.setattr(torch.Tensor, "sqrt", sqrt)
    monkeypatch.setattr(torch.Tensor, "sqrt_", lambda x: x.copy_(sqrt(x)))


def draw(rng: np.random.Generator, dtype: str) -> list[np.ndarray]:
    return [rng.standard_normal(s).astype(dtype).reshape(s) for s in SHAPES]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.usefixtures("exact_sqrt")
def test_same_steps(name: str, options: dict[str, Any], dtype: str) -> None:
    rng = np.random.default_rng(7)
    start = [np.asarray(a) for a in draw(rng, dtype)]
    t_params, f_params = make(torch, start), make(fastnn, start)
    t_opt, f_opt = getattr(torch.optim, name)(t_params, **options), getattr(fastnn.optim, name)(f_params, **options)
    assert repr(t_opt) == repr(f_opt)
    for step in range(12):
        grads: list[Any] = [np.asarray(g) for g in draw(rng, dtype)]
        if step < 2:
            grads[1] = None  # a parameter without gradient is passed over and starts its state later
        give_grads(torch, t_params, grads)
        give_grads(fastnn, f_params, grads)
        t_opt.step()
        f_opt.step()
        for i, (t, f) in enumerate(zip(t_params, f_params, strict=True)):
            same(f, t, f"{name} step {step} parameter {i}")
            if grads[i] is not None:
                same(f.grad, grads[i], "gradient left alone")
    t_state, f_state = t_opt.state_dict(), f_opt.state_dict()
    assert t_state["param_groups"] == f_state["param_groups"]
    assert list(t_state["state"]) == list(f_state["state"])
    for key, own in t_state["state"].items():
        assert list(own) == list(f_state["state"][key])
        for field, value in own.items():
            if value is not None:
                same(f_state["state"][key][field], value, f"{name} {field}")


def to_fastnn(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return fastnn.from_numpy(np.array(x.detach().numpy(), copy=True))
    if isinstance(x, dict):
        return {k: to_fastnn(v) for k, v in x.items()}
    if isinstance(x, list):
        return [to_fastnn(v) for v in x]
    return x


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.usefixtures("exact_sqrt")
def test_state_dict_crosses_over(name: str, options: dict[str, Any]) -> None:
    """Three steps in torch, its state dict loaded into fastnn, three more in both."""
    rng = np.random.default_rng(3)
    t_params = make(torch, draw(rng, "float32"))
    t_opt = getattr(torch.optim, name)(t_params, **options)
    for _ in range(3):
        give_grads(torch, t_params, draw(rng, "float32"))
        t_opt.step()
    f_params = make(fastnn, [p.detach().numpy() for p in t_params])
    f_opt = getattr(fastnn.optim, name)(f_params, lr=123.0)
    f_opt.load_state_dict(to_fastnn(t_opt.state_dict()))
    for _ in range(3):
        grads = draw(rng, "float32")
        give_grads(torch, t_params, grads)
        give_grads(fastnn, f_params, grads)
        t_opt.step()
        f_opt.step()
    for t, f in zip(t_params, f_params, strict=True):
        same(f, t, name)


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_signature(name: str) -> None:
    t = inspect.signature(getattr(torch.optim, name)).parameters
    f = inspect.signature(getattr(fastnn.optim, name)).parameters
    assert [(p.name, p.kind, p.default) for p in f.values()] == [(p.name, p.kind, p.default) for p in t.values()]


def test_groups(lib: Any) -> None:
    a, b, c = (lib.ones(2, requires_grad=True) for _ in range(3))
    opt = lib.optim.AdamW([{"params": [a], "weight_decay": 0.0}, {"params": b, "lr": 0.5}], lr=0.1)
    opt.add_param_group({"params": [c]})
    assert [g["lr"] for g in opt.param_groups] == [0.1, 0.5, 0.1]
    assert [g["weight_decay"] for g in opt.param_groups] == [0.0, 0.01, 0.01]
    for p in (a, b, c):
        p.grad = lib.ones(2)
    for g in opt.param_groups:
        g["lr"] = 0.25
    opt.step()
    assert np.allclose(a.detach().numpy(), 0.75)
    assert np.allclose(c.detach().numpy(), (1 - 0.25 * 0.01) - 0.25)
    opt.zero_grad()
    assert a.grad is None
    a.grad = lib.ones(2)
    opt.zero_grad(set_to_none=False)
    assert a.grad.tolist() == [0.0, 0.0]


def test_named_parameters(lib: Any) -> None:
    a, b = lib.ones(2, requires_grad=True), lib.ones(1, requires_grad=True)
    opt = lib.optim.SGD([("a", a), ("b", b)], lr=0.1)
    assert opt.param_groups[0]["param_names"] == ["a", "b"]
    assert opt.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]


def test_closure_and_hooks(lib: Any) -> None:
    p = lib.ones(1, requires_grad=True)
    opt = lib.optim.SGD([p], lr=0.1)
    seen: list[str] = []
    before = opt.register_step_pre_hook(lambda o, args, kwargs: seen.append("pre"))
    opt.register_step_post_hook(lambda o, args, kwargs: seen.append("post"))

    def closure() -> Any:
        opt.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        seen.append("closure")
        return loss

    with lib.no_grad():
        loss = opt.step(closure)
    assert float(loss) == 1.0
    assert seen == ["pre", "closure", "post"]
    before.remove()
    opt.step()
    assert seen[3:] == ["post"]


def test_custom_optimizer(lib: Any) -> None:
    class Descent(lib.optim.Optimizer):
        def __init__(self, params: Any, lr: float = 0.1) -> None:
            super().__init__(params, {"lr": lr})

        def step(self, closure: Any = None) -> None:
            with lib.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.add_(p.grad, alpha=-group["lr"])

    p = lib.ones(2, requires_grad=True)
    p.grad = lib.ones(2)
    opt = Descent([p])
    opt.step()
    assert np.allclose(p.detach().numpy(), 0.9)
    assert repr(opt).startswith("Descent (\nParameter Group 0\n")


ERRORS = [
    (lambda o, lib: o.SGD([]), ValueError),
    (lambda o, lib: o.SGD(lib.ones(2, requires_grad=True)), TypeError),
    (lambda o, lib: o.SGD([1.0]), TypeError),
    (lambda o, lib: o.SGD([lib.ones(2, requires_grad=True) * 2]), ValueError),
    (lambda o, lib: o.SGD([lib.ones(2)], lr=-1), ValueError),
    (lambda o, lib: o.SGD([lib.ones(2)], momentum=-1), ValueError),
    (lambda o, lib: o.SGD([lib.ones(2)], weight_decay=-1), ValueError),
    (lambda o, lib: o.SGD([lib.ones(2)], nesterov=True), ValueError),
    (lambda o, lib: o.SGD([{"params": {lib.ones(2)}}]), TypeError),
    (lambda o, lib: o.Adam([lib.ones(2)], lr=-1.0), ValueError),
    (lambda o, lib: o.Adam([lib.ones(2)], eps=-1.0), ValueError),
    (lambda o, lib: o.Adam([lib.ones(2)], betas=(1.0, 0.9)), ValueError),
    (lambda o, lib: o.Adam([lib.ones(2)], betas=(0.9, -0.1)), ValueError),
    (lambda o, lib: o.Adam([lib.ones(2)], weight_decay=-0.1), ValueError),
    (lambda o, lib: o.Adam([lib.ones(2)], fused=True, foreach=True), RuntimeError),
    (lambda o, lib: o.Adam([lib.ones(2)]).add_param_group([1]), TypeError),
    (lambda o, lib: o.Adam([lib.ones(2)]).load_state_dict({"state": {}, "param_groups": []}), ValueError),
    (
        lambda o, lib: o.Adam([lib.ones(2)]).load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]}),
        ValueError,
    ),
    (lambda o, lib: o.RMSprop([lib.ones(2)], alpha=-1), ValueError),
    (lambda o, lib: o.Adadelta([lib.ones(2)], rho=2.0), ValueError),
    (lambda o, lib: o.Adagrad([lib.ones(2)], lr_decay=-2.0), ValueError),
]


@pytest.mark.parametrize("i", range(len(ERRORS)))
def test_errors(i: int) -> None:
    call, kind = ERRORS[i]
    with pytest.raises(kind) as want:
        call(torch.optim, torch)
    with pytest.raises(kind) as got:
        call(fastnn.optim, fastnn)
    assert type(got.value) is type(want.value)
    assert str(got.value).replace("fastnn", "torch") == str(want.value)


def test_shared_parameters_are_refused(lib: Any) -> None:
    p = lib.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="more than one parameter group"):
        lib.optim.SGD([{"params": [p]}, {"params": [p]}])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        lib.optim.SGD([p, p])
    assert "duplicate parameters" in str(seen[0].message)


DAMAGES: dict[str, tuple[str, Any, str]] = {
    "dtype": ("exp_avg", lambda: fastnn.zeros(3, dtype=fastnn.float64), "has dtype float64, expected float32"),
    "shape": ("exp_avg", lambda: fastnn.zeros(4), "has shape .4,., expected .3,. to match"),
    "repeated": ("exp_avg_sq", lambda: fastnn.zeros(1).expand(3), "more than one element of .* refers to a single memory location"),
    "read-only": ("exp_avg_sq", lambda: fastnn.from_numpy(np.frombuffer(bytes(12), np.float32)), "shares read-only memory"),
    "step": ("step", lambda: fastnn.zeros(2), "steps.1. has dtype float32 and shape .2,., expected one writable float32 number"),
}


@pytest.mark.filterwarnings("ignore:.*not writable")
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_state_is_refused_before_anything_is_written(name: str) -> None:
    params = [fastnn.nn.Parameter(fastnn.ones(3)) for _ in range(2)]
    opt = fastnn.optim.AdamW(params)
    for p in params:
        p.grad = fastnn.ones(3)
    opt.step()
    key, damage, words = DAMAGES[name]
    opt.state[params[1]][key] = damage()
    before = [p.detach().clone() for p in params]
    with pytest.raises(RuntimeError, match=words):
        opt.step()
    assert all(fastnn.equal(p.detach(), b) for p, b in zip(params, before, strict=True))
