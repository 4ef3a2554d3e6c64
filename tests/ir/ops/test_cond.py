"""Choices against Python's ``if``, with PyTorch's gradients: interpreted and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from tests.ir.ops.looping import Array, check, compiled_and_interpreted, numbers

V, H, W = numbers(3), numbers(3, seed=1), numbers(3, 3)

Branch = Callable[..., Any]


def either(true: Branch, false: Branch) -> tuple[Branch, Branch]:
    """A choice by the sign of the first operand's sum; of graphc, and of Python."""

    def of_tensors(*tensors: Any) -> Any:
        return true(torch, *tensors) if tensors[0].sum() > 0 else false(torch, *tensors)

    def of_values(*values: gr.Value) -> Any:
        return gr.cond(values[0].sum() > 0, lambda *v: true(gr, *v), lambda *v: false(gr, *v), *values)

    return of_values, of_tensors


def captured(true: Branch, false: Branch) -> tuple[Branch, Branch]:
    """The same, where the branches have no operands and read what is around them."""

    def of_values(*values: gr.Value) -> Any:
        return gr.cond(values[0].sum() > 0, lambda: true(gr, *values), lambda: false(gr, *values))

    return of_values, either(true, false)[1]


PAIRS: dict[str, tuple[Branch, Branch, list[Array]]] = {
    "elementwise": (lambda m, x, y: m.exp(x * y) * y, lambda m, x, y: m.sin(x) * y, [V, H]),
    "products": (lambda m, x, w: m.tanh(x @ w) @ w, lambda m, x, w: m.exp(w @ x), [V, W]),
    "operands themselves": (lambda m, x, y: (x, x, y), lambda m, x, y: (y, x * y, x), [V, H]),
    "one of them unused": (lambda m, x, y: x * 2, lambda m, x, y: m.cos(y), [V, H]),
    "sums kept": (lambda m, x, y: m.softmax(x, -1) * y.sum(), lambda m, x, y: m.softmax(y * x, -1), [V, H]),
}


