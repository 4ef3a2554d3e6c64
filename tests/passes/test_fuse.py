"""Fusion: which nodes join, which must not, and that graphs of any size fuse in time that grows with their size."""

from __future__ import annotations

import numpy as np

import graphc as gr
from graphc.ir.graph import Graph
from graphc.passes.fuse import Fuse
from tests.support import calls_made


def groups(outputs: list[gr.Value], inputs: list[gr.Value], limits: Fuse | None = None) -> list[list[str]]:
    """The operations of each fused node."""
    graph = (limits or Fuse())(Graph.of(inputs, outputs))
    return [
        [member.op.name for member in node.attrs.body.nodes if member.inputs]
        for node in graph.nodes
        if node.op.name == "fused"
    ]


def test_a_chain_is_one_group() -> None:
    x = gr.placeholder(("n", 4))
    b = gr.placeholder((4,))
    y = gr.tanh(gr.exp(x + b) * 2.0)
    assert groups([y], [x, b]) == [["add", "exp", "multiply", "tanh"]]


def test_a_reduction_ends_a_group() -> None:
    x = gr.placeholder(("n", 4))
    y = gr.exp(x)
    assert groups([(y * y).sum(1) + 1.0], [x]) == [["exp", "multiply", "sum"]]


def test_what_reads_a_reduction_is_not_in_its_group() -> None:
    x = gr.placeholder(("n", 4))
    e = gr.exp(x)
    found = groups([e / e.sum(1, keepdims=True) * 2.0], [x])
    assert found == [["exp", "sum"], ["divide", "multiply"]]


def test_what_is_around_a_softmax_or_a_normalization_joins_it() -> None:
    x = gr.placeholder(("n", 4))
    assert groups([gr.softmax(x * 2.0) + 1.0], [x]) == [["multiply", "softmax", "add"]]
    assert groups([gr.tanh(gr.layer_norm(gr.exp(x)))], [x]) == [["exp", "normalize", "tanh"]]
    p = gr.log_softmax(x)
    assert groups([gr.exp(p).sum(-1), p], [x]) == [["log_softmax", "exp", "sum"]]


def test_a_softmax_along_another_axis_stays_alone() -> None:
    x = gr.placeholder(("n", 4))
    assert groups([gr.softmax(x * 2.0, axis=0) + 1.0], [x]) == []


def test_a_sum_over_another_axis_than_the_rows_is_apart() -> None:
    x = gr.placeholder((3, 4))
    assert groups([(gr.softmax(x) * 2.0).sum(0)], [x]) == [["multiply", "sum"]]
    assert groups([(gr.exp(gr.softmax(x)) * 2.0).sum()], [x]) == [["softmax", "exp"], ["multiply", "sum"]]


def test_the_statistics_of_rows_are_results_of_their_group() -> None:
    x = gr.placeholder((3, 4))
    y = gr.layer_norm(x) * 2.0
    [by_x] = gr.grad((y * y * y).sum(), [x])
    function = gr.compile([x], [y, by_x])
    array = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    for got, want in zip(function(array), gr.evaluate([y, by_x], {x: array}), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_reductions_over_different_axes_are_apart() -> None:
    x = gr.placeholder((3, 4))
    e = gr.exp(x)
    found = groups([e.sum(0), e.sum(1)], [x])
    assert sorted(map(len, found)) == [2]


def test_a_group_stays_convex() -> None:
    """x -> exp -> product -> add, and exp -> add: the product lies between, so exp and add are apart."""
    x = gr.placeholder((4, 4))
    e = gr.exp(x)
    assert groups([e + e @ e], [x]) == []


def test_groups_do_not_wait_for_each_other() -> None:
    """Two pairs that each could be a group, where each would need the other's result first."""
    x = gr.placeholder((4, 4))
    a, b = gr.exp(x), gr.sin(x)
    c, d = gr.tanh(b @ b) + a, gr.tanh(a @ a) + b
    function = gr.compile([x], [c, d, c * d])
    array = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    for got, want in zip(function(array), gr.evaluate([c, d, c * d], {x: array}), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_different_spaces_are_apart() -> None:
    x = gr.placeholder((3, 4))
    b = gr.placeholder((4,))
    assert groups([gr.exp(b) + x], [x, b]) == []


def test_limits() -> None:
    x = gr.placeholder((8,))
    y = x
    for _ in range(20):
        y = gr.sin(y)
    assert groups([y], [x]) == [["sin"] * 20]
    assert max(map(len, groups([y], [x], Fuse(most_nodes=6)))) <= 6


def test_a_result_that_is_also_read_inside_is_written_once() -> None:
    x = gr.placeholder((5,))
    y = gr.exp(x)
    function = gr.compile([x], [y, y * 2.0])
    assert [step.name for step in function.plan_for().steps] == ["fused"]


def test_unchanged_graph_is_the_same_object() -> None:
    x = gr.placeholder((4, 4))
    graph = Graph.of([x], [gr.exp(x @ x)])
    assert Fuse()(graph) is graph


def work(length: int) -> int:
    x = gr.placeholder((8, 8))
    y, earlier = x, [x]
    for i in range(length // 2):
        y = gr.tanh(y + earlier[max(0, len(earlier) - 7)]) if i % 5 else y @ x
        earlier.append(y)
    graph = Graph.of([x], [y])
    return calls_made(lambda: Fuse()(graph))


def test_work_grows_linearly() -> None:
    assert work(8000) < 8.5 * work(1000)


def test_inside_of_loops_and_only_once() -> None:
    x = gr.placeholder((4, 3))
    carry, _ = gr.scan(lambda h, x: (gr.tanh(h * x + 1.0), None), x[0], x)
    graph = Fuse()(Graph.of([x], [carry]))
    (body,) = [node.attrs.body for node in graph.nodes if node.op.name == "scan"]
    (inside,) = [node for node in body.nodes if node.op.name == "fused"]
    assert [node.op.name for node in inside.attrs.body.nodes if node.inputs] == ["multiply", "add", "tanh"]
    assert Fuse()(graph) is graph
