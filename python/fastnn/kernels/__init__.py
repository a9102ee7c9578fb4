"""Forward and backward by hand: NumPy arrays in, NumPy arrays out.

Each pair is `X_forward(...) -> (y, saved)` and `X_backward(dy, saved) -> gradients`: the very functions that the tape
calls for a Tensor, so the numbers are those of `fastnn.nn.functional`, bit for bit. Beside them stand the optimizer
steps on arrays: `adamw`, `adam`, `sgd`, `clip_by_norm`.

Conventions, for all pairs:

- Arrays are float32 or float64, all of one call alike; ids and targets are int64 or int32. Any strides, read-only ones
  too; memory is shared, not copied (only negative strides, foreign byte order and odd addresses cost a copy).
- `saved` is a named tuple of arrays that the caller owns: inputs, outputs and by-products (`mean rstd lse gates`) that
  backward reads, and `call`, an opaque record of the forward call. Nothing else remembers the call; arrays in it must
  keep their values until backward has run. It can be copied and pickled.
- Gradients have the shape and dtype of their input and memory of their own. One differentiable input: its gradient
  alone. Several: a tuple in the order of the arguments, None for an optional one that was absent.
- `need=("w", "b")`: only these arguments' gradients are computed, the others are None. A tuple of names; all by
  default.
- `out=`: the array that forward writes y into, or backward the gradient (several: a tuple in the order of the
  gradients, None where a fresh array is wanted); it is also what is returned. Its dtype and shape must be those of the
  result, it must be writable and share no memory with anything that goes in; any strides. Where saved holds y, it holds
  `out`.
- `dy` has the shape and dtype of the output; a Python number stands for a 0-d one, None for zeros. Where forward gives
  several outputs, they, dy and forward's `out` are tuples.
- Something that is no array raises TypeError, a wrong dtype or shape or an unfit `out` RuntimeError, an id or target
  out of range IndexError, an unknown name in `need` ValueError. The message names the op, the argument, what was found
  and wanted. Nothing is written before all checks have passed.

Letters: B batch, T time, C channels, H hidden units or heads, V vocabulary. Read next: products.py, then _pair.py.
"""

from .activations import (
    dropout_backward,
    dropout_forward,
    gelu_backward,
    gelu_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    silu_backward,
    silu_forward,
    tanh_backward,
    tanh_forward,
)
from .attention import attention_backward, attention_forward
from .products import (
    linear_backward,
    linear_forward,
    matmul_backward,
    matmul_forward,
    matmul_fused_backward,
    matmul_fused_forward,
)
from .recurrence import (
    gru_backward,
    gru_cell_backward,
    gru_cell_forward,
    gru_forward,
    lstm_backward,
    lstm_cell_backward,
    lstm_cell_forward,
    lstm_forward,
    rnn_backward,
    rnn_cell_backward,
    rnn_cell_forward,
    rnn_forward,
)
from .rows import (
    layer_norm_backward,
    layer_norm_forward,
    log_softmax_backward,
    log_softmax_forward,
    rms_norm_backward,
    rms_norm_forward,
    softmax_backward,
    softmax_forward,
)
from .steps import adam, adamw, clip_by_norm, sgd
from .tables import cross_entropy_backward, cross_entropy_forward, embedding_backward, embedding_forward

__all__ = [
    "adam",
    "adamw",
    "attention_backward",
    "attention_forward",
    "clip_by_norm",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "dropout_backward",
    "dropout_forward",
    "embedding_backward",
    "embedding_forward",
    "gelu_backward",
    "gelu_forward",
    "gru_backward",
    "gru_cell_backward",
    "gru_cell_forward",
    "gru_forward",
    "layer_norm_backward",
    "layer_norm_forward",
    "linear_backward",
    "linear_forward",
    "log_softmax_backward",
    "log_softmax_forward",
    "lstm_backward",
    "lstm_cell_backward",
    "lstm_cell_forward",
    "lstm_forward",
    "matmul_backward",
    "matmul_forward",
    "matmul_fused_backward",
    "matmul_fused_forward",
    "relu_backward",
    "relu_forward",
    "rms_norm_backward",
    "rms_norm_forward",
    "rnn_backward",
    "rnn_cell_backward",
    "rnn_cell_forward",
    "rnn_forward",
    "sgd",
    "sigmoid_backward",
    "sigmoid_forward",
    "silu_backward",
    "silu_forward",
    "softmax_backward",
    "softmax_forward",
    "tanh_backward",
    "tanh_forward",
]
