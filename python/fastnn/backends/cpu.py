"""fastnn.backends.cpu: the instruction set in use.

Invariant: the answer is one of PyTorch's names. Does not: choose it. Read next: __init__.py.
"""

from fastnn import _C


def get_cpu_capability() -> str:
    """ "AVX512", "AVX2" or "DEFAULT"."""
    return {"avx512": "AVX512", "avx2": "AVX2"}.get(_C._build_info()["isa"], "DEFAULT")
