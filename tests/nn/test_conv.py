"""The layers of convolution against PyTorch's, whose state they take."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.errors import DTypeError, ShapeError

each = pytest.mark.parametrize

SIZES = {1: (11,), 2: (9, 10), 3: (6, 7, 8)}
CASES: list[tuple[str, int, dict[str, Any]]] = [
    *((f"Conv{rank}d", rank, {}) for rank in (1, 2, 3)),
    *((f"Conv{rank}d", rank, {"stride": 2, "padding": 1, "groups": 2, "bias": False}) for rank in (1, 2, 3)),
    ("Conv1d", 1, {"padding": "same", "dilation": 2}),
    ("Conv2d", 2, {"padding": "valid", "stride": (1, 3)}),
    ("Conv2d", 2, {"padding": "same", "groups": 4}),
    ("Conv3d", 3, {"padding": (0, 2, 1), "dilation": (1, 2, 1)}),
    *((f"ConvTranspose{rank}d", rank, {}) for rank in (1, 2, 3)),
    *((f"ConvTranspose{rank}d", rank, {"stride": 2, "output_padding": 1, "groups": 2}) for rank in (1, 2, 3)),
    ("ConvTranspose1d", 1, {"padding": 2, "bias": False}),
    ("ConvTranspose2d", 2, {"stride": (2, 3), "padding": (1, 0), "dilation": (2, 1), "output_padding": (1, 2)}),
]


def layers(name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """Our layer and PyTorch's, with PyTorch's state."""
    import torch

    theirs = getattr(torch.nn, name)(4, 6 if options.get("groups", 1) < 4 else 8, 3, **options, dtype=torch.float64)
    ours = getattr(gr.nn, name)(4, theirs.out_channels, 3, **options, dtype="float64")
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@each(("name", "rank", "options"), CASES)
def test_with_the_state_of_pytorch_results_and_gradients_are_equal(
    name: str, rank: int, options: dict[str, Any]
) -> None:
    import torch

    ours, theirs = layers(name, options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    array = np.random.default_rng(1).standard_normal((3, 4, *SIZES[rank]))
    tensor = torch.tensor(array, requires_grad=True)
    wanted = theirs(tensor)
    cotangent = np.random.default_rng(2).standard_normal(wanted.shape)
    wanted.backward(torch.tensor(cotangent))
    x = gr.placeholder(("batch", *array.shape[1:]), "float64")
    y = ours(x)
    g = gr.placeholder(y.shape, "float64")
    results = [y, *gr.vjp(y, [x, *ours.parameters()], g)]
    expected = [wanted.detach(), tensor.grad, *(parameter.grad for parameter in theirs.parameters())]
    function = gr.compile([x, g], results)
    for found in (gr.evaluate(results, {x: array, g: cotangent}), function(array, cotangent)):
        for own, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(own, other.numpy(), 1e-10, 1e-11)


@each(
    ("name", "options"),
    [
        ("Conv1d", {}),
        ("Conv2d", {"groups": 2}),
        ("Conv3d", {"dtype": "float64"}),
        ("ConvTranspose1d", {}),
        ("ConvTranspose2d", {"groups": 2}),
        ("ConvTranspose3d", {}),
    ],
)
def test_parameters_start_as_in_pytorch(name: str, options: dict[str, Any]) -> None:
    """Shapes are those of PyTorch's layer, and both distributions reach their bounds and not beyond."""
    import torch

    layer = getattr(gr.nn, name)(40, 60, 3, rng=5, **options)
    theirs = getattr(torch.nn, name)(40, 60, 3, groups=options.get("groups", 1))
    assert layer.weight.shape == tuple(theirs.weight.shape)
    assert layer.bias.shape == tuple(theirs.bias.shape)
    assert layer.weight.dtype.name == layer.bias.dtype.name == options.get("dtype", "float32")
    state = layer.state_dict()
    bound = 1 / math.sqrt(math.prod(theirs.weight.shape[1:]))
    for key, near in (("weight", 0.99), ("bias", 0.9)):
        extreme = np.abs(state[key]).max()
        assert near * bound < extreme <= bound * (1 + 1e-6)
        assert near * bound < theirs.state_dict()[key].abs().max() <= bound * (1 + 1e-6)
    np.testing.assert_allclose(state["weight"].std(), bound / math.sqrt(3), rtol=0.02)


def test_an_initializer_is_given_the_shape_of_the_weight_and_zeroes_the_bias() -> None:
    layer = gr.nn.Conv2d(50, 80, (3, 5), init=partial(gr.nn.init.he_normal, negative_slope=0.2), rng=3)
    state = layer.state_dict()
    assert state["weight"].shape == (80, 50, 3, 5)
    np.testing.assert_allclose(state["weight"].std(), math.sqrt(2 / (1.04 * 50 * 15)), rtol=0.02)
    assert not state["bias"].any()


def test_seeds_decide_the_start() -> None:
    first, second, third = (gr.nn.Conv1d(2, 3, 4, rng=seed).state_dict() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["weight"], second["weight"])
    assert (first["weight"] != third["weight"]).all()


