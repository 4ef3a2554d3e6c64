"""More boxes where a box holds too much to be read: rows of equal layers, the update of each parameter, and pieces."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from graphc.viz.picture import Box, Item, Path, Picture
from graphc.viz.style import KINDS

__all__ = ["with_levels"]

CROWDED = 60
"""How many items a box holds itself before they are put into boxes inside it."""

UPDATES = 24
"""The same where there is a box to be made for each parameter."""

LONG_ROW = 6
"""How many equal boxes beside each other are put into a box together."""

_NUMBER = re.compile(r"\d+")


def with_levels(picture: Picture) -> Picture:
    """The picture with boxes for what is crowded, and for equal boxes in a long row."""
    return _rows(_pieces(_leaves(picture)))


def _moved(picture: Picture, boxes: Mapping[Path, Path], items: Mapping[str, Path], more: Iterable[Box]) -> Picture:
    """The picture with other paths for its boxes, for some of its items, and with more boxes."""
    placed = {box.path: box for box in more}
    for path, box in picture.boxes.items():
        new = boxes.get(path, path)
        placed[new] = replace(box, path=new)
    ordered = dict(sorted(placed.items(), key=lambda pair: len(pair[0])))
    moved = {
        id: replace(item, path=items.get(id) or boxes.get(item.path, item.path)) for id, item in picture.items.items()
    }
    return Picture(ordered, moved, picture.links)


def _leaves(picture: Picture) -> Picture:
    """Many leaves of one reader, such as what a derivative is taken by, in a box."""
    readers: dict[str, set[str]] = defaultdict(set)
    for link in picture.links:
        readers[link.source].add(link.target)
        if link.kind == "update":
            readers[link.target].add("")
    groups: dict[tuple[Path, str], list[str]] = defaultdict(list)
    for id, item in picture.items.items():
        if item.kind is KINDS["variable"] and item.path and len(readers[id]) == 1:
            (reader,) = readers[id]
            groups[item.path, reader].append(id)
    items: dict[str, Path] = {}
    more: list[Box] = []
    for (path, reader), ids in groups.items():
        if len(ids) >= LONG_ROW:
            inside = (*path, f"/row of {reader}")
            items.update(dict.fromkeys(ids, inside))
            more.append(Box(inside, f"{len(ids)} variables", "part"))
    return _moved(picture, {}, items, more) if more else picture


def _pieces(picture: Picture) -> Picture:
    """Crowded boxes in pieces: of update steps one for each parameter, of others some neighbours each."""
    own: dict[Path, list[str]] = defaultdict(list)
    for id, item in picture.items.items():
        if item.path:
            own[item.path].append(id)
    owners = _owners(picture)
    items: dict[str, Path] = {}
    more: list[Box] = []
    for path, ids in own.items():
        if len(ids) <= (UPDATES if path[0] == "update" else CROWDED) or picture.boxes[path].kind == "group":
            continue
        groups: dict[str, list[str]] = defaultdict(list)
        for id in ids:
            if path[0] == "update" and id in owners:
                groups[owners[id]].append(id)
        rest = [id for id in ids if path[0] != "update" or id not in owners]
        for variable, members in groups.items():
            items.update(dict.fromkeys(members, (*path, f"/of {variable}")))
            more.append(Box((*path, f"/of {variable}"), _parameter(picture.items[variable], path), "part"))
        if len(rest) > CROWDED:
            digits = len(str(len(rest)))
            for start in range(0, len(rest), CROWDED):
                name = f"{start + 1:0{digits}}-{min(start + CROWDED, len(rest)):0{digits}}"
                items.update(dict.fromkeys(rest[start : start + CROWDED], (*path, f"/part {name}")))
                more.append(Box((*path, f"/part {name}"), f"nodes {name.replace('-', ' to ')}", "part"))
    # The boxes inside a crowded box move into the piece of the parameter that they belong to.
    boxes: dict[Path, Path] = {}
    pieces = {box.path for box in more}
    for path in picture.boxes:
        found = {items.get(id) or _piece(owners, id, path[:-1]) for id in own[path]} if len(path) > 1 else set()
        if len(found) == 1 and (piece := found.pop()) in pieces and piece[:-1] == path[:-1]:
            boxes[path] = (*piece, path[-1])
    return _moved(picture, boxes, items, more) if more else picture


def _piece(owners: Mapping[str, str], id: str, around: Path) -> Path:
    return (*around, f"/of {owners[id]}") if id in owners else ()


def _parameter(item: Item, path: Path) -> str:
    """What the update of a parameter is called: by the scope that it is used in."""
    scope = "/".join(name for name in item.path[1:] if not name.startswith("/") and name not in path)
    return f"{scope}/{item.heading}" if scope else item.heading


def _owners(picture: Picture) -> dict[str, str]:
    """For items of the update region that serve one trained variable alone, the id of that variable."""
    readers: dict[str, list[str]] = defaultdict(list)
    served: dict[str, set[str]] = defaultdict(set)
    originals = {id: id.removesuffix(f"_{item.path[0]}") if item.copy else id for id, item in picture.items.items()}
    states: dict[str, str] = {}
    for link in picture.links:
        if link.kind == "update":
            states[originals[link.target]] = link.source
        elif picture.items[link.target].path[:1] == ("update",):
            readers[link.source].append(link.target)
    trained = {id for id in states if getattr(getattr(picture.items[id].node, "attrs", None), "trainable", False)}
    for variable in trained:
        served[states[variable]].add(variable)
    for id in reversed(picture.items):
        if picture.items[id].path[:1] == ("update",):
            for reader in readers[id]:
                served[id] |= served[reader]
    for id, item in picture.items.items():  # copies come late in the order of items
        if item.copy and item.path[:1] == ("update",):
            served[id] = set().union(*(served[reader] for reader in readers[id])) | ({originals[id]} & trained)
    return {id: min(found) for id, found in served.items() if len(found) == 1}


def _rows(picture: Picture) -> Picture:
    """Long rows of equal boxes in boxes of their own."""
    contents: dict[Path, Counter[str]] = defaultdict(Counter)
    for item in picture.items.values():
        if not item.copy:
            for depth in range(1, len(item.path) + 1):
                contents[item.path[:depth]][item.node.op.name if item.node else item.heading] += 1
    rows: dict[tuple[object, ...], list[Path]] = defaultdict(list)
    for path, box in picture.boxes.items():
        if box.kind in ("scope", "part") and len(path) > 1:
            stem = _NUMBER.sub("0", path[-1]) if box.kind == "scope" else "/of" if path[-1].startswith("/of") else ""
            if stem:
                rows[path[:-1], stem, frozenset(contents[path].items())].append(path)
    names: dict[Path, str] = {}
    more: list[Box] = []
    taken: Counter[Path] = Counter()
    for members in rows.values():
        if len(members) < LONG_ROW:
            continue
        around = members[0][:-1]
        taken[around] += 1
        name = f"/row {taken[around]}"
        first, last = (picture.boxes[path].label for path in (members[0], members[-1]))
        what = "update of a parameter" if picture.boxes[members[0]].kind == "part" else _row_label(first, last)
        more.append(Box((*around, name), f"{len(members)} \N{MULTIPLICATION SIGN} {what}", "part"))
        names.update(dict.fromkeys(members, name))
    if not more:
        return picture
    # A box moves with all that is inside it, through every row on its way.
    boxes: dict[Path, Path] = {}
    for path in picture.boxes:
        outer = boxes.get(path[:-1], path[:-1])
        boxes[path] = (*outer, names[path], path[-1]) if path in names else (*outer, path[-1])
    more = [replace(box, path=(*boxes.get(box.path[:-1], box.path[:-1]), box.path[-1])) for box in more]
    return _moved(picture, boxes, {}, more)


def _row_label(first: str, last: str) -> str:
    """What two names share, with the range of their numbers: ``blocks.0-11``."""
    ends = zip(_NUMBER.findall(first), _NUMBER.findall(last), strict=True)
    ranges = iter([a if a == b else f"{a}-{b}" for a, b in ends])
    return _NUMBER.sub(lambda _: next(ranges), first)
