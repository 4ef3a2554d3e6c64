"""Pooling against PyTorch: forward, and every gradient."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import graphc as gr
from tests.support import check_against_torch

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 3, 7, 10))

each = pytest.mark.parametrize


def compiled_and_evaluated(build: Callable[[gr.Value], gr.Value], x: np.ndarray, symbolic: bool = True) -> np.ndarray:
    """The result and the gradient by `x`, compiled for sizes left open, after a comparison with the interpreter."""
    value = gr.placeholder([None if symbolic else size for size in x.shape], x.dtype)
    y = build(value)
    results = [y, gr.vjp(y, value, gr.stop_gradient(gr.sin(gr.where(gr.isfinite(y), y, 0.0)) + 1.5))]
    wanted = gr.evaluate(results, {value: x})
    found = gr.compile([value], results)(x)
    for left, right in zip(found, wanted, strict=True):
        assert left.dtype == right.dtype == x.dtype
        np.testing.assert_allclose(left, right, *((1e-12, 1e-14) if x.dtype == np.float64 else (1e-5, 1e-6)))
    return wanted[0]


# --- max_pool --------------------------------------------------------------------------------------------------------

GRID = [
    (kernel, stride, padding, dilation, ceil_mode)
    for kernel, stride, padding, dilation, ceil_mode in itertools.product(
        (1, 2, 3, (3, 2)), (None, 1, 2, (2, 3)), (0, 1, (1, 0)), (1, 2, (1, 3)), (False, True)
    )
    if all(2 * p <= k for p, k in zip(np.broadcast_to(padding, 2), np.broadcast_to(kernel, 2), strict=True))
]


@each(("kernel", "stride", "padding", "dilation", "ceil_mode"), GRID)
def test_max_pool2d_equals_pytorch(kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> None:
    arguments = (kernel, stride, padding, dilation, ceil_mode)
    check_against_torch(lambda x: gr.max_pool2d(x, *arguments), lambda x: F.max_pool2d(x, *arguments), [IMAGES])


@each(("dtype", "arguments"), list(zip(["float32", "float64"] * 4, GRID[::31], strict=True)))
def test_max_pool2d_compiled_for_open_sizes(arguments: tuple[Any, ...], dtype: str) -> None:
    x = IMAGES.astype(dtype)
    found = compiled_and_evaluated(lambda x: gr.max_pool2d(x, *arguments), x)
    np.testing.assert_array_equal(found, F.max_pool2d(torch.tensor(x), *arguments).numpy())


@each("shape", [(5,), (11,), (3, 8), (1, 1, 1)])
@each("options", [{}, {"stride": 1}, {"padding": 1}, {"ceil_mode": True, "stride": 3}])
def test_max_pool_of_one_and_three_axes(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    rank = 1 if len(shape) < 3 else 3
    x = RNG.normal(size=(2, 3, *shape) if rank == 3 else (2, *shape))
    ours, theirs = (gr.max_pool3d, F.max_pool3d) if rank == 3 else (gr.max_pool1d, F.max_pool1d)
    if len(shape) == 1:
        x = x[None]
    kernel = 1 if max(shape) == 1 else 3
    if kernel == 1:
        options = {name: value for name, value in options.items() if name != "padding"}
    check_against_torch(lambda x: ours(x, kernel, **options), lambda x: theirs(x, kernel, **options), [x])
    compiled_and_evaluated(lambda x: ours(x, kernel, **options), x)


@each(("kernel", "stride"), [((2, 3, 2), None), (2, (1, 2, 1)), ((1, 2, 3), 2)])
@each("ceil_mode", [False, True])
def test_max_pool3d_equals_pytorch(kernel: Any, stride: Any, ceil_mode: bool) -> None:
    x = RNG.normal(size=(2, 2, 5, 6, 7))
    options = {"padding": (0, 1, 1), "dilation": (2, 1, 1), "ceil_mode": ceil_mode}
    check_against_torch(
        lambda x: gr.max_pool3d(x, kernel, stride, **options), lambda x: F.max_pool3d(x, kernel, stride, **options), [x]
    )
    compiled_and_evaluated(lambda x: gr.max_pool3d(x, kernel, stride, **options), x)


@each("stride", [1, 2, 3])
@each("dtype", ["float32", "float64"])
def test_the_first_of_equal_items_gets_the_gradient(stride: int, dtype: str) -> None:
    x = np.random.default_rng(1).integers(0, 3, (2, 3, 9, 8)).astype(dtype)
    check_against_torch(lambda x: gr.max_pool2d(x, 3, stride, 1), lambda x: F.max_pool2d(x, 3, stride, 1), [x])
    compiled_and_evaluated(lambda x: gr.max_pool2d(x, 3, stride, 1), x)


@each(("kernel", "padding"), [(2, 1), (3, 0), ((7, 9), (3, 4))])
def test_nan_and_infinities(kernel: Any, padding: Any) -> None:
    rng = np.random.default_rng(2)
    x = rng.choice(np.array([np.nan, np.inf, -np.inf, 0.0, 1.0]), (2, 3, 9, 11), p=[0.05, 0.1, 0.5, 0.25, 0.1])
    x[0, 0] = -np.inf
    check_against_torch(
        lambda x: gr.max_pool2d(x, kernel, 2, padding), lambda x: F.max_pool2d(x, kernel, 2, padding), [x]
    )
    compiled_and_evaluated(lambda x: gr.max_pool2d(x, kernel, 2, padding), x)


def test_a_window_without_items_gives_minus_infinity_and_no_gradient() -> None:
    x = np.array([[1.0, 2.0]])
    found = compiled_and_evaluated(lambda x: gr.max_pool1d(x, 2, 1, 1, 3), x)
    np.testing.assert_array_equal(found, [[-np.inf]])
    value = gr.placeholder((1, 2), "float64")
    np.testing.assert_array_equal(
        gr.compile([value], gr.grad(gr.max_pool1d(value, 2, 1, 1, 3).sum(), value))(x), [[0, 0]]
    )


@each("pool", [gr.max_pool2d, gr.avg_pool2d])
def test_batches_of_none_and_one_and_no_batch(pool: Callable[..., gr.Value]) -> None:
    x = gr.placeholder(("batch", 3, 8, 8), "float64")
    y = pool(x, 2)
    step = gr.compile([x], [y, gr.grad(y.sum(), x)])
    for batch in (0, 1, 5):
        array = RNG.normal(size=(batch, 3, 8, 8))
        pooled, gradient = step(array)
        assert pooled.shape == (batch, 3, 4, 4)
        np.testing.assert_allclose(pooled, gr.evaluate(y, {x: array}))
        assert gradient.shape == array.shape
    np.testing.assert_allclose(gr.evaluate(pool(array[0], 2)), pooled[0])


def test_second_derivatives() -> None:
    x = RNG.normal(size=(2, 3, 6, 5))
    gr.check_gradients(lambda x: gr.max_pool2d(gr.tanh(x), 3, 2, 1) ** 3, [x], order=2, rtol=1e-4, atol=1e-5)
    gr.check_gradients(lambda x: gr.avg_pool2d(x * x, 3, 2, 1, True, False) ** 2, [x], order=2, rtol=1e-4, atol=1e-5)


def test_images_with_the_batch_innermost() -> None:
    stored = RNG.normal(size=(3, 8, 9, 5))
    value = gr.placeholder(stored.shape, "float64")
    images = gr.transpose(value, (3, 0, 1, 2))
    for y in (gr.max_pool2d(images, 3, 2, 1), gr.avg_pool2d(images, 2, 1), gr.adaptive_max_pool2d(images, 4)):
        results = [y, gr.vjp(y, value, y)]
        wanted = gr.evaluate(results, {value: stored})
        for left, right in zip(gr.compile([value], results)(stored), wanted, strict=True):
            np.testing.assert_allclose(left, right, 1e-12, 1e-12)


# --- means -----------------------------------------------------------------------------------------------------------


@each("kernel", [1, 2, 3, (3, 2)])
@each("stride", [None, 1, (2, 3)])
@each("padding", [0, 1, (1, 0)])
@each("ceil_mode", [False, True])
@each("count_include_pad", [False, True])
def test_avg_pool2d_equals_pytorch(
    kernel: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool
) -> None:
    arguments = (kernel, stride, padding, ceil_mode, count_include_pad)
    if any(2 * p > k for p, k in zip(np.broadcast_to(padding, 2), np.broadcast_to(kernel, 2), strict=True)):
        with pytest.raises(gr.ShapeError, match="at most half of the window"):
            gr.avg_pool2d(IMAGES, *arguments)
        return
    check_against_torch(lambda x: gr.avg_pool2d(x, *arguments), lambda x: F.avg_pool2d(x, *arguments), [IMAGES])


@each(
    ("dtype", "options"),
    [
        ("float32", {}),
        ("float32", {"padding": 1}),
        ("float64", {"padding": 1, "ceil_mode": True, "count_include_pad": False, "stride": 2}),
    ],
)
def test_avg_pool2d_compiled_for_open_sizes(options: dict[str, Any], dtype: str) -> None:
    x = IMAGES.astype(dtype)
    found = compiled_and_evaluated(lambda x: gr.avg_pool2d(x, 3, **options), x)
    np.testing.assert_allclose(found, F.avg_pool2d(torch.tensor(x), 3, **options).numpy(), 1e-5, 1e-6)


@each("options", [{}, {"padding": 1}, {"padding": 1, "ceil_mode": True, "count_include_pad": False, "stride": 2}])
def test_avg_pool_of_one_and_three_axes(options: dict[str, Any]) -> None:
    signals, volumes = RNG.normal(size=(2, 3, 11)), RNG.normal(size=(1, 2, 5, 6, 4))
    check_against_torch(lambda x: gr.avg_pool1d(x, 3, **options), lambda x: F.avg_pool1d(x, 3, **options), [signals])
    check_against_torch(lambda x: gr.avg_pool3d(x, 3, **options), lambda x: F.avg_pool3d(x, 3, **options), [volumes])
    compiled_and_evaluated(lambda x: gr.avg_pool3d(x, 3, **options), volumes)


@each("divisor", [1, 5, -2])
def test_divisor_of_its_own(divisor: int) -> None:
    check_against_torch(
        lambda x: gr.avg_pool2d(x, 3, 2, 1, divisor_override=divisor),
        lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=divisor),
        [IMAGES],
    )


def test_nan_and_infinities_stay_in_their_windows() -> None:
    x = RNG.normal(size=(1, 2, 8, 8))
    x[0, 0, 2, 3], x[0, 1, 7, 7] = np.nan, np.inf
    for build, reference in (
        (lambda x: gr.avg_pool2d(x, 3, 2, 1), lambda x: F.avg_pool2d(x, 3, 2, 1)),
        (lambda x: gr.adaptive_avg_pool2d(x, 3), lambda x: F.adaptive_avg_pool2d(x, 3)),
    ):
        np.testing.assert_allclose(compiled_and_evaluated(build, x), reference(torch.tensor(x)).numpy(), 1e-12)


def test_global_avg_pool() -> None:
    found = gr.evaluate(gr.global_avg_pool(IMAGES))
    np.testing.assert_allclose(found, IMAGES.mean((2, 3)), 1e-12)
    assert gr.global_avg_pool(IMAGES, keepdims=True).shape == (2, 3, 1, 1)
    assert gr.global_avg_pool(np.zeros((2, 3, 4))).shape == (2, 3)
    with pytest.raises(gr.ShapeError, match="at least 3 axes"):
        gr.global_avg_pool(np.zeros((2, 3)))


# --- bins ------------------------------------------------------------------------------------------------------------


@each("size", [1, 2, 5, 7, 9, (3, None), (None, 4), (1, 10), (14, 20), None])
def test_adaptive_pooling_equals_pytorch(size: Any) -> None:
    for ours, theirs in (
        (gr.adaptive_avg_pool2d, F.adaptive_avg_pool2d),
        (gr.adaptive_max_pool2d, F.adaptive_max_pool2d),
    ):
        theirs_of = size if size is not None else (None, None)
        check_against_torch(lambda x, f=ours: f(x, size), lambda x, f=theirs, s=theirs_of: f(x, s), [IMAGES])


@each("size", [1, 3, (None, 4)])
@each("symbolic", [False, True])
def test_adaptive_pooling_compiled(size: Any, symbolic: bool) -> None:
    compiled_and_evaluated(lambda x: gr.adaptive_avg_pool2d(x, size), IMAGES, symbolic)
    compiled_and_evaluated(lambda x: gr.adaptive_max_pool2d(x, size), IMAGES.astype(np.float32), symbolic)


@each("size", [1, 2, 3, 4, 7, 13])
def test_adaptive_pooling_of_signals_equals_pytorch(size: int) -> None:
    x = np.round(RNG.normal(size=(2, 3, 11)))
    for ours, theirs in (
        (gr.adaptive_avg_pool1d, F.adaptive_avg_pool1d),
        (gr.adaptive_max_pool1d, F.adaptive_max_pool1d),
    ):
        check_against_torch(lambda x, f=ours: f(x, size), lambda x, f=theirs: f(x, size), [x])


def test_no_bins() -> None:
    value = gr.placeholder((2, 3, 4), "float64")
    y = gr.adaptive_avg_pool1d(value, 0)
    pooled, gradient = gr.compile([value], [y, gr.grad(y.sum(), value)])(np.ones((2, 3, 4)))
    assert pooled.shape == (2, 3, 0)
    np.testing.assert_array_equal(gradient, np.zeros((2, 3, 4)))


def test_equal_bins_are_windows() -> None:
    """They have a faster kernel."""
    assert gr.adaptive_max_pool2d(gr.placeholder(("n", 3, 8, "w")), (4, None)).node.attrs.kernel == (2, 1)


# --- sizes and errors ------------------------------------------------------------------------------------------------


def test_symbolic_sizes() -> None:
    x = gr.placeholder(("n", 3, "h", "w"))
    assert str(gr.max_pool2d(x, 2).type) == "float32[n, 3, h//2, w//2]"
    assert str(gr.max_pool2d(x, 3, 1, 1).type) == "float32[n, 3, h, w]"
    assert str(gr.adaptive_avg_pool2d(x, (3, None)).type) == "float32[n, 3, 3, w]"


@each("size", [1, 2])
def test_no_room_for_a_window(size: int) -> None:
    with pytest.raises(gr.ShapeError, match="spans 3 places") as caught:
        gr.max_pool2d(gr.placeholder((2, 3, 8, size)), 3)
    assert caught.value.location.filename == __file__
    x = gr.placeholder((2, 3, 8, "w"))
    function = gr.compile([x], gr.avg_pool2d(x, 3))
    with pytest.raises(gr.ShapeError, match="spans 3 places"):
        function(np.zeros((2, 3, 8, size), np.float32))


@each("pool", [gr.max_pool2d, gr.avg_pool2d])
def test_wrong_arguments(pool: Callable[..., gr.Value]) -> None:
    x = gr.placeholder((2, 3, 8, 8))
    for wrong, message in (
        ({"kernel_size": 0}, "at least 1"),
        ({"kernel_size": (2, 2, 2)}, "2 of them"),
        ({"kernel_size": 2, "stride": 0}, "at least 1"),
        ({"kernel_size": 2, "padding": -1}, "at least 0"),
        ({"kernel_size": 3, "padding": 2}, "at most half of the window"),
    ):
        with pytest.raises(gr.ShapeError, match=message):
            pool(x, **wrong)
    with pytest.raises(gr.DTypeError, match="integer"):
        pool(x, 2.5)
    with pytest.raises(gr.DTypeError, match="float32 or float64"):
        pool(gr.placeholder((2, 3, 8, 8), "int32"), 2)
    with pytest.raises(gr.ShapeError, match="has 2 axes"):
        pool(gr.placeholder((8, 8)), 2)
    with pytest.raises(gr.ShapeError, match="no items"):
        pool(gr.placeholder((2, 3, 0, 8)), 2, padding=1)


def test_wrong_numbers_of_bins() -> None:
    x = gr.placeholder((2, 3, 8, 8))
    with pytest.raises(gr.ShapeError, match="or 2 of them"):
        gr.adaptive_avg_pool2d(x, (1, 2, 3))
    with pytest.raises(gr.ShapeError, match="at least 0"):
        gr.adaptive_max_pool2d(x, -1)
    with pytest.raises(gr.ShapeError, match="divisor_override=0"):
        gr.avg_pool2d(x, 2, divisor_override=0)
