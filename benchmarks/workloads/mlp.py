"""One training step of a ReLU network: mean softmax cross-entropy, plain gradient descent at rate 0.01."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import Step, Workload

RATE = 0.01


@dataclass(frozen=True)
class Mlp:
    """Layer sizes from the input to the logits, and the size of the batch."""

    sizes: tuple[int, ...]
    batch: int

    def inputs(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Inputs (batch, sizes[0]) in [0, 1) and labels (batch,)."""
        random = np.random.default_rng(1)
        return random.random((self.batch, self.sizes[0]), dtype=np.float32), random.integers(
            0, self.sizes[-1], self.batch
        )

    def layers(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Weights (inputs, outputs) after He et al. 2015, and zero biases."""
        random = np.random.default_rng(0)
        return [
            (
                random.standard_normal((fan_in, fan_out), dtype=np.float32) * np.float32(np.sqrt(2 / fan_in)),
                np.zeros(fan_out, np.float32),
            )
            for fan_in, fan_out in zip(self.sizes, self.sizes[1:], strict=False)
        ]


def graphc_step(mlp: Mlp) -> Step:
    import graphc as gr

    images, labels = mlp.inputs()
    x = gr.placeholder(("batch", mlp.sizes[0]), name="images")
    y = gr.placeholder(("batch",), "int64", name="labels")
    hidden, parameters = x, []
    for i, (weight, bias) in enumerate(mlp.layers()):
        w, b = gr.parameter(weight, name=f"weight{i}"), gr.parameter(bias, name=f"bias{i}")
        parameters += [w, b]
        hidden = (gr.relu(hidden) if i else hidden) @ w + b
    loss = gr.cross_entropy(hidden, y)
    train = gr.compile([x, y], loss, updates=gr.optim.SGD(RATE).updates(loss, parameters))
    return lambda: train(images, labels)


def jax_step(mlp: Mlp, *, wait: bool) -> Step:
    import jax
    import jax.numpy as jnp

    images, labels = mlp.inputs()
    labels32 = labels.astype(np.int32)  # JAX would convert at every call otherwise

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        hidden = x
        for i, (w, b) in enumerate(parameters):
            hidden = (jax.nn.relu(hidden) if i else hidden) @ w + b
        return -jnp.take_along_axis(jax.nn.log_softmax(hidden), y[:, None], axis=1).mean()

    @partial(jax.jit, donate_argnums=0)
    def train(parameters: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
        return jax.tree.map(lambda p, g: p - RATE * g, parameters, gradients), loss

    parameters = jax.tree.map(jnp.asarray, mlp.layers())

    def step() -> Any:
        nonlocal parameters
        parameters, loss = train(parameters, images, labels32)
        return loss.block_until_ready() if wait else loss

    return step


def torch_step(mlp: Mlp, *, compiled: bool) -> Step:
    import torch
    from torch.nn import functional

    images, labels = mlp.inputs()
    # Weights are stored as Linear stores them, (outputs, inputs).
    layers = [
        (torch.tensor(weight.T.copy(), requires_grad=True), torch.tensor(bias, requires_grad=True))
        for weight, bias in mlp.layers()
    ]
    parameters = [parameter for layer in layers for parameter in layer]

    def loss_of(x: Any, y: Any) -> Any:
        hidden = x
        for i, (w, b) in enumerate(layers):
            hidden = functional.linear(functional.relu(hidden) if i else hidden, w, b)
        return functional.cross_entropy(hidden, y)

    forward = torch.compile(loss_of) if compiled else loss_of

    def step() -> Any:
        # Quicker than `torch.optim.SGD` in each of its modes.
        loss = forward(torch.from_numpy(images), torch.from_numpy(labels))
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            torch._foreach_add_(parameters, gradients, alpha=-RATE)
        return loss

    return step


def pytensor_step(mlp: Mlp) -> Step:
    import pytensor
    import pytensor.tensor as pt
    from pytensor.gradient import grad

    images, labels = mlp.inputs()
    x = pt.tensor("images", dtype="float32", shape=images.shape)
    y = pt.tensor("labels", dtype="int64", shape=labels.shape)
    hidden, parameters = x, []
    for i, layer in enumerate(mlp.layers()):
        w, b = (pytensor.shared(value) for value in layer)
        parameters += [w, b]
        hidden = (pt.maximum(hidden, 0) if i else hidden) @ w + b
    loss = -pt.special.log_softmax(hidden, axis=-1)[pt.arange(mlp.batch), y].mean()
    train = pytensor.function(
        [pytensor.In(x, borrow=True), pytensor.In(y, borrow=True)],
        pytensor.Out(loss, borrow=True),
        updates=[(p, p - np.float32(RATE) * g) for p, g in zip(parameters, grad(loss, parameters), strict=True)],
        mode="NUMBA",  # four to two times as fast here as its C mode, which finds no BLAS in an environment made by pip
    )
    return lambda: train(images, labels)


def workload(sizes: tuple[int, ...], batch: int) -> Workload:
    mlp = Mlp(sizes, batch)
    shape = "-".join(map(str, sizes))
    return Workload(
        name=f"mlp-{shape}",
        title=f"MLP {shape}, batch {batch}",
        builders={
            "graphc": partial(graphc_step, mlp),
            "jax": partial(jax_step, mlp, wait=True),
            "jax-async": partial(jax_step, mlp, wait=False),
            "torch": partial(torch_step, mlp, compiled=False),
            "torch-compile": partial(torch_step, mlp, compiled=True),
            "pytensor": partial(pytensor_step, mlp),
        },
    )


WORKLOADS = (workload((2, 8, 2), 4), workload((784, 128, 10), 64), workload((784, 256, 128, 10), 128))
