from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import graphc as gr
from graphc.ir.closure import close, dependents, is_literal
from graphc.ir.graph import Graph, Value
from graphc.ir.substitute import substitute
from graphc.ir.verify import verify
from tests.passes.passing import formulas


def same(found: Sequence[Value], wanted: Sequence[Value]) -> None:
    """Values are compared by identity: ``==`` makes a node."""
    assert list(map(id, found)) == list(map(id, wanted))


def closed(arguments: Sequence[Value], *results: Value) -> tuple[list[Value], list[str]]:
    """What was cut off, and the results, where it is called a, b, ... once the graph has been found to be whole."""
    outer, (found,), inside = close(arguments, results)
    verify(Graph.of([*arguments, *inside], found))
    names = [gr.placeholder(value.shape, value.dtype, name) for value, name in zip(inside, "abcd", strict=False)]
    return outer, formulas(substitute(found, dict(zip(inside, names, strict=True))))


def test_what_depends_on_the_arguments_stays_inside() -> None:
    x, y = gr.placeholder((3,), name="x"), gr.placeholder((3,), name="y")
    outside = gr.exp(y) * 2.0
    outer, results = closed([x], gr.sin(x) + outside, gr.tanh(x))
    same(outer, [outside])
    assert results == ["add(sin(x), a)", "tanh(x)"]


def test_results_that_are_arguments_or_from_around() -> None:
    x, y = gr.placeholder((3,), name="x"), gr.placeholder((3,), name="y")
    outer, results = closed([x], x, y, y, x)
    same(outer, [y])
    assert results == ["x", "a", "a", "x"]


def test_variables_are_cut_off_and_literals_are_not() -> None:
    x, w = gr.placeholder((3,), name="x"), gr.parameter(np.ones(3, np.float32), "w")
    twos = gr.broadcast_to(2.0, (3,))
    assert is_literal(twos)
    assert not is_literal(twos * 2.0)
    outer, results = closed([x], x * w + twos)
    same(outer, [w])
    assert results == ["add(multiply(x, a), broadcast_to(2.0, shape=(3,)))"]


def test_sizes_stay_inside() -> None:
    x, y = gr.placeholder(("n",), "int64", name="x"), gr.placeholder(("n",), name="y")
    outer, results = closed([x], x + gr.dim_size(y.shape[0]))
    same(outer, [])
    assert results == ["add(x, dim_size(size=n))"]


def test_nodes_that_may_stand_inside_can_be_named() -> None:
    x, y = gr.placeholder((3,), name="x"), gr.placeholder((3,), name="y")
    first = gr.exp(y)
    second = gr.sin(first)
    total = second + x
    outer, ((result,),), inside = close([x], [total], inside={total.node, second.node})
    same(outer, [first])
    assert formulas(substitute([result], {inside[0]: y})) == ["add(sin(y), x)"]
    outer, _, _ = close([x], [total], inside=set())
    same(outer, [total])


def test_the_way_of_a_derivative_stays_inside() -> None:
    x, w = gr.placeholder((3,), name="x"), gr.placeholder((3,), name="w")
    v = gr.exp(w)
    u = gr.sin(v)
    beside = gr.cos(v)
    slope = gr.grad((u * x * beside).sum(), w)
    outer, ((result,),), (inside,) = close([x], [slope])
    same(outer, [w])
    point = {x: np.float32([1, 2, 3]), w: np.float32([0.1, 0.2, 0.3])}
    found = gr.evaluate(result, {x: point[x], inside: point[w]})
    np.testing.assert_allclose(found, gr.evaluate(slope, point), 1e-6)
    assert found.any()


def test_a_derivative_by_a_value_on_the_way() -> None:
    x, w = gr.placeholder((3,), name="x"), gr.placeholder((3,), name="w")
    v = gr.exp(w)
    slope = gr.grad((gr.sin(v) * x).sum(), v)
    outer, ((result,),), (inside,) = close([x], [slope])
    same(outer, [v])
    found = gr.evaluate(result, {x: np.ones(3), inside: np.float32([1, 2, 3])})
    np.testing.assert_allclose(found, np.cos([1, 2, 3]), 1e-6)


def test_dependents() -> None:
    x, y = gr.placeholder((3,)), gr.placeholder((3,))
    a, b = gr.exp(x), gr.exp(y)
    c = a + b
    assert dependents([c], [x]) == {a.node, c.node}
    assert dependents([c, b], [a]) == {c.node}
    assert dependents([x], [x]) == set()
