"""A compiled function as one HTML file: every view of it, to look around in with a browser, without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from os import PathLike
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from graphc._version import __version__
from graphc.errors import Location
from graphc.ir.dims import bind, symbols
from graphc.ir.graph import Graph, Node
from graphc.runtime.plan import Plan
from graphc.runtime.profiling.profile import Profile
from graphc.viz.arrange import NEXT, Arrangement, Bend, Port, Unit, arrange
from graphc.viz.changes import changed, opened_for
from graphc.viz.fold import contents, is_row, level, open_boxes, place_text
from graphc.viz.heat import times
from graphc.viz.levels import with_levels
from graphc.viz.picture import Path, Picture, picture_of
from graphc.viz.schedule import Row, described, schedule_rows, schedule_svg, step_seconds
from graphc.viz.sheet import SHAPES, kind_rules, variables
from graphc.viz.style import FONT, KINDS, class_of
from graphc.viz.svg import item_lines, item_size, title_width
from graphc.viz.text import bytes_text, xml_text

if TYPE_CHECKING:
    from graphc.function import Function

__all__ = ["report", "report_html"]

_KINDS = list(KINDS.values())
_LINKS = ("value", "update", "body")
_UNITS = {"item": 0, "box": 1, "top": 2, "bottom": 3, "bend": 4}
"""What ``page/place.js`` calls the types of units."""


def report(
    function: Function,
    path: str | PathLike[str],
    arguments: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    title: str = "graphc",
) -> FilePath:
    """Write a compiled function to an HTML file that needs nothing else: no server, no network.

    It shows the graph as written, differentiated and fused, the schedule with the memory plan, and what each pass
    changed. Boxes open and close; a click on a node shows its type, the user's line, its partners in the gradient, the
    source of its kernel, its time and its memory.

    Args:
        function: what :func:`graphc.compile` returned.
        path: where to; its folder must exist.
        arguments: arrays to measure the time of each step with, in the order of the placeholders or by their names.
            Variables keep their values. Without them there are no times, and no memory unless the sizes are known.
        title: what stands above.

    Returns:
        The path.

    Raises:
        FeedError: the arguments do not match the placeholders.
    """
    target = FilePath(path)
    target.write_text(report_html(function, arguments, title=title), encoding="utf-8")
    return target


def report_html(
    function: Function, arguments: Sequence[Any] | Mapping[str, Any] | None = None, *, title: str = "graphc"
) -> str:
    """The text of the file that :func:`report` writes."""
    profile: Profile | None = None
    if isinstance(arguments, Mapping):
        profile = function.profile(**arguments)
    elif arguments is not None:
        profile = function.profile(*arguments)
    page = files("graphc.viz") / "page"
    # No text of the user's may end the element that holds it.
    data = json.dumps(_data(function, profile), ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    parts = {
        "title": xml_text(title),
        "version": __version__,
        "light": f"--font:{FONT};{variables(False)}",
        "dark": variables(True),
        "shapes": SHAPES + kind_rules(),
        "data": data,
        **{name: (page / name).read_text(encoding="utf-8") for name in ("page.css", "place.js", "view.js", "page.js")},
    }
    head, *rest = (page / "page.html").read_text(encoding="utf-8").split("{{")
    pieces = [head]
    for piece in rest:
        name, _, after = piece.partition("}}")
        pieces += [parts[name], after]
    return "".join(pieces)


def _data(function: Function, profile: Profile | None) -> dict[str, Any]:
    """What the page shows."""
    plan = function.plan_for(**profile.sizes) if profile is not None else function.known_plan
    rows = schedule_rows(function.program, plan, step_seconds(profile)) if plan is not None else []
    views = _Views(plan, rows, profile)
    stages = [
        {"name": stage.name, "nodes": len(stage.graph.nodes), "ms": stage.seconds * 1e3, "changed": stage.changed}
        for stage in function.stages
    ]
    shown = {"written": function.stage("written"), "fused": function.graph}
    if any(stage.name == "autodiff" for stage in function.stages):
        shown = {"written": shown["written"], "differentiated": function.stage("autodiff"), "fused": shown["fused"]}
    return {
        "stages": stages,
        "views": {name: views.add(graph) for name, graph in shown.items()},
        "passes": [
            views.compare(before.graph, after.graph, after.name)
            for before, after in zip(function.stages, function.stages[1:], strict=False)
            if after.changed
        ],
        "graphs": views.graphs,
        "scopes": list(views.scopes),
        "locations": [[_shown(location.filename), location.line, location.text] for location in views.locations],
        "kinds": [[class_of(kind), kind.meaning] for kind in _KINDS],
        "links": _LINKS,
        "steps": [_step(row, views) for row in rows],
        "kernels": list(views.kernels),
        "schedule": schedule_svg(function.program, plan, profile=profile, whole=False) if plan is not None else "",
        "total": sum(step.seconds for step in profile.steps) if profile is not None else None,
    }


def _shown(filename: str) -> str:
    """A file below the current folder by its path from there."""
    path, folder = FilePath(filename), FilePath.cwd()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else filename


class _Views:
    """Pictures of graphs, each once, and the texts that they share."""

    def __init__(self, plan: Plan | None, rows: Sequence[Row], profile: Profile | None) -> None:
        self.plan = plan
        self.seconds = profile.seconds_by_node if profile is not None else {}
        self.graphs: list[dict[str, Any]] = []
        self.scopes: dict[str, int] = {}
        self.locations: dict[Location, int] = {}
        self.kernels: dict[str, int] = {}
        self.rows: dict[Node, list[int]] = {}
        for number, row in enumerate(rows):
            self.rows.setdefault(row.bound.step.node, []).append(number)
        self._known: dict[Graph, tuple[int, Picture]] = {}

    def add(self, graph: Graph) -> int:
        """The number of a graph among the pictures."""
        return self._picture(graph)[0]

    def _picture(self, graph: Graph) -> tuple[int, Picture]:
        if graph not in self._known:
            picture = with_levels(picture_of(graph))
            self._known[graph] = len(self.graphs), picture
            self.graphs.append(self._graph(picture))
        return self._known[graph]

    def compare(self, before: Graph, after: Graph, name: str) -> dict[str, Any]:
        """What a pass changed: in both pictures, the items and boxes that have no equal in the other."""
        sides = [self._picture(before), self._picture(after)]
        names_of = changed(sides[0][1], sides[1][1])
        opened = opened_for([(picture, names) for (_, picture), names in zip(sides, names_of, strict=True)])
        result: dict[str, Any] = {"name": name}
        for side, (number, picture), names in zip(("before", "after"), sides, names_of, strict=True):
            items = {id: place for place, id in enumerate(picture.items)}
            boxes = {path: place for place, path in enumerate(((), *picture.boxes))}
            result[side] = {
                "graph": number,
                "items": sorted(items[name] for name in names if isinstance(name, str)),
                "boxes": sorted(boxes[name] for name in names if isinstance(name, tuple)),
                "open": sorted(boxes[path] for path in opened if path in boxes),
            }
        return result

    def _graph(self, picture: Picture) -> dict[str, Any]:
        items = {id: place for place, id in enumerate(picture.items)}
        boxes: dict[Path, int] = {path: place for place, path in enumerate(((), *picture.boxes))}
        arrangements = arrange(picture)
        found = times(picture, self.seconds) if self.seconds else {}
        opened = open_boxes(picture, "auto")
        inside: dict[Path, list[Any]] = {path: [] for path in boxes}
        for item in picture.items.values():
            for depth in range(len(item.path) + 1):
                inside[item.path[:depth]].append(item)
        return {
            "items": [
                [
                    boxes[item.path],
                    _KINDS.index(item.kind),
                    item.heading,
                    item.details,
                    item.type,
                    item.name,
                    *self._origin(item.node),
                    int(item.copy),
                    *item_size(item_lines(item)),
                    found.get(id),
                    self.rows.get(item.node, []) if item.node is not None else [],
                    self._bytes(item.node),
                ]
                for id, item in picture.items.items()
            ],
            "boxes": [
                {
                    "label": picture.boxes[path].label if path else "",
                    "kind": picture.boxes[path].kind if path else "",
                    "place": place_text(path),
                    "parent": boxes[path[:-1]] if path else -1,
                    "level": level(path),
                    "row": bool(path) and any(map(is_row, path)),
                    "open": not path or path in opened,
                    "says": (says := contents(inside[path])),
                    "count": sum(not item.copy for item in inside[path]),
                    "closed": item_size([picture.boxes[path].label, says]) if path else (0, 0),
                    "title": title_width(picture.boxes[path]) if path else 0,
                    "seconds": found.get(path),
                    "steps": self.rows.get(node, []) if path and (node := picture.boxes[path].node) else [],
                    "origin": self._origin(picture.boxes[path].node if path else None),
                    **_arranged(arrangements[path], items, boxes),
                }
                for path in boxes
            ],
            "links": [[items[link.source], items[link.target], _LINKS.index(link.kind)] for link in picture.links],
        }

    def _origin(self, node: Node | None) -> tuple[int, int, int]:
        """The numbers of a node's scope and line, and whether it is backward."""
        if node is None:
            return -1, -1, 0
        scope = self.scopes.setdefault(node.scope, len(self.scopes))
        line = -1
        if node.location is not None:
            line = self.locations.setdefault(node.location, len(self.locations))
        return scope, line, int(node.phase == "backward")

    def _bytes(self, node: Node | None) -> int | None:
        """What the results of a node take, if the sizes are known."""
        if node is None:
            return None
        sizes = self.plan.sizes if self.plan is not None else {}
        wanted = {symbol.name for value in node.outputs for size in value.shape for symbol in symbols(size)}
        if not wanted.issubset(sizes):
            return None
        return sum(bind(value.size, sizes) * value.dtype.itemsize for value in node.outputs)


