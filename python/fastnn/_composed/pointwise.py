"""Element-by-element functions made of other ones.

Read next: reduce.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnn import _C

from ._registry import also, composed, function_only, in_place, recorded_as

if TYPE_CHECKING:
    from fastnn import Tensor

_Tensor = _C.Tensor


def float_like(x: Any) -> Any:
    """An integer tensor as the default float dtype, as torch's mathematical functions take it."""
    return x if x.is_floating_point() else x.to(_C.get_default_dtype())


@composed
@recorded_as("LogaddexpBackward0")
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """log(exp(a) + exp(b)), without overflow."""
    top = _C.maximum(input, other).detach()
    top = top.masked_fill(~_C.isfinite(top), 0.0)
    return _C.log(_C.exp(input - top) + _C.exp(other - top)) + top


@composed
def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """log2(2^a + 2^b), without overflow."""
    return logaddexp(input * math.log(2.0), other * math.log(2.0)) / math.log(2.0)


@in_place
@composed
@recorded_as("HypotBackward0")
def hypot(input: Tensor, other: Tensor) -> Tensor:
    """sqrt(a^2 + b^2)."""
    return _C.sqrt(input * input + other * other)


@in_place
@composed
def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians."""
    return float_like(input) * (math.pi / 180.0)


@in_place
@composed
def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees."""
    return float_like(input) * (180.0 / math.pi)


_LARGEST = {"torch.float32": 3.4028234663852886e38, "torch.float64": 1.7976931348623157e308}


@in_place
@composed
@recorded_as("NanToNumBackward0")
def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """NaN and infinities replaced by numbers: 0 and the dtype's limits by default."""
    if not input.is_floating_point():
        return input.clone()
    largest = _LARGEST[str(input.dtype)]
    result = input.masked_fill(_C.isnan(input), 0.0 if nan is None else nan)
    result = result.masked_fill(input == math.inf, largest if posinf is None else posinf)
    return result.masked_fill(input == -math.inf, -largest if neginf is None else neginf)


@in_place
@composed
def sinc(input: Tensor) -> Tensor:
    """sin(pi x) / (pi x), 1 at 0."""
    x = float_like(input) * math.pi
    zero = x == 0
    return _C.where(zero, _C.ones_like(x), _C.sin(x) / x.masked_fill(zero, 1.0))


@in_place
@composed
def xlogy(input: Tensor | float, other: Tensor | float) -> Tensor:
    """x log y, 0 where x is 0 (unless y is NaN)."""
    x = input if isinstance(input, _Tensor) else _C.tensor(float(input))
    y = other if isinstance(other, _Tensor) else _C.tensor(float(other))
    zero = (x == 0) & ~_C.isnan(y)
    product = x * _C.log(_C.where(zero, _C.ones_like(float_like(y)), y))
    return _C.where(zero, _C.zeros_like(product), product)


@in_place
@composed
def frac(input: Tensor) -> Tensor:
    """x - trunc(x)."""
    return input - _C.trunc(input)


