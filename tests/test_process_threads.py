"""Several Python threads in the library at once: the same bits as alone, shared leaves, shared generators, and who holds the GIL.

Invariant: every scenario is a process of its own with a deadline. A claim about the GIL is made without a clock: with the switch interval
at 1000 s a second thread can only run while an op has let the GIL go.
Does not: cover processes (test_process_fork.py) or the pool's own races (tests/c/hammer.c under ThreadSanitizer).
Read next: process_work.py.
"""

from __future__ import annotations

import pytest
from test_process_fork import scenario


@pytest.mark.parametrize("threads", ["1", "3"])
def test_eight_threads_train_their_own_models(threads: str) -> None:
    scenario(
        """
want = [train(s) for s in range(8)]
expect(in_threads([lambda s=s: train(s) for s in range(8)]), want, "digests")
""",
        FASTNN_NUM_THREADS=threads,
    )


def test_threads_that_change_the_thread_count() -> None:
    """Regions open and close while others resize the pool; numbers above the number of cores, too."""
    scenario(
        """
want, counts = [train(s, 2) for s in range(3)], [1, 2, 7, 3, 200, 2, 5]
def resize():
    fastnn.set_num_threads(counts[resizer.rounds % len(counts)])
    fastnn.rand(200, 200) @ fastnn.rand(200, 200)
with Busy(resize) as resizer:
    for _ in range(2):
        expect(in_threads([lambda s=s: train(s, 2) for s in range(3)]), want, "digests")
"""
    )


def test_threads_that_share_parameters_they_only_read() -> None:
    scenario(
        """
model = Model(1)
x = [fastnn.randn(40, 64) for _ in range(6)]
def grads(i):
    h = F.gelu(F.linear(F.layer_norm(x[i], (64,)), model.p["up"]))
    return digest(fastnn.autograd.grad((h * h).sum(), [model.p["up"]]))
want = [grads(i) for i in range(6)]
for _ in range(5):
    expect(in_threads([lambda i=i: grads(i) for i in range(6)]), want, "gradients")
expect([p.grad for p in model.p.values()], [None] * 8, "grad")
"""
    )


def test_backward_of_several_threads_onto_shared_leaves() -> None:
    """As in torch the gradients add up, in any order: here all are whole numbers, so that the sum has one value. Leaves with hooks, too."""
    scenario(
        """
n = 100 if SANITIZED else 400
w = [fastnn.eye(n).requires_grad_(True) for _ in range(4)]
x = [(fastnn.rand(300, n) * 3).floor() for _ in range(6)]
seen = []
w[2].register_hook(lambda g: seen.append(1))
w[3].register_post_accumulate_grad_hook(lambda p: seen.append(1))
def one(i):
    for _ in range(3):
        h = x[i]
        for layer in w:
            h = fastnn.relu(h @ layer) @ w[0]
        h.sum().backward()
for i in range(6):
    one(i)
want = digest(p.grad for p in w)
for _ in range(4):
    for p in w:
        p.grad = None
    in_threads([lambda i=i: one(i) for i in range(6)])
    expect(digest(p.grad for p in w), want, "sum of gradients")
expect(len(seen), 180, "calls of the hooks")
"""
    )


def test_backward_of_several_threads_through_a_shared_graph() -> None:
    """With retain_graph=True as in torch: a trunk with several heads. Without it one thread succeeds, others may be told to retain."""
    scenario(
        """
w = fastnn.ones(200, 200, requires_grad=True)
def graph():
    trunk = w
    for _ in range(3):
        trunk = trunk @ fastnn.eye(200) * 1
    return trunk, [(trunk * (i + 1)).sum() for i in range(4)]
trunk, heads = graph()
for _ in range(10):
    w.grad = None
    in_threads([lambda i=i: heads[i].backward(retain_graph=True) for i in range(4)])
    expect(float(w.grad.min()), 10.0, "least gradient")
    expect(float(w.grad.max()), 10.0, "largest gradient")
def once(head):
    try:
        head.backward()
        return True
    except RuntimeError as error:
        return "retain_graph=True" in str(error)
for _ in range(10):
    trunk, heads = graph()
    expect(in_threads([lambda h=h: once(h) for h in heads]), [True] * 4, "outcomes")
expect(train(2, 1), train(2, 1), "training afterwards")
"""
    )


