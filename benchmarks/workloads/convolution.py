"""Convolutional networks on images of handwritten digits: training steps with gradient descent, logits of one image.

The values have the names and shapes of PyTorch. JAX gets them with channels last, which is faster there, and halves
images as a maximum over a reshaped array, whose gradient is three times as fast there as that of a window's maximum.
PyTorch gets its own format with channels last, which is faster there too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.systems import (
    builders,
    jax_cross_entropy,
    jax_descent,
    jax_forward,
    jax_training,
    torch_descent,
    torch_forward,
    torch_training,
)
from benchmarks.workload import Limit, Step, Workload, training_flops

RATE = 0.001  # with ten times as much, the six convolutions are unstable, and rounding errors grow
SIDE = 28
CLASSES = 10

Values = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class ConvNet:
    """Convolutions with ReLU, each with a pooling of 2 x 2 or none, then linear layers with ReLU between them."""

    channels: tuple[int, ...]
    kernel: int
    padding: int
    pooled: bool
    linear: tuple[int, ...]
    """Sizes from the flattened images to the logits."""
    batch: int

    @property
    def convolutions(self) -> int:
        return len(self.channels) - 1

    def values(self) -> dict[str, NDArray[np.float32]]:
        """Weights after He et al. 2015 and zero biases: convolutions first, then linear layers, counted through."""
        random = np.random.default_rng(0)
        shapes = [
            *((out, fan_in, self.kernel, self.kernel) for fan_in, out in pairwise(self.channels)),
            *((out, fan_in) for fan_in, out in pairwise(self.linear)),
        ]
        values: dict[str, NDArray[np.float32]] = {}
        for number, shape in enumerate(shapes):
            scale = np.float32(np.sqrt(2 / np.prod(shape[1:])))
            values[f"{number}.weight"] = random.standard_normal(shape, dtype=np.float32) * scale
            values[f"{number}.bias"] = np.zeros(shape[0], np.float32)
        return values

    def images(self) -> NDArray[np.float32]:
        """Inputs (batch, 1, 28, 28) in [0, 1)."""
        return np.random.default_rng(1).random((self.batch, 1, SIDE, SIDE), dtype=np.float32)

    def labels(self) -> NDArray[np.int64]:
        """Classes (batch,)."""
        return np.random.default_rng(2).integers(0, CLASSES, self.batch)

    def products(self) -> list[int]:
        """Multiplications and additions of each layer, forward, but those with zeros of the padding."""
        side, products = SIDE, []
        for fan_in, out in pairwise(self.channels):
            starts = range(-self.padding, side + self.padding - self.kernel + 1)
            inside = sum(min(start + self.kernel, side) - max(start, 0) for start in starts)
            products.append(2 * self.batch * inside**2 * fan_in * out)
            side = len(starts) // (2 if self.pooled else 1)
        return products + [2 * self.batch * fan_in * out for fan_in, out in pairwise(self.linear)]


FORWARD = (
    "products of the layers forward: for each pixel of a convolution, its kernel x channels in x channels out, but no "
    "zero of the padding"
)
TRAINING = f"{FORWARD}; as much for the weights' gradients, and, but for the first layer, for the inputs' gradients"


def two_layers() -> Any:
    """Our module of the network with pooling."""
    import graphc as gr

    return gr.nn.Sequential(
        gr.nn.Conv2d(1, 32, 3, padding=1),
        gr.nn.ReLU(),
        gr.nn.MaxPool2d(2),
        gr.nn.Conv2d(32, 64, 3, padding=1),
        gr.nn.ReLU(),
        gr.nn.MaxPool2d(2),
        gr.nn.Flatten(),
        gr.nn.Linear(3136, CLASSES),
    )


def six_layers() -> Any:
    """Our module of the six convolutions: that of the example."""
    from examples.seeds.simple_conv_net import SimpleConvNet

    return SimpleConvNet()


def graphc_logits(net: ConvNet, make: Callable[[], Any], x: Any) -> tuple[Any, list[Any]]:
    """The logits and the parameters."""
    model = make()
    parameters = model.parameters()
    for parameter, value in zip(parameters, net.values().values(), strict=True):
        parameter.value = value
    return model(x), parameters


def graphc_step(net: ConvNet, make: Callable[[], Any]) -> Step:
    import graphc as gr

    images, labels = net.images(), net.labels()
    x = gr.placeholder(("batch", 1, SIDE, SIDE), name="images")
    y = gr.placeholder(("batch",), "int64", name="labels")
    logits, parameters = graphc_logits(net, make, x)
    loss = gr.cross_entropy(logits, y)
    train = gr.compile([x, y], loss, updates=gr.optim.SGD(RATE).updates(loss, parameters))
    return lambda: train(images, labels)


def graphc_infer(net: ConvNet, make: Callable[[], Any]) -> Step:
    import graphc as gr

    images = net.images()
    x = gr.placeholder(images.shape, name="images")  # a fixed batch, as the others compile it: few images, laid out so
    infer = gr.compile([x], graphc_logits(net, make, x)[0])
    return lambda: infer(images)


def channels_last(net: ConvNet) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
    """Values and images for JAX: kernels (height, width, in, out), and rows of the first linear layer reordered."""
    values = net.values()
    for number in range(net.convolutions):
        values[f"{number}.weight"] = values[f"{number}.weight"].transpose(2, 3, 1, 0)
    flattened = f"{net.convolutions}.weight"
    weight = values[flattened]
    pixels = weight.reshape(len(weight), net.channels[-1], -1)
    values[flattened] = pixels.transpose(0, 2, 1).reshape(weight.shape)
    return values, np.ascontiguousarray(net.images().transpose(0, 2, 3, 1))


def jax_logits(net: ConvNet, values: Any, x: Any) -> Any:
    import jax

    layout = ("NHWC", "HWIO", "NHWC")
    padding = [(net.padding, net.padding)] * 2
    hidden = x
    for number in range(net.convolutions):
        hidden = jax.lax.conv_general_dilated(
            hidden, values[f"{number}.weight"], (1, 1), padding, dimension_numbers=layout
        )
        hidden = jax.nn.relu(hidden + values[f"{number}.bias"])
        if net.pooled:
            batch, height, width, channels = hidden.shape
            hidden = hidden.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))
    hidden = hidden.reshape(len(x), -1)
    for i in range(len(net.linear) - 1):
        number = net.convolutions + i
        hidden = (jax.nn.relu(hidden) if i else hidden) @ values[f"{number}.weight"].T + values[f"{number}.bias"]
    return hidden


def jax_step(net: ConvNet, *, wait: bool) -> Step:
    values, images = channels_last(net)

    def loss_of(values: Any, x: Any, y: Any) -> Any:
        return jax_cross_entropy(jax_logits(net, values, x), y)

    return jax_training(loss_of, values, [images, net.labels()], jax_descent(RATE), wait=wait)


def jax_infer(net: ConvNet, *, wait: bool) -> Step:
    import jax
    import jax.numpy as jnp

    values, images = channels_last(net)
    return jax_forward(partial(jax_logits, net), [jax.tree.map(jnp.array, values), images], wait=wait)


def torch_logits(net: ConvNet, values: Mapping[str, Any], x: Any) -> Any:
    import torch
    from torch.nn import functional

    hidden = x.contiguous(memory_format=torch.channels_last)
    for number in range(net.convolutions):
        hidden = functional.conv2d(hidden, values[f"{number}.weight"], values[f"{number}.bias"], padding=net.padding)
        hidden = functional.relu(hidden)
        if net.pooled:
            hidden = functional.max_pool2d(hidden, 2)
    hidden = hidden.flatten(1)
    for i in range(len(net.linear) - 1):
        number = net.convolutions + i
        hidden = functional.relu(hidden) if i else hidden
        hidden = functional.linear(hidden, values[f"{number}.weight"], values[f"{number}.bias"])
    return hidden


def torch_values(net: ConvNet) -> dict[str, Any]:
    import torch

    formats = {4: torch.channels_last}
    return {
        name: torch.from_numpy(value)
        .to(memory_format=formats.get(value.ndim, torch.contiguous_format))
        .requires_grad_()
        for name, value in net.values().items()
    }


def torch_step(net: ConvNet, *, compiled: bool) -> Step:
    from torch.nn import functional

    values = torch_values(net)

    def loss_of(x: Any, y: Any) -> Any:
        return functional.cross_entropy(torch_logits(net, values, x), y)

    update = torch_descent(list(values.values()), RATE)
    return torch_training(loss_of, [net.images(), net.labels()], update, compiled=compiled)


def torch_infer(net: ConvNet, *, compiled: bool) -> Step:
    values = torch_values(net)
    return torch_forward(lambda x: torch_logits(net, values, x), [net.images()], compiled=compiled)


def training(name: str, title: str, net: ConvNet, make: Callable[[], Any]) -> Workload:
    return Workload(
        name=name,
        title=f"{title}, batch {net.batch}",
        builders=builders(partial(graphc_step, net, make), partial(jax_step, net), partial(torch_step, net)),
        limit=Limit("flops", training_flops(net.products(), input_gradient=False), TRAINING),
        tolerance=1e-3,  # a rounding error that turns one ReLU on or off changes later losses by up to 4e-4
    )


def inference(name: str, title: str, net: ConvNet, make: Callable[[], Any]) -> Workload:
    return Workload(
        name=name,
        title=f"Inference: {title}, batch {net.batch}",
        builders=builders(partial(graphc_infer, net, make), partial(jax_infer, net), partial(torch_infer, net)),
        kind="inference",
        limit=Limit("flops", sum(net.products()), FORWARD),
    )


def six(batch: int) -> ConvNet:
    return ConvNet((1, 5, 10, 20, 20, 20, 10), kernel=5, padding=0, pooled=False, linear=(160, 20, 10), batch=batch)


def two(batch: int) -> ConvNet:
    return ConvNet((1, 32, 64), kernel=3, padding=1, pooled=True, linear=(3136, 10), batch=batch)


WORKLOADS = (
    training("conv-6", "Six convolutions 5 x 5", six(64), six_layers),
    training("conv-2", "Two convolutions 3 x 3 with pooling", two(64), two_layers),
)
INFERENCE = (inference("infer-conv", "two convolutions 3 x 3 with pooling", two(1), two_layers),)
