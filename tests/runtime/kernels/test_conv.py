"""The kernels of convolution and its adjoints against their evaluation: every geometry, batch and cut."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

import graphc as gr
from graphc.ir.graph import Value
from graphc.ir.ops import conv as ops
from graphc.ir.ops.conv import ConvAttrs
from graphc.runtime.kernels.conv import tile_sizes
from graphc.runtime.kernels.conv_weight import tile_sizes as weight_tile_sizes
from graphc.runtime.native import threads


@dataclass(frozen=True)
class Case:
    """A convolution of ``batch`` images of sizes ``image``; per spatial axis as many entries."""

    batch: int
    channels: tuple[int, int]
    image: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()
    dilations: tuple[int, ...] = ()
    groups: int = 1

    @property
    def attrs(self) -> ConvAttrs:
        rank = len(self.image)
        return ConvAttrs(
            self.strides or (1,) * rank, self.padding or ((0, 0),) * rank, self.dilations or (1,) * rank, self.groups
        )


def operands(case: Case, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, weight and cotangent."""
    rng = np.random.default_rng(case.batch)
    outputs, inputs = case.channels
    x = rng.standard_normal((case.batch, inputs * case.groups, *case.image)).astype(dtype)
    w = rng.standard_normal((outputs * case.groups, inputs, *case.window)).astype(dtype)
    g = np.empty(ops.conv(gr.placeholder(x.shape, dtype), gr.placeholder(w.shape, dtype), case.attrs).shape, dtype)
    g[...] = rng.standard_normal(g.shape)
    return x, w, g


def results(x: Value, w: Value, g: Value, attrs: ConvAttrs) -> list[Value]:
    """The convolution and its adjoints by the input and by the weight."""
    return [
        ops.conv(x, w, attrs),
        ops.conv_transpose(g, w, attrs, x.shape[2:]),
        ops.conv_weight(x, g, attrs, w.shape[2:]),
    ]


def check(case: Case, dtype: str = "float32", symbolic: bool = True) -> None:
    """Compare compiled with evaluated; where ``symbolic``, the batch size is open. The items of a bias lie apart."""
    arrays = (*operands(case, dtype), np.linspace(-2, 2, 2 * case.channels[0] * case.groups).astype(dtype))
    x, w, g, twice = inputs = [
        gr.placeholder(("batch", *array.shape[1:]) if symbolic and place in (0, 2) else array.shape, dtype)
        for place, array in enumerate(arrays)
    ]
    values = [*results(x, w, g, case.attrs), ops.conv(x, w, case.attrs, twice[::2])]
    found = gr.compile(inputs, values)(*arrays)
    wanted = gr.evaluate(values, dict(zip(inputs, arrays, strict=True)))
    names = ("conv", "conv_transpose", "conv_weight", "conv with a bias")
    for name, a, b in zip(names, found, wanted, strict=True):
        unit = (1e-5 if dtype == "float32" else 1e-13) * max(1.0, np.abs(b).max(initial=0))
        np.testing.assert_allclose(a, b, atol=unit, rtol=0, err_msg=name)


