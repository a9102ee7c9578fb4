"""The end of a process: work in flight, handlers that call ops, tensors that outlive the interpreter's good order, sub-interpreters.

Invariant: every scenario ends with the status it asked for and nothing on standard error.
Does not: cover signals (test_process_signals.py). Read next: process_work.py.
"""

from __future__ import annotations

import pytest
from process_work import DEADLINE
from support import run_python
from test_process_fork import PRELUDE

IN_FLIGHT = {
    "product by BLAS": "a = fastnn.rand(900, 900)\nwork = lambda: a @ a",
    "own product": "a = fastnn.rand(20000, 27)\nwork = lambda: a @ a[:27]",
    "exp": "a = fastnn.rand(1000000)\nwork = lambda: a.exp()",
    "random numbers": "work = lambda: fastnn.randn(300000)",
    "training": "work = lambda: train(1, 1)",
    "shared graph": "a = fastnn.rand(400, 400, requires_grad=True)\nloss = (a @ a).exp().sum()\nwork = lambda: loss.backward(retain_graph=True)",
}


def ends(code: str, status: int = 0, **env: str) -> str:
    """Runs the scenario to its end: the status, nothing on standard error; gives standard output."""
    done = run_python(PRELUDE + code, env=env, timeout=DEADLINE + 60, check=False)
    assert (done.returncode, done.stderr) == (status, ""), f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("name", list(IN_FLIGHT))
def test_exit_while_a_daemon_thread_is_in_an_op(name: str) -> None:
    """Three daemon threads; the main one leaves at once, also from within a region of its own."""
    for main in ("", "fastnn.set_num_threads(5)\nwork()\nsys.exit(0)\n"):
        ends(f"{IN_FLIGHT[name]}\nfor _ in range(3):\n    Busy(work).thread.start()\n{main}")


def test_exit_waits_for_threads_that_are_no_daemons() -> None:
    out = ends(
        """
want = train(1)
threading.Thread(target=lambda: print(train(1) == want)).start()
"""
    )
    assert out == "True\n"


@pytest.mark.parametrize("beside", [False, True])
def test_handlers_at_exit_call_ops(beside: bool) -> None:
    """atexit, finalizers and __del__ train a step; also beside a daemon thread, whose frame then keeps the globals from being deleted."""
    out = ends(
        f"""
import atexit, weakref
want = train(2, 1)
def report(who):
    print(who, train(2, 1) == want)
class Last:
    def __del__(self):
        report("__del__")
keep = fastnn.ones(3)
keep.last = Last()
weakref.finalize(keep, report, "finalize")
atexit.register(report, "atexit")
if {beside}:
    Busy(lambda: fastnn.rand(900, 900) @ fastnn.rand(900, 900)).thread.start()
"""
    )
    assert out.split("\n")[: 2 if beside else 4] == ["atexit True", "finalize True", "__del__ True", ""][: 2 if beside else 4]


def test_tensors_alive_at_shutdown() -> None:
    """In module globals, in cycles through attributes, hooks, closures and autograd.Function, as views of NumPy memory and DLPack."""
    ends(
        """
import builtins, numpy as np
x = fastnn.rand(300, 300, requires_grad=True)
y = (x @ x).exp()
y.register_hook(lambda g: y)
x.me = x
x.register_hook(lambda g: x.me)
x.register_post_accumulate_grad_hook(lambda p: x)
class Double(fastnn.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.me = ctx
        ctx.save_for_backward(a)
        return a * 2
    @staticmethod
    def backward(ctx, g):
        return g * 2
z = Double.apply(x)
z.sum().backward(retain_graph=True)
z.grad_fn_of_mine = z.grad_fn
x.grad.owner = x
shared = fastnn.from_numpy(np.ones(5))
array = fastnn.ones(5).numpy()
there = np.from_dlpack(fastnn.ones(7))
back = fastnn.from_dlpack(np.ones(7))
class T(fastnn.Tensor):
    pass
t = fastnn.ones(2).as_subclass(T)
t.module = fastnn.nn.Linear(3, 3)
t.module.parent = t.module
builtins.survivor = [x, y, z, t, iter(x), Model(1), fastnn.Generator(), fastnn.float32, fastnn.device("cpu"), x.shape, y.grad_fn]
sys.survivor = builtins.survivor
fastnn.survivor = builtins.survivor
fastnn._C.survivor = builtins.survivor
"""
    )


