"""Pictures as SVG, drawn here: no other program is needed."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphc.ir.graph import Graph, Node
from graphc.viz.arrange import Arrangement, Hop, arrange
from graphc.viz.dot import DETAIL_LIMIT, TITLE_LIMIT
from graphc.viz.fold import folded, open_boxes
from graphc.viz.heat import times
from graphc.viz.levels import with_levels
from graphc.viz.picture import Box, Item, Link, Path, Picture, picture_of
from graphc.viz.place import Inside, place
from graphc.viz.sheet import heat, style_sheet
from graphc.viz.style import KINDS, class_of
from graphc.viz.text import shortened, text_width, time_text, xml_text

__all__ = ["Drawing", "Mark", "document", "item_lines", "item_size", "svg_text", "title_width", "to_svg"]

LINE = 13.0
_MARGIN = 10.0


@dataclass(frozen=True, slots=True)
class Mark:
    """What an item or a box shows besides what it is.

    Attributes:
        classes: of the style sheet: ``"added"``, ``"removed"``, ``"kept"`` or ``"hot"``.
        fill: a colour instead of that of its kind.
        note: a line below the others.
    """

    classes: str = ""
    fill: str = ""
    note: str = ""


def to_svg(
    graph: Graph,
    *,
    title: str | None = None,
    depth: int | str | None = "auto",
    seconds: Mapping[Node, float] | None = None,
) -> str:
    """The graph as an SVG picture, which follows the reader's preference for light or dark.

    It shows what :func:`~graphc.viz.to_dot` does, with the type of its result in each item instead of on the lines.

    Args:
        graph: any stage.
        title: a line above the picture.
        depth: how many levels of boxes are open; by default, as many as can be read.
        seconds: the time that nodes took, as in ``profile.seconds_by_node``: it is written into the items and boxes,
            and the longer it is, the redder they are.

    Raises:
        GraphError: the depth is no number of levels, ``"auto"`` or None.
    """
    picture = with_levels(picture_of(graph))
    shown = folded(picture, open_boxes(picture, depth))
    return svg_text(shown, title=title, marks=_heated(shown, times(picture, seconds)) if seconds else None)


def _heated(picture: Picture, found: Mapping[str | Path, float]) -> dict[str | Path, Mark]:
    """Times as marks: colours for items, closed boxes, groups and loops, and a text for all."""
    marks: dict[str | Path, Mark] = {}
    leaves = {id: found[item.box or id] for id, item in picture.items.items() if (item.box or id) in found}
    most = max(leaves.values(), default=0.0) or 1.0
    for id, taken in leaves.items():
        marks[id] = Mark("hot", heat(taken / most), time_text(taken))
    for path in picture.boxes:
        if path in found:
            marks[path] = Mark(note=time_text(found[path]))
    return marks


def svg_text(picture: Picture, *, title: str | None = None, marks: Mapping[str | Path, Mark] | None = None) -> str:
    """A picture as SVG, with all its boxes open."""
    drawing = Drawing(picture, marks or {})
    kinds = {item.kind for item in picture.items.values()}
    copies = any(item.copy for item in picture.items.values())
    updates = any(link.kind == "update" for link in picture.links)
    rows = _legend_rows(kinds, copies, updates, max(drawing.inside.width, 420.0))
    top = _MARGIN + (28.0 if title else 0.0)
    body: list[str] = []
    if title:
        body.append(f'<text class="title" x="{_MARGIN + 4:g}" y="{top - 8:g}">{xml_text(title)}</text>')
    body += [f'<g transform="translate({_MARGIN + 4:g},{top + 18 * n:g})">{row}</g>' for n, (row, _) in enumerate(rows)]
    top += 18.0 * len(rows) + 4
    body.append(f'<g transform="translate({_MARGIN:g},{top:g})">{"".join(drawing.parts())}</g>')
    width = max(drawing.inside.width, *(width for _, width in rows), text_width(title or "", 18, True)) + 2 * _MARGIN
    return document("\n".join(body), width, top + drawing.inside.height + _MARGIN)


def document(body: str, width: float, height: float) -> str:
    """A whole SVG file."""
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    tips = "".join(
        f'<marker id="tip-{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'markerUnits="userSpaceOnUse" orient="auto-start-reverse">'
        f'<path class="tip {kind}" d="M0 .8L8 4L0 7.2z"/></marker>'
        for kind in ("value", "update")
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graphc" {size}>\n<style>\n{style_sheet()}</style>\n'
        f'<defs>{tips}</defs>\n<rect width="100%" height="100%" fill="var(--paper)"/>\n{body}\n</svg>\n'
    )


def item_lines(item: Item, note: str = "") -> list[str]:
    """The lines of an item's text, the heading first."""
    smaller = (shortened(text, DETAIL_LIMIT) for text in (item.details, item.type, note))
    return [shortened(item.heading, TITLE_LIMIT), *filter(None, smaller)]


