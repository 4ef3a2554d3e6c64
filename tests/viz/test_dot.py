from __future__ import annotations

import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any

import numpy as np
import pydot
import pytest

from graphc.ir import ops
from graphc.ir.graph import Graph, Value
from graphc.ir.op import registry
from graphc.ir.ops.fused import fused
from graphc.ir.source import phase, scope
from graphc.passes.autodiff import Autodiff
from graphc.passes.fuse import Fuse
from graphc.viz import to_dot
from graphc.viz.style import KINDS, kind_of

# pydot reads DOT with names that its parser library has given others since.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pydot.dot_parser")


@dataclass(frozen=True)
class Drawn:
    """A node of a picture: the lines of its label, and the labels of the boxes around it."""

    lines: tuple[str, ...]
    boxes: tuple[str, ...]
    attributes: dict[str, str]


class Picture:
    """DOT text, read again."""

    def __init__(self, text: str) -> None:
        (self.dot,) = pydot.graph_from_dot_data(text)
        self.nodes = dict(self._nodes(self.dot, ()))
        self.edges = [
            (edge.get_source(), edge.get_destination(), edge.get_attributes()) for edge in self.dot.get_edges()
        ]

    def _nodes(self, graph: Any, boxes: tuple[str, ...]) -> Iterator[tuple[str, Drawn]]:
        for node in graph.get_nodes():
            if node.get_name() not in ("node", "edge", "graph"):
                yield node.get_name(), Drawn(_lines(node.get("label")), boxes, node.get_attributes())
        for box in graph.get_subgraphs():
            yield from self._nodes(box, (*boxes, *_lines(box.get("label"))))

    def find(self, heading: str, *boxes: str) -> str:
        """The id of the only node with this heading in these boxes."""
        (found,) = (name for name, node in self.nodes.items() if node.lines[0] == heading and node.boxes == boxes)
        return found

    def boxes(self) -> set[tuple[str, ...]]:
        return {node.boxes for node in self.nodes.values()}

    def dashed(self) -> list[tuple[str, str]]:
        return [(source, target) for source, target, style in self.edges if style.get("style") == '"dashed"']


def _lines(label: str) -> tuple[str, ...]:
    return tuple(unescape(re.sub("<[^>]*>", "", line)) for line in label[1:-1].split("<br/>"))


def test_regions_are_boxes_with_scopes_inside(training: Graph) -> None:
    picture = Picture(to_dot(training))
    assert picture.boxes() == {
        (),
        ("Forward",),
        ("Forward", "layer1"),
        ("Forward", "layer2"),
        ("Backward",),
        ("Backward", "layer1"),
        ("Backward", "layer2"),
        ("Update", "momentum"),
    }
    picture.find("weight1", "Forward", "layer1")
    picture.find("weight1.velocity", "Update", "momentum")
    picture.find("tanh", "Forward")


def test_nested_scopes_are_nested_boxes() -> None:
    x = ops.placeholder(3, name="x")
    with scope("encoder"), scope("attention"):
        y = ops.exp(x)
    with scope("encoder"):
        y = ops.sin(y)
    picture = Picture(to_dot(Graph.of([x], [y])))
    picture.find("exp", "Forward", "encoder", "attention")
    picture.find("sin", "Forward", "encoder")


def test_ids_follow_the_order_of_the_graph() -> None:
    x = ops.placeholder(("n", 3), name="x")
    picture = Picture(to_dot(Graph.of([x], [ops.exp(x) * 0.5, ops.sin(x)])))
    assert {name: node.lines[0] for name, node in picture.nodes.items()} == {
        "n0": "x",
        "n1": "exp",
        "n3": "multiply",
        "n4": "sin",
        "out0": "output 0",
        "out1": "output 1",
        "legend": picture.nodes["legend"].lines[0],
    }
    assert [(source, target, style.get("label")) for source, target, style in picture.edges] == [
        ("n0", "n1", '"float32[n, 3]"'),
        ("n1", "n3", '"float32[n, 3]"'),
        ("n0", "n4", '"float32[n, 3]"'),
        ("n3", "out0", '"float32[n, 3]"'),
        ("n4", "out1", '"float32[n, 3]"'),
    ]


