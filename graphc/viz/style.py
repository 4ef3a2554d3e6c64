"""How pictures look: the kinds of nodes and their colours, the regions, fonts and lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from graphc.ir.graph import Node
from graphc.viz.regions import Region

__all__ = [
    "BODY",
    "COPY",
    "EDGE",
    "FONT",
    "GRAPH",
    "GROUP",
    "KINDS",
    "LEAVES",
    "LINK",
    "MUTED",
    "NODE",
    "PART",
    "REGIONS",
    "SCOPE",
    "UPDATE_EDGE",
    "Kind",
    "class_of",
    "kind_of",
]

FONT = "Helvetica,Arial,sans-serif"
INK = "#1f2933"
MUTED = "#5f6b7a"


@dataclass(frozen=True, eq=False)
class Kind:
    """How one kind of node is drawn."""

    name: str
    fill: str
    line: str
    style: Mapping[str, str] = field(default_factory=dict)
    meaning: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "meaning", self.meaning or self.name)


_KINDS = (
    Kind("placeholder", "#d7e6fb", "#3f74c4", {"shape": "ellipse", "margin": "0.05,0.02"}),
    Kind("variable", "#fdf0c3", "#b98900", {"shape": "cylinder", "style": "filled"}),
    Kind("constant", "#eceff1", "#8795a1", {"shape": "note", "style": "filled"}),
    Kind("elementwise", "#dcf2e0", "#3f9a58"),
    Kind("reduction", "#d3f1f0", "#1f8f92"),
    Kind("view", "#ffffff", "#a3adb8"),
    Kind("product", "#e8defa", "#7248bd"),
    Kind("structured", "#fbdcec", "#bd3d86"),
    Kind("random", "#ffe3c9", "#d2711f"),
    Kind("fused", "#e6ebf1", "#52606d"),
    Kind("update", "#fcd6d2", "#c5392c"),
    Kind("closed", "#f8f9fb", "#52606d", {"peripheries": "2"}, "closed box"),
    Kind("output", "#2f3e4e", "#2f3e4e", {"fontcolor": "#ffffff"}),
)
KINDS = MappingProxyType({kind.name: kind for kind in _KINDS})
"""The kinds of nodes in the order of the legend."""

LEAVES = frozenset({KINDS["placeholder"], KINDS["variable"], KINDS["constant"]})
COPY = MappingProxyType({"shape": "box", "style": "rounded,filled,dashed"})
"""How a leaf looks that stands in another region."""


def class_of(kind: Kind) -> str:
    """What style sheets call a kind."""
    return kind.name


_PRODUCTS = frozenset({"matmul", "gemm"})


def kind_of(node: Node, updates: bool = False) -> Kind:
    """The kind of a node; ``updates`` says whether it computes the next value of a variable."""
    op = node.op
    if op.name in ("placeholder", "variable", "constant"):
        return KINDS[op.name]
    if updates:
        return KINDS["update"]
    if any(field.name == "stream" for field in fields(op.attrs)):
        return KINDS["random"]
    for name, holds in (
        ("elementwise", op.elementwise),
        ("reduction", op.reduction is not None),
        ("view", op.view),
        ("fused", op.name == "fused"),
        ("product", op.name in _PRODUCTS),
        ("constant", not node.inputs),
    ):
        if holds:
            return KINDS[name]
    return KINDS["structured"]


REGIONS: MappingProxyType[Region, tuple[str, str]] = MappingProxyType(
    {"forward": ("#f4f8fe", "#a9c2ea"), "backward": ("#fef7ee", "#ecc797"), "update": ("#fdf1f1", "#e6aeb0")}
)
"""Fill and line of the regions' boxes."""

GRAPH = MappingProxyType(
    {
        "fontname": FONT,
        "fontcolor": INK,
        "bgcolor": "white",
        "compound": "true",
        "labelloc": "t",
        "labeljust": "l",
        "nodesep": "0.35",
        "ranksep": "0.45",
        "pad": "0.3",
    }
)
NODE = MappingProxyType(
    {
        "fontname": FONT,
        "fontsize": "12",
        "fontcolor": INK,
        "shape": "box",
        "style": "rounded,filled",
        "penwidth": "1.2",
        "margin": "0.16,0.07",
        "height": "0.4",
    }
)
EDGE = MappingProxyType(
    {
        "fontname": FONT,
        "fontsize": "9",
        "fontcolor": MUTED,
        "color": "#8795a1",
        "arrowsize": "0.6",
        "penwidth": "1.1",
    }
)
# It runs from the variable to the next value with its arrow at the variable: that keeps the variable above.
UPDATE_EDGE = MappingProxyType({"style": "dashed", "color": KINDS["update"].line, "dir": "back"})
LINK = MappingProxyType({"style": "dotted", "arrowhead": "none"})
SCOPE = MappingProxyType(
    {"style": "rounded,filled", "fillcolor": "#ffffffb0", "color": "#b8c2cc", "fontsize": "11", "fontcolor": MUTED}
)
PART = MappingProxyType({**SCOPE, "style": "rounded,dashed"})
GROUP = MappingProxyType(
    {
        "style": "rounded,filled",
        "fillcolor": KINDS["fused"].fill,
        "color": KINDS["fused"].line,
        "penwidth": "1.6",
        "fontsize": "10",
        "fontcolor": KINDS["fused"].line,
    }
)
BODY = MappingProxyType(
    {"style": "rounded,dashed", "color": KINDS["structured"].line, "fontsize": "11", "fontcolor": MUTED}
)
