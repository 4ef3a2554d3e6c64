"""One training step of a small GPT-2 on characters with AdamW: the network of `examples/gpt.py`, its head tied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.systems import builders, jax_cross_entropy, jax_training, torch_training
from benchmarks.workload import Limit, Step, Workload, training_flops

SYMBOLS, WIDTH, LAYERS, HEADS = 65, 128, 4, 4
BATCH, TIME = 16, 64
RATE, BETAS, EPSILON, DECAY = 1e-3, (0.9, 0.999), 1e-8, 0.01


def values() -> dict[str, NDArray[np.float32]]:
    """By the example's names: weights normal with deviation 0.02, scales one, biases zero."""
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (SYMBOLS, WIDTH), "wpe.weight": (TIME, WIDTH)}
    for layer in range(LAYERS):
        shapes |= {
            f"h.{layer}.{name}": shape
            for name, shape in {
                "ln_1.weight": (WIDTH,),
                "ln_1.bias": (WIDTH,),
                "attn.in_proj_weight": (3 * WIDTH, WIDTH),
                "attn.in_proj_bias": (3 * WIDTH,),
                "attn.out_proj.weight": (WIDTH, WIDTH),
                "attn.out_proj.bias": (WIDTH,),
                "ln_2.weight": (WIDTH,),
                "ln_2.bias": (WIDTH,),
                "mlp.c_fc.weight": (4 * WIDTH, WIDTH),
                "mlp.c_fc.bias": (4 * WIDTH,),
                "mlp.c_proj.weight": (WIDTH, 4 * WIDTH),
                "mlp.c_proj.bias": (WIDTH,),
            }.items()
        }
    shapes |= {"ln_f.weight": (WIDTH,), "ln_f.bias": (WIDTH,)}
    random = np.random.default_rng(0)

    def start(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if len(shape) == 2:
            return random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        return np.full(shape, float(name.endswith("weight")), np.float32)

    return {name: start(name, shape) for name, shape in shapes.items()}


def texts() -> list[NDArray[np.int64]]:
    """Symbols and those that follow them, both (batch, time)."""
    text = np.random.default_rng(1).integers(0, SYMBOLS, (BATCH, TIME + 1))
    return [np.ascontiguousarray(text[:, :-1]), np.ascontiguousarray(text[:, 1:])]


def limit() -> Limit:
    """The embeddings are parameters, so the input of the first product needs a gradient."""
    symbols = BATCH * TIME
    pairs = BATCH * TIME * (TIME + 1) // 2
    block = [
        2 * symbols * WIDTH * 3 * WIDTH,
        *[2 * pairs * WIDTH] * 2,
        2 * symbols * WIDTH * WIDTH,
        *[2 * symbols * WIDTH * 4 * WIDTH] * 2,
    ]
    return Limit(
        "flops",
        training_flops([*block * LAYERS, 2 * symbols * WIDTH * SYMBOLS], input_gradient=True),
        "products with weights, and in attention those of queries with keys and of shares with values, for no pair "
        "that the mask hides; twice as much for the gradients of both factors",
    )


def graphc_step() -> Step:
    import graphc as gr
    from examples.gpt import GPT

    text, following = texts()
    model = GPT(SYMBOLS, TIME, WIDTH, LAYERS, HEADS)
    model.load_state_dict(values())
    ids = gr.placeholder(("batch", "time"), "int64", name="ids")
    target = gr.placeholder(("batch", "time"), "int64", name="target")
    loss = gr.cross_entropy(model(ids).reshape((-1, SYMBOLS)), target.reshape((-1,)))
    optimizer = gr.optim.AdamW(RATE, BETAS, EPSILON, weight_decay=DECAY)
    train = gr.compile([ids, target], loss, updates=optimizer.updates(loss, model.parameters()))
    return lambda: train(text, following)


def jax_logits(p: Mapping[str, Any], ids: Any) -> Any:
    import jax
    import jax.numpy as jnp

    batch, time = ids.shape
    mask = jnp.tril(jnp.ones((time, time), bool))

    def norm(name: str, x: Any) -> Any:
        centered = x - x.mean(-1, keepdims=True)
        scale = jax.lax.rsqrt((centered**2).mean(-1, keepdims=True) + 1e-5)
        return centered * scale * p[f"{name}.weight"] + p[f"{name}.bias"]

    def linear(name: str, x: Any, joint: str = ".") -> Any:
        return x @ p[f"{name}{joint}weight"].T + p[f"{name}{joint}bias"]

    def attention(name: str, x: Any) -> Any:
        q, k, v = (
            part.reshape(batch, time, HEADS, -1) for part in jnp.split(linear(f"{name}.in_proj", x, "_"), 3, axis=-1)
        )
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * (WIDTH // HEADS) ** -0.5
        shares = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf))
        return linear(f"{name}.out_proj", jnp.einsum("bhqk,bkhd->bqhd", shares, v).reshape(batch, time, WIDTH))

    x = p["wte.weight"][ids] + p["wpe.weight"][:time]
    for layer in range(LAYERS):
        block = f"h.{layer}"
        x = x + attention(f"{block}.attn", norm(f"{block}.ln_1", x))
        wide = jax.nn.gelu(linear(f"{block}.mlp.c_fc", norm(f"{block}.ln_2", x)), approximate=True)
        x = x + linear(f"{block}.mlp.c_proj", wide)
    return norm("ln_f", x) @ p["wte.weight"].T


