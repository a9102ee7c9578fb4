"""A file of names becomes two integer tensors, from which batches are drawn by one indexing operation.

Token 0 starts and ends a name, tokens 1.. are the characters in sorted order. Row i of x is 0 followed by the name,
row i of y the name followed by 0; y is -1 beyond that, which cross_entropy ignores.
Invariant: split and encoding depend on the file, the block size and the seed only.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import fastnn
from fastnn import Tensor
from fastnn.train.config import LONGEST, UserError

BUNDLED = Path(__file__).parents[1] / "data" / "names.txt"
IGNORE = -1
MOST_CELLS = 2**27  # of the two tables: 1 GB each


@dataclass
class Corpus:
    names: list[str]
    chars: str  # token i + 1 is chars[i]
    block_size: int  # tokens a row: the longest allowed name and its end mark
    crc: int  # of the names in file order: a resumed run must see the same ones

    @property
    def vocab_size(self) -> int:
        return len(self.chars) + 1

    def encode(self, text: str) -> list[int]:
        return [self.chars.index(c) + 1 for c in text]

    def decode(self, tokens: list[int]) -> str:
        return "".join(self.chars[t - 1] for t in tokens)


def read_names(path: Path) -> list[str]:
    """The non-empty lines of a UTF-8 file, stripped. Raises UserError for a file that is none."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): expected names, one per line") from None
    bad = next((c for c in text if ord(c) < 32 and c not in "\t\r\n\f\v"), None)
    if bad is not None:
        raise UserError(f"{path} holds the control character {bad!r}: expected names, one per line")
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if len(names) < 2:
        found = "only one name" if names else "no names"
        raise UserError(f"{path} holds {found}: at least 2 are needed, one to train on and one to test")
    return names


def load_corpus(path: Path, block_size: int | None) -> Corpus:
    """Reads and checks a name file; block_size None means that of the longest name."""
    names = read_names(path)
    longest = max(names, key=len)
    if block_size is not None and len(longest) + 1 > block_size:
        raise UserError(
            f"{path}: the name {longest[:40]!r} has {len(longest)} characters, and --block-size {block_size} "
            f"leaves room for {block_size - 1}"
        )
    width = block_size or len(longest) + 1
    if width > LONGEST:
        raise UserError(f"{path}: a line has {len(longest)} characters: expected names, one per line")
    if width * len(names) > MOST_CELLS:
        raise UserError(
            f"{path}: {len(names)} names and {width} characters for each would take "
            f"{width * len(names) / 2**26:.1f} GB: leave out the longest names"
        )
    crc = zlib.crc32("\n".join(names).encode())
    return Corpus(names, "".join(sorted(set("".join(names)))), width, crc)


class Examples:
    """Encoded names, and random batches of them."""

    x: Tensor  # (N, T) int64
    y: Tensor  # (N, T) int64
    tokens: float  # predicted tokens in a row, on average

    def __init__(self, corpus: Corpus, names: list[str]) -> None:
        table = {c: i + 1 for i, c in enumerate(corpus.chars)}
        x = np.zeros((len(names), corpus.block_size), dtype=np.int64)
        y = np.full_like(x, IGNORE)
        for row, name in enumerate(names):
            tokens = [table[c] for c in name]
            x[row, 1 : len(name) + 1] = tokens
            y[row, : len(name) + 1] = [*tokens, 0]
        self.x, self.y = fastnn.from_numpy(x), fastnn.from_numpy(y)
        self.tokens = float((y != IGNORE).sum()) / len(names)

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, size: int, generator: fastnn.Generator) -> tuple[Tensor, Tensor]:
        """`size` rows drawn with replacement: (size, T) each."""
        rows = fastnn.randint(0, len(self.x), (size,), generator=generator)
        return self.x[rows], self.y[rows]


def split(corpus: Corpus, seed: int) -> tuple[list[str], list[str]]:
    """Shuffled training and test names; a tenth of them, at most 1,000, are for the test."""
    generator = fastnn.Generator()
    generator.manual_seed(seed)
    order = fastnn.randperm(len(corpus.names), generator=generator).tolist()
    held_out = max(1, min(1000, len(corpus.names) // 10))
    shuffled = [corpus.names[i] for i in order]
    return shuffled[:-held_out], shuffled[-held_out:]
