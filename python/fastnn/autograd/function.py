"""autograd.Function: an operation whose forward and backward are both written in Python.

Invariant: backward sees exactly the tensors that forward saved; a tensor that has been written since raises. Does not
record what happens inside backward (no gradients of gradients). Read next: csrc/python/function.c.
"""

from __future__ import annotations

from typing import Any

from fastnn import _C

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """What forward leaves for backward."""

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        self._versions: tuple[int, ...] = ()
        self._non_differentiable: tuple[int, ...] = ()
        self._dirty: tuple[int, ...] = ()
        self._materialize = True
        self._function: type[Function] = Function
        self._outputs = 0  # of forward; _places: which of them have a gradient
        self._places: list[int] = []
        self._is_tensor: tuple[bool, ...] = ()  # one per argument of forward
        self.needs_input_grad: tuple[bool, ...] = ()

    def _backward(self, *grads: Any) -> tuple[Any, ...]:
        """What the node calls: one gradient per tensor among forward's arguments."""
        full: list[Any] = [None] * self._outputs
        for place, grad in zip(self._places, grads, strict=True):
            full[place] = grad
        result = self._function.backward(self, *full)
        if not isinstance(result, tuple):
            result = (result,)
        wanted = len(self._is_tensor)
        if len(result) > wanted and all(g is None for g in result[wanted:]):
            result = result[:wanted]
        if len(result) != wanted:
            name = self._function.__name__
            raise RuntimeError(
                f"function {name}Backward returned an incorrect number of gradients "
                f"(expected {wanted}, got {len(result)})"
            )
        return tuple(g for g, tensor in zip(result, self._is_tensor, strict=True) if tensor)

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for backward."""
        self._saved = tensors
        self._versions = tuple(t._version if isinstance(t, _C.Tensor) else 0 for t in tensors)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors given to save_for_backward. RuntimeError if one was written in place since."""
        for tensor, version in zip(self._saved, self._versions, strict=True):
            if isinstance(tensor, _C.Tensor) and tensor._version != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"is at version {tensor._version}; expected version {version} instead."
                )
        return self._saved

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs have no gradient."""
        self._non_differentiable = tuple(id(t) for t in tensors)

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs forward has written in place."""
        self._dirty = tuple(id(t) for t in tensors)

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients reach backward as zeros (the default) or as None."""
        self._materialize = value


class Function:
    """Base of operations with a backward of their own: static ``forward(ctx, ...)`` and ``backward(ctx, *grads)``."""

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs from the inputs."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute one gradient (or None) per input of forward from one gradient per output."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function."
        )

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward and record it."""
        ctx = FunctionCtx()
        tensors = tuple(a for a in args if isinstance(a, _C.Tensor))
        ctx.needs_input_grad = tuple(isinstance(a, _C.Tensor) and a.requires_grad for a in args)
        setup = getattr(cls, "setup_context", None)
        before = _C._set_modes(False, _C.is_inference_mode_enabled())
        try:
            if setup is None:
                outputs = cls.forward(ctx, *args)
            else:
                outputs = cls.forward(*args)  # type: ignore[call-arg]
                setup(ctx, args, outputs)
        finally:
            _C._set_modes(before)
        if not (_C.is_grad_enabled() and any(ctx.needs_input_grad)):
            return outputs
        return _record(cls, ctx, args, tensors, outputs)


def _record(
    cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], tensors: tuple[Any, ...], outputs: Any
) -> Any:
    single = not isinstance(outputs, tuple)
    given = (outputs,) if single else outputs
    inputs = {id(a) for a in tensors}
    # An input handed through gets an object of its own, so that its history stays; a dirty one's is meant to change.
    made = tuple(o.view_as(o) if id(o) in inputs and id(o) not in ctx._dirty else o for o in given)
    wanted = tuple(
        o
        for g, o in zip(given, made, strict=True)
        if isinstance(o, _C.Tensor) and o.is_floating_point() and id(g) not in ctx._non_differentiable
    )
    places = [i for i, o in enumerate(made) if any(o is w for w in wanted)]
    # The node owns ctx, and an output owns the node: ctx may keep no output that has one, or none is ever freed.
    outs = {id(o) for o in given} - inputs
    ctx._saved = tuple(t.detach() if id(t) in outs else t for t in ctx._saved)
    ctx._function, ctx._outputs, ctx._places = cls, len(made), places
    ctx._is_tensor = tuple(isinstance(a, _C.Tensor) for a in args)
    _C._apply_function(ctx, f"{cls.__name__}Backward", tensors, wanted)
    return made[0] if single else made


def once_differentiable(function: Any) -> Any:
    """Mark a backward as not differentiable itself; all are here, so it is returned as it is."""
    return function
