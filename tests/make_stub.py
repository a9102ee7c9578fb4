"""Writes python/fastnn/_C.pyi from the built module: `python tests/make_stub.py`. To be run after a signature was added.

Ops tell their signature lines (csrc/python/signatures.def) in __doc__, other functions in __text_signature__; what has neither
stands in PLAIN below. Invariant: every public name of _C and of Tensor comes out, in alphabetical order. Does not: check types
against behaviour (tests/test_structure.py checks that names agree). Read next: csrc/python/signature.h.
"""

from __future__ import annotations

import inspect
import keyword
import re
import types
from pathlib import Path

import fastnn

C = fastnn._C
TARGET = Path(__file__).resolve().parents[1] / "python" / "fastnn" / "_C.pyi"

HEAD = '''"""Types of fastnn._C, written by tests/make_stub.py from the module itself.

`fastnn.float` and the like are dtypes, so Python's own types go by the names below.
"""

import builtins
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, overload

import numpy as np

_int = builtins.int
_float = builtins.float
_bool = builtins.bool
_complex = builtins.complex
_type = builtins.type
_ints = builtins.int | Sequence[builtins.int]
_Number = builtins.int | builtins.float | builtins.bool | np.generic
_Array = np.ndarray[Any, Any]
_Operand = Tensor | _Number
_dtype = dtype
_Dtype = dtype | _type
_Key = Any  # numbers, slices, None, ..., tensors, arrays, lists, and tuples of them
'''

# Signature lines: word -> type.
WORDS = {"Tensor": "Tensor", "Tensors": "Sequence[Tensor]", "Operand": "_Operand", "int": "_int", "float": "_float", "bool": "_bool", "dtype": "_Dtype", "Generator": "Generator", "ints": "_ints", "tuple": "_ints", "format": "Any"}

# Parameters of the functions that are no ops, by name.
PARAMETERS = {
    "dtype": "_Dtype | None", "layout": "Any", "device": "Any", "requires_grad": "_bool", "pin_memory": "_bool", "memory_format": "Any", "out": "Tensor | None",
    "generator": "Generator | None", "input": "Tensor", "ndarray": "_Array", "size": "_ints", "stride": "_ints", "seed": "_int", "n": "_int", "m": "_int | None", "steps": "_int",
    "low": "_int", "high": "_int | None", "num_samples": "_int", "replacement": "_bool", "copy": "_bool | None", "force": "_bool", "tensor": "Tensor", "new_state": "Tensor",
    "fill_value": "_Number", "start": "_Number", "end": "_Number | None", "step": "_Number", "base": "_float", "count": "_int", "offset": "_int", "lambd": "_float", "median": "_float", "sigma": "_float",
}  # fmt: skip

# Results other than a Tensor, of functions and methods alike.
RESULTS = {
    **dict.fromkeys(["chunk", "split", "unbind", "tensor_split", "hsplit", "vsplit", "dsplit"], "tuple[Tensor, ...]"),
    **dict.fromkeys(["seed", "initial_seed", "data_ptr", "element_size"], "_int"),
    **dict.fromkeys(["is_tensor", "allclose", "equal", "can_cast", "is_same_size"], "_bool"),
    **dict.fromkeys(["set_rng_state"], "None"),
    "manual_seed": "Generator", "item": "Any", "tolist": "Any", "numpy": "_Array", "to_dlpack": "Any",
}  # fmt: skip

