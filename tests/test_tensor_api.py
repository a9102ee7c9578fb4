"""The tensor as Python sees it: attributes, methods, operators, in-place forms, promotion, views, interoperation. Beside torch, one table each.

Invariant: each entry is an expression evaluated in both libraries (agree.py); the expected answer is never typed in.
Does not: cover indexing (test_indexing.py), printing (test_printing.py), autograd (test_autograd.py). Read next: agree.py.
"""

from __future__ import annotations

import copy
import gc
import itertools
import pickle
import re
import sys
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from agree import agree, compare, names
from support import DTYPES, arr, outcome, same

import fastnn

ATTRIBUTES = """
f2.t().clone(memory_format=torch.contiguous_format).stride(); f2.t().clone(memory_format=torch.preserve_format).stride(); f2.t().contiguous(memory_format=torch.contiguous_format).stride(); f2.shape; f2.dtype; f2.device; f2.ndim; f2.T; f3.mT; f2.requires_grad; f2.is_leaf; f2.grad; f2.grad_fn; f2.data; w2.data; f2.size(); f2.size(0); f2.size(-1); f2.dim(); f2.numel(); f2.nelement(); f2.stride(); f2.stride(0); s3.stride()
f2.is_contiguous(); s2.is_contiguous(); s3.is_contiguous(); e.is_contiguous(); f2.element_size(); f2.itemsize; f2.nbytes; f2.storage_offset(); f2[1:].storage_offset(); f2.is_floating_point(); i2.is_floating_point(); torch.is_tensor(f2); torch.is_floating_point(f2)
f2.layout; f2.is_cuda; f2.type(); i2.type(); f2.type(torch.float64); f2.shape[0]; f2.shape == (3, 4); f2.shape.numel(); len(f2); len(f2.shape); f2.names if False else 1; f2._version; w2.is_leaf; (w2 * 2).is_leaf; (w2 * 2).requires_grad; f2.real if False else 1
isinstance(f2.shape, tuple); type(f2.shape).__name__; f2.shape + (1,); f2.shape[1:]; tuple(f2.shape); list(f2.shape); f2.size() == torch.Size([3, 4]); torch.Size([2, 3]); torch.Size([2, 3]).numel(); hash(torch.Size([2])) == hash((2,)); f2.output_nr; f2.is_sparse; f2.is_inference(); f2.is_complex()
""".replace("\n", ";").split(";")

