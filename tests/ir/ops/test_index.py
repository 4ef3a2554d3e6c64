from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import graphc as gr
from tests.ir.ops.agreement import agree, numbers, same
from tests.support import check_against_torch

Array = np.ndarray

# --- basic indexing

SHAPES = npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
KEYED = SHAPES.flatmap(
    lambda shape: st.tuples(st.just(shape), npst.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
)


@given(KEYED)
def test_basic_keys_are_those_of_numpy(keyed: tuple[tuple[int, ...], Any]) -> None:
    shape, key = keyed
    x = np.arange(float(np.prod(shape))).reshape(shape)
    agree(lambda v: v[key], lambda v: np.asarray(v[key]), x)


@given(KEYED)
def test_gradients_of_basic_keys(keyed: tuple[tuple[int, ...], Any]) -> None:
    shape, key = keyed
    array = np.arange(float(np.prod(shape))).reshape(shape)
    weights = np.asarray(numbers(*shape)[key])
    expected = np.zeros(shape)
    expected[key] = weights
    for given_shape in (shape, tuple(f"n{axis}" for axis in range(len(shape)))):
        x = gr.placeholder(given_shape, "float64")
        g = gr.placeholder(x[key].shape, "float64")
        same(gr.evaluate(gr.vjp(x[key], x, g), {x: array, g: weights}), expected)


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        np.int32(1),
        slice(None),
        (),
        ...,
        None,
        (None, ..., None),
        (0, ...),
        (..., 0),
        (1, ..., -2),
        (slice(1, None, 2), None, 1),
        (0, 1, 2),
        (slice(None, None, -1), slice(-1, 0, -2)),
    ],
    ids=str,
)
def test_keys(key: Any) -> None:
    agree(lambda x: x[key], lambda x: x[key], numbers(2, 3, 5))


def test_a_key_that_keeps_everything_gives_the_value_itself() -> None:
    x = gr.placeholder(("n", 3))
    assert x[...] is x
    assert x[:, :] is x
    assert x[()] is x


def test_iteration_and_length() -> None:
    x = gr.placeholder((2, 3), "float64")
    rows = gr.evaluate(list(x), {x: numbers(2, 3)})
    for row, expected in zip(rows, numbers(2, 3), strict=True):
        same(row, expected)


# --- integers whose place is checked early or late


@pytest.mark.parametrize(("key", "axis"), [(2, 0), (-3, 0), ((0, 3), 1), ((..., 7), 1)])
def test_an_integer_outside_a_known_size_is_refused_at_once(key: Any, axis: int) -> None:
    with pytest.raises(gr.ShapeError, match=f"is outside axis {axis}"):
        gr.placeholder((2, 3))[key]


def test_an_integer_of_an_empty_axis() -> None:
    with pytest.raises(gr.ShapeError, match="the axis is empty"):
        gr.placeholder((0, 3))[0]


@pytest.mark.parametrize("key", [0, 2, -1, -3])
def test_an_integer_of_a_symbolic_size_is_checked_at_run_time(key: int) -> None:
    x = gr.placeholder((2, "n"), "float64")
    y = x[:, key]
    assert y.shape == (2,)
    for size in range(5):
        a = numbers(2, size)
        if -size <= key < size:
            same(gr.evaluate(y, {x: a}), a[:, key])
        else:
            with pytest.raises(gr.IndexFault, match=f"index {key}"):
                gr.evaluate(y, {x: a})


def test_an_integer_known_to_exist_in_a_symbolic_size_is_a_view() -> None:
    x = gr.placeholder(("n", 3))
    grown = gr.concatenate([x, x[:1] * 0, gr.zeros((1, 3))])
    assert grown.shape[0] != x.shape[0]
    assert "take" not in {node.op.name for node in gr.Graph.of([x], [grown[0], grown[-1]]).nodes}


