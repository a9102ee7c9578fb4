"""Autograd as scripts know it: accumulation, leaves, in-place writes and versions, views, order, shared graphs.

Invariant: claims are checked against both libraries (fixture `lib`); tables of programs compare the two (agree.py).
Does not: prove gradients of single ops (test_ops.py). Read next: test_autograd_modes.py (modes, hooks, custom functions), test_autograd_life.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from agree import agree
from support import arr, same

import fastnn

# Programs: the last line is compared. w.. want gradients (agree.py)
PROGRAMS = """
w1.sum().backward(); w1.grad
(w1 * w1).sum().backward(); w1.grad
w1.sum().backward(); w1.sum().backward(); w1.grad
w1.sum().backward(); w1.grad = None; (w1 * 3).sum().backward(); w1.grad
w1.sum().backward(); w1.grad.zero_(); w1.grad
w1.backward()
w1.backward(torch.ones(4)); w1.grad
w1.backward(torch.ones(3))
(w1 * 2).backward(gradient=f1); w1.grad
f1.sum().backward()
y = w1.sum(); y.backward(); y.backward()
y = (w1 * w1).sum(); y.backward(); y.backward()
y = (w1 * w1).sum(); y.backward(retain_graph=True); y.backward(); w1.grad
y = w1 * 2; y.retain_grad(); y.sum().backward(); y.grad
y = w1 * 2; y.sum().backward(); y.grad
w1.retain_grad(); w1.sum().backward(); w1.grad
f1.retain_grad()
y = w1 * 2; y.retain_grad(); y.retains_grad
y = w1 * 2; z = y * y; y.retain_grad(); z.sum().backward(); y.grad
y = w2 * 2; y.retain_grad(); y.t_(); (y * f2.t()).sum().backward(); y.grad
y = w2 * 2; y.retain_grad(); y.t_(); (y.retains_grad, y.grad, y._base, y.grad_fn.name()[:9])
y = w2[:, :2] * 2; y.retain_grad(); y.transpose_(0, 1); y.unsqueeze_(1); (y * f2[:, :2].t().unsqueeze(1)).sum().backward(); (y.shape, y.grad)
y = w2 * 2; v = y[1:]; v.retain_grad(); v.t_(); (v * f2[1:].t()).sum().backward(); (v.grad, w2.grad)
y = w2 * 2; y.retain_grad(); y.sum().backward(retain_graph=True); g = y.grad; y.unsqueeze_(0); same = y.grad is g; y.sum().backward(); (same, y.grad)
y = w2 * 2; y.retain_grad(); z = y * 3; y.unsqueeze_(0); (z + y).sum().backward(); y.grad
y = w2 * 2; y.mul_(f2); y.retain_grad(); y.mul_(3); y.t_(); (y * f2.t()).sum().backward(); y.grad
y = w2 * 2; y.retain_grad(); y.t_(); torch.no_grad()(lambda: y.mul_(3))(); (y * f2.t()).sum().backward(); (y.grad, y.grad_fn.name()[:9])
y = w2.t().reshape(12); torch.no_grad()(lambda: y.mul_(3))(); y.grad_fn.name()
y = w2 * 2; y.retain_grad(); y.t_(); y.transpose_(0, 1); torch.no_grad()(lambda: y.mul_(3))(); (y * f2).sum().backward(); (y.grad, y.grad_fn.name()[:9])
y = w2 * 2; y.t_(); y.retain_grad(); y.mul_(3); (y * f2.t()).sum().backward(); y.grad
y = w2 * 2; y.retain_grad(); y.t_(); z = y.sum(); del y; z.backward(); w2.grad
y = w2 * 2; y.retain_grad(); y.t_(); y.detach_(); z = y * w2.t(); z.sum().backward(); (y.requires_grad, y.grad, w2.grad)
y = torch.no_grad()(lambda: w2[0])(); torch.no_grad()(lambda: y.neg_())(); (y.to(torch.int32).dtype, y.long().dtype)
y = torch.no_grad()(lambda: w2[0])(); torch.no_grad()(lambda: y.neg_())(); y.to(torch.float64)
y = torch.no_grad()(lambda: w2[0])(); z = y.abs(); z.sum().backward(); w2.grad
y = torch.no_grad()(lambda: w2[0])(); z = y.abs(); z.backward(torch.ones(4)); z.backward(torch.ones(4))
y = torch.no_grad()(lambda: w2[0])(); z = y.abs(); y.data.mul_(2); y.detach().mul_(2); z.backward(torch.ones(4))
y, z = (w2 * 2)[:2].unbind(); y.retain_grad(); torch.no_grad()(lambda: z.mul_(2))(); y.retain_grad(); y.retains_grad
y = w1[1:]; w1.requires_grad_(False); z = y.view(3); y.retain_grad(); torch.no_grad()(lambda: z.mul_(2))(); z.backward(torch.ones(3)); (y.grad, z.grad_fn.name(), w1.grad)
y = w2.repeat(2, 1); y += y; y.sum().backward(); y.sum().backward(); w2.grad
y = w1 * 1; y = y.scatter_add(0, torch.zeros(3, dtype=torch.int64), torch.ones(3)); y.sum().backward(); y.sum().backward(); w1.grad
y = w1 * 1; y = y.index_add(0, torch.tensor([0, 2]), torch.ones(2)); y.sum().backward(); y.sum().backward(); w1.grad
y = w1 * 1; y = y.scatter(0, torch.zeros(3, dtype=torch.int64), torch.ones(3)); y.sum().backward(); y.sum().backward(); w1.grad
y = w2.repeat(2, 1); y *= y; y.sum().backward(); y.sum().backward()
y = w2.repeat(2, 1); z = y.detach_(); (z.requires_grad, z._base)
y = w2.t().reshape(12); y.mul_(2); z = y * 3; z.sum().backward(); y.detach_(); (y._base, y.requires_grad, z.grad_fn.name(), w2.grad)
y = w2.t().reshape(12); y.grad_fn.name(), y._base, w2.reshape(12)._base is None
y = i2.t().reshape(12).detach_()
y = i2.reshape(12).detach_()
y = w2 * 2; y[0].detach_()
y = w2 * 2; v = y[0]; v.unsqueeze_(0); v.detach_()
y = torch.ones(1, 3).requires_grad_(); y.sum().backward(); y.data = torch.ones(3, 1); y.sum().backward()
y = torch.ones(2, 3).requires_grad_(); y.sum().backward(); y.data = torch.ones(2, 1); y.sum().backward(); y.grad
y = w1.detach(); y.requires_grad
y = w1.detach(); y.add_(1); w1.sum()
w1.data += 1; w1
w1.data = torch.zeros(2, 2); w1
w1.data = torch.zeros(2, dtype=torch.int64)
w1.grad = torch.ones(4); w1.grad
w1.grad = torch.ones(3)
w1.grad = torch.ones(4, dtype=torch.float64)
w1.grad = 3
w1.grad = None; w1.grad
f1.requires_grad = True; (f1 * f1).sum().backward(); f1.grad
f1.requires_grad_(); f1.requires_grad
f1.requires_grad_(False).requires_grad
i1.requires_grad = True
i1.requires_grad_()
b1.requires_grad_()
y = w1 * 2; y.requires_grad = False
y = w1 * 2; y.requires_grad_(False)
w1.requires_grad = False; (w1 * 2).requires_grad
w1 += 1
w1.add_(1)
w1[0] = 1
w1.mul_(2)
w1.zero_()
w1[:2].add_(1)
w1.view(2, 2).mul_(2)
w1.detach().add_(1); w1.sum().backward(); w1.grad
torch.nn.init.zeros_(w1); w1
y = w1 * 1; y += 1; y.sum().backward(); w1.grad
y = w1 * 2; y *= 3; y.sum().backward(); w1.grad
y = w1 * 2; y *= y; y.sum().backward(); w1.grad
y = w1.exp(); y += 1; y.sum().backward()
y = w1.exp(); y.add_(1); y.requires_grad
y = w1.tanh(); y.mul_(2); y.sum().backward()
y = w1.sigmoid(); y[0] = 0; y.sum().backward()
y = w1 * w1; w1.data.add_(1); y.sum().backward(); w1.grad
y = w1 * f1; f1.add_(1); y.sum().backward()
y = w1 * f1; f1.data.add_(1); y.sum().backward(); w1.grad
y = w1 * f1; f1.detach().add_(1); y.sum().backward()
y = w1 + f1; f1.add_(1); y.sum().backward(); w1.grad
y = w1 * 2; z = y * f1; y.add_(1); z.sum().backward(); w1.grad
y = w1 * 2; z = y * y; y.add_(1); z.sum().backward()
y = (w1 * 2).relu(); y.add_(1); y.sum().backward()
y = F.softmax(w1, 0); y[0] -= 1; y /= 3; y
y = F.softmax(w1, 0); y[0] -= 1; y.sum().backward()
y = w1 @ w1; y += 1; y.backward(); w1.grad
y = F.linear(w2, f2); y += 1; y.sum().backward(); w2.grad
y = torch.zeros(4); y[1:3] = w1[1:3] * 2; y.sum().backward(); w1.grad
y = torch.zeros(3, 4); y[0] = w1; y[1] = w1 * 2; y.sum().backward(); w1.grad
y = torch.zeros(4); y[0] = w0; y.grad_fn is not None
y = torch.zeros(3, 4); y[1] = (w1 * 2)[None]; (y * f2).sum().backward(); w1.grad
y = torch.zeros(3, 4); y[1] = w2[:1]; (y * f2).sum().backward(); w2.grad
y = torch.zeros(4); y += w1; y.sum().backward(); w1.grad
y = torch.zeros(4); y.copy_(w1); (y * y).sum().backward(); w1.grad
y = w1 * 1; v = y[1:3]; v.mul_(5); y.sum().backward(); w1.grad
y = w1 * 1; v = y.view(2, 2); y.mul_(3); v.sum().backward(); w1.grad
y = w1 * 1; v = y[1:3]; v.mul_(5); v.sum().backward(); w1.grad
x = torch.ones(3) * 2; v = x[1:]; v.mul_(w1.sum()); (x * x).sum().backward(); w1.grad
x = torch.ones(3) * 2; v = x[1:]; v.add_(w1.sum()).mul_(w1.mean()); v.sum().backward(); w1.grad
x = torch.ones(3) * 2; v = x[1:]; v.mul_(w1.sum()); u = x[:2]; u.mul_(w1.mean()); (x * x).sum().backward(); w1.grad
x = torch.ones(3) * 2; v = x[1:]; u = v[:1]; u.mul_(w1.sum()); (v * v).sum().backward(); w1.grad
x = torch.ones(3) * 2; v = x[1:]; v.div_(w1.sum()); g = torch.autograd.grad(x.sum(), w1); g[0]
y = w2 * 1; y.t()[0].mul_(0); y.sum().backward(); w2.grad
y = w2 * 1; y[0][1] = 5; (y * y).sum().backward(); w2.grad
y = w2 * 1; y[:, 1] = w1[:3]; (y * f2).sum().backward(); w1.grad
y = w2 * 1; a, b = y.split(2, dim=1); b.mul_(2) if False else None; (a * 2).sum().backward(); w2.grad
y = w2 * 1; a, b = y.split(2, dim=1); a.mul_(2)
y = w2 * 1; a = y.unbind(0)[0]; a.add_(1)
y = w2 * 1; a = y.chunk(2, 1)[0]; a += 1
y = w2 * 1; y.masked_fill_(b2, 0.0); y.sum().backward(); w2.grad
y = w2 * 1; y[b2] = 0; y.sum().backward(); w2.grad
y = w2 * 1; y[i1[1:3], 0] = 7.0; y.sum().backward(); w2.grad
y = w2 * 1; y.fill_(2); y.sum().backward(); w2.grad
y = w2 * 1; y.zero_(); y.requires_grad
y = w1.clone(); y[0] = y[1] * 2; y.sum().backward(); w1.grad
y = w1.expand(3, 4); y.sum().backward(); w1.grad
y = w1[:1].expand(5); (y * torch.arange(5.0)).sum().backward(); w1.grad
y = f2 + w1; y.sum().backward(); w1.grad
y = f3 * w2; y.sum().backward(); w2.grad
y = f2 * w0; y.sum().backward(); w0.grad
y = w2 * w1; y.sum().backward(); (w1.grad, w2.grad)
y = d2 * w1; y.sum().backward(); w1.grad
y = w1.double() * d1; y.sum().backward(); w1.grad
y = w1.to(torch.float64).sum(); y.backward(); w1.grad
y = w1 * i1; y.sum().backward(); w1.grad
y = w1 * b1; y.sum().backward(); w1.grad
(w1 > 0).requires_grad
w1.argmax().requires_grad
w1.long().requires_grad
w1.max(0).indices.requires_grad
y = torch.cat([w1, w1, f1]); (y * torch.arange(12.0)).sum().backward(); w1.grad
y = torch.stack([w1, f1, w1 * 2], 1); (y * torch.arange(12.0).view(4, 3)).sum().backward(); w1.grad
y = [v * k for k, v in enumerate(w1)]; sum(y).backward(); w1.grad
y = w2.max(1); y.values.sum().backward(); w2.grad
a, b, c = w2.unbind(0); (a * b).sum().backward(); w2.grad
v, i = w2.topk(2, 1); (v * v).sum().backward(); w2.grad
v, i = w2.sort(1); (v * torch.arange(4.0)).sum().backward(); w2.grad
torch.where(b1, w1, w1 * 2).sum().backward(); w1.grad
torch.ones(4).max(0).values
x = torch.tensor([1.0, 1.0, 0.0], requires_grad=True); x.max().backward(); x.grad
x = torch.tensor([1.0, 1.0, 0.0], requires_grad=True); x.max(0).values.backward(); x.grad
x = torch.tensor([1.0, 1.0, 0.0], requires_grad=True); x.amax(0).backward(); x.grad
x = torch.zeros(3, requires_grad=True); x.relu().sum().backward(); x.grad
x = torch.zeros(3, requires_grad=True); x.abs().sum().backward(); x.grad
x = torch.zeros(3, requires_grad=True); x.clamp(0, 1).sum().backward(); x.grad
x = torch.zeros(3, requires_grad=True); x.sqrt().sum().backward(); x.grad
x = torch.zeros(3, requires_grad=True); x.norm().backward(); x.grad
x = torch.zeros(3, requires_grad=True); (x ** 2).sum().backward(); x.grad
x = torch.zeros(3, requires_grad=True); (x ** 0).sum().backward(); x.grad
x = torch.zeros(3, requires_grad=True); torch.maximum(x, torch.zeros(3)).sum().backward(); x.grad
x = torch.zeros(3, requires_grad=True); F.softmax(x.masked_fill(torch.tensor([True, False, False]), -inf), 0)[1].backward(); x.grad
torch.autograd.grad((w1 * w1).sum(), w1)
torch.autograd.grad((w1 * w2).sum(), [w1, w2])
torch.autograd.grad((w1 * 2).sum(), [w1, w2], allow_unused=True)
torch.autograd.grad((w1 * 2).sum(), [w1, w2])
torch.autograd.grad(w1 * w1, w1, grad_outputs=torch.ones(4))
torch.autograd.grad(w1 * w1, w1)
torch.autograd.grad((w1 * w1).sum(), f1)
y = (w1 * w1).sum(); torch.autograd.grad(y, w1, retain_graph=True); torch.autograd.grad(y, w1)
torch.autograd.grad((w1 * 2).sum(), w1); w1.grad
y = w1 * 3; torch.autograd.grad((y * y).sum(), y)
torch.autograd.backward([w1.sum(), (w1 * 2).sum()]); w1.grad
torch.autograd.backward(w1 * 2, torch.ones(4)); w1.grad
y = w1 * 2; y.sum().backward(inputs=[w1]); w1.grad
with torch.no_grad(): y = w1 * 2
torch.is_grad_enabled()
torch.is_inference_mode_enabled()
w1.grad_fn
(w1 * 2).grad_fn.next_functions[1][0]
(w1 * 2).grad_fn.next_functions[0][0].variable is w1
(w1 * 2).grad_fn.name()
str((w1 * 2).sum().grad_fn).split(' ')[0]
w1.is_leaf, (w1 * 2).is_leaf, f1.is_leaf, w1.detach().is_leaf, w1.data.is_leaf
w1._version
y = w1 * 1; y.add_(1); y._version
y = f1; v = y[1:]; v.add_(1); (y._version, v._version)
y = f1; v = y.detach(); v.add_(1); (y._version, v._version)
y = f1; v = y.data; v.add_(1); (y._version, v._version)
w1.numpy()
(w1 * 2).numpy()
w1.tolist() == w1.detach().tolist()
float(w0) == w0.item()
copy.deepcopy(w1 * 2)
torch.tensor(w1).requires_grad
w1.clone().requires_grad
(w1 + torch.tensor([nan, 1, 2, 3])).sum().backward(); w1.grad
w1.sum().backward(create_graph=False); w1.grad
"""


@pytest.mark.parametrize("program", [p for p in PROGRAMS.splitlines() if p])
def test_program(program: str) -> None:
    if program.startswith("with "):
        program = "y = torch.no_grad()(lambda: w1 * 2)(); y.requires_grad"
    agree(program, steps=4, strides=False)


def test_a_retained_gradient_follows_writes_after_a_change_of_shape() -> None:
    """PyTorch ends in an internal assertion here; the rule for in-place writes holds: the gradient of the tensor as it is now."""
    w = fastnn.arange(12.0).view(4, 3).requires_grad_(True)
    scale = fastnn.arange(12.0).view(3, 4)
    y = w * 2
    v = y[0]
    y.retain_grad()
    y.t_()
    y.mul_(3)
    (y * scale).sum().backward(retain_graph=True)
    same(y.grad, scale)
    same(w.grad, arr(scale).T * 6)
    v.mul_(0)  # through a view of the tensor as it was
    y.grad = w.grad = None
    (y * scale).sum().backward()
    same(y.grad, scale)
    same(w.grad, arr(scale).T * 6 * (np.arange(4, dtype=np.float32)[:, None] > 0))


# --- order, sharing, graphs --------------------------------------------------------------------------------------------------------------


def test_gradients_add_up_in_torchs_order() -> None:
    """A parameter used at many steps: the sum has torch's bits, so it is added in torch's order."""
    import torch

    results = []
    rs = np.random.RandomState(0)
    a, b = rs.standard_normal((64, 5)).astype(np.float32), rs.standard_normal((64, 5)).astype(np.float32)
    for lib in (torch, fastnn):
        p = lib.zeros(5, requires_grad=True)
        total = sum(((p * lib.from_numpy(a[t])) * lib.from_numpy(b[t])).sum() for t in range(64))
        total.backward()
        results.append(p.grad)
    same(results[1], results[0])


def test_manual_backward_is_bit_equal() -> None:
    """A two-layer net differentiated by hand with tensor operations: the tape's bits, where the formulas are the same."""
    t = fastnn
    t.manual_seed(0)
    x, w1, b1, w2, b2 = t.randn(32, 10), t.randn(10, 40) * 0.3, t.randn(40) * 0.1, t.randn(40, 7) * 0.1, t.randn(7) * 0.1
    gain = 1 + 0.1 * t.randn(1, 40)
    params = [w1, b1, w2, b2, gain]
    for p in params:
        p.requires_grad = True
    y = t.randint(0, 7, (32,))
    z = x @ w1 + b1
    mean = z.mean(0, keepdim=True)
    d = z - mean
    std = (d**2).mean(0, keepdim=True).sqrt()
    hat = d / std
    pre = gain * hat
    h = t.tanh(pre)
    logits = h @ w2 + b2
    counts = logits.exp()
    total = counts.sum(1, keepdim=True)
    inv = total**-1
    probs = counts * inv
    logp = probs.log()
    loss = -logp[range(32), y].mean()
    nodes = {"probs": probs, "inv": inv, "counts": counts, "logits": logits, "h": h, "pre": pre}
    for n in nodes.values():
        n.retain_grad()
    loss.backward()
    with t.no_grad():
        dlogp = t.zeros_like(logp)
        dlogp[range(32), y] = -1.0 / 32
        dprobs = (1.0 / probs) * dlogp
        dinv = (counts * dprobs).sum(1, keepdim=True)
        dcounts = inv * dprobs
        dcounts += t.ones_like(counts) * (-(total**-2) * dinv)
        dlogits = counts * dcounts
        dh = dlogits @ w2.T
        dpre = (1.0 - h**2) * dh
        found = {"probs": dprobs, "inv": dinv, "counts": dcounts, "logits": dlogits, "h": dh, "pre": dpre}
        for name, value in found.items():
            same(value, nodes[name].grad, name)
        same(h.T @ dlogits, w2.grad, "w2")
        same(dlogits.sum(0), b2.grad, "b2")
        same((hat * dpre).sum(0, keepdim=True), gain.grad, "gain")


