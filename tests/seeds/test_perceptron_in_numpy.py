"""The figures of a walk-through that writes a perceptron in NumPy."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import graphc as gr
from examples.seeds import house_prices
from tests.examples.running import run


def arrays() -> tuple[np.ndarray, np.ndarray]:
    return tuple(array[: house_prices.BATCH] for array in house_prices.load_data()[:2])


def chain() -> tuple[house_prices.Perceptron, list[gr.Value]]:
    features, prices = arrays()
    X = gr.placeholder(("batch", features.shape[1]), "float64")
    y = gr.placeholder(("batch", prices.shape[1]), "float64")
    model = house_prices.Perceptron(features.shape[1])
    model.forward(X, y)
    return model, [X, y]


def test_the_hand_derived_chain_matches_the_derived_gradients() -> None:
    model, inputs = chain()
    by_hand = gr.compile(inputs, model.gradients_by_hand())(*arrays())
    derived = gr.compile(inputs, model.derived_gradients())(*arrays())
    assert len(by_hand) == len(derived) == 4
    for ours, theirs in zip(by_hand, derived, strict=True):
        assert np.abs(theirs).max() > 0.1
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


def test_y_is_b_of_c_of_d_of_e_of_f() -> None:
    model, inputs = chain()
    features, prices = arrays()
    w1, b1, w2, b2 = (torch.tensor(weight.value, requires_grad=True) for weight in model.parameters)
    F = torch.tensor(features) @ w1
    E = F + b1
    D = torch.sigmoid(E)
    C = D @ w2
    B = C + b2
    loss = ((B - torch.tensor(prices)) ** 2).mean()
    loss.backward()
    found = gr.compile(inputs, [model.F, model.E, model.D, model.C, model.B, model.loss])(*arrays())
    for ours, theirs in zip(found, (F, E, D, C, B, loss), strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12, atol=1e-13)
    derived = gr.compile(inputs, model.derived_gradients())(*arrays())
    for ours, weight in zip(derived, (w1, b1, w2, b2), strict=True):
        np.testing.assert_allclose(ours, weight.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("link", ["F", "E", "D", "C", "B"])
def test_the_derivative_by_each_link_of_the_chain(link: str) -> None:
    """The gradient by a value inside the graph, against a difference quotient along a random direction."""
    model, inputs = chain()
    value: gr.Value = getattr(model, link)
    places, gradient = gr.compile(inputs, [value, gr.grad(model.loss, value)])(*arrays())
    direction = np.random.default_rng(0).standard_normal(places.shape)
    _, prices = arrays()
    b1, w2, b2 = (weight.value for weight in model.parameters[1:])
    steps = {
        "F": lambda x: x + b1,
        "E": lambda x: 1 / (1 + np.exp(-x)),
        "D": lambda x: x @ w2,
        "C": lambda x: x + b2,
        "B": lambda x: ((x - prices) ** 2).mean(),
    }
    after = list(steps)[list(steps).index(link) :]

    def loss(x: np.ndarray) -> float:
        for name in after:
            x = steps[name](x)
        return float(x)

    quotient = (loss(places + 1e-6 * direction) - loss(places - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose((gradient * direction).sum(), quotient, rtol=1e-6)


def test_regression_of_house_prices_by_mini_batches() -> None:
    *learning, constant = map(float, re.findall(r"test error +([.\d]+)", run("seeds/house_prices.py", "60")))
    assert learning[0] > learning[1] > learning[2] > learning[3]
    assert learning[-1] < constant / 2


def test_the_example_says_that_it_takes_the_boston_table_for_the_california_housing() -> None:
    assert run("seeds/house_prices.py", "1").startswith("Boston house prices: 400 to train on, 106 to test on")
    assert "California housing data, which are a download" in " ".join((house_prices.__doc__ or "").split())


def test_the_houses_to_test_on_are_not_among_those_to_train_on() -> None:
    train, _, test, _ = house_prices.load_data()
    assert train.shape == (400, 12) and test.shape == (106, 12)
    assert not {row.tobytes() for row in train} & {row.tobytes() for row in test}
    np.testing.assert_allclose(train.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(train.std(axis=0), 1.0, rtol=1e-12)
