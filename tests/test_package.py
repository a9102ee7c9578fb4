"""The package as a process sees it: what import loads, memory in the steady state, fork, spawn, threads, children, signals.

Invariant: each check is a fresh interpreter without torch; counts, never times. Read next: csrc/core/pool.h.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, SANITIZED, run_python

import fastnn

HEAVY = ("torch", "scipy_openblas32", "safetensors", "tqdm", "tensorboardX", "matplotlib", "multiprocessing", "asyncio", "unittest", "email", "http", "urllib.request", "xml", "sqlite3", "tempfile", "concurrent.futures", "logging", "ctypes.util", "distutils", "setuptools", "numpy.testing", "numpy.f2py", "IPython", "pandas")  # fmt: skip


def test_import_loads_little_beside_numpy() -> None:
    code = "import sys, numpy; before = set(sys.modules); import fastnn; print(*sorted(set(sys.modules) - before))"
    loaded = run_python(code).stdout.split()
    assert not [m for m in HEAVY if m in loaded], loaded
    foreign = [m for m in loaded if not m.startswith("fastnn")]
    assert len(foreign) <= 20, f"{len(foreign)} modules besides fastnn's own: {foreign}"


def test_import_maps_no_blas_and_starts_no_thread() -> None:
    code = """
import numpy, os
before = len(os.listdir("/proc/self/task"))
import fastnn as t
assert "scipy_openblas32" not in open("/proc/self/maps").read()  # NumPy has one of its own
assert len(os.listdir("/proc/self/task")) == before
t.ones(4, 4) @ t.ones(4, 4)
assert "scipy_openblas32" not in open("/proc/self/maps").read(), "a small product loads OpenBLAS"
print("ok")
"""
    assert run_python(code).stdout.strip() == "ok"


def test_import_is_quiet_and_memory_small() -> None:
    # Not getrusage: its maximum outlives exec, so it would be the size of the process that runs the tests.
    code = "import fastnn; print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    done = run_python(code)
    assert done.stderr == ""
    assert SANITIZED or int(done.stdout) < 60_000, f"{done.stdout.strip()} KB after import"  # the benchmark holds the stricter bound


STEADY = """
import resource, sys
import fastnn as t
from support import SANITIZED
F, nn = t.nn.functional, t.nn
t.manual_seed(1)

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb, self.pos = nn.Embedding(27, 32), nn.Embedding(16, 32)
        self.ln, self.qkv, self.proj = nn.LayerNorm(32), nn.Linear(32, 96), nn.Linear(32, 32)
        self.up, self.down, self.head = nn.Linear(32, 128), nn.Linear(128, 32), nn.Linear(32, 27)
    def forward(self, x):
        B, T = x.shape
        h = self.emb(x) + self.pos(t.arange(T))
        q, k, v = (p.view(B, T, 4, 8).transpose(1, 2) for p in self.qkv(self.ln(h)).split(32, dim=2))
        a = F.softmax((q @ k.transpose(-2, -1) * 0.35).masked_fill(t.tril(t.ones(T, T)) == 0, float("-inf")), dim=-1)
        h = h + self.proj((a @ v).transpose(1, 2).contiguous().view(B, T, 32))
        return self.head(h + self.down(F.gelu(self.up(h))))

model = Model()
opt = t.optim.AdamW(model.parameters(), lr=1e-3)

def step():
    x, y = t.randint(0, 27, (32, 16)), t.randint(0, 27, (32, 16))
    loss = F.cross_entropy(model(x).view(-1, 27), y.view(-1))
    opt.zero_grad(set_to_none=True)
    loss.backward()
    opt.step()

for _ in range(20):
    step()
before = t._C._pool_stats()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(30 if SANITIZED else 200):
    step()
after = t._C._pool_stats()
grown = {k: (before[k], after[k]) for k in ("bytes_in_use", "bytes_reserved", "system_allocs") if after[k] != before[k]}
assert not grown, grown
more = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
assert SANITIZED or more < 200, f"{more} page faults"  # a sanitizer keeps what was freed
print("steady")
"""


def test_pool_is_steady_over_training_steps() -> None:
    assert run_python(STEADY).stdout.strip() == "steady"


FORK = """
import os, sys
import fastnn as t

def work():
    t.manual_seed(3)
    a = t.randn(300, 300)
    p = t.ones(300, 300, requires_grad=True)
    ((a @ p).tanh().sum()).backward()
    return float(p.grad.sum())

want = {before}
pids = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        ok = abs(work() - (want if want is not None else work())) == 0
        os._exit(0 if ok else 1)
    pids.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in pids]
assert codes == [0, 0, 0], codes
assert want is None or work() == want
print("ok")
"""


@pytest.mark.parametrize("used", [False, True])
def test_fork_before_and_after_first_use(used: bool) -> None:
    assert run_python(FORK.replace("{before}", "work()" if used else "None"), timeout=60).stdout.strip() == "ok"


def test_spawn_and_forkserver(tmp_path: Path) -> None:
    script = tmp_path / "spawned.py"
    script.write_text(
        """
