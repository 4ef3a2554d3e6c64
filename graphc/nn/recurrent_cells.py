"""Cells: one time step of a recurrent network, as a module; and the formulas that cells and layers share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

from graphc.errors import GraphError, ShapeError
from graphc.ir.dims import Size
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops import Variable, as_value, broadcast_to, cast, parameter, relu, sigmoid, split, tanh, zeros
from graphc.ir.ops.conversion import common_dtype
from graphc.ir.types import DType, shape_text, unify
from graphc.nn.init import Rng, as_generator, fixed_sizes, initial, uniform
from graphc.nn.module import Module

__all__ = [
    "GRU_RECURRENCE",
    "LSTM_RECURRENCE",
    "GRUCell",
    "LSTMCell",
    "Nonlinearity",
    "RNNCell",
    "Recurrence",
    "State",
    "Weights",
    "check_input",
    "draw_weights",
    "given_form",
    "initial_state",
    "rnn_recurrence",
]

Nonlinearity: TypeAlias = Literal["tanh", "relu", "sigmoid"]
_NONLINEARITIES: dict[str, Callable[[Operand], Value]] = {"tanh": tanh, "relu": relu, "sigmoid": sigmoid}


class Weights(NamedTuple):
    """What the steps of one layer and direction share; by gates, each of ``hidden_size`` rows."""

    weight_ih: Variable
    """(gates * hidden_size, input_size)"""
    weight_hh: Variable
    """(gates * hidden_size, hidden_size)"""
    bias_ih: Variable | None
    """(gates * hidden_size,)"""
    bias_hh: Variable | None
    """(gates * hidden_size,)"""


State: TypeAlias = tuple[Value, ...]
"""The hidden state h, for an LSTM followed by the cell state c; each (..., hidden_size)."""

Step: TypeAlias = Callable[[State, Value], State]
"""From a state and the step's part of the projected input to the next state."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A kind of recurrent network.

    Attributes:
        gates: how many blocks of rows its weights have.
        states: how many arrays its state is made of.
        begin: from the inputs of any number of steps and the weights to the part of the work that no state takes part
            in, done for all of these steps at once, and the function that does a step's rest.
    """

    gates: int
    states: int
    begin: Callable[[Value, Weights], tuple[Value, Step]]


def _affine(x: Value, matrix: Value, *biases: Variable | None) -> Value:
    """``x @ matrix``, plus the sum of the biases that there are."""
    added = [bias for bias in biases if bias is not None]
    product = x @ matrix
    return product + sum(added[1:], start=added[0]) if added else product


def _begin_rnn(activation: Callable[[Operand], Value], x: Value, weights: Weights) -> tuple[Value, Step]:
    recurrent = weights.weight_hh.T

    def step(state: State, projected: Value) -> State:
        return (activation(projected + state[0] @ recurrent),)

    return _affine(x, weights.weight_ih.T, weights.bias_ih, weights.bias_hh), step


def _begin_lstm(x: Value, weights: Weights) -> tuple[Value, Step]:
    recurrent = weights.weight_hh.T

    def step(state: State, projected: Value) -> State:
        h, c = state
        blocks = zip(split(projected, 4, axis=-1), split(h @ recurrent, 4, axis=-1), strict=True)
        i, f, g, o = (of_input + of_state for of_input, of_state in blocks)  # so added where they are read
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c

    return _affine(x, weights.weight_ih.T, weights.bias_ih, weights.bias_hh), step


def _begin_gru(x: Value, weights: Weights) -> tuple[Value, Step]:
    recurrent = weights.weight_hh.T

    def step(state: State, projected: Value) -> State:
        (h,) = state
        input_r, input_z, input_n = split(projected, 3, axis=-1)
        hidden_r, hidden_z, hidden_n = split(_affine(h, recurrent, weights.bias_hh), 3, axis=-1)
        n = tanh(input_n + sigmoid(input_r + hidden_r) * hidden_n)
        return (n + sigmoid(input_z + hidden_z) * (h - n),)

    return _affine(x, weights.weight_ih.T, weights.bias_ih), step


LSTM_RECURRENCE = Recurrence(4, 2, _begin_lstm)
GRU_RECURRENCE = Recurrence(3, 1, _begin_gru)


def rnn_recurrence(nonlinearity: Nonlinearity) -> Recurrence:
    """The recurrence of an RNN.

    Raises:
        GraphError: there is no such nonlinearity.
    """
    if nonlinearity not in _NONLINEARITIES:
        raise GraphError(f"nonlinearity={nonlinearity!r}", expected=" or ".join(map(repr, _NONLINEARITIES)))
    return Recurrence(1, 1, partial(_begin_rnn, _NONLINEARITIES[nonlinearity]))


def draw_weights(
    recurrence: Recurrence,
    input_size: int,
    hidden_size: int,
    bias: bool,
    dtype: DType | str | type,
    rng: Rng,
    suffix: str = "",
) -> Weights:
    """New weights, all uniform between plus and minus ``1/sqrt(hidden_size)``; the suffix is part of their names."""
    bound = 1.0 / math.sqrt(max(hidden_size, 1))
    rows = recurrence.gates * hidden_size
    generator = as_generator(rng)

    def draw(name: str, *shape: int) -> Variable:
        return parameter(initial(partial(uniform, low=-bound, high=bound), shape, generator), name + suffix, dtype)

    return Weights(
        draw("weight_ih", rows, input_size),
        draw("weight_hh", rows, hidden_size),
        draw("bias_ih", rows) if bias else None,
        draw("bias_hh", rows) if bias else None,
    )


def check_input(module: Module, x: Value, input_size: int) -> None:
    """Let an input whose last axis does not fit name the module.

    Raises:
        ShapeError: it is 0-d, or its last axis has another size.
    """
    if x.ndim == 0 or unify(x.shape[-1], input_size) is None:
        raise ShapeError(
            f"{module!r} was called with {x.type}",
            expected=f"a last axis of size {input_size}",
            remedy="make it with input_size=the size of that axis",
        )


def initial_state(
    module: Module, recurrence: Recurrence, given: Any, x: Value, weight: Variable, shape: tuple[Size, ...]
) -> State:
    """The state to begin with, of one dtype: the one that the input, the weights and the state meet in.

    Args:
        module: named in errors.
        recurrence: says how many arrays there are.
        given: what the user gave: None for zeros, a value, or a tuple of them where there are several.
        x: the input.
        weight: one of the weights.
        shape: of each array.

    Raises:
        ShapeError: there are more or fewer arrays, or one has another shape.
    """
    if given is None:
        return tuple(zeros(shape, common_dtype((x, weight))) for _ in range(recurrence.states))
    arrays: Sequence[Any] = (given,) if recurrence.states == 1 else given
    if not isinstance(arrays, tuple | list) or len(arrays) != recurrence.states:
        raise ShapeError(f"{module!r} was called with the state {given!r}", expected="a tuple (h, c)")
    values = [as_value(array) for array in arrays]
    for value in values:
        if value.ndim != len(shape) or any(unify(*sizes) is None for sizes in zip(value.shape, shape, strict=True)):
            raise ShapeError(
                f"{module!r} was called with {x.type} and a state of type {value.type}",
                expected=f"a state of shape {shape_text(shape)}",
                remedy="leave the state out to begin with zeros",
            )
    dtype = common_dtype((x, weight, *values))
    # Sizes without a name meet here, so that a loop keeps the type of its state.
    return tuple(broadcast_to(cast(value, dtype), shape) for value in values)


def given_form(state: State) -> Value | State:
    """A state as users see it: a value, or a tuple where it is made of several."""
    return state[0] if len(state) == 1 else state


class _Cell(Module):
    """What the cells share: weights, the initial state, and a step."""

    _recurrence: Recurrence

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: DType | str | type = "float32",
        rng: Rng = None,
    ) -> None:
        self.input_size, self.hidden_size = fixed_sizes(input_size, hidden_size)
        weights = draw_weights(self._recurrence, self.input_size, self.hidden_size, bias, dtype, rng)
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = weights

    def forward(self, x: Operand, state: Any = None) -> Any:
        """The next state."""
        value = as_value(x)
        check_input(self, value, self.input_size)
        shape = (*value.shape[:-1], self.hidden_size)
        start = initial_state(self, self._recurrence, state, value, self.weight_hh, shape)
        weights = Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        projected, step = self._recurrence.begin(value, weights)
        return given_form(step(start, projected))

    def settings(self) -> str:
        """The sizes, and whether there are biases."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias_ih is not None else ", bias=False")


