"""Data in and out of tensors, creation functions, dtypes and sizes: each line under both libraries.

Invariant: a line gives the same text (values, dtype, shape, strides) in both, or raises the same class of exception. What fastnn takes and
PyTorch does not (arrays with negative strides, tensors inside lists) is tested at the end.
Does not: random numbers (test_random.py), printing as such (test_printing.py), lifetimes (test_shared_memory.py).
Read next: csrc/python/convert.c.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from support import outcome

import fastnn

pytestmark = pytest.mark.filterwarnings("ignore")  # both warn about copies, PyTorch also about read-only arrays

FROM_DATA = r"""
torch.tensor([1.7],dtype=torch.long)
torch.tensor(1.7,dtype=torch.int32)
torch.tensor([300],dtype=torch.uint8)
torch.tensor([-1],dtype=torch.uint8)
torch.tensor([2**40],dtype=torch.int32)
torch.tensor([2**70])
torch.tensor([2**63])
torch.tensor(float('nan'),dtype=torch.long)
torch.tensor(1e30,dtype=torch.long)
torch.tensor([[1],2])
torch.tensor([[1,2],[3]])
torch.tensor([1,'a'])
torch.tensor('a')
torch.tensor(['a'],dtype=torch.long)
torch.tensor(None)
torch.tensor([None])
torch.tensor({})
torch.tensor([])
torch.tensor([[],[]])
torch.tensor(range(4))
torch.tensor([np.float32(1)])
torch.tensor(np.float64(1))
torch.tensor([torch.tensor(1.,requires_grad=True)])
torch.tensor(torch.ones(2))
torch.tensor([True,2])
torch.tensor([1,2.5,True])
torch.tensor([1],requires_grad=True)
torch.tensor(np.array(['a']))
torch.tensor(b'ab')
torch.tensor([1.0],dtype=torch.bool)
torch.tensor(memoryview(b'abc'))
torch.tensor([[1,2],(3,4)])
torch.tensor([1],dtype='float32')
torch.tensor([1],dtype=np.float32)
torch.tensor()
torch.tensor([1],2)
torch.tensor([1],foo=1)
torch.tensor([1],device='cuda')
torch.tensor([1],device='foo')
torch.tensor([1],device=0)
torch.Tensor(2,3).shape
torch.Tensor([1,2])
torch.Tensor(2.5)
torch.Tensor((2,3))
torch.Tensor(torch.ones(2,dtype=torch.long))
torch.Tensor(torch.ones(2))
torch.Tensor()
torch.LongTensor([1,2.5])
torch.LongTensor(2).shape
torch.Tensor(np.ones(2))
torch.Tensor(np.ones(2,dtype=np.float32))
torch.Tensor(5).shape
torch.BoolTensor([1,0])
torch.Tensor([1],device='cpu')
torch.Tensor([1],dtype=torch.long)
torch.FloatTensor([1])
torch.LongTensor(np.array([1]))
torch.LongTensor(torch.tensor([1.]))
torch.Tensor(None)
torch.Tensor(True)
torch.Tensor('a')
torch.from_numpy([1])
torch.from_numpy(np.array(['a']))
torch.from_numpy(np.arange(3)[::-1])
torch.from_numpy(np.arange(3).astype('>i8'))
torch.from_numpy(np.zeros(3,dtype=[('a','f4'),('b','i1')])['a'])
torch.from_numpy(np.frombuffer(b'abcd',dtype=np.uint8))
torch.frombuffer(bytearray(b'abcdefgh'),dtype=torch.int32)
torch.frombuffer(b'abcd',dtype=torch.uint8)
torch.frombuffer(bytearray(b'abcde'),dtype=torch.int32)
torch.frombuffer(bytearray(b''),dtype=torch.uint8)
torch.frombuffer(bytearray(b'abcd'),dtype=torch.uint8,offset=9)
torch.frombuffer(bytearray(b'abcd'),dtype=torch.uint8,count=9)
torch.frombuffer([1],dtype=torch.uint8)
torch.as_tensor([1,2])
torch.asarray([1.,2])
torch.asarray(np.ones(2))
torch.as_tensor(np.float32(2))
torch.from_numpy(np.float32(2))
torch.asarray(torch.ones(2),copy=True)
torch.asarray([1],copy=False)
torch.asarray([1,2],dtype=torch.float32,requires_grad=True)
torch.asarray(np.ones(2,dtype=np.float32)).dtype
torch.as_tensor(np.arange(3),dtype=torch.float32)
torch.as_tensor(torch.ones(2),dtype=torch.long)
torch.frombuffer(np.arange(4),dtype=torch.int64)
torch.Tensor([[1,2],[3,4]])
torch.Tensor([]).shape
torch.FloatTensor(2,3).shape
torch.LongTensor([[1,2]])
torch.ByteTensor([1,255])
torch.IntTensor([1]).dtype
torch.DoubleTensor([1]).dtype
torch.Tensor([True,False])
torch.LongTensor()
torch.Tensor(range(3))
torch.Tensor(3,[1])
torch.Tensor([1],[2])
torch.Tensor(-1)
""".strip().splitlines()

CONVERSIONS = r"""
torch.LongTensor
isinstance(torch.tensor([1]),torch.LongTensor)
torch.LongTensor.dtype
torch.LongTensor.__name__
np.sin(torch.ones(2))
np.array(torch.ones(2,requires_grad=True))
torch.ones(2,requires_grad=True).numpy()
torch.ones(2,requires_grad=True).numpy(force=True)
torch.ones(2).__array__(np.float64)
np.asarray(torch.ones(2),dtype=np.int32)
torch.ones(2).item()
torch.ones(2).__float__()
float(torch.ones(2))
int(torch.tensor(2.7))
torch.ones(2).__dlpack_device__()[0]==1
torch.ones(2,requires_grad=True).__dlpack__()
torch.ones(2)*np.ones(2)
np.add(torch.ones(2),1)>1
np.greater(torch.ones(2),0)
torch.ones(2).__array_priority__
np.float32(2)*torch.ones(2)
np.float64(2)*torch.ones(2)
torch.tensor(3).__index__()
[1,2,3][torch.tensor(1)]
torch.tensor(1.5).__index__()
torch.ones(2).__complex__()
complex(torch.tensor(1.5))
torch.tensor([[1.,2],[3,4]]).tolist()
torch.tensor(3).tolist()
torch.tensor([[1,2],[3,4]]).t().tolist()
torch.tensor(True).item()
torch.tensor(3,dtype=torch.uint8).item()
torch.ones(2,3).numpy().shape
torch.ones(2,3).t().numpy().strides
np.asarray(torch.ones(2,3)[:,1]).tolist()
np.array([torch.tensor(1.),torch.tensor(2.)])
np.array(torch.ones(2,dtype=torch.bool)).dtype
np.stack([torch.ones(2),torch.ones(2)])
np.exp(torch.zeros(2))
np.from_dlpack(torch.arange(3))
torch.from_dlpack(np.arange(3))
torch.from_dlpack(torch.arange(3))
np.from_dlpack(torch.ones(2,3).t()).strides
torch.arange(3).__dlpack__(max_version=(1,0)) is None
copy.deepcopy(torch.ones(2,requires_grad=True))
copy.deepcopy(torch.ones(2,requires_grad=True)*2)
pickle.loads(pickle.dumps(torch.arange(6).view(2,3).t())).stride()
pickle.loads(pickle.dumps(torch.ones(2,requires_grad=True)))
copy.deepcopy(torch.float32)
copy.copy(torch.ones(2))
torch.is_tensor(torch.ones(1))
torch.is_tensor(1)
isinstance(torch.ones(1),torch.FloatTensor)
""".strip().splitlines()

CREATION = r"""
torch.zeros(2,dtype=float).dtype
torch.zeros(2,dtype=int).dtype
torch.zeros(2,3)
torch.zeros((2,3),dtype=torch.long)
torch.zeros([2])
torch.zeros(())
torch.zeros(2.5)
torch.zeros('a')
torch.zeros(-1)
torch.zeros(2,-1)
torch.zeros()
torch.zeros(2,dtype=torch.int32,requires_grad=True)
torch.ones(3,dtype=torch.bool)
torch.ones(2,requires_grad=True)
torch.full((2,),3)
torch.full((2,),3.)
torch.full((2,),True)
torch.full((2,2),float('-inf'))
torch.full((2,),300,dtype=torch.uint8)
torch.full((2,),1.7,dtype=torch.long)
torch.full(2,1)
torch.full((2,),'a')
torch.full((2,),torch.tensor(3.))
torch.arange(5)
torch.arange(5.)
torch.arange(1,5)
torch.arange(1,2,.25)
torch.arange(5,1,-2)
torch.arange(0)
torch.arange(5,1)
torch.arange(1,5,0)
torch.arange(0,1,.1).tolist()
torch.arange(0,10,.1).tolist()
torch.arange(-3,7.3,.37).tolist()
torch.arange(0,100,.1).tolist()
torch.arange(0,100,.1,dtype=torch.float64).tolist()
torch.arange(5,dtype=torch.float32)
torch.arange(5,dtype=torch.uint8)
torch.arange(0,5.5,dtype=torch.int64)
torch.arange(0,5.5,dtype=torch.int32)
torch.arange(0.5,5,dtype=torch.int64)
torch.arange(True)
torch.arange(torch.tensor(4))
torch.arange(end=4)
torch.arange(start=1,end=4)
torch.arange(1,end=4)
torch.arange(4,dtype=torch.bool)
torch.arange('a')
torch.arange()
torch.arange(float('inf'))
torch.arange(2**33,2**33+3)
torch.arange(-2**31,-2**31+3,dtype=torch.int32)
torch.arange(1e-3,1,1e-3).tolist()
torch.arange(3,4,1/3.).tolist()
torch.linspace(0,1,5)
torch.linspace(-10,10,1000).tolist()
torch.linspace(-3,1,7).tolist()
torch.linspace(0,1,1)
torch.linspace(0,1,0)
torch.linspace(3,-2.1,101,dtype=torch.float64).tolist()
torch.linspace(0,10,7,dtype=torch.int64)
torch.linspace(0,10,4,dtype=torch.int32)
torch.linspace(-5,10,20,dtype=torch.int64)
torch.linspace(0.1,0.77,333).tolist()
torch.linspace(0,1,-1)
torch.linspace(0,1)
torch.linspace(0,1,steps=2)
torch.logspace(0,4,5,base=2.)
torch.linspace(-3,0,1000).tolist()
torch.linspace(1e-8,1e8,37).tolist()
torch.eye(3)
torch.eye(2,3)
torch.eye(3,dtype=torch.long)
torch.eye(-1)
torch.eye(0)
torch.zeros_like(torch.ones(2,3).t()).stride()
torch.zeros_like(torch.ones(2,3,4).permute(2,0,1)[:,:1]).stride()
torch.empty_like(torch.ones(4,5,6)[::2,1:3].transpose(0,2)).stride()
torch.empty_like(torch.ones(3,1).expand(3,4)).stride()
torch.empty_like(torch.ones(1,3).expand(4,3)).stride()
torch.ones_like(torch.zeros(2,dtype=torch.long))
torch.ones_like(torch.zeros(2),dtype=torch.bool)
torch.full_like(torch.zeros(2),2)
torch.zeros_like(5)
torch.zeros_like(torch.ones(2,3).t(),memory_format=torch.contiguous_format).stride()
torch.empty_strided((2,3),(1,2)).stride()
torch.empty_strided((2,3),(1,))
torch.ones(2).new_zeros(2,3)
torch.ones(2,dtype=torch.long).new_full((2,),3)
torch.ones(2,dtype=torch.long).new_full((2,),3.5)
torch.ones(2).new_tensor([1,2])
torch.ones(2,dtype=torch.long).new_ones((2,))
torch.ones(2,dtype=torch.float64).new_empty(2).dtype
torch.ones(2).new_zeros((2,),dtype=torch.long)
torch.scalar_tensor(3)
torch.zeros(2,out=torch.ones(2))
torch.zeros(2,device='cuda')
torch.zeros(2,foo=1)
torch.zeros(2,layout=torch.strided)
torch.zeros(2,pin_memory=False)
torch.zeros(2,2**62)
torch.zeros(2**62,2**62)
""".strip().splitlines()

TYPES = r"""
torch.Size([1,2])+(3,)
(3,)+torch.Size([1])
torch.Size([1])*2
torch.Size([1,2])[1:]
torch.Size([1,'a'])
torch.Size([1.0])
torch.Size(3)
torch.Size([2,3]).numel()
torch.Size([2])+[3]
torch.Size((torch.tensor(2),))
2*torch.Size([1])
torch.Size([])+(1,)
()+torch.Size([1])
torch.Size([1])+torch.Size([2])
torch.Size([])
torch.Size([2])==(2,)
hash(torch.Size([2]))==hash((2,))
torch.Size([3,4])[0]
torch.Size([1])+('a',)
torch.Tensor(torch.Size([2,2])).shape
torch.Generator().device
torch.Generator().manual_seed(1.5)
torch.Generator().manual_seed(2**64)
torch.manual_seed(-2**63-1)
torch.manual_seed(2**64)
torch.Generator().set_state(torch.zeros(3))
torch.Generator().set_state(torch.zeros(3,dtype=torch.uint8))
torch.Generator().get_state().shape
torch.float32.to_real()
torch.float32.__reduce__()
torch.dtype()
torch.float32.itemsize
torch.iinfo(torch.uint8)
torch.finfo(torch.float32)
torch.finfo()
torch.iinfo(torch.float32)
torch.finfo(torch.float64).tiny
torch.iinfo(torch.int64).max
torch.finfo(torch.float32).resolution
torch.finfo(torch.float32).smallest_normal
torch.finfo(torch.long)
pickle.loads(pickle.dumps(torch.Size([1,2])))
copy.copy(torch.Size([2]))
""".strip().splitlines()


def text_of(lib: Any, line: str) -> str:
    """The value as text, or the class of the exception."""
    names = {"torch": lib, "np": np, "copy": copy, "pickle": pickle}
    value, error = outcome(lambda: eval(line, names))
    return repr(value) if error is None else f"raises {type(error).__name__}"


@pytest.mark.parametrize("line", FROM_DATA + CONVERSIONS + CREATION + TYPES)
def test_as_torch(line: str) -> None:
    assert text_of(fastnn, line) == text_of(torch, line)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
def test_ranges_over_many_values(dtype: str) -> None:
    rng = np.random.default_rng(7)
    for _ in range(200):
        start, step, n = (
            float(rng.uniform(-10, 10)),
            float(rng.choice([0.1, 1 / 3, 0.01, 2.5])),
            int(rng.integers(1, 300)),
        )
        end = start + step * (n - 0.5)
        if dtype.startswith("int"):
            start, step, end = int(start), int(step) + 1, int(end) + 1
        for call in ("arange(start, max(start, end), step, dtype=dt)", "linspace(start, end, n, dtype=dt)"):
            got, want = (
                eval(
                    f"lib.{call}",
                    {"lib": lib, "start": start, "end": end, "step": step, "n": n, "dt": getattr(lib, dtype)},
                )
                for lib in (fastnn, torch)
            )
            assert np.array_equal(got.numpy(), want.numpy()), (call, start, end, step, n)


def test_extensions_of_tensor() -> None:
    assert fastnn.tensor(np.arange(4)[::-1]).tolist() == [3, 2, 1, 0]
    assert fastnn.tensor([fastnn.tensor([1, 2]), fastnn.tensor([3.0, 4.0])]).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert fastnn.tensor([np.arange(2), np.arange(2)]).tolist() == [[0, 1], [0, 1]]
    assert fastnn.tensor(np.arange(3, dtype=np.int16), dtype=fastnn.int64).tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["float16", "bfloat16", "int8", "int16", "complex64"])
def test_dtypes_without_tensors_name_themselves(name: str) -> None:
    dtype = getattr(fastnn, name)
    assert repr(dtype) == f"torch.{name}" and pickle.loads(pickle.dumps(dtype)) is dtype
    with pytest.raises(NotImplementedError, match=name):
        fastnn.zeros(2, dtype=dtype)
