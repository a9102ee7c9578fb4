"""torch.nn.utils: gradient clipping, parameters as a vector, sequences of different lengths.

Read next: clip_grad.py, rnn.py.
"""

from __future__ import annotations

from typing import Any

from .clip_grad import clip_grad_norm, clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from .convert_parameters import parameters_to_vector, vector_to_parameters

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "vector_to_parameters",
]


def __getattr__(name: str) -> Any:
    if name == "rnn":
        from importlib import import_module

        return import_module(".rnn", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
