"""Recurrent layers: RNN, LSTM and GRU over sequences."""

from __future__ import annotations

from typing import Any

from graphc.errors import DTypeError, GraphError, ShapeError
from graphc.ir.dims import Size
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops import arange, as_value, concatenate, expand_dims, less, scan, squeeze, stack, swapaxes, where
from graphc.ir.source import scope
from graphc.ir.types import DType, shape_text, unify
from graphc.nn.init import Rng, as_generator, fixed_sizes
from graphc.nn.module import Module
from graphc.nn.recurrent_cells import (
    GRU_RECURRENCE,
    LSTM_RECURRENCE,
    Nonlinearity,
    Recurrence,
    State,
    Weights,
    check_input,
    draw_weights,
    given_form,
    initial_state,
    rnn_recurrence,
)
from graphc.random import Generator, dropout

__all__ = ["GRU", "LSTM", "RNN"]


class _Recurrent(Module):
    """What the layers share.

    All inputs are multiplied with ``weight_ih`` in one product before the loop; a time step does what needs the state.
    """

    _recurrence: Recurrence

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DType | str | type = "float32",
        rng: Rng = None,
        generator: Generator | None = None,
    ) -> None:
        self.input_size, self.hidden_size, self.num_layers = fixed_sizes(input_size, hidden_size, num_layers)
        if not self.num_layers:
            raise GraphError("num_layers=0", expected="at least 1")
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.generator = generator
        self._directions = ("", "_reverse") if bidirectional else ("",)
        rng = as_generator(rng)
        for layer in range(self.num_layers):
            size = len(self._directions) * self.hidden_size if layer else self.input_size
            for direction in self._directions:
                suffix = f"_l{layer}{direction}"
                weights = draw_weights(self._recurrence, size, self.hidden_size, bias, dtype, rng, suffix)
                for name, weight in weights._asdict().items():
                    setattr(self, name + suffix, weight)

    def forward(self, x: Operand, state: Any = None, lengths: Operand | None = None) -> tuple[Value, Any]:
        """The states h of the last layer at all time steps, and the states of all layers after the last time step."""
        value = as_value(x)
        if value.ndim not in (2, 3):
            axes = "(batch, time, input_size)" if self.batch_first else "(time, batch, input_size)"
            raise ShapeError(
                f"{self!r} was called with {value.type}",
                expected=f"{axes}, or (time, input_size) for one sequence",
                remedy="reshape the input, or embed integers first: gr.nn.Embedding",
            )
        check_input(self, value, self.input_size)
        batched = value.ndim == 3
        batch_axis = 0 if self.batch_first else 1
        batch = value.shape[batch_axis : batch_axis + 1] if batched else ()
        start = initial_state(
            self,
            self._recurrence,
            state,
            value,
            self._weights("_l0").weight_hh,
            (self.num_layers * len(self._directions), *batch, self.hidden_size),
        )
        count = None if lengths is None else self._checked_lengths(lengths, batch)
        if not batched:
            value = expand_dims(value, 1)
            start = tuple(expand_dims(part, 1) for part in start)
        elif self.batch_first:
            value = swapaxes(value, 0, 1)
        # Whether each step of each sequence is one: (time, batch, 1).
        valid = None if count is None else expand_dims(less(expand_dims(arange(value.shape[0]), 1), count), 2)
        outputs, final = self._layers(value, start, valid)
        if not batched:
            return squeeze(outputs, 1), given_form(tuple(squeeze(part, 1) for part in final))
        return swapaxes(outputs, 0, 1) if self.batch_first else outputs, given_form(final)

    def _weights(self, suffix: str) -> Weights:
        return Weights(*(getattr(self, name + suffix) for name in Weights._fields))

    def _checked_lengths(self, lengths: Operand, batch: tuple[Size, ...]) -> Value:
        count = as_value(lengths)
        if not count.dtype.is_integer:
            raise DTypeError(
                f"{self!r} was called with lengths of dtype {count.dtype}",
                expected="integers: how many time steps each sequence has",
                remedy="convert them with .astype('int64')",
            )
        if count.ndim != len(batch) or any(unify(*sizes) is None for sizes in zip(count.shape, batch, strict=True)):
            raise ShapeError(
                f"{self!r} was called with lengths of shape {shape_text(count.shape)}",
                expected=f"one length for each sequence: {shape_text(batch)}",
                remedy="give how many time steps of each sequence count",
            )
        return count

    def _layers(self, x: Value, start: State, valid: Value | None) -> tuple[Value, State]:
        """The outputs (time, batch, directions * hidden_size) of the last layer, and the final states of all."""
        if valid is not None:
            x = where(valid, x, 0)  # whatever stands there, it must not reach a gradient as 0 * inf
        finals: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.training:
                x = dropout(x, self.dropout, self.generator)
            outputs: list[Value] = []
            for direction in self._directions:
                suffix = f"_l{layer}{direction}"
                begin = tuple(part[len(finals)] for part in start)
                with scope(suffix[1:]):
                    final, output = self._run(x, begin, self._weights(suffix), bool(direction), valid)
                finals.append(final)
                outputs.append(output)
            x = concatenate(outputs, -1)
        return x, tuple(map(stack, zip(*finals, strict=True)))

    def _run(self, x: Value, start: State, weights: Weights, reverse: bool, valid: Value | None) -> tuple[State, Value]:
        """One layer in one direction: the final state, and the states h of all time steps."""
        projected, step = self._recurrence.begin(x, weights)

        def advance(state: State, inputs: tuple[Value, Value | None]) -> tuple[State, Value]:
            projected, valid = inputs
            new = step(state, projected)
            if valid is not None:
                new = tuple(where(valid, after, before) for after, before in zip(new, state, strict=True))
            return new, new[0]

        final, outputs = scan(advance, start, (projected, valid), reverse=reverse)
        return final, outputs if valid is None else where(valid, outputs, 0)

    def settings(self) -> str:
        """The sizes, and what differs from the defaults."""
        chosen = {
            "num_layers": (self.num_layers, 1),
            "bias": (self.bias, True),
            "batch_first": (self.batch_first, False),
            "dropout": (self.dropout, 0.0),
            "bidirectional": (self.bidirectional, False),
        }
        options = [f"{name}={value}" for name, (value, default) in chosen.items() if value != default]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *options])


