"""Loop kernels: every arrangement of kept and reduced axes, broadcasting and strides, against the reference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import graphc as gr
from graphc.runtime.kernels.loops import BLOCK

DTYPES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8"]


def check(inputs: list[gr.Value], outputs: list[gr.Value], arrays: list[np.ndarray], rtol: float = 1e-5) -> gr.Function:
    function = gr.compile(inputs, outputs)
    expected = gr.evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    for got, want in zip(function(*arrays), expected, strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(got, want, rtol=rtol if want.dtype.kind == "f" else 0, atol=1e-6)
    return function


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axes", [a for r in range(1, 5) for a in itertools.combinations(range(4), r)])
def test_reduction_over_every_set_of_axes(axes: tuple[int, ...], keepdims: bool) -> None:
    x = gr.placeholder((3, "n", 4, 5))
    array = np.random.default_rng(0).normal(size=(3, 7, 4, 5)).astype(np.float32)
    y = gr.tanh(x)
    check([x], [(y * x).sum(axes, keepdims=keepdims), y, x.max(axes, keepdims=keepdims)], [array])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", [gr.sum, gr.prod, gr.max, gr.min, gr.any, gr.all])
def test_reduction_of_every_dtype(reduction: object, dtype: str) -> None:
    x = gr.placeholder(("n", 3), dtype)
    array = np.random.default_rng(1).integers(0, 3, (5, 3)).astype(dtype)
    assert callable(reduction)
    check([x], [reduction(x, 0), reduction(x, 1), reduction(x)], [array])


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 1, 5 * BLOCK + 17])
def test_full_reduction_in_blocks(size: int) -> None:
    x = gr.placeholder(("n",), "float64")
    array = np.random.default_rng(2).normal(size=size)
    check([x], [x.sum(), (x * x).sum()], [array], rtol=1e-12)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 127, 128, 129, 1000])
def test_reduction_of_rows_in_blocks(rows: int, keepdims: bool) -> None:
    x, w = gr.placeholder(("n", 2, 32, 4), "float64"), gr.placeholder((32, 4), "float64")
    rng = np.random.default_rng(2)
    y = gr.exp(x) * w
    values = [
        y.sum((0, 1), keepdims=keepdims),
        y,
        x.max(0, keepdims=keepdims),
        (y * x).sum((0, 1), keepdims=keepdims).T,
    ]
    function = check([x, w], values[: 4 if rows else 2], [rng.normal(size=(rows, 2, 32, 4)), rng.normal(size=(32, 4))])
    blocks = -(-rows * 2 // (BLOCK // 128))
    assert any(step.name == "combine" for step in function.plan.steps)
    assert any(step.extent == blocks for step in function.plan.steps)


def test_blocks_of_rows_that_lie_in_any_order() -> None:
    x = gr.placeholder(("n", 70, 30), "float64")
    array = np.random.default_rng(3).normal(size=(50, 70, 30))
    y = x.transpose((2, 0, 1))
    check([x], [y.sum(1), y.sum((0, 1)), (y * y).sum((1, 2)), y[::2].sum(1), gr.exp(y).sum(1, keepdims=True)], [array])


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_reduction_of_nothing(shape: tuple[int, int]) -> None:
    x = gr.placeholder(("n", "m"))
    array = np.zeros(shape, np.float32)
    check([x], [x.sum(0), x.sum(1), x.sum(), x.prod(0), gr.any(x > 0, 1), gr.all(x > 0)], [array])


def test_extremes_of_nan_and_infinity() -> None:
    x = gr.placeholder((4, 3))
    nan, inf = np.nan, np.inf
    array = np.array([[1, nan, 2], [inf, 1, -inf], [-inf, -inf, -inf], [nan, nan, nan]], np.float32)
    check([x], [x.max(1), x.min(1), x.max(0), x.min(0), x.sum(1), gr.isnan(x).sum(0)], [array])


def test_strided_and_repeated_operands() -> None:
    x, y = gr.placeholder((4, 6)), gr.placeholder((6, 4))
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((4, 6), (6, 4))]
    z = x.T[::-1, 1::2] * y[:, :2] + y[2, 3] - x[1][:, None]
    check([x, y], [z, gr.exp(z).sum(0), x[::2, ::-3] + 1.0], arrays)


def test_output_of_an_input_and_twice_the_same() -> None:
    x = gr.placeholder((2, 3))
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    first, second, third = gr.compile([x], [x, x.T, x])(array)
    np.testing.assert_array_equal(first, array)
    np.testing.assert_array_equal(second, array.T)
    assert first is not third
    assert not np.shares_memory(first, array)
    y = gr.exp(x)
    one, two = gr.compile([x], [y, y])(array)
    assert not np.shares_memory(one, two)
    np.testing.assert_array_equal(one, two)


def test_sizes_do_not_enter_the_source() -> None:
    """One kernel serves all sizes and all values of constants, so graphs that differ in those share it."""
    texts = set()
    for width, rate in ((3, 0.1), (70, 0.2)):
        x = gr.placeholder(("n", width))
        texts.add(tuple(gr.compile([x], (gr.tanh(x) * rate).sum(1)).sources().values()))
    assert len(texts) == 1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_change_the_bits(threads: int) -> None:
    x, w = gr.placeholder(("n", 300)), gr.placeholder((300, 200))
    y = gr.tanh(x @ w)
    function = gr.compile([x, w], [y.sum(), y.sum(0), y.mean(1), y])
    rng = np.random.default_rng(4)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((500, 300), (300, 200))]
    before = gr.get_num_threads()
    try:
        gr.set_num_threads(1)
        expected = function(*arrays)
        gr.set_num_threads(threads)
        for got, want in zip(function(*arrays), expected, strict=True):
            assert got.tobytes() == want.tobytes()
    finally:
        gr.set_num_threads(before)
