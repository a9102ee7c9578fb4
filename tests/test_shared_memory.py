"""Memory that tensors share with NumPy and each other lives as long as its last user; copies keep structure; nothing is lost.

Invariant: counts are exact: bytes of the pool, objects of the collector. Read next: csrc/python/numpy.c.
"""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from support import outcome

import fastnn

# ---- shared memory lives as long as its last user ----


def test_tensor_keeps_array() -> None:
    array = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    gone = weakref.ref(array)
    row = fastnn.from_numpy(array)[1]
    del array
    gc.collect()
    assert gone() is not None and row.tolist() == [3.0, 4.0, 5.0]
    del row
    gc.collect()
    assert gone() is None


def test_users_of_a_tensors_memory_keep_it() -> None:
    t = fastnn.arange(4.0)
    users = [t.numpy(), np.asarray(t), np.asarray(memoryview(t)), np.from_dlpack(t), fastnn.from_dlpack(t).numpy()]
    del t
    gc.collect()
    fastnn.zeros(4)  # would land in freed memory
    users[0][0] = 9
    assert [u[0] for u in users] == [9.0] * 5


def test_exchanging_data_leaves_exports_alone() -> None:
    t = fastnn.arange(3.0)
    array, view = t.numpy(), memoryview(t)
    t.data = fastnn.zeros(3)
    gc.collect()
    assert array.tolist() == [0.0, 1.0, 2.0] and view[2] == 2.0


def test_read_only_memory_is_read_not_written() -> None:
    array = np.arange(3.0)
    array.flags.writeable = False
    t = fastnn.from_numpy(array)
    assert (t * 2).tolist() == [0.0, 2.0, 4.0] and not t.numpy().flags.writeable and memoryview(t).readonly
    with pytest.raises(RuntimeError, match="read-only"):
        t += 1
    with pytest.raises(BufferError):
        t.__dlpack__()


# ---- copies that keep structure ----


def test_deepcopy_keeps_ties() -> None:
    w = fastnn.randn(3, 4)
    both = copy.deepcopy({"w": w, "t": w.t(), "again": w})
    both["w"][0, 1] = 5
    assert both["again"] is both["w"] and both["t"][1, 0].item() == 5 and w[0, 1].item() != 5
    assert both["t"].stride() == (1, 4)


def test_copies_carry_gradient_and_attributes() -> None:
    p = fastnn.ones(2, requires_grad=True)
    (p * p).sum().backward()
    p.note = ["x"]
    twin = copy.deepcopy(p)
    assert (
        twin.grad.tolist() == [2.0, 2.0] and twin.grad is not p.grad and twin.note == ["x"] and twin.note is not p.note
    )
    data = pickle.dumps(p)
    back = pickle.loads(data)
    assert back.requires_grad and back.note == ["x"] and back.tolist() == [1.0, 1.0] and b"torch" not in data


def test_no_memory_is_lost() -> None:
    array, t = np.ones((4, 4)), fastnn.ones(2, 2)

    def work() -> None:
        for _ in range(200):
            (
                fastnn.from_numpy(array),
                t.numpy(),
                np.asarray(t),
                memoryview(t),
                fastnn.from_dlpack(array),
                np.from_dlpack(t),
            )
            (
                fastnn.tensor([[1, 2], [3, 4]]),
                fastnn.tensor(array),
                copy.deepcopy(t),
                pickle.loads(pickle.dumps(t)),
                repr(t),
            )
            for bad in ([[1], [1, 2]], [1, "a"], [[1], 2]):
                outcome(lambda bad=bad: fastnn.tensor(bad))
            outcome(lambda: fastnn.zeros(2, nonsense=1))

    work()
    gc.collect()
    held = fastnn._C._pool_stats()["bytes_in_use"], len(gc.get_objects())
    work()
    gc.collect()
    assert (fastnn._C._pool_stats()["bytes_in_use"], len(gc.get_objects())) == held
