"""`torch` by another name: one module object under both names, children included, and no mixing with real PyTorch.

Invariant: each case is a fresh interpreter. Does not: run scripts (tests of the command line do). Read next:
../support.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support import run_python

START = "from fastnn._alias import install_as_torch\ninstall_as_torch()\n"


def out(code: str, **options: object) -> list[str]:
    return run_python(START + code, **options).stdout.split()  # type: ignore[arg-type]


def test_same_objects() -> None:
    code = """
import sys
import torch, fastnn
import torch.nn as nn
import torch.nn.functional as F
from torch.nn import functional as F2
import torch.utils.data.dataloader
from torch.utils.data import Dataset, DataLoader
from torch.optim.lr_scheduler import LambdaLR
import torch.backends.cuda, torch.cuda.amp
assert torch is fastnn and nn is fastnn.nn and F is F2 is fastnn.nn.functional
import fastnn.utils.data.sampler, torch.utils.data.sampler, fastnn.distributions, torch.distributions
for name, module in list(sys.modules.items()):
    if name.startswith("torch."):
        assert sys.modules["fastnn" + name[5:]] is module, name
        assert module.__name__ == "fastnn" + name[5:], name
        assert module.__spec__.name == module.__name__, name
assert torch.__spec__.name == "fastnn"
install_as_torch()
print(torch.__version__)
"""
    assert out(code)[0].startswith("2.13.0+fastnn.")


def test_lazy_module_first_under_torch_name() -> None:
    code = """
import torch.distributions.categorical as c
import fastnn.distributions.categorical as d
assert c is d and c.__spec__.name == "fastnn.distributions.categorical"
import fastnn.profiler as p, torch.profiler as q
assert p is q
print("ok")
"""
    assert out(code) == ["ok"]


@pytest.mark.parametrize(
    "name",
    ["torch.jit", "torch.onnx", "torch.sparse.x", "torch.cli", "torch._alias", "torch.kernels", "torch.nn.nothing"],
)
def test_missing_modules(name: str) -> None:
    code = f"""
try:
    import {name}
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert out(code)[0] in (name, name.rpartition(".")[0])


def test_probes() -> None:
    code = """
import importlib.util
print(importlib.util.find_spec("torch") is not None, importlib.util.find_spec("torch.jit") is None)
import torch
print(hasattr(torch, "jit"), hasattr(torch, "onnx"), torch.cuda.is_available(), torch.distributed.is_available())
"""
    assert out(code) == ["True", "True", "False", "False", "False", "False"]


def test_refuses_after_real_torch() -> None:
    code = """
import torch
from fastnn._alias import install_as_torch
try:
    install_as_torch()
except RuntimeError as error:
    print("already imported" in str(error), torch.__version__.startswith("2.13.0+fastnn"))
"""
    assert run_python(code).stdout.split() == ["True", "False"]


def test_child_processes(tmp_path: Path) -> None:
    child = tmp_path / "child.py"
    child.write_text("import torch.nn as nn, torch, fastnn\nprint(torch is fastnn, nn is fastnn.nn)\n")
    code = f"""
import subprocess, sys
print(subprocess.run([sys.executable, {str(child)!r}], capture_output=True, text=True).stdout)
"""
    assert out(code) == ["True", "True"]


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_multiprocessing(method: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        START
        + f"""
import multiprocessing, torch
def work(t):
    import fastnn
    return torch is fastnn, float(t.sum())
if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        print(*pool.apply(work, (torch.ones(3),)))
"""
    )
    assert run_python(args=[str(script)]).stdout.split() == ["True", "3.0"]


def test_class_names_stay(tmp_path: Path) -> None:
    code = "import torch\nprint(torch.nn.Linear.__module__, torch.optim.AdamW.__module__)\n"
    assert all(name.startswith("fastnn.") for name in out(code))


def test_path_is_inherited_once() -> None:
    code = "import os, fastnn._alias as a\nprint(os.environ['PYTHONPATH'].split(os.pathsep).count(a.stub_folder()))\n"
    assert out(code) == ["1"]
    assert sys.executable
