"""A classifier in the idiom of PyTorch, line by line.

Run: python examples/seeds/pytorch_idiom.py

Where a line is not PyTorch's own, PyTorch's stands at the right. The difference is when things happen. PyTorch computes
while it reads the lines of the loop; so at every step it has to forget the last gradients and to differentiate anew.
Here the lines before the loop describe a step, `gr.compile` makes one function of it, with gradients and updates, and
the loop calls that function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import graphc as gr  # import torch
from graphc import nn  # from torch import nn

EPOCHS = 100


class Net(nn.Module):
    """Linear 3 to 5, ReLU, Linear 5 to 2."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, 5)
        self.relu = nn.ReLU()
        self.output = nn.Linear(5, 2)

    def forward(self, x: gr.Value) -> Any:
        """Logits of two classes."""
        return self.output(self.relu(self.hidden(x)))


def main() -> None:
    random = np.random.default_rng(0)  # torch.manual_seed(0)
    X = random.standard_normal((100, 3), np.float32)  # X = torch.randn(100, 3)
    y = random.integers(0, 2, 100)  # y = torch.randint(0, 2, (100,))

    model = Net()
    loss_function = nn.CrossEntropyLoss()
    optimizer = gr.optim.SGD(lr=0.01)  # optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    inputs, labels = gr.placeholder(("batch", 3)), gr.placeholder(("batch",), "int64")
    outputs = model(inputs)  # outputs = model(X)
    loss = loss_function(outputs, labels)  # loss = loss_function(outputs, y)
    updates = optimizer.updates(loss, model.parameters())  # optimizer.zero_grad(); loss.backward()
    step = gr.compile([inputs, labels], loss, updates=updates)

    for epoch in range(EPOCHS):
        value = step(X, y)  # optimizer.step()
        print(f"epoch {epoch}: loss {value:.6f}")  # print(f"epoch {epoch}: loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
