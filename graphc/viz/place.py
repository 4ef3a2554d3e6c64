"""Coordinates: rows below each other, units of a row beside each other, each near what it is linked with.

``page/place.js`` does the same in a browser, where a person opens and closes boxes: a change here is a change there.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from graphc.viz.arrange import Arrangement, Bend, Hop, Port, Unit
from graphc.viz.picture import Path

__all__ = ["Inside", "place"]

PADDING = 14.0
TITLE = 24.0
ROW_GAP = 34.0
UNIT_GAP = 22.0
PORT_GAP = 12.0
_SWEEPS = 10


@dataclass(slots=True)
class Inside:
    """The measures of an open box, or of the picture.

    Attributes:
        width: of the box.
        height: of the box.
        centers: of its units, from its left edge.
        tops: of its units, from its upper edge.
        heights: of its units.
        widths: of its units.
        boxes: the open boxes among its units.
    """

    width: float = 0.0
    height: float = 0.0
    centers: dict[Unit, float] = field(default_factory=dict)
    tops: dict[Unit, float] = field(default_factory=dict)
    heights: dict[Unit, float] = field(default_factory=dict)
    widths: dict[Unit, float] = field(default_factory=dict)
    boxes: dict[Path, Inside] = field(default_factory=dict)

    def end(self, unit: Unit, key: str, lower: bool) -> tuple[float, float]:
        """Where a line meets a unit, from below if ``lower``, else from above."""
        x, y = self.centers[unit], self.tops[unit] + (self.heights[unit] if lower else 0.0)
        if isinstance(unit, tuple) and unit in self.boxes:
            box = self.boxes[unit]
            x += box.centers[Port(unit, "bottom" if lower else "top", key)] - box.width / 2
        return x, y


def place(
    path: Path,
    arrangements: Mapping[Path, Arrangement],
    sizes: Mapping[str | Path, tuple[float, float]],
    opened: Collection[Path],
) -> Inside:
    """The measures of a box and of the open boxes in it.

    Args:
        path: of the box; empty for the picture.
        arrangements: of all boxes.
        sizes: width and height of items and of closed boxes; of open boxes, of their titles.
        opened: the open boxes.
    """
    arrangement, inside = arrangements[path], Inside()
    for units in arrangement.rows:
        for unit in units:
            if isinstance(unit, tuple) and unit in opened:
                inside.boxes[unit] = place(unit, arrangements, sizes, opened)
                size = (inside.boxes[unit].width, inside.boxes[unit].height)
            elif isinstance(unit, Port | Bend):
                size = (0.0, 0.0)
            else:
                size = sizes[unit]
            inside.widths[unit], inside.heights[unit] = size
    near = _neighbours(arrangement, inside)
    _place_rows(arrangement, inside, near, bool(path))
    _place_units(arrangement.rows, inside, near)
    left = min((inside.centers[u] - inside.widths[u] / 2 for u in inside.centers), default=0.0) - PADDING
    right = max((inside.centers[u] + inside.widths[u] / 2 for u in inside.centers), default=0.0) + PADDING
    least = sizes[path][0] if path else 0.0
    left -= max(0.0, least - (right - left)) / 2
    inside.width = max(right - left, least)
    inside.centers = {unit: center - left for unit, center in inside.centers.items()}
    return inside


_Near = dict[Unit, list[tuple[Unit, float, float]]]


def _neighbours(arrangement: Arrangement, inside: Inside) -> tuple[_Near, _Near]:
    """For each unit those linked with it in the row above and below, with a weight, and how far right of them it wants.

    The wish is the difference of the places at which the line meets the units. Lines across rows want to be straight.
    """
    pieces: dict[tuple[Unit, Unit], list[float]] = defaultdict(list)
    for hop in arrangement.hops:
        way = arrangement.way(hop)
        for upper, lower in itertools.pairwise(way):
            pieces[upper, lower].append(_offset(inside, upper, hop, True) - _offset(inside, lower, hop, False))
    above: _Near = defaultdict(list)
    below: _Near = defaultdict(list)
    for (upper, lower), shifts in pieces.items():
        bends = isinstance(upper, Bend) + isinstance(lower, Bend)
        weight, shift = (1.0, 2.0, 8.0)[bends], sum(shifts) / len(shifts)
        above[lower].append((upper, weight, shift))
        below[upper].append((lower, weight, -shift))
    return above, below


def _offset(inside: Inside, unit: Unit, hop: Hop, lower: bool) -> float:
    """How far to the right of a unit's center a line meets it."""
    if not (isinstance(unit, tuple) and unit in inside.boxes):
        return 0.0
    box = inside.boxes[unit]
    return box.centers[Port(unit, "bottom" if lower else "top", hop.key)] - box.width / 2


