"""New processes: fork before, after and during the use of the thread pool, multiprocessing's three start methods.

Invariant: parent and children go on training, and each result has the bits that a process of its own computes. Every scenario is a
process of its own with a deadline, so that a crash or a deadlock is one failed test.
Does not: cover threads within one process (test_process_threads.py) or the end of a process (test_process_exit.py).
Read next: process_work.py.
"""

from __future__ import annotations

import pytest
from process_work import DEADLINE
from support import run_python

PRELUDE = f"""
import faulthandler, os, sys, time
faulthandler.dump_traceback_later({DEADLINE}, exit=True)
from process_work import *
"""


def scenario(code: str, **env: str) -> str:
    return run_python(PRELUDE + code, env=env, timeout=DEADLINE + 60).stdout


@pytest.mark.parametrize("threads", ["1", "3"])
def test_fork_before_and_after_the_first_use(threads: str) -> None:
    """A child forked before the pool exists, one after, a grandchild, and the parent between them."""
    scenario(
        """
early = in_fork(lambda: train(1))
want = train(1)
expect(early(), want, "forked before first use")
children = [in_fork(lambda: train(1)) for _ in range(3)]
expect(train(1), want, "parent beside its children")
for child in children:
    expect(child(), want, "forked after first use")
expect(in_fork(lambda: train(1) + in_fork(lambda: train(1))())(), want + want, "child and grandchild")
expect(train(1), want, "parent afterwards")
""",
        FASTNN_NUM_THREADS=threads,
    )


def test_a_child_trains_on_where_its_parent_stands() -> None:
    """Parameters, optimizer state, gradients, an unfinished graph and the random streams are the child's own copies."""
    scenario(
        """
def finish(model, loss):
    loss.backward()
    model.opt.step()
    model.step()
    return model.digest() + digest([fastnn.rand(5), fastnn.randn(5000)])

def prepared():
    fastnn.manual_seed(5)
    model = Model(2)
    model.step()
    model.opt.zero_grad()
    return model, model.loss()

want = finish(*prepared())
model, loss = prepared()
child = in_fork(lambda: finish(model, loss))
expect(finish(model, loss), want, "parent")
expect(child(), want, "child")
"""
    )


def test_fork_after_the_first_large_product() -> None:
    """By then the library for such products is open; parent and child go on with it."""
    scenario(
        """
a = (fastnn.arange(2048.0 * 2048, dtype=fastnn.float64) % 7).view(2048, 2048)
want = digest([a @ a])
child = in_fork(lambda: digest([a @ a]))
expect(digest([a @ a]), want, "parent")
expect(child(), want, "child")
"""
    )


def test_fork_while_another_thread_is_inside_an_op() -> None:
    """The other thread holds the pool, the generator's lock or the memory pool's at the moment of the fork."""
    scenario(
        """
want = train(3, 1)
a, own = fastnn.rand(300, 300), fastnn.Generator()
works = {
    "large product": lambda: fastnn.rand(700, 700) @ a.new_ones(700, 700),
    "own product": lambda: a @ a,
    "random numbers": lambda: fastnn.rand(50000),
    "a generator of its own": lambda: fastnn.rand(50000, generator=own),
    "dropout": lambda: F.dropout(a, 0.5),
    "memory": lambda: [fastnn.empty(n) for n in range(20000, 40000, 100)],
    "step": Model(4).step,
}
for name, work in works.items():
    with Busy(work) as busy:
        children = []
        while len(children) < 4 or busy.rounds < 4:
            if len(children) == 12:  # more would only hold up the rounds, on a slow machine for ever
                time.sleep(0.01)
                continue
            children.append(in_fork(lambda: train(3, 1) + digest([fastnn.rand(3) * 0, fastnn.rand(3, generator=own) * 0])))
        zeros = digest([fastnn.zeros(6)])
        for child in children:
            expect(child(), want + zeros, name)
    expect(train(3, 1), want, "parent after " + name)
"""
    )


def test_fork_from_another_thread_and_in_the_middle_of_backward() -> None:
    """A hook forks: both processes finish the walk with the same gradients."""
    scenario(
        """
plain = Model(6)
plain.backward()
want = plain.digest()

pids, model, readable, writable = [], Model(6), *os.pipe()
loss = model.loss()
model.p["up"].register_hook(lambda g: pids.append(os.fork()))
loss.backward()
if pids == [0]:
    os.write(writable, model.digest().encode())
    os._exit(0)
os.close(writable)
expect(model.digest(), want, "parent")
expect(os.fdopen(readable).read(), want, "child")
expect(os.waitpid(pids[0], 0)[1], 0, "status of the child")
expect(in_threads([lambda: in_fork(lambda: train(7))()] * 3), [train(7)] * 3, "forked from threads")
"""
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, tmp_path) -> None:
    """Workers of a pool train and take and give tensors; a worker that dies does not harm its parent."""
    main = tmp_path / "main.py"
    main.write_text(
        PRELUDE
        + f"""
import multiprocessing as mp
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

def product(pair):
    a, b = pair
    return a @ b

if __name__ == "__main__":
    want, context = [train(s, 2) for s in range(3)], mp.get_context({method!r})
    pairs = [(fastnn.rand(200, 100 + i), fastnn.rand(100 + i, 30)) for i in range(3)]
    with context.Pool(2) as pool:
        expect(pool.starmap(train, [(s, 2) for s in range(3)]), want, "digests")
        expect(digest(pool.map(product, pairs)), digest(map(product, pairs)), "products")
    queue = context.Queue()
    worker = context.Process(target=queue.put, args=(pairs[0][0],))
    worker.start()
    expect(digest([queue.get()]), digest([pairs[0][0]]), "tensor through a queue")
    worker.join()
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            pool.submit(os._exit, 3).result()
        except BrokenProcessPool:
            pass
    expect(train(0, 2), want[0], "parent at the end")
"""
    )
    run_python(args=[str(main)], timeout=DEADLINE + 60)
