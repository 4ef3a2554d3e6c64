"""Rewriting a graph node by node: what simplification, recognition and differentiation have in common."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, TypeAlias

from graphc.errors import VerifyError
from graphc.ir import ops
from graphc.ir.bodies import bodies
from graphc.ir.build import apply, rebuild
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.ops.differentiation import differentiated_by
from graphc.ir.source import origin

__all__ = ["Matcher", "Rule", "ValueRule", "differentiated", "first_result", "in_bodies", "rewrite", "rewrite_bodies"]


def differentiated(graph: Graph) -> frozenset[Value]:
    """The values that a derivative is taken by.

    They stand for themselves: neither may one be merged with an equal value, nor may a pattern swallow it, or the
    derivative would be taken by something else.
    """
    found: set[Value] = set()
    for node in graph.nodes:
        found.update(differentiated_by(node)[1])
    return frozenset(found)


class Matcher:
    """What a rule may ask about the values that it sees.

    Attributes:
        original: the node of the graph as it was that the rule is applied to; the rule sees it on its new inputs.
        differentiates: whether the graph takes derivatives: it is one for training.
    """

    original: Node
    differentiates: bool = False

    def __init__(self, graph: Graph) -> None:
        self._fixed: set[Value] = set()
        self._uses = Counter(itertools.chain(graph.results, *(node.inputs for node in graph.nodes)))

    def fix(self, values: Iterable[Value]) -> None:
        """Hide how these values are computed."""
        self._fixed.update(values)

    def follow(self, old: Value, new: Value) -> None:
        """Take note that the users of ``old`` read ``new`` instead."""
        self._uses[new] += self._uses[old]

    def hidden(self, value: Value) -> bool:
        """Whether a pattern must not look at how ``value`` is computed: a derivative is taken by it."""
        return value in self._fixed

    def shared(self, value: Value) -> bool:
        """Whether ``value`` has more than one use, so that it is computed even if a pattern swallows one of them.

        Uses by nodes that nothing needs count too, until these are removed.
        """
        return self._uses[value] > 1

    def producer(self, value: Value, *names: str) -> Node | None:
        """The node that computes ``value``, if a pattern may look through it and its operation is one of ``names``."""
        if value in self._fixed or (names and value.node.op.name not in names):
            return None
        return value.node


Rule: TypeAlias = Callable[[Node, Matcher], Sequence[Value] | None]
"""Gives values to stand for the outputs of a node, or None to leave it."""


ValueRule: TypeAlias = Callable[[Node, Matcher], Value | None]
"""Gives a value to stand for the only output of a node, in a shape that broadcasts to its own, or None to leave it."""


def first_result(rules: Iterable[ValueRule], node: Node, matcher: Matcher) -> Value | None:
    """What the first rule that fits gives, in the shape of the node's output."""
    for rule in rules:
        if (result := rule(node, matcher)) is not None:
            return ops.broadcast_to(result, node.output.shape)
    return None


def rewrite(graph: Graph, rule: Rule, *, protect: bool = True) -> Graph:
    """Apply ``rule`` to every node, inputs first; the same graph if nothing changed.

    A node whose inputs were replaced is built again before the rule sees it. Nodes that lose their last user stay.

    Args:
        protect: whether the nodes of values that a derivative is taken by are kept from the rule.

    Raises:
        VerifyError: the rule gave a value of another type.
    """
    fixed = differentiated(graph)
    matcher = Matcher(graph)
    matcher.differentiates = bool(fixed)
    known: dict[Value, Value] = {}
    nodes: list[Node] = []
    placed: set[Node] = set()

    def place(node: Node) -> None:
        stack = [node]
        while stack:
            top = stack[-1]
            missing = [] if top in placed else [value.node for value in top.inputs if value.node not in placed]
            if missing:
                stack.extend(reversed(missing))
                continue
            stack.pop()
            if top not in placed:
                placed.add(top)
                nodes.append(top)

    for node in graph.nodes:
        inputs = [known.get(value, value) for value in node.inputs]
        same = all(new is old for new, old in zip(inputs, node.inputs, strict=True))
        fresh = node if same else rebuild(node, inputs)
        named = not fixed.isdisjoint(node.outputs)
        if named:
            matcher.fix(fresh.outputs)
        replaced = None
        if not (named and protect):
            matcher.original = node
            with origin(node.origin):
                replaced = rule(fresh, matcher)
        results = fresh.outputs if replaced is None else replaced
        if named:
            matcher.fix(results)
        for value in results:
            place(value.node)
        for old, new in zip(node.outputs, results, strict=True):
            if new is old:
                continue
            if new.type != old.type:
                raise VerifyError(
                    f"{old.node.op.name}, of type {old.type}, was replaced by {new.node.op.name}, of type {new.type}",
                    expected="a value of the same type",
                    location=node.location,
                )
            known[old] = new
            matcher.follow(old, new)
    if not known:
        return graph
    return Graph(
        graph.inputs,
        tuple(known.get(value, value) for value in graph.outputs),
        tuple((variable, known.get(value, value)) for variable, value in graph.updates),
        tuple(nodes),
    )


def rewrite_bodies(node: Node, transform: Callable[[Graph], Graph]) -> Sequence[Value] | None:
    """The results of the node with the graphs that it holds transformed; None where none of them changed."""
    changed = {}
    for field in fields(node.attrs):
        old = getattr(node.attrs, field.name)
        new: Any = old
        if isinstance(old, Graph):
            new = transform(old)
        elif isinstance(old, tuple) and any(isinstance(item, Graph) for item in old):
            items = tuple(transform(item) if isinstance(item, Graph) else item for item in old)
            new = old if all(a is b for a, b in zip(items, old, strict=True)) else items
        if new is not old:
            changed[field.name] = new
    return apply(node.op, node.inputs, replace(node.attrs, **changed)).outputs if changed else None


def in_bodies(graph: Graph, transform: Callable[[Graph], Graph]) -> Graph:
    """The graph with the graphs that its nodes hold transformed, but for fused groups, which are one kernel each.

    How deep that goes, ``transform`` decides.
    """

    def rule(node: Node, matcher: Matcher) -> Sequence[Value] | None:
        return None if node.op.name == "fused" else rewrite_bodies(node, transform)

    return rewrite(graph, rule, protect=False) if any(bodies(node) for node in graph.nodes) else graph
