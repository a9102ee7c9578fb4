"""fastnn.utils.tensorboard: SummaryWriter over the tensorboardX package.

Invariant: tensorboardX is imported when the first writer is made, not before; tensors reach it as NumPy arrays. Does
not: trace graphs.
Read next: ../data/__init__.py.
"""

from __future__ import annotations

from typing import Any

import fastnn

__all__ = ["SummaryWriter"]


class SummaryWriter:
    """Writes event files for TensorBoard. Methods are tensorboardX's (add_scalar, add_scalars, add_histogram, add_text,
    ..., flush, close).

    Errors: ModuleNotFoundError if tensorboardX is not installed. Source:
    https://docs.pytorch.org/docs/stable/tensorboard.html
    """

    def __init__(
        self,
        log_dir: Any = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        try:
            import tensorboardX
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "SummaryWriter needs the package tensorboardX: pip install tensorboardX", name=error.name
            ) from error
        self._writer = tensorboardX.SummaryWriter(
            logdir=None if log_dir is None else str(log_dir),
            comment=comment,
            purge_step=purge_step,
            max_queue=max_queue,
            flush_secs=flush_secs,
            filename_suffix=filename_suffix,
        )
        self.log_dir = self._writer.logdir

    def get_logdir(self) -> str:
        """The folder of the event files."""
        return self.log_dir

    def add_graph(self, *args: Any, **kwargs: Any) -> None:
        """Raises: drawing a model's graph needs a tracer."""
        raise NotImplementedError("SummaryWriter.add_graph: fastnn has no model tracer")

    def __getattr__(self, name: str) -> Any:
        if name == "_writer":  # not made yet, or its constructor failed
            raise AttributeError(name)
        method = getattr(self._writer, name)
        if not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            return method(*map(_plain, args), **{key: _plain(value) for key, value in kwargs.items()})

        return call

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._writer.close()


def _plain(x: Any) -> Any:
    """Tensors as NumPy arrays, also inside dicts and lists."""
    if isinstance(x, fastnn.Tensor):
        return x.detach().numpy()
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return type(x)(map(_plain, x)) if not hasattr(x, "_fields") else x
    return x
