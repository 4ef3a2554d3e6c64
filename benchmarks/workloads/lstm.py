"""One training step of a character model: embedding, LSTM from a zero state, linear layer; gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.systems import (
    builders,
    jax_cross_entropy,
    jax_descent,
    jax_training,
    torch_descent,
    torch_training,
)
from benchmarks.workload import Limit, Step, Workload, training_flops

RATE = 0.1
SYMBOLS, EMBEDDING, HIDDEN = 65, 64, 128
BATCH, TIME = 32, 32


def values() -> dict[str, NDArray[np.float32]]:
    """By PyTorch's names: the embedding standard normal, all else uniform within 1 / sqrt(hidden size)."""
    random = np.random.default_rng(0)
    bound = 1 / np.sqrt(HIDDEN)
    shapes = {
        "lstm.weight_ih_l0": (4 * HIDDEN, EMBEDDING),
        "lstm.weight_hh_l0": (4 * HIDDEN, HIDDEN),
        "lstm.bias_ih_l0": (4 * HIDDEN,),
        "lstm.bias_hh_l0": (4 * HIDDEN,),
        "head.weight": (SYMBOLS, HIDDEN),
        "head.bias": (SYMBOLS,),
    }
    embedding = {"embedding.weight": random.standard_normal((SYMBOLS, EMBEDDING), dtype=np.float32)}
    return embedding | {name: random.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}


def texts() -> list[NDArray[np.int64]]:
    """Symbols and those that follow them, both (batch, time)."""
    text = np.random.default_rng(1).integers(0, SYMBOLS, (BATCH, TIME + 1))
    return [np.ascontiguousarray(text[:, :-1]), np.ascontiguousarray(text[:, 1:])]


def limit() -> Limit:
    """The embedding is a parameter, so the input of the first product needs a gradient."""
    symbols = BATCH * TIME
    forward = [
        2 * symbols * EMBEDDING * 4 * HIDDEN,
        2 * symbols * HIDDEN * 4 * HIDDEN,
        2 * symbols * HIDDEN * SYMBOLS,
    ]
    return Limit(
        "flops",
        training_flops(forward, input_gradient=True),
        "for each symbol, products with the two weights of the LSTM and with that of the linear layer; twice as much "
        "for the gradients of both factors",
    )


def graphc_step() -> Step:
    import graphc as gr

    class Model(gr.nn.Module):
        def __init__(self) -> None:
            self.embedding = gr.nn.Embedding(SYMBOLS, EMBEDDING)
            self.lstm = gr.nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)
            self.head = gr.nn.Linear(HIDDEN, SYMBOLS)

        def forward(self, ids: gr.Value) -> Any:
            return self.head(self.lstm(self.embedding(ids))[0])

    text, following = texts()
    ids = gr.placeholder(("batch", "time"), "int64", name="ids")
    target = gr.placeholder(("batch", "time"), "int64", name="target")
    model = Model()
    model.load_state_dict(values())
    loss = gr.cross_entropy(model(ids).reshape((-1, SYMBOLS)), target.reshape((-1,)))
    train = gr.compile([ids, target], loss, updates=gr.optim.SGD(RATE).updates(loss, model.parameters()))
    return lambda: train(text, following)


def jax_step(*, wait: bool) -> Step:
    import jax
    import jax.numpy as jnp

    def loss_of(p: Any, ids: Any, target: Any) -> Any:
        # Time comes first, and the inputs of all steps are multiplied at once.
        inputs = p["embedding.weight"][ids.T] @ p["lstm.weight_ih_l0"].T + p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"]

        def cell(state: Any, gates: Any) -> Any:
            h, c = state
            entry, forget, candidate, output = jnp.split(gates + h @ p["lstm.weight_hh_l0"].T, 4, axis=1)
            c = jax.nn.sigmoid(forget) * c + jax.nn.sigmoid(entry) * jnp.tanh(candidate)
            h = jax.nn.sigmoid(output) * jnp.tanh(c)
            return (h, c), h

        zero = jnp.zeros((len(ids), HIDDEN))
        _, hidden = jax.lax.scan(cell, (zero, zero), inputs)
        logits = hidden @ p["head.weight"].T + p["head.bias"]
        return jax_cross_entropy(logits.reshape(-1, SYMBOLS), target.T.reshape(-1))

    return jax_training(loss_of, values(), texts(), jax_descent(RATE), wait=wait)


def torch_step(*, compiled: bool) -> Step:
    import torch
    from torch.nn import functional

    model = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(SYMBOLS, EMBEDDING),
            "lstm": torch.nn.LSTM(EMBEDDING, HIDDEN, batch_first=True),
            "head": torch.nn.Linear(HIDDEN, SYMBOLS),
        }
    )
    model.load_state_dict({name: torch.from_numpy(value) for name, value in values().items()})

    def loss_of(ids: Any, target: Any) -> Any:
        logits = model["head"](model["lstm"](model["embedding"](ids))[0])
        return functional.cross_entropy(logits.reshape(-1, SYMBOLS), target.reshape(-1))

    return torch_training(loss_of, texts(), torch_descent(list(model.parameters()), RATE), compiled=compiled)


WORKLOADS = (
    Workload(
        name="lstm",
        title=f"LSTM, hidden size {HIDDEN}, {TIME} steps, batch {BATCH}",
        builders=builders(graphc_step, jax_step, torch_step),
        limit=limit(),
    ),
)
