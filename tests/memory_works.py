"""The work that memory is taken away from: training steps of several models, indexing, joins and views, hooks, data loading, files, kernels;
and those of memory_writes.py.

Invariant: a work is small (some hundred requests), the same on each run (it seeds what it draws), and holds all it may change under
"state/..." (what changes all or not at all) or "GROUP/..." (each alone). Does not: judge. Read next: memory_walk.py.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from memory_walk import Held, Work
from memory_writes import CHANGES, bits, data

import fastnn
import fastnn.kernels as k
from fastnn import nn
from fastnn.nn import functional as F
from fastnn.train.models import ModelConfig, build
from fastnn.utils.data import DataLoader, TensorDataset


class Training:
    """A model, its optimizer and a batch; one step."""

    def __init__(self, model: nn.Module, optimizer: Any, loss: Callable[[Any], Any]) -> None:
        self.model, self.optimizer, self.loss_of = model, optimizer, loss

    def step(self) -> Any:
        fastnn.manual_seed(7)
        loss = self.loss_of(self.model)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
        self.optimizer.step()
        return loss.detach()

    def held(self) -> Held:
        held: Held = {"modes/grad": fastnn.is_grad_enabled()}
        for name, p in self.model.named_parameters():
            held[f"state/{name}"] = data(p.detach())
            for key, value in self.optimizer.state.get(p, {}).items():
                if value is not None and (key != "step" or value.item()) and (key == "step" or value.any()):  # a state of zeros is as good as none
                    held[f"state/{name} {key}"] = data(value)
        return held


def training(kind: str, optimizer: Callable[[Any], Any]) -> Work:
    def make() -> Training:
        fastnn.manual_seed(3)
        config = ModelConfig(kind, vocab_size=5, block_size=4, n_layer=1, n_head=2, n_embd=4, n_embd2=4, dropout=0.1)
        model = build(config)
        x, y = fastnn.tensor([[0, 1, 2, 3], [4, 0, 1, 2]]), fastnn.tensor([[1, 2, 3, 4], [0, 1, 2, -1]])
        return Training(model, optimizer(model.parameters()), lambda m: m.loss(x, y))

    return Work(make, Training.step, Training.held, bits)


WORKS: dict[str, Work] = {
    "transformer adamw": training("transformer", lambda p: fastnn.optim.AdamW(p, lr=0.01)),
    "gru adam amsgrad": training("gru", lambda p: fastnn.optim.Adam(p, lr=0.01, amsgrad=True)),
    "rnn sgd momentum": training("rnn", lambda p: fastnn.optim.SGD(p, lr=0.01, momentum=0.9)),
    "mlp adamw": training("mlp", lambda p: fastnn.optim.AdamW(p, lr=0.01, betas=(0.9, 0.99))),
    "bow sgd": training("bow", lambda p: fastnn.optim.SGD(p, lr=0.1)),
    "bigram adamw": training("bigram", lambda p: fastnn.optim.AdamW(p, lr=0.01)),
}


class Plain:
    """Work without a model: some tensors and a function of them."""

    def __init__(self, **tensors: Any) -> None:
        self.__dict__.update(tensors)

    def held(self) -> Held:
        held: Held = {"modes/grad": fastnn.is_grad_enabled()}
        for name, t in self.__dict__.items():
            held[f"{name}/value"] = data(t.detach())
            held[f"{name}.grad/value"] = data(t.grad)
        return held


def plain(run: Callable[[Any], Any], **options: Any) -> Work:
    def make() -> Plain:
        fastnn.manual_seed(3)
        x = (fastnn.arange(24.0).view(2, 3, 4) / 7).requires_grad_(True)
        w = (fastnn.arange(12.0).view(3, 4) / 5 - 1).requires_grad_(True)
        return Plain(x=x, w=w, i=fastnn.tensor([[0, 2], [1, 1]]), m=fastnn.tensor([[True, False, True, False]] * 3))

    return Work(make, run, Plain.held, bits, **options)


def indexing(s: Any) -> Any:
    s.x.grad = s.w.grad = None
    y = s.x[:, s.i]
    parts = [s.x[0], s.x[..., 1], s.w[s.m], s.w[1:, ::2], s.w[None, 0], s.w.index_select(0, s.i[0]), s.x.gather(2, s.i[None].expand(2, 2, 2)), s.w[[0, 2]], s.w[:, -1], s.w[s.i, [[1], [0]]]]
    total = y.sum()
    for i, p in enumerate(parts):
        total = total + (i + 1) * (p * p).sum()
    total.backward()
    return [y, *parts, s.x.grad, s.w.grad]


def joins_and_views(s: Any) -> Any:
    s.x.grad = s.w.grad = None
    a, b = s.x.unbind(0)
    c, d = s.w.split(2, 1)
    parts = [
        fastnn.cat([a, s.w, b]), fastnn.stack([a, b, s.w], 1), fastnn.cat([c, d], 1), s.x.view(4, 6).t(), s.x.permute(2, 0, 1).reshape(8, 3),
        s.x.transpose(0, 2).contiguous(), s.w.expand(2, 3, 4) * s.x, s.x.flatten(1).chunk(3, 1)[1], s.w.unsqueeze(0).squeeze(0).flip(0), s.w.roll(1, 0),
        s.w.repeat(2, 1), s.x.movedim(0, 2), s.w.tril(), fastnn.where(s.m, s.w, a), s.w.masked_fill(s.m, 2.0), fastnn.einsum("bij,ij->b", s.x, s.w),
    ]  # fmt: skip
    total = parts[0].sum()
    for i, p in enumerate(parts):
        total = total + (p * p).mean() * (i + 1)
    total.backward()
    return [*parts, s.x.grad, s.w.grad]


def in_place(s: Any) -> Any:
    s.x.grad = s.w.grad = None
    h = s.x * 2
    v = h.view(6, 4)
    v[0] = 1.5
    v[1:3].mul_(s.w[:2])
    h[:, 1].add_(s.w[1])
    h[0, s.m] = 0.25
    h.view(-1)[::5].mul_(1.5)
    h.index_put_((s.i[1], s.i[0]), s.w[0], accumulate=True)
    h.clamp_(-3, 3)
    (h * h).sum().backward()
    return [h, s.x.grad, s.w.grad]


class Double(fastnn.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        ctx.save_for_backward(a)
        return a * 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (a,) = ctx.saved_tensors
        return g * 2 + 0 * a


class Two(fastnn.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        return a * 2, a + 1

    @staticmethod
    def backward(ctx: Any, g: Any, h: Any) -> Any:
        return g * 2 + h


def hooks_and_functions(s: Any) -> Any:
    start, x = (t.detach().requires_grad_(True) for t in (s.w, s.x))  # (hooks of a run that failed die with them)
    w = start * 1
    h = Double.apply(x * w)
    h.register_hook(lambda g: g * 0.5)
    h.retain_grad()
    handle = w.register_hook(lambda g: g + 1)
    x.register_post_accumulate_grad_hook(lambda p: p.grad.mul_(2))
    handle.remove()
    w.register_hook(lambda g: g + 2)
    (h * h).sum().backward()
    a, b = Two.apply(start)
    (a * b).sum().backward()
    g1, g2 = fastnn.autograd.grad((x * start).sum(), (x, start))
    with fastnn.enable_grad(), fastnn.inference_mode():
        y = s.w * 3
    return [h, h.grad, x.grad, start.grad, g1, g2, y]


def numbers(s: Any) -> Any:
    t = s.w.detach()
    made = [
        fastnn.tensor([[1.5, 2], [3, 4]]), fastnn.zeros(2, 3), fastnn.arange(5), fastnn.linspace(0, 1, 5), fastnn.full((2,), 3.5), fastnn.eye(3), fastnn.from_numpy(np.ones(3)),
        fastnn.as_tensor([1, 2]), t.double(), t.to(fastnn.int64), t.clone(), fastnn.empty_like(t).copy_(t), t.sort(1)[0], t.topk(2)[1], t.max(1).values, t.cumsum(0), t.std(), t.argmax(),
        t.norm(), t.softmax(1), t.logsumexp(0), (t > 0).nonzero(), fastnn.one_hot(s.i, 4) if hasattr(fastnn, "one_hot") else F.one_hot(s.i, 4), t @ t.t(), t.matmul(t[0]), fastnn.outer(t[0], t[1]),
        fastnn.add(t, t, out=fastnn.empty(0)), fastnn.exp(t, out=fastnn.zeros(3, 4).double()), *fastnn.sort(t, out=(fastnn.empty(0), fastnn.empty(0, dtype=fastnn.int64))),
    ]  # fmt: skip
    shape = list(t.shape)
    assert shape == [3, 4]
    return [*made, fastnn.from_numpy(np.array(t.tolist())), fastnn.tensor([t[0, 1].item(), float(t[1, 1]), int(s.i[0, 1])]), fastnn.from_numpy(t.numpy() + 1)]


def draws(s: Any) -> Any:
    fastnn.manual_seed(11)
    t = s.w.detach()
    return [
        fastnn.rand(3), fastnn.randn(2, 3), fastnn.randint(0, 9, (4,)), fastnn.randperm(5), fastnn.multinomial(t.abs(), 2), F.dropout(t, 0.5), fastnn.bernoulli(t.sigmoid()),
        t.clone().uniform_(), t.clone().normal_(), t.clone().exponential_(), fastnn.normal(t, 1.0),
    ]  # fmt: skip


def loading(s: Any) -> Any:
    loader = DataLoader(TensorDataset(s.x.detach().view(6, 4), fastnn.arange(6)), batch_size=4, shuffle=True, generator=fastnn.Generator().manual_seed(5))
    return [t for batch in loader for t in batch]


def saving(s: Any) -> Any:
    file = io.BytesIO()
    fastnn.save({"x": s.x.detach(), "w": [s.w.detach(), s.w.detach()[1:]], "n": 3}, file)
    file.seek(0)
    found = fastnn.load(file)
    assert found["n"] == 3
    return [found["x"], found["w"]]


class Arrays:
    """NumPy arrays and two parameters that steps write."""

    def __init__(self) -> None:
        self.x, self.w, self.b = (np.arange(n, dtype=np.float32).reshape(shape) / 7 for n, shape in ((12, (3, 4)), (20, (5, 4)), (5, (5,))))
        self.ids, self.dy = np.array([0, 4, 2]), np.float32(1)
        self.params = [self.w.copy(), self.b.copy()]
        self.m, self.v = ([np.zeros_like(p) for p in self.params] for _ in range(2))

    def held(self) -> Held:
        return {f"state/{i}": a.tobytes() for i, a in enumerate([*self.params, *self.m, *self.v])}


def kernels(s: Arrays) -> Any:
    y, saved = k.linear_forward(s.x, s.w, s.b)
    h, saved_h = k.gelu_forward(y)
    z, saved_z = k.layer_norm_forward(h)
    _, saved_loss = k.cross_entropy_forward(z, s.ids)
    dz = k.cross_entropy_backward(s.dy, saved_loss)
    dh = k.layer_norm_backward(dz, saved_z)[0]
    dx, dw, db = k.linear_backward(k.gelu_backward(dh, saved_h), saved)
    k.adamw(s.params, [dw, db], s.m, s.v, 1, lr=0.1)
    return [y, h, z, dz, dx, dw, db]


WORKS |= CHANGES | {
    "indexing": plain(indexing),
    "joins and views": plain(joins_and_views),
    "in place": plain(in_place),
    "hooks and functions": plain(hooks_and_functions),
    "numbers": plain(numbers),
    "draws": plain(draws),
    "loading": plain(loading, sources=("pool", "extension")),  # CPython 3.11 crashes where dict.items() finds no memory
    "saving": plain(saving, sources=("pool", "extension")),
    "kernels": Work(Arrays, kernels, Arrays.held, bits),
}
