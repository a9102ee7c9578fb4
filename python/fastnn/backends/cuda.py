"""fastnn.backends.cuda: flags only.

Invariant: they can be set and read and change nothing. Does not: run on GPUs. Read next: cudnn.py.
"""

from __future__ import annotations


class _Matmul:
    """torch.backends.cuda.matmul's flags."""

    allow_tf32: bool = False
    allow_fp16_reduced_precision_reduction: bool = True
    allow_bf16_reduced_precision_reduction: bool = True


matmul = _Matmul()
_sdp = {"flash": True, "mem_efficient": True, "math": True}


def is_built() -> bool:
    """False."""
    return False


def flash_sdp_enabled() -> bool:
    """What enable_flash_sdp stored."""
    return _sdp["flash"]


def enable_flash_sdp(enabled: bool) -> None:
    """Store a flag that chooses nothing: fastnn has one attention."""
    _sdp["flash"] = enabled


def mem_efficient_sdp_enabled() -> bool:
    """What enable_mem_efficient_sdp stored."""
    return _sdp["mem_efficient"]


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Store a flag that chooses nothing: fastnn has one attention."""
    _sdp["mem_efficient"] = enabled


def math_sdp_enabled() -> bool:
    """What enable_math_sdp stored."""
    return _sdp["math"]


def enable_math_sdp(enabled: bool) -> None:
    """Store a flag that chooses nothing: fastnn has one attention."""
    _sdp["math"] = enabled
