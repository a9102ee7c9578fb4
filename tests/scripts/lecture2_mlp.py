"""An embedding and one hidden layer trained with minibatches drawn by randint; a learning-rate search; sampling."""

import random
import sys

import torch
import torch.nn.functional as F

words = open(sys.argv[1] + "/names.txt").read().splitlines()
chars = sorted(list(set("".join(words))))
stoi = {s: i + 1 for i, s in enumerate(chars)}
stoi["."] = 0
itos = {i: s for s, i in stoi.items()}


def build(words, block=3):
    X, Y = [], []
    for w in words:
        context = [0] * block
        for ch in w + ".":
            X.append(context)
            Y.append(stoi[ch])
            context = context[1:] + [stoi[ch]]
    X, Y = torch.tensor(X), torch.tensor(Y)
    print(X.shape, Y.shape, X.dtype)
    return X, Y


random.seed(42)
random.shuffle(words)
Xtr, Ytr = build(words[:4000])
Xdev, Ydev = build(words[4000:4500])
g = torch.Generator().manual_seed(2147483647)
C = torch.randn((27, 10), generator=g)
W1 = torch.randn((30, 100), generator=g)
b1 = torch.randn(100, generator=g)
W2 = torch.randn((100, 27), generator=g)
b2 = torch.randn(27, generator=g)
parameters = [C, W1, b1, W2, b2]
print(sum(p.nelement() for p in parameters))
for p in parameters:
    p.requires_grad = True
lre = torch.linspace(-3, 0, 200)
lrs = 10**lre
lri, lossi, stepi = [], [], []
for i in range(200):
    ix = torch.randint(0, Xtr.shape[0], (32,), generator=g)
    emb = C[Xtr[ix]]
    h = torch.tanh(emb.view(-1, 30) @ W1 + b1)
    logits = h @ W2 + b2
    loss = F.cross_entropy(logits, Ytr[ix])
    for p in parameters:
        p.grad = None
    loss.backward()
    lr = lrs[i] if i < 100 else 0.1
    for p in parameters:
        p.data += -lr * p.grad
    lri.append(lre[i])
    stepi.append(i)
    lossi.append(loss.log10().item())
    if i % 10 == 0:
        print(f"{i} {loss.item():.4f} {lossi[-1]:.4f} {float(lr):.4f}")
print(torch.tensor(lossi).view(-1, 50).mean(1))
emb = C[Xdev]
loss = F.cross_entropy(torch.tanh(emb.view(emb.shape[0], -1) @ W1 + b1) @ W2 + b2, Ydev)
print(loss)
g = torch.Generator().manual_seed(2147483647 + 10)
for _ in range(6):
    out, context = [], [0] * 3
    while True:
        emb = C[torch.tensor([context])]
        h = torch.tanh(emb.view(1, -1) @ W1 + b1)
        probs = F.softmax(h @ W2 + b2, dim=1)
        ix = torch.multinomial(probs, num_samples=1, generator=g).item()
        context = context[1:] + [ix]
        out.append(ix)
        if ix == 0:
            break
    print("".join(itos[i] for i in out))
