"""Every deliberate defect of mutant_table.py still applies: its text stands exactly once in its file, its tests exist.

Invariant: quick; that each defect is noticed is shown by `python tests/mutants.py`, which takes long. Read next: mutants.py.
"""

from __future__ import annotations

import pytest
from mutant_table import MUTANTS, Mutant
from mutants import replaced
from support import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=[m.name for m in MUTANTS])
def test_defect_applies(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text()
    assert replaced(mutant, text) != text
    for file, _ in mutant.tests:
        assert (ROOT / file).is_file(), f"{file} is gone"


def test_text_that_moved_is_refused() -> None:
    moved = Mutant("moved", "setup.py", (("not in the file", ""),), ())
    with pytest.raises(SystemExit, match="stands 0 times in setup.py"):
        replaced(moved, "a = 1\n")
    with pytest.raises(SystemExit, match="stands 2 times"):
        replaced(Mutant("twice", "setup.py", (("a = 1\n", ""),), ()), "a = 1\na = 1\n")
