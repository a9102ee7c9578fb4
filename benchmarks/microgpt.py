"""microGPT: a GPT of 4,192 parameters trained on one name a step, op by op over whole sequences.

    python benchmarks/microgpt.py torch|fastnn [--threads N] [--runs N] [--trace]

Prints the best time of the training loop of 1,000 steps; --trace prints every loss and 20 sampled names instead, as
tests/test_microgpt.py reads them. The model is that of Andrej Karpathy's microgpt.py (February 2026): the same order of
documents, initial weights and samples, drawn from Python's own `random` with seed 42.
Invariant: everything from `class GPT` on is a PyTorch script; nothing in it knows which library runs it.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

STEPS, BLOCK, EMBED, HEADS, EPS = 1000, 16, 16, 4, 1e-5


def names() -> list[str]:
    """The documents in training order; this starts the stream that weights and samples are drawn from."""
    here = Path(__file__).resolve()
    folders = [os.environ.get("FASTNN_DATA", "."), *(p / "shared" / "data" for p in here.parents)]
    path = next((p for p in (Path(f) / "names.txt" for f in folders) if p.exists()), None)
    if path is None:
        raise SystemExit("names.txt is missing: set FASTNN_DATA to the folder that holds it")
    docs = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    random.seed(42)
    random.shuffle(docs)
    return docs


class GPT:
    """One layer: embeddings, causal attention and an MLP, RMSNorm without gains, no biases."""

    def __init__(self, vocab: int) -> None:
        def matrix(rows: int, columns: int) -> Any:
            values = [[random.gauss(0, 0.08) for _ in range(columns)] for _ in range(rows)]
            return torch.tensor(values, requires_grad=True)

        self.wte, self.wpe, self.lm_head = matrix(vocab, EMBED), matrix(BLOCK, EMBED), matrix(vocab, EMBED)
        self.wq, self.wk, self.wv, self.wo = (matrix(EMBED, EMBED) for _ in range(4))
        self.fc1, self.fc2 = matrix(4 * EMBED, EMBED), matrix(EMBED, 4 * EMBED)

    def parameters(self) -> list[Any]:
        return list(vars(self).values())

    def __call__(self, tokens: Any) -> Any:
        """Logits (n, vocab) of the tokens (n,)."""
        n = len(tokens)
        x = F.rms_norm(self.wte[tokens] + self.wpe[:n], (EMBED,), eps=EPS)
        h = F.rms_norm(x, (EMBED,), eps=EPS)
        q = F.linear(h, self.wq).view(n, HEADS, -1).transpose(0, 1)
        k = F.linear(h, self.wk).view(n, HEADS, -1).transpose(0, 1)
        v = F.linear(h, self.wv).view(n, HEADS, -1).transpose(0, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(0, 1).reshape(n, EMBED)
        x = x + F.linear(y, self.wo)
        h = F.rms_norm(x, (EMBED,), eps=EPS)
        x = x + F.linear(F.relu(F.linear(h, self.fc1)), self.fc2)
        return F.linear(x, self.lm_head)


class Run:
    """One training run from the start."""

    def __init__(self) -> None:
        self.docs = names()
        self.letters = sorted(set("".join(self.docs)))
        self.bos = len(self.letters)
        self.token = {c: i for i, c in enumerate(self.letters)}
        self.model = GPT(self.bos + 1)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01, betas=(0.85, 0.99), eps=1e-8)

    def train(self) -> tuple[list[Any], float]:
        """The losses of all steps, and the loop's seconds."""
        model, optimizer, losses = self.model, self.optimizer, []
        start = time.perf_counter()
        for step in range(STEPS):
            doc = self.docs[step % len(self.docs)]
            tokens = torch.tensor([self.bos, *(self.token[c] for c in doc), self.bos])
            n = min(BLOCK, len(tokens) - 1)
            loss = F.cross_entropy(model(tokens[:n]), tokens[1 : n + 1])
            optimizer.zero_grad()
            loss.backward()
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * (1 - step / STEPS)
            optimizer.step()
            losses.append(loss.item())
        return losses, time.perf_counter() - start

    def sample(self) -> str:
        tokens = [self.bos]
        with torch.no_grad():
            while len(tokens) <= BLOCK:
                logits = self.model(torch.tensor(tokens))[-1]
                weights = F.softmax(logits / 0.5, dim=0).tolist()
                (token,) = random.choices(range(self.bos + 1), weights=weights)
                if token == self.bos:
                    break
                tokens.append(token)
        return "".join(self.letters[t] for t in tokens[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains microGPT, 1,000 steps.")
    parser.add_argument("side", choices=("torch", "fastnn"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5, help="runs of which the best counts (default: 5)")
    parser.add_argument("--trace", action="store_true", help="print the losses and 20 samples of one run")
    args = parser.parse_args()
    if args.side == "fastnn":
        import fastnn

        fastnn.install_as_torch()
    global torch, F
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(args.threads)
    if args.trace:
        run = Run()
        losses, _ = run.train()
        print(*(f"loss,{i},{loss:.4f}" for i, loss in enumerate(losses, 1)), sep="\n")
        print(*(f"sample,{i},{run.sample()}" for i in range(1, 21)), sep="\n")
        return
    taken = [Run().train()[1] for _ in range(args.runs)]
    print(f"{args.side}: {STEPS} steps in {min(taken) * 1e3:.1f} ms (best of {args.runs}), {args.threads} thread(s)")


if __name__ == "__main__":
    sys.exit(main())
