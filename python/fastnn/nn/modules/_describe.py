"""The text of repr(module): the name, the extra line, the children indented by two columns; types in messages.

Read next: module.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _C

if TYPE_CHECKING:
    from .module import Module


def typename(value: Any) -> str:
    """The type of a value as messages name it."""
    if isinstance(value, _C.Tensor):
        return str(value.type())
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def indent(text: str, columns: int) -> str:
    """Move every line but the first to the right."""
    return text.replace("\n", "\n" + " " * columns)


def describe(module: Module) -> str:
    """repr() of a module."""
    extra = module.extra_repr()
    head = extra.split("\n") if extra else []
    children = [f"({name}): {indent(repr(child), 2)}" for name, child in module._modules.items()]
    if not head and not children:
        return module._get_name() + "()"
    if len(head) == 1 and not children:
        return f"{module._get_name()}({head[0]})"
    return module._get_name() + "(\n  " + "\n  ".join(head + children) + "\n)"
