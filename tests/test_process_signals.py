"""Signals: Ctrl-C, SIGALRM and SIGTERM during ops, backward, a loader's loop, `fastnn train` and its save.

Invariant: KeyboardInterrupt comes out of the call that was running, nothing is half done that a caller could see whole, and the next
step has the bits of an undisturbed one. Where the moment matters the signal is raised by the scenario itself, not by a clock.
Does not: cover kills during a save (tests/cli/test_cli_train.py). Read next: process_work.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from process_work import DEADLINE
from support import SANITIZED, TESTS
from test_process_exit import ends


@pytest.mark.parametrize("work", ["a @ a", "a.exp()", "model.step()", "fastnn.randn(2000000)"])
def test_ctrl_c_during_long_ops(work: str) -> None:
    """Sent by another thread at any moment of a loop over long ops; the loop ends there, and everything works on."""
    ends(
        f"""
want, a, model = train(1), fastnn.rand(1200, 1200), Model(5)
before = digest([a])
for delay in (0.01, 0.05):
    rounds = 0
    try:
        interrupt_after(delay)  # (on a busy machine it may come before this returns)
        while True:
            {work}
            rounds += 1
    except KeyboardInterrupt:
        pass
    expect(digest([a]), before, "operand")
    expect(train(1), want, "training afterwards")
"""
    )


def test_ctrl_c_comes_out_of_the_op_that_was_running() -> None:
    """Raised while the op computes, not after the ones that follow: each op is one bytecode, and the interrupt stands behind it."""
    ends(
        """
done = []
a = fastnn.rand(2000, 2000)
try:
    interrupt_after(0.02)
    for _ in range(1000):
        a @ a
        done.append("op")
        done.append("after")
except KeyboardInterrupt:
    done.append("interrupt")
expect(done[-1], "interrupt", "the last event")
expect(len(done) < 1000, True, "most of the loop was left out")
"""
    )


@pytest.mark.parametrize("place", ["hook", "post hook", "Function", "leaf hook"])
def test_ctrl_c_during_backward(place: str) -> None:
    """The walk is left in the middle: the graph is whole, gradients are those that had arrived, the next step is an undisturbed one."""
    ends(
        f"""
place = {place!r}
def stop(*unused):
    signal.raise_signal(signal.SIGINT)
class Stop(fastnn.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1
    @staticmethod
    def backward(ctx, g):
        stop()
        return g
calm = Model(8)
calm.step()
calm.step()
model = Model(8)
model.step()
p, state = model.p, model.draws.get_state()
loss = model.loss()
if place == "Function":
    loss = Stop.apply(loss)
elif place == "hook":
    loss.register_hook(stop)
handle = p["head"].register_hook(stop) if place == "leaf hook" else None
if place == "post hook":
    handle = p["head"].register_post_accumulate_grad_hook(stop)
model.opt.zero_grad()
try:
    loss.backward(retain_graph=True)
    expect("went on", "interrupted", place)
except KeyboardInterrupt:
    pass
if handle:
    handle.remove()
    model.opt.zero_grad()
    loss.backward()
model.draws.set_state(state)
model.step()
expect(model.digest(), calm.digest(), "the step after the interrupt")
"""
    )


def test_ctrl_c_during_a_loop_over_a_loader() -> None:
    ends(
        """
from fastnn.utils.data import DataLoader, Dataset
class Letters(Dataset):
    stop_at = -1
    def __len__(self):
        return 20
    def __getitem__(self, i):
        if i == self.stop_at:
            signal.raise_signal(signal.SIGINT)
        return fastnn.full((3,), i)
def run(loader):
    fastnn.manual_seed(3)
    return digest(loader)
for workers in (0, 2):
    data = Letters()
    loader = DataLoader(data, 4, shuffle=True, num_workers=workers)
    want = run(loader)
    for data.stop_at in (0, 7, 19):
        try:
            run(loader)
            expect("went on", "interrupted", "loop")
        except KeyboardInterrupt:
            pass
        data.stop_at = -1
        expect(run(loader), want, "the next loop")
"""
    )


def test_alarms_are_handled_while_ops_run() -> None:
    """Alarms 2 ms apart over loops of ops, with restarted system calls: their handler, itself calling ops, runs in between."""
    ends(
        """
want, model, rung = train(1), Model(3), []
a = fastnn.rand(500, 500)
def ring(number, frame):
    rung.append(float((fastnn.ones(300, 300) @ fastnn.ones(300, 300)).sum()))
    signal.setitimer(signal.ITIMER_REAL, 0.002)  # not before: on a slow machine nothing but the handler would run
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.002)
while len(rung) < 20:
    expect(train(1), want, "training between alarms")
    a @ a
    model.step()
signal.signal(signal.SIGALRM, signal.SIG_IGN)
expect(set(rung), {27e6}, "what the handler computed")
"""
    )


def start(code: str) -> subprocess.Popen[str]:
    """A process that prints "ready" when it is in the middle of its work."""
    full = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    child = subprocess.Popen([sys.executable, "-c", "from process_work import *\n" + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=full)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


SIZE = 800 if SANITIZED else 3000
WORKS = [f"fastnn.rand({SIZE}, {SIZE}) @ fastnn.rand({SIZE}, {SIZE})", "Model(1).step()", "(fastnn.rand(900, 900, requires_grad=True) ** 2).exp().sum().backward()"]


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_from_outside(number: signal.Signals, work: str) -> None:
    """SIGTERM ends the process where it stands (workers leave signals to the main thread), SIGINT with Python's own status."""
    child = start(f"print('ready', flush=True)\nwhile True:\n    {work}")
    time.sleep(0.05)
    child.send_signal(number)
    try:
        _, errors = child.communicate(timeout=DEADLINE)
    finally:
        child.kill()  # its loop has no end
    assert child.returncode == -number, errors
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)


def test_ctrl_c_at_any_moment_of_fastnn_train(tmp_path: Path) -> None:
    """Once at each of the system calls of a save and in the middle of a step: it saves, and --resume ends with the bits of a calm run."""
    ends(
        f"""
from pathlib import Path
import contextlib, io, shutil
import fastnn.train.checkpoint as checkpoint, fastnn.train.trainer as trainer
from fastnn.cli import main
def run(out, *options):
    with contextlib.redirect_stdout(io.StringIO()):
        return main(["train", "--out", str(out), "--type", "mlp", "--steps", "6", "--eval-every", "3", *options])
def bits(out):
    return digest(fastnn.from_numpy(v) for _, v in sorted(checkpoint.load(out).tensors.items()))
folder = Path({str(tmp_path)!r})
expect(run(folder / "calm"), 0, "calm run")
want = bits(folder / "calm")
real_fsync, real_replace, real_step = os.fsync, os.replace, trainer.Trainer._train_step
for moment in range(12):
    left = [moment]
    def due():
        left[0] -= 1
        if left[0] == -1:
            signal.raise_signal(signal.SIGINT)
    def before(real):
        return lambda *args: (due(), real(*args))[1]
    os.fsync, os.replace, trainer.Trainer._train_step = before(real_fsync), before(real_replace), before(real_step)
    out = folder / str(moment)
    status = run(out)
    os.fsync, os.replace, trainer.Trainer._train_step = real_fsync, real_replace, real_step
    expect(status in (0, 130), True, f"status {{status}} at moment {{moment}}")
    expect(signal.getsignal(signal.SIGINT), signal.default_int_handler, "handler")
    if status == 130:
        expect(run(out, "--resume"), 0, "resumed")
    expect(bits(out), want, f"bits after Ctrl-C at moment {{moment}}")
    shutil.rmtree(out)
"""
    )