ORDINARY = Case(19, (6, 4), (7, 8), (3, 3), padding=((1, 1), (1, 1)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [0, 1, 2, 7, 8, 9, 17, 64])
@pytest.mark.parametrize("symbolic", [False, True])
def test_any_batch(batch: int, symbolic: bool, dtype: str) -> None:
    check(replace(ORDINARY, batch=batch), dtype, symbolic)


@pytest.mark.parametrize(("stride", "dilation"), list(itertools.product([1, 2, 3, 4], [1, 2, 3, 6])))
@pytest.mark.parametrize(("low", "high"), [(0, 0), (1, 2), (5, 4)])
@pytest.mark.parametrize("window", [1, 2, 4])
def test_any_geometry_of_an_axis(window: int, low: int, high: int, stride: int, dilation: int) -> None:
    size = max(9, dilation * (window - 1) + 1 - low - high)
    check(Case(3, (3, 2), (size,), (window,), (stride,), ((low, high),), (dilation,)))


@pytest.mark.parametrize("batch", [1, 3, 4])
@pytest.mark.parametrize(
    "case",
    [
        Case(1, (5, 3), (6, 11), (3, 3)),
        Case(1, (7, 2), (6, 11), (3, 2), padding=((1, 0), (0, 2)), dilations=(2, 3)),
        Case(1, (2, 2), (9, 7), (1, 1), groups=3),
        Case(1, (2, 3), (30,), (5,), padding=((2, 1),)),
        Case(1, (3, 2), (4, 3, 5), (2, 3, 2), padding=((0, 1), (1, 1), (0, 0)), groups=2),
        Case(1, (3, 2), (3, 3), (3, 3), padding=((1, 1), (2, 2)), dilations=(2, 1)),
        Case(1, (3, 2), (8, 9), (3, 3), strides=(1, 2), padding=((1, 1), (1, 1))),
    ],
)
def test_few_images(case: Case, batch: int) -> None:
    check(replace(case, batch=batch), symbolic=False)


def test_few_images_that_are_parts_of_others_or_have_infinite_neighbours() -> None:
    x, w = gr.placeholder((2, 4, 9, 20)), gr.placeholder((8, 2, 3, 3))
    array = np.full((2, 4, 9, 20), np.inf, np.float32)
    array[:, 1:3, 2:8, 5:17] = np.random.default_rng(0).standard_normal((2, 2, 6, 12))
    weight = np.random.default_rng(1).standard_normal((8, 2, 3, 3)).astype(np.float32)
    part = x[:, 1:3, 2:8, 5:17]
    values = [ops.conv(part, w, ConvAttrs((1, 1), ((low, low),) * 2, (1, 1), 1)) for low in (0, 1)]
    values += [gr.relu(value)[:, ::2].sum(axis=(0, 2)) for value in values]
    found = gr.compile([x, w], values)(array, weight)
    for a, b in zip(found, gr.evaluate(values, {x: array, w: weight}), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("channels", [(1, 1), (1, 7), (2, 3), (5, 1), (7, 5), (13, 11)])
def test_any_channels(channels: tuple[int, int], groups: int) -> None:
    check(Case(10, channels, (5, 6), (3, 2), (1, 2), ((1, 0), (0, 2)), (1, 1), groups))


@pytest.mark.parametrize("batch", [1, 2, 19, 24, 29, 64])
@pytest.mark.parametrize(
    "case",
    [
        Case(1, (7, 75), (5, 6), (3, 3), padding=((1, 1), (1, 1))),
        Case(1, (75, 6), (4, 5), (3, 3), (2, 1), ((0, 1), (1, 2)), (1, 2)),
        Case(1, (5, 33), (1, 17), (2, 11), padding=((1, 1), (5, 5)), groups=2),
    ],
    ids=["inputs", "outputs", "wide window"],
)
def test_more_channels_than_a_tile_sums_over_at_a_time(case: Case, batch: int) -> None:
    check(replace(case, batch=batch), symbolic=False)
    check(replace(case, batch=batch))


@pytest.mark.parametrize(
    "case",
    [
        Case(5, (3, 2), (4, 5, 6), (2, 3, 2), (2, 1, 1), ((1, 0), (1, 1), (0, 2)), (1, 2, 1)),
        Case(1, (4, 3), (3, 4, 9), (3, 3, 3), (1, 1, 1), ((1, 1),) * 3, (1, 1, 1), 2),
        Case(9, (2, 2), (3, 40), (2, 19), padding=((0, 1), (9, 9))),
        Case(2, (2, 3), (3, 3), (3, 3), padding=((4, 4), (5, 3))),
        Case(2, (2, 3), (1, 1), (3, 3), padding=((1, 1), (1, 1))),
        Case(4, (3, 3), (8, 8), (1, 1), (3, 3)),
    ],
    ids=["volume", "grouped volume", "wide window", "windows outside", "one item", "strides beyond the window"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_unusual_shapes(case: Case, dtype: str) -> None:
    check(case, dtype)


def test_random_geometries() -> None:
    rng = np.random.default_rng(11)
    for _ in range(25):
        rank = int(rng.integers(1, 4))

        def each(low: int, high: int, rank: int = rank) -> tuple[int, ...]:
            return tuple(map(int, rng.integers(low, high, rank)))

        window, dilations = each(1, 5 if rank < 3 else 4), each(1, 4)
        padding = tuple(zip(each(0, 4), each(0, 4), strict=True))
        image = tuple(
            max(size, dilation * (width - 1) + 1 - low - high)
            for size, width, dilation, (low, high) in zip(each(1, 10), window, dilations, padding, strict=True)
        )
        channels = (int(rng.integers(1, 9)), int(rng.integers(1, 6)))
        check(Case(int(rng.integers(1, 20)), channels, image, window, each(1, 4), padding, dilations))


@pytest.mark.parametrize("axes", [(3, 0, 1, 2), (0, 1, 2, 3), (1, 0, 2, 3), (0, 1, 3, 2)])
def test_operands_lie_in_any_order(axes: Sequence[int]) -> None:
    inverse = np.argsort(axes)
    arrays = operands(ORDINARY, "float32")
    inside = [np.ascontiguousarray(array.transpose(axes)) for array in arrays]
    given = [gr.placeholder(array.shape) for array in inside]
    values = results(*(gr.transpose(value, inverse) for value in given), ORDINARY.attrs)
    found = gr.compile(given, values)(*inside)
    for a, b in zip(found, gr.evaluate(values, dict(zip(given, inside, strict=True))), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_operands_are_parts_of_others() -> None:
    x, w = gr.placeholder(("batch", 6, 9, 20)), gr.placeholder((8, 6, 3, 7))
    part = x[:, 1::2, ::-1, 2:-3]
    values = [ops.conv(part, w[::3, ::2, :, ::-2], ORDINARY.attrs), ops.conv(part[1:], w[2:4, :3, 1:], ORDINARY.attrs)]
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in ((11, 6, 9, 20), (8, 6, 3, 7))]
    found = gr.compile([x, w], values)(*arrays)
    for a, b in zip(found, gr.evaluate(values, {x: arrays[0], w: arrays[1]}), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_bits_do_not_depend_on_the_number_of_threads(stride: int) -> None:
    case = Case(40, (20, 10), (13, 15), (5, 5), (stride, stride), ((2, 2), (2, 2)))
    arrays = operands(case, "float32")
    x, w, g = (gr.placeholder(("n", *array.shape[1:]) if i != 1 else array.shape) for i, array in enumerate(arrays))
    function = gr.compile([x, w, g], results(x, w, g, case.attrs))
    before = threads.get_num_threads()
    try:
        runs = []
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            runs.append(function(*arrays))
    finally:
        threads.set_num_threads(before)
    for other in runs[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(runs[0], other, strict=True))


def test_nan_and_infinity_stay_where_they_are() -> None:
    x = np.zeros((9, 1, 6, 6), np.float32)
    x[4, 0, 2, 3], x[5, 0, 0, 0] = np.nan, np.inf
    image, weight = gr.placeholder(x.shape), gr.placeholder((1, 1, 3, 3))
    attrs = ConvAttrs((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    [found] = gr.compile([image, weight], [ops.conv(image, weight, attrs)])(x, np.ones((1, 1, 3, 3), np.float32))
    assert np.isnan(found[4, 0, 1:4, 2:5]).all()
    assert np.isnan(found).sum() == 9
    assert np.isinf(found[5, 0, :2, :2]).all()
    assert np.isinf(found).sum() == 4


@pytest.mark.parametrize("channels", range(1, 70))
def test_tiles_waste_little(channels: int) -> None:
    high, _ = tile_sizes(channels)
    assert -(-channels // high) * high <= max(1.25 * channels, channels + 1)
    high, wide = weight_tile_sizes(channels, 3 * channels)
    assert -(-channels // high) * high * -(-3 * channels // wide) * wide <= max(1.5 * 3 * channels**2, 10)