class RNNCell(_Cell):
    """A step of an Elman network: ``h' = tanh(x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh)``.

    Called as ``cell(x, h)``: float (..., input_size) and (..., hidden_size) to the next state (..., hidden_size). The
    state starts with zeros where none is given.

    Source: Elman, Finding structure in time, 1990, as ``torch.nn.RNNCell`` has it.

    Args:
        input_size: the size of the last axis of the input.
        hidden_size: the size of the state.
        bias: whether there are biases.
        nonlinearity: "tanh", "relu" or "sigmoid".
        dtype: float32 or float64.
        rng: where the start's random numbers come from; see :func:`graphc.nn.init.seed`. All weights start uniform
            between plus and minus ``1/sqrt(hidden_size)``, as in PyTorch.

    Attributes:
        weight_ih: (hidden_size, input_size).
        weight_hh: (hidden_size, hidden_size).
        bias_ih: (hidden_size,), or None.
        bias_hh: (hidden_size,), or None.

    Raises:
        ShapeError: a size is not an integer of at least 0; when called, the input or the state has another shape.
        GraphError: there is no such nonlinearity.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Nonlinearity = "tanh",
        dtype: DType | str | type = "float32",
        rng: Rng = None,
    ) -> None:
        self.nonlinearity = nonlinearity
        self._recurrence = rnn_recurrence(nonlinearity)
        super().__init__(input_size, hidden_size, bias, dtype, rng)

    def settings(self) -> str:
        """The sizes, whether there are biases, and the nonlinearity where it is not tanh."""
        chosen = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity!r}"
        return super().settings() + chosen


class LSTMCell(_Cell):
    """A step of long short-term memory.

    Called as ``cell(x, (h, c))``: float (..., input_size) and a state of two arrays (..., hidden_size) to the next
    state ``(h', c')``. The state starts with zeros where none is given. With the four blocks i, f, g, o of rows of
    ``x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh``::

        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')

    Source: Hochreiter, Schmidhuber, Long short-term memory, 1997, with the forget gate of Gers, Schmidhuber, Cummins,
    Learning to forget, 2000, as ``torch.nn.LSTMCell`` has it.

    Args:
        input_size: the size of the last axis of the input.
        hidden_size: the size of each of the two states.
        bias: whether there are biases.
        dtype: float32 or float64.
        rng: as in :class:`RNNCell`.

    Attributes:
        weight_ih: (4 * hidden_size, input_size): the rows of the input gate, the forget gate, the new content, and the
            output gate.
        weight_hh: (4 * hidden_size, hidden_size).
        bias_ih: (4 * hidden_size,), or None.
        bias_hh: (4 * hidden_size,), or None.

    Raises:
        ShapeError: a size is not an integer of at least 0; when called, the input or the state has another shape.
    """

    _recurrence = LSTM_RECURRENCE


class GRUCell(_Cell):
    """A step of a gated recurrent unit.

    Called as ``cell(x, h)``: float (..., input_size) and (..., hidden_size) to the next state (..., hidden_size). The
    state starts with zeros where none is given. With the three blocks r, z, n of rows of
    ``x @ weight_ih.T + bias_ih`` (index i) and of ``h @ weight_hh.T + bias_hh`` (index h)::

        n = tanh(n_i + sigmoid(r_i + r_h) * n_h)
        z = sigmoid(z_i + z_h)
        h' = (1 - z) * n + z * h

    Source: Cho et al., Learning phrase representations using RNN encoder-decoder, 2014, with the reset gate after the
    product, as ``torch.nn.GRUCell`` has it.

    Args:
        input_size: the size of the last axis of the input.
        hidden_size: the size of the state.
        bias: whether there are biases.
        dtype: float32 or float64.
        rng: as in :class:`RNNCell`.

    Attributes:
        weight_ih: (3 * hidden_size, input_size): the rows of the reset gate, the update gate, and the new content.
        weight_hh: (3 * hidden_size, hidden_size).
        bias_ih: (3 * hidden_size,), or None.
        bias_hh: (3 * hidden_size,), or None.

    Raises:
        ShapeError: a size is not an integer of at least 0; when called, the input or the state has another shape.
    """

    _recurrence = GRU_RECURRENCE
