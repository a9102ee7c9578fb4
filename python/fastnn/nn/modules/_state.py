"""state_dict() and load_state_dict(), split from module.py.

Invariant: keys are the dotted paths in registration order, per module parameters, then buffers, then children;
loading checks every shape and name before it reports, and copies in place (or, with assign, replaces).
Read next: module.py.
"""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import TYPE_CHECKING, Any

import fastnn
from fastnn import _C
from fastnn.utils.hooks import RemovableHandle

from ..parameter import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class StateDictMixin:
    """The saving and loading half of Module."""

    _version: int = 1
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]
    __dict__: dict[str, Any]

    def _state_hooks(self, table: str) -> Any:
        """The hooks of that table; a table exists only once somebody has added to it."""
        return list(self.__dict__.get(table, {}).values())

    def _add_state_hook(self, table: str, hook: Any) -> RemovableHandle:
        hooks = self.__dict__.get(table)
        if hooks is None:
            hooks = self.__dict__[table] = OrderedDict()
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        return handle

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call hook(module, prefix, keep_vars) before state_dict() collects."""
        return self._add_state_hook("_state_dict_pre_hooks", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call hook(module, state_dict, prefix, local_metadata) after state_dict() collected."""
        return self._add_state_hook("_state_dict_hooks", hook)

    _register_state_dict_hook = register_state_dict_post_hook

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors) before loading."""
        return self._add_state_hook("_load_state_dict_pre_hooks", lambda *args: hook(self, *args))

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        if with_module:
            return self.register_load_state_dict_pre_hook(hook)
        return self._add_state_hook("_load_state_dict_pre_hooks", hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call hook(module, incompatible_keys) after loading; it may change the lists in place."""
        return self._add_state_hook("_load_state_dict_post_hooks", hook)

    def get_extra_state(self) -> Any:
        """State beside tensors, to go into state_dict(); overriding it demands set_extra_state too."""
        raise RuntimeError("get_extra_state: a module whose state_dict holds extra state must implement it")

    def set_extra_state(self, state: Any) -> None:
        """Take back what get_extra_state() gave."""
        raise RuntimeError("set_extra_state: a module whose state_dict holds extra state must implement it")

    def _has_extra_state(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(StateDictMixin, method)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, param in self._parameters.items():
            if param is not None:
                destination[prefix + name] = param if keep_vars else param.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = buffer if keep_vars else buffer.detach()
        if self._has_extra_state("get_extra_state"):
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """All parameters and persistent buffers by dotted name; the tensors share memory with the module."""
        if args:  # torch's old positional form: destination, prefix, keep_vars
            destination = args[0]
            prefix = args[1] if len(args) > 1 else prefix
            keep_vars = args[2] if len(args) > 2 else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_hooks("_state_dict_pre_hooks"):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars)
        for hook in self._state_hooks("_state_dict_hooks"):
            result = hook(self, destination, prefix, local_metadata)
            if result is not None:
                destination = result
        return destination

    def _load_tensor(self, name: str, key: str, mine: Any, given: Any, assign: bool) -> str | None:
        """Copy one entry; returns the complaint, if there is one."""
        if not isinstance(given, _C.Tensor):
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from '
                "checkpoint "
                f"but received {type(given)}"
            )
        if mine.dim() == 0 and given.dim() == 1 and len(given) == 1:
            given = given[0]  # scalars were saved with one dimension in old checkpoints
        if given.shape != mine.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {given.shape} from checkpoint, "
                f"the shape in current model is {mine.shape}."
            )
        try:
            with fastnn.no_grad():
                if not assign:
                    mine.copy_(given)
                elif name in self._parameters:
                    if not isinstance(given, Parameter):
                        given = Parameter(given, requires_grad=mine.requires_grad)
                    else:
                        given.requires_grad_(mine.requires_grad)
                    self._parameters[name] = given
                else:
                    self._buffers[name] = given
        except Exception as error:
            return (
                f'While copying the parameter named "{key}", whose dimensions in the model are {mine.size()} and '
                f"whose dimensions in the checkpoint are {given.size()}, an exception occurred : {error.args}."
            )
        return None

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        for hook in self._state_hooks("_load_state_dict_pre_hooks"):
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        assign = bool(local_metadata.get("assign_to_params_buffers", False))
        mine = dict(self._parameters)
        mine.update((k, v) for k, v in self._buffers.items() if k not in self._non_persistent_buffers_set)
        for name, tensor in mine.items():
            if tensor is None:
                continue
            key = prefix + name
            if key in state_dict:
                complaint = self._load_tensor(name, key, tensor, state_dict[key], assign)
                if complaint:
                    error_msgs.append(complaint)
            elif strict:
                missing_keys.append(key)
        self._load_extra_state(state_dict, prefix, strict, missing_keys, unexpected_keys)
        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != prefix + EXTRA_STATE:
                    name, *rest = key[len(prefix) :].split(".", 1)
                    if (rest and name not in self._modules) or (not rest and name not in mine):
                        unexpected_keys.append(key)

    def _load_extra_state(
        self, state_dict: Any, prefix: str, strict: bool, missing_keys: list[str], unexpected_keys: list[str]
    ) -> None:
        key = prefix + EXTRA_STATE
        if self._has_extra_state("set_extra_state"):
            if key in state_dict:
                self.set_extra_state(state_dict[key])
            elif strict:
                missing_keys.append(key)
        elif strict and key in state_dict:
            unexpected_keys.append(key)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Copy a state dictionary into this module; assign=True takes the given tensors themselves.

        Returns (missing_keys, unexpected_keys).  Raises RuntimeError on a wrong shape and, with strict, on any
        missing or unexpected key.
        """
        if not hasattr(state_dict, "keys"):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        state = OrderedDict(state_dict)
        self._load_tree(state, "", metadata, strict, assign, (missing, unexpected, errors))
        if strict:
            for what, keys in (("Unexpected", unexpected), ("Missing", missing)):
                if keys:
                    errors.insert(0, f"{what} key(s) in state_dict: " + ", ".join(f'"{k}"' for k in keys) + ". ")
        if errors:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t" + "\n\t".join(errors))
        return _IncompatibleKeys(missing, unexpected)

    def _load_tree(
        self,
        state: Any,
        prefix: str,
        metadata: Any,
        strict: bool,
        assign: bool,
        reports: tuple[list[str], list[str], list[str]],
    ) -> None:
        local = {} if metadata is None else dict(metadata.get(prefix[:-1], {}))
        if assign:
            local["assign_to_params_buffers"] = True
        missing, unexpected, errors = reports
        self._load_from_state_dict(state, prefix, local, True, missing, unexpected, errors)
        for name, child in self._modules.items():
            if child is not None:
                below = prefix + name + "."
                part = OrderedDict((k, v) for k, v in state.items() if k.startswith(below))
                child._load_tree(part, below, metadata, strict, assign, reports)
        keys = _IncompatibleKeys(missing, unexpected)
        for hook in self._state_hooks("_load_state_dict_post_hooks"):
            if hook(self, keys) is not None:
                raise RuntimeError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return "
                    "new values, "
                    "if incompatible_keys need to be modified, it should be done inplace."
                )
