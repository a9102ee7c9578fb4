"""DistributedSampler: the share of a dataset that one of several processes visits.

Invariant: all ranks draw the same permutation from `seed + epoch` and take every num_replicas-th index. Does not:
communicate.
Read next: sampler.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import fastnn

from .sampler import Sampler


class DistributedSampler(Sampler[int]):
    """Indices of rank `rank` of `num_replicas`; call `set_epoch` before each epoch to shuffle anew.

    fastnn has no process groups, so num_replicas and rank must be given.
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            raise RuntimeError("Requires distributed package to be available: give num_replicas and rank")
        if rank >= num_replicas or rank < 0:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        n = len(dataset)
        short = drop_last and n % num_replicas != 0
        self.num_samples = math.ceil((n - num_replicas if short else n) / num_replicas)
        self.total_size = self.num_samples * num_replicas
        self.shuffle = shuffle
        self.seed = seed

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            generator = fastnn.Generator()
            generator.manual_seed(self.seed + self.epoch)
            indices = fastnn.randperm(len(self.dataset), generator=generator).tolist()
        else:
            indices = list(range(len(self.dataset)))
        if not self.drop_last and indices:
            missing = self.total_size - len(indices)
            indices += (indices * math.ceil(missing / len(indices)))[:missing]
        return iter(indices[: self.total_size][self.rank :: self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation of this epoch."""
        self.epoch = epoch
