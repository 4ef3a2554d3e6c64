from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr
from tests.support import check_against_torch

X = np.random.default_rng(0).normal(size=(2, 3, 4))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_places_of_extremes_are_numpys(name: str, axis: int | None, keepdims: bool) -> None:
    holes = np.where(X > 1, np.nan, X)
    for array in (X, holes, np.round(X), np.round(X).astype(np.int8), X > 0):
        x = gr.placeholder(array.shape, array.dtype.name)
        found = gr.evaluate(getattr(gr, name)(x, axis, keepdims=keepdims), {x: array})
        wanted = np.asarray(getattr(np, name)(array, axis, keepdims=keepdims))
        assert found.dtype == np.int64
        assert found.shape == wanted.shape
        np.testing.assert_array_equal(found, wanted)


def test_place_of_a_symbolic_axis() -> None:
    x = gr.placeholder(("rows", "columns"))
    place = gr.argmax(x)
    for shape in ((2, 3), (5, 1)):
        array = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        assert gr.evaluate(place, {x: array}) == array.argmax()


def test_places_have_no_gradient() -> None:
    x = gr.placeholder((3,), "float64")
    place = gr.cast(gr.argmax(x), "float64")
    np.testing.assert_array_equal(gr.evaluate(gr.grad(place, x), {x: np.arange(3.0)}), [0, 0, 0])


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", "int64", "bool"])
def test_cumsum_is_numpys(axis: int | None, dtype: str) -> None:
    array = (2 * X).astype(dtype)
    x = gr.placeholder(array.shape, dtype)
    found = gr.evaluate(gr.cumsum(x, axis), {x: array})
    wanted = np.cumsum(array, axis)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, 1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cumsum_against_torch(axis: int) -> None:
    check_against_torch(lambda x: gr.cumsum(x, axis), lambda x: x.cumsum(axis), [X])
    check_against_torch(lambda x: gr.cumsum(x, 0), lambda x: x.cumsum(0), [X[:0]])


def test_wrong_axis() -> None:
    x = gr.placeholder((3, 4))
    calls: list[Any] = [gr.argmax, gr.argmin, gr.cumsum]
    for call in calls:
        with pytest.raises(gr.ShapeError, match="axis 5 does not exist"):
            call(x, 5)
