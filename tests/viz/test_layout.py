"""Order and coordinates: every line runs downward from box to box, nothing overlaps, and browsers place alike."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.ir.graph import Graph
from graphc.viz.arrange import Arrangement, Bend, Port, arrange
from graphc.viz.picture import Box, Item, Link, Path, Picture, picture_of
from graphc.viz.place import UNIT_GAP, Inside, _apart, place
from graphc.viz.style import KINDS


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """Items in nested boxes with links between any of them, cycles between boxes and update links included."""
    picture = Picture()
    paths: list[Path] = [()]
    for number in range(draw(st.integers(0, 6))):
        path = (*draw(st.sampled_from(paths)), f"box{number}")
        paths.append(path)
        picture.boxes[path] = Box(path, path[-1], "scope")
    count = draw(st.integers(1, 14))
    for number in range(count):
        path = draw(st.sampled_from(paths))
        picture.items[f"n{number}"] = Item(path, KINDS["elementwise"], "op")
    for _ in range(draw(st.integers(0, 25))):
        source, target = draw(st.integers(0, count - 1)), draw(st.integers(0, count - 1))
        if source < target:
            kind = "update" if draw(st.booleans()) and target == count - 1 else "value"
            ends = (f"n{target}", f"n{source}") if kind == "update" else (f"n{source}", f"n{target}")
            picture.links.append(Link(*ends, kind=kind))
    return picture


def occupied(picture: Picture) -> set[Path]:
    return {item.path[:depth] for item in picture.items.values() for depth in range(1, len(item.path) + 1)}


@settings(max_examples=150, deadline=None)
@given(pictures())
def test_every_unit_has_a_place_and_every_line_a_way(picture: Picture) -> None:
    arrangements = arrange(picture)
    for path, arrangement in arrangements.items():
        units = [unit for row in arrangement.rows for unit in row]
        assert len(units) == len(set(units))
        own = {unit for unit in units if not isinstance(unit, Port | Bend)}
        assert own == {id for id, item in picture.items.items() if item.path == path} | {
            box for box in occupied(picture) if box[:-1] == path
        }
        for hop in arrangement.hops:
            assert arrangement.row[hop.upper] < arrangement.row[hop.lower]
            assert all(unit in arrangement.row for unit in arrangement.way(hop))
    for number, link in enumerate(picture.links):
        reached = {link.source}
        pieces = [
            (hop, path) for path, made in arrangements.items() for hop in made.hops if number in hop.links
        ]  # a line is whole if its pieces lead from one end to the other, through the ports of the boxes between
        for _ in range(len(pieces) * 2 + 2):
            for hop, path in pieces:
                ends = [
                    str(Port(unit, side, hop.key)) if isinstance(unit, tuple) else str(unit)
                    for unit, side in ((hop.upper, "bottom"), (hop.lower, "top"))
                ]
                assert all(not isinstance(unit, Port) or unit.box == path for unit in (hop.upper, hop.lower))
                if reached & set(ends):
                    reached |= set(ends)
        assert link.target in reached


@settings(max_examples=150, deadline=None)
@given(pictures(), st.randoms())
def test_nothing_overlaps_and_boxes_hold_their_units(picture: Picture, random: object) -> None:
    rng = np.random.default_rng(0)
    sizes: dict[str | Path, tuple[float, float]] = {
        name: (float(rng.integers(20, 200)), float(rng.integers(20, 60))) for name in (*picture.items, *picture.boxes)
    }
    opened = {path for path in picture.boxes if rng.random() < 0.7}
    arrangements = arrange(picture)
    check(place((), arrangements, sizes, opened), (), arrangements)


def check(inside: Inside, path: Path, arrangements: dict[Path, Arrangement]) -> None:
    bottom = 0.0
    for row in arrangements[path].rows:
        for left, right in pairwise(row):
            gap = inside.centers[right] - inside.centers[left] - (inside.widths[left] + inside.widths[right]) / 2
            assert gap >= min(UNIT_GAP, 12.0) - 1e-6
        for unit in row:
            assert inside.centers[unit] - inside.widths[unit] / 2 >= -1e-6
            assert inside.centers[unit] + inside.widths[unit] / 2 <= inside.width + 1e-6
            assert bottom <= inside.tops[unit] + 1e-6
            assert inside.tops[unit] + inside.heights[unit] <= inside.height + 1e-6
        bottom = max(inside.tops[unit] + inside.heights[unit] for unit in row)
    for box, below in inside.boxes.items():
        check(below, box, arrangements)


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.1, 10), st.floats(0, 30)), min_size=1, max_size=6))
def test_places_are_the_nearest_to_the_wishes(given: list[tuple[float, float, float]]) -> None:
    wishes, weights, gaps = (list(column) for column in zip(*given, strict=True))
    places = _apart(wishes, weights, gaps[1:])
    assert all(right - left >= gap - 1e-6 for (left, right), gap in zip(pairwise(places), gaps[1:], strict=True))

    def cost(at: list[float]) -> float:
        return sum(w * (x - wish) ** 2 for x, wish, w in zip(at, wishes, weights, strict=True))

    least = cost(places)
    for first in range(len(places)):  # moving any part of the row to either side makes it worse, or breaks a gap
        for last in range(first + 1, len(places) + 1):
            for step in (-0.01, 0.01):
                moved = [x + step if first <= n < last else x for n, x in enumerate(places)]
                fits = all(b - a >= gap for (a, b), gap in zip(pairwise(moved), gaps[1:], strict=True))
                assert not fits or cost(moved) >= least - 1e-9


def test_a_chain_is_straight(training: Graph) -> None:
    picture = Picture(items={f"n{i}": Item((), KINDS["view"], "op") for i in range(5)})
    picture.links.extend(Link(f"n{i}", f"n{i + 1}") for i in range(4))
    inside = place((), arrange(picture), dict.fromkeys(picture.items, (50.0, 20.0)), set())
    assert len(set(inside.centers.values())) == 1
    tops = [inside.tops[f"n{i}"] for i in range(5)]
    assert tops == sorted(set(tops))
    assert arrange(picture_of(training)).keys() == {(), *picture_of(training).boxes}


_SCRIPT = """
const [view, sizes, opened] = JSON.parse(require("fs").readFileSync(0));
const origin = (key) => "" + key;
const flat = (inside) => [
  inside.width, inside.height, inside.box.rows.flat().map((u) => [inside.centers[u], inside.tops[u]]),
  [...inside.below.values()].map(flat),
];
console.log(JSON.stringify(flat(place(view, 0, new Set(opened), (type, n) => sizes[type][n], origin))));
"""


def flat(inside: Inside, path: Path, arrangements: dict[Path, Arrangement]) -> list[object]:
    units = [unit for row in arrangements[path].rows for unit in row]
    return [
        inside.width,
        inside.height,
        [[inside.centers[unit], inside.tops[unit]] for unit in units],
        [
            flat(inside.boxes[unit], unit, arrangements)
            for unit in units
            if isinstance(unit, tuple) and unit in inside.boxes
        ],
    ]


if (NODE := shutil.which("node")) is not None:

    @pytest.mark.parametrize("closed", [0, 1, 2])
    def test_browsers_place_alike(fused_training: Graph, closed: int) -> None:
        from graphc.viz.report_page import _arranged

        picture = picture_of(fused_training)
        arrangements = arrange(picture)
        items = {id: place for place, id in enumerate(picture.items)}
        boxes: dict[Path, int] = {path: place for place, path in enumerate(((), *picture.boxes))}
        rng = np.random.default_rng(closed)
        sizes: dict[str | Path, tuple[float, float]] = {
            name: (float(rng.integers(20, 200)), float(rng.integers(20, 60))) for name in (*items, *boxes)
        }
        opened = {path for path in picture.boxes if len(path) > closed}
        view = {"boxes": [{"title": sizes[path][0], **_arranged(arrangements[path], items, boxes)} for path in boxes]}
        given = [view, [[sizes[id] for id in items], [sizes[path] for path in boxes]], [boxes[path] for path in opened]]
        script = (files("graphc.viz") / "page" / "place.js").read_text() + _SCRIPT
        assert NODE is not None
        done = subprocess.run(
            [NODE, "-e", script], input=json.dumps(given), capture_output=True, text=True, check=False
        )
        assert not done.stderr
        expected = flat(place((), arrangements, sizes, opened), (), arrangements)
        assert flattened(json.loads(done.stdout)) == pytest.approx(flattened(expected))


def flattened(value: object) -> list[float]:
    if isinstance(value, list):
        return [number for item in value for number in flattened(item)]
    assert isinstance(value, int | float)
    return [float(value)]
