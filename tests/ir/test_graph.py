from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.errors import GraphError
from graphc.ir import ops
from graphc.ir.dims import symbol
from graphc.ir.graph import Graph, Value, reachable
from graphc.ir.interpret import interpret
from graphc.ir.types import float32

Binary = Callable[[Any, Any], Any]

NUMBERS: list[Binary] = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
]
BITS: list[Binary] = [operator.and_, operator.or_, operator.xor]


def evaluate(build: Callable[..., Value], *arrays: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    values = [ops.placeholder(array.shape, array.dtype.name) for array in arrays]
    graph = Graph.of(values, [build(*values)])
    return interpret(graph, dict(zip(values, arrays, strict=True)), {})[0]


def same(result: np.ndarray[Any, Any], expected: Any) -> None:
    np.testing.assert_array_equal(result, expected, strict=True)


@pytest.mark.parametrize("operation", NUMBERS, ids=lambda operation: operation.__name__)
def test_operators_on_numbers_are_numpys(operation: Binary) -> None:
    a, b = np.array([1.5, 2.0, 3.0]), np.array([0.5, 2.0, 4.0])
    same(evaluate(operation, a, b), operation(a, b))
    for other in (2, 0.5, np.float64(3.0), np.array([2.0, 1.0, 4.0])):
        same(evaluate(lambda x, other=other: operation(x, other), a), operation(a, other))
        same(evaluate(lambda x, other=other: operation(other, x), a), operation(other, a))


@pytest.mark.parametrize("operation", BITS, ids=lambda operation: operation.__name__)
@pytest.mark.parametrize("dtype", ["bool", "int32"])
def test_operators_on_bits_are_numpys(operation: Binary, dtype: str) -> None:
    a, b = np.array([0, 1, 5, 6]).astype(dtype), np.array([3, 0, 4, 6]).astype(dtype)
    same(evaluate(operation, a, b), operation(a, b))
    same(evaluate(lambda x: operation(x, True), a), operation(a, True))
    same(evaluate(lambda x: operation(True, x), a), operation(True, a))


def test_unary_operators_are_numpys() -> None:
    a = np.array([1.5, -2.0])
    same(evaluate(operator.neg, a), -a)
    same(evaluate(operator.pos, a), a)
    same(evaluate(abs, a), abs(a))
    same(evaluate(operator.invert, np.array([3, -1])), ~np.array([3, -1]))
    same(evaluate(operator.matmul, np.eye(2), a), a)
    same(evaluate(lambda x: np.eye(2) @ x, a), a)


def test_a_size_is_an_operand() -> None:
    x = ops.placeholder(("n",), "int64")
    graph = Graph.of([x], [x * x.shape[0], x.shape[0] + x, (x.shape[0] * 2 - 1) * x])
    results = interpret(graph, {x: np.arange(3)}, {"n": 3})
    for result, expected in zip(results, ([0, 3, 6], [3, 4, 5], [0, 5, 10]), strict=True):
        same(result, np.array(expected))


def test_comparison_with_what_is_no_array_is_pythons() -> None:
    x = ops.placeholder(3)
    assert (x == None) is False  # noqa: E711
    assert (x != "x") is True


def test_values_are_told_apart_by_identity() -> None:
    x, y = ops.placeholder(3), ops.placeholder(3)
    assert len({x, y, x}) == 2
    assert {x: 1, y: 2}[y] == 2


@pytest.mark.parametrize(
    "use",
    [bool, lambda x: x and x, lambda x: not x, lambda x: 0 < x < 1, lambda x: x in [ops.placeholder(())]],
    ids=["bool", "and", "not", "chain", "in"],
)
def test_the_truth_of_a_value_is_refused_with_a_remedy(use: Callable[[Value], Any]) -> None:
    with pytest.raises(GraphError) as error:
        use(ops.placeholder((), name="x") > 0.0)
    text = str(error.value)
    assert "was asked for, but a symbolic value has none while the graph is built" in text
    assert "gr.where(condition, a, b); combine conditions with &, | and ~" in text
    assert "  at " in text
    assert "test_graph.py" in text


@pytest.mark.parametrize("use", [float, int, complex, range, np.asarray, np.exp, [1, 2].__getitem__])
def test_the_number_of_a_value_is_refused_with_a_remedy(use: Callable[[Value], Any]) -> None:
    x = ops.placeholder((), name="x")
    error = TypeError if use is np.exp else GraphError  # NumPy's functions leave values alone
    with pytest.raises(error) as raised:
        use(x)
    if error is GraphError:
        assert "<placeholder 'x': float32[]> was asked for its number" in str(raised.value)
        assert "gr.compile" in str(raised.value)


def test_values_nodes_and_graphs_are_frozen() -> None:
    x = ops.placeholder(3, name="x")
    graph = Graph.of([x], [x + x])
    for target, name in ((x, "type"), (x, "other"), (x.node, "op"), (graph, "nodes")):
        with pytest.raises((AttributeError, TypeError)):
            setattr(target, name, None)
    with pytest.raises(AttributeError, match="a Value is frozen: 'dtype' cannot be set"):
        x.dtype = float32  # type: ignore[misc]


def test_len_and_iteration_follow_the_first_axis() -> None:
    array = np.arange(6.0).reshape(3, 2)
    assert len(ops.placeholder((3, 2))) == 3
    rows = list(ops.placeholder((3, 2)))
    assert [row.shape for row in rows] == [(2,)] * 3
    same(evaluate(lambda x: ops.add(*list(x)[1:]), array), array[1] + array[2])
    a, b = ops.placeholder((2,))
    assert a.shape == b.shape == ()


@pytest.mark.parametrize("shape", [(), ("n", 2)])
def test_len_of_a_scalar_or_of_a_symbolic_axis_is_refused(shape: tuple[Any, ...]) -> None:
    value = ops.placeholder(shape)
    with pytest.raises(TypeError, match=r"len\(\) of <placeholder: float32\[(.|\n)*use .*\.ndim"):
        len(value)
    with pytest.raises(TypeError, match="a loop over"):
        list(value)


def test_what_a_value_tells() -> None:
    x = ops.placeholder(("n", 2), name="x")
    assert (x.dtype, x.shape, x.ndim, x.size, x.name) == (float32, (symbol("n"), 2), 2, symbol("n") * 2, "x")
    assert repr(x) == "<placeholder 'x': float32[n, 2]>"
    assert repr(x + 1) == "<add: float32[n, 2]>"
    assert (x + 1).name is None
    assert x.T.shape == (2, symbol("n"))
    assert repr((x + 1).node) == "<add -> float32[n, 2]>"
    assert repr(Graph.of([x], [x + 1])) == "<Graph: 3 nodes, 1 inputs, 1 outputs>"


def test_a_graph_holds_what_its_results_need() -> None:
    x, unused = ops.placeholder(3, name="x"), ops.placeholder(3)
    w = ops.parameter(np.zeros(3, np.float32), name="w")
    a = x * w
    b = a + a
    ops.exp(b)  # nothing needs it
    graph = Graph.of([x, unused], [b], {w: a})
    assert graph.nodes == (x.node, unused.node, w.node, a.node, b.node)
    assert list(graph.results) == [b, a]
    assert list(graph.variables) == [w]
    assert graph.users[a] == (b.node, b.node)
    assert graph.users[b] == graph.users[unused] == ()


def test_deep_graphs_need_no_recursion() -> None:
    value = ops.placeholder(())
    for _ in range(20_000):
        value = ops.negative(value)
    assert len(reachable([value])) == 20_001