METHODS = """
f2.add(1); f2.add(f1); f2.add(f1, alpha=2); f2.sub(f1); f2.mul(2); f2.div(2); f2.pow(2); f2.abs(); f2.neg(); f2.exp(); f2.sqrt().isnan(); f2.abs().sqrt(); f2.abs().log(); f2.abs().log10(); f2.abs().log2(); f2.abs().log1p(); f2.abs().rsqrt(); f2.reciprocal(); f2.square(); f2.sin(); f2.cos()
f2.tanh(); f2.sigmoid(); f2.relu(); f2.erf(); f2.floor(); f2.ceil(); f2.round(); f2.round(decimals=1); f2.trunc(); f2.sign(); f2.clamp(-1, 1); f2.clamp(min=0); f2.clamp(max=0.5); f2.clip(-1, 1); f2.clamp_min(0); f2.clamp_max(0.5); f2.clamp(f2 - 1, f2 + 1)
f2.sum(); f2.sum(0); f2.sum(-1); f2.sum((0, 1)); f2.sum([0]); f2.sum(1, keepdim=True); f2.sum(1, keepdims=True); f2.sum(dim=0); f2.sum(axis=0); f2.sum(dtype=torch.float64); i2.sum(); b2.sum(); b2.sum(0); u1.sum(); i2.sum(0, dtype=torch.float32); e.sum(); e.sum(0); e.sum(1)
f2.mean(); f2.mean(0); f2.mean((0, 1), keepdim=True); f2.mean(1, True); i2.mean(dtype=torch.float32); i2.float().mean(); e.mean(); f2.var(); f2.var(0); f2.var(0, unbiased=False); f2.var(1, keepdim=True); f2.var((0, 1)); f2.std(); f2.std(0); f2.std(0, False); f2.var(dim=0, correction=0); f2.std(dim=1, keepdim=True, unbiased=True)
f2.prod(); f2.prod(0); i1.prod(); f2.max(); f2.max(0); f2.max(1, keepdim=True); f2.max(f1); f2.max(dim=1).values; f2.max(1)[1]; f2.max(1).indices; f2.min(); f2.min(0); f2.min(-1); i2.max(); i2.max(1); b2.max(); f2.amax(); f2.amax(0); f2.amax((0, 1)); f2.amin(1, keepdim=True); f2.aminmax()
f2.argmax(); f2.argmax(0); f2.argmax(-1, keepdim=True); f2.argmin(); f2.argmin(1); i2.argmax(1); b2.all(); b2.all(0); b2.any(1); b2.any(1, keepdim=True); f2.all(); i2.any(); f2.norm(); f2.norm(dim=1); f2.norm(2, 0); f2.norm(p=1); f2.logsumexp(1); f2.cumsum(0); i2.cumsum(1); b1.cumsum(0); f2.cumprod(1)
f2.median(); f1.median(0); f2.softmax(-1); f2.log_softmax(1); f2.topk(2); f2.topk(2, dim=0); f2.topk(2, largest=False); f2.sort(); f2.sort(0, descending=True); f2.argsort(); i2.sort(1); i1.unique(); i2.unique(return_counts=True); i2.unique(return_inverse=True); f1.sort(stable=True, dim=0); f2.kthvalue(2)
f2.view(12); f2.view(-1); f2.view(2, -1); f2.view((4, 3)); f2.view(f2.shape); f2.view_as(torch.zeros(4, 3)); f2.reshape(6, 2); s2.reshape(-1); f2.reshape_as(torch.zeros(2, 6)); f2.flatten(); f3.flatten(1); f3.flatten(0, 1); s3.flatten(1); f2.unflatten(1, (2, 2)); f2.ravel(); s2.ravel()
f2.transpose(0, 1); f2.t(); f1.t(); f3.permute(2, 0, 1); f3.permute((0, 2, 1)); f2.unsqueeze(0); f2.unsqueeze(-1); f2[None].squeeze(); f2[None].squeeze(0); f2.squeeze(0); f3.swapaxes(0, 2); f3.movedim(0, 2); f1.expand(3, 4); f1.expand(3, -1); f1.expand((2, 3, 4)); f1.expand_as(f2); f0.expand(2, 2); f1.repeat(2); f1.repeat(2, 3); f2.repeat(1, 2); f1.repeat_interleave(2); f2.tile(2)
f2.split(2); f2.split(3, dim=1); f2.split([1, 3], dim=1); f2.chunk(2); f2.chunk(3, dim=1); f2.unbind(); f2.unbind(1); f2.select(0, 1); f2.narrow(1, 1, 2); f3.diagonal(); f2.diagonal(1); f2.diag(); f1.diag(); f2.tril(); f2.triu(1); f2.flip(0); f2.flip([0, 1]); f2.roll(1); f2.roll(1, 0); f2.roll((1, 2), (0, 1)); f2.as_strided((2, 2), (1, 2)); f1.unfold(0, 2, 1); f2.rot90()
f2.clone(); s2.clone(); s2.contiguous(); f2.detach(); w2.detach(); f2.contiguous() is f2; f2.to(torch.float64); f2.to(torch.float32) is f2; f2.to('cpu') is f2; f2.to(d2); f2.to('cpu', torch.float64); f2.to(dtype=torch.int64); f2.to(torch.float32, copy=True) is f2; f2.to('cpu', non_blocking=True) is f2; f2.to(device='cpu', dtype=torch.float64); f2.to(torch.device('cpu')) is f2; s2.to(torch.float64)
f2.float() is f2; f2.double(); f2.long(); f2.int(); f2.bool(); f2.byte() if False else 1; i2.float(); b2.float(); b2.long(); b2.int(); d2.float(); u1.long(); u1.float(); i1.bool(); i1.to(torch.uint8); f2.type_as(d2); i2.type_as(f2); f2.cpu() is f2; f2.pin_memory() is f2 if False else 1; (f2 * 100).int(); (f2 * 1e10).double().long(); torch.tensor([1.9, -1.9]).long()
f2.matmul(f2.T); f2.mm(f2.t()); f2 @ f1; f1 @ f1; f1.dot(f1); f2.mv(f1); f3.bmm(f3.transpose(1, 2)); f3 @ f2.t(); f3.matmul(f1); i2 @ i1; i2 @ i2.T; d2 @ d1; f1.outer(f1); f2.addmm(f2, torch.eye(4)); f1 @ f2.T; f3 @ f3.mT; torch.einsum('ij,kj->ik', f2, f2); torch.einsum('bij,bkj->bik', f3, f3); torch.einsum('ij->j', f2)
f2.masked_fill(b2, 0.0); f2.masked_fill(b1, -inf); f2.masked_select(b2); f2.gather(1, i2.clamp(0, 3)); f2.index_select(1, i1); f2.take(i1); i1.bincount(); f2.nonzero(); b1.nonzero(); b1.nonzero(as_tuple=True); f2.where(b2, 0.0); f2.eq(f2); f2.eq(1); f2.ne(f1); f2.lt(0); f2.le(f1); f2.gt(0.5); f2.ge(f1); f2.equal(f2); f2.equal(f1); f2.allclose(f2 + 1e-9); f2.isclose(f2); f2.isnan(); f2.isfinite(); f2.isinf(); b1.logical_not(); b1.logical_and(b0)
f0.item(); i0.item(); b0.item(); d1[0].item(); f1[:1].item(); f2.item(); f2.tolist(); i2.tolist(); b2.tolist(); f0.tolist(); e.tolist(); u1.tolist(); f3.tolist(); f2.new_zeros(2, 3); i2.new_ones(2); f2.new_full((2,), 3); f2.new_tensor([1, 2]); d2.new_empty(2).shape; i2.new_zeros((2, 2), dtype=torch.float32); f2.zero_(); f2.fill_(2.5); f2.fill_(i0)
f2.lerp(f1, 0.3); f2.addcmul(f1, f1, value=0.5); f2.addcdiv(f1, f1 + 5); f2.float_power(2) if False else 1; f2.remainder(1); f2.fmod(1); f2.floor_divide(0.7); f2.true_divide(2); f2.maximum(f1); f2.minimum(f1); f2.atan2(f1); f2.logical_xor(b2); i2.bitwise_and(3); i1 << 1; i1 >> 1; f2.xlogy(f2.abs()); f2.hypot(f1); f2.count_nonzero(); f2.dist(f1); f2.cosh(); f2.expm1(); f2.frac(); f2.logit(); f2.sinh(); f2.nan_to_num(); f2.cross(f2) if False else 1
""".replace("\n", ";").split(";")

