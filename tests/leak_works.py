"""What is repeated to see whether anything stays behind: training steps of each kind of model, errors in the middle of a walk, cycles,
copies and files, every wrong call of the tables.

Invariant: a repetition starts where the one before it started, but for weights and random streams. Does not: count (leak_loops.py does).
Read next: leak_loops.py.
"""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from memory_works import WORKS, Training
from support import TESTS

import fastnn
from fastnn import nn
from fastnn.nn import functional as F


@dataclass(frozen=True)
class Loop:
    name: str
    once: Callable[[], Any]  # one repetition
    counted: tuple[Any, ...] = ()  # objects whose references are counted


def tried(call: Callable[[], Any]) -> Callable[[], None]:
    """The call, whatever it raises."""

    def quietly() -> None:
        with contextlib.suppress(Exception):
            call()

    return quietly


# ---- training steps ----

V, B, T, C = 11, 6, 5, 8  # vocabulary, batch, time, channels


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.table, self.net, self.head = nn.Embedding(V, C), kind(C, C, num_layers=2, dropout=0.1, batch_first=True), nn.Linear(C, V)

    def forward(self, x: Any) -> Any:
        return self.head(self.net(self.table(x))[0])


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.places = nn.Embedding(V, C), nn.Embedding(T, C)
        self.block, self.head = nn.TransformerEncoderLayer(C, 2, 2 * C, dropout=0.1, batch_first=True), nn.Linear(C, V)

    def forward(self, x: Any) -> Any:
        mask = nn.Transformer.generate_square_subsequent_mask(T)
        return self.head(self.block(self.table(x) + self.places(fastnn.arange(T)), src_mask=mask))


class Bow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(V, C), nn.Linear(C, V)

    def forward(self, x: Any) -> Any:
        weights = fastnn.tril(fastnn.ones(T, T)).masked_fill(fastnn.ones(T, T).triu(1) == 1, float("-inf")).softmax(1)
        return self.head(weights @ self.table(x))


class Image(nn.Module):
    def forward(self, x: Any) -> Any:
        return F.one_hot(x, V).float()[:, None]  # (B, 1, T, V)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp with batch norm": lambda: nn.Sequential(nn.Embedding(V, C), nn.Flatten(), nn.Linear(T * C, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, V)),
    "rnn": lambda: Recurrent(nn.RNN),
    "gru": lambda: Recurrent(nn.GRU),
    "lstm": lambda: Recurrent(nn.LSTM),
    "transformer with dropout": Transformer,
    "conv": lambda: nn.Sequential(Image(), nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(3 * (T // 2) * (V // 2), V)),
    "bow of embeddings": Bow,
}  # fmt: skip
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: fastnn.optim.SGD(p, lr=0.01, momentum=0.9),
    "adam": lambda p: fastnn.optim.Adam(p, lr=1e-3),
    "adamw": lambda p: fastnn.optim.AdamW(p, lr=1e-3),
}


def step_of(model: nn.Module, optimizer: Any) -> Callable[[], None]:
    schedule = fastnn.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)

    def step() -> None:
        x, y = fastnn.randint(0, V, (B, T)), fastnn.randint(0, V, (B, T))
        logits = model(x)
        loss = F.cross_entropy(logits.view(-1, V), y.view(-1) if logits.dim() == 3 else y[:, 0])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        loss.item(), f"{loss:.4f}"

    return step


def steps() -> Iterator[Loop]:
    for kind, model in MODELS.items():
        for name, optimizer in OPTIMIZERS.items():
            made = model()
            yield Loop(f"{kind}, {name}", step_of(made, optimizer(made.parameters())))


# ---- everything else that a script does ----


