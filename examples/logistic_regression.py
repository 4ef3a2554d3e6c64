"""Fours and nines told apart by logistic regression: an optimizer, mini-batches, two functions that share parameters.

Run: python examples/logistic_regression.py
"""

from __future__ import annotations

import numpy as np

import graphc as gr
from graphc.datasets import load_digits


def main() -> None:
    digits = load_digits()
    train, test = np.isin(digits.train_labels, (4, 9)), np.isin(digits.test_labels, (4, 9))
    train_images, train_labels = digits.train_images[train], (digits.train_labels[train] == 9).astype(np.float32)
    test_images, test_labels = digits.test_images[test], digits.test_labels[test] == 9

    # The logit of the probability that an image shows a nine.
    image = gr.placeholder(("batch", 784), name="image")
    label = gr.placeholder(("batch",), name="label")
    weight = gr.parameter(np.zeros(784, np.float32), name="weight")
    bias = gr.parameter(np.float32(0), name="bias")
    logit = image @ weight + bias

    # The mean negative log-likelihood: -log sigmoid(z) for a nine and -log(1 - sigmoid(z)) for a four, which is
    # softplus(z) - label z, a form that never takes the logarithm of zero. Some weight decay keeps the weights small.
    loss = (gr.softplus(logit) - label * logit).mean() + 1e-3 * (weight**2).sum()

    # Two functions of one graph: the first moves the parameters, the second reads them.
    optimizer = gr.optim.SGD(0.1, momentum=0.9)
    step = gr.compile([image, label], loss, updates=optimizer.updates(loss, [weight, bias]))
    predict = gr.compile([image], gr.sigmoid(logit))

    random = np.random.default_rng(0)
    for epoch in range(10):
        order = random.permutation(len(train_labels))
        losses = [step(train_images[rows], train_labels[rows]) for rows in np.array_split(order, 16)]
        accuracy = np.mean((predict(test_images) > 0.5) == test_labels)
        print(f"epoch {epoch + 1:2d}: loss {np.mean(losses):.4f}, test accuracy {accuracy:.1%}")


if __name__ == "__main__":
    main()
