"""What it costs to call something compiled that has next to nothing to compute: a step on four numbers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import Step, Workload

RATE = 0.01


def target() -> NDArray[np.float32]:
    return np.arange(4, dtype=np.float32)


def graphc_step() -> Step:
    import graphc as gr

    value = target()
    x = gr.placeholder((4,), name="target")
    w = gr.parameter(np.zeros(4, np.float32), name="w")
    loss = ((w - x) ** 2).mean()
    train = gr.compile([x], loss, updates=gr.optim.SGD(RATE).updates(loss, [w]))
    return lambda: train(value)


def jax_step(*, wait: bool) -> Step:
    import jax
    import jax.numpy as jnp

    value = target()

    @partial(jax.jit, donate_argnums=0)
    def train(w: Any, x: Any) -> Any:
        loss, gradient = jax.value_and_grad(lambda w: ((w - x) ** 2).mean())(w)
        return w - RATE * gradient, loss

    w = jnp.zeros(4, jnp.float32)

    def step() -> Any:
        nonlocal w
        w, loss = train(w, value)
        return loss.block_until_ready() if wait else loss

    return step


def torch_step(*, compiled: bool) -> Step:
    import torch

    value = target()
    w = torch.zeros(4, requires_grad=True)

    def loss_of(x: Any) -> Any:
        return ((w - x) ** 2).mean()

    forward = torch.compile(loss_of) if compiled else loss_of

    def step() -> Any:
        loss = forward(torch.from_numpy(value))
        (gradient,) = torch.autograd.grad(loss, [w])
        with torch.no_grad():
            w.add_(gradient, alpha=-RATE)
        return loss

    return step


def pytensor_step() -> Step:
    import pytensor
    import pytensor.tensor as pt
    from pytensor.gradient import grad

    value = target()
    x = pt.tensor("target", dtype="float32", shape=(4,))
    w = pytensor.shared(np.zeros(4, np.float32))
    loss = ((w - x) ** 2).mean()
    train = pytensor.function(
        [pytensor.In(x, borrow=True)],
        pytensor.Out(loss, borrow=True),
        updates=[(w, w - np.float32(RATE) * grad(loss, w))],
        mode="NUMBA",
    )
    return lambda: train(value)


WORKLOADS = (
    Workload(
        name="call",
        title="Call overhead: a step on 4 numbers",
        builders={
            "graphc": graphc_step,
            "jax": partial(jax_step, wait=True),
            "jax-async": partial(jax_step, wait=False),
            "torch": partial(torch_step, compiled=False),
            "torch-compile": partial(torch_step, compiled=True),
            "pytensor": pytensor_step,
        },
    ),
)
