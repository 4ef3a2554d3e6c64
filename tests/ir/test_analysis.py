"""Graphs as networkx sees them, and what networkx says of the compiler's own work."""

from __future__ import annotations

import networkx as nx
from hypothesis import given, settings

import graphc as gr
from graphc.ir.graph import Graph
from graphc.passes.pipeline import run_passes
from tests.random_graphs import RandomGraph, random_graphs


def test_nodes_edges_and_attributes() -> None:
    x = gr.placeholder(("n", 3), name="x")
    graph = Graph.of([x], [gr.exp(x) * x])
    network = gr.to_networkx(graph)
    assert [network.nodes[n]["op"] for n in network] == ["placeholder", "exp", "multiply"]
    assert sorted((a, b) for a, b, _ in network.edges) == [(0, 1), (0, 2), (1, 2)]
    assert network.edges[0, 1, 0]["shape"] == ("n", "3")
    assert network.nodes[1]["node"] is graph.nodes[1]


def test_a_value_read_twice_has_two_edges() -> None:
    x = gr.placeholder((3,))
    assert gr.to_networkx(Graph.of([x], [x * x])).number_of_edges(0, 1) == 2


def test_critical_path() -> None:
    x, y = gr.placeholder((3,)), gr.placeholder((3,))
    graph = Graph.of([x, y], [gr.exp(gr.sin(gr.cos(x))) + gr.tanh(y)])
    assert [node.op.name for node in gr.critical_path(graph)] == ["placeholder", "cos", "sin", "exp", "add"]


@settings(max_examples=40)
@given(program=random_graphs(max_ops=20))
def test_order_of_nodes_is_topological_after_every_pass(program: RandomGraph) -> None:
    for stage in run_passes(Graph.of(program.inputs, program.outputs, program.updates)):
        network = gr.to_networkx(stage.graph)
        assert nx.is_directed_acyclic_graph(network)
        assert all(a < b for a, b, _ in network.edges)


@settings(max_examples=40)
@given(program=random_graphs(max_ops=20))
def test_fused_groups_are_convex(program: RandomGraph) -> None:
    """A node for a group has no path back to itself: the contracted graph is acyclic, with as many nodes as groups."""
    stages = run_passes(Graph.of(program.inputs, program.outputs, program.updates))
    before, after = stages[-2].graph, stages[-1].graph
    fused = [node.attrs.body for node in after.nodes if node.op.name == "fused"]
    saved = sum(sum(bool(node.inputs) for node in body.nodes) - 1 for body in fused)
    assert len(after.nodes) == len(before.nodes) - saved
    assert nx.is_directed_acyclic_graph(gr.to_networkx(after))
