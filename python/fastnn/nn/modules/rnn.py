"""RNN, LSTM, GRU and their cells.

Invariant: parameter names, their order and the order of their draws are torch's; every one is drawn from
U(-1/sqrt(H), 1/sqrt(H)).  Read next: ../_recurrent.py (layers), ../utils/rnn.py (packed sequences).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnn import _C

from .. import _recurrent as R
from .. import init
from ..parameter import Parameter
from .module import Module

if TYPE_CHECKING:
    from fastnn import Tensor

_GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


def _draw(module: Module, hidden_size: int) -> None:
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0
    for weight in module.parameters():
        init.uniform_(weight, -bound, bound)


class RNNBase(Module):
    """Layers x directions of recurrent weights, and the walk over them."""

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            import warnings

            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        if not isinstance(hidden_size, int):
            raise TypeError(f"hidden_size should be of type int, got: {type(hidden_size).__name__}")
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._directions = 2 if bidirectional else 1
        self._add_weights(device, dtype)
        self.reset_parameters()

    def _add_weights(self, device: Any, dtype: Any) -> None:
        gates = _GATES[self.mode] * self.hidden_size
        out = self.proj_size or self.hidden_size
        self._names: list[dict[str, str]] = []  # for each layer and direction: short name -> attribute name
        for layer in range(self.num_layers):
            for direction in range(self._directions):
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                columns = self.input_size if layer == 0 else out * self._directions
                shapes: dict[str, Any] = {"weight_ih": (gates, columns), "weight_hh": (gates, out)}
                if self.bias:
                    shapes["bias_ih"] = shapes["bias_hh"] = (gates,)
                if self.proj_size:
                    shapes["weight_hr"] = (self.proj_size, self.hidden_size)
                for name, shape in shapes.items():
                    setattr(self, name + suffix, Parameter(_C.empty(shape, dtype=dtype, device=device)))
                self._names.append({f"{n[0]}_{n[-2:]}": n + suffix for n in shapes})

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names.values()] for names in self._names]

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        _draw(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Without effect: the kernels take the parameters where they are."""

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size != 0:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        if self.bidirectional is not False:
            text += f", bidirectional={self.bidirectional}"
        return text

    def _state_sizes(self) -> list[int]:
        """The widths of the state tensors: h, and c for LSTM."""
        out = self.proj_size or self.hidden_size
        return [out, self.hidden_size] if self.mode == "LSTM" else [out]

    def _check_state(self, state: tuple[Any, ...], batch: int) -> None:
        for which, (tensor, width) in enumerate(zip(state, self._state_sizes(), strict=False)):
            wanted = (self.num_layers * self._directions, batch, width)
            if tuple(tensor.shape) != wanted:
                name = ("Expected hidden size", "Expected hidden[1] size")[which]
                if self.mode == "LSTM" and which == 0:
                    name = "Expected hidden[0] size"
                raise RuntimeError(f"{name} {wanted}, got {list(tensor.shape)}")

    def _run(self, x: Any, state: tuple[Any, ...], sizes: list[int] | None) -> tuple[Any, tuple[Any, ...]]:
        weights = [{short: getattr(self, name) for short, name in names.items()} for names in self._names]
        dropout = self.dropout if self.training else 0.0
        return R.run_layers(self.mode, x, state, weights, self._directions, dropout, sizes)

    def forward(self, input: Any, hx: Any = None) -> Any:
        from ..utils.rnn import PackedSequence

        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        name = "RNN" if self.mode.startswith("RNN") else self.mode
        if input.dim() not in (2, 3):
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.dim()}D instead")
        if input.size(-1) != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )
        batched = input.dim() == 3
        x = input if batched else input.unsqueeze(1)
        if batched and self.batch_first:
            x = x.transpose(0, 1)
        if x.size(0) == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        state = self._first_state(name, hx, x, batched)
        output, last = self._run(x, state, None)
        if batched and self.batch_first:
            output = output.transpose(0, 1)
        if not batched:
            output, last = output.squeeze(1), tuple(s.squeeze(1) for s in last)
        return output, (last if self.mode == "LSTM" else last[0])

    def _first_state(self, name: str, hx: Any, x: Any, batched: bool) -> tuple[Any, ...]:
        layers = self.num_layers * self._directions
        if hx is None:
            return tuple(_C.zeros((layers, x.size(1), w), dtype=x.dtype) for w in self._state_sizes())
        state = tuple(hx) if self.mode == "LSTM" else (hx,)
        for tensor in state:
            if tensor.dim() != (3 if batched else 2):
                kind = "batched 3-D" if batched else "unbatched 2-D"
                raise RuntimeError(
                    f"For {kind} input, hx should also be {3 if batched else 2}-D but got {tensor.dim()}-D tensor"
                )
        if not batched:
            state = tuple(s.unsqueeze(1) for s in state)
        self._check_state(state, x.size(1))
        return state

    def _forward_packed(self, input: Any, hx: Any) -> Any:
        from ..utils.rnn import PackedSequence

        data, batch_sizes, sorted_indices, unsorted_indices = input
        sizes = batch_sizes.tolist()
        layers = self.num_layers * self._directions
        if hx is None:
            state = tuple(_C.zeros((layers, sizes[0], w), dtype=data.dtype) for w in self._state_sizes())
        else:
            state = tuple(hx) if self.mode == "LSTM" else (hx,)
            self._check_state(state, sizes[0])
            if sorted_indices is not None:
                state = tuple(s.index_select(1, sorted_indices) for s in state)
        output, last = self._run(data, state, sizes)
        if unsorted_indices is not None:
            last = tuple(s.index_select(1, unsorted_indices) for s in last)
        packed = PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices)
        return packed, (last if self.mode == "LSTM" else last[0])


