"""What compiling makes of values that carry updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr


def state(start: float = 0.0, name: str = "state") -> gr.Variable:
    return gr.variable(start, name=name, dtype="float64")


X = gr.placeholder((), "float64", name="x")


def test_a_function_updates_what_its_results_depend_on() -> None:
    first, second = state(), state()
    y = gr.with_updates(X * X, {first: first + X})
    z = gr.with_updates(X + 1.0, {second: second + X})
    function = gr.compile([X], gr.exp(y) * 0.0)
    for _ in range(3):
        function(2.0)
    assert (first.value, second.value) == (6.0, 0.0)
    gr.compile([X], [z, y])(10.0)
    assert (first.value, second.value) == (16.0, 10.0)
    gr.compile([X], X + first)(1.0)
    assert first.value == 16.0


def test_a_derivative_or_an_update_is_enough_to_depend_on() -> None:
    count, w = state(), gr.parameter(2.0, dtype="float64")
    loss = gr.with_updates(w * X, {count: count + 1.0}) ** 2.0
    gr.compile([X], gr.grad(loss, w))(3.0)
    assert count.value == 1.0
    gr.compile([X], [], gr.optim.SGD(0.5).updates(loss, [w]))(3.0)
    assert (count.value, w.value) == (2.0, 2.0 - 0.5 * 2 * 3.0 * 6.0)
    w.value = 2.0
    w.default_update = gr.with_updates(w + 1.0, {count: count + 5.0})
    gr.compile([], w * 1.0)()
    assert (count.value, w.value) == (7.0, 3.0)


def test_results_see_the_values_before_the_call() -> None:
    count = state(1.0)
    function = gr.compile([X], [gr.with_updates(X + count, {count: count * 2.0}), count])
    assert function(0.0) == [1.0, 1.0]
    assert function(0.0) == [2.0, 2.0]


def test_no_pass_sees_the_marker() -> None:
    count = state()
    function = gr.compile([X], gr.with_updates(X * 2.0, {count: count + X}))
    assert all("with_updates" not in function.to_text(stage.name) for stage in function.stages)
    assert "%state <- " in function.to_text("written")


def test_passes_can_be_verified() -> None:
    x, mean = gr.placeholder(("n", 3)), gr.variable(np.zeros(3, np.float32))
    y = gr.with_updates(x - x.mean(0), {mean: 0.5 * mean + 0.5 * x.mean(0)})
    gr.compile([x], gr.exp(y).sum(), verify=True)


@pytest.mark.parametrize("combine", [lambda y, z: [y, z], lambda y, z: [z, y], lambda y, z: [z * y]])
def test_several_updates_follow_each_other_as_they_were_made(combine: Callable[..., list[gr.Value]]) -> None:
    total = state(1.0)
    y = gr.with_updates(X * 1.0, {total: 10.0 * total + X})
    z = gr.with_updates(X * 2.0, {total: 10.0 * total + 2.0 * X})
    gr.compile([X], combine(y, z))(3.0)
    assert total.value == 10.0 * (10.0 * 1.0 + 3.0) + 6.0
    gr.compile([X], z)(3.0)
    assert total.value == 10.0 * 136.0 + 6.0


def test_one_after_another_on_the_same_path() -> None:
    total = state()

    def layer(x: gr.Value) -> gr.Value:
        return gr.with_updates(gr.sin(x), {total: total + x})

    function = gr.compile([X], layer(layer(layer(X))))
    function(0.5)
    np.testing.assert_allclose(total.value, 0.5 + np.sin(0.5) + np.sin(np.sin(0.5)))
    # What an update is made of is not computed anew for it.
    assert sum(node.op.name == "sin" for node in function.stage("dce").nodes) == 3


def test_updates_of_one_value_happen_together() -> None:
    a, b = state(1.0), state(2.0)
    y = gr.with_updates(X, {a: b, b: a})
    gr.compile([X], y)(0.0)
    assert (a.value, b.value) == (2.0, 1.0)
    gr.compile([X], gr.with_updates(y, {a: a + 10.0 * b, b: b}))(0.0)
    assert (a.value, b.value) == (1.0 + 10.0 * 2.0, 2.0)


def test_a_named_update_stands_instead() -> None:
    total, count = state(), state()
    free = gr.placeholder((), "float64", name="free")
    y = gr.with_updates(X, {total: total + free, count: count + 1.0})
    gr.compile([X], y, {total: total})(1.0)  # the other placeholder is not needed any more
    assert (total.value, count.value) == (0.0, 1.0)
    gr.compile([X], y, {total: total + 7.0})(1.0)
    assert (total.value, count.value) == (7.0, 2.0)
    with pytest.raises(gr.GraphError, match="'free'"):
        gr.compile([X], y)


def test_later_updates_do_not_see_those_that_a_named_one_replaced() -> None:
    total, other = state(1.0), state()
    y = gr.with_updates(X, {total: total + 100.0})
    z = gr.with_updates(y, {other: total})
    gr.compile([X], z, {total: total + 1.0})(0.0)
    assert (total.value, other.value) == (2.0, 1.0)


def test_instead_of_a_default_update_and_with_those_of_others() -> None:
    total = state()
    total.default_update = total + 100.0
    generator = gr.random.Generator(3)
    y = gr.with_updates(X, {total: total + generator.uniform((), dtype="float64")})
    function = gr.compile([X], y)
    function(0.0)
    first = total.value
    function(0.0)
    assert 0 < first < 1
    assert total.value - first not in (0.0, first)
    assert generator.state.value.tolist() == [3, 2]


def marked(x: gr.Value) -> gr.Value:
    return gr.with_updates(x * 2.0, {state(name="inner"): 1.0})


def custom(x: gr.Value) -> gr.Value:
    result: gr.Value = gr.custom_gradient(lambda x: (marked(x), lambda g: g))(x)
    return result


def backward(x: gr.Value) -> gr.Value:
    result: gr.Value = gr.grad(gr.custom_gradient(lambda x: (x, marked))(x), x)
    return result


def loop(x: gr.Value) -> gr.Value:
    result: gr.Value = gr.scan(lambda carry, _: (marked(carry), None), x, None, length=3)[0]
    return result


def nested(x: gr.Value) -> gr.Value:
    result: gr.Value = gr.scan(lambda carry, _: (loop(carry), None), x, None, length=2)[0]
    return result


def branch(x: gr.Value) -> Any:
    return gr.cond(x > 0.0, marked, lambda x: x, x)


@pytest.mark.parametrize("build", [custom, backward, loop, nested, branch])
def test_functions_that_nodes_hold_may_not_update(build: Callable[[gr.Value], gr.Value]) -> None:
    y = build(X)
    with pytest.raises(gr.GraphError, match=r"an update of <variable 'inner'.*> stands in the graph \w+") as caught:
        gr.compile([X], y)
    assert "gr.with_updates(x * 2.0" in str(caught.value)
    assert "evaluation mode" in str(caught.value)