@pytest.mark.parametrize("sign", [1, -1], ids=["true", "false"])
@pytest.mark.parametrize("made", [either, captured])
@pytest.mark.parametrize("name", PAIRS)
def test_against_if(name: str, made: Callable[..., tuple[Branch, Branch]], sign: int) -> None:
    true, false, (first, *others) = PAIRS[name]
    arrays = [sign * np.abs(first), *others]
    of_values, of_tensors = made(true, false)
    check(of_values, of_tensors, arrays)
    gr.check_gradients(of_values, arrays, order=2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sign", [1, -1], ids=["true", "false"])
def test_integers_bools_and_indices_are_kept_for_the_gradient(sign: int) -> None:
    def true(m: Any, x: Any, y: Any) -> Any:
        return m.where(x > y, x * y, y) * x[m.argmax(y)]

    def false(m: Any, x: Any, y: Any) -> Any:
        return m.where(x * y > 0, m.exp(x), m.exp(y)) * y.max()

    check(*either(true, false), [sign * np.abs(V), H])


def test_constants_and_numbers() -> None:
    x = gr.placeholder((), "float64")
    value, number, both = gr.cond(x > 0, lambda: (x, 0.5, 1), lambda: (gr.constant(2.0, "float64"), x * x, 0.5))
    assert [str(each.dtype) for each in (value, number, both)] == ["float64", "float64", "float32"]
    function = gr.compile([x], [value, number, both, gr.grad(value + number, x)])
    assert [float(array) for array in function(3.0)] == [3.0, 0.5, 1.0, 1.0]
    assert [float(array) for array in function(-3.0)] == [2.0, 9.0, 0.5, -6.0]


def test_only_the_chosen_branch_runs() -> None:
    table, i = gr.placeholder((3,), "float64"), gr.placeholder((), "int64")
    inside = (i >= 0) & (i < 3)
    value = gr.cond(inside, lambda: gr.take(table, i), lambda: -1.0)
    outputs = [value, gr.grad(value, table)]
    function = gr.compile([table, i], outputs)
    for index, wanted, gradient in ((1, 5.0, [0, 1, 0]), (9, -1.0, [0, 0, 0])):
        feeds = {table: np.array([4.0, 5.0, 6.0]), i: index}
        for found in (function(*feeds.values()), gr.evaluate(outputs, feeds)):
            assert found[0] == wanted
            np.testing.assert_array_equal(found[1], gradient)


@pytest.mark.parametrize(("x", "y"), [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_choices_in_choices(x: int, y: int) -> None:
    def build(x: gr.Value, y: gr.Value, w: gr.Value) -> gr.Value:
        shared = gr.exp(w)

        def first() -> gr.Value:
            made: gr.Value = gr.cond(y.sum() > 0, lambda: shared * x, lambda: x * y)
            return made * w

        made: gr.Value = gr.cond(x.sum() > 0, first, lambda: gr.cond(y.sum() > 0, lambda: y * shared, lambda: w))
        return made

    def wanted(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return (torch.exp(w) * x if y.sum() > 0 else x * y) * w
        return y * torch.exp(w) if y.sum() > 0 else w * 1.0

    check(build, wanted, [x * np.abs(V), y * np.abs(H), numbers(3, seed=2)])


def test_forward_mode() -> None:
    def build(x: gr.Value) -> gr.Value:
        y = gr.cond(x.sum() > 0, lambda: gr.exp(x) * x, lambda: gr.sin(x) * x)
        made: gr.Value = gr.jvp(y, x, gr.cos(x))
        return made

    for x in (np.abs(V), -np.abs(V)):
        wanted = (np.exp(x) * (1 + x) if x[0] > 0 else np.cos(x) * x + np.sin(x)) * np.cos(x)
        value = gr.placeholder((3,), "float64")
        np.testing.assert_allclose(gr.evaluate(build(value), {value: x}), wanted, 1e-12)
        compiled_and_interpreted(build, [x])


def test_a_derivative_in_a_branch_by_what_is_around_it() -> None:
    def build(w: gr.Value, h: gr.Value) -> gr.Value:
        v = w * w * w
        made: gr.Value = gr.cond(h.sum() > 0, lambda: gr.grad((v * h).sum(), w), lambda: v)
        return made

    check(build, lambda w, h: 3 * w * w * h if h.sum() > 0 else w * w * w, [V, np.abs(H)])
    check(build, lambda w, h: 3 * w * w * h if h.sum() > 0 else w * w * w, [V, -np.abs(H)])


def test_gradients_of_one_choice_share_it() -> None:
    x = gr.placeholder((3,), "float64")
    y = gr.cond(x.sum() > 0, lambda: gr.softmax(x), lambda: gr.exp(x))
    outputs = [y, gr.grad(y[0], x), gr.grad(gr.sum(y * y), x)]
    function = gr.compile([x], outputs)
    assert [node.op.name for node in function.graph.nodes].count("cond") == 3  # the choice and two gradients
    for point in (V, -V):
        for found, wanted in zip(function(point), gr.evaluate(outputs, {x: point}), strict=True):
            np.testing.assert_allclose(found, wanted, 1e-12)


A = gr.placeholder((4, 3), "float64", "a")
YES = A.sum() > 0


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: gr.cond(A.sum(), lambda: A, lambda: A), gr.DTypeError, "a condition of type float64[]"),
        (lambda: gr.cond(1, lambda: A, lambda: A), gr.DTypeError, "a condition of type int64[]"),
        (lambda: gr.cond(A[0] > 0, lambda: A, lambda: A), gr.ShapeError, "a condition of type bool[3]"),
        (lambda: gr.cond(YES, lambda: A, lambda: A.astype("float32")), gr.DTypeError, "result has type float64[4, 3]"),
        (lambda: gr.cond(YES, lambda: {"r": A}, lambda: {"r": A[0]}), gr.ShapeError, "result['r'] has type"),
        (lambda: gr.cond(YES, lambda: 0.5, lambda: A.sum().astype("int64")), gr.DTypeError, "and int64[] in the other"),
        (lambda: gr.cond(YES, lambda: A, lambda: (A, A)), gr.GraphError, "the branches return * and (*, *)"),
        (lambda: gr.cond(YES, lambda: None, lambda: A), gr.GraphError, "the branches return None and *"),
        (lambda: gr.cond(YES, lambda: "word", lambda: A), gr.DTypeError, "result is 'word'"),
        (lambda: gr.cond(YES, lambda a: A, lambda a: A, "word"), gr.DTypeError, "operands[0] is 'word'"),
    ],
)
def test_wrong_uses(call: Callable[[], Any], kind: type[gr.GraphError], words: str) -> None:
    with pytest.raises(kind) as info:
        call()
    assert type(info.value) is kind
    assert words in info.value.found
    assert info.value.found.startswith("cond: ")
    assert info.value.expected
    assert info.value.remedy
    assert info.value.location is not None
    assert info.value.location.filename == __file__


def test_arguments_that_leave_a_branch() -> None:
    leaked: list[gr.Value] = []
    gr.cond(YES, lambda a: leaked.append(a * 2.0) or a, lambda a: a, A)
    with pytest.raises(gr.GraphError, match="a value from inside a branch of a cond is used outside of it"):
        gr.compile([A], leaked[0])
