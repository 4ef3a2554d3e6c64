"""Graphs as pictures, in Graphviz's DOT."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from graphc.ir.bodies import bodies
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.printer import SizeNames, array_text, attributes, value_names
from graphc.viz.legend import legend
from graphc.viz.regions import regions
from graphc.viz.scopes import drawn_scope
from graphc.viz.style import (
    BODY,
    COPY,
    EDGE,
    GRAPH,
    GROUP,
    KINDS,
    LEAVES,
    LINK,
    MUTED,
    NODE,
    REGIONS,
    SCOPE,
    UPDATE_EDGE,
    Kind,
    kind_of,
)
from graphc.viz.text import html_text, quoted, shortened

if TYPE_CHECKING:
    import pydot

__all__ = ["to_dot"]

_TITLE_LIMIT = 32
_DETAIL_LIMIT = 44

Path: TypeAlias = tuple[str, ...]
"""The boxes that a node stands in, outermost first: its region, its scopes, and nodes that hold it, as ``/id``."""


@dataclass(frozen=True, slots=True)
class _Literal:
    """A 0-d constant: written into the nodes that read it, not drawn."""

    text: str


def to_dot(graph: Graph, *, title: str | None = None, collapse_fused: bool = False, show_legend: bool = True) -> str:
    """The graph as DOT text, the same for graphs of the same structure.

    Forward, backward and update are boxes, with the scopes as boxes inside; so are fused groups, around their members.
    Edges carry dtype and shape; dashed edges lead from the next value of a variable back to it. Placeholders,
    variables and constants are drawn again in each region that reads them, for edges across the picture hide what
    matters; numbers are written into the nodes that read them. Pointing at a node shows the user's line.

    Args:
        graph: any stage.
        title: a line above the picture.
        collapse_fused: draw a fused group as one node that names its members.
        show_legend: explain the colours and lines that occur.
    """
    import pydot

    dot = pydot.Dot("graphc", graph_type="digraph", **_quoted(GRAPH))
    if title:
        dot.set("label", f'<<font point-size="18"><b>{html_text(title)}</b></font>>')
    dot.set_node_defaults(**_quoted(NODE))
    dot.set_edge_defaults(**_quoted(EDGE))
    drawing = _Drawing(dot, SizeNames(graph), collapse_fused)
    drawing.draw_program(graph)
    if show_legend:
        dot.add_node(legend(drawing.kinds, updates=bool(graph.updates), copies=drawing.has_copies))
    text: str = dot.to_string()
    return text


def _quoted(texts: Mapping[str, str]) -> dict[str, Any]:
    return {name: quoted(text) for name, text in texts.items()}


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A node of the picture."""

    path: Path
    kind: Kind
    heading: str
    details: str
    tooltip: str


@dataclass(frozen=True, slots=True)
class _Part:
    """One graph on its way into the picture.

    Attributes:
        graph: the graph.
        prefix: what the ids of its nodes start with; their place in the graph follows.
        names: what the text form calls its values.
        place: the boxes that a node of the graph stands in.
        updates: values that are next values of variables.
        sources: where each value comes from: the id of the drawn node, or a literal.
    """

    graph: Graph
    prefix: str
    names: Mapping[Value, str]
    place: Callable[[Node], Path]
    updates: Set[Value] = frozenset()
    sources: dict[Value, str | _Literal] = field(default_factory=dict)


