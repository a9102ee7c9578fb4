"""fastnn: trains and samples small neural networks on a CPU, with PyTorch's interface and numbers.

``import fastnn as torch`` is meant to work; submodules resolve under the same paths. The heavy ones (nn, optim, utils, ...)
are loaded on first use, so that the import itself stays cheap. Read next: _C.pyi (what C gives), nn/, optim/, kernels/.
"""

from __future__ import annotations

import importlib
import math as _math
import os as _os
import warnings as _warnings
from typing import Any

from . import _C, _blas, version
from ._C import *  # noqa: F403  (torch's functions, made from the op descriptors)
from ._device import device
from .version import __version__

_C._set_device(device("cpu"))

_blas_path = _os.environ.get("FASTNN_BLAS", "")
if "/" in _blas_path and not _os.path.exists(_blas_path):
    _warnings.warn(f"FASTNN_BLAS: there is no {_blas_path}; products run on fastnn's own kernels", stacklevel=2)

inf = _math.inf  # (float and other builtins are torch's names from here on)
nan = _math.nan
pi = _math.pi
e = _math.e
newaxis = None

from .autograd.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled  # noqa: E402
from . import _composed  # noqa: E402

_composed.install(globals(), _C.Tensor)

# Where names that are not C's live; loaded when one is first asked for.
_SUBMODULES = {
    "accelerator", "amp", "autograd", "backends", "compiler", "cuda", "distributed", "distributions", "kernels", "linalg",
    "mps", "nn", "optim", "profiler", "random", "serialization", "utils", "xpu",
}  # fmt: skip
_LAZY = {
    "save": "serialization", "load": "serialization", "compile": "_compile", "autocast": "amp", "install_as_torch": "_alias",
    "manual_seed": "random", "seed": "random", "initial_seed": "random", "get_rng_state": "random", "set_rng_state": "random",
    "gru": "nn._recurrent", "lstm": "nn._recurrent", "rnn_tanh": "nn._recurrent", "rnn_relu": "nn._recurrent",
    "lstm_cell": "nn._recurrent", "rnn_tanh_cell": "nn._recurrent", "rnn_relu_cell": "nn._recurrent", "finfo": "_dtype_info", "iinfo": "_dtype_info", "set_printoptions": "_tensor_str",
    "FloatTensor": "_tensor_types", "DoubleTensor": "_tensor_types", "LongTensor": "_tensor_types", "IntTensor": "_tensor_types",
    "ByteTensor": "_tensor_types", "BoolTensor": "_tensor_types",
    "layout": "_layout", "memory_format": "_layout", "strided": "_layout", "sparse_coo": "_layout", "sparse_csr": "_layout",
    "contiguous_format": "_layout", "preserve_format": "_layout", "channels_last": "_layout", "channels_last_3d": "_layout",
}  # fmt: skip
_SETTINGS = (
    "set_float32_matmul_precision get_float32_matmul_precision use_deterministic_algorithms are_deterministic_algorithms_enabled "
    "is_deterministic_algorithms_warn_only_enabled set_default_device get_default_device get_num_interop_threads "
    "set_num_interop_threads typename"
)
_LAZY.update(dict.fromkeys(_SETTINGS.split(), "_settings"))


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LAZY:
        value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | _SUBMODULES | set(_LAZY))
