from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from graphc.ir import ops
from graphc.ir.graph import Graph
from graphc.ir.source import scope
from graphc.passes.autodiff import Autodiff
from graphc.passes.dce import Dce
from graphc.passes.fuse import Fuse


def written() -> Graph:
    """One step of gradient descent with momentum on a network of two layers."""
    x = ops.placeholder((None, 4), name="image")
    t = ops.placeholder((None, 2), name="target")
    parameters = []
    value = x
    for number, (rows, columns) in enumerate([(4, 3), (3, 2)], 1):
        with scope(f"layer{number}"):
            weight = ops.parameter(np.zeros((rows, columns), np.float32), name=f"weight{number}")
            bias = ops.parameter(np.zeros(columns, np.float32), name=f"bias{number}")
            parameters += [weight, bias]
            value = ops.matmul(value, weight) + bias
        if number == 1:
            value = ops.tanh(value)
    error = value - t
    loss = ops.sum(error * error) * 0.5
    updates = {}
    for parameter, gradient in zip(parameters, ops.grad(loss, parameters), strict=True):
        with scope("momentum"):
            velocity = ops.variable(np.zeros(parameter.shape, np.float32), name=f"{parameter.name}.velocity")
            updates[velocity] = velocity * 0.9 + gradient
            updates[parameter] = parameter - updates[velocity] * 0.1
    return Graph.of([x, t], [loss], updates)


@pytest.fixture
def build() -> Callable[[], Graph]:
    """Makes the step anew."""
    return written


@pytest.fixture
def training() -> Graph:
    """The step, differentiated."""
    return Dce()(Autodiff()(written()))


@pytest.fixture
def fused_training(training: Graph) -> Graph:
    """The step with fused groups."""
    return Fuse()(training)
