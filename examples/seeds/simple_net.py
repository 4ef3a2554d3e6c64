"""A small network written as a module: one image of 5 x 5 numbers, two classes, a hundred steps of SGD.

Run: python examples/seeds/simple_net.py
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphc as gr

STEPS = 100
Linear = partial(gr.nn.Linear, dtype="float64", init=gr.nn.init.he_normal)


class SimpleNet(gr.nn.Module):
    """Flatten, Linear 25 to 10, ReLU, Linear 10 to 2."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.flatten = gr.nn.Flatten()
        self.hidden = Linear(25, 10, rng=rng)
        self.relu = gr.nn.ReLU()
        self.output = Linear(10, 2, rng=rng)

    def forward(self, x: gr.Value) -> Any:
        """Logits of two classes."""
        return self.output(self.relu(self.hidden(self.flatten(x))))


def train(model: SimpleNet, image: NDArray[np.float64], label: NDArray[np.int64]) -> list[float]:
    """The loss before each step."""
    x = gr.placeholder(("batch", 5, 5), "float64", name="image")
    target = gr.placeholder(("batch",), "int64", name="label")
    loss = gr.nn.CrossEntropyLoss()(model(x), target)
    step = gr.compile([x, target], loss, updates=gr.optim.SGD(0.01).updates(loss, model.parameters()))
    return [float(step(image, label)) for _ in range(STEPS)]


def main() -> None:
    random = np.random.default_rng(0)
    image, label = random.standard_normal((1, 5, 5)), np.array([1])
    losses = train(SimpleNet(), image, label)
    for number in (*range(0, STEPS, 10), STEPS - 1):
        print(f"step {number:2d}: loss {losses[number]:.4f}")


if __name__ == "__main__":
    main()
