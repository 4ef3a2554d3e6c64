"""Interpolation against PyTorch: forward, and every gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import graphc as gr
from tests.support import check_against_torch

RNG = np.random.default_rng(0)
SIGNALS, IMAGES, VOLUMES = (RNG.normal(size=shape) for shape in ((2, 3, 7), (2, 3, 5, 8), (1, 2, 3, 4, 5)))

each = pytest.mark.parametrize


def torch_interpolate(x: torch.Tensor, mode: str, align_corners: bool = False, **options: Any) -> torch.Tensor:
    return F.interpolate(x, mode=mode, align_corners=None if mode == "nearest" else align_corners, **options)


def check(x: np.ndarray, mode: Any, align_corners: bool = False, **options: Any) -> None:
    """Against PyTorch, and compiled for known and for open sizes against the interpreter."""

    def build(x: Any) -> gr.Value:
        return gr.interpolate(x, mode=mode, align_corners=align_corners, **options)

    def reference(x: torch.Tensor) -> torch.Tensor:
        return torch_interpolate(x, mode, align_corners, **options)

    check_against_torch(build, reference, [x])
    for array, tolerance in ((x, 1e-12), (x.astype(np.float32), 2e-6)):
        wanted = reference(torch.tensor(array)).numpy()
        for shape in (array.shape, (None,) * array.ndim):
            value = gr.placeholder(shape, array.dtype)
            y = build(value)
            results = [y, gr.vjp(y, value, gr.stop_gradient(gr.sin(y)))]
            found = gr.compile([value], results)(array)
            np.testing.assert_allclose(found[0], wanted, tolerance, tolerance)
            for left, right in zip(found, gr.evaluate(results, {value: array}), strict=True):
                assert left.dtype == right.dtype == array.dtype
                np.testing.assert_allclose(left, right, 10 * tolerance, 10 * tolerance)


MODES = [("nearest", False), ("bilinear", False), ("bilinear", True)]


@each(("mode", "align_corners"), MODES)
@each("size", [1, (5, 8), (10, 16), (15, 4), (3, 3), (7, 11)])
def test_sizes(size: Any, mode: str, align_corners: bool) -> None:
    check(IMAGES, mode, align_corners, size=size)


@each(("mode", "align_corners"), MODES)
@each("factor", [1, 2, 3.0, 0.5, 1.5, (2, 0.75), (1.125, 2.125), (2.25, 1.125)])
def test_scale_factors(factor: Any, mode: str, align_corners: bool) -> None:
    check(IMAGES, mode, align_corners, scale_factor=factor)


@each(("mode", "align_corners"), [("nearest", False), ("linear", False), ("linear", True)])
@each("options", [{"size": 13}, {"size": 3}, {"scale_factor": 2}])
def test_signals(options: dict[str, Any], mode: str, align_corners: bool) -> None:
    check(SIGNALS, mode, align_corners, **options)


@each(("mode", "align_corners"), [("nearest", False), ("trilinear", False), ("trilinear", True)])
@each("options", [{"size": (4, 2, 10)}, {"scale_factor": 2}])
def test_volumes(options: dict[str, Any], mode: str, align_corners: bool) -> None:
    check(VOLUMES, mode, align_corners, **options)


@each("mode", ["nearest", "linear"])
def test_every_pair_of_sizes(mode: Any) -> None:
    for size in range(1, 12):
        x = np.arange(float(size)).reshape(1, 1, size) ** 2
        for count in range(1, 25):
            for align_corners in (False,) if mode == "nearest" else (False, True):
                found = gr.evaluate(gr.interpolate(x, count, mode=mode, align_corners=align_corners))
                wanted = torch_interpolate(torch.tensor(x), mode, align_corners, size=count)
                np.testing.assert_allclose(found, wanted.numpy(), 1e-12, 1e-12)


@each("mode", ["nearest", "linear"])
def test_factors_that_are_not_exact(mode: Any) -> None:
    for factor in (0.3, 0.7, 1.1, 1.9, 2.1, 3.3):
        check_against_torch(
            lambda x, f=factor: gr.interpolate(x, scale_factor=f, mode=mode),
            lambda x, f=factor: torch_interpolate(x, mode, scale_factor=f),
            [RNG.normal(size=(1, 2, 10))],
        )


def test_a_whole_factor_repeats_every_item() -> None:
    """Without the rounding of inverse factors, by which the places of PyTorch are one less here and there."""
    x = np.arange(60.0).reshape(1, 1, 60)
    for options in ({"size": 41 * 60}, {"scale_factor": 41}):
        np.testing.assert_array_equal(gr.evaluate(gr.interpolate(x, **options))[0, 0], np.repeat(x, 41))


def test_nearest_takes_any_dtype() -> None:
    x = np.arange(12, dtype=np.uint8).reshape(1, 1, 3, 4)
    found = gr.evaluate(gr.interpolate(x, (5, 2)))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, F.interpolate(torch.tensor(x), (5, 2)).numpy())


@each("mode", ["nearest", "bilinear"])
def test_nan_and_infinities_stay_in_their_places(mode: Any) -> None:
    x = IMAGES.copy()
    x[0, 0, 2, 3], x[1, 1, 0, 0], x[1, 2, 4, 7] = np.nan, np.inf, -np.inf
    found = gr.compile([], gr.interpolate(gr.constant(x), (9, 12), mode=mode))()
    np.testing.assert_allclose(found, torch_interpolate(torch.tensor(x), mode, size=(9, 12)).numpy(), 1e-12)


def test_batches_of_none_and_symbolic_sizes() -> None:
    x = gr.placeholder(("n", 3, "h", "w"))
    y = gr.interpolate(x, scale_factor=(2, 0.5), mode="bilinear")
    assert str(y.type) == "float32[n, 3, 2*h, w//2]"
    assert gr.compile([x], y)(np.zeros((0, 3, 4, 6), np.float32)).shape == (0, 3, 8, 3)
    assert str(gr.interpolate(x, (x.shape[3], 7)).type) == "float32[n, 3, w, 7]"
    assert gr.interpolate(x, (x.shape[2], x.shape[3])) is x


def test_second_derivative() -> None:
    gr.check_gradients(lambda x: gr.interpolate(x * x, (7, 5), mode="bilinear") ** 2, [IMAGES], order=2, rtol=1e-4)


@each(
    ("options", "message"),
    [
        ({}, "one of them"),
        ({"size": 3, "scale_factor": 2}, "one of them"),
        ({"size": (3, 4, 5)}, "for 2 axes"),
        ({"scale_factor": (1, 2, 3)}, "for 2 axes"),
        ({"size": 0}, "at least 1"),
        ({"scale_factor": 0.1}, "at least 1"),
        ({"scale_factor": -2}, "a positive number"),
        ({"scale_factor": float("nan")}, "a positive number"),
        ({"size": 3, "mode": "linear"}, "mode='linear'"),
        ({"size": 3, "mode": "cubic"}, "mode='cubic'"),
        ({"size": 3, "align_corners": True}, "a linear mode"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(gr.ShapeError, match=message) as caught:
        gr.interpolate(IMAGES, **options)
    assert caught.value.location.filename == __file__


def test_operands_that_do_not_fit() -> None:
    with pytest.raises(gr.DTypeError, match="float32 or float64"):
        gr.interpolate(np.zeros((1, 1, 2, 2), np.int64), 3, mode="bilinear")
    with pytest.raises(gr.ShapeError, match="at least one item"):
        gr.interpolate(np.zeros((1, 1, 0, 2)), 3)
    with pytest.raises(gr.ShapeError, match="mode='nearest' for an operand"):
        gr.interpolate(np.zeros((1, 1)), 3)
    with pytest.raises(gr.ShapeError, match="symbolic size 'w'"):
        gr.interpolate(gr.placeholder((1, 1, "w")), scale_factor=0.7)
