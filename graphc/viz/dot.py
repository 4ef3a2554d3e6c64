"""Pictures in Graphviz's DOT."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from graphc.ir.graph import Graph
from graphc.viz.fold import folded, open_boxes
from graphc.viz.legend import legend
from graphc.viz.levels import with_levels
from graphc.viz.picture import Box, BoxKind, Item, Link, LinkKind, Path, Picture, picture_of
from graphc.viz.style import BODY, COPY, EDGE, GRAPH, GROUP, LINK, MUTED, NODE, PART, REGIONS, SCOPE, UPDATE_EDGE
from graphc.viz.text import html_text, quoted, shortened

if TYPE_CHECKING:
    import pydot

__all__ = ["dot_text", "to_dot"]

TITLE_LIMIT = 32
DETAIL_LIMIT = 44

_BOXES: Mapping[BoxKind, Mapping[str, str]] = {
    **{
        name: MappingProxyType({"fillcolor": fill, "color": line, "style": "rounded,filled"})
        for name, (fill, line) in REGIONS.items()
    },
    "scope": SCOPE,
    "group": GROUP,
    "body": BODY,
    "part": PART,
}
_LINKS: Mapping[LinkKind, Mapping[str, str]] = {"value": {}, "update": UPDATE_EDGE, "body": LINK}


def to_dot(
    graph: Graph,
    *,
    title: str | None = None,
    depth: int | str | None = None,
    collapse_fused: bool = False,
    show_legend: bool = True,
) -> str:
    """The graph as DOT text, the same for graphs of the same structure.

    Forward, backward and update are boxes, with the scopes as boxes inside; so are fused groups and loops, around their
    members. Edges carry dtype and shape; dashed edges lead from the next value of a variable back to it. Placeholders,
    variables and constants are drawn again in each region that reads them, for edges across the picture hide what
    matters; numbers are written into the nodes that read them. Pointing at a node shows the user's line.

    Args:
        graph: any stage.
        title: a line above the picture.
        depth: how many levels of boxes are open; deeper ones are drawn as one node each, with the numbers of nodes and
            parameters in it, and so are long rows of equal ones. None draws everything, ``"auto"`` what can be read.
        collapse_fused: draw a fused group as one node that names its members.
        show_legend: explain the colours and lines that occur.

    Raises:
        GraphError: the depth is none of these.
    """
    picture = picture_of(graph, collapse_fused=collapse_fused)
    if depth is not None:
        picture = with_levels(picture)
        picture = folded(picture, open_boxes(picture, depth))
    return dot_text(picture, title=title, show_legend=show_legend)


def dot_text(picture: Picture, *, title: str | None = None, show_legend: bool = True) -> str:
    """A picture as DOT text."""
    import pydot

    dot = pydot.Dot("graphc", graph_type="digraph", **_quoted(GRAPH))
    if title:
        dot.set("label", f'<<font point-size="18"><b>{html_text(title)}</b></font>>')
    dot.set_node_defaults(**_quoted(NODE))
    dot.set_edge_defaults(**_quoted(EDGE))
    clusters: dict[Path, Any] = {(): dot}
    for path, box in picture.boxes.items():
        # A box joins the one around it before anything stands in it: pydot is quick only then.
        clusters[path] = _cluster(box, len(clusters))
        clusters[path[:-1]].add_subgraph(clusters[path])
    for id, item in picture.items.items():
        clusters[item.path].add_node(_node(id, item))
    for link in picture.links:
        dot.add_edge(_edge(link))
    if show_legend:
        dot.add_node(legend(picture))
    text: str = dot.to_string()
    return text


def _quoted(texts: Mapping[str, str]) -> dict[str, Any]:
    return {name: quoted(text) for name, text in texts.items()}


def _cluster(box: Box, number: int) -> Any:
    import pydot

    text = f"<<b>{html_text(shortened(box.label, TITLE_LIMIT))}</b>>"
    return pydot.Cluster(str(number), label=text, **_quoted({"tooltip": box.label, **_BOXES[box.kind]}))


def _node(id: str, item: Item) -> pydot.Node:
    import pydot

    kind = item.kind
    label = f"<b>{html_text(shortened(item.heading, TITLE_LIMIT))}</b>"
    if item.details:
        text = html_text(shortened(item.details, DETAIL_LIMIT))
        label += f'<br/><font point-size="9" color="{MUTED}">{text}</font>'
    look = {"fillcolor": kind.fill, "color": kind.line, "tooltip": item.tooltip, **kind.style}
    return pydot.Node(id, label=f"<{label}>", **_quoted({**look, **COPY} if item.copy else look))


def _edge(link: Link) -> pydot.Edge:
    import pydot

    texts = {"label": link.label} if link.label else {}
    # A next value is drawn from the variable on, with its arrow there: that keeps the variable above.
    ends = (link.target, link.source) if link.kind == "update" else (link.source, link.target)
    return pydot.Edge(*ends, **_quoted({**texts, "tooltip": link.tooltip, **_LINKS[link.kind]}))
