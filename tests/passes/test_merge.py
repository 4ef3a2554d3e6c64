"""Loops and choices of the same steps become one; others stay as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

import graphc as gr
from graphc.ir.bodies import bodies
from graphc.ir.graph import Graph, Value
from graphc.ir.verify import verify
from graphc.passes.autodiff import Autodiff
from graphc.passes.dce import Dce
from graphc.passes.merge import merged
from tests.passes.passing import names, results, same

X = np.random.default_rng(0).standard_normal((4, 3)) / 2


def loops(graph: Graph) -> list[str]:
    """The loops and choices of a graph, those inside it indented by what holds them."""
    found = []
    for node in graph.nodes:
        if node.op.merge is not None or node.op.name == "while_loop":
            found.append(node.op.name)
            found += [f"{node.op.name}/{inner}" for _, body in bodies(node) for inner in loops(body)]
    return found


def expanded(outputs: list[Value], x: Value) -> Graph:
    """The graph with derivatives expanded and loops merged; its values are those of the interpreter."""
    graph = Dce()(Autodiff()(Graph.of([x], outputs)))
    verify(graph)
    point = np.broadcast_to(X, x.type.shape)
    for found, wanted in zip(results(graph, {x: point}), gr.evaluate(outputs, {x: point}), strict=True):
        same(found, wanted)
    return graph


def rnn(h: Value, x: Value) -> tuple[Value, Value]:
    h = gr.tanh(h * x + 0.5)
    return h, h * h


def test_the_loop_of_two_gradients_is_one() -> None:
    x = gr.placeholder((4, 3), "float64")
    carry, ys = gr.scan(rnn, x[0], x)
    gradients = [gr.grad(carry.sum(), x), gr.grad(ys.sum(), x)]
    graph = expanded([carry, ys, *gradients], x)
    assert loops(graph) == ["scan"] * 3
    forward, *backward = (node for node in graph.nodes if node.op.name == "scan")
    assert not forward.attrs.reverse
    assert [node.attrs.reverse for node in backward] == [True, True]
    assert [node.op.name for node in forward.attrs.body.nodes].count("tanh") == 1


def test_second_derivatives_share_the_loops_of_the_first() -> None:
    x = gr.placeholder((4, 3), "float64")
    carry, _ = gr.scan(rnn, x[0], x)
    slope = gr.grad(carry.sum(), x)
    graph = expanded([carry, slope, gr.grad((slope * slope).sum(), x)], x)
    assert len(loops(graph)) == 4  # there and back, and the same of the way back


def test_loops_inside_loops_are_merged_after_those_around_them() -> None:
    x = gr.placeholder((2, 4, 3), "float64")
    carry, ys = gr.scan(lambda h, x: gr.scan(rnn, h, x), x[0, 0], x)
    graph = expanded([carry, gr.grad(carry.sum(), x), gr.grad(ys.sum(), x)], x)
    assert loops(graph) == ["scan", "scan/scan"] * 3


def test_layers_of_loops() -> None:
    x = gr.placeholder((4, 3), "float64")
    _, ys = gr.scan(rnn, x[0], x)
    _, zs = gr.scan(rnn, x[0], ys, reverse=True)
    graph = expanded([zs, gr.grad(zs.sum(), x), gr.grad((zs * zs).sum(), x)], x)
    assert loops(graph) == ["scan"] * 6


def test_choices() -> None:
    x = gr.placeholder((4, 3), "float64")
    first, second = gr.cond(x.sum() > 0, lambda: (gr.softmax(x), gr.exp(x)), lambda: (gr.tanh(x), x))
    graph = expanded([first, gr.grad(first[0].sum(), x), gr.grad((first * second).sum(), x)], x)
    assert loops(graph) == ["cond"] * 3


def test_what_a_loop_reads_must_be_the_same() -> None:
    x = gr.placeholder((4, 3), "float64")
    nodes = [gr.scan(rnn, x[0], x)[0].node, gr.scan(rnn, x[1], x)[0].node, gr.scan(rnn, x[0], x, reverse=True)[0].node]
    graph = Graph.of([x], [node.outputs[0] for node in nodes])
    assert merged(graph) is graph


def test_steps_that_only_look_alike_are_left_to_cse() -> None:
    x = gr.placeholder((4, 3), "float64")
    start = x[0]
    graph = Graph.of([x], [gr.scan(rnn, start, x)[0], gr.scan(rnn, start, x)[1]])
    assert merged(graph) is graph


def test_no_loops_give_the_same_graph() -> None:
    x = gr.placeholder((4, 3), "float64")
    graph = Graph.of([x], [gr.exp(x)])
    assert merged(graph) is graph


def test_updates_read_the_merged_loop() -> None:
    w = gr.parameter(X[0], "w")
    x = gr.placeholder((4, 3), "float64")
    carry, ys = gr.scan(lambda h, x: (gr.tanh(h * w + x), h), x[0], x)
    updates: dict[Any, Any] = {w: w - gr.grad(carry.sum(), w)}
    graph = Dce()(Autodiff()(Graph.of([x], [gr.grad(ys.sum(), w)], updates)))
    verify(graph)
    assert names(graph).count("scan") == 3
    wanted = gr.evaluate([gr.grad(ys.sum(), w), updates[w]], {x: X})
    for found, other in zip(results(graph, {x: X}), wanted, strict=True):
        same(found, other)