class _Drawing:
    """Adds what it draws to ``dot``."""

    def __init__(self, dot: pydot.Dot, sizes: SizeNames, collapse_fused: bool) -> None:
        self.dot = dot
        self.sizes = sizes
        self.collapse_fused = collapse_fused
        self.boxes: dict[Path, Any] = {(): dot}
        self.nodes: dict[str, _Drawn] = {}
        self.kinds: set[Kind] = set()
        self.has_copies = False

    def draw_program(self, graph: Graph) -> None:
        region = regions(graph)
        used = set(region.values())
        for name, (fill, line) in REGIONS.items():
            if name in used:
                self._box((name,), name.capitalize(), {"fillcolor": fill, "color": line, "style": "rounded,filled"})

        def place(node: Node) -> Path:
            path: Path = (region[node],)
            scope = drawn_scope(graph, node, region)
            for name in scope.split("/") if scope else ():
                path = (*path, name)
                self._box(path, name, SCOPE)
            return path

        part = _Part(graph, "n", value_names(graph), place, {value for _, value in graph.updates})
        self._draw(part)
        self._draw_outputs(part, "out", ())
        for variable, value in graph.updates:
            source, target = part.sources[value], part.sources[variable]
            if isinstance(source, str) and isinstance(target, str):
                copy = _copy_name(target, self.nodes[source].path)
                tooltip = f"next value of {part.names[variable]}"
                self._edge(copy if copy in self.nodes else target, source, tooltip=tooltip, **UPDATE_EDGE)

    def _box(self, path: Path, label: str, style: Mapping[str, str]) -> Any:
        """The box at a path. It joins the one around it before anything stands in it: pydot is quick only then."""
        import pydot

        if path not in self.boxes:
            text = f"<<b>{html_text(shortened(label, _TITLE_LIMIT))}</b>>"
            box = pydot.Cluster(str(len(self.boxes)), label=text, **_quoted({"tooltip": label, **style}))
            self.boxes[path[:-1]].add_subgraph(box)
            self.boxes[path] = box
        return self.boxes[path]

    def _draw(self, part: _Part) -> None:
        """Draw the nodes of a graph whose sources are not known yet."""
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
                self._draw_group(part, node, id, path)
                continue
            self._draw_node(part, node, id, path)
            part.sources.update(dict.fromkeys(node.outputs, id))
            if node.op.name != "fused":
                numbers = itertools.count()
                for position, (name, body) in enumerate(bodies(node)):
                    names = value_names(body, part.names[node.outputs[0]], numbers)
                    self._draw_body(body, names, f"{id}_{position}", f"{node.op.name}: {name}", path, id)

    def _draw_group(self, outer: _Part, node: Node, id: str, path: Path) -> None:
        """A fused group: its members, between the nodes that they read and those that read them."""
        ((_, body),) = bodies(node)
        inside = (*path, f"/{id}")
        self._box(inside, "fused", GROUP)
        updates = {inner for inner, value in zip(body.outputs, node.outputs, strict=True) if value in outer.updates}
        part = _Part(body, f"{id}_", value_names(body, outer.names[node.outputs[0]]), lambda _: inside, updates)
        for inner, value in zip(body.inputs, node.inputs, strict=True):
            source = outer.sources[value]
            part.sources[inner] = self._nearest(source, path) if isinstance(source, str) else source
        self._draw(part)
        for inner, value in zip(body.outputs, node.outputs, strict=True):
            outer.sources[value] = part.sources[inner]

    def _draw_body(self, body: Graph, names: Mapping[Value, str], id: str, label: str, path: Path, owner: str) -> None:
        """A graph that a node runs on its own, beside the node."""
        inside = (*path, f"/{id}")
        box = self._box(inside, label, BODY)
        part = _Part(body, f"{id}_", names, lambda _: inside)
        self._draw(part)
        self._draw_outputs(part, f"{id}_out", inside)
        first = next((source for source in part.sources.values() if isinstance(source, str)), None)
        if first is not None:
            self._edge(owner, first, tooltip=label, lhead=box.get_name(), **LINK)

    def _draw_outputs(self, part: _Part, prefix: str, path: Path) -> None:
        outputs = part.graph.outputs
        for position, value in enumerate(outputs):
            id = f"{prefix}{position}"
            label = "output" if len(outputs) == 1 else f"output {position}"
            self._add(id, _Drawn(path, KINDS["output"], label, "", f"{label}: {part.names[value]}"))
            source = part.sources[value]
            if isinstance(source, str):
                self._edge(source, id, label=self.sizes.type(value.type), tooltip=part.names[value])

    def _draw_node(self, part: _Part, node: Node, id: str, path: Path) -> None:
        operands = [part.sources[value] for value in node.inputs]
        kind = kind_of(node, not part.updates.isdisjoint(node.outputs))
        self._add(id, _Drawn(path, kind, *self._label(part, node, operands), _tooltip(part, node)))
        positions: dict[tuple[str, Value], list[str]] = {}
        for position, (operand, value) in enumerate(zip(operands, node.inputs, strict=True), 1):
            if isinstance(operand, str):
                positions.setdefault((operand, value), []).append(str(position))
        for (source, value), places in positions.items():
            tooltip = f"{part.names[value]}, operand {' and '.join(places)} of {node.op.name}"
            self._edge(self._nearest(source, path), id, label=self.sizes.type(value.type), tooltip=tooltip)

    def _label(self, part: _Part, node: Node, operands: Sequence[str | _Literal]) -> tuple[str, str]:
        """The heading of a node and the smaller line under it."""
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
        details = [f"{name}={self.sizes.attribute(value)}" for name, value in attributes(node)]
        if any(isinstance(operand, _Literal) for operand in operands):
            texts = (operand.text if isinstance(operand, _Literal) else "·" for operand in operands)
            details.insert(0, f"({', '.join(texts)})")
        return node.op.name, ", ".join(details)

    def _nearest(self, source: str, path: Path) -> str:
        """What stands for ``source`` in the region of ``path``: itself, or for leaves of other regions a copy."""
        drawn = self.nodes[source]
        if drawn.kind not in LEAVES or drawn.path[0] == path[0]:
            return source
        copy = _copy_name(source, path)
        if copy not in self.nodes:
            self._add(copy, replace(drawn, path=path), COPY)
            self.has_copies = True
        return copy

    def _add(self, id: str, drawn: _Drawn, style: Mapping[str, str] = MappingProxyType({})) -> None:
        import pydot

        self.nodes[id] = drawn
        self.kinds.add(drawn.kind)
        kind = drawn.kind
        label = f"<b>{html_text(shortened(drawn.heading, _TITLE_LIMIT))}</b>"
        if drawn.details:
            text = html_text(shortened(drawn.details, _DETAIL_LIMIT))
            label += f'<br/><font point-size="9" color="{MUTED}">{text}</font>'
        look = {"fillcolor": kind.fill, "color": kind.line, "tooltip": drawn.tooltip, **kind.style, **style}
        self.boxes[drawn.path].add_node(pydot.Node(id, label=f"<{label}>", **_quoted(look)))

    def _edge(self, source: str, target: str, **style: str) -> None:
        import pydot

        self.dot.add_edge(pydot.Edge(source, target, **_quoted(style)))


def _copy_name(leaf: str, path: Path) -> str:
    """The id of the copy of a leaf in the region of ``path``."""
    return f"{leaf}_{path[0]}"


def _tooltip(part: _Part, node: Node) -> str:
    names = ", ".join(part.names[value] for value in node.outputs)
    parts = [f"{names} = {node.op.name}", node.scope, node.location.short if node.location else ""]
    return " - ".join(part for part in parts if part)
