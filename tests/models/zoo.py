"""The networks whose whole trainings are compared: language models with nn.GRU and nn.LSTM, a GPT with dropout and tied weights,
MLPs with batch norm, by hand and nn.BatchNorm1d.

Written as a PyTorch script: it imports torch and knows nothing of fastnn; training.py loads it once for each library. The six
character models are those of ../scripts/charmodels.py. A model maps a batch (x, y) to (output, loss).
Invariant: all random numbers come from the library's own stream, so both start from equal bits. Read next: training.py.
"""

import math

import torch
import torch.nn as nn
from torch.nn import functional as F

VOCAB, BLOCK = 17, 7


def token_loss(logits, targets):
    return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))


class RecurrentModel(nn.Module):
    """Two layers of nn.GRU or nn.LSTM with dropout between them and before the output."""

    def __init__(self, kind):
        super().__init__()
        self.emb = nn.Embedding(VOCAB, 8)
        self.rnn = kind(8, 12, num_layers=2, batch_first=True, dropout=0.2)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(12, VOCAB)

    def forward(self, x, y):
        logits = self.head(self.drop(self.rnn(self.emb(x))[0]))
        return logits, token_loss(logits, y)


class GPTBlock(nn.Module):
    def __init__(self, width, heads, drop):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width, bias=False)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(drop))
        self.heads, self.drop = heads, nn.Dropout(drop)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in self.c_attn(self.ln_1(x)).split(C, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.1 if self.training else 0.0, is_causal=True)
        x = x + self.drop(self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C)))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """Learned positions, dropout in every place, the output tied to the embedding."""

    def __init__(self, width=16, heads=2, layers=2, drop=0.1):
        super().__init__()
        self.wte, self.wpe, self.drop = nn.Embedding(VOCAB, width), nn.Embedding(BLOCK, width), nn.Dropout(drop)
        self.h = nn.ModuleList([GPTBlock(width, heads, drop) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, VOCAB, bias=False)
        self.wte.weight = self.lm_head.weight
        self.apply(self._init)
        for n, p in self.named_parameters():
            if n.endswith("c_proj.weight"):
                nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * layers))

    def _init(self, m):
        if isinstance(m, (nn.Linear, nn.Embedding)):
            nn.init.normal_(m.weight, mean=0.0, std=0.02)
        if isinstance(m, nn.Linear) and m.bias is not None:
            nn.init.zeros_(m.bias)

    def forward(self, x, y):
        h = self.drop(self.wte(x) + self.wpe(torch.arange(x.size(1))))
        for block in self.h:
            h = block(h)
        logits = self.lm_head(self.ln_f(h))
        return logits, token_loss(logits, y)


class HandNorm(nn.Module):
    """Batch norm in plain tensor operations, as the lectures write it."""

    def __init__(self, width, eps=1e-5, momentum=0.1):
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("var", torch.ones(width))
        self.eps, self.momentum = eps, momentum

    def forward(self, x):
        mean, var = x.mean(0, keepdim=True), x.var(0, keepdim=True)
        with torch.no_grad():
            self.mean = (1 - self.momentum) * self.mean + self.momentum * mean.view(-1)
            self.var = (1 - self.momentum) * self.var + self.momentum * var.view(-1)
        return self.gain * (x - mean) / torch.sqrt(var + self.eps) + self.shift


class NormMLP(nn.Module):
    """The characters before predict the last one: embedding, two layers with batch norm and tanh, head."""

    def __init__(self, norm):
        super().__init__()
        self.emb = nn.Embedding(VOCAB, 6)
        wide = 6 * BLOCK
        self.net = nn.Sequential(
            nn.Linear(wide, 20, bias=False), norm(20), nn.Tanh(), nn.Linear(20, 20, bias=False), norm(20), nn.Tanh(), nn.Linear(20, VOCAB)
        )

    def forward(self, x, y):
        logits = self.net(self.emb(x).view(x.size(0), -1))
        return logits, token_loss(logits, y[:, -1])


MODELS = {
    "batch norm by hand": lambda: NormMLP(HandNorm),
    "nn.BatchNorm1d": lambda: NormMLP(nn.BatchNorm1d),
    "nn.GRU": lambda: RecurrentModel(nn.GRU),
    "nn.LSTM": lambda: RecurrentModel(nn.LSTM),
    "GPT": GPT,
}
