"""Chosen rows that are multiplied and added to: with which graphs, which values, gradients and faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.ir.graph import Graph, Value
from graphc.passes.simplify import Simplify

RNG = np.random.default_rng(0)
ROWS, WIDTH, RESULTS = 6, 4, 3
TABLE, W, B = RNG.standard_normal((ROWS, WIDTH)), RNG.standard_normal((WIDTH, RESULTS)), RNG.standard_normal(RESULTS)
INDICES = RNG.integers(-ROWS, ROWS, (4, 10))


def formula(table: Value, w: Value, b: Value, indices: Value) -> Value:
    return gr.swapaxes(gr.take(table, indices, axis=0), 0, 1) @ w + b


class Step:
    """A loss of chosen rows, and its gradients by the table, the weight and the bias."""

    def __init__(self, shape: tuple[int | str, ...] = INDICES.shape, table: np.ndarray = TABLE) -> None:
        self.indices = gr.placeholder(shape, "int64", name="indices")
        self.variables = [gr.parameter(array.copy()) for array in (table, W, B)]
        self.y = formula(*self.variables, self.indices)
        self.outputs = [self.y, *gr.grad((gr.tanh(self.y) ** 2).sum(), self.variables)]
        self.function = gr.compile([self.indices], self.outputs)

    def products(self) -> list[object]:
        """The numbers of rows that products in the graph multiply."""
        return [node.inputs[0].shape[0] for node in self.function.graph.nodes if node.op.name == "matmul"]


@pytest.mark.parametrize("shape", [INDICES.shape, ("batch", "time"), ("batch", 10)])
def test_against_the_interpreter_and_torch(shape: tuple[int | str, ...]) -> None:
    step = Step(shape)
    found = step.function(INDICES)
    assert ROWS in step.products()
    for array, wanted in zip(found, gr.evaluate(step.outputs, {step.indices: INDICES}), strict=True):
        np.testing.assert_allclose(array, wanted, 1e-12, 1e-12)
    table, w, b = (torch.tensor(array, requires_grad=True) for array in (TABLE, W, B))
    y = table[torch.tensor(INDICES)].swapaxes(0, 1) @ w + b
    (torch.tanh(y) ** 2).sum().backward()
    for array, wanted in zip(found, (y, table.grad, w.grad, b.grad), strict=True):
        np.testing.assert_allclose(array, wanted.detach().numpy(), 1e-12, 1e-12)


def test_rows_that_are_not_chosen_may_hold_anything() -> None:
    table = TABLE.copy()
    table[2], table[5] = np.nan, np.inf
    indices = np.array([0, 1, 3, 4])[RNG.integers(0, 4, INDICES.shape)]
    step = Step(table=table)
    assert ROWS in step.products()
    for array, wanted in zip(step.function(indices), gr.evaluate(step.outputs, {step.indices: indices}), strict=True):
        assert np.isfinite(array).all()
        np.testing.assert_allclose(array, wanted, 1e-12, 1e-12)


def test_a_bad_index_is_found_where_it_was_given() -> None:
    step = Step()
    bad = INDICES.copy()
    bad[2, 3] = ROWS
    with pytest.raises(gr.IndexFault, match=f"take: the index {ROWS} at flat position 23") as error:
        step.function(bad)
    assert error.value.location is not None
    assert "gr.take(table, indices" in Path(__file__).read_text().splitlines()[error.value.location.line - 1]


def test_not_for_few_indices() -> None:
    assert ROWS not in Step((1, 5)).products()


def test_not_without_derivatives() -> None:
    indices = gr.placeholder(INDICES.shape, "int64")
    graph = Graph.of([indices], [formula(gr.parameter(TABLE), gr.parameter(W), gr.parameter(B), indices)])
    after = Simplify()(graph)
    assert [node.inputs[0].shape[0] for node in after.nodes if node.op.name == "matmul"] == [INDICES.size]


@pytest.mark.parametrize(
    "build",
    [
        lambda x, w, b: gr.reshape(x, (20, 2 * WIDTH)) @ np.ones((2 * WIDTH, 2)),  # rows side by side
        lambda x, w, b: gr.transpose(x, (0, 2, 1)) @ np.ones((10, 2)),  # along other axes
        lambda x, w, b: gr.tanh(x) @ w,
    ],
)
def test_what_stays(build: Callable[..., Value]) -> None:
    indices = gr.placeholder(INDICES.shape, "int64")
    table, w, b = (gr.parameter(array) for array in (TABLE, W, B))
    y = build(gr.take(table, indices, axis=0), w, b)
    outputs = [y, *gr.grad((y * y).sum(), [table])]
    function = gr.compile([indices], outputs)
    assert all(node.inputs[0].shape[0] != ROWS for node in function.graph.nodes if node.op.name == "matmul")
    for array, wanted in zip(function(INDICES), gr.evaluate(outputs, {indices: INDICES}), strict=True):
        np.testing.assert_allclose(array, wanted, 1e-12, 1e-12)


@pytest.mark.parametrize("other", [np.ones(WIDTH), np.ones((10, WIDTH)), np.ones((4, 1, WIDTH)), np.ones((1,))])
def test_rows_that_are_added_to(other: np.ndarray) -> None:
    indices = gr.placeholder(INDICES.shape, "int64")
    table, row = gr.parameter(TABLE), gr.parameter(other)
    for y in (gr.take(table, indices, axis=0) + row, row + gr.take(table, indices, axis=0)):
        outputs = [y, *gr.grad((y * y).sum(), [table, row])]
        function = gr.compile([indices], outputs)
        for array, wanted in zip(function(INDICES), gr.evaluate(outputs, {indices: INDICES}), strict=True):
            np.testing.assert_allclose(array, wanted, 1e-12, 1e-12)