def test_gradients_dropped_and_parameters_replaced_during_backward() -> None:
    """zero_grad, .grad = None and .data = ... in one thread while another accumulates: any order is a legal one, a crash is none."""
    scenario(
        """
w = fastnn.ones(300, 300, requires_grad=True)
x = fastnn.ones(300, 300)
small = fastnn.ones(300, 300)
def step():
    try:
        (x @ w * 2).sum().backward()
    except RuntimeError as error: # what was saved has been written or replaced: both are said
        expect("modified by an inplace" in str(error) or "another thread" in str(error), True, str(error))
def drop():
    w.grad = None
def replace():
    w.data = small.clone()
def optimize():
    fastnn.optim.AdamW([w], lr=0.0).step()
def grow():
    w.detach().mul_(1.0)
with Busy(step) as a, Busy(drop), Busy(replace) as b, Busy(optimize) as c, Busy(grow):
    while min(a.rounds, b.rounds, c.rounds) < 100:
        fastnn.rand(300, 300) @ small
w.data, w.grad = fastnn.ones(300, 300), None
step()
expect(float(w.grad.max()), 600.0, "gradient")
"""
    )


def test_geometry_changed_while_an_op_reads() -> None:
    """resize_, t_, set_ or .data of an operand during a long op: the op sees what it was given."""
    scenario(
        """
x = fastnn.rand(400, 400)
whole, part = x.clone(), fastnn.rand(3)
y = fastnn.rand(400, 400)
def change():
    x.data = part
    x.data = whole
    x.transpose_(0, 1)
    x.transpose_(0, 1)
def work():
    for f in (lambda: x.exp(), lambda: x @ y, lambda: fastnn.cat([x, y]), lambda: fastnn.stack([x, y]), lambda: y.add_(x), lambda: y.copy_(x),
              lambda: x.sum(0), lambda: F.softmax(x, -1), lambda: x.sort(), lambda: y[x > 0.5]):
        try:
            f()
        except (RuntimeError, IndexError):
            pass
with Busy(work) as busy, Busy(change):
    while busy.rounds < 60:
        y.exp()
expect(digest([x]), digest([whole]), "the operand at the end")
"""
    )


def test_a_tensor_leaves_its_graph_during_a_long_write() -> None:
    """detach_ between the start of an in-place write that is on the tape and its end: the write has no record then."""
    scenario(
        """
w = fastnn.ones(400, 400, requires_grad=True)
held = [w * 1]
def write():
    held[0].add_(w).exp_()
def detach():
    held[0].detach_()
def renew():
    held[0] = w * 1
with Busy(write) as a, Busy(detach) as b, Busy(renew) as c:
    while min(a.rounds, b.rounds, c.rounds) < 400:
        fastnn.rand(100, 100) @ w.detach()[:100, :100]
held[0] = (w * 1).add_(w)
held[0].sum().backward()
expect(float(w.grad.min()), 2.0, "gradient")
"""
    )


def test_shared_generator_gives_one_stream() -> None:
    """Every fill is one unbroken piece of the default stream, small ones (with the GIL) and large ones (without); nothing is lost."""
    scenario(
        """
sizes = [40, 5000, 30000]
def draw(n):
    return [fastnn.rand(n).numpy() for _ in range(20)]
fastnn.manual_seed(11)
whole = fastnn.rand(sum(sizes) * 2 * 20).numpy()
for _ in range(3):
    fastnn.manual_seed(11)
    pieces = [p for found in in_threads([lambda n=n: draw(n) for n in sizes * 2]) for p in found]
    firsts = {p[:8].tobytes(): p for p in pieces}
    at, count = 0, 0
    while at < len(whole):
        piece = firsts.get(whole[at:at + 8].tobytes())
        expect(piece is not None, True, f"a fill starts at {at}")
        expect(piece.tobytes(), whole[at:at + len(piece)].tobytes(), f"the fill at {at}")
        at, count = at + len(piece), count + 1
    expect(count, len(pieces), "fills")
"""
    )


def test_tensors_made_in_one_thread_and_freed_in_another() -> None:
    scenario(
        """
import gc, queue
def bytes_in_use():
    gc.collect()
    return fastnn._C._pool_stats()["bytes_in_use"]
def relay():
    passed = queue.Queue(20)
    def make():
        for i in range(300):
            p = fastnn.ones(i % 7 * 3000 + 3, requires_grad=True)
            passed.put((p, (p * 2).exp().sum()))
        passed.put(None)
    def free():
        while (item := passed.get()) is not None:
            item[1].backward()
            expect(float(item[0].grad[0]), float(fastnn.tensor(2.0).exp() * 2), "gradient")
    in_threads([make, free])
relay()
before = bytes_in_use()
for _ in range(3):
    relay()
expect(bytes_in_use(), before, "bytes in use")
"""
    )


