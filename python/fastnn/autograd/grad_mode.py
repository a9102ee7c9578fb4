"""Context managers, also usable as decorators, that say whether operations are recorded for backward.

Invariant: the modes belong to the thread, and leaving a block puts back what was there when it was entered. Generators
decorated with one run each of their steps inside it. Read next: csrc/graph/graph.h (fnn_mode).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any

from fastnn import _C

__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled"]

_set_modes = _C._set_modes


class _Mode:
    """Enter and leave a pair of modes; nested use of one object is fine.

    Memory is asked for before the modes change and never on the way out: running out of it leaves no mode behind.
    """

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before: Any = None  # a chain of [modes before, earlier entry]

    def _enter(self) -> int:
        raise NotImplementedError

    def clone(self) -> _Mode:
        """A fresh manager of the same kind: what a decorated function enters at each call."""
        return type(self)()

    def __enter__(self) -> None:
        entry = [None, self._before]
        entry[0] = self._enter()
        self._before = entry

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        modes, self._before = self._before
        _set_modes(modes)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate: the function's body runs inside the mode."""
        if inspect.isgeneratorfunction(function):
            return _wrap_generator(self, function)

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return inside


def _wrap_generator(mode: _Mode, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        sent: Any = None
        while True:
            try:
                with mode.clone():
                    item = generator.send(sent)
            except StopIteration as stop:
                return stop.value
            try:
                sent = yield item
            except GeneratorExit:
                with mode.clone():
                    generator.close()
                raise

    return inside


class no_grad(_Mode):  # noqa: N801  (torch's name)
    """Operations inside are not recorded. ``with no_grad():``, ``@no_grad()`` and ``@no_grad`` all work."""

    __slots__ = ()

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        mode = super().__new__(cls)
        if function is None:
            return mode
        _Mode.__init__(mode)
        return mode(function)

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        super().__init__()

    def _enter(self) -> int:
        return _set_modes(False, _C.is_inference_mode_enabled())


class enable_grad(_Mode):  # noqa: N801
    """Operations inside are recorded, even within no_grad."""

    __slots__ = ()

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        mode = super().__new__(cls)
        if function is None:
            return mode
        _Mode.__init__(mode)
        return mode(function)

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        super().__init__()

    def _enter(self) -> int:
        return _set_modes(True, _C.is_inference_mode_enabled())


class inference_mode(_Mode):  # noqa: N801
    """Like no_grad, and tensors made inside have no version counter: they can never enter a graph.

    ``inference_mode(False)`` switches it off inside a block that is on.
    """

    __slots__ = ("mode",)

    def __new__(cls, mode: Any = True) -> Any:
        made = super().__new__(cls)
        if isinstance(mode, bool):
            return made
        _Mode.__init__(made)
        made.mode = True
        return made(mode)

    def __init__(self, mode: Any = True) -> None:
        super().__init__()
        self.mode = bool(mode) if isinstance(mode, bool) else True

    def clone(self) -> _Mode:
        """A fresh manager with the same setting."""
        made: _Mode = inference_mode(self.mode)
        return made

    def _enter(self) -> int:
        if self.mode:
            return _set_modes(False, True)
        return _set_modes(True, False)


class set_grad_enabled(_Mode):  # noqa: N801
    """Switch recording on or off: at once as a plain call, until the end of the block as a context manager."""

    __slots__ = ("mode",)

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(f"set_grad_enabled(): argument 'mode' must be bool, not {type(mode).__name__}")
        super().__init__()
        self.mode = mode
        entry: Any = [None, None]
        entry[0] = _set_modes(mode, _C.is_inference_mode_enabled())
        self._before = entry

    def clone(self) -> _Mode:
        """A fresh manager with the same setting."""
        return set_grad_enabled(self.mode)

    def __enter__(self) -> None:
        _set_modes(self.mode, _C.is_inference_mode_enabled())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate: constructing the manager switched at once, which is undone here."""
        modes, self._before = self._before
        _set_modes(modes)
        return super().__call__(function)
