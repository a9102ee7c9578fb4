"""Six character-level language models over a list of names, one per --type: the shape of script most people bring.

Run as `python charmodels.py DATA_DIR TYPE [WORKERS]`; prints losses, test losses and sampled names.
"""

import math
import sys
from dataclasses import dataclass

import torch
import torch.nn as nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from torch.utils.data.dataloader import DataLoader


@dataclass
class Config:
    block: int = 16
    vocab: int = 27
    layers: int = 2
    heads: int = 4
    width: int = 32
    hidden: int = 32


class TanhGelu(nn.Module):
    def forward(self, x):
        return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        assert c.width % c.heads == 0
        self.qkv = nn.Linear(c.width, 3 * c.width)
        self.proj = nn.Linear(c.width, c.width)
        self.register_buffer("bias", torch.tril(torch.ones(c.block, c.block)).view(1, 1, c.block, c.block))
        self.heads, self.width = c.heads, c.width

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.qkv(x).split(self.width, dim=2)
        q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in (q, k, v))
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
        y = F.softmax(att, dim=-1) @ v
        return self.proj(y.transpose(1, 2).contiguous().view(B, T, C))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.ln_1 = nn.LayerNorm(c.width)
        self.attn = Attention(c)
        self.ln_2 = nn.LayerNorm(c.width)
        self.mlp = nn.ModuleDict(dict(fc=nn.Linear(c.width, 4 * c.width), proj=nn.Linear(4 * c.width, c.width), act=TanhGelu()))
        m = self.mlp
        self.mlpf = lambda x: m.proj(m.act(m.fc(x)))

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlpf(self.ln_2(x))


class Base(nn.Module):
    def get_block_size(self):
        return self.block

    def loss(self, logits, targets):
        if targets is None:
            return None
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)


class Transformer(Base):
    def __init__(self, c):
        super().__init__()
        self.block = c.block
        self.transformer = nn.ModuleDict(
            dict(wte=nn.Embedding(c.vocab, c.width), wpe=nn.Embedding(c.block, c.width), h=nn.ModuleList([Block(c) for _ in range(c.layers)]), ln_f=nn.LayerNorm(c.width))
        )
        self.lm_head = nn.Linear(c.width, c.vocab, bias=False)
        print("number of parameters: %.2fM" % (sum(p.numel() for p in self.transformer.parameters()) / 1e6,))

    def forward(self, idx, targets=None):
        b, t = idx.size()
        pos = torch.arange(0, t, dtype=torch.long, device=idx.device).unsqueeze(0)
        x = self.transformer.wte(idx) + self.transformer.wpe(pos)
        for block in self.transformer.h:
            x = block(x)
        logits = self.lm_head(self.transformer.ln_f(x))
        return logits, self.loss(logits, targets)


class BagOfWords(Base):
    def __init__(self, c):
        super().__init__()
        self.block = c.block
        self.wte, self.wpe = nn.Embedding(c.vocab, c.width), nn.Embedding(c.block, c.width)
        self.register_buffer("mask", torch.tril(torch.ones(c.block, c.block)).view(1, c.block, c.block))
        self.mlp = nn.ModuleDict(dict(fc=nn.Linear(c.width, c.hidden), proj=nn.Linear(c.hidden, c.width)))
        self.lm_head = nn.Linear(c.width, c.vocab)

    def forward(self, idx, targets=None):
        b, t = idx.size()
        x = self.wte(idx) + self.wpe(torch.arange(0, t, dtype=torch.long).unsqueeze(0))
        att = torch.zeros((b, t, t), device=x.device).masked_fill(self.mask[:, :t, :t] == 0, float("-inf"))
        x = x + F.softmax(att, dim=-1) @ x
        x = x + self.mlp.proj(F.tanh(self.mlp.fc(x)))
        logits = self.lm_head(x)
        return logits, self.loss(logits, targets)