OPERATORS = """
f2 + f1; f2 + 1; 1 + f2; f2 + 1.5; 1.5 + f2; f2 - f1; f2 - 1; 1 - f2; 1.0 - f2; f2 * f1; f2 * 2; 2 * f2; f2 / 2; 2 / f2; f2 / f1; f2 // 0.7; 2 // f2; f2 % 0.7; 2 % f2; f2 ** 2; f2 ** 3; f2.abs() ** 0.5; f2.abs() ** -0.5; f2 ** -1; f2.abs() ** -1.5; 2 ** f2; 10 ** f2; 2.0 ** f2; f2 ** 0; f2 ** f2.round().abs(); -f2; +f2; abs(f2); f2 @ f1
i2 + 1; 1 + i2; i2 + 0.5; i2 * 2; i2 * 2.0; i2 / 2; 2 / (i2 + 20); i2 // 2; i2 // -3; -i2 // 2; i2 % 3; i2 % -3; 7 % (i2 + 20); i2 ** 2; 2 ** i1; i1 ** 3.0; i1 ** 0.5; i2 - 1; 1 - i2; -i2; abs(i2); i2 & 3; i2 | 1; i2 ^ 5; ~i2; 3 & i2; i1 // 2.0; i2 // i2.abs().clamp(min=1); i2 % i2.abs().clamp(min=1); i2 + True; True + i2; i2 * True
b1 & b1; b1 | ~b1; b1 ^ b1; ~b1; b1 + b1; b1 + 1; b1 * 2.0; b1 * f1; b1 == b1; b1 < 1; b1 + True; b1 * b1; b1 / 2; 1 - b1.long(); b1 & True; b2 | False; u1 + 1; u1 + u1; u1 * 2; 255 - u1; u1 / 2; u1 // 2; u1 % 7; -u1; u1 + 1.5; u1 == 255; u1 < 8; u1 ** 2; ~u1; u1 + 300 if False else 1
f2 == f1; f2 != f1; f2 < f1; f2 <= 0; f2 > 0.5; f2 >= f1; 0 < f2; 1 >= i2; i2 == 2; i2 == 2.0; 2 == i2; i2 < 1.5; b1 == True; f2 == None; f2 != None; f2 == 'a'; None == f2; (f2 > 0) & (f2 < 1); i2 == f2; f2 == [1]; f0 > 0; f2 in [1] if False else 1
f2 + i1; f2 * b1; i2 + b1; i2 + j1; j1 + u1; u1 + b1; d2 + f1; f0 + d1; f1 + torch.tensor(2.0, dtype=torch.float64); i1 + torch.tensor(2.5); i1 * torch.tensor(2, dtype=torch.int32); j1 + i0; u1 + i0; b1 + i0; j1 + 1; f1 + i0; torch.tensor(1) + torch.tensor(2.0); torch.tensor(1, dtype=torch.uint8) + 1.0; b0 + b0; i0 / i0; f2 + True; f0 + 1
float(f0); int(i0); bool(b0); bool(f0); int(f0); float(i0); complex(f0) if False else 1; bool(f1); bool(e); int(f1); len(f0); f'{f0:.3f}'; f'{i0}'; f'{f0}'; f'{i0:d}'; f'{f0:+.2e}'; '%.2f' % f0; '%d' % i0; '{:.4f}'.format(f0); f'{f1}'; f'{f1:.2f}'; format(f0, '.2f'); str(i0); [10, 20, 30, 40][i0]; range(5)[i0]; list(range(i0)); [0] * i0; 'abc' * i0; round(f0, 2) if False else 1; math.sqrt(f0.abs()); math.exp(i0); hash(f0) == id(f0); round(float(f0), 3)
sum(f1); max(f1); min(f1); sorted(i1.tolist()); list(f1); [x.item() for x in f1]; list(f2); tuple(f2); a, = f2[:1] if False else (1,); [v for v in e]; list(zip(f1, i1)); next(iter(f2)); list(reversed(f1)); 1.0 in f1; 3 in i1; iter(f0); dict(enumerate(i1.tolist())); any(b1); all(b1); [*f1]; 5 in i2; torch.is_tensor(next(iter(f1)))
""".replace("\n", ";").split(";")

