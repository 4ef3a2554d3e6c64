"""The figures of a walk-through that builds a deep-learning framework, after Grokking Deep Learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from examples.seeds import rnn_cell, scalar_graphs, training_curves

# Some losses were printed with all their digits, some with eight decimals.
ALL_DIGITS = {"rtol": 1e-12, "atol": 0.0}
EIGHT_DECIMALS = {"rtol": 0.0, "atol": 0.5000001e-8}


def published(name: str) -> Any:
    return training_curves.CURVES[name]["losses"]


def test_a_value_used_several_times_receives_the_sum_of_its_derivatives() -> None:
    figures = scalar_graphs.derivatives_of_a_reused_value()
    assert figures["df/db"] == 2.0
    assert figures["df/da"] == figures["df/dc"] == 1.0


@pytest.mark.parametrize("by_hand", [True, False])
def test_curve_of_the_two_layer_linear_net_by_hand_and_by_autograd(by_hand: bool) -> None:
    np.testing.assert_allclose(training_curves.two_layer_linear(by_hand), published("two_layer_linear"), **ALL_DIGITS)


def test_curve_of_sequential_with_mse_loss() -> None:
    np.testing.assert_allclose(training_curves.sequential_mse(), published("sequential_mse"), **EIGHT_DECIMALS)


def test_curve_of_sequential_with_tanh_and_sigmoid() -> None:
    found = training_curves.sequential_tanh_sigmoid_mse()
    np.testing.assert_allclose(found, published("sequential_tanh_sigmoid_mse"), **EIGHT_DECIMALS)


def test_curve_of_embedding_tanh_linear_with_cross_entropy_on_indices() -> None:
    found = training_curves.embedding_tanh_linear_cross_entropy()
    np.testing.assert_allclose(found, published("embedding_tanh_linear_cross_entropy"), **ALL_DIGITS)


@pytest.mark.parametrize("name", training_curves.CURVES)
def test_every_curve_has_ten_losses(name: str) -> None:
    assert len(published(name)) == training_curves.STEPS == 10


def test_sgd_with_zeroing_does_not_add_up_the_gradients_of_steps() -> None:
    start = np.array([1.0, -2.0, 3.0])
    theirs = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.SGD([theirs], lr=0.1)
    ours = gr.parameter(start)
    loss = (ours**3).sum()
    step = gr.compile([], loss, updates=gr.optim.SGD(0.1).updates(loss, [ours]))
    for _ in range(4):
        optimizer.zero_grad()
        expected = (theirs**3).sum()
        expected.backward()
        optimizer.step()
        np.testing.assert_allclose(step(), expected.item(), rtol=1e-12)
        np.testing.assert_allclose(ours.value, theirs.detach().numpy(), rtol=1e-12)


def test_cross_entropy_loss_does_softmax_and_loss_together() -> None:
    """For labels of huge logits the softmax alone would be 0, and its logarithm infinite."""
    logits, labels = np.array([[1000.0, 0.0, -1000.0], [0.5, 0.25, 2.0]]), np.array([2, 0])
    x, t = gr.placeholder((2, 3), "float64"), gr.placeholder((2,), "int64")
    loss = gr.nn.CrossEntropyLoss()(x, t)
    function = gr.compile([x, t], [loss, gr.grad(loss, x)])
    value, gradient = function(logits, labels)
    theirs = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.CrossEntropyLoss()(theirs, torch.tensor(labels))
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-14)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-12, atol=1e-15)
    operations = {node.op.name for node in function.graph.nodes}
    assert any("cross_entropy" in name for name in operations) and "softmax" not in operations


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_rnn_cell_is_its_formula_with_an_initial_hidden_state(activation: Any) -> None:
    cell = rnn_cell.RNNCell(3, 4, 2, activation)
    x = gr.placeholder(("batch", 3))
    output, state = cell(x, cell.initial_state(x))
    again, last = cell(x, state)
    inputs = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    found = gr.compile([x], [output, state, again, last, cell.initial_state(x)])(inputs)
    weights = {name: torch.tensor(array) for name, array in cell.state_dict().items()}

    def by_formula(hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        both = torch.tensor(inputs) @ weights["cell.weight_ih"].T + weights["cell.bias_ih"]
        both = both + hidden @ weights["cell.weight_hh"].T + weights["cell.bias_hh"]
        hidden = getattr(torch, activation)(both)
        return hidden @ weights["output.weight"].T + weights["output.bias"], hidden

    start = torch.zeros(5, 4)
    first = by_formula(start)
    second = by_formula(first[1])
    for ours, theirs in zip(found, (*first, *second, start), strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_rnn_cell_learns_to_carry_a_word_through_a_sentence(activation: Any) -> None:
    gr.nn.init.seed(0)
    losses, words = rnn_cell.train(activation, 300)
    assert losses[0] > 2.0 and losses[-1] < 0.05
    assert words == [line.split()[-1] for line in rnn_cell.SENTENCES.splitlines()]


def test_graphs_are_static_and_defined_before_the_forward_pass() -> None:
    x = gr.placeholder(("batch", 3), "float64", name="x")
    weight = gr.parameter(np.ones((3, 2)), name="weight")
    loss = ((x @ weight) ** 2).sum()
    gradient = gr.grad(loss, weight)  # a description: there is no number yet
    assert isinstance(gradient, gr.Value) and gradient.shape == (3, 2)
    function = gr.compile([x], [loss, gradient])
    nodes = function.graph.nodes
    for batch in (1, 4):
        points = np.arange(3.0 * batch).reshape(batch, 3)
        value, slope = function(points)
        np.testing.assert_allclose(value, ((points @ np.ones((3, 2))) ** 2).sum())
        np.testing.assert_allclose(slope, 2 * points.T @ (points @ np.ones((3, 2))))
    assert function.graph.nodes is nodes  # one graph served both
