"""Six models of the next character, from a table of pairs to a transformer.

All share one contract: model(idx (B,T) int64) gives logits (B,T,V) in which position t has seen idx[:, :t+1] only, for
any T up to block_size; model.loss(idx, targets) is the mean cross entropy where targets are not -1.
The file uses nothing of fastnn that torch lacks, so the benchmarks can time the very same models under torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import fastnn
from fastnn import Tensor, nn
from fastnn.nn import functional as F


@dataclass
class ModelConfig:
    type: str
    vocab_size: int
    block_size: int
    n_layer: int
    n_head: int
    n_embd: int
    n_embd2: int
    dropout: float

    def parameters(self) -> int:
        """How many numbers the model learns, counted without building it."""
        V, T, C, H = self.vocab_size, self.block_size, self.n_embd, self.n_embd2
        return {
            "transformer": (2 * V + T + 2) * C + self.n_layer * (12 * C + 13) * C,
            "gru": V * C + 3 * H * (C + H + 2) + (H + 1) * V,
            "rnn": V * C + (C + 1 + H + 1) * H + (H + 1) * V,
            "mlp": (V + 1) * C + (T * C + 1) * H + (H + 1) * V,
            "bow": (V + T) * C + (C + 1) * H + (H + 1) * C + (C + 1) * V,
            "bigram": V * V,
        }[self.type]


class LanguageModel(nn.Module):
    def loss(self, idx: Tensor, targets: Tensor) -> Tensor:
        logits = self(idx)
        return F.cross_entropy(logits.reshape(-1, logits.size(-1)), targets.reshape(-1), ignore_index=-1)


class Bigram(LanguageModel):
    """One row of logits for each previous character."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.logits = nn.Embedding(c.vocab_size, c.vocab_size)
        nn.init.zeros_(self.logits.weight)

    def forward(self, idx: Tensor) -> Tensor:
        return self.logits(idx)


class MLP(LanguageModel):
    """The embeddings of the last block_size characters side by side, then two layers (Bengio et al. 2003)."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.width = c.block_size
        self.pad = c.vocab_size  # the token in front of the beginning
        self.embed = nn.Embedding(c.vocab_size + 1, c.n_embd)
        self.hidden = nn.Linear(c.block_size * c.n_embd, c.n_embd2)
        self.head = nn.Linear(c.n_embd2, c.vocab_size)

    def forward(self, idx: Tensor) -> Tensor:
        B, T = idx.shape
        front = fastnn.full((B, self.width - 1), self.pad, dtype=fastnn.int64)
        window = fastnn.arange(T).view(T, 1) + fastnn.arange(self.width)  # (T, width): what position t sees
        seen = fastnn.cat((front, idx), 1)[:, window]  # (B, T, width)
        return self.head(fastnn.tanh(self.hidden(self.embed(seen).view(B, T, -1))))


class BagOfWords(LanguageModel):
    """The plain average of all characters so far, and a small network on top of it."""

    average: Tensor  # (T, T): row t holds 1 / (t + 1) in columns 0 .. t

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.embed = nn.Embedding(c.vocab_size, c.n_embd)
        self.place = nn.Embedding(c.block_size, c.n_embd)
        self.mix = nn.Sequential(nn.Linear(c.n_embd, c.n_embd2), nn.Tanh(), nn.Linear(c.n_embd2, c.n_embd))
        self.head = nn.Linear(c.n_embd, c.vocab_size)
        ones = fastnn.tril(fastnn.ones(c.block_size, c.block_size))
        self.register_buffer("average", ones / ones.sum(1, keepdim=True), persistent=False)

    def forward(self, idx: Tensor) -> Tensor:
        T = idx.size(1)
        x = self.embed(idx) + self.place(fastnn.arange(T))
        x = x + self.average[:T, :T] @ x
        return self.head(x + self.mix(x))


class RNN(LanguageModel):
    """h = tanh(W x + U h + b), with all W x computed in one product before the loop over time."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.embed = nn.Embedding(c.vocab_size, c.n_embd)
        self.into = nn.Linear(c.n_embd, c.n_embd2)
        self.again = nn.Linear(c.n_embd2, c.n_embd2, bias=False)
        self.head = nn.Linear(c.n_embd2, c.vocab_size)
        self.start = nn.Parameter(fastnn.zeros(1, c.n_embd2))

    def forward(self, idx: Tensor) -> Tensor:
        x = self.into(self.embed(idx))
        h = self.start
        states = []
        for t in range(idx.size(1)):
            h = fastnn.tanh(x[:, t] + self.again(h))
            states.append(h)
        return self.head(fastnn.stack(states, 1))


class GRU(LanguageModel):
    """A gated recurrent layer (nn.GRU: reset after the recurrent product)."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.embed = nn.Embedding(c.vocab_size, c.n_embd)
        self.gru = nn.GRU(c.n_embd, c.n_embd2, batch_first=True)
        self.head = nn.Linear(c.n_embd2, c.vocab_size)

    def forward(self, idx: Tensor) -> Tensor:
        states, _ = self.gru(self.embed(idx))
        return self.head(states)


class Block(nn.Module):
    """Causal attention and a feed-forward network, each behind a LayerNorm and added to what came in."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.heads, self.dropout = c.n_head, c.dropout
        self.norm1, self.norm2 = nn.LayerNorm(c.n_embd), nn.LayerNorm(c.n_embd)
        self.qkv = nn.Linear(c.n_embd, 3 * c.n_embd)
        self.out = nn.Linear(c.n_embd, c.n_embd)
        self.up, self.down = nn.Linear(c.n_embd, 4 * c.n_embd), nn.Linear(4 * c.n_embd, c.n_embd)

    def attend(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, D)
        return self.out(y.transpose(1, 2).reshape(B, T, C))

    def forward(self, x: Tensor) -> Tensor:
        x = x + F.dropout(self.attend(self.norm1(x)), self.dropout, self.training)
        return x + F.dropout(self.down(F.gelu(self.up(self.norm2(x)))), self.dropout, self.training)


class Transformer(LanguageModel):
    """A decoder-only transformer with learned positions (the layout of GPT-2)."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.embed = nn.Embedding(c.vocab_size, c.n_embd)
        self.place = nn.Embedding(c.block_size, c.n_embd)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.n_layer))
        self.norm = nn.LayerNorm(c.n_embd)
        self.head = nn.Linear(c.n_embd, c.vocab_size, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, idx: Tensor) -> Tensor:
        x = self.embed(idx) + self.place(fastnn.arange(idx.size(1)))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


MODELS: dict[str, type[LanguageModel]] = {
    "transformer": Transformer,
    "gru": GRU,
    "rnn": RNN,
    "mlp": MLP,
    "bow": BagOfWords,
    "bigram": Bigram,
}


def build(config: ModelConfig) -> LanguageModel:
    return MODELS[config.type](config)  # type: ignore[call-arg]
