"""L-BFGS: a quasi-Newton method with limited memory, for small full-batch problems.

Invariant: one `step(closure)` makes up to max_iter iterations; state keys are PyTorch's and live under the first
parameter. A step that raises has changed nothing.
Does not: parameter groups. Read next: _line_search.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastnn

from ._line_search import strong_wolfe
from ._undo import Undo
from .optimizer import Optimizer, ParamsT, check_lr


class LBFGS(Optimizer):
    """Minimises closure() with directions from the last `history_size` steps.

    line_search_fn: None (a fixed step lr, the first one shortened) or "strong_wolfe". max_eval: default max_iter *
    1.25. Stops when the largest gradient entry is at most tolerance_grad or progress falls below tolerance_change.
    Source: Nocedal and Wright 2006, algorithms 7.4 and 7.5; docs.pytorch.org, torch.optim.LBFGS.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | fastnn.Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def _flat_grad(self) -> Any:
        return fastnn.cat([(fastnn.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in self._params], 0)

    def _move(self, step: float, direction: Any) -> None:
        offset = 0
        for p in self._params:
            n = p.numel()
            p.add_(direction[offset : offset + n].view_as(p), alpha=step)
            offset += n

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Up to max_iter iterations; returns the loss before the first.

        `closure` clears gradients, computes the loss and calls backward.
        """
        first = self._params[0]
        before = dict(self.state[first])
        for memory in ("old_dirs", "old_stps", "ro"):
            if memory in before:
                before[memory] = list(before[memory])
        with fastnn.no_grad(), Undo() as undo:
            undo.keep(list(self._params))
            try:
                return self._step(closure)
            except BaseException:
                self.state[first] = before  # its tensors are made anew in each iteration, never written
                raise

    def _step(self, closure: Callable[[], Any]) -> Any:
        def evaluate() -> Any:
            with fastnn.enable_grad():
                return closure()

        group = self.param_groups[0]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        lr, small = float(group["lr"]), group["tolerance_change"]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = evaluate()
        loss, evals = float(first_loss), 1
        state["func_evals"] += 1
        grad = self._flat_grad()
        optimal = bool(grad.abs().max() <= group["tolerance_grad"])
        iterations = 0
        while not optimal and iterations < group["max_iter"]:
            iterations += 1
            state["n_iter"] += 1
            d = self._direction(state, grad, group["history_size"])
            state["prev_flat_grad"], state["prev_loss"] = grad.clone(), loss
            t = min(1.0, 1.0 / float(grad.abs().sum())) * lr if state["n_iter"] == 1 else lr
            slope = float(grad.dot(d))
            if slope > -small:
                break
            used = 0
            if group["line_search_fn"] is not None:
                start = [p.clone() for p in self._params]

                def probe(step: float, start: list[Any] = start, d: Any = d) -> tuple[float, Any]:
                    self._move(step, d)
                    value = float(evaluate())
                    gradient = self._flat_grad()
                    for p, x in zip(self._params, start, strict=True):
                        p.copy_(x)
                    return value, gradient

                loss, grad, t, used = strong_wolfe(probe, t, d, loss, grad, slope, small)
                self._move(t, d)
                optimal = bool(grad.abs().max() <= group["tolerance_grad"])
            else:
                self._move(t, d)
                if iterations != group["max_iter"]:
                    loss = float(evaluate())
                    grad = self._flat_grad()
                    optimal = bool(grad.abs().max() <= group["tolerance_grad"])
                    used = 1
            state["t"] = t
            evals += used
            state["func_evals"] += used
            if (
                evals >= group["max_eval"]
                or float(d.mul(t).abs().max()) <= small
                or abs(loss - state["prev_loss"]) < small
            ):
                break
        return first_loss

    @staticmethod
    def _direction(state: dict[str, Any], grad: Any, history: int) -> Any:
        """Minus the inverse Hessian estimate times the gradient (two-loop recursion), after taking in the last step."""
        if state["n_iter"] == 1:
            d = grad.neg()
            state.update(d=d, old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return d
        y = grad.sub(state["prev_flat_grad"])
        s = state["d"].mul(state["t"])
        ys = float(y.dot(s))
        if ys > 1e-10:  # otherwise the curvature says nothing
            for memory, value in (("old_dirs", y), ("old_stps", s), ("ro", 1.0 / ys)):
                if len(state[memory]) == history:
                    state[memory].pop(0)
                state[memory].append(value)
            state["H_diag"] = ys / float(y.dot(y))
        pairs = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
        q = grad.neg()
        weights = []
        for y, s, rho in reversed(pairs):
            weights.append(float(s.dot(q)) * rho)
            q.add_(y, alpha=-weights[-1])
        d = q.mul(state["H_diag"])
        for (y, s, rho), weight in zip(pairs, reversed(weights), strict=True):
            d.add_(s, alpha=weight - float(y.dot(d)) * rho)
        state["d"] = d
        return d
