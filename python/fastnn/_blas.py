"""Where the optional OpenBLAS lies: the library file of PyPI's scipy-openblas32, found without importing that package.

Invariant: only the file's path is proposed here; C opens it on the first large product (csrc/core/blas.h), and
FASTNN_BLAS overrides the proposal. Importing the package instead would cost more than all of fastnn's own import.
"""

from __future__ import annotations

import os
import sys

from . import _C

_LIBRARY = "libscipy_openblas.dylib" if sys.platform == "darwin" else "libscipy_openblas.so"


def library_path() -> str | None:
    """The file's path, or None where no folder of sys.path holds the package."""
    for folder in sys.path:
        path = os.path.join(folder or os.curdir, "scipy_openblas32", "lib", _LIBRARY)
        if os.path.exists(path):
            return path
    return None


_C._set_blas_path(library_path())
