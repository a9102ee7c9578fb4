"""torch.linalg: norms, decompositions and what is made of them.

Invariant: arguments are checked here; matrices may stand in batches.
Read next: _decompositions.py, _composed/products.py.
"""

from __future__ import annotations

import math
from collections import namedtuple
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _C

from ._composed.products import cross, matrix_power
from ._composed.reduce import norm as _vector_norm
from ._decompositions import (
    Cholesky,
    Det,
    Inverse,
    LinAlgError,
    LogDet,
    ReducedQR,
    ReducedSVD,
    Solve,
    SymmetricEigen,
    by_numpy,
    turned,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn import Tensor

slogdet_result = namedtuple("slogdet_result", ["sign", "logabsdet"])
qr_result = namedtuple("qr_result", ["Q", "R"])
svd_result = namedtuple("svd_result", ["U", "S", "Vh"])
eigh_result = namedtuple("eigh_result", ["eigenvalues", "eigenvectors"])

__all__ = [
    "LinAlgError",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "vecdot",
    "vector_norm",
]


def _square(name: str, x: Tensor) -> None:
    if x.dim() < 2:
        raise RuntimeError(f"linalg.{name}: The input tensor A must have at least 2 dimensions.")
    if x.size(-1) != x.size(-2):
        raise RuntimeError(
            f"linalg.{name}: A must be batches of square matrices, but they are {x.size(-2)} by {x.size(-1)} matrices"
        )
    _float(name, x)


def _float(name: str, x: Tensor) -> None:
    if not x.is_floating_point():
        raise RuntimeError(f"linalg.{name}: Expected a floating point or complex tensor as input. Got {x.dtype}")


def inv(A: Tensor) -> Tensor:
    """The inverse of a square matrix."""
    _square("inv", A)
    return Inverse.apply(A)


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X with A X = B (X A = B if left is False); B may be a vector."""
    _square("solve", A)
    if not left:
        return turned(solve(turned(A), turned(B)))
    vector = B.dim() == 1 or (B.dim() == A.dim() - 1 and B.shape == A.shape[:-1])
    b = B.unsqueeze(-1) if vector else B
    if b.size(-2) != A.size(-1):
        raise RuntimeError(f"linalg.solve: B has {b.size(-2)} rows, expected {A.size(-1)}, the size of A")
    lead = np.broadcast_shapes(tuple(A.shape[:-2]), tuple(b.shape[:-2]))
    x = Solve.apply(A.expand([*lead, *A.shape[-2:]]), b.expand([*lead, *b.shape[-2:]]))
    return x.squeeze(-1) if vector else x


def det(A: Tensor) -> Tensor:
    """The determinant."""
    _square("det", A)
    return Det.apply(A)


def slogdet(A: Tensor) -> Any:
    """Sign and logarithm of the determinant."""
    _square("slogdet", A)
    return slogdet_result(*LogDet.apply(A))


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """Lower L with L L^T = A (or its transpose)."""
    _square("cholesky", A)
    lower = Cholesky.apply(A)
    return turned(lower) if upper else lower


def qr(A: Tensor, mode: str = "reduced") -> Any:
    """Orthogonal Q and upper triangular R with Q R = A."""
    _float("qr", A)
    if mode == "reduced":
        return qr_result(*ReducedQR.apply(A))
    if mode == "complete":
        return qr_result(*by_numpy("qr", lambda a: tuple(np.linalg.qr(a, mode="complete")), A))
    if mode == "r":
        return qr_result(_C.empty(0, dtype=A.dtype), ReducedQR.apply(A)[1])
    raise RuntimeError(
        f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
    )


def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """Eigenvalues (rising) and eigenvectors of a symmetric matrix, read from one triangle."""
    _square("eigh", A)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"linalg.eigh: UPLO is {UPLO!r}, expected 'L' or 'U'")
    return eigh_result(*SymmetricEigen.apply(A, UPLO.upper()))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of a symmetric matrix."""
    return eigh(A, UPLO).eigenvalues


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """U, S, Vh with U diag(S) Vh = A; gradients follow the reduced form."""
    _float("svd", A)
    if full_matrices and A.size(-1) != A.size(-2):
        return svd_result(*by_numpy("svd", lambda x: tuple(np.linalg.svd(x)), A))
    return svd_result(*ReducedSVD.apply(A))


def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values, largest first."""
    return svd(A, full_matrices=False).S


def pinv(A: Tensor, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Tensor:
    """The Moore-Penrose inverse."""
    u, s, vh = svd(A, full_matrices=False)
    if rtol is None:
        rtol = 0.0 if atol is not None else max(A.shape[-2:]) * np.finfo(str(A.dtype).rpartition(".")[2]).eps
    limit = (s.amax(-1, keepdim=True) * rtol).clamp(min=0.0 if atol is None else float(atol)).detach()
    small = s <= limit
    inverse = (1.0 / s.masked_fill(small, 1.0)).masked_fill(small, 0.0)
    return (turned(vh) * inverse.unsqueeze(-2)) @ turned(u)


def matrix_rank(A: Tensor, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Tensor:
    """How many singular values are above the tolerance."""
    s = svdvals(A.detach())
    if rtol is None:
        rtol = 0.0 if atol is not None else max(A.shape[-2:]) * np.finfo(str(A.dtype).rpartition(".")[2]).eps
    limit = (s.amax(-1, keepdim=True) * rtol).clamp(min=0.0 if atol is None else float(atol))
    return (s > limit).to(_C.int64).sum(-1)


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """X that makes |A X - B| least; fields solution, residuals, rank, singular_values."""
    result = namedtuple("result", ["solution", "residuals", "rank", "singular_values"])
    empty = _C.empty(0, dtype=A.dtype)
    solution = pinv(A, rtol=rcond) @ B
    residuals = empty
    if A.size(-2) > A.size(-1):
        residuals = ((A @ solution - B) ** 2).sum(-2)
    return result(solution, residuals, matrix_rank(A, rtol=rcond), empty)


def vector_norm(x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The p-norm of the elements over dims."""
    return _vector_norm(x, ord, dim, keepdim, dtype=dtype)


def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Norms of matrices: "fro", "nuc", inf, -inf, 1, -1, 2, -2."""
    _float("matrix_norm", A)
    x = A if dtype is None else A.to(dtype)
    if ord == "fro":
        return _vector_norm(x, 2, list(dim), keepdim)
    d0, d1 = (d % x.dim() for d in dim)
    if ord in ("nuc", 2, -2):
        rest = [d for d in range(x.dim()) if d not in (d0, d1)]
        s = svdvals(x.permute([*rest, d0, d1]))
        result = s.sum(-1) if ord == "nuc" else (s.amax(-1) if ord == 2 else s.amin(-1))
    elif ord in (math.inf, -math.inf, 1, -1):
        inside, outside = (d1, d0) if abs(ord) == math.inf else (d0, d1)
        sums = x.abs().sum(inside, keepdim=True)
        result = sums.amax(outside, keepdim=True) if ord > 0 else sums.amin(outside, keepdim=True)
        result = result.squeeze(max(d0, d1)).squeeze(min(d0, d1))
    else:
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if keepdim:
        for d in sorted((d0, d1)):
            result = result.unsqueeze(d)
    return result


def norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """vector_norm, or matrix_norm where ord or dim speak of matrices."""
    pair = isinstance(dim, (tuple, list)) and len(dim) == 2
    if ord is not None and (pair or (dim is None and A.dim() == 2) or isinstance(ord, str)):
        return matrix_norm(A, ord, dim if pair else (-2, -1), keepdim, dtype=dtype)
    return _vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)


def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition number."""
    if p is None or p in (2, -2):
        s = svdvals(A)
        big, small = s.amax(-1), s.amin(-1)
        return small / big if p == -2 else big / small
    return matrix_norm(A, p) * matrix_norm(inv(A), p)


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """input @ other."""
    return input @ other


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of several matrices; the first and the last may be vectors."""
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    for i, t in enumerate(tensors):
        if t.dim() != 2 and not (t.dim() == 1 and i in (0, len(tensors) - 1)):
            wanted = "1D or 2D" if i in (0, len(tensors) - 1) else "2D"
            raise RuntimeError(f"multi_dot(): tensor {i} must be {wanted} but got {t.dim()}D")
        if t.dtype != tensors[0].dtype:
            raise RuntimeError(f"multi_dot(): expected one dtype, found {tensors[0].dtype} and {t.dtype}")
    result = tensors[0]
    for t in tensors[1:]:
        result = result @ t
    return result


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The inner products along dim."""
    return (x * y).sum(dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices."""
    return A.diagonal(offset, dim1, dim2)
