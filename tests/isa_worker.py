"""Run the whole op table in one process and save every output: `python isa_worker.py OUT.npz`, with FASTNN_ISA and FASTNN_BLAS set outside.

Invariant: imports no torch; the same samples in the same order, so that files from two processes can be compared key by key.
Does not: judge. Read next: test_isa.py.
"""

from __future__ import annotations

import sys

import numpy as np
from op_table import ROWS
from support import arr, leaves
from table_calls import forward_backward

import fastnn


def main(path: str) -> None:
    results: dict[str, np.ndarray] = {}
    for name, row in ROWS.items():
        for dtype in row.dtypes:
            for n, sample in enumerate(row.cases()):
                differentiate = row.grad and sample.grad and dtype.startswith("float")
                outputs, gradients = forward_backward(fastnn, row, sample, dtype, wanted=None if differentiate else [])
                for kind, values in (("out", outputs), ("grad", gradients)):
                    for i, v in enumerate(leaves(values)):
                        results[f"{name}/{dtype}/{n}/{kind}{i}"] = arr(v)
    np.savez(path, **results)


if __name__ == "__main__":
    main(sys.argv[1])
