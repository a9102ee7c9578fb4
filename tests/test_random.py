"""Random numbers: bit-equal to PyTorch 2.13 on x86-64, and to the numbers written down here.

The vectors hold for two seeds, A = 2147483647 and B = 1337, and need no PyTorch: they check either library alone (fixture `lib`). The other
half runs both libraries side by side over sizes, dtypes and memory layouts. Invariant: nothing here has a tolerance, apart from the QR of
orthogonal_. Does not: time anything. Read next: csrc/core/random.h.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_vectors import VECTORS, A, B, check_further, check_vector
from support import arr, close, same

import fastnn

LIBS = (torch, fastnn)


@pytest.mark.parametrize("seed", [A, B])
@pytest.mark.parametrize("name", list(VECTORS))
def test_written_down_vectors(name: str, seed: int, lib: Any) -> None:
    check_vector(lib, name, seed)


def test_further_written_down_vectors(lib: Any) -> None:
    check_further(lib)


def test_stream_is_numpys_mersenne_twister(lib: Any) -> None:
    for seed in (0, 1, A, B, 2**32 + 5, 2**63 - 1):
        want = np.random.RandomState(seed & 0xFFFFFFFF).randint(0, 2**32, 1500, dtype=np.uint32)
        lib.manual_seed(seed)
        same(lib.randint(0, 2**20, (1500,)), (want % 2**20).astype(np.int64), f"seed {seed}")
        lib.manual_seed(seed)
        same(lib.rand(1500), ((want & 0xFFFFFF) * 2.0**-24).astype(np.float32), f"seed {seed}")


def test_seeds(lib: Any) -> None:
    g = lib.Generator()
    assert g.initial_seed() == 67280421310721
    assert g.manual_seed(-5) is g
    assert g.initial_seed() == 18446744073709551611
    a = lib.rand(9, generator=lib.Generator().manual_seed(5))
    same(lib.rand(9, generator=lib.Generator().manual_seed(2**32 + 5)), a)
    assert lib.manual_seed(7).initial_seed() == lib.initial_seed() == 7
    for wrong in ("a", None, 1.5j):
        with pytest.raises((TypeError, ValueError, RuntimeError)):
            lib.Generator().manual_seed(wrong)
    with pytest.raises((RuntimeError, ValueError, OverflowError)):
        lib.Generator().manual_seed(2**64)
    assert isinstance(lib.seed(), int)


def test_layout_of_the_state(lib: Any) -> None:
    g = lib.Generator().manual_seed(A)
    fresh = arr(g.get_state())
    assert fresh.shape == (5056,)
    assert fresh.dtype == np.uint8
    assert int(fresh[:8].view(np.uint64)[0]) == A
    assert (int(fresh[8:12].view(np.int32)[0]), int(fresh[16:24].view(np.uint64)[0])) == (1, 0)
    lib.rand(4, generator=g)
    after = arr(g.get_state())
    assert (int(after[8:12].view(np.int32)[0]), int(after[16:24].view(np.uint64)[0])) == (621, 4)


@pytest.mark.parametrize("draws", [0, 1, 3, 623, 624, 625, 2000])
def test_states_are_interchangeable(draws: int) -> None:
    generators = [lib.Generator().manual_seed(B + draws) for lib in LIBS]
    for lib, g in zip(LIBS, generators, strict=True):
        lib.rand(draws, generator=g)
        lib.randn(3, generator=g)  # leaves a cached normal
    states = [arr(g.get_state()) for g in generators]
    assert states[0].tobytes() == states[1].tobytes()
    crossed = [lib.Generator() for lib in LIBS]
    crossed[0].set_state(torch.from_numpy(states[1]))
    crossed[1].set_state(fastnn.from_numpy(states[0]))
    for call in (lambda lib, g: lib.randn(5, generator=g), lambda lib, g: lib.rand(700, generator=g), lambda lib, g: lib.randn(20, generator=g)):
        same(call(fastnn, crossed[1]), call(torch, crossed[0]))
    for lib in LIBS:
        lib.set_rng_state(lib.from_numpy(states[0]))
        assert arr(lib.get_rng_state()).tobytes() == states[0].tobytes()
        for wrong in (lib.zeros(5056), lib.zeros(10, dtype=lib.uint8)):
            with pytest.raises((RuntimeError, TypeError)):
                lib.Generator().set_state(wrong)


def test_cached_normal(lib: Any) -> None:
    """The second half of a scalar pair waits through other draws, takes the mean and std of the call that uses it, and dies with a new seed."""
    lib.manual_seed(A)
    pair = arr(lib.randn(2, dtype=lib.float64))
    lib.manual_seed(A)
    lib.randn(1)
    lib.rand(3)
    lib.randn(16)
    close(lib.empty(1, dtype=lib.float64).normal_(3, 2), pair[1:] * 2 + 3, 1)
    lib.manual_seed(A)
    lib.randn(1)
    lib.manual_seed(A)
    close(lib.randn(1, dtype=lib.float64), pair[:1], 1)


# --- side by side ------------------------------------------------------------------------------------------------------------------------


def beside(call: Callable[[Any], Any], seed: int = B, what: str = "") -> None:
    """Equal bits, and equal streams afterwards."""
    results = []
    for lib in LIBS:
        lib.manual_seed(seed)
        got = call(lib)
        results.append(([arr(x) for x in (got if isinstance(got, tuple | list) else [got])], arr(lib.rand(1))))
    (want, next_want), (got, next_got) = results
    assert len(want) == len(got)
    for g, w in zip(got, want, strict=True):
        same(g, w, what)
    same(next_got, next_want, f"{what}: the number of draws")


FILLS = {
    "uniform_": [(), (-0.3, 1.7), (0, 1e-3), (-1e4, 1e5)], "normal_": [(), (0.3, 2.5), (5, 0), (-1, 1e-3)], "exponential_": [(), (2.5,)], "bernoulli_": [(0.5,), (0.1,), (0,), (1,)],
    "log_normal_": [(), (0.5, 0.3)], "cauchy_": [(), (1, 2)], "geometric_": [(0.3,), (0.9,)], "random_": [(10,), (-5, 2**20), ()],
}  # fmt: skip
LAYOUTS: dict[str, Callable[[Any, Any], Any]] = {
    "contiguous": lambda t, d: t.zeros(4, 6, dtype=d), "transposed": lambda t, d: t.zeros(6, 4, dtype=d).t(), "columns": lambda t, d: t.zeros(5, 8, dtype=d)[:, 2:6], "rows": lambda t, d: t.zeros(9, 4, dtype=d)[::2],
    "permuted": lambda t, d: t.zeros(2, 3, 4, dtype=d).permute(2, 0, 1), "stepped": lambda t, d: t.zeros(3, 4, 10, dtype=d).permute(1, 0, 2)[..., ::3], "5": lambda t, d: t.zeros(5, dtype=d),
    "15": lambda t, d: t.zeros(15, dtype=d), "16": lambda t, d: t.zeros(16, dtype=d), "17": lambda t, d: t.zeros(17, dtype=d), "31": lambda t, d: t.zeros(31, dtype=d), "32": lambda t, d: t.zeros(32, dtype=d),
    "1000": lambda t, d: t.zeros(1000, dtype=d), "20001": lambda t, d: t.zeros(20001, dtype=d), "0": lambda t, d: t.zeros(0, dtype=d), "scalar": lambda t, d: t.zeros((), dtype=d),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("fill", list(FILLS))
def test_fills(fill: str, layout: str, dtype: str) -> None:
    for args in FILLS[fill]:
        beside(lambda lib, args=args: getattr(LAYOUTS[layout](lib, getattr(lib, dtype)), fill)(*args), what=f"{fill}{args} {layout} {dtype}")


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool", "float32", "float64"])
def test_random_integers_of_each_dtype(dtype: str) -> None:
    beside(lambda lib: lib.zeros(100, dtype=getattr(lib, dtype)).random_(), what=dtype)
    beside(lambda lib: lib.zeros(100, dtype=getattr(lib, dtype)).bernoulli_(0.4), what=dtype)
    if dtype in ("int64", "int32", "uint8"):
        beside(lambda lib: lib.zeros(10, 10, dtype=getattr(lib, dtype)).t().random_(0, 100), what=dtype)
        beside(lambda lib: lib.randint(0, 200, (50,), dtype=getattr(lib, dtype)), what=dtype)


@pytest.mark.parametrize("span", [1, 2, 10, 2**20, 2**24, 2**27, 2**28 - 1, 2**28, 2**28 + 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**62])
def test_randint_around_the_border_of_two_draws(span: int) -> None:
    beside(lambda lib: lib.randint(0, span, (50,)))
    beside(lambda lib: lib.randint(-7, span - 7, (50,)))
    beside(lambda lib: lib.empty(50, dtype=lib.int64).random_(span))


def test_creation_forms() -> None:
    for call in (
        lambda t: t.rand(3, 4), lambda t: t.rand((3, 4), dtype=t.float64), lambda t: t.randn(2, 3, 4), lambda t: t.rand_like(t.zeros(4, 5).t()), lambda t: t.randn_like(t.zeros(4, 5).t()),
        lambda t: t.rand_like(t.zeros(2, 3, 4).permute(2, 0, 1)), lambda t: t.randint_like(t.zeros(5), 9), lambda t: t.randint(5, (3, 3)), lambda t: t.normal(1.0, 2.0, (5, 4)),
        lambda t: t.normal(t.arange(20.0), 0.5), lambda t: t.normal(t.zeros(20), t.arange(20.0)), lambda t: t.normal(0.5, t.arange(20.0)), lambda t: t.randperm(1000), lambda t: t.randperm(1), lambda t: t.randperm(2),
        lambda t: t.randperm(0), lambda t: t.randperm(20, dtype=t.int32), lambda t: t.randn(160000), lambda t: t.rand(20000), lambda t: t.randn(1001, dtype=t.float64), lambda t: t.rand(2, generator=t.default_generator),
        lambda t: t.randn(5, generator=t.Generator().manual_seed(3)), lambda t: t.randn(4, requires_grad=True).detach(),
    ):  # fmt: skip
        beside(call)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_multinomial(dtype: str) -> None:
    def p(lib: Any, *shape: int) -> Any:
        return lib.from_numpy(np.random.RandomState(3).uniform(0, 1, shape).astype(dtype))

    for call in (
        lambda t: t.multinomial(p(t, 27), 1), lambda t: t.multinomial(p(t, 27), 1, replacement=True), lambda t: t.multinomial(p(t, 27), 20), lambda t: t.multinomial(p(t, 27), 50, replacement=True),
        lambda t: t.multinomial(p(t, 6, 27), 1), lambda t: t.multinomial(p(t, 6, 27), 5), lambda t: t.multinomial(p(t, 6, 27), 40, True), lambda t: t.multinomial(p(t, 27, 6).t(), 1),
        lambda t: t.multinomial(p(t, 27, 6).t(), 4), lambda t: t.multinomial(p(t, 6, 54)[:, ::2], 1), lambda t: t.multinomial(p(t, 6, 54)[:, 3:9], 9, True), lambda t: t.multinomial(t.softmax(p(t, 32, 27), -1), num_samples=1),
        lambda t: t.multinomial(t.tensor([0.0, 0.0, 1.0, 0.0]), 1), lambda t: t.multinomial(t.tensor([0.0, 1.0, 0.0, 3.0]), 30, replacement=True),
    ):  # fmt: skip
        beside(call)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bernoulli_and_dropout(dtype: str) -> None:
    def x(lib: Any) -> Any:
        return lib.from_numpy(np.random.RandomState(4).uniform(0, 1, (7, 12)).astype(dtype))

    for call in (
        lambda t: t.bernoulli(x(t)), lambda t: t.bernoulli(x(t).t()), lambda t: x(t).bernoulli_(x(t)), lambda t: t.bernoulli(x(t), 0.3), lambda t: t.nn.functional.dropout(x(t), 0.2), lambda t: t.nn.functional.dropout(x(t).t(), 0.5),
        lambda t: t.nn.functional.dropout(x(t)[:, ::2], 0.1), lambda t: t.nn.functional.dropout(x(t), 0.0), lambda t: t.nn.functional.dropout(x(t), 1.0), lambda t: t.nn.functional.dropout(x(t), 0.5, training=False),
        lambda t: t.nn.functional.dropout(x(t), 0.5, inplace=True), lambda t: t.nn.Dropout(0.3).eval()(x(t)), lambda t: t.dropout(x(t), 0.3, True),
    ):  # fmt: skip
        beside(call)


def parameters(module: Any) -> list[Any]:
    return list(module.parameters())


INITS: dict[str, Callable[[Any], Any]] = {
    "Linear": lambda t: parameters(t.nn.Linear(64, 100)), "Linear small": lambda t: parameters(t.nn.Linear(3, 1, bias=False)), "Embedding": lambda t: parameters(t.nn.Embedding(27, 64, padding_idx=3)),
    "LayerNorm": lambda t: parameters(t.nn.LayerNorm(8)), "RMSNorm": lambda t: parameters(t.nn.RMSNorm(8)), "GRU": lambda t: parameters(t.nn.GRU(5, 7)), "GRU layers": lambda t: parameters(t.nn.GRU(5, 7, num_layers=2, bidirectional=True)),
    "GRUCell": lambda t: parameters(t.nn.GRUCell(5, 7)), "MultiheadAttention": lambda t: parameters(t.nn.MultiheadAttention(16, 4)), "Linear f64": lambda t: parameters(t.nn.Linear(9, 5, dtype=t.float64)),
    "Sequential": lambda t: parameters(t.nn.Sequential(t.nn.Embedding(5, 8), t.nn.Linear(8, 4), t.nn.Tanh(), t.nn.Linear(4, 2))),
    "xavier_normal_": lambda t: t.nn.init.xavier_normal_(t.empty(9, 5), gain=2.0), "xavier_uniform_": lambda t: t.nn.init.xavier_uniform_(t.empty(9, 5, 3)), "kaiming_uniform_": lambda t: t.nn.init.kaiming_uniform_(t.empty(9, 5), a=5**0.5),
    "kaiming_uniform_ fan_out": lambda t: t.nn.init.kaiming_uniform_(t.empty(9, 5), mode="fan_out", nonlinearity="relu"), "kaiming_normal_": lambda t: t.nn.init.kaiming_normal_(t.empty(9, 5, dtype=t.float64), nonlinearity="tanh"),
    "uniform_": lambda t: t.nn.init.uniform_(t.empty(9, 5), -2, 3), "normal_": lambda t: t.nn.init.normal_(t.empty(9, 5), mean=0.0, std=0.02), "trunc_normal_": lambda t: t.nn.init.trunc_normal_(t.empty(40, 5), std=0.5),
    "trunc_normal_ narrow": lambda t: t.nn.init.trunc_normal_(t.empty(40), mean=0.0, std=1.0, a=1.5, b=2.5), "trunc_normal_ f64": lambda t: t.nn.init.trunc_normal_(t.empty(40, dtype=t.float64), std=2.0),
    "constants": lambda t: [t.nn.init.zeros_(t.empty(3)), t.nn.init.ones_(t.empty(3)), t.nn.init.constant_(t.empty(3), 0.3), t.nn.init.eye_(t.empty(3, 3))],
}  # fmt: skip


@pytest.mark.parametrize("name", list(INITS))
def test_initialisers(name: str) -> None:
    beside(INITS[name], what=name)
    beside(INITS[name], seed=A, what=name)


def test_gru_dropout_between_layers_draws_as_torch() -> None:
    def call(t: Any) -> Any:
        t.manual_seed(1)
        gru = t.nn.GRU(3, 4, num_layers=3, dropout=0.4)
        x = t.randn(5, 2, 3)
        with t.no_grad():
            gru(x)
        return t.rand(3)

    beside(call)


def batches(loader: Any) -> list[Any]:
    return [x for batch in loader for x in (batch if isinstance(batch, list) else [batch])]


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_dataloader_order(workers: int, shuffle: bool) -> None:
    """Two epochs, a draw between iter() and the first batch, and the state afterwards."""

    def call(t: Any) -> Any:
        data = t.utils.data.TensorDataset(t.arange(23), t.arange(23.0) * 2)
        loader = t.utils.data.DataLoader(data, batch_size=4, shuffle=shuffle, num_workers=workers)
        found = batches(loader)
        it = iter(loader)
        found.append(t.rand(1))
        found += [x for batch in it for x in batch]
        return [*found, t.rand(1)]

    beside(call)


class Noisy:
    """A dataset whose items are random draws: shows which stream an item is fetched under."""

    def __init__(self, t: Any) -> None:
        self.t = t

    def __len__(self) -> int:
        return 12

    def __getitem__(self, i: int) -> Any:
        import random

        return self.t.rand(1), random.random(), float(np.random.rand()), i


def test_items_drawn_in_the_loading_process() -> None:
    import random

    def call(t: Any) -> Any:
        random.seed(3)
        np.random.seed(4)
        return batches(t.utils.data.DataLoader(Noisy(t), batch_size=3, shuffle=True))

    beside(call)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_items_drawn_in_workers(workers: int) -> None:
    """The three streams of virtual workers (torch, random, NumPy) are those of torch's worker processes."""
    beside(lambda t: batches(t.utils.data.DataLoader(Noisy(t), batch_size=2, shuffle=True, num_workers=workers)))


