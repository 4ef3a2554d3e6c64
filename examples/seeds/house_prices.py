"""A perceptron that tells the price of a house, with gradients by the chain rule on paper and from the graph.

Run: python examples/seeds/house_prices.py [EPOCHS]

The walk-through takes the California housing data, which are a download. This program takes the Boston house prices,
which ship with the package. The column B of the table, which encodes the share of Black residents, is left out.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

import graphc as gr

HIDDEN = 16
BATCH = 32
RATE = 0.01
TEST = 106


class Perceptron:
    """Linear, sigmoid, Linear: ``y = B(C(D(E(F(X, w1), b1)), w2), b2)``."""

    def __init__(self, inputs: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.w1 = gr.parameter(random.standard_normal((inputs, HIDDEN)) / np.sqrt(inputs), name="w1")
        self.b1 = gr.parameter(np.zeros(HIDDEN), name="b1")
        self.w2 = gr.parameter(random.standard_normal((HIDDEN, 1)) / np.sqrt(HIDDEN), name="w2")
        self.b2 = gr.parameter(np.zeros(1), name="b2")
        self.parameters = [self.w1, self.b1, self.w2, self.b2]

    def forward(self, X: gr.Value, target: gr.Value) -> None:
        """The values of the chain, from the inside to the outside, and the mean squared error."""
        self.X, self.target = X, target
        self.F = X @ self.w1
        self.E = self.F + self.b1
        self.D = gr.sigmoid(self.E)
        self.C = self.D @ self.w2
        self.B = self.C + self.b2
        self.loss = ((self.B - target) ** 2).mean()

    def gradients_by_hand(self) -> list[gr.Value]:
        """The chain rule on paper, from the outside to the inside."""
        dB = 2 * (self.B - self.target) / self.target.shape[0]
        db2 = dB.sum(axis=0)
        dC = dB
        dw2 = self.D.T @ dC
        dD = dC @ self.w2.T
        dE = dD * self.D * (1 - self.D)
        db1 = dE.sum(axis=0)
        dF = dE
        dw1 = self.X.T @ dF
        return [dw1, db1, dw2, db2]

    def derived_gradients(self) -> list[gr.Value]:
        """The same from the graph."""
        gradients: list[gr.Value] = gr.grad(self.loss, self.parameters)
        return gradients


def load_data() -> tuple[NDArray[np.float64], ...]:
    """Features and prices to train on, and others to test on; features have mean 0 and deviation 1."""
    houses = gr.datasets.load_house_prices()
    columns = [place for place, name in enumerate(houses.feature_names) if name != "B"]
    order = np.random.default_rng(0).permutation(len(houses.prices))
    test, train = order[:TEST], order[TEST:]
    features, prices = houses.features[:, columns], houses.prices[:, None]
    features = (features - features[train].mean(axis=0)) / features[train].std(axis=0)
    return features[train], prices[train], features[test], prices[test]


def main() -> None:
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    train_X, train_y, test_X, test_y = load_data()
    print(f"Boston house prices: {len(train_X)} to train on, {len(test_X)} to test on")
    print("errors are in 1,000 dollars of 1970; the test error is the mean absolute one")
    X = gr.placeholder(("batch", train_X.shape[1]), "float64", name="X")
    y = gr.placeholder(("batch", 1), "float64", name="price")
    model = Perceptron(train_X.shape[1])
    model.forward(X, y)

    by_hand = gr.compile([X, y], model.gradients_by_hand())(train_X, train_y)
    derived = gr.compile([X, y], model.derived_gradients())(train_X, train_y)
    for weight, ours, theirs in zip(model.parameters, by_hand, derived, strict=True):
        size, difference = np.abs(theirs).max(), np.abs(ours - theirs).max()
        print(f"gradient by {weight.name}: up to {size:.4f}, by hand the same within {difference:.1e}")

    pairs = zip(model.parameters, model.gradients_by_hand(), strict=True)
    updates = {weight: weight - RATE * gradient for weight, gradient in pairs}
    step = gr.compile([X, y], model.loss, updates=updates)
    error = gr.compile([X, y], gr.abs(model.B - y).mean())

    random = np.random.default_rng(0)
    for epoch in range(1, epochs + 1):
        order = random.permutation(len(train_X))
        losses = [
            float(step(train_X[rows], train_y[rows])) for rows in np.split(order, range(BATCH, len(order), BATCH))
        ]
        if epoch in (1, epochs) or epoch % 20 == 0:
            print(f"epoch {epoch:3d}: squared error {np.mean(losses):7.2f}, test error {error(test_X, test_y):5.2f}")
    print(f"to say the mean price every time has test error {np.abs(test_y - train_y.mean()).mean():.2f}")


if __name__ == "__main__":
    main()
