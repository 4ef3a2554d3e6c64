"""The product routine: all layouts and sizes around its blocks, any cut, and numbers that must not leak."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest

from graphc.runtime.jit.loader import load
from graphc.runtime.kernels.product import DEPTH, product_routine
from graphc.runtime.kernels.registers import panel_width

DTYPES = {"f32": np.float32, "f64": np.float64}


def multiply(
    kind: str, a: np.ndarray, b: np.ndarray, c: np.ndarray, alpha: float = 1.0, beta: float = 0.0
) -> np.ndarray:
    """``beta * c + alpha * a @ b`` into c, for operands of any strides."""
    [address] = load([product_routine(kind)])
    number = ctypes.c_float if kind == "f32" else ctypes.c_double
    routine = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 11, number, number)(address)
    size = c.itemsize
    strides = [stride // size for array in (a, b) for stride in array.strides]
    (m, k), n = a.shape, b.shape[1]
    routine(
        a.ctypes.data,
        *strides[:2],
        b.ctypes.data,
        *strides[2:],
        c.ctypes.data,
        c.strides[0] // size,
        m,
        n,
        k,
        alpha,
        beta,
    )
    return c


def operands(kind: str, m: int, k: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=shape).astype(DTYPES[kind]) for shape in ((m, k), (k, n), (m, n)))
    return a, b, c


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("m", [0, 1, 5, 6, 7, 13, 24])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 15, 16, 17, 50])
@pytest.mark.parametrize("k", [0, 1, 8, 9, DEPTH, DEPTH + 1, 2 * DEPTH + 3])
def test_sizes_around_blocks(kind: str, m: int, k: int, n: int) -> None:
    a, b, c = operands(kind, m, k, n)
    expected = 0.5 * c.astype(np.float64) - 2.0 * (a.astype(np.float64) @ b.astype(np.float64))
    tolerance = 1e-4 if kind == "f32" else 1e-11
    np.testing.assert_allclose(multiply(kind, a, b, c, -2.0, 0.5), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", DTYPES)
def test_every_layout(kind: str) -> None:
    m, k, n = 20, 70, 40
    a, b, c = operands(kind, m, k, n)
    expected = a @ b
    layouts = (
        lambda x: x,
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(np.repeat(x, 2, 0), 3, 1)[::2, ::3],
        lambda x: np.asfortranarray(np.repeat(x, 2, 1))[:, ::2],
    )
    for left, right in itertools.product(layouts, repeat=2):
        np.testing.assert_allclose(multiply(kind, left(a), right(b), c), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", DTYPES)
def test_old_items_do_not_count_where_beta_is_zero(kind: str) -> None:
    a, b, c = operands(kind, 7, 5, 19)
    c[:] = np.nan
    assert np.isfinite(multiply(kind, a, b, c)).all()
    c[:] = np.inf
    assert np.isinf(multiply(kind, a, b, c, 1.0, 1.0)).all()


def test_nothing_outside_is_written() -> None:
    a, b, _ = operands("f32", 7, 33, 21)
    room = np.full((11, 40), 7.0, np.float32)
    multiply("f32", a, b, room[2:9, 3:24])
    outside = np.ones(room.shape, bool)
    outside[2:9, 3:24] = False
    assert (room[outside] == 7.0).all()
    np.testing.assert_allclose(room[2:9, 3:24], a @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", DTYPES)
def test_cutting_changes_no_bit(kind: str) -> None:
    m, k, n = 40, 2 * DEPTH + 10, 5 * panel_width(kind) + 3
    a, b, c = operands(kind, m, k, n)
    whole = multiply(kind, a, b, c.copy())
    for cut in (2, 6, 17):
        rows = np.concatenate([multiply(kind, a[i : i + cut], b, c[i : i + cut].copy()) for i in range(0, m, cut)])
        assert rows.tobytes() == whole.tobytes()
    columns = np.concatenate([multiply(kind, a, b[:, j : j + 9], c[:, j : j + 9].copy()) for j in range(0, n, 9)], 1)
    assert columns.tobytes() == whole.tobytes()


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("n", [1, 40])
def test_cutting_a_row_or_a_column_changes_no_bit(kind: str, n: int) -> None:
    k = 2 * DEPTH + 11
    for transposed in (False, True):
        a, b, _ = operands(kind, 1, k, n)
        b = np.asfortranarray(b) if transposed else b
        whole = multiply(kind, a, b, np.zeros((1, n), DTYPES[kind]))
        np.testing.assert_allclose(whole, a.astype(np.float64) @ b.astype(np.float64), rtol=1e-4, atol=1e-4)
        parts = [
            multiply(kind, a, b[:, j : j + 7], np.zeros((1, n), DTYPES[kind])[:, j : j + 7]) for j in range(0, n, 7)
        ]
        assert np.concatenate(parts, 1).tobytes() == whole.tobytes()
        column = multiply(kind, b.T, a.T, np.zeros((n, 1), DTYPES[kind]))
        assert column.tobytes() == whole.tobytes()


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("transposed", [False, True])
def test_sizes_around_the_blocks_for_the_second_cache(kind: str, transposed: bool) -> None:
    m, k, n = 96 + 7, DEPTH + 5, 16 * panel_width(kind) + panel_width(kind) + 3
    a, b, c = operands(kind, m, k, n)
    wide = np.zeros((k, 1024), DTYPES[kind])  # columns of a transposed matrix are a page apart
    wide[:, :m] = a.T
    expected = 2.0 * c.astype(np.float64) + a.astype(np.float64) @ b.astype(np.float64)
    left = wide[:, :m].T if transposed else a
    tolerance = 1e-4 if kind == "f32" else 1e-11
    np.testing.assert_allclose(multiply(kind, left, b, c, 1.0, 2.0), expected, rtol=tolerance, atol=tolerance)


def test_nan_and_infinity_stay_in_their_rows_and_columns() -> None:
    a, b, c = operands("f32", 13, 20, 33)
    a[12, 3], b[5, 32] = np.nan, np.inf
    result = multiply("f32", a, b, c)
    expected = np.zeros((13, 33), bool)
    expected[12], expected[:, 32] = True, True
    np.testing.assert_array_equal(~np.isfinite(result), expected)