def test_loader_generators_and_samplers() -> None:
    D = "utils.data"

    def data(t: Any) -> Any:
        return t.utils.data

    for call in (
        lambda t: batches(data(t).DataLoader(range(17), 5, shuffle=True, generator=t.Generator().manual_seed(9))), lambda t: batches(data(t).DataLoader(range(17), 5, shuffle=True, drop_last=True)),
        lambda t: t.tensor(list(data(t).RandomSampler(range(10), replacement=True, num_samples=70))), lambda t: t.tensor(list(data(t).RandomSampler(range(10), num_samples=25))),
        lambda t: t.tensor(list(data(t).SubsetRandomSampler([5, 3, 9, 1]))), lambda t: t.tensor(list(data(t).WeightedRandomSampler([0.1, 0.5, 0.2], 20))), lambda t: t.tensor(list(data(t).WeightedRandomSampler([0.1, 0.5, 0.2], 2, replacement=False))),
        lambda t: [t.tensor(list(s)) for s in data(t).random_split(range(11), [0.5, 0.3, 0.2])], lambda t: [t.tensor(list(s)) for s in data(t).random_split(range(10), [7, 3])],
        lambda t: batches(data(t).DataLoader(range(9), sampler=data(t).RandomSampler(range(9), generator=t.Generator().manual_seed(2)), batch_size=2)),
        lambda t: [next(iter(data(t).DataLoader(range(9), batch_size=4, sampler=data(t).RandomSampler(range(9), replacement=True, num_samples=int(1e10)))))],
    ):  # fmt: skip
        beside(call, what=D)


