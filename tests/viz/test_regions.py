from __future__ import annotations

import numpy as np

from graphc.ir import ops
from graphc.ir.graph import Graph, Node
from graphc.ir.ops.fused import fused
from graphc.ir.source import phase
from graphc.passes.autodiff import Autodiff
from graphc.passes.dce import Dce
from graphc.viz.regions import regions


def names(graph: Graph, region: str) -> list[str]:
    found = regions(graph)
    assert list(found) == list(graph.nodes)
    return [node.outputs[0].name or node.op.name for node in graph.nodes if found[node] == region and _is_drawn(node)]


def _is_drawn(node: Node) -> bool:
    return node.op.name != "constant"


def test_a_graph_without_updates_is_forward() -> None:
    x = ops.placeholder(3, name="x")
    graph = Graph.of([x], [ops.exp(x)])
    assert names(graph, "forward") == ["x", "exp"]


def test_derivatives_are_backward_and_what_follows_is_update() -> None:
    x = ops.placeholder(3, name="x")
    w = ops.parameter(np.zeros(3, np.float32), name="w")
    velocity = ops.variable(np.zeros(3, np.float32), name="velocity")
    loss = ops.sum(w * x)
    speed = velocity * 0.9 + ops.grad(loss, w)
    graph = Graph.of([x], [loss], {velocity: speed, w: w - speed})
    assert names(graph, "forward") == ["x", "w", "multiply", "sum"]
    assert names(graph, "backward") == ["grad"]
    assert names(graph, "update") == ["velocity", "multiply", "add", "subtract"]


def test_what_an_output_needs_is_not_update() -> None:
    x = ops.placeholder(3, name="x")
    mean = ops.variable(np.zeros(3, np.float32), name="mean")
    following = mean + x
    graph = Graph.of([x], [ops.exp(following)], {mean: following})
    assert names(graph, "update") == []
    assert names(Graph.of([x], [x], {mean: following}), "update") == ["mean", "add"]


def test_the_forward_part_of_a_loss_that_is_no_output_stays_forward() -> None:
    x = ops.placeholder(3, name="x")
    w = ops.parameter(np.zeros(3, np.float32), name="w")
    squared = x * w
    with phase("backward"):
        gradient = ops.exp(squared)
    graph = Graph.of([x], [], {w: w - gradient})
    assert names(graph, "forward") == ["x", "w", "multiply"]
    assert names(graph, "backward") == ["exp"]


def test_a_group_is_backward_if_all_its_members_are() -> None:
    x = ops.placeholder(3, name="x")
    a, b = ops.placeholder(3), ops.placeholder(3)
    forward = ops.exp(a)
    with phase("backward"):
        (mixed,) = fused(Graph.of([a], [forward * 2.0]), [x])
        (backward,) = fused(Graph.of([b], [ops.exp(b)]), [x])
    found = regions(Graph.of([x], [mixed, backward]))
    assert (found[mixed.node], found[backward.node]) == ("forward", "backward")


def test_loops_stand_where_they_were_asked_for() -> None:
    """The forward loop that hands out what the gradient reads belongs to the forward graph, the one back does not."""
    x = ops.placeholder((4, 3), name="x")
    w = ops.parameter(np.ones(3, np.float32), name="w")
    carry, _ = ops.scan(lambda h, x: (ops.tanh(h * w + x), None), ops.zeros(3), x)
    loss = ops.sum(carry)
    graph = Autodiff()(Graph.of([x], [loss], {w: w - ops.grad(loss, w)}))
    graph = Dce()(graph)
    assert names(graph, "forward").count("scan") == 1
    assert names(graph, "backward").count("scan") == 1
    assert names(graph, "update") == ["subtract"]
