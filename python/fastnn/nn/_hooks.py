"""The boundary nodes behind full backward hooks.

Invariant: a hook sees all gradients of one call at once.
This file does not call forward hooks: that is Module's work.  Read next: modules/module.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


_boundary: Any = None


def _boundary_function() -> Any:
    """The identity whose backward hands its gradients to a callback (made on first use)."""
    global _boundary
    if _boundary is None:
        from fastnn.autograd import Function

        class ModuleBoundary(Function):
            @staticmethod
            def forward(ctx: Any, callback: Any, *tensors: Any) -> Any:
                ctx.callback = callback
                return tuple(t.view_as(t) for t in tensors)

            @staticmethod
            def backward(ctx: Any, *grads: Any) -> Any:
                return (None, *ctx.callback(grads))

        _boundary = ModuleBoundary
    return _boundary


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


class BackwardHookCall:
    """The state of one module call that has full backward hooks.

    The tensors that enter and leave the module pass through identity nodes; the node on the outputs sees
    the gradient first (pre-hooks run there), the node on the inputs sees it last (hooks run there).
    """

    def __init__(self, module: Any, pre_hooks: Iterable[Callable], hooks: Iterable[Callable]) -> None:  # type: ignore[type-arg]
        self.module = module
        self.pre_hooks = list(pre_hooks)
        self.hooks = list(hooks)
        self.grad_output: tuple[Any, ...] = ()
        self.n_inputs = 0
        self.watches_input = False

    @staticmethod
    def _wrap(values: tuple[Any, ...], callback: Any) -> tuple[tuple[Any, ...], bool]:
        import fastnn

        where = [i for i, v in enumerate(values) if isinstance(v, fastnn.Tensor)]
        if not (fastnn.is_grad_enabled() and any(values[i].requires_grad for i in where)):
            return values, False

        def spread(grads: tuple[Any, ...]) -> tuple[Any, ...]:
            full: list[Any] = [None] * len(values)
            for i, g in zip(where, grads, strict=False):
                full[i] = g
            full = list(callback(tuple(full)))
            return tuple(full[i] for i in where)

        wrapped = _boundary_function().apply(spread, *(values[i] for i in where))
        out = list(values)
        for i, t in zip(where, wrapped, strict=False):
            out[i] = t
        return tuple(out), True

    def wrap_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.n_inputs = len(args)
        args, self.watches_input = self._wrap(args, self._finish)
        return args

    def wrap_outputs(self, result: Any) -> Any:
        is_tuple = isinstance(result, tuple)
        wrapped, _ = self._wrap(_as_tuple(result), self._start)
        return wrapped if is_tuple else wrapped[0]

    def _start(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.pre_hooks:
            new = hook(self.module, grads)
            if new is not None:
                grads = _as_tuple(new)
        self.grad_output = grads
        if not self.watches_input:
            self._run((None,) * self.n_inputs)
        return grads

    def _finish(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        return self._run(grads)

    def _run(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.hooks:
            new = hook(self.module, grads, self.grad_output)
            if new is not None:
                new = _as_tuple(new)
                if len(new) != len(grads):
                    raise RuntimeError(
                        f"backward hook of {type(self.module).__name__}: returned {len(new)} gradients, "
                        f"expected {len(grads)}"
                    )
                grads = new
        return grads
