"""Four small networks of a walk-through that builds a deep-learning framework, with its weights and its losses.

Run: python examples/seeds/training_curves.py

Each network starts from published weights, so the losses of ten steps are the published ones. data/PROVENANCE.md tells
where they are from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphc as gr

STEPS = 10
CURVES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "curves.json").read_text(encoding="utf-8")
)


def two_layer_linear(by_hand: bool = False) -> list[float]:
    """Two matrices, with gradients that are written out by hand or derived."""
    data = CURVES["two_layer_linear"]
    x = gr.placeholder(("batch", 2), "float64", name="x")
    target = gr.placeholder(("batch", 1), "float64", name="target")
    first, second = (gr.parameter(matrix, dtype="float64") for matrix in data["weights"])
    hidden = x @ first
    difference = hidden @ second - target
    loss = (difference**2).sum()
    if by_hand:
        gradients = [x.T @ (difference @ second.T), hidden.T @ difference]
    else:
        gradients = gr.grad(loss / 2, [first, second])
    rate = data["rate"]
    updates = {weight: weight - rate * gradient for weight, gradient in zip((first, second), gradients, strict=True)}
    step = gr.compile([x, target], loss, updates=updates)
    return [float(step(data["x"], data["target"])) for _ in range(STEPS)]


def sequential_mse() -> list[float]:
    """Linear layers one after another, as a model, with a loss and an optimizer."""
    data = CURVES["sequential_mse"]
    return squared_error_curve(gr.nn.Sequential(*map(linear, data["layers"])), data)


def sequential_tanh_sigmoid_mse() -> list[float]:
    """The same layers with a nonlinearity after each."""
    data = CURVES["sequential_tanh_sigmoid_mse"]
    first, second = map(linear, data["layers"])
    return squared_error_curve(gr.nn.Sequential(first, gr.nn.Tanh(), second, gr.nn.Sigmoid()), data)


def embedding_tanh_linear_cross_entropy() -> list[float]:
    """Rows of a table chosen by index, classified: the softmax is part of the loss, and labels are indices too."""
    data = CURVES["embedding_tanh_linear_cross_entropy"]
    embedding = gr.nn.Embedding(3, 3, dtype="float64")
    embedding.weight.value = np.array(data["embedding"])
    model = gr.nn.Sequential(embedding, gr.nn.Tanh(), linear(data["linear"]))
    index = gr.placeholder(("batch",), "int64", name="index")
    label = gr.placeholder(("batch",), "int64", name="label")
    logits = model(index)
    loss = gr.nn.CrossEntropyLoss()(logits, label)
    summed = gr.nn.CrossEntropyLoss(reduction="sum")(logits, label)
    step = gr.compile([index, label], loss, updates=gr.optim.SGD(data["rate"]).updates(summed, model.parameters()))
    return [float(step(data["indices"], data["labels"])) for _ in range(STEPS)]


def linear(weights: tuple[Any, Any]) -> gr.nn.Linear:
    """A layer with the given matrix, whose rows belong to inputs, and bias."""
    matrix: NDArray[np.float64] = np.array(weights[0])
    inputs, outputs = matrix.shape
    layer = gr.nn.Linear(inputs, outputs, dtype="float64")
    layer.load_state_dict({"weight": matrix.T, "bias": weights[1]})
    return layer


def squared_error_curve(model: gr.nn.Module, data: dict[str, Any]) -> list[float]:
    """The losses of ten steps of gradient descent."""
    x = gr.placeholder(("batch", 2), "float64", name="x")
    target = gr.placeholder(("batch", 1), "float64", name="target")
    loss = gr.nn.MSELoss(reduction="sum")(model(x), target)
    step = gr.compile([x, target], loss, updates=gr.optim.SGD(data["rate"]).updates(loss, model.parameters()))
    return [float(step(data["x"], data["target"])) for _ in range(STEPS)]


def main() -> None:
    curves = [two_layer_linear, sequential_mse, sequential_tanh_sigmoid_mse, embedding_tanh_linear_cross_entropy]
    for curve in curves:
        print(curve.__name__)
        print("     found  published")
        for found, published in zip(curve(), CURVES[curve.__name__]["losses"], strict=True):
            print(f"{found:10.8f} {published:10.8f}")


if __name__ == "__main__":
    main()
