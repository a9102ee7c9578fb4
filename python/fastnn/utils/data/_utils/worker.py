"""Virtual workers: a DataLoader's worker processes, emulated in this process.

Invariant: a batch is fetched with torch's, Python's and NumPy's global random streams in the state that worker process
would have, and the caller's streams are exactly as they were afterwards, whatever happens in between. Each worker has a
shallow copy of the dataset, so that attributes it sets (and generators it holds) are its own, as after a fork.
Does not: run anything in parallel: small batches are faster without processes, and results are the same. Objects that a
dataset mutates in place (a cache dict) are shared between workers. Read next: ../dataloader.py.
"""

from __future__ import annotations

import copy
import ctypes
import random
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn import _C

from .fetch import iterable_fetcher, map_fetcher


class WorkerInfo:
    """What `get_worker_info()` answers inside a worker: id, num_workers, seed, dataset (this worker's copy).

    Read-only.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __setattr__(self, name: str, value: Any) -> None:
        raise RuntimeError(f"Cannot assign attributes to {type(self).__name__} objects")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value}' for key, value in self.__dict__.items())})"


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """The worker whose batch is being fetched; None in the main process."""
    return _worker_info


class NumpyStream:
    """NumPy's global stream (np.random.seed, np.random.rand, ...): a saved state, and the exchange with the one in
    force.

    NumPy's own get_state and set_state cost 35 us each, so the Mersenne twister's key and position are copied as bytes
    through the address NumPy publishes for it. They do not hold the cached normal; but that one cannot appear without a
    draw, so it must be asked for only when the bytes have changed or one was cached before.
    """

    SIZE = 625 * 4  # uint32 key[624], int pos

    def __init__(self, key: bytes, gauss: tuple[int, float]) -> None:
        self.key = key
        self.gauss = gauss  # (is there a cached normal, its value)

    @classmethod
    def seeded(cls, words: Any) -> NumpyStream:
        """The state after np.random.seed(words)."""
        _, key, pos, has, cached = np.random.RandomState(words).get_state()  # type: ignore[misc]
        return cls(np.asarray(key, np.uint32).tobytes() + int(pos).to_bytes(4, "little"), (int(has), float(cached)))

    @staticmethod
    def address() -> int:
        """Where the twister in force keeps its state."""
        bits = np.random.get_bit_generator()  # type: ignore[attr-defined]
        if not isinstance(bits, np.random.MT19937):
            raise RuntimeError("DataLoader: workers need NumPy's default bit generator (MT19937)")
        return bits.ctypes.state_address

    def read(self, address: int) -> None:
        """Take over the state in force."""
        key = ctypes.string_at(address, self.SIZE)
        if key != self.key or self.gauss[0]:
            state: Any = np.random.get_state()
            self.key, self.gauss = key, (int(state[3]), float(state[4]))

    def write(self, address: int, in_force: tuple[int, float]) -> None:
        """Put this state in force; in_force is the cached normal of the one it replaces."""
        if self.gauss[0] or in_force[0]:
            key = np.frombuffer(self.key, np.uint32)
            np.random.set_state(("MT19937", key[:624], int(key[624]), *self.gauss))
        else:
            ctypes.memmove(address, self.key, self.SIZE)


_SIZE = 625 * 4  # of a Mersenne twister: uint32 key[624] and an int, the position


def _twister() -> int | None:
    """Where Python's global generator keeps its position and key; None if it does not lie where it is looked for."""
    inst = random._inst  # type: ignore[attr-defined]
    head = object.__basicsize__  # the struct of _random.Random: an object's head, int index, uint32 state[624]
    if random.Random.__mro__[1].__basicsize__ < head + _SIZE:
        return None
    *key, position = inst.getstate()[1]
    words = np.frombuffer(ctypes.string_at(id(inst) + head, _SIZE), np.uint32).tolist()
    return id(inst) + head if words == [position, *key] else None


_python_address = _twister()


def _read_python() -> Any:
    """The state of Python's global stream: getstate(), or, more quickly, the bytes and the cached normal."""
    if _python_address is None:
        return random.getstate()
    return ctypes.string_at(_python_address, _SIZE), random._inst.gauss_next  # type: ignore[attr-defined]


def _write_python(state: Any) -> None:
    """Puts in force what _read_python() or getstate() gave."""
    if _python_address is None or not isinstance(state[0], bytes):
        random.setstate(state)
    else:
        ctypes.memmove(_python_address, state[0], _SIZE)
        random._inst.gauss_next = state[1]  # type: ignore[attr-defined]


