"""The benchmark tools judge rightly and their table runs; no time is asserted here.

makemore_compare is given outputs of both sides made by hand; the table is run by `fastnn bench` where it is quick.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"

OUTPUT = """{'max_steps': 11}
step 0 | loss 3.3001 | step time 20.11ms
step 10 | loss 2.9107 | step time 2.50ms
step 10 train loss: 2.8123456789 test loss: 2.9000000000
test loss 2.9000000000 is the best so far, saving model to out/model.pt
2 samples that are new:
anna
"""


@pytest.fixture(scope="module")
def makemore() -> ModuleType:
    spec = importlib.util.spec_from_file_location("makemore_compare", FOLDER / "makemore_compare.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_times_do_not_count(makemore: ModuleType) -> None:
    result = makemore.compare(OUTPUT, OUTPUT.replace("2.50ms", "1.00ms"))
    assert result.ok and (result.step_losses, result.last_digit, result.eval_losses, result.other_lines) == (2, 0, 2, 3)
    assert result.step_ms == ([20.11, 2.5], [20.11, 1.0])
    assert "equal" in makemore.row("gru", result, (1.0, 1.0)) and " 0.40 " in makemore.row("gru", result, (1.0, 1.0))


@pytest.mark.parametrize(
    ("old", "new", "ok"),
    [
        ("2.9107", "2.9108", True),  # one lone rounding
        ("2.9107", "2.9109", False),
        ("2.9107", "nan", False),
        ("2.8123456789", "2.8123476789", True),
        ("2.8123456789", "2.8124456789", False),
        ("step 10 |", "step 11 |", False),
        ("anna", "anne", False),
        ("anna\n", "", False),
        ("out/model.pt", "model.pt", False),
    ],
)
def test_what_counts_as_equal(old: str, new: str, ok: bool, makemore: ModuleType) -> None:
    assert makemore.compare(OUTPUT, OUTPUT.replace(old, new)).ok is ok
    assert makemore.compare(OUTPUT.replace(old, new), OUTPUT).ok is ok


def test_two_roundings_are_one_too_many(makemore: ModuleType) -> None:
    result = makemore.compare(OUTPUT, OUTPUT.replace("2.9107", "2.9108").replace("3.3001", "3.3000"))
    assert result.last_digit == 2 and not result.ok


def test_every_op_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    timed = {op for table in ("cases", "cases_rest") for case in tables(table) for op in case.ops}
    declared = re.findall(r"^FNN_OP\((\w+)\)", (FOLDER.parent / "csrc" / "ops" / "ops.def").read_text(), re.MULTILINE)
    assert declared
    assert not {name.lower() for name in declared} - timed


def tables(name: str) -> list[Any]:
    module = importlib.import_module(name)
    return [*getattr(module, name.upper())]


def test_bench_runs_its_table() -> None:
    command = [sys.executable, "-m", "fastnn", "bench", "--threads", "1", "--filter"]
    done = subprocess.run([*command, "overhead: a"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("overhead: a @ b 4x4")]
    nothing = subprocess.run([*command, "no such case"], capture_output=True, text=True, timeout=120)
    assert nothing.returncode == 2 and "no such case" in nothing.stderr


@pytest.fixture(scope="module")
def report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report", FOLDER / "report.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(**facts: Any) -> dict[str, Any]:
    sides = {"fastnn": {"best_us": 50.0, "median_us": 55.0, "error": 1e-7}, "torch": {"best_us": 100.0, "median_us": 110.0, "error": 1e-7}}
    plain = {"threads": 2, "case": "add", "backward": False, "check": True, "goal": None, "goal_us": None, "goal_share": None}
    return {**plain, **sides, "ratio": 0.5, "rate": 0.0, "unit": "", "share": 0.5, **facts}


@pytest.mark.parametrize(
    ("facts", "kinds"),
    [
        ({"goal": 0.5}, []),
        ({"goal": 0.45}, ["ratio"]),
        ({"goal": 0.45, "threads": 1}, []),  # ratios count at several threads
        ({"goal_us": 40.0, "threads": 1}, ["time"]),
        ({"goal_us": 40.0}, []),  # times and shares at one
        ({"goal_share": 0.75, "threads": 1}, ["share"]),
        ({"fastnn": {"best_us": 50.0, "median_us": 55.0, "error": 2.1e-7}}, ["error"]),
    ],
)
def test_goals_are_judged(report: ModuleType, facts: dict[str, Any], kinds: list[str]) -> None:
    one = row(**facts)
    assert [kind for kind, _ in report.missed(one)] == kinds
    assert all(text in report.line(one, False) for _, text in report.missed(one))
    assert report.summary([one]).count("1 missed") == len(kinds)


def test_a_failed_row_and_a_poor_speedup_are_listed(report: ModuleType) -> None:
    slow = {"best_us": 200.0, "median_us": 200.0, "error": 0.0}
    rows = [row(threads=1, fastnn=slow), row(fastnn={**slow, "best_us": 150.0}), {**row(), "case": "sub", "failed": "torch: no"}]
    text = report.summary(rows)
    assert "1.33 x" in text and "failed: 1" in text and "torch: no" in text
