"""DataLoader beside torch's, whose workers are real processes: equal batches, equal random streams during and after,
equal errors.

Invariant: datasets draw from torch's, Python's and NumPy's global streams inside __getitem__, so a wrong state anywhere
shows in the values.
Does not: test samplers alone (test_samplers.py). Read next: test_samplers.py.
"""

from __future__ import annotations

import collections
import random
from typing import Any

import numpy as np
import pytest
import torch

import fastnn

Pair = collections.namedtuple("Pair", "x y")


def noisy(lib: Any, n: int = 23, normals: int = 1, own: bool = False) -> Any:
    """A map-style dataset whose items hold draws of all three libraries; `normals` NumPy normals leave or use up a
    cached one.
    """

    class Noisy(lib.utils.data.Dataset):
        def __init__(self) -> None:
            self.generator = lib.Generator().manual_seed(5) if own else None
            self.calls = 0

        def __len__(self) -> int:
            return n

        def __getitem__(self, i: int) -> Any:
            self.calls += 1
            info = lib.utils.data.get_worker_info()
            where = -1 if info is None else info.id * 1000 + info.num_workers
            mine = 0.0 if self.generator is None else lib.rand(1, generator=self.generator).item()
            gauss = sum(np.random.standard_normal() for _ in range(normals))
            return (
                i,
                where,
                self.calls,
                lib.rand(2).tolist(),
                random.random(),
                random.gauss(0, 1),
                np.random.rand(),
                gauss,
                mine,
            )

    return Noisy()


def streams(lib: Any) -> list[float]:
    """One draw of each global stream."""
    return [
        lib.rand(1).item(),
        lib.randn(1).item(),
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.standard_normal(),
    ]


def seed(lib: Any, value: int = 11) -> None:
    lib.manual_seed(value)
    random.seed(value)
    np.random.seed(value)


def run(
    lib: Any, dataset: Any, epochs: int = 2, between: bool = False, stop: int | None = None, **options: Any
) -> list[Any]:
    seed(lib)
    if options.pop("own_generator", False):
        options["generator"] = lib.Generator().manual_seed(99)
    loader = lib.utils.data.DataLoader(dataset, collate_fn=lambda items: items, **options)
    seen: list[Any] = []
    for _ in range(epochs):
        it = iter(loader)
        if between:
            seen.append(streams(lib))
        for k, batch in enumerate(it):
            seen.append(batch)
            if between:
                seen.append(streams(lib))
            if stop is not None and k == stop:
                break
        del it
        seen.append(streams(lib))
    return seen


OPTIONS: list[dict[str, Any]] = [
    {"batch_size": 4, "shuffle": True},
    {"batch_size": 4},
    {"batch_size": 5, "shuffle": True, "drop_last": True},
    {"batch_size": 3, "shuffle": True, "own_generator": True},
    {"batch_size": 4, "shuffle": True, "between": True},
    {"batch_size": None, "shuffle": True},
]


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
@pytest.mark.parametrize("i", range(len(OPTIONS)))
def test_same_batches(i: int, workers: int) -> None:
    options = OPTIONS[i]
    want = run(torch, noisy(torch), num_workers=workers, **options)
    got = run(fastnn, noisy(fastnn), num_workers=workers, **options)
    assert got == want


@pytest.mark.parametrize("normals", [0, 1, 2, 3])
@pytest.mark.parametrize("workers", [1, 2])
def test_cached_normals(normals: int, workers: int) -> None:
    """Odd numbers of NumPy normals leave one cached: it must stay with its own stream."""
    options = {"batch_size": 3, "between": True, "num_workers": workers}
    assert run(fastnn, noisy(fastnn, 14, normals), **options) == run(torch, noisy(torch, 14, normals), **options)


