"""A GPT over plain text: memory-mapped tokens, weight tying, decay groups, warm-up and cosine, clipping, accumulation, checkpoints, sampling."""

import inspect
import math
import os
import pickle
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn as nn
from torch.nn import functional as F


class LayerNorm(nn.Module):
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))
        self.bias = nn.Parameter(torch.zeros(ndim)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c_attn = nn.Linear(c.n_embd, 3 * c.n_embd, bias=c.bias)
        self.c_proj = nn.Linear(c.n_embd, c.n_embd, bias=c.bias)
        self.resid_dropout = nn.Dropout(c.dropout)
        self.c = c
        self.flash = hasattr(torch.nn.functional, "scaled_dot_product_attention")

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(C, dim=2)
        q, k, v = (t.view(B, T, self.c.n_head, C // self.c.n_head).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=0, is_causal=True)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C)))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.ln_1, self.ln_2 = LayerNorm(c.n_embd, c.bias), LayerNorm(c.n_embd, c.bias)
        self.attn = Attention(c)
        self.mlp = nn.Sequential(nn.Linear(c.n_embd, 4 * c.n_embd, bias=c.bias), nn.GELU(), nn.Linear(4 * c.n_embd, c.n_embd, bias=c.bias), nn.Dropout(c.dropout))

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


@dataclass
class Config:
    block_size: int = 32
    vocab_size: int = 65
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 32
    dropout: float = 0.1
    bias: bool = False


class GPT(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.transformer = nn.ModuleDict(
            dict(wte=nn.Embedding(c.vocab_size, c.n_embd), wpe=nn.Embedding(c.block_size, c.n_embd), drop=nn.Dropout(c.dropout), h=nn.ModuleList([Block(c) for _ in range(c.n_layer)]), ln_f=LayerNorm(c.n_embd, c.bias))
        )
        self.lm_head = nn.Linear(c.n_embd, c.vocab_size, bias=False)
        self.transformer.wte.weight = self.lm_head.weight
        self.apply(self._init)
        for n, p in self.named_parameters():
            if n.endswith("c_proj.weight"):
                torch.nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * c.n_layer))
        print("parameters", sum(p.numel() for p in self.parameters()))

    def _init(self, m):
        if isinstance(m, nn.Linear):
            torch.nn.init.normal_(m.weight, mean=0.0, std=0.02)
            if m.bias is not None:
                torch.nn.init.zeros_(m.bias)
        elif isinstance(m, nn.Embedding):
            torch.nn.init.normal_(m.weight, mean=0.0, std=0.02)

    def forward(self, idx, targets=None):
        b, t = idx.size()
        pos = torch.arange(0, t, dtype=torch.long, device=idx.device)
        x = self.transformer.drop(self.transformer.wte(idx) + self.transformer.wpe(pos))
        for block in self.transformer.h:
            x = block(x)
        x = self.transformer.ln_f(x)
        if targets is None:
            return self.lm_head(x[:, [-1], :]), None
        logits = self.lm_head(x)
        return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)

    def configure(self, decay, lr, betas):
        named = {n: p for n, p in self.named_parameters() if p.requires_grad}
        groups = [{"params": [p for p in named.values() if p.dim() >= 2], "weight_decay": decay}, {"params": [p for p in named.values() if p.dim() < 2], "weight_decay": 0.0}]
        print([len(g["params"]) for g in groups], "fused" in inspect.signature(torch.optim.AdamW).parameters)
        return torch.optim.AdamW(groups, lr=lr, betas=betas)

    @torch.no_grad()
    def generate(self, idx, n, temperature=1.0, top_k=None):
        for _ in range(n):
            logits, _ = self(idx if idx.size(1) <= self.c.block_size else idx[:, -self.c.block_size :])
            logits = logits[:, -1, :] / temperature
            if top_k is not None:
                v, _ = torch.topk(logits, min(top_k, logits.size(-1)))
                logits[logits < v[:, [-1]]] = -float("Inf")
            idx = torch.cat((idx, torch.multinomial(F.softmax(logits, dim=-1), num_samples=1)), dim=1)
        return idx


folder = tempfile.mkdtemp()
text = open(sys.argv[1] + "/tinyshakespeare.txt").read()[:200000]
chars = sorted(set(text))
stoi = {c: i for i, c in enumerate(chars)}
np.array([stoi[c] for c in text], dtype=np.uint16).tofile(os.path.join(folder, "train.bin"))
with open(os.path.join(folder, "meta.pkl"), "wb") as f:
    pickle.dump({"chars": chars}, f)
torch.manual_seed(1337)
torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True
ctx = nullcontext()
B, T = 8, 32


def get_batch():
    data = np.memmap(os.path.join(folder, "train.bin"), dtype=np.uint16, mode="r")
    ix = torch.randint(len(data) - T, (B,))
    x = torch.stack([torch.from_numpy((data[i : i + T]).astype(np.int64)) for i in ix])
    y = torch.stack([torch.from_numpy((data[i + 1 : i + 1 + T]).astype(np.int64)) for i in ix])
    return x.to("cpu"), y.to("cpu")


def get_lr(it, lr=1e-3, warm=5, most=40, least=1e-4):
    if it < warm:
        return lr * (it + 1) / (warm + 1)
    return least + 0.5 * (1.0 + math.cos(math.pi * (it - warm) / (most - warm))) * (lr - least)


@torch.no_grad()
def estimate():
    model.eval()
    losses = torch.zeros(4)
    for k in range(4):
        _, loss = model(*get_batch())
        losses[k] = loss.item()
    model.train()
    return losses.mean()


config = Config(vocab_size=len(chars))
model = GPT(config)
scaler = torch.amp.GradScaler("cuda", enabled=False)
optimizer = model.configure(0.1, 1e-3, (0.9, 0.99))
X, Y = get_batch()
for it in range(40):
    for group in optimizer.param_groups:
        group["lr"] = get_lr(it)
    if it % 20 == 0:
        print(f"step {it}: val loss {estimate():.4f}")
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "config": asdict(config), "it": it}, os.path.join(folder, "ckpt.pt"))
    for _ in range(2):
        with ctx:
            _, loss = model(X, Y)
            loss = loss / 2
        X, Y = get_batch()
        scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    if it % 4 == 0:
        print(f"iter {it}: loss {loss.item() * 2:.4f} norm {norm.item():.4f} lr {optimizer.param_groups[0]['lr']:.6f}")
ckpt = torch.load(os.path.join(folder, "ckpt.pt"), map_location="cpu")
print(ckpt["it"], ckpt["config"], len(ckpt["optimizer"]["state"]), list(ckpt["model"])[:4])
other = GPT(Config(**ckpt["config"]))
other.load_state_dict(ckpt["model"])
resumed = other.configure(0.1, 1e-3, (0.9, 0.99))
resumed.load_state_dict(ckpt["optimizer"])
print(other.transformer.wte.weight is other.lm_head.weight, resumed.param_groups[0]["lr"])
model.eval()
for k in range(2):
    y = model.generate(torch.tensor([[stoi["\n"]]], dtype=torch.long)[0][None, ...], 40, temperature=0.8, top_k=10 if k else None)
    print("".join(chars[i] for i in y[0].tolist()))
    print("---")