def test_two_builds_have_one_picture(build: Callable[[], Graph]) -> None:
    first, second = (to_dot(Fuse()(Autodiff()(build()))) for _ in range(2))
    assert first == second


def test_numbers_are_written_into_their_readers() -> None:
    x = ops.placeholder(3, name="x")
    result = ops.constant(2.0)
    picture = Picture(to_dot(Graph.of([x], [ops.clip(0.5 - x, -1.0, 1.0), result, x * result])))
    headings = Counter(node.lines for name, node in picture.nodes.items() if name != "legend")
    assert headings == {
        ("x", "placeholder"): 1,
        ("subtract", "(0.5, ·)"): 1,
        ("clip", "(·, -1.0, 1.0)"): 1,
        ("2.0", "constant"): 1,
        ("multiply",): 1,
        ("output 0",): 1,
        ("output 1",): 1,
        ("output 2",): 1,
    }


def test_labels_tell_kinds_values_and_attributes() -> None:
    w = ops.parameter(np.zeros(3, np.float32), name="w")
    unnamed = ops.variable(np.zeros(3, np.float32))
    table = ops.constant(np.arange(3, dtype=np.float32))
    total = ops.sum(w + unnamed + table, axis=0, keepdims=True)
    lines = {node.lines for node in Picture(to_dot(Graph.of((), [total]))).nodes.values()}
    assert lines >= {
        ("w", "parameter"),
        ("variable",),
        ("[0.0, 1.0, 2.0]", "constant"),
        ("sum", "axes=(0,), keepdims=True"),
    }


def test_edges_and_nodes_have_tooltips() -> None:
    x = ops.placeholder(3, name="x")
    with scope("twice"):
        y = x * x  # this line
    picture = Picture(to_dot(Graph.of([x], [y])))
    name = picture.find("multiply", "Forward", "twice")
    tooltip = picture.nodes[name].attributes["tooltip"]
    assert re.fullmatch(r'"%0 = multiply - twice - test_dot\.py:\d+: y = x \* x  # this line"', tooltip)
    (edge,) = (style for _, target, style in picture.edges if target == name)
    assert edge["tooltip"] == '"%x, operand 1 and 2 of multiply"'


def test_variables_of_one_name_are_told_apart_as_in_the_text() -> None:
    weights = [ops.variable(0.0, name=name) for name in ("w", "w", "two words")]
    nodes = Picture(to_dot(Graph.of((), [weights[0] + weights[1] * weights[2]]))).nodes
    assert [nodes[f"n{number}"].lines[0] for number in range(3)] == ["w", "w.2", "two words"]


def test_variables_made_outside_scopes_stand_where_they_are_read() -> None:
    x = ops.placeholder(3, name="x")
    alone, shared, both, unread = (ops.variable(np.zeros(3, np.float32), name=name) for name in "abcd")
    a = ops.placeholder(3)
    with scope("model"):
        with scope("first"):
            y = x * alone + shared
            inner = ops.exp(a)
        with scope("second"):
            y = y + shared
            (z,) = fused(Graph.of([a], [inner]), [both])
    picture = Picture(to_dot(Graph.of([x], [y + z, unread])))
    picture.find("x", "Forward")
    picture.find("a", "Forward", "model", "first")
    picture.find("b", "Forward", "model")
    picture.find("c", "Forward", "model", "first")
    picture.find("d", "Forward")


def test_leaves_are_copied_into_the_regions_that_read_them(training: Graph) -> None:
    picture = Picture(to_dot(training))
    weight = picture.find("weight2", "Forward", "layer2")
    assert picture.find("weight2", "Backward", "layer2") == f"{weight}_backward"
    assert picture.find("weight2", "Update", "momentum") == f"{weight}_update"
    regions = {name: node.boxes[0] for name, node in picture.nodes.items() if node.boxes}
    for source, target, _ in picture.edges:
        if regions.get(source, "") != regions.get(target, ""):
            assert picture.nodes[source].lines[0] not in {"image", "target", "weight1", "bias1", "weight2", "bias2"}


