"""The README's NumPy example runs as printed and prints what the README says.

Read next: README.md, section fastnn.kernels.
"""

from __future__ import annotations

import re

from support import ROOT, run_python

import fastnn.kernels as k

SECTION = re.search(r"<!-- kernels example: begin -->(.*)<!-- kernels example: end -->", (ROOT / "README.md").read_text(), re.DOTALL)[1]  # type: ignore[index]


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)[1]  # type: ignore[index]


def test_the_example_prints_what_the_readme_says() -> None:
    code = block("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    printed = run_python(code).stdout
    assert printed == block("text")
    losses = [float(line.split()[-1]) for line in printed.splitlines()]
    assert len(losses) > 2 and losses == sorted(losses, reverse=True) and losses[-1] < 2.45


def test_the_section_names_every_function() -> None:
    text = (ROOT / "README.md").read_text()
    for name in k.__all__:
        assert f"`{name.removesuffix('_forward').removesuffix('_backward')}`" in text, name
