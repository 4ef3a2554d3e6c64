"""A recurrent cell with an output, in the form of a walk-through after Grokking Deep Learning, that has to remember.

Run: python examples/seeds/rnn_cell.py [EPOCHS]

The last word of each sentence follows from its first, three words before: only the hidden state can carry it there.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import graphc as gr

SENTENCES = """\
mary likes the kitchen
john likes the garden
anna likes the office
paul likes the kitchen
rose likes the garden
hugo likes the office"""


class RNNCell(gr.nn.Module):
    """One step: the next hidden state, and an output made from it.

    Args:
        inputs: the size of the input.
        hidden: the size of the state.
        outputs: the size of the output.
        activation: "sigmoid" or "tanh".
    """

    def __init__(
        self, inputs: int, hidden: int, outputs: int, activation: Literal["sigmoid", "tanh"] = "sigmoid"
    ) -> None:
        self.hidden = hidden
        self.cell = gr.nn.RNNCell(inputs, hidden, nonlinearity=activation)
        self.output = gr.nn.Linear(hidden, outputs)

    def forward(self, x: gr.Value, state: gr.Value) -> tuple[gr.Value, gr.Value]:
        """The output and the next state for an input (batch, inputs) and a state (batch, hidden)."""
        state = self.cell(x, state)
        return self.output(state), state

    def initial_state(self, x: gr.Value) -> gr.Value:
        """Zeros, a row for each row of ``x``."""
        state: gr.Value = gr.zeros((x.shape[0], self.hidden))
        return state


class NextWord(gr.nn.Module):
    """Logits of the word that follows a sentence's beginning."""

    def __init__(self, words: int, activation: Literal["sigmoid", "tanh"]) -> None:
        self.embedding = gr.nn.Embedding(words, 16)
        self.cell = RNNCell(16, 16, words, activation)

    def forward(self, sentence: gr.Value) -> Any:
        """Logits (batch, words) for word numbers (batch, length)."""
        output = state = self.cell.initial_state(sentence)
        for place in range(sentence.shape[1]):
            output, state = self.cell(self.embedding(sentence[:, place]), state)
        return output


def train(activation: Literal["sigmoid", "tanh"], epochs: int) -> tuple[list[float], list[str]]:
    """The loss before each step, and the words that the network puts at the end of the sentences."""
    vocabulary = sorted(set(SENTENCES.split()))
    numbers = [[vocabulary.index(word) for word in line.split()] for line in SENTENCES.splitlines()]
    rows: NDArray[np.int64] = np.array(numbers)
    sentence = gr.placeholder(("batch", rows.shape[1] - 1), "int64", name="sentence")
    last = gr.placeholder(("batch",), "int64", name="last")
    model = NextWord(len(vocabulary), activation)
    logits = model(sentence)
    loss = gr.nn.CrossEntropyLoss()(logits, last)
    step = gr.compile([sentence, last], loss, updates=gr.optim.Adam(0.05).updates(loss, model.parameters()))
    losses = [float(step(rows[:, :-1], rows[:, -1])) for _ in range(epochs)]
    guesses = gr.compile([sentence], gr.argmax(logits, axis=-1))(rows[:, :-1])
    return losses, [vocabulary[guess] for guess in guesses]


def main() -> None:
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    activations: tuple[Literal["sigmoid", "tanh"], ...] = ("sigmoid", "tanh")
    for activation in activations:
        losses, words = train(activation, epochs)
        print(f"{activation}: loss from {losses[0]:.4f} to {losses[-1]:.4f}")
        for line, word in zip(SENTENCES.splitlines(), words, strict=True):
            print(f"    {line.rsplit(maxsplit=1)[0]} ... {word}")


if __name__ == "__main__":
    main()
