"""repr, str, format and print options: equal to torch's text, character by character.

Invariant: each entry is printed by both libraries. Does not: judge whether the text is good. Read next: python/fastnn's printing file.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agree import agree, run
from support import run_python

import fastnn

VALUES = """
torch.tensor(3); torch.tensor(3.5); torch.tensor(True); torch.tensor(-0.0); torch.tensor(1e-10); torch.tensor(1e10); torch.tensor(123456789.0); torch.tensor(float('nan')); torch.tensor(-inf); torch.tensor([]); torch.zeros(0, 3); torch.zeros(2, 0); torch.zeros(0, dtype=torch.int64); torch.zeros(3); torch.ones(2, 3); torch.arange(3); torch.arange(3.0); torch.eye(3); f1; f2; f3; d1; d2; i1; i2; j1; u1; b1; b2; s2; s3; e; w1; w2
torch.tensor([1.0, 2.5]); torch.tensor([1.0, 2.0]); torch.tensor([1e-5, 1.0]); torch.tensor([1e-4, 1.0]); torch.tensor([1e-3, 1e3]); torch.tensor([1e-3, 1e4]); torch.tensor([1.0, 1e5]); torch.tensor([1.5, 99999.0]); torch.tensor([1.5, 100000.0]); torch.tensor([1e8, 1.0]); torch.tensor([1e9]); torch.tensor([99999999.0]); torch.tensor([123456.0, 1.0]); torch.tensor([0.1, 0.22, 0.333]); torch.tensor([1e-20, 1e20]); torch.tensor([1e38, 1e-38]); torch.tensor([1e-45]); torch.tensor([0.00001]); torch.tensor([0.12345678]); torch.tensor([1000.5]); torch.tensor([10000.25, 0.5])
torch.tensor([nan, 1.0]); torch.tensor([inf, -inf]); torch.tensor([nan, inf, 1.5]); torch.tensor([nan]); torch.tensor([inf, 2.0]); torch.tensor([-inf, 1e-9]); torch.tensor([0.0, -0.0]); torch.tensor([-1.0, 1.0]); torch.tensor([-1.5, 100.0]); torch.tensor([[1.0, -2.0], [3.5, 1e3]]); torch.tensor([2**40, 1]); torch.tensor([-5, 100000]); torch.tensor([[1], [-22]]); torch.tensor([1e300], dtype=torch.float64); torch.tensor([1e-300, 1.0], dtype=torch.float64); torch.tensor([0.1], dtype=torch.float64); torch.tensor([16777217.0], dtype=torch.float64)
torch.arange(30); torch.arange(100); torch.arange(1000); torch.arange(1001); torch.arange(2000.0); torch.arange(30.0); torch.arange(40.0) * 1.5; torch.arange(12.0).view(3, 4) / 7; torch.arange(60).view(3, 20); torch.arange(100.0).view(5, 20); torch.arange(1200.0).view(30, 40); torch.arange(1200).view(30, 40); torch.arange(2400.0).view(2, 30, 40) / 3; torch.arange(10000.0).view(10, 10, 10, 10); torch.zeros(1001); torch.zeros(7, 1001); torch.arange(1002.0).view(1002, 1) / 3; torch.zeros(2, 3, 1001); torch.arange(1100) > 500; torch.ones(27, 27, dtype=torch.int32); torch.zeros(1, 1, 1, 1); torch.zeros(2, 2, 2, 2); torch.zeros(100, 0); torch.arange(26.0).view(2, 13)
w1 * 2; w1 + 1; 1 - w1; w1 - 1; w1 / 2; 2 / w1; w1 * w1; w1 @ w1; w2 @ w1; w2 @ w2.t(); -w1; w1 ** 2; 2 ** w1; w1 ** w1; w1.exp(); w1.abs().log(); w1.tanh(); w1.sigmoid(); w1.relu(); w1.abs(); w1.sqrt(); w1.rsqrt(); w1.sum(); w2.sum(0); w1.mean(); w2.mean(1); w2.var(0); w1.std(); w1.max(); w2.max(1); w2.max(1).values; w1.min(); w1.prod(); w1.norm(); w2.t(); w2.T; w2.view(12); w2.view(-1, 2); w2.reshape(4, 3); w2.transpose(0, 1); w2.permute(1, 0); w2.unsqueeze(0); w2[0]; w2[0, 0]; w2[:, 1]; w2[1:]; w2[None]; w2[[0, 1]]; w2[i1[:2] - 1]; w2[b2]; w2[0:2, [1]]; w2.flatten(); w2.squeeze(); w2.expand(2, 3, 4); w2.repeat(1, 2); w2.clone(); w2.contiguous(); w2.double(); w2.float(); w2.to(torch.float64)
w2.softmax(1); w2.log_softmax(1); F.softmax(w2, dim=-1); F.cross_entropy(w2, i1[:3]); F.nll_loss(w2, i1[:3]); F.mse_loss(w2, f2); F.linear(w2, f2); F.linear(w2, f2, f1[:3]); F.layer_norm(w2, (4,)); F.gelu(w1); F.relu(w1); F.silu(w1); F.embedding(i1[1:], w2); F.one_hot(i1); torch.cat([w1, w1]); torch.stack([w1, w1]); torch.where(b1, w1, 0.0); w2.masked_fill(b2, 0.0); w2.tril(); w2.clamp(0, 1); w2.clamp(min=0); w2.cumsum(0); w2.gather(1, i2.clamp(0, 3)); w2.topk(2); w2.sort(); w2.split(2); w2.chunk(2, 1); w2.unbind(); w2.flip(0); w2.roll(1); w2.logsumexp(1); w1.sin(); w1.cos(); w1.erf(); w2.mm(f2.t()); f2.mm(w2.t()); w2.mv(f1); w1.dot(f1); w1.outer(f1); w2.addmm(f2, torch.eye(4)) if False else 1; torch.addmm(w1, f2, torch.eye(4)); w1.detach(); w1.data; w2.max(); w2.amax(1); w2.select(0, 1); w2.diagonal(); w2.index_select(0, i1[1:3]); w1.lerp(f1, 0.5); F.dropout(w1, 0.0); F.scaled_dot_product_attention(w2[None], f2[None], f2[None], is_causal=True).shape
nn.Parameter(f2); nn.Parameter(torch.ones(1)); nn.Parameter(torch.zeros(0)); nn.Parameter(torch.zeros(2, 2), requires_grad=False); torch.Size([2, 3]); torch.Size([]); f2.shape; f2.dtype; f2.device; f2.layout if False else 1; torch.float32; torch.int64; torch.bool; torch.device('cpu'); f2.max(1); f2.topk(1); f2.sort(); f2.min(0); w1.grad_fn if False else 1; w1.mul(2).grad_fn.name(); w1.sum().grad_fn.name(); torch.finfo(torch.float32); torch.iinfo(torch.int32); torch.tensor([1, 2], dtype=torch.int32); torch.tensor([1.0], dtype=torch.float64); torch.tensor([1.0], requires_grad=True); torch.tensor([1.0], dtype=torch.float64, requires_grad=True); torch.tensor(2.5, requires_grad=True); [f1, i1]; {'a': f0}; (w1.sum(), 1)
""".replace("\n", ";").split(";")


@pytest.mark.parametrize("form", ["repr", "str"])
@pytest.mark.parametrize("code", [c.strip() for c in VALUES if c.strip()])
def test_text(code: str, form: str) -> None:
    agree(f"{form}({code})")


FORMATS = ("f0:.4f", "f0:8.3f", "f0:e", "f0:g", "f0:+.2f", "f0", "i0", "i0:5d", "i0:x", "b0", "f1", "f2", "w0:.3f", "w0", "f0!r", "w1!r", "f1.shape", "f0:>10", "d1[0]:.10f", "f1:.3f", "i0:.2f")


@pytest.mark.parametrize("spec", FORMATS)
def test_format(spec: str) -> None:
    agree(f"f'{{{spec}}}'")


OPTIONS = ("precision=2", "precision=8", "threshold=5", "edgeitems=1, threshold=3", "linewidth=40", "linewidth=200", "sci_mode=True", "sci_mode=False", "profile='full'", "profile='short'", "profile='default'", "precision=3, linewidth=60")


@pytest.mark.parametrize("options", OPTIONS)
def test_print_options(options: str) -> None:
    for code in ("torch.arange(50.0) / 7", "f2 * 1000", "f2 / 1e6", "i2", "torch.arange(2000.0).view(40, 50)", "torch.tensor([1e-8, 1e8])", "f0"):
        for lib in (torch, fastnn):
            lib.set_printoptions(profile="default")
        agree(f"torch.set_printoptions({options}); repr({code})")


def test_random_values_print_alike() -> None:
    rs = np.random.RandomState(2)
    for _ in range(300):
        shape = tuple(rs.randint(0, 5, rs.randint(0, 4)))
        scale = 10.0 ** rs.randint(-12, 12)
        a = (rs.standard_normal(shape) * scale).astype(rs.choice(["float32", "float64"]))
        a = np.asarray(np.where(rs.uniform(size=shape) < 0.1, rs.choice([0.0, np.inf, np.nan, 1.0, 100.0]), a), a.dtype)
        assert repr(fastnn.from_numpy(a)) == repr(torch.from_numpy(a)), a


def test_stored_outputs() -> None:
    """Texts as they stand in tutorials, without torch."""
    for code, text in (
        ("torch.tensor([[1., -2.], [3.5, 4.]])", "tensor([[ 1.0000, -2.0000],\n        [ 3.5000,  4.0000]])"), ("torch.arange(3)", "tensor([0, 1, 2])"), ("torch.zeros(2, 0)", "tensor([], size=(2, 0))"),
        ("torch.tensor(2.0, requires_grad=True) * 1.063", "tensor(2.1260, grad_fn=<MulBackward0>)"), ("torch.zeros(2, dtype=torch.int32)", "tensor([0, 0], dtype=torch.int32)"), ("torch.ones(2, 3).shape", "torch.Size([2, 3])"),
    ):  # fmt: skip
        got, error = run(fastnn, f"repr({code})")
        assert error is None
        assert got == text


def test_a_destructor_may_print_at_the_end() -> None:
    """Nothing can be imported any more when module globals are torn down."""
    code = """
import builtins, fastnn
class Last:
    def __init__(self): self.t = fastnn.ones(2)
    def __del__(self): print("last", self.t)
builtins.keep = Last()
"""
    for before, text in (("print(fastnn.ones(1))", "last tensor([1., 1.])"), ("", "last tensor(..., size=(2,))")):
        done = run_python(code + before)
        assert done.stdout.splitlines()[-1] == text
        assert not done.stderr
