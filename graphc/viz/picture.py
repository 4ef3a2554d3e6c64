"""What a picture of a graph shows, before any drawing: boxes in boxes, items in them, and links between items."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from graphc.ir.bodies import bodies
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.printer import SizeNames, array_text, attributes, value_names
from graphc.viz.regions import regions
from graphc.viz.scopes import drawn_scope
from graphc.viz.style import KINDS, LEAVES, Kind, kind_of

__all__ = ["Box", "BoxKind", "Item", "Link", "LinkKind", "Path", "Picture", "picture_of"]

Path: TypeAlias = tuple[str, ...]
"""The names of nested boxes, outermost first: a region, scopes, and nodes that hold others, as ``/id``."""

BoxKind: TypeAlias = Literal["forward", "backward", "update", "scope", "group", "body", "part"]
LinkKind: TypeAlias = Literal["value", "update", "body"]

_FIRST_OPERAND = {"scan": 0, "while_loop": 0, "cond": 1}
"""For nodes whose graphs read the operands one by one: the operand that the first input of each graph stands for."""


@dataclass(frozen=True, slots=True)
class Box:
    """A frame around items and other boxes.

    Attributes:
        path: its place; its own name is the last.
        label: what it is called.
        kind: what it stands for.
        node: the node whose members it holds, of groups and loops.
    """

    path: Path
    label: str
    kind: BoxKind
    node: Node | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A node of the picture.

    Attributes:
        path: of the box that it stands in.
        kind: how it looks.
        heading: its first line.
        details: a smaller line: attributes, or what else is to be known.
        type: dtype and shape of what it gives.
        name: what the text form calls its values, or what else tells it from others.
        node: what it stands for; None for an output.
        copy: whether it repeats an item of another region.
        box: the closed box that it stands for.
    """

    path: Path
    kind: Kind
    heading: str
    details: str = ""
    type: str = ""
    name: str = ""
    node: Node | None = None
    copy: bool = False
    box: Path | None = None

    @property
    def tooltip(self) -> str:
        """What pointing at it shows: its values, its scope and the user's line."""
        if self.node is None or self.box is not None:
            return self.name
        location = self.node.location
        parts = [f"{self.name} = {self.node.op.name}", self.node.scope, location.short if location else ""]
        return " - ".join(text for text in parts if text)

    @property
    def parameters(self) -> int:
        """How many numbers are trained in it; where it is a copy, they are counted elsewhere."""
        size = self.node.outputs[0].size if self.node is not None and not self.copy and self.kind in LEAVES else 0
        return size if getattr(getattr(self.node, "attrs", None), "trainable", False) and isinstance(size, int) else 0


