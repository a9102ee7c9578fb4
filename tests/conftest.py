"""Shared set-up of the test suite: the two libraries, seeds, data files, threads.

Invariant: every test starts from the same state (seed, grad mode, default dtype, print options, thread count), whatever ran before it.
Does not: hold assertions or sample inputs. Read next: support.py (comparisons), then op_table.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch  # noqa: E402  (real PyTorch: the oracle)
from support import data_dir  # noqa: E402

import fastnn  # noqa: E402

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
