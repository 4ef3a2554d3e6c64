"""What it costs to call something compiled that has next to nothing to compute: a step on four numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.systems import (
    builders,
    jax_descent,
    jax_training,
    pytensor_input,
    pytensor_training,
    torch_descent,
    torch_training,
)
from benchmarks.workload import Step, Workload

RATE = 0.01


def start() -> NDArray[np.float32]:
    return np.zeros(4, np.float32)


def target() -> NDArray[np.float32]:
    return np.arange(4, dtype=np.float32)


def loss_of(w: Any, x: Any) -> Any:
    """The same expression in every system."""
    return ((w - x) ** 2).mean()


def graphc_step() -> Step:
    import graphc as gr

    value = target()
    x = gr.placeholder((4,), name="target")
    w = gr.parameter(start(), name="w")
    loss = loss_of(w, x)
    train = gr.compile([x], loss, updates=gr.optim.SGD(RATE).updates(loss, [w]))
    return lambda: train(value)


def jax_step(*, wait: bool) -> Step:
    return jax_training(loss_of, start(), [target()], jax_descent(RATE), wait=wait)


def torch_step(*, compiled: bool) -> Step:
    import torch

    w = torch.tensor(start(), requires_grad=True)
    return torch_training(lambda x: loss_of(w, x), [target()], torch_descent([w], RATE), compiled=compiled)


def pytensor_step() -> Step:
    import pytensor

    value = target()
    x = pytensor_input("target", value)
    w = pytensor.shared(start())
    return pytensor_training([x], loss_of(w, x), [value], [w], RATE)


WORKLOADS = (
    Workload(
        name="call",
        title="Call overhead: a step on 4 numbers",
        builders=builders(graphc_step, jax_step, torch_step, pytensor_step),
        kind="call",
    ),
)
