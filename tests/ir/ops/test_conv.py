"""Convolutions against PyTorch, and what they say to a bad call."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.errors import DTypeError, FeedError, ShapeError
from graphc.ir.graph import Value
from graphc.ir.ops.conv import ConvAttrs, conv, conv_transpose, conv_weight
from tests.support import check_against_torch

CONV = {1: gr.conv1d, 2: gr.conv2d, 3: gr.conv3d}
TRANSPOSE = {1: gr.conv_transpose1d, 2: gr.conv_transpose2d, 3: gr.conv_transpose3d}

each = pytest.mark.parametrize
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # PyTorch's copy


def numbers(*shape: int, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(dtype)


def torch_function(name: str) -> Callable[..., Any]:
    import torch

    function: Callable[..., Any] = getattr(torch.nn.functional, name)
    return function


def compare(name: str, *arrays: np.ndarray, **options: Any) -> None:
    """The function of that name, its result and its gradient by every operand, is PyTorch's."""
    ours, theirs = getattr(gr, name), torch_function(name)
    check_against_torch(lambda *a: ours(*a, **options), lambda *a: theirs(*a, **options), arrays)


# --- the grid --------------------------------------------------------------------------------------

SIZES = {1: (9,), 2: (7, 8), 3: (5, 6, 5)}
KERNELS: dict[int, list[tuple[int, ...]]] = {1: [(3,), (4,)], 2: [(3, 3), (2, 1)], 3: [(2, 3, 1)]}
STRIDES: dict[int, list[Any]] = {1: [1, 3], 2: [1, (2, 3)], 3: [1, (2, 1, 2)]}
PADDINGS: dict[int, list[Any]] = {1: [0, 2], 2: [0, (1, 2), "same"], 3: [0, (1, 0, 2), "same"]}
DILATIONS: dict[int, list[Any]] = {1: [1, 2], 2: [1, (2, 3)], 3: [1, (2, 1, 3)]}
GROUPS = [1, 2, 4]  # of four channels: one, some, depthwise
GRID = [
    (rank, *case)
    for rank in (1, 2, 3)
    for case in itertools.product(KERNELS[rank], STRIDES[rank], PADDINGS[rank], DILATIONS[rank], GROUPS)
    if case[2] != "same" or case[1] == 1
]


