"""Layers written as plain classes, batch normalisation by hand with running statistics, statistics of activations and gradients."""

import sys

import torch
import torch.nn.functional as F

words = open(sys.argv[1] + "/names.txt").read().splitlines()[:2000]
stoi = {s: i + 1 for i, s in enumerate(sorted(set("".join(words))))}
stoi["."] = 0
itos = {i: s for s, i in stoi.items()}
X, Y = [], []
for w in words:
    context = [0] * 3
    for ch in w + ".":
        X.append(context)
        Y.append(stoi[ch])
        context = context[1:] + [stoi[ch]]
X, Y = torch.tensor(X), torch.tensor(Y)
g = torch.Generator().manual_seed(2147483647)


class Linear:
    def __init__(self, fan_in, fan_out, bias=True):
        self.weight = torch.randn((fan_in, fan_out), generator=g) / fan_in**0.5
        self.bias = torch.zeros(fan_out) if bias else None

    def __call__(self, x):
        self.out = x @ self.weight
        if self.bias is not None:
            self.out += self.bias
        return self.out

    def parameters(self):
        return [self.weight] + ([] if self.bias is None else [self.bias])


class BatchNorm:
    def __init__(self, dim, eps=1e-5, momentum=0.1):
        self.eps, self.momentum, self.training = eps, momentum, True
        self.gamma, self.beta = torch.ones(dim), torch.zeros(dim)
        self.running_mean, self.running_var = torch.zeros(dim), torch.ones(dim)

    def __call__(self, x):
        xmean, xvar = (x.mean(0, keepdim=True), x.var(0, keepdim=True)) if self.training else (self.running_mean, self.running_var)
        self.out = self.gamma * ((x - xmean) / torch.sqrt(xvar + self.eps)) + self.beta
        if self.training:
            with torch.no_grad():
                self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * xmean
                self.running_var = (1 - self.momentum) * self.running_var + self.momentum * xvar
        return self.out

    def parameters(self):
        return [self.gamma, self.beta]


class Tanh:
    def __call__(self, x):
        self.out = torch.tanh(x)
        return self.out

    def parameters(self):
        return []


C = torch.randn((27, 10), generator=g)
layers = [Linear(30, 60, bias=False), BatchNorm(60), Tanh(), Linear(60, 60), BatchNorm(60), Tanh(), Linear(60, 27), BatchNorm(27)]
with torch.no_grad():
    layers[-1].gamma *= 0.1
    for layer in layers[:-1]:
        if isinstance(layer, Linear):
            layer.weight *= 5 / 3
parameters = [C] + [p for layer in layers for p in layer.parameters()]
print(sum(p.nelement() for p in parameters))
for p in parameters:
    p.requires_grad = True
ud = []
for i in range(120):
    ix = torch.randint(0, X.shape[0], (32,), generator=g)
    x = C[X[ix]].view(32, -1)
    for layer in layers:
        x = layer(x)
    loss = F.cross_entropy(x, Y[ix])
    for layer in layers:
        layer.out.retain_grad()
    for p in parameters:
        p.grad = None
    loss.backward()
    lr = 0.1 if i < 80 else 0.01
    for p in parameters:
        p.data += -lr * p.grad
    if i % 10 == 0:
        print(f"{i:7d}/{120:7d}: {loss.item():.4f}")
    with torch.no_grad():
        ud.append([((lr * p.grad).std() / p.data.std()).log10().item() for p in parameters if p.ndim == 2])
print(" ".join(f"{v:.2f}" for v in ud[-1]))
for i, layer in enumerate(layers[:-1]):
    if isinstance(layer, Tanh):
        t = layer.out
        print("layer %d: mean %+.2f, std %.2f, saturated: %.2f%%" % (i, t.mean(), t.std(), (t.abs() > 0.97).float().mean() * 100))
        grad = layer.out.grad
        # The next layer's normalisation makes this mean 0 up to rounding, whose sign PyTorch's own builds do not agree on.
        print(f"gradient: mean {grad.mean().abs():.4f} std {grad.std():.4f}")
        hy, hx = torch.histogram(grad, density=True)
        print(hy.shape, hx.shape, f"{hx[0]:.4f} {hx[-1]:.4f}")
for layer in layers:
    layer.training = False
with torch.no_grad():
    x = C[X[:400]].view(400, -1)
    for layer in layers:
        x = layer(x)
    print(f"eval {F.cross_entropy(x, Y[:400]).item():.4f}", x.shape, x.requires_grad)
