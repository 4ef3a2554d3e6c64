"""Scans against loops of PyTorch in float64, forward and every gradient, interpreted and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from tests.ir.ops.looping import Array, check, compiled_and_interpreted, loop, numbers

W, H, X = numbers(3, 3), numbers(2, 3), numbers(4, 2, 3)
V, P = numbers(3), numbers(4, 3)

Case = tuple[Callable[..., Any], Callable[..., Any], list[Array]]
"""A step for graphc and for PyTorch, each of what is captured, the state and a slice; what is captured, init and xs."""


def same(step: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A step that is written alike for both, but for the module that its functions come from."""
    return (lambda *captured: step(gr, *captured)), (lambda *captured: step(torch, *captured))


def gru(m: Any, wx: Any, wh: Any, b: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        gates = x @ wx + h @ wh + b
        r, z = m.sigmoid(gates[:, :3]), m.sigmoid(gates[:, 3:6])
        h = (1 - z) * m.tanh(gates[:, 6:] * r) + z * h
        return h, h

    return step


STEPS: dict[str, Case] = {
    "recurrent": (*same(lambda m, w: lambda h, x: (m.tanh(h @ w + x), h * x)), [W, H, X]),
    "linear": (*same(lambda m, w: lambda h, x: (h @ w, None)), [W, H, X]),
    "linear in the slice": (*same(lambda m, w: lambda h, x: (h, x @ w)), [W, H, X]),
    "weights used twice": (
        *same(lambda m, w: lambda h, x: (m.tanh(m.tanh(h @ w) @ w + x), h @ w)),
        [W, H, X],
    ),
    "weights transposed": (*same(lambda m, w: lambda h, x: (m.tanh(h @ w.T + x), x @ w)), [W, H, X]),
    "weights on the left": (*same(lambda m, w: lambda h, x: (m.tanh(w @ h.T + x.T).T, w @ x.T)), [W, H, X]),
    "both transposed": (*same(lambda m, w: lambda h, x: (m.tanh((w.T @ h.T).T + x), h)), [W, H, X]),
    "a product of weights": (
        *same(lambda m, w, u: lambda h, x: (m.tanh(h @ (w @ u) + x), h @ w)),
        [W, numbers(3, 3, seed=1), H, X],
    ),
    "peephole and bias": (
        *same(lambda m, p, b: lambda h, x: (m.sigmoid(h * p + x + b) * h, m.exp(h * p) + b)),
        [V, numbers(3, seed=1), H, X],
    ),
    "gates": (*same(gru), [numbers(3, 9), numbers(3, 9, seed=1), numbers(9), H, X]),
    "batched weights": (
        *same(lambda m, w: lambda h, x: (m.tanh(h @ w + x), h)),
        [numbers(5, 3, 3), numbers(5, 2, 3), numbers(4, 5, 2, 3)],
    ),
    "weights for all of a batch": (
        *same(lambda m, w: lambda h, x: (m.tanh(h @ w + x), h)),
        [W, numbers(5, 2, 3), numbers(4, 5, 2, 3)],
    ),
    "vectors": (*same(lambda m, w: lambda h, x: (m.tanh(w @ h + x), h @ x)), [W, V, P]),
    "captured twice over": (
        *same(lambda m, w: lambda h, x: (m.tanh(h + (w * x).sum()), (w * h).sum(0) + m.exp(w) * 2)),
        [numbers(2, 3), V, P],
    ),
    "softmax": (
        lambda w: lambda h, x: (gr.softmax(h @ w + x), gr.log_softmax(h) * x),
        lambda w: lambda h, x: (torch.softmax(h @ w + x, -1), torch.log_softmax(h, -1) * x),
        [W, H, X],
    ),
    "pieces": (
        lambda: lambda h, x: (gr.concatenate([h[1:], h[:1] * x]), gr.flip(h, 0)),
        lambda: lambda h, x: (torch.cat([h[1:], h[:1] * x]), torch.flip(h, (0,))),
        [V, numbers(5)],
    ),
    "state is the slice": (*same(lambda m: lambda h, x: (x, h * 2)), [V, P]),
    "state stays": (*same(lambda m: lambda h, x: (h, h * x)), [V, P]),
    "state is captured": (*same(lambda m, w: lambda h, x: (w, h * x)), [numbers(3, seed=1), V, P]),
    "outputs of all kinds": (
        lambda w: lambda h, x: (h * x, (h, x, w, h * x, h * x, gr.constant(2.0, "float64"))),
        lambda w: lambda h, x: (h * x, (h, x, w, h * x, h * x, 2.0 + 0.0 * x.sum())),
        [numbers(3, seed=1), H, X],
    ),
}


def scanned(captured: Callable[..., Any], reverse: bool, scan: Callable[..., Any]) -> Callable[..., Any]:
    def build(*values: Any) -> Any:
        *outer, init, xs = values
        carry, ys = scan(captured(*outer), init, xs, reverse=reverse)
        return [carry] if ys is None else [carry, *ys] if isinstance(ys, tuple) else [carry, ys]

    return build


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("name", STEPS)
def test_against_a_loop(name: str, reverse: bool) -> None:
    step, torch_step, arrays = STEPS[name]
    check(scanned(step, reverse, gr.scan), scanned(torch_step, reverse, loop), arrays)


@pytest.mark.parametrize("name", ["recurrent", "linear", "gates", "a product of weights", "vectors", "softmax"])
@pytest.mark.parametrize("steps", [0, 1])
def test_few_steps(name: str, steps: int) -> None:
    step, _, (*outer, init, xs) = STEPS[name]
    compiled_and_interpreted(scanned(step, False, gr.scan), [*outer, init, xs[:steps]])


@pytest.mark.parametrize("name", ["recurrent", "weights used twice", "peephole and bias", "batched weights", "pieces"])
def test_second_derivatives(name: str) -> None:
    step, _, arrays = STEPS[name]
    build = scanned(step, False, gr.scan)
    gr.check_gradients(build, arrays, order=2, rtol=1e-4, atol=1e-5)

    def gradients(*values: gr.Value) -> list[gr.Value]:
        loss = sum(((value * value).sum() for value in build(*values)), start=gr.constant(0.0, "float64"))
        made: list[gr.Value] = gr.grad(loss, values)
        return made

    compiled_and_interpreted(gradients, arrays)


def test_third_derivatives() -> None:
    def second(w: gr.Value, h: gr.Value, x: gr.Value) -> list[gr.Value]:
        ys = gr.scan(lambda h, x: (gr.tanh(h * w + x), h * x), h, x)[1]
        by_w, by_h = gr.grad((ys * ys).sum(), [w, h])
        made: list[gr.Value] = gr.grad((by_w * by_w).sum() + (by_h * h).sum(), [w, x])
        return made

    arrays = [V, numbers(3, seed=1), P]
    gr.check_gradients(second, arrays)
    compiled_and_interpreted(second, arrays)


def test_forward_mode() -> None:
    def build(w: gr.Value, h: gr.Value, x: gr.Value) -> list[gr.Value]:
        outputs = gr.scan(lambda h, x: (gr.tanh(h @ w + x), h * x), h, x)
        made: list[gr.Value] = gr.jvp(outputs, [w, x], [gr.sin(w), gr.cos(x)])
        return made

    def wanted(w: torch.Tensor, h: torch.Tensor, x: torch.Tensor) -> Any:
        def outputs(w: torch.Tensor, x: torch.Tensor) -> Any:
            return loop(lambda h, x: (torch.tanh(h @ w + x), h * x), h, x)

        return torch.autograd.functional.jvp(outputs, (w, x), (torch.sin(w), torch.cos(x)), create_graph=True)[1]

    check(build, wanted, [W, H, X])


def test_gradients_by_what_a_scan_gives() -> None:
    def build(w: gr.Value, h: gr.Value, x: gr.Value) -> list[gr.Value]:
        carry, ys = gr.scan(lambda h, x: (gr.tanh(h * w + x), h * x), h, x)
        made: list[gr.Value] = gr.grad((carry * ys.sum(0)).sum(), [carry, ys, w])
        return made

    def wanted(w: torch.Tensor, h: torch.Tensor, x: torch.Tensor) -> Any:
        carry, ys = loop(lambda h, x: (torch.tanh(h * w + x), h * x), h, x)
        return torch.autograd.grad((carry * ys.sum(0)).sum(), [carry, ys, w], create_graph=True)

    check(build, wanted, [V, numbers(3, seed=1), P])


def test_one_array_in_several_places() -> None:
    check(
        lambda x: gr.scan(lambda s, p: ((s[0] * p[0], s[1] @ p[1]), s[0] + s[1]), (x[0], x[0]), (x, x))[1],
        lambda x: loop(lambda s, p: ((s[0] * p[0], s[1] @ p[1]), s[0] + s[1]), (x[0], x[0]), (x, x))[1],
        [numbers(4, 3, 3)],
    )


def test_states_that_change_places() -> None:
    def step(s: Any, x: Any) -> Any:
        return (s[1], s[0] * x, s[0]), s[2]

    check(
        lambda a, b, x: [*(made := gr.scan(step, (a, b, a), x))[0], made[1]],
        lambda a, b, x: [*(made := loop(step, (a, b, a), x))[0], made[1]],
        [V, numbers(3, seed=1), P],
    )


def test_outputs_of_which_some_are_used() -> None:
    def ends(module: Any, scan: Callable[..., Any], w: Any, h: Any, x: Any) -> list[Any]:
        (_, total), (_, sums) = scan(
            lambda s, x: ((module.tanh(s[0] * w + x), s[1] + s[0].sum()), (s[0] * x, s[1])), (h, h.sum() * 0), x
        )
        return [total, sums]

    check(
        lambda w, h, x: ends(gr, gr.scan, w, h, x),
        lambda w, h, x: ends(torch, loop, w, h, x),
        [V, numbers(3, seed=1), P],
    )


def test_a_length_instead_of_slices() -> None:
    check(
        lambda w, h: gr.scan(lambda h, x: (gr.tanh(h @ w), h), h, length=3),
        lambda w, h: loop(lambda h, x: (torch.tanh(h @ w), h), h, length=3),
        [W, H],
    )
    x = gr.placeholder(("n", 3), "float64")
    count, ys = gr.scan(lambda s, _: (s + 1, s), 0, length=x.shape[0] * 2)
    assert ys.shape == (x.shape[0] * 2,)
    function = gr.compile([x], [count, ys])
    for n in (0, 1, 5):
        found, all_found = function(np.zeros((n, 3)))
        assert found == 2 * n
        np.testing.assert_array_equal(all_found, np.arange(2 * n))


def test_integers_and_bools() -> None:
    def build(w: gr.Value, x: gr.Value, k: gr.Value, m: gr.Value) -> list[gr.Value]:
        def step(state: Any, slices: Any) -> Any:
            (h, count, odd), (x, k, m) = state, slices
            new = gr.where(m, h * w + x, h), count + k, gr.logical_xor(odd, m)
            return new, (count * 2, gr.cast(k, "float64") * h, odd)

        carry, ys = gr.scan(step, (w, np.int32(3), False), (x, k, m))
        return [*carry, *ys]

    def wanted(w: torch.Tensor, x: torch.Tensor, k: torch.Tensor, m: torch.Tensor) -> list[Any]:
        def step(state: Any, slices: Any) -> Any:
            (h, count, odd), (x, k, m) = state, slices
            return (torch.where(m, h * w + x, h), count + k, odd ^ m), (count * 2, k.double() * h, odd)

        carry, ys = loop(step, (w, torch.tensor(3, dtype=torch.int32), torch.tensor(False)), (x, k, m))
        return [*carry, *ys]

    check(build, wanted, [V, numbers(5, 3), np.arange(5, dtype=np.int32), np.array([1, 0, 1, 1, 0], bool)])
