"""Which boxes are open, and the picture in which the others are items."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace

from graphc.errors import GraphError
from graphc.viz.picture import Item, Link, LinkKind, Path, Picture
from graphc.viz.style import KINDS

__all__ = ["closed_around", "contents", "folded", "is_row", "level", "open_boxes", "place_text", "readable"]

READABLE = 64
"""How many items a picture shows at most where nothing else is asked for."""

_ORDER = ("forward", "backward", "update")


def open_boxes(picture: Picture, depth: int | str | None) -> set[Path]:
    """The boxes that are open at a depth.

    Args:
        picture: the picture.
        depth: how many levels of boxes are open; long rows of equal boxes stay closed. None opens all, and ``"auto"``
            as many levels as give a picture that a person can read.

    Raises:
        GraphError: the depth is none of these.
    """
    if depth == "auto":
        return readable(picture, picture.boxes)
    if depth is None:
        return set(picture.boxes)
    if isinstance(depth, str) or depth < 0:
        raise GraphError(f"depth={depth!r}", expected="a number of levels, 'auto', or None for all")
    return {path for path in picture.boxes if level(path) <= depth and not any(map(is_row, path))}


def readable(picture: Picture, wanted: Collection[Path]) -> set[Path]:
    """Those of the wanted boxes that are to be open: level by level, in one region after the other, while all fits."""
    if len(visible(picture, wanted)) <= READABLE:
        return set(wanted)
    batches: dict[tuple[int, str], set[Path]] = defaultdict(set)
    for path in wanted:
        if not any(map(is_row, path)):
            batches[level(path), path[0]].add(path)
    found: set[Path] = set()
    full: set[str] = set()
    for (_, region), paths in sorted(batches.items(), key=lambda batch: (batch[0][0], _ORDER.index(batch[0][1]))):
        if region not in full and len(visible(picture, found | paths)) <= READABLE:
            found |= paths
        else:
            full.add(region)
    return found


def is_row(name: str) -> bool:
    """Whether the name of a box is that of a row of equal ones."""
    return name.startswith("/row ")


def level(path: Path) -> int:
    """How deep a box is; rows of equal boxes do not count."""
    return sum(not is_row(name) for name in path)


def visible(picture: Picture, opened: Collection[Path]) -> dict[str, Path | None]:
    """For each item the closed box that hides it, or None; reduced to what is drawn: items, and one item for a box."""
    shown: dict[str, Path | None] = {}
    seen: set[Path] = set()
    for id, item in picture.items.items():
        box = closed_around(item.path, opened)
        if box is None:
            shown[id] = None
        elif box not in seen:
            seen.add(box)
            shown[id] = box
    return shown


def closed_around(path: Path, opened: Collection[Path]) -> Path | None:
    """The outermost box around a place that is not open."""
    return next((path[:depth] for depth in range(1, len(path) + 1) if path[:depth] not in opened), None)


def place_text(path: Path) -> str:
    """Where a box is: the names of regions and scopes, as a person would write them."""
    return "/".join(name for name in path if not name.startswith("/"))


def contents(items: Iterable[Item]) -> str:
    """What a closed box says of what is inside it."""
    every = list(items)
    found = [item for item in every if not item.copy]
    if not found:
        return f"{len(every):,} copies"
    parameters = sum(item.parameters for item in found)
    count = f"{len(found):,} node{'s' * (len(found) != 1)}"
    return f"{count}, {parameters:,} parameters" if parameters else count


def folded(picture: Picture, opened: Collection[Path]) -> Picture:
    """The picture with an item in place of every box that is not open."""
    hidden: dict[Path, list[Item]] = defaultdict(list)
    stands: dict[str, str] = {}
    ids: dict[Path, str] = {}
    items: dict[str, Item] = {}
    for id, item in picture.items.items():
        box = closed_around(item.path, opened)
        if box is None:
            items[id], stands[id] = item, id
            continue
        hidden[box].append(item)
        if box not in ids:
            ids[box] = f"box{len(ids)}"
            label, node = picture.boxes[box].label, picture.boxes[box].node
            items[ids[box]] = Item(box[:-1], KINDS["closed"], label, node=node, box=box)
        stands[id] = ids[box]
    for path, id in ids.items():
        items[id] = replace(items[id], details=contents(hidden[path]), name=place_text(path))
    boxes = {path: box for path, box in picture.boxes.items() if path in opened and path[:-1] in {(), *opened}}
    return Picture(boxes, items, _merged(picture.links, stands, picture))


def _merged(links: Iterable[Link], stands: dict[str, str], picture: Picture) -> list[Link]:
    """The links between what is drawn; those that run side by side are one."""
    bundles: dict[tuple[str, str, LinkKind], list[Link]] = defaultdict(list)
    result: list[Link] = []
    for link in links:
        source, target = stands[link.source], stands[link.target]
        if source == target:
            continue
        if source == link.source and target == link.target:
            result.append(link)
        else:
            bundles[source, target, link.kind].append(link)
    for (source, target, kind), bundle in bundles.items():
        values = Counter((link.source, link.label) for link in bundle)
        label = bundle[0].label if len(values) == 1 else f"{len(values)} values"
        names = list(dict.fromkeys(link.tooltip for link in bundle))
        tooltip = "; ".join(names[:4]) + ("; ..." if len(names) > 4 else "")
        result.append(Link(source, target, label if kind == "value" else "", tooltip, kind))
    return result
