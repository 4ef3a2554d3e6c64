"""A character-level LSTM learns to write like Hamlet: it reads the play, predicts each next character, then writes.

Run: python examples/char_lstm.py [--steps STEPS] [--length LENGTH] [--temperature TEMPERATURE]

The exit code is 1 if the network, after the full number of steps, needs more than 1.65 nats for a character that it has
not been trained on.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

import graphc as gr
from graphc.datasets import load_text

STEPS = 900
WANTED_LOSS = 1.65
BATCH, TIME, EMBEDDING, HIDDEN = 32, 64, 32, 256


class CharLSTM(gr.nn.Module):
    """Characters as integers (batch, time) and a state to logits (batch, time, characters) and the next state."""

    def __init__(self, characters: int) -> None:
        self.embedding = gr.nn.Embedding(characters, EMBEDDING)
        self.lstm = gr.nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)
        self.head = gr.nn.Linear(HIDDEN, characters)

    def forward(self, x: gr.Value, state: tuple[gr.Value, gr.Value]) -> tuple[gr.Value, tuple[gr.Value, gr.Value]]:
        """The logits, and the state after the last character."""
        output, state = self.lstm(self.embedding(x), state)
        return self.head(output), state


def memory(batch: int) -> tuple[gr.Variable, gr.Variable]:
    """Variables that keep a state from one call of a function to the next."""
    h, c = (gr.variable(np.zeros((1, batch, HIDDEN), np.float32), name) for name in "hc")
    return h, c


def streams(text: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The text as BATCH streams side by side, cut into pieces of TIME characters, each with the characters after it."""
    pieces = (len(text) - 1) // (BATCH * TIME)
    inputs, targets = (
        text[start : start + BATCH * pieces * TIME].reshape(BATCH, pieces, TIME).swapaxes(0, 1) for start in (0, 1)
    )
    return list(zip(inputs, targets, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=STEPS, help="how many pieces of text to train on")
    parser.add_argument("--length", type=int, default=600, help="how many characters to write")
    parser.add_argument("--temperature", type=float, default=0.6, help="lower: likelier characters; higher: rarer ones")
    options = parser.parse_args()

    start = time.perf_counter()
    text = load_text()
    alphabet = sorted(set(text))
    numbers = np.searchsorted(alphabet, list(text))
    cut = len(numbers) * 9 // 10
    training, held_out = streams(numbers[:cut]), streams(numbers[cut:])
    print(f"{len(text):,} characters, {len(alphabet)} different ones; the last tenth is kept for the test")

    # A step of training. The streams go on where the last piece ended, and so does the state; gradients do not go back
    # beyond the piece.
    model = CharLSTM(len(alphabet))
    x = gr.placeholder((BATCH, TIME), "int64", name="x")
    target = gr.placeholder((BATCH, TIME), "int64", name="target")
    h, c = memory(BATCH)
    logits, (next_h, next_c) = model(x, (h, c))
    loss = gr.cross_entropy(gr.reshape(logits, (-1, len(alphabet))), gr.flatten(target, 0))
    rate = gr.optim.schedules.cosine_decay(5e-3, options.steps)
    optimizer = gr.optim.Adam(rate, gradient_clip=gr.optim.clip_by_global_norm(1.0))
    keep = {h: next_h, c: next_c}
    step = gr.compile([x, target], loss, updates={**optimizer.updates(loss, model.parameters()), **keep})
    test = gr.compile([x, target], loss, updates=keep)

    losses = []
    for number in range(options.steps):
        piece = number % len(training)
        if piece == 0:
            h.value = c.value = np.zeros(h.shape, np.float32)
        losses.append(step(*training[piece]))
        if (number + 1) % 50 == 0 or number + 1 == options.steps:
            print(f"step {number + 1:4d}  loss {np.mean(losses[-50:]):.3f}  {time.perf_counter() - start:5.1f} s")
    h.value = c.value = np.zeros(h.shape, np.float32)
    final = float(np.mean([test(*piece) for piece in held_out]))

    # Writing: one character in, the next one out, drawn with the probabilities softmax(logits / temperature): the
    # largest sum of a logit and Gumbel noise.
    previous = gr.placeholder((1, 1), "int64", name="previous")
    temperature = gr.placeholder((), name="temperature")
    h, c = memory(1)
    logits, (next_h, next_c) = model(previous, (h, c))
    noise = -gr.log(-gr.log(gr.random.uniform(logits.shape)))
    drawn = gr.argmax(logits / temperature + noise, axis=-1)
    write = gr.compile([previous, temperature], drawn, updates={h: next_h, c: next_c})

    character = np.array([[alphabet.index("\n")]])
    written = []
    for _ in range(options.length):
        character = write(character, np.float32(options.temperature))
        written.append(alphabet[character.item()])
    print("".join(written))

    print(f"{time.perf_counter() - start:.1f} s in all")
    print(f"test loss {final:.3f} nats a character (wanted after {STEPS} steps: at most {WANTED_LOSS})")
    return 0 if final <= WANTED_LOSS or options.steps < STEPS else 1


if __name__ == "__main__":
    raise SystemExit(main())
