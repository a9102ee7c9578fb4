"""Matrix and tensor products made of matmul.

Read next: ../linalg.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _C

from .._arguments import tensors_of
from ._registry import also, composed, function_only, in_place, recorded_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn import Tensor


def _dims(name: str, argument: str, x: Tensor, wanted: int) -> None:
    if x.dim() != wanted:
        raise RuntimeError(f"{name}: {argument} has {x.dim()} dimensions, expected {wanted}")


@composed
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices."""
    _dims("mm", "self", input, 2)
    _dims("mm", "mat2", mat2, 2)
    return input @ mat2


@composed
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of matrices in two batches."""
    _dims("bmm", "batch1", input, 3)
    _dims("bmm", "batch2", mat2, 3)
    if input.size(0) != mat2.size(0):
        raise RuntimeError(f"bmm: batch2 has {mat2.size(0)} matrices, expected {input.size(0)}")
    return input @ mat2


@composed
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Matrix times vector."""
    _dims("mv", "self", input, 2)
    _dims("mv", "vec", vec, 1)
    return input @ vec


@composed
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two vectors."""
    if input.dim() != 1 or tensor.dim() != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.dim()}D and {tensor.dim()}D tensors")
    return input @ tensor


also("vdot")(dot)


@composed
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Products summed over the last dimensions."""
    if input.dim() == 0 or other.dim() == 0:
        return input * other
    return tensordot(input, other, dims=([-1], [-1]))


@composed
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """x[i] y[j]."""
    _dims("outer", "self", input, 1)
    _dims("outer", "vec2", vec2, 1)
    return input.unsqueeze(1) * vec2.unsqueeze(0)


also("ger")(outer)