@pytest.mark.parametrize("place", ["hook", "Function", "dataset", "thread"])
def test_sys_exit_inside_the_library(place: str) -> None:
    """SystemExit passes through the walk and the loader like any exception; the status is the one asked for."""
    code = {
        "hook": "p = fastnn.ones(3, requires_grad=True)\np.register_hook(lambda g: sys.exit(7))\np.sum().backward()",
        "Function": """
class Leave(fastnn.autograd.Function):
    forward = staticmethod(lambda ctx, a: a * 1)
    backward = staticmethod(lambda ctx, g: sys.exit(7))
Leave.apply(fastnn.ones(3, requires_grad=True)).sum().backward()""",
        "dataset": """
class Leaving(fastnn.utils.data.Dataset):
    __len__ = lambda self: 9
    __getitem__ = lambda self, i: sys.exit(7) if i == 5 else i
list(fastnn.utils.data.DataLoader(Leaving(), 2, num_workers=2))""",
        "thread": """
def leave():
    p = fastnn.ones(300, 300, requires_grad=True)
    p.register_hook(lambda g: sys.exit(3))
    (p @ p).sum().backward()
in_thread = threading.Thread(target=leave)
in_thread.start()
in_thread.join()
expect(train(1, 1), train(1, 1), "training after a thread left")
sys.exit(7)""",
    }[place]
    ends(code, status=7)


def test_sub_interpreters_are_refused_in_one_sentence() -> None:
    """Importing in a second interpreter is an ImportError there and harms nothing here, before or after the import here."""
    ends(
        """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
code = '''
import sys
sys.path[:] = {path!r}
try:
    import fastnn._C
    text = "imported"
except ImportError as error:
    text = str(error)
assert "fastnn" in text and "interpreter" in text, text
'''.format(path=sys.path)
want = train(1, 1)
for _ in range(2):
    one = interpreters.create()
    failure = interpreters.run_string(one, code)
    expect(failure, None, "failure in the second interpreter")
    interpreters.destroy(one)
expect(train(1, 1), want, "training afterwards")
"""
    )


def test_the_extension_loads_twice_in_one_process_as_the_same_module() -> None:
    ends(
        """
import importlib
first, want = fastnn._C, train(1, 1)
importlib.reload(fastnn._C)
del sys.modules["fastnn._C"]
import fastnn._C as second
expect(second.Tensor is first.Tensor, True, "one Tensor class")
expect(train(1, 1), want, "training afterwards")
"""
    )


def test_little_address_space() -> None:
    """Under a limit a large request is a MemoryError and the next step works; a limit too small for the import ends in an exception."""
    code = """
import resource
want = train(1)
with open("/proc/self/statm") as f:
    now = int(f.read().split()[0]) * resource.getpagesize()
for room in (24, 8, 0):
    resource.setrlimit(resource.RLIMIT_AS, (now + (room << 20), -1))
    try:
        fastnn.ones(1 << 30)
        expect("made", "refused", "8 GB")
    except MemoryError:
        pass
    kept = []
    try:
        while True:
            kept.append(fastnn.rand(300000))
    except MemoryError:
        kept.clear()
    expect(train(1), want, f"training with {room} MB of room")
fastnn.set_num_threads(64)
expect(train(1), want, "training where no more threads can be started")
"""
    ends(code)
    for megabytes in (40, 120, 200, 280):
        limited = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({megabytes} << 20, -1))\nimport fastnn\nprint(fastnn.ones(3).sum())"
        done = run_python(limited, check=False, timeout=DEADLINE)
        assert done.returncode in (0, 1), f"{megabytes} MB: status {done.returncode}\n{done.stderr}"