def jax_adamw(parameters: Any, gradients: Any, slots: Any) -> tuple[Any, Any]:
    """The update of PyTorch's AdamW; the slots are the two running means and the number of steps so far."""
    import jax
    import jax.numpy as jnp

    means, squares, step = slots
    step = step + 1
    means = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, means, gradients)
    squares = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, squares, gradients)
    first, second = 1 - BETAS[0] ** step, 1 - BETAS[1] ** step

    def move(p: Any, m: Any, v: Any) -> Any:
        return p * (1 - RATE * DECAY) - RATE / first * m / (jnp.sqrt(v / second) + EPSILON)

    return jax.tree.map(move, parameters, means, squares), (means, squares, step)


def jax_step(*, wait: bool) -> Step:
    def loss_of(parameters: Any, ids: Any, target: Any) -> Any:
        return jax_cross_entropy(jax_logits(parameters, ids).reshape(-1, SYMBOLS), target.reshape(-1))

    zeros = {name: np.zeros_like(value) for name, value in values().items()}
    return jax_training(loss_of, values(), texts(), jax_adamw, (zeros, zeros, np.float32(0)), wait=wait)


def torch_logits(p: Mapping[str, Any], ids: Any) -> Any:
    from torch.nn import functional

    batch, time = ids.shape

    def norm(name: str, x: Any) -> Any:
        return functional.layer_norm(x, (WIDTH,), p[f"{name}.weight"], p[f"{name}.bias"])

    def linear(name: str, x: Any, joint: str = ".") -> Any:
        return functional.linear(x, p[f"{name}{joint}weight"], p[f"{name}{joint}bias"])

    def attention(name: str, x: Any) -> Any:
        q, k, v = (
            part.view(batch, time, HEADS, -1).transpose(1, 2)
            for part in linear(f"{name}.in_proj", x, "_").split(WIDTH, dim=-1)
        )
        heads = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return linear(f"{name}.out_proj", heads.transpose(1, 2).reshape(batch, time, WIDTH))

    x = functional.embedding(ids, p["wte.weight"]) + p["wpe.weight"][:time]
    for layer in range(LAYERS):
        block = f"h.{layer}"
        x = x + attention(f"{block}.attn", norm(f"{block}.ln_1", x))
        wide = functional.gelu(linear(f"{block}.mlp.c_fc", norm(f"{block}.ln_2", x)), approximate="tanh")
        x = x + linear(f"{block}.mlp.c_proj", wide)
    return norm("ln_f", x) @ p["wte.weight"].T


def torch_adamw(parameters: list[Any]) -> Callable[[Any], None]:
    """The update from a loss; fused, which is four times as fast as the other modes of the optimizer."""
    import torch

    optimizer = torch.optim.AdamW(parameters, RATE, BETAS, EPSILON, DECAY, fused=True)

    def update(loss: Any) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return update


def torch_step(*, compiled: bool) -> Step:
    import torch
    from torch.nn import functional

    parameters = {name: torch.tensor(value, requires_grad=True) for name, value in values().items()}

    def loss_of(ids: Any, target: Any) -> Any:
        return functional.cross_entropy(torch_logits(parameters, ids).reshape(-1, SYMBOLS), target.reshape(-1))

    return torch_training(loss_of, texts(), torch_adamw(list(parameters.values())), compiled=compiled)


WORKLOADS = (
    Workload(
        name="gpt",
        title=f"GPT, {LAYERS} layers of width {WIDTH}, {TIME} symbols, batch {BATCH}, AdamW",
        builders=builders(graphc_step, jax_step, torch_step),
        limit=limit(),
    ),
)