class Streams:
    """The random streams of one worker; a context in which they are the global ones."""

    # The caller's NumPy state as last seen: shared by all workers, so that an unchanged one is not read again.
    main_numpy = NumpyStream(b"", (0, 0.0))

    def __init__(self, base_seed: int, worker_id: int) -> None:
        seed = base_seed + worker_id
        self.torch = fastnn.Generator()
        self.torch.manual_seed(seed)
        self.python: Any = random.Random(seed).getstate()
        words = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
        self.numpy = NumpyStream.seeded(np.random.SeedSequence(words).generate_state(4))

    def __enter__(self) -> None:
        _C._generator_swap(fastnn.default_generator, self.torch)
        self.main_python = _read_python()
        _write_python(self.python)
        self.address = NumpyStream.address()
        self.main_numpy.read(self.address)
        self.numpy.write(self.address, self.main_numpy.gauss)

    def __exit__(self, *exc: Any) -> None:
        self.numpy.read(self.address)
        self.main_numpy.write(self.address, self.numpy.gauss)
        self.python = _read_python()
        _write_python(self.main_python)
        _C._generator_swap(fastnn.default_generator, self.torch)


class _Verbatim(str):
    """A message that KeyError, which shows the repr of its argument, prints as it is."""

    def __repr__(self) -> str:
        return str(self)


def _reraise(error: Exception, worker_id: int) -> None:
    """Raise an error of a worker in the caller, of the same class, with the worker's traceback in its message."""
    kind = type(error)
    message = f"Caught {kind.__name__} in DataLoader worker process {worker_id}.\nOriginal {traceback.format_exc()}"
    try:
        made = kind(_Verbatim(message) if kind is KeyError else message)
    except Exception:  # noqa: BLE001  (a class whose constructor wants something else)
        made = RuntimeError(message)
    raise made from error


def _own_copy(dataset: Any) -> Any:
    """A dataset as a forked worker has it: own attributes, own generators."""
    if not isinstance(getattr(dataset, "__dict__", None), dict):
        return dataset
    try:
        own = copy.copy(dataset)
        for name, value in vars(dataset).items():
            if isinstance(value, random.Random | np.random.Generator | np.random.RandomState):
                own.__dict__[name] = copy.deepcopy(value)
            elif isinstance(value, fastnn.Generator):
                own.__dict__[name] = value.clone_state()
        return own
    except (TypeError, AttributeError, NotImplementedError):
        return dataset  # cannot be copied: all workers use the one there is


class Worker:
    """One virtual worker process: streams, dataset copy, fetcher; started by its first batch."""

    def __init__(self, loader: Any, base_seed: int, worker_id: int) -> None:
        self.id = worker_id
        self.seed = base_seed + worker_id
        self.base_seed = base_seed
        self.init_fn: Callable[[int], Any] | None = loader.worker_init_fn
        self.dataset = _own_copy(loader.dataset)
        self.info = WorkerInfo(id=worker_id, num_workers=loader.num_workers, seed=self.seed, dataset=self.dataset)
        self.options = (loader._iterable, loader._auto_collation, loader.collate_fn, loader.drop_last)
        self.streams: Streams | None = None
        self.fetcher: Callable[[Any], Any] | None = None

    def resume(self) -> None:
        """Begin another epoch; the streams go on."""
        self.fetcher = None

    def fetch(self, index: Any) -> Any:
        """The batch of `index`. Errors: StopIteration at the end of an iterable dataset; others name the worker."""
        global _worker_info
        fresh = self.streams is None
        if self.streams is None:
            self.streams = Streams(self.base_seed, self.id)
        outer = _worker_info
        with self.streams:
            _worker_info = self.info
            try:
                if fresh and self.init_fn is not None:
                    self.init_fn(self.id)
                if self.fetcher is None:
                    self.fetcher = self._fetcher()
                return self.fetcher(index)
            except StopIteration:
                raise
            except Exception as error:  # noqa: BLE001  (anything the dataset raises)
                _reraise(error, self.id)
            finally:
                _worker_info = outer

    def _fetcher(self) -> Callable[[Any], Any]:
        iterable, auto, collate_fn, drop_last = self.options
        if iterable:
            return iterable_fetcher(self.dataset, auto, collate_fn, drop_last)
        return map_fetcher(self.dataset, auto, collate_fn)
