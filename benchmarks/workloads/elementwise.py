"""Computations that memory bounds: a loss of ten million numbers, and layer norm with GELU.

Inputs are arrays of the system that is measured, because JAX would copy arrays of NumPy at every call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.systems import builders, jax_forward, pytensor_forward, pytensor_input, torch_forward
from benchmarks.workload import Limit, Step, Workload

SIZE = 10_000_000
ROWS, WIDTH = 4096, 1024
SLOPE = 0.1
EPSILON = 1e-5


DISTINCT = 100_003
"""Numbers that are drawn, and then repeated: to draw all would take a large part of the start that is measured."""


def normal(*shapes: tuple[int, ...]) -> list[NDArray[np.float32]]:
    random = np.random.default_rng(1)
    return [np.resize(random.standard_normal(DISTINCT, dtype=np.float32), shape) for shape in shapes]


# The chain: mean((leaky_relu(1.5 x - 0.25) - target)^2).


def graphc_chain() -> Step:
    import graphc as gr

    inputs = normal((SIZE,), (SIZE,))
    x, target = (gr.placeholder(("n",), name=name) for name in ("x", "target"))
    loss = gr.compile([x, target], ((gr.leaky_relu(x * 1.5 - 0.25, SLOPE) - target) ** 2).mean())
    return lambda: loss(*inputs)


def jax_chain(*, wait: bool) -> Step:
    import jax
    import jax.numpy as jnp

    def loss_of(x: Any, target: Any) -> Any:
        return ((jax.nn.leaky_relu(x * 1.5 - 0.25, SLOPE) - target) ** 2).mean()

    return jax_forward(loss_of, [jnp.asarray(array) for array in normal((SIZE,), (SIZE,))], wait=wait)


def torch_chain(*, compiled: bool) -> Step:
    from torch.nn import functional

    def loss_of(x: Any, target: Any) -> Any:
        return functional.mse_loss(functional.leaky_relu(x * 1.5 - 0.25, SLOPE), target)

    return torch_forward(loss_of, normal((SIZE,), (SIZE,)), compiled=compiled)


def pytensor_chain() -> Step:
    import pytensor.tensor as pt

    inputs = normal((SIZE,), (SIZE,))
    symbols = [pytensor_input(name, array) for name, array in zip(("x", "target"), inputs, strict=True)]
    x, target = symbols
    scaled = x * np.float32(1.5) - np.float32(0.25)
    activated = pt.switch(scaled > 0, scaled, np.float32(SLOPE) * scaled)
    return pytensor_forward(symbols, ((activated - target) ** 2).mean(), inputs)


# Layer norm over rows with scale and shift, then GELU in its approximation by tanh.


def rows() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Rows, scale and shift."""
    x, scale, shift = normal((ROWS, WIDTH), (WIDTH,), (WIDTH,))
    return x, scale, shift


def graphc_norm() -> Step:
    import graphc as gr

    array, scale, shift = rows()
    x = gr.placeholder(("rows", WIDTH), name="x")
    w, b = gr.parameter(scale, name="weight"), gr.parameter(shift, name="bias")
    function = gr.compile([x], gr.gelu(gr.layer_norm(x, w, b, eps=EPSILON), approximate="tanh"))
    return lambda: function(array)


def jax_norm(*, wait: bool) -> Step:
    import jax
    import jax.numpy as jnp

    def function(x: Any, w: Any, b: Any) -> Any:
        centered = x - x.mean(-1, keepdims=True)
        normalized = centered * jax.lax.rsqrt((centered**2).mean(-1, keepdims=True) + EPSILON)
        return jax.nn.gelu(normalized * w + b, approximate=True)

    return jax_forward(function, [jnp.asarray(array) for array in rows()], wait=wait)


def torch_norm(*, compiled: bool) -> Step:
    from torch.nn import functional

    def function(x: Any, w: Any, b: Any) -> Any:
        return functional.gelu(functional.layer_norm(x, (WIDTH,), w, b, EPSILON), approximate="tanh")

    return torch_forward(function, rows(), compiled=compiled)


def pytensor_norm() -> Step:
    import pytensor.tensor as pt

    inputs = rows()
    symbols = [pytensor_input(name, array) for name, array in zip(("x", "weight", "bias"), inputs, strict=True)]
    x, w, b = symbols
    centered = x - x.mean(axis=-1, keepdims=True)
    normalized = centered / pt.sqrt((centered**2).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
    y = normalized * w + b
    inner = np.float32(np.sqrt(2 / np.pi)) * (y + np.float32(0.044715) * y**3)
    return pytensor_forward(symbols, np.float32(0.5) * y * (1 + pt.tanh(inner)), inputs)


WORKLOADS = (
    Workload(
        name="chain",
        title=f"Elementwise chain and mean, {SIZE // 10**6} million elements",
        builders=builders(graphc_chain, jax_chain, torch_chain, pytensor_chain),
        kind="forward",
        limit=Limit("bytes", 2 * 4 * SIZE, "both inputs read once"),
    ),
    Workload(
        name="layernorm-gelu",
        title=f"Layer norm and GELU, {ROWS} x {WIDTH}",
        builders=builders(graphc_norm, jax_norm, torch_norm, pytensor_norm),
        kind="forward",
        limit=Limit("bytes", 2 * 4 * ROWS * WIDTH, "the input read once, the output written once"),
    ),
)
