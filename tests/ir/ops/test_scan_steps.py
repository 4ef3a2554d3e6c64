"""What the step of a scan may hold: derivatives, other loops, choices, random numbers; and steps drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as gr
from tests.ir.ops.looping import check, loop, numbers

W, H, X = numbers(3, 3), numbers(2, 3), numbers(4, 2, 3)
V, P = numbers(3), numbers(4, 3)


def test_gradient_descent_in_a_step() -> None:
    def build(module: Any, scan: Callable[..., Any], grad: Callable[..., Any], p: Any, x: Any) -> Any:
        def step(p: Any, x: Any) -> Any:
            loss = ((x @ p) ** 2).sum() + p.sum() ** 3
            return p - 0.05 * grad(loss, p), loss

        return scan(step, p, x)

    check(
        lambda p, x: build(gr, gr.scan, gr.grad, p, x),
        lambda p, x: build(torch, loop, lambda y, x: torch.autograd.grad(y, x, create_graph=True)[0], p, x),
        [V, P],
    )


def test_a_derivative_in_a_step_by_what_is_around_it() -> None:
    """The way from `w` to the loss leads through `v`, which the step could take as it is: it must not."""

    def build(w: gr.Value, h: gr.Value, x: gr.Value) -> Any:
        v = gr.exp(w * 2.0)
        u = v * v

        def step(h: gr.Value, x: gr.Value) -> Any:
            loss = ((u * h - x) ** 2).sum()
            return h - 0.1 * gr.grad(loss, h), (gr.grad(loss, w), gr.grad(loss, v))

        carry, ys = gr.scan(step, h, x)
        return [carry, *ys]

    def wanted(w: torch.Tensor, h: torch.Tensor, x: torch.Tensor) -> Any:
        v = torch.exp(w * 2.0)

        def step(h: torch.Tensor, x: torch.Tensor) -> Any:
            error = v * v * h - x
            by_u = 2 * error * h
            return h - 0.2 * error * v * v, (by_u * 4 * v * v, by_u * 2 * v)

        carry, ys = loop(step, h, x)
        return [carry, *ys]

    check(build, wanted, [V, numbers(3, seed=1), P])


def test_scans_in_scans() -> None:
    def build(module: Any, scan: Callable[..., Any], w: Any, h: Any, x: Any) -> Any:
        def outer(h: Any, x: Any) -> Any:
            h, y = scan(lambda g, z: (module.tanh(g @ w + z), g), h, x)
            h, z = scan(lambda g, z: (module.tanh(g @ w * z), g @ w), h, y, reverse=True)
            return h, (y, z)

        carry, ys = scan(outer, h, x)
        return [carry, *ys]

    arrays = [W, H, numbers(3, 4, 2, 3)]
    check(lambda *v: build(gr, gr.scan, *v), lambda *v: build(torch, loop, *v), arrays)
    gr.check_gradients(lambda *v: build(gr, gr.scan, *v), arrays, order=2, rtol=1e-4, atol=1e-5)


def test_a_scan_in_a_choice_in_a_scan() -> None:
    def build(w: gr.Value, h: gr.Value, x: gr.Value) -> Any:
        def outer(h: gr.Value, x: gr.Value) -> Any:
            def inner() -> Any:
                h_, y = gr.scan(lambda g, z: (gr.tanh(g * w + z), g * z), h, x)
                return h_, y.sum(0)

            return gr.cond(x.sum() > 0, inner, lambda: (h * w, x[0] * h))

        return gr.scan(outer, h, x)

    def wanted(w: torch.Tensor, h: torch.Tensor, x: torch.Tensor) -> Any:
        def outer(h: torch.Tensor, x: torch.Tensor) -> Any:
            if x.sum() <= 0:
                return h * w, x[0] * h
            h, y = loop(lambda g, z: (torch.tanh(g * w + z), g * z), h, x)
            return h, y.sum(0)

        return loop(outer, h, x)

    arrays = [V, numbers(3, seed=1), numbers(6, 2, 3)]
    taken = {bool(x.sum() > 0) for x in arrays[2]}
    assert taken == {True, False}
    check(build, wanted, arrays)
    gr.check_gradients(build, arrays, order=2, rtol=1e-4, atol=1e-5)


def test_stopped_gradients() -> None:
    check(
        lambda w, h, x: gr.scan(lambda h, x: (gr.tanh(gr.stop_gradient(h) * w + x), gr.stop_gradient(x * w) * x), h, x),
        lambda w, h, x: loop(lambda h, x: (torch.tanh(h.detach() * w + x), (x * w).detach() * x), h, x),
        [V, numbers(3, seed=1), P],
    )


def test_custom_gradients() -> None:
    @gr.custom_gradient
    def doubled(x: gr.Value) -> Any:
        return x * 2.0, lambda g: g * x * 5.0

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
            context.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(context: Any, *g: torch.Tensor) -> torch.Tensor:
            return g[0] * context.saved_tensors[0] * 5

    check(
        lambda w, h, x: gr.scan(lambda h, x: (doubled(h) * w + x, doubled(x)), h, x),
        lambda w, h, x: loop(lambda h, x: (Doubled.apply(h) * w + x, Doubled.apply(x)), h, x),
        [V, numbers(3, seed=1), P],
    )


def test_rows_of_a_table() -> None:
    ids = np.array([[0, 1], [2, 2], [1, 0], [0, 0]])

    def build(table: gr.Value, h: gr.Value, x: gr.Value, ids: gr.Value) -> Any:
        def step(h: gr.Value, slices: Any) -> Any:
            x, i = slices
            rows = gr.take(table, i, axis=0)
            return gr.tanh(h * rows + x), gr.cross_entropy(h * rows, i)

        return gr.scan(step, h, (x, ids))

    def wanted(table: torch.Tensor, h: torch.Tensor, x: torch.Tensor, ids: torch.Tensor) -> Any:
        def step(h: torch.Tensor, slices: Any) -> Any:
            x, i = slices
            return torch.tanh(h * table[i] + x), torch.nn.functional.cross_entropy(h * table[i], i)

        return loop(step, h, (x, ids))

    check(build, wanted, [W, H, X, ids])


def test_random_numbers_are_the_same_in_all_steps() -> None:
    generator = gr.random.Generator(3)
    x = gr.placeholder((4, 2))
    _, ys = gr.scan(lambda h, x: (h, generator.normal((2,)) * x), gr.zeros(2), x)
    function = gr.compile([x], ys)
    first, second = (function(np.ones((4, 2), np.float32)) for _ in range(2))
    assert (first == first[0]).all()
    assert (second == second[0]).all()
    assert not (first == second).any()
    assert generator.state.value.tolist() == [3, 2]


# --- any step

UNARY: list[Callable[[Any, Any], Any]] = [
    lambda m, x: m.tanh(x),
    lambda m, x: m.sigmoid(x),
    lambda m, x: m.sin(x) * x,
    lambda m, x: x * 0.5 + 1.0,
]
BINARY: list[Callable[[Any, Any, Any], Any]] = [
    lambda m, x, y: x + y,
    lambda m, x, y: x * y,
    lambda m, x, y: x - y * 0.5,
    lambda m, x, y: m.tanh(x @ y),
    lambda m, x, y: m.tanh(x @ y.T),
    lambda m, x, y: m.tanh(x.T @ y),
    lambda m, x, y: x + y.sum(0),
]


@settings(max_examples=12)
@given(
    operations=st.lists(st.tuples(st.integers(0, 10), st.integers(0, 30), st.integers(0, 30)), min_size=3, max_size=8),
    picks=st.tuples(*[st.integers(0, 30)] * 4),
    reverse=st.booleans(),
)
def test_random_steps_against_the_steps_one_by_one(
    operations: list[tuple[int, int, int]], picks: tuple[int, ...], reverse: bool
) -> None:
    """Matrices of 2 x 2: any may be multiplied with any. The state is two of them."""

    def step(captured: list[gr.Value], state: tuple[gr.Value, ...], x: gr.Value) -> tuple[Any, Any]:
        values = [*captured, *state, x]
        for kind, left, right in operations:
            a, b = values[left % len(values)], values[right % len(values)]
            values.append(UNARY[kind](gr, a) if kind < len(UNARY) else BINARY[kind - len(UNARY)](gr, a, b))
        first, second, out, other = (values[pick % len(values)] for pick in picks)
        return (gr.tanh(first), gr.tanh(second)), (out, other)

    arrays = [numbers(2, 2, seed=seed) for seed in range(4)] + [numbers(3, 2, 2)]
    values = [gr.placeholder(array.shape, "float64") for array in arrays]
    *captured, g, h, xs = values
    carry, ys = gr.scan(lambda state, x: step(captured, state, x), (g, h), xs, reverse=reverse)
    state: Any = (g, h)
    outputs: list[Any] = []
    for i in (2, 1, 0) if reverse else (0, 1, 2):
        state, output = step(captured, state, xs[i])
        outputs.append(output)
    stacked = [gr.stack(each) for each in zip(*(outputs[::-1] if reverse else outputs), strict=True)]

    weights = [gr.constant(numbers(*shape, seed=9)) for shape in [(2, 2)] * 2 + [(3, 2, 2)] * 2]

    def with_gradients(results: list[gr.Value]) -> list[gr.Value]:
        return [*results, *gr.vjp(results, values, weights)]

    feeds = dict(zip(values, arrays, strict=True))
    wanted = gr.evaluate(with_gradients([*state, *stacked]), feeds)
    rolled = with_gradients([*carry, *ys])
    for found in (gr.evaluate(rolled, feeds), gr.compile(values, rolled)(*arrays)):
        for array, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(array, other, 1e-8, 1e-10)