def item_size(lines: Sequence[str]) -> tuple[float, float]:
    """Width and height of an item with these lines."""
    widths = [text_width(lines[0], 12, True), *(text_width(line, 9.5) for line in lines[1:])]
    return round(max(44.0, max(widths) + 22), 1), 14 + LINE * len(lines)


def title_width(box: Box, note: str = "") -> float:
    """The least width of an open box."""
    return round(text_width(shortened(box_title(box, note), 2 * TITLE_LIMIT), 11, True) + 24, 1)


def box_title(box: Box, note: str = "") -> str:
    """What stands in the corner of a box."""
    return f"{box.label} \N{MIDDLE DOT} {note}" if note else box.label


class Drawing:
    """A picture with its coordinates."""

    def __init__(self, picture: Picture, marks: Mapping[str | Path, Mark]) -> None:
        self.picture = picture
        self.marks = marks
        self.arrangements = arrange(picture)
        self.lines = {id: item_lines(item, self._mark(id).note) for id, item in picture.items.items()}
        self.sizes: dict[str | Path, tuple[float, float]] = {id: item_size(lines) for id, lines in self.lines.items()}
        for path, box in picture.boxes.items():
            self.sizes[path] = (title_width(box, self._mark(path).note), 0.0)
        self.inside = place((), self.arrangements, self.sizes, picture.boxes)

    def _mark(self, of: str | Path) -> Mark:
        return self.marks.get(of, Mark())

    def parts(self) -> Iterator[str]:
        """The elements: boxes first, then lines, then items."""
        spots = list(self._spots((), self.inside, 0.0, 0.0))
        for path, inside, left, top in spots:
            if path:
                yield self._box(path, inside, left, top)
        for path, inside, left, top in spots:
            yield from self._links(self.arrangements[path], inside, left, top)
        for path, inside, left, top in spots:
            for units in self.arrangements[path].rows:
                for unit in units:
                    if isinstance(unit, str):
                        yield self._item(unit, left + inside.centers[unit], top + inside.tops[unit])

    def _spots(
        self, path: Path, inside: Inside, left: float, top: float
    ) -> Iterator[tuple[Path, Inside, float, float]]:
        """Every open box and its upper left corner, outer ones first."""
        yield path, inside, left, top
        for box, below in inside.boxes.items():
            yield from self._spots(box, below, left + inside.centers[box] - below.width / 2, top + inside.tops[box])

    def _box(self, path: Path, inside: Inside, left: float, top: float) -> str:
        box, mark = self.picture.boxes[path], self._mark(path)
        fill = f' style="fill:{mark.fill}"' if mark.fill else ""
        title = shortened(box_title(box, mark.note), 2 * TITLE_LIMIT)
        return (
            f'<g class="box {box.kind}{" " * bool(mark.classes)}{mark.classes}" '
            f'transform="translate({left:.1f},{top:.1f})"><title>{xml_text(box.label)}</title>'
            f'<rect width="{inside.width:.1f}" height="{inside.height:.1f}" rx="7"{fill}/>'
            f'<text class="name" x="10" y="16">{xml_text(title)}</text></g>'
        )

    def _links(self, arrangement: Arrangement, inside: Inside, left: float, top: float) -> Iterator[str]:
        drawn: dict[str, list[Link]] = {}
        for hop in arrangement.hops:
            for number in hop.links:
                link = self.picture.links[number]
                drawn.setdefault(self._link(arrangement, hop, link, inside, left, top), []).append(link)
        for text, links in drawn.items():
            tips = [": ".join(filter(None, (link.tooltip, link.label))) for link in links]
            yield f"<g>{text}<title>{xml_text('; '.join(dict.fromkeys(tips)))}</title></g>"

    def _link(self, arrangement: Arrangement, hop: Hop, link: Link, inside: Inside, left: float, top: float) -> str:
        points = [inside.end(hop.upper, hop.key, True)]
        for bend in arrangement.way(hop)[1:-1]:
            x, y = inside.centers[bend], inside.tops[bend]
            points += [(x, y), (x, y + inside.heights[bend])]
        points.append(inside.end(hop.lower, hop.key, False))
        start, end = self._tips(hop, link)
        tips = f' marker-start="url(#tip-{start})"' * bool(start) + f' marker-end="url(#tip-{end})"' * bool(end)
        return f'<path class="link {link.kind}" d="{curve(points, left, top)}"{tips}/>'

    def _tips(self, hop: Hop, link: Link) -> tuple[str, str]:
        """The kinds of the arrows at the upper and at the lower end of a line."""
        if link.kind == "body":
            return "", ""
        at_upper, at_lower = link.target == hop.upper, link.target == hop.lower
        return link.kind * at_upper, link.kind * at_lower

    def _item(self, id: str, x: float, y: float) -> str:
        item, mark, lines = self.picture.items[id], self._mark(id), self.lines[id]
        width, height = self.sizes[id]
        classes = " ".join(filter(None, ("item", class_of(item.kind), "copy" * item.copy, mark.classes)))
        texts = [f'<text class="head" x="0" y="19">{xml_text(lines[0])}</text>']
        texts += [
            f'<text class="note" x="0" y="{19 + LINE * n:g}">{xml_text(text)}</text>'
            for n, text in enumerate(lines)
            if n
        ]
        return (
            f'<g class="{classes}" transform="translate({x:.1f},{y:.1f})" text-anchor="middle">'
            f"<title>{xml_text(item.tooltip)}</title>{shape(item, width, height, mark.fill)}{''.join(texts)}</g>"
        )