INPLACE = """
f2.add_(1); f2.add_(f1); f2.add_(f1, alpha=-0.5); f2.sub_(f1); f2.mul_(2); f2.mul_(f1); f2.div_(2); f2.pow_(2); f2.neg_(); f2.exp_(); f2.abs_(); f2.sqrt_().isnan(); f2.tanh_(); f2.sigmoid_(); f2.relu_(); f2.clamp_(-1, 1); f2.clamp_(min=0); f2.zero_(); f2.fill_(3); f2.copy_(f1); f2.copy_(i2); i2.copy_(f2); f2.masked_fill_(b2, 9); f2.lerp_(f1, 0.5); f2.addcmul_(f1, f1); f2.addcdiv_(f1, f1 + 9, value=2); f2.floor_(); f2.round_(); f2.reciprocal_(); f2.log_().isnan(); f2.t_(); f2.unsqueeze_(0); f2.squeeze_(); f2.transpose_(0, 1)
i2.add_(1); i2.mul_(2); i2.add_(1.5); i2.div_(2); i2.floor_divide_(2); i2.add_(b2); b1.logical_not_(); b1.mul_(True); b1.add_(1); u1.add_(1); u1.mul_(2); u1.sub_(1); f2.add_(d2); d2.add_(f2); i2.add_(f2); f2.add_(i2); f2.index_fill_(0, i1[:1] - 3, 2.0); f2.index_copy_(0, i1[2:3], f2[:1] * 2); f2.scatter_(1, i2.clamp(0, 3), 1.0); f2.index_add_(1, i1, f2.clone()); f2.tril_(); f2.triu_(); f2.fill_diagonal_(5); f2.set_() if False else 1; f2.uniform_().shape; f2.add_(torch.ones(2, 3, 4)); f2.detach_() is f2; f2.requires_grad_() is f2; s2.add_(1); s3.mul_(2); f1.expand(3, 4).add_(1)
f2 += 1; f2 += f1; f2 -= 1; f2 *= f1; f2 /= 2; f2 **= 2; f2 //= 0.5; f2 %= 0.7; i2 += 1; i2 /= 2; i2 += 0.5; i2 //= 2; b1 &= ~b1; b1 |= True; i2 ^= 1; f2 @= f2; f2[0] += 1; f2[:, 1] *= 0; f2[b2] -= 1; f2.T[0] += 1; f2 += d2; f2 += w2; i1 <<= 1
""".replace("\n", ";").split(";")