# What has no signature of its own: functions of the module ...
PLAIN = {
    "_adam_groups": "(groups: Sequence[dict[str, Any]], state: dict[Any, Any], fresh: Callable[[Any], Any], fresh_amsgrad: Callable[[Any], Any], /) -> None",
    "_drop_grads": "(tensors: Sequence[Tensor], /) -> None",
    "_clones": "(tensors: list[Any], /) -> list[Any]",
    "_restore": "(tensors: list[Any], values: list[Any], /) -> None",
    "_isa": "(*args: Any) -> Any",
    "_module_tensors": "(module: Any, table: str, /) -> list[Any] | None",
    "_module_slots": "(cls: _type, /) -> None",
    "_peak_copy": "(bytes: _int, rounds: _int, /) -> _int",
    "_peak_fma": "(rounds: _int, /) -> _int",
    "_sgd_groups": "(groups: Sequence[dict[str, Any]], state: dict[Any, Any], fresh: Callable[[Any], Any], fresh_amsgrad: Callable[[Any], Any], /) -> None",
    "_apply_function": "(*args: Any) -> Any",
    "_build_info": "() -> dict[str, Any]",
    "_kernel_adam": "(op: str, params: Any, grads: Any, exp_avgs: Any, exp_avg_sqs: Any, step: _float, lr: _float, beta1: _float, beta2: _float, eps: _float, weight_decay: _float, decoupled: _bool, maximize: _bool, /) -> None",
    "_kernel_check": "(op: str, name: str, arrays: Any, /) -> None",
    "_kernel_sgd": "(op: str, params: Any, grads: Any, buffers: Any, lr: _float, momentum: _float, weight_decay: _float, nesterov: _bool, maximize: _bool, /) -> None",
    "_kernel_pair": "(op: str, names: tuple[str, str], inputs: tuple[str, ...], accepts: tuple[_int, ...], values: tuple[str, ...], kinds: str, fields: tuple[str, ...], saved: _type, wanted: _int, n_given: _int, /) -> Any",
    "_kernel_record": "(op: str, data: bytes, /) -> Any",
    "_op_names": "() -> list[str]",
    "_pool_fail_after": "(n: _int, /) -> _int",
    "_pool_stats": "() -> dict[str, _int]",
    "_pool_trim": "() -> _int",
    "_generator_swap": "(*args: Any) -> Any",
    "_total_norm": "(tensors: Sequence[Tensor], /) -> Tensor",
    "_storage_key": "(*args: Any) -> Any",
    "_storage_numpy": "(*args: Any) -> Any",
    "_run_backward": "(*args: Any) -> Any",
    "_select_isa": "(name: str, /) -> None",
    "_set_blas_path": "(path: str | None, /) -> None",
    "_set_device": "(device: Any, /) -> None",
    "_set_modes": "(*args: Any) -> Any",
    "_set_parallel_threshold": "(awake: _float, asleep: _float, /) -> None",
    "_set_parameter_type": "(cls: _type, /) -> None",
    "get_default_dtype": "() -> dtype",
    "get_num_threads": "() -> _int",
    "is_grad_enabled": "() -> _bool",
    "is_inference_mode_enabled": "() -> _bool",
    "set_default_dtype": "(d: _Dtype, /) -> None",
    "set_flush_denormal": "(mode: _bool, /) -> _bool",
    "set_num_threads": "(n: _int, /) -> None",
    "split": "(tensor: Tensor, split_size_or_sections: _ints, dim: _int = 0) -> tuple[Tensor, ...]",
}

# ... and methods and attributes of Tensor.
METHODS = {
    **dict.fromkeys(["bool", "byte", "double", "float", "half", "int", "long", "short", "detach", "detach_", "t", "pin_memory", "share_memory_"], "(self) -> Tensor"),
    **dict.fromkeys(["dim", "ndimension", "numel", "nelement", "storage_offset"], "(self) -> _int"),
    **dict.fromkeys(["is_complex", "is_floating_point", "is_inference"], "(self) -> _bool"),
    **dict.fromkeys(["cpu", "cuda"], "(self, *args: Any, **kwargs: Any) -> Tensor"),
    "is_contiguous": "(self, memory_format: Any = None) -> _bool",
    **dict.fromkeys(["uniform_", "random_"], "(self, *args: _Number, generator: Generator | None = None, **ends: _Number) -> Tensor"),
    "_make_subclass": "(cls: _type, data: Tensor, require_grad: _bool = False) -> Any",
    "backward": "(self, gradient: Tensor | None = None, retain_graph: _bool | None = None, create_graph: _bool = False, inputs: Sequence[Tensor] | None = None) -> None",
    "register_hook": "(self, hook: Callable[[Tensor], Any]) -> Any",
    "register_post_accumulate_grad_hook": "(self, hook: Callable[[Tensor], None]) -> Any",
    "requires_grad_": "(self, requires_grad: _bool = True) -> Tensor",
    "retain_grad": "(self) -> None",
    "size": "(self, dim: _int | None = None) -> Any",
    "split": "(self, split_size: _ints, dim: _int = 0) -> tuple[Tensor, ...]",
    "stride": "(self, dim: _int | None = None) -> Any",
    "to": "(self, *args: Any, **kwargs: Any) -> Tensor",
    "type": "(self, dtype: Any = None, non_blocking: _bool = False) -> Any",
    "type_as": "(self, other: Tensor) -> Tensor",
    "__format__": "(self, format_spec: str) -> str",
    "__reduce_ex__": "(self, protocol: Any) -> Any",
}
ATTRIBUTES = {
    **dict.fromkeys(["itemsize", "nbytes", "ndim", "_version", "output_nr"], "_int"),
    **dict.fromkeys(["is_cuda", "is_leaf", "is_meta", "is_mkldnn", "is_mps", "is_nested", "is_quantized", "is_sparse", "retains_grad"], "_bool"),
    **dict.fromkeys(["H", "T", "mH", "mT", "real"], "Tensor"),
    "_base": "Tensor | None", "device": "Any", "dtype": "_dtype", "grad_fn": "Any", "layout": "Any", "shape": "Size",
}  # fmt: skip
SETTABLE = {"data": "Tensor", "grad": "Tensor | None", "requires_grad": "_bool"}