def _mix(name: str, base: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    """beta base + alpha product, of its shape; beta = 0 ignores even NaN in base, integers take integer factors."""
    if base.dtype != product.dtype and name != "addr":
        raise RuntimeError(f"{name}: input has dtype {base.dtype}, expected {product.dtype}, the product's")
    sizes = zip(reversed(base.shape), reversed(product.shape), strict=False)
    if base.dim() > product.dim() or any(own not in (1, size) for own, size in sizes):
        raise RuntimeError(
            f"{name}: input has shape {tuple(base.shape)}, expected one that expands to {tuple(product.shape)}"
        )
    if not product.is_floating_point():
        beta, alpha = int(beta), int(alpha)
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product
    return product + (base if beta == 1 else base * beta)


@in_place
@composed
@recorded_as("AddmmBackward0")
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta x + alpha A B."""
    if mat1.dim() == 2 and mat2.dim() == 2 and mat1.size(1) != mat2.size(0):
        raise RuntimeError(
            f"addmm: mat1 and mat2 shapes cannot be multiplied: {tuple(mat1.shape)} and {tuple(mat2.shape)}"
        )
    return _mix("addmm", input, mm(mat1, mat2), beta, alpha)


@in_place
@composed
@recorded_as("AddmvBackward0")
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta x + alpha A v."""
    return _mix("addmv", input, mv(mat, vec), beta, alpha)


@in_place
@composed
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta x + alpha u v^T."""
    return _mix("addr", input, outer(vec1, vec2), beta, alpha)


@in_place
@composed
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta x + alpha times the sum of the batch's products."""
    return _mix("addbmm", input, bmm(batch1, batch2).sum(0), beta, alpha)


@in_place
@composed
@recorded_as("BaddbmmBackward0")
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta x + alpha times the batch's products."""
    return _mix("baddbmm", input, bmm(batch1, batch2), beta, alpha)


@function_only
def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of several matrices, from the left."""
    parts = tensors_of("chain_matmul", matrices)
    if not parts or any(m.dim() != 2 for m in parts):
        raise RuntimeError(f"chain_matmul: expected matrices, found shapes {[tuple(m.shape) for m in parts]}")
    result = parts[0]
    for matrix in parts[1:]:
        result = result @ matrix
    return result


@composed
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product."""
    n = max(input.dim(), other.dim())
    a = [1] * (n - input.dim()) + list(input.shape)
    b = [1] * (n - other.dim()) + list(other.shape)
    left = input.reshape([v for s in a for v in (s, 1)])
    right = other.reshape([v for s in b for v in (1, s)])
    return (left * right).reshape([p * q for p, q in zip(a, b, strict=False)])


@composed
def matrix_power(input: Tensor, n: int) -> Tensor:
    """A A ... A; the inverse's power for negative n."""
    if input.dim() < 2 or input.size(-1) != input.size(-2):
        raise RuntimeError(
            f"linalg.matrix_power: A must be batches of square matrices, but they are {tuple(input.shape[-2:])}"
        )
    if n < 0:
        from fastnn.linalg import inv

        return matrix_power(inv(input), -n)
    if n == 0:
        return _C.eye(input.size(-1), dtype=input.dtype).expand(input.shape).clone()
    result = None
    square = input
    while n:
        if n & 1:
            result = square if result is None else result @ square
        n >>= 1
        if n:
            square = square @ square
    return result  # type: ignore[return-value]


@function_only
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Products summed over the given dimensions of both."""
    if isinstance(dims, _C.Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        left, right = list(range(a.dim() - dims, a.dim())), list(range(dims))
    else:
        left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    left, right = [d % a.dim() for d in left], [d % b.dim() for d in right]
    if len(left) != len(right) or any(a.size(i) != b.size(j) for i, j in zip(left, right, strict=False)):
        raise RuntimeError(
            f"contracted dimensions need to match, but first has sizes {[a.size(i) for i in left]} in dims {left} and "
            f"second has sizes {[b.size(j) for j in right]} in dims {right}"
        )
    rest_a = [d for d in range(a.dim()) if d not in left]
    rest_b = [d for d in range(b.dim()) if d not in right]
    inner_size = 1
    for d in left:
        inner_size *= a.size(d)
    rows = 1
    for d in rest_a:
        rows *= a.size(d)
    columns = 1
    for d in rest_b:
        columns *= b.size(d)
    x = a.permute(rest_a + left).reshape(rows, inner_size)
    y = b.permute(right + rest_b).reshape(inner_size, columns)
    return (x @ y).reshape([a.size(d) for d in rest_a] + [b.size(d) for d in rest_b])


@composed
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along a dimension of size 3."""
    if dim is None:
        dim = next((d for d, size in enumerate(input.shape) if size == 3), -1)
    if input.size(dim) != 3 or other.size(dim) != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.size(dim)} and {other.size(dim)}"
        )
    a, b = input.unbind(dim), other.unbind(dim)
    parts = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    return _C.stack(parts, dim)


@function_only
@recorded_as("CdistBackward0")
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "") -> Tensor:
    """The p-norm distances of all pairs of rows: (..., P, D) and (..., R, D) to (..., P, R)."""
    if x1.dim() < 2 or x2.dim() < 2 or x1.size(-1) != x2.size(-1):
        raise RuntimeError(
            f"cdist: X1 {tuple(x1.shape)} and X2 {tuple(x2.shape)} must have the same number of columns."
        )
    return (x1.unsqueeze(-2) - x2.unsqueeze(-3)).norm(p, -1)


class _Terms:
    """An einsum equation: for each operand its letters, and those of the result."""

    def __init__(self, equation: str, operands: Sequence[Tensor]) -> None:
        text = equation.replace(" ", "")
        left, arrow, right = text.partition("->")
        parts = left.split(",")
        if len(parts) != len(operands):
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({len(parts)}) does not match the number "
                "of operands "
                f"({len(operands)})"
            )
        extra = max(
            (x.dim() - len(p.replace("...", "")) for p, x in zip(parts, operands, strict=False) if "..." in p),
            default=0,
        )
        dots = "".join(chr(0x100 + i) for i in range(extra))  # letters of their own for the dots
        self.inputs = []
        for k, (part, x) in enumerate(zip(parts, operands, strict=False)):
            covered = x.dim() - len(part.replace("...", ""))
            if covered < 0 or (covered and "..." not in part):
                raise RuntimeError(
                    f"einsum(): the number of subscripts in the equation ({len(part)}) does not match the number of "
                    f"dimensions ({x.dim()}) for operand {k} and no ellipsis was given"
                )
            self.inputs.append(part.replace("...", dots[extra - covered :]))
        if not arrow:
            letters = "".join(self.inputs)
            right = "..." + "".join(sorted(c for c in set(letters) if letters.count(c) == 1 and c not in dots))
        self.output = right.replace("...", dots)
        for c in self.output:
            if self.output.count(c) > 1 or not any(c in letters for letters in self.inputs):
                raise RuntimeError(f"einsum(): output subscript {c} must appear once in the output and in an operand")