CREATION = """
torch.tensor(3); torch.tensor(3.5); torch.tensor(True); torch.tensor([1, 2]); torch.tensor([1.0, 2]); torch.tensor([1, True]); torch.tensor([[1, 2], [3, 4]]); torch.tensor([]); torch.tensor([[]]); torch.tensor((1, 2)); torch.tensor(range(3)); torch.tensor(np.arange(3)); torch.tensor(np.float32(2)); torch.tensor(np.array([1.5], np.float64)); torch.tensor([np.float64(1.5)]); torch.tensor([f0, f0]); torch.tensor([i0, 2]); torch.tensor(f2); torch.tensor([1, 2], dtype=torch.float32); torch.tensor([1.7], dtype=torch.int64); torch.tensor([0, 2], dtype=torch.bool)
torch.tensor([np.arange(2), np.arange(2)]); torch.tensor([[1, 2], [3]]); torch.tensor(['a']); torch.tensor(None); torch.tensor([None]); torch.tensor({}); torch.tensor(2**40); torch.tensor(2**63); torch.tensor([1, 2.5], requires_grad=True); torch.tensor([1], requires_grad=True); torch.tensor(1e300); torch.tensor([nan, inf]); torch.tensor(5, dtype=torch.uint8); torch.tensor([300], dtype=torch.uint8); torch.tensor(-1, dtype=torch.uint8); torch.tensor('a'); torch.tensor(b'ab') if False else 1; torch.tensor(1j) if False else 1; torch.tensor([[f0], [f0]]); torch.tensor([(1, 2), (3, 4)])
torch.Tensor([1, 2]); torch.Tensor(2, 3).shape; torch.Tensor([[1.5]]); torch.Tensor(); torch.FloatTensor([1, 2]); torch.LongTensor([1, 2]); torch.IntTensor([1]); torch.BoolTensor([True]); torch.DoubleTensor([1]); torch.ByteTensor([1]); torch.LongTensor(2).shape; torch.LongTensor([1.5]) if False else 1; torch.FloatTensor(np.zeros(2, np.float32)) if False else 1; torch.as_tensor([1, 2]); torch.as_tensor(f2) is f2; torch.as_tensor(np.arange(3)); torch.asarray([1.0]); torch.from_numpy(np.zeros((2, 3))); torch.from_numpy(np.arange(4, dtype=np.int32)[::2]); torch.from_numpy([1]); torch.from_numpy(np.array(['a']))
torch.zeros(2, 3); torch.zeros((2, 3)); torch.zeros([2, 3]); torch.zeros(2, dtype=torch.int64); torch.zeros(()); torch.zeros(size=(2,)); torch.zeros(2, requires_grad=True); torch.zeros(f2.shape); torch.zeros(i0, 2); torch.zeros(2, device='cpu'); torch.zeros(2, device=torch.device('cpu')); torch.ones(2, 3); torch.ones(2, dtype=torch.bool); torch.full((2, 2), 7); torch.full((2,), 1.5); torch.full((2,), True); torch.full((), 3.0); torch.full((2,), 1, dtype=torch.float32); torch.empty(2, 3).shape; torch.empty((0,)); torch.zeros_like(i2); torch.ones_like(s2); torch.zeros_like(f2, dtype=torch.int32); torch.full_like(f2, 3); torch.empty_like(s2).shape; torch.zeros_like(f2, requires_grad=True); torch.zeros_like(s3); torch.ones_like(f1.expand(3, 4))
torch.arange(5); torch.arange(5.0); torch.arange(1, 4); torch.arange(0, 1, 0.1); torch.arange(5, 0, -1); torch.arange(3, dtype=torch.float32); torch.arange(0, 10, 3); torch.arange(i0); torch.arange(2.5); torch.arange(0, 1, 0.25, dtype=torch.float64); torch.arange(end=3); torch.arange(0, -3, -1); torch.linspace(0, 1, 5); torch.linspace(-10, 10, 21); torch.linspace(0, 1, 100); torch.linspace(0, 5, 6, dtype=torch.int64); torch.linspace(0, 1, 5, dtype=torch.float64); torch.logspace(0, 2, 5); torch.eye(3); torch.eye(2, 3); torch.eye(2, dtype=torch.int64); torch.diag(f1); torch.diag(f2); torch.tril(torch.ones(3, 3)); torch.triu(torch.ones(3, 3), diagonal=1); torch.tril_indices(3, 3); torch.meshgrid(i1, i1, indexing='ij'); torch.cartesian_prod(i1, i1); torch.empty(0).tolist()
torch.cat([f2, f2]); torch.cat((f2, f2), 1); torch.cat([f2, i2]); torch.cat([i2, b2]); torch.cat([f2, d2], dim=-1); torch.concat([f1, f1]); torch.concatenate([f1, f1]); torch.stack([f1, f1]); torch.stack((f1, f1), dim=1); torch.stack([f0, f0]); torch.stack([f1, i1]); torch.hstack([f1, f1]); torch.vstack([f1, f1]); torch.split(f2, 2); torch.chunk(f2, 2); torch.where(b2, f2, 0); torch.where(b2, 1.0, f2); torch.where(b1); torch.where(f2 > 0, f2, i2); torch.where(b2, 1, 0); torch.outer(f1, f1); torch.argmax(f2); torch.unbind(f2); torch.squeeze(f2[None]); torch.sum(f2, dim=1); torch.max(f2, 1); torch.min(f2, f1); torch.allclose(f2, f2); torch.equal(f1, f1); torch.numel(f2); torch.topk(f2, 1); torch.sort(f1); torch.unique(i2); torch.one_hot if False else 1; torch.flip(f2, [0]); torch.roll(f1, 1); torch.histogram(f2, density=True); torch.histogram(f2, bins=5); torch.bincount(i1); torch.isin(i1, i1[:2]); torch.searchsorted(torch.arange(5.0), f1); torch.block_diag(f2, f2) if False else 1
torch.float32; torch.float; torch.double; torch.long; torch.int; torch.bool; torch.uint8; torch.float32.itemsize; torch.float32.is_floating_point; torch.int64.is_floating_point; torch.float == torch.float32; torch.finfo(torch.float32).eps; torch.finfo(torch.float32).max; torch.finfo(torch.float64).tiny; torch.iinfo(torch.int64).max; torch.iinfo(torch.uint8).min; torch.get_default_dtype(); torch.pi; torch.inf; torch.e; torch.device('cpu'); torch.device('cpu').type; str(torch.device('cpu')); torch.device('cpu') == torch.device('cpu'); torch.device('cpu', 0).index; torch.device('nope'); torch.promote_types(torch.int64, torch.float32); torch.result_type(f1, 2.0); torch.result_type(i1, 2.0); torch.can_cast(torch.float32, torch.int64)
""".replace("\n", ";").split(";")


@pytest.mark.parametrize("code", [c.strip() for c in ATTRIBUTES + CREATION if c.strip()])
def test_attributes_and_creation(code: str) -> None:
    agree(code, steps=2 if any(n in code for n in ("histogram", "logspace", "torch.sum")) else 0)


@pytest.mark.parametrize("code", [c.strip() for c in METHODS if c.strip()])
def test_methods(code: str) -> None:
    agree(code, steps=16)


@pytest.mark.parametrize("code", [c.strip() for c in OPERATORS if c.strip()])
def test_operators(code: str) -> None:
    agree(code, steps=8)


@pytest.mark.parametrize("code", [c.strip() for c in INPLACE if c.strip()])
def test_in_place(code: str) -> None:
    target = re.match(r"(\w+)\S* \S+= ", code)
    agree(f"{code}; {target[1]}" if target else code, steps=8)


# --- promotion ---------------------------------------------------------------------------------------------------------------------------