# --- anchors -----------------------------------------------------------------------------------------------------------------------------


def bigram_names(lib: Any, path: Path, n: int = 10) -> str:
    words = path.read_text().split()
    stoi = {s: i + 1 for i, s in enumerate(sorted(set("".join(words))))}
    stoi["."] = 0
    counts = np.zeros((27, 27), np.int64)
    for w in words:
        for a, b in zip("." + w, w + ".", strict=True):
            counts[stoi[a], stoi[b]] += 1
    itos = {i: s for s, i in stoi.items()}
    p = (lib.from_numpy(counts).to(lib.int32) + 1).float()
    p /= p.sum(1, keepdim=True)
    g = lib.Generator().manual_seed(A)
    names = []
    for _ in range(n):
        out, ix = [], 0
        while True:
            ix = lib.multinomial(p[ix], num_samples=1, replacement=True, generator=g).item()
            if ix == 0:
                break
            out.append(itos[ix])
        names.append("".join(out))
    return " ".join(names)


def test_bigram_names(lib: Any, names_path: Path) -> None:
    want = "cexze momasurailezitynn konimittain llayn ka da staiyaubrtthrigotai moliellavo ke teda"
    assert bigram_names(lib, names_path) == want


def test_loss_of_the_untrained_mlp(lib: Any, names_path: Path) -> None:
    words = names_path.read_text().split()
    stoi = {s: i + 1 for i, s in enumerate(sorted(set("".join(words))))} | {".": 0}
    xs, ys = [], []
    for w in words[:5]:
        context = [0, 0, 0]
        for ch in w + ".":
            xs.append(context)
            ys.append(stoi[ch])
            context = [*context[1:], stoi[ch]]
    x, y = lib.tensor(xs), lib.tensor(ys)
    assert len(xs) == 32
    g = lib.Generator().manual_seed(A)
    c, w1, b1, w2, b2 = (lib.randn(*s, generator=g) for s in ((27, 2), (6, 100), (100,), (100, 27), (27,)))
    loss = lib.nn.functional.cross_entropy(lib.tanh(c[x].view(-1, 6) @ w1 + b1) @ w2 + b2, y)
    assert f"{loss.item():.4f}" == "17.7697"


