"""What the child processes of test_process_*.py do: train small models, hash the result, report.

Invariant: `train(seed)` depends on its seed alone (each model draws from its own generator), so its digest is the same in any process,
thread, start method and thread count. Imports neither pytest nor torch: a child starts in a fraction of a second.
Does not: hold assertions. Read next: test_process_fork.py.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from support import SANITIZED

import fastnn
import fastnn.nn.functional as F

Hash = str
BATCH = 8 if SANITIZED else 32  # of a step
DEADLINE = 500 if SANITIZED else 100  # seconds until a child that hangs is ended with a trace of all its threads


def digest(tensors: Iterable[Any]) -> Hash:
    """Of the bits of tensors (None counts too), in order."""
    h = hashlib.sha256()
    for t in tensors:
        h.update(b"none" if t is None else np.ascontiguousarray(t.detach().numpy()).tobytes())
    return h.hexdigest()[:16]


class Model:
    """Embedding, GRU, attention, layer norm, a wide product: every way an op uses threads, the GIL and the pool."""

    def __init__(self, seed: int) -> None:
        self.draws = fastnn.Generator().manual_seed(seed)
        widths = {"emb": (27, 64), "wi": (192, 64), "wh": (192, 64), "bi": (192,), "bh": (192,), "qkv": (192, 64), "up": (512, 64), "head": (27, 512)}
        self.p = {k: (fastnn.randn(s, generator=self.draws) * 0.1).requires_grad_(True) for k, s in widths.items()}
        self.opt = fastnn.optim.AdamW(list(self.p.values()), lr=1e-2)

    def loss(self) -> fastnn.Tensor:
        p = self.p
        x, y = (fastnn.randint(0, 27, (BATCH, 16), generator=self.draws) for _ in range(2))
        h = F.embedding(x, p["emb"])
        h, _ = fastnn.gru(h, fastnn.zeros(1, BATCH, 64), [p["wi"], p["wh"], p["bi"], p["bh"]], True, 1, 0.0, True, False, True)
        q, k, v = (t.view(BATCH, 16, 4, 16).transpose(1, 2) for t in F.linear(h, p["qkv"]).split(64, dim=2))
        h = h + F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(BATCH, 16, 64)
        logits = F.linear(F.gelu(F.linear(F.layer_norm(h, (64,)), p["up"])), p["head"])
        return F.cross_entropy(logits.view(-1, 27), y.view(-1))

    def backward(self) -> None:
        self.opt.zero_grad()
        self.loss().backward()

    def step(self) -> None:
        self.backward()
        self.opt.step()

    def digest(self) -> Hash:
        return digest([*self.p.values(), *(t.grad for t in self.p.values())])


def train(seed: int, steps: int = 3) -> Hash:
    model = Model(seed)
    for _ in range(steps):
        model.step()
    return model.digest()


def in_fork(work: Callable[[], str]) -> Callable[[], str]:
    """Forks; the child runs `work` and ends. Gives a function that waits for the child's answer."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.write(writable, work().encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writable)

    def answer() -> str:
        with os.fdopen(readable) as pipe:
            text = pipe.read()
        status = os.waitpid(pid, 0)[1]
        assert status == 0, f"the child ended with status {status}"
        return text

    return answer


def in_threads(works: Iterable[Callable[[], Any]]) -> list[Any]:
    """Runs all at once, each in a thread of its own; their results, or the first failure."""
    jobs = list(works)
    results: list[Any] = [None] * len(jobs)
    failures: list[BaseException] = []
    start = threading.Barrier(len(jobs))

    def run(i: int) -> None:
        try:
            start.wait()
            results[i] = jobs[i]()
        except BaseException as error:  # noqa: BLE001  (raised again by the caller's thread)
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(jobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]
    return results


class Busy:
    """Another thread that calls `work` again and again within the `with` block; `rounds` counts."""

    def __init__(self, work: Callable[[], Any], daemon: bool = True) -> None:
        self.work, self.rounds, self.stopping = work, 0, False
        self.thread = threading.Thread(target=self._run, daemon=daemon)

    def _run(self) -> None:
        while not self.stopping:
            self.work()
            self.rounds += 1

    def __enter__(self) -> Busy:
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping = True
        self.thread.join()


def expect(found: object, wanted: object, what: str) -> None:
    """assert that works under python -O, too."""
    if found != wanted:
        print(f"{what}: found {found}, expected {wanted}", file=sys.stderr)
        os._exit(9)


def interrupt_after(seconds: float, number: int = signal.SIGINT) -> None:
    """The signal arrives at this process, as Ctrl-C does, after a while."""

    def send() -> None:
        os.kill(os.getpid(), number)

    timer = threading.Timer(seconds, send)
    timer.daemon = True
    timer.start()