PAIR_OPS = ("add", "sub", "mul", "div", "floor_divide", "remainder", "pow", "maximum", "eq", "lt", "logical_and", "bitwise_and", "where", "cat", "matmul")


@pytest.mark.parametrize("op", PAIR_OPS)
def test_promotion_of_all_pairs(op: str) -> None:
    """Every pair of dtypes, dimensioned with dimensioned and with 0-dim, and Python scalars on either side."""

    def result(lib: Any, a: Any, b: Any) -> Any:
        if op == "where":
            return lib.where(lib.tensor([True, False, True]), a, b)
        if op == "cat":
            return lib.cat([a, b])
        return getattr(lib, op)(a, b)

    def make(lib: Any, dtype: str, zero_dim: bool) -> Any:
        t = lib.tensor([1, 2, 3] if dtype != "bool" else [True, False, True], dtype=getattr(lib, dtype))
        return t[0] if zero_dim else t

    for (da, za), (db, zb) in itertools.product(itertools.product(DTYPES, (False, True)), repeat=2):
        what = f"{op} {da}{'()' if za else ''} {db}{'()' if zb else ''}"
        (want, we), (got, ge) = (outcome(lambda lib=lib: result(lib, make(lib, da, za), make(lib, db, zb))) for lib in (torch, fastnn))
        assert type(we) is type(ge), f"{what}: {we!r} {ge!r}"
        if we is None:
            compare(got, want, 4, what)
    if op in ("cat", "where", "matmul"):
        return
    for dtype, scalar, zero_dim, left in itertools.product(DTYPES, (2, 2.5, True), (False, True), (False, True)):
        what = f"{op} {dtype} {scalar} left={left}"
        pair = lambda lib: (scalar, make(lib, dtype, zero_dim)) if left else (make(lib, dtype, zero_dim), scalar)  # noqa: E731
        (want, we), (got, ge) = (outcome(lambda lib=lib: result(lib, *pair(lib))) for lib in (torch, fastnn))
        assert type(we) is type(ge), f"{what}: {we!r} {ge!r}"
        if we is None:
            compare(got, want, 4, what)


def test_default_dtype_steers_creation() -> None:
    for lib in (torch, fastnn):
        lib.set_default_dtype(lib.float64)
        assert lib.tensor([1.5]).dtype == lib.float64
        assert (lib.arange(3) / 2).dtype == lib.float64
        assert lib.zeros(2).dtype == lib.rand(2).dtype == lib.float64
        with pytest.raises(TypeError):
            lib.set_default_dtype(lib.int64)


# --- views -------------------------------------------------------------------------------------------------------------------------------

VIEWS = ("x.view(12)", "x.t()", "x[1]", "x[:, 1:3]", "x[::2]", "x.unsqueeze(1)", "x.expand(2, 3, 4)", "x.reshape(4, 3)", "x.flatten()", "x.split(2)[1]", "x.chunk(2, 1)[1]", "x.unbind(1)[2]", "x.diagonal()", "x.select(1, 2)", "x.narrow(1, 1, 2)", "x.permute(1, 0)", "x.detach()", "x.data", "x[None]", "x[..., 0]", "x.squeeze()", "x.T", "x.view_as(x)", "x.as_strided((2, 2), (4, 1), 1)", "x.contiguous()", "x[1, 2]", "x.movedim(0, 1)", "x.unflatten(1, (2, 2))", "x.real if False else x[:]", "x.swapaxes(0, 1)", "x.unfold(1, 2, 1)")  # fmt: skip
COPIES = ("x.clone()", "x.t().contiguous()", "x.t().reshape(12)", "x[[0, 1]]", "x[x > -9]", "x.repeat(1, 1)", "x.to(torch.float64)", "x + 0", "x.flip(0)", "x.roll(1, 0)", "torch.cat([x])", "copy.deepcopy(x)", "torch.tensor(x)", "x.t().flatten()")


@pytest.mark.parametrize("code", VIEWS)
def test_views_share_memory(code: str, lib: Any) -> None:
    x = lib.arange(100.0, 112.0).view(3, 4)
    v = eval(code, {"x": x, "torch": lib})
    before = x._version
    if not code.startswith("x.expand"):
        v.fill_(7)
        assert (arr(x) == 7).sum() == v.numel() or "unfold" in code
        assert x._version == before + 1 if code != "x.data" else x._version == before
    x.mul_(-1)
    assert (arr(v) <= 0).all()


@pytest.mark.parametrize("code", COPIES)
def test_copies_do_not(code: str, lib: Any) -> None:
    x = lib.arange(12.0).view(3, 4)
    v = eval(code, {"x": x, "torch": lib, "copy": copy})
    v.fill_(99)
    same(x, np.arange(12, dtype=np.float32).reshape(3, 4))