def _diagonals(x: Tensor, letters: str) -> tuple[Tensor, str]:
    """Repeated letters of one operand become one, along the diagonal."""
    i = 0
    while i < len(letters):
        j = letters.find(letters[i], i + 1)
        if j < 0:
            i += 1
            continue
        x = x.diagonal(0, i, j)
        letters = letters[:i] + letters[i + 1 : j] + letters[j + 1 :] + letters[i]
        i = 0
    return x, letters


def _contract(a: Tensor, la: str, b: Tensor, lb: str, keep: set[str]) -> tuple[Tensor, str]:
    """One pair of operands: letters not in keep are summed away."""

    def drop_own(x: Tensor, letters: str, other: str) -> tuple[Tensor, str]:
        own = [i for i, c in enumerate(letters) if c not in other and c not in keep]
        return (x.sum(own), "".join(c for c in letters if c in other or c in keep)) if own else (x, letters)

    # A dimension of size 1 against a larger one broadcasts: it takes no part in the product's sums.
    for c in set(la) & set(lb):
        sa, sb = a.size(la.index(c)), b.size(lb.index(c))
        if sa != sb:
            if sa == 1:
                a, la = a.squeeze(la.index(c)), la.replace(c, "")
            elif sb == 1:
                b, lb = b.squeeze(lb.index(c)), lb.replace(c, "")
            else:
                raise RuntimeError(f"einsum(): subscript {c} has size {sb} for an operand where another has {sa}")
    a, la = drop_own(a, la, lb)
    b, lb = drop_own(b, lb, la)
    batch = [c for c in la if c in lb and c in keep]
    summed = [c for c in la if c in lb and c not in keep]
    rows = [c for c in la if c not in lb]
    columns = [c for c in lb if c not in la]
    sizes = {c: a.size(la.index(c)) for c in la} | {c: b.size(lb.index(c)) for c in lb}

    def count(letters: list[str]) -> int:
        n = 1
        for c in letters:
            n *= sizes[c]
        return n

    x = a.permute([la.index(c) for c in batch + rows + summed])
    y = b.permute([lb.index(c) for c in batch + summed + columns])
    x = x.reshape(count(batch), count(rows), count(summed))
    y = y.reshape(count(batch), count(summed), count(columns))
    result = x @ y if summed else x * y
    order = batch + rows + columns
    return result.reshape([sizes[c] for c in order]), "".join(order)


@function_only
def einsum(equation: str, *operands: Any) -> Tensor:
    """Products of operands named by letters, summed over those that the result lacks: "bij,bjk->bik"."""
    tensors = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else list(operands)
    if not tensors:
        raise ValueError("einsum(): must specify the equation string and at least one operand")
    terms = _Terms(equation, tensors)
    x, letters = _diagonals(tensors[0], terms.inputs[0])
    for k in range(1, len(tensors)):
        y, other = _diagonals(tensors[k], terms.inputs[k])
        keep = set(terms.output).union(*terms.inputs[k + 1 :])
        x, letters = _contract(x, letters, y, other, keep)
    away = [i for i, c in enumerate(letters) if c not in terms.output]
    if away:
        x = x.sum(away)
        letters = "".join(c for c in letters if c in terms.output)
    return x.permute([letters.index(c) for c in terms.output])