def test_next_values_are_dashed_edges_back_to_the_variables(training: Graph) -> None:
    picture = Picture(to_dot(training))
    dashed = {picture.nodes[variable].lines[0]: value for variable, value in picture.dashed()}
    assert set(dashed) == {variable.name for variable, _ in training.updates}
    assert picture.nodes[dashed["bias1"]].lines == ("subtract",)
    assert picture.nodes[dashed["bias1.velocity"]].lines == ("add",)
    for variable, value in picture.dashed():
        assert picture.nodes[variable].boxes[0] == picture.nodes[value].boxes[0] == "Update"
        assert picture.nodes[value].attributes["fillcolor"] == f'"{KINDS["update"].fill}"'


def test_variables_may_exchange_their_values() -> None:
    a, b = (ops.variable(0.0, name=name) for name in "ab")
    picture = Picture(to_dot(Graph.of((), (), {a: b, b: a})))
    assert {tuple(picture.nodes[end].lines[0] for end in edge) for edge in picture.dashed()} == {("a", "b"), ("b", "a")}


def test_fused_groups_are_boxes_around_their_members() -> None:
    x = ops.placeholder((2, 3), name="x")
    a, b, half = ops.placeholder((2, 3)), ops.placeholder((3,)), ops.placeholder(())
    total = ops.exp(a + b) * half
    bias = ops.parameter(np.zeros(3, np.float32), name="bias")
    scaled, doubled = fused(Graph.of([a, b, half], [total, total + total]), [x, bias, ops.constant(0.5)])
    graph = Graph.of([x], [ops.sin(scaled), doubled])

    picture = Picture(to_dot(graph))
    inside = {name: node.lines for name, node in picture.nodes.items() if node.boxes == ("Forward", "fused")}
    assert inside == {"n3_3": ("add",), "n3_4": ("exp",), "n3_5": ("multiply", "(·, 0.5)"), "n3_6": ("add",)}
    ends = [(source, target) for source, target, _ in picture.edges]
    reader = picture.find("sin", "Forward")
    assert ends == [
        ("n0", "n3_3"),
        ("n1", "n3_3"),
        ("n3_3", "n3_4"),
        ("n3_4", "n3_5"),
        ("n3_5", "n3_6"),
        ("n3_5", reader),
        (reader, "out0"),
        ("n3_6", "out1"),
    ]

    collapsed = Picture(to_dot(graph, collapse_fused=True))
    group = collapsed.find("fused", "Forward")
    assert collapsed.nodes[group].lines == ("fused", "add, exp, multiply, add")
    assert [(source, target) for source, target, _ in collapsed.edges] == [
        ("n0", group),
        ("n1", group),
        (group, reader),
        (reader, "out0"),
        (group, "out1"),
    ]


def test_a_group_may_pass_an_operand_through() -> None:
    x = ops.placeholder(3, name="x")
    a, b = ops.placeholder(3), ops.placeholder(())
    same, number = fused(Graph.of([a, b], [a, b]), [x, ops.constant(1.0)])
    picture = Picture(to_dot(Graph.of([x], [same, number])))
    assert [(source, target) for source, target, _ in picture.edges] == [("n0", "out0")]


def test_groups_and_scopes_of_one_name_are_different_boxes() -> None:
    x = ops.placeholder(3, name="x")
    a = ops.placeholder(3)
    (y,) = fused(Graph.of([a], [ops.exp(a)]), [x])
    with scope("n1"):
        y = ops.sin(y)
    picture = Picture(to_dot(Graph.of([x], [y])))
    picture.find("exp", "Forward", "fused")
    picture.find("sin", "Forward", "n1")


def test_fused_training_step(fused_training: Graph) -> None:
    picture = Picture(to_dot(fused_training))
    assert ("Update", "momentum", "fused") in picture.boxes()
    assert len(picture.dashed()) == len(fused_training.updates)
    collapsed = Picture(to_dot(fused_training, collapse_fused=True))
    assert not any("fused" in boxes for boxes in collapsed.boxes())
    assert len(collapsed.dashed()) == len(fused_training.updates)


