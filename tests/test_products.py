"""Matrix products beyond the op table: what only some of their ways through the library meet.

Invariant: every check runs on the path that scripts take (tensors in, tensors out). Does not: time anything (benchmarks/).
Read next: csrc/ops/product.h, op_rows_more.py (the rows of matmul, linear and matmul_fused).
"""

from __future__ import annotations

import pytest

import fastnn
from fastnn import _C


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"other": (3, 5)}, "cannot be multiplied"),
        ({"other": (4,)}, r"other has shape \(4,\), expected 2 dimensions"),
        ({"other": (4, 5), "bias": (4,)}, r"bias has shape \(4,\), expected \(5,\)"),
        ({"other": (4, 5), "residual": (5,)}, r"residual has shape \(5,\), expected \(3, 5\)"),
        ({"other": (4, 5), "activation": "sin"}, "activation"),
        ({"other": (4, 5), "transpose_a": True}, "cannot be multiplied"),
    ],
)
def test_matmul_fused_refuses(options: dict[str, object], words: str) -> None:
    given = {k: fastnn.zeros(v) if isinstance(v, tuple) else v for k, v in options.items()}
    with pytest.raises(RuntimeError, match=words) as caught:
        _C._matmul_fused(fastnn.zeros(3, 4), **given)  # type: ignore[arg-type]
    assert "matmul_fused" in str(caught.value)
