"""Base class of all optimizers: parameter groups, per-parameter state, hooks, state dicts.

Invariant: `param_groups` is a list of plain dicts that is read anew at every step (scripts write `group["lr"] = x`
between steps), and `state` maps each parameter tensor to a plain dict under PyTorch's keys, so a state dict means the
same in both libraries.
Does not: know an update rule (sgd.py, adam.py, ... do). Read next: sgd.py.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from itertools import chain
from typing import Any, TypeAlias

import fastnn
from fastnn import _C
from fastnn.utils.hooks import RemovableHandle

ParamsT: TypeAlias = Iterable[Any]

_global_step_pre_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
_global_step_post_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` before the step of every optimizer."""
    return _add_hook(_global_step_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` after the step of every optimizer."""
    return _add_hook(_global_step_post_hooks, hook)


def _add_hook(
    table: OrderedDict[int, Callable[..., Any]], hook: Callable[..., Any], prepend: bool = False
) -> RemovableHandle:
    handle = RemovableHandle(table)
    table[handle.id] = hook
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """`step` with the registered hooks around it; costs four truth tests when there are none."""

    @functools.wraps(step)
    def stepped(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        pre, post = self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks
        if not (pre or post or _global_step_pre_hooks or _global_step_post_hooks):
            return step(self, *args, **kwargs)
        given: tuple[Any, ...] = (self, *args)
        for hook in chain(_global_step_pre_hooks.values(), pre.values()):
            changed = hook(self, given, kwargs)
            if changed is None:
                continue
            if not (isinstance(changed, tuple) and len(changed) == 2):
                raise RuntimeError(f"{step} must return None or a tuple of (new_args, new_kwargs), but got {changed}.")
            given, kwargs = changed
        out = step(*given, **kwargs)
        for hook in chain(post.values(), _global_step_post_hooks.values()):
            hook(self, given, kwargs)
        return out

    return stepped


class _Required:
    """Default of an option that each parameter group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer:
    """Base of optimizers.

    params: tensors, or dicts {"params": tensors, option: value}, or (name, tensor) pairs. defaults: options of groups
    that do not give them.
    Errors: TypeError for something that is not a tensor, ValueError for an empty list, a non-leaf, or a parameter in
    two groups.
    Source: https://docs.pytorch.org/docs/stable/optim.html
    """

    state: defaultdict[Any, Any]
    param_groups: list[dict[str, Any]]
    # A subclass's step calls these hooks through _with_hooks; __setstate__ makes the tables for unpickled optimizers.
    _optimizer_step_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_step_post_hooks: OrderedDict[int, Callable[..., Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        if isinstance(params, fastnn.Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                f"{_typename(params)}"
            )
        self.defaults = defaults
        self._make_hook_tables()
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _make_hook_tables(self) -> None:
        self._optimizer_step_pre_hooks = OrderedDict()
        self._optimizer_step_post_hooks = OrderedDict()
        self._optimizer_state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
        self._optimizer_state_dict_post_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
        self._optimizer_load_state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
        self._optimizer_load_state_dict_post_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_optimizer_step_pre_hooks" not in self.__dict__:
            self._make_hook_tables()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines.extend(f"    {key}: {group[key]}" for key in sorted(group) if key != "params")
        return "\n".join(lines) + "\n)"

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return new (args, kwargs)."""
        return _add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return _add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` before state_dict()."""
        return _add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` after state_dict(); it may return another one."""
        return _add_hook(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before load_state_dict(); it may return another one."""
        return _add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` after load_state_dict()."""
        return _add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    def state_dict(self) -> dict[str, Any]:
        """{"state": {index: dict}, "param_groups": [dict with parameter indices]}; the tensors in it are the
        optimizer's own.
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        index: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                index.setdefault(id(p), len(index))
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [index[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {(index[id(p)] if isinstance(p, fastnn.Tensor) else p): value for p, value in self.state.items()}
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            if changed is not None:
                result = changed
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state dict of the same number of groups and parameters. Errors: ValueError if they differ."""
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            if changed is not None:
                state_dict = changed
        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(groups, saved, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        owner = dict(
            zip(
                chain.from_iterable(g["params"] for g in saved),
                chain.from_iterable(g["params"] for g in groups),
                strict=True,
            )
        )
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in owner:
                state[owner[key]] = _cast(owner[key], value)
            else:
                state[key] = value
        for old, new in zip(groups, saved, strict=True):
            new["params"] = old["params"]
            if "param_names" in old and "param_names" not in new:
                new["param_names"] = old["param_names"]
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros if set_to_none is False."""
        for group in self.param_groups:
            if set_to_none:
                _C._drop_grads(group["params"])
                continue
            for p in group["params"]:
                if p.grad is not None:
                    if p.grad.grad_fn is not None:
                        p.grad.detach_()
                    else:
                        p.grad.requires_grad_(False)
                    p.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters once; `closure` re-evaluates the loss and returns it."""
        raise NotImplementedError(f"{type(self).__name__}.step: a subclass of Optimizer has to define it")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add {"params": tensor or list, option: value, ...}; what it does not give comes from the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, fastnn.Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        param_group["params"] = params = _take_names(param_group, list(params))
        if self.param_groups and ("param_names" in self.param_groups[0]) != ("param_names" in param_group):
            raise ValueError(
                "all optimizer param groups should be with/without names. "
                f"cannot add param group {'with' if 'param_names' in param_group else 'without'} names to the optimizer"
            )
        for p in params:
            if not isinstance(p, fastnn.Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {_typename(p)}")
            if not (self.defaults.get("differentiable") or p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        ids = {id(p) for p in params}
        if len(ids) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        if not ids.isdisjoint(id(p) for group in self.param_groups for p in group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)


def _typename(x: Any) -> str:
    if isinstance(x, fastnn.Tensor):
        return x.type()
    kind = type(x)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _take_names(group: dict[str, Any], params: list[Any]) -> list[Any]:
    """Split (name, tensor) pairs: the tensors are returned, the names go to group["param_names"]."""
    named = [isinstance(p, tuple) for p in params]
    if not any(named):
        return params
    if not all(named):
        odd = _typename(params[named.index(False)])
        raise ValueError(
            "all optimizer params should be with/without names. Some param names are missing"
            if all(isinstance(p, tuple | fastnn.Tensor) for p in params)
            else f"optimizer can only optimize Tensors, but one of the params is {odd}"
        )
    group["param_names"] = [name for name, _ in params]
    return [p for _, p in params]


def _cast(param: Any, value: Any, key: Any = None) -> Any:
    """A loaded state value in the dtype of its parameter; the step counter stays float32, containers keep theirs."""
    if isinstance(value, fastnn.Tensor):
        return value if key == "step" or not param.is_floating_point() else value.to(dtype=param.dtype)
    if isinstance(value, Mapping):
        return {k: _cast(param, v, k) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(_cast(param, v) for v in value)
    return value


def evaluate(closure: Callable[[], Any] | None) -> Any:
    """The loss of a closure, computed with the tape on; None without closure."""
    if closure is None:
        return None
    with fastnn.enable_grad():
        return closure()


def check(ok: Any, what: str, value: Any) -> None:
    """Raise ValueError `Invalid <what>: <value>` unless ok."""
    if not ok:
        raise ValueError(f"Invalid {what}: {value}")


def check_lr(lr: Any, foreach: bool | None = None, capturable: bool = False) -> None:
    """Refuse a negative learning rate and a tensor of more than one element."""
    if isinstance(lr, fastnn.Tensor):
        if foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        if lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
    check(lr >= 0.0, "learning rate", lr)


def check_supported(differentiable: bool) -> None:
    """fastnn's updates are not recorded on the tape."""
    if differentiable:
        raise NotImplementedError(
            "optim: differentiable=True (gradients through the update) is not supported by fastnn"
        )


def check_fused(fused: bool | None, foreach: bool | None, differentiable: bool) -> None:
    """The combinations of implementation flags that PyTorch refuses; otherwise they change nothing here."""
    if not fused:
        return
    if differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def start_step() -> Any:
    """A step counter as PyTorch keeps it: a 0-d float32 tensor."""
    return fastnn.tensor(0.0, dtype=fastnn.float32)
