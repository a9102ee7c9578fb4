"""`torch` by another name: makes `import torch` and `import torch.x.y` give fastnn's modules.

Invariant: torch.x.y and fastnn.x.y are one module object, executed once, whose __name__ and __spec__ stay fastnn's.
What fastnn does not have is a ModuleNotFoundError with the torch path. Real torch is never mixed in: if it is loaded
already, installing is refused.
Does not: rename anything inside fastnn, or reach packages built on torch. Read next: _stub/torch/__init__.py,
_script.py.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Modules of fastnn that torch has no counterpart of: they must not appear under its name.
_OWN = frozenset(
    {"__main__", "_alias", "_pickling", "_script", "_stub", "_unpickling", "cli", "data", "kernels", "train"}
)


class _Shared(Loader):
    """Loader of torch.x.y: hands out the module fastnn.x.y instead of making one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The fastnn module; the import system will put the wrong spec on it."""
        module = importlib.import_module(self.name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run; only the spec is put right again."""
        module.__spec__ = self.spec


class TorchFinder(MetaPathFinder):
    """Finder of `torch.*`, to stand first on sys.meta_path."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Spec of a torch module that fastnn has; None for other packages and for what fastnn has not."""
        if fullname != "torch" and not fullname.startswith("torch."):
            return None
        if fullname.split(".")[1:2] and fullname.split(".")[1] in _OWN:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        name = "fastnn" + fullname[len("torch") :]
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            return None
        return ModuleSpec(fullname, _Shared(name))


def stub_folder() -> str:
    """The folder whose `torch` package brings the alias to child processes."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "_stub")


def install_as_torch() -> None:
    """From now on `import torch` gives fastnn, in this process and in Python processes it starts.

    May be called again. Errors: RuntimeError if real torch has been imported already.
    """
    import fastnn

    loaded = sys.modules.get("torch")
    if loaded is fastnn:
        return
    if loaded is not None:
        where = getattr(loaded, "__file__", None) or "?"
        raise RuntimeError(
            f"fastnn.install_as_torch: PyTorch is already imported (from {where}); install before the first `import "
            "torch`"
        )
    sys.meta_path.insert(0, TorchFinder())
    for name, module in list(sys.modules.items()):
        if name == "fastnn" or (name.startswith("fastnn.") and name.split(".")[1] not in _OWN):
            sys.modules["torch" + name[len("fastnn") :]] = module
    paths = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    if stub_folder() not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([stub_folder(), *paths])
    if stub_folder() not in sys.path:
        sys.path.insert(1, stub_folder())  # processes started by "spawn" take this process's path
