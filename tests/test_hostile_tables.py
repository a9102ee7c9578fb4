"""Wrong calls by area (hostile/*.py): torch's exception class, a message that says what was wrong, the inputs as they were.

Beside the lines of test_errors.py and of the op table. Invariant: torch refuses every line. Read next: test_ops.py (check_wrong_call).
"""

from __future__ import annotations

import importlib

import pytest
from test_ops import check_wrong_call

AREAS = ("tensors", "modules", "losses", "training")
TABLES = {area: [line for line in importlib.import_module(f"hostile.{area}").CALLS.splitlines() if line.strip()] for area in AREAS}


@pytest.mark.parametrize("area", AREAS)
def test_wrong_calls(area: str, capsys: pytest.CaptureFixture[str]) -> None:
    faults = []
    for line in TABLES[area]:
        words, _, code = line.partition(" | ")
        try:
            check_wrong_call(code, "|".join(w.strip() for w in words.split(",")))
        except AssertionError as fault:
            faults.append(str(fault).partition("\nassert")[0])
    with capsys.disabled():
        print(f"\n{area}: {len(TABLES[area])} wrong calls")
    assert not faults, f"{len(faults)} of {len(TABLES[area])}\n" + "\n".join(faults)


def test_the_tables_are_long_enough() -> None:
    assert sum(map(len, TABLES.values())) >= 690