@each(("rank", "kernel", "stride", "padding", "dilation", "groups"), GRID)
def test_convolution_and_its_gradients_are_those_of_pytorch(
    rank: int, kernel: tuple[int, ...], stride: Any, padding: Any, dilation: Any, groups: int
) -> None:
    x, weight = numbers(2, 4, *SIZES[rank]), numbers(8, 4 // groups, *kernel)
    compare(f"conv{rank}d", x, weight, numbers(8), stride=stride, padding=padding, dilation=dilation, groups=groups)


@each(("rank", "kernel", "stride", "padding", "dilation", "groups"), [case for case in GRID if case[3] != "same"])
def test_transposed_convolution_and_its_gradients_are_those_of_pytorch(
    rank: int, kernel: tuple[int, ...], stride: Any, padding: Any, dilation: Any, groups: int
) -> None:
    x, weight = numbers(2, 4, *SIZES[rank]), numbers(4, 8 // groups, *kernel)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    compare(f"conv_transpose{rank}d", x, weight, numbers(8), **options)


@each(
    ("stride", "padding", "output_padding", "dilation"),
    [
        (2, 0, 1, 1),
        (3, 1, 2, 1),
        ((2, 3), (1, 0), (1, 2), 2),
        (1, 0, 1, 2),
        (2, 1, 2, 3),
        ((1, 2), (2, 3), (2, 2), (3, 3)),
    ],
)
def test_output_padding_is_that_of_pytorch(stride: Any, padding: Any, output_padding: Any, dilation: Any) -> None:
    """Also where it is as large as the stride, which the dilation allows."""
    options = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    compare("conv_transpose2d", numbers(2, 3, 4, 5), numbers(3, 2, 3, 2), numbers(2), **options)


@each("padding", ["same", "valid"])
@each("kernel", [(1, 1), (2, 2), (3, 4), (4, 5), (7, 8)])
@each("dilation", [1, 2, (1, 3)])
def test_padding_by_name_is_that_of_pytorch(padding: str, kernel: tuple[int, int], dilation: Any) -> None:
    compare("conv2d", numbers(1, 2, 15, 24), numbers(2, 2, *kernel), padding=padding, dilation=dilation)


@each(
    ("x", "weight", "options"),
    [
        ((0, 2, 5, 5), (3, 2, 3, 3), {}),
        ((1, 1, 1, 1), (1, 1, 1, 1), {}),
        ((1, 1, 1, 1), (2, 1, 3, 3), {"padding": 1}),
        ((2, 3, 4, 5), (2, 3, 4, 5), {}),
        ((2, 3, 4, 5), (2, 3, 4, 5), {"stride": 7}),
        ((2, 3, 11, 10), (4, 3, 2, 2), {"stride": 4}),
        ((1, 2, 2, 2), (2, 2, 2, 2), {"padding": 5, "stride": (3, 2)}),
        ((3, 5, 1, 9), (5, 1, 1, 5), {"groups": 5, "padding": (0, 2)}),
        ((2, 6, 5, 5), (18, 1, 3, 3), {"groups": 6}),
    ],
)
def test_unusual_sizes_are_those_of_pytorch(x: tuple[int, ...], weight: tuple[int, ...], options: Any) -> None:
    compare("conv2d", numbers(*x), numbers(*weight), **options)


@each("rank", [1, 2, 3])
@each("transposed", [False, True])
def test_no_bias_is_no_sum(rank: int, transposed: bool) -> None:
    function = (TRANSPOSE if transposed else CONV)[rank]
    value = function(numbers(1, 2, *SIZES[rank]), numbers(2, 2, *(3,) * rank))
    assert value.node.op.name == ("conv_transpose" if transposed else "conv")


# --- second order ----------------------------------------------------------------------------------


@each("name", ["conv", "conv_transpose"])
@each(
    ("rank", "options"),
    [
        (1, {"stride": 2, "padding": 1}),
        (2, {"padding": (1, 0), "dilation": (1, 2), "groups": 2}),
        (2, {"stride": (2, 1), "groups": 4}),
        (3, {"stride": (1, 2, 1), "padding": 1}),
    ],
)
def test_second_derivatives_are_those_of_pytorch(name: str, rank: int, options: dict[str, Any]) -> None:
    """The gradients, as functions of operands and cotangent, have PyTorch's gradients."""
    import torch

    ours, theirs = getattr(gr, f"{name}{rank}d"), torch_function(f"{name}{rank}d")
    sizes, groups = (5, 4, 3)[:rank], options.get("groups", 1)
    x, weight = numbers(2, 4, *sizes), numbers(4, 4 // groups, *(2,) * rank)
    cotangent = numbers(*ours(x, weight, **options).shape)

    def gradients(x: Value, weight: Value, g: Value) -> list[Value]:
        made: list[Value] = gr.vjp(ours(x, weight, **options), [x, weight], g)
        return made

    def torch_gradients(x: Any, weight: Any, g: Any) -> Any:
        return torch.autograd.grad(theirs(x, weight, **options), [x, weight], g, create_graph=True)

    check_against_torch(gradients, torch_gradients, [x, weight, cotangent])


def test_gradients_of_the_three_operations_are_the_three() -> None:
    x, weight = gr.placeholder((2, 4, 6), "float64"), gr.placeholder((6, 2, 3), "float64")
    first = gr.grad(gr.sum(gr.conv1d(x, weight, stride=2, padding=1, groups=2) ** 2), [x, weight])
    second = gr.grad(sum(gr.sum(value**2) for value in first), [x, weight])
    function = gr.compile([x, weight], second)
    names = {node.op.name for _, graph in function.stages for node in graph.nodes}
    assert {"conv", "conv_transpose", "conv_weight"} <= names
    assert not {name for name in names if "conv" in name} - {"conv", "conv_transpose", "conv_weight"}


# --- compiled --------------------------------------------------------------------------------------


@each("dtype", ["float32", "float64"])
@each(
    ("name", "weight", "options"),
    [
        ("conv2d", (6, 4, 3, 3), {"padding": 1}),
        ("conv2d", (6, 4, 5, 2), {"padding": "same"}),
        ("conv2d", (8, 1, 3, 3), {"groups": 4, "stride": (2, 1)}),
        ("conv2d", (6, 2, 3, 2), {"groups": 2, "dilation": (2, 3), "padding": (1, 2)}),
        ("conv_transpose2d", (4, 6, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
        ("conv_transpose2d", (4, 3, 2, 3), {"groups": 2, "dilation": (3, 2), "output_padding": 1}),
    ],
)
def test_compiled_for_any_batch_and_size_is_as_evaluated(
    name: str, weight: tuple[int, ...], options: dict[str, Any], dtype: str
) -> None:
    """One function for several batches and sizes of images, the empty batch among them."""
    x = gr.placeholder(("batch", 4, "height", "width"), dtype)
    w = gr.parameter(numbers(*weight, dtype=dtype))
    channels = weight[0] if name == "conv2d" else weight[1] * options.get("groups", 1)
    b = gr.parameter(numbers(channels, dtype=dtype))
    y = getattr(gr, name)(x, w, b, **options)
    results = [y, *gr.vjp(y, [x, w, b], gr.cos(y))]
    function = gr.compile([x], results)
    tolerance = 1e-4 if dtype == "float32" else 1e-11
    for shape in ((3, 4, 9, 11), (1, 4, 8, 7), (0, 4, 7, 7), (17, 4, 12, 9)):
        array = numbers(*shape, dtype=dtype)
        for found, wanted in zip(function(array), gr.evaluate(results, {x: array}), strict=True):
            assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
            np.testing.assert_allclose(found, wanted, tolerance, tolerance)


# --- types -----------------------------------------------------------------------------------------


def test_sizes_may_be_symbolic() -> None:
    x = gr.placeholder(("n", 3, "h", "w"))
    weight = np.zeros((8, 3, 3, 3), "float32")
    assert str(gr.conv2d(x, weight, padding="same").type) == "float32[n, 8, h, w]"
    assert str(gr.conv2d(x, weight, stride=2, padding=1).type) == "float32[n, 8, (h + 1)//2, (w + 1)//2]"
    up = gr.conv_transpose2d(x, np.zeros((3, 5, 3, 3), "float32"), stride=2, padding=1, output_padding=1)
    assert str(up.type) == "float32[n, 5, 2*h, 2*w]"


def test_open_channels_take_those_of_the_weight() -> None:
    x = gr.placeholder((2, None, 6))
    value = gr.conv1d(x, np.ones((4, 3, 2), "float32"), groups=2)
    assert gr.evaluate(value, {x: np.ones((2, 6, 6), "float32")}).shape == (2, 4, 5)
    with pytest.raises(FeedError, match="left open"):
        gr.evaluate(value, {x: np.ones((2, 4, 6), "float32")})


@each(
    ("x", "weight", "result"),
    [
        ("float32", "float32", "float32"),
        ("float32", "float64", "float64"),
        ("uint8", "float32", "float32"),
        ("int32", "int32", "float64"),
        ("bool", "bool", "float32"),
    ],
)
def test_operands_meet_in_a_float_dtype(x: str, weight: str, result: str) -> None:
    image, kernel = np.ones((1, 2, 4), x), np.ones((3, 2, 2), weight)
    for function in (gr.conv1d, lambda a, b: gr.conv_transpose1d(a, gr.swapaxes(b, 0, 1))):
        value = function(image, kernel)
        assert value.dtype.name == result
        assert set(np.unique(gr.evaluate(value, {}))) <= {2.0, 4.0}


# --- bad calls -------------------------------------------------------------------------------------

X, W, V = (2, 4, 8, 8), (6, 4, 3, 3), (4, 6, 3, 3)


@each(
    ("x", "weight", "options", "found", "advice"),
    [
        ((4, 8, 8), W, {}, "the input has shape (4, 8, 8)", "x[None]"),
        ((4, 8), W, {}, "the input has shape (4, 8)", "4 axes: (batch, channels, 2 spatial)"),
        (X, (6, 4, 3), {}, "the weight has shape (6, 4, 3)", "(output channels, input channels / groups, 2 spatial)"),
        (X, (6, 3, 3, 3), {}, "for an input of 4 channels", "(output channels, 4, *window)"),
        (X, W, {"groups": 2}, "4 channels in 2 groups", "2 input channels"),
        (X, W, {"groups": 3}, "4 input channels do not divide into 3 groups", "a multiple of 3"),
        (X, (5, 2, 3, 3), {"groups": 2}, "5 output channels do not divide into 2 groups", "a multiple of 2"),
        ((2, "c", 8, 8), W, {"groups": 2}, "c input channels are not known to divide", "a multiple of 2"),
        (X, (6, 4, 3, 9), {}, "9 items spans 9 items of spatial axis 1, which has 8", "take a smaller window"),
        (X, W, {"padding": 1, "dilation": 5}, "spans 11 items of spatial axis 0, which has 10 with", "pad more"),
        (X, (6, 4, 0, 3), {}, "a window of no items on spatial axis 0", "at least 1"),
        (X, W, {"padding": -1}, "conv2d: padding -1", "at least 0"),
        (X, W, {"padding": (1, 2, 3)}, "conv2d: padding (1, 2, 3)", "2 of them: one for each axis"),
        (X, W, {"padding": "full"}, "conv2d: padding='full'", "'same', 'valid', an integer"),
        (X, W, {"padding": "same", "stride": 2}, "padding='same' with stride=(2, 2)", "padding as integers"),
        (X, (6, 4, "k", 3), {"padding": "same"}, "a window of the symbolic size 'k'", "padding as integers"),
        (X, W, {"stride": 0}, "conv2d: stride 0", "at least 1"),
        (X, W, {"stride": (1, -2)}, "conv2d: stride -2", "at least 1"),
        (X, W, {"stride": 1.5}, "conv2d: stride 1.5 is a float", "an integer"),
        (X, W, {"dilation": 0}, "conv2d: dilation 0", "at least 1"),
        (X, W, {"groups": 0}, "conv2d: groups 0", "at least 1"),
        (X, W, {"groups": True}, "conv2d: groups True is a bool", "an integer"),
        (X, W, {"bias": np.zeros(5)}, "a bias of shape (5,) for 6 output channels", "shape (6,)"),
        (X, W, {"bias": np.zeros((6, 1))}, "a bias of shape (6, 1)", "shape (6,)"),
    ],
)
def test_a_bad_convolution_is_explained(x: Any, weight: Any, options: dict[str, Any], found: str, advice: str) -> None:
    check_explained(gr.conv2d, x, weight, options, found, advice)


@each(
    ("x", "weight", "options", "found", "advice"),
    [
        ((4, 8, 8), V, {}, "the input has shape (4, 8, 8)", "x[None]"),
        (X, (4, 6, 3), {}, "the weight has shape (4, 6, 3)", "(input channels, output channels / groups, 2 spatial)"),
        (X, W, {}, "for an input of 4 channels", "(4, output channels / groups, *window)"),
        (X, V, {"groups": 3}, "4 input channels do not divide into 3 groups", "a multiple of 3"),
        (X, V, {"padding": 6}, "the size -2 on spatial axis 0", "pad less"),
        (X, V, {"padding": -1}, "conv_transpose2d: padding -1", "at least 0"),
        (X, V, {"padding": "same"}, "conv_transpose2d: padding 'same' is a str", "an integer"),
        (X, V, {"output_padding": 1}, "output_padding=1 with stride=1 and dilation=1", "less than the stride"),
        (X, V, {"output_padding": -1}, "conv_transpose2d: output_padding -1", "at least 0"),
        (X, V, {"stride": 0}, "conv_transpose2d: stride 0", "at least 1"),
        (X, V, {"bias": np.zeros(4)}, "a bias of shape (4,) for 6 output channels", "shape (6,)"),
        ((2, 4, 0, 8), V, {}, "3 items of spatial axis 0, which has 2", "at least one window"),
    ],
)
def test_a_bad_transposed_convolution_is_explained(
    x: Any, weight: Any, options: dict[str, Any], found: str, advice: str
) -> None:
    check_explained(gr.conv_transpose2d, x, weight, options, found, advice)


def check_explained(
    function: Callable[..., Value], x: Any, weight: Any, options: dict[str, Any], found: str, advice: str
) -> None:
    with pytest.raises((ShapeError, DTypeError)) as raised:
        function(gr.placeholder(x), gr.placeholder(weight), **options)
    error = raised.value
    assert found in error.found
    assert advice in f"{error.expected} {error.remedy}"
    assert error.location is not None
    assert error.location.filename == __file__


def test_a_window_larger_than_the_image_is_an_error_when_the_size_is_known_at_last() -> None:
    x = gr.placeholder((1, 2, "length"))
    small, large = np.ones((1, 2, 2), "float32"), np.ones((1, 2, 3), "float32")
    for value in (gr.conv1d(x, np.ones((3, 2, 3), "float32")), gr.conv_transpose1d(x, np.ones((2, 1, 2)), padding=2)):
        function = gr.compile([x], value)
        assert function(large).shape == gr.evaluate(value, {x: large}).shape
        for call in (function, lambda array, value=value: gr.evaluate(value, {x: array})):
            with pytest.raises(ShapeError, match="spatial axis 0"):
                call(small)


ATTRS = ConvAttrs((2,), ((1, 1),), (1,), 1)


@each(
    ("build", "message"),
    [
        (lambda x, g, w: conv_transpose(g, w, ATTRS, (10,)), "4 windows on spatial axis 0 of a result of size 10"),
        (lambda x, g, w: conv_weight(x, g, ATTRS, (5,)), "4 windows on spatial axis 0 of the cotangent"),
        (lambda x, g, w: conv_weight(x, g[:1], ATTRS, (3,)), "a cotangent for a batch of 1"),
        (lambda x, g, w: conv_weight(x[0], g, ATTRS, (3,)), "the input has shape"),
        (lambda x, g, w: conv_weight(x, g[0], ATTRS, (3,)), "the cotangent has shape"),
        (lambda x, g, w: conv(x, w.astype("float64"), ATTRS), "dtypes float32, float64"),
        (lambda x, g, w: conv(x.astype("int32"), w.astype("int32"), ATTRS), "operands of dtype int32"),
    ],
)
def test_operations_refuse_operands_that_only_a_pass_could_give_them(build: Callable[..., Value], message: str) -> None:
    x, g, weight = gr.placeholder((2, 3, 8)), gr.placeholder((2, 5, 4)), gr.placeholder((5, 3, 3))
    assert conv(x, weight, ATTRS).shape == g.shape
    with pytest.raises((ShapeError, DTypeError), match=message):
        build(x, g, weight)