class RNN(RNNBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu.  Source: Elman, 1990."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(
            "RNN_" + nonlinearity.upper(),
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory.  Sources: Hochreiter and Schmidhuber, 1997; https://arxiv.org/abs/1402.1128."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )


class GRU(RNNBase):
    """Gated recurrent unit, reset gate after the recurrent product.  Source: https://arxiv.org/abs/1406.1078"""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )


class RNNCellBase(Module):
    """The four parameters of one step."""

    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = num_chunks * hidden_size
        self.weight_ih = Parameter(_C.empty((gates, input_size), dtype=dtype, device=device))
        self.weight_hh = Parameter(_C.empty((gates, hidden_size), dtype=dtype, device=device))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(_C.empty(gates, dtype=dtype, device=device)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        _draw(self, self.hidden_size)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else text + f", nonlinearity={nonlinearity}"

    def _prepare(self, input: Any, states: tuple[Any, ...] | None, count: int) -> tuple[Any, tuple[Any, ...], bool]:
        """Input as (B,I) and the states as (B,H)."""
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        for state in states or ():
            if state.dim() not in (1, 2):
                raise ValueError(f"{name}: Expected hidden to be 1D or 2D, got {state.dim()}D instead")
        batched = input.dim() == 2
        x = input if batched else input.unsqueeze(0)
        if x.size(1) != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {x.size(1)} expected {self.input_size}")
        if states is None:
            zeros = _C.zeros((x.size(0), self.hidden_size), dtype=x.dtype)
            return x, (zeros,) * count, batched
        states = states if batched else tuple(s.unsqueeze(0) for s in states)
        for state in states:
            if state.size(0) != x.size(0):
                raise RuntimeError(f"Input batch size {x.size(0)} doesn't match hidden0 batch size {state.size(0)}")
            if state.size(1) != self.hidden_size:
                raise RuntimeError(
                    f"hidden0 has inconsistent hidden_size: got {state.size(1)}, expected {self.hidden_size}"
                )
        return x, states, batched


class RNNCell(RNNCellBase):
    """One step of RNN."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        x, (h,), batched = self._prepare(input, None if hx is None else (hx,), 1)
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        h = _C._rnn_cell(x, h, *weights, nonlinearity=self.nonlinearity)
        return h if batched else h.squeeze(0)


class LSTMCell(RNNCellBase):
    """One step of LSTM: takes and returns (h, c)."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        x, (h, c), batched = self._prepare(input, None if hx is None else tuple(hx), 2)
        h, c = _C._lstm_cell(x, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, c)
        return (h, c) if batched else (h.squeeze(0), c.squeeze(0))


class GRUCell(RNNCellBase):
    """One step of GRU."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        x, (h,), batched = self._prepare(input, None if hx is None else (hx,), 1)
        h = _C.gru_cell(x, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return h if batched else h.squeeze(0)
