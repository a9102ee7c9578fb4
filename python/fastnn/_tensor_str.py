"""How a tensor prints: ``repr``, ``format`` and the print options.

The layout is PyTorch's to the character: one width for all elements, four digits, lines of 80 columns, the middle left
out above 1000 elements. This module is imported when the first tensor is printed. It reads values through ``tolist()``
and never looks at more elements than it shows.

Read next: csrc/python/tensor_type.c, which calls :func:`tensor_repr` and :func:`tensor_format`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from . import _C


@dataclass
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES: dict[str, tuple[int, float, int, int]] = {
    "default": (4, 1000, 3, 80),
    "short": (2, 1000, 2, 80),
    "full": (4, math.inf, 3, 80),
}
_options = _Options()

# Where the middle of a long dimension was left out, its place is held by this mark.
_GAP = object()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Sets how tensors print.

    Args:
        precision: digits after the point (4).
        threshold: tensors with more elements than this show their edges only (1000).
        edgeitems: how many items stand at each edge then (3).
        linewidth: columns of a line (80).
        profile: ``default``, ``short`` or ``full``; the other arguments go before it.
        sci_mode: powers of ten always (True), never (False) or where the numbers ask for it (None).
    """
    if profile is not None and profile in _PROFILES:
        _options.precision, _options.threshold, _options.edgeitems, _options.linewidth = _PROFILES[profile]
    if precision is not None:
        _options.precision = precision
    if threshold is not None:
        _options.threshold = threshold
    if edgeitems is not None:
        _options.edgeitems = edgeitems
    if linewidth is not None:
        _options.linewidth = linewidth
    _options.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The options as keyword arguments of :func:`set_printoptions`."""
    return asdict(_options)


@contextlib.contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Print options for the length of a ``with`` block."""
    before = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        set_printoptions(**before)


def _values(tensor: Any, shorten: bool) -> Any:
    """The tensor as nested lists; with ``shorten``, long dimensions keep their edges around a ``_GAP``."""
    if not shorten or tensor.dim() == 0:
        return tensor.tolist()
    size, edge = tensor.shape[0], _options.edgeitems
    if edge == 0 and tensor.dim() == 1:
        return [_GAP]
    if size <= 2 * edge:
        return tensor.tolist() if tensor.dim() == 1 else [_values(row, True) for row in tensor]
    if tensor.dim() == 1:
        return [*tensor[:edge].tolist(), _GAP, *tensor[size - edge :].tolist()]
    rows = [*range(edge), *range(size - edge, size)]
    shown = [_values(tensor[i], True) for i in rows]
    return [*shown[:edge], _GAP, *shown[edge:]]


def _leaves(values: Any) -> Iterator[Any]:
    """The numbers in nested lists, without gaps."""
    if isinstance(values, list):
        for item in values:
            yield from _leaves(item)
    elif values is not _GAP:
        yield values


class _Format:
    """One style and width for all elements, chosen from the numbers that are shown."""

    def __init__(self, values: Any, floating: bool) -> None:
        self.spec = ""  # format() of an int or bool
        self.point = False  # whole floats: written as "2."
        self.width = 1
        if not floating:
            self.width = max((len(str(v)) for v in _leaves(values)), default=1)
            return
        self.spec, self.point = ".0f", True
        finite = [v for v in _leaves(values) if v != 0 and math.isfinite(v)]
        if not finite:
            return
        whole = all(v == math.ceil(v) for v in finite)
        if self._wants_powers(finite):
            self.spec, self.point = f".{_options.precision}e", False
        elif not whole:
            self.spec, self.point = f".{_options.precision}f", False
        self.width = max(1, *(len(format(v, self.spec)) + self.point for v in finite))

    @staticmethod
    def _wants_powers(finite: list[float]) -> bool:
        if _options.sci_mode is not None:
            return _options.sci_mode
        least, most = min(map(abs, finite)), max(map(abs, finite))
        return most / least > 1000.0 or most > 1.0e8 or least < 1.0e-4

    def __call__(self, value: Any) -> str:
        text = format(value, self.spec) if self.spec else str(value)
        if self.point and math.isfinite(value):
            text += "."
        return text.rjust(self.width)


def _row_text(values: list[Any], indent: int, style: _Format) -> str:
    """A vector, broken into lines of as many items as fit."""
    gap = " ..." if _options.edgeitems else "..."
    items = [gap if v is _GAP else style(v) for v in values]
    per_line = max(1, (_options.linewidth - indent) // (style.width + 2))
    lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested_text(values: Any, dim: int, indent: int, style: _Format) -> str:
    if dim == 0:
        return style(values)
    if dim == 1:
        return _row_text(values, indent, style)
    parts = ["..." if v is _GAP else _nested_text(v, dim - 1, indent + 1, style) for v in values]
    return "[" + ("," + "\n" * (dim - 1) + " " * (indent + 1)).join(parts) + "]"


def _notes(tensor: Any) -> list[str]:
    """What follows the values: size, dtype, autograd."""
    notes = []
    default = _C.get_default_dtype()
    empty = tensor.numel() == 0
    if tensor.dim() != 1 if empty else not _options.edgeitems:  # the values do not tell the shape
        notes.append(f"size={tuple(tensor.shape)}")
    if empty:
        if tensor.dtype is not default:
            notes.append(f"dtype={tensor.dtype}")
    elif tensor.dtype not in (default, _C.int64, _C.bool):
        notes.append(f"dtype={tensor.dtype}")
    try:
        grad_fn = tensor.grad_fn
    except RuntimeError:  # a view whose base was written: it may be read, not differentiated
        notes.append("grad_fn=<Invalid>")
        return notes
    if grad_fn is not None:
        notes.append(f"grad_fn=<{_node_name(grad_fn)}>")
    elif tensor.requires_grad:
        notes.append("requires_grad=True")
    return notes


def _node_name(node: Any) -> str:
    name = getattr(node, "name", None)
    return str(name()) if callable(name) else type(node).__name__


def _with_notes(text: str, notes: list[str], indent: int) -> str:
    """Appends the notes, each on the last line if it fits there."""
    used = len(text) - text.rfind("\n") + 1
    for note in notes:
        if used + len(note) + 2 > _options.linewidth:
            text += ",\n" + " " * indent + note
            used = indent + len(note)
        else:
            text += ", " + note
            used += len(note) + 2
    return text + ")"


def tensor_repr(tensor: Any) -> str:
    """``repr(tensor)``: ``tensor([1., 2.], requires_grad=True)``."""
    prefix = "tensor(" if type(tensor) is _C.Tensor else f"{type(tensor).__name__}("
    indent = len(prefix)
    body = "[]"
    if tensor.numel():
        values = _values(tensor.detach(), tensor.numel() > _options.threshold)
        body = _nested_text(values, tensor.dim(), indent, _Format(values, tensor.dtype.is_floating_point))
    return _with_notes(prefix + body, _notes(tensor), indent)


def tensor_format(tensor: Any, spec: str) -> str:
    """``format(tensor, spec)``: the number of a 0-d tensor, else the text of the whole tensor."""
    if tensor.dim() == 0 and type(tensor) is _C.Tensor:
        return format(tensor.item(), spec)
    if spec:
        raise TypeError(f"unsupported format string passed to {type(tensor).__name__}.__format__")
    return str(tensor)
