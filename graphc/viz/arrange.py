"""The order in a picture: which unit stands in which row of its box, and where among its neighbours.

Each box is arranged on its own, as a layered drawing (Sugiyama, Tagawa and Toda 1981, "Methods for visual understanding
of hierarchical system structures"): its units are its items, the boxes in it, and ports at its upper and lower edge for
the lines that cross that edge. Nothing here depends on sizes, nor on whether a box in it is open; :mod:`place` adds
coordinates.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from graphc.viz.picture import Path, Picture

__all__ = ["NEXT", "Arrangement", "Bend", "Hop", "Port", "Unit", "arrange"]

Side: TypeAlias = Literal["top", "bottom"]

NEXT = " next"
"""What tells the keys of lines from variables to their next values from those of their values."""

_SWEEPS = 8


@dataclass(frozen=True, slots=True)
class Port:
    """Where lines from the item ``key`` cross the edge of a box."""

    box: Path
    side: Side
    key: str


@dataclass(frozen=True, slots=True)
class Bend:
    """A place in a row that lines from ``unit`` to lower rows pass."""

    unit: Unit
    row: int


Unit: TypeAlias = str | Path | Port | Bend
"""An item by its id, a box by its path, a port, or a bend."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A line inside one box, from one of its units down to another.

    Attributes:
        upper: the unit where it leaves, above.
        lower: the unit where it arrives.
        key: the item whose ports it uses where these units are boxes.
        links: numbers of the links that run here.
    """

    upper: Unit
    lower: Unit
    key: str
    links: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Arrangement:
    """The order inside a box.

    Attributes:
        rows: its units, from top to bottom and from left to right.
        hops: the lines between them.
    """

    rows: list[list[Unit]]
    hops: list[Hop]

    @cached_property
    def row(self) -> Mapping[Unit, int]:
        """The number of the row that each unit stands in."""
        return {unit: number for number, units in enumerate(self.rows) for unit in units}

    def way(self, hop: Hop) -> list[Unit]:
        """The units that a hop passes: one in each row from its upper to its lower end."""
        bends = (Bend(hop.upper, number) for number in range(self.row[hop.upper] + 1, self.row[hop.lower]))
        return [hop.upper, *bends, hop.lower]


@dataclass(slots=True)
class _Strand:
    """A link, or a part of one, inside a box: from an end to another; its ends are items or ports of the box."""

    source: str | Port
    target: str | Port
    key: str
    link: int


def arrange(picture: Picture) -> dict[Path, Arrangement]:
    """The arrangement of every box, and, under the empty path, of what stands outside of all."""
    units: dict[Path, list[Unit]] = {(): [], **{path: [] for path in picture.boxes}}
    order: dict[Unit, int] = {}
    for number, (id, item) in enumerate(picture.items.items()):
        units[item.path].append(id)
        order[id] = number
        for depth in range(len(item.path), 0, -1):
            box = item.path[:depth]
            if box in order:
                break
            order[box] = number
            units[box[:-1]].append(box)
    strands: dict[Path, list[_Strand]] = defaultdict(list)
    for number, link in enumerate(picture.links):
        if link.kind == "update":  # the variable stands above its next value
            strands[()].append(_Strand(link.target, link.source, link.target + NEXT, number))
        else:
            strands[()].append(_Strand(link.source, link.target, link.source, number))
    return {
        path: _arrange_box(path, units[path], strands[path], picture, order, strands) for path in sorted(units, key=len)
    }


def _arrange_box(
    path: Path,
    units: list[Unit],
    strands: Iterable[_Strand],
    picture: Picture,
    order: dict[Unit, int],
    inner: dict[Path, list[_Strand]],
) -> Arrangement:
    def unit_of(end: str | Port) -> Unit:
        if isinstance(end, Port):
            return end
        place = picture.items[end].path
        return end if len(place) == len(path) else place[: len(path) + 1]

    crossing: list[tuple[_Strand, Unit, Unit]] = []
    ports: dict[Port, None] = {}
    for strand in strands:
        source, target = unit_of(strand.source), unit_of(strand.target)
        if source == target:
            assert isinstance(source, tuple)
            inner[source].append(strand)
            continue
        crossing.append((strand, source, target))
        ports.update(dict.fromkeys(end for end in (source, target) if isinstance(end, Port)))
    lower = _downward([*units, *ports], [(source, target) for _, source, target in crossing], order)
    hops: dict[tuple[Unit, Unit, str], Hop] = {}
    for strand, source, target in crossing:
        above, below = (source, target) if (source, target) in lower else (target, source)
        hops.setdefault((above, below, strand.key), Hop(above, below, strand.key)).links.append(strand.link)
        ends = {source: strand.source, target: strand.target}
        sides: tuple[tuple[Unit, Side], ...] = ((above, "bottom"), (below, "top"))
        for box, side in sides:
            if isinstance(box, tuple):
                port = Port(box, side, strand.key)
                first, last = (ends[box], port) if box == source else (port, ends[box])
                inner[box].append(_Strand(first, last, strand.key, strand.link))
    rows = _ranked([*units, *ports], {(hop.upper, hop.lower) for hop in hops.values()}, order)
    return Arrangement(_ordered(rows, list(hops.values())), list(hops.values()))


def _is_top(unit: Unit) -> bool:
    return isinstance(unit, Port) and unit.side == "top"


def _is_bottom(unit: Unit) -> bool:
    return isinstance(unit, Port) and unit.side == "bottom"


def _downward(
    units: Sequence[Unit], pairs: Iterable[tuple[Unit, Unit]], order: dict[Unit, int]
) -> set[tuple[Unit, Unit]]:
    """The pairs that run downward once cycles are broken: all but those that close one, in a search in depth."""
    after: dict[Unit, dict[Unit, None]] = {unit: {} for unit in units}
    for source, target in pairs:
        if not (_is_bottom(source) or _is_top(target)):
            after[source][target] = None
    kept = {pair for pair in pairs if not (_is_bottom(pair[0]) or _is_top(pair[1]))}
    open_units: set[Unit] = set()
    done: set[Unit] = set()
    for root in sorted(units, key=lambda unit: order.get(unit, -1)):
        if root in done:
            continue
        stack = [(root, iter(after[root]))]
        open_units.add(root)
        while stack:
            unit, rest = stack[-1]
            for target in rest:
                if target in open_units:
                    kept.discard((unit, target))
                elif target not in done:
                    open_units.add(target)
                    stack.append((target, iter(after[target])))
                    break
            else:
                stack.pop()
                open_units.discard(unit)
                done.add(unit)
    return kept


def _ranked(units: Sequence[Unit], pairs: set[tuple[Unit, Unit]], order: dict[Unit, int]) -> list[list[Unit]]:
    """Units in rows, each below what leads to it; what nothing leads to stands right above its first reader."""
    below: dict[Unit, list[Unit]] = {unit: [] for unit in units}
    above: dict[Unit, list[Unit]] = {unit: [] for unit in units}
    for upper, lower in pairs:
        below[upper].append(lower)
        above[lower].append(upper)
    waiting = {unit: len(above[unit]) for unit in units}
    numbered = {unit: order.get(unit, -1) for unit in units}
    ready = [(numbered[unit], place) for place, unit in enumerate(units) if not waiting[unit]]
    places = {unit: place for place, unit in enumerate(units)}
    heapq.heapify(ready)
    sequence: list[Unit] = []
    row: dict[Unit, int] = {}
    start = 1 if any(map(_is_top, units)) else 0
    while ready:
        unit = units[heapq.heappop(ready)[1]]
        sequence.append(unit)
        row[unit] = 0 if _is_top(unit) else max((row[upper] + 1 for upper in above[unit]), default=start)
        for lower in below[unit]:
            waiting[lower] -= 1
            if not waiting[lower]:
                heapq.heappush(ready, (numbered[lower], places[lower]))
    last = max(row.values(), default=0)
    if any(map(_is_bottom, units)):
        last = max((row[unit] + (not _is_bottom(unit)) for unit in units), default=0)
        row.update({unit: last for unit in units if _is_bottom(unit)})
    for unit in reversed(sequence):
        if not isinstance(unit, Port) and below[unit] and len(above[unit]) < len(below[unit]):
            row[unit] = min(row[lower] for lower in below[unit]) - 1
    rows: list[list[Unit]] = [[] for _ in range(last + 1)]
    for unit in sequence:
        rows[row[unit]].append(unit)
    return [units for units in rows if units]


def _ordered(rows: list[list[Unit]], hops: Sequence[Hop]) -> list[list[Unit]]:
    """The rows with bends added and with their units in an order that has few crossings."""
    row = {unit: number for number, units in enumerate(rows) for unit in units}
    below: dict[Unit, list[Unit]] = defaultdict(list)
    above: dict[Unit, list[Unit]] = defaultdict(list)
    rows = [list(units) for units in rows]
    for upper, lower in dict.fromkeys((hop.upper, hop.lower) for hop in hops):
        previous: Unit = upper
        for number in range(row[upper] + 1, row[lower]):
            bend = Bend(upper, number)
            if bend not in row:
                row[bend] = number
                rows[number].append(bend)
                below[previous].append(bend)
                above[bend].append(previous)
            previous = bend
        below[previous].append(lower)
        above[lower].append(previous)
    _start(rows, above, below)
    best, least = [list(units) for units in rows], _crossings(rows, below)
    for sweep in range(_SWEEPS):
        if not least:
            break
        downward = sweep % 2 == 0
        near = above if downward else below
        numbers = range(1, len(rows)) if downward else range(len(rows) - 2, -1, -1)
        for number in numbers:
            beside = {unit: place for place, unit in enumerate(rows[number - 1 if downward else number + 1])}
            rows[number] = _by_neighbours(rows[number], near, beside)
        count = _crossings(rows, below)
        if count < least:
            best, least = [list(units) for units in rows], count
    return best


def _start(rows: list[list[Unit]], above: dict[Unit, list[Unit]], below: dict[Unit, list[Unit]]) -> None:
    """Order the rows as a search in depth from the last row upward finds their units."""
    found: dict[Unit, int] = {}
    for units in reversed(rows):
        for root in units:
            stack = [root]
            while stack:
                unit = stack.pop()
                if unit not in found:
                    found[unit] = len(found)
                    stack.extend(reversed(above[unit]))
    for units in rows:
        units.sort(key=found.__getitem__)


def _by_neighbours(units: list[Unit], near: dict[Unit, list[Unit]], beside: dict[Unit, int]) -> list[Unit]:
    """Units by the mean place of their neighbours; those without any stay where they are."""
    keys: dict[Unit, float] = {}
    for place, unit in enumerate(units):
        places = [beside[other] for other in near[unit] if other in beside]
        keys[unit] = sum(places) / len(places) if places else place
    return sorted(units, key=keys.__getitem__)


def _crossings(rows: Sequence[Sequence[Unit]], below: dict[Unit, list[Unit]]) -> int:
    """How many pairs of lines cross."""
    total = 0
    for units, following in itertools.pairwise(rows):
        place = {unit: number for number, unit in enumerate(following)}
        passed: list[int] = []
        for unit in units:
            ends = sorted(place[other] for other in below[unit] if other in place)
            total += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return total
