from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

import graphc as gr
from tests.nn.agreement import agree, randomized

RNG = np.random.default_rng(0)
INDICES = np.array([[0, 4, 4, 2], [2, 1, 0, 4]])


@pytest.mark.parametrize("padding", [None, 0, 2, -1, 3])
def test_equals_pytorch(padding: int | None) -> None:
    theirs = randomized(torch.nn.Embedding(5, 3, padding_idx=padding))
    agree(gr.nn.Embedding(5, 3, padding, dtype="float64"), theirs, [INDICES])
    agree(gr.nn.Embedding(5, 3, padding, dtype="float64"), theirs, [np.array(2)])
    agree(gr.nn.Embedding(5, 3, padding, dtype="float64"), theirs, [np.zeros((0, 2), np.int64)])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
def test_negative_indices_are_padding_too(dtype: str) -> None:
    layer = gr.nn.Embedding(5, 3, padding_idx=4, init=gr.nn.init.ones)
    indices = np.array([4, 3] if dtype == "uint8" else [-1, 3]).astype(dtype)
    assert gr.evaluate(layer(indices)).tolist() == [[0, 0, 0], [1, 1, 1]]
    slope = gr.evaluate(gr.grad(gr.sum(layer(indices) * 2.0), layer.weight))
    assert slope.sum(-1).tolist() == [0, 0, 0, 6, 0]


@pytest.mark.parametrize(
    "optimizer", [gr.optim.SGD(0.1), gr.optim.Adam(0.1)], ids=lambda optimizer: type(optimizer).__name__
)
def test_the_row_for_padding_stays_at_zero(optimizer: gr.optim.Optimizer) -> None:
    layer = gr.nn.Embedding(6, 4, padding_idx=1, rng=0)
    assert not layer.weight.value[1].any()
    assert layer.weight.value.any(-1).sum() == 5
    ids = gr.placeholder(("n", 3), "int64")
    loss = gr.sum((layer(ids) - 1.0) ** 2)
    step = gr.compile([ids], loss, updates=optimizer.updates(loss, layer.parameters()))
    losses = [float(step(np.array([[1, 2, 3], [1, 1, 5]]))) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert not layer.weight.value[1].any()


@pytest.mark.parametrize("padding", [None, 7])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_descent_follows_pytorch(momentum: float, padding: int | None) -> None:
    """Also with indices that stand several times in a batch, and rows that are never used."""
    theirs = randomized(torch.nn.Embedding(20, 3, padding))
    layer = gr.nn.Embedding(20, 3, padding, dtype="float64")
    layer.load_state_dict(theirs.state_dict())
    ids = gr.placeholder(("n", "t"), "int64")
    target = gr.placeholder(("n", "t", 3), "float64")
    loss = gr.mean((gr.tanh(layer(ids)) - target) ** 2)
    step = gr.compile([ids, target], loss, updates=gr.optim.SGD(0.5, momentum).updates(loss, layer.parameters()))
    optimizer = torch.optim.SGD(theirs.parameters(), 0.5, momentum)
    for shape in ((2, 3), (4, 5), (1, 1), (3, 30)):
        indices, goal = RNG.integers(0, 10, shape), RNG.standard_normal((*shape, 3))
        optimizer.zero_grad()
        wanted = ((torch.tanh(theirs(torch.tensor(indices))) - torch.tensor(goal)) ** 2).mean()
        wanted.backward()
        optimizer.step()
        np.testing.assert_allclose(step(indices, goal), wanted.item(), 1e-12)
        np.testing.assert_allclose(layer.weight.value, theirs.weight.detach().numpy(), 1e-12)


def test_descent_stores_no_gradient_with_padding_either() -> None:
    layer = gr.nn.Embedding(10_000, 8, padding_idx=0)
    ids = gr.placeholder((4,), "int64")
    loss = gr.sum(layer(ids) ** 2)
    step = gr.compile([ids], loss, updates=gr.optim.SGD(0.1).updates(loss, layer.parameters()))
    assert step.plan.arena_bytes < 10_000
    assert [each.name for each in step.plan.steps].count("index_add") == 1


def test_starts_standard_normal() -> None:
    assert gr.nn.Embedding(300, 200).weight.value.std() == pytest.approx(1.0, rel=0.02)
    narrow = gr.nn.Embedding(300, 200, init=partial(gr.nn.init.normal, std=0.1))
    assert narrow.weight.value.std() == pytest.approx(0.1, rel=0.02)


def test_a_table_given_by_an_initializer_is_not_changed() -> None:
    table = np.ones((3, 2))
    layer = gr.nn.Embedding(3, 2, 1, init=lambda shape, rng: table)
    assert layer.weight.value.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert table.all()


def test_indices_and_rows_that_do_not_exist() -> None:
    layer = gr.nn.Embedding(5, 3, padding_idx=2)
    with pytest.raises(gr.IndexFault):
        gr.evaluate(layer(np.array([5])))
    with pytest.raises(gr.DTypeError, match="indices of dtype float32"):
        layer(gr.placeholder((2,)))
    for rows, padding in ((5, 5), (5, -6), (0, 0)):
        with pytest.raises(gr.ShapeError, match=f"{rows} rows with padding_idx={padding}"):
            gr.nn.Embedding(rows, 3, padding)


def test_repr() -> None:
    assert repr(gr.nn.Embedding(5, 3)) == "Embedding(5, 3)"
    assert repr(gr.nn.Embedding(5, 3, -1)) == "Embedding(5, 3, padding_idx=4)"
