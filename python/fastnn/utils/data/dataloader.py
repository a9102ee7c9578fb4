"""DataLoader: batches of a dataset in the order of a sampler.

Invariant: random draws come in torch's order. `iter()` draws the base seed (even when nothing uses it); without workers
the sampler starts at the first `next()`; with W workers `iter()` also pulls the first prefetch_factor * W index
batches, each delivered batch pulls one more, and batch k is fetched under the streams of worker k mod W
(_utils/worker.py).
Does not: start processes, pin memory, or time out; those options are accepted and change nothing. Read next:
sampler.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import fastnn

from ._utils.collate import default_collate, default_convert
from ._utils.fetch import iterable_fetcher, map_fetcher
from ._utils.worker import Worker, get_worker_info
from .dataset import Dataset, IterableDataset
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

T_co = TypeVar("T_co", covariant=True)


class _DatasetKind:
    Map = 0
    Iterable = 1


class _InfiniteConstantSampler(Sampler[Any]):
    """Index source of iterable datasets: None for ever."""

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield None


_FROZEN = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class DataLoader(Generic[T_co]):
    """An iterable of batches of `dataset`.

    batch_size None turns batching off (items as they are, converted to tensors); `sampler` gives indices,
    `batch_sampler` lists of them; `collate_fn(list of items)` makes the batch. Errors: ValueError for options that
    exclude each other.
    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.DataLoader
    """

    dataset: Dataset[T_co]
    _initialized = False
    _iterator: _WorkersIter | None = None

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self._iterable = isinstance(dataset, IterableDataset)
        self._dataset_kind = _DatasetKind.Iterable if self._iterable else _DatasetKind.Map
        if self._iterable:
            _check_iterable(shuffle, sampler, batch_sampler)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size = None
            drop_last = False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            if self._iterable:
                sampler = _InfiniteConstantSampler()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)  # type: ignore[arg-type]
            else:
                sampler = SequentialSampler(dataset)  # type: ignore[arg-type]
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        self.collate_fn: Callable[[Any], Any] = collate_fn or (
            default_collate if self._auto_collation else default_convert
        )
        self.persistent_workers = persistent_workers
        self._initialized = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "multiprocessing_context" and value is not None:
            _check_context(value, self.num_workers)
        if self._initialized and name in _FROZEN:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.batch_sampler if self.batch_sampler is not None else self.sampler

    def __iter__(self) -> Iterator[Any]:
        if self.num_workers == 0:
            return _PlainIter(self)
        if not self.persistent_workers:
            return _WorkersIter(self)
        if self._iterator is None:
            self._iterator = _WorkersIter(self)
        else:
            self._iterator.resume(self)
        return self._iterator

    def __len__(self) -> int:
        if not self._iterable:
            return len(self._index_sampler)
        length = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def check_worker_number_rationality(self) -> None:
        """Accepted for compatibility: virtual workers cost nothing, so any number is fine."""


def _check_context(context: Any, num_workers: int) -> None:
    """Batches are fetched in this process, so a start method is only checked, never used."""
    if num_workers <= 0:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got "
            f"num_workers={num_workers}"
        )
    from multiprocessing import context as contexts
    from multiprocessing import get_all_start_methods

    if isinstance(context, str):
        if context not in get_all_start_methods():
            raise ValueError(
                "multiprocessing_context option should specify a valid start method in "
                f"{get_all_start_methods()}, but got multiprocessing_context={context!r}"
            )
    elif not isinstance(context, contexts.BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying the start method, "
            f"but got multiprocessing_context={context!r}"
        )


def _check_workers(num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool) -> None:
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing."
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_iterable(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    kind = "DataLoader with IterableDataset: expected unspecified"
    if shuffle not in (False, None):
        raise ValueError(f"{kind} shuffle option, but got shuffle={shuffle}")
    if sampler is not None:
        raise ValueError(f"{kind} sampler option, but got sampler={sampler}")
    if batch_sampler is not None:
        raise ValueError(f"{kind} batch_sampler option, but got batch_sampler={batch_sampler}")


def _base_seed(loader: DataLoader[Any]) -> int:
    return int(fastnn.empty((), dtype=fastnn.int64).random_(generator=loader.generator).item())


class _PlainIter:
    """One pass without workers."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._sampler_iter = iter(loader._index_sampler)
        self._length = loader.__len__
        _base_seed(loader)
        auto, collate_fn = loader._auto_collation, loader.collate_fn
        if loader._iterable:
            self._fetch = iterable_fetcher(loader.dataset, auto, collate_fn, loader.drop_last)
        else:
            self._fetch = map_fetcher(loader.dataset, auto, collate_fn)

    def __iter__(self) -> _PlainIter:
        return self

    def __next__(self) -> Any:
        return self._fetch(next(self._sampler_iter))

    next = __next__

    def __len__(self) -> int:
        return self._length()


class _WorkersIter:
    """One pass (persistent_workers: several) over virtual workers."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._length = loader.__len__
        iter(loader._index_sampler)  # torch starts the sampler twice: one whose __iter__ draws at once must draw twice
        seed = _base_seed(loader)
        self._workers = [Worker(loader, seed, i) for i in range(loader.num_workers)]
        self._tasks: deque[tuple[int, Any]] = deque()
        self._start(loader)

    def _start(self, loader: DataLoader[Any]) -> None:
        self._sampler_iter = iter(loader._index_sampler)
        self._active = [True] * len(self._workers)
        self._turn = 0
        for _ in range((loader.prefetch_factor or 0) * len(self._workers)):
            self._assign()

    def resume(self, loader: DataLoader[Any]) -> None:
        """Begin another pass.

        What was prefetched for an unfinished one is still fetched, for it moves the workers' streams.
        """
        while self._tasks:
            which, index = self._tasks.popleft()
            if self._active[which]:
                try:
                    self._workers[which].fetch(index)
                except Exception:  # noqa: BLE001  (nobody waits for this batch; StopIteration included)
                    self._active[which] = self._active[which] and not self._workers[which].options[0]
        for worker in self._workers:
            worker.resume()
        self._start(loader)

    def _assign(self) -> None:
        """Pull one index batch and give it to the next worker whose data has not ended."""
        try:
            index = next(self._sampler_iter)
        except StopIteration:
            return
        for _ in self._workers:
            which, self._turn = self._turn, (self._turn + 1) % len(self._workers)
            if self._active[which]:
                self._tasks.append((which, index))
                return

    def __iter__(self) -> _WorkersIter:
        return self

    def __next__(self) -> Any:
        while self._tasks:
            which, index = self._tasks.popleft()
            if not self._active[which]:
                continue
            try:
                batch = self._workers[which].fetch(index)
            except StopIteration:
                self._active[which] = False
                self._assign()
                continue
            except BaseException:
                self._assign()
                raise
            self._assign()
            return batch
        raise StopIteration

    next = __next__

    def __len__(self) -> int:
        return self._length()
