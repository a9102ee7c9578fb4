"""Every module beside torch.nn: draws, state_dict, repr, outputs, gradients of inputs and parameters.

Read next: test_functional.py.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from nn_support import assert_close, ids, leaves, randn, to_fastnn

import fastnn
import fastnn.nn as nn

X = randn(4, 6)
LABELS = ids(4, high=6)
SIGNS = torch.tensor([1.0, -1.0, 1.0, -1.0])
PROBS = torch.rand(4, 6, generator=torch.Generator().manual_seed(3)) * 0.98 + 0.01

# name, constructor arguments, constructor keywords, inputs
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[Any, ...]]] = [
    ("Identity", (), {}, (X,)),
    ("Linear", (6, 5), {}, (X,)),
    ("Linear", (6, 5), {"bias": False}, (randn(2, 3, 6),)),
    ("Bilinear", (6, 3, 5), {}, (X, randn(4, 3))),
    ("Embedding", (9, 5), {}, (ids(3, 4, high=9),)),
    ("Embedding", (9, 5), {"padding_idx": 2}, (ids(3, 4, high=9),)),
    ("Embedding", (9, 5), {"padding_idx": -1, "max_norm": 1.0}, (ids(3, 4, high=9),)),
    ("Embedding", (9, 5), {"scale_grad_by_freq": True}, (ids(3, 4, high=9),)),
    ("LayerNorm", (6,), {}, (X,)),
    ("LayerNorm", ((3, 6),), {"bias": False}, (randn(2, 3, 6),)),
    ("LayerNorm", (6,), {"elementwise_affine": False}, (X,)),
    ("RMSNorm", (6,), {}, (X,)),
    ("RMSNorm", (6,), {"eps": 1e-3, "elementwise_affine": False}, (X,)),
    ("GroupNorm", (3, 6), {}, (X,)),
    ("GroupNorm", (2, 6), {"affine": False}, (randn(2, 6, 5),)),
    ("LocalResponseNorm", (3,), {}, (randn(2, 6, 4),)),
    ("BatchNorm1d", (6,), {}, (X,)),
    ("BatchNorm1d", (6,), {"momentum": None}, (randn(3, 6, 4),)),
    ("BatchNorm1d", (6,), {"affine": False, "track_running_stats": False}, (X,)),
    ("BatchNorm2d", (3,), {}, (randn(2, 3, 4, 5),)),
    ("InstanceNorm1d", (6,), {}, (randn(3, 6, 4),)),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}, (randn(2, 3, 4, 5),)),
    ("Dropout", (0.3,), {}, (X,)),
    ("Dropout", (0.3, True), {}, (X,)),
    ("Dropout1d", (0.4,), {}, (randn(3, 6, 4),)),
    ("Dropout2d", (0.4,), {}, (randn(2, 6, 3, 4),)),
    ("AlphaDropout", (0.3,), {}, (X,)),
    ("FeatureAlphaDropout", (0.3,), {}, (randn(3, 6, 4),)),
    *((name, (), {}, (X,)) for name in "ReLU ReLU6 SiLU Mish SELU Hardswish Hardsigmoid GELU Tanh Sigmoid".split()),
    *((name, (), {}, (X,)) for name in "LogSigmoid Softsign Tanhshrink Hardtanh LeakyReLU ELU CELU Softplus".split()),
    *((name, (), {}, (X,)) for name in "Softshrink Hardshrink PReLU GLU RReLU".split()),
    ("ReLU", (True,), {}, (X,)),
    ("LeakyReLU", (0.2, True), {}, (X,)),
    ("GELU", ("tanh",), {}, (X,)),
    ("PReLU", (6,), {}, (X,)),
    ("Threshold", (0.1, 2.0), {}, (X,)),
    ("Softmax", (1,), {}, (X,)),
    ("LogSoftmax", (-1,), {}, (X,)),
    ("Softmin", (0,), {}, (X,)),
    ("Softmax2d", (), {}, (randn(2, 3, 4, 5),)),
    ("Flatten", (), {}, (randn(2, 3, 4),)),
    ("Unflatten", (1, (2, 3)), {}, (X,)),
    ("CosineSimilarity", (), {}, (X, randn(4, 6, seed=1))),
    ("PairwiseDistance", (), {}, (X, randn(4, 6, seed=1))),
    ("CrossEntropyLoss", (), {}, (X, LABELS)),
    ("CrossEntropyLoss", (), {"ignore_index": 1, "label_smoothing": 0.1}, (X, LABELS)),
    ("CrossEntropyLoss", (), {"reduction": "none"}, (X, PROBS)),
    ("NLLLoss", (), {}, (X, LABELS)),
    *((name, (), {}, (X, randn(4, 6, seed=1))) for name in "MSELoss L1Loss SmoothL1Loss HuberLoss".split()),
    ("MSELoss", (), {"reduction": "sum"}, (X, randn(4, 6, seed=1))),
    ("BCELoss", (), {}, (PROBS.clone().requires_grad_(), PROBS.flip(0))),
    ("BCEWithLogitsLoss", (), {}, (X, PROBS)),
    ("KLDivLoss", (), {"reduction": "batchmean"}, (X, PROBS)),
    ("KLDivLoss", (), {"log_target": True}, (X, randn(4, 6, seed=1))),
    ("PoissonNLLLoss", (), {"full": True}, (X, LABELS.float().unsqueeze(1).expand(4, 6).contiguous())),
    ("GaussianNLLLoss", (), {"full": True}, (X, randn(4, 6, seed=1), PROBS.clone().requires_grad_())),
    ("CosineEmbeddingLoss", (), {"margin": 0.1}, (X, randn(4, 6, seed=1), SIGNS)),
    ("MarginRankingLoss", (), {"margin": 0.1}, (randn(4), randn(4, seed=1), SIGNS)),
    ("HingeEmbeddingLoss", (), {}, (randn(4), SIGNS)),
    ("SoftMarginLoss", (), {}, (randn(4), SIGNS)),
    ("MultiLabelSoftMarginLoss", (), {}, (X, (PROBS > 0.5).float())),
    ("MultiMarginLoss", (), {}, (X, LABELS)),
    ("MultiMarginLoss", (2,), {}, (X, LABELS)),
    ("TripletMarginLoss", (), {"swap": True}, (X, randn(4, 6, seed=1), randn(4, 6, seed=2))),
    ("RNN", (5, 4), {}, (randn(3, 2, 5),)),
    ("RNN", (5, 4, 2), {"nonlinearity": "relu", "bidirectional": True}, (randn(3, 2, 5),)),
    ("LSTM", (5, 4, 2), {"batch_first": True}, (randn(2, 3, 5),)),
    ("LSTM", (5, 4), {"proj_size": 3, "bidirectional": True, "bias": False}, (randn(3, 2, 5),)),
    ("GRU", (5, 4, 2), {"bidirectional": True}, (randn(3, 2, 5), randn(4, 2, 4))),
    ("GRU", (5, 4, 2), {"dropout": 0.5}, (randn(3, 2, 5),)),
    ("GRU", (5, 4), {}, (randn(3, 5),)),
    ("RNNCell", (5, 4), {}, (randn(2, 5), randn(2, 4))),
    ("RNNCell", (5, 4), {"nonlinearity": "relu"}, (randn(2, 5),)),
    ("LSTMCell", (5, 4), {}, (randn(2, 5), (randn(2, 4), randn(2, 4, seed=1)))),
    ("GRUCell", (5, 4), {"bias": False}, (randn(5), randn(4))),
    ("Conv1d", (4, 6, 3), {"padding": 1, "groups": 2}, (randn(2, 4, 7),)),
    ("Conv1d", (4, 6, 3), {"padding": "same", "padding_mode": "circular"}, (randn(2, 4, 7),)),
    ("Conv2d", (3, 4, 3), {"stride": 2, "padding": 1, "bias": False}, (randn(2, 3, 7, 6),)),
    ("Conv2d", (3, 4, (1, 2)), {"dilation": 2, "padding_mode": "reflect", "padding": 1}, (randn(2, 3, 7, 6),)),
    ("Conv3d", (2, 3, 2), {}, (randn(1, 2, 4, 3, 3),)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "output_padding": 1, "groups": 2}, (randn(2, 4, 5),)),
    ("ConvTranspose2d", (3, 4, 3), {"stride": 2, "padding": 1, "dilation": 2}, (randn(2, 3, 4, 5),)),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, (randn(2, 3, 8),)),
    ("MaxPool2d", (2,), {"ceil_mode": True, "return_indices": True}, (randn(2, 3, 5, 5),)),
    ("AvgPool1d", (3,), {"stride": 2, "padding": 1}, (randn(2, 3, 8),)),
    ("AvgPool2d", (3,), {"padding": 1, "count_include_pad": False, "ceil_mode": True}, (randn(2, 3, 6, 7),)),
    ("AdaptiveAvgPool1d", (3,), {}, (randn(2, 3, 8),)),
    ("AdaptiveAvgPool2d", ((None, 2),), {}, (randn(2, 3, 5, 5),)),
    ("AdaptiveMaxPool2d", (2,), {"return_indices": True}, (randn(2, 3, 5, 5),)),
    ("LPPool1d", (2.0, 3), {}, (randn(2, 3, 8),)),
    ("ConstantPad1d", (2, 1.5), {}, (randn(2, 3, 8),)),
    ("ZeroPad2d", ((1, -1, 2, 0),), {}, (randn(2, 3, 4, 4),)),
    ("ReflectionPad2d", (1,), {}, (randn(2, 3, 4, 4),)),
    ("ReplicationPad1d", (2,), {}, (randn(2, 3, 4),)),
    ("CircularPad2d", (1,), {}, (randn(2, 3, 4, 4),)),
    ("Unfold", (2,), {"stride": 2, "padding": 1}, (randn(2, 3, 4, 6),)),
    ("Fold", ((4, 6), 2), {"stride": 2}, (randn(2, 12, 6),)),
    ("Upsample", (), {"scale_factor": 2}, (randn(2, 3, 4, 4),)),
    ("Upsample", (), {"size": (5, 7), "mode": "bilinear"}, (randn(2, 3, 4, 4),)),
    ("PixelShuffle", (2,), {}, (randn(2, 8, 3, 3),)),
    ("PixelUnshuffle", (2,), {}, (randn(2, 2, 4, 4),)),
    ("ChannelShuffle", (2,), {}, (randn(2, 6, 3, 3),)),
    ("MultiheadAttention", (8, 2), {}, (randn(3, 2, 8),) * 3),
    (
        "MultiheadAttention",
        (8, 2),
        {"kdim": 5, "vdim": 6, "batch_first": True},
        (randn(2, 3, 8), randn(2, 4, 5), randn(2, 4, 6)),
    ),
    (
        "MultiheadAttention",
        (8, 2),
        {"add_bias_kv": True, "add_zero_attn": True},
        (randn(3, 2, 8), randn(4, 2, 8), randn(4, 2, 8)),
    ),
    ("TransformerEncoderLayer", (8, 2, 16, 0.0), {"activation": "gelu"}, (randn(3, 2, 8),)),
    (
        "TransformerEncoderLayer",
        (8, 2, 16, 0.0),
        {"norm_first": True, "batch_first": True, "bias": False},
        (randn(2, 3, 8),),
    ),
    ("TransformerDecoderLayer", (8, 2, 16, 0.0), {}, (randn(3, 2, 8), randn(4, 2, 8))),
    ("Transformer", (8, 2, 1, 1, 16, 0.0), {}, (randn(3, 2, 8), randn(4, 2, 8))),
]


def _both(name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    torch.manual_seed(5)
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    fastnn.manual_seed(5)
    return getattr(nn, name)(*args, **kwargs), theirs


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}{c[1]}{c[2]}")
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_module(case: Any, mode: str) -> None:
    name, args, kwargs, inputs = case
    mine, theirs = _both(name, args, kwargs)
    assert repr(mine) == repr(theirs)
    state, expected = mine.state_dict(), theirs.state_dict()
    assert list(state) == list(expected)
    for key in state:
        assert state[key].numpy().tobytes() == expected[key].numpy().tobytes(), key
    assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    mine.train(mode == "train"), theirs.train(mode == "train")
    my_inputs = to_fastnn(inputs)
    for leaf in leaves(inputs):
        leaf.grad = None
    in_place = any(v is True for v in args) or kwargs.get("inplace")

    def run(module: Any, values: Any) -> Any:
        return module(*(v * 1.0 for v in values)) if in_place else module(*values)

    torch.manual_seed(9)
    want = run(theirs, inputs)
    fastnn.manual_seed(9)
    got = run(mine, my_inputs)
    assert_close(got, want)
    pairs = [(a, b) for a, b in zip(leaves(got), leaves(want), strict=False) if b.requires_grad]
    if not pairs:
        return
    weights = [torch.randn(b.shape, generator=torch.Generator().manual_seed(1)) for _, b in pairs]
    sum((b * w).sum() for (_, b), w in zip(pairs, weights, strict=False)).backward()
    sum((a * to_fastnn(w)).sum() for (a, _), w in zip(pairs, weights, strict=False)).backward()
    for a, b in zip(leaves(my_inputs), leaves(inputs), strict=False):
        if b.grad is not None:
            assert_close(a.grad, b.grad)
    for (key, a), b in zip(mine.named_parameters(), theirs.parameters(), strict=False):
        assert (a.grad is None) == (b.grad is None), key
        if b.grad is not None:
            assert_close(a.grad, b.grad)
    for a, b in zip(mine.buffers(), theirs.buffers(), strict=False):
        assert_close(a, b)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}{c[1]}{c[2]}")
def test_copies(case: Any) -> None:
    name, args, kwargs, _ = case
    mine = getattr(nn, name)(*args, **kwargs)
    for other in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        assert repr(other) == repr(mine)
        for (k, a), (j, b) in zip(other.state_dict().items(), mine.state_dict().items(), strict=False):
            assert k == j and bool((a == b).all()) and (a.numel() == 0 or a.data_ptr() != b.data_ptr())
        assert all(isinstance(p, nn.Parameter) for p in other.parameters())


def test_every_name_has_torchs_signature() -> None:
    import inspect

    for name in nn.modules.__all__:
        mine, theirs = getattr(nn, name), getattr(torch.nn, name)
        a = [p for p in inspect.signature(mine.__init__).parameters]
        b = [p for p in inspect.signature(theirs.__init__).parameters]
        if "args" not in a and "args" not in b:
            assert a == b or set(b) - set(a) <= {"device", "dtype", "bias"}, (name, a, b)


@pytest.mark.parametrize("name", ["GRU", "LSTM", "RNN"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_sequences(name: str, bidirectional: bool) -> None:
    mine, theirs = _both(name, (5, 4, 2), {"bidirectional": bidirectional})
    x, lengths = randn(6, 3, 5), [2, 6, 3]
    my_x = to_fastnn(x)
    pack = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    want, want_h = theirs(pack)
    from fastnn.nn.utils import rnn

    my_pack = rnn.pack_padded_sequence(my_x, lengths, enforce_sorted=False)
    assert_close(tuple(my_pack), tuple(pack))
    got, got_h = mine(my_pack)
    assert_close(got_h, want_h)
    assert_close(got.data, want.data)
    a, n = rnn.pad_packed_sequence(got, total_length=7)
    b, m = torch.nn.utils.rnn.pad_packed_sequence(want, total_length=7)
    assert_close((a, n), (b, m))
    a.sum().backward(), b.sum().backward()
    assert_close(my_x.grad, x.grad)


def test_attention_masks() -> None:
    mine, theirs = _both("MultiheadAttention", (8, 2), {})
    x = randn(4, 3, 8)
    causal = torch.ones(4, 4).triu(1).bool()
    padding = torch.zeros(3, 4, dtype=torch.bool)
    padding[1, 3] = True
    for kwargs in (
        {"attn_mask": causal},
        {"attn_mask": causal, "key_padding_mask": padding, "need_weights": False},
        {"attn_mask": causal, "is_causal": True, "need_weights": False},
        {"key_padding_mask": padding, "average_attn_weights": False},
    ):
        y = to_fastnn(x)
        assert_close(mine(y, y, y, **to_fastnn(kwargs)), theirs(x, x, x, **kwargs))
