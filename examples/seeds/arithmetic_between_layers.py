"""Arithmetic between the layers of a convolutional network, which is differentiated like anything else.

Run: python examples/seeds/arithmetic_between_layers.py [EPOCHS] [IMAGES]
"""

from __future__ import annotations

import sys
from typing import Any

import graphc as gr
from graphc import nn


class FirstConvNet(nn.Module):
    """Two convolutions, two layers, and between them a product, a square and a sum."""

    def __init__(self) -> None:
        self.conv1 = nn.Conv2d(1, 5, 5)
        self.conv2 = nn.Conv2d(5, 10, 5)
        self.maxpool = nn.MaxPool2d(2)
        self.relu = nn.ReLU()
        self.flatten = nn.Flatten()
        self.hidden = nn.Linear(160, 20)
        self.output = nn.Linear(20, 10)

    def forward(self, x: gr.Value) -> Any:
        """Logits (batch, 10) for images (batch, 1, 28, 28)."""
        x = self.maxpool(self.relu(self.conv1(x)))
        x = self.relu(self.conv2(x))
        x = x * 2
        x = self.maxpool(x)
        x = x**2
        x = self.relu(self.hidden(self.flatten(x)))
        x = x + 1
        return self.output(x)


def main() -> None:
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    images = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    digits = gr.datasets.load_digits()

    image = gr.placeholder(("batch", 1, 28, 28), name="image")
    label = gr.placeholder(("batch",), "int64", name="label")
    model = FirstConvNet()
    logits = model(image)
    loss = nn.CrossEntropyLoss()(logits, label)
    accuracy = gr.train.accuracy(logits, label)
    step = gr.compile([image, label], [loss, accuracy], updates=gr.optim.Adam(1e-3).updates(loss, model.parameters()))
    test = gr.compile([image, label], [loss, accuracy])
    history = gr.train.fit(
        step,
        (digits.train_images[:images].reshape(-1, 1, 28, 28), digits.train_labels[:images]),
        epochs=epochs,
        batch_size=64,
        names=["loss", "accuracy"],
        validation=(test, (digits.test_images.reshape(-1, 1, 28, 28), digits.test_labels)),
    )
    for epoch, (value, found) in enumerate(zip(history["loss"], history["validation_accuracy"], strict=True), 1):
        print(f"epoch {epoch}: loss {value:.4f}, test accuracy {found:.1%}")


if __name__ == "__main__":
    main()
