"""The reference: results computed node by node with NumPy. Never fast; what compiled results are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphc.errors import FeedError
from graphc.ir.binding import assumptions, bind_sizes, check_constraints, check_items, label, needing_items
from graphc.ir.graph import Graph, Value
from graphc.ir.interpret import interpret
from graphc.ir.op import Array

__all__ = ["evaluate_graph"]


def evaluate_graph(graph: Graph, feeds: Mapping[Value, Any]) -> list[Array]:
    """The results of a graph whose derivatives are expanded: outputs, then next values of variables.

    Args:
        graph: the graph.
        feeds: an array for every placeholder that the results depend on. Variables may be among them; the others have
            the values that they hold.

    Raises:
        FeedError: a placeholder has no array, or a shape does not fit.
        ShapeError: an axis without items is reduced by an operation that needs some, such as a maximum.
    """
    needed = [node.output for node in graph.nodes if node.op.name == "placeholder"]
    arrays: dict[Value, Array] = {}
    for value in needed:
        if value not in feeds:
            raise FeedError(
                f"nothing was given for {label(value)}",
                expected=f"an array of type {value.type} among the feeds",
                location=value.node.location,
            )
    for value, given in feeds.items():
        arrays[value] = np.asarray(given, value.dtype.numpy)
    sizes = bind_sizes([(value, array.shape) for value, array in arrays.items() if value.node.op.name == "placeholder"])
    check_constraints(assumptions(graph), sizes)
    check_items(needing_items(graph), sizes)
    return interpret(graph, arrays, sizes)