def test_first_batch_of_the_batch_norm_lecture(lib: Any) -> None:
    g = lib.Generator().manual_seed(A)
    for shape in ((27, 10), (30, 200), (200, 27), (27,)):
        lib.randn(shape, generator=g)
    assert lib.randint(0, 182625, (32,), generator=g)[:5].tolist() == [5197, 99677, 101728, 53213, 114200]


def test_wrong_distributions_draw_nothing(lib: Any) -> None:
    lib.manual_seed(5)
    before = arr(lib.get_rng_state()).tobytes()
    for call in (
        lambda: lib.multinomial(lib.tensor([1.0, -1.0]), 1), lambda: lib.multinomial(lib.tensor([0.0, 0.0]), 1), lambda: lib.multinomial(lib.tensor([1.0, float("nan")]), 1), lambda: lib.multinomial(lib.ones(3), 5),
        lambda: lib.randint(3, 3, (2,)), lambda: lib.empty(3).normal_(0, -1), lambda: lib.empty(3).uniform_(2, 1), lambda: lib.randperm(-1), lambda: lib.empty(2).exponential_(-1),
    ):  # fmt: skip
        with pytest.raises((RuntimeError, ValueError)):
            call()
    after = arr(lib.get_rng_state()).tobytes()
    assert after == before
