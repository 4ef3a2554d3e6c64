"""Sliding windows and their adjoint, against naive loops, NumPy, SciPy and PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import scipy.signal

import graphc as gr
from graphc.errors import DTypeError, ShapeError
from graphc.ir.graph import Value
from tests.ir.ops.agreement import agree, numbers, same
from tests.support import check_against_torch

each = pytest.mark.parametrize


def naive_windows(
    x: np.ndarray, sizes: Sequence[int], axes: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> np.ndarray:
    """Item by item."""
    shape = list(x.shape)
    for axis, size, stride, dilation in zip(axes, sizes, strides, dilations, strict=True):
        starts = [at for at in range(0, x.shape[axis], stride) if at + dilation * (size - 1) < x.shape[axis]]
        shape[axis] = len(starts)
    result = np.empty((*shape, *sizes), x.dtype)
    for place in np.ndindex(result.shape):
        at = list(place[: x.ndim])
        for axis, item, stride, dilation in zip(axes, place[x.ndim :], strides, dilations, strict=True):
            at[axis] = at[axis] * stride + item * dilation
        result[place] = x[tuple(at)]
    return result


CASES = [
    ((7,), (3,), (0,), (1,), (1,)),
    ((7,), (1,), (0,), (1,), (1,)),
    ((7,), (7,), (0,), (4,), (1,)),
    ((9,), (3,), (0,), (2,), (3,)),
    ((4, 6), (2,), (1,), (2,), (2,)),
    ((6, 4), (2,), (0,), (3,), (1,)),
    ((5, 6), (2, 3), (0, 1), (1, 1), (1, 1)),
    ((5, 6), (2, 3), (1, 0), (2, 1), (3, 2)),
    ((2, 5, 3, 6), (2, 2), (1, 3), (2, 2), (1, 2)),
    ((4, 5, 4), (2, 3, 2), (2, 0, 1), (1, 1, 2), (2, 1, 1)),
    ((0, 5), (2,), (1,), (1,), (1,)),
    ((2, 5, 0), (3,), (1,), (2,), (1,)),
]


@each(("shape", "sizes", "axes", "strides", "dilations"), CASES)
def test_windows_are_those_of_naive_loops(shape: Any, sizes: Any, axes: Any, strides: Any, dilations: Any) -> None:
    x = numbers(*shape)
    wanted = naive_windows(x, sizes, axes, strides, dilations)
    value = gr.placeholder(shape, "float64")
    windows = gr.sliding_window(value, sizes, axes, strides, dilations)
    assert windows.shape == wanted.shape
    same(gr.evaluate(windows, {value: x}), wanted)
    same(gr.compile([value], windows)(x), wanted)


@each(("shape", "sizes", "axes", "strides", "dilations"), CASES)
def test_gradient_counts_how_often_an_item_is_read(
    shape: Any, sizes: Any, axes: Any, strides: Any, dilations: Any
) -> None:
    """With items that say where they come from, every window item must return to its own place."""
    positions = np.arange(np.prod(shape)).reshape(shape)
    read = naive_windows(positions, sizes, axes, strides, dilations)
    cotangent = numbers(*read.shape).round()
    wanted = np.zeros(positions.size)
    np.add.at(wanted, read.ravel(), cotangent.ravel())
    value = gr.placeholder(shape, "float64")
    gradient = gr.vjp(gr.sliding_window(value, sizes, axes, strides, dilations), value, gr.constant(cotangent))
    same(gr.evaluate(gradient, {value: np.zeros(shape)}), wanted.reshape(shape))
    same(gr.compile([value], gradient)(np.zeros(shape)), wanted.reshape(shape))


@each(
    ("window", "axis"), [(3, 0), (2, -1), ((2,), 1), ((2, 3), (0, -1)), ((3, 2), (2, 1)), ((2, 2, 2), None), ((), ())]
)
def test_windows_of_stride_1_are_those_of_numpy(window: Any, axis: Any) -> None:
    def reference(x: np.ndarray) -> np.ndarray:
        return np.lib.stride_tricks.sliding_window_view(x, window, axis)

    agree(lambda x: gr.sliding_window(x, window, axis), reference, numbers(3, 4, 5))
    agree(lambda x: gr.sliding_window(x, window, axis), reference, numbers(3, 4, 5, dtype="float32") > 0)


@each("shape", [(9,), (6, 8), (4, 5, 6)])
@each("window", [1, 2, 3])
def test_products_with_windows_are_the_correlation_of_scipy(shape: tuple[int, ...], window: int) -> None:
    x, weight = numbers(*shape), numbers(*(window,) * len(shape))
    value = gr.placeholder(shape, "float64")
    axes = tuple(range(-len(shape), 0))
    result = gr.sum(gr.sliding_window(value, weight.shape) * weight, axes)
    wanted = scipy.signal.correlate(x, weight, "valid", "direct")
    np.testing.assert_allclose(gr.evaluate(result, {value: x}), wanted, 1e-12, 1e-12)
    np.testing.assert_allclose(gr.compile([value], result)(x), wanted, 1e-12, 1e-12)


@each("kernel", [(2, 2), (3, 1)])
@each("stride", [1, (2, 3)])
@each("dilation", [1, (1, 2)])
def test_two_axes_and_the_adjoint_are_unfold_and_fold_of_pytorch(kernel: Any, stride: Any, dilation: Any) -> None:
    import torch

    size = (7, 8)
    x = numbers(2, 3, *size)
    value = gr.placeholder(x.shape, "float64")
    windows = gr.sliding_window(value, kernel, (2, 3), stride, dilation)
    places = windows.shape[2:4]

    def ours(x: Value) -> Value:
        cut = gr.sliding_window(x, kernel, (2, 3), stride, dilation)
        return gr.reshape(gr.transpose(cut, (0, 1, 4, 5, 2, 3)), (2, 3 * kernel[0] * kernel[1], -1))

    def theirs(x: Any) -> Any:
        return torch.nn.functional.unfold(x, kernel, dilation, 0, stride)

    def ours_back(columns: Value) -> Value:
        cut = gr.transpose(gr.reshape(columns, (2, 3, *kernel, *places)), (0, 1, 4, 5, 2, 3))
        return gr.overlap_add(cut, size, (2, 3), stride, dilation)

    def theirs_back(columns: Any) -> Any:
        return torch.nn.functional.fold(columns, size, kernel, dilation, 0, stride)

    check_against_torch(ours, theirs, [x])
    check_against_torch(ours_back, theirs_back, [theirs(torch.tensor(x)).numpy()])


def test_overlap_add_undoes_windows_that_do_not_overlap() -> None:
    x = numbers(3, 12)
    value = gr.placeholder(("n", 12), "float64")
    windows = gr.sliding_window(value, 4, 1, stride=4)
    assert str(windows.type) == "float64[n, 3, 4]"
    function = gr.compile([value], gr.overlap_add(windows, 12, 1, stride=4))
    for rows in (x, x[:1], x[:0]):
        same(function(rows), rows)


def test_overlap_add_of_integers_wraps_in_their_dtype() -> None:
    windows = np.full((4, 2), 100, np.int8)
    value = gr.placeholder((4, 2), "int8")
    wanted = np.array([100, -56, -56, -56, 100], np.int8)
    same(gr.evaluate(gr.overlap_add(value, 5), {value: windows}), wanted)
    same(gr.compile([value], gr.overlap_add(value, 5))(windows), wanted)


def test_gradient_of_moving_means_for_any_length() -> None:
    """The cotangent that overlap_add reads here is a scalar of each window, spread over its items."""
    x = gr.placeholder((None, "length"), "float64")
    means = gr.mean(gr.sliding_window(x, 5, 1), -1)
    results = [means, gr.vjp(means, x, gr.cos(means))]
    function = gr.compile([x], results)
    for shape in ((2, 5), (1, 40), (3, 1000), (0, 6)):
        array = numbers(*shape)
        for found, wanted in zip(function(array), gr.evaluate(results, {x: array}), strict=True):
            np.testing.assert_allclose(found, wanted, 1e-11, 1e-11)


def test_windows_and_adjoint_of_symbolic_sizes() -> None:
    x = gr.placeholder(("n", "m"))
    windows = gr.sliding_window(x, 3, 1, stride=2, dilation=2)
    assert str(windows.type) == "float32[n, (m + 1)//2 - 2, 3]"
    assert gr.overlap_add(windows, x.shape[1], 1, 2, 2).shape == x.shape


def test_an_axis_shorter_than_its_window_is_an_error_when_its_size_is_known_at_last() -> None:
    x = gr.placeholder((2, "length"))
    value = gr.sliding_window(x, 3, 1)
    function = gr.compile([x], value)
    assert function(np.zeros((2, 3), "float32")).shape == (2, 1, 3)
    for call in (function, lambda array: gr.evaluate(value, {x: array})):
        with pytest.raises(ShapeError, match="spans 3 items of axis 1, which has 2"):
            call(np.zeros((2, 2), "float32"))


X = (4, 5)


@each(
    ("call", "found", "advice"),
    [
        (lambda x: gr.sliding_window(x, 3), "window=3 for all 2 axes", "axis="),
        (lambda x: gr.sliding_window(x, (2, 2), 0), "window=(2, 2) for axis=0", "one size for each axis"),
        (lambda x: gr.sliding_window(x, 2, (0, 1)), "window=2 for axis=(0, 1)", "one size for each axis"),
        (lambda x: gr.sliding_window(x, 6, 1), "spans 6 items of axis 1, which has 5", "smaller window"),
        (lambda x: gr.sliding_window(x, 3, 1, dilation=3), "with gaps of 2 spans 7 items of axis 1", "gr.pad"),
        (lambda x: gr.sliding_window(x, (2, 2), (1, -1)), "axis=(1, -1) names one axis twice", "each axis once"),
        (lambda x: gr.sliding_window(x, 2, 2), "axis 2 does not exist", "from -2 to 1"),
        (lambda x: gr.sliding_window(x, 0, 1), "sliding_window: window 0", "at least 1"),
        (lambda x: gr.sliding_window(x, 2.5, 1), "sliding_window: window 2.5 is a float", "an integer"),
        (lambda x: gr.sliding_window(x, "2", 1), "window '2' is a str", "an integer"),
        (lambda x: gr.sliding_window(x, 2, 1, stride=0), "sliding_window: stride 0", "at least 1"),
        (lambda x: gr.sliding_window(x, 2, 1, stride=True), "sliding_window: stride True is a bool", "an integer"),
        (lambda x: gr.sliding_window(x, 2, 1, dilation=(1, 2)), "dilation (1, 2)", "1 of them: one for each axis"),
        (lambda x: gr.overlap_add(x, 9, 0), "4 windows of 5 items on axis 0", "5 windows"),
        (lambda x: gr.overlap_add(x, 3, 0), "spans 5 items of axis 0, which has 3", "at least one window"),
        (lambda x: gr.overlap_add(x, (3, 3), 0), "axis 0 does not exist", "the array is 0-d"),
        (lambda x: gr.overlap_add(x, 8, stride=0), "overlap_add: stride 0", "at least 1"),
        (lambda x: gr.overlap_add(x, [None]), "the size (None,) holds None", "take the size from a value"),
        (lambda x: gr.overlap_add(x > 0, 8), "an operand of dtype bool", "cast it"),
    ],
)
def test_a_bad_call_is_explained(call: Callable[[Value], Value], found: str, advice: str) -> None:
    with pytest.raises((ShapeError, DTypeError)) as raised:
        call(gr.placeholder(X))
    assert found in raised.value.found
    assert advice in f"{raised.value.expected} {raised.value.remedy}"
    assert raised.value.location is not None
    assert raised.value.location.filename == __file__
