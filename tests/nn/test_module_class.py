"""Module itself beside torch's: registration, walking, hooks, state_dict, errors.

Each test body runs twice, with fastnn and with torch, and what it returns must be equal.  Read next: test_module_lookup.py, test_modules.py.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from nn_support import attempt

import fastnn
import fastnn.nn

BODIES: list[Any] = []


def both(body: Any) -> Any:
    BODIES.append(body)
    return body


def net(t: Any) -> Any:
    class Net(t.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.emb = t.nn.Embedding(5, 3)
            self.blocks = t.nn.ModuleList([t.nn.Linear(3, 3) for _ in range(2)])
            self.parts = t.nn.ModuleDict({"a": t.nn.ReLU(), "b": t.nn.Linear(3, 5, bias=False)})
            self.scale = t.nn.Parameter(t.ones(1))
            self.register_buffer("mask", t.ones(2, 2))
            self.register_buffer("hidden", t.zeros(3), persistent=False)

        def forward(self, x: Any) -> Any:
            x = self.emb(x)
            for block in self.blocks:
                x = block(x)
            return self.parts.b(self.parts["a"](x)) * self.scale

    t.manual_seed(1)
    return Net()


@both
def names(t: Any) -> Any:
    m = net(t)
    return (
        repr(m),
        [n for n, _ in m.named_parameters()],
        [n for n, _ in m.named_buffers()],
        [n for n, _ in m.named_modules()],
        [n for n, _ in m.named_children()],
        list(m.state_dict()),
        dict(m.state_dict()._metadata),
        [n for n, _ in m.named_parameters(prefix="x", recurse=False)],
    )


@both
def tying(t: Any) -> Any:
    m = net(t)
    m.emb.weight = m.parts.b.weight
    import copy

    c = copy.deepcopy(m)
    return (
        [n for n, _ in m.named_parameters()],
        [n for n, _ in m.named_parameters(remove_duplicate=False)],
        list(m.state_dict()),
        c.emb.weight is c.parts.b.weight,
        c.emb.weight is m.emb.weight,
    )


@both
def assigning(t: Any) -> Any:
    m = net(t)
    out = [
        attempt(lambda: setattr(m, "scale", t.ones(1))),
        attempt(lambda: setattr(m, "emb", 3)),
        attempt(lambda: setattr(m, "mask", "x")),
        attempt(lambda: m.register_parameter("a.b", None)),
        attempt(lambda: m.register_parameter("", None)),
        attempt(lambda: m.register_parameter("emb", None)),
        attempt(lambda: m.register_parameter("p", t.ones(1))),
        attempt(lambda: m.register_buffer("forward", None)),
        attempt(lambda: m.add_module("emb2", 3)),
        attempt(lambda: m.nothing),
        attempt(lambda: m.get_submodule("blocks.7")),
        attempt(lambda: m.get_parameter("mask")),
    ]
    m.scale = None
    m.mask = t.zeros(1)
    m.emb = t.nn.Linear(1, 1)
    m.mask = t.nn.Parameter(t.ones(1))
    del m.parts
    return out, list(m.state_dict()), sorted(k for k in m.__dict__ if not k.startswith("_"))


@both
def before_init(t: Any) -> Any:
    class Bad(t.nn.Module):
        def __init__(self, what: Any) -> None:
            self.x = what

    return (
        attempt(lambda: Bad(t.nn.Linear(1, 1))),
        attempt(lambda: Bad(t.nn.Parameter(t.ones(1)))),
        attempt(lambda: t.nn.Module(3))[0],
        attempt(lambda: t.nn.Module()(1)),
    )


@both
def loading(t: Any) -> Any:
    m, state = net(t), net(t).state_dict()
    good = repr(m.load_state_dict(state))
    del state["scale"]
    state["extra.key"] = t.ones(1)
    state["mask"] = t.ones(3)
    strict = attempt(lambda: m.load_state_dict(state))
    state["mask"] = t.ones(2, 2) * 4
    result = m.load_state_dict(state, strict=False)
    before = m.emb.weight
    m.load_state_dict(net(t).state_dict(), assign=True)
    return (
        good,
        strict,
        repr(result),
        tuple(result),
        m.mask.sum().item(),
        before is m.emb.weight,
        type(m.emb.weight).__name__,
        attempt(lambda: m.load_state_dict(3))[0],
    )


@both
def loading_hooks(t: Any) -> Any:
    m, seen = net(t), []
    m.register_state_dict_pre_hook(lambda mod, prefix, keep: seen.append(("pre", prefix, keep)))
    m.register_state_dict_post_hook(lambda mod, state, prefix, meta: seen.append(("post", len(state), prefix)))
    m.register_load_state_dict_pre_hook(lambda mod, state, prefix, *rest: seen.append(("load", len(state), prefix)))
    m.register_load_state_dict_post_hook(lambda mod, keys: seen.append(("loaded", tuple(keys))))
    m.load_state_dict(m.state_dict())
    return seen


@both
def hooks(t: Any) -> Any:
    m, seen = t.nn.Linear(2, 2), []
    a = m.register_forward_pre_hook(lambda mod, args: (args[0] * 2,))
    b = m.register_forward_hook(lambda mod, args, out: seen.append(tuple(args[0].shape)) or out + 1)
    c = m.register_forward_hook(lambda mod, args, kw, out: seen.append(sorted(kw)), with_kwargs=True, prepend=True)
    x = t.ones(1, 2, requires_grad=True)
    with t.no_grad():
        m.weight.fill_(1.0), m.bias.fill_(0.0)
    first = m(x).tolist()
    a.remove(), b.remove(), c.remove(), c.remove()
    return first, m(input=x).tolist(), seen


@both
def backward_hooks(t: Any) -> Any:
    m, seen = t.nn.Linear(2, 3, bias=False), []
    with t.no_grad():
        m.weight.copy_(t.arange(6.0).view(3, 2))
    m.register_full_backward_pre_hook(lambda mod, g: seen.append(("pre", g[0].tolist())))
    m.register_full_backward_hook(lambda mod, gi, go: seen.append((gi[0].tolist(), go[0].tolist())) or (gi[0] * 10,))
    x = t.ones(1, 2, requires_grad=True)
    m(x).sum().backward()
    out = x.grad.tolist(), m.weight.grad.tolist()
    m(t.ones(1, 2))
    return out, seen


@both
def conversion(t: Any) -> Any:
    m = net(t)
    m.ids = None
    m.register_buffer("count", t.tensor([1, 2]))
    m(t.tensor([1, 2])).sum().backward()
    before = m.emb.weight
    m.double()
    kinds = [str(p.dtype) for p in m.parameters()] + [str(b.dtype) for b in m.buffers()]
    same = before is m.emb.weight
    grad = str(m.emb.weight.grad.dtype)
    m.to(t.float32).to("cpu").to(device="cpu", dtype=t.float64).to(t.ones(1))
    return (
        kinds,
        same,
        grad,
        str(m.emb.weight.dtype),
        attempt(lambda: m.to(t.int64)),
    )


@both
def training(t: Any) -> Any:
    m = net(t)
    order: list[str] = []
    m.apply(lambda mod: order.append(type(mod).__name__))
    m.eval()
    modes = [mod.training for mod in m.modules()]
    m.requires_grad_(False)
    frozen = [p.requires_grad for p in m.parameters()]
    m.requires_grad_(True)
    m(t.tensor([1])).sum().backward()
    m.zero_grad(set_to_none=False)
    zeros = [None if p.grad is None else p.grad.abs().sum().item() for p in m.parameters()]
    m.zero_grad()
    return order, modes, frozen, zeros, [p.grad for p in m.parameters()], attempt(lambda: m.train(3))


@both
def containers(t: Any) -> Any:
    n = t.nn
    s = n.Sequential(n.Linear(1, 2), n.ReLU(), n.Linear(2, 1))
    s.append(n.Tanh())
    s.insert(1, n.GELU())
    del s[0]
    texts = [repr(s), repr(s[1:]), repr(s[-1]), len(s), repr(s.pop(0)), repr(s + n.Sequential(n.SiLU()))]
    s[0] = n.Identity()
    ordered = n.Sequential(OrderedDict(a=n.ReLU(), b=n.Tanh()))
    mods = n.ModuleList([n.Linear(1, 1), n.Linear(1, 1), n.ReLU()])
    mods += [n.ReLU()]
    mods.insert(0, n.Tanh())
    del mods[1]
    d = n.ModuleDict({"x": n.ReLU(), "y": n.Tanh()})
    d.update([("z", n.GELU())])
    d.pop("x")
    p = n.ParameterList([n.Parameter(t.ones(2)), t.ones(1)])
    p.append(n.Parameter(t.zeros(3, 2)))
    q = n.ParameterDict({"a": n.Parameter(t.ones(2)), "b": t.ones(3)})
    return (
        texts,
        repr(s),
        repr(ordered),
        repr(ordered.a),
        repr(mods),
        repr(mods[1:3]),
        repr(d),
        list(d.keys()),
        "y" in d,
        repr(p),
        repr(p[1:]),
        len(p),
        list(p.state_dict()),
        repr(q),
        list(q.keys()),
        sorted(q.state_dict()),
        attempt(lambda: mods[9]),
        attempt(lambda: s[9]),
        attempt(lambda: d["nope"])[0],
    )


@both
def parameter(t: Any) -> Any:
    p = t.nn.Parameter(t.tensor([1.0, 2.0]))
    import copy
    import pickle

    q = copy.deepcopy(p)
    r = pickle.loads(pickle.dumps(p))
    return (
        repr(p),
        isinstance(p, t.nn.Parameter),
        isinstance(p + 1, t.nn.Parameter),
        type(p + 1).__name__,
        type(q).__name__,
        q is p,
        q.tolist(),
        repr(r),
        r.requires_grad,
        t.nn.Parameter(t.ones(1), requires_grad=False).requires_grad,
        isinstance(t.ones(1), t.nn.Parameter),
        p.is_leaf,
    )


@both
def buffers(t: Any) -> Any:
    m = t.nn.Module()
    m.b = t.nn.Buffer(t.ones(2))
    m.c = t.nn.Buffer(t.ones(2), persistent=False)
    return [n for n, _ in m.named_buffers()], list(m.state_dict())


@both
def utilities(t: Any) -> Any:
    u = t.nn.utils
    t.manual_seed(3)
    ps = [t.nn.Parameter(t.randn(3, 2)), t.nn.Parameter(t.randn(4)), t.nn.Parameter(t.randn(2))]
    for p in ps[:2]:
        p.grad = t.randn(*p.shape)
    norm = u.clip_grad_norm_(ps, 0.5)
    after = [round(v, 5) for p in ps[:2] for v in p.grad.flatten().tolist()]
    u.clip_grad_value_(ps, 0.05)
    top = max(p.grad.abs().max().item() for p in ps[:2])
    v = u.parameters_to_vector(ps)
    u.vector_to_parameters(v * 2, ps)
    inf = u.clip_grad_norm_(iter(ps), 1.0, norm_type=float("inf")).item()
    return round(norm.item(), 5), after, round(top, 6), [round(x, 5) for x in ps[1].tolist()], round(inf, 6)


@both
def clipping(t: Any) -> Any:
    """The common norm of one or many gradients, scalars and both dtypes among them; nothing changes below the limit."""
    norms = []
    for dtype in (t.float32, t.float64):
        ps = [t.nn.Parameter(t.full(s, 0.5, dtype=dtype)) for s in ((3, 2), (), (5,))]
        for p in ps[:2]:
            p.grad = p.detach() * 2
        for limit in (100.0, 1.0):
            total = t.nn.utils.clip_grad_norm_(ps, limit)
            left = [round(p.grad.sum().item(), 6) for p in ps[:2]]
            norms.append((total.dtype, total.shape, round(total.item(), 6), left))
        ps[0].grad = ps[0].grad * float("nan")
        bad = attempt(lambda: t.nn.utils.clip_grad_norm_(ps, 1.0, error_if_nonfinite=True))  # noqa: B023
        norms.append((bad[0], bool(t.nn.utils.clip_grad_norm_(ps, 1.0).isnan()), bool(ps[1].grad.isnan())))
    return norms


@pytest.mark.parametrize("body", BODIES, ids=lambda b: b.__name__)
def test_same_as_torch(body: Any) -> None:
    mine, theirs = repr(body(fastnn)), repr(body(torch))
    assert mine.replace("fastnn.", "torch.").replace("torch._C.Tensor", "torch.FloatTensor") == theirs
