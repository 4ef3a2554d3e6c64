from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from tests.ir.ops.agreement import agree, numbers, same
from tests.support import check_against_torch

Array = np.ndarray

# --- take, gather and their adjoints


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("indices", [[0, 2, -3], 1, -1, [[0, 1], [2, -2]], []], ids=str)
def test_take(axis: int | None, indices: Any) -> None:
    integers = np.asarray(indices, np.int64)
    agree(lambda x: gr.take(x, indices, axis), lambda x: np.take(x, integers, axis), numbers(3, 4, 3))
    agree(lambda x: x.take(indices, axis), lambda x: np.take(x, integers, axis), numbers(3, 4, 3))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8"])
def test_take_by_indices_of_each_dtype(dtype: str) -> None:
    i = np.array([1, 0, 2], dtype)
    agree(lambda x, i: gr.take(x, i, 0), lambda x, i: np.take(x, i, 0), numbers(3, 2), i)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather(axis: int) -> None:
    rng = np.random.default_rng(0)
    x = numbers(3, 4, 5)
    for length in (0, 1, 6):
        shape = [3, 4, 5]
        shape[axis] = length
        i = rng.integers(-x.shape[axis], x.shape[axis], shape)
        agree(
            lambda x, i: gr.gather(x, i, axis),
            lambda x, i: np.take_along_axis(x, i, axis),
            x,
            i,
            symbolic=False,
        )


@pytest.mark.parametrize(
    ("x_shape", "shape", "axis"),
    [((3, 4), (1, 2), 1), ((1, 4), (3, 2), 1), ((4, 1), (2, 3), 0), ((2, 1, 3), (1, 4, 2), 2)],
)
def test_gather_broadcasts(x_shape: tuple[int, ...], shape: tuple[int, ...], axis: int) -> None:
    i = np.random.default_rng(0).integers(0, x_shape[axis], shape)
    agree(lambda x: gr.gather(x, i, axis), lambda x: np.take_along_axis(x, i, axis), numbers(*x_shape), symbolic=False)


def test_gather_of_symbolic_sizes() -> None:
    x, i = gr.placeholder(("n", "m"), "float64"), gr.placeholder(("n", None), "int64")
    a, j = numbers(3, 5), np.array([[0], [-1], [4]])
    same(gr.evaluate(gr.gather(x, i), {x: a, i: j}), np.take_along_axis(a, j, 1))


def _added(x: Array, indices: Array, updates: Array, axis: int) -> Array:
    result = np.moveaxis(x.copy(), axis, 0)
    np.add.at(result, indices, np.moveaxis(updates, range(axis, axis + indices.ndim), range(indices.ndim)))
    return np.moveaxis(result, 0, axis)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("indices", [np.array([2, 0, -1, 2]), np.array(1), np.array([[0, 1], [-3, 0]])], ids=str)
def test_index_add(axis: int, indices: Array) -> None:
    x = numbers(3, 4)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    updates = numbers(*shape, seed=4)
    expected = _added(x, indices, updates, axis)
    agree(lambda x, u: gr.index_add(x, indices, u, axis), lambda x, u: expected, x, updates, symbolic=False)


def test_index_add_broadcasts_and_promotes() -> None:
    x = gr.constant(np.zeros((3, 2), np.float32))
    same(gr.evaluate(gr.index_add(x, [0, 0, 2], 1)), np.array([[2, 2], [0, 0], [1, 1]], np.float32))
    same(gr.evaluate(gr.index_add(x, [1], np.array([1.5, 2.5]))), np.array([[0, 0], [1.5, 2.5], [0, 0]]))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scatter_add(axis: int) -> None:
    rng = np.random.default_rng(0)
    x = numbers(3, 4, 2)
    shape = list(x.shape)
    shape[axis] = 5
    indices = rng.integers(-x.shape[axis], x.shape[axis], shape)
    updates = rng.normal(size=shape)
    expected = x.copy()
    for place in np.ndindex(*shape):
        target = list(place)
        target[axis] = indices[place]
        expected[tuple(target)] += updates[place]
    agree(lambda x, i, u: gr.scatter_add(x, i, u, axis), lambda x, i, u: expected, x, indices, updates, symbolic=False)


def test_scatter_add_broadcasts() -> None:
    x = gr.constant(np.zeros((2, 3)))
    same(gr.evaluate(gr.scatter_add(x, [[0, 0, 2]], 1.0)), np.array([[2.0, 0, 1], [2, 0, 1]]))
    same(gr.evaluate(gr.scatter_add(x, [[1], [2]], np.array([1.0, 2.0]))), np.array([[0, 3.0, 0], [0, 0, 3]]))


