"""The count of proofs: each generic check says which op it proved and how; pytest prints one line per op at its end.

Invariant: only what a passed test claimed is counted. The counts travel on the tests' reports, so that they add up over processes too.
Does not: check anything. Read next: conftest.py (where the counts are gathered), test_ops.py (where they come from).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

# A column each: its heading, and what one unit of it is.
KINDS = {
    "values": "results beside torch",
    "grads": "gradients beside torch",
    "slopes": "finite differences in float64",
    "layouts": "results and gradients with the bits of contiguous inputs",
    "subsets": "gradients with the bits of the full set",
    "inputs": "calls that left their inputs alone",
    "repeats": "second runs with the same bits",
    "oracle": "results beside the formula in float64",
    "route": "results and gradients beside the composition of simple ops",
    "isa": "results and gradients with the bits of scalar",
    "guards": "results of each length between guards",
    "threads": "results and gradients with the bits of one thread",
    "overlap": "in-place and overlapping calls beside torch",
    "refused": "wrong calls and dtypes refused as torch refuses them",
}
REPORT = "proofs"  # the name of the property on a test's report

_claims: Counter[tuple[str, str]] = Counter()


def proved(op: str, kind: str, n: int = 1) -> None:
    """The running test has proved n things of this kind about the op; they count if it passes."""
    assert kind in KINDS, kind
    _claims[op, kind] += n


def take() -> list[tuple[str, str, int]]:
    """The claims made since the last call."""
    found = [(op, kind, n) for (op, kind), n in _claims.items()]
    _claims.clear()
    return found


def table(found: Iterable[tuple[str, str, int]]) -> list[str]:
    """One line per op, one column per kind; empty cells are dots."""
    counts: Counter[tuple[str, str]] = Counter()
    for op, kind, n in found:
        counts[op, kind] += n
    ops = sorted({op for op, _ in counts})
    width = max(map(len, [*ops, "op"]))
    lines = [f"{'op':{width}}" + "".join(f"{k:>9}" for k in KINDS) + f"{'total':>9}"]
    for op in ops:
        row = [counts[op, k] for k in KINDS]
        lines.append(f"{op:{width}}" + "".join(f"{n or '.':>9}" for n in row) + f"{sum(row):>9}")
    sums = [sum(counts[op, k] for op in ops) for k in KINDS]
    lines.append(f"{f'{len(ops)} ops':{width}}" + "".join(f"{n or '.':>9}" for n in sums) + f"{sum(sums):>9}")
    return lines
