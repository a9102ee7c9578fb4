"""Rows of the op table: random fills, creation, optimizer steps.

Invariant and limits: as in op_table.py, which registers these rows at its end. Read next: test_ops.py.
"""

from __future__ import annotations

from typing import Any

from op_table import ALL, DRAWS, FLOATS, LARGE, NO_BOOL, SHAPES, Sample, function, method, row, seeded

# --- random fills and creation (their streams: test_random.py) ---------------------------------------------------------------------------

FILLS: dict[str, tuple[tuple[Any, ...], ...]] = {
    "uniform_": ((), (-0.5, 2.0)), "normal_": ((), (1.0, 0.5)), "random_": ((0, 100), (7,)), "bernoulli_": ((0.3,),), "exponential_": ((), (2.5,)),
    "log_normal_": ((),), "cauchy_": ((),), "geometric_": ((0.3,),),
}  # fmt: skip
_BAD_FILL = {"uniform_": ("x.uniform_(2, 1)", "idx.uniform_()"), "normal_": ("x.normal_(0, -1)", "idx.normal_()"), "random_": ("x.random_(5, 5)",), "bernoulli_": ("x.bernoulli_(1.5)",), "exponential_": ("x.exponential_(-1)", "idx.exponential_()"), "geometric_": ("x.geometric_(2)", "mask.geometric_(0.5)"), "log_normal_": ("x.log_normal_(0, -1)", "idx.log_normal_()"), "cauchy_": ("x.cauchy_(0, -1)", "idx.cauchy_()")}
_FILLED = {"random_": NO_BOOL, "bernoulli_": ALL, "geometric_": NO_BOOL}
for _name, _args in FILLS.items():
    row(_name, seeded(method(_name)), lambda g, args=_args: (Sample((g.f(*s), *a), grad=False, large=s == LARGE) for a in args for s in ((3, 5), (20,), (0,), (1,), (41,), LARGE)), dtypes=_FILLED.get(_name, FLOATS), inplace=True, grad=False, oracle=DRAWS, errors=_BAD_FILL[_name])


_MANY = (LARGE, LARGE[1], 70001)  # last arguments of calls that make many elements


def _creation(name: str, *calls: tuple[Any, ...], errors: tuple[str, ...] = (), draws: bool = False, whole: bool = False) -> None:
    call = function(name)
    row(name, seeded(call) if draws else call, lambda g: (Sample(c, grad=False, large=c[-1] in _MANY) for c in calls), dtypes=("float32",), lacks={"dtypes": "takes no tensor"}, grad=False, oracle=DRAWS if draws else "", whole=whole, errors=errors)


_creation("zeros", (3, 4), ((2, 3),), (0,), ((),), (3, 5), LARGE, errors=("torch.zeros('a')", "torch.zeros(-1)", "torch.zeros(2.5)", "torch.zeros(2, dtype='float32')"))
_creation("ones", (3, 4), ((2, 3),), (0,), (1,), (3, 5), LARGE, errors=("torch.ones(-1, 2)", "torch.ones(None)"))
_creation("full", ((3, 4), 2.5), ((2,), 7), ((2,), True), ((0,), 1.0), ((1,), 1.0), ((3, 5), -1), (LARGE, 70001), errors=("torch.full((2,), 'a')", "torch.full(2)"))
_creation("arange", (5,), (2, 9), (0, 1, 0.1), (5, 0, -2), (0.0, 4.0), (3, 3), (1,), (70001,), errors=("torch.arange(0, 5, -1)", "torch.arange(0, 5, 0)", "torch.arange()", "torch.arange('a')"))
_creation("linspace", (0, 1, 7), (-3, 3, 1), (0, 1, 0), (1, 0, 1001), (-2, 2, 70001), errors=("torch.linspace(0, 1, -1)", "torch.linspace(0)"), whole=True)
_creation("eye", (3,), (2, 4), (0,), (1,), (67, 1031), errors=("torch.eye(-1)",))
_creation("rand", (3, 4), (17,), (0,), (1,), LARGE, draws=True, errors=("torch.rand(-1)", "torch.rand('a')", "torch.rand(2, generator=5)"))
_creation("randn", (3, 4), (17,), (5,), (0,), (1,), LARGE, draws=True, errors=("torch.randn(-1)",))
_creation("randint", (0, 10, (5,)), (7, (3, 3)), (5, (0,)), (5, (1,)), (9, LARGE), draws=True, errors=("torch.randint(5, 5, (2,))", "torch.randint(0, 10)", "torch.randint(0, 10, 3)"))
_creation("randperm", (10,), (0,), (1,), (7,), (70001,), draws=True, errors=("torch.randperm(-1)", "torch.randperm('a')"))
row("multinomial", seeded(function("multinomial")), lambda g: iter([Sample((g.f(9, lo=0.1, hi=1), 1)), Sample((g.f(9, lo=0.1, hi=1), 5)), Sample((g.f(4, 9, lo=0.1, hi=1), 20, True)), Sample((g.f(0, 9, lo=0.1, hi=1), 2, True)), Sample((g.f(1, lo=0.1, hi=1), 1)), Sample((g.f(LARGE[1], lo=0.1, hi=1), 900, True), large=True)]), grad=False, oracle=DRAWS, errors=("torch.multinomial(x, 1)", "torch.multinomial(x.abs() + 1, 9)", "torch.multinomial(torch.zeros(3), 1)", "torch.multinomial(idx, 1)", "torch.multinomial(torch.ones(2, 2, 2), 1)", "torch.multinomial(x.abs() + 1, 0)"))
for _name in ("zeros_like", "ones_like"):
    row(_name, function(_name), lambda g: (Sample((g.f(*s),), large=s == LARGE) for s in (*SHAPES, LARGE)), dtypes=ALL, grad=False, errors=(f"torch.{_name}(3)",))