def _place_rows(arrangement: Arrangement, inside: Inside, near: tuple[_Near, _Near], boxed: bool) -> None:
    """Tops of units: in rows below each other; leaves at the bottom of their row, ends at its top."""
    above, below = near
    y = TITLE if boxed else PADDING
    for units in arrangement.rows:
        if all(isinstance(unit, Port) for unit in units):
            side = 0.0 if any(isinstance(unit, Port) and unit.side == "top" for unit in units) else y
            inside.tops.update(dict.fromkeys(units, side))
            y += 0.0 if side else PADDING
            continue
        height = max(inside.heights[unit] for unit in units)
        for unit in units:
            share = 1.0 if not above[unit] else 0.0 if not below[unit] else 0.5
            inside.tops[unit] = y + (height - inside.heights[unit]) * share
            if isinstance(unit, Bend):
                inside.tops[unit], inside.heights[unit] = y, height
        y += height + ROW_GAP
    ends_in_ports = arrangement.rows and all(isinstance(unit, Port) for unit in arrangement.rows[-1])
    inside.height = y if ends_in_ports and boxed else y - ROW_GAP + PADDING
    if ends_in_ports:
        inside.tops.update(dict.fromkeys(arrangement.rows[-1], inside.height))


def _place_units(rows: Sequence[Sequence[Unit]], inside: Inside, near: tuple[_Near, _Near]) -> None:
    """Centers of units: near their neighbours, in their order, without overlap."""
    for units in rows:
        x = 0.0
        for unit in units:
            inside.centers[unit] = x + inside.widths[unit] / 2
            x += inside.widths[unit] + UNIT_GAP
    for sweep in range(_SWEEPS):
        downward = sweep % 2 == 0
        sides = near if sweep >= _SWEEPS - 2 else (near[0],) if downward else (near[1],)
        for units in rows if downward else rows[::-1]:
            wishes, weights = [], []
            for unit in units:
                links = [link for side in sides for link in side[unit]]
                weight = sum(link[1] for link in links)
                at = inside.centers[unit]
                if links:
                    at = sum((inside.centers[other] + shift) * w for other, w, shift in links) / weight
                wishes.append(at)
                weights.append(weight or 0.01)
            gaps = [
                (inside.widths[a] + inside.widths[b]) / 2
                + (UNIT_GAP if inside.widths[a] + inside.widths[b] else PORT_GAP)
                for a, b in itertools.pairwise(units)
            ]
            inside.centers.update(zip(units, _apart(wishes, weights, gaps), strict=True))


def _apart(wishes: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The places nearest to the wishes, by weighted squares, that are at least the gaps apart.

    Without the gaps this is isotonic regression; neighbours that would come too near are joined (Barlow et al. 1972).
    """
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    blocks: list[tuple[float, float, int]] = []
    for wish, weight, offset in zip(wishes, weights, offsets, strict=True):
        block = (wish - offset, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            mean, heavy, count = blocks.pop()
            total = heavy + block[1]
            block = ((mean * heavy + block[0] * block[1]) / total, total, count + block[2])
        blocks.append(block)
    places = [mean for mean, _, count in blocks for _ in range(count)]
    return [at + offset for at, offset in zip(places, offsets, strict=True)]