LONG = {
    "product": "a, b = fastnn.rand(1500, 1500), fastnn.rand(1500, 1500)\nwork = lambda: a @ b",
    "own product": "a, b = fastnn.rand(60000, 27), fastnn.rand(27, 27)\nwork = lambda: [a @ b for _ in range(10)]",
    "exp": "a = fastnn.rand(3000000)\nwork = lambda: a.exp()",
    "float64 sum": "a = fastnn.rand(3000000, dtype=fastnn.float64)\nwork = lambda: a.sum()",
    "gru": "g, x = fastnn.nn.GRU(64, 64, batch_first=True), fastnn.rand(64, 100, 64)\nwork = lambda: g(x)",
    "attention": "q = fastnn.rand(4, 4, 500, 32)\nwork = lambda: F.scaled_dot_product_attention(q, q, q, is_causal=True)",
    "sort": "a = fastnn.rand(500000)\nwork = lambda: a.sort()",
    "normal": "a = fastnn.empty(2000000)\nwork = lambda: a.normal_()",
    "conversion": "a = fastnn.rand(5000000)\nwork = lambda: a.to(fastnn.float64)",
    "cat": "a = [fastnn.rand(2000000) for _ in range(3)]\nwork = lambda: fastnn.cat(a)",
    "indexing": "a, i = fastnn.rand(3000, 100), fastnn.randint(0, 3000, (30000,))\nwork = lambda: a[i]",
    "in place": "a, b = fastnn.rand(5000000), fastnn.rand(5000000)\nwork = lambda: a.add_(b)",
    "adamw": "a = fastnn.rand(3000000, requires_grad=True)\na.grad = fastnn.rand(3000000)\no = fastnn.optim.AdamW([a])\nwork = lambda: o.step()",
}
BACKWARD = {  # y of x: the walk from y to x is one node, and the gradient given is as large and dense as y
    "product": "x, b = fastnn.rand(1000, 1000, requires_grad=True), fastnn.rand(1000, 1000)\ny = x @ b",
    "linear": "x = fastnn.rand(3000, 200, requires_grad=True)\ny = F.linear(x, fastnn.rand(300, 200), fastnn.rand(300))",
    "exp": "x = fastnn.rand(3000000, requires_grad=True)\ny = x.exp()",
    "gelu": "x = fastnn.rand(3000000, requires_grad=True)\ny = F.gelu(x)",
    "sum": "x = fastnn.rand(100000, 30, requires_grad=True)\ny = x.cumsum(0)",
    "gru": "x = fastnn.rand(64, 100, 64, requires_grad=True)\ny = fastnn.nn.GRU(64, 64, batch_first=True)(x)[0]",
    "attention": "x = fastnn.rand(4, 4, 500, 32, requires_grad=True)\ny = F.scaled_dot_product_attention(x, x, x, is_causal=True)",
    "layer norm": "x = fastnn.rand(5000, 300, requires_grad=True)\ny = F.layer_norm(x, (300,))",
    "softmax": "x = fastnn.rand(5000, 300, requires_grad=True)\ny = F.softmax(x, -1)",
    "cross entropy": "x = fastnn.rand(5000, 300, requires_grad=True)\ny = F.cross_entropy(x, fastnn.randint(0, 300, (5000,)))",
    "embedding": "x = fastnn.rand(3000, 100, requires_grad=True)\ny = F.embedding(fastnn.randint(0, 3000, (30000,)), x)",
    "dropout": "x = fastnn.rand(3000000, requires_grad=True)\ny = F.dropout(x, 0.5)",
}


@pytest.mark.parametrize("kind", ["forward", "backward"])
def test_long_ops_let_other_threads_run(kind: str) -> None:
    """The second thread counts up, giving the GIL back after each count; within one call it moves only if the call let it."""
    cases = LONG if kind == "forward" else {k: v + "\ng = fastnn.rand(y.shape)\nwork = lambda: fastnn.autograd.grad(y, x, g, retain_graph=True)" for k, v in BACKWARD.items()}
    scenario(
        f"""
import time
sys.setswitchinterval(1000)
counts = 0
def count():
    global counts
    while True:
        counts += 1
        time.sleep(0.0001)
def moved(work):
    for _ in range(300):
        before = counts
        work()
        if counts != before:
            return True
    return False
threading.Thread(target=count, daemon=True).start()
time.sleep(0.1)
a = fastnn.rand(2, 2)
expect(moved(lambda: a + a), False, "a small op keeps the GIL")
stuck = []
for name, code in {cases!r}.items():
    space = dict(fastnn=fastnn, F=F)
    exec(code, space)
    if not moved(space["work"]):
        stuck.append(name)
expect(stuck, [], "ops that keep the GIL")
"""
    )