@dataclass(frozen=True, slots=True)
class Link:
    """A line between items.

    Attributes:
        source: the id of the item that it comes from.
        target: the id of the item that it leads to.
        label: dtype and shape of the value.
        tooltip: what pointing at it shows.
        kind: a value on its way; the next value of the variable ``target``; or what leads to a graph inside a node.
    """

    source: str
    target: str
    label: str = ""
    tooltip: str = ""
    kind: LinkKind = "value"


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn.

    Attributes:
        boxes: by path, outer ones first.
        items: by id, in the order of the graph.
        links: in the order of their targets.
    """

    boxes: dict[Path, Box] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)


def picture_of(graph: Graph, *, collapse_fused: bool = False) -> Picture:
    """The picture of a graph: regions, scopes in them, then fused groups and loops with their members.

    Placeholders, variables and constants are repeated in each region that reads them, for lines across the picture
    hide what matters; numbers are written into the items that read them.

    Args:
        graph: any stage.
        collapse_fused: show a fused group as one item that names its members.
    """
    painter = _Painter(SizeNames(graph), collapse_fused)
    painter.paint(graph)
    return painter.picture


@dataclass(frozen=True, slots=True)
class _Literal:
    """A 0-d constant: written into the items that read it."""

    text: str


@dataclass(frozen=True, slots=True)
class _Part:
    """One graph on its way into the picture.

    Attributes:
        graph: the graph.
        prefix: what the ids of its items start with; the place of the node in the graph follows.
        names: what the text form calls its values.
        place: the boxes that a node of the graph stands in.
        updates: values that are next values of variables.
        sources: where each value comes from: the id of an item, or a literal.
    """

    graph: Graph
    prefix: str
    names: Mapping[Value, str]
    place: Callable[[Node], Path]
    updates: Set[Value] = frozenset()
    sources: dict[Value, str | _Literal] = field(default_factory=dict)


class _Painter:
    """Adds what it paints to ``picture``."""

    def __init__(self, sizes: SizeNames, collapse_fused: bool) -> None:
        self.picture = Picture()
        self.sizes = sizes
        self.collapse_fused = collapse_fused

    def paint(self, graph: Graph) -> None:
        region = regions(graph)
        used = set(region.values())
        for kind in ("forward", "backward", "update"):
            if kind in used:
                self._box((kind,), kind.capitalize(), kind)

        def place(node: Node) -> Path:
            path: Path = (region[node],)
            scope = drawn_scope(graph, node, region)
            for name in scope.split("/") if scope else ():
                path = (*path, name)
                self._box(path, name, "scope")
            return path

        part = _Part(graph, "n", value_names(graph), place, {value for _, value in graph.updates})
        self._nodes(part)
        self._outputs(part)
        for variable, value in graph.updates:
            source, target = part.sources[value], part.sources[variable]
            if isinstance(source, str) and isinstance(target, str):
                copy = _copy_id(target, self.picture.items[source].path)
                tooltip = f"next value of {part.names[variable]}"
                self._link(source, copy if copy in self.picture.items else target, "", tooltip, "update")

    def _box(self, path: Path, label: str, kind: BoxKind, node: Node | None = None) -> None:
        self.picture.boxes.setdefault(path, Box(path, label, kind, node))

    def _link(self, source: str, target: str, label: str, tooltip: str, kind: LinkKind = "value") -> None:
        self.picture.links.append(Link(source, target, label, tooltip, kind))

    def _nodes(self, part: _Part) -> None:
        """Paint the nodes of a graph whose sources are not known yet."""
        results = set(part.graph.results)
        for number, node in enumerate(part.graph.nodes):
            id = f"{part.prefix}{number}"
            if node.outputs[0] in part.sources:
                continue
            if node.op.name == "constant" and node.output.ndim == 0 and node.output not in results:
                part.sources[node.output] = _Literal(array_text(node.attrs.array))
                continue
            path = part.place(node)
            if node.op.name == "fused" and not self.collapse_fused:
                self._group(part, node, id, path)
                continue
            inner = bodies(node) if node.op.name != "fused" else ()
            if inner:
                path = (*path, f"/{id}")
                self._box(path, node.op.name, "body", node)
            self._node(part, node, id, path)
            numbers = itertools.count()
            for position, (name, body) in enumerate(inner):
                names = value_names(body, part.names[node.outputs[0]], numbers)
                self._body(part, node, id, _Body(name, body, names, f"{id}_{position}", len(inner) > 1), path)
            part.sources.update(dict.fromkeys(node.outputs, id))

    def _group(self, outer: _Part, node: Node, id: str, path: Path) -> None:
        """A fused group: its members, between the items that they read and those that read them."""
        ((_, body),) = bodies(node)
        inside = (*path, f"/{id}")
        self._box(inside, "fused", "group", node)
        updates = {inner for inner, value in zip(body.outputs, node.outputs, strict=True) if value in outer.updates}
        part = _Part(body, f"{id}_", value_names(body, outer.names[node.outputs[0]]), lambda _: inside, updates)
        for inner, value in zip(body.inputs, node.inputs, strict=True):
            source = outer.sources[value]
            part.sources[inner] = self._nearest(source, path) if isinstance(source, str) else source
        self._nodes(part)
        for inner, value in zip(body.outputs, node.outputs, strict=True):
            outer.sources[value] = part.sources[inner]

    def _body(self, outer: _Part, node: Node, owner: str, given: _Body, path: Path) -> None:
        """A graph that a node runs: its inputs read what they stand for, its results lead to the node."""
        inside = path
        if given.boxed:
            inside = (*path, f"/{given.id}")
            self._box(inside, f"{node.op.name}: {given.name}", "body")
        part = _Part(given.graph, f"{given.id}_", given.names, lambda _: inside)
        first = _FIRST_OPERAND.get(node.op.name)
        count = len(self.picture.items)
        if first is not None:
            for position in range(len(given.graph.inputs)):
                self._operand(outer, node, part, position, first + position, inside)
        self._nodes(part)
        for value in given.graph.outputs:
            source = part.sources[value]
            if isinstance(source, str):
                self._link(source, owner, self.sizes.type(value.type), f"{part.names[value]}, result of {given.name}")
        if first is None and len(self.picture.items) > count:
            self._link(owner, next(itertools.islice(self.picture.items, count, None)), "", given.name, "body")

    def _operand(self, outer: _Part, node: Node, part: _Part, position: int, place: int, path: Path) -> None:
        """An input of a graph inside a node, as an item that reads the operand of the node it stands for."""
        inner, value = part.graph.inputs[position], node.inputs[place]
        id = f"{part.prefix}in{position}"
        role = _role(node, place)
        name = inner.name or value.name or role
        type = self.sizes.type(inner.type)
        source = outer.sources[value]
        details = role if name != role else ""
        if isinstance(source, _Literal):
            details = f"{role} {source.text}" if role == "state" else source.text
        item = Item(path, KINDS["placeholder"], name, details, type, part.names.get(inner, name), inner.node)
        self.picture.items[id] = item
        part.sources[inner] = id
        if isinstance(source, str):
            self._link(self._nearest(source, path), id, self.sizes.type(value.type), outer.names[value])

    def _outputs(self, part: _Part) -> None:
        outputs = part.graph.outputs
        for position, value in enumerate(outputs):
            id = f"out{position}"
            label = "output" if len(outputs) == 1 else f"output {position}"
            type = self.sizes.type(value.type)
            self.picture.items[id] = Item((), KINDS["output"], label, "", type, f"{label}: {part.names[value]}")
            source = part.sources[value]
            if isinstance(source, str):
                self._link(source, id, type, part.names[value])

    def _node(self, part: _Part, node: Node, id: str, path: Path) -> None:
        operands = [part.sources[value] for value in node.inputs]
        first = _FIRST_OPERAND.get(node.op.name, len(operands))
        kind = kind_of(node, not part.updates.isdisjoint(node.outputs))
        types = ", ".join(self.sizes.type(value.type) for value in node.outputs)
        names = ", ".join(part.names[value] for value in node.outputs)
        heading, details = self._texts(part, node, operands)
        self.picture.items[id] = Item(path, kind, heading, details, types, names, node)
        places: dict[tuple[str, Value], list[str]] = {}
        for position, (operand, value) in enumerate(zip(operands[:first], node.inputs, strict=False), 1):
            if isinstance(operand, str):
                places.setdefault((operand, value), []).append(str(position))
        for (source, value), found in places.items():
            tooltip = f"{part.names[value]}, operand {' and '.join(found)} of {node.op.name}"
            self._link(self._nearest(source, path), id, self.sizes.type(value.type), tooltip)

    def _texts(self, part: _Part, node: Node, operands: Sequence[str | _Literal]) -> tuple[str, str]:
        """The heading of an item and the smaller line under it."""
        if node.op.name in ("placeholder", "variable"):
            kind = "parameter" if getattr(node.attrs, "trainable", False) else node.op.name
            name, unique = node.output.name, part.names[node.output]
            if not name:
                return kind, ""
            return (name if '"' in unique else unique[unique.index(name) :]), kind
        if node.op.name == "constant":
            return array_text(node.attrs.array), "constant"
        if node.op.name == "fused":
            ((_, body),) = bodies(node)
            return "fused", ", ".join(member.op.name for member in body.nodes if member.inputs)
        return node.op.name, ", ".join(self._details(node, operands))

    def _details(self, node: Node, operands: Sequence[str | _Literal]) -> Iterator[str]:
        if node.op.name not in _FIRST_OPERAND and any(isinstance(operand, _Literal) for operand in operands):
            texts = (operand.text if isinstance(operand, _Literal) else "·" for operand in operands)
            yield f"({', '.join(texts)})"
        for name, value in attributes(node):
            yield f"{name}={self.sizes.attribute(value)}"

    def _nearest(self, source: str, path: Path) -> str:
        """What stands for ``source`` in the region of ``path``: itself, or for leaves of other regions a copy."""
        item = self.picture.items[source]
        if item.kind not in LEAVES or item.path[0] == path[0]:
            return source
        copy = _copy_id(source, path)
        if copy not in self.picture.items:
            boxes = itertools.takewhile(lambda name: not name.startswith("/"), path)
            self.picture.items[copy] = replace(item, path=tuple(boxes), copy=True)
        return copy


@dataclass(frozen=True, slots=True)
class _Body:
    """A graph inside a node: its name there, what its values are called, and whether it has a box of its own."""

    name: str
    graph: Graph
    names: Mapping[Value, str]
    id: str
    boxed: bool


def _role(node: Node, place: int) -> str:
    """What an operand is to a loop or a choice."""
    constants = getattr(node.attrs, "constants", len(node.inputs))
    carries = getattr(node.attrs, "carries", 0)
    if place < constants:
        return "operand"
    return "state" if place < constants + carries else "slice"


def _copy_id(leaf: str, path: Path) -> str:
    """The id of the copy of a leaf in the region of ``path``."""
    return f"{leaf}_{path[0]}"
