"""The house rules that a program can read: who includes whom, where Python.h stands, lists that must agree, words that must not appear.

Invariant: reads files only, builds nothing. Does not: judge style (ruff, mypy and the compilers' warnings do). Read next: README.md.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from op_table import ROWS
from support import ROOT
from test_proofs import op_names

import fastnn

CSRC = ROOT / "csrc"
# Folder -> folders it may include from; fastnn.h, the public header, and ops.def, the list of names, are open to all.
MAY_INCLUDE = {
    "simd": {"simd"},
    "kernels": {"kernels", "simd"},
    "isa": {"isa", "kernels", "simd"},
    "core": {"core", "kernels"},
    "ops": {"ops", "kernels", "core"},
    "graph": {"graph", "ops", "core"},
    "python": {"python", "graph", "ops", "core"},
}
SOURCES = sorted(p for p in CSRC.rglob("*") if p.suffix in (".c", ".h", ".inc", ".def"))
TEXTS = sorted(
    p
    for top in ("csrc", "python", "tests", "benchmarks", "docs", "examples", ".ci", "README.md", "DEVELOPERS.md", "setup.py", "pyproject.toml")
    for p in ([ROOT / top] if (ROOT / top).is_file() else (ROOT / top).rglob("*"))
    if p.suffix in (".c", ".h", ".inc", ".def", ".py", ".pyi", ".md", ".toml", "") and p.is_file() and "egg-info" not in str(p)
)


def includes(path: Path) -> list[tuple[str, str]]:
    """(form, name) of each include; form is '"' or '<'."""
    return re.findall(r'^\s*#\s*include\s*(["<])([^">]+)[">]', path.read_text(), flags=re.MULTILINE)


def home(path: Path, name: str) -> str:
    """The folder under csrc/ an include resolves to: the including file's own first, then csrc/."""
    for base in (path.parent, CSRC):
        target = (base / name).resolve()
        if target.exists():
            return str(target.relative_to(CSRC).parent)
    raise AssertionError(f"{path.relative_to(ROOT)} includes {name}, which is nowhere")


@pytest.mark.parametrize("folder", list(MAY_INCLUDE))
def test_dependency_rule(folder: str) -> None:
    for path in SOURCES:
        if path.parent.name != folder:
            continue
        for form, name in includes(path):
            if form == "<" or Path(name).name in ("fastnn.h", "ops.def", "dtype.h"):
                continue
            if re.match(r"(Python|numpy/)", name):
                continue  # next test
            assert home(path, name) in MAY_INCLUDE[folder], f"{path.relative_to(ROOT)} includes {name}"


def test_every_source_is_in_a_known_room() -> None:
    strangers = [str(p.relative_to(CSRC)) for p in SOURCES if p.parent != CSRC and p.parent.name not in MAY_INCLUDE]
    assert not strangers, strangers


def test_only_the_python_folder_knows_python() -> None:
    for path in SOURCES:
        if path.parent.name != "python":
            known = [name for _, name in includes(path) if re.match(r"(Python\.h|structmember\.h|numpy/)", name)]
            assert not known, f"{path.relative_to(ROOT)} includes {known}"
            assert not re.search(r"\bPy_?[A-Z]\w+\s*\(", path.read_text()), f"{path.relative_to(ROOT)} calls Python"


def test_library_prints_nothing_and_never_aborts() -> None:
    """No output to the terminal and no exit from C (pool_debug reports a broken canary before it stops, in debug builds only)."""
    for path in SOURCES:
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)
        if "debug" in path.name:
            continue
        found = re.search(r"\b(printf|puts|perror|abort|exit|assert)\s*\(", text)
        assert not found, f"{path.relative_to(ROOT)} calls {found[1] if found else ''}"


def test_kernels_do_not_allocate() -> None:
    for path in SOURCES:
        if path.parent.name in ("kernels", "simd", "isa"):
            text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)
            assert not re.search(r"\b(malloc|calloc|realloc|free|fnn_pool_alloc)\s*\(", text), path.name


