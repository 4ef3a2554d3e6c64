"""ReLU networks: training steps of mean softmax cross-entropy with plain gradient descent, and logits of one image."""

from __future__ import annotations

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
    pytensor_forward,
    pytensor_input,
    pytensor_training,
    torch_descent,
    torch_forward,
    torch_training,
)
from benchmarks.workload import Limit, Step, Workload, training_flops

RATE = 0.01


@dataclass(frozen=True)
class Mlp:
    """Layer sizes from the input to the logits, and the size of the batch."""

    sizes: tuple[int, ...]
    batch: int

    @property
    def shape(self) -> str:
        return "-".join(map(str, self.sizes))

    def images(self) -> NDArray[np.float32]:
        """Inputs (batch, sizes[0]) in [0, 1)."""
        return np.random.default_rng(1).random((self.batch, self.sizes[0]), dtype=np.float32)

    def labels(self) -> NDArray[np.int64]:
        """Classes (batch,)."""
        return np.random.default_rng(2).integers(0, self.sizes[-1], self.batch)

    def layers(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Weights (inputs, outputs) after He et al. 2015, and zero biases."""
        random = np.random.default_rng(0)
        return [
            (
                random.standard_normal((fan_in, fan_out), dtype=np.float32) * np.float32(np.sqrt(2 / fan_in)),
                np.zeros(fan_out, np.float32),
            )
            for fan_in, fan_out in pairwise(self.sizes)
        ]

    def limit(self) -> Limit:
        products = [2 * self.batch * fan_in * fan_out for fan_in, fan_out in pairwise(self.sizes)]
        return Limit(
            "flops",
            training_flops(products, input_gradient=False),
            "products of the layers forward: batch x inputs x outputs; as much for the weights' gradients, and, but "
            "for the first layer, for the inputs' gradients",
        )


def graphc_logits(mlp: Mlp, x: Any) -> tuple[Any, list[Any]]:
    """The logits and the parameters."""
    import graphc as gr

    hidden, parameters = x, []
    for i, (weight, bias) in enumerate(mlp.layers()):
        w, b = gr.parameter(weight, name=f"weight{i}"), gr.parameter(bias, name=f"bias{i}")
        parameters += [w, b]
        hidden = (gr.relu(hidden) if i else hidden) @ w + b
    return hidden, parameters


def graphc_step(mlp: Mlp) -> Step:
    import graphc as gr

    images, labels = mlp.images(), mlp.labels()
    x = gr.placeholder(("batch", mlp.sizes[0]), name="images")
    y = gr.placeholder(("batch",), "int64", name="labels")
    logits, parameters = graphc_logits(mlp, x)
    loss = gr.cross_entropy(logits, y)
    train = gr.compile([x, y], loss, updates=gr.optim.SGD(RATE).updates(loss, parameters))
    return lambda: train(images, labels)


def graphc_infer(mlp: Mlp) -> Step:
    import graphc as gr

    images = mlp.images()
    x = gr.placeholder(("batch", mlp.sizes[0]), name="images")
    infer = gr.compile([x], graphc_logits(mlp, x)[0])
    return lambda: infer(images)


def jax_logits(parameters: Any, x: Any) -> Any:
    import jax

    hidden = x
    for i, (w, b) in enumerate(parameters):
        hidden = (jax.nn.relu(hidden) if i else hidden) @ w + b
    return hidden


def jax_step(mlp: Mlp, *, wait: bool) -> Step:
    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        return jax_cross_entropy(jax_logits(parameters, x), y)

    return jax_training(loss_of, mlp.layers(), [mlp.images(), mlp.labels()], jax_descent(RATE), wait=wait)


def jax_infer(mlp: Mlp, *, wait: bool) -> Step:
    import jax
    import jax.numpy as jnp

    parameters = jax.tree.map(jnp.array, mlp.layers())
    return jax_forward(jax_logits, [parameters, mlp.images()], wait=wait)


def torch_layers(mlp: Mlp) -> list[tuple[Any, Any]]:
    """Weights as Linear stores them, (outputs, inputs), and biases."""
    import torch

    return [
        (torch.tensor(weight.T.copy(), requires_grad=True), torch.tensor(bias, requires_grad=True))
        for weight, bias in mlp.layers()
    ]


def torch_logits(layers: list[tuple[Any, Any]], x: Any) -> Any:
    from torch.nn import functional

    hidden = x
    for i, (w, b) in enumerate(layers):
        hidden = functional.linear(functional.relu(hidden) if i else hidden, w, b)
    return hidden


def torch_step(mlp: Mlp, *, compiled: bool) -> Step:
    from torch.nn import functional

    layers = torch_layers(mlp)
    update = torch_descent([parameter for layer in layers for parameter in layer], RATE)

    def loss_of(x: Any, y: Any) -> Any:
        return functional.cross_entropy(torch_logits(layers, x), y)

    return torch_training(loss_of, [mlp.images(), mlp.labels()], update, compiled=compiled)


def torch_infer(mlp: Mlp, *, compiled: bool) -> Step:
    layers = torch_layers(mlp)
    return torch_forward(lambda x: torch_logits(layers, x), [mlp.images()], compiled=compiled)


def pytensor_logits(mlp: Mlp, x: Any) -> tuple[Any, list[Any]]:
    """The logits and the parameters."""
    import pytensor
    import pytensor.tensor as pt

    hidden, parameters = x, []
    for i, layer in enumerate(mlp.layers()):
        w, b = (pytensor.shared(value) for value in layer)
        parameters += [w, b]
        hidden = (pt.maximum(hidden, 0) if i else hidden) @ w + b
    return hidden, parameters


def pytensor_step(mlp: Mlp) -> Step:
    import pytensor.tensor as pt

    images, labels = mlp.images(), mlp.labels()
    x, y = pytensor_input("images", images), pytensor_input("labels", labels)
    logits, parameters = pytensor_logits(mlp, x)
    loss = -pt.special.log_softmax(logits, axis=-1)[pt.arange(mlp.batch), y].mean()
    return pytensor_training([x, y], loss, [images, labels], parameters, RATE)


def pytensor_infer(mlp: Mlp) -> Step:
    images = mlp.images()
    x = pytensor_input("images", images)
    return pytensor_forward([x], pytensor_logits(mlp, x)[0], [images])


def training(mlp: Mlp, *, limited: bool = True) -> Workload:
    return Workload(
        name=f"mlp-{mlp.shape}",
        title=f"MLP {mlp.shape}, batch {mlp.batch}",
        builders=builders(*(partial(build, mlp) for build in (graphc_step, jax_step, torch_step, pytensor_step))),
        limit=mlp.limit() if limited else None,
    )


def inference(mlp: Mlp) -> Workload:
    return Workload(
        name="infer-mlp",
        title=f"Inference: MLP {mlp.shape}, batch {mlp.batch}",
        builders=builders(*(partial(build, mlp) for build in (graphc_infer, jax_infer, torch_infer, pytensor_infer))),
        kind="inference",
    )


WORKLOADS = (
    training(Mlp((2, 8, 2), 4), limited=False),
    training(Mlp((784, 128, 10), 64)),
    training(Mlp((784, 256, 128, 10), 128)),
    training(Mlp((784, 1024, 1024, 10), 256)),
)
INFERENCE = (inference(Mlp((784, 256, 128, 10), 1)),)
