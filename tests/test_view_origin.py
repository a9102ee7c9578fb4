"""Views the tape does not follow: made in no_grad or inference mode, or as one of several by one op; written, or written under.

Invariant: each program gives in fastnn what it gives in PyTorch: the value of its last line, or an exception of the same class.
Does not: look at gradients of tracked views (test_autograd.py does). Read next: csrc/graph/inplace.c (fnn_check_origin).
"""

from __future__ import annotations

import pytest
from agree import agree, run

import fastnn

BASES = {"leaf": "w = torch.ones(4, requires_grad=True)", "on the tape": "w = torch.ones(4, requires_grad=True) * 2", "plain": "w = torch.ones(4)"}
VIEWS = {
    "no_grad": "with torch.no_grad(): v = w[1:]",
    "inference": "with torch.inference_mode(): v = w[1:]",
    "no_grad of tracked": "u = w[0:]; with torch.no_grad(): v = u[1:]",
    "tracked of no_grad": "with torch.no_grad(): u = w[0:]\nv = u[1:]",
    "tracked": "v = w[1:]",
    "detached": "with torch.no_grad(): u = w[1:]\nv = u.detach()",
    "unbound": "v = w.unbind(0)[1]",
    "split": "v = w.split([1, 3])[1]",
    "of split": "v = w.split(2)[1][1:]",
    "no_grad split": "with torch.no_grad(): v = w.split(2)[1]",
    "tensor_split": "v = w.tensor_split(2)[1]",
    "iterated": "v = list(w)[1]",
    "as asked later": "v = w[1:]; w.requires_grad_()",
}
READS = (
    "v", "v.requires_grad, v.is_leaf", "v.grad_fn is None", "repr(v)", "v * 2", "v.numpy()", "copy.deepcopy(v)", "(v * 2).sum().backward(); v.grad, w.grad",
    "torch.nn.Parameter(v)", "torch.autograd.grad((w * 2).sum(), v, allow_unused=True)",
)
WRITES = (
    "v.add_(1)", "v.mul_(torch.ones((), requires_grad=True))", "v.zero_()", "v[...] = 3; v", "v.fill_(2.0)", "v.uniform_() is v", "v.unsqueeze_(0)", "v.detach_()",
    "v.copy_(torch.zeros(()))", "torch.nn.functional.dropout(v, 1.0, inplace=True)", "with torch.no_grad(): v.add_(1)\nv.requires_grad",
)  # fmt: skip
BASE_WRITES = ("", "with torch.no_grad(): w.mul_(3)", "w.mul_(torch.ones(4, requires_grad=True))", "w.mul_(3)")


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("view", VIEWS)
def test_view(base: str, view: str) -> None:
    for use in READS + WRITES:
        for write in BASE_WRITES if use in READS else BASE_WRITES[:2]:
            agree("\n".join((BASES[base], VIEWS[view], write, use)))


@pytest.mark.parametrize(
    "code",
    [
        "with torch.no_grad(): a = w1.numpy(), np.asarray(w2), w2[1].numpy(), w2.T.numpy()\na",
        "w1.numpy()",
        "with torch.no_grad(): v = [repr(x) for x in (w2[0], w2.T, w2.reshape(4, 3), w2.contiguous(), w2 * 1, w2.clone(), w2.detach()[0], w2.data[0], *w2)]\nv",
        "with torch.no_grad(): w2[0] += 1; w2.view(-1)[3] = 5; w2[:, 1].zero_(); w2.t_()\nw2",
        "with torch.no_grad(): w2.view(12).unsqueeze_(0); w2.unsqueeze_(0)\nw2",
        "v = i2[0]; v.detach_()",
        "v = i2.clone(); v.detach_()",
        "[x.grad_fn.name() for x in w1]",
        "a, b, c = w2; (a * b + c).sum().backward(); w2.grad",
        "list(torch.tensor(1.0))",
        "[list(f2[:0]), list(f2[:, :0]), list(i1)]",
        "with torch.no_grad(): v = w1[1:]\nv.register_hook(print) is None, v.retain_grad()",
        "with torch.no_grad(): v = w1[1:]\nv.requires_grad_(False).requires_grad",
        "copy.deepcopy(w1[1:])",
        "x = w1 * 1; x.retain_grad(); x.mul_(2); x.sum().backward(); x.grad",
        "x = w1 * 1; x.retain_grad(); x[1:].mul_(2); x.sum().backward(); x.grad",
        "x = w1 * 1; v = x[1:]; v.retain_grad()\nwith torch.no_grad(): x.zero_()\nv.sum().backward(); v.grad",
        "x = w1 * 1; x.retain_grad(); torch.autograd.grad(x.sum(), w1); x.grad",
        "w1.sum().backward(); w1.detach_(); w1.grad",
        "y = (w1 * 2).sum(); w1.requires_grad_(False); y.backward(); w1.grad",
        "x = torch.ones(4); x[1:].add_(w1[1:]); x.sum().backward(); x.sum().backward()",
        "with torch.no_grad(): v = w1[1:]\nv.backward(torch.ones(3))",
        "f2[False] = 5; w1[False] = 3; f2",
        "i2.view(1, 1, 3, 4, 1).repeat(2, 3, 2, 1, 2)",
        "x = w2.repeat(0, 1); x.requires_grad, x._base is None",
        "with torch.no_grad(): x = w2.repeat(0, 1)\nx.requires_grad",
        "torch.ones(0, 3, 0).amax(2)",
        "with torch.no_grad(): v = w1[1:]\npickle.loads(pickle.dumps(v)).requires_grad",
    ],
)
def test_program(code: str) -> None:
    agree(code)


@pytest.mark.parametrize(("view", "words"), [("no_grad", "no_grad mode"), ("inference", "inference mode"), ("split", "multiple views")])
def test_the_message_says_how_the_view_was_made(view: str, words: str) -> None:
    for use in ("v.add_(1)", "w.mul_(3); v * 2"):
        _, error = run(fastnn, "\n".join((BASES["on the tape"], VIEWS[view], use)))
        assert words in str(error)
        assert "inplace" in str(error)