@each(
    ("layer", "text"),
    [
        (gr.nn.Conv1d(2, 3, 4), "Conv1d(2, 3, kernel_size=(4,))"),
        (gr.nn.Conv2d(2, 4, (3, 5), 2, "valid"), "Conv2d(2, 4, kernel_size=(3, 5), stride=(2, 2), padding='valid')"),
        (
            gr.nn.Conv3d(4, 4, 3, padding=1, dilation=2, groups=4, bias=False),
            "Conv3d(4, 4, kernel_size=(3, 3, 3), padding=(1, 1, 1), dilation=(2, 2, 2), groups=4, bias=False)",
        ),
        (
            gr.nn.ConvTranspose2d(2, 4, 3, 2, 1, 1),
            "ConvTranspose2d(2, 4, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 1))",
        ),
    ],
)
def test_repr_makes_the_layer_again(layer: gr.nn.Module, text: str) -> None:
    assert repr(layer) == text
    again = eval(text, vars(gr.nn))
    assert repr(again) == text
    assert [p.shape for p in again.parameters()] == [p.shape for p in layer.parameters()]


def test_summary_shows_results_and_parameters() -> None:
    model = gr.nn.Sequential(
        gr.nn.Conv2d(1, 6, 5, padding="same"),
        gr.nn.ReLU(),
        gr.nn.Conv2d(6, 16, 5, stride=2),
        gr.nn.ConvTranspose2d(16, 3, 4, stride=2, padding=1, bias=False),
    )
    lines = [line.split() for line in model.summary(gr.placeholder(("n", 1, 28, 28))).splitlines()]
    assert ["conv2d_0", "Conv2d", "float32[n,", "6,", "28,", "28]", "156"] in lines
    assert ["conv2d_2", "Conv2d", "float32[n,", "16,", "12,", "12]", "2,416"] in lines
    assert ["convtranspose2d_3", "ConvTranspose2d", "float32[n,", "3,", "24,", "24]", "768"] in lines


def test_a_network_of_convolutions_learns_which_way_an_edge_goes() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    images = rng.normal(0, 0.1, (64, 1, 8, 8)).astype("float32")
    for image, label, place in zip(images, labels, rng.integers(1, 7, 64), strict=True):
        image[0][(slice(None), place) if label else place] += 1.0
    model = gr.nn.Sequential(
        gr.nn.Conv2d(1, 4, 3, padding=1, rng=1), gr.nn.ReLU(), gr.nn.Conv2d(4, 2, 8, rng=2), gr.nn.Flatten()
    )
    x, target = gr.placeholder((None, 1, 8, 8)), gr.placeholder((None,), "int64")
    loss = gr.nn.CrossEntropyLoss()(model(x), target)
    step = gr.compile([x, target], loss, updates=gr.optim.Adam(0.02).updates(loss, model.parameters()))
    first = float(step(images, labels))
    for _ in range(60):
        last = float(step(images, labels))
    assert last < 0.05 < 0.5 < first


# --- bad calls -------------------------------------------------------------------------------------


@each(
    ("make", "found", "advice"),
    [
        (lambda: gr.nn.Conv2d(3, 4, 3, groups=2), "3 input channels and 4 output channels in 2 groups", "2 divides"),
        (lambda: gr.nn.ConvTranspose2d(4, 3, 3, groups=2), "4 input channels and 3 output", "2 divides"),
        (lambda: gr.nn.Conv2d(3, 4, 0), "Conv2d: kernel_size 0", "at least 1"),
        (lambda: gr.nn.Conv2d(3, 4, (3, 3, 3)), "Conv2d: kernel_size (3, 3, 3)", "2 of them: one for each axis"),
        (lambda: gr.nn.Conv2d(3, 4, 3, stride=0), "Conv2d: stride 0", "at least 1"),
        (lambda: gr.nn.Conv2d(3, 4, 3, dilation=1.5), "Conv2d: dilation 1.5 is a float", "an integer"),
        (lambda: gr.nn.Conv2d(3, 4, 3, padding=-1), "Conv2d: padding -1", "at least 0"),
        (lambda: gr.nn.Conv2d(3, 4, 3, padding="full"), "Conv2d: padding='full'", "'same', 'valid', an integer"),
        (lambda: gr.nn.Conv2d(3, 4, 3, 2, "same"), "Conv2d: padding='same' with stride=(2, 2)", "a stride of 1"),
        (lambda: gr.nn.ConvTranspose2d(3, 4, 3, padding="same"), "ConvTranspose2d: padding 'same'", "an integer"),
        (lambda: gr.nn.Conv1d(3, 4, 3, groups=0), "Conv1d: groups 0", "at least 1"),
        (lambda: gr.nn.Conv1d(-3, 4, 3), "-3", "at least 0"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(make: Any, found: str, advice: str) -> None:
    with pytest.raises((ShapeError, DTypeError)) as raised:
        make()
    assert found in raised.value.found
    assert advice in raised.value.expected + raised.value.remedy
    assert raised.value.location is not None
    assert raised.value.location.filename == __file__


@each("layer", [gr.nn.Conv2d(3, 4, 3), gr.nn.ConvTranspose2d(3, 4, 3)])
@each(
    ("shape", "advice"),
    [((2, 4, 8, 8), "in_channels"), ((3, 8, 8), r"x\[None\]"), ((2, 8, 8, 3), "moveaxis"), ((2, 3), "4 axes")],
)
def test_an_input_of_other_channels_or_axes_is_refused(
    layer: gr.nn.Module, shape: tuple[int, ...], advice: str
) -> None:
    with pytest.raises(ShapeError, match=r"2d\(3, 4, kernel_size=\(3, 3\)\) was called with float32\[") as raised:
        layer(gr.placeholder(shape))
    assert "4 axes: (batch, 3 channels, 2 spatial)" in raised.value.expected
    raised.match(advice)


def test_an_output_padding_that_is_too_large_is_refused() -> None:
    layer = gr.nn.ConvTranspose1d(2, 2, 3, stride=2, output_padding=2)
    with pytest.raises(ShapeError, match="less than the stride or the dilation"):
        layer(gr.placeholder((1, 2, 5)))