def test_op_names_are_unique_and_described() -> None:
    names = op_names()
    assert len(names) == len(set(names))
    text = "\n".join(p.read_text() for p in (CSRC / "ops").glob("*.[ch]"))
    missing = [n for n in names if not re.search(rf"fnn_op_{n.upper()}\b|\b{n.upper()}\b|\b{n}\b", text)]
    assert not missing, f"ops without a descriptor in csrc/ops: {missing}"


def test_stubs_name_what_the_extension_has() -> None:
    path = ROOT / "python" / "fastnn" / "_C.pyi"
    stubs = set(re.findall(r"^(?:def|class)\s+(\w+)|^(\w+)\s*:", path.read_text(), flags=re.MULTILINE))
    stubbed = {a or b for a, b in stubs}
    there = {n for n in dir(fastnn._C) if not n.startswith("__")}
    assert not there - stubbed, f"missing in _C.pyi: {sorted(there - stubbed)}"
    assert not stubbed - there, f"in _C.pyi but not in _C: {sorted(stubbed - there)}"


def test_public_functions_have_signatures_and_docs() -> None:
    F, nn, optim = fastnn.nn.functional, fastnn.nn, fastnn.optim
    for f in (optim.SGD, optim.Adam, optim.AdamW, nn.Linear, nn.Embedding, nn.LayerNorm, nn.GRU, F.cross_entropy, F.layer_norm, F.scaled_dot_product_attention, nn.Module.load_state_dict, fastnn.utils.data.DataLoader):
        assert inspect.signature(f).parameters
    for f in (fastnn.add, fastnn.matmul, fastnn.zeros, fastnn.Tensor.sum, fastnn.multinomial, fastnn.manual_seed):
        inspect.signature(f)
    import fastnn.kernels as kernels

    for name in dir(kernels):
        if name.endswith(("_forward", "_backward")):
            f = getattr(kernels, name)
            assert inspect.signature(f).parameters, name
            assert f.__doc__ and len(f.__doc__) > 40, f"{name} has no docstring"


def test_every_source_opens_with_what_it_is() -> None:
    for path in SOURCES:
        assert path.read_text().lstrip().startswith("/*"), f"{path.relative_to(ROOT)} has no opening comment"
    for path in (ROOT / "python").rglob("*.py"):
        text = path.read_text().strip()
        assert not text or text.startswith(('"""', 'r"""', "#!")), f"{path.relative_to(ROOT)} has no docstring"


def test_no_file_is_longer_than_two_pages_of_thought(record_property: pytest.RecordProperty) -> None:
    lengths = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in TEXTS if p.suffix in (".c", ".h", ".py", ".inc")}
    record_property("over 400 lines", {n: k for n, k in lengths.items() if k > 400})
    assert not {n: k for n, k in lengths.items() if k > 800}


def test_no_forbidden_words() -> None:
    words = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK", "/wo" + "rk/", "/ro" + "ot/", "sub" + "agent"]
    pattern = re.compile("|".join(rf"(?<![\w]){re.escape(w)}" for w in words))
    found = [f"{p.relative_to(ROOT)}: {m[0]}" for p in TEXTS if not p.name.endswith(".txt") for m in [pattern.search(p.read_text(errors="replace"))] if m]
    assert not found, found


def test_no_test_is_switched_off() -> None:
    pattern = re.compile(r"pytest\.(mark\.)?(xfail|skipif|importorskip)")
    assert not [p.name for p in (ROOT / "tests").rglob("*.py") if p.name != Path(__file__).name and pattern.search(p.read_text())]
    allowed = re.compile(r"pytest\.(?:mark\.)?skip\((?!.*(?:FASTNN_DATA|/proc|linux|Linux|hardware|cores|compiler))")
    assert not [p.name for p in (ROOT / "tests").rglob("*.py") if p.name != Path(__file__).name and allowed.search(p.read_text())]


def test_the_table_is_what_ops_def_says() -> None:
    covered = set(ROWS) | {a for r in ROWS.values() for a in r.aliases}
    assert set(op_names()) <= covered
