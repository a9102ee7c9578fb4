"""torch.nn under fastnn's roof: modules, functions, initialisers and utilities.

Large and rare modules (recurrent nets, convolution, attention, losses) are loaded on first use, so that importing
this package stays cheap.  Read next: modules/module.py.
"""

# ruff: noqa: F401
from __future__ import annotations

from typing import Any

from . import functional, init, modules, parameter, utils
from . import modules as _modules
from .modules import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    AlphaDropout,
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    Bilinear,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    Embedding,
    FeatureAlphaDropout,
    Flatten,
    GroupNorm,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    Identity,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    LogSigmoid,
    LogSoftmax,
    Mish,
    Module,
    ModuleDict,
    ModuleList,
    ParameterDict,
    ParameterList,
    PReLU,
    ReLU,
    ReLU6,
    RMSNorm,
    RReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softmax2d,
    Softmin,
    Softplus,
    Softshrink,
    Softsign,
    Tanh,
    Tanhshrink,
    Threshold,
    Unflatten,
)
from .parameter import Buffer, Parameter

__all__ = [*_modules.__all__, "Parameter", "Buffer", "functional", "init", "modules", "parameter", "utils"]


def __getattr__(name: str) -> Any:
    value = getattr(_modules, name, None) if name[0].isupper() else None
    if value is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_modules.__all__})
