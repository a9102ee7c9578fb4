"""Run the whole op table in one process and save every output: `python isa_worker.py OUT.npz`, with FASTNN_ISA and FASTNN_BLAS set outside.

Invariant: imports no torch; the same samples in the same order, so that files from two processes can be compared key by key.
Does not: judge. Read next: test_isa.py.
"""

from __future__ import annotations

import sys

import numpy as np
from op_table import ROWS
from proofs import results

import fastnn


def main(path: str) -> None:
    found: dict[str, np.ndarray] = {}
    for row in ROWS.values():
        found |= results(fastnn, row)
    np.savez(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])
