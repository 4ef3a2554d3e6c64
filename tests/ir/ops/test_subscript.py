from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import graphc as gr
from tests.ir.ops.agreement import agree, numbers, same
from tests.support import check_against_torch

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
    assert __file__ in str(error.value)
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


# --- gradients


@pytest.mark.parametrize(
    "key", [(1, slice(None, None, -2)), (slice(None, None, 2), [0, 0, -1]), (..., None, 3)], ids=str
)
def test_gradient(key: Any) -> None:
    gr.check_gradients(lambda x: x[key] ** 2, [numbers(3, 4) / 9], order=2)


@pytest.mark.parametrize("key", [(1, slice(None, None, 2)), (slice(1, None), None, [0, 0, -1]), (..., 3)], ids=str)
def test_against_torch(key: Any) -> None:
    check_against_torch(lambda x: gr.exp(x[key]), lambda x: x[key].exp(), [numbers(3, 4) / 9])


def test_gradient_of_a_position_in_a_symbolic_size() -> None:
    x = gr.placeholder(("n", 2), "float64")
    slope = gr.grad(gr.sum(x[-1] * x[0]), x)
    a = numbers(4, 2)
    same(gr.evaluate(slope, {x: a}), np.stack([a[3], a[0] * 0, a[0] * 0, a[0]]))
