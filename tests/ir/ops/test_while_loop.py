"""Loops that end by a condition, against Python's ``while``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from tests.ir.ops.looping import numbers


def both(outputs: Any, feeds: dict[gr.Value, Any]) -> list[Any]:
    """Results compiled and interpreted."""
    return [gr.compile(list(feeds), outputs)(*feeds.values()), gr.evaluate(outputs, feeds)]


def test_counting() -> None:
    n = gr.placeholder((), "int64")
    (count, total) = gr.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] + s[0] * s[0]), (0, 0))
    function = gr.compile([n], [count, total])
    for stop in (0, -3, 1, 10, 1000):
        found = function(stop)
        assert found == [max(stop, 0), sum(i * i for i in range(stop))]
        assert gr.evaluate([count, total], {n: stop}) == found


def test_collatz() -> None:
    n = gr.placeholder((), "int64")
    steps, _ = gr.while_loop(
        lambda s: s[1] != 1, lambda s: (s[0] + 1, gr.where(s[1] % 2 == 0, s[1] // 2, 3 * s[1] + 1)), (0, n)
    )
    function = gr.compile([n], steps)
    assert [int(function(start)) for start in (1, 6, 7, 27)] == [0, 8, 16, 111]


def test_newton_iterations() -> None:
    x = gr.placeholder((None,), "float64")
    tolerance = gr.placeholder((), "float64")
    root, count = gr.while_loop(
        lambda s: gr.max(gr.abs(s[0] * s[0] - x)) > tolerance,
        lambda s: ((s[0] + x / s[0]) / 2.0, s[1] + 1),
        (gr.ones_like(x), 0),
    )
    point = np.array([2.0, 9.0, 0.25])
    for found, steps in both([root, count], {x: point, tolerance: 1e-12}):
        np.testing.assert_allclose(found, np.sqrt(point), 1e-12)
        assert steps == 6  # from 1 to 3, the root of 9


def test_no_steps_give_the_state_as_it_was() -> None:
    x = gr.placeholder((2, 3), "float64")
    last = gr.while_loop(lambda s: s.sum() < -100.0, lambda s: s * 2.0, x)
    for found in both(last, {x: numbers(2, 3)}):
        np.testing.assert_array_equal(found, numbers(2, 3))


def test_state_in_containers_that_changes_places() -> None:
    x = gr.placeholder((), "int64")
    last = gr.while_loop(
        lambda s: s["b"] < x,
        lambda s: {"a": s["b"], "b": s["a"] + s["b"], "even": s["a"] % 2 == 0},
        {"a": 0, "b": 1, "even": False},
    )
    for a, b, even in both([last["a"], last["b"], last["even"]], {x: 50}):
        assert (a, b, even) == (34, 55, False)


def test_loops_in_loops() -> None:
    """Sums of the digits of a number, until one digit is left."""
    n = gr.placeholder((), "int64")

    def digits(n: gr.Value) -> gr.Value:
        _, total = gr.while_loop(lambda s: s[0] > 0, lambda s: (s[0] // 10, s[1] + s[0] % 10), (n, 0))
        made: gr.Value = total
        return made

    root = gr.while_loop(lambda s: s > 9, digits, n)
    function = gr.compile([n], root)
    for number in (7, 10, 99999, 123456789):
        assert function(number) == 1 + (number - 1) % 9


def test_in_a_scan_and_around_one() -> None:
    x = gr.placeholder((4, 3), "float64")

    def step(h: gr.Value, x: gr.Value) -> Any:
        count, h = gr.while_loop(lambda s: s[1].sum() < 3.0, lambda s: (s[0] + 1, s[1] + gr.exp(x)), (0, h))
        return h * 0.1, count

    def again(s: Any) -> Any:
        carry, counts = gr.scan(step, s[0], x)
        return carry, s[1] + counts.sum()

    state, total = gr.while_loop(lambda s: s[1] < 20, again, (x[0], 0))
    compiled, interpreted = both([state, total], {x: numbers(4, 3)})
    np.testing.assert_allclose(compiled[0], interpreted[0], 1e-12)
    assert compiled[1] == interpreted[1] >= 20


# --- gradients


def test_no_gradient_through_the_loop() -> None:
    x = gr.placeholder((3,), "float64")
    last = gr.while_loop(lambda s: s.sum() < 3.0, lambda s: s * 2.0, x)
    for use in (lambda: gr.compile([x], gr.grad(last.sum(), x)), lambda: gr.evaluate(gr.grad(last.sum(), x), {x: 1})):
        with pytest.raises(gr.GradientError, match="while_loop has no reverse-mode gradient") as info:
            use()
        assert "gr.scan" in info.value.remedy
        assert info.value.location is not None
        assert info.value.location.text.startswith("last = gr.while_loop(")


def test_gradients_beside_the_loop() -> None:
    x = gr.placeholder((), "float64")
    power = gr.while_loop(lambda s: s < x, lambda s: s * 2.0, 1.0)
    count = gr.while_loop(lambda s: s.astype("float64") < x, lambda s: s + 1, 0)
    chosen = gr.cond(power > 6.0, lambda: x * x, lambda: x)
    outputs = gr.grad(x * gr.stop_gradient(power) + x * count.astype("float64") + chosen, [x])
    for (found,) in both(outputs, {x: 5.0}):
        assert found == 8.0 + 5.0 + 10.0


A = gr.placeholder((4, 3), "float64", "a")


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: gr.while_loop(lambda s: s, lambda s: s, A.sum()), gr.DTypeError, "the condition has type float64[]"),
        (lambda: gr.while_loop(lambda s: s > 0, lambda s: s, A[0]), gr.ShapeError, "the condition has type bool[3]"),
        (
            lambda: gr.while_loop(lambda s: s.sum() > 0, lambda s: s.astype("float32"), A),
            gr.DTypeError,
            "the step made state of type float32[4, 3]",
        ),
        (
            lambda: gr.while_loop(lambda s: s.sum() > 0, lambda s: s[:1], A),
            gr.ShapeError,
            "the step made state of type",
        ),
        (lambda: gr.while_loop(lambda s: s.sum() > 0, lambda s: (s,), A), gr.GraphError, "of the structure (*,)"),
        (lambda: gr.while_loop(lambda s: True, lambda s: s, ()), gr.GraphError, "the state holds no value"),
        (lambda: gr.while_loop(lambda s: True, lambda s: s, {"a": "word"}), gr.DTypeError, "init['a'] is 'word'"),
    ],
)
def test_wrong_uses(call: Callable[[], Any], kind: type[gr.GraphError], words: str) -> None:
    with pytest.raises(kind) as info:
        call()
    assert type(info.value) is kind
    assert words in info.value.found
    assert info.value.found.startswith("while_loop: ")
    assert info.value.expected
    assert info.value.remedy
    assert info.value.location is not None
    assert info.value.location.filename == __file__


def test_arguments_that_leave_the_loop() -> None:
    leaked: list[gr.Value] = []
    gr.while_loop(lambda s: leaked.append(s) or s.sum() < 3.0, lambda s: s * 2.0, A)
    with pytest.raises(gr.GraphError, match="a value from inside the step of a while_loop is used outside of it"):
        gr.compile([A], leaked[0] + 1.0)