import multiprocessing as mp
import fastnn as t

def work(x):
    return (x @ x.t()).sum().item(), x * 2

if __name__ == "__main__":
    x = t.arange(12.0).view(3, 4)
    for method in ("spawn", "forkserver", "fork"):
        with mp.get_context(method).Pool(2) as pool:
            for total, twice in pool.map(work, [x, x]):
                assert total == (x @ x.t()).sum().item()
                assert twice.tolist() == (x * 2).tolist()
    print("ok")
"""
    )
    assert run_python(args=[str(script)], timeout=120).stdout.strip() == "ok"


def test_children_of_a_script_get_fastnn_too(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        """
import multiprocessing as mp, subprocess, sys
import torch
import torch.nn.functional as F

def name(_):
    import torch
    return torch.__version__

if __name__ == "__main__":
    assert "fastnn" in torch.__version__, torch.__version__
    assert torch.nn.functional is F
    with mp.get_context("spawn").Pool(1) as pool:
        assert pool.map(name, [0]) == [torch.__version__]
    out = subprocess.run([sys.executable, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True).stdout.strip()
    assert out == torch.__version__, out
    print("ok")
"""
    )
    assert run_python(args=["-m", "fastnn", "run", str(script)], timeout=120).stdout.strip() == "ok"


def test_torch_already_loaded_is_refused() -> None:
    done = run_python("import torch, fastnn; fastnn.install_as_torch()", check=False)
    assert done.returncode != 0
    assert "torch" in done.stderr


def test_threads_at_once_and_exit_with_work_in_flight() -> None:
    code = """
import threading
import fastnn as t
xs = [t.randn(200, 200) for _ in range(6)]
want = [(x @ x).sum().item() for x in xs]
bad = []
def work(i):
    for _ in range(30):
        if (xs[i] @ xs[i]).sum().item() != want[i]:
            bad.append(i)
threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
[x.start() for x in threads]
[x.join() for x in threads]
assert not bad, bad
def endless():
    while True:
        xs[0] @ xs[1]
threading.Thread(target=endless, daemon=True).start()
print("ok", flush=True)
"""
    done = run_python(code, timeout=60)
    assert done.stdout.strip() == "ok"
    assert "Fatal" not in done.stderr


def test_ctrl_c_ends_a_loop_with_keyboard_interrupt() -> None:
    code = "import fastnn as t\nx = t.randn(400, 400)\nprint('go', flush=True)\nwhile True:\n    x = (x @ x).tanh()"
    p = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    assert p.stdout is not None
    assert p.stdout.readline().strip() == "go"
    p.send_signal(signal.SIGINT)
    try:
        _, err = p.communicate(timeout=30)
    finally:
        p.kill()
    assert "KeyboardInterrupt" in err


def test_denormals_are_kept_unless_flushed() -> None:
    code = """
import fastnn as t
tiny = t.tensor([1e-39]) * 0.5
assert tiny.item() != 0
assert t.set_flush_denormal(True)
assert (t.tensor([1e-39]) * 0.5).item() == 0
big = t.full((300000,), 1e-39) * 0.5
assert big.sum().item() == 0 and (big == 0).all().item()
t.set_flush_denormal(False)
assert (t.tensor([1e-39]) * 0.5).item() != 0
print("ok")
"""
    assert run_python(code).stdout.strip() == "ok"


def test_blas_can_be_chosen_or_left_out() -> None:
    n = 64 if SANITIZED else 2048  # (from 2048 on it multiplies float64)
    code = f"import fastnn as t; a = t.arange({n}.0 * {n}, dtype=t.float64).view({n}, {n}) % 7; print((a @ a.t()).sum().item(), t._C._build_info()['blas'])"
    total, chosen = run_python(code).stdout.split(" ", 1)
    assert "1 thread" in chosen and "openblas" in chosen.lower()
    says = {
        "none": "none: FASTNN_BLAS=none",
        "x" * 5000: "none: FASTNN_BLAS is too long a path",
        "/nonexistent/lib.so": "none: cannot open /nonexistent/lib.so",
        fastnn._C.__file__: f"none: {fastnn._C.__file__} refused: it has no cblas_sgemm",
    }
    for wish, words in says.items():
        again, text = run_python(code, env={"FASTNN_BLAS": wish}).stdout.split(" ", 1)
        assert (again, text[: len(words)]) == (total, words)


def test_version_names_both() -> None:
    assert re.fullmatch(r"2\.13\.0\+fastnn\.\d+\.\d+\.\d+", fastnn.__version__)
    out = run_python(args=["-m", "fastnn", "info"]).stdout
    assert fastnn.__version__.partition("fastnn.")[2] in out


def test_wheel_holds_what_it_needs() -> None:
    package = ROOT / "python" / "fastnn"
    assert (package / "py.typed").exists()
    assert (package / "_C.pyi").exists()
    names = (package / "data" / "names.txt").read_text().split()
    assert len(names) >= 2000
    assert len(set(names)) == len(names)
    size = sum(p.stat().st_size for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    assert size < 30_000_000  # unpacked; the wheel is a compressed part of it
