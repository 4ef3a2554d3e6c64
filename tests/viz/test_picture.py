"""What pictures show of loops and choices: their graphs, with what goes in and comes out."""

from __future__ import annotations

import numpy as np

from graphc.ir import ops
from graphc.ir.graph import Graph, Value
from graphc.viz.picture import Item, Picture, picture_of


def item(picture: Picture, heading: str, *boxes: str) -> str:
    """The id of the only item with this heading in boxes with these labels."""
    (found,) = (
        id
        for id, item in picture.items.items()
        if item.heading == heading and not item.copy and labels(picture, item) == boxes
    )
    return found


def labels(picture: Picture, item: Item) -> tuple[str, ...]:
    return tuple(picture.boxes[item.path[:depth]].label for depth in range(1, len(item.path) + 1))


def ends(picture: Picture) -> set[tuple[str, str]]:
    return {(link.source, link.target) for link in picture.links if link.kind == "value"}


def test_a_loop_is_a_box_whose_inputs_read_the_operands() -> None:
    xs = ops.placeholder(("time", 3), name="xs")
    weight = ops.parameter(np.zeros(3, np.float32), name="weight")
    start = ops.placeholder(3, name="start")
    carry, ys = ops.scan(lambda h, x: (ops.tanh(h * weight + x), h), start, xs)
    picture = picture_of(Graph.of([xs, start], [carry, ys]))
    inside = ("Forward", "scan")
    owner = item(picture, "scan", *inside)
    tanh = item(picture, "tanh", *inside)
    found = ends(picture)
    roles = {each.heading: each.details for each in picture.items.values() if labels(picture, each) == inside}
    assert roles["weight"] == "operand"
    assert roles["start"] == "state"
    assert roles["xs"] == "slice"
    for name, outside in (("weight", "weight"), ("start", "start"), ("xs", "xs")):
        assert (item(picture, outside, "Forward"), item(picture, name, *inside)) in found
    assert {(tanh, owner), (item(picture, "start", *inside), owner), (owner, "out0"), (owner, "out1")} <= found
    assert not any(target == owner and picture.items[source].path == ("forward",) for source, target in found)


def test_both_branches_of_a_choice_are_boxes() -> None:
    x = ops.placeholder(3, name="x")
    chosen = ops.cond(ops.sum(x) > 0.0, lambda v: ops.exp(v), lambda v: ops.sin(v), x)
    picture = picture_of(Graph.of([x], [chosen]))
    owner = item(picture, "cond", "Forward", "cond")
    found = ends(picture)
    assert (item(picture, "greater", "Forward"), owner) in found
    for branch, op in (("true", "exp"), ("false", "sin")):
        inside = ("Forward", "cond", f"cond: {branch}")
        assert {
            (item(picture, "x", "Forward"), item(picture, "x", *inside)),
            (item(picture, "x", *inside), item(picture, op, *inside)),
            (item(picture, op, *inside), owner),
        } <= found


def test_condition_and_step_of_a_while_loop_read_the_state() -> None:
    x = ops.placeholder((), name="x")
    result = ops.while_loop(lambda v: v < 10.0, lambda v: v * 2.0, x)
    picture = picture_of(Graph.of([x], [result] if isinstance(result, Value) else list(result)))
    for part, op in (("condition", "less"), ("body", "multiply")):
        inside = ("Forward", "while_loop", f"while_loop: {part}")
        assert (item(picture, "x", "Forward"), item(picture, "x", *inside)) in ends(picture)
        assert (item(picture, op, *inside), item(picture, "while_loop", *inside[:2])) in ends(picture)


def test_loops_inside_loops_nest() -> None:
    xs = ops.placeholder((4, 3), name="xs")

    def outer(total: Value, row: Value) -> tuple[Value, Value]:
        inner, _ = ops.scan(lambda t, v: (t + v, t), total, row)
        return inner, inner

    total, _ = ops.scan(outer, ops.constant(np.float32(0.0)), xs)
    picture = picture_of(Graph.of([xs], [total]))
    item(picture, "add", "Forward", "scan", "scan")


def test_links_join_items_of_the_picture() -> None:
    xs = ops.placeholder((4, 3), name="xs")
    carry, _ = ops.scan(lambda h, x: (h + x, h), ops.zeros(3), xs)
    w = ops.parameter(np.zeros(3, np.float32), name="w")
    picture = picture_of(Graph.of([xs], [carry], {w: w - carry}))
    for link in picture.links:
        assert link.source in picture.items
        assert link.target in picture.items
    for each in picture.items.values():
        assert each.path == () or each.path in picture.boxes