@pytest.mark.parametrize(
    ("build", "kind", "words"),
    [
        (lambda x: gr.take(x, [0.5], 0), gr.DTypeError, "indices of dtype float32"),
        (lambda x: gr.take(x, x > 0, 0), gr.DTypeError, "indices of dtype bool"),
        (lambda x: gr.take(x, 0, 2), gr.ShapeError, "axis 2 does not exist"),
        (lambda x: gr.gather(x, [0]), gr.ShapeError, "indices of 1 axes"),
        (lambda x: gr.gather(x, np.zeros((3, 1), int)), gr.ShapeError, "do not broadcast"),
        (lambda x: gr.gather(x, x), gr.DTypeError, "indices of dtype float32"),
        (lambda x: gr.index_add(x, [0], np.zeros((2, 3), np.float32)), gr.ShapeError, "does not broadcast"),
        (lambda x: gr.index_add(x > 0, [0], True), gr.DTypeError, "updates of dtype bool"),
        (lambda x: gr.scatter_add(x, [[0]], np.zeros((3, 1), np.float32)), gr.ShapeError, "do not broadcast"),
        (lambda x: gr.scatter_add(x, [0], x), gr.ShapeError, "indices of 1 axes"),
        (lambda x: gr.take(x[0, 0], 0, 0), gr.ShapeError, "no axis: the array is 0-d"),
    ],
)
def test_refused(build: Callable[[gr.Value], gr.Value], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as error:
        build(gr.placeholder((2, 3)))
    assert words in str(error.value)
    assert __file__ in str(error.value)


@pytest.mark.parametrize("wrong", [3, -4, 100, -(2**40)])
def test_an_index_outside_its_axis_is_a_fault(wrong: int) -> None:
    x, i = gr.placeholder((3, 2), "float64"), gr.placeholder((2,), "int64")
    feeds = {x: numbers(3, 2), i: np.array([0, wrong])}
    j = gr.expand_dims(i, 1)
    for value in (gr.take(x, i, 0), gr.gather(x, j, 0), gr.index_add(x, i, 1.0), gr.scatter_add(x, j, 1.0, 0)):
        with pytest.raises(gr.IndexFault) as error:
            gr.evaluate(value, feeds)
        assert str(wrong) in str(error.value)
    with pytest.raises(IndexError, match="the axis is empty"):
        gr.evaluate(gr.take(x[:0], i, 0), feeds)


# --- one_hot


@pytest.mark.parametrize("axis", [-1, 0, 1, 2])
def test_one_hot(axis: int) -> None:
    labels = np.array([[0, 2, 1], [3, -1, 0]])
    expected = np.moveaxis((labels[..., None] == np.arange(3)).astype(np.float32), -1, axis)
    agree(lambda t: gr.one_hot(t, 3, axis), lambda t: expected, labels)
    agree(lambda t: gr.one_hot(t, 3, axis, "bool"), lambda t: expected.astype(bool), labels)


def test_one_hot_of_a_scalar_and_of_symbolic_classes() -> None:
    same(gr.evaluate(gr.one_hot(1, 3)), np.array([0, 1, 0], np.float32))
    x, t = gr.placeholder((2, "c")), gr.placeholder((2,), "uint8")
    hot = gr.one_hot(t, x.shape[1], dtype=x.dtype)
    assert hot.shape == x.shape
    same(
        gr.evaluate(hot + 0 * x, {x: numbers(2, 4, dtype="float32"), t: np.array([3, 0], np.uint8)}),
        np.eye(4, dtype="f")[[3, 0]],
    )
    with pytest.raises(gr.DTypeError, match="indices of dtype float32"):
        gr.one_hot(x, 3)


# --- gradients

GRADIENTS: dict[str, Callable[[gr.Value], gr.Value]] = {
    "take": lambda x: gr.take(x, [[0, 1], [-1, 0]], 0),
    "take flat": lambda x: gr.take(x, [5, 0, 5]),
    "gather": lambda x: gr.gather(x, [[0, 0, 1], [1, -1, 2], [0, 0, 0]]),
    "index_add": lambda x: gr.index_add(x, [0, 0, 2], x * x),
    "scatter_add": lambda x: gr.scatter_add(x, [[0, 0, 1, 1], [2, 2, 2, 2], [0, 1, 2, -1]], x * x),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name: str) -> None:
    gr.check_gradients(lambda x: GRADIENTS[name](x) ** 2, [numbers(3, 4) / 9], order=2)


INDICES = np.array([[0, 3, 3], [1, 0, 2], [2, 2, 2]])

PEERS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "take": (lambda x, u: gr.take(x, INDICES[1], 1), lambda x, u: x.index_select(1, torch.tensor(INDICES[1]))),
    "gather": (lambda x, u: gr.gather(x, INDICES), lambda x, u: x.gather(1, torch.tensor(INDICES))),
    "index_add": (
        lambda x, u: gr.index_add(x, INDICES[0], u, 1),
        lambda x, u: x.index_add(1, torch.tensor(INDICES[0]), u),
    ),
    "scatter_add": (
        lambda x, u: gr.scatter_add(x, INDICES, u),
        lambda x, u: x.scatter_add(1, torch.tensor(INDICES), u),
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_against_torch(name: str) -> None:
    build, torch_build = PEERS[name]
    check_against_torch(
        lambda x, u: gr.exp(build(x, u)), lambda x, u: torch_build(x, u).exp(), [numbers(3, 4) / 9, numbers(3, 3) / 9]
    )