class RnnCell(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.xh = nn.Linear(c.width + c.hidden, c.hidden)

    def forward(self, xt, h):
        return F.tanh(self.xh(torch.cat([xt, h], dim=1)))


class GruCell(nn.Module):
    """The gated unit with the reset gate applied before the recurrent product."""

    def __init__(self, c):
        super().__init__()
        self.z, self.r, self.hbar = (nn.Linear(c.width + c.hidden, c.hidden) for _ in range(3))

    def forward(self, xt, h):
        xh = torch.cat([xt, h], dim=1)
        r = F.sigmoid(self.r(xh))
        hbar = F.tanh(self.hbar(torch.cat([xt, r * h], dim=1)))
        z = F.sigmoid(self.z(xh))
        return (1 - z) * h + z * hbar


class Recurrent(Base):
    def __init__(self, c, cell):
        super().__init__()
        self.block = c.block
        self.start = nn.Parameter(torch.zeros(1, c.hidden))
        self.wte = nn.Embedding(c.vocab, c.width)
        self.cell = cell(c)
        self.lm_head = nn.Linear(c.hidden, c.vocab)

    def forward(self, idx, targets=None):
        b, t = idx.size()
        emb = self.wte(idx)
        h = self.start.expand((b, -1))
        states = []
        for i in range(t):
            h = self.cell(emb[:, i, :], h)
            states.append(h)
        logits = self.lm_head(torch.stack(states, 1))
        return logits, self.loss(logits, targets)


class Mlp(Base):
    def __init__(self, c):
        super().__init__()
        self.block, self.vocab = c.block, c.vocab
        self.wte = nn.Embedding(c.vocab + 1, c.width)
        self.mlp = nn.Sequential(nn.Linear(c.block * c.width, c.hidden), nn.Tanh(), nn.Linear(c.hidden, c.vocab))

    def forward(self, idx, targets=None):
        embs = []
        for _ in range(self.block):
            embs.append(self.wte(idx))
            idx = torch.roll(idx, 1, 1)
            idx[:, 0] = self.vocab
        logits = self.mlp(torch.cat(embs, -1))
        return logits, self.loss(logits, targets)


class Bigram(Base):
    def __init__(self, c):
        super().__init__()
        self.block = 1
        self.logits = nn.Parameter(torch.zeros((c.vocab, c.vocab)))

    def forward(self, idx, targets=None):
        logits = self.logits[idx]
        return logits, self.loss(logits, targets)


MODELS = {"transformer": Transformer, "bow": BagOfWords, "rnn": lambda c: Recurrent(c, RnnCell), "gru": lambda c: Recurrent(c, GruCell), "mlp": Mlp, "bigram": Bigram}


@torch.no_grad()
def generate(model, idx, count, temperature=1.0, do_sample=False, top_k=None):
    for _ in range(count):
        logits, _ = model(idx if idx.size(1) <= model.block else idx[:, -model.block :])
        logits = logits[:, -1, :] / temperature
        if top_k is not None:
            v, _ = torch.topk(logits, top_k)
            logits[logits < v[:, [-1]]] = -float("Inf")
        probs = F.softmax(logits, dim=-1)
        nxt = torch.multinomial(probs, num_samples=1) if do_sample else torch.topk(probs, k=1, dim=-1)[1]
        idx = torch.cat((idx, nxt), dim=1)
    return idx


@torch.inference_mode()
def evaluate(model, dataset, batch=50, most=None):
    model.eval()
    losses = []
    for i, (X, Y) in enumerate(DataLoader(dataset, shuffle=True, batch_size=batch, num_workers=0)):
        losses.append(model(X, Y)[1].item())
        if most is not None and i >= most:
            break
    model.train()
    return torch.tensor(losses).mean().item()


class Names(Dataset):
    def __init__(self, words, chars, longest):
        self.words, self.longest = words, longest
        self.stoi = {ch: i + 1 for i, ch in enumerate(chars)}
        self.itos = {i: s for s, i in self.stoi.items()}

    def __len__(self):
        return len(self.words)

    def __getitem__(self, idx):
        ix = torch.tensor([self.stoi[w] for w in self.words[idx]], dtype=torch.long)
        x, y = torch.zeros(self.longest + 1, dtype=torch.long), torch.zeros(self.longest + 1, dtype=torch.long)
        x[1 : 1 + len(ix)] = ix
        y[: len(ix)] = ix
        y[len(ix) + 1 :] = -1
        return x, y


class Endless:
    def __init__(self, dataset, **kwargs):
        sampler = torch.utils.data.RandomSampler(dataset, replacement=True, num_samples=int(1e10))
        self.loader = DataLoader(dataset, sampler=sampler, **kwargs)
        self.data = iter(self.loader)

    def next(self):
        return next(self.data)


def show_samples(model, dataset, top_k=None):
    start = torch.zeros(5, 1, dtype=torch.long).to("cpu")
    out = generate(model, start, dataset.longest, top_k=top_k, do_sample=True).to("cpu")
    for i in range(out.size(0)):
        row = out[i, 1:].tolist()
        row = row[: row.index(0)] if 0 in row else row
        print("".join(dataset.itos[k] for k in row))


def main():
    data, kind = sys.argv[1], sys.argv[2]
    workers = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    torch.manual_seed(3407)
    torch.cuda.manual_seed_all(3407)
    words = [w.strip() for w in open(data + "/names.txt").read().splitlines()]
    chars = sorted(set("".join(words)))
    longest = max(len(w) for w in words)
    order = torch.randperm(len(words)).tolist()
    train, test = (Names([words[i] for i in part], chars, longest) for part in (order[:-1000], order[-1000:]))
    model = MODELS[kind](Config(block=longest + 1))
    print(f"model #params: {sum(p.numel() for p in model.parameters())}")
    print([(n, tuple(v.shape)) for n, v in model.state_dict().items()])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01, betas=(0.9, 0.99), eps=1e-8)
    loader = Endless(train, batch_size=32, pin_memory=False, num_workers=workers)
    for step in range(61):
        X, Y = [t.to("cpu") for t in loader.next()]
        logits, loss = model(X, Y)
        model.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 5 == 0:
            print(f"step {step} | loss {loss.item():.4f}")
        if step and step % 30 == 0:
            print(f"train {evaluate(model, train, 100, 5):.4f} test {evaluate(model, test, 100, 5):.4f}")
            show_samples(model, train, top_k=None if step == 30 else 5)


if __name__ == "__main__":
    main()
