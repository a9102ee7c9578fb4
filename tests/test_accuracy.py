"""The accuracy table holds: every bound of accuracy.py over the full range, and PyTorch's own error for sums of many terms.

Invariant: the bounds are those of accuracy.py; nothing is judged by its agreement with PyTorch in the same dtype.
Does not: gradients of functions (test_ops.py), other instruction sets (test_isa.py proves them bit-equal). Read next: accuracy.py.
"""

from __future__ import annotations

import accuracy
import numpy as np
import pytest
import torch
from support import TESTS, isas, run_python

import fastnn


@pytest.mark.parametrize("name", list(accuracy.FUNCTIONS))
@pytest.mark.parametrize(("dtype", "count"), [(np.float32, 1 << 16), (np.float64, 1 << 11)])
def test_functions_keep_their_bound(name: str, dtype: type, count: int) -> None:
    bound = accuracy.FUNCTIONS[name].bounds[0 if dtype is np.float32 else 1]
    off, at = accuracy.worst(fastnn, name, dtype, count)
    assert off <= bound, f"{name} of {at!r} is off by {off:.3g}, bound {bound:g}"


@pytest.mark.parametrize("name", ["erf", "gelu, erf", "gelu, tanh"])
def test_sign_is_never_wrong(name: str) -> None:
    function = accuracy.FUNCTIONS[name]
    x = accuracy.points(np.float32, -1e30, 1e30, 1 << 18)
    x = x[~np.isnan(x)]
    y = np.asarray(function.call(fastnn, fastnn.from_numpy(x.copy())).numpy())
    assert not np.any((y != 0) & (np.signbit(y) != np.signbit(x)))


@pytest.mark.parametrize("name", list(accuracy.LAYERS))
def test_layers_are_as_exact_as_torch(name: str) -> None:
    truth = accuracy.layer_results(torch, name, np.float64)
    errors = [accuracy.layer_error(lib, name, truth) for lib in (fastnn, torch)]
    for what, ours, theirs in zip(("output", "gradients"), *errors, strict=True):
        assert ours <= 2 * theirs, f"{name}, {what}: {ours:.2g} of the largest value, PyTorch {theirs:.2g}"


def test_layers_are_as_exact_as_torch_on_avx2() -> None:
    """PyTorch's AVX2 code sums in another order than its AVX-512 code."""
    if "avx2" not in isas():
        pytest.skip("missing hardware: AVX2")
    env = {"FASTNN_ISA": "avx2", "ATEN_CPU_CAPABILITY": "avx2"}
    done = run_python(args=[str(TESTS / "accuracy.py"), *accuracy.LAYERS], env=env, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("2 torch") == 2 * len(accuracy.LAYERS)
