"""What notebooks show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.viz.svg import to_svg
from graphc.viz.text import xml_text

if TYPE_CHECKING:
    from graphc.function import Function

__all__ = ["function_html"]


def function_html(function: Function) -> str:
    """A compiled function as HTML: its arguments and results, then the picture of its final graph."""
    graph = function.graph
    rows = [(value.name or "", str(value.type), "argument") for value in graph.inputs]
    rows += [("", str(value.type), "result") for value in graph.outputs]
    cells = "".join(
        f"<tr><td>{role}</td><td>{xml_text(name)}</td><td>{xml_text(type)}</td></tr>" for name, type, role in rows
    )
    return (
        f"<div><b>{xml_text(repr(function).strip('<>'))}</b><table>{cells}</table>"
        f"<details><summary>graph</summary>{to_svg(graph)}</details></div>"
    )
