from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from tests.support import check_against_torch

X = np.random.default_rng(0).normal(size=(2, 3, 4))
AXES: list[Any] = [None, 0, 1, -1, (0, 2), (2, 1), (0, 1, 2), ()]


def evaluate(build: Any, array: np.ndarray) -> np.ndarray:
    x = gr.placeholder(array.shape, array.dtype.name)
    result: np.ndarray = gr.evaluate(build(x), {x: array})
    return result


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "any", "all", "mean", "var", "std"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int8", "bool"])
def test_results_and_dtypes_are_numpys(name: str, axis: Any, keepdims: bool, dtype: str) -> None:
    array = (2 * X).astype(dtype)
    found = evaluate(lambda x: getattr(gr, name)(x, axis, keepdims=keepdims), array)
    if name in ("var", "std") and dtype == "bool":
        array = array.astype("int64")  # NumPy has no difference of bools
    wanted = np.asarray(getattr(np, name)(array, axis=axis, keepdims=keepdims))
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, 1e-6 if dtype == "float32" else 1e-13, 1e-6 if dtype == "float32" else 0)


def test_methods_of_values() -> None:
    x = gr.placeholder(X.shape, "float64")
    for name in ("sum", "prod", "max", "min", "any", "all", "mean", "var", "std"):
        found = gr.evaluate(getattr(x, name)(axis=1, keepdims=True), {x: X})
        np.testing.assert_allclose(found, getattr(X, name)(axis=1, keepdims=True), 1e-13)
    np.testing.assert_array_equal(gr.evaluate(x.argmax(), {x: X}), X.argmax())
    np.testing.assert_array_equal(gr.evaluate(x.argmin(2), {x: X}), X.argmin(2))
    np.testing.assert_allclose(gr.evaluate(x.cumsum(1), {x: X}), X.cumsum(1))


def test_uint8_is_summed_as_int64() -> None:
    array = np.full((5,), 200, np.uint8)
    found = evaluate(gr.sum, array)
    assert found.dtype == np.int64
    assert found == 1000


def test_reductions_of_nothing() -> None:
    nothing = np.zeros((3, 0))
    np.testing.assert_array_equal(evaluate(lambda x: gr.sum(x, 1), nothing), [0, 0, 0])
    np.testing.assert_array_equal(evaluate(lambda x: gr.prod(x, 1), nothing), [1, 1, 1])
    np.testing.assert_array_equal(evaluate(lambda x: gr.any(x, 1), nothing), [False] * 3)
    np.testing.assert_array_equal(evaluate(lambda x: gr.all(x, 1), nothing), [True] * 3)
    assert evaluate(lambda x: gr.max(x, 0), nothing).shape == (0,)


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_extreme_of_nothing_is_an_error(name: str) -> None:
    with pytest.raises(gr.ShapeError, match=rf"{name}: axis 1 of shape \(3, 0\) has no items"):
        getattr(gr, name)(gr.placeholder((3, 0)), 1)


def test_extreme_of_nothing_known_at_run_time() -> None:
    x = gr.placeholder(("n",))
    with pytest.raises(gr.ShapeError, match=r"max: axis 0 of shape \(0,\) has no items"):
        gr.evaluate(gr.max(x), {x: np.zeros(0)})


def test_wrong_axes() -> None:
    x = gr.placeholder((3, 4))
    with pytest.raises(gr.ShapeError, match="axis 2 does not exist in an array of 2 axes"):
        gr.sum(x, 2)
    with pytest.raises(gr.ShapeError, match="name one axis twice"):
        gr.sum(x, (0, -2))


# --- gradients -------------------------------------------------------------------------------------

ONE_ZERO, TWO_ZEROS = X.copy(), X.copy()
ONE_ZERO[1, 2, 3] = 0
TWO_ZEROS[1, 2, 2:] = 0
TIES = np.round(X)


@pytest.mark.parametrize("axis", [None, 1, (0, 2)])
def test_sum_against_torch(axis: Any) -> None:
    check_against_torch(lambda x: gr.sum(x, axis), lambda x: x.sum(axis), [X])
    check_against_torch(lambda x: gr.mean(x, axis, keepdims=True), lambda x: x.mean(axis, keepdim=True), [X])


@pytest.mark.parametrize("array", [X, ONE_ZERO, TWO_ZEROS, np.zeros((2, 3, 4))], ids=["", "zero", "zeros", "all zeros"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_prod_against_torch(array: np.ndarray, axis: int) -> None:
    check_against_torch(lambda x: gr.prod(x, axis), lambda x: x.prod(axis), [array])
    check_against_torch(gr.prod, torch.prod, [array])
    check_against_torch(lambda x: gr.prod(x, (0, 2)), lambda x: x.prod(2).prod(0), [array])


def test_second_derivatives_of_prod_with_zeros() -> None:
    values = np.array([2.0, 0.0, 3.0, 0.0])
    x = gr.placeholder((4,), "float64")
    first = gr.grad(gr.prod(x), x)
    hessian = gr.evaluate([gr.grad(first[i], x) for i in range(4)], {x: values})
    others = [[np.prod([values[k] for k in range(4) if k not in (i, j)]) for j in range(4)] for i in range(4)]
    np.testing.assert_array_equal(hessian, np.array(others) * (1 - np.eye(4)))


def test_third_derivative_of_prod() -> None:
    x = gr.placeholder((3,), "float64")
    second = gr.grad(gr.grad(gr.prod(x), x)[0], x)
    third = gr.grad(second[1], x)
    np.testing.assert_array_equal(gr.evaluate(third, {x: np.array([0.0, 5.0, 7.0])}), [0, 0, 1])


@pytest.mark.parametrize("array", [X, TIES, np.zeros((2, 3, 4))], ids=["", "ties", "all tied"])
@pytest.mark.parametrize("axis", [0, (1, 2), (0, 1, 2)])
def test_ties_share_the_gradient_as_in_torch(array: np.ndarray, axis: Any) -> None:
    check_against_torch(lambda x: gr.max(x, axis), lambda x: x.amax(axis), [array])
    check_against_torch(lambda x: gr.min(x, axis, True), lambda x: x.amin(axis, True), [array])


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "max"])
def test_0d_against_torch(name: str) -> None:
    check_against_torch(getattr(gr, name), getattr(torch, name), [np.array(1.5)])


@pytest.mark.parametrize("name", ["sum", "prod"])
def test_empty_against_torch(name: str) -> None:
    check_against_torch(lambda x: getattr(gr, name)(x, 0), lambda x: getattr(torch, name)(x, 0), [np.zeros((0, 3))])


def test_nan_of_extremes_is_numpys() -> None:
    array = np.array([[1.0, np.nan, 2.0], [3.0, 4.0, 5.0]])
    np.testing.assert_array_equal(evaluate(lambda x: gr.max(x, 1), array), [np.nan, 5])
    np.testing.assert_array_equal(evaluate(lambda x: gr.min(x, 1), array), [np.nan, 3])
    x = gr.placeholder(array.shape, "float64")
    gradient = gr.evaluate(gr.grad(gr.max(x, 1)[1], x), {x: array})
    np.testing.assert_array_equal(gradient, [[0, 0, 0], [0, 0, 1]])
