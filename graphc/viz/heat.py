"""Measured times on a picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from graphc.ir.graph import Node
from graphc.viz.picture import Path, Picture

__all__ = ["times"]


def times(picture: Picture, seconds: Mapping[Node, float]) -> dict[str | Path, float]:
    """The time of each item that took some, and of each box: of a group or a loop its own, else that of what it holds.

    Args:
        picture: of a graph whose nodes were timed.
        seconds: by node, as in :attr:`~graphc.runtime.profiling.profile.Profile.seconds_by_node`.
    """
    found: dict[str | Path, float] = {}
    sums: dict[Path, float] = defaultdict(float)
    for id, item in picture.items.items():
        box = picture.boxes.get(item.path)
        taken = seconds.get(item.node, 0.0) if item.node is not None and not item.copy else 0.0
        if taken and (box is None or box.node is not item.node):
            found[id] = taken
            sums[item.path] += taken
    for path in sorted(picture.boxes, key=len, reverse=True):
        node = picture.boxes[path].node
        total = seconds.get(node, 0.0) if node is not None else sums[path]
        sums[path[:-1]] += total
        if total:
            found[path] = total
    return found