# --- optimizer steps ---------------------------------------------------------------------------------------------------------------------


def _optimizer(name: str) -> Any:
    def run(lib: Any, *arrays: Any, **options: Any) -> Any:
        """Three steps over the given parameters with gradients p*p + step; returns the parameters."""
        params = [lib.nn.Parameter(a.detach().clone()) for a in arrays]
        opt = getattr(lib.optim, name)(params, **options)
        for step in range(3):
            for p in params:
                p.grad = (p * p + step).detach()
            opt.step()
        return [p.detach() for p in params]

    return run


_SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "SGD": ({"lr": 0.1}, {"lr": 0.1, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, {"lr": 0.1, "momentum": 0.5, "dampening": 0.3, "maximize": True}),
    "Adam": ({"lr": 0.1}, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}, {"amsgrad": True}),
    "AdamW": ({"lr": 0.1}, {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.01}, {"amsgrad": True, "maximize": True}),
}
for _name, _op in (("SGD", "sgd_step"), ("Adam", "adam_step"), ("AdamW", "adamw_step")):
    row(_op, _optimizer(_name), lambda g, name=_name: (Sample((g.f(3, 5), g.f(7), g.f(1), g.f(0, 3), g.f(*s)), o, grad=False, large=s == LARGE) for o in _SETTINGS[name] for s in ((40, 51), LARGE)[: 1 + (o == _SETTINGS[name][1])]), steps=6, whole=True, grad=False, aliases=(f"_{_op}",), errors=(f"torch.optim.{_name}([], lr=0.1)", f"torch.optim.{_name}([torch.nn.Parameter(x)], lr=-1.0)", f"torch.optim.{_name}([1], lr=0.1)"))


def _clip(lib: Any, *arrays: Any, **options: Any) -> Any:
    params = [lib.nn.Parameter(a.detach().clone()) for a in arrays]
    for p in params:
        p.grad = (p * p).detach()
    total = lib.nn.utils.clip_grad_norm_(params, **options)
    return [total, *[p.grad for p in params]]


# PyTorch's own sum of 69 thousand absolute values (norm_type 1) is 24 steps off, ours less than one.
row("clip_grad_norm", _clip, lambda g: (Sample((g.f(3, 5), g.f(7), g.f(1), *((g.f(0, 3),) if n < 9 else ()), g.f(67, 1031)), {"max_norm": m, "norm_type": n}, grad=False, large=True) for m in (0.1, 100.0) for n in (2.0, 1.0, float("inf"))), steps=32, whole=True, grad=False, aliases=("_clip_grad_norm", "clip_grad_norm_"), errors=("nn.utils.clip_grad_norm_([1], 1.0)", "nn.utils.clip_grad_norm_(x, 'a')"))
