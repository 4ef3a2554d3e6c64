"""Values that carry updates: construction, evaluation and derivatives; tests/passes/test_effects.py compiles them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr


def counter(start: float = 0.0) -> gr.Variable:
    return gr.variable(start, name="counter", dtype="float64")


def test_is_a_value_of_the_same_type() -> None:
    for x in (gr.placeholder(("n", 3)), gr.placeholder((2,), "bool"), gr.placeholder((), "int64")):
        assert gr.with_updates(x, {counter(): 1.0}).type == x.type
    assert gr.with_updates([1.0, 2.0], {counter(): 1.0}).shape == (2,)


def test_evaluation_ignores_updates_and_what_only_they_need() -> None:
    x, unknown, count = gr.placeholder((2,)), gr.placeholder((), "float64"), counter(5.0)
    y = gr.with_updates(2.0 * x, {count: unknown})
    assert gr.evaluate(y, {x: [1, 2]}).tolist() == [2, 4]
    assert gr.evaluate([gr.exp(y), count], {x: [0, 0]})[1] == 5.0
    assert count.value == 5.0


def test_gradients_flow_through_the_value_and_not_into_the_updates() -> None:
    count = counter()
    gr.check_gradients(lambda x: gr.with_updates(gr.sin(x), {count: x.sum()}) * x, [np.linspace(-1, 1, 3)], order=2)
    x = gr.placeholder((3,), "float64")
    y = gr.with_updates(gr.sin(x), {count: (100.0 * x).sum()})
    array, ones = np.linspace(-1, 1, 3), gr.constant(np.ones(3))
    np.testing.assert_allclose(gr.evaluate(gr.vjp(y, x, ones), {x: array}), np.cos(array))
    np.testing.assert_allclose(gr.evaluate(gr.jvp(y, x, ones), {x: array}), np.cos(array))


def test_a_derivative_by_the_result_is_not_one_by_the_value() -> None:
    x = gr.placeholder((), "float64")
    y = gr.with_updates(x, {counter(): 1.0})
    loss = x * x * y
    wanted = [2 * 3.0 * 3.0 + 9.0, 9.0]
    results = [gr.grad(loss, x), gr.grad(loss, y)]
    assert gr.evaluate(results, {x: 3.0}) == wanted
    assert gr.compile([x], results)(3.0) == wanted


@pytest.mark.parametrize(
    ("target", "value", "error", "match"),
    [
        (lambda count: count * 2.0, 1.0, gr.GraphError, "expected: a variable"),
        (lambda count: "counter", 1.0, gr.GraphError, "an update of 'counter'"),
        (lambda count: count, np.ones(3), gr.ShapeError, r"float64\[3\]"),
        (lambda count: count, np.float32(1), gr.DTypeError, r"\.astype\('float64'\)"),
    ],
)
def test_updates_must_fit_their_variables(target: Any, value: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match) as caught:
        gr.with_updates(gr.placeholder((2,)), {target(counter()): value})
    assert "test_effects.py" in str(caught.value)