def test_shared_parameter_and_diamond(lib: Any) -> None:
    w = lib.tensor([2.0], requires_grad=True)
    a = w * 3
    b = a * a
    c = a + b
    (b * c).sum().backward()
    assert w.grad.item() == pytest.approx(3 * (2 * 6 * (6 + 36) + 36 * (1 + 12)))


def test_backward_inside_backward_hook(lib: Any) -> None:
    w, v = lib.ones(2, requires_grad=True), lib.ones(2, requires_grad=True)
    y = w * 2

    def nested(g: Any) -> None:
        assert not lib.is_grad_enabled()
        with lib.enable_grad():
            (v * 3).sum().backward()

    y.register_hook(nested)
    y.sum().backward()
    assert v.grad.tolist() == [3, 3]
    assert w.grad.tolist() == [2, 2]


def test_failed_backward_leaves_no_half_gradients(lib: Any) -> None:
    w = lib.ones(3, requires_grad=True)
    y = w.exp()
    z = y * 2
    y.data.zero_()
    z.sum().backward()
    v = lib.ones(3, requires_grad=True)
    y = v.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    assert v.grad is None
    assert arr(w.grad).tolist() == [0, 0, 0]


def test_grad_visits_only_what_leads_to_its_inputs(lib: Any) -> None:
    x, other = lib.ones(3, requires_grad=True), lib.ones(3, requires_grad=True)
    y = lib.where(x > 0, x * x, x)
    y.backward(lib.ones(3))
    (g,) = lib.autograd.grad(y.sum(), y)  # what lies behind y is freed: it is not asked
    assert g.tolist() == [1, 1, 1]
    calls: list[str] = []
    x.register_hook(lambda g: calls.append("x"))
    other.register_hook(lambda g: calls.append("other"))
    y = x * 2
    z = (y * other).sum() + (other * 2).sum()
    assert [g.tolist() for g in lib.autograd.grad(z, (other,))] == [[4, 4, 4]]
    assert calls == ["other"]
    assert lib.autograd.grad(y.sum(), x)[0].tolist() == [2, 2, 2]  # this node's turn did not come
    with pytest.raises(RuntimeError, match="second time"):
        lib.autograd.grad(z, y)


