from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr

RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_smooth_functions_pass(order: int) -> None:
    gr.check_gradients(lambda x, w: gr.tanh(x @ w), [X, W], order=order)
    gr.check_gradients(lambda x: [gr.softmax(x), gr.exp(x), gr.argmax(x, 1)], [X], order=order)


def test_integers_and_float32_are_taken() -> None:
    gr.check_gradients(lambda table, ids: gr.take(table, ids, 0) ** 2, [W.astype(np.float32), np.array([0, 2, 2])])
    gr.check_gradients(gr.exp, [0.5])
    gr.check_gradients(lambda x: x * 2.0, [np.zeros((0, 3))])


@gr.custom_gradient
def wrong_square(x: gr.Value) -> Any:
    return x * x, lambda g: g * x


@gr.custom_gradient
def wrong_second(x: gr.Value) -> Any:
    return x * x * x, lambda g: g * gr.stop_gradient(3.0 * x * x)


def test_a_wrong_gradient_is_named() -> None:
    with pytest.raises(gr.GradientError, match="order 1 by 'w' along a random direction is") as caught:
        gr.check_gradients(lambda x, w: x @ wrong_square(w), [X, W])
    assert "as central differences with eps=1e-06 give it" in str(caught.value)
    assert caught.value.location.filename == __file__
    with pytest.raises(gr.GradientError, match="by argument 1"):
        gr.check_gradients(lambda *values: values[0] @ wrong_square(values[1]), [X, W])


def test_an_error_that_cancels_in_the_sum_is_found() -> None:
    @gr.custom_gradient
    def softmax_without_gradient(x: gr.Value) -> Any:
        return gr.softmax(x), lambda g: g * 0.0

    with pytest.raises(gr.GradientError, match="order 1 by 'x'"):
        gr.check_gradients(lambda x: softmax_without_gradient(x), [X])


def test_a_wrong_second_derivative_needs_the_second_order() -> None:
    gr.check_gradients(lambda x: wrong_second(x), [X])
    with pytest.raises(gr.GradientError, match="order 2 by 'x'"):
        gr.check_gradients(lambda x: wrong_second(x), [X], order=2)


def test_nothing_to_differentiate() -> None:
    with pytest.raises(gr.GradientError, match="no argument is a float array"):
        gr.check_gradients(lambda ids: gr.cast(ids, "float64"), [np.arange(3)])
    with pytest.raises(gr.GradientError, match="no float output"):
        gr.check_gradients(lambda x: x > 0, [X])
    with pytest.raises(gr.GradientError, match="order=0"):
        gr.check_gradients(gr.exp, [X], order=0)
