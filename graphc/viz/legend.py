"""The box that explains a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.viz.picture import Picture
from graphc.viz.style import EDGE, KINDS, MUTED, UPDATE_EDGE

if TYPE_CHECKING:
    import pydot

__all__ = ["legend"]


def legend(picture: Picture) -> pydot.Node:
    """A node that explains the kinds of nodes and the lines that occur."""
    import pydot

    kinds = {item.kind for item in picture.items.values()}
    rows = [
        _row(f'border="1" bgcolor="{kind.fill}" color="{kind.line}"', "", kind.meaning)
        for kind in KINDS.values()
        if kind in kinds
    ]
    if any(item.copy for item in picture.items.values()):
        rows.append(_row(f'border="1" style="dashed" color="{MUTED}"', "", "copy from another region"))
    rows.append(_row("", _line("&#8212;&#8212;&gt;", EDGE["color"]), "value: dtype and shape"))
    if any(link.kind == "update" for link in picture.links):
        rows.append(_row("", _line("- - -&gt;", UPDATE_EDGE["color"]), "next value of a variable"))
    border = 'border="1" style="rounded" color="#cbd2d9"'
    table = f'<table {border} cellborder="0" cellspacing="3" cellpadding="2">{"".join(rows)}</table>'
    return pydot.Node("legend", shape="plaintext", style='""', tooltip='"legend"', label=f"<{table}>")


def _row(attributes: str, sample: str, meaning: str) -> str:
    text = f'<font point-size="10" color="{MUTED}">{meaning}</font>'
    return f'<tr><td width="26" height="12" {attributes}>{sample}</td><td align="left">{text}</td></tr>'


def _line(text: str, color: str) -> str:
    return f'<font point-size="10" color="{color}"><b>{text}</b></font>'
