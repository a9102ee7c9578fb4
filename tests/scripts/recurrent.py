"""nn.GRU and nn.GRUCell language models over names: padded batches, hidden state carried across chunks, packed bias names."""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

words = open(sys.argv[1] + "/names.txt").read().splitlines()[:600]
stoi = {s: i + 1 for i, s in enumerate(sorted(set("".join(words))))}
stoi["."] = 0
itos = {i: s for s, i in stoi.items()}
text = torch.tensor([stoi[c] for c in ".".join(words)])
print(text.shape, text[:10])


class Model(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.emb = nn.Embedding(27, 16)
        self.gru = nn.GRU(16, 32, num_layers=layers, batch_first=True, dropout=0.1 if layers > 1 else 0.0)
        self.out = nn.Linear(32, 27)

    def forward(self, x, h=None):
        y, h = self.gru(self.emb(x), h)
        return self.out(y), h


for layers in (1, 2):
    torch.manual_seed(7)
    model = Model(layers)
    print(sum(p.numel() for p in model.parameters()), [n for n, _ in model.named_parameters()])
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    h = None
    data = text[: 8 * 400].view(8, -1)
    for step in range(24):
        x, y = data[:, step * 16 : step * 16 + 16], data[:, step * 16 + 1 : step * 16 + 17]
        logits, h = model(x, h)
        h = h.detach()
        loss = F.cross_entropy(logits.reshape(-1, 27), y.reshape(-1))
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        opt.step()
        if step % 4 == 0:
            print(f"{layers} {step} {loss.item():.4f} {h.norm():.4f}")
    model.eval()
    with torch.no_grad():
        ix, h, out = torch.zeros(1, 1, dtype=torch.long), None, []
        for _ in range(30):
            logits, h = model(ix, h)
            ix = torch.multinomial(F.softmax(logits[:, -1], -1), 1)
            out.append(itos[ix.item()])
    print("".join(out), tuple(h.shape))

torch.manual_seed(1)
cell = nn.GRUCell(4, 6)
state = torch.zeros(3, 6)
inputs = torch.randn(5, 3, 4)
for xt in inputs:
    state = cell(xt, state)
state.sum().backward()
print([f"{p.grad.norm():.4f}" for p in cell.parameters()], f"{state.mean():.4f}")
both = nn.GRU(4, 6, bidirectional=True)
y, h = both(inputs)
print(tuple(y.shape), tuple(h.shape), f"{y.std():.4f}")
