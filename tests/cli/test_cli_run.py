"""`fastnn run`: a program under it cannot tell it from Python, except that torch is fastnn.

Each case runs in a fresh process, because a program under `fastnn run` owns the interpreter: the cases are few.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FASTNN = [sys.executable, "-m", "fastnn", "run"]


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


SCRIPT = """
import pickle, sys
class Thing: pass
if __name__ == "__main__":
    import torch, torch.nn.functional as F, neighbour
    print(sys.argv, __file__, __name__, neighbour.x, "fastnn" in torch.__version__)
    assert sys.modules["__main__"].Thing is Thing and type(pickle.loads(pickle.dumps(Thing()))) is Thing
    print(F.relu(torch.tensor([-1.0, 2.0])).tolist())
    sys.exit(int(sys.argv[-1]))
"""


def test_script_sees_what_python_would_show(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "neighbour.py").write_text("x = 7\n")
    (tmp_path / "sub" / "script.py").write_text(SCRIPT)
    done = run([*FASTNN, "sub/script.py", "--seed", "-m", "3"], tmp_path)
    assert done.stderr == "" and done.returncode == 3
    assert done.stdout.splitlines() == [
        "['sub/script.py', '--seed', '-m', '3'] sub/script.py __main__ 7 True",
        "[0.0, 2.0]",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    1 / 0\ntry:\n    f()\nexcept ZeroDivisionError:\n    raise ValueError('x')\n",
        "x = (1,\n",
        "import sys\nsys.exit('a last word')\n",
        "raise KeyboardInterrupt\n",
    ],
)
def test_tracebacks_and_statuses_are_pythons(source: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(source)
    ours, pythons = run([*FASTNN, "script.py"], tmp_path), run([sys.executable, "script.py"], tmp_path)

    def same_paths(text: str) -> str:  # Python shows a syntax error's file with its folder
        return text.replace(f"{tmp_path}/", "")

    assert same_paths(ours.stderr) == same_paths(pythons.stderr)
    # An interrupted Python dies of the signal; a shell calls that 130.
    assert ours.returncode == (130 if pythons.returncode < 0 else pythons.returncode)


def test_module_and_code(tmp_path: Path) -> None:
    (tmp_path / "tool.py").write_text("import sys, torch\nprint(sys.argv[1:], __name__, torch.ones(1).item())\n")
    assert run([*FASTNN, "-m", "tool", "a", "-b"], tmp_path).stdout == "['a', '-b'] __main__ 1.0\n"
    assert run([*FASTNN, "-c", "import sys; print(sys.argv)", "x"], tmp_path).stdout == "['-c', 'x']\n"
    missing = run([*FASTNN, "-m", "no_such_tool"], tmp_path)
    assert missing.returncode == 1 and missing.stderr == "fastnn run: No module named no_such_tool\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nosuch.py"], "fastnn run: can't open file 'nosuch.py': [Errno 2] No such file or directory\n"),
        (["--fast", "x.py"], "fastnn run: error: unknown option --fast; options of the script come after its name\n"),
        (["-m"], "fastnn run: error: -m needs an argument\n"),
    ],
)
def test_what_cannot_be_run(args: list[str], message: str, tmp_path: Path) -> None:
    done = run([*FASTNN, *args], tmp_path)
    assert (done.returncode, done.stderr, done.stdout) == (2, message, "")


def test_version_info_and_no_command(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "fastnn"]
    assert re.fullmatch(r"fastnn 2\.13\.0\+fastnn\.\S+\n", run([*program, "--version"], tmp_path).stdout)
    info = run([*program, "info"], tmp_path).stdout
    assert all(word in info for word in ("version", "isa", "blas", "threads", "compiler"))
    nothing = run(program, tmp_path)
    assert nothing.returncode == 2 and nothing.stderr.count("\n") == 1
