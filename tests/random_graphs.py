"""Random graphs for tests: small programs that mix every kind of operation, with inputs that suit them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import graphc as gr

__all__ = ["RandomGraph", "random_graphs"]

Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(frozen=True)
class RandomGraph:
    """A program and arrays for its placeholders."""

    inputs: list[gr.Value]
    outputs: list[gr.Value]
    updates: dict[gr.Variable, gr.Value]
    arrays: list[np.ndarray]

    @property
    def feeds(self) -> dict[gr.Value, np.ndarray]:
        return dict(zip(self.inputs, self.arrays, strict=True))


# Functions that are defined everywhere and keep numbers small, so that rounding stays comparable.
_UNARY: Sequence[Callable[[gr.Value], gr.Value]] = (
    gr.negative,
    gr.abs,
    gr.tanh,
    gr.sigmoid,
    gr.relu,
    gr.sin,
    gr.cos,
    gr.softplus,
    gr.arctan,
    gr.erf,
    lambda x: gr.exp(gr.clip(x, -3.0, 3.0)),
    lambda x: gr.log(gr.abs(x) + 1.0),
    lambda x: gr.sqrt(x * x + 0.5),
    lambda x: gr.rsqrt(x * x + 0.5),
    lambda x: x**2,
    lambda x: x * 1.0 + 0.0,
    lambda x: gr.stop_gradient(x) * x,
    lambda x: x / (gr.abs(x) + 2.0),
    lambda x: gr.where(x > 0.25, x, x * 0.5),
)

_BINARY: Sequence[Callable[[gr.Value, gr.Value], gr.Value]] = (
    gr.add,
    gr.subtract,
    lambda x, y: gr.tanh(x) * y,
    gr.maximum,
    gr.minimum,
    lambda x, y: x / (gr.abs(y) + 1.5),
    lambda x, y: gr.where(x < y, x, gr.sin(y)),
)

_REDUCTIONS: Sequence[Callable[..., gr.Value]] = (gr.sum, gr.mean, gr.max, gr.min, gr.logsumexp, gr.var)


def _broadcasts(left: gr.Value, right: gr.Value) -> bool:
    pairs = zip(reversed(left.shape), reversed(right.shape), strict=False)
    return all(a == b or a == 1 or b == 1 for a, b in pairs)


def _grow(draw: Draw, values: list[gr.Value]) -> gr.Value | None:
    """One more value from those at hand; None where the drawn operation does not fit."""
    x = draw(st.sampled_from(values))
    kind = draw(st.integers(0, 13))
    if kind <= 3:
        return draw(st.sampled_from(_UNARY))(x)
    if kind <= 6:
        fitting = [y for y in values if _broadcasts(x, y)]
        y = draw(st.sampled_from(fitting))
        return draw(st.sampled_from(_BINARY))(x, y) if draw(st.booleans()) else draw(st.sampled_from(_BINARY))(y, x)
    if x.ndim == 0:
        return None
    axis = draw(st.integers(0, x.ndim - 1))
    if kind == 7:
        reduction = draw(st.sampled_from(_REDUCTIONS))
        axes = draw(st.sampled_from([axis, None, tuple(range(axis + 1))]))
        return reduction(x, axes, keepdims=draw(st.booleans()))
    if kind == 8:
        return draw(st.sampled_from([gr.softmax, gr.log_softmax, gr.cumsum]))(x, axis)
    if kind == 9:
        fitting = [y for y in values if y.ndim == 2 and x.ndim == 2 and y.shape[0] == x.shape[1]]
        return gr.matmul(x, draw(st.sampled_from(fitting))) * 0.5 if fitting else None
    if kind == 10:
        order = draw(st.permutations(range(x.ndim)))
        return gr.transpose(x, tuple(order))
    if kind == 11:
        step = draw(st.sampled_from([1, 2, -1]))
        start = draw(st.sampled_from([None, 0, 1])) if step > 0 else None
        return x[(slice(None),) * axis + (slice(start, None, step),)]
    if kind == 12:
        fitting = [y for y in values if y.shape == x.shape]
        return gr.concatenate([x, draw(st.sampled_from(fitting))], axis)
    return draw(
        st.sampled_from(
            [
                lambda: gr.reshape(x, (-1,)),
                lambda: gr.expand_dims(x, axis),
                lambda: gr.pad(x, [(1, 0) if i == axis else (0, 0) for i in range(x.ndim)], 0.5),
                lambda: gr.flip(x, axis),
                lambda: gr.take(x, np.array([0, 0]), axis) if x.shape[axis] != 0 else None,
                lambda: gr.reshape(gr.reshape(x, (-1,)), x.shape),
            ]
        )
    )()


@st.composite
def random_graphs(draw: Draw, max_ops: int = 12) -> RandomGraph:
    """Programs of placeholders, variables and up to ``max_ops`` operations, often with gradients and updates."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    batch = draw(st.integers(1, 4))
    shapes = [("batch", 3), (3,), (3, 4), ("batch", 1)]
    inputs, arrays, values = [], [], []
    for number in range(draw(st.integers(1, 3))):
        shape = draw(st.sampled_from(shapes))
        inputs.append(gr.placeholder(shape, dtype, name=f"x{number}"))
        concrete = tuple(batch if size == "batch" else size for size in shape)
        arrays.append(rng.uniform(-2, 2, concrete).astype(dtype))
    variables = [
        gr.parameter(rng.uniform(-1, 1, shape).astype(dtype), name=f"w{number}")
        for number, shape in enumerate([(3, 3), (3,)][: draw(st.integers(0, 2))])
    ]
    values = [*inputs, *variables]
    for _ in range(draw(st.integers(1, max_ops))):
        made = _grow(draw, values)
        if made is not None and made.ndim <= 3 and 0 not in made.shape:
            values.append(made)
    outputs = [values[-1], *draw(st.lists(st.sampled_from(values), max_size=2))]
    updates: dict[gr.Variable, gr.Value] = {}
    if draw(st.booleans()):
        loss = gr.mean(gr.tanh(values[-1]))
        targets = [*variables, draw(st.sampled_from(values))]
        gradients = gr.grad(loss, targets)
        outputs += [loss, gradients[-1]]
        updates = {w: w - 0.1 * g for w, g in zip(variables, gradients, strict=False)}
    return RandomGraph(inputs, outputs, updates, arrays)
