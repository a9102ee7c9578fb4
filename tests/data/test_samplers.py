"""Samplers, splits and composed datasets beside torch's: equal indices, equal use of the random streams, equal errors.

Invariant: after each case both libraries' default generators must give the same next number. Does not: load batches.
Read next: test_dataloader.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import fastnn

CASES: dict[str, Callable[[Any, Any], Any]] = {
    "sequential": lambda lib, d: d.SequentialSampler(range(7)),
    "random": lambda lib, d: d.RandomSampler(range(10)),
    "random_more": lambda lib, d: d.RandomSampler(range(10), num_samples=25),
    "random_fewer": lambda lib, d: d.RandomSampler(range(10), num_samples=3),
    "random_replacement": lambda lib, d: d.RandomSampler(range(10), replacement=True, num_samples=70),
    "random_generator": lambda lib, d: d.RandomSampler(range(10), generator=lib.Generator().manual_seed(3)),
    "subset": lambda lib, d: d.SubsetRandomSampler([3, 5, 9, 11]),
    "weighted": lambda lib, d: d.WeightedRandomSampler([0.1, 0.5, 3.0, 0.0], 20),
    "weighted_once": lambda lib, d: d.WeightedRandomSampler([0.1, 0.5, 3.0, 0.2], 3, replacement=False),
    "batch": lambda lib, d: d.BatchSampler(d.RandomSampler(range(10)), 3, False),
    "batch_drop": lambda lib, d: d.BatchSampler(d.SequentialSampler(range(10)), 3, True),
    "distributed": lambda lib, d: d.DistributedSampler(range(10), 3, 1, seed=4),
    "distributed_drop": lambda lib, d: d.DistributedSampler(range(10), 3, 2, shuffle=False, drop_last=True),
    "distributed_few": lambda lib, d: d.DistributedSampler(range(2), 5, 4, shuffle=False),
}


@pytest.mark.parametrize("name", CASES)
def test_same_indices(name: str) -> None:
    found = []
    for lib in (torch, fastnn):
        lib.manual_seed(42)
        sampler = CASES[name](lib, lib.utils.data)
        found.append((len(sampler), list(sampler), list(sampler), lib.rand(3).tolist()))
    assert found[0] == found[1]


@pytest.mark.parametrize("lengths", [[7, 3], [0.5, 0.3, 0.2], [10], [0.35, 0.65]])
def test_random_split(lengths: list[Any]) -> None:
    found = []
    for lib in (torch, fastnn):
        lib.manual_seed(42)
        d = lib.utils.data
        a = [list(part) for part in d.random_split(range(10), lengths)]
        b = [part.indices for part in d.random_split(range(10), lengths, generator=lib.Generator().manual_seed(42))]
        found.append((a, b, lib.rand(1).item()))
    assert found[0] == found[1]


def test_known_split() -> None:
    first, second = fastnn.utils.data.random_split(range(10), [7, 3], generator=fastnn.Generator().manual_seed(42))
    assert (list(first), list(second)) == ([2, 6, 1, 8, 4, 5, 0], [9, 3, 7])


def test_known_shuffles() -> None:
    for seed, order in ((2147483647, [7, 2, 6, 0, 1, 3, 4, 5, 8, 9]), (1337, [7, 1, 0, 4, 2, 6, 9, 8, 3, 5])):
        fastnn.manual_seed(seed)
        loader = fastnn.utils.data.DataLoader(range(10), 10, shuffle=True)
        assert next(iter(loader)).tolist() == order


def test_composed_datasets(lib: Any) -> None:
    d = lib.utils.data
    a = d.TensorDataset(lib.arange(3), lib.arange(3) * 10)
    b = d.TensorDataset(lib.arange(2) + 100, lib.arange(2))
    both = a + b
    assert len(both) == 5
    assert [int(x) for x, _ in (both[i] for i in range(5))] == [0, 1, 2, 100, 101]
    assert int(both[-1][0]) == 101
    with pytest.raises(ValueError):
        both[-6]
    stacked = d.StackDataset(x=range(3), y=d.Subset(range(10), [5, 6, 7]))
    assert stacked[1] == {"x": 1, "y": 6}
    assert stacked.__getitems__([0, 2]) == [{"x": 0, "y": 5}, {"x": 2, "y": 7}]
    assert d.StackDataset(range(3), range(3))[2] == (2, 2)
    with pytest.raises(AssertionError):
        d.TensorDataset(lib.zeros(2), lib.zeros(3))

    class Stream(d.IterableDataset):
        def __iter__(self) -> Any:
            return iter([1, 2])

    assert list(Stream() + Stream()) == [1, 2, 1, 2]


BAD: list[Callable[[Any], Any]] = [
    lambda d: d.RandomSampler(range(3), num_samples=0),
    lambda d: d.RandomSampler(range(3), replacement=1),
    lambda d: d.RandomSampler([]),
    lambda d: d.WeightedRandomSampler([1.0], 0),
    lambda d: d.WeightedRandomSampler([[1.0]], 1),
    lambda d: d.WeightedRandomSampler([1.0], 1, replacement=3),
    lambda d: d.BatchSampler(range(3), 0, False),
    lambda d: d.BatchSampler(range(3), 2, 1),
    lambda d: d.DistributedSampler(range(3), 2, 2),
    lambda d: d.random_split(range(3), [1, 1]),
    lambda d: d.StackDataset(),
    lambda d: d.StackDataset(range(2), range(3)),
    lambda d: d.ConcatDataset([]),
    lambda d: d.Dataset()[0],
]


@pytest.mark.parametrize("i", range(len(BAD)))
def test_errors(i: int) -> None:
    with pytest.raises(Exception) as want:
        BAD[i](torch.utils.data)
    with pytest.raises(type(want.value)) as got:
        BAD[i](fastnn.utils.data)
    assert str(got.value) == str(want.value)


def test_numpy_weights(lib: Any) -> None:
    assert set(lib.utils.data.WeightedRandomSampler(np.array([0.0, 1.0]), 4)) == {1}