def test_identity_of_attributes(lib: Any) -> None:
    x = lib.ones(3, requires_grad=True)
    (x * 2).sum().backward()
    assert x.grad is x.grad
    assert x.data is not x
    assert x.data_ptr() == x.detach().data_ptr() == x[:].data_ptr()
    assert x[1:].data_ptr() == x.data_ptr() + 4
    x.tag = "kept"
    assert x.tag == "kept"
    y = x * 2
    y.note = [1]
    node_owner = y.sum()
    del y
    gc.collect()
    assert node_owner.grad_fn is not None
    with pytest.raises(AttributeError):
        _ = x.nothing_of_this_name
    with pytest.raises((AttributeError, RuntimeError, TypeError)):
        x.shape = (1,)


# --- NumPy, buffers, DLPack --------------------------------------------------------------------------------------------------------------

NUMPY = """
f2.numpy(); i2.numpy(); b2.numpy(); s2.numpy().strides; np.asarray(f2); np.array(f2); np.asarray(f2, dtype=np.float64); np.asarray(s3).shape; f0.numpy(); e.numpy(); w2.numpy(); w2.detach().numpy(); np.sum(f2) if False else 1; np.exp(f1.numpy()); np.array([f0, f0]); np.array(f1.tolist()); f2.numpy().dtype; np.float32(2) * f1; np.float64(2) * f1; f1 * np.float32(2); f1 + np.arange(4); np.asarray(f1)[i1.numpy()]; np.concatenate([f1, f1]); np.mean(np.asarray(f2)); np.array(i0); np.zeros(4)[i1]; np.arange(9)[i0]; np.sqrt(np.asarray(f1.abs())); f1.numpy()[::-1].copy()
np.stack([f1, f1]); np.allclose(f1, f1); np.array_equal(f2, f2.numpy()); f1 == np.float32(1); i1 + np.int64(1); f1 ** np.float32(2); np.int64(3) + i1; torch.from_numpy(np.zeros(3)) + f1[:3]; torch.tensor(np.arange(6).reshape(2, 3).T).contiguous(); torch.tensor(np.array(3)); torch.from_numpy(np.array(3.0)); torch.from_numpy(np.zeros((0, 3))); torch.from_numpy(np.arange(6.0).reshape(2, 3).T); memoryview(f1).shape if False else 1; f2.numpy(force=True); w2.numpy(force=True); f2.__array__(); f2.__array__(np.float64).dtype; np.asarray(f2.t()).flags['C_CONTIGUOUS']
""".replace("\n", ";").split(";")


@pytest.mark.parametrize("code", [c.strip() for c in NUMPY if c.strip()])
def test_numpy_expressions(code: str) -> None:
    agree(code, steps=2)


def test_numpy_memory_is_shared_and_kept_alive(lib: Any) -> None:
    a = np.arange(6.0).reshape(2, 3)
    t = lib.from_numpy(a)
    t[0, 0] = 5
    assert a[0, 0] == 5
    a[1] = -1
    assert t[1].tolist() == [-1, -1, -1]
    view = t[1].numpy()
    del t, a
    gc.collect()
    assert view.tolist() == [-1, -1, -1]
    x = lib.ones(4)
    n = x.numpy()
    del x
    gc.collect()
    assert n.tolist() == [1, 1, 1, 1]
    counted = np.zeros(8)
    before = sys.getrefcount(counted)
    u = lib.from_numpy(counted)
    assert sys.getrefcount(counted) > before
    del u
    assert sys.getrefcount(counted) == before


def test_negative_strides_are_refused(lib: Any) -> None:
    with pytest.raises(ValueError, match="negative"):
        lib.from_numpy(np.arange(5)[::-1])


def test_big_endian_and_foreign_dtypes_are_refused() -> None:
    for a in (np.zeros(3, ">f4"), np.zeros(3, "U2"), np.zeros(3, object)):
        errors = [outcome(lambda lib=lib, a=a: lib.from_numpy(a))[1] for lib in (torch, fastnn)]
        assert errors[0] is not None
        assert type(errors[1]) is type(errors[0])


def test_dlpack_both_ways() -> None:
    for make in (lambda lib: lib.arange(12.0).view(3, 4), lambda lib: lib.arange(12).view(3, 4).t(), lambda lib: lib.arange(10, dtype=lib.int32)[2:8:2], lambda lib: lib.zeros(0, 3, dtype=lib.float64)):
        t, f = make(torch), make(fastnn)
        there, back = torch.from_dlpack(f), fastnn.from_dlpack(t)
        same(there, t)
        same(back, t)
        assert tuple(back.stride()) == tuple(t.stride()) or back.numel() == 0
        same(np.from_dlpack(f), t)
        if t.numel():
            f.fill_(3)
            assert (arr(there) == 3).all()
            t.fill_(4)
            assert (arr(back) == 4).all()
    assert fastnn.ones(2).__dlpack_device__()[0] == 1
    with pytest.raises((RuntimeError, BufferError)):
        torch.from_dlpack(fastnn.ones(2, requires_grad=True))
    same(fastnn.from_dlpack(np.arange(5.0)), np.arange(5.0))


# --- copies, pickles, subclasses, references ---------------------------------------------------------------------------------------------


