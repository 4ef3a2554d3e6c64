from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.ir.ops.creation import iota
from tests.ir.ops.agreement import agree, numbers, same

FLOATS = ["float32", "float64"]
NUMBERS = ["int8", "int16", "int32", "int64", "uint8", *FLOATS]


def value_of(value: gr.Value) -> np.ndarray:
    result: np.ndarray = gr.evaluate(value)
    return result


# --- ranges


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("size", [0, 1, 100])
def test_iota(size: int, dtype: str) -> None:
    same(value_of(iota(size, dtype)), np.arange(size).astype(dtype))


def test_iota_refuses() -> None:
    with pytest.raises(gr.DTypeError, match="dtype bool"):
        iota(3, "bool")
    with pytest.raises(gr.ShapeError):
        iota(-1)


@pytest.mark.parametrize(
    "bounds",
    [(5,), (0,), (-3,), (2, 7), (7, 2), (2, 9, 3), (9, 2, -3), (0, -5, -1), (0, 5, -1), (-4, 4, 2), (np.int64(6),)],
    ids=str,
)
def test_arange(bounds: tuple[int, ...]) -> None:
    same(value_of(gr.arange(*bounds)), np.arange(*bounds))
    for dtype in ("int32", "float32"):
        same(value_of(gr.arange(*bounds, dtype=dtype)), np.arange(*bounds).astype(dtype))


@pytest.mark.parametrize("bounds", [(0.0, 1.0, 0.25), (3.5,), (1, 2, 0.5), (2.0, 1.0, -0.25), (1.0, 0.0)], ids=str)
def test_arange_of_floats(bounds: tuple[float, ...]) -> None:
    same(value_of(gr.arange(*bounds)), np.arange(*bounds, dtype=np.float32))
    same(value_of(gr.arange(*bounds, dtype="float64")), np.arange(*bounds, dtype=np.float64))


@pytest.mark.parametrize("size", [0, 1, 2, 5, 8])
def test_arange_of_symbolic_bounds(size: int) -> None:
    x = gr.placeholder(("n",), "int64")
    n = x.shape[0]
    built = [gr.arange(n), gr.arange(2, n), gr.arange(1, n + 1, 3), gr.arange(n, 2 * n), gr.arange(n, 2, -2)]
    wanted = [range(size), range(2, size), range(1, size + 1, 3), range(size, 2 * size), range(size, 2, -2)]
    found = gr.evaluate([value + 0 * gr.sum(x) for value in built], {x: np.zeros(size, np.int64)})
    for actual, expected in zip(found, wanted, strict=True):
        same(actual, np.array(expected, np.int64))
    assert gr.arange(n).shape == x.shape


@pytest.mark.parametrize(
    "bounds", [("a",), (0, None, 1.5j), (0.5, gr.placeholder(("n",)).shape[0]), (gr.constant(3),), (True,)], ids=str
)
def test_arange_refuses(bounds: Any) -> None:
    with pytest.raises(gr.DTypeError, match="arange"):
        gr.arange(*bounds)


def test_arange_in_steps_of_zero() -> None:
    with pytest.raises(gr.ShapeError, match="steps of 0"):
        gr.arange(0, 5, 0)


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("num", [0, 1, 2, 3, 7, 50])
@pytest.mark.parametrize("dtype", FLOATS)
def test_linspace(num: int, endpoint: bool, dtype: str) -> None:
    found = value_of(gr.linspace(-1.5, 4.1, num, endpoint, dtype))
    expected = np.linspace(-1.5, 4.1, num, endpoint, dtype=dtype)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-14)
    if num:
        assert found[0] == np.dtype(dtype).type(-1.5)
    if num > 1 and endpoint:
        assert found[-1] == np.dtype(dtype).type(4.1)


def test_linspace_of_a_symbolic_length_and_symbolic_ends() -> None:
    x, low, high = gr.placeholder(("n",), "float64"), gr.placeholder((), "float64"), gr.placeholder((), "float64")
    y = gr.linspace(low, high, x.shape[0]) + 0 * x
    assert y.shape == x.shape
    for size in (0, 1, 2, 6):
        found = gr.evaluate(y, {x: np.zeros(size), low: 1.0, high: 2.5})
        np.testing.assert_allclose(found, np.linspace(1, 2.5, size), rtol=1e-14)
    gr.check_gradients(lambda a, b: gr.linspace(a, b, 5), [np.array(1.0), np.array(3.0)])


def test_linspace_dtypes() -> None:
    assert gr.linspace(0, 1, 3).dtype == gr.float32
    assert gr.linspace(np.float64(0), 1, 3).dtype == gr.float64
    with pytest.raises(gr.DTypeError, match="float dtype"):
        gr.linspace(0, 1, 3, dtype="int64")
    with pytest.raises(gr.DTypeError, match="scalars"):
        gr.linspace(np.zeros(2), 1, 3)