@pytest.mark.parametrize(
    "options", [{"prefetch_factor": 1}, {"prefetch_factor": 4}, {"persistent_workers": True}, {"stop": 1}]
)
def test_worker_options(options: dict[str, Any]) -> None:
    options = {"num_workers": 2, "batch_size": 4, "shuffle": True, "between": True, "epochs": 3, **options}
    assert run(fastnn, noisy(fastnn), **options) == run(torch, noisy(torch), **options)


def test_persistent_workers_left_early() -> None:
    options = {"num_workers": 2, "batch_size": 4, "shuffle": True, "epochs": 3, "stop": 1, "persistent_workers": True}
    assert run(fastnn, noisy(fastnn), **options) == run(torch, noisy(torch), **options)


def test_generator_inside_dataset() -> None:
    """A generator the dataset holds is copied into each worker, as by a fork."""
    options = {"num_workers": 2, "batch_size": 3}
    assert run(fastnn, noisy(fastnn, own=True), **options) == run(torch, noisy(torch, own=True), **options)


def test_worker_init_fn() -> None:
    def found(lib: Any) -> Any:
        def start(worker: int) -> None:
            info = lib.utils.data.get_worker_info()
            info.dataset.calls = 1000 * worker + (lib.initial_seed() == info.seed)
            np.random.seed(worker)

        return run(lib, noisy(lib), num_workers=2, batch_size=4, worker_init_fn=start)

    assert found(fastnn) == found(torch)


def counting(lib: Any) -> Any:
    class Counting(lib.utils.data.IterableDataset):
        start, end = 3, 14

        def __iter__(self) -> Any:
            info = lib.utils.data.get_worker_info()
            first, step = (self.start, 1) if info is None else (self.start + info.id, info.num_workers)
            for i in range(first, self.end, step):
                yield i, random.random()

    return Counting()


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("options", [{"batch_size": 2}, {"batch_size": None}, {"batch_size": 3, "drop_last": True}])
def test_iterable(options: dict[str, Any], workers: int) -> None:
    want = run(torch, counting(torch), num_workers=workers, **options)
    assert run(fastnn, counting(fastnn), num_workers=workers, **options) == want


def test_get_worker_info() -> None:
    assert fastnn.utils.data.get_worker_info() is None
    dataset = noisy(fastnn, 2)
    type(dataset).__getitem__ = lambda self, i: fastnn.utils.data.get_worker_info()
    for info in fastnn.utils.data.DataLoader(dataset, num_workers=1, collate_fn=lambda items: items[0]):
        assert (info.id, info.num_workers) == (0, 1)
        with pytest.raises(RuntimeError, match="Cannot assign attributes to WorkerInfo"):
            info.id = 3
    assert fastnn.utils.data.get_worker_info() is None


@pytest.mark.parametrize("kind", [ValueError, KeyError, RuntimeError])
def test_worker_errors(lib: Any, kind: type[Exception]) -> None:
    class Broken(lib.utils.data.Dataset):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, i: int) -> int:
            if i == 2:
                raise kind("item two")
            return i

    it = iter(lib.utils.data.DataLoader(Broken(), batch_size=2, num_workers=2))
    assert next(it).tolist() == [0, 1]
    with pytest.raises(kind) as caught:
        next(it)
    text = str(caught.value)
    assert text.startswith(f"Caught {kind.__name__} in DataLoader worker process 1.\nOriginal Traceback")
    assert "item two" in text
    assert next(it).tolist() == [4, 5]