def test_a_symbolic_position() -> None:
    x = gr.placeholder(("n", 2), "float64")
    n = x.shape[0]
    a = numbers(5, 2)
    same(gr.evaluate(x[n - 1], {x: a}), a[4])
    same(gr.evaluate(x[-n], {x: a}), a[0])
    same(gr.evaluate(x[n // 2, 1], {x: a}), a[2, 1])
    with pytest.raises(gr.IndexFault, match="index 5"):
        gr.evaluate(x[n], {x: a})


# --- arrays as keys


@pytest.mark.parametrize(
    "key",
    [
        [0, 1, 1],
        np.array([-1, 0]),
        np.array([[1, 0], [0, 0]]),
        (slice(None), [2, 0]),
        ([1], slice(None, None, -1)),
        (0, [1, 2]),
        ([0, 1], 2),
        (slice(None), [0, 2], 1),
        (0, slice(None), [1, 3]),
        (0, None, [1, 2]),
        ([0, 1], ..., 0),
        (..., [0, 1]),
        (None, [0, 1], ..., 2, None),
        (0, ..., [[1, 2], [3, 3]]),
        (slice(1), np.array(2), [0, 1]),
        (np.array(1), slice(None), np.array(2)),
        [],
    ],
    ids=str,
)
def test_one_array_of_integers(key: Any) -> None:
    agree(lambda x: x[key], lambda x: x[key], numbers(2, 3, 4))


def test_a_value_as_key() -> None:
    x, i = gr.placeholder((5, 3), "float64"), gr.placeholder(("k",), "int32")
    j = gr.placeholder((), "int64")
    a = numbers(5, 3)
    feeds = {x: a, i: np.array([4, -5, 0], np.int32), j: np.array(-2)}
    same(gr.evaluate(x[i], feeds), a[[4, -5, 0]])
    same(gr.evaluate(x[i, 1], feeds), a[[4, -5, 0], 1])
    same(gr.evaluate(x[j], feeds), a[-2])
    same(gr.evaluate(x[1:, j], feeds), a[1:, -2])
    same(gr.evaluate(x[j, i % 3], feeds), a[-2, [1, 1, 0]])
    with pytest.raises(gr.IndexFault, match="index 5, item 1 "):
        gr.evaluate(x[i], {**feeds, i: np.array([0, 5, 6], np.int32)})


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (True, "True"),
        (np.array([True, False]), "bool[2]"),
        ([True, False], "bool[2]"),
        (1.0, "1.0"),
        ([0.5], "float32[1]"),
        ("a", "'a'"),
        (([0], [0]), "several arrays"),
    ],
    ids=str,
)
def test_keys_of_other_kinds_are_refused(key: Any, words: str) -> None:
    with pytest.raises(gr.DTypeError) as error:
        gr.placeholder((2, 3))[key]
    assert words in str(error.value)
    assert "gr.take" in str(error.value) and "gr.gather" in str(error.value)


def test_a_condition_as_key_is_refused() -> None:
    x = gr.placeholder((2, 3))
    with pytest.raises(gr.DTypeError, match=r"gr\.where"):
        x[x > 0]


def test_too_many_entries() -> None:
    x = gr.placeholder((2, 3))
    with pytest.raises(gr.ShapeError, match="3 indices for an array of 2 axes"):
        x[0, 0, 0]
    with pytest.raises(gr.ShapeError, match="stands 2 times"):
        x[..., ...]


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
    "index": lambda x: x[1, ::-2],
    "index by array": lambda x: x[::2, [0, 0, -1]],
    "take": lambda x: gr.take(x, [[0, 1], [-1, 0]], 0),
    "take flat": lambda x: gr.take(x, [5, 0, 5]),
    "gather": lambda x: gr.gather(x, [[0, 0, 1], [1, -1, 2], [0, 0, 0]]),
    "index_add": lambda x: gr.index_add(x, [0, 0, 2], x * x),
    "scatter_add": lambda x: gr.scatter_add(x, [[0, 0, 1, 1], [2, 2, 2, 2], [0, 1, 2, -1]], x * x),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name: str) -> None:
    gr.check_gradients(lambda x: GRADIENTS[name](x) ** 2, [numbers(3, 4) / 9], order=2)


def test_gradient_of_a_position_in_a_symbolic_size() -> None:
    x = gr.placeholder(("n", 2), "float64")
    slope = gr.grad(gr.sum(x[-1] * x[0]), x)
    a = numbers(4, 2)
    same(gr.evaluate(slope, {x: a}), np.stack([a[3], a[0] * 0, a[0] * 0, a[0]]))


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