def test_grad_past_a_changed_tensor(lib: Any) -> None:
    x = lib.ones(3, requires_grad=True)
    y = x.exp()
    y.add_(1)
    assert lib.autograd.grad(y.sum(), y)[0].tolist() == [1, 1, 1]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        lib.autograd.grad(y.sum(), x)


def test_grad_inside_a_hook_of_the_same_graph(lib: Any) -> None:
    x = lib.ones(3, requires_grad=True)
    a = x * 2
    b = a * a
    c = b * 3
    inner: list[Any] = []

    def nested(g: Any) -> None:
        inner.extend(lib.autograd.grad(b, (x, a), lib.ones(3), retain_graph=True))

    c.register_hook(nested)
    outer = lib.autograd.grad(c.sum() + a.sum(), (a, x))
    assert [g.tolist() for g in inner] == [[8, 8, 8], [4, 4, 4]]
    assert [g.tolist() for g in outer] == [[13, 13, 13], [26, 26, 26]]


def test_optimizer_steps_bump_versions(lib: Any) -> None:
    """A parameter changed by an optimizer between forward and backward is noticed."""
    w = lib.nn.Parameter(lib.ones(3))
    opt = lib.optim.SGD([w], lr=0.1)
    y = (w * w).sum()
    y.backward(retain_graph=True)
    opt.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
