"""The calling half of Module: forward, hooks, and __call__ as a reader would write it.

Invariant: a module without hooks has no table of hooks, and a call is its forward alone.
For Module and all subclasses that keep __call__, C does it (csrc/python/nn_module.c); hooks come back here.
Read next: ../_hooks.py (backward hooks), module.py.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from fastnn.utils.hooks import RemovableHandle

if TYPE_CHECKING:
    from collections.abc import Callable


class Hooks:
    """The hook tables of one module; a module without hooks has none of these."""

    __slots__ = ("forward", "forward_pre", "backward", "backward_pre", "__weakref__")

    def __init__(self) -> None:
        self.forward: OrderedDict[int, Any] = OrderedDict()  # id -> (hook, with_kwargs, always_call)
        self.forward_pre: OrderedDict[int, Any] = OrderedDict()  # id -> (hook, with_kwargs)
        self.backward: OrderedDict[int, Any] = OrderedDict()  # id -> hook
        self.backward_pre: OrderedDict[int, Any] = OrderedDict()  # id -> hook

    def __reduce__(self) -> Any:
        return _restore_hooks, (self.forward, self.forward_pre, self.backward, self.backward_pre)


def _restore_hooks(*tables: Any) -> Hooks:
    hooks = Hooks()
    hooks.forward, hooks.forward_pre, hooks.backward, hooks.backward_pre = tables
    return hooks


class CallMixin:
    """How a module is called, and the hooks around it."""

    _hooks: Hooks | None = None  # class attribute: instances get their own with the first hook

    def forward(self, *input: Any) -> Any:
        """What the module computes; every subclass writes its own."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        hooks = self._hooks
        assert hooks is not None
        pending = dict(hooks.forward)
        result = None
        try:
            for hook, with_kwargs in list(hooks.forward_pre.values()):
                if with_kwargs:
                    changed = hook(self, args, kwargs)
                    if changed is not None:
                        if not (isinstance(changed, tuple) and len(changed) == 2):
                            raise RuntimeError(
                                "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but "
                                f"got {changed}."
                            )
                        args, kwargs = changed
                else:
                    changed = hook(self, args)
                    if changed is not None:
                        args = changed if isinstance(changed, tuple) else (changed,)
            watch = None
            if hooks.backward or hooks.backward_pre:
                from .._hooks import BackwardHookCall

                watch = BackwardHookCall(self, hooks.backward_pre.values(), hooks.backward.values())
                args = watch.wrap_inputs(args)
            result = self.forward(*args, **kwargs)
            for key, (hook, with_kwargs, _) in list(hooks.forward.items()):
                pending.pop(key, None)
                changed = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
                if changed is not None:
                    result = changed
            return result if watch is None else watch.wrap_outputs(result)
        except Exception:
            # Hooks registered with always_call still run; their own errors must not hide the first one.
            for hook, with_kwargs, always in pending.values():
                if always:
                    try:
                        changed = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
                        result = result if changed is None else changed
                    except Exception as error:
                        import warnings

                        warnings.warn(f"forward hook with always_call=True raised {error!r}", stacklevel=2)
            raise

    def _own_hooks(self) -> Hooks:
        hooks = self.__dict__.get("_hooks")
        if hooks is None:
            hooks = self.__dict__["_hooks"] = Hooks()
        return hooks

    @staticmethod
    def _add_hook(table: OrderedDict, entry: Any, prepend: bool) -> RemovableHandle:
        handle = RemovableHandle(table)
        table[handle.id] = entry
        if prepend:
            table.move_to_end(handle.id, last=False)
        return handle

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args[, kwargs]) before forward; what it returns replaces the arguments."""
        return self._add_hook(self._own_hooks().forward_pre, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args[, kwargs], output) after forward; what it returns replaces the output."""
        return self._add_hook(self._own_hooks().forward, (hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call hook(module, grad_output) before gradients enter the module."""
        return self._add_hook(self._own_hooks().backward_pre, hook, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call hook(module, grad_input, grad_output) once the inputs' gradients are known."""
        return self._add_hook(self._own_hooks().backward, hook, prepend)

    register_backward_hook = register_full_backward_hook

    @property
    def _forward_hooks(self) -> dict[int, Any]:
        return {} if self._hooks is None else {k: v[0] for k, v in self._hooks.forward.items()}

    @property
    def _forward_pre_hooks(self) -> dict[int, Any]:
        return {} if self._hooks is None else {k: v[0] for k, v in self._hooks.forward_pre.items()}

    @property
    def _backward_hooks(self) -> dict[int, Any]:
        return {} if self._hooks is None else dict(self._hooks.backward)
