"""Fusion: chains of elementwise operations, with the reductions that end them, become one node and one kernel.

Three questions, three functions. Which nodes belong together: :func:`group` joins an operation with the producers of
its operands, if they run over the same space. May they: :func:`_between` finds a path that would leave the group
and come back, for then the kernel would have to run both before and after something. What becomes of them:
:func:`_build` makes one ``fused`` node that holds them as a body.

It pays to end a group in reductions: the reduced values are then never stored. It does not pay to go on after a
reduction, for that needs a second pass over the space; except in operations that go by rows, such as a softmax or a
normalization along the last axis: they need several passes anyway, over rows that stay in the cache, so what is around
them is done in the same passes. Nor does it pay to compute together with the forward graph what
only the backward graph reads: to compute it there costs less than to store it until then.

Groups are walked by positions in a topological order rather than through a graph library: a search for a path only
ever looks at the few groups between two positions.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from graphc.ir.build import rebuild
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.ops.fused import fused
from graphc.ir.ops.leaves import placeholder
from graphc.ir.source import Phase, origin
from graphc.ir.types import Shape
from graphc.passes.rewrite import in_bodies
from graphc.record import record

__all__ = ["Fuse", "Reason", "Refusal", "group"]

Reason: TypeAlias = Literal["reduction", "shape", "phase", "axes", "nodes", "span", "operands", "path"]
"""Why two groups stay apart; :mod:`graphc.passes.explain` says it in words."""


@record(eq=False)
class Refusal:
    """That a node did not join the group of one that it reads from, and why.

    Attributes:
        producer: the node that is read from.
        consumer: the node that reads.
        reason: why not.
        through: a node on the path that leaves the two groups and comes back, where that is the reason.
    """

    producer: Node
    consumer: Node
    reason: Reason
    through: Node | None = None


@dataclass(eq=False)
class _Group:
    """Nodes that are to run as one; at first every node is a group of its own.

    Attributes:
        members: positions of the nodes, rising.
        space: the shape that it runs over; None for nodes that are not fused.
        axes: the axes that its reductions reduce, and its rows lie along, if it has any.
        phase: whether its nodes belong to the forward or to the backward graph.
        sources: groups that it reads from, some of which may have been joined to others since.
        operands: how many values it reads and writes, at most.
        reads: values that its nodes read.
        reduced: results of its reductions.
        joined: the group that took this one in.
    """

    members: list[int]
    space: Shape | None
    axes: tuple[int, ...] | None
    phase: Phase
    sources: set[_Group] = field(default_factory=set)
    operands: int = 0
    reads: set[Value] = field(default_factory=set)
    reduced: set[Value] = field(default_factory=set)
    joined: _Group | None = None

    def current(self) -> _Group:
        """The group that this one is now part of."""
        each = self
        while each.joined is not None:
            each = each.joined
        return each


@record
class Fuse:
    """Fuse elementwise chains and the reductions at their ends.

    Attributes:
        most_nodes: the largest group: compiling a kernel takes longer than its length in proportion.
        most_operands: how many arrays a kernel may read and write.
        most_span: how far apart, in the order of the nodes, the ends of a group may lie: what it reads must stay in
            memory until its last operand is there.
    """

    name: str = "fuse"
    most_nodes: int = 256
    most_operands: int = 48
    most_span: int = 512

    def __call__(self, graph: Graph) -> Graph:
        """The graph with its groups, and those of the graphs inside nodes, as ``fused`` nodes."""
        graph = in_bodies(graph, self)
        groups = group(graph, self)
        if all(len(each.members) == 1 for each in groups):
            return graph
        return _rebuild(graph, groups)


def group(graph: Graph, limits: Fuse, refusals: list[Refusal] | None = None) -> list[_Group]:
    """The groups of a graph's nodes, each after those that it reads from.

    Args:
        graph: the graph.
        limits: how large groups may be.
        refusals: takes up what was refused; two nodes may have come together in another way later.
    """
    position = {node: number for number, node in enumerate(graph.nodes)}
    of: list[_Group] = []
    for number, node in enumerate(graph.nodes):
        sources = {of[position[value.node]] for value in node.inputs}
        reduced = set(node.outputs) if node.op.reduction is not None else set()
        current = _Group(
            [number],
            _space(node),
            _axes(node),
            node.phase,
            sources,
            len(node.inputs) + len(node.outputs),
            set(node.inputs),
            reduced,
        )
        of.append(current)
        if current.space is None:
            continue
        for value in node.inputs:
            producer = of[position[value.node]]
            if producer is current or producer.space is None:
                continue
            reason, between = _obstacle(graph.nodes[position[value.node]], producer, current, limits, graph)
            if reason is None:
                current = _joined(producer, current, of)
            elif refusals is not None:
                through = None if between is None else graph.nodes[between.members[0]]
                refusals.append(Refusal(value.node, node, reason, through))
    unique = {id(each): each for each in of}
    return _ordered(list(unique.values()), of, graph, position)


def _space(node: Node) -> Shape | None:
    """The space that a node could be fused in."""
    if node.op.reduction is not None or _goes_by_rows(node):
        return node.inputs[0].shape
    return node.output.shape if node.op.elementwise else None


def _goes_by_rows(node: Node) -> bool:
    return node.op.rows is not None and node.op.rows(node) is not None


def _axes(node: Node) -> tuple[int, ...] | None:
    if _goes_by_rows(node):
        return (node.inputs[0].ndim - 1,)
    return node.attrs.axes if node.op.reduction is not None else None


def _obstacle(
    producer: Node, source: _Group, target: _Group, limits: Fuse, graph: Graph
) -> tuple[Reason | None, _Group | None]:
    """Why a group may not take in that of a producer of one of its operands, and the group between them, if any."""
    reason = _difference(producer, source, target, graph) or _excess(source, target, limits, graph)
    if reason is not None:
        return reason, None
    between = _between(source, target)
    return ("path" if between is not None else None), between


def _difference(producer: Node, source: _Group, target: _Group, graph: Graph) -> Reason | None:
    """What makes two groups too unlike for one kernel."""
    if producer.op.reduction is not None:
        return "reduction"
    if source.space != target.space:
        return "shape"
    if source.phase != target.phase:
        return "phase"
    if not source.reduced.isdisjoint(target.reads):  # a reduction is complete only when its kernel is
        return "reduction"
    if source.axes is None or source.axes == target.axes:
        return None
    return "axes" if target.axes is not None or _is_reduced(target, source, graph) else None


def _is_reduced(group: _Group, other: _Group, graph: Graph) -> bool:
    """Whether all that reads from a group reduces over other axes than another group does: it is to end in that."""
    nodes = {graph.nodes[number] for number in group.members}
    users = {user for node in nodes for value in node.outputs for user in graph.users[value]} - nodes
    return bool(users) and all(user.op.reduction is not None and user.attrs.axes != other.axes for user in users)


def _excess(source: _Group, target: _Group, limits: Fuse, graph: Graph) -> Reason | None:
    """Which limit two groups together would pass."""
    if len(source.members) + len(target.members) > limits.most_nodes:
        return "nodes"
    if target.members[-1] - source.members[0] > limits.most_span:
        return "span"
    if source.operands + target.operands <= limits.most_operands:
        return None
    return "operands" if _operands(source, target, graph) > limits.most_operands else None


def _operands(source: _Group, target: _Group, graph: Graph) -> int:
    """How many values two groups together read and write."""
    nodes = {graph.nodes[number] for number in (*source.members, *target.members)}
    made = {value for node in nodes for value in node.outputs}
    results = set(graph.results)
    written = (value for value in made if value in results or not nodes.issuperset(graph.users[value]))
    return len((source.reads | target.reads) - made) + sum(1 for _ in written)


def _between(source: _Group, target: _Group) -> _Group | None:
    """A third group, through which a path leads from one of the groups to the other."""
    both = (source, target)
    earliest = min(source.members[0], target.members[0])
    stack = [each for each in (before.current() for before in source.sources | target.sources) if each not in both]
    seen: set[_Group] = set()
    while stack:
        each = stack.pop()
        if each in seen or each.members[-1] < earliest:
            continue
        seen.add(each)
        for before in each.sources:
            if before.current() in both:
                return each
            stack.append(before.current())
    return None


def _joined(source: _Group, target: _Group, of: list[_Group]) -> _Group:
    """One group for two; the larger one takes in the other."""
    larger, smaller = (source, target) if len(source.members) >= len(target.members) else (target, source)
    larger.members = sorted(larger.members + smaller.members)
    larger.axes = source.axes if source.axes is not None else target.axes
    larger.operands = source.operands + target.operands
    larger.sources = (source.sources | target.sources) - {source, target}
    larger.reads |= smaller.reads
    larger.reduced |= smaller.reduced
    smaller.joined = larger
    for number in smaller.members:
        of[number] = larger
    return larger


def _ordered(
    groups: Sequence[_Group], of: Sequence[_Group], graph: Graph, position: Mapping[Node, int]
) -> list[_Group]:
    """The groups, each after those that it reads from, otherwise in the order of their last members."""
    waiting: dict[_Group, int] = {}
    users: dict[_Group, list[_Group]] = {each: [] for each in groups}
    for each in groups:
        sources = {of[position[v.node]] for number in each.members for v in graph.nodes[number].inputs} - {each}
        waiting[each] = len(sources)
        for source in sources:
            users[source].append(each)
    ready = [(each.members[-1], each.members[0]) for each in groups if not waiting[each]]
    heapq.heapify(ready)
    result = []
    while ready:
        each = of[heapq.heappop(ready)[1]]
        result.append(each)
        for user in users[each]:
            waiting[user] -= 1
            if not waiting[user]:
                heapq.heappush(ready, (user.members[-1], user.members[0]))
    return result


def _rebuild(graph: Graph, groups: Iterable[_Group]) -> Graph:
    """The graph with each group of several nodes as one."""
    wanted = set(graph.results)
    known: dict[Value, Value] = {}
    nodes: list[Node] = []
    for each in groups:
        members = [graph.nodes[number] for number in each.members]
        if len(members) == 1:
            (node,) = members
            inputs = [known.get(value, value) for value in node.inputs]
            same = all(new is old for new, old in zip(inputs, node.inputs, strict=True))
            fresh = node if same else rebuild(node, inputs)
            nodes.append(fresh)
            known.update(zip(node.outputs, fresh.outputs, strict=True))
            continue
        outputs = _results(members, graph, wanted)
        if not outputs:  # nothing reads it: dead code that was not removed
            continue
        made = _build(members, outputs, known)
        nodes.append(made[0].node)
        known.update(zip(outputs, made, strict=True))
    return Graph(
        graph.inputs,
        tuple(known[value] for value in graph.outputs),
        tuple((variable, known[value]) for variable, value in graph.updates),
        tuple(nodes),
    )


def _results(members: Sequence[Node], graph: Graph, wanted: set[Value]) -> list[Value]:
    """The values of a group that others read."""
    inside = set(members)
    return [
        value
        for node in members
        for value in node.outputs
        if value in wanted or any(user not in inside for user in graph.users[value])
    ]


def _build(members: Sequence[Node], outputs: Sequence[Value], known: Mapping[Value, Value]) -> tuple[Value, ...]:
    """The results of one node in place of several."""
    inside = set(members)
    operands = dict.fromkeys(value for node in members for value in node.inputs if value.node not in inside)
    arguments = {value: placeholder(value.shape, value.dtype) for value in operands}
    within: dict[Value, Value] = dict(arguments)
    for node in members:
        made = rebuild(node, [within[value] for value in node.inputs])
        within.update(zip(node.outputs, made.outputs, strict=True))
    body = Graph.of(tuple(arguments.values()), [within[value] for value in outputs])
    with origin(members[-1].origin):
        return fused(body, [known.get(value, value) for value in operands])