class Double(fastnn.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        ctx.save_for_backward(a)
        ctx.extra = [a]
        return a * 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 2


class Keeping(Double):
    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        ctx.y = a * 2
        return ctx.y


class Failing(Double):
    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        raise KeyError("in the middle of backward")


def refuse(g: Any) -> Any:
    raise KeyError("in a hook")


def broken_backwards() -> None:
    """Errors at several places of a walk: in a Function, in a hook, at a changed saved tensor, at a second walk."""
    w = fastnn.ones(3, requires_grad=True)
    y = (w * 2).exp()
    for spoil in (lambda: Failing.apply(y).sum(), lambda: (y * fastnn.ones(3)).sum()):
        tried(lambda: (spoil() + w.sum()).backward(retain_graph=True))()
    h = w * 3
    h.register_hook(refuse)
    tried((h * h).sum().backward)()
    z = w.exp()
    z.add_(1)
    tried(z.sum().backward)()
    q = w.exp().sum()
    q.backward()
    tried(q.backward)()
    tried(lambda: fastnn.autograd.grad(q, (w,)))()


def cycles() -> None:
    """Objects that refer to themselves by way of a hook, a dict, a Function's context, a module's attribute."""
    t = fastnn.ones(3, requires_grad=True)
    t.register_hook(lambda g: g * t.detach())
    t.me = t
    u = t * 2
    u.register_hook(lambda g: g + u.detach())
    v = Failing.apply(u)
    v.owner = v.grad_fn
    k = Keeping.apply(t)
    k.sum().backward()
    m = nn.Linear(2, 2)
    m.forward_hook = m.register_forward_hook(lambda *a: None if m else m)
    m.child_of = [m]
    m(fastnn.ones(1, 2)).sum().backward()
    p = nn.Parameter(fastnn.ones(2))
    p.register_post_accumulate_grad_hook(lambda q: p)
    (p * p).sum().backward()
    p.grad.of = p


def writes_and_views() -> None:
    h = (fastnn.ones(4, 6, requires_grad=True) * 2).exp()
    h.register_hook(lambda g: g * 1.0)
    h = Double.apply(h)
    h[0] = 0.5
    v = h.view(2, 2, 6)
    v.retain_grad()
    v[1].mul_(2)
    a, b = v.unbind(0)
    (a * b).sum().backward()
    repr(h[:2, :3]), h.tolist(), h.detach().numpy(), len(h), list(h[:3]), h == h, v.grad


def copies(model: Any) -> None:
    other = copy.deepcopy(model)
    other.load_state_dict(model.state_dict())
    tried(lambda: other.load_state_dict({"nothing": fastnn.ones(1)}))()
    pickle.loads(pickle.dumps(other))
    copy.copy(other.state_dict()["head.weight"])
    file = io.BytesIO()
    fastnn.save(other.state_dict(), file)
    file.seek(0)
    fastnn.load(file)


def sample(model: Any) -> None:
    with fastnn.no_grad():
        ids = fastnn.zeros(2, 1, dtype=fastnn.int64)
        while ids.size(1) < 4:
            p = model(ids)[:, -1].softmax(-1)
            ids = fastnn.cat((ids, fastnn.multinomial(p, 1)), 1)
    ids.tolist(), repr(ids), [int(i) for i in ids[0]]


@fastnn.no_grad()
def drawn(n: int) -> Iterator[Any]:
    for _ in range(n):
        yield fastnn.rand(3)


def generators() -> None:
    list(drawn(3))
    half = drawn(3)
    next(half)
    half.close()
    g = fastnn.Generator()
    g.set_state(fastnn.Generator().manual_seed(3).get_state())
    tried(lambda: g.set_state(fastnn.zeros(3)))()


def works() -> Iterator[Loop]:
    for name, work in WORKS.items():
        state = work.make()
        yield Loop(name, lambda work=work, state=state: work.run(state))
        if isinstance(state, Training):
            yield Loop(f"{name}, sampling", lambda state=state: sample(state.model))
    model = WORKS["transformer adamw"].make().model
    yield Loop("copies and files", lambda: copies(model))
    for loop in (broken_backwards, cycles, writes_and_views, generators):
        yield Loop(loop.__name__, loop)


# ---- errors ----


def errors() -> Iterator[Loop]:
    """The wrong calls that tests/op_table.py, test_errors.py and hostile/ list."""
    from op_table import ROWS
    from test_errors import LINES
    from test_hostile_tables import TABLES
    from test_ops import TENSORS, wrong_call_inputs

    names = wrong_call_inputs(fastnn)
    counted = tuple(names[k] for k in TENSORS) + (fastnn.float32, fastnn.int64, fastnn.bool, fastnn.float64, None, True)
    lines = [line.partition(" | ")[2] for line in (*LINES, *(line for table in TABLES.values() for line in table))]
    for code in (*lines, *(code for row in ROWS.values() for code in row.errors)):
        compiled = compile(code, "wrong call", "exec")
        yield Loop(code, tried(lambda compiled=compiled: exec(compiled, dict(names))), counted)


def kernels() -> Iterator[Loop]:
    """The functions of fastnn.kernels with something else in the place of each argument."""
    from kernel_cases import CASES, gradients_like
    from test_kernels_hostile import HOSTILE

    import fastnn.kernels as k

    for name, case in CASES.items():
        good = case.cast("float32")
        forward, backward = getattr(k, f"{case.op}_forward"), getattr(k, f"{case.op}_backward")
        y, saved = forward(*good, **case.options)
        dy = gradients_like(y)
        counted = (*good, *HOSTILE.values(), *saved)

        def forwards(forward: Any = forward, good: Any = good, case: Any = case) -> None:
            for bad in HOSTILE.values():
                for i in range(len(good)):
                    tried(lambda: forward(*good[:i], bad, *good[i + 1 :], **case.options))()
                tried(lambda: forward(*good, **case.options, out=bad))()

        def backwards(backward: Any = backward, saved: Any = saved, dy: Any = dy) -> None:
            for bad in HOSTILE.values():
                tried(lambda: backward(bad, saved))()
                tried(lambda: backward(dy, bad))()
                tried(lambda: backward(dy, saved, need=bad))()
                tried(lambda: backward(dy, saved, out=bad))()
                for field in saved._fields:
                    tried(lambda: backward(dy, saved._replace(**{field: bad})))()

        yield Loop(f"{name} forward", forwards, counted)
        yield Loop(f"{name} backward", backwards, counted)


def files() -> Iterator[Loop]:
    """The same damaged inputs again and again, to each reader of bytes from outside."""
    sys.path.insert(0, str(TESTS / "fuzz"))
    from readers import READERS

    for name, reader in READERS.items():
        chance, samples = random.Random(name), reader.samples()
        damaged = [reader.damage(chance, samples[i % len(samples)]) for i in range(20)]

        def read(reader: Any = reader, damaged: Any = damaged) -> None:
            for item in damaged:
                tried(lambda: reader.read(item))()

        yield Loop(f"{name}, damaged", read)


PARTS: dict[str, Callable[[], Iterator[Loop]]] = {"steps": steps, "works": works, "errors": errors, "kernels": kernels, "files": files}
