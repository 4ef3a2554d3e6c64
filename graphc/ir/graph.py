"""Values, nodes and graphs. All three are frozen; values and nodes compare by identity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from typing import Any, ClassVar

from graphc.errors import Location
from graphc.ir.dims import Size
from graphc.ir.op import OpDef
from graphc.ir.operators import Operators
from graphc.ir.source import Origin, Phase
from graphc.ir.types import DType, Shape, TensorType
from graphc.record import record

__all__ = ["BoundGraph", "Graph", "Node", "Value", "reachable"]


class Value(Operators):
    """A result of a node: a symbolic array. Has Python's operators and NumPy's usual methods.

    Attributes:
        node: the node that computes it.
        index: its place among the node's outputs.
        type: its dtype and shape.
    """

    __slots__ = ("index", "node", "type")

    node: Node
    index: int
    type: TensorType

    def __init__(self, node: Node, index: int, type: TensorType) -> None:
        object.__setattr__(self, "node", node)
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "type", type)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a {type(self).__name__} is frozen: {name!r} cannot be set")

    @property
    def dtype(self) -> DType:
        """The type of its items."""
        return self.type.dtype

    @property
    def shape(self) -> Shape:
        """Integers and symbolic sizes."""
        return self.type.shape

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return self.type.rank

    @property
    def size(self) -> Size:
        """How many items it has."""
        return self.type.size

    @property
    def name(self) -> str | None:
        """The name that the user gave it: of a placeholder or a variable; None for all others."""
        return getattr(self.node.attrs, "name", None)

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"<{self.node.op.name}{name}: {self.type}>"


@record(eq=False)
class Node:
    """An operation applied to values. Made by :func:`graphc.ir.build.apply` alone."""

    op: OpDef
    inputs: tuple[Value, ...]
    attrs: Any
    origin: Origin
    outputs: tuple[Value, ...] = field(init=False, repr=False)

    @property
    def location(self) -> Location | None:
        """The user's line."""
        return self.origin.location

    @property
    def scope(self) -> str:
        """The scopes that it was made in, joined by slashes."""
        return self.origin.scope

    @property
    def phase(self) -> Phase:
        """Whether it belongs to the forward or to the backward graph."""
        return self.origin.phase

    @property
    def output(self) -> Value:
        """The only output."""
        (value,) = self.outputs
        return value

    def __repr__(self) -> str:
        return f"<{self.op.name} -> {', '.join(str(value.type) for value in self.outputs)}>"


def reachable(values: Iterable[Value]) -> tuple[Node, ...]:
    """The nodes that the values depend on, each after its inputs; the order is fixed by the values alone."""
    order: list[Node] = []
    seen: set[Node] = set()
    for root in values:
        if root.node in seen:
            continue
        seen.add(root.node)
        stack: list[tuple[Node, Iterator[Value]]] = [(root.node, iter(root.node.inputs))]
        while stack:
            node, inputs = stack[-1]
            for value in inputs:
                if value.node not in seen:
                    seen.add(value.node)
                    stack.append((value.node, iter(value.node.inputs)))
                    break
            else:
                order.append(node)
                stack.pop()
    return tuple(order)


@record(eq=False, slots=False)
class Graph:
    """A program: what goes in, what comes out, and what becomes of its variables.

    Attributes:
        inputs: placeholders, in the order of the arguments.
        outputs: the results.
        updates: pairs of a variable and its next value.
        nodes: every node, each after its inputs. It may hold nodes that nothing uses, until they are removed.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    updates: tuple[tuple[Value, Value], ...]
    nodes: tuple[Node, ...]

    @classmethod
    def of(
        cls, inputs: Sequence[Value], outputs: Sequence[Value], updates: Mapping[Value, Value] | None = None
    ) -> Graph:
        """The graph of everything that the outputs and the updates depend on."""
        pairs = tuple((updates or {}).items())
        roots = [*inputs, *outputs, *(value for pair in pairs for value in pair)]
        return cls(tuple(inputs), tuple(outputs), pairs, reachable(roots))

    def part(self, inputs: Sequence[int], outputs: Sequence[int]) -> Graph:
        """The same nodes for some of the inputs and outputs, by their positions; the same graph for all of them."""
        if len(inputs) == len(self.inputs) and len(outputs) == len(self.outputs):
            return self
        return replace(
            self,
            inputs=tuple(self.inputs[place] for place in inputs),
            outputs=tuple(self.outputs[place] for place in outputs),
        )

    @property
    def results(self) -> tuple[Value, ...]:
        """Outputs and next values of variables: all that the graph is run for."""
        return (*self.outputs, *(value for _, value in self.updates))

    @cached_property
    def variables(self) -> tuple[Value, ...]:
        """The variables that it reads or updates, in the order of the nodes."""
        return tuple(node.output for node in self.nodes if node.op.name == "variable")

    @cached_property
    def users(self) -> Mapping[Value, tuple[Node, ...]]:
        """For every value, the nodes that read it, in the order of the nodes; a node stands once for each use."""
        users: dict[Value, list[Node]] = {value: [] for node in self.nodes for value in node.outputs}
        for node in self.nodes:
            for value in node.inputs:
                users[value].append(node)
        return {value: tuple(nodes) for value, nodes in users.items()}

    drawn_by: ClassVar[Callable[[Graph], str] | None] = None
    """What draws graphs as SVG: set by who can."""

    def _repr_svg_(self) -> str | None:
        """What a notebook shows."""
        draw = type(self).drawn_by
        return draw(self) if draw is not None else None

    def bind(self, sizes: Mapping[str, int]) -> BoundGraph:
        """The graph with values for its symbolic sizes."""
        return BoundGraph(self, sizes)

    def __repr__(self) -> str:
        return f"<Graph: {len(self.nodes)} nodes, {len(self.inputs)} inputs, {len(self.outputs)} outputs>"


@record(eq=False)
class BoundGraph:
    """A graph, and the values of its symbolic sizes by name."""

    graph: Graph
    sizes: Mapping[str, int]
