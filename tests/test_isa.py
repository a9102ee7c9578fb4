"""Every instruction set of this machine: the same bits as the default one, and close to the float64 oracles.

Invariant: each instruction set runs in its own process (it is chosen at import); since all are bit-equal, one comparison with the oracles
covers them all, and the gradients proved in test_ops.py are proved for each.
Does not: cover products that go to OpenBLAS, which are promised per machine only: the workers run with FASTNN_BLAS=none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from op_table import ROWS, Row
from reference import ORACLES
from support import TESTS, close, isas, run_python
from table_calls import cast

Results = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def by_isa(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    found: dict[str, Results] = {}
    for isa in isas():
        path = tmp_path_factory.mktemp("isa") / f"{isa}.npz"
        run_python(args=[str(TESTS / "isa_worker.py"), str(path)], env={"FASTNN_ISA": isa, "FASTNN_BLAS": "none"}, timeout=240)
        with np.load(path) as data:
            found[isa] = dict(data)
    return found


def test_machine_has_more_than_one_instruction_set_or_says_so() -> None:
    assert isas()[0] == "scalar"


@pytest.mark.parametrize("isa", [i for i in isas() if i != "scalar"])
@pytest.mark.parametrize("name", list(ROWS))
def test_same_bits_as_scalar(name: str, isa: str, by_isa: dict[str, Results]) -> None:
    want, got = by_isa["scalar"], by_isa[isa]
    keys = [k for k in want if k.startswith(name + "/")]
    assert keys == [k for k in got if k.startswith(name + "/")]
    for k in keys:
        bits = f"u{want[k].dtype.itemsize}"
        a, b = want[k], got[k]
        equal = (a.view(bits) == b.view(bits)) | ((a != a) & (b != b)) if a.ndim else np.array(a.tobytes() == b.tobytes() or (a != a and b != b))
        assert equal.all(), f"{k}: {int((~equal).sum())} of {a.size} differ between scalar and {isa}"


def to_oracle(value: Any, dtype: str) -> Any:
    if isinstance(value, np.ndarray):
        a = cast(value, dtype)
        return a.astype(np.float64) if a.dtype.kind == "f" else a
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [to_oracle(v, dtype) for v in value]
    return value


def oracle_of(row: Row) -> Any:
    return None if row.oracle is None else ORACLES.get(row.oracle or row.name)


@pytest.mark.parametrize("name", [n for n, r in ROWS.items() if oracle_of(r)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_close_to_the_oracle(name: str, dtype: str, by_isa: dict[str, Results]) -> None:
    row = ROWS[name]
    if dtype not in row.dtypes:
        return
    oracle = oracle_of(row)
    for n, sample in enumerate(row.cases()):
        args = tuple(to_oracle(a, dtype) for a in sample.args)
        kwargs = {k: to_oracle(v, dtype) for k, v in sample.kwargs.items()}
        if name == "rms_norm":
            kwargs["found_eps"] = float(np.finfo(dtype).eps)
        with np.errstate(all="ignore"):
            want = oracle(*args, **kwargs)
        for i, w in enumerate(want if isinstance(want, list) else [want]):
            got = by_isa[isas()[-1]][f"{name}/{dtype}/{n}/out{i}"]
            if got.dtype.kind != "f":
                assert np.array_equal(got, w), f"{name} sample {n}"
                continue
            with np.errstate(all="ignore"):
                rounded = np.asarray(w, np.float64).astype(got.dtype).astype(np.float64)
            steps = (row.steps or 1) * (8 if dtype == "float64" else 1)  # in float64 the oracle itself rounds
            close(got, rounded if dtype == "float32" else np.asarray(w), steps, f"{name} {dtype} sample {n} {sample.kwargs}", row.whole, floor=row.floor)


def test_every_computing_op_has_an_oracle() -> None:
    missing = [n for n, r in ROWS.items() if r.oracle is not None and oracle_of(r) is None and n != "erfinv"]
    assert not missing, f"no oracle in tests/reference.py for {missing}"


def test_unknown_instruction_set_is_refused() -> None:
    done = run_python("import fastnn", env={"FASTNN_ISA": "mmx"}, check=False)
    assert done.returncode != 0
    assert "FASTNN_ISA" in done.stderr
