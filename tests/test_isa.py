"""Every instruction set of this machine: the same bits as the default one, and close to the float64 oracles.

Invariant: each instruction set runs in its own process (it is chosen at import); since all are bit-equal, one comparison with the oracles
covers them all, and the gradients proved in test_ops.py are proved for each.
Does not: cover products that go to OpenBLAS, which are promised per machine only: the workers run with FASTNN_BLAS=none.
"""

from __future__ import annotations

import numpy as np
import pytest
from counts import proved
from op_table import ROWS
from proofs import Results, close_to_oracle, equal_bits, oracle_of
from support import TESTS, isas, run_python

pytestmark = pytest.mark.xdist_group("isa")  # the processes run once, not once per worker


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
    equal_bits(ROWS[name], by_isa[isa], by_isa["scalar"])
    proved(name, "isa", sum(k.startswith(name + "/") for k in by_isa[isa]))


@pytest.mark.parametrize("name", [n for n, r in ROWS.items() if oracle_of(r)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_close_to_the_oracle(name: str, dtype: str, by_isa: dict[str, Results]) -> None:
    if dtype in ROWS[name].dtypes:
        close_to_oracle(ROWS[name], dtype, by_isa[isas()[-1]])
        proved(name, "oracle", sum(k.startswith(f"{name}/{dtype}/") and "/out" in k for k in by_isa["scalar"]))


def test_unknown_instruction_set_is_refused() -> None:
    done = run_python("import fastnn", env={"FASTNN_ISA": "mmx"}, check=False)
    assert done.returncode != 0
    assert "FASTNN_ISA" in done.stderr