def test_graphs_inside_nodes_are_boxes_beside_what_runs_them() -> None:
    @ops.custom_gradient
    def doubled(x: Value) -> tuple[Value, Callable[[Value], Value]]:
        return x + x, lambda g: g * 2.0

    x = ops.placeholder(3, name="x")
    picture = Picture(to_dot(Graph.of([x], [doubled(x)])))
    outer = ("Forward", "custom_gradient")
    forward, backward = ((*outer, f"custom_gradient: {name}") for name in ("forward", "backward"))
    assert picture.find("add", *forward) == "n1_0_1"
    assert picture.nodes[picture.find("multiply", *backward)].lines == ("multiply", "(·, 2.0)")
    owner = picture.find("custom_gradient", *outer)
    links = [target for source, target, style in picture.edges if source == owner and style.get("style") == '"dotted"']
    assert [picture.nodes[target].boxes for target in links] == [forward, backward]


def test_a_depth_draws_deeper_boxes_as_nodes(training: Graph) -> None:
    picture = Picture(to_dot(training, depth=1))
    assert picture.boxes() == {(), ("Forward",), ("Backward",), ("Update",)}
    layer = picture.nodes[picture.find("layer1", "Forward")]
    assert layer.lines == ("layer1", "4 nodes, 15 parameters")
    assert layer.attributes["peripheries"] == '"2"'
    assert "closed box" in picture.dot.get_node("legend")[0].get("label")
    assert to_dot(training, depth="auto") == to_dot(training, depth=99) == to_dot(training)


def test_the_legend_explains_what_occurs(training: Graph) -> None:
    def legend(graph: Graph) -> str:
        return Picture(to_dot(graph)).dot.get_node("legend")[0].get("label")

    x = ops.placeholder(3)
    small, large = legend(Graph.of([x], [ops.exp(x)])), legend(training)
    for text, where in itertools.product(("placeholder", "elementwise", "output", "dtype and shape"), (small, large)):
        assert text in where
    for text in ("variable", "product", "update", "next value", "another region"):
        assert text in large
        assert text not in small
    assert "legend" not in to_dot(training, show_legend=False)


def test_the_title_stands_above() -> None:
    assert _lines(Picture(to_dot(Graph.of((), ()), title="After <fuse>")).dot.get("label")) == ("After <fuse>",)
    assert Picture(to_dot(Graph.of((), ()))).dot.get("label") is None


@pytest.mark.parametrize(
    ("build", "kind"),
    [
        (lambda: ops.placeholder(3), "placeholder"),
        (lambda: ops.variable([0.0]), "variable"),
        (lambda: ops.constant([0.0]), "constant"),
        (lambda: ops.dim_size(ops.placeholder("n").shape[0]), "constant"),
        (lambda: ops.placeholder(3) + 1.0, "elementwise"),
        (lambda: ops.where(ops.placeholder(3, "bool"), 1.0, 2.0), "elementwise"),
        (lambda: ops.sum(ops.placeholder(3)), "reduction"),
        (lambda: ops.placeholder((2, 3)).T, "view"),
        (lambda: ops.placeholder((2, 3))[0:1], "view"),
        (lambda: ops.matmul(ops.placeholder((2, 3)), ops.placeholder((3, 2))), "product"),
        (lambda: ops.concatenate([ops.placeholder(3), ops.placeholder(2)]), "structured"),
    ],
)
def test_kinds_of_nodes(build: Callable[[], Value], kind: str) -> None:
    assert kind_of(build().node) is KINDS[kind]


def test_random_nodes_have_their_kind() -> None:
    random = [op for name, op in registry.items() if name.startswith("random_")]
    assert random
    for op in random:
        for sample in op.samples():
            values = [ops.placeholder(array.shape, array.dtype) for array in sample.inputs]
            built = sample.build(*values)
            nodes = Graph.of(values, [built] if isinstance(built, Value) else built).nodes
            assert any(node.op is op and kind_of(node) is KINDS["random"] for node in nodes)


def test_ten_thousand_nodes_take_seconds() -> None:
    x = ops.placeholder((None, 8), name="x")
    w = ops.parameter(np.zeros(8, np.float32), name="w")
    value = x
    for block, part in itertools.product(range(50), range(50)):
        with scope(f"block{block}/part{part}"):
            value = ops.relu(value * w + 0.5)
    with phase("backward"):
        gradient = ops.sum(value, axis=0)
    graph = Graph.of([x], [value], {w: w - gradient})
    assert len(graph.nodes) > 10_000
    start = time.process_time()
    text = to_dot(graph)
    assert time.process_time() - start < 8
    assert text.count("subgraph cluster_") == 50 * 51 + 3
