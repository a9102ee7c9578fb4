"""microGPT trained over fastnn prints what the original program prints: 1,000 losses and 20 sampled names.

The reference file holds the output of Andrej Karpathy's microgpt.py, which computes in Python's doubles. Read next:
benchmarks/microgpt.py, the training script that runs here.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from support import ROOT, data_dir

import fastnn
import fastnn.nn.functional


@pytest.fixture(scope="module")
def reference() -> tuple[list[str], list[str]]:
    """Losses as printed, and samples."""
    path = data_dir() / "microgpt-reference.csv"
    if not path.exists():
        pytest.skip(f"{path} is missing: set FASTNN_DATA to the folder that holds microgpt-reference.csv")
    rows = [line.split(",") for line in path.read_text().splitlines() if not line.startswith("#")]
    return [r[2] for r in rows if r[0] == "loss"], [r[2] for r in rows if r[0] == "sample"]


def trained(monkeypatch: pytest.MonkeyPatch, dtype: Any) -> tuple[list[float], list[str]]:
    """Losses and samples of one run over fastnn."""
    file = importlib.util.spec_from_file_location("microgpt", ROOT / "benchmarks" / "microgpt.py")
    assert file is not None and file.loader is not None
    script: Any = importlib.util.module_from_spec(file)
    file.loader.exec_module(script)
    script.torch, script.F = fastnn, fastnn.nn.functional
    monkeypatch.setenv("FASTNN_DATA", str(data_dir()))
    before = fastnn.get_default_dtype()
    fastnn.set_default_dtype(dtype)
    try:
        run = script.Run()
        losses, _ = run.train()
        return losses, [run.sample() for _ in range(20)]
    finally:
        fastnn.set_default_dtype(before)


def test_double_precision_prints_the_original_trace(
    reference: tuple[list[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, samples = trained(monkeypatch, fastnn.float64)
    assert [f"{loss:.4f}" for loss in losses] == reference[0]
    assert samples == reference[1]


def test_single_precision_differs_in_a_last_digit_at_most(
    reference: tuple[list[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss that lies within 1e-5 of the middle between two fourth decimals may be rounded the other way."""
    losses, samples = trained(monkeypatch, fastnn.float32)
    assert all(abs(loss - float(text)) < 0.5e-4 + 1e-5 for loss, text in zip(losses, reference[0], strict=True))
    assert samples == reference[1]
