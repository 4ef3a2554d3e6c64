"""Closed boxes: what is hidden, what they say, and how much of a large graph is shown."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from graphc.errors import GraphError
from graphc.ir import ops
from graphc.ir.graph import Graph, Value
from graphc.ir.source import scope
from graphc.viz.fold import READABLE, folded, open_boxes, visible
from graphc.viz.levels import CROWDED, LONG_ROW, UPDATES, with_levels
from graphc.viz.picture import Picture, picture_of


def layers(count: int, parts: int = 3) -> Graph:
    """Equal layers in a row, of some parts each."""
    x = value = ops.placeholder(("n", 4), name="x")
    for layer, part in itertools.product(range(count), range(parts)):
        with scope(f"net/block.{layer}/part{part}"):
            weight = ops.parameter(np.zeros(4, np.float32), name=f"weight{layer}_{part}")
            value = ops.tanh(value * weight)
    return Graph.of([x], [value])


def shown(picture: Picture) -> dict[str, str]:
    return {item.heading: item.details for item in picture.items.values()}


def at_depth(graph: Graph, depth: int | str | None) -> Picture:
    picture = with_levels(picture_of(graph))
    return folded(picture, open_boxes(picture, depth))


def test_a_depth_counts_levels_of_boxes() -> None:
    graph = layers(3)
    assert set(shown(at_depth(graph, 0))) == {"Forward", "output"}
    assert set(shown(at_depth(graph, 1))) == {"x", "net", "output"}
    assert set(shown(at_depth(graph, 2))) == {"x", "block.0", "block.1", "block.2", "output"}
    assert len(at_depth(graph, None).items) == len(graph.nodes) + 1


def test_a_closed_box_says_what_it_holds() -> None:
    assert shown(at_depth(layers(3), 2))["block.1"] == "9 nodes, 12 parameters"
    assert shown(at_depth(layers(1, 1), 0))["Forward"] == "4 nodes, 4 parameters"


def test_links_of_a_closed_box_are_those_of_its_items() -> None:
    picture = at_depth(layers(3), 2)
    names = {id: item.heading for id, item in picture.items.items()}
    assert [(names[link.source], names[link.target]) for link in picture.links] == [
        ("block.2", "output") if number == 3 else pair
        for number, pair in enumerate([("x", "block.0"), ("block.0", "block.1"), ("block.1", "block.2"), ("", "")])
    ]
    assert picture.links[0].label == "float32[n, 4]"


def test_links_side_by_side_are_one() -> None:
    x = ops.placeholder(3, name="x")
    with scope("a"):
        values = [ops.exp(x), ops.sin(x)]
    with scope("b"):
        y = values[0] * values[1]
    picture = at_depth(Graph.of([x], [y]), 1)
    (link,) = (link for link in picture.links if picture.items[link.target].heading == "b")
    assert link.label == "2 values"


def test_a_long_row_of_equal_boxes_is_one_box() -> None:
    few, many = (at_depth(layers(count), 2) for count in (LONG_ROW - 1, LONG_ROW + 6))
    assert "block.0" in shown(few)
    assert shown(many)[f"{LONG_ROW + 6} \N{MULTIPLICATION SIGN} block.0-{LONG_ROW + 5}"] == "108 nodes, 144 parameters"
    opened = with_levels(picture_of(layers(LONG_ROW)))
    assert any(item.heading == "tanh" for item in folded(opened, opened.boxes).items.values())


def test_layers_that_differ_are_not_a_row() -> None:
    x = value = ops.placeholder(3, name="x")
    functions = [ops.exp, ops.sin] * LONG_ROW
    for number, function in enumerate(functions[: LONG_ROW + 1]):
        with scope(f"layer{number}"):
            value = function(value)
    headings = set(shown(at_depth(Graph.of([x], [value]), 1)))
    assert headings == {"x", "output", *(f"layer{number}" for number in range(LONG_ROW + 1))}


def training(count: int) -> Graph:
    """A step of gradient descent with momentum on some parameters."""
    x = value = ops.placeholder(3, name="x")
    parameters = []
    for number in range(count):
        with scope(f"layer{number}"):
            parameters.append(ops.parameter(np.zeros(3, np.float32), name=f"w{number}"))
            value = value * parameters[-1]
    loss = ops.sum(value)
    updates: dict[Value, Value] = {}
    with scope("sgd"):
        for parameter in parameters:
            velocity = ops.variable(np.zeros(3, np.float32), name=f"{parameter.name}.velocity")
            updates[velocity] = velocity * 0.9 + parameter
            updates[parameter] = parameter - updates[velocity] * 0.1
    return Graph.of([x], [loss], updates)


def test_crowded_updates_have_a_box_for_each_parameter() -> None:
    picture = with_levels(picture_of(training(UPDATES)))
    parts = [box for box in picture.boxes.values() if box.kind == "part" and box.path[-1].startswith("/of ")]
    assert [box.label for box in parts] == [f"layer{n}/w{n}" for n in range(UPDATES)]
    inside = {item.heading for item in picture.items.values() if item.path[-1:] == parts[0].path[-1:]}
    assert inside == {"w0", "w0.velocity", "multiply", "add", "subtract"}
    assert f"{UPDATES} \N{MULTIPLICATION SIGN} update of a parameter" in shown(at_depth(training(UPDATES), 3))
    few = with_levels(picture_of(training(2)))
    assert not any(box.kind == "part" for box in few.boxes.values())


def test_many_leaves_of_one_reader_are_a_box() -> None:
    parameters = [ops.parameter(np.zeros(3, np.float32), name=f"w{n}") for n in range(LONG_ROW)]
    total = ops.concatenate(parameters)
    assert shown(at_depth(Graph.of([], [total]), 1))[f"{LONG_ROW} variables"] == f"{LONG_ROW} nodes, 18 parameters"


def test_a_crowded_box_without_scopes_is_cut_into_pieces() -> None:
    x = value = ops.placeholder(3, name="x")
    for _ in range(3 * CROWDED):
        value = ops.exp(value)
    picture = at_depth(Graph.of([x], [value]), "auto")
    assert [item.heading for item in picture.items.values()][:2] == ["nodes 001 to 060", "nodes 061 to 120"]
    assert len(picture.items) == 5


@pytest.mark.parametrize("count", [4, 40])
def test_what_is_shown_by_default_can_be_read(count: int) -> None:
    picture = with_levels(picture_of(layers(count, 9)))
    opened = open_boxes(picture, "auto")
    assert len(visible(picture, opened)) == len(folded(picture, opened).items) <= READABLE
    assert len(opened) > 1


def test_small_graphs_are_shown_whole() -> None:
    picture = picture_of(layers(3))
    assert open_boxes(picture, "auto") == set(picture.boxes)


@pytest.mark.parametrize("depth", [-1, "all", "3"])
def test_other_depths_are_refused(depth: int | str) -> None:
    with pytest.raises(GraphError, match=r"depth=.*\n  expected: a number of levels, 'auto', or None"):
        open_boxes(picture_of(layers(1)), depth)
