"""How each of the other systems runs a computation: the loop around a loss or an output, the same for every workload.

The imports stand in the functions, because a process imports the system that it measures and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import OURS, Step

Arrays = Sequence[NDArray[Any]]


def builders(
    ours: Callable[[], Step],
    jax: Callable[..., Step],
    torch: Callable[..., Step],
    pytensor: Callable[[], Step] | None = None,
) -> Mapping[str, Callable[[], Step]]:
    """The builders of a workload by system.

    Args:
        ours: builds our step.
        jax: builds the step of JAX, with ``wait``: whether it waits for its result.
        torch: builds the step of PyTorch, with ``compiled``: whether it is compiled.
        pytensor: builds the step of PyTensor.
    """
    return {
        OURS: ours,
        "jax": partial(jax, wait=True),
        "jax-async": partial(jax, wait=False),
        "torch": partial(torch, compiled=False),
        "torch-compile": partial(torch, compiled=True),
        **({} if pytensor is None else {"pytensor": pytensor}),
    }


def jax_descent(rate: float) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """The update of gradient descent; see `jax_training`."""

    def update(parameters: Any, gradients: Any, slots: Any) -> tuple[Any, Any]:
        import jax

        return jax.tree.map(lambda p, g: p - rate * g, parameters, gradients), slots

    return update


def jax_training(
    loss_of: Callable[..., Any],
    parameters: Any,
    inputs: Arrays,
    update: Callable[[Any, Any, Any], tuple[Any, Any]],
    slots: Any = (),
    *,
    wait: bool,
) -> Step:
    """A jitted training step with donated parameters.

    Args:
        loss_of: the loss of parameters and inputs.
        parameters: a tree of arrays.
        inputs: what each step is called on.
        update: from parameters, gradients and the optimizer's slots to the next parameters and slots.
        slots: those at the start.
        wait: whether a step waits for its loss.
    """
    import jax
    import jax.numpy as jnp

    @partial(jax.jit, donate_argnums=0)
    def train(state: Any, *inputs: Any) -> Any:
        parameters, slots = state
        loss, gradients = jax.value_and_grad(loss_of)(parameters, *inputs)
        return update(parameters, gradients, slots), loss

    state = jax.tree.map(jnp.array, (parameters, slots))
    inputs = [jax_integers(array) for array in inputs]

    def step() -> Any:
        nonlocal state
        state, loss = train(state, *inputs)
        return loss.block_until_ready() if wait else loss

    return step


def jax_forward(function: Callable[..., Any], inputs: Sequence[Any], *, wait: bool) -> Step:
    """A jitted function of inputs."""
    import jax

    compiled = jax.jit(function)

    def step() -> Any:
        result = compiled(*inputs)
        return result.block_until_ready() if wait else result

    return step


def jax_integers(array: NDArray[Any]) -> NDArray[Any]:
    """Integers as JAX has them by default; it would convert them at every call."""
    return array.astype(np.int32) if array.dtype == np.int64 else array


def jax_cross_entropy(logits: Any, labels: Any) -> Any:
    """The mean over (items, classes) and labels (items,)."""
    import jax
    import jax.numpy as jnp

    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean()


def torch_descent(parameters: list[Any], rate: float) -> Callable[[Any], None]:
    """The update of gradient descent from a loss; quicker than `torch.optim.SGD` in each of its modes."""
    import torch

    def update(loss: Any) -> None:
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            torch._foreach_add_(parameters, gradients, alpha=-rate)

    return update


def torch_training(
    loss_of: Callable[..., Any], inputs: Arrays, update: Callable[[Any], None], *, compiled: bool
) -> Step:
    """A training step: the loss of inputs, then the update from it."""
    import torch

    forward = torch.compile(loss_of) if compiled else loss_of

    def step() -> Any:
        loss = forward(*map(torch.from_numpy, inputs))
        update(loss)
        return loss

    return step


def torch_forward(function: Callable[..., Any], inputs: Arrays, *, compiled: bool) -> Step:
    """A function of inputs, without gradients."""
    import torch

    forward = torch.compile(function) if compiled else function

    def step() -> Any:
        with torch.inference_mode():
            return forward(*map(torch.from_numpy, inputs))

    return step


def pytensor_input(name: str, array: NDArray[Any]) -> Any:
    """A symbolic input for arrays of this dtype and shape."""
    import pytensor.tensor as pt

    return pt.tensor(name, dtype=array.dtype.name, shape=array.shape)


def pytensor_forward(
    symbols: Sequence[Any], result: Any, inputs: Arrays, updates: Sequence[tuple[Any, Any]] = ()
) -> Step:
    """A compiled function of inputs, with updates of shared variables."""
    import pytensor

    function = pytensor.function(
        [pytensor.In(symbol, borrow=True) for symbol in symbols],
        pytensor.Out(result, borrow=True),
        updates=updates,
        mode="NUMBA",  # two to four times as fast here as its C mode, which finds no BLAS in an environment made by pip
    )
    return lambda: function(*inputs)


def pytensor_training(
    symbols: Sequence[Any], loss: Any, inputs: Arrays, parameters: Sequence[Any], rate: float
) -> Step:
    """A compiled step of gradient descent on shared parameters."""
    from pytensor.gradient import grad

    gradients = grad(loss, list(parameters))
    updates = [(p, p - np.float32(rate) * g) for p, g in zip(parameters, gradients, strict=True)]
    return pytensor_forward(symbols, loss, inputs, updates)