# --- constants of a shape


@pytest.mark.parametrize("shape", [(), 3, (3,), (2, 0), (2, 3), [1, 2]], ids=str)
@pytest.mark.parametrize("dtype", [*NUMBERS, "bool"])
def test_zeros_ones_full(shape: Any, dtype: str) -> None:
    same(value_of(gr.zeros(shape, dtype)), np.zeros(shape, dtype))
    same(value_of(gr.ones(shape, dtype)), np.ones(shape, dtype))
    same(value_of(gr.full(shape, 7, dtype)), np.full(shape, 7, dtype))
    x = gr.constant(np.zeros(shape, dtype))
    same(value_of(gr.zeros_like(x)), np.zeros(shape, dtype))
    same(value_of(gr.ones_like(x)), np.ones(shape, dtype))
    same(value_of(gr.full_like(x, 7)), np.full(shape, 7, dtype))
    same(value_of(gr.full_like(x, 1.5, "float32")), np.full(shape, 1.5, np.float32))


def test_default_dtypes() -> None:
    assert gr.zeros(2).dtype == gr.ones(2).dtype == gr.eye(2).dtype == gr.full(2, 0.5).dtype == gr.float32
    assert gr.full(2, 1).dtype == gr.arange(2).dtype == gr.int64
    assert gr.full(2, True).dtype == gr.bool_
    assert gr.full(2, np.float64(1)).dtype == gr.float64


def test_full_broadcasts_and_has_a_gradient() -> None:
    same(value_of(gr.full((2, 3), [1, 2, 3])), np.full((2, 3), [1, 2, 3]))
    gr.check_gradients(lambda v: gr.full((2, 3), v) ** 2, [np.array([1.0, 2.0, 3.0])])
    with pytest.raises(gr.ShapeError):
        gr.full((2, 3), [1, 2])


def test_symbolic_shapes() -> None:
    x = gr.placeholder(("n", None), "float64")
    n, m = x.shape
    assert gr.zeros((n, 128)).shape == (n, 128)
    assert gr.ones(("n", m)).shape == (n, m)
    a = numbers(3, 4)
    same(gr.evaluate(gr.full((m, n), 2.0, "float64") + x.T * 0, {x: a}), np.full((4, 3), 2.0))
    same(gr.evaluate(gr.ones_like(x) + x, {x: a}), 1 + a)
    with pytest.raises(gr.ShapeError, match="holds None"):
        gr.zeros((2, None))  # type: ignore[arg-type]


# --- diagonals and triangles


@pytest.mark.parametrize("k", [-5, -1, 0, 2])
@pytest.mark.parametrize(("n", "m"), [(3, None), (2, 4), (4, 2), (0, 3), (1, 1)])
def test_eye(n: int, m: int | None, k: int) -> None:
    same(value_of(gr.eye(n, m, k)), np.eye(n, m, k, dtype=np.float32))
    same(value_of(gr.eye(n, m, k, "bool")), np.eye(n, m, k, dtype=bool))


@pytest.mark.parametrize("k", [-4, -1, 0, 1, 3])
@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (0, 3), (2, 3, 3)])
def test_triangles(shape: tuple[int, ...], k: int) -> None:
    x = numbers(*shape)
    agree(lambda x: gr.tril(x, k), lambda x: np.tril(x, k), x)
    agree(lambda x: gr.triu(x, k), lambda x: np.triu(x, k), x)


@pytest.mark.parametrize("dtype", [*NUMBERS, "bool"])
def test_triangles_keep_the_dtype(dtype: str) -> None:
    agree(gr.tril, np.tril, np.ones((3, 3), dtype))
    agree(gr.triu, np.triu, np.ones((3, 3), dtype))


def test_triangles_hide_what_is_outside() -> None:
    x = np.array([[1.0, np.nan], [np.inf, 2.0]])
    same(value_of(gr.tril(x)), np.array([[1.0, 0.0], [np.inf, 2.0]]))
    same(value_of(gr.triu(x)), np.array([[1.0, np.nan], [0.0, 2.0]]))


def test_triangles_refuse_a_vector() -> None:
    for function in (gr.tril, gr.triu):
        with pytest.raises(gr.ShapeError, match="at least 2 axes"):
            function(gr.placeholder((3,)))


def test_gradients_of_triangles() -> None:
    gr.check_gradients(lambda x: gr.tril(x, 1) ** 2, [numbers(2, 3, 3) / 9], order=2)
    gr.check_gradients(lambda x: gr.triu(x, -1) ** 2, [numbers(4, 3) / 9], order=2)
