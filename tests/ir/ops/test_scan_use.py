"""Scans as they are used: containers, dtypes, open sizes, what their graphs hold, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc as gr
from graphc.ir.bodies import bodies
from graphc.ir.graph import Graph
from tests.ir.ops.looping import numbers

W, X = numbers(3, 3), numbers(4, 2, 3)
V, P = numbers(3), numbers(4, 3)


class Pair(NamedTuple):
    first: Any
    second: Any


def test_nested_containers() -> None:
    x = gr.placeholder((4, 3), "float64")
    init = {"pair": Pair(x[0], None), "list": [x[1], (x[2],)], "none": None}

    def step(state: Any, slices: Any) -> Any:
        assert isinstance(state["pair"], Pair)
        assert isinstance(slices["x"], list)
        (x,) = slices["x"]
        first, second, third = state["pair"].first, state["list"][0], state["list"][1][0]
        return {"pair": Pair(second * x, None), "list": [third, (first + x,)], "none": None}, Pair(first, (None, third))

    carry, ys = gr.scan(step, init, {"x": [x], "nothing": None})
    assert isinstance(carry["pair"], Pair)
    assert (carry["none"], carry["pair"].second, ys.second[0]) == (None, None, None)
    point = numbers(4, 3)
    a, b, c = point[0], point[1], point[2]
    firsts, thirds = [], []
    for row in point:
        firsts.append(a)
        thirds.append(c)
        a, b, c = b * row, c, a + row
    found = gr.compile([x], [carry["pair"].first, carry["list"][0], carry["list"][1][0], ys.first, ys.second[1]])(point)
    for array, other in zip(found, [a, b, c, np.stack(firsts), np.stack(thirds)], strict=True):
        np.testing.assert_allclose(array, other, 1e-12)


def test_nothing_to_carry_and_nothing_to_give() -> None:
    x = gr.placeholder((4, 3), "float64")
    assert gr.scan(lambda _, x: (None, None), None, x) == (None, None)
    nothing, squares = gr.scan(lambda _, x: ((), x * x), (), x)
    assert nothing == ()
    np.testing.assert_allclose(gr.compile([x], squares)(X[:, 0]), X[:, 0] ** 2)


@pytest.mark.parametrize(
    ("init", "dtype", "wanted"),
    [
        (0.0, "float64", "float64"),
        (0.0, "float32", "float32"),
        (0, "float32", "float32"),
        (0, "int32", "int32"),
        (0, "int64", "int64"),
        (False, "float64", "float64"),
    ],
)
def test_numbers_take_the_dtype_that_the_step_makes(init: Any, dtype: str, wanted: str) -> None:
    x = gr.placeholder((4,), dtype)
    carry, before = gr.scan(lambda s, x: (s + x, s), init, x)
    assert (carry.dtype, before.dtype) == (gr.constant(0, wanted).dtype,) * 2
    assert gr.compile([x], carry)([1, 2, 3, 4]) == 10


def test_counters_stay_integers() -> None:
    x = gr.placeholder((4,), "float32")
    (count, total), _ = gr.scan(lambda s, x: ((s[0] + 1, s[1] + x), None), (0, 0), x)
    assert (str(count.dtype), str(total.dtype)) == ("int64", "float32")
    assert gr.compile([x], count)(np.ones(4, np.float32)) == 4


def test_sizes_that_are_not_known() -> None:
    x, h, b = gr.placeholder((None, None), "float64"), gr.placeholder((None,), "float64"), gr.placeholder(3, "float64")
    carry, ys = gr.scan(lambda h, x: (gr.tanh(h + b), x + b), h, x)
    wanted = [carry, ys, *gr.grad(carry.sum() + (ys * ys).sum(), [x, h, b])]
    function = gr.compile([x, h, b], wanted, verify=True)
    for length in (1, 4):
        feeds = dict(zip([x, h, b], [numbers(length, 3), V, numbers(3, seed=1)], strict=True))
        for found, other in zip(function(*feeds.values()), gr.evaluate(wanted, feeds), strict=True):
            np.testing.assert_allclose(found, other, 1e-12)
    wrong = {x: P, h: numbers(1), b: V}
    for call in (lambda: function(*wrong.values()), lambda: gr.evaluate(wanted, wrong)):
        with pytest.raises(gr.FeedError, match="a size left open"):
            call()


def test_slices_whose_counts_are_not_known() -> None:
    x, y = gr.placeholder((None,), "float64"), gr.placeholder((None,), "float64")
    carry, _ = gr.scan(lambda s, p: (s + p[0] * p[1], None), 0.0, (x, y))
    function = gr.compile([x, y], [carry, *gr.grad(carry, [x, y])])
    total, by_x, by_y = function([1, 2], [3, 4])
    assert (total, by_x.tolist(), by_y.tolist()) == (11, [3, 4], [1, 2])
    with pytest.raises(gr.FeedError, match="a size left open"):
        function([1, 2], [3])


# --- graphs


def test_what_does_not_change_is_computed_once() -> None:
    w, x = gr.placeholder((3, 3), "float64"), gr.placeholder((4, 3), "float64")
    carry, _ = gr.scan(lambda h, x: (gr.tanh(h @ gr.exp(w) + x), None), x[0], x)
    (body,) = [body for _, body in bodies(carry.node)]
    assert "exp" not in {node.op.name for node in body.nodes}


def count(graph: Graph, name: str) -> int:
    """How many operations of a name a graph holds, in the graphs inside its nodes too."""
    within = (count(body, name) for node in graph.nodes for _, body in bodies(node))
    return sum(node.op.name == name for node in graph.nodes) + sum(within)


def test_neither_graph_nor_plan_grows_with_the_steps() -> None:
    def sizes(steps: int) -> tuple[int, int]:
        x = gr.placeholder((steps, 2, 3))
        carry, ys = gr.scan(lambda h, x: (gr.tanh(h * x), h), gr.zeros((2, 3)), x)
        function = gr.compile([x], [carry, gr.grad((ys * ys).sum(), x)])
        return count(function.graph, "tanh"), len(str(function.plan).splitlines())

    assert sizes(2) == sizes(50_000)


def test_gradients_of_one_loop_share_its_forward_loop() -> None:
    w = gr.parameter(W)
    x = gr.placeholder((None, 2, 3), "float64")
    carry, ys = gr.scan(lambda h, x: (gr.tanh(h @ w + x), h), x[0], x)
    once, twice = gr.grad(carry.sum(), w), gr.grad((ys * ys).sum(), w)
    function = gr.compile([x], [carry, once, twice])
    assert (count(function.graph, "scan"), count(function.graph, "tanh")) == (3, 1)
    again = gr.compile([x], [carry, once, gr.grad(carry.sum(), w)])
    assert (count(again.graph, "scan"), count(again.graph, "tanh")) == (2, 1)
    wanted = gr.evaluate([carry, once, twice], {x: X})
    for found, array in zip(function(X), wanted, strict=True):
        np.testing.assert_allclose(found, array, 1e-10)


def test_the_sum_over_steps_of_products_is_one_product() -> None:
    w = gr.parameter(W)
    x = gr.placeholder((5, 2, 3), "float64")
    carry, _ = gr.scan(lambda h, x: (gr.tanh(h @ w + x), None), x[0], x)
    graph = gr.compile([x], [], {w: w - 0.1 * gr.grad(carry.sum(), w)}).graph
    assert [node.op.name for node in graph.nodes if node.op.name in ("gemm", "matmul")] == ["gemm"]
    assert count(graph, "matmul") == 2  # in the forward and in the backward step


def test_the_gradient_of_a_table_has_one_row_for_each_that_was_used() -> None:
    table = gr.parameter(numbers(50, 3))
    ids = gr.placeholder((6, 2), "int64")
    carry, _ = gr.scan(lambda h, i: (gr.tanh(h + gr.take(table, i, axis=0)), None), gr.zeros((2, 3), "float64"), ids)
    following = table - 0.1 * gr.grad(carry.sum(), table)
    function = gr.compile([ids], [], {table: following})
    assert [node.op.name for node in function.graph.nodes].count("index_add") == count(function.graph, "index_add") == 1
    point = np.array([[0, 1], [1, 49], [3, 3], [0, 0], [-1, 2], [7, 8]])
    wanted = gr.evaluate(following, {ids: point})
    function(point)
    np.testing.assert_allclose(table.value, wanted, 1e-12)
    rows = np.unique(point % 50)
    assert (np.delete(wanted, rows, 0) == np.delete(numbers(50, 3), rows, 0)).all()
    assert (wanted[rows] != numbers(50, 3)[rows]).all()


# --- wrong uses

A = gr.placeholder((4, 3), "float64", "a")
B = gr.placeholder((5, 3), "float64", "b")


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: gr.scan(lambda h, x: (h.astype("float32"), h), A[0], A), gr.DTypeError, "made state of type float32"),
        (lambda: gr.scan(lambda h, x: (h[:2], h), A[0], A), gr.ShapeError, "made state of type float64[2]"),
        (
            lambda: gr.scan(lambda h, x: ({"h": (h["h"][0], h["h"][1][:1])}, None), {"h": (A[0], A[1])}, A),
            gr.ShapeError,
            "made state['h'][1] of type float64[1]",
        ),
        (lambda: gr.scan(lambda h, x: ((h, h), h), A[0], A), gr.GraphError, "made a state of the structure (*, *)"),
        (lambda: gr.scan(lambda h, x: ([h[0]], None), (A[0],), A), gr.GraphError, "of the structure [*]"),
        (lambda: gr.scan(lambda h, x: (0.5, None), A[0].astype("int64"), A), gr.DTypeError, "made state of type float"),
        (lambda: gr.scan(lambda h, x: h, A[0], A), gr.GraphError, "the step returned <placeholder"),
        (lambda: gr.scan(lambda h, x: (h, h, h), A[0], A), gr.GraphError, "the step returned ("),
        (lambda: gr.scan(lambda h, x: (h, "word"), A[0], A), gr.DTypeError, "output is 'word'"),
        (lambda: gr.scan(lambda h, x: (object(), None), A[0], A), gr.DTypeError, "state is <object"),
        (lambda: gr.scan(lambda h, x: (h, None), {"h": "word"}, A), gr.DTypeError, "init['h'] is 'word'"),
        (lambda: gr.scan(lambda h, x: (h, h), A[0], [A, object()]), gr.DTypeError, "xs[1] is <object"),
        (lambda: gr.scan(lambda h, x: (h, h), A[0], {"a": A, "b": B}), gr.ShapeError, "xs['b'] has 5 slices"),
        (lambda: gr.scan(lambda h, x: (h, h), A[0], A, length=5), gr.ShapeError, "xs has 4 slices"),
        (lambda: gr.scan(lambda h, x: (h, h), A[0], A[0, 0]), gr.ShapeError, "xs is 0-d"),
        (lambda: gr.scan(lambda h, x: (h, h), A[0]), gr.GraphError, "the number of steps is not known"),
        (lambda: gr.scan(lambda h, x: (h, h), A[0], length=-1), gr.ShapeError, "length=-1"),
        (lambda: gr.scan(lambda h, x: (h, h), A[0], length=2.5), gr.DTypeError, "length=2.5"),  # type: ignore[arg-type]
        (lambda: gr.scan(lambda h, x: (h, h), A[0], length=True), gr.DTypeError, "length=True"),
        (lambda: gr.scan(lambda h, x: (h, h), A[0], length=A.sum()), gr.DTypeError, "length=<sum"),  # type: ignore[arg-type]
    ],
)
def test_wrong_uses(call: Callable[[], Any], kind: type[gr.GraphError], words: str) -> None:
    with pytest.raises(kind) as info:
        call()
    assert type(info.value) is kind
    assert words in info.value.found
    assert info.value.found.startswith("scan: ")
    assert info.value.expected
    assert info.value.remedy
    assert info.value.location is not None
    assert info.value.location.filename == __file__


def test_values_that_leave_a_step() -> None:
    leaked: list[gr.Value] = []

    def step(h: gr.Value, x: gr.Value) -> Any:
        leaked.append(h * x)
        return h + x, h

    carry, _ = gr.scan(step, A[0], A)
    assert gr.compile([A], carry)(P).shape == (3,)
    uses: list[Callable[[], Any]] = [
        lambda: gr.compile([A], leaked[0] + 1.0),
        lambda: gr.compile([A], gr.scan(lambda h, x: (h + leaked[0], None), A[0], A)[0]),
        lambda: gr.evaluate(leaked[0], {A: P}),
    ]
    for use in uses:
        with pytest.raises(gr.GraphError, match="a value from inside the step of a scan is used outside") as info:
            use()
        assert info.value.location is not None
        assert info.value.location.text == "leaked.append(h * x)"


def test_updates_inside_are_refused() -> None:
    v = gr.variable(np.zeros(3))
    carry, _ = gr.scan(lambda h, x: (h + gr.with_updates(x, {v: v + x}), None), A[0], A)
    with pytest.raises(gr.GraphError, match=r"an update of .* stands in the graph body of scan"):
        gr.compile([A], carry)