class RNN(_Recurrent):
    """An Elman network over sequences: the steps of :class:`RNNCell`, in one or several layers.

    Called as ``layer(x, h_0)``, it returns ``(output, h_n)``:

    - ``x``: float (time, batch, input_size); with ``batch_first`` (batch, time, input_size). One sequence alone is
      (time, input_size); then no array here has an axis for the batch.
    - ``h_0``: (num_layers * directions, batch, hidden_size), where directions is 2 if ``bidirectional`` and else 1, and
      the two directions of a layer stand next to each other. Zeros where it is not given.
    - ``output``: the state of the last layer at every time step, (time, batch, directions * hidden_size), or with
      ``batch_first`` (batch, time, directions * hidden_size); both directions side by side.
    - ``h_n``: the states after the last time step (for the reverse direction: the first), in the shape of ``h_0``.

    Sizes of batch and time may be symbolic. With no time steps ``h_n`` is ``h_0`` and ``output`` is empty.

    ``layer(x, h_0, lengths=lengths)`` takes sequences of different lengths, int (batch,), padded at their ends to one
    length: a state stays as it is after the end of its sequence, the reverse direction begins there, ``output`` is 0
    from there on, and what stands in the padding has no influence, even if it is NaN. These are the results of
    PyTorch's packed sequences. A length greater than the time axis counts as that, a negative one as 0.

    Source: as for :class:`RNNCell`; both directions: Schuster, Paliwal, Bidirectional recurrent neural networks, 1997.

    Args:
        input_size: the size of the last axis of the input.
        hidden_size: the size of the state.
        num_layers: how many layers; each takes the outputs of the one before.
        nonlinearity: "tanh", "relu" or "sigmoid".
        bias: whether there are biases.
        batch_first: whether the batch is the first axis of input and output. It is the second one of states always.
        dropout: the share of each layer's outputs, but the last one's, that become zero in graphs for training.
        bidirectional: whether each layer goes over the sequence in both directions.
        dtype: float32 or float64.
        rng: where the start's random numbers come from; see :func:`graphc.nn.init.seed`. All weights start uniform
            between plus and minus ``1/sqrt(hidden_size)``, as in PyTorch.
        generator: of the random numbers of dropout; see :class:`Dropout`.

    Attributes:
        weight_ih_l0: those of :class:`RNNCell` with its shape, for layer 0; the layers after it take inputs of
            directions * hidden_size. So ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``, and ``weight_ih_l0_reverse``
            and so on for the reverse direction; ``weight_ih_l1`` and so on for layer 1. Biases are None without bias.

    Raises:
        ShapeError: a size is not an integer of at least 0; when called, an argument has another shape.
        DTypeError: when called, lengths are not integers.
        GraphError: there is no layer or no such nonlinearity; when called, if ``dropout`` is not from 0 to 1.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Nonlinearity = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DType | str | type = "float32",
        rng: Rng = None,
        generator: Generator | None = None,
    ) -> None:
        self.nonlinearity = nonlinearity
        self._recurrence = rnn_recurrence(nonlinearity)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, rng, generator
        )

    def settings(self) -> str:
        """The sizes, and what differs from the defaults."""
        chosen = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity!r}"
        return super().settings() + chosen


class LSTM(_Recurrent):
    """Long short-term memory over sequences: the steps of :class:`LSTMCell`, in one or several layers.

    Called as ``layer(x, (h_0, c_0))``, it returns ``(output, (h_n, c_n))``: arrays as :class:`RNN` has them, where
    ``output`` holds the states h. ``lengths`` too are as there.

    Source: as for :class:`LSTMCell`.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, rng, generator: as in
            :class:`RNN`.

    Attributes:
        weight_ih_l0: those of :class:`LSTMCell` for layer 0, and so on as in :class:`RNN`.

    Raises:
        GraphError: as in :class:`RNN`.
    """

    _recurrence = LSTM_RECURRENCE


class GRU(_Recurrent):
    """Gated recurrent units over sequences: the steps of :class:`GRUCell`, in one or several layers.

    Called as ``layer(x, h_0)``, it returns ``(output, h_n)``: arrays, and ``lengths``, as :class:`RNN` has them.

    Source: as for :class:`GRUCell`.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, rng, generator: as in
            :class:`RNN`.

    Attributes:
        weight_ih_l0: those of :class:`GRUCell` for layer 0, and so on as in :class:`RNN`.

    Raises:
        GraphError: as in :class:`RNN`.
    """

    _recurrence = GRU_RECURRENCE