def curve(points: Sequence[tuple[float, float]], left: float = 0.0, top: float = 0.0) -> str:
    """A path through points that leaves and enters each of them vertically."""
    moved = [(x + left, y + top) for x, y in points]
    text = f"M{moved[0][0]:.1f} {moved[0][1]:.1f}"
    for (x0, y0), (x1, y1) in itertools.pairwise(moved):
        if abs(x0 - x1) < 0.5:
            text += f"L{x1:.1f} {y1:.1f}"
        else:
            middle = (y0 + y1) / 2
            text += f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"
    return text


def shape(item: Item, width: float, height: float, fill: str = "") -> str:
    """The outline of an item whose upper edge is at 0 and which is centered at 0."""
    style = f' style="fill:{fill}"' if fill else ""
    x = -width / 2
    if item.kind is KINDS["variable"]:
        arc = f"a{width / 2:.1f} 4 0 0 "
        lid = f'<path class="shape" style="fill:none" d="M{x:.1f} 4{arc}0 {width:.1f} 0"/>'
        path = f"M{x:.1f} 4{arc}1 {width:.1f} 0V{height - 4:g}{arc}1 {-width:.1f} 0z"
        return f'<path class="shape" d="{path}"{style}/>{lid}'
    radius = height / 2 if item.kind is KINDS["placeholder"] else 2 if item.kind is KINDS["constant"] else 6
    size = f'width="{width:.1f}" height="{height:g}" rx="{radius:g}"'
    outline = f'<rect class="shape" x="{x:.1f}" y="0" {size}{style}/>'
    if item.kind is KINDS["closed"]:
        return f'<rect class="shape" x="{x + 4:.1f}" y="4" {size}/>{outline}'
    return outline


def _legend_rows(kinds: Collection[object], copies: bool, updates: bool, width: float) -> list[tuple[str, float]]:
    """What the colours and lines mean, in rows of a width, with the width that each takes."""
    entries = [(_swatch(class_of(kind)), kind.meaning) for kind in KINDS.values() if kind in kinds]
    if copies:
        entries.append((_swatch("constant copy"), "copy from another region"))
    line = '<path class="link {0}" d="M0 7H18" marker-end="url(#tip-{0})"/>'
    entries.append((line.format("value"), "value"))
    if updates:
        entries.append((line.format("update"), "next value of a variable"))
    rows: list[tuple[str, float]] = [("", 0.0)]
    for sample, meaning in entries:
        text, x = rows[-1]
        needed = 24 + text_width(meaning, 9.5) + 14
        if x and x + needed > width:
            rows.append(("", 0.0))
            text, x = rows[-1]
        entry = f'<g transform="translate({x:.1f},0)">{sample}<text class="note" x="23" y="10.5">{meaning}</text></g>'
        rows[-1] = (text + entry, x + needed)
    return rows


def _swatch(classes: str) -> str:
    return f'<g class="item {classes}"><rect class="shape" x="1" y="1" width="16" height="11" rx="3"/></g>'
