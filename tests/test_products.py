"""Matrix products beyond the op table: what only some of their ways through the library meet.

Invariant: every check runs on the path that scripts take (tensors in, tensors out). Does not: time anything (benchmarks/).
Read next: csrc/ops/product.h, op_rows_index.py (the rows of matmul, linear and matmul_fused).
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


@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.float64])
@pytest.mark.parametrize("k", [31, 32, 33, 100, 256])
@pytest.mark.parametrize("n", [2, 5, 17, 300])
def test_a_row_times_a_matrix_is_one_number_however_it_lies(dtype: fastnn.dtype, k: int, n: int) -> None:
    x, w, bias = fastnn.randn(1, k, dtype=dtype), fastnn.randn(n, k, dtype=dtype), fastnn.randn(n, dtype=dtype)
    y = x @ w.t()
    wide = fastnn.zeros(n, 2 * k, dtype=dtype)
    wide[:, ::2] = w
    spread = fastnn.zeros(1, 3 * k, dtype=dtype)
    spread[:, ::3] = x
    assert fastnn.equal(y, x @ w.t().contiguous())
    assert fastnn.equal(y, x @ wide[:, ::2].t())
    assert fastnn.equal(y, spread[:, ::3] @ w.t())
    assert fastnn.equal(y[0], fastnn.matmul(x[0], w.t()))
    assert fastnn.equal(y + bias, fastnn.nn.functional.linear(x, w, bias))
    exact = x.double() @ w.double().t()
    assert (y - exact).abs().max() <= 4 * fastnn.finfo(dtype).eps * k**0.5 * exact.abs().max()


@pytest.mark.parametrize("k", [255, 256, 257, 600])
def test_long_sums_are_the_same_however_the_operands_lie(k: int) -> None:
    a, b = fastnn.randn(70, k), fastnn.randn(k, 200)
    y = a @ b
    at, bt = a.t().contiguous().t(), b.t().contiguous().t()
    assert fastnn.equal(y, at @ b) and fastnn.equal(y, a @ bt) and fastnn.equal(y, at @ bt)
    assert (y - a.double() @ b.double()).abs().max() < 1e-6 * k**0.5 * 4
