"""Scalar graphs, double precision, custom functions, hooks, printing of tensors: what tutorials show on one page."""

import torch
import torch.nn as nn

x = torch.Tensor([-4.0]).double()
x.requires_grad = True
z = 2 * x + 2 + x
q = z.relu() + z * x
h = (z * z).relu()
y = h + q + q * x
y.backward()
print(y.data.item(), x.grad.item())
a, b = torch.Tensor([-4.0]).double(), torch.Tensor([2.0]).double()
a.requires_grad = True
b.requires_grad = True
c = a + b
d = a * b + b**3
c = c + c + 1
c = c + 1 + c + (-a)
d = d + d * 2 + (b + a).relu()
d = d + 3 * d + (b - a).relu()
e = c - d
f = e**2
g = f / 2.0
g = g + 10.0 / f
g.backward()
print(f"{g.data.item():.4f} {a.grad.item():.4f} {b.grad.item():.4f}")
x1, x2 = torch.Tensor([2.0]).double(), torch.Tensor([0.0]).double()
w1, w2, bias = torch.Tensor([-3.0]).double(), torch.Tensor([1.0]).double(), torch.Tensor([6.8813735870195432]).double()
for t in (x1, x2, w1, w2, bias):
    t.requires_grad = True
o = torch.tanh(x1 * w1 + x2 * w2 + bias)
print(o.data.item(), o)
o.backward()
print("x2", x2.grad.item(), "w2", w2.grad.item(), "x1", x1.grad.item(), "w1", w1.grad.item())


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x**2


t = torch.arange(4.0, requires_grad=True)
u = Cube.apply(t)
print(u)
u.sum().backward()
print(t.grad)
seen = []
v = torch.ones(3, requires_grad=True)
m = v * 2
m.register_hook(lambda grad: seen.append(grad.tolist()))
(m * torch.arange(3.0)).sum().backward()
print(seen, v.grad)
print(torch.arange(12).view(3, 4), torch.zeros(2, 0), torch.tensor(3.5), torch.tensor([True, False]), torch.linspace(0, 1, 5))
print(torch.tensor([1e-5, 1.0, 1e5]), torch.tensor([float("nan"), float("inf"), -1.0]), torch.eye(3), torch.arange(2000.0))
print(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout(0.5), nn.Embedding(3, 4), nn.LayerNorm(4), nn.GRU(2, 3, batch_first=True)))
print(f"{torch.tensor(1.23456):.3f} {torch.tensor(7):d} {torch.tensor(0.5)} {3 * torch.tensor(2)}")
print(torch.manual_seed(3).initial_seed(), torch.rand(2), torch.get_default_dtype(), torch.float32, torch.device("cpu"), torch.Size([2, 3]))
p = nn.Parameter(torch.ones(2, 2))
print(p, p.data, p.grad, p.requires_grad, p.is_leaf)
with torch.no_grad():
    p *= 2
    p[0, 0] = 5
loss = (p**2).sum()
loss.backward()
print(loss, p.grad)
try:
    torch.ones(2, 3) @ torch.ones(2, 3)
except RuntimeError as error:
    print(type(error).__name__)