def as_lists(x: Any) -> Any:
    """A batch with tensors replaced by (dtype, values), for comparison."""
    if hasattr(x, "tolist"):
        return str(x.dtype).rpartition(".")[2], tuple(x.shape), x.tolist()
    if isinstance(x, dict):
        return type(x).__name__, {k: as_lists(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return type(x).__name__, [as_lists(v) for v in x]
    return x


COLLATED: list[Any] = [
    lambda lib: [lib.tensor([1.0, 2.0]), lib.tensor([3.0, 4.0])],
    lambda lib: [(lib.arange(3), 1), (lib.arange(3), 2)],
    lambda lib: [1, 2],
    lambda lib: [True, False],
    lambda lib: [1.5, 2.5],
    lambda lib: [np.float64(1.5), np.float64(2.5)],
    lambda lib: [np.float32(1.5), np.float32(2.5)],
    lambda lib: [np.int32(1), np.int32(2)],
    lambda lib: [np.arange(3), np.arange(3)],
    lambda lib: [np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32)],
    lambda lib: ["a", "b"],
    lambda lib: [b"a", b"b"],
    lambda lib: [{"x": 1, "y": [1.0, 2.0]}, {"x": 2, "y": [3.0, 4.0]}],
    lambda lib: [Pair(1, lib.tensor(2.0)), Pair(3, lib.tensor(4.0))],
    lambda lib: [[1, (2.0, "x")], [3, (4.0, "y")]],
    lambda lib: [collections.OrderedDict(a=1), collections.OrderedDict(a=2)],
    lambda lib: [[], []],
]


@pytest.mark.parametrize("i", range(len(COLLATED)))
def test_default_collate(i: int) -> None:
    made = COLLATED[i]
    for name in ("default_collate", "default_convert"):
        want = as_lists(getattr(torch.utils.data, name)(made(torch)))
        assert as_lists(getattr(fastnn.utils.data, name)(made(fastnn))) == want


@pytest.mark.parametrize(
    ("batch", "kind"),
    [
        (lambda lib: [[1, 2], [1]], RuntimeError),
        (lambda lib: [object()], TypeError),
        (lambda lib: [None, None], TypeError),
        (lambda lib: [np.array(["a"])], TypeError),
        (lambda lib: [lib.zeros(2), lib.zeros(3)], RuntimeError),
    ],
)
def test_collate_errors(lib: Any, batch: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        lib.utils.data.default_collate(batch(lib))


def test_batches_are_tensors(lib: Any) -> None:
    x, y = lib.arange(10).view(5, 2), lib.arange(5)
    dataset = lib.utils.data.TensorDataset(x, y)
    loader = lib.utils.data.DataLoader(dataset, batch_size=2, pin_memory=False)
    assert len(loader) == 3
    first = next(iter(loader))
    assert type(first) is list
    assert [t.tolist() for t in first] == [[[0, 1], [2, 3]], [0, 1]]


BAD: list[dict[str, Any]] = [
    {"num_workers": -1},
    {"timeout": -1},
    {"prefetch_factor": 2},
    {"num_workers": 1, "prefetch_factor": -1},
    {"persistent_workers": True},
    {"batch_size": 0},
    {"batch_size": -3},
    {"batch_size": 1.5},
    {"sampler": [0], "shuffle": True},
    {"batch_sampler": [[0]], "batch_size": 3},
    {"batch_sampler": [[0]], "drop_last": True},
    {"batch_size": None, "drop_last": True},
]


@pytest.mark.parametrize("options", BAD)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as want:
        torch.utils.data.DataLoader(range(4), **options)
    with pytest.raises(ValueError) as got:
        fastnn.utils.data.DataLoader(range(4), **options)
    assert str(got.value) == str(want.value)


def test_frozen_attributes(lib: Any) -> None:
    loader = lib.utils.data.DataLoader(range(4), batch_size=2)
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader is initialized"):
        loader.batch_size = 3
    with pytest.raises(ValueError, match="expected unspecified shuffle option"):
        lib.utils.data.DataLoader(counting(lib), shuffle=True)


def test_endless_sampler(lib: Any) -> None:
    """makemore's loader: 1e10 samples with replacement, never listed."""
    sampler = lib.utils.data.RandomSampler(range(100), replacement=True, num_samples=int(1e10))
    it = iter(lib.utils.data.DataLoader(range(100), sampler=sampler, batch_size=32, num_workers=4, pin_memory=False))
    assert [len(next(it)) for _ in range(3)] == [32, 32, 32]
