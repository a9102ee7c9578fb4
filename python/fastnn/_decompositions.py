"""The decompositions of linalg.py as functions with gradients; NumPy's LAPACK computes, on zero-copy views.

Invariant: inv, solve, det, slogdet, cholesky, reduced qr, eigh and reduced svd have gradients;
matrices may stand in batches.
Source of the gradients: Giles, "An extended collection of matrix derivative results", 2008.
Does not: check arguments. Read next: linalg.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _C

from .autograd import Function

if TYPE_CHECKING:
    from fastnn import Tensor

LinAlgError = getattr(_C, "LinAlgError", RuntimeError)


def turned(x: Any) -> Any:
    return x.transpose(-2, -1)


def by_numpy(name: str, function: Any, *tensors: Any) -> Any:
    """Call NumPy's LAPACK; results as tensors of the input's dtype."""
    arrays = [t.detach().numpy() for t in tensors]
    try:
        result = function(*arrays)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"linalg.{name}: {error}") from None
    if isinstance(result, tuple):
        return tuple(_C.from_numpy(np.ascontiguousarray(r)) for r in result)
    return _C.from_numpy(np.asarray(result, dtype=arrays[0].dtype, order="C"))


def _half_diagonal(x: Tensor) -> Tensor:
    return x * (1.0 - 0.5 * _C.eye(x.size(-1), dtype=x.dtype))


def _gaps(values: Tensor) -> Tensor:
    """1 / (v_j - v_i), 0 on the diagonal."""
    gap = values.unsqueeze(-2) - values.unsqueeze(-1)
    same = _C.eye(values.size(-1), dtype=_C.bool)
    return (1.0 / gap.masked_fill(same, 1.0)).masked_fill(same, 0.0)


class Inverse(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        y = by_numpy("inv", np.linalg.inv, a)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return -(turned(y) @ grad @ turned(y))


class Solve(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        x = by_numpy("solve", np.linalg.solve, a, b)
        ctx.save_for_backward(a, x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        a, x = ctx.saved_tensors
        db = by_numpy("solve", np.linalg.solve, turned(a), grad)
        return -(db @ turned(x)), db


class Det(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        d = by_numpy("det", np.linalg.det, a)
        ctx.save_for_backward(a)
        return d

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # The matrix of cofactors, by the singular values: it exists where the inverse does not.
        (a,) = ctx.saved_tensors
        u, s, vh = by_numpy("det", np.linalg.svd, a)
        n = s.size(-1)
        others = [_C.cat([s[..., :i], s[..., i + 1 :]], -1).prod(-1) for i in range(n)]
        sign = by_numpy("det", lambda x, y: np.linalg.det(x) * np.linalg.det(y), u, vh).round()
        cofactors = (u * _C.stack(others, -1).unsqueeze(-2)) @ vh
        return cofactors * (sign * grad).unsqueeze(-1).unsqueeze(-1)


class LogDet(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Any:
        sign, logabs = np.linalg.slogdet(a.detach().numpy())
        ctx.save_for_backward(a)
        results = [_C.from_numpy(np.asarray(v, dtype=a.detach().numpy().dtype)) for v in (sign, logabs)]
        ctx.mark_non_differentiable(results[0])
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, _: Any, grad: Tensor) -> Tensor:
        (a,) = ctx.saved_tensors
        return turned(by_numpy("slogdet", np.linalg.inv, a)) * grad.unsqueeze(-1).unsqueeze(-1)


class Cholesky(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        lower = by_numpy("cholesky", np.linalg.cholesky, a)
        ctx.save_for_backward(lower)
        return lower

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (lower,) = ctx.saved_tensors
        phi = (turned(lower) @ grad).tril()
        phi = _half_diagonal(phi)
        back = by_numpy("cholesky", np.linalg.inv, lower)
        s = turned(back) @ phi @ back
        return (s + turned(s)) * 0.5


class ReducedQR(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Any:
        q, r = by_numpy("qr", np.linalg.qr, a)
        ctx.save_for_backward(q, r)
        return q, r

    @staticmethod
    def backward(ctx: Any, dq: Any, dr: Any) -> Tensor:
        q, r = ctx.saved_tensors
        if q.size(-2) < r.size(-1):
            raise RuntimeError("linalg.qr: the gradient of a wide matrix is not offered; transpose it")
        m = r @ turned(dr) - turned(dq) @ q
        lower = m.tril(-1)
        symmetric = lower + turned(lower) + m * _C.eye(m.size(-1), dtype=m.dtype)
        return (dq + q @ symmetric) @ turned(by_numpy("qr", np.linalg.inv, r))


class SymmetricEigen(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, uplo: Any) -> Any:
        values, vectors = by_numpy("eigh", lambda x: tuple(np.linalg.eigh(x, uplo)), a)
        ctx.save_for_backward(values, vectors)
        return values, vectors

    @staticmethod
    def backward(ctx: Any, dw: Any, dv: Any) -> Any:
        values, v = ctx.saved_tensors
        inside = _C.eye(values.size(-1), dtype=values.dtype) * dw.unsqueeze(-2) + (turned(v) @ dv) * _gaps(values)
        return v @ inside @ turned(v), None


class ReducedSVD(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Any:
        u, s, vh = by_numpy("svd", lambda x: tuple(np.linalg.svd(x, full_matrices=False)), a)
        ctx.save_for_backward(u, s, vh)
        return u, s, vh

    @staticmethod
    def backward(ctx: Any, du: Any, ds: Any, dvh: Any) -> Tensor:
        u, s, vh = ctx.saved_tensors
        dv, v = turned(dvh), turned(vh)
        gaps = _gaps(s * s)
        row = s.unsqueeze(-2)
        column = s.unsqueeze(-1)
        a, b = turned(u) @ du, turned(v) @ dv
        middle = (gaps * (a - turned(a))) * row + column * (gaps * (b - turned(b)))
        middle = middle + _C.eye(s.size(-1), dtype=s.dtype) * ds.unsqueeze(-2)
        result = u @ middle @ vh
        if u.size(-2) > s.size(-1):
            result = result + ((du - u @ a) / row) @ vh
        if v.size(-2) > s.size(-1):
            result = result + (u / row) @ turned(dv - v @ b)
        return result