def test_copy_and_deepcopy(lib: Any) -> None:
    x = lib.arange(6.0).view(2, 3)
    shallow = copy.copy(x)
    shallow[0, 0] = 9
    assert x[0, 0] == 9
    pair = copy.deepcopy([x, x[0], x.t()])
    pair[0][0, 0] = -1
    assert pair[1][0] == -1
    assert pair[2][0, 0] == -1
    assert x[0, 0] == 9
    for p in (lib.ones(2, requires_grad=True), lib.nn.Parameter(lib.ones(2))):
        p.grad = lib.ones(2) * 3
        q = copy.deepcopy(p)
        assert type(q) is type(p)
        assert q.requires_grad
        assert q.grad is not p.grad
        assert (q.grad is None) == isinstance(p, lib.nn.Parameter)
    with pytest.raises(RuntimeError):
        copy.deepcopy(p * 2)


def test_pickle(lib: Any) -> None:
    for x in (lib.arange(6).view(2, 3).t(), lib.tensor(2.5), lib.zeros(0, 3), lib.tensor([True, False]), lib.ones(2, requires_grad=True), lib.nn.Parameter(lib.ones(2))):
        for protocol in (2, pickle.HIGHEST_PROTOCOL):
            y = pickle.loads(pickle.dumps(x, protocol))
            assert type(y) is type(x)
            assert y.requires_grad == x.requires_grad
            same(y, x)
            assert tuple(y.stride()) == tuple(x.stride())
    assert pickle.loads(pickle.dumps(lib.float32)) is lib.float32
    assert pickle.loads(pickle.dumps(lib.Size([2, 3]))) == lib.Size([2, 3])
    assert b"torch" not in pickle.dumps(fastnn.ones(2))


def test_subclasses(lib: Any) -> None:
    class T(lib.Tensor):
        def twice(self) -> Any:
            return self * 2

    x = lib.ones(3).as_subclass(T)
    assert type(x) is T
    assert type(x + 1) is T
    assert type(x.twice()) is T
    assert type(x[0]) is T
    assert type(lib.exp(x)) is T
    assert type(lib.nn.Parameter(lib.ones(2)) + 1) is lib.Tensor
    assert type(lib.nn.Parameter(lib.ones(2)).detach()) is lib.Tensor
    assert isinstance(x, lib.Tensor)
    p = lib.nn.Parameter(lib.ones(2))
    assert p.requires_grad
    assert p.is_leaf
    assert isinstance(p, lib.Tensor)
    assert not lib.nn.Parameter(lib.ones(2), requires_grad=False).requires_grad


def test_weak_references_and_cycles(lib: Any) -> None:
    x = lib.ones(3)
    r = weakref.ref(x)
    del x
    assert r() is None
    y = lib.ones(3)
    y.me = y
    r = weakref.ref(y)
    del y
    gc.collect()
    assert r() is None


def test_hash_and_membership(lib: Any) -> None:
    x, y = lib.ones(2), lib.ones(2)
    assert len({x, y, x}) == 2
    assert {x: 1}[x] == 1
    assert any(t is y for t in [x, y])


def test_methods_have_torchs_names() -> None:
    """Every name of the surveyed surface is there."""
    wanted = "T abs add add_ all allclose amax amin any argmax argmin argsort backward bernoulli_ bool chunk clamp clamp_ clone contiguous copy_ cos cpu cuda cumsum data data_ptr detach detach_ device diag diagonal dim div div_ dot double dtype element_size eq equal exp expand expand_as exponential_ fill_ flatten flip float floor gather ge grad grad_fn gt half index_add_ index_select int is_contiguous is_cuda is_floating_point is_leaf isfinite isinf isnan item le lerp_ log log10 log_softmax logsumexp long lt mT masked_fill masked_fill_ masked_select matmul max mean min mm mul mul_ narrow ndim ndimension ne neg nelement new_full new_ones new_zeros nonzero norm normal_ numel numpy permute pin_memory pow prod random_ register_hook relu repeat repeat_interleave requires_grad requires_grad_ reshape retain_grad roll round rsqrt scatter scatter_ scatter_add scatter_add_ select shape sigmoid sign sin size softmax sort split sqrt square squeeze std stride sub sub_ sum t tanh to tolist topk transpose tril triu type type_as unbind unflatten uniform_ unique unsqueeze var view view_as where zero_".split()
    assert [n for n in wanted if not hasattr(torch.Tensor, n)] == []
    assert [n for n in wanted if not hasattr(fastnn.Tensor, n)] == []


def test_probes_of_scripts(lib: Any) -> None:
    assert lib.cuda.is_available() is False
    assert lib.cuda.device_count() == 0
    assert lib.backends.mps.is_available() is False
    assert lib.__version__.startswith("2.13.0")
    assert lib.get_num_threads() >= 1
    lib.cuda.manual_seed(1)
    lib.cuda.manual_seed_all(1)
    lib.set_float32_matmul_precision("high")
    assert not hasattr(lib, "no_such_function")
    with pytest.raises((AssertionError, RuntimeError)):
        lib.zeros(2, device="cuda")
    with pytest.raises((AssertionError, RuntimeError)):
        lib.zeros(2).cuda()
    assert names(lib)["f2"].shape == (3, 4)
