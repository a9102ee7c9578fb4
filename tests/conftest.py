"""Shared set-up of the test suite: the two libraries, seeds, data files, threads; and the count of proofs per op.

Invariant: every test starts from the same state (seed, grad mode, default dtype, print options, thread count), whatever ran before it.
Does not: hold assertions or sample inputs. Read next: support.py (comparisons), then op_table.py.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import counts  # noqa: E402
import torch  # noqa: E402  (real PyTorch: the oracle)
from support import data_dir  # noqa: E402

import fastnn  # noqa: E402

# A shell starts what runs in the background with SIGINT ignored, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

LIBRARIES: dict[str, Any] = {"torch": torch, "fastnn": fastnn}


@pytest.fixture(autouse=True)
def _known_state() -> Iterator[None]:
    """Same seed and modes at the start of each test; a test that changes them cannot touch the next one."""
    for lib in LIBRARIES.values():
        lib.manual_seed(1337)
        lib.set_num_threads(2)
        lib.set_default_dtype(lib.float32)
    np.random.seed(1337)
    yield
    for lib in LIBRARIES.values():
        lib.set_grad_enabled(True)
        lib.set_printoptions(profile="default")


@pytest.fixture(params=["torch", "fastnn"])
def lib(request: pytest.FixtureRequest) -> Any:
    """Each library in turn, for claims that are stated in the test itself."""
    return LIBRARIES[request.param]


@pytest.fixture
def names_path() -> Path:
    """The list of names all language-model tests train on."""
    path = data_dir() / "names.txt"
    if not path.exists():
        pytest.skip(f"{path} is missing: set FASTNN_DATA to the folder that holds names.txt")
    return path


@pytest.fixture
def text_path() -> Path:
    """The plain text file character-level models train on."""
    path = data_dir() / "tinyshakespeare.txt"
    if not path.exists():
        pytest.skip(f"{path} is missing: set FASTNN_DATA to the folder that holds tinyshakespeare.txt")
    return path


_found: list[tuple[str, str, int]] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """What the test claims to have proved goes with its report, from worker processes too."""
    counts.take()
    result = yield
    item.user_properties.append((counts.REPORT, counts.take()))
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        _found.extend((op, kind, n) for name, claims in report.user_properties if name == counts.REPORT for op, kind, n in claims)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _found:
        terminalreporter.section("proofs per op")
        for line in counts.table(_found):
            terminalreporter.write_line(line)
