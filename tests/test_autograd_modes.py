"""Where user code enters autograd: modes as contexts and decorators, hooks on tensors, custom functions.

Invariant: claims are checked against both libraries (fixture `lib`). Read next: test_autograd.py.
"""

from __future__ import annotations

from typing import Any

import pytest

# --- modes -------------------------------------------------------------------------------------------------------------------------------


def test_modes_as_contexts_and_decorators(lib: Any) -> None:
    w = lib.ones(2, requires_grad=True)
    with lib.no_grad():
        assert not lib.is_grad_enabled()
        assert not (w * 2).requires_grad
        with lib.enable_grad():
            assert (w * 2).requires_grad
        assert lib.zeros(1, requires_grad=True).requires_grad
        w += 1
        w.copy_(lib.zeros(2))
        w[0] = 5
    assert lib.is_grad_enabled()
    assert (w * 2).requires_grad
    for mode, wanted in ((lib.no_grad, False), (lib.inference_mode, False), (lib.enable_grad, True)):

        @mode()
        def f(x: Any) -> Any:
            """Documented."""
            return x * 2

        assert f(w).requires_grad is wanted
        assert f.__name__ == "f"
        assert f.__doc__ == "Documented."
        with pytest.raises(ZeroDivisionError), mode():
            1 / 0  # noqa: B018
        assert lib.is_grad_enabled()

    @lib.no_grad()
    def counter() -> Any:
        for _ in range(2):
            yield lib.is_grad_enabled()

    seen = []
    for inside in counter():
        seen.append((inside, lib.is_grad_enabled()))
    assert seen == [(False, True), (False, True)]

    @lib.no_grad
    def bare(x: Any) -> Any:
        return x * 2

    assert not bare(w).requires_grad


def test_set_grad_enabled(lib: Any) -> None:
    w = lib.ones(1, requires_grad=True)
    with lib.set_grad_enabled(False):
        assert not (w * 2).requires_grad
    assert lib.is_grad_enabled()
    lib.set_grad_enabled(False)
    assert not lib.is_grad_enabled()
    lib.set_grad_enabled(True)
    assert lib.is_grad_enabled()


def test_inference_mode(lib: Any) -> None:
    w = lib.ones(3, requires_grad=True)
    with lib.inference_mode():
        assert lib.is_inference_mode_enabled()
        y = w * 2
        assert y.is_inference()
        assert not y.requires_grad
        y[0] = 7
        y.add_(1)
    with pytest.raises(RuntimeError):
        (w * y).sum()
    with pytest.raises(RuntimeError):
        y.add_(1)
    with lib.inference_mode(False):
        assert (w * 2).requires_grad


# --- hooks -------------------------------------------------------------------------------------------------------------------------------


def test_tensor_hooks(lib: Any) -> None:
    seen: list[Any] = []
    w = lib.ones(2, requires_grad=True)
    handle = w.register_hook(lambda g: seen.append(g.tolist()))
    y = w * 3
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert seen == [[30, 30]]
    assert w.grad.tolist() == [30, 30]
    handle.remove()
    (w * 1).sum().backward()
    assert len(seen) == 1
    with pytest.raises(RuntimeError):
        lib.ones(2).register_hook(print)
    v = lib.ones(2, requires_grad=True)
    v.register_hook(lambda g: g * 2)
    v.register_hook(lambda g: g + 1)
    v.sum().backward()
    assert v.grad.tolist() == [3, 3]


def test_hook_that_raises(lib: Any) -> None:
    w = lib.ones(2, requires_grad=True)

    def bad(grad: Any) -> None:
        raise KeyError("from the hook")

    y = w * 2
    y.register_hook(bad)
    with pytest.raises(KeyError, match="from the hook"):
        y.sum().backward()
    assert w.grad is None
    w.sum().backward()
    assert w.grad.tolist() == [1, 1]


def test_post_accumulate_hook(lib: Any) -> None:
    seen = []
    w = lib.ones(2, requires_grad=True)
    w.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    (w * 2).sum().backward()
    assert seen == [[2, 2]]


# --- custom functions --------------------------------------------------------------------------------------------------------------------


def make_function(lib: Any) -> Any:
    class Scale(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, k: float, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            ctx.k = k
            return x * k * y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, y = ctx.saved_tensors
            assert ctx.needs_input_grad[1] is False
            return g * ctx.k * y, None, (g * ctx.k * x).sum() if ctx.needs_input_grad[2] else None

    return Scale


def test_autograd_function(lib: Any) -> None:
    scale = make_function(lib)
    x, y = lib.arange(3.0, requires_grad=True), lib.tensor(2.0, requires_grad=True)
    out = scale.apply(x, 5.0, y)
    assert out.tolist() == [0, 10, 20]
    assert out.grad_fn.name() == "ScaleBackward"
    (out * 2).sum().backward()
    assert x.grad.tolist() == [20, 20, 20]
    assert y.grad.item() == 30
    assert not scale.apply(lib.ones(2), 1.0, lib.ones(())).requires_grad
    with lib.no_grad():
        assert not scale.apply(x, 1.0, y).requires_grad


def test_autograd_function_with_two_outputs_and_wrong_returns(lib: Any) -> None:
    class Two(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(True)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, a: Any, b: Any) -> Any:
            return a * 2 + b * 3

    class Wrong(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g, g

    x = lib.ones(2, requires_grad=True)
    a, b = Two.apply(x)
    b.sum().backward()
    assert x.grad.tolist() == [3, 3]
    with pytest.raises(RuntimeError):
        Wrong.apply(x).sum().backward()