CLASSES = '''
class dtype:
    is_complex: _bool
    is_floating_point: _bool
    is_signed: _bool
    itemsize: _int
    def to_real(self) -> dtype: ...

class Size(tuple[_int, ...]):
    def numel(self) -> _int: ...

class Generator:
    device: Any
    def __init__(self, device: Any = "cpu") -> None: ...
    def clone_state(self) -> Generator: ...
    def get_state(self) -> Tensor: ...
    def initial_seed(self) -> _int: ...
    def manual_seed(self, seed: _int) -> Generator: ...
    def seed(self) -> _int: ...
    def set_state(self, new_state: Tensor) -> Generator: ...

class Node:
    metadata: dict[Any, Any]
    next_functions: tuple[tuple[Node | None, _int], ...]
    def name(self) -> str: ...
    def register_hook(self, hook: Callable[..., Any]) -> Any: ...
    def register_prehook(self, hook: Callable[..., Any]) -> Any: ...
'''

OPERATORS = """
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __getitem__(self, key: _Key) -> Tensor: ...
    def __setitem__(self, key: _Key, value: _Operand | Sequence[Any]) -> None: ...
    def __iter__(self) -> Iterator[Tensor]: ...
    def __len__(self) -> _int: ...
    def __contains__(self, value: Any) -> _bool: ...
    def __hash__(self) -> _int: ...
    def __bool__(self) -> _bool: ...
    def __int__(self) -> _int: ...
    def __index__(self) -> _int: ...
    def __float__(self) -> _float: ...
    def __complex__(self) -> _complex: ...
"""
UNARY = ["__abs__", "__invert__", "__neg__", "__pos__"]
BINARY = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split()
NOT_IN_PLACE = {"matmul"}
NO_REFLECTION = {"matmul"}


def line_to_signature(line: str, method: bool) -> str:
    """ "add(Operand input, *, float alpha=1)" -> "(input: _Operand, *, alpha: _float = ...) -> Tensor"; for methods self comes first."""
    name, body, result = re.fullmatch(r"(\w+)\((.*)\)(?: -> (.*))?", line).groups()  # type: ignore[union-attr]
    out = []
    for part in filter(None, body.split(", ")):
        if part == "*":
            out.append("*")
            continue
        word, rest = part.split(" ", 1)
        parameter, has_default, _ = rest.partition("=")
        kind, varargs = word.rstrip("?").removesuffix("..."), word.endswith("...")
        hint = "str | None" if kind.startswith("enum:") else WORDS[kind]
        if word.endswith("?") or rest.endswith("=None"):
            hint = f"{hint.removesuffix(' | None')} | None" if hint != "Any" else hint
        if method and not out:
            out.append("self")
        else:
            out.append(f"*{parameter}: {hint}" if varargs else f"{parameter}: {hint}{' = ...' if has_default else ''}")
    returns = RESULTS.get(name) or (f"_{'_'.join(result.split())}" if result else "Tensor")
    if not method and "*" not in out and not any(p.startswith("*") for p in out):
        out.append("*")
    if not method:
        out.append("out: Any = ...")
    return f"({', '.join(out)}) -> {returns}"


def text_to_signature(name: str, text: str) -> str:
    """A function's __text_signature__ with types by parameter name."""
    out = []
    for part in text.strip("()").split(", "):
        parameter, equals, _ = part.partition("=")
        if parameter == "$module":
            continue
        if parameter in ("$self", "cls"):  # as in as_subclass(cls)
            out.append("self" if parameter == "$self" else "cls: _type")
        elif parameter in ("/", "*"):
            out.append(parameter)
        else:
            out.append(f"{parameter}: {PARAMETERS.get(parameter.lstrip('*'), 'Any')}{' = ...' if equals else ''}")
    if out[:1] == ["/"] or out[:2] == ["self", "/"]:
        out.remove("/")
    return f"({', '.join(out)}) -> {RESULTS.get(name, 'Any' if name.startswith('_') else 'Tensor')}"


