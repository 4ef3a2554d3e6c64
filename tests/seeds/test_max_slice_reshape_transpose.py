"""The figures of a walk-through about max, slices, reshape and transpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from examples.seeds.max_slice_reshape_transpose import ROW, TABLE, value_and_gradient
from tests.support import check_against_torch

HALF, THIRD, SIXTH = 1 / 2, 1 / 3, 1 / 6


def test_max_shares_the_gradient_equally_among_ties() -> None:
    assert ROW == [1, 2, 3, 9, 7, 9, 2]
    largest, gradient = value_and_gradient(lambda x: x.max(), ROW)
    assert largest == 9.0
    assert gradient.tolist() == [0, 0, 0, HALF, 0, HALF, 0]


def test_each_of_six_nines_gets_a_sixth() -> None:
    assert TABLE == [[1, 1, 8, 9, 1], [4, 5, 9, 9, 8], [8, 6, 9, 7, 9], [8, 6, 1, 9, 8]]
    largest, gradient = value_and_gradient(lambda x: x.max(), TABLE)
    assert largest == 9.0
    assert np.count_nonzero(gradient) == 6
    np.testing.assert_allclose(gradient, np.where(np.array(TABLE) == 9, SIXTH, 0.0), rtol=1e-15)


def test_max_along_axis_0() -> None:
    largest, gradient = value_and_gradient(lambda x: x.max(axis=0), TABLE)
    assert largest.tolist() == [8, 6, 9, 9, 9]
    wanted = [
        [0, 0, 0, THIRD, 0],
        [0, 0, HALF, THIRD, 0],
        [HALF, HALF, HALF, 0, 1],
        [HALF, HALF, 0, THIRD, 0],
    ]
    np.testing.assert_allclose(gradient, wanted, rtol=1e-15)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_max_with_ties_is_that_of_pytorch(axis: int | None) -> None:
    def theirs(x: Any) -> Any:
        return x.amax() if axis is None else x.amax(dim=axis)

    check_against_torch(lambda x: x.max(axis=axis), theirs, [np.array(TABLE, float)])


INDICES: dict[str, tuple[Any, list[Any]]] = {
    "an integer": (3, ROW),
    "a negative integer": (-2, ROW),
    "a slice": (slice(1, 4), ROW),
    "a slice with a step": (slice(None, None, 2), ROW),
    "a row": (2, TABLE),
    "two integers": ((1, 3), TABLE),
    "rows": (slice(1, 3), TABLE),
    "a slice and an integer": ((slice(1, 3), 2), TABLE),
    "an integer and a slice": ((0, slice(2, 5)), TABLE),
    "two slices": ((slice(1, 3), slice(1, 4)), TABLE),
    "a column": ((slice(None), 0), TABLE),
}


@pytest.mark.parametrize("what", INDICES)
def test_the_gradient_is_zero_outside_an_index(what: str) -> None:
    key, data = INDICES[what]
    chosen, gradient = value_and_gradient(lambda x: x[key], data)
    wanted = np.zeros(np.shape(data))
    wanted[key] = 1.0
    np.testing.assert_array_equal(chosen, np.array(data, float)[key])
    np.testing.assert_array_equal(gradient, wanted)


@pytest.mark.parametrize("what", INDICES)
def test_indexing_is_that_of_pytorch(what: str) -> None:
    key, data = INDICES[what]
    if isinstance(key, tuple):
        check_against_torch(lambda x: x[key], lambda x: x[key], [np.array(data, float)])
    else:
        check_against_torch(lambda x: x[(key,)], lambda x: x[key], [np.array(data, float)])


REARRANGED: dict[str, tuple[Callable[[Any], Any], tuple[int, ...], tuple[int, ...]]] = {
    "reshape (9) to (3, 3)": (lambda x: x.reshape((3, 3)), (9,), (3, 3)),
    "reshape (2, 6) to (4, 3)": (lambda x: x.reshape((4, 3)), (2, 6), (4, 3)),
    "transpose of (2, 3)": (lambda x: x.transpose((1, 0)), (2, 3), (3, 2)),
    "transpose of (2, 6, 1) by (0, 2, 1)": (lambda x: x.transpose((0, 2, 1)), (2, 6, 1), (2, 1, 6)),
}


@pytest.mark.parametrize("what", REARRANGED)
def test_rearranged_items_and_their_gradients(what: str) -> None:
    """Factors differ from item to item, so the gradient shows where each item went."""
    function, shape, wanted_shape = REARRANGED[what]
    data = np.random.default_rng(0).standard_normal(shape)
    factors = np.random.default_rng(1).standard_normal(wanted_shape)
    result, gradient = value_and_gradient(lambda x: function(x) * factors, data)
    np.testing.assert_allclose(result, function(data) * factors, rtol=1e-15)
    places = function(np.arange(data.size).reshape(shape))
    wanted = np.zeros(data.size)
    wanted[places] = factors
    np.testing.assert_array_equal(gradient, wanted.reshape(shape))


def test_an_index_outside_is_refused() -> None:
    with pytest.raises(gr.ShapeError, match="7"):
        gr.placeholder((7,))[7]