@in_place
@composed
@recorded_as("LogitBackward0")
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), x limited to [eps, 1 - eps] if eps is given."""
    x = input if eps is None else input.clamp(min=eps, max=1.0 - eps)
    return _C.log(x / (1 - x))


@in_place
@composed
def erfc(input: Tensor) -> Tensor:
    """1 - erf(x)."""
    return 1.0 - _C.erf(input)


@in_place
@composed
def asinh(input: Tensor) -> Tensor:
    """log(x + sqrt(x^2 + 1)), with the sign taken out so that nothing cancels."""
    a = input.abs()
    value = _C.log1p(a + a * a / (1.0 + _C.sqrt(a * a + 1.0)))
    return value * _C.where(input < 0, -1.0, 1.0)


@in_place
@composed
def acosh(input: Tensor) -> Tensor:
    """log(x + sqrt(x^2 - 1))."""
    t = input - 1.0
    return _C.log1p(t + _C.sqrt(t * t + 2.0 * t))


@in_place
@composed
def atanh(input: Tensor) -> Tensor:
    """0.5 log((1 + x) / (1 - x))."""
    return (_C.log1p(input) - _C.log1p(-input)) * 0.5


also("arcsinh")(asinh)
also("arccosh")(acosh)
also("arctanh")(atanh)


@in_place
@composed
def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle of the point (other, input)."""
    y, x = float_like(input), float_like(other)
    y, x = y + x * 0, x + y * 0  # the common shape
    # tan is steep near the axis of y: there the angle is taken from the other quotient.
    steep = y.abs() > x.abs()
    ratio = _C.where(steep, x, y) / _C.where(steep, y, x).masked_fill((x == 0) & (y == 0), 1.0)
    angle = _C.atan(ratio)
    sign = _C.where(y < 0, -1.0, 1.0)
    flat = angle + _C.where(x < 0, sign * math.pi, 0.0)
    return _C.where(steep, sign * (math.pi / 2) - angle, flat).to(x.dtype)


also("arctan2")(atan2)


@in_place
@composed
def copysign(input: Tensor, other: Tensor | float) -> Tensor:
    """|input| with the sign of other."""
    if not isinstance(other, _Tensor):
        other = _C.tensor(float(other), dtype=float_like(input).dtype)
    negative = (other < 0) | ((other == 0) & (1.0 / other < 0))
    return float_like(input).abs() * _C.where(negative, -1.0, 1.0)


@in_place
@composed
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below zero, 1 above, `values` at zero."""
    return _C.where(input == 0, values, (input > 0).to(input.dtype))


@composed
def signbit(input: Tensor) -> Tensor:
    """Whether the sign is negative (also of -0.0)."""
    if not input.is_floating_point():
        return input < 0
    return (input < 0) | ((input == 0) & (1.0 / input < 0))


@in_place
@composed
def float_power(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """Power in float64."""
    base = input.to(_C.float64) if isinstance(input, _Tensor) else float(input)
    power = exponent.to(_C.float64) if isinstance(exponent, _Tensor) else float(exponent)
    return base**power


@composed
def isposinf(input: Tensor) -> Tensor:
    """x == inf."""
    return input == math.inf


@composed
def isneginf(input: Tensor) -> Tensor:
    """x == -inf."""
    return input == -math.inf


@composed
def isreal(input: Tensor) -> Tensor:
    """True everywhere: there are no complex numbers."""
    return _C.ones_like(input, dtype=_C.bool)


@composed
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """|a - b| <= atol + rtol |b|, or equal."""
    if input.dtype != other.dtype:
        raise RuntimeError(f"isclose: other is {other.dtype}, expected {input.dtype}, the dtype of input")
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"isclose: rtol and atol must not be negative, got {rtol} and {atol}")
    close = input == other
    if rtol == 0 and atol == 0 and not equal_nan:
        return close
    if input.is_floating_point():
        if equal_nan:
            close = close | (_C.isnan(input) & _C.isnan(other))
        gap = (input - other).abs()
        return close | (_C.isfinite(gap) & (gap <= atol + (rtol * other).abs()))
    return close | ((input - other).abs() <= atol + (rtol * other.to(_C.float64)).abs())


@composed
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close."""
    return bool(isclose(input.detach(), other.detach(), rtol, atol, equal_nan).all())


@composed
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shapes and all elements are equal."""
    return input.shape == other.shape and bool((input == other).all())


@composed
def rsub(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """other - alpha * input."""
    return other - (input if alpha == 1 else input * alpha)


@function_only
def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """base^x for evenly spaced x."""
    dtype = _C.get_default_dtype() if dtype is None else dtype
    exponents = _C.linspace(float(start), float(end), steps, dtype=_C.float64)
    return (base**exponents).to(dtype).requires_grad_(requires_grad)