def _arranged(arrangement: Arrangement, items: Mapping[str, int], boxes: Mapping[Path, int]) -> dict[str, Any]:
    """The units, rows and hops of a box, by numbers."""
    numbers = {unit: place for place, unit in enumerate(unit for units in arrangement.rows for unit in units)}

    def number_of(key: str) -> int:
        """The item that a line starts at; below zero for the next value of one."""
        return items[key] if key in items else -items[key.removesuffix(NEXT)] - 1

    def unit_of(unit: Unit) -> tuple[int, int]:
        if isinstance(unit, Port):
            return _UNITS[unit.side], number_of(unit.key)
        if isinstance(unit, Bend):
            return _UNITS["bend"], numbers[unit.unit]
        return (_UNITS["item"], items[unit]) if isinstance(unit, str) else (_UNITS["box"], boxes[unit])

    return {
        "units": [unit_of(unit) for unit in numbers],
        "rows": [[numbers[unit] for unit in units] for units in arrangement.rows],
        "hops": [[numbers[hop.upper], numbers[hop.lower], number_of(hop.key), hop.links] for hop in arrangement.hops],
    }


def _step(row: Row, views: _Views) -> dict[str, Any]:
    node, step = row.bound.step.node, row.plan.steps[row.place]
    reads, writes = len(row.bound.step.reads), len(row.bound.step.writes)
    buffers = []
    for place, number in enumerate(step.buffers):
        item = row.plan.buffers[number]
        source = item.buffer.source
        where = f"arena at {row.base + item.offset:,}" if item.place == "arena" else item.place
        name = f" {source.name}" if source is not None and source.name else ""
        does = "reads" if place < reads else "writes" if place < reads + writes else "scratch"
        buffers.append([does, f"b{number}: {bytes_text(item.bytes)}, {where}{name}"])
    tasks = -(-step.extent // step.chunk) if step.chunk else 1
    return {
        "number": row.number,
        "what": described(node),
        "kernel": views.kernels.setdefault(step.kernel.source, len(views.kernels)),
        "name": step.name,
        "extent": step.extent,
        "tasks": tasks,
        "origin": views._origin(node),
        "seconds": row.seconds,
        "buffers": buffers,
    }
