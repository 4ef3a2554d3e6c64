"""The gradients that nobody wants on paper: RNN, LSTM and GRU, unrolled over a sequence and differentiated for free.

Run: python examples/seeds/recurrent_gradients.py

Each gradient is compared with a difference quotient along a random direction of all the weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphc as gr

STEPS, BATCH, INPUTS, HIDDEN = 6, 4, 3, 5
CELLS = {"RNN": gr.nn.RNNCell, "LSTM": gr.nn.LSTMCell, "GRU": gr.nn.GRUCell}


def unrolled_loss(cell: gr.nn.Module, sequence: gr.Value) -> gr.Value:
    """The mean square of the last hidden state, after a step for each item of the first axis."""
    state: Any = None
    for step in range(STEPS):
        state = cell(sequence[step], state)
    hidden = state[0] if isinstance(state, tuple) else state
    loss: gr.Value = (hidden**2).mean()
    return loss


def loss_and_gradients(cell: gr.nn.Module, sequence: NDArray[np.float64]) -> tuple[float, dict[str, NDArray[Any]]]:
    """The loss of a sequence, and its gradients by the cell's weights."""
    x = gr.placeholder(sequence.shape, "float64", name="sequence")
    loss = unrolled_loss(cell, x)
    value, *gradients = gr.compile([x], [loss, *gr.grad(loss, cell.parameters())])(sequence)
    names = [name for name, _ in cell.named_parameters()]
    return float(value), dict(zip(names, gradients, strict=True))


def difference_quotient(cell: gr.nn.Module, sequence: NDArray[np.float64], direction: dict[str, Any]) -> float:
    """How fast the loss changes as all weights move along a direction."""
    x = gr.placeholder(sequence.shape, "float64", name="sequence")
    loss = gr.compile([x], unrolled_loss(cell, x))
    start, distance = cell.state_dict(), 1e-5
    values = []
    for sign in (1, -1):
        cell.load_state_dict({name: start[name] + sign * distance * direction[name] for name in start})
        values.append(float(loss(sequence)))
    cell.load_state_dict(start)
    return (values[0] - values[1]) / (2 * distance)


def main() -> None:
    random = np.random.default_rng(0)
    sequence = random.standard_normal((STEPS, BATCH, INPUTS))
    for name, make in CELLS.items():
        cell = make(INPUTS, HIDDEN, dtype="float64")
        value, gradients = loss_and_gradients(cell, sequence)
        direction = {weight: random.standard_normal(gradient.shape) for weight, gradient in gradients.items()}
        slope = sum(float((gradients[weight] * direction[weight]).sum()) for weight in gradients)
        quotient = difference_quotient(cell, sequence, direction)
        print(f"{name}: loss {value:.6f}, slope {slope:.9f}, difference quotient {quotient:.9f}")


if __name__ == "__main__":
    main()
