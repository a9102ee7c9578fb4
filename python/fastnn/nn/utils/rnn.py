"""Sequences of different lengths: padded to one length, or packed time step by time step.

Invariant of a PackedSequence: data holds, for each time, one row for every sequence that is long enough, longest
sequence first; batch_sizes counts them and never rises.  Read next: ../modules/rnn.py.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

from fastnn import _C
from fastnn._arguments import checked, tensors_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastnn import Tensor


@checked
def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another."""
    if permutation is None:
        return None
    order = _C.arange(permutation.numel(), dtype=permutation.dtype)
    return _C.empty_like(order).scatter_(0, permutation, order)


class PackedSequence(namedtuple("PackedSequence_", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])):
    """A batch of sequences without padding; made by pack_padded_sequence and pack_sequence."""

    __slots__ = ()

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None
    ) -> PackedSequence:
        if batch_sizes is None:
            if not isinstance(data, (list, tuple)) or len(data) != 2:
                raise AssertionError(f"PackedSequence: data is {type(data).__name__}, expected a pair")
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data converted as Tensor.to does."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        return type(self)(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def float(self) -> PackedSequence:
        """The data as float32."""
        return self.to(_C.float32)

    def double(self) -> PackedSequence:
        """The data as float64."""
        return self.to(_C.float64)

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Itself."""
        return self

    @property
    def is_cuda(self) -> bool:
        return False

    def is_pinned(self) -> bool:
        """Always False."""
        return False


@checked
def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack (T,B,...) whose sequence b has lengths[b] steps; enforce_sorted demands falling lengths."""
    if not isinstance(lengths, _C.Tensor):
        lengths = _C.tensor(list(lengths), dtype=_C.int64)
    order = None
    if not enforce_sorted:
        lengths, order = lengths.sort(descending=True)
        input = input.index_select(0 if batch_first else 1, order)
    steps = lengths.tolist()
    x = input.transpose(0, 1) if batch_first else input
    if len(steps) != x.size(1):
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(steps)} (batch_size={x.size(1)})"
        )
    if not steps or steps[-1] <= 0 or min(steps) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if any(a < b for a, b in zip(steps, steps[1:], strict=False)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you "
            "do not need ONNX exportability."
        )
    if steps[0] > x.size(0):
        raise RuntimeError(f"pack_padded_sequence: lengths reach {steps[0]}, expected at most {x.size(0)} time steps")
    sizes = [sum(1 for n in steps if n > t) for t in range(steps[0])]
    data = _C.cat([x[t, :size] for t, size in enumerate(sizes)], 0)
    return PackedSequence(data, _C.tensor(sizes, dtype=_C.int64), order)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Undo pack_padded_sequence: the padded batch and the lengths."""
    data, batch_sizes, unsorted_indices = sequence.data, sequence.batch_sizes, sequence.unsorted_indices
    sizes = batch_sizes.tolist()
    longest = len(sizes)
    if total_length is not None:
        if total_length < longest:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {longest}"
            )
        longest = total_length
    width = sizes[0]
    rows = []
    for part in data.split(sizes, 0):
        missing = width - part.size(0)
        if missing:
            part = _C.cat([part, _C.full([missing, *part.shape[1:]], padding_value, dtype=part.dtype)], 0)
        rows.append(part)
    blank = _C.full([width, *data.shape[1:]], padding_value, dtype=data.dtype)
    rows += [blank] * (longest - len(rows))
    padded = _C.stack(rows, 1 if batch_first else 0)
    lengths = _C.tensor([sum(1 for size in sizes if size > b) for b in range(width)], dtype=_C.int64)
    if unsorted_indices is not None:
        padded = padded.index_select(0 if batch_first else 1, unsorted_indices)
        lengths = lengths[unsorted_indices]
    return padded, lengths


@checked
def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Stack tensors (L_i, ...) into (T, B, ...), padded to the longest."""
    if padding_side not in ("left", "right"):
        raise ValueError(f"padding_side should be 'right' or 'left', but got {padding_side}")
    if not isinstance(sequences, (list, tuple)):
        if not isinstance(sequences, _C.Tensor) and not hasattr(sequences, "__iter__"):
            raise RuntimeError(
                f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
            )
        sequences = list(sequences)
    if not sequences:
        raise RuntimeError("pad_sequence: received an empty list of sequences")
    sequences = tensors_of("pad_sequence", (sequences,))
    longest = max(s.size(0) for s in sequences)
    rows = []
    for s in sequences:
        missing = longest - s.size(0)
        if missing:
            blank = _C.full([missing, *s.shape[1:]], padding_value, dtype=s.dtype)
            s = _C.cat([blank, s] if padding_side == "left" else [s, blank], 0)
        rows.append(s)
    return _C.stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """Undo pad_sequence."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [row[:n] for row, n in zip(padded_sequences, lengths.tolist(), strict=False)]


def pack_sequence(sequences: Iterable[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of tensors (L_i, ...)."""
    sequences = list(sequences)
    lengths = _C.tensor([s.size(0) for s in tensors_of("pack_sequence", (sequences,))], dtype=_C.int64)
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Undo pack_sequence."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
