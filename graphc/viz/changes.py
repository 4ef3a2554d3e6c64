"""What a pass changed, and the pictures before and after it side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from graphc.ir.graph import Graph
from graphc.viz.fold import closed_around, folded, readable
from graphc.viz.levels import with_levels
from graphc.viz.picture import Box, Item, Path, Picture, picture_of
from graphc.viz.svg import Drawing, Mark, document
from graphc.viz.text import xml_text

__all__ = ["changed", "changes_svg", "opened_for"]

_GAP = 40.0


def changed(before: Picture, after: Picture) -> tuple[set[str | Path], set[str | Path]]:
    """What of one picture is not in the other: items and boxes that are gone, and those that are new.

    Items are the same if they look the same and come from the same line and scope of the user's program; passes make
    nodes anew where only their operands have changed.
    """
    first, second = (Counter(_signatures(picture).values()) for picture in (before, after))
    return _only(before, second), _only(after, first)


def _only(picture: Picture, others: Counter[Hashable]) -> set[str | Path]:
    left = Counter(others)
    found: set[str | Path] = set()
    for name, signature in _signatures(picture).items():
        if left[signature] > 0:
            left[signature] -= 1
        else:
            found.add(name)
    return found


def _signatures(picture: Picture) -> dict[str | Path, Hashable]:
    items: dict[str | Path, Hashable] = {id: _item(item) for id, item in picture.items.items() if not item.copy}
    return items | {path: _box(box) for path, box in picture.boxes.items() if box.kind in ("group", "body")}


def _item(item: Item) -> Hashable:
    place = (item.node.scope, item.node.phase, item.node.location) if item.node is not None else ()
    return item.heading, item.details, item.type, place


def _box(box: Box) -> Hashable:
    return (box.label, box.node.scope, box.node.location) if box.node is not None else box.label


def opened_for(sides: Sequence[tuple[Picture, set[str | Path]]]) -> set[Path]:
    """The boxes that are to be open so that in two pictures these items and boxes are seen: as many as can be read."""
    found: set[Path] = set()
    for picture, names in sides:
        paths = [picture.items[name].path if isinstance(name, str) else name for name in names]
        found |= readable(picture, {path[:depth] for path in paths for depth in range(1, len(path) + 1)})
    return found


def changes_svg(before: Graph, after: Graph, *, titles: tuple[str, str] = ("before", "after")) -> str:
    """Two graphs side by side as SVG: what is gone is marked on the left, what is new on the right.

    Boxes without changes are closed.

    Args:
        before: the graph before a pass.
        after: the graph after it.
        titles: what stands above them.
    """
    pictures = [with_levels(picture_of(graph)) for graph in (before, after)]
    sides = list(zip(pictures, changed(*pictures), strict=True))
    opened = opened_for(sides)
    body: list[str] = []
    x = height = 0.0
    for title, (picture, names), kind in zip(titles, sides, ("removed", "added"), strict=True):
        drawing = Drawing(folded(picture, opened), _marks(picture, opened, names, kind))
        count = f"{len(names)} {'gone' if kind == 'removed' else 'new'}"
        heading = f"{title}: {len(picture.items)} nodes, {count}"
        body.append(
            f'<g transform="translate({x + 10:.1f},34)"><text class="title" x="4" y="-10">{xml_text(heading)}</text>'
            f"{''.join(drawing.parts())}</g>"
        )
        x += max(drawing.inside.width, 380.0) + _GAP
        height = max(height, drawing.inside.height)
    return document("\n".join(body), x - _GAP + 20, height + 50)


def _marks(picture: Picture, opened: set[Path], names: set[str | Path], kind: str) -> dict[str | Path, Mark]:
    """The marks of a folded picture: closed boxes are marked for what is in them."""
    kept = folded(picture, opened)
    marks: dict[str | Path, Mark] = {}
    hidden: Counter[Path] = Counter()
    for name in names:
        path = picture.items[name].path if isinstance(name, str) else name
        closed = closed_around(path, opened)
        if closed is None:
            marks[name] = Mark(kind)
        else:
            hidden[closed] += 1
    for id, item in kept.items.items():
        if item.box is not None and hidden[item.box]:
            marks[id] = Mark(kind, note=f"{hidden[item.box]} of them {'gone' if kind == 'removed' else 'new'}")
        elif id not in marks:
            marks[id] = Mark("kept")
    return marks