def python_to_signature(name: str, function: types.FunctionType) -> str:
    """A method written in Python: its parameters, untyped, and its result."""
    out, starred = [], False
    for i, p in enumerate(inspect.signature(function).parameters.values()):
        if i == 0:
            out.append("self")
            continue
        if p.kind is p.KEYWORD_ONLY and not starred:
            out.append("*")
        starred |= p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        out.append(f"{star}{p.name}: Any{' = ...' if p.default is not p.empty else ''}")
    returns = function.__annotations__.get("return", "Any")
    known = isinstance(returns, str) and re.fullmatch(r"(Tensor|None|Any|tuple|\[|\]|, |\.\.\.)+", returns)
    return f"({', '.join(out)}) -> {RESULTS.get(name) or (returns if known else 'Any')}"


def signatures(name: str, o: object, method: bool) -> list[str]:
    plain = METHODS if method else PLAIN
    if name in plain:
        return [plain[name]]
    if type(o).__name__ == "Op":
        return [line_to_signature(line, method) for line in (o.__doc__ or "").splitlines()]
    if isinstance(o, types.FunctionType):
        plain_form = inspect.getattr_static(C.Tensor, name.rstrip("_"), None)  # acosh_ takes what acosh does
        return [python_to_signature(name, plain_form if isinstance(plain_form, types.FunctionType) else o)]
    text = getattr(o, "__text_signature__", None)
    if text:
        return [text_to_signature(name, text)]
    result = RESULTS.get(name, "Any")
    return ["(self, *args: Any, **kwargs: Any) -> " + result if method else "(*args: Any, **kwargs: Any) -> " + result]


def definitions(name: str, o: object, method: bool, indent: str) -> list[str]:
    found = list(dict.fromkeys(signatures(name, o, method)))
    static = [f"{indent}@staticmethod\n"] if name == "_make_subclass" else []
    if len(found) > 1:
        return [f"{indent}@overload\n{indent}def {name}{s}: ...\n" for s in found]
    return [*static, f"{indent}def {name}{found[0]}: ...\n"]


def tensor_class() -> str:
    lines = ["\nclass Tensor:\n", "    __array_priority__: ClassVar[_int]\n"]
    members = {n: inspect.getattr_static(C.Tensor, n) for n in dir(C.Tensor) if n not in dir(object) and not keyword.iskeyword(n)}
    for name, o in members.items():
        if type(o).__name__ in ("getset_descriptor", "member_descriptor", "property") and not name.startswith("__"):
            if name in SETTABLE:
                lines.append(f"    {name}: {SETTABLE[name]}\n")
            else:
                lines.append(f"    @property\n    def {name}(self) -> {ATTRIBUTES.get(name, 'Any')}: ...\n")
    lines += [OPERATORS]
    lines += [f"    def {n}(self) -> Tensor: ...\n" for n in UNARY]
    for b in BINARY:
        lines.append(f"    def __{b}__(self, other: _Operand) -> Tensor: ...\n")
        lines.append(f"    def __r{b}__(self, other: _Number | _Array) -> Tensor: ...\n")
        if f"__i{b}__" in members:
            lines.append(f"    def __i{b}__(self, other: _Operand) -> Tensor: ...  # type: ignore[misc]\n")
    lines += [f"    def __{c}__(self, other: Any) -> Tensor: ...  # type: ignore[override]\n" for c in ("eq", "ne")]
    lines += [f"    def __{c}__(self, other: _Operand) -> Tensor: ...\n" for c in ("lt", "le", "gt", "ge")]
    lines.append("\n")
    done = set(re.findall(r"def (\w+)", "".join(lines))) | set(SETTABLE)
    for name, o in members.items():
        if name not in done and callable(getattr(C.Tensor, name, None)):
            lines += definitions(name, o, True, "    ")
    return "".join(lines)


def main() -> None:
    names = [n for n in dir(C) if not n.startswith("__")]
    results = {f"_{'_'.join(r.split())}": r.split() for n in names for line in (getattr(C, n).__doc__ or "").splitlines() for r in re.findall(r"\) -> ([a-z_ ]+)$", line) if type(getattr(C, n)).__name__ == "Op"}
    lines = [HEAD]
    for name, fields in results.items():
        pairs = ", ".join(f'("{f}", Tensor)' for f in fields)
        lines.append(f'{name} = NamedTuple("{name}", [{pairs}])\n')
    lines += [CLASSES, tensor_class(), "\n"]
    for name in names:
        o = getattr(C, name)
        if isinstance(o, C.dtype):
            lines.append(f"{name}: dtype\n")
        elif name == "default_generator":
            lines.append("default_generator: Generator\n")
        elif not isinstance(o, type):
            lines += definitions(name, o, False, "")
        else:
            assert f"class {name}" in "".join(lines), f"CLASSES lacks {name}"
    TARGET.write_text("".join(lines))


if __name__ == "__main__":
    main()
